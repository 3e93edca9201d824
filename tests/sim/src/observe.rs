//! What honest nodes are seen to do: the trace, and the invariants that hold at every moment.
//!
//! Liveness, determinism and silence when idle are properties of a whole run: see
//! [`crate::run`].

use std::collections::BTreeSet;

use xinqiao_crypto::{Digest, KeyId, sm3_parts};
use xinqiao_ledger::{
    action::Action,
    ids::Height,
    order::PartRef,
    outcome::{Event, Outcome},
    vote::Equivocation,
    wire::PartStatus,
};

use crate::{
    block::{Block, Tip},
    invariant::{
        agreement::Agreement, double_sign::DoubleSign, durability::Durability, idle::Idle,
        live_consent::LiveConsent, one_delivery::OneDelivery, one_leader::OneLeader,
        record_before_release::RecordBeforeRelease, replicas::Replicas, validity::Validity,
    },
    kind::{Said, Stated},
    node::Seen,
};

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// Watches all nodes.
pub struct Observed {
    /// Which validators are honest.
    honest: Vec<bool>,
    trace: Digest,
    violations: Vec<Violation>,
    agreement: Agreement,
    validity: Validity,
    durability: Durability,
    double_sign: DoubleSign,
    one_leader: OneLeader,
    replicas: Replicas,
    record_before_release: RecordBeforeRelease,
    live_consent: LiveConsent,
    /// What becomes of parts.
    pub one_delivery: OneDelivery,
    /// The highest block that an honest validator or a holder has.
    agreed: Height,
    /// How many sealed reports left their holders.
    pub released: u64,
    /// Keys of holders that delivered.
    pub delivered_by: BTreeSet<KeyId>,
    /// How many parts were closed because their consent was gone.
    pub withheld: u64,
    /// How often a leader told a follower that its log begins later.
    pub points: u64,
    /// What honest nodes wrote and said.
    pub idle: Idle,
    /// The highest round that an honest node said something in.
    pub round: u32,
    /// Validators that evidence was found against.
    pub accused: Vec<usize>,
}

impl Observed {
    /// An observer; `validity` checks single blocks.
    pub fn new(honest: Vec<bool>, validity: Validity) -> Self {
        Self {
            honest,
            trace: Digest::from([0; 32]),
            violations: Vec::new(),
            agreement: Agreement::default(),
            validity,
            durability: Durability::default(),
            double_sign: DoubleSign::default(),
            one_leader: OneLeader::default(),
            replicas: Replicas::default(),
            record_before_release: RecordBeforeRelease::default(),
            live_consent: LiveConsent::default(),
            one_delivery: OneDelivery::default(),
            agreed: 0,
            released: 0,
            delivered_by: BTreeSet::new(),
            withheld: 0,
            points: 0,
            idle: Idle::default(),
            round: 0,
            accused: Vec::new(),
        }
    }

    /// Mixes something into the trace.
    pub fn trace(&mut self, what: &[u8]) {
        self.trace = sm3_parts(&[self.trace.as_bytes(), what]);
    }

    /// Digest of everything that happened.
    pub fn digest(&self) -> Digest {
        self.trace
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violations.first()
    }

    /// A promise was broken.
    pub fn broken(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    /// A transaction is in this validator's chain for good, and a client was told so.
    pub fn has_committed(&self, tx: u64) -> bool {
        self.durability.is_acknowledged(tx)
    }

    fn is_honest(&self, node: &dyn Seen) -> bool {
        self.honest[node.validator()]
    }

    fn note(&mut self, invariant: &'static str, result: Result<(), String>) {
        if let Err(what) = result {
            self.broken(invariant, what);
        }
    }

    /// A node's engine stopped.
    pub fn stopped(&mut self, node: &dyn Seen, why: &str) {
        if self.is_honest(node) {
            self.broken(
                "no honest engine stops",
                format!("node {}: {why}", node.id()),
            );
        }
    }

    /// A node started from its disk.
    pub fn restarted(&mut self, node: &dyn Seen) {
        if self.is_honest(node) {
            let result = self.durability.restarted(node);
            self.note("durability", result);
        }
    }

    /// A node appended to its log.
    pub fn wrote(&mut self, node: &dyn Seen) {
        if self.is_honest(node) {
            self.idle.wrote();
        }
    }

    /// A node said something to others.
    pub fn said(&mut self, node: &dyn Seen, message: &[u8], stated: &[Stated]) {
        self.trace(message);
        if self.is_honest(node) {
            self.idle.said();
            for one in stated.iter().filter(|one| one.validator == node.key()) {
                match one.said {
                    Said::Signed { round, .. } => self.round = self.round.max(round),
                    Said::Leads { points: true, .. } => self.points += 1,
                    Said::Leads { .. } | Said::Ballot { .. } => {}
                }
                let result = self.double_sign.said(node, one.said);
                self.note("no honest double-sign", result);
                let result = self.one_leader.said(node, one.said);
                self.note("one leader", result);
            }
        }
    }

    /// A node committed a block, and told its clients.
    pub fn committed(&mut self, node: &dyn Seen, block: &Block) {
        self.trace(block.candidate.header.hash().as_bytes());
        if self.is_honest(node) {
            self.idle.committed();
            let result = self.agreement.committed(node, block);
            self.note("agreement", result);
            let result = self.validity.committed(node, block);
            self.note("validity", result);
            self.durability.committed(node, block);
            let result = (self.replicas).executed(&format!("node {}", node.id()), node.tip());
            self.note("determinism", result);
            self.agreed_on(node.tip(), block);
        }
    }

    /// What the first replica that has a certified block came to, transaction by transaction.
    fn agreed_on(&mut self, tip: &Tip, block: &Block) {
        if tip.height != self.agreed + 1 {
            return;
        }
        self.agreed = tip.height;
        let Some(books) = &tip.books else { return };
        let Some(ran) = &books.last else { return };
        self.record_before_release.agreed(tip);
        let body = block.candidate.body.iter();
        for (number, outcome) in body.zip(ran.outcomes.iter().skip(1)) {
            let tx = books.ledger.tx(*number);
            self.record_before_release.came_to(tip, &tx, outcome);
            self.live_consent.came_to(tip, &tx, outcome);
            let result = self.one_delivery.came_to(&tx, outcome);
            self.note("one delivery", result);
            if let Outcome::Applied(events) = outcome {
                let gone = events.iter().filter(|event| {
                    matches!(event, Event::PartChanged(part)
                        if part.status() == PartStatus::ConsentRevoked)
                });
                self.withheld += gone.count() as u64;
                if matches!(tx.action(), Action::DeliverPart(_)) {
                    self.delivered_by.insert(tx.meta().signer);
                }
            }
        }
    }

    /// A holder's replica went on by a block.
    pub fn followed(&mut self, holder: usize, tip: &Tip, block: &Block) {
        self.trace(block.candidate.header.hash().as_bytes());
        let result = self.validity.certified(block);
        self.note(
            "validity",
            result.map_err(|why| format!("holder {holder}: {why}")),
        );
        let result = self.replicas.executed(&format!("holder {holder}"), tip);
        self.note("determinism", result);
        // A holder may have a block before any honest validator: certified is certified.
        self.agreed_on(tip, block);
    }

    /// A holder whose replica stands there let bytes of that digest leave.
    pub fn released(&mut self, holder: usize, part: PartRef, bytes: Digest, replica: &Tip) {
        self.trace(bytes.as_bytes());
        self.released += 1;
        let result = (self.record_before_release).released(part, bytes, replica);
        self.note("record before release", result.map(drop));
        let result = self.live_consent.released(part);
        self.note("no release without live consent", result);
        let result = self.one_delivery.released(holder, part);
        self.note("one delivery", result);
    }

    /// A node holds evidence against a validator.
    pub fn accused(&mut self, node: &dyn Seen, evidence: &Equivocation) {
        if !self.is_honest(node) {
            return;
        }
        match self.validity.evidence(evidence) {
            Ok(validator) if self.honest[validator] => {
                self.broken(
                    "no honest double-sign",
                    format!(
                        "node {} holds evidence against honest validator {validator}",
                        node.id()
                    ),
                );
            }
            Ok(validator) => self.accused.push(validator),
            Err(why) => self.broken("evidence", format!("node {}: {why}", node.id())),
        }
    }
}
