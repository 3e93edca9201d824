//! `xinqiao source`: try a mapping on real data, and register what it yields.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use xinqiao_data_adapters::{
    check::{CheckOptions, CheckReport, FieldReport, check_source},
    mapping::Mapping,
};
use xinqiao_ledger::wire;

use super::source_sync;
use crate::{
    client::{Client, explain},
    config::{self, HolderFile, Loaded},
    progress, render,
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
        /// The catalogue that items are held against: a file, as `xinqiao catalogue export` writes it; the first
        /// catalogue if nothing is said
        #[arg(long, value_name = "FILE")]
        catalogue: Option<PathBuf>,
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
        SourceCommand::Check {
            mapping,
            bad_rows,
            catalogue,
        } => {
            let catalogue = match catalogue {
                Some(file) => super::catalogue::from_file(&file)?,
                None => xinqiao_catalogue::first()?,
            };
            let options = CheckOptions {
                bad_rows,
                catalogue: Some(Arc::new(catalogue)),
                ..CheckOptions::default()
            };
            let start = Instant::now();
            let report =
                tokio::task::spawn_blocking(move || check_shown(&mapping, &options)).await??;
            if as_json {
                render::print_json(&check_json(&report, start.elapsed()));
            } else {
                print_check(&report, start.elapsed());
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

/// Reads a source and shows how far that has come. Blocks.
fn check_shown(mapping: &Path, options: &CheckOptions) -> Result<CheckReport> {
    let mapping = Mapping::read(mapping)?;
    let spinner = progress::spinner(format!("opening {}", mapping.name));
    let name = mapping.name.clone();
    let source = xinqiao_data_adapters::open(mapping)?;
    let mut shown = Instant::now();
    let report = check_source(source.as_ref(), options, &mut |report| {
        // A terminal is slower than a scan.
        if shown.elapsed() >= Duration::from_millis(200) {
            shown = Instant::now();
            let bad: u64 = report.bad.values().sum();
            let subjects = report.subjects;
            spinner.set_message(format!("{name}: {subjects} subjects, {bad} bad rows"));
        }
    });
    spinner.finish_and_clear();
    Ok(report?)
}

fn print_check(report: &CheckReport, elapsed: Duration) {
    println!(
        "{} ({}): {} rows, {} subjects, {} bad rows, read in {:.1} s",
        report.source,
        report.kind,
        report.rows,
        report.subjects,
        report.bad.values().sum::<u64>(),
        elapsed.as_secs_f64()
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
        // How full a record's field is, is of all subjects; a list's, of its entries.
        let (whole, of) = if item.is_list {
            let (entries, longest) = (item.entries, item.longest);
            (
                entries,
                format!(" of {entries} entries (at most {longest})"),
            )
        } else {
            (report.subjects, String::new())
        };
        for field in &item.fields {
            table.add_row([
                item.code.clone(),
                field.name.clone(),
                field.column.clone(),
                field.kind.to_owned(),
                format!(
                    "{:.1} %{of}",
                    field.filled as f64 * 100.0 / whole.max(1) as f64
                ),
                field.unreadable.to_string(),
                shown_values(field),
            ]);
        }
    }
    println!("{table}");
    print_conformity(report);
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

/// Samples of a field, or how often each code came out of one whose values are translated.
fn shown_values(field: &FieldReport) -> String {
    let Some(codes) = &field.codes else {
        return field.samples.join("  ");
    };
    let mut shown: Vec<String> = (codes.iter())
        .map(|(code, count)| format!("{code} {count}"))
        .collect();
    if field.unlisted > 0 {
        shown.push(format!("not listed {}", field.unlisted));
    }
    shown.extend(field.samples.iter().cloned());
    shown.join("  ")
}

/// What does not conform to the catalogue, and what conforms as a whole.
fn print_conformity(report: &CheckReport) {
    let mut table = render::table(["item", "field", "does not conform", "times"]);
    for item in &report.items {
        let Some(conformity) = &item.conformity else {
            continue;
        };
        if conformity.unknown {
            let row = [item.code.as_str(), "", "the catalogue has no such item", ""];
            table.add_row(row);
        }
        for ((field, _), misfit) in &conformity.misfits {
            table.add_row([
                item.code.clone(),
                field.clone(),
                misfit.example.clone(),
                misfit.count.to_string(),
            ]);
        }
    }
    if table.is_empty() {
        println!("All items conform to the catalogue.");
    } else {
        println!("{table}");
    }
}

fn check_json(report: &CheckReport, elapsed: Duration) -> Value {
    json!({
        "source": report.source, "kind": report.kind,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "rows": report.rows, "subjects": report.subjects,
        "bad": report.bad.iter().map(|(reason, count)| (reason.code().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "bad_rows": report.bad_rows.iter().map(|row| json!({
            "file": row.file, "line": row.line, "reason": row.reason.code(), "message": row.message,
        })).collect::<Vec<_>>(),
        "items": report.items.iter().map(|item| json!({
            "code": item.code, "subjects": item.subjects, "is_list": item.is_list,
            "entries": item.entries, "longest": item.longest,
            "in_catalogue": item.conformity.as_ref().map(|conformity| !conformity.unknown),
            "nonconforming": item.conformity.as_ref().map(|conformity| conformity.subjects),
            "misfits": item.conformity.iter().flat_map(|conformity| &conformity.misfits)
                .map(|((field, code), misfit)| json!({
                    "field": field, "code": code, "what": misfit.example, "count": misfit.count,
                })).collect::<Vec<_>>(),
            "fields": item.fields.iter().map(|field| json!({
                "name": field.name, "column": field.column, "type": field.kind,
                "filled": field.filled, "unreadable": field.unreadable, "samples": field.samples,
                "codes": field.codes, "unlisted": field.unlisted,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
