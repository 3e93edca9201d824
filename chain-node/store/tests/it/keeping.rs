//! A store keeps what it was given, gives proofs of it, and notices when any of it changes.

use std::{fs, path::Path};

use xinqiao_contracts::{
    StateRead,
    testing::{Consortium, PlainVerifier, open_user, secret},
};
use xinqiao_crypto::merkle;
use xinqiao_ledger::{ids::TxId, receipt};
use xinqiao_store::{Error, Place, Slot, Store, verify};

use crate::chain::{Chain, certificate};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (chain, ids) = Chain::with(&[1, 3, 0, 5]);
    let (disk, genesis, tip) = chain.close();
    assert_eq!(tip.height, 4);
    let store = Store::open(disk.path(), &genesis).unwrap();
    assert_eq!(store.tip(), tip);
    let reader = store.reader();
    assert_eq!(reader.tip().unwrap(), tip);
    for (height, ids) in (1..).zip(&ids) {
        let block = reader.block(height).unwrap().unwrap();
        assert_eq!(block.txs.len(), ids.len());
        for (index, id) in (0..).zip(ids) {
            assert_eq!(reader.place(id).unwrap(), Some(Place { height, index }));
            let receipt = reader.receipt(id).unwrap().unwrap();
            let proven = receipt::check(&receipt, store.epochs(), &store.chain()).unwrap();
            assert_eq!((proven.id(), proven.header().height), (*id, height));
        }
    }
    assert_eq!(reader.block(5).unwrap(), None);
    assert_eq!(reader.block(0).unwrap(), None);
    let unknown = TxId(xinqiao_crypto::sm3(b"unknown"));
    assert_eq!(reader.receipt(&unknown).unwrap(), None);
    drop(store);
    drop(reader);
    let report = verify(disk.path(), &genesis, &PlainVerifier::default(), |_| {}).unwrap();
    assert_eq!((report.tip, report.txs), (tip, 9));
}

#[test]
fn the_state_on_disk_is_the_state_in_memory() {
    let (mut chain, _) = Chain::with(&[]);
    let mut memory = Consortium::new();
    for number in 1..20 {
        let tx = memory.sign("js-bank/admin", open_user(number));
        memory.block_at(chain.store.tip().time + 1_000, vec![tx.clone()]);
        assert_eq!(chain.commit(vec![tx]).commitment, memory.commitment);
    }
    let reader = chain.store.reader();
    let view = reader.view();
    let (first, last) = ([0], [0xff]);
    for limit in [0, 1, 7, 10_000] {
        let (start, end) = (&first[..], &last[..]);
        assert_eq!(
            view.scan(start, end, limit).unwrap(),
            memory.state.scan(start, end, limit).unwrap()
        );
        assert_eq!(
            view.scan_back(start, end, limit).unwrap(),
            memory.state.scan_back(start, end, limit).unwrap()
        );
    }
    assert_eq!(view.scan(&last, &first, 9).unwrap(), Vec::new());
    let mut keys: Vec<_> = memory.state.keys().take(5).cloned().collect();
    keys.push(b"not there".to_vec());
    assert_eq!(
        view.get_many(&keys).unwrap(),
        memory.state.get_many(&keys).unwrap()
    );
    // A view does not see what is written after it was taken.
    let before = view.scan(&first, &last, 10_000).unwrap();
    let tx = memory.sign("js-bank/admin", open_user(99));
    chain.commit(vec![tx]);
    assert_eq!(view.scan(&first, &last, 10_000).unwrap(), before);
    assert_ne!(reader.view().scan(&first, &last, 10_000).unwrap(), before);
}

#[test]
fn history_paths_lead_to_every_later_root() {
    let (chain, _) = Chain::with(&[0; 12]);
    let reader = chain.store.reader();
    let header = |height| reader.head(height).unwrap().unwrap().header;
    for tip in 2..=12 {
        for height in 1..tip {
            let path = reader.history_path(height, tip).unwrap();
            let leaf = merkle::leaf_hash(header(height).hash().as_bytes());
            assert!(path.leads(leaf, header(tip).history_root));
            let proof = reader.history_consistency(height, tip).unwrap();
            merkle::verify_consistency(
                height - 1,
                &header(height).history_root,
                tip - 1,
                &header(tip).history_root,
                &proof,
            )
            .unwrap();
        }
    }
    for (height, tip) in [(0, 3), (3, 3), (4, 3), (3, 20)] {
        assert!(reader.history_path(height, tip).is_err(), "{height} {tip}");
    }
}

#[test]
fn a_copy_in_a_later_block_leaves_the_original_its_place() {
    let mut chain = Chain::new();
    let tx = chain.consortium.sign("js-bank/admin", open_user(1));
    let id = tx.meta().id;
    chain.commit(vec![tx.clone(), tx.clone()]);
    chain.commit(vec![tx]);
    let place = chain.store.reader().place(&id).unwrap();
    assert_eq!(
        place,
        Some(Place {
            height: 1,
            index: 0
        })
    );
}

#[test]
fn only_the_block_that_was_executed_on_the_tip_is_committed() {
    let mut chain = Chain::new();
    let time = chain.store.tip().time + 1;
    let slot = |height| Slot {
        height,
        time,
        proposer: secret("validator").public().id(),
    };
    let run =
        |store: &Store, height| store.execute(slot(height), Vec::new(), &PlainVerifier::default());
    assert!(matches!(run(&chain.store, 2), Err(Error::NotNext(_))));
    assert!(matches!(run(&chain.store, 0), Err(Error::NotNext(_))));

    let first = run(&chain.store, 1).unwrap();
    let again = run(&chain.store, 1).unwrap();
    let mut other = first.header().clone();
    other.time += 1;
    let over_other = certificate(&other);
    let certified_other = over_other.check(other, chain.store.validators()).unwrap();
    let right = certificate(first.header());
    let certified = right
        .check(first.header().clone(), chain.store.validators())
        .unwrap();
    let store = &mut chain.store;
    let execution = run(store, 1).unwrap();
    let refused = store.commit(execution, &certified_other, &over_other);
    assert!(matches!(refused, Err(Error::NotNext(_))));
    let execution = run(store, 1).unwrap();
    let refused = store.commit(execution, &certified, &over_other);
    assert!(matches!(refused, Err(Error::NotNext(_))));
    assert_eq!(store.tip().height, 0);
    store.commit(first, &certified, &right).unwrap();
    let refused = store.commit(again, &certified, &right);
    assert!(matches!(refused, Err(Error::NotNext(_))));
    assert_eq!(store.tip().height, 1);
}

#[test]
fn a_halt_is_remembered_until_it_is_cleared() {
    let (mut chain, _) = Chain::with(&[1]);
    chain.store.halt("it differs").unwrap();
    let (disk, genesis, _) = chain.close();
    let mut store = Store::open(disk.path(), &genesis).unwrap();
    assert_eq!(
        store.reader().halted().unwrap().as_deref(),
        Some("it differs")
    );
    store.clear_halt().unwrap();
    drop(store);
    let store = Store::open(disk.path(), &genesis).unwrap();
    assert_eq!(store.reader().halted().unwrap(), None);
}

#[test]
fn a_store_at_rest_shows_every_flipped_bit() {
    let (chain, _) = Chain::with(&[2, 0, 3]);
    let (disk, genesis, tip) = chain.close();
    let verifier = PlainVerifier::default();
    let check = |path: &Path| {
        let report = verify(path, &genesis, &verifier, |_| {})?;
        Ok::<_, Error>((report.tip, report.pairs))
    };
    let whole = check(disk.path()).unwrap();
    assert_eq!(whole.0, tip);
    // What the check itself wrote is closed again: from here on the files do not change.
    let ledger = disk.path().join("ledger");
    let names: Vec<_> = fs::read_dir(&ledger)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sst") || name.starts_with("MANIFEST"))
        .collect();
    assert!(names.len() > 5, "{names:?}");
    let (mut flipped, mut found) = (0, 0);
    for name in &names {
        let original = fs::read(ledger.join(name)).unwrap();
        for step in 0..6 {
            let at = original.len() * step / 6 + step;
            if at >= original.len() {
                continue;
            }
            let copy = tempfile::tempdir().unwrap();
            let copied = copy.path().join("ledger");
            fs::create_dir(&copied).unwrap();
            for entry in fs::read_dir(&ledger).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
                }
            }
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (step % 8);
            fs::write(copied.join(name), bytes).unwrap();
            flipped += 1;
            // Either it is noticed, or it was in a byte that means nothing: then all is there.
            match check(copy.path()) {
                Err(_) => found += 1,
                Ok(seen) => assert_eq!(seen, whole, "{name} at {at}"),
            }
        }
    }
    assert!(found * 2 > flipped, "{found} of {flipped}");
}
