//! Attempts as they are recorded, in the order of the access log, each exactly once.

use tokio::sync::watch;
use xinqiao_contracts::query;
use xinqiao_node::{Replica, Tip};

use crate::{
    AccessFilter,
    error::Error,
    views::{Attempt, Names},
};

/// The most attempts of one step.
const STEP: u64 = 100;

/// Attempts as they are recorded. It keeps the replica's store open as long as it lives.
#[derive(Debug)]
pub struct Feed {
    replica: Replica,
    tips: watch::Receiver<Tip>,
    stopping: watch::Receiver<bool>,
    next: u64,
}

impl Feed {
    pub(crate) fn new(replica: Replica, stopping: watch::Receiver<bool>, next: u64) -> Self {
        let tips = replica.watch();
        Self {
            replica,
            tips,
            stopping,
            next,
        }
    }

    /// The next attempts, oldest first: at least one, after waiting for it if need be. Dropping the
    /// call loses nothing.
    ///
    /// # Errors
    /// [`Error::Stopped`] once the observer has stopped; [`Error::State`] when the state cannot be
    /// read.
    pub async fn next(&mut self) -> Result<Vec<Attempt>, Error> {
        loop {
            // The mark comes first, so that a block that comes in between is not missed.
            self.tips.mark_unchanged();
            let found = self.recorded()?;
            if let Some(last) = found.last() {
                self.next = last.record.index + 1;
                return Ok(found);
            }
            // The replica that it holds keeps the tips' sender alive, so the end is told apart.
            tokio::select! {
                changed = self.tips.changed() => changed.map_err(|_| Error::Stopped)?,
                _ = self.stopping.wait_for(|stop| *stop) => return Err(Error::Stopped),
            }
        }
    }

    fn recorded(&self) -> Result<Vec<Attempt>, Error> {
        let state = self.replica.state();
        let count = query::access_count(&state)?;
        if count <= self.next {
            return Ok(Vec::new());
        }
        let end = count.min(self.next.saturating_add(STEP));
        let limit = usize::try_from(end - self.next).expect("at most one step");
        let page = query::access_entries(&state, &AccessFilter::default(), end, limit)?;
        let mut names = Names::of(&state)?;
        let newest_first = page.entries.into_iter().rev();
        Ok(newest_first
            .map(|record| names.attempt(&state, record))
            .collect::<Result<_, _>>()?)
    }
}
