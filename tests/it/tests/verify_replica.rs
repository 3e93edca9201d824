//! `xinqiao node verify`: a replica of any process can be checked byte by byte, and damage is found.

use std::{path::Path, time::Duration};

use rocksdb::{ColumnFamilyDescriptor, DB, IteratorMode, Options};
use serde_json::Value;
use xinqiao_it::{
    consortium::Consortium,
    process::{printed, run},
};

/// How long one check may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

async fn verify(replica: &Path, genesis: &Path) -> (Option<i32>, String) {
    let replica = replica.to_string_lossy();
    let genesis = genesis.to_string_lossy();
    let args = ["--json", "node", "verify", &replica, "--genesis", &genesis];
    let output = run(&args, WITHIN).await;
    (output.status.code(), printed(&output))
}

/// Changes one byte of one stored value, as a failing disk or an intruder would, past RocksDB's checksums.
fn damage(replica: &Path, family: &str) {
    let (options, replica) = (Options::default(), replica.join("ledger"));
    let families = DB::list_cf(&options, &replica).expect("a replica has families");
    let families = families
        .iter()
        .map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let db = DB::open_cf_descriptors(&options, &replica, families).expect("nobody has it open");
    let family = db.cf_handle(family).expect("a replica has this family");
    let (key, mut value) = db
        .iterator_cf(family, IteratorMode::Start)
        .flatten()
        .find(|(_, value)| !value.is_empty())
        .expect("the family is not empty");
    let middle = value.len() / 2;
    value[middle] ^= 1;
    db.put_cf(family, key, value)
        .and_then(|()| db.flush_cf(family))
        .expect("the disk takes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_can_be_verified_whoever_keeps_it_and_one_changed_byte_is_found() {
    let mut consortium = Consortium::start().await;
    let genesis = consortium.running().genesis.clone();
    let replicas = [
        "sh-bureau/data/node",
        "zj-bureau/data/holder",
        "pboc/data/observer",
    ]
    .map(|replica| consortium.dir().join(replica));

    let (code, said) = verify(&replicas[0], &genesis).await;
    assert_eq!(code, Some(1), "a running node's replica: {said}");
    assert!(said.contains("in use by another process"), "{said}");

    consortium.stop().await;
    let mut tips = Vec::new();
    for replica in &replicas {
        let (code, said) = verify(replica, &genesis).await;
        assert_eq!(code, Some(0), "{}: {said}", replica.display());
        let report: Value = serde_json::from_str(&said).unwrap();
        assert!(report["transactions"].as_u64().unwrap() > 0, "{said}");
        tips.push((report["height"].clone(), report["state"].clone()));
    }
    // One may have been stopped a block before another; at one height there is one state.
    let split = |pair: &[(Value, Value)]| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1;
    assert!(!tips.windows(2).any(split), "{tips:?}");

    damage(&replicas[2], "state");
    let (code, said) = verify(&replicas[2], &genesis).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("damaged"), "{said}");

    let (code, said) = verify(consortium.dir(), &genesis).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds no replica"), "{said}");
}
