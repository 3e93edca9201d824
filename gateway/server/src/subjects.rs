//! Watching subjects: an institution is told when a digest of a subject changes that has given it consent.
//!
//! ```text
//!   begin: every subject is looked up once, for changes above the height that the caller knows
//!   then:  feed ── a block touched subjects ──▶ those of them that are watched are looked up again
//! ```
//!
//! A look gives the newest registration and whether there is a live grant, both from the region's node at one
//! height. So nothing is missed in between, and of several changes of one digest the newest is told. It tells
//! nothing that is not on the ledger, and that a watch began is not recorded there: the access log is of queries.
//! A watch that is refused is recorded as any other refusal.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream::BoxStream};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::Instant,
};
use tonic::{Request, Response, Status, metadata::MetadataMap};
use xinqiao_decide::{Action as Ask, Permit};
use xinqiao_ledger::{
    ids::{Height, OrgId, Subject},
    malformed::{Malformed, Problem, list},
    wire::{self, DigestChange, subject_service_server::SubjectService},
};
use xinqiao_rpc::{Fault, Reason};

use crate::{
    access::{Door, Gate, Refused},
    fault::passed_on,
    feed::{Feed, Touched},
    node::Node,
    orders::{Trail, handled, malformed},
};

/// The most subjects of one watch.
const MAX_SUBJECTS: usize = 10_000;

/// Subjects of one look at the node.
const AT_ONCE: usize = 1_000;

/// The most changes of one message.
const MAX_CHANGES: usize = 1_000;

/// How often it is said how far everything was told, if there is nothing else to say.
const PROGRESS: Duration = Duration::from_secs(2);

/// Watches of one institution at once.
const MAX_WATCHES: usize = 64;

/// When it is worth another try beyond that.
const AGAIN: Duration = Duration::from_secs(10);

/// Messages that wait for a watcher who is slow.
const AHEAD: usize = 4;

type Told = Result<wire::WatchSubjectsResponse, Status>;

/// The subject service.
#[derive(Clone)]
pub(crate) struct Subjects {
    pub(crate) gate: Arc<Gate>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) node: Node,
    pub(crate) watches: Watches,
}

/// How many watches each institution has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watches(Arc<Mutex<HashMap<OrgId, usize>>>);

impl Watches {
    fn all(&self) -> MutexGuard<'_, HashMap<OrgId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_more(&self, org: &OrgId) -> Result<OneOf, Fault> {
        let mut all = self.all();
        let count = all.entry(org.clone()).or_default();
        if *count >= MAX_WATCHES {
            return Err(Fault::new(Reason::QuotaExceeded)
                .because(format!("{MAX_WATCHES} watches at once"))
                .retry_after(AGAIN));
        }
        *count += 1;
        Ok(OneOf(self.clone(), org.clone()))
    }
}

/// One watch that counts; dropping it ends that.
struct OneOf(Watches, OrgId);

impl Drop for OneOf {
    fn drop(&mut self) {
        let mut all = self.0.all();
        if let Some(count) = all.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.1);
            }
        }
    }
}

impl Subjects {
    async fn watch(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: &wire::WatchSubjectsRequest,
    ) -> Result<BoxStream<'static, Told>, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let subjects = parse(&request.subjects).map_err(malformed)?;
        let permit = self.gate.permit(user, Ask::WatchSubjects, None, None)?;
        let counted = self.watches.one_more(&door.org)?;
        let (to, from) = mpsc::channel(AHEAD);
        let watch = Watch {
            gate: self.gate.clone(),
            node: self.node.clone(),
            door: door.clone(),
            places: (subjects.iter().copied()).zip(0..).collect(),
            subjects,
            through: request.after_height,
            said: Instant::now(),
            to,
            _counted: counted,
        };
        Ok(watch.begin(&permit, &self.feed, from))
    }
}

/// Subjects, each given once.
fn parse(wire: &[Vec<u8>]) -> Result<Vec<Subject>, Malformed> {
    let parse = |at: &str, bytes: &Vec<u8>| Subject::parse(at, bytes);
    let subjects = list("subjects", wire, 1, MAX_SUBJECTS, parse)?;
    let mut seen = BTreeSet::new();
    match subjects.iter().position(|subject| !seen.insert(*subject)) {
        Some(place) => {
            let field = format!("subjects[{place}]");
            Err(Malformed::new(&field, Problem::Format("each subject once")))
        }
        None => Ok(subjects),
    }
}

/// One watch.
struct Watch {
    gate: Arc<Gate>,
    node: Node,
    door: Door,
    subjects: Vec<Subject>,
    /// Places of the subjects.
    places: HashMap<Subject, u32>,
    /// All changes up to this height were told; 0 before the first look of a watch that begins now.
    through: Height,
    /// When something was said last.
    said: Instant,
    to: mpsc::Sender<Told>,
    _counted: OneOf,
}

/// What a look found.
struct Look {
    changes: Vec<wire::SubjectChange>,
    without_grant: Vec<u32>,
    /// The height of which all is known.
    height: Height,
}

impl Watch {
    fn begin(
        self,
        _permit: &Permit,
        feed: &Arc<Feed>,
        mut from: mpsc::Receiver<Told>,
    ) -> BoxStream<'static, Told> {
        // Listening begins before the first look, so that nothing falls between the two.
        let touched = feed.touched();
        tokio::spawn(self.run(touched));
        let told = futures::stream::poll_fn(move |context| from.poll_recv(context));
        Box::pin(told) as std::pin::Pin<Box<dyn Stream<Item = Told> + Send>>
    }

    async fn run(mut self, touched: tokio::sync::broadcast::Receiver<Arc<Touched>>) {
        if let Err(status) = self.watch(touched).await {
            tracing::info!(institution = %self.door.org, code = ?status.code(), "a watch ended");
            // Nobody listens when the agent has gone.
            let _ = self.to.send(Err(status)).await;
        }
    }

    /// Watches until nobody listens.
    async fn watch(
        &mut self,
        mut touched: tokio::sync::broadcast::Receiver<Arc<Touched>>,
    ) -> Result<(), Status> {
        let everyone: BTreeSet<u32> = (0..).zip(&self.subjects).map(|(at, _)| at).collect();
        let found = self.look(&everyone, None).await?;
        if !self.tell(found, true).await {
            return Ok(());
        }
        loop {
            let first = tokio::select! {
                first = touched.recv() => first,
                () = self.to.closed() => return Ok(()),
            };
            let mut wanted = BTreeSet::new();
            let mut height = None;
            let mut next = Some(first);
            while let Some(received) = next {
                match received {
                    Ok(block) => {
                        match &block.subjects {
                            None => wanted.clone_from(&everyone),
                            Some(subjects) => wanted
                                .extend(subjects.iter().filter_map(|one| self.places.get(one))),
                        }
                        height = Some(block.height);
                    }
                    // Blocks were missed, so every subject may have changed.
                    Err(RecvError::Lagged(_)) => {
                        wanted.clone_from(&everyone);
                        height = None;
                    }
                    Err(RecvError::Closed) => {
                        let stopping = Fault::new(Reason::UpstreamUnavailable);
                        return Err(stopping.because("the gateway is stopping").status());
                    }
                }
                next = touched.try_recv().ok().map(Ok);
            }
            if wanted.is_empty() {
                self.through = self.through.max(height.unwrap_or_default());
                if self.said.elapsed() < PROGRESS {
                    continue;
                }
            }
            // The certificate counts for as long as the watch lasts.
            self.gate.still(&self.door).await?;
            let found = self.look(&wanted, height).await?;
            if !self.tell(found, false).await {
                return Ok(());
            }
        }
    }

    /// Looks subjects up for changes above what was told and up to `height`, or to what the node has.
    async fn look(&self, wanted: &BTreeSet<u32>, height: Option<Height>) -> Result<Look, Status> {
        let wanted: Vec<u32> = wanted.iter().copied().collect();
        let mut answers = Vec::new();
        // Of a watch that begins now, only the consents are wanted.
        let after = match (self.through, height) {
            (0, None) => Height::MAX,
            (through, _) => through,
        };
        for chunk in wanted.chunks(AT_ONCE) {
            let subjects = chunk
                .iter()
                .filter_map(|at| self.subjects.get(*at as usize));
            let answer = self.node.digests(subjects, &self.door.org, after).await;
            let answer = answer.map_err(|status| passed_on("node", &status))?;
            answers.push((chunk, answer));
        }
        let heights = answers.iter().map(|(_, answer)| answer.height);
        // What is newer than that is touched by a block that is still to be heard of.
        let height = height.or(heights.min()).unwrap_or(self.through);
        let mut look = Look {
            changes: Vec::new(),
            without_grant: Vec::new(),
            height,
        };
        for (chunk, answer) in answers {
            for (at, subject) in chunk.iter().zip(answer.subjects) {
                if !subject.consented {
                    look.without_grant.push(*at);
                    continue;
                }
                let digests = subject.digests.into_iter();
                let told = digests.filter(|digest| digest.changed_at_height <= height);
                look.changes.extend(told.map(|digest| change(*at, digest)));
            }
        }
        (look.changes).sort_by_key(|change| (change.height, change.entry));
        Ok(look)
    }

    /// Tells what was found; whether anybody listens.
    async fn tell(&mut self, look: Look, first: bool) -> bool {
        self.through = self.through.max(look.height);
        self.said = Instant::now();
        let mut without_grant = if first {
            look.without_grant
        } else {
            Vec::new()
        };
        let mut changes = look.changes;
        loop {
            let rest = changes.split_off(changes.len().min(MAX_CHANGES));
            let message = wire::WatchSubjectsResponse {
                changes,
                through_height: if rest.is_empty() { self.through } else { 0 },
                without_grant: std::mem::take(&mut without_grant),
            };
            if self.to.send(Ok(message)).await.is_err() {
                return false;
            }
            if rest.is_empty() {
                return true;
            }
            changes = rest;
        }
    }
}

fn change(entry: u32, digest: wire::DigestSummary) -> wire::SubjectChange {
    let change = match (digest.withdrawn, digest.version) {
        (true, _) => DigestChange::Withdrawn,
        (false, 0 | 1) => DigestChange::Registered,
        (false, _) => DigestChange::Superseded,
    };
    wire::SubjectChange {
        entry,
        source: digest.source,
        change: change.into(),
        version: digest.version,
        as_of_day: digest.as_of_day,
        height: digest.changed_at_height,
    }
}

#[tonic::async_trait]
impl SubjectService for Subjects {
    type WatchSubjectsStream = BoxStream<'static, Told>;

    async fn watch_subjects(
        &self,
        request: Request<wire::WatchSubjectsRequest>,
    ) -> Result<Response<Self::WatchSubjectsStream>, Status> {
        handled!(self, request, watch, &)
    }
}
