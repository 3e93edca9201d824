//! What a store promises, on real disks.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod chain;
mod keeping;
mod pruning;
mod snapshots;
