//! The types that malachite's core is generic over.
//!
//! Every type here is local because the core's traits have to be implemented for it. Votes and
//! proposals hold only what the core can derive again after a crash: what is compared on replay
//! is exactly what is signed.

use std::{fmt, io, sync::Arc};

use arc_malachitebft_core_types as core;
use borsh::{BorshDeserialize, BorshSerialize};
use core::{LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType, VotingPower};
use xinqiao_crypto::{KeyId, PublicKey, Signature, SignatureError};
use xinqiao_ledger::{ids, validators::ValidatorSet, vote::VoteKind};

use crate::turn::turn;

/// The types of this chain's consensus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain;

/// A block's height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Height(pub(crate) ids::Height);

/// A validator, by the id of its key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Voter(pub KeyId);

/// What is agreed on: the hash of a header. The body travels beside it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct BlockId(pub ids::HeaderHash);

/// No part is ever given to the core: bodies are the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPart;

/// A vote without its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The height voted on.
    pub height: ids::Height,
    /// The round voted in.
    pub round: u32,
    /// The header voted for; none is a vote for going on to the next round.
    #[borsh(serialize_with = "put_header", deserialize_with = "take_header")]
    pub header: NilOrVal<BlockId>,
    /// The voter.
    pub validator: Voter,
}

/// A proposal without its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The height proposed for.
    pub height: ids::Height,
    /// The round proposed in.
    pub round: u32,
    /// The earlier round whose quorum of prevotes allows to propose this header again.
    pub pol_round: Option<u32>,
    /// Hash of the proposed header.
    pub header: BlockId,
    /// The proposer.
    pub proposer: Voter,
}

/// As `Option` is encoded: a zero, or a one and the header.
fn put_header<W: io::Write>(header: &NilOrVal<BlockId>, writer: &mut W) -> io::Result<()> {
    match header {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(*id),
    }
    .serialize(writer)
}

fn take_header<R: io::Read>(reader: &mut R) -> io::Result<NilOrVal<BlockId>> {
    let header = Option::<BlockId>::deserialize_reader(reader)?;
    Ok(header.map_or(NilOrVal::Nil, NilOrVal::Val))
}

/// One validator; all have one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    voter: Voter,
    key: PublicKey,
}

/// The validators of a height as the core wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators(Arc<[Validator]>);

impl From<&ValidatorSet> for Validators {
    fn from(set: &ValidatorSet) -> Self {
        let validator = |(id, key): &(KeyId, PublicKey)| Validator {
            voter: Voter(*id),
            key: *key,
        };
        Self(set.keys().iter().map(validator).collect())
    }
}

/// SM2 as the core sees it: signatures and public keys. Secret keys never get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sm2;

impl core::Context for Chain {
    type Address = Voter;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Sm2;

    fn select_proposer<'a>(
        &self,
        validators: &'a Validators,
        height: Height,
        round: Round,
    ) -> &'a Validator {
        &validators.0[turn(validators.0.len(), height.0, numbered(round))]
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockId,
        pol_round: Round,
        proposer: Voter,
    ) -> Proposal {
        Proposal {
            height: height.0,
            round: numbered(round),
            pol_round: pol_round.as_u32(),
            header: value,
            proposer,
        }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        header: NilOrVal<BlockId>,
        voter: Voter,
    ) -> Vote {
        vote(VoteKind::Prevote, height, round, header, voter)
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        header: NilOrVal<BlockId>,
        voter: Voter,
    ) -> Vote {
        vote(VoteKind::Precommit, height, round, header, voter)
    }
}

fn vote(
    kind: VoteKind,
    height: Height,
    round: Round,
    header: NilOrVal<BlockId>,
    voter: Voter,
) -> Vote {
    Vote {
        kind,
        height: height.0,
        round: numbered(round),
        header,
        validator: voter,
    }
}

/// The number of a round. The wire and the log know numbered rounds only, so the core has no other.
pub(crate) fn numbered(round: Round) -> u32 {
    round
        .as_u32()
        .expect("the core is given numbered rounds only, and derives from them")
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for Height {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl core::Address for Voter {}

impl fmt::Display for Voter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl core::ProposalPart<Chain> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl core::Validator<Chain> for Validator {
    fn address(&self) -> &Voter {
        &self.voter
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

impl core::ValidatorSet<Chain> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.len() as VotingPower
    }

    fn get_by_address(&self, voter: &Voter) -> Option<&Validator> {
        self.0.iter().find(|validator| validator.voter == *voter)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

impl core::Vote<Chain> for Vote {
    fn height(&self) -> Height {
        Height(self.height)
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.header
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.header
    }

    fn vote_type(&self) -> VoteType {
        match self.kind {
            VoteKind::Prevote => VoteType::Prevote,
            VoteKind::Precommit => VoteType::Precommit,
        }
    }

    fn validator_address(&self) -> &Voter {
        &self.validator
    }

    // Votes have no extensions: what is signed is what a third party can rebuild.
    fn extension(&self) -> Option<&SignedExtension<Chain>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Chain>> {
        None
    }

    fn extend(self, _: SignedExtension<Chain>) -> Self {
        self
    }
}

impl core::Proposal<Chain> for Proposal {
    fn height(&self) -> Height {
        Height(self.height)
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &BlockId {
        &self.header
    }

    fn take_value(self) -> BlockId {
        self.header
    }

    fn pol_round(&self) -> Round {
        Round::from(self.pol_round)
    }

    fn validator_address(&self) -> &Voter {
        &self.proposer
    }
}

impl core::SigningScheme for Sm2 {
    type DecodingError = SignatureError;
    type Signature = Signature;
    type PublicKey = PublicKey;
    // The core asks its host for signatures.
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, SignatureError> {
        Signature::try_from(bytes)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.as_bytes().to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, SignatureError> {
        PublicKey::try_from(bytes).map_err(|_| SignatureError::Mismatch)
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.to_sec1().to_vec()
    }
}
