//! One query: an order is made and handed in, and what its sources deliver is gathered.
//!
//! The two halves are apart, so that whoever must not order twice can keep the signed order before it leaves,
//! and go on from there after a crash ([`crate::requests`], [`crate::jobs`]).

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use prost::Message;
use tonic::Status;
use xinqiao_dispatch::{
    choice::{GrantView, NO_GRANT, Wanted, choose},
    query::{Decision, Placed},
};
use xinqiao_ledger::{
    action::Action,
    ids::{ItemCode, TxId},
    order::{PartRef, PlaceOrder, Verdict},
    tx::Tx,
    wire,
};
use xinqiao_report::composite::excerpt;
use xinqiao_rpc::{Fault, FaultView, Reason, ledger_fault};

use crate::{
    ask::Ask,
    gateway::{Acting, now_ms, unproven},
    service::{Agency, Names, answer},
};

/// How long a query goes on after the sources' deadline: the ledger notes a missed one in the block after.
const AFTER_DEADLINE: Duration = Duration::from_secs(2);

/// How long what was delivered before a restart is fetched for at least.
const RESUMED: Duration = Duration::from_secs(10);

/// How often an order is signed anew because the one before can no longer be taken.
const SIGNINGS: usize = 4;

/// An order as it was signed.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) tx: wire::Transaction,
    pub(crate) id: TxId,
    order: PlaceOrder,
}

impl Ordered {
    /// The bytes to keep.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.tx.encode_to_vec()
    }

    /// An order that was kept; none if it is no order.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let parsed = Tx::parse(bytes).ok()?;
        let Action::PlaceOrder(order) = parsed.action() else {
            return None;
        };
        Some(Self {
            order: order.clone(),
            id: parsed.meta().id,
            tx: wire::Transaction::decode(bytes).ok()?,
        })
    }
}

/// Keeps a signed order before it leaves.
pub(crate) trait Keep: Fn(&Ordered) -> Kept + Send + Sync {}

impl<F: Fn(&Ordered) -> Kept + Send + Sync> Keep for F {}

/// When it is kept.
pub(crate) type Kept = BoxFuture<'static, Result<(), Status>>;

/// An order that the ledger has placed.
pub(crate) struct Placement {
    ordered: Ordered,
    placed: Placed,
    resumed: bool,
    started: Instant,
    asked_at: u64,
}

impl Placement {
    pub(crate) fn id(&self) -> TxId {
        self.ordered.id
    }
}

/// One query that is carried out.
#[derive(Clone, Copy)]
pub(crate) struct Ordering<'a> {
    pub(crate) agency: &'a Agency,
    pub(crate) acting: &'a Acting,
    pub(crate) ask: &'a Ask,
    pub(crate) of_job: bool,
}

impl Ordering<'_> {
    /// Has an order placed: the one that was `kept` from before, or a new one, which is given to `keep` before it
    /// leaves. A refusal by the ledger is an error with the transaction's id.
    pub(crate) async fn place(
        &self,
        kept: Option<Ordered>,
        keep: impl Keep,
    ) -> Result<Placement, Status> {
        let (started, asked_at) = (Instant::now(), now_ms());
        let resumed = kept.is_some();
        let gateway = &self.agency.gateway;
        let mut ordered = match kept {
            Some(ordered) => ordered,
            None => self.signed(self.chosen().await?, &keep).await?,
        };
        let mut handed_in = resumed;
        for left in (0..SIGNINGS).rev() {
            let signed = (&ordered.tx, ordered.id);
            let before = std::mem::take(&mut handed_in);
            let placed = gateway
                .place(self.acting, signed, self.of_job, before)
                .await;
            let status = match placed {
                Ok(proven) => {
                    let decision = Decision::read(&proven, ordered.id)
                        .map_err(|error| unproven(&error.to_string()))?;
                    let placed = match decision {
                        Decision::Placed(placed) => placed,
                        Decision::Refused { reason, subject } => {
                            let fault = ledger_fault::coded(&reason, &subject);
                            let fault = fault.with("tx_id", ordered.id);
                            return Err(without_grant(&ordered.order, fault.status()));
                        }
                    };
                    return Ok(Placement {
                        ordered,
                        placed,
                        resumed,
                        started,
                        asked_at,
                    });
                }
                Err(status) => status,
            };
            // Either says that this one is not on the ledger and never will be.
            let order = match FaultView::from_status(&status).reason {
                // A vote may have shortened the window for expiries since the agent heard of it.
                Some(Reason::TxExpiryTooFar) if left > 0 => {
                    gateway.directory(self.acting).await?;
                    ordered.order
                }
                Some(Reason::TxExpired) if left > 0 => {
                    gateway.directory(self.acting).await?;
                    self.chosen().await?
                }
                _ => return Err(without_grant(&ordered.order, status)),
            };
            ordered = self.signed(order, &keep).await?;
        }
        Err(Fault::new(Reason::TxExpired).status())
    }

    async fn signed(&self, order: PlaceOrder, keep: &impl Keep) -> Result<Ordered, Status> {
        let action = wire::tx_body::Action::PlaceOrder(wire::PlaceOrder::from(&order));
        let (tx, id) = self.agency.gateway.sign(action);
        let ordered = Ordered { tx, id, order };
        keep(&ordered).await?;
        Ok(ordered)
    }

    /// The order, with the grant that fits best.
    async fn chosen(&self) -> Result<PlaceOrder, Status> {
        let (agency, ask) = (self.agency, self.ask);
        let subject = agency.pseudonym_key.subject(&ask.uscc);
        let (directory, grants) = tokio::try_join!(
            agency.directory.current(),
            agency.gateway.grants(self.acting, &subject)
        )?;
        let grants: Vec<GrantView> = grants
            .iter()
            .filter_map(|grant| GrantView::try_from(grant).ok())
            .collect();
        let wanted = Wanted {
            grant: ask.grant,
            branch: &ask.branch,
            purpose: &ask.purpose,
            items: &ask.items,
            now: now_ms(),
        };
        let codes: Vec<ItemCode> = directory.catalogue.codes().cloned().collect();
        let choice = choose(&grants, &wanted, &codes);
        Ok(PlaceOrder {
            subject,
            grant: choice.grant,
            purpose: ask.purpose.clone(),
            items: choice.items,
            user: self.acting.user,
            branch: ask.branch.clone(),
            deadline_ms: ask.deadline_ms,
            recipient: agency.recipient,
        })
    }

    /// Gathers what an order brings, until every part is settled or the time is over. For `held`, see
    /// `Fetching::run`.
    pub(crate) async fn gather(
        &self,
        placement: Placement,
        until: Instant,
        held: Option<&mut Vec<(PartRef, Verdict)>>,
    ) -> Result<wire::QueryReportResponse, Status> {
        let (agency, ask) = (self.agency, self.ask);
        let Placement {
            ordered,
            placed,
            resumed,
            started,
            asked_at,
        } = placement;
        let directory = agency.directory.current().await?;
        let placed_at = Instant::now();
        let mut deadline = Duration::from_millis(ask.deadline_ms.into()) + AFTER_DEADLINE;
        if resumed {
            deadline = deadline.max(RESUMED);
        }
        let until = (placed_at + deadline).min(until);
        let (missing, height) = (placed.missing.clone(), placed.height);
        let report = (agency.fetching)
            .run(self.acting, placed, placed_at, until, held)
            .await;
        let catalogue = &directory.catalogue;
        let names = Names::of(&directory.wire);
        let answer = answer(report, &missing, catalogue, &names, asked_at);
        Ok(wire::QueryReportResponse {
            order: ordered.id.to_vec(),
            grant: ordered.order.grant.to_vec(),
            placed_at_height: height,
            elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            institution: agency.org.to_string(),
            catalogue: ask
                .with_catalogue
                .then(|| excerpt(catalogue, &answer.items)),
            ..answer
        })
    }
}

/// An order that names no grant, since there is none, is refused for an id that would only puzzle people.
fn without_grant(order: &PlaceOrder, status: Status) -> Status {
    let view = FaultView::from_status(&status);
    if order.grant != NO_GRANT || view.reason != Some(Reason::ConsentNotFound) {
        return status;
    }
    let fault = Fault::new(Reason::ConsentNotFound).because("none was given to this institution");
    match view.metadata.get("tx_id") {
        Some(tx) => fault.with("tx_id", tx).status(),
        None => fault.status(),
    }
}
