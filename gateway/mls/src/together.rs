//! Work on one thing that is done together: whoever comes while some of it is under way waits, and all who wait are
//! served in one go. For work that ends with a write to disk, which costs the same for one as for many.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// Pieces of one go, at most.
const MOST: usize = 64;

/// Pieces `W` that wait for what comes of them.
pub struct Together<W, R> {
    waiting: Mutex<Waiting<W, R>>,
    work: Box<dyn Fn(Vec<W>) -> Vec<R> + Send + Sync>,
}

struct Waiting<W, R> {
    pieces: VecDeque<(W, oneshot::Sender<R>)>,
    /// Whether a thread serves them.
    served: bool,
}

impl<W: Send + 'static, R: Send + 'static> Together<W, R> {
    /// `work` gives one result for each piece, in order. It may block: it runs on a thread for that.
    pub fn new(work: impl Fn(Vec<W>) -> Vec<R> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Waiting {
                pieces: VecDeque::new(),
                served: false,
            }),
            work: Box::new(work),
        })
    }

    /// What comes of a piece; none if the work panicked. A piece that was handed in is worked on even if nobody waits
    /// for it any more.
    pub async fn add(self: &Arc<Self>, piece: W) -> Option<R> {
        let (tell, told) = oneshot::channel();
        let idle = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.pieces.push_back((piece, tell));
            !std::mem::replace(&mut waiting.served, true)
        };
        if idle {
            let serving = Serving(Arc::clone(self));
            tokio::task::spawn_blocking(move || serving.run());
        }
        told.await.ok()
    }

    /// The next pieces; none ends the serving.
    fn next(&self) -> Option<Vec<(W, oneshot::Sender<R>)>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let most = waiting.pieces.len().min(MOST);
        waiting.served = most > 0;
        (most > 0).then(|| waiting.pieces.drain(..most).collect())
    }
}

/// A thread that serves until nobody waits.
struct Serving<W, R>(Arc<Together<W, R>>);

impl<W: Send + 'static, R: Send + 'static> Serving<W, R> {
    fn run(&self) {
        while let Some(pieces) = self.0.next() {
            let (pieces, tell): (Vec<W>, Vec<_>) = pieces.into_iter().unzip();
            // After a panic those whose pieces these were are told, and whoever comes next is served.
            let results = catch_unwind(AssertUnwindSafe(|| (self.0.work)(pieces)));
            for (result, tell) in results.into_iter().flatten().zip(tell) {
                // Who has gone does not want to know.
                let _ = tell.send(result);
            }
        }
    }
}

impl<W, R> std::fmt::Debug for Together<W, R> {
    /// Without content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Together")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_comes_meanwhile_is_served_together_and_each_gets_its_own() {
        let (begun, wait_begun) = mpsc::channel();
        let (go, wait_go) = mpsc::channel::<()>();
        let wait_go = Mutex::new(wait_go);
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let together = Together::new(move |pieces: Vec<u32>| {
            seen.lock().unwrap().push(pieces.len());
            let _ = begun.send(());
            wait_go.lock().unwrap().recv().unwrap();
            pieces.into_iter().map(|piece| piece * 2).collect()
        });
        let add = |piece| {
            let together = Arc::clone(&together);
            tokio::spawn(async move { together.add(piece).await })
        };
        let first = add(1);
        tokio::task::spawn_blocking(move || wait_begun.recv().unwrap())
            .await
            .unwrap();
        let others: Vec<_> = (2..100).map(add).collect();
        while together.waiting.lock().unwrap().pieces.len() < others.len() {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!(first.await.unwrap(), Some(2));
        for (other, piece) in others.into_iter().zip(2..) {
            assert_eq!(other.await.unwrap(), Some(piece * 2));
        }
        assert_eq!(*sizes.lock().unwrap(), [1, MOST, 98 - MOST]);
    }

    #[tokio::test]
    async fn after_a_panic_those_who_waited_are_told_and_the_next_is_served() {
        let together = Together::new(|pieces: Vec<bool>| {
            assert!(pieces.iter().all(|good| *good), "as it was asked to");
            pieces
        });
        assert_eq!(together.add(false).await, None);
        assert_eq!(together.add(true).await, Some(true));
    }
}
