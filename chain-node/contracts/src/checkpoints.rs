//! When checkpoints of the state are taken, and which header names them.
//!
//! One is taken after the block that ends an interval since the last, and that block's header names the
//! last one: so there is a whole interval to digest a state in. The interval is a limit that a vote can
//! change.

use xinqiao_ledger::{genesis::Parameters, ids::Height};

use crate::{
    execute::BlockContext,
    state::{Overlay, StateFault, StateRead},
    table::CHECKPOINT,
};

/// What a block has to do with checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointDuty {
    /// One is taken of the state after it.
    pub takes: bool,
    /// The height of the one that its header names.
    pub names: Option<Height>,
}

/// What the block at `height` has to do, by the state and the limits before it.
///
/// # Errors
/// When the store fails.
pub fn checkpoint_duty<S: StateRead>(
    state: &S,
    parameters: &Parameters,
    height: Height,
) -> Result<CheckpointDuty, StateFault> {
    let last = last_checkpoint(state)?;
    let due = last
        .unwrap_or(0)
        .saturating_add(parameters.checkpoint_interval);
    let takes = height >= due;
    Ok(CheckpointDuty {
        takes,
        names: last.filter(|_| takes),
    })
}

/// The height after which the last checkpoint was taken. No header names it yet.
///
/// # Errors
/// When the store fails.
pub fn last_checkpoint<S: StateRead>(state: &S) -> Result<Option<Height>, StateFault> {
    CHECKPOINT.get(state, &())
}

/// Takes note of the checkpoint that is taken after this block, if it does.
pub(crate) fn take_note<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    block: &BlockContext,
) -> Result<(), StateFault> {
    if checkpoint_duty(draft, &block.parameters, block.height)?.takes {
        CHECKPOINT.put(draft, &(), &block.height);
    }
    Ok(())
}
