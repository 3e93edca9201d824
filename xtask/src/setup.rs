//! Brings a Debian or Ubuntu machine to the point where everything builds and runs, saying what it does; on
//! any other, or without the right to install, it names what is missing and the exact command.
//!
//! Everything that is ever downloaded is downloaded here: neither the tests nor the demo need the network.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use console::style;
use indicatif::ProgressBar;

use crate::cache;
use crate::cargo::cargo;
use crate::machine::Machine;
use crate::python::{self, Tools};

/// What the machine is to be made ready for; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Compile and run the product.
    Build,
    /// Run its tests.
    Test,
    /// Run what CI runs.
    Check,
}

/// Something that has to be on the machine, and the Debian packages that bring it.
struct Requirement {
    what: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
    purpose: Purpose,
    present: fn(&Machine) -> bool,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        what: "a C and C++ compiler",
        why: "RocksDB and AWS-LC are compiled from source",
        packages: &["build-essential"],
        purpose: Purpose::Build,
        present: |machine| {
            ["cc", "c++"]
                .into_iter()
                .all(|name| machine.program(name).is_some())
        },
    },
    Requirement {
        what: "libclang with its headers",
        why: "bindgen reads RocksDB's C interface with it",
        packages: &["libclang-dev", "clang"],
        purpose: Purpose::Build,
        present: Machine::has_libclang,
    },
    Requirement {
        what: "the openssl program",
        why: "SM2 and SM3 are tested against it in both directions",
        packages: &["openssl"],
        purpose: Purpose::Test,
        present: |machine| machine.program("openssl").is_some(),
    },
    Requirement {
        what: "faketime",
        why: "a test gives one validator a wrong clock",
        packages: &["faketime"],
        purpose: Purpose::Test,
        present: |machine| machine.program("faketime").is_some(),
    },
    Requirement {
        what: "PostgreSQL",
        why: "tests start a server of their own and read from it",
        packages: &["postgresql"],
        purpose: Purpose::Test,
        present: Machine::has_postgresql,
    },
    Requirement {
        what: "MariaDB",
        why: "tests start a server of their own and read from it",
        packages: &["mariadb-server-core", "mariadb-client-core"],
        purpose: Purpose::Test,
        present: |machine| {
            let server = machine.program("mariadbd").is_some()
                || machine.has_executable("usr/sbin/mariadbd");
            server && machine.program("mariadb").is_some()
        },
    },
    Requirement {
        what: "Python 3.10 or newer with venv",
        why: "an unmodified gRPC client in Python queries the product; buf comes the same way",
        packages: &["python3", "python3-venv"],
        purpose: Purpose::Test,
        present: |machine| python::is_ready() || python::interpreter(machine).is_some(),
    },
];

/// What benchmarks compare with or look through. Without it they run, and say what they did not measure.
const BENCH_REQUIREMENTS: &[Requirement] = &[
    Requirement {
        what: "etcd",
        why: "the chain is measured beside it",
        packages: &["etcd-server"],
        purpose: Purpose::Build,
        present: |machine| machine.program("etcd").is_some(),
    },
    Requirement {
        what: "perf",
        why: "it tells where processor time goes, and counts fsyncs",
        packages: &["linux-perf"],
        purpose: Purpose::Build,
        present: |machine| machine.program("perf").is_some(),
    },
];

/// Makes the machine ready for benchmarks. What cannot be installed is an error only if that was `asked` for;
/// else the benchmark does without, and how to install it is said.
pub(crate) fn bench(asked: bool) -> Result<()> {
    let machine = Machine::this();
    if lacking(BENCH_REQUIREMENTS, &machine, Purpose::Build).is_empty() {
        return Ok(());
    }
    let _lock = cache::lock()?;
    match install(BENCH_REQUIREMENTS, &machine, Purpose::Build) {
        Err(error) if !asked => {
            eprintln!("{error:#}\nGoing on without it.");
            Ok(())
        }
        done => done,
    }
}

/// Makes the machine ready for `purpose`. Where nothing is missing it takes milliseconds.
///
/// The Python tools come back in any case; below [`Purpose::Test`] they may not be there yet.
pub(crate) fn run(purpose: Purpose) -> Result<Tools> {
    let machine = Machine::this();
    if !missing(&machine, purpose).is_empty() || (purpose >= Purpose::Test && !python::is_ready()) {
        // Two set-ups at once (two terminals, two clones) would spoil each other's work.
        let _lock = cache::lock()?;
        install_packages(&machine, purpose)?;
        if purpose >= Purpose::Test && !python::is_ready() {
            let interpreter = python::interpreter(&machine)
                .context("the Python that was found a moment ago is gone")?;
            python::install(&interpreter)?;
        }
    }
    if purpose >= Purpose::Check {
        rust_components(&machine)?;
    }
    python::tools()
}

fn missing(machine: &Machine, purpose: Purpose) -> Vec<&'static Requirement> {
    lacking(REQUIREMENTS, machine, purpose)
}

fn lacking(
    all: &'static [Requirement],
    machine: &Machine,
    purpose: Purpose,
) -> Vec<&'static Requirement> {
    all.iter()
        .filter(|requirement| requirement.purpose <= purpose && !(requirement.present)(machine))
        .collect()
}

fn install_packages(machine: &Machine, purpose: Purpose) -> Result<()> {
    install(REQUIREMENTS, machine, purpose)
}

fn install(all: &'static [Requirement], machine: &Machine, purpose: Purpose) -> Result<()> {
    let wanted = lacking(all, machine, purpose);
    if wanted.is_empty() {
        return Ok(());
    }
    eprintln!("{}", style("This machine lacks:").for_stderr().bold());
    for requirement in &wanted {
        eprintln!("  - {} ({})", requirement.what, requirement.why);
    }
    let packages: Vec<_> = wanted
        .iter()
        .flat_map(|it| it.packages.iter().copied())
        .collect();
    let packages = packages.join(" ");

    if machine.program("apt-get").is_none() {
        bail!(
            "install them with your system's package manager (on Debian and Ubuntu: {packages}), then run this again"
        );
    }
    let Some(prefix) = root_prefix(machine) else {
        bail!(
            "installing needs root; run this, then the same command again:\n\n    \
             sudo apt-get update && sudo apt-get install -y {packages}\n"
        );
    };
    run_shown(&format!("{prefix}apt-get update"))?;
    // An interactive question of a package's configuration would wait for ever where nobody reads it.
    run_shown(&format!(
        "{prefix}env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages}"
    ))?;

    let still = lacking(all, machine, purpose);
    let still: Vec<_> = still.iter().map(|it| it.what).collect();
    ensure!(
        still.is_empty(),
        "apt-get installed {packages}, and still missing: {}",
        still.join(", ")
    );
    Ok(())
}

/// How to become root: nothing when we are, `sudo -n` when it asks for no password, else not at all.
fn root_prefix(machine: &Machine) -> Option<&'static str> {
    let answers = |command: &str| {
        let mut words = command.split_whitespace();
        let output = Command::new(words.next()?)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    };
    if answers("id -u").is_some_and(|uid| uid.trim_ascii() == b"0") {
        return Some("");
    }
    (machine.program("sudo").is_some() && answers("sudo -n true").is_some()).then_some("sudo -n ")
}

/// Runs a command whose words hold no spaces, showing it and what it prints.
fn run_shown(command: &str) -> Result<()> {
    eprintln!("{} {command}", style("running").for_stderr().cyan().bold());
    let mut words = command.split_whitespace();
    let program = words.next().context("an empty command")?;
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "`{command}` failed ({status})");
    Ok(())
}

/// rustfmt and clippy: minimal toolchains come without them.
fn rust_components(machine: &Machine) -> Result<()> {
    let lacks = |tool: &str| {
        let output = cargo()
            .args([tool, "--version"])
            .stdin(Stdio::null())
            .output();
        !output.is_ok_and(|output| output.status.success())
    };
    if !lacks("fmt") && !lacks("clippy") {
        return Ok(());
    }
    ensure!(
        machine.program("rustup").is_some(),
        "this Rust toolchain lacks rustfmt or clippy; install them as you installed Rust \
         (with rustup: rustup component add rustfmt clippy)"
    );
    run_shown("rustup component add rustfmt clippy")
}

/// Runs a quiet command behind a spinner; its output is shown only when it fails.
pub(crate) fn run_quiet(message: &str, command: &mut Command) -> Result<()> {
    let spinner = ProgressBar::new_spinner().with_message(message.to_owned());
    if spinner.is_hidden() {
        eprintln!("{message}");
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    spinner.finish_and_clear();
    ensure!(
        output.status.success(),
        "{command:?} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is missing for `purpose` on a machine that has `programs` on its path and no libraries.
    fn check(programs: &[&str], purpose: Purpose, expected: &[&str]) {
        let root = tempfile::tempdir().unwrap();
        for program in programs {
            let file = root.path().join(program);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Machine {
            path: vec![root.path().to_path_buf()],
            root: root.path().to_path_buf(),
            libclang_path: None,
        };
        let missing: Vec<_> = missing(&machine, purpose)
            .iter()
            // Whether Python counts as missing depends on the real cache folder, and is left to `python`.
            .filter(|it| !it.packages.contains(&"python3"))
            .flat_map(|it| it.packages.iter().copied())
            .collect();
        assert_eq!(missing, expected, "{programs:?} for {purpose:?}");
    }

    #[test]
    fn each_purpose_asks_for_what_it_needs_and_no_more() {
        check(
            &[],
            Purpose::Build,
            &["build-essential", "libclang-dev", "clang"],
        );
        check(
            &["cc"],
            Purpose::Build,
            &["build-essential", "libclang-dev", "clang"],
        );
        check(&["cc", "c++"], Purpose::Build, &["libclang-dev", "clang"]);
        check(
            &["cc", "c++"],
            Purpose::Test,
            &[
                "libclang-dev",
                "clang",
                "openssl",
                "faketime",
                "postgresql",
                "mariadb-server-core",
                "mariadb-client-core",
            ],
        );
        check(
            &[
                "cc", "c++", "openssl", "faketime", "initdb", "mariadbd", "mariadb",
            ],
            Purpose::Check,
            &["libclang-dev", "clang"],
        );
    }
}
