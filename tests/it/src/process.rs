//! Real processes of the `xinqiao` binary: finding it, starting it, killing it, and seeing what is left.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a process may take to say that it is ready.
pub const READY: Duration = Duration::from_secs(60);

/// How long a process may take to stop in order.
pub const STOP: Duration = Duration::from_secs(30);

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

/// What a process prints that finds its port taken. Ports are found free when a consortium is founded and
/// bound when its processes start: in between, another program's connection may get one.
pub const PORT_TAKEN: &str = "Address already in use";

/// How often a consortium is founded anew, with other ports, because one of its ports was taken.
pub const FOUNDINGS: usize = 5;

/// Runs `xinqiao demo` in that folder to its end, and gives what it printed.
///
/// # Panics
/// When it fails.
pub async fn demo(dir: &Path, args: &[&str], within: Duration) -> String {
    let all = [&["demo", "--dir", dir.to_str().expect("a path")], args].concat();
    for _ in 1..FOUNDINGS {
        let output = run(&all, within).await;
        let printed = printed(&output);
        if output.status.success() {
            return printed;
        }
        assert!(
            printed.contains(PORT_TAKEN),
            "the demo ended with {}:\n{printed}",
            output.status
        );
        std::fs::remove_dir_all(dir).expect("the folder can be removed");
    }
    panic!("ports were taken {FOUNDINGS} times");
}

/// A long-running process, such as `xinqiao node`. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// A program, with its arguments, that it runs under; mostly none.
    under: Vec<String>,
    kind: String,
    config: PathBuf,
    log: PathBuf,
    /// How long the log was when it was started.
    logged: usize,
    child: Child,
    address: Option<SocketAddr>,
}

impl Process {
    /// Starts `xinqiao KIND --config CONFIG` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; shows the end of its log.
    pub async fn start(kind: &str, config: &Path) -> Self {
        Self::start_under(&[], kind, config).await
    }

    /// The same under another program, such as one that gives it a wrong clock.
    ///
    /// # Panics
    /// When it does not get ready; shows the end of its log.
    pub async fn start_under(under: &[&str], kind: &str, config: &Path) -> Self {
        let log = config.with_extension("log");
        let under: Vec<String> = under.iter().map(|&part| part.to_owned()).collect();
        let mut process = Self {
            logged: length(&log),
            child: launch(&under, kind, config, &log),
            under,
            kind: kind.to_owned(),
            config: config.to_owned(),
            log,
            address: None,
        };
        process.up().await;
        process
    }

    /// Waits until it is ready, and starts it again for as long as its port is taken.
    async fn up(&mut self) {
        let begun = Instant::now();
        while let Err(why) = self.wait_ready().await {
            let log = std::fs::read(&self.log).unwrap_or_default();
            let new = String::from_utf8_lossy(log.get(self.logged..).unwrap_or_default());
            assert!(
                new.contains(PORT_TAKEN) && begun.elapsed() < READY,
                "{} {why} ({}); its log ends with:\n{}",
                self.kind,
                self.config.display(),
                tail(&self.log, 20)
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.relaunch();
        }
    }

    async fn wait_ready(&mut self) -> Result<(), &'static str> {
        let out = self.child.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(out).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix("ready ") {
                    return address.parse().ok();
                }
            }
            None
        };
        match timeout(READY, ready).await {
            Ok(Some(address)) => self.address = Some(address),
            Ok(None) => return Err("ended before it was ready"),
            Err(_) => return Err("did not get ready"),
        }
        // A full pipe must never stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }

    fn relaunch(&mut self) {
        self.logged = length(&self.log);
        self.child = launch(&self.under, &self.kind, &self.config, &self.log);
    }

    /// Where it says that it listens.
    ///
    /// # Panics
    /// Never: whoever has a process waited until it said so.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it was ready")
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

    /// Asks it to stop (SIGTERM) and waits until it has, with everything written.
    ///
    /// # Panics
    /// When it does not stop in its time, or not in order.
    pub async fn stop(mut self) {
        signal(self.child.id().expect("it still runs"), "TERM");
        let status = timeout(STOP, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("{} goes on after SIGTERM", self.config.display()))
            .expect("its state can be asked for");
        assert!(
            status.success(),
            "{} ended with {status}; its log ends with:\n{}",
            self.config.display(),
            tail(&self.log, 20)
        );
    }

    /// Waits until it ends by itself; gives whether that was in order, and the end of its log.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn ended(&mut self) -> (bool, String) {
        let status = timeout(STOP, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("{} goes on", self.config.display()))
            .expect("its state can be asked for");
        (status.success(), tail(&self.log, 20))
    }

    /// Makes it hang (SIGSTOP): its connections stay, and nothing answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&self) {
        signal(self.child.id().expect("it still runs"), "STOP");
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When it does not run.
    pub fn go_on(&self) {
        signal(self.child.id().expect("it still runs"), "CONT");
    }

    /// Starts it again after it was killed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&mut self) {
        self.relaunch();
        self.up().await;
    }
}

fn length(log: &Path) -> usize {
    std::fs::read(log).map_or(0, |bytes| bytes.len())
}

fn launch(under: &[String], kind: &str, config: &Path, log: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("the log can be written");
    let program = xinqiao();
    let mut command = match under.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
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
