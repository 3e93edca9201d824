//! What a next version of the catalogue may change.
//!
//! Registered digests stand for records in the form that the version of their day described, and a vote cannot
//! have a source write them anew. So **whatever conformed goes on to conform**: a next version may add items,
//! groups, purposes, fields that need not be there, and codes of a field; it may widen limits, and make a field
//! no longer required. It drops no item and no purpose, which sources and grants name, no field, and no code of
//! a field; it changes no type, unit, currency or shape, and narrows nothing.
//!
//! Free are names and labels, groups and places, what is compared between sources (`key`, `exhaustive`), how long
//! an item is fresh or may be kept, its sensitivity, and who owns an extension: they say how records are
//! treated, not what they are.

use std::fmt;

use crate::{
    catalogue::{
        Catalogue,
        field::{Currency, Field, FieldKind},
        item::{ItemSchema, Shape},
        number::Decimal,
    },
    ids::{ItemCode, PurposeCode},
};

/// Why a catalogue cannot follow another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Its version is not the next one.
    Version(u32),
    /// It lacks an item.
    DropsItem(ItemCode),
    /// It lacks a purpose.
    DropsPurpose(PurposeCode),
    /// What conformed would no longer: an item, or `item.field`.
    Narrows(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(out, "version {version} is not the next one"),
            Self::DropsItem(code) => write!(out, "it lacks the item {code}"),
            Self::DropsPurpose(code) => write!(out, "it lacks the purpose {code}"),
            Self::Narrows(what) => write!(out, "records that conform now would no longer: {what}"),
        }
    }
}

/// Whether `next` may follow `current`.
///
/// # Errors
/// With the first thing that keeps it from that.
pub fn check(current: &Catalogue, next: &Catalogue) -> Result<(), Unfit> {
    if current.version.checked_add(1) != Some(next.version) {
        return Err(Unfit::Version(next.version));
    }
    for item in &current.items {
        match next.item(&item.code) {
            Some(later) => item_widens(item, later)?,
            None => return Err(Unfit::DropsItem(item.code.clone())),
        }
    }
    for purpose in &current.purposes {
        if next.purpose(&purpose.code).is_none() {
            return Err(Unfit::DropsPurpose(purpose.code.clone()));
        }
    }
    Ok(())
}

fn item_widens(item: &ItemSchema, later: &ItemSchema) -> Result<(), Unfit> {
    let same_shape = match (item.shape, later.shape) {
        (Shape::Record, Shape::Record) => true,
        (
            Shape::List { max_entries, .. },
            Shape::List {
                max_entries: later_max,
                ..
            },
        ) => later_max >= max_entries,
        (Shape::Record, Shape::List { .. }) | (Shape::List { .. }, Shape::Record) => false,
    };
    if !same_shape {
        return Err(Unfit::Narrows(item.code.to_string()));
    }
    let narrows = |field: &Field| Unfit::Narrows(format!("{}.{}", item.code, field.name));
    for field in &item.fields {
        let widened = later.field(field.name.as_str()).is_some_and(|later| {
            (field.required || !later.required) && widens(&field.kind, &later.kind)
        });
        if !widened {
            return Err(narrows(field));
        }
    }
    let known = |field: &&Field| item.field(field.name.as_str()).is_some();
    match later
        .fields
        .iter()
        .find(|field| !known(field) && field.required)
    {
        Some(field) => Err(narrows(field)),
        None => Ok(()),
    }
}

/// Whether every value of one type is one of the other.
fn widens(kind: &FieldKind, later: &FieldKind) -> bool {
    use FieldKind::{Code, Date, Decimal, Integer, Money, Text};
    match (kind, later) {
        (Text { max_chars }, Text { max_chars: later }) => later >= max_chars,
        (
            Integer { min, max, .. },
            Integer {
                min: later_min,
                max: later_max,
                ..
            },
        ) => later_min <= min && later_max >= max,
        (
            Decimal { unit, min, max },
            Decimal {
                unit: later_unit,
                min: later_min,
                max: later_max,
            },
        ) => {
            unit == later_unit
                && lower(min.as_ref(), later_min.as_ref())
                && higher(max.as_ref(), later_max.as_ref())
        }
        (
            Money { currency, min, max },
            Money {
                currency: later_currency,
                min: later_min,
                max: later_max,
            },
        ) => {
            same_or_any(*currency, *later_currency)
                && lower(min.as_ref(), later_min.as_ref())
                && higher(max.as_ref(), later_max.as_ref())
        }
        (Date, Date) => true,
        (Code(codes), Code(later)) => {
            let kept = |code| later.iter().any(|other| other.code == code);
            codes.iter().all(|value| kept(value.code.clone()))
        }
        (Text { .. } | Integer { .. } | Decimal { .. } | Money { .. } | Date | Code(_), _) => false,
    }
}

fn same_or_any(currency: Option<Currency>, later: Option<Currency>) -> bool {
    later.is_none() || later == currency
}

fn lower(min: Option<&Decimal>, later: Option<&Decimal>) -> bool {
    match (min, later) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(min), Some(later)) => later.compare(min).is_le(),
    }
}

fn higher(max: Option<&Decimal>, later: Option<&Decimal>) -> bool {
    match (max, later) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(max), Some(later)) => later.compare(max).is_ge(),
    }
}
