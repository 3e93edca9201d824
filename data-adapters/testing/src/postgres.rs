//! A PostgreSQL server with one database, for tests.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Issued;
use crate::server::{User, command, feed, folder, free_port, give, program, run, wait_for};

/// A running PostgreSQL server with a database `xinqiao` in UTF-8.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    user: Option<User>,
    port: u16,
    child: Option<Child>,
}

/// The administrator's name; over the server's own socket it needs no password.
const ADMIN: &str = "admin";

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// When the programs are missing or do not run.
    #[must_use]
    pub fn start() -> Self {
        let user = User::for_server(&["postgres"]);
        let dir = folder(user);
        let mut init = command(&tool("initdb"), user, false);
        init.args([
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
        ])
        .args(["--locale=C.UTF-8", "--no-sync", "-U", ADMIN, "-D"])
        .arg(dir.path().join("data"))
        .current_dir(dir.path());
        run(init, "initdb");
        let mut server = Self {
            dir,
            user,
            port: 0,
            child: None,
        };
        // A port that was free may be taken a moment later.
        let started = (0..5).any(|_| {
            server.port = free_port();
            server.resume()
        });
        assert!(started, "PostgreSQL does not start:\n{}", server.log());
        let mut create = server.client("psql", "postgres");
        create.args(["-c", "CREATE DATABASE xinqiao"]);
        run(create, "psql");
        server
    }

    /// Starts the server again after [`Self::stop`], on the same port with the same data; whether it runs.
    pub fn resume(&mut self) -> bool {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("the folder is ours");
        let mut server = command(&tool("postgres"), self.user, true);
        server
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .arg("-k")
            .arg(self.dir.path())
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
            ])
            .args(["-c", "fsync=off", "-c", "max_connections=50"])
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = server.spawn().expect("setpriv can be started");
        let ready = wait_for(&mut child, || {
            let mut ready = Command::new(tool("pg_isready"));
            ready.arg("-q").arg("-h").arg(self.dir.path());
            ready.args(["-p", &self.port.to_string()]);
            ready.status().is_ok_and(|status| status.success())
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
            let mut stop = command(&tool("pg_ctl"), self.user, false);
            stop.args(["stop", "-m", "immediate", "-D"])
                .arg(self.dir.path().join("data"))
                .current_dir(self.dir.path());
            let _ = stop.output();
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Takes connections over loopback under TLS only, from now on. Starts the server again.
    ///
    /// # Panics
    /// When it does not come up again.
    pub fn require_tls(&mut self, issued: &Issued) {
        let data = self.dir.path().join("data");
        for path in <[PathBuf; 2]>::from(issued.write(&data)) {
            give(&path, self.user);
        }
        let mut settings = fs::read_to_string(data.join("postgresql.conf")).expect("it is there");
        settings += "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n";
        fs::write(data.join("postgresql.conf"), settings).expect("the folder is ours");
        let doors = "local all all trust\nhostssl all all all scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), doors).expect("the folder is ours");
        self.stop();
        assert!(self.resume(), "PostgreSQL does not start:\n{}", self.log());
    }

    /// Runs statements as the administrator; what they print.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, statements: &str) -> String {
        let mut client = self.client("psql", "xinqiao");
        client.args(["-v", "ON_ERROR_STOP=1", "-f", "-"]);
        feed(client, statements, "psql")
    }

    /// The URL of a connection over loopback.
    #[must_use]
    pub fn url(&self, user: &str, password: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/xinqiao",
            self.port
        )
    }

    fn client(&self, name: &str, database: &str) -> Command {
        let mut client = Command::new(tool(name));
        client.args(["-X", "-q", "-A", "-t", "-U", ADMIN, "-d", database, "-h"]);
        client
            .arg(self.dir.path())
            .args(["-p", &self.port.to_string()]);
        client
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian keeps the server's programs off PATH, in a folder a version.
fn tool(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    folders.sort();
    folders.reverse();
    program(name, &folders)
}
