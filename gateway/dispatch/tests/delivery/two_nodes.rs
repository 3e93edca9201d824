//! A source with two data-holding nodes: who works, who stands by, and how one node's delivery ends the
//! other's work.

use xinqiao_dispatch::delivery::{Effect, Forgotten, Input, Part, Standing};
use xinqiao_dispatch::turn::Turn;
use xinqiao_ledger::{
    order::PartRejection,
    outcome::{Outcome, Reason},
    wire::PartStatus,
};

use crate::*;

#[test]
fn a_delivery_that_is_not_what_this_node_recorded_ends_its_work_and_releases_nothing() {
    for (is_own, why) in [(false, Forgotten::Elsewhere), (true, Forgotten::Lost)] {
        let states = [standing_by(), stood_back(), seen(), matching(), prepared()];
        for state in states.into_iter().chain([recorded(), refusing()]) {
            let before = name(Some(&state));
            let mut proof = Proof::right();
            proof.is_own = is_own;
            proof.delivery.ciphertext_digest = sm3(b"another node sealed this");
            let step = state.step(Input::Final(&proof));
            check(before, step, "-", &[Effect::Forget(why)]);
        }
    }
}

#[test]
fn a_delivery_that_was_not_recorded_ends_nobodys_work() {
    for outcome in [
        Outcome::Applied(vec![changed(part(), PartStatus::ConsentRevoked)]),
        Outcome::Rejected {
            reason: Reason::OrderStateConflict,
            subject: String::new(),
        },
    ] {
        for state in [standing_by(), stood_back(), seen(), matching(), prepared()] {
            let before = name(Some(&state));
            let proof = Proof {
                is_own: false,
                delivery: delivery(),
                outcome: outcome.clone(),
            };
            check(before, state.step(Input::Final(&proof)), before, &[]);
        }
    }
}

#[test]
fn of_two_nodes_one_works_and_the_other_stands_by() {
    let read = [Effect::ReadRecord(order())];
    let unreadable = || Input::Read(Err(PartRejection::SourceUnavailable));
    let other_root = || Input::Read(Ok(record_of(&[("a", "{\"x\":9}"), ("c", "{}")])));
    let taken_up = |by_us, now| Input::TakenUp { by_us, now };
    let wake = |at: u64| [Effect::WakeAt(SEEN_AT + at)];
    let near_the_end = OPEN_MS / 4 * 3;

    check(
        "the first begins",
        Part::placed(order(), of_two(0)),
        "seen",
        &read,
    );
    let second = Part::placed(order(), of_two(1));
    check("the second waits", second, "standing by", &wake(300));

    let found = |turn: Turn| Part::found(order(), turn, Standing::Open, None);
    check(
        "after a restart too",
        found(of_two(1)),
        "standing by",
        &wake(300),
    );
    let ours = of_two(1).taken_up(true, SEEN_AT);
    check("what it took up goes on", found(ours), "seen", &read);
    let theirs = of_two(0).taken_up(false, SEEN_AT);
    check(
        "what another took up",
        found(theirs),
        "standing by",
        &wake(OPEN_MS / 4),
    );
    let spooled = Part::found(order(), of_two(1), Standing::Open, Some(sealed()));
    let submit = [Effect::SubmitDelivery(delivery())];
    check("what it sealed goes on", spooled, "recorded", &submit);

    type Row<'a> = (&'a str, Part, Input<'a>, &'a str, Vec<Effect>);
    let rows: Vec<Row<'_>> = vec![
        (
            "early",
            standing_by(),
            Input::Clock(SEEN_AT + 299),
            "standing by",
            vec![],
        ),
        (
            "due",
            standing_by(),
            Input::Clock(SEEN_AT + 300),
            "seen",
            read.to_vec(),
        ),
        (
            "the other is at work",
            standing_by(),
            taken_up(false, SEEN_AT + 100),
            "standing by",
            wake(100 + (OPEN_MS - 100) / 4).to_vec(),
        ),
        (
            "another while reading",
            first(),
            taken_up(false, 5_100),
            "seen",
            vec![],
        ),
        (
            "unreadable",
            first(),
            unreadable(),
            "standing by",
            wake(near_the_end).to_vec(),
        ),
        (
            "another root here",
            first(),
            other_root(),
            "standing by",
            wake(near_the_end).to_vec(),
        ),
        (
            "unreadable, and nobody comes after",
            next(standing_by().step(Input::Clock(SEEN_AT + 300))),
            unreadable(),
            "standing by",
            wake(300 + 600).to_vec(),
        ),
        (
            "not yet",
            stood_back(),
            Input::Clock(SEEN_AT + 300),
            "standing by",
            vec![],
        ),
        (
            "its last word",
            stood_back(),
            Input::Clock(SEEN_AT + near_the_end),
            "seen",
            read.to_vec(),
        ),
        (
            "is a refusal",
            next(stood_back().step(Input::Clock(SEEN_AT + near_the_end))),
            unreadable(),
            "refusing",
            rejection(PartRejection::SourceUnavailable),
        ),
        (
            "or a report",
            next(stood_back().step(Input::Clock(SEEN_AT + near_the_end))),
            Input::Read(Ok(record())),
            "matching",
            matching_effects(),
        ),
        (
            "closed",
            standing_by(),
            Input::Closed(PartStatus::Expired),
            "-",
            vec![Effect::Forget(Forgotten::Closed(PartStatus::Expired))],
        ),
    ];
    for (case, from, input, to, effects) in rows {
        check(case, from.step(input), to, &effects);
    }

    // A node that is slow took the part up: the last in rank leaves it to that one.
    let failed = next(standing_by().step(Input::Clock(SEEN_AT + 300)));
    let failed = next(failed.step(unreadable()));
    let step = failed.step(taken_up(false, SEEN_AT + 550));
    check("a slow one", step, "standing by", &wake(near_the_end));

    // A full spool is this node's own trouble, too.
    let prepared = next(first().step(Input::Read(Ok(record()))));
    let prepared = next(prepared.step(Input::Sealed(SealedPart::envelope(CIPHERTEXT.to_vec()))));
    let step = prepared.step(Input::SpoolFailed);
    check("disk full", step, "standing by", &wake(near_the_end));
}

fn matching_effects() -> Vec<Effect> {
    seen().step(Input::Read(Ok(record()))).effects
}
