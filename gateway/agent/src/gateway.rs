//! The home gateway, as this agent calls it: each call with a fresh token of the user who acts, a
//! deadline, and the receipts checked against the genesis. What a gateway says without a receipt is
//! believed only where it can do no harm: heights, names, and which grants to try.

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tonic::{Code, Request, Response, Status, metadata::MetadataValue};
use xinqiao_crypto::{DistinguishingId, SecretKey, VerifierCache};
use xinqiao_identity::{TokenIssuer, TokenRequest};
use xinqiao_ledger::{
    block::Uncertified,
    ids::{ChainId, Height, OrgId, Subject, TxId, UserId},
    outcome::Outcome,
    receipt::{self, Proven, Unproven},
    tx::{Tx, id_of},
    validators::{Epochs, Handover},
    wire::{
        self, consent_service_client::ConsentServiceClient,
        directory_service_client::DirectoryServiceClient, order_service_client::OrderServiceClient,
    },
};
use xinqiao_rpc::{Fault, FaultView, Reason, RpcChannel, ledger_fault, limited};

use crate::{
    config::UserAccess,
    persistence::{Next, Tries},
};

/// How long a token lives, in seconds. It is used once and at once.
const TOKEN_SECONDS: u64 = 60;

/// How long an ordinary question may take, with all its tries.
pub(crate) const ASK: Duration = Duration::from_secs(10);

/// How long one try of a call may take that waits for a block: longer than a gateway waits for its node.
const COMMIT: Duration = Duration::from_secs(16);

/// How long a transaction is handed in for, with all its tries.
const HAND_IN: Duration = Duration::from_secs(30);

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A user of the institution, as the gateway gets to know it.
#[derive(Debug, Clone)]
pub(crate) struct Acting {
    pub(crate) user: UserId,
    pub(crate) access: UserAccess,
}

/// The home gateway.
pub(crate) struct HomeGateway {
    pub(crate) channel: RpcChannel,
    pub(crate) org: OrgId,
    pub(crate) tokens: TokenIssuer,
    pub(crate) chain: ChainId,
    /// The validators since the genesis, as far as they were heard of and proved it.
    pub(crate) epochs: RwLock<Epochs>,
    /// Validators' keys, prepared: each answer has a certificate of theirs.
    pub(crate) known: VerifierCache,
    pub(crate) distinguishing_id: DistinguishingId,
    pub(crate) signing_key: Arc<SecretKey>,
    /// How many blocks a transaction's expiry may lie ahead, as far as it was heard of.
    pub(crate) max_expiry_window: AtomicU64,
    pub(crate) height: AtomicU64,
}

impl HomeGateway {
    pub(crate) fn orders(&self) -> OrderServiceClient<RpcChannel> {
        limited!(OrderServiceClient::new(self.channel.clone()))
    }

    fn consents(&self) -> ConsentServiceClient<RpcChannel> {
        limited!(ConsentServiceClient::new(self.channel.clone()))
    }

    /// A request in the name of a user.
    pub(crate) fn request<T>(
        &self,
        acting: &Acting,
        message: T,
        timeout: Duration,
    ) -> Result<Request<T>, Status> {
        let claims = TokenRequest {
            audience: self.org.to_string(),
            user_pseudonym: acting.user.to_string(),
            roles: acting.access.roles.clone(),
            purposes: acting.access.purposes.clone(),
            lifetime_seconds: TOKEN_SECONDS,
        };
        let unusable = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "no token can be issued");
            Fault::new(Reason::Internal).status()
        };
        let token = self
            .tokens
            .issue(&claims, now_ms() / 1_000)
            .map_err(|error| unusable(&error))?;
        let mut header =
            MetadataValue::try_from(format!("Bearer {token}")).map_err(|error| unusable(&error))?;
        header.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", header);
        request.set_timeout(timeout);
        Ok(request)
    }

    /// The highest block that the agent has heard of.
    pub(crate) fn height(&self) -> Height {
        self.height.load(Ordering::Relaxed)
    }

    fn heard_of(&self, height: Height) {
        self.height.fetch_max(height, Ordering::Relaxed);
    }

    pub(crate) async fn directory(
        &self,
        acting: &Acting,
    ) -> Result<Arc<wire::GetDirectoryResponse>, Status> {
        let message = wire::GetDirectoryRequest {
            handovers_after_height: self.epochs().last_from() - 1,
        };
        let get = |request| {
            let mut directory = limited!(DirectoryServiceClient::new(self.channel.clone()));
            async move { directory.get_directory(request).await }
        };
        let directory = self.asked(acting, message, get).await?;
        if directory.chain_id != self.chain.as_bytes() {
            return Err(Fault::new(Reason::ChainIdMismatch)
                .because("the gateway is of another chain than the genesis")
                .status());
        }
        self.follow(&directory.handovers)?;
        self.heard_of(directory.height);
        (self.max_expiry_window).store(directory.max_expiry_window, Ordering::Relaxed);
        Ok(Arc::new(directory))
    }

    pub(crate) async fn grants(
        &self,
        acting: &Acting,
        subject: &Subject,
    ) -> Result<Vec<wire::GrantState>, Status> {
        let message = wire::ListConsentsRequest {
            subject: subject.to_vec(),
        };
        let list = |request| {
            let mut consents = self.consents();
            async move { consents.list_consents(request).await }
        };
        Ok(self.asked(acting, message, list).await?.grants)
    }

    /// Signs a transaction with the institution's agent key.
    pub(crate) fn sign(&self, action: wire::tx_body::Action) -> (wire::Transaction, TxId) {
        let window = self.max_expiry_window.load(Ordering::Relaxed);
        // The height may be known from another region's receipt before the own gateway's node has come so far: to it the
        // whole window from there would reach too far.
        let lifetime = window - window / 4;
        let tx = Tx::sign(
            action,
            &self.chain,
            self.height().saturating_add(lifetime),
            &self.signing_key,
            &self.distinguishing_id,
            &mut rand::rng(),
        );
        let id = id_of(&self.chain, &self.signing_key.public().id(), &tx.body);
        (tx, id)
    }

    /// Signs an action and hands it in, again and again with the same bytes while nothing certain is heard,
    /// for at most [`HAND_IN`]. A vote may have shortened the window for expiries since the agent heard of
    /// it, or the chain have gone far: then it asks anew, and signs once more.
    async fn hand_in<M, R, F>(
        &self,
        acting: &Acting,
        action: &wire::tx_body::Action,
        message: impl Fn(Option<wire::Transaction>) -> M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<(TxId, R), Status>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let until = Instant::now() + HAND_IN;
        let mut tries = Tries::new();
        loop {
            let (tx, id) = self.sign(action.clone());
            let handed =
                (self.hand_in_signed(acting, &mut tries, until, (&tx, id), &message, &call)).await;
            match handed {
                Ok(answer) => return Ok((id, answer)),
                Err(NoAnswer::Void(_)) => self.directory(acting).await?,
                Err(NoAnswer::For(status)) => return Err(status),
            };
        }
    }

    /// Hands in the same bytes until something certain is heard.
    async fn hand_in_signed<M, R, F>(
        &self,
        acting: &Acting,
        tries: &mut Tries,
        until: Instant,
        (tx, id): (&wire::Transaction, TxId),
        message: impl Fn(Option<wire::Transaction>) -> M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<R, NoAnswer>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Each try with a token of its own: a gateway takes a token once.
            let request = (self.request(acting, message(Some(tx.clone())), left.min(COMMIT)))
                .map_err(NoAnswer::For)?;
            let status = match call(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            match tries.after(&status) {
                Next::Again(pause) if Instant::now() + pause < until => {
                    tracing::warn!(%id, code = ?status.code(), "handing in the same transaction again");
                    tokio::time::sleep(pause).await;
                }
                Next::SignAnew => return Err(NoAnswer::Void(passed_on(&status))),
                Next::Again(_) | Next::GiveUp if tries.is_uncertain() => {
                    return Err(NoAnswer::For(unknown_end(&status, id)));
                }
                Next::Again(_) | Next::GiveUp => return Err(NoAnswer::For(passed_on(&status))),
            }
        }
    }

    /// Asks something that changes nothing, again while the gateway is away, for at most [`ASK`].
    async fn asked<M, R, F>(
        &self,
        acting: &Acting,
        message: M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let until = Instant::now() + ASK;
        let mut tries = Tries::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let request = self.request(acting, message.clone(), left)?;
            let status = match call(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            match tries.after(&status) {
                Next::Again(pause) if Instant::now() + pause < until => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(passed_on(&status)),
            }
        }
    }

    /// Hands in a signed order and gives the proof of the ledger's decision. `resumed` is for one that may have been
    /// handed in before. The bytes are void for good when the answer is `TX_EXPIRED` or `TX_EXPIRY_TOO_FAR`.
    pub(crate) async fn place(
        &self,
        acting: &Acting,
        signed: (&wire::Transaction, TxId),
        of_job: bool,
        resumed: bool,
    ) -> Result<Proven, Status> {
        let message = |transaction| wire::OrderServicePlaceOrderRequest {
            transaction,
            of_job,
        };
        let place = |request| {
            let mut orders = self.orders();
            async move { orders.place_order(request).await }
        };
        let mut tries = if resumed {
            Tries::of_uncertain()
        } else {
            Tries::new()
        };
        let until = Instant::now() + HAND_IN;
        let answer = (self.hand_in_signed(acting, &mut tries, until, signed, message, place)).await;
        let receipt = answer.map_err(NoAnswer::into_status)?.receipt;
        self.proven(acting, receipt.as_ref()).await
    }

    /// Changes an order; the change must have taken effect.
    pub(crate) async fn change(
        &self,
        acting: &Acting,
        action: wire::tx_body::Action,
    ) -> Result<(), Status> {
        let message = |transaction| wire::SubmitOrderChangeRequest { transaction };
        let change = |request| {
            let mut orders = self.orders();
            async move { orders.submit_order_change(request).await }
        };
        let (id, answer) = self.hand_in(acting, &action, message, change).await?;
        applied(&self.proven(acting, answer.receipt.as_ref()).await?, id)
    }

    /// Puts a consent transaction on the ledger; it must have taken effect.
    pub(crate) async fn consent(
        &self,
        acting: &Acting,
        action: wire::tx_body::Action,
    ) -> Result<TxId, Status> {
        let message = |transaction| wire::SubmitConsentRequest { transaction };
        let submit = |request| {
            let mut consents = self.consents();
            async move { consents.submit_consent(request).await }
        };
        let (id, answer) = self.hand_in(acting, &action, message, submit).await?;
        applied(&self.proven(acting, answer.receipt.as_ref()).await?, id)?;
        Ok(id)
    }

    fn epochs(&self) -> RwLockReadGuard<'_, Epochs> {
        self.epochs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up changes of validators, each under the word of those before.
    fn follow(&self, handovers: &[wire::Handover]) -> Result<(), Status> {
        for handover in handovers {
            let handover = Handover::parse(handover, self.distinguishing_id.clone())
                .map_err(|error| unproven(&error.to_string()))?;
            if handover.header.chain != self.chain {
                return Err(unproven("a change of validators is of another chain"));
            }
            let mut epochs = self.epochs.write().unwrap_or_else(PoisonError::into_inner);
            // Another call may have taken it up already.
            if handover.header.height >= epochs.last_from() {
                (epochs.hand_over(handover)).map_err(|error| unproven(&error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Checks a receipt against the validators in force at its height. When it names others than are
    /// known, the gateway is asked for the changes since.
    pub(crate) async fn proven(
        &self,
        acting: &Acting,
        receipt: Option<&wire::Receipt>,
    ) -> Result<Proven, Status> {
        let receipt = receipt.ok_or_else(|| unproven("there is no receipt"))?;
        let check = || receipt::check_known(receipt, &self.epochs(), &self.chain, &self.known);
        let mut proven = check();
        if let Err(Unproven::Uncertified(Uncertified::OtherValidators)) = &proven {
            self.directory(acting).await?;
            proven = check();
        }
        let proven = proven.map_err(|error| unproven(&error.to_string()))?;
        self.heard_of(proven.header().height);
        Ok(proven)
    }
}

/// A transaction was handed in and has no answer of the ledger's.
enum NoAnswer {
    /// These bytes never take effect: others may be signed.
    Void(Status),
    /// Anything else.
    For(Status),
}

impl NoAnswer {
    fn into_status(self) -> Status {
        match self {
            Self::Void(status) | Self::For(status) => status,
        }
    }
}

/// The time is over, and nobody said what became of the transaction: its id tells where to look.
fn unknown_end(status: &Status, id: TxId) -> Status {
    let view = FaultView::from_status(status);
    tracing::error!(%id, code = ?status.code(), message = %view.message, "what became of a transaction is not known");
    let reason = match view.reason {
        Some(reason) if view.is_transient() => reason,
        _ => Reason::UpstreamUnavailable,
    };
    Fault::new(reason)
        .because("whether the transaction took effect is not known: look for its id on the ledger")
        .with("tx_id", id)
        .status()
}

fn applied(proven: &Proven, id: TxId) -> Result<(), Status> {
    if proven.id() != id {
        return Err(unproven("it is of another transaction"));
    }
    match proven.outcome() {
        Outcome::Applied(_) => Ok(()),
        Outcome::Rejected { reason, subject } => {
            Err(ledger_fault::refused(*reason, subject).status())
        }
    }
}

/// A receipt proves nothing: whoever gave it lies or is broken.
pub(crate) fn unproven(why: &str) -> Status {
    tracing::error!(why, "a receipt proves nothing");
    Fault::new(Reason::ReceiptInvalid).because(why).status()
}

/// The gateway's answer as the application gets it: with our details as they came, otherwise that it
/// could not be reached.
pub(crate) fn passed_on(status: &Status) -> Status {
    let view = FaultView::from_status(status);
    if let Some(status) = view.relayed(status) {
        return status;
    }
    tracing::warn!(code = ?status.code(), message = %view.message, "a call to the home gateway failed");
    let reason = match view.reason {
        Some(reason) if reason != Reason::UpstreamUnavailable => reason,
        _ if status.code() == Code::Internal => Reason::Internal,
        _ => Reason::UpstreamUnavailable,
    };
    Fault::new(reason).because(view.message).status()
}
