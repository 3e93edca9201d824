//! What an institution tells its agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use xinqiao_crypto::SecretKey;
use xinqiao_dispatch::pseudonym::UserKey;
use xinqiao_identity::TokenKey;
use xinqiao_ledger::{catalogue::Catalogue, genesis::Genesis, ids::OrgId, item::PseudonymKey};
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
    /// Transport limits.
    pub limits: Limits,
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
