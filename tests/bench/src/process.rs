//! The processes that are measured: started, asked to stop, and killed when this program ends whatever happens.

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
const READY: Duration = Duration::from_secs(90);

/// How long it may take to stop in order.
const STOP: Duration = Duration::from_secs(30);

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    id: u32,
    log: PathBuf,
}

/// The product's program, built beside this one.
pub(crate) fn xinqiao() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("xinqiao"))
        .find(|program| program.is_file())
        .context("there is no `xinqiao` beside this program: `cargo xtask bench chain` builds both")
}

impl Process {
    /// Starts `xinqiao node`; [`Self::ready`] waits until it serves.
    pub(crate) fn node(config: &Path) -> Result<Self> {
        let mut command = Command::new(xinqiao()?);
        command.arg("node").arg("--config").arg(config);
        Self::spawn(command, &config.with_extension("log"))
    }

    /// Starts any program; what it complains of goes to the log.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{:?} cannot be started", command.as_std().get_program()))?;
        Ok(Self {
            id: child.id().context("the process has ended already")?,
            child,
            log: log.to_owned(),
        })
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let out = self
            .child
            .stdout
            .take()
            .context("its output is read once")?;
        let mut lines = BufReader::new(out).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("ready ") {
                    return true;
                }
            }
            false
        };
        match timeout(READY, ready).await {
            Ok(true) => {
                // A full pipe must never stop it.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(())
            }
            Ok(false) => bail!("a node ended before it was ready: {}", self.last_words()),
            Err(_) => bail!("a node was not ready after {} s", READY.as_secs()),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it complained of.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }

    /// Asks it to stop, waits until it has, and kills it if it does not.
    pub(crate) async fn stop(mut self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.id.to_string()])
            .stderr(Stdio::null())
            .status()
            .await;
        if asked.is_ok() && timeout(STOP, self.child.wait()).await.is_ok() {
            return;
        }
        // It is gone already, or does not listen: either way nothing is left running.
        let _ = self.child.kill().await;
    }
}
