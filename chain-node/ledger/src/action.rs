//! Everything that a transaction can say.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, PublicKey};

use crate::{
    consent::ConsentTerms,
    governance::{Proposal, VoteChoice},
    ids::{
        Fingerprint, GrantId, ItemCode, ObjectionId, OrderId, OrgId, ReasonCode, SourceId, Subject,
        TimeMs, TxId, UserId,
    },
    malformed::{Malformed, Problem, ascending, fixed, list, ranged, required},
    member::{Member, MemberKey, member_field, sm2_key},
    objection::{FileObjection, Finding},
    order::{
        MAX_SEALED, PartRef, PartRejection, PlaceOrder, SealScheme, Sealing, Verdict, item_codes,
    },
    source::DataSource,
    text::{Endpoint, Grounds, StatedPurpose},
    validators::validator_endpoint,
    vote::Equivocation,
    wire::{self, tx_body::Action as WireAction},
};

/// The most entries of one digest transaction.
pub const MAX_DIGESTS: usize = 2_000;

/// What a transaction says. Who must sign which is with the wire contract and in the contracts.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// Admits an organisation under the signer's sponsorship.
    AdmitMember(Member),
    /// Freezes a member at once.
    FreezeMember {
        /// The member.
        org: OrgId,
        /// Why.
        reason: Grounds,
    },
    /// Lifts a freeze.
    UnfreezeMember {
        /// The member.
        org: OrgId,
    },
    /// Expels a member for good.
    ExpelMember {
        /// The member.
        org: OrgId,
        /// Why.
        reason: Grounds,
    },
    /// Adds a key to the signer's organisation.
    AddKey(MemberKey),
    /// Revokes a key of the signer's organisation.
    RevokeKey(#[doc = "Id of the key."] Digest),
    /// Adds a TLS certificate to the signer's organisation.
    AddCertificate(Fingerprint),
    /// Revokes a TLS certificate of the signer's organisation.
    RevokeCertificate(Fingerprint),
    /// Opens a user of the signer's institution.
    OpenUser(UserId),
    /// Closes a user of the signer's institution.
    CloseUser(UserId),
    /// Chooses how reports to the signer's institution are sealed.
    SetSealScheme(SealScheme),
    /// Registers a data source of the signer's organisation.
    RegisterSource(DataSource),
    /// Puts a source into service.
    ActivateSource(SourceId),
    /// Takes a source out of service for a while.
    SuspendSource {
        /// The source.
        source: SourceId,
        /// Why.
        reason: Grounds,
    },
    /// Takes a source out of service for good.
    RetireSource(SourceId),
    /// Registers or supersedes report digests.
    RegisterDigests(DigestBatch),
    /// Withdraws report digests.
    WithdrawDigests {
        /// The source.
        source: SourceId,
        /// Subjects, ascending.
        subjects: Vec<Subject>,
    },
    /// Binds a signing key to an information subject.
    BindSubjectKey {
        /// The subject.
        subject: Subject,
        /// Its key.
        key: PublicKey,
    },
    /// Asks for consent.
    RequestConsent {
        /// What is asked for.
        terms: ConsentTerms,
        /// When the request lapses.
        lapses_at: TimeMs,
    },
    /// Grants consent.
    GrantConsent {
        /// The request answered, if there was one.
        request: Option<GrantId>,
        /// What is granted.
        terms: ConsentTerms,
    },
    /// Declines a request.
    DeclineConsent(GrantId),
    /// Pauses a grant.
    PauseConsent(GrantId),
    /// Resumes a paused grant.
    ResumeConsent(GrantId),
    /// Revokes a grant.
    RevokeConsent(GrantId),
    /// Places an order.
    PlaceOrder(PlaceOrder),
    /// Takes up a part.
    AcceptPart(PartRef),
    /// Records a delivery before its release.
    DeliverPart(Delivery),
    /// Refuses a part.
    RejectPart {
        /// The part.
        part: PartRef,
        /// Why.
        reason: PartRejection,
    },
    /// Closes a part after opening it.
    ConfirmPart {
        /// The part.
        part: PartRef,
        /// What was found.
        verdict: Verdict,
    },
    /// Withdraws an order.
    CancelOrder(OrderId),
    /// Disputes an order.
    DisputeOrder {
        /// The order.
        order: OrderId,
        /// SM3 of the statement.
        statement: Digest,
    },
    /// Settles a dispute.
    SettleDispute {
        /// The order.
        order: OrderId,
        /// SM3 of the settlement.
        settlement: Digest,
    },
    /// Records an attempt that a gateway refused.
    RecordRefusal(Refusal),
    /// Objects to what a source registered of a subject.
    FileObjection(FileObjection),
    /// Says what came of looking into an objection.
    ResolveObjection {
        /// The objection.
        objection: ObjectionId,
        /// What was found.
        finding: Finding,
        /// SM3 of the written answer.
        answer: Digest,
    },
    /// Takes an objection back.
    WithdrawObjection(ObjectionId),
    /// Puts changes to the vote.
    Propose(Proposal),
    /// Votes.
    Vote {
        /// The proposal: the id of the transaction that made it.
        proposal: TxId,
        /// For or against.
        choice: VoteChoice,
    },
    /// Takes a proposal back.
    WithdrawProposal(TxId),
    /// Changes the signer's own validator.
    RotateValidator {
        /// The key that it signs with from then on.
        key: PublicKey,
        /// Where other validators reach it.
        endpoint: Endpoint,
    },
    /// Puts a validator's contradiction on record.
    ReportEquivocation(Equivocation),
}

/// One subject's report digest.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DigestEntry {
    /// The subject.
    pub subject: Subject,
    /// The report root.
    pub root: Digest,
    /// Bit i stands for item i of the batch. Not 0.
    pub item_set: u64,
    /// As-of date, days since 1970-01-01.
    pub as_of_day: u32,
}

/// Report digests of one source.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DigestBatch {
    /// The source.
    pub source: SourceId,
    /// Items that the sets speak of, ascending. 1 to 64.
    pub items: Vec<ItemCode>,
    /// Entries in ascending order of subjects. 1 to [`MAX_DIGESTS`].
    pub entries: Vec<DigestEntry>,
}

/// A delivery, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delivery {
    /// The part.
    pub part: PartRef,
    /// SM3 of the sealed report.
    pub ciphertext_digest: Digest,
    /// Its length in bytes.
    pub ciphertext_length: u64,
    /// The root that the holder's record leads to.
    pub report_root: Digest,
    /// Items in the report, ascending.
    pub items: Vec<ItemCode>,
    /// How it is sealed.
    pub sealing: Sealing,
}

/// An attempt that a gateway refused, as far as it got.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Refusal {
    /// The institution that asked.
    pub institution: OrgId,
    /// Its user, if one was proved.
    pub user: Option<UserId>,
    /// The subject asked about, if any.
    pub subject: Option<Subject>,
    /// The purpose as asked; may be empty.
    pub purpose: StatedPurpose,
    /// The items as asked, ascending.
    pub items: Vec<ItemCode>,
    /// The grant named, if any.
    pub grant: Option<GrantId>,
    /// Why.
    pub reason: ReasonCode,
}

impl TryFrom<&WireAction> for Action {
    type Error = Malformed;

    fn try_from(wire: &WireAction) -> Result<Self, Malformed> {
        let org = |value: &str| OrgId::parse("org", value);
        let source = |value: &str| SourceId::parse("source", value);
        let reason = |value: &str| Grounds::parse("reason", value);
        let grant = |value: &[u8]| GrantId::parse("grant", value);
        let order = |value: &[u8]| OrderId::parse("order", value);
        let digest = |field, value: &[u8]| fixed::<32>(field, value).map(Digest::from);
        Ok(match wire {
            WireAction::AdmitMember(w) => {
                Self::AdmitMember(member_field("member", w.member.as_ref())?)
            }
            WireAction::FreezeMember(w) => Self::FreezeMember {
                org: org(&w.org)?,
                reason: reason(&w.reason)?,
            },
            WireAction::UnfreezeMember(w) => Self::UnfreezeMember { org: org(&w.org)? },
            WireAction::ExpelMember(w) => Self::ExpelMember {
                org: org(&w.org)?,
                reason: reason(&w.reason)?,
            },
            WireAction::AddKey(w) => {
                Self::AddKey(MemberKey::parse("key", required("key", w.key.as_ref())?)?)
            }
            WireAction::RevokeKey(w) => Self::RevokeKey(digest("key_id", &w.key_id)?),
            WireAction::AddCertificate(w) => {
                Self::AddCertificate(Fingerprint::parse("fingerprint", &w.fingerprint)?)
            }
            WireAction::RevokeCertificate(w) => {
                Self::RevokeCertificate(Fingerprint::parse("fingerprint", &w.fingerprint)?)
            }
            WireAction::OpenUser(w) => Self::OpenUser(UserId::parse("user", &w.user)?),
            WireAction::CloseUser(w) => Self::CloseUser(UserId::parse("user", &w.user)?),
            WireAction::SetSealScheme(w) => {
                Self::SetSealScheme(SealScheme::parse("seal_scheme", w.seal_scheme)?)
            }
            WireAction::RegisterSource(w) => Self::RegisterSource(
                DataSource::try_from(required("source", w.source.as_ref())?)
                    .map_err(|fault| fault.within("source"))?,
            ),
            WireAction::ActivateSource(w) => Self::ActivateSource(source(&w.source)?),
            WireAction::SuspendSource(w) => Self::SuspendSource {
                source: source(&w.source)?,
                reason: reason(&w.reason)?,
            },
            WireAction::RetireSource(w) => Self::RetireSource(source(&w.source)?),
            WireAction::RegisterDigests(w) => Self::RegisterDigests(DigestBatch::try_from(w)?),
            WireAction::WithdrawDigests(w) => Self::WithdrawDigests {
                source: source(&w.source)?,
                subjects: ascending("subjects", &w.subjects, 1, MAX_DIGESTS, |field, bytes| {
                    Subject::parse(field, bytes)
                })?,
            },
            WireAction::BindSubjectKey(w) => Self::BindSubjectKey {
                subject: Subject::parse("subject", &w.subject)?,
                key: sm2_key("public_key", &w.public_key)?,
            },
            WireAction::RequestConsent(w) => {
                let terms = consent_terms(w.terms.as_ref())?;
                Self::RequestConsent {
                    terms,
                    lapses_at: w.lapses_at_ms,
                }
            }
            WireAction::GrantConsent(w) => Self::GrantConsent {
                request: GrantId::parse_optional("request", &w.request)?,
                terms: consent_terms(w.terms.as_ref())?,
            },
            WireAction::DeclineConsent(w) => Self::DeclineConsent(grant(&w.grant)?),
            WireAction::PauseConsent(w) => Self::PauseConsent(grant(&w.grant)?),
            WireAction::ResumeConsent(w) => Self::ResumeConsent(grant(&w.grant)?),
            WireAction::RevokeConsent(w) => Self::RevokeConsent(grant(&w.grant)?),
            WireAction::PlaceOrder(w) => Self::PlaceOrder(PlaceOrder::try_from(w)?),
            WireAction::AcceptPart(w) => Self::AcceptPart(PartRef::parse(&w.order, w.part)?),
            WireAction::DeliverPart(w) => Self::DeliverPart(Delivery::try_from(w)?),
            WireAction::RejectPart(w) => Self::RejectPart {
                part: PartRef::parse(&w.order, w.part)?,
                reason: PartRejection::parse("reason", w.reason)?,
            },
            WireAction::ConfirmPart(w) => Self::ConfirmPart {
                part: PartRef::parse(&w.order, w.part)?,
                verdict: Verdict::parse("verdict", w.verdict)?,
            },
            WireAction::CancelOrder(w) => Self::CancelOrder(order(&w.order)?),
            WireAction::DisputeOrder(w) => Self::DisputeOrder {
                order: order(&w.order)?,
                statement: digest("statement_digest", &w.statement_digest)?,
            },
            WireAction::SettleDispute(w) => Self::SettleDispute {
                order: order(&w.order)?,
                settlement: digest("settlement_digest", &w.settlement_digest)?,
            },
            WireAction::RecordRefusal(w) => Self::RecordRefusal(Refusal::try_from(w)?),
            WireAction::FileObjection(w) => Self::FileObjection(FileObjection::try_from(w)?),
            WireAction::ResolveObjection(w) => Self::ResolveObjection {
                objection: ObjectionId::parse("objection", &w.objection)?,
                finding: Finding::parse("finding", w.finding)?,
                answer: digest("answer_digest", &w.answer_digest)?,
            },
            WireAction::WithdrawObjection(w) => {
                Self::WithdrawObjection(ObjectionId::parse("objection", &w.objection)?)
            }
            WireAction::Propose(w) => Self::Propose(Proposal::try_from(w)?),
            WireAction::Vote(w) => Self::Vote {
                proposal: TxId::parse("proposal", &w.proposal)?,
                choice: VoteChoice::parse("choice", w.choice)?,
            },
            WireAction::WithdrawProposal(w) => {
                Self::WithdrawProposal(TxId::parse("proposal", &w.proposal)?)
            }
            WireAction::RotateValidator(w) => Self::RotateValidator {
                key: sm2_key("public_key", &w.public_key)?,
                endpoint: validator_endpoint("endpoint", &w.endpoint)?,
            },
            WireAction::ReportEquivocation(w) => Self::ReportEquivocation(
                Equivocation::try_from(required("evidence", w.evidence.as_ref())?)
                    .map_err(|fault| fault.within("evidence"))?,
            ),
        })
    }
}

fn consent_terms(wire: Option<&wire::ConsentTerms>) -> Result<ConsentTerms, Malformed> {
    ConsentTerms::try_from(required("terms", wire)?).map_err(|fault| fault.within("terms"))
}

impl TryFrom<&wire::RegisterDigests> for DigestBatch {
    type Error = Malformed;

    fn try_from(wire: &wire::RegisterDigests) -> Result<Self, Malformed> {
        let items = item_codes("items", &wire.items)?;
        let known = u64::MAX >> (64 - items.len());
        let entries = list("entries", &wire.entries, 1, MAX_DIGESTS, |field, entry| {
            if entry.item_set == 0 {
                return Err(Malformed::new(
                    format!("{field}.item_set"),
                    Problem::Required,
                ));
            }
            Ok(DigestEntry {
                subject: Subject::parse(&format!("{field}.subject"), &entry.subject)?,
                root: Digest::from(fixed::<32>(&format!("{field}.root"), &entry.root)?),
                item_set: ranged(&format!("{field}.item_set"), entry.item_set, 1, known)?,
                as_of_day: entry.as_of_day,
            })
        })?;
        if !entries
            .windows(2)
            .all(|pair| pair[0].subject < pair[1].subject)
        {
            return Err(Malformed::new("entries", Problem::NotAscending));
        }
        Ok(Self {
            source: SourceId::parse("source", &wire.source)?,
            items,
            entries,
        })
    }
}

impl TryFrom<&wire::DeliverPart> for Delivery {
    type Error = Malformed;

    fn try_from(wire: &wire::DeliverPart) -> Result<Self, Malformed> {
        let digest = |field, bytes: &[u8]| fixed::<32>(field, bytes).map(Digest::from);
        Ok(Self {
            part: PartRef::parse(&wire.order, wire.part)?,
            ciphertext_digest: digest("ciphertext_digest", &wire.ciphertext_digest)?,
            ciphertext_length: ranged("ciphertext_length", wire.ciphertext_length, 1, MAX_SEALED)?,
            report_root: digest("report_root", &wire.report_root)?,
            items: item_codes("items", &wire.items)?,
            sealing: Sealing::parse(wire.seal_scheme, wire.group_epoch.as_ref())?,
        })
    }
}

impl From<&Delivery> for wire::DeliverPart {
    fn from(delivery: &Delivery) -> Self {
        Self {
            order: delivery.part.order.to_vec(),
            part: u32::from(delivery.part.part),
            ciphertext_digest: delivery.ciphertext_digest.as_bytes().to_vec(),
            ciphertext_length: delivery.ciphertext_length,
            report_root: delivery.report_root.as_bytes().to_vec(),
            items: delivery.items.iter().map(ToString::to_string).collect(),
            seal_scheme: delivery.sealing.scheme().to_wire(),
            group_epoch: delivery.sealing.epoch().map(Into::into),
        }
    }
}

impl TryFrom<&wire::RecordRefusal> for Refusal {
    type Error = Malformed;

    fn try_from(wire: &wire::RecordRefusal) -> Result<Self, Malformed> {
        Ok(Self {
            institution: OrgId::parse("institution", &wire.institution)?,
            user: UserId::parse_optional("user", &wire.user)?,
            subject: Subject::parse_optional("subject", &wire.subject)?,
            purpose: StatedPurpose::parse("purpose", &wire.purpose)?,
            items: ascending("items", &wire.items, 0, 64, |field, code| {
                ItemCode::parse(field, code)
            })?,
            grant: GrantId::parse_optional("grant", &wire.grant)?,
            reason: ReasonCode::parse("reason", &wire.reason)?,
        })
    }
}
