//! Registering digests: what changed, once; what vanished; what is bad; and after an interruption.

use std::{sync::Arc, time::Duration};

use xinqiao_contracts::query;
use xinqiao_holder::{Error, Registrar, SyncOptions, SyncReport};
use xinqiao_ledger::ids::SourceId;

use crate::{
    liar::Liar,
    world::{Running, World, org, row, until},
};

fn source() -> SourceId {
    "sh-tax".parse().unwrap()
}

/// The counts of a report that a run is about.
fn counts(report: &SyncReport) -> [(&'static str, u64); 6] {
    [
        ("subjects", report.subjects),
        ("registered", report.registered),
        ("superseded", report.superseded),
        ("unchanged", report.unchanged),
        ("withdrawn", report.withdrawn),
        ("bad rows", report.bad_rows),
    ]
}

#[track_caller]
fn check(case: &str, report: &SyncReport, expected: [u64; 6]) {
    let got = counts(report);
    assert_eq!(got.map(|(_, count)| count), expected, "{case}: {got:?}");
}

fn registered(holder: &Running) -> u64 {
    let state = holder.handle.replica().state();
    query::source(&state, &source()).unwrap().unwrap().subjects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_registers_what_changed_and_nothing_else() {
    let world = World::new(2_500).await;
    let holder = world.holder(world.upstream()).await;
    let first = world.sync(&holder).await;
    check("first", &first, [2_500, 2_500, 0, 0, 0, 0]);
    assert_eq!(first.items, 7_500);
    assert_eq!(registered(&holder), 2_500);
    assert!((2..=4).contains(&first.transactions), "{first:?}");

    let again = world.sync(&holder).await;
    check("unchanged", &again, [2_500, 0, 0, 2_500, 0, 0]);
    assert_eq!(again.transactions, 0);

    // Ten changed, five gone, two new, one row is bad and one subject comes twice.
    let mut rows: String = (0..2_495)
        .map(|number| row(number, if number < 10 { 2 } else { 1 }))
        .collect();
    rows.extend([row(3_000, 1), row(3_001, 1), row(0, 7)]);
    rows.push_str("91310115MA00000XX,2026-01-01,a,1,b\n");
    world.write_data(rows);
    let changed = world.sync(&holder).await;
    check("changed", &changed, [2_497, 2, 10, 2_485, 5, 2]);
    assert_eq!(registered(&holder), 2_497);
    let listed = std::fs::read_to_string(changed.bad_rows_file.unwrap()).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("data.csv,2499,duplicate_subject,"));
    assert!(lines[1].starts_with("data.csv,2500,uscc_length,"));

    // What was older when it was read again is left as it is, and not withdrawn.
    let older = row(3_000, 9).replace("2026-01-01", "2025-01-01");
    let rows: String = (0..2_495)
        .map(|number| row(number, if number < 10 { 2 } else { 1 }))
        .collect();
    world.write_data([rows, older, row(3_001, 1)].concat());
    let report = world.sync(&holder).await;
    check("older", &report, [2_497, 0, 0, 2_496, 0, 0]);
    assert_eq!(report.older, 1);
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_where_it_was() {
    let world = World::new(6_000).await;
    let liar = Liar::start(&world).await;
    let holder = world.holder(liar.upstream()).await;
    let options = SyncOptions {
        batch: 500,
        in_flight: 2,
        ..SyncOptions::default()
    };
    let registrar = world.registrar(&holder);
    let holding = Arc::clone(&holder.handle.holdings()[0]);
    let run = {
        let options = options.clone();
        tokio::spawn(async move { registrar.sync(&holding, &options).await })
    };
    // Halfway the chain stands still for the holder, and the run is killed.
    let checkpoint = world.path("sync").join("sh-tax.checkpoint.json");
    until("something is registered for good", || checkpoint.exists()).await;
    liar.lie(|lies| lies.hold_above = world.honest().tip().height);
    tokio::time::sleep(Duration::from_millis(600)).await;
    run.abort();
    let _ = run.await;
    assert!(checkpoint.exists(), "it was killed before its end");
    liar.lie(|lies| lies.hold_above = u64::MAX);
    holder.stop().await;

    let holder = world.holder(liar.upstream()).await;
    let holding = &holder.handle.holdings()[0];
    let report = world.registrar(&holder).sync(holding, &options).await;
    let report = report.unwrap();
    assert_eq!(report.subjects, 6_000, "what was seen before counts");
    assert_eq!(registered(&holder), 6_000);
    assert!(!checkpoint.exists());
    let again = world.sync(&holder).await;
    check("again", &again, [6_000, 0, 0, 6_000, 0, 0]);
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_right_says_what_is_missing() {
    let world = World::new(20).await;
    let holder = world.holder(world.upstream()).await;
    let holding = &holder.handle.holdings()[0];
    let options = SyncOptions::default();
    let replica = holder.handle.replica().clone();

    let mut keys = world.keys();
    keys.admin = None;
    let without_admin = Registrar::new(replica.clone(), org(), keys.clone());
    let error = without_admin.sync(holding, &options).await.unwrap_err();
    assert!(matches!(error, Error::SourceNotRegistered(_)), "{error}");
    assert!(error.to_string().contains("admin key"), "{error}");

    keys.holder = Arc::new(xinqiao_contracts::testing::secret("js-bureau/holder"));
    let other = Registrar::new(replica, org(), keys);
    let error = other.sync(holding, &options).await.unwrap_err();
    assert!(matches!(error, Error::KeyNotRegistered(_)), "{error}");

    // A file that lost most of its rows is more likely a mistake than the truth.
    world.sync(&holder).await;
    world.write_data(row(0, 1));
    let error = world.registrar(&holder).sync(holding, &options).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("19 of its 20"), "{error}");
    assert_eq!(registered(&holder), 20);
    let mut asked = options.clone();
    asked.withdraw_most = true;
    let report = world
        .registrar(&holder)
        .sync(holding, &asked)
        .await
        .unwrap();
    assert_eq!((report.withdrawn, registered(&holder)), (19, 1));
    holder.stop().await;
}
