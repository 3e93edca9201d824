//! The library's log in memory: what it reads. What makes it durable is `record`'s and the host's.

use raft::{
    Error, GetEntriesContext, RaftState, Result, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot},
    util::limit_size,
};
use xinqiao_ledger::ids::Height;

use crate::{
    message::{Block, Point, Slot},
    record::{Hard, Kept},
};

/// Entries after a point, and who votes.
pub(crate) struct Store {
    point: Point,
    /// Without holes; the first follows the point.
    slots: Vec<Slot>,
    hard: Hard,
    voters: Vec<u64>,
}

impl Store {
    pub(crate) fn new(kept: &Kept, voters: Vec<u64>) -> Self {
        Self {
            point: kept.point,
            slots: kept.slots.clone(),
            hard: kept.hard,
            voters,
        }
    }

    pub(crate) fn point(&self) -> Point {
        self.point
    }

    /// All entries after the point.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn last(&self) -> u64 {
        self.point.index + self.slots.len() as u64
    }

    /// The last block in the log, committed or not.
    pub(crate) fn last_block(&self) -> Option<&Block> {
        self.slots.iter().rev().find_map(|slot| slot.block.as_ref())
    }

    pub(crate) fn holds(&self, index: u64, slot: &Slot) -> bool {
        self.place(index).is_some_and(|at| self.slots[at] == *slot)
    }

    /// Puts entries after that index, in place of all that were there.
    pub(crate) fn put(&mut self, after: u64, slots: &[Slot]) {
        let keep = after.saturating_sub(self.point.index) as usize;
        self.slots.truncate(keep);
        self.slots.extend_from_slice(slots);
    }

    /// Begins after a point that no entry here leads to.
    pub(crate) fn restore(&mut self, point: Point) {
        self.point = point;
        self.slots.clear();
    }

    /// Drops the blocks up to a height, of those that are applied, and the entries between them.
    /// Tells whether there were any.
    pub(crate) fn compact(&mut self, upto: Height, applied: u64) -> bool {
        let applied = applied.saturating_sub(self.point.index) as usize;
        let old = |slot: &Slot| slot.block.is_some_and(|block| block.height <= upto);
        let Some(last) = self.slots.iter().take(applied).rposition(old) else {
            return false;
        };
        let slot = self.slots[last];
        self.point.index += last as u64 + 1;
        self.point.term = slot.term;
        if let Some(block) = slot.block {
            self.point.height = block.height;
            self.point.header = Some(block.header);
        }
        self.slots.drain(..=last);
        true
    }

    fn place(&self, index: u64) -> Option<usize> {
        let at = index.checked_sub(self.point.index + 1)? as usize;
        (at < self.slots.len()).then_some(at)
    }
}

impl Storage for Store {
    fn initial_state(&self) -> Result<RaftState> {
        let mut hard = HardState::default();
        hard.term = self.hard.term;
        hard.vote = self.hard.vote;
        hard.commit = self.hard.commit;
        let conf = ConfState::from((self.voters.clone(), Vec::new()));
        Ok(RaftState::new(hard, conf))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.point.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let slots = (low..high).filter_map(|index| Some((index, self.slots[self.place(index)?])));
        let mut entries = slots
            .map(|(index, slot)| crate::convert::entry(index, &slot))
            .collect();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.point.index {
            return Ok(self.point.term);
        }
        if index < self.point.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let at = self.place(index);
        let at = at.ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(self.slots[at].term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.point.index + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    /// The point itself is the snapshot: the blocks up to its height travel by themselves.
    fn snapshot(&self, request_index: u64, _: u64) -> Result<Snapshot> {
        if self.point.index == 0 || self.point.index < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(crate::convert::snapshot(&self.point, &self.voters))
    }
}

#[cfg(test)]
mod tests;
