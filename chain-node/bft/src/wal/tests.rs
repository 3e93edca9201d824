//! What a log says after a crash.

use arc_malachitebft_core_types::NilOrVal;
use xinqiao_ledger::vote::VoteKind;

use super::*;
use crate::testing::{block, ones, vote, voter};

fn events() -> Vec<Event> {
    vec![
        Event::Timeout {
            step: Step::Propose,
            round: 3,
        },
        Event::Verdict {
            round: 4,
            pol_round: Some(3),
            proposer: voter(0),
            header: block(6),
            valid: true,
        },
        Event::Vote(vote(1, VoteKind::Precommit, 2, 0, None)),
    ]
}

#[test]
fn entries_are_golden() {
    let entry = |event| hex::encode(Entry { height: 2, event }.encode());
    let timeout = Event::Timeout {
        step: Step::Precommit,
        round: 3,
    };
    assert_eq!(entry(timeout), "0200000000000000040303000000");
    let vote = Event::Vote(Signed {
        message: Vote {
            kind: VoteKind::Prevote,
            height: 2,
            round: 1,
            header: NilOrVal::Nil,
            validator: voter(0),
        },
        signature: ones(),
    });
    let voter = hex::encode(voter(0).0.as_bytes());
    let expected = "020000000000000000".to_owned() + "0202000000000000000100000000";
    assert_eq!(entry(vote), expected + &voter + &"01".repeat(64));
}

#[test]
fn the_core_is_told_again_what_it_wanted_logged() {
    for event in events() {
        let again = event.clone().into_core(2).and_then(Event::of_core);
        assert_eq!(again, Some(event));
    }
}

#[test]
fn a_torn_last_record_is_left_out_and_any_other_stops_the_node() {
    let records: Vec<Vec<u8>> = events()
        .into_iter()
        .map(|event| Entry { height: 2, event }.encode())
        .collect();
    assert_eq!(recover(&records).map(|entries| entries.len()), Ok(3));
    assert_eq!(recover::<Vec<u8>>(&[]), Ok(Vec::new()));
    for cut in 0..records[2].len() {
        let mut torn = records.clone();
        torn[2].truncate(cut);
        assert_eq!(
            recover(&torn).map(|entries| entries.len()),
            Ok(2),
            "cut at {cut}"
        );
        torn.push(records[0].clone());
        let damaged = Err(Error::LogDamaged {
            index: 2,
            why: Malformed::Encoding,
        });
        assert_eq!(recover(&torn), damaged, "cut at {cut}");
    }
}

#[test]
fn a_timer_that_the_core_does_not_have_was_never_logged() {
    let event = Event::Timeout {
        step: Step::Tick,
        round: 0,
    };
    let record = Entry { height: 2, event }.encode();
    assert_eq!(Entry::decode(&record), Err(Malformed::Encoding));
}
