//! Idle: while no transaction waits, honest nodes commit nothing. If their engine is one that rests,
//! they write nothing and say nothing either.

/// Counts what honest nodes write and say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Idle {
    blocks: u64,
    writes: u64,
    messages: u64,
}

impl Idle {
    /// A block was committed.
    pub fn committed(&mut self) {
        self.blocks += 1;
    }

    /// A record was appended to a log.
    pub fn wrote(&mut self) {
        self.writes += 1;
    }

    /// Something was said.
    pub fn said(&mut self) {
        self.messages += 1;
    }

    /// Whether nothing happened since an earlier count; of an engine that does not rest: no block.
    pub fn unchanged_since(&self, earlier: &Self, rests: bool) -> Result<(), String> {
        if self.blocks == earlier.blocks && (!rests || self == earlier) {
            return Ok(());
        }
        Err(format!(
            "{} blocks, {} writes and {} messages while nothing waited",
            self.blocks - earlier.blocks,
            self.writes - earlier.writes,
            self.messages - earlier.messages
        ))
    }
}
