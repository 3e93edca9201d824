//! Every file that the product reads, broken in every way that files break: the program says which file,
//! and what is wrong with it, and ends with an exit code that is not 0.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use secrecy::ExposeSecret;
use tokio::process::Command;
use xinqiao_identity::pki::{Authority, Issued, LeafRequest, Validity};
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    process,
};

use crate::{Complaints, State};

/// How long a program may take to find out.
const SOON: Duration = Duration::from_secs(20);

/// What is done to a file.
pub(crate) enum Break {
    /// It is not there.
    Remove,
    /// Its content is this.
    Write(Vec<u8>),
    /// This text in it becomes that one.
    Replace(&'static str, &'static str),
    /// Its content is that of another file of the consortium.
    Copy(&'static str),
    /// It ends in the middle.
    Cut,
    /// It goes on with zeros up to this many bytes.
    Grow(u64),
    /// One bit in its middle is another one.
    Flip,
    /// It is another certificate, and the file beside it that one's key.
    Issued(Box<Issued>),
}

pub(crate) fn text(content: &str) -> Break {
    Break::Write(content.as_bytes().to_vec())
}

fn spaces(bytes: usize) -> Break {
    Break::Write(vec![b' '; bytes])
}

/// One broken file, the command that reads it, and words that its complaint must hold.
pub(crate) struct Row {
    pub(crate) file: String,
    how: Break,
    command: Vec<String>,
    says: &'static [&'static str],
}

pub(crate) fn row(
    file: impl Into<String>,
    how: Break,
    command: &[&str],
    says: &'static [&'static str],
) -> Row {
    Row {
        file: file.into(),
        how,
        command: command.iter().map(ToString::to_string).collect(),
        says,
    }
}

/// A certificate of that role that is valid from and to so many days from now.
fn issued(authority: &Authority, (org, role): (&str, &str), from: i64, to: i64) -> Break {
    let now = time::OffsetDateTime::now_utc();
    let mut request = LeafRequest::new(org, role.parse().unwrap(), now).for_this_machine();
    request.validity = Validity {
        not_before: now + time::Duration::days(from),
        not_after: now + time::Duration::days(to),
    };
    Break::Issued(Box::new(authority.issue(&request).unwrap()))
}

/// The rows about files that long-running processes read. `DIR` stands for the consortium's folder.
#[rustfmt::skip]
fn process_rows(people: &People) -> Vec<Row> {
    let mut rows = Vec::new();
    let authority = people.authority();
    for (org, kind) in [
        (BUREAUS[0], Kind::Node),
        (HOME, Kind::Gateway),
        (HOME, Kind::Holder),
        (BANK, Kind::Agent),
        (REGULATOR, Kind::Observer),
    ] {
        let kind = kind.as_str();
        let name = format!("{org}/{kind}.toml");
        let config = format!("DIR/{name}");
        let start = [kind, "--config", &config];
        let tls = format!("{org}/tls/{kind}");
        let issued = |from: i64, to: i64| issued(&authority, (org, kind), from, to);
        rows.extend([
            row(&name, Break::Remove, &start, &["no configuration file"]),
            row(&name, text("= nothing ="), &start, &["TOML"]),
            row(&name, text(""), &start, &["missing field"]),
            row(&name, Break::Cut, &start, &[".toml"]),
            row(&name, Break::Replace("listen = ", "listem = "), &start, &["listem"]),
            row(&name, Break::Replace("listen = \"127.0.0.1", "listen = \"127.0.0"), &start, &["listen"]),
            row(&name, Break::Replace(org, "Not An Org"), &start, &["org"]),
            row(&name, Break::Write(vec![0xff, 0xfe, 0x00]), &start, &[".toml"]),
            row("genesis.toml", Break::Remove, &start, &["genesis.toml"]),
            row("genesis.toml", Break::Cut, &start, &["genesis.toml"]),
            row("genesis.toml", Break::Write(vec![0xff; 64]), &start, &["genesis.toml", "UTF-8"]),
            row(format!("{tls}.pem"), Break::Remove, &start, &[".pem"]),
            row(format!("{tls}.pem"), text("no certificate"), &start, &["CERTIFICATE"]),
            row(format!("{tls}.key"), text("no key"), &start, &["key"]),
            row(format!("{tls}.pem"), Break::Cut, &start, &[".pem"]),
            row(format!("{tls}.pem"), Break::Write(vec![0xff; 64]), &start, &[".pem", "UTF-8"]),
            row(format!("{tls}.pem"), issued(-10, -1), &start, &[".pem", "has expired"]),
            row(format!("{tls}.pem"), issued(1, 10), &start, &[".pem", "is not valid yet"]),
            row(format!("{tls}.key"), Break::Remove, &start, &[".key"]),
            row(format!("{tls}.key"), Break::Cut, &start, &["key"]),
            row(format!("{tls}.key"), Break::Copy("ca/ca.key"), &start, &["does not belong"]),
            row("ca/ca.pem", text("no certificate"), &start, &["ca.pem"]),
            row("ca/ca.pem", spaces(300_000), &start, &["ca.pem", "at most"]),
        ]);
    }
    for (org, kind, key) in [
        (BUREAUS[0], Kind::Node, "validator"),
        (HOME, Kind::Gateway, "gateway"),
        (HOME, Kind::Holder, "holder"),
        (HOME, Kind::Holder, "admin"),
        (BANK, Kind::Agent, "agent"),
        (BANK, Kind::Agent, "encryption"),
        (BANK, Kind::Agent, "token"),
    ] {
        let config = format!("DIR/{org}/{}.toml", kind.as_str());
        let start = [kind.as_str(), "--config", &config];
        let file = format!("{org}/keys/{key}.pem");
        rows.extend([
            row(&file, Break::Remove, &start, &[".pem"]),
            row(&file, text(""), &start, &["key"]),
            row(&file, Break::Cut, &start, &["key"]),
            row(&file, Break::Write(vec![0xff; 64]), &start, &[".pem", "UTF-8"]),
            row(&file, spaces(70_000), &start, &["at most 65536"]),
            // The right format, and a key of another kind of curve.
            row(&file, Break::Copy(if key == "token" { "sh-bureau/keys/admin.pem" } else { "ca/ca.key" }), &start, &["key"]),
        ]);
    }
    for (org, kind, file) in [
        (HOME, Kind::Holder, "shared/pseudonym.key"),
        (BANK, Kind::Agent, "shared/pseudonym.key"),
        (BANK, Kind::Agent, "js-bank/keys/user.key"),
        (HOME, Kind::Holder, "js-bureau/keys/salt-jiangsu-tax.key"),
    ] {
        let config = format!("DIR/{org}/{}.toml", kind.as_str());
        let start = [kind.as_str(), "--config", &config];
        rows.extend([
            row(file, Break::Remove, &start, &[".key"]),
            row(file, text(""), &start, &["64 hexadecimal digits"]),
            row(file, text(&"a".repeat(63)), &start, &["64 hexadecimal digits"]),
            row(file, text(&"g".repeat(64)), &start, &["64 hexadecimal digits"]),
            row(file, text(&"a".repeat(66)), &start, &["64 hexadecimal digits"]),
            row(file, Break::Write(vec![0xff; 64]), &start, &[".key", "UTF-8"]),
            row(file, spaces(70_000), &start, &["at most 65536"]),
        ]);
    }
    let gateway = ["gateway", "--config", "DIR/js-bureau/gateway.toml"];
    let file = "js-bureau/gateway.toml";
    rows.extend([
        row(file, Break::Replace("gateway_key = ", "policy = \"nowhere.csv\"\ngateway_key = "), &gateway, &["nowhere.csv"]),
        row(file, Break::Replace("gateway_key = ", "policy = \"../document.txt\"\ngateway_key = "), &gateway, &["role policy"]),
        row(file, Break::Replace("gateway_key = ", "policy = \"../evidence.xqe\"\ngateway_key = "), &gateway, &["evidence.xqe"]),
    ]);
    rows.extend([
        row(file, Break::Replace("uris = [", "uris = [] # ["), &gateway, &["has 0 uris", "1 to 16"]),
        row(file, Break::Replace("[[holders]]", "[[holders]]\nsource = \"jiangsu-tax\"\nuris = [\"https://127.0.0.1:1\"]\n[[holders]]"), &gateway, &["jiangsu-tax", "twice"]),
    ]);
    // What a holder serves from, and its place among the nodes of a source.
    let holder = ["holder", "--config", "DIR/js-bureau/holder.toml"];
    let file = "js-bureau/holder.toml";
    let post = |what| Break::Replace("salt_key = ", what);
    rows.extend([
        row(file, post("nodes = 2\nnode = 2\nsalt_key = "), &holder, &["jiangsu-", "no node 2 among 2"]),
        row(file, post("nodes = 17\nsalt_key = "), &holder, &["jiangsu-", "1 to 16"]),
        row(file, post("nodes = 0\nsalt_key = "), &holder, &["jiangsu-", "1 to 16"]),
        row(file, post("nodes = 300\nsalt_key = "), &holder, &["nodes"]),
        row(file, post("takeover_after_ms = 5\nsalt_key = "), &holder, &["jiangsu-", "10 to 60000"]),
        row(file, post("takeover_after_s = 5\nsalt_key = "), &holder, &["takeover_after_s"]),
        row("records/jiangsu/jiangsu-tax.toml", Break::Remove, &holder, &["jiangsu-tax.toml"]),
        row("records/jiangsu/jiangsu-tax.toml", text("= nothing ="), &holder, &["jiangsu-tax.toml"]),
        row("records/jiangsu/jiangsu-tax.csv", Break::Remove, &holder, &["jiangsu-tax.csv"]),
        row("records/jiangsu/jiangsu-tax.csv", text(""), &holder, &["jiangsu-tax.csv", "empty"]),
    ]);
    rows
}

/// The rows about the genesis, which has a command of its own.
#[rustfmt::skip]
fn genesis_rows() -> Vec<Row> {
    let show = ["genesis", "show", "DIR/genesis.toml"];
    let file = "genesis.toml";
    vec![
        row(file, text(""), &show, &["genesis.toml", "missing field"]),
        row(file, text("= nothing ="), &show, &["genesis.toml", "TOML"]),
        row(file, Break::Write(vec![0xff; 100]), &show, &["genesis.toml"]),
        row(file, spaces((4 << 20) + 1), &show, &["genesis.toml", "at most"]),
        row(file, Break::Replace("time_ms", "time_s"), &show, &["time_s"]),
        row(file, Break::Replace("engine = \"bft\"", "engine = \"magic\""), &show, &["engine"]),
        row(file, Break::Replace("kind = \"bureau\"", "kind = \"friend\""), &show, &["kind"]),
        row(file, Break::Replace("org = \"js-bank\"", "org = \"sh-bureau\""), &show, &["members"]),
        row(file, Break::Replace("region = \"32\"", "region = \"3x\""), &show, &["region"]),
        row(file, Break::Replace("public_key = \"0", "public_key = \"f"), &show, &["key"]),
        row(file, Break::Replace("BEGIN CERTIFICATE", "BEGIN CARD"), &show, &["authority"]),
    ]
}

/// The rows about evidence and about files that people hand to commands.
#[rustfmt::skip]
fn people_rows(people: &People, uscc: &str) -> Vec<Row> {
    let authority = people.authority();
    let operator = |from: i64, to: i64| issued(&authority, (HOME, "operator"), from, to);
    let verify = ["proof", "verify", "DIR/evidence.xqe", "--genesis", "DIR/genesis.toml"];
    let list = ["member", "list", "--profile", "DIR/js-bureau/profile.toml"];
    let make = [
        "genesis", "make", "--name", "Another", "--engine", "solo",
        "--validator", "sh-bureau,DIR/sh-bureau/keys/validator.pem,https://127.0.0.1:7000",
        "--member", "DIR/members.toml", "--authority", "DIR/ca/ca.pem", "--out", "DIR/new.toml",
    ];
    let issue = [
        "keys", "certificate", "--authority", "DIR/ca", "--org", "js-bank", "--role", "agent",
        "--out", "DIR/new.pem",
    ];
    let show = ["keys", "show", "DIR/js-bank/keys/agent.pem"];
    let grant = [
        "consent", "grant", "--profile", "DIR/js-bureau/profile.toml", uscc, "--grantee", "js-bank",
        "--purposes", "loan_approval", "--items", "tax_payment", "--document", "DIR/document.txt",
    ];
    let own = [&grant[..], &["--subject-key", "DIR/js-bank/keys/agent.pem"]].concat();
    let evidence = "evidence.xqe";
    vec![
        row(evidence, Break::Remove, &verify, &["evidence.xqe"]),
        row(evidence, text(""), &verify, &["evidence.xqe", "proves nothing"]),
        row(evidence, text("no evidence"), &verify, &["proves nothing"]),
        row(evidence, Break::Cut, &verify, &["proves nothing"]),
        row(evidence, Break::Copy("genesis.toml"), &verify, &["proves nothing"]),
        row(evidence, Break::Grow((80 << 20) + 1), &verify, &["evidence.xqe", "at most"]),
        // The right file, and another consortium's genesis.
        row("genesis.toml", Break::Replace("time_ms = 1", "time_ms = 2"), &verify, &["proves nothing"]),
        row("js-bureau/profile.toml", Break::Remove, &list, &["profile.toml"]),
        row("js-bureau/profile.toml", Break::Replace("node", "nude"), &list, &["nude"]),
        row("js-bureau/tls/operator.key", text("no key"), &list, &["key"]),
        row("js-bureau/tls/operator.pem", Break::Remove, &list, &["operator.pem"]),
        row("js-bureau/tls/operator.pem", operator(-10, -1), &list, &["operator.pem", "has expired"]),
        row("js-bureau/tls/operator.pem", operator(1, 10), &list, &["operator.pem", "is not valid yet"]),
        row("genesis.toml", Break::Replace("time_ms = 1", "time_ms = 2"), &grant, &["CHAIN_ID_MISMATCH"]),
        row("members.toml", Break::Remove, &make, &["members.toml"]),
        row("members.toml", text("= nothing ="), &make, &["members.toml"]),
        row("members.toml", Break::Write(vec![0xff; 64]), &make, &["members.toml"]),
        row("members.toml", Break::Replace("kind = \"bureau\"", "kind = \"friend\""), &make, &["members.toml", "friend"]),
        row("members.toml", Break::Replace("role = \"admin\"", "role = \"king\""), &make, &["members.toml", "king"]),
        row("sh-bureau/keys/validator.pem", text("no key"), &make, &["validator.pem"]),
        row("sh-bureau/keys/validator.pem", Break::Remove, &make, &["validator.pem"]),
        row("ca/ca.pem", text("no certificate"), &make, &["ca.pem"]),
        row("ca/ca.pem", Break::Remove, &issue, &["ca.pem"]),
        row("ca/ca.pem", text("no certificate"), &issue, &["certificate"]),
        row("ca/ca.key", Break::Remove, &issue, &["ca.key"]),
        row("ca/ca.key", text("no key"), &issue, &["key"]),
        row("ca/ca.key", Break::Copy("sh-bureau/tls/node.key"), &issue, &["does not belong"]),
        row("js-bank/keys/agent.pem", Break::Remove, &show, &["agent.pem"]),
        row("js-bank/keys/agent.pem", Break::Cut, &show, &["agent.pem"]),
        row("js-bank/keys/agent.pem", Break::Write(vec![0xff; 64]), &show, &["agent.pem"]),
        row("document.txt", Break::Remove, &grant, &["document.txt"]),
        row("js-bureau/keys/admin.pem", Break::Cut, &grant, &["admin.pem"]),
        row("shared/pseudonym.key", text("abc"), &grant, &["pseudonym.key", "64 hexadecimal digits"]),
        row("js-bank/keys/agent.pem", text("no key"), &own, &["agent.pem", "SM2 key"]),
    ]
}

/// The rows about mappings and the records that they name.
#[rustfmt::skip]
fn record_rows() -> Vec<Row> {
    let check = ["source", "check", "DIR/records/jiangsu/jiangsu-tax.toml"];
    let mapping = "records/jiangsu/jiangsu-tax.toml";
    let csv = "records/jiangsu/jiangsu-tax.csv";
    vec![
        row(mapping, Break::Remove, &check, &["jiangsu-tax.toml"]),
        row(mapping, text(""), &check, &["jiangsu-tax.toml", "source"]),
        row(mapping, text("= nothing ="), &check, &["jiangsu-tax.toml"]),
        row(mapping, Break::Write(vec![0xff; 64]), &check, &["jiangsu-tax.toml"]),
        row(mapping, spaces(300_000), &check, &["jiangsu-tax.toml", "at most"]),
        row(mapping, Break::Replace("kind = \"csv\"", "kind = \"cvs\""), &check, &["source.kind"]),
        row(mapping, Break::Replace("name = \"jiangsu-tax\"", "name = \"Not A Source\""), &check, &["source.name"]),
        row(mapping, Break::Replace("encoding = \"utf-8\"", "encoding = \"gbk\""), &check, &["source.encoding"]),
        row(mapping, Break::Replace("as_of = { column", "as_of = { colum"), &check, &["colum"]),
        row(mapping, Break::Cut, &check, &["jiangsu-tax.toml"]),
        row(mapping, Break::Replace("subject =", "subjekt ="), &check, &["subjekt"]),
        row(mapping, Break::Replace("type = \"money\"", "type = \"monkey\""), &check, &["item[1].fields[2].type"]),
        row(mapping, Break::Replace("code = \"tax_payment\"", "code = \"Tax Payment\""), &check, &["item[1].code"]),
        row(mapping, Break::Replace("max_length = 16", "max_length = 0"), &check, &["max_length"]),
        row(mapping, Break::Replace("jiangsu-tax.csv", "nowhere.csv"), &check, &["nowhere.csv"]),
        row(csv, Break::Remove, &check, &["jiangsu-tax.csv"]),
        row(csv, text(""), &check, &["jiangsu-tax.csv"]),
        row(csv, Break::Write(vec![0xff; 1_000]), &check, &["jiangsu-tax.csv"]),
        row(csv, Break::Replace("统一社会信用代码", "编号"), &check, &["统一社会信用代码"]),
    ]
}

/// Breaks each file in a copy of the consortium's folder and runs the command that reads it.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let kept = tempfile::tempdir().unwrap();
    keep(consortium, kept.path()).await;
    let people = consortium.people();
    let mut state = State::of(&people).await;

    let uscc = &consortium.running().enterprises[4];
    let rows = [
        process_rows(&people),
        genesis_rows(),
        people_rows(&people, uscc),
        record_rows(),
    ];
    for row in rows.iter().flatten() {
        tried(kept.path(), row, complaints).await;
    }
    any_flipped_byte(kept.path(), complaints).await;
    bad_rows_are_listed(kept.path(), complaints).await;
    state.is_unchanged(complaints, "broken files").await;
}

/// One row, in a copy of its own.
pub(crate) async fn tried(kept: &Path, row: &Row, complaints: &mut Complaints) {
    let scratch = tempfile::tempdir().unwrap();
    copy(kept, scratch.path());
    match apply(scratch.path(), row) {
        Ok(()) => refused(scratch.path(), row, complaints).await,
        Err(why) => complaints.push(format!("{}: this row breaks nothing: {why}", row.file)),
    }
}

/// Makes a copied folder stand for itself: processes that are started from there listen on ports of their
/// own, and sources are where they are named, from a configuration's folder to the copy beside it.
pub(crate) fn relocate(kept: &Path, dir: &Path) {
    for file in xinqiao_it::markers::files(kept) {
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = fs::read_to_string(&file).unwrap();
            let own_port = text
                .lines()
                .map(|line| match line.strip_prefix("listen = ") {
                    Some(_) => "listen = \"127.0.0.1:0\"\n".to_owned(),
                    None => format!("{line}\n"),
                });
            let here = own_port
                .collect::<String>()
                .replace(dir.to_str().unwrap(), "..");
            fs::write(&file, here).unwrap();
        }
    }
}

/// Copies configurations, keys, certificates, genesis and records, and puts beside them what people hand to
/// commands: an order's evidence, a document, members' descriptions.
async fn keep(consortium: &Consortium, kept: &Path) {
    let dir = consortium.dir();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let to = kept.join(entry.file_name());
        copy(&entry.path(), &to);
        // Stores are in use; they have rows of their own.
        let _ = fs::remove_dir_all(to.join("data"));
    }
    relocate(kept, dir);
    fs::write(kept.join("document.txt"), "A letter of authorisation.\n").unwrap();
    let genesis = fs::read_to_string(kept.join("genesis.toml")).unwrap();
    let members = genesis.find("[[members]]").unwrap();
    let catalogue = genesis.find("[catalogue]").unwrap();
    fs::write(kept.join("members.toml"), &genesis[members..catalogue]).unwrap();
    let running = consortium.running();
    let asked = run(&[
        "--json",
        "query",
        "--agent",
        &running.agent,
        &running.enterprises[0],
        "--purpose",
        &running.purpose,
    ])
    .await;
    let report: serde_json::Value = serde_json::from_slice(&asked.stdout)
        .unwrap_or_else(|fault| panic!("{fault}: {}", process::printed(&asked)));
    let out = kept.join("evidence.xqe");
    let exported = run(&[
        "proof",
        "export",
        "--profile",
        running.profile(REGULATOR).to_str().unwrap(),
        report["order"].as_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ])
    .await;
    assert!(exported.status.success(), "{}", process::printed(&exported));
}

async fn run(args: &[&str]) -> std::process::Output {
    process::run(args, Duration::from_secs(60)).await
}

pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if fs::copy(from, to).is_err() {
        // A database that is in use may remove a file between its listing and its reading.
        assert!(!from.exists(), "{} cannot be copied", from.display());
    }
}

/// Breaks the file; says so when that would change nothing.
fn apply(dir: &Path, row: &Row) -> Result<(), String> {
    let file = dir.join(&row.file);
    let before = fs::read(&file).map_err(|fault| fault.to_string())?;
    let after = match &row.how {
        Break::Remove => return fs::remove_file(&file).map_err(|fault| fault.to_string()),
        Break::Grow(bytes) => {
            let grown = fs::File::options().write(true).open(&file);
            return grown
                .and_then(|file| file.set_len(*bytes))
                .map_err(|fault| fault.to_string());
        }
        Break::Write(bytes) => bytes.clone(),
        Break::Issued(issued) => {
            let key = issued.key_pem.expose_secret();
            fs::write(file.with_extension("key"), key).map_err(|fault| fault.to_string())?;
            issued.cert_pem.clone().into_bytes()
        }
        Break::Flip => {
            let mut bytes = before.clone();
            let middle = bytes.len() / 2;
            *bytes.get_mut(middle).ok_or("the file is empty")? ^= 1;
            bytes
        }
        Break::Cut => before[..before.len() / 2].to_vec(),
        Break::Copy(other) => fs::read(dir.join(other)).map_err(|fault| fault.to_string())?,
        Break::Replace(this, that) => String::from_utf8_lossy(&before)
            .replacen(this, that, 1)
            .into_bytes(),
    };
    if after == before {
        return Err("the file is as it was".to_owned());
    }
    fs::write(&file, after).map_err(|fault| fault.to_string())
}

/// The command ends soon, with an exit code that is not 0 and the words that are asked for.
async fn refused(dir: &Path, row: &Row, complaints: &mut Complaints) {
    let args: Vec<String> = row
        .command
        .iter()
        .map(|arg| arg.replace("DIR", dir.to_str().unwrap()))
        .collect();
    let name = format!(
        "`xinqiao {}` with {} {}",
        row.command.join(" "),
        row.file,
        shown(&row.how)
    );
    let child = Command::new(process::xinqiao())
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let Ok(output) = tokio::time::timeout(SOON, child.wait_with_output()).await else {
        complaints.push(format!("{name}: still ran after {SOON:?}"));
        return;
    };
    let output = output.unwrap();
    let printed = process::printed(&output);
    if output.status.success() {
        complaints.push(format!("{name}: was accepted"));
    }
    for word in row.says {
        if !printed.contains(word) {
            complaints.push(format!(
                "{name}: does not say {word:?} but: {}",
                printed.trim()
            ));
        }
    }
    if printed.contains("panicked at") {
        complaints.push(format!("{name}: panicked: {}", printed.trim()));
    }
}

fn shown(how: &Break) -> String {
    match how {
        Break::Remove => "missing".into(),
        Break::Write(bytes) => format!("of {} other bytes", bytes.len()),
        Break::Replace(this, that) => format!("where {this:?} became {that:?}"),
        Break::Copy(other) => format!("replaced by {other}"),
        Break::Cut => "cut in half".into(),
        Break::Flip => "with a flipped bit".into(),
        Break::Issued(_) => "issued for another time".into(),
        Break::Grow(bytes) => format!("grown to {bytes} bytes"),
    }
}

/// Evidence that differs in one byte, at places spread over the file, proves nothing.
async fn any_flipped_byte(kept: &Path, complaints: &mut Complaints) {
    let file = kept.join("evidence.xqe");
    let genesis = kept.join("genesis.toml");
    let good = fs::read(&file).unwrap();
    let flipped: PathBuf = kept.join("flipped.xqe");
    let verify = [
        "proof",
        "verify",
        flipped.to_str().unwrap(),
        "--genesis",
        genesis.to_str().unwrap(),
    ];
    fs::write(&flipped, &good).unwrap();
    let whole = run(&verify).await;
    assert!(whole.status.success(), "{}", process::printed(&whole));
    for step in 0..40 {
        let at = (good.len() - 1) * step / 39;
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (step % 8);
        fs::write(&flipped, &bytes).unwrap();
        let output = run(&verify).await;
        let printed = process::printed(&output);
        if output.status.code() != Some(4) || !printed.contains("proves nothing") {
            complaints.push(format!(
                "evidence with byte {at} flipped: {}: {printed}",
                output.status
            ));
        }
    }
}

/// A bad row costs itself alone: it is listed with its line and its reason, and the rows around it count.
async fn bad_rows_are_listed(kept: &Path, complaints: &mut Complaints) {
    let file = kept.join("records/jiangsu/jiangsu-tax.csv");
    let mapping = kept.join("records/jiangsu/jiangsu-tax.toml");
    let text = fs::read_to_string(&file).unwrap();
    let mut lines = text.lines();
    let (head, first, second) = (
        lines.next().unwrap(),
        lines.next().unwrap(),
        lines.next().unwrap(),
    );
    let place = head
        .split(',')
        .position(|column| column.contains("统一社会信用代码"))
        .unwrap();
    let code = first.split(',').nth(place).unwrap();
    let with = |other: &str| first.replace(code, other).into_bytes();
    let last = if code.ends_with('0') { '1' } else { '0' };
    let not_utf8 = [first.as_bytes(), b"\xff\xfe"].concat();
    let rows: [(&str, Vec<u8>); 10] = [
        (
            "uscc_check_character",
            with(&format!("{}{last}", &code[..17])),
        ),
        ("uscc_length", with(&code[..17])),
        ("uscc_length", with(&code.repeat(100))),
        ("uscc_alphabet", with(&format!("O{}", &code[1..]))),
        ("invalid_utf8", not_utf8),
        ("nul", with(&format!("{code}\0"))),
        ("column_count", code.into()),
        ("cell_too_long", with(&"9".repeat(40_000))),
        ("line_too_long", vec![b'9'; 2 << 20]),
        ("duplicate_subject", with(code)),
    ];
    let mut content = format!("{head}\n{first}\n").into_bytes();
    for (_, row) in &rows {
        content.extend_from_slice(row);
        content.push(b'\n');
    }
    content.extend_from_slice(second.as_bytes());
    content.push(b'\n');
    fs::write(&file, content).unwrap();

    let checked = run(&["--json", "source", "check", mapping.to_str().unwrap()]).await;
    fs::write(&file, &text).unwrap();
    let Ok(report) = serde_json::from_slice::<serde_json::Value>(&checked.stdout) else {
        return complaints.push(format!("bad rows: {}", process::printed(&checked)));
    };
    // The header is line 1, and the first good row line 2.
    let expected: Vec<(u64, &str)> = (3..).zip(rows.iter().map(|(reason, _)| *reason)).collect();
    // Rows of the source's lists are about subjects that are gone now.
    let listed = (report["bad_rows"].as_array().into_iter().flatten())
        .filter(|row| row["file"] == "jiangsu-tax.csv");
    let got: Vec<(u64, &str)> = listed
        .filter_map(|row| Some((row["line"].as_u64()?, row["reason"].as_str()?)))
        .collect();
    if got != expected || report["subjects"] != 2 {
        complaints.push(format!(
            "bad rows: expected 2 subjects and {expected:?}, got {report:#}"
        ));
    }
}
