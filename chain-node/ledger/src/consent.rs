//! What a consent grant covers.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::Digest;

use crate::{
    ids::{ItemCode, OrgId, PurposeCode, SourceId, Subject, TimeMs},
    malformed::{Malformed, Problem, ascending, fixed, ranged},
    text::Branch,
    wire,
};

/// The most often that a grant may be used.
pub const MAX_USES: u32 = 1_000_000;

/// The most days of a grant's data life, and of a validity counted in days.
pub const MAX_DAYS: u32 = 3_650;

/// How often a grant may be used within one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Frequency {
    /// Uses within one period. At least 1.
    pub max_uses: u32,
    /// Length of the period in seconds. At least 1.
    pub period_seconds: u32,
}

/// The terms of a consent grant.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConsentTerms {
    /// The information subject.
    pub subject: Subject,
    /// The institution that may query.
    pub grantee: OrgId,
    /// Branch of the grantee; empty for all.
    pub branch: Branch,
    /// Purposes, ascending. 1 to 16.
    pub purposes: Vec<PurposeCode>,
    /// Items, ascending. 1 to 64.
    pub items: Vec<ItemCode>,
    /// Sources, ascending; empty for all.
    pub sources: Vec<SourceId>,
    /// First moment of validity.
    pub valid_from: TimeMs,
    /// First moment after validity; later than `valid_from`.
    pub valid_until: TimeMs,
    /// Uses in all. 1 to [`MAX_USES`].
    pub max_uses: u32,
    /// Uses within a period, if bounded.
    pub frequency: Option<Frequency>,
    /// How long the institution may keep what it received, in days.
    pub data_life_days: u32,
    /// Whether the institution may pass the report on.
    pub onward_sharing: bool,
    /// SM3 of the signed authorisation document.
    pub document_digest: Digest,
    /// SM3 of the document's text version.
    pub text_digest: Digest,
}

impl TryFrom<&wire::ConsentTerms> for ConsentTerms {
    type Error = Malformed;

    fn try_from(wire: &wire::ConsentTerms) -> Result<Self, Malformed> {
        if wire.valid_until_ms <= wire.valid_from_ms {
            return Err(Malformed::new(
                "valid_until_ms",
                Problem::Range {
                    min: wire.valid_from_ms.saturating_add(1),
                    max: u64::MAX,
                    got: wire.valid_until_ms,
                },
            ));
        }
        let frequency = match (wire.max_uses_per_period, wire.period_seconds) {
            (0, 0) => None,
            (0, _) | (_, 0) => {
                return Err(Malformed::new(
                    "period_seconds",
                    Problem::Format("given exactly when max_uses_per_period is"),
                ));
            }
            (max_uses, period_seconds) => Some(Frequency {
                max_uses,
                period_seconds,
            }),
        };
        Ok(Self {
            subject: Subject::parse("subject", &wire.subject)?,
            grantee: OrgId::parse("grantee", &wire.grantee)?,
            branch: Branch::parse("branch", &wire.branch)?,
            purposes: ascending("purposes", &wire.purposes, 1, 16, |field, code| {
                PurposeCode::parse(field, code)
            })?,
            items: ascending("items", &wire.items, 1, 64, |field, code| {
                ItemCode::parse(field, code)
            })?,
            sources: ascending("sources", &wire.sources, 0, 64, |field, id| {
                SourceId::parse(field, id)
            })?,
            valid_from: wire.valid_from_ms,
            valid_until: wire.valid_until_ms,
            max_uses: ranged("max_uses", wire.max_uses, 1, u64::from(MAX_USES))?,
            frequency,
            data_life_days: ranged(
                "data_life_days",
                wire.data_life_days,
                1,
                u64::from(MAX_DAYS),
            )?,
            onward_sharing: wire.onward_sharing,
            document_digest: Digest::from(fixed::<32>("document_digest", &wire.document_digest)?),
            text_digest: Digest::from(fixed::<32>("text_digest", &wire.text_digest)?),
        })
    }
}

impl From<&ConsentTerms> for wire::ConsentTerms {
    fn from(terms: &ConsentTerms) -> Self {
        Self {
            subject: terms.subject.to_vec(),
            grantee: terms.grantee.to_string(),
            branch: terms.branch.to_string(),
            purposes: terms.purposes.iter().map(ToString::to_string).collect(),
            items: terms.items.iter().map(ToString::to_string).collect(),
            sources: terms.sources.iter().map(ToString::to_string).collect(),
            valid_from_ms: terms.valid_from,
            valid_until_ms: terms.valid_until,
            max_uses: terms.max_uses,
            max_uses_per_period: terms.frequency.map_or(0, |bound| bound.max_uses),
            period_seconds: terms.frequency.map_or(0, |bound| bound.period_seconds),
            data_life_days: terms.data_life_days,
            onward_sharing: terms.onward_sharing,
            document_digest: terms.document_digest.as_bytes().to_vec(),
            text_digest: terms.text_digest.as_bytes().to_vec(),
        }
    }
}
