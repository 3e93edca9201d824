//! A seeded simulation of a consortium's consensus: the real engine in many nodes, in one thread,
//! over a simulated network, clock and disk, with validators that crash and validators that lie.
//!
//! Which engines there are, [`kind`] says. A seed decides a whole run. Every invariant has a file of its
//! own in [`invariant`]; mistakes are planted behind [`node::Bug`] to see that the invariants find them.

pub mod block;
pub mod dice;
pub mod disk;
pub mod invariant;
pub mod kind;
pub mod liar;
pub mod node;
pub mod observe;
pub mod run;
pub mod scheme;
pub mod sets;
pub mod world;
