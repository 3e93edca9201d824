//! Prepared keys, shared by all threads and limited in number.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;

use super::KnownKey;
use crate::keys::{DistinguishingId, PublicKey};

/// At most `capacity` prepared keys of about 0.5 MB each; the least recently used make room.
pub struct VerifierCache {
    // The lock is held for a look-up only. Preparing takes milliseconds and happens in the cell,
    // outside it: other keys go on, and two threads never prepare the same key twice.
    known: Mutex<LruCache<(PublicKey, DistinguishingId), Arc<Cell>>>,
}

type Cell = OnceLock<Arc<KnownKey>>;

impl VerifierCache {
    /// Room for `capacity` keys.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            known: Mutex::new(LruCache::new(capacity)),
        }
    }

    /// The prepared key, made now if it is not there.
    pub fn known(&self, key: &PublicKey, id: &DistinguishingId) -> Arc<KnownKey> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.get_or_insert((*key, id.clone()), Arc::default))
        };
        Arc::clone(cell.get_or_init(|| Arc::new(KnownKey::new(key, id))))
    }

    /// Keys held now, at most the capacity.
    pub fn len(&self) -> usize {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets a key, as after it was revoked. Only memory is freed: who may sign is decided elsewhere.
    pub fn forget(&self, key: &PublicKey, id: &DistinguishingId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.pop(&(*key, id.clone()));
    }
}

impl fmt::Debug for VerifierCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
