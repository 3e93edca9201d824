//! The delivery machine: how a data-holding node carries one part of an order from the ledger's event
//! to the release of its sealed report (DESIGN §3 and promise 2, "record before release").
//!
//! ```text
//!            read          seal            spool            submit
//!   Seen ───────────▶ Matching ─────▶ Prepared ─────▶ Recorded ──────▶ Releasable ──▶ (forgotten)
//!     │ no record, other root              │             │  ▲  FinalDelivery │ verdict, age
//!     ▼                                    │             └──┘ expired: again │
//!   Refusing ──▶ (forgotten) ◀─────────────┴──── part closed on the ledger ◀─┘
//! ```
//!
//! Where a source has several data-holding nodes, a part begins in `StandingBy` at all but the first in rank,
//! and comes back there when it cannot be read: the clock, or what the replica shows of the others, leads
//! to `Seen` or out (`turn`). A delivery by another node ends this one's work in any state.
//!
//! Pure: it decides, the data-holding node carries the [`Effect`]s out and answers with [`Input`]s.
//! One struct per state holds only what that state knows. The sealed bytes are private to [`Sealed`];
//! [`Releasable`] alone gives them away, and [`Recorded::release`], which takes the proof that this
//! very delivery is final, is the only way to a [`Releasable`].
//!
//! Not here: reading, sealing, signing, the disk, the network, and how one knows that a block is
//! final; the institution's side of an order is not here either.

mod custody;

use std::fmt;

use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    action::Delivery,
    ids::{Height, ItemCode, SourceId, Subject, TimeMs, TxId},
    item::DigestedReport,
    order::{PartRef, PartRejection, SealScheme},
    outcome::{Event, Outcome, Reason},
    wire::PartStatus,
};

use crate::{
    envelope::{SealedItem, SealedPart, SealedReport},
    turn::Turn,
};

pub use custody::{Released, ReleasedKey, Sealed, SealedLength};

/// What the ledger says of a part that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOrder {
    /// The part.
    pub part: PartRef,
    /// Whom the report is about.
    pub subject: Subject,
    /// The source that is to deliver.
    pub source: SourceId,
    /// The items to deliver, ascending.
    pub items: Vec<ItemCode>,
    /// The report root that the source had registered when the order was placed.
    pub registered_root: Digest,
    /// The institution's encryption key.
    pub recipient: KeyId,
    /// How the order has it sealed.
    pub seal_scheme: SealScheme,
    /// When the part expires, in block time.
    pub deadline: TimeMs,
}

/// A subject's record as the source has it now, digested.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The digested report over all items of the record.
    pub report: DigestedReport,
    /// All items: code and canonical form.
    pub items: Vec<(ItemCode, Vec<u8>)>,
}

impl fmt::Debug for Record {
    /// Codes only: the content stays out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Record({:?})", self.report.codes())
    }
}

/// Proof that a transaction recording a delivery is final on the holder's own replica.
///
/// The replica's edge implements it for the one type that it makes only from a block that it has
/// itself checked and executed, and nobody else implements it.
pub trait FinalDelivery {
    /// Id of the transaction.
    fn id(&self) -> TxId;
    /// Whether this node's own key signed it, and not that of another node of the source.
    fn is_own(&self) -> bool;
    /// What the transaction recorded.
    fn delivery(&self) -> &Delivery;
    /// What it came to.
    fn outcome(&self) -> &Outcome;
}

/// Why a proof does not release a sealed report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The transaction recorded another part.
    #[error("the transaction records the delivery of another part")]
    OtherPart,
    /// The transaction recorded other bytes.
    #[error("the transaction records other sealed bytes")]
    OtherBytes,
    /// The transaction did not make the part a delivered one.
    #[error("the transaction did not record the delivery: {0}")]
    NotDelivered(&'static str),
}

/// What the machine wants done. Each effect names the input that answers it.
#[derive(Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read and digest the subject's record at the source, within a time limit.
    /// Answer: [`Input::Read`].
    ReadRecord(PartOrder),
    /// Look again when this node's clock shows that time, at once if it is past. Answer:
    /// [`Input::Clock`].
    WakeAt(TimeMs),
    /// Seal these items to the recipient. Nothing of the record's other items is in the content but
    /// sibling digests, which their salts keep from being guessed. Answer: [`Input::Sealed`] or
    /// [`Input::SealFailed`].
    Seal {
        /// The institution's encryption key.
        recipient: KeyId,
        /// How.
        scheme: SealScheme,
        /// The content.
        content: SealedReport,
    },
    /// Write the sealed report to disk and sync it: once recorded it must be there after a crash.
    /// Answer: [`Input::Spooled`] or [`Input::SpoolFailed`].
    Spool(Sealed),
    /// Sign this record of the delivery and submit it. Answer: [`Input::Submitted`] as soon as it is
    /// signed. What the submission's answer says is no evidence of anything.
    SubmitDelivery(Delivery),
    /// Sign and submit the refusal of the part. Answer: as with [`Effect::SubmitDelivery`].
    SubmitRejection {
        /// The part.
        part: PartRef,
        /// Why.
        reason: PartRejection,
    },
    /// Answer those who ask for the part: its record is final. The machine's state is now
    /// [`Part::Releasable`]. No answer.
    Release,
    /// Stop all work for the part, and delete its sealed report from the spool. No answer.
    Forget(Forgotten),
}

impl fmt::Debug for Effect {
    /// Without the content that is to be sealed, which stays out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadRecord(order) => write!(out, "ReadRecord({})", order.source),
            Self::WakeAt(at) => write!(out, "WakeAt({at})"),
            Self::Seal { content, .. } => write!(out, "Seal({} items)", content.items.len()),
            Self::Spool(sealed) => write!(out, "Spool({sealed:?})"),
            Self::SubmitDelivery(delivery) => write!(out, "SubmitDelivery({delivery:?})"),
            Self::SubmitRejection { reason, .. } => write!(out, "SubmitRejection({reason:?})"),
            Self::Release => write!(out, "Release"),
            Self::Forget(why) => write!(out, "Forget({why:?})"),
        }
    }
}

/// Why a part is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The ledger closed it: confirmed, mismatched, rejected, expired, cancelled, consent revoked.
    Closed(PartStatus),
    /// The ledger rejected our transaction for good.
    Refused(Reason),
    /// It is recorded as delivered by this node's key, but with bytes that this node does not have.
    Lost,
    /// Another node of the source delivered it.
    Elsewhere,
    /// It could not be sealed to the recipient: the deadline will close it.
    NotSealed,
}

impl Forgotten {
    /// A delivery is recorded whose bytes this node does not have.
    fn without_bytes(proof: &dyn FinalDelivery) -> Self {
        if proof.is_own() {
            Self::Lost
        } else {
            Self::Elsewhere
        }
    }
}

/// What happened.
pub enum Input<'a> {
    /// It is that time, by this node's own clock.
    Clock(TimeMs),
    /// The part was taken up on the ledger.
    TakenUp {
        /// By this node's key; otherwise by another node.
        by_us: bool,
        /// When it was seen here, by this node's own clock.
        now: TimeMs,
    },
    /// The record was read, or why there is none.
    Read(Result<Record, PartRejection>),
    /// The sealed part.
    Sealed(SealedPart),
    /// The recipient's key is not to be had, or sealing failed.
    SealFailed,
    /// The sealed report is on disk.
    Spooled,
    /// The disk did not take it.
    SpoolFailed,
    /// The transaction asked for was signed and is being submitted.
    Submitted {
        /// Its id.
        tx: TxId,
        /// Last height at which it may be ordered.
        expires_at: Height,
    },
    /// The replica has a new tip.
    Tip(Height),
    /// A transaction that records a delivery of the part is final on the replica.
    Final(&'a dyn FinalDelivery),
    /// A transaction of ours was rejected, in a block of the replica.
    Rejected {
        /// Which.
        tx: TxId,
        /// Why.
        reason: Reason,
    },
    /// The part is closed, in a block of the replica.
    Closed(PartStatus),
}

/// What a step leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The new state; none when the part is forgotten.
    pub next: Option<Part>,
    /// What is to be done, in order.
    pub effects: Vec<Effect>,
}

impl Step {
    fn to(next: impl Into<Part>, effects: Vec<Effect>) -> Self {
        Self {
            next: Some(next.into()),
            effects,
        }
    }

    fn stay(next: impl Into<Part>) -> Self {
        Self::to(next, Vec::new())
    }

    fn forget(why: Forgotten) -> Self {
        Self {
            next: None,
            effects: vec![Effect::Forget(why)],
        }
    }
}

/// Left to other nodes of the source for now.
#[derive(Debug, PartialEq, Eq)]
pub struct StandingBy {
    order: PartOrder,
    turn: Turn,
    /// Whether this node has tried and cannot serve it.
    has_failed: bool,
}

/// Ordered; its record is being read.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    order: PartOrder,
    turn: Turn,
    /// Whether this is the second time: then a failure is this source's last word.
    again: bool,
}

/// Its record leads to the registered root; it is being sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Matching {
    order: PartOrder,
    turn: Turn,
    again: bool,
}

/// Sealed; it is being written to the spool.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    order: PartOrder,
    turn: Turn,
    again: bool,
    sealed: Sealed,
}

/// Sealed and on disk; its record is on the way to the ledger. Nothing may leave yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    order: PartOrder,
    sealed: Sealed,
    sent: Option<Sent>,
}

/// Refused; the refusal is on the way to the ledger.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusing {
    order: PartOrder,
    reason: PartRejection,
    sent: Option<Sent>,
}

/// Recorded for good: the sealed report may leave.
#[derive(Debug, PartialEq, Eq)]
pub struct Releasable {
    part: PartRef,
    sealed: Sealed,
    tx: TxId,
}

/// A transaction that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    tx: TxId,
    expires_at: Height,
}

/// One part, in whichever state it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// See [`StandingBy`].
    StandingBy(StandingBy),
    /// See [`Seen`].
    Seen(Seen),
    /// See [`Matching`].
    Matching(Matching),
    /// See [`Prepared`].
    Prepared(Prepared),
    /// See [`Recorded`].
    Recorded(Recorded),
    /// See [`Refusing`].
    Refusing(Refusing),
    /// See [`Releasable`].
    Releasable(Releasable),
}

macro_rules! state {
    ($($name:ident),+) => { $(
        impl From<$name> for Part {
            fn from(state: $name) -> Self {
                Self::$name(state)
            }
        }
    )+ };
}
state!(
    StandingBy, Seen, Matching, Prepared, Recorded, Refusing, Releasable
);

/// How the ledger has a part that the node finds when it starts, or is asked for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Placed or accepted.
    Open,
    /// Delivered.
    Delivered {
        /// Digest of the sealed report.
        digest: Digest,
        /// Whether this node's own key signed the record.
        is_own: bool,
    },
    /// Anything else.
    Closed(PartStatus),
}

impl Part {
    /// A part that the ledger has just placed: read at once, or left to others for a while.
    pub fn placed(order: PartOrder, turn: Turn) -> Step {
        if turn.is_first() {
            return Seen::read(order, turn, false);
        }
        StandingBy::wait(order, turn, false)
    }

    /// A part that is found on the ledger after a restart, with what the spool has of it.
    ///
    /// A spooled report of an open part was sealed before the restart: the same bytes are recorded,
    /// since their record may be on its way already.
    pub fn found(
        order: PartOrder,
        turn: Turn,
        standing: Standing,
        spooled: Option<Sealed>,
    ) -> Step {
        match (standing, spooled) {
            (Standing::Open, None) => Self::placed(order, turn),
            (Standing::Open, Some(sealed)) => Recorded::submit(order, sealed),
            (Standing::Delivered { digest, .. }, Some(sealed)) if sealed.digest() == digest => {
                Step::stay(Recorded {
                    order,
                    sealed,
                    sent: None,
                })
            }
            (Standing::Delivered { is_own: true, .. }, _) => Step::forget(Forgotten::Lost),
            (Standing::Delivered { is_own: false, .. }, _) => Step::forget(Forgotten::Elsewhere),
            (Standing::Closed(status), _) => Step::forget(Forgotten::Closed(status)),
        }
    }

    /// Which part this is.
    pub fn part(&self) -> PartRef {
        match self {
            Self::StandingBy(state) => state.order.part,
            Self::Seen(state) => state.order.part,
            Self::Matching(state) => state.order.part,
            Self::Prepared(state) => state.order.part,
            Self::Recorded(state) => state.order.part,
            Self::Refusing(state) => state.order.part,
            Self::Releasable(state) => state.part,
        }
    }

    /// What an input leads to. An input that a state does not wait for changes nothing: answers may
    /// come late.
    pub fn step(self, input: Input<'_>) -> Step {
        if let Input::Closed(status) = input {
            return Step::forget(Forgotten::Closed(status));
        }
        match (self, input) {
            (Self::Recorded(recorded), input) => recorded.step(input),
            (Self::Releasable(state), _) => Step::stay(state),
            // Before this node has recorded anything, whatever another one delivered is the end of it.
            (state, Input::Final(proof)) if is_delivery_of(proof, &state.part()) => {
                Step::forget(Forgotten::without_bytes(proof))
            }
            (Self::StandingBy(standing_by), input) => standing_by.step(&input),
            (Self::Seen(mut seen), Input::TakenUp { by_us, now }) => {
                seen.turn = seen.turn.taken_up(by_us, now);
                Step::stay(seen)
            }
            (Self::Seen(seen), Input::Read(Ok(record))) => seen.compare(&record),
            (Self::Seen(Seen { order, turn, again }), Input::Read(Err(reason))) => {
                cannot_serve(order, turn, again, reason)
            }
            (Self::Matching(Matching { order, turn, again }), Input::Sealed(part)) => {
                match Sealed::new(part) {
                    // The ledger would refuse to record it.
                    Ok(sealed) if sealed.sealing().scheme() != order.seal_scheme => {
                        Step::forget(Forgotten::NotSealed)
                    }
                    Ok(sealed) => {
                        let spool = Effect::Spool(sealed.clone());
                        let prepared = Prepared {
                            order,
                            turn,
                            again,
                            sealed,
                        };
                        Step::to(prepared, vec![spool])
                    }
                    // It is as long at every other node.
                    Err(SealedLength(_)) => Refusing::submit(order, PartRejection::TooLarge),
                }
            }
            (Self::Matching(_), Input::SealFailed) => Step::forget(Forgotten::NotSealed),
            (Self::Prepared(Prepared { order, sealed, .. }), Input::Spooled) => {
                Recorded::submit(order, sealed)
            }
            // What cannot be kept must not be recorded: after a crash it could not be served.
            (Self::Prepared(prepared), Input::SpoolFailed) => {
                let Prepared {
                    order, turn, again, ..
                } = prepared;
                cannot_serve(order, turn, again, PartRejection::SourceUnavailable)
            }
            (Self::Refusing(refusing), input) => refusing.step(input),
            (state, _) => Step::stay(state),
        }
    }
}

/// Whether a proof shows that the part is delivered, by whomever.
fn is_delivery_of(proof: &dyn FinalDelivery, part: &PartRef) -> bool {
    proof.delivery().part == *part && has_delivered(proof.outcome(), part)
}

fn has_delivered(outcome: &Outcome, part: &PartRef) -> bool {
    let delivered = |event: &Event| {
        matches!(event, Event::PartChanged(changed)
            if changed.order == part.order.to_vec()
                && changed.part == u32::from(part.part)
                && changed.status() == PartStatus::Delivered)
    };
    match outcome {
        Outcome::Applied(events) => events.iter().any(delivered),
        Outcome::Rejected { .. } => false,
    }
}

/// This node cannot serve the part. Others of the source may: their copy may be fresher, or their database
/// up. What it would refuse the part for goes on record only when they had their time.
fn cannot_serve(order: PartOrder, turn: Turn, again: bool, reason: PartRejection) -> Step {
    if again || turn.is_alone() {
        return Refusing::submit(order, reason);
    }
    StandingBy::wait(order, turn, true)
}

impl StandingBy {
    fn wait(order: PartOrder, turn: Turn, has_failed: bool) -> Step {
        let state = Self {
            order,
            turn,
            has_failed,
        };
        let wake = Effect::WakeAt(state.until());
        Step::to(state, vec![wake])
    }

    fn until(&self) -> TimeMs {
        if self.has_failed {
            self.turn.last_word()
        } else {
            self.turn.due()
        }
    }

    fn step(self, input: &Input<'_>) -> Step {
        match *input {
            Input::Clock(now) if now >= self.until() => {
                Seen::read(self.order, self.turn, self.has_failed)
            }
            Input::TakenUp { by_us, now } => {
                let turn = self.turn.taken_up(by_us, now);
                Self::wait(self.order, turn, self.has_failed)
            }
            _ => Step::stay(self),
        }
    }
}

impl Seen {
    fn read(order: PartOrder, turn: Turn, again: bool) -> Step {
        let read = Effect::ReadRecord(order.clone());
        Step::to(Self { order, turn, again }, vec![read])
    }

    /// A record that leads to another root than the one registered before the order is not what the
    /// institution may rely on, and is not delivered.
    fn compare(self, record: &Record) -> Step {
        let Self { order, turn, again } = self;
        if record.report.root() != order.registered_root {
            return cannot_serve(order, turn, again, PartRejection::DigestMismatch);
        }
        let items: Option<Vec<SealedItem>> = order
            .items
            .iter()
            .map(|code| {
                let (salt, path) = record.report.proof(code)?;
                let (_, canonical) = record.items.iter().find(|(has, _)| has == code)?;
                Some(SealedItem {
                    code: code.clone(),
                    canonical: canonical.clone(),
                    salt,
                    path,
                })
            })
            .collect();
        let Some(items) = items else {
            return cannot_serve(order, turn, again, PartRejection::DigestMismatch);
        };
        let seal = Effect::Seal {
            recipient: order.recipient,
            scheme: order.seal_scheme,
            content: SealedReport {
                part: order.part,
                items,
            },
        };
        Step::to(Matching { order, turn, again }, vec![seal])
    }
}

impl Recorded {
    fn submit(order: PartOrder, sealed: Sealed) -> Step {
        let recorded = Self {
            order,
            sealed,
            sent: None,
        };
        let submit = Effect::SubmitDelivery(recorded.delivery());
        Step::to(recorded, vec![submit])
    }

    /// The record of this delivery, as it goes to the ledger.
    pub fn delivery(&self) -> Delivery {
        Delivery {
            part: self.order.part,
            ciphertext_digest: self.sealed.digest(),
            ciphertext_length: self.sealed.length(),
            // The record was compared with it before it was sealed.
            report_root: self.order.registered_root,
            items: self.order.items.clone(),
            sealing: self.sealed.sealing(),
        }
    }

    /// Makes the sealed report releasable, given the proof that its record is final.
    ///
    /// # Errors
    /// Back comes the state, and why the proof is none for these bytes of this part.
    #[expect(
        clippy::result_large_err,
        reason = "the state goes back to its owner, which goes on with it"
    )]
    pub fn release(self, proof: &dyn FinalDelivery) -> Result<Releasable, (Self, Unproven)> {
        let recorded = proof.delivery();
        let part = self.order.part;
        if recorded.part != part {
            return Err((self, Unproven::OtherPart));
        }
        if recorded.ciphertext_digest != self.sealed.digest()
            || recorded.sealing != self.sealed.sealing()
            || recorded.ciphertext_length != self.sealed.length()
        {
            return Err((self, Unproven::OtherBytes));
        }
        match proof.outcome() {
            Outcome::Rejected { reason, .. } => Err((self, Unproven::NotDelivered(reason.code()))),
            outcome @ Outcome::Applied(_) if has_delivered(outcome, &part) => Ok(Releasable {
                part,
                tx: proof.id(),
                sealed: self.sealed,
            }),
            Outcome::Applied(_) => Err((self, Unproven::NotDelivered("the part is not delivered"))),
        }
    }

    fn step(mut self, input: Input<'_>) -> Step {
        match input {
            Input::Final(proof) => match self.release(proof) {
                Ok(releasable) => Step::to(releasable, vec![Effect::Release]),
                // Another node was sooner; or, where it is our own key, another process with it.
                Err((this, Unproven::OtherBytes))
                    if has_delivered(proof.outcome(), &this.order.part) =>
                {
                    Step::forget(Forgotten::without_bytes(proof))
                }
                Err((this, _)) => Step::stay(this),
            },
            Input::Submitted { tx, expires_at } => {
                self.sent = Some(Sent { tx, expires_at });
                Step::stay(self)
            }
            Input::Tip(height) if self.sent.is_some_and(|sent| sent.expires_at < height) => {
                Self::submit(self.order, self.sealed)
            }
            Input::Rejected { tx, reason } if self.sent.is_some_and(|sent| sent.tx == tx) => {
                match reason {
                    Reason::TxExpired => Self::submit(self.order, self.sealed),
                    _ => Step::forget(Forgotten::Refused(reason)),
                }
            }
            _ => Step::stay(self),
        }
    }
}

impl Refusing {
    fn submit(order: PartOrder, reason: PartRejection) -> Step {
        let submit = Effect::SubmitRejection {
            part: order.part,
            reason,
        };
        let refusing = Self {
            order,
            reason,
            sent: None,
        };
        Step::to(refusing, vec![submit])
    }

    fn step(mut self, input: Input<'_>) -> Step {
        match input {
            Input::Submitted { tx, expires_at } => {
                self.sent = Some(Sent { tx, expires_at });
                Step::stay(self)
            }
            Input::Tip(height) if self.sent.is_some_and(|sent| sent.expires_at < height) => {
                Self::submit(self.order, self.reason)
            }
            Input::Rejected { tx, reason } if self.sent.is_some_and(|sent| sent.tx == tx) => {
                match reason {
                    Reason::TxExpired => Self::submit(self.order, self.reason),
                    _ => Step::forget(Forgotten::Refused(reason)),
                }
            }
            _ => Step::stay(self),
        }
    }
}

impl Releasable {
    /// Which part this is.
    pub fn part(&self) -> PartRef {
        self.part
    }

    /// The transaction that recorded it.
    pub fn tx(&self) -> TxId {
        self.tx
    }

    /// The sealed report: whoever holds this value may give it away.
    pub fn into_released(self) -> Released {
        self.sealed.released(self.part)
    }
}
