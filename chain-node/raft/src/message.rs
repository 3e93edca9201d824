//! What voters say to each other: the canonical encoding, its limits, and the check that turns a
//! stranger's message into a [`Verified`] one.
//!
//! Encodings are borsh: every value has one encoding, and nothing may follow it. The library's own
//! messages never leave this process, and its parser never sees a stranger's bytes. What a message
//! could say that makes no sense by itself is refused here or cannot be written at all: entries
//! have no numbers of their own, so an append has no holes. What makes no sense in the state that
//! this node is in is `guard`'s.
//!
//! A [`Letter`] is believed because the transport says whom it came from: in this fault model
//! voters crash and never lie. A [`Share`] becomes part of a certificate, which others check who
//! believe nobody, so it is signed.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_consensus::{MAX_MESSAGE_BYTES, Malformed, Refused, Verifier};
use xinqiao_crypto::{Digest, KeyId, Signature};
use xinqiao_ledger::{
    ids::{ChainId, HeaderHash, Height},
    validators::ValidatorSet,
    vote::commit_message,
};

/// The highest term or index that is taken from the wire: no log comes near it, and it is far below
/// where arithmetic ends.
pub const MAX_NUMBER: u64 = 1 << 48;

/// The most entries of one append: what fits when all are empty.
pub const MAX_SLOTS: usize = 1024;

/// What is agreed on: one block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Its height.
    pub height: Height,
    /// The header's hash.
    pub header: HeaderHash,
    /// Who formed it.
    pub proposer: KeyId,
}

/// An entry of the log. Its index follows from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Slot {
    /// The term of the leader that appended it.
    pub term: u64,
    /// The block; none in the entry that a leader begins its term with.
    pub block: Option<Block>,
}

/// A place in the log, with the last block at or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Point {
    /// The entry's index; 0 before the first.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// The block's height.
    pub height: Height,
    /// The block's header; none before the first of the group.
    pub header: Option<HeaderHash>,
}

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Body {
    /// A leader's entries.
    Append {
        /// The index before the first.
        index: u64,
        /// The term there.
        log_term: u64,
        /// How far the leader has committed.
        commit: u64,
        /// The entries.
        slots: Vec<Slot>,
    },
    /// The entries are on disk, up to here.
    Appended {
        /// The last one's index.
        index: u64,
        /// How far the sender knows the log committed.
        commit: u64,
    },
    /// The entries do not follow on the sender's log.
    Rejected {
        /// The index that they were to follow on.
        index: u64,
        /// Where the logs may meet.
        hint: u64,
        /// The sender's term there.
        hint_term: u64,
        /// How far the sender knows the log committed.
        commit: u64,
    },
    /// A leader is alive.
    Heartbeat {
        /// How far the log is committed, as far as the receiver has it.
        commit: u64,
    },
    /// A follower is alive.
    Beaten {
        /// How far the sender knows the log committed.
        commit: u64,
    },
    /// A candidate asks for a vote.
    Campaign {
        /// Whether it only asks who would.
        pre: bool,
        /// Its last index.
        index: u64,
        /// The term there.
        log_term: u64,
        /// How far it knows the log committed.
        commit: u64,
        /// The term there.
        commit_term: u64,
    },
    /// The answer.
    Ballot {
        /// Whether it was only asked who would.
        pre: bool,
        /// Whether the sender votes for the candidate.
        granted: bool,
        /// How far the sender knows the log committed.
        commit: u64,
        /// The term there.
        commit_term: u64,
    },
    /// The leader's log begins after this point: who is behind it catches up by blocks first.
    Restore(Point),
}

/// What the library says to one voter.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Letter {
    /// Since when the group's validators are in force: which group it is.
    pub since: Height,
    /// The height that the author stands at.
    pub height: Height,
    /// The author.
    pub from: KeyId,
    /// The addressee.
    pub to: KeyId,
    /// The author's term, or the one that it campaigns for.
    pub term: u64,
    /// What it says.
    pub body: Body,
}

/// One voter's signature over an agreed header.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Share {
    /// The height.
    pub height: Height,
    /// The header.
    pub header: HeaderHash,
    /// Who signed.
    pub validator: KeyId,
    /// The signature.
    pub signature: Signature,
    /// Said before: its author still waits for the others'.
    pub again: bool,
}

/// A message between voters.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// The library's.
    Letter(Letter),
    /// A part of a certificate.
    Share(Share),
}

/// A message whose author and signature were checked, and against which validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    message: Message,
    validators: Digest,
}

impl Verified {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    /// Hash of the validator set that it was checked against.
    pub fn validators(&self) -> Digest {
        self.validators
    }
}

pub(crate) fn encoded(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

impl xinqiao_consensus::Message for Message {
    type Verified = Verified;

    fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        // Before anything is allocated for it.
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Malformed::TooLong(bytes.len()));
        }
        let message = Self::try_from_slice(bytes).map_err(|_| Malformed::Encoding)?;
        message.bounded()?;
        Ok(message)
    }

    fn height(&self) -> Height {
        match self {
            Self::Letter(letter) => letter.height,
            Self::Share(share) => share.height,
        }
    }

    fn proposes(&self) -> Vec<HeaderHash> {
        match self {
            Self::Letter(Letter {
                body: Body::Append { slots, .. },
                ..
            }) => {
                let blocks = slots.iter().filter_map(|slot| slot.block);
                blocks.map(|block| block.header).collect()
            }
            Self::Letter(_) | Self::Share(_) => Vec::new(),
        }
    }

    fn verify(
        self,
        from: KeyId,
        chain: &ChainId,
        validators: &ValidatorSet,
        verifier: &impl Verifier,
    ) -> Result<Verified, Refused> {
        match &self {
            Self::Letter(letter) => {
                if letter.from != from {
                    return Err(Refused::NotAuthor);
                }
                validators.key(&from).ok_or(Refused::NotValidator)?;
            }
            Self::Share(share) => {
                let key = validators.key(&share.validator);
                let key = key.ok_or(Refused::NotValidator)?;
                let message = commit_message(chain, share.height, 0, &share.header);
                if !verifier.is_signed(key, &message, &share.signature) {
                    return Err(Refused::Signature);
                }
            }
        }
        Ok(Verified {
            validators: validators.hash(),
            message: self,
        })
    }
}

impl Message {
    fn bounded(&self) -> Result<(), Malformed> {
        match self {
            Self::Share(share) if share.height == 0 => Err(Malformed::Height),
            Self::Share(_) => Ok(()),
            Self::Letter(letter) => letter.bounded(),
        }
    }
}

impl Letter {
    fn bounded(&self) -> Result<(), Malformed> {
        // A group's letters are of its heights; and a term of 0 would pass for a message from
        // within, which the library obeys.
        if self.since == 0 || self.height < self.since {
            return Err(Malformed::Height);
        }
        if self.term == 0 || self.term > MAX_NUMBER {
            return Err(Malformed::Round);
        }
        match &self.body {
            Body::Append {
                index,
                log_term,
                commit,
                slots,
            } => {
                place(*index, *log_term, self.term)?;
                number(*commit)?;
                if slots.len() > MAX_SLOTS {
                    return Err(Malformed::Encoding);
                }
                self.ascending(*log_term, slots)
            }
            Body::Appended { index, commit } => number(*index).and(number(*commit)),
            Body::Rejected {
                index,
                hint,
                hint_term,
                commit,
            } => {
                number(*index).and(number(*commit))?;
                if hint > index {
                    return Err(Malformed::Round);
                }
                place(*hint, *hint_term, self.term)
            }
            Body::Heartbeat { commit } | Body::Beaten { commit } => number(*commit),
            Body::Campaign {
                pre: _,
                index,
                log_term,
                commit,
                commit_term,
            } => {
                if commit > index {
                    return Err(Malformed::Round);
                }
                place(*index, *log_term, self.term)?;
                place(*commit, *commit_term, self.term)
            }
            Body::Ballot {
                commit,
                commit_term,
                ..
            } => place(*commit, *commit_term, self.term),
            Body::Restore(point) => {
                if point.index == 0 || point.height >= self.height {
                    return Err(Malformed::Height);
                }
                place(point.index, point.term, self.term)
            }
        }
    }

    /// Terms never fall, and every block is of a later height than the one before.
    fn ascending(&self, mut term: u64, slots: &[Slot]) -> Result<(), Malformed> {
        let mut height = self.since - 1;
        for slot in slots {
            if slot.term < term || slot.term == 0 || slot.term > self.term {
                return Err(Malformed::Round);
            }
            term = slot.term;
            if let Some(block) = &slot.block {
                if block.height <= height || block.height > self.height {
                    return Err(Malformed::Height);
                }
                height = block.height;
            }
        }
        Ok(())
    }
}

fn number(number: u64) -> Result<(), Malformed> {
    if number > MAX_NUMBER {
        return Err(Malformed::Round);
    }
    Ok(())
}

/// An index and its term: both 0, or neither. The library holds every index that it does not know
/// for one of term 0, so an append after an index far ahead, of term 0, would seem to fit.
fn place(index: u64, term: u64, at_most: u64) -> Result<(), Malformed> {
    number(index)?;
    if term > at_most || (index == 0) != (term == 0) {
        return Err(Malformed::Round);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
