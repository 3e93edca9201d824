//! No honest double-sign: over all its lives, an honest validator says one thing at most for each
//! kind, height and round, and votes for one candidate at most in each term. It is looked at where
//! messages leave the node.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    ids::Height,
    vote::{Statement, VoteKind},
};

use crate::{kind::Said, node::Seen};

/// Of which there may be one statement of a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Proposal(Height, u32),
    Vote(Height, u32, VoteKind),
    Ballot(Height, u64),
}

/// Everything that honest validators said of their own.
#[derive(Debug, Default)]
pub struct DoubleSign(BTreeMap<(usize, Place), Said>);

impl DoubleSign {
    /// A node stated something.
    pub fn said(&mut self, node: &dyn Seen, said: Said) -> Result<(), String> {
        let validator = node.validator();
        let place = match said {
            Said::Signed {
                height,
                round,
                statement: Statement::Vote { kind, .. },
            } => Place::Vote(height, round, kind),
            Said::Signed {
                height,
                round,
                statement: Statement::Proposal { .. },
            } => Place::Proposal(height, round),
            Said::Ballot { since, term, .. } => Place::Ballot(since, term),
            Said::Leads { .. } => return Ok(()),
        };
        let first = *self.0.entry((validator, place)).or_insert(said);
        if first == said {
            return Ok(());
        }
        Err(format!("validator {validator} said {first:?} and {said:?}"))
    }
}
