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
//! Pure: it decides, the data-holding node carries the [`Effect`]s out and answers with [`Input`]s.
//! One struct per state holds only what that state knows. The sealed bytes are private to [`Sealed`];
//! [`Releasable`] alone gives them away, and [`Recorded::release`], which takes the proof that this
//! very delivery is final, is the only way to a [`Releasable`].
//!
//! Not here: reading, sealing, signing, the disk, the network, and how one knows that a block is
//! final; the institution's side of an order is not here either.

use std::fmt;

use xinqiao_crypto::{Digest, KeyId, sm3};
use xinqiao_ledger::{
    action::Delivery,
    ids::{Height, ItemCode, SourceId, Subject, TimeMs, TxId},
    item::DigestedReport,
    order::{MAX_SEALED, PartRef, PartRejection, SealScheme},
    outcome::{Event, Outcome, Reason},
    wire::PartStatus,
};

use crate::envelope::{SealedItem, SealedReport};

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

/// A sealed report that may not leave yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Vec<u8>,
    digest: Digest,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// The sealed report is empty or longer than a delivery may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed report has 1 to {MAX_SEALED} bytes, not {0}")]
pub struct SealedLength(pub usize);

impl Sealed {
    /// Takes an envelope into custody.
    ///
    /// # Errors
    /// When it is empty or longer than [`MAX_SEALED`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, SealedLength> {
        if bytes.is_empty() || bytes.len() as u64 > MAX_SEALED {
            return Err(SealedLength(bytes.len()));
        }
        let digest = sm3(&bytes);
        Ok(Self { bytes, digest })
    }

    /// SM3 over the envelope.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes, for the node's own spool and for nothing that leaves the node: those who answer
    /// calls are given a [`Releasable`].
    pub fn for_own_spool(&self) -> &[u8] {
        &self.bytes
    }
}

/// Proof that a transaction recording a delivery is final on the holder's own replica.
///
/// The replica's edge implements it for the one type that it makes only from a block that it has
/// itself checked and executed, and nobody else implements it.
pub trait FinalDelivery {
    /// Id of the transaction.
    fn id(&self) -> TxId;
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
    /// Seal these items to the recipient. Nothing of the record's other items is in the content but
    /// sibling digests, which their salts keep from being guessed. Answer: [`Input::Sealed`] or
    /// [`Input::SealFailed`].
    Seal {
        /// The institution's encryption key.
        recipient: KeyId,
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
    /// It is recorded as delivered, but with bytes that this node does not have.
    Lost,
    /// It could not be sealed to the recipient: the deadline will close it.
    NotSealed,
}

/// What happened.
pub enum Input<'a> {
    /// The record was read, or why there is none.
    Read(Result<Record, PartRejection>),
    /// The envelope.
    Sealed(Vec<u8>),
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

/// Ordered; its record is being read.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    order: PartOrder,
}

/// Its record leads to the registered root; it is being sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Matching {
    order: PartOrder,
}

/// Sealed; it is being written to the spool.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    order: PartOrder,
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
state!(Seen, Matching, Prepared, Recorded, Refusing, Releasable);

/// How the ledger has a part that the node finds when it starts, or is asked for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Placed or accepted.
    Open,
    /// Delivered, with this digest of the sealed report.
    Delivered(Digest),
    /// Anything else.
    Closed(PartStatus),
}

impl Part {
    /// A part that the ledger has just placed.
    pub fn placed(order: PartOrder) -> Step {
        let read = Effect::ReadRecord(order.clone());
        Step::to(Seen { order }, vec![read])
    }

    /// A part that is found on the ledger after a restart, with what the spool has of it.
    ///
    /// A spooled report of an open part was sealed before the restart: the same bytes are recorded,
    /// since their record may be on its way already.
    pub fn found(order: PartOrder, standing: Standing, spooled: Option<Sealed>) -> Step {
        match (standing, spooled) {
            (Standing::Open, None) => Self::placed(order),
            (Standing::Open, Some(sealed)) => Recorded::submit(order, sealed),
            (Standing::Delivered(digest), Some(sealed)) if sealed.digest == digest => {
                Step::stay(Recorded {
                    order,
                    sealed,
                    sent: None,
                })
            }
            (Standing::Delivered(_), _) => Step::forget(Forgotten::Lost),
            (Standing::Closed(status), _) => Step::forget(Forgotten::Closed(status)),
        }
    }

    /// Which part this is.
    pub fn part(&self) -> PartRef {
        match self {
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
            (Self::Seen(seen), Input::Read(Ok(record))) => seen.compare(&record),
            (Self::Seen(Seen { order }), Input::Read(Err(reason))) => {
                Refusing::submit(order, reason)
            }
            (Self::Matching(Matching { order }), Input::Sealed(bytes)) => {
                match Sealed::new(bytes) {
                    Ok(sealed) => {
                        let spool = Effect::Spool(sealed.clone());
                        Step::to(Prepared { order, sealed }, vec![spool])
                    }
                    Err(SealedLength(_)) => Refusing::submit(order, PartRejection::TooLarge),
                }
            }
            (Self::Matching(_), Input::SealFailed) => Step::forget(Forgotten::NotSealed),
            (Self::Prepared(Prepared { order, sealed }), Input::Spooled) => {
                Recorded::submit(order, sealed)
            }
            // What cannot be kept must not be recorded: after a crash it could not be served.
            (Self::Prepared(Prepared { order, .. }), Input::SpoolFailed) => {
                Refusing::submit(order, PartRejection::SourceUnavailable)
            }
            (Self::Recorded(recorded), input) => recorded.step(input),
            (Self::Refusing(refusing), input) => refusing.step(input),
            (state, _) => Step::stay(state),
        }
    }
}

impl Seen {
    /// A record that leads to another root than the one registered before the order is not what the
    /// institution may rely on, and is not delivered.
    fn compare(self, record: &Record) -> Step {
        let Self { order } = self;
        if record.report.root() != order.registered_root {
            return Refusing::submit(order, PartRejection::DigestMismatch);
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
            return Refusing::submit(order, PartRejection::DigestMismatch);
        };
        let seal = Effect::Seal {
            recipient: order.recipient,
            content: SealedReport {
                part: order.part,
                items,
            },
        };
        Step::to(Matching { order }, vec![seal])
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
            ciphertext_digest: self.sealed.digest,
            ciphertext_length: self.sealed.length(),
            // The record was compared with it before it was sealed.
            report_root: self.order.registered_root,
            items: self.order.items.clone(),
            scheme: SealScheme::Sm2Sm4Gcm,
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
        if recorded.ciphertext_digest != self.sealed.digest
            || recorded.ciphertext_length != self.sealed.length()
        {
            return Err((self, Unproven::OtherBytes));
        }
        let delivered = |event: &Event| {
            matches!(event, Event::PartChanged(changed)
                if changed.order == part.order.to_vec()
                    && changed.part == u32::from(part.part)
                    && changed.status() == PartStatus::Delivered)
        };
        match proof.outcome() {
            Outcome::Rejected { reason, .. } => Err((self, Unproven::NotDelivered(reason.code()))),
            Outcome::Applied(events) if events.iter().any(delivered) => Ok(Releasable {
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
                // Another process with the same key recorded other bytes for this part.
                Err((_, Unproven::OtherBytes))
                    if matches!(proof.outcome(), Outcome::Applied(_)) =>
                {
                    Step::forget(Forgotten::Lost)
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
    pub fn into_ciphertext(self) -> Vec<u8> {
        self.sealed.bytes
    }
}
