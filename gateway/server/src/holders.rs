//! Which data-holding node of a source is asked for a part: the one that is to work on it first, the
//! others side by side a little later, and at once where the first one is known to be away.
//!
//! A call to a holder waits until the part is delivered, so one that hangs looks like one that waits.
//! That is why nobody is waited for alone. What is remembered is one bit for each configured node:
//! whether it answered when it was asked last.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tonic::Status;
use xinqiao_dispatch::turn::ranking;
use xinqiao_ledger::order::PartRef;
use xinqiao_rpc::{Fault, FaultView, Reason};

use crate::config::Endpoint;

/// After how long the next node is asked beside those that were asked already.
const HEDGE: Duration = Duration::from_millis(150);

/// The data-holding nodes of one source, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Holders(Vec<Known>);

#[derive(Debug)]
struct Known {
    endpoint: Endpoint,
    /// Whether it answered when it was asked last; so it is taken to be at first.
    answers: AtomicBool,
}

impl Holders {
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        let known = |endpoint| Known {
            endpoint,
            answers: AtomicBool::new(true),
        };
        Self(endpoints.into_iter().map(known).collect())
    }

    /// Asks for a part until one of them serves it.
    ///
    /// # Errors
    /// When all were asked and none serves it: with one that may pass, if there is one.
    pub(crate) async fn ask<T, F>(
        &self,
        part: &PartRef,
        call: impl Fn(Endpoint) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let order = self.order(part);
        let mut round = Round::of(order.len());
        let mut asked = FuturesUnordered::new();
        let mut failure: Option<Status> = None;
        let mut heard = Heard::Silence;
        loop {
            for place in round.next(heard) {
                let known = order[place];
                let answer = call(known.endpoint.clone());
                asked.push(async move { (known, answer.await) });
            }
            let (known, answer) = tokio::select! {
                Some(answered) = asked.next() => answered,
                () = tokio::time::sleep(HEDGE), if round.has_more() => {
                    heard = Heard::Silence;
                    continue;
                }
                else => {
                    return Err(failure.unwrap_or_else(|| {
                        Fault::new(Reason::UpstreamUnavailable)
                            .because("no data-holding node is configured")
                            .status()
                    }));
                }
            };
            let status = match answer {
                Ok(served) => {
                    known.answers.store(true, Ordering::Relaxed);
                    return Ok(served);
                }
                Err(status) => status,
            };
            let view = FaultView::from_status(&status);
            let is_away = view.reason == Some(Reason::UpstreamUnavailable);
            known.answers.store(!is_away, Ordering::Relaxed);
            heard = if is_elsewhere(&view) {
                Heard::Elsewhere
            } else {
                Heard::Failure
            };
            failure = Some(match failure {
                Some(before) if weight(&before) >= weight(&status) => before,
                _ => status,
            });
        }
    }

    /// In the order in which they work on the part; those that did not answer last are asked last.
    fn order(&self, part: &PartRef) -> Vec<&Known> {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        let ranked = ranking(part, count);
        let ranked = ranked.into_iter().map(|node| &self.0[usize::from(node)]);
        let (mut first, last): (Vec<_>, Vec<_>) =
            ranked.partition(|known| known.answers.load(Ordering::Relaxed));
        first.extend(last);
        first
    }
}

/// What was heard since the last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Nothing, for a while.
    Silence,
    /// One of them does not serve the part.
    Failure,
    /// One of them says that another one delivered it.
    Elsewhere,
}

/// Who of so many is to be asked next, by their places in the order.
#[derive(Debug)]
struct Round {
    left: std::ops::Range<usize>,
}

impl Round {
    fn of(count: usize) -> Self {
        Self { left: 0..count }
    }

    /// Whether somebody was not asked yet.
    fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    fn next(&mut self, heard: Heard) -> std::ops::Range<usize> {
        let count = match heard {
            Heard::Silence | Heard::Failure => self.left.len().min(1),
            Heard::Elsewhere => self.left.len(),
        };
        let now = self.left.start..self.left.start + count;
        self.left.start = now.end;
        now
    }
}

/// Whether the node that was asked says that another one delivered the part.
fn is_elsewhere(view: &FaultView) -> bool {
    view.metadata.contains_key("delivered_by")
}

/// Which of two failures says more: one that may pass, for then asking again is worth it; then one that
/// is more than a hint at another node.
fn weight(status: &Status) -> u8 {
    let view = FaultView::from_status(status);
    if view.is_transient() {
        2
    } else {
        u8::from(!is_elsewhere(&view))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use xinqiao_crypto::sm3;
    use xinqiao_ledger::ids::OrderId;

    use super::*;

    fn part() -> PartRef {
        PartRef {
            order: OrderId(sm3(b"order")),
            part: 0,
        }
    }

    #[test]
    fn one_after_the_other_is_asked_and_all_once_another_is_known_to_have_it() {
        use Heard::{Elsewhere, Failure, Silence};
        for (count, heard, expected) in [
            (1, &[Silence, Silence][..], &[0..1, 1..1][..]),
            (3, &[Silence, Silence, Silence], &[0..1, 1..2, 2..3]),
            (
                3,
                &[Silence, Failure, Failure, Failure],
                &[0..1, 1..2, 2..3, 3..3],
            ),
            (4, &[Silence, Elsewhere, Silence], &[0..1, 1..4, 4..4]),
            (4, &[Silence, Failure, Elsewhere], &[0..1, 1..2, 2..4]),
            (0, &[Silence, Silence], &[0..0, 0..0]),
        ] {
            let mut round = Round::of(count);
            let asked: Vec<_> = heard.iter().map(|heard| round.next(*heard)).collect();
            assert_eq!(asked, expected, "{count} {heard:?}");
            assert_eq!(
                round.has_more(),
                expected.last().is_some_and(|last| last.end < count)
            );
        }
    }

    /// What the node of that rank does.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Serves,
        Fails(fn() -> Status),
        Hangs,
    }

    fn away() -> Status {
        Fault::new(Reason::UpstreamUnavailable).status()
    }

    fn elsewhere() -> Status {
        let fault = Fault::new(Reason::DeliveryNotFound);
        fault.with("delivered_by", "another key").status()
    }

    fn gone() -> Status {
        Fault::new(Reason::DeliveryNotFound).status()
    }

    /// Nodes by rank for [`part`]: their names are their ranks.
    fn holders(count: u8) -> Holders {
        let ranked = ranking(&part(), count);
        let mut named = BTreeMap::new();
        for (rank, node) in ranked.iter().enumerate() {
            named.insert(*node, rank.to_string());
        }
        let endpoint = |uri| Endpoint {
            uri,
            org: "bureau".parse().unwrap(),
        };
        Holders::new(named.into_values().map(endpoint).collect())
    }

    /// Asks, and gives who served or why nobody did, and who was asked.
    async fn asked(holders: &Holders, does: &[Does]) -> (Result<String, Option<Reason>>, String) {
        let calls = Mutex::new(String::new());
        let call = |endpoint: Endpoint| {
            let what = does[endpoint.uri.parse::<usize>().unwrap()];
            calls.lock().unwrap().push_str(&endpoint.uri);
            async move {
                match what {
                    Does::Serves => Ok(endpoint.uri),
                    Does::Fails(why) => Err(why()),
                    Does::Hangs => std::future::pending().await,
                }
            }
        };
        let answer = holders.ask(&part(), call).await;
        let answer = answer.map_err(|status| FaultView::from_status(&status).reason);
        let calls = calls.lock().unwrap().clone();
        (answer, calls)
    }

    #[tokio::test]
    async fn whoever_serves_is_found_and_otherwise_the_failure_that_says_most() {
        use Does::{Fails, Hangs, Serves};
        const AWAY: Option<Reason> = Some(Reason::UpstreamUnavailable);
        const GONE: Option<Reason> = Some(Reason::DeliveryNotFound);
        type Row = (
            &'static [Does],
            Result<&'static str, Option<Reason>>,
            &'static str,
        );
        let rows: &[Row] = &[
            (&[], Err(AWAY), ""),
            (&[Serves], Ok("0"), "0"),
            (&[Fails(away)], Err(AWAY), "0"),
            (&[Serves, Hangs], Ok("0"), "0"),
            (&[Hangs, Serves], Ok("1"), "01"),
            (&[Hangs, Hangs, Hangs, Serves], Ok("3"), "0123"),
            (&[Fails(away), Serves], Ok("1"), "01"),
            (&[Fails(elsewhere), Hangs, Serves], Ok("2"), "012"),
            // Who delivered is away, and may come back.
            (&[Fails(elsewhere), Fails(away)], Err(AWAY), "01"),
            (&[Fails(away), Fails(elsewhere)], Err(AWAY), "01"),
            (&[Fails(away), Fails(gone)], Err(AWAY), "01"),
            (&[Fails(gone), Fails(elsewhere)], Err(GONE), "01"),
        ];
        for (does, expected, calls) in rows {
            let holders = holders(u8::try_from(does.len()).unwrap());
            let (answer, asked) = asked(&holders, does).await;
            let answer = answer.as_deref().map_err(|why| *why);
            assert_eq!((answer, &*asked), (*expected, *calls), "{does:?}");
        }
    }

    #[tokio::test]
    async fn who_was_away_is_asked_last_until_it_answers_again() {
        use Does::{Fails, Hangs, Serves};
        let holders = holders(2);
        for (does, expected) in [
            ([Fails(away), Serves], "01"),
            ([Fails(away), Serves], "1"),
            // The one that is well hangs, so the other is asked as well, and is back.
            ([Serves, Hangs], "10"),
            ([Serves, Serves], "0"),
        ] {
            let (answer, asked) = asked(&holders, &does).await;
            assert!(answer.is_ok(), "{does:?}");
            assert_eq!(asked, expected, "{does:?}");
        }
    }
}
