//! Who is in a group, and which group that is.

use xinqiao_crypto::{Digest, KeyId, sm3_parts};
use xinqiao_ledger::ids::{ChainId, OrgId};

use crate::error::Error;

pub use xinqiao_ledger::group::{EpochMark, NodeName};

/// Which end of a delivery a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A data-holding node: the group's only committer.
    Holder,
    /// An institution's agent.
    Agent,
}

impl Side {
    const fn byte(self) -> u8 {
        match self {
            Self::Holder => 1,
            Self::Agent => 2,
        }
    }
}

/// A member, as its MLS credential names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which end it is.
    pub side: Side,
    /// Its organisation.
    pub org: OrgId,
    /// Which of the organisation's machines.
    pub node: NodeName,
    /// The ledger key that stands behind it.
    pub key: KeyId,
}

const MEMBER_TAG: &[u8; 21] = b"xinqiao/mls-member/v1";

impl Member {
    /// The content of its MLS basic credential: tag (21) ‖ side (1: 1 holder, 2 agent) ‖ length (1) ‖
    /// organisation ‖ length (1) ‖ machine ‖ ledger key id (32).
    pub fn credential(&self) -> Vec<u8> {
        let mut bytes = MEMBER_TAG.to_vec();
        bytes.push(self.side.byte());
        for name in [self.org.as_str(), self.node.as_str()] {
            // Names have at most 32 bytes.
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(self.key.as_bytes());
        bytes
    }

    /// Reads [`Self::credential`]'s form and no other.
    ///
    /// # Errors
    /// When the bytes are no such credential.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let fault = || Error::refused("credential", "names no member of a delivery group");
        let rest = bytes.strip_prefix(MEMBER_TAG).ok_or_else(fault)?;
        let (side, rest) = rest.split_first().ok_or_else(fault)?;
        let side = match side {
            1 => Side::Holder,
            2 => Side::Agent,
            _ => return Err(fault()),
        };
        let (org, rest) = name(rest).ok_or_else(fault)?;
        let (node, rest) = name(rest).ok_or_else(fault)?;
        Ok(Self {
            side,
            org: org.parse().map_err(|_| fault())?,
            node: node.parse().map_err(|_| fault())?,
            key: KeyId::try_from(rest).map_err(|_| fault())?,
        })
    }
}

fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

/// Between whom a group is, on which chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub chain: ChainId,
    /// The organisation that runs the data-holding node.
    pub holder: OrgId,
    /// The data-holding node.
    pub node: NodeName,
    /// The institution whose agents are the other members.
    pub institution: OrgId,
}

const PAIR_TAG: &[u8; 19] = b"xinqiao/mls-pair/v1";
const GROUP_TAG: &[u8; 20] = b"xinqiao/mls-group/v1";

impl Pair {
    /// SM3 over tag (19) ‖ chain id (32) ‖ for each of holder's organisation, node and institution: length
    /// (1) ‖ name.
    pub fn digest(&self) -> Digest {
        let mut names = Vec::new();
        for name in [
            self.holder.as_str(),
            self.node.as_str(),
            self.institution.as_str(),
        ] {
            names.push(name.len() as u8);
            names.extend_from_slice(name.as_bytes());
        }
        sm3_parts(&[PAIR_TAG, self.chain.as_bytes(), &names])
    }

    /// The MLS group id of a generation: tag (20) ‖ [`Self::digest`] (32) ‖ generation (8, big endian).
    pub fn group_id(&self, generation: u64) -> Vec<u8> {
        [
            &GROUP_TAG[..],
            self.digest().as_bytes(),
            &generation.to_be_bytes(),
        ]
        .concat()
    }

    /// Whether a member has a place in this group.
    pub fn admits(&self, member: &Member) -> bool {
        match member.side {
            Side::Holder => member.org == self.holder && member.node == self.node,
            Side::Agent => member.org == self.institution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sm3;

    fn member() -> Member {
        Member {
            side: Side::Agent,
            org: "su-bank".parse().unwrap(),
            node: "agent-1".parse().unwrap(),
            key: sm3(b"key").into(),
        }
    }

    #[test]
    fn a_credential_keeps_its_golden_bytes_and_reads_back() {
        let bytes = member().credential();
        let golden = [
            &b"xinqiao/mls-member/v1\x02\x07su-bank\x07agent-1"[..],
            sm3(b"key").as_bytes(),
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(Member::parse(&bytes).unwrap(), member());
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        let good = member().credential();
        for end in 0..good.len() {
            assert!(Member::parse(&good[..end]).is_err(), "{end} bytes");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        for (what, bytes) in [
            ("another tag", changed(0, b'X')),
            ("no side", changed(21, 0)),
            ("an unknown side", changed(21, 3)),
            ("a longer name than there is", changed(22, 255)),
            ("capitals", changed(23, b'S')),
            ("a byte too many", [&good[..], &[0]].concat()),
        ] {
            assert!(Member::parse(&bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn groups_of_other_pairs_chains_and_generations_have_other_ids() {
        let pair = |chain: &[u8], holder: &str, node: &str, institution: &str| Pair {
            chain: ChainId(sm3(chain)),
            holder: holder.parse().unwrap(),
            node: node.parse().unwrap(),
            institution: institution.parse().unwrap(),
        };
        let first = pair(b"chain", "sh", "node-1", "bank");
        assert_eq!(
            first.digest().to_string(),
            "40621b252252d296995a82827910bbd5e3d8ece13ce78685feb8b8e4bb076800",
            "golden"
        );
        let mut ids = vec![first.group_id(1), first.group_id(2)];
        for other in [
            pair(b"other", "sh", "node-1", "bank"),
            pair(b"chain", "s", "hnode-1", "bank"),
            pair(b"chain", "sh", "node-2", "bank"),
            pair(b"chain", "sh", "node-1", "bank-2"),
        ] {
            ids.push(other.group_id(1));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    }
}
