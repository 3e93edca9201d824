//! Members: organisations, their keys and certificates, and institutions' users.
//!
//! A member is admitted, frozen ⇄ active, expelled. Institutions and source units are admitted and
//! expelled by a sponsor, everyone else by a vote. A regulator freezes at once and lifts its freeze; a
//! vote suspends, which is a freeze that a vote lifts; under both, both must. Keys and certificates
//! are added and revoked, never deleted: their ids do not come back. A user is opened once and closed
//! once.

use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    governance::is_sponsored,
    ids::{Fingerprint, Height, OrgId, UserId},
    member::{KeyRole, Member, MemberKey, MemberKind},
    order::SealScheme,
    outcome::{Event, Reason},
    wire,
};

use crate::{
    execute::{Call, Step},
    record::{
        CertificateRecord, Freeze, FrozenBy, KeyBytes, KeyOwner, KeyRecord, KeyState, MemberEntry,
        MemberState, UserState,
    },
    rejection::{Stop, ensure, refuse},
    state::{Overlay, StateFault, StateRead},
    table::{CERTIFICATES, KEYS, MEMBERS, USERS, VALIDATOR_KEYS},
};

/// The most valid keys of a member.
pub(crate) const MAX_KEYS: usize = 16;

/// The most valid certificates of a member.
pub(crate) const MAX_CERTIFICATES: usize = 32;

const ADMIN: &[KeyRole] = &[KeyRole::Admin];

/// Writes a member that is new, with its keys and certificates.
pub(crate) fn write<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    member: &Member,
    sponsor: Option<OrgId>,
    height: Height,
) {
    let entry = MemberEntry {
        kind: member.kind,
        name: member.name.clone(),
        region: member.region,
        gateway_endpoint: member.gateway_endpoint.clone(),
        home: member.home.clone(),
        state: MemberState::Active,
        sponsor,
        admitted_at: height,
        keys: member.keys.iter().map(|key| key.id().into()).collect(),
        certificates: member.certificates.clone(),
        seal_scheme: SealScheme::Sm2Sm4Gcm,
    };
    MEMBERS.put(draft, &member.org, &entry);
    for key in &member.keys {
        write_key(draft, &member.org, key, height);
    }
    for print in &member.certificates {
        write_certificate(draft, &member.org, print, height);
    }
}

fn write_key<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    org: &OrgId,
    key: &MemberKey,
    height: Height,
) {
    let record = KeyRecord {
        owner: KeyOwner::Member {
            org: org.clone(),
            role: key.role(),
        },
        key: KeyBytes::from(key),
        valid_from: height,
        state: KeyState::Valid,
    };
    KEYS.put(draft, &key.id().into(), &record);
}

fn write_certificate<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    org: &OrgId,
    print: &Fingerprint,
    height: Height,
) {
    let record = CertificateRecord {
        org: org.clone(),
        valid_from: height,
        state: KeyState::Valid,
    };
    CERTIFICATES.put(draft, print, &record);
}

/// Admits an institution or a source unit under the signer's sponsorship.
pub(crate) fn admit<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    member: &Member,
) -> Result<(), Stop> {
    let sponsor = call
        .signer
        .member_of(ADMIN, &[MemberKind::Bureau, MemberKind::Regulator])?;
    ensure(is_sponsored(member.kind), Reason::VoteNeeded, &member.org)?;
    enter(step, member, Some(sponsor.org.clone()))
}

/// Admits an organisation that has no sponsor.
pub(crate) fn admit_by_vote<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    member: &Member,
) -> Result<(), Stop> {
    enter(step, member, None)
}

fn enter<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    member: &Member,
    sponsor: Option<OrgId>,
) -> Result<(), Stop> {
    let exists = MEMBERS.has(step.draft, &member.org)?;
    ensure(!exists, Reason::MemberExists, &member.org)?;
    if let Some(home) = &member.home {
        let entry = entry(step.draft, home)?;
        let serves = matches!(entry.kind, MemberKind::Bureau | MemberKind::Platform);
        ensure(serves, Reason::MemberUnknown, home)?;
    }
    for key in &member.keys {
        check_new_key(step.draft, &key.id().into())?;
    }
    for print in &member.certificates {
        check_new_certificate(step.draft, print)?;
    }
    write(step.draft, member, sponsor, step.block.height);
    changed(step, &member.org, &MemberState::Active);
    Ok(())
}

/// Freezes a member at once.
pub(crate) fn freeze<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    org: &OrgId,
) -> Result<(), Stop> {
    let regulator = call.signer.member_of(ADMIN, &[MemberKind::Regulator])?;
    // Nobody could lift it again where there is one regulator.
    ensure(regulator.org != *org, Reason::RoleDenied, org)?;
    hold(step, org, FrozenBy::Regulator, FrozenBy::Vote)
}

/// Lifts a regulator's freeze.
pub(crate) fn unfreeze<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    org: &OrgId,
) -> Result<(), Stop> {
    call.signer.member_of(ADMIN, &[MemberKind::Regulator])?;
    release(step, org, FrozenBy::Regulator, FrozenBy::Vote)
}

/// Freezes a member by a vote.
pub(crate) fn suspend<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId) -> Result<(), Stop> {
    hold(step, org, FrozenBy::Vote, FrozenBy::Regulator)
}

/// Lifts a freeze by a vote.
pub(crate) fn reinstate<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId) -> Result<(), Stop> {
    release(step, org, FrozenBy::Vote, FrozenBy::Regulator)
}

/// Freezes a member for one side; the other may have frozen it before.
fn hold<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    by: FrozenBy,
    other: FrozenBy,
) -> Result<(), Stop> {
    let height = step.block.height;
    turn(step, org, entry(step.draft, org)?, |state| match state {
        MemberState::Active => Some(MemberState::Frozen(Freeze { since: height, by })),
        MemberState::Frozen(freeze) if freeze.by == other => Some(MemberState::Frozen(Freeze {
            by: FrozenBy::Both,
            ..freeze
        })),
        MemberState::Frozen(_) | MemberState::Expelled(_) => None,
    })
}

/// Lifts what one side has frozen; what the other has stays.
fn release<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    by: FrozenBy,
    other: FrozenBy,
) -> Result<(), Stop> {
    turn(step, org, entry(step.draft, org)?, |state| match state {
        MemberState::Frozen(freeze) if freeze.by == by => Some(MemberState::Active),
        MemberState::Frozen(freeze) if freeze.by == FrozenBy::Both => {
            Some(MemberState::Frozen(Freeze {
                by: other,
                ..freeze
            }))
        }
        MemberState::Active | MemberState::Frozen(_) | MemberState::Expelled(_) => None,
    })
}

/// Expels a member for good, by its sponsor's word.
pub(crate) fn expel<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    org: &OrgId,
) -> Result<(), Stop> {
    let signer = call.signer.member(ADMIN)?;
    let entry = entry(step.draft, org)?;
    let sponsors = entry.sponsor.as_ref() == Some(&signer.org);
    ensure(sponsors, Reason::VoteNeeded, org)?;
    end(step, org, entry)
}

/// Expels a member for good, by a vote.
pub(crate) fn expel_by_vote<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
) -> Result<(), Stop> {
    end(step, org, entry(step.draft, org)?)
}

fn end<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    entry: MemberEntry,
) -> Result<(), Stop> {
    let height = step.block.height;
    turn(step, org, entry, |state| match state {
        MemberState::Active | MemberState::Frozen(_) => Some(MemberState::Expelled(height)),
        MemberState::Expelled(_) => None,
    })
}

/// Puts a member from the state that it is in into the one that follows, if one does.
fn turn<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    mut entry: MemberEntry,
    next: impl FnOnce(MemberState) -> Option<MemberState>,
) -> Result<(), Stop> {
    entry.state = next(entry.state).ok_or_else(|| refuse(Reason::MemberStateConflict, org))?;
    MEMBERS.put(step.draft, org, &entry);
    changed(step, org, &entry.state);
    Ok(())
}

/// Adds a key to the signer's organisation.
pub(crate) fn add_key<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    key: &MemberKey,
) -> Result<(), Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    let id = KeyId::from(key.id());
    check_new_key(step.draft, &id)?;
    let mut entry = entry(step.draft, org)?;
    ensure(entry.keys.len() < MAX_KEYS, Reason::TooManyCredentials, org)?;
    entry.keys.push(id);
    MEMBERS.put(step.draft, org, &entry);
    write_key(step.draft, org, key, step.block.height);
    credential(step, org, key.id(), true);
    Ok(())
}

/// Revokes a key of the signer's organisation, from the next transaction on.
pub(crate) fn revoke_key<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &Digest,
) -> Result<(), Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    let key_id = KeyId::from(*id);
    let mut entry = entry(step.draft, org)?;
    let place = entry
        .keys
        .iter()
        .position(|key| *key == key_id)
        .ok_or_else(|| refuse(Reason::KeyUnknown, id))?;
    let mut others_are_admins = false;
    for other in entry.keys.iter().filter(|key| **key != key_id) {
        others_are_admins |= role_of(&key(step.draft, other)?) == Some(KeyRole::Admin);
    }
    let mut record = key(step.draft, &key_id)?;
    let last = role_of(&record) == Some(KeyRole::Admin) && !others_are_admins;
    ensure(!last, Reason::LastAdminKey, id)?;
    entry.keys.remove(place);
    record.state = KeyState::Revoked(step.block.height);
    MEMBERS.put(step.draft, org, &entry);
    KEYS.put(step.draft, &key_id, &record);
    credential(step, org, *id, false);
    Ok(())
}

/// Adds a certificate to the signer's organisation.
pub(crate) fn add_certificate<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    print: &Fingerprint,
) -> Result<(), Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    check_new_certificate(step.draft, print)?;
    let mut entry = entry(step.draft, org)?;
    let room = entry.certificates.len() < MAX_CERTIFICATES;
    ensure(room, Reason::TooManyCredentials, org)?;
    let place = entry.certificates.partition_point(|has| has < print);
    entry.certificates.insert(place, *print);
    MEMBERS.put(step.draft, org, &entry);
    write_certificate(step.draft, org, print, step.block.height);
    credential(step, org, print.0, true);
    Ok(())
}

/// Revokes a certificate of the signer's organisation.
pub(crate) fn revoke_certificate<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    print: &Fingerprint,
) -> Result<(), Stop> {
    let org = &call.signer.member(ADMIN)?.org;
    let mut entry = entry(step.draft, org)?;
    let place = entry
        .certificates
        .binary_search(print)
        .map_err(|_| refuse(Reason::CertificateUnknown, print))?;
    entry.certificates.remove(place);
    let mut record = CERTIFICATES
        .get(step.draft, print)?
        .ok_or_else(|| StateFault(format!("certificate {print} of {org} is not in its table")))?;
    record.state = KeyState::Revoked(step.block.height);
    MEMBERS.put(step.draft, org, &entry);
    CERTIFICATES.put(step.draft, print, &record);
    credential(step, org, print.0, false);
    Ok(())
}

/// Opens a user of the signer's institution.
pub(crate) fn open_user<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    user: &UserId,
) -> Result<(), Stop> {
    let org = &call
        .signer
        .member_of(ADMIN, &[MemberKind::Institution])?
        .org;
    let key = (*user, org.clone());
    ensure(!USERS.has(step.draft, &key)?, Reason::UserExists, user)?;
    USERS.put(step.draft, &key, &UserState::Open(step.block.height));
    credential(step, org, user.0, true);
    Ok(())
}

/// Closes a user of the signer's institution.
pub(crate) fn close_user<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    user: &UserId,
) -> Result<(), Stop> {
    let org = &call
        .signer
        .member_of(ADMIN, &[MemberKind::Institution])?
        .org;
    let key = (*user, org.clone());
    match USERS.get(step.draft, &key)? {
        Some(UserState::Open(_)) => {}
        Some(UserState::Closed(_)) | None => return Err(refuse(Reason::UserUnknown, user).into()),
    }
    USERS.put(step.draft, &key, &UserState::Closed(step.block.height));
    credential(step, org, user.0, false);
    Ok(())
}

/// Chooses how reports to the signer's institution are sealed. To choose what is in force is no mistake.
pub(crate) fn set_seal_scheme<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    scheme: SealScheme,
) -> Result<(), Stop> {
    let org = &call
        .signer
        .member_of(ADMIN, &[MemberKind::Institution])?
        .org;
    let mut entry = entry(step.draft, org)?;
    entry.seal_scheme = scheme;
    MEMBERS.put(step.draft, org, &entry);
    step.events
        .push(Event::SealSchemeChanged(wire::SealSchemeChanged {
            org: org.to_string(),
            seal_scheme: scheme.to_wire(),
        }));
    Ok(())
}

/// The member of that id.
pub(crate) fn entry<S: StateRead>(state: &S, org: &OrgId) -> Result<MemberEntry, Stop> {
    MEMBERS
        .get(state, org)?
        .ok_or_else(|| refuse(Reason::MemberUnknown, org).into())
}

fn key<S: StateRead>(state: &S, id: &KeyId) -> Result<KeyRecord, StateFault> {
    KEYS.get(state, id)?
        .ok_or_else(|| StateFault(format!("key {id} of a member is not in its table")))
}

fn role_of(record: &KeyRecord) -> Option<KeyRole> {
    match &record.owner {
        KeyOwner::Member { role, .. } => Some(*role),
        KeyOwner::Subject(_) => None,
    }
}

/// Whether a key is nobody's, and never was: neither a member's or subject's, nor a validator's.
pub(crate) fn check_new_key<S: StateRead>(state: &S, id: &KeyId) -> Result<(), Stop> {
    let exists = KEYS.has(state, id)? || VALIDATOR_KEYS.has(state, id)?;
    ensure(!exists, Reason::KeyExists, id)?;
    Ok(())
}

fn check_new_certificate<S: StateRead>(state: &S, print: &Fingerprint) -> Result<(), Stop> {
    let exists = CERTIFICATES.has(state, print)?;
    ensure(!exists, Reason::CertificateExists, print)?;
    Ok(())
}

fn changed<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId, state: &MemberState) {
    step.events.push(Event::MemberChanged(wire::MemberChanged {
        org: org.to_string(),
        status: wire::MemberStatus::from(state).into(),
    }));
}

fn credential<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    credential: Digest,
    valid: bool,
) {
    let change = wire::CredentialChanged {
        org: org.to_string(),
        credential: credential.as_bytes().to_vec(),
        valid,
    };
    step.events.push(Event::CredentialChanged(change));
}
