//! The way in: certificate, quota, token, policy, in this order, and a [`Permit`] at its end.
//!
//! Handlers take the permit, so none of it can be left out. What is refused after the certificate was
//! accepted is an attempt of that institution and goes on record (see [`crate::refusals`]); a caller
//! without a registered certificate is nobody, and gets an answer alone.

use std::{sync::Arc, time::Duration};

use tonic::{Request, Status, metadata::MetadataMap};
use xinqiao_crypto::KeyId;
use xinqiao_decide::{Action, Caller, Denial, Permit, QuotaState, Standing};
use xinqiao_identity::{Authenticator, Circumstances, Policy, authenticator::bearer, denial_fault};
use xinqiao_ledger::{
    ids::{ChainId, OrgId, UserId},
    member::KeyRole,
    outcome::{Event, Outcome},
    tx::Tx,
    wire,
};
use xinqiao_rpc::{Fault, FaultView, PeerIdentity, Reason, Role, ledger_fault};

use crate::{
    directory::LedgerDirectory,
    fault::passed_on,
    node::{COMMIT_WAIT, Node, not_committed_yet},
    quota::Quota,
    refusals::{Attempt, Recorder},
};

/// A connection whose certificate the ledger knows for a member.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) org: OrgId,
    peer: PeerIdentity,
    quota: QuotaState,
}

/// A user whose token holds.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    caller: Caller,
    standing: Standing,
    quota: QuotaState,
}

/// Why a call ends without its answer.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The gateway refuses it; that goes on record.
    Here(Box<Fault>),
    /// It failed, or the ledger refused it and has the record already.
    Elsewhere(Box<Status>),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Here(Box::new(fault))
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Elsewhere(Box::new(status))
    }
}

pub(crate) struct Gate {
    pub(crate) auth: Authenticator<Arc<LedgerDirectory>>,
    pub(crate) policy: Policy,
    pub(crate) quota: Quota,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) directory: Arc<LedgerDirectory>,
    pub(crate) node: Node,
    pub(crate) chain: ChainId,
}

impl Gate {
    /// The first question: is the certificate one of a member's agent? It charges the institution's
    /// quota, whatever becomes of the call.
    pub(crate) async fn door<T: Sync>(&self, request: &Request<T>) -> Result<Door, Status> {
        let (org, peer) = self.peer(request, &[Role::Agent]).await?;
        Ok(Door {
            quota: self.quota.institution(org.as_str()),
            org,
            peer,
        })
    }

    /// The same for a call between processes, which has no user.
    pub(crate) async fn process<T: Sync>(
        &self,
        request: &Request<T>,
        roles: &[Role],
    ) -> Result<OrgId, Status> {
        Ok(self.peer(request, roles).await?.0)
    }

    async fn peer<T: Sync>(
        &self,
        request: &Request<T>,
        roles: &[Role],
    ) -> Result<(OrgId, PeerIdentity), Status> {
        let peer = PeerIdentity::of_request(request).map_err(|status| *status)?;
        let unknown = || Fault::new(Reason::CertificateUnknown).status();
        let standing = self
            .auth
            .peer(&peer, roles)
            .await
            .map_err(|error| error.fault().status())?;
        if standing == Standing::Frozen && !roles.contains(&Role::Agent) {
            return Err(denial_fault(&Denial::MemberFrozen(peer.org)).status());
        }
        let org = peer.org.parse::<OrgId>().map_err(|_| unknown())?;
        Ok((org, peer))
    }

    /// The second question: whose token is it? It charges the user's quota.
    pub(crate) async fn user(&self, door: &Door, metadata: &MetadataMap) -> Result<User, Refused> {
        let authenticated = match self.auth.authenticate(&door.peer, bearer(metadata)).await {
            Ok(authenticated) => authenticated,
            Err(error) if error.reason() == Reason::UpstreamUnavailable => {
                return Err(error.fault().status().into());
            }
            Err(error) => return Err(error.fault().into()),
        };
        let caller = authenticated.caller;
        let id = hex::decode(&caller.user_pseudonym)
            .ok()
            .and_then(|bytes| UserId::parse("sub", &bytes).ok())
            .ok_or_else(|| {
                Fault::new(Reason::TokenInvalid)
                    .because("the claim sub is not a pseudonym: 64 hexadecimal digits")
            })?;
        let of_user = self.quota.user(&caller.org, &caller.user_pseudonym);
        let quota = match (door.quota, of_user) {
            (QuotaState::Within, state) => state,
            (state, _) => state,
        };
        Ok(User {
            id,
            caller,
            standing: authenticated.standing,
            quota,
        })
    }

    /// The last question here: may this user do that?
    pub(crate) fn permit(
        &self,
        user: &User,
        action: Action,
        purpose: Option<&str>,
        owner: Option<&str>,
    ) -> Result<Permit, Refused> {
        let circumstances = Circumstances {
            standing: user.standing,
            owner,
            quota: user.quota,
        };
        self.policy
            .decide(&user.caller, action, purpose, circumstances)
            .map_err(|denial| denial_fault(&denial).into())
    }

    /// Ends a call that was refused: records it if that is to be done here, and gives the answer.
    pub(crate) async fn refuse(
        &self,
        door: &Door,
        user: Option<&User>,
        mut attempt: Attempt,
        refused: Refused,
    ) -> Status {
        let fault = match refused {
            Refused::Elsewhere(status) => return *status,
            Refused::Here(fault) => *fault,
        };
        let over = |quota| quota != QuotaState::Within;
        let over_quota = over(door.quota) || user.is_some_and(|user| over(user.quota));
        attempt.user = user.map(|user| user.id);
        let reason = fault.reason();
        tracing::info!(institution = %door.org, %reason, "refused");
        self.recorder
            .record(&door.org, attempt, reason, over_quota)
            .await;
        fault.status()
    }

    /// The transaction is for this chain and names a valid agent key of the caller's institution.
    /// Whether that key signed it, the ledger verifies.
    pub(crate) async fn own_signer(&self, door: &Door, tx: &Tx) -> Result<(), Refused> {
        self.own_chain(tx)?;
        let snapshot = self
            .directory
            .snapshot()
            .await
            .map_err(|status| passed_on("node", &status))?;
        let role = snapshot
            .member(door.org.as_str())
            .and_then(|known| known.member.sm2(&tx.meta().signer).map(|(_, role)| role));
        match role {
            Some(KeyRole::Agent | KeyRole::Admin) => Ok(()),
            _ => Err(unknown_signer(&door.org, &tx.meta().signer).into()),
        }
    }

    /// The transaction is meant for this chain.
    pub(crate) fn own_chain(&self, tx: &Tx) -> Result<(), Refused> {
        if tx.meta().chain == self.chain {
            Ok(())
        } else {
            Err(Fault::new(Reason::ChainIdMismatch).into())
        }
    }

    /// The caller's certificate still counts.
    pub(crate) async fn still(&self, door: &Door) -> Result<(), Status> {
        let standing = self.auth.peer(&door.peer, &[Role::Agent]).await;
        match standing.map_err(|error| error.fault().status())? {
            Standing::Active => Ok(()),
            _ => Err(denial_fault(&Denial::MemberFrozen(door.peer.org.clone())).status()),
        }
    }

    /// The receipt of a transaction that the node does not take because it had the very same one before. Whoever
    /// lost an answer hands it in again.
    async fn handed_in_before(
        &self,
        tx: &Tx,
        status: &Status,
    ) -> Result<Option<wire::Receipt>, Refused> {
        let id = &tx.meta().id;
        let (wait, there) = match FaultView::from_status(status).reason {
            // It is committed or waits for that.
            Some(Reason::TxReplayed) => (COMMIT_WAIT, true),
            // Either it was committed in time, or it never will be.
            Some(Reason::TxExpired) => (Duration::ZERO, false),
            _ => return Ok(None),
        };
        let receipt = self.node.receipt(id, wait).await;
        match receipt.map_err(|status| passed_on("node", &status))? {
            None if there => Err(not_committed_yet(id).into()),
            receipt => Ok(receipt),
        }
    }

    /// Puts a transaction on the ledger. A refusal by its contracts is an error here; `Elsewhere` if it
    /// stands in the access log already.
    pub(crate) async fn submit(
        &self,
        tx: &Tx,
        wire: wire::Transaction,
    ) -> Result<wire::Receipt, Refused> {
        let receipt = match self.node.submit(wire, tx.meta().id).await {
            Ok(receipt) => receipt,
            Err(status) => match self.handed_in_before(tx, &status).await? {
                Some(receipt) => receipt,
                None => return Err(not_taken(&status)),
            },
        };
        match Outcome::parse(&receipt.outcome) {
            Ok((_, Outcome::Applied(events))) => match refusal_in(&events) {
                None => Ok(receipt),
                Some((reason, subject)) => {
                    let fault = ledger_fault::coded(reason, subject).with("tx_id", tx.meta().id);
                    Err(fault.status().into())
                }
            },
            Ok((_, Outcome::Rejected { reason, subject })) => {
                Err(ledger_fault::refused(reason, &subject).into())
            }
            Err(fault) => {
                tracing::error!(%fault, "the node gave an outcome that is none");
                Err(Fault::new(Reason::Internal).status().into())
            }
        }
    }
}

fn refusal_in(events: &[Event]) -> Option<(&str, &str)> {
    events.iter().find_map(|event| match event {
        Event::AttemptRefused(refused) => Some((refused.reason.as_str(), refused.subject.as_str())),
        _ => None,
    })
}

fn unknown_signer(org: &OrgId, signer: &KeyId) -> Fault {
    Fault::new(Reason::SignerUnknown)
        .because(format!("{org} has no agent key of that id"))
        .with("signer", signer.digest())
}

/// The node did not take the transaction: because of what it is, which is a refusal to be recorded, or
/// because the node is busy or away, which is none.
fn not_taken(status: &Status) -> Refused {
    let view = FaultView::from_status(status);
    match view.reason {
        Some(reason) if !view.is_transient() && is_refusal(reason) => {
            let mut fault = Fault::new(reason);
            for (field, description) in view.violations {
                fault = fault.and_field(field, reason, description);
            }
            Refused::Here(Box::new(fault))
        }
        _ => Refused::Elsewhere(Box::new(passed_on("node", status))),
    }
}

/// Reasons that lie in the transaction or its signer.
fn is_refusal(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Internal
            | Reason::NodeHalted
            | Reason::NodeSyncing
            | Reason::ReadOnlyNode
            | Reason::MethodUnknown
            | Reason::MempoolFull
            | Reason::Deadline
            | Reason::UpstreamUnavailable
            | Reason::CertificateMissing
            | Reason::CertificateExpired
            | Reason::CertificateNotYetValid
            | Reason::CertificateUntrusted
            | Reason::CertificateUnknown
            | Reason::CertificateOrgMismatch
    )
}
