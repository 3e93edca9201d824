//! Which line of which file holds each subject, and what the files were like when that was found out.
//!
//! 32 bytes a row: five million subjects fit in 160 MB. Bad rows are counted here and kept nowhere.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use xinqiao_ledger::uscc::Uscc;

use super::walk::{Cursor, Parsed};
use crate::error::Error;
use crate::mapping::{DataFile, Mapping, fingerprint};
use crate::row::Layout;
use crate::source::Reason;

/// Most rows of one source of files.
const MAX_ROWS: usize = 40_000_000;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u16,
    pub(super) line: u32,
    pub(super) offset: u64,
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    modified: i128,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified =
            metadata
                .modified()
                .map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
                    Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
                    Err(before) => {
                        -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX)
                    }
                });
        Self {
            length: metadata.len(),
            modified,
        }
    }
}

/// How rows are written in a file.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// CSV, where the file lies.
    Csv,
    /// A sheet's mapped columns, copied into a file that has no name, see `sheets`.
    Spool(Arc<File>),
}

/// One file as it was when indexed.
#[derive(Debug, Clone)]
pub(super) struct IndexedFile {
    pub(super) file: DataFile,
    /// `None`: the main table; else the place among the mapping's related ones.
    pub(super) table: Option<usize>,
    pub(super) stamp: Stamp,
    pub(super) layout: Layout,
    pub(super) content: Content,
}

impl IndexedFile {
    /// Opens the file, if it still is the one that was indexed.
    pub(super) fn open(&self) -> Result<Arc<File>, Error> {
        let path = &self.file.path;
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if Stamp::of(&metadata) != self.stamp {
            return Err(Error::Changed { path: path.clone() });
        }
        Ok(match &self.content {
            Content::Csv => Arc::new(file),
            Content::Spool(spool) => Arc::clone(spool),
        })
    }
}

/// Reads a file from an offset on, whoever else reads it.
pub(super) struct At {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The index of all files of a source.
#[derive(Debug)]
pub(super) struct Index {
    /// The main table's, then those of related tables in their order.
    pub(super) files: Vec<IndexedFile>,
    /// Sorted by subject; each subject once, at its first good row.
    subjects: Vec<(Uscc, Place)>,
    /// By related table: good rows, sorted by subject and place.
    related: Vec<Vec<(Uscc, Place)>>,
    pub(super) bad_rows: BTreeMap<Reason, u64>,
    /// Of the mapping and all files' stamps.
    pub(super) fingerprint: u64,
}

impl Index {
    /// Reads every file once.
    pub(super) fn build(mapping: &Mapping, files: Vec<IndexedFile>) -> Result<Self, Error> {
        let mut subjects = Vec::new();
        let mut related = vec![Vec::new(); mapping.related.len()];
        let mut bad_rows = BTreeMap::new();
        let mut rows = 0;
        let mut cursor = Cursor::new(mapping, None);
        while let Some(row) = cursor.next(mapping, &files)? {
            let places = match row.outcome {
                Err(fault) => {
                    *bad_rows.entry(fault.reason).or_insert(0) += 1;
                    continue;
                }
                Ok(Parsed::Main(main)) => {
                    // Without related tables nothing can bring items later.
                    if main.items.is_empty() && mapping.related.is_empty() {
                        *bad_rows.entry(Reason::NoItems).or_insert(0) += 1;
                        continue;
                    }
                    Some((&mut subjects, main.uscc))
                }
                Ok(Parsed::Related(table, entry)) => {
                    entry.uscc.map(|uscc| (&mut related[table], uscc))
                }
            };
            let Some((places, uscc)) = places else {
                continue;
            };
            rows += 1;
            if rows > MAX_ROWS {
                return Err(Error::Limit {
                    what: format!("rows in {}", mapping.name),
                    limit: MAX_ROWS as u64,
                });
            }
            places.push((uscc, row.place));
        }
        subjects.sort_unstable();
        let all = subjects.len();
        subjects.dedup_by_key(|(uscc, _)| *uscc);
        subjects.shrink_to_fit();
        let duplicates = all - subjects.len();
        if duplicates > 0 {
            bad_rows.insert(Reason::DuplicateSubject, duplicates as u64);
        }
        for places in &mut related {
            places.sort_unstable();
            places.shrink_to_fit();
        }
        let fingerprint = combined_fingerprint(mapping, &files);
        Ok(Self {
            files,
            subjects,
            related,
            bad_rows,
            fingerprint,
        })
    }

    /// The first good row about a subject.
    pub(super) fn place(&self, uscc: &Uscc) -> Option<Place> {
        let at = self
            .subjects
            .binary_search_by_key(uscc, |(subject, _)| *subject)
            .ok()?;
        Some(self.subjects[at].1)
    }

    /// Good related rows about a subject, table by table.
    pub(super) fn related(&self, uscc: &Uscc) -> impl Iterator<Item = Place> {
        let uscc = *uscc;
        self.related.iter().flat_map(move |rows| {
            let start = rows.partition_point(|(subject, _)| *subject < uscc);
            rows[start..]
                .iter()
                .take_while(move |(subject, _)| *subject == uscc)
                .map(|(_, place)| *place)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Fails when a file is not what it was.
    pub(super) fn still_holds(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| file.open().map(drop))
    }
}

fn combined_fingerprint(mapping: &Mapping, files: &[IndexedFile]) -> u64 {
    let mut parts = vec![mapping.fingerprint.to_le_bytes().to_vec()];
    for file in files {
        parts.push(file.file.name.clone().into_bytes());
        parts.push(file.stamp.length.to_le_bytes().to_vec());
        parts.push(file.stamp.modified.to_le_bytes().to_vec());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    fingerprint(&parts)
}
