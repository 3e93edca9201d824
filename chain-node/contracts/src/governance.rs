//! Governance: changes of how the consortium is set up, put to the vote and carried out.
//!
//! A proposal is made by a member with a vote, is voted on by those who have one, and is decided as
//! soon as no vote to come can turn it, else at its deadline: it passes when enough weight has voted
//! and enough of that is for it, by the rules that were in force when it was made. Votes of frozen
//! and expelled members do not count; a frozen member's weight stays in the whole, so freezing
//! members blocks decisions and makes none.
//!
//! What passed waits for its height, the block after the decision at the least, and is carried out at
//! the end of the block before: that block's header names the validators of the height, and nothing
//! within a block changes who may vote or sign in it. It takes effect whole or not at all; when it
//! cannot be carried out any more, the proposal ends as failed with the reason, and the chain goes
//! on. Several of one height are carried out in the order in which they were made.
//!
//! Without a vote go on: a regulator's freeze, a sponsor's word on its institutions and source units,
//! and what a member does with its own keys, certificates (its observers' too) and validator key.
//! Not here: what each change does (`changes`), and the arithmetic of the count
//! ([`xinqiao_ledger::governance`]).

mod changes;

use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    governance::{MAX_VOTERS, Proposal, Tally, Verdict, VoteChoice, is_voter},
    ids::{Height, OrgId, TimeMs, TxId},
    member::KeyRole,
    outcome::{Event, Reason},
    wire,
};

use crate::{
    deadline::Deadline,
    execute::{BlockContext, Call, Step},
    record::{Decision, MemberState, ProposalRecord, ProposalState, VoteRecord},
    rejection::{Stop, ensure, refuse},
    state::{Overlay, StateFault, StateRead},
    table::{
        MEMBERS, PARAMETERS, PENDING, PROPOSALS, PROPOSALS_BY_INDEX, PROPOSED, SCHEDULED, VOTES,
        WEIGHTS,
    },
};

/// The most proposals that are voted on or wait for their height.
const MAX_PENDING: usize = 64;

/// The most of them that one member has made.
const MAX_PENDING_OF_ONE: usize = 8;

/// How far ahead of the block that proposes it an effective height may lie.
const MAX_AHEAD: Height = 100_000_000;

const DAY: TimeMs = 86_400_000;

const ADMIN: &[KeyRole] = &[KeyRole::Admin];

/// The limits and the weights of the genesis.
pub(crate) fn begin<S: StateRead>(draft: &mut Overlay<'_, S>, genesis: &Genesis) {
    PARAMETERS.put(draft, &(), &genesis.parameters);
    for member in genesis.members.iter().filter(|it| is_voter(it.kind)) {
        WEIGHTS.put(draft, &member.org, &1);
    }
}

/// The limits in force from the next block on.
///
/// # Errors
/// When the store fails.
pub fn parameters<S: StateRead>(state: &S) -> Result<Parameters, StateFault> {
    (PARAMETERS.get(state, &())?).ok_or_else(|| StateFault("the state has no parameters".into()))
}

/// Puts changes to the vote, unless they could not be carried out as things stand.
pub(crate) fn propose<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    proposal: &Proposal,
) -> Result<(), Stop> {
    let org = voter(step, call)?;
    let height = step.block.height;
    if let Some(at) = proposal.effective_height {
        let ahead = at > height && at - height <= MAX_AHEAD;
        ensure(ahead, Reason::EffectiveHeight, at)?;
    }
    let pending = PENDING.first(step.draft, MAX_PENDING)?;
    let own = pending.iter().filter(|(_, by)| by == org).count();
    let room = pending.len() < MAX_PENDING && own < MAX_PENDING_OF_ONE;
    ensure(room, Reason::TooManyProposals, org)?;
    rehearse(step, proposal)?;

    let rules = step.block.parameters.governance;
    let record = ProposalRecord {
        index: PROPOSALS_BY_INDEX.next(step.draft)?,
        proposal: call.tx,
        proposer: org.clone(),
        proposed_at: height,
        proposed_at_time: step.block.time,
        deadline: (step.block.time).saturating_add(u64::from(rules.voting_days) * DAY),
        rules,
        state: ProposalState::Open,
    };
    PROPOSED.put(step.draft, &call.tx, proposal);
    PROPOSALS_BY_INDEX.put(step.draft, &record.index, &call.tx);
    PENDING.put(step.draft, &call.tx, org);
    Deadline::Proposal(call.tx).set(step.draft, record.deadline);
    enter(step, &record);
    Ok(())
}

/// Votes, once.
pub(crate) fn vote<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &TxId,
    choice: VoteChoice,
) -> Result<(), Stop> {
    let org = voter(step, call)?;
    let record = open(step, id)?;
    let key = (*id, org.clone());
    ensure(!VOTES.has(step.draft, &key)?, Reason::AlreadyVoted, org)?;
    let vote = VoteRecord {
        choice,
        height: step.block.height,
        tx: call.tx,
    };
    VOTES.put(step.draft, &key, &vote);
    step.events.push(Event::VoteCast(wire::VoteCast {
        proposal: id.to_vec(),
        org: org.to_string(),
        approve: choice == VoteChoice::Approve,
    }));
    let tally = tally(step.draft, id)?;
    match tally.verdict(&record.rules) {
        Verdict::Passes => decide(step, record, tally, true)?,
        Verdict::Fails => decide(step, record, tally, false)?,
        Verdict::Undecided => {}
    }
    Ok(())
}

/// Takes a proposal back.
pub(crate) fn withdraw<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &TxId,
) -> Result<(), Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    let mut record = open(step, id)?;
    ensure(record.proposer == *org, Reason::ProposalNotOwned, id)?;
    Deadline::Proposal(*id).clear(step.draft, record.deadline);
    PENDING.delete(step.draft, id);
    record.state = ProposalState::Withdrawn(step.block.height);
    enter(step, &record);
    Ok(())
}

/// Decides a proposal whose time is over by the votes that were cast.
pub(crate) fn expire<S: StateRead>(step: &mut Step<'_, '_, S>, id: TxId) -> Result<(), StateFault> {
    let record = record(step.draft, &id)?;
    if record.state != ProposalState::Open {
        return Ok(());
    }
    let tally = tally(step.draft, &id)?;
    let passes = tally.passes(&record.rules);
    decide(step, record, tally, passes)
}

/// Carries out, at the end of a block, what is to be in force with the next one.
pub(crate) fn carry_out_due<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    block: &BlockContext,
) -> Result<Vec<Event>, StateFault> {
    let next = block.height.saturating_add(1);
    let mut events = Vec::new();
    // Whatever passes is for a later height than its block's, so nothing is ever left behind.
    for (index, id) in SCHEDULED.under(draft, &next, MAX_PENDING)? {
        SCHEDULED.delete(draft, &(next, index));
        PENDING.delete(draft, &id);
        let mut record = record(draft, &id)?;
        let ProposalState::Passed {
            decision,
            effective,
        } = record.state
        else {
            return Err(StateFault(format!("proposal {id} is due and did not pass")));
        };
        let proposal = proposed(draft, &id)?;
        let mut trial = Overlay::new(&*draft);
        let mut step = Step {
            draft: &mut trial,
            block,
            tx: None,
            events: Vec::new(),
        };
        let came_to = changes::carry_out(&mut step, &proposal.changes);
        let (made, writes) = (step.events, trial.into_writes());
        record.state = match came_to {
            Ok(()) => {
                draft.merge(writes);
                ProposalState::Enacted {
                    decision,
                    effective,
                }
            }
            Err(Stop::Rejected(rejection)) => ProposalState::Failed {
                decision,
                effective,
                reason: rejection.reason,
                subject: rejection.subject,
            },
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        PROPOSALS.put(draft, &id, &record);
        events.push(changed(&record));
        if matches!(record.state, ProposalState::Enacted { .. }) {
            events.extend(made);
        }
    }
    Ok(events)
}

/// Carries the changes out on a draft that is thrown away.
fn rehearse<S: StateRead>(step: &Step<'_, '_, S>, proposal: &Proposal) -> Result<(), Stop> {
    let mut trial = Overlay::new(&*step.draft);
    let mut step = Step {
        draft: &mut trial,
        block: step.block,
        tx: step.tx,
        events: Vec::new(),
    };
    changes::carry_out(&mut step, &proposal.changes)
}

/// Ends the vote.
fn decide<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    mut record: ProposalRecord,
    tally: Tally,
    passes: bool,
) -> Result<(), StateFault> {
    let id = record.proposal;
    Deadline::Proposal(id).clear(step.draft, record.deadline);
    let decision = Decision {
        height: step.block.height,
        tally,
    };
    record.state = if passes {
        let next = step.block.height.saturating_add(1);
        let wanted = proposed(step.draft, &id)?.effective_height;
        let effective = wanted.unwrap_or(next).max(next);
        SCHEDULED.put(step.draft, &(effective, record.index), &id);
        ProposalState::Passed {
            decision,
            effective,
        }
    } else {
        PENDING.delete(step.draft, &id);
        ProposalState::Rejected(decision)
    };
    enter(step, &record);
    Ok(())
}

/// The votes as they count now.
pub(crate) fn tally<S: StateRead>(state: &S, id: &TxId) -> Result<Tally, StateFault> {
    let mut tally = Tally::default();
    for (org, weight) in WEIGHTS.first(state, MAX_VOTERS)? {
        tally.total += u64::from(weight);
        let Some(vote) = VOTES.get(state, &(*id, org.clone()))? else {
            continue;
        };
        if !is_active(state, &org)? {
            continue;
        }
        match vote.choice {
            VoteChoice::Approve => tally.approving += u64::from(weight),
            VoteChoice::Reject => tally.rejecting += u64::from(weight),
        }
    }
    Ok(tally)
}

/// How much a member's vote counts now: nothing while it is frozen.
pub(crate) fn counts<S: StateRead>(state: &S, org: &OrgId) -> Result<u32, StateFault> {
    if is_active(state, org)? {
        Ok(WEIGHTS.get(state, org)?.unwrap_or(0))
    } else {
        Ok(0)
    }
}

pub(crate) fn is_active<S: StateRead>(state: &S, org: &OrgId) -> Result<bool, StateFault> {
    let member = MEMBERS.get(state, org)?;
    Ok(member.is_some_and(|entry| entry.state == MemberState::Active))
}

/// The signer, if it has a vote.
fn voter<'c, S: StateRead>(step: &Step<'_, '_, S>, call: &'c Call) -> Result<&'c OrgId, Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    ensure(WEIGHTS.has(step.draft, org)?, Reason::NoVote, org)?;
    Ok(org)
}

/// The proposal, if it is voted on. Past its deadline it is not, even if that has yet to fire.
fn open<S: StateRead>(step: &Step<'_, '_, S>, id: &TxId) -> Result<ProposalRecord, Stop> {
    let record = PROPOSALS
        .get(step.draft, id)?
        .ok_or_else(|| refuse(Reason::ProposalNotFound, id))?;
    let open = record.state == ProposalState::Open && step.block.time < record.deadline;
    ensure(open, Reason::ProposalClosed, id)?;
    Ok(record)
}

fn record<S: StateRead>(state: &S, id: &TxId) -> Result<ProposalRecord, StateFault> {
    PROPOSALS
        .get(state, id)?
        .ok_or_else(|| StateFault(format!("proposal {id} is not there")))
}

/// What was proposed.
pub(crate) fn proposed<S: StateRead>(state: &S, id: &TxId) -> Result<Proposal, StateFault> {
    PROPOSED
        .get(state, id)?
        .ok_or_else(|| StateFault(format!("what proposal {id} proposes is not there")))
}

/// Stores where a proposal stands, and says so.
fn enter<S: StateRead>(step: &mut Step<'_, '_, S>, record: &ProposalRecord) {
    PROPOSALS.put(step.draft, &record.proposal, record);
    step.events.push(changed(record));
}

fn changed(record: &ProposalRecord) -> Event {
    let (reason, subject) = record.state.failure().unwrap_or_default();
    Event::ProposalChanged(wire::ProposalChanged {
        proposal: record.proposal.to_vec(),
        status: wire::ProposalStatus::from(&record.state).into(),
        effective_height: record.state.effective().unwrap_or(0),
        reason: reason.to_owned(),
        subject: subject.to_owned(),
    })
}
