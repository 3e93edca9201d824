//! A report as an application reads it: typed, with what each source delivered, contradicted and did not deliver.
//!
//! Nothing is merged or chosen here: every source's version of an item is a [`Section`], and which of them to
//! believe is for the reader. What is not in the contract is not believed either: an answer that cannot be read
//! is [`Error::Broken`] as a whole.

use std::time::Duration;

use xinqiao_ledger::{
    ids::{GrantId, OrderId},
    wire,
};

use crate::{error::Error, proof::Proof};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Id of the order on the ledger.
    pub order: OrderId,
    /// The grant that was used.
    pub grant: GrantId,
    /// The institution that asked.
    pub institution: String,
    /// The items asked for, in the order of the catalogue.
    pub items: Vec<Item>,
    /// The items' versions, by item and then by source.
    pub sections: Vec<Section>,
    /// What became of each source's part.
    pub parts: Vec<Part>,
    /// Codes of items that were asked for and that no source holds for this enterprise.
    pub missing_items: Vec<String>,
    /// Version of the catalogue that it was read with.
    pub catalogue_version: u32,
    /// Height at which the order was placed.
    pub placed_at_height: u64,
    /// When it was asked for, by the agent's clock, in milliseconds since 1970-01-01 UTC.
    pub asked_at_ms: u64,
    /// How long the query took at the agent.
    pub elapsed: Duration,
}

/// One item, from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Item code.
    pub item: String,
    /// Chinese name of the item.
    pub name_zh: String,
    /// English name of the item.
    pub name_en: String,
    /// The source.
    pub source: String,
    /// Name of the source.
    pub source_name: String,
    /// As-of date, days since 1970-01-01.
    pub as_of_day: u32,
    /// The item in canonical JSON (RFC 8785), as the source registered it.
    pub json: String,
    /// What proves that; the agent has checked it, and [`Section::verify`] does again.
    pub proof: Proof,
    /// Whether it was out of date when it was asked for.
    pub stale: bool,
    /// Objections of the enterprise that stood against it when its delivery was recorded, as the ledger says.
    pub objections: Vec<Objection>,
    /// What does not conform to the catalogue: path and message.
    pub faults: Vec<Fault>,
}

/// An objection (异议) that stood against an item when its delivery was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Its id on the ledger, 32 bytes.
    pub id: Vec<u8>,
    /// When it was filed, in milliseconds since 1970-01-01 UTC.
    pub filed_at_ms: u64,
    /// Whether it was looked into and could not be resolved; otherwise that has not ended.
    pub unresolved: bool,
}

/// One thing that does not conform to the catalogue. It is shown all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `entries[3].amount`; empty for the item as a whole.
    pub path: String,
    /// What, for programs: `TYPE`, `RANGE`, `UNKNOWN_CODE` …
    pub code: String,
    /// What, for people, in English.
    pub message: String,
}

/// How much of an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// From every source that holds it.
    Complete,
    /// From some of the sources that hold it.
    Partial,
    /// From none of the sources that hold it.
    Failed,
    /// No source holds it for this enterprise.
    NotHeld,
}

/// One item, from whatever sources it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Item code.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// How much of it came.
    pub extent: Extent,
    /// Places of its versions in [`Report::sections`], one a source.
    pub sections: Vec<usize>,
    /// Places in [`Report::parts`] of those that were to bring it and did not.
    pub failed_parts: Vec<usize>,
    /// What sources say differently; at most 64.
    pub conflicts: Vec<Conflict>,
    /// Whether there are more conflicts than those.
    pub more_conflicts: bool,
}

/// Something that sources say differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What the record is about, as JSON; empty where there is but one record.
    pub about: String,
    /// The field; empty when it is about whether there is such an entry at all.
    pub field: String,
    /// The place in [`Report::sections`] and what it says, as JSON; empty when it says nothing.
    pub values: Vec<(usize, String)>,
}

/// Where a source's part of an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartStatus {
    /// Placed; the source has not answered.
    Placed,
    /// Taken up by the source.
    Accepted,
    /// Delivery is recorded, and nothing more was heard within the time.
    Delivered,
    /// Opened and found right.
    Confirmed,
    /// Opened and found wrong: what came was thrown away, and the mismatch is on the ledger.
    Mismatched,
    /// Refused by the source.
    Rejected,
    /// The source missed the deadline.
    Expired,
    /// Withdrawn by the institution.
    Cancelled,
    /// Consent was gone when delivery was to be recorded.
    ConsentRevoked,
}

/// What became of one source's part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The source.
    pub source: String,
    /// Name of the source.
    pub source_name: String,
    /// Item codes that it was to deliver.
    pub items: Vec<String>,
    /// Where it stands.
    pub status: PartStatus,
    /// Reason code, if it did not come.
    pub reason: Option<String>,
    /// From placing the order to the opened delivery; zero if nothing came.
    pub elapsed: Duration,
}

impl Report {
    /// Whether every part came and was found right.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        (self.parts.iter()).all(|part| part.status == PartStatus::Confirmed)
    }

    /// The versions of one item, one a source; none if none came.
    pub fn versions<'a>(&'a self, item: &'a str) -> impl Iterator<Item = &'a Section> + 'a {
        (self.sections.iter()).filter(move |section| section.item == item)
    }

    /// Follows every section's path to its root, without the agent; gives how many there are.
    ///
    /// # Errors
    /// [`Error::Broken`] with the first that does not lead there.
    pub fn verify(&self) -> Result<usize, Error> {
        for section in &self.sections {
            section.verify()?;
        }
        Ok(self.sections.len())
    }
}

impl Section {
    /// Follows the path from the section's bytes to its root.
    ///
    /// # Errors
    /// [`Error::Broken`] when it does not lead there.
    pub fn verify(&self) -> Result<(), Error> {
        self.proof.check(&self.item, &self.json)
    }

    /// Its content: an object of the item's fields, or with the one member `entries`.
    ///
    /// # Errors
    /// [`Error::Broken`] when it is no JSON.
    pub fn content(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_str(&self.json).map_err(|_| Error::unreadable("content of a section"))
    }
}

impl TryFrom<wire::QueryReportResponse> for Report {
    type Error = Error;

    fn try_from(answer: wire::QueryReportResponse) -> Result<Self, Error> {
        let bounds = Bounds {
            sections: answer.sections.len(),
            parts: answer.parts.len(),
        };
        Ok(Self {
            order: id(&answer.order, "order").map(OrderId)?,
            grant: id(&answer.grant, "grant").map(GrantId)?,
            institution: answer.institution,
            items: all(answer.items, |item| bounds.item(item))?,
            sections: all(answer.sections, section)?,
            parts: all(answer.parts, part)?,
            missing_items: answer.missing_items,
            catalogue_version: answer.catalogue_version,
            placed_at_height: answer.placed_at_height,
            asked_at_ms: answer.asked_at_ms,
            elapsed: Duration::from_micros(answer.elapsed_us),
        })
    }
}

fn all<W, T>(wire: Vec<W>, read: impl Fn(W) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    wire.into_iter().map(read).collect()
}

/// 32 bytes.
pub(crate) fn id(bytes: &[u8], what: &str) -> Result<xinqiao_crypto::Digest, Error> {
    xinqiao_crypto::Digest::try_from(bytes)
        .map_err(|_| Error::unreadable(&format!("{what} has not 32 bytes")))
}

fn section(wire: wire::ReportSection) -> Result<Section, Error> {
    let proof =
        (wire.proof.as_ref()).ok_or_else(|| Error::unreadable("a section without proof"))?;
    Ok(Section {
        proof: Proof::read(proof)?,
        item: wire.item,
        name_zh: wire.name_zh,
        name_en: wire.name_en,
        source: wire.source,
        source_name: wire.source_name,
        as_of_day: wire.as_of_day,
        json: wire.json,
        stale: wire.stale,
        objections: (wire.objections.into_iter())
            .map(|mark| Objection {
                id: mark.objection,
                filed_at_ms: mark.filed_at_ms,
                unresolved: mark.unresolved,
            })
            .collect(),
        faults: (wire.faults.into_iter())
            .map(|fault| Fault {
                path: fault.path,
                code: fault.code,
                message: fault.message,
            })
            .collect(),
    })
}

fn part(wire: wire::PartOutcome) -> Result<Part, Error> {
    use wire::PartStatus as W;
    let status = match wire.status() {
        W::Unspecified => return Err(Error::unreadable("a part's status")),
        W::Placed => PartStatus::Placed,
        W::Accepted => PartStatus::Accepted,
        W::Delivered => PartStatus::Delivered,
        W::Confirmed => PartStatus::Confirmed,
        W::Mismatched => PartStatus::Mismatched,
        W::Rejected => PartStatus::Rejected,
        W::Expired => PartStatus::Expired,
        W::Cancelled => PartStatus::Cancelled,
        W::ConsentRevoked => PartStatus::ConsentRevoked,
    };
    Ok(Part {
        source: wire.source,
        source_name: wire.source_name,
        items: wire.items,
        status,
        reason: Some(wire.reason).filter(|reason| !reason.is_empty()),
        elapsed: Duration::from_micros(wire.elapsed_us),
    })
}

/// How many sections and parts there are, for places among them.
struct Bounds {
    sections: usize,
    parts: usize,
}

impl Bounds {
    fn item(&self, wire: wire::ReportItem) -> Result<Item, Error> {
        use wire::ItemStatus as W;
        let extent = match wire.status() {
            W::Unspecified => return Err(Error::unreadable("an item's status")),
            W::Complete => Extent::Complete,
            W::Partial => Extent::Partial,
            W::Failed => Extent::Failed,
            W::NotHeld => Extent::NotHeld,
        };
        Ok(Item {
            extent,
            sections: places(&wire.sections, self.sections)?,
            failed_parts: places(&wire.failed_parts, self.parts)?,
            conflicts: all(wire.conflicts, |conflict| self.conflict(conflict))?,
            more_conflicts: wire.more_conflicts,
            code: wire.item,
            name_zh: wire.name_zh,
            name_en: wire.name_en,
        })
    }

    fn conflict(&self, wire: wire::ItemConflict) -> Result<Conflict, Error> {
        Ok(Conflict {
            about: wire.about,
            field: wire.field,
            values: all(wire.values, |value| {
                Ok((place(value.section, self.sections)?, value.json))
            })?,
        })
    }
}

fn places(wire: &[u32], count: usize) -> Result<Vec<usize>, Error> {
    wire.iter().map(|at| place(*at, count)).collect()
}

fn place(at: u32, count: usize) -> Result<usize, Error> {
    usize::try_from(at)
        .ok()
        .filter(|at| *at < count)
        .ok_or_else(|| Error::unreadable("a place that is none"))
}
