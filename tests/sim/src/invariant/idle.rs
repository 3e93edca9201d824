//! Idle: while no transaction waits, honest nodes write nothing and say nothing.

/// Counts what honest nodes write and say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Idle {
    writes: u64,
    messages: u64,
}

impl Idle {
    /// Something was written: an entry of a log, or a block.
    pub fn wrote(&mut self) {
        self.writes += 1;
    }

    /// Something was said.
    pub fn said(&mut self) {
        self.messages += 1;
    }

    /// Whether nothing happened since an earlier count.
    pub fn unchanged_since(&self, earlier: &Self) -> Result<(), String> {
        if self == earlier {
            return Ok(());
        }
        Err(format!(
            "{} writes and {} messages while nothing waited",
            self.writes - earlier.writes,
            self.messages - earlier.messages
        ))
    }
}
