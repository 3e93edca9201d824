//! CSV files as a [`Source`].
//!
//! Opening reads every file once and remembers where each subject's row is; a fetch is then one seek and
//! one line, on tokio's blocking threads. A file that is not what it was (length or modification time) is
//! refused until [`Source::refresh`], or a scan from the start, has read it anew. Rows are lines, see
//! [`lines`].

mod index;
mod lines;
mod walk;

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::sync::{Arc, PoisonError, RwLock};

use xinqiao_ledger::uscc::Uscc;

use crate::error::Error;
use crate::mapping::{DataFile, Mapping, Origin};
use crate::record::SubjectRecord;
use crate::row::{Fault, Layout};
use crate::source::{
    BadRow, Checkpoint, DescribedField, DescribedItem, Description, FetchError, Fetching, Reason,
    Scan, Scanned, Source,
};
use index::{Index, IndexedFile, Place, Stamp};
use lines::{Lines, Splitter};
use walk::{Cursor, read_line};

/// CSV files behind one mapping.
#[derive(Debug)]
pub struct CsvSource {
    mapping: Arc<Mapping>,
    /// Replaced as a whole; readers keep the one they started with.
    index: RwLock<Arc<Index>>,
}

impl CsvSource {
    /// Checks headers and indexes all rows.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Header`], [`Error::Changed`] for a file written to meanwhile,
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

impl Source for CsvSource {
    fn describe(&self) -> Description {
        let index = self.index();
        Description {
            name: self.mapping.name.clone(),
            kind: "csv",
            subjects: Some(index.len() as u64),
            bad_rows: Some(index.bad_rows.clone()),
            items: describe_items(&self.mapping),
        }
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
        let start = match from {
            None => {
                if let Err(Error::Changed { .. }) = self.index().still_holds() {
                    self.refresh()?;
                }
                None
            }
            Some(checkpoint) => {
                let index = self.index();
                index.still_holds()?;
                Some(decode(checkpoint, &index)?)
            }
        };
        Ok(Box::new(CsvScan {
            mapping: Arc::clone(&self.mapping),
            index: self.index(),
            cursor: Some(Cursor::new(start)),
        }))
    }

    fn refresh(&self) -> Result<(), Error> {
        let index = Arc::new(read_index(&self.mapping)?);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }
}

struct CsvScan {
    mapping: Arc<Mapping>,
    index: Arc<Index>,
    /// `None` once the scan ended, well or not.
    cursor: Option<Cursor>,
}

impl Iterator for CsvScan {
    type Item = Result<Scanned, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.cursor.as_mut()?.next(&self.mapping, &self.index.files) {
            Ok(Some(row)) => row,
            Ok(None) => {
                self.cursor = None;
                return None;
            }
            Err(e) => {
                self.cursor = None;
                return Some(Err(e));
            }
        };
        let bad = |fault: Fault| BadRow {
            file: self.index.files[usize::from(row.place.file)]
                .file
                .name
                .clone(),
            line: u64::from(row.place.line),
            reason: fault.reason,
            message: fault.message,
        };
        let (row_result, warnings) = match row.outcome {
            Err(fault) => (Err(bad(fault)), Vec::new()),
            Ok((record, warnings)) => match self.index.place(&record.uscc) {
                Some(first) if first != row.place => {
                    let message = format!(
                        "the subject was already given by {}:{}",
                        self.index.files[usize::from(first.file)].file.name,
                        first.line
                    );
                    let fault = Fault::new(Reason::DuplicateSubject, message);
                    (Err(bad(fault)), Vec::new())
                }
                _ => (Ok(record), warnings),
            },
        };
        Some(Ok(Scanned {
            row: row_result,
            warnings,
            after: encode(row.after, &self.index),
        }))
    }
}

/// `csv1:<fingerprint>:<file>:<offset>:<line>`.
fn encode(place: Place, index: &Index) -> Checkpoint {
    Checkpoint::new(format!(
        "csv1:{:016x}:{}:{}:{}",
        index.fingerprint, place.file, place.offset, place.line
    ))
}

fn decode(checkpoint: &Checkpoint, index: &Index) -> Result<Place, Error> {
    let refused = |reason: &str| Error::Checkpoint {
        reason: reason.to_owned(),
    };
    let malformed = || refused("it is not of a CSV source");
    let parts: Vec<&str> = checkpoint.as_str().split(':').collect();
    let ["csv1", fingerprint, file, offset, line] = parts.as_slice() else {
        return Err(malformed());
    };
    let fingerprint = u64::from_str_radix(fingerprint, 16).map_err(|_| malformed())?;
    let place = Place {
        file: file.parse().map_err(|_| malformed())?,
        offset: offset.parse().map_err(|_| malformed())?,
        line: line.parse().map_err(|_| malformed())?,
    };
    if fingerprint != index.fingerprint {
        return Err(refused("the mapping or a file changed since"));
    }
    match index.files.get(usize::from(place.file)) {
        Some(file) if place.offset <= file.stamp.length && place.line > 1 => Ok(place),
        _ => Err(refused("it points outside the files")),
    }
}

fn read_index(mapping: &Mapping) -> Result<Index, Error> {
    let Origin::Csv { files, .. } = &mapping.origin;
    let files = files
        .iter()
        .map(|file| read_header(mapping, file))
        .collect::<Result<_, _>>()?;
    Index::build(mapping, files)
}

fn read_header(mapping: &Mapping, data: &DataFile) -> Result<IndexedFile, Error> {
    let Origin::Csv {
        max_line_bytes,
        max_cell_bytes,
        ..
    } = &mapping.origin;
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
    let mut lines = Lines::new(BufReader::new(file), *max_line_bytes, 0, 1);
    let Some(line) = lines.next().map_err(Error::io(path))? else {
        return Err(bad("the file is empty; a header is expected".to_owned()));
    };
    let Some(bytes) = line.bytes else {
        return Err(bad(format!(
            "the header is longer than {max_line_bytes} bytes"
        )));
    };
    let mut splitter = Splitter::new();
    let header = match splitter.split(bytes, *max_cell_bytes) {
        Ok(header) => header,
        // The CSV engine gives no record at all for a blank line.
        Err(_) if bytes.trim_ascii().is_empty() => {
            return Err(bad("the header is blank".to_owned()));
        }
        Err(fault) => return Err(bad(fault.message)),
    };
    Ok(IndexedFile {
        layout: Layout::new(mapping, &header).map_err(bad)?,
        file: data.clone(),
        stamp: Stamp::of(&metadata),
    })
}

/// One seek, one line.
fn fetch(
    mapping: &Mapping,
    index: &Index,
    uscc: &Uscc,
    place: Place,
) -> Result<SubjectRecord, FetchError> {
    let indexed = &index.files[usize::from(place.file)];
    let mut file = indexed.open().map_err(|e| refusal(index, e))?;
    let unreadable = |e: std::io::Error| refusal(index, Error::io(&indexed.file.path)(e));
    file.seek(SeekFrom::Start(place.offset))
        .map_err(unreadable)?;
    let Origin::Csv { max_line_bytes, .. } = &mapping.origin;
    let input = BufReader::new(file);
    let mut lines = Lines::new(input, *max_line_bytes, place.offset, u64::from(place.line));
    let outcome = match lines.next().map_err(unreadable)? {
        Some(line) => read_line(mapping, &indexed.layout, &mut Splitter::new(), &line).ok(),
        None => None,
    };
    match outcome {
        Some((record, _)) if record.uscc == *uscc => Ok(record),
        // Indexed as good and as this subject's: so the file is another, whatever its time stamp says.
        _ => Err(FetchError::Changed {
            file: indexed.file.name.clone(),
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

fn describe_items(mapping: &Mapping) -> Vec<DescribedItem> {
    mapping
        .items
        .iter()
        .map(|item| DescribedItem {
            code: item.code.clone(),
            fields: item
                .fields
                .iter()
                .map(|field| DescribedField {
                    name: field.name.clone(),
                    column: field.column.clone(),
                    kind: field.kind.name(),
                    required: field.required,
                })
                .collect(),
        })
        .collect()
}
