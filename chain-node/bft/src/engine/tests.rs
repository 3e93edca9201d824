//! The engine's promises to its host, one node at a time. Whole clusters are simulated elsewhere.

use xinqiao_consensus::{Malformed, Sm2Signer, Timer, Verifier as _};
use xinqiao_ledger::vote::VoteKind;

use super::*;
use crate::{
    Signed, Vote,
    testing::{CHAIN, block, proposal, signer, turn, validators, verified, verifier, vote, voter},
    wal::Entry,
};

type Effect = xinqiao_consensus::Effect<Message>;
type Input = xinqiao_consensus::Input<Verified>;
type Ours = Bft<Sm2Signer<rand::rngs::StdRng>>;

fn engine(place: usize) -> Ours {
    Bft::new(CHAIN, signer(place), Timeouts::default())
}

fn start(height: Height, log: Vec<Entry>, work: bool) -> Input {
    Input::Start {
        height,
        since: 1,
        validators: validators(),
        log: log.iter().map(Entry::encode).collect(),
        work,
    }
}

fn from(place: usize, message: Message) -> Input {
    Input::Message {
        from: voter(place).0,
        message: verified(message),
    }
}

fn prevote(place: usize, height: Height, header: Option<BlockId>) -> Message {
    Message::Vote(vote(place, VoteKind::Prevote, height, 0, header))
}

fn handle(engine: &mut Ours, input: Input) -> Vec<Effect> {
    engine.handle(input).expect("the engine goes on")
}

/// Everything that is said to others, once the disk has answered.
fn said(effects: &[Effect]) -> Vec<&Message> {
    let said = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast(message) | Effect::Send { message, .. } => Some(message),
        _ => None,
    });
    said.collect()
}

fn appended(effects: &[Effect]) -> Vec<Entry> {
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Append(record) => Some(Entry::decode(record).expect("an entry")),
        _ => None,
    });
    records.collect()
}

fn flush(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Flush { upto } => Some(*upto),
        _ => None,
    })
}

fn built(header: BlockId) -> Input {
    Input::Built {
        height: 4,
        round: 0,
        header: header.0,
    }
}

/// A proposer of height 4 that has proposed and prevoted; with all that it asked for.
fn proposed() -> (Ours, Vec<Effect>) {
    let mut engine = engine(turn(4, 0));
    let effects = handle(&mut engine, start(4, Vec::new(), true));
    assert!(effects.contains(&Effect::Build {
        height: 4,
        round: 0
    }));
    let effects = handle(&mut engine, built(block(1)));
    (engine, effects)
}

#[test]
fn nothing_is_said_before_the_log_is_on_disk() {
    let (mut engine, effects) = proposed();
    assert_eq!(said(&effects), Vec::<&Message>::new());
    let upto = flush(&effects).expect("the disk is asked for");
    assert_eq!(appended(&effects).len() as u64, upto);
    let Some(Effect::Flush { .. }) = effects.last() else {
        panic!("the flush comes last, so that it covers all");
    };
    let early = handle(&mut engine, Input::Flushed { upto: upto - 1 });
    assert_eq!(said(&early).len(), 0, "the vote itself is not on disk yet");
    let late = handle(&mut engine, Input::Flushed { upto });
    assert!(
        matches!(said(&late)[..], [Message::Vote(_), Message::Proposal(_)]),
        "{late:?}"
    );
}

#[test]
fn a_node_whose_disk_never_answers_stays_silent() {
    let (mut engine, _) = proposed();
    for place in 1..4 {
        let effects = handle(&mut engine, from(place, prevote(place, 4, Some(block(1)))));
        assert_eq!(said(&effects).len(), 0);
    }
    let timer = Timer {
        height: 4,
        round: 0,
        step: Step::Rebroadcast,
    };
    assert_eq!(said(&handle(&mut engine, Input::Timeout(timer))).len(), 0);
    let connected = Input::Connected {
        validator: voter(2).0,
    };
    assert_eq!(said(&handle(&mut engine, connected)).len(), 0);
}

#[test]
fn an_idle_height_has_no_timer_until_somebody_knows_of_work() {
    for cause in [Input::Work, from(1, prevote(1, 4, None))] {
        let mut engine = engine(turn(4, 0));
        let effects = handle(&mut engine, start(4, Vec::new(), false));
        assert_eq!(effects, [Effect::Truncate { below: 4 }]);
        let effects = handle(&mut engine, cause);
        assert!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::SetTimer { .. }))
        );
        assert!(effects.contains(&Effect::Build {
            height: 4,
            round: 0
        }));
    }
    let mut follower = engine(turn(4, 1));
    handle(&mut follower, start(4, Vec::new(), false));
    let effects = handle(&mut follower, Input::Work);
    let propose = Timer {
        height: 4,
        round: 0,
        step: Step::Propose,
    };
    let waits =
        |effect: &Effect| matches!(effect, Effect::SetTimer { timer, .. } if *timer == propose);
    assert!(effects.iter().any(waits), "{effects:?}");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Build { .. }))
    );
}

#[test]
fn after_a_crash_a_node_says_what_it_said_and_nothing_else() {
    let (mut engine, effects) = proposed();
    let log = appended(&effects);
    let upto = flush(&effects).expect("a flush");
    let before = handle(&mut engine, Input::Flushed { upto });
    let mut again = self::engine(turn(4, 0));
    let effects = handle(&mut again, start(4, log.clone(), true));
    assert_eq!(
        said(&effects),
        said(&before),
        "signatures and all, for all is on disk already"
    );
    assert_eq!(
        appended(&effects),
        [],
        "what is in the log is not written twice"
    );
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Build { .. }))
    );
    // The host that forms another block for the same round all the same changes nothing.
    let effects = handle(&mut again, built(block(2)));
    assert!(said(&effects).is_empty());
}

#[test]
fn a_proposer_that_crashed_before_it_could_propose_knows_later_what_it_proposed() {
    let (_, effects) = proposed();
    let whole = appended(&effects);
    let built_alone = |header| {
        let mut engine = engine(turn(4, 0));
        handle(&mut engine, start(4, Vec::new(), true));
        let first = appended(&handle(&mut engine, built(header))).swap_remove(0);
        assert!(matches!(first.event, Event::Verdict { .. }), "{first:?}");
        first
    };
    // Time and again only the body was on disk, before the proposal that goes with it.
    let lost: Vec<Entry> = (7..12).map(|number| built_alone(block(number))).collect();
    let log = [lost, whole.clone()].concat();
    let mut engine = engine(turn(4, 0));
    let again = handle(&mut engine, start(4, log, true));
    let votes = |entries: &[Entry]| -> Vec<Event> {
        let votes = entries
            .iter()
            .filter(|it| matches!(it.event, Event::Vote(_)));
        votes.map(|it| it.event.clone()).collect()
    };
    assert_eq!(
        votes(&appended(&again)),
        [],
        "it has voted, and signs nothing new"
    );
    assert!(!again.contains(&Effect::Build {
        height: 4,
        round: 0
    }));
    let timer = Timer {
        height: 4,
        round: 0,
        step: Step::Propose,
    };
    let late = handle(&mut engine, Input::Timeout(timer));
    assert_eq!(votes(&appended(&late)), []);
    assert_eq!(votes(&whole).len(), 1);
}

#[test]
fn a_log_cut_short_at_any_entry_never_leads_to_a_second_statement() {
    let (mut engine, effects) = proposed();
    let mut log = appended(&effects);
    for place in (0..4).filter(|place| *place != turn(4, 0)) {
        let effects = handle(&mut engine, from(place, prevote(place, 4, Some(block(1)))));
        log.extend(appended(&effects));
    }
    for kept in 0..=log.len() {
        let mut again = self::engine(turn(4, 0));
        handle(&mut again, start(4, log[..kept].to_vec(), true));
        let effects = handle(&mut again, built(block(2)));
        for entry in appended(&effects) {
            let clash = log[..kept].iter().any(|kept| contradicts(kept, &entry));
            assert!(!clash, "{kept} entries kept, then {entry:?}");
        }
    }
}

fn contradicts(one: &Entry, other: &Entry) -> bool {
    let place = |vote: &Signed<Vote>| {
        (
            vote.message.validator,
            vote.message.kind,
            vote.message.round,
        )
    };
    match (&one.event, &other.event) {
        (Event::Vote(one), Event::Vote(other)) => {
            place(one) == place(other) && one.message != other.message
        }
        (Event::Proposal(one), Event::Proposal(other)) => {
            one.message.round == other.message.round && one.message != other.message
        }
        _ => false,
    }
}

#[test]
fn a_body_is_judged_before_it_is_voted_for_and_asked_for_again_after_a_crash() {
    let me = turn(4, 2);
    let header = block(1);
    let asks =
        |effect: &Effect| matches!(effect, Effect::Judge { header: it, .. } if *it == header.0);
    let mut engine = engine(me);
    handle(&mut engine, start(4, Vec::new(), false));
    let proposal = from(turn(4, 0), Message::Proposal(proposal(4, 0, None, header)));
    let effects = handle(&mut engine, proposal.clone());
    assert_eq!(effects.iter().filter(|effect| asks(effect)).count(), 1);
    assert_eq!(
        handle(&mut engine, proposal)
            .iter()
            .filter(|effect| asks(effect))
            .count(),
        0
    );
    let log = appended(&effects);
    let mut again = self::engine(me);
    let effects = handle(&mut again, start(4, log.clone(), false));
    assert_eq!(effects.iter().filter(|effect| asks(effect)).count(), 1);
    for (valid, expected) in [
        (true, core::NilOrVal::Val(header)),
        (false, core::NilOrVal::Nil),
    ] {
        let mut again = self::engine(me);
        handle(&mut again, start(4, log.clone(), false));
        let judged = Input::Judged {
            height: 4,
            header: header.0,
            valid,
        };
        let effects = handle(&mut again, judged);
        let upto = flush(&effects).expect("a flush");
        let effects = handle(&mut again, Input::Flushed { upto });
        let [Message::Vote(vote)] = said(&effects)[..] else {
            panic!("one prevote: {effects:?}");
        };
        assert_eq!(vote.message.header, expected);
    }
}

#[test]
fn an_error_is_the_end() {
    let stopped = |mut engine: Ours, input: Input, expected: Error| {
        assert_eq!(engine.handle(input), Err(expected));
        assert_eq!(engine.handle(Input::Work), Err(Error::Stopped));
    };
    let judged = Input::Judged {
        height: 4,
        header: block(9).0,
        valid: true,
    };
    stopped(proposed().0, judged, Error::NotAsked(block(9).0));
    let below = start(4, Vec::new(), false);
    stopped(proposed().0, below, Error::NotAbove { current: 4, got: 4 });
    stopped(engine(0), from(1, prevote(1, 4, None)), Error::NotStarted);
    let log = appended(&proposed().1);
    let lost = start(3, log, false);
    stopped(engine(0), lost, Error::LogAhead { log: 4, start: 3 });
    let damaged = Input::Start {
        height: 4,
        since: 1,
        validators: validators(),
        log: vec![vec![1], Vec::new()],
        work: false,
    };
    let why = Malformed::Encoding;
    stopped(engine(0), damaged, Error::LogDamaged { index: 0, why });
}

#[test]
fn a_log_that_does_not_lead_to_what_was_said_stops_the_node() {
    let (_, effects) = proposed();
    let mut log = appended(&effects);
    for entry in &mut log {
        if let Event::Vote(vote) = &mut entry.event {
            vote.message.header = core::NilOrVal::Nil;
        }
    }
    let result = engine(turn(4, 0)).handle(start(4, log, false));
    assert!(matches!(result, Err(Error::Core(_))), "{result:?}");
}

#[test]
fn contradictions_are_found_at_the_height_below_it_and_above_it() {
    let mut engine = engine(0);
    handle(&mut engine, start(4, Vec::new(), false));
    for (height, left_behind) in [(3, true), (4, false), (5, false), (6, false)] {
        handle(&mut engine, from(1, prevote(1, height, None)));
        let effects = handle(&mut engine, from(2, prevote(1, height, Some(block(1)))));
        let accuses = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Accuse(_)));
        assert!(accuses, "height {height}");
        let behind = Effect::Behind {
            validator: voter(2).0,
            height,
        };
        assert_eq!(effects.contains(&behind), left_behind, "height {height}");
    }
    handle(&mut engine, from(1, prevote(1, 7, None)));
    let effects = handle(&mut engine, from(1, prevote(1, 7, Some(block(1)))));
    assert_eq!(effects, [], "too far ahead to be remembered");
}

#[test]
fn what_was_said_early_counts_once_its_height_begins() {
    let mut engine = engine(turn(5, 3));
    handle(&mut engine, start(4, Vec::new(), false));
    for place in 0..4 {
        let effects = handle(&mut engine, from(place, prevote(place, 5, None)));
        assert_eq!(effects, []);
    }
    let effects = handle(&mut engine, start(5, Vec::new(), false));
    let votes = appended(&effects);
    let early = votes
        .iter()
        .filter(|entry| matches!(&entry.event, Event::Vote(_)));
    assert!(early.count() >= 4, "{votes:?}");
}

#[test]
fn messages_checked_against_another_validator_set_count_for_nothing() {
    let keys = crate::testing::keys();
    let id = xinqiao_crypto::DistinguishingId::default();
    let other = ValidatorSet::new(Kind::Bft, keys[..3].to_vec(), id).expect("three keys");
    let place = (0..4).find(|place| other.key(&voter(*place).0).is_some());
    let place = place.expect("three of four remain");
    let from = voter(place).0;
    let message = prevote(place, 4, None).verify(from, &CHAIN, &other, &verifier());
    let mut engine = engine(0);
    handle(&mut engine, start(4, Vec::new(), true));
    let input = Input::Message {
        from,
        message: message.expect("signed by one of the three"),
    };
    assert_eq!(handle(&mut engine, input), []);
}

#[test]
fn who_comes_back_is_told_again_what_it_missed() {
    let (mut engine, effects) = proposed();
    let upto = flush(&effects).expect("a flush");
    handle(&mut engine, Input::Flushed { upto });
    let effects = handle(
        &mut engine,
        Input::Connected {
            validator: voter(2).0,
        },
    );
    assert!(
        matches!(said(&effects)[..], [Message::Proposal(_), Message::Vote(_)]),
        "{effects:?}"
    );
    let timer = Timer {
        height: 4,
        round: 0,
        step: Step::Rebroadcast,
    };
    let effects = handle(&mut engine, Input::Timeout(timer));
    assert!(
        matches!(said(&effects)[..], [Message::Proposal(_), Message::Vote(_)]),
        "{effects:?}"
    );
}

#[test]
fn a_quorum_of_precommits_is_a_certificate_that_anybody_can_check() {
    let header = crate::testing::header(4);
    let id = BlockId(header.hash());
    let mut engine = engine(turn(4, 0));
    handle(&mut engine, start(4, Vec::new(), true));
    handle(&mut engine, built(id));
    let others: Vec<usize> = (0..4).filter(|place| *place != turn(4, 0)).collect();
    let mut effects = Vec::new();
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        for place in &others {
            let vote = Message::Vote(vote(*place, kind, 4, 0, Some(id)));
            effects.extend(handle(&mut engine, from(*place, vote)));
        }
    }
    let commits: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    let [certificate] = commits[..] else {
        panic!("one commit: {effects:?}");
    };
    let verifier = verifier();
    let signed =
        |key: &_, message: &[u8], signature: &_| verifier.is_signed(key, message, signature);
    let checked = certificate.check_by(header, &validators(), signed);
    assert!(checked.is_ok(), "{checked:?}");
    let late = from(others[0], prevote(others[0], 4, None));
    let effects = handle(&mut engine, late);
    assert!(appended(&effects).is_empty(), "a decided height is over");
}

#[test]
fn what_the_log_holds_of_heights_that_have_passed_changes_nothing() {
    let (_, effects) = proposed();
    let mut engine = engine(turn(5, 0));
    let effects = handle(&mut engine, start(5, appended(&effects), false));
    assert_eq!(
        effects,
        [Effect::Truncate { below: 5 }],
        "as if it were empty"
    );
}

#[test]
#[should_panic(expected = "whose quorums these are")]
#[cfg(debug_assertions)]
fn validators_that_agree_in_another_way_are_never_met() {
    let keys = crate::testing::keys();
    let id = xinqiao_crypto::DistinguishingId::default();
    let validators = ValidatorSet::new(Kind::Raft, keys, id).expect("four keys");
    let input = Input::Start {
        height: 4,
        since: 1,
        validators,
        log: Vec::new(),
        work: false,
    };
    let _ = engine(0).handle(input);
}
