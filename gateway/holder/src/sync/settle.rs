//! One transaction of a registration run, from signing to its end on the own replica.

use std::{sync::Arc, time::Duration};

use prost::Message;
use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    outcome::{Outcome, Reason},
    wire::tx_body::Action,
};
use xinqiao_node::{Replica, WaitError};

use crate::{
    error::Error,
    submit::{hand_in, sign},
};

/// How often a transaction that expired is signed anew.
const ATTEMPTS: usize = 5;

/// After how long a transaction that shows nowhere is handed in again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Signs with one key and waits on one replica.
#[derive(Clone)]
pub(super) struct Settler {
    replica: Replica,
    key: Arc<SecretKey>,
    patience: Duration,
}

impl Settler {
    pub(super) fn new(replica: &Replica, key: &Arc<SecretKey>, patience: Duration) -> Self {
        Self {
            replica: replica.clone(),
            key: Arc::clone(key),
            patience,
        }
    }

    /// Signs, hands in, and waits for the end: gives the outcome and the transaction's bytes.
    pub(super) async fn settle(
        &self,
        what: &'static str,
        action: Action,
    ) -> Result<(Outcome, u64), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (replica, key, action) =
                (self.replica.clone(), Arc::clone(&self.key), action.clone());
            let signed =
                tokio::task::spawn_blocking(move || sign(&replica, &key, action)).await??;
            let signed = Arc::new(signed);
            let bytes = signed.tx.encoded_len() as u64;
            let handing_in = hand_in(self.replica.clone(), Arc::clone(&signed), AGAIN_AFTER);
            let end = self.replica.wait_final(&signed.id, self.patience);
            tokio::pin!(handing_in, end);
            let end = tokio::select! {
                end = &mut end => end,
                // Taken for good, or expired: the end is all that is left to wait for.
                () = &mut handing_in => end.await,
            };
            let outcome = match end {
                Ok(end) => end.outcome().clone(),
                Err(WaitError::Timeout(_))
                    if self.replica.tip().height > signed.expires_at && attempts < ATTEMPTS =>
                {
                    continue;
                }
                Err(WaitError::Timeout(patience)) => {
                    return Err(Error::NotFinal {
                        tx: signed.id,
                        seconds: patience.as_secs(),
                    });
                }
                Err(WaitError::Store(error)) => return Err(error.into()),
                Err(other) => return Err(Error::Halted(other.to_string())),
            };
            match outcome {
                Outcome::Rejected {
                    reason: Reason::TxExpired,
                    ..
                } if attempts < ATTEMPTS => {}
                Outcome::Rejected { reason, subject } => {
                    return Err(Error::Rejected {
                        what,
                        reason,
                        subject,
                    });
                }
                applied @ Outcome::Applied(_) => return Ok((applied, bytes)),
            }
        }
    }
}
