//! PostgreSQL and MariaDB, each as a server of its own.

use std::fs;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xinqiao_data_adapters::{Checkpoint, Error, FetchError, Mapping, OpenOptions, Reason, Source};
use xinqiao_data_testing::{Issued, Issuer, MariaDb, Postgres};

use crate::data::{Data, ITEMS, block_on, conforms, data, records, uscc};

enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    fn sql(&self, statements: &str) -> String {
        match self {
            Self::Postgres(server) => server.sql(statements),
            Self::MariaDb(server) => server.sql(statements),
        }
    }

    fn url(&self, user: &str, password: &str) -> String {
        match self {
            Self::Postgres(server) => server.url(user, password),
            Self::MariaDb(server) => server.url(user, password),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mysql",
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Postgres(server) => server.stop(),
            Self::MariaDb(server) => server.stop(),
        }
    }

    fn require_tls(&mut self, issued: &Issued) {
        match self {
            Self::Postgres(server) => server.require_tls(issued),
            Self::MariaDb(server) => server.require_tls(issued),
        }
    }

    fn resume(&mut self) {
        let runs = match self {
            Self::Postgres(server) => server.resume(),
            Self::MariaDb(server) => server.resume(),
        };
        assert!(runs, "the server starts again");
    }

    /// Tables with real types, and a role that may only read them.
    fn fill(&self, data: &Data) {
        let moment = match self {
            Self::Postgres(_) => "timestamp",
            Self::MariaDb(_) => "datetime",
        };
        let quote = |cell: &String| match cell.as_str() {
            "" => "NULL".to_owned(),
            text => format!("'{}'", text.replace('\'', "''")),
        };
        let mut sql = format!(
            "CREATE TABLE enterprise (code varchar(64), updated date, name varchar(200), \
             founded {moment}, staff varchar(20), capital varchar(40), other varchar(9)); \
             CREATE INDEX by_code ON enterprise (code); \
             CREATE TABLE holder (code varchar(64), holder varchar(200), paid decimal(18,2), since date); \
             CREATE TABLE years (code char(18), year varchar(9), revenue decimal(20,6)); "
        );
        for row in &data.main {
            let cells: Vec<String> = row.iter().map(quote).collect();
            sql += &format!(
                "INSERT INTO enterprise VALUES ({}, 'x');\n",
                cells.join(", ")
            );
        }
        for row in &data.holders {
            let cells: Vec<String> = row.iter().map(quote).collect();
            sql += &format!("INSERT INTO holder VALUES ({});\n", cells.join(", "));
        }
        for row in &data.years {
            let cells: Vec<String> = row.iter().map(quote).collect();
            sql += &format!("INSERT INTO years VALUES ({});\n", cells.join(", "));
        }
        self.sql(&sql);
        self.role("reader", "SELECT", &["enterprise", "holder", "years"]);
    }

    fn role(&self, name: &str, rights: &str, tables: &[&str]) {
        let mut sql = match self {
            Self::Postgres(_) => format!("CREATE ROLE {name} LOGIN PASSWORD 'secret-{name}';"),
            Self::MariaDb(_) => format!("CREATE USER {name}@'%' IDENTIFIED BY 'secret-{name}';"),
        };
        for table in tables {
            sql += &match self {
                Self::Postgres(_) => format!("GRANT {rights} ON {table} TO {name};"),
                Self::MariaDb(_) => format!("GRANT {rights} ON {table} TO {name}@'%';"),
            };
        }
        self.sql(&sql);
    }
}

const HEAD: &str = r#"[source]
name = "register"
kind = "KIND"
table = "enterprise"
subject = "code"
as_of = { column = "updated" }

[source.database]
url_file = "url"
statement_timeout_ms = 2000
max_connections = 3

[[related]]
name = "holders"
table = "holder"
subject = "code"

[[related]]
name = "years"
table = "years"
subject = "code"
"#;

struct Folder(TempDir);

impl Folder {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join("url"), url).expect("written");
        Self(dir)
    }

    fn mapping(&self, kind: &str, text: &str) -> Mapping {
        let text = text.replace("KIND", kind);
        Mapping::parse(&text, &self.0.path().join("m.toml")).expect("a good mapping")
    }
}

fn reader(server: &Server, mapping: &str) -> Result<Box<dyn Source>, Error> {
    let folder = Folder::new(&server.url("reader", "secret-reader"));
    xinqiao_data_adapters::open(folder.mapping(server.kind(), mapping))
}

fn conform(server: &Server) {
    let data = data(false);
    server.fill(&data);
    let source = reader(server, &format!("{HEAD}{ITEMS}")).expect("it opens");
    conforms(source.as_ref(), &data);
    many_at_once(source.as_ref());
    drifts(server, source.as_ref());
    refuses_who_could_write(server);
    refuses_what_is_not_there(server);
    waits_no_longer_than_allowed(server);
}

#[test]
fn postgresql_conforms() {
    conform(&Server::Postgres(Postgres::start()));
}

#[test]
fn mariadb_conforms() {
    conform(&Server::MariaDb(MariaDb::start()));
}

/// More fetches than connections, some of them abandoned half-way.
fn many_at_once(source: &dyn Source) {
    block_on(async {
        let mut abandoned = Vec::new();
        for number in 0..20 {
            let patience = Duration::from_micros(200 * number);
            let code = uscc(11);
            abandoned.push(async move {
                tokio::time::timeout(patience, source.fetch(&code))
                    .await
                    .ok()
            });
        }
        let all = futures::future::join_all(abandoned);
        let codes: Vec<_> = (0..60).map(uscc).collect();
        let wanted = futures::future::join_all(codes.iter().map(|code| source.fetch(code)));
        let (_, found) = futures::future::join(all, wanted).await;
        for (found, code) in found.into_iter().zip(&codes) {
            assert_eq!(found.expect("found").uscc, *code);
        }
    });
}

/// A column goes while the source is open: that is said, and once it is back, so is all else.
fn drifts(server: &Server, source: &dyn Source) {
    server.sql("ALTER TABLE holder RENAME COLUMN paid TO paid_in");
    let fetched = block_on(source.fetch(&uscc(11)));
    assert!(
        matches!(&fetched, Err(FetchError::Schema(said)) if said.contains("paid")),
        "{fetched:?}"
    );
    match source.scan(None).map(|_| ()) {
        Err(Error::Schema { table, message }) => {
            assert_eq!(table, "holder");
            assert!(message.contains("no column \"paid\""), "{message}");
        }
        other => panic!("{other:?}"),
    }
    server.sql("ALTER TABLE holder RENAME COLUMN paid_in TO paid");
    assert!(block_on(source.fetch(&uscc(11))).is_ok());

    // Of another type: the cells say so themselves, row by row, and other subjects are not touched.
    let change = match server {
        Server::Postgres(_) => {
            "ALTER TABLE enterprise ALTER COLUMN founded TYPE text USING 'some day';"
        }
        Server::MariaDb(_) => {
            "ALTER TABLE enterprise MODIFY founded varchar(40); \
                               UPDATE enterprise SET founded = 'some day';"
        }
    };
    server.sql(change);
    server.sql("UPDATE enterprise SET founded = NULL WHERE name LIKE '企业2%'");
    let fetched = block_on(source.fetch(&uscc(11)));
    assert!(
        matches!(
            &fetched,
            Err(FetchError::Bad {
                reason: Reason::WrongType,
                ..
            })
        ),
        "{fetched:?}"
    );
    let found = records(source);
    assert!(found.contains_key(&uscc(22)) && !found.contains_key(&uscc(11)));

    let change = match server {
        Server::Postgres(_) => "ALTER TABLE enterprise ALTER COLUMN founded TYPE bytea USING NULL;",
        Server::MariaDb(_) => "ALTER TABLE enterprise MODIFY founded longblob;",
    };
    server.sql(change);
    match source.scan(None).map(|_| ()) {
        Err(Error::Schema { table, message }) => {
            assert_eq!(table, "enterprise");
            assert!(
                message.contains("\"founded\"") && message.contains("no text"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

const ONE_TABLE: &str = r#"[source]
name = "register"
kind = "KIND"
table = "TABLE"
subject = "code"
as_of = { date = "2026-06-30" }

[source.database]
url_file = "url"
statement_timeout_ms = 300

[[item]]
code = "business_registration"
fields = [{ name = "name", column = "name", type = "text" }]
"#;

fn refuses_who_could_write(server: &Server) {
    for (role, rights) in [("writer", "SELECT, INSERT"), ("deleter", "SELECT, DELETE")] {
        server.role(role, rights, &["enterprise"]);
        let folder = Folder::new(&server.url(role, &format!("secret-{role}")));
        let text = ONE_TABLE.replace("TABLE", "enterprise");
        match xinqiao_data_adapters::open(folder.mapping(server.kind(), &text)) {
            Err(Error::Unsafe(said)) => {
                assert!(said.contains("enterprise: the role may write"), "{said}")
            }
            other => panic!("{other:?}", other = other.map(|_| ())),
        }
        let allowed = text.replace("url_file", "allow_writable_role = true\nurl_file");
        let source = xinqiao_data_adapters::open(folder.mapping(server.kind(), &allowed));
        assert!(source.is_ok());
    }
}

fn refuses_what_is_not_there(server: &Server) {
    let open = |from: &str, to: &str| {
        let text = ONE_TABLE.replace("TABLE", "enterprise").replace(from, to);
        reader(server, &text)
            .map(|_| ())
            .expect_err("it is refused")
            .to_string()
    };
    let said = open("\"enterprise\"", "\"enterprises\"");
    assert!(
        said.contains("enterprises: there is no such table"),
        "{said}"
    );
    let said = open("column = \"name\"", "column = \"nom\"");
    assert!(
        said.contains("there is no column \"nom\"; the columns are: code, updated, name"),
        "{said}"
    );

    let folder = Folder::new(&server.url("reader", "wrong-password"));
    let text = ONE_TABLE.replace("TABLE", "enterprise");
    let refused = xinqiao_data_adapters::open(folder.mapping(server.kind(), &text));
    let said = refused.map(|_| ()).expect_err("it is refused").to_string();
    assert!(
        said.contains("refuses this user or password") && !said.contains("wrong-password"),
        "{said}"
    );
}

fn waits_no_longer_than_allowed(server: &Server) {
    let sleep = match server {
        Server::Postgres(_) => {
            "CREATE VIEW slow AS SELECT code, name || pg_sleep(60)::text AS name FROM enterprise"
        }
        Server::MariaDb(_) => {
            "CREATE VIEW slow AS SELECT code, CONCAT(name, SLEEP(60)) AS name FROM enterprise"
        }
    };
    server.sql(sleep);
    server.role("patient", "SELECT", &["slow"]);
    let folder = Folder::new(&server.url("patient", "secret-patient"));
    let text = ONE_TABLE.replace("TABLE", "slow");
    let source =
        xinqiao_data_adapters::open(folder.mapping(server.kind(), &text)).expect("it opens");
    let start = Instant::now();
    let fetched = block_on(source.fetch(&uscc(11)));
    assert!(
        matches!(&fetched, Err(FetchError::Unavailable(said)) if said.contains("statement_timeout_ms")),
        "{fetched:?}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(50),
        "the view sleeps for a minute"
    );
}

/// The server dies in the middle of a scan; what was not given before is given after it is back, to another
/// process that has the checkpoint's key.
fn breaks_off_and_goes_on(mut server: Server) {
    const SUBJECTS: u32 = 40_000;
    server.sql("CREATE TABLE enterprise (code varchar(18), name varchar(2000))");
    let mut sql = String::new();
    for chunk in 0..SUBJECTS / 1000 {
        let rows: Vec<String> = (chunk * 1000..(chunk + 1) * 1000)
            .map(|number| format!("('{}', '{}')", uscc(number).expose(), "甲".repeat(300)))
            .collect();
        sql += &format!("INSERT INTO enterprise VALUES {};\n", rows.join(","));
    }
    server.sql(&sql);
    server.role("reader", "SELECT", &["enterprise"]);
    let text = ONE_TABLE.replace("TABLE", "enterprise");
    let folder = Folder::new(&server.url("reader", "secret-reader"));
    let open = || {
        let options = OpenOptions {
            checkpoint_key: Some([9; 32]),
        };
        xinqiao_data_adapters::open_with(folder.mapping(server.kind(), &text), &options)
    };
    let source = open().expect("it opens");
    let mut scan = source.scan(None).expect("it begins");
    let mut seen = Vec::new();
    let mut last: Option<Checkpoint> = None;
    for _ in 0..100 {
        let step = scan.next().expect("there is more").expect("it goes on");
        seen.push(step.row.expect("a good row").uscc);
        last = Some(step.after);
    }
    server.stop();
    let broken = loop {
        match scan.next() {
            Some(Ok(step)) => {
                seen.push(step.row.expect("a good row").uscc);
                last = Some(step.after);
            }
            other => break other,
        }
    };
    assert!(
        matches!(broken, Some(Err(Error::Unavailable(_)))),
        "{broken:?}"
    );
    assert!(scan.next().is_none(), "an error ends a scan");
    assert!(
        seen.len() < SUBJECTS as usize,
        "the table is larger than what was on its way"
    );
    let fetched = block_on(source.fetch(&uscc(1)));
    assert!(
        matches!(fetched, Err(FetchError::Unavailable(_))),
        "{fetched:?}"
    );

    server.resume();
    let fetched = block_on(source.fetch(&uscc(1)));
    assert!(fetched.is_ok(), "the same source serves again: {fetched:?}");
    let options = OpenOptions {
        checkpoint_key: Some([9; 32]),
    };
    let mapping = folder.mapping(server.kind(), &text);
    let again = xinqiao_data_adapters::open_with(mapping, &options).expect("it opens");
    // Read through its text, as another process would.
    let last: Checkpoint = last
        .expect("steps were given")
        .as_str()
        .parse()
        .expect("its text");
    for step in again.scan(Some(&last)).expect("it goes on") {
        seen.push(step.expect("it goes on").row.expect("a good row").uscc);
    }
    let wanted: Vec<_> = (0..SUBJECTS).map(uscc).collect();
    assert!(
        seen == wanted,
        "every subject once, in order: {} of {}",
        seen.len(),
        wanted.len()
    );
}

#[test]
fn a_scan_that_postgresql_broke_off_is_resumed_where_it_stood() {
    breaks_off_and_goes_on(Server::Postgres(Postgres::start()));
}

#[test]
fn a_scan_that_mariadb_broke_off_is_resumed_where_it_stood() {
    breaks_off_and_goes_on(Server::MariaDb(MariaDb::start()));
}

/// Codes that a collation takes for others, keys that sort before all, and names that need quotes.
fn odd_codes(server: &Server) {
    let good = uscc(1);
    let good = good.expose();
    let (quote, text) = match server {
        Server::Postgres(_) => ('"', "text"),
        Server::MariaDb(_) => ('`', "varchar(200)"),
    };
    let q = |name: &str| format!("{quote}{name}{quote}");
    let (table, code, name) = (q("企业-信息"), q("统一社会信用代码"), q("select"));
    let lower = good.to_lowercase();
    server.sql(&format!(
        "CREATE TABLE {table} ({code} {text}, {name} {text}); \
         INSERT INTO {table} VALUES ('{good}', 'good'), ('{lower}', 'lower'), (' {good}', 'blank'), \
         ('{good} ', 'behind'), ('', 'empty'), (NULL, 'null'), ('企业', 'text'), ('{good}{good}', 'long'), \
         ('{good}', 'good'), ('{second}', '{injection}')",
        second = uscc(2).expose(),
        injection = "''; DROP TABLE x; --",
    ));
    server.role("reader", "SELECT", &[&table]);
    let mapping = ONE_TABLE
        .replace("TABLE", "企业-信息")
        .replace("subject = \"code\"", "subject = \"统一社会信用代码\"")
        .replace("column = \"name\"", "column = \"select\"");
    let source = reader(server, &mapping).expect("it opens");
    let mut expectations = xinqiao_data_adapters::conformance::Expectations {
        unknown: vec![uscc(3)],
        ..Default::default()
    };
    for number in [1, 2] {
        let items = vec!["business_registration".to_owned()];
        expectations.subjects.insert(uscc(number), items);
    }
    expectations.bad_rows.insert(Reason::UsccLength, 6);
    expectations.bad_rows.insert(Reason::UsccAlphabet, 1);
    expectations.bad_rows.insert(Reason::DuplicateSubject, 1);
    block_on(xinqiao_data_adapters::conformance::run(
        source.as_ref(),
        &expectations,
    ))
    .unwrap_or_else(|violation| panic!("{}: {violation}", server.kind()));
}

#[test]
fn odd_codes_and_names_do_no_harm_in_postgresql() {
    odd_codes(&Server::Postgres(Postgres::start()));
}

#[test]
fn odd_codes_and_names_do_no_harm_in_mariadb() {
    odd_codes(&Server::MariaDb(MariaDb::start()));
}

/// What a server that insists on TLS is asked with (host, parameters, issuers), and why it is not read, if it is not.
type Trusted<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

fn is_verified(mut server: Server) {
    let data = data(false);
    let (ours, other) = (Issuer::new(), Issuer::new());
    server.require_tls(&ours.issue("127.0.0.1"));
    server.fill(&data);
    let (full, issuer, none) = match server {
        Server::Postgres(_) => (
            "sslmode=verify-full",
            "sslmode=verify-ca",
            "sslmode=disable",
        ),
        Server::MariaDb(_) => (
            "ssl-mode=VERIFY_IDENTITY",
            "ssl-mode=VERIFY_CA",
            "ssl-mode=DISABLED",
        ),
    };
    let no_tls = "no TLS connection to the database can be made: ";
    let cases: [Trusted<'_>; 8] = [
        ("127.0.0.1", "", "ca.pem", None),
        ("127.0.0.1", full, "ca.pem", None),
        ("localhost", issuer, "ca.pem", None),
        // A name that the certificate has not.
        (
            "localhost",
            "",
            "ca.pem",
            Some("not valid for name \"localhost\""),
        ),
        // Somebody else who says to be the server.
        ("127.0.0.1", "", "other.pem", Some(no_tls)),
        ("127.0.0.1", issuer, "other.pem", Some(no_tls)),
        // The public issuers did not issue it.
        ("127.0.0.1", full, "", Some("UnknownIssuer")),
        ("127.0.0.1", none, "", Some("or connections without TLS")),
    ];
    for (host, mode, ca, wanted) in cases {
        let url = server
            .url("reader", "secret-reader")
            .replace("127.0.0.1", host);
        let folder = Folder::new(&format!("{url}?{mode}"));
        for (name, issuer) in [("ca.pem", &ours), ("other.pem", &other)] {
            fs::write(folder.0.path().join(name), issuer.pem()).expect("written");
        }
        let mut text = format!("{HEAD}{ITEMS}");
        if !ca.is_empty() {
            text = text.replace("url_file", &format!("ca_file = \"{ca}\"\nurl_file"));
        }
        let opened = xinqiao_data_adapters::open(folder.mapping(server.kind(), &text));
        match (opened, wanted) {
            (Ok(source), None) => assert!(block_on(source.fetch(&uscc(11))).is_ok()),
            (Err(Error::Unavailable(said)), Some(wanted)) => {
                assert!(said.contains(wanted), "{host} {mode} {ca}: {said}");
                assert!(!said.contains("secret-reader"), "{said}");
            }
            (opened, _) => panic!("{host} {mode} {ca}: {:?}", opened.map(|_| ())),
        }
    }
}

#[test]
fn postgresql_is_read_under_tls_from_the_server_that_was_meant_alone() {
    is_verified(Server::Postgres(Postgres::start()));
}

#[test]
fn mariadb_is_read_under_tls_from_the_server_that_was_meant_alone() {
    is_verified(Server::MariaDb(MariaDb::start()));
}
