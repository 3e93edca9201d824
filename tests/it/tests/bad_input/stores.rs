//! Stores that are missing a file, hold another chain's blocks, or have other bytes than were written: a process
//! does not start from them, and above all does not take them for new ones.

use std::{fs, path::Path};

use xinqiao_it::{
    Consortium, Kind,
    people::{BUREAUS, HOME, REGULATOR},
    process::Process,
};

use crate::{
    Complaints,
    files::{Break, Row, copy, relocate, row, text, tried},
};

/// Who has a store, and where.
const STORES: [(&str, Kind, &str); 4] = [
    (BUREAUS[0], Kind::Node, "data/node"),
    (BUREAUS[2], Kind::Node, "data/node"),
    (REGULATOR, Kind::Observer, "data/observer"),
    (HOME, Kind::Holder, "data/holder"),
];

/// Stops the consortium and tries its stores.
pub(crate) async fn check_all(consortium: &mut Consortium, complaints: &mut Complaints) {
    consortium.stop().await;
    for (org, kind, store) in STORES {
        let kept = tempfile::tempdir().unwrap();
        for name in ["genesis.toml", "ca", "shared", "records", org] {
            copy(&consortium.dir().join(name), &kept.path().join(name));
        }
        relocate(kept.path(), consortium.dir());
        let rows = rows(kept.path(), org, kind, store);
        for row in &rows {
            tried(kept.path(), row, complaints).await;
        }
        // Nothing but what was broken kept them from starting.
        let config = format!("{org}/{}.toml", kind.as_str());
        Process::start(kind.as_str(), &kept.path().join(config))
            .await
            .kill()
            .await;
    }
}

#[rustfmt::skip]
fn rows(kept: &Path, org: &str, kind: Kind, store: &str) -> Vec<Row> {
    let start = [kind.as_str(), "--config", &format!("DIR/{org}/{}.toml", kind.as_str())];
    let folder = format!("{org}/{store}/ledger");
    let mut rows = vec![
        row("genesis.toml", Break::Replace("time_ms = 1", "time_ms = 2"), &start, &["is of chain"]),
        row(format!("{folder}/CURRENT"), Break::Remove, &start, &["store", "cannot be opened"]),
        row(format!("{folder}/CURRENT"), text("nonsense"), &start, &["store"]),
        row(format!("{folder}/CURRENT"), text(""), &start, &["store"]),
    ];
    for entry in fs::read_dir(kept.join(&folder)).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let file = format!("{folder}/{name}");
        let length = entry.metadata().unwrap().len();
        if name.starts_with("MANIFEST-") {
            rows.push(row(&file, Break::Remove, &start, &["store"]));
            rows.push(row(&file, Break::Flip, &start, &["store"]));
        } else if name.ends_with(".sst") {
            rows.push(row(&file, Break::Remove, &start, &["store"]));
            rows.push(row(&file, Break::Cut, &start, &["store"]));
        } else if name.ends_with(".log") && length > 0 {
            rows.push(row(&file, Break::Flip, &start, &["store"]));
        }
    }
    rows
}
