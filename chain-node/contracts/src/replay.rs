//! Which transactions were ordered: none is ordered twice.
//!
//! An id is kept until the last height at which its transaction could be ordered has passed; from
//! then on its own expiry refuses it. The ids of rejected transactions are kept as well, else one
//! that was refused could be put into a later block by anyone who saw it, when circumstances have
//! changed and nobody wants it any more. Only authentic ones: a forger's copy, whose signature is
//! wrong, has the same id and must not keep the true one out.

use xinqiao_ledger::{block::MAX_BLOCK_TXS, ids::Height, tx::Meta};

use crate::{
    state::{Overlay, StateFault, StateRead},
    table::ORDERED,
};

/// Ids forgotten in one block at most: twice as many as a block can add.
const MAX_FORGOTTEN: usize = 2 * MAX_BLOCK_TXS;

/// Whether the transaction was ordered before.
pub(crate) fn was_ordered<S: StateRead>(state: &S, meta: &Meta) -> Result<bool, StateFault> {
    ORDERED.has(state, &(meta.expires_at, meta.id))
}

/// Remembers an authentic transaction.
pub(crate) fn remember<S: StateRead>(draft: &mut Overlay<'_, S>, meta: &Meta) {
    ORDERED.put(draft, &(meta.expires_at, meta.id), &());
}

/// Forgets the ids that their expiry refuses from this height on.
pub(crate) fn forget<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    height: Height,
) -> Result<(), StateFault> {
    let Some(passed) = height.checked_sub(1) else {
        return Ok(());
    };
    for (key, ()) in ORDERED.up_to(draft, &passed, MAX_FORGOTTEN)? {
        ORDERED.delete(draft, &key);
    }
    Ok(())
}
