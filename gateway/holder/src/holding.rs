//! One source as this node holds it: its adapter, its salt key, and which code is behind a pseudonym.
//!
//! Orders name subjects by pseudonym, adapters want plain codes; the way back is the source's list of codes
//! (`crate::codes`), which registering its digests makes, and which is made by a scan where there is none.

use std::{
    fs,
    io::{BufWriter, Write},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use xinqiao_data_adapters::{FetchError, Mapping, OpenOptions, Source, SubjectRecord, open_with};
use xinqiao_dispatch::{delivery::Record, turn::Post};
use xinqiao_ledger::{
    ids::{ItemCode, SourceId, Subject},
    item::{DigestedReport, PseudonymKey, SaltKey},
    order::PartRejection,
    uscc::Uscc,
};

use crate::{
    codes::{self, CodeBook},
    config::SourceConfig,
    error::Error,
};

/// Codes whose pseudonyms are made together.
const CODES_AT_ONCE: usize = 500;

/// Data that changed underneath is read anew at most this often.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// A source that was opened.
pub struct Holding {
    id: SourceId,
    name: String,
    post: Post,
    /// What the mapping can give, ascending.
    items: Vec<ItemCode>,
    adapter: Box<dyn Source>,
    salt: SaltKey,
    pseudonym: PseudonymKey,
    /// Where its lists and checkpoints are kept.
    state_dir: PathBuf,
    /// None until it is first needed.
    codes: RwLock<Option<Arc<CodeBook>>>,
    /// One refresh at a time; when the last one was.
    refreshed: Mutex<Option<Instant>>,
    /// Places for reading one record; none if there is no bound.
    places: Option<Semaphore>,
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Holding({})", self.id)
    }
}

impl Holding {
    /// Opens a source; `state_dir` is where the node keeps lists and checkpoints, and is made if it is missing.
    /// Blocks.
    ///
    /// # Errors
    /// When its mapping, its data or its list of codes cannot be read.
    pub fn open(
        config: &SourceConfig,
        pseudonym: &PseudonymKey,
        state_dir: &Path,
    ) -> Result<Self, Error> {
        let fault = |fault| Error::Source {
            source_id: config.source.clone(),
            fault,
        };
        let mapping = Mapping::read(&config.mapping).map_err(fault)?;
        let items = mapping
            .items
            .iter()
            .map(|item| ItemCode::parse("item.code", &item.code))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| Error::Mapping {
                source_id: config.source.clone(),
                fault,
            })?;
        let options = OpenOptions {
            checkpoint_key: Some(config.salt_key.checkpoint_key()),
        };
        let holding = Self::with_source(
            config.source.clone(),
            config.name.clone(),
            items,
            open_with(mapping, &options).map_err(fault)?,
            config.salt_key.clone(),
            pseudonym.clone(),
            state_dir,
        )?;
        let holding = Self {
            post: config.post,
            ..holding
        };
        Ok(match config.max_concurrent {
            Some(most) => holding.at_once(most),
            None => holding,
        })
    }

    /// The same, with at most so many records read at once.
    #[must_use]
    pub fn at_once(self, most: NonZeroU32) -> Self {
        let places = Some(Semaphore::new(most.get() as usize));
        Self { places, ..self }
    }

    /// A source that is open already, with what it can give; as [`Holding::open`] for the rest. Blocks.
    ///
    /// # Errors
    /// When its list of codes cannot be read.
    pub fn with_source(
        id: SourceId,
        name: String,
        mut items: Vec<ItemCode>,
        adapter: Box<dyn Source>,
        salt: SaltKey,
        pseudonym: PseudonymKey,
        state_dir: &Path,
    ) -> Result<Self, Error> {
        items.sort();
        fs::create_dir_all(state_dir).map_err(Error::file(state_dir))?;
        let codes = CodeBook::open(&codes_path(state_dir, &id))?;
        Ok(Self {
            id,
            name,
            items,
            adapter,
            salt,
            pseudonym,
            state_dir: state_dir.to_owned(),
            codes: RwLock::new(codes.map(Arc::new)),
            refreshed: Mutex::new(None),
            post: Post::ALONE,
            places: None,
        })
    }

    /// Its id on the ledger.
    pub fn id(&self) -> &SourceId {
        &self.id
    }

    /// This node's place among those that serve it.
    pub fn post(&self) -> Post {
        self.post
    }

    /// Its name, as this node registers it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Codes of the items that its mapping can give, ascending.
    pub fn items(&self) -> &[ItemCode] {
        &self.items
    }

    pub(crate) fn adapter(&self) -> &dyn Source {
        self.adapter.as_ref()
    }

    /// The pseudonyms of codes.
    pub(crate) fn subjects<'a>(&self, codes: impl IntoIterator<Item = &'a Uscc>) -> Vec<Subject> {
        self.pseudonym.subjects(codes)
    }

    /// Digests records; none for one that has no items that the ledger could hold.
    pub(crate) fn digest(
        &self,
        subjects: &[Subject],
        records: impl IntoIterator<Item = SubjectRecord>,
    ) -> Vec<Option<Record>> {
        let coded = |record: SubjectRecord| {
            let items = record.items.into_iter();
            items
                .map(|item| Some((self.code(&item.code)?, item.canonical)))
                .collect::<Option<Vec<_>>>()
                .unwrap_or_default()
        };
        let records: Vec<Vec<(ItemCode, Vec<u8>)>> = records.into_iter().map(coded).collect();
        let borrowed = (subjects.iter().zip(&records)).map(|(subject, items)| {
            let items = items.iter();
            let items = items.map(|(code, canonical)| (code, canonical.as_slice()));
            (*subject, items.collect())
        });
        let reports = DigestedReport::each(&self.salt, borrowed.collect());
        (reports.into_iter().zip(records))
            .map(|(report, items)| report.map(|report| Record { report, items }))
            .collect()
    }

    /// The item code of a text. Nearly always it is one of the mapping's, which was parsed before.
    fn code(&self, text: &str) -> Option<ItemCode> {
        let known = self.items.iter().find(|code| code.as_str() == text);
        known.cloned().or_else(|| text.parse().ok())
    }

    /// Where its lists and checkpoints are kept.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Where its list of codes is.
    pub(crate) fn codes_path(&self) -> PathBuf {
        codes_path(&self.state_dir, &self.id)
    }

    /// The records of subjects in the list of codes.
    pub(crate) fn codes<'a>(
        &self,
        subjects: &[Subject],
        codes: impl IntoIterator<Item = &'a Uscc>,
    ) -> Vec<codes::Record> {
        codes::records(subjects, codes, &self.salt)
    }

    /// The list of a scan that saw all of the source.
    pub(crate) fn know(&self, codes: Arc<CodeBook>) {
        *self.codes.write().unwrap_or_else(PoisonError::into_inner) = Some(codes);
    }

    fn known(&self) -> Option<Arc<CodeBook>> {
        self.codes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads all codes. Blocks.
    pub(crate) fn read_codes(&self) -> Result<(), Error> {
        let fault = |fault| Error::Source {
            source_id: self.id.clone(),
            fault,
        };
        let seen = self.state_dir.join(format!("{}.codes-seen", self.id));
        let failed = || Error::file(&seen);
        let mut file = BufWriter::new(fs::File::create(&seen).map_err(failed())?);
        let mut count = 0;
        let mut keep = |codes: &mut Vec<Uscc>| {
            count += codes.len() as u64;
            let subjects = self.subjects(&*codes);
            let records = self.codes(&subjects, &*codes);
            codes.clear();
            (records.iter()).try_for_each(|record| file.write_all(record).map_err(failed()))
        };
        let mut codes = Vec::with_capacity(CODES_AT_ONCE);
        for row in self.adapter.scan(None).map_err(fault)? {
            if let Ok(record) = row.map_err(fault)?.row {
                codes.push(record.uscc);
                if codes.len() == CODES_AT_ONCE {
                    keep(&mut codes)?;
                }
            }
        }
        keep(&mut codes)?;
        file.flush().map_err(failed())?;
        self.know(Arc::new(codes::build(&seen, count, &self.codes_path())?));
        fs::remove_file(&seen).map_err(failed())
    }

    /// Waits for a place to read one record, where there is a bound; it lasts until it is dropped. Waiting is not
    /// the source's fault, so it does not count as its time.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        match &self.places {
            Some(places) => places.acquire().await.ok(),
            None => None,
        }
    }

    /// The subject's record as the source has it now, digested; or why there is none.
    ///
    /// # Errors
    /// [`PartRejection::RecordNotFound`], or [`PartRejection::SourceUnavailable`] when the source
    /// does not answer in time.
    pub async fn record(
        self: &Arc<Self>,
        subject: &Subject,
        patience: Duration,
    ) -> Result<Record, PartRejection> {
        let read = tokio::time::timeout(patience, self.read(subject));
        let record = read.await.map_err(|_| {
            tracing::warn!(source = %self.id, ?patience, "the source did not answer in time");
            PartRejection::SourceUnavailable
        })??;
        let (this, subject) = (Arc::clone(self), *subject);
        tokio::task::spawn_blocking(move || this.digest(&[subject], [record]).pop().flatten())
            .await
            .ok()
            .flatten()
            .ok_or(PartRejection::SourceUnavailable)
    }

    async fn read(self: &Arc<Self>, subject: &Subject) -> Result<SubjectRecord, PartRejection> {
        let asked = Instant::now();
        match self.fetch(subject).await {
            // The ledger knows the subject and we do not, or the data moved: ours is the older view.
            Err(fault @ (FetchError::NotFound | FetchError::Changed { .. })) => {
                let changed = matches!(fault, FetchError::Changed { .. });
                self.refresh(asked, changed).await?;
                self.fetch(subject).await
            }
            answer => answer,
        }
        .map_err(|fault| match fault {
            FetchError::NotFound => PartRejection::RecordNotFound,
            // A row that is bad now was good when it was registered, else nobody would ask for it.
            FetchError::Changed { .. }
            | FetchError::Unavailable(_)
            | FetchError::Bad { .. }
            | FetchError::Schema(_)
            | FetchError::Bomb(_) => {
                tracing::warn!(source = %self.id, %fault, "the source cannot be read");
                PartRejection::SourceUnavailable
            }
        })
    }

    async fn fetch(&self, subject: &Subject) -> Result<SubjectRecord, FetchError> {
        let codes = self.known().ok_or(FetchError::NotFound)?;
        let found = codes.find(subject, &self.salt, &self.pseudonym);
        let uscc = found.map_err(|fault| FetchError::Unavailable(fault.to_string()))?;
        self.adapter.fetch(&uscc.ok_or(FetchError::NotFound)?).await
    }

    /// Reads the codes before anyone asks for one: on a large source that takes longer than a caller
    /// waits.
    pub(crate) async fn warm_up(self: Arc<Self>) {
        if self.known().is_some() {
            return;
        }
        // What fails here is tried again, and told, when the first part is ordered.
        let _ = self.refresh(Instant::now(), false).await;
    }

    /// Reads data that changed anew, unless that was done since `asked`; for a subject that is merely
    /// not there, unless it was done a moment ago.
    async fn refresh(self: &Arc<Self>, asked: Instant, changed: bool) -> Result<(), PartRejection> {
        let mut last = self.refreshed.lock().await;
        if self.known().is_some()
            && last
                .is_some_and(|last| last >= asked || (!changed && last.elapsed() < REFRESH_PAUSE))
        {
            return Ok(());
        }
        let this = Arc::clone(self);
        // A scan from the start takes note of changed data by itself.
        let read = tokio::task::spawn_blocking(move || this.read_codes()).await;
        *last = Some(Instant::now());
        match read {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(source = %self.id, %error, "the source cannot be read");
                Err(PartRejection::SourceUnavailable)
            }
            Err(_) => Err(PartRejection::SourceUnavailable),
        }
    }
}

fn codes_path(state_dir: &Path, source: &SourceId) -> PathBuf {
    state_dir.join(format!("{source}.codes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use xinqiao_data_adapters::{Checkpoint, Description, Fetching, Scan};

    /// A source that has nothing.
    struct Nothing;

    impl Source for Nothing {
        fn describe(&self) -> Description {
            Description {
                name: "nothing".into(),
                kind: "nothing",
                subjects: Some(0),
                bad_rows: None,
                items: Vec::new(),
            }
        }

        fn fetch<'a>(&'a self, _: &Uscc) -> Fetching<'a> {
            Box::pin(async { Err(FetchError::NotFound) })
        }

        fn scan(&self, _: Option<&Checkpoint>) -> Result<Scan, xinqiao_data_adapters::Error> {
            Ok(Box::new(std::iter::empty()))
        }

        fn refresh(&self) -> Result<(), xinqiao_data_adapters::Error> {
            Ok(())
        }
    }

    #[test]
    fn no_more_records_are_read_at_once_than_the_source_bears() {
        let dir = tempfile::tempdir().unwrap();
        let holding = Holding::with_source(
            "a".parse().unwrap(),
            "a".into(),
            Vec::new(),
            Box::new(Nothing),
            SaltKey::from([1; 32]),
            PseudonymKey::from([2; 32]),
            dir.path(),
        )
        .unwrap();
        assert!(holding.place().now_or_never().is_some(), "no bound");
        let holding = holding.at_once(NonZeroU32::new(2).unwrap());
        let first = holding.place().now_or_never().unwrap();
        let second = holding.place().now_or_never().unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(holding.place().now_or_never().is_none(), "a third waits");
        drop(first);
        assert!(holding.place().now_or_never().is_some());
    }
}
