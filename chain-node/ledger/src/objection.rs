//! Objections (异议): an information subject says that what a source registered of it is wrong or incomplete.
//!
//! Source: 征信业管理条例 (2013), article 25. Who receives an objection marks the information, looks into it
//! and answers within 20 days; wrong information is corrected; where it is right the mark is lifted; what cannot be
//! established stays on record with the objection.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::Digest;

use crate::{
    ids::{ItemCode, ObjectionId, SourceId, Subject, TimeMs},
    malformed::{Malformed, fixed},
    member::wire_enum,
    order::item_codes,
    wire,
};

/// How long the source has to look into an objection, in milliseconds of block time: 20 days.
pub const RESOLVE_WITHIN_MS: TimeMs = 20 * 86_400_000;

wire_enum!(
    /// What looking into an objection came to.
    Finding from ObjectionFinding {
        /// The data was wrong or incomplete, and was registered anew or withdrawn since.
        Corrected,
        /// The data is right: the mark is lifted.
        Upheld,
        /// It could not be established: the mark stays.
        Unresolved,
    }
);

/// An objection as it is filed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FileObjection {
    /// The subject.
    pub subject: Subject,
    /// The source whose data is objected to.
    pub source: SourceId,
    /// The items objected to, ascending.
    pub items: Vec<ItemCode>,
    /// SM3 of what is objected, which stays with the parties.
    pub statement: Digest,
}

impl TryFrom<&wire::FileObjection> for FileObjection {
    type Error = Malformed;

    fn try_from(wire: &wire::FileObjection) -> Result<Self, Malformed> {
        Ok(Self {
            subject: Subject::parse("subject", &wire.subject)?,
            source: SourceId::parse("source", &wire.source)?,
            items: item_codes("items", &wire.items)?,
            statement: fixed::<32>("statement_digest", &wire.statement_digest)?.into(),
        })
    }
}

impl From<&FileObjection> for wire::FileObjection {
    fn from(filed: &FileObjection) -> Self {
        Self {
            subject: filed.subject.to_vec(),
            source: filed.source.to_string(),
            items: filed.items.iter().map(ToString::to_string).collect(),
            statement_digest: filed.statement.as_bytes().to_vec(),
        }
    }
}

/// Mark of an objection on an item that is delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Mark {
    /// The item.
    pub item: ItemCode,
    /// The objection.
    pub objection: ObjectionId,
    /// When it was filed.
    pub filed_at: TimeMs,
    /// Whether it was looked into and could not be resolved.
    pub unresolved: bool,
}

impl From<&Mark> for wire::ObjectionMark {
    fn from(mark: &Mark) -> Self {
        Self {
            item: mark.item.to_string(),
            objection: mark.objection.to_vec(),
            filed_at_ms: mark.filed_at,
            unresolved: mark.unresolved,
        }
    }
}
