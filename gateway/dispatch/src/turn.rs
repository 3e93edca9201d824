//! Whose turn it is: which of the data-holding nodes of one source works on a part, and when another
//! takes over.
//!
//! The nodes do not talk to each other. Each works its rank for a part out of the part's name, so that
//! work is shared evenly and what a dead node leaves falls to all others; and each sees on its own
//! replica what the others did. Rank 0 begins at once, the others when the part is still untouched
//! after a while. What is decided here is only who works, never what may leave: two nodes that work at
//! once cost a rejected transaction, for the ledger takes one delivery of a part.
//!
//! Time is this node's own and comes in as an argument; only differences count, so clocks of different
//! nodes need not agree. Not here: reading, and the delivery itself (`delivery`).

use xinqiao_crypto::sm3;
use xinqiao_ledger::{ids::TimeMs, order::PartRef};

/// The most data-holding nodes that one source may have.
pub const MAX_NODES: u8 = 16;

/// How long a part is left to the node before in rank, unless told otherwise.
pub const TAKEOVER_MS: u32 = 300;

/// The least time that a part is left to the node before in rank.
pub const LEAST_TAKEOVER_MS: u32 = 10;

/// The most.
pub const MOST_TAKEOVER_MS: u32 = 60_000;

/// One node's place among those that serve a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    node: u8,
    nodes: u8,
    takeover_ms: u32,
}

/// A place that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPost {
    /// The number of nodes.
    #[error("a source has 1 to {MAX_NODES} data-holding nodes, not {0}")]
    Nodes(u8),
    /// The node's own number.
    #[error("nodes are numbered from 0: there is no node {node} among {nodes}")]
    Node {
        /// Its number.
        node: u8,
        /// How many there are.
        nodes: u8,
    },
    /// The time after which another node takes over.
    #[error("a node takes over after {LEAST_TAKEOVER_MS} to {MOST_TAKEOVER_MS} ms, not {0}")]
    Takeover(u32),
}

impl Post {
    /// The only node of its source.
    pub const ALONE: Self = Self {
        node: 0,
        nodes: 1,
        takeover_ms: TAKEOVER_MS,
    };

    /// Node number `node`, from 0, among `nodes`.
    ///
    /// # Errors
    /// When a number is outside its limits.
    pub fn new(node: u8, nodes: u8, takeover_ms: u32) -> Result<Self, NoPost> {
        if !(1..=MAX_NODES).contains(&nodes) {
            return Err(NoPost::Nodes(nodes));
        }
        if node >= nodes {
            return Err(NoPost::Node { node, nodes });
        }
        if !(LEAST_TAKEOVER_MS..=MOST_TAKEOVER_MS).contains(&takeover_ms) {
            return Err(NoPost::Takeover(takeover_ms));
        }
        Ok(Self {
            node,
            nodes,
            takeover_ms,
        })
    }

    /// Its rank for a part: 0 works first.
    pub fn rank(&self, part: &PartRef) -> u8 {
        let before = ranking(part, self.nodes)
            .iter()
            .take_while(|node| **node != self.node)
            .count();
        u8::try_from(before).unwrap_or(u8::MAX)
    }
}

/// The numbers of a source's nodes in the order in which they are to work on a part. Whoever leaves
/// does not change the order of the others.
pub fn ranking(part: &PartRef, nodes: u8) -> Vec<u8> {
    let score = |node: u8| {
        let mut bytes = b"xinqiao/turn/v1".to_vec();
        bytes.extend_from_slice(part.order.as_bytes());
        bytes.extend_from_slice(&[part.part, node]);
        sm3(&bytes)
    };
    let mut ranked: Vec<u8> = (0..nodes).collect();
    ranked.sort_by_cached_key(|node| score(*node));
    ranked
}

/// One part as one of its nodes sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    rank: u8,
    nodes: u8,
    takeover_ms: u32,
    /// When this node saw it first.
    seen_at: TimeMs,
    /// How long it may be answered from then on.
    open_ms: u64,
    taken_up: TakenUp,
}

/// Who took a part up on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenUp {
    Nobody,
    Us,
    /// Another node, as seen here at that time.
    Another(TimeMs),
}

impl Turn {
    /// A part that this node sees now, and that may be answered for so long.
    pub fn begin(post: Post, part: &PartRef, now: TimeMs, open_ms: u64) -> Self {
        Self {
            rank: post.rank(part),
            nodes: post.nodes,
            takeover_ms: post.takeover_ms,
            seen_at: now,
            open_ms,
            taken_up: TakenUp::Nobody,
        }
    }

    /// The ledger says that the part was taken up: by this node, or by another.
    #[must_use]
    pub fn taken_up(mut self, by_us: bool, now: TimeMs) -> Self {
        self.taken_up = if by_us {
            TakenUp::Us
        } else {
            TakenUp::Another(now)
        };
        self
    }

    /// Whether no other node serves the source.
    pub fn is_alone(&self) -> bool {
        self.nodes == 1
    }

    /// Whether this node begins as soon as it sees the part.
    pub fn is_first(&self) -> bool {
        self.due() <= self.seen_at
    }

    /// When this node begins, if nobody has delivered or refused the part by then. Whoever took it up
    /// is at work, and has longer than one who shows nothing; in any case at least half of the time is
    /// left to this node.
    pub fn due(&self) -> TimeMs {
        let own_share = |open_ms: u64| open_ms * u64::from(self.rank) / (2 * u64::from(self.nodes));
        let rank = u64::from(self.rank);
        let untouched = (self.seen_at).saturating_add(
            self.takeover()
                .saturating_mul(rank)
                .min(own_share(self.open_ms)),
        );
        match self.taken_up {
            TakenUp::Us => self.seen_at,
            TakenUp::Nobody => untouched,
            TakenUp::Another(at) => {
                // The one that took it up may be any in rank: so the first takes a share as well.
                let left = self.left(at);
                let share = left * u64::from(self.rank.max(1)) / (2 * u64::from(self.nodes));
                untouched.max(at.saturating_add(share))
            }
        }
    }

    /// When this node, which cannot serve the part, tries once more and otherwise refuses it for the
    /// source. Until then it is left to the others. The last in rank waits only until a node that is
    /// slow and not dead would have taken the part up; if one did, and for all others, it is when a
    /// quarter of the time is left: a refusal says more than silence.
    pub fn last_word(&self) -> TimeMs {
        let near_the_end = (self.seen_at).saturating_add(self.open_ms / 4 * 3);
        let is_last = self.rank + 1 == self.nodes;
        match self.taken_up {
            TakenUp::Another(_) => near_the_end,
            TakenUp::Nobody | TakenUp::Us if !is_last => near_the_end,
            TakenUp::Nobody | TakenUp::Us => {
                let round = self.takeover().saturating_mul(u64::from(self.nodes));
                let untouched = self.due().saturating_add(round);
                untouched.min(near_the_end)
            }
        }
    }

    fn takeover(&self) -> u64 {
        u64::from(self.takeover_ms)
    }

    fn left(&self, now: TimeMs) -> u64 {
        let gone = now.saturating_sub(self.seen_at);
        self.open_ms.saturating_sub(gone)
    }
}
