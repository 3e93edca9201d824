//! `xinqiao objection`: what an enterprise objects to (异议), and what its sources answer.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use xinqiao_crypto::{Digest, sm3};
use xinqiao_ledger::{
    ids::{ItemCode, ObjectionId, SourceId},
    wire::{self, ObjectionFinding, tx_body::Action},
};

use super::consent::signer;
use crate::{
    client::{Client, explain},
    files, render,
};

/// Objections.
#[derive(Debug, Subcommand)]
pub enum ObjectionCommand {
    /// Object to what a source registered of an enterprise: by its own key, or by the bureau that received the
    /// objection. From this block on every delivery of the items carries the mark.
    File(File),
    /// Say what came of looking into an objection, within 20 days. Signed by the source's operator.
    Resolve(Resolve),
    /// Take an objection back. Signed as one would be filed.
    Withdraw {
        /// How to reach a node, and the bureau's admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The objection.
        objection: ObjectionId,
        /// Sign with the enterprise's own bound key instead of the bureau's.
        #[arg(long)]
        subject_key: Option<PathBuf>,
    },
    /// List objections, newest first.
    List(List),
}

/// What is objected to.
#[derive(Debug, Args)]
pub struct File {
    /// How to reach a node, and the bureau's admin key.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The enterprise's code.
    uscc: String,
    /// The source whose data is objected to.
    #[arg(long)]
    source: SourceId,
    /// Items, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    items: Vec<ItemCode>,
    /// What is objected, in writing; its SM3 goes on the ledger, the document does not.
    #[arg(long)]
    statement: PathBuf,
    /// Sign with the enterprise's own bound key instead of the bureau's.
    #[arg(long)]
    subject_key: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Args)]
pub struct Resolve {
    /// How to reach a node, and the admin key of the source's operator.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The objection.
    objection: ObjectionId,
    /// What was found.
    #[arg(long, value_enum)]
    finding: Finding,
    /// The written answer to who objected; its SM3 goes on the ledger, the document does not.
    #[arg(long)]
    answer: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Finding {
    /// The data was wrong or incomplete, and has been registered anew or withdrawn since
    Corrected,
    /// The data is right: the mark is lifted
    Upheld,
    /// It could not be established: the mark stays
    Unresolved,
}

impl From<Finding> for ObjectionFinding {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Corrected => Self::Corrected,
            Finding::Upheld => Self::Upheld,
            Finding::Unresolved => Self::Unresolved,
        }
    }
}

/// Which are wanted.
#[derive(Debug, Args)]
pub struct List {
    /// How to reach a node; and the pseudonym key, if an enterprise is given.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// Only this enterprise's.
    uscc: Option<String>,
    /// Only those against this source.
    #[arg(long)]
    source: Option<SourceId>,
    /// Only those whose mark stands.
    #[arg(long)]
    standing: bool,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    count: u32,
}

/// Runs the command.
pub async fn run(command: ObjectionCommand, json: bool) -> Result<()> {
    match command {
        ObjectionCommand::File(file) => self::file(file, json).await,
        ObjectionCommand::Resolve(resolve) => {
            let client = Client::open(&resolve.profile)?;
            let action = Action::ResolveObjection(wire::ResolveObjection {
                objection: resolve.objection.to_vec(),
                finding: ObjectionFinding::from(resolve.finding).into(),
                answer_digest: digest(&resolve.answer)?.as_bytes().to_vec(),
            });
            let proven = client.submit(action, &client.admin_key()?).await?;
            say(&resolve.objection, proven.header().height, json);
            Ok(())
        }
        ObjectionCommand::Withdraw {
            profile,
            objection,
            subject_key,
        } => {
            let client = Client::open(&profile)?;
            let key = signer(&client, subject_key.as_ref())?;
            let action = Action::WithdrawObjection(wire::WithdrawObjection {
                objection: objection.to_vec(),
            });
            let proven = client.submit(action, &key).await?;
            say(&objection, proven.header().height, json);
            Ok(())
        }
        ObjectionCommand::List(list) => self::list(list, json).await,
    }
}

async fn file(file: File, json: bool) -> Result<()> {
    let client = Client::open(&file.profile)?;
    let statement = digest(&file.statement)?;
    let key = signer(&client, file.subject_key.as_ref())?;
    let mut items: Vec<String> = file.items.iter().map(ToString::to_string).collect();
    items.sort();
    items.dedup();
    let action = Action::FileObjection(wire::FileObjection {
        subject: client.subject(&file.uscc)?.to_vec(),
        source: file.source.to_string(),
        items,
        statement_digest: statement.as_bytes().to_vec(),
    });
    let proven = client.submit(action, &key).await?;
    say(&proven.id().into(), proven.header().height, json);
    Ok(())
}

async fn list(list: List, json: bool) -> Result<()> {
    let client = Client::open(&list.profile)?;
    let subject = (list.uscc.as_ref())
        .map(|uscc| client.subject(uscc))
        .transpose()?;
    let mut found: Vec<wire::Objection> = Vec::new();
    let mut before_index = 0;
    loop {
        let page = client
            .state()
            .list_objections(wire::ListObjectionsRequest {
                subject: subject.map(|subject| subject.to_vec()).unwrap_or_default(),
                source: list
                    .source
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                standing: list.standing,
                before_index,
                page_size: list.count,
            })
            .await
            .map_err(explain)?
            .into_inner();
        found.extend(page.entries);
        found.truncate(list.count as usize);
        before_index = page.next_before_index;
        if before_index == 0 || found.len() == list.count as usize {
            break;
        }
    }
    if json {
        render::print_json(&json!(found.iter().map(json_of).collect::<Vec<_>>()));
    } else {
        println!("{}", objections_table(&found));
    }
    Ok(())
}

fn digest(document: &Path) -> Result<Digest> {
    Ok(sm3(&files::bytes(document, files::MAX_DOCUMENT)?))
}

fn say(objection: &ObjectionId, height: u64, json: bool) {
    if json {
        render::print_json(&json!({"objection": objection.to_string(), "height": height}));
    } else {
        println!("objection {objection}\nchanged at height {height}");
    }
}

fn json_of(one: &wire::Objection) -> Value {
    let filed = one.filed.clone().unwrap_or_default();
    json!({
        "objection": hex::encode(&one.objection), "subject": hex::encode(&filed.subject),
        "source": filed.source, "items": filed.items, "status": render::objection_status(one.status),
        "received_by": one.received_by, "filed_at_height": one.filed_at_height,
        "filed_at_ms": one.filed_at_ms, "due_ms": one.due_ms, "overdue": one.overdue,
        "statement_digest": hex::encode(&filed.statement_digest),
        "answer_digest": hex::encode(&one.answer_digest), "changed_at_height": one.changed_at_height,
    })
}

/// Objections as a table.
pub fn objections_table(objections: &[wire::Objection]) -> comfy_table::Table {
    let mut table = render::table([
        "objection 异议",
        "subject",
        "source",
        "items",
        "state",
        "filed",
        "due",
    ]);
    for one in objections {
        let filed = one.filed.clone().unwrap_or_default();
        let by = match one.received_by.as_str() {
            "" => "by the enterprise's key".to_owned(),
            bureau => format!("received by {bureau}"),
        };
        let overdue = if one.overdue { "\noverdue 逾期" } else { "" };
        table.add_row([
            hex::encode(&one.objection),
            render::short(&filed.subject),
            filed.source,
            filed.items.join(" "),
            render::objection_status(one.status),
            format!("{}\n{by}", render::moment(one.filed_at_ms)),
            format!("{}{overdue}", render::moment(one.due_ms)),
        ]);
    }
    table
}

/// A mark in a report.
pub fn mark(mark: &wire::ObjectionMark) -> String {
    let state = if mark.unresolved {
        "not established 不能确认"
    } else {
        "being looked into 核查中"
    };
    let filed = render::moment(mark.filed_at_ms);
    format!("objected to 异议 {filed}\n{state}")
}
