//! Conversations with the other validators: what this one says goes out here. What they say comes in
//! at `service::validator`.
//!
//! Two conversations with each: the engine's messages and the bodies that belong to them, in their
//! order, and beside it waiting transactions, so that a flood of those holds up no vote. Nothing is
//! kept for a validator that cannot be reached: engines say again what was lost, and blocks are
//! fetched. Who is slow loses what it has no room for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::AbortHandle};
use tokio_stream::wrappers::ReceiverStream;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    ids::{ChainId, Height, OrgId},
    validators::Validator,
    wire::{self, converse_request::Content, validator_service_client::ValidatorServiceClient},
};
use xinqiao_rpc::{FaultView, Identity, Limits, RpcChannel, limited};

use crate::{error::Error, host::Heard, upstream::Feed};

/// What waits for one validator at most, in messages of one conversation.
const QUEUE: usize = 1_024;

/// What of it is already on its way into the connection.
const IN_FLIGHT: usize = 16;

/// How long to wait before a validator is tried again: doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Something to be said. Cloning it is cheap.
#[derive(Debug, Clone)]
pub(crate) enum Saying {
    /// A message of the engine, encoded.
    Message(Arc<[u8]>),
    /// A body that a message after it proposes.
    Body(Arc<wire::ProposedBody>),
    /// Waiting transactions.
    Transactions(Arc<wire::TransactionBatch>),
    /// Where this node's chain stands.
    Tip(Height),
}

impl From<Saying> for wire::ConverseRequest {
    fn from(saying: Saying) -> Self {
        let content = match saying {
            Saying::Message(message) => Content::Message(message.to_vec()),
            Saying::Body(body) => Content::Body((*body).clone()),
            Saying::Transactions(batch) => Content::Transactions((*batch).clone()),
            Saying::Tip(height) => Content::TipHeight(height),
        };
        Self {
            content: Some(content),
        }
    }
}

/// How other validators are reached.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    /// Where members' validators are reached from here, if not where the ledger says.
    pub(crate) overrides: BTreeMap<OrgId, String>,
}

impl Ways {
    /// The way to a validator's node.
    pub(crate) fn feed(&self, validator: &Validator) -> Result<Feed, Error> {
        let known = self.overrides.get(&validator.org);
        let uri = known.map_or(validator.endpoint.as_str(), String::as_str);
        Feed::new(validator.org.as_str(), uri, &self.identity, &self.limits)
    }
}

/// The other validators.
pub(crate) struct Mesh {
    me: KeyId,
    chain: ChainId,
    ways: Ways,
    heard: mpsc::Sender<Heard>,
    peers: BTreeMap<KeyId, Peer>,
}

struct Peer {
    validator: Validator,
    feed: Feed,
    urgent: mpsc::Sender<Saying>,
    bulk: mpsc::Sender<Saying>,
    tasks: [AbortHandle; 2],
}

impl Drop for Peer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Mesh {
    /// Nobody yet; `heard` is told of every validator that can be reached again.
    pub(crate) fn new(me: KeyId, chain: ChainId, ways: Ways, heard: mpsc::Sender<Heard>) -> Self {
        Self {
            me,
            chain,
            ways,
            heard,
            peers: BTreeMap::new(),
        }
    }

    /// Talks to these validators and to nobody else.
    pub(crate) fn set(&mut self, validators: Vec<Validator>) {
        let others = others_of(validators, &self.me, &self.ways.identity.own().org);
        self.peers
            .retain(|_, peer| others.contains(&peer.validator));
        for validator in others {
            let id = validator.key.id();
            if self.peers.contains_key(&id) {
                continue;
            }
            let org = validator.org.clone();
            // A member writes its own address on the ledger: a useless one is its own loss alone.
            match self.connect(id, validator) {
                Ok(peer) => drop(self.peers.insert(id, peer)),
                Err(fault) => tracing::warn!(%org, %fault, "a validator's address is of no use"),
            }
        }
    }

    fn connect(&self, id: KeyId, validator: Validator) -> Result<Peer, Error> {
        let feed = self.ways.feed(&validator)?;
        let talk = |urgent: bool| {
            let (say, sayings) = mpsc::channel(QUEUE);
            let conversation = Conversation {
                peer: id,
                org: validator.org.clone(),
                greeting: wire::Greeting {
                    chain_id: self.chain.to_vec(),
                    validator: self.me.as_bytes().to_vec(),
                },
                channel: feed.channel.clone(),
                sayings,
                heard: self.heard.clone(),
                urgent,
            };
            (say, tokio::spawn(conversation.run()).abort_handle())
        };
        let ((urgent, one), (bulk, other)) = (talk(true), talk(false));
        Ok(Peer {
            validator,
            feed,
            urgent,
            bulk,
            tasks: [one, other],
        })
    }

    /// Says something to one validator.
    pub(crate) fn say(&self, to: &KeyId, saying: Saying) {
        if let Some(peer) = self.peers.get(to) {
            peer.say(saying);
        }
    }

    /// Says something to all others.
    pub(crate) fn say_all(&self, saying: &Saying) {
        for peer in self.peers.values() {
            peer.say(saying.clone());
        }
    }

    /// The other validators.
    pub(crate) fn others(&self) -> impl Iterator<Item = &KeyId> {
        self.peers.keys()
    }

    /// Where blocks of a validator are fetched.
    pub(crate) fn feed(&self, of: &KeyId) -> Option<Feed> {
        Some(self.peers.get(of)?.feed.clone())
    }
}

/// The validators of other members. A validator whose key is being rotated is in the set with its old key: it would
/// call that itself another, and could wait for blocks from itself.
fn others_of(validators: Vec<Validator>, me: &KeyId, org: &str) -> Vec<Validator> {
    let other = |one: &Validator| one.key.id() != *me && one.org.as_str() != org;
    validators.into_iter().filter(other).collect()
}

impl Peer {
    fn say(&self, saying: Saying) {
        let queue = match saying {
            Saying::Transactions(_) => &self.bulk,
            Saying::Message(_) | Saying::Body(_) | Saying::Tip(_) => &self.urgent,
        };
        if queue.try_send(saying).is_err() {
            tracing::debug!(org = %self.validator.org, "a validator has no room for what is said to it");
        }
    }
}

/// One conversation, opened again whenever it breaks.
struct Conversation {
    peer: KeyId,
    org: OrgId,
    greeting: wire::Greeting,
    channel: RpcChannel,
    sayings: mpsc::Receiver<Saying>,
    heard: mpsc::Sender<Heard>,
    /// Whether it is the engine's, and not the transactions'.
    urgent: bool,
}

impl Conversation {
    async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        let mut told = false;
        loop {
            match self.hold().await {
                Ok(()) => {
                    (backoff, told) = (BACKOFF.0, false);
                    self.gone().await;
                    tracing::info!(org = %self.org, "a validator has ended the conversation");
                }
                Err(status) if !told => {
                    told = true;
                    self.gone().await;
                    let fault = FaultView::from_status(&status);
                    tracing::info!(org = %self.org, %fault, "a validator cannot be reached");
                }
                Err(_) => {}
            }
            if self.sayings.is_closed() {
                return;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    async fn gone(&self) {
        if self.urgent {
            let _ = self.heard.send(Heard::Gone(self.peer)).await;
        }
    }

    /// Each conversation comes up at its own time, and what belongs into it is said only then.
    async fn up(&self) {
        let news = if self.urgent {
            Heard::Connected(self.peer)
        } else {
            Heard::Listens(self.peer)
        };
        let _ = self.heard.send(news).await;
    }

    /// Talks for as long as the connection lasts.
    async fn hold(&mut self) -> Result<(), tonic::Status> {
        let (out, requests) = mpsc::channel(IN_FLIGHT);
        let greeting = wire::ConverseRequest {
            content: Some(Content::Greeting(self.greeting.clone())),
        };
        // There is room: the queue is new.
        let _ = out.try_send(greeting);
        let mut client = limited!(ValidatorServiceClient::new(self.channel.clone()));
        let answer = client.converse(ReceiverStream::new(requests)).await?;
        let mut answer = answer.into_inner();
        // What was said to a closed door is stale.
        while self.sayings.try_recv().is_ok() {}
        self.up().await;
        loop {
            tokio::select! {
                ended = answer.message() => match ended {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return ended.map(drop),
                },
                saying = self.sayings.recv() => {
                    let Some(saying) = saying else { return Ok(()) };
                    if out.send(saying.into()).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use xinqiao_contracts::testing::secret;

    use super::*;

    #[test]
    fn a_validator_whose_key_is_being_rotated_is_no_other_to_itself() {
        let validator = |org: &str, key: &str| Validator {
            org: org.parse().unwrap(),
            key: *secret(key).public(),
            endpoint: Default::default(),
        };
        let all = || {
            vec![
                validator("a", "old"),
                validator("b", "b"),
                validator("c", "c"),
            ]
        };
        let left = |me: &str, org| {
            let others = others_of(all(), &secret(me).public().id(), org);
            others
                .iter()
                .map(|one| one.org.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(left("old", "a"), ["b", "c"]);
        assert_eq!(left("new", "a"), ["b", "c"]);
        assert_eq!(left("d", "d"), ["a", "b", "c"]);
    }
}
