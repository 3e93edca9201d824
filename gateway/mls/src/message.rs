//! What agents ask and what data-holding nodes answer. Both travel through gateways, which may lose, repeat,
//! reorder and invent them: who is asked for something that matters checks it, and asking again is always
//! right.

use xinqiao_ledger::{
    group::{self, GroupAsk},
    ids::OrgId,
    malformed::{Malformed, Problem, list},
    order::PartRef,
    wire,
};

use crate::member::{Member, Side};

pub use xinqiao_ledger::group::{Join, MAX_BINDING, MAX_HANDSHAKE, MAX_KEY_PACKAGE, Wish};

/// The most bytes of a welcome, which has the whole tree in it.
pub const MAX_WELCOME: usize = 65_536;
/// The most bytes of a letter. One has about 350.
pub const MAX_LETTER: usize = 1_024;
/// The most commits that a node keeps for agents that were away.
pub const MAX_COMMITS: usize = 64;
/// The most handshake messages of one answer: as many commits, with a proposal each.
pub const MAX_HANDSHAKES: usize = 2 * MAX_COMMITS;
/// The most letters of one answer.
pub const MAX_LETTERS: usize = 64;
/// The most agents of one group.
pub const MAX_AGENTS: usize = 16;

/// Something is longer than it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} may have at most {max}, has {got}")]
pub struct Limit {
    /// What.
    pub what: &'static str,
    /// The most bytes or elements.
    pub max: usize,
    /// Bytes or elements that it has.
    pub got: usize,
}

impl Limit {
    pub(crate) fn check<T>(what: &'static str, list: &[T], max: usize) -> Result<(), Self> {
        let got = list.len();
        if got > max {
            Err(Self { what, max, got })
        } else {
            Ok(())
        }
    }
}

/// An agent's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who asks. A mere claim, unless it stands in [`Join::binding`].
    pub agent: Member,
    /// What it wants.
    pub wish: Wish,
    /// Parts whose letters it wants. At most [`MAX_LETTERS`].
    pub letters: Vec<PartRef>,
}

/// A data-holding node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The group's generation now.
    pub generation: u64,
    /// What the agent is to do.
    pub step: Step,
    /// A letter for each part that was asked for and may leave; only with [`Step::Follow`] and
    /// [`Step::Welcome`]. At most [`MAX_LETTERS`].
    pub letters: Vec<(PartRef, Vec<u8>)>,
}

/// What an agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Apply these commits, in order, each after the agent's proposal that it carries out, if there is one;
    /// none when it is where the group is. At most [`MAX_HANDSHAKES`] messages.
    Follow(Vec<Vec<u8>>),
    /// Join, then apply what came since.
    Welcome {
        /// MLS message with the welcome.
        welcome: Vec<u8>,
        /// The node's ledger key's word for its leaf and the group ([`crate::Binding::encode`]).
        binding: Vec<u8>,
        /// Commits and proposals since then. At most [`MAX_HANDSHAKES`].
        commits: Vec<Vec<u8>>,
    },
    /// Ask again with a new key package: the node cannot lead it on from where it stands.
    Rejoin,
}

impl Ask {
    /// A question as it came, of that institution's agent, for the letter of one part.
    pub fn of(ask: GroupAsk, institution: OrgId, part: PartRef) -> Self {
        Self {
            agent: Member {
                side: Side::Agent,
                org: institution,
                node: ask.node,
                key: ask.key,
            },
            wish: ask.wish,
            letters: vec![part],
        }
    }

    /// The question as it travels, which names neither organisation nor parts: the call does.
    pub fn to_wire(&self) -> wire::GroupAsk {
        wire::GroupAsk::from(&GroupAsk {
            node: self.agent.node.clone(),
            key: self.agent.key,
            wish: self.wish.clone(),
        })
    }

    pub(crate) fn check(&self) -> Result<(), Limit> {
        Limit::check("letters", &self.letters, MAX_LETTERS)?;
        match &self.wish {
            Wish::Join(join) => {
                Limit::check("key package", &join.key_package, MAX_KEY_PACKAGE)?;
                Limit::check("binding", &join.binding, MAX_BINDING)
            }
            Wish::Follow { proposal, .. } => match proposal {
                Some(proposal) => Limit::check("proposal", proposal, MAX_HANDSHAKE),
                None => Ok(()),
            },
        }
    }
}

impl Answer {
    /// The answer as it travels, with the letter of the one part that was asked for.
    pub fn into_wire(self) -> wire::GroupAnswer {
        use wire::group_answer::Step as W;
        let step = match self.step {
            Step::Follow(messages) => W::Follow(wire::GroupCommits { messages }),
            Step::Welcome {
                welcome,
                binding,
                commits,
            } => W::Welcome(wire::GroupWelcome {
                welcome,
                binding,
                messages: commits,
            }),
            Step::Rejoin => W::Rejoin(wire::GroupRejoin {}),
        };
        let letter = self.letters.into_iter().next().map(|(_, letter)| letter);
        wire::GroupAnswer {
            generation: self.generation,
            step: Some(step),
            letter: letter.unwrap_or_default(),
        }
    }

    /// The answer to a question for that part's letter.
    ///
    /// # Errors
    /// With the field that is missing or over its limit.
    pub fn from_wire(wire: wire::GroupAnswer, part: PartRef) -> Result<Self, Malformed> {
        use wire::group_answer::Step as W;
        let messages = |field: &str, messages: &[Vec<u8>]| {
            list(field, messages, 0, MAX_HANDSHAKES, |field, message| {
                group::bytes(field, message, MAX_HANDSHAKE)
            })
        };
        let step = match wire.step {
            None => return Err(Malformed::new("step", Problem::Required)),
            Some(W::Follow(it)) => Step::Follow(messages("follow.messages", &it.messages)?),
            Some(W::Welcome(it)) => Step::Welcome {
                welcome: group::bytes("welcome.welcome", &it.welcome, MAX_WELCOME)?,
                binding: group::bytes("welcome.binding", &it.binding, MAX_BINDING)?,
                commits: messages("welcome.messages", &it.messages)?,
            },
            Some(W::Rejoin(_)) => Step::Rejoin,
        };
        let letters = match wire.letter.as_slice() {
            [] => Vec::new(),
            letter => vec![(part, group::bytes("letter", letter, MAX_LETTER)?)],
        };
        Ok(Self {
            generation: wire.generation,
            step,
            letters,
        })
    }

    pub(crate) fn check(&self) -> Result<(), Limit> {
        Limit::check("letters", &self.letters, MAX_LETTERS)?;
        for (_, letter) in &self.letters {
            Limit::check("letter", letter, MAX_LETTER)?;
        }
        let commits = match &self.step {
            Step::Follow(commits) => commits,
            Step::Welcome {
                welcome,
                binding,
                commits,
            } => {
                Limit::check("welcome", welcome, MAX_WELCOME)?;
                Limit::check("binding", binding, MAX_BINDING)?;
                commits
            }
            Step::Rejoin => return Ok(()),
        };
        Limit::check("commits", commits, MAX_HANDSHAKES)?;
        commits
            .iter()
            .try_for_each(|commit| Limit::check("commit", commit, MAX_HANDSHAKE))
    }
}
