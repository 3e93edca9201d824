//! Governance: the changes that take a vote, the rules by which votes are counted, and the count.
//!
//! The count is plain arithmetic over weights, kept apart from the state so that its promises can
//! be tested alone. Who votes, and what a change does, is with the contracts.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    catalogue::Catalogue,
    genesis::Parameters,
    ids::{Height, OrgId},
    malformed::{Malformed, Problem, list, ranged, required},
    member::{Member, MemberKind, wire_enum},
    text::Grounds,
    validators::{Engine, Validator},
    wire::{self, change::Kind},
};

/// The most changes of one proposal.
pub const MAX_CHANGES: usize = 16;

/// The most that one member's vote counts.
pub const MAX_WEIGHT: u32 = 1_000;

/// The most members that have a vote.
pub const MAX_VOTERS: usize = 128;

/// How votes are counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct GovernanceRules {
    /// Share of all weight that must have voted, in percent. 51 to 100: frozen members' weight stays
    /// in the whole, so whoever can freeze the others still decides nothing alone.
    pub participation_percent: u32,
    /// Share of the weight that voted that must be for it, in percent. 51 to 100.
    pub approval_percent: u32,
    /// How long a proposal is voted on, in days. 1 to 90.
    pub voting_days: u32,
}

impl Default for GovernanceRules {
    fn default() -> Self {
        Self {
            participation_percent: 67,
            approval_percent: 67,
            voting_days: 14,
        }
    }
}

impl GovernanceRules {
    /// Checks their ranges.
    ///
    /// # Errors
    /// With the first field that is out of its range.
    pub fn check(&self) -> Result<(), Malformed> {
        let (participation, approval) = (self.participation_percent, self.approval_percent);
        ranged("participation_percent", participation, 51, 100)?;
        ranged("approval_percent", approval, 51, 100)?;
        ranged("voting_days", self.voting_days, 1, 90)?;
        Ok(())
    }
}

impl TryFrom<&wire::GovernanceRules> for GovernanceRules {
    type Error = Malformed;

    fn try_from(wire: &wire::GovernanceRules) -> Result<Self, Malformed> {
        let rules = Self {
            participation_percent: wire.participation_percent,
            approval_percent: wire.approval_percent,
            voting_days: wire.voting_days,
        };
        rules.check()?;
        Ok(rules)
    }
}

impl From<&GovernanceRules> for wire::GovernanceRules {
    fn from(rules: &GovernanceRules) -> Self {
        Self {
            participation_percent: rules.participation_percent,
            approval_percent: rules.approval_percent,
            voting_days: rules.voting_days,
        }
    }
}

/// Weights, added up.
///
/// At most [`MAX_VOTERS`] have a vote, of at most [`MAX_WEIGHT`] each, so a sum is far below what times 100
/// leaves the range of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tally {
    /// All weight, that of frozen members too.
    pub total: u64,
    /// Weight of the votes for it.
    pub approving: u64,
    /// Weight of the votes against it.
    pub rejecting: u64,
}

/// What a count comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, whatever else is voted.
    Passes,
    /// It cannot pass any more, whatever else is voted.
    Fails,
    /// Votes to come can turn it.
    Undecided,
}

impl Tally {
    /// Weight that voted.
    pub fn voted(&self) -> u64 {
        self.approving.saturating_add(self.rejecting)
    }

    /// Whether it passes when nobody votes any more.
    pub fn passes(&self, rules: &GovernanceRules) -> bool {
        self.approving > 0
            && reaches(self.voted(), self.total, rules.participation_percent)
            && reaches(self.approving, self.voted(), rules.approval_percent)
    }

    /// What is certain before the vote ends. The worst that can come is that all who have not voted
    /// are against it; the best, that all of them are for it.
    pub fn verdict(&self, rules: &GovernanceRules) -> Verdict {
        let worst = Self {
            rejecting: self.total.saturating_sub(self.approving),
            ..*self
        };
        let best = Self {
            approving: self.total.saturating_sub(self.rejecting),
            ..*self
        };
        if self.passes(rules) && worst.passes(rules) {
            Verdict::Passes
        } else if !best.passes(rules) {
            Verdict::Fails
        } else {
            Verdict::Undecided
        }
    }
}

/// Whether a part is at least that share of the whole: in integers, nothing is rounded.
fn reaches(part: u64, whole: u64, percent: u32) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

wire_enum!(
    /// For or against a proposal.
    VoteChoice from VoteChoice {
        /// For it.
        Approve,
        /// Against it.
        Reject,
    }
);

/// How much a member's vote counts.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VotingWeight {
    /// The member.
    pub org: OrgId,
    /// The weight; 0 for no vote. At most [`MAX_WEIGHT`].
    pub weight: u32,
}

/// One change that takes a vote.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// Admits an organisation that has no sponsor.
    AdmitMember(Member),
    /// Freezes a member until a vote reinstates it.
    SuspendMember(OrgId),
    /// Lifts a suspension.
    ReinstateMember(OrgId),
    /// Expels a member for good, with its vote and its validator.
    ExpelMember(OrgId),
    /// Adds a member's validator, or changes the one that it has.
    SetValidator(Validator),
    /// Removes the validator of that member.
    RemoveValidator(OrgId),
    /// Chooses how validators agree.
    SetEngine(Engine),
    /// Replaces the limits that contracts keep.
    SetParameters(Parameters),
    /// Publishes the next catalogue.
    PublishCatalogue(Catalogue),
    /// Sets how much a member's vote counts.
    SetWeight(VotingWeight),
}

/// What is put to the vote.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The changes, in the order in which they are carried out. 1 to [`MAX_CHANGES`].
    pub changes: Vec<Change>,
    /// Why.
    pub reason: Grounds,
    /// First height at which they are to be in force; none for the block after the decision.
    pub effective_height: Option<Height>,
}

/// Whether a member of that kind is admitted under a sponsor, and takes no part in governance.
pub fn is_sponsored(kind: MemberKind) -> bool {
    match kind {
        MemberKind::Institution | MemberKind::SourceUnit => true,
        MemberKind::Bureau
        | MemberKind::Regulator
        | MemberKind::Mediation
        | MemberKind::Platform => false,
    }
}

/// Whether a member of that kind has a vote from its admission on. Others can be given one.
pub fn is_voter(kind: MemberKind) -> bool {
    matches!(kind, MemberKind::Bureau | MemberKind::Regulator)
}

impl Change {
    fn parse(field: &str, wire: &wire::Change) -> Result<Self, Malformed> {
        let at = |name: &str| format!("{field}.{name}");
        let kind = required(&at("kind"), wire.kind.as_ref())?;
        let org = |name: &str, value: &str| OrgId::parse(&at(name), value);
        Ok(match kind {
            Kind::AdmitMember(member) => {
                let name = at("admit_member");
                let member = Member::try_from(member).map_err(|fault| fault.within(&name))?;
                if is_sponsored(member.kind) {
                    let form = Problem::Format(
                        "a bureau, a regulator, a mediation body or a platform: sponsors admit the others",
                    );
                    return Err(Malformed::new(format!("{name}.kind"), form));
                }
                Self::AdmitMember(member)
            }
            Kind::SuspendMember(value) => Self::SuspendMember(org("suspend_member", value)?),
            Kind::ReinstateMember(value) => Self::ReinstateMember(org("reinstate_member", value)?),
            Kind::ExpelMember(value) => Self::ExpelMember(org("expel_member", value)?),
            Kind::SetValidator(validator) => Self::SetValidator(
                Validator::try_from(validator)
                    .map_err(|fault| fault.within(&at("set_validator")))?,
            ),
            Kind::RemoveValidator(value) => Self::RemoveValidator(org("remove_validator", value)?),
            Kind::SetEngine(value) => Self::SetEngine(Engine::parse(&at("set_engine"), *value)?),
            Kind::SetParameters(parameters) => Self::SetParameters(
                Parameters::try_from(parameters)
                    .map_err(|fault| fault.within(&at("set_parameters")))?,
            ),
            Kind::PublishCatalogue(catalogue) => Self::PublishCatalogue(
                Catalogue::try_from(catalogue)
                    .map_err(|fault| fault.within(&at("publish_catalogue")))?,
            ),
            Kind::SetWeight(weight) => Self::SetWeight(VotingWeight {
                org: org("set_weight.org", &weight.org)?,
                weight: ranged(
                    &at("set_weight.weight"),
                    weight.weight,
                    0,
                    u64::from(MAX_WEIGHT),
                )?,
            }),
        })
    }
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        let kind = match change {
            Change::AdmitMember(member) => Kind::AdmitMember(member.into()),
            Change::SuspendMember(org) => Kind::SuspendMember(org.to_string()),
            Change::ReinstateMember(org) => Kind::ReinstateMember(org.to_string()),
            Change::ExpelMember(org) => Kind::ExpelMember(org.to_string()),
            Change::SetValidator(validator) => Kind::SetValidator(validator.into()),
            Change::RemoveValidator(org) => Kind::RemoveValidator(org.to_string()),
            Change::SetEngine(engine) => Kind::SetEngine(engine.to_wire()),
            Change::SetParameters(parameters) => Kind::SetParameters(parameters.into()),
            Change::PublishCatalogue(catalogue) => Kind::PublishCatalogue(catalogue.into()),
            Change::SetWeight(VotingWeight { org, weight }) => {
                Kind::SetWeight(wire::VotingWeight {
                    org: org.to_string(),
                    weight: *weight,
                })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<&wire::Propose> for Proposal {
    type Error = Malformed;

    fn try_from(wire: &wire::Propose) -> Result<Self, Malformed> {
        Ok(Self {
            changes: list("changes", &wire.changes, 1, MAX_CHANGES, Change::parse)?,
            reason: Grounds::parse("reason", &wire.reason)?,
            effective_height: Some(wire.effective_height).filter(|height| *height > 0),
        })
    }
}

impl From<&Proposal> for wire::Propose {
    fn from(proposal: &Proposal) -> Self {
        Self {
            changes: proposal.changes.iter().map(Into::into).collect(),
            reason: proposal.reason.to_string(),
            effective_height: proposal.effective_height.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rules(participation_percent: u32, approval_percent: u32) -> GovernanceRules {
        GovernanceRules {
            participation_percent,
            approval_percent,
            voting_days: 14,
        }
    }

    #[test]
    fn a_count_comes_to_what_the_thresholds_say() {
        use Verdict::{Fails, Passes, Undecided};
        for (total, approving, rejecting, participation, approval, verdict, at_end) in [
            // Four equal votes, two thirds.
            (4, 0, 0, 67, 67, Undecided, false),
            (4, 2, 0, 67, 67, Undecided, false),
            (4, 3, 0, 67, 67, Passes, true),
            (4, 3, 1, 67, 67, Passes, true),
            (4, 2, 1, 67, 67, Undecided, false),
            (4, 0, 2, 67, 67, Fails, false),
            (4, 2, 2, 67, 67, Fails, false),
            // Enough approve of those who voted, and not of all: it hangs on the rest until the end.
            (10, 6, 1, 67, 67, Undecided, true),
            (10, 7, 0, 67, 67, Passes, true),
            (10, 6, 2, 67, 70, Undecided, true),
            (10, 6, 4, 67, 67, Fails, false),
            // Exactly the share, and one less.
            (100, 51, 0, 51, 51, Passes, true),
            (100, 50, 0, 51, 51, Undecided, false),
            (3, 2, 0, 67, 66, Undecided, false),
            (3, 2, 1, 67, 66, Passes, true),
            // Everybody must vote.
            (4, 3, 0, 100, 51, Undecided, false),
            (4, 3, 1, 100, 51, Passes, true),
            // Nobody has a vote, or one has all.
            (0, 0, 0, 51, 51, Fails, false),
            (1, 1, 0, 100, 100, Passes, true),
            (1, 0, 1, 51, 51, Fails, false),
            (u64::MAX, u64::MAX, 0, 100, 100, Passes, true),
        ] {
            let tally = Tally {
                total,
                approving,
                rejecting,
            };
            let rules = rules(participation, approval);
            assert_eq!(tally.verdict(&rules), verdict, "{tally:?} {rules:?}");
            assert_eq!(tally.passes(&rules), at_end, "{tally:?} {rules:?}");
        }
    }

    /// All ways in which the votes that are missing can fall, for all small weights and some rules.
    #[test]
    fn what_is_certain_no_later_vote_undoes() {
        for (participation, approval) in [(51, 51), (51, 100), (67, 67), (100, 51), (100, 100)] {
            let rules = rules(participation, approval);
            for total in 0..=12_u64 {
                for approving in 0..=total {
                    for rejecting in 0..=total - approving {
                        let tally = Tally {
                            total,
                            approving,
                            rejecting,
                        };
                        let left = total - approving - rejecting;
                        let mut ends = Vec::new();
                        for more in 0..=left {
                            for against in 0..=left - more {
                                let end = Tally {
                                    approving: approving + more,
                                    rejecting: rejecting + against,
                                    ..tally
                                };
                                ends.push(end.passes(&rules));
                            }
                        }
                        let wants = if ends.iter().all(|passes| *passes) {
                            Verdict::Passes
                        } else if ends.iter().any(|passes| *passes) {
                            Verdict::Undecided
                        } else {
                            Verdict::Fails
                        };
                        assert_eq!(tally.verdict(&rules), wants, "{tally:?} {rules:?}");
                    }
                }
            }
        }
    }
}
