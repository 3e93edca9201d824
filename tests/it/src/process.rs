//! Real processes of the `xinqiao` binary: finding it, starting it, killing it, and seeing what is left.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a process may take to say that it is ready.
pub const READY: Duration = Duration::from_secs(60);

/// The binary, built beside the tests.
///
/// # Panics
/// When it is not there; says which command builds it.
#[must_use]
pub fn xinqiao() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    let program = own
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("xinqiao"))
        .find(|program| program.is_file());
    program.unwrap_or_else(|| {
        panic!(
            "there is no `xinqiao` beside {}: `cargo xtask test` builds it before the tests, \
             and so does `cargo build --workspace --bins --tests`",
            own.display()
        )
    })
}

/// Runs `xinqiao` to its end, and gives what it printed.
///
/// # Panics
/// When it does not end within the time given.
pub async fn run(args: &[&str], within: Duration) -> Output {
    let child = Command::new(xinqiao())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("XINQIAO_PROFILE")
        .env_remove("XINQIAO_AGENT")
        .kill_on_drop(true)
        .spawn()
        .expect("xinqiao can be started");
    timeout(within, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("`xinqiao {}` did not end within {within:?}", args.join(" ")))
        .expect("its output can be read")
}

/// Standard output and error of a process as text.
#[must_use]
pub fn printed(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A long-running process, such as `xinqiao node`. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    kind: String,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `xinqiao KIND --config CONFIG` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; shows the end of its log.
    pub async fn start(kind: &str, config: &Path) -> Self {
        let log = config.with_extension("log");
        let mut process = Self {
            child: launch(kind, config, &log),
            kind: kind.to_owned(),
            config: config.to_owned(),
            log,
        };
        process.wait_ready().await;
        process
    }

    async fn wait_ready(&mut self) {
        let out = self.child.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(out).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("ready ") {
                    return true;
                }
            }
            false
        };
        let said = timeout(READY, ready).await;
        assert!(
            matches!(said, Ok(true)),
            "{} {} ({}); its log ends with:\n{}",
            self.kind,
            if said.is_err() {
                "did not get ready"
            } else {
                "ended before it was ready"
            },
            self.config.display(),
            tail(&self.log, 20)
        );
        // A full pipe must never stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    }

    /// Kills it at once (SIGKILL), as a power cut would, and reaps it.
    ///
    /// # Panics
    /// When it had ended by itself before.
    pub async fn kill(&mut self) {
        let before = self.child.try_wait().expect("its state can be asked for");
        assert!(
            before.is_none(),
            "{} ended by itself ({before:?}); its log ends with:\n{}",
            self.config.display(),
            tail(&self.log, 20)
        );
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again after it was killed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&mut self) {
        self.child = launch(&self.kind, &self.config, &self.log);
        self.wait_ready().await;
    }
}

fn launch(kind: &str, config: &Path, log: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("the log can be written");
    Command::new(xinqiao())
        .arg(kind)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("xinqiao can be started")
}

/// The last lines of a file; nothing if it is not there.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Ids and command lines of running processes (other than this one) that name this folder.
#[must_use]
pub fn naming(folder: &Path) -> Vec<(u32, String)> {
    let wanted = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if id != std::process::id() && line.contains(&wanted) {
            found.push((id, line.trim().to_owned()));
        }
    }
    found
}

/// Sends a signal to one process.
pub fn signal(id: u32, name: &str) {
    let _ = std::process::Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .stderr(Stdio::null())
        .status();
}
