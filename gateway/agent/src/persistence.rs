//! How long, and with which bytes, a call to the home gateway is tried again.
//!
//! A transaction's id is over its signed bytes, and the ledger orders an id once. So whoever hears no
//! answer hands the same bytes in again, and a grant's use is never spent twice. Other bytes are signed
//! only when the first ones can be told never to take effect. Deciding that is pure; carrying it out is
//! `gateway`'s.

use std::time::Duration;

use tonic::{Code, Status};
use xinqiao_rpc::{FaultView, Reason};

/// The first pause before a call is tried again; it doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done after a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same once more, after a pause.
    Again(Duration),
    /// These bytes never take effect: sign others.
    SignAnew,
    /// Nothing helps: this is the answer.
    GiveUp,
}

/// The tries of one call so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    pause: Duration,
    /// Whether an earlier try with these bytes may have taken effect.
    uncertain: bool,
    /// Whether these bytes are the second ones already.
    anew: bool,
}

impl Tries {
    pub(crate) fn new() -> Self {
        Self {
            pause: FIRST_PAUSE,
            uncertain: false,
            anew: false,
        }
    }

    /// Of bytes that may have been handed in before.
    pub(crate) fn of_uncertain() -> Self {
        Self {
            uncertain: true,
            ..Self::new()
        }
    }

    /// Whether it is not known if these bytes took effect.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// What a failure leads to.
    pub(crate) fn after(&mut self, status: &Status) -> Next {
        let view = FaultView::from_status(status);
        match view.reason {
            // No node has it in a block, and none will: a node says so only when it has all blocks up to
            // the expiry.
            Some(Reason::TxExpired) => self.sign_anew(),
            // Refused before it was handed in. Had an earlier try been let in, it might still be ordered.
            Some(Reason::TxExpiryTooFar) if !self.uncertain => self.sign_anew(),
            // Other callers have the same right to be answered.
            Some(Reason::QuotaExceeded | Reason::TooManyWaiting | Reason::TxExpiryTooFar) => {
                Next::GiveUp
            }
            // A refusal before anything was handed in, for want of room.
            Some(Reason::MempoolFull) => self.again(view.retry_after),
            _ if view.is_transient() || is_lost(status.code(), &view) => {
                self.uncertain = true;
                self.again(view.retry_after)
            }
            // A word on these very bytes.
            _ => {
                self.uncertain = false;
                Next::GiveUp
            }
        }
    }

    fn sign_anew(&mut self) -> Next {
        if std::mem::replace(&mut self.anew, true) {
            return Next::GiveUp;
        }
        self.uncertain = false;
        Next::SignAnew
    }

    fn again(&mut self, told: Option<Duration>) -> Next {
        let pause = told.map_or(self.pause, |told| told.min(LONGEST_PAUSE));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Next::Again(pause)
    }
}

/// Whether the connection went away under the call, without a word of ours.
fn is_lost(code: Code, view: &FaultView) -> bool {
    view.reason.is_none() && matches!(code, Code::Unavailable | Code::Cancelled | Code::Unknown)
}

#[cfg(test)]
mod tests {
    use xinqiao_rpc::Fault;

    use super::*;

    fn of(reason: Reason) -> Status {
        Fault::new(reason).status()
    }

    #[test]
    fn each_failure_leads_where_the_table_says() {
        use Next::{GiveUp, SignAnew};
        let again = |ms| Next::Again(Duration::from_millis(ms));
        let away = || of(Reason::UpstreamUnavailable);
        let expired = || of(Reason::TxExpired);
        let too_far = || of(Reason::TxExpiryTooFar);
        let full = || {
            let fault = Fault::new(Reason::MempoolFull);
            fault.retry_after(Duration::from_millis(250)).status()
        };
        let rows: Vec<(Vec<Status>, Vec<Next>, bool)> = vec![
            (vec![away()], vec![again(50)], true),
            (vec![of(Reason::Deadline)], vec![again(50)], true),
            (vec![of(Reason::NodeSyncing)], vec![again(50)], true),
            (
                vec![Status::unavailable("connection closed")],
                vec![again(50)],
                true,
            ),
            (
                vec![Status::cancelled("the server went")],
                vec![again(50)],
                true,
            ),
            (vec![full()], vec![again(250)], false),
            (vec![of(Reason::QuotaExceeded)], vec![GiveUp], false),
            (vec![of(Reason::TooManyWaiting)], vec![GiveUp], false),
            (vec![of(Reason::SignatureInvalid)], vec![GiveUp], false),
            (vec![of(Reason::ConsentNotFound)], vec![GiveUp], false),
            (vec![of(Reason::Internal)], vec![GiveUp], false),
            // Refused before it was handed in: other bytes, once.
            (vec![too_far()], vec![SignAnew], false),
            (vec![too_far(), too_far()], vec![SignAnew, GiveUp], false),
            (vec![too_far(), away()], vec![SignAnew, again(50)], true),
            // It may be on its way: no other bytes.
            (vec![away(), too_far()], vec![again(50), GiveUp], true),
            (
                vec![away(), of(Reason::QuotaExceeded)],
                vec![again(50), GiveUp],
                true,
            ),
            (
                vec![away(), of(Reason::ConsentNotFound)],
                vec![again(50), GiveUp],
                false,
            ),
            // Its expiry has passed, and no block has it.
            (vec![expired()], vec![SignAnew], false),
            (vec![away(), expired()], vec![again(50), SignAnew], false),
            (
                vec![away(), expired(), expired()],
                vec![again(50), SignAnew, GiveUp],
                false,
            ),
            (
                (0..8).map(|_| away()).collect(),
                [50, 100, 200, 400, 800, 1_000, 1_000, 1_000]
                    .map(again)
                    .to_vec(),
                true,
            ),
        ];
        for (failures, expected, uncertain) in rows {
            let mut tries = Tries::new();
            let next: Vec<Next> = failures.iter().map(|status| tries.after(status)).collect();
            assert_eq!(next, expected, "{failures:?}");
            assert_eq!(tries.is_uncertain(), uncertain, "{failures:?}");
        }
    }
}
