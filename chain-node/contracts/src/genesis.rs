//! What the state begins with: the genesis' members, catalogue, validators and limits.

use std::collections::BTreeMap;

use xinqiao_ledger::genesis::Genesis;

use crate::{
    catalogue, governance, members,
    state::{Overlay, Writes},
    validators,
};

/// The writes of height 0. The genesis must have been checked ([`Genesis::check`]).
pub fn genesis_writes(genesis: &Genesis) -> Writes {
    let nothing = BTreeMap::new();
    let mut draft = Overlay::new(&nothing);
    for member in &genesis.members {
        members::write(&mut draft, member, None, 0);
    }
    catalogue::write(&mut draft, &genesis.catalogue);
    validators::begin(&mut draft, genesis);
    governance::begin(&mut draft, genesis);
    draft.into_writes()
}
