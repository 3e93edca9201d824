//! Consent: who may give it, its life, its uses.

use xinqiao_contracts::{next_deadline, query, record::Granted, testing::*};
use xinqiao_ledger::{
    genesis::Parameters,
    ids::{GrantId, TxId},
    wire::{self, tx_body::Action},
};

use crate::check::{
    Row, answer, at_work, cancel, check, decline, deliver, done, granted, ordered_on, pause, place,
    placed, reject, request, resume, revoke, row, tell,
};

fn narrowed(change: fn(&mut wire::ConsentTerms)) -> wire::ConsentTerms {
    let mut terms = terms();
    change(&mut terms);
    terms
}

fn bind(number: u64, name: &str) -> Action {
    bind_subject_key(number, secret(name).public())
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a bureau binds a subject's key",
        |c| c.run("zj-bureau/admin", bind(2, "subject-2")),
        &["subject key bound"],
    ),
    row(
        "a bank binds none",
        |c| c.run("js-bank/admin", bind(2, "subject-2")),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a key speaks for one subject",
        |c| c.run("zj-bureau/admin", bind(2, "subject-1")),
        &["rejected SUBJECT_KEY_EXISTS"],
    ),
    row(
        "a member's key speaks for no subject",
        |c| c.run("zj-bureau/admin", bind(2, "js-bank/agent")),
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a subject's new key takes the old one's place",
        |c| {
            done(c, "zj-bureau/admin", bind(1, "subject-1-new"));
            c.run("subject-1", grant(terms()))
        },
        &["rejected SIGNER_UNKNOWN"],
    ),
    row(
        "a subject grants with its own key",
        |c| c.run("subject-1", grant(terms())),
        &["consent ACTIVE"],
    ),
    row(
        "a bureau witnesses",
        |c| c.run("zj-bureau/admin", grant(terms())),
        &["consent ACTIVE"],
    ),
    row(
        "a subject does not grant for another",
        |c| {
            c.run(
                "subject-1",
                grant(narrowed(|it| it.subject = subject(2).to_vec())),
            )
        },
        &["rejected CONSENT_SIGNER"],
    ),
    row(
        "the bank does not grant to itself",
        |c| c.run("js-bank/admin", grant(terms())),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a bureau's gateway key witnesses nothing",
        |c| c.run("zj-bureau/gateway", grant(terms())),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a subject does nothing but speak for itself",
        |c| c.run("subject-1", open_user(2)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a subject does not revoke another's grant",
        |c| {
            done(c, "sh-bureau/admin", bind(2, "subject-2"));
            let id = granted(c, terms());
            c.run("subject-2", revoke(&id))
        },
        &["rejected CONSENT_SIGNER"],
    ),
    row(
        "the subject revokes what a bureau witnessed",
        |c| {
            let id = granted(c, terms());
            c.run("subject-1", revoke(&id))
        },
        &["consent REVOKED"],
    ),
    row(
        "a grant is not declined any more",
        |c| {
            let id = granted(c, terms());
            c.run("subject-1", decline(&id))
        },
        &["rejected CONSENT_STATE_CONFLICT"],
    ),
    row(
        "a grant must be there to be revoked",
        |c| c.run("subject-1", revoke(&TxId(xinqiao_crypto::sm3(b"none")))),
        &["rejected CONSENT_NOT_FOUND"],
    ),
    row(
        "a grant does not live longer than the consortium allows",
        |c| {
            let long = narrowed(|it| it.valid_until_ms = START + 1_101 * DAY);
            c.run("subject-1", grant(long))
        },
        &["rejected CONSENT_VALIDITY valid_until_ms"],
    ),
    row(
        "a grant's time is not over before it begins",
        |c| {
            let over = narrowed(|it| {
                it.valid_from_ms = START - 2 * DAY;
                it.valid_until_ms = START - DAY;
            });
            c.run("subject-1", grant(over))
        },
        &["rejected CONSENT_VALIDITY valid_until_ms"],
    ),
    row(
        "a grantee is a member",
        |c| {
            c.run(
                "subject-1",
                grant(narrowed(|it| it.grantee = "nobody".into())),
            )
        },
        &["rejected MEMBER_UNKNOWN nobody"],
    ),
    row(
        "purposes are of the catalogue",
        |c| {
            c.run(
                "subject-1",
                grant(narrowed(|it| it.purposes = texts(&["spying"]))),
            )
        },
        &["rejected PURPOSE_UNKNOWN spying"],
    ),
    row(
        "items are of the catalogue",
        |c| {
            c.run(
                "subject-1",
                grant(narrowed(|it| it.items = texts(&["weather"]))),
            )
        },
        &["rejected ITEM_UNKNOWN weather"],
    ),
    row(
        "sources named are there",
        |c| {
            c.run(
                "subject-1",
                grant(narrowed(|it| it.sources = texts(&["nothing"]))),
            )
        },
        &["rejected SOURCE_UNKNOWN nothing"],
    ),
    row(
        "an institution asks for consent",
        |c| c.run("js-bank/agent", request(terms(), START + DAY)),
        &["consent REQUESTED"],
    ),
    row(
        "its admin may ask, too",
        |c| c.run("js-bank/admin", request(terms(), START + DAY)),
        &["consent REQUESTED"],
    ),
    row(
        "nobody asks for another institution",
        |c| c.run("zj-bank/agent", request(terms(), START + DAY)),
        &["rejected CONSENT_WRONG_GRANTEE js-bank"],
    ),
    row(
        "a bureau asks for nothing",
        |c| c.run("js-bureau/admin", request(terms(), START + DAY)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a request does not lapse before it is made",
        |c| c.run("js-bank/agent", request(terms(), START)),
        &["rejected CONSENT_VALIDITY lapses_at_ms"],
    ),
    row(
        "a request does not wait for ever",
        |c| c.run("js-bank/agent", request(terms(), START + 2_000 * DAY)),
        &["rejected CONSENT_VALIDITY lapses_at_ms"],
    ),
    row(
        "a request is granted as it was made, or not at all",
        |c| {
            let id = done(c, "js-bank/agent", request(terms(), START + DAY));
            c.run("subject-1", answer(&id, narrowed(|it| it.max_uses = 4)))
        },
        &["rejected CONSENT_TERMS_DIFFER"],
    ),
    row(
        "a request must be there to be granted",
        |c| {
            c.run(
                "subject-1",
                answer(&TxId(xinqiao_crypto::sm3(b"none")), terms()),
            )
        },
        &["rejected CONSENT_NOT_FOUND"],
    ),
    row(
        "a request is declined by whom it was made to",
        |c| {
            let id = done(c, "js-bank/agent", request(terms(), START + DAY));
            c.run("js-bank/admin", decline(&id))
        },
        &["rejected ROLE_DENIED"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

/// State by action; `-` is CONSENT_STATE_CONFLICT, a code is the refusal of an order.
const LIFE: &str = "
    state      grant   decline   pause   resume  revoke   order
    requested  ACTIVE  DECLINED  -       -       -        CONSENT_NOT_GRANTED
    active     -       -         PAUSED  -       REVOKED  placed
    paused     -       -         -       ACTIVE  REVOKED  CONSENT_PAUSED
    revoked    -       -         -       -       -        CONSENT_REVOKED
    expired    -       -         -       -       -        CONSENT_EXPIRED
    exhausted  -       -         -       -       REVOKED  CONSENT_EXHAUSTED
    declined   -       -         -       -       -        CONSENT_NOT_GRANTED
    lapsed     -       -         -       -       -        CONSENT_NOT_GRANTED
";

/// A consent in a state, and its terms.
fn consent_in(chain: &mut Consortium, state: &str) -> (TxId, wire::ConsentTerms) {
    let mut terms = terms();
    let lapses_at = START + DAY;
    match state {
        "requested" | "declined" | "lapsed" => {
            let id = done(chain, "js-bank/agent", request(terms.clone(), lapses_at));
            match state {
                "declined" => drop(done(chain, "subject-1", decline(&id))),
                "lapsed" => {
                    let executed = chain.block_at(lapses_at, vec![]);
                    assert_eq!(tell(&executed.outcomes[0]), ["consent LAPSED"]);
                }
                _ => {}
            }
            return (id, terms);
        }
        "exhausted" => {
            terms.max_uses = 1;
            let (grant, order) = ordered_on(chain, terms.clone());
            done(chain, "sh-bureau/holder", deliver(&order, 0));
            return (grant, terms);
        }
        _ => {}
    }
    let id = granted(chain, terms.clone());
    match state {
        "paused" => drop(done(chain, "subject-1", pause(&id))),
        "revoked" => drop(done(chain, "subject-1", revoke(&id))),
        "expired" => {
            let executed = chain.block_at(terms.valid_until_ms, vec![]);
            assert_eq!(tell(&executed.outcomes[0]), ["consent EXPIRED"]);
        }
        _ => {}
    }
    (id, terms)
}

#[test]
fn a_consent_moves_between_its_states_and_no_others() {
    let mut lines = LIFE.trim().lines().map(str::split_whitespace);
    let actions: Vec<&str> = lines.next().unwrap().skip(1).collect();
    for mut line in lines {
        let state = line.next().unwrap();
        for (action, wants) in actions.iter().zip(line) {
            let mut chain = at_work();
            let (id, mut terms) = consent_in(&mut chain, state);
            // A grant that answers must have a time of its own left.
            if state == "expired" {
                terms.valid_until_ms += DAY;
            }
            let (by, act) = match *action {
                "grant" => ("subject-1", answer(&id, terms)),
                "decline" => ("subject-1", decline(&id)),
                "pause" => ("subject-1", pause(&id)),
                "resume" => ("subject-1", resume(&id)),
                "revoke" => ("subject-1", revoke(&id)),
                _ => ("js-bank/agent", place(order(&id))),
            };
            let told = tell(&chain.run(by, act)).join("; ");
            let wants = match wants {
                "-" => "rejected CONSENT_STATE_CONFLICT".to_owned(),
                "placed" => "order sh-tax:invoices,tax zj-power:power missing ".to_owned(),
                code if code.starts_with("CONSENT_") => format!("refused {code}"),
                state => format!("consent {state}"),
            };
            assert_eq!(told, wants, "{state}: {action}");
        }
    }
}

#[test]
fn time_ends_requests_and_grants_and_nothing_else() {
    for (state, wants) in [
        ("requested", &["consent LAPSED"][..]),
        ("active", &["consent EXPIRED"]),
        ("paused", &["consent EXPIRED"]),
        ("revoked", &[]),
        ("declined", &[]),
        ("lapsed", &[]),
        ("expired", &[]),
    ] {
        let mut chain = at_work();
        consent_in(&mut chain, state);
        let executed = chain.block_at(START + 200 * DAY, vec![]);
        assert_eq!(tell(&executed.outcomes[0]), wants, "{state}");
        assert_eq!(
            next_deadline(&chain.state, 0..=u64::MAX).unwrap(),
            None,
            "{state}"
        );
    }
    // The open part of the exhausted grant's order expires, the grant stays as it is.
    let mut chain = at_work();
    consent_in(&mut chain, "exhausted");
    let executed = chain.block_at(START + 200 * DAY, vec![]);
    assert_eq!(tell(&executed.outcomes[0]), ["part 1 EXPIRED"]);
    assert_eq!(next_deadline(&chain.state, 0..=u64::MAX).unwrap(), None);
}

#[test]
fn what_is_due_and_cannot_fire_yet_is_over_all_the_same() {
    let limits = Parameters {
        max_deadlines_per_block: 1,
        ..Parameters::default()
    };
    let mut chain = Consortium::with(limits).set_to_work();
    let first = granted(&mut chain, terms());
    let second = granted(&mut chain, terms());
    let asked = done(
        &mut chain,
        "js-bank/agent",
        request(terms(), START + 100 * DAY),
    );
    let over = START + 100 * DAY;
    assert_eq!(
        next_deadline(&chain.state, 0..=u64::MAX).unwrap(),
        Some(over)
    );

    let mut longer = terms();
    longer.valid_until_ms += DAY;
    let orders = [first, second].map(|id| chain.sign("js-bank/agent", place(order(&id))));
    let pause = chain.sign("subject-1", pause(&second));
    let revoke = chain.sign("subject-1", revoke(&second));
    let decline = chain.sign("subject-1", decline(&asked));
    let [one, two] = orders;
    let executed = chain.block_at(over, vec![one, two, pause, revoke, decline]);
    let told: Vec<_> = executed.outcomes.iter().map(tell).collect();
    assert_eq!(
        told[0],
        ["consent LAPSED"],
        "requests come first at the same time"
    );
    assert_eq!(told[1], ["refused CONSENT_EXPIRED"]);
    assert_eq!(told[2], ["refused CONSENT_EXPIRED"]);
    for rejected in &told[3..] {
        assert_eq!(rejected, &["rejected CONSENT_STATE_CONFLICT"]);
    }
    for _ in 0..2 {
        assert_eq!(
            next_deadline(&chain.state, 0..=u64::MAX).unwrap(),
            Some(over)
        );
        assert_eq!(tell(&chain.block(vec![]).outcomes[0]), ["consent EXPIRED"]);
    }
    assert_eq!(next_deadline(&chain.state, 0..=u64::MAX).unwrap(), None);
}

#[track_caller]
fn assert_uses(chain: &Consortium, grant: &TxId, spent: u32, reserved: u32) {
    let record = query::grant(&chain.state, &GrantId(grant.0))
        .unwrap()
        .unwrap();
    let Granted {
        spent: s,
        reserved: r,
        ..
    } = record.granted().unwrap();
    assert_eq!((*s, *r), (spent, reserved), "spent, reserved");
}

#[test]
fn a_use_is_reserved_spent_with_the_first_delivery_and_given_back_without_one() {
    let mut chain = at_work();
    let id = granted(&mut chain, terms());
    let one = placed(&mut chain, order(&id));
    assert_uses(&chain, &id, 0, 1);
    done(&mut chain, "sh-bureau/holder", deliver(&one, 0));
    assert_uses(&chain, &id, 1, 0);
    done(&mut chain, "zj-bureau/holder", deliver(&one, 1));
    assert_uses(&chain, &id, 1, 0);

    let two = placed(&mut chain, order(&id));
    done(&mut chain, "sh-bureau/holder", reject(&two, 0));
    assert_uses(&chain, &id, 1, 1);
    done(&mut chain, "zj-bureau/holder", reject(&two, 1));
    assert_uses(&chain, &id, 1, 0);

    let three = placed(&mut chain, order(&id));
    done(&mut chain, "js-bank/agent", cancel(&three));
    assert_uses(&chain, &id, 1, 0);

    placed(&mut chain, order(&id));
    let _ = chain.block_at(chain.time + 3_600_000, vec![]);
    assert_uses(&chain, &id, 1, 0);

    // One part rejected, the other delivered: that is a use.
    let five = placed(&mut chain, order(&id));
    done(&mut chain, "sh-bureau/holder", reject(&five, 0));
    done(&mut chain, "zj-bureau/holder", deliver(&five, 1));
    assert_uses(&chain, &id, 2, 0);

    // The last use is reserved: no more orders; given back: one more.
    let six = placed(&mut chain, order(&id));
    let outcome = chain.run("js-bank/agent", place(order(&id)));
    assert_eq!(tell(&outcome), ["refused CONSENT_EXHAUSTED"]);
    done(&mut chain, "js-bank/agent", cancel(&six));
    let seven = placed(&mut chain, order(&id));
    let outcome = chain.run("sh-bureau/holder", deliver(&seven, 0));
    assert_eq!(tell(&outcome), ["part 0 DELIVERED", "consent EXHAUSTED"]);
    assert_uses(&chain, &id, 3, 0);
    // The other part of the last order may still be delivered.
    let outcome = chain.run("zj-bureau/holder", deliver(&seven, 1));
    assert_eq!(tell(&outcome), ["part 1 DELIVERED"]);
}

#[test]
fn revoking_an_exhausted_grant_stops_what_was_not_delivered() {
    let mut chain = at_work();
    let mut once = terms();
    once.max_uses = 1;
    let (grant, order) = ordered_on(&mut chain, once);
    done(&mut chain, "sh-bureau/holder", deliver(&order, 0));
    done(&mut chain, "subject-1", revoke(&grant));
    let outcome = chain.run("zj-bureau/holder", deliver(&order, 1));
    assert_eq!(tell(&outcome), ["part 1 CONSENT_REVOKED CONSENT_REVOKED"]);
}

#[test]
fn a_frequency_bound_counts_within_its_periods() {
    let mut chain = at_work();
    let mut daily = terms();
    (daily.max_uses_per_period, daily.period_seconds) = (1, 86_400);
    let id = granted(&mut chain, daily);
    let one = placed(&mut chain, order(&id));
    let outcome = chain.run("js-bank/agent", place(order(&id)));
    assert_eq!(tell(&outcome), ["refused CONSENT_TOO_FREQUENT"]);
    // Given back, it may be used again in the same period.
    done(&mut chain, "js-bank/agent", cancel(&one));
    let two = placed(&mut chain, order(&id));
    done(&mut chain, "sh-bureau/holder", deliver(&two, 0));
    done(&mut chain, "zj-bureau/holder", deliver(&two, 1));

    // The next period has room; a use of it is not given back by an order of the one before.
    let last_moment = START + DAY - 1;
    let (_, outcome) = chain.run_at(last_moment, "js-bank/agent", place(order(&id)));
    assert_eq!(tell(&outcome), ["refused CONSENT_TOO_FREQUENT"]);
    let (_, outcome) = chain.run_at(last_moment + 1, "js-bank/agent", place(order(&id)));
    assert!(tell(&outcome)[0].starts_with("order "), "{outcome:?}");
}

#[test]
fn a_late_order_gives_back_to_its_own_period() {
    let mut chain = at_work();
    let mut daily = terms();
    (daily.max_uses_per_period, daily.period_seconds) = (1, 86_400);
    let id = granted(&mut chain, daily);
    let mut late = order(&id);
    late.deadline_ms = 86_400_000;
    let (old, outcome) = chain.run_at(START + DAY - 1, "js-bank/agent", place(late));
    assert!(tell(&outcome)[0].starts_with("order "), "{outcome:?}");
    placed(&mut chain, order(&id));
    done(&mut chain, "js-bank/agent", cancel(&old));
    let outcome = chain.run("js-bank/agent", place(order(&id)));
    assert_eq!(tell(&outcome), ["refused CONSENT_TOO_FREQUENT"]);
}

#[test]
fn a_subject_sees_its_consents_oldest_first_with_their_history() {
    let mut chain = at_work();
    let asked = done(&mut chain, "js-bank/agent", request(terms(), START + DAY));
    let direct = done(&mut chain, "subject-1", grant(terms()));
    let answered = done(&mut chain, "zj-bureau/admin", answer(&asked, terms()));
    let all = query::grants_of(&chain.state, &subject(1)).unwrap();
    let ids: Vec<_> = all.iter().map(|it| it.grant.0).collect();
    assert_eq!(ids, [asked.0, direct.0]);
    let wire: Vec<_> = all.iter().map(wire::GrantState::from).collect();
    assert_eq!(wire[0].witness, "zj-bureau");
    assert_eq!(wire[1].witness, "");
    assert_eq!(wire[0].changed_at_height, chain.height);
    assert_eq!(wire[0].terms, Some(terms()));
    let history = query::grant_history(&chain.state, &GrantId(asked.0), 10).unwrap();
    let txs: Vec<_> = history.iter().map(|entry| entry.tx).collect();
    assert_eq!(txs, [Some(asked), Some(answered)]);
    assert_eq!(query::grants_of(&chain.state, &subject(2)).unwrap(), []);
    let bound = query::subject_key(&chain.state, &subject(1)).unwrap();
    assert_eq!(bound, Some(*secret("subject-1").public()));
}
