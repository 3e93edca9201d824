//! Watching a portfolio: codes become pseudonyms on the way out and codes again on the way in. When the
//! gateway is lost, it is asked again for what came after the last height that was told.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    uscc::Uscc,
    wire::{
        self, portfolio_service_server::PortfolioService,
        subject_service_client::SubjectServiceClient,
    },
};
use xinqiao_rpc::{FaultView, limited};

use crate::{
    ask,
    gateway::{ASK, Acting, passed_on, unproven},
    service::{Agency, Names},
};

/// Messages that wait for a watcher who is slow.
const AHEAD: usize = 4;

/// The first and the longest pause before a gateway that was lost is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The portfolio service.
#[derive(Clone)]
pub(crate) struct Portfolios(pub(crate) Arc<Agency>);

type Watched = Pin<Box<dyn Stream<Item = Result<wire::WatchPortfolioResponse, Status>> + Send>>;

/// One portfolio that is watched.
struct Watch {
    agency: Arc<Agency>,
    acting: Acting,
    codes: Vec<Uscc>,
    subjects: Vec<Vec<u8>>,
    /// All changes up to this height were told; 0 before anything was.
    through: u64,
    begun: bool,
    to: mpsc::Sender<Result<wire::WatchPortfolioResponse, Status>>,
}

impl Watch {
    async fn run(mut self) {
        let mut pause = AGAIN.0;
        loop {
            let before = self.through;
            let to = self.to.clone();
            let followed = tokio::select! {
                followed = self.follow() => followed,
                () = to.closed() => return,
            };
            if self.through > before {
                pause = AGAIN.0;
            }
            let status = followed.err();
            let again = match &status {
                None => true, // The gateway stopped in order.
                Some(status) => FaultView::from_status(status).is_transient(),
            };
            match status {
                Some(status) if !again => {
                    // Nobody listens when the application has gone.
                    let _ = self.to.send(Err(status)).await;
                    return;
                }
                status => {
                    let code = status.map(|status| status.code());
                    tracing::warn!(?code, "the gateway's watch ended; asking again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.to.closed() => return,
            }
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    async fn follow(&mut self) -> Result<(), Status> {
        let message = wire::WatchSubjectsRequest {
            subjects: self.subjects.clone(),
            after_height: self.through,
        };
        let gateway = &self.agency.gateway;
        let request = gateway.request(&self.acting, message, ASK)?;
        let mut client = limited!(SubjectServiceClient::new(gateway.channel.clone()));
        let answer = client.watch_subjects(request).await;
        let mut changes = answer.map_err(|status| passed_on(&status))?.into_inner();
        while let Some(told) = (changes.message().await).map_err(|status| passed_on(&status))? {
            let told = self.translated(told).await?;
            let through = told.through_height;
            if self.to.send(Ok(told)).await.is_err() {
                return Ok(());
            }
            // What was told in part is told again from its beginning if the gateway is lost now.
            self.through = self.through.max(through);
        }
        Ok(())
    }

    async fn translated(
        &mut self,
        told: wire::WatchSubjectsResponse,
    ) -> Result<wire::WatchPortfolioResponse, Status> {
        let names: BTreeMap<String, String> = if told.changes.is_empty() {
            BTreeMap::new()
        } else {
            let directory = self.agency.directory.current().await?;
            let names = Names::of(&directory.wire);
            let of = |change: &wire::SubjectChange| {
                (change.source.clone(), names.source(&change.source))
            };
            told.changes.iter().map(of).collect()
        };
        let changes = told.changes.into_iter().map(|change| {
            let code = self.codes.get(change.entry as usize);
            let code = code.ok_or_else(|| unproven("the gateway names an entry that is none"))?;
            Ok(wire::PortfolioChange {
                entry: change.entry,
                uscc: code.expose().to_owned(),
                source_name: names.get(&change.source).cloned().unwrap_or_default(),
                source: change.source,
                change: change.change,
                version: change.version,
                as_of_day: change.as_of_day,
                height: change.height,
            })
        });
        let changes = changes.collect::<Result<_, Status>>()?;
        let first = !std::mem::replace(&mut self.begun, true);
        Ok(wire::WatchPortfolioResponse {
            changes,
            through_height: told.through_height,
            without_grant: if first {
                told.without_grant
            } else {
                Vec::new()
            },
        })
    }
}

#[tonic::async_trait]
impl PortfolioService for Portfolios {
    type WatchPortfolioStream = Watched;

    async fn watch_portfolio(
        &self,
        request: Request<wire::WatchPortfolioRequest>,
    ) -> Result<Response<Watched>, Status> {
        let request = request.into_inner();
        let (codes, user) = ask::portfolio(&request)?;
        let acting = self.0.acting(&user)?;
        let (to, mut from) = mpsc::channel(AHEAD);
        let subjects = codes
            .iter()
            .map(|code| self.0.pseudonym_key.subject(code).to_vec());
        let watch = Watch {
            agency: self.0.clone(),
            acting,
            subjects: subjects.collect(),
            codes,
            through: request.after_height,
            begun: false,
            to,
        };
        tokio::spawn(watch.run());
        let told = futures::stream::poll_fn(move |context| from.poll_recv(context));
        Ok(Response::new(Box::pin(told)))
    }
}
