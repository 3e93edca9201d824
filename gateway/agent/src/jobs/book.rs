//! What is on disk of one job: a journal of what was asked, ordered, and came of it. Reports are in files of
//! their own beside it, so that they can be deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use borsh::{BorshDeserialize, BorshSerialize};
use prost::Message;
use xinqiao_dispatch::job::Entry;
use xinqiao_ledger::{
    ids::TxId,
    wire::{self, JobOutcome, PartStatus},
};

use crate::{ask::EntryAsk, journal::Journal, state::State};

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Outcome {
    /// A report, of which so many of so many parts came; its file has so many bytes.
    Report {
        came: u32,
        parts: u32,
        bytes: u64,
    },
    Refused,
    Failed,
    Invalid,
    Duplicate {
        of: Entry,
    },
    Cancelled,
}

impl Outcome {
    /// What a report comes to.
    pub(super) fn of(report: &wire::QueryReportResponse) -> Self {
        let came = (report.parts.iter()).filter(|part| part.status() == PartStatus::Confirmed);
        let count = |parts: usize| u32::try_from(parts).unwrap_or(u32::MAX);
        Self::Report {
            came: count(came.count()),
            parts: count(report.parts.len()),
            bytes: 0,
        }
    }
}

/// The result of an entry, without its report.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Settled {
    pub(super) entry: Entry,
    pub(super) outcome: Outcome,
    /// Reason code; may be empty.
    pub(super) reason: String,
    /// The same for people.
    pub(super) message: String,
    /// The order, if one was placed.
    pub(super) order: Option<TxId>,
}

#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
enum Record {
    Begun { at: u64, request: Vec<u8> },
    Ordered { entry: Entry, signed: Vec<u8> },
    Settled(Settled),
    Acknowledged { through: u64 },
    Cancelled,
    Ended { at: u64 },
}

/// One job's book.
pub(super) struct Book {
    journal: Journal,
    request: Vec<u8>,
    started_at: u64,
    ordered: BTreeMap<Entry, Vec<u8>>,
    settled: Vec<Settled>,
    counts: wire::JobCounts,
    done: BTreeSet<Entry>,
    acknowledged: u64,
    cancelled: bool,
    ended_at: Option<u64>,
}

impl Book {
    /// Opens it. Blocks, as does everything here that writes.
    pub(super) fn open(state: &State, dir: &Path) -> io::Result<Self> {
        let name = dir.file_name().and_then(|name| name.to_str());
        let name = format!("job {}", name.unwrap_or_default());
        let (journal, records) = Journal::open(&dir.join("journal"), state.key(), name)?;
        let mut book = Self {
            journal,
            request: Vec::new(),
            started_at: 0,
            ordered: BTreeMap::new(),
            settled: Vec::new(),
            counts: wire::JobCounts::default(),
            done: BTreeSet::new(),
            acknowledged: 0,
            cancelled: false,
            ended_at: None,
        };
        for record in records {
            book.take(record);
        }
        // A report without its record, or an acknowledged one, is what a crash left over.
        for file in fs::read_dir(dir)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let sequence = name.and_then(|name| name.strip_suffix(".report")?.parse().ok());
            let unfinished = name.is_some_and(|name| name.ends_with(".part"));
            let left = |at: u64| at <= book.acknowledged || at > book.last();
            if unfinished || sequence.is_some_and(left) {
                fs::remove_file(path)?;
            }
        }
        Ok(book)
    }

    fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        self.journal.append(&records)?;
        for record in records {
            self.take(record);
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Begun { at, request } => {
                self.started_at = at;
                self.request = request;
            }
            Record::Ordered { entry, signed } => {
                self.ordered.insert(entry, signed);
            }
            Record::Settled(settled) => {
                self.ordered.remove(&settled.entry);
                self.done.insert(settled.entry);
                count(&mut self.counts, &settled.outcome);
                self.settled.push(settled);
            }
            Record::Acknowledged { through } => self.acknowledged = self.acknowledged.max(through),
            Record::Cancelled => self.cancelled = true,
            Record::Ended { at } => self.ended_at = Some(at),
        }
    }

    /// Begins the job: what it asks, and the results of entries of which nothing is asked.
    pub(super) fn begin(
        &mut self,
        at: u64,
        request: &wire::StartJobRequest,
        entries: &[EntryAsk],
    ) -> io::Result<()> {
        let mut records = vec![Record::Begun {
            at,
            request: request.encode_to_vec(),
        }];
        for (entry, number) in entries.iter().zip(0..) {
            let (outcome, reason, message) = match entry {
                EntryAsk::Ask(_) => continue,
                EntryAsk::Invalid { reason, message } => {
                    (Outcome::Invalid, reason.code(), message.clone())
                }
                EntryAsk::Duplicate(of) => {
                    let message = format!("the same code as entry {of}");
                    (Outcome::Duplicate { of: *of }, "DUPLICATE_ITEM", message)
                }
            };
            records.push(Record::Settled(Settled {
                entry: number,
                outcome,
                reason: reason.to_owned(),
                message,
                order: None,
            }));
        }
        self.write(records)
    }

    /// An order was signed for an entry, and is about to leave.
    pub(super) fn ordered(&mut self, entry: Entry, signed: Vec<u8>) -> io::Result<()> {
        self.write(vec![Record::Ordered { entry, signed }])
    }

    /// An entry has its result. One that has it already keeps it.
    pub(super) fn settle(&mut self, settled: Vec<Settled>) -> io::Result<()> {
        let new = settled.into_iter();
        let new = new.filter(|one| !self.done.contains(&one.entry));
        let records = new.map(Record::Settled).collect();
        self.write(records)
    }

    pub(super) fn cancel(&mut self) -> io::Result<()> {
        self.write(vec![Record::Cancelled])
    }

    pub(super) fn end(&mut self, at: u64) -> io::Result<()> {
        self.write(vec![Record::Ended { at }])
    }

    /// Results up to this one have arrived; gives the reports to be deleted and their sizes.
    pub(super) fn acknowledge(&mut self, through: u64) -> io::Result<Vec<(u64, u64)>> {
        if through <= self.acknowledged {
            return Ok(Vec::new());
        }
        let dropped = self.reports();
        self.write(vec![Record::Acknowledged { through }])?;
        let dropped = dropped.into_iter();
        Ok(dropped.filter(|(at, _)| *at <= through).collect())
    }

    /// Sequences of the reports that are there, and their sizes.
    pub(super) fn reports(&self) -> Vec<(u64, u64)> {
        let there = (1..)
            .zip(&self.settled)
            .filter_map(|(at, one)| match one.outcome {
                Outcome::Report { bytes, .. } if at > self.acknowledged => Some((at, bytes)),
                _ => None,
            });
        there.collect()
    }

    /// Bytes of the reports that are there.
    pub(super) fn bytes(&self) -> u64 {
        self.reports().iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn request(&self) -> Option<wire::StartJobRequest> {
        let begun = !self.request.is_empty();
        begun.then(|| wire::StartJobRequest::decode(&*self.request).ok())?
    }

    /// The order of an entry that was signed and not settled.
    pub(super) fn signed(&self, entry: Entry) -> Option<Vec<u8>> {
        self.ordered.get(&entry).cloned()
    }

    /// Entries that were ordered and not settled.
    pub(super) fn ordered_entries(&self) -> BTreeSet<Entry> {
        self.ordered.keys().copied().collect()
    }

    pub(super) fn is_done(&self, entry: Entry) -> bool {
        self.done.contains(&entry)
    }

    /// The newest result; 0 for none.
    pub(super) fn last(&self) -> u64 {
        self.settled.len() as u64
    }

    pub(super) fn started_at(&self) -> u64 {
        self.started_at
    }

    pub(super) fn ended_at(&self) -> Option<u64> {
        self.ended_at
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A result without its code and report, and whether it has a report.
    pub(super) fn result(&self, sequence: u64) -> Option<(wire::JobResult, bool)> {
        let at = usize::try_from(sequence.checked_sub(1)?).ok()?;
        let settled = self.settled.get(at)?;
        let (outcome, duplicate_of) = match settled.outcome {
            Outcome::Report { .. } => (JobOutcome::Report, 0),
            Outcome::Refused => (JobOutcome::Refused, 0),
            Outcome::Failed => (JobOutcome::Failed, 0),
            Outcome::Invalid => (JobOutcome::Invalid, 0),
            Outcome::Duplicate { of } => (JobOutcome::Duplicate, of),
            Outcome::Cancelled => (JobOutcome::Cancelled, 0),
        };
        let result = wire::JobResult {
            sequence,
            entry: settled.entry,
            uscc: String::new(),
            outcome: outcome.into(),
            report: None,
            reason: settled.reason.clone(),
            message: settled.message.clone(),
            order: settled.order.map(|id| id.to_vec()).unwrap_or_default(),
            duplicate_of,
        };
        let has_report = outcome == JobOutcome::Report && sequence > self.acknowledged;
        Some((result, has_report))
    }

    /// How many entries came out how; those under way are not known here.
    pub(super) fn counts(&self) -> wire::JobCounts {
        self.counts
    }
}

fn count(counts: &mut wire::JobCounts, outcome: &Outcome) {
    counts.done += 1;
    *match outcome {
        Outcome::Report { came: 0, .. } => &mut counts.empty,
        Outcome::Report { came, parts, .. } if came < parts => &mut counts.partial,
        Outcome::Report { .. } => &mut counts.complete,
        Outcome::Refused => &mut counts.refused,
        Outcome::Failed => &mut counts.failed,
        Outcome::Invalid => &mut counts.invalid,
        Outcome::Duplicate { .. } => &mut counts.duplicate,
        Outcome::Cancelled => &mut counts.cancelled,
    } += 1;
}
