//! Remembering used token ids until their tokens have expired, in bounded space.
//!
//! Each organisation has its own share, so that one of them cannot push another's ids out; when its
//! share is full, further tokens are refused rather than accepted unseen.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Token ids remembered per organisation: ten minutes at 500 calls a second.
pub const MAX_IDS_PER_ORG: usize = 300_000;

/// Organisations that ids are remembered for. They are members with a certificate, so few.
pub const MAX_ORGS: usize = 4096;

/// A token id as it is kept: short, whatever the token wrote.
type Id = [u8; 16];

/// Whether a token id may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For the first time; it is remembered now.
    First,
    /// It was used before.
    Again,
    /// There is no room to remember it; it must not be accepted.
    NoRoom,
}

/// The ids in use.
#[derive(Debug)]
pub struct ReplayGuard {
    orgs: Mutex<HashMap<String, Ids>>,
    max_ids_per_org: usize,
}

#[derive(Debug, Default)]
struct Ids {
    seen: HashSet<Id>,
    by_expiry: BTreeSet<(u64, Id)>,
}

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::with_room_for(MAX_IDS_PER_ORG)
    }
}

impl ReplayGuard {
    /// A guard that remembers so many ids per organisation.
    #[must_use]
    pub fn with_room_for(max_ids_per_org: usize) -> Self {
        Self {
            orgs: Mutex::new(HashMap::new()),
            max_ids_per_org,
        }
    }

    /// Uses an id that no longer matters after `forget_after`. Both times in seconds since 1970.
    pub fn use_id(&self, org: &str, jti: &str, forget_after: u64, now: u64) -> Use {
        let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        if !orgs.contains_key(org) {
            if orgs.len() >= MAX_ORGS {
                orgs.retain(|_, ids| {
                    ids.forget(now);
                    !ids.seen.is_empty()
                });
            }
            if orgs.len() >= MAX_ORGS {
                return Use::NoRoom;
            }
        }
        let ids = orgs.entry(org.to_owned()).or_default();
        ids.forget(now);
        let id = short(jti);
        if ids.seen.contains(&id) {
            return Use::Again;
        }
        if ids.seen.len() >= self.max_ids_per_org {
            return Use::NoRoom;
        }
        ids.seen.insert(id);
        ids.by_expiry.insert((forget_after, id));
        Use::First
    }
}

impl Ids {
    fn forget(&mut self, now: u64) {
        while let Some((expiry, id)) = self.by_expiry.first().copied()
            && expiry < now
        {
            self.by_expiry.pop_first();
            self.seen.remove(&id);
        }
    }
}

fn short(jti: &str) -> Id {
    let digest = Sha256::digest(jti.as_bytes());
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_once_until_it_may_be_forgotten() {
        let guard = ReplayGuard::default();
        for (org, jti, now, expected) in [
            ("a", "1", 100, Use::First),
            ("a", "1", 100, Use::Again),
            ("b", "1", 100, Use::First),
            ("a", "2", 150, Use::First),
            ("a", "1", 200, Use::Again),
            ("a", "1", 201, Use::First),
            ("a", "2", 201, Use::Again),
        ] {
            let forget_after = if now < 150 { 200 } else { 300 };
            assert_eq!(
                guard.use_id(org, jti, forget_after, now),
                expected,
                "{org} {jti} {now}"
            );
        }
    }

    #[test]
    fn a_full_share_refuses_and_leaves_other_orgs_alone() {
        let guard = ReplayGuard::with_room_for(2);
        assert_eq!(guard.use_id("a", "1", 200, 100), Use::First);
        assert_eq!(guard.use_id("a", "2", 300, 100), Use::First);
        assert_eq!(guard.use_id("a", "3", 300, 100), Use::NoRoom);
        assert_eq!(guard.use_id("b", "3", 300, 100), Use::First);
        assert_eq!(guard.use_id("a", "3", 300, 201), Use::First);
        assert_eq!(guard.use_id("a", "2", 300, 201), Use::Again);
    }
}
