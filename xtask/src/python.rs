//! The Python tools of the tests: one virtual environment in the cache folder, with every version pinned.
//! It holds the gRPC packages that the client library in `clients/python` is made and run with, mypy, which checks its
//! types, and buf, whose official wheel needs no Node.
//!
//! That library is the only Python of the product; whoever uses it installs it with pip.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cache;
use crate::machine::Machine;
use crate::setup::run_quiet;

/// The packages and their versions.
const PINNED: &str = include_str!("../requirements.txt");

/// A Python that can make the environment: new enough for the pinned packages, with `venv` whole
/// (Debian ships `venv` apart, and without `ensurepip` it fails half-way).
const SUITABLE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// Paths of the installed tools.
pub(crate) struct Tools {
    /// A Python with the gRPC packages; tests find it as `XINQIAO_PYTHON`.
    pub(crate) python: PathBuf,
    /// The buf program; tests find it as `XINQIAO_BUF`.
    pub(crate) buf: PathBuf,
}

/// Where the tools are, installed or not.
pub(crate) fn tools() -> Result<Tools> {
    let bin = environment()?.join("bin");
    Ok(Tools {
        python: bin.join("python3"),
        buf: bin.join("buf"),
    })
}

/// Whether exactly the pinned versions are installed and their Python still exists.
pub(crate) fn is_ready() -> bool {
    let (Ok(tools), Ok(stamp)) = (tools(), stamp()) else {
        return false;
    };
    // `is_file` follows links: an upgrade of the system's Python leaves the environment's dangling.
    tools.python.is_file()
        && tools.buf.is_file()
        && fs::read_to_string(stamp).is_ok_and(|installed| installed == PINNED)
}

/// The first suitable Python: the one on `PATH`, else the system's own.
pub(crate) fn interpreter(machine: &Machine) -> Option<PathBuf> {
    let system = machine.root.join("usr/bin/python3");
    machine
        .program("python3")
        .into_iter()
        .chain([system])
        .find(|python| {
            Command::new(python)
                .args(["-c", SUITABLE])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
}

/// Makes the environment anew and installs the pinned packages.
pub(crate) fn install(python: &Path) -> Result<()> {
    let environment = environment()?;
    run_quiet(
        "Making the Python environment of the tests",
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    // The list in the environment is the same that is compared with afterwards: no path into the clone is needed.
    let list = environment.join("requirements.txt");
    fs::write(&list, PINNED).with_context(|| format!("cannot write {}", list.display()))?;
    run_quiet(
        "Downloading gRPC for Python, mypy and buf (about 70 MB, once)",
        Command::new(tools()?.python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ])
            // Building gRPC from source would take an hour: better to be told that there is no wheel.
            .args([
                OsStr::new("--only-binary=:all:"),
                OsStr::new("--requirement"),
                list.as_os_str(),
            ]),
    )?;
    // Last, so that an interrupted installation does not count.
    fs::rename(&list, stamp()?).context("cannot mark the Python environment as complete")
}

fn environment() -> Result<PathBuf> {
    Ok(cache::folder()?.join("venv"))
}

fn stamp() -> Result<PathBuf> {
    Ok(environment()?.join("installed.txt"))
}
