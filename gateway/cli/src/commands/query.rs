//! `xinqiao query`: what a bank's application does, from the command line.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use xinqiao_client::Client;
use xinqiao_ledger::{
    ids::{GrantId, ItemCode, PurposeCode},
    wire,
};
use xinqiao_report::{Lang, Occasion, html, json, lines};
use xinqiao_rpc::Reason;

use super::objection;
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
    /// Names this request: the same again is the same order and answer, and takes no second use of the grant.
    #[arg(long, default_value = "")]
    request_id: String,
    /// Write the report as a page that needs nothing else, and prints on A4.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the report as PDF; Chromium must be installed.
    #[arg(long)]
    pdf: Option<PathBuf>,
    /// Language of the report.
    #[arg(long, value_enum, default_value_t = ReportLang::Both)]
    lang: ReportLang,
}

/// Languages of a report.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ReportLang {
    /// Chinese.
    Zh,
    /// English.
    En,
    /// Both, Chinese first.
    Both,
}

impl From<ReportLang> for Lang {
    fn from(lang: ReportLang) -> Self {
        match lang {
            ReportLang::Zh => Self::Zh,
            ReportLang::En => Self::En,
            ReportLang::Both => Self::Both,
        }
    }
}

/// Runs the command.
pub async fn run(query: Query, as_json: bool) -> Result<()> {
    let occasion = Occasion {
        uscc: query.uscc.clone(),
        purpose: query.purpose.to_string(),
        user: query.user.clone(),
        reason,
    };
    let mut asked = xinqiao_client::Query::new(query.uscc, query.purpose.as_str(), query.user)
        .items(query.items.iter().map(ItemCode::as_str))
        .sources_within(Duration::from_millis(query.deadline_ms.into()))
        .with_catalogue();
    if let Some(grant) = &query.grant {
        asked = asked.grant(grant);
    }
    if !query.request_id.is_empty() {
        asked = asked.request_id(query.request_id);
    }
    let report = async { Client::new(&query.agent)?.ask(&asked).await }
        .await
        .map_err(failed)?;
    let lang = Lang::from(query.lang);
    if as_json {
        render::print_json(&json::report(&report, &occasion));
    } else {
        print(&report, lang);
    }
    if query.html.is_some() || query.pdf.is_some() {
        let page = html::report(&report, &occasion, lang)?;
        if let Some(path) = &query.html {
            write(path, page.as_bytes())?;
        }
        if let Some(path) = &query.pdf {
            pdf(&page, path).await?;
        }
    }
    Ok(())
}

/// A failure in the words that all commands have.
fn failed(error: xinqiao_client::Error) -> anyhow::Error {
    match &error.detail().status {
        Some(status) => explain(status.clone()),
        None => error.into(),
    }
}

/// What a reason code means.
pub fn reason(code: &str) -> Option<(&'static str, &'static str)> {
    let reason = Reason::from_code(code)?;
    Some((reason.chinese().happened, reason.english().happened))
}

/// A report is for its reader alone.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let whence = || format!("cannot write {}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(whence)?;
    file.write_all(bytes).with_context(whence)
}

/// Prints a page with a browser that is here, without network and without a profile that it would keep.
async fn pdf(page: &str, path: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("xinqiao-page-").tempdir()?;
    let source = folder.path().join("report.html");
    write(&source, page.as_bytes())?;
    let printed = folder.path().join("report.pdf");
    for browser in ["chromium", "chromium-browser", "google-chrome"] {
        let mut command = tokio::process::Command::new(browser);
        command
            .args(["--headless", "--disable-gpu", "--no-pdf-header-footer"])
            .arg("--no-first-run")
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .arg(format!("--print-to-pdf={}", printed.display()))
            .arg(&source)
            .kill_on_drop(true)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        // A browser's own sandbox does not start for root; the page has nothing that runs.
        if std::fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
        {
            command.arg("--no-sandbox");
        }
        match command.status().await {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault).with_context(|| format!("cannot start {browser}")),
            Ok(status) if !status.success() => {
                bail!("{browser} could not print the page ({status})")
            }
            Ok(_) => {
                let bytes = std::fs::read(&printed).context("the browser printed nothing")?;
                return write(path, &bytes);
            }
        }
    }
    bail!("no Chromium was found to print with; --html writes a page that any browser prints")
}

/// A report as tables.
pub fn print(report: &wire::QueryReportResponse, lang: Lang) {
    println!(
        "order {} (height {})",
        hex::encode(&report.order),
        report.placed_at_height
    );
    println!("{}", parts_table(report));
    println!("{}", sections_table(report, lang));
    for line in lines::conflicts(report, lang) {
        println!("≠ {line}");
    }
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

/// The sections, in the catalogue's order and with its labels.
pub fn sections_table(report: &wire::QueryReportResponse, lang: Lang) -> comfy_table::Table {
    let mut table = render::table(["item", "source", "as of", "content", "proof"]);
    let places = report.items.iter().flat_map(|item| &item.sections);
    for section in places.filter_map(|at| report.sections.get(*at as usize)) {
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
        let mut as_of = render::day(section.as_of_day);
        if section.stale {
            as_of.push_str("\nout of date");
        }
        for mark in &section.objections {
            as_of.push_str(&format!("\n{}", objection::mark(mark)));
        }
        let mut content = lines::content(report, section, lang).join("\n");
        for fault in &section.faults {
            content.push_str(&format!("\n! {}: {}", fault.path, fault.message));
        }
        table.add_row([
            format!("{}\n{}", section.name_zh, section.item),
            section.source_name.clone(),
            as_of,
            content,
            proof,
        ]);
    }
    table
}
