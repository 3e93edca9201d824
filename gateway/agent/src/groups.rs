//! This agent's seats in delivery groups, one group for each data-holding node, and how it comes by the key
//! of a report: it asks until the node's letter for the part can be read.
//!
//! What a gateway says of a node is its name only. Which ledger key is the node's is proven by the receipt
//! of the delivery itself, and that key signs for the group; so a wrong name costs time and nothing else.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tonic::Status;
use xinqiao_crypto::{DistinguishingId, KeyId, PublicKey, SecretKey};
use xinqiao_ledger::{
    group::NodeName,
    ids::{ChainId, OrgId, SourceId},
    malformed::{Malformed, Problem, required},
    member::KeyRole,
    order::PartRef,
    wire,
};
use xinqiao_mls::{
    AgentGroup, Answer, Ask, Error, Identity, Ledger, Member, Pair, Side, Signer, StateFile,
    agent::{NoKey, Origin, Taken},
    letter::Letter,
    message::Wish,
    opened::Opened,
    together::Together,
};
use xinqiao_rpc::{Fault, FaultView, Reason};

use crate::gateway::{ASK, Acting, HomeGateway, now_ms, passed_on, unproven};

/// How often in a row a letter is asked for before the part is fetched anew: a seat, a fresh one where the
/// first leads nowhere, and a few lost or late answers.
const ROUNDS: u32 = 8;

/// The first pause after a round that brought nothing; it doubles.
const PAUSE: Duration = Duration::from_millis(10);

type Group = Opened<AgentGroup<StateFile>>;

/// A group's place.
#[derive(Clone)]
struct Slot {
    group: Arc<Group>,
    /// Answers that wait for it. Those that come at once are taken with one write to disk.
    takes: Arc<Together<(Answer, Holder), Result<Taken, Error>>>,
}

/// The groups of one agent.
pub(crate) struct Groups {
    at: Arc<At>,
    gateway: Arc<HomeGateway>,
    open: Mutex<HashMap<(OrgId, NodeName), Slot>>,
    /// Who delivered a source's last part to a group: the next one's letter is asked for along with it.
    last: Mutex<HashMap<SourceId, Holder>>,
}

/// Where the groups are, and who the agent is.
struct At {
    dir: PathBuf,
    identity: Identity,
}

/// A data-holding node that is proven to have delivered a part.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    org: OrgId,
    node: NodeName,
    key: PublicKey,
}

impl Holder {
    /// What a gateway says of the node whose key `signer` recorded a delivery, as far as it fits.
    pub(crate) fn named(wire: Option<&wire::HolderNode>, signer: KeyId) -> Result<Self, Malformed> {
        let wire = required("holder", wire)?;
        let key = PublicKey::try_from(wire.public_key.as_slice())
            .ok()
            .filter(|key| key.id() == signer);
        Ok(Self {
            org: OrgId::parse("holder.org", &wire.org)?,
            node: NodeName::parse("holder.node", &wire.node)?,
            key: key.ok_or_else(|| {
                let problem = Problem::Format("the key that recorded the delivery");
                Malformed::new("holder.public_key", problem)
            })?,
        })
    }
}

/// The ledger, as far as a delivery's receipt proves it.
struct ByReceipt<'a> {
    identity: &'a Identity,
    holder: &'a Holder,
}

impl Ledger for ByReceipt<'_> {
    fn chain(&self) -> ChainId {
        self.identity.chain
    }

    fn distinguishing_id(&self) -> DistinguishingId {
        self.identity.id.clone()
    }

    /// The ledger recorded the delivery under this key as that of the source's operator; whom a gateway calls
    /// so is not believed beyond the name of the group.
    fn signer(&self, key: &KeyId) -> Option<Signer> {
        (*key == self.holder.key.id()).then(|| Signer {
            org: self.holder.org.clone(),
            role: KeyRole::Holder,
            key: self.holder.key,
        })
    }
}

impl Groups {
    /// Groups whose states are files in `dir`, which exists.
    pub(crate) fn new(
        dir: PathBuf,
        gateway: Arc<HomeGateway>,
        org: OrgId,
        node: NodeName,
        key: Arc<SecretKey>,
    ) -> Self {
        let identity = Identity {
            member: Member {
                side: Side::Agent,
                org,
                node,
                key: key.public().id(),
            },
            key,
            chain: gateway.chain,
            id: gateway.distinguishing_id.clone(),
        };
        Self {
            at: Arc::new(At { dir, identity }),
            gateway,
            open: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// Remembers who delivered a part of a source for a group, or that it was not for one.
    pub(crate) fn delivered(&self, source: &SourceId, holder: Option<&Holder>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match holder {
            Some(holder) => last.insert(source.clone(), holder.clone()),
            None => last.remove(source),
        };
    }

    /// The question for a part's letter that goes along with the one for the part, where it is known whom to ask and
    /// this agent has a seat there.
    pub(crate) async fn along(&self, source: &SourceId, part: PartRef) -> Option<wire::LetterAsk> {
        let holder = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.get(source).cloned()?
        };
        let ask = self.ask(&holder, part).await.ok()?;
        let ask = matches!(ask.wish, Wish::Follow { .. }).then(|| ask.to_wire())?;
        Some(wire::LetterAsk {
            holder_node: holder.node.to_string(),
            ask: Some(ask),
        })
    }

    async fn ask(&self, holder: &Holder, part: PartRef) -> Result<Ask, Status> {
        let ask = self
            .blocking(holder, move |at, group| {
                group.ask(vec![part], &at.identity, now_ms(), &mut rand::rng())
            })
            .await
            .map_err(|error| failed(&error))?;
        // It never asks to leave.
        ask.ok_or_else(|| Fault::new(Reason::Internal).status())
    }

    /// The key of a delivered part's report, from its node's letter. It may have come along with the part.
    ///
    /// # Errors
    /// When no letter could be read in [`ROUNDS`] rounds, or by `until`.
    pub(crate) async fn letter(
        &self,
        acting: &Acting,
        holder: &Holder,
        part: PartRef,
        came: Option<wire::GroupAnswer>,
        until: Instant,
    ) -> Result<Letter, Status> {
        if let Some(came) = came
            && let Some(letter) = self.take(holder, part, came).await?
        {
            return Ok(letter);
        }
        let mut pause = PAUSE;
        for _ in 0..ROUNDS {
            let ask = self.ask(holder, part).await?;
            let message = wire::AskGroupRequest {
                order: part.order.to_vec(),
                part: u32::from(part.part),
                holder_node: holder.node.to_string(),
                ask: Some(ask.to_wire()),
            };
            let left = until.saturating_duration_since(Instant::now()).min(ASK);
            let request = self.gateway.request(acting, message, left)?;
            match self.gateway.orders().ask_group(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner().answer.unwrap_or_default();
                    if let Some(letter) = self.take(holder, part, answer).await? {
                        return Ok(letter);
                    }
                }
                Err(status) => self.heed(holder, status).await?,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Fault::new(Reason::UpstreamUnavailable)
            .because("the data-holding node's delivery group gave no letter that could be read")
            .status())
    }

    /// Takes an answer; the letter, if it could be read. What is wrong with an answer is whoever's that
    /// passed it on: the group asks anew, and for a fresh seat where nothing else helps.
    async fn take(
        &self,
        holder: &Holder,
        part: PartRef,
        answer: wire::GroupAnswer,
    ) -> Result<Option<Letter>, Status> {
        let answer = match Answer::from_wire(answer, part) {
            Ok(answer) => answer,
            Err(fault) => {
                tracing::warn!(%fault, node = %holder.node, "a delivery group's answer is malformed");
                return Ok(None);
            }
        };
        let taken = self.slot(holder).takes.add((answer, holder.clone())).await;
        let Taken { letters, .. } = match taken.unwrap_or_else(|| Err(unfinished())) {
            Ok(taken) => taken,
            Err(error @ (Error::Disk(_) | Error::Reopen | Error::Library(_))) => {
                return Err(failed(&error));
            }
            Err(error) => {
                tracing::warn!(%error, node = %holder.node, "a delivery group's answer is refused");
                return Ok(None);
            }
        };
        match letters.into_iter().next() {
            Some((_, Ok(letter))) => Ok(Some(letter)),
            Some((_, Err(NoKey::Refused(why)))) => {
                tracing::warn!(why, node = %holder.node, "a letter is refused");
                Ok(None)
            }
            Some((_, Err(NoKey::AskAgain))) | None => Ok(None),
        }
    }

    /// What a refusal asks for; back it comes where asking again does not help.
    async fn heed(&self, holder: &Holder, status: Status) -> Result<(), Status> {
        let view = FaultView::from_status(&status);
        let stale = view.reason == Some(Reason::GroupBindingStale);
        let than = view
            .metadata
            .get("later_than_ms")
            .and_then(|than| than.parse().ok());
        match than {
            Some(than) if stale => self
                .blocking(holder, move |_, group| group.later_than(than, now_ms()))
                .await
                .map_err(|error| failed(&error)),
            _ if view.is_transient() => Ok(()),
            _ => Err(passed_on(&status)),
        }
    }

    /// Works on the group with a node, off the threads that serve calls: files are written and synced.
    async fn blocking<T: Send + 'static>(
        &self,
        holder: &Holder,
        work: impl FnOnce(&At, &mut AgentGroup<StateFile>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (at, holder, group) = (self.at.clone(), holder.clone(), self.slot(holder).group);
        let done =
            tokio::task::spawn_blocking(move || at.with(&group, &holder, |group| work(&at, group)));
        done.await.unwrap_or_else(|_| Err(unfinished()))
    }

    fn slot(&self, holder: &Holder) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (holder.org.clone(), holder.node.clone());
        let slot = open.entry(name).or_insert_with(|| {
            let group = Arc::new(Group::default());
            let (at, of) = (Arc::clone(&self.at), Arc::clone(&group));
            let takes = Together::new(move |answers| at.takes(&of, &answers));
            Slot { group, takes }
        });
        slot.clone()
    }
}

impl At {
    fn takes(&self, group: &Group, answers: &[(Answer, Holder)]) -> Vec<Result<Taken, Error>> {
        let Some((_, holder)) = answers.first() else {
            return Vec::new();
        };
        let taken = self.with(group, holder, |group| {
            let ledgers: Vec<ByReceipt<'_>> = (answers.iter())
                .map(|(_, holder)| ByReceipt {
                    identity: &self.identity,
                    holder,
                })
                .collect();
            let answers: Vec<(&Answer, &dyn Ledger)> = (answers.iter().zip(&ledgers))
                .map(|((answer, _), ledger)| (answer, ledger as &dyn Ledger))
                .collect();
            group.takes(&answers, now_ms())
        });
        taken.unwrap_or_else(|error| error.for_each_of(answers.len()))
    }

    /// Works on the group. Blocks: files are written and synced.
    fn with<T>(
        &self,
        group: &Group,
        holder: &Holder,
        work: impl FnOnce(&mut AgentGroup<StateFile>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        group.with(|| self.begin(holder), work)
    }

    fn begin(&self, holder: &Holder) -> Result<AgentGroup<StateFile>, Error> {
        let pair = Pair {
            chain: self.identity.chain,
            holder: holder.org.clone(),
            node: holder.node.clone(),
            institution: self.identity.member.org.clone(),
        };
        // No slug has a dot in it, so no two groups have one file.
        let name = format!("{}.{}.group", holder.org, holder.node);
        let disk = StateFile::open(&self.dir.join(name)).map_err(Error::Disk)?;
        let (group, origin) = AgentGroup::open(disk, pair)?;
        if origin == Origin::Damaged {
            tracing::error!(node = %holder.node, "a delivery group's state is damaged; a fresh seat takes its place");
        }
        Ok(group)
    }
}

/// What was handed in came to no end.
fn unfinished() -> Error {
    Error::Library("a step was not finished".to_owned())
}

fn failed(error: &Error) -> Status {
    tracing::error!(%error, "a delivery group cannot be used");
    Fault::new(Reason::Internal).status()
}

/// The node that a gateway names for a delivery is not the one that recorded it.
pub(crate) fn misnamed(fault: &Malformed) -> Status {
    unproven(&fault.to_string())
}
