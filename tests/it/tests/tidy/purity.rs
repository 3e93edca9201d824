//! Purity as a crate boundary: code that decides reaches no runtime, store, clock or socket, and uses nothing
//! whose result differs from node to node.
//!
//! Libraries are judged per crate as cargo resolves that crate alone: in a whole-workspace build another
//! member's features would be counted against it. Sources are judged by their tokens, so that comments,
//! strings and `#[cfg(test)]` items may speak of what the code must not do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree::{File, Tree};

/// The crates that decide.
pub(crate) const PURE: &[&str] = &[
    "xinqiao-catalogue",
    "xinqiao-consensus",
    "xinqiao-contracts",
    "xinqiao-crypto",
    "xinqiao-decide",
    "xinqiao-dispatch",
    "xinqiao-ledger",
    "xinqiao-report",
];

/// Libraries that run, wait, store or talk.
pub(crate) const EDGE_LIBRARIES: &[&str] = &[
    "async-std",
    "axum",
    "casbin",
    "chrono",
    "futures-executor",
    "hyper",
    "librocksdb-sys",
    "mio",
    "reqwest",
    "rocksdb",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-util",
    "tonic",
    "tonic-prost",
    "tower",
    "walkdir",
];

/// What each pure crate's clippy.toml has to disallow.
pub(crate) const CLIPPY_FORBIDS: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Names that no source of a pure crate uses, and why.
const FORBIDDEN_NAMES: &[(&str, &str)] = &[
    ("tokio", "a pure crate waits for nothing"),
    ("tonic", "a pure crate talks to nobody"),
    ("rocksdb", "a pure crate stores nothing"),
    ("Instant", "a pure crate has no clock"),
    ("SystemTime", "a pure crate has no clock"),
    ("HashMap", "its order differs from process to process"),
    ("HashSet", "its order differs from process to process"),
    ("f32", "floats round differently from machine to machine"),
    ("f64", "floats round differently from machine to machine"),
    ("OsRng", "randomness is an argument"),
    ("SysRng", "randomness is an argument"),
    ("ThreadRng", "randomness is an argument"),
    ("println", "a pure crate prints nothing"),
    ("eprintln", "a pure crate prints nothing"),
];

/// Modules of `std` that no source of a pure crate uses.
const FORBIDDEN_STD: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

/// What `package` depends on when it is built, one a line: its depth, then its name.
pub(crate) fn dependencies(tree: &Tree, package: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(tree.root())
        .args([
            "tree",
            "--frozen",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
        ])
        .args(["--prefix", "depth", "--format", " {p}"])
        .output()
        .expect("cargo can be started where it has just built this test");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("package names are ASCII")
}

/// The way from the first line's package to the first one that is in `wanted`.
pub(crate) fn path_to(dependencies: &str, wanted: &[&str]) -> Option<Vec<String>> {
    let mut path: Vec<String> = Vec::new();
    for line in dependencies.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let depth: usize = words
            .next()?
            .parse()
            .expect("the format begins with the depth");
        let name = words.next()?;
        path.truncate(depth);
        path.push(name.to_owned());
        if wanted.contains(&name) {
            return Some(path);
        }
    }
    None
}

/// Complaints about a crate's sources, without the modules that are compiled for tests only.
pub(crate) fn complaints_in_crate(sources: &[File]) -> Vec<String> {
    let scanned: Vec<_> = sources
        .iter()
        .map(|(path, text)| (path, scan(text)))
        .collect();
    let mut test_modules = BTreeSet::new();
    for (path, scan) in &scanned {
        test_modules.extend(
            scan.test_modules
                .iter()
                .map(|module| module_base(path) + module),
        );
    }
    let is_test = |path: &str| {
        test_modules.iter().any(|module| {
            path.strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    let kept = scanned.iter().filter(|(path, _)| !is_test(path));
    kept.flat_map(|(path, scan)| {
        scan.complaints
            .iter()
            .map(move |(line, what)| format!("{path}:{line}: {what}"))
    })
    .collect()
}

/// Where the files of a module's children lie: beside `lib.rs`, `main.rs` and `mod.rs`, below any other.
fn module_base(path: &str) -> String {
    let stem = Path::new(path).with_extension("");
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let is_folder_head = ["lib", "main", "mod"]
        .iter()
        .any(|name| stem.ends_with(name));
    format!("{}/", if is_folder_head { parent } else { &stem }.display())
}

#[derive(Default)]
struct Scan {
    /// Line and reason.
    complaints: Vec<(usize, String)>,
    /// Names in `#[cfg(test)] mod name;`.
    test_modules: Vec<String>,
}

fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    match text.parse::<TokenStream>() {
        Ok(tokens) => scan.tokens(tokens),
        Err(error) => scan.complaints.push((0, format!("is not Rust: {error}"))),
    }
    scan
}

impl Scan {
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_punct(tokens.get(at), '#') && is_cfg_test(tokens.get(at + 1)) {
                at = self.skip_item(&tokens, at + 2);
                continue;
            }
            if is_punct(tokens.get(at), '#')
                && is_punct(tokens.get(at + 1), '!')
                && is_cfg_test(tokens.get(at + 2))
            {
                // The rest of this file or block is for tests.
                return;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    let (name, line) = (ident.to_string(), ident.span().start().line);
                    if let Some((_, why)) = FORBIDDEN_NAMES
                        .iter()
                        .find(|(forbidden, _)| name == *forbidden)
                    {
                        self.complaints.push((line, format!("{name}: {why}")));
                    }
                    if name == "std"
                        && is_punct(tokens.get(at + 1), ':')
                        && is_punct(tokens.get(at + 2), ':')
                    {
                        self.standard_library(tokens.get(at + 3));
                    }
                }
                TokenTree::Literal(literal) => {
                    // `pair.0.1` reaches us as `pair`, `.`, `0.1`.
                    let field = at > 0 && is_punct(tokens.get(at - 1), '.');
                    if !field && is_float(&literal.to_string()) {
                        let line = literal.span().start().line;
                        self.complaints.push((
                            line,
                            format!("{literal}: floats round differently from machine to machine"),
                        ));
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    /// What follows `std::`: a name, or a group of names.
    fn standard_library(&mut self, next: Option<&TokenTree>) {
        let first_names: Vec<_> = match next {
            Some(TokenTree::Ident(ident)) => vec![ident.clone()],
            Some(TokenTree::Group(group)) => {
                let tokens: Vec<_> = group.stream().into_iter().collect();
                tokens
                    .split(|token| is_punct(Some(token), ','))
                    .filter_map(|item| match item.first() {
                        Some(TokenTree::Ident(ident)) => Some(ident.clone()),
                        _ => None,
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        for name in first_names {
            if FORBIDDEN_STD.iter().any(|forbidden| name == forbidden) {
                let line = name.span().start().line;
                self.complaints.push((
                    line,
                    format!("std::{name}: a pure crate decides, the edge acts"),
                ));
            }
        }
    }

    /// The index after the item that begins at `at`, which is for tests only.
    fn skip_item(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        for (offset, token) in tokens[at..].iter().enumerate() {
            if is_punct(Some(token), ';') {
                let item: Vec<_> = tokens[at..at + offset]
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                if let [.., keyword, name] = item.as_slice()
                    && keyword == "mod"
                {
                    self.test_modules.push(name.clone());
                }
                return at + offset + 1;
            }
            if matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace) {
                return at + offset + 1;
            }
        }
        tokens.len()
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_cfg_test(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else {
        return false;
    };
    group.delimiter() == Delimiter::Bracket
        && group
            .stream()
            .to_string()
            .split_whitespace()
            .collect::<String>()
            == "cfg(test)"
}

fn is_float(literal: &str) -> bool {
    let decimal = literal.starts_with(|first: char| first.is_ascii_digit())
        && !["0x", "0o", "0b"]
            .iter()
            .any(|prefix| literal.starts_with(prefix));
    let digits = literal.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let exponent = digits
        .strip_prefix(['e', 'E'])
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-'));
    decimal
        && (literal.contains('.')
            || exponent
            || literal.ends_with("f32")
            || literal.ends_with("f64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[usize]) {
        let lines: Vec<_> = scan(source)
            .complaints
            .into_iter()
            .map(|(line, _)| line)
            .collect();
        assert_eq!(lines, expected, "{source}");
    }

    #[test]
    fn tokens_are_judged_and_words_are_not() {
        check("fn f() {}", &[]);
        check("use std::fs;", &[1]);
        check("use std::{collections::BTreeMap, net::IpAddr};", &[1]);
        check("use std::{collections::{BTreeMap, BTreeSet}, fmt};", &[]);
        check(
            "fn f() {\n    let now = std::time::Instant::now();\n}",
            &[2],
        );
        check("use std::time::Duration;", &[]);
        check("use std::time::{Duration, SystemTime};", &[1]);
        check("async fn f() { tokio::task::yield_now().await }", &[1]);
        check("type Cache = HashMap<u8, u8>;", &[1]);
        check("macro_rules! m { () => { std::env::var(\"X\") } }", &[1]);
        check(
            "/// Unlike a HashMap, and without std::fs.\n// tokio\nstruct S;",
            &[],
        );
        check("const S: &str = \"std::fs, tokio, 1.5\";", &[]);
    }

    #[test]
    fn floats_are_told_from_what_looks_like_them() {
        check(
            "const A: u64 = 1_000; const B: u64 = 0x1e5; const C: usize = 1usize;",
            &[],
        );
        check("const A: X = 1.5;", &[1]);
        check("const A: X = 1e5;", &[1]);
        check("const A: X = 1f64;", &[1]);
        check("fn f(x: f32) {}", &[1]);
        check("fn f(pair: ((u8, u8), u8)) -> u8 { pair.0.1 }", &[]);
        check("fn f() { for _ in 1..2 {} }", &[]);
    }

    #[test]
    fn what_is_compiled_for_tests_only_is_left_alone() {
        check(
            "#[cfg(test)]\nmod tests { use std::fs; }\nuse std::net;",
            &[3],
        );
        check("#[cfg(test)]\nuse std::{fs};\nuse std::net;", &[3]);
        check("#[cfg(not(test))]\nuse std::fs;", &[2]);
        check("#![cfg(test)]\nuse std::fs;", &[]);
        check(
            "#[cfg(test)]\n#[allow(dead_code)]\nfn f() -> [u8; 2] { std::fs::read(x) }\nuse std::net;",
            &[4],
        );
    }

    #[test]
    fn files_of_test_modules_are_left_alone() {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let sources = [
            file("c/src/lib.rs", "#[cfg(test)]\nmod tests;\nmod tree;"),
            file("c/src/tests.rs", "use std::fs;"),
            file("c/src/tests/vectors.rs", "use std::fs;"),
            file("c/src/tree.rs", "#[cfg(test)] pub(crate) mod golden;"),
            file("c/src/tree/golden.rs", "use std::fs;"),
            file("c/src/tree/tests.rs", "use std::fs;"),
        ];
        assert_eq!(
            complaints_in_crate(&sources),
            ["c/src/tree/tests.rs:1: std::fs: a pure crate decides, the edge acts"]
        );
    }

    #[test]
    fn the_way_to_an_edge_library_is_shown() {
        let tree = "0 ours v0.1.0\n1 a v1.0.0\n2 b v1.0.0\n1 c v1.0.0 (*)\n2 tokio v1.0.0\n";
        assert_eq!(path_to(tree, &["tokio"]).unwrap(), ["ours", "c", "tokio"]);
        assert_eq!(path_to(tree, &["rocksdb"]), None);
    }
}
