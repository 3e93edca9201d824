//! A MariaDB server with one database, for tests.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Issued;
use crate::server::{User, command, feed, folder, free_port, give, program, run, wait_for};

/// A running MariaDB server with a database `xinqiao` in utf8mb4.
#[derive(Debug)]
pub struct MariaDb {
    dir: TempDir,
    user: Option<User>,
    port: u16,
    child: Option<Child>,
    /// Certificate and key, where connections over loopback must be under TLS.
    tls: Option<(PathBuf, PathBuf)>,
}

impl MariaDb {
    /// Starts one.
    ///
    /// # Panics
    /// When the programs are missing or do not run.
    #[must_use]
    pub fn start() -> Self {
        let user = User::for_server(&["mysql"]);
        let dir = folder(user);
        let mut init = command(&tool("mariadb-install-db"), user, false);
        init.args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args([
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-use-native-aio=0",
            ])
            .args(["--innodb-buffer-pool-size=16M", "--verbose"])
            .arg(format!("--tmpdir={}", dir.path().display()))
            .arg(format!("--datadir={}", dir.path().join("data").display()))
            .current_dir(dir.path());
        run(init, "mariadb-install-db");
        let mut server = Self {
            dir,
            user,
            port: 0,
            child: None,
            tls: None,
        };
        // A port that was free may be taken a moment later.
        let started = (0..5).any(|_| {
            server.port = free_port();
            server.resume()
        });
        assert!(started, "MariaDB does not start:\n{}", server.log());
        feed(
            server.client(),
            "CREATE DATABASE xinqiao CHARACTER SET utf8mb4",
            "mariadb",
        );
        server
    }

    /// Starts the server again after [`Self::stop`], on the same port with the same data; whether it runs.
    pub fn resume(&mut self) -> bool {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("the folder is ours");
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut server = command(&tool("mariadbd"), self.user, true);
        server
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-log-bin",
            ])
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=32M",
            ])
            .arg("--innodb-use-native-aio=0")
            .arg(format!("--tmpdir={}", self.dir.path().display()))
            .args(["--skip-name-resolve", "--character-set-server=utf8mb4"])
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={}", self.port))
            .args(self.tls.iter().flat_map(|(certificate, key)| {
                [
                    "--require-secure-transport=ON".to_owned(),
                    format!("--ssl-cert={}", certificate.display()),
                    format!("--ssl-key={}", key.display()),
                ]
            }))
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = server.spawn().expect("setpriv can be started");
        let ready = wait_for(&mut child, || {
            let mut client = self.client();
            client.args(["-e", "SELECT 1"]).stdin(Stdio::null());
            client.output().is_ok_and(|output| output.status.success())
        });
        self.child = Some(child);
        if ready.is_none() {
            self.stop();
        }
        ready.is_some()
    }

    /// Ends the server at once, as a crash would: connections break off.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Takes connections over loopback under TLS only, from now on. Starts the server again.
    ///
    /// # Panics
    /// When it does not come up again.
    pub fn require_tls(&mut self, issued: &Issued) {
        let (certificate, key) = issued.write(self.dir.path());
        give(&certificate, self.user);
        give(&key, self.user);
        self.tls = Some((certificate, key));
        self.stop();
        assert!(self.resume(), "MariaDB does not start:\n{}", self.log());
    }

    /// Runs statements as the administrator, in the database; what they print.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, statements: &str) -> String {
        let mut client = self.client();
        client.args([
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            "xinqiao",
        ]);
        feed(client, statements, "mariadb")
    }

    /// The URL of a connection over loopback.
    #[must_use]
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/xinqiao", self.port)
    }

    fn client(&self) -> Command {
        let mut client = Command::new(tool("mariadb"));
        let socket = self.dir.path().join("socket");
        client.arg("--no-defaults").args(["-u", "root"]);
        client.arg(format!("--socket={}", socket.display()));
        client
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian keeps the server where only root's PATH leads.
fn tool(name: &str) -> PathBuf {
    program(name, &[PathBuf::from("/usr/sbin")])
}
