//! What a bank's application depends on to ask its institution's agent for credit reports: typed requests and
//! answers, errors by what a caller can do about them, deadlines, repetitions that place no order twice, and proofs
//! that the application checks for itself.
//!
//! ```no_run
//! use xinqiao_client::{Client, Error, Query};
//!
//! # async fn ask() -> Result<(), Error> {
//! let client = Client::new("http://127.0.0.1:9300")?;
//! let report = client.query(&Query::new("91310000MA1FL5E26J", "loan_approval", "clerk-7")).await?;
//! report.verify()?;
//! for section in &report.sections {
//!     println!("{} {} {}", section.name_zh, section.source_name, section.json);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It knows the agent's contract and how an item leads to its root, and nothing else of the product: no store, no
//! TLS, no server comes along. docs/integrating.md takes an integrator through it.

mod catalogue;
mod client;
mod error;
mod job;
mod proof;
mod query;
mod report;
mod retry;
mod watch;

pub use catalogue::{Catalogue, Grant, GrantStatus, Source};
pub use client::Client;
pub use error::{BadField, Detail, Error, Refusal};
pub use job::{Job, JobEvent, JobOutcome, JobRequest, JobResult, JobResults, JobState, Why};
pub use proof::Proof;
pub use query::{GrantRequest, Query};
pub use report::{Conflict, Extent, Fault, Item, Objection, Part, PartStatus, Report, Section};
pub use watch::{Change, Changes, PortfolioChanges, Watch, What};
pub use xinqiao_crypto::Digest;
pub use xinqiao_ledger::{
    ids::{GrantId, OrderId},
    wire,
};
