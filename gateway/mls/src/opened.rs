//! A group as a service has it: opened when it is first needed, and again after its disk failed.

use std::sync::Mutex;

use crate::error::Error;

/// The place of a group, which one thread works on at a time.
#[derive(Debug)]
pub struct Opened<G>(Mutex<Option<G>>);

impl<G> Default for Opened<G> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<G> Opened<G> {
    /// Works on the group. Blocks: its state is read, written and synced.
    ///
    /// # Errors
    /// When it cannot be opened, or what `work` says.
    pub fn with<T>(
        &self,
        open: impl FnOnce() -> Result<G, Error>,
        work: impl FnOnce(&mut G) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut place = self.0.lock().unwrap_or_else(|poisoned| {
            // A step that panicked may have left half of itself in memory; what is on disk is whole.
            let mut place = poisoned.into_inner();
            *place = None;
            self.0.clear_poison();
            place
        });
        let group = match &mut *place {
            Some(group) => group,
            None => place.insert(open()?),
        };
        let done = work(group);
        if let Err(Error::Disk(_) | Error::Reopen) = &done {
            // Only the disk knows which state it has now.
            *place = None;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn it_is_opened_once_and_again_after_its_disk_failed_or_a_step_panicked() {
        let place = Opened::default();
        let mut opened = 0;
        let mut with = |work: fn(&mut u32) -> Result<u32, Error>| {
            place.with(
                || {
                    opened += 1;
                    Ok(opened * 10)
                },
                work,
            )
        };
        let add = |group: &mut u32| {
            *group += 1;
            Ok(*group)
        };
        assert_eq!(with(add).unwrap(), 11);
        assert_eq!(with(add).unwrap(), 12);
        assert!(with(|_| Err(Error::refused("x", "y"))).is_err());
        assert_eq!(
            with(add).unwrap(),
            13,
            "a refusal is no reason to open it again"
        );
        assert!(with(|_| Err(Error::Reopen)).is_err());
        assert_eq!(with(add).unwrap(), 21);
        let panicked = catch_unwind(AssertUnwindSafe(|| with(|_| panic!("as it was asked to"))));
        assert!(panicked.is_err());
        assert_eq!(with(add).unwrap(), 31);
    }
}
