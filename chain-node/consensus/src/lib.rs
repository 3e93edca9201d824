//! When a block is formed, at what time, and who certifies it: the [`Engine`] trait and its engines.
//!
//! ```text
//!            Input                        Effect
//!  node ──▶ Waiting, Tick ──▶ Engine ──▶ Build(slot) ──▶ node executes ──▶ Built(header)
//!       ──▶ Built ───────────────────▶ Sign ──────────▶ node signs ─────▶ Signed
//!       ──▶ Signed ──────────────────▶ Commit ────────▶ node writes ────▶ Committed
//! ```
//!
//! An engine decides and does nothing: inputs in, effects out. It has no clock (each input brings
//! the time), no keys, no store and no network; the node carries its effects out. What a block
//! holds and what its transactions come to is not its business either.

pub mod conformance;
mod engine;
mod solo;
pub mod time;

pub use engine::{Effect, Effects, Engine, Error, Input, Position, Slot};
pub use solo::Solo;
