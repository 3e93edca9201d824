//! Why an observer cannot start, go on or answer.

/// Why an observer cannot start, go on or answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was given the certificate of another kind of process.
    #[error(
        "an observer needs a certificate xinqiao://{org}/observer, this one is for xinqiao://{org}/{role}"
    )]
    NotObserver {
        /// The certificate's organisation.
        org: String,
        /// What the certificate is for.
        role: xinqiao_rpc::Role,
    },
    /// The replica cannot start or go on.
    #[error(transparent)]
    Node(#[from] xinqiao_node::Error),
    /// The state cannot be read.
    #[error("the replica's state cannot be read: {0}")]
    State(#[from] xinqiao_contracts::StateFault),
    /// The replica was stopped.
    #[error("the observer has stopped")]
    Stopped,
}
