//! A whole consortium on this machine: `xinqiao demo --keep`, from its start until the test lets go of it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    people::People,
    process::{self, tail},
};

/// How long a consortium may take until everything runs.
const START: Duration = Duration::from_secs(240);

/// How long it may take to stop in order.
const STOP: Duration = Duration::from_secs(40);

/// A running consortium. Dropping it stops every process of it.
#[derive(Debug)]
pub struct Consortium {
    folder: Option<TempDir>,
    dir: PathBuf,
    demo: Option<Child>,
    running: Running,
}

/// What `running.json` says.
#[derive(Debug, Clone)]
pub struct Running {
    /// The agent's address, `http://host:port`.
    pub agent: String,
    /// The genesis file.
    pub genesis: PathBuf,
    /// A purpose that consent was given for.
    pub purpose: String,
    /// A user of the bank that it has opened.
    pub user: String,
    /// Codes of enterprises; the first one has given consent to everything.
    pub enterprises: Vec<String>,
    profiles: Value,
}

impl Running {
    fn read(file: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let text = |name: &str| Some(value[name].as_str()?.to_owned());
        Some(Self {
            agent: text("agent")?,
            genesis: text("genesis")?.into(),
            purpose: text("purpose")?,
            user: text("user")?,
            enterprises: value["enterprises"]
                .as_array()?
                .iter()
                .filter_map(|code| Some(code.as_str()?.to_owned()))
                .collect(),
            profiles: value["profiles"].clone(),
        })
    }

    /// The profile of a person of that organisation.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn profile(&self, org: &str) -> PathBuf {
        self.profiles[org]
            .as_str()
            .unwrap_or_else(|| panic!("running.json has no profile for {org}"))
            .into()
    }
}

impl Consortium {
    /// Starts one of 60 enterprises, in which nobody has asked anything yet.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further arguments of `xinqiao demo`; another number of enterprises may be one of them.
    ///
    /// # Panics
    /// When it does not come up; shows what it printed and the ends of its processes' logs.
    pub async fn start_with(args: &[&str]) -> Self {
        for founding in 1.. {
            match Self::found(args).await {
                Ok(consortium) => return consortium,
                Err(why) => assert!(
                    why.contains(process::PORT_TAKEN) && founding < process::FOUNDINGS,
                    "{why}"
                ),
            }
        }
        unreachable!("the last founding comes up or fails")
    }

    /// Founds one and waits until all of it runs; says why it does not.
    async fn found(args: &[&str]) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("xinqiao-it-")
            .tempdir()
            .expect("a temporary folder");
        let dir = folder.path().join("consortium");
        let printed = folder.path().join("demo.out");
        let out = File::create(&printed).expect("a file for its output");
        let demo = Command::new(process::xinqiao())
            .arg("demo")
            .arg("--dir")
            .arg(&dir)
            .args(["--keep", "--no-queries"])
            .args(match args.contains(&"--enterprises") {
                true => &[][..],
                false => &["--enterprises", "60"][..],
            })
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .expect("xinqiao can be started");
        let mut consortium = Self {
            folder: Some(folder),
            demo: Some(demo),
            running: Running {
                agent: String::new(),
                genesis: PathBuf::new(),
                purpose: String::new(),
                user: String::new(),
                enterprises: Vec::new(),
                profiles: Value::Null,
            },
            dir,
        };
        let begun = Instant::now();
        loop {
            if let Some(running) = Running::read(&consortium.dir.join("running.json")) {
                consortium.running = running;
                return Ok(consortium);
            }
            let ended = consortium
                .demo
                .as_mut()
                .and_then(|demo| demo.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() >= START {
                return Err(format!(
                    "`xinqiao demo --keep` {}; it printed:\n{}\n{}",
                    ended.map_or_else(
                        || format!("was not ready after {START:?}"),
                        |status| format!("ended ({status})")
                    ),
                    tail(&printed, 60),
                    consortium.logs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says of itself.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The people and processes in it.
    #[must_use]
    pub fn people(&self) -> People {
        People::of(&self.dir)
    }

    /// Stops all of its processes in order and leaves its files, so that a test can look at them or start
    /// the processes itself.
    ///
    /// # Panics
    /// When one of them is still there after that.
    pub async fn stop(&mut self) {
        if let Some(mut demo) = self.demo.take() {
            process::signal(demo.id().expect("the demo still runs"), "TERM");
            let status = tokio::time::timeout(STOP, demo.wait())
                .await
                .expect("the demo stops within its time")
                .expect("its state can be asked for");
            assert!(status.success(), "the demo ended with {status} on SIGTERM");
        }
        let left = process::naming(&self.dir);
        assert!(left.is_empty(), "the demo left processes behind: {left:?}");
    }

    /// The ends of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for org in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            for file in std::fs::read_dir(org.path())
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = file.path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    all.push_str(&format!("--- {}\n{}\n", path.display(), tail(&path, 15)));
                }
            }
        }
        all
    }
}

impl Drop for Consortium {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if let Some(folder) = self.folder.take() {
                eprintln!("everything it wrote is left in {}", folder.keep().display());
            }
        }
        if let Some(demo) = self.demo.as_ref().and_then(Child::id) {
            process::signal(demo, "TERM");
        }
        let begun = Instant::now();
        while !gone(&self.dir, self.demo.as_mut()) && begun.elapsed() < STOP {
            std::thread::sleep(Duration::from_millis(50));
        }
        for (id, _) in process::naming(&self.dir) {
            process::signal(id, "KILL");
        }
    }
}

/// Whether the demo has ended and no process names the folder any more.
fn gone(dir: &Path, demo: Option<&mut Child>) -> bool {
    demo.is_none_or(|demo| !matches!(demo.try_wait(), Ok(None))) && process::naming(dir).is_empty()
}
