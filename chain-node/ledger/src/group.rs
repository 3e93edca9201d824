//! Delivery groups, as the ledger and those who relay see them: what an epoch is known by, and the form and
//! the limits of an agent's question.
//!
//! Not here: the groups themselves, answers, and whether a question is to be believed (`xinqiao-mls`). A
//! gateway passes questions and answers on and knows their size only.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{Digest, KeyId};

use crate::{
    ids::OrgId,
    malformed::{Malformed, Problem, fixed, required},
    wire,
};

/// The most bytes of a binding.
pub const MAX_BINDING: usize = 512;
/// The most bytes of a key package. One has about 400.
pub const MAX_KEY_PACKAGE: usize = 4_096;
/// The most bytes of a commit or a proposal. A commit for 16 agents has under 4 KiB.
pub const MAX_HANDSHAKE: usize = 32_768;
/// The most bytes of an answer, encoded: 128 handshake messages and a welcome are just above 4 MiB.
pub const MAX_ANSWER: usize = 5 << 20;

/// The most bytes of an answer that comes along with a part, encoded.
pub const MAX_ANSWER_ALONG: usize = 65_536;

/// Name of a machine of an organisation, in the form of an organisation's id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(OrgId);

impl NodeName {
    /// Parses a field.
    ///
    /// # Errors
    /// When it is no slug of 1 to 32 characters.
    pub fn parse(field: &str, value: &str) -> Result<Self, Malformed> {
        OrgId::parse(field, value).map(Self)
    }

    /// The name that a machine has when it was given none: 24 letters of what it is known by otherwise, such
    /// as its key. Letters only, for hexadecimal digits may read as a plain credit code, which no name shows.
    pub fn of(id: &[u8; 32]) -> Self {
        let halves = id[..12].iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let name: String = halves.map(|half| char::from(b'a' + half)).collect();
        Self(
            name.parse()
                .expect("letters are a slug, and no code is without digits"),
        )
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl std::str::FromStr for NodeName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse("node", text)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What an epoch of a group is known by. Two who name the same authenticator were in the same group, with
/// the same members and the same history (RFC 9420 §8.7). It tells nothing about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct EpochMark {
    /// Which group between the two: a lost group is followed by one of a higher generation.
    pub generation: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The epoch authenticator.
    pub authenticator: Digest,
}

impl EpochMark {
    /// Bytes of [`Self::to_bytes`].
    pub const LEN: usize = 48;

    /// Generation (8, big endian) ‖ epoch (8, big endian) ‖ authenticator (32).
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.generation.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[16..].copy_from_slice(self.authenticator.as_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(number)
        };
        let mut authenticator = [0; 32];
        authenticator.copy_from_slice(&bytes[16..]);
        Self {
            generation: number(0),
            epoch: number(8),
            authenticator: Digest::new(authenticator),
        }
    }
}

impl TryFrom<&wire::GroupEpoch> for EpochMark {
    type Error = Malformed;

    fn try_from(wire: &wire::GroupEpoch) -> Result<Self, Malformed> {
        Ok(Self {
            generation: wire.generation,
            epoch: wire.epoch,
            authenticator: Digest::from(fixed::<32>("authenticator", &wire.authenticator)?),
        })
    }
}

impl From<&EpochMark> for wire::GroupEpoch {
    fn from(mark: &EpochMark) -> Self {
        Self {
            generation: mark.generation,
            epoch: mark.epoch,
            authenticator: mark.authenticator.as_bytes().to_vec(),
        }
    }
}

/// An agent's question. Its organisation is that of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAsk {
    /// Which of the institution's machines asks.
    pub node: NodeName,
    /// The ledger key that stands behind it.
    pub key: KeyId,
    /// What it wants.
    pub wish: Wish,
}

/// What an agent wants of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// It is not in the group, or cannot follow it any more.
    Join(Join),
    /// It is in the group.
    Follow {
        /// Where it stands.
        at: EpochMark,
        /// An MLS proposal for that epoch: update of its own keys, or removal of itself.
        proposal: Option<Vec<u8>>,
    },
}

/// Asks for a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// MLS message with a key package.
    pub key_package: Vec<u8>,
    /// The ledger key's word for it (`xinqiao_mls::Binding::encode`).
    pub binding: Vec<u8>,
}

impl TryFrom<&wire::GroupAsk> for GroupAsk {
    type Error = Malformed;

    fn try_from(wire: &wire::GroupAsk) -> Result<Self, Malformed> {
        let wish = match required("wish", wire.wish.as_ref())? {
            wire::group_ask::Wish::Join(join) => Wish::Join(Join {
                key_package: bytes("join.key_package", &join.key_package, MAX_KEY_PACKAGE)?,
                binding: bytes("join.binding", &join.binding, MAX_BINDING)?,
            }),
            wire::group_ask::Wish::Follow(follow) => Wish::Follow {
                at: EpochMark::try_from(required("follow.at", follow.at.as_ref())?)
                    .map_err(|fault| fault.within("follow.at"))?,
                proposal: match follow.proposal.as_slice() {
                    [] => None,
                    proposal => Some(bytes("follow.proposal", proposal, MAX_HANDSHAKE)?),
                },
            },
        };
        Ok(Self {
            node: NodeName::parse("node", &wire.node)?,
            key: KeyId::from(Digest::from(fixed::<32>("key_id", &wire.key_id)?)),
            wish,
        })
    }
}

impl From<&GroupAsk> for wire::GroupAsk {
    fn from(ask: &GroupAsk) -> Self {
        let wish = match &ask.wish {
            Wish::Join(join) => wire::group_ask::Wish::Join(wire::GroupJoin {
                key_package: join.key_package.clone(),
                binding: join.binding.clone(),
            }),
            Wish::Follow { at, proposal } => wire::group_ask::Wish::Follow(wire::GroupFollow {
                at: Some(at.into()),
                proposal: proposal.clone().unwrap_or_default(),
            }),
        };
        Self {
            node: ask.node.to_string(),
            key_id: ask.key.as_bytes().to_vec(),
            wish: Some(wish),
        }
    }
}

/// A question that goes along with the one for its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterAsk {
    /// The data-holding node that is taken to deliver the part.
    pub holder: NodeName,
    /// The question.
    pub ask: GroupAsk,
}

impl LetterAsk {
    /// Parses what may have been left out.
    ///
    /// # Errors
    /// With the field that is missing, malformed or over its limit.
    pub fn parse(wire: Option<&wire::LetterAsk>) -> Result<Option<Self>, Malformed> {
        let parse = |wire: &wire::LetterAsk| {
            Ok(Self {
                holder: NodeName::parse("holder_node", &wire.holder_node)?,
                ask: GroupAsk::try_from(required("ask", wire.ask.as_ref())?)
                    .map_err(|fault| fault.within("ask"))?,
            })
        };
        wire.map(parse)
            .transpose()
            .map_err(|fault: Malformed| fault.within("letter"))
    }
}

impl From<&LetterAsk> for wire::LetterAsk {
    fn from(letter: &LetterAsk) -> Self {
        Self {
            holder_node: letter.holder.to_string(),
            ask: Some((&letter.ask).into()),
        }
    }
}

/// 1 to `max` bytes.
pub fn bytes(field: &str, value: &[u8], max: usize) -> Result<Vec<u8>, Malformed> {
    match value.len() {
        0 => Err(Malformed::new(field, Problem::Required)),
        got if got > max => Err(Malformed::new(field, Problem::TooLong { max, got })),
        _ => Ok(value.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sm3;

    #[test]
    fn an_epoch_s_mark_keeps_its_golden_bytes_and_reads_back() {
        let mark = EpochMark {
            generation: 1,
            epoch: 2,
            authenticator: sm3(b"authenticator"),
        };
        let bytes = mark.to_bytes();
        assert_eq!(
            bytes[..16],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
        );
        assert_eq!(bytes[16..], sm3(b"authenticator").to_bytes());
        assert_eq!(EpochMark::from_bytes(&bytes), mark);
    }

    #[test]
    fn a_machine_without_a_name_has_one_of_its_key() {
        let name = NodeName::of(&[0x0f; 32]);
        assert_eq!(name.as_str(), "ap".repeat(12));
        assert_eq!(name.as_str().parse::<NodeName>().unwrap(), name);
        assert_ne!(name, NodeName::of(&[0xf0; 32]));
    }

    fn ask(wish: Wish) -> wire::GroupAsk {
        wire::GroupAsk::from(&GroupAsk {
            node: "agent-1".parse().unwrap(),
            key: sm3(b"key").into(),
            wish,
        })
    }

    fn check(wire: &wire::GroupAsk, field: &str, code: &str) {
        let fault = GroupAsk::try_from(wire).unwrap_err();
        assert_eq!((fault.field.as_str(), fault.problem.code()), (field, code));
    }

    #[test]
    fn a_question_reads_back_and_what_breaks_a_limit_is_refused_with_the_field() {
        let join = |key_package: usize, binding: usize| {
            ask(Wish::Join(Join {
                key_package: vec![1; key_package],
                binding: vec![2; binding],
            }))
        };
        let at = EpochMark {
            generation: 1,
            epoch: 2,
            authenticator: sm3(b"authenticator"),
        };
        let follow = |proposal: usize| {
            ask(Wish::Follow {
                at,
                proposal: (proposal > 0).then(|| vec![3; proposal]),
            })
        };
        for good in [
            join(1, 1),
            join(MAX_KEY_PACKAGE, MAX_BINDING),
            follow(0),
            follow(MAX_HANDSHAKE),
        ] {
            let read = GroupAsk::try_from(&good).unwrap();
            assert_eq!(wire::GroupAsk::from(&read), good);
        }
        check(&join(0, 1), "join.key_package", "FIELD_REQUIRED");
        check(&join(4_097, 1), "join.key_package", "FIELD_TOO_LONG");
        check(&join(1, 0), "join.binding", "FIELD_REQUIRED");
        check(&join(1, 513), "join.binding", "FIELD_TOO_LONG");
        check(&follow(32_769), "follow.proposal", "FIELD_TOO_LONG");
        let changed = |change: &dyn Fn(&mut wire::GroupAsk)| {
            let mut wire = follow(0);
            change(&mut wire);
            wire
        };
        check(&changed(&|w| w.wish = None), "wish", "FIELD_REQUIRED");
        check(&changed(&|w| w.node.clear()), "node", "FIELD_REQUIRED");
        check(&changed(&|w| w.node = "A".into()), "node", "FIELD_FORMAT");
        check(&changed(&|w| w.key_id = vec![1]), "key_id", "FIELD_LENGTH");
        let at = |change: &dyn Fn(&mut wire::GroupFollow)| {
            changed(&|w| {
                if let Some(wire::group_ask::Wish::Follow(follow)) = &mut w.wish {
                    change(follow);
                }
            })
        };
        check(&at(&|w| w.at = None), "follow.at", "FIELD_REQUIRED");
        let short = at(&|w| {
            w.at.iter_mut().for_each(|at| {
                at.authenticator.pop();
            });
        });
        check(&short, "follow.at.authenticator", "FIELD_LENGTH");
    }
}
