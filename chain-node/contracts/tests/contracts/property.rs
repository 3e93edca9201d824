//! Whatever is sent, in whatever order: nothing panics, what is rejected changes nothing, and the
//! books balance.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use xinqiao_contracts::{
    query::{self, AccessFilter},
    record::{PartState, UseState},
    table::MARKED,
    testing::*,
};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    ids::TxId,
    outcome::{Event, Outcome},
    tx::Tx,
    wire::{self, tx_body::Action},
};

use crate::{
    check::{
        accept, answer, assert_rejections_untouched, at_work, cancel, close_user, decline, deliver,
        freeze, granted, pause, place, reject, request, resume, retire, revoke, suspend, unfreeze,
        verdict,
    },
    objections,
};

const SIGNERS: &[&str] = &[
    "js-bank/admin",
    "js-bank/agent",
    "js-bureau/admin",
    "js-bureau/gateway",
    "pboc/admin",
    "sh-bureau/admin",
    "sh-bureau/holder",
    "subject-1",
    "zj-bank/agent",
    "zj-bureau/holder",
];

/// What is done, by whom, to which of the things there are, and how long after the last block.
#[derive(Debug, Clone)]
struct Deed {
    what: u8,
    /// Out of range stands for the signer that suits the deed: else few deeds would be done.
    by: u8,
    which: u8,
    part: u32,
    wait: u64,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let wait = prop_oneof![20 => 1u64..10_000, 3 => 1u64..10_000_000, 1 => 1u64..(20 * DAY)];
    // Orders, deliveries and consents come up more often than members' affairs.
    let what = prop_oneof![4 => 0u8..12, 1 => 12u8..27];
    let by = prop_oneof![7 => Just(u8::MAX), 1 => 0u8..10];
    let part = prop_oneof![3 => Just(0u32), 3 => Just(1), 1 => Just(2)];
    let deed = (what, by, any::<u8>(), part, wait).prop_map(|(what, by, which, part, wait)| Deed {
        what,
        by,
        which,
        part,
        wait,
    });
    prop::collection::vec(deed, 1..60)
}

/// Ids of what was granted or requested and of what was ordered so far.
struct Things {
    /// A grant with many uses.
    standing: TxId,
    grants: Vec<TxId>,
    orders: Vec<TxId>,
    proposals: Vec<TxId>,
    objections: Vec<TxId>,
}

impl Things {
    fn new(chain: &mut Consortium) -> Self {
        let mut many = terms();
        many.max_uses = 1_000;
        let standing = granted(chain, many);
        Self {
            standing,
            grants: vec![standing],
            orders: Vec::new(),
            proposals: Vec::new(),
            objections: Vec::new(),
        }
    }

    /// What the last block brought.
    fn learn(&mut self, chain: &Consortium) {
        for outcome in &chain.outcomes {
            let Outcome::Applied(events) = outcome else {
                continue;
            };
            for event in events {
                match event {
                    Event::OrderPlaced(it) => {
                        self.orders.push(TxId::parse("order", &it.order).unwrap());
                    }
                    Event::ConsentChanged(it) => {
                        let id = TxId::parse("grant", &it.grant).unwrap();
                        self.grants.retain(|grant| *grant != id);
                        self.grants.push(id);
                    }
                    Event::ObjectionChanged(it) => {
                        let id = TxId::parse("objection", &it.objection).unwrap();
                        self.objections.retain(|objection| *objection != id);
                        self.objections.push(id);
                    }
                    Event::ProposalChanged(it) => {
                        let id = TxId::parse("proposal", &it.proposal).unwrap();
                        self.proposals.retain(|proposal| *proposal != id);
                        self.proposals.push(id);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn some(things: &[TxId], which: u8) -> TxId {
    // Recent ones are likelier to be in a state where something can happen.
    let recent = &things[things.len().saturating_sub(4)..];
    match recent.len() {
        0 => TxId(sm3(b"none")),
        n => recent[usize::from(which) % n],
    }
}

fn action(chain: &Consortium, things: &Things, deed: &Deed) -> (&'static str, Action) {
    let grant_id = some(&things.grants, deed.which);
    let order_id = some(&things.orders, deed.which);
    let holder = match deed.part {
        0 => "sh-bureau/holder",
        _ => "zj-bureau/holder",
    };
    let mut terms = terms();
    terms.valid_from_ms = START + u64::from(deed.which % 8 / 7) * DAY;
    terms.max_uses = 1 + u32::from(deed.which % 5);
    if deed.which & 4 != 0 {
        (terms.max_uses_per_period, terms.period_seconds) = (1, 3_600);
    }
    if deed.which & 8 != 0 {
        terms.sources = texts(&["zj-power"]);
    }
    let agent = "js-bank/agent";
    match deed.what {
        0 => (agent, place(order(&things.standing))),
        1 => (agent, place(order(&grant_id))),
        2 | 3 => (holder, deliver(&order_id, deed.part)),
        4 => (holder, reject(&order_id, deed.part)),
        5 => (agent, cancel(&order_id)),
        6 => ("subject-1", grant(terms)),
        7 => ("subject-1", pause(&grant_id)),
        8 => ("subject-1", resume(&grant_id)),
        9 => (holder, accept(&order_id, deed.part)),
        10 => (
            agent,
            verdict(&order_id, deed.part, wire::Verdict::Confirmed),
        ),
        11 => (
            agent,
            verdict(&order_id, deed.part, wire::Verdict::SealBroken),
        ),
        12 => ("subject-1", revoke(&grant_id)),
        13 => (agent, request(terms, chain.time + 5 * DAY)),
        14 => ("js-bureau/admin", answer(&grant_id, terms)),
        15 => ("subject-1", decline(&grant_id)),
        16 if deed.which < 64 => ("pboc/admin", freeze("js-bank")),
        16 | 17 => ("pboc/admin", unfreeze("js-bank")),
        18 if deed.which < 64 => ("sh-bureau/admin", suspend("sh-tax")),
        18 | 19 => ("sh-bureau/admin", activate_source("sh-tax")),
        20 if deed.which < 8 => ("sh-bureau/admin", retire("sh-tax")),
        20 => (
            "sh-bureau/holder",
            withdraw_digests("sh-tax", &[1 + u64::from(deed.which % 3)]),
        ),
        21 => {
            let subjects = [1, 2 + u64::from(deed.which % 4)];
            let day = 20_000 + u32::from(deed.which % 5);
            (
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &subjects, day),
            )
        }
        22 if deed.which < 4 => {
            let out = wire::change::Kind::ExpelMember("zj-bureau".into());
            ("pboc/admin", propose(vec![out]))
        }
        22 if deed.which < 128 => {
            let by = ["pboc/admin", "sh-bureau/admin", "js-bureau/admin"];
            let proposal = some(&things.proposals, deed.which);
            (by[deed.part as usize], vote(&proposal, deed.which & 3 != 0))
        }
        22 if deed.which < 132 => ("js-bank/admin", close_user(1)),
        22 => ("js-bank/admin", open_user(1 + u64::from(deed.which % 3))),
        24 => ("subject-1", objections::tax()),
        25 => {
            use wire::ObjectionFinding as Finding;
            let findings = [Finding::Corrected, Finding::Upheld, Finding::Unresolved];
            let finding = findings[usize::from(deed.which) % findings.len()];
            let objection = some(&things.objections, deed.which);
            ("sh-bureau/admin", objections::find(&objection, finding))
        }
        26 => {
            let objection = some(&things.objections, deed.which);
            ("subject-1", objections::withdraw(&objection))
        }
        _ => {
            let refusal = wire::RecordRefusal {
                institution: "js-bank".into(),
                user: Vec::new(),
                subject: Vec::new(),
                purpose: String::new(),
                items: Vec::new(),
                grant: Vec::new(),
                reason: "TOKEN_INVALID".into(),
            };
            ("js-bureau/gateway", Action::RecordRefusal(refusal))
        }
    }
}

/// All that must hold of any state.
fn assert_balanced(chain: &Consortium) {
    let state = &chain.state;
    let orders = query::orders_page(state, 0, 10_000).unwrap().entries;
    let mut grants = query::grants_of(state, &subject(1)).unwrap();
    grants.extend(query::grants_of(state, &subject(2)).unwrap());
    for grant in &grants {
        let of_grant = || {
            orders
                .iter()
                .filter(|order| order.placed.grant == grant.grant)
        };
        let count = |of: UseState| of_grant().filter(|it| it.reserved_use == of).count() as u32;
        let Some(granted) = grant.granted() else {
            assert_eq!(of_grant().count(), 0, "an order without a grant");
            continue;
        };
        let (spent, reserved) = (granted.spent, granted.reserved);
        assert!(spent + reserved <= grant.terms.max_uses, "{grant:?}");
        assert_eq!(spent, count(UseState::Spent));
        assert_eq!(reserved, count(UseState::Reserved));
    }
    let mut parts: BTreeMap<String, u64> = BTreeMap::new();
    for order in &orders {
        for part in &order.parts {
            let name = wire::PartStatus::from(&part.state).as_str_name();
            *parts.entry(name.replace("PART_STATUS_", "")).or_default() += 1;
        }
        let delivered = order
            .parts
            .iter()
            .any(|part| part.state.delivery().is_some());
        let wants = match (delivered, order.is_open()) {
            (true, _) => UseState::Spent,
            (false, true) => UseState::Reserved,
            (false, false) => UseState::GivenBack,
        };
        assert_eq!(order.reserved_use, wants);
        // What is open waits for its deadline.
        let placed =
            |state: &PartState| matches!(state, PartState::Placed | PartState::Accepted { .. });
        assert_eq!(
            order.is_open(),
            order.parts.iter().any(|part| placed(&part.state))
        );
    }
    // What stands is marked, and nothing else is.
    let all = query::objections(state, &query::ObjectionFilter::default(), 0, 1_000).unwrap();
    let standing: BTreeSet<_> = (all.entries.iter())
        .filter(|objection| objection.state.is_standing())
        .map(|objection| (objection.place(), objection.objection))
        .collect();
    let marked = MARKED.first(state, 1_000).unwrap();
    assert_eq!(standing, marked.into_iter().map(|(key, ())| key).collect());
    let (open, next) = query::open_orders(state, None, 10_000).unwrap();
    assert_eq!(next, None);
    assert_eq!(
        open.len(),
        orders.iter().filter(|order| order.is_open()).count()
    );
    let summary = query::summary(state).unwrap();
    assert_eq!(summary.parts, parts.into_iter().collect::<Vec<_>>());
    assert_eq!(summary.orders, orders.len() as u64);
    let refused: u64 = summary.refusals.iter().map(|(_, count)| count).sum();
    assert_eq!(summary.attempts, summary.orders + refused);
    let log = query::access_entries(state, &AccessFilter::default(), 0, 10_000).unwrap();
    assert_eq!(summary.attempts, log.entries.len() as u64);
    for source in query::sources(state).unwrap() {
        let id = &source.source.source;
        let digest = |number: u64| query::digest(state, &subject(number), id).unwrap();
        let registered = (1..10).filter_map(digest).count() as u64;
        assert_eq!(source.subjects, registered, "{id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_transactions_unbalances_the_books(deeds in deeds()) {
        let mut chain = at_work();
        let mut things = Things::new(&mut chain);
        let mut block: Vec<Tx> = Vec::new();
        for deed in &deeds {
            let (suits, action) = action(&chain, &things, deed);
            let by = SIGNERS.get(usize::from(deed.by)).copied().unwrap_or(suits);
            let tx = chain.sign(by, action);
            block.push(tx);
            // Some blocks have one transaction, some have several.
            if deed.which % 4 != 0 {
                let _ = chain.block_at(chain.time + deed.wait, std::mem::take(&mut block));
                things.learn(&chain);
                assert_rejections_untouched(&chain, "a random block");
                assert_balanced(&chain);
            }
        }
        // In the end all deadlines pass, and nothing is left open.
        let _ = chain.block_at(chain.time + 2_000 * DAY, block);
        assert_balanced(&chain);
        let _ = chain.block_at(chain.time + 2_000 * DAY, vec![]);
        prop_assert!(query::open_orders(&chain.state, None, 10).unwrap().0.is_empty());
        prop_assert_eq!(xinqiao_contracts::next_deadline(&chain.state, 0..=u64::MAX).unwrap(), None);
    }
}

#[test]
fn random_deeds_reach_the_states_that_matter() {
    // The property above is worth little if its sequences never get anywhere.
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..40 {
        let deeds = deeds().new_tree(&mut runner).unwrap().current();
        let mut chain = at_work();
        let mut things = Things::new(&mut chain);
        for deed in &deeds {
            let (by, action) = action(&chain, &things, deed);
            let tx = chain.sign(by, action);
            let _ = chain.block_at(chain.time + deed.wait, vec![tx]);
            things.learn(&chain);
        }
        for (name, count) in query::summary(&chain.state).unwrap().parts {
            *seen.entry(name).or_default() += count;
        }
    }
    for state in [
        "CONFIRMED",
        "DELIVERED",
        "EXPIRED",
        "REJECTED",
        "CANCELLED",
        "MISMATCHED",
        "CONSENT_REVOKED",
    ] {
        assert!(
            seen.contains_key(state),
            "no part is ever {state}: {seen:?}"
        );
    }
}
