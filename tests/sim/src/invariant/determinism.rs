//! Determinism: a seed is a run. The same seed leads to the same messages and blocks in the same
//! order, so that a failure can be replayed.

use crate::run::{Plan, Report, run};
use crate::scheme::Scheme;

/// Runs a plan twice.
///
/// # Errors
/// When the two runs differ.
pub fn check<C: Scheme>(plan: &Plan) -> Result<Report, String> {
    let (first, second) = (run::<C>(plan), run::<C>(plan));
    if first.trace == second.trace {
        return Ok(first);
    }
    Err(format!(
        "seed {} led to {} and to {}",
        plan.seed, first.trace, second.trace
    ))
}
