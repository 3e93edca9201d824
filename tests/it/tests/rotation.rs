//! A validator's key is rotated on a running consortium: the new one signs and the old one no more, and
//! what the old one certified verifies for ever. And a validator that a vote removed is none any more.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_it::{
    Consortium, Kind, People,
    load::{Load, Place, channel, everyone_has_the_same},
    people::{BUREAUS, REGULATOR},
    process::{self, Process},
    transactions::try_status,
    votes::decide,
};
use xinqiao_ledger::{
    block::{Block, Header},
    ids::ChainId,
    receipt,
    validators::{Engine, Epochs, Handover, ValidatorSet},
    wire::{
        self, change::Kind as Change, converse_request::Content,
        ledger_service_client::LedgerServiceClient,
        validator_service_client::ValidatorServiceClient,
    },
};
use xinqiao_rpc::{FaultView, Role, RpcChannel, limited};

const NODES: [Place; 5] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    ROTATES,
    (REGULATOR, Kind::Observer),
];

/// The validator whose key is rotated, and that is removed in the end.
const ROTATES: Place = (BUREAUS[3], Kind::Node);

/// How long the new key may take to sign its first block.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_signs_no_more_and_a_removed_validator_is_heard_no_more() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let mut processes = BTreeMap::new();
    for (org, kind) in NODES {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }
    let node = channel(&people, NODES[0]);
    let old = *people.key(ROTATES.0, "validator").public();
    let load = Load::begin(&consortium, &NODES[..3]).await;
    load.more(50, "with the old key").await;
    signs(&node, &old, 1).await;

    let config = people.config(ROTATES.0, ROTATES.1);
    processes.remove(&ROTATES).unwrap().stop().await;
    with_new_key(&config).await;
    processes.insert(ROTATES, Process::start("node", &config).await);
    let profile = at_another(&consortium, &people);
    let rotated = rotate(&profile, "validator-2").await;
    let printed = process::printed(&rotated);
    assert!(rotated.status.success(), "{printed}");
    let at = printed.split("height ").nth(1).unwrap();
    let at: u64 = at.split(',').next().unwrap().parse().unwrap();
    load.more(50, "with the new key").await;
    let new = *people.key(ROTATES.0, "validator-2").public();
    signs(&node, &new, at + 1).await;
    let again = rotate(&profile, "validator-3").await;
    assert_eq!(again.status.code(), Some(3));
    assert!(process::printed(&again).contains("ROTATION_TOO_SOON"));

    let leaves = Change::RemoveValidator(ROTATES.0.into());
    let joins = Change::SetEngine(wire::ConsensusEngine::Raft.into());
    decide(&people, &node, vec![leaves, joins]).await;
    load.more(50, "without the one that was removed").await;
    let (told, _) = load.end().await;
    everyone_has_the_same(&people, &NODES, &told).await;
    heard_no_more(&people, &node, &new).await;

    // The old key is in no certificate after the block that rotated it; all receipts verify.
    let mut ledger = limited!(LedgerServiceClient::new(node.clone()));
    let tip = try_status(&node).await.unwrap();
    for height in at + 1..=tip.height {
        let request = wire::GetBlockRequest { height };
        let block = ledger.get_block(request).await.unwrap().into_inner();
        let block = Block::try_from(&block.block.unwrap()).unwrap();
        let signers = block.certificate.signatures.iter();
        assert!(signers.clone().all(|(signer, _)| *signer != old.id()));
        assert_ne!(block.header.proposer, old.id());
    }
    let chain = ChainId::parse("chain_id", &tip.chain_id).unwrap();
    let mut epochs = Epochs::begin(first_validators(&consortium.running().genesis));
    let request = wire::GetHandoversRequest { after_height: 0 };
    let answer = ledger.get_handovers(request).await.unwrap().into_inner();
    for handover in &answer.handovers {
        let handover = Handover::parse(handover, DistinguishingId::default()).unwrap();
        epochs.hand_over(handover).unwrap();
    }
    assert_eq!(epochs.all().len(), 3, "rotated, and removed");
    for one in &told {
        receipt::check(&one.receipt, &epochs, &chain).unwrap();
    }
    assert!(told.iter().any(|one| one.height() < at) && told.iter().any(|one| one.height() > at));
}

/// Makes a key, puts the log of the old one away, and names the new one, as the operator's page says.
async fn with_new_key(config: &Path) {
    let folder = config.parent().unwrap();
    for name in ["validator-2", "validator-3"] {
        let out = folder.join(format!("keys/{name}.pem"));
        let arguments = ["keys", "sm2", "--out", out.to_str().unwrap()];
        let made = process::run(&arguments, SOON).await;
        assert!(made.status.success(), "{}", process::printed(&made));
    }
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    let data = folder.join(file["data_dir"].as_str().unwrap());
    fs::rename(data.join("validator-log"), folder.join("old-log")).unwrap();
    file.insert("validator_key".into(), "keys/validator-2.pem".into());
    fs::write(config, toml::to_string(&file).unwrap()).unwrap();
}

/// The member's profile, at another member's node.
fn at_another(consortium: &Consortium, people: &People) -> PathBuf {
    let profile = consortium.running().profile(ROTATES.0);
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(&profile).unwrap()).unwrap();
    let uri = format!("https://{}", people.address(NODES[0].0, NODES[0].1));
    let node = [("org", NODES[0].0.to_owned()), ("uri", uri)];
    let node = node.map(|(name, value)| (name.to_owned(), value.into()));
    file.insert("node".into(), toml::Table::from_iter(node).into());
    let changed = profile.with_file_name("elsewhere.toml");
    fs::write(&changed, toml::to_string(&file).unwrap()).unwrap();
    changed
}

async fn rotate(profile: &Path, key: &str) -> std::process::Output {
    let key = profile.with_file_name(format!("keys/{key}.pem"));
    let (profile, key) = (profile.to_str().unwrap(), key.to_str().unwrap());
    let words = ["validator", "rotate", "--profile", profile, "--key", key];
    process::run(&words, SOON).await
}

/// Waits until a key has proposed a block that was certified, at that height or above.
async fn signs(node: &RpcChannel, key: &PublicKey, from: u64) {
    let begun = Instant::now();
    let mut ledger = limited!(LedgerServiceClient::new(node.clone()));
    let mut height = from;
    loop {
        assert!(begun.elapsed() < SOON, "it has proposed nothing");
        let request = wire::GetBlockRequest { height };
        let Ok(answer) = ledger.get_block(request).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let block = answer.into_inner().block.unwrap();
        if Header::parse(&block.header).unwrap().proposer == key.id() {
            return;
        }
        height += 1;
    }
}

/// Whoever is no validator can neither speak as one nor get bodies.
async fn heard_no_more(people: &People, node: &RpcChannel, key: &PublicKey) {
    let own = people.connect((ROTATES.0, Role::Node), NODES[0]);
    let mut client = limited!(ValidatorServiceClient::new(own));
    let status = try_status(node).await.unwrap();
    let greeting = Content::Greeting(wire::Greeting {
        chain_id: status.chain_id,
        validator: key.id().as_bytes().to_vec(),
    });
    let greeting = wire::ConverseRequest {
        content: Some(greeting),
    };
    let refused = client.converse(tokio_stream::once(greeting)).await;
    let code = |status: tonic::Status| FaultView::from_status(&status).reason_code;
    let refused = code(refused.map(drop).unwrap_err());
    assert_eq!(refused.as_deref(), Some("ROLE_DENIED"));
    let request = wire::GetBodyRequest {
        header_hash: status.header_hash,
    };
    let refused = code(client.get_body(request).await.map(drop).unwrap_err());
    assert_eq!(refused.as_deref(), Some("ROLE_DENIED"));
}

/// The validators that a genesis file names.
fn first_validators(file: &Path) -> ValidatorSet {
    let file: toml::Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let keys = file["validators"].as_array().unwrap().iter().map(|one| {
        let key = hex::decode(one["public_key"].as_str().unwrap()).unwrap();
        PublicKey::try_from(&key[..]).unwrap()
    });
    ValidatorSet::new(Engine::Bft, keys, DistinguishingId::default()).unwrap()
}
