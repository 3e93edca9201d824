//! Golden bytes of the log, and what a log that a crash cut short still says.

use super::*;
use crate::testing::{empty, header, set, slot};

fn step(term: u64, vote: u64, commit: u64, after: Option<u64>, slots: &[Slot]) -> Event {
    Event::Step {
        hard: Hard { term, vote, commit },
        after,
        slots: slots.to_vec(),
    }
}

fn at(height: Height, event: Event) -> Vec<u8> {
    Record { height, event }.encode()
}

fn begin() -> Event {
    Event::Kept(Kept::begin(1, set().hash()))
}

#[test]
fn records_are_golden() {
    let mut kept = Kept::begin(1, Digest::ZERO);
    kept.slots = vec![empty(2)];
    kept.signed = Some((3, header(0xbb)));
    let zeros = "00".repeat(32);
    let bb = "bb".repeat(32);
    for (event, hex) in [
        (
            Event::Kept(kept),
            format!(
                "0500000000000000000100000000000000{zeros}\
                 000000000000000000000000000000000000000000000000\
                 00000000000000000000000000000000000000000000000000\
                 01000000020000000000000000010300000000000000{bb}"
            ),
        ),
        (
            step(1, 2, 3, Some(4), &[empty(1)]),
            "05000000000000000101000000000000000200000000000000030000000000000001040000000000000001000000010000000000000000".to_owned(),
        ),
        (Event::Signed(header(0xbb)), format!("050000000000000002{bb}")),
    ] {
        let bytes = at(5, event.clone());
        assert_eq!(hex::encode(&bytes), hex, "{event:?}");
        assert_eq!(Record::decode(&bytes), Ok(Record { height: 5, event }));
        assert_eq!(Record::decode(&bytes[1..]), Err(Malformed::Encoding));
    }
}

#[test]
fn a_log_says_what_was_appended_last() {
    let mut expected = Kept::begin(1, set().hash());
    assert_eq!(recover(1, &[]), Ok(None));
    let mut log = vec![at(1, begin())];
    assert_eq!(recover(1, &log), Ok(Some(expected.clone())));

    let slots = [empty(1), slot(1, 1, 1), slot(1, 2, 2)];
    log.push(at(1, step(1, 9, 0, Some(0), &slots)));
    expected.hard = Hard {
        term: 1,
        vote: 9,
        commit: 0,
    };
    expected.slots = slots.to_vec();
    assert_eq!(recover(1, &log), Ok(Some(expected.clone())));

    // Another leader's entries take the place of all after theirs; term and vote come with them.
    log.push(at(1, step(2, 0, 1, Some(1), &[empty(2)])));
    expected.hard = Hard {
        term: 2,
        vote: 0,
        commit: 1,
    };
    expected.slots = vec![empty(1), empty(2)];
    assert_eq!(recover(1, &log), Ok(Some(expected.clone())));

    log.push(at(2, Event::Signed(header(1))));
    expected.signed = Some((2, header(1)));
    assert_eq!(recover(2, &log), Ok(Some(expected.clone())));

    // What was cut short at the end was never flushed.
    log.push(vec![0; 9]);
    assert_eq!(recover(2, &log), Ok(Some(expected.clone())));

    // A record that holds everything stands for all before it, also for what has lost its base.
    log.pop();
    log.push(at(2, Event::Kept(expected.clone())));
    assert_eq!(recover(2, &log[2..]), Ok(Some(expected)));
}

#[test]
fn a_log_that_cannot_be_is_refused() {
    let torn = vec![0; 9];
    let entries = at(1, step(1, 0, 0, Some(0), &[empty(1)]));
    let damaged = |index| {
        Err(Error::LogDamaged {
            index,
            why: Malformed::Encoding,
        })
    };
    let first = || at(1, begin());
    for (log, expected) in [
        (vec![torn.clone(), first()], damaged(0)),
        (vec![first(), torn.clone(), entries.clone()], damaged(1)),
        // Without what it is based on.
        (vec![entries.clone()], damaged(0)),
        (
            vec![entries.clone(), at(1, Event::Signed(header(1)))],
            damaged(0),
        ),
        // With a hole, or before its beginning.
        (
            vec![first(), at(1, step(1, 0, 0, Some(1), &[empty(1)]))],
            damaged(1),
        ),
        // Committed, and not there.
        (
            vec![first(), at(1, step(1, 0, 2, Some(0), &[empty(1)]))],
            damaged(1),
        ),
        (
            vec![first(), at(3, Event::Signed(header(1)))],
            Err(Error::LogAhead { log: 3, start: 2 }),
        ),
    ] {
        assert_eq!(recover(2, &log), expected, "{log:?}");
    }
}
