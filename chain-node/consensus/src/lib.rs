//! How validators agree on one header a height: the [`Engine`] trait, what engines have in common,
//! and the engine of a single validator.
//!
//! ```text
//!         Input                                      Effect
//!  host ──▶ Start, Work ────▶ Engine ──▶ Build, Judge ────────▶ host forms or judges a body
//!       ──▶ Built, Judged ─────────────▶ Append, Flush ───────▶ host's log
//!       ──▶ Flushed ───────────────────▶ Broadcast, Send ─────▶ other validators
//!       ──▶ Message, Timeout ──────────▶ Commit ──────────────▶ host writes block and certificate
//!       ──▶ Start (the next height)
//! ```
//!
//! An engine decides and does nothing: inputs in, effects out. It has no clock, no thread, no file
//! and no socket, and no body of any block: what is agreed on is a header's hash. What a block holds,
//! what its transactions come to and what time it has is the host's business.
//!
//! | module | what it gives |
//! |---|---|
//! | `engine` | [`Engine`], [`Message`], [`Input`], [`Effect`], [`Error`] |
//! | `sign` | [`Signer`] and [`Verifier`]: where the signature scheme enters |
//! | `solo` | [`Solo`] |
//! | [`time`] | the rules of block time |
//! | `timer` | [`Timer`] |
//! | `wire` | what can be wrong with a message |
//! | [`conformance`] | what every engine promises, as a suite that each one's tests run |

pub mod conformance;
mod engine;
mod sign;
mod solo;
pub mod time;
mod timer;
mod wire;

pub use engine::{Effect, Engine, Error, Input, Message, Said};
pub use sign::{Signer, Sm2Signer, Sm2Verifier, Verifier};
pub use solo::{Silence, Solo};
pub use timer::{Step, Timer};
pub use wire::{MAX_MESSAGE_BYTES, Malformed, Refused};
