//! Which line of which file holds each subject, and what the files were like when that was found out.
//!
//! 32 bytes a subject: five million fit in 160 MB. Bad rows are counted here and kept nowhere.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::time::UNIX_EPOCH;

use xinqiao_ledger::uscc::Uscc;

use super::walk::Cursor;
use crate::error::Error;
use crate::mapping::{DataFile, Mapping, fingerprint};
use crate::row::Layout;
use crate::source::Reason;

/// Most subjects of one CSV source.
const MAX_SUBJECTS: usize = 20_000_000;

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

/// One file as it was when indexed.
#[derive(Debug)]
pub(super) struct IndexedFile {
    pub(super) file: DataFile,
    pub(super) stamp: Stamp,
    pub(super) layout: Layout,
}

impl IndexedFile {
    /// Opens the file, if it still is the one that was indexed.
    pub(super) fn open(&self) -> Result<File, Error> {
        let path = &self.file.path;
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if Stamp::of(&metadata) != self.stamp {
            return Err(Error::Changed { path: path.clone() });
        }
        Ok(file)
    }
}

/// The index of all files of a source.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) files: Vec<IndexedFile>,
    /// Sorted by subject; each subject once, at its first good row.
    subjects: Vec<(Uscc, Place)>,
    pub(super) bad_rows: BTreeMap<Reason, u64>,
    /// Of the mapping and all files' stamps.
    pub(super) fingerprint: u64,
}

impl Index {
    /// Reads every file once.
    pub(super) fn build(mapping: &Mapping, files: Vec<IndexedFile>) -> Result<Self, Error> {
        let mut subjects = Vec::new();
        let mut bad_rows = BTreeMap::new();
        let mut cursor = Cursor::new(None);
        while let Some(row) = cursor.next(mapping, &files)? {
            match row.outcome {
                Err(fault) => *bad_rows.entry(fault.reason).or_insert(0) += 1,
                Ok((record, _)) => {
                    if subjects.len() == MAX_SUBJECTS {
                        return Err(Error::Limit {
                            what: format!("subjects in {}", mapping.name),
                            limit: MAX_SUBJECTS as u64,
                        });
                    }
                    subjects.push((record.uscc, row.place));
                }
            }
        }
        subjects.sort_unstable();
        let rows = subjects.len();
        subjects.dedup_by_key(|(uscc, _)| *uscc);
        subjects.shrink_to_fit();
        let duplicates = rows - subjects.len();
        if duplicates > 0 {
            bad_rows.insert(Reason::DuplicateSubject, duplicates as u64);
        }
        let fingerprint = combined_fingerprint(mapping, &files);
        Ok(Self {
            files,
            subjects,
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
