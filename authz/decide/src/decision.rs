//! The decision: facts in, permit or denial out.

use std::collections::BTreeSet;

use crate::action::Action;

/// Who asks, as established by certificate and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The institution's id on the ledger.
    pub org: String,
    /// The user's pseudonym within the institution; the ledger never learns more of the person.
    pub user_pseudonym: String,
    /// The user's roles, such as `bank.querier`.
    pub roles: BTreeSet<String>,
    /// The purposes that the user is approved for.
    pub purposes: BTreeSet<String>,
}

/// How an institution stands on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No such member.
    Unknown,
    /// Admitted and not frozen.
    Active,
    /// Frozen by the regulator or by governance.
    Frozen,
    /// Expelled for good.
    Expelled,
}

/// What the role policy says about the caller's roles and the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleGrant {
    /// No role of the caller has the action.
    None,
    /// A role has the action, but not for the stated purpose.
    OtherPurpose,
    /// A role has the action for the stated purpose.
    Granted,
}

/// Whether the caller is within its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaState {
    /// It may go on.
    Within,
    /// It has to wait.
    Exceeded {
        /// For how long, in milliseconds.
        retry_after_ms: u64,
    },
}

/// All that a decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What for an action.
    pub action: Action,
    /// The stated purpose; required where [`Action::needs_purpose`].
    pub purpose: Option<&'a str>,
    /// How the caller's institution stands.
    pub standing: Standing,
    /// What the role policy says.
    pub role_grant: RoleGrant,
    /// The institution that the record asked for belongs to, when it belongs to one.
    pub owner: Option<&'a str>,
    /// Whether the caller is within its quota.
    pub quota: QuotaState,
}

/// Proof that [`decide`] allowed one action to one caller. It cannot be made anywhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a permit is to be passed to what it permits"]
pub struct Permit {
    org: String,
    user_pseudonym: String,
    action: Action,
    purpose: Option<String>,
}

impl Permit {
    /// The institution that may act.
    #[must_use]
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The user that acts for it.
    #[must_use]
    pub fn user_pseudonym(&self) -> &str {
        &self.user_pseudonym
    }

    /// What it may do.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// For which purpose, when the action has one.
    #[must_use]
    pub fn purpose(&self) -> Option<&str> {
        self.purpose.as_deref()
    }
}

/// Why an action is not allowed. A denial is recorded like everything else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The institution is no member.
    #[error("{0} is not a member of the consortium")]
    MemberUnknown(String),
    /// The institution is frozen, and the action does not protect a subject.
    #[error("{0} is frozen")]
    MemberFrozen(String),
    /// The institution was expelled.
    #[error("{0} was expelled from the consortium")]
    MemberExpelled(String),
    /// No role of the caller has the action.
    #[error("none of the user's roles allows {0}")]
    Role(Action),
    /// The action needs a purpose and none was stated.
    #[error("{0} needs a stated purpose")]
    PurposeMissing(Action),
    /// The user is not approved for the purpose, or its roles do not cover it.
    #[error("the user may not do {action} for the purpose {purpose}")]
    Purpose {
        /// What was asked.
        action: Action,
        /// For which purpose.
        purpose: String,
    },
    /// The record belongs to another institution.
    #[error("the record belongs to another institution")]
    NotOwner,
    /// Too many calls.
    #[error("the quota is exceeded; try again in {retry_after_ms} ms")]
    Quota {
        /// When it is worth another try, in milliseconds.
        retry_after_ms: u64,
    },
}

impl Denial {
    /// The stable code, the same word as in error answers and in the access log.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Denial::MemberUnknown(_) => "MEMBER_UNKNOWN",
            Denial::MemberFrozen(_) => "MEMBER_FROZEN",
            Denial::MemberExpelled(_) => "MEMBER_EXPELLED",
            Denial::Role(_) => "ROLE_DENIED",
            Denial::PurposeMissing(_) => "FIELD_REQUIRED",
            Denial::Purpose { .. } => "PURPOSE_DENIED",
            Denial::NotOwner => "OWNER_DENIED",
            Denial::Quota { .. } => "QUOTA_EXCEEDED",
        }
    }
}

/// Decides. The order of the checks is the order of what the caller may learn: first whether it may be
/// here at all, then its roles, and about a single record only last. The quota comes after them, so
/// that what is forbidden is told so and not to wait.
///
/// # Errors
/// The [`Denial`] of the first check that fails.
pub fn decide(facts: &Facts<'_>) -> Result<Permit, Denial> {
    let Facts { caller, action, .. } = *facts;
    match facts.standing {
        Standing::Active => {}
        Standing::Frozen if action.protects_the_subject() => {}
        Standing::Frozen => return Err(Denial::MemberFrozen(caller.org.clone())),
        Standing::Expelled => return Err(Denial::MemberExpelled(caller.org.clone())),
        Standing::Unknown => return Err(Denial::MemberUnknown(caller.org.clone())),
    }
    if facts.role_grant == RoleGrant::None {
        return Err(Denial::Role(action));
    }
    if action.needs_purpose() && facts.purpose.is_none() {
        return Err(Denial::PurposeMissing(action));
    }
    if let Some(purpose) = facts.purpose {
        let approved = caller.purposes.contains(purpose);
        if !approved || facts.role_grant != RoleGrant::Granted {
            return Err(Denial::Purpose {
                action,
                purpose: purpose.to_owned(),
            });
        }
    } else if facts.role_grant != RoleGrant::Granted {
        return Err(Denial::Role(action));
    }
    if facts.owner.is_some_and(|owner| owner != caller.org) {
        return Err(Denial::NotOwner);
    }
    if let QuotaState::Exceeded { retry_after_ms } = facts.quota {
        return Err(Denial::Quota { retry_after_ms });
    }
    Ok(Permit {
        org: caller.org.clone(),
        user_pseudonym: caller.user_pseudonym.clone(),
        action,
        purpose: facts.purpose.map(ToOwned::to_owned),
    })
}
