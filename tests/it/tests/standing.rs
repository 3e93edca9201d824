//! What an operator does about members on a running consortium, by the program's own commands: a freeze
//! binds in the next block; a certificate lets somebody in for as long as the ledger has it; where a node
//! stands. And what the program does when nobody reads what it prints.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use prost::Message as _;
use xinqiao_it::{
    Consortium, Kind,
    load::channel,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    process,
    transactions::{sign, submit, try_status},
};
use xinqiao_ledger::{
    ids::ChainId,
    outcome::Outcome,
    wire::{self, report_service_client::ReportServiceClient, tx_body::Action},
};
use xinqiao_rpc::{FaultView, limited};

/// Done, and refused with a reason code.
const DONE: Option<i32> = Some(0);
const REFUSED: Option<i32> = Some(3);

/// Runs `xinqiao` with a profile.
async fn xinqiao(words: &str, profile: &Path, more: &[&str]) -> Output {
    let mut all: Vec<&str> = words.split(' ').collect();
    all.extend(["--profile", profile.to_str().unwrap()]);
    all.extend(more);
    process::run(&all, Duration::from_secs(60)).await
}

/// A profile like another one, of somebody with other files or at another node.
fn like(profile: &Path, name: &str, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(profile).unwrap()).unwrap();
    change(&mut file);
    let changed = profile.with_file_name(name);
    fs::write(&changed, toml::to_string(&file).unwrap()).unwrap();
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_binds_in_the_next_block_until_it_is_lifted() {
    let consortium = Consortium::start().await;
    let (people, running) = (consortium.people(), consortium.running());
    let bureau = fs::read_to_string(running.profile(HOME)).unwrap();
    let bureau: toml::Table = toml::from_str(&bureau).unwrap();
    // The regulator's own profile is at its observer, which takes no transactions.
    let regulator = like(&running.profile(REGULATOR), "writes.toml", |file| {
        file.insert("node".into(), bureau["node"].clone());
        file.insert("admin_key".into(), "keys/admin.pem".into());
    });
    let node = channel(&people, (HOME, Kind::Node));
    let ask = || async {
        let query = wire::QueryReportRequest {
            uscc: running.enterprises[0].clone(),
            purpose: running.purpose.clone(),
            user: running.user.clone(),
            ..Default::default()
        };
        let mut agent = limited!(sealed: ReportServiceClient::new(people.agent()));
        let answer = agent.query_report(query).await;
        answer.map_err(|status| FaultView::from_status(&status).reason_code)
    };
    // The bank's own transactions, handed in by somebody else: what each comes to, and where.
    let (at, who) = (node.clone(), people.clone());
    let opens = move |number: u32| {
        let (node, people) = (at.clone(), who.clone());
        async move {
            let status = try_status(&node).await.unwrap();
            let chain = ChainId::parse("chain_id", &status.chain_id).unwrap();
            let user = people.user(&format!("user {number}"));
            let expires = status.height + status.max_expiry_window / 2;
            let admin = people.key(BANK, "admin");
            let action = Action::OpenUser(wire::OpenUser { user });
            let answer = submit(&node, sign(action, &chain, expires, &admin), 20_000).await;
            let answer = answer.map_err(|status| FaultView::from_status(&status).reason_code)?;
            let receipt = answer.receipt.unwrap();
            let height = wire::Header::decode(&receipt.header[..]).unwrap().height;
            let outcome = Outcome::parse(&receipt.outcome).unwrap().1;
            Ok::<_, Option<String>>((height, matches!(outcome, Outcome::Applied(_))))
        }
    };
    assert!(ask().await.is_ok());

    let before = opens(u32::MAX - 1).await;
    assert!(matches!(before, Ok((_, true))), "{before:?}");
    let working = {
        let opens = opens.clone();
        tokio::spawn(async move {
            let mut done = Vec::new();
            for number in 0.. {
                match opens(number).await {
                    Ok(one) => done.push(one),
                    Err(code) => return (done, code),
                }
            }
            unreachable!("it goes on until it is refused")
        })
    };
    let frozen = xinqiao("member freeze", &regulator, &[BANK, "--reason", "a test"]).await;
    let printed = process::printed(&frozen);
    assert_eq!(frozen.status.code(), DONE, "{printed}");
    let at = printed.split("height ").nth(1).unwrap();
    let at: u64 = at.split(',').next().unwrap().parse().unwrap();
    let (done, code) = working.await.unwrap();
    assert_eq!(code.as_deref(), Some("MEMBER_FROZEN"));
    assert!(
        done.iter()
            .any(|(height, applied)| *height < at && *applied)
    );
    for (height, applied) in &done {
        assert!(*height <= at || !applied, "{height}, frozen at {at}");
    }
    let code = ask().await.unwrap_err();
    assert_eq!(code.as_deref(), Some("MEMBER_FROZEN"));
    let own = xinqiao("node status", &running.profile(BANK), &[]).await;
    let printed = process::printed(&own);
    assert_eq!(own.status.code(), REFUSED, "{printed}");
    assert!(printed.contains("MEMBER_FROZEN"), "{printed}");
    let listed = xinqiao("member list", &running.profile(REGULATOR), &[]).await;
    assert!(process::printed(&listed).contains("frozen"));

    let lifted = xinqiao("member unfreeze", &regulator, &[BANK]).await;
    let printed = process::printed(&lifted);
    assert_eq!(lifted.status.code(), DONE, "{printed}");
    assert!(matches!(opens(u32::MAX).await, Ok((_, true))));
    assert!(ask().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_lets_in_for_as_long_as_the_ledger_has_it() {
    let consortium = Consortium::start().await;
    let running = consortium.running();
    let org = BUREAUS[0];
    let profile = running.profile(org);
    let folder = profile.parent().unwrap();
    let file = folder.join("tls/second.pem");
    let (ca, file) = (consortium.dir().join("ca"), file.to_str().unwrap());
    let ca = ca.to_str().unwrap();
    let issue = ["keys", "certificate", "--authority", ca, "--org", org];
    let issue = [&issue[..], &["--role", "operator", "--out", file]].concat();
    let issued = process::run(&issue, Duration::from_secs(60)).await;
    let printed = process::printed(&issued);
    assert_eq!(issued.status.code(), DONE, "{printed}");
    let fingerprint = printed.split("fingerprint ").nth(1).unwrap();
    let fingerprint = fingerprint.split(',').next().unwrap().to_owned();
    let second = like(&profile, "second.toml", |file| {
        let tls = file["tls"].as_table_mut().unwrap();
        tls.insert("cert".into(), "tls/second.pem".into());
        tls.insert("key".into(), "tls/second.key".into());
    });
    let let_in = |code, says: &'static str| {
        let second = &second;
        async move {
            let asked = xinqiao("node status", second, &[]).await;
            let printed = process::printed(&asked);
            assert_eq!(asked.status.code(), code, "{printed}");
            assert!(printed.contains(says), "{printed}");
        }
    };
    let by_print = ["--fingerprint", &fingerprint];
    for (words, more, code, says) in [
        (
            "revoke-certificate",
            &[file][..],
            REFUSED,
            "CERTIFICATE_UNKNOWN",
        ),
        ("add-certificate", &[file], DONE, "done at height"),
        ("add-certificate", &[file], REFUSED, "CERTIFICATE_EXISTS"),
        ("revoke-certificate", &by_print, DONE, "done at height"),
        ("add-certificate", &[file], REFUSED, "CERTIFICATE_EXISTS"),
    ] {
        let done = xinqiao(&format!("member {words}"), &profile, more).await;
        let printed = process::printed(&done);
        assert_eq!(done.status.code(), code, "{words}: {printed}");
        assert!(printed.contains(says), "{words}: {printed}");
        if code == DONE && words == "add-certificate" {
            let_in(DONE, "well").await;
        } else if words == "revoke-certificate" {
            let_in(REFUSED, "CERTIFICATE_").await;
        }
    }

    // What the table shows is what the node says.
    let shown = xinqiao("--json node status", &profile, &[]).await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let said = try_status(&channel(&consortium.people(), (org, Kind::Node))).await;
    let said = said.unwrap();
    assert_eq!(shown["role"], "validator");
    assert_eq!(shown["height"], said.height);
    assert_eq!(
        shown["state_commitment"],
        hex::encode(&said.state_commitment)
    );
    assert_eq!(shown["halted"], "");
    let table = xinqiao("node status", &profile, &[]).await;
    let table = process::printed(&table);
    for shown in [hex::encode(&said.chain_id), hex::encode(&said.header_hash)] {
        assert!(table.contains(&shown), "{table}");
    }
}

#[test]
fn whoever_reads_no_further_ends_the_program_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let key = folder.path().join("key.pem");
    let ended = Command::new(process::xinqiao())
        .args(["keys", "sm2", "--out"])
        .arg(&key)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(141));
    assert!(key.is_file(), "what it was for is done");
}
