//! Where the core's effects become the engine's: what is held back until the log is on disk, until
//! somebody is awake, or until the log is replayed; and the last look at what is signed.

use std::collections::{BTreeMap, VecDeque};

use arc_malachitebft_core_consensus::{
    Effect as CoreEffect, LivenessMsg, Resumable, Resume, SignedConsensusMsg,
};
use arc_malachitebft_core_types as core;
use core::{CertificateError, NilOrVal, Round, SignedMessage, Timeout, ValidatorSet as _};
use xinqiao_consensus::{Error, Signer, Timer};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::Certificate,
    ids::{ChainId, Height},
    validators::Engine,
    vote::{Equivocation, VoteKind},
};

use crate::{
    context::{self, BlockId, Chain, Proposal, Validators, Voter},
    message::{Message, Signed, ascending},
    timer::{Timeouts, timer_of_core},
    turn::honest,
    wal::{Entry, Event},
};

type Effect = xinqiao_consensus::Effect<Message>;

/// Everything about carrying effects out that is not the core's.
pub(crate) struct Desk<S> {
    chain: ChainId,
    signer: S,
    timeouts: Timeouts,
    effects: Vec<Effect>,
    log: Log,
    /// What may be said once the log is on disk up to that entry.
    held: VecDeque<(u64, Effect)>,
    height: Height,
    phase: Phase,
    /// Records of the log that the core will ask to write again while it replays them.
    replaying: Option<BTreeMap<Vec<u8>, usize>>,
    /// The round that a block was asked for and not yet asked of the host.
    build: Option<u32>,
    /// What this node signed at this height.
    signed: BTreeMap<(u32, Statement), Content>,
    /// The proposals that the core keeps: one a round, or a few of a proposer that contradicts itself.
    proposals: BTreeMap<(u32, BlockId), Signed<Proposal>>,
    verdicts: BTreeMap<BlockId, Verdict>,
}

/// How many entries were appended, and up to which of them the host was asked, or has said, that they are on disk.
#[derive(Default)]
struct Log {
    appended: u64,
    requested: u64,
    flushed: u64,
}

/// How far a height has got.
enum Phase {
    /// Nobody knows of work: no timer runs, so an idle chain has no rounds. The timers wait here.
    Asleep(Vec<(Timer, u64)>),
    /// Under way.
    Awake,
    /// Nothing is left but to write the block.
    Decided,
}

/// What the host says about a body.
#[derive(Clone, Copy)]
enum Verdict {
    /// Asked; the proposal that asked.
    Asked(Proposal),
    /// Given.
    Given,
}

/// What a statement says: the header, and for a proposal the earlier round that it refers to.
type Content = (NilOrVal<BlockId>, Option<u32>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Statement {
    Proposal,
    Vote(VoteKind),
}

impl<S: Signer> Desk<S> {
    pub(crate) fn new(chain: ChainId, signer: S, timeouts: Timeouts) -> Self {
        Self {
            chain,
            signer,
            timeouts,
            effects: Vec::new(),
            log: Log::default(),
            held: VecDeque::new(),
            height: 0,
            phase: Phase::Asleep(Vec::new()),
            replaying: None,
            build: None,
            signed: BTreeMap::new(),
            proposals: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        }
    }

    pub(crate) fn voter(&self) -> Voter {
        Voter(self.signer.validator())
    }

    pub(crate) fn is_decided(&self) -> bool {
        matches!(self.phase, Phase::Decided)
    }

    /// Clears the desk for a height, whose log is about to be replayed.
    pub(crate) fn begin(&mut self, height: Height, log: &[Event]) {
        self.height = height;
        self.phase = Phase::Asleep(Vec::new());
        self.build = None;
        self.signed.clear();
        self.proposals.clear();
        self.verdicts.clear();
        let mut records = BTreeMap::new();
        for event in log {
            *records.entry(self.record(event)).or_default() += 1;
            self.remember_own(event);
        }
        self.replaying = Some(records);
        self.effects.push(Effect::Truncate { below: height });
    }

    /// The log is replayed: what is still open can be asked of the host now.
    pub(crate) fn replayed(&mut self, round: Round) {
        self.replaying = None;
        // A block was asked for before the log showed that this node has proposed already, or that
        // the round has passed.
        let round = context::numbered(round);
        let proposed = self.signed.contains_key(&(round, Statement::Proposal));
        if self.build != Some(round) || proposed {
            self.build = None;
        }
        self.settle();
    }

    /// Somebody knows of work: timers run, and the proposer builds.
    pub(crate) fn wake(&mut self) {
        if let Phase::Asleep(timers) = &mut self.phase {
            for (timer, after_ms) in std::mem::take(timers) {
                self.effects.push(Effect::SetTimer { timer, after_ms });
            }
            self.phase = Phase::Awake;
        }
        self.settle();
    }

    /// Takes up what the core left on the desk.
    pub(crate) fn settle(&mut self) {
        if self.replaying.is_some() {
            return;
        }
        if matches!(self.phase, Phase::Awake)
            && let Some(round) = self.build.take()
        {
            let height = self.height;
            self.effects.push(Effect::Build { height, round });
        }
        let asked = self.proposals.values().map(|proposal| proposal.message);
        for proposal in asked.collect::<Vec<_>>() {
            self.ask(proposal);
        }
    }

    /// The verdict as an event, if it is news.
    pub(crate) fn judged(&mut self, header: BlockId, valid: bool) -> Result<Option<Event>, Error> {
        match self.verdicts.get(&header) {
            None => Err(Error::NotAsked(header.0)),
            Some(Verdict::Given) => Ok(None),
            Some(Verdict::Asked(proposal)) => Ok(Some(Event::Verdict {
                round: proposal.round,
                pol_round: proposal.pol_round,
                proposer: proposal.proposer,
                header,
                valid,
            })),
        }
    }

    /// The proposals of a round that the core keeps.
    pub(crate) fn proposals(&self, round: u32) -> Vec<Signed<Proposal>> {
        let kept = self.proposals.iter();
        let kept = kept.filter(|((at, _), _)| *at == round);
        kept.map(|(_, proposal)| *proposal).collect()
    }

    /// Says something to everybody, once the log is on disk.
    pub(crate) fn say(&mut self, message: Message) {
        self.hold(Effect::Broadcast(message));
    }

    /// Says something to one validator, once the log is on disk.
    pub(crate) fn say_to(&mut self, to: KeyId, message: Message) {
        self.hold(Effect::Send { to, message });
    }

    pub(crate) fn accuse(&mut self, equivocation: Equivocation) {
        self.effects.push(Effect::Accuse(equivocation));
    }

    pub(crate) fn behind(&mut self, validator: KeyId, height: Height) {
        self.effects.push(Effect::Behind { validator, height });
    }

    /// The log is on disk up to an entry.
    pub(crate) fn flushed(&mut self, upto: u64) {
        self.log.flushed = self.log.flushed.max(upto.min(self.log.appended));
        while let Some((needs, _)) = self.held.front()
            && *needs <= self.log.flushed
            && let Some((_, effect)) = self.held.pop_front()
        {
            self.effects.push(effect);
        }
    }

    /// What is to be done now. If something waits for the disk, the disk is asked for last, so that
    /// one flush covers all that one input led to.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        if !self.held.is_empty() && self.log.requested < self.log.appended {
            self.log.requested = self.log.appended;
            let upto = self.log.appended;
            self.effects.push(Effect::Flush { upto });
        }
        std::mem::take(&mut self.effects)
    }

    fn hold(&mut self, effect: Effect) {
        if self.held.is_empty() && self.log.flushed == self.log.appended {
            self.effects.push(effect);
        } else if !self.held.iter().any(|(_, held)| *held == effect) {
            // What is repeated while the disk is slow need not be held twice.
            self.held.push_back((self.log.appended, effect));
        }
    }

    /// Carries out one of the core's effects. An error leaves the core where it is, for good.
    pub(crate) fn carry_out(&mut self, effect: CoreEffect<Chain>) -> Result<Resume<Chain>, Error> {
        Ok(match effect {
            CoreEffect::CancelAllTimeouts(resume) => {
                match &mut self.phase {
                    Phase::Asleep(timers) => timers.clear(),
                    Phase::Awake | Phase::Decided => self.effects.push(Effect::CancelTimers),
                }
                resume.resume_with(())
            }
            CoreEffect::CancelTimeout(timeout, resume) => {
                if let Some(timer) = timer_of_core(self.height, timeout) {
                    self.effects.push(Effect::CancelTimer(timer));
                }
                resume.resume_with(())
            }
            CoreEffect::ScheduleTimeout(timeout, resume) => {
                self.schedule(timeout);
                resume.resume_with(())
            }
            // The core's own host flushes here. Nothing leaves this desk unflushed, so there is no need.
            CoreEffect::StartRound(_, _, _, _, resume) => resume.resume_with(()),
            CoreEffect::PublishConsensusMsg(message, resume) => {
                self.say(match message {
                    SignedConsensusMsg::Vote(vote) => Message::Vote(vote.into()),
                    SignedConsensusMsg::Proposal(proposal) => Message::Proposal(proposal.into()),
                });
                resume.resume_with(())
            }
            CoreEffect::PublishLivenessMsg(message, resume) => {
                self.say(match message {
                    LivenessMsg::Vote(vote) => Message::Vote(vote.into()),
                    LivenessMsg::PolkaCertificate(polka) => Message::Polka(polka.into()),
                    LivenessMsg::SkipRoundCertificate(proof) => Message::Round(proof.into()),
                });
                resume.resume_with(())
            }
            CoreEffect::RepublishVote(vote, resume) => {
                self.say(Message::Vote(vote.into()));
                resume.resume_with(())
            }
            CoreEffect::RepublishRoundCertificate(proof, resume) => {
                self.say(Message::Round(proof.into()));
                resume.resume_with(())
            }
            CoreEffect::GetValue(_, round, _, resume) => {
                self.build = Some(context::numbered(round));
                resume.resume_with(())
            }
            // The proposal itself is published right after, and takes its body along.
            CoreEffect::RestreamProposal(.., resume) => resume.resume_with(()),
            CoreEffect::Decide(certificate, _, resume) => {
                self.decide(certificate);
                resume.resume_with(())
            }
            // The engine's own watch has seen more than the core's evidence holds.
            CoreEffect::Finalize(_, _, _, resume) => resume.resume_with(()),
            CoreEffect::SignVote(vote, resume) => {
                self.about_to_sign(vote.round, Statement::Vote(vote.kind), (vote.header, None))?;
                let signature = self.signer.sign(&vote.signing_message(&self.chain));
                resume.resume_with(SignedMessage::new(vote, signature))
            }
            CoreEffect::SignProposal(proposal, resume) => {
                let content = (NilOrVal::Val(proposal.header), proposal.pol_round);
                self.about_to_sign(proposal.round, Statement::Proposal, content)?;
                let signature = self.signer.sign(&proposal.signing_message(&self.chain));
                resume.resume_with(SignedMessage::new(proposal, signature))
            }
            // The core sees our own messages, those that `Verified` vouches for, and those of our
            // own log, which were one or the other when they were written. So this is no look-up
            // even: there is nothing else to find.
            CoreEffect::VerifySignature(_, _, resume) => resume.resume_with(true),
            CoreEffect::VerifyCommitCertificate(certificate, set, _, resume) => {
                let voters = certificate.commit_signatures.iter().map(|one| one.address);
                resume.resume_with(distinct(voters, &set, Engine::Bft.quorum(set.count())))
            }
            CoreEffect::VerifyPolkaCertificate(certificate, set, _, resume) => {
                let voters = certificate.polka_signatures.iter().map(|one| one.address);
                resume.resume_with(distinct(voters, &set, Engine::Bft.quorum(set.count())))
            }
            CoreEffect::VerifyRoundCertificate(certificate, set, _, resume) => {
                let least = match certificate.cert_type {
                    core::RoundCertificateType::Skip => honest(set.count()),
                    core::RoundCertificateType::Precommit => Engine::Bft.quorum(set.count()),
                };
                let voters = certificate.round_signatures.iter().map(|one| one.address);
                resume.resume_with(distinct(voters, &set, least))
            }
            CoreEffect::WalAppend(_, input, resume) => {
                let event = Event::of_core(input)
                    .ok_or(Error::Unexpected("an entry that no log can hold"))?;
                self.take_note(&event);
                self.append(&event);
                resume.resume_with(())
            }
            CoreEffect::ExtendVote(..) | CoreEffect::VerifyVoteExtension(..) => {
                return Err(Error::Unexpected("a vote extension"));
            }
            CoreEffect::VerifyExtendedCommitCertificate(..)
            | CoreEffect::CertVerifiedSyncValue(..)
            | CoreEffect::CertRejectedSyncValue(..) => {
                return Err(Error::Unexpected("catch-up, which is the host's"));
            }
        })
    }

    fn schedule(&mut self, timeout: Timeout) {
        let Some(timer) = timer_of_core(self.height, timeout) else {
            return;
        };
        let after_ms = self.timeouts.of(timer);
        match &mut self.phase {
            Phase::Asleep(timers) => timers.push((timer, after_ms)),
            Phase::Awake => self.effects.push(Effect::SetTimer { timer, after_ms }),
            Phase::Decided => {}
        }
    }

    fn decide(&mut self, certificate: core::CommitCertificate<Chain>) {
        let signatures = certificate.commit_signatures.into_iter();
        self.phase = Phase::Decided;
        self.effects.push(Effect::CancelTimers);
        let signatures = signatures.map(|one| (one.address.0, one.signature));
        self.effects.push(Effect::Commit(Certificate {
            height: certificate.height.0,
            round: context::numbered(certificate.round),
            header: certificate.value_id.0,
            signatures: ascending(signatures, |one| Voter(one.0)),
        }));
    }

    /// The last look: whatever led here, two different statements are never signed.
    fn about_to_sign(
        &mut self,
        round: u32,
        statement: Statement,
        content: Content,
    ) -> Result<(), Error> {
        let height = self.height;
        match self.signed.insert((round, statement), content) {
            Some(earlier) if earlier != content => Err(Error::DoubleSign { height, round }),
            _ => Ok(()),
        }
    }

    fn remember_own(&mut self, event: &Event) {
        let me = self.voter();
        match event {
            Event::Vote(Signed { message: it, .. }) if it.validator == me => {
                self.signed
                    .insert((it.round, Statement::Vote(it.kind)), (it.header, None));
            }
            Event::Proposal(Signed { message: it, .. }) if it.proposer == me => {
                let content = (NilOrVal::Val(it.header), it.pol_round);
                self.signed.insert((it.round, Statement::Proposal), content);
            }
            _ => {}
        }
    }

    /// The core logs a proposal if and only if it keeps it, and a verdict once it has taken it.
    fn take_note(&mut self, event: &Event) {
        match event {
            Event::Proposal(proposal) => {
                let key = (proposal.message.round, proposal.message.header);
                self.proposals.entry(key).or_insert(*proposal);
                if self.replaying.is_none() {
                    self.ask(proposal.message);
                }
            }
            Event::Verdict { header, .. } => {
                self.verdicts.insert(*header, Verdict::Given);
            }
            Event::Vote(_) | Event::Polka(_) | Event::Timeout { .. } => {}
        }
    }

    fn ask(&mut self, proposal: Proposal) {
        if self.verdicts.contains_key(&proposal.header) || self.is_decided() {
            return;
        }
        self.verdicts
            .insert(proposal.header, Verdict::Asked(proposal));
        self.effects.push(Effect::Judge {
            height: self.height,
            header: proposal.header.0,
            proposer: proposal.proposer.0,
        });
    }

    fn append(&mut self, event: &Event) {
        let record = self.record(event);
        if let Some(records) = &mut self.replaying
            && let Some(count) = records.get_mut(&record)
            && *count > 0
        {
            *count -= 1;
            return;
        }
        self.log.appended += 1;
        self.effects.push(Effect::Append(record));
    }

    fn record(&self, event: &Event) -> Vec<u8> {
        let entry = Entry {
            height: self.height,
            event: event.clone(),
        };
        entry.encode()
    }
}

/// Whether the voters are distinct validators, and enough. Their signatures were checked before.
#[expect(
    clippy::result_large_err,
    reason = "it is the core's error, made for the core"
)]
fn distinct(
    voters: impl Iterator<Item = Voter>,
    set: &Validators,
    least: usize,
) -> Result<(), CertificateError<Chain>> {
    let mut seen = std::collections::BTreeSet::new();
    for voter in voters {
        if set.get_by_address(&voter).is_none() {
            return Err(CertificateError::UnknownValidator(voter));
        }
        if !seen.insert(voter) {
            return Err(CertificateError::DuplicateVote(voter));
        }
    }
    if seen.len() < least {
        return Err(CertificateError::NotEnoughVotingPower {
            signed: seen.len() as u64,
            total: set.count() as u64,
            expected: least as u64,
        });
    }
    Ok(())
}
