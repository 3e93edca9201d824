//! Checkpoints: whole states of the past, kept aside until their digests are named by a header, and
//! then for nodes that begin with one.
//!
//! A checkpoint is a RocksDB checkpoint (hard links) of the state alone. Taking it is part of
//! committing its block; a crash in between is made good when the store is opened, for the tip is
//! then still that block. Digesting it takes a pass over the whole state and happens on a thread of
//! its own: it has until the next checkpoint is due.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rocksdb::{
    DB, Direction, IteratorMode, Options, ReadOptions, checkpoint::Checkpoint as HardLinks,
};
use xinqiao_contracts::last_checkpoint;
use xinqiao_crypto::{Digest, merkle, sm3};
use xinqiao_ledger::{
    block::Certificate,
    checkpoint::{Checkpoint, Cutter, Offer},
    ids::{HeaderHash, Height},
};

use crate::{
    database::Database,
    error::Error,
    layout::{HEADERS, STATE, StoredHeader, Tip, decode, height_key},
    read::Reader,
};

/// The one whose digest is not named yet, the newest that is, and one more for those who are at it.
const KEPT: usize = 3;

/// What is added to a directory's name while it is made.
const PART: &str = "part";

/// The checkpoints of one store.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    dir: PathBuf,
    kept: Mutex<BTreeMap<Height, Arc<Kept>>>,
}

/// One checkpoint.
struct Kept {
    height: Height,
    header: HeaderHash,
    path: PathBuf,
    digested: OnceLock<Result<Digested, String>>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.height).finish()
    }
}

/// A checkpoint that was read through.
struct Digested {
    db: DB,
    checkpoint: Checkpoint,
    /// The first key and the leaf hash of every chunk.
    chunks: Vec<(Vec<u8>, Digest)>,
}

impl Checkpoints {
    /// Those in a directory, of a chain between two heights; others there are removed.
    pub(crate) fn open(
        dir: PathBuf,
        heights: RangeInclusive<Height>,
        db: &Database,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Directory {
            path: dir.clone(),
            source,
        };
        fs::create_dir_all(&dir).map_err(failed)?;
        let mut kept = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let height = name.and_then(|name| name.parse::<Height>().ok());
            let height = height.filter(|height| heights.contains(height));
            let header = height
                .map(|height| header_at(db, height))
                .transpose()?
                .flatten();
            match (height, header) {
                (Some(height), Some(header)) => {
                    kept.insert(height, Arc::new(Kept::new(height, header, path)));
                }
                _ => fs::remove_dir_all(&path).map_err(failed)?,
            }
        }
        Ok(Self {
            dir,
            kept: Mutex::new(kept),
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<Height, Arc<Kept>>> {
        // Nothing that can panic runs while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, height: Height) -> Option<Arc<Kept>> {
        self.kept().get(&height).cloned()
    }

    pub(crate) fn has(&self, height: Height) -> bool {
        self.kept().contains_key(&height)
    }

    /// The heights of all, ascending.
    pub(crate) fn heights(&self) -> Vec<Height> {
        self.kept().keys().copied().collect()
    }

    /// Takes one at the tip, lets go of the oldest, and begins to digest it.
    pub(crate) fn take(&self, db: &Database, tip: &Tip) -> Result<(), Error> {
        let path = self.dir.join(tip.height.to_string());
        let part = path.with_extension(PART);
        let failed = |source| Error::Directory {
            path: path.clone(),
            source,
        };
        remove_if_there(&part).map_err(failed)?;
        HardLinks::new(db.raw())?.create_checkpoint(&part)?;
        leave_state_alone(&part)?;
        fs::rename(&part, &path).map_err(failed)?;
        sync_dir(&self.dir).map_err(failed)?;
        let mut all = self.kept();
        all.insert(
            tip.height,
            Arc::new(Kept::new(tip.height, tip.hash, path.clone())),
        );
        while all.len() > KEPT
            && let Some((_, oldest)) = all.pop_first()
        {
            // What is left behind is removed when the store is opened next.
            if let Err(error) = fs::remove_dir_all(&oldest.path) {
                tracing::warn!(path = %oldest.path.display(), %error, "an old checkpoint is left behind");
            }
        }
        drop(all);
        self.begin_digest(tip.height);
        Ok(())
    }

    /// Begins to digest a checkpoint, if it is there.
    pub(crate) fn begin_digest(&self, height: Height) {
        if let Some(kept) = self.at(height) {
            // Whoever needs the digest waits for this thread, or does its work if it could not start.
            let begun = std::thread::Builder::new()
                .name("checkpoint".into())
                .spawn(move || {
                    if let Err(fault) = kept.digested() {
                        tracing::error!(height, %fault, "a checkpoint cannot be digested");
                    }
                });
            if let Err(error) = begun {
                tracing::warn!(height, %error, "a checkpoint is digested when it is needed");
            }
        }
    }

    /// The digest of the checkpoint at a height; waits until it is known.
    pub(crate) fn digest(&self, height: Height) -> Result<Digest, Error> {
        let missing = || {
            Error::damaged(
                height,
                "the checkpoint is missing: begin again with a snapshot",
            )
        };
        let kept = self.at(height).ok_or_else(missing)?;
        Ok(kept.digested()?.checkpoint.digest())
    }

    /// Chunk by chunk in their order: for a copy on the same machine.
    pub(crate) fn each_chunk(
        &self,
        height: Height,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let kept = self
            .at(height)
            .ok_or_else(|| Error::damaged(height, "the checkpoint is missing"))?;
        let digested = kept.digested()?;
        for index in 0..digested.chunks.len() {
            if let Some(chunk) = digested.chunk(index)? {
                take(&chunk)?;
            }
        }
        Ok(())
    }
}

impl Kept {
    fn new(height: Height, header: HeaderHash, path: PathBuf) -> Self {
        Self {
            height,
            header,
            path,
            digested: OnceLock::new(),
        }
    }

    fn digested(&self) -> Result<&Digested, Error> {
        let digested = self
            .digested
            .get_or_init(|| self.digest().map_err(|fault| fault.to_string()));
        digested
            .as_ref()
            .map_err(|fault| Error::damaged(self.height, format!("checkpoint: {fault}")))
    }

    fn digest(&self) -> Result<Digested, Error> {
        let started = std::time::Instant::now();
        let db = DB::open_cf_for_read_only(&options(), &self.path, [STATE], false)?;
        let (mut chunks, mut pairs) = (Vec::new(), 0);
        let (mut cutter, mut first) = (Cutter::default(), None);
        for pair in iterate(&db, IteratorMode::Start)? {
            let (key, value) = pair?;
            pairs += 1;
            let begins = first.get_or_insert_with(|| key.to_vec());
            if let Some(chunk) = cutter.push(&key, &value) {
                chunks.push((std::mem::take(begins), merkle::leaf_hash(&chunk)));
                first = None;
            }
        }
        if let (Some(first), Some(chunk)) = (first, cutter.finish()) {
            chunks.push((first, merkle::leaf_hash(&chunk)));
        }
        let leaves: Vec<Digest> = chunks.iter().map(|(_, leaf)| *leaf).collect();
        let checkpoint = Checkpoint {
            height: self.height,
            header: self.header,
            pairs,
            root: merkle::root(&leaves),
        };
        tracing::info!(height = self.height, pairs, chunks = chunks.len(), took = ?started.elapsed(), "a checkpoint was digested");
        Ok(Digested {
            db,
            checkpoint,
            chunks,
        })
    }
}

impl Digested {
    fn chunk(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some((first, leaf)) = self.chunks.get(index) else {
            return Ok(None);
        };
        let next = self.chunks.get(index + 1).map(|(first, _)| &first[..]);
        let mut cutter = Cutter::default();
        let mut whole = None;
        for pair in iterate(&self.db, IteratorMode::From(first, Direction::Forward))? {
            let (key, value) = pair?;
            if next == Some(&key[..]) {
                break;
            }
            whole = cutter.push(&key, &value);
            if whole.is_some() {
                break;
            }
        }
        let chunk = whole.or_else(|| cutter.finish()).unwrap_or_default();
        if merkle::leaf_hash(&chunk) != *leaf {
            return Err(Error::damaged(
                self.checkpoint.height,
                format!("chunk {index} of the checkpoint"),
            ));
        }
        Ok(Some(chunk))
    }
}

impl Reader {
    /// The newest whole state whose digest a certified header names, if there is one.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn snapshot(&self) -> Result<Option<Offer>, Error> {
        let Some(naming_height) = last_checkpoint(&self.view())? else {
            return Ok(None);
        };
        let newest =
            (self.checkpoints.heights().into_iter()).rfind(|height| *height < naming_height);
        let Some(kept) = newest.and_then(|height| self.checkpoints.at(height)) else {
            return Ok(None);
        };
        let head = |height| {
            (self.head(height)?).ok_or_else(|| Error::damaged(height, "the header is missing"))
        };
        let (head, naming) = (head(kept.height)?, head(naming_height)?);
        let Digested {
            checkpoint, chunks, ..
        } = kept.digested()?;
        // One that another one between was named after: a new one is here soon.
        if naming.header.checkpoint != Some(checkpoint.digest()) {
            return Ok(None);
        }
        let certificate = |height, wire| {
            Certificate::try_from(wire).map_err(|fault| Error::damaged(height, fault))
        };
        Ok(Some(Offer {
            history: self.history_before(kept.height)?,
            certificate: certificate(kept.height, &head.certificate)?,
            header: head.header,
            pairs: checkpoint.pairs,
            chunks: chunks.iter().map(|(_, leaf)| *leaf).collect(),
            naming_certificate: certificate(naming_height, &naming.certificate)?,
            naming: naming.header,
        }))
    }

    /// A chunk of a state that was offered, if it is still kept and has so many.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn snapshot_chunk(&self, height: Height, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.checkpoints.at(height) {
            Some(kept) => kept.digested()?.chunk(index),
            None => Ok(None),
        }
    }
}

type Pair = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn iterate<'a>(
    db: &'a DB,
    mode: IteratorMode<'_>,
) -> Result<impl Iterator<Item = Pair> + 'a, Error> {
    let family = db
        .cf_handle(STATE)
        .ok_or_else(|| Error::damaged(0, "a checkpoint has no state"))?;
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_verify_checksums(true);
    Ok(db.iterator_cf_opt(family, options, mode))
}

/// The hash of the header at a height.
fn header_at(db: &Database, height: Height) -> Result<Option<HeaderHash>, Error> {
    let Some(bytes) = db.get(HEADERS, height_key(height))? else {
        return Ok(None);
    };
    let stored: StoredHeader = decode(height, "header", &bytes)?;
    Ok(Some(HeaderHash(sm3(&stored.header))))
}

/// Drops all families but the state, so that the others' old files are not kept on disk.
fn leave_state_alone(path: &Path) -> Result<(), Error> {
    let families = DB::list_cf(&options(), path)?;
    let mut db = DB::open_cf(&options(), path, &families)?;
    for family in families
        .iter()
        .filter(|name| *name != STATE && *name != "default")
    {
        db.drop_cf(family)?;
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_max_open_files(64);
    options.set_keep_log_file_num(1);
    options.set_max_background_jobs(1);
    options
}

/// Removes a directory with all in it.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes sure that what was renamed in a directory stays so.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
