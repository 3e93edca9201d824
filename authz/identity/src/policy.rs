//! Which role may do which action for which purpose: a casbin model, deny by default.
//!
//! casbin walks its policy line by line, so the policy speaks of roles alone (some dozens of lines) and
//! its answers are cached. Standing, ownership and quota are facts of their own; all of them meet in
//! [`xinqiao_decide::decide`], which makes the permit.

use casbin::{CachedEnforcer, CoreApi, DefaultModel, MgmtApi, StringAdapter};
use xinqiao_decide::{
    Action, Caller, Denial, Facts, Permit, QuotaState, RoleGrant, Standing, decide,
};

const MODEL: &str = include_str!("../policy/model.conf");

/// The role policy that is used when an operator gives none.
pub const DEFAULT_POLICY: &str = include_str!("../policy/default.csv");

/// The most lines of a policy: it is for roles, not for records.
pub const MAX_POLICY_LINES: usize = 1000;

/// The most roles of one caller that are looked at.
pub const MAX_ROLES: usize = 16;

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy has too many lines.
    #[error("the role policy has {0} lines; at most {MAX_POLICY_LINES} are allowed")]
    TooLong(usize),
    /// A line names an action that does not exist: it would allow nothing and look as if it did.
    #[error("the role policy names an unknown action in {line:?}")]
    UnknownAction {
        /// The line.
        line: String,
    },
    /// A line has not the form of one.
    #[error(
        "the role policy line {line:?} is neither `p, role, action, purpose` nor `g, role, role`"
    )]
    Form {
        /// The line.
        line: String,
    },
    /// casbin refused it.
    #[error("the role policy cannot be used: {0}")]
    Casbin(#[from] casbin::Error),
}

/// The facts about one call that the policy does not know.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// How the caller's institution stands on the ledger.
    pub standing: Standing,
    /// The institution that the record asked for belongs to, when it belongs to one.
    pub owner: Option<&'a str>,
    /// Whether the caller is within its quota.
    pub quota: QuotaState,
}

/// The role policy, ready to decide.
pub struct Policy {
    enforcer: CachedEnforcer,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}

impl Policy {
    /// The [`DEFAULT_POLICY`].
    ///
    /// # Errors
    /// Never in a build whose tests passed; the type is that of [`Policy::from_csv`].
    pub async fn standard() -> Result<Self, Error> {
        Self::from_csv(DEFAULT_POLICY).await
    }

    /// A policy from the text of a casbin CSV file; `#` starts a comment line.
    ///
    /// # Errors
    /// [`Error`] naming the line that cannot be used.
    pub async fn from_csv(text: &str) -> Result<Self, Error> {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        if lines.len() > MAX_POLICY_LINES {
            return Err(Error::TooLong(lines.len()));
        }
        for line in &lines {
            check_line(line)?;
        }
        let model = DefaultModel::from_str(MODEL).await?;
        let enforcer = CachedEnforcer::new(model, StringAdapter::new(lines.join("\n"))).await?;
        Ok(Self { enforcer })
    }

    /// What the caller's roles say about the action and purpose. An error of the engine grants nothing.
    #[must_use]
    pub fn role_grant(&self, caller: &Caller, action: Action, purpose: Option<&str>) -> RoleGrant {
        let roles = || caller.roles.iter().take(MAX_ROLES);
        let granted = roles().any(|role| {
            self.enforcer
                .enforce((role.as_str(), action.name(), purpose.unwrap_or_default()))
                .unwrap_or_else(|error| {
                    tracing::error!(%error, "the role policy could not be evaluated");
                    false
                })
        });
        if granted {
            return RoleGrant::Granted;
        }
        let for_some_purpose = self.enforcer.get_policy().iter().any(|line| {
            line.get(1).is_some_and(|name| name == action.name())
                && line
                    .first()
                    .is_some_and(|holder| roles().any(|role| self.inherits(role, holder)))
        });
        if for_some_purpose {
            RoleGrant::OtherPurpose
        } else {
            RoleGrant::None
        }
    }

    /// Decides about one action of one caller.
    ///
    /// # Errors
    /// The [`Denial`].
    pub fn decide(
        &self,
        caller: &Caller,
        action: Action,
        purpose: Option<&str>,
        circumstances: Circumstances<'_>,
    ) -> Result<Permit, Denial> {
        decide(&Facts {
            caller,
            action,
            purpose,
            standing: circumstances.standing,
            role_grant: self.role_grant(caller, action, purpose),
            owner: circumstances.owner,
            quota: circumstances.quota,
        })
    }

    fn inherits(&self, role: &str, holder: &str) -> bool {
        role == holder
            || self
                .enforcer
                .get_role_manager()
                .read()
                .has_link(role, holder, None)
    }
}

fn check_line(line: &str) -> Result<(), Error> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    match cells.as_slice() {
        ["p", role, action, purpose] if !role.is_empty() && !purpose.is_empty() => {
            if action.parse::<Action>().is_err() {
                return Err(Error::UnknownAction {
                    line: line.to_owned(),
                });
            }
            Ok(())
        }
        ["g", role, holder] if !role.is_empty() && !holder.is_empty() => Ok(()),
        _ => Err(Error::Form {
            line: line.to_owned(),
        }),
    }
}
