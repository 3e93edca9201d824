//! Reports that may leave, and the calls that wait for one.
//!
//! Only a [`Releasable`] gets onto the shelf, so whatever a call finds here has its record final on
//! this node's replica.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;
use xinqiao_dispatch::delivery::{Releasable, ReleasedKey};
use xinqiao_ledger::{order::PartRef, wire};

/// A report that may leave, with the receipt of its record.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) ciphertext: Bytes,
    /// The key, if it is the body of a delivery group.
    pub(crate) key: Option<ReleasedKey>,
    pub(crate) receipt: wire::Receipt,
}

/// The shelf of one node. What does not fit in memory is dropped, oldest first: the spool has it.
#[derive(Debug)]
pub(crate) struct Shelf {
    limit: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    released: HashMap<PartRef, Arc<Released>>,
    /// Oldest first.
    order: VecDeque<PartRef>,
    bytes: u64,
    waiting: HashMap<PartRef, Arc<Notify>>,
}

impl Shelf {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a report on the shelf and wakes those who wait for it.
    pub(crate) fn put(&self, releasable: Releasable, receipt: wire::Receipt) {
        let part = releasable.part();
        let released = releasable.into_released();
        let ciphertext = Bytes::from(released.ciphertext);
        let mut inner = self.inner();
        inner.take(&part);
        inner.bytes += ciphertext.len() as u64;
        inner.order.push_back(part);
        let released = Released {
            ciphertext,
            key: released.key,
            receipt,
        };
        inner.released.insert(part, Arc::new(released));
        while inner.bytes > self.limit && inner.order.len() > 1 {
            if let Some(oldest) = inner.order.front().copied() {
                inner.take(&oldest);
            }
        }
        inner.wake(&part);
    }

    /// Takes a report off the shelf; those who wait for it look again.
    pub(crate) fn remove(&self, part: &PartRef) {
        let mut inner = self.inner();
        inner.take(part);
        inner.wake(part);
    }

    /// A report, if it is on the shelf.
    pub(crate) fn get(&self, part: &PartRef) -> Option<Arc<Released>> {
        self.inner().released.get(part).cloned()
    }

    /// Whether somebody waits for a part.
    #[cfg(test)]
    fn is_awaited(&self, part: &PartRef) -> bool {
        self.inner().waiting.contains_key(part)
    }

    /// A place among those who wait for a part.
    pub(crate) fn wait_for(self: &Arc<Self>, part: PartRef) -> Waiting {
        let notify = Arc::clone(self.inner().waiting.entry(part).or_default());
        Waiting {
            shelf: Arc::clone(self),
            part,
            notify,
        }
    }
}

impl Inner {
    fn take(&mut self, part: &PartRef) {
        if let Some(released) = self.released.remove(part) {
            self.bytes -= released.ciphertext.len() as u64;
            self.order.retain(|other| other != part);
        }
    }

    fn wake(&self, part: &PartRef) {
        if let Some(notify) = self.waiting.get(part) {
            notify.notify_waiters();
        }
    }
}

/// One who waits for a part; the place is given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    shelf: Arc<Shelf>,
    part: PartRef,
    pub(crate) notify: Arc<Notify>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.shelf.inner();
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&self.notify) <= 2 {
            inner.waiting.remove(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sm3;
    use xinqiao_ledger::ids::OrderId;

    #[test]
    fn who_no_longer_waits_leaves_nothing_behind() {
        let part = PartRef {
            order: OrderId(sm3(b"whatever somebody asks for")),
            part: 0,
        };
        let shelf = Arc::new(Shelf::new(1_000));
        let (first, second) = (shelf.wait_for(part), shelf.wait_for(part));
        drop(first);
        assert!(shelf.is_awaited(&part));
        drop(second);
        assert!(!shelf.is_awaited(&part));
    }
}
