//! What a node is told when it starts. Reading it from files is the command line's work.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    genesis::Genesis,
    ids::{Height, OrgId},
};
use xinqiao_rpc::{Identity, Limits};

use crate::mesh::Ways;

/// What a node is, with what it takes to be that.
pub enum Role {
    /// Proposes and certifies blocks while the ledger names its key among the validators, and follows
    /// them otherwise.
    Validator {
        /// The key that its votes are signed with.
        key: SecretKey,
    },
    /// Follows, executes again, and relays transactions.
    Follower,
    /// Follows and executes again. It has no way to write.
    Observer,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Validator { .. } => "Validator",
            Self::Follower => "Follower",
            Self::Observer => "Observer",
        })
    }
}

/// A node that blocks are followed from and transactions relayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The organisation that its certificate must name.
    pub org: String,
    /// Where it listens: `https://host:port`.
    pub uri: String,
}

/// How much may wait for a block. Beyond it submissions are refused with `MEMPOOL_FULL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Transactions.
    pub txs: usize,
    /// Bytes.
    pub bytes: usize,
    /// Transactions of one signer.
    pub signer_txs: usize,
    /// Bytes of one signer.
    pub signer_bytes: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            txs: 20_000,
            bytes: 64 << 20,
            signer_txs: 10_000,
            signer_bytes: 32 << 20,
        }
    }
}

/// So many blocks behind a validator or follower begins with a snapshot, if it is told nothing else:
/// two checkpoints by the default limits.
const SNAPSHOT_AFTER: Height = 20_000;

/// What a node is told when it starts.
#[derive(Debug)]
pub struct NodeConfig {
    /// Its store's directory; made if it is missing.
    pub data_dir: PathBuf,
    /// What the chain began with.
    pub genesis: Arc<Genesis>,
    /// What it is.
    pub role: Role,
    /// Where it listens; nowhere if it serves its own process alone.
    pub listen: Option<SocketAddr>,
    /// Its TLS identity.
    pub identity: Identity,
    /// Whom it follows and relays to, in order of preference. None for a validator.
    pub upstreams: Vec<Upstream>,
    /// Where members' validators are reached from here, if not where the ledger says.
    pub validators: BTreeMap<OrgId, String>,
    /// So many blocks behind it begins with a snapshot when it is started; never, if none. An observer
    /// has none unless told: it executes every block since the genesis.
    pub snapshot_after: Option<Height>,
    /// How long blocks are kept whole; for ever, if none. What proofs of what is open or in force need
    /// stays in any case.
    pub keep: Option<Duration>,
    /// A validator without its log takes part at once. Right only when all validators begin again
    /// together, after the logs of a quorum were lost.
    pub speak_without_log: bool,
    /// How much may wait.
    pub mempool: MempoolLimits,
    /// The transport's limits.
    pub limits: Limits,
}

impl NodeConfig {
    /// How it reaches validators.
    pub(crate) fn ways(&self) -> Ways {
        Ways {
            identity: self.identity.clone(),
            limits: self.limits.clone(),
            overrides: self.validators.clone(),
        }
    }

    /// A configuration with default limits, that listens nowhere and follows nobody.
    pub fn new(data_dir: PathBuf, genesis: Arc<Genesis>, role: Role, identity: Identity) -> Self {
        let snapshot_after = match role {
            Role::Validator { .. } | Role::Follower => Some(SNAPSHOT_AFTER),
            Role::Observer => None,
        };
        Self {
            data_dir,
            genesis,
            role,
            listen: None,
            identity,
            upstreams: Vec::new(),
            validators: BTreeMap::new(),
            snapshot_after,
            keep: None,
            speak_without_log: false,
            mempool: MempoolLimits::default(),
            limits: Limits::default(),
        }
    }
}
