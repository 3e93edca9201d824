//! A disk that forgets what was not flushed. A crash keeps a beginning of what was on the way, and
//! may tear the record after it.

use std::collections::BTreeMap;

use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::{
    block::{Block, Candidate},
    dice::Dice,
};

/// What survives a crash, and what is on its way there.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    log: Vec<Record>,
    bodies: BTreeMap<HeaderHash, Candidate>,
    blocks: Vec<Block>,
    pending: Vec<Write>,
    /// Writes made since the beginning, and those of them that are on disk.
    written: u64,
    flushed: u64,
}

/// A record of the log, as its framing knows it.
#[derive(Debug, Clone)]
struct Record {
    /// The height under way when it was appended.
    height: Height,
    bytes: Vec<u8>,
    torn: bool,
}

#[derive(Debug, Clone)]
enum Write {
    Record(Record),
    Body(HeaderHash, Box<Candidate>),
    Truncate(Height),
    Block(Box<Block>),
}

impl Disk {
    /// Appends to the write-ahead log, while that height is under way.
    pub fn append(&mut self, height: Height, bytes: Vec<u8>) {
        self.write(Write::Record(Record {
            height,
            bytes,
            torn: false,
        }));
    }

    /// Keeps a body.
    pub fn keep(&mut self, hash: HeaderHash, candidate: Candidate) {
        self.write(Write::Body(hash, Box::new(candidate)));
    }

    /// Drops the records that were appended before a height was under way.
    pub fn truncate(&mut self, below: Height) {
        self.write(Write::Truncate(below));
    }

    /// How many writes there were: what a flush that begins now will cover.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// A flush that covers so many writes is done.
    pub fn flush(&mut self, covers: u64) {
        while self.flushed < covers && !self.pending.is_empty() {
            let write = self.pending.remove(0);
            self.settle(write);
        }
    }

    /// Writes a block with its certificate, synced, in one piece with all before it.
    pub fn commit(&mut self, block: Block) {
        self.flush(self.written);
        self.bodies.clear();
        self.blocks.push(block);
    }

    /// Writes a block like anything else: a mistake, for it is acknowledged before the next flush.
    pub fn commit_unsynced(&mut self, block: Block) {
        self.write(Write::Block(Box::new(block)));
    }

    /// A body, wherever it is.
    pub fn body(&self, hash: &HeaderHash) -> Option<Candidate> {
        let pending = self.pending.iter().find_map(|write| match write {
            Write::Body(at, candidate) if at == hash => Some(candidate.as_ref().clone()),
            _ => None,
        });
        pending.or_else(|| self.bodies.get(hash).cloned())
    }

    /// All blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The records of the log as a restarted node finds them.
    pub fn log(&self) -> Vec<Vec<u8>> {
        self.log.iter().map(|record| record.bytes.clone()).collect()
    }

    /// Drops a record that a crash tore, so that nothing is ever appended behind it.
    pub fn drop_torn(&mut self) {
        if self.log.last().is_some_and(|last| last.torn) {
            self.log.pop();
        }
    }

    /// The power fails.
    pub fn crash(&mut self, dice: &mut Dice) {
        let kept = dice.index(self.pending.len() + 1);
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        for write in pending.by_ref().take(kept) {
            self.settle(write);
        }
        if let Some(Write::Record(mut torn)) = pending.next()
            && dice.permille(500)
        {
            torn.bytes.truncate(dice.index(torn.bytes.len()));
            torn.torn = true;
            self.log.push(torn);
        }
        self.flushed = self.written;
    }

    fn write(&mut self, write: Write) {
        self.written += 1;
        self.pending.push(write);
    }

    fn settle(&mut self, write: Write) {
        self.flushed += 1;
        match write {
            Write::Record(record) => self.log.push(record),
            Write::Body(hash, candidate) => {
                self.bodies.insert(hash, *candidate);
            }
            Write::Block(block) => self.blocks.push(*block),
            Write::Truncate(below) => self.log.retain(|record| record.height >= below),
        }
    }
}
