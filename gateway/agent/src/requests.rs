//! Requests that may be repeated: one id, one order, one answer.
//!
//! ```text
//!   new ──signed order on disk──▶ ordered ──answer on disk──▶ answered ──an hour──▶ answer gone
//!                                    ▲ └── crash, fault that passes: the same order is handed in again
//! ```
//!
//! The order is on disk before it leaves, and its deliveries are confirmed only when the answer is on disk: until
//! then the data-holding nodes deliver it again. Who asks while the first is under way waits for its answer.
//!
//! A request that ended without an order, because a gateway refused it or nobody could be reached, is none: the
//! next one under its id tries again.

mod book;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::FutureExt;
use prost::Message;
use tokio::sync::watch;
use tonic::Status;
use xinqiao_crypto::{Digest, sm3};
use xinqiao_ledger::{order::PartRef, order::Verdict, wire};
use xinqiao_rpc::{Fault, FaultView, Reason};

use self::book::{Book, Given, Known};
use crate::{
    Error,
    ask::Ask,
    gateway::Acting,
    ordering::{Ordered, Ordering},
    service::{Agency, HEAD_START},
    state::State,
    tasks::Tasks,
};

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(60);

type Answer = Result<wire::QueryReportResponse, Status>;

/// A request under way: what it asks, and its answer once there is one.
#[derive(Clone)]
struct Running {
    content: Digest,
    answer: watch::Receiver<Option<Answer>>,
}

/// The requests of one agent.
#[derive(Clone)]
pub(crate) struct Requests {
    agency: Arc<Agency>,
    book: Arc<Book>,
    running: Arc<Mutex<HashMap<Digest, Running>>>,
    tasks: Arc<Tasks>,
}

impl Requests {
    /// Opens what is known of earlier requests. Blocks.
    pub(crate) fn open(
        agency: Arc<Agency>,
        state: Arc<State>,
        tasks: Arc<Tasks>,
    ) -> Result<Self, Error> {
        Ok(Self {
            agency,
            book: Arc::new(Book::open(state)?),
            running: Arc::default(),
            tasks,
        })
    }

    /// Forgets what is too old, again and again.
    pub(crate) fn keep_tidy(&self) {
        let own = self.clone();
        self.tasks.spawn(own.sweep());
    }

    async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let book = self.book.clone();
            // A lost sweep is made up for by the next.
            let _ = tokio::task::spawn_blocking(move || book.sweep()).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Digest, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request under its id; `content` is all of it but the id.
    pub(crate) async fn answer(
        &self,
        id: &str,
        content: &wire::QueryReportRequest,
        ask: Ask,
        patience: Option<Duration>,
    ) -> Answer {
        let until = patience.map(|patience| Instant::now() + patience.saturating_sub(HEAD_START));
        let acting = self.agency.acting(&ask.user)?;
        let (id, content) = (sm3(id.as_bytes()), sm3(&content.encode_to_vec()));
        let mut running = self.begun(id, content, ask, acting)?;
        let answered = async {
            match running.answer.wait_for(Option::is_some).await {
                Ok(answer) => answer.clone(),
                Err(_) => None,
            }
        };
        let answer = match until {
            None => answered.await,
            Some(until) => match tokio::time::timeout_at(until.into(), answered).await {
                Ok(answer) => answer,
                Err(_) => {
                    let fault = Fault::new(Reason::Deadline)
                        .because("the request goes on; ask again under the same id");
                    return Err(fault.status());
                }
            },
        };
        answer.unwrap_or_else(|| Err(Fault::new(Reason::Internal).status()))
    }

    /// The request that is under way under this id, begun now if there is none.
    fn begun(
        &self,
        id: Digest,
        content: Digest,
        ask: Ask,
        acting: Acting,
    ) -> Result<Running, Fault> {
        let mut all = self.running();
        if let Some(running) = all.get(&id) {
            return match running.content == content {
                true => Ok(running.clone()),
                false => Err(Fault::new(Reason::RequestIdReused)),
            };
        }
        let known = self.book.known(&id);
        if known.as_ref().is_some_and(|known| known.content != content) {
            return Err(Fault::new(Reason::RequestIdReused));
        }
        let (tell, answer) = watch::channel(None);
        let running = Running { content, answer };
        all.insert(id, running.clone());
        let own = self.clone();
        // It goes on when the application hangs up: its answer is asked for again.
        let carrying = async move {
            let answer = own.carried_out(id, content, known, &ask, &acting).await;
            own.running().remove(&id);
            tell.send_replace(Some(answer));
        };
        self.tasks.spawn(carrying);
        Ok(running)
    }

    async fn carried_out(
        &self,
        id: Digest,
        content: Digest,
        known: Option<Known>,
        ask: &Ask,
        acting: &Acting,
    ) -> Answer {
        if let Some(known) = &known
            && known.ended
        {
            let book = self.book.clone();
            return match blocking(move || book.given(&id)).await? {
                Some(Given::Report(report)) => Ok(*report),
                Some(Given::Refusal(status)) => Err(status),
                None => Err(Fault::new(Reason::AnswerGone)
                    .with("order", known.order)
                    .status()),
            };
        }
        let kept = known.and_then(|known| Ordered::decode(&known.signed));
        let ordering = Ordering {
            agency: &self.agency,
            acting,
            ask,
            of_job: false,
        };
        let keep = |ordered: &Ordered| {
            let (book, order, bytes) = (self.book.clone(), ordered.id, ordered.encode());
            blocking(move || book.ordered(id, content, order, bytes)).boxed()
        };
        let mut held = Vec::new();
        let given = match ordering.place(kept, keep).await {
            Ok(placement) => {
                let until = Instant::now() + xinqiao_rpc::MAX_DEADLINE;
                let report = ordering.gather(placement, until, Some(&mut held)).await?;
                Given::Report(Box::new(report))
            }
            Err(status) if on_record(&status) => Given::Refusal(status),
            Err(status) => return Err(status),
        };
        let (book, kept) = (self.book.clone(), given.clone());
        blocking(move || book.answered(id, &kept)).await?;
        self.confirm(acting, held).await;
        match given {
            Given::Report(report) => Ok(*report),
            Given::Refusal(status) => Err(status),
        }
    }

    async fn confirm(&self, acting: &Acting, held: Vec<(PartRef, Verdict)>) {
        for (part, verdict) in held {
            let verdicts = &self.agency.fetching.verdicts;
            verdicts.record(acting.clone(), part, verdict).await;
        }
    }
}

/// Whether a refusal stands on the ledger under the order's own id: then it is the answer for good.
pub(crate) fn on_record(status: &Status) -> bool {
    let view = FaultView::from_status(status);
    // A transaction of which it is not known whether it took effect is named in the same way.
    let undecided = matches!(view.reason, Some(Reason::TxReplayed | Reason::TxNotFound));
    view.metadata.contains_key("tx_id") && !undecided && !view.is_transient()
}

/// What reads and writes the disk, on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(done) => done,
        Err(lost) => {
            tracing::error!(%lost, "work on the state folder was lost");
            Err(Fault::new(Reason::Internal).status())
        }
    }
}
