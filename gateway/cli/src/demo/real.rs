//! The demo on real company registrations: CSV files with the columns of the public register.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use serde_json::Value;
use xinqiao_client::Proof;
use xinqiao_data_adapters::{self as adapters, generate, mapping::Mapping};
use xinqiao_ledger::{
    ids::{ItemCode, OrgId, PurposeCode},
    uscc::Uscc,
    wire::{self, tx_body::Action},
};

use super::{BANK, BUREAUS, CLERK, Consortium, SourcePlan, folder_size, head, scenario};
use crate::{
    client::{Client, explain},
    commands::consent,
    progress, render,
};

/// As-of date of the files.
const AS_OF: &str = "2019-12-31";

/// Grants under way at once.
const GRANTS_AT_ONCE: usize = 64;

/// The real data of a run.
pub struct Real {
    sources: Vec<RealSource>,
}

struct RealSource {
    bureau: usize,
    id: String,
    mapping: PathBuf,
    subjects: Vec<Uscc>,
}

/// Finds the CSV files and writes a mapping for each.
pub fn plan(folder: &Path, dir: &Path) -> Result<Real> {
    // Without dots on the way, since bad rows are named by their file.
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files: Vec<PathBuf> = folder
        .read_dir()
        .with_context(|| format!("cannot read the folder {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("there are no CSV files in {}", folder.display());
    }
    let records = dir.join("records");
    std::fs::create_dir_all(&records)?;
    let mut sources = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("file");
        let id = format!("{}-registry", stem.to_lowercase().replace(['_', ' '], "-"));
        // Neighbours without a bureau in the demo are served by one that has one.
        let bureau = match stem {
            "shanghai" => 0,
            "jiangsu" => 1,
            "zhejiang" | "guangdong" => 2,
            "anhui" => 3,
            _ => index % BUREAUS.len(),
        };
        let mapping = records.join(format!("{id}.toml"));
        generate::write_enterprise_mapping(&mapping, &id, std::slice::from_ref(file), AS_OF)?;
        let source = adapters::open(Mapping::read(&mapping)?)?;
        let subjects = source
            .scan(None)?
            .filter_map(|scanned| scanned.ok()?.row.ok())
            .map(|row| row.uscc)
            .collect();
        sources.push(RealSource {
            bureau,
            id,
            mapping,
            subjects,
        });
    }
    Ok(Real { sources })
}

impl Real {
    /// The sources to be served.
    pub fn plans(&self) -> Result<Vec<SourcePlan>> {
        self.sources
            .iter()
            .map(|source| {
                Ok(SourcePlan {
                    bureau: source.bureau,
                    source: source.id.parse()?,
                    name: format!("工商登记 {}", source.id),
                    mapping: source.mapping.clone(),
                })
            })
            .collect()
    }

    /// Enterprises of other regions than the bank's.
    pub fn examples(&self) -> Vec<String> {
        self.chosen(100)
            .iter()
            .map(|uscc| uscc.expose().to_owned())
            .collect()
    }

    /// So many enterprises of regions other than the bank's, spread over the sources.
    fn chosen(&self, count: usize) -> Vec<Uscc> {
        let mut others: Vec<_> = self
            .sources
            .iter()
            .filter(|source| BUREAUS[source.bureau].org != BUREAUS[1].org)
            .map(|source| source.subjects.iter())
            .collect();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let before = chosen.len();
            for subjects in &mut others {
                if chosen.len() < count
                    && let Some(uscc) = subjects.next()
                {
                    chosen.push(*uscc);
                }
            }
            if chosen.len() == before {
                break;
            }
        }
        chosen
    }
}

/// Grants, queries, and prints the figures.
pub async fn run(
    consortium: &Consortium,
    real: &Real,
    reports: &[Value],
    queries: usize,
    at_once: usize,
) -> Result<()> {
    bad_rows(reports);
    let chosen = real.chosen(queries);
    if chosen.len() < queries {
        bail!(
            "only {} enterprises of other regions can be asked for",
            chosen.len()
        );
    }
    head("Consent for the enterprises to be asked for 授权");
    let bureau = Arc::new(Client::open(&consortium.profile(BUREAUS[1].org))?);
    let key = Arc::new(bureau.admin_key()?);
    let progress = progress::bar(chosen.len(), "grants");
    let status = bureau.status().await?;
    let expires = status.height + status.max_expiry_window;
    stream::iter(&chosen)
        .map(|uscc| {
            let (bureau, key) = (bureau.clone(), key.clone());
            let progress = progress.clone();
            async move {
                bureau
                    .submit_before(grant(&bureau, uscc)?, &key, expires)
                    .await?;
                progress.inc(1);
                Ok::<_, anyhow::Error>(())
            }
        })
        .buffer_unordered(GRANTS_AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    progress.finish_and_clear();

    head("Cross-region queries 跨区域查询");
    let progress = progress::bar(chosen.len(), "queries");
    let agent = scenario::agent(consortium)?;
    let begun = Instant::now();
    let answers = stream::iter(&chosen)
        .map(|uscc| {
            let mut agent = agent.clone();
            let progress = progress.clone();
            let request = wire::QueryReportRequest {
                uscc: uscc.expose().to_owned(),
                purpose: "loan_approval".into(),
                user: CLERK.into(),
                ..Default::default()
            };
            async move {
                let begun = Instant::now();
                let report = agent
                    .query_report(request)
                    .await
                    .map_err(explain)?
                    .into_inner();
                let verified = verify(&report)?;
                progress.inc(1);
                Ok::<_, anyhow::Error>((begun.elapsed(), verified))
            }
        })
        .buffer_unordered(at_once)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let whole = begun.elapsed();
    progress.finish_and_clear();

    let mut times: Vec<_> = answers.iter().map(|(elapsed, _)| *elapsed).collect();
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let items: usize = answers.iter().map(|(_, verified)| verified).sum();
    let subjects: u64 = reports
        .iter()
        .filter_map(|report| report["subjects"].as_u64())
        .sum();
    let seconds: f64 = reports
        .iter()
        .filter_map(|report| report["elapsed_ms"].as_f64())
        .sum::<f64>()
        / 1_000.0;
    let disk = folder_size(&consortium.dir.join(BUREAUS[0].org).join("data/node"));
    let mut table = render::table(["figure", "value"]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("subjects registered", subjects.to_string());
    row(
        "subjects/s (digested, registered, final)",
        format!("{:.0}", subjects as f64 / seconds.max(0.001)),
    );
    row(
        "cross-region queries answered, each verified",
        answers.len().to_string(),
    );
    row("items verified to registered roots", items.to_string());
    row(
        &format!("queries/s ({at_once} at once)"),
        format!("{:.0}", answers.len() as f64 / whole.as_secs_f64()),
    );
    row(
        "p50 / p99",
        format!(
            "{:.1} ms / {:.1} ms",
            at(50).as_secs_f64() * 1e3,
            at(99).as_secs_f64() * 1e3
        ),
    );
    row(
        "disk of one node",
        format!("{:.1} MiB", disk as f64 / 1_048_576.0),
    );
    row(
        "disk per subject",
        format!("{:.0} bytes", disk as f64 / subjects.max(1) as f64),
    );
    println!("{table}");
    scenario::same_state(consortium).await
}

fn grant(bureau: &Client, uscc: &Uscc) -> Result<Action> {
    let items: Vec<ItemCode> = vec!["business_registration".parse()?];
    let (grantee, purpose): (OrgId, PurposeCode) = (BANK.parse()?, "loan_approval".parse()?);
    let subject = bureau.subject(uscc.expose())?;
    let terms = consent::terms(
        &subject,
        &grantee,
        &[purpose],
        &items,
        b"letter of authorisation",
    );
    Ok(Action::GrantConsent(wire::GrantConsent {
        request: vec![],
        terms: Some(terms),
    }))
}

/// Checks that everything came and every section leads to its root; counts the sections.
fn verify(report: &wire::QueryReportResponse) -> Result<usize> {
    if report.sections.is_empty() || report.parts.iter().any(|part| !part.reason.is_empty()) {
        bail!("an answer was not whole: {:?}", report.parts);
    }
    for section in &report.sections {
        let proof = section
            .proof
            .as_ref()
            .context("a section came without its proof")?;
        Proof::read(proof)?.check(&section.item, &section.json)?;
    }
    Ok(report.sections.len())
}

/// Which rows were not registered, and where they are listed.
fn bad_rows(reports: &[Value]) {
    let mut table = render::table(["source", "bad rows", "by reason", "first ones", "all in"]);
    for report in reports {
        let count = report["bad_rows"].as_u64().unwrap_or(0);
        if count == 0 {
            continue;
        }
        let reasons: Vec<String> = report["bad_by_reason"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        let first: Vec<String> = report["first_bad_rows"]
            .as_array()
            .into_iter()
            .flatten()
            .take(3)
            .filter_map(|row| row.as_str().map(str::to_owned))
            .collect();
        table.add_row([
            report["source"].as_str().unwrap_or("?").to_owned(),
            count.to_string(),
            reasons.join("\n"),
            first.join("\n"),
            report["bad_row_file"].as_str().unwrap_or("").to_owned(),
        ]);
    }
    println!("{table}");
}
