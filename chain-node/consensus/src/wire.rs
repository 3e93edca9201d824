//! What can be wrong with a validator's message.

/// The most bytes of one message of an engine. A proof by all validators that there can be is half
/// of it. Bodies travel beside messages and have a limit of their own.
pub const MAX_MESSAGE_BYTES: usize = 32 << 10;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Too many bytes.
    #[error("{0} bytes, the limit is {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Not an encoding of this type, or bytes follow it.
    #[error("not a canonical encoding")]
    Encoding,
    /// A round that is too high, or a proposal that refers to its own or a later round.
    #[error("a round that cannot be")]
    Round,
    /// A height of 0.
    #[error("height 0 is the genesis, nobody votes on it")]
    Height,
    /// More signers than there can be validators.
    #[error("more signers than there can be validators")]
    TooManySigners,
    /// A proof's vote is of another height or round than the proof.
    #[error("a vote of another height or round than its proof")]
    OtherVote,
}

/// Why a message proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are too few signatures.
    #[error("{got} validators signed, {quorum} are needed")]
    TooFew {
        /// Those that signed.
        got: usize,
        /// Those that are needed.
        quorum: usize,
    },
    /// A validator is named twice, or the signatures are out of order.
    #[error("a signer is named twice, or out of order")]
    RepeatedSigner,
    /// A signer is no validator of the set.
    #[error("a signer is no validator")]
    NotValidator,
    /// A signature is wrong.
    #[error("a signature is wrong")]
    Signature,
    /// It came from another validator than the one that it says it is from.
    #[error("it came from another validator than its author")]
    NotAuthor,
}
