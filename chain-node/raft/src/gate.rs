//! Appends wait here until this node has the bodies of their blocks. So the library never holds,
//! acknowledges or votes with an entry whose block this node could not serve, and a body that
//! cannot be got stops nobody from electing.
//!
//! A block is judged on top of the one before, so an entry of a later height than the one under way
//! waits too.

use std::collections::{BTreeSet, VecDeque};

use xinqiao_crypto::KeyId;
use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::{
    group::Group,
    message::{Block, Body, Letter, Slot},
    timer::AGAIN_TICKS,
};

/// How many appends wait at most. What comes then is lost, and the leader says it again.
const MOST: usize = 64;

/// The appends of the latest term, in the order in which they came, and what is known of bodies.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    letters: VecDeque<Letter>,
    /// Headers of the height under way whose bodies are here and judged.
    judged: BTreeSet<HeaderHash>,
    /// Those that were asked for.
    asked: BTreeSet<HeaderHash>,
    /// For how many ticks nothing has gone through.
    waited: u64,
}

/// What the gate lets through.
pub(crate) enum Through {
    /// A letter.
    Letter(Letter),
    /// A body has to be judged first; who has it.
    Ask(Block, KeyId),
}

impl Gate {
    /// Another height is under way.
    pub(crate) fn begin(&mut self) {
        self.judged.clear();
        self.asked.clear();
    }

    /// Another group is under way.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The body of a header is here and stands.
    pub(crate) fn judged(&mut self, header: HeaderHash) {
        self.judged.insert(header);
    }

    /// Whether the body of a header was asked for.
    pub(crate) fn is_asked(&self, header: &HeaderHash) -> bool {
        self.asked.contains(header)
    }

    /// Time passes. What has waited for long is dropped: then the leader hears that this node does
    /// not have it, and says it again, with its bodies.
    pub(crate) fn tick(&mut self) {
        self.waited += 1;
        if self.waited >= AGAIN_TICKS {
            self.waited = 0;
            self.letters.clear();
        }
    }

    /// Takes an append.
    pub(crate) fn put(&mut self, letter: Letter) {
        match self.letters.back() {
            Some(last) if last.term > letter.term => return,
            // Another leader.
            Some(last) if last.term < letter.term => self.letters.clear(),
            Some(_) => {}
            None => self.waited = 0,
        }
        if self.letters.len() < MOST && !self.letters.contains(&letter) {
            self.letters.push_back(letter);
        }
    }

    /// What can go on now.
    pub(crate) fn next(&mut self, height: Height, me: KeyId, group: &Group) -> Option<Through> {
        let letter = self.letters.front_mut()?;
        let Body::Append {
            index,
            log_term,
            commit,
            slots,
        } = &mut letter.body
        else {
            return self.letters.pop_front().map(Through::Letter);
        };
        // The library answers an older leader with its term and takes nothing.
        let old = letter.term < group.term();
        let is_here = |index: u64, slot: &Slot| match &slot.block {
            None => true,
            Some(block) if block.height != height => block.height < height,
            Some(block) => self.judged.contains(&block.header) || group.holds(index, slot),
        };
        let ready = (*index + 1..).zip(slots.iter());
        let ready = ready
            .take_while(|(index, slot)| is_here(*index, slot))
            .count();
        if old || ready > 0 || slots.is_empty() {
            self.waited = 0;
        }
        if old || ready == slots.len() {
            return self.letters.pop_front().map(Through::Letter);
        }
        if ready > 0 {
            let (first, commit) = (*index, *commit);
            let rest = slots.split_off(ready);
            let slots = std::mem::replace(slots, rest);
            let before = std::mem::replace(log_term, slots.last().map_or(0, |slot| slot.term));
            *index += ready as u64;
            return Some(Through::Letter(Letter {
                body: Body::Append {
                    index: first,
                    log_term: before,
                    commit,
                    slots,
                },
                ..letter.clone()
            }));
        }
        let block = slots.first().and_then(|slot| slot.block)?;
        if block.height != height || !self.asked.insert(block.header) {
            return None;
        }
        // This node's own block may have been lost with the height's records.
        let own = block.proposer == me;
        let from = if own { letter.from } else { block.proposer };
        Some(Through::Ask(block, from))
    }
}

#[cfg(test)]
mod tests;
