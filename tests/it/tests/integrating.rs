//! docs/integrating.md as it stands there: every command and program on the page, with both client libraries,
//! against a real consortium; what the examples print is checked, and a new bank goes live by its steps.
//!
//! Commands that would build or start what the tests have built and started already are held against what they
//! would run: `cargo run … --example` runs the example that was built with the tests.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;
use xinqiao_it::{
    Consortium,
    process::{Process, printed, xinqiao},
    root,
};
use xinqiao_ledger::{
    ids::{ItemCode, Subject},
    item::{DigestedReport, SaltKey},
};
use xinqiao_rpc::Reason;

/// How long one step of the page may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);

const PAGES: [&str; 2] = ["integrating.md", "integrating.zh-CN.md"];

/// The marked blocks of a page, by name.
fn blocks(page: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks = BTreeMap::new();
    for marked in text.split("<!-- integrating: ").skip(1) {
        let (name, after) = marked.split_once(" -->\n```").unwrap();
        let (_, body) = after.split_once('\n').unwrap();
        let (body, _) = body.split_once("```").unwrap();
        assert!(blocks.insert(name.to_owned(), body.to_owned()).is_none());
    }
    blocks
}

/// A terminal as the page has its reader open one.
struct Terminal {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
    blocks: BTreeMap<String, String>,
}

impl Terminal {
    /// In a copy of what the page uses of the clone, with what `cargo xtask demo --keep` prints to be exported.
    fn open(consortium: &Consortium, python: Option<&Path>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("xinqiao-it-")
            .tempdir()
            .unwrap();
        for part in ["clients", "proto"] {
            copy(&root().join(part), &folder.path().join(part));
        }
        let said = fs::read_to_string(consortium.dir().parent().unwrap().join("demo.out")).unwrap();
        let running = consortium.running();
        let others = running.enterprises[1..4].join(" ");
        let exported = format!(
            "  export XINQIAO_AGENT={} XINQIAO_USCC={} XINQIAO_PURPOSE={}\n  export XINQIAO_OTHERS=\"{others}\"\n",
            running.agent, running.enterprises[0], running.purpose
        );
        assert!(said.contains(&exported), "{said}");
        let mut env = vec![
            ("XINQIAO_AGENT", running.agent.clone()),
            ("XINQIAO_USCC", running.enterprises[0].clone()),
            ("XINQIAO_PURPOSE", running.purpose.clone()),
            ("XINQIAO_OTHERS", others),
            ("PYTHONIOENCODING", "utf-8".to_owned()),
        ];
        let programs = xinqiao().parent().unwrap().display().to_string();
        let mut path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        if let Some(python) = python {
            path = format!("{}:{path}", python.parent().unwrap().display());
            // What `pip install` would fetch is what set-up has fetched: nothing comes from the network here.
            env.extend([
                ("PYTHONPATH", packages(python)),
                ("PIP_NO_INDEX", "1".to_owned()),
                ("PIP_NO_BUILD_ISOLATION", "0".to_owned()),
                ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
            ]);
        }
        env.push(("PATH", path));
        Self {
            folder,
            env,
            blocks: blocks(PAGES[0]),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Runs shell commands; what they printed.
    async fn does(&self, commands: &str, dir: &Path, env: &[(&str, &str)]) -> String {
        let run = Command::new("sh")
            .args(["-euc", commands])
            .current_dir(dir)
            .envs(self.env.iter().map(|(name, value)| (*name, value.as_str())))
            .envs(env.iter().copied())
            .env_remove("XINQIAO_PROFILE")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = (tokio::time::timeout(WITHIN, run).await)
            .unwrap_or_else(|_| panic!("{commands} did not end"))
            .unwrap();
        assert!(output.status.success(), "{commands}\n{}", printed(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines of a block that run this kind of program, run in the virtual environment or as built; what they
    /// printed.
    async fn block(&self, name: &str, kind: &str) -> String {
        let lines: Vec<String> = (self.blocks[name].lines())
            .filter(|line| line.starts_with(kind))
            .map(built_example)
            .collect();
        assert_eq!(lines.len(), 1, "{name} has {lines:?}");
        let within = match kind {
            "python" => ". venv/bin/activate\n",
            _ => "",
        };
        let commands = format!("{within}{}", lines[0]);
        self.does(&commands, self.folder.path(), &[]).await
    }
}

/// `cargo run --package P --example NAME -- ARGS` as the example that was built with the tests.
fn built_example(line: &str) -> String {
    let Some(rest) = line.strip_prefix("cargo run --package xinqiao-client --example ") else {
        return line.to_owned();
    };
    let (name, args) = rest.split_once(" -- ").unwrap();
    let program = xinqiao().parent().unwrap().join("examples").join(name);
    assert!(
        program.is_file(),
        "there is no {}: `cargo xtask test` builds it, and so does `cargo build --workspace --examples`",
        program.display()
    );
    format!("{} {args}", program.display())
}

/// Where that Python's packages are.
fn packages(python: &Path) -> String {
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let output = std::process::Command::new(python)
        .args(["-c", ask])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn python() -> Option<PathBuf> {
    let found = std::env::var_os("XINQIAO_PYTHON").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped in part: XINQIAO_PYTHON is not set; `cargo xtask test` sets it");
    }
    found
}

#[test]
fn both_pages_have_the_same_commands_and_the_programs_of_the_source_tree() {
    let [english, chinese] = PAGES.map(blocks);
    assert_eq!(english, chinese);
    for (name, body) in &english {
        if name.ends_with(".py") || name.ends_with(".rs") {
            let file = fs::read_to_string(root().join(name)).unwrap();
            assert_eq!(*body, file, "{name}");
        }
    }
    // What the tests start instead (`Consortium`) is what it builds and starts.
    assert_eq!(english["demo"], "cargo xtask demo --keep\n");
}

#[tokio::test]
async fn the_page_takes_an_integrator_to_a_verified_report() {
    let consortium = Consortium::start().await;
    let python = python();
    let terminal = Terminal::open(&consortium, python.as_deref());
    if let Some(python) = &python {
        let install = terminal.blocks["python-install"].clone();
        terminal.does(&install, terminal.folder.path(), &[]).await;
        types_are_right(&terminal, python).await;
        sm3_and_errors_are_the_products(&terminal).await;
        queried(&terminal.block("python-first", "python").await, "CONFIRMED");
        verified(&terminal.block("verify", "python").await);
        refused(&terminal.block("refusals", "python").await, &consortium);
        batched(&terminal.block("batch", "python").await, &consortium);
        told(&terminal.block("watch", "python").await, "REGISTERED");
        // Started again it goes on where it was, which is at its end.
        let again = terminal.block("batch", "python").await;
        assert!(!again.contains("whole:"), "{again}");
    }
    queried(&terminal.block("rust-first", "cargo").await, "Confirmed");
    verified(&terminal.block("verify", "cargo").await);
    refused(&terminal.block("refusals", "cargo").await, &consortium);
    batched(&terminal.block("batch", "cargo").await, &consortium);
    told(&terminal.block("watch", "cargo").await, "Registered");
    a_new_bank_goes_live(&terminal, &consortium, python.is_some()).await;
}

/// The first query printed items with content, every source's part, and how many sections it verified.
fn queried(said: &str, confirmed: &str) {
    assert!(said.contains("登记"), "{said}");
    let parts = said
        .lines()
        .filter(|line| line.trim_end().ends_with(confirmed));
    assert!(parts.count() >= 2, "{said}");
    let last = said.lines().last().unwrap();
    let count: usize = last.split(' ').next().unwrap().parse().unwrap();
    let shown = said
        .lines()
        .filter(|line| line.starts_with("  ") && line.contains('{'));
    assert!(count >= 3, "{said}");
    assert!(shown.count() >= count, "{said}");
}

/// Every section's leaf and root were printed, and the forged one was noticed.
fn verified(said: &str) {
    let leaves = said.lines().filter(|line| line.contains(": leaf ")).count();
    let roots = said.lines().filter(|line| line.contains("leads to root"));
    assert!(leaves >= 3, "{said}");
    assert_eq!(roots.count(), leaves, "{said}");
    assert!(
        said.ends_with("changed by one character: ITEM_MISMATCH\n"),
        "{said}"
    );
}

/// Each class was told for what it is.
fn refused(said: &str, consortium: &Consortium) {
    let zh = |reason: Reason| reason.chinese().happened;
    let lines: Vec<&str> = said.lines().collect();
    for (reason, class) in [
        (Reason::ConsentNotFound, "refused_consent"),
        (Reason::PurposeDenied, "refused_permission"),
    ] {
        let told = format!("{class}: {} {}", reason.code(), zh(reason));
        let at = lines.iter().position(|line| line.starts_with(&told));
        let at = at.unwrap_or_else(|| panic!("no {told} in {said}"));
        let help = format!("explained in {}", reason.help_url());
        assert!(lines[at + 1].ends_with(&help), "{said}");
    }
    // A refusal by the ledger names its transaction there.
    let on_ledger = lines
        .iter()
        .find_map(|line| line.strip_prefix("  on the ledger as "));
    let tx = on_ledger.unwrap().split(',').next().unwrap();
    assert_eq!(hex::decode(tx).unwrap().len(), 32, "{said}");

    let at = lines
        .iter()
        .position(|line| *line == "bad_input: FIELD_REQUIRED");
    assert!(lines[at.unwrap() + 1].starts_with("  user: "), "{said}");
    let nobody = format!("unavailable: {} ", Reason::UpstreamUnavailable.code());
    assert!(lines.last().unwrap().starts_with(&nobody), "{said}");
    // No code is repeated in what people are told.
    for code in &consortium.running().enterprises {
        assert!(!said.contains(code), "{said}");
    }
}

/// Every enterprise of the job has a line, the first one with a whole report, and the last word is that all is done.
fn batched(said: &str, consortium: &Consortium) {
    let asked = &consortium.running().enterprises[..4];
    for uscc in asked {
        let results = said.lines().filter(|line| line.starts_with(uscc.as_str()));
        assert_eq!(results.count(), 1, "{uscc} in {said}");
    }
    let first = (said.lines()).find(|line| line.starts_with(asked[0].as_str()));
    assert!(
        first.unwrap().to_lowercase().ends_with("whole: true"),
        "{said}"
    );
    let mut progress = said.lines().filter(|line| line.contains(" of 4: "));
    let last = progress.next_back().unwrap().to_lowercase();
    assert!(last.starts_with("4 of 4: "), "{said}");
}

/// Changes since the beginning were told, and through which height.
fn told(said: &str, what: &str) {
    let registered = said
        .lines()
        .filter(|line| line.contains(&format!(" {what} version 1")));
    assert!(registered.count() >= 1, "{said}");
    assert!(said.contains("told through height "), "{said}");
}

/// The library's and the examples' types hold before a strict checker.
async fn types_are_right(terminal: &Terminal, python: &Path) {
    let python = python.display();
    // It reads sources and never runs them; the wire types are those that the installation made.
    let check = format!(
        "cp -r venv/lib/python3*/site-packages/xinqiao/v1 clients/python/src/xinqiao/v1\ncd clients/python\n\
         PYTHONPATH= MYPYPATH=src {python} -m mypy --python-executable {python} src/xinqiao/*.py examples"
    );
    terminal.does(&check, terminal.folder.path(), &[]).await;
}

/// Every reason of the table is in the same class in Rust and in Python, and what Python says by itself are the
/// table's words; plain SM3 gives what the standard says, and what the system's gives.
async fn sm3_and_errors_are_the_products(terminal: &Terminal) {
    const PROGRAM: &str = r#"
import json, sys
from xinqiao import errors
from xinqiao.proof import Proof
from xinqiao.sm3 import plain_sm3, sm3
from google.rpc import error_details_pb2, status_pb2
from google.protobuf import any_pb2
# GB/T 32905-2016, annex A
assert plain_sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
assert plain_sm3(b"abcd" * 16).hex() == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
for length in range(260):
    assert plain_sm3(bytes(range(256))[:1] * length) == sm3(bytes(range(256))[:1] * length), length
def flipped(digest):
    return bytes([digest[0] ^ 1]) + digest[1:]
for item, text, salt, index, size, siblings, root in json.load(open(sys.argv[2])):
    salt, root, siblings = bytes.fromhex(salt), bytes.fromhex(root), [bytes.fromhex(s) for s in siblings]
    def holds(item=item, text=text, salt=salt, index=index, size=size, siblings=siblings, root=root):
        try:
            Proof(salt, index, size, tuple(siblings), root, 1).check(item, text)
            return True
        except errors.Broken as error:
            assert error.reason == "ITEM_MISMATCH"
            return False
    assert holds(), (index, size)
    for changed in [
        {"text": text + " "}, {"item": item + "x"}, {"salt": flipped(salt)}, {"root": flipped(root)},
        {"index": index + size}, {"size": size + 64}, {"siblings": siblings + [root]}, {"index": -1},
    ] + [{"siblings": siblings[:at] + [flipped(siblings[at])] + siblings[at + 1:]} for at in range(len(siblings))] + (
        [{"siblings": siblings[:-1]}] if siblings else []):
        assert not holds(**changed), (index, size, changed)
classes = {}
for code, reason in json.load(open(sys.argv[1])):
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="xinqiao"))
    status = status_pb2.Status(code=1, details=[packed]).SerializeToString()
    classes[reason] = errors.read(code, "m", status).class_name
print(json.dumps({"classes": classes, "own": errors.OWN}))
"#;
    let table: Vec<(String, &str)> = (Reason::ALL.iter())
        .map(|reason| (grpc_name(*reason), reason.code()))
        .collect();
    fs::write(
        terminal.path("reasons.json"),
        serde_json::to_vec(&table).unwrap(),
    )
    .unwrap();
    fs::write(terminal.path("classes.py"), PROGRAM).unwrap();
    fs::write(
        terminal.path("proofs.json"),
        serde_json::to_vec(&proofs()).unwrap(),
    )
    .unwrap();
    let run = ". venv/bin/activate\npython classes.py reasons.json proofs.json";
    let said = terminal.does(run, terminal.folder.path(), &[]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    for reason in Reason::ALL {
        let error = xinqiao_client::Error::from_status(xinqiao_rpc::Fault::new(*reason).status());
        assert_eq!(said["classes"][reason.code()], error.class(), "{reason}");
    }
    for (code, words) in said["own"].as_object().unwrap() {
        let reason = Reason::from_code(code).unwrap();
        let zh = reason.chinese();
        assert_eq!(words[0], reason.english().happened, "{code}");
        assert_eq!(words[1], format!("{}{}", zh.happened, zh.remedy), "{code}");
    }
}

/// Items with their proofs, of records of every size up to 33 items, made with the ledger's own trees.
fn proofs() -> Vec<Value> {
    let subject = Subject(xinqiao_crypto::sm3(b"an enterprise"));
    let mut proofs = Vec::new();
    for held in 1..=33 {
        let codes: Vec<ItemCode> = (0..held)
            .map(|at| format!("item_{at:02}").parse().unwrap())
            .collect();
        let text = |code: &ItemCode| format!("{{\"of\":\"{code}\",\"名称\":\"甲\"}}");
        let contents: Vec<String> = codes.iter().map(text).collect();
        let items = codes.iter().zip(contents.iter().map(String::as_bytes));
        let digested = DigestedReport::new(&SaltKey::from([7; 32]), &subject, items).unwrap();
        for code in &codes {
            let (salt, path) = digested.proof(code).unwrap();
            let siblings: Vec<String> = path.siblings.iter().map(ToString::to_string).collect();
            proofs.push(serde_json::json!([
                code.as_str(),
                text(code),
                salt.to_string(),
                path.index,
                path.size,
                siblings,
                digested.root().to_string(),
            ]));
        }
    }
    proofs
}

/// `FAILED_PRECONDITION`, as Python calls it.
fn grpc_name(reason: Reason) -> String {
    let name = format!("{:?}", reason.grpc_code());
    let mut words = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

/// Section 7, by the page's commands: what the bank makes, gets and gives, until its own agent answers it.
async fn a_new_bank_goes_live(terminal: &Terminal, consortium: &Consortium, python: bool) {
    const BANK: &str = "example-bank";
    const BUREAU: &str = "js-bureau";
    let env = [
        ("BANK", BANK),
        ("NAME", "样例银行 Example Bank"),
        ("BUREAU", BUREAU),
    ];
    let bank = terminal.path("bank");
    let bureau = consortium.dir().join(BUREAU);
    let given = bureau.join("given").join(BANK);
    fs::create_dir_all(bank.join("tls")).unwrap();
    // In the demo one party has the authority; the page's bureau has its own in `ca`.
    std::os::unix::fs::symlink(consortium.dir().join("ca"), bureau.join("ca")).unwrap();
    let step = async |name: &str, dir: &Path| {
        terminal.does(&terminal.blocks[name], dir, &env).await;
    };
    step("live-keys", &bank).await;
    step("live-certificates", &bureau).await;
    for role in ["agent", "operator"] {
        for kind in ["pem", "key"] {
            let file = format!("{role}.{kind}");
            fs::rename(given.join(&file), bank.join("tls").join(&file)).unwrap();
        }
    }
    for (from, to) in [
        ("genesis.toml", "genesis.toml"),
        ("ca/ca.pem", "authorities.pem"),
        ("shared/pseudonym.key", "pseudonym.key"),
    ] {
        fs::copy(consortium.dir().join(from), bank.join(to)).unwrap();
    }
    step("live-member", &bank).await;
    fs::copy(bank.join("member.toml"), given.join("member.toml")).unwrap();
    step("live-admit", &bureau).await;

    let toml = |text: String| -> toml::Table { text.parse().unwrap() };
    let read = |file: PathBuf| toml(fs::read_to_string(file).unwrap());
    let mut profile = read(bureau.join("profile.toml"));
    for (key, value) in [
        ("org", BANK),
        ("genesis", "genesis.toml"),
        ("admin_key", "keys/admin.pem"),
    ] {
        profile.insert(key.into(), value.into());
    }
    profile.remove("pseudonym_key");
    profile.insert(
        "tls".into(),
        toml(
            "cert = \"tls/operator.pem\"\nkey = \"tls/operator.key\"\nca = \"authorities.pem\""
                .into(),
        )
        .into(),
    );
    fs::write(bank.join("profile.toml"), profile.to_string()).unwrap();
    step("live-user", &bank).await;

    // Only the addresses are this machine's.
    let gateway = read(bureau.join("gateway.toml"))["listen"]
        .as_str()
        .unwrap()
        .to_owned();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let agent = terminal.blocks["agent.toml"]
        .replace("127.0.0.1:9300", &free.to_string())
        .replace("gateway.js-bureau.example.com:9200", &gateway);
    fs::write(bank.join("agent.toml"), agent).unwrap();
    let _agent = Process::start("agent", &bank.join("agent.toml")).await;

    fs::write(bureau.join("authorisation.pdf"), "signed on paper").unwrap();
    step("live-consent", &bureau).await;
    let own = format!("http://{free}");
    let mut libraries = vec![(
        "rust-first",
        built_example(terminal.blocks["rust-first"].trim_end()),
    )];
    if python {
        let first = &terminal.blocks["python-first"];
        libraries.push(("python-first", format!(". venv/bin/activate\n{first}")));
    }
    for (name, commands) in libraries {
        let ask = [("XINQIAO_AGENT", own.as_str())];
        let said = terminal.does(&commands, terminal.folder.path(), &ask).await;
        let last = said.lines().last().unwrap();
        assert!(
            last.ends_with("lead to the roots that their sources registered"),
            "{name}: {said}"
        );
        assert!(!last.starts_with('0'), "{name}: {said}");
    }
}
