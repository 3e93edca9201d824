//! What the contracts promise, as tables: each row is a story's last step and what it comes to.

#![allow(clippy::unwrap_used, reason = "tests")]

mod access;
mod check;
mod checkpoints;
mod consent;
mod coverage;
mod digests;
mod envelope;
mod golden;
mod governance;
mod members;
mod misbehaviour;
mod objections;
mod orders;
mod overlay;
mod parts;
mod proofs;
mod property;
mod sealing;
mod sources;
mod votes;
