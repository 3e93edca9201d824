//! What a data-holding node is told when it starts. Reading it from files is the command line's work.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use xinqiao_crypto::SecretKey;
use xinqiao_dispatch::turn::Post;
use xinqiao_ledger::{
    genesis::Genesis,
    group::NodeName,
    ids::{OrgId, SourceId},
    item::{PseudonymKey, SaltKey},
};
use xinqiao_node::Upstream;
use xinqiao_rpc::Identity;

/// What a data-holding node is told when it starts.
pub struct HolderConfig {
    /// The organisation that runs it.
    pub org: OrgId,
    /// Which of the organisation's nodes it is, for delivery groups; none: a name of its key. Two nodes with
    /// one key need names, or their groups take each other's place again and again.
    pub node: Option<NodeName>,
    /// Its own replica.
    pub replica: ReplicaConfig,
    /// Its TLS identity, towards upstreams and towards gateways.
    pub identity: Identity,
    /// Where gateways fetch sealed reports.
    pub listen: SocketAddr,
    /// Its keys.
    pub keys: Keys,
    /// The sources that it serves.
    pub sources: Vec<SourceConfig>,
    /// Where sealed reports are kept until they are fetched; made if it is missing.
    pub spool_dir: PathBuf,
    /// Where lists of codes and checkpoints of registration are kept; made if it is missing.
    pub state_dir: PathBuf,
    /// Where delivery groups are kept; made if it is missing. Keys lie there: no copies, no backups. What is lost
    /// is made good by itself.
    pub group_dir: PathBuf,
    /// How much at once, and for how long.
    pub limits: HolderLimits,
}

/// The replica that a data-holding node believes, and nobody else.
pub struct ReplicaConfig {
    /// Its store's directory; made if it is missing.
    pub data_dir: PathBuf,
    /// What the chain began with.
    pub genesis: Arc<Genesis>,
    /// Whom it follows and relays to.
    pub upstreams: Vec<Upstream>,
    /// Where it serves the ledger to others; nowhere if none.
    pub listen: Option<SocketAddr>,
}

/// The keys of a data-holding node.
#[derive(Clone)]
pub struct Keys {
    /// Signs digests and deliveries. Registered with role holder.
    pub holder: Arc<SecretKey>,
    /// The organisation's admin key, where the node may register its own sources.
    pub admin: Option<Arc<SecretKey>>,
    /// The consortium's pseudonym key.
    pub pseudonym: PseudonymKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keys(holder {})", self.holder.public().id())
    }
}

/// One source.
#[derive(Clone)]
pub struct SourceConfig {
    /// Its id on the ledger.
    pub source: SourceId,
    /// Its name on the ledger, when this node registers it. 1 to 128 bytes of text.
    pub name: String,
    /// The mapping file.
    pub mapping: PathBuf,
    /// Its salt key, which never leaves the source's nodes.
    pub salt_key: SaltKey,
    /// This node's place among those that serve the source.
    pub post: Post,
    /// Records that are read from it at once, at least 1; what it bears beside its own work. None for as many as
    /// the node works on.
    pub max_concurrent: Option<NonZeroU32>,
}

impl std::fmt::Debug for SourceConfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SourceConfig({})", self.source)
    }
}

/// How much a data-holding node does at once, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderLimits {
    /// Parts that are read, sealed or recorded at once; others wait their turn.
    pub parts: usize,
    /// How long a source may take to give one record.
    pub read_timeout: Duration,
    /// After how long a part that is still being read is taken up on the ledger, so that those who
    /// wait see that its source is at work. A part that is read sooner needs no such transaction.
    pub accept_after: Duration,
    /// After how long a submission that shows nowhere is handed in again.
    pub resubmit_after: Duration,
    /// Most bytes of sealed reports on disk.
    pub spool_bytes: u64,
    /// How long a sealed report that nobody confirms is kept.
    pub spool_age: Duration,
    /// Most bytes of released reports in memory; the others are read from disk again.
    pub shelf_bytes: u64,
    /// Calls that may wait for a part at once.
    pub waiting_calls: usize,
}

impl Default for HolderLimits {
    fn default() -> Self {
        Self {
            parts: 256,
            read_timeout: Duration::from_secs(5),
            accept_after: Duration::from_millis(500),
            resubmit_after: Duration::from_secs(2),
            spool_bytes: 4 << 30,
            spool_age: Duration::from_secs(7 * 86_400),
            shelf_bytes: 128 << 20,
            waiting_calls: 4_096,
        }
    }
}
