//! What the compiler and clippy cannot see about the clone as a whole: which crates may reach which libraries,
//! and whether the words in it (module heads, commands, links) are true.
//!
//! It tests no behaviour of the product. Each check is a function from text to complaints, so that a table
//! beside it shows that it can fail; the tests here run it over the real files.

mod commands;
mod files;
mod purity;
mod tree;

use std::path::Path;

use crate::tree::Tree;

/// Fails with all complaints at once, one a line.
fn report(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn no_pure_crate_reaches_an_edge_library() {
    let tree = Tree::of_this_clone();
    let complaints = purity::PURE.iter().filter_map(|package| {
        let path = purity::path_to(
            &purity::dependencies(&tree, package),
            purity::EDGE_LIBRARIES,
        )?;
        Some(format!(
            "{package} is pure, yet reaches an edge library: {}",
            path.join(" -> ")
        ))
    });
    report(complaints.collect());
}

#[test]
fn an_edge_library_would_be_noticed() {
    let reached = purity::dependencies(&Tree::of_this_clone(), "xinqiao-rpc");
    assert!(
        purity::path_to(&reached, &["tokio"]).is_some(),
        "the RPC crate is known to use tokio: {reached}"
    );
}

#[test]
fn an_application_takes_neither_store_nor_tls_nor_server_along_with_the_client_library() {
    let dependencies = purity::dependencies(&Tree::of_this_clone(), "xinqiao-client");
    let heavy = [
        "aws-lc-rs",
        "axum",
        "casbin",
        "librocksdb-sys",
        "openmls",
        "opentelemetry",
        "rustls",
        "sqlx",
        "tonic-reflection",
        "xinqiao-agent",
        "xinqiao-rpc",
    ];
    assert_eq!(purity::path_to(&dependencies, &heavy), None);
    // It does what it is for, so the list is of that crate.
    assert!(purity::path_to(&dependencies, &["hyper"]).is_some());
}

#[test]
fn no_source_of_a_pure_crate_has_clocks_files_sockets_floats_or_unordered_maps() {
    let tree = Tree::of_this_clone();
    let mut complaints = Vec::new();
    for package in purity::PURE {
        let sources = tree.rust_files(tree.package(package), &["src"]);
        assert!(!sources.is_empty(), "{package} has no sources");
        complaints.extend(purity::complaints_in_crate(&sources));
    }
    report(complaints);
}

#[test]
fn every_pure_crate_has_clippy_forbid_the_types_it_must_not_touch() {
    let tree = Tree::of_this_clone();
    let complaints = purity::PURE.iter().filter_map(|package| {
        let file = tree.package(package).join("clippy.toml");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lacks: Vec<_> = purity::CLIPPY_FORBIDS
            .iter()
            .filter(|ty| !text.contains(*ty))
            .collect();
        (!lacks.is_empty()).then(|| format!("{}: does not disallow {lacks:?}", tree.shown(&file)))
    });
    report(complaints.collect());
}

#[test]
fn every_module_says_what_it_is_for() {
    let tree = Tree::of_this_clone();
    let mut complaints = Vec::new();
    for package in tree.packages() {
        for (path, text) in tree.rust_files(
            package,
            &["src", "tests", "benches", "examples", "build.rs"],
        ) {
            complaints.extend(files::module_head(&text).map(|what| format!("{path}: {what}")));
        }
    }
    report(complaints);
}

#[test]
fn no_source_file_is_longer_than_800_lines() {
    let tree = Tree::of_this_clone();
    let sources = tree
        .files()
        .iter()
        .filter(|(path, _)| files::is_source(path));
    let complaints = sources.filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > 800).then(|| format!("{path}: {lines} lines; find the two things it is about"))
    });
    report(complaints.collect());
}

#[test]
fn no_file_names_a_path_or_a_host_of_a_developers_machine() {
    let tree = Tree::of_this_clone();
    report(
        tree.files()
            .iter()
            .flat_map(|(path, text)| files::machine_names(path, text))
            .collect(),
    );
}

#[test]
fn every_local_link_in_markdown_leads_to_a_file() {
    let tree = Tree::of_this_clone();
    let mut complaints = Vec::new();
    for (path, text) in tree
        .files()
        .iter()
        .filter(|(path, _)| path.ends_with(".md"))
    {
        let folder = tree.root().join(path);
        let folder = folder.parent().unwrap_or(tree.root());
        for (line, target) in files::local_links(text) {
            if !folder.join(&target).exists() {
                complaints.push(format!(
                    "{path}:{line}: links to {target}, which does not exist"
                ));
            }
        }
    }
    report(complaints);
}

#[test]
fn every_command_that_the_documents_name_exists() {
    let tree = Tree::of_this_clone();
    let mut programs = commands::Programs::built();
    let mut complaints = Vec::new();
    for (path, text) in tree
        .files()
        .iter()
        .filter(|(path, _)| promises_commands(Path::new(path)))
    {
        for named in commands::named(text) {
            if let Err(what) = programs.check(&named.words) {
                complaints.push(format!(
                    "{path}:{}: `{}`: {what}",
                    named.line,
                    named.words.join(" ")
                ));
            }
        }
    }
    report(complaints);
}

#[test]
fn both_readmes_name_the_two_commands() {
    let tree = Tree::of_this_clone();
    let mut complaints = Vec::new();
    for readme in ["README.md", "README.zh-CN.md"] {
        let file = tree.files().iter().find(|(path, _)| path == readme);
        let named = file
            .map(|(_, text)| commands::named(text))
            .unwrap_or_default();
        for command in ["cargo xtask demo", "cargo xtask test"] {
            if !named.iter().any(|named| named.words.join(" ") == command) {
                complaints.push(format!("{readme}: does not name `{command}`"));
            }
        }
    }
    report(complaints);
}

/// The documents that tell people what to type. ARCHITECTURE.md may speak of what is not there yet.
fn promises_commands(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.ends_with(".md") && name != "ARCHITECTURE.md"
}
