//! What institutions order, and the parts that sources are to deliver.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, KeyId};

use crate::{
    group::EpochMark,
    ids::{GrantId, Height, ItemCode, OrderId, PurposeCode, SourceId, Subject, UserId},
    malformed::{Malformed, Problem, ascending, fixed, ranged},
    member::wire_enum,
    text::Branch,
    wire,
};

/// The most parts that an order may have.
pub const MAX_PARTS: usize = 64;

/// The shortest and the longest that sources may be given, in milliseconds.
pub const DEADLINE_MS: (u32, u32) = (100, 86_400_000);

/// The most bytes of a sealed report: 16 MiB of plain content, padded, and its envelope.
pub const MAX_SEALED: u64 = 16_842_752;

wire_enum!(
    /// How a report is sealed.
    SealScheme from SealScheme {
        /// Digital envelope: SM2 key encapsulation and SM4-GCM.
        Sm2Sm4Gcm,
        /// Delivery group: SM4-GCM under a key that travels in an MLS message.
        MlsSm4Gcm,
    }
);

/// How one report is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Sealing {
    /// [`SealScheme::Sm2Sm4Gcm`].
    Envelope,
    /// [`SealScheme::MlsSm4Gcm`], in that epoch of the group.
    Group(EpochMark),
}

impl Sealing {
    /// The scheme.
    pub fn scheme(&self) -> SealScheme {
        match self {
            Self::Envelope => SealScheme::Sm2Sm4Gcm,
            Self::Group(_) => SealScheme::MlsSm4Gcm,
        }
    }

    /// The group's epoch, where there is one.
    pub fn epoch(&self) -> Option<&EpochMark> {
        match self {
            Self::Envelope => None,
            Self::Group(mark) => Some(mark),
        }
    }

    /// Parses scheme and epoch: the one goes with the other.
    ///
    /// # Errors
    /// When the scheme is not known, or an epoch is missing or too many.
    pub fn parse(scheme: i32, epoch: Option<&wire::GroupEpoch>) -> Result<Self, Malformed> {
        const EPOCH: &str = "group_epoch";
        match (SealScheme::parse("seal_scheme", scheme)?, epoch) {
            (SealScheme::Sm2Sm4Gcm, None) => Ok(Self::Envelope),
            (SealScheme::Sm2Sm4Gcm, Some(_)) => {
                let problem = Problem::Format("left out: an envelope is of no group");
                Err(Malformed::new(EPOCH, problem))
            }
            (SealScheme::MlsSm4Gcm, None) => Err(Malformed::new(EPOCH, Problem::Required)),
            (SealScheme::MlsSm4Gcm, Some(epoch)) => EpochMark::try_from(epoch)
                .map(Self::Group)
                .map_err(|fault| fault.within(EPOCH)),
        }
    }
}

wire_enum!(
    /// Why a source does not deliver its part.
    PartRejection from PartRejection {
        /// The source has no record of the subject any more.
        RecordNotFound,
        /// The record no longer matches the registered digest.
        DigestMismatch,
        /// The source's database did not answer.
        SourceUnavailable,
        /// The record is larger than a delivery may be.
        TooLarge,
    }
);

impl PartRejection {
    /// The stable reason code of docs/errors.md.
    pub fn code(self) -> &'static str {
        match self {
            Self::RecordNotFound => "RECORD_NOT_FOUND",
            Self::DigestMismatch => "DIGEST_MISMATCH",
            Self::SourceUnavailable => "SOURCE_UNAVAILABLE",
            Self::TooLarge => "RECORD_TOO_LARGE",
        }
    }
}

wire_enum!(
    /// What the institution found on opening a delivery.
    Verdict from Verdict {
        /// Every item leads to the registered root.
        Confirmed,
        /// The envelope does not have the recorded digest.
        CiphertextMismatch,
        /// The envelope could not be opened.
        SealBroken,
        /// An item does not lead to the registered root.
        ItemMismatch,
    }
);

impl Verdict {
    /// The stable reason code of docs/errors.md; empty for [`Verdict::Confirmed`].
    pub fn code(self) -> &'static str {
        match self {
            Self::Confirmed => "",
            Self::CiphertextMismatch => "CIPHERTEXT_MISMATCH",
            Self::SealBroken => "SEAL_BROKEN",
            Self::ItemMismatch => "ITEM_MISMATCH",
        }
    }
}

/// Index of a part within its order.
pub type PartIndex = u8;

/// Names one part of one order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct PartRef {
    /// The order.
    pub order: OrderId,
    /// The part. Below [`MAX_PARTS`].
    pub part: PartIndex,
}

impl PartRef {
    /// Parses the two fields.
    ///
    /// # Errors
    /// When the id is no id or the index is 64 or more.
    pub fn parse(order: &[u8], part: u32) -> Result<Self, Malformed> {
        let part = ranged("part", part, 0, MAX_PARTS as u64 - 1)?;
        Ok(Self {
            order: OrderId::parse("order", order)?,
            part: PartIndex::try_from(part).expect("below 64"),
        })
    }
}

/// What an institution orders.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PlaceOrder {
    /// The information subject.
    pub subject: Subject,
    /// The grant it is placed under.
    pub grant: GrantId,
    /// The purpose.
    pub purpose: PurposeCode,
    /// The items, ascending. 1 to 64.
    pub items: Vec<ItemCode>,
    /// The institution's user who asks.
    pub user: UserId,
    /// The branch that asks; empty for head office.
    pub branch: Branch,
    /// How long the sources have, in milliseconds of block time.
    pub deadline_ms: u32,
    /// The institution's encryption key that deliveries are sealed to.
    pub recipient: KeyId,
}

impl TryFrom<&wire::PlaceOrder> for PlaceOrder {
    type Error = Malformed;

    fn try_from(wire: &wire::PlaceOrder) -> Result<Self, Malformed> {
        Ok(Self {
            subject: Subject::parse("subject", &wire.subject)?,
            grant: GrantId::parse("grant", &wire.grant)?,
            purpose: PurposeCode::parse("purpose", &wire.purpose)?,
            items: item_codes("items", &wire.items)?,
            user: UserId::parse("user", &wire.user)?,
            branch: Branch::parse("branch", &wire.branch)?,
            deadline_ms: ranged(
                "deadline_ms",
                wire.deadline_ms,
                u64::from(DEADLINE_MS.0),
                u64::from(DEADLINE_MS.1),
            )?,
            recipient: KeyId::from(Digest::from(fixed::<32>("recipient", &wire.recipient)?)),
        })
    }
}

impl From<&PlaceOrder> for wire::PlaceOrder {
    fn from(order: &PlaceOrder) -> Self {
        Self {
            subject: order.subject.to_vec(),
            grant: order.grant.to_vec(),
            purpose: order.purpose.to_string(),
            items: order.items.iter().map(ToString::to_string).collect(),
            user: order.user.to_vec(),
            branch: order.branch.to_string(),
            deadline_ms: order.deadline_ms,
            recipient: order.recipient.as_bytes().to_vec(),
        }
    }
}

/// 1 to 64 item codes, ascending.
pub(crate) fn item_codes(field: &str, wire: &[String]) -> Result<Vec<ItemCode>, Malformed> {
    ascending(field, wire, 1, 64, |field, code| {
        ItemCode::parse(field, code)
    })
}

/// What one source is to deliver, fixed when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OrderPart {
    /// The source.
    pub source: SourceId,
    /// The items, ascending.
    pub items: Vec<ItemCode>,
    /// The report root that the source had registered.
    pub registered_root: Digest,
    /// Which registration that was, counted from 1.
    pub digest_version: u32,
    /// As-of date of the data, days since 1970-01-01.
    pub as_of_day: u32,
    /// Height at which it was registered.
    pub registered_at: Height,
}

impl TryFrom<&wire::OrderPart> for OrderPart {
    type Error = Malformed;

    fn try_from(wire: &wire::OrderPart) -> Result<Self, Malformed> {
        Ok(Self {
            source: SourceId::parse("source", &wire.source)?,
            items: item_codes("items", &wire.items)?,
            registered_root: Digest::from(fixed::<32>("registered_root", &wire.registered_root)?),
            digest_version: ranged(
                "digest_version",
                wire.digest_version,
                1,
                u64::from(u32::MAX),
            )?,
            as_of_day: wire.as_of_day,
            registered_at: wire.registered_at_height,
        })
    }
}

impl From<&OrderPart> for wire::OrderPart {
    fn from(part: &OrderPart) -> Self {
        Self {
            source: part.source.to_string(),
            items: part.items.iter().map(ToString::to_string).collect(),
            registered_root: part.registered_root.as_bytes().to_vec(),
            digest_version: part.digest_version,
            as_of_day: part.as_of_day,
            registered_at_height: part.registered_at,
        }
    }
}
