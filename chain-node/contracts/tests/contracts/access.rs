//! The access log: every attempt leaves its record.

use xinqiao_contracts::{
    query::{self, AccessFilter},
    testing::*,
};
use xinqiao_ledger::{
    ids::TxId,
    wire::{self, tx_body::Action},
};

use crate::check::{
    Row, at_work, cancel, check, deliver, done, freeze, granted, ordered, place, placed, reject,
    row,
};

fn refusal(institution: &str) -> Action {
    Action::RecordRefusal(wire::RecordRefusal {
        institution: institution.into(),
        user: user(1).to_vec(),
        subject: subject(1).to_vec(),
        purpose: "credit_review".into(),
        items: texts(&["tax"]),
        grant: Vec::new(),
        reason: "QUOTA_EXCEEDED".into(),
    })
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "the home bureau's gateway records what it refused",
        |c| c.run("js-bureau/gateway", refusal("js-bank")),
        &["refused QUOTA_EXCEEDED"],
    ),
    row(
        "an organisation's own gateway records what it refused",
        |c| c.run("js-bank/gateway", refusal("js-bank")),
        &["refused QUOTA_EXCEEDED"],
    ),
    row(
        "another bureau's gateway records nothing about it",
        |c| c.run("sh-bureau/gateway", refusal("js-bank")),
        &["rejected ROLE_DENIED js-bank"],
    ),
    row(
        "an agent key records no refusals",
        |c| c.run("js-bank/agent", refusal("js-bank")),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "the institution is a member",
        |c| c.run("js-bureau/gateway", refusal("nobody")),
        &["rejected MEMBER_UNKNOWN nobody"],
    ),
    row(
        "what a frozen institution asked is recorded",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            c.run("js-bureau/gateway", refusal("js-bank"))
        },
        &["refused QUOTA_EXCEEDED"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn every_attempt_leaves_a_record_with_its_reason() {
    let mut chain = at_work();
    let (grant, order_id) = ordered(&mut chain);
    let mut wrong = order(&grant);
    wrong.purpose = "spying".into();
    let refused = done(&mut chain, "js-bank/agent", place(wrong));
    let by_gateway = done(&mut chain, "js-bureau/gateway", refusal("js-bank"));
    done(&mut chain, "pboc/admin", freeze("js-bank"));
    let frozen = done(&mut chain, "js-bank/agent", place(order(&grant)));

    let page = query::access_entries(&chain.state, &AccessFilter::default(), 0, 10).unwrap();
    assert_eq!(page.next_before_index, 0);
    let wire: Vec<_> = page.entries.iter().map(wire::AccessEntry::from).collect();
    let told: Vec<_> = wire
        .iter()
        .map(|it| {
            (
                it.index,
                it.refusal.as_str(),
                it.refused_by.as_str(),
                it.tx_id.clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, "MEMBER_FROZEN", "", frozen.to_vec()),
            (2, "QUOTA_EXCEEDED", "js-bureau", by_gateway.to_vec()),
            (1, "PURPOSE_UNKNOWN", "", refused.to_vec()),
            (0, "", "", order_id.to_vec()),
        ]
    );
    let first = &wire[3];
    assert_eq!(first.institution, "js-bank");
    assert_eq!(first.user, user(1).to_vec());
    assert_eq!(first.subject, subject(1).to_vec());
    assert_eq!(first.items, ["invoices", "power", "tax"]);
    assert_eq!(first.grant, grant.to_vec());
    assert_eq!(wire[1].grant, Vec::<u8>::new());
    assert_eq!(query::access_count(&chain.state).unwrap(), 4);
}

#[test]
fn a_rejected_transaction_is_no_attempt() {
    let mut chain = at_work();
    let grant = granted(&mut chain, terms());
    let _ = chain.run("js-bank/admin", place(order(&grant)));
    assert_eq!(query::access_count(&chain.state).unwrap(), 0);
}

/// Entries 0..9: even ones are placed for subject 1; odd ones refused by a gateway, of `zj-bank`
/// where divisible by three.
fn mixed() -> Consortium {
    let mut chain = at_work();
    let mut terms = terms();
    terms.max_uses = 100;
    let grant = granted(&mut chain, terms);
    for index in 0..9 {
        if index % 2 == 0 {
            placed(&mut chain, order(&grant));
        } else if index % 3 == 0 {
            done(&mut chain, "zj-bureau/gateway", refusal("zj-bank"));
        } else {
            done(&mut chain, "js-bureau/gateway", refusal("js-bank"));
        }
    }
    chain
}

#[test]
fn filters_and_pages_give_each_entry_once() {
    let chain = mixed();
    let filter = |institution: Option<&str>, about: Option<u64>, refused_only| AccessFilter {
        institution: institution.map(|org| org.parse().unwrap()),
        subject: about.map(subject),
        refused_only,
    };
    for (filter, wants) in [
        (filter(None, None, false), vec![8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (
            filter(Some("js-bank"), None, false),
            vec![8, 7, 6, 5, 4, 2, 1, 0],
        ),
        (filter(Some("zj-bank"), None, false), vec![3]),
        (filter(Some("pboc"), None, false), vec![]),
        (filter(None, Some(1), true), vec![7, 5, 3, 1]),
        (filter(Some("js-bank"), Some(1), true), vec![7, 5, 1]),
        (filter(None, Some(2), false), vec![]),
        (filter(None, None, true), vec![7, 5, 3, 1]),
    ] {
        for size in [1, 2, 3, 100] {
            let mut found = Vec::new();
            let mut before = 0;
            loop {
                let page = query::access_entries(&chain.state, &filter, before, size).unwrap();
                assert!(page.entries.len() <= size);
                found.extend(page.entries.iter().map(|entry| entry.index));
                before = page.next_before_index;
                if before == 0 {
                    break;
                }
            }
            assert_eq!(found, wants, "{filter:?} by {size}");
        }
    }
}

#[test]
fn orders_are_listed_newest_first_page_by_page() {
    let chain = mixed();
    let mut found: Vec<u64> = Vec::new();
    let mut before = 0;
    loop {
        let page = query::orders_page(&chain.state, before, 2).unwrap();
        found.extend(page.entries.iter().map(|order| order.access_index));
        before = page.next_before_index;
        if before == 0 {
            break;
        }
    }
    assert_eq!(found, [8, 6, 4, 2, 0]);
}

#[test]
fn the_summary_counts_what_there_is() {
    let mut chain = mixed();
    let page = query::orders_page(&chain.state, 0, 10).unwrap();
    let ids: Vec<TxId> = page.entries.iter().map(|it| TxId(it.order.0)).collect();
    done(&mut chain, "sh-bureau/holder", deliver(&ids[0], 0));
    done(&mut chain, "zj-bureau/holder", reject(&ids[0], 1));
    done(&mut chain, "js-bank/agent", cancel(&ids[1]));
    let summary = query::summary(&chain.state).unwrap();
    let count = |counts: &[(&str, u64)]| -> Vec<(String, u64)> {
        counts
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    };
    assert_eq!((summary.attempts, summary.orders), (9, 5));
    assert_eq!(summary.refusals, count(&[("QUOTA_EXCEEDED", 4)]));
    assert_eq!(
        summary.institutions,
        count(&[("js-bank", 8), ("zj-bank", 1)])
    );
    assert_eq!(
        summary.parts,
        count(&[
            ("CANCELLED", 2),
            ("DELIVERED", 1),
            ("PLACED", 6),
            ("REJECTED", 1)
        ])
    );
    let wire = wire::GetSummaryResponse::from(&summary);
    assert_eq!(wire.refusals[0].name, "QUOTA_EXCEEDED");
}
