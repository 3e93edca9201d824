//! What the contracts keep: one record a thing, one variant a state of its life cycle.
//!
//! Their Borsh encoding is what the state commitment is over. How they look on the wire is with
//! `wire`; how they change is with each contract.

mod objection;

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, KeyId, PublicKey};
use xinqiao_ledger::{
    consent::ConsentTerms,
    governance::{GovernanceRules, Tally, VoteChoice},
    ids::{
        Fingerprint, GrantId, Height, ItemCode, OrderId, OrgId, PurposeCode, ReasonCode, Subject,
        TimeMs, TxId, UserId,
    },
    member::{KeyRole, Member, MemberKey, MemberKind, Region},
    objection::Mark,
    order::{OrderPart, PartIndex, PartRejection, PlaceOrder, SealScheme, Sealing, Verdict},
    outcome::Reason,
    source::DataSource,
    text::{DisplayName, Endpoint, StatedPurpose},
    vote::Equivocation,
};

pub use objection::{ObjectionRecord, ObjectionState};

/// The codes of the catalogue in force, apart from all that it says about them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CatalogueCodes {
    /// Of items, ascending.
    pub items: Vec<ItemCode>,
    /// Of purposes, ascending.
    pub purposes: Vec<PurposeCode>,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum MemberState {
    /// In good standing.
    Active,
    /// Frozen: its transactions are refused.
    Frozen(Freeze),
    /// Expelled at that height.
    Expelled(Height),
}

/// A freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Freeze {
    /// Height at which it began.
    pub since: Height,
    /// Who can lift it.
    pub by: FrozenBy,
}

/// Who froze a member. Each can lift its own freeze and not the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FrozenBy {
    /// A regulator, at once.
    Regulator,
    /// The consortium, by a vote: it is suspended.
    Vote,
    /// Both.
    Both,
}

/// A member as it is stored: keys are apart, so that reading one's standing decodes no points.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MemberEntry {
    /// What it is.
    pub kind: MemberKind,
    /// Its name.
    pub name: DisplayName,
    /// Its region.
    pub region: Region,
    /// Where its gateway listens; empty if it runs none.
    pub gateway_endpoint: Endpoint,
    /// The bureau whose gateway serves it, if it runs none.
    pub home: Option<OrgId>,
    /// Where it stands.
    pub state: MemberState,
    /// Who admitted it; none for members of the genesis and those that a vote admitted.
    pub sponsor: Option<OrgId>,
    /// Height at which it was admitted; 0 for members of the genesis.
    pub admitted_at: Height,
    /// Its valid keys, in the order in which they came.
    pub keys: Vec<KeyId>,
    /// Its valid certificates, ascending.
    pub certificates: Vec<Fingerprint>,
    /// How reports to it are sealed, from the next order on.
    pub seal_scheme: SealScheme,
}

/// A member with its valid keys and certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub member: Member,
    /// Where it stands.
    pub state: MemberState,
    /// Who admitted it; none for members of the genesis and those that a vote admitted.
    pub sponsor: Option<OrgId>,
    /// Height at which it was admitted; 0 for members of the genesis.
    pub admitted_at: Height,
    /// How much its vote counts; 0 for none.
    pub weight: u32,
    /// How reports to it are sealed, from the next order on.
    pub seal_scheme: SealScheme,
}

impl MemberRecord {
    /// Whether it is in good standing.
    pub fn is_active(&self) -> bool {
        self.state == MemberState::Active
    }
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum KeyOwner {
    /// A member's, for one role.
    Member {
        /// The member.
        org: OrgId,
        /// What the key may do.
        role: KeyRole,
    },
    /// An information subject's.
    Subject(Subject),
}

/// A key's bytes; points are decoded when they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum KeyBytes {
    /// A compressed point of sm2p256v1.
    Sm2([u8; 33]),
    /// An uncompressed point of P-256.
    Token([u8; 65]),
}

impl From<&MemberKey> for KeyBytes {
    fn from(key: &MemberKey) -> Self {
        match key {
            MemberKey::Sm2 { key, .. } => Self::Sm2(key.to_sec1()),
            MemberKey::Token(point) => Self::Token(*point),
        }
    }
}

impl KeyBytes {
    /// The SM2 key, if it is one.
    pub fn sm2(&self) -> Option<PublicKey> {
        match self {
            Self::Sm2(sec1) => PublicKey::try_from(&sec1[..]).ok(),
            Self::Token(_) => None,
        }
    }
}

/// Whether a key is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum KeyState {
    /// It is.
    Valid,
    /// It was until that height: what it signed before stays valid.
    Revoked(Height),
}

/// A key. Revoked ones stay, so that old signatures can be judged and no id comes back.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    /// Whose it is.
    pub owner: KeyOwner,
    /// Its bytes.
    pub key: KeyBytes,
    /// Height from which it is valid; 0 for keys of the genesis.
    pub valid_from: Height,
    /// Whether it is valid.
    pub state: KeyState,
}

/// A TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertificateRecord {
    /// The member.
    pub org: OrgId,
    /// Height from which it is valid; 0 for certificates of the genesis.
    pub valid_from: Height,
    /// Whether it is valid.
    pub state: KeyState,
}

/// A member's validator.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorEntry {
    /// The key that its votes are signed with.
    pub key: PublicKey,
    /// Where other validators reach it.
    pub endpoint: Endpoint,
}

/// A key that a validator has or had. It stays: no key comes back, and old blocks and contradictions
/// can be judged.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorKeyRecord {
    /// The member.
    pub org: OrgId,
    /// The key.
    pub key: PublicKey,
    /// The first height at which it is in force.
    pub from: Height,
    /// The last one, once it was replaced or removed. Before `from` if it never was in force.
    pub until: Option<Height>,
}

/// Where a proposal stands, and by which rules it is decided. What it proposes is apart.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProposalRecord {
    /// Its number, counted from 0.
    pub index: u64,
    /// Its id.
    pub proposal: TxId,
    /// The member that made it.
    pub proposer: OrgId,
    /// Height at which it was made.
    pub proposed_at: Height,
    /// When it was made.
    pub proposed_at_time: TimeMs,
    /// When the vote ends.
    pub deadline: TimeMs,
    /// How votes are counted: as it was when it was made.
    pub rules: GovernanceRules,
    /// Where it stands.
    pub state: ProposalState,
}

/// How a vote ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decision {
    /// Height at which.
    pub height: Height,
    /// The count that decided.
    pub tally: Tally,
}

/// Where a proposal stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposalState {
    /// It is voted on.
    Open,
    /// It passed, and waits for its height.
    Passed {
        /// The decision.
        decision: Decision,
        /// First height at which it is to be in force.
        effective: Height,
    },
    /// It was carried out.
    Enacted {
        /// The decision.
        decision: Decision,
        /// First height at which it is in force.
        effective: Height,
    },
    /// It did not pass.
    Rejected(Decision),
    /// It was taken back at that height.
    Withdrawn(Height),
    /// It passed, and could not be carried out any more.
    Failed {
        /// The decision.
        decision: Decision,
        /// First height at which it was to be in force.
        effective: Height,
        /// Why.
        reason: Reason,
        /// What was at fault; may be empty.
        subject: String,
    },
}

impl ProposalState {
    /// How the vote ended, if it did.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Passed { decision, .. }
            | Self::Enacted { decision, .. }
            | Self::Failed { decision, .. }
            | Self::Rejected(decision) => Some(decision),
            Self::Open | Self::Withdrawn(_) => None,
        }
    }

    /// Height at which it was decided or withdrawn.
    pub fn ended_at(&self) -> Option<Height> {
        match self {
            Self::Withdrawn(height) => Some(*height),
            _ => self.decision().map(|decision| decision.height),
        }
    }

    /// First height at which its changes are, or were to be, in force, once it passed.
    pub fn effective(&self) -> Option<Height> {
        match self {
            Self::Passed { effective, .. }
            | Self::Enacted { effective, .. }
            | Self::Failed { effective, .. } => Some(*effective),
            Self::Open | Self::Rejected(_) | Self::Withdrawn(_) => None,
        }
    }

    /// Why it could not be carried out, and what was at fault.
    pub fn failure(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Failed {
                reason, subject, ..
            } => Some((reason.code(), subject)),
            _ => None,
        }
    }
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VoteRecord {
    /// For or against.
    pub choice: VoteChoice,
    /// Height at which it was cast.
    pub height: Height,
    /// Transaction that cast it.
    pub tx: TxId,
}

/// A validator's contradiction.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MisbehaviourRecord {
    /// Its number, counted from 0.
    pub index: u64,
    /// The member that ran the validator.
    pub org: OrgId,
    /// The validator's key.
    pub key: PublicKey,
    /// The two statements.
    pub evidence: Equivocation,
    /// The member that reported it.
    pub reporter: OrgId,
    /// Height at which it was recorded.
    pub recorded_at: Height,
    /// Time of that block.
    pub recorded_at_time: TimeMs,
    /// Transaction that reported it.
    pub tx: TxId,
}

/// Whether a user is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum UserState {
    /// Open since that height.
    Open(Height),
    /// Closed at that height, for good.
    Closed(Height),
}

/// Who suspended a source. Each can lift its own suspension and not the other's.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SuspendedBy {
    /// The member that runs it.
    Operator,
    /// That regulator.
    Regulator(OrgId),
    /// The member that runs it, and that regulator as well.
    Both(OrgId),
}

/// Where a source stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SourceState {
    /// Registered, not yet in service.
    Registered,
    /// In service.
    Active,
    /// Out of service for a while.
    Suspended(SuspendedBy),
    /// Out of service for good.
    Retired,
}

/// A data source.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SourceRecord {
    /// The source.
    pub source: DataSource,
    /// Its number, counted from 0 in the order of registration: what digests are kept under.
    pub number: u32,
    /// Where it stands.
    pub state: SourceState,
    /// Subjects with a registered digest.
    pub subjects: u64,
}

/// A report digest in force. With its key it takes 98 bytes a subject and source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DigestRecord {
    /// The report root.
    pub root: Digest,
    /// Bit i stands for item i of those that the source declared.
    pub items: u64,
    /// As-of date, days since 1970-01-01.
    pub as_of_day: u32,
    /// Which registration this is, counted from 1.
    pub version: u32,
    /// Height at which it was registered.
    pub registered_at: Height,
    /// Index of the registering transaction within that block.
    pub tx_index: u32,
}

impl DigestRecord {
    /// The item codes, ascending.
    pub fn item_codes(&self, source: &SourceRecord) -> Vec<ItemCode> {
        (source.source.items.iter().enumerate())
            .filter(|(index, _)| self.items >> index & 1 == 1)
            .map(|(_, code)| code.clone())
            .collect()
    }
}

/// Where a source's digest for a subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DigestEntry {
    /// In force.
    Registered(DigestRecord),
    /// Withdrawn; the count of registrations goes on if the subject comes back.
    Withdrawn {
        /// The last registration.
        version: u32,
        /// Height at which it was withdrawn.
        at: Height,
    },
}

/// A registered digest with its items spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredDigest {
    /// The record.
    pub record: DigestRecord,
    /// The item codes, ascending.
    pub items: Vec<ItemCode>,
}

/// Who signed for the subject.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum GrantSigner {
    /// The subject's own key.
    Subject,
    /// A bureau, as witness of a paper authorisation.
    Witness(OrgId),
}

/// Uses within the current period of a grant with a frequency bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Window {
    /// The period, counted from 0 at `valid_from`.
    pub period: u64,
    /// Uses reserved or spent by orders placed in it.
    pub uses: u32,
}

/// What was made of a grant.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Granted {
    /// Who signed it.
    pub signer: GrantSigner,
    /// Uses spent by orders that delivered something.
    pub spent: u32,
    /// Uses held by orders that are still open.
    pub reserved: u32,
    /// Uses in the current period; none without a frequency bound.
    pub window: Option<Window>,
}

/// Where a consent stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsentState {
    /// Asked for, not answered.
    Requested {
        /// When it lapses.
        lapses_at: TimeMs,
    },
    /// In force.
    Active(Granted),
    /// Paused by the subject.
    Paused(Granted),
    /// Revoked by the subject.
    Revoked(Granted),
    /// Its time is over.
    Expired(Granted),
    /// Its uses are spent.
    Exhausted(Granted),
    /// The request was declined.
    Declined,
    /// The request lapsed unanswered.
    Lapsed,
}

/// A consent request or grant.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GrantRecord {
    /// Its id.
    pub grant: GrantId,
    /// The terms.
    pub terms: ConsentTerms,
    /// Where it stands.
    pub state: ConsentState,
    /// Height of the last change.
    pub changed_at: Height,
    /// Entries in its history.
    pub history: u32,
}

impl GrantRecord {
    /// What was made of it; none for requests that were not granted.
    pub fn granted(&self) -> Option<&Granted> {
        match &self.state {
            ConsentState::Active(it)
            | ConsentState::Paused(it)
            | ConsentState::Revoked(it)
            | ConsentState::Expired(it)
            | ConsentState::Exhausted(it) => Some(it),
            ConsentState::Requested { .. } | ConsentState::Declined | ConsentState::Lapsed => None,
        }
    }
}

/// A delivery on record.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DeliveryRecord {
    /// SM3 of the sealed report.
    pub ciphertext_digest: Digest,
    /// Its length in bytes.
    pub ciphertext_length: u64,
    /// Items in it, ascending.
    pub items: Vec<ItemCode>,
    /// How it is sealed.
    pub sealing: Sealing,
    /// Transaction that recorded it.
    pub tx: TxId,
    /// The holder key that signed it: which of the source's data-holding nodes delivered.
    pub holder: KeyId,
    /// Objections that stood against its items, by item and then by id.
    pub objections: Vec<Mark>,
}

/// Where a part stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PartState {
    /// Placed; the source has not answered.
    Placed,
    /// Taken up by the source.
    Accepted {
        /// The holder key of the node that took it up.
        holder: KeyId,
    },
    /// Delivery recorded.
    Delivered(DeliveryRecord),
    /// Opened and found right.
    Confirmed {
        /// The delivery.
        delivery: DeliveryRecord,
        /// Transaction that recorded the verdict.
        verdict_tx: TxId,
    },
    /// Opened and found wrong.
    Mismatched {
        /// The delivery.
        delivery: DeliveryRecord,
        /// What was found.
        verdict: Verdict,
        /// Transaction that recorded it.
        verdict_tx: TxId,
    },
    /// Refused by the source.
    Rejected(PartRejection),
    /// The source missed the deadline.
    Expired,
    /// Withdrawn by the institution.
    Cancelled,
    /// Consent was gone, or the institution's standing, when delivery was to be recorded.
    ConsentRevoked(Reason),
}

impl PartState {
    /// Whether the source may still answer.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Placed | Self::Accepted { .. })
    }
}

/// A part of an order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PartRecord {
    /// What the source is to deliver.
    pub part: OrderPart,
    /// The source's number.
    pub source_number: u32,
    /// Index of the transaction that registered the root within the block at
    /// `part.registered_at`.
    pub registered_tx_index: u32,
    /// Where it stands.
    pub state: PartState,
}

/// What became of the use that an order reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum UseState {
    /// Held.
    Reserved,
    /// Spent by a delivery.
    Spent,
    /// Given back, as nothing was delivered.
    GivenBack,
}

/// Whether an order is disputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DisputeState {
    /// It is not.
    Undisputed,
    /// It is.
    Disputed {
        /// SM3 of the statement.
        statement: Digest,
    },
    /// It was.
    Settled {
        /// SM3 of the statement.
        statement: Digest,
        /// SM3 of the settlement.
        settlement: Digest,
    },
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OrderRecord {
    /// Its id.
    pub order: OrderId,
    /// The institution.
    pub institution: OrgId,
    /// The order as placed.
    pub placed: PlaceOrder,
    /// Its parts, in ascending order of sources.
    pub parts: Vec<PartRecord>,
    /// Items that no source holds for the subject, ascending.
    pub missing_items: Vec<ItemCode>,
    /// Height at which it was placed.
    pub placed_at: Height,
    /// When it was placed.
    pub placed_at_time: TimeMs,
    /// When its open parts expire.
    pub deadline: TimeMs,
    /// How its parts are to be sealed: what was in force for the institution when it was placed.
    pub seal_scheme: SealScheme,
    /// What became of the use that it reserved.
    pub reserved_use: UseState,
    /// Whether it is disputed.
    pub dispute: DisputeState,
    /// Index of its access log entry.
    pub access_index: u64,
    /// Entries in its history.
    pub history: u32,
}

impl OrderRecord {
    /// Whether any part may still be answered.
    pub fn is_open(&self) -> bool {
        self.parts.iter().any(|part| part.state.is_open())
    }

    /// The part of that index.
    pub fn part(&self, index: PartIndex) -> Option<&PartRecord> {
        self.parts.get(usize::from(index))
    }
}

/// One change of a grant or an order: what evidence is gathered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HistoryRecord {
    /// Height of the block.
    pub height: Height,
    /// The transaction; none when a deadline fired.
    pub tx: Option<TxId>,
}

/// One attempt to query.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccessRecord {
    /// Position in the log, from 0.
    pub index: u64,
    /// Height of the block that recorded it.
    pub height: Height,
    /// Time of that block.
    pub time: TimeMs,
    /// The institution.
    pub institution: OrgId,
    /// Its user, if one was proved.
    pub user: Option<UserId>,
    /// The subject, if the request had one.
    pub subject: Option<Subject>,
    /// The purpose as asked; may be empty.
    pub purpose: StatedPurpose,
    /// The items as asked, ascending.
    pub items: Vec<ItemCode>,
    /// The grant named, if any.
    pub grant: Option<GrantId>,
    /// What it came to.
    pub outcome: AccessOutcome,
    /// Transaction that recorded it.
    pub tx: TxId,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AccessOutcome {
    /// An order was placed, under the recording transaction's id.
    Placed,
    /// The contract refused.
    Refused(Reason),
    /// A gateway refused.
    RefusedByGateway {
        /// The gateway's organisation.
        gateway: OrgId,
        /// Why.
        reason: ReasonCode,
    },
}

impl AccessOutcome {
    /// The reason code; empty if an order was placed.
    pub fn refusal(&self) -> &str {
        match self {
            Self::Placed => "",
            Self::Refused(reason) => reason.code(),
            Self::RefusedByGateway { reason, .. } => reason.as_str(),
        }
    }
}
