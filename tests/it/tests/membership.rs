//! Votes change who certifies blocks, and how they agree, while everything runs: nothing is lost, and
//! what was certified on either side of a change verifies in one bundle.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_it::{
    Consortium, Kind, People,
    load::{Acknowledged, Load, Place, channel, everyone_has_the_same},
    people::{BUREAUS, REGULATOR},
    process::{self, Process},
    transactions::try_status,
    votes::decide,
};
use xinqiao_ledger::{
    genesis::Parameters,
    ids::ChainId,
    receipt,
    validators::{Engine, Epochs, Handover, ValidatorSet},
    wire::{
        self, change::Kind as Change, ledger_service_client::LedgerServiceClient,
        report_service_client::ReportServiceClient, state_service_client::StateServiceClient,
    },
};
use xinqiao_rpc::{RpcChannel, limited};

const VALIDATORS: [Place; 3] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
];

/// The bureau whose node is voted in, and out again.
const NEWCOMER: Place = (BUREAUS[3], Kind::Node);

const NODES: [Place; 5] = [
    VALIDATORS[0],
    VALIDATORS[1],
    VALIDATORS[2],
    NEWCOMER,
    (REGULATOR, Kind::Observer),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_moves_the_chain_from_raft_to_bft_and_back_and_nothing_is_lost() {
    let consortium = Consortium::start_with(&["--engine", "raft"]).await;
    let people = consortium.people();
    let node = channel(&people, VALIDATORS[0]);
    assert_eq!(validators(&node).await, (Engine::Raft, 3));
    let mut newcomer = in_waiting(&people).await;
    let before = query(&consortium).await;

    let load = Load::begin(&consortium, &VALIDATORS).await;
    load.more(30, "with raft").await;
    let joins = Change::SetValidator(wire::Validator {
        org: NEWCOMER.0.into(),
        public_key: (people.key(NEWCOMER.0, "validator").public().to_sec1()).to_vec(),
        endpoint: format!("https://{}", people.address(NEWCOMER.0, NEWCOMER.1)),
    });
    let to_bft = Change::SetEngine(wire::ConsensusEngine::Bft.into());
    decide(&people, &node, vec![joins, to_bft]).await;
    assert_eq!(validators(&node).await, (Engine::Bft, 4));
    load.more(60, "with bft").await;

    // It bears what bft bears, the newcomer's silence for instance.
    newcomer.kill().await;
    load.more(30, "with bft, without the newcomer").await;
    newcomer.restart().await;
    let between = query(&consortium).await;

    let to_raft = Change::SetEngine(wire::ConsensusEngine::Raft.into());
    let leaves = Change::RemoveValidator(NEWCOMER.0.into());
    decide(&people, &node, vec![to_raft, leaves]).await;
    assert_eq!(validators(&node).await, (Engine::Raft, 3));
    load.more(60, "with raft again").await;
    let after = query(&consortium).await;
    let (told, failed) = load.end().await;
    println!("{} acknowledged, {failed} not", told.len());

    everyone_has_the_same(&people, &NODES, &told).await;
    certified_from_the_genesis_on(&consortium, &node, &told).await;
    for order in [before, between, after] {
        evidence_verifies(&consortium, &hex::encode(order)).await;
    }
}

/// Turns the newcomer's follower into a validator in waiting, as its operator would.
async fn in_waiting(people: &People) -> Process {
    let (org, kind) = NEWCOMER;
    let config = people.config(org, kind);
    let shown = config.display().to_string();
    let running = || process::naming(config.parent().unwrap());
    for (id, line) in running() {
        if line.contains(&shown) {
            process::signal(id, "TERM");
        }
    }
    let begun = Instant::now();
    while running().iter().any(|(_, line)| line.contains(&shown)) {
        assert!(begun.elapsed() < process::STOP, "the follower goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    file.insert("role".into(), "validator".into());
    file.insert("validator_key".into(), "keys/validator.pem".into());
    file.remove("upstreams");
    fs::write(&config, toml::to_string(&file).unwrap()).unwrap();
    Process::start(kind.as_str(), &config).await
}

async fn validators(node: &RpcChannel) -> (Engine, usize) {
    let mut state = limited!(StateServiceClient::new(node.clone()));
    let answer = state.list_validators(wire::ListValidatorsRequest {}).await;
    let answer = answer.unwrap().into_inner();
    let engine = Engine::parse("engine", answer.engine).unwrap();
    (engine, answer.validators.len())
}

/// A report for the bank; gives its order.
async fn query(consortium: &Consortium) -> Vec<u8> {
    let running = consortium.running();
    let query = wire::QueryReportRequest {
        uscc: running.enterprises[0].clone(),
        purpose: running.purpose.clone(),
        user: running.user.clone(),
        ..Default::default()
    };
    let mut agent = limited!(sealed: ReportServiceClient::new(consortium.people().agent()));
    let answer = agent.query_report(query).await.unwrap().into_inner();
    assert!(!answer.sections.is_empty());
    answer.order
}

/// Receipts from before, between and after the changes hold against what the genesis alone leads to.
async fn certified_from_the_genesis_on(
    consortium: &Consortium,
    node: &RpcChannel,
    told: &[Arc<Acknowledged>],
) {
    let first = Epochs::begin(first_validators(&consortium.running().genesis));
    let status = try_status(node).await.unwrap();
    let chain = ChainId::parse("chain_id", &status.chain_id).unwrap();
    let mut epochs = first.clone();
    let mut ledger = limited!(LedgerServiceClient::new(node.clone()));
    let request = wire::GetHandoversRequest { after_height: 0 };
    let answer = ledger.get_handovers(request).await.unwrap().into_inner();
    for handover in &answer.handovers {
        let handover = Handover::parse(handover, DistinguishingId::default()).unwrap();
        epochs.hand_over(handover).unwrap();
    }
    let engines: Vec<Engine> = (epochs.all().iter()).map(|(_, set)| set.engine()).collect();
    assert_eq!(engines, [Engine::Raft, Engine::Bft, Engine::Raft]);
    for one in told {
        receipt::check(&one.receipt, &epochs, &chain).unwrap();
    }
    // Without the changes, only what the first validators certified holds.
    let known = |one: &&Arc<Acknowledged>| receipt::check(&one.receipt, &first, &chain).is_ok();
    let known = told.iter().filter(known).count();
    assert!(0 < known && known < told.len(), "{known} of {}", told.len());
}

/// The validators that a genesis file names.
fn first_validators(file: &Path) -> ValidatorSet {
    let file: toml::Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let keys = file["validators"].as_array().unwrap().iter().map(|one| {
        let key = hex::decode(one["public_key"].as_str().unwrap()).unwrap();
        PublicKey::try_from(&key[..]).unwrap()
    });
    ValidatorSet::new(Engine::Raft, keys, DistinguishingId::default()).unwrap()
}

/// The program exports the order's evidence and verifies it, offline, against the genesis.
async fn evidence_verifies(consortium: &Consortium, order: &str) {
    let file = consortium.dir().join(format!("{order}.evidence"));
    let profile = consortium.running().profile(REGULATOR);
    let within = Duration::from_secs(60);
    let (file, profile) = (file.to_str().unwrap(), profile.to_str().unwrap());
    let export = [
        "proof",
        "export",
        "--profile",
        profile,
        order,
        "--out",
        file,
    ];
    let exported = process::run(&export, within).await;
    assert!(exported.status.success(), "{}", process::printed(&exported));
    let genesis = consortium.running().genesis.clone();
    let verify = [
        "proof",
        "verify",
        "--genesis",
        genesis.to_str().unwrap(),
        file,
    ];
    let verified = process::run(&verify, within).await;
    assert!(verified.status.success(), "{}", process::printed(&verified));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_shortens_the_window_for_expiries_and_everybody_signs_within_it() {
    let consortium = Consortium::start().await;
    let people = consortium.people();
    let node = channel(&people, VALIDATORS[0]);
    query(&consortium).await;
    let short = Parameters {
        max_expiry_window: 30,
        ..Parameters::default()
    };
    let short = Change::SetParameters(wire::Parameters::from(&short));
    decide(&people, &node, vec![short]).await;
    let status = try_status(&node).await.unwrap();
    assert_eq!(status.max_expiry_window, 30);
    // The agent signs orders and verdicts, holders deliveries; all have another window from the genesis.
    for _ in 0..2 {
        query(&consortium).await;
    }
}
