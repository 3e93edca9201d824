//! `ValidatorService`: what other validators say. Everything about it that can be checked without the
//! engine is checked here, beside the main loop: who speaks, the form of what is said, signatures.

use std::{pin::Pin, sync::Arc};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use xinqiao_consensus::Message as _;
use xinqiao_contracts::validators;
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    ids::{ChainId, HeaderHash},
    malformed::{Malformed, Problem, fixed},
    wire::{self, converse_request::Content, validator_service_server::ValidatorService},
};
use xinqiao_rpc::{Fault, FaultView, PeerIdentity, Reason, Role};

use super::failed;
use crate::{
    bodies::{Body, NotTaken},
    engine::AnyMessage,
    fault,
    host::{Heard, Told},
    intake::Intake,
    replica::Replica,
    shared::stopped,
};

/// Messages up to this length have one or two signatures, in bytes.
const FEW_SIGNATURES: usize = 512;

/// The service.
#[derive(Clone)]
pub(crate) struct Validators {
    pub(crate) replica: Replica,
    pub(crate) intake: Arc<Intake>,
    pub(crate) heard: mpsc::Sender<Heard>,
}

impl Validators {
    /// Lets a node in whose member runs the validator that it names.
    fn admit(&self, peer: &PeerIdentity, id: &KeyId) -> Result<(), Status> {
        self.replica.shared.check(peer)?;
        if peer.role != Role::Node {
            return Err(Fault::new(Reason::RoleDenied)
                .because("validators are reached by nodes alone")
                .status());
        }
        let known = validators(&self.replica.state()).map_err(failed)?;
        let runs = |one: &xinqiao_ledger::validators::Validator| {
            one.key.id() == *id && one.org.as_str() == peer.org
        };
        if known.iter().any(runs) {
            Ok(())
        } else {
            Err(Fault::new(Reason::RoleDenied)
                .because("this member runs no validator of that key")
                .status())
        }
    }

    /// The first thing that is said: who speaks.
    async fn greeted(
        &self,
        peer: &PeerIdentity,
        said: &mut Streaming<wire::ConverseRequest>,
    ) -> Result<KeyId, Status> {
        let Some(first) = said.message().await? else {
            return Err(Fault::new(Reason::MessageTruncated).status());
        };
        let Some(Content::Greeting(greeting)) = first.content else {
            return Err(fault::malformed(Malformed::new(
                "greeting",
                Problem::Required,
            )));
        };
        let chain =
            ChainId::parse("greeting.chain_id", &greeting.chain_id).map_err(fault::malformed)?;
        if chain != self.replica.chain() {
            return Err(Fault::new(Reason::ChainIdMismatch).status());
        }
        let id =
            fixed::<32>("greeting.validator", &greeting.validator).map_err(fault::malformed)?;
        let id = KeyId::from(Digest::from(id));
        self.admit(peer, &id)?;
        Ok(id)
    }

    /// Listens until the other ends, is no validator any more, or says something that is no message.
    async fn listen(
        self,
        peer: PeerIdentity,
        from: KeyId,
        mut said: Streaming<wire::ConverseRequest>,
    ) -> Result<(), Status> {
        let mut stop = self.replica.shared.stop.clone();
        let mut epochs = self.replica.shared.epochs.subscribe();
        loop {
            let saying = tokio::select! {
                () = stopped(&mut stop) => return Ok(()),
                changed = epochs.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    // Whoever is a validator no longer is not heard any more.
                    self.admit(&peer, &from)?;
                    continue;
                }
                saying = said.message() => saying?,
            };
            let Some(saying) = saying else { return Ok(()) };
            if let Err(status) = self.hear(from, saying).await {
                let fault = FaultView::from_status(&status);
                tracing::warn!(org = peer.org, validator = %from, %fault, "what a validator says is refused, and its conversation ended");
                return Err(status);
            }
        }
    }

    async fn hear(&self, from: KeyId, saying: wire::ConverseRequest) -> Result<(), Status> {
        let told = match saying.content {
            Some(Content::Message(bytes)) => self.message(from, bytes).await?,
            Some(Content::Body(body)) => self
                .body(body)
                .await?
                .map(|body| Told::Body(Box::new(body))),
            Some(Content::TipHeight(height)) => Some(Told::Tip(height)),
            Some(Content::Transactions(batch)) => {
                self.intake.take_told(batch.transactions).await;
                None
            }
            Some(Content::Greeting(_)) | None => {
                return Err(fault::malformed(Malformed::new(
                    "content",
                    Problem::Format("something said after one greeting"),
                )));
            }
        };
        if let Some(told) = told {
            let heard = Heard::Told { from, told };
            self.heard
                .send(heard)
                .await
                .map_err(|_| Status::unavailable("the node is stopping"))?;
        }
        Ok(())
    }

    /// A message of the engine with its signatures checked; none if it is not to be believed.
    async fn message(&self, from: KeyId, bytes: Vec<u8>) -> Result<Option<Told>, Status> {
        let message = AnyMessage::decode(&bytes).map_err(|fault| {
            fault::malformed(Malformed::new(
                "message",
                Problem::Undecodable(fault.to_string()),
            ))
        })?;
        let shared = Arc::clone(&self.replica.shared);
        let check = move || {
            let validators = shared.epochs.borrow().at(message.height()).clone();
            message.verify(from, &shared.chain, &validators, &shared.verifier)
        };
        // One or two signatures take less than handing them to another thread would.
        let checked = if bytes.len() <= FEW_SIGNATURES {
            check()
        } else {
            let checked = tokio::task::spawn_blocking(check).await;
            checked.map_err(|lost| fault::internal(&lost))?
        };
        Ok(match checked {
            Ok(message) => Some(Told::Message(message)),
            // After a change of validators even an honest one may speak too early or too late.
            Err(fault) => {
                tracing::warn!(validator = %from, %fault, "a validator's message is not believed");
                None
            }
        })
    }

    /// A body with its transactions verified, if it may be wanted.
    async fn body(&self, body: wire::ProposedBody) -> Result<Option<Body>, Status> {
        let (shared, intake) = (Arc::clone(&self.replica.shared), Arc::clone(&self.intake));
        let parsed = tokio::task::spawn_blocking(move || Body::check(&shared, &intake, body));
        parsed
            .await
            .map_err(|lost| fault::internal(&lost))?
            .map_err(|fault| match fault {
                NotTaken::Malformed(fault) => fault::malformed(fault),
                NotTaken::Store(fault) => failed(fault),
            })
    }
}

#[tonic::async_trait]
impl ValidatorService for Validators {
    type ConverseStream =
        Pin<Box<dyn Stream<Item = Result<wire::ConverseResponse, Status>> + Send>>;

    async fn converse(
        &self,
        request: Request<Streaming<wire::ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let peer = self.replica.shared.caller(&request)?.peer;
        let mut said = request.into_inner();
        let from = self.greeted(&peer, &mut said).await?;
        let (answer, answers) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.listen(peer, from, said).await {
                let _ = answer.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_body(
        &self,
        request: Request<wire::GetBodyRequest>,
    ) -> Result<Response<wire::GetBodyResponse>, Status> {
        let caller = self.replica.shared.caller(&request)?;
        let known = validators(&self.replica.state()).map_err(failed)?;
        if caller.peer.role != Role::Node
            || !known.iter().any(|one| one.org.as_str() == caller.peer.org)
        {
            return Err(Fault::new(Reason::RoleDenied)
                .because("bodies are for validators alone")
                .status());
        }
        let hash = HeaderHash::parse("header_hash", &request.get_ref().header_hash)
            .map_err(fault::malformed)?;
        let (answer, body) = tokio::sync::oneshot::channel();
        let asked = self.heard.send(Heard::Asked { hash, answer }).await;
        asked.map_err(|_| Status::unavailable("the node is stopping"))?;
        let body = body.await.ok().flatten();
        let body = body.ok_or_else(|| Fault::new(Reason::BlockNotFound).status())?;
        Ok(Response::new(wire::GetBodyResponse {
            body: Some((*body).clone()),
        }))
    }
}
