//! One trace follows a query through agent, gateways, nodes and holders, received by a real OTLP receiver;
//! and no span and no log line holds content, a plain code or a secret.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use xinqiao_it::{
    Consortium,
    markers::{Markers, files},
    otlp::{Receiver, Span},
    people::{BANK, BUREAUS, HOME},
};
use xinqiao_ledger::wire::{self, report_service_client::ReportServiceClient};
use xinqiao_rpc::limited;

/// Spans leave in batches.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_trace_follows_a_query_and_holds_no_secret() {
    let receiver = Receiver::start().await;
    let mut consortium = Consortium::start_with(&["--otlp", &receiver.endpoint]).await;
    let report = query(&consortium).await;
    let operators: BTreeSet<&str> = report
        .parts
        .iter()
        .map(|part| operator_of(&part.source))
        .collect();
    assert!(
        operators.len() > 1,
        "the report comes from one region alone: {operators:?}"
    );

    // Who must be in the trace: the agent, its gateway and node, and each holder that delivered.
    let mut expected: BTreeSet<String> = [
        format!("{BANK}/xinqiao-agent"),
        format!("{HOME}/xinqiao-gateway"),
        format!("{HOME}/xinqiao-node"),
    ]
    .into();
    expected.extend(operators.iter().map(|org| format!("{org}/xinqiao-holder")));

    let spans = the_query_s_trace(&receiver, &expected).await;
    they_join_up(&spans);

    consortium.stop().await;
    nothing_in_them_is_anybody_s_business(&consortium, &receiver.spans(), &report);
}

async fn query(consortium: &Consortium) -> wire::QueryReportResponse {
    let running = consortium.running();
    let query = wire::QueryReportRequest {
        uscc: running.enterprises[0].clone(),
        purpose: running.purpose.clone(),
        user: running.user.clone(),
        ..Default::default()
    };
    let mut agent = limited!(sealed: ReportServiceClient::new(consortium.people().agent()));
    agent.query_report(query).await.unwrap().into_inner()
}

/// The bureau behind a source of the demo, whose name begins with its region.
fn operator_of(source: &str) -> &'static str {
    match source.split('-').next() {
        Some("shanghai") => BUREAUS[0],
        Some("jiangsu") => BUREAUS[1],
        Some("zhejiang") => BUREAUS[2],
        _ => panic!("{source} is in no region of the demo"),
    }
}

/// The spans of the trace that the query began, once all processes have sent theirs.
async fn the_query_s_trace(receiver: &Receiver, expected: &BTreeSet<String>) -> Vec<Span> {
    let begun = Instant::now();
    loop {
        let all = receiver.spans();
        let trace = all
            .iter()
            .find(|span| {
                span.process.ends_with("xinqiao-agent") && span.name.contains("QueryReport")
            })
            .map(|span| span.trace.clone());
        let spans: Vec<Span> = all
            .iter()
            .filter(|span| Some(&span.trace) == trace.as_ref())
            .cloned()
            .collect();
        let there: BTreeSet<String> = spans.iter().map(|span| span.process.clone()).collect();
        if expected.is_subset(&there) && known_parents(&spans) {
            return spans;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "after {PATIENCE:?} the trace lacks {:?}, or a parent of one of its spans; it has:\n{}",
            expected.difference(&there).collect::<Vec<_>>(),
            drawn(&spans)
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn known_parents(spans: &[Span]) -> bool {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    spans
        .iter()
        .all(|span| span.parent.is_empty() || ids.contains(span.parent.as_str()))
}

/// One root, at the agent, and from every span a way up to it.
fn they_join_up(spans: &[Span]) {
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 1, "{}", drawn(spans));
    assert!(
        roots[0].process.ends_with("xinqiao-agent"),
        "{}",
        drawn(spans)
    );
    for span in spans {
        let (mut at, mut steps) = (span, 0);
        while !at.parent.is_empty() {
            at = by_id[at.parent.as_str()];
            steps += 1;
            assert!(
                steps < 100,
                "the spans go round in a circle:\n{}",
                drawn(spans)
            );
        }
        assert_eq!(at.id, roots[0].id, "{}", drawn(spans));
    }
    // Each step of the way hangs below the one that asked for it.
    for (lower, upper) in [
        ("xinqiao-gateway", "xinqiao-agent"),
        ("xinqiao-node", "xinqiao-gateway"),
        ("xinqiao-holder", "xinqiao-gateway"),
    ] {
        let hangs = spans.iter().any(|span| {
            let parent = by_id.get(span.parent.as_str());
            span.process.ends_with(lower)
                && parent.is_some_and(|parent| parent.process.ends_with(upper))
        });
        assert!(
            hangs,
            "no span of {lower} hangs below one of {upper}:\n{}",
            drawn(spans)
        );
    }
}

fn drawn(spans: &[Span]) -> String {
    spans
        .iter()
        .map(|span| {
            format!(
                "{} <- {:16} {} {}\n",
                span.id, span.parent, span.process, span.name
            )
        })
        .collect()
}

/// Neither spans nor logs hold content of records, plain codes, or bytes of any key.
fn nothing_in_them_is_anybody_s_business(
    consortium: &Consortium,
    spans: &[Span],
    report: &wire::QueryReportResponse,
) {
    let mut secrets = vec![consortium.running().user.clone()];
    let keys = files(consortium.dir()).into_iter().filter(|file| {
        let in_keys = file.parent().is_some_and(|folder| folder.ends_with("keys"));
        in_keys || file.extension().is_some_and(|extension| extension == "key")
    });
    for key in keys {
        // Each line of a PEM body, and the digits of a shared secret, is a secret of its own.
        let Ok(text) = std::fs::read_to_string(&key) else {
            // The agent's state key, which lies sealed.
            continue;
        };
        let lines = text
            .lines()
            .filter(|line| line.len() >= 16 && !line.starts_with("-----"));
        secrets.extend(lines.map(|line| line.trim().to_owned()));
    }
    assert!(
        secrets.len() > 15,
        "only {} secrets were found",
        secrets.len()
    );
    secrets.retain(|secret| secret.len() >= 16);
    let sections = report.sections.iter().map(|section| section.json.clone());
    let records = Markers::of_records(&consortium.dir().join("records"), sections);
    let secrets = Markers::new(secrets);

    assert!(spans.len() > 20, "only {} spans were received", spans.len());
    for span in spans {
        for markers in [&records, &secrets] {
            markers.absent(&format!("a span of {}", span.process), span.says.as_bytes());
        }
    }
    let mut lines = 0;
    for file in files(consortium.dir()) {
        if file.extension().is_some_and(|extension| extension == "log") {
            let bytes = std::fs::read(&file).unwrap();
            lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            for markers in [&records, &secrets] {
                markers.absent(&file.display().to_string(), &bytes);
            }
        }
    }
    assert!(lines > 11, "the logs have {lines} lines");
}
