//! Waiting for one's turn: the edge of [`crate::turns`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;
use xinqiao_ledger::ids::OrgId;
use xinqiao_rpc::{Fault, Reason};

use crate::turns::{Ticket, TooMany, TurnLimits, Turns};

/// When it is worth another try if too many wait: some blocks later.
const AGAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Inner {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Inner {
    /// Wakes those whose turn it is.
    fn wake(&mut self) {
        while let Some(ticket) = self.turns.next() {
            // Whoever is gone meanwhile gives the turn back when its place is dropped.
            if let Some(waiting) = self.waiting.remove(&ticket) {
                let _ = waiting.send(());
            }
        }
    }
}

/// Who is under way and who waits.
#[derive(Debug)]
pub(crate) struct Queue(Mutex<Inner>);

/// One order's place, in line and then under way. Dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    org: OrgId,
    ticket: Ticket,
}

impl Queue {
    pub(crate) fn new(limits: TurnLimits) -> Self {
        Self(Mutex::new(Inner {
            turns: Turns::new(limits),
            waiting: HashMap::new(),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of an order.
    pub(crate) async fn turn(self: &Arc<Self>, org: &OrgId, of_job: bool) -> Result<Place, Fault> {
        let (place, turn) = self.join(org, of_job)?;
        // The sender is there until it has sent, or the place is dropped.
        let _ = turn.await;
        Ok(place)
    }

    fn join(
        self: &Arc<Self>,
        org: &OrgId,
        of_job: bool,
    ) -> Result<(Place, oneshot::Receiver<()>), Fault> {
        let mut inner = self.inner();
        let ticket = inner.turns.join(org, of_job).map_err(|TooMany| {
            tracing::info!(institution = %org, "too many of its orders wait for their turn");
            Fault::new(Reason::TooManyWaiting).retry_after(AGAIN)
        })?;
        let (wake, turn) = oneshot::channel();
        inner.waiting.insert(ticket, wake);
        inner.wake();
        drop(inner);
        let place = Place {
            queue: self.clone(),
            org: org.clone(),
            ticket,
        };
        Ok((place, turn))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.queue.inner();
        match inner.waiting.remove(&self.ticket) {
            Some(_) => inner.turns.leave(&self.org, self.ticket),
            None => inner.turns.done(&self.org),
        }
        inner.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_comes_when_another_is_over_or_given_up() {
        let queue = Arc::new(Queue::new(TurnLimits {
            under_way: 1,
            of_institution: 1,
            waiting: 2,
        }));
        let (a, b): (OrgId, OrgId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = queue.turn(&a, false).await.unwrap();
        let (second, turn) = queue.join(&a, false).unwrap();
        let (third, mut later) = queue.join(&b, false).unwrap();
        drop(second);
        assert!(turn.await.is_err(), "it was given up, and never came");
        assert!(later.try_recv().is_err(), "the first is still under way");
        drop(first);
        later.await.unwrap();
        let _waiting = queue.join(&b, false).unwrap();
        let _waiting = queue.join(&b, false).unwrap();
        let fault = queue.turn(&b, false).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::TooManyWaiting);
        drop(third);
    }
}
