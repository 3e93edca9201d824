//! Objections: who may file, resolve and withdraw one, and which deliveries carry its mark.

use xinqiao_contracts::{query, testing::*};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    ids::{ObjectionId, OrderId, TxId},
    objection::RESOLVE_WITHIN_MS,
    outcome::Outcome,
    wire::{self, ObjectionFinding, tx_body::Action},
};

use crate::check::{
    Row, at_work, check, confirm, deliver, done, freeze, ordered, row, suspend, tell,
};

const OPERATOR: &str = "sh-bureau/admin";
const HOLDER: &str = "sh-bureau/holder";

fn against(source: &str, number: u64, items: &[&str]) -> Action {
    Action::FileObjection(wire::FileObjection {
        subject: subject(number).to_vec(),
        source: source.into(),
        items: texts(items),
        statement_digest: sm3(b"statement").as_bytes().to_vec(),
    })
}

/// Subject 1's objection to its tax at `sh-tax`.
pub(crate) fn tax() -> Action {
    against("sh-tax", 1, &["tax"])
}

pub(crate) fn find(objection: &TxId, finding: ObjectionFinding) -> Action {
    Action::ResolveObjection(wire::ResolveObjection {
        objection: objection.to_vec(),
        finding: finding.into(),
        answer_digest: sm3(b"answer").as_bytes().to_vec(),
    })
}

pub(crate) fn withdraw(objection: &TxId) -> Action {
    Action::WithdrawObjection(wire::WithdrawObjection {
        objection: objection.to_vec(),
    })
}

fn filed(chain: &mut Consortium) -> TxId {
    done(chain, "subject-1", tax())
}

/// Registers subject 1 anew at `sh-tax`.
fn anew() -> Action {
    register_digests("sh-tax", &["invoices", "tax"], &[1], 20_001)
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a subject objects with its own key",
        |c| c.run("subject-1", tax()),
        &["objection sh-tax FILED"],
    ),
    row(
        "a bureau files what it received on paper, of a subject without a key too",
        |c| {
            c.run(
                "js-bureau/admin",
                against("sh-tax", 2, &["invoices", "tax"]),
            )
        },
        &["objection sh-tax FILED"],
    ),
    row(
        "nobody objects for another subject",
        |c| c.run("subject-1", against("sh-tax", 2, &["tax"])),
        &["rejected CONSENT_SIGNER"],
    ),
    row(
        "an institution does not object for its customers",
        |c| c.run("js-bank/admin", tax()),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a holder key speaks for no subject",
        |c| c.run(HOLDER, tax()),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a frozen bureau files nothing",
        |c| {
            done(c, "pboc/admin", freeze("js-bureau"));
            c.run("js-bureau/admin", tax())
        },
        &["rejected MEMBER_FROZEN js-bureau"],
    ),
    row(
        "a source must be there to be objected to",
        |c| c.run("subject-1", against("sh-nothing", 1, &["tax"])),
        &["rejected SOURCE_UNKNOWN sh-nothing"],
    ),
    row(
        "a source answers for what it declared",
        |c| c.run("subject-1", against("sh-tax", 1, &["power", "tax"])),
        &["rejected ITEM_NOT_DECLARED power"],
    ),
    row(
        "what is missing can be objected to",
        |c| c.run("subject-1", against("zj-power", 1, &["tax"])),
        &["objection zj-power FILED"],
    ),
    row(
        "where nothing is registered there is nothing to object to",
        |c| c.run("js-bureau/admin", against("sh-tax", 7, &["tax"])),
        &["rejected DIGEST_NOT_FOUND"],
    ),
    row(
        "nor where it was withdrawn",
        |c| {
            done(c, HOLDER, withdraw_digests("sh-tax", &[1]));
            c.run("subject-1", tax())
        },
        &["rejected DIGEST_NOT_FOUND"],
    ),
    row(
        "a suspended source's data can be objected to",
        |c| {
            done(c, OPERATOR, suspend("sh-tax"));
            c.run("subject-1", tax())
        },
        &["objection sh-tax FILED"],
    ),
    row(
        "so many stand at once and no more",
        |c| {
            for _ in 0..16 {
                filed(c);
            }
            c.run("subject-1", tax())
        },
        &["rejected TOO_MANY_OBJECTIONS 16"],
    ),
    row(
        "one that was withdrawn makes room",
        |c| {
            let last = (0..16).map(|_| filed(c)).last().expect("sixteen");
            done(c, "subject-1", withdraw(&last));
            c.run("subject-1", tax())
        },
        &["objection sh-tax FILED"],
    ),
    row(
        "the operator finds the data right",
        |c| {
            let id = filed(c);
            c.run(OPERATOR, find(&id, ObjectionFinding::Upheld))
        },
        &["objection sh-tax UPHELD"],
    ),
    row(
        "nothing was corrected while the registration is the one objected to",
        |c| {
            let id = filed(c);
            c.run(OPERATOR, find(&id, ObjectionFinding::Corrected))
        },
        &["rejected OBJECTION_NOT_CORRECTED"],
    ),
    row(
        "a registration since then corrects",
        |c| {
            let id = filed(c);
            done(c, HOLDER, anew());
            c.run(OPERATOR, find(&id, ObjectionFinding::Corrected))
        },
        &["objection sh-tax CORRECTED"],
    ),
    row(
        "so does a withdrawal",
        |c| {
            let id = filed(c);
            done(c, HOLDER, withdraw_digests("sh-tax", &[1]));
            c.run(OPERATOR, find(&id, ObjectionFinding::Corrected))
        },
        &["objection sh-tax CORRECTED"],
    ),
    row(
        "the same record registered once more corrects nothing",
        |c| {
            let id = filed(c);
            let again = register_digests("sh-tax", &["invoices", "tax"], &[1], 20_000);
            done(c, HOLDER, again);
            c.run(OPERATOR, find(&id, ObjectionFinding::Corrected))
        },
        &["rejected OBJECTION_NOT_CORRECTED"],
    ),
    row(
        "a registration before it was filed does not",
        |c| {
            done(c, HOLDER, anew());
            let id = filed(c);
            c.run(OPERATOR, find(&id, ObjectionFinding::Corrected))
        },
        &["rejected OBJECTION_NOT_CORRECTED"],
    ),
    row(
        "what could not be established may be found out later",
        |c| {
            let id = filed(c);
            done(c, OPERATOR, find(&id, ObjectionFinding::Unresolved));
            c.run(OPERATOR, find(&id, ObjectionFinding::Upheld))
        },
        &["objection sh-tax UPHELD"],
    ),
    row(
        "another bureau does not judge",
        |c| {
            let id = filed(c);
            c.run("zj-bureau/admin", find(&id, ObjectionFinding::Upheld))
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "nor does a data-holding node",
        |c| {
            let id = filed(c);
            c.run(HOLDER, find(&id, ObjectionFinding::Upheld))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "what was resolved is not resolved again",
        |c| {
            let id = filed(c);
            done(c, OPERATOR, find(&id, ObjectionFinding::Upheld));
            c.run(OPERATOR, find(&id, ObjectionFinding::Unresolved))
        },
        &["rejected OBJECTION_STATE_CONFLICT"],
    ),
    row(
        "an objection must be there to be resolved",
        |c| {
            c.run(
                OPERATOR,
                find(&TxId(sm3(b"none")), ObjectionFinding::Upheld),
            )
        },
        &["rejected OBJECTION_NOT_FOUND"],
    ),
    row(
        "a bureau takes an objection back at its subject's wish",
        |c| {
            let id = filed(c);
            c.run("js-bureau/admin", withdraw(&id))
        },
        &["objection sh-tax WITHDRAWN"],
    ),
    row(
        "nobody takes another subject's back",
        |c| {
            let id = done(c, "js-bureau/admin", against("sh-tax", 2, &["tax"]));
            c.run("subject-1", withdraw(&id))
        },
        &["rejected CONSENT_SIGNER"],
    ),
    row(
        "what was resolved is not taken back",
        |c| {
            let id = filed(c);
            done(c, OPERATOR, find(&id, ObjectionFinding::Upheld));
            c.run("subject-1", withdraw(&id))
        },
        &["rejected OBJECTION_STATE_CONFLICT"],
    ),
    row(
        "a delivery carries the mark from the block that files it",
        |c| {
            let (_, order) = ordered(c);
            filed(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED objections tax"],
    ),
    row(
        "each objection is a mark of its own",
        |c| {
            filed(c);
            done(
                c,
                "js-bureau/admin",
                against("sh-tax", 1, &["invoices", "tax"]),
            );
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED objections invoices tax tax"],
    ),
    row(
        "another source's delivery does not carry it",
        |c| {
            filed(c);
            let (_, order) = ordered(c);
            c.run("zj-bureau/holder", deliver(&order, 1))
        },
        &["part 1 DELIVERED"],
    ),
    row(
        "nor does one of other items",
        |c| {
            filed(c);
            let (_, order) = ordered(c);
            let mut few = delivery(&order, 0);
            few.items = texts(&["invoices"]);
            c.run(HOLDER, Action::DeliverPart(few))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "what could not be established stays marked",
        |c| {
            let id = filed(c);
            done(c, OPERATOR, find(&id, ObjectionFinding::Unresolved));
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED objections tax!"],
    ),
    row(
        "the mark is lifted where the data is right",
        |c| {
            let id = filed(c);
            done(c, OPERATOR, find(&id, ObjectionFinding::Upheld));
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "and where the objection was taken back",
        |c| {
            let id = filed(c);
            done(c, "subject-1", withdraw(&id));
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "a verdict does not tell the marks again",
        |c| {
            filed(c);
            let (_, order) = ordered(c);
            done(c, HOLDER, deliver(&order, 0));
            c.run("js-bank/agent", confirm(&order, 0))
        },
        &["part 0 CONFIRMED"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn twenty_days_without_an_answer_are_overdue_and_the_mark_stays() {
    let mut chain = at_work();
    let id = filed(&mut chain);
    let begun = chain.time;
    let fired = |chain: &mut Consortium, at| {
        let executed = chain.block_at(at, vec![]);
        tell(&executed.outcomes[0])
    };
    let early = fired(&mut chain, begun + RESOLVE_WITHIN_MS - 1);
    assert!(
        early.iter().all(|words| !words.starts_with("objection")),
        "{early:?}"
    );
    let late = fired(&mut chain, begun + RESOLVE_WITHIN_MS);
    assert!(
        late.contains(&"objection sh-tax FILED overdue".to_owned()),
        "{late:?}"
    );
    let record = query::objection(&chain.state, &ObjectionId::from(id))
        .unwrap()
        .unwrap();
    assert!(record.overdue);
    // Late is better than never.
    let (_, outcome) = chain.run_at(
        chain.time + 1_000,
        OPERATOR,
        find(&id, ObjectionFinding::Upheld),
    );
    assert_eq!(tell(&outcome), ["objection sh-tax UPHELD overdue"]);
}

#[test]
fn one_that_was_answered_is_never_overdue() {
    let mut chain = at_work();
    let id = filed(&mut chain);
    done(
        &mut chain,
        OPERATOR,
        find(&id, ObjectionFinding::Unresolved),
    );
    let executed = chain.block_at(chain.time + RESOLVE_WITHIN_MS + DAY, vec![]);
    let Outcome::Applied(events) = &executed.outcomes[0] else {
        panic!("{executed:?}");
    };
    let told: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, xinqiao_ledger::outcome::Event::ObjectionChanged(_)))
        .collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn the_ledger_shows_objections_page_by_page_and_the_marks_of_a_delivery() {
    let mut chain = at_work();
    let mine: Vec<TxId> = (0..3).map(|_| filed(&mut chain)).collect();
    let paper = done(
        &mut chain,
        "js-bureau/admin",
        against("sh-tax", 2, &["tax"]),
    );
    done(
        &mut chain,
        OPERATOR,
        find(&mine[1], ObjectionFinding::Upheld),
    );
    let list = |filter: query::ObjectionFilter, before, limit| {
        let page = query::objections(&chain.state, &filter, before, limit).unwrap();
        let ids: Vec<TxId> = (page.entries.iter())
            .map(|one| TxId(one.objection.0))
            .collect();
        (ids, page.next_before_index)
    };
    let all = query::ObjectionFilter::default;
    assert_eq!(list(all(), 0, 3), (vec![paper, mine[2], mine[1]], 1));
    assert_eq!(list(all(), 1, 3), (vec![mine[0]], 0));
    let of_subject = query::ObjectionFilter {
        subject: Some(subject(1)),
        standing: true,
        ..all()
    };
    assert_eq!(list(of_subject, 0, 10), (vec![mine[2], mine[0]], 0));
    let elsewhere = query::ObjectionFilter {
        source: Some("zj-power".parse().unwrap()),
        ..all()
    };
    assert_eq!(list(elsewhere, 0, 10), (vec![], 0));

    let (_, order) = ordered(&mut chain);
    done(&mut chain, HOLDER, deliver(&order, 0));
    let record = query::order(&chain.state, &OrderId(order.0)).unwrap();
    let state = wire::OrderState::from(&record.unwrap());
    let mut marked: Vec<_> = (state.parts[0].objections.iter())
        .map(|mark| (mark.item.as_str(), mark.objection.clone(), mark.unresolved))
        .collect();
    marked.sort();
    let mut wanted = vec![
        ("tax", mine[0].to_vec(), false),
        ("tax", mine[2].to_vec(), false),
    ];
    wanted.sort();
    assert_eq!(marked, wanted);
    assert!(state.parts[1].objections.is_empty());
    let record = query::objection(&chain.state, &ObjectionId::from(paper));
    let shown = wire::Objection::from(&record.unwrap().unwrap());
    assert_eq!(shown.received_by, "js-bureau");
    assert_eq!(shown.due_ms - shown.filed_at_ms, 20 * DAY);
}
