//! Each message that would bring the library down, or lead it astray, in the state where it would.

use xinqiao_consensus::Message as _;
use xinqiao_ledger::ids::Height;

use crate::{
    group::{Group, Logged, number_of},
    message::{Body, Message, Point, Slot},
    record::{Hard, Kept},
    testing::{append, empty, header, id, letter, set, slot},
    timer::Patience,
};

/// The first voter with a log of five entries after a point, committed up to the second of them.
fn kept() -> Kept {
    let point = Point {
        index: 10,
        term: 2,
        height: 6,
        header: Some(header(6)),
    };
    let slots = |slots: &[Slot]| slots.to_vec();
    Kept {
        since: 1,
        validators: set().hash(),
        hard: Hard {
            term: 4,
            vote: 0,
            commit: 12,
        },
        point,
        slots: slots(&[
            slot(2, 7, 7),
            empty(3),
            slot(3, 8, 8),
            empty(4),
            slot(4, 9, 9),
        ]),
        signed: None,
    }
}

fn follower() -> Group {
    Group::new(&kept(), &set(), &id(0), Patience::new(1)).expect("a sound log")
}

/// Everything that it wants is done at once.
fn settle(group: &mut Group) -> Vec<(Height, Body)> {
    let mut said = Vec::new();
    while let Some(turn) = group.turn().expect("our own entries") {
        said.extend(turn.say.into_iter().map(|(_, term, body)| (term, body)));
        group.persisted(turn.number, matches!(turn.log, Some(Logged::Whole)));
    }
    said
}

/// Elected, and its first entry on its own disk.
fn leader() -> Group {
    let mut group = follower();
    for _ in 0..20 {
        group.tick();
    }
    settle(&mut group);
    for pre in [true, false] {
        let body = Body::Ballot {
            pre,
            granted: true,
            commit: 0,
            commit_term: 0,
        };
        group.step(&letter(1, 5, body), true);
        settle(&mut group);
    }
    assert!(group.is_leader());
    assert_eq!((group.term(), group.keep(None).slots.len()), (5, 6));
    group
}

/// Whether the letter changes anything, and that it brings nothing down.
fn check(mut group: Group, term: u64, body: Body, taken: bool) {
    let before = format!("{:?}", group.keep(None));
    let what = format!("{body:?}");
    group.step(&letter(1, term, body), true);
    let said = settle(&mut group);
    let changed = !said.is_empty() || before != format!("{:?}", group.keep(None));
    assert_eq!(changed, taken, "{what}: {said:?}");
}

#[test]
fn a_follower_takes_what_a_leader_can_say_and_nothing_else() {
    let point = |index, term| {
        Body::Restore(Point {
            index,
            term,
            height: 9,
            header: Some(header(9)),
        })
    };
    for (term, body, taken) in [
        (4, Body::Heartbeat { commit: 12 }, true),
        (4, Body::Heartbeat { commit: 15 }, true),
        // Past the log: the library would panic.
        (4, Body::Heartbeat { commit: 16 }, false),
        (9, Body::Heartbeat { commit: 16 }, false),
        // From a former leader: the library answers with its term and commits nothing.
        (3, Body::Heartbeat { commit: 16 }, true),
        (4, append(15, 4, 12, &[empty(4)]), true),
        (5, append(13, 3, 12, &[empty(5)]), true),
        // Past the log, or of another term there: it is rejected.
        (5, append(16, 5, 12, &[empty(5)]), true),
        (5, append(15, 5, 12, &[empty(5)]), true),
        // Before what is committed, and the same: it is acknowledged.
        (4, append(10, 2, 12, &[slot(2, 7, 7)]), true),
        (4, append(3, 1, 12, &[]), true),
        // Before what is committed, and another: no leader's.
        (5, append(10, 2, 12, &[empty(4)]), false),
        (5, append(11, 3, 12, &[]), false),
        (5, append(12, 2, 12, &[empty(5)]), false),
        // A commit past the entries is taken up to them.
        (4, append(15, 4, 99, &[]), true),
        (5, point(20, 5), true),
        (5, point(15, 4), true),
        (5, point(12, 3), true),
        // A point on another way than the committed one.
        (5, point(12, 2), false),
        (5, point(5, 1), true),
    ] {
        check(follower(), term, body, taken);
    }
}

#[test]
fn a_leader_takes_what_a_follower_can_say_and_nothing_else() {
    let rejected = |index, hint, hint_term| Body::Rejected {
        index,
        hint,
        hint_term,
        commit: 0,
    };
    let appended = |index| Body::Appended { index, commit: 0 };
    for (body, taken) in [
        (appended(16), true),
        (appended(0), false),
        // More than there is.
        (appended(17), false),
        (rejected(15, 12, 3), true),
        (rejected(17, 12, 3), false),
    ] {
        check(leader(), 5, body, taken);
    }
}

/// #555: an old rejection must not make the leader begin again before what it knows to be there.
#[test]
fn a_rejection_from_before_an_acknowledgement_changes_nothing() {
    for (index, hint) in [(13, 12), (14, 14), (16, 13)] {
        let mut group = leader();
        let appended = Body::Appended {
            index: 14,
            commit: 0,
        };
        group.step(&letter(1, 5, appended), true);
        settle(&mut group);
        let hint_term = 3;
        let body = Body::Rejected {
            index,
            hint,
            hint_term,
            commit: 0,
        };
        check(group, 5, body, false);
    }
}

#[test]
fn no_vote_counts_before_the_candidacy_is_on_disk() {
    let mut group = follower();
    for _ in 0..20 {
        group.tick();
    }
    settle(&mut group);
    let ballot = |pre| Body::Ballot {
        pre,
        granted: true,
        commit: 0,
        commit_term: 0,
    };
    group.step(&letter(1, 5, ballot(true)), true);
    // Its own vote is written, and not yet on disk.
    let mut numbers = Vec::new();
    while let Some(turn) = group.turn().expect("our own entries") {
        numbers.push(turn.number);
    }
    group.step(&letter(1, 5, ballot(false)), false);
    assert!(!group.is_leader());
    for number in numbers {
        group.persisted(number, false);
    }
    group.step(&letter(1, 5, ballot(false)), true);
    assert!(group.is_leader());
}

#[test]
fn a_follower_waits_as_long_as_the_seed_says_and_not_as_the_library_draws() {
    let wait = |seed| {
        let mut group = Group::new(&kept(), &set(), &id(0), Patience::new(seed)).unwrap();
        let campaigns = |_: &usize| {
            group.tick();
            !settle(&mut group).is_empty()
        };
        (1..).find(campaigns).unwrap()
    };
    for seed in 0..40 {
        let expected = Patience::new(seed).draw(0, 3, 4);
        assert_eq!(wait(seed), expected, "seed {seed}");
    }
}

#[test]
fn numbers_are_the_first_bytes_of_key_ids() {
    let id = id(0);
    let first = id.as_bytes()[..8].iter();
    let expected = first.fold(0, |number, byte| (number << 8) | u64::from(*byte));
    assert_eq!(number_of(&id), expected);
}

/// Whatever well-formed letters say, in whatever order: the library takes it without panicking.
#[test]
fn no_letters_bring_the_library_down() {
    let mut state = 1_u64;
    let mut dice = |end: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % end
    };
    let (mut letters, mut led) = (0, 0);
    for _ in 0..400 {
        let mut group = match dice(4) {
            0 => leader(),
            1 => Group::new(
                &Kept::begin(1, set().hash()),
                &set(),
                &id(0),
                Patience::new(1),
            )
            .unwrap(),
            _ => follower(),
        };
        let mut open: Vec<(u64, bool)> = Vec::new();
        for _ in 0..120 {
            let now = group.term();
            let term = if dice(6) > 0 { now } else { 1 + dice(9) };
            let index = dice(22);
            let (one, flag) = (dice(9), dice(2) == 0);
            let body = match dice(9) {
                0 | 1 => {
                    let slots: Vec<Slot> = (0..dice(5)).map(|_| empty(1 + dice(9))).collect();
                    append(index, one, dice(25), &slots)
                }
                2 => Body::Appended {
                    index,
                    commit: dice(25),
                },
                3 => Body::Rejected {
                    index,
                    hint: dice(22),
                    hint_term: one,
                    commit: dice(25),
                },
                4 => Body::Heartbeat { commit: dice(18) },
                5 => Body::Beaten { commit: dice(25) },
                6 => Body::Campaign {
                    pre: flag,
                    index,
                    log_term: one,
                    commit: dice(22),
                    commit_term: dice(9),
                },
                7 => Body::Ballot {
                    pre: flag,
                    granted: dice(3) > 0,
                    commit: dice(22),
                    commit_term: dice(9),
                },
                _ => Body::Restore(Point {
                    index,
                    term: one,
                    height: 9,
                    header: None,
                }),
            };
            let from = 1 + usize::from(dice(2) == 0);
            let bytes = Message::Letter(letter(from, term, body)).encode();
            if let Ok(Message::Letter(letter)) = Message::decode(&bytes) {
                group.step(&letter, open.is_empty());
                letters += 1;
            }
            while let Some(turn) = group.turn().expect("our own entries") {
                open.push((turn.number, matches!(turn.log, Some(Logged::Whole))));
            }
            if dice(3) > 0 {
                for (number, whole) in open.drain(..) {
                    group.persisted(number, whole);
                }
            }
            for _ in 0..dice(6) {
                group.tick();
            }
            if dice(3) == 0 && group.is_leader() {
                let block = slot(1, 10, 1).block.expect("with a block");
                group.propose(&block);
                led += 1;
            }
        }
    }
    assert!(
        letters > 10_000 && led > 100,
        "{letters} letters, {led} proposals"
    );
}

/// Nobody tells the library when a point has arrived: without a report it would say nothing more.
#[test]
fn a_leader_names_its_logs_beginning_again_until_the_follower_answers_from_beyond_it() {
    let mut group = leader();
    let mut tell = |body| {
        group.step(&letter(1, 5, body), true);
        let said = settle(&mut group).into_iter();
        said.map(|(_, body)| body).collect::<Vec<_>>()
    };
    let behind = Body::Rejected {
        index: 15,
        hint: 3,
        hint_term: 1,
        commit: 3,
    };
    let restore = [Body::Restore(kept().point)];
    assert_eq!(tell(behind), restore);
    for _ in 0..3 {
        assert_eq!(tell(Body::Beaten { commit: 3 }), restore);
    }
    let said = tell(Body::Appended {
        index: 10,
        commit: 10,
    });
    let [
        Body::Append {
            index: 10, slots, ..
        },
    ] = &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(slots.len(), 6);
}
