//! The data-holding node's side of a group: it makes the group, takes agents in, and writes letters.
//!
//! **One committer.** Only the node commits; agents propose. So commits never race, each epoch has one
//! successor, and an agent that missed some is given them again from the log.
//!
//! **Starting is committing.** [`HolderGroup::open`] moves a group that it finds to a new epoch before
//! anything else. Whatever of the last process reached the disk or did not, and even if somebody put an old
//! disk back, no key of an epoch is used again: the new epoch's come from fresh randomness.
//!
//! **Letters are made when they are asked for**, for the epoch that the same answer brings the agent to.
//! Nothing of past epochs is kept on either side, and whoever lost a letter asks for another one. What
//! is kept of an open part's key, in the node's spool, opens nothing that the node could not read anyway:
//! it holds the records. It goes with the part.
//!
//! **What is lost is begun again.** A lost or damaged state is followed by a group of a higher generation, an
//! agent that cannot follow by a fresh seat. Generations are milliseconds since 1970 or more, so that a node
//! that forgot everything still begins a higher one.

use std::collections::BTreeMap;

use openmls::prelude::{
    GroupId, KeyPackage, LeafNodeIndex, MlsGroup, MlsMessageBodyIn, OpenMlsProvider,
    ProcessedMessageContent, Proposal, ProtocolVersion, Sender,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use xinqiao_crypto::sm3;
use xinqiao_dispatch::{delivery::ReleasedKey, envelope};
use xinqiao_ledger::{ids::TimeMs, order::PartRef};

use crate::{
    binding::{Binding, Claim, Identity, Ledger, SKEW_MS, standing},
    book::Book,
    disk::Disk,
    error::Error,
    letter::Letter,
    member::{EpochMark, Member, NodeName, Pair, Side},
    message::{Answer, Ask, Join, MAX_AGENTS, MAX_COMMITS, Step, Wish},
    mls::{self, LeafKey, Provider},
};

pub use crate::book::Origin;

/// Letters of one epoch before the node moves on to the next.
pub const LETTERS_PER_EPOCH: u32 = 512;

/// Age of an epoch after which the node moves on before it writes another letter: one hour.
pub const EPOCH_AGE_MS: u64 = 3_600_000;

/// How long the node's word for its own leaf is valid: one day. It is given anew with each welcome.
const BINDING_MS: u64 = 86_400_000;

/// Names of removed agents that are remembered, so that their old bindings are not taken again.
const MAX_REMOVED: usize = 256;

/// What is on disk beside the library's own.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    /// 0 before the first group.
    generation: u64,
    leaf: Option<LeafKey>,
    /// When the epoch began.
    since: TimeMs,
    /// Letters of the epoch.
    letters: u32,
    /// The last commits, oldest first.
    log: Vec<Commit>,
    seats: BTreeMap<NodeName, Seat>,
    /// When agents were removed.
    removed: BTreeMap<NodeName, TimeMs>,
}

/// A commit, and the epoch that it starts from.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Commit {
    epoch: u64,
    authenticator: [u8; 32],
    /// The proposal that it carries out, if an agent made one, and the commit.
    messages: Vec<Vec<u8>>,
}

/// An agent's place in the group.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Seat {
    leaf: u32,
    credential: Vec<u8>,
    signature_key: Vec<u8>,
    /// SM3 of the key package that it came with.
    package: [u8; 32],
    not_before: TimeMs,
    not_after: TimeMs,
    /// The epoch that the welcome leads to.
    joined: u64,
    welcome: Vec<u8>,
}

/// One group, from the data-holding node's side.
pub struct HolderGroup<D> {
    pair: Pair,
    book: Book<D, Record>,
}

impl<D: Disk> HolderGroup<D> {
    /// Opens the group, and moves it to a new epoch; begins a new one where there is none.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or `identity` is not the pair's node.
    pub fn open(
        disk: D,
        pair: Pair,
        identity: &Identity,
        now: TimeMs,
    ) -> Result<(Self, Origin), Error> {
        if identity.member.side != Side::Holder || !pair.admits(&identity.member) {
            return Err(Error::refused("identity", "is not that of the pair's node"));
        }
        let new = Record {
            generation: 0,
            leaf: None,
            since: now,
            letters: 0,
            log: Vec::new(),
            seats: BTreeMap::new(),
            removed: BTreeMap::new(),
        };
        let (book, origin) = Book::open(disk, new)?;
        let mut this = Self { pair, book };
        let pair = &this.pair;
        this.book.step(|provider, record| {
            if let Some(mut group) = current(provider, pair, record) {
                let own = group.own_leaf_node().map(|leaf| leaf.credential().clone());
                let ours = own.is_some_and(|credential| {
                    mls::member(&credential).is_ok_and(|member| member == identity.member)
                });
                if ours {
                    let change = Change::default();
                    return commit(provider, record, &mut group, change, now).map(|_| ());
                }
            }
            // None yet, one that cannot be read any more, or one under a ledger key of the past.
            begin(provider, pair, record, identity, now)
        })?;
        Ok((this, origin))
    }

    /// The epoch that the group is in: what a body that is sealed now is marked with.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn mark(&self) -> Result<EpochMark, Error> {
        let record = self.book.record();
        let group = mls::load(self.book.provider(), &self.pair.group_id(record.generation))?;
        let mark = mls::mark(&group, record.generation)?;
        mls::put(self.book.provider(), group);
        Ok(mark)
    }

    /// The agents that are members, in the order of their names.
    pub fn agents(&self) -> impl Iterator<Item = &NodeName> {
        self.book.record().seats.keys()
    }

    /// Answers an agent. `parcels` are the keys that may leave, of the parts that it asked for: of recorded
    /// deliveries, as their type says. That the orders are the institution's is for the caller to know.
    ///
    /// # Errors
    /// When the question breaks a rule; nothing has changed then.
    pub fn answer<R: CryptoRng + ?Sized>(
        &mut self,
        ask: &Ask,
        parcels: &[ReleasedKey],
        identity: &Identity,
        ledger: &dyn Ledger,
        now: TimeMs,
        rng: &mut R,
    ) -> Result<Answer, Error> {
        let mut answers = self.answers(&[(ask, parcels)], identity, ledger, now, rng)?;
        answers.pop().unwrap_or(Err(Error::Reopen))
    }

    /// Answers several questions, one after the other, and keeps what came of them as one: a write costs more than
    /// all the rest. One that is refused leaves nothing.
    ///
    /// # Errors
    /// When the state cannot be written; none is answered then.
    pub fn answers<R: CryptoRng + ?Sized>(
        &mut self,
        asks: &[(&Ask, &[ReleasedKey])],
        identity: &Identity,
        ledger: &dyn Ledger,
        now: TimeMs,
        rng: &mut R,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let pair = &self.pair;
        let mut swept = false;
        self.book.steps(asks, |provider, record, (ask, parcels)| {
            ask.check()?;
            if !swept {
                sweep(provider, pair, record, ledger, now)?;
            }
            if record.letters >= LETTERS_PER_EPOCH
                || (record.letters > 0 && now.saturating_sub(record.since) >= EPOCH_AGE_MS)
            {
                let mut group = mls::load(provider, &pair.group_id(record.generation))?;
                commit(provider, record, &mut group, Change::default(), now)?;
            }
            let step = match &ask.wish {
                Wish::Join(join) => seat(
                    provider, pair, record, &ask.agent, join, identity, ledger, now, rng,
                )?,
                Wish::Follow { at, proposal } => follow(
                    provider,
                    pair,
                    record,
                    &ask.agent,
                    at,
                    proposal.as_deref(),
                    now,
                )?,
            };
            let letters = if matches!(step, Step::Rejoin) {
                Vec::new()
            } else {
                let wanted = parcels
                    .iter()
                    .filter(|parcel| ask.letters.contains(&parcel.part()));
                letters(provider, pair, record, wanted)?
            };
            // A step that fails takes back its sweep as well.
            swept = true;
            Ok(Answer {
                generation: record.generation,
                step,
                letters,
            })
        })
    }

    /// Moves the group to a new epoch with fresh keys of the node, as after it may have been copied.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn update(&mut self, now: TimeMs) -> Result<(), Error> {
        let pair = &self.pair;
        self.book.step(|provider, record| {
            let mut group = mls::load(provider, &pair.group_id(record.generation))?;
            commit(provider, record, &mut group, Change::default(), now).map(|_| ())
        })
    }

    /// Removes an agent: it reads no letter from now on, and needs a binding from after `now` to come back.
    /// False when it is no member.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn remove(&mut self, agent: &NodeName, now: TimeMs) -> Result<bool, Error> {
        let pair = &self.pair;
        self.book.step(|provider, record| {
            if !record.seats.contains_key(agent) {
                return Ok(false);
            }
            clear(provider, pair, record, std::slice::from_ref(agent), now)?;
            Ok(true)
        })
    }
}

/// The group of the record, if it is there and whole.
fn current(provider: &Provider, pair: &Pair, record: &Record) -> Option<MlsGroup> {
    record.leaf.as_ref()?;
    mls::load(provider, &pair.group_id(record.generation)).ok()
}

/// Begins a group of a higher generation than any that is known, with nobody but the node in it. Nothing of
/// the group before it stays.
fn begin(
    provider: &mut Provider,
    pair: &Pair,
    record: &mut Record,
    identity: &Identity,
    now: TimeMs,
) -> Result<(), Error> {
    let fresh = Provider::default();
    let leaf = LeafKey::generate(&fresh)?;
    let generation = record.generation.saturating_add(1).max(now);
    let group = MlsGroup::new_with_group_id(
        &fresh,
        &leaf.signer(&fresh),
        &mls::create_settings(),
        GroupId::from_slice(&pair.group_id(generation)),
        leaf.credential(&identity.member),
    )
    .map_err(|why| Error::library(&why))?;
    mls::forget_resumption(&fresh, &group)?;
    *provider = fresh;
    record.generation = generation;
    record.leaf = Some(leaf);
    record.since = now;
    record.letters = 0;
    record.log.clear();
    record.seats.clear();
    Ok(())
}

/// What a commit changes, beside the node's own keys, which it always changes.
#[derive(Default)]
struct Change {
    /// The agent's proposal that waits, as it came: the other agents need it to follow.
    proposal: Option<Vec<u8>>,
    remove: Vec<LeafNodeIndex>,
    add: Vec<KeyPackage>,
}

/// Moves the group on; the welcome, if somebody was added.
fn commit(
    provider: &Provider,
    record: &mut Record,
    group: &mut MlsGroup,
    change: Change,
    now: TimeMs,
) -> Result<Option<Vec<u8>>, Error> {
    let before = mls::mark(group, record.generation)?;
    let leaf = record.leaf.as_ref();
    let leaf = leaf.ok_or_else(|| Error::library(&"a group without a key"))?;
    let signer = leaf.signer(provider);
    let bundle = group
        .commit_builder()
        .force_self_update(true)
        .propose_removals(change.remove)
        .propose_adds(change.add)
        .load_psks(provider.storage())
        .map_err(|why| Error::library(&why))?
        .build(provider.rand(), provider.crypto(), &signer, |_| true)
        .map_err(|why| Error::of("commit")(&why))?
        .stage_commit(provider)
        .map_err(|why| Error::library(&why))?;
    let (message, welcome, _) = bundle.into_messages();
    let messages = change.proposal.into_iter().chain([mls::bytes(&message)?]);
    group
        .merge_pending_commit(provider)
        .map_err(|why| Error::library(&why))?;
    mls::tidy(provider);
    record.log.push(Commit {
        epoch: before.epoch,
        authenticator: before.authenticator.to_bytes(),
        messages: messages.collect(),
    });
    let excess = record.log.len().saturating_sub(MAX_COMMITS);
    record.log.drain(..excess);
    record.since = now;
    record.letters = 0;
    welcome.as_ref().map(mls::bytes).transpose()
}

/// Removes the agents whose binding has run out, or whose ledger key is not valid any more.
fn sweep(
    provider: &Provider,
    pair: &Pair,
    record: &mut Record,
    ledger: &dyn Ledger,
    now: TimeMs,
) -> Result<(), Error> {
    let stands = |seat: &Seat| {
        let member = Member::parse(&seat.credential);
        seat.not_after >= now && member.is_ok_and(|member| standing(&member, ledger).is_some())
    };
    let gone = record.seats.iter().filter(|(_, seat)| !stands(seat));
    let gone: Vec<NodeName> = gone.map(|(name, _)| name.clone()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    clear(provider, pair, record, &gone, now)
}

/// Removes members by a commit.
fn clear(
    provider: &Provider,
    pair: &Pair,
    record: &mut Record,
    agents: &[NodeName],
    now: TimeMs,
) -> Result<(), Error> {
    let mut remove = Vec::new();
    for name in agents {
        if let Some(seat) = record.seats.remove(name) {
            remove.push(LeafNodeIndex::new(seat.leaf));
            record
                .removed
                .insert(name.clone(), now.max(seat.not_before));
        }
    }
    while record.removed.len() > MAX_REMOVED {
        // The one that was removed longest ago: its bindings are the likeliest to have run out.
        let oldest = record.removed.iter().min_by_key(|(_, at)| **at);
        let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
            break;
        };
        record.removed.remove(&oldest);
    }
    let mut group = mls::load(provider, &pair.group_id(record.generation))?;
    let change = Change {
        remove,
        ..Change::default()
    };
    commit(provider, record, &mut group, change, now).map(|_| ())
}

/// Takes an agent in, or in again.
#[expect(
    clippy::too_many_arguments,
    reason = "each is what one of the checks is made against"
)]
fn seat<R: CryptoRng + ?Sized>(
    provider: &mut Provider,
    pair: &Pair,
    record: &mut Record,
    agent: &Member,
    join: &Join,
    identity: &Identity,
    ledger: &dyn Ledger,
    now: TimeMs,
    rng: &mut R,
) -> Result<Step, Error> {
    let package = sm3(&join.key_package);
    let bound = Binding::parse(&join.binding)?.check(pair, Side::Agent, &package, ledger, now)?;
    let claim = bound.claim();
    if claim.member != *agent {
        return Err(Error::refused("binding", "is another agent's"));
    }
    if let Some(seat) = record.seats.get(&claim.member.node)
        && seat.package == package.to_bytes()
    {
        // The same question again: its answer was lost. The same answer, if it still leads here.
        let Some(commits) = since(provider, pair, record, seat.joined)? else {
            return Ok(Step::Rejoin);
        };
        let welcome = seat.welcome.clone();
        return welcomed(pair, record, identity, welcome, commits, now, rng);
    }
    let known = record
        .seats
        .get(&claim.member.node)
        .map(|seat| seat.not_before);
    let known = known.max(record.removed.get(&claim.member.node).copied());
    if let Some(than) = known
        && claim.not_before <= than
    {
        return Err(Error::StaleBinding { than });
    }
    let key_package = key_package(provider, claim, &join.key_package)?;
    if !record.seats.contains_key(&claim.member.node) && record.seats.len() >= MAX_AGENTS {
        return Err(Error::Full(MAX_AGENTS));
    }
    if claim.generation > record.generation {
        // The agent has been in a later group than this node remembers: an old disk was put back.
        if claim.generation > now.saturating_add(SKEW_MS) {
            return Err(Error::refused(
                "binding",
                "its generation lies in the future",
            ));
        }
        record.generation = claim.generation;
        begin(provider, pair, record, identity, now)?;
    }
    let mut group = mls::load(provider, &pair.group_id(record.generation))?;
    let before = record.seats.remove(&claim.member.node);
    let change = Change {
        remove: before
            .iter()
            .map(|seat| LeafNodeIndex::new(seat.leaf))
            .collect(),
        add: vec![key_package],
        proposal: None,
    };
    let welcome = commit(provider, record, &mut group, change, now)?
        .ok_or_else(|| Error::library(&"an addition without a welcome"))?;
    let added = group
        .members()
        .find(|member| member.signature_key == claim.signature_key)
        .ok_or_else(|| Error::library(&"an added member that is not there"))?;
    record.removed.remove(&claim.member.node);
    record.seats.insert(
        claim.member.node.clone(),
        Seat {
            leaf: added.index.u32(),
            credential: claim.member.credential(),
            signature_key: claim.signature_key.to_vec(),
            package: package.to_bytes(),
            not_before: claim.not_before,
            not_after: claim.not_after,
            joined: group.epoch().as_u64(),
            welcome: welcome.clone(),
        },
    );
    welcomed(pair, record, identity, welcome, Vec::new(), now, rng)
}

/// The key package, if it is one of the claim's member under the claim's key.
fn key_package(provider: &Provider, claim: &Claim, bytes: &[u8]) -> Result<KeyPackage, Error> {
    const WHAT: &str = "key package";
    let MlsMessageBodyIn::KeyPackage(package) = mls::parse(WHAT, bytes)? else {
        return Err(Error::refused(WHAT, "is another kind of MLS message"));
    };
    let package = package
        .validate(provider.crypto(), ProtocolVersion::Mls10)
        .map_err(|why| Error::of(WHAT)(&why))?;
    let leaf = package.leaf_node();
    if package.ciphersuite() != mls::SUITE {
        return Err(Error::refused(WHAT, "is of another ciphersuite"));
    }
    if leaf.signature_key().as_slice() != claim.signature_key
        || mls::member(leaf.credential())? != claim.member
    {
        return Err(Error::refused(
            WHAT,
            "is not under the key that its binding names",
        ));
    }
    Ok(package)
}

fn welcomed<R: CryptoRng + ?Sized>(
    pair: &Pair,
    record: &Record,
    identity: &Identity,
    welcome: Vec<u8>,
    commits: Vec<Vec<u8>>,
    now: TimeMs,
    rng: &mut R,
) -> Result<Step, Error> {
    let leaf = record.leaf.as_ref();
    let leaf = leaf.ok_or_else(|| Error::library(&"a group without a key"))?;
    let claim = Claim {
        pair: pair.digest(),
        member: identity.member.clone(),
        signature_key: leaf.public,
        subject: sm3(&pair.group_id(record.generation)),
        generation: record.generation,
        not_before: now,
        not_after: now.saturating_add(BINDING_MS),
    };
    Ok(Step::Welcome {
        welcome,
        binding: Binding::sign(claim, identity, rng).encode(),
        commits,
    })
}

/// The commits from an epoch on; none when the log does not reach back so far.
fn since(
    provider: &Provider,
    pair: &Pair,
    record: &Record,
    epoch: u64,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let group = mls::load(provider, &pair.group_id(record.generation))?;
    let here = group.epoch().as_u64();
    mls::put(provider, group);
    if here == epoch {
        return Ok(Some(Vec::new()));
    }
    let at = record.log.iter().position(|commit| commit.epoch == epoch);
    Ok(at.map(|at| {
        record.log[at..]
            .iter()
            .flat_map(|commit| commit.messages.clone())
            .collect()
    }))
}

/// Leads a member on from where it stands.
fn follow(
    provider: &Provider,
    pair: &Pair,
    record: &mut Record,
    agent: &Member,
    at: &EpochMark,
    proposal: Option<&[u8]>,
    now: TimeMs,
) -> Result<Step, Error> {
    let seated = record
        .seats
        .get(&agent.node)
        .map(|seat| seat.credential == agent.credential());
    if at.generation != record.generation || seated == Some(false) {
        return Ok(Step::Rejoin);
    }
    let mut group = mls::load(provider, &pair.group_id(record.generation))?;
    let here = mls::mark(&group, record.generation)?;
    if *at == here {
        // Who was removed is told so by the commit that did it, and has no business here afterwards.
        if seated.is_none() {
            return Ok(Step::Rejoin);
        }
        if let Some(proposal) = proposal {
            propose(provider, record, &mut group, agent, proposal, now)?;
        }
    }
    mls::put(provider, group);
    let known = record.log.iter().any(|commit| {
        commit.epoch == at.epoch && commit.authenticator == at.authenticator.to_bytes()
    });
    if *at != here && !known {
        // It is too far behind, or its history is not ours.
        return Ok(Step::Rejoin);
    }
    let commits = since(provider, pair, record, at.epoch)?;
    Ok(commits.map_or(Step::Rejoin, Step::Follow))
}

/// Carries out what a member proposes for itself.
fn propose(
    provider: &Provider,
    record: &mut Record,
    group: &mut MlsGroup,
    agent: &Member,
    bytes: &[u8],
    now: TimeMs,
) -> Result<(), Error> {
    const WHAT: &str = "proposal";
    let message = mls::of_group(WHAT, bytes)?;
    let processed = group
        .process_message(provider, message)
        .map_err(|why| Error::of(WHAT)(&why))?;
    let sender = match processed.sender() {
        Sender::Member(index) => *index,
        _ => return Err(Error::refused(WHAT, "is not a member's")),
    };
    let seat = record
        .seats
        .get(&agent.node)
        .filter(|seat| seat.leaf == sender.u32());
    let seat = seat.ok_or_else(|| Error::refused(WHAT, "is another agent's"))?;
    let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else {
        return Err(Error::refused(WHAT, "is another kind of message"));
    };
    match queued.proposal() {
        Proposal::Update(update) => {
            let leaf = update.leaf_node();
            let same = leaf.signature_key().as_slice() == seat.signature_key
                && mls::member(leaf.credential())?.credential() == seat.credential;
            if !same {
                return Err(Error::refused(WHAT, "names another member or key"));
            }
        }
        Proposal::Remove(removal) if removal.removed() == sender => {
            record
                .removed
                .insert(agent.node.clone(), now.max(seat.not_before));
            record.seats.remove(&agent.node);
        }
        _ => {
            return Err(Error::refused(
                WHAT,
                "agents may propose for themselves only",
            ));
        }
    }
    group
        .store_pending_proposal(provider.storage(), *queued)
        .map_err(|why| Error::library(&why))?;
    let change = Change {
        proposal: Some(bytes.to_vec()),
        ..Change::default()
    };
    commit(provider, record, group, change, now).map(|_| ())
}

/// Letters of the epoch that is current.
fn letters<'a>(
    provider: &Provider,
    pair: &Pair,
    record: &mut Record,
    parcels: impl Iterator<Item = &'a ReleasedKey>,
) -> Result<Vec<(PartRef, Vec<u8>)>, Error> {
    let mut parcels = parcels.peekable();
    if parcels.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut group = mls::load(provider, &pair.group_id(record.generation))?;
    let leaf = record.leaf.as_ref();
    let leaf = leaf.ok_or_else(|| Error::library(&"a group without a key"))?;
    let signer = leaf.signer(provider);
    let mut letters = Vec::new();
    for parcel in parcels {
        group.set_aad(envelope::aad(&pair.chain, &parcel.part()));
        let message = group
            .create_message(provider, &signer, &Letter::from(parcel).encode())
            .map_err(|why| Error::library(&why))?;
        letters.push((parcel.part(), mls::bytes(&message)?));
        record.letters = record.letters.saturating_add(1);
    }
    mls::put(provider, group);
    Ok(letters)
}
