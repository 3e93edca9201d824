//! Tables of inputs and the effects that `solo` answers with.

use xinqiao_crypto::{Digest, KeyId, Signature};
use xinqiao_ledger::{block::Header, ids::ChainId};

use super::*;

const NOW: TimeMs = 1_000_000;

fn header(slot: Slot) -> Header {
    Header {
        chain: ChainId(Digest::ZERO),
        height: slot.height,
        parent: HeaderHash(Digest::ZERO),
        time: slot.time,
        tx_count: 0,
        tx_root: Digest::ZERO,
        outcome_root: Digest::ZERO,
        state_commitment: Digest::ZERO,
        history_root: Digest::ZERO,
        validator_set: Digest::ZERO,
        proposer: KeyId::from(Digest::ZERO),
    }
}

fn built(slot: Slot) -> Input {
    Input::Built(Box::new(header(slot)))
}

fn signature() -> Signature {
    let mut bytes = [1; 64];
    bytes[0] = 0;
    Signature::try_from(&bytes[..]).unwrap()
}

fn signed() -> Input {
    Input::Signed {
        validator: KeyId::from(Digest::ZERO),
        signature: signature(),
    }
}

fn at(height: Height, time: TimeMs, deadline: Option<TimeMs>) -> Position {
    Position {
        height,
        time,
        deadline,
    }
}

fn slot(height: Height, time: TimeMs) -> Slot {
    Slot { height, time }
}

/// Feeds the inputs and compares the answer to the last one.
fn check(name: &str, start: Position, inputs: Vec<Input>, expected: Result<Effects, Error>) {
    let mut engine = Solo::new(start);
    let mut last = Ok(Vec::new());
    for input in inputs {
        last = engine.handle(input);
    }
    assert_eq!(last, expected, "{name}");
}

#[test]
fn every_input_has_its_effects() {
    let waiting = |now| Input::Waiting { now };
    let tick = |now| Input::Tick { now };
    let deadline = |at, now| Input::Deadline { at, now };
    let committed = |position, waiting, now| Input::Committed {
        position,
        waiting,
        now,
    };
    let idle = at(7, NOW - 5, None);
    let due = at(7, NOW - 5, Some(NOW));
    let first = slot(8, NOW);
    let sign = Effect::Sign {
        height: 8,
        header: header(first).hash(),
    };
    let certificate = Certificate {
        height: 8,
        header: header(first).hash(),
        signatures: vec![(KeyId::from(Digest::ZERO), signature())],
    };
    let after = at(8, NOW, None);
    let unexpected = |input, state| Err(Error::Unexpected { input, state });

    check("nothing waits: no block", idle, vec![tick(NOW)], Ok(vec![]));
    check(
        "something waits: a block at once",
        idle,
        vec![waiting(NOW)],
        Ok(vec![Effect::Build(first)]),
    );
    check(
        "a second one waits: the block under way goes on",
        idle,
        vec![waiting(NOW), waiting(NOW + 1)],
        Ok(vec![]),
    );
    check(
        "a deadline ahead: wake up then",
        due,
        vec![tick(NOW - 1)],
        Ok(vec![Effect::WakeAt(NOW)]),
    );
    check(
        "a deadline is due: a block without transactions",
        due,
        vec![tick(NOW)],
        Ok(vec![Effect::Build(first)]),
    );
    check(
        "a deadline comes into sight: wake up then",
        idle,
        vec![deadline(NOW + 50, NOW)],
        Ok(vec![Effect::WakeAt(NOW + 50)]),
    );
    check(
        "one comes into sight after its time: a block at once",
        idle,
        vec![deadline(NOW - 1, NOW)],
        Ok(vec![Effect::Build(first)]),
    );
    check(
        "a later one changes nothing of the earlier",
        due,
        vec![deadline(NOW + 50, NOW - 1)],
        Ok(vec![Effect::WakeAt(NOW)]),
    );
    check(
        "one comes into sight while a block is under way: the block goes on",
        idle,
        vec![waiting(NOW), deadline(NOW - 1, NOW)],
        Ok(vec![]),
    );
    check(
        "a built block is signed",
        idle,
        vec![waiting(NOW), built(first)],
        Ok(vec![sign]),
    );
    check(
        "a signed block is committed",
        idle,
        vec![waiting(NOW), built(first), signed()],
        Ok(vec![Effect::Commit(certificate)]),
    );
    let whole = |last| vec![waiting(NOW), built(first), signed(), last];
    check(
        "after a block with nothing waiting: rest",
        idle,
        whole(committed(after, false, NOW)),
        Ok(vec![]),
    );
    check(
        "after a block with something waiting: the next, one millisecond on",
        idle,
        whole(committed(after, true, NOW)),
        Ok(vec![Effect::Build(slot(9, NOW + 1))]),
    );
    let meanwhile = |last| vec![waiting(NOW), waiting(NOW), built(first), signed(), last];
    check(
        "what began to wait meanwhile and still does: the next block",
        idle,
        meanwhile(committed(after, true, NOW + 3)),
        Ok(vec![Effect::Build(slot(9, NOW + 3))]),
    );
    check(
        "what began to wait meanwhile and went into the block: no empty block",
        idle,
        meanwhile(committed(after, false, NOW + 3)),
        Ok(vec![]),
    );
    check(
        "the position after a block says anew what is in sight",
        idle,
        vec![
            waiting(NOW),
            deadline(NOW - 1, NOW),
            built(first),
            signed(),
            committed(after, false, NOW),
        ],
        Ok(vec![]),
    );
    check(
        "the block set a deadline: wake up then",
        idle,
        whole(committed(at(8, NOW, Some(NOW + 50)), false, NOW)),
        Ok(vec![Effect::WakeAt(NOW + 50)]),
    );
    check(
        "the clock stepped back a little: time still rises",
        at(7, NOW + 5_000, None),
        vec![waiting(NOW)],
        Ok(vec![Effect::Build(slot(8, NOW + 5_001))]),
    );
    check(
        "the clock stepped back an hour: wait, and say so",
        at(7, NOW + 3_600_000, None),
        vec![waiting(NOW)],
        Ok(vec![
            Effect::ClockBehind { by_ms: 3_600_001 },
            Effect::WakeAt(NOW + 3_590_001),
        ]),
    );
    check(
        "it has caught up: the block is formed",
        at(7, NOW + 3_600_000, None),
        vec![waiting(NOW), tick(NOW + 3_590_001)],
        Ok(vec![Effect::Build(slot(8, NOW + 3_600_001))]),
    );
    check(
        "a block that nobody asked for",
        idle,
        vec![built(first)],
        unexpected("a built block", "free"),
    );
    check(
        "a signature that nobody asked for",
        idle,
        vec![waiting(NOW), signed()],
        unexpected("a signature", "building"),
    );
    check(
        "a commit that nobody asked for",
        idle,
        vec![waiting(NOW), built(first), committed(after, false, NOW)],
        unexpected("a committed block", "signing"),
    );
    check(
        "a block of another height",
        idle,
        vec![waiting(NOW), built(slot(9, NOW))],
        Err(Error::OtherBlock {
            expected: 8,
            got: 9,
        }),
    );
    check(
        "a block of another time",
        idle,
        vec![waiting(NOW), built(slot(8, NOW + 1))],
        Err(Error::OtherTime {
            expected: NOW,
            got: NOW + 1,
        }),
    );
    check(
        "another block is committed",
        idle,
        whole(committed(at(9, NOW, None), false, NOW)),
        Err(Error::OtherBlock {
            expected: 8,
            got: 9,
        }),
    );
}
