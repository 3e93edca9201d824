//! Names, catalogue and height, remembered for a little while: they change rarely, and a query should
//! not wait for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, RwLock};
use tonic::Status;
use tracing::Instrument;
use xinqiao_ledger::{catalogue::Catalogue, wire};

use crate::gateway::{Acting, HomeGateway, unproven};

/// Younger than this, an answer is used as it is.
const FRESH: Duration = Duration::from_millis(500);

/// Younger than this, an answer is used while a new one is fetched. Heights grow meanwhile: a
/// transaction's expiry is counted from the last one heard of.
const USABLE: Duration = Duration::from_secs(10);

/// What is known of the consortium.
pub(crate) struct Known {
    /// As the gateway gave it.
    pub(crate) wire: Arc<wire::GetDirectoryResponse>,
    /// The catalogue in force: it is parsed once a version, as it is large.
    pub(crate) catalogue: Arc<Catalogue>,
}

/// The directory of the home gateway.
pub(crate) struct Directory {
    gateway: Arc<HomeGateway>,
    service: Acting,
    latest: RwLock<Option<(Instant, Arc<Known>)>>,
    asking: Mutex<()>,
}

impl Directory {
    pub(crate) fn new(gateway: Arc<HomeGateway>, service: Acting) -> Self {
        Self {
            gateway,
            service,
            latest: RwLock::new(None),
            asking: Mutex::new(()),
        }
    }

    pub(crate) async fn current(self: &Arc<Self>) -> Result<Arc<Known>, Status> {
        match self.remembered().await {
            Some((age, directory)) if age < FRESH => Ok(directory),
            Some((age, directory)) if age < USABLE => {
                let own = self.clone();
                let refresh = async move {
                    // One at a time: whoever finds it locked leaves it to the other.
                    if let Ok(_asking) = own.asking.try_lock()
                        && let Err(status) = own.fetch().await
                    {
                        tracing::warn!(code = ?status.code(), "the directory could not be refreshed");
                    }
                };
                tokio::spawn(refresh.in_current_span());
                Ok(directory)
            }
            _ => {
                let _asking = self.asking.lock().await;
                match self.remembered().await {
                    Some((age, directory)) if age < FRESH => Ok(directory),
                    _ => self.fetch().await,
                }
            }
        }
    }

    async fn remembered(&self) -> Option<(Duration, Arc<Known>)> {
        let latest = self.latest.read().await;
        let (taken, directory) = latest.as_ref()?;
        Some((taken.elapsed(), directory.clone()))
    }

    async fn fetch(&self) -> Result<Arc<Known>, Status> {
        let wire = self.gateway.directory(&self.service).await?;
        let mut latest = self.latest.write().await;
        let before = latest.as_ref().map(|(_, known)| known);
        let given = wire.catalogue.as_ref();
        let catalogue = match before.filter(|known| known.wire.catalogue.as_ref() == given) {
            Some(known) => known.catalogue.clone(),
            None => Arc::new(parsed(given)?),
        };
        let known = Arc::new(Known { wire, catalogue });
        *latest = Some((Instant::now(), known.clone()));
        Ok(known)
    }
}

/// Without a catalogue no report is read.
fn parsed(catalogue: Option<&wire::Catalogue>) -> Result<Catalogue, Status> {
    let catalogue = catalogue.ok_or_else(|| unproven("the gateway gave no catalogue"))?;
    Catalogue::try_from(catalogue).map_err(|fault| unproven(&fault.to_string()))
}
