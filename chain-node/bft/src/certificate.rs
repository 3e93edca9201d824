//! The commit certificate: a quorum's precommits for one header in one round, checked offline.
//!
//! A third party needs the header, the validators in force and the chain's id, and nothing of the
//! engine: it rebuilds the bytes that each validator signed. The round is part of them, because
//! precommits of different rounds prove nothing together.

use arc_malachitebft_core_types::NilOrVal;
use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::Signature;
use xinqiao_ledger::{
    block::{Header, MAX_VALIDATORS},
    ids::{ChainId, HeaderHash, Height},
};

use crate::{
    context::{BlockId, Vote, VoteKind, Voter},
    electorate::Electorate,
    sign::Verifier,
};

/// A quorum's precommits for a header.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommitCertificate {
    /// The header's height.
    pub height: Height,
    /// The round in which the quorum formed.
    pub round: u32,
    /// The header's hash.
    pub header: BlockId,
    /// Validators and signatures, by ascending key id.
    pub signatures: Vec<(Voter, Signature)>,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The header belongs to another chain.
    #[error("the header belongs to another chain")]
    OtherChain,
    /// The certificate is over another header.
    #[error("the certificate is over another header")]
    OtherHeader,
    /// The header names other validators.
    #[error("the header names another validator set")]
    OtherValidators,
    /// There are too few signatures.
    #[error("{got} validators signed, {quorum} are needed")]
    TooFew {
        /// Those that signed.
        got: usize,
        /// Those that are needed.
        quorum: usize,
    },
    /// A validator is named twice, or the signatures are out of order.
    #[error("a signer is named twice, or out of order")]
    RepeatedSigner,
    /// A signer is no validator of the set.
    #[error("a signer is no validator")]
    NotValidator,
    /// A signature is wrong.
    #[error("a signature is wrong")]
    Signature,
}

/// A header that a quorum committed to: proof that its certificate was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed(Header);

impl Committed {
    /// The header.
    pub fn into_header(self) -> Header {
        self.0
    }
}

impl std::ops::Deref for Committed {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.0
    }
}

impl CommitCertificate {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        crate::message::encoded(self)
    }

    /// Parses an encoding. Whether it proves anything is for [`CommitCertificate::check`] to say.
    ///
    /// # Errors
    /// When it is no encoding of a certificate, or of one with more signers than there can be
    /// validators.
    pub fn decode(bytes: &[u8]) -> Result<Self, crate::Malformed> {
        let certificate: Self = crate::message::decoded(bytes)?;
        if certificate.signatures.len() > MAX_VALIDATORS {
            return Err(crate::Malformed::TooManySigners);
        }
        Ok(certificate)
    }

    /// Checks that a quorum of the validators committed to this very header on that chain.
    ///
    /// # Errors
    /// [`Refused`], unless every signature in it is right and distinct validators of the set made
    /// at least a quorum of them.
    pub fn check(
        &self,
        chain: &ChainId,
        header: Header,
        validators: &Electorate,
        verifier: &impl Verifier,
    ) -> Result<Committed, Refused> {
        if header.chain != *chain {
            return Err(Refused::OtherChain);
        }
        if self.height != header.height || self.header != BlockId(header.hash()) {
            return Err(Refused::OtherHeader);
        }
        if header.validator_set != validators.hash() {
            return Err(Refused::OtherValidators);
        }
        signers(
            self.signatures.iter().map(|(voter, _)| voter),
            validators,
            validators.quorum(),
        )?;
        for (voter, signature) in &self.signatures {
            let message = self.precommit(*voter).signing_message(chain);
            verified(validators, *voter, &message, signature, verifier)?;
        }
        Ok(Committed(header))
    }

    /// What that validator signed.
    pub fn precommit(&self, validator: Voter) -> Vote {
        Vote {
            kind: VoteKind::Precommit,
            height: self.height,
            round: self.round,
            header: NilOrVal::Val(self.header),
            validator,
        }
    }

    /// The header's hash.
    pub fn header_hash(&self) -> HeaderHash {
        self.header.0
    }
}

/// Checks that signers are distinct validators in ascending order, and enough.
pub(crate) fn signers<'a>(
    voters: impl Iterator<Item = &'a Voter>,
    validators: &Electorate,
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
    if voters.iter().any(|voter| validators.key(voter).is_none()) {
        return Err(Refused::NotValidator);
    }
    Ok(())
}

/// Checks one validator's signature.
pub(crate) fn verified(
    validators: &Electorate,
    voter: Voter,
    message: &[u8],
    signature: &Signature,
    verifier: &impl Verifier,
) -> Result<(), Refused> {
    let key = validators.key(&voter).ok_or(Refused::NotValidator)?;
    if verifier.is_signed(key, message, signature) {
        Ok(())
    } else {
        Err(Refused::Signature)
    }
}

#[cfg(test)]
mod tests;
