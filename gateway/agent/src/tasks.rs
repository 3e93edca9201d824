//! Work that outlasts the call that began it and ends with the agent.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;
use tracing::Instrument;

/// All such work of one agent.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are done are let go of.
        while all.try_join_next().is_some() {}
        all.spawn(work.in_current_span());
    }

    /// Ends what is under way. What must outlast that is on disk.
    pub(crate) async fn end(&self) {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.shutdown().await;
    }
}
