//! Transactions as members sign them, or as someone with a key and bad intentions would, and their way to
//! a node.

use std::time::{SystemTime, UNIX_EPOCH};

use tonic::Status;
use xinqiao_crypto::{DistinguishingId, Domain, SecretKey, signing_message, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    tx::Tx,
    wire::{
        self, ledger_service_client::LedgerServiceClient,
        submission_service_client::SubmissionServiceClient, tx_body::Action,
    },
};
use xinqiao_rpc::{RpcChannel, limited};

/// Where a node stands.
///
/// # Panics
/// When it does not answer.
pub async fn status(channel: &RpcChannel) -> wire::GetStatusResponse {
    try_status(channel).await.expect("the node's status")
}

/// Where a node stands, if it answers.
///
/// # Errors
/// With its own or the connection's status.
pub async fn try_status(channel: &RpcChannel) -> Result<wire::GetStatusResponse, Status> {
    let mut ledger = LedgerServiceClient::new(channel.clone());
    Ok(ledger
        .get_status(wire::GetStatusRequest {})
        .await?
        .into_inner())
}

/// Signs an action as members do.
#[must_use]
pub fn sign(
    action: Action,
    chain: &ChainId,
    expires_at: u64,
    key: &SecretKey,
) -> wire::Transaction {
    let id = DistinguishingId::default();
    Tx::sign(action, chain, expires_at, key, &id, &mut rand::rng())
}

/// Signs a body of any bytes, also of ones that nobody should sign.
#[must_use]
pub fn sign_body(body: Vec<u8>, chain: &ChainId, key: &SecretKey) -> wire::Transaction {
    let message = signing_message(Domain::Transaction, chain.as_bytes(), &body);
    let signature = key.sign(&DistinguishingId::default(), &message, &mut rand::rng());
    wire::Transaction {
        body,
        signer: key.public().id().as_bytes().to_vec(),
        signature: signature.as_bytes().to_vec(),
    }
}

/// Submits a transaction and waits for its receipt up to `wait_ms`.
///
/// # Errors
/// With the node's status.
pub async fn submit(
    channel: &RpcChannel,
    transaction: wire::Transaction,
    wait_ms: u32,
) -> Result<wire::SubmitTransactionResponse, Status> {
    let request = wire::SubmitTransactionRequest {
        transaction: Some(transaction),
        wait_ms,
    };
    let mut client = limited!(SubmissionServiceClient::new(channel.clone()));
    Ok(client.submit_transaction(request).await?.into_inner())
}

/// A grant of everything asked for, without a request before it.
#[must_use]
pub fn grant(subject: Vec<u8>, grantee: &str, purposes: &[&str], items: &[&str]) -> Action {
    Action::GrantConsent(wire::GrantConsent {
        request: Vec::new(),
        terms: Some(terms(subject, grantee, purposes, items)),
    })
}

/// Terms of a grant that are in order.
#[must_use]
pub fn terms(
    subject: Vec<u8>,
    grantee: &str,
    purposes: &[&str],
    items: &[&str],
) -> wire::ConsentTerms {
    let now = now_ms();
    let sorted = |codes: &[&str]| {
        let mut codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
        codes.sort();
        codes
    };
    wire::ConsentTerms {
        subject,
        grantee: grantee.to_owned(),
        purposes: sorted(purposes),
        items: sorted(items),
        valid_from_ms: now - 60_000,
        valid_until_ms: now + 365 * 86_400_000,
        max_uses: 10,
        data_life_days: 180,
        document_digest: sm3(b"a letter of authorisation").as_bytes().to_vec(),
        text_digest: sm3(b"its text").as_bytes().to_vec(),
        ..wire::ConsentTerms::default()
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500 million")
}
