//! The whole benchmark over one validator, briefly: real processes, real load, and every figure is there.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// What a run left behind.
struct Measured {
    figures: Value,
    /// Where it was told to write its pages.
    pages: TempDir,
    said: String,
}

impl Measured {
    /// Runs the bench; `pages` is the option that says where its page or pages go, `page` their name.
    fn by(arguments: &[&str], pages: &str, page: &str) -> Self {
        let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
        assert!(
            bench.with_file_name("xinqiao").is_file(),
            "`cargo xtask test` builds `xinqiao` before the tests, and so does `cargo build --workspace --bins --tests`"
        );
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.json");
        let output = Command::new(bench)
            .args(arguments)
            .arg("--out")
            .arg(&out)
            .arg(pages)
            .arg(folder.path().join(page))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        Self {
            figures: serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap(),
            pages: folder,
            said,
        }
    }

    fn page(&self, name: &str) -> String {
        std::fs::read_to_string(self.pages.path().join(name)).unwrap()
    }
}

#[test]
fn a_short_run_measures_everything_and_writes_the_documents() {
    let run = Measured::by(
        &[
            "chain",
            "--quick",
            "--engines",
            "solo",
            "--seconds",
            "1",
            "--no-etcd",
            "--in-flight",
            "200",
            "--calls",
            "16",
        ],
        "--docs",
        "docs",
    );
    let solo = &run.figures["runs"][0]["outcome"]["measured"];
    for figure in [
        "/throughput/per_second",
        "/throughput/blocks_per_second",
        "/throughput/cost/nodes",
        "/throughput/cost/client",
        "/throughput/disk_bytes",
        "/throughput/network_bytes",
        "/half_load/latency/p50",
        "/half_load/latency/p999",
        "/queries/per_second",
        "/synchronisation/per_second",
        "/deployment_seconds",
        "/growth_bytes",
    ] {
        let value = solo.pointer(figure).and_then(Value::as_f64);
        assert!(
            value.is_some_and(|value| value > 0.0),
            "{figure}: {solo:#}\n{}",
            run.said
        );
    }
    assert_eq!(solo["throughput"]["refused"], 0);
    let document = run.page("docs/benchmarks.md");
    assert!(document.contains("| solo |"), "{document}");
    assert!(run.page("docs/benchmarks/cpu.svg").contains("<svg"));
}

#[test]
fn registration_is_measured_and_one_in_a_hundred_is_superseded_the_second_time() {
    let run = Measured::by(&["register", "--subjects", "2000"], "--page", "page.md");
    let figures = &run.figures;
    let (first, again) = (&figures["first"], &figures["again"]);
    assert_eq!(first["registered"], 2_000);
    assert_eq!(
        (&again["superseded"], &again["unchanged"]),
        (&Value::from(20), &Value::from(1_980))
    );
    assert!(
        figures["validator_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0)
    );
    assert!(run.page("page.md").contains("| registered |"));
}

#[test]
fn queries_are_measured_before_and_after_more_enterprises_are_on_the_ledger() {
    let run = Measured::by(
        &[
            "queries",
            "--few",
            "200",
            "--subjects",
            "1500",
            "--queries",
            "10",
        ],
        "--page",
        "page.md",
    );
    for (state, subjects) in [(0, 200), (1, 1_500)] {
        let state = &run.figures["states"][state];
        assert_eq!(state["subjects"], subjects, "{state:#}");
        for asked in state["asked"].as_array().unwrap() {
            assert_eq!(asked["latency"]["count"], 10, "{asked:#}");
        }
    }
    let page = run.page("page.md");
    assert!(page.contains("| 1500 | 64 |"), "{page}");
}
