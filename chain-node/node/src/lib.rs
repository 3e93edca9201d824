//! A ledger node: orders blocks or follows them, executes every one, and serves what it holds.
//!
//! ```text
//!   SubmissionService ─▶ Intake ─▶ Mempool ─▶ Validator loop ◀─▶ consensus Engine
//!        │ (follower: Relay ─▶ upstream)          │ execute, certify, commit
//!        ▼                                        ▼
//!   Replica ◀── tips ───────────────────────── Store ◀── Follower loop ◀── Feed ◀── upstream
//!     │
//!     └─▶ LedgerService, StateService, AuditService; gateways and holders of the same process
//! ```
//!
//! A node trusts its genesis and its own execution, nothing else: a block counts when a quorum has
//! certified it and executing it comes to the certified roots. Not here: what transactions mean
//! (contracts), when blocks are formed (consensus), and how they lie on disk (store).

mod authorise;
mod config;
mod error;
mod evidence;
pub mod fault;
mod follower;
mod intake;
mod mempool;
mod relay;
mod replica;
mod service;
mod shared;
mod start;
mod upstream;
mod validator;
mod verifier;

pub use config::{MempoolLimits, NodeConfig, Role, Upstream};
pub use error::Error;
pub use fault::SubmitFault;
pub use mempool::Full;
pub use replica::{AppliedBlock, Final, Replica, WaitError};
pub use start::{Node, NodeHandle};
pub use verifier::Verifier;
pub use xinqiao_store::{Tip, View};
