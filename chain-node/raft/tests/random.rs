//! Seeded runs of whole consortia in one thread: messages late, lost, doubled and out of order,
//! partitions, slow disks, crashes that lose what was not flushed, and validator sets that change
//! and come back. Same seed, same run.
//!
//! `XINQIAO_RAFT_SEEDS=5000 cargo test -p xinqiao-raft --test random` runs more of them, and
//! `XINQIAO_RAFT_FROM` says with which to begin.

use std::collections::{BTreeMap, BTreeSet};

use xinqiao_consensus::{Effect, Engine as _, Input, Message as _, Signer, Timer, Verifier};
use xinqiao_crypto::{
    Digest, DistinguishingId, KeyId, PublicKey, SecretKey, Signature, sm3, sm3_parts,
};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{ChainId, HeaderHash, Height},
    validators::{Engine, ValidatorSet},
};
use xinqiao_raft::{Body, Message, Raft};

/// How long things go wrong, in milliseconds.
const STORM_MS: u64 = 12_000;
/// How long it may take after that until everybody has new blocks.
const CALM_MS: u64 = 15_000;
const STATUS_MS: u64 = 200;
const WORK_MS: u64 = 15;

// --- chance ---

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

// --- signatures that cost nothing and that no honest node makes for another ---

fn signature(key: &KeyId, message: &[u8]) -> Signature {
    let half = |tag: &[u8]| {
        let mut half = *sm3_parts(&[tag, key.as_ref(), message]).as_bytes();
        half[0] = 0;
        half[31] |= 1;
        half
    };
    let bytes = [half(b"r"), half(b"s")].concat();
    Signature::try_from(bytes.as_slice()).expect("in range")
}

struct Cheap(KeyId);

impl Signer for Cheap {
    fn validator(&self) -> KeyId {
        self.0
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        signature(&self.0, message)
    }
}

impl Verifier for Cheap {
    fn is_signed(&self, key: &PublicKey, message: &[u8], claimed: &Signature) -> bool {
        signature(&key.id(), message) == *claimed
    }
}

// --- the world ---

#[derive(Clone)]
struct Block {
    header: Header,
    certificate: Certificate,
}

/// What a disk holds, each with the number of the write that brought it there.
#[derive(Default)]
struct Disk {
    /// The write, the height under way then, and the record.
    log: Vec<(u64, Height, Vec<u8>)>,
    bodies: BTreeMap<HeaderHash, (u64, Header)>,
    blocks: Vec<Block>,
    writes: u64,
    synced: u64,
}

struct Node {
    disk: Disk,
    engine: Option<Raft<Cheap>>,
    life: u64,
    timers: BTreeMap<Timer, u64>,
    wanted: BTreeSet<(Height, HeaderHash)>,
    side: u8,
}

enum Packet {
    Engine(Vec<u8>, Vec<Header>),
    Tip(Height),
    Blocks(Vec<Block>),
    AskBody(HeaderHash),
    Body(Box<Header>),
}

enum Event {
    Timer(Timer, u64),
    Flushed(u64, u64),
    Built(Height, u32),
    Heard(usize, Packet),
    Status,
    Restart,
}

struct World {
    seed: u64,
    dice: Dice,
    chain: ChainId,
    ids: Vec<KeyId>,
    epochs: Vec<(Height, ValidatorSet)>,
    nodes: Vec<Node>,
    now: u64,
    count: u64,
    agenda: BTreeMap<(u64, u64), (usize, Option<u64>, Event)>,
    stormy: bool,
    trace: Digest,
    // What must hold.
    agreed: BTreeMap<Height, HeaderHash>,
    signed: BTreeMap<(KeyId, Height), HeaderHash>,
    voted: BTreeMap<(Height, u64, KeyId), KeyId>,
    leads: BTreeMap<(Height, u64), KeyId>,
    restores: u64,
    /// How often a node that is behind gets blocks from one that hears of it.
    helpful: u64,
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let mut dice = Dice(seed.wrapping_mul(1000) + count as u64);
        let key = |last: usize| {
            let mut bytes = [6; 32];
            bytes[31] = u8::try_from(last + 1).expect("few");
            *SecretKey::from_bytes(&bytes).expect("in range").public()
        };
        // One more than vote at a time, so that sets can change.
        let keys: Vec<PublicKey> = (0..=count).map(key).collect();
        let set = |out: usize| {
            let voters = keys.iter().enumerate().filter(|(place, _)| *place != out);
            let voters = voters.map(|(_, key)| *key);
            ValidatorSet::new(Engine::Raft, voters, DistinguishingId::default())
                .expect("keys differ")
        };
        let mut epochs = vec![(1, set(count))];
        if seed % 2 == 1 {
            let (mut since, mut out) = (1, count);
            for _ in 0..40 {
                since += 1 + dice.below(20);
                let other = dice.below(count as u64 + 1) as usize;
                if other != out {
                    out = other;
                    epochs.push((since, set(out)));
                }
            }
        }
        let helpful = 5 + dice.below(60);
        let node = |_| Node {
            disk: Disk::default(),
            engine: None,
            life: 0,
            timers: BTreeMap::new(),
            wanted: BTreeSet::new(),
            side: 0,
        };
        let mut world = Self {
            seed,
            dice,
            chain: ChainId(sm3(b"chain")),
            ids: keys.iter().map(PublicKey::id).collect(),
            epochs,
            nodes: (0..=count).map(node).collect(),
            now: 0,
            count: 0,
            agenda: BTreeMap::new(),
            stormy: true,
            trace: Digest::ZERO,
            agreed: BTreeMap::new(),
            signed: BTreeMap::new(),
            voted: BTreeMap::new(),
            leads: BTreeMap::new(),
            restores: 0,
            helpful,
        };
        for place in 0..=count {
            world.start(place);
        }
        world
    }

    fn epoch(&self, height: Height) -> (Height, ValidatorSet) {
        let after = self.epochs.partition_point(|(since, _)| *since <= height);
        self.epochs[after - 1].clone()
    }

    fn place(&self, id: KeyId) -> usize {
        let found = self.ids.iter().position(|one| *one == id);
        found.expect("engines name nodes of this world")
    }

    fn tip(&self, place: usize) -> Height {
        self.nodes[place].disk.blocks.len() as Height
    }

    fn run(&mut self) {
        // Some storms leave time for many blocks, others for hardly any.
        let pause = 200 + self.dice.below(1_500);
        let (mut trouble, mut work) = (pause, 0);
        while self.now < STORM_MS {
            self.until(trouble.min(work));
            if self.now >= work {
                self.work(70);
                work += WORK_MS;
            }
            if self.now >= trouble {
                self.trouble();
                trouble += pause;
            }
        }
        self.stormy = false;
        for place in 0..self.nodes.len() {
            self.nodes[place].side = 0;
            if self.nodes[place].engine.is_none() {
                self.start(place);
            }
        }
        let target = self.agreed.keys().last().copied().unwrap_or(0) + 5;
        let end = self.now + CALM_MS;
        while (0..self.nodes.len()).any(|place| self.tip(place) < target) {
            self.until(self.now + WORK_MS);
            self.work(100);
            let tips: Vec<_> = (0..self.nodes.len()).map(|place| self.tip(place)).collect();
            assert!(
                self.now < end,
                "all get to height {target} in calm, and not {tips:?}"
            );
        }
        self.until(self.now + 1000);
    }

    fn work(&mut self, chance: u64) {
        for place in 0..self.nodes.len() {
            if self.dice.percent(chance) {
                self.tell(place, Input::Work);
            }
        }
    }

    fn trouble(&mut self) {
        let place = self.dice.below(self.nodes.len() as u64) as usize;
        match self.dice.below(10) {
            0..=2 => self.crash(place),
            3 => (0..self.nodes.len()).for_each(|place| self.crash(place)),
            4..=5 => {
                for place in 0..self.nodes.len() {
                    self.nodes[place].side = u8::from(self.dice.percent(40));
                }
            }
            6 => self.nodes[place].side = 7,
            _ => self.nodes.iter_mut().for_each(|node| node.side = 0),
        }
    }

    fn crash(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.engine.take().is_none() {
            return;
        }
        node.life += 1;
        // Of what was not synced, some of the first writes survive; the next may be torn.
        let disk = &mut node.disk;
        let kept = disk.synced + self.dice.below(disk.writes - disk.synced + 1);
        let lost = disk.log.iter().position(|(write, ..)| *write >= kept);
        if let Some(lost) = lost {
            let (write, height, mut record) = disk.log[lost].clone();
            disk.log.truncate(lost);
            if self.dice.percent(30) && record.len() > 1 {
                record.truncate(record.len() / 2);
                disk.log.push((write, height, record));
            }
        }
        disk.bodies.retain(|_, (write, _)| *write < kept);
        (disk.writes, disk.synced) = (kept, kept);
        let away = 50 + self.dice.below(2_500);
        self.after(place, away, None, Event::Restart);
    }

    fn start(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.engine.is_some() {
            return;
        }
        node.life += 1;
        node.timers.clear();
        node.wanted.clear();
        let seed = self.seed * 1_000_000 + place as u64 * 1000 + node.life;
        node.engine = Some(Raft::new(self.chain, Cheap(self.ids[place]), seed));
        let log = node.disk.log.iter().map(|(_, _, record)| record.clone());
        let log = log.collect();
        // A torn record is gone once something is written after it.
        self.go_on(place, log);
        self.mine(place, STATUS_MS, Event::Status);
        for other in 0..self.nodes.len() {
            if other != place {
                let (this, that) = (self.ids[place], self.ids[other]);
                self.tell(place, Input::Connected { validator: that });
                self.tell(other, Input::Connected { validator: this });
            }
        }
    }

    fn go_on(&mut self, place: usize, log: Vec<Vec<u8>>) {
        let height = self.tip(place) + 1;
        let (since, validators) = self.epoch(height);
        let work = self.dice.percent(50);
        if let Some((_, _, last)) = self.nodes[place].disk.log.last()
            && xinqiao_raft::Record::decode(last).is_err()
        {
            self.nodes[place].disk.log.pop();
        }
        self.tell(
            place,
            Input::Start {
                height,
                since,
                validators,
                log,
                work,
            },
        );
    }

    // --- time ---

    fn after(&mut self, place: usize, ms: u64, life: Option<u64>, event: Event) {
        self.count += 1;
        self.agenda
            .insert((self.now + ms, self.count), (place, life, event));
    }

    /// For this life of the node only.
    fn mine(&mut self, place: usize, ms: u64, event: Event) {
        let life = self.nodes[place].life;
        self.after(place, ms, Some(life), event);
    }

    fn until(&mut self, end: u64) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), (place, life, event)) = entry.remove_entry();
            self.now = at;
            if life.is_none_or(|life| life == self.nodes[place].life) {
                self.happen(place, event);
            }
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, place: usize, event: Event) {
        match event {
            Event::Timer(timer, number) => {
                if self.nodes[place].timers.get(&timer) == Some(&number) {
                    self.tell(place, Input::Timeout(timer));
                }
            }
            Event::Flushed(upto, writes) => {
                let disk = &mut self.nodes[place].disk;
                disk.synced = disk.synced.max(writes);
                self.tell(place, Input::Flushed { upto });
            }
            Event::Built(height, round) => self.build(place, height, round),
            Event::Restart => self.start(place),
            Event::Status => {
                let tip = self.tip(place);
                for other in 0..self.nodes.len() {
                    self.send(place, other, Packet::Tip(tip));
                }
                self.mine(place, STATUS_MS, Event::Status);
            }
            Event::Heard(from, packet) => {
                if self.nodes[place].engine.is_some() {
                    self.hear(place, from, packet);
                }
            }
        }
    }

    // --- the network ---

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        if from == to || self.nodes[from].side != self.nodes[to].side {
            return;
        }
        let way = match (self.stormy, self.dice.below(100)) {
            (true, 0..4) => return,
            (true, 4..8) => 50 + self.dice.below(1_000),
            (true, 8..30) => self.dice.below(60),
            _ => 1 + self.dice.below(4),
        };
        self.after(to, way, None, Event::Heard(from, packet));
    }

    fn speak(&mut self, from: usize, to: usize, message: &Message) {
        let bytes = message.encode();
        self.trace = sm3_parts(&[self.trace.as_bytes(), &self.now.to_be_bytes(), &bytes]);
        let twice = self.stormy && self.dice.percent(4);
        for _ in 0..=usize::from(twice) {
            let bodies = &self.nodes[from].disk.bodies;
            let beside = message.proposes().into_iter();
            let beside = beside.filter_map(|hash| Some(bodies.get(&hash)?.1.clone()));
            // Now and then the body is lost on the way.
            let beside: Vec<Header> = beside.collect();
            let lost = self.stormy && self.dice.percent(20);
            let beside = if lost { Vec::new() } else { beside };
            self.send(from, to, Packet::Engine(bytes.clone(), beside));
        }
    }

    fn hear(&mut self, place: usize, from: usize, packet: Packet) {
        match packet {
            Packet::Engine(bytes, bodies) => {
                for body in bodies {
                    self.take_body(place, body);
                }
                let message = Message::decode(&bytes).expect("as it was encoded");
                // A node knows the sets up to the height that it stands at.
                let known = message.height().min(self.tip(place) + 1);
                let (_, set) = self.epoch(known);
                let verifier = Cheap(self.ids[place]);
                let from = self.ids[from];
                if let Ok(message) = message.verify(from, &self.chain, &set, &verifier) {
                    self.tell(place, Input::Message { from, message });
                }
            }
            Packet::Tip(height) => {
                let missing = self.nodes[place].disk.blocks.get(height as usize..);
                let missing = missing.unwrap_or_default().to_vec();
                if !missing.is_empty() && self.dice.percent(self.helpful) {
                    self.send(place, from, Packet::Blocks(missing));
                }
            }
            Packet::Blocks(blocks) => {
                // Height by height, or all at once.
                let at_once = self.dice.percent(50);
                let before = self.tip(place);
                for block in blocks {
                    if block.header.height == self.tip(place) + 1 {
                        self.write(place, block);
                        if !at_once {
                            self.go_on(place, Vec::new());
                        }
                    }
                }
                if at_once && self.tip(place) > before {
                    self.go_on(place, Vec::new());
                }
            }
            Packet::AskBody(hash) => {
                if let Some((_, body)) = self.nodes[place].disk.bodies.get(&hash).cloned() {
                    self.send(place, from, Packet::Body(Box::new(body)));
                }
            }
            Packet::Body(body) => self.take_body(place, *body),
        }
    }

    // --- a node's host ---

    fn tell(&mut self, place: usize, input: Input<xinqiao_raft::Verified>) {
        let Some(engine) = &mut self.nodes[place].engine else {
            return;
        };
        let effects = engine.handle(input);
        let effects = effects.unwrap_or_else(|fault| panic!("node {place} stops: {fault}"));
        for effect in effects {
            self.carry_out(place, effect);
        }
    }

    fn carry_out(&mut self, place: usize, effect: Effect<Message>) {
        let node = &mut self.nodes[place];
        match effect {
            Effect::Append(record) => {
                let height = node.disk.blocks.len() as Height + 1;
                node.disk.log.push((node.disk.writes, height, record));
                node.disk.writes += 1;
            }
            Effect::Flush { upto } => {
                let writes = node.disk.writes;
                let slow = self.stormy && self.dice.percent(5);
                let ms = if slow {
                    self.dice.below(900)
                } else {
                    self.dice.below(4)
                };
                self.mine(place, ms, Event::Flushed(upto, writes));
            }
            Effect::Truncate { below } => {
                node.disk.log.retain(|(_, height, _)| *height >= below);
            }
            Effect::Broadcast(message) => {
                self.watch(place, None, &message);
                for to in 0..self.nodes.len() {
                    self.speak(place, to, &message);
                }
            }
            Effect::Send { to, message } => {
                self.watch(place, Some(to), &message);
                let to = self.place(to);
                self.speak(place, to, &message);
            }
            Effect::SetTimer { timer, after_ms } => {
                let number = self.count + 1;
                node.timers.insert(timer, number);
                self.mine(place, after_ms, Event::Timer(timer, number));
            }
            Effect::CancelTimer(timer) => {
                node.timers.remove(&timer);
            }
            Effect::CancelTimers => node.timers.clear(),
            Effect::Build { height, round } => {
                let ms = self.dice.below(10);
                self.mine(place, ms, Event::Built(height, round));
            }
            Effect::Judge {
                height,
                header,
                proposer,
            } => {
                assert_eq!(
                    height,
                    node.disk.blocks.len() as Height + 1,
                    "bodies are judged in turn"
                );
                node.wanted.insert((height, header));
                if let Some((_, body)) = node.disk.bodies.get(&header).cloned() {
                    self.take_body(place, body);
                } else {
                    let from = self.place(proposer);
                    self.send(place, from, Packet::AskBody(header));
                }
            }
            Effect::Commit(certificate) => {
                let body = node.disk.bodies.get(&certificate.header);
                let header = body.expect("what is agreed on has a body here").1.clone();
                self.write(
                    place,
                    Block {
                        header,
                        certificate,
                    },
                );
                self.go_on(place, Vec::new());
            }
            Effect::Accuse(twice) => panic!("nobody contradicts itself here: {twice:?}"),
            Effect::Behind { validator, height } => {
                let from = height.saturating_sub(1) as usize;
                let blocks = node.disk.blocks.get(from..).unwrap_or_default();
                let blocks: Vec<Block> = blocks.iter().take(4).cloned().collect();
                let to = self.place(validator);
                self.send(place, to, Packet::Blocks(blocks));
            }
        }
    }

    fn build(&mut self, place: usize, height: Height, round: u32) {
        if height != self.tip(place) + 1 {
            return;
        }
        let header = self.header(place, height);
        let hash = header.hash();
        self.keep_body(place, header);
        self.tell(
            place,
            Input::Built {
                height,
                round,
                header: hash,
            },
        );
    }

    fn keep_body(&mut self, place: usize, body: Header) {
        let disk = &mut self.nodes[place].disk;
        let write = disk.writes;
        disk.bodies.entry(body.hash()).or_insert((write, body));
        disk.writes += 1;
    }

    fn take_body(&mut self, place: usize, body: Header) {
        let (height, hash) = (body.height, body.hash());
        self.keep_body(place, body);
        if self.nodes[place].wanted.remove(&(height, hash)) && height == self.tip(place) + 1 {
            self.tell(
                place,
                Input::Judged {
                    height,
                    header: hash,
                    valid: true,
                },
            );
        }
    }

    /// A block that nobody else would form.
    fn header(&mut self, place: usize, height: Height) -> Header {
        let parent = self.nodes[place].disk.blocks.last();
        let parent = parent.map_or(HeaderHash(self.chain.0), |block| block.header.hash());
        let (_, set) = self.epoch(height);
        let (_, next) = self.epoch(height + 1);
        Header {
            chain: self.chain,
            height,
            parent,
            time: self.now,
            tx_count: 0,
            tx_root: sm3(&self.dice.next().to_be_bytes()),
            outcome_root: Digest::ZERO,
            state_commitment: Digest::ZERO,
            history_root: Digest::ZERO,
            validator_set: set.hash(),
            next_validators: next.hash(),
            checkpoint: None,
            proposer: self.ids[place],
        }
    }

    // --- what must hold ---

    fn write(&mut self, place: usize, block: Block) {
        let Block {
            header,
            certificate,
        } = &block;
        let height = header.height;
        assert_eq!(height, self.tip(place) + 1);
        let first = *self.agreed.entry(height).or_insert(header.hash());
        assert_eq!(
            first,
            header.hash(),
            "all come to one block at height {height}"
        );
        let (_, set) = self.epoch(height);
        let verifier = Cheap(self.ids[place]);
        let signed =
            |key: &_, message: &[u8], claimed: &_| verifier.is_signed(key, message, claimed);
        let checked = certificate.check_by(header.clone(), &set, signed);
        assert!(checked.is_ok(), "certificates are sound: {checked:?}");
        self.nodes[place].disk.blocks.push(block);
    }

    /// What a node says, whether or not it arrives.
    fn watch(&mut self, place: usize, to: Option<KeyId>, message: &Message) {
        let from = self.ids[place];
        match message {
            Message::Share(share) => {
                let key = (from, share.height);
                let first = *self.signed.entry(key).or_insert(share.header);
                assert_eq!(
                    first, share.header,
                    "nobody signs two headers at one height"
                );
            }
            Message::Letter(letter) => {
                let term = (letter.since, letter.term);
                let vote = match &letter.body {
                    Body::Campaign { pre: false, .. } => Some(from),
                    Body::Ballot {
                        pre: false,
                        granted: true,
                        ..
                    } => to,
                    _ => None,
                };
                if let Some(vote) = vote {
                    let first = self.voted.entry((term.0, term.1, from)).or_insert(vote);
                    assert_eq!(*first, vote, "nobody votes twice in a term");
                }
                if matches!(letter.body, Body::Append { .. } | Body::Heartbeat { .. }) {
                    let first = *self.leads.entry(term).or_insert(from);
                    assert_eq!(first, from, "a term has one leader");
                }
                self.restores += u64::from(matches!(letter.body, Body::Restore(_)));
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number of seeds"))
}

fn check(count: usize) {
    let from = number("XINQIAO_RAFT_FROM", 1);
    let seeds = number("XINQIAO_RAFT_SEEDS", 200);
    let (mut heights, mut restores) = (0, 0);
    for seed in from..from + seeds {
        eprintln!("XINQIAO_RAFT_FROM={seed} XINQIAO_RAFT_SEEDS=1, {count} voters");
        let mut world = World::new(seed, count);
        world.run();
        heights += world.agreed.len();
        restores += world.restores;
    }
    eprintln!("{seeds} seeds, {heights} heights, {restores} points sent");
    // In the storm too, and not only in the five heights after it.
    assert!(heights as u64 > seeds * 8, "{heights} heights are few");
    assert!(
        seeds < 50 || restores > 0,
        "logs are cut, and some fall behind that"
    );
}

#[test]
fn three_voters_agree_whatever_crashes_and_go_on_in_calm() {
    check(3);
}

#[test]
fn five_voters_agree_whatever_crashes_and_go_on_in_calm() {
    check(5);
}

/// How long nobody forms a block after the leader has died, in milliseconds, by seed.
fn headless(count: usize) -> Vec<u64> {
    let times = (0..200).map(|seed| {
        // Even seeds have one set.
        let mut world = World::new(2 * seed, count);
        world.stormy = false;
        world.until(3_000 + 10 * seed);
        let leads = |node: &Node| node.engine.as_ref().is_some_and(Raft::is_leader);
        let leader = world.nodes.iter().position(leads);
        let leader = leader.expect("somebody leads an idle chain");
        world.nodes[leader].engine = None;
        world.nodes[leader].life += 1;
        let (height, died) = (world.agreed.len(), world.now);
        while world.agreed.len() == height {
            world.work(100);
            world.until(world.now + 1);
        }
        world.now - died
    });
    let mut times: Vec<u64> = times.collect();
    times.sort();
    times
}

#[test]
fn a_dead_leader_is_replaced_within_a_second() {
    for count in [3, 5] {
        let times = headless(count);
        let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
        eprintln!("{count} voters: half within {half} ms, all within {most} ms");
        assert!(most <= 1_000, "{times:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=4 {
        let trace = |_| {
            let mut world = World::new(seed, 3);
            world.run();
            world.trace
        };
        let [one, other] = [(), ()].map(trace);
        assert_eq!(one, other, "seed {seed}");
    }
}
