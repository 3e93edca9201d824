//! Groups as they live: seats, commits, letters, and what is made good by asking again.

use crate::world::*;
use xinqiao_ledger::member::KeyRole;
use xinqiao_mls::{
    BindingError, Error, Side,
    agent::{BINDING_MS, NoKey, UPDATE_AFTER_MS},
    holder::{EPOCH_AGE_MS, LETTERS_PER_EPOCH, Origin},
    message::{MAX_AGENTS, MAX_COMMITS, Step, Wish},
};

#[test]
fn an_agent_joins_and_reads_in_one_question() {
    let mut world = World::new(1);
    let mut agent = world.agent("agent-1");
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
    assert_eq!(
        agent.group.mark().unwrap(),
        Some(world.node.group.mark().unwrap())
    );
}

#[test]
fn all_agents_of_the_institution_are_members_and_each_reads_what_it_asks_for() {
    let mut world = World::new(2);
    let mut agents = [
        world.agent("agent-1"),
        world.agent("agent-2"),
        world.agent("agent-3"),
    ];
    for round in 0..3 {
        for (index, agent) in agents.iter_mut().enumerate() {
            let part = world.seal(round * 10 + index as u32);
            world.deliver(agent, &part);
        }
    }
    let names: Vec<_> = agents.iter().map(Agent::name).collect();
    assert!(world.node.group.agents().eq(&names));
}

#[test]
fn both_ends_name_the_same_epoch_and_the_agent_remembers_the_ones_it_was_in() {
    let mut world = World::new(3);
    let mut agent = world.agent("agent-1");
    let alone = world.node.group.mark().unwrap();
    world.settle(&mut agent, &[]);
    let joined = world.node.group.mark().unwrap();
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    let now = world.node.group.mark().unwrap();
    assert_eq!(agent.group.mark().unwrap(), Some(now));
    assert_eq!(
        (joined.epoch, now.epoch),
        (alone.epoch + 1, joined.epoch + 1)
    );
    for mark in [joined, now] {
        assert_eq!(agent.group.remembers(&mark), Some(true));
        let mut other = mark;
        other.authenticator = alone.authenticator;
        assert_eq!(
            agent.group.remembers(&other),
            Some(false),
            "another group of that name"
        );
    }
    assert_eq!(agent.group.remembers(&alone), None, "it was not there yet");
}

#[test]
fn the_same_question_again_gets_the_same_seat() {
    let mut world = World::new(4);
    let mut agent = world.agent("agent-1");
    let ask = agent
        .group
        .ask(vec![], &agent.identity, NOW, &mut world.rng)
        .unwrap();
    let again = agent
        .group
        .ask(vec![], &agent.identity, NOW + 5, &mut world.rng)
        .unwrap();
    assert_eq!(ask, again);
    let first = world.answer(ask.as_ref().unwrap(), &[]).unwrap();
    let mark = world.node.group.mark().unwrap();
    // The answer is lost, and meanwhile the group goes on.
    world.node.group.update(world.now).unwrap();
    let second = world.answer(ask.as_ref().unwrap(), &[]).unwrap();
    assert_eq!(world.node.group.mark().unwrap().epoch, mark.epoch + 1);
    let (
        Step::Welcome { welcome, .. },
        Step::Welcome {
            welcome: same,
            commits,
            ..
        },
    ) = (&first.step, &second.step)
    else {
        panic!("no welcome");
    };
    assert_eq!((welcome, commits.len()), (same, 1));
    agent.group.take(&second, &world.keys, NOW).unwrap();
    // The first comes after all, and then the second once more.
    for late in [&first, &second, &first] {
        agent.group.take(late, &world.keys, NOW).unwrap();
    }
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
}

#[test]
fn letters_may_overtake_each_other_and_come_twice() {
    let mut world = World::new(5);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let parts: Vec<Part> = (0..40).map(|number| world.seal(number)).collect();
    let mut answers = Vec::new();
    for part in &parts {
        let wanted = vec![part.key.part()];
        let ask = agent
            .group
            .ask(wanted, &agent.identity, NOW, &mut world.rng)
            .unwrap()
            .unwrap();
        answers.push(world.answer(&ask, &[part]).unwrap());
    }
    for (part, answer) in parts.iter().zip(&answers).rev() {
        let taken = agent.group.take(answer, &world.keys, NOW).unwrap();
        assert_eq!(
            opened(part, taken.letters[0].1.as_ref().unwrap()),
            Some(report_text(part))
        );
        let twice = agent.group.take(answer, &world.keys, NOW).unwrap();
        assert_eq!(twice.letters[0].1, Err(NoKey::AskAgain));
        assert!(twice.again);
    }
}

fn report_text(part: &Part) -> String {
    open(part, part.key.key()).unwrap()
}

#[test]
fn a_letter_of_an_epoch_that_is_over_is_asked_for_again() {
    let mut world = World::new(6);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let part = world.seal(1);
    let wanted = vec![part.key.part()];
    let ask = agent
        .group
        .ask(wanted, &agent.identity, NOW, &mut world.rng)
        .unwrap()
        .unwrap();
    let late = world.answer(&ask, &[&part]).unwrap();
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    let taken = agent.group.take(&late, &world.keys, NOW).unwrap();
    assert_eq!(taken.letters[0].1, Err(NoKey::AskAgain));
    world.deliver(&mut agent, &part);
}

#[test]
fn an_agent_that_was_away_follows_and_one_that_was_away_too_long_takes_a_fresh_seat() {
    for (missed, rejoins) in [(1, false), (MAX_COMMITS, false), (MAX_COMMITS + 1, true)] {
        let mut world = World::new(7);
        let mut agent = world.agent("agent-1");
        world.settle(&mut agent, &[]);
        let part = world.seal(1);
        for _ in 0..missed {
            world.now += 1;
            world.node.group.update(world.now).unwrap();
        }
        let taken = world.call(&mut agent, &[&part]);
        assert_eq!(taken.again, rejoins, "{missed}");
        world.deliver(&mut agent, &part);
    }
}

#[test]
fn the_node_moves_on_after_so_many_letters_or_so_much_time() {
    let mut world = World::new(8);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let epoch = world.node.group.mark().unwrap().epoch;
    let parts: Vec<Part> = (0..64).map(|number| world.seal(number)).collect();
    let parts: Vec<&Part> = parts.iter().collect();
    for _ in 0..LETTERS_PER_EPOCH / 64 {
        assert_eq!(world.node.group.mark().unwrap().epoch, epoch);
        world.settle(&mut agent, &parts);
    }
    world.settle(&mut agent, &parts[..1]);
    assert_eq!(world.node.group.mark().unwrap().epoch, epoch + 1);
    world.now += EPOCH_AGE_MS;
    world.settle(&mut agent, &parts[..1]);
    assert_eq!(world.node.group.mark().unwrap().epoch, epoch + 2);
    world.now += EPOCH_AGE_MS;
    world.settle(&mut agent, &[]);
    assert_eq!(world.node.group.mark().unwrap().epoch, epoch + 3);
    world.now += EPOCH_AGE_MS;
    world.settle(&mut agent, &[]);
    assert_eq!(
        world.node.group.mark().unwrap().epoch,
        epoch + 3,
        "no letters, no new epoch"
    );
}

#[test]
fn an_agent_that_was_idle_reads_the_last_letter_of_a_busy_epoch() {
    let mut world = World::new(9);
    let (mut busy, mut idle) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut busy, &[]);
    world.settle(&mut idle, &[]);
    world.settle(&mut busy, &[]);
    let parts: Vec<Part> = (0..64).map(|number| world.seal(number)).collect();
    let parts: Vec<&Part> = parts.iter().collect();
    for _ in 0..LETTERS_PER_EPOCH / 64 - 1 {
        world.settle(&mut busy, &parts);
    }
    let taken = world.call(&mut idle, &parts);
    assert!(!taken.again && taken.letters.iter().all(|(_, letter)| letter.is_ok()));
}

#[test]
fn an_agent_s_keys_are_replaced_on_demand_and_every_day() {
    let mut world = World::new(10);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let proposes = |world: &mut World, agent: &mut Agent| {
        let (now, rng) = (world.now, &mut world.rng);
        let ask = agent
            .group
            .ask(vec![], &agent.identity, now, rng)
            .unwrap()
            .unwrap();
        matches!(
            ask.wish,
            Wish::Follow {
                proposal: Some(_),
                ..
            }
        )
    };
    assert!(!proposes(&mut world, &mut agent));
    agent.group.update().unwrap();
    assert!(proposes(&mut world, &mut agent));
    world.settle(&mut agent, &[]);
    assert!(!proposes(&mut world, &mut agent), "it was carried out");
    world.now += UPDATE_AFTER_MS;
    assert!(proposes(&mut world, &mut agent));
    // The epoch moves on before the proposal arrives: it is proposed again.
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    assert!(proposes(&mut world, &mut agent));
    world.settle(&mut agent, &[]);
    assert!(!proposes(&mut world, &mut agent));
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
}

#[test]
fn other_agents_follow_an_agent_s_update_without_a_fresh_seat() {
    let mut world = World::new(22);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    for round in 0..3 {
        // It follows first where it is behind, then proposes.
        agent.group.update().unwrap();
        world.call(&mut agent, &[]);
        world.call(&mut agent, &[]);
        let (now, rng) = (world.now, &mut world.rng);
        let ask = other
            .group
            .ask(vec![], &other.identity, now, rng)
            .unwrap()
            .unwrap();
        assert!(matches!(ask.wish, Wish::Follow { .. }));
        let part = world.seal(round);
        assert!(
            !world.call(&mut other, &[&part]).again,
            "one answer leads it on"
        );
        world.deliver(&mut agent, &part);
    }
}

#[test]
fn states_do_not_grow_with_what_is_over() {
    let mut world = World::new(23);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    let mut sizes = Vec::new();
    // Until the log is full, and then as often again.
    for round in 0..2 * MAX_COMMITS {
        if round % MAX_COMMITS == 0 && round > 0 {
            sizes.push(state_sizes(&world, [&agent, &other]));
        }
        // What is proposed is not carried out each time: the epoch moves on before it arrives.
        agent.group.update().unwrap();
        let (now, rng) = (world.now, &mut world.rng);
        agent.group.ask(vec![], &agent.identity, now, rng).unwrap();
        if round % 2 == 0 {
            world.node.group.update(world.now).unwrap();
        }
        world.call(&mut agent, &[]);
        world.call(&mut agent, &[]);
        world.call(&mut other, &[]);
    }
    sizes.push(state_sizes(&world, [&agent, &other]));
    for (before, after) in sizes[0].iter().zip(&sizes[1]) {
        // Marks of epochs, 48 bytes each, are remembered for longer than the log reaches.
        assert!(*after < before + 16_384, "{sizes:?}");
    }
}

fn state_sizes(world: &World, agents: [&Agent; 2]) -> Vec<u64> {
    let paths = [&world.node.path, &agents[0].path, &agents[1].path];
    paths
        .map(|path| std::fs::metadata(path).unwrap().len())
        .to_vec()
}

#[test]
fn an_agent_leaves_by_itself_and_asks_no_more() {
    let mut world = World::new(11);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    agent.group.leave().unwrap();
    // It follows the other's joining first, then proposes.
    world.call(&mut agent, &[]);
    world.call(&mut agent, &[]);
    assert!(world.node.group.agents().eq([&other.name()]));
    let ask = agent
        .group
        .ask(vec![], &agent.identity, NOW, &mut world.rng)
        .unwrap();
    assert_eq!(ask, None);
    agent.restart();
    let ask = agent
        .group
        .ask(vec![], &agent.identity, NOW, &mut world.rng)
        .unwrap();
    assert_eq!(ask, None);
    let part = world.seal(1);
    world.deliver(&mut other, &part);
}

#[test]
fn a_revoked_key_or_a_binding_that_ran_out_ends_membership() {
    let mut world = World::new(12);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    world.keys.revoke(&agent.identity.member.key);
    world.settle(&mut other, &[]);
    assert!(world.node.group.agents().eq([&other.name()]));
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(vec![], &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    let answer = world.answer(&ask, &[]).unwrap();
    agent.group.take(&answer, &world.keys, now).unwrap();
    world.now += 1;
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(vec![], &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    let refused = world.answer(&ask, &[]).unwrap_err();
    assert!(matches!(refused, Error::Binding(BindingError::UnknownKey)));
    // The other agent is silent until after its binding's end.
    world.now += BINDING_MS + 1;
    let mut third = world.agent("agent-3");
    world.settle(&mut third, &[]);
    assert!(world.node.group.agents().eq([&third.name()]));
    world.now += 1;
    let part = world.seal(1);
    world.deliver(&mut other, &part);
}

#[test]
fn an_agent_takes_a_fresh_seat_well_before_its_binding_ends() {
    let mut world = World::new(13);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    world.now += BINDING_MS / 3 * 2;
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(vec![], &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    assert!(matches!(ask.wish, Wish::Join(_)));
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
    world.now += BINDING_MS / 2;
    let part = world.seal(2);
    world.deliver(&mut agent, &part);
}

#[test]
fn an_agent_that_lost_its_state_takes_a_fresh_seat() {
    let mut world = World::new(14);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    let part = world.seal(1);
    for damage in [false, true] {
        if damage {
            std::fs::write(&agent.path, b"XQML\x01 what a bad disk gave back").unwrap();
        } else {
            std::fs::remove_file(&agent.path).unwrap();
        }
        let wanted = if damage { Origin::Damaged } else { Origin::New };
        assert_eq!(agent.restart(), wanted);
        world.now += 1;
        world.deliver(&mut agent, &part);
        world.deliver(&mut other, &part);
        assert_eq!(world.node.group.agents().count(), 2);
    }
}

#[test]
fn a_node_that_lost_its_state_begins_a_higher_generation_and_all_agents_follow_it() {
    let mut world = World::new(15);
    let (mut agent, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut agent, &[]);
    world.settle(&mut other, &[]);
    // Sealed and recorded before; its key is in the spool.
    let part = world.seal(1);
    let before = world.node.group.mark().unwrap().generation;
    std::fs::remove_file(&world.node.path).unwrap();
    world.now += 1;
    assert_eq!(world.node.restart(world.now), Origin::New);
    assert!(world.node.group.mark().unwrap().generation > before);
    world.deliver(&mut agent, &part);
    world.deliver(&mut other, &part);
}

#[test]
fn a_node_whose_clock_went_back_as_it_lost_its_state_still_ends_at_a_higher_generation() {
    let mut world = World::new(16);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let before = world.node.group.mark().unwrap().generation;
    std::fs::remove_file(&world.node.path).unwrap();
    world.now -= 60_000;
    world.node.restart(world.now);
    assert!(world.node.group.mark().unwrap().generation < before);
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
    assert!(world.node.group.mark().unwrap().generation > before);
}

#[test]
fn a_node_whose_old_disk_was_put_back_uses_no_key_again_and_all_is_delivered() {
    let mut world = World::new(17);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let old = std::fs::read(&world.node.path).unwrap();
    let mark = world.node.group.mark().unwrap();
    let mut seen = vec![mark];
    for ahead in 0..4 {
        // The group goes on for `ahead` epochs that the old disk does not know.
        for _ in 0..ahead {
            world.node.group.update(world.now).unwrap();
            world.settle(&mut agent, &[]);
            seen.push(world.node.group.mark().unwrap());
        }
        std::fs::write(&world.node.path, &old).unwrap();
        assert_eq!(world.node.restart(world.now), Origin::Found);
        let now = world.node.group.mark().unwrap();
        assert!(!seen.contains(&now), "an epoch of its own");
        seen.push(now);
        world.now += 1;
        let part = world.seal(ahead);
        world.deliver(&mut agent, &part);
    }
}

#[test]
fn an_agent_whose_old_disk_was_put_back_catches_up_or_takes_a_fresh_seat() {
    let mut world = World::new(18);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let old = std::fs::read(&agent.path).unwrap();
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    // Its own keys changed since: the old disk cannot follow that commit.
    agent.group.update().unwrap();
    world.settle(&mut agent, &[]);
    std::fs::write(&agent.path, &old).unwrap();
    agent.restart();
    let part = world.seal(1);
    for _ in 0..8 {
        world.now += 1;
        let wanted = vec![part.key.part()];
        let (now, rng) = (world.now, &mut world.rng);
        let ask = agent
            .group
            .ask(wanted, &agent.identity, now, rng)
            .unwrap()
            .unwrap();
        let answer = match world.answer(&ask, &[&part]) {
            Ok(answer) => answer,
            Err(Error::StaleBinding { than }) => {
                agent.group.later_than(than, now).unwrap();
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        let Ok(taken) = agent.group.take(&answer, &world.keys, now) else {
            continue;
        };
        if let Some((_, Ok(letter))) = taken.letters.first() {
            assert_eq!(opened(&part, letter), Some(report(1)));
            return;
        }
    }
    panic!("it never came back");
}

#[test]
fn an_agent_whose_clock_went_back_as_it_lost_its_state_is_told_from_when_its_binding_counts() {
    let mut world = World::new(19);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    std::fs::remove_file(&agent.path).unwrap();
    agent.restart();
    let slow = world.now - 60_000;
    let ask = agent
        .group
        .ask(vec![], &agent.identity, slow, &mut world.rng)
        .unwrap()
        .unwrap();
    let Err(Error::StaleBinding { than }) = world.answer(&ask, &[]) else {
        panic!("an older binding was taken");
    };
    agent.group.later_than(than, slow).unwrap();
    let ask = agent
        .group
        .ask(vec![], &agent.identity, slow, &mut world.rng)
        .unwrap()
        .unwrap();
    let answer = world.answer(&ask, &[]).unwrap();
    agent.group.take(&answer, &world.keys, slow).unwrap();
    assert!(agent.group.mark().unwrap().is_some());
}

#[test]
fn a_group_has_at_most_so_many_agents() {
    let mut world = World::new(20);
    let mut agents: Vec<Agent> = (0..MAX_AGENTS)
        .map(|number| world.agent(&format!("agent-{number}")))
        .collect();
    for agent in &mut agents {
        world.settle(agent, &[]);
    }
    let mut late = world.agent("late");
    let ask = late
        .group
        .ask(vec![], &late.identity, NOW, &mut world.rng)
        .unwrap()
        .unwrap();
    assert!(matches!(
        world.answer(&ask, &[]),
        Err(Error::Full(MAX_AGENTS))
    ));
    // A member's fresh seat takes its old one's place.
    std::fs::remove_file(&agents[0].path).unwrap();
    agents[0].restart();
    world.now += 1;
    let part = world.seal(1);
    world.deliver(&mut agents[0], &part);
    world
        .node
        .group
        .remove(&agents[1].name(), world.now)
        .unwrap();
    world.settle(&mut late, &[]);
    world.deliver(&mut agents[2], &part);
}

#[test]
fn an_identity_of_the_wrong_side_or_organisation_is_refused() {
    let mut world = World::new(21);
    let mut agent = world.agent("agent-1");
    let stranger = identity(Side::Agent, "other-bank", "agent-1", &mut world.rng);
    world.keys.admit(&stranger, KeyRole::Agent);
    let refused = agent.group.ask(vec![], &stranger, NOW, &mut world.rng);
    assert!(matches!(
        refused,
        Err(Error::Refused {
            what: "identity",
            ..
        })
    ));
}
