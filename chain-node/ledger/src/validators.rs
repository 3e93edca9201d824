//! Who certifies blocks: validators, the sets of them, and which set is in force at which height.
//!
//! Each header names the set that certifies it and the set that certifies the next one. So the sets
//! since the genesis hand over to each other under their own signatures, and whoever holds the
//! genesis can follow them offline: see [`Epochs::hand_over`].

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{Digest, DistinguishingId, KeyId, PublicKey, merkle, sm3_parts};

use crate::{
    block::{Certificate, Header, Uncertified},
    ids::{Height, OrgId},
    malformed::{Malformed, Problem, fixed, list, required},
    member::sm2_key,
    text::Endpoint,
    wire,
};

/// The most validators.
pub const MAX_VALIDATORS: usize = 128;

/// How blocks are agreed on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Engine {
    /// One validator.
    Solo = 1,
    /// Raft: any minority may crash; nobody may lie.
    Raft = 2,
    /// Tendermint, of the PBFT family: fewer than a third may crash or lie.
    Bft = 3,
}

impl Engine {
    /// Every engine there is.
    pub const ALL: [Self; 3] = [Self::Solo, Self::Raft, Self::Bft];

    /// How many of so many validators certify a block.
    pub fn quorum(self, validators: usize) -> usize {
        match self {
            Self::Solo => validators,
            Self::Raft => validators / 2 + 1,
            Self::Bft => validators * 2 / 3 + 1,
        }
    }

    /// The fewest validators with which it tolerates what it is there to tolerate: one fault.
    pub fn least(self) -> usize {
        match self {
            Self::Solo => 1,
            Self::Raft => 3,
            Self::Bft => 4,
        }
    }

    /// Parses a field.
    ///
    /// # Errors
    /// When it was left out or has a value that nobody defined.
    pub fn parse(field: &str, value: i32) -> Result<Self, Malformed> {
        match wire::ConsensusEngine::try_from(value) {
            Ok(wire::ConsensusEngine::Solo) => Ok(Self::Solo),
            Ok(wire::ConsensusEngine::Raft) => Ok(Self::Raft),
            Ok(wire::ConsensusEngine::Bft) => Ok(Self::Bft),
            Ok(wire::ConsensusEngine::Unspecified) => Err(Malformed::new(field, Problem::Required)),
            Err(_) => Err(Malformed::new(field, Problem::UnknownEnum(value))),
        }
    }

    /// The wire value.
    pub fn to_wire(self) -> i32 {
        match self {
            Self::Solo => wire::ConsensusEngine::Solo as i32,
            Self::Raft => wire::ConsensusEngine::Raft as i32,
            Self::Bft => wire::ConsensusEngine::Bft as i32,
        }
    }
}

/// A validator: a member's node that proposes and certifies blocks.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// The member that runs it. One member runs one validator at most.
    pub org: OrgId,
    /// The key that its votes are signed with.
    pub key: PublicKey,
    /// Where other validators reach it: `https://host:port`.
    pub endpoint: Endpoint,
}

impl TryFrom<&wire::Validator> for Validator {
    type Error = Malformed;

    fn try_from(wire: &wire::Validator) -> Result<Self, Malformed> {
        Ok(Self {
            org: OrgId::parse("org", &wire.org)?,
            key: sm2_key("public_key", &wire.public_key)?,
            endpoint: validator_endpoint("endpoint", &wire.endpoint)?,
        })
    }
}

impl From<&Validator> for wire::Validator {
    fn from(validator: &Validator) -> Self {
        Self {
            org: validator.org.to_string(),
            public_key: validator.key.to_sec1().to_vec(),
            endpoint: validator.endpoint.to_string(),
        }
    }
}

/// Where other validators reach one: `https://host:port`.
pub(crate) fn validator_endpoint(field: &str, value: &str) -> Result<Endpoint, Malformed> {
    let endpoint = Endpoint::parse(field, value)?;
    if value.is_empty() {
        return Err(Malformed::new(field, Problem::Required));
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let (host, port) = value
        .strip_prefix("https://")
        .and_then(|rest| rest.rsplit_once(':'))
        .unwrap_or_default();
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    if is_host && is_port(port) {
        Ok(endpoint)
    } else {
        Err(Malformed::new(field, Problem::Format("https://host:port")))
    }
}

/// The validators in force at a height, how they agree, and the distinguishing id that they sign
/// under. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet(Arc<Prepared>);

/// What every certificate would otherwise compute again.
#[derive(Debug, PartialEq, Eq)]
struct Prepared {
    engine: Engine,
    /// By ascending id.
    keys: Vec<(KeyId, PublicKey)>,
    id: DistinguishingId,
    hash: Digest,
}

impl ValidatorSet {
    /// A set of 1 to [`MAX_VALIDATORS`] keys; ordered by key id.
    ///
    /// # Errors
    /// When it is empty, too large for its engine or at all, or names a key twice.
    pub fn new(
        engine: Engine,
        keys: impl IntoIterator<Item = PublicKey>,
        id: DistinguishingId,
    ) -> Result<Self, Malformed> {
        let mut keys: Vec<(KeyId, PublicKey)> =
            keys.into_iter().map(|key| (key.id(), key)).collect();
        let fault = |problem| Err(Malformed::new("validators", problem));
        let max = match engine {
            Engine::Solo => 1,
            Engine::Raft | Engine::Bft => MAX_VALIDATORS,
        };
        if keys.is_empty() {
            return fault(Problem::Required);
        }
        if keys.len() > max {
            return fault(Problem::TooMany {
                max,
                got: keys.len(),
            });
        }
        keys.sort_by_key(|(id, _)| *id);
        if keys.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return fault(Problem::Format("keys that differ"));
        }
        let leaves: Vec<Digest> = keys
            .iter()
            .map(|(_, key)| merkle::leaf_hash(&key.to_sec1()))
            .collect();
        let hash = sm3_parts(&[
            b"xinqiao/validators/v1",
            &[engine as u8],
            merkle::root(&leaves).as_bytes(),
        ]);
        Ok(Self(Arc::new(Prepared {
            engine,
            keys,
            id,
            hash,
        })))
    }

    /// How they agree.
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Key ids and keys, by ascending id.
    pub fn keys(&self) -> &[(KeyId, PublicKey)] {
        &self.0.keys
    }

    /// How many validators there are.
    pub fn count(&self) -> usize {
        self.0.keys.len()
    }

    /// The distinguishing id that they sign under.
    pub fn distinguishing_id(&self) -> &DistinguishingId {
        &self.0.id
    }

    /// Hash of the set, as headers name it: over the engine and all keys.
    pub fn hash(&self) -> Digest {
        self.0.hash
    }

    /// How many signatures certify a header.
    pub fn quorum(&self) -> usize {
        self.engine().quorum(self.count())
    }

    /// The validator of that id.
    pub fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        let found = self.0.keys.binary_search_by_key(id, |(id, _)| *id);
        found.ok().map(|place| &self.0.keys[place].1)
    }

    /// Parses a set whose distinguishing id is the chain's.
    ///
    /// # Errors
    /// When it is no set.
    pub fn parse(wire: &wire::ValidatorSet, id: DistinguishingId) -> Result<Self, Malformed> {
        let engine = Engine::parse("engine", wire.engine)?;
        let keys = list("keys", &wire.keys, 1, MAX_VALIDATORS, |field, bytes| {
            let bytes = fixed::<33>(field, bytes)?;
            PublicKey::try_from(&bytes[..]).map_err(|_| {
                Malformed::new(field, Problem::Format("a compressed point of the curve"))
            })
        })?;
        let set = Self::new(engine, keys.iter().copied(), id)?;
        if set.keys().iter().map(|(_, key)| *key).ne(keys) {
            return Err(Malformed::new("keys", Problem::NotAscending));
        }
        Ok(set)
    }
}

impl From<&ValidatorSet> for wire::ValidatorSet {
    fn from(set: &ValidatorSet) -> Self {
        Self {
            engine: set.engine().to_wire(),
            keys: set
                .keys()
                .iter()
                .map(|(_, key)| key.to_sec1().to_vec())
                .collect(),
        }
    }
}

/// A header under its certificate that names other validators for the next height, and those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The header.
    pub header: Header,
    /// By the validators that hand over.
    pub certificate: Certificate,
    /// Those that they hand over to, from the next height on.
    pub validators: ValidatorSet,
}

impl Handover {
    /// Parses a handover of a chain whose signatures have that distinguishing id.
    ///
    /// # Errors
    /// When a part of it is malformed.
    pub fn parse(wire: &wire::Handover, id: DistinguishingId) -> Result<Self, Malformed> {
        let certificate = required("certificate", wire.certificate.as_ref())?;
        let validators = required("validators", wire.validators.as_ref())?;
        Ok(Self {
            header: Header::parse(&wire.header)?,
            certificate: Certificate::try_from(certificate)
                .map_err(|fault| fault.within("certificate"))?,
            validators: ValidatorSet::parse(validators, id)
                .map_err(|fault| fault.within("validators"))?,
        })
    }
}

impl From<&Handover> for wire::Handover {
    fn from(handover: &Handover) -> Self {
        Self {
            header: handover.header.encode(),
            certificate: Some((&handover.certificate).into()),
            validators: Some((&handover.validators).into()),
        }
    }
}

/// Why a handover is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHandedOver {
    /// It comes before an earlier one.
    #[error("the handover at height {got} does not come after the one at height {last}")]
    OutOfOrder {
        /// Height of the last one.
        last: Height,
        /// Height of this one.
        got: Height,
    },
    /// The validators in force did not certify its header.
    #[error(transparent)]
    Uncertified(#[from] Uncertified),
    /// The header names other validators for the next height.
    #[error("the header at height {0} hands over to other validators")]
    OtherValidators(Height),
}

/// The validator sets of a chain, each with the first height at which it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs(Vec<(Height, ValidatorSet)>);

impl Epochs {
    /// Those of the genesis alone.
    pub fn begin(first: ValidatorSet) -> Self {
        Self(vec![(1, first)])
    }

    /// The set in force at a height, as far as is known: a later handover may not be.
    pub fn at(&self, height: Height) -> &ValidatorSet {
        let after = self.0.partition_point(|(from, _)| *from <= height);
        &self.0[after.saturating_sub(1)].1
    }

    /// The first height at which the set in force at a height is in force.
    pub fn since(&self, height: Height) -> Height {
        let after = self.0.partition_point(|(from, _)| *from <= height);
        self.0[after.saturating_sub(1)].0
    }

    /// The last set known.
    pub fn last(&self) -> &ValidatorSet {
        &self.0[self.0.len() - 1].1
    }

    /// The first height of the last set known.
    pub fn last_from(&self) -> Height {
        self.0[self.0.len() - 1].0
    }

    /// All sets with their first heights, in order.
    pub fn all(&self) -> &[(Height, ValidatorSet)] {
        &self.0
    }

    /// Adds a set that this node has itself come to, in force from that height on.
    pub fn push(&mut self, from: Height, set: ValidatorSet) {
        debug_assert!(from > self.last_from(), "epochs go forward");
        self.0.push((from, set));
    }

    /// Adds the set that the one before it hands over to, after checking its word.
    ///
    /// # Errors
    /// [`NotHandedOver`]; then nothing is added.
    pub fn hand_over(&mut self, handover: Handover) -> Result<(), NotHandedOver> {
        let Handover {
            header,
            certificate,
            validators,
        } = handover;
        let (height, next) = (header.height, header.next_validators);
        let last = self.last_from() - 1;
        if height <= last {
            return Err(NotHandedOver::OutOfOrder { last, got: height });
        }
        certificate.check(header, self.last())?;
        if next != validators.hash() || next == self.last().hash() {
            return Err(NotHandedOver::OtherValidators(height));
        }
        self.push(height + 1, validators);
        Ok(())
    }
}
