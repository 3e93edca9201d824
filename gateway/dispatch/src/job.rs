//! The institution's machine for many queries as one job: which entries are under way, which wait, when one
//! is tried again, how many go side by side, and what a cancellation leaves.
//!
//! ```text
//!   waiting ──Query──▶ under way ── Settled ──▶ done
//!      ▲                   │ Hindered: again later, and fewer side by side
//!      └──────pause────────┤ Hindered too often ──▶ Settle(failed)
//!   Cancel: waiting ──▶ Settle(cancelled)     under way ──▶ Withdraw, once
//!   nothing waiting or under way ──▶ End
//! ```
//!
//! It carries nothing out and has no clock: the agent queries, keeps and wakes as it is told. It knows entries
//! by number and no code: what an entry is, its owner knows. An entry is settled once, and what was settled or
//! ordered before a restart is told at the beginning.

use std::collections::{BTreeSet, VecDeque};

/// Which entry of the job, from 0.
pub type Entry = u32;

/// How often an entry is tried before it counts as failed. With the pauses between, some eight minutes.
pub const TRIES: u32 = 24;

/// The first and the longest pause before an entry is tried again, in milliseconds.
const PAUSE_MS: (u64, u64) = (200, 30_000);

/// How many go side by side at the beginning, if as many may.
const FIRST_WINDOW: u32 = 4;

/// What happens to a job from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An entry has its result.
    Settled(Entry),
    /// An entry could not be carried out this time, for a reason that passes.
    Hindered {
        /// The entry.
        entry: Entry,
        /// After how long it is worth another try, in milliseconds, if that was said.
        after_ms: Option<u64>,
    },
    /// The job is to end early.
    Cancel,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Query an entry, after a pause.
    Query {
        /// The entry.
        entry: Entry,
        /// The pause, in milliseconds.
        after_ms: u64,
    },
    /// Cancel the query of an entry that is under way; it settles as any other.
    Withdraw(Entry),
    /// Nothing more is tried for an entry: it has failed.
    Fail(Entry),
    /// An entry is left, as the job was cancelled before it was begun.
    Leave(Entry),
    /// Every entry has its result.
    End,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    waiting: VecDeque<Entry>,
    under_way: BTreeSet<Entry>,
    /// How often each entry was tried, of those that were tried more than once.
    tries: std::collections::BTreeMap<Entry, u32>,
    window: Window,
    cancelled: bool,
    ended: bool,
}

impl Job {
    /// A job of those entries, in their order, of which at most `limit` go side by side. Those of `ordered`
    /// come first: what was ordered before a restart is waiting for its answer.
    #[must_use]
    pub fn begin(
        entries: impl IntoIterator<Item = Entry>,
        ordered: &BTreeSet<Entry>,
        limit: u32,
    ) -> (Self, Vec<Effect>) {
        let (first, rest): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .partition(|entry| ordered.contains(entry));
        let mut job = Self {
            waiting: first.into_iter().chain(rest).collect(),
            under_way: BTreeSet::new(),
            tries: std::collections::BTreeMap::new(),
            window: Window::new(limit),
            cancelled: false,
            ended: false,
        };
        let effects = job.go_on();
        (job, effects)
    }

    /// How many entries are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Takes what happened and gives what is to be done.
    pub fn apply(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Settled(entry) => {
                if self.under_way.remove(&entry) {
                    self.tries.remove(&entry);
                    self.window.widen();
                }
            }
            Input::Hindered { entry, after_ms } if self.under_way.contains(&entry) => {
                self.window.narrow();
                let tries = self.tries.entry(entry).or_insert(1);
                *tries += 1;
                if *tries > TRIES {
                    // It stays under way until its owner has settled it so.
                    effects.push(Effect::Fail(entry));
                } else {
                    let doubled = PAUSE_MS.0 << (*tries - 2).min(16);
                    let pause = after_ms.unwrap_or(doubled).max(doubled).min(PAUSE_MS.1);
                    effects.push(Effect::Query {
                        entry,
                        after_ms: pause,
                    });
                }
            }
            Input::Hindered { .. } => {}
            Input::Cancel if !self.cancelled => {
                self.cancelled = true;
                let left = self.waiting.drain(..);
                effects.extend(left.map(Effect::Leave));
                effects.extend(self.under_way.iter().copied().map(Effect::Withdraw));
            }
            Input::Cancel => {}
        }
        effects.extend(self.go_on());
        effects
    }

    fn go_on(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while self.under_way.len() < self.window.width()
            && let Some(entry) = self.waiting.pop_front()
        {
            self.under_way.insert(entry);
            effects.push(Effect::Query { entry, after_ms: 0 });
        }
        if self.under_way.is_empty() && self.waiting.is_empty() && !self.ended {
            self.ended = true;
            effects.push(Effect::End);
        }
        effects
    }
}

/// How many go side by side: one more after as many have come as there were, half as soon as one is hindered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    width: u32,
    come: u32,
    limit: u32,
}

impl Window {
    fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self {
            width: FIRST_WINDOW.min(limit),
            come: 0,
            limit,
        }
    }

    fn width(self) -> usize {
        self.width as usize
    }

    fn widen(&mut self) {
        self.come += 1;
        if self.come >= self.width {
            self.come = 0;
            self.width = (self.width + 1).min(self.limit);
        }
    }

    fn narrow(&mut self) {
        self.come = 0;
        self.width = (self.width / 2).max(1);
    }
}
