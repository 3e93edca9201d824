//! Configuration files of the long-running processes: TOML, overridable by `XINQIAO_…` variables.
//!
//! Paths in a file are relative to the file. Unknown keys are refused, so a typing error is found at
//! the start and not in an audit.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use xinqiao_agent::{JobLimits, UserAccess};
use xinqiao_dispatch::turn::TAKEOVER_MS;
use xinqiao_gateway::TurnLimits;
use xinqiao_ledger::{
    group::NodeName,
    ids::{OrgId, SourceId},
};
use xinqiao_rpc::{Identity, telemetry};

use crate::files;

/// Certificate, key and consortium authority of a process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// The consortium's authority, PEM.
    pub ca: PathBuf,
}

impl Tls {
    /// Loads the identity; paths are relative to `base`.
    pub fn load(&self, base: &Path) -> Result<Identity> {
        Ok(Identity::load(
            base.join(&self.cert),
            base.join(&self.key),
            base.join(&self.ca),
        )?)
    }
}

/// A process of the consortium to connect to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// The organisation that runs it.
    pub org: OrgId,
    /// `https://host:port`.
    pub uri: String,
}

/// Logs and traces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// OTLP collector, `http://host:port`; none for no export.
    pub otlp: Option<String>,
    /// `text` or `json`.
    pub format: Option<String>,
    /// `tracing` directives.
    pub filter: Option<String>,
}

impl Telemetry {
    /// Sets telemetry up for this process.
    pub fn init(&self, service: &str, org: &OrgId) -> Result<telemetry::TelemetryGuard> {
        Ok(telemetry::init(telemetry::TelemetryConfig {
            service_name: format!("xinqiao-{service}"),
            attributes: vec![("xinqiao.org".into(), org.to_string())],
            otlp_endpoint: self.otlp.clone(),
            log_format: self
                .format
                .as_deref()
                .map(str::parse)
                .transpose()?
                .unwrap_or_default(),
            filter: self.filter.clone(),
        })?)
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Proposes and certifies blocks.
    Validator,
    /// Follows and relays.
    Follower,
}

/// `xinqiao node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The organisation that runs it.
    pub org: OrgId,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Signature files of everyone who runs a validator: the node does not start unless all of them agree to
    /// its genesis. Left out, nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_signatures: Option<Vec<PathBuf>>,
    /// What it does.
    pub role: NodeRole,
    /// The SM2 key that a validator's votes are signed with; for validators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator_key: Option<PathBuf>,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Mutual TLS.
    pub tls: Tls,
    /// Nodes to follow; none for a validator.
    #[serde(default)]
    pub upstreams: Vec<Remote>,
    /// A validator whose log is gone takes part at once, instead of keeping silent until the chain has gone
    /// past all that it can have voted for. Right only when all validators begin again together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub speak_without_log: bool,
    /// So many blocks behind it begins with a snapshot of the state when it is started, checked against the
    /// validators' certificates; 0 for never. 20,000 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_after: Option<u64>,
    /// For how many days blocks are kept whole; left out, for ever. What proofs of what is open or in force
    /// need stays in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Where members' validators are reached from here, if not where the ledger says: `https://host:port`
    /// by member.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validators: BTreeMap<OrgId, String>,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// `xinqiao observer`. It has no place for a key that signs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverFile {
    /// The organisation that runs it.
    pub org: OrgId,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Mutual TLS.
    pub tls: Tls,
    /// Nodes to follow.
    pub upstreams: Vec<Remote>,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// One source of a holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its id on the ledger.
    pub source: SourceId,
    /// Its name on the ledger, where it is registered first.
    pub name: String,
    /// The mapping file.
    pub mapping: PathBuf,
    /// The salt key: 64 hexadecimal digits. All nodes of the source have the same.
    pub salt_key: PathBuf,
    /// Records that are read from it at once, at least 1; left out, as many as the holder works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<NonZeroU32>,
    /// How many data-holding nodes serve the source: 1 to 16.
    #[serde(default = "alone", skip_serializing_if = "is_alone")]
    pub nodes: u8,
    /// This one's number among them, counted from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub node: u8,
    /// After how many milliseconds another node takes up what this one shows no sign of: 10 to 60,000. The
    /// same at all nodes.
    #[serde(default = "takeover", skip_serializing_if = "is_usual_takeover")]
    pub takeover_after_ms: u32,
}

fn sync_dir() -> PathBuf {
    "data/sync".into()
}

fn alone() -> u8 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_alone(nodes: &u8) -> bool {
    *nodes == alone()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_first(node: &u8) -> bool {
    *node == 0
}

fn takeover() -> u32 {
    TAKEOVER_MS
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_usual_takeover(after: &u32) -> bool {
    *after == takeover()
}

fn group_dir() -> PathBuf {
    "data/groups".into()
}

/// `xinqiao holder`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderFile {
    /// The organisation that runs it.
    pub org: OrgId,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Data folder of its replica.
    pub data_dir: PathBuf,
    /// Where sealed reports wait for their release and collection.
    pub spool_dir: PathBuf,
    /// Where lists of codes and checkpoints of registration are kept; each node has its own.
    #[serde(default = "sync_dir")]
    pub state_dir: PathBuf,
    /// Where delivery groups with institutions are kept; `data/groups` if it is left out. No copies of it are to
    /// be made: keys lie there, and what is lost is made good by itself.
    #[serde(default = "group_dir")]
    pub group_dir: PathBuf,
    /// Which of the organisation's data-holding nodes this is, for delivery groups; a name of its holder key if it
    /// is left out. Needed where several nodes have one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Mutual TLS.
    pub tls: Tls,
    /// Nodes to follow.
    pub upstreams: Vec<Remote>,
    /// The organisation's holder key, SM2 PEM.
    pub holder_key: PathBuf,
    /// The organisation's admin key, SM2 PEM; needed to register sources only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<PathBuf>,
    /// The consortium's pseudonym key: 64 hexadecimal digits.
    pub pseudonym_key: PathBuf,
    /// The sources.
    pub sources: Vec<SourceFile>,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// `xinqiao gateway`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayFile {
    /// The organisation that runs it.
    pub org: OrgId,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Mutual TLS.
    pub tls: Tls,
    /// The region's node.
    pub node: Remote,
    /// The organisation's gateway key, SM2 PEM: signs refusals.
    pub gateway_key: PathBuf,
    /// Data-holding nodes of this organisation, by source.
    #[serde(default)]
    pub holders: Vec<HolderOf>,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Roles and purposes (casbin); the built-in policy if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// How institutions share this gateway.
    #[serde(default, skip_serializing_if = "TurnsOf::is_default")]
    pub turns: TurnsOf,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// How many orders a gateway puts on the ledger at once, and lets wait. What is left out is as by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnsOf {
    /// Of all institutions at once. 256 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<u32>,
    /// Of one institution at once. 128 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_institution: Option<u32>,
    /// Of one institution that wait. 1,024 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
}

impl TurnsOf {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The limits.
    pub fn limits(&self) -> TurnLimits {
        let default = TurnLimits::default();
        TurnLimits {
            under_way: self.under_way.unwrap_or(default.under_way),
            of_institution: self.of_institution.unwrap_or(default.of_institution),
            waiting: self.waiting.unwrap_or(default.waiting),
        }
    }
}

/// Where a source is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderOf {
    /// The source.
    pub source: SourceId,
    /// `https://host:port` of each of its data-holding nodes, in the order of their numbers.
    pub uris: Vec<String>,
}

/// What users may do whom an agent's configuration does not name. Whether a user is open is for the
/// ledger in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherUsers {
    /// Nothing.
    #[default]
    Nobody,
    /// Query for every purpose of the genesis' catalogue.
    Queriers,
}

/// `xinqiao agent`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFile {
    /// The institution.
    pub org: OrgId,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Where the bank's application asks: loopback only.
    pub listen: SocketAddr,
    /// Mutual TLS towards the gateway.
    pub tls: Tls,
    /// The home region's gateway.
    pub gateway: Remote,
    /// Where its seats in delivery groups are kept; `data/groups` if it is left out. No copies of it are to be
    /// made: keys lie there, and what is lost is made good by itself.
    #[serde(default = "group_dir")]
    pub group_dir: PathBuf,
    /// Which of the institution's machines this is, for delivery groups; a name of its certificate if it is left
    /// out. No two machines have one name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Signs orders, SM2 PEM.
    pub agent_key: PathBuf,
    /// Opens reports, SM2 PEM.
    pub encryption_key: PathBuf,
    /// Signs access tokens, P-256 PEM.
    pub token_key: PathBuf,
    /// The consortium's pseudonym key: 64 hexadecimal digits.
    pub pseudonym_key: PathBuf,
    /// The institution's own key for its users' pseudonyms: 64 hexadecimal digits.
    pub user_key: PathBuf,
    /// What users may do, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, UserAccess>,
    /// What users may do who are not in `users`.
    #[serde(default)]
    pub other_users: OtherUsers,
    /// Where orders, answers and jobs are kept that must outlast the agent, encrypted.
    #[serde(default = "agent_state")]
    pub state_dir: PathBuf,
    /// Jobs.
    #[serde(default, skip_serializing_if = "JobsOf::is_default")]
    pub jobs: JobsOf,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

fn agent_state() -> PathBuf {
    "data/agent".into()
}

/// How many jobs an agent has, and how much it does at once for them. What is left out is as by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobsOf {
    /// Queries of all jobs that go side by side. 16 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Jobs of one user that have not ended. 8 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_of_user: Option<usize>,
    /// For how many days a job is kept after its end. 7 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// MiB of reports that are kept. 8,192 if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_mib: Option<u32>,
}

impl JobsOf {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The limits.
    pub fn limits(&self) -> JobLimits {
        let default = JobLimits::default();
        JobLimits {
            concurrency: self.concurrency.unwrap_or(default.concurrency),
            open_of_user: self.open_of_user.unwrap_or(default.open_of_user),
            keep_days: self.keep_days.unwrap_or(default.keep_days),
            state_bytes: (self.state_mib).map_or(default.state_bytes, |mib| u64::from(mib) << 20),
            ..default
        }
    }
}

/// How a person at the command line reaches a node: `--profile`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// The organisation that the person acts for.
    pub org: OrgId,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Mutual TLS.
    pub tls: Tls,
    /// The node or observer to ask.
    pub node: Remote,
    /// The organisation's admin key, SM2 PEM; needed to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<PathBuf>,
    /// The consortium's pseudonym key; needed to name enterprises by their codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym_key: Option<PathBuf>,
}

/// A configuration with the folder that its paths are relative to.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// What the file says.
    pub file: T,
    /// The file's folder.
    pub base: PathBuf,
}

impl<T> Loaded<T> {
    /// A path of the file, from here.
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.base.join(relative)
    }
}

/// Reads a configuration file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Loaded<T>> {
    anyhow::ensure!(
        path.exists(),
        "there is no configuration file {}",
        path.display()
    );
    let text = files::text(path, files::MAX_CONFIG)?;
    let file = Figment::new()
        .merge(Toml::string(&text))
        .merge(Env::prefixed("XINQIAO_CONFIG_").split("__"))
        .extract()
        .with_context(|| format!("{} is not usable", path.display()))?;
    let base = std::path::absolute(path)?
        .parent()
        .unwrap_or(Path::new("/"))
        .to_owned();
    Ok(Loaded { file, base })
}
