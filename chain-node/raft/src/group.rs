//! One epoch's raft group as this node sees it: the library's node, with our storage, our election
//! timeouts and our last look at every message that it is given.

use std::collections::BTreeMap;

use raft::{Config, RawNode, SnapshotStatus, StateRole};
use xinqiao_consensus::Error;
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    ids::{HeaderHash, Height},
    validators::ValidatorSet,
};

use crate::{
    convert, guard,
    message::{Block, Body, Letter, Slot},
    record::{Event, Hard, Kept},
    store::Store,
    timer::{HEARTBEAT_TICKS, LEASE_TICKS, LEAST_TICKS, MOST_TICKS, Patience},
};

/// The most bytes of entries in one append: far below a message's limit, and of the smallest
/// entries there are no more than a message may have.
const MAX_APPEND_BYTES: u64 = 4 << 10;

/// The most bytes of entries that a leader takes before any is committed. One block is under way
/// at a time, so it is never reached.
const MAX_UNCOMMITTED_BYTES: u64 = 64 << 10;

/// The most appends under way to one voter.
const MAX_INFLIGHT: usize = 64;

/// The group.
pub(crate) struct Group {
    since: Height,
    validators: Digest,
    me: u64,
    ids: BTreeMap<u64, KeyId>,
    node: RawNode<Store>,
    patience: Patience,
    /// Term and role when the election timeout was drawn.
    drawn_at: (u64, StateRole),
    timeout: usize,
    /// A restored point is not on disk yet: until it is, the library would look for entries before
    /// it if an election began.
    restoring: bool,
}

/// What the library wants done next.
pub(crate) struct Turn {
    /// Names it when it is durable.
    pub(crate) number: u64,
    /// What is to be logged.
    pub(crate) log: Option<Logged>,
    /// What is to be said, to whom and in which term.
    pub(crate) say: Vec<(KeyId, u64, Body)>,
    /// Whether that can be said before the log is on disk.
    pub(crate) at_once: bool,
    /// The blocks that are agreed on now.
    pub(crate) agreed: Vec<Block>,
}

/// What is to be logged.
pub(crate) enum Logged {
    /// An event.
    Event(Event),
    /// Everything there is: the log begins anew.
    Whole,
}

/// The number that the library knows a validator by: the first bytes of its key's id, so that it is
/// the same on every node and in every set.
pub(crate) fn number_of(id: &KeyId) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_be_bytes(number)
}

/// The validators by their numbers.
fn numbers<'a>(ids: impl Iterator<Item = &'a KeyId>) -> Result<BTreeMap<u64, KeyId>, Error> {
    let mut numbers = BTreeMap::new();
    for id in ids {
        let number = number_of(id);
        if number == 0 || numbers.insert(number, *id).is_some() {
            let fault = "two validators' key ids begin alike, or one with zeros";
            return Err(Error::Core(fault.to_owned()));
        }
    }
    Ok(numbers)
}

fn failed(fault: raft::Error) -> Error {
    Error::Core(fault.to_string())
}

impl Group {
    /// The group as this node left it.
    ///
    /// # Errors
    /// [`Error::Core`] when the library does not take it.
    pub(crate) fn new(
        kept: &Kept,
        set: &ValidatorSet,
        me: &KeyId,
        patience: Patience,
    ) -> Result<Self, Error> {
        let ids = numbers(set.keys().iter().map(|(id, _)| id))?;
        let config = Config {
            id: number_of(me),
            election_tick: LEASE_TICKS,
            min_election_tick: LEAST_TICKS,
            max_election_tick: MOST_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: kept.point.index,
            max_size_per_msg: MAX_APPEND_BYTES,
            max_inflight_msgs: MAX_INFLIGHT,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: MAX_UNCOMMITTED_BYTES,
            max_committed_size_per_ready: MAX_UNCOMMITTED_BYTES,
            ..Config::default()
        };
        let store = Store::new(kept, ids.keys().copied().collect());
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, store, &silent).map_err(failed)?;
        let mut group = Self {
            since: kept.since,
            validators: kept.validators,
            me: number_of(me),
            ids,
            drawn_at: (node.raft.term, node.raft.state),
            timeout: LEAST_TICKS,
            patience,
            node,
            restoring: false,
        };
        group.draw();
        group.hold_timeout();
        Ok(group)
    }

    pub(crate) fn since(&self) -> Height {
        self.since
    }

    pub(crate) fn validators(&self) -> Digest {
        self.validators
    }

    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// The height of the last block in the log.
    pub(crate) fn last_height(&self) -> Height {
        let store = self.node.store();
        let last = store.last_block().map(|block| block.height);
        last.unwrap_or(store.point().height)
    }

    /// Whether that entry is in the log.
    pub(crate) fn holds(&self, index: u64, slot: &Slot) -> bool {
        self.node.store().holds(index, slot)
    }

    /// Time passes.
    pub(crate) fn tick(&mut self) {
        if !self.restoring {
            self.node.tick();
            self.hold_timeout();
        }
    }

    /// Tells all that this node leads, if it does.
    pub(crate) fn ping(&mut self) {
        self.node.ping();
    }

    /// Puts a block at the log's end; false if this node cannot.
    pub(crate) fn propose(&mut self, block: &Block) -> bool {
        // A follower's library would send the proposal on, and a leader's take it twice.
        self.is_leader() && self.node.propose(Vec::new(), convert::data(block)).is_ok()
    }

    /// Gives a letter to the library, unless it makes no sense in the state that this node is in.
    /// `durable`: everything that the library wanted logged is on disk.
    pub(crate) fn step(&mut self, letter: &Letter, durable: bool) {
        let from = number_of(&letter.from);
        let another = self.restoring && matches!(letter.body, Body::Restore(_));
        if another || !guard::makes_sense(&self.node, from, letter, durable) {
            return;
        }
        let voters: Vec<u64> = self.ids.keys().copied().collect();
        let message = convert::core(from, self.me, letter.term, &letter.body, &voters);
        // What it refuses it has not taken: there is nobody to tell.
        let _ = self.node.step(message);
        self.hold_timeout();
    }

    /// What the library wants done next, if anything.
    pub(crate) fn turn(&mut self) -> Result<Option<Turn>, Error> {
        if !self.node.has_ready() {
            return Ok(None);
        }
        let mut ready = self.node.ready();
        let at_once = ready.persisted_messages().is_empty();
        let mut messages = ready.take_messages();
        messages.append(&mut ready.take_persisted_messages());
        let agreed = ready.take_committed_entries();
        let entries = ready.take_entries();
        let unknown = || Error::Core("an entry that this engine never made".to_owned());
        let slots: Option<Vec<Slot>> = entries.iter().map(convert::slot).collect();
        let slots = slots.ok_or_else(unknown)?;
        let after = entries.first().map(|entry| entry.index - 1);
        let whole = !ready.snapshot().is_empty();
        if whole {
            let point = convert::point(ready.snapshot()).ok_or_else(unknown)?;
            self.node.mut_store().restore(point);
            self.restoring = true;
        }
        if let Some(after) = after {
            self.node.mut_store().put(after, &slots);
        }
        let log = if whole {
            Some(Logged::Whole)
        } else {
            let hard = self.hard();
            let step = Event::Step { hard, after, slots };
            ready.must_sync().then_some(Logged::Event(step))
        };
        let number = ready.number();
        self.node.advance_append_async(ready);
        let mut blocks = Vec::new();
        for entry in &agreed {
            let slot = convert::slot(entry).ok_or_else(unknown)?;
            blocks.extend(slot.block);
        }
        if let Some(last) = agreed.last() {
            // To take note of it is all that there is to apply.
            self.node.advance_apply_to(last.index);
        }
        let mut say = Vec::with_capacity(messages.len());
        for message in messages {
            let to = self.ids.get(&message.to);
            let (Some(to), Some(body)) = (to, convert::body(&message)) else {
                let fault = format!("a message of kind {:?}", message.get_msg_type());
                return Err(Error::Core(fault));
            };
            say.push((*to, message.term, body));
            if let Some((_, _, Body::Restore(_))) = say.last() {
                // Nobody tells when it has arrived: so it is said again with every heartbeat,
                // until the receiver answers from beyond it.
                let failed = SnapshotStatus::Failure;
                self.node.report_snapshot(message.to, failed);
            }
        }
        self.hold_timeout();
        Ok(Some(Turn {
            number,
            log,
            say,
            at_once,
            agreed: blocks,
        }))
    }

    /// A turn is on disk, and all before it.
    pub(crate) fn persisted(&mut self, number: u64, whole: bool) {
        self.node.on_persist_ready(number);
        if whole {
            let log = &self.node.raft.raft_log;
            let applied = log.committed.min(log.persisted);
            if applied > log.applied {
                self.node
                    .advance_apply_to(applied.min(self.node.store().point().index));
            }
            self.restoring = false;
        }
        self.hold_timeout();
    }

    /// Drops old blocks from the log, if there are enough of them. Tells whether it did.
    pub(crate) fn compact(&mut self, upto: Height, at_least: u64) -> bool {
        if self.restoring || upto < self.node.store().point().height + at_least {
            return false;
        }
        let applied = self.node.raft.raft_log.applied;
        self.node.mut_store().compact(upto, applied)
    }

    /// All that has to be known again.
    pub(crate) fn keep(&self, signed: Option<(Height, HeaderHash)>) -> Kept {
        let store = self.node.store();
        Kept {
            since: self.since,
            validators: self.validators,
            hard: self.hard(),
            point: store.point(),
            slots: store.slots().to_vec(),
            signed,
        }
    }

    fn hard(&self) -> Hard {
        let hard = self.node.raft.hard_state();
        Hard {
            term: hard.term,
            vote: hard.vote,
            commit: hard.commit,
        }
    }

    /// The library draws from the thread's randomness whenever its term or role changes. So that a
    /// seed tells all, its draw is put aside for ours.
    fn hold_timeout(&mut self) {
        let now = (self.node.raft.term, self.node.raft.state);
        if now != self.drawn_at {
            self.drawn_at = now;
            self.draw();
        }
        self.node.raft.set_randomized_election_timeout(self.timeout);
    }

    fn draw(&mut self) {
        let place = self.ids.range(..self.me).count();
        let term = self.node.raft.term;
        self.timeout = self.patience.draw(place, self.ids.len(), term);
    }
}
