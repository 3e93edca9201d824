//! What every engine promises, as a suite that each one's tests run.
//!
//! The suite plays the hosts of a whole consortium: it executes nothing, but answers each effect the
//! way a node does, in one thread, with a clock that it moves itself and a network that loses
//! nothing. It panics at the first promise that is broken, naming it. Losses, lies and disks that
//! forget are simulated elsewhere, with seeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{ChainId, HeaderHash, Height},
    validators::ValidatorSet,
};

use crate::{
    engine::{Effect, Engine, Input, Message},
    sign::Verifier,
    timer::Timer,
};

/// How long a message, a flush or a block's forming takes, in milliseconds.
const WAY_MS: u64 = 1;

/// How long a consortium may take to elect, or to notice that somebody is gone.
const PATIENCE_MS: u64 = 30_000;

/// How long a block may take once everybody is at work: a handful of ways, and no timer in between.
const PROMPT_MS: u64 = 40;

/// How often a node says where it stands.
const STATUS_MS: u64 = 200;

/// A consortium that the suite plays.
pub struct Consortium<'a, V> {
    /// Its chain.
    pub chain: ChainId,
    /// Its validators.
    pub set: &'a ValidatorSet,
    /// Checks their signatures.
    pub verifier: &'a V,
}

/// Runs every promise against engines that `make` starts, given the validator's place in the set.
///
/// # Panics
/// At the first promise that an engine breaks.
pub fn run<E: Engine, V: Verifier>(consortium: &Consortium<'_, V>, make: impl Fn(usize) -> E) {
    let set = consortium.set;
    let all: Vec<usize> = (0..set.count()).collect();
    let begin = || Play::new(consortium, &make);

    let mut play = begin();
    play.idle("an idle chain makes no blocks");

    let mut play = begin();
    play.submit(all[0], 3);
    play.until("what waits is taken up", |play| play.all_at_least(1));
    play.agree();
    for place in &all {
        // Whoever is told of it first: some have to pass it on, or to wake the others.
        let height = play.highest() + 1;
        let before = play.now;
        play.submit(*place, 2);
        play.until("what waits is taken up", |play| play.highest() >= height);
        let took = play.now - before;
        assert!(
            took <= PROMPT_MS,
            "what waits is taken up at once, not after {took} ms"
        );
        play.until("everybody follows", |play| play.all_at_least(height));
    }
    play.agree();
    play.idle("a chain that is idle again makes no blocks");

    let mut play = begin();
    play.submit(all[0], 1);
    play.until("what waits is taken up", |play| play.all_at_least(1));
    let before = play.now;
    play.submit_when_building = 4;
    play.submit(all[0], 1);
    play.until("what arrives meanwhile is next", |play| play.taken() == 6);
    let took = play.now - before;
    assert!(
        took <= 2 * PROMPT_MS,
        "two blocks follow at once, not after {took} ms"
    );
    play.agree();

    one_dead(consortium, &make);
    restarts(consortium, &make);
}

/// The engine's fault tolerance: any one validator is dead, from the start or from the middle on.
fn one_dead<E: Engine, V: Verifier>(consortium: &Consortium<'_, V>, make: &impl Fn(usize) -> E) {
    let set = consortium.set;
    if set.quorum() == set.count() {
        return;
    }
    for dead in 0..set.count() {
        let mut play = Play::new(consortium, make);
        play.kill(dead);
        let alive = (dead + 1) % set.count();
        for height in 1..=4 {
            play.submit(alive, 1);
            play.until("the others go on without a dead one", |play| {
                play.living_at_least(height)
            });
        }
        play.agree();
        play.start(dead);
        play.until("one that comes back catches up", |play| {
            play.all_at_least(4)
        });
        play.submit(dead, 1);
        play.until("and takes part", |play| play.all_at_least(5));
        play.agree();

        let mut play = Play::new(consortium, make);
        play.submit(alive, 1);
        play.until("the first block", |play| play.all_at_least(1));
        play.submit(alive, 1);
        play.kill(dead);
        play.until("one that dies in the middle stops nobody", |play| {
            play.living_at_least(2)
        });
        play.agree();
    }
}

/// What was committed stays, and nobody contradicts what it said, whoever restarts and whenever.
fn restarts<E: Engine, V: Verifier>(consortium: &Consortium<'_, V>, make: &impl Fn(usize) -> E) {
    let count = consortium.set.count();
    let all = (0..count).collect::<Vec<_>>();
    let one = (0..count).map(|place| vec![place]);
    for places in one.chain([all]) {
        // The moments of one block's making, one after the other.
        for moment in 0..24 {
            let mut play = Play::new(consortium, make);
            play.submit(0, 1);
            play.until("the first block", |play| play.all_at_least(1));
            play.submit(0, 1);
            play.pass(moment);
            let height = play.highest();
            for place in &places {
                play.kill(*place);
            }
            for place in &places {
                play.start(*place);
            }
            play.submit(0, 1);
            play.until("all go on after some were restarted", |play| {
                play.all_at_least(height + 1)
            });
            play.agree();
        }
    }
}

/// A validator's disk.
struct Disk {
    log: Vec<Vec<u8>>,
    blocks: Vec<Block>,
    bodies: BTreeMap<HeaderHash, Header>,
}

#[derive(Clone)]
struct Block {
    header: Header,
    certificate: Certificate,
}

/// One validator's host.
struct Host<E: Engine> {
    disk: Disk,
    engine: Option<E>,
    timers: BTreeMap<Timer, u64>,
    /// Transactions that this node knows of and that no block has.
    waiting: BTreeSet<u64>,
    wanted: BTreeSet<(Height, HeaderHash)>,
}

/// What happens at a time, to one validator.
enum Event<M: Message> {
    Timer(Timer, u64),
    Flushed(u64),
    Built { height: Height, round: u32 },
    Status,
    Heard { from: usize, packet: Packet<M> },
}

/// An event, to whom it happens, and in which of its lives.
type Due<M> = (usize, u64, Event<M>);

enum Packet<M: Message> {
    Engine {
        bytes: Vec<u8>,
        bodies: Vec<Header>,
        spoken: std::marker::PhantomData<M>,
    },
    Txs(Vec<u64>),
    Tip(Height),
    Blocks(Vec<Block>),
    AskBody(HeaderHash),
    Body(Box<Header>),
}

/// The consortium as it is played.
struct Play<'a, E: Engine, V, F> {
    consortium: &'a Consortium<'a, V>,
    make: &'a F,
    now: u64,
    count: u64,
    agenda: BTreeMap<(u64, u64), Due<E::Message>>,
    hosts: Vec<Host<E>>,
    lives: Vec<u64>,
    txs: u64,
    submit_when_building: u64,
}

impl<'a, E: Engine, V: Verifier, F: Fn(usize) -> E> Play<'a, E, V, F> {
    fn new(consortium: &'a Consortium<'a, V>, make: &'a F) -> Self {
        let count = consortium.set.count();
        let host = |_| Host {
            disk: Disk {
                log: Vec::new(),
                blocks: Vec::new(),
                bodies: BTreeMap::new(),
            },
            engine: None,
            timers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            wanted: BTreeSet::new(),
        };
        let mut play = Self {
            consortium,
            make,
            now: 0,
            count: 0,
            agenda: BTreeMap::new(),
            hosts: (0..count).map(host).collect(),
            lives: vec![0; count],
            txs: 0,
            submit_when_building: 0,
        };
        for place in 0..count {
            play.start(place);
        }
        play
    }

    fn id(&self, place: usize) -> KeyId {
        self.consortium.set.keys()[place].0
    }

    fn place(&self, id: KeyId) -> usize {
        let keys = self.consortium.set.keys();
        let found = keys.iter().position(|(one, _)| *one == id);
        found.expect("engines name validators of the set")
    }

    fn start(&mut self, place: usize) {
        self.lives[place] += 1;
        let engine = (self.make)(place);
        let host = &mut self.hosts[place];
        host.engine = Some(engine);
        host.timers.clear();
        host.waiting.clear();
        host.wanted.clear();
        let input = Input::Start {
            height: host.disk.blocks.len() as Height + 1,
            since: 1,
            validators: self.consortium.set.clone(),
            log: host.disk.log.clone(),
            work: false,
        };
        self.tell(place, input);
        self.at(place, STATUS_MS, Event::Status);
        for other in self.living() {
            if other != place {
                let (this, that) = (self.id(place), self.id(other));
                self.tell(place, Input::Connected { validator: that });
                self.tell(other, Input::Connected { validator: this });
            }
        }
    }

    fn kill(&mut self, place: usize) {
        self.hosts[place].engine = None;
        self.lives[place] += 1;
    }

    fn living(&self) -> Vec<usize> {
        let living = |place: &usize| self.hosts[*place].engine.is_some();
        (0..self.hosts.len()).filter(living).collect()
    }

    fn submit(&mut self, place: usize, count: u64) {
        let new: Vec<u64> = (self.txs..self.txs + count).collect();
        self.txs += count;
        self.take_txs(place, &new);
        self.send_all(place, |_| Packet::Txs(new.clone()));
    }

    fn take_txs(&mut self, place: usize, txs: &[u64]) {
        let done = self.done(place);
        let host = &mut self.hosts[place];
        host.waiting
            .extend(txs.iter().filter(|tx| !done.contains(tx)));
        if !host.waiting.is_empty() {
            self.tell(place, Input::Work);
        }
    }

    fn tips(&self) -> Vec<Height> {
        let tip = |host: &Host<E>| host.disk.blocks.len() as Height;
        self.hosts.iter().map(tip).collect()
    }

    fn highest(&self) -> Height {
        self.tips().into_iter().max().unwrap_or(0)
    }

    fn all_at_least(&self, height: Height) -> bool {
        self.tips().iter().all(|tip| *tip >= height)
    }

    fn living_at_least(&self, height: Height) -> bool {
        let tips = self.tips();
        self.living().iter().all(|place| tips[*place] >= height)
    }

    /// Transactions in the blocks of whoever has most.
    fn taken(&self) -> usize {
        (0..self.hosts.len())
            .map(|place| self.done(place).len())
            .max()
            .unwrap_or(0)
    }

    fn done(&self, place: usize) -> BTreeSet<u64> {
        let blocks = self.hosts[place].disk.blocks.iter();
        blocks.flat_map(|block| txs_of(&block.header)).collect()
    }

    /// Every block is everybody's, links to the one before, and is certified by a quorum.
    fn agree(&self) {
        let longest = (self.hosts.iter())
            .map(|host| &host.disk.blocks)
            .max_by_key(|blocks| blocks.len())
            .expect("there are validators");
        for host in &self.hosts {
            for (ours, theirs) in host.disk.blocks.iter().zip(longest) {
                assert_eq!(ours.header, theirs.header, "all come to the same blocks");
            }
        }
        let mut seen = BTreeSet::new();
        for block in longest {
            let Block {
                header,
                certificate,
            } = block;
            self.check(block).unwrap_or_else(|fault| {
                panic!("a block is committed under a full certificate: {fault}")
            });
            let mut fewer = certificate.clone();
            fewer.signatures.truncate(self.consortium.set.quorum() - 1);
            let fewer = Block {
                header: header.clone(),
                certificate: fewer,
            };
            assert!(self.check(&fewer).is_err(), "and never under less");
            for tx in txs_of(header) {
                assert!(seen.insert(tx), "no transaction is ordered twice");
            }
        }
    }

    fn check(&self, block: &Block) -> Result<(), xinqiao_ledger::block::Uncertified> {
        let verifier = self.consortium.verifier;
        let signed =
            |key: &_, message: &[u8], signature: &_| verifier.is_signed(key, message, signature);
        let header = block.header.clone();
        let checked = (block.certificate).check_by(header, self.consortium.set, signed);
        checked.map(|_| ())
    }

    /// Lets long time pass, in which no block is made.
    #[track_caller]
    fn idle(&mut self, what: &str) {
        let tips = self.tips();
        // First not for long: who breaks this makes blocks all the time.
        for ms in [1_000, 599_000] {
            self.pass(ms);
            assert_eq!(self.tips(), tips, "{what}");
        }
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.step(end) {}
        self.now = end;
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now + PATIENCE_MS;
        while !done(self) {
            assert!(
                self.step(end),
                "{what}: not within {PATIENCE_MS} ms; tips {:?}",
                self.tips()
            );
        }
    }

    fn step(&mut self, end: u64) -> bool {
        let Some(entry) = self.agenda.first_entry() else {
            return false;
        };
        if entry.key().0 > end {
            return false;
        }
        let ((at, _), (place, life, event)) = entry.remove_entry();
        self.now = at;
        if self.lives[place] == life {
            self.happen(place, event);
        }
        true
    }

    fn at(&mut self, place: usize, after: u64, event: Event<E::Message>) {
        self.count += 1;
        let key = (self.now + after, self.count);
        self.agenda.insert(key, (place, self.lives[place], event));
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet<E::Message>) {
        if self.hosts[to].engine.is_some() {
            self.at(to, WAY_MS, Event::Heard { from, packet });
        }
    }

    fn send_all(&mut self, from: usize, packet: impl Fn(usize) -> Packet<E::Message>) {
        for to in self.living() {
            if to != from {
                self.send(from, to, packet(to));
            }
        }
    }

    fn happen(&mut self, place: usize, event: Event<E::Message>) {
        match event {
            Event::Timer(timer, set) => {
                if self.hosts[place].timers.get(&timer) == Some(&set) {
                    self.hosts[place].timers.remove(&timer);
                    self.tell(place, Input::Timeout(timer));
                }
            }
            Event::Flushed(upto) => self.tell(place, Input::Flushed { upto }),
            Event::Built { height, round } => self.build(place, height, round),
            Event::Status => {
                let tip = self.hosts[place].disk.blocks.len() as Height;
                self.send_all(place, |_| Packet::Tip(tip));
                let waiting: Vec<u64> = self.hosts[place].waiting.iter().copied().collect();
                if !waiting.is_empty() {
                    self.send_all(place, |_| Packet::Txs(waiting.clone()));
                }
                self.at(place, STATUS_MS, Event::Status);
            }
            Event::Heard { from, packet } => self.hear(place, from, packet),
        }
    }

    fn hear(&mut self, place: usize, from: usize, packet: Packet<E::Message>) {
        match packet {
            Packet::Engine { bytes, bodies, .. } => {
                for body in bodies {
                    self.take_body(place, body);
                }
                let message = E::Message::decode(&bytes).expect("what was encoded is decoded");
                let Consortium {
                    chain,
                    set,
                    verifier,
                } = self.consortium;
                let from = self.id(from);
                let message = message
                    .verify(from, chain, set, *verifier)
                    .expect("an honest engine's messages verify");
                self.tell(place, Input::Message { from, message });
            }
            Packet::Txs(txs) => self.take_txs(place, &txs),
            Packet::Tip(height) => {
                let blocks = &self.hosts[place].disk.blocks;
                let missing = blocks.get(height as usize..).unwrap_or_default().to_vec();
                if !missing.is_empty() {
                    self.send(place, from, Packet::Blocks(missing));
                }
            }
            Packet::Blocks(blocks) => {
                for block in blocks {
                    self.check(&block)
                        .expect("honest nodes send certified blocks");
                    self.apply(place, block);
                }
            }
            Packet::AskBody(hash) => {
                if let Some(body) = self.hosts[place].disk.bodies.get(&hash).cloned() {
                    self.send(place, from, Packet::Body(Box::new(body)));
                }
            }
            Packet::Body(body) => self.take_body(place, *body),
        }
    }

    fn tell(&mut self, place: usize, input: Input<<E::Message as Message>::Verified>) {
        let Some(engine) = &mut self.hosts[place].engine else {
            return;
        };
        let effects = engine
            .handle(input)
            .unwrap_or_else(|fault| panic!("an honest host's input is refused: {fault}"));
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            self.carry_out(place, effect);
        }
    }

    fn carry_out(&mut self, place: usize, effect: Effect<E::Message>) {
        match effect {
            Effect::Append(record) => self.hosts[place].disk.log.push(record),
            Effect::Flush { upto } => self.at(place, WAY_MS, Event::Flushed(upto)),
            Effect::Truncate { .. } => {}
            Effect::Broadcast(message) => {
                for to in self.living() {
                    if to != place {
                        let packet = self.packet(place, &message);
                        self.send(place, to, packet);
                    }
                }
            }
            Effect::Send { to, message } => {
                let packet = self.packet(place, &message);
                let to = self.place(to);
                self.send(place, to, packet);
            }
            Effect::SetTimer { timer, after_ms } => {
                let number = self.count + 1;
                self.hosts[place].timers.insert(timer, number);
                self.at(place, after_ms, Event::Timer(timer, number));
            }
            Effect::CancelTimer(timer) => {
                self.hosts[place].timers.remove(&timer);
            }
            Effect::CancelTimers => self.hosts[place].timers.clear(),
            Effect::Build { height, round } => {
                self.at(place, WAY_MS, Event::Built { height, round });
            }
            Effect::Judge {
                height,
                header,
                proposer,
            } => {
                self.hosts[place].wanted.insert((height, header));
                if let Some(body) = self.hosts[place].disk.bodies.get(&header).cloned() {
                    self.take_body(place, body);
                } else {
                    let to = self.place(proposer);
                    self.send(place, to, Packet::AskBody(header));
                }
            }
            Effect::Commit(certificate) => {
                let body = self.hosts[place].disk.bodies.get(&certificate.header);
                let header = body.expect("a quorum's header has a body here").clone();
                let block = Block {
                    header,
                    certificate,
                };
                self.check(&block)
                    .unwrap_or_else(|fault| panic!("an engine's certificates are sound: {fault}"));
                self.apply(place, block);
            }
            Effect::Accuse(equivocation) => {
                panic!("nobody contradicts itself here: {equivocation:?}")
            }
            Effect::Behind { validator, .. } => {
                let (tip, to) = (self.hosts[place].disk.blocks.len(), self.place(validator));
                self.send(place, to, Packet::Tip(tip as Height));
                let blocks = self.hosts[place].disk.blocks.clone();
                self.send(place, to, Packet::Blocks(blocks));
            }
        }
    }

    fn packet(&self, place: usize, message: &E::Message) -> Packet<E::Message> {
        let bodies = &self.hosts[place].disk.bodies;
        let proposes = message.proposes().into_iter();
        Packet::Engine {
            bytes: message.encode(),
            bodies: proposes
                .filter_map(|hash| bodies.get(&hash).cloned())
                .collect(),
            spoken: std::marker::PhantomData,
        }
    }

    fn build(&mut self, place: usize, height: Height, round: u32) {
        let tip = self.hosts[place].disk.blocks.len() as Height;
        if height != tip + 1 {
            return;
        }
        let txs: Vec<u64> = self.hosts[place].waiting.iter().copied().collect();
        let header = self.header(place, height, &txs);
        let hash = header.hash();
        self.hosts[place].disk.bodies.insert(hash, header);
        if self.submit_when_building > 0 {
            let count = std::mem::take(&mut self.submit_when_building);
            self.submit(place, count);
        }
        self.tell(
            place,
            Input::Built {
                height,
                round,
                header: hash,
            },
        );
    }

    fn take_body(&mut self, place: usize, body: Header) {
        let hash = body.hash();
        let (height, host) = (body.height, &mut self.hosts[place]);
        let parent = host.disk.blocks.last().map(|block| block.header.hash());
        let valid = parent.unwrap_or(HeaderHash(self.consortium.chain.0)) == body.parent;
        host.disk.bodies.insert(hash, body);
        if host.wanted.remove(&(height, hash)) {
            self.tell(
                place,
                Input::Judged {
                    height,
                    header: hash,
                    valid,
                },
            );
        }
    }

    fn apply(&mut self, place: usize, block: Block) {
        let host = &mut self.hosts[place];
        let tip = host.disk.blocks.len() as Height;
        if block.header.height != tip + 1 {
            return;
        }
        for tx in txs_of(&block.header) {
            host.waiting.remove(&tx);
        }
        host.disk.blocks.push(block);
        let input = Input::Start {
            height: tip + 2,
            since: 1,
            validators: self.consortium.set.clone(),
            log: Vec::new(),
            work: !host.waiting.is_empty(),
        };
        self.tell(place, input);
    }

    /// A header that says which transactions it is over: the first one's number and their count.
    fn header(&self, place: usize, height: Height, txs: &[u64]) -> Header {
        // Numbers without gaps, or as many of them as have none.
        let first = txs.first().copied().unwrap_or(0);
        let count = (first..).zip(txs).take_while(|(a, b)| a == *b).count();
        let mut root = [0; 32];
        root[..8].copy_from_slice(&first.to_be_bytes());
        let host = &self.hosts[place];
        let parent = host.disk.blocks.last().map(|block| block.header.hash());
        Header {
            chain: self.consortium.chain,
            height,
            parent: parent.unwrap_or(HeaderHash(self.consortium.chain.0)),
            time: self.now + height,
            tx_count: u32::try_from(count).expect("few"),
            tx_root: Digest::from(root),
            outcome_root: Digest::ZERO,
            state_commitment: Digest::ZERO,
            history_root: Digest::ZERO,
            validator_set: self.consortium.set.hash(),
            next_validators: self.consortium.set.hash(),
            checkpoint: None,
            proposer: self.id(place),
        }
    }
}

fn txs_of(header: &Header) -> std::ops::Range<u64> {
    let mut first = [0; 8];
    first.copy_from_slice(&header.tx_root.as_bytes()[..8]);
    let first = u64::from_be_bytes(first);
    first..first + u64::from(header.tx_count)
}
