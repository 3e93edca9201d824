//! What validators say to each other: the canonical encoding, its limits, the bytes that are
//! signed, and the check that turns a stranger's message into a [`Verified`] one.
//!
//! Encodings are borsh: every value has one encoding, and nothing may follow it. Rounds are plain
//! numbers, so a message without a round (which would bring the core down) cannot be written.
//! Nothing here decides anything: that is the core's business.

use arc_malachitebft_core_types as core;
use borsh::{BorshDeserialize, BorshSerialize};
use core::{NilOrVal, Round, RoundCertificateType};
use xinqiao_consensus::{MAX_MESSAGE_BYTES, Malformed, Refused, Verifier};
use xinqiao_crypto::{Digest, KeyId, Signature};
use xinqiao_ledger::{
    ids::{ChainId, HeaderHash, Height},
    validators::{Engine, MAX_VALIDATORS, ValidatorSet},
    vote::{Statement, VoteKind},
};

use crate::{
    context::{self, BlockId, Chain, Proposal, Vote, Voter},
    turn::{honest, proposer},
};

/// The highest round that is taken from the wire: far above any that honest validators reach, and
/// far below where arithmetic on rounds ends.
pub const MAX_ROUND: u32 = 1 << 24;

/// A message and its author's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signed<T> {
    /// What is signed.
    pub message: T,
    /// By the validator that the message names.
    pub signature: Signature,
}

/// A quorum's prevotes for one header.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Polka {
    /// The height voted on.
    pub height: Height,
    /// The round voted in.
    pub round: u32,
    /// The header voted for.
    pub header: BlockId,
    /// Validators and signatures, by ascending key id.
    pub signatures: Vec<(Voter, Signature)>,
}

/// Why a round may be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RoundProofKind {
    /// More than a third of the validators are in this round already.
    Skip = 1,
    /// More than two thirds precommitted in this round, so the next one may begin.
    Precommit = 2,
}

/// One vote of a [`RoundProof`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundVote {
    /// The vote; its height and round are the proof's.
    pub vote: Vote,
    /// The voter's signature.
    pub signature: Signature,
}

/// Votes that show why a round may be entered.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundProof {
    /// The height voted on.
    pub height: Height,
    /// The round voted in.
    pub round: u32,
    /// What the votes show.
    pub kind: RoundProofKind,
    /// The votes, by their voters' ascending key ids.
    pub votes: Vec<RoundVote>,
}

/// A message between validators.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// A proposed header. Its body travels beside it.
    Proposal(Signed<Proposal>),
    /// A prevote or precommit.
    Vote(Signed<Vote>),
    /// A quorum's prevotes.
    Polka(Polka),
    /// Why a round may be entered.
    Round(RoundProof),
}

/// A message whose every signature was checked, and against which validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    message: Message,
    validators: Digest,
}

impl Verified {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    /// Hash of the validator set that it was checked against.
    pub fn validators(&self) -> Digest {
        self.validators
    }
}

pub(crate) fn encoded(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

pub(crate) fn decoded<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, Malformed> {
    // Before anything is allocated for it.
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Malformed::TooLong(bytes.len()));
    }
    T::try_from_slice(bytes).map_err(|_| Malformed::Encoding)
}

impl xinqiao_consensus::Message for Message {
    type Verified = Verified;

    fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let message: Self = decoded(bytes)?;
        message.bounded()?;
        Ok(message)
    }

    fn height(&self) -> Height {
        match self {
            Self::Proposal(it) => it.message.height,
            Self::Vote(it) => it.message.height,
            Self::Polka(it) => it.height,
            Self::Round(it) => it.height,
        }
    }

    fn proposes(&self) -> Vec<HeaderHash> {
        match self {
            Self::Proposal(it) => vec![it.message.header.0],
            Self::Vote(_) | Self::Polka(_) | Self::Round(_) => Vec::new(),
        }
    }

    // Who it came from does not matter: everything in it is signed by its authors.
    fn verify(
        self,
        _: KeyId,
        chain: &ChainId,
        validators: &ValidatorSet,
        verifier: &impl Verifier,
    ) -> Result<Verified, Refused> {
        debug_assert_eq!(validators.engine(), Engine::Bft, "whose quorums these are");
        let check = |voter, message: &[u8], signature| {
            verified(validators, voter, message, signature, verifier)
        };
        match &self {
            Self::Proposal(Signed { message, signature }) => {
                // Any other validator's would be refused by the core, after the signature's price.
                if Voter(proposer(validators, message.height, message.round)) != message.proposer {
                    return Err(Refused::NotValidator);
                }
                check(message.proposer, &message.signing_message(chain), signature)?;
            }
            Self::Vote(Signed { message, signature }) => {
                check(
                    message.validator,
                    &message.signing_message(chain),
                    signature,
                )?;
            }
            Self::Polka(polka) => {
                let voters = polka.signatures.iter().map(|(voter, _)| voter);
                signers(voters, validators, validators.quorum())?;
                for (voter, signature) in &polka.signatures {
                    check(
                        *voter,
                        &polka.prevote(*voter).signing_message(chain),
                        signature,
                    )?;
                }
            }
            Self::Round(proof) => {
                let voters = proof.votes.iter().map(|one| &one.vote.validator);
                signers(voters, validators, proof.kind.quorum(validators))?;
                for one in &proof.votes {
                    if proof.kind == RoundProofKind::Precommit
                        && one.vote.kind != VoteKind::Precommit
                    {
                        return Err(Refused::Signature);
                    }
                    check(
                        one.vote.validator,
                        &one.vote.signing_message(chain),
                        &one.signature,
                    )?;
                }
            }
        }
        Ok(Verified {
            validators: validators.hash(),
            message: self,
        })
    }
}

impl Message {
    /// The round that it is about.
    pub fn round(&self) -> u32 {
        match self {
            Self::Proposal(it) => it.message.round,
            Self::Vote(it) => it.message.round,
            Self::Polka(it) => it.round,
            Self::Round(it) => it.round,
        }
    }

    fn bounded(&self) -> Result<(), Malformed> {
        if xinqiao_consensus::Message::height(self) == 0 {
            return Err(Malformed::Height);
        }
        if self.round() > MAX_ROUND {
            return Err(Malformed::Round);
        }
        match self {
            Self::Vote(_) => Ok(()),
            Self::Proposal(it) => match it.message.pol_round {
                Some(pol) if pol >= it.message.round => Err(Malformed::Round),
                _ => Ok(()),
            },
            Self::Polka(it) => bounded_signers(it.signatures.len()),
            Self::Round(it) => {
                bounded_signers(it.votes.len())?;
                let belongs =
                    |one: &RoundVote| one.vote.height == it.height && one.vote.round == it.round;
                if it.votes.iter().all(belongs) {
                    Ok(())
                } else {
                    Err(Malformed::OtherVote)
                }
            }
        }
    }
}

fn bounded_signers(count: usize) -> Result<(), Malformed> {
    if count > MAX_VALIDATORS {
        return Err(Malformed::TooManySigners);
    }
    Ok(())
}

impl RoundProofKind {
    fn quorum(self, validators: &ValidatorSet) -> usize {
        match self {
            Self::Skip => honest(validators.count()),
            Self::Precommit => validators.quorum(),
        }
    }
}

/// Checks that signers are distinct validators in ascending order, and enough.
fn signers<'a>(
    voters: impl Iterator<Item = &'a Voter>,
    validators: &ValidatorSet,
    quorum: usize,
) -> Result<(), Refused> {
    let voters: Vec<&Voter> = voters.collect();
    if voters.len() < quorum {
        return Err(Refused::TooFew {
            got: voters.len(),
            quorum,
        });
    }
    if !voters.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(Refused::RepeatedSigner);
    }
    if voters
        .iter()
        .any(|voter| validators.key(&voter.0).is_none())
    {
        return Err(Refused::NotValidator);
    }
    Ok(())
}

/// Checks one validator's signature.
fn verified(
    validators: &ValidatorSet,
    voter: Voter,
    message: &[u8],
    signature: &Signature,
    verifier: &impl Verifier,
) -> Result<(), Refused> {
    let key = validators.key(&voter.0).ok_or(Refused::NotValidator)?;
    if verifier.is_signed(key, message, signature) {
        Ok(())
    } else {
        Err(Refused::Signature)
    }
}

impl Vote {
    /// What the voter states.
    pub fn statement(&self) -> Statement {
        Statement::Vote {
            kind: self.kind,
            header: match self.header {
                NilOrVal::Nil => None,
                NilOrVal::Val(id) => Some(id.0),
            },
        }
    }

    /// What the voter signs.
    pub fn signing_message(&self, chain: &ChainId) -> Vec<u8> {
        let (height, round) = (self.height, self.round);
        self.statement().signing_message(chain, height, round)
    }
}

impl Proposal {
    /// What the proposer states.
    pub fn statement(&self) -> Statement {
        Statement::Proposal {
            pol_round: self.pol_round,
            header: self.header.0,
        }
    }

    /// What the proposer signs.
    pub fn signing_message(&self, chain: &ChainId) -> Vec<u8> {
        let (height, round) = (self.height, self.round);
        self.statement().signing_message(chain, height, round)
    }
}

impl Polka {
    /// What that validator signed.
    pub fn prevote(&self, validator: Voter) -> Vote {
        Vote {
            kind: VoteKind::Prevote,
            height: self.height,
            round: self.round,
            header: NilOrVal::Val(self.header),
            validator,
        }
    }
}

// --- the core's own types ---

impl<T> Signed<T> {
    pub(crate) fn into_core(self) -> core::SignedMessage<Chain, T> {
        core::SignedMessage::new(self.message, self.signature)
    }
}

impl<T> From<core::SignedMessage<Chain, T>> for Signed<T> {
    fn from(signed: core::SignedMessage<Chain, T>) -> Self {
        Self {
            message: signed.message,
            signature: signed.signature,
        }
    }
}

impl From<Polka> for core::PolkaCertificate<Chain> {
    fn from(polka: Polka) -> Self {
        Self {
            height: context::Height(polka.height),
            round: Round::new(polka.round),
            value_id: polka.header,
            polka_signatures: polka
                .signatures
                .into_iter()
                .map(|(voter, signature)| core::PolkaSignature::new(voter, signature))
                .collect(),
        }
    }
}

impl From<core::PolkaCertificate<Chain>> for Polka {
    fn from(polka: core::PolkaCertificate<Chain>) -> Self {
        let signatures = polka.polka_signatures.into_iter();
        Self {
            height: polka.height.0,
            round: context::numbered(polka.round),
            header: polka.value_id,
            signatures: ascending(signatures.map(|one| (one.address, one.signature)), |one| {
                one.0
            }),
        }
    }
}

impl From<RoundProof> for core::RoundCertificate<Chain> {
    fn from(proof: RoundProof) -> Self {
        let votes = proof.votes.into_iter();
        Self::new_from_votes(
            context::Height(proof.height),
            Round::new(proof.round),
            match proof.kind {
                RoundProofKind::Skip => RoundCertificateType::Skip,
                RoundProofKind::Precommit => RoundCertificateType::Precommit,
            },
            votes
                .map(|one| core::SignedMessage::new(one.vote, one.signature))
                .collect(),
        )
    }
}

impl From<core::RoundCertificate<Chain>> for RoundProof {
    fn from(proof: core::RoundCertificate<Chain>) -> Self {
        let votes = proof.votes(&Chain).map(|one| RoundVote {
            vote: one.message,
            signature: one.signature,
        });
        Self {
            height: proof.height.0,
            round: context::numbered(proof.round),
            kind: match proof.cert_type {
                RoundCertificateType::Skip => RoundProofKind::Skip,
                RoundCertificateType::Precommit => RoundProofKind::Precommit,
            },
            votes: ascending(votes, |one| one.vote.validator),
        }
    }
}

/// In the order that encodings want, each voter once.
pub(crate) fn ascending<T>(items: impl Iterator<Item = T>, voter: impl Fn(&T) -> Voter) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_by_key(&voter);
    items.dedup_by_key(|item| voter(item));
    items
}

#[cfg(test)]
mod tests;
