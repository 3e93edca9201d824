//! No honest double-sign: over all its lives, an honest validator says one thing at most for each
//! kind, height and round. It is looked at where messages leave the node.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    ids::Height,
    vote::{Statement, VoteKind},
};

use crate::{kind::Stated, node::Seen};

/// Of which sort a statement is: a vote of a kind, or a proposal.
type Place = (usize, Height, u32, Option<VoteKind>);

/// Everything that honest validators said of their own.
#[derive(Debug, Default)]
pub struct DoubleSign(BTreeMap<Place, Statement>);

impl DoubleSign {
    /// A node stated something.
    pub fn said(&mut self, node: &dyn Seen, stated: &Stated) -> Result<(), String> {
        let validator = node.validator();
        let content = stated.statement;
        let sort = match content {
            Statement::Vote { kind, .. } => Some(kind),
            Statement::Proposal { .. } => None,
        };
        let statement = (validator, stated.height, stated.round, sort);
        let first = self.0.entry(statement).or_insert(content);
        if *first == content {
            return Ok(());
        }
        Err(format!(
            "validator {validator} said {first:?} and {content:?} for {statement:?}"
        ))
    }
}
