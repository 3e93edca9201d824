//! What an observer is told when it starts. There is no key that signs among it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use xinqiao_ledger::genesis::Genesis;
use xinqiao_node::{NodeConfig, Role, Upstream};
use xinqiao_rpc::{Identity, Limits, Role as Process};

use crate::error::Error;

/// What an observer is told when it starts.
#[derive(Debug)]
pub struct ObserverConfig {
    /// Its store's directory; made if it is missing.
    pub data_dir: PathBuf,
    /// What the chain began with.
    pub genesis: Arc<Genesis>,
    /// Its TLS identity, which must be an observer's: `xinqiao://<org>/observer`. Nodes take no
    /// transaction from such a certificate.
    pub identity: Identity,
    /// Where it listens; nowhere if it serves its own process alone.
    pub listen: Option<SocketAddr>,
    /// Nodes that it follows, in order of preference. At least one.
    pub upstreams: Vec<Upstream>,
    /// The transport's limits.
    pub limits: Limits,
}

impl ObserverConfig {
    /// A configuration with default limits, that listens nowhere and follows nobody yet.
    pub fn new(data_dir: PathBuf, genesis: Arc<Genesis>, identity: Identity) -> Self {
        Self {
            data_dir,
            genesis,
            identity,
            listen: None,
            upstreams: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// The node that this comes to.
    pub(crate) fn into_node(self) -> Result<NodeConfig, Error> {
        let own = self.identity.own();
        if own.role != Process::Observer {
            return Err(Error::NotObserver {
                org: own.org.clone(),
                role: own.role,
            });
        }
        let mut node = NodeConfig::new(self.data_dir, self.genesis, Role::Observer, self.identity);
        node.listen = self.listen;
        node.upstreams = self.upstreams;
        node.limits = self.limits;
        Ok(node)
    }
}
