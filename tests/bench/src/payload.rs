//! The transactions of the load: signed before anything is measured, by the admin keys of several members,
//! each valid, and none equal to another.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use prost::Message as _;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{DistinguishingId, SecretKey, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    tx::Tx,
    wire::{self, tx_body::Action},
};

use crate::consortium::{INSTITUTION, ITEM, PURPOSE, now_ms};

/// What the transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A bank opens a user: the smallest one
    OpenUser,
    /// A bureau witnesses an enterprise's consent: with terms, index entries and a deadline
    GrantConsent,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OpenUser => "OpenUser",
            Self::GrantConsent => "GrantConsent",
        }
    }
}

/// Who signs, for which chain.
#[derive(Clone)]
pub(crate) struct Signers {
    pub(crate) chain: ChainId,
    /// Admin keys of institutions.
    pub(crate) institutions: Vec<Arc<SecretKey>>,
    /// Admin keys of bureaus.
    pub(crate) bureaus: Vec<Arc<SecretKey>>,
}

/// A signed transaction on its way.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) wire: wire::Transaction,
    /// What it is recognised by in a block.
    pub(crate) mark: u64,
}

/// What a transaction is recognised by: the end of its encoding is the end of its signature.
pub(crate) fn mark(encoded: &[u8]) -> u64 {
    let mut end = [0; 8];
    if let Some(last) = encoded.last_chunk::<8>() {
        end = *last;
    }
    u64::from_be_bytes(end)
}

impl Signers {
    /// Signs one; `number` says whose turn it is.
    pub(crate) fn sign(&self, kind: Kind, number: usize, expires_at: u64) -> Signed {
        let mut rng = rand::rng();
        let mut pseudonym = vec![0; 32];
        rng.fill_bytes(&mut pseudonym);
        let (action, keys) = match kind {
            Kind::OpenUser => (
                Action::OpenUser(wire::OpenUser { user: pseudonym }),
                &self.institutions,
            ),
            Kind::GrantConsent => (
                Action::GrantConsent(wire::GrantConsent {
                    request: Vec::new(),
                    terms: Some(terms(pseudonym)),
                }),
                &self.bureaus,
            ),
        };
        let key = &keys[number % keys.len()];
        let id = DistinguishingId::default();
        let wire = Tx::sign(action, &self.chain, expires_at, key, &id, &mut rng);
        Signed {
            mark: mark(&wire.encode_to_vec()),
            wire,
        }
    }

    /// Signs many, on all cores.
    pub(crate) async fn sign_many(
        &self,
        kind: Kind,
        count: usize,
        expires_at: u64,
    ) -> Result<Vec<Signed>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let each = count.div_ceil(threads);
        let jobs: Vec<_> = (0..threads)
            .map(|thread| {
                let signers = self.clone();
                let range = thread * each..((thread + 1) * each).min(count);
                tokio::task::spawn_blocking(move || {
                    let signed = range.map(|number| signers.sign(kind, number, expires_at));
                    signed.collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(count);
        for job in jobs {
            all.extend(job.await.context("signing")?);
        }
        Ok(all)
    }
}

fn terms(subject: Vec<u8>) -> wire::ConsentTerms {
    let now = now_ms();
    wire::ConsentTerms {
        subject,
        grantee: format!("{INSTITUTION}-00"),
        purposes: vec![PURPOSE.to_owned()],
        items: vec![ITEM.to_owned()],
        valid_from_ms: now.saturating_sub(60_000),
        valid_until_ms: now + 365 * 86_400_000,
        max_uses: 10,
        data_life_days: 180,
        document_digest: sm3(b"a letter of authorisation").as_bytes().to_vec(),
        text_digest: sm3(b"its text").as_bytes().to_vec(),
        ..wire::ConsentTerms::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use xinqiao_crypto::VerifierCache;

    use super::*;

    fn signers() -> Signers {
        let keys = |count| {
            (0..count)
                .map(|_| Arc::new(SecretKey::generate(&mut rand::rng())))
                .collect()
        };
        Signers {
            chain: ChainId::parse("chain_id", &[7; 32]).unwrap(),
            institutions: keys(3),
            bureaus: keys(2),
        }
    }

    fn check(kind: Kind) {
        let signers = signers();
        let keys = match kind {
            Kind::OpenUser => &signers.institutions,
            Kind::GrantConsent => &signers.bureaus,
        };
        let cache = VerifierCache::new(8.try_into().unwrap());
        let (mut marks, mut ids, mut sizes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for number in 0..6 {
            let signed = signers.sign(kind, number, 100);
            let encoded = signed.wire.encode_to_vec();
            let tx = Tx::parse(&encoded).unwrap();
            let key = &keys[number % keys.len()];
            assert_eq!(tx.meta().signer, key.public().id());
            assert_eq!(tx.meta().expires_at, 100);
            assert_eq!(signed.mark, mark(&encoded));
            sizes.insert(encoded.len());
            marks.insert(signed.mark);
            ids.insert(tx.meta().id);
            let known = cache.known(key.public(), &DistinguishingId::default());
            assert!(tx.verify(&known).is_ok(), "{kind:?} {number}");
        }
        assert_eq!((marks.len(), ids.len()), (6, 6), "{kind:?}");
        assert_eq!(sizes.len(), 1, "{kind:?}: all have the same size");
    }

    #[test]
    fn every_transaction_is_signed_by_the_one_whose_turn_it_is_and_none_is_equal_to_another() {
        check(Kind::OpenUser);
        check(Kind::GrantConsent);
    }

    #[tokio::test]
    async fn many_are_as_many_as_asked_for() {
        let signers = signers();
        for count in [0, 1, 7] {
            let many = signers.sign_many(Kind::OpenUser, count, 9).await.unwrap();
            assert_eq!(many.len(), count);
        }
    }

    #[test]
    fn a_short_encoding_has_a_mark_too() {
        assert_eq!(mark(b"abc"), 0);
        assert_eq!(mark(&[0, 0, 0, 0, 0, 0, 0, 0, 1]), 1);
    }
}
