//! What is kept of objections.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::{Height, ObjectionId, Subject, TimeMs},
    objection::{FileObjection, Finding},
};

use super::GrantSigner;

/// Where an objection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ObjectionState {
    /// The source is to look into it.
    Filed,
    /// It was looked into.
    Resolved {
        /// What was found.
        finding: Finding,
        /// SM3 of the written answer.
        answer: Digest,
    },
    /// Who filed it took it back.
    Withdrawn,
}

impl ObjectionState {
    /// Whether its mark stands, and more may come of it.
    pub fn is_standing(&self) -> bool {
        match self {
            Self::Filed => true,
            Self::Resolved { finding, .. } => *finding == Finding::Unresolved,
            Self::Withdrawn => false,
        }
    }
}

/// An objection to what a source registered of a subject.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObjectionRecord {
    /// Its number, counted from 0.
    pub index: u64,
    /// Its id.
    pub objection: ObjectionId,
    /// As it was filed.
    pub filed: FileObjection,
    /// Who signed for the subject.
    pub filed_by: GrantSigner,
    /// The source's number.
    pub source_number: u32,
    /// The report root that was registered when it was filed: as long as the source has that one, nothing of the
    /// record was corrected.
    pub registered_root: Digest,
    /// Height at which it was filed.
    pub filed_at: Height,
    /// When it was filed.
    pub filed_at_time: TimeMs,
    /// When it is to be resolved.
    pub due: TimeMs,
    /// Whether it was not resolved by then.
    pub overdue: bool,
    /// Where it stands.
    pub state: ObjectionState,
    /// Height of its last change.
    pub changed_at: Height,
}

impl ObjectionRecord {
    /// What it is about: the subject, and the source's number.
    pub fn place(&self) -> (Subject, u32) {
        (self.filed.subject, self.source_number)
    }
}
