//! The desk: carries the delivery machines of all parts under way.
//!
//! ```text
//!   replica ──blocks──▶ notices ─┐                    ┌─▶ read, seal, spool, sign, hand in (tasks)
//!   tasks ────answers────────────┼─▶ Desk: one owner ─┤
//!   calls ────wanted parts───────┘    of all machines └─▶ shelf (released), spool (forgotten)
//! ```
//!
//! One task owns all machines, so there are no locks between them. What takes time is done by
//! tasks that answer; a part that is forgotten takes its tasks with it. What may be released is not
//! decided here but by the machine, from the replica's proof.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::AbortHandle,
};
use tracing::Instrument;
use xinqiao_contracts::{
    query,
    record::{KeyOwner, KeyState},
};
use xinqiao_crypto::{KeyId, PublicKey, SecretKey};
use xinqiao_dispatch::{
    delivery::{
        Effect, FinalDelivery, Forgotten, Input, Part, PartOrder, Record, Sealed, Standing, Step,
    },
    envelope::{self, SealedPart, SealedReport},
    turn::{Post, Turn},
};
use xinqiao_ledger::{
    ids::{Height, SourceId, TimeMs},
    member::KeyRole,
    order::{PartRef, PartRejection, SealScheme},
    wire::{PartStatus, tx_body::Action},
};
use xinqiao_mls::sealing::Scheme;
use xinqiao_node::Replica;

use crate::{
    config::HolderLimits,
    error::Error,
    groups::Groups,
    holding::Holding,
    proof::OnReplica,
    shelf::Shelf,
    spool::{NotKept, Spool},
    submit::{self, Signed},
    watch::{self, Known, Notice},
};

/// Answers that may wait for the desk.
const QUEUE: usize = 1_024;

/// How often the spool is searched for reports that are too old.
const SWEEP: Duration = Duration::from_secs(60);

/// What the desk and its tasks work with.
pub(crate) struct Shop {
    pub(crate) replica: Replica,
    pub(crate) key: Arc<SecretKey>,
    /// Id of its public key: what the ledger calls this node.
    pub(crate) me: KeyId,
    /// What this node's clock is counted from.
    pub(crate) started: Instant,
    pub(crate) holdings: HashMap<SourceId, Arc<Holding>>,
    pub(crate) spool: Spool,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) limits: HolderLimits,
    pub(crate) slots: Arc<Semaphore>,
}

impl Shop {
    /// Milliseconds since this node began: a clock that nobody sets.
    fn now(&self) -> TimeMs {
        TimeMs::try_from(self.started.elapsed().as_millis()).unwrap_or(TimeMs::MAX)
    }

    /// How long it is until that time of this node's clock.
    fn until(&self, at: TimeMs) -> Duration {
        let from_start = Duration::from_millis(at);
        // Up to a millisecond more, so that the clock shows the time when it is looked at.
        (from_start + Duration::from_millis(1)).saturating_sub(self.started.elapsed())
    }
}

/// What comes to the desk.
enum Message {
    Answer(PartRef, Answer),
    Wanted(PartRef, oneshot::Sender<bool>),
    Found(PartRef, Option<Box<Recorded>>, oneshot::Sender<bool>),
}

/// A recorded part with what is left of it on disk.
struct Recorded {
    known: Known,
    spooled: Option<Sealed>,
    proof: Option<OnReplica>,
}

/// What a task did.
enum Answer {
    Clock,
    Read(Result<Record, PartRejection>, Option<OwnedSemaphorePermit>),
    Sealed(SealedPart),
    SealFailed,
    Spooled,
    SpoolFailed,
    Submitted(Arc<Signed>),
}

/// Asks the desk for parts.
#[derive(Clone)]
pub(crate) struct Counter(mpsc::Sender<Message>);

impl Counter {
    /// Has a recorded part put on the shelf again; false when this node cannot serve it.
    pub(crate) async fn want(&self, part: PartRef) -> bool {
        let (answer, answered) = oneshot::channel();
        self.0.send(Message::Wanted(part, answer)).await.is_ok() && answered.await.unwrap_or(false)
    }
}

/// A task that ends with what it works for.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A part under way.
struct UnderWay {
    state: Part,
    /// The step being carried out; a new one takes its place.
    task: Option<Task>,
    /// Its place among those that are worked on.
    slot: Option<OwnedSemaphorePermit>,
}

/// Owner of all machines.
pub(crate) struct Desk {
    shop: Arc<Shop>,
    parts: BTreeMap<PartRef, UnderWay>,
    messages: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    /// Blocks up to here were looked at.
    height: Height,
}

impl Desk {
    pub(crate) fn new(shop: Arc<Shop>) -> (Self, Counter) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let counter = Counter(sender.clone());
        let desk = Self {
            shop,
            parts: BTreeMap::new(),
            messages,
            sender,
            height: 0,
        };
        (desk, counter)
    }

    /// Works until it is stopped, or the replica cannot be read any more.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop);
        let mut tips = self.shop.replica.watch();
        let mut sweep = tokio::time::interval(SWEEP);
        self.resume().await?;
        loop {
            tokio::select! {
                // Answers first: a transaction's id must be known before the block that has it.
                biased;
                () = &mut stop => return Ok(()),
                Some(message) = self.messages.recv() => self.hear(message),
                changed = tips.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let tip = tips.borrow_and_update().height;
                    self.follow(tip).await?;
                }
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    /// Takes up the open parts that the ledger has already. What the spool has of them goes on.
    async fn resume(&mut self) -> Result<(), Error> {
        // Blocks after this height are followed; some may be in the state already, which harms
        // nothing: a part under way is not taken up twice.
        self.height = self.shop.replica.tip().height;
        let shop = Arc::clone(&self.shop);
        let found = blocking(move || {
            let ours = |id: &SourceId| shop.holdings.contains_key(id);
            let open = watch::open_parts(&shop.replica, &shop.me, &ours)?;
            let with_spool = open.into_values().map(|known| {
                let spooled = shop.spool.load(&known.order.part);
                (known, spooled)
            });
            Ok(with_spool.collect::<Vec<_>>())
        })
        .await?;
        for (known, spooled) in found {
            let part = known.order.part;
            tracing::info!(order = %part.order, part = part.part, "an open part is taken up again");
            let turn = self.turn_at(&known);
            let step = Part::found(known.order, turn, Standing::Open, spooled);
            self.take(part, step);
        }
        Ok(())
    }

    /// Looks at the blocks up to `tip`.
    async fn follow(&mut self, tip: Height) -> Result<(), Error> {
        while self.height < tip {
            let height = self.height + 1;
            let shop = Arc::clone(&self.shop);
            let found = blocking(move || {
                let ours = |id: &SourceId| shop.holdings.contains_key(id);
                watch::notices(&shop.replica, height, &shop.me, &ours)
            })
            .await?;
            // The answers that came meanwhile are older than the block.
            while let Ok(message) = self.messages.try_recv() {
                self.hear(message);
            }
            for notice in found.into_iter().flatten() {
                self.notice(notice);
            }
            self.height = height;
        }
        let under_way: Vec<PartRef> = self.parts.keys().copied().collect();
        for part in under_way {
            self.step(part, Input::Tip(tip));
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Placed(order, placed_at) => {
                let part = order.part;
                if self.parts.contains_key(&part) || watch::is_stale(&order, now_ms()) {
                    return;
                }
                tracing::info!(order = %part.order, part = part.part, source = %order.source, "a part was ordered");
                let turn = self.turn(&order, placed_at);
                self.take(part, Part::placed(order, turn));
            }
            Notice::TakenUp(part, holder) => {
                let (by_us, now) = (holder == self.shop.me, self.shop.now());
                self.step(part, Input::TakenUp { by_us, now });
            }
            Notice::Delivered(part, proof) => {
                if !self.parts.contains_key(&part) && !proof.is_own() {
                    // Nothing is under way here; who waits for it looks again, elsewhere.
                    self.shop.shelf.remove(&part);
                }
                self.step(part, Input::Final(&proof));
            }
            Notice::Rejected(part, tx, reason) => self.step(part, Input::Rejected { tx, reason }),
            Notice::Closed(part, status) => self.close(part, status),
        }
    }

    /// This node's turn for a part of an order that was placed then. How long the part is open follows
    /// from block time; for one that is seen late, from this machine's clock as well.
    fn turn(&self, order: &PartOrder, placed_at: TimeMs) -> Turn {
        let open_ms = order.deadline.saturating_sub(placed_at.max(now_ms()));
        let holding = self.shop.holdings.get(&order.source);
        let post = holding.map_or(Post::ALONE, |holding| holding.post());
        Turn::begin(post, &order.part, self.shop.now(), open_ms)
    }

    /// The same for a part that is found on the ledger, by whomever it was taken up.
    fn turn_at(&self, known: &Known) -> Turn {
        let turn = self.turn(&known.order, known.placed_at);
        match known.holder {
            Some(holder) => turn.taken_up(holder == self.shop.me, self.shop.now()),
            None => turn,
        }
    }

    /// A part that the ledger closed: whether it is under way or was released long ago, nothing of it
    /// stays.
    fn close(&mut self, part: PartRef, status: PartStatus) {
        if self.parts.contains_key(&part) {
            self.step(part, Input::Closed(status));
        } else {
            self.clear(part);
        }
    }

    fn hear(&mut self, message: Message) {
        let (part, answer) = match message {
            Message::Wanted(part, answer) => return self.want(part, answer),
            Message::Found(part, recorded, answer) => {
                let served = self.holds(&part) || self.take_again(part, recorded);
                // The caller may have gone.
                let _ = answer.send(served);
                return;
            }
            Message::Answer(part, answer) => (part, answer),
        };
        let Some(under_way) = self.parts.get_mut(&part) else {
            return;
        };
        let input = match answer {
            Answer::Clock => Input::Clock(self.shop.now()),
            Answer::Read(read, slot) => {
                under_way.slot = slot;
                Input::Read(read)
            }
            Answer::Sealed(sealed) => Input::Sealed(sealed),
            Answer::SealFailed => Input::SealFailed,
            Answer::Spooled => Input::Spooled,
            Answer::SpoolFailed => Input::SpoolFailed,
            Answer::Submitted(signed) => Input::Submitted {
                tx: signed.id,
                expires_at: signed.expires_at,
            },
        };
        self.step(part, input);
    }

    fn holds(&self, part: &PartRef) -> bool {
        self.parts.contains_key(part) || self.shop.shelf.get(part).is_some()
    }

    /// Looks for a part that was released before. The desk goes on while the disk is read.
    fn want(&self, part: PartRef, answer: oneshot::Sender<bool>) {
        if self.holds(&part) {
            // The caller may have gone.
            let _ = answer.send(true);
            return;
        }
        let (shop, sender) = (Arc::clone(&self.shop), self.sender.clone());
        tokio::spawn(async move {
            let found = blocking(move || recorded(&shop, &part)).await;
            let found = found.unwrap_or_else(|error| {
                tracing::error!(order = %part.order, part = part.part, %error, "a recorded part cannot be looked up");
                None
            });
            // When the desk has gone there is nobody left to serve.
            let _ = sender.send(Message::Found(part, found, answer)).await;
        });
    }

    /// Puts a part that was released before on the shelf again, from the spool.
    fn take_again(&mut self, part: PartRef, recorded: Option<Box<Recorded>>) -> bool {
        let Some(recorded) = recorded else {
            return false;
        };
        let turn = self.turn_at(&recorded.known);
        let Known {
            order, standing, ..
        } = recorded.known;
        let step = Part::found(order, turn, standing, recorded.spooled);
        if step.next.is_none() {
            return false;
        }
        self.take(part, step);
        if let Some(proof) = recorded.proof {
            self.step(part, Input::Final(&proof));
        }
        true
    }

    /// Takes up a part.
    fn take(&mut self, part: PartRef, step: Step) {
        self.settle(part, step, None, None);
    }

    /// Feeds a part's machine, if it is under way.
    fn step(&mut self, part: PartRef, input: Input<'_>) {
        if let Some(UnderWay { state, task, slot }) = self.parts.remove(&part) {
            self.settle(part, state.step(input), task, slot);
        }
    }

    fn settle(
        &mut self,
        part: PartRef,
        step: Step,
        mut task: Option<Task>,
        slot: Option<OwnedSemaphorePermit>,
    ) {
        let Step { next, effects } = step;
        for effect in effects {
            match effect {
                Effect::Release => {
                    if let Some(Part::Releasable(releasable)) = next {
                        self.release(releasable);
                    }
                    return;
                }
                Effect::Forget(why) => {
                    match why {
                        Forgotten::Closed(_) => {}
                        Forgotten::Elsewhere => {
                            tracing::info!(order = %part.order, part = part.part, "another node of the source delivered the part");
                        }
                        why => {
                            tracing::warn!(order = %part.order, part = part.part, ?why, "a part is given up");
                        }
                    }
                    self.clear(part);
                    return;
                }
                effect => task = Some(self.start(part, effect)),
            }
        }
        if let Some(state) = next {
            // Who only stands by is in nobody's way.
            let slot = slot.filter(|_| !matches!(state, Part::StandingBy(_)));
            self.parts.insert(part, UnderWay { state, task, slot });
        }
    }

    /// Puts a released report on the shelf, with its receipt.
    fn release(&self, releasable: xinqiao_dispatch::delivery::Releasable) {
        let shop = Arc::clone(&self.shop);
        let (part, tx) = (releasable.part(), releasable.tx());
        tokio::task::spawn_blocking(move || match shop.replica.receipt(&tx) {
            Ok(Some(receipt)) => {
                tracing::info!(order = %part.order, part = part.part, %tx, "a part is recorded and may leave");
                shop.shelf.put(releasable, receipt);
            }
            Ok(None) => tracing::error!(%tx, "a final transaction has no receipt"),
            Err(error) => tracing::error!(%tx, %error, "a receipt cannot be read"),
        });
    }

    fn clear(&self, part: PartRef) {
        self.shop.shelf.remove(&part);
        let shop = Arc::clone(&self.shop);
        tokio::task::spawn_blocking(move || shop.spool.drop_part(&part));
    }

    /// Deletes what nobody has confirmed for too long.
    fn sweep(&self) {
        for part in self.shop.spool.older_than(self.shop.limits.spool_age) {
            if !self.parts.contains_key(&part) {
                tracing::warn!(order = %part.order, part = part.part, "a delivered part was never confirmed; it is deleted");
                self.clear(part);
            }
        }
    }

    fn start(&self, part: PartRef, effect: Effect) -> Task {
        let answers = Answers {
            part,
            sender: self.sender.clone(),
        };
        let shop = Arc::clone(&self.shop);
        let span = tracing::info_span!("part", order = %part.order, part = part.part);
        let task = match effect {
            Effect::WakeAt(at) => tokio::spawn(wake(shop.until(at), answers)),
            Effect::ReadRecord(order) => tokio::spawn(read(shop, order, answers).instrument(span)),
            Effect::Seal {
                recipient,
                scheme,
                content,
            } => tokio::spawn(seal(shop, recipient, scheme, content, answers).instrument(span)),
            Effect::Spool(sealed) => tokio::spawn(spool(shop, sealed, answers).instrument(span)),
            Effect::SubmitDelivery(delivery) => {
                let action = submit::deliver(&delivery);
                tokio::spawn(record(shop, action, answers).instrument(span))
            }
            Effect::SubmitRejection { part, reason } => {
                tracing::warn!(order = %part.order, part = part.part, reason = reason.code(), "a part is refused");
                let action = submit::reject(&part, reason);
                tokio::spawn(record(shop, action, answers).instrument(span))
            }
            Effect::Release | Effect::Forget(_) => tokio::spawn(async {}),
        };
        Task(task.abort_handle())
    }
}

/// The way back to the desk.
struct Answers {
    part: PartRef,
    sender: mpsc::Sender<Message>,
}

impl Answers {
    async fn give(&self, answer: Answer) {
        // When the desk has gone there is nobody left to tell.
        let _ = self.sender.send(Message::Answer(self.part, answer)).await;
    }
}

async fn wake(after: Duration, answers: Answers) {
    tokio::time::sleep(after).await;
    answers.give(Answer::Clock).await;
}

async fn read(shop: Arc<Shop>, order: PartOrder, answers: Answers) {
    let holding = shop.holdings.get(&order.source);
    // First the source's own place, so that one with a long line takes no slot from the others.
    let place = match holding {
        Some(holding) => holding.place().await,
        None => None,
    };
    let slot = Arc::clone(&shop.slots).acquire_owned().await.ok();
    let read = match holding {
        Some(holding) => {
            let reading = holding.record(&order.subject, shop.limits.read_timeout);
            tokio::pin!(reading);
            match tokio::time::timeout(shop.limits.accept_after, &mut reading).await {
                Ok(read) => read,
                Err(_) => {
                    tokio::spawn(take_up(Arc::clone(&shop), order.part).in_current_span());
                    reading.await
                }
            }
        }
        None => Err(PartRejection::SourceUnavailable),
    };
    drop(place);
    answers.give(Answer::Read(read, slot)).await;
}

/// Tells the ledger that a part is being worked on. Nothing depends on it, so it is tried once.
async fn take_up(shop: Arc<Shop>, part: PartRef) {
    let replica = shop.replica.clone();
    let signed = tokio::task::spawn_blocking(move || {
        submit::sign(&shop.replica, &shop.key, submit::accept(&part))
    });
    if let Ok(Ok(signed)) = signed.await
        && let Err(fault) = replica.submit(signed.tx).await
    {
        tracing::debug!(order = %part.order, part = part.part, %fault, "taking up a part was not recorded");
    }
}

/// A part whose delivery is recorded, from the replica and the spool. Blocks.
fn recorded(shop: &Shop, part: &PartRef) -> Result<Option<Box<Recorded>>, Error> {
    let Some(known) = watch::known(&shop.replica, part, &shop.me)? else {
        return Ok(None);
    };
    let Some(tx) = known.delivery else {
        return Ok(None);
    };
    Ok(Some(Box::new(Recorded {
        known,
        spooled: shop.spool.load(part),
        proof: OnReplica::find(&shop.replica, &tx, &shop.me)?,
    })))
}

async fn seal(
    shop: Arc<Shop>,
    recipient: KeyId,
    scheme: SealScheme,
    content: SealedReport,
    answers: Answers,
) {
    let sealed = tokio::task::spawn_blocking(move || match scheme {
        SealScheme::Sm2Sm4Gcm => seal_to(&shop, recipient, &content),
        SealScheme::MlsSm4Gcm => seal_in_group(&shop, &content),
    })
    .await;
    let answer = match sealed {
        Ok(Some(sealed)) => Answer::Sealed(sealed),
        Ok(None) | Err(_) => Answer::SealFailed,
    };
    answers.give(answer).await;
}

/// A digital envelope to the institution's key.
fn seal_to(shop: &Shop, recipient: KeyId, content: &SealedReport) -> Option<SealedPart> {
    let key = encryption_key(&shop.replica, &recipient)?;
    sealed(shop, &Scheme::Envelope(&key), content)
}

/// A body for the delivery group with the institution, in the epoch that is current.
fn seal_in_group(shop: &Shop, content: &SealedReport) -> Option<SealedPart> {
    let institution = match query::order(&shop.replica.state(), &content.part.order) {
        Ok(order) => order?.institution,
        Err(fault) => {
            tracing::error!(%fault, "the replica cannot be read");
            return None;
        }
    };
    match shop.groups.mark(&institution) {
        Ok(mark) => sealed(shop, &Scheme::Group(mark), content),
        Err(error) => {
            tracing::error!(%institution, %error, "the delivery group cannot be used");
            None
        }
    }
}

fn sealed(shop: &Shop, scheme: &Scheme<'_>, content: &SealedReport) -> Option<SealedPart> {
    let aad = envelope::aad(&shop.replica.chain(), &content.part);
    match scheme.seal(&aad, &content.encode(), &mut rand::rng()) {
        Ok(sealed) => Some(sealed),
        Err(error) => {
            tracing::error!(%error, "a report cannot be sealed");
            None
        }
    }
}

/// The institution's encryption key, as the ledger has it now.
fn encryption_key(replica: &Replica, id: &KeyId) -> Option<PublicKey> {
    let record = match query::key(&replica.state(), id) {
        Ok(record) => record?,
        Err(fault) => {
            tracing::error!(%fault, "the replica cannot be read");
            return None;
        }
    };
    let fits = matches!(
        record.owner,
        KeyOwner::Member {
            role: KeyRole::Encryption,
            ..
        }
    ) && record.state == KeyState::Valid;
    if !fits {
        tracing::warn!(key = %id, "the recipient's key is no valid encryption key any more");
    }
    record.key.sm2().filter(|_| fits)
}

async fn spool(shop: Arc<Shop>, sealed: Sealed, answers: Answers) {
    let part = answers.part;
    let kept = tokio::task::spawn_blocking(move || shop.spool.keep(&part, &sealed)).await;
    let answer = match kept {
        Ok(Ok(())) => Answer::Spooled,
        Ok(Err(why @ (NotKept::Full | NotKept::Disk(_)))) => {
            tracing::error!(order = %part.order, part = part.part, %why, "a sealed report cannot be kept");
            Answer::SpoolFailed
        }
        Err(_) => Answer::SpoolFailed,
    };
    answers.give(answer).await;
}

async fn record(shop: Arc<Shop>, action: Action, answers: Answers) {
    let signing = Arc::clone(&shop);
    let signed =
        tokio::task::spawn_blocking(move || submit::sign(&signing.replica, &signing.key, action));
    let signed = match signed.await {
        Ok(Ok(signed)) => Arc::new(signed),
        Ok(Err(fault)) => {
            tracing::error!(%fault, "a transaction cannot be signed: the replica's store fails");
            return;
        }
        Err(_) => return,
    };
    answers.give(Answer::Submitted(Arc::clone(&signed))).await;
    submit::hand_in(shop.replica.clone(), signed, shop.limits.resubmit_after).await;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
