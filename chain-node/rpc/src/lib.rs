//! gRPC as this product speaks it: the one crate that knows how tonic is set up.
//!
//! ```text
//!            RpcChannel                                    ServerBuilder
//!   call ──▶ span, traceparent, deadline ──▶ mutual TLS ──▶ places, limits ──▶ span, deadline,
//!            (channel, propagation)          (tls, verify,  (serve, limits)    reasons (refine)
//!                                             peer)                              │
//!   FaultView ◀───────────── google.rpc.Status with a stable code ◀── Fault ◀── service
//! ```
//!
//! It knows nothing of credit information: only certificates, reasons and bytes. The one exception is
//! `ledger_fault` (feature `ledger`), where the ledger's own reasons become answers.

pub mod channel;
pub mod fault;
#[cfg(feature = "ledger")]
pub mod ledger_fault;
pub mod limits;
pub mod peer;
pub mod propagation;
pub mod reason;
mod refine;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod tls_fault;
pub mod verify;

pub use channel::RpcChannel;
pub use fault::{Fault, FaultView};
pub use limits::Limits;
pub use peer::{PeerIdentity, Role};
pub use reason::Reason;
pub use refine::MAX_DEADLINE;
pub use serve::{BoundServer, Fitness, RunningServer, ServerBuilder};
pub use tls::Identity;
pub use verify::ExpectedPeer;
