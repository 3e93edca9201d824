//! Checking transactions' signatures with prepared keys, for all tasks of a node.

use std::num::NonZeroUsize;

use xinqiao_contracts::{
    Candidate, NotVerified, StateFault, StateRead, VerifyTx, record::KeyBytes, table,
};
use xinqiao_crypto::{DistinguishingId, PublicKey, Signature, VerifierCache};
use xinqiao_ledger::tx::{Tx, Verified};

/// Prepared keys kept at once: 464 KiB each.
const PREPARED_KEYS: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// The chain's distinguishing id with the prepared keys of its signers.
#[derive(Debug)]
pub struct Verifier {
    cache: VerifierCache,
    id: DistinguishingId,
}

impl Verifier {
    /// A verifier without prepared keys yet.
    pub fn new(id: DistinguishingId) -> Self {
        Self {
            cache: VerifierCache::new(PREPARED_KEYS),
            id,
        }
    }

    /// The prepared keys.
    pub fn cache(&self) -> &VerifierCache {
        &self.cache
    }

    /// Verifies ahead of the block that the transaction is in, if the state knows its signer's key
    /// already. Whether the key may sign is judged when the block is executed, and so is a
    /// transaction that cannot be verified here.
    pub(crate) fn ahead(&self, state: &impl StateRead, tx: Tx) -> Result<Candidate, StateFault> {
        let Some(record) = table::KEYS.get(state, &tx.meta().signer)? else {
            return Ok(Candidate::Unverified(tx));
        };
        let KeyBytes::Sm2(key) = record.key else {
            return Ok(Candidate::Unverified(tx));
        };
        Ok(match self.verify(tx.clone(), &key) {
            Ok(tx) => Candidate::Verified(tx),
            Err(_) => Candidate::Unverified(tx),
        })
    }
}

impl VerifyTx for Verifier {
    fn verify(&self, tx: Tx, key: &[u8; PublicKey::LEN]) -> Result<Verified<Tx>, NotVerified> {
        Ok(tx.verify(&*self.cache.known_sec1(key, &self.id)?)?)
    }
}

impl xinqiao_consensus::Verifier for Verifier {
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        (self.cache.known(key, &self.id))
            .verify(message, signature)
            .is_ok()
    }
}
