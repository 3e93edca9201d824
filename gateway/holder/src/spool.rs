//! Sealed reports on disk, from before their record is submitted until they are confirmed or too old.
//!
//! What lies here is ciphertext to the institution, and the node could not make the same bytes again. So it
//! is synced to disk before anything is recorded of it. A file is `XQSP` ‖ SM3 of the rest (32) ‖ kind (1) ‖ the
//! sealed report; one that does not fit its digest is as good as none. Kind 0 is a digital envelope, which the
//! node cannot read back. Kind 1 is a body of a delivery group: before it stand its key (16) and the epoch's mark
//! (48). Such a key is overwritten before its file is deleted.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use xinqiao_crypto::{ContentKey, sm3, sm3_parts};
use xinqiao_dispatch::{
    delivery::Sealed,
    envelope::{GroupPart, SealedPart},
};
use xinqiao_ledger::{
    group::EpochMark,
    ids::OrderId,
    order::{MAX_SEALED, PartRef},
};

use zeroize::Zeroizing;

use crate::error::Error;

const MAGIC: &[u8; 4] = b"XQSP";
const KIND_AT: usize = 4 + 32;
const HEADER: usize = KIND_AT + 1;
const ENVELOPE: u8 = 0;
const GROUP: u8 = 1;
/// Key and mark.
const BESIDE: usize = ContentKey::LEN + EpochMark::LEN;

/// The spool of one node.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    limit: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    files: BTreeMap<PartRef, Kept>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: u64,
    since: SystemTime,
}

/// Why a report was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    #[error("the spool is full")]
    Full,
    #[error("the spool's disk failed: {0}")]
    Disk(#[from] io::Error),
}

impl Spool {
    /// Opens a spool, with what is in it. Blocks, as everything here does.
    pub(crate) fn open(dir: &Path, limit: u64) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let mut held = Held::default();
        for entry in fs::read_dir(dir).map_err(Error::file(dir))? {
            let entry = entry.map_err(Error::file(dir))?;
            let path = entry.path();
            let Some(part) = path.file_name().and_then(|name| name.to_str()).map(part_of) else {
                continue;
            };
            match part {
                Name::Part(part) => {
                    let data = entry.metadata().map_err(Error::file(&path))?;
                    let since = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    let bytes = data.len();
                    held.files.insert(part, Kept { bytes, since });
                    held.bytes += bytes;
                }
                // A crash cut it short before it was renamed: nothing was recorded of it.
                Name::Unfinished => forget(&path).map_err(Error::file(&path))?,
                Name::Other => {}
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            limit,
            held: Mutex::new(held),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, part: &PartRef, suffix: &str) -> PathBuf {
        self.dir
            .join(format!("{}-{}.{suffix}", part.order, part.part))
    }

    /// Keeps a sealed report: when this returns, it is on disk and stays there.
    pub(crate) fn keep(&self, part: &PartRef, sealed: &Sealed) -> Result<(), NotKept> {
        let bytes = sealed.length() + (HEADER + BESIDE) as u64;
        {
            let mut held = self.held();
            let before = held.files.get(part).map_or(0, |kept| kept.bytes);
            if held.bytes - before + bytes > self.limit {
                return Err(NotKept::Full);
            }
            // Room is taken before the file is written, so that many at once do not overfill it.
            held.bytes = held.bytes - before + bytes;
            let since = SystemTime::now();
            held.files.insert(*part, Kept { bytes, since });
        }
        self.write(part, sealed).map_err(|error| {
            self.drop_part(part);
            NotKept::Disk(error)
        })
    }

    fn write(&self, part: &PartRef, sealed: &Sealed) -> io::Result<()> {
        let (unfinished, finished) = (self.path(part, "part"), self.path(part, "sealed"));
        let mut file = private(&unfinished)?;
        let (report, group) = sealed.for_own_spool();
        let mut beside = Zeroizing::new(Vec::with_capacity(1 + BESIDE));
        match group {
            None => beside.push(ENVELOPE),
            Some(GroupPart { key, mark }) => {
                beside.push(GROUP);
                beside.extend_from_slice(key.expose());
                beside.extend_from_slice(&mark.to_bytes());
            }
        }
        file.write_all(MAGIC)?;
        file.write_all(sm3_parts(&[&beside, report]).as_bytes())?;
        file.write_all(&beside)?;
        file.write_all(report)?;
        file.sync_all()?;
        fs::rename(&unfinished, &finished)?;
        // The name must survive a power cut, too.
        File::open(&self.dir)?.sync_all()
    }

    /// What is kept of a part, if it is whole.
    pub(crate) fn load(&self, part: &PartRef) -> Option<Sealed> {
        if !self.held().files.contains_key(part) {
            return None;
        }
        match self.read(part) {
            Ok(Some(sealed)) => Some(sealed),
            Ok(None) => {
                tracing::error!(order = %part.order, part = part.part, "a spooled report is damaged");
                None
            }
            Err(error) => {
                tracing::error!(order = %part.order, part = part.part, %error, "a spooled report cannot be read");
                None
            }
        }
    }

    fn read(&self, part: &PartRef) -> io::Result<Option<Sealed>> {
        let limit = MAX_SEALED + (HEADER + BESIDE) as u64;
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(self.path(part, "sealed"))?
            .take(limit + 1)
            .read_to_end(&mut bytes)?;
        Ok(parse(&bytes).and_then(|part| Sealed::new(part).ok()))
    }

    /// Deletes what is kept of a part, if anything is.
    pub(crate) fn drop_part(&self, part: &PartRef) {
        let mut held = self.held();
        let Some(kept) = held.files.remove(part) else {
            return;
        };
        held.bytes -= kept.bytes;
        drop(held);
        for suffix in ["sealed", "part"] {
            match forget(&self.path(part, suffix)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(order = %part.order, part = part.part, %error, "a spooled report cannot be deleted");
                }
            }
        }
    }

    /// Parts kept for longer than that, oldest first.
    pub(crate) fn older_than(&self, age: Duration) -> Vec<PartRef> {
        let now = SystemTime::now();
        let old = |kept: &Kept| now.duration_since(kept.since).is_ok_and(|held| held >= age);
        let held = self.held();
        let mut parts: Vec<(SystemTime, PartRef)> = held
            .files
            .iter()
            .filter(|(_, kept)| old(kept))
            .map(|(part, kept)| (kept.since, *part))
            .collect();
        parts.sort();
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

/// A new file that its owner alone may read: keys of reports lie in it.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Deletes a file; a key that may lie in it is overwritten first, down to the disk.
fn forget(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; HEADER];
    let whole = file.read_exact(&mut header).is_ok();
    if !whole || header[KIND_AT] != ENVELOPE {
        let length = file.metadata()?.len().min((HEADER + BESIDE) as u64);
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_data()?;
    }
    fs::remove_file(path)
}

/// What a file says, if it is whole.
fn parse(bytes: &[u8]) -> Option<SealedPart> {
    let (digest, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if sm3(rest).as_bytes() != digest {
        return None;
    }
    let (kind, rest) = rest.split_first()?;
    match *kind {
        ENVELOPE => Some(SealedPart::envelope(rest.to_vec())),
        GROUP => {
            let (key, rest) = rest.split_first_chunk::<{ ContentKey::LEN }>()?;
            let (mark, body) = rest.split_first_chunk::<{ EpochMark::LEN }>()?;
            Some(SealedPart {
                bytes: body.to_vec(),
                group: Some(GroupPart {
                    key: ContentKey::from_bytes(key),
                    mark: EpochMark::from_bytes(mark),
                }),
            })
        }
        _ => None,
    }
}

enum Name {
    Part(PartRef),
    Unfinished,
    Other,
}

fn part_of(name: &str) -> Name {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Name::Other;
    };
    let Some((order, part)) = stem.rsplit_once('-') else {
        return Name::Other;
    };
    match (order.parse::<OrderId>(), part.parse(), suffix) {
        (Ok(order), Ok(part), "sealed") => Name::Part(PartRef { order, part }),
        (Ok(_), Ok(_), "part") => Name::Unfinished,
        _ => Name::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u8) -> PartRef {
        PartRef {
            order: OrderId(sm3(b"order")),
            part: index,
        }
    }

    fn sealed(length: usize) -> Sealed {
        Sealed::new(SealedPart::envelope(vec![7; length])).unwrap()
    }

    fn body(length: usize) -> Sealed {
        let group = GroupPart {
            key: ContentKey::from_bytes(&[9; 16]),
            mark: EpochMark {
                generation: 1,
                epoch: 2,
                authenticator: sm3(b"authenticator"),
            },
        };
        Sealed::new(SealedPart {
            bytes: vec![7; length],
            group: Some(group),
        })
        .unwrap()
    }

    #[test]
    fn a_group_s_body_is_kept_with_its_key_which_is_overwritten_when_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 1_000).unwrap();
        spool.keep(&part(0), &body(100)).unwrap();
        drop(spool);
        let spool = Spool::open(dir.path(), 1_000).unwrap();
        assert_eq!(spool.load(&part(0)), Some(body(100)));
        // A second name for the file's blocks: what somebody would see who got at them later.
        let blocks = dir.path().join("blocks");
        fs::hard_link(spool.path(&part(0), "sealed"), &blocks).unwrap();
        let holds_key = || {
            let bytes = fs::read(&blocks).unwrap();
            bytes.windows(16).any(|window| window == [9; 16])
        };
        assert!(holds_key());
        spool.drop_part(&part(0));
        assert!(!holds_key());
        assert_eq!(spool.load(&part(0)), None);
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 1_000).unwrap();
        spool.keep(&part(0), &sealed(100)).unwrap();
        drop(spool);
        let spool = Spool::open(dir.path(), 1_000).unwrap();
        assert_eq!(spool.load(&part(0)), Some(sealed(100)));
        assert_eq!(spool.load(&part(1)), None);
        spool.drop_part(&part(0));
        assert_eq!(spool.load(&part(0)), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_spool_never_grows_over_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 450).unwrap();
        spool.keep(&part(0), &sealed(100)).unwrap();
        spool.keep(&part(1), &sealed(100)).unwrap();
        assert!(matches!(
            spool.keep(&part(2), &sealed(100)),
            Err(NotKept::Full)
        ));
        // The same part again takes the room of its earlier file.
        spool.keep(&part(1), &sealed(100)).unwrap();
        assert_eq!(spool.older_than(Duration::ZERO), [part(0), part(1)]);
        spool.drop_part(&part(0));
        spool.keep(&part(2), &sealed(100)).unwrap();
    }

    #[test]
    fn a_damaged_or_unfinished_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 10_000).unwrap();
        let path = spool.path(&part(0), "sealed");
        for damage in [0, 5, KIND_AT, HEADER, HEADER + 99] {
            spool.keep(&part(0), &sealed(100)).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[damage] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(spool.load(&part(0)), None, "byte {damage}");
        }
        fs::write(&path, b"XQ").unwrap();
        assert_eq!(spool.load(&part(0)), None, "cut short");
        fs::write(spool.path(&part(1), "part"), b"XQSP").unwrap();
        let spool = Spool::open(dir.path(), 10_000).unwrap();
        assert!(!spool.path(&part(1), "part").exists());
    }
}
