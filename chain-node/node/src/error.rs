//! Why a node cannot start or go on. What a caller did wrong is not here: see `fault`.

/// Why a node cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] xinqiao_store::Error),
    /// Serving.
    #[error(transparent)]
    Serve(#[from] xinqiao_rpc::serve::Error),
    /// TLS towards an upstream.
    #[error("upstream {uri}: {source}")]
    Upstream {
        /// The upstream.
        uri: String,
        /// What is wrong.
        source: xinqiao_rpc::tls::Error,
    },
    /// A follower without upstreams would stand still.
    #[error("a follower or observer needs at least one upstream")]
    NoUpstream,
    /// The consensus engine was driven wrongly.
    #[error("consensus: {0}")]
    Consensus(#[from] xinqiao_consensus::Error),
    /// Consensus asked for a block while another was under way.
    #[error("consensus asked for two things at once")]
    Busy,
    /// The engine's certificate does not certify the block.
    #[error("the certificate of an agreed block is not sound: {0}")]
    Uncertified(#[from] xinqiao_ledger::block::Uncertified),
    /// The validator's log.
    #[error(transparent)]
    Wal(#[from] crate::wal::WalError),
    /// The validator's log holds a body that nobody could have written.
    #[error("the validator's log holds what is no body of a block: {0}")]
    LoggedBody(xinqiao_ledger::malformed::Malformed),
    /// A task was lost.
    #[error("a task of the node ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<xinqiao_contracts::StateFault> for Error {
    fn from(fault: xinqiao_contracts::StateFault) -> Self {
        Self::Store(fault.into())
    }
}
