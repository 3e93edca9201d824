//! No honest double-sign: over all its lives, an honest validator says one thing at most for each
//! kind, height and round. It is looked at where messages leave the node.

use std::collections::BTreeMap;

use xinqiao_bft::{Message, NilOrVal, VoteKind};
use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::node::Seen;

type Statement = (usize, Height, u32, Option<VoteKind>);
type Content = (Option<HeaderHash>, Option<u32>);

/// Everything that honest validators said of their own.
#[derive(Debug, Default)]
pub struct DoubleSign(BTreeMap<Statement, Content>);

impl DoubleSign {
    /// A node said something.
    pub fn said(&mut self, node: &dyn Seen, message: &Message) -> Result<(), String> {
        let validator = node.validator();
        let me = crate::scheme::key(validator).public().id();
        let (statement, content) = match message {
            Message::Vote(vote) if vote.message.validator.0 == me => {
                let it = &vote.message;
                let header = match it.header {
                    NilOrVal::Nil => None,
                    NilOrVal::Val(id) => Some(id.0),
                };
                let statement = (validator, it.height, it.round, Some(it.kind));
                (statement, (header, None))
            }
            Message::Proposal(proposal) if proposal.message.proposer.0 == me => {
                let it = &proposal.message;
                let statement = (validator, it.height, it.round, None);
                (statement, (Some(it.header.0), it.pol_round))
            }
            _ => return Ok(()),
        };
        let first = self.0.entry(statement).or_insert(content);
        if *first == content {
            return Ok(());
        }
        Err(format!(
            "validator {validator} said {first:?} and {content:?} for {statement:?}"
        ))
    }
}
