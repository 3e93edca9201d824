//! The threads on which live sources wait, and scans that are produced there.
//!
//! A live source has a small runtime of its own: it may be opened, scanned and dropped from anywhere, inside a
//! runtime or not, and a slow database never keeps a thread of the program's.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::source::{Scan, Scanned};

/// Steps that travel together.
const BATCH_STEPS: usize = 64;
/// Bytes of items after which a batch travels anyway.
const BATCH_BYTES: usize = 1024 * 1024;
/// Batches that wait to be pulled.
const WAITING_BATCHES: usize = 4;

/// A source's own runtime.
#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner(Option<Runtime>);

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Workers {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("source {name}"))
            .enable_all()
            .build()
            .map_err(|e| Error::Unavailable(format!("no thread can be started: {e}")))?;
        Ok(Self(Arc::new(Inner(Some(runtime)))))
    }

    /// Begins work; dropping what comes back abandons it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Working<T> {
        let runtime = self
            .0
            .0
            .as_ref()
            .expect("it is there until the last clone is dropped");
        Working(runtime.spawn(work))
    }

    /// Waits for work, from any thread.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        futures::executor::block_on(self.spawn(work).result()).unwrap_or_else(|| Err(broke_off()))
    }

    /// Begins a scan that `produce` feeds.
    pub(crate) fn scan<F>(&self, produce: impl FnOnce(Steps) -> F) -> Scan
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
        let steps = Steps {
            sender: sender.clone(),
            batch: Vec::new(),
            bytes: 0,
        };
        let produced = produce(steps);
        let task = self.spawn(async move {
            let end = produced.await;
            // Whoever stopped pulling does not want to know.
            let _ = sender.send(Batch::End(end)).await;
        });
        Box::new(Pulled {
            receiver: Some(receiver),
            batch: Vec::new().into_iter(),
            _task: task,
            _workers: self.clone(),
        })
    }
}

fn broke_off() -> Error {
    Error::Unavailable("the reading task broke off".to_owned())
}

/// Work under way, abandoned when this is dropped.
pub(crate) struct Working<T>(JoinHandle<T>);

impl<T> Working<T> {
    /// `None` when it panicked.
    pub(crate) async fn result(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Batch {
    Steps(Vec<Scanned>),
    /// Without it the scan did not come to its end.
    End(Result<(), Error>),
}

/// Where a scan's steps go.
pub(crate) struct Steps {
    sender: mpsc::Sender<Batch>,
    batch: Vec<Scanned>,
    bytes: usize,
}

impl Steps {
    /// Waits while nobody pulls.
    pub(crate) async fn push(&mut self, step: Scanned) {
        if let Ok(record) = &step.row {
            self.bytes += record
                .items
                .iter()
                .map(|i| i.canonical.len())
                .sum::<usize>();
        }
        self.batch.push(step);
        if self.batch.len() >= BATCH_STEPS || self.bytes >= BATCH_BYTES {
            self.flush().await;
        }
    }

    /// To be called at the end.
    pub(crate) async fn flush(&mut self) {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        // When nobody pulls any more the task is aborted; there is nobody to tell.
        let _ = self.sender.send(Batch::Steps(batch)).await;
    }
}

struct Pulled {
    /// `None` once the scan ended, well or not.
    receiver: Option<mpsc::Receiver<Batch>>,
    batch: std::vec::IntoIter<Scanned>,
    _task: Working<()>,
    _workers: Workers,
}

impl Iterator for Pulled {
    type Item = Result<Scanned, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(step) = self.batch.next() {
                return Some(Ok(step));
            }
            let receiver = self.receiver.as_mut()?;
            match futures::executor::block_on(receiver.recv()) {
                Some(Batch::Steps(steps)) => self.batch = steps.into_iter(),
                Some(Batch::End(end)) => {
                    self.receiver = None;
                    return end.err().map(Err);
                }
                None => {
                    self.receiver = None;
                    return Some(Err(broke_off()));
                }
            }
        }
    }
}
