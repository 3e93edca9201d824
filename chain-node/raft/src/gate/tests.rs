//! An entry passes once its body is here.

use super::*;
use crate::{
    record::Kept,
    testing::{append, empty, header, id, letter, set, slot},
    timer::Patience,
};

fn group() -> Group {
    let kept = Kept::begin(1, set().hash());
    Group::new(&kept, &set(), &id(0), Patience::new(1)).expect("a sound log")
}

/// What goes through now: bodies, and headers asked for.
fn through(gate: &mut Gate, height: Height) -> (Vec<Body>, Vec<HeaderHash>) {
    let (mut bodies, mut asked) = (Vec::new(), Vec::new());
    let group = group();
    while let Some(through) = gate.next(height, id(0), &group) {
        match through {
            Through::Letter(letter) => bodies.push(letter.body),
            Through::Ask(block, from) => {
                assert_eq!(from, id(1));
                asked.push(block.header);
            }
        }
    }
    (bodies, asked)
}

#[test]
fn an_entry_waits_for_its_body_and_what_comes_after_waits_with_it() {
    let mut gate = Gate::default();
    gate.put(letter(1, 1, append(0, 0, 0, &[empty(1), slot(1, 3, 1)])));
    gate.put(letter(1, 1, append(2, 1, 1, &[])));
    let first = append(0, 0, 0, &[empty(1)]);
    assert_eq!(through(&mut gate, 3), (vec![first], vec![header(1)]));
    // Asked once, and kept once.
    gate.put(letter(1, 1, append(1, 1, 0, &[slot(1, 3, 1)])));
    assert_eq!(through(&mut gate, 3), (vec![], vec![]));
    gate.judged(header(1));
    let rest = vec![append(1, 1, 0, &[slot(1, 3, 1)]), append(2, 1, 1, &[])];
    assert_eq!(through(&mut gate, 3), (rest, vec![]));
}

#[test]
fn entries_below_the_chains_end_need_no_body_and_later_ones_wait_their_turn() {
    let mut gate = Gate::default();
    let slots = [slot(1, 1, 1), slot(1, 2, 2), slot(1, 3, 3), slot(1, 4, 4)];
    gate.put(letter(1, 1, append(1, 1, 0, &slots)));
    let below = append(1, 1, 0, &slots[..2]);
    assert_eq!(through(&mut gate, 3), (vec![below], vec![header(3)]));
    gate.judged(header(3));
    assert_eq!(
        through(&mut gate, 3),
        (vec![append(3, 1, 0, &slots[2..3])], vec![])
    );
    gate.begin();
    assert_eq!(through(&mut gate, 4), (vec![], vec![header(4)]));
    gate.judged(header(4));
    assert_eq!(
        through(&mut gate, 4),
        (vec![append(4, 1, 0, &slots[3..])], vec![])
    );
}

#[test]
fn another_leader_takes_the_place_of_the_one_before() {
    let mut gate = Gate::default();
    gate.put(letter(1, 1, append(0, 0, 0, &[slot(1, 3, 1)])));
    gate.put(letter(2, 2, append(0, 0, 0, &[empty(2)])));
    gate.put(letter(1, 1, append(0, 0, 0, &[slot(1, 3, 1)])));
    assert_eq!(
        through(&mut gate, 3),
        (vec![append(0, 0, 0, &[empty(2)])], vec![])
    );
}

#[test]
fn what_waits_is_bounded_and_dropped_in_time_so_that_it_is_said_again() {
    let mut gate = Gate::default();
    for index in 0..1000 {
        gate.put(letter(1, 1, append(1 + index, 1, 0, &[slot(1, 3, 1)])));
    }
    assert_eq!(gate.letters.len(), MOST);
    assert_eq!(through(&mut gate, 3), (vec![], vec![header(1)]));
    for _ in 0..AGAIN_TICKS {
        assert!(!gate.letters.is_empty());
        gate.tick();
    }
    assert!(gate.letters.is_empty());
}

#[test]
fn a_nodes_own_block_is_asked_of_the_leader_when_it_was_lost() {
    let mut gate = Gate::default();
    let mut own = slot(1, 3, 1);
    own.block.as_mut().unwrap().proposer = id(0);
    gate.put(letter(1, 1, append(0, 0, 0, &[own])));
    assert_eq!(through(&mut gate, 3), (vec![], vec![header(1)]));
}
