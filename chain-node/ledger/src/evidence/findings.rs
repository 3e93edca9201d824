//! What evidence can show: claims, where they stand, and why one is not shown or contradicted.
//!
//! Not here: how they are drawn ([`super::claims`]) and worded ([`super::wording`]).

use std::collections::BTreeMap;

use xinqiao_crypto::{Digest, KeyId};

use super::authentic::{Fired, Moment, Signer, Step};
use crate::{
    action::Delivery,
    catalogue::Catalogue,
    ids::{ChainId, GrantId, HeaderHash, ItemCode, OrderId, OrgId, SourceId, TimeMs},
    order::{OrderPart, PartIndex, PlaceOrder, SealScheme},
    wire::{ConsentStatus, PartStatus},
};

/// What an evidence file proves, leaves open, and says against itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Name of the consortium.
    pub consortium: String,
    /// Its chain.
    pub chain: ChainId,
    /// The order.
    pub order: OrderId,
    /// Hash of the newest header, which stands for all history before it.
    pub tip: HeaderHash,
    /// Height and time of that header: the evidence speaks of nothing later.
    pub until: Moment,
    /// Every transaction of the file, in the order of the ledger.
    pub steps: Vec<Step>,
    /// Every block's own outcome of the file, in the order of the ledger.
    pub fired: Vec<Fired>,
    /// What follows from them, in the order of an order's life.
    pub claims: Vec<Claim>,
    pub(super) names: BTreeMap<OrgId, String>,
    pub(super) catalogue: Catalogue,
}

impl Findings {
    /// Whether every claim is proven.
    pub fn all_proven(&self) -> bool {
        self.claims
            .iter()
            .all(|claim| claim.standing == Standing::Proven)
    }

    /// Whether the certified record contradicts itself anywhere.
    pub fn contradicted(&self) -> bool {
        self.claims
            .iter()
            .any(|claim| matches!(claim.standing, Standing::Contradicted(_)))
    }
}

/// One thing that evidence can show.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// What is claimed.
    pub statement: Statement,
    /// Whether it is shown.
    pub standing: Standing,
}

/// Whether a claim is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The file proves it.
    Proven,
    /// The file leaves it open.
    NotShown(Gap),
    /// The certified record says otherwise.
    Contradicted(Gap),
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// All transactions are of one history that a quorum certified.
    OneHistory {
        /// Transactions of the file.
        transactions: usize,
        /// Outcomes of blocks themselves.
        blocks: usize,
        /// Validators that signed the newest header.
        signatures: usize,
        /// Validators that there are.
        validators: usize,
    },
    /// Each transaction was signed by the key that it names, checked here.
    Signed {
        /// Signatures checked here.
        checked: usize,
        /// Transactions of the file.
        of: usize,
    },
    /// The order was placed.
    Ordered {
        /// When.
        at: Moment,
        /// By whom.
        institution: Option<OrgId>,
        /// What it said.
        order: PlaceOrder,
        /// How many parts the contract made of it.
        parts: usize,
        /// Items that no source held.
        missing: Vec<ItemCode>,
    },
    /// Deliveries are sealed to a key of the institution, or for its delivery groups: then the key is named and
    /// not used.
    Recipient {
        /// The key.
        key: KeyId,
        /// How the order has them sealed.
        scheme: SealScheme,
    },
    /// Consent had been given before.
    Granted {
        /// The grant.
        grant: GrantId,
        /// When, and by whom.
        given: Option<(Moment, Signer)>,
    },
    /// The grant's terms cover the order.
    Covered(GrantId),
    /// The grant was in force.
    Live {
        /// The grant.
        grant: GrantId,
        /// When it had to be: at the order, or at the delivery of a part.
        part: Option<(PartIndex, SourceId)>,
    },
    /// The source had registered its report's root before.
    Registered {
        /// The part.
        part: PartIndex,
        /// What the order fixed for it.
        fixed: OrderPart,
        /// When it was registered, if the file has it.
        at: Option<Moment>,
    },
    /// A delivery was recorded, of the root that the order fixed and of no other items.
    Delivered {
        /// The part.
        part: PartIndex,
        /// The source.
        source: SourceId,
        /// When, by whom and what.
        record: Option<(Moment, Signer, Delivery)>,
    },
    /// How a part ended.
    Ended {
        /// The part.
        part: PartIndex,
        /// The source.
        source: SourceId,
        /// How, as far as the file shows.
        end: PartEnd,
        /// When.
        at: Option<Moment>,
    },
    /// The order was disputed, or a dispute settled.
    Dispute {
        /// When.
        at: Moment,
        /// Whether it was settled.
        settled: bool,
    },
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartEnd {
    /// The institution opened it and found each item to lead to the registered root.
    Confirmed,
    /// The institution found it wrong, with the reason code.
    Mismatched(String),
    /// The source refused it, with the reason code.
    Rejected(String),
    /// The deadline passed, as the block itself recorded.
    Expired {
        /// The order's deadline.
        deadline: TimeMs,
    },
    /// The institution withdrew the order.
    Cancelled,
    /// Consent was gone before the delivery.
    ConsentRevoked,
    /// The file shows no end. This is the last that it shows.
    Open(PartStatus),
}

/// Why a claim is not shown, or what contradicts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Keys of some signers are neither in the genesis nor in the file.
    KeysAbsent(usize),
    /// The file has no receipt of the grant before the order.
    NoGrant,
    /// The file has no receipt of the registration.
    NoRegistration,
    /// The file has no receipt of the delivery.
    NoDelivery,
    /// The file has no receipt of the part's end.
    NoEnd,
    /// The key is none that the genesis or the file has for the institution.
    RecipientUnknown,
    /// The grant is for another subject.
    OtherSubject,
    /// The grant is for another institution.
    OtherInstitution(OrgId),
    /// The grant is for another branch.
    OtherBranch,
    /// The grant does not cover the purpose.
    Purpose,
    /// The grant does not cover an item.
    Item(ItemCode),
    /// The grant does not cover a source.
    Source(SourceId),
    /// The grant was not valid at that time.
    Validity {
        /// First moment of validity.
        from: TimeMs,
        /// First moment after validity.
        until: TimeMs,
    },
    /// The last change of the grant before it left it in this state.
    Stood(ConsentStatus),
    /// The registration came after the order, or not at the height that the order names.
    RegisteredElsewhen(Moment),
    /// The root is not the one that the order fixed.
    Root(Digest),
    /// The items are not those that the order fixed.
    Items,
    /// It is sealed in another way than the order fixed.
    Seal,
    /// Another organisation signed it than the one that had to.
    SignedBy(OrgId),
    /// It does not come after what it must follow.
    Sequence,
    /// The block came before the deadline.
    Early,
    /// The block records it by itself, without the transaction that it takes.
    Unsigned,
}
