//! The invariants, one in each file.

pub mod agreement;
pub mod determinism;
pub mod double_sign;
pub mod durability;
pub mod idle;
pub mod liveness;
pub mod validity;
