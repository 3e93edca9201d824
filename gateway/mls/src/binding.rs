//! A ledger key's word that an MLS key is its own.
//!
//! MLS proves that messages come from whoever holds a leaf's signature key, and leaves open who that is. Here
//! the SM2 key that the ledger knows signs for it: an agent for each key package, a data-holding node for
//! each group. Nobody in between can put another key in its place, take one meant for another node, or use an
//! old one again.

use std::sync::Arc;

use rand_core::CryptoRng;
use xinqiao_crypto::{
    Digest, DistinguishingId, Domain, PublicKey, SecretKey, Signature, signing_message, verify_once,
};
use xinqiao_ledger::{
    ids::{ChainId, OrgId, TimeMs},
    member::KeyRole,
};

use crate::{
    error::Error,
    member::{Member, Pair, Side},
    message::{Limit, MAX_BINDING},
};

/// How long an agent's binding is valid at most: 90 days.
pub const MAX_VALIDITY_MS: u64 = 90 * 86_400_000;

/// How far two clocks may be apart: 5 minutes.
pub const SKEW_MS: u64 = 300_000;

const TAG: &[u8; 22] = b"xinqiao/mls-binding/v1";

/// Bytes of an Ed25519 public key.
pub(crate) const SIGNATURE_KEY: usize = 32;

/// What the ledger says of a key that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Whose it is.
    pub org: OrgId,
    /// What it may do.
    pub role: KeyRole,
    /// The key.
    pub key: PublicKey,
}

/// The ledger, as one side sees it: a replica, or keys proven by receipts.
pub trait Ledger {
    /// Which chain.
    fn chain(&self) -> ChainId;
    /// The distinguishing id that its signatures are made with.
    fn distinguishing_id(&self) -> DistinguishingId;
    /// A key that is valid now, of a member that may act now; none for any other.
    fn signer(&self, key: &xinqiao_crypto::KeyId) -> Option<Signer>;
}

/// A member with the secret half of the ledger key that stands behind it.
#[derive(Debug)]
pub struct Identity {
    /// The member.
    pub member: Member,
    /// The ledger key.
    pub key: Arc<SecretKey>,
    /// The chain.
    pub chain: ChainId,
    /// The distinguishing id of the chain's signatures.
    pub id: DistinguishingId,
}

/// Why the ledger does not stand behind a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// The bytes are no binding.
    #[error("the binding is malformed")]
    Malformed,
    /// It is for another pair of node and institution, or another chain.
    #[error("the binding is for another group or another chain")]
    OtherGroup,
    /// It is for another key package or group id.
    #[error("the binding is for other keys than it came with")]
    OtherKeys,
    /// Its member has no place in this group.
    #[error("{0} has no place in this group")]
    OtherMember(OrgId),
    /// It is not valid yet.
    #[error("the binding is valid from {0} ms on; are the clocks right?")]
    Early(TimeMs),
    /// It is not valid any more.
    #[error("the binding was valid until {0} ms")]
    Expired(TimeMs),
    /// It would be valid for longer than 90 days, or for no time at all.
    #[error("a binding is valid for at most 90 days")]
    Validity,
    /// The ledger has no such key, or not of that organisation, in that role, now.
    #[error("the ledger has no valid key of the binding's organisation and role under that id")]
    UnknownKey,
    /// The key did not sign this.
    #[error("the binding's signature does not fit")]
    Signature,
}

/// What a binding binds the member to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Digest of the pair of node and institution, which has the chain in it ([`Pair::digest`]).
    pub pair: Digest,
    /// The member.
    pub member: Member,
    /// The public half of the Ed25519 key of its leaf.
    pub signature_key: [u8; SIGNATURE_KEY],
    /// An agent: SM3 of the key package, as it is sent. A data-holding node: SM3 of the group id.
    pub subject: Digest,
    /// The highest generation of the group that the signer has been in; a node names the group's own.
    pub generation: u64,
    /// Valid from, milliseconds since 1970-01-01 UTC.
    pub not_before: TimeMs,
    /// Valid until and with.
    pub not_after: TimeMs,
}

impl Claim {
    /// Tag (22) ‖ pair (32) ‖ length of the credential (2) ‖ credential ‖ signature key (32) ‖ subject (32)
    /// ‖ generation (8) ‖ not before (8) ‖ not after (8); numbers are big endian.
    ///
    /// What is signed is `signing_message(Domain::Request, chain id, these bytes)`.
    pub fn encode(&self) -> Vec<u8> {
        let credential = self.member.credential();
        let mut bytes = TAG.to_vec();
        bytes.extend_from_slice(self.pair.as_bytes());
        // Under 128 bytes.
        bytes.extend_from_slice(&(credential.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&credential);
        bytes.extend_from_slice(&self.signature_key);
        bytes.extend_from_slice(self.subject.as_bytes());
        for number in [self.generation, self.not_before, self.not_after] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(TAG)?;
        let (pair, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (credential, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (signature_key, rest) = rest.split_first_chunk::<SIGNATURE_KEY>()?;
        let (subject, rest) = rest.split_first_chunk::<32>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (not_before, rest) = rest.split_first_chunk::<8>()?;
        let not_after: &[u8; 8] = rest.try_into().ok()?;
        Some(Self {
            pair: Digest::new(*pair),
            member: Member::parse(credential).ok()?,
            signature_key: *signature_key,
            subject: Digest::new(*subject),
            generation: u64::from_be_bytes(*generation),
            not_before: u64::from_be_bytes(*not_before),
            not_after: u64::from_be_bytes(*not_after),
        })
    }
}

/// A claim with the ledger key's signature. It proves nothing before [`Binding::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    claim: Claim,
    signature: Signature,
}

/// A claim that the ledger stands behind: [`Binding::check`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound(Claim);

impl Bound {
    /// What was claimed, and holds.
    pub fn claim(&self) -> &Claim {
        &self.0
    }
}

impl Binding {
    /// Signs a claim.
    pub fn sign<R: CryptoRng + ?Sized>(claim: Claim, identity: &Identity, rng: &mut R) -> Self {
        let message = message(&identity.chain, &claim);
        let signature = identity.key.sign(&identity.id, &message, rng);
        Self { claim, signature }
    }

    /// Whether it says that it is this member's. That is not checked here.
    pub(crate) fn is_of(&self, member: &Member) -> bool {
        self.claim.member == *member
    }

    /// The claim (see [`Claim::encode`]) ‖ signature (64).
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.claim.encode();
        bytes.extend_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Reads [`Self::encode`]'s form and no other.
    ///
    /// # Errors
    /// When the bytes are too many or no binding.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Limit::check("binding", bytes, MAX_BINDING)?;
        let (claim, signature) = bytes
            .split_last_chunk::<{ Signature::LEN }>()
            .ok_or(BindingError::Malformed)?;
        Ok(Self {
            claim: Claim::parse(claim).ok_or(BindingError::Malformed)?,
            signature: Signature::try_from(&signature[..]).map_err(|_| BindingError::Malformed)?,
        })
    }

    /// Checks that the ledger stands behind it, now: for this pair and these keys.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn check(
        self,
        pair: &Pair,
        side: Side,
        subject: &Digest,
        ledger: &dyn Ledger,
        now: TimeMs,
    ) -> Result<Bound, BindingError> {
        let claim = self.claim;
        if claim.pair != pair.digest() || pair.chain != ledger.chain() {
            return Err(BindingError::OtherGroup);
        }
        if claim.member.side != side || !pair.admits(&claim.member) {
            return Err(BindingError::OtherMember(claim.member.org));
        }
        if claim.subject != *subject {
            return Err(BindingError::OtherKeys);
        }
        let validity = claim.not_after.checked_sub(claim.not_before);
        if !validity.is_some_and(|length| (1..=MAX_VALIDITY_MS).contains(&length)) {
            return Err(BindingError::Validity);
        }
        if claim.not_before > now.saturating_add(SKEW_MS) {
            return Err(BindingError::Early(claim.not_before));
        }
        if claim.not_after < now {
            return Err(BindingError::Expired(claim.not_after));
        }
        let signer = standing(&claim.member, ledger).ok_or(BindingError::UnknownKey)?;
        let message = message(&pair.chain, &claim);
        verify_once(
            &signer.key,
            &ledger.distinguishing_id(),
            &message,
            &self.signature,
        )
        .map_err(|_| BindingError::Signature)?;
        Ok(Bound(claim))
    }
}

/// The ledger key behind a member, if it is valid now.
pub(crate) fn standing(member: &Member, ledger: &dyn Ledger) -> Option<Signer> {
    let role = match member.side {
        Side::Holder => KeyRole::Holder,
        Side::Agent => KeyRole::Agent,
    };
    let signer = ledger.signer(&member.key)?;
    let fits = signer.org == member.org && signer.role == role && signer.key.id() == member.key;
    fits.then_some(signer)
}

fn message(chain: &ChainId, claim: &Claim) -> Vec<u8> {
    signing_message(Domain::Request, chain.as_bytes(), &claim.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use xinqiao_crypto::sm3;

    fn claim(key: &SecretKey) -> Claim {
        Claim {
            pair: sm3(b"pair"),
            member: Member {
                side: Side::Agent,
                org: "su-bank".parse().unwrap(),
                node: "agent-1".parse().unwrap(),
                key: key.public().id(),
            },
            signature_key: [9; SIGNATURE_KEY],
            subject: sm3(b"key package"),
            generation: 3,
            not_before: 5,
            not_after: 7,
        }
    }

    #[test]
    fn what_is_signed_keeps_its_golden_bytes() {
        let key = SecretKey::from_bytes(&[3; 32]).unwrap();
        let claim = claim(&key);
        let credential = claim.member.credential();
        let golden = [
            &b"xinqiao/mls-binding/v1"[..],
            sm3(b"pair").as_bytes(),
            &[0, credential.len() as u8],
            &credential,
            &[9; 32],
            sm3(b"key package").as_bytes(),
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 0, 0, 0, 0, 0, 0, 7],
        ]
        .concat();
        assert_eq!(claim.encode(), golden);
        let chain = ChainId(sm3(b"chain"));
        let signed = message(&chain, &claim);
        assert_eq!(signed[..16], *b"xinqiao/req/v1\0\0");
        assert_eq!(signed[16..18], [0, 32]);
        assert_eq!(signed[18..50], chain.0.to_bytes());
        assert_eq!(signed[50..], golden);
        assert_eq!(
            sm3(&signed).to_string(),
            "62fb17b822fc2958156281166ed7571b3d350ab8900a1b550486ca9ffbd3829d"
        );
    }

    #[test]
    fn a_binding_reads_back_and_nothing_else_reads_as_one() {
        let mut rng = StdRng::seed_from_u64(1);
        let key = SecretKey::generate(&mut rng);
        let claim = claim(&key);
        let identity = Identity {
            member: claim.member.clone(),
            key: key.into(),
            chain: ChainId(sm3(b"chain")),
            id: DistinguishingId::default(),
        };
        let binding = Binding::sign(claim, &identity, &mut rng);
        let bytes = binding.encode();
        assert!(bytes.len() <= MAX_BINDING);
        assert_eq!(Binding::parse(&bytes).unwrap(), binding);
        for end in 0..bytes.len() {
            assert!(Binding::parse(&bytes[..end]).is_err(), "{end} bytes");
        }
        let long = [&bytes[..], &[0; MAX_BINDING]].concat();
        assert!(matches!(Binding::parse(&long), Err(Error::Limit(_))));
    }
}
