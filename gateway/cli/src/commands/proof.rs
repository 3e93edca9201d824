//! `xinqiao proof`: evidence of one order's whole life, in one file that verifies offline.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use xinqiao_ledger::{
    evidence::{self, Findings, MAX_FILE_BYTES, Standing},
    ids::{OrderId, TxId},
    outcome::Outcome,
    wire,
};

use crate::{
    client::{Client, explain},
    files, genesis_file,
    render::{self, Unverified},
};

/// Evidence.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Write one order's grant, registrations, deliveries and verdicts with all signatures, paths and
    /// certified headers into one file.
    Export {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The order.
        order: OrderId,
        /// The new file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Show what became of a transaction, as its receipt proves it.
    Receipt {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The transaction.
        tx: TxId,
    },
    /// Check an evidence file against a genesis, offline, and say in plain words what it proves.
    Verify {
        /// The evidence file.
        file: PathBuf,
        /// The genesis file.
        #[arg(long)]
        genesis: PathBuf,
    },
}

/// Runs the command.
pub async fn run(command: ProofCommand, json: bool) -> Result<()> {
    match command {
        ProofCommand::Export {
            profile,
            order,
            out,
        } => export(&Client::open(&profile)?, &order, &out).await,
        ProofCommand::Receipt { profile, tx } => {
            show_receipt(&Client::open(&profile)?, &tx, json).await
        }
        ProofCommand::Verify { file, genesis } => verify(&file, &genesis, json),
    }
}

/// Asks a node for an order's evidence and writes it.
pub async fn export(client: &Client, order: &OrderId, out: &Path) -> Result<()> {
    let bundle = client
        .audit()
        .get_evidence(wire::GetEvidenceRequest {
            order: order.to_vec(),
        })
        .await
        .map_err(explain)?
        .into_inner()
        .bundle
        .context("the node answered without a bundle")?;
    let file = evidence::encode(&bundle);
    std::fs::write(out, &file).with_context(|| format!("cannot write {}", out.display()))?;
    println!(
        "{}: {} transactions, {} bytes",
        out.display(),
        bundle.receipts.len(),
        file.len()
    );
    Ok(())
}

/// Asks a node for a transaction's receipt, checks it, and prints what it proves.
async fn show_receipt(client: &Client, tx: &TxId, as_json: bool) -> Result<()> {
    let answer = client
        .ledger()
        .get_receipt(wire::GetReceiptRequest {
            tx_id: tx.to_vec(),
            wait_ms: 0,
        })
        .await
        .map_err(explain)?
        .into_inner()
        .receipt
        .context("the node answered without a receipt")?;
    let proven = (client.check(&answer).await)
        .map_err(|fault| Unverified(format!("the node's receipt proves nothing: {fault:#}")))?;
    if proven.id() != *tx {
        bail!(Unverified(
            "the node's receipt is of another transaction".into()
        ));
    }
    let header = proven.header();
    let (reason, about) = match proven.outcome() {
        Outcome::Applied(_) => (None, ""),
        Outcome::Rejected { reason, subject } => (Some(reason.code()), subject.as_str()),
    };
    if as_json {
        render::print_json(&json!({
            "tx": tx.to_string(),
            "height": header.height,
            "time_ms": header.time,
            "signer": proven.tx().meta().signer.to_string(),
            "applied": reason.is_none(),
            "reason": reason,
            "about": about,
        }));
    } else {
        println!("transaction  {tx}");
        println!("signed by    {}", proven.tx().meta().signer);
        println!(
            "in block     {} ({})",
            header.height,
            render::moment(header.time)
        );
        match reason {
            None => println!("outcome      {} applied", console::style("✓").green()),
            Some(code) => println!("outcome      {} {code} {about}", console::style("✗").red()),
        }
    }
    Ok(())
}

/// Checks a file and prints what it proves.
pub fn verify(file: &Path, genesis: &Path, as_json: bool) -> Result<()> {
    let genesis = genesis_file::read(genesis)?;
    let bytes = files::bytes(file, MAX_FILE_BYTES as u64)?;
    let findings = evidence::verify(&bytes, &genesis)
        .map_err(|fault| Unverified(format!("{} proves nothing: {fault}", file.display())))?;
    if as_json {
        print_json(&findings);
    } else {
        print(&findings);
    }
    if findings.contradicted() {
        bail!(Unverified("the certified record contradicts itself".into()));
    }
    Ok(())
}

fn print(findings: &Findings) {
    println!("{}\norder {}", findings.consortium, findings.order);
    println!(
        "history up to height {} ({})\n",
        findings.until.height,
        render::moment(findings.until.time)
    );
    for claim in &findings.claims {
        let mark = match claim.standing {
            Standing::Proven => console::style("✓ proven").green(),
            Standing::NotShown(_) => console::style("? not shown").yellow(),
            Standing::Contradicted(_) => console::style("✗ contradicted").red(),
        };
        let sentence = findings.sentence(claim, &render::moment);
        println!("{mark}  {}\n   {}", sentence.en, sentence.zh);
    }
    println!();
    for caveat in findings.caveats(&render::moment) {
        println!("note  {}\n      {}", caveat.en, caveat.zh);
    }
}

fn print_json(findings: &Findings) {
    let claims: Vec<_> = findings
        .claims
        .iter()
        .map(|claim| {
            let sentence = findings.sentence(claim, &render::moment);
            let standing = match claim.standing {
                Standing::Proven => "proven",
                Standing::NotShown(_) => "not_shown",
                Standing::Contradicted(_) => "contradicted",
            };
            json!({"standing": standing, "en": sentence.en, "zh": sentence.zh})
        })
        .collect();
    render::print_json(&json!({
        "consortium": findings.consortium, "chain_id": findings.chain.to_string(),
        "order": findings.order.to_string(), "height": findings.until.height, "claims": claims,
    }));
}
