//! A JSON interface over HTTP as a [`Source`].
//!
//! A scan goes through pages of subjects, which the interface gives in the order of their codes: so a subject
//! that comes twice is seen without remembering all others, here and after a resumption. A fetch asks for one
//! subject, and gets the same JSON. Related rows are arrays inside the subject. One page is in memory at a time.
//!
//! Numbers keep the digits that were sent, see [`crate::json`]. Not here: requests and retries ([`client`]).

mod client;
mod page;

use std::sync::Arc;

use tokio::sync::Semaphore;
use url::Url;
use xinqiao_ledger::uscc::Uscc;

use crate::OpenOptions;
use crate::assemble::{Assembled, Collected};
use crate::error::Error;
use crate::json::Json;
use crate::mapping::{Endpoint, Mapping, Origin, RelatedPlace, SUBJECT_PLACE};
use crate::position::Sealer;
use crate::record::SubjectRecord;
use crate::row::{Fault, Layout};
use crate::source::{
    BadRow, Checkpoint, Description, FetchError, Fetching, Reason, Scan, Scanned, Source, Warning,
};
use crate::workers::{Steps, Workers};
use client::{Failure, Requests};
use page::{Page, Position};

/// An interface behind one mapping.
pub struct HttpSource {
    shared: Arc<Shared>,
    workers: Workers,
}

struct Shared {
    mapping: Mapping,
    endpoint: Endpoint,
    requests: Requests,
    /// One for each fetch under way.
    permits: Semaphore,
    sealer: Sealer,
    /// What interfaces are called in reports: no query, which may hold a key.
    shown: String,
    main: Layout,
    /// With the pointer to the array, in the mapping's order.
    related: Vec<(String, Layout)>,
}

impl std::fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpSource({})", self.shared.mapping.name)
    }
}

impl HttpSource {
    /// Reads secrets and asks for the first page.
    ///
    /// # Errors
    /// [`Error::Secret`], [`Error::Unavailable`], [`Error::Bomb`], [`Error::Schema`].
    pub(crate) fn open(mapping: Mapping, options: &OpenOptions) -> Result<Self, Error> {
        let Origin::Http(endpoint) = &mapping.origin else {
            return Err(Error::Unavailable("this source is no interface".to_owned()));
        };
        let endpoint = endpoint.clone();
        let schema = |message: String| Error::Schema {
            table: mapping.name.clone(),
            message,
        };
        let main = Layout::new(&mapping, None, &mapping.columns(None)).map_err(schema)?;
        let mut related = Vec::new();
        for (index, table) in mapping.related.iter().enumerate() {
            if let RelatedPlace::Array { pointer } = &table.place {
                let columns = mapping.columns(Some(index));
                let layout = Layout::new(&mapping, Some(index), &columns).map_err(schema)?;
                related.push((pointer.clone(), layout));
            }
        }
        let shown = endpoint
            .scan_url
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let context = format!("http1-{:016x}", mapping.fingerprint);
        let key = options.checkpoint_key.unwrap_or_else(rand::random);
        let workers = Workers::new(&mapping.name)?;
        let shared = Arc::new(Shared {
            requests: Requests::new(&endpoint)?,
            permits: Semaphore::new(endpoint.max_concurrent),
            sealer: Sealer::new(key, context),
            shown,
            main,
            related,
            endpoint,
            mapping,
        });
        let source = Self { shared, workers };
        source.refresh()?;
        Ok(source)
    }
}

impl Source for HttpSource {
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
            Some(checkpoint) => Some(Position::decode(&self.shared.sealer.open(checkpoint)?)?),
        };
        let shared = Arc::clone(&self.shared);
        Ok(self.workers.scan(|steps| shared.scan(from, steps)))
    }

    fn refresh(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        self.workers.block(async move {
            let page = Page::first(&shared.endpoint.paging);
            let answer = shared.get(&page.url(&shared.endpoint)?).await?;
            shared.records(&answer.body).map(drop)
        })
    }
}

/// One step before it has a checkpoint.
type Step = (Result<SubjectRecord, BadRow>, Vec<Warning>);

impl Shared {
    async fn get(&self, url: &Url) -> Result<client::Answer, Error> {
        self.requests
            .get(url)
            .await
            .map_err(|failure| match failure {
                Failure::Bomb(message) => Error::Bomb {
                    place: self.shown.clone(),
                    message,
                },
                Failure::Unavailable(message) => Error::Unavailable(message),
                Failure::NotThere => Error::Schema {
                    table: self.shown.clone(),
                    message: "there is nothing at this address".to_owned(),
                },
            })
    }

    fn records<'j>(&self, body: &'j Json) -> Result<&'j [Json], Error> {
        match body.at(&self.endpoint.records) {
            Some(Json::Array(records)) => Ok(records),
            _ => Err(Error::Schema {
                table: self.shown.clone(),
                message: format!("a page has no array at {:?}", self.endpoint.records),
            }),
        }
    }

    async fn fetch(&self, uscc: &Uscc) -> Result<SubjectRecord, FetchError> {
        let unavailable = |message: &str| FetchError::Unavailable(message.to_owned());
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| unavailable("the source was closed"))?;
        // A code is of letters and digits: it needs no escaping, wherever in the address it goes.
        let url = self
            .endpoint
            .fetch_url
            .replace(SUBJECT_PLACE, uscc.expose());
        let url = Url::parse(&url).map_err(|_| unavailable("fetch_url is no address"))?;
        let answer = self
            .requests
            .get(&url)
            .await
            .map_err(|failure| match failure {
                Failure::NotThere => FetchError::NotFound,
                Failure::Bomb(message) => FetchError::Bomb(message),
                Failure::Unavailable(message) => FetchError::Unavailable(message),
            })?;
        let record = match answer.body.at(&self.endpoint.record) {
            None | Some(Json::Null) => return Err(FetchError::NotFound),
            Some(record) => record,
        };
        let bad = |fault: Fault| FetchError::Bad {
            reason: fault.reason,
            message: fault.message,
        };
        let (assembled, _) = self.read(record).map_err(bad)?;
        match assembled.record.map_err(bad)? {
            record if record.uscc == *uscc => Ok(record),
            _ => Err(unavailable("the interface answers about another subject")),
        }
    }

    async fn scan(self: Arc<Self>, from: Option<Position>, mut out: Steps) -> Result<(), Error> {
        let paging = &self.endpoint.paging;
        let mut position = from.unwrap_or_else(|| Position {
            page: Page::first(paging),
            records: 0,
            steps: 0,
            count: 0,
            last: String::new(),
        });
        loop {
            let answer = self.get(&position.page.url(&self.endpoint)?).await?;
            let records = self.records(&answer.body)?;
            let next = position
                .page
                .next(paging, &answer)?
                .filter(|_| !records.is_empty());
            let done = usize::try_from(position.records).unwrap_or(usize::MAX);
            for record in records.iter().skip(done) {
                self.steps(record, &mut position, &mut out).await;
            }
            let Some(page) = next else {
                break;
            };
            position = Position {
                page,
                records: 0,
                steps: 0,
                ..position
            };
        }
        out.flush().await;
        Ok(())
    }

    /// Gives what one record comes to, and moves behind it.
    async fn steps(&self, record: &Json, position: &mut Position, out: &mut Steps) {
        let line = position.count + 1;
        let bad = |fault: Fault| -> Step {
            let bad = BadRow {
                file: self.shown.clone(),
                line,
                reason: fault.reason,
                message: fault.message,
            };
            (Err(bad), Vec::new())
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut last = position.last.clone();
        match self.read(record) {
            Err(fault) => steps.push(bad(fault)),
            Ok((assembled, faults)) => {
                let code = assembled.uscc.expose().to_owned();
                match code.as_str().cmp(position.last.as_str()) {
                    std::cmp::Ordering::Greater => {
                        last = code;
                        steps.extend(faults.into_iter().map(bad));
                        steps.extend(assembled.left_out.into_iter().map(bad));
                        steps.push(match assembled.record {
                            Ok(record) => (Ok(record), assembled.warnings),
                            Err(fault) => bad(fault),
                        });
                    }
                    std::cmp::Ordering::Equal => {
                        let message = "the subject was already given by the record before";
                        steps.push(bad(Fault::new(Reason::DuplicateSubject, message)));
                    }
                    std::cmp::Ordering::Less => {
                        let message = "a subject with a larger code came before this one";
                        steps.push(bad(Fault::new(Reason::OutOfOrder, message)));
                    }
                }
            }
        }
        let given = position.steps;
        let all = steps.len() as u64;
        for (number, (row, warnings)) in (1_u64..).zip(steps) {
            if number <= given {
                continue;
            }
            if number == all {
                position.records += 1;
                position.count += 1;
                position.steps = 0;
                position.last.clone_from(&last);
            } else {
                position.steps = number;
            }
            let after = self.sealer.seal(&position.encode());
            out.push(Scanned {
                row,
                warnings,
                after,
            })
            .await;
        }
    }

    /// Reads one subject's JSON; with it, what is wrong with its related rows.
    fn read(&self, record: &Json) -> Result<(Assembled, Vec<Fault>), Fault> {
        let mapping = &self.mapping;
        let cells = self.cells(record, &mapping.columns(None))?;
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let main = self.main.read_main(mapping, &cells)?;
        let mut collected = Collected::new(mapping);
        let mut faults = Vec::new();
        for (index, (pointer, layout)) in self.related.iter().enumerate() {
            let name = &mapping.related[index].name;
            let rows: &[Json] = match record.at(pointer) {
                None | Some(Json::Null) => &[],
                Some(Json::Array(rows)) => rows,
                Some(_) => {
                    let message = format!("{name}: there is no array at {pointer:?}");
                    faults.push(Fault::new(Reason::NotAnObject, message));
                    &[]
                }
            };
            let columns = mapping.columns(Some(index));
            for (number, row) in (1_u64..).zip(rows) {
                let read = self.cells(row, &columns).and_then(|cells| {
                    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                    layout.read_related(mapping, &cells)
                });
                match read {
                    Ok(row) => collected.add(mapping, row),
                    Err(fault) => faults.push(Fault::new(
                        fault.reason,
                        format!("{name}, entry {number}: {}", fault.message),
                    )),
                }
            }
        }
        Ok((collected.assemble(mapping, main), faults))
    }

    /// The text of each column.
    fn cells(&self, record: &Json, columns: &[&str]) -> Result<Vec<String>, Fault> {
        if !matches!(record, Json::Object(_)) {
            let message = "what stands here is no object";
            return Err(Fault::new(Reason::NotAnObject, message));
        }
        let most = self.endpoint.max_cell_bytes;
        let cell = |column: &&str| {
            let text = match record.named(column) {
                None | Some(Json::Null) => return Ok(String::new()),
                Some(Json::Text(text) | Json::Number(text)) => text.clone(),
                Some(Json::Bool(value)) => value.to_string(),
                Some(Json::Array(_) | Json::Object(_)) => {
                    let message = format!("{column:?} wants one value, found several");
                    return Err(Fault::new(Reason::WrongType, message));
                }
            };
            if text.len() > most {
                let message = format!("{column:?} has {} bytes, at most {most}", text.len());
                return Err(Fault::new(Reason::CellTooLong, message));
            }
            if text.contains('\0') {
                let message = format!("{column:?} holds a NUL");
                return Err(Fault::new(Reason::Nul, message));
            }
            Ok(text)
        };
        columns.iter().map(cell).collect()
    }
}
