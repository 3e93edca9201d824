//! `xinqiao watch`: being told when registered digests of a portfolio change.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use xinqiao_ledger::wire::{self, DigestChange};

use super::job::entries;
use crate::{client::explain, render};

/// Watches enterprises.
#[derive(Debug, Args)]
pub struct Watch {
    /// The agent, `http://127.0.0.1:port`.
    #[arg(long, env = "XINQIAO_AGENT")]
    agent: String,
    /// The enterprises: a file with a code a line; `-` for standard input. At most 10,000.
    file: PathBuf,
    /// Who watches, as the institution knows them. Only a pseudonym leaves the agent.
    #[arg(long, default_value = "clerk-7")]
    user: String,
    /// Tell also what changed above this height, which the last run said; from now on if not given.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// End as soon as all up to now was told.
    #[arg(long)]
    once: bool,
}

/// Runs the command until it is interrupted.
pub async fn run(watch: Watch, as_json: bool) -> Result<()> {
    let mut client = xinqiao_agent::connect_portfolio(&watch.agent)?;
    let usccs: Vec<String> = (entries(&watch.file)?.into_iter())
        .map(|entry| entry.uscc)
        .collect();
    let request = wire::WatchPortfolioRequest {
        usccs: usccs.clone(),
        user: watch.user,
        after_height: watch.after,
    };
    let answer = client.watch_portfolio(request).await;
    let mut told = answer.map_err(explain)?.into_inner();
    while let Some(message) = told.message().await.map_err(explain)? {
        for place in &message.without_grant {
            let code = usccs.get(*place as usize).map(String::as_str);
            eprintln!("no live consent 无有效授权: {}", code.unwrap_or_default());
        }
        for change in &message.changes {
            if as_json {
                println!("{}", change_json(change));
            } else {
                println!(
                    "{} {} {} v{} {} (height {}) {}",
                    change.uscc,
                    change.source,
                    words(change.change()),
                    change.version,
                    render::day(change.as_of_day),
                    change.height,
                    change.source_name,
                );
            }
        }
        if message.through_height > 0 {
            if as_json {
                println!("{}", json!({ "through_height": message.through_height }));
            } else if !message.changes.is_empty() || watch.once {
                eprintln!("told up to height {}", message.through_height);
            }
            if watch.once {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn change_json(change: &wire::PortfolioChange) -> serde_json::Value {
    json!({
        "uscc": change.uscc, "entry": change.entry, "source": change.source,
        "source_name": change.source_name, "change": change.change().as_str_name(),
        "version": change.version, "as_of_day": change.as_of_day, "height": change.height,
    })
}

fn words(change: DigestChange) -> &'static str {
    match change {
        DigestChange::Unspecified => "?",
        DigestChange::Registered => "registered 新登记",
        DigestChange::Superseded => "superseded 已更新",
        DigestChange::Withdrawn => "withdrawn 已撤回",
    }
}
