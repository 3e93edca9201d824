//! What all servers have: programs, users, folders, ports, and an end.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for a server to begin; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whom a server runs as, where this process is root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None`: this process is not root, and so are its children.
    pub(crate) fn for_server(names: &[&str]) -> Option<Self> {
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !root {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let find = |name: &str| {
            users.lines().find_map(|line| {
                let parts: Vec<&str> = line.split(':').collect();
                let [user, _, uid, gid, ..] = parts.as_slice() else {
                    return None;
                };
                (*user == name).then(|| {
                    Some(Self {
                        uid: uid.parse().ok()?,
                        gid: gid.parse().ok()?,
                    })
                })?
            })
        };
        let found = names.iter().copied().chain(["nobody"]).find_map(find);
        Some(found.expect("every system has a user nobody"))
    }
}

/// The path of a program: on PATH or in one of some folders.
pub(crate) fn program(name: &str, folders: &[PathBuf]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("there is no {name}: run `cargo xtask setup`, or `cargo xtask test`")
        })
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A folder that the server's user owns.
pub(crate) fn folder(user: Option<User>) -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("xinqiao-test-")
        .tempdir()
        .expect("a temporary folder can be made");
    if let Some(user) = user {
        chown(folder.path(), Some(user.uid), Some(user.gid)).expect("root may give folders away");
    }
    folder
}

/// Makes a file the server's user's, and nobody else's to read.
pub(crate) fn give(path: &Path, user: Option<User>) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    if let Some(user) = user {
        chown(path, Some(user.uid), Some(user.gid)).expect("root may give files away");
    }
}

/// A command as the server's user. With `lives` it dies with the thread that starts it.
pub(crate) fn command(program: &Path, user: Option<User>, lives: bool) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.arg(format!("--reuid={}", user.uid));
        command.arg(format!("--regid={}", user.gid));
        command.arg("--clear-groups");
    }
    if lives {
        command.arg("--pdeathsig=KILL");
    }
    command
        .arg("--no-new-privs")
        .arg("--")
        .arg(program)
        .stdin(Stdio::null());
    // What the tests' environment says to clients is not meant for these.
    for name in [
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGDATA",
        "PGOPTIONS",
    ] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a command to its end, which must be good.
pub(crate) fn run(mut command: Command, what: &str) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{what} cannot be started: {e}"));
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a client with statements on its standard input.
pub(crate) fn feed(mut command: Command, statements: &str, what: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{what} cannot be started: {e}"));
    let mut input = child.stdin.take().expect("its input is a pipe");
    let statements = statements.to_owned();
    let feeder = thread::spawn(move || input.write_all(statements.as_bytes()));
    let output = child.wait_with_output().expect("the client ends");
    feeder.join().expect("feeding does not panic").ok();
    assert!(
        output.status.success(),
        "{what} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until a server answers; `None` when it ended instead.
pub(crate) fn wait_for(child: &mut Child, answers: impl Fn() -> bool) -> Option<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if answers() {
            return Some(());
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}
