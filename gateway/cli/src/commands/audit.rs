//! `xinqiao audit`: who asked for what, why, and what became of it; the refused attempts too.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use xinqiao_ledger::wire;

use crate::{
    client::{Client, explain},
    render,
};

/// The access log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List attempts, newest first.
    Access {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// Only this institution.
        #[arg(long, default_value = "")]
        institution: String,
        /// Only this enterprise (its code; needs the pseudonym key in the profile).
        #[arg(long)]
        uscc: Option<String>,
        /// Only refused ones.
        #[arg(long)]
        refused: bool,
        /// How many.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
    /// Count attempts by outcome and institution.
    Summary {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
    /// Where a node or an observer stands.
    Status {
        /// How to reach it.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
}

/// Runs the command.
pub async fn run(command: AuditCommand, as_json: bool) -> Result<()> {
    match command {
        AuditCommand::Access {
            profile,
            institution,
            uscc,
            refused,
            count,
        } => {
            let client = Client::open(&profile)?;
            let subject = uscc.map(|uscc| client.subject(&uscc)).transpose()?;
            let page = client
                .audit()
                .list_access(wire::ListAccessRequest {
                    institution,
                    subject: subject.map(|subject| subject.to_vec()).unwrap_or_default(),
                    refused_only: refused,
                    before_index: 0,
                    page_size: count,
                })
                .await
                .map_err(explain)?
                .into_inner();
            if as_json {
                render::print_json(&json!(page.entries.iter().map(json_of).collect::<Vec<_>>()));
            } else {
                println!("{}", access_table(&page.entries));
                println!("{} of {} attempts", page.entries.len(), page.total);
            }
        }
        AuditCommand::Summary { profile } => {
            let summary = Client::open(&profile)?
                .audit()
                .get_summary(wire::GetSummaryRequest {})
                .await
                .map_err(explain)?
                .into_inner();
            if as_json {
                let counts = |counts: &[wire::NamedCount]| -> Value {
                    counts
                        .iter()
                        .map(|one| (one.name.clone(), json!(one.count)))
                        .collect()
                };
                render::print_json(&json!({
                    "attempts": summary.attempts, "orders": summary.orders,
                    "refusals": counts(&summary.refusals),
                    "institutions": counts(&summary.institutions), "parts": counts(&summary.parts),
                }));
            } else {
                println!("{}", summary_table(&summary));
            }
        }
        AuditCommand::Status { profile } => {
            let status = Client::open(&profile)?.status().await?;
            if as_json {
                render::print_json(&json!({
                    "height": status.height, "header_hash": hex::encode(&status.header_hash),
                    "state_commitment": hex::encode(&status.state_commitment),
                    "time_ms": status.time_ms, "mempool": status.mempool_transactions,
                    "halted": status.halted,
                }));
            } else {
                println!(
                    "height            {} ({})",
                    status.height,
                    render::moment(status.time_ms)
                );
                println!("header            {}", hex::encode(&status.header_hash));
                println!(
                    "state commitment  {}",
                    hex::encode(&status.state_commitment)
                );
                println!(
                    "mempool           {} transactions",
                    status.mempool_transactions
                );
                if !status.halted.is_empty() {
                    println!("HALTED            {}", status.halted);
                }
            }
        }
    }
    Ok(())
}

/// Attempts as a table.
pub fn access_table(entries: &[wire::AccessEntry]) -> comfy_table::Table {
    let mut table = render::table([
        "#",
        "height",
        "time",
        "institution",
        "subject",
        "purpose",
        "items",
        "outcome",
    ]);
    for entry in entries {
        let outcome = match (entry.refusal.as_str(), entry.refused_by.as_str()) {
            ("", _) => format!("order {}", render::short(&entry.tx_id)),
            (reason, "") => format!("✗ {reason}"),
            (reason, gateway) => format!("✗ {reason} (at {gateway})"),
        };
        table.add_row([
            entry.index.to_string(),
            entry.height.to_string(),
            render::moment(entry.time_ms),
            entry.institution.clone(),
            render::short(&entry.subject),
            entry.purpose.clone(),
            match entry.items.len() {
                0..=3 => entry.items.join(" "),
                more => format!("{} … ({more})", entry.items[0]),
            },
            outcome,
        ]);
    }
    table
}

/// Counts as a table.
pub fn summary_table(summary: &wire::GetSummaryResponse) -> comfy_table::Table {
    let mut table = render::table(["", "", "count"]);
    table.add_row(["attempts", "all", &summary.attempts.to_string()]);
    table.add_row(["attempts", "became orders", &summary.orders.to_string()]);
    for (kind, counts) in [
        ("refused", &summary.refusals),
        ("institution", &summary.institutions),
        ("parts", &summary.parts),
    ] {
        for one in counts {
            table.add_row([kind, &one.name, &one.count.to_string()]);
        }
    }
    table
}

fn json_of(entry: &wire::AccessEntry) -> Value {
    json!({
        "index": entry.index, "height": entry.height, "time_ms": entry.time_ms,
        "institution": entry.institution, "user": hex::encode(&entry.user),
        "subject": hex::encode(&entry.subject), "purpose": entry.purpose, "items": entry.items,
        "grant": hex::encode(&entry.grant), "refusal": entry.refusal,
        "tx_id": hex::encode(&entry.tx_id), "refused_by": entry.refused_by,
    })
}
