//! What an operator tells a gateway.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, sync::Arc};

use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    genesis::Genesis,
    ids::{OrgId, SourceId},
};
use xinqiao_rpc::{Identity, Limits};

use crate::turns::TurnLimits;

/// Where a process listens, and whose it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port`.
    pub uri: String,
    /// The organisation that its certificate must name.
    pub org: OrgId,
}

/// So many calls a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate with a burst of that many; none of them 0 (0 is taken for 1).
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

/// How many calls institutions and their users may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// One institution, all of its users together.
    pub institution: Rate,
    /// One user.
    pub user: Rate,
}

impl Default for Quotas {
    /// A query of two parts takes about six calls, and eight where delivery groups are in force: room for 600
    /// such queries a second of one institution, and 300 of one user.
    fn default() -> Self {
        Self {
            institution: Rate::new(5_000, 10_000),
            user: Rate::new(2_500, 5_000),
        }
    }
}

/// A gateway's configuration.
#[derive(Debug)]
pub struct GatewayConfig {
    /// The bureau that runs it.
    pub org: OrgId,
    /// Its certificate, of role `gateway`.
    pub identity: Identity,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The region's own node.
    pub node: Endpoint,
    /// The data-holding nodes behind this gateway, by the source that they serve; those of one source in
    /// the order of their numbers, 1 to [`MAX_NODES`].
    ///
    /// [`MAX_NODES`]: xinqiao_dispatch::turn::MAX_NODES
    pub holders: BTreeMap<SourceId, Vec<Endpoint>>,
    /// What everyone starts from: chain id and distinguishing id.
    pub genesis: Arc<Genesis>,
    /// Signs the refusals that it records; registered for [`GatewayConfig::org`] as a gateway key.
    pub signing_key: SecretKey,
    /// The role policy, as the text of a casbin CSV file; none for the default one.
    pub policy: Option<String>,
    /// Quotas.
    pub quotas: Quotas,
    /// How many orders are put on the ledger at once, and wait for that.
    pub turns: TurnLimits,
    /// Transport limits.
    pub limits: Limits,
}
