//! One pass over a database: every table in the order of codes, merged code by code.
//!
//! The server sorts, we read as slowly as we are pulled, and memory holds one subject and a few waiting rows of
//! each table. A checkpoint is the code at which a scan stands, what was counted before that code, and how many
//! steps of it were given; resuming begins with that code again and leaves out those steps. So what was
//! inserted or deleted elsewhere meanwhile does not matter.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connection::{Cell, Failure, Live};
use super::dialect::{Dialect, KEY_CHARACTERS};
use super::{Shared, TablePlan, cells, read_main};
use crate::assemble::Collected;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::row::{Fault, MainRow};
use crate::source::{BadRow, Reason, Scanned, Warning};
use crate::workers::Steps;

/// Rows that travel together from a table's task, and bytes after which they travel anyway.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// Where a scan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    key: String,
    /// By table: rows before that code.
    rows: Vec<u64>,
    /// Steps of that code that were given.
    steps: u64,
}

impl Position {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.steps.to_be_bytes().to_vec();
        for count in &self.rows {
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        bytes.extend_from_slice(self.key.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], mapping: &Mapping) -> Result<Self, Error> {
        let tables = mapping.related.len() + 1;
        let read = || {
            let (counts, key) = bytes.split_at_checked((tables + 1) * 8)?;
            let mut counts = counts
                .chunks_exact(8)
                .map(|chunk| chunk.try_into().map(u64::from_be_bytes));
            let steps = counts.next()?.ok()?;
            let key = std::str::from_utf8(key).ok()?;
            Some(Self {
                key: (key.chars().count() <= KEY_CHARACTERS).then(|| key.to_owned())?,
                rows: counts.collect::<Result<_, _>>().ok()?,
                steps,
            })
        };
        read().ok_or_else(|| Error::Checkpoint {
            reason: "it is not of this kind of source".to_owned(),
        })
    }
}

impl Dialect {
    /// Begins a transaction that sees one moment and can only read.
    pub(super) fn begin(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
            Self::MySql => &[
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            ],
        }
    }
}

/// A row with its key.
struct KeyedRow {
    key: String,
    cells: Vec<Cell>,
}

/// The rows of one table, as a task brings them.
struct TableRows {
    receiver: mpsc::Receiver<Result<Vec<KeyedRow>, Failure>>,
    batch: std::vec::IntoIter<KeyedRow>,
    head: Option<KeyedRow>,
    shown: String,
    task: JoinHandle<()>,
}

impl Drop for TableRows {
    fn drop(&mut self) {
        // With it goes the connection, and with that the server's work.
        self.task.abort();
    }
}

impl TableRows {
    fn begin(shared: &Shared, table: &TablePlan, mut live: Live, from: Option<&Position>) -> Self {
        let statement = shared.dialect.scan(
            &table.table,
            &table.subject.name,
            &table.cells,
            from.is_some(),
        );
        let values = from.iter().map(|position| position.key.clone()).collect();
        let stall = shared.database.stall_timeout;
        let (sender, receiver) = mpsc::channel(2);
        let task = tokio::spawn(async move {
            let failed = send_rows(&mut live, statement, values, stall, &sender)
                .await
                .err();
            if let Some(failure) = failed {
                let _ = sender.send(Err(failure)).await;
            } else {
                // An empty batch is the end; a channel that merely closes is none.
                let _ = sender.send(Ok(Vec::new())).await;
            }
        });
        Self {
            receiver,
            batch: Vec::new().into_iter(),
            head: None,
            shown: table.shown.clone(),
            task,
        }
    }

    /// The next row into the head; `None` there at the end.
    async fn advance(&mut self) -> Result<Option<KeyedRow>, Error> {
        let taken = self.head.take();
        self.head = match self.batch.next() {
            Some(row) => Some(row),
            None => match self.receiver.recv().await {
                Some(Ok(rows)) => {
                    self.batch = rows.into_iter();
                    self.batch.next()
                }
                Some(Err(failure)) => return Err(failure.into_error(&self.shown)),
                None => {
                    let message = "the reading task broke off".to_owned();
                    return Err(Error::Unavailable(message));
                }
            },
        };
        if let (Some(before), Some(after)) = (&taken, &self.head)
            && before.key.as_bytes() > after.key.as_bytes()
        {
            return Err(Error::Schema {
                table: self.shown.clone(),
                message: "the database does not give rows in the order of codes".to_owned(),
            });
        }
        Ok(taken)
    }

    fn is_at(&self, key: &str) -> bool {
        self.head.as_ref().is_some_and(|row| row.key == key)
    }
}

async fn send_rows(
    live: &mut Live,
    statement: String,
    values: Vec<String>,
    stall: Duration,
    sender: &mpsc::Sender<Result<Vec<KeyedRow>, Failure>>,
) -> Result<(), Failure> {
    let mut rows = live.rows(statement, values);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let Ok(row) = tokio::time::timeout(stall, rows.next()).await else {
            let message = "the database gave no row within stall_timeout_ms".to_owned();
            return Err(Failure::Unavailable(message));
        };
        let Some(row) = row else {
            break;
        };
        let cells = row?;
        let key = match cells.first() {
            Some(Ok(Some(key))) => key.clone(),
            _ => String::new(),
        };
        bytes += cells
            .iter()
            .map(|cell| {
                cell.as_ref()
                    .ok()
                    .and_then(Option::as_ref)
                    .map_or(0, String::len)
            })
            .sum::<usize>();
        batch.push(KeyedRow { key, cells });
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            bytes = 0;
            if sender.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        let _ = sender.send(Ok(batch)).await;
    }
    Ok(())
}

/// The steps of one code.
struct Group<'a> {
    shared: &'a Shared,
    out: &'a mut Steps,
    position: Position,
    /// Steps that an earlier scan gave.
    skip: u64,
}

impl Group<'_> {
    async fn give(&mut self, row: Result<crate::SubjectRecord, BadRow>, warnings: Vec<Warning>) {
        self.position.steps += 1;
        if self.position.steps <= self.skip {
            return;
        }
        let after = self.shared.sealer.seal(&self.position.encode());
        self.out
            .push(Scanned {
                row,
                warnings,
                after,
            })
            .await;
    }

    async fn bad(&mut self, table: &str, line: u64, fault: Fault) {
        let bad = BadRow {
            file: table.to_owned(),
            line,
            reason: fault.reason,
            message: fault.message,
        };
        self.give(Err(bad), Vec::new()).await;
    }
}

/// Runs a scan.
pub(super) async fn run(
    shared: Arc<Shared>,
    from: Option<Position>,
    mut out: Steps,
) -> Result<(), Error> {
    let plan = shared.plan();
    let mut tables = open(&shared, &plan.tables, from.as_ref()).await?;
    for table in &mut tables {
        table.advance().await?;
    }
    let (mut rows, mut first) = match from {
        Some(position) => (position.rows.clone(), Some(position)),
        None => (vec![0; tables.len()], None),
    };
    loop {
        let heads = tables.iter().filter_map(|table| table.head.as_ref());
        let Some(key) = heads.map(|row| row.key.clone()).min() else {
            break;
        };
        let skip = first.take().filter(|position| position.key == key);
        let mut group = Group {
            shared: &shared,
            out: &mut out,
            position: Position {
                key: key.clone(),
                rows: rows.clone(),
                steps: 0,
            },
            skip: skip.map_or(0, |position| position.steps),
        };
        let main = main_rows(&mut group, &plan.tables[0], &mut tables[0], &mut rows[0]).await?;
        let mut collected = Collected::new(&shared.mapping);
        for index in 1..tables.len() {
            let table = (&plan.tables[index], &mut tables[index], &mut rows[index]);
            related_rows(
                &mut group,
                table,
                main.as_ref().map(|(main, _)| main),
                &mut collected,
            )
            .await?;
        }
        if let Some((main, line)) = main {
            let assembled = collected.assemble(&shared.mapping, main);
            let shown = &plan.tables[0].shown;
            for fault in assembled.left_out {
                group.bad(shown, line, fault).await;
            }
            match assembled.record {
                Ok(record) => group.give(Ok(record), assembled.warnings).await,
                Err(fault) => group.bad(shown, line, fault).await,
            }
        }
    }
    out.flush().await;
    Ok(())
}

/// All rows of the main table about one code: the first good one counts.
async fn main_rows(
    group: &mut Group<'_>,
    plan: &TablePlan,
    table: &mut TableRows,
    count: &mut u64,
) -> Result<Option<(MainRow, u64)>, Error> {
    let key = group.position.key.clone();
    let mut main: Option<(MainRow, u64)> = None;
    while table.is_at(&key) {
        let Some(row) = table.advance().await? else {
            break;
        };
        *count += 1;
        let read = cells(&row.cells, plan, &group.shared.database, &key)
            .and_then(|cells| read_main(&group.shared.mapping, &plan.layout, &cells));
        match (read, &main) {
            (Err(fault), _) => group.bad(&plan.shown, *count, fault).await,
            (Ok(read), None) => main = Some((read, *count)),
            (Ok(_), Some((_, line))) => {
                let message = format!("the subject was already given by {}:{line}", plan.shown);
                let fault = Fault::new(Reason::DuplicateSubject, message);
                group.bad(&plan.shown, *count, fault).await;
            }
        }
    }
    Ok(main)
}

/// All rows of a related table about one code.
async fn related_rows(
    group: &mut Group<'_>,
    (plan, table, count): (&TablePlan, &mut TableRows, &mut u64),
    main: Option<&MainRow>,
    collected: &mut Collected,
) -> Result<(), Error> {
    let key = group.position.key.clone();
    while table.is_at(&key) {
        let Some(row) = table.advance().await? else {
            break;
        };
        *count += 1;
        let read = cells(&row.cells, plan, &group.shared.database, &key)
            .and_then(|cells| plan.layout.read_related(&group.shared.mapping, &cells));
        match read {
            Err(fault) => group.bad(&plan.shown, *count, fault).await,
            Ok(row) if main.is_some_and(|main| row.uscc == Some(main.uscc)) => {
                collected.add(&group.shared.mapping, row);
            }
            Ok(_) => {
                let message = "the main table has no good row about this subject";
                let fault = Fault::new(Reason::UnknownSubject, message);
                group.bad(&plan.shown, *count, fault).await;
            }
        }
    }
    Ok(())
}

/// A connection for each table, all of one moment where the database can do that.
async fn open(
    shared: &Shared,
    plans: &[TablePlan],
    from: Option<&Position>,
) -> Result<Vec<TableRows>, Error> {
    let mut connections = Vec::new();
    let mut snapshot = None;
    for plan in plans {
        let failed = |failure: Failure| failure.into_error(&plan.shown);
        let mut live = shared
            .options
            .connect(shared.database.acquire_timeout)
            .await
            .map_err(failed)?;
        let first = connections.is_empty();
        begin(shared.dialect, &mut live).await.map_err(failed)?;
        if shared.dialect == Dialect::Postgres && plans.len() > 1 {
            if first {
                snapshot = export_snapshot(shared.dialect, &mut live)
                    .await
                    .map_err(failed)?;
            } else if let Some(snapshot) = &snapshot {
                let statement = format!("SET TRANSACTION SNAPSHOT '{snapshot}'");
                live.execute(statement).await.map_err(failed)?;
            }
        }
        connections.push(live);
    }
    Ok(plans
        .iter()
        .zip(connections)
        .map(|(plan, live)| TableRows::begin(shared, plan, live, from))
        .collect())
}

async fn begin(dialect: Dialect, live: &mut Live) -> Result<(), Failure> {
    for statement in dialect.begin() {
        live.execute((*statement).to_owned()).await?;
    }
    Ok(())
}

/// PostgreSQL's name of the moment that a transaction sees; a standby has none to give.
async fn export_snapshot(dialect: Dialect, live: &mut Live) -> Result<Option<String>, Failure> {
    match live.all("SELECT pg_export_snapshot()", &[]).await {
        Ok(rows) => {
            let name = rows
                .into_iter()
                .next()
                .and_then(|row| row.into_iter().next());
            // It is put between quotes: nothing but what such names are made of may be in it.
            Ok(name.filter(|name| name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')))
        }
        Err(_) => {
            live.execute("ROLLBACK".to_owned()).await?;
            begin(dialect, live).await?;
            Ok(None)
        }
    }
}
