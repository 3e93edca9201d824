//! A ledger node: orders blocks or follows them, executes every one, and serves what it holds.
//!
//! ```text
//!   SubmissionService ─▶ Intake ─▶ Mempool ─▶ Host ◀─▶ consensus Engine
//!        │ (follower: Relay ─▶ upstream)   │ ▲  │ └─▶ LogKeeper (what it must know after a crash)
//!        │      other validators ◀── Mesh ─┘ │  │ execute, commit
//!        ▼      other validators ─▶ ValidatorService
//!   Replica ◀── tips ───────────────────────── Store ◀── Follower loop ◀── Feed ◀── upstream
//!     │
//!     └─▶ LedgerService, StateService, AuditService; gateways and holders of the same process
//! ```
//!
//! A node trusts its genesis and its own execution, nothing else: a block counts when a quorum has
//! certified it and executing it comes to the certified roots. Not here: what transactions mean
//! (contracts), how validators agree (consensus), and how blocks lie on disk (store).

mod authorise;
mod bodies;
mod catch_up;
mod caution;
mod config;
mod engine;
mod error;
mod evidence;
pub mod fault;
mod follower;
mod host;
mod intake;
mod join;
mod mempool;
mod mesh;
mod pruning;
mod relay;
mod replica;
mod service;
mod shared;
mod start;
mod upstream;
mod verifier;
mod wal;

pub use config::{MempoolLimits, NodeConfig, Role, Upstream};
pub use error::Error;
pub use fault::SubmitFault;
pub use mempool::Full;
pub use replica::{AppliedBlock, Final, Replica, WaitError};
pub use start::{Node, NodeHandle};
pub use verifier::Verifier;
pub use wal::WalError;
pub use xinqiao_store::{Tip, View};
