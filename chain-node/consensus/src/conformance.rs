//! What every engine promises, as a suite that each one's tests run.
//!
//! The suite plays the node of a single validator: it executes nothing, but answers each effect the
//! way a node does, with a clock that it moves itself. It panics at the first promise that is
//! broken, naming it. A cluster of several voters is simulated elsewhere.

use std::collections::VecDeque;

use xinqiao_crypto::{Digest, KeyId, Signature};
use xinqiao_ledger::{
    block::{Certificate, Header, ValidatorSet},
    ids::{ChainId, HeaderHash, TimeMs},
};

use crate::{
    engine::{Effect, Engine, Input, Position, Slot},
    time::MAX_AHEAD_MS,
};

/// The single validator that the suite plays.
pub struct Validator<'a> {
    /// Its set.
    pub set: &'a ValidatorSet,
    /// Its signature over a header.
    pub sign: &'a dyn Fn(&Header) -> (KeyId, Signature),
}

/// Runs every promise against engines that `make` starts at a position.
///
/// # Panics
/// At the first promise that the engine breaks.
pub fn run<E: Engine>(validator: &Validator<'_>, make: impl Fn(Position) -> E) {
    let start = |time, deadline| Play::new(validator, &make, time, deadline);

    let mut play = start(1_000, None);
    play.input(Input::Tick { now: 5_000 });
    assert!(play.blocks.is_empty(), "an idle chain makes no blocks");

    let mut play = start(1_000, None);
    play.wait(3, 5_000);
    assert_eq!(play.took(), [3], "what waits is taken up at once");
    assert_eq!(play.times(), [5_000], "a block has the clock's time");
    play.wait(2, 5_000);
    assert_eq!(play.took(), [3, 2], "the next block follows");
    assert_eq!(play.times(), [5_000, 5_001], "block time always rises");

    let mut play = start(1_000, None);
    play.arrives_while_committing = 4;
    play.wait(1, 5_000);
    assert_eq!(play.took(), [1, 4], "what arrives meanwhile is next");

    let mut play = start(1_000, Some(9_000));
    play.input(Input::Tick { now: 8_999 });
    assert!(play.blocks.is_empty(), "no deadline fires early");
    assert_eq!(
        play.wake_at,
        Some(9_000),
        "the engine asks to be woken for it"
    );
    play.input(Input::Tick { now: 9_000 });
    assert_eq!(play.took(), [0], "a deadline alone makes a block");
    assert!(play.times()[0] >= 9_000, "and the block's time has come");

    let mut play = start(1_000, None);
    play.deadline = Some(9_000);
    play.input(Input::Deadline {
        at: 9_000,
        now: 8_500,
    });
    assert!(play.blocks.is_empty(), "nor does one that came into sight");
    assert_eq!(play.wake_at, Some(9_000), "it is waited for as well");
    play.input(Input::Tick { now: 9_000 });
    assert_eq!(play.took(), [0], "and makes a block");
    play.input(Input::Tick { now: 9_001 });
    assert_eq!(play.took(), [0], "once");

    let mut play = start(50_000, None);
    play.wait(1, 49_000);
    assert_eq!(
        play.times(),
        [50_001],
        "a clock that stepped back does not stop it"
    );

    let mut play = start(50_000, None);
    play.wait(1, 50_000 - MAX_AHEAD_MS);
    assert!(
        play.blocks.is_empty(),
        "no time beyond what voters accept is proposed"
    );
    let woken = play.wake_at.expect("the engine asks to be woken");
    play.input(Input::Tick { now: woken });
    assert_eq!(play.took(), [1], "it goes on when the clock has caught up");
}

/// One engine, the mempool's count, and the blocks that came of it.
struct Play<'a, E> {
    validator: &'a Validator<'a>,
    engine: E,
    now: TimeMs,
    waiting: usize,
    arrives_while_committing: usize,
    deadline: Option<TimeMs>,
    wake_at: Option<TimeMs>,
    under_way: Option<(Header, usize)>,
    blocks: Vec<(Header, usize)>,
    parent: HeaderHash,
}

impl<'a, E: Engine> Play<'a, E> {
    fn new(
        validator: &'a Validator<'a>,
        make: &impl Fn(Position) -> E,
        time: TimeMs,
        deadline: Option<TimeMs>,
    ) -> Self {
        Self {
            validator,
            engine: make(Position {
                height: 0,
                time,
                deadline,
            }),
            now: time,
            waiting: 0,
            arrives_while_committing: 0,
            deadline,
            wake_at: None,
            under_way: None,
            blocks: Vec::new(),
            parent: HeaderHash(Digest::ZERO),
        }
    }

    fn took(&self) -> Vec<usize> {
        self.blocks.iter().map(|(_, took)| *took).collect()
    }

    fn times(&self) -> Vec<TimeMs> {
        self.blocks.iter().map(|(header, _)| header.time).collect()
    }

    fn wait(&mut self, count: usize, now: TimeMs) {
        self.waiting += count;
        self.input(Input::Waiting { now });
    }

    /// Feeds an input and answers every effect until nothing is left to do.
    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if let Input::Waiting { now } | Input::Tick { now } | Input::Deadline { now, .. } =
                input
            {
                self.now = now;
            }
            let effects = self
                .engine
                .handle(input)
                .unwrap_or_else(|fault| panic!("an honest node's input is refused: {fault}"));
            inputs.extend(
                effects
                    .into_iter()
                    .filter_map(|effect| self.carry_out(effect)),
            );
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Build(slot) => {
                assert!(self.under_way.is_none(), "one block at a time");
                let expected = self.blocks.len() as u64 + 1;
                assert_eq!(slot.height, expected, "heights have no gaps");
                let header = self.header(slot);
                self.under_way = Some((header.clone(), std::mem::take(&mut self.waiting)));
                Some(Input::Built(Box::new(header)))
            }
            Effect::Sign { height, header } => {
                let (built, _) = self
                    .under_way
                    .as_ref()
                    .expect("a block is built before it is signed");
                assert_eq!(
                    (height, header),
                    (built.height, built.hash()),
                    "what was built is signed"
                );
                let (validator, signature) = (self.validator.sign)(built);
                Some(Input::Signed {
                    validator,
                    signature,
                })
            }
            Effect::Commit(certificate) => Some(self.commit(&certificate)),
            Effect::WakeAt(time) => {
                self.wake_at = Some(time);
                None
            }
            Effect::ClockBehind { .. } => None,
        }
    }

    fn commit(&mut self, certificate: &Certificate) -> Input {
        let (header, took) = self
            .under_way
            .take()
            .expect("a block is built before it is committed");
        certificate
            .check(header.clone(), self.validator.set)
            .unwrap_or_else(|fault| {
                panic!("a block is committed under a full certificate: {fault}")
            });
        if self.deadline.is_some_and(|at| at <= header.time) {
            self.deadline = None;
        }
        self.parent = header.hash();
        let position = Position {
            height: header.height,
            time: header.time,
            deadline: self.deadline,
        };
        self.blocks.push((header, took));
        self.waiting += std::mem::take(&mut self.arrives_while_committing);
        Input::Committed {
            position,
            waiting: self.waiting > 0,
            now: self.now,
        }
    }

    fn header(&self, slot: Slot) -> Header {
        Header {
            chain: ChainId(Digest::ZERO),
            height: slot.height,
            parent: self.parent,
            time: slot.time,
            tx_count: 0,
            tx_root: Digest::ZERO,
            outcome_root: Digest::ZERO,
            state_commitment: Digest::ZERO,
            history_root: Digest::ZERO,
            validator_set: self.validator.set.hash(),
            proposer: self.validator.set.keys()[0].id(),
        }
    }
}
