//! What the ledger says about members, as far as it takes to let someone in: standing, certificates,
//! and the keys that an institution has published for its users' tokens.
//!
//! [`Directory`] is the question; whoever has a ledger at hand answers it. [`KeyCache`] stands before it,
//! so that neither many calls with one key nor many made-up keys reach the ledger each.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use xinqiao_decide::Standing;

/// Keys that are remembered at once, known and unknown together.
pub const MAX_CACHED_KEYS: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");

/// Organisations whose misses are counted at once.
const MAX_COUNTED_ORGS: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");

/// How long a found key is used before it is looked up again, in seconds: a revoked key lives no longer.
pub const FOUND_SECONDS: u64 = 30;

/// How long an unknown key stays unknown, in seconds.
pub const UNKNOWN_SECONDS: u64 = 5;

/// How many unknown keys of one organisation are looked up in [`MISS_WINDOW_SECONDS`]; beyond that they
/// are unknown without asking.
pub const MAX_MISSES: u32 = 20;

/// The window of [`MAX_MISSES`], in seconds.
pub const MISS_WINDOW_SECONDS: u64 = 10;

/// A public key for tokens: a P-256 point, uncompressed as in SEC 1 §2.3.3 (0x04, x, y).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPublicKey(pub [u8; 65]);

/// What the ledger knows about an organisation and one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// How the organisation stands.
    pub standing: Standing,
    /// Whether the certificate is registered for it and not revoked.
    pub certificate_registered: bool,
}

/// The ledger could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member directory cannot be asked: {0}")]
pub struct DirectoryError(pub String);

/// Answers from the ledger, as of its latest block.
pub trait Directory: Send + Sync {
    /// How an organisation stands, and whether a certificate (by SHA-256 fingerprint) is its own.
    fn membership(
        &self,
        org: &str,
        certificate_sha256: [u8; 32],
    ) -> impl Future<Output = Result<Membership, DirectoryError>> + Send;

    /// The token key that an organisation has published under this id, unless it is revoked.
    fn token_key(
        &self,
        org: &str,
        kid: &str,
    ) -> impl Future<Output = Result<Option<TokenPublicKey>, DirectoryError>> + Send;
}

impl<D: Directory> Directory for std::sync::Arc<D> {
    fn membership(
        &self,
        org: &str,
        certificate_sha256: [u8; 32],
    ) -> impl Future<Output = Result<Membership, DirectoryError>> + Send {
        (**self).membership(org, certificate_sha256)
    }

    fn token_key(
        &self,
        org: &str,
        kid: &str,
    ) -> impl Future<Output = Result<Option<TokenPublicKey>, DirectoryError>> + Send {
        (**self).token_key(org, kid)
    }
}

/// Remembers token keys for a while, in bounded space.
#[derive(Debug)]
pub struct KeyCache {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: LruCache<(String, String), Remembered>,
    misses: LruCache<String, Misses>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    key: Option<TokenPublicKey>,
    until: u64,
}

#[derive(Clone, Copy, Debug)]
struct Misses {
    window_start: u64,
    count: u32,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                keys: LruCache::new(MAX_CACHED_KEYS),
                misses: LruCache::new(MAX_COUNTED_ORGS),
            }),
        }
    }
}

impl KeyCache {
    /// The key, from memory or from the directory. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`DirectoryError`] when it had to be asked and could not; that is not remembered.
    pub async fn token_key(
        &self,
        directory: &impl Directory,
        org: &str,
        kid: &str,
        now: u64,
    ) -> Result<Option<TokenPublicKey>, DirectoryError> {
        if let Some(answer) = self.lock().remembered(org, kid, now) {
            return Ok(answer);
        }
        let key = directory.token_key(org, kid).await?;
        self.lock().remember(org, kid, key, now);
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock; were it poisoned, the caches are still sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remembered(&mut self, org: &str, kid: &str, now: u64) -> Option<Option<TokenPublicKey>> {
        if let Some(found) = self.keys.get(&(org.to_owned(), kid.to_owned()))
            && now < found.until
        {
            return Some(found.key);
        }
        let misses = self.misses.get(org)?;
        let stormy = misses.count >= MAX_MISSES && now < misses.window_start + MISS_WINDOW_SECONDS;
        stormy.then_some(None)
    }

    fn remember(&mut self, org: &str, kid: &str, key: Option<TokenPublicKey>, now: u64) {
        let lifetime = if key.is_some() {
            FOUND_SECONDS
        } else {
            UNKNOWN_SECONDS
        };
        self.keys.put(
            (org.to_owned(), kid.to_owned()),
            Remembered {
                key,
                until: now + lifetime,
            },
        );
        if key.is_none() {
            let fresh = Misses {
                window_start: now,
                count: 0,
            };
            let misses = self.misses.get_or_insert_mut(org.to_owned(), || fresh);
            if now >= misses.window_start + MISS_WINDOW_SECONDS {
                *misses = fresh;
            }
            misses.count += 1;
        }
    }
}
