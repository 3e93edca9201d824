//! Checks of single files' text: module heads, links, and names that mean something on one machine only.
//!
//! Commands are looked at in `commands`.

/// What is wrong with the head of a Rust file, if anything.
pub(crate) fn module_head(text: &str) -> Option<String> {
    let lines = text.lines().skip_while(|line| line.trim().is_empty());
    let head: Vec<_> = lines.map_while(|line| line.strip_prefix("//!")).collect();
    let words = head.iter().flat_map(|line| line.split_whitespace()).count();
    if head.is_empty() {
        Some("does not open with `//!`: what is this module for, and what is it not?".to_owned())
    } else if words < 5 {
        Some(format!(
            "`//!{}` does not say what this module is for",
            head.join(" ")
        ))
    } else {
        None
    }
}

/// Whether a file is written by hand and read by people as code.
pub(crate) fn is_source(path: &str) -> bool {
    [".rs", ".proto", ".py", ".sh"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// The folders that developers' machines have and users' do not. Split, so that this file is clean itself.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
];

/// Ends of hosts' names that only resolve inside one network, and starts of its addresses.
const PRIVATE_ENDS: &[&str] = &[".internal", ".lan", ".corp", ".intranet"];
const PRIVATE_STARTS: &[&str] = &["10.", "192.168."];

/// Complaints about absolute paths and hosts that exist on somebody's machine only.
pub(crate) fn machine_names(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        for folder in MACHINE_FOLDERS {
            // `proof/root/leaf` is a relative path, `$HOME/work/` somebody else's.
            let absolute = line.match_indices(folder).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}*".contains(c))
            });
            if absolute {
                complaints.push(format!(
                    "{path}:{line_number}: names {folder}, a folder of one machine"
                ));
            }
        }
        for host in line.split("://").skip(1).map(host_of) {
            if PRIVATE_ENDS.iter().any(|end| host.ends_with(end))
                || PRIVATE_STARTS.iter().any(|start| host.starts_with(start))
            {
                complaints.push(format!(
                    "{path}:{line_number}: names the host {host} of one network"
                ));
            }
        }
        if path.ends_with("Cargo.lock")
            && line.starts_with("source = ")
            && !line.contains("registry+https://github.com/rust-lang/crates.io-index")
        {
            complaints.push(format!("{path}:{line_number}: {line} is not crates.io"));
        }
    }
    complaints
}

/// The host in what follows `://`.
fn host_of(rest: &str) -> &str {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || ".-@".contains(c)))
        .unwrap_or(rest.len());
    let host = &rest[..end];
    host.rsplit('@').next().unwrap_or(host)
}

/// Line number and target of each link to a file, without its `#fragment`.
pub(crate) fn local_links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fenced = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let prose = without_code_spans(line);
        let inline = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let definition = prose
            .starts_with('[')
            .then(|| prose.split_once("]: "))
            .flatten();
        for target in inline.chain(definition.map(|(_, target)| target)) {
            let target = target.split_whitespace().next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((index + 1, file.to_owned()));
            }
        }
    }
    links
}

/// The parts of a line outside `backticks`.
fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_head_says_something() {
        let check =
            |text: &str, good: bool| assert_eq!(module_head(text).is_none(), good, "{text}");
        check("//! What this module is for.\n\nfn f() {}", true);
        check("\n//! What this\n//! module is for.", true);
        check("//! xinqiao-it\n", false);
        check("use std::fmt;\n//! What this module is for.", false);
        check("// What this module is for.", false);
        check("/// What this module is for.\nfn f() {}", false);
        check("", false);
    }

    #[test]
    fn names_of_one_machine_are_found() {
        let check = |text: &str, found: usize| {
            assert_eq!(machine_names("file.md", text).len(), found, "{text}");
        };
        check("see docs/errors.md and https://example.com/", 0);
        check(&format!("cd {}main", MACHINE_FOLDERS[0]), 1);
        check(&format!("`{}.cargo`", MACHINE_FOLDERS[1]), 1);
        check(&format!("proof{}leaf", MACHINE_FOLDERS[1]), 0);
        check(&format!("https://crates.build{}/index", PRIVATE_ENDS[2]), 1);
        check(&format!("http://user@{}1.2.3:8080/", PRIVATE_STARTS[0]), 1);
        check("http://127.0.0.1:8080 http://localhost:1", 0);
    }

    #[test]
    fn only_crates_io_is_locked() {
        let check = |line: &str, found: usize| {
            assert_eq!(machine_names("Cargo.lock", line).len(), found, "{line}");
        };
        check(
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            0,
        );
        check("source = \"registry+https://mirror.example.com/index\"", 1);
        check("source = \"git+https://github.com/a/b\"", 1);
    }

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let check = |text: &str, targets: &[&str]| {
            let found: Vec<_> = local_links(text)
                .into_iter()
                .map(|(_, target)| target)
                .collect();
            assert_eq!(found, targets, "{text}");
        };
        check(
            "[a](docs/a.md) and [b](b.md#part \"title\")",
            &["docs/a.md", "b.md"],
        );
        check(
            "[a](https://example.com/a.md) [b](#part) [c](mailto:a@example.com)",
            &[],
        );
        check("![picture](docs/p.svg)", &["docs/p.svg"]);
        check("[a]: docs/a.md", &["docs/a.md"]);
        check("`[a](b.md)`", &[]);
        check("```\n[a](b.md)\n```\n[c](d.md)", &["d.md"]);
    }
}
