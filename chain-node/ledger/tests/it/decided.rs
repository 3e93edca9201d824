//! Evidence of orders that the contracts themselves decided: what they record is what evidence
//! reads, so a lawful life of an order contradicts itself nowhere.

use xinqiao_contracts::testing::{
    Consortium, activate_source, bind_subject_key, delivery, grant, member, open_user, order,
    propose, register_digests, register_source, secret, terms, vote,
};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    evidence::{self, Findings, Gap, PartEnd, Standing, Statement},
    ids::{Height, TimeMs, TxId},
    member::MemberKind,
    outcome::Outcome,
    wire::{self, change::Kind, tx_body::Action as A},
};

use crate::world::World;

/// A consortium whose blocks are sealed into a chain.
struct Chain {
    consortium: Consortium,
    world: World,
    ids: Vec<TxId>,
    /// Blocks in which a deadline fired.
    blocks: Vec<Height>,
}

impl Chain {
    /// At work, with everything that an order needs but a grant.
    fn new() -> Self {
        let consortium = Consortium::new();
        let world = World::certified_by(vec![secret("validator")], consortium.genesis.clone());
        let mut chain = Self {
            consortium,
            world,
            ids: vec![],
            blocks: vec![],
        };
        let key = secret("subject-1");
        #[rustfmt::skip]
        let steps = [
            ("sh-bureau/admin", register_source("sh-tax", "sh-bureau", &["invoices", "tax"])),
            ("sh-bureau/admin", activate_source("sh-tax")),
            ("zj-bureau/admin", register_source("zj-power", "zj-bureau", &["power", "tax"])),
            ("zj-bureau/admin", activate_source("zj-power")),
            ("sh-bureau/holder", register_digests("sh-tax", &["invoices", "tax"], &[1, 2], 20_000)),
            ("zj-bureau/holder", register_digests("zj-power", &["power"], &[1], 20_000)),
            ("js-bank/admin", open_user(1)),
            ("sh-bureau/admin", bind_subject_key(1, key.public())),
        ];
        for (by, action) in steps {
            chain.apply(by, action);
        }
        chain
    }

    /// Signs, decides and seals one transaction.
    fn run_at(&mut self, time: TimeMs, by: &str, action: A) -> (TxId, Outcome) {
        let tx = self.consortium.sign(by, action);
        let id = tx.meta().id;
        let mut executed = self.consortium.block_at(time, vec![tx.clone()]);
        let commitment = self.consortium.commitment;
        if executed.outcomes[0] != Outcome::Applied(vec![]) {
            self.blocks.push(self.consortium.height);
        }
        self.world
            .seal(time, vec![tx], executed.encoded, commitment);
        self.ids.push(id);
        (id, executed.outcomes.remove(1))
    }

    #[track_caller]
    fn apply(&mut self, by: &str, action: A) -> TxId {
        let time = self.consortium.time + 1_000;
        let (id, outcome) = self.run_at(time, by, action);
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        id
    }

    fn grant(&mut self, change: impl FnOnce(&mut wire::ConsentTerms)) -> TxId {
        let mut terms = terms();
        change(&mut terms);
        self.apply("subject-1", grant(terms))
    }

    fn order(&mut self, grant: &TxId) -> TxId {
        self.apply("js-bank/agent", A::PlaceOrder(order(grant)))
    }

    fn deliver(&mut self, order: &TxId, part: u32) -> TxId {
        let holder = ["sh-bureau/holder", "zj-bureau/holder"][part as usize];
        self.apply(holder, A::DeliverPart(delivery(order, part)))
    }

    fn confirm(&mut self, order: &TxId, part: u32, verdict: wire::Verdict) {
        let order = order.to_vec();
        let verdict = verdict.into();
        let action = A::ConfirmPart(wire::ConfirmPart {
            order,
            part,
            verdict,
        });
        self.apply("js-bank/agent", action);
    }

    /// Evidence with every transaction that there was.
    fn findings(&self, order: &TxId) -> Findings {
        let file = evidence::encode(&self.world.bundle(&self.ids, &self.blocks, order));
        evidence::verify(&file, &self.consortium.genesis).unwrap()
    }
}

/// How the parts ended, by the findings; every claim but those about an end that is not there must
/// be proven.
#[track_caller]
fn check(chain: &Chain, order: &TxId, wanted: &[PartEnd]) {
    let findings = chain.findings(order);
    let mut ends = vec![];
    for claim in &findings.claims {
        let mut standing = Standing::Proven;
        if let Statement::Ended { end, .. } = &claim.statement {
            ends.push(end.clone());
            if matches!(end, PartEnd::Open(_)) {
                standing = Standing::NotShown(Gap::NoEnd);
            }
        }
        assert_eq!(claim.standing, standing, "{:?}", claim.statement);
    }
    assert_eq!(ends, wanted);
}

#[test]
fn a_whole_life_is_proven() {
    let mut chain = Chain::new();
    let grant = chain.grant(|_| {});
    let order = chain.order(&grant);
    chain.deliver(&order, 1);
    chain.deliver(&order, 0);
    chain.confirm(&order, 0, wire::Verdict::Confirmed);
    chain.confirm(&order, 1, wire::Verdict::ItemMismatch);
    let mismatched = PartEnd::Mismatched("ITEM_MISMATCH".into());
    check(&chain, &order, &[PartEnd::Confirmed, mismatched]);

    // What comes later changes nothing of it.
    let statement_digest = sm3(b"statement").as_bytes().to_vec();
    let dispute = wire::DisputeOrder {
        order: order.to_vec(),
        statement_digest,
    };
    chain.apply("js-bank/agent", A::DisputeOrder(dispute));
    let revoke = wire::RevokeConsent {
        grant: grant.to_vec(),
    };
    chain.apply("subject-1", A::RevokeConsent(revoke));
    let findings = chain.findings(&order);
    assert!(findings.all_proven());
    let disputed = |settled| {
        findings.claims.iter().any(
            |claim| matches!(claim.statement, Statement::Dispute { settled: s, .. } if s == settled),
        )
    };
    assert!(disputed(false) && !disputed(true));
}

#[test]
fn a_consent_requested_paused_and_resumed_is_live_again() {
    let mut chain = Chain::new();
    let request = wire::RequestConsent {
        terms: Some(terms()),
        lapses_at_ms: chain.consortium.time + 1_000_000,
    };
    let grant = chain.apply("js-bank/agent", A::RequestConsent(request));
    let answer = wire::GrantConsent {
        request: grant.to_vec(),
        terms: Some(terms()),
    };
    chain.apply("subject-1", A::GrantConsent(answer));
    let id = || grant.to_vec();
    chain.apply(
        "subject-1",
        A::PauseConsent(wire::PauseConsent { grant: id() }),
    );
    chain.apply(
        "subject-1",
        A::ResumeConsent(wire::ResumeConsent { grant: id() }),
    );
    let order = chain.order(&grant);
    chain.deliver(&order, 0);
    let reject = wire::RejectPart {
        order: order.to_vec(),
        part: 1,
        reason: wire::PartRejection::RecordNotFound.into(),
    };
    chain.apply("zj-bureau/holder", A::RejectPart(reject));
    chain.confirm(&order, 0, wire::Verdict::Confirmed);
    let rejected = PartEnd::Rejected("RECORD_NOT_FOUND".into());
    check(&chain, &order, &[PartEnd::Confirmed, rejected]);
}

#[test]
fn the_last_use_covers_all_parts_of_its_order() {
    let mut chain = Chain::new();
    let grant = chain.grant(|terms| terms.max_uses = 1);
    let order = chain.order(&grant);
    for part in [0, 1] {
        chain.deliver(&order, part);
        chain.confirm(&order, part, wire::Verdict::Confirmed);
    }
    check(&chain, &order, &[PartEnd::Confirmed, PartEnd::Confirmed]);
}

#[test]
fn a_consent_revoked_in_between_ends_what_was_not_delivered() {
    let mut chain = Chain::new();
    let grant = chain.grant(|_| {});
    let order = chain.order(&grant);
    chain.deliver(&order, 0);
    let revoke = wire::RevokeConsent {
        grant: grant.to_vec(),
    };
    chain.apply("subject-1", A::RevokeConsent(revoke));
    chain.deliver(&order, 1);
    chain.confirm(&order, 0, wire::Verdict::Confirmed);
    check(
        &chain,
        &order,
        &[PartEnd::Confirmed, PartEnd::ConsentRevoked],
    );
}

#[test]
fn parts_that_are_cancelled_or_expire_are_told_apart_from_delivered_ones() {
    let mut chain = Chain::new();
    let grant = chain.grant(|_| {});
    let cancelled = chain.order(&grant);
    let cancel = wire::CancelOrder {
        order: cancelled.to_vec(),
    };
    chain.apply("js-bank/agent", A::CancelOrder(cancel));
    check(
        &chain,
        &cancelled,
        &[PartEnd::Cancelled, PartEnd::Cancelled],
    );

    // The block itself records that a deadline passed; no transaction does.
    let expired = chain.order(&grant);
    chain.deliver(&expired, 0);
    let late = chain.consortium.time + 3_600_001;
    chain.run_at(late, "js-bank/admin", open_user(2));
    let ended = PartEnd::Expired {
        deadline: late - 1_001,
    };
    let delivered = PartEnd::Open(wire::PartStatus::Delivered);
    check(&chain, &expired, &[delivered.clone(), ended]);

    // Without that block's receipt the end is open.
    chain.blocks.clear();
    let placed = PartEnd::Open(wire::PartStatus::Placed);
    check(&chain, &expired, &[delivered, placed]);
}

#[test]
fn a_consent_that_expired_in_between_is_read_from_the_block_that_says_so() {
    let mut chain = Chain::new();
    let until = chain.consortium.time + 600_000;
    let grant = chain.grant(|terms| terms.valid_until_ms = until);
    let order = chain.order(&grant);
    chain.deliver(&order, 0);
    chain.run_at(
        until,
        "zj-bureau/holder",
        A::DeliverPart(delivery(&order, 1)),
    );
    assert_eq!(chain.blocks.len(), 1, "the grant's own deadline fired");
    chain.confirm(&order, 0, wire::Verdict::Confirmed);
    check(
        &chain,
        &order,
        &[PartEnd::Confirmed, PartEnd::ConsentRevoked],
    );
}

#[test]
fn a_superseded_registration_is_told_from_the_one_that_the_order_fixed() {
    let mut chain = Chain::new();
    let items = ["invoices", "tax"];
    let again = register_digests("sh-tax", &items, &[1], 20_001);
    chain.apply("sh-bureau/holder", again);
    let grant = chain.grant(|_| {});
    let order = chain.order(&grant);
    let later = register_digests("sh-tax", &items, &[1], 20_002);
    chain.apply("sh-bureau/holder", later);
    let findings = chain.findings(&order);
    let registered = findings
        .claims
        .iter()
        .find_map(|claim| match &claim.statement {
            Statement::Registered { part: 0, fixed, at } => Some((fixed, at, &claim.standing)),
            _ => None,
        });
    let (fixed, at, standing) = registered.unwrap();
    assert_eq!((fixed.digest_version, fixed.as_of_day), (2, 20_001));
    assert_eq!(at.unwrap().height, fixed.registered_at);
    assert_eq!(*standing, Standing::Proven);
}

#[test]
fn a_key_added_on_the_ledger_is_followed_from_its_registration() {
    let mut chain = Chain::new();
    let key = wire::MemberKey {
        public_key: secret("a newer agent").public().to_sec1().to_vec(),
        role: wire::KeyRole::Agent.into(),
    };
    let added = chain.apply("js-bank/admin", A::AddKey(wire::AddKey { key: Some(key) }));
    let grant = chain.grant(|_| {});
    let order = chain.apply("a newer agent", A::PlaceOrder(order(&grant)));
    let findings = chain.findings(&order);
    let step = findings.steps.iter().find(|step| step.id == order).unwrap();
    assert_eq!(step.signer.org().unwrap().as_str(), "js-bank");

    // Without that registration the signature is the quorum's word, and is said to be.
    chain.ids.retain(|id| *id != added);
    let findings = chain.findings(&order);
    let step = findings.steps.iter().find(|step| step.id == order).unwrap();
    assert!(!step.signer.is_known());
    let signed = &findings.claims[1];
    assert_eq!(signed.standing, Standing::NotShown(Gap::KeysAbsent(1)));
}

#[test]
fn a_member_that_a_vote_admitted_is_followed_from_the_block_that_did_it() {
    let mut chain = Chain::new();
    let admit = |org: &str| {
        let mut bureau = member("nj-bureau", MemberKind::Bureau, "32", None);
        bureau.org = org.parse().unwrap();
        propose(vec![Kind::AdmitMember((&bureau).into())])
    };
    // Anybody can propose anything: the same keys for another, which comes to nothing.
    chain.apply("js-bureau/admin", admit("another-bureau"));
    let proposal = chain.apply("pboc/admin", admit("nj-bureau"));
    for org in ["sh-bureau", "js-bureau", "zj-bureau"] {
        chain.apply(&format!("{org}/admin"), vote(&proposal, true));
    }
    let mut terms = terms();
    terms.max_uses = 1;
    let witnessed = chain.apply("nj-bureau/admin", grant(terms));
    let order = chain.order(&witnessed);
    let findings = chain.findings(&order);
    let step = findings.steps.iter().find(|step| step.id == witnessed);
    assert_eq!(step.unwrap().signer.org().unwrap().as_str(), "nj-bureau");
    assert_eq!(findings.name(&"nj-bureau".parse().unwrap()), "NJ-BUREAU");

    // Without the block that carried it out, or without the proposal, nobody knows the key.
    let known = |chain: &Chain| {
        let findings = chain.findings(&order);
        let step = findings.steps.iter().find(|step| step.id == witnessed);
        step.unwrap().signer.is_known()
    };
    let blocks = std::mem::take(&mut chain.blocks);
    assert!(!known(&chain));
    chain.blocks = blocks;
    chain.ids.retain(|id| *id != proposal);
    assert!(!known(&chain));
}
