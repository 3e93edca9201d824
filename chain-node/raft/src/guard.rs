//! The last look at a letter before the library takes it: what would bring the library down, or
//! lead it astray, given the state that this node is in. What makes no sense in any state cannot be
//! decoded: see `message`.

use raft::{RawNode, StateRole};

use crate::{
    message::{Body, Letter},
    store::Store,
};

/// Whether the library can take the letter. `durable`: everything that it wanted logged is on disk.
pub(crate) fn makes_sense(
    node: &RawNode<Store>,
    from: u64,
    letter: &Letter,
    durable: bool,
) -> bool {
    let raft = &node.raft;
    let log = &raft.raft_log;
    let now = letter.term == raft.term;
    match &letter.body {
        // The library commits what a leader says is committed, and panics when it is not there.
        // A leader only says what this node has acknowledged; when that is no longer there, the
        // log was lost, and this node can be of no use under this key.
        Body::Heartbeat { commit } => letter.term < raft.term || *commit <= log.last_index(),
        // Nobody has voted for this node's candidacy before it was asked, and it asks once its own
        // vote is on disk. The library asserts that there is nothing left to write when it wins.
        Body::Ballot {
            pre: false,
            granted: true,
            ..
        } => !now || durable,
        Body::Appended { index, .. } if now && raft.state == StateRole::Leader => {
            *index <= log.last_index()
        }
        Body::Rejected { index, hint, .. } if now && raft.state == StateRole::Leader => {
            // A rejection from before what the sender has acknowledged since. The library would
            // begin again from there (mended after this release, as #555).
            let matched = raft.prs().get(from).map_or(0, |progress| progress.matched);
            *index <= log.last_index() && *index > matched && *hint >= matched
        }
        // Entries that contradict what is committed here come from no leader.
        Body::Append {
            index,
            log_term,
            slots,
            ..
        } if letter.term >= raft.term => {
            let slots = slots.iter().map(|slot| slot.term);
            let terms = std::iter::once(*log_term).chain(slots);
            let committed = (*index..=log.committed).zip(terms);
            let first = log.first_index().saturating_sub(1);
            committed
                .filter(|(index, _)| *index >= first)
                .all(|(index, term)| log.match_term(index, term))
        }
        Body::Restore(point) if letter.term >= raft.term => {
            // A point within what is committed here has to be on this node's own way.
            let first = log.first_index().saturating_sub(1);
            point.index > log.committed
                || point.index < first
                || log.match_term(point.index, point.term)
        }
        Body::Append { .. }
        | Body::Appended { .. }
        | Body::Rejected { .. }
        | Body::Beaten { .. }
        | Body::Campaign { .. }
        | Body::Ballot { .. }
        | Body::Restore(_) => true,
    }
}

#[cfg(test)]
mod tests;
