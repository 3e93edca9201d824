//! The node's RPC surface. Handlers parse, ask the replica, and answer; they decide nothing.
//!
//! | service | on |
//! |---|---|
//! | [`ledger`] | every node |
//! | [`state`] | every node |
//! | [`audit`] | every node |
//! | [`submission`] | validators and followers |
//! | [`validator`] | validators |
#![allow(
    clippy::result_large_err,
    reason = "tonic's handlers return Status by value"
)]

pub(crate) mod audit;
pub(crate) mod ledger;
pub(crate) mod state;
pub(crate) mod submission;
pub(crate) mod validator;

use tonic::{Request, Status};
use xinqiao_contracts::StateFault;
use xinqiao_ledger::malformed::{Malformed, Problem};
use xinqiao_rpc::{Fault, Reason};
use xinqiao_store::View;

use crate::{fault, replica::Replica};

/// The longest that a call may wait for a commit, in milliseconds.
const MAX_WAIT_MS: u32 = 60_000;

/// Entries of a page when the request names no size, and at most.
const PAGE_SIZE: (u32, u32) = (100, 1_000);

/// Lets a caller in, and asks one consistent state on the blocking pool.
async fn ask<R, T>(
    replica: &Replica,
    request: Request<R>,
    question: impl FnOnce(R, &View<'_>) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status>
where
    R: Send + 'static,
    T: Send + 'static,
{
    replica.shared.caller(&request)?;
    let message = request.into_inner();
    off_loop(replica, move |replica| question(message, &replica.state())).await
}

/// Runs what reads the disk on the blocking pool, within the span of the call.
async fn off_loop<T: Send + 'static>(
    replica: &Replica,
    work: impl FnOnce(&Replica) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let replica = replica.clone();
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(|| work(&replica)))
        .await
        .map_err(|lost| fault::internal(&lost))?
}

fn failed(fault: StateFault) -> Status {
    fault::internal(&fault)
}

pub(crate) fn damaged(fault: xinqiao_store::Error) -> Status {
    match fault {
        xinqiao_store::Error::Pruned { height, first } => Fault::new(Reason::BlockNotFound)
            .because(fault.to_string())
            .with("height", height)
            .with("first_block", first)
            .status(),
        fault => fault::internal(&fault),
    }
}

/// A number within its bounds.
fn within(field: &str, value: u64, min: u64, max: u64) -> Result<(), Status> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let problem = Problem::Range {
        min,
        max,
        got: value,
    };
    Err(fault::malformed(Malformed::new(field, problem)))
}

fn page_size(asked: u32) -> Result<usize, Status> {
    within("page_size", asked.into(), 0, PAGE_SIZE.1.into())?;
    Ok(if asked == 0 { PAGE_SIZE.0 } else { asked } as usize)
}
