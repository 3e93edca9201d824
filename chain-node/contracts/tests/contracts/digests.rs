//! Report digests: rows for registering, superseding and withdrawing them.

use xinqiao_contracts::{query, testing::*};
use xinqiao_ledger::wire::{self, tx_body::Action};

use crate::check::{Row, at_work, check, done, freeze, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "a later report supersedes, a new subject is registered",
        |c| {
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[2, 3], 20_001),
            )
        },
        &["digests sh-tax +1 ~1 -0"],
    ),
    row(
        "a report as of the same day supersedes",
        |c| {
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1], 20_000),
            )
        },
        &["digests sh-tax +0 ~1 -0"],
    ),
    row(
        "no report goes back in time, and the whole batch falls with it",
        |c| {
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1, 3], 19_999),
            )
        },
        &["rejected DIGEST_OLDER"],
    ),
    row(
        "items must have been declared",
        |c| {
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["power"], &[1], 20_001),
            )
        },
        &["rejected ITEM_NOT_DECLARED power"],
    ),
    row(
        "the source must be there",
        |c| {
            c.run(
                "sh-bureau/holder",
                register_digests("nothing", &["tax"], &[1], 20_001),
            )
        },
        &["rejected SOURCE_UNKNOWN nothing"],
    ),
    row(
        "the source must be the signer's",
        |c| {
            c.run(
                "zj-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1], 20_001),
            )
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "an admin key registers no digests",
        |c| {
            c.run(
                "sh-bureau/admin",
                register_digests("sh-tax", &["tax"], &[1], 20_001),
            )
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a frozen operator registers none",
        |c| {
            done(c, "pboc/admin", freeze("sh-bureau"));
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1], 20_001),
            )
        },
        &["rejected MEMBER_FROZEN sh-bureau"],
    ),
    row(
        "digests are withdrawn",
        |c| c.run("sh-bureau/holder", withdraw_digests("sh-tax", &[1, 2])),
        &["digests sh-tax +0 ~0 -2"],
    ),
    row(
        "what is not there is not withdrawn, nor what is withdrawn with it",
        |c| c.run("sh-bureau/holder", withdraw_digests("sh-tax", &[1, 9])),
        &["rejected DIGEST_NOT_FOUND"],
    ),
    row(
        "what was withdrawn is not there",
        |c| {
            done(c, "sh-bureau/holder", withdraw_digests("sh-tax", &[1]));
            c.run("sh-bureau/holder", withdraw_digests("sh-tax", &[1]))
        },
        &["rejected DIGEST_NOT_FOUND"],
    ),
    row(
        "a withdrawn subject comes back, even with an older report",
        |c| {
            done(c, "sh-bureau/holder", withdraw_digests("sh-tax", &[1]));
            c.run(
                "sh-bureau/holder",
                register_digests("sh-tax", &["tax"], &[1], 19_000),
            )
        },
        &["digests sh-tax +1 ~0 -0"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn a_digest_says_what_was_registered_where_and_how_often() {
    let mut chain = at_work();
    let source = "sh-tax".parse().unwrap();
    let first = query::digest(&chain.state, &subject(1), &source)
        .unwrap()
        .unwrap();
    assert_eq!(first.record.version, 1);

    // Bit 0 of the batch is the source's second item.
    done(
        &mut chain,
        "sh-bureau/holder",
        register_digests("sh-tax", &["tax"], &[1], 20_001),
    );
    let second = query::digest(&chain.state, &subject(1), &source)
        .unwrap()
        .unwrap();
    let wire = wire::GetDigestResponse::from(&second);
    assert_eq!(wire.items, ["tax"]);
    assert_eq!(wire.root, root("sh-tax", 1, 20_001).as_bytes());
    assert_eq!((wire.version, wire.as_of_day), (2, 20_001));
    assert_eq!(wire.registered_at_height, chain.height);
    assert_eq!(second.record.tx_index, 0);

    done(
        &mut chain,
        "sh-bureau/holder",
        withdraw_digests("sh-tax", &[1]),
    );
    assert_eq!(
        query::digest(&chain.state, &subject(1), &source).unwrap(),
        None
    );
    assert_eq!(
        query::source(&chain.state, &source)
            .unwrap()
            .unwrap()
            .subjects,
        1
    );
    done(
        &mut chain,
        "sh-bureau/holder",
        register_digests("sh-tax", &["tax"], &[1], 20_001),
    );
    let third = query::digest(&chain.state, &subject(1), &source)
        .unwrap()
        .unwrap();
    assert_eq!(third.record.version, 3);
    assert_eq!(
        query::source(&chain.state, &source)
            .unwrap()
            .unwrap()
            .subjects,
        2
    );
}

#[test]
fn a_digest_takes_98_bytes_a_subject_with_its_key() {
    let chain = at_work();
    let sizes: Vec<usize> = (chain.state.iter())
        .filter(|(key, _)| key[0] == 0x10)
        .map(|(key, value)| key.len() + value.len())
        .collect();
    assert_eq!(sizes, [98; 3]);
}

#[test]
fn a_batch_of_two_thousand_is_one_transaction() {
    let mut chain = at_work();
    let subjects: Vec<u64> = (100..2_100).collect();
    let batch = register_digests("sh-tax", &["invoices", "tax"], &subjects, 20_000);
    assert!(matches!(&batch, Action::RegisterDigests(it) if it.entries.len() == 2_000));
    done(&mut chain, "sh-bureau/holder", batch);
    let digests = chain.writes.keys().filter(|key| key[0] == 0x10).count();
    assert_eq!(digests, 2_000);
    // The source, the ordered id, and where the next block looks for deadlines from: nothing else.
    assert_eq!(chain.writes.len(), 2_003);
}
