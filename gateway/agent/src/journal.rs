//! A file that only grows: records in their order, each locked away under its place in the file.
//!
//! A record is on disk before [`Journal::append`] returns. What a crash cut short is at the end, was told to
//! nobody, and is dropped; a record anywhere else that does not open is damage, and said.
//!
//! A record is its length (4 bytes, big endian) and a piece of [`ChestKey`].

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::ChestKey;

use crate::state::{private, sync_dir};

/// The longest record: a job of 10,000 entries is well below it.
const MAX_RECORD: usize = 8 << 20;

/// A journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    key: ChestKey,
    /// What ties a record to this file.
    name: String,
    records: u64,
    /// Bytes of whole records.
    end: u64,
    /// Whether there may be bytes behind them.
    torn: bool,
}

impl Journal {
    /// Opens a journal, made where it is missing, and gives what is in it. Blocks.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub(crate) fn open<R: BorshDeserialize>(
        path: &Path,
        key: &ChestKey,
        name: String,
    ) -> io::Result<(Self, Vec<R>)> {
        let mut file = private(path)?;
        sync_dir(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut journal = Self {
            file,
            key: key.clone(),
            name,
            records: 0,
            end: 0,
            torn: false,
        };
        let mut records = Vec::new();
        let mut rest = &bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > MAX_RECORD + ChestKey::OVERHEAD {
                let why = format!("record {} of {}", journal.records, journal.name);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let Some((piece, after)) = after.split_at_checked(length) else {
                break;
            };
            let plain = match key.unlock(&journal.place(journal.records), piece) {
                Ok(plain) => plain,
                Err(_) if after.iter().all(|byte| *byte == 0) => break,
                Err(error) => {
                    let why = format!("record {} of {}: {error}", journal.records, journal.name);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            };
            records.push(R::try_from_slice(&plain)?);
            journal.records += 1;
            journal.end += 4 + length as u64;
            rest = after;
        }
        if !rest.is_empty() {
            tracing::warn!(
                name = journal.name,
                bytes = rest.len(),
                "the end of a journal was cut short: it is dropped"
            );
        }
        journal.cut()?;
        Ok((journal, records))
    }

    /// Appends records: when this returns, they are on disk and stay there. Blocks.
    ///
    /// # Errors
    /// When the disk fails; then none of them is there.
    pub(crate) fn append<R: BorshSerialize>(&mut self, records: &[R]) -> io::Result<()> {
        if self.torn {
            self.cut()?;
        }
        let mut bytes = Vec::new();
        let (mut place, mut rng) = (self.records, rand::rng());
        for record in records {
            let plain = zeroize::Zeroizing::new(borsh::to_vec(record)?);
            if plain.len() > MAX_RECORD {
                return Err(io::Error::other("a record is longer than it may be"));
            }
            let piece = self.key.lock(&self.place(place), &plain, &mut rng);
            let piece = piece.map_err(io::Error::other)?;
            // At most 8 MiB and 28 bytes.
            bytes.extend_from_slice(&(piece.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&piece);
            place += 1;
        }
        let written = (self.file.write_all(&bytes)).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.end += bytes.len() as u64;
                self.records = place;
                Ok(())
            }
            Err(error) => {
                self.torn = true;
                Err(error)
            }
        }
    }

    /// What ties a record to its place in this file.
    fn place(&self, number: u64) -> Vec<u8> {
        [self.name.as_bytes(), &number.to_be_bytes()].concat()
    }

    /// Drops what is behind the last whole record.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, key: &ChestKey) -> io::Result<(Journal, Vec<String>)> {
        Journal::open(path, key, "a journal".into())
    }

    #[test]
    fn records_are_there_again_however_the_last_one_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let key = ChestKey::generate(&mut rand::rng());
        let (mut journal, _) = open(&path, &key).unwrap();
        journal.append(&["one", "two"]).unwrap();
        let two = journal.end;
        journal.append(&["three"]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for length in two..whole.len() as u64 {
            std::fs::write(&path, &whole[..usize::try_from(length).unwrap()]).unwrap();
            assert_eq!(open(&path, &key).unwrap().1, ["one", "two"], "{length}");
        }
        // A crash may leave room for bytes that never came.
        let mut zeros = whole[..usize::try_from(two).unwrap()].to_vec();
        zeros.resize(whole.len() + 100, 0);
        std::fs::write(&path, &zeros).unwrap();
        let (mut journal, records) = open(&path, &key).unwrap();
        assert_eq!(records, ["one", "two"]);
        journal.append(&["four"]).unwrap();
        drop(journal);
        assert_eq!(open(&path, &key).unwrap().1, ["one", "two", "four"]);
    }

    #[test]
    fn damage_that_no_crash_makes_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let key = ChestKey::generate(&mut rand::rng());
        let (mut journal, _) = open(&path, &key).unwrap();
        journal.append(&["one", "two"]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(open(&path, &key).is_err());
        bytes[10] ^= 1;
        // Two records in each other's place.
        let half = bytes.len() / 2;
        bytes.rotate_left(half);
        std::fs::write(&path, &bytes).unwrap();
        assert!(open(&path, &key).is_err());
    }
}
