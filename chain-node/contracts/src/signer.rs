//! Who speaks: from a key id to a member's key of one role, to an information subject, or to a
//! validator in force.

use xinqiao_crypto::{KeyId, PublicKey};
use xinqiao_ledger::{
    ids::{OrgId, Subject},
    member::{KeyRole, MemberKind},
    outcome::Reason,
};

use crate::{
    record::{KeyBytes, KeyOwner, KeyState, MemberState},
    rejection::{Rejection, Stop, refuse},
    state::{StateFault, StateRead},
    table::{KEYS, MEMBERS, VALIDATOR_KEYS},
};

/// The owner of the key that signed a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signer {
    Member(MemberSigner),
    Subject(Subject),
    /// A member's validator, by the key that its votes are signed with. It reports what other
    /// validators did, and says nothing else on the ledger.
    Validator(OrgId),
}

/// A member that signs with a key of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberSigner {
    pub(crate) org: OrgId,
    pub(crate) role: KeyRole,
    pub(crate) kind: MemberKind,
    pub(crate) state: MemberState,
}

/// The key of that id and its owner, if it is valid and can sign at all.
pub(crate) fn resolve<S: StateRead>(state: &S, id: &KeyId) -> Result<(KeyBytes, Signer), Stop> {
    let unknown = || refuse(Reason::SignerUnknown, id);
    let Some(record) = KEYS.get(state, id)? else {
        let record = VALIDATOR_KEYS.get(state, id)?;
        let record = record.filter(|record| record.until.is_none());
        let record = record.ok_or_else(unknown)?;
        let key = KeyBytes::Sm2(record.key.to_sec1());
        return Ok((key, Signer::Validator(record.org)));
    };
    if record.state != KeyState::Valid {
        return Err(unknown().into());
    }
    let signer = match record.owner {
        KeyOwner::Subject(subject) => Signer::Subject(subject),
        KeyOwner::Member { org, role } => {
            let member = MEMBERS
                .get(state, &org)?
                .ok_or_else(|| StateFault(format!("key {id} belongs to no member")))?;
            Signer::Member(MemberSigner {
                org,
                role,
                kind: member.kind,
                state: member.state,
            })
        }
    };
    Ok((record.key, signer))
}

/// The SM2 key to verify a signature with; token keys sign nothing here.
pub(crate) fn verifying_key(key: &KeyBytes) -> Result<&[u8; PublicKey::LEN], Reason> {
    match key {
        KeyBytes::Token(_) => Err(Reason::RoleDenied),
        KeyBytes::Sm2(sec1) => Ok(sec1),
    }
}

impl Signer {
    /// Whether the signer may act at all at this height.
    pub(crate) fn check_standing(&self) -> Result<(), Rejection> {
        match self {
            // Whether a validator may certify blocks is governance's to say.
            Self::Subject(_) | Self::Validator(_) => Ok(()),
            Self::Member(member) => check_standing(&member.org, &member.state),
        }
    }

    /// The member, if it signs with a key of one of these roles.
    pub(crate) fn member(&self, roles: &[KeyRole]) -> Result<&MemberSigner, Rejection> {
        match self {
            Self::Member(member) if roles.contains(&member.role) => Ok(member),
            Self::Member(_) | Self::Subject(_) | Self::Validator(_) => {
                Err(Reason::RoleDenied.into())
            }
        }
    }

    /// The member, if it is of one of these kinds too.
    pub(crate) fn member_of(
        &self,
        roles: &[KeyRole],
        kinds: &[MemberKind],
    ) -> Result<&MemberSigner, Rejection> {
        let member = self.member(roles)?;
        if kinds.contains(&member.kind) {
            Ok(member)
        } else {
            Err(Reason::RoleDenied.into())
        }
    }
}

/// Whether a member of that state may act.
pub(crate) fn check_standing(org: &OrgId, state: &MemberState) -> Result<(), Rejection> {
    match state {
        MemberState::Active => Ok(()),
        MemberState::Frozen(_) => Err(refuse(Reason::MemberFrozen, org)),
        MemberState::Expelled(_) => Err(refuse(Reason::MemberExpelled, org)),
    }
}
