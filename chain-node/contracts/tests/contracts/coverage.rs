//! Every reason is some row's, without exception.

use std::collections::BTreeSet;

use xinqiao_ledger::outcome::Reason;

use crate::{
    access, check::check, consent, digests, envelope, governance, members, misbehaviour,
    objections, orders, sealing, sources,
};

#[test]
fn every_reason_is_some_rows() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let tables = [
        access::ROWS,
        consent::ROWS,
        digests::ROWS,
        envelope::ROWS,
        governance::ROWS,
        members::ROWS,
        misbehaviour::ROWS,
        objections::ROWS,
        orders::ROWS,
        sealing::ROWS,
        sources::ROWS,
    ];
    for row in tables.into_iter().flatten() {
        for words in check(row) {
            seen.extend(words.split(' ').map(str::to_owned));
        }
    }
    let missing: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !seen.contains(reason.code()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}
