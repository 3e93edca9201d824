//! A validator that lost everything begins with a snapshot, and its vote counts again.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, fs, time::Duration};

use xinqiao_it::{
    Consortium, Kind,
    load::{Load, Place, channel, everyone_has_the_same},
    people::{BUREAUS, REGULATOR},
    process::Process,
    transactions::try_status,
    votes::decide,
};
use xinqiao_ledger::{
    genesis::Parameters,
    wire::{self, change::Kind as Change},
};

const VALIDATORS: [Place; 4] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
];

const OBSERVER: Place = (REGULATOR, Kind::Observer);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_lost_everything_begins_with_a_snapshot_and_its_vote_counts_again() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let mut processes = BTreeMap::new();
    for (org, kind) in VALIDATORS.into_iter().chain([OBSERVER]) {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }
    // A checkpoint every eight blocks, so that there is a snapshot soon.
    let node = channel(&people, VALIDATORS[0]);
    let often = Parameters {
        checkpoint_interval: 8,
        ..Parameters::default()
    };
    let often = Change::SetParameters(wire::Parameters::from(&often));
    decide(&people, &node, vec![often]).await;
    let load = Load::begin(&consortium, &VALIDATORS[..3]).await;
    load.more(150, "with four validators").await;

    // Gone with its disk: replica, and the log of what it signed.
    let lost = VALIDATORS[3];
    processes.get_mut(&lost).unwrap().kill().await;
    fs::remove_dir_all(consortium.dir().join(lost.0).join("data/node")).unwrap();
    let config = people.config(lost.0, lost.1);
    let file = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("snapshot_after = 8\nkeep_days = 1\n{file}"),
    )
    .unwrap();
    load.more(150, "with three validators").await;
    processes.get_mut(&lost).unwrap().restart().await;
    let back = channel(&people, lost);
    let first = try_status(&back).await.unwrap().first_block;
    assert!(
        first > 8,
        "it began with a snapshot, not with block {first}"
    );

    // With another one away the chain needs it: it says nothing until nothing that it may have said
    // before can be contradicted, and then it votes.
    load.more(50, "until it speaks again").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    processes.get_mut(&VALIDATORS[2]).unwrap().kill().await;
    load.more(100, "with the one that came back, and without another")
        .await;
    processes.get_mut(&VALIDATORS[2]).unwrap().restart().await;
    let (told, failed) = load.end().await;
    println!(
        "{} acknowledged, {failed} not; its first block is {first}",
        told.len()
    );

    let whole = [VALIDATORS[0], VALIDATORS[1], VALIDATORS[2], OBSERVER];
    everyone_has_the_same(&people, &whole, &told).await;
    let above: Vec<_> = told
        .into_iter()
        .filter(|one| one.height() >= first)
        .collect();
    assert!(above.len() > 100, "{}", above.len());
    everyone_has_the_same(&people, &[lost, OBSERVER], &above).await;
}
