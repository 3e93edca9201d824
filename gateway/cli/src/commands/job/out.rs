//! Results of a job as lines: JSON, or CSV without the content of reports.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use xinqiao_ledger::wire::{self, JobOutcome, PartStatus};
use xinqiao_report::{Occasion, json};
use xinqiao_rpc::Reason;

use crate::{commands::query::reason, render};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line, with the report.
    Jsonl,
    /// A row a result: what came of it, without the report.
    Csv,
}

const HEAD: [&str; 9] = [
    "sequence",
    "entry",
    "uscc",
    "outcome",
    "reason",
    "order",
    "parts_came",
    "parts",
    "message",
];

/// Where results go.
pub(super) enum Results {
    Nowhere,
    Jsonl(File),
    Csv(Box<csv::Writer<File>>),
}

impl Results {
    /// Opens a file at its end; none for nowhere.
    pub(super) fn open(path: Option<&Path>, format: Format) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Nowhere);
        };
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        let new = file.metadata()?.len() == 0;
        Ok(match format {
            Format::Jsonl => Self::Jsonl(file),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                if new {
                    writer.write_record(HEAD)?;
                }
                Self::Csv(Box::new(writer))
            }
        })
    }

    pub(super) fn write(
        &mut self,
        result: &wire::JobResult,
        job: Option<&wire::Job>,
    ) -> Result<()> {
        match self {
            Self::Nowhere => {}
            Self::Jsonl(file) => writeln!(file, "{}", result_json(result, job))?,
            Self::Csv(writer) => {
                let parts = result.report.as_ref().map(|report| &report.parts);
                let came = |parts: &Vec<wire::PartOutcome>| {
                    let came = parts
                        .iter()
                        .filter(|part| part.status() == PartStatus::Confirmed);
                    came.count().to_string()
                };
                writer.write_record([
                    result.sequence.to_string(),
                    result.entry.to_string(),
                    result.uscc.clone(),
                    outcome(result.outcome()).to_owned(),
                    result.reason.clone(),
                    hex::encode(&result.order),
                    parts.map(came).unwrap_or_default(),
                    parts
                        .map(|parts| parts.len().to_string())
                        .unwrap_or_default(),
                    result.message.clone(),
                ])?;
                writer.flush()?;
            }
        }
        Ok(())
    }
}

fn outcome(outcome: JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Unspecified => "",
        JobOutcome::Report => "report",
        JobOutcome::Refused => "refused",
        JobOutcome::Failed => "failed",
        JobOutcome::Invalid => "invalid",
        JobOutcome::Duplicate => "duplicate",
        JobOutcome::Cancelled => "cancelled",
    }
}

fn result_json(result: &wire::JobResult, job: Option<&wire::Job>) -> Value {
    let text = |of: fn(&wire::Job) -> &String| job.map(of).cloned().unwrap_or_default();
    let occasion = Occasion {
        uscc: result.uscc.clone(),
        purpose: text(|job| &job.purpose),
        user: text(|job| &job.user),
        reason,
    };
    let mut line = json!({
        "sequence": result.sequence, "entry": result.entry, "uscc": result.uscc,
        "outcome": outcome(result.outcome()), "reason": result.reason, "message": result.message,
        "order": hex::encode(&result.order),
    });
    if result.outcome() == JobOutcome::Duplicate {
        line["duplicate_of"] = result.duplicate_of.into();
    }
    if let Some(report) = &result.report {
        line["report"] = json::report(report, &occasion);
    }
    line
}

/// A job as JSON.
pub(super) fn job_json(job: &wire::Job) -> Value {
    let counts = job.counts.unwrap_or_default();
    json!({
        "job_id": job.job_id, "state": job.state().as_str_name(), "user": job.user,
        "purpose": job.purpose, "started_at_ms": job.started_at_ms, "ended_at_ms": job.ended_at_ms,
        "acknowledged": job.acknowledged, "deleted_at_ms": job.deleted_at_ms,
        "counts": {
            "entries": counts.entries, "done": counts.done, "in_flight": counts.in_flight,
            "complete": counts.complete, "partial": counts.partial, "empty": counts.empty,
            "refused": counts.refused, "failed": counts.failed, "invalid": counts.invalid,
            "duplicate": counts.duplicate, "cancelled": counts.cancelled,
        },
    })
}

/// Why entries have no report, counted.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<(&'static str, String), u64>);

impl Reasons {
    pub(super) fn count(&mut self, result: &wire::JobResult) {
        if !result.reason.is_empty() {
            let key = (outcome(result.outcome()), result.reason.clone());
            *self.0.entry(key).or_default() += 1;
        }
    }

    pub(super) fn table(&self) -> comfy_table::Table {
        let mut table = render::table(["outcome", "reason", "count", "meaning"]);
        for ((outcome, code), count) in &self.0 {
            let meaning = Reason::from_code(code).map_or_else(String::new, |reason| {
                format!(
                    "{}\n{}",
                    reason.chinese().happened,
                    reason.english().happened
                )
            });
            table.add_row([
                (*outcome).to_owned(),
                code.clone(),
                count.to_string(),
                meaning,
            ]);
        }
        table
    }
}
