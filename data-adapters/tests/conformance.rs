//! The conformance suite catches adapters that break the contract, rule by rule.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use xinqiao_data_adapters::conformance::{Expectations, run};
use xinqiao_data_adapters::generate::{Generated, generate};
use xinqiao_data_adapters::{
    Checkpoint, Description, Error, FetchError, Fetching, FileSource, Mapping, Scan, Scanned,
    Source,
};
use xinqiao_ledger::uscc::Uscc;

const SEED: u64 = 7;

fn expectations(generated: &Generated, source: &str) -> Expectations {
    let mut expectations = Expectations::default();
    for enterprise in &generated.enterprises {
        match enterprise.holdings.iter().find(|h| h.source == source) {
            Some(holding) => {
                let items = holding.items.iter().map(|code| (*code).to_owned());
                expectations
                    .subjects
                    .insert(enterprise.uscc, items.collect());
            }
            None => expectations.unknown.push(enterprise.uscc),
        }
        expectations.markers.push(enterprise.name.clone());
    }
    expectations
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime starts")
        .block_on(future)
}

#[test]
fn every_generated_source_conforms() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let generated = generate(dir.path(), SEED, 120).expect("generated");
    for source in &generated.sources {
        let opened = xinqiao_data_adapters::open(Mapping::read(&source.mapping).expect("mapping"))
            .expect("opens");
        let expectations = expectations(&generated, source.name);
        assert!(
            !expectations.subjects.is_empty() && !expectations.unknown.is_empty(),
            "{} proves nothing",
            source.name
        );
        block_on(run(opened.as_ref(), &expectations))
            .unwrap_or_else(|violation| panic!("{}: {violation}", source.name));
    }
}

/// A good adapter with one fault.
struct Broken {
    good: FileSource,
    fault: Fault,
    scans: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    LosesTheLast,
    RepeatsTheFirst,
    DropsAnItem,
    ReordersFields,
    Unstable,
    IgnoresCheckpoints,
    AcceptsAnyCheckpoint,
    FetchesAnother,
    InventsRecords,
    Miscounts,
}

impl Source for Broken {
    fn describe(&self) -> Description {
        let mut description = self.good.describe();
        if self.fault == Fault::Miscounts {
            description.subjects = Some(description.subjects.map_or(0, |count| count + 1));
        }
        description
    }

    fn fetch<'a>(&'a self, uscc: &Uscc) -> Fetching<'a> {
        let uscc = *uscc;
        Box::pin(async move {
            let first = || {
                let mut scan = self.good.scan(None).expect("scan");
                scan.find_map(|step| step.expect("step").row.ok())
                    .expect("a record")
            };
            match self.fault {
                Fault::FetchesAnother => Ok(first()),
                Fault::InventsRecords => match self.good.fetch(&uscc).await {
                    Err(FetchError::NotFound) => Ok(first()),
                    found => found,
                },
                _ => self.good.fetch(&uscc).await,
            }
        })
    }

    fn scan(&self, from: Option<&Checkpoint>) -> Result<Scan, Error> {
        let scans = self.scans.fetch_add(1, Ordering::Relaxed);
        let from = match (self.fault, from) {
            (Fault::IgnoresCheckpoints, Some(c)) => {
                drop(self.good.scan(Some(c))?);
                None
            }
            (_, from) => from,
        };
        let started = match self.good.scan(from) {
            Err(_) if self.fault == Fault::AcceptsAnyCheckpoint => self.good.scan(None),
            started => started,
        };
        let mut steps: Vec<Scanned> = started?.collect::<Result<_, _>>()?;
        match self.fault {
            Fault::LosesTheLast => {
                steps.pop();
            }
            Fault::RepeatsTheFirst => steps.extend(steps.first().cloned()),
            Fault::Unstable if scans % 2 == 1 => steps.reverse(),
            Fault::DropsAnItem | Fault::ReordersFields => {
                for record in steps.iter_mut().filter_map(|step| step.row.as_mut().ok()) {
                    if self.fault == Fault::DropsAnItem {
                        record.items.truncate(1);
                    } else {
                        // Still the same JSON value, no longer the same bytes.
                        record.items[0].canonical.insert(1, b' ');
                    }
                }
            }
            _ => {}
        }
        Ok(Box::new(steps.into_iter().map(Ok)))
    }

    fn refresh(&self) -> Result<(), Error> {
        self.good.refresh()
    }
}

fn verdict(mapping: &Path, expectations: &Expectations, fault: Fault) -> Option<&'static str> {
    let broken = Broken {
        good: FileSource::open(Mapping::read(mapping).expect("mapping")).expect("opens"),
        fault,
        scans: AtomicUsize::new(0),
    };
    block_on(run(&broken, expectations))
        .err()
        .map(|violation| violation.rule)
}

#[test]
fn each_broken_rule_is_found() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let generated = generate(dir.path(), SEED, 40).expect("generated");
    let source = &generated.sources[3];
    let expectations = expectations(&generated, source.name);
    let complete = "a scan yields every subject once, with its items";
    let resumed = "a resumed scan gives exactly what followed";
    for (fault, rule) in [
        (Fault::None, None),
        (Fault::LosesTheLast, Some(complete)),
        (Fault::RepeatsTheFirst, Some(complete)),
        (Fault::DropsAnItem, Some(complete)),
        (
            Fault::ReordersFields,
            Some("an item is the RFC 8785 form of its declared fields"),
        ),
        (Fault::Unstable, Some("two scans give the same")),
        (Fault::IgnoresCheckpoints, Some(resumed)),
        (
            Fault::AcceptsAnyCheckpoint,
            Some("a foreign checkpoint is refused"),
        ),
        (
            Fault::FetchesAnother,
            Some("a fetch gives what the scan gave"),
        ),
        (
            Fault::InventsRecords,
            Some("a subject without a record is not found"),
        ),
        (
            Fault::Miscounts,
            Some("a description counts what a scan finds"),
        ),
    ] {
        assert_eq!(verdict(&source.mapping, &expectations, fault), rule);
    }
}
