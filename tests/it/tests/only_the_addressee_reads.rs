//! Only the addressee can read: whatever gateways, nodes, observers and the holders' spools keep or pass
//! on, not one byte of a report is in it, in no form.
//!
//! Every link between processes is tapped, so that the search sees what a gateway, a follower or an observer
//! would see that records everything. The search knows what the records hold (their CSV files and the
//! reports that the bank received) and first shows that it would find it, on paper and on a tapped link.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use tokio::net::TcpListener;
use xinqiao_crypto::sm3;
use xinqiao_it::{
    Consortium, Kind,
    markers::{Markers, files},
    people::{BANK, BUREAUS, HOME, REGULATOR},
    process::{FOUNDINGS, Process},
    raw,
    tap::{Tap, Wardrobe},
    transactions::{grant, sign, status, submit},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{
        self, report_service_client::ReportServiceClient, state_service_client::StateServiceClient,
    },
};
use xinqiao_rpc::{Role, limited};

/// How many enterprises are asked for.
const ASKED: usize = 8;

/// All processes, each after those that it needs.
const PROCESSES: [(&str, Kind); 12] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
    (REGULATOR, Kind::Observer),
    (BUREAUS[0], Kind::Holder),
    (BUREAUS[1], Kind::Holder),
    (BUREAUS[2], Kind::Holder),
    (BUREAUS[0], Kind::Gateway),
    (BUREAUS[1], Kind::Gateway),
    (BUREAUS[2], Kind::Gateway),
    (BANK, Kind::Agent),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_bank_holds_or_sees_a_byte_of_a_report_for_a_group() {
    nobody_else_holds_or_sees_a_byte("mls", wire::SealScheme::MlsSm4Gcm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_bank_holds_or_sees_a_byte_of_a_report_in_an_envelope() {
    nobody_else_holds_or_sees_a_byte("envelope", wire::SealScheme::Sm2Sm4Gcm).await;
}

async fn nobody_else_holds_or_sees_a_byte(seal: &str, scheme: wire::SealScheme) {
    // The same processes from the same files, with a tap in the place of each.
    let (consortium, places) = stopped(seal).await;
    let tapped = Tapped::start(&consortium, places).await;

    let reports = queries(&consortium).await;
    let records = consortium.dir().join("records");
    let sections = reports.iter().flat_map(|report| &report.sections);
    let delivered = sections.flat_map(|section| leaves(&section.json));
    let markers = Markers::of_records(&records, delivered);

    the_search_finds_what_is_there(&markers, &consortium, &reports);
    a_tap_hears_what_is_said(&tapped, &markers, &reports);
    let words = every_sealed_part_went_over_a_tap(&consortium, &tapped, &reports, scheme).await;
    blocks_hold_nothing_of_a_report(&consortium, &markers).await;
    what_nodes_and_observers_answer_holds_nothing(&consortium, &markers, &reports).await;
    no_link_carries_anything(&tapped, &markers, &words);

    // Everything is written and closed before it is searched.
    tapped.stop().await;
    disks_and_logs_hold_nothing(&consortium, &markers, &words);
}

/// The processes of a consortium and the taps through which they reach each other.
struct Tapped {
    processes: Vec<Process>,
    taps: BTreeMap<(&'static str, Kind), Tap>,
}

/// A consortium that was founded and has stopped, with the places of its processes: everyone's at once, so
/// that none of them is given to a process that asks for any free port.
async fn stopped(seal: &str) -> (Consortium, Vec<TcpListener>) {
    for _ in 0..FOUNDINGS {
        let mut consortium = Consortium::start_with(&["--seal", seal]).await;
        consortium.stop().await;
        let people = consortium.people();
        let mut places = Vec::new();
        for (org, kind) in PROCESSES {
            // Another program's connection may have got a port meanwhile; then the next consortium is tried.
            places.extend(TcpListener::bind(people.address(org, kind)).await);
        }
        if places.len() == PROCESSES.len() {
            return (consortium, places);
        }
    }
    panic!("ports were taken {FOUNDINGS} times");
}

impl Tapped {
    async fn start(consortium: &Consortium, places: Vec<TcpListener>) -> Self {
        let people = consortium.people();
        let wardrobe = Arc::new(Wardrobe::of(consortium.dir()));
        let (mut processes, mut taps) = (Vec::new(), BTreeMap::new());
        for ((org, kind), place) in PROCESSES.into_iter().zip(places) {
            let config = people.config(org, kind);
            // Where everyone expects the process is the tap; it listens somewhere else itself.
            let process = Process::start(kind.as_str(), &elsewhere(&config)).await;
            let server = process.address();
            let tap = if kind == Kind::Agent {
                Tap::plain(place, server)
            } else {
                let certificate = config
                    .with_file_name("tls")
                    .join(format!("{}.pem", kind.as_str()));
                Tap::mutual(place, server, &certificate, wardrobe.clone())
            };
            processes.push(process);
            taps.insert((org, kind), tap);
        }
        Self { processes, taps }
    }

    /// Who asks is stopped before who answers.
    async fn stop(self) {
        for process in self.processes.into_iter().rev() {
            process.stop().await;
        }
    }

    /// Digests of everything that processes of a kind gave out in pieces.
    fn given_out(&self, org: &str, kind: Kind) -> BTreeSet<Vec<u8>> {
        let tap = &self.taps[&PROCESSES[place(org, kind)]];
        let whole = |answer: &Vec<Vec<u8>>| -> Option<Vec<u8>> {
            let mut sealed = Vec::new();
            for message in answer {
                // Gateways pass the same pieces on to agents as to each other: field 1 is the chunk.
                let piece = wire::RelayPartResponse::decode(&message[..]).ok()?;
                sealed.extend_from_slice(&piece.chunk);
            }
            Some(sm3(&sealed).as_bytes().to_vec())
        };
        tap.answers().iter().filter_map(whole).collect()
    }
}

fn place(org: &str, kind: Kind) -> usize {
    let found = PROCESSES.iter().position(|process| *process == (org, kind));
    found.expect("a process of the consortium")
}

/// The same configuration beside it, for a process that listens on any free port.
fn elsewhere(config: &Path) -> PathBuf {
    let text = std::fs::read_to_string(config).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    table.insert("listen".into(), "127.0.0.1:0".into());
    let name = config.file_stem().unwrap().to_string_lossy();
    let other = config.with_file_name(format!("{name}-tapped.toml"));
    std::fs::write(&other, table.to_string()).unwrap();
    other
}

/// Consents for some enterprises, and a query for each.
async fn queries(consortium: &Consortium) -> Vec<wire::QueryReportResponse> {
    let (people, running) = (consortium.people(), consortium.running());
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let tip = status(&node).await;
    let chain = ChainId::parse("chain_id", &tip.chain_id).unwrap();
    let admin = people.key(HOME, "admin");
    let catalogue = limited!(StateServiceClient::new(node.clone()))
        .get_catalogue(wire::GetCatalogueRequest {})
        .await
        .unwrap()
        .into_inner()
        .catalogue
        .unwrap();
    let items: Vec<&str> = catalogue
        .items
        .iter()
        .map(|item| item.code.as_str())
        .collect();
    let mut agent = limited!(sealed: ReportServiceClient::new(people.agent()));
    let mut reports = Vec::new();
    for (index, uscc) in running.enterprises.iter().take(ASKED).enumerate() {
        if index > 0 {
            let action = grant(people.subject(uscc), "js-bank", &[&running.purpose], &items);
            let transaction = sign(
                action,
                &chain,
                tip.height + tip.max_expiry_window / 2,
                &admin,
            );
            let taken = submit(&node, transaction, 20_000).await.unwrap();
            assert!(taken.receipt.is_some(), "a grant was not committed");
        }
        let query = wire::QueryReportRequest {
            uscc: uscc.clone(),
            purpose: running.purpose.clone(),
            user: running.user.clone(),
            ..Default::default()
        };
        let report = agent.query_report(query).await.unwrap().into_inner();
        assert!(!report.sections.is_empty(), "{:?}", report.parts);
        reports.push(report);
    }
    reports
}

/// The texts and numbers in a JSON document.
fn leaves(json: &str) -> Vec<String> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|value| walk(value, found))
            }
            serde_json::Value::String(text) => found.push(text.clone()),
            other => found.push(other.to_string()),
        }
    }
    let mut found = Vec::new();
    walk(&serde_json::from_str(json).unwrap(), &mut found);
    found
}

/// A search that finds nothing anywhere would prove nothing.
fn the_search_finds_what_is_there(
    markers: &Markers,
    consortium: &Consortium,
    reports: &[wire::QueryReportResponse],
) {
    for file in files(&consortium.dir().join("records")) {
        if file.extension().is_some_and(|extension| extension == "csv") {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                markers.find(&bytes).is_some(),
                "nothing was found in {}",
                file.display()
            );
        }
    }
    for uscc in &consortium.running().enterprises {
        assert!(
            markers.find(uscc.as_bytes()).is_some(),
            "a code is no marker"
        );
    }
    for report in reports {
        assert!(
            markers.find(&report.encode_to_vec()).is_some(),
            "a whole report has no marker"
        );
    }
    println!("searching for {} markers", markers.count());
}

/// What the bank's application is told in the plain is found on its link, so it would be on the others.
fn a_tap_hears_what_is_said(
    tapped: &Tapped,
    markers: &Markers,
    reports: &[wire::QueryReportResponse],
) {
    let tap = &tapped.taps[&(BANK, Kind::Agent)];
    let heard = tap.heard();
    let found = heard.iter().filter(|bytes| markers.find(bytes).is_some());
    assert!(
        found.count() > reports.len(),
        "the reports were not heard on the link of the bank's application"
    );
    let told: BTreeSet<Vec<u8>> = tap.answers().concat().into_iter().collect();
    for report in reports {
        let order = hex::encode(&report.order);
        assert!(
            told.contains(&report.encode_to_vec()),
            "the report of order {order} was not heard"
        );
    }
}

/// The deliveries themselves were heard, whole, on every link of their way: from their holder, from its
/// gateway, and from the bank's own. Gives what may be on every link and in every database: the codes
/// of their items, which the record of a delivery has in the plain.
async fn every_sealed_part_went_over_a_tap(
    consortium: &Consortium,
    tapped: &Tapped,
    reports: &[wire::QueryReportResponse],
    scheme: wire::SealScheme,
) -> Markers {
    let people = consortium.people();
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let mut state = limited!(StateServiceClient::new(node));
    let sources = state
        .list_sources(wire::ListSourcesRequest {})
        .await
        .unwrap()
        .into_inner()
        .sources;
    let operators: BTreeMap<String, String> = sources
        .into_iter()
        .filter_map(|state| state.source)
        .map(|source| (source.source, source.operator))
        .collect();
    let given_out: BTreeMap<(&str, Kind), BTreeSet<Vec<u8>>> = PROCESSES
        .into_iter()
        .filter(|(_, kind)| matches!(kind, Kind::Holder | Kind::Gateway))
        .map(|(org, kind)| ((org, kind), tapped.given_out(org, kind)))
        .collect();
    let (mut parts, mut relayed, mut words) = (0, 0, BTreeSet::new());
    for report in reports {
        let order = wire::GetOrderRequest {
            order: report.order.clone(),
        };
        let order = state
            .get_order(order)
            .await
            .unwrap()
            .into_inner()
            .order
            .unwrap();
        assert_eq!(order.seal_scheme(), scheme);
        for part in &order.parts {
            let in_group = part.group_epoch.is_some();
            assert_eq!(in_group, scheme == wire::SealScheme::MlsSm4Gcm);
            // The bank's own record that it opened the part comes after its report.
            let delivered = [wire::PartStatus::Delivered, wire::PartStatus::Confirmed];
            assert!(delivered.contains(&part.status()), "{part:?}");
            let source = &part.part.as_ref().unwrap().source;
            let operator = operators[source].as_str();
            let mut way = vec![(operator, Kind::Holder), (HOME, Kind::Gateway)];
            if operator != HOME {
                way.push((operator, Kind::Gateway));
                relayed += 1;
            }
            for step in way {
                assert!(
                    given_out[&step].contains(&part.ciphertext_digest),
                    "the sealed part of {source} was not heard from {step:?}"
                );
            }
            words.extend(part.part.as_ref().unwrap().items.iter().cloned());
            parts += 1;
        }
    }
    println!("{parts} sealed parts were heard on their way, {relayed} of them between gateways");
    assert!(relayed > 0, "no gateway relayed anything");
    Markers::new(words.into_iter().collect())
}

/// Everything that was said between processes, in both directions. What may be said is found by the same
/// search, so that there is nothing that it cannot read.
fn no_link_carries_anything(tapped: &Tapped, markers: &Markers, words: &Markers) {
    for ((org, kind), tap) in &tapped.taps {
        if *kind == Kind::Agent {
            // The plain link inside the bank, where the reports belong.
            continue;
        }
        let place = format!("what went to and from {org}'s {}", kind.as_str());
        let heard = tap.heard();
        let bytes: usize = heard.iter().map(Vec::len).sum();
        println!("{place}: {bytes} bytes");
        let readable = heard.iter().any(|bytes| words.find(bytes).is_some());
        assert!(readable, "nothing at all was found in {place}");
        for bytes in &heard {
            markers.absent(&place, bytes);
        }
    }
}

/// Every block, as followers and observers receive them.
async fn blocks_hold_nothing_of_a_report(consortium: &Consortium, markers: &Markers) {
    let people = consortium.people();
    for who in [(REGULATOR, Role::Observer), (BUREAUS[2], Role::Gateway)] {
        let node = people.connect(who, (BUREAUS[0], Kind::Node));
        let height = status(&node).await.height;
        let path = "/xinqiao.v1.LedgerService/StreamBlocks";
        let from = wire::StreamBlocksRequest { from_height: 1 };
        let blocks = raw::call(&node, path, from.encode_to_vec(), None)
            .await
            .unwrap();
        assert!(
            blocks.len() as u64 >= height,
            "{} blocks of {height}",
            blocks.len()
        );
        for block in &blocks {
            markers.absent("a block", block);
        }
    }
}

/// Everything that can be asked for about the orders and the state.
async fn what_nodes_and_observers_answer_holds_nothing(
    consortium: &Consortium,
    markers: &Markers,
    reports: &[wire::QueryReportResponse],
) {
    let people = consortium.people();
    let observer = people.connect((REGULATOR, Role::Operator), (REGULATOR, Kind::Observer));
    let page = wire::ListAccessRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let mut asked = vec![
        ("AuditService/ListAccess", page.encode_to_vec()),
        ("AuditService/ListOrders", Vec::new()),
        ("StateService/ListMembers", Vec::new()),
        ("StateService/ListSources", Vec::new()),
    ];
    for report in reports {
        let order = wire::GetEvidenceRequest {
            order: report.order.clone(),
        };
        asked.push(("AuditService/GetEvidence", order.encode_to_vec()));
    }
    for (method, message) in asked {
        let path = format!("/xinqiao.v1.{method}");
        let answers = raw::call(&observer, &path, message, None).await.unwrap();
        assert!(!answers.is_empty(), "{method} answered nothing");
        answers
            .iter()
            .for_each(|answer| markers.absent(method, answer));
    }
}

/// Everything that the processes wrote, apart from the records themselves.
fn disks_and_logs_hold_nothing(consortium: &Consortium, markers: &Markers, words: &Markers) {
    let (mut searched, mut databases, mut entries, mut logs) = (0, 0, 0, 0);
    for folder in std::fs::read_dir(consortium.dir()).unwrap().flatten() {
        let folder = folder.path();
        if !folder.is_dir() || folder.ends_with("records") {
            continue;
        }
        for file in markers.absent_below(&folder) {
            searched += 1;
            logs += usize::from(file.extension().is_some_and(|extension| extension == "log"));
            // The file that makes a folder a RocksDB database.
            if file.file_name().is_some_and(|name| name == "CURRENT") {
                let database = file.parent().unwrap();
                entries += markers.absent_in_database(database);
                assert!(
                    words.is_in_database(database),
                    "nothing at all was found in {}",
                    database.display()
                );
                databases += 1;
            }
        }
    }
    println!("{searched} files, {databases} databases with {entries} entries, {logs} logs");
    // Three nodes, three holders' replicas and the observer; and a log of each process.
    assert!(
        databases >= 7 && entries > 1_000,
        "{databases} databases, {entries} entries"
    );
    assert!(logs >= 11, "only {logs} logs were found");
}
