//! How many calls an institution and each of its users may make: token buckets in bounded space.

use std::hash::Hash;

use governor::{
    DefaultKeyedRateLimiter, Quota as Bucket, RateLimiter,
    clock::{Clock, DefaultClock},
};
use xinqiao_decide::QuotaState;

use crate::config::{Quotas, Rate};

/// The most buckets of one kind. Beyond it full buckets are forgotten, and when none is full, whoever
/// is new has to wait: names that a stranger makes up cost no memory.
const MAX_BUCKETS: usize = 100_000;

/// When it is worth another try if there is no room for one more bucket, in milliseconds.
const NO_ROOM_MS: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Quota {
    clock: DefaultClock,
    institutions: DefaultKeyedRateLimiter<String>,
    users: DefaultKeyedRateLimiter<(String, String)>,
}

impl Quota {
    pub(crate) fn new(quotas: &Quotas) -> Self {
        let bucket = |rate: Rate| Bucket::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            clock: DefaultClock::default(),
            institutions: RateLimiter::keyed(bucket(quotas.institution)),
            users: RateLimiter::keyed(bucket(quotas.user)),
        }
    }

    /// Charges one call to the institution.
    pub(crate) fn institution(&self, org: &str) -> QuotaState {
        self.charge(&self.institutions, &org.to_owned())
    }

    /// Charges one call to the user.
    pub(crate) fn user(&self, org: &str, user: &str) -> QuotaState {
        self.charge(&self.users, &(org.to_owned(), user.to_owned()))
    }

    fn charge<K: Hash + Eq + Clone>(
        &self,
        buckets: &DefaultKeyedRateLimiter<K>,
        key: &K,
    ) -> QuotaState {
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain_recent();
            if buckets.len() >= MAX_BUCKETS {
                return QuotaState::Exceeded {
                    retry_after_ms: NO_ROOM_MS,
                };
            }
        }
        match buckets.check_key(key) {
            Ok(()) => QuotaState::Within,
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now()).as_millis();
                QuotaState::Exceeded {
                    retry_after_ms: u64::try_from(wait).unwrap_or(u64::MAX).max(1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_institution_and_each_user_has_its_own_bucket() {
        let quota = Quota::new(&Quotas {
            institution: Rate::new(1, 3),
            user: Rate::new(1, 2),
        });
        let within = |state| state == QuotaState::Within;
        let bank: Vec<bool> = (0..4).map(|_| within(quota.institution("bank"))).collect();
        assert_eq!(bank, [true, true, true, false]);
        assert!(within(quota.institution("other")));
        let user: Vec<bool> = (0..3).map(|_| within(quota.user("bank", "u"))).collect();
        assert_eq!(user, [true, true, false]);
        assert!(within(quota.user("bank", "v")));
        assert!(within(quota.user("other", "u")));
    }

    #[test]
    fn whoever_is_over_is_told_when_to_come_again() {
        let quota = Quota::new(&Quotas {
            institution: Rate::new(1, 1),
            user: Rate::new(1, 1),
        });
        assert_eq!(quota.institution("bank"), QuotaState::Within);
        let QuotaState::Exceeded { retry_after_ms } = quota.institution("bank") else {
            panic!("the second call within a second is over");
        };
        assert!((1..=1_000).contains(&retry_after_ms), "{retry_after_ms}");
    }
}
