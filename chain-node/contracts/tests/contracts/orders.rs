//! Orders: what is refused, what is placed, and who may do what to a part.

use xinqiao_contracts::testing::*;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    ids::TxId,
    wire::{self, tx_body::Action},
};

use crate::check::{
    Row, accept, cancel, check, close_user, confirm, deliver, done, freeze, granted, ordered,
    ordered_on, pause, place, reject, request, resume, retire, revoke, row, suspend, unfreeze,
    voted_out,
};

/// Places an order under a fresh grant, each with a change.
fn attempt(
    chain: &mut Consortium,
    by: &str,
    terms_change: fn(&mut wire::ConsentTerms),
    change: fn(&mut wire::PlaceOrder),
) -> xinqiao_ledger::outcome::Outcome {
    let mut terms = terms();
    terms_change(&mut terms);
    let grant = granted(chain, terms);
    let mut order = order(&grant);
    change(&mut order);
    chain.run(by, place(order))
}

const AGENT: &str = "js-bank/agent";
const PLACED: &[&str] = &["order sh-tax:invoices,tax zj-power:power missing "];

fn dispute(order: &TxId) -> Action {
    Action::DisputeOrder(wire::DisputeOrder {
        order: order.to_vec(),
        statement_digest: sm3(b"statement").as_bytes().to_vec(),
    })
}

fn settle(order: &TxId) -> Action {
    Action::SettleDispute(wire::SettleDispute {
        order: order.to_vec(),
        settlement_digest: sm3(b"settlement").as_bytes().to_vec(),
    })
}

/// A delivery of part 0 with a change.
fn changed(order: &TxId, change: fn(&mut wire::DeliverPart)) -> Action {
    let mut it = delivery(order, 0);
    change(&mut it);
    Action::DeliverPart(it)
}

fn nothing() -> TxId {
    TxId(sm3(b"nothing"))
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "an order has a part for each source that holds something",
        |c| attempt(c, AGENT, |_| {}, |_| {}),
        PLACED,
    ),
    row(
        "what no source holds is missing",
        |c| {
            attempt(
                c,
                AGENT,
                |_| {},
                |it| it.items = texts(&["customs", "power"]),
            )
        },
        &["order zj-power:power missing customs"],
    ),
    row(
        "sources outside the grant have no part",
        |c| attempt(c, AGENT, |it| it.sources = texts(&["sh-tax"]), |_| {}),
        &["order sh-tax:invoices,tax missing power"],
    ),
    row(
        "suspended sources have no part",
        |c| {
            done(c, "pboc/admin", suspend("sh-tax"));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["order zj-power:power missing invoices,tax"],
    ),
    row(
        "retired sources have no part",
        |c| {
            done(c, "sh-bureau/admin", retire("sh-tax"));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["order zj-power:power missing invoices,tax"],
    ),
    row(
        "sources of frozen members have no part",
        |c| {
            done(c, "pboc/admin", freeze("sh-bureau"));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["order zj-power:power missing invoices,tax"],
    ),
    row(
        "withdrawn digests have no part",
        |c| {
            done(c, "sh-bureau/holder", withdraw_digests("sh-tax", &[1]));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["order zj-power:power missing invoices,tax"],
    ),
    row(
        "no source at all is a refusal",
        |c| attempt(c, AGENT, |_| {}, |it| it.items = texts(&["customs"])),
        &["refused NO_SOURCE"],
    ),
    row(
        "no source that the grant covers is a refusal",
        |c| {
            attempt(
                c,
                AGENT,
                |it| it.sources = texts(&["zj-power"]),
                |it| it.items = texts(&["tax"]),
            )
        },
        &["refused NO_SOURCE"],
    ),
    row(
        "an unknown user is refused",
        |c| attempt(c, AGENT, |_| {}, |it| it.user = user(9).to_vec()),
        &["refused USER_UNKNOWN"],
    ),
    row(
        "a closed user is refused",
        |c| {
            done(c, "js-bank/admin", close_user(1));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["refused USER_UNKNOWN"],
    ),
    row(
        "an unknown purpose is refused",
        |c| attempt(c, AGENT, |_| {}, |it| it.purpose = "spying".into()),
        &["refused PURPOSE_UNKNOWN spying"],
    ),
    row(
        "an unknown item is refused",
        |c| attempt(c, AGENT, |_| {}, |it| it.items = texts(&["weather"])),
        &["refused ITEM_UNKNOWN weather"],
    ),
    row(
        "no grant is a refusal",
        |c| {
            attempt(
                c,
                AGENT,
                |_| {},
                |it| it.grant = sm3(b"none").as_bytes().to_vec(),
            )
        },
        &["refused CONSENT_NOT_FOUND"],
    ),
    row(
        "a request is no grant",
        |c| {
            let asked = done(c, AGENT, request(terms(), START + DAY));
            c.run(AGENT, place(order(&asked)))
        },
        &["refused CONSENT_NOT_GRANTED"],
    ),
    row(
        "a use that is reserved is not there for another order",
        |c| {
            let mut once = terms();
            once.max_uses = 1;
            let (grant, _) = ordered_on(c, once);
            c.run(AGENT, place(order(&grant)))
        },
        &["refused CONSENT_EXHAUSTED"],
    ),
    row(
        "a grant is not used too often",
        |c| {
            let mut daily = terms();
            (daily.max_uses_per_period, daily.period_seconds) = (1, 86_400);
            let (grant, _) = ordered_on(c, daily);
            c.run(AGENT, place(order(&grant)))
        },
        &["refused CONSENT_TOO_FREQUENT"],
    ),
    row(
        "another institution's grant is refused",
        |c| attempt(c, AGENT, |it| it.grantee = "zj-bank".into(), |_| {}),
        &["refused CONSENT_WRONG_GRANTEE"],
    ),
    row(
        "another branch's grant is refused",
        |c| {
            attempt(
                c,
                AGENT,
                |it| it.branch = "Suzhou".into(),
                |it| it.branch = "Wuxi".into(),
            )
        },
        &["refused CONSENT_WRONG_GRANTEE"],
    ),
    row(
        "the branch that was named may ask",
        |c| {
            attempt(
                c,
                AGENT,
                |it| it.branch = "Suzhou".into(),
                |it| it.branch = "Suzhou".into(),
            )
        },
        PLACED,
    ),
    row(
        "any branch may ask under a grant for all",
        |c| attempt(c, AGENT, |_| {}, |it| it.branch = "Wuxi".into()),
        PLACED,
    ),
    row(
        "another subject's grant is refused",
        |c| attempt(c, AGENT, |it| it.subject = subject(2).to_vec(), |_| {}),
        &["refused CONSENT_SUBJECT_MISMATCH"],
    ),
    row(
        "a grant does not cover what it does not name as purpose",
        |c| attempt(c, AGENT, |it| it.purposes = texts(&["post_loan"]), |_| {}),
        &["refused CONSENT_WRONG_PURPOSE credit_review"],
    ),
    row(
        "a grant does not cover what it does not name as item",
        |c| {
            attempt(
                c,
                AGENT,
                |it| it.items = texts(&["invoices", "tax"]),
                |_| {},
            )
        },
        &["refused CONSENT_ITEM_OUT_OF_SCOPE power"],
    ),
    row(
        "a grant does not work before its time",
        |c| attempt(c, AGENT, |it| it.valid_from_ms = START + DAY, |_| {}),
        &["refused CONSENT_NOT_YET_VALID"],
    ),
    row(
        "reports are sealed to a key of the institution",
        |c| {
            attempt(
                c,
                AGENT,
                |_| {},
                |it| it.recipient = key_id("zj-bank/encryption").as_bytes().to_vec(),
            )
        },
        &["refused RECIPIENT_UNKNOWN"],
    ),
    row(
        "reports are sealed to an encryption key",
        |c| {
            attempt(
                c,
                AGENT,
                |_| {},
                |it| it.recipient = key_id("js-bank/agent").as_bytes().to_vec(),
            )
        },
        &["refused RECIPIENT_UNKNOWN"],
    ),
    row(
        "reports are not sealed to a revoked key",
        |c| {
            let key_id = key_id("js-bank/encryption").as_bytes().to_vec();
            done(
                c,
                "js-bank/admin",
                Action::RevokeKey(wire::RevokeKey { key_id }),
            );
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["refused RECIPIENT_UNKNOWN"],
    ),
    row(
        "a frozen institution's order is refused, and recorded",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["refused MEMBER_FROZEN js-bank"],
    ),
    row(
        "an expelled institution's order is refused, and recorded",
        |c| {
            voted_out(c, "js-bank");
            attempt(c, AGENT, |_| {}, |_| {})
        },
        &["refused MEMBER_EXPELLED js-bank"],
    ),
    row(
        "an admin key orders nothing",
        |c| attempt(c, "js-bank/admin", |_| {}, |_| {}),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a bureau's agent key orders nothing",
        |c| attempt(c, "js-bureau/agent", |_| {}, |_| {}),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "another source's holder does not accept",
        |c| {
            let (_, order) = ordered(c);
            c.run("zj-bureau/holder", accept(&order, 0))
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "another source's holder does not deliver",
        |c| {
            let (_, order) = ordered(c);
            c.run("zj-bureau/holder", deliver(&order, 0))
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "an admin key does not deliver",
        |c| {
            let (_, order) = ordered(c);
            c.run("sh-bureau/admin", deliver(&order, 0))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "an order must be there",
        |c| c.run("sh-bureau/holder", deliver(&nothing(), 0)),
        &["rejected ORDER_NOT_FOUND"],
    ),
    row(
        "a part must be there",
        |c| {
            let (_, order) = ordered(c);
            c.run("sh-bureau/holder", deliver(&order, 2))
        },
        &["rejected PART_NOT_FOUND 2"],
    ),
    row(
        "another root is not what was registered",
        |c| {
            let (_, order) = ordered(c);
            c.run(
                "sh-bureau/holder",
                changed(&order, |it| it.report_root[0] ^= 1),
            )
        },
        &["rejected DELIVERY_MISMATCH report_root"],
    ),
    row(
        "nothing is delivered that was not asked for",
        |c| {
            let (_, order) = ordered(c);
            let more = changed(&order, |it| it.items = texts(&["invoices", "power"]));
            c.run("sh-bureau/holder", more)
        },
        &["rejected DELIVERY_MISMATCH power"],
    ),
    row(
        "less may be delivered",
        |c| {
            let (_, order) = ordered(c);
            c.run(
                "sh-bureau/holder",
                changed(&order, |it| it.items = texts(&["tax"])),
            )
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "the order's root counts, not one that was registered since",
        |c| {
            let (_, order) = ordered(c);
            done(
                c,
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1], 20_001),
            );
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "a suspended source does not deliver",
        |c| {
            let (_, order) = ordered(c);
            done(c, "pboc/admin", suspend("sh-tax"));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["rejected SOURCE_STATE_CONFLICT sh-tax"],
    ),
    row(
        "a suspended source may still reject",
        |c| {
            let (_, order) = ordered(c);
            done(c, "pboc/admin", suspend("sh-tax"));
            c.run("sh-bureau/holder", reject(&order, 0))
        },
        &["part 0 REJECTED SOURCE_UNAVAILABLE"],
    ),
    row(
        "nothing is delivered after a revocation",
        |c| {
            let (grant, order) = ordered(c);
            done(c, "subject-1", revoke(&grant));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 CONSENT_REVOKED CONSENT_REVOKED"],
    ),
    row(
        "a revocation binds the next transaction of the same block",
        |c| {
            let (grant, order) = ordered(c);
            let revoke = c.sign("subject-1", revoke(&grant));
            let late = c.sign("sh-bureau/holder", deliver(&order, 0));
            c.block(vec![revoke, late]).outcomes.remove(2)
        },
        &["part 0 CONSENT_REVOKED CONSENT_REVOKED"],
    ),
    row(
        "nothing is delivered while consent is paused",
        |c| {
            let (grant, order) = ordered(c);
            done(c, "subject-1", pause(&grant));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 CONSENT_REVOKED CONSENT_PAUSED"],
    ),
    row(
        "a pause that is over does not matter",
        |c| {
            let (grant, order) = ordered(c);
            done(c, "subject-1", pause(&grant));
            done(c, "subject-1", resume(&grant));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "nothing is delivered once consent has expired",
        |c| {
            let mut short = terms();
            short.valid_until_ms = START + 60_000;
            let (_, order) = ordered_on(c, short);
            c.run_at(START + 60_000, "sh-bureau/holder", deliver(&order, 0))
                .1
        },
        &["part 0 CONSENT_REVOKED CONSENT_EXPIRED"],
    ),
    row(
        "nothing is delivered to a frozen institution",
        |c| {
            let (_, order) = ordered(c);
            done(c, "pboc/admin", freeze("js-bank"));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 CONSENT_REVOKED MEMBER_FROZEN"],
    ),
    row(
        "nothing is delivered to an expelled institution",
        |c| {
            let (_, order) = ordered(c);
            voted_out(c, "js-bank");
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 CONSENT_REVOKED MEMBER_EXPELLED"],
    ),
    row(
        "a freeze that was lifted does not matter",
        |c| {
            let (_, order) = ordered(c);
            done(c, "pboc/admin", freeze("js-bank"));
            done(c, "pboc/admin", unfreeze("js-bank"));
            c.run("sh-bureau/holder", deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "a part that comes at its deadline is too late",
        |c| {
            let (_, order) = ordered(c);
            let deadline = c.time + 3_600_000;
            c.run_at(deadline, "sh-bureau/holder", deliver(&order, 0)).1
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "another institution confirms nothing",
        |c| {
            let (_, order) = ordered(c);
            done(c, "sh-bureau/holder", deliver(&order, 0));
            c.run("zj-bank/agent", confirm(&order, 0))
        },
        &["rejected ORDER_NOT_OWNED"],
    ),
    row(
        "another institution cancels nothing",
        |c| {
            let (_, order) = ordered(c);
            c.run("zj-bank/agent", cancel(&order))
        },
        &["rejected ORDER_NOT_OWNED"],
    ),
    row(
        "a part must be there to be confirmed",
        |c| {
            let (_, order) = ordered(c);
            c.run(AGENT, confirm(&order, 2))
        },
        &["rejected PART_NOT_FOUND 2"],
    ),
    row(
        "an order is cancelled whole",
        |c| {
            let (_, order) = ordered(c);
            c.run(AGENT, cancel(&order))
        },
        &["part 0 CANCELLED", "part 1 CANCELLED"],
    ),
    row(
        "what is rejected stays so when the rest is cancelled",
        |c| {
            let (_, order) = ordered(c);
            done(c, "sh-bureau/holder", reject(&order, 0));
            c.run(AGENT, cancel(&order))
        },
        &["part 1 CANCELLED"],
    ),
    row(
        "an order of which something was delivered is not cancelled",
        |c| {
            let (_, order) = ordered(c);
            done(c, "sh-bureau/holder", deliver(&order, 0));
            c.run(AGENT, cancel(&order))
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "an institution's admin disputes",
        |c| {
            let (_, order) = ordered(c);
            c.run("js-bank/admin", dispute(&order))
        },
        &["disputed"],
    ),
    row(
        "another institution disputes nothing",
        |c| {
            let (_, order) = ordered(c);
            c.run("zj-bank/admin", dispute(&order))
        },
        &["rejected ORDER_NOT_OWNED"],
    ),
    row(
        "an order is disputed once",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            c.run(AGENT, dispute(&order))
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "the mediation body settles",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            c.run("cn-mediation/admin", settle(&order))
        },
        &["settled"],
    ),
    row(
        "the regulator settles",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            c.run("pboc/admin", settle(&order))
        },
        &["settled"],
    ),
    row(
        "a bureau settles nothing",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            c.run("sh-bureau/admin", settle(&order))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "what is not disputed is not settled",
        |c| {
            let (_, order) = ordered(c);
            c.run("pboc/admin", settle(&order))
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "what was settled is not disputed again",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            done(c, "pboc/admin", settle(&order));
            c.run(AGENT, dispute(&order))
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "what was settled is not settled again",
        |c| {
            let (_, order) = ordered(c);
            done(c, AGENT, dispute(&order));
            done(c, "pboc/admin", settle(&order));
            c.run("pboc/admin", settle(&order))
        },
        &["rejected ORDER_STATE_CONFLICT"],
    ),
    row(
        "no order, no settlement",
        |c| c.run("pboc/admin", settle(&nothing())),
        &["rejected ORDER_NOT_FOUND"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}
