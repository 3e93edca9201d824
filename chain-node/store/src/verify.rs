//! Checking a whole store: every byte of it, from the genesis on.
//!
//! The chain is executed again from its blocks into a scratch store beside it, and both are then
//! compared pair by pair. What the blocks themselves say is held by their certificates; all else
//! (outcomes, state, index, history, tip) follows from them, so one flipped bit anywhere shows.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use xinqiao_contracts::{Candidate, VerifyTx};
use xinqiao_ledger::{block::Block, genesis::Genesis, ids::Height};

use crate::{
    database::{Database, Durability, Pair},
    error::Error,
    execution::Slot,
    layout::{FAMILIES, META, META_HALTED, Tip},
    write::{Store, check_block},
};

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The tip that everything leads to.
    pub tip: Tip,
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
    let mut copy = Store::open_as(&scratch.path, genesis, Durability::Scratch)?;
    let reader = store.reader();
    let mut txs = 0;
    for height in 1..=store.tip().height {
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
    let pairs = compare(&reader.db, &copy.reader().db)?;
    Ok(Report {
        tip: store.tip(),
        txs,
        pairs,
    })
}

/// Compares every family, pair by pair.
fn compare(stored: &Database, copy: &Database) -> Result<u64, Error> {
    let mut count = 0;
    for family in FAMILIES {
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
