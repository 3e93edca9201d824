//! Verdicts on deliveries, recorded in the background: the report does not wait for them, and a stop
//! does.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tracing::Instrument;
use xinqiao_ledger::{
    order::{PartRef, Verdict},
    wire,
};
use xinqiao_rpc::{FaultView, Reason};

use crate::gateway::{Acting, HomeGateway};

/// The most verdicts that wait to be recorded; a query that finds no place waits for one.
const MAX_PENDING: u32 = 4_096;

/// How often one is tried, with pauses that double from [`FIRST_PAUSE`]: about two minutes in all.
const TRIES: u32 = 12;

const FIRST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long a stop waits for the verdicts that are under way.
const DRAIN: Duration = Duration::from_secs(10);

/// Records verdicts.
#[derive(Clone)]
pub(crate) struct Verdicts {
    gateway: Arc<HomeGateway>,
    places: Arc<Semaphore>,
}

impl Verdicts {
    pub(crate) fn new(gateway: Arc<HomeGateway>) -> Self {
        Self {
            gateway,
            places: Arc::new(Semaphore::new(MAX_PENDING as usize)),
        }
    }

    /// Records a verdict in the name of the user who asked.
    pub(crate) async fn record(&self, acting: Acting, part: PartRef, verdict: Verdict) {
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return; // never closed
        };
        let gateway = self.gateway.clone();
        let recording = async move {
            recorded(&gateway, &acting, part, verdict).await;
            drop(place);
        };
        tokio::spawn(recording.in_current_span());
    }

    /// Waits until nothing is under way, for at most [`DRAIN`].
    pub(crate) async fn drained(&self) {
        let all = self.places.acquire_many(MAX_PENDING);
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::error!("the agent stops before every verdict is on the ledger");
        }
    }
}

async fn recorded(gateway: &HomeGateway, acting: &Acting, part: PartRef, verdict: Verdict) {
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let action = wire::tx_body::Action::ConfirmPart(wire::ConfirmPart {
            order: part.order.to_vec(),
            part: u32::from(part.part),
            verdict: verdict.to_wire(),
        });
        let Err(status) = gateway.change(acting, action).await else {
            return;
        };
        let view = FaultView::from_status(&status);
        match view.reason {
            // An earlier try went through, and only its answer was lost.
            Some(Reason::OrderStateConflict) => return,
            _ if left == 0 => break,
            Some(reason) if !view.is_transient() && reason != Reason::TxExpired => {
                tracing::error!(order = %part.order, part = part.part, %reason, "a verdict was refused");
                return;
            }
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::error!(order = %part.order, part = part.part, "a verdict could not be recorded");
}
