//! One leader: in every term of every group of raft, one validator at most speaks as the leader.

use std::collections::BTreeMap;

use xinqiao_ledger::ids::Height;

use crate::{kind::Said, node::Seen};

/// Who leads which term of the group that begins at which height.
#[derive(Debug, Default)]
pub struct OneLeader(BTreeMap<(Height, u64), usize>);

impl OneLeader {
    /// A node stated something.
    pub fn said(&mut self, node: &dyn Seen, said: Said) -> Result<(), String> {
        let Said::Leads { since, term, .. } = said else {
            return Ok(());
        };
        let validator = node.validator();
        let first = *self.0.entry((since, term)).or_insert(validator);
        if first == validator {
            return Ok(());
        }
        Err(format!(
            "validators {first} and {validator} lead term {term} of the group that begins at height {since}"
        ))
    }
}
