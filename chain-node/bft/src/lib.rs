//! Agreement among validators of which fewer than a third may lie: Tendermint, of the PBFT family
//! (propose, prevote, precommit, with locking), on malachite's core, with SM2 signatures.
//!
//! Sans-I/O: [`Bft`] takes inputs and answers with effects. It has no clock, no thread, no file, no
//! socket and no body of any block: what is agreed on is a header's hash. How the host has to
//! answer each effect is written at [`Engine`](xinqiao_consensus::Engine).
//!
//! | module | what it gives |
//! |---|---|
//! | `engine` | [`Bft`] |
//! | `desk` | how the core's effects become the engine's; what is held back, and until when |
//! | `message` | [`Message`]: encoding, limits, what is signed; [`Verified`] |
//! | `watch` | what validators said lately; finds those that contradict themselves |
//! | `wal` | entries of the write-ahead log; what they say after a crash |
//! | `future` | messages for heights not yet reached, under a quota |
//! | `timer` | [`Timeouts`] |
//! | `turn` | whose turn it is |
//! | `context` | the types that the core is generic over |

mod context;
mod desk;
mod engine;
mod future;
mod message;
mod timer;
mod turn;
mod wal;
mod watch;

#[cfg(test)]
mod testing;

pub use arc_malachitebft_core_types::NilOrVal;
pub use context::{BlockId, Proposal, Vote, Voter};
pub use engine::Bft;
pub use message::{
    MAX_ROUND, Message, Polka, RoundProof, RoundProofKind, RoundVote, Signed, Verified,
};
pub use timer::Timeouts;
pub use turn::proposer;
