//! Configuration files of the long-running processes: TOML, overridable by `XINQIAO_…` variables.
//!
//! Paths in a file are relative to the file. Unknown keys are refused, so a typing error is found at
//! the start and not in an audit.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use xinqiao_agent::UserAccess;
use xinqiao_ledger::ids::{OrgId, SourceId};
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
    /// The salt key: 64 hexadecimal digits.
    pub salt_key: PathBuf,
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
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// Where a source is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderOf {
    /// The source.
    pub source: SourceId,
    /// `https://host:port` of its data-holding node.
    pub uri: String,
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
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
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
