//! A validator that runs twice with one key, as when a standby starts from a copy while the original
//! goes on: it is caught by the others, put on record, and nothing forks.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use prost::Message as _;
use xinqiao_crypto::{DistinguishingId, PublicKey, verify_once};
use xinqiao_it::{
    Consortium, Kind, People,
    load::{Load, Place, channel, everyone_has_the_same},
    people::{BUREAUS, REGULATOR},
    process::{self, Process},
    transactions::try_status,
};
use xinqiao_ledger::{
    ids::{ChainId, TxId},
    vote::Equivocation,
    wire::{
        self, ledger_service_client::LedgerServiceClient, state_service_client::StateServiceClient,
        tx_body::Action,
    },
};
use xinqiao_rpc::{Role, RpcChannel, limited, tls};

/// The validator that runs twice.
const TWICE: Place = (BUREAUS[0], Kind::Node);

/// Those that run once.
const HONEST: [Place; 3] = [
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
];

const NODES: [Place; 5] = [
    TWICE,
    HONEST[0],
    HONEST[1],
    HONEST[2],
    (REGULATOR, Kind::Observer),
];

/// How long it may take until a contradiction is on the ledger.
const CAUGHT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_runs_twice_is_caught_and_put_on_record_and_nothing_forks() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let twin = start_twin(&consortium).await;
    // One of the others takes the twin for the validator, and two the original. Both talk to all three.
    let uri = format!("https://{}", twin.address());
    let (org, kind) = HONEST[0];
    let config = people.config(org, kind);
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    let elsewhere = toml::Table::from_iter([(TWICE.0.to_owned(), uri.clone().into())]);
    file.insert("validators".into(), elsewhere.into());
    fs::write(&config, toml::to_string(&file).unwrap()).unwrap();
    let mut processes = Vec::new();
    for (org, kind) in NODES {
        processes.push(Process::start(kind.as_str(), &people.config(org, kind)).await);
    }

    let observer = channel(&people, NODES[4]);
    let load = Load::begin(&consortium, &HONEST).await;
    let entry = caught(&observer).await;
    check(&people, &observer, &entry).await;
    shown_by_the_command(&consortium, &entry).await;

    load.more(100, "after it was caught").await;
    let (told, failed) = load.end().await;
    println!("{} acknowledged, {failed} not", told.len());
    everyone_has_the_same(&people, &NODES, &told).await;
    same_chain(&people, &uri, &observer).await;
    twin.stop().await;
}

/// A second process with the validator's key, certificate, log and a copy of its data.
async fn start_twin(consortium: &Consortium) -> Process {
    let (org, kind) = TWICE;
    let config = consortium.people().config(org, kind);
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    let folder = config.parent().unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(folder.join(file["data_dir"].as_str().unwrap()))
        .arg(folder.join("data/twin"))
        .status();
    assert!(copied.unwrap().success());
    file.insert("data_dir".into(), "data/twin".into());
    file.insert("listen".into(), "127.0.0.1:0".into());
    let config = config.with_file_name("twin.toml");
    fs::write(&config, toml::to_string(&file).unwrap()).unwrap();
    Process::start(kind.as_str(), &config).await
}

/// The first contradiction that an observer shows.
async fn caught(observer: &RpcChannel) -> wire::Misbehaviour {
    let begun = Instant::now();
    let mut state = limited!(StateServiceClient::new(observer.clone()));
    loop {
        let request = wire::ListMisbehaviourRequest {
            before_index: 0,
            page_size: 100,
        };
        let answer = state.list_misbehaviour(request).await.unwrap();
        if let Some(first) = answer.into_inner().entries.pop() {
            println!("on record after {:?}", begun.elapsed());
            return first;
        }
        assert!(
            begun.elapsed() < CAUGHT,
            "nobody noticed that one runs twice"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// It names the validator, proves it with two of its own signatures, and was reported by another
/// validator under its own key.
async fn check(people: &People, observer: &RpcChannel, entry: &wire::Misbehaviour) {
    let status = try_status(observer).await.unwrap();
    let chain = ChainId::parse("chain_id", &status.chain_id).unwrap();
    let key = *people.key(TWICE.0, "validator").public();
    assert_eq!(entry.org, TWICE.0);
    assert_eq!(entry.public_key, key.to_sec1());
    let evidence = Equivocation::try_from(entry.evidence.as_ref().unwrap()).unwrap();
    let signed = |key: &PublicKey, message: &[u8], signature: &_| {
        verify_once(key, &DistinguishingId::default(), message, signature).is_ok()
    };
    evidence.check_under(&chain, &key, signed).unwrap();

    let mut ledger = limited!(LedgerServiceClient::new(observer.clone()));
    let id = TxId::parse("tx_id", &entry.tx_id).unwrap();
    let request = wire::GetReceiptRequest {
        tx_id: id.to_vec(),
        wait_ms: 0,
    };
    let found = ledger.get_receipt(request).await.unwrap().into_inner();
    let transaction = &found.receipt.unwrap().transaction[..];
    let transaction = wire::Transaction::decode(transaction).unwrap();
    let reporter = people.key(&entry.reporter, "validator");
    assert_eq!(transaction.signer, reporter.public().id().as_bytes());
    let body = wire::TxBody::decode(&transaction.body[..]).unwrap();
    assert!(matches!(body.action, Some(Action::ReportEquivocation(_))));
}

/// `xinqiao validator misbehaviour` shows it to whoever asks the observer.
async fn shown_by_the_command(consortium: &Consortium, entry: &wire::Misbehaviour) {
    let profile = consortium.running().profile(REGULATOR);
    let profile = profile.to_str().unwrap();
    let arguments = ["--json", "validator", "misbehaviour", "--profile", profile];
    let output = process::run(&arguments, Duration::from_secs(30)).await;
    assert!(output.status.success(), "{}", process::printed(&output));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = shown.as_array().unwrap().last().unwrap();
    assert_eq!(shown["org"], TWICE.0);
    assert_eq!(shown["reporter"], entry.reporter.as_str());
    assert_eq!(shown["tx_id"], hex::encode(&entry.tx_id));
    let output = process::run(&arguments[1..], Duration::from_secs(30)).await;
    let printed = process::printed(&output);
    assert!(printed.contains(TWICE.0), "{printed}");
}

/// The twin, wherever it stands, is on the consortium's chain.
async fn same_chain(people: &People, twin: &str, observer: &RpcChannel) {
    let operator = people.identity(TWICE.0, Role::Operator);
    let twin = tls::channel(twin, &operator, Some(TWICE.0)).unwrap();
    let status = try_status(&twin).await.unwrap();
    assert_eq!(status.halted, "");
    let mut ledger = limited!(LedgerServiceClient::new(observer.clone()));
    let height = status.height;
    let answer = ledger.get_block(wire::GetBlockRequest { height }).await;
    let block = answer.unwrap().into_inner().block.unwrap();
    let header = xinqiao_ledger::block::Header::parse(&block.header).unwrap();
    assert_eq!(header.hash().to_vec(), status.header_hash);
    assert_eq!(
        header.state_commitment.as_bytes().to_vec(),
        status.state_commitment
    );
}
