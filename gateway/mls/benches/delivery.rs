//! What sealing and opening a report costs: a delivery group beside a digital envelope, without the network.
//!
//! Letters are what a delivery of a group costs beyond its body. With real files most of that is the disk's.

use divan::{Bencher, black_box, counter::BytesCount};
use rand::{SeedableRng, rngs::StdRng};
use xinqiao_crypto::{DistinguishingId, KeyId, Open, Seal, SecretKey, Sm2Sm4Gcm, sm3};
use xinqiao_dispatch::{
    delivery::ReleasedKey,
    envelope::{self, GroupPart},
};
use xinqiao_ledger::{
    ids::{ChainId, OrderId},
    member::KeyRole,
    order::PartRef,
};
use xinqiao_mls::{
    AgentGroup, Disk, HolderGroup, Identity, Ledger, Member, Pair, Side, Signer, StateFile, body,
};

#[path = "../tests/it/released.rs"]
mod released;

use released::released;

const REPORT: usize = 20 << 10;
const NOW: u64 = 1_780_000_000_000;

fn main() {
    divan::main();
}

fn chain() -> ChainId {
    ChainId(sm3(b"chain"))
}

fn part() -> PartRef {
    PartRef {
        order: OrderId(sm3(b"order")),
        part: 0,
    }
}

struct Both(Vec<(KeyId, Signer)>);

impl Ledger for Both {
    fn chain(&self) -> ChainId {
        chain()
    }
    fn distinguishing_id(&self) -> DistinguishingId {
        DistinguishingId::default()
    }
    fn signer(&self, key: &KeyId) -> Option<Signer> {
        let known = self.0.iter().find(|(id, _)| id == key);
        known.map(|(_, signer)| signer.clone())
    }
}

/// A disk that takes no time.
struct Memory(Option<Vec<u8>>);

impl Disk for Memory {
    fn load(&self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.clone())
    }
    fn replace(&mut self, state: &[u8]) -> std::io::Result<()> {
        self.0 = Some(state.to_vec());
        Ok(())
    }
}

struct World {
    _folder: tempfile::TempDir,
    ledger: Both,
    rng: StdRng,
    holder: Identity,
    agent: Identity,
    node: HolderGroup<Box<dyn Disk>>,
    bank: AgentGroup<Box<dyn Disk>>,
}

impl World {
    fn new() -> Self {
        Self::on(true)
    }

    /// With states on disk, or in memory only.
    fn on(synced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let mut member = |side, org: &str| {
            let key = SecretKey::generate(&mut rng);
            Identity {
                member: Member {
                    side,
                    org: org.parse().expect("a name"),
                    node: "node-1".parse().expect("a name"),
                    key: key.public().id(),
                },
                key: key.into(),
                chain: chain(),
                id: DistinguishingId::default(),
            }
        };
        let (holder, agent) = (member(Side::Holder, "bureau"), member(Side::Agent, "bank"));
        let known = [(&holder, KeyRole::Holder), (&agent, KeyRole::Agent)];
        let ledger = Both(Vec::from(known.map(|(identity, role)| {
            let signer = Signer {
                org: identity.member.org.clone(),
                role,
                key: *identity.key.public(),
            };
            (identity.member.key, signer)
        })));
        let pair = Pair {
            chain: chain(),
            holder: holder.member.org.clone(),
            node: holder.member.node.clone(),
            institution: agent.member.org.clone(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let disk = |name: &str| -> Box<dyn Disk> {
            if synced {
                Box::new(StateFile::open(&folder.path().join(name)).expect("a file"))
            } else {
                Box::new(Memory(None))
            }
        };
        let node = HolderGroup::open(disk("node"), pair.clone(), &holder, NOW);
        let bank = AgentGroup::open(disk("bank"), pair);
        let mut world = Self {
            ledger,
            rng,
            holder,
            agent,
            node: node.expect("a new group").0,
            bank: bank.expect("a new agent").0,
            _folder: folder,
        };
        world.fetch(&[]);
        world
    }

    fn fetch(&mut self, parcels: &[ReleasedKey]) {
        let answer = self.answer(parcels);
        black_box(self.bank.take(&answer, &self.ledger, NOW).expect("taken"));
    }

    fn answer(&mut self, parcels: &[ReleasedKey]) -> xinqiao_mls::Answer {
        let wanted = parcels.iter().map(|parcel| parcel.part()).collect();
        let ask = self.bank.ask(wanted, &self.agent, NOW, &mut self.rng);
        let ask = ask.expect("asked").expect("it has not left");
        let (holder, ledger) = (&self.holder, &self.ledger);
        let answer = self
            .node
            .answer(&ask, parcels, holder, ledger, NOW, &mut self.rng);
        answer.expect("answered")
    }

    fn parcel(&mut self) -> (Vec<u8>, ReleasedKey) {
        let mark = self.node.mark().expect("a group");
        let aad = envelope::aad(&chain(), &part());
        let (body, key) = body::seal(&mark, &aad, &[7; REPORT], &mut self.rng).expect("sealed");
        let parcel = released(part(), &body, GroupPart { key, mark });
        (body, parcel)
    }
}

#[divan::bench]
fn envelope_seal(bencher: Bencher) {
    let mut rng = StdRng::seed_from_u64(1);
    let key = SecretKey::generate(&mut rng);
    let aad = envelope::aad(&chain(), &part());
    bencher
        .counter(BytesCount::new(REPORT))
        .bench_local(|| Sm2Sm4Gcm.seal(key.public(), &aad, &[7; REPORT], &mut rng));
}

#[divan::bench]
fn envelope_open(bencher: Bencher) {
    let mut rng = StdRng::seed_from_u64(1);
    let key = SecretKey::generate(&mut rng);
    let aad = envelope::aad(&chain(), &part());
    let sealed = Sm2Sm4Gcm
        .seal(key.public(), &aad, &[7; REPORT], &mut rng)
        .expect("sealed");
    bencher
        .counter(BytesCount::new(REPORT))
        .bench_local(|| key.open(&aad, &sealed).expect("opened"));
}

#[divan::bench]
fn group_body_seal(bencher: Bencher) {
    let mut world = World::new();
    bencher
        .counter(BytesCount::new(REPORT))
        .bench_local(|| world.parcel());
}

#[divan::bench]
fn group_body_open(bencher: Bencher) {
    let (sealed, parcel) = World::new().parcel();
    let aad = envelope::aad(&chain(), &part());
    bencher
        .counter(BytesCount::new(REPORT))
        .bench_local(|| body::open(parcel.key(), &aad, &sealed).expect("opened"));
}

/// Question, answer with letters, reading them: both sides, with states in memory, so that it shows what the
/// work takes without the disk.
#[divan::bench(args = [1, 16])]
fn group_letters_in_memory(bencher: Bencher, letters: usize) {
    fetch(bencher, letters, false);
}

/// The same, both sides synced to disk.
#[divan::bench(args = [1, 16])]
fn group_letters(bencher: Bencher, letters: usize) {
    fetch(bencher, letters, true);
}

fn fetch(bencher: Bencher, letters: usize, synced: bool) {
    let mut world = World::on(synced);
    let (body, parcel) = world.parcel();
    let mark = world.node.mark().expect("a group");
    let parcels: Vec<ReleasedKey> = (0..letters)
        .map(|index| {
            let part = PartRef {
                part: u8::try_from(index).expect("few"),
                ..part()
            };
            let key = parcel.key().clone();
            released(part, &body, GroupPart { key, mark })
        })
        .collect();
    bencher.bench_local(|| world.fetch(&parcels));
}

/// The node's half of it.
#[divan::bench(args = [false, true])]
fn group_letter_written(bencher: Bencher, synced: bool) {
    let mut world = World::on(synced);
    let (_, parcel) = world.parcel();
    bencher.bench_local(|| world.answer(std::slice::from_ref(&parcel)));
}
