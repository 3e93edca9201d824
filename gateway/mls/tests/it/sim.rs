//! A node and two agents under everything that may happen between them, from one seed: messages are lost,
//! repeated and reordered; either side crashes at any step, also in the middle of a write; states are lost,
//! and old ones put back. At the end all is calm, and every part has to be read by who ordered it.
//!
//! What seeds decide is what happens, and in which order; the library draws its keys by itself. A failure
//! names its seed.

use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use xinqiao_dispatch::{
    delivery::ReleasedKey,
    envelope::{self, GroupPart},
};
use xinqiao_ledger::{ids::TimeMs, member::KeyRole, order::PartRef};
use xinqiao_mls::{
    AgentGroup, Answer, Ask, Disk, EpochMark, Error, HolderGroup, Identity, Side, body,
};

use crate::{released::released, world::*};

/// A disk that keeps the promise of [`Disk`] and not more: when a write is cut short, either state is there.
#[derive(Clone, Default)]
struct Shaky(Rc<RefCell<Platter>>);

#[derive(Default)]
struct Platter {
    state: Option<Vec<u8>>,
    /// The next write is cut short: true keeps the new state, false the old one.
    cut: Option<bool>,
    /// A state of earlier on.
    backup: Option<Vec<u8>>,
}

impl Disk for Shaky {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().state.clone())
    }

    fn replace(&mut self, state: &[u8]) -> io::Result<()> {
        let mut platter = self.0.borrow_mut();
        match platter.cut.take() {
            Some(true) => platter.state = Some(state.to_vec()),
            Some(false) => {}
            None => {
                platter.state = Some(state.to_vec());
                return Ok(());
            }
        }
        Err(io::Error::other("the machine stopped"))
    }
}

/// What travels.
#[derive(Clone)]
enum Message {
    Ask(usize, Ask),
    Answer(usize, Answer),
    Stale(usize, TimeMs),
}

struct Machine<G> {
    disk: Shaky,
    identity: Identity,
    group: G,
}

struct Sim {
    rng: StdRng,
    keys: Keys,
    now: TimeMs,
    node: Machine<HolderGroup<Shaky>>,
    agents: Vec<Machine<AgentGroup<Shaky>>>,
    /// Sealed and recorded, by whom they were ordered for. The spool survives, as it is synced.
    parts: BTreeMap<PartRef, (usize, Part)>,
    read: BTreeMap<PartRef, usize>,
    net: Vec<Message>,
    /// Epochs that the node was in when it started or moved on.
    marks: Vec<EpochMark>,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let keys = Keys::default();
        let holder = identity(Side::Holder, "sh-bureau", "node-1", &mut rng);
        keys.admit(&holder, KeyRole::Holder);
        let disk = Shaky::default();
        let (group, _) = HolderGroup::open(disk.clone(), pair(), &holder, NOW).unwrap();
        let agents = (1..=2).map(|number| {
            let identity = identity(Side::Agent, "su-bank", &format!("agent-{number}"), &mut rng);
            keys.admit(&identity, KeyRole::Agent);
            let disk = Shaky::default();
            let (group, _) = AgentGroup::open(disk.clone(), pair()).unwrap();
            Machine {
                disk,
                identity,
                group,
            }
        });
        let agents = agents.collect();
        let marks = vec![group.mark().unwrap()];
        Self {
            rng,
            keys,
            now: NOW,
            node: Machine {
                disk,
                identity: holder,
                group,
            },
            agents,
            parts: BTreeMap::new(),
            read: BTreeMap::new(),
            net: Vec::new(),
            marks,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn order(&mut self) {
        let number = self.parts.len() as u32;
        let agent = self.rng.random_range(0..self.agents.len());
        let mark = self.node.group.mark().unwrap();
        let aad = envelope::aad(&chain(), &part(number));
        let report = report(number);
        let (body, key) = body::seal(&mark, &aad, report.as_bytes(), &mut self.rng).unwrap();
        let key = released(part(number), &body, GroupPart { key, mark });
        self.parts.insert(part(number), (agent, Part { body, key }));
    }

    fn wanted(&self, agent: usize) -> Vec<PartRef> {
        let unread = |part: &PartRef| !self.read.contains_key(part);
        let own = self
            .parts
            .iter()
            .filter(|(part, (whose, _))| *whose == agent && unread(part));
        own.map(|(part, _)| *part).take(64).collect()
    }

    fn ask(&mut self, index: usize) {
        let wanted = self.wanted(index);
        let agent = &mut self.agents[index];
        match agent
            .group
            .ask(wanted, &agent.identity, self.now, &mut self.rng)
        {
            Ok(Some(ask)) => self.net.push(Message::Ask(index, ask)),
            Ok(None) => panic!("nobody wanted to leave"),
            Err(Error::Disk(_)) => self.restart_agent(index),
            Err(other) => panic!("a question cannot be asked: {other}"),
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Ask(index, ask) => {
                let parcels: Vec<ReleasedKey> = ask
                    .letters
                    .iter()
                    .filter_map(|part| self.parts.get(part))
                    .map(|(_, part)| part.key.clone())
                    .collect();
                let Machine {
                    identity, group, ..
                } = &mut self.node;
                let answered = group.answer(
                    &ask,
                    &parcels,
                    identity,
                    &self.keys,
                    self.now,
                    &mut self.rng,
                );
                match answered {
                    Ok(answer) => self.net.push(Message::Answer(index, answer)),
                    Err(Error::StaleBinding { than }) => self.net.push(Message::Stale(index, than)),
                    Err(Error::Disk(_)) => self.restart_node(),
                    // A question that came too late to be one.
                    Err(_) => {}
                }
            }
            Message::Answer(index, answer) => {
                match self.agents[index].group.take(&answer, &self.keys, self.now) {
                    Ok(taken) => {
                        for (which, letter) in taken.letters {
                            let Ok(letter) = letter else { continue };
                            let (whose, part) = &self.parts[&which];
                            assert_eq!(*whose, index);
                            let report = opened(part, &letter).expect("a letter opens its part");
                            assert!(report.ends_with(&which.order.to_string()));
                            self.read.insert(which, index);
                        }
                    }
                    Err(Error::Disk(_)) => self.restart_agent(index),
                    Err(_) => {}
                }
            }
            Message::Stale(index, than) => {
                match self.agents[index].group.later_than(than, self.now) {
                    Ok(()) => {}
                    Err(Error::Disk(_)) => self.restart_agent(index),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }

    fn restart_node(&mut self) {
        self.node.disk.0.borrow_mut().cut = None;
        let Machine {
            disk,
            identity,
            group,
        } = &mut self.node;
        *group = HolderGroup::open(disk.clone(), pair(), identity, self.now)
            .unwrap()
            .0;
        let mark = group.mark().unwrap();
        assert!(
            !self.marks.contains(&mark),
            "keys of an epoch that was there before"
        );
        self.marks.push(mark);
    }

    fn restart_agent(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        agent.disk.0.borrow_mut().cut = None;
        agent.group = AgentGroup::open(agent.disk.clone(), pair()).unwrap().0;
    }

    fn disk(&mut self) -> (Option<usize>, Shaky) {
        let which = self.rng.random_range(0..=self.agents.len());
        match self.agents.get(which) {
            Some(agent) => (Some(which), agent.disk.clone()),
            None => (None, self.node.disk.clone()),
        }
    }

    fn restart(&mut self, which: Option<usize>) {
        match which {
            Some(index) => self.restart_agent(index),
            None => self.restart_node(),
        }
    }

    fn happen(&mut self) {
        match self.rng.random_range(0..100) {
            0..6 => self.order(),
            6..36 => {
                let index = self.rng.random_range(0..self.agents.len());
                self.ask(index);
            }
            36..76 => {
                if self.net.is_empty() {
                    return;
                }
                let at = self.rng.random_range(0..self.net.len());
                let message = if self.chance(20) {
                    self.net[at].clone()
                } else {
                    self.net.swap_remove(at)
                };
                if self.chance(80) {
                    self.receive(message);
                }
            }
            76..82 => {
                let (_, disk) = self.disk();
                let cut = self.rng.random();
                disk.0.borrow_mut().cut = Some(cut);
            }
            82..86 => {
                let (which, _) = self.disk();
                self.restart(which);
            }
            86..88 => {
                let (which, disk) = self.disk();
                disk.0.borrow_mut().state = None;
                self.restart(which);
            }
            88..90 => {
                let (_, disk) = self.disk();
                let state = disk.0.borrow().state.clone();
                disk.0.borrow_mut().backup = state;
            }
            90..92 => {
                let (which, disk) = self.disk();
                let backup = disk.0.borrow().backup.clone();
                if backup.is_some() {
                    disk.0.borrow_mut().state = backup;
                    self.restart(which);
                }
            }
            92..94 => match self.node.group.update(self.now) {
                Ok(()) => {}
                Err(Error::Disk(_)) => self.restart_node(),
                Err(other) => panic!("{other}"),
            },
            94..96 => {
                let index = self.rng.random_range(0..self.agents.len());
                match self.agents[index].group.update() {
                    Ok(()) => {}
                    Err(Error::Disk(_)) => self.restart_agent(index),
                    Err(other) => panic!("{other}"),
                }
            }
            96 => {
                let index = self.rng.random_range(0..self.agents.len());
                let name = self.agents[index].identity.member.node.clone();
                match self.node.group.remove(&name, self.now) {
                    Ok(_) => {}
                    Err(Error::Disk(_)) => self.restart_node(),
                    Err(other) => panic!("{other}"),
                }
            }
            _ => self.now += self.rng.random_range(0..600_000),
        }
        self.now += 1;
    }

    /// Nothing is lost any more. Old messages may still arrive, each once.
    fn calm(&mut self) -> u32 {
        self.node.disk.0.borrow_mut().cut = None;
        for agent in &self.agents {
            agent.disk.0.borrow_mut().cut = None;
        }
        while !self.net.is_empty() {
            let at = self.rng.random_range(0..self.net.len());
            let message = self.net.swap_remove(at);
            if matches!(message, Message::Ask(..)) && self.net.len() > 1_000 {
                continue;
            }
            self.receive(message);
        }
        for round in 1..=16 {
            for index in 0..self.agents.len() {
                self.ask(index);
                while let Some(message) = self.net.pop() {
                    self.receive(message);
                }
                self.now += 1;
            }
            let here = self.node.group.mark().unwrap();
            let together = self
                .agents
                .iter()
                .all(|agent| agent.group.mark().unwrap() == Some(here));
            if self.read.len() == self.parts.len() && together {
                return round;
            }
        }
        panic!(
            "{} of {} parts were read",
            self.read.len(),
            self.parts.len()
        );
    }
}

fn run(seed: u64, steps: u32) -> u32 {
    let mut sim = Sim::new(seed);
    for _ in 0..4 {
        sim.order();
    }
    for _ in 0..steps {
        sim.happen();
    }
    sim.calm()
}

/// `XINQIAO_MLS_SEEDS=1000` runs so many; `XINQIAO_MLS_SEED=7` runs that one.
#[test]
fn whatever_happens_every_part_is_read_in_the_end_without_an_operator() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = match number("XINQIAO_MLS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("XINQIAO_MLS_SEEDS").unwrap_or(24),
    };
    for seed in seeds {
        let done = std::panic::catch_unwind(|| run(seed, 400));
        assert!(done.is_ok(), "again with XINQIAO_MLS_SEED={seed}");
    }
}
