//! What a transaction came to: events, or the reason why it changed nothing.
//!
//! Outcomes are hashed into every header, so their encoding is part of the chain's rules: golden
//! bytes pin it.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use prost::Message;

use crate::{
    ids::TxId,
    malformed::{Malformed, Problem, required},
    tx::canonical,
    wire,
};

/// Something that happened on the ledger, as it is encoded.
pub use crate::wire::event::Kind as Event;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// Why a transaction changes nothing, or an attempt is refused. Stable codes of docs/errors.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant),+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The reason of that code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    /// Meant for another chain.
    ChainIdMismatch = "CHAIN_ID_MISMATCH",
    /// The signer's key is not known, or was revoked.
    SignerUnknown = "SIGNER_UNKNOWN",
    /// The signature is not the signer's.
    SignatureInvalid = "SIGNATURE_INVALID",
    /// The signer's organisation is frozen.
    MemberFrozen = "MEMBER_FROZEN",
    /// The signer's organisation was expelled.
    MemberExpelled = "MEMBER_EXPELLED",
    /// The signer's key, or its organisation's kind, may not do this.
    RoleDenied = "ROLE_DENIED",
    /// The same transaction was ordered before.
    TxReplayed = "TX_REPLAYED",
    /// Its expiry height has passed.
    TxExpired = "TX_EXPIRED",
    /// Its expiry height is too far ahead.
    TxExpiryTooFar = "TX_EXPIRY_TOO_FAR",
    /// No such member.
    MemberUnknown = "MEMBER_UNKNOWN",
    /// A member of that id exists, or existed.
    MemberExists = "MEMBER_EXISTS",
    /// The member is not in the state that this needs.
    MemberStateConflict = "MEMBER_STATE_CONFLICT",
    /// A key of that id is or was registered.
    KeyExists = "KEY_EXISTS",
    /// No such key at this member.
    KeyUnknown = "KEY_UNKNOWN",
    /// It is the member's last admin key.
    LastAdminKey = "LAST_ADMIN_KEY",
    /// The member has as many keys or certificates as it may have.
    TooManyCredentials = "TOO_MANY_CREDENTIALS",
    /// The certificate is registered already.
    CertificateExists = "CERTIFICATE_EXISTS",
    /// No such certificate at this member.
    CertificateUnknown = "CERTIFICATE_UNKNOWN",
    /// The user is open already, or was closed.
    UserExists = "USER_EXISTS",
    /// No such open user at this institution.
    UserUnknown = "USER_UNKNOWN",
    /// The catalogue's version is not the next one.
    CatalogueVersion = "CATALOGUE_VERSION",
    /// The catalogue drops a code that is in use.
    CatalogueDropsCode = "CATALOGUE_DROPS_CODE",
    /// Records that conform to the catalogue in force would not to the next.
    CatalogueNarrows = "CATALOGUE_NARROWS",
    /// The catalogue has no such item.
    ItemUnknown = "ITEM_UNKNOWN",
    /// The catalogue has no such purpose.
    PurposeUnknown = "PURPOSE_UNKNOWN",
    /// No such source.
    SourceUnknown = "SOURCE_UNKNOWN",
    /// A source of that id exists, or existed.
    SourceExists = "SOURCE_EXISTS",
    /// The source belongs to another member.
    SourceNotOwned = "SOURCE_NOT_OWNED",
    /// The source is not in the state that this needs.
    SourceStateConflict = "SOURCE_STATE_CONFLICT",
    /// A regulator suspended the source, and only a regulator lifts that.
    SourceSuspendedByRegulator = "SOURCE_SUSPENDED_BY_REGULATOR",
    /// The source did not declare this item.
    ItemNotDeclared = "ITEM_NOT_DECLARED",
    /// The source has no digest registered for the subject.
    DigestNotFound = "DIGEST_NOT_FOUND",
    /// The as-of date lies before the registered one's.
    DigestOlder = "DIGEST_OLDER",
    /// The subject's key is bound already to someone.
    SubjectKeyExists = "SUBJECT_KEY_EXISTS",
    /// No such grant or request.
    ConsentNotFound = "CONSENT_NOT_FOUND",
    /// The grant is not in the state that this needs.
    ConsentStateConflict = "CONSENT_STATE_CONFLICT",
    /// The signer may not speak for the subject.
    ConsentSigner = "CONSENT_SIGNER",
    /// The terms granted are not those requested.
    ConsentTermsDiffer = "CONSENT_TERMS_DIFFER",
    /// The terms' validity is over before it begins, or too long.
    ConsentValidity = "CONSENT_VALIDITY",
    /// The grant is only requested.
    ConsentNotGranted = "CONSENT_NOT_GRANTED",
    /// The grant is paused.
    ConsentPaused = "CONSENT_PAUSED",
    /// The grant was revoked.
    ConsentRevoked = "CONSENT_REVOKED",
    /// The grant's time is over.
    ConsentExpired = "CONSENT_EXPIRED",
    /// The grant's uses are spent or reserved.
    ConsentExhausted = "CONSENT_EXHAUSTED",
    /// The grant was used too often in this period.
    ConsentTooFrequent = "CONSENT_TOO_FREQUENT",
    /// The grant's time has not come.
    ConsentNotYetValid = "CONSENT_NOT_YET_VALID",
    /// The grant is another institution's or branch's.
    ConsentWrongGrantee = "CONSENT_WRONG_GRANTEE",
    /// The grant does not cover the purpose.
    ConsentWrongPurpose = "CONSENT_WRONG_PURPOSE",
    /// The grant does not cover an item.
    ConsentItemOutOfScope = "CONSENT_ITEM_OUT_OF_SCOPE",
    /// The grant is another subject's.
    ConsentSubjectMismatch = "CONSENT_SUBJECT_MISMATCH",
    /// No source that the grant covers holds any of the items for the subject.
    NoSource = "NO_SOURCE",
    /// The recipient is not a valid encryption key of the institution.
    RecipientUnknown = "RECIPIENT_UNKNOWN",
    /// No such order.
    OrderNotFound = "ORDER_NOT_FOUND",
    /// No such part in the order.
    PartNotFound = "PART_NOT_FOUND",
    /// The order or the part is not in the state that this needs.
    OrderStateConflict = "ORDER_STATE_CONFLICT",
    /// The order belongs to another institution.
    OrderNotOwned = "ORDER_NOT_OWNED",
    /// The delivered items or root are not those that the order fixed.
    DeliveryMismatch = "DELIVERY_MISMATCH",
    /// No such objection.
    ObjectionNotFound = "OBJECTION_NOT_FOUND",
    /// The objection is not in the state that this needs.
    ObjectionStateConflict = "OBJECTION_STATE_CONFLICT",
    /// The source has registered nothing anew, and withdrawn nothing, since the objection was filed.
    ObjectionNotCorrected = "OBJECTION_NOT_CORRECTED",
    /// As many objections stand against the subject's data at this source as may.
    TooManyObjections = "TOO_MANY_OBJECTIONS",
    /// This takes a vote of the consortium.
    VoteNeeded = "VOTE_NEEDED",
    /// The member has no vote.
    NoVote = "NO_VOTE",
    /// No such proposal.
    ProposalNotFound = "PROPOSAL_NOT_FOUND",
    /// The proposal is not voted on any more.
    ProposalClosed = "PROPOSAL_CLOSED",
    /// Another member made the proposal.
    ProposalNotOwned = "PROPOSAL_NOT_OWNED",
    /// The member, or the consortium, has as many proposals pending as it may have.
    TooManyProposals = "TOO_MANY_PROPOSALS",
    /// The height at which changes are to be in force has passed, or is too far ahead.
    EffectiveHeight = "EFFECTIVE_HEIGHT",
    /// The member has voted already.
    AlreadyVoted = "ALREADY_VOTED",
    /// As many members have a vote as may have one.
    TooManyVoters = "TOO_MANY_VOTERS",
    /// Nobody in good standing would be left with a vote.
    NoVotersLeft = "NO_VOTERS_LEFT",
    /// The member runs no validator.
    ValidatorUnknown = "VALIDATOR_UNKNOWN",
    /// The validator's key came too few blocks ago.
    RotationTooSoon = "ROTATION_TOO_SOON",
    /// The engine cannot work with so many, or so few, validators.
    ValidatorCount = "VALIDATOR_COUNT",
    /// The statements do not prove that a validator contradicted itself.
    EquivocationUnproven = "EQUIVOCATION_UNPROVEN",
    /// The validator's contradiction at this height is on record.
    MisbehaviourKnown = "MISBEHAVIOUR_KNOWN",
}

/// Stored as its code: numbers would shift when a reason is added.
impl BorshSerialize for Reason {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.code().serialize(writer)
    }
}

impl BorshDeserialize for Reason {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let code = String::deserialize_reader(reader)?;
        Self::from_code(&code)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no reason has that code"))
    }
}

/// What one transaction, or the block itself, came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It took effect.
    Applied(Vec<Event>),
    /// It changed nothing.
    Rejected {
        /// Why.
        reason: Reason,
        /// Which field or object was at fault; may be empty. At most 128 bytes.
        subject: String,
    },
}

impl Outcome {
    /// The canonical encoding, which the outcome root is made of. `id` is none for the block's own.
    pub fn encode(&self, id: Option<&TxId>) -> Vec<u8> {
        let result = match self {
            Self::Applied(events) => wire::outcome::Result::Applied(wire::Applied {
                events: events
                    .iter()
                    .map(|kind| wire::Event {
                        kind: Some(kind.clone()),
                    })
                    .collect(),
            }),
            Self::Rejected { reason, subject } => wire::outcome::Result::Rejected(wire::Rejected {
                reason: reason.code().to_owned(),
                subject: subject.clone(),
            }),
        };
        wire::Outcome {
            tx_id: id.map(TxId::to_vec).unwrap_or_default(),
            result: Some(result),
        }
        .encode_to_vec()
    }

    /// Parses an encoding.
    ///
    /// # Errors
    /// When it is no canonical outcome, or has a reason that nobody defined.
    pub fn parse(encoded: &[u8]) -> Result<(Option<TxId>, Self), Malformed> {
        let wire: wire::Outcome = canonical("outcome", encoded)?;
        let id = TxId::parse_optional("outcome.tx_id", &wire.tx_id)?;
        let outcome = match required("outcome.result", wire.result)? {
            wire::outcome::Result::Applied(applied) => Self::Applied(
                applied
                    .events
                    .into_iter()
                    .map(|event| required("outcome.applied.events.kind", event.kind))
                    .collect::<Result<_, _>>()?,
            ),
            wire::outcome::Result::Rejected(rejected) => Self::Rejected {
                reason: Reason::from_code(&rejected.reason).ok_or_else(|| {
                    Malformed::new("outcome.rejected.reason", Problem::Format("a known reason"))
                })?,
                subject: rejected.subject,
            },
        };
        Ok((id, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_codes_are_unique_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }

    #[test]
    fn outcomes_keep_their_golden_bytes() {
        let rejected = Outcome::Rejected {
            reason: Reason::NoSource,
            subject: "x".into(),
        };
        let id = TxId(xinqiao_crypto::sm3(b"tx"));
        let bytes = rejected.encode(Some(&id));
        let golden = format!("0a20{id}1a0e0a094e4f5f534f555243451201{:02x}", b'x');
        assert_eq!(hex::encode(&bytes), golden);
        assert_eq!(Outcome::parse(&bytes), Ok((Some(id), rejected)));
        assert_eq!(hex::encode(Outcome::Applied(vec![]).encode(None)), "1200");
    }
}
