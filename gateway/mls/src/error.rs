//! What can go wrong, apart from what only means "ask again" ([`crate::agent::NoKey`]).

use crate::{binding::BindingError, message::Limit};

/// A step that was not done. It has changed nothing, in memory or on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk did not take the new state. What it has now is either the old or the new one, so nothing
    /// more is done before the state was opened again.
    #[error("the group's state cannot be written: {0}")]
    Disk(std::io::Error),
    /// An earlier write failed; open the state again.
    #[error("an earlier write of the group's state failed; it must be opened again")]
    Reopen,
    /// Longer than it may be.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// Not what it should be. `what` names the message, `why` says what is wrong; neither repeats content.
    #[error("{what}: {why}")]
    Refused {
        /// Which message.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The ledger does not stand behind a member.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A newer binding of that agent is known, or it was removed since: it may have been replayed. The agent
    /// signs a new one, later than that.
    #[error("the agent's binding is not newer than the one of {than} ms")]
    StaleBinding {
        /// `not_before` that a new one has to exceed, milliseconds since 1970-01-01 UTC.
        than: u64,
    },
    /// As many agents are members as may be.
    #[error("the group has {0} agents, which is as many as it may have")]
    Full(usize),
    /// The MLS library failed where no input is to blame.
    #[error("group cryptography failed: {0}")]
    Library(String),
}

impl Error {
    /// An error that is the same for several who worked together: this one for the first, and for the others that the
    /// state must be opened again.
    pub fn for_each_of<T>(self, several: usize) -> Vec<Result<T, Self>> {
        let rest = (1..several).map(|_| Err(Self::Reopen));
        std::iter::once(Err(self)).chain(rest).collect()
    }

    pub(crate) fn refused(what: &'static str, why: impl Into<String>) -> Self {
        Self::Refused {
            what,
            why: why.into(),
        }
    }

    /// For errors of the library that an input may have caused.
    pub(crate) fn of(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Self {
        move |why| Self::refused(what, why.to_string())
    }

    pub(crate) fn library(why: &dyn std::fmt::Display) -> Self {
        Self::Library(why.to_string())
    }
}
