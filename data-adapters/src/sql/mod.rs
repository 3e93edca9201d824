//! PostgreSQL and MySQL (or MariaDB) as a [`Source`].
//!
//! Read-only by construction, three times: every session's transactions are read-only, only `SELECT`s are ever
//! made ([`dialect`]), and a role that could write to the mapped tables is refused when the source is opened.
//!
//! A fetch asks for one subject's rows over a lent connection, in one snapshot. A scan is one pass of the server
//! over each table in the order of codes, each over a connection of its own, and merges them ([`scan`]).

mod connection;
mod dialect;
mod scan;

use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt as _;
use xinqiao_ledger::uscc::Uscc;

use crate::OpenOptions;
use crate::assemble::Collected;
use crate::error::Error;
use crate::mapping::{Database, Mapping, Origin, RelatedPlace, TableName};
use crate::position::Sealer;
use crate::record::SubjectRecord;
use crate::row::{Fault, Layout, MainRow};
use crate::source::{Checkpoint, Description, FetchError, Fetching, Reason, Scan, Source};
use crate::workers::Workers;
use connection::{Cell, Failure, Live, Options, Pool};
use dialect::{Column, Dialect};

/// Rows of the main table about one subject that a fetch looks at: there is one, if all is well.
const MAIN_ROWS: usize = 100;

/// A database behind one mapping.
pub struct SqlSource {
    shared: Arc<Shared>,
    workers: Workers,
}

/// What scans and fetches share.
struct Shared {
    mapping: Mapping,
    dialect: Dialect,
    database: Database,
    options: Options,
    pool: Pool,
    sealer: Sealer,
    /// Replaced as a whole.
    plan: RwLock<Arc<Plan>>,
}

/// The mapped tables as the database has them.
struct Plan {
    /// The main table, then the related ones in their order.
    tables: Vec<TablePlan>,
}

struct TablePlan {
    /// As the mapping names it.
    shown: String,
    /// Quoted.
    table: String,
    subject: Column,
    /// What is selected besides the key, the subject's code first.
    cells: Vec<String>,
    /// By cell: whether it is a moment of which only the day counts.
    dates: Vec<bool>,
    layout: Layout,
}

impl std::fmt::Debug for SqlSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SqlSource({}, {})",
            self.shared.dialect.name(),
            self.shared.mapping.name
        )
    }
}

impl SqlSource {
    /// Connects, and checks tables, columns and rights.
    ///
    /// # Errors
    /// [`Error::Secret`], [`Error::Unsafe`], [`Error::Schema`], [`Error::Unavailable`].
    pub(crate) fn open(mapping: Mapping, options: &OpenOptions) -> Result<Self, Error> {
        let (dialect, database) = match &mapping.origin {
            Origin::Postgres(database) => (Dialect::Postgres, database.clone()),
            Origin::MySql(database) => (Dialect::MySql, database.clone()),
            Origin::Csv { .. } | Origin::Xlsx { .. } | Origin::Http(_) => {
                return Err(Error::Unavailable("this source is no database".to_owned()));
            }
        };
        let connect = Options::new(dialect, &database.url.read()?, &database)?;
        let workers = Workers::new(&mapping.name)?;
        let context = format!("{}1-{:016x}", dialect.name(), mapping.fingerprint);
        let key = options.checkpoint_key.unwrap_or_else(rand::random);
        let shared = workers.block(async move {
            let mut live = connect
                .connect(database.acquire_timeout)
                .await
                .map_err(|failure| failure.into_error(&database.table.to_string()))?;
            let plan = Plan::make(&mapping, dialect, &database, &mut live).await?;
            // A pool keeps to the runtime in which it was made.
            let pool = connect.pool(&database);
            Ok(Arc::new(Shared {
                mapping,
                dialect,
                database,
                options: connect,
                pool,
                sealer: Sealer::new(key, context),
                plan: RwLock::new(Arc::new(plan)),
            }))
        })?;
        Ok(Self { shared, workers })
    }
}

impl Source for SqlSource {
    fn describe(&self) -> Description {
        Description::of(&self.shared.mapping)
    }

    fn fetch<'a>(&'a self, uscc: &Uscc) -> Fetching<'a> {
        let (shared, uscc) = (Arc::clone(&self.shared), *uscc);
        let work = self.workers.spawn(async move { shared.fetch(&uscc).await });
        Box::pin(async move {
            work.result().await.unwrap_or_else(|| {
                Err(FetchError::Unavailable(
                    "the reading task broke off".to_owned(),
                ))
            })
        })
    }

    fn scan(&self, from: Option<&Checkpoint>) -> Result<Scan, Error> {
        let from = match from {
            None => None,
            Some(checkpoint) => {
                let position = self.shared.sealer.open(checkpoint)?;
                Some(scan::Position::decode(&position, &self.shared.mapping)?)
            }
        };
        // A scan that begins after somebody changed the tables says so at once.
        self.refresh()?;
        let shared = Arc::clone(&self.shared);
        Ok(self.workers.scan(|steps| scan::run(shared, from, steps)))
    }

    fn refresh(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        self.workers.block(async move {
            let (mapping, database) = (&shared.mapping, &shared.database);
            let shown = database.table.to_string();
            let mut live = shared
                .options
                .connect(database.acquire_timeout)
                .await
                .map_err(|failure| failure.into_error(&shown))?;
            let plan = Plan::make(mapping, shared.dialect, database, &mut live).await?;
            *shared.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
            Ok(())
        })
    }
}

impl Plan {
    /// Looks every mapped table and column up.
    async fn make(
        mapping: &Mapping,
        dialect: Dialect,
        database: &Database,
        live: &mut Live,
    ) -> Result<Self, Error> {
        let mut tables =
            vec![table(mapping, dialect, database, live, None, &database.table).await?];
        for (index, related) in mapping.related.iter().enumerate() {
            if let RelatedPlace::Table { table: name, .. } = &related.place {
                tables.push(table(mapping, dialect, database, live, Some(index), name).await?);
            }
        }
        Ok(Self { tables })
    }
}

async fn table(
    mapping: &Mapping,
    dialect: Dialect,
    database: &Database,
    live: &mut Live,
    related: Option<usize>,
    name: &TableName,
) -> Result<TablePlan, Error> {
    let shown = name.to_string();
    let schema = |message: String| Error::Schema {
        table: shown.clone(),
        message,
    };
    let columns = columns(dialect, live, name)
        .await
        .map_err(|failure| failure.into_error(&shown))?;
    if columns.is_empty() {
        return Err(schema(
            "there is no such table or view, or the role may not see it".to_owned(),
        ));
    }
    if !database.allow_writable_role {
        let writable = rights(dialect, live, name)
            .await
            .map_err(|failure| failure.into_error(&shown))?;
        if let Some(right) = writable {
            return Err(Error::Unsafe(format!(
                "{shown}: the role may write to it ({right}); give it SELECT alone, or set \
                 source.database.allow_writable_role"
            )));
        }
    }
    let mapped = mapping.columns(related);
    let mut found = Vec::new();
    for wanted in &mapped {
        let Some(column) = columns.iter().find(|column| column.name == *wanted) else {
            let names: Vec<&str> = columns.iter().take(64).map(|c| c.name.as_str()).collect();
            let names = names.join(", ");
            return Err(schema(format!(
                "there is no column {wanted:?}; the columns are: {names}"
            )));
        };
        if !column.is_readable(dialect) {
            let type_name = &column.type_name;
            return Err(schema(format!(
                "column {wanted:?} is of type {type_name}, which is no text"
            )));
        }
        found.push(column.clone());
    }
    let cells = found
        .iter()
        .map(|column| dialect.cell(column, database.max_cell_bytes))
        .collect();
    let dates = found
        .iter()
        .map(|column| column.is_moment() && mapping.only_dates(related, &column.name))
        .collect();
    Ok(TablePlan {
        table: dialect.table(name),
        cells,
        dates,
        layout: Layout::new(mapping, related, &mapped).map_err(schema)?,
        // The subject's column is the first one.
        subject: found.swap_remove(0),
        shown,
    })
}

async fn columns(
    dialect: Dialect,
    live: &mut Live,
    name: &TableName,
) -> Result<Vec<Column>, Failure> {
    let rows = match dialect {
        Dialect::Postgres => {
            let table = dialect.table(name);
            let statement = "SELECT a.attname::text, t.typname::text, t.typcategory::text \
                 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                 WHERE a.attrelid = to_regclass($1)::oid AND a.attnum > 0 AND NOT a.attisdropped \
                 ORDER BY a.attnum";
            live.all(statement, &[&table]).await?
        }
        Dialect::MySql => {
            let schema = name.schema.clone().unwrap_or_default();
            let statement = "SELECT CONVERT(column_name USING utf8mb4), \
                 CONVERT(LOWER(data_type) USING utf8mb4) FROM information_schema.columns \
                 WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? \
                 ORDER BY ordinal_position";
            live.all(statement, &[&schema, &name.table]).await?
        }
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut cells = row.into_iter();
            let mut next = || cells.next().unwrap_or_default();
            Column {
                name: next(),
                type_name: next(),
                category: next(),
            }
        })
        .collect())
}

/// A right to change the table, if the role has one.
async fn rights(
    dialect: Dialect,
    live: &mut Live,
    name: &TableName,
) -> Result<Option<String>, Failure> {
    let rows = match dialect {
        Dialect::Postgres => {
            let table = dialect.table(name);
            let statement = "SELECT p FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p \
                 WHERE has_table_privilege(current_user, to_regclass($1)::oid, p) LIMIT 1";
            live.all(statement, &[&table]).await?
        }
        Dialect::MySql => {
            let schema = name.schema.clone().unwrap_or_default();
            // Own rights only: of others, this may show some where the role sees all.
            let statement = "SELECT CONVERT(p.privilege_type USING utf8mb4) FROM ( \
                 SELECT grantee, privilege_type FROM information_schema.user_privileges UNION ALL \
                 SELECT grantee, privilege_type FROM information_schema.schema_privileges \
                 WHERE COALESCE(NULLIF(?, ''), DATABASE()) LIKE table_schema UNION ALL \
                 SELECT grantee, privilege_type FROM information_schema.table_privileges \
                 WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? \
                 ) p WHERE p.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER', 'CREATE') \
                 AND p.grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', \
                 SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') LIMIT 1";
            live.all(statement, &[&schema, &schema, &name.table])
                .await?
        }
    };
    Ok(rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next()))
}

impl Shared {
    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One subject's rows, in one snapshot.
    async fn fetch(&self, uscc: &Uscc) -> Result<SubjectRecord, FetchError> {
        let plan = self.plan();
        let mut live = self.pool.acquire().await.map_err(refusal)?;
        let several = plan.tables.len() > 1;
        if several {
            for statement in self.dialect.begin() {
                live.execute((*statement).to_owned())
                    .await
                    .map_err(refusal)?;
            }
        }
        let answer = self.fetch_rows(&plan, &mut live, uscc).await;
        if several {
            // Whatever happens to it: nothing was written.
            let _ = live.execute("ROLLBACK".to_owned()).await;
        }
        answer
    }

    async fn fetch_rows(
        &self,
        plan: &Plan,
        live: &mut Live,
        uscc: &Uscc,
    ) -> Result<SubjectRecord, FetchError> {
        let mapping = &self.mapping;
        let main = self.fetch_main(&plan.tables[0], live, uscc).await?;
        let mut collected = Collected::new(mapping);
        for table in &plan.tables[1..] {
            let statement = self
                .dialect
                .fetch(&table.table, &table.subject, &table.cells, None);
            let mut rows = live.rows(statement, vec![uscc.expose().to_owned()]);
            while let Some(row) = rows.next().await {
                let row = row.map_err(refusal)?;
                // Bad ones are reported by scans.
                let read = cells(&row, table, &self.database, uscc.expose())
                    .and_then(|cells| table.layout.read_related(mapping, &cells));
                if let Ok(row) = read
                    && row.uscc == Some(*uscc)
                {
                    collected.add(mapping, row);
                }
            }
        }
        let record = collected.assemble(mapping, main).record;
        record.map_err(|fault| bad(&fault))
    }

    async fn fetch_main(
        &self,
        table: &TablePlan,
        live: &mut Live,
        uscc: &Uscc,
    ) -> Result<MainRow, FetchError> {
        let most = Some(MAIN_ROWS);
        let statement = self
            .dialect
            .fetch(&table.table, &table.subject, &table.cells, most);
        let mut rows = live.rows(statement, vec![uscc.expose().to_owned()]);
        let mut first = None;
        let mut fault = None;
        // All rows are taken, so that the connection is ready for what comes next.
        while let Some(row) = rows.next().await {
            let row = row.map_err(refusal)?;
            let read = cells(&row, table, &self.database, uscc.expose())
                .and_then(|cells| read_main(&self.mapping, &table.layout, &cells));
            match read {
                Ok(main) if main.uscc == *uscc => first = first.or(Some(main)),
                // A collation may call other codes equal.
                Ok(_) => {}
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        match (first, fault) {
            (Some(main), _) => Ok(main),
            (None, Some(fault)) if !fault.reason.is_bad_uscc() => Err(bad(&fault)),
            _ => Err(FetchError::NotFound),
        }
    }
}

fn refusal(failure: Failure) -> FetchError {
    match failure {
        Failure::Schema(message) => FetchError::Schema(message),
        Failure::Unavailable(message) => FetchError::Unavailable(message),
    }
}

fn bad(fault: &Fault) -> FetchError {
    FetchError::Bad {
        reason: fault.reason,
        message: fault.message.clone(),
    }
}

/// A main row; one that has nothing to say is bad where related rows cannot help.
fn read_main(mapping: &Mapping, layout: &Layout, cells: &[&str]) -> Result<MainRow, Fault> {
    let main = layout.read_main(mapping, cells)?;
    if main.items.is_empty() && mapping.related.is_empty() {
        return Err(Fault::new(
            Reason::NoItems,
            "no mapped column holds a value",
        ));
    }
    Ok(main)
}

/// The text cells of a row whose first cell is its key. `key` is the code that they are to be about.
fn cells<'r>(
    row: &'r [Cell],
    table: &TablePlan,
    database: &Database,
    key: &str,
) -> Result<Vec<&'r str>, Fault> {
    let mut cells = Vec::with_capacity(row.len());
    for (index, cell) in row.iter().enumerate().skip(1) {
        let text = match cell {
            Ok(text) => text.as_deref().unwrap_or(""),
            Err(_) => {
                let message = format!("mapped column {index} holds bytes that are no text");
                return Err(Fault::new(Reason::InvalidEncoding, message));
            }
        };
        let most = database.max_cell_bytes;
        if text.len() > most {
            let message = format!("mapped column {index} has more than {most} bytes");
            return Err(Fault::new(Reason::CellTooLong, message));
        }
        if text.contains('\0') {
            let message = format!("mapped column {index} holds a NUL");
            return Err(Fault::new(Reason::Nul, message));
        }
        let day = table.dates.get(index - 1).is_some_and(|date| *date);
        cells.push(if day { day_of(text) } else { text });
    }
    // Elsewhere blanks around a code are harmless; here a fetch by the code would not find the row.
    if cells
        .first()
        .is_some_and(|code| code.trim() != *code && code.trim() == key.trim())
    {
        return Err(Fault::new(
            Reason::UsccLength,
            "there are blanks around the code",
        ));
    }
    Ok(cells)
}

/// The day of a moment as both databases write it: `2026-01-02 10:11:12`, perhaps with a fraction and an offset.
fn day_of(text: &str) -> &str {
    match text.split_at_checked(10) {
        Some((day, time))
            if time.starts_with(' ')
                && time[1..]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b":.+-".contains(&b)) =>
        {
            day
        }
        _ => text,
    }
}
