//! What is held back until the log is on disk, and the count of the log's records.

use std::collections::VecDeque;

use xinqiao_consensus::Effect;

use crate::{
    message::{Message, Share},
    record::Record,
};

/// What waits for the disk.
#[derive(Debug)]
pub(crate) enum Held {
    /// Something to be done.
    Do(Effect<Message>),
    /// The library's turn of that number is durable; whether the log began anew with it.
    Persisted(u64, bool),
    /// This node's own signature.
    Share(Share),
}

/// Effects, and those that have to wait.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    effects: Vec<Effect<Message>>,
    /// What may be done once the log is on disk up to that record.
    held: VecDeque<(u64, Held)>,
    appended: u64,
    requested: u64,
    flushed: u64,
}

impl Desk {
    /// To be done now.
    pub(crate) fn push(&mut self, effect: Effect<Message>) {
        self.effects.push(effect);
    }

    /// Appends to the log.
    pub(crate) fn append(&mut self, record: &Record) {
        self.appended += 1;
        self.effects.push(Effect::Append(record.encode()));
    }

    /// To be done once everything appended so far is on disk. What is repeated while the disk is
    /// slow is not held twice.
    pub(crate) fn hold(&mut self, held: Held) {
        let needs = self.appended;
        if let Held::Persisted(number, false) = held {
            // Of what becomes durable at once, the last turn stands for all.
            let mut together = self.held.iter_mut().rev();
            let together = together.find_map(|(at, held)| match held {
                Held::Persisted(last, _) if *at == needs => Some(last),
                _ => None,
            });
            if let Some(last) = together {
                *last = number;
                return;
            }
        }
        let is_same = |(_, other): &(u64, Held)| matches!((other, &held), (Held::Do(a), Held::Do(b)) if a == b);
        if !self.held.iter().any(is_same) {
            self.held.push_back((needs, held));
        }
    }

    /// The next thing that need not wait any more.
    pub(crate) fn release(&mut self) -> Option<Held> {
        let (needs, _) = self.held.front()?;
        if *needs > self.flushed {
            return None;
        }
        self.held.pop_front().map(|(_, held)| held)
    }

    /// Nothing that waits matters any more.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// The log is on disk up to a record.
    pub(crate) fn flushed(&mut self, upto: u64) {
        self.flushed = self.flushed.max(upto.min(self.appended));
    }

    /// Whether everything appended is on disk.
    pub(crate) fn is_durable(&self) -> bool {
        self.flushed == self.appended
    }

    /// What is to be done now. If something waits for the disk, the disk is asked for last, so that
    /// one flush covers all that one input led to.
    pub(crate) fn take(&mut self) -> Vec<Effect<Message>> {
        if !self.held.is_empty() && self.requested < self.appended {
            self.requested = self.appended;
            let upto = self.appended;
            self.effects.push(Effect::Flush { upto });
        }
        std::mem::take(&mut self.effects)
    }
}

#[cfg(test)]
mod tests;
