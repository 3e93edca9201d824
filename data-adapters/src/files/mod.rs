//! CSV files and Excel workbooks as a [`Source`].
//!
//! Opening reads every file once and remembers where each subject's rows are; a fetch is then a seek and a
//! line for each, on tokio's blocking threads. A file that is not what it was (length or modification time)
//! is refused until [`Source::refresh`], or a scan from the start, has read it anew. Rows are lines, see
//! [`lines`]; sheets are turned into such, see [`sheets`].
//!
//! A scan walks the main table, which gives the subjects, and then the related ones, of which it reports the bad
//! rows only.

mod index;
mod lines;
mod sheets;
mod walk;

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, PoisonError, RwLock};

use xinqiao_ledger::uscc::Uscc;

use crate::error::Error;
use crate::mapping::{DataFile, Mapping, Origin, RelatedPlace};
use crate::record::SubjectRecord;
use crate::row::{Fault, Layout};
use crate::source::{
    BadRow, Checkpoint, Description, FetchError, Fetching, Reason, Scan, Scanned, Source, Warning,
};
use index::{Content, Index, IndexedFile, Place, Stamp};
use lines::{Lines, Splitter};
use walk::{Cursor, Limits, Parsed, Row, RowReader};

/// Files behind one mapping.
#[derive(Debug)]
pub struct FileSource {
    mapping: Arc<Mapping>,
    /// Replaced as a whole; readers keep the one they started with.
    index: RwLock<Arc<Index>>,
}

impl FileSource {
    /// Checks headers and indexes all rows.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Header`], [`Error::Changed`] for a file written to meanwhile, [`Error::Bomb`],
    /// [`Error::Limit`]. Bad rows are no error.
    pub fn open(mapping: Mapping) -> Result<Self, Error> {
        let index = RwLock::new(Arc::new(read_index(&mapping)?));
        Ok(Self {
            mapping: Arc::new(mapping),
            index,
        })
    }

    fn index(&self) -> Arc<Index> {
        // The lock guards a pointer swap: nothing can be left half done under it.
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source for FileSource {
    fn describe(&self) -> Description {
        let index = self.index();
        let mut description = Description::of(&self.mapping);
        // What related rows come to is only known once they are put together.
        if self.mapping.related.is_empty() {
            description.subjects = Some(index.len() as u64);
            description.bad_rows = Some(index.bad_rows.clone());
        }
        description
    }

    fn fetch<'a>(&'a self, uscc: &Uscc) -> Fetching<'a> {
        let (mapping, index, uscc) = (Arc::clone(&self.mapping), self.index(), *uscc);
        Box::pin(async move {
            let Some(place) = index.place(&uscc) else {
                // Absence, too, is only known of the files that were indexed.
                index.still_holds().map_err(|e| refusal(&index, e))?;
                return Err(FetchError::NotFound);
            };
            tokio::task::spawn_blocking(move || fetch(&mapping, &index, &uscc, place))
                .await
                .map_err(|_| FetchError::Unavailable("the reading task was stopped".to_owned()))?
        })
    }

    fn scan(&self, from: Option<&Checkpoint>) -> Result<Scan, Error> {
        let (start, skip) = match from {
            None => {
                if let Err(Error::Changed { .. }) = self.index().still_holds() {
                    self.refresh()?;
                }
                (None, 0)
            }
            Some(checkpoint) => {
                let index = self.index();
                index.still_holds()?;
                let (place, skip) = decode(checkpoint, &self.mapping, &index)?;
                (Some(place), skip)
            }
        };
        let index = self.index();
        Ok(Box::new(FileScan {
            cursor: Some(Cursor::new(&self.mapping, start)),
            reader: RowReader::new(&self.mapping, &index),
            mapping: Arc::clone(&self.mapping),
            index,
            queue: VecDeque::new(),
            skip,
        }))
    }

    fn refresh(&self) -> Result<(), Error> {
        let index = Arc::new(read_index(&self.mapping)?);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }
}

struct FileScan {
    mapping: Arc<Mapping>,
    index: Arc<Index>,
    /// `None` once the scan ended, well or not.
    cursor: Option<Cursor>,
    reader: RowReader,
    /// What the last line gave and was not pulled yet.
    queue: VecDeque<Scanned>,
    /// Steps of the next line that an earlier scan gave.
    skip: usize,
}

impl Iterator for FileScan {
    type Item = Result<Scanned, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(step) = self.queue.pop_front() {
                return Some(Ok(step));
            }
            let row = match self.cursor.as_mut()?.next(&self.mapping, &self.index.files) {
                Ok(Some(row)) => self.steps(row),
                Ok(None) => {
                    self.cursor = None;
                    // Related rows were read out of turn: what they were must be what they are.
                    match self.index.still_holds() {
                        Ok(()) => return None,
                        Err(e) => return Some(Err(e)),
                    }
                }
                Err(e) => Err(e),
            };
            if let Err(e) = row {
                self.cursor = None;
                return Some(Err(e));
            }
        }
    }
}

/// One step before it has a checkpoint.
type Step = (Result<SubjectRecord, BadRow>, Vec<Warning>);

impl FileScan {
    /// Queues what a row gives.
    fn steps(&mut self, row: Row) -> Result<(), Error> {
        let bad = |fault: Fault| -> Step {
            let bad = BadRow {
                file: name_at(&self.index, row.place),
                line: u64::from(row.place.line),
                reason: fault.reason,
                message: fault.message,
            };
            (Err(bad), Vec::new())
        };
        let mut steps: Vec<Step> = Vec::new();
        match row.outcome {
            Err(fault) => steps.push(bad(fault)),
            Ok(Parsed::Main(main)) => match self.index.place(&main.uscc) {
                Some(first) if first != row.place => {
                    let message = format!(
                        "the subject was already given by {}:{}",
                        name_at(&self.index, first),
                        first.line
                    );
                    steps.push(bad(Fault::new(Reason::DuplicateSubject, message)));
                }
                _ => {
                    let collected = self.reader.collect(&self.mapping, &self.index, &main)?;
                    let assembled = collected.assemble(&self.mapping, main);
                    steps.extend(assembled.left_out.into_iter().map(bad));
                    steps.push(match assembled.record {
                        Ok(record) => (Ok(record), assembled.warnings),
                        Err(fault) => bad(fault),
                    });
                }
            },
            Ok(Parsed::Related(_, related)) => {
                let known = related.uscc.and_then(|uscc| self.index.place(&uscc));
                if known.is_none() {
                    let message = "the main table has no good row about this subject";
                    steps.push(bad(Fault::new(Reason::UnknownSubject, message)));
                }
            }
        }
        let count = steps.len();
        let skipped = std::mem::take(&mut self.skip);
        for (number, (row_result, warnings)) in steps.into_iter().enumerate().skip(skipped) {
            let (place, skip) = match number + 1 {
                given if given == count => (row.after, 0),
                given => (row.start, given),
            };
            self.queue.push_back(Scanned {
                row: row_result,
                warnings,
                after: encode(&self.mapping, &self.index, place, skip),
            });
        }
        Ok(())
    }
}

fn name_at(index: &Index, place: Place) -> String {
    index.files[usize::from(place.file)].file.name.clone()
}

/// `<kind>2:<fingerprint>:<file>:<offset>:<line>:<steps of that line that were given>`.
fn encode(mapping: &Mapping, index: &Index, place: Place, skip: usize) -> Checkpoint {
    Checkpoint::new(format!(
        "{}2:{:016x}:{}:{}:{}:{skip}",
        mapping.origin.kind(),
        index.fingerprint,
        place.file,
        place.offset,
        place.line
    ))
}

fn decode(
    checkpoint: &Checkpoint,
    mapping: &Mapping,
    index: &Index,
) -> Result<(Place, usize), Error> {
    let refused = |reason: &str| Error::Checkpoint {
        reason: reason.to_owned(),
    };
    let malformed = || refused("it is not of this kind of source");
    let parts: Vec<&str> = checkpoint.as_str().split(':').collect();
    let [kind, fingerprint, file, offset, line, skip] = parts.as_slice() else {
        return Err(malformed());
    };
    if kind.strip_suffix('2') != Some(mapping.origin.kind()) {
        return Err(malformed());
    }
    let fingerprint = u64::from_str_radix(fingerprint, 16).map_err(|_| malformed())?;
    let place = Place {
        file: file.parse().map_err(|_| malformed())?,
        offset: offset.parse().map_err(|_| malformed())?,
        line: line.parse().map_err(|_| malformed())?,
    };
    let skip = skip.parse().map_err(|_| malformed())?;
    if fingerprint != index.fingerprint {
        return Err(refused("the mapping or a file changed since"));
    }
    let inside = |file: &IndexedFile| match &file.content {
        Content::Csv => place.offset <= file.stamp.length && place.line > 1,
        Content::Spool(spool) => {
            place.line > 0 && spool.metadata().is_ok_and(|m| place.offset <= m.len())
        }
    };
    match index.files.get(usize::from(place.file)) {
        Some(file) if inside(file) => Ok((place, skip)),
        _ => Err(refused("it points outside the files")),
    }
}

fn read_index(mapping: &Mapping) -> Result<Index, Error> {
    let mut indexed = Vec::new();
    match &mapping.origin {
        Origin::Csv { files, .. } => {
            for file in files {
                indexed.push(read_header(mapping, None, file)?);
            }
            for (table, related) in mapping.related.iter().enumerate() {
                if let RelatedPlace::Files { files, .. } = &related.place {
                    for file in files {
                        indexed.push(read_header(mapping, Some(table), file)?);
                    }
                }
            }
        }
        Origin::Xlsx { .. } => indexed = sheets::spool(mapping)?,
        Origin::Postgres(_) | Origin::MySql(_) | Origin::Http(_) => {}
    }
    Index::build(mapping, indexed)
}

fn read_header(
    mapping: &Mapping,
    table: Option<usize>,
    data: &DataFile,
) -> Result<IndexedFile, Error> {
    let limits = Limits::of(mapping);
    let path = &data.path;
    let bad = |message: String| Error::Header {
        path: path.clone(),
        message,
    };
    let file = File::open(path).map_err(Error::io(path))?;
    let metadata = file.metadata().map_err(Error::io(path))?;
    if !metadata.is_file() {
        return Err(bad("this is no regular file".to_owned()));
    }
    let mut lines = Lines::new(BufReader::new(file), limits.line, 0, 1);
    let Some(line) = lines.next().map_err(Error::io(path))? else {
        return Err(bad("the file is empty; a header is expected".to_owned()));
    };
    let Some(bytes) = line.bytes else {
        return Err(bad(format!(
            "the header is longer than {} bytes",
            limits.line
        )));
    };
    let mut splitter = Splitter::new(limits.encoding);
    let header = match splitter.split(bytes, limits.cell) {
        Ok(header) => header,
        // The CSV engine gives no record at all for a blank line.
        Err(_) if bytes.trim_ascii().is_empty() => {
            return Err(bad("the header is blank".to_owned()));
        }
        Err(fault) => return Err(bad(fault.message)),
    };
    Ok(IndexedFile {
        layout: Layout::new(mapping, table, &header).map_err(bad)?,
        file: data.clone(),
        table,
        stamp: Stamp::of(&metadata),
        content: Content::Csv,
    })
}

/// One seek and one line for each row.
fn fetch(
    mapping: &Mapping,
    index: &Index,
    uscc: &Uscc,
    place: Place,
) -> Result<SubjectRecord, FetchError> {
    let refused = |e| refusal(index, e);
    let mut reader = RowReader::new(mapping, index);
    match reader.read(mapping, index, place).map_err(refused)? {
        Parsed::Main(main) if main.uscc == *uscc => {
            let collected = reader.collect(mapping, index, &main).map_err(refused)?;
            let record = collected.assemble(mapping, main).record;
            record.map_err(|fault| FetchError::Bad {
                reason: fault.reason,
                message: fault.message,
            })
        }
        // Indexed as good and as this subject's: so the file is another, whatever its time stamp says.
        _ => Err(FetchError::Changed {
            file: name_at(index, place),
        }),
    }
}

/// What a fetch tells about a source that cannot be read: names from the mapping, no paths.
fn refusal(index: &Index, error: Error) -> FetchError {
    let name = |path: &std::path::Path| {
        index
            .files
            .iter()
            .find(|file| file.file.path == path)
            .map_or_else(String::new, |file| file.file.name.clone())
    };
    match error {
        Error::Changed { path } => FetchError::Changed { file: name(&path) },
        Error::Io { path, source } => {
            FetchError::Unavailable(format!("{}: {}", name(&path), source.kind()))
        }
        other => FetchError::Unavailable(other.to_string()),
    }
}
