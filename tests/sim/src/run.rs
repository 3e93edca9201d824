//! One run: a plan drawn from a seed, the chaos, the healing, and the silence after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use xinqiao_consensus::Verifier;
use xinqiao_crypto::{Digest, KeyId, sm3};
use xinqiao_ledger::{ids::ChainId, vote::Equivocation};

use crate::{
    block::{Block, Tip, Tx},
    books::Ledger,
    clients::{MOST_NODES, SOURCES, errands, founding},
    dice::Dice,
    holder::{Condition, Holder, Nature, Wait},
    invariant::{liveness::Liveness, validity::Validity},
    kind::Kind,
    liar::{Fault, Liar},
    node::{Bug, Node, Traits},
    observe::{Observed, Violation},
    scheme::{Scheme, key},
    sets::Sets,
    world::{Action, Agenda, Env, Later, Network, Packet},
};

const SECOND: u64 = 1_000_000;

/// How long honest nodes have, once everything is healed.
const LIVENESS: u64 = 120 * SECOND;

/// How long it takes until the last messages have died down, and how long the silence is held.
const QUIET: u64 = 20 * SECOND;

/// What a run is like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// How many validators.
    pub validators: usize,
    /// The faults of the first validators; as many as the engine bears.
    pub faults: Vec<Fault>,
    /// The mistake in the honest nodes' hosts.
    pub bug: Option<Bug>,
    /// How long chaos reigns, in seconds.
    pub chaos_s: u64,
    /// How often somebody crashes, in milliseconds; 0 is never.
    pub crash_every_ms: u64,
    /// Whether timers run out too soon at first, which leads to many rounds.
    pub impatient: bool,
    /// How long a flush may take, in microseconds.
    pub flush_us: u64,
    /// How many of a thousand flushes the power fails in.
    pub power_cuts: u64,
    /// The network meanwhile.
    pub network: Network,
    /// Whether the network is cut in two now and then.
    pub cuts: bool,
    /// Whether validators leave and return, one at a time.
    pub set_changes: bool,
    /// How many transactions are submitted.
    pub transactions: u64,
    /// By how many milliseconds the last validator's clock is off, far beyond what blocks may be.
    pub stray_clock: Option<i64>,
    /// Whether transactions mean something: a consortium founds itself, its members and subjects use
    /// it, and holders deliver. Then `transactions` counts nothing.
    pub consortium: bool,
    /// How each data-holding node of a source is: as many as each source has, at most three. The first
    /// one is well.
    pub holders: Vec<Condition>,
}

impl Plan {
    /// The plan of a seed: as many faulty validators as there may be, each in its way.
    pub fn of_seed<K: Kind>(seed: u64, validators: usize) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let most = K::most_faulty(validators);
        let faults: Vec<Fault> = (0..dice.between(0, most as u64))
            .map(|_| K::FAULTS[dice.index(K::FAULTS.len())])
            .collect();
        let crashes = [0, 300, 1_000, 3_000];
        let losses = [0, 20, 100, 300];
        // Those that remain have to bear the faults too.
        let set_changes =
            validators > 1 && faults.len() <= K::most_faulty(validators - 1) && dice.permille(400);
        let mut plan = Self {
            seed,
            validators,
            faults,
            set_changes,
            bug: None,
            chaos_s: dice.between(4, 12),
            crash_every_ms: crashes[dice.index(crashes.len())],
            impatient: dice.permille(250),
            flush_us: [500, 4_000, 60_000][dice.index(3)],
            power_cuts: [0, 10, 50][dice.index(3)],
            network: Network {
                least_us: dice.between(50, 5_000),
                jitter_us: dice.between(100, 150_000),
                loss: losses[dice.index(losses.len())],
                twice: dice.below(100),
                cut: None,
            },
            cuts: dice.permille(500),
            transactions: dice.between(5, K::MOST_TRANSACTIONS),
            stray_clock: None,
            consortium: false,
            holders: vec![Condition::Well],
        };
        let others = validators - usize::from(set_changes);
        if K::BEARS_CLOCKS && plan.faults.len() < K::most_faulty(others) && dice.permille(400) {
            let off = dice.between(15_000, 3_600_000) as i64;
            plan.stray_clock = Some(if dice.permille(500) { off } else { -off });
        }
        plan
    }

    /// As [`Plan::of_seed`], with the contracts, clients and holders.
    pub fn consortium_of_seed<K: Kind>(seed: u64, validators: usize) -> Self {
        let mut dice = Dice::new(seed ^ 0x401d);
        let others = [
            Condition::Well,
            Condition::Slow,
            Condition::Blind,
            Condition::Dies,
        ];
        let others = (0..dice.below(MOST_NODES as u64)).map(|_| others[dice.index(others.len())]);
        Self {
            consortium: true,
            set_changes: false,
            holders: [Condition::Well].into_iter().chain(others).collect(),
            ..Self::of_seed::<K>(seed, validators)
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Digest of everything that was said and committed.
    pub trace: Digest,
    /// The highest honest chain.
    pub height: u64,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Against which validators evidence was found.
    pub accused: Vec<usize>,
    /// The highest round that an honest node voted in.
    pub round: u32,
    /// How many events there were.
    pub events: u64,
    /// How many sealed reports left their holders.
    pub released: u64,
    /// How many holders delivered something.
    pub holders: usize,
    /// How many parts were closed because their consent was gone.
    pub withheld: u64,
    /// How often raft's leader told a follower that its log begins later.
    pub points: u64,
}

#[derive(Debug)]
enum Event {
    Deliver {
        to: usize,
        from: usize,
        packet: Packet,
    },
    Later {
        node: usize,
        life: u64,
        what: Later,
    },
    /// A packet comes to a holder.
    Hand {
        holder: usize,
        packet: Packet,
    },
    /// Something that a holder waited for.
    Wait {
        holder: usize,
        life: u64,
        what: Wait,
    },
    StartHolder(usize),
    /// A holder dies for good.
    Bury(usize),
    Submit(Tx),
    CrashSomebody,
    Start(usize),
    /// A node's host sees a connection to a validator come up.
    Connected {
        node: usize,
        validator: usize,
    },
    Cut,
    Join,
}

struct Run<'a, K: Kind, C: Scheme> {
    plan: &'a Plan,
    env: Env,
    agenda: Agenda<Event>,
    nodes: Vec<Node<K, C>>,
    holders: Vec<Holder<C>>,
    ledger: Option<Rc<Ledger>>,
    /// Holders that died for good.
    buried: BTreeSet<usize>,
    liars: BTreeMap<usize, Liar<C>>,
    /// For each pair of twins: which of the others the first one talks to.
    twins_talk: BTreeMap<usize, u64>,
    network: Network,
    liveness: Liveness,
    lying: bool,
    chaos: bool,
    events: u64,
}

/// Carries a plan out.
pub fn run<K: Kind, C: Scheme>(plan: &Plan) -> Report {
    let mut run = Run::<K, C>::new(plan);
    let violation = run.all().err();
    let seen = run.env.observed.violation().cloned();
    let mut accused = run.env.observed.accused.clone();
    accused.sort_unstable();
    accused.dedup();
    Report {
        trace: run.env.observed.digest(),
        height: run.honest().map(|node| node.tip.height).max().unwrap_or(0),
        violation: seen.or(violation),
        accused,
        round: run.env.observed.round,
        events: run.events,
        released: run.env.observed.released,
        holders: run.env.observed.delivered_by.len(),
        withheld: run.env.observed.withheld,
        points: run.env.observed.points,
    }
}

impl<'a, K: Kind, C: Scheme> Run<'a, K, C> {
    fn new(plan: &'a Plan) -> Self {
        let ledger = plan.consortium.then(|| {
            let deaf = plan.bug == Some(Bug::IgnoreRevocations);
            Rc::new(Ledger::new(K::SET, plan.validators, deaf))
        });
        let genesis = match &ledger {
            Some(ledger) => Tip::founded(Rc::clone(ledger)),
            None => Tip::genesis(ChainId(sm3(b"simulation"))),
        };
        let chain = genesis.chain;
        let keys: Vec<_> = (0..plan.validators).map(|i| *key(i).public()).collect();
        let ids: Vec<KeyId> = keys.iter().map(|key| key.id()).collect();
        let mut changes = Dice::new(plan.seed ^ 0x5e75);
        let changes = plan.set_changes.then_some(&mut changes);
        let sets = Rc::new(Sets::new(K::SET, &keys, changes));
        let verifier = Rc::new(C::verifier(plan.validators));
        let honest = (0..plan.validators)
            .map(|i| i >= plan.faults.len())
            .collect();
        let validity = validity(&genesis, &sets, &verifier, &ids);
        let mut env = Env {
            now_us: 0,
            dice: Dice::new(plan.seed),
            observed: Observed::new(honest, validity),
            flush_us: plan.flush_us,
            power_cuts: plan.power_cuts,
            ids,
            actions: Vec::new(),
        };
        let mut nodes = Vec::new();
        let mut liars = BTreeMap::new();
        let mut twins_talk = BTreeMap::new();
        for validator in 0..plan.validators {
            let fault = plan.faults.get(validator).copied();
            let skewed = env.dice.permille(300);
            let stray = plan
                .stray_clock
                .filter(|_| validator + 1 == plan.validators);
            let traits = Traits {
                validator,
                key: env.ids[validator],
                impatient: plan.impatient,
                seed: env.dice.bits(),
                poisons: fault == Some(Fault::Liar),
                clock_ahead_ms: match stray {
                    Some(off) => off,
                    None if skewed => env.dice.between(0, 8_000) as i64 - 4_000,
                    None => 0,
                },
                clock_rate: env.dice.between(950, 1_050),
                bug: if fault.is_none() { plan.bug } else { None },
            };
            let copies = if fault == Some(Fault::Twins) { 2 } else { 1 };
            for copy in 0..copies {
                // The second twin's blocks have another time, so that the two propose differently.
                let traits = Traits {
                    clock_ahead_ms: traits.clock_ahead_ms + copy,
                    ..traits
                };
                let (sets, verifier) = (Rc::clone(&sets), Rc::clone(&verifier));
                nodes.push(Node::new(
                    nodes.len(),
                    traits,
                    genesis.clone(),
                    sets,
                    verifier,
                ));
            }
            if fault == Some(Fault::Liar) {
                let quorum = K::SET.quorum(plan.validators);
                let liar = Liar::new(chain, validator, quorum, env.ids.clone());
                liars.insert(validator, liar);
            }
            if fault == Some(Fault::Twins) {
                twins_talk.insert(validator, env.dice.bits());
            }
        }
        let sources = ledger.iter().flat_map(|_| SOURCES);
        let nodes_of = |source| {
            plan.holders
                .iter()
                .enumerate()
                .map(move |one| (source, one))
        };
        let mut clocks = Dice::new(plan.seed ^ 0xc10c);
        let holders = sources.flat_map(nodes_of).enumerate();
        let holders = holders.map(|(id, (source, (node, condition)))| {
            let nature = Nature {
                id,
                node: (node, plan.holders.len()),
                condition: *condition,
                clock_ahead_ms: clocks.below(3_600_000),
                clock_rate: clocks.between(950, 1_050),
                releases_early: plan.bug == Some(Bug::ReleaseEarly),
            };
            let (sets, verifier) = (Rc::clone(&sets), Rc::clone(&verifier));
            let address = plan.validators + id;
            Holder::new(nature, address, source, genesis.clone(), sets, verifier)
        });
        let holders = holders.collect();
        env.observed.one_delivery.may_refuse = plan.holders.contains(&Condition::Blind);
        Self {
            plan,
            env,
            agenda: Agenda::new(),
            nodes,
            holders,
            buried: BTreeSet::new(),
            ledger,
            liars,
            twins_talk,
            network: plan.network.clone(),
            liveness: Liveness::default(),
            lying: true,
            chaos: true,
            events: 0,
        }
    }

    fn honest(&self) -> impl Iterator<Item = &Node<K, C>> {
        let faulty = self.plan.faults.len();
        self.nodes
            .iter()
            .filter(move |node| node.traits.validator >= faulty)
    }

    fn all(&mut self) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            self.agenda.add(0, Event::Start(node));
        }
        self.silence(SECOND)?;
        self.found()?;
        let begin = self.env.now_us;
        let chaos = self.plan.chaos_s * SECOND;
        for (tx, after) in self.errands(chaos) {
            self.agenda.add(begin + after, Event::Submit(tx));
            self.liveness.submitted(tx);
        }
        for holder in 0..self.holders.len() {
            if self.holders[holder].nature.condition == Condition::Dies {
                let at = begin + self.env.dice.below(chaos);
                self.agenda.add(at, Event::Bury(holder));
            }
        }
        if self.plan.crash_every_ms > 0 {
            self.agenda.add(begin, Event::CrashSomebody);
        }
        if self.plan.cuts {
            let at = begin + self.env.dice.below(chaos / 2);
            self.agenda.add(at, Event::Cut);
        }
        self.until(begin + chaos)?;
        self.heal();
        self.live(&[])?;
        self.lying = false;
        let end = self.env.now_us + QUIET;
        self.until(end)?;
        self.silence(QUIET)
    }

    /// A consortium founds itself while nobody crashes and the network works; liars lie already.
    fn found(&mut self) -> Result<(), Violation> {
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        let founding = founding(ledger);
        for tx in &founding {
            self.liveness.submitted(*tx);
        }
        for holder in 0..self.holders.len() {
            self.agenda.add(self.env.now_us, Event::StartHolder(holder));
        }
        let power_cuts = std::mem::take(&mut self.env.power_cuts);
        self.network = Network::healed();
        self.live(&founding)?;
        self.network = self.plan.network.clone();
        self.env.power_cuts = power_cuts;
        Ok(())
    }

    /// What clients hand in while chaos reigns, and how long after its beginning.
    fn errands(&mut self, chaos: u64) -> BTreeMap<Tx, u64> {
        match &self.ledger {
            Some(ledger) => {
                let now = ledger.time + 1_000_000 + self.env.now_us / 1_000;
                errands(ledger, chaos, now, &mut self.env.dice)
            }
            None => (1..=self.plan.transactions)
                .map(|tx| (tx, self.env.dice.below(chaos)))
                .collect(),
        }
    }

    /// Everything works from here on, but liars go on lying.
    fn heal(&mut self) {
        self.chaos = false;
        self.env.power_cuts = 0;
        self.network = Network::healed();
        let now = self.env.now_us;
        for node in 0..self.nodes.len() {
            self.agenda.add(now, Event::Start(node));
        }
        for holder in 0..self.holders.len() {
            self.agenda.add(now, Event::StartHolder(holder));
        }
    }

    /// Everything is committed within a bounded time; those are told every validator again and again.
    fn live(&mut self, told: &[Tx]) -> Result<(), Violation> {
        let deadline = self.env.now_us + LIVENESS;
        loop {
            for node in &mut self.nodes {
                for tx in told {
                    node.submit(*tx, &mut self.env);
                }
            }
            self.dispatch();
            let step = self.env.now_us + SECOND;
            self.until(step)?;
            let honest = self.honest().map(|node| &node.tip);
            let alive = self
                .holders
                .iter()
                .filter(|one| !self.buried.contains(&one.id));
            let all = honest.chain(alive.map(|holder| &holder.tip));
            match self.liveness.reached(all) {
                Ok(()) => return Ok(()),
                Err(what) if self.env.now_us >= deadline => {
                    return Err(Violation {
                        invariant: "liveness",
                        what,
                    });
                }
                Err(_) => {}
            }
        }
    }

    /// Nothing waits, so nothing may happen.
    fn silence(&mut self, long: u64) -> Result<(), Violation> {
        let before = self.env.observed.idle;
        let end = self.env.now_us + long;
        self.until(end)?;
        let idle = self.env.observed.idle.unchanged_since(&before, K::RESTS);
        // The very start of a node cleans its log up, and says nothing.
        idle.map_err(|what| Violation {
            invariant: "idle",
            what,
        })
    }

    fn until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some((at, event)) = self.agenda.next_before(end) {
            self.env.now_us = at;
            self.events += 1;
            self.happen(event);
            self.dispatch();
            if let Some(violation) = self.env.observed.violation() {
                return Err(violation.clone());
            }
        }
        self.env.now_us = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, packet } => {
                self.nodes[to].receive(from, packet, &mut self.env);
            }
            Event::Later { node, life, what } => {
                let node = &mut self.nodes[node];
                if node.life == life && node.is_up() {
                    node.later(what, &mut self.env);
                }
            }
            Event::Hand { holder, packet } => {
                self.holders[holder].receive(&packet, &mut self.env);
            }
            Event::Wait { holder, life, what } => {
                let holder = &mut self.holders[holder];
                if holder.life == life && holder.is_up {
                    holder.waited(what, &mut self.env);
                }
            }
            Event::Bury(holder) => {
                self.holders[holder].crash();
                self.buried.insert(holder);
            }
            Event::StartHolder(holder) => {
                if !self.holders[holder].is_up && !self.buried.contains(&holder) {
                    self.holders[holder].start(&mut self.env);
                }
            }
            Event::Submit(tx) => {
                if !self.env.observed.has_committed(tx) {
                    let node = self.env.dice.index(self.nodes.len());
                    self.nodes[node].submit(tx, &mut self.env);
                    // A client that hears nothing asks again, somebody else.
                    self.agenda
                        .add(self.env.now_us + 2 * SECOND, Event::Submit(tx));
                }
            }
            Event::CrashSomebody if self.chaos => {
                let some = self.env.dice.index(self.nodes.len() + self.holders.len());
                let all = self.env.dice.permille(100);
                for node in (0..self.nodes.len()).filter(|one| all || *one == some) {
                    self.crash(node);
                }
                for holder in 0..self.holders.len() {
                    if all || self.nodes.len() + holder == some {
                        self.holders[holder].crash();
                        let back = self.env.dice.between(10_000, 2 * SECOND);
                        let at = self.env.now_us + back;
                        self.agenda.add(at, Event::StartHolder(holder));
                    }
                }
                let next = self
                    .env
                    .dice
                    .below(2 * self.plan.crash_every_ms * 1_000 + 1);
                self.agenda
                    .add(self.env.now_us + next, Event::CrashSomebody);
            }
            Event::Start(node) => {
                if !self.nodes[node].is_up() {
                    self.nodes[node].start(&mut self.env);
                    for other in 0..self.nodes.len() {
                        self.connect(node, other);
                    }
                }
            }
            Event::Connected { node, validator } => {
                self.nodes[node].connected(validator, &mut self.env);
            }
            Event::Cut if self.chaos => {
                let addresses = self.plan.validators + self.holders.len();
                let side = (0..addresses).map(|_| self.env.dice.permille(500));
                self.network.cut = Some(side.collect());
                let long = self.env.dice.between(SECOND / 5, 4 * SECOND);
                self.agenda.add(self.env.now_us + long, Event::Join);
            }
            Event::Join if self.chaos => {
                self.network.cut = None;
                for one in 0..self.nodes.len() {
                    for other in 0..one {
                        self.connect(one, other);
                    }
                }
                let pause = self.env.dice.between(SECOND / 5, 2 * SECOND);
                self.agenda.add(self.env.now_us + pause, Event::Cut);
            }
            Event::CrashSomebody | Event::Cut | Event::Join => {}
        }
    }

    fn crash(&mut self, node: usize) {
        if self.chaos && self.nodes[node].is_up() {
            self.nodes[node].crash(&mut self.env);
            let longest = if self.env.dice.permille(200) { 8 } else { 2 };
            let back = self.env.dice.between(10_000, longest * SECOND);
            self.agenda.add(self.env.now_us + back, Event::Start(node));
        }
    }

    /// Two nodes reach each other again. Not every host notices: a connection may look as if it had
    /// been up all the time.
    fn connect(&mut self, one: usize, other: usize) {
        let validator = |node: usize| self.nodes[node].traits.validator;
        if validator(one) == validator(other) || !self.nodes[other].is_up() {
            return;
        }
        for (node, validator) in [(one, validator(other)), (other, validator(one))] {
            if self.env.dice.permille(700) {
                let at = self.env.now_us + self.env.dice.below(20_000);
                self.agenda.add(at, Event::Connected { node, validator });
            }
        }
    }

    /// Does what nodes asked for.
    fn dispatch(&mut self) {
        for action in std::mem::take(&mut self.env.actions) {
            match action {
                Action::Send { node, to, packet } => self.send(node, to, &packet),
                Action::Broadcast { node, packet } => {
                    let own = self.nodes[node].traits.validator;
                    for to in (0..self.plan.validators).filter(|to| *to != own) {
                        self.send(node, to, &packet);
                    }
                }
                Action::SendAs {
                    address,
                    to,
                    packet,
                } => self.carry(address, to, &packet),
                Action::Wait {
                    holder,
                    life,
                    after_us,
                    what,
                } => {
                    let at = self.env.now_us + after_us;
                    self.agenda.add(at, Event::Wait { holder, life, what });
                }
                Action::PowerOff { node } => self.crash(node),
                Action::Later {
                    node,
                    life,
                    after_us,
                    what,
                } => {
                    let at = self.env.now_us + after_us;
                    self.agenda.add(at, Event::Later { node, life, what });
                }
            }
        }
    }

    fn send(&mut self, node: usize, to: usize, packet: &Packet) {
        let from = self.nodes[node].traits.validator;
        if from == to {
            return;
        }
        let packets = match self.plan.faults.get(from) {
            Some(Fault::Silent) => return,
            Some(Fault::Twins) => {
                let talk = self.twins_talk.entry(from).or_default();
                if self.env.dice.permille(5) {
                    *talk = self.env.dice.bits();
                }
                let first = node == 0 || self.nodes[node - 1].traits.validator != from;
                if first != (*talk >> to & 1 == 1) {
                    return;
                }
                vec![packet.clone()]
            }
            Some(Fault::Liar) if self.lying => match self.liars.get_mut(&from) {
                Some(liar) => liar.twist(packet, &mut self.env.dice),
                None => Vec::new(),
            },
            Some(Fault::Liar) | None => vec![packet.clone()],
        };
        if let Some(liar) = self.liars.get_mut(&to) {
            liar.remember(packet, &mut self.env.dice);
        }
        for packet in packets {
            self.carry(from, to, &packet);
        }
    }

    /// What the network makes of a packet from one address to another.
    fn carry(&mut self, from: usize, to: usize, packet: &Packet) {
        for delay in self.network.deliveries(from, to, &mut self.env.dice) {
            let at = self.env.now_us + delay;
            if let Some(holder) = to.checked_sub(self.plan.validators) {
                let packet = packet.clone();
                self.agenda.add(at, Event::Hand { holder, packet });
                continue;
            }
            for (to, _) in self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.traits.validator == to)
            {
                let packet = packet.clone();
                self.agenda.add(at, Event::Deliver { to, from, packet });
            }
        }
    }
}

/// The checks of single blocks and evidence, as a third party makes them.
fn validity<V: Verifier + 'static>(
    genesis: &Tip,
    sets: &Rc<Sets>,
    verifier: &Rc<V>,
    ids: &[KeyId],
) -> Validity {
    let chain = genesis.chain;
    let certificate = {
        let (sets, verifier) = (Rc::clone(sets), Rc::clone(verifier));
        move |block: &Block| {
            let header = block.candidate.header.clone();
            let validators = sets.at(header.height);
            let checked =
                block
                    .certificate
                    .check_by(header, validators, |key, message, signature| {
                        verifier.is_signed(key, message, signature)
                    });
            checked.map(drop).map_err(|why| why.to_string())
        }
    };
    let evidence = {
        let (sets, verifier) = (Rc::clone(sets), Rc::clone(verifier));
        let ids = ids.to_vec();
        move |evidence: &Equivocation| {
            let validators = sets.at(evidence.height);
            let checked = evidence.check(&chain, validators, |key, message, signature| {
                verifier.is_signed(key, message, signature)
            });
            checked.map_err(|why| why.to_string())?;
            let found = ids.iter().position(|one| *one == evidence.validator);
            found.ok_or_else(|| "the accused is no validator".to_owned())
        }
    };
    Validity::new(
        genesis.clone(),
        Rc::clone(sets),
        Box::new(certificate),
        Box::new(evidence),
    )
}
