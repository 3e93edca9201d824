//! What can be asked for, and with whose consent: the catalogue, the sources and an enterprise's grants.

use xinqiao_ledger::{catalogue, ids::GrantId, wire};

use crate::{error::Error, report};

/// The catalogue in force and the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Catalogue {
    /// The catalogue: items with their schemas, groups and purposes.
    pub catalogue: catalogue::Catalogue,
    /// The sources.
    pub sources: Vec<Source>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it serves now.
    pub in_service: bool,
    /// Number of enterprises with a registered digest.
    pub subjects: u64,
}

impl TryFrom<wire::ListCatalogueResponse> for Catalogue {
    type Error = Error;

    fn try_from(answer: wire::ListCatalogueResponse) -> Result<Self, Error> {
        let wire = (answer.catalogue.as_ref()).ok_or_else(|| Error::unreadable("no catalogue"))?;
        let catalogue = catalogue::Catalogue::try_from(wire)
            .map_err(|fault| Error::unreadable(&format!("the catalogue: {fault}")))?;
        let sources = answer.sources.into_iter().map(|state| {
            let in_service = state.status() == wire::SourceStatus::Active;
            let source = (state.source).ok_or_else(|| Error::unreadable("a source without id"))?;
            Ok(Source {
                id: source.source,
                name: source.name,
                in_service,
                subjects: state.subjects,
            })
        });
        Ok(Self {
            sources: sources.collect::<Result<_, Error>>()?,
            catalogue,
        })
    }
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantStatus {
    /// Asked for, not answered.
    Requested,
    /// In force.
    Active,
    /// Paused by the enterprise.
    Paused,
    /// Revoked by the enterprise.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its uses are spent.
    Exhausted,
    /// The request was declined.
    Declined,
    /// The request lapsed unanswered.
    Lapsed,
}

/// An enterprise's consent to this institution.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Where it stands.
    pub status: GrantStatus,
    /// Purpose codes.
    pub purposes: Vec<String>,
    /// Item codes.
    pub items: Vec<String>,
    /// First moment at which it may be used, in milliseconds since 1970-01-01 UTC.
    pub valid_from_ms: u64,
    /// First moment at which it may no longer be used, likewise.
    pub valid_until_ms: u64,
    /// How often it may be used in all.
    pub max_uses: u32,
    /// Uses spent, and held by orders that are still open.
    pub uses_taken: u32,
}

impl TryFrom<wire::GrantState> for Grant {
    type Error = Error;

    fn try_from(wire: wire::GrantState) -> Result<Self, Error> {
        use wire::ConsentStatus as W;
        let status = match wire.status() {
            W::Unspecified => return Err(Error::unreadable("a grant's status")),
            W::Requested => GrantStatus::Requested,
            W::Active => GrantStatus::Active,
            W::Paused => GrantStatus::Paused,
            W::Revoked => GrantStatus::Revoked,
            W::Expired => GrantStatus::Expired,
            W::Exhausted => GrantStatus::Exhausted,
            W::Declined => GrantStatus::Declined,
            W::Lapsed => GrantStatus::Lapsed,
        };
        let terms = (wire.terms).ok_or_else(|| Error::unreadable("a grant without terms"))?;
        Ok(Self {
            id: report::id(&wire.grant, "grant").map(GrantId)?,
            status,
            purposes: terms.purposes,
            items: terms.items,
            valid_from_ms: terms.valid_from_ms,
            valid_until_ms: terms.valid_until_ms,
            max_uses: terms.max_uses,
            uses_taken: wire.uses_spent.saturating_add(wire.uses_reserved),
        })
    }
}
