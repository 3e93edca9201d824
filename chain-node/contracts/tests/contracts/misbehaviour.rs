//! Contradictions of validators, put on record.

use xinqiao_contracts::{query, testing::*};
use xinqiao_crypto::{DistinguishingId, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    vote::{Equivocation, Statement, VoteKind},
    wire::{self, change::Kind, tx_body::Action},
};

use crate::check::{Row, at_work, check, done, enacted, row, tell};

fn report(evidence: &Equivocation) -> Action {
    let evidence = Some(evidence.into());
    Action::ReportEquivocation(wire::ReportEquivocation { evidence })
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "any member reports a contradiction",
        |c| {
            let evidence = precommits(&c.chain, "validator", 3);
            c.run("js-bank/agent", report(&evidence))
        },
        &["misbehaviour sh-bureau 3 by js-bank"],
    ),
    row(
        "about the block that is made, too",
        |c| {
            let evidence = precommits(&c.chain, "validator", c.height + 1);
            c.run("pboc/admin", report(&evidence))
        },
        &["misbehaviour sh-bureau 9 by pboc"],
    ),
    row(
        "once for a height",
        |c| {
            let evidence = precommits(&c.chain, "validator", 3);
            done(c, "pboc/admin", report(&evidence));
            c.run("zj-bureau/admin", report(&evidence))
        },
        &["rejected MISBEHAVIOUR_KNOWN"],
    ),
    row(
        "another height is another contradiction",
        |c| {
            let first = precommits(&c.chain, "validator", 3);
            done(c, "pboc/admin", report(&first));
            let evidence = precommits(&c.chain, "validator", 4);
            c.run("zj-bureau/admin", report(&evidence))
        },
        &["misbehaviour sh-bureau 4 by zj-bureau"],
    ),
    row(
        "a subject reports nothing",
        |c| {
            let evidence = precommits(&c.chain, "validator", 3);
            c.run("subject-1", report(&evidence))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "who is no validator is accused of nothing",
        |c| {
            let evidence = precommits(&c.chain, "js-bureau/admin", 3);
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "nothing is known of heights to come",
        |c| {
            let evidence = precommits(&c.chain, "validator", c.height + 2);
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "what was said on another chain counts for nothing",
        |c| {
            let other = ChainId(sm3(b"another chain"));
            let evidence = precommits(&other, "validator", 3);
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "a signature that is another's proves nothing",
        |c| {
            let mut evidence = precommits(&c.chain, "validator", 3);
            evidence.second.1 = precommits(&c.chain, "pboc/admin", 3).second.1;
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "what can both be honest is no contradiction",
        |c| {
            let mut evidence = precommits(&c.chain, "validator", 3);
            if let Statement::Vote { kind, .. } = &mut evidence.first.0 {
                *kind = VoteKind::Prevote;
            }
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "a key that was rotated away answers for its time",
        |c| {
            let next = validator("sh-bureau", "validator-2");
            enacted(c, vec![Kind::SetValidator(next)]);
            let evidence = precommits(&c.chain, "validator", c.height);
            c.run("pboc/admin", report(&evidence))
        },
        // Proposed, and three votes: the fourth block is the last that the old key certifies.
        &["misbehaviour sh-bureau 12 by pboc"],
    ),
    row(
        "and for no later one",
        |c| {
            let next = validator("sh-bureau", "validator-2");
            enacted(c, vec![Kind::SetValidator(next)]);
            let evidence = precommits(&c.chain, "validator", c.height + 1);
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
    row(
        "nor does a new key for the time before it",
        |c| {
            let next = validator("sh-bureau", "validator-2");
            enacted(c, vec![Kind::SetValidator(next)]);
            let evidence = precommits(&c.chain, "validator-2", c.height);
            c.run("pboc/admin", report(&evidence))
        },
        &["rejected EQUIVOCATION_UNPROVEN"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn what_is_on_record_can_be_checked_by_anyone_and_removes_nobody() {
    let mut chain = at_work();
    let validators = xinqiao_contracts::validators(&chain.state).unwrap();
    for height in [3, 5, 4] {
        let evidence = precommits(&chain.chain, "validator", height);
        done(&mut chain, "js-bank/agent", report(&evidence));
    }
    assert_eq!(
        xinqiao_contracts::validators(&chain.state).unwrap(),
        validators
    );
    let page = query::misbehaviour(&chain.state, 0, 2).unwrap();
    let heights: Vec<_> = page.entries.iter().map(|it| it.evidence.height).collect();
    assert_eq!((heights, page.next_before_index), (vec![4, 5], 1));
    let page = query::misbehaviour(&chain.state, 1, 2).unwrap();
    assert_eq!((page.entries.len(), page.next_before_index), (1, 0));
    let entry = wire::Misbehaviour::from(&page.entries[0]);
    assert_eq!((entry.index, entry.org.as_str()), (0, "sh-bureau"));
    // From what a stranger is given alone.
    let key = xinqiao_crypto::PublicKey::try_from(&entry.public_key[..]).unwrap();
    let evidence = Equivocation::try_from(&entry.evidence.unwrap()).unwrap();
    let id = DistinguishingId::default();
    let proven = evidence.check_under(&chain.chain, &key, |key, message, signature| {
        xinqiao_crypto::verify_once(key, &id, message, signature).is_ok()
    });
    assert_eq!(proven, Ok(()));
    let again = chain.run("pboc/admin", report(&evidence));
    assert_eq!(tell(&again), ["rejected MISBEHAVIOUR_KNOWN"]);
}
