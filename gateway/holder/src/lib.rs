//! The data-holding node: keeps a bureau's records where they are, registers their digests, and serves
//! orders for them.
//!
//! It believes its own replica of the ledger and nobody else. No byte of a report leaves before the
//! transaction that records the delivery is final there (DESIGN §2, promise 2): the delivery machine
//! (`xinqiao-dispatch`) gives a sealed report away only for the replica's proof.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | what the node is told |
//! | [`holding`] | one source: adapter, salt key |
//! | `codes` | which code is behind a pseudonym, on disk |
//! | `watch`, `desk` | what the ledger orders, and carrying it out |
//! | `proof` | the replica's proof that a delivery is recorded |
//! | `spool`, `shelf` | sealed reports on disk; those that may leave |
//! | `groups` | delivery groups with institutions' agents |
//! | `service` | where gateways fetch them |
//! | `submit` | signing and handing in |
//! | [`sync`] | registering digests |
//! | `admin` | the same, on behalf of the node's own organisation while it serves |
//!
//! Not here: what a row means (`xinqiao-data-adapters`), and what an order may ask for (the contract).

mod admin;
mod codes;
pub mod config;
mod desk;
mod error;
mod groups;
mod holder;
pub mod holding;
mod proof;
mod service;
mod shelf;
mod spool;
mod submit;
pub mod sync;
mod watch;

pub use config::{HolderConfig, HolderLimits, Keys, ReplicaConfig, SourceConfig};
pub use error::Error;
pub use holder::{Holder, HolderHandle};
pub use holding::Holding;
pub use sync::{Registrar, SyncOptions, SyncReport, progress_bar};
