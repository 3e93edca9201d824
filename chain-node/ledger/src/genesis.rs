//! What everyone starts from: members, validators, catalogue and parameters.
//!
//! The chain's id is the genesis' digest, so a signature for one consortium is none for another,
//! even when both bear the same name.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{DistinguishingId, PublicKey, sm3_parts};

use crate::{
    block::ValidatorSet,
    catalogue::Catalogue,
    ids::{ChainId, TimeMs},
    malformed::{Malformed, Problem, ranged},
    member::{Member, MemberKind},
    text,
};

/// How blocks are agreed on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// One validator.
    Solo,
}

/// Limits that contracts keep.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How many blocks a transaction's expiry may lie ahead. 1 to 1,000,000.
    pub max_expiry_window: u64,
    /// How long a grant may be valid, in days. 1 to 3,650.
    pub max_consent_days: u32,
    /// How many deadlines fire in one block at most. 1 to 10,000.
    pub max_deadlines_per_block: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            max_expiry_window: 1_000,
            max_consent_days: 1_100,
            max_deadlines_per_block: 1_000,
        }
    }
}

/// The genesis.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Name of the consortium. 1 to 64 bytes of text.
    pub name: String,
    /// How blocks are agreed on.
    pub engine: Engine,
    /// When the chain begins.
    pub time: TimeMs,
    /// Distinguishing id that everyone signs under (GM/T 0009-2012 or as agreed).
    pub distinguishing_id: DistinguishingId,
    /// Keys of the validators.
    pub validators: Vec<PublicKey>,
    /// The first members, in ascending order of ids. At least one bureau.
    pub members: Vec<Member>,
    /// The first catalogue, of version 1.
    pub catalogue: Catalogue,
    /// The consortium's certificate authorities, DER. 1 to 8.
    pub authorities: Vec<Vec<u8>>,
    /// Limits that contracts keep.
    pub parameters: Parameters,
}

impl Genesis {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), Malformed> {
        text::check("name", &self.name, 1, 64)?;
        self.validator_set()?;
        if self.engine == Engine::Solo && self.validators.len() != 1 {
            return Err(Malformed::new(
                "validators",
                Problem::Format("one key with engine solo"),
            ));
        }
        if !self
            .members
            .iter()
            .any(|member| member.kind == MemberKind::Bureau)
        {
            return Err(Malformed::new(
                "members",
                Problem::Format("at least one bureau"),
            ));
        }
        if !self
            .members
            .windows(2)
            .all(|pair| pair[0].org < pair[1].org)
        {
            return Err(Malformed::new("members", Problem::NotAscending));
        }
        let mut keys: Vec<_> = self
            .members
            .iter()
            .flat_map(|member| member.keys.iter().map(|key| key.id()))
            .collect();
        keys.sort();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::new(
                "members.keys",
                Problem::Format("keys that differ"),
            ));
        }
        let mut prints: Vec<_> = self
            .members
            .iter()
            .flat_map(|member| member.certificates.iter())
            .collect();
        prints.sort();
        if prints.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::new(
                "members.certificates",
                Problem::Format("certificates that differ"),
            ));
        }
        ranged("catalogue.version", self.catalogue.version, 1, 1)?;
        if self.authorities.is_empty() || self.authorities.len() > 8 {
            return Err(Malformed::new(
                "authorities",
                Problem::Format("1 to 8 certificates"),
            ));
        }
        let limits = &self.parameters;
        ranged(
            "parameters.max_expiry_window",
            limits.max_expiry_window,
            1,
            1_000_000,
        )?;
        ranged(
            "parameters.max_consent_days",
            limits.max_consent_days,
            1,
            3_650,
        )?;
        ranged(
            "parameters.max_deadlines_per_block",
            limits.max_deadlines_per_block,
            1,
            10_000,
        )?;
        Ok(())
    }

    /// The chain's id: SM3 over a tag and the genesis' Borsh encoding.
    pub fn chain_id(&self) -> ChainId {
        let encoded = borsh::to_vec(self).expect("writing to memory does not fail");
        ChainId(sm3_parts(&[b"xinqiao/genesis/v1", &encoded]))
    }

    /// The validators.
    ///
    /// # Errors
    /// When there are none, too many, or one twice.
    pub fn validator_set(&self) -> Result<ValidatorSet, Malformed> {
        ValidatorSet::new(self.validators.clone(), self.distinguishing_id.clone())
    }
}
