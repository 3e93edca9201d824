//! A seeded simulation of a consortium: the real engines in many nodes, in one thread, over a
//! simulated network, clock and disk, with validators that crash and validators that lie.
//!
//! Which engines there are, [`kind`] says. A seed decides a whole run. There are two sorts of runs over
//! the same network, clock and disk: fast ones, in which bodies are lists of numbers, and whole
//! consortiums, in which numbers name signed transactions that real contracts execute ([`books`]),
//! [`clients`] hand in, and the product's delivery machine answers ([`holder`]).
//!
//! Every invariant has a file of its own in [`invariant`]; mistakes are planted behind [`node::Bug`]
//! and in [`forgetful`] to see that the invariants find them.

pub mod block;
pub mod books;
pub mod clients;
pub mod dice;
pub mod disk;
pub mod forgetful;
pub mod holder;
pub mod invariant;
pub mod kind;
pub mod liar;
pub mod node;
pub mod observe;
pub mod run;
pub mod scheme;
pub mod sets;
pub mod world;
