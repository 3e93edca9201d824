//! The log of a validator: what its engine must know again after a crash, and the bodies of blocks
//! that it has voted for.
//!
//! Framing and checksums are `arc-malachitebft-wal`'s, one file a segment. Two things are added. The
//! library takes an entry whose length reaches past the end for one that a crash cut short, and drops
//! it with all that follows; a flipped bit in a length would so make a validator forget what it has
//! signed. Here such an end is searched for whole records first, and if there is one the log is
//! damaged and the node stops. And the log is cut by writing what is still needed into a new segment,
//! which takes the old one's place in one step: at no moment is there less on disk than is needed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::mpsc as std_mpsc,
    thread,
};

use arc_malachitebft_wal::Log;
use tokio::sync::mpsc;
use xinqiao_ledger::ids::Height;

/// Size from which on a segment is given up for a new one, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The largest record, in bytes: a whole block with room for its framing.
const MAX_RECORD_BYTES: usize = 8 << 20;

/// Version and sequence number, before the first entry of a file.
const FILE_HEADER: usize = 12;

/// Compression flag, length and checksum, before each entry's data.
const ENTRY_HEADER: usize = 13;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of the engine.
    Engine,
    /// A body.
    Body,
}

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Records of the engine, in their order.
    pub(crate) engine: Vec<Vec<u8>>,
    /// Bodies.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// Whether there was no log at all: a new validator's, or one that has lost its memory.
    pub(crate) is_new: bool,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The operating system failed.
    #[error("the log {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold what was written.
    #[error(
        "the log {path} is damaged: {what}; voting without what it held could be voting twice, so \
         this validator stays away until its operator has seen to it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A log that is open for writing.
struct Wal {
    folder: PathBuf,
    segment: u64,
    log: Log,
    /// Number of the next record.
    next: u64,
    /// The height under way, which records are of.
    height: Height,
}

fn path_of(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:016}.wal"))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WalError {
    let path = path.to_owned();
    |source| WalError::Io { path, source }
}

fn damaged(path: &Path, what: impl Into<String>) -> WalError {
    WalError::Damaged {
        path: path.to_owned(),
        what: what.into(),
    }
}

impl Wal {
    fn open(folder: &Path) -> Result<(Self, Recovered), WalError> {
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let found = newest(folder)?;
        let segment = found.unwrap_or(1);
        let path = path_of(folder, segment);
        if path.exists() {
            check(&path)?;
        }
        let mut log = Log::open(&path).map_err(failed(&path))?;
        sync_folder(folder)?;
        let mut recovered = Recovered {
            is_new: found.is_none(),
            ..Recovered::default()
        };
        let mut next = None;
        let mut height = 0;
        let entries = log.iter().map_err(failed(&path))?;
        for entry in entries {
            let entry = entry.map_err(|fault| damaged(&path, fault.to_string()))?;
            let Record {
                number,
                height: of,
                kind,
                data,
            } = parse(&entry).ok_or_else(|| damaged(&path, "a record of no known form"))?;
            if next.is_some_and(|next| next != number) {
                return Err(damaged(&path, format!("record {number} is out of order")));
            }
            next = Some(number + 1);
            height = height.max(of);
            match kind {
                Kind::Engine => recovered.engine.push(data.to_vec()),
                Kind::Body => recovered.bodies.push(data.to_vec()),
            }
        }
        let wal = Self {
            folder: folder.to_owned(),
            segment,
            log,
            next: next.unwrap_or(0),
            height,
        };
        Ok((wal, recovered))
    }

    fn append(&mut self, kind: Kind, data: &[u8]) -> Result<(), WalError> {
        let record = record(self.next, self.height, kind, data);
        let path = path_of(&self.folder, self.segment);
        self.log.append(&record).map_err(failed(&path))?;
        self.next += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let path = path_of(&self.folder, self.segment);
        self.log.flush().map_err(failed(&path))
    }

    /// Lets go of records of heights below one, once it is worth it.
    fn truncate(&mut self, below: Height) -> Result<(), WalError> {
        let old = path_of(&self.folder, self.segment);
        if self.log.size_bytes().map_err(failed(&old))? < SEGMENT_BYTES {
            return Ok(());
        }
        let path = path_of(&self.folder, self.segment + 1);
        let new = path.with_extension("new");
        if new.exists() {
            fs::remove_file(&new).map_err(failed(&new))?;
        }
        let mut log = Log::open(&new).map_err(failed(&new))?;
        let mut next = 0;
        for entry in self.log.iter().map_err(failed(&old))? {
            let entry = entry.map_err(|fault| damaged(&old, fault.to_string()))?;
            let kept = parse(&entry).ok_or_else(|| damaged(&old, "a record of no known form"))?;
            if kept.height >= below {
                let kept = record(next, kept.height, kept.kind, kept.data);
                log.append(&kept).map_err(failed(&new))?;
                next += 1;
            }
        }
        log.flush().map_err(failed(&new))?;
        fs::rename(&new, &path).map_err(failed(&path))?;
        sync_folder(&self.folder)?;
        self.segment += 1;
        (self.log, self.next) = (log, next);
        fs::remove_file(&old).map_err(failed(&old))
    }
}

/// The newest whole segment. Older ones were given up for it, and unfinished ones never counted.
fn newest(folder: &Path) -> Result<Option<u64>, WalError> {
    let mut newest = None;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(&path).map_err(failed(&path))?;
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let segment = name.and_then(|name| name.parse().ok());
        newest = newest.max(segment);
    }
    Ok(newest)
}

fn sync_folder(folder: &Path) -> Result<(), WalError> {
    let opened = File::open(folder).map_err(failed(folder))?;
    opened.sync_all().map_err(failed(folder))
}

/// A record as it lies in an entry.
struct Record<'a> {
    /// Counted from 0 in each segment, without gaps.
    number: u64,
    /// The height that was under way when it was written.
    height: Height,
    kind: Kind,
    data: &'a [u8],
}

/// What a record has before its data.
const RECORD_HEADER: usize = 17;

fn record(number: u64, height: Height, kind: Kind, data: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(data.len() + RECORD_HEADER);
    record.extend_from_slice(&number.to_be_bytes());
    record.extend_from_slice(&height.to_be_bytes());
    record.push(match kind {
        Kind::Engine => 1,
        Kind::Body => 2,
    });
    record.extend_from_slice(data);
    record
}

fn parse(record: &[u8]) -> Option<Record<'_>> {
    let (number, rest) = record.split_first_chunk::<8>()?;
    let (height, rest) = rest.split_first_chunk::<8>()?;
    let (kind, data) = rest.split_first()?;
    let kind = match kind {
        1 => Kind::Engine,
        2 => Kind::Body,
        _ => return None,
    };
    Some(Record {
        number: u64::from_be_bytes(*number),
        height: Height::from_be_bytes(*height),
        kind,
        data,
    })
}

/// Refuses a file in which something whole comes after something that seems cut short.
fn check(path: &Path) -> Result<(), WalError> {
    let bytes = fs::read(path).map_err(failed(path))?;
    if bytes.len() < FILE_HEADER {
        // The library has written its header and nothing else in one go: such a file was never synced.
        return fs::remove_file(path).map_err(failed(path));
    }
    let mut rest = &bytes[FILE_HEADER..];
    while let Some(entry) = entry_at(rest) {
        rest = &rest[entry..];
    }
    let whole = |at: usize| {
        let after = &rest[at..];
        entry_at(after).is_some_and(|length| is_sound(&after[..length]))
    };
    if (1..rest.len()).any(whole) {
        return Err(damaged(
            path,
            "a record reaches past the end, and whole ones follow it",
        ));
    }
    Ok(())
}

/// Length of the entry that begins here, framing included, if the file is long enough for it.
fn entry_at(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?.checked_add(ENTRY_HEADER)?;
    (length <= bytes.len()).then_some(length)
}

/// Whether an entry is what was written.
fn is_sound(entry: &[u8]) -> bool {
    let (framing, data) = entry.split_at(ENTRY_HEADER);
    framing[0] == 0
        && data.len() <= MAX_RECORD_BYTES
        && parse(data).is_some()
        && crc32fast::hash(data).to_be_bytes() == framing[9..]
}

/// What the log is asked to do, in this order.
enum Command {
    Append(Kind, Vec<u8>),
    Flush(u64),
    Begin(Height),
    Truncate(Height),
}

/// The log with a thread of its own, which waits for the disk so that nobody else has to.
pub(crate) struct LogKeeper {
    commands: std_mpsc::Sender<Command>,
    reports: mpsc::UnboundedReceiver<Result<u64, WalError>>,
}

impl LogKeeper {
    /// Opens the log in a folder, or begins one.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Recovered), WalError> {
        let (mut wal, recovered) = Wal::open(folder)?;
        let (commands, orders) = std_mpsc::channel();
        let (report, reports) = mpsc::unbounded_channel();
        let work = move || {
            while let Ok(command) = orders.recv() {
                let done = match command {
                    Command::Append(kind, data) => wal.append(kind, &data).map(|()| None),
                    Command::Flush(upto) => wal.flush().map(|()| Some(upto)),
                    Command::Begin(height) => {
                        wal.height = height;
                        Ok(None)
                    }
                    Command::Truncate(below) => wal.truncate(below).map(|()| None),
                };
                // After a failure nobody knows what is on disk: nothing more is written.
                let end = done.is_err();
                let told = (done.transpose()).is_none_or(|done| report.send(done).is_ok());
                if end || !told {
                    break;
                }
            }
        };
        thread::Builder::new()
            .name("validator-log".into())
            .spawn(work)
            .map_err(failed(folder))?;
        Ok((Self { commands, reports }, recovered))
    }

    // Sending fails only after the log has failed, and that is reported.

    pub(crate) fn append(&self, kind: Kind, data: Vec<u8>) {
        let _ = self.commands.send(Command::Append(kind, data));
    }

    pub(crate) fn flush(&self, upto: u64) {
        let _ = self.commands.send(Command::Flush(upto));
    }

    /// A height is started: what is appended from here on is of it.
    pub(crate) fn begin(&self, height: Height) {
        let _ = self.commands.send(Command::Begin(height));
    }

    /// What is of heights below that one is needed no more.
    pub(crate) fn truncate(&self, below: Height) {
        let _ = self.commands.send(Command::Truncate(below));
    }

    /// Up to which entry all is on disk now; or why nothing ever will be again.
    pub(crate) async fn report(&mut self) -> Result<u64, WalError> {
        match self.reports.recv().await {
            Some(report) => report,
            // The thread has reported why before it ended.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that a process wrote and left, as records of numbers.
    fn written(folder: &Path, records: std::ops::Range<u8>) {
        let (mut wal, _) = Wal::open(folder).unwrap();
        for byte in records {
            wal.append(Kind::Engine, &vec![byte; 20 + usize::from(byte)])
                .unwrap();
        }
        wal.flush().unwrap();
    }

    fn records(folder: &Path) -> Result<Vec<u8>, WalError> {
        let (_, recovered) = Wal::open(folder)?;
        Ok(recovered.engine.iter().map(|record| record[0]).collect())
    }

    #[test]
    fn what_was_written_is_there_again_in_its_order() {
        let disk = tempfile::tempdir().unwrap();
        written(disk.path(), 1..4);
        written(disk.path(), 4..6);
        assert_eq!(records(disk.path()).unwrap(), [1, 2, 3, 4, 5]);
        let (mut wal, _) = Wal::open(disk.path()).unwrap();
        wal.append(Kind::Body, b"a body").unwrap();
        drop(wal);
        let (_, recovered) = Wal::open(disk.path()).unwrap();
        assert_eq!(recovered.bodies, [b"a body"]);
    }

    #[test]
    fn a_record_cut_short_is_left_out_and_all_before_it_are_there() {
        let disk = tempfile::tempdir().unwrap();
        written(disk.path(), 1..4);
        let path = path_of(disk.path(), 1);
        let whole = fs::read(&path).unwrap();
        let last = ENTRY_HEADER + RECORD_HEADER + 23;
        for cut in 1..last {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(records(disk.path()).unwrap(), [1, 2], "cut by {cut}");
        }
        // And the log goes on from there.
        written(disk.path(), 9..10);
        assert_eq!(records(disk.path()).unwrap(), [1, 2, 9]);
    }

    #[test]
    fn one_flipped_bit_before_the_last_record_stops_the_node() {
        let disk = tempfile::tempdir().unwrap();
        written(disk.path(), 1..5);
        let path = path_of(disk.path(), 1);
        let whole = fs::read(&path).unwrap();
        let last = ENTRY_HEADER + RECORD_HEADER + 24;
        for at in FILE_HEADER..whole.len() - last {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                let found = records(disk.path());
                assert!(
                    matches!(found, Err(WalError::Damaged { .. })),
                    "byte {at}, bit {bit}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_new_segment_holds_what_is_still_needed_and_nothing_else() {
        let disk = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(disk.path()).unwrap();
        let large = vec![1; 5 << 20];
        for _ in 0..4 {
            wal.append(Kind::Body, &large).unwrap();
        }
        wal.height = 5;
        wal.append(Kind::Engine, &[7; 30]).unwrap();
        wal.height = 6;
        wal.append(Kind::Engine, &[8; 30]).unwrap();
        wal.truncate(5).unwrap();
        wal.flush().unwrap();
        drop(wal);
        assert_eq!(records(disk.path()).unwrap(), [7, 8]);
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
        // What was there before a restart is not cut off by the next truncation.
        let (mut wal, _) = Wal::open(disk.path()).unwrap();
        wal.height = 4;
        for _ in 0..4 {
            wal.append(Kind::Body, &large).unwrap();
        }
        wal.truncate(5).unwrap();
        drop(wal);
        assert_eq!(records(disk.path()).unwrap(), [7, 8]);
        // A crash before the old segment was removed, or in the middle of writing the new one.
        fs::copy(path_of(disk.path(), 3), path_of(disk.path(), 1)).unwrap();
        fs::write(disk.path().join("0000000000000004.new"), b"half").unwrap();
        assert_eq!(records(disk.path()).unwrap(), [7, 8]);
    }
}
