//! The agent's folder: what must outlast it. Everything in it is locked under one key, which is sealed to the
//! institution's encryption key; so a copy of the folder without that key tells nothing.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held while an agent uses the folder |
//! | `chest.key` | the key, sealed |
//! | `requests/DAY.journal` | ids of requests with their orders, a file a day ([`crate::requests`]) |
//! | `answers/…` | answers to them, for an hour |
//! | `jobs/…` | jobs ([`crate::jobs`]) |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tonic::Status;
use xinqiao_crypto::{ChestKey, Open, Seal, SecretKey, Sm2Sm4Gcm};
use xinqiao_rpc::{Fault, Reason};
use zeroize::Zeroizing;

use crate::Error;

const KEY_AAD: &[u8] = b"xinqiao agent state 1";

/// The folder of one agent, and the key to what is in it.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    key: ChestKey,
    /// Bytes of results and answers.
    used: AtomicU64,
    limit: u64,
    // Dropping it lets go of the folder.
    _lock: File,
}

impl State {
    /// Opens a folder, and makes it where it is missing. Blocks, as everything here does.
    pub(crate) fn open(dir: &Path, own: &SecretKey, limit: u64) -> Result<Self, Error> {
        let fault = |why: String| Error::State {
            dir: dir.to_owned(),
            why,
        };
        let failed = |error: io::Error| fault(error.to_string());
        make_dir(dir).map_err(failed)?;
        let lock = private(&dir.join("lock")).map_err(failed)?;
        lock.try_lock()
            .map_err(|_| fault("another agent uses it".to_owned()))?;
        let path = dir.join("chest.key");
        let key = match fs::read(&path) {
            Ok(sealed) => {
                let opened = own.open(KEY_AAD, &sealed);
                let opened = opened.map_err(|error| fault(format!("chest.key: {error}")))?;
                let bytes = <&[u8; ChestKey::LEN]>::try_from(opened.as_slice());
                ChestKey::from_bytes(bytes.map_err(|_| fault("chest.key is damaged".to_owned()))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = ChestKey::generate(&mut rand::rng());
                let sealed = Sm2Sm4Gcm
                    .seal(own.public(), KEY_AAD, key.expose(), &mut rand::rng())
                    .map_err(|error| fault(error.to_string()))?;
                write_whole(&path, &sealed).map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        for part in ["requests", "answers", "jobs"] {
            make_dir(&dir.join(part)).map_err(failed)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            key,
            used: AtomicU64::new(0),
            limit,
            _lock: lock,
        })
    }

    pub(crate) fn key(&self) -> &ChestKey {
        &self.key
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Counts bytes that are there already.
    pub(crate) fn count(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the folder holds less than it may.
    pub(crate) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit
    }

    /// Locks bytes away in a file of their own: when this returns, they are on disk and stay there.
    pub(crate) fn keep(&self, path: &Path, aad: &[u8], bytes: &[u8]) -> Result<u64, Status> {
        let piece = self.key.lock(aad, bytes, &mut rand::rng());
        let piece = piece.map_err(|error| unusable(path, &error))?;
        // One that could not be recorded is written again.
        let before = fs::metadata(path).map_or(0, |data| data.len());
        write_whole(path, &piece).map_err(|error| unusable(path, &error))?;
        let length = piece.len() as u64;
        self.count(length.saturating_sub(before));
        Ok(length)
    }

    /// What was kept there; none if there is no such file.
    pub(crate) fn kept(
        &self,
        path: &Path,
        aad: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Status> {
        match fs::read(path) {
            Ok(piece) => {
                let plain = self.key.unlock(aad, &piece);
                plain.map(Some).map_err(|error| unusable(path, &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(path, &error)),
        }
    }

    /// Deletes what was kept there, of so many bytes.
    pub(crate) fn forget(&self, path: &Path, bytes: u64) {
        match fs::remove_file(path) {
            Ok(()) => {
                let less = |used: u64| Some(used.saturating_sub(bytes));
                let _ = (self.used).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "a file of the state folder cannot be deleted"),
        }
    }
}

/// The state folder failed; the log says where, and the caller does not learn.
pub(crate) fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Status {
    tracing::error!(path = %path.display(), %error, "the state folder cannot be used");
    Fault::new(Reason::Internal)
        .because("the agent's state folder cannot be used")
        .status()
}

pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

/// A file that its owner alone reads, made where it is missing.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Writes a file that is there whole or not at all, whenever the power goes.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    let mut file = private(&unfinished)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_dir(path)
}

/// The file's name must survive a power cut, too.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again_under_the_same_key_alone_and_unreadable_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let own = SecretKey::generate(&mut rand::rng());
        let state = State::open(dir.path(), &own, 1_000).unwrap();
        let path = state.folder("jobs").join("one");
        let bytes = state.keep(&path, b"one", b"a plain report").unwrap();
        assert!(
            State::open(dir.path(), &own, 1_000).is_err(),
            "it is in use"
        );
        drop(state);

        let on_disk = fs::read(&path).unwrap();
        assert!(!on_disk.windows(5).any(|window| window == b"plain"));
        let stranger = SecretKey::generate(&mut rand::rng());
        assert!(State::open(dir.path(), &stranger, 1_000).is_err());
        let state = State::open(dir.path(), &own, 1_000).unwrap();
        let kept = state.kept(&path, b"one").unwrap().unwrap();
        assert_eq!(*kept, b"a plain report");
        assert!(state.kept(&path, b"two").is_err());
        state.forget(&path, bytes);
        assert!(state.kept(&path, b"one").unwrap().is_none());
    }

    #[test]
    fn room_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let own = SecretKey::generate(&mut rand::rng());
        let state = State::open(dir.path(), &own, 100).unwrap();
        let path = state.folder("answers").join("one");
        assert!(state.has_room());
        let bytes = state.keep(&path, b"", &[0; 100]).unwrap();
        assert!(!state.has_room());
        state.forget(&path, bytes);
        assert!(state.has_room());
    }
}
