//! Reading: blocks, receipts and proofs for everyone, and consistent views of the state.

use std::sync::Arc;

use prost::Message;
use rocksdb::{IteratorMode, ReadOptions, Snapshot};
use xinqiao_contracts::{StateFault, StateRead, state::Pairs};
use xinqiao_crypto::{
    Digest, DistinguishingId, Frontier, NodeSource,
    merkle::{self, PathError},
};
use xinqiao_ledger::{
    block::{Block, Header},
    ids::{ChainId, HeaderHash, Height, TxId},
    outcome::Outcome,
    receipt::Path,
    tx::Tx,
    validators::{Epochs, ValidatorSet},
    wire,
};

use crate::{
    checkpoint::Checkpoints,
    database::Database,
    error::Error,
    layout::{
        BODIES, EPOCHS, HEADERS, HISTORY, META, META_CHAIN, META_FIRST, META_HALTED, META_TIP,
        OUTCOMES, STATE, StoredHeader, StoredList, StoredSet, StoredTip, TXS, Tip, decode,
        height_key, node_key, place_of,
    },
    recent::{Recent, Shown},
};

/// Reads the store. Cloning is cheap; all clones read the same store as it is now.
#[derive(Clone)]
pub struct Reader {
    pub(crate) db: Arc<Database>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) recent: Arc<Recent>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Height of its block.
    pub height: Height,
    /// Its index within the block.
    pub index: u32,
}

/// A header as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHead {
    /// The encoded header: the bytes that are hashed.
    pub encoded: Vec<u8>,
    /// The header.
    pub header: Header,
    /// Its certificate.
    pub certificate: wire::Certificate,
}

impl Reader {
    /// Whether this is the last one that has the store open: neither its writer nor any other
    /// reader is left, and dropping this one lets go of the directory.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.db) == 1
    }

    /// Where the chain stands.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn tip(&self) -> Result<Tip, Error> {
        Ok(self.stored_tip()?.tip)
    }

    pub(crate) fn stored_tip(&self) -> Result<StoredTip, Error> {
        stored_tip(&self.db)
    }

    /// The lowest height from which on all blocks are here, whole: 1 unless the node began with a
    /// snapshot or has pruned.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn first_block(&self) -> Result<Height, Error> {
        first_block(&self.db)
    }

    /// Why the node refuses to go on, if it does.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn halted(&self) -> Result<Option<String>, Error> {
        (self.db.get(META, META_HALTED)?)
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|fault| Error::damaged(0, fault.to_string()))
            })
            .transpose()
    }

    /// The validators in force at every height up to the next, who sign under that distinguishing
    /// id.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn epochs(&self, id: &DistinguishingId) -> Result<Epochs, Error> {
        let mut epochs: Option<Epochs> = None;
        for pair in self.db.pairs(EPOCHS) {
            let (key, value) = pair?;
            let from = <[u8; 8]>::try_from(&key[..])
                .map(Height::from_be_bytes)
                .map_err(|_| Error::damaged(0, "the first height of validators"))?;
            let StoredSet { engine, keys } = decode(from, "validators", &value)?;
            let set = ValidatorSet::new(engine, keys, id.clone())
                .map_err(|fault| Error::damaged(from, fault))?;
            match &mut epochs {
                None if from == 1 => epochs = Some(Epochs::begin(set)),
                None => return Err(Error::damaged(from, "the first validators are missing")),
                Some(epochs) => epochs.push(from, set),
            }
        }
        epochs.ok_or_else(|| Error::damaged(0, "there are no validators"))
    }

    /// The changes of validators above a height, oldest first: up to `limit`, up to the tip.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn handovers(
        &self,
        id: &DistinguishingId,
        after: Height,
        limit: usize,
    ) -> Result<Vec<wire::Handover>, Error> {
        let epochs = self.epochs(id)?;
        let changes = epochs.all().iter().skip(1);
        let wanted = changes.filter(|(from, _)| from - 1 > after).take(limit);
        wanted
            .map(|(from, set)| {
                let height = from - 1;
                let head = (self.head(height)?)
                    .ok_or_else(|| Error::damaged(height, "the header is missing"))?;
                Ok(wire::Handover {
                    header: head.encoded,
                    certificate: Some(head.certificate),
                    validators: Some(set.into()),
                })
            })
            .collect()
    }

    /// A consistent view of the state at the tip.
    pub fn view(&self) -> View<'_> {
        View {
            snapshot: self.db.raw().snapshot(),
            db: &self.db,
        }
    }

    /// A header and its certificate, if the chain is that high.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn head(&self, height: Height) -> Result<Option<StoredHead>, Error> {
        let Some(bytes) = self.db.get(HEADERS, height_key(height))? else {
            return Ok(None);
        };
        let stored: StoredHeader = decode(height, "header", &bytes)?;
        let header =
            Header::parse(&stored.header).map_err(|fault| Error::damaged(height, fault))?;
        if header.height != height {
            let what = format!("the header stored here is of height {}", header.height);
            return Err(Error::damaged(height, what));
        }
        let certificate = wire::Certificate::decode(&stored.certificate[..])
            .map_err(|fault| Error::damaged(height, format!("certificate: {fault}")))?;
        Ok(Some(StoredHead {
            encoded: stored.header,
            header,
            certificate,
        }))
    }

    /// A block in the form in which it travels, if the chain is that high.
    ///
    /// # Errors
    /// When the store fails or is damaged; [`Error::Pruned`] when it is not whole here.
    pub fn wire_block(&self, height: Height) -> Result<Option<wire::Block>, Error> {
        let first = self.first_block()?;
        if height > 0 && height < first {
            return Err(Error::Pruned { height, first });
        }
        let Some(head) = self.head(height)? else {
            return Ok(None);
        };
        let StoredList::Whole(transactions) = self.list(BODIES, height)? else {
            return Err(Error::Pruned { height, first });
        };
        Ok(Some(wire::Block {
            header: head.encoded,
            transactions,
            certificate: Some(head.certificate),
        }))
    }

    /// A block, parsed: its transactions are those that its header is over.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn block(&self, height: Height) -> Result<Option<Block>, Error> {
        (self.wire_block(height)?)
            .map(|block| Block::try_from(&block).map_err(|fault| Error::damaged(height, fault)))
            .transpose()
    }

    /// The transactions or outcomes of a block of the chain, as far as they are here.
    fn list(&self, family: &'static str, height: Height) -> Result<StoredList, Error> {
        match self.db.get(family, height_key(height))? {
            Some(bytes) => decode(height, family, &bytes),
            None => {
                let first = self.first_block()?;
                Err(if height < first {
                    Error::Pruned { height, first }
                } else {
                    Error::damaged(height, format!("the {family} are missing"))
                })
            }
        }
    }

    /// The leaf hashes of a block's transactions or outcomes.
    pub(crate) fn leaves(
        &self,
        family: &'static str,
        height: Height,
    ) -> Result<Vec<Digest>, Error> {
        Ok(self.list(family, height)?.leaves())
    }

    /// The transactions of a block that are here, with their places: all, unless it was pruned.
    ///
    /// # Errors
    /// When the store fails or is damaged; [`Error::Pruned`] when nothing of the block is here.
    pub fn kept_txs(&self, height: Height) -> Result<Vec<(Place, Tx)>, Error> {
        let list = self.list(BODIES, height)?;
        let count = list.leaves().len();
        let kept = (0_u32..)
            .zip(0..count)
            .filter_map(|(index, at)| Some((index, list.get(at)?)));
        kept.map(|(index, encoded)| {
            let tx = Tx::parse(encoded).map_err(|fault| Error::damaged(height, fault))?;
            Ok((Place { height, index }, tx))
        })
        .collect()
    }

    /// The transaction at a place.
    ///
    /// # Errors
    /// When the store fails or is damaged, or there is none; [`Error::Pruned`] when it is not kept.
    pub fn tx_at(&self, place: Place) -> Result<Tx, Error> {
        let Place { height, index } = place;
        let list = self.list(BODIES, height)?;
        let encoded = self.part(&list, height, index as usize)?;
        Tx::parse(encoded).map_err(|fault| Error::damaged(height, fault))
    }

    fn part<'l>(
        &self,
        list: &'l StoredList,
        height: Height,
        index: usize,
    ) -> Result<&'l [u8], Error> {
        match (list.get(index), list) {
            (Some(bytes), _) => Ok(bytes),
            (None, StoredList::Pruned(parts)) if index < parts.len() => Err(Error::Pruned {
                height,
                first: self.first_block()?,
            }),
            _ => Err(Error::damaged(
                height,
                "there is no transaction at that place",
            )),
        }
    }

    /// The encoded outcomes of a block, if the chain is that high: its own, then one for each
    /// transaction.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn encoded_outcomes(&self, height: Height) -> Result<Option<Vec<Vec<u8>>>, Error> {
        if self.db.get(HEADERS, height_key(height))?.is_none() {
            return Ok(None);
        }
        match self.list(OUTCOMES, height)? {
            StoredList::Whole(outcomes) => Ok(Some(outcomes)),
            StoredList::Pruned(_) => Err(Error::Pruned {
                height,
                first: self.first_block()?,
            }),
        }
    }

    /// The same, parsed.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn outcomes(&self, height: Height) -> Result<Option<Vec<Outcome>>, Error> {
        let Some(encoded) = self.encoded_outcomes(height)? else {
            return Ok(None);
        };
        (encoded.iter())
            .map(|bytes| match Outcome::parse(bytes) {
                Ok((_, outcome)) => Ok(outcome),
                Err(fault) => Err(Error::damaged(height, fault)),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// What a block recorded by itself: deadlines that fired, decisions that were carried out.
    ///
    /// # Errors
    /// When the store fails or is damaged, or the chain is not that high; [`Error::Pruned`] when
    /// nothing of the block is here.
    pub fn own_outcome(&self, height: Height) -> Result<Outcome, Error> {
        let outcomes = self.list(OUTCOMES, height)?;
        let own = self.part(&outcomes, height, 0)?;
        match Outcome::parse(own) {
            Ok((None, outcome)) => Ok(outcome),
            Ok((Some(_), _)) => Err(Error::damaged(height, "the block's own outcome")),
            Err(fault) => Err(Error::damaged(height, fault)),
        }
    }

    /// Where a transaction stands, if it was ordered.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn place(&self, tx: &TxId) -> Result<Option<Place>, Error> {
        (self.db.get(TXS, tx.as_bytes())?)
            .map(|value| {
                let (height, index) = place_of(&value)
                    .ok_or_else(|| Error::damaged(0, format!("the place of transaction {tx}")))?;
                Ok(Place { height, index })
            })
            .transpose()
    }

    /// What a transaction came to, if it was ordered.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn outcome(&self, tx: &TxId) -> Result<Option<(Place, Outcome)>, Error> {
        let Some(place) = self.place(tx)? else {
            return Ok(None);
        };
        let outcomes = self.list(OUTCOMES, place.height)?;
        let damaged = || Error::damaged(place.height, format!("the outcome of transaction {tx}"));
        let encoded = self.part(&outcomes, place.height, place.index as usize + 1)?;
        match Outcome::parse(encoded) {
            Ok((Some(id), outcome)) if id == *tx => Ok(Some((place, outcome))),
            _ => Err(damaged()),
        }
    }

    /// Proof that the transaction at a place was ordered and what it came to.
    ///
    /// # Errors
    /// When the store fails or is damaged, or there is no transaction at that place.
    pub fn receipt_at(&self, place: Place) -> Result<wire::Receipt, Error> {
        let Place { height, index } = place;
        let index = index as usize;
        let block = self.recent.get(height, || {
            let head = self.head(height)?;
            let head = head.ok_or_else(|| Error::damaged(height, "the header is missing"))?;
            let (txs, outcomes) = (self.list(BODIES, height)?, self.list(OUTCOMES, height)?);
            Ok(Shown::of(head, txs, outcomes))
        })?;
        let no_path = |fault: merkle::MerkleError| Error::damaged(height, fault);
        let transaction_path = Path::in_tree(&block.tx_tree, index).map_err(no_path)?;
        let outcome_path = Path::in_tree(&block.outcome_tree, index + 1).map_err(no_path)?;
        Ok(wire::Receipt {
            header: block.head.encoded.clone(),
            certificate: Some(block.head.certificate.clone()),
            transaction: self.part(&block.txs, height, index)?.to_vec(),
            transaction_path: Some((&transaction_path).into()),
            outcome: self.part(&block.outcomes, height, index + 1)?.to_vec(),
            outcome_path: Some((&outcome_path).into()),
        })
    }

    /// Proof of what a block recorded by itself.
    ///
    /// # Errors
    /// When the store fails or is damaged, or the chain is not that high.
    pub fn block_receipt(&self, height: Height) -> Result<wire::BlockReceipt, Error> {
        let damaged = |what: &str| Error::damaged(height, what);
        let head = (self.head(height)?).ok_or_else(|| damaged("the header is missing"))?;
        let outcomes = self.list(OUTCOMES, height)?;
        let path =
            Path::of(&outcomes.leaves(), 0).map_err(|fault| Error::damaged(height, fault))?;
        Ok(wire::BlockReceipt {
            header: head.encoded,
            certificate: Some(head.certificate),
            outcome: self.part(&outcomes, height, 0)?.to_vec(),
            outcome_path: Some((&path).into()),
        })
    }

    /// The receipt of a transaction, if it was ordered.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn receipt(&self, tx: &TxId) -> Result<Option<wire::Receipt>, Error> {
        (self.place(tx)?)
            .map(|place| self.receipt_at(place))
            .transpose()
    }

    /// The path from the header at `height` to the history root of the header at `tip`, which is
    /// over all headers before it.
    ///
    /// # Errors
    /// When the store fails or is damaged, or unless `1 <= height < tip` and the chain is that high.
    pub fn history_path(&self, height: Height, tip: Height) -> Result<Path, Error> {
        let index = height.wrapping_sub(1);
        let size = tip.saturating_sub(1);
        let siblings =
            merkle::inclusion_path_from(&Nodes(self), size, index).map_err(path_fault)?;
        Ok(Path {
            index,
            size,
            siblings,
        })
    }

    /// The history over all headers before a height.
    pub(crate) fn history_before(&self, height: Height) -> Result<Frontier, Error> {
        let size = height.saturating_sub(1);
        let (mut peaks, mut before) = (Vec::new(), 0);
        for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(Nodes(self).node(level, before >> level)?);
            before += 1 << level;
        }
        Frontier::from_peaks(size, peaks)
            .ok_or_else(|| Error::damaged(height, "the history before it"))
    }

    /// The proof that the history of the header at `tip` extends the one of the header at `height`.
    ///
    /// # Errors
    /// As [`Reader::history_path`].
    pub fn history_consistency(&self, height: Height, tip: Height) -> Result<Vec<Digest>, Error> {
        let (old, new) = (height.saturating_sub(1), tip.saturating_sub(1));
        merkle::consistency_path_from(&Nodes(self), old, new).map_err(path_fault)
    }
}

pub(crate) fn stored_tip(db: &Database) -> Result<StoredTip, Error> {
    let bytes = (db.get(META, META_TIP)?).ok_or_else(|| Error::damaged(0, "there is no tip"))?;
    decode(0, "tip", &bytes)
}

pub(crate) fn chain(db: &Database) -> Result<Option<ChainId>, Error> {
    (db.get(META, META_CHAIN)?)
        .map(|bytes| ChainId::parse("chain", &bytes).map_err(|fault| Error::damaged(0, fault)))
        .transpose()
}

pub(crate) fn first_block(db: &Database) -> Result<Height, Error> {
    match db.get(META, META_FIRST)? {
        Some(bytes) => <[u8; 8]>::try_from(&bytes[..])
            .map(Height::from_be_bytes)
            .map_err(|_| Error::damaged(0, "the first block")),
        None => Ok(1),
    }
}

fn path_fault(fault: PathError<Error>) -> Error {
    match fault {
        PathError::Merkle(fault) => Error::damaged(0, fault),
        PathError::Source(fault) => fault,
    }
}

/// The stored subtrees of the history.
struct Nodes<'a>(&'a Reader);

impl NodeSource for Nodes<'_> {
    type Error = Error;

    fn node(&self, level: u8, index: u64) -> Result<Digest, Error> {
        let what = || format!("node {index} of level {level} of the history");
        let Some(bytes) = self.0.db.get(HISTORY, node_key(level, index))? else {
            // A node that began with a snapshot has what lies above it.
            let (height, first) = ((index << level) + 1, self.0.first_block()?);
            return Err(if height < first {
                Error::Pruned { height, first }
            } else {
                Error::damaged(0, what())
            });
        };
        Digest::try_from(&bytes[..]).map_err(|_| Error::damaged(0, what()))
    }
}

/// One consistent state: what later blocks write is not seen. Keep it only as long as one answer
/// takes, for the store keeps what it sees.
pub struct View<'a> {
    snapshot: Snapshot<'a>,
    db: &'a Database,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View<'_> {
    /// The tip that this is the state of.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn tip(&self) -> Result<Tip, Error> {
        let bytes = (self.snapshot.get_cf(self.db.family(META), META_TIP)?)
            .ok_or_else(|| Error::damaged(0, "there is no tip"))?;
        let stored: StoredTip = decode(0, "tip", &bytes)?;
        Ok(stored.tip)
    }

    fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        mode: IteratorMode<'_>,
    ) -> Result<Pairs, StateFault> {
        if start >= end || limit == 0 {
            return Ok(Pairs::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(start);
        options.set_iterate_upper_bound(end);
        self.snapshot
            .iterator_cf_opt(self.db.family(STATE), options, mode)
            .take(limit)
            .map(|pair| match pair {
                Ok((key, value)) => Ok((key.into_vec(), value.into_vec())),
                Err(fault) => Err(fault_of(fault)),
            })
            .collect()
    }
}

fn fault_of(fault: rocksdb::Error) -> StateFault {
    StateFault(fault.into_string())
}

impl StateRead for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        (self.snapshot.get_cf(self.db.family(STATE), key)).map_err(fault_of)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        self.range(start, end, limit, IteratorMode::Start)
    }

    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        self.range(start, end, limit, IteratorMode::End)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateFault> {
        let family = self.db.family(STATE);
        (self
            .snapshot
            .multi_get_cf(keys.iter().map(|key| (family, key))))
        .into_iter()
        .map(|found| found.map_err(fault_of))
        .collect()
    }
}

impl Tip {
    /// The tip before the first block.
    pub(crate) fn genesis(chain: ChainId, time: u64, commitment: Digest) -> Self {
        Self {
            height: 0,
            time,
            hash: HeaderHash(chain.0),
            commitment,
        }
    }
}
