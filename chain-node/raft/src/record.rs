//! The records of the log: what has to be known again after a crash, so that this node never votes
//! twice in a term, never loses what it acknowledged, and never signs two headers at one height.
//!
//! Where records lie, how they are framed and when they are on disk is the host's business; what a
//! log that a crash cut short still says is [`recover`]'s.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_consensus::{Error, Malformed};
use xinqiao_crypto::Digest;
use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::message::{Point, Slot, encoded};

/// The library's hard state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hard {
    /// The term.
    pub term: u64,
    /// Who this node votes for in it; 0 for nobody.
    pub vote: u64,
    /// How far the log is committed, as far as was known.
    pub commit: u64,
}

/// All that one group's member keeps.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Kept {
    /// Since when the group's validators are in force.
    pub since: Height,
    /// Hash of their set.
    pub validators: Digest,
    /// Term, vote and commit.
    pub hard: Hard,
    /// Where the log begins.
    pub point: Point,
    /// The log.
    pub slots: Vec<Slot>,
    /// The last header that this node signed, and its height.
    pub signed: Option<(Height, HeaderHash)>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Event {
    /// Everything, in place of all records before.
    Kept(Kept),
    /// Term, vote and entries in one: they are durable together or not at all.
    Step {
        /// Term, vote and commit.
        hard: Hard,
        /// The index that the entries follow on, in place of all that were there; none if there
        /// are no entries.
        after: Option<u64>,
        /// The entries.
        slots: Vec<Slot>,
    },
    /// This node is about to sign a header at the record's height.
    Signed(HeaderHash),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// The height that was under way.
    pub height: Height,
    /// What happened.
    pub event: Event,
}

impl Record {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Parses an encoding.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::try_from_slice(bytes).map_err(|_| Malformed::Encoding)
    }
}

impl Kept {
    /// A member that has heard nothing yet.
    pub(crate) fn begin(since: Height, validators: Digest) -> Self {
        Self {
            since,
            validators,
            hard: Hard::default(),
            point: Point {
                index: 0,
                term: 0,
                height: since - 1,
                header: None,
            },
            slots: Vec::new(),
            signed: None,
        }
    }

    fn last(&self) -> u64 {
        self.point.index + self.slots.len() as u64
    }

    fn take(&mut self, height: Height, event: Event) -> Result<(), Malformed> {
        match event {
            Event::Kept(kept) => *self = kept,
            Event::Signed(header) => self.signed = Some((height, header)),
            Event::Step { hard, after, slots } => {
                if let Some(after) = after {
                    let keep = after.checked_sub(self.point.index);
                    let keep = keep.filter(|keep| *keep <= self.slots.len() as u64);
                    let keep = keep.ok_or(Malformed::Encoding)?;
                    self.slots.truncate(keep as usize);
                    self.slots.extend(slots);
                }
                self.hard = hard;
            }
        }
        self.sound()
    }

    /// Whether it can be read again.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound().is_ok()
    }

    /// The library would not start with anything else.
    fn sound(&self) -> Result<(), Malformed> {
        if self.hard.commit > self.last() || self.hard.commit < self.point.index {
            return Err(Malformed::Encoding);
        }
        Ok(())
    }
}

/// What a log says after a crash; nothing if it is empty. What it says is believed, so the host's
/// framing has to notice a flipped bit, and the node to stop. A last record that was cut short was
/// never flushed, so nothing depends on it and it is left out.
///
/// # Errors
/// [`Error::LogDamaged`] when any other record is none, or does not follow on those before it;
/// [`Error::LogAhead`] when one is of a height that the chain has not reached.
pub fn recover(start: Height, log: &[Vec<u8>]) -> Result<Option<Kept>, Error> {
    let mut kept: Option<Kept> = None;
    let mut orphan = None;
    for (index, bytes) in log.iter().enumerate() {
        let damaged = |why| Error::LogDamaged { index, why };
        let Record { height, event } = match Record::decode(bytes) {
            Ok(record) => record,
            Err(_) if index + 1 == log.len() => break,
            Err(why) => return Err(damaged(why)),
        };
        if height > start {
            return Err(Error::LogAhead { log: height, start });
        }
        match (&mut kept, event) {
            (None, Event::Kept(first)) => {
                first.sound().map_err(damaged)?;
                kept = Some(first);
            }
            // After a restart the log is cut at the height under way, not at the record that holds
            // everything: what is left before it is in it.
            (None, _) => orphan = orphan.or(Some(index)),
            (Some(kept), event) => kept.take(height, event).map_err(damaged)?,
        }
    }
    match (kept, orphan) {
        (None, Some(index)) => Err(Error::LogDamaged {
            index,
            why: Malformed::Encoding,
        }),
        (kept, _) => Ok(kept),
    }
}

#[cfg(test)]
mod tests;
