//! A chain of one validator with a store in a temporary directory.

use std::sync::Arc;

use rand::rng;
use tempfile::TempDir;
use xinqiao_contracts::{
    Candidate,
    testing::{Consortium, PlainVerifier, open_user, secret},
};
use xinqiao_ledger::{
    block::Certificate,
    genesis::{Genesis, Parameters},
    ids::TxId,
    tx::Tx,
};
use xinqiao_store::{Slot, Store, Tip};

/// A consortium with a store in a temporary directory.
pub(crate) struct Chain {
    pub(crate) consortium: Consortium,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) store: Store,
    pub(crate) disk: TempDir,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self::of(Consortium::new())
    }

    /// With a checkpoint every so many blocks.
    pub(crate) fn with_checkpoints(interval: u64) -> Self {
        Self::of(Consortium::with(Parameters {
            checkpoint_interval: interval,
            ..Parameters::default()
        }))
    }

    fn of(consortium: Consortium) -> Self {
        let genesis = Arc::new(consortium.genesis.clone());
        let disk = tempfile::tempdir().unwrap();
        let store = Store::open(disk.path(), &genesis).unwrap();
        Self {
            consortium,
            genesis,
            store,
            disk,
        }
    }

    /// With blocks of that many transactions each.
    pub(crate) fn with(blocks: &[usize]) -> (Self, Vec<Vec<TxId>>) {
        let mut chain = Self::new();
        let mut number = 0;
        let ids = blocks
            .iter()
            .map(|count| {
                let txs: Vec<Tx> = (0..*count)
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

    pub(crate) fn commit(&mut self, txs: Vec<Tx>) -> Tip {
        let key = secret("validator");
        let slot = Slot {
            height: self.store.tip().height + 1,
            time: self.store.tip().time + 1_000,
            proposer: key.public().id(),
        };
        let candidates = txs.into_iter().map(Candidate::Unverified).collect();
        let execution = (self.store)
            .execute(slot, candidates, &PlainVerifier::default())
            .unwrap();
        let header = execution.header().clone();
        let certificate = certificate(&header);
        let certified = certificate.check(header, self.store.validators()).unwrap();
        self.store
            .commit(execution, &certified, &certificate)
            .unwrap()
    }

    pub(crate) fn close(self) -> (TempDir, Arc<Genesis>, Tip) {
        let tip = self.store.tip();
        drop(self.store);
        (self.disk, self.genesis, tip)
    }
}

pub(crate) fn certificate(header: &xinqiao_ledger::block::Header) -> Certificate {
    let signature = Certificate::sign(
        header,
        &secret("validator"),
        &Default::default(),
        &mut rng(),
    );
    Certificate {
        height: header.height,
        round: 0,
        header: header.hash(),
        signatures: vec![signature],
    }
}
