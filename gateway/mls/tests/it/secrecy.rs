//! Who cannot read what: thieves of whole folders, removed agents, gateways, other institutions.

use std::path::Path;

use tempfile::TempDir;
use xinqiao_mls::{
    Answer, Disk, HolderGroup, StateFile, agent::NoKey, holder::Origin, message::Step,
};

use crate::world::*;

/// Everything under a folder, in another one: what a thief has.
fn stolen(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Whether any file of a folder holds these bytes, as they are, in hexadecimal digits, or as a list of
/// numbers, which is how the MLS library writes some of its values.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let decimal: Vec<String> = bytes.iter().map(ToString::to_string).collect();
    let forms = [
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        decimal.join(",").into_bytes(),
    ];
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        forms
            .iter()
            .any(|form| content.windows(form.len()).any(|window| window == form))
    })
}

/// The answer to a question for one part, on its way to `agent`.
fn intercepted(world: &mut World, agent: &mut Agent, part: &Part) -> Answer {
    let wanted = vec![part.key.part()];
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(wanted, &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    world.answer(&ask, &[part]).unwrap()
}

#[test]
fn the_whole_folder_of_a_later_epoch_opens_no_earlier_letter() {
    let mut world = World::new(101);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let part = world.seal(1);
    let before = stolen(world.folder.path());
    let letter = intercepted(&mut world, &mut agent, &part);
    // This test can fail: what was stolen in time does open it.
    let mut thief = open_agent(&before.path().join("agent-1.group")).0;
    let taken = thief.take(&letter, &world.keys, world.now).unwrap();
    assert_eq!(
        opened(&part, taken.letters[0].1.as_ref().unwrap()),
        Some(report(1))
    );

    // The epoch moves on although the letter was never read.
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    let after = stolen(world.folder.path());
    let mut thief = open_agent(&after.path().join("agent-1.group")).0;
    assert!(gives_nothing(&thief.take(&letter, &world.keys, world.now)));
    assert!(!holds(after.path(), part.key.key().expose()));
}

#[test]
fn a_letter_that_was_read_is_not_opened_by_the_folder_of_that_very_epoch() {
    let mut world = World::new(102);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let part = world.seal(1);
    let letter = intercepted(&mut world, &mut agent, &part);
    assert!(!gives_nothing(&agent.group.take(
        &letter,
        &world.keys,
        world.now
    )));
    let copy = stolen(world.folder.path());
    let mut thief = open_agent(&copy.path().join("agent-1.group")).0;
    let taken = thief.take(&letter, &world.keys, world.now).unwrap();
    assert_eq!(taken.letters[0].1, Err(NoKey::AskAgain));
    assert!(!holds(copy.path(), part.key.key().expose()));
}

#[test]
fn no_secret_of_an_epoch_is_anywhere_in_the_folder_of_a_later_one() {
    const LABELS: [&str; 3] = ["MessageSecrets", "EpochSecrets", "EpochKeyPairs"];
    let mut world = World::new(103);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let secrets = |path: &Path| -> Vec<Vec<u8>> {
        LABELS
            .iter()
            .flat_map(|label| long_lists(&values(path, label)))
            .collect()
    };
    let before = [secrets(&world.node.path), secrets(&agent.path)];
    // The one value of an epoch that is no secret: the ledger names it, and both sides remember it.
    let mark = world.node.group.mark().unwrap().authenticator.to_bytes();
    let before = before.map(|mut side| {
        side.retain(|secret| *secret != mark);
        side
    });
    for (count, side) in before
        .iter()
        .zip(["node", "agent"])
        .map(|(b, side)| (b.len(), side))
    {
        assert!(
            count >= 10,
            "the {side} keeps secrets of its epoch: {count}"
        );
    }
    for secret in before.iter().flatten() {
        assert!(
            holds(world.folder.path(), secret),
            "this test looks in the right place"
        );
    }
    agent.group.update().unwrap();
    world.settle(&mut agent, &[]);
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    for secret in before.iter().flatten() {
        assert!(
            !holds(world.folder.path(), secret),
            "a secret of an earlier epoch"
        );
    }
    for path in [&world.node.path, &agent.path] {
        for label in LABELS {
            let text = values(path, label);
            assert_eq!(text.len(), 1, "{label}: of one epoch, and no more");
        }
    }
}

#[test]
fn taking_an_agent_in_renews_the_node_s_own_keys_too() {
    let mut world = World::new(111);
    let mut agent = world.agent("agent-1");
    let before = long_lists(&values(&world.node.path, "EpochKeyPairs"));
    assert!(!before.is_empty() && before.iter().all(|key| holds(world.folder.path(), key)));
    world.settle(&mut agent, &[]);
    assert!(!before.iter().any(|key| holds(world.folder.path(), key)));
}

/// Lists of 16 numbers or more, as bytes: keys and secrets, in the library's JSON.
fn long_lists(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for value in values {
        let text = std::str::from_utf8(value).unwrap();
        for list in text.split(['[', ']']) {
            let numbers: Option<Vec<u8>> = list.split(',').map(|one| one.parse().ok()).collect();
            found.extend(numbers.filter(|numbers| numbers.len() >= 16));
        }
    }
    found
}

/// What the library keeps under a label, in a state's file.
fn values(path: &Path, label: &str) -> Vec<Vec<u8>> {
    let state = StateFile::open(path).unwrap().load().unwrap().unwrap();
    let mut found = Vec::new();
    for at in 1..state.len() - label.len() {
        if state[at..].starts_with(label.as_bytes()) {
            // Length and bytes of the key, which begins with the label; then those of the value.
            let (key, begin) = number_ending(&state, at - 1);
            let (length, begin) = number(&state, begin + key);
            found.push(state[begin..begin + length].to_vec());
        }
    }
    found
}

/// The number whose last byte is at `end`, and where the bytes after it begin.
fn number_ending(state: &[u8], end: usize) -> (usize, usize) {
    let begin = if end > 0 && state[end - 1] >= 0x80 {
        end - 1
    } else {
        end
    };
    number(state, begin)
}

fn number(state: &[u8], at: usize) -> (usize, usize) {
    let (mut number, mut shift, mut at) = (0, 0, at);
    loop {
        number |= usize::from(state[at] & 0x7f) << shift;
        at += 1;
        if state[at - 1] < 0x80 {
            return (number, at);
        }
        shift += 7;
    }
}

#[test]
fn a_copied_agent_reads_nothing_after_the_agent_s_update() {
    let mut world = World::new(104);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let copy = stolen(world.folder.path());
    let mut thief = open_agent(&copy.path().join("agent-1.group")).0;

    // Before the update the thief follows everything: what a node changes of its own does not help.
    world.node.group.update(world.now).unwrap();
    let part = world.seal(1);
    let letter = intercepted(&mut world, &mut agent, &part);
    assert!(!gives_nothing(&thief.take(&letter, &world.keys, world.now)));
    agent.group.take(&letter, &world.keys, world.now).unwrap();

    agent.group.update().unwrap();
    let part = world.seal(2);
    let answer = intercepted(&mut world, &mut agent, &part);
    assert!(gives_nothing(&thief.take(&answer, &world.keys, world.now)));
    let taken = agent.group.take(&answer, &world.keys, world.now).unwrap();
    assert_eq!(
        opened(&part, taken.letters[0].1.as_ref().unwrap()),
        Some(report(2))
    );
    for number in 3..6 {
        world.node.group.update(world.now).unwrap();
        let part = world.seal(number);
        let answer = intercepted(&mut world, &mut agent, &part);
        assert!(gives_nothing(&thief.take(&answer, &world.keys, world.now)));
        agent.group.take(&answer, &world.keys, world.now).unwrap();
    }
}

#[test]
fn a_copied_node_writes_no_letter_and_makes_no_commit_that_is_taken_after_the_node_s_update() {
    let mut world = World::new(105);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let copy = stolen(world.folder.path());
    world.node.group.update(world.now).unwrap();
    world.settle(&mut agent, &[]);
    let part = world.seal(1);
    let wanted = vec![part.key.part()];
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(wanted, &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    let disk = StateFile::open(&copy.path().join("node.group")).unwrap();
    let (mut thief, origin) = HolderGroup::open(disk, pair(), &world.node.identity, now).unwrap();
    assert_eq!(origin, Origin::Found);
    let parcels = [part.key.clone()];
    let identity = &world.node.identity;
    let answer = thief
        .answer(&ask, &parcels, identity, &world.keys, now, &mut world.rng)
        .unwrap();
    assert_eq!((answer.step, answer.letters), (Step::Rejoin, vec![]));
    world.deliver(&mut agent, &part);
}

#[test]
fn a_removed_agent_reads_no_later_letter_whatever_was_sealed_before() {
    let mut world = World::new(106);
    let (mut removed, mut other) = (world.agent("agent-1"), world.agent("agent-2"));
    world.settle(&mut removed, &[]);
    world.settle(&mut other, &[]);
    world.settle(&mut removed, &[]);
    let sealed_before = world.seal(1);
    assert!(world.node.group.remove(&removed.name(), world.now).unwrap());
    assert!(!world.node.group.remove(&removed.name(), world.now).unwrap());
    for part in [sealed_before, world.seal(2)] {
        let answer = intercepted(&mut world, &mut other, &part);
        assert!(gives_nothing(&removed.group.take(
            &answer,
            &world.keys,
            world.now
        )));
        let taken = other.group.take(&answer, &world.keys, world.now).unwrap();
        assert!(taken.letters[0].1.is_ok());
    }
}

#[test]
fn a_removed_agent_does_not_come_back_with_a_binding_from_before() {
    let mut world = World::new(107);
    let mut agent = world.agent("agent-1");
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(vec![], &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    world.answer(&ask, &[]).unwrap();
    world.node.group.remove(&agent.name(), world.now).unwrap();
    assert!(
        world.answer(&ask, &[]).is_err(),
        "a replay of what it was taken in with"
    );
    assert_eq!(world.node.group.agents().count(), 0);
    world.node.restart(world.now);
    assert!(world.answer(&ask, &[]).is_err(), "nor after a restart");
}

#[test]
fn other_agents_other_institutions_and_gateways_open_nothing() {
    let mut world = World::new(108);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let part = world.seal(1);
    let answer = intercepted(&mut world, &mut agent, &part);
    // An agent that is in no group, and one that waits for a seat.
    let mut outsider = world.agent("agent-2");
    assert!(gives_nothing(&outsider.group.take(
        &answer,
        &world.keys,
        world.now
    )));
    let (now, rng) = (world.now, &mut world.rng);
    outsider
        .group
        .ask(vec![], &outsider.identity, now, rng)
        .unwrap();
    assert!(gives_nothing(&outsider.group.take(
        &answer,
        &world.keys,
        world.now
    )));
    // What travels does not have the key or the report in it, in any form.
    let travelling = tempfile::tempdir().unwrap();
    let (_, letter) = &answer.letters[0];
    std::fs::write(travelling.path().join("letter"), letter).unwrap();
    std::fs::write(travelling.path().join("body"), &part.body).unwrap();
    assert!(!holds(travelling.path(), part.key.key().expose()));
    assert!(!holds(travelling.path(), report(1).as_bytes()));
}

#[test]
fn letters_and_bodies_of_short_and_long_reports_tell_little_by_their_length() {
    let mut world = World::new(109);
    let mut agent = world.agent("agent-1");
    world.settle(&mut agent, &[]);
    let lengths: Vec<usize> = (0..5)
        .map(|number| {
            let part = world.seal(number);
            let answer = intercepted(&mut world, &mut agent, &part);
            answer.letters[0].1.len()
        })
        .collect();
    assert!(
        lengths.windows(2).all(|pair| pair[0] == pair[1]),
        "{lengths:?}"
    );
    assert!(lengths[0] <= xinqiao_mls::message::MAX_LETTER);
}
