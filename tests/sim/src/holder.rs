//! A data-holding node: a replica of its own that follows certified blocks, and the product's delivery
//! machine for each part that is ordered of its source.
//!
//! It believes no other node: blocks come from validators, some of which lie, and are checked and
//! executed here. Its spool and its blocks survive a crash once they are synced; the machines do not.

use std::{collections::BTreeMap, rc::Rc};

use xinqiao_consensus::Verifier;
use xinqiao_contracts::{
    query,
    record::{OrderRecord, PartState},
    testing::key_id,
};
use xinqiao_crypto::{KeyId, sm3};
use xinqiao_dispatch::{
    delivery::{Effect, FinalDelivery, Input, Part, PartOrder, Sealed, Standing, Step},
    envelope::SealedPart,
    turn::{Post, TAKEOVER_MS, Turn},
};
use xinqiao_ledger::{
    action::{Action, Delivery},
    ids::{Height, OrderId, SourceId, TimeMs, TxId},
    order::{PartRef, PartRejection},
    outcome::{Event, Outcome},
    wire::{self, PartStatus, tx_body},
};

use crate::{
    block::{Block, Tip, Tx},
    books::{Books, Ledger, Ran},
    clients::{EXPIRES, Source},
    scheme::Scheme,
    sets::Sets,
    world::{Env, Packet},
};

/// How often a holder asks somebody for blocks and hands in again, in microseconds.
const POLL_US: u64 = 150_000;

/// After how long a part that is still being read is taken up, in microseconds.
const TAKE_UP_US: u64 = 500_000;

/// How a data-holding node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Well,
    /// It reads slowly.
    Slow,
    /// It cannot read at all.
    Blind,
    /// It dies for good while chaos reigns.
    Dies,
}

/// What a data-holding node is like.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// Its number among all.
    pub id: usize,
    /// Its number among those of its source, and how many these are.
    pub node: (usize, usize),
    /// How it is.
    pub condition: Condition,
    /// By how much its clock is ahead, in milliseconds.
    pub clock_ahead_ms: u64,
    /// How fast its clock runs, in thousandths.
    pub clock_rate: u64,
    /// The planted mistake: a sealed report leaves as soon as its record was handed in.
    pub releases_early: bool,
}

/// What a holder waits for.
#[derive(Debug, Clone)]
pub enum Wait {
    /// Its regular turn.
    Poll,
    /// A moment of its own clock.
    Clock(PartRef),
    /// Still no record: the part is taken up on the ledger.
    TakeUp(PartRef),
    /// The source's record.
    Read(PartRef),
    /// The envelope.
    Seal(PartRef),
    /// The spool, with what was sealed.
    Spooled(PartRef, Sealed),
}

/// A data-holding node.
pub struct Holder<C: Scheme> {
    /// Its number among holders.
    pub id: usize,
    /// Its address: holders come after the validators.
    pub address: usize,
    /// Counts its lives.
    pub life: u64,
    /// Whether it runs.
    pub is_up: bool,
    /// The end of its replica.
    pub tip: Tip,
    /// Its blocks, each synced before it counts.
    pub blocks: Vec<Block>,
    /// What each of them came to here.
    outcomes: Vec<Rc<Ran>>,
    source: Source,
    /// What it is like.
    pub nature: Nature,
    post: Post,
    me: KeyId,
    genesis: Tip,
    sets: Rc<Sets>,
    verifier: Rc<C::Verifier>,
    /// On disk.
    spool: BTreeMap<PartRef, Sealed>,
    parts: BTreeMap<PartRef, Part>,
    /// What it signed and does not see in its replica yet.
    handed_in: Vec<Tx>,
}

/// A delivery in a block of the holder's own replica.
struct OnReplica<'a> {
    tx: TxId,
    is_own: bool,
    delivery: &'a Delivery,
    outcome: &'a Outcome,
}

impl FinalDelivery for OnReplica<'_> {
    fn id(&self) -> TxId {
        self.tx
    }

    fn is_own(&self) -> bool {
        self.is_own
    }

    fn delivery(&self) -> &Delivery {
        self.delivery
    }

    fn outcome(&self) -> &Outcome {
        self.outcome
    }
}

impl<C: Scheme> Holder<C> {
    /// One that is not running yet.
    ///
    /// # Panics
    /// When its number is none among those of its source.
    pub fn new(
        nature: Nature,
        address: usize,
        source: Source,
        genesis: Tip,
        sets: Rc<Sets>,
        verifier: Rc<C::Verifier>,
    ) -> Self {
        let (node, nodes) = nature.node;
        let post = Post::new(node as u8, nodes as u8, TAKEOVER_MS).expect("a place");
        Self {
            id: nature.id,
            me: key_id(source.holders[node]),
            nature,
            post,
            address,
            life: 0,
            is_up: false,
            tip: genesis.clone(),
            blocks: Vec::new(),
            outcomes: Vec::new(),
            source,
            genesis,
            sets,
            verifier,
            spool: BTreeMap::new(),
            parts: BTreeMap::new(),
            handed_in: Vec::new(),
        }
    }

    /// The power fails: what was not synced is lost.
    pub fn crash(&mut self) {
        self.is_up = false;
        self.life += 1;
        self.parts.clear();
        self.handed_in.clear();
    }

    /// It starts from its disk, and takes up what its replica shows.
    pub fn start(&mut self, env: &mut Env) {
        self.is_up = true;
        self.tip = self.genesis.clone();
        self.outcomes.clear();
        for block in std::mem::take(&mut self.blocks) {
            self.apply(block);
        }
        for order in self.orders() {
            for index in 0..order.parts.len() as u8 {
                self.take_up(&order, index, env);
            }
        }
        let first = env.dice_below(POLL_US);
        env.wait(self.id, self.life, first, Wait::Poll);
    }

    /// Something that it waited for has come.
    pub fn waited(&mut self, what: Wait, env: &mut Env) {
        match what {
            Wait::Poll => self.poll(env),
            Wait::Clock(part) => {
                let now = self.clock(env);
                self.step(part, Input::Clock(now), env);
            }
            Wait::TakeUp(part) => {
                if matches!(self.parts.get(&part), Some(Part::Seen(_))) {
                    let accept = tx_body::Action::AcceptPart(wire::AcceptPart {
                        order: part.order.to_vec(),
                        part: u32::from(part.part),
                    });
                    self.sign(accept);
                }
            }
            Wait::Read(part) => {
                let read = match self.nature.condition {
                    Condition::Blind => Err(PartRejection::SourceUnavailable),
                    _ => Ok(self.source.record()),
                };
                self.step(part, Input::Read(read), env);
            }
            // What seals is not simulated: an envelope is bytes that nobody else has.
            Wait::Seal(part) => {
                let chance = env.dice.bits().to_be_bytes();
                let sealed = [part.order.as_bytes(), &chance[..]].concat();
                self.step(part, Input::Sealed(SealedPart::envelope(sealed)), env);
            }
            Wait::Spooled(part, sealed) => {
                if self.parts.contains_key(&part) {
                    self.spool.insert(part, sealed);
                }
                self.step(part, Input::Spooled, env);
            }
        }
    }

    /// A packet has come.
    pub fn receive(&mut self, packet: &Packet, env: &mut Env) {
        if let (true, Packet::Blocks(blocks)) = (self.is_up, packet) {
            for block in blocks.iter() {
                self.follow(block, env);
            }
        }
    }

    fn poll(&mut self, env: &mut Env) {
        let validator = env.dice.index(self.address - self.id);
        let ask = Packet::Ask(self.tip.height + 1);
        env.send_as(self.address, validator, ask);
        let done = &self.tip.done;
        self.handed_in.retain(|tx| !done.contains(tx));
        for tx in &self.handed_in {
            let validator = env.dice.index(self.address - self.id);
            env.send_as(self.address, validator, Packet::Tx(*tx));
        }
        env.wait(self.id, self.life, POLL_US, Wait::Poll);
    }

    /// Checks, executes and keeps the next block.
    fn follow(&mut self, block: &Block, env: &mut Env) {
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
        let validators = self.sets.at(candidate.header.height);
        let checked = certificate.check_by(candidate.header.clone(), validators, signed);
        if checked.is_err() || self.tip.refuses(candidate, &self.sets, None).is_some() {
            return;
        }
        self.apply(block.clone());
        env.observed.followed(self.id, &self.tip, block);
        self.look_at(&candidate.body, env);
        let height = self.tip.height;
        for part in self.parts.keys().copied().collect::<Vec<_>>() {
            self.step(part, Input::Tip(height), env);
        }
    }

    fn apply(&mut self, block: Block) {
        self.tip.advance(&block.candidate);
        let books = self.tip.books.as_ref();
        let outcomes = books.and_then(|books| books.last.clone());
        self.outcomes.extend(outcomes);
        self.blocks.push(block);
    }

    /// What a block says about parts.
    fn look_at(&mut self, body: &[Tx], env: &mut Env) {
        let (ledger, ran) = match &self.tip.books {
            Some(Books {
                ledger,
                last: Some(ran),
                ..
            }) => (Rc::clone(ledger), Rc::clone(ran)),
            _ => return,
        };
        for (number, outcome) in body.iter().zip(ran.outcomes.iter().skip(1)) {
            let tx = ledger.tx(*number);
            let id = tx.meta().id;
            match (tx.action(), outcome) {
                (Action::PlaceOrder(_), Outcome::Applied(_)) => self.placed(OrderId::from(id), env),
                (Action::AcceptPart(part), Outcome::Applied(_)) => {
                    let (by_us, now) = (tx.meta().signer == self.me, self.clock(env));
                    self.step(*part, Input::TakenUp { by_us, now }, env);
                }
                (Action::DeliverPart(delivery), Outcome::Applied(_)) => {
                    let proof = OnReplica {
                        tx: id,
                        is_own: tx.meta().signer == self.me,
                        delivery,
                        outcome,
                    };
                    self.step(delivery.part, Input::Final(&proof), env);
                }
                (Action::DeliverPart(Delivery { part, .. }), Outcome::Rejected { reason, .. })
                | (Action::RejectPart { part, .. }, Outcome::Rejected { reason, .. }) => {
                    let reason = *reason;
                    self.step(*part, Input::Rejected { tx: id, reason }, env);
                }
                _ => {}
            }
        }
        for event in ran.outcomes.iter().flat_map(events) {
            if let Event::PartChanged(changed) = event
                && let Ok(part) = PartRef::parse(&changed.order, changed.part)
            {
                match changed.status() {
                    PartStatus::Unspecified
                    | PartStatus::Placed
                    | PartStatus::Accepted
                    | PartStatus::Delivered => {}
                    status => self.step(part, Input::Closed(status), env),
                }
            }
        }
    }

    fn placed(&mut self, order: OrderId, env: &mut Env) {
        let Some(books) = &self.tip.books else { return };
        let order = query::order(&books.state, &order).expect("a map in memory does not fail");
        let Some(order) = order else { return };
        for index in 0..order.parts.len() as u8 {
            // In the same block it may have been closed again.
            self.take_up(&order, index, env);
        }
    }

    /// All orders there are.
    fn orders(&self) -> Vec<OrderRecord> {
        let Some(books) = &self.tip.books else {
            return Vec::new();
        };
        let placed = self.blocks.iter().flat_map(|block| &block.candidate.body);
        let ids = placed.map(|number| OrderId::from(books.ledger.tx(*number).meta().id));
        ids.filter_map(|id| query::order(&books.state, &id).ok().flatten())
            .collect()
    }

    /// Takes up a part that the replica knows of, if it is ours: with what the spool has of it, and
    /// with the proof if it is recorded.
    fn take_up(&mut self, order: &OrderRecord, index: u8, env: &mut Env) {
        let Some(record) = order.part(index) else {
            return;
        };
        let part = PartRef {
            order: order.order,
            part: index,
        };
        let ours: SourceId = self.source.name.parse().expect("a slug");
        if record.part.source != ours || self.parts.contains_key(&part) {
            return;
        }
        let mut recorded = None;
        let standing = match &record.state {
            PartState::Placed | PartState::Accepted { .. } => Standing::Open,
            PartState::Delivered(delivered) => {
                recorded = Some(delivered.tx);
                Standing::Delivered {
                    digest: delivered.ciphertext_digest,
                    is_own: delivered.holder == self.me,
                }
            }
            _ => return,
        };
        let placed = PartOrder {
            part,
            subject: order.placed.subject,
            source: record.part.source.clone(),
            items: record.part.items.clone(),
            registered_root: record.part.registered_root,
            recipient: order.placed.recipient,
            seal_scheme: order.seal_scheme,
            deadline: order.deadline,
        };
        let spooled = self.spool.get(&part).cloned();
        let now = self.clock(env);
        // A node that comes back knows the time of its replica's last block, and no other.
        let passed = self.tip.time.max(order.placed_at_time);
        let open_ms = order.deadline.saturating_sub(passed);
        let mut turn = Turn::begin(self.post, &part, now, open_ms);
        if let Some(holder) = record.state.holder() {
            turn = turn.taken_up(*holder == self.me, now);
        }
        let step = Part::found(placed, turn, standing, spooled);
        self.settle(part, step, env);
        if let Some(tx) = recorded {
            self.prove(part, tx, env);
        }
    }

    /// Shows the machine the proof that the replica has of a delivery.
    fn prove(&mut self, part: PartRef, id: TxId, env: &mut Env) {
        let Some(ledger) = self.ledger() else { return };
        let ran = self.outcomes.iter().cloned();
        for (block, ran) in self.blocks.iter().zip(ran) {
            let body = block.candidate.body.iter();
            let mut body = body.map(|number| ledger.tx(*number));
            let Some(index) = body.position(|tx| tx.meta().id == id) else {
                continue;
            };
            let tx = ledger.tx(block.candidate.body[index]);
            if let Action::DeliverPart(delivery) = tx.action() {
                let proof = OnReplica {
                    tx: id,
                    is_own: tx.meta().signer == self.me,
                    delivery,
                    outcome: &ran.outcomes[index + 1],
                };
                self.step(part, Input::Final(&proof), env);
            }
            return;
        }
    }

    fn ledger(&self) -> Option<Rc<Ledger>> {
        let books = self.tip.books.as_ref();
        books.map(|books| Rc::clone(&books.ledger))
    }

    fn step(&mut self, part: PartRef, input: Input<'_>, env: &mut Env) {
        if let Some(state) = self.parts.remove(&part) {
            let step = state.step(input);
            self.settle(part, step, env);
        }
    }

    fn settle(&mut self, part: PartRef, step: Step, env: &mut Env) {
        let Step { next, effects } = step;
        if let Some(state) = next {
            self.parts.insert(part, state);
        }
        for effect in effects {
            let after = 500 + env.dice_below(40_000);
            match effect {
                Effect::WakeAt(at) => {
                    let left_ms = at.saturating_sub(self.clock(env));
                    let left = left_ms * 1_000 * 1_000 / self.nature.clock_rate + 2_000;
                    env.wait(self.id, self.life, left, Wait::Clock(part));
                }
                Effect::ReadRecord(_) => {
                    let long = match self.nature.condition {
                        Condition::Slow => after + env.dice_below(4_000_000),
                        _ => after,
                    };
                    if long > TAKE_UP_US {
                        env.wait(self.id, self.life, TAKE_UP_US, Wait::TakeUp(part));
                    }
                    env.wait(self.id, self.life, long, Wait::Read(part));
                }
                Effect::Seal { .. } => env.wait(self.id, self.life, after, Wait::Seal(part)),
                Effect::Spool(sealed) => {
                    let after = after + env.dice_below(env.flush_us);
                    env.wait(self.id, self.life, after, Wait::Spooled(part, sealed));
                }
                Effect::SubmitDelivery(delivery) => {
                    if self.nature.releases_early
                        && let Some(sealed) = self.spool.get(&part)
                    {
                        let digest = sm3(sealed.for_own_spool().0);
                        env.observed.released(self.id, part, digest, &self.tip);
                    }
                    self.hand_in(part, deliver(&delivery), env);
                }
                Effect::SubmitRejection { part, reason } => {
                    let reject = tx_body::Action::RejectPart(wire::RejectPart {
                        order: part.order.to_vec(),
                        part: u32::from(part.part),
                        reason: reason.to_wire(),
                    });
                    self.hand_in(part, reject, env);
                }
                Effect::Release => {
                    if let Some(Part::Releasable(releasable)) = self.parts.remove(&part) {
                        let digest = sm3(&releasable.into_released().ciphertext);
                        env.observed.released(self.id, part, digest, &self.tip);
                    }
                }
                Effect::Forget(_) => {
                    self.spool.remove(&part);
                }
            }
        }
    }

    fn hand_in(&mut self, part: PartRef, action: tx_body::Action, env: &mut Env) {
        if let Some(tx) = self.sign(action) {
            let submitted = Input::Submitted {
                tx,
                expires_at: EXPIRES as Height,
            };
            self.step(part, submitted, env);
        }
    }

    /// Signs something that is handed in from now on.
    fn sign(&mut self, action: tx_body::Action) -> Option<TxId> {
        let ledger = self.ledger()?;
        let key = self.source.holders[self.nature.node.0];
        let number = ledger.sign(key, action, EXPIRES);
        self.handed_in.push(number);
        Some(ledger.tx(number).meta().id)
    }

    /// Its own clock, in milliseconds.
    fn clock(&self, env: &Env) -> TimeMs {
        let passed = env.now() / 1_000 * self.nature.clock_rate / 1_000;
        self.nature.clock_ahead_ms + passed
    }
}

fn events(outcome: &Outcome) -> &[Event] {
    match outcome {
        Outcome::Applied(events) => events,
        Outcome::Rejected { .. } => &[],
    }
}

fn deliver(delivery: &Delivery) -> tx_body::Action {
    tx_body::Action::DeliverPart(delivery.into())
}
