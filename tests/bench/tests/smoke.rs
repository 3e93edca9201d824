//! The whole benchmark over one validator, briefly: real processes, real load, and every figure is there.

use std::{path::Path, process::Command};

use serde_json::Value;

#[test]
fn a_short_run_measures_everything_and_writes_the_documents() {
    let chain = Path::new(env!("CARGO_BIN_EXE_bench"));
    assert!(
        chain.with_file_name("xinqiao").is_file(),
        "`cargo xtask test` builds `xinqiao` before the tests, and so does `cargo build --workspace --bins --tests`"
    );
    let folder = tempfile::tempdir().unwrap();
    let (out, docs) = (folder.path().join("out.json"), folder.path().join("docs"));
    let output = Command::new(chain)
        .args([
            "chain",
            "--quick",
            "--engines",
            "solo",
            "--seconds",
            "1",
            "--no-etcd",
        ])
        .args(["--in-flight", "200", "--calls", "16"])
        .arg("--out")
        .arg(&out)
        .arg("--docs")
        .arg(&docs)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let results: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let solo = &results["runs"][0]["outcome"]["measured"];
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
            "{figure}: {solo:#}\n{said}"
        );
    }
    assert_eq!(solo["throughput"]["refused"], 0);
    let document = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    assert!(document.contains("| solo |"), "{document}");
    assert!(docs.join("benchmarks/cpu.svg").is_file());
}

#[test]
fn registration_is_measured_and_one_in_a_hundred_is_superseded_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (
        folder.path().join("out.json"),
        folder.path().join("page.md"),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["register", "--subjects", "2000"])
        .arg("--out")
        .arg(&out)
        .arg("--page")
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
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
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("| registered |")
    );
}

#[test]
fn queries_are_measured_before_and_after_more_enterprises_are_on_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (
        folder.path().join("out.json"),
        folder.path().join("page.md"),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([
            "queries",
            "--few",
            "200",
            "--subjects",
            "1500",
            "--queries",
            "10",
        ])
        .arg("--out")
        .arg(&out)
        .arg("--page")
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let results: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    for (state, subjects) in [(0, 200), (1, 1_500)] {
        let state = &results["states"][state];
        assert_eq!(state["subjects"], subjects, "{state:#}");
        for asked in state["asked"].as_array().unwrap() {
            assert_eq!(asked["latency"]["count"], 10, "{asked:#}");
        }
    }
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("| 1500 | 64 |"), "{page}");
}
