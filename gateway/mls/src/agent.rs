//! The agent's side of a group: it asks for a seat, follows the node's commits, and reads letters.
//!
//! Nothing that a gateway can do here loses more than time. A message that was lost, repeated, or came too
//! late means that the agent asks again; one that was altered or invented is refused and changes nothing; and
//! where the agent cannot go on from what it has, it asks for a fresh seat by itself.

use std::collections::VecDeque;

use openmls::prelude::{
    KeyPackage, LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageOut, OpenMlsProvider,
    ProcessMessageError, ProcessedMessageContent, Proposal, Sender, StagedCommit, StagedWelcome,
    ValidationError,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use xinqiao_crypto::sm3;
use xinqiao_dispatch::envelope;
use xinqiao_ledger::{ids::TimeMs, order::PartRef};

use crate::{
    binding::{Binding, Claim, Identity, Ledger, SKEW_MS},
    book::{Book, Values},
    disk::Disk,
    error::Error,
    letter::Letter,
    member::{EpochMark, Member, Pair, Side},
    message::{Answer, Ask, Join, Step, Wish},
    mls::{self, LeafKey, Provider},
};

pub use crate::book::Origin;

/// How long an agent's binding is valid: 30 days. It takes a fresh seat after 20.
pub const BINDING_MS: u64 = 30 * 86_400_000;

/// How long before the end of its binding an agent takes a fresh seat: 10 days.
const REFRESH_MS: u64 = 10 * 86_400_000;

/// How old an agent's own keys become before it has them replaced: one day.
pub const UPDATE_AFTER_MS: u64 = 86_400_000;

/// How long a key package is offered before another one takes its place: one hour.
const OFFER_MS: u64 = 3_600_000;

/// Answers in a row that an agent could not follow before it asks for a fresh seat.
const PATIENCE: u32 = 3;

/// Epochs that are remembered by their marks.
const MAX_MARKS: usize = 256;

#[derive(Clone, PartialEq, Serialize, Deserialize, Default)]
struct Record {
    seat: Option<Seat>,
    /// A key package that is on its way.
    offer: Option<Offer>,
    /// The highest generation that it was in.
    highest: u64,
    /// `not_before` of its last binding.
    issued: TimeMs,
    /// It cannot follow, and asks for a fresh seat.
    rejoin: bool,
    /// It wants new keys, whatever their age.
    update: bool,
    leaving: bool,
    left: bool,
    /// Generation, epoch and authenticator of past and present epochs, oldest first.
    marks: VecDeque<(u64, u64, [u8; 32])>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Seat {
    generation: u64,
    leaf: LeafKey,
    /// When its own keys were made.
    keys_since: TimeMs,
    /// When its binding runs out.
    until: TimeMs,
    /// What it proposed, in which epoch.
    proposal: Option<(u64, Vec<u8>)>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Offer {
    key_package: Vec<u8>,
    binding: Vec<u8>,
    leaf: LeafKey,
    /// The private half of the key package, apart from the group's state.
    values: Values,
    since: TimeMs,
    until: TimeMs,
}

/// Why a letter gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It is of another epoch, or was read before. Ask for another one.
    #[error("the letter is of another epoch or was read before; ask again")]
    AskAgain,
    /// It is not the node's letter for this part.
    #[error("it is no letter for this part: {0}")]
    Refused(String),
}

/// What an answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The letters, in the answer's order, each with its key or why there is none.
    pub letters: Vec<(PartRef, Result<Letter, NoKey>)>,
    /// Something is left to ask for at once: a seat, or letters that could not be read.
    pub again: bool,
}

/// One group, from the agent's side.
pub struct AgentGroup<D> {
    pair: Pair,
    book: Book<D, Record>,
    /// Answers in a row that could not be followed.
    failures: u32,
}

impl<D: Disk> AgentGroup<D> {
    /// Opens what is known of the group.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn open(disk: D, pair: Pair) -> Result<(Self, Origin), Error> {
        let (book, origin) = Book::open(disk, Record::default())?;
        let this = Self {
            pair,
            book,
            failures: 0,
        };
        Ok((this, origin))
    }

    /// Where it stands; none while it has no seat.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn mark(&self) -> Result<Option<EpochMark>, Error> {
        here(self.book.provider(), &self.pair, self.book.record())
    }

    /// Whether an epoch that a delivery names is one that this agent was in: none when it cannot tell, false
    /// when it was in that epoch and it was another one. Then two groups of one name are about.
    pub fn remembers(&self, mark: &EpochMark) -> Option<bool> {
        let mut marks = self.book.record().marks.iter();
        let known = marks.find(|known| (known.0, known.1) == (mark.generation, mark.epoch))?;
        Some(known.2 == mark.authenticator.to_bytes())
    }

    /// Has its own keys replaced with the next question, as after its machine may have been copied.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn update(&mut self) -> Result<(), Error> {
        self.book.step(|_, record| {
            record.update = true;
            Ok(())
        })
    }

    /// Gives its seat up with the next question.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn leave(&mut self) -> Result<(), Error> {
        self.book.step(|_, record| {
            record.leaving = true;
            Ok(())
        })
    }

    /// The next question, with the parts whose letters are wanted; none after it has left. To ask the same
    /// again is harmless.
    ///
    /// # Errors
    /// When the state cannot be written, or `identity` has no place in the group.
    pub fn ask<R: CryptoRng + ?Sized>(
        &mut self,
        letters: Vec<PartRef>,
        identity: &Identity,
        now: TimeMs,
        rng: &mut R,
    ) -> Result<Option<Ask>, Error> {
        if identity.member.side != Side::Agent || !self.pair.admits(&identity.member) {
            return Err(Error::refused(
                "identity",
                "is not that of one of the pair's agents",
            ));
        }
        let pair = &self.pair;
        let wish = self.book.step(|provider, record| {
            if record.left || (record.leaving && record.seat.is_none()) {
                record.left = true;
                record.offer = None;
                return Ok(None);
            }
            let follows = record
                .seat
                .as_ref()
                .is_some_and(|seat| !record.rejoin && now.saturating_add(REFRESH_MS) < seat.until);
            let group = if follows {
                member_group(provider, pair, record, identity)
            } else {
                None
            };
            let wish = match group {
                Some(mut group) => {
                    let wish = follow(provider, record, &mut group, now)?;
                    mls::put(provider, group);
                    wish
                }
                None => Wish::Join(offer(pair, record, identity, now, rng)?),
            };
            Ok(Some(wish))
        })?;
        let agent = identity.member.clone();
        Ok(wish.map(|wish| Ask {
            agent,
            wish,
            letters,
        }))
    }

    /// Takes an answer: joins, follows, and reads the letters.
    ///
    /// # Errors
    /// When the answer breaks a rule; nothing has changed then, save that after three in a row the agent
    /// asks for a fresh seat.
    pub fn take(
        &mut self,
        answer: &Answer,
        ledger: &dyn Ledger,
        now: TimeMs,
    ) -> Result<Taken, Error> {
        let mut taken = self.takes(&[(answer, ledger)], now)?;
        taken.pop().unwrap_or(Err(Error::Reopen))
    }

    /// Takes several answers, one after the other, and keeps what came of them as one: a write costs more than all
    /// the rest. One that is refused leaves nothing.
    ///
    /// # Errors
    /// When the state cannot be written; none is taken then.
    pub fn takes(
        &mut self,
        answers: &[(&Answer, &dyn Ledger)],
        now: TimeMs,
    ) -> Result<Vec<Result<Taken, Error>>, Error> {
        let pair = &self.pair;
        let taken = self
            .book
            .steps(answers, |provider, record, (answer, ledger)| {
                answer.check()?;
                match &answer.step {
                    Step::Rejoin => {
                        // Only who follows can be told to stop.
                        record.rejoin = record.seat.is_some();
                        return Ok(Taken {
                            letters: Vec::new(),
                            again: true,
                        });
                    }
                    Step::Follow(commits) => {
                        let generation = record.seat.as_ref().map(|seat| seat.generation);
                        if generation != Some(answer.generation) {
                            return Err(Error::refused("answer", "is for another group"));
                        }
                        apply(provider, pair, record, commits, now)?;
                    }
                    Step::Welcome {
                        welcome,
                        binding,
                        commits,
                    } => {
                        join(
                            provider,
                            pair,
                            record,
                            answer.generation,
                            welcome,
                            binding,
                            *ledger,
                            now,
                        )?;
                        apply(provider, pair, record, commits, now)?;
                    }
                }
                let mut letters = Vec::new();
                for (part, bytes) in &answer.letters {
                    letters.push((*part, read(provider, pair, record, part, bytes)));
                }
                let unread = letters
                    .iter()
                    .any(|(_, read)| *read == Err(NoKey::AskAgain));
                Ok(Taken {
                    letters,
                    again: unread || (record.seat.is_none() && !record.leaving),
                })
            })?;
        for taken in &taken {
            self.failures = match taken {
                Ok(_) => 0,
                Err(_) => self.failures.saturating_add(1),
            };
        }
        if self.failures >= PATIENCE {
            self.failures = 0;
            self.book.step(|_, record| {
                record.rejoin = record.seat.is_some();
                // The welcome may be what cannot be taken.
                record.offer = None;
                Ok(())
            })?;
        }
        Ok(taken)
    }

    /// The node knows a binding of this agent that is not older than its last one, and said from when: the
    /// next one is later. A time that lies in the future is not believed.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn later_than(&mut self, than: TimeMs, now: TimeMs) -> Result<(), Error> {
        if than > now.saturating_add(SKEW_MS) {
            return Ok(());
        }
        self.book.step(|_, record| {
            record.issued = record.issued.max(than);
            record.offer = None;
            Ok(())
        })
    }
}

fn here(provider: &Provider, pair: &Pair, record: &Record) -> Result<Option<EpochMark>, Error> {
    let Some(seat) = &record.seat else {
        return Ok(None);
    };
    let group = mls::load(provider, &pair.group_id(seat.generation))?;
    let mark = mls::mark(&group, seat.generation)?;
    mls::put(provider, group);
    Ok(Some(mark))
}

/// The group of its seat, if the seat is this identity's and the state is whole.
fn member_group(
    provider: &Provider,
    pair: &Pair,
    record: &Record,
    identity: &Identity,
) -> Option<MlsGroup> {
    let seat = record.seat.as_ref()?;
    let group = mls::load(provider, &pair.group_id(seat.generation)).ok()?;
    let own = mls::member(group.own_leaf_node()?.credential()).ok()?;
    (own == identity.member).then_some(group)
}

/// A member's question, with a proposal if it wants something.
fn follow(
    provider: &Provider,
    record: &mut Record,
    group: &mut MlsGroup,
    now: TimeMs,
) -> Result<Wish, Error> {
    let Some(seat) = record.seat.as_mut() else {
        return Err(Error::library(&"a group without a seat"));
    };
    let at = mls::mark(group, seat.generation)?;
    let old = now.saturating_sub(seat.keys_since) >= UPDATE_AFTER_MS;
    if seat
        .proposal
        .as_ref()
        .is_some_and(|(epoch, _)| *epoch != at.epoch)
    {
        seat.proposal = None;
    }
    if seat.proposal.is_none() && (record.leaving || record.update || old) {
        let signer = seat.leaf.signer(provider);
        let message = if record.leaving {
            group
                .leave_group(provider, &signer)
                .map_err(|why| Error::library(&why))?
        } else {
            group
                .propose_self_update(provider, &signer, LeafNodeParameters::default())
                .map_err(|why| Error::library(&why))?
                .0
        };
        seat.proposal = Some((at.epoch, mls::bytes(&message)?));
    }
    let proposal = seat.proposal.as_ref().map(|(_, bytes)| bytes.clone());
    Ok(Wish::Follow { at, proposal })
}

/// A key package with its binding: the one that is on its way, or a new one.
fn offer<R: CryptoRng + ?Sized>(
    pair: &Pair,
    record: &mut Record,
    identity: &Identity,
    now: TimeMs,
    rng: &mut R,
) -> Result<Join, Error> {
    if let Some(offer) = &record.offer {
        let own =
            Binding::parse(&offer.binding).is_ok_and(|binding| binding.is_of(&identity.member));
        if own && (offer.since..offer.since.saturating_add(OFFER_MS)).contains(&now) {
            return Ok(Join {
                key_package: offer.key_package.clone(),
                binding: offer.binding.clone(),
            });
        }
    }
    let fresh = Provider::default();
    let leaf = LeafKey::generate(&fresh)?;
    let bundle = KeyPackage::builder()
        .build(
            mls::SUITE,
            &fresh,
            &leaf.signer(&fresh),
            leaf.credential(&identity.member),
        )
        .map_err(|why| Error::library(&why))?;
    let key_package = mls::bytes(&MlsMessageOut::from(bundle.key_package().clone()))?;
    // Later than any before it, whatever the clock says, or the node would take it for a replay.
    let not_before = now.max(record.issued.saturating_add(1));
    let claim = Claim {
        pair: pair.digest(),
        member: identity.member.clone(),
        signature_key: leaf.public,
        subject: sm3(&key_package),
        generation: record.highest,
        not_before,
        not_after: not_before.saturating_add(BINDING_MS),
    };
    let until = claim.not_after;
    let binding = Binding::sign(claim, identity, rng).encode();
    record.issued = not_before;
    record.offer = Some(Offer {
        key_package: key_package.clone(),
        binding: binding.clone(),
        leaf,
        values: fresh.values().into_iter().collect(),
        since: now,
        until,
    });
    if let Some(offer) = &mut record.offer {
        offer.values.sort();
    }
    Ok(Join {
        key_package,
        binding,
    })
}

/// Takes the seat that a welcome gives. Nothing of an earlier seat stays.
#[expect(
    clippy::too_many_arguments,
    reason = "each is what one of the checks is made against"
)]
fn join(
    provider: &mut Provider,
    pair: &Pair,
    record: &mut Record,
    generation: u64,
    welcome: &[u8],
    binding: &[u8],
    ledger: &dyn Ledger,
    now: TimeMs,
) -> Result<(), Error> {
    const WHAT: &str = "welcome";
    let Some(offer) = record.offer.clone() else {
        // A late copy of the answer that gave it its seat says nothing new.
        return match &record.seat {
            Some(seat) if seat.generation == generation => Ok(()),
            _ => Err(Error::refused(WHAT, "was not asked for")),
        };
    };
    if generation < record.highest {
        return Err(Error::refused(
            WHAT,
            "is to a group that was followed by a later one",
        ));
    }
    let group_id = pair.group_id(generation);
    let bound = Binding::parse(binding)?.check(pair, Side::Holder, &sm3(&group_id), ledger, now)?;
    let MlsMessageBodyIn::Welcome(message) = mls::parse(WHAT, welcome)? else {
        return Err(Error::refused(WHAT, "is another kind of MLS message"));
    };
    let fresh = Provider::with(offer.values.into_iter().collect());
    let refused = Error::of(WHAT);
    // Lifetimes of other leaves are no concern of ours: the node removes whose binding has run out.
    let staged = StagedWelcome::build_from_welcome(&fresh, &mls::join_settings(), message)
        .map_err(|why| refused(&why))?
        .skip_lifetime_validation()
        .build()
        .map_err(|why| refused(&why))?;
    if staged.group_context().group_id().as_slice() != group_id {
        return Err(Error::refused(WHAT, "is to another group"));
    }
    let sender = staged.welcome_sender().map_err(|why| refused(&why))?;
    let claim = bound.claim();
    if sender.signature_key().as_slice() != claim.signature_key
        || mls::member(sender.credential())? != claim.member
    {
        return Err(Error::refused(
            WHAT,
            "is not from the leaf that its binding names",
        ));
    }
    for member in staged.members() {
        known(pair, &mls::member(&member.credential)?, &claim.member)?;
    }
    let group = staged.into_group(&fresh).map_err(|why| refused(&why))?;
    let mark = mls::mark(&group, generation)?;
    *provider = fresh;
    record.offer = None;
    record.rejoin = false;
    record.update = false;
    record.highest = generation;
    record.seat = Some(Seat {
        generation,
        leaf: offer.leaf,
        keys_since: now,
        until: offer.until,
        proposal: None,
    });
    remember(record, mark);
    Ok(())
}

/// The node itself, and agents of the institution: nobody else is in a group.
fn known(pair: &Pair, member: &Member, holder: &Member) -> Result<(), Error> {
    let fits = match member.side {
        Side::Holder => member == holder,
        Side::Agent => pair.admits(member),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::refused(
            "group",
            "has a member that is of neither end",
        ))
    }
}

fn remember(record: &mut Record, mark: EpochMark) {
    let known = (mark.generation, mark.epoch, mark.authenticator.to_bytes());
    record.marks.push_back(known);
    if record.marks.len() > MAX_MARKS {
        record.marks.pop_front();
    }
}

/// Applies the commits that are new, and the proposals that they carry out.
fn apply(
    provider: &mut Provider,
    pair: &Pair,
    record: &mut Record,
    commits: &[Vec<u8>],
    now: TimeMs,
) -> Result<(), Error> {
    const WHAT: &str = "commit";
    if commits.is_empty() {
        return Ok(());
    }
    let generation = match &record.seat {
        Some(seat) => seat.generation,
        None => {
            return Err(Error::refused(
                WHAT,
                "is for a group that this agent is not in",
            ));
        }
    };
    let mut group = mls::load(provider, &pair.group_id(generation))?;
    for commit in commits {
        let message = mls::of_group(WHAT, commit)?;
        if message.epoch() < group.epoch() {
            continue;
        }
        let processed = group
            .process_message(provider, message)
            .map_err(|why| Error::of(WHAT)(&why))?;
        let (sender, credential) = (processed.sender().clone(), processed.credential().clone());
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(queued) => {
                let own = match (queued.proposal(), &sender) {
                    (Proposal::Update(_), Sender::Member(_)) => true,
                    (Proposal::Remove(removal), Sender::Member(index)) => {
                        removal.removed() == *index
                    }
                    _ => false,
                };
                if !own {
                    return Err(Error::refused("proposal", "is not for who made it"));
                }
                group
                    .store_pending_proposal(provider.storage(), *queued)
                    .map_err(|why| Error::library(&why))?;
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                is_holder(pair, &sender, &credential, WHAT)?;
                let stays = merge(provider, pair, record, &mut group, *staged, now)?;
                if !stays {
                    return Ok(());
                }
            }
            // Its own proposal, which it has already.
            ProcessedMessageContent::OwnPrivateMessage => {}
            _ => return Err(Error::refused(WHAT, "is another kind of message")),
        }
    }
    mls::put(provider, group);
    Ok(())
}

/// Moves to the epoch of a commit of the node; false when it removed this agent.
fn merge(
    provider: &mut Provider,
    pair: &Pair,
    record: &mut Record,
    group: &mut MlsGroup,
    staged: StagedCommit,
    now: TimeMs,
) -> Result<bool, Error> {
    for credential in staged.credentials_to_verify() {
        if !pair.admits(&mls::member(credential)?) {
            return Err(Error::refused(
                "group",
                "has a member that is of neither end",
            ));
        }
    }
    let removed = staged.self_removed();
    let before = own_key(group);
    group
        .merge_staged_commit(provider, staged)
        .map_err(|why| Error::library(&why))?;
    mls::tidy(provider);
    if removed {
        // Nothing of it stays. Who did not want to leave asks for a new seat, and may be refused.
        *provider = Provider::default();
        record.seat = None;
        record.left = record.leaving;
        return Ok(false);
    }
    let renewed = own_key(group) != before;
    if renewed {
        record.update = false;
    }
    if let Some(seat) = record.seat.as_mut() {
        seat.proposal = None;
        if renewed {
            seat.keys_since = now;
        }
        let mark = mls::mark(group, seat.generation)?;
        remember(record, mark);
    }
    Ok(true)
}

fn own_key(group: &MlsGroup) -> Option<impl PartialEq + use<>> {
    let leaf = group.own_leaf_node()?;
    Some(leaf.encryption_key().clone())
}

/// Only the node commits and writes letters.
fn is_holder(
    pair: &Pair,
    sender: &Sender,
    credential: &openmls::prelude::Credential,
    what: &'static str,
) -> Result<(), Error> {
    let member = mls::member(credential)?;
    let holder =
        matches!(sender, Sender::Member(_)) && member.side == Side::Holder && pair.admits(&member);
    if holder {
        Ok(())
    } else {
        Err(Error::refused(what, "is not the node's"))
    }
}

/// Reads one letter. One that gives no key leaves the state as it was.
fn read(
    provider: &Provider,
    pair: &Pair,
    record: &Record,
    part: &PartRef,
    bytes: &[u8],
) -> Result<Letter, NoKey> {
    let before = provider.values();
    let read = open(provider, pair, record, part, bytes);
    if read.is_err() {
        provider.restore(before);
    }
    read
}

fn open(
    provider: &Provider,
    pair: &Pair,
    record: &Record,
    part: &PartRef,
    bytes: &[u8],
) -> Result<Letter, NoKey> {
    const WHAT: &str = "letter";
    let refused = |error: Error| NoKey::Refused(error.to_string());
    let seat = record.seat.as_ref().ok_or(NoKey::AskAgain)?;
    let mut group = mls::load(provider, &pair.group_id(seat.generation)).map_err(refused)?;
    let message = mls::of_group(WHAT, bytes).map_err(refused)?;
    // Not looked at beforehand: that no key of another epoch is there is for the library to find.
    let elsewhere = message.group_id() == group.group_id() && message.epoch() != group.epoch();
    let processed = group
        .process_message(provider, message)
        .map_err(|error| match error {
            _ if elsewhere => NoKey::AskAgain,
            // The key was used, or is of a letter that came too late.
            ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
                openmls::framing::errors::MessageDecryptionError::SecretTreeError(_),
            )) => NoKey::AskAgain,
            other => NoKey::Refused(other.to_string()),
        })?;
    is_holder(pair, processed.sender(), processed.credential(), WHAT).map_err(refused)?;
    if processed.aad() != envelope::aad(&pair.chain, part) {
        return Err(NoKey::Refused("it is for another part".to_owned()));
    }
    let ProcessedMessageContent::ApplicationMessage(content) = processed.into_content() else {
        return Err(NoKey::Refused("it is another kind of message".to_owned()));
    };
    let content = zeroize::Zeroizing::new(content.into_bytes());
    let letter = Letter::parse(&content).map_err(refused)?;
    mls::put(provider, group);
    Ok(letter)
}
