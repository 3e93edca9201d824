//! The catalogue of items and purposes: published whole, version after version.
//!
//! Sources and grants name codes, and registered digests stand for records as a version described them; so what
//! a next version may change is bounded (`xinqiao_ledger::catalogue::succession`). Whether it is published takes
//! a vote, extensions of one bureau too: everybody's reports show them.

use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        succession::{self, Unfit},
    },
    ids::{ItemCode, PurposeCode},
    outcome::{Event, Reason},
    wire,
};

use crate::{
    execute::Step,
    record::CatalogueCodes,
    rejection::{Rejection, Stop, ensure, refuse},
    state::{Overlay, StateFault, StateRead},
    table::{CATALOGUE, CATALOGUE_CODES, MEMBERS},
};

/// Publishes the next version.
pub(crate) fn publish<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    next: &Catalogue,
) -> Result<(), Stop> {
    let current = current(step.draft)?;
    succession::check(&current, next).map_err(|unfit| match unfit {
        Unfit::Version(version) => refuse(Reason::CatalogueVersion, version),
        Unfit::DropsItem(code) => refuse(Reason::CatalogueDropsCode, code),
        Unfit::DropsPurpose(code) => refuse(Reason::CatalogueDropsCode, code),
        Unfit::Narrows(what) => refuse(Reason::CatalogueNarrows, what),
    })?;
    for owner in next.items.iter().filter_map(|item| item.owner.as_ref()) {
        let known = MEMBERS.get(step.draft, owner)?.is_some();
        ensure(known, Reason::MemberUnknown, owner)?;
    }
    write(step.draft, next);
    let published = wire::CataloguePublished {
        version: next.version,
    };
    step.events.push(Event::CataloguePublished(published));
    Ok(())
}

/// Puts a catalogue in force.
pub(crate) fn write<S: StateRead>(draft: &mut Overlay<'_, S>, catalogue: &Catalogue) {
    CATALOGUE.put(draft, &(), catalogue);
    let codes = CatalogueCodes {
        items: catalogue.codes().cloned().collect(),
        purposes: (catalogue.purposes.iter())
            .map(|purpose| purpose.code.clone())
            .collect(),
    };
    CATALOGUE_CODES.put(draft, &(), &codes);
}

/// The catalogue in force.
pub(crate) fn current<S: StateRead>(state: &S) -> Result<Catalogue, StateFault> {
    CATALOGUE.get(state, &())?.ok_or_else(none)
}

/// The codes of the catalogue in force.
pub(crate) fn codes<S: StateRead>(state: &S) -> Result<CatalogueCodes, StateFault> {
    CATALOGUE_CODES.get(state, &())?.ok_or_else(none)
}

fn none() -> StateFault {
    StateFault("there is no catalogue: the genesis was not written".into())
}

/// Whether the catalogue has all these items.
pub(crate) fn check_items(codes: &CatalogueCodes, items: &[ItemCode]) -> Result<(), Rejection> {
    match (items.iter()).find(|code| codes.items.binary_search(code).is_err()) {
        Some(code) => Err(refuse(Reason::ItemUnknown, code)),
        None => Ok(()),
    }
}

/// Whether the catalogue has all these purposes.
pub(crate) fn check_purposes(
    codes: &CatalogueCodes,
    purposes: &[PurposeCode],
) -> Result<(), Rejection> {
    match (purposes.iter()).find(|code| codes.purposes.binary_search(code).is_err()) {
        Some(code) => Err(refuse(Reason::PurposeUnknown, code)),
        None => Ok(()),
    }
}
