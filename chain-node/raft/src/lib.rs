//! Agreement among validators of which a minority may crash and nobody lies: Raft, on TiKV's
//! library, with SM2 signatures over what was agreed on.
//!
//! Sans-I/O: [`Raft`] takes inputs and answers with effects, as [`xinqiao_consensus::Engine`] asks.
//! It has no clock, no thread, no file, no socket and no body of any block.
//!
//! ```text
//!  Work ─▶ the leader: Build ─▶ Built ─▶ an entry {height, header, proposer}, its body beside it
//!  followers: Judge ─▶ Judged ─▶ entry into the log ─▶ Flush ─▶ Flushed ─▶ acknowledged
//!  a majority has it ─▶ every voter: signs ─▶ Flush ─▶ Flushed ─▶ its share to all
//!  a majority's shares ─▶ Commit ─▶ Start (the next height)
//! ```
//!
//! | module | what it gives |
//! |---|---|
//! | `engine` | [`Raft`] |
//! | `group` | the library's node, with our storage, our timeouts and a last look at its messages |
//! | `gate` | appends that wait for the bodies of their blocks |
//! | `guard` | what the library must not be given |
//! | `desk` | what is held back until the log is on disk |
//! | `shares` | signatures that become a certificate |
//! | `message` | [`Message`]: encoding, limits, check; [`Verified`] |
//! | `convert` | between our own types and the library's |
//! | `record` | [`Record`] of the write-ahead log; [`recover`] after a crash |
//! | `store` | the library's log in memory |
//! | `timer` | ticks, and how long a follower waits for its leader |
//!
//! # Who is believed
//!
//! In this fault model nobody lies, so a [`Letter`] is not signed: the transport says whom it came
//! from, and nobody speaks for another. Observers and other engines' users believe nobody: what they
//! check are certificates, so each [`Share`] of one is signed, and checked before it is counted.
//! Whatever a letter says, if it can be decoded at all, it does not make the library panic: a test
//! tries. A voter that lies can still break agreement; where that has to be withstood, there is the
//! Byzantine engine.
//!
//! # What is agreed on
//!
//! There is at most one entry for each height in any log that can be committed, and heights follow
//! each other: a leader proposes at the height that it stands at, and only if its log has no block
//! of that height. The block before was certified, so its entry was committed; a leader of a later
//! term has it, and one of an earlier term commits nothing any more. An entry that is committed
//! after the chain has got there by blocks is passed over.
//!
//! A voter signs the header that its own log says is committed, notes that before it shows the
//! signature, and checks against the note: two headers at one height are [`DoubleSign`], whatever
//! led there.
//!
//! # What is on disk
//!
//! Term, vote and entries of one step are one record, so they are durable together. What a follower
//! or candidate says waits for it; a leader's appends do not, since a leader counts itself only once
//! its own disk has the entry. The body of a block is judged before its entry goes to the library,
//! so the flush that covers the entry covers it. A host that writes bodies and records in turn keeps
//! that after a crash as well: a record that is there has its bodies.
//!
//! Blocks are the snapshot. Some heights after a block is on disk its entry leaves the log: what
//! stays is written in one record, then flushed, and then the host is told that it may drop what is
//! older. A node that needs what has left the log is told of a [`Point`] only; it takes it up once
//! its host has brought the chain beyond it.
//!
//! # Another set of validators
//!
//! Each epoch, the heights for which one set is in force without a break, has a raft group of its
//! own, that begins with an empty log in term 0. Every message names the group by the epoch's first
//! height, and is refused in any other. Nothing can be lost in between, and nothing can be decided
//! twice:
//!
//! - A node enters the group when the last block of the epoch before is on its disk, with the
//!   certificate. So the old group has agreed on everything that it was there for, and whatever
//!   is left in its logs is of no height that its voters may certify.
//! - A node that enters forgets the old group and never votes in it again, so those that have not
//!   got there may be too few to elect. What they lack is in the blocks, which they are sent.
//! - No node is in the new group before it was told of it by its host, and from then on its log
//!   names the group: so nobody begins in one group twice. A set that comes back is another epoch.
//!
//! A validator that is no longer in the set has no group and does nothing. Raft's own changes of
//! membership are not used, nor any of their traps.
//!
//! # What it cannot notice
//!
//! A voter whose disk was wiped knows nothing of its votes and acknowledgements, and looks like one
//! that has just joined. It must not come back under its old key: its member replaces the key, and
//! with it the set. If it comes back all the same, letters that refer to what it has lost are
//! dropped, and it may stay behind; it is not detected in general.
//!
//! [`DoubleSign`]: xinqiao_consensus::Error::DoubleSign

mod convert;
mod desk;
mod engine;
mod gate;
mod group;
mod guard;
mod message;
mod record;
mod shares;
mod store;
mod timer;

#[cfg(test)]
mod testing;

pub use engine::Raft;
pub use message::{
    Block, Body, Letter, MAX_NUMBER, MAX_SLOTS, Message, Point, Share, Slot, Verified,
};
pub use record::{Event, Hard, Kept, Record, recover};
pub use timer::TICK_MS;
