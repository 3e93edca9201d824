//! `xinqiao node`: running a ledger node, asking one where it stands, and checking what it has on its disk.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use xinqiao_node::Verifier;
use xinqiao_store::{Error, verify};

use super::run::{self, Start};
use crate::{
    client::Client,
    genesis_file, progress,
    render::{self, Unverified},
};

/// A node to run, or something to do with one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Node {
    #[command(flatten)]
    start: Option<Start>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where a node or an observer stands: its height, its state, and whether it is well.
    Status {
        /// How to reach it.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
    /// Check every byte of a replica's data folder: each block is verified and executed again from the genesis,
    /// and what that leads to is compared with what is stored. A replica that began with a snapshot, or has
    /// pruned, is executed again from its oldest certified checkpoint.
    ///
    /// It works for any replica: a node's, an observer's, or the one that a data-holding node embeds. The process
    /// that owns the folder has to be stopped; as much disk again is needed beside it while this runs.
    Verify {
        /// The replica's data folder.
        folder: PathBuf,
        /// The genesis file that the chain must come from.
        #[arg(long)]
        genesis: PathBuf,
    },
}

/// Runs the node, or the command.
pub async fn run(node: Node, json: bool) -> Result<()> {
    match (node.start, node.command) {
        (_, Some(Command::Status { profile })) => status(&Client::open(&profile)?, json).await,
        (_, Some(Command::Verify { folder, genesis })) => {
            // It reads and executes for as long as the chain is long.
            tokio::task::spawn_blocking(move || check(&folder, &genesis, json)).await?
        }
        (Some(start), None) => run::node(&start).await,
        (None, None) => anyhow::bail!("name a configuration file with --config"),
    }
}

async fn status(client: &Client, as_json: bool) -> Result<()> {
    let status = client.status().await?;
    let role = render::node_role(status.role);
    let (chain, header) = (
        hex::encode(&status.chain_id),
        hex::encode(&status.header_hash),
    );
    let state = hex::encode(&status.state_commitment);
    if as_json {
        render::print_json(&json!({
            "role": role, "chain": chain, "height": status.height, "header_hash": header,
            "state_commitment": state, "time_ms": status.time_ms,
            "mempool_transactions": status.mempool_transactions,
            "mempool_bytes": status.mempool_bytes, "max_expiry_window": status.max_expiry_window,
            "halted": status.halted,
        }));
        return Ok(());
    }
    let mut table = render::table(["node", &role]);
    let last = match status.height {
        0 => "none yet".to_owned(),
        height => format!("{height} of {}", render::moment(status.time_ms)),
    };
    let waiting = format!(
        "{} transactions, {} bytes",
        status.mempool_transactions, status.mempool_bytes
    );
    let well = match status.halted.as_str() {
        "" => "well".to_owned(),
        reason => format!("halted: {reason}"),
    };
    let window = format!("at most {} blocks ahead", status.max_expiry_window);
    for (name, value) in [
        ("standing", well),
        ("chain", chain),
        ("last block", last),
        ("its header", header),
        ("state", state),
        ("waiting", waiting),
        ("transactions expire", window),
    ] {
        table.add_row([name, &value]);
    }
    println!("{table}");
    Ok(())
}

fn check(folder: &std::path::Path, genesis: &std::path::Path, as_json: bool) -> Result<()> {
    let genesis = Arc::new(genesis_file::read(genesis)?);
    // Opening a store would make one where there is none, and find it sound.
    if !xinqiao_store::exists(folder) {
        anyhow::bail!("{} holds no replica", folder.display());
    }
    let verifier = Verifier::new(genesis.distinguishing_id.clone());
    let bar = progress::spinner("executing again".into());
    let checked = verify(folder, &genesis, &verifier, |height| {
        bar.set_message(format!("executing again: block {height}"));
    });
    bar.finish_and_clear();
    let report = match checked {
        Ok(report) => report,
        Err(damage @ Error::Damaged { .. }) => return Err(Unverified(damage.to_string()).into()),
        Err(other) => return Err(other).context("the replica cannot be checked"),
    };
    if as_json {
        render::print_json(&json!({
            "chain": genesis.chain_id().to_string(),
            "height": report.tip.height,
            "from": report.from,
            "state": report.tip.commitment.to_string(),
            "transactions": report.txs,
            "pairs": report.pairs,
        }));
    } else {
        println!(
            "{} sound: blocks {} to {} with {} transactions lead from {} to every one of {} stored values\nheight {}  state {}",
            console::style("✓").green(),
            report.from,
            report.tip.height,
            report.txs,
            if report.from == 1 {
                "the genesis"
            } else {
                "a certified checkpoint"
            },
            report.pairs,
            report.tip.height,
            report.tip.commitment
        );
    }
    Ok(())
}
