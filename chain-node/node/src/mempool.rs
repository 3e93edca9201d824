//! Transactions that wait for a block: verified, each once, and never more than the limits allow.
//!
//! First come, first served. Nothing is thrown out to make room: who comes too late is told when to
//! try again, and no signer can take up all of the room.

use std::collections::{BTreeMap, HashMap};

use tracing::Span;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::{MAX_BLOCK_BYTES, MAX_BLOCK_TXS},
    ids::{Height, TxId},
    tx::{Tx, Verified},
};

use crate::config::MempoolLimits;

/// A transaction that waits, and the span of the call that brought it.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) tx: Verified<Tx>,
    pub(crate) span: Span,
}

/// Which limit has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The mempool's count.
    #[error("the mempool holds as many transactions as it may, {0}")]
    Txs(usize),
    /// The mempool's bytes.
    #[error("the mempool holds as many bytes as it may, {0}")]
    Bytes(usize),
    /// The signer's count.
    #[error("as many transactions of this signer wait as may, {0}")]
    SignerTxs(usize),
    /// The signer's bytes.
    #[error("as many bytes of this signer wait as may, {0}")]
    SignerBytes(usize),
}

/// What inserting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It waits now.
    New,
    /// It waited already.
    Known,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) txs: usize,
    pub(crate) bytes: usize,
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.txs += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.txs -= 1;
        self.bytes -= bytes;
    }
}

/// A transaction's place in the queue, with whose it is and how large.
#[derive(Debug, Clone, Copy)]
struct Held {
    number: u64,
    signer: KeyId,
    bytes: usize,
}

/// The last bytes of an encoding, which are of the signature: they tell transactions apart without
/// hashing all of them.
type End = [u8; 16];

fn end(encoded: &[u8]) -> End {
    encoded.last_chunk().copied().unwrap_or_default()
}

/// The transactions that wait. One that is proposed goes on waiting until a block that has it is
/// committed, for another block may be agreed on instead.
#[derive(Debug)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    /// By the order in which they came.
    queue: BTreeMap<u64, Waiting>,
    held: HashMap<TxId, Held>,
    /// Places in the queue by the end of the encoding.
    ends: HashMap<End, u64>,
    came: u64,
    signers: HashMap<KeyId, Load>,
    load: Load,
}

impl Mempool {
    pub(crate) fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            queue: BTreeMap::new(),
            held: HashMap::new(),
            ends: HashMap::new(),
            came: 0,
            signers: HashMap::new(),
            load: Load::default(),
        }
    }

    /// What it holds.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// Whether any transaction waits.
    pub(crate) fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn holds(&self, id: &TxId) -> bool {
        self.held.contains_key(id)
    }

    /// Whether there is room for another one.
    pub(crate) fn room(&self, signer: &KeyId, bytes: usize) -> Result<(), Full> {
        let limits = &self.limits;
        let signer = self.signers.get(signer).copied().unwrap_or_default();
        if self.load.txs >= limits.txs {
            Err(Full::Txs(limits.txs))
        } else if self.load.bytes + bytes > limits.bytes {
            Err(Full::Bytes(limits.bytes))
        } else if signer.txs >= limits.signer_txs {
            Err(Full::SignerTxs(limits.signer_txs))
        } else if signer.bytes + bytes > limits.signer_bytes {
            Err(Full::SignerBytes(limits.signer_bytes))
        } else {
            Ok(())
        }
    }

    pub(crate) fn insert(&mut self, waiting: Waiting) -> Result<Inserted, Full> {
        let (id, signer) = (waiting.tx.meta().id, waiting.tx.meta().signer);
        if self.holds(&id) {
            return Ok(Inserted::Known);
        }
        let bytes = waiting.tx.encoded().len();
        self.room(&signer, bytes)?;
        self.load.add(bytes);
        self.signers.entry(signer).or_default().add(bytes);
        let number = self.came;
        self.came += 1;
        let held = Held {
            number,
            signer,
            bytes,
        };
        self.held.insert(id, held);
        self.ends.insert(end(waiting.tx.encoded()), number);
        self.queue.insert(number, waiting);
        Ok(Inserted::New)
    }

    /// The transaction that has these very bytes, if it waits: it was verified.
    pub(crate) fn verified(&self, encoded: &[u8]) -> Option<Verified<Tx>> {
        let waiting = self.queue.get(self.ends.get(&end(encoded))?)?;
        (waiting.tx.encoded() == encoded).then(|| waiting.tx.clone())
    }

    /// Up to so many of those that wait, oldest first.
    pub(crate) fn oldest(&self, count: usize) -> impl Iterator<Item = &Waiting> {
        self.queue.values().take(count)
    }

    /// As many as one block of that height may hold, oldest first. They go on waiting until
    /// [`Self::settle`]; those that came too late for it are let go.
    pub(crate) fn next_block(&mut self, height: Height) -> Vec<Waiting> {
        let (mut chosen, mut late, mut bytes) = (Vec::new(), Vec::new(), 0);
        for waiting in self.queue.values() {
            if waiting.tx.meta().expires_at < height {
                late.push(waiting.tx.meta().id);
                continue;
            }
            bytes += waiting.tx.encoded().len();
            if chosen.len() == MAX_BLOCK_TXS || bytes > MAX_BLOCK_BYTES {
                break;
            }
            chosen.push(waiting.clone());
        }
        self.settle(&late);
        chosen
    }

    /// Lets go of the transactions of a block that is committed.
    pub(crate) fn settle(&mut self, ids: &[TxId]) {
        for id in ids {
            let Some(Held {
                number,
                signer,
                bytes,
            }) = self.held.remove(id)
            else {
                continue;
            };
            if let Some(gone) = self.queue.remove(&number) {
                let end = end(gone.tx.encoded());
                // Another one's, if ends are alike: that one is then verified once more.
                if self.ends.get(&end) == Some(&number) {
                    self.ends.remove(&end);
                }
            }
            self.load.remove(bytes);
            if let Some(load) = self.signers.get_mut(&signer) {
                load.remove(bytes);
                if load.txs == 0 {
                    self.signers.remove(&signer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use xinqiao_contracts::testing::{Consortium, open_user};
    use xinqiao_crypto::VerifierCache;

    use super::*;

    /// Signed transactions of two signers, each of the same size.
    struct Signers {
        consortium: Consortium,
        cache: VerifierCache,
        count: u64,
    }

    impl Signers {
        fn new() -> Self {
            Self {
                consortium: Consortium::new(),
                cache: VerifierCache::new(4.try_into().unwrap()),
                count: 0,
            }
        }

        fn sign(&mut self, by: &str) -> Waiting {
            self.count += 1;
            let tx = self.consortium.sign(by, open_user(self.count));
            let key = xinqiao_contracts::testing::secret(by);
            let known = self.cache.known(key.public(), &Default::default());
            Waiting {
                tx: tx.verify(&known).unwrap(),
                span: Span::none(),
            }
        }
    }

    const A: &str = "js-bank/admin";
    const B: &str = "zj-bank/admin";

    /// Inserts one transaction after the other and says what came of each.
    fn check(limits: MempoolLimits, signers: &[&str], expected: &[Result<Inserted, Full>]) {
        let mut all = Signers::new();
        let mut mempool = Mempool::new(limits);
        let got: Vec<_> = signers
            .iter()
            .map(|by| mempool.insert(all.sign(by)))
            .collect();
        assert_eq!(got, expected, "{limits:?}");
        let taken = expected.iter().filter(|one| one.is_ok()).count();
        assert_eq!(mempool.load().txs, taken);
        // What is taken and settled leaves nothing behind.
        let block = mempool.next_block(1);
        let ids: Vec<_> = block.iter().map(|one| one.tx.meta().id).collect();
        assert_eq!(ids.len(), taken);
        assert_eq!(mempool.load().txs, taken, "held until its block is on disk");
        assert_eq!(mempool.waits(), taken > 0);
        mempool.settle(&ids);
        assert!(!mempool.waits());
        assert_eq!(mempool.load(), Load::default());
        assert!(mempool.signers.is_empty() && mempool.held.is_empty());
        assert!(mempool.ends.is_empty());
    }

    #[test]
    fn every_limit_holds() {
        use Inserted::New;
        let size = Signers::new().sign(A).tx.encoded().len();
        let wide = MempoolLimits::default();
        check(wide, &[A, A, B], &[Ok(New), Ok(New), Ok(New)]);
        check(
            MempoolLimits { txs: 2, ..wide },
            &[A, B, A],
            &[Ok(New), Ok(New), Err(Full::Txs(2))],
        );
        check(
            MempoolLimits {
                bytes: 2 * size,
                ..wide
            },
            &[A, B, A],
            &[Ok(New), Ok(New), Err(Full::Bytes(2 * size))],
        );
        check(
            MempoolLimits {
                signer_txs: 1,
                ..wide
            },
            &[A, A, B, B],
            &[
                Ok(New),
                Err(Full::SignerTxs(1)),
                Ok(New),
                Err(Full::SignerTxs(1)),
            ],
        );
        check(
            MempoolLimits {
                signer_bytes: size,
                ..wide
            },
            &[A, A, B],
            &[Ok(New), Err(Full::SignerBytes(size)), Ok(New)],
        );
        check(MempoolLimits { txs: 0, ..wide }, &[A], &[Err(Full::Txs(0))]);
    }

    #[test]
    fn the_same_transaction_waits_once_also_while_its_block_is_under_way() {
        let mut all = Signers::new();
        let mut mempool = Mempool::new(MempoolLimits::default());
        let first = all.sign(A);
        let again = || Waiting {
            tx: first.tx.clone(),
            span: Span::none(),
        };
        let id = first.tx.meta().id;
        assert_eq!(mempool.insert(again()), Ok(Inserted::New));
        assert_eq!(mempool.insert(again()), Ok(Inserted::Known));
        assert_eq!(mempool.next_block(1).len(), 1);
        assert_eq!(mempool.insert(again()), Ok(Inserted::Known));
        assert_eq!(
            mempool.next_block(1).len(),
            1,
            "another block may be agreed on"
        );
        mempool.settle(&[id]);
        assert!(!mempool.holds(&id));
    }

    #[test]
    fn who_waited_beyond_its_expiry_is_let_go() {
        let mut all = Signers::new();
        let mut mempool = Mempool::new(MempoolLimits::default());
        let one = all.sign(A);
        let last = one.tx.meta().expires_at;
        mempool.insert(one).unwrap();
        assert_eq!(mempool.next_block(last).len(), 1);
        assert_eq!(mempool.next_block(last + 1).len(), 0);
        assert_eq!(mempool.load(), Load::default());
    }

    #[test]
    fn what_waits_need_not_be_verified_again_if_it_has_the_same_bytes() {
        let mut all = Signers::new();
        let mut mempool = Mempool::new(MempoolLimits::default());
        let (one, other) = (all.sign(A), all.sign(A));
        let same = Tx::parse(one.tx.encoded()).unwrap();
        mempool.insert(one).unwrap();
        let verified = mempool.verified(same.encoded()).unwrap();
        assert_eq!(*verified, same);
        assert!(mempool.verified(other.tx.encoded()).is_none());
        assert!(mempool.verified(b"short").is_none());
        // Other bytes with the same end.
        let mut alike = same.encoded().to_vec();
        alike[5] ^= 1;
        assert!(mempool.verified(&alike).is_none());
        // Another signature under the same id is another matter.
        let mut encoded = same.encoded().to_vec();
        let last = encoded.len() - 1;
        encoded[last] ^= 1;
        if let Ok(forged) = Tx::parse(&encoded) {
            assert_eq!(forged.meta().id, same.meta().id);
            assert!(mempool.verified(forged.encoded()).is_none());
        }
        mempool.settle(&[same.meta().id]);
        assert!(mempool.verified(same.encoded()).is_none());
    }

    #[test]
    fn a_block_takes_the_oldest_and_no_more_than_it_may_hold() {
        let mut all = Signers::new();
        let mut mempool = Mempool::new(MempoolLimits::default());
        let one = all.sign(A);
        let size = one.tx.encoded().len();
        let first = one.tx.meta().id;
        mempool.insert(one).unwrap();
        // As many as a block's bytes hold, by a queue that counts one transaction again and again.
        let many = MAX_BLOCK_BYTES / size + 10;
        let copy = all.sign(B);
        for number in 1..many as u64 {
            let copy = Waiting {
                tx: copy.tx.clone(),
                span: Span::none(),
            };
            mempool.queue.insert(number, copy);
        }
        let taken = mempool.next_block(1);
        assert_eq!(taken[0].tx.meta().id, first);
        let bytes: usize = taken.iter().map(|one| one.tx.encoded().len()).sum();
        assert!(taken.len() <= MAX_BLOCK_TXS && bytes <= MAX_BLOCK_BYTES);
        assert!(taken.len() == MAX_BLOCK_TXS || bytes + size > MAX_BLOCK_BYTES);
        assert_eq!(mempool.queue.len(), many);
    }
}
