//! Founding a consortium of four organisations that do not trust each other, by the commands of
//! docs/operating.md as they stand there: each in a folder of its own, with nothing from the others but
//! what they would send. And everything that must keep such a consortium from starting.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rand::RngExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use xinqiao_it::{
    process::{Process, printed, xinqiao},
    root,
};

/// The founders as docs/operating.md names them: id, name, region.
const FOUNDERS: [(&str, &str, &str); 4] = [
    ("sh-bureau", "上海市征信平台 Shanghai", "31"),
    ("js-bureau", "江苏省征信平台 Jiangsu", "32"),
    ("zj-bureau", "浙江省征信平台 Zhejiang", "33"),
    ("ah-bureau", "安徽省征信平台 Anhui", "34"),
];

/// How long one step of the page may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// A fenced block of a page, by the comment before it.
fn block(page: &str, name: &str) -> String {
    let file = root().join("docs").join(page);
    let text = fs::read_to_string(&file).unwrap();
    let mark = format!("<!-- founding: {name} -->");
    let (_, after) = text
        .split_once(&mark)
        .unwrap_or_else(|| panic!("{page} has no {mark}"));
    let (_, fenced) = after.split_once("```").unwrap();
    let (_, body) = fenced.split_once('\n').unwrap();
    body.split_once("```").unwrap().0.to_owned()
}

/// What a shell ended with, and everything it printed.
type Ended = (Option<i32>, String);

/// One founder, in a folder of its own.
struct Founder {
    org: &'static str,
    name: &'static str,
    region: &'static str,
    dir: PathBuf,
}

impl Founder {
    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Runs shell commands in its folder, as its operator would.
    async fn tries(&self, commands: &str) -> Ended {
        let program = xinqiao();
        let folder = program.parent().unwrap().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("sh")
            .args(["-euc", commands])
            .current_dir(&self.dir)
            .env("PATH", format!("{folder}:{path}"))
            .env("ORG", self.org)
            .env("NAME", self.name)
            .env("REGION", self.region)
            .env(
                "GATEWAY",
                format!("https://gateway.{}.example.com:9200", self.org),
            )
            .env_remove("XINQIAO_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = tokio::time::timeout(WITHIN, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("{}: {commands} did not end", self.org))
            .unwrap();
        (output.status.code(), printed(&output))
    }

    /// The same for commands that have to succeed.
    async fn does(&self, commands: &str) -> String {
        let (code, said) = self.tries(commands).await;
        assert_eq!(code, Some(0), "{}: {commands}\n{said}", self.org);
        said
    }

    /// Has a new institution admitted; gives what was said.
    async fn admits(&self, bank: &str) -> String {
        self.does(&format!(
            "rm -rf bank; xinqiao keys sm2 --out bank/admin.pem; xinqiao member new --org {bank} \
             --kind institution --name 'A bank' --region 32 --home {} --key admin=bank/admin.pem \
             > bank/member.toml",
            self.org
        ))
        .await;
        self.does(&block("operating.md", "admit")).await
    }

    /// Waits until its own node knows of an institution.
    async fn sees(&self, bank: &str) {
        let begun = Instant::now();
        loop {
            let list = "xinqiao --json member list --profile profile.toml";
            let (_, said) = self.tries(list).await;
            if said.contains(&format!("\"{bank}\"")) {
                return;
            }
            assert!(
                begun.elapsed() < WITHIN,
                "{} without {bank}: {said}",
                self.org
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn chain(&self) -> Value {
        let said = self.does("xinqiao --json genesis show genesis.toml").await;
        serde_json::from_str::<Value>(&said).unwrap()["chain_id"].clone()
    }
}

/// Gives everybody what everybody lays out for the others, as mail would.
fn exchange(founders: &[Founder]) {
    for from in founders {
        let given = Path::new("given").join(from.org);
        for to in founders.iter().filter(|to| to.org != from.org) {
            fs::create_dir_all(to.dir.join(&given)).unwrap();
            for file in fs::read_dir(from.dir.join(&given)).unwrap() {
                let file = file.unwrap();
                let copy = to.dir.join(&given).join(file.file_name());
                fs::copy(file.path(), copy).unwrap();
            }
        }
    }
}

/// Four founders who have made the same genesis and signed it, each with all signatures.
async fn founded() -> (TempDir, Vec<Founder>) {
    let folder = tempfile::Builder::new()
        .prefix("xinqiao-it-")
        .tempdir()
        .unwrap();
    let founders: Vec<Founder> = FOUNDERS
        .map(|(org, name, region)| Founder {
            org,
            name,
            region,
            dir: folder.path().join(org),
        })
        .into();
    for founder in &founders {
        fs::create_dir(&founder.dir).unwrap();
        for step in ["keys", "give"] {
            founder.does(&block("operating.md", step)).await;
        }
    }
    exchange(&founders);
    for founder in &founders {
        founder.does(&block("operating.md", "make")).await;
        founder.does(&block("operating.md", "sign")).await;
    }
    exchange(&founders);
    let chain = founders[0].chain().await;
    for founder in &founders {
        assert_eq!(founder.chain().await, chain, "{}", founder.org);
    }
    (folder, founders)
}

/// Writes everybody's `node.toml` and `profile.toml` as on the page; gives the ports that their nodes are to
/// listen on, which nobody else can take until they are let go of.
fn configured(founders: &[Founder]) -> Vec<(u16, TcpListener)> {
    let ports = ports(founders.len());
    for (founder, (port, _)) in founders.iter().zip(&ports) {
        let own = |page: String| {
            page.replace("org = \"sh-bureau\"", &format!("org = \"{}\"", founder.org))
                .replace("0.0.0.0:9100", &format!("127.0.0.1:{port}"))
                .replace(
                    "node.sh-bureau.example.com:9100",
                    &format!("127.0.0.1:{port}"),
                )
        };
        // Here the names of the genesis lead nowhere: everybody is reached on this machine.
        let mut node = own(block("operating.md", "node.toml"));
        node.push_str("\n[validators]\n");
        for (other, (port, _)) in founders.iter().zip(&ports) {
            node.push_str(&format!("{} = \"https://127.0.0.1:{port}\"\n", other.org));
        }
        fs::write(founder.path("node.toml"), node).unwrap();
        let profile = own(block("operating.md", "profile.toml"));
        fs::write(founder.path("profile.toml"), profile).unwrap();
    }
    ports
}

/// Starts everybody's node.
async fn started(
    founders: &[Founder],
    ports: Vec<(u16, TcpListener)>,
) -> BTreeMap<&'static str, Process> {
    drop(ports);
    let mut nodes = BTreeMap::new();
    for founder in founders {
        let node = Process::start("node", &founder.path("node.toml")).await;
        nodes.insert(founder.org, node);
    }
    nodes
}

#[test]
fn both_pages_tell_people_to_do_the_same() {
    let file = root().join("docs/operating.md");
    let text = fs::read_to_string(file).unwrap();
    let names: Vec<&str> = text
        .split("<!-- founding: ")
        .skip(1)
        .map(|rest| rest.split_once(" -->").unwrap().0)
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let (english, chinese) = (
            block("operating.md", name),
            block("operating.zh-CN.md", name),
        );
        assert_eq!(english, chinese, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_organisations_agree_on_a_genesis_and_start_from_it() {
    let (_folder, founders) = founded().await;
    for founder in &founders {
        let said = founder.does(&block("operating.md", "verify")).await;
        for (org, ..) in FOUNDERS {
            assert!(said.contains(org), "{said}");
        }
        assert!(!said.contains("missing"), "{said}");
    }
    let ports = configured(&founders);

    // A node that lacks one signature does not start, and says whose.
    let own = founders[0].path("given/ah-bureau/ah-bureau.genesis-signature");
    let good = fs::read(&own).unwrap();
    let js = founders[0].path("given/js-bureau/js-bureau.genesis-signature");
    fs::copy(js, &own).unwrap();
    let (code, said) = founders[0].tries("xinqiao node --config node.toml").await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("no signature of ah-bureau"), "{said}");
    assert!(!founders[0].path("data").exists(), "it has touched nothing");
    fs::write(&own, good).unwrap();

    let nodes = started(&founders, ports).await;
    let said = founders[1].admits("js-bank").await;
    // In one of the first blocks: who leads the very first may not have heard of it yet.
    let height = said.split_once("js-bank admitted at height ");
    let height = height.and_then(|(_, rest)| rest.split_whitespace().next());
    let height: u64 = height.and_then(|it| it.parse().ok()).unwrap_or(0);
    assert!((1..=4).contains(&height), "{said}");
    for founder in &founders {
        founder.sees("js-bank").await;
    }
    for (_, node) in nodes {
        node.stop().await;
    }
    for founder in &founders {
        let said = founder.does(&block("operating.md", "check")).await;
        assert!(said.contains("sound"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_without_its_replica_or_its_log_comes_back_by_following() {
    let (_folder, founders) = founded().await;
    let ports = configured(&founders);
    let mut nodes = started(&founders, ports).await;
    let [sh, js, _, ah] = &founders[..] else {
        unreachable!()
    };
    for bank in ["bank-1", "bank-2", "bank-3"] {
        js.admits(bank).await;
    }
    ah.sees("bank-3").await;
    let (data, log) = (ah.path("data/node"), ah.path("data/node/validator-log"));
    let validator = fs::read_to_string(ah.path("node.toml")).unwrap();
    let js_uri = validator.split("js-bureau = ").nth(1).unwrap();
    let js_uri = js_uri.lines().next().unwrap();
    let follower = validator.replace(
        "role = \"validator\"\nvalidator_key = \"keys/validator.pem\"",
        &format!("role = \"follower\"\nupstreams = [{{ org = \"js-bureau\", uri = {js_uri} }}]"),
    );
    assert_ne!(follower, validator);

    let mut spoke = 0;
    for (case, bank) in [
        ("a damaged log", 4),
        ("a log and no replica", 6),
        ("neither", 8),
    ] {
        nodes.remove("ah-bureau").unwrap().stop().await;
        let aside = ah.path(&format!("aside-{bank}"));
        match case {
            "a damaged log" => {
                let file = fs::read_dir(&log).unwrap().next().unwrap().unwrap().path();
                let mut bytes = fs::read(&file).unwrap();
                // In the data of the first record.
                bytes[40] ^= 1;
                fs::write(&file, bytes).unwrap();
                let (code, said) = ah.tries("xinqiao node --config node.toml").await;
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains("is damaged"), "{said}");
                assert!(said.contains("could be voting twice"), "{said}");
                fs::rename(&log, &aside).unwrap();
            }
            "a log and no replica" => {
                fs::rename(&data, &aside).unwrap();
                fs::create_dir(&data).unwrap();
                fs::rename(aside.join("validator-log"), &log).unwrap();
                let (code, said) = ah.tries("xinqiao node --config node.toml").await;
                assert_eq!(code, Some(1), "{said}");
                assert!(
                    said.contains("the write-ahead log reaches height"),
                    "{said}"
                );
            }
            _ => fs::rename(&data, &aside).unwrap(),
        }
        fs::write(ah.path("node.toml"), &follower).unwrap();
        let node = Process::start("node", &ah.path("node.toml")).await;
        // Two more blocks than it can have voted for.
        js.admits(&format!("bank-{bank}")).await;
        js.admits(&format!("bank-{}", bank + 1)).await;
        ah.sees(&format!("bank-{}", bank + 1)).await;
        node.stop().await;
        fs::write(ah.path("node.toml"), &validator).unwrap();
        let node = Process::start("node", &ah.path("node.toml")).await;
        nodes.insert(ah.org, node);
        // Without its log it keeps silent for some blocks more, and then says that it takes part.
        let silent = case != "a log and no replica";
        let speaks = || {
            let said = fs::read_to_string(ah.path("node.log")).unwrap_or_default();
            said.matches("began without its log").count() > spoke
        };
        let mut blocks = 0;
        while silent && !speaks() {
            assert!(blocks < 100, "{case}: it never takes part again");
            js.admits(&format!("bank-{bank}-{blocks}")).await;
            ah.sees(&format!("bank-{bank}-{blocks}")).await;
            blocks += 1;
        }
        spoke += usize::from(silent);
        // Its vote is needed once another is away.
        nodes.remove("sh-bureau").unwrap().stop().await;
        js.admits(&format!("bank-without-sh-{bank}")).await;
        let node = Process::start("node", &sh.path("node.toml")).await;
        nodes.insert(sh.org, node);
        sh.sees(&format!("bank-without-sh-{bank}")).await;
    }
    for (_, node) in nodes {
        node.stop().await;
    }
    let said = ah.does(&block("operating.md", "check")).await;
    assert!(said.contains("sound"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_everybody_s_signature_under_this_very_genesis_passes() {
    let (_folder, founders) = founded().await;
    let [sh, js, ..] = &founders[..] else {
        unreachable!()
    };
    let verify = block("operating.md", "verify");
    let genesis = fs::read_to_string(sh.path("genesis.toml")).unwrap();
    let of = |org: &str| sh.path(&format!("given/{org}/{org}.genesis-signature"));
    sh.does(&verify).await;

    // Any change of the genesis, each of one byte: its time, its name, an address, a key.
    for (place, what) in [
        ("time_ms = 1", "time"),
        ("name = \"Y", "name"),
        ("https://n", "address"),
        ("public_key = \"02", "validator's key"),
        ("public_key = \"03", "another key"),
        ("MII", "authority"),
        ("role = \"a", "role of a key"),
    ] {
        let Some(at) = genesis.find(place).map(|at| at + place.len()) else {
            // Whether a compressed key begins with 02 or 03 is chance; of a dozen, not all are alike.
            assert!(what.ends_with("key"), "{what} is not in the genesis");
            continue;
        };
        let mut flipped = genesis.clone().into_bytes();
        flipped[at] ^= 1;
        fs::write(sh.path("genesis.toml"), flipped).unwrap();
        let (code, said) = sh.tries(&verify).await;
        assert_eq!(code, Some(4), "{what}: {said}");
        let named = said.contains("of another chain") || said.contains("genesis.toml");
        assert!(named, "{what}: {said}");
    }
    fs::write(sh.path("genesis.toml"), &genesis).unwrap();

    // A signature under another genesis, made an hour later by the same people.
    let later = block("operating.md", "make")
        .replace("--time-ms 17", "--time-ms 18")
        .replace("genesis.toml", "later.toml");
    js.does(&later).await;
    js.does(
        "xinqiao genesis sign --genesis later.toml --org js-bureau --key keys/admin.pem --out later",
    )
    .await;
    // A signature with another's key, which `sign` does not make; so it is forged from a good one.
    let with = "xinqiao genesis sign --genesis genesis.toml --key keys/admin.pem";
    let (code, said) = js
        .tries(&format!("{with} --org ah-bureau --out forged"))
        .await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is no admin key of ah-bureau"), "{said}");
    let good = fs::read_to_string(of("js-bureau")).unwrap();
    let forged = good.replace("org = \"js-bureau\"", "org = \"ah-bureau\"");
    let key = |text: &str| text.split("key_id = ").nth(1).unwrap()[..66].to_owned();
    let ah = fs::read_to_string(of("ah-bureau")).unwrap();
    let more_forged = forged.replace(&key(&good), &key(&ah));

    for (org, put, named) in [
        (
            "js-bureau",
            fs::read_to_string(js.path("later")).unwrap(),
            "another chain",
        ),
        ("ah-bureau", forged, "is no admin key of ah-bureau"),
        ("ah-bureau", more_forged, "it is not ah-bureau's"),
        ("ah-bureau", String::new(), "no signature file"),
    ] {
        let kept = fs::read(of(org)).unwrap();
        fs::write(of(org), put).unwrap();
        let (code, said) = sh.tries(&verify).await;
        assert_eq!(code, Some(4), "{named}: {said}");
        assert!(said.contains(named), "{named}: {said}");
        assert!(said.contains(&format!("no signature of {org}")), "{said}");
        assert!(said.contains(&format!("{org}.genesis-signature")), "{said}");
        fs::write(of(org), kept).unwrap();
    }

    fs::remove_file(of("zj-bureau")).unwrap();
    let (code, said) = sh.tries(&verify).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("no signature of zj-bureau"), "{said}");
}

/// Free ports, kept from others until they are let go of: below those that systems hand to outgoing
/// connections.
fn ports(count: usize) -> Vec<(u16, TcpListener)> {
    let first = rand::rng().random_range(20_000..31_000);
    (first..32_000)
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(count)
        .collect()
}
