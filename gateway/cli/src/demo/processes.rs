//! The processes of the demo: started by this program, each from its configuration file, and
//! stopped by it, whatever happens.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a process may take to say that it is ready.
const READY: Duration = Duration::from_secs(60);

/// How long a process may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// A running process. Dropping it kills it.
pub struct Process {
    /// What it is, such as `sh-bureau/node`.
    pub name: String,
    kind: String,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `xinqiao KIND --config CONFIG` and waits until it says that it is ready.
    pub async fn start(org: &str, kind: &str, config: &Path) -> Result<Self> {
        let log = config.with_extension("log");
        let child = launch(kind, config, &log)?;
        let mut process = Self {
            name: format!("{org}/{kind}"),
            kind: kind.to_owned(),
            config: config.to_owned(),
            log,
            child,
        };
        process.wait_ready().await?;
        Ok(process)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let out = self
            .child
            .stdout
            .take()
            .context("the process has no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("ready ") {
                    return Ok(true);
                }
            }
            Ok::<_, std::io::Error>(false)
        };
        match timeout(READY, ready).await {
            Ok(Ok(true)) => {
                // Its further output is drained, so that a full pipe never stops it.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(())
            }
            Ok(Ok(false)) => {
                let tail = tail(&self.log);
                bail!(
                    "{} ended before it was ready; its log ends with:\n{tail}",
                    self.name
                )
            }
            Ok(Err(fault)) => Err(fault).with_context(|| format!("reading from {}", self.name)),
            Err(_) => bail!("{} was not ready after {} s", self.name, READY.as_secs()),
        }
    }

    /// Whether it is a `node`, `gateway`, `holder`, `agent` or `observer`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Kills it at once, as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("killing {}", self.name))
    }

    /// Starts it again after it was killed.
    pub async fn restart(&mut self) -> Result<()> {
        self.child = launch(&self.kind, &self.config, &self.log)?;
        self.wait_ready().await
    }

    /// Asks it to stop, and kills it if it does not.
    pub async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let asked = Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status()
                .await;
            if asked.is_ok() && timeout(STOP, self.child.wait()).await.is_ok() {
                return;
            }
        }
        // It is gone already, or does not listen: either way nothing is left running.
        let _ = self.child.kill().await;
    }
}

fn launch(kind: &str, config: &Path, log: &Path) -> Result<Child> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    Command::new(program)
        .arg(kind)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C reaches the demo alone, which then stops everyone in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start xinqiao {kind}"))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
