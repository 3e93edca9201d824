//! What validators sign, and the proof that one contradicted itself.
//!
//! The engines' own types are theirs; what is signed is defined here, because certificates and
//! evidence are checked by those who run no engine.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, Domain, KeyId, PublicKey, Signature, signing_message};

use crate::{
    ids::{ChainId, HeaderHash, Height},
    malformed::{Malformed, Problem, fixed, ranged, required, signature},
    validators::ValidatorSet,
    wire,
};

/// Prevote or precommit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum VoteKind {
    /// This validator holds the header for valid.
    Prevote = 2,
    /// This validator commits to the header. With the Byzantine engine it saw a quorum of prevotes
    /// for it; with the others the header is that of an agreed block.
    Precommit = 3,
}

/// What a validator says about a height and a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Statement {
    /// It proposes a header.
    Proposal {
        /// The earlier round whose quorum of prevotes allows to propose this header again.
        pol_round: Option<u32>,
        /// The header.
        header: HeaderHash,
    },
    /// It votes.
    Vote {
        /// How.
        kind: VoteKind,
        /// For that header; none is a vote for going on to the next round.
        header: Option<HeaderHash>,
    },
}

impl Statement {
    /// The bytes that are signed.
    ///
    /// A vote: kind (2 or 3) ‖ height ‖ round ‖ 0, or 1 and the header's hash, under the domain of
    /// votes of its chain. A proposal: 1 ‖ height ‖ round ‖ 0, or 1 and the earlier round ‖ the
    /// header's hash, under the domain of headers. Numbers are big-endian, heights of 8 bytes and
    /// rounds of 4. The validator is named by its key, which SM2 signs along.
    pub fn signing_message(&self, chain: &ChainId, height: Height, round: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(50);
        let domain = match self {
            Self::Proposal { pol_round, header } => {
                body.push(1);
                body.extend_from_slice(&height.to_be_bytes());
                body.extend_from_slice(&round.to_be_bytes());
                match pol_round {
                    None => body.push(0),
                    Some(round) => {
                        body.push(1);
                        body.extend_from_slice(&round.to_be_bytes());
                    }
                }
                body.extend_from_slice(header.as_bytes());
                Domain::Header
            }
            Self::Vote { kind, header } => {
                body.push(*kind as u8);
                body.extend_from_slice(&height.to_be_bytes());
                body.extend_from_slice(&round.to_be_bytes());
                match header {
                    None => body.push(0),
                    Some(header) => {
                        body.push(1);
                        body.extend_from_slice(header.as_bytes());
                    }
                }
                Domain::Vote
            }
        };
        signing_message(domain, chain.as_bytes(), &body)
    }

    /// Whether an honest validator can make both statements in one round of one height.
    fn is_compatible(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vote { kind: one, .. }, Self::Vote { kind: two, .. }) => {
                one != two || self == other
            }
            (Self::Proposal { .. }, Self::Proposal { .. }) => self == other,
            (Self::Vote { .. }, Self::Proposal { .. })
            | (Self::Proposal { .. }, Self::Vote { .. }) => true,
        }
    }
}

/// What a validator signs to commit to a header, with every engine: its precommit.
pub fn commit_message(chain: &ChainId, height: Height, round: u32, header: &HeaderHash) -> Vec<u8> {
    let precommit = Statement::Vote {
        kind: VoteKind::Precommit,
        header: Some(*header),
    };
    precommit.signing_message(chain, height, round)
}

/// Two statements of one validator in one round of one height, of which an honest one makes one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Equivocation {
    /// The validator.
    pub validator: KeyId,
    /// The height.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// One statement, the lesser.
    pub first: (Statement, Signature),
    /// The other.
    pub second: (Statement, Signature),
}

/// Why statements prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEquivocation {
    /// An honest validator can make both, or they are out of order.
    #[error("the two statements do not contradict each other, or are out of order")]
    NoConflict,
    /// Who is accused was no validator at that height.
    #[error("the accused was no validator at that height")]
    NotValidator,
    /// A signature is wrong.
    #[error("a signature is not the accused validator's")]
    Signature,
}

impl Equivocation {
    /// The two statements, in their order: so one contradiction has one form.
    pub fn new(
        validator: KeyId,
        height: Height,
        round: u32,
        one: (Statement, Signature),
        other: (Statement, Signature),
    ) -> Self {
        let (first, second) = if one.0 <= other.0 {
            (one, other)
        } else {
            (other, one)
        };
        Self {
            validator,
            height,
            round,
            first,
            second,
        }
    }

    /// Checks it against the validators in force at its height; `signed` tells whether a key signed
    /// a message.
    ///
    /// # Errors
    /// [`NoEquivocation`], unless the validator did contradict itself.
    pub fn check(
        &self,
        chain: &ChainId,
        validators: &ValidatorSet,
        signed: impl Fn(&PublicKey, &[u8], &Signature) -> bool,
    ) -> Result<(), NoEquivocation> {
        let key = validators
            .key(&self.validator)
            .ok_or(NoEquivocation::NotValidator)?;
        self.check_under(chain, key, signed)
    }

    /// As [`Equivocation::check`], where it is known otherwise that the accused was a validator at that
    /// height, and that this is its key.
    ///
    /// # Errors
    /// As there.
    pub fn check_under(
        &self,
        chain: &ChainId,
        key: &PublicKey,
        signed: impl Fn(&PublicKey, &[u8], &Signature) -> bool,
    ) -> Result<(), NoEquivocation> {
        if self.first.0 >= self.second.0 || self.first.0.is_compatible(&self.second.0) {
            return Err(NoEquivocation::NoConflict);
        }
        if key.id() != self.validator {
            return Err(NoEquivocation::NotValidator);
        }
        for (statement, signature) in [&self.first, &self.second] {
            let message = statement.signing_message(chain, self.height, self.round);
            if !signed(key, &message, signature) {
                return Err(NoEquivocation::Signature);
            }
        }
        Ok(())
    }
}

impl TryFrom<&wire::Equivocation> for Equivocation {
    type Error = Malformed;

    fn try_from(wire: &wire::Equivocation) -> Result<Self, Malformed> {
        let validator = fixed::<32>("validator", &wire.validator)?;
        let said = |field: &str, said: Option<&wire::SignedStatement>| {
            signed_statement(required(field, said)?).map_err(|fault| fault.within(field))
        };
        let (first, second) = (
            said("first", wire.first.as_ref())?,
            said("second", wire.second.as_ref())?,
        );
        if first.0 >= second.0 {
            return Err(Malformed::new("second", Problem::NotAscending));
        }
        Ok(Self {
            validator: KeyId::from(Digest::from(validator)),
            height: ranged("height", wire.height, 1, u64::MAX)?,
            round: wire.round,
            first,
            second,
        })
    }
}

fn signed_statement(wire: &wire::SignedStatement) -> Result<(Statement, Signature), Malformed> {
    use wire::StatementKind as Kind;
    let header = HeaderHash::parse_optional("header_hash", &wire.header_hash)?;
    let latest = u64::from(u32::MAX) + 1;
    let after = ranged("after_pol_round", wire.after_pol_round, 0, latest)?;
    let pol_round = after.checked_sub(1).and_then(|round| round.try_into().ok());
    let vote = |kind| {
        // Votes name no earlier round, and one thing is said in one way.
        ranged("after_pol_round", after, 0, 0)?;
        Ok(Statement::Vote { kind, header })
    };
    let statement = match Kind::try_from(wire.kind) {
        Ok(Kind::Proposal) => Statement::Proposal {
            pol_round,
            header: required("header_hash", header)?,
        },
        Ok(Kind::Prevote) => vote(VoteKind::Prevote)?,
        Ok(Kind::Precommit) => vote(VoteKind::Precommit)?,
        Ok(Kind::Unspecified) => return Err(Malformed::new("kind", Problem::Required)),
        Err(_) => return Err(Malformed::new("kind", Problem::UnknownEnum(wire.kind))),
    };
    Ok((statement, signature("signature", &wire.signature)?))
}

impl From<&Equivocation> for wire::Equivocation {
    fn from(evidence: &Equivocation) -> Self {
        let said = |(statement, signature): &(Statement, Signature)| {
            let (kind, header, pol_round) = match statement {
                Statement::Proposal { pol_round, header } => {
                    (wire::StatementKind::Proposal, Some(header), *pol_round)
                }
                Statement::Vote { kind, header } => {
                    let kind = match kind {
                        VoteKind::Prevote => wire::StatementKind::Prevote,
                        VoteKind::Precommit => wire::StatementKind::Precommit,
                    };
                    (kind, header.as_ref(), None)
                }
            };
            wire::SignedStatement {
                kind: kind.into(),
                header_hash: header.map(HeaderHash::to_vec).unwrap_or_default(),
                after_pol_round: pol_round.map_or(0, |round| u64::from(round) + 1),
                signature: signature.as_bytes().to_vec(),
            }
        };
        Self {
            validator: evidence.validator.as_bytes().to_vec(),
            height: evidence.height,
            round: evidence.round,
            first: Some(said(&evidence.first)),
            second: Some(said(&evidence.second)),
        }
    }
}
