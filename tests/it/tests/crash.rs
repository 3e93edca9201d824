//! Acknowledged means durable: real processes are killed (SIGKILL) while transactions come in, again and
//! again, and nothing that anyone was told is committed is ever missing, half there, or different.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, time::Duration};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use xinqiao_it::{
    Consortium, Kind,
    load::{Load, Place, channel, everyone_has_the_same, has, longest_pause},
    people::{BUREAUS, HOME, REGULATOR},
    process::Process,
    transactions::try_status,
};

/// How many processes are killed.
const KILLS: usize = 100;

/// Where a transaction can be looked up, and what can be killed.
const NODES: [Place; 5] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
    (REGULATOR, Kind::Observer),
];

/// How many of them are validators.
const VALIDATORS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_processes_are_killed() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    // From here on the same processes run from the same files, each a child of this test.
    consortium.stop().await;
    let mut processes = BTreeMap::new();
    for (org, kind) in NODES
        .into_iter()
        .chain([(BUREAUS[0], Kind::Holder), (HOME, Kind::Holder)])
    {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }
    let load = Load::begin(&consortium, &NODES[..VALIDATORS]).await;

    let seed = rand::rng().next_u64();
    println!("victims and pauses come from seed {seed}");
    let mut choice = StdRng::seed_from_u64(seed);
    let mut highest: BTreeMap<Place, u64> = BTreeMap::new();
    for kill in 0..KILLS {
        // Each validator in its turn, so that every one dies as a proposer now and then; and others.
        let victim = match choice.random_range(0..10) {
            0..8 => NODES[kill % VALIDATORS],
            8 => NODES[VALIDATORS],
            _ => (BUREAUS[0], Kind::Holder),
        };
        tokio::time::sleep(Duration::from_millis(choice.random_range(30..500))).await;
        let process = processes.get_mut(&victim).unwrap();
        let told = load.acknowledged();
        process.kill().await;
        process.restart().await;
        if NODES.contains(&victim) {
            let node = channel(&people, victim);
            let status = try_status(&node).await.unwrap();
            assert_eq!(status.halted, "", "kill {kill} of {victim:?}");
            let before = highest.insert(victim, status.height).unwrap_or(0);
            assert!(
                status.height >= before,
                "kill {kill}: {victim:?} went from {before} to {}",
                status.height
            );
            // All of the latest, and some of the early ones.
            let recent = told.len().saturating_sub(40);
            let early = (0..10.min(recent))
                .map(|_| choice.random_range(0..recent))
                .collect::<Vec<_>>();
            for index in early.into_iter().chain(recent..told.len()) {
                has(&node, &told[index], &format!("kill {kill} of {victim:?}")).await;
            }
        }
    }

    let (told, failed) = load.end().await;
    println!(
        "{KILLS} kills; {} transactions were acknowledged, {failed} attempts were not; the longest pause \
         between two acknowledgements was {:?}",
        told.len(),
        longest_pause(&told)
    );
    assert!(
        told.len() > 2 * KILLS,
        "the load was too small: {}",
        told.len()
    );
    everyone_has_the_same(&people, &NODES, &told).await;
}
