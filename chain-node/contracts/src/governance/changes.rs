//! What each change does. All of a proposal are carried out on one draft, and what they come to is
//! looked at as a whole: there must be validators enough for the engine, and somebody with a vote.

use xinqiao_ledger::{
    genesis::Parameters,
    governance::{Change, MAX_VOTERS, VotingWeight, is_sponsored, is_voter},
    ids::OrgId,
    member::Member,
    outcome::{Event, Reason},
    wire,
};

use super::is_active;
use crate::{
    catalogue,
    execute::Step,
    members,
    record::MemberState,
    rejection::{Stop, ensure},
    state::StateRead,
    table::{PARAMETERS, WEIGHTS},
    validators,
};

/// Carries out all changes, in their order.
pub(super) fn carry_out<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    changes: &[Change],
) -> Result<(), Stop> {
    for change in changes {
        match change {
            Change::AdmitMember(member) => admit(step, member)?,
            Change::SuspendMember(org) => members::suspend(step, org)?,
            Change::ReinstateMember(org) => members::reinstate(step, org)?,
            Change::ExpelMember(org) => expel(step, org)?,
            Change::SetValidator(validator) => validators::set(step, validator)?,
            Change::RemoveValidator(org) => validators::remove(step, org)?,
            Change::SetEngine(engine) => validators::set_engine(step, *engine),
            Change::SetParameters(parameters) => set_parameters(step, parameters),
            Change::PublishCatalogue(next) => catalogue::publish(step, next)?,
            Change::SetWeight(weight) => set_weight(step, weight)?,
        }
    }
    validators::check(step.draft)?;
    check_voters(step)
}

/// Admits an organisation without a sponsor; bureaus and regulators have a vote from then on.
fn admit<S: StateRead>(step: &mut Step<'_, '_, S>, member: &Member) -> Result<(), Stop> {
    members::admit_by_vote(step, member)?;
    if is_voter(member.kind) {
        let weight = VotingWeight {
            org: member.org.clone(),
            weight: 1,
        };
        set_weight(step, &weight)?;
    }
    Ok(())
}

/// Expels a member with its vote and its validator.
fn expel<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId) -> Result<(), Stop> {
    members::expel_by_vote(step, org)?;
    if WEIGHTS.has(step.draft, org)? {
        write_weight(step, org, 0);
    }
    if validators::runs_one(step.draft, org)? {
        validators::remove(step, org)?;
    }
    Ok(())
}

fn set_parameters<S: StateRead>(step: &mut Step<'_, '_, S>, parameters: &Parameters) {
    PARAMETERS.put(step.draft, &(), parameters);
    let changed = wire::ParametersChanged {};
    step.events.push(Event::ParametersChanged(changed));
}

/// Institutions and source units speak through their sponsors and never have a vote.
fn set_weight<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    VotingWeight { org, weight }: &VotingWeight,
) -> Result<(), Stop> {
    let entry = members::entry(step.draft, org)?;
    ensure(!is_sponsored(entry.kind), Reason::RoleDenied, org)?;
    let expelled = matches!(entry.state, MemberState::Expelled(_));
    ensure(!expelled, Reason::MemberStateConflict, org)?;
    if *weight > 0 && !WEIGHTS.has(step.draft, org)? {
        let voters = WEIGHTS.first(step.draft, MAX_VOTERS)?.len();
        ensure(voters < MAX_VOTERS, Reason::TooManyVoters, org)?;
    }
    write_weight(step, org, *weight);
    Ok(())
}

fn write_weight<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId, weight: u32) {
    if weight > 0 {
        WEIGHTS.put(step.draft, org, &weight);
    } else {
        WEIGHTS.delete(step.draft, org);
    }
    let org = org.to_string();
    let changed = wire::WeightChanged { org, weight };
    step.events.push(Event::WeightChanged(changed));
}

/// Whether anybody in good standing has a vote: else nothing could ever be decided again.
fn check_voters<S: StateRead>(step: &Step<'_, '_, S>) -> Result<(), Stop> {
    for (org, _) in WEIGHTS.first(step.draft, MAX_VOTERS)? {
        if is_active(step.draft, &org)? {
            return Ok(());
        }
    }
    Err(Reason::NoVotersLeft.into())
}
