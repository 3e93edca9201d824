//! The command line's way to a node: mutual TLS, signed transactions, receipts that are checked.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::Mutex;
use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    block::Uncertified,
    genesis::Genesis,
    ids::{ChainId, Height, OrgId, Subject},
    item::PseudonymKey,
    outcome::{Event, Outcome},
    receipt::{self, Proven, Unproven},
    tx::Tx,
    uscc::Uscc,
    validators::{Epochs, Handover},
    wire::{
        self, audit_service_client::AuditServiceClient, ledger_service_client::LedgerServiceClient,
        state_service_client::StateServiceClient,
        submission_service_client::SubmissionServiceClient, tx_body::Action,
    },
};
use xinqiao_rpc::{FaultView, RpcChannel, ledger_fault, limits::MAX_MESSAGE_BYTES, tls};

use crate::{
    config::{self, Loaded, ProfileFile},
    genesis_file, keyfiles,
};

/// How long a command waits for its transaction to be committed, in milliseconds.
const WAIT_MS: u32 = 30_000;

/// How much longer its call may take.
const MARGIN: Duration = Duration::from_secs(5);

/// The pause before it is handed in again to a node that was away.
const AGAIN: Duration = Duration::from_millis(500);

/// A person's connection to a node or an observer.
#[derive(Clone)]
pub struct Client {
    /// The connection.
    pub channel: RpcChannel,
    /// What the chain started from.
    pub genesis: Arc<Genesis>,
    chain: ChainId,
    /// The validators since the genesis, as far as they were needed.
    epochs: Arc<Mutex<Epochs>>,
    profile: Loaded<ProfileFile>,
}

impl Client {
    /// Connects as a profile says.
    pub fn open(profile: &Path) -> Result<Self> {
        let profile: Loaded<ProfileFile> = config::load(profile)?;
        let genesis = Arc::new(genesis_file::read(&profile.path(&profile.file.genesis))?);
        let identity = profile.file.tls.load(&profile.base)?;
        let channel = tls::channel(
            &profile.file.node.uri,
            &identity,
            Some(profile.file.node.org.as_str()),
        )?;
        Ok(Self {
            channel,
            chain: genesis.chain_id(),
            epochs: Arc::new(Mutex::new(Epochs::begin(genesis.validator_set()?))),
            genesis,
            profile,
        })
    }

    /// Reads the chain.
    pub fn ledger(&self) -> LedgerServiceClient<RpcChannel> {
        LedgerServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Reads the state.
    pub fn state(&self) -> StateServiceClient<RpcChannel> {
        StateServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Reads the access log.
    pub fn audit(&self) -> AuditServiceClient<RpcChannel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Checks a receipt against the validators in force at its height. Those that took over since the
    /// genesis are asked for when they are needed, and believed only under the word of those before.
    pub async fn check(&self, receipt: &wire::Receipt) -> Result<Proven> {
        let mut epochs = self.epochs.lock().await;
        match receipt::check(receipt, &epochs, &self.chain) {
            Err(Unproven::Uncertified(Uncertified::OtherValidators)) => {}
            checked => return Ok(checked?),
        }
        loop {
            let wire::GetHandoversResponse { handovers } = self
                .ledger()
                .get_handovers(wire::GetHandoversRequest {
                    after_height: epochs.last_from() - 1,
                })
                .await
                .map_err(explain)?
                .into_inner();
            if handovers.is_empty() {
                return Ok(receipt::check(receipt, &epochs, &self.chain)?);
            }
            for handover in &handovers {
                let id = self.genesis.distinguishing_id.clone();
                let handover = Handover::parse(handover, id)?;
                if handover.header.chain != self.chain {
                    bail!("the node's change of validators is of another chain");
                }
                epochs.hand_over(handover)?;
            }
        }
    }

    /// The organisation that the person acts for.
    pub fn org(&self) -> &OrgId {
        &self.profile.file.org
    }

    /// The organisation's admin key.
    pub fn admin_key(&self) -> Result<SecretKey> {
        let path = self
            .profile
            .file
            .admin_key
            .as_ref()
            .context("the profile names no admin_key, which signing needs")?;
        keyfiles::sm2(&self.profile.path(path))
    }

    /// The pseudonym of an enterprise given by its code.
    pub fn subject(&self, uscc: &str) -> Result<Subject> {
        let path = self.profile.file.pseudonym_key.as_ref().context(
            "the profile names no pseudonym_key, which naming an enterprise by its code needs",
        )?;
        let key = PseudonymKey::from(keyfiles::secret32(&self.profile.path(path))?);
        let uscc: Uscc = uscc.parse()?;
        Ok(key.subject(&uscc))
    }

    /// Where the node stands.
    pub async fn status(&self) -> Result<wire::GetStatusResponse> {
        Ok(self
            .ledger()
            .get_status(wire::GetStatusRequest {})
            .await
            .map_err(explain)?
            .into_inner())
    }

    /// Signs an action with a key, submits it, waits for its commit and checks the receipt.
    pub async fn submit(&self, action: Action, key: &SecretKey) -> Result<Proven> {
        let status = self.status().await?;
        self.submit_before(action, key, status.height + status.max_expiry_window / 2)
            .await
    }

    /// Hands a transaction in, and the same bytes again while the node is away: they are ordered once.
    async fn hand_in(
        &self,
        transaction: wire::Transaction,
    ) -> Result<wire::SubmitTransactionResponse, tonic::Status> {
        let until = Instant::now() + Duration::from_millis(WAIT_MS.into());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut request = tonic::Request::new(wire::SubmitTransactionRequest {
                transaction: Some(transaction.clone()),
                wait_ms: u32::try_from(left.as_millis()).unwrap_or(WAIT_MS).max(1),
            });
            request.set_timeout(left + MARGIN);
            let mut client = SubmissionServiceClient::new(self.channel.clone());
            match client.submit_transaction(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status)
                    if FaultView::from_status(&status).is_transient()
                        && Instant::now() + AGAIN < until =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(status) => return Err(status),
            }
        }
    }

    /// As [`Client::submit`], with the expiry height given.
    pub async fn submit_before(
        &self,
        action: Action,
        key: &SecretKey,
        expires_at: Height,
    ) -> Result<Proven> {
        let transaction = Tx::sign(
            action,
            &self.chain,
            expires_at,
            key,
            &self.genesis.distinguishing_id,
            &mut rand::rng(),
        );
        let answer = self.hand_in(transaction).await.map_err(explain)?;
        let receipt = answer.receipt.ok_or_else(|| {
            anyhow!(
                "transaction {} was taken but not committed within {} s; look for it again with `xinqiao proof receipt`",
                hex::encode(&answer.tx_id),
                WAIT_MS / 1_000
            )
        })?;
        let proven = (self.check(&receipt).await).context("the node's receipt proves nothing")?;
        match proven.outcome() {
            Outcome::Rejected { reason, subject } => {
                Err(explain(ledger_fault::refused(*reason, subject).status()))
            }
            Outcome::Applied(events) => match events.first() {
                Some(Event::AttemptRefused(refused)) => {
                    let refusal = ledger_fault::coded(&refused.reason, &refused.subject);
                    Err(explain(refusal.status()))
                }
                _ => Ok(proven),
            },
        }
    }
}

/// A gRPC error in words: reason code, what happened, what to do.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub fn explain(status: tonic::Status) -> anyhow::Error {
    anyhow::Error::new(Rpc(Box::new(FaultView::from_status(&status))))
}

/// A gRPC call that failed, or a transaction that the ledger refused.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Rpc(pub Box<FaultView>);
