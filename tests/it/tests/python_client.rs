//! Clients that share no code with us: the README's Python program as it stands there, further calls with
//! Python's own gRPC packages, and `buf curl` with reflection and with the contract's files.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::Value;
use tokio::process::Command;
use xinqiao_it::{Consortium, process, root};

/// Asks for exactly three items; prints items, proofs and missing ones as JSON.
const SELECTIVE: &str = r#"
import json, sys
import grpc
from xinqiao.v1 import report_pb2, report_pb2_grpc
address, uscc, purpose, *items = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    report = report_pb2_grpc.ReportServiceStub(channel).QueryReport(
        report_pb2.QueryReportRequest(uscc=uscc, purpose=purpose, user="clerk-7", items=sorted(items)),
        timeout=30)
print(json.dumps({
    "sections": [[s.item, len(s.proof.salt), len(s.proof.root), s.json] for s in report.sections],
    "parts": [[list(p.items), p.reason] for p in report.parts],
    "missing": list(report.missing_items),
    "items_of_all": sorted({s.item for s in report.sections}),
}))
"#;

/// Makes two calls that are refused, and prints what Python can read of the refusals.
const REFUSED: &str = r#"
import json, sys
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from xinqiao.v1 import report_pb2, report_pb2_grpc
address, purpose, *codes = sys.argv[1:]
answers = []
with grpc.insecure_channel(address) as channel:
    reports = report_pb2_grpc.ReportServiceStub(channel)
    for code in codes:
        try:
            reports.QueryReport(report_pb2.QueryReportRequest(uscc=code, purpose=purpose, user="clerk-7"), timeout=30)
            answers.append(None)
        except grpc.RpcError as error:
            found = {"code": error.code().name, "text": error.details(), "fields": []}
            for detail in rpc_status.from_call(error).details:
                if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                    info = error_details_pb2.ErrorInfo()
                    detail.Unpack(info)
                    found["reason"], found["domain"] = info.reason, info.domain
                if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                    bad = error_details_pb2.BadRequest()
                    detail.Unpack(bad)
                    found["fields"] = [violation.field for violation in bad.field_violations]
                if detail.Is(error_details_pb2.Help.DESCRIPTOR):
                    link = error_details_pb2.Help()
                    detail.Unpack(link)
                    found["help"] = link.links[0].url
            answers.append(found)
print(json.dumps(answers))
"#;

/// A tool that `cargo xtask test` brings; nothing where the tests are run without it.
fn tool(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {variable} is not set; `cargo xtask test` sets it");
    }
    found
}

async fn ran(command: &mut Command) -> Output {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(Duration::from_secs(120), run)
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end"))
        .unwrap()
}

fn succeeded(what: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{what} failed ({}):\n{}",
        output.status,
        process::printed(output)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The program in README.md that calls itself by this name, to the letter.
fn program_of_readme(readme: &str, name: &str) -> String {
    let text = std::fs::read_to_string(root().join(readme)).unwrap();
    let head = format!("```python\n# {name}\n");
    let begin = text
        .find(&head)
        .unwrap_or_else(|| panic!("{readme} has no program {name}"));
    let program = &text[begin + "```python\n".len()..];
    program[..program.find("```").unwrap()].to_owned()
}

struct Python {
    python: PathBuf,
    folder: tempfile::TempDir,
    agent: String,
}

impl Python {
    /// Generates the stubs with the very command that the README gives.
    async fn prepare(python: PathBuf, agent: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stubs = folder.path().join("stubs");
        std::fs::create_dir(&stubs).unwrap();
        let proto = root().join("proto");
        let mut contract: Vec<PathBuf> = std::fs::read_dir(proto.join("xinqiao/v1"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        contract.sort();
        let output = ran(Command::new(&python)
            .args(["-m", "grpc_tools.protoc", "-I"])
            .arg(&proto)
            .arg(format!("--python_out={}", stubs.display()))
            .arg(format!("--grpc_python_out={}", stubs.display()))
            .args(&contract))
        .await;
        succeeded("grpc_tools.protoc", &output);
        Self {
            python,
            folder,
            agent: agent.trim_start_matches("http://").to_owned(),
        }
    }

    async fn run(&self, name: &str, program: &str, args: &[&str]) -> String {
        let file = self.folder.path().join(name);
        std::fs::write(&file, program).unwrap();
        let output = ran(Command::new(&self.python)
            .arg(&file)
            .arg(&self.agent)
            .args(args)
            .env("PYTHONPATH", self.folder.path().join("stubs"))
            .env("PYTHONIOENCODING", "utf-8"))
        .await;
        succeeded(name, &output)
    }
}

#[tokio::test]
async fn clients_that_share_no_code_with_us_can_query() {
    let (python, buf) = (tool("XINQIAO_PYTHON"), tool("XINQIAO_BUF"));
    if python.is_none() && buf.is_none() {
        return;
    }
    let consortium = Consortium::start().await;
    if let Some(python) = python {
        let python = Python::prepare(python, &consortium.running().agent).await;
        the_program_in_the_readme_runs_as_it_stands_there(&consortium, &python).await;
        three_items_asked_for_are_three_items_delivered(&consortium, &python).await;
        a_refusal_can_be_read_by_a_program(&consortium, &python).await;
    }
    if let Some(buf) = buf {
        buf_curl_queries_by_reflection_and_by_the_contract(&consortium, &buf).await;
    }
}

async fn the_program_in_the_readme_runs_as_it_stands_there(
    consortium: &Consortium,
    python: &Python,
) {
    let running = consortium.running();
    let program = program_of_readme("README.md", "first_query.py");
    let chinese = program_of_readme("README.zh-CN.md", "first_query.py");
    let code = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or("").trim_end());
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        code(&program),
        code(&chinese),
        "the two READMEs give different programs"
    );

    let said = python
        .run(
            "first_query.py",
            &program,
            &[&running.enterprises[0], &running.purpose],
        )
        .await;
    assert!(said.lines().count() >= 3, "{said}");
    assert!(said.contains("PART_STATUS_CONFIRMED"), "{said}");
    assert!(said.contains("{'"), "no section was printed: {said}");
}

async fn three_items_asked_for_are_three_items_delivered(consortium: &Consortium, python: &Python) {
    let running = consortium.running();
    let uscc = &running.enterprises[0];
    let ask = async |items: &[&str]| -> Value {
        let args: Vec<&str> = [uscc.as_str(), &running.purpose]
            .into_iter()
            .chain(items.iter().copied())
            .collect();
        serde_json::from_str(&python.run("selective.py", SELECTIVE, &args).await).unwrap()
    };
    let all = ask(&[]).await;
    let held: Vec<&str> = all["items_of_all"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_str().unwrap())
        .collect();
    assert!(held.len() > 3, "the first enterprise has only {held:?}");

    // One from the middle and one from either end: which neighbours stay behind must not matter.
    let chosen = [held[0], held[held.len() / 2], held[held.len() - 1]];
    let some = ask(&chosen).await;
    assert_eq!(some["items_of_all"], serde_json::json!(chosen));
    for section in some["sections"].as_array().unwrap() {
        assert_eq!(
            (section[1].as_u64(), section[2].as_u64()),
            (Some(32), Some(32))
        );
        assert!(
            all["sections"].as_array().unwrap().contains(section),
            "{section}"
        );
    }
    for part in some["parts"].as_array().unwrap() {
        for item in part[0].as_array().unwrap() {
            assert!(
                chosen.contains(&item.as_str().unwrap()),
                "{item} was in a part"
            );
        }
    }
}

async fn a_refusal_can_be_read_by_a_program(consortium: &Consortium, python: &Python) {
    let running = consortium.running();
    let good = &running.enterprises[0];
    let wrong = wrong_check_character(good);
    let without = &running.enterprises[1];
    let said = python
        .run(
            "refused.py",
            REFUSED,
            &[&running.purpose, without, &wrong, &good[..17]],
        )
        .await;
    let answers: Value = serde_json::from_str(&said).unwrap();
    for (index, code, reason, field) in [
        (0, "FAILED_PRECONDITION", "CONSENT_NOT_FOUND", None),
        (1, "INVALID_ARGUMENT", "USCC_CHECK_CHARACTER", Some("uscc")),
        (2, "INVALID_ARGUMENT", "USCC_LENGTH", Some("uscc")),
    ] {
        let answer = &answers[index];
        assert_eq!(answer["code"], code, "{answer}");
        assert_eq!(answer["reason"], reason, "{answer}");
        assert_eq!(answer["domain"], "xinqiao", "{answer}");
        assert_eq!(
            answer["help"],
            format!("docs/errors.md#{}", reason.to_lowercase()),
            "{answer}"
        );
        if let Some(field) = field {
            assert_eq!(answer["fields"], serde_json::json!([field]), "{answer}");
        }
        // The code as it was sent is the bank's own business, not for logs and tickets.
        assert!(
            !answer["text"].as_str().unwrap().contains(&good[..17]),
            "{answer}"
        );
    }
}

/// The code with another last character, which then is the wrong one.
fn wrong_check_character(uscc: &str) -> String {
    let last = if uscc.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &uscc[..17])
}

async fn buf_curl_queries_by_reflection_and_by_the_contract(consortium: &Consortium, buf: &Path) {
    let running = consortium.running();
    let ask = async |schema: &[&str], method: &str, data: String| {
        ran(Command::new(buf)
            .args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"])
            .args(schema)
            .args(["--data", &data])
            .arg(format!(
                "{}/xinqiao.v1.ReportService/{method}",
                running.agent
            ))
            .current_dir(root()))
        .await
    };
    let query = |uscc: &str| {
        serde_json::json!({"uscc": uscc, "purpose": running.purpose, "user": running.user})
            .to_string()
    };
    for schema in [&["--reflect"][..], &["--schema", "proto"]] {
        let what = format!("buf curl {}", schema.join(" "));
        let answer = ask(schema, "QueryReport", query(&running.enterprises[0])).await;
        let report: Value = serde_json::from_str(&succeeded(&what, &answer)).unwrap();
        assert!(
            !report["sections"].as_array().unwrap().is_empty(),
            "{what}: {report}"
        );

        let answer = ask(schema, "ListCatalogue", "{}".into()).await;
        let catalogue: Value = serde_json::from_str(&succeeded(&what, &answer)).unwrap();
        assert_eq!(
            catalogue["catalogue"]["items"].as_array().unwrap().len(),
            29,
            "{what}"
        );

        let answer = ask(schema, "QueryReport", query(&running.enterprises[1])).await;
        assert!(
            !answer.status.success(),
            "{what}: a query without consent was answered"
        );
        let refusal: Value = serde_json::from_slice(&answer.stderr)
            .unwrap_or_else(|fault| panic!("{what}: {fault}: {}", process::printed(&answer)));
        assert_eq!(refusal["code"], "failed_precondition", "{what}: {refusal}");
        assert_eq!(
            reason_in(&refusal).as_deref(),
            Some("CONSENT_NOT_FOUND"),
            "{what}: {refusal}"
        );
    }
}

/// The reason in the ErrorInfo that buf prints: base64 of the message, whose first field it is.
fn reason_in(refusal: &Value) -> Option<String> {
    let details = refusal["details"].as_array()?;
    let info = details
        .iter()
        .find(|detail| detail["type"] == "google.rpc.ErrorInfo")?;
    let bytes = STANDARD_NO_PAD.decode(info["value"].as_str()?).ok()?;
    let length = usize::from(*bytes.get(1)?);
    String::from_utf8(bytes.get(2..2 + length)?.to_vec()).ok()
}
