//! Transactions, and the proof that one was verified.
//!
//! The bytes that were signed are the bytes that are hashed, stored and relayed. Parsing answers
//! only whether they are a transaction at all; [`Tx::verify`] whether its signer signed it.

use std::sync::{Arc, OnceLock};

use prost::Message;
use rand_core::CryptoRng;
use xinqiao_crypto::{
    Digest, DistinguishingId, Domain, KeyId, KnownKey, PublicKey, SecretKey, Signature, merkle,
    signing_message, sm3_parts,
};

use crate::{
    action::Action,
    ids::{ChainId, Height, TxId},
    malformed::{Malformed, Problem, fixed, ranged, required, signature},
    wire,
};

/// The most bytes of an encoded transaction.
pub const MAX_TX_BYTES: usize = 1 << 20;

/// The most bytes of a transaction's body: the rest is key id, signature and framing.
pub const MAX_BODY_BYTES: usize = 1_048_000;

/// A well-formed transaction that nobody has verified yet. Cloning it is cheap: one that waits is handed
/// to block after block until one with it is agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    encoded: Vec<u8>,
    body: Vec<u8>,
    signature: Signature,
    meta: Meta,
    name: &'static str,
    action: Action,
    leaf: OnceLock<Digest>,
}

impl PartialEq for Parsed {
    /// All else was parsed from these bytes.
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Parsed {}

/// What a transaction says of itself, apart from its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Its id.
    pub id: TxId,
    /// The key that signed it.
    pub signer: KeyId,
    /// The chain it is meant for.
    pub chain: ChainId,
    /// Last height at which it may be ordered.
    pub expires_at: Height,
}

impl Tx {
    /// Parses the encoding of a `Transaction`.
    ///
    /// # Errors
    /// When it is too long, no canonical encoding, or a field is not what the contract says.
    pub fn parse(encoded: &[u8]) -> Result<Self, Malformed> {
        check_length(encoded.len())?;
        let outer = canonical("transaction", encoded)?;
        Self::read(encoded.to_vec(), outer)
    }

    /// The same for one that was decoded already: its encoding is canonical because it is made here.
    ///
    /// # Errors
    /// As there.
    pub fn from_wire(transaction: wire::Transaction) -> Result<Self, Malformed> {
        check_length(transaction.encoded_len())?;
        Self::read(transaction.encode_to_vec(), transaction)
    }

    fn read(encoded: Vec<u8>, outer: wire::Transaction) -> Result<Self, Malformed> {
        let at = |fault: Malformed| fault.within("transaction");
        if outer.body.is_empty() {
            return Err(at(Malformed::new("body", Problem::Required)));
        }
        if outer.body.len() > MAX_BODY_BYTES {
            let problem = Problem::TooLong {
                max: MAX_BODY_BYTES,
                got: outer.body.len(),
            };
            return Err(at(Malformed::new("body", problem)));
        }
        let signer = KeyId::from(Digest::from(
            fixed::<32>("signer", &outer.signer).map_err(at)?,
        ));
        let signature = signature("signature", &outer.signature).map_err(at)?;

        let body: wire::TxBody = canonical("body", &outer.body)?;
        ranged("body.version", body.version, 1, 1)?;
        let chain = ChainId::parse("body.chain_id", &body.chain_id)?;
        fixed::<16>("body.nonce", &body.nonce)?;
        let wire_action = required("body.action", body.action.as_ref())?;
        let name = action_name(wire_action);
        let action = Action::try_from(wire_action).map_err(|fault| fault.within(name))?;
        let meta = Meta {
            id: id_of(&chain, &signer, &outer.body),
            signer,
            chain,
            expires_at: body.expires_at_height,
        };
        Ok(Self(Arc::new(Parsed {
            encoded,
            body: outer.body,
            signature,
            meta,
            name,
            action,
            leaf: OnceLock::new(),
        })))
    }

    /// Builds and signs a transaction. `nonce` tells it apart from an equal one.
    pub fn sign<R: CryptoRng + ?Sized>(
        action: wire::tx_body::Action,
        chain: &ChainId,
        expires_at: Height,
        key: &SecretKey,
        id: &DistinguishingId,
        rng: &mut R,
    ) -> wire::Transaction {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let body = wire::TxBody {
            version: 1,
            chain_id: chain.to_vec(),
            nonce: nonce.to_vec(),
            expires_at_height: expires_at,
            action: Some(action),
        }
        .encode_to_vec();
        let message = signing_message(Domain::Transaction, chain.as_bytes(), &body);
        let signature = key.sign(id, &message, rng);
        wire::Transaction {
            body,
            signer: key.public().id().as_bytes().to_vec(),
            signature: signature.as_bytes().to_vec(),
        }
    }

    /// What it says of itself. Unverified.
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// What it says. Unverified.
    pub fn action(&self) -> &Action {
        &self.0.action
    }

    /// The name of its action in the contract, such as `place_order`.
    pub fn action_name(&self) -> &'static str {
        self.0.name
    }

    /// The bytes it was parsed from.
    pub fn encoded(&self) -> &[u8] {
        &self.0.encoded
    }

    /// Its leaf in a block's tree of transactions: hashed once, though it may be proposed several times.
    pub fn leaf(&self) -> Digest {
        *(self.0.leaf).get_or_init(|| merkle::leaf_hash(&self.0.encoded))
    }

    /// Checks the signature under the key that its signer id names.
    ///
    /// # Errors
    /// When `key` is another key than the one named, or it did not sign this.
    pub fn verify(self, key: &KnownKey) -> Result<Verified<Self>, NotSigned> {
        if key.id() != self.0.meta.signer {
            return Err(NotSigned);
        }
        key.verify(&self.signed(), &self.0.signature)
            .map_err(|_| NotSigned)?;
        Ok(Verified(self))
    }

    /// As [`Tx::verify`], for a key that is seen once: no table is made for it.
    ///
    /// # Errors
    /// As there.
    pub fn verify_once(
        self,
        key: &PublicKey,
        id: &DistinguishingId,
    ) -> Result<Verified<Self>, NotSigned> {
        if key.id() != self.0.meta.signer {
            return Err(NotSigned);
        }
        xinqiao_crypto::verify_once(key, id, &self.signed(), &self.0.signature)
            .map_err(|_| NotSigned)?;
        Ok(Verified(self))
    }

    /// What its signature is over.
    fn signed(&self) -> Vec<u8> {
        let Parsed { meta, body, .. } = &*self.0;
        signing_message(Domain::Transaction, meta.chain.as_bytes(), body)
    }
}

fn check_length(got: usize) -> Result<(), Malformed> {
    if got > MAX_TX_BYTES {
        let max = MAX_TX_BYTES;
        return Err(Malformed::new("transaction", Problem::TooLong { max, got }));
    }
    Ok(())
}

/// The signature does not belong to the signer and these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not the named signer's over these bytes")]
pub struct NotSigned;

/// Proof that a signature was checked: nothing else makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Id of the transaction of that chain, signer and body.
pub fn id_of(chain: &ChainId, signer: &KeyId, body: &[u8]) -> TxId {
    TxId(sm3_parts(&[
        b"xinqiao/tx-id/v1",
        chain.as_bytes(),
        signer.as_bytes(),
        body,
    ]))
}

/// Decodes a message and insists that encoding it again gives the same bytes, so that unknown,
/// repeated and reordered fields cannot make two encodings of one message.
pub(crate) fn canonical<M: Message + Default>(field: &str, bytes: &[u8]) -> Result<M, Malformed> {
    let message = M::decode(bytes)
        .map_err(|fault| Malformed::new(field, Problem::Undecodable(fault.to_string())))?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(Malformed::new(field, Problem::NotCanonical));
    }
    Ok(message)
}

fn action_name(action: &wire::tx_body::Action) -> &'static str {
    use wire::tx_body::Action as A;
    match action {
        A::AdmitMember(_) => "admit_member",
        A::FreezeMember(_) => "freeze_member",
        A::UnfreezeMember(_) => "unfreeze_member",
        A::ExpelMember(_) => "expel_member",
        A::AddKey(_) => "add_key",
        A::RevokeKey(_) => "revoke_key",
        A::AddCertificate(_) => "add_certificate",
        A::RevokeCertificate(_) => "revoke_certificate",
        A::OpenUser(_) => "open_user",
        A::CloseUser(_) => "close_user",
        A::SetSealScheme(_) => "set_seal_scheme",
        A::RegisterSource(_) => "register_source",
        A::ActivateSource(_) => "activate_source",
        A::SuspendSource(_) => "suspend_source",
        A::RetireSource(_) => "retire_source",
        A::RegisterDigests(_) => "register_digests",
        A::WithdrawDigests(_) => "withdraw_digests",
        A::BindSubjectKey(_) => "bind_subject_key",
        A::RequestConsent(_) => "request_consent",
        A::GrantConsent(_) => "grant_consent",
        A::DeclineConsent(_) => "decline_consent",
        A::PauseConsent(_) => "pause_consent",
        A::ResumeConsent(_) => "resume_consent",
        A::RevokeConsent(_) => "revoke_consent",
        A::PlaceOrder(_) => "place_order",
        A::AcceptPart(_) => "accept_part",
        A::DeliverPart(_) => "deliver_part",
        A::RejectPart(_) => "reject_part",
        A::ConfirmPart(_) => "confirm_part",
        A::CancelOrder(_) => "cancel_order",
        A::DisputeOrder(_) => "dispute_order",
        A::SettleDispute(_) => "settle_dispute",
        A::RecordRefusal(_) => "record_refusal",
        A::FileObjection(_) => "file_objection",
        A::ResolveObjection(_) => "resolve_objection",
        A::WithdrawObjection(_) => "withdraw_objection",
        A::Propose(_) => "propose",
        A::Vote(_) => "vote",
        A::WithdrawProposal(_) => "withdraw_proposal",
        A::RotateValidator(_) => "rotate_validator",
        A::ReportEquivocation(_) => "report_equivocation",
    }
}
