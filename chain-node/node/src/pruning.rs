//! Forgetting blocks of long ago, whenever a checkpoint that replaces them has been certified.

use std::{sync::Arc, time::Duration};

use xinqiao_contracts::{last_checkpoint, needed_for_proofs};
use xinqiao_ledger::ids::TimeMs;
use xinqiao_store::{Pruned, Pruner};

use crate::{
    error::Error,
    shared::{Shared, now, stopped},
};

/// Prunes until the node stops, or until it fails: then nothing is pruned any more.
pub(crate) async fn run(shared: Arc<Shared>, keep: Duration) {
    let keep = TimeMs::try_from(keep.as_millis()).unwrap_or(TimeMs::MAX);
    let (mut stop, mut tips) = (shared.stop.clone(), shared.tip.subscribe());
    loop {
        let working = Arc::clone(&shared);
        let done = tokio::task::spawn_blocking(move || prune(&working, keep)).await;
        match done.map_err(Error::from).and_then(|done| done) {
            Ok(Pruned { blocks: 0, .. }) => {}
            Ok(Pruned { blocks, txs, kept }) => {
                tracing::info!(blocks, transactions = txs, kept, "old blocks were pruned");
            }
            Err(fault) => {
                tracing::error!(%fault, "nothing is pruned any more until the node is started again");
                return;
            }
        }
        let before = last_checkpoint(&shared.reader.view());
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                changed = tips.changed() => if changed.is_err() {
                    return;
                }
            }
            if last_checkpoint(&shared.reader.view()) != before {
                break;
            }
        }
    }
}

/// Prunes all that may go.
fn prune(shared: &Shared, keep: TimeMs) -> Result<Pruned, Error> {
    let before = now().saturating_sub(keep);
    let pruner = Pruner::new(shared.reader.clone());
    let mut sum = Pruned::default();
    if let Some(below) = pruner.first_to_stay(before)? {
        let needed = needed_for_proofs(&shared.reader.view(), before)?;
        let keep = |place: xinqiao_store::Place, tx: &xinqiao_ledger::tx::Tx| {
            needed.has(place.height, place.index, &tx.meta().id)
        };
        while !*shared.stop.borrow()
            && let Some(one) = pruner.prune_next(below, keep)?
        {
            sum.blocks += one.blocks;
            sum.txs += one.txs;
            sum.kept += one.kept;
        }
    }
    Ok(sum)
}
