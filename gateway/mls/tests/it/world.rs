//! A ledger of real keys, a data-holding node and agents on real files, and calls between them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use xinqiao_crypto::{DistinguishingId, KeyId, SecretKey, sm3};
use xinqiao_dispatch::{
    delivery::ReleasedKey,
    envelope::{self, GroupPart},
};
use xinqiao_ledger::{
    ids::{ChainId, OrderId, TimeMs},
    member::KeyRole,
    order::PartRef,
};
use xinqiao_mls::{
    AgentGroup, Answer, Ask, ContentKey, Error, HolderGroup, Identity, Ledger, Member, NodeName,
    Pair, Side, Signer, StateFile,
    agent::{NoKey, Taken},
    body,
    holder::Origin,
    letter::Letter,
};

use crate::released::released;

/// A moment of 2026.
pub(crate) const NOW: TimeMs = 1_780_000_000_000;

pub(crate) fn chain() -> ChainId {
    ChainId(sm3(b"chain"))
}

/// The ledger's keys that are valid.
#[derive(Clone, Default)]
pub(crate) struct Keys(Rc<RefCell<BTreeMap<KeyId, Signer>>>);

impl Ledger for Keys {
    fn chain(&self) -> ChainId {
        chain()
    }
    fn distinguishing_id(&self) -> DistinguishingId {
        DistinguishingId::default()
    }
    fn signer(&self, key: &KeyId) -> Option<Signer> {
        self.0.borrow().get(key).cloned()
    }
}

impl Keys {
    pub(crate) fn admit(&self, identity: &Identity, role: KeyRole) {
        let signer = Signer {
            org: identity.member.org.clone(),
            role,
            key: *identity.key.public(),
        };
        self.0.borrow_mut().insert(identity.member.key, signer);
    }

    pub(crate) fn revoke(&self, key: &KeyId) {
        self.0.borrow_mut().remove(key);
    }
}

/// A member with a key drawn from `rng`, which no ledger knows yet.
pub(crate) fn identity(side: Side, org: &str, node: &str, rng: &mut StdRng) -> Identity {
    let key = SecretKey::generate(rng);
    Identity {
        member: Member {
            side,
            org: org.parse().unwrap(),
            node: node.parse().unwrap(),
            key: key.public().id(),
        },
        key: key.into(),
        chain: chain(),
        id: DistinguishingId::default(),
    }
}

pub(crate) fn pair() -> Pair {
    Pair {
        chain: chain(),
        holder: "sh-bureau".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        institution: "su-bank".parse().unwrap(),
    }
}

pub(crate) fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

pub(crate) fn part(number: u32) -> PartRef {
    PartRef {
        order: OrderId(sm3(&number.to_be_bytes())),
        part: 0,
    }
}

/// A part that was sealed and recorded.
pub(crate) struct Part {
    pub(crate) body: Vec<u8>,
    pub(crate) key: ReleasedKey,
}

/// A data-holding node on a folder of its own.
pub(crate) struct Node {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) group: HolderGroup<StateFile>,
}

impl Node {
    pub(crate) fn restart(&mut self, now: TimeMs) -> Origin {
        let disk = StateFile::open(&self.path).unwrap();
        let (group, origin) = HolderGroup::open(disk, pair(), &self.identity, now).unwrap();
        self.group = group;
        origin
    }
}

/// An agent on a folder of its own.
pub(crate) struct Agent {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) group: AgentGroup<StateFile>,
}

impl Agent {
    pub(crate) fn restart(&mut self) -> Origin {
        let (group, origin) = open_agent(&self.path);
        self.group = group;
        origin
    }

    pub(crate) fn name(&self) -> NodeName {
        self.identity.member.node.clone()
    }
}

pub(crate) fn open_agent(path: &Path) -> (AgentGroup<StateFile>, Origin) {
    AgentGroup::open(StateFile::open(path).unwrap(), pair()).unwrap()
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) keys: Keys,
    pub(crate) rng: StdRng,
    pub(crate) now: TimeMs,
    pub(crate) node: Node,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::default();
        let identity = identity(Side::Holder, "sh-bureau", "node-1", &mut rng);
        keys.admit(&identity, KeyRole::Holder);
        let path = folder.path().join("node.group");
        let disk = StateFile::open(&path).unwrap();
        let (group, origin) = HolderGroup::open(disk, pair(), &identity, NOW).unwrap();
        assert_eq!(origin, Origin::New);
        let node = Node {
            path,
            identity,
            group,
        };
        Self {
            folder,
            keys,
            rng,
            now: NOW,
            node,
        }
    }

    pub(crate) fn agent(&mut self, node: &str) -> Agent {
        let identity = identity(Side::Agent, "su-bank", node, &mut self.rng);
        self.keys.admit(&identity, KeyRole::Agent);
        let path = self.folder.path().join(format!("{node}.group"));
        let (group, _) = open_agent(&path);
        Agent {
            path,
            identity,
            group,
        }
    }

    /// A report about `number`, sealed now.
    pub(crate) fn seal(&mut self, number: u32) -> Part {
        let mark = self.node.group.mark().unwrap();
        let aad = envelope::aad(&chain(), &part(number));
        let report = report(number);
        let (body, key) = body::seal(&mark, &aad, report.as_bytes(), &mut self.rng).unwrap();
        let key = released(part(number), &body, GroupPart { key, mark });
        Part { body, key }
    }

    pub(crate) fn answer(&mut self, ask: &Ask, parts: &[&Part]) -> Result<Answer, Error> {
        let keys: Vec<ReleasedKey> = parts.iter().map(|part| part.key.clone()).collect();
        let Node {
            identity, group, ..
        } = &mut self.node;
        group.answer(ask, &keys, identity, &self.keys, self.now, &mut self.rng)
    }

    /// One question of an agent and its answer, with nothing lost.
    pub(crate) fn call(&mut self, agent: &mut Agent, parts: &[&Part]) -> Taken {
        let wanted = parts.iter().map(|part| part.key.part()).collect();
        let (now, rng) = (self.now, &mut self.rng);
        let ask = agent
            .group
            .ask(wanted, &agent.identity, now, rng)
            .unwrap()
            .unwrap();
        let answer = self.answer(&ask, parts).unwrap();
        agent.group.take(&answer, &self.keys, self.now).unwrap()
    }

    /// Asks until nothing is left to ask for; within three rounds, or something does not heal.
    pub(crate) fn settle(&mut self, agent: &mut Agent, parts: &[&Part]) -> Taken {
        for _ in 0..3 {
            let taken = self.call(agent, parts);
            if !taken.again {
                return taken;
            }
        }
        panic!("an agent that still has to ask after three rounds");
    }

    /// Fetches and opens a part.
    #[track_caller]
    pub(crate) fn deliver(&mut self, agent: &mut Agent, part: &Part) {
        let taken = self.settle(agent, &[part]);
        let letter = taken.letters[0].1.as_ref().unwrap();
        assert_eq!(opened(part, letter).unwrap(), report_of(&part.key.part()));
    }
}

pub(crate) fn report(number: u32) -> String {
    report_of(&part(number))
}

fn report_of(part: &PartRef) -> String {
    format!("what a bank may read about {}", part.order)
}

/// The report of a part under a letter's key; none when the letter is of another body or does not open it.
pub(crate) fn opened(part: &Part, letter: &Letter) -> Option<String> {
    if letter.body != sm3(&part.body) {
        return None;
    }
    open(part, &letter.key)
}

pub(crate) fn open(part: &Part, key: &ContentKey) -> Option<String> {
    let aad = envelope::aad(&chain(), &part.key.part());
    let report = body::open(key, &aad, &part.body).ok()?;
    String::from_utf8(report.to_vec()).ok()
}

/// Whether the letters of an answer give an agent's state no key at all.
pub(crate) fn gives_nothing(taken: &Result<Taken, Error>) -> bool {
    match taken {
        Err(_) => true,
        Ok(taken) => taken
            .letters
            .iter()
            .all(|(_, letter)| matches!(letter, Err(NoKey::AskAgain | NoKey::Refused(_)))),
    }
}
