//! `xinqiao source sync`: digests of a holder's sources, registered.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use anyhow::Result;
use serde_json::{Value, json};
use xinqiao_holder::{Holding, Registrar, SyncOptions, SyncReport, progress_bar};
use xinqiao_ledger::{
    ids::SourceId,
    wire::{self, holder_service_client::HolderServiceClient, sync_sources_response::Content},
};
use xinqiao_node::{Node, NodeConfig, Role};
use xinqiao_rpc::{ExpectedPeer, Limits, MAX_DEADLINE, Role as PeerRole, limited, tls};

use super::run::holder_config;
use crate::{
    client::explain,
    config::{HolderFile, Loaded},
    progress, render,
};

/// Brings every source in line with the ledger: by its replica alone, or by the holder that has it open.
pub async fn sync(
    loaded: &Loaded<HolderFile>,
    per_second: Option<NonZeroU32>,
    withdraw_most: bool,
) -> Result<Vec<(SourceId, SyncReport)>> {
    match by_replica(loaded, per_second, withdraw_most).await {
        // Whoever has the replica open is the holder, and serves where its configuration says.
        Err(fault) if is_in_use(&fault) => by_holder(loaded, per_second, withdraw_most).await,
        done => done,
    }
}

fn is_in_use(fault: &anyhow::Error) -> bool {
    let opening = fault.downcast_ref::<xinqiao_node::Error>();
    matches!(
        opening,
        Some(xinqiao_node::Error::Store(
            xinqiao_store::Error::InUse { .. }
        ))
    )
}

/// The holder that runs does it, and says how far it is.
async fn by_holder(
    loaded: &Loaded<HolderFile>,
    per_second: Option<NonZeroU32>,
    withdraw_most: bool,
) -> Result<Vec<(SourceId, SyncReport)>> {
    let file = &loaded.file;
    let identity = file.tls.load(&loaded.base)?;
    let expected = ExpectedPeer::org(file.org.as_str()).with_role(PeerRole::Holder);
    let uri = format!("https://{}", file.listen);
    let channel = tls::channel_to(&uri, &identity, expected, &Limits::default())?;
    let mut holder = limited!(HolderServiceClient::new(
        channel.with_default_deadline(MAX_DEADLINE)
    ));
    let request = wire::SyncSourcesRequest {
        sources: Vec::new(),
        per_second: per_second.map_or(0, NonZeroU32::get),
        withdraw_most,
    };
    let mut said = (holder.sync_sources(request).await.map_err(explain)?).into_inner();
    let bar = progress::bar(0, "rows");
    let mut reports = Vec::new();
    while let Some(said) = said.message().await.map_err(explain)? {
        match said.content {
            Some(Content::Progress(far)) => {
                bar.set_message(far.source);
                bar.set_length(far.rows_in_all.max(far.rows));
                bar.set_position(far.rows);
            }
            Some(Content::Report(report)) => {
                reports.push((report.source.parse()?, SyncReport::from(&report)));
            }
            None => {}
        }
    }
    bar.finish_and_clear();
    Ok(reports)
}

/// Starts the holder's own replica, brings every source in line with the ledger, and stops again.
async fn by_replica(
    loaded: &Loaded<HolderFile>,
    per_second: Option<NonZeroU32>,
    withdraw_most: bool,
) -> Result<Vec<(SourceId, SyncReport)>> {
    let config = holder_config(loaded)?;
    let mut node = NodeConfig::new(
        config.replica.data_dir.clone(),
        config.replica.genesis.clone(),
        Role::Follower,
        config.identity.clone(),
    );
    node.upstreams = config.replica.upstreams.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let node = Node::start(node, async {
        // Either way, told or forgotten, it is time to stop.
        let _ = stopped.await;
    })
    .await?;
    let registrar = Registrar::new(
        node.replica.clone(),
        config.org.clone(),
        config.keys.clone(),
    );
    let mut reports = Vec::new();
    let mut failed = None;
    for source in &config.sources {
        let (source, pseudonym) = (source.clone(), config.keys.pseudonym.clone());
        let state_dir = config.state_dir.clone();
        let open = move || Holding::open(&source, &pseudonym, &state_dir);
        let holding = Arc::new(tokio::task::spawn_blocking(open).await??);
        let options = SyncOptions {
            progress: progress_bar(&holding),
            per_second,
            withdraw_most,
            ..SyncOptions::default()
        };
        match registrar.sync(&holding, &options).await {
            Ok(report) => reports.push((holding.id().clone(), report)),
            Err(fault) => {
                failed = Some(fault);
                break;
            }
        }
    }
    drop(registrar);
    drop(stop);
    node.join().await?;
    match failed {
        Some(fault) => Err(fault.into()),
        None => Ok(reports),
    }
}

/// What runs came to, for people.
pub fn table(reports: &[(SourceId, SyncReport)]) -> comfy_table::Table {
    let mut table = render::table([
        "source",
        "subjects",
        "items",
        "registered",
        "superseded",
        "unchanged",
        "withdrawn",
        "bad rows",
        "listed in",
    ]);
    for (source, report) in reports {
        table.add_row([
            source.to_string(),
            report.subjects.to_string(),
            report.items.to_string(),
            report.registered.to_string(),
            report.superseded.to_string(),
            report.unchanged.to_string(),
            report.withdrawn.to_string(),
            report.bad_rows.to_string(),
            report
                .bad_rows_file
                .as_ref()
                .map(|file| file.display().to_string())
                .unwrap_or_default(),
        ]);
    }
    table
}

/// What a run came to, for programs.
pub fn json_of((source, report): &(SourceId, SyncReport)) -> Result<Value> {
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    let mut first = Vec::new();
    if let Some(file) = &report.bad_rows_file {
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_path(file)?;
        for row in rows.records() {
            let row = row?;
            let cell = |index| row.get(index).unwrap_or_default();
            *by_reason.entry(cell(2).to_owned()).or_default() += 1;
            if first.len() < 10 {
                first.push(format!("{}:{}: {}", cell(0), cell(1), cell(3)));
            }
        }
    }
    Ok(json!({
        "source": source.as_str(), "subjects": report.subjects, "items": report.items,
        "registered": report.registered, "superseded": report.superseded,
        "unchanged": report.unchanged, "withdrawn": report.withdrawn, "older": report.older,
        "bad_rows": report.bad_rows, "bad_by_reason": by_reason, "first_bad_rows": first,
        "bad_row_file": report.bad_rows_file, "warnings": report.warnings,
        "transactions": report.transactions, "bytes": report.bytes,
        "elapsed_ms": u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
    }))
}
