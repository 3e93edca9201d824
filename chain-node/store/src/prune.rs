//! Forgetting old blocks, and keeping what proofs need of them.
//!
//! Headers, certificates and the history stay, so every later proof can still be made of what was
//! kept: in the place of a transaction that is not, its leaf hash stays for the others' paths.
//! Whatever is below the newest certified checkpoint can go, for a node that begins with that one
//! asks for nothing below it.

use rocksdb::WriteBatch;
use xinqiao_ledger::{
    ids::{Height, TimeMs},
    tx::Tx,
};

use crate::{
    error::Error,
    layout::{
        BODIES, META, META_FIRST, OUTCOMES, StoredList, TXS, decode, encode, height_key,
        place_value,
    },
    read::{Place, Reader},
};

/// Prunes a store, beside its writer: it touches nothing above the newest certified checkpoint.
#[derive(Debug)]
pub struct Pruner {
    reader: Reader,
}

/// What pruning has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blocks that are whole no more.
    pub blocks: u64,
    /// Transactions that are gone.
    pub txs: u64,
    /// Transactions that were kept.
    pub kept: u64,
}

impl Pruner {
    /// Of the store that is read. One store has one at a time.
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The first block that is to stay, if all those before a time may go; none if nothing may.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn first_to_stay(&self, before: TimeMs) -> Result<Option<Height>, Error> {
        let Some(snapshot) = self.reader.snapshot()? else {
            return Ok(None);
        };
        let first = self.reader.first_block()?;
        // Times rise with heights.
        let (mut low, mut high) = (first, snapshot.header.height + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let head = (self.reader.head(middle)?)
                .ok_or_else(|| Error::damaged(middle, "the header is missing"))?;
            if head.header.time < before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low > first).then_some(low))
    }

    /// Prunes one block, the lowest that is whole, if it is below a height. `keep` says what of it
    /// stays. Gives nothing when none is.
    ///
    /// # Errors
    /// When the store fails or is damaged; then the block is as it was.
    pub fn prune_next(
        &self,
        below: Height,
        keep: impl Fn(Place, &Tx) -> bool,
    ) -> Result<Option<Pruned>, Error> {
        let db = &self.reader.db;
        let height = self.reader.first_block()?;
        if height >= below {
            return Ok(None);
        }
        let key = height_key(height);
        let list = |family| -> Result<StoredList, Error> {
            let bytes = (db.get(family, key)?)
                .ok_or_else(|| Error::damaged(height, format!("the {family} are missing")))?;
            decode(height, family, &bytes)
        };
        let (txs, outcomes) = (list(BODIES)?, list(OUTCOMES)?);
        let mut kept = Vec::new();
        let mut pruned = Pruned {
            blocks: 1,
            ..Pruned::default()
        };
        let mut batch = WriteBatch::default();
        for (place, tx) in self.reader.kept_txs(height)? {
            let stays = keep(place, &tx);
            kept.push(stays);
            if stays {
                pruned.kept += 1;
                continue;
            }
            pruned.txs += 1;
            // A copy may have taken its place, or left it to an original elsewhere.
            let id = tx.meta().id;
            let here = place_value(height, place.index);
            if db.get(TXS, id.as_bytes())?.is_some_and(|at| at == here) {
                batch.delete_cf(db.family(TXS), id.as_bytes());
            }
        }
        let stays = |index: usize| kept.get(index).copied().unwrap_or(false);
        let txs = txs.pruned(stays);
        // The block's own outcome stays: it is small, and tells of deadlines.
        let outcomes = outcomes.pruned(|index| index.checked_sub(1).is_none_or(stays));
        batch.put_cf(db.family(BODIES), key, encode(&txs));
        batch.put_cf(db.family(OUTCOMES), key, encode(&outcomes));
        batch.put_cf(db.family(META), META_FIRST, (height + 1).to_be_bytes());
        db.write(batch)?;
        self.reader.recent.forget(height);
        Ok(Some(pruned))
    }
}
