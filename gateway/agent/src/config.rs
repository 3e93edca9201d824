//! What an institution tells its agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use xinqiao_crypto::SecretKey;
use xinqiao_dispatch::pseudonym::UserKey;
use xinqiao_identity::TokenKey;
use xinqiao_ledger::{
    catalogue::Catalogue, genesis::Genesis, group::NodeName, ids::OrgId, item::PseudonymKey,
};
use xinqiao_rpc::{Identity, Limits};

/// What one user of the institution may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAccess {
    /// Roles of the gateway's policy, such as `bank.querier`. At most 16.
    pub roles: BTreeSet<String>,
    /// Purposes that the user is approved for. At most 16.
    pub purposes: BTreeSet<String>,
}

impl UserAccess {
    /// The role `bank.querier` with the first 16 purposes of a catalogue.
    #[must_use]
    pub fn querier(catalogue: &Catalogue) -> Self {
        Self {
            roles: BTreeSet::from(["bank.querier".to_owned()]),
            purposes: (catalogue.purposes.iter().take(16))
                .map(|purpose| purpose.code.to_string())
                .collect(),
        }
    }
}

/// An agent's configuration.
pub struct AgentConfig {
    /// The institution.
    pub org: OrgId,
    /// Which of the institution's machines this is, for delivery groups; none: a name of its certificate. No
    /// two machines have one name.
    pub node: Option<NodeName>,
    /// Where its seats in delivery groups are kept; made if it is missing. Keys lie there: no copies, no
    /// backups. What is lost is made good by itself.
    pub group_dir: PathBuf,
    /// Its certificate, of role `agent`.
    pub identity: Identity,
    /// Where its applications reach it: a loopback address.
    pub listen: SocketAddr,
    /// The home gateway: `https://host:port`.
    pub gateway_uri: String,
    /// The bureau that runs the home gateway.
    pub gateway_org: OrgId,
    /// What everyone starts from: validators, against whom receipts are checked, chain id, parameters.
    pub genesis: Arc<Genesis>,
    /// Signs orders and verdicts; registered for the institution as an agent key.
    pub signing_key: SecretKey,
    /// Reports are sealed to it; registered as an encryption key.
    pub encryption_key: SecretKey,
    /// Signs user tokens; registered as a token key.
    pub token_key: TokenKey,
    /// The consortium's key for subjects' pseudonyms.
    pub pseudonym_key: PseudonymKey,
    /// The institution's own key for its users' pseudonyms.
    pub user_key: UserKey,
    /// What users may do, by the name that the institution's applications use.
    pub users: BTreeMap<String, UserAccess>,
    /// What any user may do who is not in `users`; none: nothing, the agent refuses. Whether a user is
    /// open is for the ledger, which records an attempt of one who is not.
    pub other_users: Option<UserAccess>,
    /// The user in whose name catalogue and grants are handled.
    pub service_user: String,
    /// Where orders, answers and jobs are kept that must outlast the agent; made if it is missing. What is in it
    /// is encrypted under the encryption key.
    pub state_dir: PathBuf,
    /// How many jobs, and how much at once.
    pub jobs: JobLimits,
    /// Transport limits.
    pub limits: Limits,
}

/// How many jobs an agent has, and how much it does at once for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Queries of all jobs that go side by side.
    pub concurrency: u32,
    /// Jobs in all, those that have ended too. At most 1,000.
    pub jobs: usize,
    /// Jobs of one user that have not ended.
    pub open_of_user: usize,
    /// For how many days a job is kept after its end.
    pub keep_days: u32,
    /// Bytes of reports in the state folder. When they are reached, jobs wait.
    pub state_bytes: u64,
}

impl JobLimits {
    /// How long a job is kept after its end, in milliseconds.
    pub(crate) fn keep_ms(&self) -> u64 {
        u64::from(self.keep_days) * 86_400_000
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            jobs: 256,
            open_of_user: 8,
            keep_days: 7,
            state_bytes: 8 << 30,
        }
    }
}

impl std::fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentConfig")
            .field("org", &self.org)
            .field("listen", &self.listen)
            .field("gateway_uri", &self.gateway_uri)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}
