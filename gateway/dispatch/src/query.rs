//! The institution's machine for one query: which parts are open, what came of each, when to answer.
//!
//! ```text
//!            Placed ──▶ Fetch every part
//!   per part:  Open ── Opened ──▶ Opened    (Confirm)
//!                   ── Broken ──▶ Broken    (Confirm with the verdict)
//!                   ── Seen closed ──▶ Closed  (StopFetching)
//!                   ── FetchFailed ──▶ Open  (Fetch again, later)
//!                   ── DeadlinePassed ──▶ Closed (StopFetching)
//!   no part open ──▶ Answer
//! ```
//!
//! It carries nothing out and has no clock: the agent fetches, watches, opens and confirms as it is
//! told, and says when the deadline has passed. A part that never comes costs that part alone.

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::{Height, ItemCode, OrderId, SourceId, TimeMs, TxId},
    malformed::{Malformed, Problem},
    order::{MAX_PARTS, OrderPart, PartIndex, PartRef, Verdict},
    outcome::{Event, Outcome},
    receipt::Proven,
    wire::{self, PartStatus},
};

use crate::opening::{Broken, VerifiedItem};

/// The reason of a part that was still open when the query's time was over.
pub const DEADLINE: &str = "DEADLINE";

/// The first and the longest pause before a part is fetched again, in milliseconds.
const RETRY_MS: (u64, u64) = (20, 1_000);

/// An order as the ledger placed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its id.
    pub order: OrderId,
    /// Its parts.
    pub parts: Vec<OrderPart>,
    /// Items that no source holds for the subject.
    pub missing: Vec<ItemCode>,
    /// When its parts expire, in block time.
    pub deadline: TimeMs,
    /// Height at which it was placed.
    pub height: Height,
    /// Time of that block.
    pub time: TimeMs,
}

/// What the ledger decided about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It was placed.
    Placed(Placed),
    /// It was refused, and the refusal recorded.
    Refused {
        /// Reason code.
        reason: String,
        /// What was at fault; may be empty.
        subject: String,
    },
}

/// A receipt says nothing about the order that was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTheOrder {
    /// It is of another transaction.
    #[error("the receipt is of another transaction")]
    OtherTransaction,
    /// Its outcome has no decision on an order.
    #[error("the outcome holds no decision on the order")]
    NoDecision,
    /// Its event is not well formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Decision {
    /// Reads the decision on the order that was sent as transaction `sent`.
    ///
    /// # Errors
    /// When the receipt is not that order's.
    pub fn read(proven: &Proven, sent: TxId) -> Result<Self, NotTheOrder> {
        if proven.id() != sent {
            return Err(NotTheOrder::OtherTransaction);
        }
        let events = match proven.outcome() {
            Outcome::Applied(events) => events,
            Outcome::Rejected { reason, subject } => {
                return Ok(Self::Refused {
                    reason: reason.code().to_owned(),
                    subject: subject.clone(),
                });
            }
        };
        let header = proven.header();
        events
            .iter()
            .find_map(|event| match event {
                Event::OrderPlaced(placed) => Some(placed_of(placed, header.height, header.time)),
                Event::AttemptRefused(refused) => Some(Ok(Self::Refused {
                    reason: refused.reason.clone(),
                    subject: refused.subject.clone(),
                })),
                _ => None,
            })
            .unwrap_or(Err(NotTheOrder::NoDecision))
            .and_then(|decision| match &decision {
                Self::Placed(placed) if placed.order != OrderId::from(sent) => {
                    Err(NotTheOrder::OtherTransaction)
                }
                _ => Ok(decision),
            })
    }
}

fn placed_of(
    wire: &wire::OrderPlaced,
    height: Height,
    time: TimeMs,
) -> Result<Decision, NotTheOrder> {
    if wire.parts.len() > MAX_PARTS {
        let problem = Problem::TooMany {
            max: MAX_PARTS,
            got: wire.parts.len(),
        };
        return Err(Malformed::new("parts", problem).into());
    }
    let codes = |field: &str, codes: &[String]| -> Result<Vec<ItemCode>, Malformed> {
        codes
            .iter()
            .map(|code| ItemCode::parse(field, code))
            .collect()
    };
    let part = |part: &wire::OrderPart| {
        Ok::<_, Malformed>(OrderPart {
            source: SourceId::parse("parts.source", &part.source)?,
            items: codes("parts.items", &part.items)?,
            registered_root: Digest::try_from(part.registered_root.as_slice()).map_err(|_| {
                let problem = Problem::Length {
                    expected: Digest::LEN,
                    got: part.registered_root.len(),
                };
                Malformed::new("parts.registered_root", problem)
            })?,
            digest_version: part.digest_version,
            as_of_day: part.as_of_day,
            registered_at: part.registered_at_height,
        })
    };
    Ok(Decision::Placed(Placed {
        order: OrderId::parse("order", &wire.order)?,
        parts: wire.parts.iter().map(part).collect::<Result<_, _>>()?,
        missing: codes("missing_items", &wire.missing_items)?,
        deadline: wire.deadline_ms,
        height,
        time,
    }))
}

/// What happens to a query from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A part was fetched, opened and verified.
    Opened {
        /// The part.
        part: PartIndex,
        /// Its items.
        items: Vec<VerifiedItem>,
        /// From placing the order to now, in microseconds.
        elapsed_us: u64,
    },
    /// A part was fetched and found wrong.
    Broken {
        /// The part.
        part: PartIndex,
        /// What is wrong.
        broken: Broken,
        /// From placing the order to now, in microseconds.
        elapsed_us: u64,
    },
    /// A part could not be fetched this time.
    FetchFailed {
        /// The part.
        part: PartIndex,
        /// Reason code.
        reason: String,
    },
    /// The ledger shows a part in this state.
    Seen {
        /// The part.
        part: PartIndex,
        /// Its state.
        status: PartStatus,
        /// Reason code; may be empty.
        reason: String,
    },
    /// The query's time is over.
    DeadlinePassed,
}

/// Everything that a query asks of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Fetch the part after that pause; answer with `Opened`, `Broken` or `FetchFailed`.
    Fetch {
        /// The part.
        part: PartIndex,
        /// Milliseconds to wait first.
        after_ms: u64,
    },
    /// Stop fetching the part, if that is under way. Needs no answer.
    StopFetching {
        /// The part.
        part: PartIndex,
    },
    /// Record what was found. Needs no answer, and the report does not wait for it.
    Confirm {
        /// The part.
        part: PartRef,
        /// What was found.
        verdict: Verdict,
    },
    /// Every part is settled: take [`Query::into_report`]. It comes once.
    Answer,
}

#[derive(Debug)]
enum Progress {
    Open {
        seen: PartStatus,
        failures: u32,
        last_failure: Option<String>,
    },
    Opened {
        items: Vec<VerifiedItem>,
        elapsed_us: u64,
    },
    Broken {
        verdict: Verdict,
        elapsed_us: u64,
    },
    Closed {
        status: PartStatus,
        reason: String,
    },
}

/// One query under way.
#[derive(Debug)]
pub struct Query {
    placed: Placed,
    parts: Vec<Progress>,
    answered: bool,
}

impl Query {
    /// Begins with an order that was placed.
    pub fn begin(placed: Placed) -> (Self, Vec<Effect>) {
        let parts = placed
            .parts
            .iter()
            .map(|_| Progress::Open {
                seen: PartStatus::Placed,
                failures: 0,
                last_failure: None,
            })
            .collect();
        let mut query = Self {
            placed,
            parts,
            answered: false,
        };
        let mut effects: Vec<Effect> = (0..query.parts.len())
            .map(|index| Effect::Fetch {
                part: part_index(index),
                after_ms: 0,
            })
            .collect();
        effects.extend(query.answer_if_settled());
        (query, effects)
    }

    /// The order.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Takes one input. What comes for a part that is settled, or for none at all, changes nothing.
    pub fn apply(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = match input {
            Input::Opened {
                part,
                items,
                elapsed_us,
            } => self.settle(part, Progress::Opened { items, elapsed_us }),
            Input::Broken {
                part,
                broken: Broken { verdict, .. },
                elapsed_us,
            } => self.settle(
                part,
                Progress::Broken {
                    verdict,
                    elapsed_us,
                },
            ),
            Input::FetchFailed { part, reason } => self.fetch_again(part, reason),
            Input::Seen {
                part,
                status,
                reason,
            } => self.seen(part, status, reason),
            Input::DeadlinePassed => self.give_up(),
        };
        effects.extend(self.answer_if_settled());
        effects
    }

    fn open_part(&mut self, part: PartIndex) -> Option<&mut Progress> {
        self.parts
            .get_mut(usize::from(part))
            .filter(|progress| matches!(progress, Progress::Open { .. }))
    }

    fn settle(&mut self, part: PartIndex, found: Progress) -> Vec<Effect> {
        let verdict = match &found {
            Progress::Opened { .. } => Verdict::Confirmed,
            Progress::Broken { verdict, .. } => *verdict,
            Progress::Open { .. } | Progress::Closed { .. } => return Vec::new(),
        };
        let order = self.placed.order;
        let Some(progress) = self.open_part(part) else {
            return Vec::new();
        };
        *progress = found;
        vec![Effect::Confirm {
            part: PartRef { order, part },
            verdict,
        }]
    }

    fn fetch_again(&mut self, part: PartIndex, reason: String) -> Vec<Effect> {
        let Some(Progress::Open {
            failures,
            last_failure,
            ..
        }) = self.open_part(part)
        else {
            return Vec::new();
        };
        let after_ms = (RETRY_MS.0 << (*failures).min(10)).min(RETRY_MS.1);
        *failures += 1;
        *last_failure = Some(reason);
        vec![Effect::Fetch { part, after_ms }]
    }

    fn seen(&mut self, part: PartIndex, status: PartStatus, reason: String) -> Vec<Effect> {
        let Some(progress) = self.open_part(part) else {
            return Vec::new();
        };
        if is_closed(status) {
            *progress = Progress::Closed { status, reason };
            return vec![Effect::StopFetching { part }];
        }
        if let Progress::Open { seen, .. } = progress {
            *seen = status;
        }
        Vec::new()
    }

    fn give_up(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (index, progress) in self.parts.iter_mut().enumerate() {
            if let Progress::Open {
                seen, last_failure, ..
            } = progress
            {
                *progress = Progress::Closed {
                    status: *seen,
                    reason: last_failure.take().unwrap_or_else(|| DEADLINE.to_owned()),
                };
                effects.push(Effect::StopFetching {
                    part: part_index(index),
                });
            }
        }
        effects
    }

    fn answer_if_settled(&mut self) -> Option<Effect> {
        let open = self
            .parts
            .iter()
            .any(|progress| matches!(progress, Progress::Open { .. }));
        if open || self.answered {
            return None;
        }
        self.answered = true;
        Some(Effect::Answer)
    }

    /// What came of it: sections by item and then by source, and every part's outcome. A part that was
    /// opened stands as confirmed or mismatched, whether or not the ledger has the verdict already.
    pub fn into_report(self) -> Report {
        let mut sections = Vec::new();
        let mut parts = Vec::with_capacity(self.parts.len());
        for (index, (fixed, progress)) in self.placed.parts.iter().zip(self.parts).enumerate() {
            let (status, reason, elapsed_us) = match progress {
                Progress::Open { seen, .. } => (seen, DEADLINE.to_owned(), 0),
                Progress::Closed { status, reason } => (status, reason, 0),
                Progress::Broken {
                    verdict,
                    elapsed_us,
                } => (
                    PartStatus::Mismatched,
                    verdict.code().to_owned(),
                    elapsed_us,
                ),
                Progress::Opened { items, elapsed_us } => {
                    sections.extend(items.into_iter().map(|item| Section { part: index, item }));
                    (PartStatus::Confirmed, String::new(), elapsed_us)
                }
            };
            parts.push(PartOutcome {
                fixed: fixed.clone(),
                status,
                reason,
                elapsed_us,
            });
        }
        // Parts are in ascending order of sources, so their index orders sections by source.
        sections.sort_by(|left, right| {
            (left.item.code(), left.part).cmp(&(right.item.code(), right.part))
        });
        Report { sections, parts }
    }
}

/// States in which nothing will be delivered any more.
fn is_closed(status: PartStatus) -> bool {
    matches!(
        status,
        PartStatus::Rejected
            | PartStatus::Expired
            | PartStatus::Cancelled
            | PartStatus::ConsentRevoked
    )
}

fn part_index(index: usize) -> PartIndex {
    PartIndex::try_from(index).expect("an order has at most 64 parts")
}

/// One verified item of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Index of the part it came with.
    pub part: usize,
    /// The item.
    pub item: VerifiedItem,
}

/// What became of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOutcome {
    /// What the order had fixed.
    pub fixed: OrderPart,
    /// Where it stands.
    pub status: PartStatus,
    /// Reason code; may be empty.
    pub reason: String,
    /// From placing the order to the opened delivery, in microseconds; 0 if nothing came.
    pub elapsed_us: u64,
}

/// What came of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Sections, by item and then by source.
    pub sections: Vec<Section>,
    /// Every part's outcome, in the order's own order.
    pub parts: Vec<PartOutcome>,
}

#[cfg(test)]
mod tests;
