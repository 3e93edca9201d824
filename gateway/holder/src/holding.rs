//! One source as this node holds it: its adapter, its salt key, and which code is behind a pseudonym.
//!
//! Orders name subjects by pseudonym, adapters want plain codes, and the way back exists only as a
//! list of all codes with their pseudonyms. It is kept in memory and never written anywhere.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use xinqiao_data_adapters::{FetchError, Mapping, Source, SubjectRecord};
use xinqiao_dispatch::delivery::Record;
use xinqiao_ledger::{
    ids::{ItemCode, SourceId, Subject},
    item::{DigestedReport, PseudonymKey, SaltKey},
    order::PartRejection,
    uscc::Uscc,
};

use crate::{config::SourceConfig, error::Error};

/// Data that changed underneath is read anew at most this often.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// A source that was opened.
pub struct Holding {
    id: SourceId,
    name: String,
    /// What the mapping can give, ascending.
    items: Vec<ItemCode>,
    adapter: Box<dyn Source>,
    salt: SaltKey,
    pseudonym: PseudonymKey,
    /// None until it is first needed.
    codes: RwLock<Option<Arc<Codes>>>,
    /// One refresh at a time; when the last one was.
    refreshed: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Holding({})", self.id)
    }
}

/// Codes by pseudonym: the first eight bytes of a pseudonym, and the code. 26 bytes a subject; the
/// whole pseudonym is computed again when one is looked up.
pub(crate) struct Codes(Vec<(u64, Uscc)>);

impl Codes {
    pub(crate) fn new(mut codes: Vec<(Subject, Uscc)>) -> Self {
        let mut short: Vec<(u64, Uscc)> = codes
            .drain(..)
            .map(|(subject, uscc)| (prefix(&subject), uscc))
            .collect();
        short.sort_unstable();
        Self(short)
    }

    fn find(&self, subject: &Subject, key: &PseudonymKey) -> Option<Uscc> {
        let start = self
            .0
            .partition_point(|(first, _)| *first < prefix(subject));
        self.0[start..]
            .iter()
            .take_while(|(first, _)| *first == prefix(subject))
            .find(|(_, uscc)| key.subject(uscc) == *subject)
            .map(|(_, uscc)| *uscc)
    }
}

fn prefix(subject: &Subject) -> u64 {
    let (first, _) = subject
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("a pseudonym has 32 bytes");
    u64::from_be_bytes(*first)
}

impl Holding {
    /// Opens a source. Blocks.
    ///
    /// # Errors
    /// When its mapping or its data cannot be read.
    pub fn open(config: &SourceConfig, pseudonym: &PseudonymKey) -> Result<Self, Error> {
        let fault = |fault| Error::Source {
            source_id: config.source.clone(),
            fault,
        };
        let mapping = Mapping::read(&config.mapping).map_err(fault)?;
        let mut items = mapping
            .items
            .iter()
            .map(|item| ItemCode::parse("item.code", &item.code))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| Error::Mapping {
                source_id: config.source.clone(),
                fault,
            })?;
        items.sort();
        Ok(Self {
            id: config.source.clone(),
            name: config.name.clone(),
            items,
            adapter: xinqiao_data_adapters::open(mapping).map_err(fault)?,
            salt: config.salt_key.clone(),
            pseudonym: pseudonym.clone(),
            codes: RwLock::new(None),
            refreshed: Mutex::new(None),
        })
    }

    /// Its id on the ledger.
    pub fn id(&self) -> &SourceId {
        &self.id
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

    /// The pseudonym of a record's subject.
    pub(crate) fn subject(&self, record: &SubjectRecord) -> Subject {
        self.pseudonym.subject(&record.uscc)
    }

    /// Digests a record; none when it has no items that the ledger could hold.
    pub(crate) fn digest(&self, subject: &Subject, record: SubjectRecord) -> Option<Record> {
        let items = record
            .items
            .into_iter()
            .map(|item| Some((item.code.parse::<ItemCode>().ok()?, item.canonical)))
            .collect::<Option<Vec<_>>>()?;
        let pairs = items
            .iter()
            .map(|(code, canonical)| (code, canonical.as_slice()));
        let report = DigestedReport::new(&self.salt, subject, pairs)?;
        Some(Record { report, items })
    }

    /// Codes of a scan that saw all of the source.
    pub(crate) fn know(&self, codes: Codes) {
        *self.codes.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(codes));
    }

    fn known(&self) -> Option<Arc<Codes>> {
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
        let mut codes = Vec::new();
        for row in self.adapter.scan(None).map_err(fault)? {
            if let Ok(record) = row.map_err(fault)?.row {
                codes.push((self.subject(&record), record.uscc));
            }
        }
        self.know(Codes::new(codes));
        Ok(())
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
        tokio::task::spawn_blocking(move || this.digest(&subject, record))
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
            FetchError::Changed { .. } | FetchError::Unavailable(_) => {
                tracing::warn!(source = %self.id, %fault, "the source cannot be read");
                PartRejection::SourceUnavailable
            }
        })
    }

    async fn fetch(&self, subject: &Subject) -> Result<SubjectRecord, FetchError> {
        let uscc = self
            .known()
            .and_then(|codes| codes.find(subject, &self.pseudonym))
            .ok_or(FetchError::NotFound)?;
        self.adapter.fetch(&uscc).await
    }

    /// Reads the codes before anyone asks for one: on a large source that takes longer than a caller
    /// waits.
    pub(crate) async fn warm_up(self: Arc<Self>) {
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
