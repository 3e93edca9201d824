//! Registering a source's digests: what changed since last time, in signed batches.
//!
//! ```text
//!   scan ──chunks──▶ digest, compare with the replica ──▶ batches ──▶ sign, hand in ──▶ final here
//!   (one thread)     (as many threads as there are)        (in order, several at once)     │
//!                                                                     checkpoint ◀─────────┘
//! ```
//!
//! The ledger itself says what is registered, so a run that is repeated registers nothing twice; the
//! checkpoint only spares an interrupted run from scanning again what it had done. Subjects that the
//! source no longer has are withdrawn at the end. Bad rows are written to a report, counted, and stop
//! nothing.

mod checkpoint;
mod chunk;
mod settle;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesOrdered};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinHandle};
use xinqiao_contracts::{
    query,
    record::{DigestEntry, KeyOwner, KeyState, SourceRecord, SourceState},
    table::DIGESTS,
};
use xinqiao_data_adapters::Checkpoint;
use xinqiao_ledger::{
    ids::{OrgId, SourceId, Subject},
    member::KeyRole,
    outcome::{Event, Outcome, Reason},
    wire::{self, tx_body::Action},
};
use xinqiao_node::Replica;

use crate::{
    codes::{self, CodeBook},
    config::Keys,
    error::Error,
    holding::Holding,
};
use checkpoint::{Journal, Mark};
use chunk::{Chunk, Digested};
use settle::Settler;

/// Chunks that are digested at once.
const DIGESTED_AT_ONCE: usize = 3;

/// Digest entries read at a time when vanished subjects are looked for.
const PAGE: usize = 10_000;

/// How a run goes about it.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Digests of one transaction, about. 1 to 1,400.
    pub batch: usize,
    /// Transactions that wait for their end at once.
    pub in_flight: usize,
    /// How long one transaction may take.
    pub patience: Duration,
    /// Withdraw even when more than half of what is registered has vanished from the source.
    pub withdraw_most: bool,
    /// Shows how far it is; [`progress_bar`] makes one that hides where nobody looks.
    pub progress: ProgressBar,
    /// Subjects registered a second at most; as fast as the chain takes them if none.
    pub per_second: Option<NonZeroU32>,
}

impl Default for SyncOptions {
    /// Batches of a thousand, eight at once, a minute for each.
    fn default() -> Self {
        Self {
            batch: 1_000,
            in_flight: 8,
            patience: Duration::from_secs(60),
            withdraw_most: false,
            progress: ProgressBar::hidden(),
            per_second: None,
        }
    }
}

/// A progress bar for one source, on standard error; it hides where that is no terminal.
pub fn progress_bar(holding: &Holding) -> ProgressBar {
    let description = holding.adapter().describe();
    let bad: u64 = description
        .bad_rows
        .iter()
        .flat_map(|rows| rows.values())
        .sum();
    let bar = match description.subjects {
        Some(subjects) => ProgressBar::new(subjects + bad),
        None => ProgressBar::no_length(),
    };
    let style = ProgressStyle::with_template(
        "{prefix:24} {bar:30} {pos}/{len} rows  {per_sec}  {elapsed}  {msg}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(holding.id().to_string());
    bar
}

/// What a run came to. After an interruption it counts what was done before as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReport {
    /// Subjects with a good row.
    pub subjects: u64,
    /// Items of these.
    pub items: u64,
    /// Subjects registered for the first time.
    pub registered: u64,
    /// Subjects whose digest was superseded.
    pub superseded: u64,
    /// Subjects whose digest is registered as it is.
    pub unchanged: u64,
    /// Subjects withdrawn, because the source no longer has them.
    pub withdrawn: u64,
    /// Subjects left as registered, because the source's as-of date lies before the registered one.
    pub older: u64,
    /// Rows that give no record.
    pub bad_rows: u64,
    /// Values that were left out because they could not be read.
    pub warnings: u64,
    /// Transactions that took effect.
    pub transactions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How long a thread was reading the source.
    pub reading: Duration,
    /// How long threads were digesting and comparing, all together.
    pub digesting: Duration,
    /// Where bad rows are listed; none when there are none.
    pub bad_rows_file: Option<PathBuf>,
}

/// Registers and withdraws digests of a bureau's sources.
#[derive(Clone)]
pub struct Registrar {
    replica: Replica,
    org: OrgId,
    keys: Keys,
}

impl std::fmt::Debug for Registrar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Registrar({})", self.org)
    }
}

impl Registrar {
    /// A registrar of the organisation that these keys belong to.
    pub fn new(replica: Replica, org: OrgId, keys: Keys) -> Self {
        Self { replica, org, keys }
    }

    /// Brings the ledger in line with the source. Registers and activates the source first, if need
    /// be and an admin key is there.
    ///
    /// # Errors
    /// When the source cannot be read or is not fit, or a transaction is rejected or finds no end.
    /// What was registered until then stays, and the next run goes on from there.
    pub async fn sync(
        &self,
        holding: &Arc<Holding>,
        options: &SyncOptions,
    ) -> Result<SyncReport, Error> {
        let start = Instant::now();
        self.caught_up().await;
        self.check_key()?;
        let source = self.in_service(holding, options).await?;
        let mut run = Run::open(self, holding, options, source).await?;
        run.register().await?;
        run.withdraw_vanished().await?;
        let mut report = run.finish()?;
        report.elapsed += start.elapsed();
        options.progress.finish_with_message("done");
        tracing::info!(source = %holding.id(), subjects = report.subjects, registered = report.registered,
            superseded = report.superseded, unchanged = report.unchanged, withdrawn = report.withdrawn,
            bad_rows = report.bad_rows, "a source's digests are registered");
        Ok(report)
    }

    /// Waits while the replica catches up: what it does not know yet would be registered again.
    async fn caught_up(&self) {
        const LOOK: Duration = Duration::from_millis(200);
        const RECENT_MS: u64 = 10_000;
        loop {
            let before = self.replica.tip();
            tokio::time::sleep(LOOK).await;
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64);
            let tip = self.replica.tip();
            if tip.height == before.height || tip.time.saturating_add(RECENT_MS) > now {
                return;
            }
        }
    }

    fn check_key(&self) -> Result<(), Error> {
        let known = query::key(&self.replica.state(), &self.keys.holder.public().id())?;
        let fits = known.is_some_and(|record| {
            let owner = KeyOwner::Member {
                org: self.org.clone(),
                role: KeyRole::Holder,
            };
            record.owner == owner && record.state == KeyState::Valid
        });
        if fits {
            Ok(())
        } else {
            Err(Error::KeyNotRegistered(self.org.clone()))
        }
    }

    fn source(&self, id: &SourceId) -> Result<Option<SourceRecord>, Error> {
        Ok(query::source(&self.replica.state(), id)?)
    }

    /// The source as it is on the ledger, in service.
    async fn in_service(
        &self,
        holding: &Holding,
        options: &SyncOptions,
    ) -> Result<SourceRecord, Error> {
        let id = holding.id();
        if self.source(id)?.is_none() {
            let Some(admin) = &self.keys.admin else {
                return Err(Error::SourceNotRegistered(id.clone()));
            };
            let action = Action::RegisterSource(wire::RegisterSource {
                source: Some(wire::DataSource {
                    source: id.to_string(),
                    operator: self.org.to_string(),
                    name: holding.name().to_owned(),
                    items: holding.items().iter().map(ToString::to_string).collect(),
                }),
            });
            let settler = Settler::new(&self.replica, admin, options.patience);
            settler.settle("source registration", action).await?;
        }
        let registered = |record: &Option<SourceRecord>| matches!(record, Some(record) if record.state == SourceState::Registered);
        if registered(&self.source(id)?) {
            let Some(admin) = &self.keys.admin else {
                return Err(Error::SourceNotActive(id.clone()));
            };
            let action = Action::ActivateSource(wire::ActivateSource {
                source: id.to_string(),
            });
            let settler = Settler::new(&self.replica, admin, options.patience);
            settler.settle("source activation", action).await?;
        }
        let unfit = |why: String| Error::SourceUnfit {
            source_id: id.clone(),
            why,
        };
        let record = self
            .source(id)?
            .ok_or_else(|| unfit("it is not on the ledger".to_owned()))?;
        if record.source.operator != self.org {
            return Err(unfit(format!("it belongs to {}", record.source.operator)));
        }
        if record.state != SourceState::Active {
            return Err(unfit(format!("it is {:?}", record.state).to_lowercase()));
        }
        if let Some(item) =
            (holding.items().iter()).find(|item| record.source.items.binary_search(item).is_err())
        {
            return Err(unfit(format!(
                "its mapping gives item {item}, which the source did not declare on the ledger"
            )));
        }
        Ok(record)
    }
}

/// One run over one source.
struct Run<'a> {
    registrar: &'a Registrar,
    holding: &'a Arc<Holding>,
    options: &'a SyncOptions,
    source: Arc<SourceRecord>,
    settler: Settler,
    journal: Journal,
    report: SyncReport,
    /// When the last batch goes, where their pace is limited.
    last_batch: tokio::time::Instant,
    from: Option<Checkpoint>,
}

/// A batch under way: what it counts once it is final.
struct Settled {
    outcome: Outcome,
    bytes: u64,
    mark: Mark,
}

impl<'a> Run<'a> {
    async fn open(
        registrar: &'a Registrar,
        holding: &'a Arc<Holding>,
        options: &'a SyncOptions,
        source: SourceRecord,
    ) -> Result<Run<'a>, Error> {
        let (journal, resumed) = Journal::open(holding.state_dir(), holding.id())?;
        let settler = Settler::new(&registrar.replica, &registrar.keys.holder, options.patience);
        let mut run = Self {
            registrar,
            holding,
            options,
            source: Arc::new(source),
            settler,
            journal,
            report: SyncReport::default(),
            last_batch: tokio::time::Instant::now(),
            from: None,
        };
        if let Some(mark) = resumed {
            let from = mark.after.parse::<Checkpoint>().ok();
            // A checkpoint of other data is refused: then all is scanned again.
            let still = from.filter(|from| holding.adapter().scan(Some(from)).is_ok());
            if let Some(from) = still {
                run.report = mark.report;
                tracing::info!(source = %holding.id(), subjects = run.report.subjects, "an interrupted run is resumed");
                run.from = Some(from);
                options
                    .progress
                    .set_position(run.report.subjects + run.report.bad_rows);
            } else {
                run.journal.start_over()?;
            }
        }
        Ok(run)
    }

    /// Scans, digests, compares, and registers what differs.
    async fn register(&mut self) -> Result<(), Error> {
        let (sender, mut receiver) = mpsc::channel(DIGESTED_AT_ONCE);
        let scan = {
            let (holding, from) = (Arc::clone(self.holding), self.from.clone());
            tokio::task::spawn_blocking(move || chunk::scan(&holding, from.as_ref(), &sender))
        };
        let chunks = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        let (replica, holding, source) = (
            self.registrar.replica.clone(),
            Arc::clone(self.holding),
            Arc::clone(&self.source),
        );
        let digested = chunks
            .map(move |chunk: Chunk| {
                let (replica, holding, source) =
                    (replica.clone(), Arc::clone(&holding), Arc::clone(&source));
                tokio::task::spawn_blocking(move || {
                    chunk::digest(&replica, &holding, &source, chunk)
                })
            })
            .buffered(DIGESTED_AT_ONCE);
        tokio::pin!(digested);

        let mut entries = Vec::new();
        let mut flying = FuturesOrdered::new();
        let mut scanned = false;
        // Batches run only while this does: a run that is dropped leaves nothing behind that would
        // hold on to the replica.
        while !scanned || !flying.is_empty() {
            tokio::select! {
                biased;
                Some(settled) = flying.next(), if !flying.is_empty() => self.settled(settled?)?,
                chunk = digested.next(), if !scanned && flying.len() < self.options.in_flight => {
                    let Some(chunk) = chunk else {
                        scanned = true;
                        if let (false, Some(mark)) = (entries.is_empty(), self.journal.pending.take()) {
                            flying.push_back(self.batch(std::mem::take(&mut entries), mark));
                        }
                        continue;
                    };
                    let mark = self.count(chunk??, &mut entries)?;
                    if entries.len() >= self.options.batch {
                        flying.push_back(self.batch(std::mem::take(&mut entries), mark));
                    } else if entries.is_empty() && flying.is_empty() {
                        self.journal.mark(mark, &self.report)?;
                    } else {
                        self.journal.pending = Some(mark);
                    }
                }
            }
        }
        scan.await??;
        Ok(())
    }

    /// Counts a chunk, writes down what it saw, and gives the mark that stands for it.
    fn count(
        &mut self,
        chunk: Digested,
        entries: &mut Vec<wire::DigestEntry>,
    ) -> Result<Mark, Error> {
        let report = &mut self.report;
        report.subjects += chunk.subjects.len() as u64;
        report.items += chunk.items;
        report.unchanged += chunk.unchanged;
        report.older += chunk.older;
        report.bad_rows += chunk.bad_rows.len() as u64;
        report.warnings += chunk.warnings;
        report.reading += chunk.reading;
        report.digesting += chunk.digesting;
        self.options
            .progress
            .inc((chunk.subjects.len() + chunk.bad_rows.len()) as u64);
        self.journal.bad_rows(&chunk.bad_rows)?;
        self.journal.seen(&chunk.subjects)?;
        entries.extend(chunk.changed);
        Ok(self.journal.mark_here(&chunk.after, report))
    }

    /// One batch, from signing to its end on the replica.
    fn batch(
        &mut self,
        mut entries: Vec<wire::DigestEntry>,
        mark: Mark,
    ) -> impl Future<Output = Result<Settled, Error>> + use<> {
        let goes = self.paced(entries.len());
        entries.sort_by(|left, right| left.subject.cmp(&right.subject));
        let action = Action::RegisterDigests(wire::RegisterDigests {
            source: self.source.source.source.to_string(),
            items: (self.source.source.items.iter())
                .map(ToString::to_string)
                .collect(),
            entries,
        });
        let settler = self.settler.clone();
        async move {
            if let Some(goes) = goes {
                tokio::time::sleep_until(goes).await;
            }
            let (outcome, bytes) = settler.settle("digest batch", action).await?;
            Ok(Settled {
                outcome,
                bytes,
                mark,
            })
        }
    }

    /// When a batch of so many subjects may go: once the time that it stands for has passed.
    fn paced(&mut self, subjects: usize) -> Option<tokio::time::Instant> {
        let per_second = f64::from(self.options.per_second?.get());
        let takes = Duration::from_secs_f64(subjects as f64 / per_second);
        self.last_batch = self.last_batch.max(tokio::time::Instant::now()) + takes;
        Some(self.last_batch)
    }

    fn settled(&mut self, settled: Settled) -> Result<(), Error> {
        self.report.transactions += 1;
        self.report.bytes += settled.bytes;
        if let Outcome::Applied(events) = &settled.outcome {
            for event in events {
                if let Event::DigestsChanged(changed) = event {
                    self.report.registered += u64::from(changed.registered);
                    self.report.superseded += u64::from(changed.superseded);
                    self.report.withdrawn += u64::from(changed.withdrawn);
                }
            }
        }
        let done = self.report.registered + self.report.superseded;
        self.options
            .progress
            .set_message(format!("{done} registered"));
        self.journal.mark(settled.mark, &self.report)
    }

    /// Withdraws what is registered and was not seen, and has the source's list of codes from then on.
    async fn withdraw_vanished(&mut self) -> Result<(), Error> {
        let (seen, count) = self.journal.all_seen()?;
        let path = self.holding.codes_path();
        let book = tokio::task::spawn_blocking(move || codes::build(&seen, count, &path));
        let book = Arc::new(book.await??);
        let registered = self
            .registrar
            .source(self.holding.id())?
            .map_or(0, |record| record.subjects);
        // If every subject seen is registered now, nothing else can be.
        if registered > book.count() || self.report.older > 0 {
            self.withdraw(&book, registered).await?;
        }
        self.holding.know(book);
        Ok(())
    }

    async fn withdraw(&mut self, book: &Arc<CodeBook>, registered: u64) -> Result<(), Error> {
        // The walk is made twice, first to count: there may be more than memory should hold.
        let mut count = 0_u64;
        let (mut vanished, walk) = self.vanished(book);
        while let Some(subjects) = vanished.recv().await {
            count += subjects.len() as u64;
        }
        walk.await??;
        if count * 2 > registered && !self.options.withdraw_most {
            return Err(Error::SourceUnfit {
                source_id: self.holding.id().clone(),
                why: format!(
                    "{count} of its {registered} registered subjects are gone from the data; \
                     if that is right, ask for them to be withdrawn"
                ),
            });
        }
        let (mut vanished, walk) = self.vanished(book);
        while let Some(subjects) = vanished.recv().await {
            let action = Action::WithdrawDigests(wire::WithdrawDigests {
                source: self.holding.id().to_string(),
                subjects: subjects.iter().map(Subject::to_vec).collect(),
            });
            match self.settler.settle("digest withdrawal", action).await {
                Ok((_, bytes)) => {
                    self.report.transactions += 1;
                    self.report.bytes += bytes;
                    self.report.withdrawn += subjects.len() as u64;
                }
                // Another run was there first.
                Err(Error::Rejected {
                    reason: Reason::DigestNotFound,
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        walk.await?
    }

    /// Batches of subjects that are registered and not in the list, and the walk that finds them.
    fn vanished(
        &self,
        book: &Arc<CodeBook>,
    ) -> (mpsc::Receiver<Vec<Subject>>, JoinHandle<Result<(), Error>>) {
        let (found, vanished) = mpsc::channel(1);
        let (replica, number) = (self.registrar.replica.clone(), self.source.number);
        let (book, batch) = (Arc::clone(book), self.options.batch);
        let walk = move || find_vanished(&replica, number, &book, batch, &found);
        (vanished, tokio::task::spawn_blocking(walk))
    }

    fn finish(mut self) -> Result<SyncReport, Error> {
        self.report.bad_rows_file = self
            .journal
            .finish(self.report.bad_rows > 0)?
            .map(Path::to_path_buf);
        Ok(self.report)
    }
}

/// Walks over all digests and the list beside each other, for both are in ascending order of subjects; sends
/// those that are registered and not in the list. Blocks.
fn find_vanished(
    replica: &Replica,
    number: u32,
    book: &CodeBook,
    batch: usize,
    found: &mpsc::Sender<Vec<Subject>>,
) -> Result<(), Error> {
    let state = replica.state();
    let mut listed = book.subjects()?;
    let mut next = listed.next().transpose()?;
    let mut vanished = Vec::new();
    let mut page = DIGESTS.first(&state, PAGE)?;
    while let Some((last, _)) = page.last() {
        let last = *last;
        for ((subject, source), entry) in page {
            if source != number || !matches!(entry, DigestEntry::Registered(_)) {
                continue;
            }
            while next.is_some_and(|next| next < subject) {
                next = listed.next().transpose()?;
            }
            if next == Some(subject) {
                continue;
            }
            vanished.push(subject);
            if vanished.len() >= batch
                && found.blocking_send(std::mem::take(&mut vanished)).is_err()
            {
                // The run has ended; its own error says why.
                return Ok(());
            }
        }
        page = DIGESTS.after(&state, &last, PAGE)?;
    }
    if !vanished.is_empty() {
        let _ = found.blocking_send(vanished);
    }
    Ok(())
}
