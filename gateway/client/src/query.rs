//! What an application asks for. Nothing is checked here that the agent checks: it names every field that breaks
//! a rule in one answer.

use std::time::Duration;

use xinqiao_ledger::{ids::GrantId, wire};

/// What sources are given when the application does not say.
const SOURCES_WITHIN: Duration = Duration::from_secs(10);

/// A query about one enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Query {
    wire: wire::QueryReportRequest,
}

impl Query {
    /// A query about the enterprise with that unified social credit code, for that purpose, by that user of the
    /// institution (only a pseudonym leaves the agent).
    pub fn new(
        uscc: impl Into<String>,
        purpose: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self {
            wire: wire::QueryReportRequest {
                uscc: uscc.into(),
                purpose: purpose.into(),
                user: user.into(),
                ..Default::default()
            },
        }
    }

    /// Only these items, by their codes; without this, all that the grant covers. At most 64.
    pub fn items<I: Into<String>>(mut self, codes: impl IntoIterator<Item = I>) -> Self {
        self.wire.items = codes.into_iter().map(Into::into).collect();
        self
    }

    /// This grant; without this, the newest live one that covers the query.
    pub fn grant(mut self, grant: &GrantId) -> Self {
        self.wire.grant = grant.to_vec();
        self
    }

    /// On behalf of this branch; without this, head office.
    pub fn branch(mut self, branch: impl Into<String>) -> Self {
        self.wire.branch = branch.into();
        self
    }

    /// How long the sources have, 100 ms to 24 h; 10 s without this.
    pub fn sources_within(mut self, time: Duration) -> Self {
        self.wire.deadline_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// With the part of the catalogue that it takes to render the report.
    pub fn with_catalogue(mut self) -> Self {
        self.wire.with_catalogue = true;
        self
    }

    /// Under a name of the application's own, 1 to 64 visible ASCII characters, under which the same query can be
    /// repeated, even by another process, without being placed twice. Without this, the library makes one up for
    /// its own repetitions.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.wire.request_id = id.into();
        self
    }

    /// How long the sources have.
    pub(crate) fn time_of_sources(&self) -> Duration {
        match self.wire.deadline_ms {
            0 => SOURCES_WITHIN,
            given => Duration::from_millis(given.into()),
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> wire::QueryReportRequest {
        self.wire.clone()
    }
}

/// A request for consent, which is put before the enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    /// Unified social credit code.
    pub uscc: String,
    /// Purpose codes. 1 to 16.
    pub purposes: Vec<String>,
    /// Item codes. 1 to 64.
    pub items: Vec<String>,
    /// How many days the grant is to be valid. 1 to 3,650.
    pub valid_days: u32,
    /// How often it may be used. 1 to 1,000,000.
    pub max_uses: u32,
    /// How long a report may be kept, in days. 1 to 3,650.
    pub data_life_days: u32,
    /// How many days until the request lapses unanswered. 1 to 365.
    pub lapses_after_days: u32,
}

impl From<GrantRequest> for wire::RequestGrantRequest {
    fn from(request: GrantRequest) -> Self {
        Self {
            uscc: request.uscc,
            purposes: request.purposes,
            items: request.items,
            valid_days: request.valid_days,
            max_uses: request.max_uses,
            data_life_days: request.data_life_days,
            lapses_after_days: request.lapses_after_days,
        }
    }
}
