//! A JSON interface over HTTP, on good days and bad ones.

use std::fs;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xinqiao_data_adapters::{Error, FetchError, Mapping, Source};
use xinqiao_data_testing::Issuer;

use crate::data::{ITEMS, block_on, conforms, data, records, uscc};
use crate::peer::{Mood, Peer};

const HEAD: &str = r#"[source]
name = "partner"
kind = "http"
subject = "code"
as_of = { column = "/updated" }

[source.http]
scan_url = "http://ADDRESS/SCAN"
fetch_url = "http://ADDRESS/one/{subject}"
auth = { AUTH }
paging = { PAGING }
records = "/data"
record = "/found/it"
timeout_ms = 2000
deadline_ms = 5000
max_concurrent = 4
max_body_bytes = 100_000
max_depth = 6
max_values = 5_000

[[related]]
name = "holders"
array = "/lists/holders"

[[related]]
name = "years"
array = "/lists/years"
"#;

const PAGES: (&str, &str) = ("pages?kept=1", r#"by = "page", parameter = "page""#);
const BEARER: &str = r#"bearer_file = "token""#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in [
            ("token", "token-1\n"),
            ("password", "pass:word"),
            ("key", "key-1"),
            ("wrong", "x"),
        ] {
            fs::write(dir.path().join(name), text).expect("written");
        }
        Self(dir)
    }

    fn mapping(&self, peer: &Peer, paging: (&str, &str), auth: &str) -> Mapping {
        self.mapping_of(HEAD, peer, paging, auth)
    }

    fn mapping_of(
        &self,
        head: &str,
        peer: &Peer,
        (scan, paging): (&str, &str),
        auth: &str,
    ) -> Mapping {
        let text = format!("{head}{ITEMS}")
            .replace("ADDRESS", &peer.address.to_string())
            .replace("SCAN", scan)
            .replace("PAGING", paging)
            .replace("AUTH", auth);
        Mapping::parse(&text, &self.0.path().join("m.toml")).expect("a good mapping")
    }

    fn open(&self, peer: &Peer) -> Box<dyn Source> {
        let mapping = self.mapping(peer, PAGES, BEARER);
        xinqiao_data_adapters::open(mapping).expect("it opens")
    }
}

#[test]
fn an_interface_conforms_whatever_its_pages_and_keys() {
    let data = data(true);
    let peer = Peer::start(&data);
    let folder = Folder::new();
    for (paging, auth) in [
        (PAGES, BEARER),
        (
            (
                "cursor",
                r#"by = "cursor", parameter = "after", next = "/meta/next""#,
            ),
            r#"user = "user", password_file = "password""#,
        ),
        (
            ("links", r#"by = "link""#),
            r#"header = "X-Api-Key", key_file = "key""#,
        ),
    ] {
        let mapping = folder.mapping(&peer, paging, auth);
        let source = xinqiao_data_adapters::open(mapping).expect("it opens");
        conforms(source.as_ref(), &data);
    }
}

#[test]
fn an_interface_is_read_under_tls_from_the_server_that_was_meant_alone() {
    let data = data(true);
    let (ours, other) = (Issuer::new(), Issuer::new());
    let open = |name: &str, ca: Option<&Issuer>| {
        let peer = Peer::start_tls(&data, &ours.issue(name));
        let folder = Folder::new();
        let mut head = HEAD.replace("http://", "https://");
        if let Some(ca) = ca {
            fs::write(folder.0.path().join("ca.pem"), ca.pem()).expect("written");
            head = head.replace("auth =", "ca_file = \"ca.pem\"\nauth =");
        }
        let mapping = folder.mapping_of(&head, &peer, PAGES, BEARER);
        let opened = xinqiao_data_adapters::open(mapping).map(|source| {
            conforms(source.as_ref(), &data);
        });
        (opened, peer.asked())
    };
    assert!(open("127.0.0.1", Some(&ours)).0.is_ok());
    for (name, ca, wanted) in [
        ("127.0.0.1", Some(&other), "invalid peer certificate"),
        ("127.0.0.1", None, "invalid peer certificate"),
        ("partner.example", Some(&ours), "not valid for name"),
    ] {
        let (opened, asked) = open(name, ca);
        let said = opened.expect_err(wanted).to_string();
        assert!(said.contains("no TLS connection"), "{said}");
        assert!(said.contains(wanted), "{said}");
        assert_eq!(asked, 0, "the key went to nobody");
    }
}

#[test]
fn a_wrong_key_is_refused_and_not_shown() {
    let peer = Peer::start(&data(true));
    let folder = Folder::new();
    let mapping = folder.mapping(&peer, PAGES, r#"bearer_file = "wrong""#);
    let said = xinqiao_data_adapters::open(mapping)
        .map(|_| ())
        .expect_err("it is refused");
    assert!(
        said.to_string().contains("refuses who we are (401)"),
        "{said}"
    );
    assert_eq!(peer.asked(), 1, "what is refused is not asked again");
}

#[test]
fn a_busy_or_broken_interface_is_asked_again_while_the_deadline_lasts() {
    let peer = Peer::start(&data(true));
    let folder = Folder::new();
    let source = folder.open(&peer);
    let fetch = || block_on(source.fetch(&uscc(11)));
    for (status, after) in [
        (429, Some("1")),
        (500, None),
        (503, Some("0")),
        (502, Some("soon")),
    ] {
        peer.mood(Mood::Status(status, 2, after));
        let start = Instant::now();
        assert!(fetch().is_ok(), "{status}");
        assert_eq!(peer.asked(), 3, "{status}");
        if after == Some("1") {
            assert!(
                start.elapsed() >= Duration::from_secs(2),
                "twice a second, as it was told"
            );
        }
    }
    for (mood, wanted) in [
        (
            Mood::Status(429, 9999, Some("3600")),
            "429, and deadline_ms is over",
        ),
        (
            Mood::Status(503, 9999, None),
            "503, and deadline_ms is over",
        ),
        (Mood::Status(400, 9999, None), "answers 400"),
        (Mood::Status(302, 9999, None), "answers 302"),
        (
            Mood::Slow(Duration::from_secs(60)),
            "timeout_ms, and deadline_ms is over",
        ),
        (
            Mood::Breaks,
            "in the middle of an answer, and deadline_ms is over",
        ),
        (Mood::Says(b"<html>".to_vec()), "not JSON: byte 1"),
        (Mood::Says(b"{\"found\":{\"it\":[]}}".to_vec()), "no object"),
    ] {
        peer.mood(mood);
        let start = Instant::now();
        let said = fetch().expect_err(wanted).to_string();
        assert!(said.contains(wanted), "{said}");
        assert!(start.elapsed() < Duration::from_secs(30), "{said}");
    }
    peer.mood(Mood::Good);
    assert!(fetch().is_ok(), "it is good again");
}

#[test]
fn a_bomb_is_refused_with_its_own_error() {
    let peer = Peer::start(&data(true));
    let folder = Folder::new();
    let source = folder.open(&peer);
    for (body, wanted) in [
        ("[".repeat(50_000), "deeper than 6 levels"),
        (
            format!("[{}0]", "0,".repeat(40_000)),
            "more than 5000 values",
        ),
        (" ".repeat(200_000), "body of more than 100000 bytes"),
    ] {
        peer.mood(Mood::Says(body.into_bytes()));
        match block_on(source.fetch(&uscc(11))) {
            Err(FetchError::Bomb(said)) => assert!(said.contains(wanted), "{said}"),
            other => panic!("{wanted}: {other:?}"),
        }
        let mut scan = source.scan(None).expect("it begins");
        match scan.next() {
            Some(Err(Error::Bomb { message, .. })) => {
                assert!(message.contains(wanted), "{message}")
            }
            other => panic!("{wanted}: {other:?}"),
        }
        assert_eq!(peer.asked(), 2, "a bomb is not asked for again");
    }
}

#[test]
fn another_subjects_record_is_not_taken_for_this_ones() {
    let peer = Peer::start(&data(true));
    let folder = Folder::new();
    let source = folder.open(&peer);
    let body = format!(
        r#"{{"found":{{"it":{{"code":"{}","updated":"2026-06-30","name":"a"}}}}}}"#,
        uscc(12).expose()
    );
    peer.mood(Mood::Says(body.into_bytes()));
    let fetched = block_on(source.fetch(&uscc(11)));
    assert!(
        matches!(&fetched, Err(FetchError::Unavailable(said)) if said.contains("another subject")),
        "{fetched:?}"
    );
}

#[test]
fn an_interface_that_fails_within_a_scan_is_resumed_where_it_stood() {
    let data = data(true);
    let peer = Peer::start(&data);
    let folder = Folder::new();
    let source = folder.open(&peer);
    let all = records(source.as_ref());
    let mut scan = source.scan(None).expect("it begins");
    let mut seen = Vec::new();
    let first = scan.next().expect("a step").expect("it goes on");
    let mut last = first.after.clone();
    seen.extend(first.row.ok().map(|record| record.uscc));
    peer.mood(Mood::Status(500, 9999, None));
    let broken = loop {
        match scan.next() {
            Some(Ok(step)) => {
                last = step.after.clone();
                seen.extend(step.row.ok().map(|record| record.uscc));
            }
            other => break other,
        }
    };
    // Small data may have been on its way already; then there was nothing to break.
    if let Some(broken) = broken {
        assert!(matches!(broken, Err(Error::Unavailable(_))), "{broken:?}");
        peer.mood(Mood::Good);
        for step in source.scan(Some(&last)).expect("it goes on") {
            seen.extend(step.expect("it goes on").row.ok().map(|record| record.uscc));
        }
    }
    assert_eq!(seen, all.keys().copied().collect::<Vec<_>>());
}

#[test]
fn no_more_requests_run_at_once_than_allowed() {
    let peer = Peer::start(&data(true));
    let folder = Folder::new();
    let source = folder.open(&peer);
    peer.mood(Mood::Slow(Duration::from_millis(50)));
    block_on(async {
        let codes: Vec<_> = (0..20).map(uscc).collect();
        let found = futures::future::join_all(codes.iter().map(|code| source.fetch(code))).await;
        assert!(found.iter().all(Result::is_ok));
    });
    assert!((2..=4).contains(&peer.most()), "{} at once", peer.most());
}
