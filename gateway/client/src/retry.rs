//! When a call is repeated, decided without doing it: only what is safe to repeat gets here, since a query carries
//! a `request_id` and everything else reads, or is named by the caller.

use std::time::Duration;

use tonic::Code;

use crate::error::Error;

/// How often a call is made at most.
const TRIES: u32 = 5;

/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer, unless the answer asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long to wait before the next try: after `tries` of them, of which the last ended with `error`, with so much
/// time left. `None` to give up.
pub(crate) fn pause(error: &Error, tries: u32, left: Duration) -> Option<Duration> {
    let pause = match error {
        Error::TryLater { after, .. } => *after,
        Error::Unavailable { detail } if away(detail.status.as_ref()) => {
            (FIRST_PAUSE * (1 << tries.saturating_sub(1).min(16))).min(LONGEST_PAUSE)
        }
        _ => return None,
    };
    (tries < TRIES && pause < left).then_some(pause)
}

/// Whether it is the connection that failed, or somebody behind the agent who could not be reached; what failed
/// inside a process fails there again.
fn away(status: Option<&tonic::Status>) -> bool {
    status.is_some_and(|status| status.code() == Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_grow_and_end() {
        let error = Error::from_status(Status::unavailable("gone"));
        let pauses: Vec<u128> = (1..9)
            .map_while(|tries| pause(&error, tries, LONG))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
    }

    #[test]
    fn what_would_end_alike_or_after_the_deadline_is_not_repeated() {
        let delay = |after| Error::TryLater {
            after,
            detail: Box::new(Error::deadline().detail().clone()),
        };
        let second = Duration::from_secs(1);
        assert_eq!(pause(&delay(second), 1, LONG), Some(second));
        assert_eq!(pause(&delay(LONG), 1, second), None);
        for status in [
            Status::permission_denied("no"),
            Status::internal("a fault"),
            Status::deadline_exceeded("late"),
        ] {
            let error = Error::from_status(status);
            assert_eq!(pause(&error, 1, LONG), None, "{error}");
        }
    }
}
