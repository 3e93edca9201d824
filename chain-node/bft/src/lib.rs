//! Agreement among validators of which fewer than a third may lie: Tendermint, of the PBFT family
//! (propose, prevote, precommit, with locking), on malachite's core, with SM2 signatures.
//!
//! Sans-I/O: [`Bft`] takes inputs and answers with effects. It has no clock, no thread, no file, no
//! socket and no body of any block: what is agreed on is a header's hash. How the host has to
//! answer each effect is written at [`Input`] and [`Effect`].
//!
//! | module | what it gives |
//! |---|---|
//! | `engine` | [`Bft`], [`Input`], [`Effect`] |
//! | `desk` | how the core's effects become the engine's; what is held back, and until when |
//! | `message` | [`Message`]: encoding, limits, what is signed; [`Verified`] |
//! | `certificate` | [`CommitCertificate`]: checked offline by anybody |
//! | `evidence` | [`Evidence`] of equivocation, and the watch that finds it |
//! | `wal` | [`Entry`] of the write-ahead log; [`recover`] after a crash |
//! | `future` | messages for heights not yet reached, under a quota |
//! | `timer` | [`Timer`], [`Timeouts`] |
//! | `electorate` | [`Electorate`]: a height's validators |
//! | `sign` | [`Signer`] and [`Verifier`]: where the signature scheme enters |
//! | `context` | the types that the core is generic over |

mod certificate;
mod context;
mod desk;
mod electorate;
mod engine;
mod evidence;
mod future;
mod message;
mod sign;
mod timer;
mod wal;

#[cfg(test)]
mod testing;

pub use arc_malachitebft_core_types::NilOrVal;
pub use certificate::{CommitCertificate, Committed, Refused};
pub use context::{BlockId, Proposal, Vote, VoteKind, Voter};
pub use electorate::Electorate;
pub use engine::{Bft, Effect, Error, Input};
pub use evidence::{Evidence, Unproven};
pub use message::{
    MAX_MESSAGE_BYTES, MAX_ROUND, Malformed, Message, Polka, RoundProof, RoundProofKind, RoundVote,
    Signed, Verified,
};
pub use sign::{Signer, Sm2Signer, Sm2Verifier, Verifier};
pub use timer::{Step, Timeouts, Timer};
pub use wal::{Damaged, Entry, Event, recover};
