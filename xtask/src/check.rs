//! What CI runs, and what a person runs before asking for a review: four stages, the first failure ends it,
//! and a table says how long each took. It changes no file.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;
use console::style;

use crate::cargo::{self, cargo};
use crate::python::Tools;

/// Runs all stages and prints the table, on failure too.
pub(crate) fn run(tools: &Tools) -> Result<ExitCode> {
    let mut lint = Command::new(&tools.buf);
    lint.args(["lint", "proto"]).current_dir(cargo::root());
    let mut clippy = cargo();
    clippy
        .args(["clippy", "--workspace", "--all-targets"])
        .args(cargo::locked());
    clippy.args(["--", "-D", "warnings"]);
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    let mut test = cargo();
    test.args(["xtask", "test"]);
    Ok(run_stages(vec![
        ("formatting", format),
        ("clippy", clippy),
        ("buf lint", lint),
        // The very command that the README names.
        ("tests", test),
    ]))
}

fn run_stages(stages: Vec<(&'static str, Command)>) -> ExitCode {
    let mut rows = Vec::new();
    let mut failed = false;
    for (name, mut command) in stages {
        if failed {
            rows.push((name, "not run", None));
            continue;
        }
        println!("{}", style(format!("== {name}")).bold());
        let start = Instant::now();
        if let Err(error) = cargo::run(&mut command) {
            eprintln!("{} {error:#}", style("error:").for_stderr().red().bold());
            failed = true;
        }
        rows.push((
            name,
            if failed { "FAILED" } else { "ok" },
            Some(start.elapsed()),
        ));
    }
    println!();
    for (name, result, took) in rows {
        println!("{}", row(name, result, took));
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn row(name: &str, result: &str, took: Option<Duration>) -> String {
    let took = took.map(|took| {
        format!(
            "{:>4} min {:02} s",
            took.as_secs() / 60,
            took.as_secs() % 60
        )
    });
    format!("  {name:<12} {result:<8} {}", took.unwrap_or_default())
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exits: &[&str], expected: ExitCode) -> Vec<bool> {
        let folder = tempfile::tempdir().unwrap();
        let stages = exits.iter().enumerate().map(|(index, exit)| {
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("touch {index}; exit {exit}")])
                .current_dir(&folder);
            ("stage", command)
        });
        assert_eq!(run_stages(stages.collect()), expected, "{exits:?}");
        (0..exits.len())
            .map(|index| folder.path().join(index.to_string()).exists())
            .collect()
    }

    #[test]
    fn the_first_failure_ends_the_run_and_fails_it() {
        assert_eq!(check(&["0", "0"], ExitCode::SUCCESS), [true, true]);
        assert_eq!(
            check(&["0", "3", "0"], ExitCode::FAILURE),
            [true, true, false]
        );
        assert_eq!(check(&["1"], ExitCode::FAILURE), [true]);
    }

    #[test]
    fn a_row_gives_minutes_and_seconds() {
        let took = Some(Duration::from_secs(125));
        assert_eq!(
            row("clippy", "ok", took),
            "  clippy       ok          2 min 05 s"
        );
        assert_eq!(row("tests", "not run", None), "  tests        not run");
    }
}
