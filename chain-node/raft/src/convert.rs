//! Between our own types and the library's, field by field.

use borsh::BorshDeserialize;
use raft::eraftpb::{ConfState, Entry, Message as Core, MessageType as Kind, Snapshot};

use crate::message::{Block, Body, Point, Slot, encoded};

/// An entry, for the library. Its data never leaves this process.
pub(crate) fn entry(index: u64, slot: &Slot) -> Entry {
    let data = slot.block.as_ref().map(data);
    Entry {
        index,
        term: slot.term,
        data: data.unwrap_or_default().into(),
        ..Entry::default()
    }
}

/// What the library carries for a block.
pub(crate) fn data(block: &Block) -> Vec<u8> {
    encoded(block)
}

/// An entry that the library holds; none if this crate never made it.
pub(crate) fn slot(entry: &Entry) -> Option<Slot> {
    let block = if entry.data.is_empty() {
        None
    } else {
        Some(Block::try_from_slice(&entry.data).ok()?)
    };
    Some(Slot {
        term: entry.term,
        block,
    })
}

fn slots(entries: &[Entry]) -> Option<Vec<Slot>> {
    entries.iter().map(slot).collect()
}

/// A point as a snapshot.
pub(crate) fn snapshot(point: &Point, voters: &[u64]) -> Snapshot {
    let mut snapshot = Snapshot {
        data: encoded(point).into(),
        ..Snapshot::default()
    };
    let metadata = snapshot.mut_metadata();
    metadata.index = point.index;
    metadata.term = point.term;
    metadata.set_conf_state(ConfState::from((voters.to_vec(), Vec::new())));
    snapshot
}

/// The point of a snapshot; none if this crate never made it.
pub(crate) fn point(snapshot: &Snapshot) -> Option<Point> {
    Point::try_from_slice(&snapshot.data).ok()
}

/// A letter's body as the library's message.
pub(crate) fn core(from: u64, to: u64, term: u64, body: &Body, voters: &[u64]) -> Core {
    let mut core = Core {
        from,
        to,
        term,
        ..Core::default()
    };
    match body {
        Body::Append {
            index,
            log_term,
            commit,
            slots,
        } => {
            core.set_msg_type(Kind::MsgAppend);
            core.index = *index;
            core.log_term = *log_term;
            core.commit = *commit;
            let entries = (index + 1..).zip(slots);
            let entries = entries.map(|(index, slot)| entry(index, slot));
            core.set_entries(entries.collect());
        }
        Body::Appended { index, commit } => {
            core.set_msg_type(Kind::MsgAppendResponse);
            core.index = *index;
            core.commit = *commit;
        }
        Body::Rejected {
            index,
            hint,
            hint_term,
            commit,
        } => {
            core.set_msg_type(Kind::MsgAppendResponse);
            core.reject = true;
            core.index = *index;
            core.reject_hint = *hint;
            core.log_term = *hint_term;
            core.commit = *commit;
        }
        Body::Heartbeat { commit } => {
            core.set_msg_type(Kind::MsgHeartbeat);
            core.commit = *commit;
        }
        Body::Beaten { commit } => {
            core.set_msg_type(Kind::MsgHeartbeatResponse);
            core.commit = *commit;
        }
        Body::Campaign {
            pre,
            index,
            log_term,
            commit,
            commit_term,
        } => {
            core.set_msg_type(if *pre {
                Kind::MsgRequestPreVote
            } else {
                Kind::MsgRequestVote
            });
            core.index = *index;
            core.log_term = *log_term;
            core.commit = *commit;
            core.commit_term = *commit_term;
        }
        Body::Ballot {
            pre,
            granted,
            commit,
            commit_term,
        } => {
            core.set_msg_type(if *pre {
                Kind::MsgRequestPreVoteResponse
            } else {
                Kind::MsgRequestVoteResponse
            });
            core.reject = !granted;
            core.commit = *commit;
            core.commit_term = *commit_term;
        }
        Body::Restore(point) => {
            core.set_msg_type(Kind::MsgSnapshot);
            core.set_snapshot(snapshot(point, voters));
        }
    }
    core
}

/// The library's message as a letter's body; none if it is of a kind that is never sent here:
/// proposals are made by leaders only, leadership is not handed over, and the log is not read.
pub(crate) fn body(core: &Core) -> Option<Body> {
    Some(match core.get_msg_type() {
        Kind::MsgAppend => Body::Append {
            index: core.index,
            log_term: core.log_term,
            commit: core.commit,
            slots: slots(&core.entries)?,
        },
        Kind::MsgAppendResponse if core.reject => Body::Rejected {
            index: core.index,
            hint: core.reject_hint,
            hint_term: core.log_term,
            commit: core.commit,
        },
        Kind::MsgAppendResponse => Body::Appended {
            index: core.index,
            commit: core.commit,
        },
        Kind::MsgHeartbeat => Body::Heartbeat {
            commit: core.commit,
        },
        Kind::MsgHeartbeatResponse => Body::Beaten {
            commit: core.commit,
        },
        kind @ (Kind::MsgRequestVote | Kind::MsgRequestPreVote) => Body::Campaign {
            pre: kind == Kind::MsgRequestPreVote,
            index: core.index,
            log_term: core.log_term,
            commit: core.commit,
            commit_term: core.commit_term,
        },
        kind @ (Kind::MsgRequestVoteResponse | Kind::MsgRequestPreVoteResponse) => Body::Ballot {
            pre: kind == Kind::MsgRequestPreVoteResponse,
            granted: !core.reject,
            commit: core.commit,
            commit_term: core.commit_term,
        },
        Kind::MsgSnapshot => Body::Restore(point(core.get_snapshot())?),
        Kind::MsgHup
        | Kind::MsgBeat
        | Kind::MsgPropose
        | Kind::MsgSnapStatus
        | Kind::MsgTransferLeader
        | Kind::MsgTimeoutNow
        | Kind::MsgReadIndex
        | Kind::MsgReadIndexResp
        | Kind::MsgUnreachable
        | Kind::MsgCheckQuorum => return None,
    })
}

#[cfg(test)]
mod tests;
