//! Determinism: a seed is a run. The same seed leads to the same messages and blocks in the same
//! order, so that a failure can be replayed.

use crate::{
    kind::Kind,
    run::{Plan, Report, run},
    scheme::Scheme,
};

/// Runs a plan twice.
///
/// # Errors
/// When the two runs differ.
pub fn check<K: Kind, C: Scheme>(plan: &Plan) -> Result<Report, String> {
    let (first, second) = (run::<K, C>(plan), run::<K, C>(plan));
    if first.trace == second.trace {
        return Ok(first);
    }
    Err(format!(
        "seed {} led to {} and to {}",
        plan.seed, first.trace, second.trace
    ))
}
