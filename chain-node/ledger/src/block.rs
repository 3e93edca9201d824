//! Block headers, certificates and blocks.

use prost::Message;
use xinqiao_crypto::{
    Digest, DistinguishingId, KeyId, PublicKey, SecretKey, Signature, VerifierCache, merkle, sm3,
};

use crate::{
    ids::{ChainId, HeaderHash, Height, TimeMs},
    malformed::{Malformed, Problem, fixed, list, ranged, required, signature},
    tx::{Tx, canonical},
    validators::{Engine, MAX_VALIDATORS, ValidatorSet},
    vote::commit_message,
    wire,
};

/// The most transactions of one block.
pub const MAX_BLOCK_TXS: usize = 10_000;

/// The most bytes of one block's transactions together.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;

/// A block header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Digest of the genesis.
    pub chain: ChainId,
    /// Height, from 1.
    pub height: Height,
    /// Hash of the header before; the chain id at height 1.
    pub parent: HeaderHash,
    /// The proposer's time; later than the parent's.
    pub time: TimeMs,
    /// Number of transactions.
    pub tx_count: u32,
    /// Root over the encoded transactions.
    pub tx_root: Digest,
    /// Root over the encoded outcomes: the block's own, then one for each transaction.
    pub outcome_root: Digest,
    /// Commitment to the state after this block.
    pub state_commitment: Digest,
    /// Root over the hashes of all headers before this one.
    pub history_root: Digest,
    /// Hash of the validator set in force.
    pub validator_set: Digest,
    /// Hash of the validator set in force at the next height.
    pub next_validators: Digest,
    /// The proposer.
    pub proposer: KeyId,
    /// Digest of the last checkpoint ([`crate::checkpoint`]), at the heights that are due to name it.
    pub checkpoint: Option<Digest>,
}

impl Header {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        wire::Header {
            version: 1,
            chain_id: self.chain.to_vec(),
            height: self.height,
            parent: self.parent.to_vec(),
            time_ms: self.time,
            tx_count: self.tx_count,
            tx_root: self.tx_root.as_bytes().to_vec(),
            outcome_root: self.outcome_root.as_bytes().to_vec(),
            state_commitment: self.state_commitment.as_bytes().to_vec(),
            history_root: self.history_root.as_bytes().to_vec(),
            validator_set: self.validator_set.as_bytes().to_vec(),
            next_validators: self.next_validators.as_bytes().to_vec(),
            proposer: self.proposer.as_bytes().to_vec(),
            checkpoint: self
                .checkpoint
                .map_or_else(Vec::new, |it| it.as_bytes().to_vec()),
        }
        .encode_to_vec()
    }

    /// Parses an encoding.
    ///
    /// # Errors
    /// When it is not the canonical encoding of a header.
    pub fn parse(encoded: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::Header = canonical("header", encoded)?;
        let digest = |field: &str, bytes: &[u8]| {
            fixed::<32>(&format!("header.{field}"), bytes).map(Digest::from)
        };
        ranged("header.version", wire.version, 1, 1)?;
        Ok(Self {
            chain: ChainId::parse("header.chain_id", &wire.chain_id)?,
            height: ranged("header.height", wire.height, 1, u64::MAX)?,
            parent: HeaderHash::parse("header.parent", &wire.parent)?,
            time: wire.time_ms,
            tx_count: ranged("header.tx_count", wire.tx_count, 0, MAX_BLOCK_TXS as u64)?,
            tx_root: digest("tx_root", &wire.tx_root)?,
            outcome_root: digest("outcome_root", &wire.outcome_root)?,
            state_commitment: digest("state_commitment", &wire.state_commitment)?,
            history_root: digest("history_root", &wire.history_root)?,
            validator_set: digest("validator_set", &wire.validator_set)?,
            next_validators: digest("next_validators", &wire.next_validators)?,
            proposer: KeyId::from(digest("proposer", &wire.proposer)?),
            checkpoint: (!wire.checkpoint.is_empty())
                .then(|| digest("checkpoint", &wire.checkpoint))
                .transpose()?,
        })
    }

    /// SM3 over the encoding.
    pub fn hash(&self) -> HeaderHash {
        HeaderHash(sm3(&self.encode()))
    }
}

/// A quorum's signatures over one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Height of the header.
    pub height: Height,
    /// The round in which the quorum formed; 0 with engines that have none.
    pub round: u32,
    /// Hash of the header.
    pub header: HeaderHash,
    /// Validators and signatures, by ascending key id.
    pub signatures: Vec<(KeyId, Signature)>,
}

/// Why a certificate does not certify a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uncertified {
    /// It is over another header.
    #[error("the certificate is over another header")]
    OtherHeader,
    /// The header names another validator set.
    #[error("the header names another validator set")]
    OtherValidators,
    /// A signer is no validator of this set.
    #[error("a signer of the certificate is no validator")]
    NotValidator,
    /// A validator signed twice, or the signatures are out of order.
    #[error("the certificate names a signer twice, or out of order")]
    RepeatedSigner,
    /// A signature is wrong.
    #[error("a signature of the certificate is wrong")]
    Signature,
    /// It names a round, and these validators agree without any.
    #[error("the certificate names a round that its validators do not have")]
    Round,
    /// There are too few signatures.
    #[error("the certificate has {got} signatures, the quorum is {quorum}")]
    TooFew {
        /// Signatures it has.
        got: usize,
        /// Signatures it needs.
        quorum: usize,
    },
}

/// A header that a quorum certified: proof that the certificate was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified(Header);

impl std::ops::Deref for Certified {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.0
    }
}

impl Certificate {
    /// One validator's signature over a header, of round 0.
    pub fn sign<R: rand_core::CryptoRng + ?Sized>(
        header: &Header,
        key: &SecretKey,
        id: &DistinguishingId,
        rng: &mut R,
    ) -> (KeyId, Signature) {
        let message = commit_message(&header.chain, header.height, 0, &header.hash());
        (key.public().id(), key.sign(id, &message, rng))
    }

    /// Checks the certificate over a header against the validators in force.
    ///
    /// # Errors
    /// Unless a quorum of distinct validators of the set signed this very header, and every
    /// signature in the certificate is right.
    pub fn check(
        &self,
        header: Header,
        validators: &ValidatorSet,
    ) -> Result<Certified, Uncertified> {
        let id = validators.distinguishing_id();
        self.check_by(header, validators, |key, message, signature| {
            xinqiao_crypto::verify_once(key, id, message, signature).is_ok()
        })
    }

    /// As [`Certificate::check`], with tables of known keys: for those who check many.
    ///
    /// # Errors
    /// As there.
    pub fn check_known(
        &self,
        header: Header,
        validators: &ValidatorSet,
        known: &VerifierCache,
    ) -> Result<Certified, Uncertified> {
        let id = validators.distinguishing_id();
        self.check_by(header, validators, |key, message, signature| {
            known.known(key, id).verify(message, signature).is_ok()
        })
    }

    /// As [`Certificate::check`], with whatever tells whether a key signed a message.
    ///
    /// # Errors
    /// As there.
    pub fn check_by(
        &self,
        header: Header,
        validators: &ValidatorSet,
        signed: impl Fn(&PublicKey, &[u8], &Signature) -> bool,
    ) -> Result<Certified, Uncertified> {
        if self.height != header.height || self.header != header.hash() {
            return Err(Uncertified::OtherHeader);
        }
        if header.validator_set != validators.hash() {
            return Err(Uncertified::OtherValidators);
        }
        if self.round != 0 && validators.engine() != Engine::Bft {
            return Err(Uncertified::Round);
        }
        let quorum = validators.quorum();
        if self.signatures.len() < quorum {
            return Err(Uncertified::TooFew {
                got: self.signatures.len(),
                quorum,
            });
        }
        if !self.signatures.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(Uncertified::RepeatedSigner);
        }
        let message = commit_message(&header.chain, self.height, self.round, &self.header);
        for (signer, signature) in &self.signatures {
            let key = validators.key(signer).ok_or(Uncertified::NotValidator)?;
            if !signed(key, &message, signature) {
                return Err(Uncertified::Signature);
            }
        }
        Ok(Certified(header))
    }
}

impl TryFrom<&wire::Certificate> for Certificate {
    type Error = Malformed;

    fn try_from(wire: &wire::Certificate) -> Result<Self, Malformed> {
        let signatures = list(
            "signatures",
            &wire.signatures,
            1,
            MAX_VALIDATORS,
            |field, one| {
                let signer = fixed::<32>(&format!("{field}.validator"), &one.validator)?;
                let signature = signature(&format!("{field}.signature"), &one.signature)?;
                Ok((KeyId::from(Digest::from(signer)), signature))
            },
        )?;
        if !signatures.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(Malformed::new("signatures", Problem::NotAscending));
        }
        Ok(Self {
            height: wire.height,
            round: wire.round,
            header: HeaderHash::parse("header_hash", &wire.header_hash)?,
            signatures,
        })
    }
}

impl From<&Certificate> for wire::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            height: certificate.height,
            round: certificate.round,
            header_hash: certificate.header.to_vec(),
            signatures: certificate
                .signatures
                .iter()
                .map(|(validator, signature)| wire::CertificateSignature {
                    validator: validator.as_bytes().to_vec(),
                    signature: signature.as_bytes().to_vec(),
                })
                .collect(),
        }
    }
}

/// A block with its certificate; neither executed nor certified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions, which lead to the header's root.
    pub txs: Vec<Tx>,
    /// The certificate over the header.
    pub certificate: Certificate,
}

impl TryFrom<&wire::Block> for Block {
    type Error = Malformed;

    fn try_from(wire: &wire::Block) -> Result<Self, Malformed> {
        let header = Header::parse(&wire.header)?;
        let txs = list(
            "transactions",
            &wire.transactions,
            0,
            MAX_BLOCK_TXS,
            |field, encoded| Tx::parse(encoded).map_err(|fault| fault.within(field)),
        )?;
        if u64::from(header.tx_count) != txs.len() as u64 || header.tx_root != tx_root(&txs) {
            return Err(Malformed::new(
                "transactions",
                Problem::Format("the transactions that the header's root is over"),
            ));
        }
        let certificate =
            Certificate::try_from(required("certificate", wire.certificate.as_ref())?)
                .map_err(|fault| fault.within("certificate"))?;
        Ok(Self {
            header,
            txs,
            certificate,
        })
    }
}

impl From<&Block> for wire::Block {
    fn from(block: &Block) -> Self {
        Self {
            header: block.header.encode(),
            transactions: block.txs.iter().map(|tx| tx.encoded().to_vec()).collect(),
            certificate: Some((&block.certificate).into()),
        }
    }
}

/// Root over encoded transactions.
pub fn tx_root<'a>(txs: impl IntoIterator<Item = &'a Tx>) -> Digest {
    let leaves: Vec<Digest> = txs.into_iter().map(Tx::leaf).collect();
    merkle::root(&leaves)
}

/// Root over encoded outcomes: the block's own first, then one for each transaction.
pub fn outcome_root(encoded: &[Vec<u8>]) -> Digest {
    let leaves: Vec<Digest> = encoded
        .iter()
        .map(|outcome| merkle::leaf_hash(outcome))
        .collect();
    merkle::root(&leaves)
}
