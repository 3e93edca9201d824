//! Catching up: which validator blocks are fetched from, and when that is worth it.
//!
//! A validator that has missed a decision gets blocks with their certificates from another, as a
//! follower does, and checks each as a follower does. Who lies is named and left for a while; who
//! only says that it is further and sends nothing is left as well.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::ids::Height;

use crate::upstream::{Checked, Checking, UpstreamFault};

/// How long another validator may be one block further before blocks are fetched: the own decision
/// is mostly under way.
const GRACE: Duration = Duration::from_millis(250);

/// How long a validator that blocks are fetched from may send nothing.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a validator is left alone after it has lied, or not sent what it says that it has; and after
/// it merely was not there.
const LEFT_ALONE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));

/// What is known of the others' chains.
#[derive(Debug, Default)]
pub(crate) struct Others {
    tips: BTreeMap<KeyId, Height>,
    left_alone: BTreeMap<KeyId, Instant>,
    behind_since: Option<Instant>,
}

impl Others {
    /// A validator has said where its chain stands.
    pub(crate) fn note(&mut self, validator: KeyId, tip: Height) {
        self.tips.insert(validator, tip);
    }

    /// Our own chain has got on.
    pub(crate) fn got_on(&mut self) {
        self.behind_since = None;
    }

    /// A validator is left alone for a while.
    pub(crate) fn leave(&mut self, validator: KeyId, misleads: bool, now: Instant) {
        let alone = if misleads {
            self.tips.remove(&validator);
            LEFT_ALONE.0
        } else {
            LEFT_ALONE.1
        };
        self.left_alone.insert(validator, now + alone);
    }

    /// Whether anybody who is not left alone says that it is further.
    pub(crate) fn say_more_than(&self, tip: Height) -> bool {
        let trusted = |validator| !self.left_alone.contains_key(validator);
        (self.tips.iter()).any(|(validator, height)| *height > tip && trusted(validator))
    }

    /// Whom to fetch blocks from now, if that is worth it.
    pub(crate) fn ahead(&mut self, tip: Height, now: Instant) -> Option<KeyId> {
        self.left_alone.retain(|_, until| *until > now);
        let trusted =
            (self.tips.iter()).filter(|(validator, _)| !self.left_alone.contains_key(*validator));
        let (validator, height) = trusted.max_by_key(|(_, height)| **height)?;
        if *height <= tip {
            self.behind_since = None;
            return None;
        }
        let since = *self.behind_since.get_or_insert(now);
        let worth = *height > tip + 1 || now.duration_since(since) >= GRACE;
        worth.then_some(*validator)
    }

    /// Anybody who is not left alone, the next one each time: for a node that nobody tells anything.
    pub(crate) fn anybody(&mut self, of: &[KeyId], turn: usize, now: Instant) -> Option<KeyId> {
        self.left_alone.retain(|_, until| *until > now);
        let trusted: Vec<&KeyId> = (of.iter())
            .filter(|one| !self.left_alone.contains_key(*one))
            .collect();
        trusted.get(turn % trusted.len().max(1)).copied().copied()
    }
}

/// Blocks on their way from one validator.
pub(crate) struct Fetch {
    pub(crate) from: KeyId,
    blocks: mpsc::Receiver<Checking>,
    task: JoinHandle<UpstreamFault>,
    checking: Option<Checking>,
    heard: Instant,
    /// For its first block, though nobody has said that there is one.
    waits: bool,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetch {
    pub(crate) fn new(
        from: KeyId,
        blocks: mpsc::Receiver<Checking>,
        task: JoinHandle<UpstreamFault>,
    ) -> Self {
        Self {
            from,
            blocks,
            task,
            checking: None,
            heard: Instant::now(),
            waits: false,
        }
    }

    /// The next block, checked as far as it can be without executing it. May be dropped at any time.
    pub(crate) async fn next(&mut self) -> Result<Checked, UpstreamFault> {
        if self.checking.is_none() {
            match self.blocks.recv().await {
                Some(checking) => self.checking = Some(checking),
                None => return Err((&mut self.task).await.unwrap_or_else(Into::into)),
            }
        }
        let Some(checking) = &mut self.checking else {
            return Err(UpstreamFault::Ended);
        };
        let checked = checking.await;
        self.checking = None;
        self.heard = Instant::now();
        self.waits = false;
        checked.unwrap_or_else(|lost| Err(lost.into()))
    }

    /// Whether more blocks are here already.
    pub(crate) fn has_more(&self) -> bool {
        self.checking.is_some() || !self.blocks.is_empty()
    }

    /// Nobody has said that there is more: the first block is waited for all the same, a moment.
    pub(crate) fn unasked(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Whether a block would have come by now from who has more than this node.
    pub(crate) fn has_waited(&self, now: Instant) -> bool {
        !self.waits || now.duration_since(self.heard) > GRACE * 4
    }

    /// Whether nothing has come for too long.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.heard) > SILENCE
    }
}

#[cfg(test)]
mod tests {
    use xinqiao_crypto::Digest;

    use super::*;

    fn id(byte: u8) -> KeyId {
        KeyId::from(Digest::from([byte; 32]))
    }

    #[test]
    fn blocks_are_fetched_from_who_is_furthest_once_waiting_for_the_own_decision_is_over() {
        let mut others = Others::default();
        let start = Instant::now();
        assert_eq!(others.ahead(7, start), None);
        others.note(id(1), 7);
        assert_eq!(others.ahead(7, start), None);
        others.note(id(2), 8);
        assert_eq!(others.ahead(7, start), None, "the own decision may be near");
        assert_eq!(others.ahead(7, start + GRACE), Some(id(2)));
        others.got_on();
        assert_eq!(others.ahead(7, start + GRACE), None, "one block came");
        others.note(id(3), 9);
        assert_eq!(
            others.ahead(7, start + GRACE),
            Some(id(3)),
            "two are too many"
        );
        others.leave(id(3), true, start);
        assert_eq!(others.ahead(7, start + GRACE * 2), Some(id(2)));
        others.note(id(3), 10);
        let later = start + LEFT_ALONE.0;
        assert_eq!(others.ahead(7, later), Some(id(3)), "not for ever");
        others.leave(id(3), false, later);
        assert_eq!(others.ahead(7, later), Some(id(2)));
        let soon = later + LEFT_ALONE.1;
        assert_eq!(
            others.ahead(7, soon),
            Some(id(3)),
            "it was merely not there"
        );
    }

    #[test]
    fn who_is_told_nothing_asks_everybody_in_turn() {
        let mut others = Others::default();
        let (now, all) = (Instant::now(), [id(1), id(2)]);
        assert_eq!(others.anybody(&[], 5, now), None);
        assert_eq!(others.anybody(&all, 0, now), Some(id(1)));
        assert_eq!(others.anybody(&all, 1, now), Some(id(2)));
        others.leave(id(1), true, now);
        assert_eq!(others.anybody(&all, 0, now), Some(id(2)));
    }
}
