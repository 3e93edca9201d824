//! A store that begins with a snapshot is the store that executed every block, from there on.

use std::{path::Path, sync::Arc};

use xinqiao_contracts::{
    Candidate, StateRead,
    testing::{PlainVerifier, activate_source, open_user, register_digests, register_source},
};
use xinqiao_ledger::{
    checkpoint::{NotCertified, Offer, Snapshot},
    genesis::Genesis,
    receipt,
    validators::Epochs,
    wire,
};
use xinqiao_store::{Error, Installing, NotTaken, Reader, Slot, Store, verify};

use crate::chain::{Chain, certificate};

/// A chain of so many blocks with a transaction each, and a checkpoint every eight.
fn chain(blocks: u64) -> Chain {
    let mut chain = Chain::with_checkpoints(8);
    grow(&mut chain, blocks);
    chain
}

fn grow(chain: &mut Chain, blocks: u64) {
    for _ in 0..blocks {
        let number = chain.store.tip().height + 1;
        let tx = chain.consortium.sign("js-bank/admin", open_user(number));
        chain.commit(vec![tx]);
    }
}

fn offer(chain: &Chain) -> Offer {
    chain.store.reader().snapshot().unwrap().unwrap()
}

fn epochs(genesis: &Genesis) -> Epochs {
    Epochs::begin(genesis.validator_set().unwrap())
}

fn check(offer: Offer, genesis: &Genesis) -> Result<Snapshot, NotCertified> {
    offer.certified(&genesis.chain_id(), &epochs(genesis))
}

fn install(path: &Path, from: &Reader, snapshot: Snapshot, genesis: &Genesis) {
    let height = snapshot.checkpoint().height;
    let mut installing = Installing::begin(path, snapshot).unwrap();
    while let Some(index) = installing.next() {
        let chunk = from.snapshot_chunk(height, index).unwrap().unwrap();
        installing.put(&chunk).unwrap();
    }
    installing.finish(&epochs(genesis), &[]).unwrap();
}

fn follow(store: &mut Store, from: &Reader) {
    while let Some(block) = from.block(store.tip().height + 1).unwrap() {
        let slot = Slot {
            height: block.header.height,
            time: block.header.time,
            proposer: block.header.proposer,
        };
        let txs = block.txs.into_iter().map(Candidate::Unverified).collect();
        let execution = store.execute(slot, txs, &PlainVerifier::default()).unwrap();
        assert_eq!(execution.header(), &block.header);
        let certified = (block.certificate)
            .check(block.header, store.validators())
            .unwrap();
        store
            .commit(execution, &certified, &block.certificate)
            .unwrap();
    }
}

fn state_of(reader: &Reader) -> Vec<(Vec<u8>, Vec<u8>)> {
    reader.view().scan(&[0], &[0xff], usize::MAX).unwrap()
}

#[test]
fn headers_name_the_checkpoint_before_when_the_next_is_due_and_offers_follow() {
    let mut chain = chain(7);
    let named = |chain: &Chain, height| {
        let head = chain.store.reader().head(height).unwrap().unwrap();
        head.header.checkpoint
    };
    for (height, offered) in [
        (8, None),
        (15, None),
        (16, Some(8)),
        (23, Some(8)),
        (24, Some(16)),
    ] {
        let blocks = height - chain.store.tip().height;
        grow(&mut chain, blocks);
        let offer = chain.store.reader().snapshot().unwrap();
        assert_eq!(
            offer.as_ref().map(|it| it.header.height),
            offered,
            "at {height}"
        );
        assert_eq!(
            offer.as_ref().map(|it| it.checkpoint().digest()),
            offered.and_then(|height| named(&chain, height + 8))
        );
    }
    let with_name: Vec<u64> = (1..=24)
        .filter(|height| named(&chain, *height).is_some())
        .collect();
    assert_eq!(with_name, [16, 24]);
    assert_ne!(named(&chain, 16), named(&chain, 24));
}

#[test]
fn a_store_that_begins_with_a_snapshot_comes_to_the_same_and_proves_what_lies_above() {
    let mut old = chain(27);
    let offer = offer(&old);
    assert_eq!(
        Offer::try_from(&wire::Snapshot::from(&offer)).unwrap(),
        offer
    );
    let snapshot = check(offer, &old.genesis).unwrap();
    let disk = tempfile::tempdir().unwrap();
    install(disk.path(), &old.store.reader(), snapshot, &old.genesis);
    let mut new = Store::open(disk.path(), &old.genesis).unwrap();
    let reader = new.reader();
    assert_eq!((new.tip().height, reader.first_block().unwrap()), (16, 17));
    grow(&mut old, 13);
    follow(&mut new, &old.store.reader());
    assert_eq!(new.tip(), old.store.tip());
    assert_eq!(state_of(&reader), state_of(&old.store.reader()));
    // It offers the same snapshots, and proves what lies above its own.
    assert_eq!(
        reader.snapshot().unwrap(),
        old.store.reader().snapshot().unwrap()
    );
    for height in 17..=40 {
        let block = reader.block(height).unwrap().unwrap();
        for tx in &block.txs {
            let proof = reader.receipt(&tx.meta().id).unwrap().unwrap();
            receipt::check(&proof, new.epochs(), &new.chain()).unwrap();
        }
    }
    for height in 16..40 {
        let (path, same) = (
            reader.history_path(height, 40),
            old.store.reader().history_path(height, 40),
        );
        assert_eq!(path.unwrap(), same.unwrap(), "{height}");
        reader.history_consistency(height.max(17), 40).unwrap();
    }
    // What lies below is said not to be here.
    assert!(matches!(
        reader.block(16),
        Err(Error::Pruned {
            height: 16,
            first: 17
        })
    ));
    assert!(matches!(
        reader.block(3),
        Err(Error::Pruned {
            height: 3,
            first: 17
        })
    ));
    assert!(matches!(
        reader.history_path(3, 40),
        Err(Error::Pruned { .. })
    ));
    drop((reader, new));
    let report = verify(disk.path(), &old.genesis, &PlainVerifier::default(), |_| {}).unwrap();
    assert_eq!((report.tip, report.from), (old.store.tip(), 25));
    // A node that begins with a snapshot of this one does as well.
    let second = Store::open(disk.path(), &old.genesis).unwrap();
    let offer = second.reader().snapshot().unwrap().unwrap();
    let snapshot = check(offer, &old.genesis).unwrap();
    let disk = tempfile::tempdir().unwrap();
    install(disk.path(), &second.reader(), snapshot, &old.genesis);
    let mut third = Store::open(disk.path(), &old.genesis).unwrap();
    follow(&mut third, &second.reader());
    assert_eq!(third.tip(), old.store.tip());
}

#[test]
fn a_snapshot_takes_the_place_of_a_store_that_was_long_away() {
    let mut chain = chain(20);
    let disk = tempfile::tempdir().unwrap();
    let mut away = Store::open(disk.path(), &chain.genesis).unwrap();
    follow(&mut away, &chain.store.reader());
    drop(away);
    grow(&mut chain, 20);
    let snapshot = check(offer(&chain), &chain.genesis).unwrap();
    install(disk.path(), &chain.store.reader(), snapshot, &chain.genesis);
    let mut back = Store::open(disk.path(), &chain.genesis).unwrap();
    assert_eq!(back.tip().height, 32);
    follow(&mut back, &chain.store.reader());
    assert_eq!(back.tip(), chain.store.tip());
}

#[test]
fn an_offer_that_validators_did_not_certify_is_refused() {
    let chain = chain(27);
    let offer = offer(&chain);
    let head = |height| chain.store.reader().head(height).unwrap().unwrap();
    let refused = |why: &str, change: &dyn Fn(&mut Offer)| {
        let mut changed = offer.clone();
        change(&mut changed);
        let fault = check(changed, &chain.genesis).expect_err(why).to_string();
        assert!(fault.contains(why), "{why}: {fault}");
    };
    refused("names another checkpoint", &|it| it.pairs += 1);
    refused("names another checkpoint", &|it| {
        it.chunks[0] = it.chunks[0].map_first()
    });
    refused("names another checkpoint", &|it| {
        it.header = head(17).header;
        it.certificate = certificate(&it.header);
    });
    refused("not certified", &|it| it.header.time += 1);
    refused("not certified", &|it| it.naming.checkpoint = None);
    refused("another checkpoint, or none", &|it| {
        it.naming = head(25).header;
        it.naming_certificate = certificate(&it.naming);
    });
    refused("is not above it", &|it| {
        it.naming = it.header.clone();
        it.naming_certificate = it.certificate.clone();
    });
    refused("of another chain", &|it| {
        it.header.chain.0 = it.header.chain.0.map_first()
    });
    refused("its history is not", &|it| {
        it.history = xinqiao_crypto::Frontier::new()
    });
    check(offer.clone(), &chain.genesis).unwrap();
}

trait MapFirst {
    /// The same with its first bit flipped.
    fn map_first(self) -> Self;
}

impl MapFirst for xinqiao_crypto::Digest {
    fn map_first(self) -> Self {
        let mut bytes = *self.as_bytes();
        bytes[0] ^= 0x80;
        Self::from(bytes)
    }
}

#[test]
fn a_chunk_that_was_not_certified_is_refused_and_an_interrupted_transfer_goes_on_where_it_was() {
    let mut chain = Chain::with_checkpoints(8);
    // Enough state for several chunks.
    let source = register_source("sh-tax", "sh-bureau", &["tax"]);
    let begin = [source, activate_source("sh-tax")];
    let begin = begin.map(|it| chain.consortium.sign("sh-bureau/admin", it));
    chain.commit(begin.into());
    let mut subjects = 0;
    for _ in 2..=17 {
        let batch: Vec<u64> = (subjects..subjects + 1_500).collect();
        subjects += 1_500;
        let batch = register_digests("sh-tax", &["tax"], &batch, 20_000);
        let tx = chain.consortium.sign("sh-bureau/holder", batch);
        chain.commit(vec![tx]);
    }
    let reader = chain.store.reader();
    let snapshot = check(offer(&chain), &chain.genesis).unwrap();
    let chunks = snapshot.chunks();
    assert!(chunks >= 2, "{chunks}");
    let height = snapshot.checkpoint().height;
    let disk = tempfile::tempdir().unwrap();
    let chunk = |index| reader.snapshot_chunk(height, index).unwrap().unwrap();
    {
        let mut installing = Installing::begin(disk.path(), snapshot.clone()).unwrap();
        let mut flipped = chunk(0);
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(installing.put(&flipped), Err(NotTaken::Other)));
        assert!(
            matches!(installing.put(&chunk(1)), Err(NotTaken::Other)),
            "out of order"
        );
        assert!(matches!(installing.put(&[]), Err(NotTaken::Other)));
        assert_eq!(installing.next(), Some(0), "nothing was taken");
        installing.put(&chunk(0)).unwrap();
    }
    // Not whole: it does not take the store's place, which is as it was.
    let early = Installing::begin(disk.path(), snapshot.clone()).unwrap();
    assert_eq!(early.next(), Some(1), "it goes on");
    early.finish(&epochs(&chain.genesis), &[]).unwrap_err();
    assert_eq!(
        Store::open(disk.path(), &chain.genesis)
            .unwrap()
            .tip()
            .height,
        0
    );
    let mut installing = Installing::begin(disk.path(), snapshot.clone()).unwrap();
    for index in 1..chunks {
        installing.put(&chunk(index)).unwrap();
    }
    installing.finish(&epochs(&chain.genesis), &[]).unwrap();
    let mut store = Store::open(disk.path(), &chain.genesis).unwrap();
    follow(&mut store, &reader);
    assert_eq!(store.tip(), chain.store.tip());
    assert!(reader.snapshot_chunk(height, chunks).unwrap().is_none());
    assert!(reader.snapshot_chunk(height + 1, 0).unwrap().is_none());
}

#[test]
fn a_checkpoint_that_a_crash_left_out_is_taken_when_the_store_is_opened() {
    let mut chain = chain(16);
    let tip = chain.store.tip();
    let Chain {
        store,
        genesis,
        disk,
        consortium,
    } = chain;
    drop(store);
    // As if the process had died between the block and its checkpoint.
    std::fs::remove_dir_all(disk.path().join("checkpoints/16")).unwrap();
    std::fs::create_dir(disk.path().join("checkpoints/16.part")).unwrap();
    let store = Store::open(disk.path(), &genesis).unwrap();
    assert_eq!(store.tip(), tip);
    chain = Chain {
        store,
        genesis: Arc::clone(&genesis),
        disk,
        consortium,
    };
    grow(&mut chain, 8);
    assert_eq!(offer(&chain).header.height, 16);
}

#[test]
fn a_crash_while_a_snapshot_takes_the_stores_place_is_brought_to_its_end() {
    let chain = chain(20);
    let snapshot = check(offer(&chain), &chain.genesis).unwrap();
    let disk = tempfile::tempdir().unwrap();
    install(disk.path(), &chain.store.reader(), snapshot, &chain.genesis);
    let path = |name| disk.path().join(name);
    // After the old one was moved away, before the new one was moved in.
    std::fs::rename(path("ledger"), path("joining")).unwrap();
    std::fs::create_dir(path("replaced")).unwrap();
    let store = Store::open(disk.path(), &chain.genesis).unwrap();
    assert_eq!(store.tip().height, 8);
    drop(store);
    // After both.
    std::fs::create_dir(path("replaced")).unwrap();
    let store = Store::open(disk.path(), &chain.genesis).unwrap();
    assert_eq!(store.tip().height, 8);
    assert!(!path("replaced").exists());
}

#[test]
fn a_store_whose_pending_checkpoint_is_lost_says_what_to_do() {
    let chain = chain(20);
    let (disk, genesis, _) = chain.close();
    std::fs::remove_dir_all(disk.path().join("checkpoints/16")).unwrap();
    let mut store = Store::open(disk.path(), &genesis).unwrap();
    let fault = loop {
        let slot = Slot {
            height: store.tip().height + 1,
            time: store.tip().time + 1,
            proposer: xinqiao_contracts::testing::secret("validator")
                .public()
                .id(),
        };
        match store.execute(slot, Vec::new(), &PlainVerifier::default()) {
            Ok(execution) => {
                let header = execution.header().clone();
                let certificate = certificate(&header);
                let certified = certificate.check(header, store.validators()).unwrap();
                store.commit(execution, &certified, &certificate).unwrap();
            }
            Err(fault) => break fault,
        }
    };
    assert_eq!(store.tip().height, 23);
    assert!(
        fault.to_string().contains("begin again with a snapshot"),
        "{fault}"
    );
}
