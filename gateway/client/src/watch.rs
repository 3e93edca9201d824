//! Watching a portfolio: being told that a source has registered, superseded or withdrawn what it has of an
//! enterprise. No report comes with it; a query brings it, and takes a use of the grant.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;
use xinqiao_ledger::wire;

use crate::{client::Client, error::Error, retry};

/// How long the agent may be away before watching gives up.
const AWAY: Duration = Duration::from_secs(60);

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Unified social credit codes, 1 to 10,000, each once.
    pub usccs: Vec<String>,
    /// The user who watches, as the institution knows it.
    pub user: String,
    /// Changes above this height are told; 0 for those from now on.
    pub after_height: u64,
}

/// What happened to what a source has of an enterprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Registered for the first time.
    Registered,
    /// It took the place of an earlier one.
    Superseded,
    /// The source no longer holds anything of the enterprise.
    Withdrawn,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Place of the code in [`Watch::usccs`], from 0.
    pub entry: usize,
    /// The enterprise's code.
    pub uscc: String,
    /// The source.
    pub source: String,
    /// Name of the source.
    pub source_name: String,
    /// What happened.
    pub what: What,
    /// Which registration it is, counted from 1.
    pub version: u32,
    /// As-of date, days since 1970-01-01; 0 of one that was withdrawn.
    pub as_of_day: u32,
    /// Height of the block in which it happened.
    pub height: u64,
}

/// Some changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The changes; empty in a message that only tells how far things were told.
    pub changes: Vec<Change>,
    /// All changes up to this height were told: what to keep as `after_height` for the next time. None while more
    /// of the same height follow.
    pub through_height: Option<u64>,
    /// In the first one: places of the enterprises that have no live grant now, and are told of once they have.
    pub without_grant: Vec<usize>,
}

/// Enterprises that are being watched.
#[derive(Debug)]
pub struct PortfolioChanges {
    client: Client,
    request: wire::WatchPortfolioRequest,
    stream: Option<Streaming<wire::WatchPortfolioResponse>>,
}

impl PortfolioChanges {
    pub(crate) fn new(client: Client, watch: Watch) -> Self {
        Self {
            client,
            request: wire::WatchPortfolioRequest {
                usccs: watch.usccs,
                user: watch.user,
                after_height: watch.after_height,
            },
            stream: None,
        }
    }

    /// The next changes; waits for them as long as it takes. A lost connection is made up for: it goes on after the
    /// last height that was told in whole, so what came after it comes again.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unavailable`] once the agent was away for a minute.
    pub async fn next(&mut self) -> Result<Changes, Error> {
        let mut lost: Option<(Instant, u32)> = None;
        loop {
            let error = match self.receive().await {
                Ok(message) => return self.told(message),
                Err(error) => error,
            };
            self.stream = None;
            let (since, tries) = lost.get_or_insert_with(|| (Instant::now(), 0));
            *tries += 1;
            let left = AWAY.saturating_sub(since.elapsed());
            let Some(pause) = retry::pause(&error, (*tries).min(4), left) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn receive(&mut self) -> Result<wire::WatchPortfolioResponse, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let mut portfolios = self.client.portfolios();
                let begun = portfolios.watch_portfolio(self.request.clone()).await;
                none.insert(begun.map_err(Error::from_status)?.into_inner())
            }
        };
        let message = stream.message().await.map_err(Error::from_status)?;
        // Watching has no end of its own: the agent has stopped in order.
        message
            .ok_or_else(|| Error::from_status(tonic::Status::unavailable("the agent has stopped")))
    }

    fn told(&mut self, message: wire::WatchPortfolioResponse) -> Result<Changes, Error> {
        if message.through_height != 0 {
            self.request.after_height = message.through_height;
        }
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Changes {
            changes: (message.changes.into_iter())
                .map(Change::try_from)
                .collect::<Result<_, _>>()?,
            through_height: Some(message.through_height).filter(|height| *height != 0),
            without_grant: message.without_grant.into_iter().map(place).collect(),
        })
    }
}

impl TryFrom<wire::PortfolioChange> for Change {
    type Error = Error;

    fn try_from(wire: wire::PortfolioChange) -> Result<Self, Error> {
        use wire::DigestChange as W;
        Ok(Self {
            what: match wire.change() {
                W::Unspecified => return Err(Error::unreadable("a change")),
                W::Registered => What::Registered,
                W::Superseded => What::Superseded,
                W::Withdrawn => What::Withdrawn,
            },
            entry: usize::try_from(wire.entry).unwrap_or(usize::MAX),
            uscc: wire.uscc,
            source: wire.source,
            source_name: wire.source_name,
            version: wire.version,
            as_of_day: wire.as_of_day,
            height: wire.height,
        })
    }
}
