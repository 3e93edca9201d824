//! What watching a subject takes: how its digests stand, and whether it consents to being watched.
//!
//! Not here: which changes were told before. That is for whoever tells.

use xinqiao_ledger::{
    ids::{Height, OrgId, SourceId, Subject, TimeMs},
    wire,
};

use super::grants_of;
use crate::{
    record::{ConsentState, DigestEntry},
    state::{StateFault, StateRead},
    table::{DIGESTS, SOURCES},
};

/// The most digests of one subject that are listed: one a source.
pub const MAX_DIGESTS: usize = 1_000;

/// How a source's digest for a subject stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestSummary {
    /// The source.
    pub source: SourceId,
    /// Which registration it is, counted from 1; of one that was withdrawn, the last.
    pub version: u32,
    /// Days since 1970-01-01; none of one that was withdrawn.
    pub as_of_day: Option<u32>,
    /// Height at which it was registered or withdrawn.
    pub changed_at: Height,
}

/// A subject's digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectDigests {
    /// Whether a grant to the institution is live.
    pub consented: bool,
    /// The digests that changed above the height asked for.
    pub digests: Vec<DigestSummary>,
}

/// The digests of a subject that changed above `after`, the first [`MAX_DIGESTS`] of them, and whether a
/// grant of the subject to `grantee` is active and valid at `now`.
///
/// # Errors
/// When the store fails.
pub fn watched<S: StateRead>(
    state: &S,
    subject: &Subject,
    grantee: &OrgId,
    after: Height,
    now: TimeMs,
) -> Result<SubjectDigests, StateFault> {
    let consented = grants_of(state, subject)?.iter().any(|grant| {
        grant.terms.grantee == *grantee
            && matches!(grant.state, ConsentState::Active(_))
            && (grant.terms.valid_from..grant.terms.valid_until).contains(&now)
    });
    let mut digests = Vec::new();
    for (number, entry) in DIGESTS.under(state, subject, MAX_DIGESTS)? {
        let (version, as_of_day, changed_at) = match entry {
            DigestEntry::Registered(record) => {
                (record.version, Some(record.as_of_day), record.registered_at)
            }
            DigestEntry::Withdrawn { version, at } => (version, None, at),
        };
        if changed_at > after {
            let source = SOURCES.get(state, &number)?.ok_or_else(|| {
                StateFault(format!("source {number} has digests and is not there"))
            })?;
            digests.push(DigestSummary {
                source: source.source.source,
                version,
                as_of_day,
                changed_at,
            });
        }
    }
    Ok(SubjectDigests { consented, digests })
}

impl From<&SubjectDigests> for wire::SubjectDigests {
    fn from(subject: &SubjectDigests) -> Self {
        Self {
            consented: subject.consented,
            digests: subject.digests.iter().map(Into::into).collect(),
        }
    }
}

impl From<&DigestSummary> for wire::DigestSummary {
    fn from(digest: &DigestSummary) -> Self {
        Self {
            source: digest.source.to_string(),
            version: digest.version,
            as_of_day: digest.as_of_day.unwrap_or_default(),
            changed_at_height: digest.changed_at,
            withdrawn: digest.as_of_day.is_none(),
        }
    }
}
