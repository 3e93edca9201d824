//! The ledger on disk: one RocksDB per node, and one synced write batch per block.
//!
//! ```text
//!   candidates ──▶ Store::execute ──▶ Execution (header, outcomes, writes)     reads only
//!   certificate ─▶ Store::commit ───▶ state, block, outcomes, index, history, tip: all or nothing
//!                  Reader / View ───▶ everyone else, at the same time
//! ```
//!
//! [`Store`] is the one writer and has one owner; a [`Reader`] is handed to whoever reads, and a
//! [`View`] is one consistent state. What was committed survives kill -9 and a power cut; what was
//! not leaves no trace. Not here: who may certify a block, and what to do when executions differ.

mod checkpoint;
mod database;
mod error;
mod execution;
mod install;
mod layout;
mod prune;
mod read;
mod recent;
mod verify;
mod write;

pub use error::Error;
pub use execution::{Execution, Slot};
pub use install::{Installing, NotTaken, exists};
pub use layout::Tip;
pub use prune::{Pruned, Pruner};
pub use read::{Place, Reader, StoredHead, View};
pub use verify::{Report, verify};
pub use write::Store;
