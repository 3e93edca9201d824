//! The catalogue of items and purposes: published whole, version after version.
//!
//! A code that was ever published stays: sources and grants name it. So a version may add codes and
//! correct names, and never drops a code. Whether it is published takes a vote.

use xinqiao_ledger::{
    catalogue::Catalogue,
    ids::{ItemCode, PurposeCode},
    outcome::{Event, Reason},
    wire,
};

use crate::{
    execute::Step,
    rejection::{Rejection, Stop, ensure, refuse},
    state::{StateFault, StateRead},
    table::CATALOGUE,
};

/// Publishes the next version.
pub(crate) fn publish<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    next: &Catalogue,
) -> Result<(), Stop> {
    let current = current(step.draft)?;
    let follows = current.version.checked_add(1) == Some(next.version);
    ensure(follows, Reason::CatalogueVersion, next.version)?;
    for item in &current.items {
        let kept = next.item(&item.code).is_some();
        ensure(kept, Reason::CatalogueDropsCode, &item.code)?;
    }
    for purpose in &current.purposes {
        let kept = next.purpose(&purpose.code).is_some();
        ensure(kept, Reason::CatalogueDropsCode, &purpose.code)?;
    }
    CATALOGUE.put(step.draft, &(), next);
    let published = wire::CataloguePublished {
        version: next.version,
    };
    step.events.push(Event::CataloguePublished(published));
    Ok(())
}

/// The catalogue in force.
pub(crate) fn current<S: StateRead>(state: &S) -> Result<Catalogue, StateFault> {
    CATALOGUE
        .get(state, &())?
        .ok_or_else(|| StateFault("there is no catalogue: the genesis was not written".into()))
}

/// Whether the catalogue has all these items.
pub(crate) fn check_items(catalogue: &Catalogue, items: &[ItemCode]) -> Result<(), Rejection> {
    match items.iter().find(|code| catalogue.item(code).is_none()) {
        Some(code) => Err(refuse(Reason::ItemUnknown, code)),
        None => Ok(()),
    }
}

/// Whether the catalogue has all these purposes.
pub(crate) fn check_purposes(
    catalogue: &Catalogue,
    purposes: &[PurposeCode],
) -> Result<(), Rejection> {
    match (purposes.iter()).find(|code| catalogue.purpose(code).is_none()) {
        Some(code) => Err(refuse(Reason::PurposeUnknown, code)),
        None => Ok(()),
    }
}
