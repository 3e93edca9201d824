//! Tests of the ledger's types from the outside: what they accept, refuse, hash to and prove.

#![allow(clippy::unwrap_used, reason = "test code throughout")]

mod certificate;
mod checkpoint;
mod conformity;
mod contract;
mod decided;
mod evidence;
mod evidence_flipped;
mod evidence_refused;
mod flipped;
mod golden;
mod malformed;
mod malformed_blocks;
mod plain_code;
mod samples;
mod world;
