//! The long-running processes. Each says `ready ADDRESS` on its standard output once it serves, and
//! stops in order on SIGTERM or ctrl-C.

use std::{collections::BTreeMap, io::Write, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use secrecy::SecretString;
use xinqiao_agent::{Agent, AgentConfig, UserAccess, UserKey};
use xinqiao_dispatch::turn::{MAX_NODES, Post};
use xinqiao_gateway::{Endpoint, Gateway, GatewayConfig, Quotas};
use xinqiao_holder::{Holder, HolderConfig, HolderLimits, Keys, ReplicaConfig, SourceConfig};
use xinqiao_identity::token::TokenKey;
use xinqiao_ledger::{
    ids::SourceId,
    item::{PseudonymKey, SaltKey},
};
use xinqiao_node::{Node, NodeConfig, Role, Upstream};
use xinqiao_observer::{Observer, ObserverConfig};
use xinqiao_rpc::Limits;

use crate::{
    config::{
        self, AgentFile, GatewayFile, HolderFile, Loaded, NodeFile, NodeRole, ObserverFile,
        OtherUsers, Remote,
    },
    files, genesis_file,
    genesis_signature::Standing,
    keyfiles,
    signals::Asked,
};

/// How to start a process.
#[derive(Debug, Args)]
pub struct Start {
    /// Its configuration file.
    #[arg(long)]
    pub config: PathBuf,
}

/// Tells whoever started this process that it serves. A closed pipe is nobody's concern.
fn ready(address: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "ready {address}");
    let _ = std::io::stdout().flush();
}

fn upstreams(remotes: &[Remote]) -> Vec<Upstream> {
    remotes
        .iter()
        .map(|remote| Upstream {
            org: remote.org.to_string(),
            uri: remote.uri.clone(),
        })
        .collect()
}

/// `xinqiao node`.
pub async fn node(start: &Start) -> Result<()> {
    let asked = Asked::listen()?;
    let loaded: Loaded<NodeFile> = config::load(&start.config)?;
    let file = &loaded.file;
    let _telemetry = file.telemetry.init("node", &file.org)?;
    let genesis = Arc::new(genesis_file::read(&loaded.path(&file.genesis))?);
    if let Some(signatures) = &file.genesis_signatures {
        let signatures: Vec<PathBuf> = signatures.iter().map(|one| loaded.path(one)).collect();
        Standing::of(&genesis, &signatures)?.require()?;
    }
    let role = match (file.role, &file.validator_key) {
        (NodeRole::Validator, Some(key)) => Role::Validator {
            key: keyfiles::sm2(&loaded.path(key))?,
        },
        (NodeRole::Validator, None) => bail!("a validator needs validator_key"),
        (NodeRole::Follower, None) => Role::Follower,
        (NodeRole::Follower, Some(_)) => bail!("a follower has no validator_key: remove it"),
    };
    let mut node = NodeConfig::new(
        loaded.path(&file.data_dir),
        genesis,
        role,
        file.tls.load(&loaded.base)?,
    );
    node.listen = Some(file.listen);
    node.upstreams = upstreams(&file.upstreams);
    node.validators = file.validators.clone();
    node.speak_without_log = file.speak_without_log;
    if let Some(after) = file.snapshot_after {
        node.snapshot_after = (after > 0).then_some(after);
    }
    node.keep = file.keep_days.map(days);
    let handle = Node::start(node, asked.come()).await?;
    ready(handle.local_addr.context("the node listens nowhere")?);
    handle.join().await?;
    Ok(())
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

/// `xinqiao observer`.
pub async fn observer(start: &Start) -> Result<()> {
    let asked = Asked::listen()?;
    let loaded: Loaded<ObserverFile> = config::load(&start.config)?;
    let file = &loaded.file;
    let _telemetry = file.telemetry.init("observer", &file.org)?;
    let genesis = Arc::new(genesis_file::read(&loaded.path(&file.genesis))?);
    let mut observer = ObserverConfig::new(
        loaded.path(&file.data_dir),
        genesis,
        file.tls.load(&loaded.base)?,
    );
    observer.listen = Some(file.listen);
    observer.upstreams = upstreams(&file.upstreams);
    let handle = Observer::start(observer, asked.come()).await?;
    ready(
        handle
            .local_addr()
            .context("the observer listens nowhere")?,
    );
    handle.join().await?;
    Ok(())
}

/// `xinqiao gateway`.
pub async fn gateway(start: &Start) -> Result<()> {
    let asked = Asked::listen()?;
    let loaded: Loaded<GatewayFile> = config::load(&start.config)?;
    let file = &loaded.file;
    let _telemetry = file.telemetry.init("gateway", &file.org)?;
    let endpoint = |remote: &Remote| Endpoint {
        uri: remote.uri.clone(),
        org: remote.org.clone(),
    };
    let policy = file
        .policy
        .as_ref()
        .map(|path| files::text(&loaded.path(path), files::MAX_CONFIG))
        .transpose()?;
    let handle = Gateway::start(
        GatewayConfig {
            org: file.org.clone(),
            identity: file.tls.load(&loaded.base)?,
            listen: file.listen,
            node: endpoint(&file.node),
            holders: holders(file)?,
            genesis: Arc::new(genesis_file::read(&loaded.path(&file.genesis))?),
            signing_key: keyfiles::sm2(&loaded.path(&file.gateway_key))?,
            policy,
            quotas: Quotas::default(),
            turns: file.turns.limits(),
            limits: Limits::default(),
        },
        asked.come(),
    )
    .await?;
    ready(handle.local_addr());
    handle.join().await?;
    Ok(())
}

/// The data-holding nodes that a gateway's configuration file names, by source.
fn holders(file: &GatewayFile) -> Result<BTreeMap<SourceId, Vec<Endpoint>>> {
    let mut holders = BTreeMap::new();
    for held in &file.holders {
        let at = |uri: &String| Endpoint {
            uri: uri.clone(),
            org: file.org.clone(),
        };
        let nodes: Vec<Endpoint> = held.uris.iter().map(at).collect();
        if !(1..=usize::from(MAX_NODES)).contains(&nodes.len()) {
            bail!(
                "holders: {} has {} uris; a source has 1 to {MAX_NODES} data-holding nodes",
                held.source,
                nodes.len()
            );
        }
        if holders.insert(held.source.clone(), nodes).is_some() {
            bail!(
                "holders: {} is there twice; name all of its nodes in one list of uris",
                held.source
            );
        }
    }
    Ok(holders)
}

/// What a holder's configuration file says, with its keys loaded.
pub fn holder_config(loaded: &Loaded<HolderFile>) -> Result<HolderConfig> {
    let file = &loaded.file;
    let sources = file
        .sources
        .iter()
        .map(|source| {
            Ok(SourceConfig {
                source: source.source.clone(),
                name: source.name.clone(),
                mapping: loaded.path(&source.mapping),
                salt_key: SaltKey::from(keyfiles::secret32(&loaded.path(&source.salt_key))?),
                post: Post::new(source.node, source.nodes, source.takeover_after_ms)
                    .with_context(|| format!("source {}", source.source))?,
                max_concurrent: source.max_concurrent,
            })
        })
        .collect::<Result<_>>()?;
    let admin = file
        .admin_key
        .as_ref()
        .map(|key| keyfiles::sm2(&loaded.path(key)))
        .transpose()?;
    Ok(HolderConfig {
        org: file.org.clone(),
        node: file.node.clone(),
        replica: ReplicaConfig {
            data_dir: loaded.path(&file.data_dir),
            genesis: Arc::new(genesis_file::read(&loaded.path(&file.genesis))?),
            upstreams: upstreams(&file.upstreams),
            listen: None,
        },
        identity: file.tls.load(&loaded.base)?,
        listen: file.listen,
        keys: Keys {
            holder: Arc::new(keyfiles::sm2(&loaded.path(&file.holder_key))?),
            admin: admin.map(Arc::new),
            pseudonym: PseudonymKey::from(keyfiles::secret32(&loaded.path(&file.pseudonym_key))?),
        },
        sources,
        spool_dir: loaded.path(&file.spool_dir),
        state_dir: loaded.path(&file.state_dir),
        group_dir: loaded.path(&file.group_dir),
        limits: HolderLimits::default(),
    })
}

/// `xinqiao holder`.
pub async fn holder(start: &Start) -> Result<()> {
    let asked = Asked::listen()?;
    let loaded: Loaded<HolderFile> = config::load(&start.config)?;
    let _telemetry = loaded.file.telemetry.init("holder", &loaded.file.org)?;
    let handle = Holder::start(holder_config(&loaded)?, asked.come()).await?;
    ready(handle.local_addr());
    handle.join().await?;
    Ok(())
}

/// `xinqiao agent`.
pub async fn agent(start: &Start) -> Result<()> {
    let asked = Asked::listen()?;
    let loaded: Loaded<AgentFile> = config::load(&start.config)?;
    let file = &loaded.file;
    let _telemetry = file.telemetry.init("agent", &file.org)?;
    let genesis = Arc::new(genesis_file::read(&loaded.path(&file.genesis))?);
    let token = keyfiles::text(&loaded.path(&file.token_key))?;
    let everyone = match &file.other_users {
        OtherUsers::Queriers => Some(UserAccess::querier(&genesis.catalogue)),
        OtherUsers::Nobody => None,
    };
    let handle = Agent::start(
        AgentConfig {
            org: file.org.clone(),
            node: file.node.clone(),
            group_dir: loaded.path(&file.group_dir),
            identity: file.tls.load(&loaded.base)?,
            listen: file.listen,
            gateway_uri: file.gateway.uri.clone(),
            gateway_org: file.gateway.org.clone(),
            signing_key: keyfiles::sm2(&loaded.path(&file.agent_key))?,
            encryption_key: keyfiles::sm2(&loaded.path(&file.encryption_key))?,
            token_key: TokenKey::from_pem(&SecretString::from(token.to_string()))
                .with_context(|| format!("{} is not usable", file.token_key.display()))?,
            pseudonym_key: PseudonymKey::from(keyfiles::secret32(
                &loaded.path(&file.pseudonym_key),
            )?),
            user_key: UserKey::from(keyfiles::secret32(&loaded.path(&file.user_key))?),
            users: file.users.clone(),
            other_users: everyone,
            service_user: "agent".into(),
            state_dir: loaded.path(&file.state_dir),
            jobs: file.jobs.limits(),
            genesis,
            limits: Limits::default(),
        },
        asked.come(),
    )
    .await?;
    ready(handle.local_addr());
    handle.join().await?;
    Ok(())
}
