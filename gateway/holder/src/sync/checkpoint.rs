//! What a registration run writes down, so that the next one goes on where it was interrupted.
//!
//! | file | content |
//! |---|---|
//! | `<source>.checkpoint.json` | the last [`Mark`] of which everything is final; replaced as a whole |
//! | `<source>.seen` | subjects seen up to there, as records of `crate::codes` |
//! | `<source>.bad-rows.csv` | bad rows: file, line, reason, message; it stays after the run |
//!
//! No plain code is in any of them. Losing them costs time, never a registration.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use xinqiao_data_adapters::{BadRow, Checkpoint};
use xinqiao_ledger::ids::SourceId;

use super::SyncReport;
use crate::{
    codes::{self, RECORD},
    error::Error,
};

/// At most this often is a checkpoint written.
const PAUSE: Duration = Duration::from_millis(500);

/// Largest checkpoint file that is read.
const MAX_BYTES: u64 = 64 << 10;

/// A place in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// The scan's checkpoint.
    pub(super) after: String,
    /// Subjects seen up to there.
    seen: u64,
    /// Bytes of the bad rows' file up to there.
    bad_bytes: u64,
    /// What was counted up to there.
    pub(super) report: SyncReport,
}

/// The files of a run.
pub(super) struct Journal {
    checkpoint: PathBuf,
    seen_path: PathBuf,
    bad_path: PathBuf,
    seen: BufWriter<File>,
    bad: BufWriter<File>,
    seen_count: u64,
    bad_bytes: u64,
    written: Option<Instant>,
    /// A mark whose entries are not in a batch yet.
    pub(super) pending: Option<Mark>,
}

impl Journal {
    /// Opens the files, and what an interrupted run left in them.
    pub(super) fn open(dir: &Path, source: &SourceId) -> Result<(Self, Option<Mark>), Error> {
        fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let path = |suffix: &str| dir.join(format!("{source}.{suffix}"));
        let (checkpoint, seen_path, bad_path) =
            (path("checkpoint.json"), path("seen"), path("bad-rows.csv"));
        let resumed = read(&checkpoint, &seen_path, &bad_path);
        let (seen_count, bad_bytes) = resumed
            .as_ref()
            .map_or((0, 0), |mark| (mark.seen, mark.bad_bytes));
        let journal = Self {
            seen: append_from(&seen_path, seen_count * RECORD as u64)?,
            bad: append_from(&bad_path, bad_bytes)?,
            checkpoint,
            seen_path,
            bad_path,
            seen_count,
            bad_bytes,
            written: None,
            pending: None,
        };
        Ok((journal, resumed))
    }

    /// Forgets what an interrupted run left.
    pub(super) fn start_over(&mut self) -> Result<(), Error> {
        self.seen = append_from(&self.seen_path, 0)?;
        self.bad = append_from(&self.bad_path, 0)?;
        (self.seen_count, self.bad_bytes) = (0, 0);
        Ok(())
    }

    /// Subjects seen, in the order of the scan.
    pub(super) fn seen(&mut self, subjects: &[codes::Record]) -> Result<(), Error> {
        (self.seen.write_all(subjects.as_flattened())).map_err(Error::file(&self.seen_path))?;
        self.seen_count += subjects.len() as u64;
        Ok(())
    }

    /// The file of all subjects seen, as far as it goes, and how many there are.
    pub(super) fn all_seen(&mut self) -> Result<(PathBuf, u64), Error> {
        self.seen.flush().map_err(Error::file(&self.seen_path))?;
        Ok((self.seen_path.clone(), self.seen_count))
    }

    pub(super) fn bad_rows(&mut self, rows: &[BadRow]) -> Result<(), Error> {
        for row in rows {
            let line = format!(
                "{},{},{},{}\n",
                cell(&row.file),
                row.line,
                row.reason,
                cell(&row.message)
            );
            self.bad
                .write_all(line.as_bytes())
                .map_err(Error::file(&self.bad_path))?;
            self.bad_bytes += line.len() as u64;
        }
        Ok(())
    }

    /// The mark of all that was seen until now.
    pub(super) fn mark_here(&self, after: &Checkpoint, report: &SyncReport) -> Mark {
        Mark {
            after: after.as_str().to_owned(),
            seen: self.seen_count,
            bad_bytes: self.bad_bytes,
            report: report.clone(),
        }
    }

    /// Writes down a mark up to which everything is final; not more often than [`PAUSE`].
    ///
    /// The mark knows what was scanned up to it, and `now` what has been registered: batches end in
    /// the order of their marks.
    pub(super) fn mark(&mut self, mut mark: Mark, now: &SyncReport) -> Result<(), Error> {
        if self.written.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(());
        }
        let scanned = &mut mark.report;
        (scanned.registered, scanned.superseded) = (now.registered, now.superseded);
        (scanned.transactions, scanned.bytes) = (now.transactions, now.bytes);
        let failed = |path: &Path| Error::file(path.to_owned());
        self.seen.flush().map_err(failed(&self.seen_path))?;
        self.bad.flush().map_err(failed(&self.bad_path))?;
        let text = serde_json::to_vec(&mark)
            .map_err(|error| failed(&self.checkpoint)(io::Error::other(error)))?;
        let unfinished = self.checkpoint.with_extension("part");
        fs::write(&unfinished, text).map_err(failed(&unfinished))?;
        fs::rename(&unfinished, &self.checkpoint).map_err(failed(&self.checkpoint))?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Ends a run that came to its end: only the list of bad rows stays, if there are any.
    pub(super) fn finish(&mut self, any_bad: bool) -> Result<Option<&Path>, Error> {
        self.bad.flush().map_err(Error::file(&self.bad_path))?;
        for path in [&self.checkpoint, &self.seen_path] {
            remove(path)?;
        }
        if any_bad {
            return Ok(Some(&self.bad_path));
        }
        remove(&self.bad_path)?;
        Ok(None)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

/// A file cut to its first bytes, to be written on.
fn append_from(path: &Path, length: u64) -> Result<BufWriter<File>, Error> {
    let open = || {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(BufWriter::new(file))
    };
    open().map_err(Error::file(path))
}

/// What an interrupted run left, if all of it fits together; otherwise the next one starts over.
fn read(checkpoint: &Path, seen_path: &Path, bad_path: &Path) -> Option<Mark> {
    let mut text = Vec::new();
    File::open(checkpoint)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut text)
        .ok()?;
    let mark: Mark = serde_json::from_slice(&text).ok()?;
    if fs::metadata(bad_path).ok()?.len() < mark.bad_bytes {
        return None;
    }
    if fs::metadata(seen_path).ok()?.len() < mark.seen.checked_mul(RECORD as u64)? {
        return None;
    }
    Some(mark)
}

/// A CSV cell (RFC 4180).
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
