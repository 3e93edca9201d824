//! What a consortium of four validators does when some of it goes away: real processes on this machine.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use xinqiao_it::{
    Consortium, Kind,
    links::Links,
    load::{Load, Place, channel, everyone_has_the_same, has, longest_pause},
    people::{BUREAUS, People, REGULATOR},
    process::Process,
    transactions::try_status,
};

/// The validators.
const VALIDATORS: [Place; 4] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
];

/// Everybody with a replica of its own that can be asked.
const NODES: [Place; 5] = [
    VALIDATORS[0],
    VALIDATORS[1],
    VALIDATORS[2],
    VALIDATORS[3],
    (REGULATOR, Kind::Observer),
];

/// A founded consortium whose nodes are children of this test.
async fn nodes() -> (Consortium, People, BTreeMap<Place, Process>) {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let mut processes = BTreeMap::new();
    for (org, kind) in NODES {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }
    (consortium, people, processes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consortium_goes_on_without_any_one_validator_and_with_whoever_comes_back() {
    let (consortium, people, mut processes) = nodes().await;
    for dead in VALIDATORS {
        processes.get_mut(&dead).unwrap().kill().await;
        let others: Vec<Place> = VALIDATORS.into_iter().filter(|one| *one != dead).collect();
        let load = Load::begin(&consortium, &others).await;
        load.more(200, &format!("without {dead:?}")).await;
        processes.get_mut(&dead).unwrap().restart().await;
        load.more(50, &format!("with {dead:?} again")).await;
        let (told, failed) = load.end().await;
        println!(
            "{dead:?} dead and back: {} acknowledged, {failed} not; the longest pause was {:?}",
            told.len(),
            longest_pause(&told)
        );
        everyone_has_the_same(&people, &NODES, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_all_validators_are_killed_at_once() {
    let (consortium, people, mut processes) = nodes().await;
    let mut all = Vec::new();
    for (time, asked) in VALIDATORS.into_iter().enumerate().take(3) {
        let load = Load::begin(&consortium, &VALIDATORS).await;
        load.more(100, &format!("before all are killed, time {time}"))
            .await;
        for validator in VALIDATORS {
            processes.get_mut(&validator).unwrap().kill().await;
        }
        for validator in VALIDATORS {
            processes.get_mut(&validator).unwrap().restart().await;
        }
        load.more(50, "after all were killed").await;
        let (told, _) = load.end().await;
        for one in &told {
            has(&channel(&people, asked), one, "after all were killed").await;
        }
        all.extend(told);
    }
    everyone_has_the_same(&people, &NODES, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_stops_nobody() {
    let (consortium, people, mut processes) = nodes().await;
    let load = Load::begin(&consortium, &VALIDATORS).await;
    load.more(50, "at the start").await;
    for place in NODES {
        processes.remove(&place).unwrap().stop().await;
        load.more(20, &format!("while {place:?} is away")).await;
        let (org, kind) = place;
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert(place, process);
        load.more(20, &format!("with {place:?} again")).await;
    }
    let (told, failed) = load.end().await;
    println!(
        "{} acknowledged, {failed} not; the longest pause was {:?}",
        told.len(),
        longest_pause(&told)
    );
    everyone_has_the_same(&people, &NODES, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_acknowledged_and_with_it_all_goes_on() {
    let (consortium, people, mut processes) = nodes().await;
    for dead in &VALIDATORS[2..] {
        processes.get_mut(dead).unwrap().kill().await;
    }
    let load = Load::begin(&consortium, &VALIDATORS[..2]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(load.acknowledged().len(), 0, "two of four decide nothing");
    processes.get_mut(&VALIDATORS[3]).unwrap().restart().await;
    load.more(50, "with three of four").await;
    processes.get_mut(&VALIDATORS[2]).unwrap().restart().await;
    load.more(50, "with all four").await;
    let (told, _) = load.end().await;
    everyone_has_the_same(&people, &NODES, &told).await;
    for place in NODES {
        let status = try_status(&channel(&people, place)).await.unwrap();
        assert_eq!(status.halted, "", "{place:?}");
    }
}

/// A node's configured address.
fn address(config: &Path) -> SocketAddr {
    let file: toml::Table = toml::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    file["listen"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_forks_nothing_and_heals() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let configs: Vec<_> = (VALIDATORS.iter())
        .map(|(org, kind)| (*org, people.config(org, *kind)))
        .collect();
    let ends: Vec<_> = (configs.iter())
        .map(|(org, config)| (*org, config.as_path(), address(config)))
        .collect();
    let links = Links::between(&ends).await;
    let mut processes = Vec::new();
    for (org, kind) in NODES {
        processes.push(Process::start(kind.as_str(), &people.config(org, kind)).await);
    }
    let load = Load::begin(&consortium, &VALIDATORS).await;
    load.more(50, "before the cut").await;

    // Two against two: nobody has a quorum.
    links.cut(&[0, 1]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = load.acknowledged().len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(
        load.acknowledged().len(),
        before,
        "half of them decide nothing"
    );
    links.heal();
    load.more(50, "after two met two again").await;

    // One against three: three go on, and the one follows when it can.
    links.cut(&[2]);
    load.more(100, "three without the fourth").await;
    links.heal();
    load.more(50, "with all four again").await;
    let (told, failed) = load.end().await;
    println!("{} acknowledged, {failed} not", told.len());
    everyone_has_the_same(&people, &NODES, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_whose_clock_is_wrong_stops_nobody_and_sets_no_block_s_time() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let mut processes = Vec::new();
    for (place, (org, kind)) in NODES.into_iter().enumerate() {
        let wrong = [
            "env",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "faketime",
            "-f",
            "+1h",
        ];
        let under: &[&str] = if place == 1 { &wrong } else { &[] };
        let config = people.config(org, kind);
        processes.push(Process::start_under(under, kind.as_str(), &config).await);
    }
    let load = Load::begin(&consortium, &VALIDATORS).await;
    load.more(200, "with one clock an hour ahead").await;
    let (told, _) = load.end().await;
    everyone_has_the_same(&people, &NODES, &told).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let status = try_status(&channel(&people, VALIDATORS[0])).await.unwrap();
    let ahead = status
        .time_ms
        .saturating_sub(u64::try_from(now.as_millis()).unwrap());
    assert!(ahead < 15_000, "the chain's time is {ahead} ms ahead");
}

/// A folder on a file system of its own that can be filled up; taken away at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None where this process may not mount.
    fn mount(folder: &'a Path) -> Option<Self> {
        let kept = folder.with_extension("kept");
        fs::rename(folder, &kept).unwrap();
        fs::create_dir(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            fs::remove_dir(folder).unwrap();
            fs::rename(&kept, folder).unwrap();
            return None;
        }
        let copied = Command::new("cp")
            .arg("-a")
            .arg(kept.join("."))
            .arg(folder)
            .status();
        assert!(copied.unwrap().success());
        Some(Self(folder))
    }

    /// Leaves no room for anything more.
    fn fill(&self) {
        let junk = self.0.join("junk");
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", &format!("of={}", junk.display())])
            .output();
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("junk")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_whose_disk_is_full_stops_and_the_others_go_on() {
    let mut consortium = Consortium::start().await;
    let people = consortium.people();
    consortium.stop().await;
    let folder = consortium.dir().join(VALIDATORS[1].0).join("data/node");
    let Some(disk) = SmallDisk::mount(&folder) else {
        println!("skipped: this process may not mount a file system that it could fill up");
        return;
    };
    let mut processes = BTreeMap::new();
    for (org, kind) in NODES {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }
    let others = [VALIDATORS[0], VALIDATORS[2], VALIDATORS[3]];
    let load = Load::begin(&consortium, &others).await;
    load.more(50, "before the disk is full").await;
    disk.fill();
    let (in_order, said) = processes.get_mut(&VALIDATORS[1]).unwrap().ended().await;
    assert!(!in_order, "it does not pretend to be well");
    assert!(said.contains("No space left"), "it says why:\n{said}");
    load.more(100, "while one disk is full").await;
    disk.clear();
    processes.get_mut(&VALIDATORS[1]).unwrap().restart().await;
    load.more(50, "with room on the disk again").await;
    let (told, _) = load.end().await;
    everyone_has_the_same(&people, &NODES, &told).await;
    for (_, process) in processes {
        process.stop().await;
    }
}
