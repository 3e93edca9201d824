//! Checking a whole store: every byte of it, from the genesis on.
//!
//! The chain is executed again from its blocks into a scratch store beside it, and both are then
//! compared pair by pair. What the blocks themselves say is held by their certificates; all else
//! (outcomes, state, index, history, tip) follows from them, so one flipped bit anywhere shows.
//! A node that began with a snapshot, or has pruned, is executed again from its oldest checkpoint, and
//! what lies below is held against its headers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::WriteBatch;
use xinqiao_contracts::{Candidate, VerifyTx};
use xinqiao_crypto::merkle;
use xinqiao_ledger::{
    block::{Block, Certificate},
    genesis::Genesis,
    ids::Height,
};

use crate::{
    database::{Database, Durability, Pair},
    error::Error,
    execution::Slot,
    install::{Base, ledger_dir, put_chunk},
    layout::{
        BODIES, EPOCHS, FAMILIES, HEADERS, HISTORY, META, META_HALTED, OUTCOMES, STATE, TXS, Tip,
    },
    write::{Store, check_block},
};

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The tip that everything leads to.
    pub tip: Tip,
    /// The lowest block that was executed again: 1, or the first above the oldest checkpoint here.
    pub from: Height,
    /// Transactions executed again.
    pub txs: u64,
    /// Pairs compared.
    pub pairs: u64,
}

/// Checks the whole store. The node must not be running. `progress` is told each height.
///
/// # Errors
/// [`Error::Damaged`] with the first thing that is wrong, or why it cannot be read.
pub fn verify(
    path: &Path,
    genesis: &Arc<Genesis>,
    verifier: &impl VerifyTx,
    mut progress: impl FnMut(Height),
) -> Result<Report, Error> {
    let store = Store::open(path, genesis)?;
    let scratch = Scratch::make(path)?;
    let reader = store.reader();
    let base = base(&store)?;
    if let Some(height) = base {
        for below in 1..=height {
            check_below(&store, below)?;
            progress(below);
        }
        copy_base(&store, height, &scratch.path)?;
    }
    let mut copy = Store::open_as(&scratch.path, genesis, Durability::Scratch)?;
    let mut txs = 0;
    for height in base.unwrap_or(0) + 1..=store.tip().height {
        let certified = check_block(&reader, height, store.epochs().at(height))?;
        let block = (reader.block(height)?)
            .ok_or_else(|| Error::damaged(height, "the block is missing"))?;
        txs += block.txs.len() as u64;
        let Block {
            header,
            txs: candidates,
            certificate,
        } = block;
        let slot = Slot {
            height,
            time: header.time,
            proposer: header.proposer,
        };
        let candidates = candidates.into_iter().map(Candidate::Unverified).collect();
        let execution = copy.execute(slot, candidates, verifier)?;
        if *execution.header() != header {
            return Err(Error::damaged(
                height,
                "executing the block again comes to another header",
            ));
        }
        copy.commit(execution, &certified, &certificate)?;
        progress(height);
    }
    let (ours, copied) = (&reader.db, &copy.reader().db);
    let pairs = match base {
        None => compare(ours, copied, &FAMILIES)?,
        Some(_) => {
            let rest = [HEADERS, BODIES, OUTCOMES, TXS, HISTORY];
            compare(ours, copied, &[STATE, EPOCHS])? + contains(ours, copied, &rest)?
        }
    };
    Ok(Report {
        tip: store.tip(),
        from: base.map_or(1, |height| height + 1),
        txs,
        pairs,
    })
}

/// The height of the checkpoint to begin with where not all blocks are whole; none where all are.
fn base(store: &Store) -> Result<Option<Height>, Error> {
    let reader = store.reader();
    let first = reader.first_block()?;
    if first == 1 {
        return Ok(None);
    }
    let heights = reader.checkpoints.heights();
    let height = (heights.into_iter().find(|height| height + 1 >= first))
        .ok_or_else(|| Error::damaged(first, "there is no checkpoint to execute from"))?;
    // The next header that names one names this one.
    for above in height + 1..=store.tip().height {
        let head =
            (reader.head(above)?).ok_or_else(|| Error::damaged(above, "the header is missing"))?;
        if let Some(named) = head.header.checkpoint {
            if named != reader.checkpoints.digest(height)? {
                return Err(Error::damaged(
                    height,
                    "the checkpoint is not the one that was certified",
                ));
            }
            break;
        }
    }
    Ok(Some(height))
}

/// Checks what there is of a block that is not executed again: its header is certified and part of the
/// history, and what was kept leads to its roots.
fn check_below(store: &Store, height: Height) -> Result<(), Error> {
    let reader = store.reader();
    let damaged = |what: &str| Err(Error::damaged(height, what));
    let Some(head) = reader.head(height)? else {
        // A node that began with a snapshot has but those that handed over.
        let whole = reader.first_block()? <= height;
        return if whole {
            damaged("the header is missing")
        } else {
            Ok(())
        };
    };
    let certificate =
        Certificate::try_from(&head.certificate).map_err(|fault| Error::damaged(height, fault))?;
    let certified = (certificate.check(head.header, store.epochs().at(height)))
        .map_err(|fault| Error::damaged(height, fault))?;
    match (
        reader.leaves(BODIES, height),
        reader.leaves(OUTCOMES, height),
    ) {
        (Ok(txs), Ok(outcomes)) => {
            if merkle::root(&txs) != certified.tx_root {
                return damaged("the transactions are not the header's");
            }
            if merkle::root(&outcomes) != certified.outcome_root {
                return damaged("the outcomes are not the header's");
            }
            for (place, tx) in reader.kept_txs(height)? {
                if reader.place(&tx.meta().id)?.is_none() {
                    return damaged(&format!("transaction {} has lost its place", place.index));
                }
            }
            Ok(())
        }
        (Err(Error::Pruned { .. }), Err(Error::Pruned { .. })) => Ok(()),
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
    }
}

/// Begins a scratch store with the state of a checkpoint.
fn copy_base(store: &Store, height: Height, scratch: &Path) -> Result<(), Error> {
    let reader = store.reader();
    let db = Database::open(&ledger_dir(scratch)?, Durability::Scratch)?;
    reader.checkpoints.each_chunk(height, |chunk| {
        let mut batch = WriteBatch::default();
        put_chunk(&db, &mut batch, chunk).map_err(|fault| Error::damaged(height, fault))?;
        db.write(batch)
    })?;
    let head = |height| {
        (reader.head(height)?).ok_or_else(|| Error::damaged(height, "the header is missing"))
    };
    let at = head(height)?;
    let handovers = store.epochs().all().iter().skip(1);
    let handovers = (handovers.map(|(from, _)| from - 1))
        .filter(|below| *below < height)
        .map(|below| head(below).map(|head| (below, head.encoded, head.certificate)))
        .collect::<Result<_, _>>()?;
    let base = Base {
        header: &at.header,
        certificate: at.certificate,
        history: reader.history_before(height)?,
        handovers,
        epochs: store.epochs(),
    };
    base.put(&db)?;
    Ok(())
}

/// Checks that every pair of a copy is there, whatever else is.
fn contains(stored: &Database, copy: &Database, families: &[&'static str]) -> Result<u64, Error> {
    let mut count = 0;
    for family in families {
        for pair in copy.pairs(family) {
            let (key, value) = pair?;
            if stored.get(family, &key)?.as_deref() != Some(&value) {
                let what = format!(
                    "in {family} the value of {} is not what the blocks lead to",
                    hex(&key)
                );
                return Err(Error::damaged(0, what));
            }
            count += 1;
        }
    }
    Ok(count)
}

/// Compares families, pair by pair.
fn compare(stored: &Database, copy: &Database, families: &[&'static str]) -> Result<u64, Error> {
    let mut count = 0;
    for &family in families {
        // Whether the node has halted does not follow from the blocks.
        let told = |pair: &Result<Pair, Error>| !matches!(pair, Ok((key, _)) if family == META && **key == *META_HALTED);
        let mut ours = stored.pairs(family).filter(told);
        let mut theirs = copy.pairs(family);
        loop {
            match (ours.next().transpose()?, theirs.next().transpose()?) {
                (None, None) => break,
                (Some(ours), Some(theirs)) if ours == theirs => count += 1,
                (ours, theirs) => {
                    let key = |pair: Option<Pair>| match pair {
                        Some((key, _)) => hex(&key),
                        None => "the end".to_owned(),
                    };
                    let what = format!(
                        "in {family} there is {} where the blocks lead to {}, or its value differs",
                        key(ours),
                        key(theirs)
                    );
                    return Err(Error::damaged(0, what));
                }
            }
        }
    }
    Ok(count)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory beside the store, removed when dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make(store: &Path) -> Result<Self, Error> {
        let path = store.join("verify-scratch");
        let failed = |source| Error::Directory {
            path: path.clone(),
            source,
        };
        // One that an interrupted run left behind.
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        std::fs::create_dir_all(&path).map_err(failed)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a scratch directory is left behind");
        }
    }
}

#[cfg(test)]
mod tests;
