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
    /// The validator's key is none of the genesis' validators.
    #[error("the key {key} is none of the validators that the genesis names")]
    NotValidator {
        /// Id of the key.
        key: xinqiao_crypto::KeyId,
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
    /// Our own certificate does not certify our own block.
    #[error("the certificate of our own block is not sound: {0}")]
    Uncertified(#[from] xinqiao_ledger::block::Uncertified),
    /// A task was lost.
    #[error("a task of the node ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<xinqiao_contracts::StateFault> for Error {
    fn from(fault: xinqiao_contracts::StateFault) -> Self {
        Self::Store(fault.into())
    }
}
