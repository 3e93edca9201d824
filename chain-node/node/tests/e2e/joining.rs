//! Nodes that begin with a snapshot, against peers that lie; and a validator that catches up while
//! another one lies to it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use tonic::Status;
use xinqiao_contracts::testing::{activate_source, register_digests, register_source, secret};
use xinqiao_ledger::{
    genesis::Parameters,
    ids::Height,
    validators::{Engine, Validator},
    wire::{self, converse_request::Content, validator_service_client::ValidatorServiceClient},
};
use xinqiao_node::{NodeConfig, Role, Upstream};
use xinqiao_rpc::{ExpectedPeer, Limits, Role as Process, limited, tls};

use crate::{
    consortium::{Consortium, Running, assert_agree},
    liars::{Liar, upstream},
};

/// With a checkpoint every eight blocks.
fn consortium() -> Consortium {
    Consortium::with(Parameters {
        checkpoint_interval: 8,
        ..Parameters::default()
    })
}

/// A validator with so many blocks.
async fn validator(consortium: &mut Consortium, blocks: u64) -> Running {
    let validator = consortium.validator().await;
    for number in 0..blocks {
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
    }
    validator
}

fn newcomer(consortium: &Consortium, name: &str, upstreams: Vec<Upstream>) -> NodeConfig {
    let mut config = consortium.config(name, Role::Follower, "js-bureau", Process::Node);
    config.upstreams = upstreams;
    config.snapshot_after = Some(8);
    config
}

fn first_block(node: &Running) -> Height {
    node.replica().reader().first_block().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_begins_with_a_snapshot_and_goes_on_with_blocks() {
    let mut consortium = consortium();
    let validator = validator(&mut consortium, 20).await;
    let all = vec![validator.upstream("sh-bureau")];
    let config = newcomer(&consortium, "newcomer", all.clone());
    let newcomer = Running::start(config).await.unwrap();
    newcomer.reaches(20).await;
    assert_eq!(first_block(&newcomer), 9);
    assert_eq!(newcomer.replica().tip(), validator.replica().tip());
    // What it relays becomes final at both, and it names the checkpoints that come.
    for number in 20..30 {
        let (_, tx) = consortium.any(number);
        newcomer.commit(tx).await;
    }
    assert_eq!(newcomer.replica().tip(), validator.replica().tip());
    let said = newcomer.replica().reader().snapshot().unwrap().unwrap();
    assert_eq!(said.header.height, 16);
    newcomer.stop().await;

    // An observer executes every block since the genesis, unless it is told otherwise.
    let mut config = consortium.config("observer", Role::Observer, "pboc", Process::Observer);
    config.upstreams = all;
    assert_eq!(config.snapshot_after, None);
    let observer = Running::start(config).await.unwrap();
    observer.reaches(30).await;
    assert_eq!(first_block(&observer), 1);
    assert_agree(&validator.replica(), &observer.replica());
    observer.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_offers_or_sends_another_state_is_left_and_nothing_of_it_is_believed() {
    let mut consortium = consortium();
    let validator = validator(&mut consortium, 20).await;
    type Offer = fn(&mut wire::Snapshot);
    type Chunk = fn(u32, Vec<u8>) -> Result<Vec<u8>, Status>;
    let honest: Chunk = |_, chunk| Ok(chunk);
    let lies: [(&str, Offer, Chunk); 8] = [
        ("another number of pairs", |it| it.pairs += 1, honest),
        ("another chunk's hash", |it| it.chunks[0][0] ^= 1, honest),
        ("no chunks", |it| it.chunks.clear(), honest),
        ("another history", |it| it.history.clear(), honest),
        ("rubbish for a header", |it| it.header.push(0), honest),
        (
            "no certificate over the header that names it",
            |it| {
                let certificate = it.naming_certificate.as_mut().unwrap();
                certificate.signatures[0].signature[0] ^= 1;
            },
            honest,
        ),
        (
            "a chunk with a flipped bit",
            |_| (),
            |_, mut chunk| {
                let middle = chunk.len() / 2;
                chunk[middle] ^= 1;
                Ok(chunk)
            },
        ),
        ("an empty chunk", |_| (), |_, _| Ok(Vec::new())),
    ];
    for (number, (name, offer, chunk)) in lies.into_iter().enumerate() {
        let mut liar = Liar::new(&validator, |blocks| blocks);
        (liar.offer, liar.chunk) = (offer, chunk);
        let (server, stop) = liar.serve(&consortium).await;
        // Alone it gets nobody to begin with its state; its blocks are true, and taken.
        let config = newcomer(
            &consortium,
            &format!("alone-{number}"),
            vec![upstream(&server)],
        );
        let alone = Running::start(config).await.unwrap();
        alone.reaches(20).await;
        assert_eq!(first_block(&alone), 1, "{name}");
        alone.stop().await;
        // With an honest one beside it, the newcomer begins with that one's.
        let both = vec![upstream(&server), validator.upstream("sh-bureau")];
        let config = newcomer(&consortium, &format!("both-{number}"), both);
        let both = Running::start(config).await.unwrap();
        both.reaches(20).await;
        assert_eq!(first_block(&both), 9, "{name}");
        assert_eq!(both.replica().tip(), validator.replica().tip(), "{name}");
        both.stop().await;
        stop.send(()).unwrap();
        server.stopped().await.unwrap();
    }
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_broke_off_goes_on_where_it_was_from_somebody_else() {
    let mut consortium = consortium();
    let validator = consortium.validator().await;
    // Enough state for several chunks.
    for action in [
        register_source("sh-tax", "sh-bureau", &["tax"]),
        activate_source("sh-tax"),
    ] {
        let (_, tx) = consortium.sign("sh-bureau/admin", action);
        validator.commit(tx).await;
    }
    for batch in 0..15 {
        let subjects: Vec<u64> = (batch * 1_500..(batch + 1) * 1_500).collect();
        let digests = register_digests("sh-tax", &["tax"], &subjects, 20_000);
        let (_, tx) = consortium.sign("sh-bureau/holder", digests);
        validator.commit(tx).await;
    }
    // Gone after the first chunk, and without a block.
    let mut gone = Liar::new(&validator, |_| Vec::new());
    gone.chunk = |index, chunk| match index {
        0 => Ok(chunk),
        _ => Err(Status::unavailable("gone")),
    };
    let (server, stop) = gone.serve(&consortium).await;
    let config = newcomer(&consortium, "newcomer", vec![upstream(&server)]);
    let cut_short = Running::start(config).await.unwrap();
    assert_eq!(cut_short.replica().tip().height, 0);
    cut_short.stop().await;
    stop.send(()).unwrap();
    server.stopped().await.unwrap();

    let honest = Liar::new(&validator, |blocks| blocks);
    let asked = Arc::clone(&honest.chunks);
    let (server, stop) = honest.serve(&consortium).await;
    let config = newcomer(&consortium, "newcomer", vec![upstream(&server)]);
    let newcomer = Running::start(config).await.unwrap();
    newcomer.reaches(17).await;
    assert_eq!(newcomer.replica().tip(), validator.replica().tip());
    let asked = asked.lock().unwrap().clone();
    assert!(asked.contains(&1) && !asked.contains(&0), "{asked:?}");
    newcomer.stop().await;
    stop.send(()).unwrap();
    server.stopped().await.unwrap();
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_nobody_keeps_any_more_are_not_waited_for() {
    let mut consortium = consortium();
    let role = Role::Validator {
        key: secret("validator"),
    };
    let mut config = consortium.config("validator", role, "sh-bureau", Process::Node);
    // All that a certified checkpoint replaces goes at once.
    config.keep = Some(Duration::ZERO);
    let validator = Running::start(config).await.unwrap();
    let kept = consortium.any(0);
    let id = kept.0;
    validator.commit(kept.1).await;
    for number in 1..20 {
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
    }
    let reader = validator.replica().reader().clone();
    while reader.first_block().unwrap() < 9 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(validator.replica().receipt(&id).unwrap().is_none());
    // Less than so many blocks behind, and still there is no other way.
    let mut config = newcomer(
        &consortium,
        "newcomer",
        vec![validator.upstream("sh-bureau")],
    );
    config.snapshot_after = Some(1_000_000);
    let newcomer = Running::start(config).await.unwrap();
    newcomer.reaches(20).await;
    assert_eq!(first_block(&newcomer), 9);
    newcomer.stop().await;
    drop(reader);
    validator.stop().await;
}

const VALIDATORS: [(&str, &str); 4] = [
    ("js-bureau", "validator-js"),
    ("pboc", "validator-pboc"),
    ("sh-bureau", "validator-sh"),
    ("zj-bureau", "validator-zj"),
];

/// A node of one of four bft validators.
fn one_of_four(consortium: &Consortium, which: usize, ports: [SocketAddr; 4]) -> NodeConfig {
    let (org, key) = VALIDATORS[which];
    let role = Role::Validator { key: secret(key) };
    let process = Process::Node;
    let mut config = NodeConfig::new(
        consortium.directory(org),
        Arc::clone(&consortium.genesis),
        role,
        consortium.identity(org, process),
    );
    config.listen = Some(ports[which]);
    config.speak_without_log = true;
    let ways = VALIDATORS.iter().zip(ports);
    config.validators = ways
        .map(|((org, _), port)| (org.parse().unwrap(), format!("https://{port}")))
        .collect();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_catches_up_leaves_one_that_lies_to_it() {
    let mut consortium = Consortium::founded(Parameters::default(), |genesis| {
        genesis.engine = Engine::Bft;
        genesis.validators = VALIDATORS
            .iter()
            .map(|(org, key)| Validator {
                org: org.parse().unwrap(),
                key: *secret(key).public(),
                endpoint: "https://127.0.0.1:1".parse().unwrap(),
            })
            .collect();
    });
    // Held until the last moment, so that nobody else is given the same.
    let held: Vec<TcpListener> = (0..4)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports: [SocketAddr; 4] = std::array::from_fn(|at| held[at].local_addr().unwrap());
    drop(held);
    let start = |which| Running::start(one_of_four(&consortium, which, ports));
    let (first, second) = (start(0).await.unwrap(), start(1).await.unwrap());
    let third = start(2).await.unwrap();
    let txs: Vec<_> = (0..8).map(|number| consortium.any(number).1).collect();
    for tx in txs {
        first.commit(tx).await;
    }
    let tip = first.replica().tip();
    third.stop().await;
    // It has lost everything. Nobody has voted since, so it may speak at once.
    let folder = consortium.directory(VALIDATORS[2].0);
    std::fs::remove_dir_all(folder).unwrap();

    // The fourth is a liar: it says that it is far ahead, and sends what nobody certified.
    let mut liar = Liar::new(&first, |mut blocks| {
        for block in &mut blocks[2..] {
            block.certificate.as_mut().unwrap().signatures.truncate(2);
        }
        blocks
    });
    liar.says_height(1_000);
    let asked = Arc::clone(&liar.streams);
    let (server, stop) = liar.serve_at(&consortium, ports[3]).await;
    let third = Running::start(one_of_four(&consortium, 2, ports))
        .await
        .unwrap();
    let identity = consortium.identity("zj-bureau", Process::Node);
    let uri = format!("https://{}", ports[2]);
    let channel = tls::channel_to(&uri, &identity, ExpectedPeer::any(), &Limits::default());
    let greeting = Content::Greeting(wire::Greeting {
        chain_id: consortium.genesis.chain_id().to_vec(),
        validator: secret(VALIDATORS[3].1).public().id().as_bytes().to_vec(),
    });
    let boasts = stream::iter([greeting, Content::TipHeight(1_000)])
        .map(|content| wire::ConverseRequest {
            content: Some(content),
        })
        .chain(stream::pending());
    let mut client = limited!(ValidatorServiceClient::new(channel.unwrap()));
    let conversation = client.converse(boasts).await.unwrap();

    third.reaches(tip.height).await;
    assert_eq!(third.replica().halted(), None);
    // It was asked, as the one furthest ahead; and with the three honest ones the chain goes on.
    let (_, tx) = consortium.any(100);
    third.commit(tx).await;
    for node in [&first, &second] {
        node.reaches(third.replica().tip().height).await;
        assert_agree(&third.replica(), &node.replica());
    }
    assert!(*asked.lock().unwrap() > 0, "the liar was never asked");
    drop(conversation);
    for node in [first, second, third] {
        node.stop().await;
    }
    stop.send(()).unwrap();
    server.stopped().await.unwrap();
}
