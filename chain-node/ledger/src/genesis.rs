//! What everyone starts from: members, validators, catalogue and parameters.
//!
//! The chain's id is the genesis' digest, so a signature for one consortium is none for another,
//! even when both bear the same name.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{DistinguishingId, sm3_parts};

use crate::{
    catalogue::Catalogue,
    governance::{GovernanceRules, MAX_VOTERS, is_sponsored, is_voter},
    ids::{ChainId, OrgId, TimeMs},
    malformed::{Malformed, Problem, ranged, required},
    member::{Member, MemberKind},
    text,
    validators::{Engine, MAX_VALIDATORS, Validator, ValidatorSet},
    wire,
};

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
    /// How many blocks lie between two checkpoints of the state. 8 to 1,000,000.
    #[serde(default = "default_checkpoint_interval")]
    pub checkpoint_interval: u64,
    /// How many blocks after a validator's key came its member may rotate it at the earliest. 0 to
    /// 1,000,000. Keys of the genesis are rotated at any time, and so is any key by a vote.
    #[serde(default = "default_key_blocks")]
    pub min_validator_key_blocks: u64,
    /// How votes are counted.
    #[serde(default)]
    pub governance: GovernanceRules,
}

/// At the pace of a busy consortium a few minutes: far longer than digesting the state takes, which
/// has until the next checkpoint.
const fn default_checkpoint_interval() -> u64 {
    10_000
}

/// Each rotation is one more change of validators that everyone has to follow for ever.
fn default_key_blocks() -> u64 {
    1_000
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            max_expiry_window: 1_000,
            max_consent_days: 1_100,
            max_deadlines_per_block: 1_000,
            governance: GovernanceRules::default(),
            checkpoint_interval: default_checkpoint_interval(),
            min_validator_key_blocks: default_key_blocks(),
        }
    }
}

impl Parameters {
    /// Checks their ranges.
    ///
    /// # Errors
    /// With the first field that is out of its range.
    pub fn check(&self) -> Result<(), Malformed> {
        ranged("max_expiry_window", self.max_expiry_window, 1, 1_000_000)?;
        ranged("max_consent_days", self.max_consent_days, 1, 3_650)?;
        ranged(
            "max_deadlines_per_block",
            self.max_deadlines_per_block,
            1,
            10_000,
        )?;
        ranged(
            "checkpoint_interval",
            self.checkpoint_interval,
            8,
            1_000_000,
        )?;
        let key_blocks = self.min_validator_key_blocks;
        ranged("min_validator_key_blocks", key_blocks, 0, 1_000_000)?;
        let governance = self.governance.check();
        governance.map_err(|fault| fault.within("governance"))
    }
}

impl TryFrom<&wire::Parameters> for Parameters {
    type Error = Malformed;

    fn try_from(wire: &wire::Parameters) -> Result<Self, Malformed> {
        let governance = required("governance", wire.governance.as_ref())?;
        let parameters = Self {
            max_expiry_window: wire.max_expiry_window,
            max_consent_days: wire.max_consent_days,
            max_deadlines_per_block: wire.max_deadlines_per_block,
            governance: GovernanceRules::try_from(governance)
                .map_err(|fault| fault.within("governance"))?,
            checkpoint_interval: wire.checkpoint_interval,
            min_validator_key_blocks: wire.min_validator_key_blocks,
        };
        parameters.check()?;
        Ok(parameters)
    }
}

impl From<&Parameters> for wire::Parameters {
    fn from(parameters: &Parameters) -> Self {
        Self {
            max_expiry_window: parameters.max_expiry_window,
            max_consent_days: parameters.max_consent_days,
            max_deadlines_per_block: parameters.max_deadlines_per_block,
            governance: Some((&parameters.governance).into()),
            checkpoint_interval: parameters.checkpoint_interval,
            min_validator_key_blocks: parameters.min_validator_key_blocks,
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
    /// The first validators, in ascending order of members.
    pub validators: Vec<Validator>,
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
        ranged(
            "validators",
            self.validators.len() as u64,
            self.engine.least() as u64,
            MAX_VALIDATORS as u64,
        )?;
        if !(self.validators.windows(2)).all(|pair| pair[0].org < pair[1].org) {
            return Err(Malformed::new("validators", Problem::NotAscending));
        }
        let may_run_one = |org: &OrgId| {
            let member = self.members.iter().find(|member| member.org == *org);
            member.is_some_and(|member| !is_sponsored(member.kind))
        };
        if !self.validators.iter().all(|one| may_run_one(&one.org)) {
            return Err(Malformed::new(
                "validators.org",
                Problem::Format("members of the genesis other than institutions and source units"),
            ));
        }
        let voters = (self.members.iter()).filter(|member| is_voter(member.kind));
        let voters = voters.count();
        if voters > MAX_VOTERS {
            let problem = Problem::TooMany {
                max: MAX_VOTERS,
                got: voters,
            };
            return Err(Malformed::new("members", problem));
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
        // A key that certifies blocks signs nothing else.
        let is_members = |one: &Validator| keys.binary_search(&one.key.id().digest()).is_ok();
        if self.validators.iter().any(is_members) {
            return Err(Malformed::new(
                "validators.key",
                Problem::Format("keys that are no member's"),
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
        for (at, item) in self.catalogue.items.iter().enumerate() {
            let is_owner = |member: &Member| item.owner.as_ref() == Some(&member.org);
            if item.owner.is_some() && !self.members.iter().any(is_owner) {
                let form = Problem::Format("one of the members");
                return Err(Malformed::new(format!("catalogue.items[{at}].owner"), form));
            }
        }
        if self.authorities.is_empty() || self.authorities.len() > 8 {
            return Err(Malformed::new(
                "authorities",
                Problem::Format("1 to 8 certificates"),
            ));
        }
        let parameters = self.parameters.check();
        parameters.map_err(|fault| fault.within("parameters"))?;
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
        ValidatorSet::new(
            self.engine,
            self.validators.iter().map(|one| one.key),
            self.distinguishing_id.clone(),
        )
    }
}
