//! `xinqiao query`: what a bank's application does, from the command line.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use xinqiao_ledger::{
    ids::{GrantId, ItemCode, PurposeCode},
    wire::{self, report_service_client::ReportServiceClient},
};
use xinqiao_rpc::{Limits, limits::MAX_SEALED_MESSAGE_BYTES, tls};

use crate::{client::explain, render};

/// Asks for a report.
#[derive(Debug, Args)]
pub struct Query {
    /// The agent, `http://127.0.0.1:port`.
    #[arg(long, env = "XINQIAO_AGENT")]
    agent: String,
    /// The enterprise's unified social credit code.
    uscc: String,
    /// Why.
    #[arg(long)]
    purpose: PurposeCode,
    /// Items, separated by commas; all that the consent covers if not given.
    #[arg(long, value_delimiter = ',')]
    items: Vec<ItemCode>,
    /// The grant; the newest live one that covers the query if not given.
    #[arg(long)]
    grant: Option<GrantId>,
    /// Who asks, as the institution knows them. Only a pseudonym leaves the agent.
    #[arg(long, default_value = "clerk-7")]
    user: String,
    /// How long the sources have, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    deadline_ms: u32,
}

/// Runs the command.
pub async fn run(query: Query, as_json: bool) -> Result<()> {
    let channel = tls::plain_channel(&query.agent, &Limits::default())?;
    let report = ReportServiceClient::new(channel)
        .max_decoding_message_size(MAX_SEALED_MESSAGE_BYTES)
        .query_report(wire::QueryReportRequest {
            uscc: query.uscc,
            items: query.items.iter().map(ToString::to_string).collect(),
            purpose: query.purpose.to_string(),
            grant: query.grant.map(|grant| grant.to_vec()).unwrap_or_default(),
            user: query.user,
            deadline_ms: query.deadline_ms,
            branch: String::new(),
        })
        .await
        .map_err(explain)?
        .into_inner();
    if as_json {
        render::print_json(&json(&report));
    } else {
        print(&report);
    }
    Ok(())
}

/// A report as tables.
pub fn print(report: &wire::QueryReportResponse) {
    println!(
        "order {} (height {})",
        hex::encode(&report.order),
        report.placed_at_height
    );
    println!("{}", parts_table(report));
    println!("{}", sections_table(report));
    if !report.missing_items.is_empty() {
        println!("no source holds: {}", report.missing_items.join(", "));
    }
}

/// What became of each part.
pub fn parts_table(report: &wire::QueryReportResponse) -> comfy_table::Table {
    let mut table = render::table(["source", "items asked", "outcome", "reason", "time"]);
    for part in &report.parts {
        table.add_row([
            format!("{} {}", part.source, part.source_name),
            part.items.join(" "),
            render::part_status(part.status),
            part.reason.clone(),
            render::micros(part.elapsed_us),
        ]);
    }
    table
}

/// The sections.
pub fn sections_table(report: &wire::QueryReportResponse) -> comfy_table::Table {
    let mut table = render::table(["item", "source", "as of", "content", "proof"]);
    for section in &report.sections {
        let proof = section.proof.as_ref().map_or_else(
            || "none".to_owned(),
            |proof| {
                let path = proof.path.as_ref();
                format!(
                    "✓ leaf {}/{} to root {} of height {}",
                    path.map_or(0, |path| path.index + 1),
                    path.map_or(0, |path| path.size),
                    render::short(&proof.root),
                    proof.registered_at_height,
                )
            },
        );
        table.add_row([
            format!("{}\n{}", section.name_zh, section.item),
            section.source_name.clone(),
            render::day(section.as_of_day),
            section.json.clone(),
            proof,
        ]);
    }
    table
}

/// A report as JSON.
pub fn json(report: &wire::QueryReportResponse) -> Value {
    let sections: Vec<Value> = report
        .sections
        .iter()
        .map(|section| {
            json!({
                "item": section.item, "source": section.source, "as_of": render::day(section.as_of_day),
                "content": serde_json::from_str::<Value>(&section.json).unwrap_or(Value::Null),
                "root": section.proof.as_ref().map(|proof| hex::encode(&proof.root)),
            })
        })
        .collect();
    let parts: Vec<Value> = report
        .parts
        .iter()
        .map(|part| {
            json!({
                "part": part.part, "source": part.source, "items": part.items,
                "status": render::part_status(part.status), "reason": part.reason,
                "elapsed_us": part.elapsed_us,
            })
        })
        .collect();
    json!({
        "order": hex::encode(&report.order), "grant": hex::encode(&report.grant),
        "placed_at_height": report.placed_at_height, "elapsed_us": report.elapsed_us,
        "sections": sections, "parts": parts, "missing_items": report.missing_items,
    })
}
