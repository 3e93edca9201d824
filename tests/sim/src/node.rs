//! One validator's host: the loop that a real node has around the engine, with a simulated disk,
//! network and clock. What the engine owes is not checked here but by the invariants.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use xinqiao_consensus::{Effect, Engine, Input, Message, Timer, Verifier};
use xinqiao_crypto::{KeyId, PublicKey, Signature};
use xinqiao_ledger::{
    block::Certificate,
    ids::{HeaderHash, Height, TimeMs},
    validators::ValidatorSet,
};

use crate::{
    block::{Block, Candidate, POISON, Tip, Tx},
    disk::Disk,
    kind::{Kind, Making},
    scheme::Scheme,
    sets::Sets,
    world::{Env, Later, Packet},
};

/// How many transactions a block takes.
const BLOCK_TXS: usize = 8;

/// How many blocks travel in one answer.
const BLOCKS_PER_ANSWER: usize = 8;

/// A mistake that a host can make, planted to see that the invariants find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The engine is told that the log is on disk before it is.
    PublishBeforeFlush,
    /// Blocks from others are taken with one signature less than a quorum.
    AcceptTooFewSignatures,
    /// Once one signature less than a quorum is over the same statement, any other passes for right:
    /// to the engine, so many are a quorum.
    CountTooFewSignatures,
    /// Bodies are not looked at.
    SkipBodies,
    /// Blocks are acknowledged before they are on disk.
    AcknowledgeBeforeDisk,
    /// The log is not read after a crash.
    ForgetLog,
    /// The contracts answer to a revocation and do nothing.
    IgnoreRevocations,
    /// Holders let a sealed report leave as soon as its record was handed in.
    ReleaseEarly,
}

/// What a node is like.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Which validator it is.
    pub validator: usize,
    /// Its key's id.
    pub key: KeyId,
    /// Whether its timers run out too soon at first.
    pub impatient: bool,
    /// Its engine's chance, if that has any.
    pub seed: u64,
    /// Whether it lies about bodies.
    pub poisons: bool,
    /// By how much its clock is ahead; milliseconds, negative when it is behind.
    pub clock_ahead_ms: i64,
    /// How fast its clock runs, in thousandths.
    pub clock_rate: u64,
    /// The mistake in its host.
    pub bug: Option<Bug>,
}

/// A validator's host.
pub struct Node<K: Kind, C: Scheme> {
    /// Its number among all nodes; twins have two numbers for one validator.
    pub id: usize,
    /// What it is like.
    pub traits: Traits,
    /// Counts its lives, so that nothing from an earlier one reaches a later.
    pub life: u64,
    /// What survives a crash.
    pub disk: Disk,
    /// The end of its chain.
    pub tip: Tip,
    genesis: Tip,
    sets: Rc<Sets>,
    verifier: Rc<C::Verifier>,
    engine: Option<K::Engine<C::Signer>>,
    mempool: BTreeSet<Tx>,
    timers: BTreeMap<Timer, u64>,
    timers_set: u64,
    /// Bodies asked for: at which height, and of whom.
    wanted: BTreeMap<HeaderHash, (Height, KeyId)>,
    /// For [`Bug::CountTooFewSignatures`]: whose signatures over what were right.
    right: RefCell<Right>,
}

type Right = BTreeMap<Vec<u8>, BTreeSet<KeyId>>;

/// The verifier of [`Bug::CountTooFewSignatures`].
struct Lenient<'a, V> {
    exact: &'a V,
    enough: usize,
    right: &'a RefCell<Right>,
}

impl<V: Verifier> Verifier for Lenient<'_, V> {
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let mut right = self.right.borrow_mut();
        let signers = right.entry(message.to_vec()).or_default();
        if self.exact.is_signed(key, message, signature) {
            signers.insert(key.id());
            return true;
        }
        signers.len() >= self.enough
    }
}

/// What a node tells its engine.
type Told<K> = Input<<<K as Kind>::Message as Message>::Verified>;

impl<K: Kind, C: Scheme> Node<K, C> {
    /// A node that is not running yet.
    pub fn new(
        id: usize,
        traits: Traits,
        genesis: Tip,
        sets: Rc<Sets>,
        verifier: Rc<C::Verifier>,
    ) -> Self {
        Self {
            id,
            traits,
            life: 0,
            disk: Disk::default(),
            tip: genesis.clone(),
            genesis,
            sets,
            verifier,
            engine: None,
            mempool: BTreeSet::new(),
            timers: BTreeMap::new(),
            timers_set: 0,
            wanted: BTreeMap::new(),
            right: RefCell::default(),
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// The power fails.
    pub fn crash(&mut self, env: &mut Env) {
        self.engine = None;
        self.disk.crash(&mut env.dice);
    }

    /// It starts, from what is on disk.
    pub fn start(&mut self, env: &mut Env) {
        self.life += 1;
        self.mempool.clear();
        self.timers.clear();
        self.wanted.clear();
        self.tip = self.genesis.clone();
        for block in self.disk.blocks() {
            self.tip.advance(&block.candidate);
        }
        env.observed.restarted(self);
        let log = match self.traits.bug {
            Some(Bug::ForgetLog) => Vec::new(),
            _ => self.disk.log(),
        };
        // The engine is shown the torn record, but nothing is ever appended behind it.
        self.disk.drop_torn();
        let making = Making {
            chain: self.tip.chain,
            impatient: self.traits.impatient,
            seed: self.traits.seed.wrapping_add(self.life),
        };
        self.engine = Some(K::engine(making, C::signer(self.traits.validator)));
        let start = Input::Start {
            height: self.tip.height + 1,
            since: self.sets.since(self.tip.height + 1),
            validators: self.next_set().clone(),
            log,
            work: false,
        };
        self.tell(start, env);
        let first = 1_000 + env.dice_below(200_000);
        env.later(self, first, Later::Tick);
    }

    /// A client, or another node, has a transaction.
    pub fn submit(&mut self, tx: Tx, env: &mut Env) {
        if !self.is_up() || self.tip.done.contains(&tx) || !self.mempool.insert(tx) {
            return;
        }
        env.broadcast(self, Packet::Tx(tx));
        self.tell(Input::Work, env);
    }

    /// A validator can be reached again.
    pub fn connected(&mut self, validator: usize, env: &mut Env) {
        if self.is_up() {
            let validator = env.id(validator);
            self.tell(Input::Connected { validator }, env);
        }
    }

    /// Something that it waited for has come.
    pub fn later(&mut self, what: Later, env: &mut Env) {
        match what {
            Later::Tick => self.tick(env),
            Later::PowerCut => env.power_off(self),
            Later::Timer(timer, set) => {
                if self.timers.get(&timer) == Some(&set) {
                    self.timers.remove(&timer);
                    self.tell(Input::Timeout(timer), env);
                }
            }
            Later::Flushed { upto, covers } => {
                self.disk.flush(covers);
                if self.traits.bug != Some(Bug::PublishBeforeFlush) {
                    self.tell(Input::Flushed { upto }, env);
                }
            }
            Later::Build { height, round } => self.build(height, round, env),
            Later::Judge { height, header } => self.judge(height, header, env),
        }
    }

    /// A packet has come.
    pub fn receive(&mut self, from: usize, packet: Packet, env: &mut Env) {
        if !self.is_up() {
            return;
        }
        match packet {
            Packet::Consensus { bytes, bodies } => {
                for body in &bodies {
                    self.take_body(body, env);
                }
                let Ok(message) = K::Message::decode(&bytes) else {
                    return;
                };
                let from = env.id(from);
                if let Some(message) = self.verify(from, message) {
                    self.tell(Input::Message { from, message }, env);
                }
            }
            Packet::Tx(tx) => self.submit(tx, env),
            Packet::Status(height) => {
                if height > self.tip.height {
                    let ask = Packet::Ask(self.tip.height + 1);
                    env.send(self, from, ask);
                } else if height < self.tip.height {
                    self.send_blocks(from, height + 1, env);
                }
            }
            Packet::Ask(height) => self.send_blocks(from, height, env),
            Packet::Blocks(blocks) => {
                for block in blocks.iter() {
                    self.catch_up(block, env);
                }
            }
            Packet::AskBody(header) => {
                if let Some(candidate) = self.disk.body(&header) {
                    env.send(self, from, Packet::Body(Rc::new(candidate)));
                }
            }
            Packet::Body(candidate) => self.take_body(&candidate, env),
        }
    }

    /// The message, if everything in it is signed.
    fn verify(
        &self,
        from: KeyId,
        message: K::Message,
    ) -> Option<<K::Message as Message>::Verified> {
        let validators = self.sets.at(message.height());
        let (chain, exact) = (&self.tip.chain, self.verifier.as_ref());
        let verified = if self.traits.bug == Some(Bug::CountTooFewSignatures) {
            let lenient = Lenient {
                exact,
                enough: validators.quorum() - 1,
                right: &self.right,
            };
            message.verify(from, chain, validators, &lenient)
        } else {
            message.verify(from, chain, validators, exact)
        };
        verified.ok()
    }

    /// What a host does now and then: it says where it stands, and asks again for what it lacks.
    fn tick(&mut self, env: &mut Env) {
        env.broadcast(self, Packet::Status(self.tip.height));
        for tx in self.mempool.clone() {
            env.broadcast(self, Packet::Tx(tx));
        }
        for header in self.wanted.clone().into_keys() {
            env.broadcast(self, Packet::AskBody(header));
        }
        env.later(self, 400_000, Later::Tick);
    }

    fn tell(&mut self, input: Told<K>, env: &mut Env) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(engine) = &mut self.engine else {
                return;
            };
            match engine.handle(input) {
                Ok(effects) => {
                    for effect in effects {
                        inputs.extend(self.carry_out(effect, env));
                    }
                }
                Err(error) => {
                    self.engine = None;
                    env.observed.stopped(self, &error.to_string());
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect<K::Message>, env: &mut Env) -> Option<Told<K>> {
        match effect {
            Effect::Append(record) => {
                env.observed.wrote(self);
                let height = self.engine.as_ref().map_or(0, Engine::height);
                self.disk.append(height, record);
            }
            Effect::Flush { upto } => {
                let covers = self.disk.written();
                let after = 100 + env.dice_below(env.flush_us);
                env.later(self, after, Later::Flushed { upto, covers });
                if env.dice.permille(env.power_cuts) {
                    let cut = env.dice_below(2 * after);
                    env.later(self, cut, Later::PowerCut);
                }
                if self.traits.bug == Some(Bug::PublishBeforeFlush) {
                    return Some(Input::Flushed { upto });
                }
            }
            Effect::Truncate { below } => self.disk.truncate(below),
            Effect::Broadcast(message) => {
                env.observed
                    .said(self, &message.encode(), &K::stated(&message));
                let packet = self.packet(&message);
                env.broadcast(self, packet);
            }
            Effect::Send { to, message } => {
                env.observed
                    .said(self, &message.encode(), &K::stated(&message));
                let packet = self.packet(&message);
                let to = env.validator(to);
                env.send(self, to, packet);
            }
            Effect::SetTimer { timer, after_ms } => {
                self.timers_set += 1;
                self.timers.insert(timer, self.timers_set);
                let after = after_ms * 1_000 * self.traits.clock_rate / 1_000;
                env.later(self, after, Later::Timer(timer, self.timers_set));
            }
            Effect::CancelTimer(timer) => {
                self.timers.remove(&timer);
            }
            Effect::CancelTimers => self.timers.clear(),
            Effect::Build { height, round } => {
                let after = env.dice_below(3_000);
                env.later(self, after, Later::Build { height, round });
            }
            Effect::Judge {
                height,
                header,
                proposer,
            } => {
                if self.disk.body(&header).is_some() {
                    let after = env.dice_below(3_000);
                    env.later(self, after, Later::Judge { height, header });
                } else {
                    self.wanted.insert(header, (height, proposer));
                    let to = env.validator(proposer);
                    env.send(self, to, Packet::AskBody(header));
                }
            }
            Effect::Commit(certificate) => return self.decided(certificate, env),
            Effect::Accuse(equivocation) => env.observed.accused(self, &equivocation),
            Effect::Behind { validator, height } => {
                let to = env.validator(validator);
                self.send_blocks(to, height, env);
            }
        }
        None
    }

    fn packet(&self, message: &K::Message) -> Packet {
        let bodies = message.proposes().into_iter();
        let bodies = bodies.filter_map(|header| self.disk.body(&header));
        Packet::Consensus {
            bytes: Rc::from(message.encode()),
            bodies: bodies.map(Rc::new).collect(),
        }
    }

    fn clock(&self, env: &Env) -> TimeMs {
        let now = self.genesis.time + 1_000_000 + env.now() / 1_000;
        now.saturating_add_signed(self.traits.clock_ahead_ms)
    }

    fn build(&mut self, height: Height, round: u32, env: &mut Env) {
        if height != self.tip.height + 1 {
            return;
        }
        let mut body: Vec<Tx> = self.mempool.iter().copied().take(BLOCK_TXS).collect();
        if self.traits.poisons && env.dice.permille(700) {
            body.push(POISON | height);
        }
        let (clock, proposer) = (self.clock(env), self.traits.key);
        let mut candidate = self.tip.extend(body, clock, proposer, &self.sets);
        if self.traits.poisons && env.dice.permille(100) {
            candidate.header.state_commitment = candidate.header.tx_root;
        }
        let header = candidate.header.hash();
        self.disk.keep(header, candidate);
        let built = Input::Built {
            height,
            round,
            header,
        };
        self.tell(built, env);
    }

    fn take_body(&mut self, candidate: &Candidate, env: &mut Env) {
        let header = candidate.header.hash();
        if candidate.header.height != self.tip.height + 1 {
            return;
        }
        if self.disk.body(&header).is_none() {
            self.disk.keep(header, candidate.clone());
        }
        if let Some((height, _)) = self.wanted.remove(&header) {
            let after = env.dice_below(3_000);
            env.later(self, after, Later::Judge { height, header });
        }
    }

    fn judge(&mut self, height: Height, header: HeaderHash, env: &mut Env) {
        let Some(candidate) = self.disk.body(&header) else {
            return;
        };
        if height != self.tip.height + 1 {
            return;
        }
        let clock = Some(self.clock(env));
        let valid = self.traits.poisons
            || self.traits.bug == Some(Bug::SkipBodies)
            || self.tip.refuses(&candidate, &self.sets, clock).is_none();
        let judged = Input::Judged {
            height,
            header,
            valid,
        };
        self.tell(judged, env);
    }

    fn decided(&mut self, certificate: Certificate, env: &mut Env) -> Option<Told<K>> {
        let candidate = self.disk.body(&certificate.header)?;
        self.apply(
            Block {
                candidate,
                certificate,
            },
            env,
        )
    }

    fn catch_up(&mut self, block: &Block, env: &mut Env) {
        let Block {
            candidate,
            certificate,
        } = block;
        if candidate.header.height != self.tip.height + 1 {
            return;
        }
        let verifier = self.verifier.as_ref();
        let signed =
            |key: &_, message: &[u8], signature: &_| verifier.is_signed(key, message, signature);
        let header = candidate.header.clone();
        let checked = certificate.check_by(header, self.next_set(), signed);
        let lenient = self.traits.bug == Some(Bug::AcceptTooFewSignatures)
            && certificate.signatures.len() + 1 == self.next_set().quorum();
        let skips = self.traits.bug == Some(Bug::SkipBodies);
        let fits = skips || self.tip.refuses(candidate, &self.sets, None).is_none();
        if (checked.is_ok() || lenient)
            && fits
            && let Some(next) = self.apply(block.clone(), env)
        {
            self.tell(next, env);
        }
    }

    fn apply(&mut self, block: Block, env: &mut Env) -> Option<Told<K>> {
        self.tip.advance(&block.candidate);
        for tx in &block.candidate.body {
            self.mempool.remove(tx);
        }
        self.wanted.clear();
        let done = self.tip.height;
        self.timers
            .retain(|timer, _| timer.height == 0 || timer.height > done);
        env.observed.committed(self, &block);
        if self.traits.bug == Some(Bug::AcknowledgeBeforeDisk) {
            self.disk.commit_unsynced(block);
        } else {
            self.disk.commit(block);
        }
        Some(Input::Start {
            height: self.tip.height + 1,
            since: self.sets.since(self.tip.height + 1),
            validators: self.next_set().clone(),
            log: Vec::new(),
            work: !self.mempool.is_empty(),
        })
    }

    /// The validators of the height that the chain stands before.
    fn next_set(&self) -> &ValidatorSet {
        self.sets.at(self.tip.height + 1)
    }

    fn send_blocks(&mut self, to: usize, from_height: Height, env: &mut Env) {
        let first = from_height.saturating_sub(1) as usize;
        let blocks = self.disk.blocks().iter().skip(first);
        let blocks: Vec<Block> = blocks.take(BLOCKS_PER_ANSWER).cloned().collect();
        if !blocks.is_empty() {
            env.send(self, to, Packet::Blocks(Rc::new(blocks)));
        }
    }
}

/// What observers may know of a node without knowing its scheme.
pub trait Seen {
    /// Its number among all nodes.
    fn id(&self) -> usize;
    /// Which validator it is.
    fn validator(&self) -> usize;
    /// Its key's id.
    fn key(&self) -> KeyId;
    /// Its blocks on disk.
    fn blocks(&self) -> &[Block];
    /// The end of its chain.
    fn tip(&self) -> &Tip;
}

impl<K: Kind, C: Scheme> Seen for Node<K, C> {
    fn id(&self) -> usize {
        self.id
    }

    fn validator(&self) -> usize {
        self.traits.validator
    }

    fn key(&self) -> KeyId {
        self.traits.key
    }

    fn blocks(&self) -> &[Block] {
        self.disk.blocks()
    }

    fn tip(&self) -> &Tip {
        &self.tip
    }
}
