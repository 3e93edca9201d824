//! Golden bytes of what is sent, and what strangers' bytes can do: nothing.

use xinqiao_consensus::{MAX_MESSAGE_BYTES, Malformed, Message as _, Refused};

use super::*;
use crate::testing::{CHAIN, append, empty, header, id, letter, ones, set, share, slot, verifier};

fn zeros() -> KeyId {
    KeyId::from(Digest::ZERO)
}

#[test]
fn encodings_are_golden_and_canonical() {
    let letter = |body| {
        Message::Letter(Letter {
            since: 1,
            height: 2,
            from: zeros(),
            to: zeros(),
            term: 3,
            body,
        })
    };
    let block = Some(Block {
        height: 2,
        header: header(0xaa),
        proposer: zeros(),
    });
    let slots = vec![
        Slot {
            term: 1,
            block: None,
        },
        Slot { term: 3, block },
    ];
    let ids = "00".repeat(64);
    let head = format!("0001000000000000000200000000000000{ids}0300000000000000");
    let aa = "aa".repeat(32);
    let zero = "00".repeat(32);
    let share = Share {
        height: 2,
        header: header(0xaa),
        validator: zeros(),
        signature: ones(),
        again: true,
    };
    let table = [
        (
            letter(append(1, 1, 4, &slots)),
            format!(
                "{head}0001000000000000000100000000000000040000000000000002000000\
                 010000000000000000\
                 0300000000000000010200000000000000{aa}{zero}"
            ),
        ),
        (
            letter(Body::Appended {
                index: 5,
                commit: 4,
            }),
            format!("{head}0105000000000000000400000000000000"),
        ),
        (
            letter(Body::Rejected {
                index: 5,
                hint: 4,
                hint_term: 2,
                commit: 1,
            }),
            format!("{head}020500000000000000040000000000000002000000000000000100000000000000"),
        ),
        (
            letter(Body::Heartbeat { commit: 4 }),
            format!("{head}030400000000000000"),
        ),
        (
            letter(Body::Beaten { commit: 4 }),
            format!("{head}040400000000000000"),
        ),
        (
            letter(Body::Campaign {
                pre: true,
                index: 5,
                log_term: 2,
                commit: 4,
                commit_term: 1,
            }),
            format!("{head}05010500000000000000020000000000000004000000000000000100000000000000"),
        ),
        (
            letter(Body::Ballot {
                pre: false,
                granted: true,
                commit: 0,
                commit_term: 0,
            }),
            format!("{head}06000100000000000000000000000000000000"),
        ),
        (
            letter(Body::Restore(Point {
                index: 7,
                term: 2,
                height: 1,
                header: Some(header(0xaa)),
            })),
            format!("{head}0707000000000000000200000000000000010000000000000001{aa}"),
        ),
        (
            Message::Share(share),
            format!("010200000000000000{aa}{zero}{}01", "01".repeat(64)),
        ),
    ];
    for (message, hex) in table {
        let bytes = message.encode();
        assert_eq!(hex::encode(&bytes), hex, "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Message::decode(&longer), Err(Malformed::Encoding));
        let shorter = &bytes[..bytes.len() - 1];
        assert_eq!(Message::decode(shorter), Err(Malformed::Encoding));
    }
}

fn check(message: Message, expected: Result<(), Malformed>) {
    let got = Message::decode(&message.encode()).map(|_| ());
    assert_eq!(got, expected, "{message:?}");
}

#[test]
fn what_makes_no_sense_in_any_state_is_not_decoded() {
    let point = |index, term, height| {
        Body::Restore(Point {
            index,
            term,
            height,
            header: None,
        })
    };
    let campaign = |index, log_term, commit, commit_term| Body::Campaign {
        pre: false,
        index,
        log_term,
        commit,
        commit_term,
    };
    let rejected = |index, hint, hint_term| Body::Rejected {
        index,
        hint,
        hint_term,
        commit: 0,
    };
    let ballot = |commit, commit_term| Body::Ballot {
        pre: false,
        granted: false,
        commit,
        commit_term,
    };
    let far = MAX_NUMBER + 1;
    let (round, height) = (Err(Malformed::Round), Err(Malformed::Height));
    for (body, expected) in [
        (append(0, 0, 0, &[]), Ok(())),
        (
            append(4, 2, 9, &[empty(2), slot(5, 1, 1), slot(5, 20, 2)]),
            Ok(()),
        ),
        // The library takes every index that it does not know for one of term 0.
        (append(4, 0, 0, &[empty(5)]), round),
        (append(0, 1, 0, &[empty(5)]), round),
        (append(4, 6, 0, &[]), round),
        (append(far, 1, 0, &[]), round),
        (append(4, 2, far, &[]), round),
        (append(4, 2, 0, &[empty(0)]), round),
        (append(4, 2, 0, &[empty(1)]), round),
        (append(4, 2, 0, &[empty(4), empty(3)]), round),
        (append(4, 2, 0, &[empty(6)]), round),
        (append(4, 2, 0, &[slot(5, 0, 1)]), height),
        (append(4, 2, 0, &[slot(5, 21, 1)]), height),
        (append(4, 2, 0, &[slot(5, 3, 1), slot(5, 3, 2)]), height),
        (append(4, 2, 0, &[empty(5); MAX_SLOTS]), Ok(())),
        (
            append(4, 2, 0, &[empty(5); MAX_SLOTS + 1]),
            Err(Malformed::Encoding),
        ),
        (
            Body::Appended {
                index: 5,
                commit: 9,
            },
            Ok(()),
        ),
        (
            Body::Appended {
                index: far,
                commit: 0,
            },
            round,
        ),
        (
            Body::Appended {
                index: 0,
                commit: far,
            },
            round,
        ),
        (rejected(5, 5, 1), Ok(())),
        (rejected(5, 0, 0), Ok(())),
        (rejected(5, 6, 1), round),
        (rejected(5, 3, 0), round),
        (rejected(5, 3, 6), round),
        (Body::Heartbeat { commit: far }, round),
        (Body::Beaten { commit: far }, round),
        (campaign(5, 2, 3, 1), Ok(())),
        (campaign(0, 0, 0, 0), Ok(())),
        (campaign(5, 0, 0, 0), round),
        (campaign(5, 2, 6, 1), round),
        (campaign(5, 2, 3, 0), round),
        (campaign(5, 6, 0, 0), round),
        (ballot(0, 0), Ok(())),
        (ballot(3, 6), round),
        (ballot(3, 0), round),
        (point(5, 2, 19), Ok(())),
        (point(0, 0, 19), height),
        (point(5, 2, 20), height),
        (point(5, 0, 19), round),
        (point(5, 6, 19), round),
    ] {
        check(Message::Letter(letter(1, 5, body)), expected);
    }
    let beat = || letter(1, 5, Body::Heartbeat { commit: 0 });
    // To the library a term of 0 is an order from within.
    check(Message::Letter(Letter { term: 0, ..beat() }), round);
    check(
        Message::Letter(Letter {
            term: far,
            ..beat()
        }),
        round,
    );
    check(Message::Letter(Letter { since: 0, ..beat() }), height);
    check(
        Message::Letter(Letter {
            since: 21,
            ..beat()
        }),
        height,
    );
    check(
        Message::Letter(Letter {
            since: 20,
            ..beat()
        }),
        Ok(()),
    );
    check(Message::Share(share(1, 0, header(1), false)), height);
}

#[test]
fn too_many_bytes_are_refused_before_they_are_read() {
    let bytes = vec![0; MAX_MESSAGE_BYTES + 1];
    let expected = Err(Malformed::TooLong(MAX_MESSAGE_BYTES + 1));
    assert_eq!(Message::decode(&bytes), expected);
    // A length that promises what does not follow.
    let mut bytes = Message::Letter(letter(1, 5, append(0, 0, 0, &[]))).encode();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Message::decode(&bytes), Err(Malformed::Encoding));
}

#[test]
fn letters_are_believed_from_their_authors_and_shares_from_whoever_signed() {
    let beat = |from| Message::Letter(letter(from, 5, Body::Heartbeat { commit: 0 }));
    let signed = |place| Message::Share(share(place, 5, header(1), false));
    let mut forged = share(1, 5, header(1), false);
    forged.header = header(2);
    let mut of_other = share(1, 5, header(1), false);
    of_other.validator = id(2);
    for (message, from, expected) in [
        (beat(1), 1, Ok(())),
        (beat(1), 2, Err(Refused::NotAuthor)),
        (beat(3), 3, Err(Refused::NotValidator)),
        (signed(1), 1, Ok(())),
        (signed(1), 2, Ok(())),
        (signed(3), 3, Err(Refused::NotValidator)),
        (Message::Share(forged), 1, Err(Refused::Signature)),
        (Message::Share(of_other), 1, Err(Refused::Signature)),
    ] {
        let what = format!("{message:?} from {from}");
        let got = message.verify(id(from), &CHAIN, &set(), &verifier());
        assert_eq!(got.map(|_| ()), expected, "{what}");
    }
}

#[test]
fn appends_take_the_bodies_of_their_blocks_along() {
    let slots = [empty(1), slot(1, 3, 7), slot(1, 4, 8)];
    let message = Message::Letter(letter(1, 5, append(0, 0, 0, &slots)));
    assert_eq!(message.proposes(), [header(7), header(8)]);
    assert_eq!(message.height(), 20);
    let message = Message::Share(share(1, 5, header(1), false));
    assert_eq!(message.proposes(), []);
    assert_eq!(message.height(), 5);
}
