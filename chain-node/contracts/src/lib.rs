//! The contracts: what each transaction does to the consortium's state. Pure and deterministic.
//!
//! `execute_block` takes a view of the state, a block's context and its transactions, and gives
//! the outcomes and the writes: nothing is read but through [`StateRead`], nothing is written at
//! all. It is total: a transaction that may not take effect is `Rejected` on every node alike, and
//! the only error, [`StateFault`], means that this node's store failed.
//!
//! | module | contract |
//! |---|---|
//! | `members` | organisations, keys, certificates, users |
//! | `catalogue` | items and purposes |
//! | `sources` | data sources |
//! | `digests` | report digests |
//! | `consent` | requests and grants |
//! | `orders` | orders and their parts, disputes |
//! | `objections` | objections to what sources registered, and their marks |
//! | `access` | the access log and its counters |
//! | `governance` | proposals, votes, and carrying out what passed |
//! | `validators` | who certifies blocks, and how they agree |
//! | `misbehaviour` | validators that contradicted themselves |
//! | `checkpoints` | when the state is digested as a whole |
//!
//! Around them: [`state`] (reading, and the overlay that a rejected transaction is dropped with),
//! [`table`] (the layout of keys), [`record`] (what is kept), `signer` (who speaks), `replay`,
//! `deadline`, `proofs` (what nodes that prune must keep), and [`query`] (typed reads for nodes). Signatures are checked by the caller's
//! [`VerifyTx`]; storage, blocks and time's sanity are the node's.

mod access;
mod apply;
mod catalogue;
mod checkpoints;
mod commitment;
mod consent;
mod deadline;
mod digests;
mod execute;
mod genesis;
mod governance;
mod members;
mod misbehaviour;
mod objections;
mod orders;
mod proofs;
pub mod query;
pub mod record;
mod rejection;
mod replay;
mod signer;
mod sources;
pub mod state;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod validators;
mod wire;

pub use checkpoints::{CheckpointDuty, checkpoint_duty, last_checkpoint};
pub use commitment::state_commitment;
pub use deadline::next_deadline;
pub use execute::{
    BlockContext, Candidate, Executed, NotAdmitted, NotVerified, VerifyTx, admit, execute_block,
};
pub use genesis::genesis_writes;
pub use governance::parameters;
pub use proofs::{Needed, needed_for_proofs};
pub use state::{StateFault, StateRead, Writes};
pub use validators::{engine, next_validators, validators};
