//! The cargo commands behind `demo`, `test` and `bench`: which are run, with which features, and where
//! their results lie.
//!
//! The last command of a task replaces this process, so that ctrl-C and the exit code are its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, ensure};

use crate::python::Tools;

/// A cargo command at the workspace's root.
///
/// Cargo describes xtask itself in the environment; what it starts must not take that for its own.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO"
        {
            command.env_remove(&name);
        }
    }
    command.current_dir(root());
    if is_ci() {
        command.env("CARGO_TERM_PROGRESS_WHEN", "never");
    }
    command
}

/// Whether this runs in CI, where nobody watches a progress bar and nothing may be changed on the way.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// `--locked` in CI: a lock file that does not fit is an error there, not something to repair on the way.
pub(crate) fn locked() -> Option<&'static str> {
    is_ci().then_some("--locked")
}

/// The root of the clone that this was started in.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// Builds `xinqiao`, showing cargo's own progress.
///
/// The whole workspace's binaries are built, not one package's: cargo decides on features by what is selected,
/// and another selection would compile RocksDB a second time.
pub(crate) fn build_for_demo() -> Result<()> {
    announce_first_build()?;
    run(cargo()
        .args(["build", "--workspace", "--bins"])
        .args(locked()))
}

/// Replaces this process by `xinqiao demo`.
pub(crate) fn become_demo(args: &[OsString]) -> Result<ExitCode> {
    become_command(
        Command::new(built_programs()?.join("xinqiao"))
            .arg("demo")
            .args(args),
    )
}

/// Replaces this process by the simulator.
pub(crate) fn become_simulator(args: &[OsString]) -> Result<ExitCode> {
    become_command(Command::new(built_programs()?.join("xinqiao-sim")).args(args))
}

/// Builds everything that the tests start, then replaces this process by the test runner.
pub(crate) fn become_test_runner(args: &[OsString], tools: &Tools) -> Result<ExitCode> {
    announce_first_build()?;
    // `--tests` makes the programs that tests start the same that the runner would build (its development
    // dependencies take part in choosing features), so nothing is compiled twice.
    run(cargo()
        .args(["build", "--workspace", "--bins", "--tests", "--examples"])
        .args(locked()))?;

    let mut command = cargo();
    let nextest = cargo().args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        if args.is_empty() {
            // nextest does not know the examples in the documentation; they go first, its summary closes.
            run(with_tools(&mut cargo(), tools)
                .args(["test", "--workspace", "--doc"])
                .args(locked()))?;
        }
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    if !names_packages(args) {
        command.arg("--workspace");
    }
    become_command(with_tools(&mut command, tools).args(locked()).args(args))
}

/// Replaces this process by one benchmark.
pub(crate) fn become_bench(package: &str, bench: &str) -> Result<ExitCode> {
    become_command(
        cargo()
            .args(["bench", "--package", package, "--bench", bench])
            .args(locked()),
    )
}

/// Builds the nodes and the benchmark that drives them: for release, unless the demo's build is to do.
pub(crate) fn build_for_bench(dev: bool) -> Result<()> {
    if dev {
        return build_for_demo();
    }
    if !has_built_rocksdb(&built_for_release()?) {
        eprintln!(
            "First build for release: RocksDB is compiled once more, so plan half an hour on 2 cores; `--dev` measures \
             the demo's build instead."
        );
    }
    run(cargo()
        .args(["build", "--release", "--workspace", "--bins"])
        .args(locked()))
}

/// Replaces this process by the benchmark of whole consortiums. It writes the documents anew, unless it runs
/// too briefly for that or is told where they are.
pub(crate) fn become_consortium_bench(
    dev: bool,
    what: &str,
    args: &[OsString],
) -> Result<ExitCode> {
    let programs = if dev {
        built_programs()?
    } else {
        built_for_release()?
    };
    let mut command = Command::new(programs.join("bench"));
    command.arg(what);
    if writes_documents(args) {
        let docs = root().join("docs");
        match what {
            "register" => command
                .arg("--page")
                .arg(docs.join("benchmarks/registration.md")),
            "queries" => command
                .arg("--page")
                .arg(docs.join("benchmarks/queries.md")),
            _ => command.arg("--docs").arg(docs),
        };
        let results = programs.join(format!("bench-{what}.json"));
        command.arg("--out").arg(results);
    }
    become_command(command.args(args))
}

/// Whether a run with these arguments is a whole one, that goes where whole ones go.
fn writes_documents(args: &[OsString]) -> bool {
    let own = [
        "--quick",
        "--docs",
        "--out",
        "--engines",
        "--rate",
        "--subjects",
        "--queries",
        "--render",
        "--help",
        "-h",
    ];
    !args.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        let name = arg.split('=').next().unwrap_or_default();
        own.contains(&name)
    })
}

/// Runs a command to its end; its failure has been shown by itself.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "`{}` failed ({status})", shown(command));
    Ok(())
}

fn with_tools<'a>(command: &'a mut Command, tools: &Tools) -> &'a mut Command {
    command
        .env("XINQIAO_PYTHON", &tools.python)
        .env("XINQIAO_BUF", &tools.buf)
}

fn become_command(command: &mut Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(anyhow!(error).context(format!("cannot start `{}`", shown(command))))
}

/// The folder of the built programs: this one is among them, whatever the target folder is called.
fn built_programs() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the folder of the built programs")?;
    own.parent()
        .map(Path::to_path_buf)
        .context("this program lies in no folder")
}

/// The folder of the programs that are built for release, beside that one.
fn built_for_release() -> Result<PathBuf> {
    let built = built_programs()?;
    let target = built.parent().context("the target folder has a parent")?;
    Ok(target.join("release"))
}

fn has_built_rocksdb(programs: &Path) -> bool {
    std::fs::read_dir(programs.join("build")).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("librocksdb-sys-")
                && entry.path().join("output").is_file()
        })
    })
}

/// Says beforehand what takes so long, where it will.
fn announce_first_build() -> Result<()> {
    if !has_built_rocksdb(&built_programs()?) {
        eprintln!(
            "First build: RocksDB alone is some 20 minutes of one core, so plan half an hour on 2 cores; \
             it is compiled once, later builds take seconds."
        );
    }
    Ok(())
}

fn names_packages(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        let arg = arg.to_string_lossy();
        arg == "--package"
            || arg.starts_with("--package=")
            || arg == "--workspace"
            || arg == "--all"
            || (arg.starts_with("-p") && !arg.starts_with("--"))
    })
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words: Vec<_> = [program]
        .into_iter()
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], expected: bool) {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        assert_eq!(names_packages(&args), expected, "{args:?}");
    }

    #[test]
    fn only_whole_runs_write_the_documents() {
        let check = |args: &[&str], expected: bool| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            assert_eq!(writes_documents(&args), expected, "{args:?}");
        };
        check(&[], true);
        check(&["--seconds", "30"], true);
        check(&["--quick"], false);
        check(&["--engines=solo"], false);
        check(&["--docs", "elsewhere"], false);
        check(&["--help"], false);
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_packages_are_named() {
        check(&[], false);
        check(&["digests"], false);
        check(&["--", "-p"], false);
        check(&["--profile", "ci"], false);
        check(&["-p", "xinqiao-crypto"], true);
        check(&["-pxinqiao-crypto"], true);
        check(&["--package=xinqiao-crypto"], true);
        check(&["--workspace"], true);
    }
}
