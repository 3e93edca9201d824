//! From an action to the contract that carries it out.

use xinqiao_ledger::{
    action::Action,
    member::{KeyRole, MemberKind},
};

use crate::{
    access, consent, digests,
    execute::{Call, Step},
    governance, members, misbehaviour, objections, orders,
    rejection::{Rejection, Stop},
    signer::Signer,
    sources,
    state::StateRead,
    validators,
};

/// Carries out an authentic transaction's action.
pub(crate) fn apply<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    action: &Action,
) -> Result<(), Stop> {
    if let Err(rejection) = call.signer.check_standing() {
        return not_in_good_standing(step, call, action, rejection);
    }
    match action {
        Action::AdmitMember(member) => members::admit(step, call, member),
        Action::FreezeMember { org, .. } => members::freeze(step, call, org),
        Action::UnfreezeMember { org } => members::unfreeze(step, call, org),
        Action::ExpelMember { org, .. } => members::expel(step, call, org),
        Action::AddKey(key) => members::add_key(step, call, key),
        Action::RevokeKey(id) => members::revoke_key(step, call, id),
        Action::AddCertificate(print) => members::add_certificate(step, call, print),
        Action::RevokeCertificate(print) => members::revoke_certificate(step, call, print),
        Action::OpenUser(user) => members::open_user(step, call, user),
        Action::CloseUser(user) => members::close_user(step, call, user),
        Action::SetSealScheme(scheme) => members::set_seal_scheme(step, call, *scheme),
        Action::RegisterSource(source) => sources::register(step, call, source),
        Action::ActivateSource(source) => sources::activate(step, call, source),
        Action::SuspendSource { source, .. } => sources::suspend(step, call, source),
        Action::RetireSource(source) => sources::retire(step, call, source),
        Action::RegisterDigests(batch) => digests::register(step, call, batch),
        Action::WithdrawDigests { source, subjects } => {
            digests::withdraw(step, call, source, subjects)
        }
        Action::BindSubjectKey { subject, key } => consent::bind_key(step, call, subject, key),
        Action::RequestConsent { terms, lapses_at } => {
            consent::request(step, call, terms, *lapses_at)
        }
        Action::GrantConsent { request, terms } => {
            consent::grant(step, call, request.as_ref(), terms)
        }
        Action::DeclineConsent(grant) => consent::decline(step, call, grant),
        Action::PauseConsent(grant) => consent::pause(step, call, grant),
        Action::ResumeConsent(grant) => consent::resume(step, call, grant),
        Action::RevokeConsent(grant) => consent::revoke(step, call, grant),
        Action::PlaceOrder(order) => orders::place(step, call, order),
        Action::AcceptPart(part) => orders::accept(step, call, part),
        Action::DeliverPart(delivery) => orders::deliver(step, call, delivery),
        Action::RejectPart { part, reason } => orders::reject(step, call, part, *reason),
        Action::ConfirmPart { part, verdict } => orders::confirm(step, call, part, *verdict),
        Action::CancelOrder(order) => orders::cancel(step, call, order),
        Action::DisputeOrder { order, statement } => orders::dispute(step, call, order, statement),
        Action::SettleDispute { order, settlement } => {
            orders::settle(step, call, order, settlement)
        }
        Action::RecordRefusal(refusal) => access::record_refusal(step, call, refusal),
        Action::FileObjection(filed) => objections::file(step, call, filed),
        Action::ResolveObjection {
            objection,
            finding,
            answer,
        } => objections::resolve(step, call, objection, *finding, *answer),
        Action::WithdrawObjection(objection) => objections::withdraw(step, call, objection),
        Action::Propose(proposal) => governance::propose(step, call, proposal),
        Action::Vote { proposal, choice } => governance::vote(step, call, proposal, *choice),
        Action::WithdrawProposal(proposal) => governance::withdraw(step, call, proposal),
        Action::RotateValidator { key, endpoint } => validators::rotate(step, call, key, endpoint),
        Action::ReportEquivocation(evidence) => misbehaviour::report(step, call, evidence),
    }
}

/// A member that is frozen or expelled changes nothing; but where it tried to order a report, that
/// attempt leaves its record like every other.
fn not_in_good_standing<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    action: &Action,
    rejection: Rejection,
) -> Result<(), Stop> {
    match (action, &call.signer) {
        (Action::PlaceOrder(order), Signer::Member(member))
            if member.role == KeyRole::Agent && member.kind == MemberKind::Institution =>
        {
            access::record_refused_order(step, call, &member.org, order, rejection)?;
            Ok(())
        }
        _ => Err(rejection.into()),
    }
}
