//! Malformed and misplaced input of every kind: a clear error, and nothing has changed.

use xinqiao_crypto::sm3;
use xinqiao_ledger::member::KeyRole;
use xinqiao_mls::{
    Answer, Ask, Binding, BindingError, Error, Identity, Pair, Side,
    agent::NoKey,
    binding::{Claim, MAX_VALIDITY_MS, SKEW_MS},
    message::{
        Join, MAX_BINDING, MAX_HANDSHAKE, MAX_HANDSHAKES, MAX_KEY_PACKAGE, MAX_LETTER, MAX_LETTERS,
        MAX_WELCOME, Step, Wish,
    },
};

use crate::world::*;

/// A world with one agent in the group, and one at the door with its question.
fn door() -> (World, Agent, Agent, Join) {
    let mut world = World::new(201);
    let mut member = world.agent("agent-1");
    world.settle(&mut member, &[]);
    let mut agent = world.agent("agent-2");
    let (now, rng) = (world.now, &mut world.rng);
    let ask = agent
        .group
        .ask(vec![], &agent.identity, now, rng)
        .unwrap()
        .unwrap();
    let Wish::Join(join) = ask.wish else {
        panic!("who has no seat asks for one");
    };
    (world, member, agent, join)
}

/// The node refuses, with this error, and its file is as it was.
#[track_caller]
fn refused(world: &mut World, ask: &Ask, wanted: &str) {
    let before = std::fs::read(&world.node.path).unwrap();
    let error = world.answer(ask, &[]).unwrap_err().to_string();
    assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
    assert!(
        std::fs::read(&world.node.path).unwrap() == before,
        "something changed"
    );
}

fn asks(agent: &Identity, join: &Join) -> Ask {
    Ask {
        agent: agent.member.clone(),
        wish: Wish::Join(join.clone()),
        letters: vec![],
    }
}

fn claim(agent: &Identity, join: &Join, signature_key: [u8; 32]) -> Claim {
    Claim {
        pair: pair().digest(),
        member: agent.member.clone(),
        signature_key,
        subject: sm3(&join.key_package),
        generation: 0,
        not_before: NOW,
        not_after: NOW + 1_000,
    }
}

/// The signature key that a binding names: it stands right before subject and numbers.
fn named_key(binding: &[u8]) -> [u8; 32] {
    let end = binding.len() - 64 - 24 - 32;
    binding[end - 32..end].try_into().unwrap()
}

#[test]
fn a_binding_is_refused_for_each_thing_that_is_wrong_with_it() {
    let (mut world, _, agent, join) = door();
    let key = named_key(&join.binding);
    let stranger = identity(Side::Agent, "other-bank", "agent-2", &mut world.rng);
    world.keys.admit(&stranger, KeyRole::Agent);
    let unknown = identity(Side::Agent, "su-bank", "agent-2", &mut world.rng);
    let admin = identity(Side::Agent, "su-bank", "agent-2", &mut world.rng);
    world.keys.admit(&admin, KeyRole::Admin);
    let holder = identity(Side::Holder, "sh-bureau", "node-1", &mut world.rng);
    world.keys.admit(&holder, KeyRole::Holder);
    let own = &agent.identity;
    type Change = fn(&mut Claim);
    let cases: [(&Identity, Change, &str); 12] = [
        (own, |c| c.pair = sm3(b"other"), "for another group"),
        (
            own,
            |c| {
                c.pair = Pair {
                    chain: xinqiao_ledger::ids::ChainId(sm3(b"x")),
                    ..pair()
                }
                .digest()
            },
            "for another group or another chain",
        ),
        (
            own,
            |c| c.subject = sm3(b"other"),
            "other keys than it came with",
        ),
        (
            own,
            |c| c.signature_key = [7; 32],
            "is not under the key that its binding names",
        ),
        (own, |c| c.not_before = NOW + SKEW_MS + 1, "at most 90 days"),
        (
            own,
            |c| {
                c.not_before = NOW + SKEW_MS + 1;
                c.not_after = c.not_before + 9;
            },
            "valid from",
        ),
        (
            own,
            |c| {
                c.not_before = NOW - 9;
                c.not_after = NOW - 1;
            },
            "was valid until",
        ),
        (
            own,
            |c| c.not_after = c.not_before + MAX_VALIDITY_MS + 1,
            "at most 90 days",
        ),
        (
            own,
            |c| c.generation = NOW + SKEW_MS + 1,
            "generation lies in the future",
        ),
        (&stranger, |_| {}, "other-bank has no place"),
        (&unknown, |_| {}, "no valid key"),
        (&admin, |_| {}, "no valid key"),
    ];
    for (identity, change, wanted) in cases {
        let mut changed = claim(identity, &join, key);
        change(&mut changed);
        let binding = Binding::sign(changed, identity, &mut world.rng).encode();
        let join = Join {
            binding,
            ..join.clone()
        };
        refused(&mut world, &asks(identity, &join), wanted);
    }
    let as_holder = Binding::sign(claim(&holder, &join, key), &holder, &mut world.rng);
    let as_holder = Join {
        binding: as_holder.encode(),
        ..join.clone()
    };
    refused(&mut world, &asks(&holder, &as_holder), "has no place");
    // Signed by another key than the one it names.
    let mut forged = claim(own, &join, key);
    forged.member = own.member.clone();
    let thief = Identity {
        member: own.member.clone(),
        key: xinqiao_crypto::SecretKey::generate(&mut world.rng).into(),
        chain: chain(),
        id: own.id.clone(),
    };
    let forged = Binding::sign(forged, &thief, &mut world.rng).encode();
    refused(
        &mut world,
        &asks(
            own,
            &Join {
                binding: forged,
                ..join.clone()
            },
        ),
        "signature does not fit",
    );
    // On another chain's word.
    let elsewhere = Identity {
        chain: xinqiao_ledger::ids::ChainId(sm3(b"x")),
        ..thief
    };
    let binding = Binding::sign(claim(own, &join, key), &elsewhere, &mut world.rng).encode();
    refused(
        &mut world,
        &asks(
            own,
            &Join {
                binding,
                ..join.clone()
            },
        ),
        "signature does not fit",
    );
    // Asked for by another than it names.
    let mut ask = asks(own, &join);
    ask.agent.node = name("agent-9");
    refused(&mut world, &ask, "another agent's");
    // And the right one is taken.
    assert!(matches!(
        world.answer(&asks(own, &join), &[]).unwrap().step,
        Step::Welcome { .. }
    ));
}

#[test]
fn no_bit_of_a_question_for_a_seat_can_be_changed() {
    let (mut world, _, agent, join) = door();
    let before = std::fs::read(&world.node.path).unwrap();
    for at in 0..join.binding.len() {
        let mut join = join.clone();
        join.binding[at] ^= 1;
        assert!(
            world.answer(&asks(&agent.identity, &join), &[]).is_err(),
            "binding, byte {at}"
        );
    }
    for at in 0..join.key_package.len() {
        let mut join = join.clone();
        join.key_package[at] ^= 1;
        assert!(
            world.answer(&asks(&agent.identity, &join), &[]).is_err(),
            "package, byte {at}"
        );
    }
    for end in 0..join.binding.len() {
        assert!(Binding::parse(&join.binding[..end]).is_err(), "{end} bytes");
    }
    assert!(matches!(
        Binding::parse(&[&join.binding[..], &[0]].concat()),
        Err(Error::Binding(BindingError::Malformed))
    ));
    assert!(std::fs::read(&world.node.path).unwrap() == before);
}

#[test]
fn a_key_package_that_is_none_is_refused_even_with_a_good_binding() {
    let (mut world, mut member, agent, join) = door();
    let key = named_key(&join.binding);
    let part = world.seal(1);
    let wanted = vec![part.key.part()];
    let (now, rng) = (world.now, &mut world.rng);
    let ask = member
        .group
        .ask(wanted, &member.identity, now, rng)
        .unwrap()
        .unwrap();
    let letter = world.answer(&ask, &[&part]).unwrap().letters[0].1.clone();
    for (bytes, wanted) in [
        (vec![], "is no MLS message"),
        (b"not at all".to_vec(), "is no MLS message"),
        ([&join.key_package[..], &[0]].concat(), "is no MLS message"),
        (letter, "another kind of MLS message"),
    ] {
        let join = Join {
            key_package: bytes,
            ..join.clone()
        };
        let claim = claim(&agent.identity, &join, key);
        let binding = Binding::sign(claim, &agent.identity, &mut world.rng).encode();
        refused(
            &mut world,
            &asks(&agent.identity, &Join { binding, ..join }),
            wanted,
        );
    }
}

#[test]
fn everything_an_agent_sends_has_a_limit() {
    let (mut world, _, agent, join) = door();
    let own = &agent.identity;
    let long = |length| vec![0; length + 1];
    let wish = |wish| Ask {
        agent: own.member.clone(),
        wish,
        letters: vec![],
    };
    let at = world.node.group.mark().unwrap();
    let key_package = long(MAX_KEY_PACKAGE);
    refused(
        &mut world,
        &asks(
            own,
            &Join {
                key_package,
                ..join.clone()
            },
        ),
        "may have at most",
    );
    let binding = long(MAX_BINDING);
    refused(
        &mut world,
        &asks(
            own,
            &Join {
                binding,
                ..join.clone()
            },
        ),
        "may have at most",
    );
    let proposal = Some(long(MAX_HANDSHAKE));
    refused(
        &mut world,
        &wish(Wish::Follow { at, proposal }),
        "may have at most",
    );
    let mut ask = asks(own, &join);
    ask.letters = vec![part(1); MAX_LETTERS + 1];
    refused(&mut world, &ask, "letters may have at most 64, has 65");
}

#[test]
fn a_proposal_is_carried_out_only_as_the_member_s_own_and_for_itself() {
    let (mut world, mut member, mut agent, _) = door();
    world.settle(&mut agent, &[]);
    world.settle(&mut member, &[]);
    member.group.update().unwrap();
    let (now, rng) = (world.now, &mut world.rng);
    let good = member
        .group
        .ask(vec![], &member.identity, now, rng)
        .unwrap()
        .unwrap();
    let Wish::Follow {
        at,
        proposal: Some(proposal),
    } = good.wish.clone()
    else {
        panic!("no proposal");
    };
    let with = |who: &Agent, proposal: Vec<u8>| Ask {
        agent: who.identity.member.clone(),
        wish: Wish::Follow {
            at,
            proposal: Some(proposal),
        },
        letters: vec![],
    };
    refused(
        &mut world,
        &with(&agent, proposal.clone()),
        "another agent's",
    );
    refused(
        &mut world,
        &with(&member, b"junk".to_vec()),
        "is no MLS message",
    );
    for at in (0..proposal.len()).step_by(7) {
        let mut other = proposal.clone();
        other[at] ^= 1;
        refused(&mut world, &with(&member, other), "");
    }
    let before = world.node.group.mark().unwrap();
    world.answer(&good, &[]).unwrap();
    let after = world.node.group.mark().unwrap();
    assert_eq!(after.epoch, before.epoch + 1);
    // The same again says nothing new: it was for the epoch before.
    world.answer(&good, &[]).unwrap();
    assert_eq!(world.node.group.mark().unwrap(), after);
}

#[test]
fn who_stands_where_the_group_never_was_is_sent_for_a_fresh_seat() {
    let (mut world, member, _, _) = door();
    let mut past = world.node.group.mark().unwrap();
    world.node.group.update(world.now).unwrap();
    let here = world.node.group.mark().unwrap();
    // An epoch of that number is in the log, and it was another one.
    past.authenticator = sm3(b"other");
    let mut elsewhere = [here, here, here, here, here, past];
    elsewhere[0].epoch += 1;
    elsewhere[1].epoch = u64::MAX;
    elsewhere[2].authenticator = sm3(b"other");
    elsewhere[3].generation += 1;
    elsewhere[4].generation = 0;
    for at in elsewhere {
        let ask = Ask {
            agent: member.identity.member.clone(),
            wish: Wish::Follow { at, proposal: None },
            letters: vec![part(1)],
        };
        let part = world.seal(1);
        let answer = world.answer(&ask, &[&part]).unwrap();
        assert_eq!((answer.step, answer.letters), (Step::Rejoin, vec![]));
    }
    assert_eq!(world.node.group.mark().unwrap(), here);
}

#[test]
fn only_parts_that_were_asked_for_and_may_leave_get_letters() {
    let (mut world, mut member, _, _) = door();
    let (first, second) = (world.seal(1), world.seal(2));
    let wanted = vec![first.key.part(), part(3)];
    let (now, rng) = (world.now, &mut world.rng);
    let ask = member
        .group
        .ask(wanted, &member.identity, now, rng)
        .unwrap()
        .unwrap();
    let answer = world.answer(&ask, &[&first, &second]).unwrap();
    let parts: Vec<_> = answer.letters.iter().map(|(part, _)| *part).collect();
    assert_eq!(parts, [first.key.part()]);
}

/// The agent refuses, and its file is as it was.
#[track_caller]
fn not_taken(world: &World, agent: &mut Agent, answer: &Answer, wanted: &str) {
    agent.restart();
    let before = std::fs::read(&agent.path).ok();
    let error = agent
        .group
        .take(answer, &world.keys, world.now)
        .unwrap_err()
        .to_string();
    assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
    assert!(
        std::fs::read(&agent.path).ok() == before,
        "something changed"
    );
}

#[test]
fn a_welcome_is_refused_for_each_thing_that_is_wrong_with_it() {
    let (mut world, _, mut agent, join) = door();
    let good = world.answer(&asks(&agent.identity, &join), &[]).unwrap();
    let Step::Welcome {
        welcome, binding, ..
    } = good.step.clone()
    else {
        panic!("no welcome");
    };
    let with = |welcome: Vec<u8>, binding: Vec<u8>| Answer {
        step: Step::Welcome {
            welcome,
            binding,
            commits: vec![],
        },
        ..good.clone()
    };
    for at in (0..welcome.len()).step_by(11) {
        let mut other = welcome.clone();
        other[at] ^= 1;
        not_taken(&world, &mut agent, &with(other, binding.clone()), "");
    }
    for at in 0..binding.len() {
        let mut other = binding.clone();
        other[at] ^= 1;
        not_taken(&world, &mut agent, &with(welcome.clone(), other), "");
    }
    for end in (0..welcome.len()).step_by(13) {
        not_taken(
            &world,
            &mut agent,
            &with(welcome[..end].to_vec(), binding.clone()),
            "",
        );
    }
    let kind = with(join.key_package.clone(), binding.clone());
    not_taken(&world, &mut agent, &kind, "another kind of MLS message");
    let mut generation = good.clone();
    generation.generation += 1;
    not_taken(
        &world,
        &mut agent,
        &generation,
        "other keys than it came with",
    );
    // Another node of the same organisation with a ledger key of its own cannot give seats here.
    let other = identity(Side::Holder, "sh-bureau", "node-2", &mut world.rng);
    world.keys.admit(&other, KeyRole::Holder);
    let claim = Claim {
        pair: pair().digest(),
        member: other.member.clone(),
        signature_key: named_key(&binding),
        subject: sm3(&pair().group_id(good.generation)),
        generation: good.generation,
        not_before: NOW,
        not_after: NOW + 9,
    };
    let word = Binding::sign(claim, &other, &mut world.rng).encode();
    not_taken(
        &world,
        &mut agent,
        &with(welcome.clone(), word),
        "has no place",
    );
    // The node's own ledger key may say nothing of a leaf that did not send the welcome.
    let claim = Claim {
        pair: pair().digest(),
        member: world.node.identity.member.clone(),
        signature_key: [7; 32],
        subject: sm3(&pair().group_id(good.generation)),
        generation: good.generation,
        not_before: NOW,
        not_after: NOW + 9,
    };
    let word = Binding::sign(claim, &world.node.identity, &mut world.rng).encode();
    let answer = with(welcome.clone(), word);
    not_taken(
        &world,
        &mut agent,
        &answer,
        "is not from the leaf that its binding names",
    );
    // Nor can a key that the ledger revoked.
    let node = world.node.identity.member.key;
    world.keys.revoke(&node);
    not_taken(&world, &mut agent, &good, "no valid key");
    world.keys.admit(&world.node.identity, KeyRole::Holder);
    agent.restart();
    agent.group.take(&good, &world.keys, world.now).unwrap();
    let part = world.seal(1);
    world.deliver(&mut agent, &part);
}

#[test]
fn a_welcome_that_nobody_asked_for_or_of_an_older_generation_is_refused() {
    let (mut world, _, mut agent, join) = door();
    let old = world.answer(&asks(&agent.identity, &join), &[]).unwrap();
    let mut stranger = world.agent("agent-3");
    not_taken(&world, &mut stranger, &old, "was not asked for");
    // The node begins a later group, and the agent is in it.
    std::fs::remove_file(&world.node.path).unwrap();
    world.now += 1;
    world.node.restart(world.now);
    world.settle(&mut agent, &[]);
    not_taken(&world, &mut agent, &old, "was not asked for");
    // It asks for another seat when the old answer comes.
    world.now += 1;
    agent
        .group
        .take(
            &Answer {
                step: Step::Rejoin,
                ..old.clone()
            },
            &world.keys,
            NOW,
        )
        .unwrap();
    let (now, rng) = (world.now, &mut world.rng);
    agent.group.ask(vec![], &agent.identity, now, rng).unwrap();
    not_taken(&world, &mut agent, &old, "followed by a later one");
}

#[test]
fn commits_and_letters_that_were_altered_or_misplaced_are_refused() {
    let (mut world, mut member, mut agent, _) = door();
    world.settle(&mut agent, &[]);
    world.settle(&mut member, &[]);
    world.node.group.update(world.now).unwrap();
    let (first, second) = (world.seal(1), world.seal(2));
    let wanted = vec![first.key.part(), second.key.part()];
    let (now, rng) = (world.now, &mut world.rng);
    let ask = member
        .group
        .ask(wanted, &member.identity, now, rng)
        .unwrap()
        .unwrap();
    let good = world.answer(&ask, &[&first, &second]).unwrap();
    let Step::Follow(commits) = good.step.clone() else {
        panic!("not led on");
    };
    let with = |commits: Vec<Vec<u8>>| Answer {
        step: Step::Follow(commits),
        ..good.clone()
    };
    for at in (0..commits[0].len()).step_by(11) {
        let mut other = commits[0].clone();
        other[at] ^= 1;
        not_taken(&world, &mut member, &with(vec![other]), "");
    }
    let letter = good.letters[0].1.clone();
    for (list, wanted) in [
        (vec![b"junk".to_vec()], "is no MLS message"),
        (vec![letter.clone()], "commit"),
        (
            vec![commits[0].clone(); MAX_HANDSHAKES + 1],
            "may have at most",
        ),
        (vec![vec![0; MAX_HANDSHAKE + 1]], "may have at most"),
    ] {
        not_taken(&world, &mut member, &with(list), wanted);
    }
    let letters = |letters| Answer {
        letters,
        ..good.clone()
    };
    let long = letters(vec![(part(1), vec![0; MAX_LETTER + 1])]);
    not_taken(&world, &mut member, &long, "may have at most");
    let many = letters(vec![good.letters[0].clone(); MAX_LETTERS + 1]);
    not_taken(&world, &mut member, &many, "may have at most");
    let large = Answer {
        step: Step::Welcome {
            welcome: vec![0; MAX_WELCOME + 1],
            binding: vec![],
            commits: vec![],
        },
        ..good.clone()
    };
    not_taken(&world, &mut member, &large, "may have at most");

    // Letters one by one: a bad one costs no good one, and no key.
    member.restart();
    let mut mixed = vec![(part(1), commits[0].clone()), (part(1), b"junk".to_vec())];
    for at in 0..letter.len() {
        let mut other = letter.clone();
        other[at] ^= 1;
        mixed.truncate(2);
        mixed.push((part(1), other));
        // As if for the other part.
        mixed.push((part(2), letter.clone()));
        let taken = member
            .group
            .take(&letters(mixed.clone()), &world.keys, now)
            .unwrap();
        assert!(
            taken.letters.iter().all(|(_, letter)| letter.is_err()),
            "byte {at}"
        );
        assert!(matches!(taken.letters[3].1, Err(NoKey::Refused(_))));
    }
    let taken = member.group.take(&good, &world.keys, now).unwrap();
    for (part, (_, letter)) in [&first, &second].into_iter().zip(&taken.letters) {
        assert!(opened(part, letter.as_ref().unwrap()).is_some());
    }
}
