//! Connections to PostgreSQL and MySQL: opening them so that they can only read, and rows of text cells.
//!
//! Here is all that knows the database library. Not here: which statements there are, and what cells mean.

use std::str::FromStr as _;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, MySql, MySqlConnection, MySqlPool,
    PgConnection, PgPool, Postgres, Row as _, ValueRef as _,
};

use super::dialect::Dialect;
use crate::error::Error;
use crate::mapping::{Database, is_local};
use crate::tls::{self, Issuers};

/// A cell: text, nothing, or bytes that are no text.
pub(super) type Cell = Result<Option<String>, NotText>;

/// Bytes that are not UTF-8, although the database was asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotText;

/// What kept a statement from being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// A table or column is missing, or may not be read.
    Schema(String),
    /// Anything else; trying again may help.
    Unavailable(String),
}

impl Failure {
    pub(super) fn into_error(self, table: &str) -> Error {
        match self {
            Self::Schema(message) => Error::Schema {
                table: table.to_owned(),
                message,
            },
            Self::Unavailable(message) => Error::Unavailable(message),
        }
    }
}

/// The server's time zone while we read: moments are cut to days where it is so, and China has no other.
const TIME_ZONE: &str = "+08:00";

/// How to connect.
#[derive(Clone)]
pub(super) enum Options {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl Options {
    /// Reads the URL of a connection. What is wrong with it is said without any part of it.
    pub(super) fn new(
        dialect: Dialect,
        url: &SecretString,
        database: &Database,
    ) -> Result<Self, Error> {
        let bad = |_| Error::Secret {
            place: database.url.to_string(),
            message: format!(
                "holds no URL of the form {}://user:password@host/database",
                dialect.name()
            ),
        };
        let issuers = (database.ca_file.as_deref().map(Issuers::read)).transpose()?;
        let (options, safe) = match dialect {
            Dialect::Postgres => {
                let mut options = PgConnectOptions::from_str(url.expose_secret())
                    .map_err(bad)?
                    .application_name("xinqiao")
                    .disable_statement_logging();
                let verifies = |options: &PgConnectOptions| {
                    let mode = options.get_ssl_mode();
                    matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
                };
                if let Some(issuers) = issuers {
                    if !verifies(&options) {
                        options = options.ssl_mode(PgSslMode::VerifyFull);
                    }
                    options = options.ssl_root_cert_from_pem(issuers.into_pem());
                }
                let verified = verifies(&options);
                let host = options.get_host();
                let near =
                    options.get_socket().is_some() || host.starts_with('/') || is_local(host);
                (Self::Postgres(options), verified || near)
            }
            Dialect::MySql => {
                let mut options = MySqlConnectOptions::from_str(url.expose_secret())
                    .map_err(bad)?
                    .timezone(Some(TIME_ZONE.to_owned()))
                    .disable_statement_logging();
                let verifies = |options: &MySqlConnectOptions| {
                    let mode = options.get_ssl_mode();
                    matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity)
                };
                if let Some(issuers) = issuers {
                    if !verifies(&options) {
                        options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
                    }
                    options = options.ssl_ca_from_pem(issuers.into_pem());
                }
                let verified = verifies(&options);
                let near = options.get_socket().is_some() || is_local(options.get_host());
                (Self::MySql(options), verified || near)
            }
        };
        if !safe && !database.allow_insecure_transport {
            let modes = match dialect {
                Dialect::Postgres => "sslmode=verify-full",
                Dialect::MySql => "ssl-mode=VERIFY_IDENTITY",
            };
            return Err(Error::Unsafe(format!(
                "the database is on another machine and its certificate would not be verified: put \
                 {modes} into the URL, or set source.database.allow_insecure_transport"
            )));
        }
        Ok(options)
    }

    /// A connection of its own, for a scan.
    pub(super) async fn connect(&self, patience: Duration) -> Result<Live, Failure> {
        let connect = async {
            Ok(match self {
                Self::Postgres(options) => {
                    let mut live = PgConnection::connect_with(options).await?;
                    prepare_postgres(&mut live, None).await?;
                    Live::Postgres(Box::new(live))
                }
                Self::MySql(options) => {
                    let mut live = MySqlConnection::connect_with(options).await?;
                    prepare_mysql(&mut live, None).await?;
                    Live::MySql(Box::new(live))
                }
            })
        };
        match tokio::time::timeout(patience, connect).await {
            Ok(connected) => connected.map_err(|e| failure(&e)),
            Err(_) => Err(Failure::Unavailable(
                "the database does not answer".to_owned(),
            )),
        }
    }

    /// Connections for fetches.
    pub(super) fn pool(&self, database: &Database) -> Pool {
        let limit = database.statement_timeout;
        match self {
            Self::Postgres(options) => Pool::Postgres(
                PgPoolOptions::new()
                    .max_connections(database.max_connections)
                    .acquire_timeout(database.acquire_timeout)
                    .after_connect(move |live, _| {
                        Box::pin(async move { prepare_postgres(live, Some(limit)).await })
                    })
                    .connect_lazy_with(options.clone()),
            ),
            Self::MySql(options) => Pool::MySql(
                MySqlPoolOptions::new()
                    .max_connections(database.max_connections)
                    .acquire_timeout(database.acquire_timeout)
                    .after_connect(move |live, _| {
                        Box::pin(async move { prepare_mysql(live, Some(limit)).await })
                    })
                    .connect_lazy_with(options.clone()),
            ),
        }
    }
}

async fn prepare_postgres(
    live: &mut PgConnection,
    limit: Option<Duration>,
) -> Result<(), sqlx::Error> {
    let limit = limit.map_or(0, |limit| limit.as_millis());
    let statements = format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {limit}; \
         SET DateStyle = 'ISO, YMD'; SET TIME ZONE INTERVAL '{TIME_ZONE}' HOUR TO MINUTE"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(live)
        .await?;
    Ok(())
}

async fn prepare_mysql(
    live: &mut MySqlConnection,
    limit: Option<Duration>,
) -> Result<(), sqlx::Error> {
    let version: String = sqlx::query_scalar("SELECT CAST(VERSION() AS CHAR)")
        .fetch_one(&mut *live)
        .await?;
    let limit = limit.unwrap_or_default();
    let timeout = if version.contains("MariaDB") {
        format!("SET SESSION max_statement_time = {}", limit.as_secs_f64())
    } else {
        format!("SET SESSION max_execution_time = {}", limit.as_millis())
    };
    for statement in [
        "SET SESSION TRANSACTION READ ONLY".to_owned(),
        timeout,
        // Who registers slowly lets the server wait; that is no fault.
        "SET SESSION net_write_timeout = 86400".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *live)
            .await?;
    }
    Ok(())
}

/// Connections that are lent.
pub(super) enum Pool {
    Postgres(PgPool),
    MySql(MySqlPool),
}

impl Pool {
    pub(super) async fn acquire(&self) -> Result<Live, Failure> {
        match self {
            Self::Postgres(pool) => pool.acquire().await.map(Live::LentPostgres),
            Self::MySql(pool) => pool.acquire().await.map(Live::LentMySql),
        }
        .map_err(|e| failure(&e))
    }
}

/// An open connection, lent or of its own.
pub(super) enum Live {
    Postgres(Box<PgConnection>),
    MySql(Box<MySqlConnection>),
    LentPostgres(PoolConnection<Postgres>),
    LentMySql(PoolConnection<MySql>),
}

enum Borrowed<'c> {
    Postgres(&'c mut PgConnection),
    MySql(&'c mut MySqlConnection),
}

impl Live {
    fn borrow(&mut self) -> Borrowed<'_> {
        match self {
            Self::Postgres(live) => Borrowed::Postgres(live),
            Self::MySql(live) => Borrowed::MySql(live),
            Self::LentPostgres(live) => Borrowed::Postgres(live),
            Self::LentMySql(live) => Borrowed::MySql(live),
        }
    }

    /// A statement without values that answers nothing.
    pub(super) async fn execute(&mut self, statement: String) -> Result<(), Failure> {
        let query = sqlx::raw_sql(AssertSqlSafe(statement));
        match self.borrow() {
            Borrowed::Postgres(live) => query.execute(live).await.map(drop),
            Borrowed::MySql(live) => query.execute(live).await.map(drop),
        }
        .map_err(|e| failure(&e))
    }

    /// Rows as they come; the server waits while nobody takes them.
    pub(super) fn rows(
        &mut self,
        statement: String,
        values: Vec<String>,
    ) -> BoxStream<'_, Result<Vec<Cell>, Failure>> {
        match self.borrow() {
            Borrowed::Postgres(live) => {
                let mut query = sqlx::query(AssertSqlSafe(statement));
                for value in values {
                    query = query.bind(value);
                }
                query
                    .fetch(live)
                    .map(|row| row.as_ref().map(postgres_cells).map_err(failure))
                    .boxed()
            }
            Borrowed::MySql(live) => {
                let mut query = sqlx::query(AssertSqlSafe(statement));
                for value in values {
                    query = query.bind(value);
                }
                query
                    .fetch(live)
                    .map(|row| row.as_ref().map(mysql_cells).map_err(failure))
                    .boxed()
            }
        }
    }

    /// All rows of a small answer.
    pub(super) async fn all(
        &mut self,
        statement: &str,
        values: &[&str],
    ) -> Result<Vec<Vec<String>>, Failure> {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.rows(statement.to_owned(), values)
            .map_ok(|row| {
                let text = |cell: Cell| cell.ok().flatten().unwrap_or_default();
                row.into_iter().map(text).collect()
            })
            .try_collect()
            .await
    }
}

fn postgres_cells(row: &PgRow) -> Vec<Cell> {
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index).map_err(|_| NotText)?;
            if value.is_null() {
                return Ok(None);
            }
            let bytes = value.as_bytes().map_err(|_| NotText)?;
            let text = std::str::from_utf8(bytes).map_err(|_| NotText)?;
            Ok(Some(text.to_owned()))
        })
        .collect()
}

fn mysql_cells(row: &MySqlRow) -> Vec<Cell> {
    (0..row.len())
        .map(|index| row.try_get::<Option<String>, _>(index).map_err(|_| NotText))
        .collect()
}

/// Says what happened without repeating a value: a database's own words about data may hold some.
fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            match code.as_str() {
                // Syntax and access rules; MySQL: unknown column, unknown table, denied. Their words name
                // tables and columns, no values.
                "42703" | "42P01" | "42501" | "42883" | "42846" | "3F000" | "42S22" | "42S02" => {
                    Failure::Schema(format!("{} ({code})", error.message()))
                }
                "42000" if error.message().contains("denied") => {
                    Failure::Schema(format!("{} ({code})", error.message()))
                }
                "57014" | "70100" => Failure::Unavailable(
                    "the database took longer than statement_timeout_ms allows".to_owned(),
                ),
                "28P01" => Failure::Unavailable(format!(
                    "the database refuses this user or password ({code})"
                )),
                // Of PostgreSQL also: no rule lets such a connection in.
                "28000" => Failure::Unavailable(format!(
                    "the database refuses this user or password, or connections without TLS ({code})"
                )),
                _ => Failure::Unavailable(format!("the database reports an error ({code})")),
            }
        }
        sqlx::Error::Io(error) => Failure::Unavailable(match tls::refusal(error) {
            Some(why) => no_tls(&why),
            None => format!("the connection to the database broke off: {}", error.kind()),
        }),
        sqlx::Error::Tls(why) => Failure::Unavailable(no_tls(&why.to_string())),
        sqlx::Error::PoolTimedOut => Failure::Unavailable(
            "no connection to the database became free within acquire_timeout_ms".to_owned(),
        ),
        _ => Failure::Unavailable("the database does not answer as it should".to_owned()),
    }
}

fn no_tls(why: &str) -> String {
    format!("no TLS connection to the database can be made: {why}")
}
