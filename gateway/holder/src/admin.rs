//! HolderService: the organisation that runs the node brings the ledger in line with its sources, while the node
//! goes on serving.

use std::{num::NonZeroU32, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use indicatif::ProgressBar;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use xinqiao_contracts::query;
use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::{Fingerprint, OrgId, SourceId},
    malformed::list,
    wire::{
        self, SyncSourcesRequest, SyncSourcesResponse, holder_service_server::HolderService,
        sync_sources_response::Content,
    },
};
use xinqiao_node::{Replica, fault};
use xinqiao_rpc::{Fault, PeerIdentity, Reason, peer::Role};

use crate::{
    holding::Holding,
    sync::{Registrar, SyncOptions, SyncReport, progress_bar},
};

/// How often it is said how far a run is.
const TELL: Duration = Duration::from_millis(500);

/// Most sources that one call may name.
const MAX_SOURCES: usize = 64;

/// The service of one node.
pub(crate) struct Administration {
    pub(crate) org: OrgId,
    pub(crate) replica: Replica,
    pub(crate) registrar: Registrar,
    pub(crate) holdings: Vec<Arc<Holding>>,
    /// One run at a time: two would hand in the same digests.
    pub(crate) turn: Arc<Semaphore>,
}

impl Administration {
    /// Lets in people and the node of the organisation itself, by a certificate that the replica has for it.
    fn admit(&self, peer: &PeerIdentity) -> Result<(), Status> {
        let ours =
            peer.org == self.org.as_str() && matches!(peer.role, Role::Operator | Role::Holder);
        if !ours {
            let denied = Fault::new(Reason::RoleDenied);
            return Err(denied
                .because("this is for the organisation that runs the node")
                .status());
        }
        let print = Fingerprint(Digest::from(peer.fingerprint_sha256));
        let member = query::member_by_certificate(&self.replica.state(), &print)
            .map_err(|error| fault::internal(&error))?
            .ok_or_else(|| Fault::new(Reason::CertificateUnknown).status())?;
        if member.member.org == self.org {
            Ok(())
        } else {
            Err(Fault::new(Reason::CertificateOrgMismatch).status())
        }
    }

    /// The sources that are named, or all.
    fn named(&self, sources: &[String]) -> Result<Vec<Arc<Holding>>, Status> {
        let ids = list("sources", sources, 0, MAX_SOURCES, |field, id| {
            SourceId::parse(field, id)
        })
        .map_err(fault::malformed)?;
        if ids.is_empty() {
            return Ok(self.holdings.clone());
        }
        ids.iter()
            .map(|id| {
                let known = self.holdings.iter().find(|holding| holding.id() == id);
                known.cloned().ok_or_else(|| {
                    Fault::new(Reason::SourceUnknown)
                        .because(format!("this node has no source {id}"))
                        .status()
                })
            })
            .collect()
    }
}

type Answers = mpsc::Sender<Result<SyncSourcesResponse, Status>>;

/// One run over some sources; it ends early when nobody listens any more.
async fn run(
    registrar: Registrar,
    holdings: Vec<Arc<Holding>>,
    options: SyncOptions,
    answers: Answers,
    _turn: OwnedSemaphorePermit,
) {
    for holding in holdings {
        let progress = progress_bar(&holding);
        progress.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        let options = SyncOptions {
            progress: progress.clone(),
            ..options.clone()
        };
        let answer = tokio::select! {
            report = registrar.sync(&holding, &options) => match report {
                Ok(report) => Ok(said(Content::Report(wire_report(holding.id(), &report)))),
                Err(fault) => {
                    tracing::warn!(source = %holding.id(), %fault, "registering digests has ended early");
                    let failed = Fault::new(Reason::SyncFailed).because(fault.to_string());
                    Err(failed.status())
                }
            },
            () = tell(&answers, holding.id(), &progress) => {
                tracing::info!(source = %holding.id(), "registering digests was called off");
                return;
            }
        };
        let failed = answer.is_err();
        if answers.send(answer).await.is_err() || failed {
            return;
        }
    }
}

/// Says how far it is, again and again; completes when nobody listens any more.
async fn tell(answers: &Answers, source: &SourceId, progress: &ProgressBar) {
    loop {
        tokio::time::sleep(TELL).await;
        let progress = wire::SyncProgress {
            source: source.to_string(),
            rows: progress.position(),
            rows_in_all: progress.length().unwrap_or(0),
        };
        if answers
            .send(Ok(said(Content::Progress(progress))))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn said(content: Content) -> SyncSourcesResponse {
    SyncSourcesResponse {
        content: Some(content),
    }
}

fn wire_report(source: &SourceId, report: &SyncReport) -> wire::SourceSyncReport {
    let file = report.bad_rows_file.as_ref();
    wire::SourceSyncReport {
        source: source.to_string(),
        subjects: report.subjects,
        items: report.items,
        registered: report.registered,
        superseded: report.superseded,
        unchanged: report.unchanged,
        withdrawn: report.withdrawn,
        older: report.older,
        bad_rows: report.bad_rows,
        warnings: report.warnings,
        transactions: report.transactions,
        bytes: report.bytes,
        elapsed_ms: millis(report.elapsed),
        reading_ms: millis(report.reading),
        digesting_ms: millis(report.digesting),
        bad_rows_file: file
            .map(|file| file.display().to_string())
            .unwrap_or_default(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<&wire::SourceSyncReport> for SyncReport {
    fn from(wire: &wire::SourceSyncReport) -> Self {
        Self {
            subjects: wire.subjects,
            items: wire.items,
            registered: wire.registered,
            superseded: wire.superseded,
            unchanged: wire.unchanged,
            withdrawn: wire.withdrawn,
            older: wire.older,
            bad_rows: wire.bad_rows,
            warnings: wire.warnings,
            transactions: wire.transactions,
            bytes: wire.bytes,
            elapsed: Duration::from_millis(wire.elapsed_ms),
            reading: Duration::from_millis(wire.reading_ms),
            digesting: Duration::from_millis(wire.digesting_ms),
            bad_rows_file: (!wire.bad_rows_file.is_empty())
                .then(|| wire.bad_rows_file.clone().into()),
        }
    }
}

#[tonic::async_trait]
impl HolderService for Administration {
    type SyncSourcesStream =
        Pin<Box<dyn Stream<Item = Result<SyncSourcesResponse, Status>> + Send>>;

    async fn sync_sources(
        &self,
        request: Request<SyncSourcesRequest>,
    ) -> Result<Response<Self::SyncSourcesStream>, Status> {
        let peer = PeerIdentity::of_request(&request).map_err(|status| *status)?;
        self.admit(&peer)?;
        let SyncSourcesRequest {
            sources,
            per_second,
            withdraw_most,
        } = request.into_inner();
        let holdings = self.named(&sources)?;
        let turn = Arc::clone(&self.turn).try_acquire_owned();
        let turn = turn.map_err(|_| Fault::new(Reason::SyncUnderWay).status())?;
        let options = SyncOptions {
            withdraw_most,
            per_second: NonZeroU32::new(per_second),
            ..SyncOptions::default()
        };
        let (answers, said) = mpsc::channel(4);
        tokio::spawn(run(
            self.registrar.clone(),
            holdings,
            options,
            answers,
            turn,
        ));
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }
}
