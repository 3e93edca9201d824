//! One subscription to the node's blocks for the whole gateway, and who waits for which order.
//!
//! A block names the orders that it touches, so a watcher is woken by its own order alone and nobody
//! polls. Deadlines fire inside blocks without a transaction of their own: an order whose deadline lies
//! behind the chain's time is looked at with every block until its watchers are gone.
//!
//! It also keeps the tip, tells the directory when members or sources change, and says through gRPC
//! health whether the gateway is fit for work, which is as long as its node is.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{broadcast, watch};
use xinqiao_ledger::{
    action::Action,
    block::Header,
    ids::{Height, OrderId, Subject, TimeMs},
    tx::Tx,
    wire,
};
use xinqiao_rpc::Fitness;

use crate::{directory::LedgerDirectory, node::Node};

/// How long to wait before subscribing again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often the node is asked whether it is well.
const LOOK: Duration = Duration::from_secs(1);

/// Where the node stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) height: Height,
    pub(crate) time: TimeMs,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: HashMap<OrderId, Waiter>,
    deadlines: BTreeSet<(TimeMs, OrderId)>,
}

#[derive(Debug)]
struct Waiter {
    wake: watch::Sender<()>,
    deadline: Option<TimeMs>,
}

/// A block, as far as watchers of subjects care.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) height: Height,
    /// Subjects a digest of whom it may have changed; none for any, as blocks before it were not seen.
    pub(crate) subjects: Option<Vec<Subject>>,
}

/// Blocks that a watcher of subjects may be behind before it looks at all of them.
const BEHIND: usize = 1_024;

/// The subscription.
#[derive(Debug)]
pub(crate) struct Feed {
    node: Node,
    directory: Arc<LedgerDirectory>,
    tip: watch::Sender<Tip>,
    waiting: Mutex<Waiting>,
    touched: broadcast::Sender<Arc<Touched>>,
}

/// One order followed by one caller; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Following {
    feed: Arc<Feed>,
    order: OrderId,
    woken: watch::Receiver<()>,
}

impl Following {
    /// The order expires then: it is looked at when the chain's time gets there.
    pub(crate) fn expires(&self, deadline: TimeMs) {
        let mut waiting = self.feed.waiting();
        let Waiting { orders, deadlines } = &mut *waiting;
        if let Some(waiter) = orders.get_mut(&self.order)
            && waiter.deadline.is_none()
        {
            waiter.deadline = Some(deadline);
            deadlines.insert((deadline, self.order));
        }
    }

    /// Waits until a block touches the order. What happened between two calls wakes the second.
    pub(crate) async fn touched(&mut self) {
        if self.woken.changed().await.is_err() {
            // The sender lives as long as anyone follows; were it gone, nothing would ever come.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut waiting = self.feed.waiting();
        let Waiting { orders, deadlines } = &mut *waiting;
        // Our own receiver is still counted.
        if let Some(waiter) = orders.get(&self.order)
            && waiter.wake.receiver_count() <= 1
        {
            if let Some(deadline) = waiter.deadline {
                deadlines.remove(&(deadline, self.order));
            }
            orders.remove(&self.order);
        }
    }
}

impl Feed {
    pub(crate) fn new(node: Node, directory: Arc<LedgerDirectory>) -> Self {
        Self {
            node,
            directory,
            tip: watch::Sender::new(Tip::default()),
            waiting: Mutex::default(),
            touched: broadcast::Sender::new(BEHIND),
        }
    }

    pub(crate) fn tip(&self) -> Tip {
        *self.tip.borrow()
    }

    /// Blocks from now on. Whoever is told of [`RecvError::Lagged`] has missed some.
    ///
    /// [`RecvError::Lagged`]: broadcast::error::RecvError::Lagged
    pub(crate) fn touched(&self) -> broadcast::Receiver<Arc<Touched>> {
        self.touched.subscribe()
    }

    /// Follows an order, which need not exist yet.
    pub(crate) fn follow(self: &Arc<Self>, order: OrderId) -> Following {
        let mut waiting = self.waiting();
        let waiter = waiting.orders.entry(order).or_insert_with(|| Waiter {
            wake: watch::Sender::new(()),
            deadline: None,
        });
        let woken = waiter.wake.subscribe();
        drop(waiting);
        Following {
            feed: self.clone(),
            order,
            woken,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic runs under the lock; were it poisoned, the maps are still sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the node until `stop`, and says by how that goes whether the gateway is fit for work.
    pub(crate) async fn run(self: Arc<Self>, fitness: Fitness, mut stop: watch::Receiver<bool>) {
        fitness.set(false).await;
        loop {
            let ended = tokio::select! {
                ended = self.subscribed(&fitness) => ended,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            fitness.set(false).await;
            tracing::warn!(why = %ended, "the node cannot be followed; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Follows until it fails, and says why.
    async fn subscribed(&self, fitness: &Fitness) -> String {
        match self.try_subscribed(fitness).await {
            Ok(()) => "the stream of blocks ended".to_owned(),
            Err(why) => why,
        }
    }

    async fn try_subscribed(&self, fitness: &Fitness) -> Result<(), String> {
        let said = |status: tonic::Status| format!("{:?}: {}", status.code(), status.message());
        let status = self.node.status().await.map_err(said)?;
        well(&status)?;
        let tip = Tip {
            height: status.height,
            time: status.time_ms,
        };
        let mut blocks = self.node.blocks(tip.height + 1).await.map_err(said)?;
        self.tip.send_replace(tip);
        // Whatever happened while we were away is looked up anew.
        self.directory.changed();
        self.wake_all();
        let _ = self.touched.send(Arc::new(Touched {
            height: tip.height,
            subjects: None,
        }));
        fitness.set(true).await;
        let following = async {
            while let Some(answer) = blocks.message().await.map_err(said)? {
                self.take(&answer.block.ok_or("an answer without a block")?)?;
            }
            Ok(())
        };
        let looking = async {
            loop {
                tokio::time::sleep(LOOK).await;
                well(&self.node.status().await.map_err(said)?)?;
            }
        };
        // Side by side: no block waits for the look.
        tokio::select! {
            ended = following => ended,
            ended = looking => ended,
        }
    }

    fn take(&self, block: &wire::Block) -> Result<(), String> {
        let header = Header::parse(&block.header).map_err(|fault| fault.to_string())?;
        let mut touched = Vec::new();
        let mut directory = false;
        let mut subjects = Vec::new();
        for encoded in &block.transactions {
            let tx = Tx::parse(encoded).map_err(|fault| fault.to_string())?;
            match subject_of(&tx) {
                Touches::Order(order) => touched.push(order),
                Touches::Directory => directory = true,
                Touches::Subjects => subjects.extend(subjects_of(&tx)),
                Touches::Neither => {}
            }
        }
        if directory {
            self.directory.changed();
        }
        self.tip.send_replace(Tip {
            height: header.height,
            time: header.time,
        });
        // Nobody watches, if nobody receives it.
        let _ = self.touched.send(Arc::new(Touched {
            height: header.height,
            subjects: Some(subjects),
        }));
        let waiting = self.waiting();
        let due = waiting
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= header.time)
            .map(|(_, order)| order);
        for order in touched.iter().chain(due) {
            if let Some(waiter) = waiting.orders.get(order) {
                waiter.wake.send_replace(());
            }
        }
        Ok(())
    }

    fn wake_all(&self) {
        for waiter in self.waiting().orders.values() {
            waiter.wake.send_replace(());
        }
    }
}

fn well(status: &wire::GetStatusResponse) -> Result<(), String> {
    if status.halted.is_empty() {
        Ok(())
    } else {
        Err(format!("the node halted: {}", status.halted))
    }
}

/// What a transaction may have changed, of what a gateway looks at.
#[derive(Debug, PartialEq, Eq)]
enum Touches {
    Order(OrderId),
    Directory,
    /// Digests of subjects.
    Subjects,
    Neither,
}

fn subject_of(tx: &Tx) -> Touches {
    match tx.action() {
        Action::PlaceOrder(_) => Touches::Order(OrderId::from(tx.meta().id)),
        Action::AcceptPart(part)
        | Action::RejectPart { part, .. }
        | Action::ConfirmPart { part, .. } => Touches::Order(part.order),
        Action::DeliverPart(delivery) => Touches::Order(delivery.part.order),
        Action::CancelOrder(order)
        | Action::DisputeOrder { order, .. }
        | Action::SettleDispute { order, .. } => Touches::Order(*order),
        Action::AdmitMember(_)
        | Action::FreezeMember { .. }
        | Action::UnfreezeMember { .. }
        | Action::ExpelMember { .. }
        | Action::AddKey(_)
        | Action::RevokeKey(_)
        | Action::AddCertificate(_)
        | Action::RevokeCertificate(_)
        | Action::RegisterSource(_)
        | Action::ActivateSource(_)
        | Action::SuspendSource { .. }
        | Action::RetireSource(_)
        // A vote may carry a change of members, of the catalogue or of the limits.
        | Action::Vote { .. } => Touches::Directory,
        Action::RegisterDigests(_) | Action::WithdrawDigests { .. } => Touches::Subjects,
        Action::OpenUser(_)
        | Action::CloseUser(_)
        | Action::SetSealScheme(_)
        | Action::BindSubjectKey { .. }
        | Action::RequestConsent { .. }
        | Action::GrantConsent { .. }
        | Action::DeclineConsent(_)
        | Action::PauseConsent(_)
        | Action::ResumeConsent(_)
        | Action::RevokeConsent(_)
        | Action::RecordRefusal(_)
        | Action::FileObjection(_)
        | Action::ResolveObjection { .. }
        | Action::WithdrawObjection(_)
        | Action::Propose(_)
        | Action::WithdrawProposal(_)
        | Action::RotateValidator { .. }
        | Action::ReportEquivocation(_) => Touches::Neither,
    }
}

/// The subjects that a transaction registers or withdraws digests of.
fn subjects_of(tx: &Tx) -> Vec<Subject> {
    match tx.action() {
        Action::RegisterDigests(batch) => batch.entries.iter().map(|one| one.subject).collect(),
        Action::WithdrawDigests { subjects, .. } => subjects.clone(),
        _ => Vec::new(),
    }
}
