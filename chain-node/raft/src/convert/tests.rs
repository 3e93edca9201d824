//! Letters become the library's messages and come back; what cannot be is refused.

use raft::eraftpb::{Entry, Message as Core, MessageType as Kind};

use super::*;
use crate::{
    message::Point,
    testing::{append, empty, header, slot},
};

#[test]
fn every_body_goes_to_the_library_and_back() {
    let point = Point {
        index: 7,
        term: 2,
        height: 3,
        header: Some(header(4)),
    };
    let mut bodies = vec![
        append(4, 2, 9, &[empty(2), slot(5, 1, 1)]),
        append(0, 0, 0, &[]),
        Body::Appended {
            index: 5,
            commit: 4,
        },
        Body::Rejected {
            index: 5,
            hint: 4,
            hint_term: 2,
            commit: 1,
        },
        Body::Heartbeat { commit: 4 },
        Body::Beaten { commit: 4 },
        Body::Restore(point),
    ];
    for flag in [true, false] {
        bodies.push(Body::Campaign {
            pre: flag,
            index: 5,
            log_term: 2,
            commit: 4,
            commit_term: 1,
        });
        for pre in [true, false] {
            bodies.push(Body::Ballot {
                pre,
                granted: flag,
                commit: 3,
                commit_term: 2,
            });
        }
    }
    for expected in bodies {
        let message = core(11, 12, 13, &expected, &[11, 12]);
        assert_eq!((message.from, message.to, message.term), (11, 12, 13));
        assert_eq!(body(&message), Some(expected));
    }
}

#[test]
fn an_append_has_no_holes() {
    let message = core(
        1,
        2,
        5,
        &append(4, 2, 9, &[empty(2), empty(5), empty(5)]),
        &[],
    );
    let numbers: Vec<u64> = message.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(numbers, [5, 6, 7]);
}

#[test]
fn what_is_never_sent_here_has_no_form_on_the_wire() {
    for kind in [
        Kind::MsgHup,
        Kind::MsgPropose,
        Kind::MsgTransferLeader,
        Kind::MsgTimeoutNow,
        Kind::MsgReadIndex,
    ] {
        let mut message = Core::default();
        message.set_msg_type(kind);
        assert_eq!(body(&message), None, "{kind:?}");
    }
}

#[test]
fn an_entry_that_this_crate_never_made_is_none() {
    let entry = Entry {
        data: vec![1, 2, 3].into(),
        ..Entry::default()
    };
    assert_eq!(super::slot(&entry), None);
}
