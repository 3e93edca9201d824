//! `xinqiao source`: try a mapping on real data, and register what it yields.

use std::{num::NonZeroU32, path::PathBuf};

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use xinqiao_data_adapters::{
    check::{CheckOptions, CheckReport, check},
    mapping::Mapping,
};
use xinqiao_ledger::wire;

use super::source_sync;
use crate::{
    client::{Client, explain},
    config::{self, HolderFile, Loaded},
    render,
};

/// Data sources.
#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Read everything that a mapping names and register nothing: fields, fill rates, bad rows.
    Check {
        /// The mapping file.
        mapping: PathBuf,
        /// How many bad rows to print.
        #[arg(long, default_value_t = 20)]
        bad_rows: usize,
    },
    /// Digest a holder's records and register what is new or has changed. Resumes by itself after an
    /// interruption. A holder that runs does it while it serves; else its replica is started for it.
    Sync {
        /// The holder's configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Subjects registered a second at most.
        #[arg(long, value_name = "N")]
        rate: Option<NonZeroU32>,
        /// Withdraw even when more than half of what is registered has vanished from a source.
        #[arg(long)]
        withdraw_most: bool,
    },
    /// List the sources on the ledger.
    List {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
}

/// Runs the command.
pub async fn run(command: SourceCommand, as_json: bool) -> Result<()> {
    match command {
        SourceCommand::Check { mapping, bad_rows } => {
            let options = CheckOptions {
                bad_rows,
                ..CheckOptions::default()
            };
            let report =
                tokio::task::spawn_blocking(move || check(Mapping::read(&mapping)?, &options))
                    .await??;
            if as_json {
                render::print_json(&check_json(&report));
            } else {
                print_check(&report);
            }
        }
        SourceCommand::Sync {
            config,
            rate,
            withdraw_most,
        } => {
            let loaded: Loaded<HolderFile> = config::load(&config)?;
            let reports = source_sync::sync(&loaded, rate, withdraw_most).await?;
            if as_json {
                let values = (reports.iter()).map(source_sync::json_of);
                render::print_json(&json!(values.collect::<Result<Vec<_>>>()?));
            } else {
                println!("{}", source_sync::table(&reports));
            }
        }
        SourceCommand::List { profile } => {
            let sources = Client::open(&profile)?
                .state()
                .list_sources(wire::ListSourcesRequest {})
                .await
                .map_err(explain)?
                .into_inner()
                .sources;
            let mut table =
                render::table(["source", "name", "operator", "state", "subjects", "items"]);
            let mut values = Vec::new();
            for state in sources {
                let mut status = render::source_status(state.status);
                if !state.suspended_by.is_empty() {
                    status = format!("{status} by {}", state.suspended_by.join(" and "));
                }
                let source = state.source.unwrap_or_default();
                values.push(json!({
                    "source": source.source, "name": source.name, "operator": source.operator,
                    "status": render::source_status(state.status), "subjects": state.subjects,
                    "suspended_by": state.suspended_by,
                    "items": source.items,
                }));
                table.add_row([
                    source.source,
                    source.name,
                    source.operator,
                    status,
                    state.subjects.to_string(),
                    source.items.join(" "),
                ]);
            }
            if as_json {
                render::print_json(&json!(values));
            } else {
                println!("{table}");
            }
        }
    }
    Ok(())
}

fn print_check(report: &CheckReport) {
    println!(
        "{} ({}): {} rows, {} subjects",
        report.source, report.kind, report.rows, report.subjects
    );
    let mut table = render::table([
        "item",
        "field",
        "column",
        "type",
        "filled",
        "unreadable",
        "samples",
    ]);
    for item in &report.items {
        for field in &item.fields {
            table.add_row([
                item.code.clone(),
                field.name.clone(),
                field.column.clone(),
                field.kind.to_owned(),
                format!(
                    "{:.1} %",
                    field.filled as f64 * 100.0 / report.subjects.max(1) as f64
                ),
                field.unreadable.to_string(),
                field.samples.join("  "),
            ]);
        }
    }
    println!("{table}");
    if report.bad.is_empty() {
        return;
    }
    let mut bad = render::table(["reason", "rows"]);
    for (reason, count) in &report.bad {
        bad.add_row([reason.code().to_owned(), count.to_string()]);
    }
    println!("{bad}");
    for row in &report.bad_rows {
        println!(
            "{}:{}: {} {}",
            row.file,
            row.line,
            row.reason.code(),
            row.message
        );
    }
}

fn check_json(report: &CheckReport) -> Value {
    json!({
        "source": report.source, "rows": report.rows, "subjects": report.subjects,
        "bad": report.bad.iter().map(|(reason, count)| (reason.code().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "bad_rows": report.bad_rows.iter().map(|row| json!({
            "file": row.file, "line": row.line, "reason": row.reason.code(), "message": row.message,
        })).collect::<Vec<_>>(),
        "items": report.items.iter().map(|item| json!({
            "code": item.code, "subjects": item.subjects,
            "fields": item.fields.iter().map(|field| json!({
                "name": field.name, "filled": field.filled, "unreadable": field.unreadable,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
