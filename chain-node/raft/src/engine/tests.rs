//! One voter: what it asks for, what it says, and what it never says twice.

use rand::rngs::StdRng;
use xinqiao_consensus::{Engine as _, Sm2Signer};

use super::*;
use crate::{
    message::{Point, Slot},
    testing::{
        CHAIN, append, empty, header, id, letter, set, set_of, share, signer, slot, verified_by,
    },
};

type Effects = Vec<Effect<Message>>;

/// The first voter, with a disk that holds all that was appended.
struct Voter {
    engine: Raft<Sm2Signer<StdRng>>,
    log: Vec<Vec<u8>>,
    flush: Option<u64>,
}

impl Voter {
    fn new() -> Self {
        Self {
            engine: Raft::new(CHAIN, signer(0), 7),
            log: Vec::new(),
            flush: None,
        }
    }

    fn try_tell(&mut self, input: Input<Verified>) -> Result<Effects, Error> {
        let effects = self.engine.handle(input)?;
        for effect in &effects {
            match effect {
                Effect::Append(record) => self.log.push(record.clone()),
                Effect::Flush { upto } => self.flush = Some(*upto),
                _ => {}
            }
        }
        Ok(effects)
    }

    fn tell(&mut self, input: Input<Verified>) -> Effects {
        self.try_tell(input).unwrap()
    }

    /// The disk has done what it was asked for.
    fn flush(&mut self) -> Effects {
        match self.flush.take() {
            Some(upto) => self.tell(Input::Flushed { upto }),
            None => Vec::new(),
        }
    }

    fn start(&mut self, height: Height, log: &[Vec<u8>]) -> Result<Effects, Error> {
        self.try_tell(Input::Start {
            height,
            since: 1,
            validators: set(),
            log: log.to_vec(),
            work: false,
        })
    }

    /// At the first height, with its first record on disk.
    fn fresh() -> Self {
        let mut voter = Self::new();
        voter.start(1, &[]).unwrap();
        voter.flush();
        voter
    }

    fn hear(&mut self, from: usize, term: u64, body: Body) -> Effects {
        self.try_hear(from, term, body).unwrap()
    }

    fn hear_at(&mut self, height: Height, term: u64, body: Body) -> Effects {
        let letter = Letter {
            height,
            ..letter(1, term, body)
        };
        let message = verified_by(Message::Letter(letter), &set());
        let from = id(1);
        self.tell(Input::Message { from, message })
    }

    fn try_hear(&mut self, from: usize, term: u64, body: Body) -> Result<Effects, Error> {
        let message = Message::Letter(letter(from, term, body));
        self.try_tell(Input::Message {
            from: id(from),
            message: verified_by(message, &set()),
        })
    }

    fn hear_share(&mut self, share: Share) -> Effects {
        let from = share.validator;
        let message = verified_by(Message::Share(share), &set());
        self.tell(Input::Message { from, message })
    }

    fn judged(&mut self, height: Height, header: HeaderHash) -> Effects {
        let valid = true;
        self.tell(Input::Judged {
            height,
            header,
            valid,
        })
    }
}

fn said(effects: &Effects) -> Vec<(KeyId, Body)> {
    let bodies = effects.iter().filter_map(|effect| match effect {
        Effect::Send {
            to,
            message: Message::Letter(letter),
        } => Some((*to, letter.body.clone())),
        _ => None,
    });
    bodies.collect()
}

fn shares(effects: &Effects) -> Vec<HeaderHash> {
    let shares = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast(Message::Share(share)) => Some(share.header),
        _ => None,
    });
    shares.collect()
}

fn behind(effects: &Effects) -> Vec<(KeyId, Height)> {
    let behind = effects.iter().filter_map(|effect| match effect {
        Effect::Behind { validator, height } => Some((*validator, *height)),
        _ => None,
    });
    behind.collect()
}

fn campaign(index: u64, log_term: u64) -> Body {
    Body::Campaign {
        pre: false,
        index,
        log_term,
        commit: 0,
        commit_term: 0,
    }
}

fn ballot(granted: bool) -> Body {
    Body::Ballot {
        pre: false,
        granted,
        commit: 0,
        commit_term: 0,
    }
}

#[test]
fn a_vote_is_said_once_it_is_on_disk_and_never_given_twice_wherever_the_log_ends() {
    let mut voter = Voter::fresh();
    let effects = voter.hear(1, 5, campaign(0, 0));
    assert_eq!(said(&effects), []);
    assert_eq!(said(&voter.flush()), [(id(1), ballot(true))]);
    let vote = voter.log.len();
    assert_eq!(vote, 2);
    for kept in 0..=vote {
        let mut again = Voter::new();
        again.start(1, &voter.log[..kept]).unwrap();
        again.flush();
        let mut effects = again.hear(2, 5, campaign(0, 0));
        effects.extend(again.flush());
        // If the record is lost, nobody has heard of the vote.
        let granted = kept < vote;
        assert_eq!(
            said(&effects),
            [(id(2), ballot(granted))],
            "after {kept} records"
        );
        // The same candidate may be told again.
        let mut effects = again.hear(1, 5, campaign(0, 0));
        effects.extend(again.flush());
        assert_eq!(
            said(&effects),
            [(id(1), ballot(!granted))],
            "after {kept} records"
        );
    }
}

#[test]
fn two_headers_are_never_signed_at_one_height_wherever_the_log_ends() {
    let mut voter = Voter::fresh();
    let effects = voter.hear(1, 1, append(0, 0, 0, &[empty(1), slot(1, 1, 7)]));
    let judge = Effect::Judge {
        height: 1,
        header: header(7),
        proposer: id(1),
    };
    assert!(effects.contains(&judge), "{effects:?}");
    voter.flush();
    assert_eq!(said(&voter.judged(1, header(7))), []);
    let effects = voter.flush();
    let appended = Body::Appended {
        index: 2,
        commit: 0,
    };
    assert_eq!(said(&effects), [(id(1), appended)]);
    assert_eq!(shares(&voter.hear(1, 1, Body::Heartbeat { commit: 2 })), []);
    let signed = voter.log.len();
    assert_eq!(shares(&voter.flush()), [header(7)]);
    assert_eq!(voter.log.len(), signed);

    for kept in 0..=signed {
        let mut again = Voter::new();
        let mut effects = again.start(1, &voter.log[..kept]).unwrap();
        effects.extend(again.flush());
        let remembers = kept == signed;
        let expected: Vec<_> = remembers.then_some(header(7)).into_iter().collect();
        assert_eq!(shares(&effects), expected, "after {kept} records");
        // Another leader, which cannot be: it has another block agreed on at this height.
        let mut effects = again.hear(2, 9, append(0, 0, 0, &[empty(9), slot(9, 1, 8)]));
        effects.extend(again.flush());
        effects.extend(again.judged(1, header(8)));
        effects.extend(again.flush());
        let got = again.try_hear(2, 9, Body::Heartbeat { commit: 2 });
        if remembers {
            let against = Error::DoubleSign {
                height: 1,
                round: 0,
            };
            assert_eq!(got, Err(against));
        } else {
            got.unwrap();
            assert_eq!(shares(&again.flush()), [header(8)], "after {kept} records");
        }
    }
}

#[test]
fn a_majoritys_shares_are_the_certificate_and_fewer_are_none() {
    let mut voter = Voter::fresh();
    // Before it is agreed on here, and for another header: kept, and of no use.
    voter.hear_share(share(2, 1, header(9), false));
    voter.hear(1, 1, append(0, 0, 0, &[empty(1), slot(1, 1, 7)]));
    voter.judged(1, header(7));
    voter.flush();
    voter.hear(1, 1, Body::Heartbeat { commit: 2 });
    let effects = voter.flush();
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Commit(_)))
    );
    let effects = voter.hear_share(share(1, 1, header(7), false));
    let certificates: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    let [certificate] = certificates[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((certificate.height, certificate.round), (1, 0));
    let signers: Vec<_> = certificate.signatures.iter().map(|(id, _)| *id).collect();
    assert_eq!(signers, [id(0), id(1)]);
    // Once.
    let effects = voter.hear_share(share(1, 1, header(7), true));
    assert_eq!(effects, []);
}

#[test]
fn who_signs_two_headers_is_accused() {
    let mut voter = Voter::fresh();
    voter.hear_share(share(2, 1, header(9), false));
    let effects = voter.hear_share(share(2, 1, header(8), false));
    let [Effect::Accuse(twice)] = &effects[..] else {
        panic!("{effects:?}")
    };
    let verifier = crate::testing::verifier();
    let signed = |key: &_, message: &[u8], signature: &_| {
        use xinqiao_consensus::Verifier as _;
        verifier.is_signed(key, message, signature)
    };
    assert_eq!(twice.check(&CHAIN, &set(), signed), Ok(()));
}

#[test]
fn who_waits_at_a_height_that_was_left_is_told() {
    let mut voter = Voter::fresh();
    voter.start(4, &[]).unwrap();
    // A share that is merely late is not waiting for anything.
    let effects = voter.hear_share(share(2, 3, header(9), false));
    assert_eq!(effects, []);
    let effects = voter.hear_share(share(2, 3, header(9), true));
    assert_eq!(behind(&effects), [(id(2), 3)]);
    let beaten = Letter {
        height: 2,
        ..letter(2, 1, Body::Beaten { commit: 0 })
    };
    let message = verified_by(Message::Letter(beaten), &set());
    let from = id(2);
    let effects = voter.tell(Input::Message { from, message });
    assert_eq!(behind(&effects), [(id(2), 2)]);
}

/// Elects the first voter in its first term.
fn lead(voter: &mut Voter) -> Effects {
    let mut effects = Vec::new();
    for _ in 0..20 {
        effects.extend(voter.tell(Input::Timeout(TICK)));
        if !said(&effects).is_empty() {
            break;
        }
    }
    let pre = |pre| Body::Ballot {
        pre,
        granted: true,
        commit: 0,
        commit_term: 0,
    };
    let term = voter.engine.term() + 1;
    voter.hear(1, term, pre(true));
    voter.flush();
    let effects = voter.hear(1, term, pre(false));
    assert!(voter.engine.is_leader());
    effects
}

#[test]
fn a_leader_speaks_before_the_flush_and_builds_one_block_when_there_is_work() {
    let mut voter = Voter::fresh();
    let effects = lead(&mut voter);
    // The entry that begins the term goes out before it is on this node's own disk.
    let first = append(0, 0, 0, &[empty(1)]);
    assert_eq!(said(&effects), [(id(1), first.clone()), (id(2), first)]);
    assert!(matches!(effects.last(), Some(Effect::Flush { .. })));
    voter.flush();
    // An idle chain makes no blocks.
    let built = |effects: &Effects| {
        let of = |effect: &&Effect<_>| matches!(effect, Effect::Build { .. });
        effects.iter().filter(of).count()
    };
    assert_eq!(built(&voter.tell(Input::Timeout(TICK))), 0);
    assert_eq!(built(&voter.tell(Input::Work)), 1);
    assert_eq!(built(&voter.tell(Input::Work)), 0);
    for place in [1, 2] {
        voter.hear(
            place,
            1,
            Body::Appended {
                index: 1,
                commit: 0,
            },
        );
    }
    let header = header(7);
    let effects = voter.tell(Input::Built {
        height: 1,
        round: 0,
        header,
    });
    let block = Some(Block {
        height: 1,
        header,
        proposer: id(0),
    });
    let second = append(1, 1, 1, &[Slot { term: 1, block }]);
    assert_eq!(said(&effects), [(id(1), second.clone()), (id(2), second)]);
    // One is under way.
    assert_eq!(built(&voter.tell(Input::Work)), 0);
    let again = voter.try_tell(Input::Built {
        height: 1,
        round: 0,
        header,
    });
    assert_eq!(again, Err(Error::NotAsked(header)));
}

#[test]
fn a_leader_whose_log_has_a_block_of_this_height_builds_no_other() {
    let mut voter = Voter::fresh();
    voter.hear(1, 1, append(0, 0, 0, &[empty(1), slot(1, 1, 7)]));
    voter.judged(1, header(7));
    voter.flush();
    lead(&mut voter);
    voter.flush();
    let effects = voter.tell(Input::Work);
    assert_eq!(effects, []);
    // The first entry of its own term brings it along.
    voter.hear(
        1,
        2,
        Body::Appended {
            index: 3,
            commit: 0,
        },
    );
    assert_eq!(shares(&voter.flush()), [header(7)]);
}

#[test]
fn a_point_beyond_the_chains_end_waits_for_the_blocks() {
    let point = Point {
        index: 50,
        term: 3,
        height: 9,
        header: Some(header(9)),
    };
    let mut voter = Voter::fresh();
    let effects = voter.hear(1, 4, Body::Restore(point));
    assert_eq!(effects, []);
    voter.start(9, &[]).unwrap();
    assert_eq!(said(&voter.flush()), []);
    let effects = voter.start(10, &[]).unwrap();
    assert_eq!(said(&effects), []);
    // Nothing may look at the log until the point is on disk.
    for _ in 0..30 {
        assert_eq!(said(&voter.tell(Input::Timeout(TICK))), []);
    }
    let mut effects = voter.flush();
    let appended = |index| Body::Appended { index, commit: 0 };
    assert_eq!(said(&effects), [(id(1), appended(50))]);
    assert!(effects.contains(&Effect::Truncate { below: 10 }));
    // And it goes on from there, after a crash too.
    let mut again = Voter::new();
    again.start(10, &voter.log).unwrap();
    for voter in [&mut voter, &mut again] {
        voter.flush();
        effects = voter.hear(1, 4, append(50, 3, 50, &[empty(4)]));
        effects.extend(voter.flush());
        let appended = Body::Appended {
            index: 51,
            commit: 50,
        };
        assert_eq!(said(&effects), [(id(1), appended)]);
    }
}

/// A log is cut and left behind at once, when a node far behind has caught up by blocks.
#[test]
fn a_log_that_is_cut_and_left_behind_at_once_can_be_read_again() {
    let mut voter = Voter::fresh();
    for height in 1..=KEEP + 1 {
        if height > 1 {
            voter.start(height, &[]).unwrap();
        }
        let byte = u8::try_from(height).unwrap();
        let before = u64::from(height > 1);
        let next = append(height - 1, before, 0, &[slot(1, height, byte)]);
        voter.hear_at(height, 1, next);
        voter.judged(height, header(byte));
        voter.flush();
        voter.hear_at(height, 1, Body::Heartbeat { commit: height });
        voter.flush();
    }
    let point = Point {
        index: 90,
        term: 3,
        height: 60,
        header: Some(header(60)),
    };
    voter.hear_at(70, 4, Body::Restore(point));
    voter.start(61, &[]).unwrap();
    voter.flush();
    for records in voter.log.len() - 1..=voter.log.len() {
        let mut again = Voter::new();
        again.start(61, &voter.log[..records]).unwrap();
    }
    let kept = recover(61, &voter.log).unwrap().unwrap();
    assert_eq!(kept.point, point);
}

#[test]
fn old_blocks_leave_the_log_once_what_stays_is_on_disk() {
    let mut voter = Voter::fresh();
    let mut cut = None;
    for height in 1..=2 * KEEP + 3 {
        if height > 1 {
            let effects = voter.start(height, &[]).unwrap();
            assert!(
                !effects
                    .iter()
                    .any(|effect| matches!(effect, Effect::Truncate { .. }))
            );
            let truncate = Effect::Truncate { below: height };
            let before = voter.log.len();
            if voter.flush().contains(&truncate) {
                cut = Some((height, before - 1));
            }
        }
        let byte = u8::try_from(height).unwrap();
        let before = u64::from(height > 1);
        let next = append(height - 1, before, 0, &[slot(1, height, byte)]);
        voter.hear_at(height, 1, next);
        voter.judged(height, header(byte));
        voter.flush();
        voter.hear_at(height, 1, Body::Heartbeat { commit: height });
        voter.flush();
    }
    let (height, records) = cut.expect("the log is cut");
    assert_eq!(height, 2 * KEEP + 1);
    let kept = recover(2 * KEEP + 3, &voter.log[records..])
        .unwrap()
        .unwrap();
    assert_eq!(kept.point.height, KEEP);
    assert_eq!(kept.slots.len() as u64, KEEP + 3);
}

#[test]
fn another_epoch_is_another_group() {
    let mut voter = Voter::fresh();
    voter.hear(1, 5, campaign(0, 0));
    voter.flush();
    let start = |height, since, places: &[usize]| Input::Start {
        height,
        since,
        validators: set_of(places),
        log: Vec::new(),
        work: false,
    };
    // Seen in the middle of the epoch.
    voter.tell(start(9, 7, &[0, 1, 3]));
    voter.flush();
    assert_eq!(voter.engine.term(), 0);
    let other = set_of(&[0, 1, 3]);
    let of = |since, height| Letter {
        since,
        height,
        ..letter(1, 6, campaign(0, 0))
    };
    let mut tell = |letter, set: &_| {
        let message = verified_by(Message::Letter(letter), set);
        let from = id(1);
        let mut effects = voter.tell(Input::Message { from, message });
        effects.extend(voter.flush());
        effects
    };
    // Of the epoch before; of one to come; of this one, checked against another set.
    assert_eq!(
        tell(of(1, 5), &set()),
        [Effect::Behind {
            validator: id(1),
            height: 5
        }]
    );
    assert_eq!(tell(of(8, 8), &other), []);
    assert_eq!(tell(of(7, 8), &set()), []);
    assert_eq!(said(&tell(of(7, 8), &other)), [(id(1), ballot(true))]);
    // A set that comes back is another epoch too.
    voter.tell(start(12, 12, &[0, 1, 2]));
    voter.flush();
    assert_eq!(voter.engine.term(), 0);
    // A restart in it begins it anew from a log of an earlier one.
    let mut again = Voter::new();
    let Input::Start {
        height,
        since,
        validators,
        work,
        ..
    } = start(13, 13, &[0, 1, 3])
    else {
        unreachable!()
    };
    let log = voter.log.clone();
    again.tell(Input::Start {
        height,
        since,
        validators,
        log,
        work,
    });
    assert_eq!(again.engine.term(), 0);
}

#[test]
fn who_is_no_validator_any_more_does_nothing() {
    let mut voter = Voter::fresh();
    let effects = voter.tell(Input::Start {
        height: 4,
        since: 4,
        validators: set_of(&[1, 2, 3]),
        log: Vec::new(),
        work: true,
    });
    assert_eq!(effects, []);
    for input in [
        Input::Work,
        Input::Timeout(TICK),
        Input::Connected { validator: id(1) },
        Input::Flushed { upto: 9 },
    ] {
        assert_eq!(voter.tell(input), []);
    }
}

#[test]
fn an_honest_hosts_mistakes_stop_the_engine_for_good() {
    let asked = |voter: &mut Voter| {
        voter.hear(1, 1, append(0, 0, 0, &[slot(1, 1, 7)]));
    };
    let judge = |byte, valid| Input::Judged {
        height: 1,
        header: header(byte),
        valid,
    };
    let start = |height, since| Input::Start {
        height,
        since,
        validators: set(),
        log: Vec::new(),
        work: false,
    };
    for (input, expected) in [
        (judge(7, false), Error::Diverged(header(7))),
        (judge(8, true), Error::NotAsked(header(8))),
        (start(1, 1), Error::NotAbove { current: 1, got: 1 }),
        (
            start(3, 4),
            Error::Unexpected("validators from a later height on"),
        ),
    ] {
        let mut voter = Voter::fresh();
        asked(&mut voter);
        assert_eq!(voter.try_tell(input), Err(expected));
        assert_eq!(voter.try_tell(Input::Work), Err(Error::Stopped));
    }
    let mut voter = Voter::new();
    let message = Message::Share(share(1, 1, header(1), false));
    let message = verified_by(message, &set());
    let from = id(1);
    let early = voter.try_tell(Input::Message { from, message });
    assert_eq!(early, Err(Error::NotStarted));
}

#[test]
fn a_chain_that_lost_blocks_is_noticed() {
    let mut voter = Voter::fresh();
    voter.start(2, &[]).unwrap();
    voter.hear(1, 1, append(0, 0, 0, &[slot(1, 1, 1), slot(1, 2, 7)]));
    voter.judged(2, header(7));
    voter.flush();
    let got = Voter::new().start(1, &voter.log);
    assert_eq!(got, Err(Error::LogAhead { log: 2, start: 1 }));
}

#[test]
fn a_share_is_said_again_until_there_are_enough() {
    let mut voter = Voter::fresh();
    voter.hear(1, 1, append(0, 0, 0, &[empty(1), slot(1, 1, 7)]));
    voter.judged(1, header(7));
    voter.flush();
    voter.hear(1, 1, Body::Heartbeat { commit: 2 });
    let again = |effects: Effects| {
        let again = effects.into_iter().filter_map(|effect| match effect {
            Effect::Broadcast(Message::Share(share)) => Some(share.again),
            Effect::Send {
                to: _,
                message: Message::Share(share),
            } => Some(share.again),
            _ => None,
        });
        again.collect::<Vec<_>>()
    };
    // Not before it is on disk.
    let tick = |voter: &mut Voter, times| {
        let ticks = (0..times).flat_map(|_| voter.tell(Input::Timeout(TICK)));
        again(ticks.collect())
    };
    assert_eq!(tick(&mut voter, AGAIN_TICKS), []);
    let first = voter.flush();
    assert_eq!(again(first), [false]);
    assert_eq!(tick(&mut voter, AGAIN_TICKS), [true]);
    let validator = id(2);
    assert_eq!(again(voter.tell(Input::Connected { validator })), [true]);
    voter.hear_share(share(1, 1, header(7), false));
    assert_eq!(tick(&mut voter, 2 * AGAIN_TICKS), []);
    assert_eq!(again(voter.tell(Input::Connected { validator })), []);
}

#[test]
fn a_set_that_left_and_came_back_unseen_is_another_group_too() {
    let mut voter = Voter::fresh();
    voter.hear(1, 5, campaign(0, 0));
    voter.flush();
    assert_eq!(voter.engine.term(), 5);
    let start = |log: &[Vec<u8>]| Input::Start {
        height: 12,
        since: 10,
        validators: set(),
        log: log.to_vec(),
        work: false,
    };
    voter.tell(start(&[]));
    assert_eq!(voter.engine.term(), 0);
    let mut again = Voter::new();
    again.tell(start(&voter.log[..2]));
    assert_eq!(again.engine.term(), 0);
}
