//! Prepared keys, shared by all threads and limited in number.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;

use super::KnownKey;
use crate::keys::{DistinguishingId, KeyError, PublicKey};

/// At most `capacity` prepared keys of about 0.5 MB each; the least recently used make room.
pub struct VerifierCache {
    // The lock is held for a look-up only. Preparing takes milliseconds and happens in the cell,
    // outside it: other keys go on, and two threads never prepare the same key twice.
    known: Mutex<LruCache<Name, Arc<Cell>>>,
}

/// A key's canonical form, and the id that it signs under.
type Name = ([u8; PublicKey::LEN], DistinguishingId);

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
            Arc::clone(known.get_or_insert((key.to_sec1(), id.clone()), Arc::default))
        };
        Arc::clone(cell.get_or_init(|| Arc::new(KnownKey::new(key, id))))
    }

    /// As [`Self::known`] for a key in its canonical form. One that is prepared is not decompressed
    /// again, which would take a third as long as verifying with it.
    ///
    /// # Errors
    /// When the bytes are no key. Nothing is kept of them.
    pub fn known_sec1(
        &self,
        sec1: &[u8; PublicKey::LEN],
        id: &DistinguishingId,
    ) -> Result<Arc<KnownKey>, KeyError> {
        let prepared = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let cell = known.get(&(*sec1, id.clone()));
            cell.and_then(|cell| cell.get().cloned())
        };
        match prepared {
            Some(known) => Ok(known),
            None => Ok(self.known(&PublicKey::try_from(&sec1[..])?, id)),
        }
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
        known.pop(&(key.to_sec1(), id.clone()));
    }
}

impl fmt::Debug for VerifierCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
