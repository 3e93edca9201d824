//! Writing: the genesis once, then one block after the other, each in one synced batch.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use rocksdb::WriteBatch;
use xinqiao_contracts::{Writes, genesis_writes, last_checkpoint, state_commitment};
use xinqiao_crypto::{Digest, Frontier, merkle};
use xinqiao_ledger::{
    block::{Certificate, Certified, Header},
    genesis::Genesis,
    ids::{ChainId, Height},
    validators::{Epochs, ValidatorSet},
    wire,
};

use crate::{
    checkpoint::Checkpoints,
    database::{Database, Durability},
    error::Error,
    execution::Execution,
    install::{checkpoints_dir, ledger_dir},
    layout::{
        BODIES, EPOCHS, FAMILIES, HEADERS, HISTORY, LAYOUT, META, META_CHAIN, META_HALTED,
        META_LAYOUT, META_TIP, OUTCOMES, STATE, StoredHeader, StoredList, StoredSet, StoredTip,
        TXS, Tip, encode, height_key, node_key, place_value,
    },
    read::{self, Reader},
    recent::Recent,
};

/// How many of the last blocks are checked whenever a store is opened.
const CHECKED_ON_OPEN: u64 = 16;

/// The one writer of a store.
pub struct Store {
    db: Arc<Database>,
    checkpoints: Arc<Checkpoints>,
    recent: Arc<Recent>,
    path: PathBuf,
    genesis: Arc<Genesis>,
    chain: ChainId,
    epochs: Epochs,
    tip: StoredTip,
    poisoned: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("tip", &self.tip.tip)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store of that genesis' chain, or begins one in an empty or missing directory.
    ///
    /// The tip and the blocks just before it are checked; [`crate::verify`] checks everything.
    ///
    /// # Errors
    /// When it cannot be opened, is of another chain or layout, or is damaged.
    pub fn open(path: &Path, genesis: &Arc<Genesis>) -> Result<Self, Error> {
        Self::open_as(path, genesis, Durability::Synced)
    }

    pub(crate) fn open_as(
        path: &Path,
        genesis: &Arc<Genesis>,
        durability: Durability,
    ) -> Result<Self, Error> {
        genesis.check()?;
        let first = genesis.validator_set()?;
        let chain = genesis.chain_id();
        let db = Arc::new(Database::open(&ledger_dir(path)?, durability)?);
        match read::chain(&db)? {
            None => {
                check_empty(&db)?;
                begin(&db, genesis, chain, &first)?;
            }
            Some(found) if found != chain => {
                return Err(Error::OtherChain {
                    path: path.to_owned(),
                    found,
                    expected: chain,
                });
            }
            Some(_) => {}
        }
        check_layout(&db, path)?;
        let tip = read::stored_tip(&db)?;
        let base = read::first_block(&db)?.saturating_sub(1);
        let checkpoints = Checkpoints::open(checkpoints_dir(path), base..=tip.tip.height, &db)?;
        let reader = Reader {
            db: Arc::clone(&db),
            checkpoints: Arc::new(checkpoints),
            recent: Arc::default(),
        };
        let epochs = reader.epochs(&genesis.distinguishing_id)?;
        if epochs.all()[0] != (1, first) {
            return Err(Error::damaged(
                0,
                "the first validators are not the genesis'",
            ));
        }
        check_recent(&reader, &tip, genesis, chain, &epochs)?;
        let Reader {
            db,
            checkpoints,
            recent,
        } = reader;
        let mut store = Self {
            db,
            checkpoints,
            recent,
            path: path.to_owned(),
            genesis: Arc::clone(genesis),
            chain,
            epochs,
            tip,
            poisoned: false,
        };
        store.resume_checkpoint()?;
        Ok(store)
    }

    /// Takes the checkpoint that a crash right after its block has left out, and goes on digesting
    /// what was under way.
    fn resume_checkpoint(&mut self) -> Result<(), Error> {
        let Some(taken) = last_checkpoint(&self.reader().view())? else {
            return Ok(());
        };
        if self.checkpoints.has(taken) {
            self.checkpoints.begin_digest(taken);
        } else if taken == self.tip.tip.height {
            self.take_checkpoint()?;
        }
        Ok(())
    }

    fn take_checkpoint(&mut self) -> Result<(), Error> {
        let taken = self.checkpoints.take(&self.db, &self.tip.tip);
        // The next block but an interval could not be formed: better to stop, and make it good when
        // the store is opened again.
        self.poisoned |= taken.is_err();
        taken
    }

    /// Where the chain stands.
    pub fn tip(&self) -> Tip {
        self.tip.tip
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// What the chain began with.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The validators in force at the next height.
    pub fn validators(&self) -> &ValidatorSet {
        self.epochs.last()
    }

    /// The validators in force at every height up to the next.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Root over the hashes of all headers up to the tip: the next header's history root.
    pub fn history_root(&self) -> Digest {
        self.tip.frontier.root()
    }

    /// A reader of this store.
    pub fn reader(&self) -> Reader {
        Reader {
            db: Arc::clone(&self.db),
            checkpoints: Arc::clone(&self.checkpoints),
            recent: Arc::clone(&self.recent),
        }
    }

    /// Writes an executed block under the certificate that its header was checked against. When it
    /// returns, the block survives a power cut; were it to fail, nothing of it is there.
    ///
    /// # Errors
    /// When the store fails: then it takes no more. When the header is another one than the
    /// execution came to.
    pub fn commit(
        &mut self,
        execution: Execution,
        certified: &Certified,
        certificate: &Certificate,
    ) -> Result<Tip, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let header: &Header = certified;
        if header != execution.header() {
            return Err(Error::NotNext("its header differs"));
        }
        let tip = &self.tip.tip;
        if header.height != tip.height + 1 || header.parent != tip.hash {
            return Err(Error::NotNext("it does not follow the tip"));
        }
        let hash = header.hash();
        if certificate.header != hash {
            return Err(Error::NotNext("its certificate is over another header"));
        }
        let mut next = StoredTip {
            tip: Tip {
                height: header.height,
                time: header.time,
                hash,
                commitment: header.state_commitment,
            },
            frontier: self.tip.frontier.clone(),
        };
        let mut batch = WriteBatch::default();
        self.put_block(&mut batch, header, &execution, certificate)?;
        put_state(&self.db, &mut batch, &execution.writes);
        let history = self.db.family(HISTORY);
        next.frontier
            .append_with(merkle::leaf_hash(hash.as_bytes()), |node| {
                batch.put_cf(history, node_key(node.level, node.index), node.digest);
            });
        batch.put_cf(self.db.family(META), META_TIP, encode(&next));
        let (from, set) = (header.height + 1, execution.next_validators);
        if let Some(set) = &set {
            put_epoch(&self.db, &mut batch, from, set);
        }
        self.write(batch)?;
        self.tip = next;
        if let Some(set) = set {
            self.epochs.push(from, set);
        }
        if execution.takes_checkpoint {
            self.take_checkpoint()?;
        }
        Ok(self.tip.tip)
    }

    fn put_block(
        &self,
        batch: &mut WriteBatch,
        header: &Header,
        execution: &Execution,
        certificate: &Certificate,
    ) -> Result<(), Error> {
        let key = height_key(header.height);
        let stored = StoredHeader {
            header: header.encode(),
            certificate: wire::Certificate::from(certificate).encode_to_vec(),
        };
        batch.put_cf(self.db.family(HEADERS), key, encode(&stored));
        let list = |all: &[Vec<u8>]| encode(&StoredList::Whole(all.to_vec()));
        batch.put_cf(self.db.family(BODIES), key, list(&execution.txs));
        batch.put_cf(self.db.family(OUTCOMES), key, list(&execution.encoded));
        let txs = self.db.family(TXS);
        for (index, id) in execution.ids.iter().enumerate() {
            // Under one id there may be an original, copies of it, and forgeries with another
            // signature: only those that say nothing new leave an earlier one its place.
            let ordered_before = execution.is_weak(index)
                && (execution.ids[..index].contains(id)
                    || self.db.get(TXS, id.as_bytes())?.is_some());
            if !ordered_before {
                let index = u32::try_from(index).expect("a block has at most 10,000");
                batch.put_cf(txs, id.as_bytes(), place_value(header.height, index));
            }
        }
        Ok(())
    }

    /// Records why the node refuses to go on. It stays until [`Store::clear_halt`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn halt(&mut self, reason: &str) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.db.family(META), META_HALTED, reason);
        self.write(batch)
    }

    /// Lets the node go on again, after an operator has found out why it stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub fn clear_halt(&mut self) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.db.family(META), META_HALTED);
        self.write(batch)
    }

    fn write(&mut self, batch: WriteBatch) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        // After a failed sync nobody knows what is on disk, and a second one that succeeds proves
        // nothing about the first: so there is no second.
        self.poisoned = true;
        self.db.write(batch)?;
        self.poisoned = false;
        Ok(())
    }
}

impl Drop for Store {
    /// Puts everything into checksummed tables, so that damage to a store at rest always shows: in
    /// the log's last record it would look like a write that was never finished.
    fn drop(&mut self) {
        if !self.poisoned
            && let Err(error) = self.db.flush()
        {
            tracing::warn!(%error, "the store was closed without being flushed; its log has everything");
        }
    }
}

/// Checks that nothing is stored at all: a store that has lost its chain's id is not a new one.
fn check_empty(db: &Database) -> Result<(), Error> {
    for family in FAMILIES {
        if db.has_from(family, &[])? {
            return Err(Error::damaged(0, "the chain's id is missing"));
        }
    }
    Ok(())
}

/// Writes the genesis' state and the tip before the first block, all at once.
fn begin(
    db: &Database,
    genesis: &Genesis,
    chain: ChainId,
    first: &ValidatorSet,
) -> Result<(), Error> {
    let writes = genesis_writes(genesis);
    let tip = StoredTip {
        tip: Tip::genesis(chain, genesis.time, state_commitment(&chain.0, 0, &writes)),
        frontier: Frontier::new(),
    };
    let mut batch = WriteBatch::default();
    put_state(db, &mut batch, &writes);
    put_epoch(db, &mut batch, 1, first);
    let meta = db.family(META);
    batch.put_cf(meta, META_LAYOUT, LAYOUT.to_be_bytes());
    batch.put_cf(meta, META_CHAIN, chain.as_bytes());
    batch.put_cf(meta, META_TIP, encode(&tip));
    db.write(batch)
}

pub(crate) fn put_epoch(db: &Database, batch: &mut WriteBatch, from: Height, set: &ValidatorSet) {
    let stored = StoredSet::from(set);
    batch.put_cf(db.family(EPOCHS), height_key(from), encode(&stored));
}

fn put_state(db: &Database, batch: &mut WriteBatch, writes: &Writes) {
    let state = db.family(STATE);
    for (key, value) in writes {
        match value {
            Some(value) => batch.put_cf(state, key, value),
            None => batch.delete_cf(state, key),
        }
    }
}

fn check_layout(db: &Database, path: &Path) -> Result<(), Error> {
    let found = db.get(META, META_LAYOUT)?.unwrap_or_default();
    let found = <[u8; 4]>::try_from(&found[..])
        .map(u32::from_be_bytes)
        .map_err(|_| Error::damaged(0, "the layout's version"))?;
    if found == LAYOUT {
        Ok(())
    } else {
        Err(Error::OtherLayout {
            path: path.to_owned(),
            found,
            expected: LAYOUT,
        })
    }
}

/// Checks that the tip is the last stored block, and that the last blocks are whole, certified and
/// lead to it.
fn check_recent(
    reader: &Reader,
    stored: &StoredTip,
    genesis: &Genesis,
    chain: ChainId,
    epochs: &Epochs,
) -> Result<(), Error> {
    let tip = &stored.tip;
    let damaged = |height, what: &str| Err(Error::damaged(height, what));
    if stored.frontier.size() != tip.height {
        return damaged(tip.height, "the history does not end at the tip");
    }
    if epochs.last_from() > tip.height + 1 {
        return damaged(tip.height, "validators take over above the tip");
    }
    if reader.db.has_from(HEADERS, &height_key(tip.height + 1))? {
        return damaged(tip.height + 1, "a block is stored above the tip");
    }
    if tip.height == 0 {
        let commitment = state_commitment(&chain.0, 0, &genesis_writes(genesis));
        if *tip != Tip::genesis(chain, genesis.time, commitment) {
            return damaged(0, "the tip is not the genesis'");
        }
        return Ok(());
    }
    let mut expected = tip.hash;
    let recent = tip.height.saturating_sub(CHECKED_ON_OPEN - 1).max(1);
    let first = reader.first_block()?;
    if first > tip.height {
        check_base(reader, tip, epochs)?;
    }
    let lowest = recent.max(first);
    for height in (lowest..=tip.height).rev() {
        let header = check_block(reader, height, epochs.at(height))?;
        if header.hash() != expected {
            return damaged(
                height,
                "the header is not the one that comes next in the chain",
            );
        }
        if height == tip.height
            && (header.state_commitment != tip.commitment || header.time != tip.time)
        {
            return damaged(height, "the tip's header says otherwise than the tip");
        }
        expected = header.parent;
    }
    if lowest == first && lowest > 1 {
        // What comes before was pruned, or never here; its header may be.
        match reader.head(lowest - 1)? {
            Some(head) if head.header.hash() == expected => {}
            _ => {
                return damaged(
                    lowest,
                    "the first block does not follow the header before it",
                );
            }
        }
    }
    if lowest == 1 && expected.0 != chain.0 {
        return damaged(1, "the first block does not follow the genesis");
    }
    Ok(())
}

/// Checks the header that a snapshot was the state after, while there is no block above it.
fn check_base(reader: &Reader, tip: &Tip, epochs: &Epochs) -> Result<(), Error> {
    let height = tip.height;
    let head =
        (reader.head(height)?).ok_or_else(|| Error::damaged(height, "the header is missing"))?;
    let certificate =
        Certificate::try_from(&head.certificate).map_err(|fault| Error::damaged(height, fault))?;
    let certified = (certificate.check(head.header, epochs.at(height)))
        .map_err(|fault| Error::damaged(height, fault))?;
    let says = (certified.hash(), certified.state_commitment, certified.time);
    if says != (tip.hash, tip.commitment, tip.time) {
        return Err(Error::damaged(
            height,
            "the tip's header says otherwise than the tip",
        ));
    }
    Ok(())
}

/// Checks one block by itself: transactions, outcomes and certificate belong to its header.
pub(crate) fn check_block(
    reader: &Reader,
    height: Height,
    validators: &ValidatorSet,
) -> Result<Certified, Error> {
    let block =
        (reader.block(height)?).ok_or_else(|| Error::damaged(height, "the block is missing"))?;
    let outcomes = (reader.encoded_outcomes(height)?)
        .ok_or_else(|| Error::damaged(height, "the outcomes are missing"))?;
    if xinqiao_ledger::block::outcome_root(&outcomes) != block.header.outcome_root {
        return Err(Error::damaged(height, "the outcomes are not the header's"));
    }
    (block.certificate)
        .check(block.header, validators)
        .map_err(|fault| Error::damaged(height, fault))
}
