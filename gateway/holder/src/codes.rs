//! Which code is behind a pseudonym: a sorted file for each source.
//!
//! Orders name subjects by pseudonym, adapters want plain codes, and the way back exists only as a list of
//! all of them. It is kept on disk, because a source may have millions of subjects: one record each, in
//! ascending order of pseudonyms, with every 128th pseudonym in memory, so that a look-up is one read.
//! Codes are sealed with a pad of the source's salt key: the list alone says nothing.
//!
//! ```text
//!   scan ──▶ <source>.seen (as they come) ──▶ sorted runs ──▶ <source>.codes (merged; replaced as a whole)
//! ```
//!
//! Making the list takes memory for one run, however many subjects there are.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::Subject,
    item::{PseudonymKey, SaltKey},
    uscc::{USCC_LENGTH, Uscc},
};

use crate::error::Error;

/// Bytes of a record: pseudonym (32) ‖ sealed code (18).
pub(crate) const RECORD: usize = 32 + USCC_LENGTH;

/// Opens the file; the number of records follows as a big-endian u64.
const MAGIC: &[u8; 16] = b"xinqiao/codes/v1";

/// Bytes before the first record.
const HEADER: u64 = 24;

/// Records that are read in one look-up.
const FENCE: u64 = 128;

/// Records of one sorted run: 13 MB.
const RUN: usize = 1 << 18;

/// A record as it lies in the files.
pub(crate) type Record = [u8; RECORD];

/// The records of subjects.
pub(crate) fn records<'a>(
    subjects: &[Subject],
    codes: impl IntoIterator<Item = &'a Uscc>,
    salt: &SaltKey,
) -> Vec<Record> {
    (subjects.iter().zip(codes))
        .zip(salt.code_pads(subjects))
        .map(|((subject, uscc), pad)| record(subject, uscc, &pad))
        .collect()
}

fn record(subject: &Subject, uscc: &Uscc, pad: &[u8; USCC_LENGTH]) -> Record {
    let mut record = [0; RECORD];
    let (pseudonym, code) = record.split_at_mut(32);
    pseudonym.copy_from_slice(subject.as_bytes());
    for (place, (plain, pad)) in code.iter_mut().zip(uscc.expose().bytes().zip(pad)) {
        *place = plain ^ pad;
    }
    record
}

fn subject(record: &Record) -> Subject {
    let (pseudonym, _) = record
        .split_first_chunk::<32>()
        .expect("a record is longer");
    Subject(Digest::new(*pseudonym))
}

/// All subjects of a source with their codes.
#[derive(Debug)]
pub(crate) struct CodeBook {
    path: PathBuf,
    file: File,
    count: u64,
    /// The pseudonym of every [`FENCE`]th record.
    fences: Vec<[u8; 32]>,
}

impl CodeBook {
    /// Opens a list; none if there is none, or if it is not whole.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let failed = Error::file(path);
        match Self::read(path) {
            Ok(book) => Ok(book),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(failed(fault)),
        }
    }

    fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER as usize];
        if length < HEADER {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0)?;
        let (magic, count) = header.split_at(MAGIC.len());
        let count = u64::from_be_bytes(count.try_into().expect("eight bytes are left"));
        let whole = count
            .checked_mul(RECORD as u64)
            .and_then(|bytes| bytes.checked_add(HEADER));
        if magic != MAGIC || whole != Some(length) {
            return Ok(None);
        }
        let mut fences = Vec::with_capacity(usize::try_from(count.div_ceil(FENCE)).unwrap_or(0));
        for index in (0..count).step_by(FENCE as usize) {
            let mut fence = [0; 32];
            file.read_exact_at(&mut fence, HEADER + index * RECORD as u64)?;
            fences.push(fence);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            count,
            fences,
        }))
    }

    /// How many subjects it has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The code behind a pseudonym. What was damaged on disk is not found: the code has to lead to the
    /// pseudonym again. Blocks, for one read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn find(
        &self,
        subject: &Subject,
        salt: &SaltKey,
        key: &PseudonymKey,
    ) -> Result<Option<Uscc>, Error> {
        let after = self
            .fences
            .partition_point(|fence| fence <= subject.as_bytes());
        let Some(before) = after.checked_sub(1) else {
            return Ok(None);
        };
        let from = before as u64 * FENCE;
        let records = FENCE.min(self.count - from);
        let mut bytes = vec![0; RECORD * usize::try_from(records).expect("few records")];
        let offset = HEADER + from * RECORD as u64;
        (self.file.read_exact_at(&mut bytes, offset)).map_err(Error::file(&self.path))?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let Ok(index) = records.binary_search_by(|one| one[..32].cmp(subject.as_bytes())) else {
            return Ok(None);
        };
        let pad = salt.code_pad(subject);
        let code: Vec<u8> = (records[index][32..].iter().zip(pad))
            .map(|(sealed, pad)| sealed ^ pad)
            .collect();
        let uscc = (std::str::from_utf8(&code).ok()).and_then(|code| code.parse::<Uscc>().ok());
        Ok(uscc.filter(|uscc| key.subject(uscc) == *subject))
    }

    /// All subjects, ascending.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn subjects(&self) -> Result<Subjects, Error> {
        let open = || {
            let mut file = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
            file.read_exact(&mut [0; HEADER as usize])?;
            Ok(file)
        };
        Ok(Subjects {
            records: Records {
                path: self.path.clone(),
                file: open().map_err(Error::file(&self.path))?,
                left: self.count,
            },
        })
    }
}

/// The subjects of a list, ascending.
pub(crate) struct Subjects {
    records: Records,
}

impl Iterator for Subjects {
    type Item = Result<Subject, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        Some(record.map(|record| subject(&record)))
    }
}

/// So many records of a file, one after the other.
struct Records {
    path: PathBuf,
    file: BufReader<File>,
    left: u64,
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut record = [0; RECORD];
        let read = self.file.read_exact(&mut record);
        Some(read.map(|()| record).map_err(Error::file(&self.path)))
    }
}

/// Sorts the first `count` records of a file into a list, which takes the place of an earlier one in one
/// step. A subject that comes twice is kept once. Blocks.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn build(seen: &Path, count: u64, path: &Path) -> Result<CodeBook, Error> {
    let runs = Runs::sort(seen, count, path)?;
    let part = path.with_extension("codes-part");
    let failed = || Error::file(&part);
    let mut file = BufWriter::with_capacity(1 << 16, File::create(&part).map_err(failed())?);
    file.write_all(&[0; HEADER as usize]).map_err(failed())?;
    let (mut written, mut last) = (0_u64, None);
    for record in runs.merged()? {
        let record = record?;
        let subject = subject(&record);
        if last == Some(subject) {
            continue;
        }
        last = Some(subject);
        file.write_all(&record).map_err(failed())?;
        written += 1;
    }
    let mut header = MAGIC.to_vec();
    header.extend(written.to_be_bytes());
    let file = (file.into_inner()).map_err(|fault| failed()(fault.into_error()))?;
    file.write_all_at(&header, 0).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    fs::rename(&part, path).map_err(failed())?;
    drop(runs);
    let lost = || Error::file(path)(io::Error::other("it was not written as a whole"));
    CodeBook::open(path)?.ok_or_else(lost)
}

/// Sorted runs on disk; they are removed when it is dropped.
struct Runs(Vec<PathBuf>);

impl Drop for Runs {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that is left is written over by the next.
            let _ = fs::remove_file(path);
        }
    }
}

impl Runs {
    fn sort(seen: &Path, count: u64, path: &Path) -> Result<Self, Error> {
        let mut all = Records {
            path: seen.to_owned(),
            file: BufReader::with_capacity(1 << 16, File::open(seen).map_err(Error::file(seen))?),
            left: count,
        };
        let mut runs = Self(Vec::new());
        loop {
            let mut run = all.by_ref().take(RUN).collect::<Result<Vec<_>, _>>()?;
            if run.is_empty() {
                return Ok(runs);
            }
            run.sort_unstable();
            let file = path.with_extension(format!("codes-run-{}", runs.0.len()));
            runs.0.push(file.clone());
            fs::write(&file, run.as_flattened()).map_err(Error::file(&file))?;
        }
    }

    /// All records, ascending.
    fn merged(&self) -> Result<impl Iterator<Item = Result<Record, Error>>, Error> {
        let mut runs = Vec::with_capacity(self.0.len());
        let mut next = BinaryHeap::with_capacity(self.0.len());
        for (number, path) in self.0.iter().enumerate() {
            let open = || {
                let file = File::open(path)?;
                let left = file.metadata()?.len() / RECORD as u64;
                Ok((BufReader::with_capacity(1 << 16, file), left))
            };
            let (file, left) = open().map_err(Error::file(path))?;
            let mut run = Records {
                path: path.clone(),
                file,
                left,
            };
            if let Some(first) = run.next() {
                next.push(Reverse((first?, number)));
            }
            runs.push(run);
        }
        Ok(std::iter::from_fn(move || {
            let Reverse((record, number)) = next.pop()?;
            match runs[number].next() {
                Some(Ok(following)) => next.push(Reverse((following, number))),
                Some(Err(fault)) => return Some(Err(fault)),
                None => {}
            }
            Some(Ok(record))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (PseudonymKey, SaltKey) {
        (PseudonymKey::from([7; 32]), SaltKey::from([8; 32]))
    }

    fn uscc(number: u32) -> Uscc {
        Uscc::from_base17(&format!("91310115MA{number:07}")).unwrap()
    }

    /// A list of these, some of which come twice.
    fn book(folder: &Path, numbers: impl Iterator<Item = u32>) -> CodeBook {
        let (key, salt) = keys();
        let seen = folder.join("tax.seen");
        let mut bytes = Vec::new();
        for number in numbers {
            let uscc = uscc(number);
            bytes.extend(records(&[key.subject(&uscc)], [&uscc], &salt).concat());
        }
        fs::write(&seen, &bytes).unwrap();
        build(
            &seen,
            (bytes.len() / RECORD) as u64,
            &folder.join("tax.codes"),
        )
        .unwrap()
    }

    #[test]
    fn every_pseudonym_of_the_list_leads_to_its_code_and_no_other_does() {
        let disk = tempfile::tempdir().unwrap();
        let (key, salt) = keys();
        for count in [0, 1, 127, 128, 129, 1_000] {
            let book = book(disk.path(), (0..count).rev());
            assert_eq!(book.count(), u64::from(count));
            for number in 0..count + 50 {
                let expected = (number < count).then(|| uscc(number));
                let subject = key.subject(&uscc(number));
                assert_eq!(
                    book.find(&subject, &salt, &key).unwrap(),
                    expected,
                    "{number} of {count}"
                );
            }
        }
        assert_eq!(
            fs::read_dir(disk.path()).unwrap().count(),
            2,
            "the runs are gone"
        );
    }

    #[test]
    fn a_list_of_many_runs_is_sorted_and_has_each_subject_once() {
        let disk = tempfile::tempdir().unwrap();
        let count = RUN as u32 * 2 + 5;
        let book = book(disk.path(), (0..count).chain(0..9));
        let subjects: Vec<Subject> = book.subjects().unwrap().map(Result::unwrap).collect();
        assert_eq!(subjects.len(), count as usize);
        assert!(subjects.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_file_alone_tells_no_code_and_damage_is_not_believed() {
        let disk = tempfile::tempdir().unwrap();
        let (key, salt) = keys();
        drop(book(disk.path(), 0..300));
        let path = disk.path().join("tax.codes");
        let whole = fs::read(&path).unwrap();
        assert!(!whole.windows(9).any(|bytes| bytes == b"91310115M"));

        let at = HEADER as usize + 5 * RECORD + 40;
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let book = CodeBook::open(&path).unwrap().unwrap();
        let found = (0..300).filter(|number| {
            let subject = key.subject(&uscc(*number));
            book.find(&subject, &salt, &key).unwrap().is_some()
        });
        assert_eq!(found.count(), 299);

        for cut in [0, 10, HEADER as usize, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            let book = CodeBook::open(&path).unwrap();
            assert!(book.is_none(), "{cut} bytes are no list");
        }
        assert!(CodeBook::open(&disk.path().join("none")).unwrap().is_none());
    }
}
