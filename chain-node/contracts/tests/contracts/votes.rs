//! What becomes of proposals over blocks: when they are decided, when they take effect, and what they can
//! never do. Single steps are rows of `governance`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xinqiao_contracts::{engine, next_validators, parameters, query, testing::*, validators};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    genesis::Parameters,
    governance::GovernanceRules,
    ids::TxId,
    outcome::Outcome,
    validators::Engine,
    wire::{self, change::Kind, tx_body::Action},
};

use crate::check::{at_work, done, enacted, freeze, tell};

use crate::governance::{proposed, raft, rotate, rules, set_engine, small, weight};

fn status(chain: &Consortium, id: &TxId) -> String {
    let view = query::proposal(&chain.state, id).unwrap().unwrap();
    let wire = wire::ProposalState::from(&view);
    let status = wire.status().as_str_name();
    let words = format!("{status} {} {}", wire.failure, wire.failure_subject);
    words
        .trim_start_matches("PROPOSAL_STATUS_")
        .trim_end()
        .into()
}

fn validator_orgs(chain: &Consortium) -> Vec<String> {
    let all = validators(&chain.state).unwrap();
    all.iter().map(|one| one.org.to_string()).collect()
}

#[test]
fn nothing_within_the_block_that_decides_sees_the_change() {
    let mut chain = at_work();
    let out = vec![Kind::SuspendMember("js-bank".into())];
    let id = proposed(&mut chain, out);
    done(&mut chain, "sh-bureau/admin", vote(&id, true));
    done(&mut chain, "js-bureau/admin", vote(&id, true));
    let last = chain.sign("zj-bureau/admin", vote(&id, true));
    let after = chain.sign("js-bank/admin", open_user(2));
    let next = chain.sign("js-bank/admin", open_user(3));
    let executed = chain.block(vec![last, after]);
    assert_eq!(tell(&executed.outcomes[2]), ["credential js-bank +"]);
    assert_eq!(
        tell(&executed.outcomes[0]),
        ["proposal ENACTED", "member js-bank FROZEN"]
    );
    let executed = chain.block(vec![next]);
    assert_eq!(
        tell(&executed.outcomes[1]),
        ["rejected MEMBER_FROZEN js-bank"]
    );
}

#[test]
fn a_regulators_freeze_binds_the_next_transaction_and_stays_within_governance() {
    let mut chain = at_work();
    // A frozen bureau's validator goes on; its vote does not count, and its weight stays in the whole.
    done(&mut chain, "pboc/admin", freeze("sh-bureau"));
    assert_eq!(validator_orgs(&chain), ["sh-bureau"]);
    done(&mut chain, "pboc/admin", freeze("zj-bureau"));
    let id = proposed(&mut chain, small());
    done(&mut chain, "pboc/admin", vote(&id, true));
    done(&mut chain, "js-bureau/admin", vote(&id, true));
    let view = query::proposal(&chain.state, &id).unwrap().unwrap();
    assert_eq!((view.tally.total, view.tally.approving), (4, 2));
    assert_eq!(status(&chain, &id), "OPEN");
    let _ = chain.block_at(chain.time + 14 * DAY, vec![]);
    assert_eq!(status(&chain, &id), "REJECTED");
}

#[test]
fn a_vote_that_was_cast_counts_only_while_its_member_is_in_good_standing() {
    let mut chain = at_work();
    let id = proposed(&mut chain, small());
    done(&mut chain, "sh-bureau/admin", vote(&id, true));
    done(&mut chain, "js-bureau/admin", vote(&id, true));
    done(&mut chain, "pboc/admin", freeze("sh-bureau"));
    let outcome = chain.run("zj-bureau/admin", vote(&id, true));
    assert_eq!(tell(&outcome), ["vote zj-bureau for"], "two count, of four");
    let view = query::proposal(&chain.state, &id).unwrap().unwrap();
    let counted: Vec<_> = view
        .votes
        .iter()
        .map(|it| (it.org.as_str(), it.weight))
        .collect();
    assert_eq!(
        counted,
        [("js-bureau", 1), ("sh-bureau", 0), ("zj-bureau", 1)]
    );
    done(
        &mut chain,
        "pboc/admin",
        crate::check::unfreeze("sh-bureau"),
    );
    let outcome = chain.run("pboc/admin", vote(&id, false));
    assert_eq!(tell(&outcome), ["vote pboc against", "proposal PASSED"]);
}

#[test]
fn what_is_undecided_is_decided_at_the_deadline_by_the_rules_of_its_beginning() {
    for (second, third, wants) in [
        (true, Some(false), "ENACTED"),
        (true, None, "REJECTED"),
        (false, Some(true), "ENACTED"),
    ] {
        let mut chain = at_work();
        enacted(&mut chain, vec![rules(51, 51)]);
        let id = proposed(&mut chain, small());
        // Stricter rules come too late for it.
        enacted(&mut chain, vec![rules(100, 100)]);
        let deadline = query::proposal(&chain.state, &id)
            .unwrap()
            .unwrap()
            .record
            .deadline;
        done(&mut chain, "sh-bureau/admin", vote(&id, true));
        for (org, choice) in [("js-bureau", Some(second)), ("zj-bureau", third)] {
            if let Some(choice) = choice {
                done(&mut chain, &format!("{org}/admin"), vote(&id, choice));
            }
        }
        assert_eq!(status(&chain, &id), "OPEN", "two of four, and one to come");
        assert_eq!(
            xinqiao_contracts::next_deadline(&chain.state, 0..=deadline).unwrap(),
            Some(deadline),
            "an idle chain makes a block for it"
        );
        let _ = chain.block_at(deadline - 1, vec![]);
        assert_eq!(status(&chain, &id), "OPEN");
        let _ = chain.block_at(deadline, vec![]);
        assert_eq!(status(&chain, &id), wants, "{second} {third:?}");
    }
}

#[test]
fn past_its_deadline_nobody_votes_even_if_it_has_yet_to_fire() {
    let mut chain = Consortium::with(Parameters {
        max_deadlines_per_block: 1,
        ..Parameters::default()
    });
    let ids = [(); 3].map(|()| proposed(&mut chain, small()));
    let late = chain.sign("sh-bureau/admin", vote(&ids[2], true));
    let executed = chain.block_at(chain.time + 15 * DAY, vec![late]);
    assert_eq!(tell(&executed.outcomes[0]), ["proposal REJECTED"]);
    assert_eq!(tell(&executed.outcomes[1]), ["rejected PROPOSAL_CLOSED"]);
    assert_eq!(status(&chain, &ids[2]), "OPEN");
    let _ = chain.block(vec![]);
    let _ = chain.block(vec![]);
    assert_eq!(status(&chain, &ids[2]), "REJECTED");
}

/// The headers between name the sets: the block before a height names the height's.
#[test]
fn validators_and_engine_change_at_their_height_and_back() {
    let mut chain = at_work();
    let id = chain.genesis.distinguishing_id.clone();
    let at = chain.height + 10;
    let proposal = done(&mut chain, "pboc/admin", propose_at(raft(), at));
    for org in ["sh-bureau", "js-bureau", "zj-bureau"] {
        done(&mut chain, &format!("{org}/admin"), vote(&proposal, true));
    }
    assert_eq!(status(&chain, &proposal), "PASSED");
    while chain.height + 1 < at {
        let before = chain.state.clone();
        let executed = chain.block(vec![]);
        let next = next_validators(&before, &executed.writes, &id).unwrap();
        let changes = chain.height + 1 == at;
        assert_eq!(next.is_some(), changes, "at {}", chain.height);
        if let Some(next) = next {
            assert_eq!((next.engine(), next.count()), (Engine::Raft, 3));
            let words = tell(&executed.outcomes[0]);
            assert_eq!(
                words,
                [
                    "proposal ENACTED",
                    "engine RAFT",
                    "validator js-bureau +",
                    "validator zj-bureau +"
                ]
            );
        }
    }
    assert_eq!(status(&chain, &proposal), "ENACTED");
    assert_eq!(
        validator_orgs(&chain),
        ["js-bureau", "sh-bureau", "zj-bureau"]
    );
    let fourth = Kind::SetValidator(validator("pboc", "pboc-validator"));
    enacted(
        &mut chain,
        vec![fourth, set_engine(wire::ConsensusEngine::Bft)],
    );
    assert_eq!(engine(&chain.state).unwrap(), Engine::Bft);
    let back = vec![
        set_engine(wire::ConsensusEngine::Raft),
        Kind::RemoveValidator("pboc".into()),
    ];
    enacted(&mut chain, back);
    assert_eq!(engine(&chain.state).unwrap(), Engine::Raft);
    assert_eq!(
        validator_orgs(&chain),
        ["js-bureau", "sh-bureau", "zj-bureau"]
    );
    // The key that was in force once is not used again.
    let again = vec![Kind::SetValidator(validator("pboc", "pboc-validator"))];
    let outcome = chain.run("pboc/admin", propose(again));
    assert_eq!(tell(&outcome), ["rejected KEY_EXISTS"]);
    let record = query::validator_key(&chain.state, &key_id("pboc-validator"));
    let record = record.unwrap().unwrap();
    assert_eq!(record.until, Some(chain.height - 1));
    assert!(record.from < chain.height);
}

#[test]
fn a_rotated_key_is_in_force_until_the_block_that_rotates_it() {
    let mut chain = at_work();
    let id = chain.genesis.distinguishing_id.clone();
    let before = chain.state.clone();
    done(&mut chain, "sh-bureau/admin", rotate("validator-2"));
    let next = next_validators(&before, &chain.writes, &id)
        .unwrap()
        .unwrap();
    assert_eq!(next.keys()[0].0, key_id("validator-2"));
    let old = query::validator_key(&chain.state, &key_id("validator"))
        .unwrap()
        .unwrap();
    assert_eq!((old.from, old.until), (1, Some(chain.height)));
    let new = query::validator_key(&chain.state, &key_id("validator-2"))
        .unwrap()
        .unwrap();
    assert_eq!((new.from, new.until), (chain.height + 1, None));
    // Another endpoint makes no other set.
    let before = chain.state.clone();
    let moved = Action::RotateValidator(wire::RotateValidator {
        public_key: secret("validator-2").public().to_sec1().to_vec(),
        endpoint: "https://127.0.0.1:7002".into(),
    });
    done(&mut chain, "sh-bureau/admin", moved);
    assert_eq!(next_validators(&before, &chain.writes, &id).unwrap(), None);
    let endpoint = validators(&chain.state).unwrap()[0].endpoint.clone();
    assert_eq!(&*endpoint, "https://127.0.0.1:7002");
}

#[test]
fn what_passed_and_cannot_be_carried_out_fails_whole_and_the_chain_goes_on() {
    let mut chain = at_work();
    let publish = || Kind::PublishCatalogue((&catalogue(2)).into());
    let at = chain.height + 30;
    let first = done(&mut chain, "pboc/admin", propose_at(vec![publish()], at));
    let both = vec![weight("cn-mediation", 5), publish()];
    let second = done(&mut chain, "pboc/admin", propose_at(both, at));
    for id in [&second, &first] {
        for org in ["sh-bureau", "js-bureau", "zj-bureau"] {
            done(&mut chain, &format!("{org}/admin"), vote(id, true));
        }
    }
    while chain.height + 1 < at {
        let _ = chain.block(vec![]);
    }
    assert_eq!(
        tell(&chain.outcomes[0]),
        [
            "proposal ENACTED",
            "catalogue 2",
            "proposal FAILED CATALOGUE_VERSION 2"
        ],
        "in the order in which they were made"
    );
    assert_eq!(status(&chain, &first), "ENACTED");
    assert_eq!(status(&chain, &second), "FAILED CATALOGUE_VERSION 2");
    let mediation = "cn-mediation".parse().unwrap();
    let member = query::member(&chain.state, &mediation).unwrap().unwrap();
    assert_eq!(member.weight, 0, "nothing of it was carried out");
    assert_eq!(
        tell(&chain.run("js-bank/admin", open_user(2))),
        ["credential js-bank +"]
    );
    // A validator that is gone by then, too.
    let gone = vec![
        Kind::SetValidator(validator("zj-bureau", "zj-validator")),
        Kind::RemoveValidator("sh-bureau".into()),
    ];
    let at = chain.height + 20;
    let late = done(&mut chain, "pboc/admin", propose_at(gone, at));
    for org in ["sh-bureau", "js-bureau", "zj-bureau"] {
        done(&mut chain, &format!("{org}/admin"), vote(&late, true));
    }
    done(&mut chain, "pboc/admin", freeze("zj-bureau"));
    while chain.height + 1 < at {
        let _ = chain.block(vec![]);
    }
    assert_eq!(
        status(&chain, &late),
        "FAILED MEMBER_STATE_CONFLICT zj-bureau"
    );
    assert_eq!(validator_orgs(&chain), ["sh-bureau"]);
}

#[test]
fn a_height_that_passed_before_the_decision_is_the_block_after_it() {
    let mut chain = at_work();
    let soon = chain.height + 2;
    let id = done(&mut chain, "pboc/admin", propose_at(small(), soon));
    for _ in 0..5 {
        let _ = chain.block(vec![]);
    }
    for org in ["sh-bureau", "js-bureau", "zj-bureau"] {
        done(&mut chain, &format!("{org}/admin"), vote(&id, true));
    }
    let view = query::proposal(&chain.state, &id).unwrap().unwrap();
    assert_eq!(view.record.state.effective(), Some(chain.height + 1));
    assert_eq!(status(&chain, &id), "ENACTED");
}

#[test]
fn limits_that_a_vote_sets_bind_the_next_block() {
    let mut chain = at_work();
    let Kind::SetParameters(mut limits) = rules(67, 67) else {
        unreachable!()
    };
    limits.max_expiry_window = 5;
    enacted(&mut chain, vec![Kind::SetParameters(limits)]);
    assert_eq!(parameters(&chain.state).unwrap().max_expiry_window, 5);
    let far = chain.sign_until("js-bank/admin", open_user(2), chain.height + 6);
    let outcome = chain.block(vec![far]).outcomes.remove(1);
    assert_eq!(tell(&outcome), ["rejected TX_EXPIRY_TOO_FAR"]);
}

#[test]
fn proposals_are_listed_newest_first_page_by_page() {
    let mut chain = at_work();
    let ids: Vec<TxId> = (0..5).map(|_| proposed(&mut chain, small())).collect();
    let mut seen = Vec::new();
    let mut before = 0;
    loop {
        let page = query::proposals(&chain.state, before, 2).unwrap();
        seen.extend(page.entries.iter().map(|it| it.record.proposal));
        before = page.next_before_index;
        if before == 0 {
            break;
        }
    }
    let newest_first: Vec<TxId> = ids.iter().rev().copied().collect();
    assert_eq!(seen, newest_first);
    let view = query::proposal(&chain.state, &ids[0]).unwrap().unwrap();
    let state = wire::ProposalState::from(&view);
    let Action::Propose(said) = propose(small()) else {
        unreachable!()
    };
    assert_eq!(state.proposed, Some(said));
    assert_eq!((state.index, state.total_weight), (0, 4));
    assert_eq!(
        query::proposal(&chain.state, &TxId(sm3(b"none"))).unwrap(),
        None
    );
}

/// What came of votes in this order, on a chain with these weights.
fn story(
    weights: &[u32],
    rules_of: GovernanceRules,
    votes: &[(usize, bool)],
    deadline: bool,
) -> (Consortium, TxId) {
    let mut chain = Consortium::with(Parameters {
        governance: rules_of,
        ..Parameters::default()
    });
    // Everybody agrees to the weights, whatever the rules.
    let changes = VOTERS.iter().zip(weights).map(|(org, it)| weight(org, *it));
    let set_up = done(&mut chain, "pboc/admin", propose(changes.collect()));
    for org in VOTERS {
        let _ = chain.run(&format!("{org}/admin"), vote(&set_up, true));
    }
    assert_eq!(status(&chain, &set_up), "ENACTED");
    let proposer = VOTERS
        .iter()
        .zip(weights)
        .find_map(|(org, it)| (*it > 0).then_some(*org))
        .unwrap();
    let id = done(&mut chain, &format!("{proposer}/admin"), propose(small()));
    for (voter, approve) in votes {
        let _ = chain.run(&format!("{}/admin", VOTERS[*voter]), vote(&id, *approve));
    }
    if deadline {
        let _ = chain.block_at(chain.time + 100 * DAY, vec![]);
    }
    (chain, id)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn nothing_passes_without_the_weight_that_it_needs(
        weights in prop::collection::vec(0u32..=1_000, 4).prop_filter("a voter", |all| all.iter().any(|it| *it > 0)),
        participation in 51u32..=100,
        approval in 51u32..=100,
        votes in prop::collection::vec((0usize..4, any::<bool>()), 0..8),
        deadline in any::<bool>(),
    ) {
        let rules = GovernanceRules {
            participation_percent: participation,
            approval_percent: approval,
            voting_days: 90,
        };
        let (chain, id) = story(&weights, rules, &votes, deadline);
        let mut cast: BTreeMap<usize, bool> = BTreeMap::new();
        for (voter, approve) in &votes {
            // The first word counts, and nothing said after the decision matters to it.
            cast.entry(*voter).or_insert(*approve);
        }
        let sum = |which: Option<bool>| -> u64 {
            let counted = cast.iter().filter(|(_, approve)| which.is_none_or(|it| it == **approve));
            counted.map(|(voter, _)| u64::from(weights[*voter])).sum()
        };
        let total: u64 = weights.iter().map(|it| u64::from(*it)).sum();
        let (yes, voted) = (sum(Some(true)), sum(None));
        // All votes that were meant to be cast, counted at the end, come to what was decided.
        let enough = yes > 0
            && voted * 100 >= total * u64::from(participation)
            && yes * 100 >= voted * u64::from(approval);
        match status(&chain, &id).as_str() {
            "ENACTED" => prop_assert!(enough, "{weights:?} {cast:?}"),
            "REJECTED" => prop_assert!(!enough, "{weights:?} {cast:?}"),
            "OPEN" => prop_assert!(!deadline),
            other => prop_assert!(false, "{other}"),
        }
        let (again, _) = story(&weights, rules, &votes, deadline);
        prop_assert_eq!(again.commitment, chain.commitment);
    }
}

#[test]
fn a_decision_by_a_deadline_and_at_a_height_is_the_same_on_every_node() {
    let run = || {
        let mut chain = at_work();
        enacted(&mut chain, raft());
        let id = proposed(&mut chain, small());
        done(&mut chain, "sh-bureau/admin", vote(&id, true));
        done(&mut chain, "js-bureau/admin", vote(&id, false));
        let _ = chain.block_at(chain.time + 14 * DAY, vec![]);
        let outcomes: Vec<Outcome> = chain.outcomes.clone();
        (chain.commitment, outcomes)
    };
    assert_eq!(run(), run());
}
