//! What is known of requests, in memory and in the state folder: a journal a day of ids and orders, and a file
//! an answer.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use borsh::{BorshDeserialize, BorshSerialize};
use prost::Message;
use tonic::{Code, Status};
use xinqiao_crypto::Digest;
use xinqiao_ledger::{ids::TxId, wire};
use xinqiao_rpc::{Fault, Reason};

use crate::{
    Error,
    gateway::now_ms,
    journal::Journal,
    state::{State, unusable},
};

const DAY_MS: u64 = 86_400_000;

/// For how many whole days an id is known.
const KNOWN_DAYS: u64 = 8;

/// How long an answer is kept.
const ANSWER_MS: u64 = 3_600_000;

/// The most bytes of answers; the oldest go first.
const MAX_ANSWERS: u64 = 256 << 20;

/// The most ids that are known at once: some 200 bytes each.
const MAX_KNOWN: usize = 1_000_000;

/// What the journals hold.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Record {
    /// An order was signed for a request; the last one counts.
    Ordered {
        id: Digest,
        content: Digest,
        order: TxId,
        signed: Vec<u8>,
    },
    /// Its answer was kept.
    Answered { id: Digest },
}

/// What is known of one request.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Digest of what it asks.
    pub(super) content: Digest,
    /// Its order.
    pub(super) order: TxId,
    /// The order as it was signed; empty once it ended.
    pub(super) signed: Vec<u8>,
    /// Whether it was answered for good.
    pub(super) ended: bool,
    day: u64,
}

/// An answer for good.
#[derive(Debug, Clone)]
pub(super) enum Given {
    Report(Box<wire::QueryReportResponse>),
    Refusal(Status),
}

/// The same on disk.
#[derive(BorshSerialize, BorshDeserialize)]
enum Kept {
    Report(Vec<u8>),
    Refusal {
        code: i32,
        message: String,
        details: Vec<u8>,
    },
}

struct Inner {
    known: HashMap<Digest, Known>,
    /// The journal of the day, and which day that is.
    journal: (u64, Journal),
    /// Answers by their age, with their sizes.
    answers: BTreeMap<(u64, Digest), u64>,
    bytes: u64,
}

/// What is known of requests.
pub(super) struct Book {
    state: Arc<State>,
    inner: Mutex<Inner>,
}

impl Book {
    /// Opens it. Blocks, as everything here does.
    pub(super) fn open(state: Arc<State>) -> Result<Self, Error> {
        let dir = state.folder("requests");
        let fault = |error: io::Error| Error::State {
            dir: dir.clone(),
            why: error.to_string(),
        };
        let today = now_ms() / DAY_MS;
        let mut days: Vec<u64> = fs::read_dir(&dir)
            .map_err(fault)?
            .filter_map(|entry| day_of(&entry.ok()?.file_name().into_string().ok()?))
            .collect();
        days.sort_unstable();
        let mut known = HashMap::new();
        for day in days {
            if day + KNOWN_DAYS < today {
                fs::remove_file(journal_path(&state, day)).map_err(fault)?;
                continue;
            }
            let (_, records) = open_journal(&state, day).map_err(fault)?;
            for record in records {
                take(&mut known, day, record);
            }
        }
        let (journal, _) = open_journal(&state, today).map_err(fault)?;
        let mut inner = Inner {
            known,
            journal: (today, journal),
            answers: BTreeMap::new(),
            bytes: 0,
        };
        for entry in fs::read_dir(state.folder("answers")).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let id = hex::decode(&name)
                .ok()
                .and_then(|bytes| Digest::try_from(bytes.as_slice()).ok());
            let Some(id) = id else {
                // A crash cut it short before it had its name.
                fs::remove_file(entry.path()).map_err(fault)?;
                continue;
            };
            let data = entry.metadata().map_err(fault)?;
            let since = data.modified().map_err(fault)?;
            let since = since.duration_since(std::time::UNIX_EPOCH);
            let since = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
            inner.answers.insert((since, id), data.len());
            inner.bytes += data.len();
            state.count(data.len());
        }
        let book = Self {
            state,
            inner: Mutex::new(inner),
        };
        book.sweep();
        Ok(book)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a request. Does not block for long: it is in memory.
    pub(super) fn known(&self, id: &Digest) -> Option<Known> {
        self.inner().known.get(id).cloned()
    }

    /// An order was signed for a request, and is about to leave.
    pub(super) fn ordered(
        &self,
        id: Digest,
        content: Digest,
        order: TxId,
        signed: Vec<u8>,
    ) -> Result<(), Status> {
        let inner = &mut *self.inner();
        if !inner.known.contains_key(&id) && inner.known.len() >= MAX_KNOWN {
            return Err(Fault::new(Reason::StateFull)
                .because(format!(
                    "{MAX_KNOWN} ids of requests within {KNOWN_DAYS} days"
                ))
                .status());
        }
        self.write(
            inner,
            Record::Ordered {
                id,
                content,
                order,
                signed,
            },
        )
    }

    /// A request has its answer for good.
    pub(super) fn answered(&self, id: Digest, given: &Given) -> Result<(), Status> {
        let kept = match given {
            Given::Report(report) => Kept::Report(report.encode_to_vec()),
            Given::Refusal(status) => Kept::Refusal {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: status.details().to_vec(),
            },
        };
        let path = self.answer_path(&id);
        let bytes = borsh::to_vec(&kept).map_err(|error| unusable(&path, &error))?;
        let length = self.state.keep(&path, id.as_bytes(), &bytes)?;
        let inner = &mut *self.inner();
        inner.answers.insert((now_ms(), id), length);
        inner.bytes += length;
        self.write(inner, Record::Answered { id })?;
        self.thin_out(inner);
        Ok(())
    }

    /// The answer, if it is still kept.
    pub(super) fn given(&self, id: &Digest) -> Result<Option<Given>, Status> {
        let path = self.answer_path(id);
        let Some(bytes) = self.state.kept(&path, id.as_bytes())? else {
            return Ok(None);
        };
        let kept = Kept::try_from_slice(&bytes).map_err(|error| unusable(&path, &error))?;
        Ok(Some(match kept {
            Kept::Report(bytes) => {
                let report = wire::QueryReportResponse::decode(bytes.as_slice());
                Given::Report(Box::new(report.map_err(|error| unusable(&path, &error))?))
            }
            Kept::Refusal {
                code,
                message,
                details,
            } => Given::Refusal(Status::with_details(
                Code::from(code),
                message,
                details.into(),
            )),
        }))
    }

    /// Forgets what is too old.
    pub(super) fn sweep(&self) {
        let inner = &mut *self.inner();
        self.thin_out(inner);
        let today = now_ms() / DAY_MS;
        let old = |day: u64| day + KNOWN_DAYS < today;
        if !inner.known.values().any(|known| old(known.day)) {
            return;
        }
        let mut days: Vec<u64> = Vec::new();
        inner.known.retain(|_, known| {
            if old(known.day) {
                days.push(known.day);
            }
            !old(known.day)
        });
        days.dedup();
        for day in days {
            // One that is gone already was of several that share it.
            let _ = fs::remove_file(journal_path(&self.state, day));
        }
    }

    fn thin_out(&self, inner: &mut Inner) {
        let now = now_ms();
        while let Some(oldest) = inner.answers.first_entry() {
            let ((since, id), length) = (*oldest.key(), *oldest.get());
            if since + ANSWER_MS > now && inner.bytes <= MAX_ANSWERS {
                return;
            }
            oldest.remove();
            inner.bytes -= length;
            self.state.forget(&self.answer_path(&id), length);
        }
    }

    fn write(&self, inner: &mut Inner, record: Record) -> Result<(), Status> {
        let today = now_ms() / DAY_MS;
        let path = journal_path(&self.state, today);
        if inner.journal.0 != today {
            let opened = open_journal(&self.state, today);
            inner.journal = (today, opened.map_err(|error| unusable(&path, &error))?.0);
        }
        (inner.journal.1)
            .append(std::slice::from_ref(&record))
            .map_err(|error| unusable(&path, &error))?;
        take(&mut inner.known, today, record);
        Ok(())
    }

    fn answer_path(&self, id: &Digest) -> PathBuf {
        self.state
            .folder("answers")
            .join(hex::encode(id.as_bytes()))
    }
}

fn take(known: &mut HashMap<Digest, Known>, day: u64, record: Record) {
    match record {
        Record::Ordered {
            id,
            content,
            order,
            signed,
        } => {
            let request = Known {
                content,
                order,
                signed,
                ended: false,
                day,
            };
            known.insert(id, request);
        }
        Record::Answered { id } => {
            if let Some(request) = known.get_mut(&id) {
                request.ended = true;
                request.signed = Vec::new();
            }
        }
    }
}

fn journal_path(state: &State, day: u64) -> PathBuf {
    state.folder("requests").join(format!("{day}.journal"))
}

fn day_of(name: &str) -> Option<u64> {
    name.strip_suffix(".journal")?.parse().ok()
}

fn open_journal(state: &State, day: u64) -> io::Result<(Journal, Vec<Record>)> {
    let name = format!("requests of day {day}");
    Journal::open(&journal_path(state, day), state.key(), name)
}
