//! Why a contract stops: the transaction may not take effect, or the store failed.

use xinqiao_ledger::outcome::Reason;

use crate::state::StateFault;

/// Why a contract stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The transaction changes nothing.
    Rejected(Rejection),
    /// The node stops.
    Fault(StateFault),
}

/// A reason, and what was at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    /// A name, a code or an id; may be empty. At most 128 bytes, as names have at most 32 bytes
    /// and ids 64 digits.
    pub(crate) subject: String,
}

impl From<StateFault> for Stop {
    fn from(fault: StateFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Rejected(reason.into())
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            subject: String::new(),
        }
    }
}

/// A rejection that names what was at fault.
pub(crate) fn refuse(reason: Reason, subject: impl ToString) -> Rejection {
    Rejection {
        reason,
        subject: subject.to_string(),
    }
}

/// Goes on only if a condition holds.
pub(crate) fn ensure(holds: bool, reason: Reason, subject: impl ToString) -> Result<(), Rejection> {
    if holds {
        Ok(())
    } else {
        Err(refuse(reason, subject))
    }
}
