//! Damage that RocksDB's own checksums cannot see: somebody rewrote a pair.

use rocksdb::WriteBatch;
use tempfile::TempDir;
use xinqiao_contracts::testing::{Consortium, PlainVerifier, open_user, secret};
use xinqiao_ledger::block::Certificate;

use super::*;

fn chain() -> (TempDir, Arc<Genesis>) {
    let mut consortium = Consortium::new();
    let genesis = Arc::new(consortium.genesis.clone());
    let disk = tempfile::tempdir().unwrap();
    let mut store = Store::open(disk.path(), &genesis).unwrap();
    let key = secret("validator");
    for height in 1..=3 {
        let txs = (0..2)
            .map(|n| consortium.sign("js-bank/admin", open_user(height * 10 + n)))
            .map(Candidate::Unverified)
            .collect();
        let slot = Slot {
            height,
            time: store.tip().time + 1,
            proposer: key.public().id(),
        };
        let execution = store.execute(slot, txs, &PlainVerifier::default()).unwrap();
        let header = execution.header().clone();
        let id = &genesis.distinguishing_id;
        let certificate = Certificate {
            height,
            round: 0,
            header: header.hash(),
            signatures: vec![Certificate::sign(&header, &key, id, &mut rand::rng())],
        };
        let certified = certificate.check(header, store.validators()).unwrap();
        store.commit(execution, &certified, &certificate).unwrap();
    }
    drop(store);
    (disk, genesis)
}

fn check(disk: &TempDir, genesis: &Arc<Genesis>) -> Result<Report, Error> {
    verify(disk.path(), genesis, &PlainVerifier::default(), |_| {})
}

#[test]
fn one_flipped_bit_in_any_pair_of_any_family_is_found() {
    let (disk, genesis) = chain();
    let whole = check(&disk, &genesis).unwrap();
    let mut flipped = 0;
    for family in [STATE, HEADERS, BODIES, OUTCOMES, TXS, HISTORY, EPOCHS, META] {
        let db = Database::open(&ledger_dir(disk.path()).unwrap(), Durability::Synced).unwrap();
        let pairs: Vec<_> = db.pairs(family).collect::<Result<_, _>>().unwrap();
        drop(db);
        assert!(!pairs.is_empty(), "{family}");
        // All of the small families; of the state a sample, for each check executes the chain.
        let every = pairs.len().div_ceil(5);
        for (number, (key, value)) in pairs.iter().enumerate().step_by(every) {
            let write = |key: &[u8], value: Option<&[u8]>| {
                let db =
                    Database::open(&ledger_dir(disk.path()).unwrap(), Durability::Synced).unwrap();
                let mut batch = WriteBatch::default();
                match value {
                    Some(value) => batch.put_cf(db.family(family), key, value),
                    None => batch.delete_cf(db.family(family), key),
                }
                db.write(batch).unwrap();
            };
            if !value.is_empty() {
                let mut changed = value.to_vec();
                let at = (number * 7 + value.len() / 2) % value.len();
                changed[at] ^= 1 << (number % 8);
                write(key, Some(&changed));
                assert!(check(&disk, &genesis).is_err(), "{family} {key:?} at {at}");
                write(key, Some(value));
                flipped += 1;
            }
            let mut other = key.to_vec();
            other[number % key.len()] ^= 0x80;
            write(&other, Some(value));
            assert!(check(&disk, &genesis).is_err(), "{family} {other:?} added");
            write(&other, None);
            write(key, None);
            assert!(check(&disk, &genesis).is_err(), "{family} {key:?} removed");
            write(key, Some(value));
        }
    }
    assert!(flipped >= 15, "{flipped}");
    assert_eq!(check(&disk, &genesis).unwrap(), whole);
}
