//! The invariants, one in each file.

pub mod agreement;
pub mod determinism;
pub mod double_sign;
pub mod durability;
pub mod idle;
pub mod live_consent;
pub mod liveness;
pub mod one_delivery;
pub mod one_leader;
pub mod record_before_release;
pub mod replicas;
pub mod validity;
