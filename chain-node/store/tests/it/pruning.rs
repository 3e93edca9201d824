//! Pruning forgets blocks, and no proof of what is kept.

use xinqiao_contracts::testing::{PlainVerifier, open_user};
use xinqiao_ledger::{ids::TxId, receipt};
use xinqiao_store::{Error, Place, Pruner, Store, verify};

use crate::chain::Chain;

/// 40 blocks of two transactions each, with a checkpoint every eight; all ids by height.
fn chain() -> (Chain, Vec<Vec<TxId>>) {
    let mut chain = Chain::with_checkpoints(8);
    let mut number = 0;
    let ids = (1..=40)
        .map(|_| {
            let txs: Vec<_> = (0..2)
                .map(|_| {
                    number += 1;
                    chain.consortium.sign("js-bank/admin", open_user(number))
                })
                .collect();
            let ids = txs.iter().map(|tx| tx.meta().id).collect();
            chain.commit(txs);
            ids
        })
        .collect();
    (chain, ids)
}

#[test]
fn what_is_kept_is_proven_as_before_and_what_is_gone_is_said_to_be() {
    let (chain, ids) = chain();
    let reader = chain.store.reader();
    let before: Vec<_> = ids
        .iter()
        .map(|block| reader.receipt(&block[1]).unwrap())
        .collect();
    let pruner = Pruner::new(reader.clone());
    let time = |height| reader.head(height).unwrap().unwrap().header.time;
    assert_eq!(pruner.first_to_stay(time(1)).unwrap(), None);
    assert_eq!(pruner.first_to_stay(time(11)).unwrap(), Some(11));
    let below = pruner.first_to_stay(u64::MAX).unwrap();
    assert_eq!(
        below,
        Some(33),
        "nothing above the newest certified checkpoint may go"
    );
    // The second transaction of every even block is kept.
    let keep = |place: Place| place.height.is_multiple_of(2) && place.index == 1;
    let mut sum = 0;
    while let Some(pruned) = pruner.prune_next(21, |place, _| keep(place)).unwrap() {
        sum += pruned.txs;
    }
    assert_eq!((sum, reader.first_block().unwrap()), (30, 21));
    for (height, (block, before)) in (1..).zip(ids.iter().zip(before)) {
        let kept = height > 20 || height % 2 == 0;
        let receipt = reader.receipt(&block[1]).unwrap();
        assert_eq!(receipt, before.filter(|_| kept), "{height}");
        if let Some(receipt) = receipt {
            receipt::check(&receipt, chain.store.epochs(), &chain.store.chain()).unwrap();
        }
        reader.block_receipt(height).unwrap();
        if height < 40 {
            reader.history_path(height, 40).unwrap();
        }
        let first = reader.receipt(&block[0]).unwrap();
        assert_eq!(first.is_some(), height > 20);
        if height <= 20 {
            let gone = Place { height, index: 0 };
            assert!(matches!(reader.receipt_at(gone), Err(Error::Pruned { .. })));
            assert!(matches!(reader.block(height), Err(Error::Pruned { .. })));
            assert_eq!(reader.kept_txs(height).unwrap().len(), usize::from(kept));
        }
    }
    assert!(pruner.prune_next(21, |_, _| true).unwrap().is_none());
}

#[test]
fn a_pruned_store_opens_and_verifies_from_its_oldest_checkpoint() {
    let (chain, ids) = chain();
    let reader = chain.store.reader();
    let pruner = Pruner::new(reader.clone());
    while pruner
        .prune_next(30, |place, _| place.index == 0)
        .unwrap()
        .is_some()
    {}
    drop((pruner, reader));
    let (disk, genesis, tip) = chain.close();
    let report = verify(disk.path(), &genesis, &PlainVerifier::default(), |_| {}).unwrap();
    assert_eq!((report.tip, report.from, report.txs), (tip, 33, 16));
    let store = Store::open(disk.path(), &genesis).unwrap();
    assert_eq!(
        store
            .reader()
            .place(&ids[3][0])
            .unwrap()
            .map(|it| it.height),
        Some(4)
    );
    assert_eq!(store.reader().place(&ids[3][1]).unwrap(), None);
}
