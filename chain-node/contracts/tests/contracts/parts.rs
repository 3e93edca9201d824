//! The life of a part, and an order's deadlines.

use std::{cell::RefCell, collections::BTreeMap};

use xinqiao_contracts::{
    StateFault, StateRead, execute_block, next_deadline, query, state::Pairs, testing::*,
};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    genesis::Parameters,
    ids::{GrantId, OrderId, TimeMs, TxId},
    member::KeyRole,
    order::MAX_PARTS,
    outcome::Outcome,
    wire::{self, tx_body::Action},
};

use crate::check::{
    accept, at_work, cancel, confirm, deliver, done, granted, ordered, ordered_on, place, placed,
    reject, revoke, tell, verdict,
};

const AGENT: &str = "js-bank/agent";

/// State by action, for an order of one part; `-` is ORDER_STATE_CONFLICT, `.` no event.
const LIFE: &str = "
    state            accept    deliver    reject    confirm    mismatch    cancel     time
    placed           ACCEPTED  DELIVERED  REJECTED  -          -           CANCELLED  EXPIRED
    accepted         -         DELIVERED  REJECTED  -          -           CANCELLED  EXPIRED
    delivered        -         -          -         CONFIRMED  MISMATCHED  -          .
    confirmed        -         -          -         -          -           -          .
    mismatched       -         -          -         -          -           -          .
    rejected         -         -          -         -          -           -          .
    expired          -         -          -         -          -           -          .
    cancelled        -         -          -         -          -           -          .
    consent_revoked  -         -          -         -          -           -          .
";

/// An order of one part in a state.
fn part_in(chain: &mut Consortium, state: &str) -> TxId {
    let mut one = terms();
    one.sources = texts(&["sh-tax"]);
    let (grant, order) = ordered_on(chain, one);
    let holder = "sh-bureau/holder";
    let broken = wire::Verdict::ItemMismatch;
    match state {
        "accepted" => drop(done(chain, holder, accept(&order, 0))),
        "delivered" | "confirmed" | "mismatched" => {
            done(chain, holder, deliver(&order, 0));
            match state {
                "confirmed" => drop(done(chain, AGENT, confirm(&order, 0))),
                "mismatched" => drop(done(chain, AGENT, verdict(&order, 0, broken))),
                _ => {}
            }
        }
        "rejected" => drop(done(chain, holder, reject(&order, 0))),
        "expired" => drop(chain.block_at(chain.time + 3_600_000, vec![])),
        "cancelled" => drop(done(chain, AGENT, cancel(&order))),
        "consent_revoked" => {
            done(chain, "subject-1", revoke(&grant));
            done(chain, holder, deliver(&order, 0));
        }
        _ => {}
    }
    let record = query::order(&chain.state, &OrderId(order.0))
        .unwrap()
        .unwrap();
    let now = wire::PartStatus::from(&record.parts[0].state).as_str_name();
    assert_eq!(now, format!("PART_STATUS_{}", state.to_uppercase()));
    order
}

#[test]
fn a_part_moves_between_its_states_and_no_others() {
    let mut lines = LIFE.trim().lines().map(str::split_whitespace);
    let actions: Vec<&str> = lines.next().unwrap().skip(1).collect();
    for mut line in lines {
        let state = line.next().unwrap();
        for (action, wants) in actions.iter().zip(line) {
            let mut chain = at_work();
            let order = part_in(&mut chain, state);
            let holder = "sh-bureau/holder";
            let outcome = match *action {
                "accept" => chain.run(holder, accept(&order, 0)),
                "deliver" => chain.run(holder, deliver(&order, 0)),
                "reject" => chain.run(holder, reject(&order, 0)),
                "confirm" => chain.run(AGENT, confirm(&order, 0)),
                "mismatch" => chain.run(AGENT, verdict(&order, 0, wire::Verdict::ItemMismatch)),
                "cancel" => chain.run(AGENT, cancel(&order)),
                _ => chain
                    .block_at(chain.time + 3_600_000, vec![])
                    .outcomes
                    .remove(0),
            };
            let told = tell(&outcome).join("; ");
            let wants = match wants {
                "-" => "rejected ORDER_STATE_CONFLICT".to_owned(),
                "." => String::new(),
                "REJECTED" => "part 0 REJECTED SOURCE_UNAVAILABLE".to_owned(),
                "MISMATCHED" => "part 0 MISMATCHED ITEM_MISMATCH".to_owned(),
                state => format!("part 0 {state}"),
            };
            assert_eq!(told, wants, "{state}: {action}");
        }
    }
}

#[test]
fn each_verdict_that_is_no_confirmation_has_its_reason() {
    for (found, reason) in [
        (wire::Verdict::CiphertextMismatch, "CIPHERTEXT_MISMATCH"),
        (wire::Verdict::SealBroken, "SEAL_BROKEN"),
        (wire::Verdict::ItemMismatch, "ITEM_MISMATCH"),
    ] {
        let mut chain = at_work();
        let order = part_in(&mut chain, "delivered");
        let told = tell(&chain.run(AGENT, verdict(&order, 0, found)));
        assert_eq!(told, [format!("part 0 MISMATCHED {reason}")]);
    }
}

#[test]
fn an_order_on_the_ledger_says_all_that_happened_to_it() {
    let mut chain = at_work();
    let (grant, id) = ordered(&mut chain);
    let placed_at = chain.time;
    let height = chain.height;
    let delivered = done(&mut chain, "sh-bureau/holder", deliver(&id, 0));
    let confirmed = done(&mut chain, AGENT, confirm(&id, 0));
    let rejected = done(&mut chain, "zj-bureau/holder", reject(&id, 1));
    let record = query::order(&chain.state, &OrderId(id.0)).unwrap().unwrap();
    let wire = wire::OrderState::from(&record);
    assert_eq!(wire.placed, Some(order(&grant)));
    assert_eq!(wire.institution, "js-bank");
    assert_eq!(
        (wire.placed_at_height, wire.placed_at_ms),
        (height, placed_at)
    );
    assert_eq!(wire.deadline_ms, placed_at + 3_600_000);
    let [first, second] = &wire.parts[..] else {
        panic!("two parts")
    };
    assert_eq!(first.status(), wire::PartStatus::Confirmed);
    assert_eq!(first.delivery_tx, delivered.to_vec());
    assert_eq!(first.verdict_tx, confirmed.to_vec());
    assert_eq!(first.delivered_items, ["invoices", "tax"]);
    assert_eq!(first.ciphertext_digest, sm3(b"ciphertext").as_bytes());
    let part = first.part.as_ref().unwrap();
    assert_eq!(part.registered_root, root("sh-tax", 1, 20_000).as_bytes());
    assert_eq!((part.digest_version, part.as_of_day), (1, 20_000));
    assert_eq!(second.status(), wire::PartStatus::Rejected);
    assert_eq!(second.reason, "SOURCE_UNAVAILABLE");
    assert!(second.delivery_tx.is_empty());
    let history = query::order_history(&chain.state, &OrderId(id.0), 10).unwrap();
    let txs: Vec<_> = history.iter().flat_map(|entry| entry.tx).collect();
    assert_eq!(txs, [id, delivered, confirmed, rejected]);
    // Closed, it waits for no deadline any more; the grant's own is left.
    assert_eq!(
        next_deadline(&chain.state, 0..=u64::MAX).unwrap(),
        Some(START + 100 * DAY)
    );
}

#[test]
fn a_deadline_that_could_not_fire_yet_has_passed_all_the_same() {
    let limits = Parameters {
        max_deadlines_per_block: 1,
        ..Parameters::default()
    };
    let mut chain = Consortium::with(limits).set_to_work();
    let grant = granted(&mut chain, terms());
    let orders = [order(&grant), order(&grant)].map(|it| chain.sign(AGENT, place(it)));
    let ids = [orders[0].meta().id, orders[1].meta().id];
    let _ = chain.block(orders.to_vec());
    let deadline = chain.time + 3_600_000;
    let mut late = Vec::new();
    for id in &ids {
        late.push(chain.sign("sh-bureau/holder", accept(id, 0)));
        late.push(chain.sign("sh-bureau/holder", deliver(id, 0)));
        late.push(chain.sign("sh-bureau/holder", reject(id, 0)));
        late.push(chain.sign(AGENT, cancel(id)));
    }
    let executed = chain.block_at(deadline, late);
    assert_eq!(
        tell(&executed.outcomes[0]),
        ["part 0 EXPIRED", "part 1 EXPIRED"]
    );
    for outcome in &executed.outcomes[1..] {
        assert_eq!(tell(outcome), ["rejected ORDER_STATE_CONFLICT"]);
    }
    let executed = chain.block(vec![]);
    assert_eq!(
        tell(&executed.outcomes[0]),
        ["part 0 EXPIRED", "part 1 EXPIRED"]
    );
}

#[test]
fn a_deadline_is_due_from_its_moment_on() {
    let mut chain = at_work();
    ordered(&mut chain);
    let deadline = chain.time + 3_600_000;
    let next = |chain: &Consortium, within| next_deadline(&chain.state, within).unwrap();
    assert_eq!(next(&chain, 0..=u64::MAX), Some(deadline));
    assert_eq!(next(&chain, 0..=deadline - 1), None);
    assert_eq!(next(&chain, 0..=deadline), Some(deadline));
    assert_eq!(next(&chain, deadline..=deadline), Some(deadline));
    let over = START + 100 * DAY;
    assert_eq!(next(&chain, deadline + 1..=u64::MAX), Some(over));
    let _ = chain.block_at(deadline, vec![]);
    assert_eq!(next(&chain, 0..=over - 1), None);
    assert_eq!(next(&chain, 0..=u64::MAX), Some(over));
}

/// A state that notes where it was asked for deadlines.
struct Watched<'a> {
    state: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    deadlines: RefCell<Vec<(TimeMs, TimeMs, usize)>>,
}

impl<'a> Watched<'a> {
    fn new(chain: &'a Consortium) -> Self {
        Self {
            state: &chain.state,
            deadlines: RefCell::default(),
        }
    }
}

impl StateRead for Watched<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        StateRead::get(self.state, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        // The prefix of the table, then the time, big-endian; the end is that of the next.
        if start[0] == 0x30 {
            let time = |key: &[u8]| u64::from_be_bytes(key[1..9].try_into().unwrap());
            let asked = (time(start), time(end) - 1, limit);
            self.deadlines.borrow_mut().push(asked);
        }
        self.state.scan(start, end, limit)
    }

    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        self.state.scan_back(start, end, limit)
    }
}

/// Each block looks for deadlines once, and not where older blocks have looked: what it walks over
/// does not grow with what was done before.
#[test]
fn what_a_block_looks_at_for_deadlines_is_bounded() {
    let mut chain = at_work();
    let limit = chain.genesis.parameters.max_deadlines_per_block as usize;
    let many = wire::ConsentTerms {
        max_uses: 1_000,
        ..terms()
    };
    let grant = granted(&mut chain, many);
    for _ in 0..40 {
        let time = chain.time + 333;
        let watched = Watched::new(&chain);
        let verifier = PlainVerifier::default();
        execute_block(&watched, &chain.next_at(time), vec![], &verifier).unwrap();
        let asked = watched.deadlines.into_inner();
        assert_eq!(asked.len(), 1, "{asked:?}");
        let (from, to, most) = asked[0];
        assert_eq!((to, most), (time, limit));
        assert!(from + 1_000 + 333 >= time, "{from} {time}");

        let short = wire::PlaceOrder {
            deadline_ms: 5_000,
            ..order(&grant)
        };
        let placed = chain.sign(AGENT, place(short));
        let cancelled = chain.sign(AGENT, cancel(&placed.meta().id));
        let _ = chain.block_at(time, vec![placed, cancelled]);
    }
    // And who looks ahead looks no further than asked.
    let watched = Watched::new(&chain);
    let tip = chain.time;
    assert_eq!(next_deadline(&watched, tip..=tip + 1_000), Ok(None));
    let asked = watched.deadlines.into_inner();
    assert_eq!(asked, [(tip, tip + 1_000, 1)]);
}

#[test]
fn open_orders_are_found_again_page_by_page() {
    let mut chain = at_work();
    let grant = granted(&mut chain, terms());
    let orders: Vec<TxId> = (0..3).map(|_| placed(&mut chain, order(&grant))).collect();
    done(&mut chain, AGENT, cancel(&orders[1]));
    let mut found = Vec::new();
    let mut place = None;
    loop {
        let (page, next) = query::open_orders(&chain.state, place, 1).unwrap();
        found.extend(page.into_iter().map(|order| order.order.0));
        match next {
            Some(_) => place = next,
            None => break,
        }
    }
    assert_eq!(found, [orders[0].0, orders[2].0]);
}

#[test]
fn an_order_has_sixty_four_parts_at_most() {
    let mut chain = at_work();
    for number in 0..MAX_PARTS + 2 {
        let source = format!("cz-{number:02}");
        done(
            &mut chain,
            "cz-tax/admin",
            register_source(&source, "cz-tax", &["tax"]),
        );
        done(&mut chain, "cz-tax/admin", activate_source(&source));
        done(
            &mut chain,
            "cz-tax/holder",
            register_digests(&source, &["tax"], &[1], 20_000),
        );
    }
    let (_, id) = ordered(&mut chain);
    let record = query::order(&chain.state, &OrderId(id.0)).unwrap().unwrap();
    let sources: Vec<_> = (record.parts.iter())
        .map(|part| part.part.source.to_string())
        .collect();
    // The first by id; those that did not get in hold what is then missing.
    let wants: Vec<_> = (0..MAX_PARTS)
        .map(|number| format!("cz-{number:02}"))
        .collect();
    assert_eq!(sources, wants);
    let missing: Vec<_> = record
        .missing_items
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(missing, ["invoices", "power"]);
}

#[test]
fn whoever_of_a_source_s_holders_delivers_first_is_on_record_and_no_other() {
    let (first, second) = ("sh-bureau/holder", "sh-bureau/holder-2");
    let work = || {
        let mut chain = at_work();
        let key = wire::MemberKey {
            public_key: secret(second).public().to_sec1().to_vec(),
            role: KeyRole::Holder.to_wire(),
        };
        let add = wire::AddKey { key: Some(key) };
        done(&mut chain, "sh-bureau/admin", Action::AddKey(add));
        chain
    };
    let accepts = |order: &TxId| accept(order, 0);
    let delivers = |order: &TxId| deliver(order, 0);
    let rejects = |order: &TxId| reject(order, 0);
    let delivers_other = |order: &TxId| {
        let mut other = delivery(order, 0);
        other.ciphertext_digest = sm3(b"another node sealed this").as_bytes().to_vec();
        Action::DeliverPart(other)
    };
    /// Who does what, and whose key is on record after it; nobody's if it is rejected as a conflict.
    type Act<'a> = (&'a str, &'a dyn Fn(&TxId) -> Action, Option<&'a str>);
    let table: &[(&str, &[Act<'_>])] = &[
        ("one delivers", &[(second, &delivers, Some(second))]),
        (
            "both deliver",
            &[
                (first, &delivers, Some(first)),
                (second, &delivers_other, None),
            ],
        ),
        (
            "the same again",
            &[(first, &delivers, Some(first)), (first, &delivers, None)],
        ),
        (
            "one takes up, the other delivers",
            &[
                (first, &accepts, Some(first)),
                (second, &accepts, None),
                (second, &delivers, Some(second)),
                (first, &delivers_other, None),
            ],
        ),
        (
            "one refuses, the other is late",
            &[(first, &rejects, Some("")), (second, &delivers, None)],
        ),
        (
            "one delivers, the other's refusal is late",
            &[(first, &delivers, Some(first)), (second, &rejects, None)],
        ),
        (
            "another bureau's holder is none",
            &[
                ("zj-bureau/holder", &delivers, None),
                (first, &delivers, Some(first)),
            ],
        ),
    ];
    for (case, acts) in table {
        let mut chain = work();
        let (grant, id) = ordered(&mut chain);
        let mut on_record = Vec::new();
        let mut spent = 0;
        for (who, what, holder) in *acts {
            let outcome = chain.run(who, what(&id));
            let rejected = matches!(outcome, Outcome::Rejected { .. });
            assert_eq!(rejected, holder.is_none(), "{case}: {who} {outcome:?}");
            if let Some(holder) = holder {
                let key = Some(holder)
                    .filter(|name| !name.is_empty())
                    .map(|name| key_id(name));
                on_record = key.map(|key| key.as_bytes().to_vec()).unwrap_or_default();
            }
            let order = query::order(&chain.state, &OrderId(id.0)).unwrap().unwrap();
            let order = wire::OrderState::from(&order);
            assert_eq!(order.parts[0].holder, on_record, "{case}: {who}");
            assert!(order.parts[1].holder.is_empty(), "{case}: {who}");
            let delivered = order.parts[0].status() == wire::PartStatus::Delivered;
            let grant = query::grant(&chain.state, &GrantId::from(grant))
                .unwrap()
                .unwrap();
            spent = grant.granted().unwrap().spent;
            assert_eq!(spent, u32::from(delivered), "{case}: {who}");
        }
        assert!(spent <= 1, "{case}");
    }
}
