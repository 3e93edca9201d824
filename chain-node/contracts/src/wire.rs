//! How records look on the wire.

use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    governance::VoteChoice,
    ids::{GrantId, ItemCode, OrgId, Subject, UserId},
    objection::Finding,
    wire,
};

use crate::{
    query::{CountedVote, ProposalView},
    record::{
        AccessOutcome, AccessRecord, ConsentState, DeliveryRecord, DisputeState, Freeze, FrozenBy,
        GrantRecord, GrantSigner, MemberRecord, MemberState, MisbehaviourRecord, ObjectionRecord,
        ObjectionState, OrderRecord, PartRecord, PartState, ProposalState, RegisteredDigest,
        SourceRecord, SourceState, SuspendedBy,
    },
};

impl From<&MemberState> for wire::MemberStatus {
    fn from(state: &MemberState) -> Self {
        match state {
            MemberState::Active => Self::Active,
            MemberState::Frozen(_) => Self::Frozen,
            MemberState::Expelled(_) => Self::Expelled,
        }
    }
}

impl From<&MemberRecord> for wire::MemberState {
    fn from(record: &MemberRecord) -> Self {
        Self {
            member: Some((&record.member).into()),
            status: wire::MemberStatus::from(&record.state).into(),
            sponsor: record
                .sponsor
                .as_ref()
                .map(OrgId::to_string)
                .unwrap_or_default(),
            admitted_at_height: record.admitted_at,
            suspended: matches!(
                record.state,
                MemberState::Frozen(Freeze {
                    by: FrozenBy::Vote | FrozenBy::Both,
                    ..
                })
            ),
            voting_weight: record.weight,
            seal_scheme: record.seal_scheme.to_wire(),
        }
    }
}

impl From<&ProposalState> for wire::ProposalStatus {
    fn from(state: &ProposalState) -> Self {
        match state {
            ProposalState::Open => Self::Open,
            ProposalState::Passed { .. } => Self::Passed,
            ProposalState::Enacted { .. } => Self::Enacted,
            ProposalState::Rejected(_) => Self::Rejected,
            ProposalState::Withdrawn(_) => Self::Withdrawn,
            ProposalState::Failed { .. } => Self::Failed,
        }
    }
}

impl From<&CountedVote> for wire::VoteRecord {
    fn from(counted: &CountedVote) -> Self {
        Self {
            org: counted.org.to_string(),
            approve: counted.vote.choice == VoteChoice::Approve,
            height: counted.vote.height,
            tx_id: counted.vote.tx.to_vec(),
            weight: counted.weight,
        }
    }
}

impl From<&ProposalView> for wire::ProposalState {
    fn from(view: &ProposalView) -> Self {
        let record = &view.record;
        let (failure, failure_subject) = record.state.failure().unwrap_or_default();
        Self {
            index: record.index,
            proposal: record.proposal.to_vec(),
            proposer: record.proposer.to_string(),
            proposed: Some((&view.proposed).into()),
            proposed_at_height: record.proposed_at,
            proposed_at_ms: record.proposed_at_time,
            deadline_ms: record.deadline,
            rules: Some((&record.rules).into()),
            status: wire::ProposalStatus::from(&record.state).into(),
            effective_height: record.state.effective().unwrap_or(0),
            failure: failure.to_owned(),
            failure_subject: failure_subject.to_owned(),
            decided_at_height: record.state.ended_at().unwrap_or(0),
            votes: view.votes.iter().map(Into::into).collect(),
            total_weight: view.tally.total,
            approving_weight: view.tally.approving,
            rejecting_weight: view.tally.rejecting,
        }
    }
}

impl From<&MisbehaviourRecord> for wire::Misbehaviour {
    fn from(record: &MisbehaviourRecord) -> Self {
        Self {
            index: record.index,
            evidence: Some((&record.evidence).into()),
            public_key: record.key.to_sec1().to_vec(),
            org: record.org.to_string(),
            reporter: record.reporter.to_string(),
            recorded_at_height: record.recorded_at,
            recorded_at_ms: record.recorded_at_time,
            tx_id: record.tx.to_vec(),
        }
    }
}

impl From<&SourceState> for wire::SourceStatus {
    fn from(state: &SourceState) -> Self {
        match state {
            SourceState::Registered => Self::Registered,
            SourceState::Active => Self::Active,
            SourceState::Suspended(_) => Self::Suspended,
            SourceState::Retired => Self::Retired,
        }
    }
}

impl SourceRecord {
    /// Who has suspended it: the operator, a regulator, or both in this order.
    pub fn suspended_by(&self) -> impl Iterator<Item = &OrgId> {
        let operator = &self.source.operator;
        let (first, second) = match &self.state {
            SourceState::Suspended(SuspendedBy::Operator) => (Some(operator), None),
            SourceState::Suspended(SuspendedBy::Regulator(org)) => (Some(org), None),
            SourceState::Suspended(SuspendedBy::Both(org)) => (Some(operator), Some(org)),
            SourceState::Registered | SourceState::Active | SourceState::Retired => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl From<&SourceRecord> for wire::SourceState {
    fn from(record: &SourceRecord) -> Self {
        Self {
            source: Some((&record.source).into()),
            status: wire::SourceStatus::from(&record.state).into(),
            subjects: record.subjects,
            suspended_by: record.suspended_by().map(OrgId::to_string).collect(),
        }
    }
}

impl From<&RegisteredDigest> for wire::GetDigestResponse {
    fn from(digest: &RegisteredDigest) -> Self {
        Self {
            root: digest.record.root.as_bytes().to_vec(),
            items: codes(&digest.items),
            as_of_day: digest.record.as_of_day,
            version: digest.record.version,
            registered_at_height: digest.record.registered_at,
        }
    }
}

impl GrantSigner {
    /// The bureau that signed as witness; none if the subject's own key did.
    pub fn witness(&self) -> Option<&OrgId> {
        match self {
            Self::Subject => None,
            Self::Witness(org) => Some(org),
        }
    }
}

impl From<&ConsentState> for wire::ConsentStatus {
    fn from(state: &ConsentState) -> Self {
        match state {
            ConsentState::Requested { .. } => Self::Requested,
            ConsentState::Active(_) => Self::Active,
            ConsentState::Paused(_) => Self::Paused,
            ConsentState::Revoked(_) => Self::Revoked,
            ConsentState::Expired(_) => Self::Expired,
            ConsentState::Exhausted(_) => Self::Exhausted,
            ConsentState::Declined => Self::Declined,
            ConsentState::Lapsed => Self::Lapsed,
        }
    }
}

impl From<&GrantRecord> for wire::GrantState {
    fn from(record: &GrantRecord) -> Self {
        let granted = record.granted();
        let witness = granted.and_then(|it| it.signer.witness());
        Self {
            grant: record.grant.to_vec(),
            terms: Some((&record.terms).into()),
            status: wire::ConsentStatus::from(&record.state).into(),
            uses_spent: granted.map_or(0, |it| it.spent),
            uses_reserved: granted.map_or(0, |it| it.reserved),
            witness: witness.map(OrgId::to_string).unwrap_or_default(),
            changed_at_height: record.changed_at,
        }
    }
}

impl From<&PartState> for wire::PartStatus {
    fn from(state: &PartState) -> Self {
        match state {
            PartState::Placed => Self::Placed,
            PartState::Accepted { .. } => Self::Accepted,
            PartState::Delivered(_) => Self::Delivered,
            PartState::Confirmed { .. } => Self::Confirmed,
            PartState::Mismatched { .. } => Self::Mismatched,
            PartState::Rejected(_) => Self::Rejected,
            PartState::Expired => Self::Expired,
            PartState::Cancelled => Self::Cancelled,
            PartState::ConsentRevoked(_) => Self::ConsentRevoked,
        }
    }
}

impl PartState {
    /// The reason code where there is one; otherwise empty.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Mismatched { verdict, .. } => verdict.code(),
            Self::Rejected(reason) => reason.code(),
            Self::ConsentRevoked(reason) => reason.code(),
            Self::Placed
            | Self::Accepted { .. }
            | Self::Delivered(_)
            | Self::Confirmed { .. }
            | Self::Expired
            | Self::Cancelled => "",
        }
    }

    /// The holder key of the node that delivered it, or has taken it up.
    pub fn holder(&self) -> Option<&KeyId> {
        match self {
            Self::Accepted { holder } => Some(holder),
            _ => self.delivery().map(|delivery| &delivery.holder),
        }
    }

    /// The delivery, once there was one.
    pub fn delivery(&self) -> Option<&DeliveryRecord> {
        match self {
            Self::Delivered(delivery)
            | Self::Confirmed { delivery, .. }
            | Self::Mismatched { delivery, .. } => Some(delivery),
            _ => None,
        }
    }
}

impl From<&PartRecord> for wire::PartState {
    fn from(record: &PartRecord) -> Self {
        let delivery = record.state.delivery();
        let verdict_tx = match &record.state {
            PartState::Confirmed { verdict_tx, .. } | PartState::Mismatched { verdict_tx, .. } => {
                verdict_tx.to_vec()
            }
            _ => Vec::new(),
        };
        Self {
            part: Some((&record.part).into()),
            status: wire::PartStatus::from(&record.state).into(),
            reason: record.state.reason().to_owned(),
            ciphertext_digest: delivery
                .map(|it| it.ciphertext_digest.as_bytes().to_vec())
                .unwrap_or_default(),
            delivered_items: delivery.map(|it| codes(&it.items)).unwrap_or_default(),
            delivery_tx: delivery.map(|it| it.tx.to_vec()).unwrap_or_default(),
            verdict_tx,
            group_epoch: delivery.and_then(|it| it.sealing.epoch()).map(Into::into),
            objections: delivery
                .map(|it| it.objections.iter().map(Into::into).collect())
                .unwrap_or_default(),
            holder: record
                .state
                .holder()
                .map(|key| key.as_bytes().to_vec())
                .unwrap_or_default(),
        }
    }
}

impl From<&OrderRecord> for wire::OrderState {
    fn from(record: &OrderRecord) -> Self {
        Self {
            order: record.order.to_vec(),
            institution: record.institution.to_string(),
            placed: Some((&record.placed).into()),
            parts: record.parts.iter().map(Into::into).collect(),
            missing_items: codes(&record.missing_items),
            placed_at_height: record.placed_at,
            placed_at_ms: record.placed_at_time,
            deadline_ms: record.deadline,
            disputed: matches!(record.dispute, DisputeState::Disputed { .. }),
            settled: matches!(record.dispute, DisputeState::Settled { .. }),
            seal_scheme: record.seal_scheme.to_wire(),
        }
    }
}

impl From<&AccessRecord> for wire::AccessEntry {
    fn from(record: &AccessRecord) -> Self {
        let refused_by = match &record.outcome {
            AccessOutcome::RefusedByGateway { gateway, .. } => gateway.to_string(),
            AccessOutcome::Placed | AccessOutcome::Refused(_) => String::new(),
        };
        Self {
            index: record.index,
            height: record.height,
            time_ms: record.time,
            institution: record.institution.to_string(),
            user: record.user.as_ref().map(UserId::to_vec).unwrap_or_default(),
            subject: record
                .subject
                .as_ref()
                .map(Subject::to_vec)
                .unwrap_or_default(),
            purpose: record.purpose.to_string(),
            items: codes(&record.items),
            grant: record
                .grant
                .as_ref()
                .map(GrantId::to_vec)
                .unwrap_or_default(),
            refusal: record.outcome.refusal().to_owned(),
            tx_id: record.tx.to_vec(),
            refused_by,
        }
    }
}

impl From<&ObjectionState> for wire::ObjectionStatus {
    fn from(state: &ObjectionState) -> Self {
        match state {
            ObjectionState::Filed => Self::Filed,
            ObjectionState::Resolved { finding, .. } => match finding {
                Finding::Corrected => Self::Corrected,
                Finding::Upheld => Self::Upheld,
                Finding::Unresolved => Self::Unresolved,
            },
            ObjectionState::Withdrawn => Self::Withdrawn,
        }
    }
}

impl From<&ObjectionRecord> for wire::Objection {
    fn from(record: &ObjectionRecord) -> Self {
        let answer = match &record.state {
            ObjectionState::Resolved { answer, .. } => answer.as_bytes().to_vec(),
            ObjectionState::Filed | ObjectionState::Withdrawn => Vec::new(),
        };
        Self {
            index: record.index,
            objection: record.objection.to_vec(),
            filed: Some((&record.filed).into()),
            received_by: record
                .filed_by
                .witness()
                .map(OrgId::to_string)
                .unwrap_or_default(),
            filed_at_height: record.filed_at,
            filed_at_ms: record.filed_at_time,
            due_ms: record.due,
            overdue: record.overdue,
            status: wire::ObjectionStatus::from(&record.state).into(),
            answer_digest: answer,
            changed_at_height: record.changed_at,
        }
    }
}

/// Item codes as text.
pub(crate) fn codes(items: &[ItemCode]) -> Vec<String> {
    items.iter().map(ItemCode::to_string).collect()
}
