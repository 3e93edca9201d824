//! The engines that can be simulated: how one is made, and which faults it is there to bear.

use xinqiao_bft::{Bft, Message as BftMessage, Timeouts};
use xinqiao_consensus::{Engine, Message, Signer, Silence, Solo};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    ids::{ChainId, Height},
    validators,
    vote::{Statement, VoteKind},
};
use xinqiao_raft::{Body, Message as RaftMessage, Raft};

use crate::liar::Fault;

/// What an engine is made with.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// Its chain.
    pub chain: ChainId,
    /// Whether its timers run out before anybody can have answered, at first.
    pub impatient: bool,
    /// Its own chance; another one in each life of each node.
    pub seed: u64,
}

/// What a validator stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    /// The validator, by its key.
    pub validator: KeyId,
    /// What.
    pub said: Said,
}

/// What validators state, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Something that it signs, and that is evidence if it signs two of a sort.
    Signed {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
        /// What.
        statement: Statement,
    },
    /// For whom it votes in a term.
    Ballot {
        /// The first height of the group.
        since: Height,
        /// The term.
        term: u64,
        /// For whom.
        candidate: KeyId,
    },
    /// That it leads a term.
    Leads {
        /// The first height of the group.
        since: Height,
        /// The term.
        term: u64,
        /// Whether it says that its log begins after what the follower needs.
        points: bool,
    },
}

/// A kind of engine.
pub trait Kind: 'static {
    /// What its validators say to each other.
    type Message: Message;
    /// The engine of a validator with that signer.
    type Engine<S: Signer>: Engine<Message = Self::Message>;

    /// Its name on the command line.
    const NAME: &'static str;
    /// How validator sets name it.
    const SET: validators::Engine;
    /// The ways in which validators may be faulty with it. Liars know the Byzantine engine's
    /// messages and no others.
    const FAULTS: &'static [Fault];
    /// Whether it rests while nothing waits: it writes nothing and says nothing. An engine that does
    /// not may still make no block.
    const RESTS: bool;
    /// Whether a validator whose clock is far off is one fault among those that it bears.
    const BEARS_CLOCKS: bool = false;
    /// The most transactions that a run has.
    const MOST_TRANSACTIONS: u64 = 40;

    /// How many of so many validators may be faulty.
    fn most_faulty(validators: usize) -> usize;

    /// An engine that waits for its start.
    fn engine<S: Signer>(making: Making, signer: S) -> Self::Engine<S>;

    /// What the authors of a message stated in it, each for itself: an honest one never states
    /// two things of one sort in one round.
    fn stated(message: &Self::Message) -> Vec<Stated>;
}

/// The Byzantine-fault-tolerant engine: fewer than a third may be silent, double or lie.
#[derive(Debug)]
pub struct Byzantine;

/// Timers that run out before anybody can have answered, for the first rounds.
const IMPATIENT: Timeouts = Timeouts {
    propose_ms: 20,
    vote_ms: 10,
    delta_ms: 8,
    max_ms: 10_000,
    rebroadcast_ms: 100,
};

impl Kind for Byzantine {
    type Message = BftMessage;
    type Engine<S: Signer> = Bft<S>;

    const NAME: &'static str = "bft";
    const SET: validators::Engine = validators::Engine::Bft;
    const FAULTS: &'static [Fault] = &[Fault::Silent, Fault::Twins, Fault::Liar];
    const RESTS: bool = true;
    const BEARS_CLOCKS: bool = true;

    fn most_faulty(validators: usize) -> usize {
        validators.saturating_sub(1) / 3
    }

    fn engine<S: Signer>(making: Making, signer: S) -> Bft<S> {
        let timeouts = if making.impatient {
            IMPATIENT
        } else {
            Timeouts::default()
        };
        Bft::new(making.chain, signer, timeouts)
    }

    fn stated(message: &BftMessage) -> Vec<Stated> {
        match message {
            BftMessage::Vote(vote) => vec![Stated {
                validator: vote.message.validator.0,
                said: Said::Signed {
                    height: vote.message.height,
                    round: vote.message.round,
                    statement: vote.message.statement(),
                },
            }],
            BftMessage::Proposal(proposal) => vec![Stated {
                validator: proposal.message.proposer.0,
                said: Said::Signed {
                    height: proposal.message.height,
                    round: proposal.message.round,
                    statement: proposal.message.statement(),
                },
            }],
            // They repeat what others stated, each of whom was seen when it did.
            BftMessage::Polka(_) | BftMessage::Round(_) => Vec::new(),
        }
    }
}

/// The crash-fault engine: a minority may be down, and nobody lies.
#[derive(Debug)]
pub struct Crash;

impl Kind for Crash {
    type Message = RaftMessage;
    type Engine<S: Signer> = Raft<S>;

    const NAME: &'static str = "raft";
    const SET: validators::Engine = validators::Engine::Raft;
    const FAULTS: &'static [Fault] = &[Fault::Silent];
    const RESTS: bool = false;
    // Its log is cut every few heights, and who falls behind that is sent a point: so long chains.
    const MOST_TRANSACTIONS: u64 = 400;

    fn most_faulty(validators: usize) -> usize {
        validators.saturating_sub(1) / 2
    }

    fn engine<S: Signer>(making: Making, signer: S) -> Raft<S> {
        Raft::new(making.chain, signer, making.seed)
    }

    fn stated(message: &RaftMessage) -> Vec<Stated> {
        match message {
            RaftMessage::Share(share) => vec![Stated {
                validator: share.validator,
                said: Said::Signed {
                    height: share.height,
                    round: 0,
                    statement: Statement::Vote {
                        kind: VoteKind::Precommit,
                        header: Some(share.header),
                    },
                },
            }],
            RaftMessage::Letter(letter) => {
                let (since, term) = (letter.since, letter.term);
                let ballot = |candidate| Said::Ballot {
                    since,
                    term,
                    candidate,
                };
                let said = match letter.body {
                    // A candidate votes for itself.
                    Body::Campaign { pre: false, .. } => ballot(letter.from),
                    Body::Ballot {
                        pre: false,
                        granted: true,
                        ..
                    } => ballot(letter.to),
                    Body::Append { .. } | Body::Heartbeat { .. } | Body::Restore(_) => {
                        let points = matches!(letter.body, Body::Restore(_));
                        Said::Leads {
                            since,
                            term,
                            points,
                        }
                    }
                    _ => return Vec::new(),
                };
                vec![Stated {
                    validator: letter.from,
                    said,
                }]
            }
        }
    }
}

/// The engine of a single validator, which bears no fault but a crash.
#[derive(Debug)]
pub struct Alone;

impl Kind for Alone {
    type Message = Silence;
    type Engine<S: Signer> = Solo<S>;

    const NAME: &'static str = "solo";
    const SET: validators::Engine = validators::Engine::Solo;
    const FAULTS: &'static [Fault] = &[];
    const RESTS: bool = true;

    fn most_faulty(_: usize) -> usize {
        0
    }

    fn engine<S: Signer>(making: Making, signer: S) -> Solo<S> {
        Solo::new(making.chain, signer)
    }

    fn stated(message: &Silence) -> Vec<Stated> {
        match *message {}
    }
}
