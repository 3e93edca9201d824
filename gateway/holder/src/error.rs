//! Why a data-holding node cannot start or go on, and why a registration run ends early.

use std::path::PathBuf;

use xinqiao_ledger::{ids::SourceId, malformed::Malformed, outcome::Reason};

/// What can go wrong. A part that cannot be served is none of these: it is refused on the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node's own replica.
    #[error(transparent)]
    Node(#[from] xinqiao_node::Error),
    /// Reading the replica.
    #[error(transparent)]
    Store(#[from] xinqiao_store::Error),
    /// Serving.
    #[error(transparent)]
    Serve(#[from] xinqiao_rpc::serve::Error),
    /// A source cannot be opened or read.
    #[error("source {source_id}: {fault}")]
    Source {
        /// Which.
        source_id: SourceId,
        /// What is wrong.
        fault: xinqiao_data_adapters::Error,
    },
    /// The mapping names an item or has a name that the ledger cannot hold.
    #[error("source {source_id}: {fault}")]
    Mapping {
        /// Which.
        source_id: SourceId,
        /// What is wrong.
        fault: Malformed,
    },
    /// A file of the node's own cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The source is not on the ledger, and registering it takes the organisation's admin key.
    #[error(
        "source {0} is not registered on the ledger, and no admin key is configured to register it with: \
         give the holder the organisation's admin key, or have the source registered and activated"
    )]
    SourceNotRegistered(SourceId),
    /// The source is registered, and putting it into service takes the organisation's admin key.
    #[error(
        "source {0} is registered but not in service, and no admin key is configured to activate it with"
    )]
    SourceNotActive(SourceId),
    /// The source cannot be registered for as it stands.
    #[error("source {source_id} cannot be registered for: {why}")]
    SourceUnfit {
        /// Which.
        source_id: SourceId,
        /// What is in the way.
        why: String,
    },
    /// The holder's key is none of its organisation's.
    #[error("the holder's key is not a valid holder key of {0} on the ledger")]
    KeyNotRegistered(xinqiao_ledger::ids::OrgId),
    /// The ledger rejected a transaction of a registration run.
    #[error("the ledger rejected a {what}: {}{}", reason.code(), about(subject))]
    Rejected {
        /// Which kind of transaction.
        what: &'static str,
        /// Why.
        reason: Reason,
        /// What was at fault; may be empty.
        subject: String,
    },
    /// A transaction was not taken, and trying again does not help.
    #[error("a transaction was not taken: {0}")]
    Submit(String),
    /// The replica saw no end of a transaction.
    #[error("no end of transaction {tx} was seen within {seconds} s: is the upstream reachable?")]
    NotFinal {
        /// Which.
        tx: xinqiao_ledger::ids::TxId,
        /// How long was waited.
        seconds: u64,
    },
    /// The node has halted.
    #[error("the node has halted: {0}")]
    Halted(String),
    /// A task was lost.
    #[error("a task ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

fn about(subject: &str) -> String {
    if subject.is_empty() {
        String::new()
    } else {
        format!(" ({subject})")
    }
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<xinqiao_contracts::StateFault> for Error {
    fn from(fault: xinqiao_contracts::StateFault) -> Self {
        Self::Store(fault.into())
    }
}
