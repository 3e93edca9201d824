//! Who may do what at the gateway: the decision itself, as a pure function from facts to a permit.
//!
//! [`decide`] denies by default: a [`Permit`] can only come out of it, so whoever takes one as an
//! argument cannot have skipped it. The facts are gathered elsewhere (TLS, tokens, the role policy, the
//! ledger); whether a consent is live is not decided here but by the contract, which has the last word.

mod action;
mod decision;

pub use action::{Action, UnknownAction};
pub use decision::{Caller, Denial, Facts, Permit, QuotaState, RoleGrant, Standing, decide};
