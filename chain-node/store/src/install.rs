//! Beginning with a whole state instead of with the genesis: chunk by chunk into a database of its
//! own beside the store's, which takes its place in one step when all is there.
//!
//! A chunk is checked against the certified checkpoint before anything of it is written. An
//! interruption costs what was under way: the same snapshot goes on where it stopped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use borsh::{BorshDeserialize, BorshSerialize};
use prost::Message;
use rocksdb::WriteBatch;
use xinqiao_crypto::{Digest, Frontier, merkle};
use xinqiao_ledger::{
    block::Header,
    checkpoint::{self, Snapshot},
    ids::Height,
    malformed::Malformed,
    validators::{Epochs, Handover},
    wire,
};

use crate::{
    checkpoint::{remove_if_there, sync_dir},
    database::{Database, Durability},
    error::Error,
    layout::{
        HEADERS, HISTORY, LAYOUT, META, META_CHAIN, META_FIRST, META_JOINING, META_LAYOUT,
        META_TIP, STATE, StoredHeader, StoredTip, Tip, decode, encode, height_key, node_key,
    },
    write::put_epoch,
};

/// The store's database, in the node's directory.
const LEDGER: &str = "ledger";
/// One that is being filled.
const JOINING: &str = "joining";
/// The one whose place was taken.
const REPLACED: &str = "replaced";
/// Checkpoints.
const CHECKPOINTS: &str = "checkpoints";

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Joining {
    /// Of the checkpoint.
    digest: Digest,
    /// The next chunk.
    next: u32,
    /// Pairs so far.
    pairs: u64,
}

/// Why a chunk is not taken. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It is not the chunk that validators certified.
    #[error("it is not the chunk that validators certified")]
    Other,
    /// It was certified, and is none: this program and the validators' differ.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A snapshot on its way into a store.
pub struct Installing {
    path: PathBuf,
    db: Database,
    snapshot: Snapshot,
    joining: Joining,
}

impl std::fmt::Debug for Installing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installing")
            .field("path", &self.path)
            .field("joining", &self.joining)
            .finish_non_exhaustive()
    }
}

impl Installing {
    /// Begins, or goes on with what an interruption left of the same snapshot. The store in the node's
    /// directory must be closed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin(path: &Path, snapshot: Snapshot) -> Result<Self, Error> {
        let dir = path.join(JOINING);
        let failed = |source| Error::Directory {
            path: dir.clone(),
            source,
        };
        fs::create_dir_all(&dir).map_err(failed)?;
        let digest = snapshot.checkpoint().digest();
        let db = Database::open(&dir, Durability::Scratch)?;
        let left = db.get(META, META_JOINING)?;
        let left = left.and_then(|bytes| decode::<Joining>(0, "transfer", &bytes).ok());
        if let Some(joining) = left.filter(|it| it.digest == digest) {
            return Ok(Self {
                path: path.to_owned(),
                db,
                snapshot,
                joining,
            });
        }
        drop(db);
        fs::remove_dir_all(&dir).map_err(failed)?;
        fs::create_dir_all(&dir).map_err(failed)?;
        let db = Database::open(&dir, Durability::Scratch)?;
        let joining = Joining {
            digest,
            next: 0,
            pairs: 0,
        };
        Ok(Self {
            path: path.to_owned(),
            db,
            snapshot,
            joining,
        })
    }

    /// What is being installed.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The chunk that is wanted next; none when all are here.
    pub fn next(&self) -> Option<usize> {
        let next = self.joining.next as usize;
        (next < self.snapshot.chunks()).then_some(next)
    }

    /// Takes the chunk that is wanted next.
    ///
    /// # Errors
    /// When it is another one.
    pub fn put(&mut self, chunk: &[u8]) -> Result<(), NotTaken> {
        if !self.snapshot.is_chunk(self.joining.next as usize, chunk) {
            return Err(NotTaken::Other);
        }
        let mut batch = WriteBatch::default();
        let pairs = put_chunk(&self.db, &mut batch, chunk)?;
        let joining = Joining {
            next: self.joining.next + 1,
            pairs: self.joining.pairs + pairs,
            ..self.joining
        };
        batch.put_cf(self.db.family(META), META_JOINING, encode(&joining));
        self.db.write(batch)?;
        self.joining = joining;
        Ok(())
    }

    /// Lets it take the store's place. The handovers are those that lead from the genesis to `epochs`.
    ///
    /// # Errors
    /// When chunks are missing, or the store fails; then the store is as it was.
    pub fn finish(self, epochs: &Epochs, handovers: &[Handover]) -> Result<Tip, Error> {
        let Self {
            path,
            db,
            snapshot,
            joining,
        } = self;
        let (header, checkpoint) = (snapshot.header(), snapshot.checkpoint());
        let height = header.height;
        if joining.next as usize != snapshot.chunks() || joining.pairs != checkpoint.pairs {
            return Err(Error::damaged(height, "the snapshot is not whole"));
        }
        let below = handovers.iter().filter(|one| one.header.height < height);
        let below = below.map(|one| {
            (
                one.header.height,
                one.header.encode(),
                (&one.certificate).into(),
            )
        });
        let base = Base {
            header,
            certificate: snapshot.certificate().into(),
            history: snapshot.history().clone(),
            handovers: below.collect(),
            epochs,
        };
        let tip = base.put(&db)?;
        // All of it into tables on disk before anything is moved.
        db.flush()?;
        drop(db);
        replace(&path).map_err(|source| Error::Directory { path, source })?;
        Ok(tip)
    }
}

/// What a store begins with above a whole state.
pub(crate) struct Base<'a> {
    /// The header that it is the state after.
    pub(crate) header: &'a Header,
    pub(crate) certificate: wire::Certificate,
    /// The history over all headers before.
    pub(crate) history: Frontier,
    /// Headers below it that handed over, with their certificates.
    pub(crate) handovers: Vec<(Height, Vec<u8>, wire::Certificate)>,
    /// The validators since the genesis; what is above the header is left out.
    pub(crate) epochs: &'a Epochs,
}

impl Base<'_> {
    /// Writes all but the state, which must be there.
    pub(crate) fn put(self, db: &Database) -> Result<Tip, Error> {
        let Self {
            header,
            certificate,
            history: mut frontier,
            handovers,
            epochs,
        } = self;
        let (height, hash) = (header.height, header.hash());
        let mut batch = WriteBatch::default();
        let history = db.family(HISTORY);
        for node in frontier.peaks() {
            batch.put_cf(history, node_key(node.level, node.index), node.digest);
        }
        frontier.append_with(merkle::leaf_hash(hash.as_bytes()), |node| {
            batch.put_cf(history, node_key(node.level, node.index), node.digest);
        });
        let heads = handovers
            .into_iter()
            .chain([(height, header.encode(), certificate)]);
        for (height, header, certificate) in heads {
            let certificate = certificate.encode_to_vec();
            let stored = StoredHeader {
                header,
                certificate,
            };
            batch.put_cf(db.family(HEADERS), height_key(height), encode(&stored));
        }
        for (from, set) in epochs.all().iter().filter(|(from, _)| *from <= height + 1) {
            put_epoch(db, &mut batch, *from, set);
        }
        let tip = Tip {
            height,
            time: header.time,
            hash,
            commitment: header.state_commitment,
        };
        let meta = db.family(META);
        batch.put_cf(meta, META_LAYOUT, LAYOUT.to_be_bytes());
        batch.put_cf(meta, META_CHAIN, header.chain.as_bytes());
        batch.put_cf(meta, META_TIP, encode(&StoredTip { tip, frontier }));
        batch.put_cf(meta, META_FIRST, (height + 1).to_be_bytes());
        batch.delete_cf(meta, META_JOINING);
        db.write(batch)?;
        Ok(tip)
    }
}

/// Writes the pairs of a chunk; gives how many.
pub(crate) fn put_chunk(
    db: &Database,
    batch: &mut WriteBatch,
    chunk: &[u8],
) -> Result<u64, Malformed> {
    let pairs = checkpoint::pairs(chunk)?;
    let state = db.family(STATE);
    for (key, value) in &pairs {
        batch.put_cf(state, key, value);
    }
    Ok(pairs.len() as u64)
}

/// Where the database of the store in a node's directory is. What a crash left of taking its place is
/// brought to its end.
pub(crate) fn ledger_dir(path: &Path) -> Result<PathBuf, Error> {
    let ledger = path.join(LEDGER);
    let settled = || -> io::Result<()> {
        fs::create_dir_all(path)?;
        let replaced = path.join(REPLACED);
        if replaced.exists() {
            // It was moved away only once the other was whole.
            if !ledger.exists() {
                fs::rename(path.join(JOINING), &ledger)?;
                sync_dir(path)?;
            }
            remove_if_there(&path.join(CHECKPOINTS))?;
            remove_if_there(&replaced)?;
        }
        Ok(())
    };
    settled().map_err(|source| Error::Directory {
        path: path.to_owned(),
        source,
    })?;
    Ok(ledger)
}

/// Where the checkpoints of the store in a node's directory are.
pub(crate) fn checkpoints_dir(path: &Path) -> PathBuf {
    path.join(CHECKPOINTS)
}

/// Whether there is a store in a node's directory.
pub fn exists(path: &Path) -> bool {
    [LEDGER, REPLACED]
        .iter()
        .any(|name| path.join(name).join("CURRENT").is_file())
}

fn replace(path: &Path) -> io::Result<()> {
    let (ledger, replaced) = (path.join(LEDGER), path.join(REPLACED));
    fs::create_dir_all(&ledger)?;
    fs::rename(&ledger, &replaced)?;
    fs::rename(path.join(JOINING), &ledger)?;
    sync_dir(path)?;
    remove_if_there(&path.join(CHECKPOINTS))?;
    remove_if_there(&replaced)
}
