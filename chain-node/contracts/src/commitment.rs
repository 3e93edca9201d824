//! The state commitment: a hash chain over the blocks' write sets.
//!
//! Two nodes that agree at a height have applied the same writes, in the same blocks, from the
//! same genesis on. It is cheap (one pass of SM3 over what a block wrote) and proves no single
//! key: what evidence needs is proved by receipts.

use xinqiao_crypto::{Digest, sm3};
use xinqiao_ledger::ids::Height;

use crate::state::Writes;

/// The commitment after a block's writes: SM3 over a tag, the commitment before, the height, the
/// number of writes, and each write in ascending order of keys, with lengths. For the genesis the
/// parent is the chain's id and the height 0.
pub fn state_commitment(parent: &Digest, height: Height, writes: &Writes) -> Digest {
    let size: usize = writes
        .iter()
        .map(|(key, value)| 9 + key.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    let mut bytes = Vec::with_capacity(size + 64);
    bytes.extend_from_slice(b"xinqiao/state/v1");
    bytes.extend_from_slice(parent.as_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&(writes.len() as u64).to_be_bytes());
    for (key, value) in writes {
        bytes.extend_from_slice(&length(key));
        bytes.extend_from_slice(key);
        match value {
            Some(value) => {
                bytes.push(1);
                bytes.extend_from_slice(&length(value));
                bytes.extend_from_slice(value);
            }
            None => bytes.push(0),
        }
    }
    sm3(&bytes)
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len())
        .expect("keys and values are far below 4 GiB: transactions have at most 1 MiB")
        .to_be_bytes()
}
