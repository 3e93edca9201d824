//! A validator that remembers nothing may have said anything. One that starts without a log keeps silent
//! until the chain has gone past every height at which it can have voted before.
//!
//! It can have voted one height above its own last block, and that block's certificate shows that a
//! quorum stood at most one height below. Once enough others were heard, where those stood that a
//! minority cannot have invented, and two blocks more, is safe. Of n validators with quorum q at most n - q
//! lie: so the highest n - q of what is said are left out, and so many are heard that one of the quorum is
//! among the rest, whoever of them is. On a chain without any block there is nothing to forget: a
//! consortium that begins does not wait, and neither does a single validator.

use std::collections::BTreeMap;

use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    ids::Height,
    validators::{Engine, ValidatorSet},
};

/// How far the chain has to go on above what others stood at.
const MARGIN: Height = 2;

/// What is known of a validator's own past.
#[derive(Debug)]
pub(crate) enum Caution {
    /// It has its log.
    Remembers,
    /// It has none; where others stood when they were first heard.
    Forgot(BTreeMap<KeyId, Height>),
}

impl Caution {
    pub(crate) fn new(forgot: bool) -> Self {
        if forgot {
            Self::Forgot(BTreeMap::new())
        } else {
            Self::Remembers
        }
    }

    /// Another validator has said where it stands; whether that is news.
    pub(crate) fn hears(&mut self, validator: KeyId, tip: Height) -> bool {
        match self {
            Self::Remembers => false,
            Self::Forgot(stood) => match stood.entry(validator) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(tip);
                    true
                }
                std::collections::btree_map::Entry::Occupied(_) => false,
            },
        }
    }

    /// Whether it may take part, with its own chain at that height. Once it may, it always may.
    pub(crate) fn may_speak(&mut self, tip: Height, validators: &ValidatorSet) -> bool {
        let Self::Forgot(stood) = self else {
            return true;
        };
        let heard: Vec<Height> = (stood.iter())
            .filter(|(id, _)| validators.key(id).is_some())
            .map(|(_, height)| *height)
            .collect();
        // With itself, those that it has heard are a quorum.
        if heard.len() + 1 < validators.quorum() {
            return false;
        }
        let begun = heard.iter().any(|height| *height > 0);
        let highest = if begun {
            let Some(highest) = stood_at(heard, validators) else {
                return false;
            };
            highest
        } else {
            0
        };
        if highest > 0 && tip < highest.saturating_add(MARGIN) {
            return false;
        }
        if highest > 0 {
            tracing::warn!(
                height = tip + 1,
                "this validator began without its log: it has kept silent so far, and takes part from here on"
            );
        }
        *self = Self::Remembers;
        true
    }
}

/// The height at which one of every quorum stood that can have decided before; none as long as too few
/// were heard.
fn stood_at(mut heard: Vec<Height>, validators: &ValidatorSet) -> Option<Height> {
    // This many of a quorum may be missing among those that were heard.
    let spared = validators.count() - validators.quorum();
    let liars = match validators.engine() {
        Engine::Bft => spared,
        Engine::Solo | Engine::Raft => 0,
    };
    if heard.len() < spared + 1 + liars {
        return None;
    }
    heard.sort_unstable_by(|one, other| other.cmp(one));
    heard.get(liars).copied()
}

#[cfg(test)]
mod tests {
    use xinqiao_contracts::testing::secret;

    use super::*;

    fn set(engine: Engine, names: &[&str]) -> ValidatorSet {
        let keys = names.iter().map(|name| *secret(name).public());
        ValidatorSet::new(engine, keys, Default::default()).unwrap()
    }

    fn id(name: &str) -> KeyId {
        secret(name).public().id()
    }

    #[test]
    fn who_has_its_log_or_is_alone_or_begins_with_all_others_does_not_wait() {
        let four = set(Engine::Bft, &["a", "b", "c", "d"]);
        assert!(Caution::new(false).may_speak(7, &four));
        assert!(Caution::new(true).may_speak(7, &set(Engine::Solo, &["a"])));
        let mut begins = Caution::new(true);
        assert!(!begins.may_speak(0, &four));
        assert!(begins.hears(id("b"), 0));
        assert!(!begins.may_speak(0, &four), "two of four are no quorum");
        assert!(begins.hears(id("c"), 0));
        assert!(begins.may_speak(0, &four));
    }

    #[test]
    fn who_forgot_keeps_silent_until_the_chain_is_past_what_it_can_have_said() {
        let four = set(Engine::Bft, &["a", "b", "c", "d"]);
        let mut forgot = Caution::new(true);
        assert!(!forgot.may_speak(0, &four));
        forgot.hears(id("a stranger"), 99);
        forgot.hears(id("b"), 10);
        forgot.hears(id("c"), 12);
        assert!(!forgot.hears(id("c"), 50), "where it stood at first");
        assert!(
            !forgot.may_speak(99, &four),
            "who has seen its last decision may be the fourth"
        );
        // Were it alone, nobody could tell it from a liar.
        forgot.hears(id("d"), Height::MAX);
        for (tip, may) in [(0, false), (12, false), (13, false), (14, true), (0, true)] {
            assert_eq!(forgot.may_speak(tip, &four), may, "at {tip}");
        }
    }

    #[test]
    fn one_liar_of_four_neither_lengthens_the_silence_nor_shortens_it() {
        let four = set(Engine::Bft, &["a", "b", "c", "d"]);
        for (said, from) in [
            ([10, 12, Height::MAX], 14),
            ([10, 12, 0], 12),
            ([0, 0, Height::MAX], 0),
        ] {
            let mut forgot = Caution::new(true);
            for (name, height) in ["b", "c", "d"].into_iter().zip(said) {
                forgot.hears(id(name), height);
            }
            if from > 0 {
                assert!(!forgot.may_speak(from - 1, &four), "{said:?}");
            }
            assert!(forgot.may_speak(from, &four), "{said:?}");
        }
    }

    #[test]
    fn where_nobody_lies_the_highest_counts_and_both_others_of_three_are_heard() {
        let three = set(Engine::Raft, &["a", "b", "c"]);
        let mut forgot = Caution::new(true);
        forgot.hears(id("b"), 5);
        assert!(!forgot.may_speak(20, &three), "c may have decided with it");
        forgot.hears(id("c"), 12);
        assert!(!forgot.may_speak(13, &three));
        assert!(forgot.may_speak(14, &three));
    }
}
