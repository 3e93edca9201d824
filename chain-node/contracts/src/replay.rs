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
    table::{FORGET_FROM, ORDERED},
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
///
/// Each block looks only where ids can be: those of the height before, unless a block had more than
/// it may forget. A store is slow to walk over what was deleted.
pub(crate) fn forget<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    height: Height,
) -> Result<(), StateFault> {
    let Some(passed) = height.checked_sub(1) else {
        return Ok(());
    };
    let late = FORGET_FROM.get(draft, &())?;
    let from = late.unwrap_or(passed);
    let forgotten = ORDERED.between(draft, &from, &passed, MAX_FORGOTTEN)?;
    for (key, ()) in &forgotten {
        ORDERED.delete(draft, key);
    }
    match forgotten.last() {
        Some(((height, _), ())) if forgotten.len() == MAX_FORGOTTEN => {
            FORGET_FROM.put(draft, &(), height);
        }
        _ if late.is_some() => FORGET_FROM.delete(draft, &()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use xinqiao_crypto::sm3;
    use xinqiao_ledger::ids::TxId;

    use super::*;

    fn apply(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, height: Height) {
        let mut draft = Overlay::new(&*state);
        forget(&mut draft, height).unwrap();
        for (key, value) in draft.into_writes() {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
    }

    #[test]
    fn what_one_block_may_not_forget_the_next_ones_do() {
        let nothing = BTreeMap::new();
        let mut draft = Overlay::new(&nothing);
        for number in 0..2 * MAX_FORGOTTEN as u64 + 10 {
            let id = TxId(sm3(&number.to_be_bytes()));
            ORDERED.put(&mut draft, &(4, id), &());
        }
        ORDERED.put(&mut draft, &(5, TxId(sm3(b"next"))), &());
        ORDERED.put(&mut draft, &(9, TxId(sm3(b"later"))), &());
        let mut state: BTreeMap<_, _> = (draft.into_writes().into_iter())
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let left = |state: &BTreeMap<Vec<u8>, Vec<u8>>| -> usize {
            ORDERED.first(state, usize::MAX).unwrap().len()
        };
        apply(&mut state, 4);
        assert_eq!(
            left(&state),
            2 * MAX_FORGOTTEN + 12,
            "4 can still be ordered"
        );
        for (height, wants) in [
            (5, MAX_FORGOTTEN + 12),
            (6, 12),
            (7, 1),
            (8, 1),
            (9, 1),
            (10, 0),
        ] {
            apply(&mut state, height);
            assert_eq!(left(&state), wants, "at {height}");
        }
        assert!(state.is_empty(), "nothing is late any more");
    }
}
