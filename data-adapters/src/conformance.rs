//! What every adapter must hold, checked against the adapter itself: each implementation's tests run it.
//!
//! The caller says what the data is ([`Expectations`]); the suite knows the contract of
//! [`Source`]. It reports the first rule that does not hold instead of panicking, so that it can itself
//! be tested with adapters that break a rule.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use xinqiao_ledger::uscc::Uscc;

use crate::error::Error;
use crate::record::{Item, MAX_ITEM_BYTES, SubjectRecord};
use crate::source::{Checkpoint, Description, FetchError, Reason, Scanned, Source};

/// What the data behind a source is known to hold.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Every subject, with the codes of its items in order.
    pub subjects: BTreeMap<Uscc, Vec<String>>,
    /// How many rows a scan reports as bad.
    pub bad_rows: BTreeMap<Reason, u64>,
    /// How many values a scan warns of.
    pub warnings: u64,
    /// Well-formed codes the source knows nothing of.
    pub unknown: Vec<Uscc>,
    /// Texts out of bad rows that no message may repeat.
    pub markers: Vec<String>,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// What was found; redacted like everything else.
    pub detail: String,
}

type Held = Result<(), Violation>;

fn hold(rule: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Held {
    if holds {
        return Ok(());
    }
    Err(Violation {
        rule,
        detail: detail(),
    })
}

/// Resumptions that are tried at most; beyond, every n-th checkpoint.
const RESUMPTIONS: usize = 64;

/// Runs all rules, inside a tokio runtime, against data that nobody changes meanwhile.
///
/// # Errors
/// The first rule that does not hold.
pub async fn run(source: &dyn Source, expectations: &Expectations) -> Result<(), Violation> {
    let description = source.describe();
    let steps = scan(source, None)?;
    complete(&steps, expectations)?;
    reported(&steps, expectations)?;
    well_formed(&steps, &description)?;
    described(&steps, &description)?;
    repeatable(source, &steps)?;
    resumable(source, &steps)?;
    foreign_checkpoints(source)?;
    fetched(source, &steps).await?;
    unknown(source, expectations).await?;
    refreshed(source, &steps)
}

fn scan(source: &dyn Source, from: Option<&Checkpoint>) -> Result<Vec<Scanned>, Violation> {
    let broken = |e: Error| Violation {
        rule: "a scan of good data does not break off",
        detail: e.to_string(),
    };
    source
        .scan(from)
        .map_err(broken)?
        .collect::<Result<_, _>>()
        .map_err(broken)
}

fn records(steps: &[Scanned]) -> impl Iterator<Item = &SubjectRecord> {
    steps.iter().filter_map(|step| step.row.as_ref().ok())
}

fn complete(steps: &[Scanned], expectations: &Expectations) -> Held {
    let rule = "a scan yields every subject once, with its items";
    let mut seen = BTreeMap::new();
    for record in records(steps) {
        let codes: Vec<String> = record.items.iter().map(|i| i.code.clone()).collect();
        let before = seen.insert(record.uscc, codes);
        hold(rule, before.is_none(), || {
            format!("{:?} came twice", record.uscc)
        })?;
    }
    for (uscc, items) in &expectations.subjects {
        hold(rule, seen.get(uscc) == Some(items), || {
            format!("{uscc:?}: expected {items:?}, got {:?}", seen.get(uscc))
        })?;
    }
    hold(rule, seen.len() == expectations.subjects.len(), || {
        format!(
            "{} subjects, expected {}",
            seen.len(),
            expectations.subjects.len()
        )
    })
}

fn reported(steps: &[Scanned], expectations: &Expectations) -> Held {
    let mut bad = BTreeMap::new();
    for row in steps.iter().filter_map(|step| step.row.as_ref().err()) {
        *bad.entry(row.reason).or_insert(0) += 1;
        let placed = !row.file.is_empty() && row.line > 0 && !row.message.is_empty();
        hold("a bad row has file, line and message", placed, || {
            format!("{row:?}")
        })?;
    }
    hold(
        "a scan reports every bad row",
        bad == expectations.bad_rows,
        || format!("{bad:?}, expected {:?}", expectations.bad_rows),
    )?;
    let warnings: u64 = steps.iter().map(|step| step.warnings.len() as u64).sum();
    hold(
        "a scan warns of every unreadable value",
        warnings == expectations.warnings,
        || format!("{warnings}, expected {}", expectations.warnings),
    )?;
    let said: String = steps
        .iter()
        .map(|step| match &step.row {
            Ok(record) => format!("{record:?} {:?} {:?}\n", step.warnings, step.after),
            Err(bad) => format!("{bad} {bad:?} {:?}\n", step.after),
        })
        .collect();
    for (index, marker) in expectations.markers.iter().enumerate() {
        hold(
            "no message repeats a value",
            !said.contains(marker.as_str()),
            || format!("marker {index} was repeated"),
        )?;
    }
    for uscc in expectations.subjects.keys() {
        hold(
            "no message holds a plain code",
            !said.contains(uscc.expose()),
            || format!("that of {uscc:?}"),
        )?;
    }
    Ok(())
}

fn well_formed(steps: &[Scanned], description: &Description) -> Held {
    let rule = "an item is the RFC 8785 form of its declared fields";
    for record in records(steps) {
        let mut codes = BTreeSet::new();
        hold(
            "a record has an item, and none twice",
            !record.items.is_empty() && record.items.iter().all(|item| codes.insert(&item.code)),
            || format!("{record:?}"),
        )?;
        for item in &record.items {
            let declared = description.items.iter().find(|i| i.code == item.code);
            let object = serde_json::from_slice::<Map<String, Value>>(&item.canonical).ok();
            let (Some(declared), Some(object)) = (declared, object) else {
                return hold(rule, false, || format!("{item:?}"));
            };
            let fields: BTreeSet<_> = declared.fields.iter().map(|f| f.name.as_str()).collect();
            let is_record = |object: &Map<String, Value>| {
                fields == object.keys().map(String::as_str).collect()
                    && !object.values().all(Value::is_null)
            };
            let shaped = if declared.is_list {
                let entries = object.get("entries").and_then(Value::as_array);
                object.len() == 1
                    && entries.is_some_and(|entries| {
                        !entries.is_empty()
                            && entries.iter().all(|e| e.as_object().is_some_and(is_record))
                    })
            } else {
                is_record(&object)
            };
            let holds = shaped
                && Item::new(&item.code, &object) == *item
                && item.canonical.len() <= MAX_ITEM_BYTES;
            hold(rule, holds, || format!("{item:?}"))?;
        }
    }
    Ok(())
}

fn described(steps: &[Scanned], description: &Description) -> Held {
    let rule = "a description counts what a scan finds";
    let subjects = records(steps).count() as u64;
    hold(
        rule,
        description.subjects.is_none_or(|count| count == subjects),
        || format!("{:?} subjects, found {subjects}", description.subjects),
    )?;
    let bad = (steps.len() as u64) - subjects;
    let described = description.bad_rows.as_ref();
    hold(
        rule,
        described.is_none_or(|rows| rows.values().sum::<u64>() == bad),
        || format!("{described:?} bad rows, found {bad}"),
    )
}

fn repeatable(source: &dyn Source, steps: &[Scanned]) -> Held {
    let again = scan(source, None)?;
    hold("two scans give the same", again == steps, || {
        format!("{} and {} rows", steps.len(), again.len())
    })
}

fn resumable(source: &dyn Source, steps: &[Scanned]) -> Held {
    let stride = steps.len().div_ceil(RESUMPTIONS).max(1);
    let last = steps.len().saturating_sub(1);
    for index in (0..steps.len()).filter(|i| i % stride == 0 || *i == last) {
        let kept: Checkpoint = match steps[index].after.as_str().parse() {
            Ok(kept) => kept,
            Err(e) => return hold("a checkpoint survives as text", false, || e.to_string()),
        };
        let rest = scan(source, Some(&kept))?;
        hold(
            "a resumed scan gives exactly what followed",
            rest == steps[index + 1..],
            || format!("after row {} of {}", index + 1, steps.len()),
        )?;
    }
    Ok(())
}

fn foreign_checkpoints(source: &dyn Source) -> Held {
    for text in [
        "0",
        "csv2::::::",
        "csv2:0000000000000000:0:1:2:0",
        "~",
        "postgres1-0:AAAA",
    ] {
        let Ok(checkpoint) = text.parse::<Checkpoint>() else {
            continue;
        };
        let refused = matches!(
            source.scan(Some(&checkpoint)),
            Err(Error::Checkpoint { .. })
        );
        hold("a foreign checkpoint is refused", refused, || {
            text.to_owned()
        })?;
    }
    Ok(())
}

async fn fetched(source: &dyn Source, steps: &[Scanned]) -> Held {
    for record in records(steps) {
        let got = source.fetch(&record.uscc).await;
        hold(
            "a fetch gives what the scan gave",
            got.as_ref() == Ok(record),
            || format!("{:?}: {:?}", record.uscc, got.err()),
        )?;
    }
    Ok(())
}

async fn unknown(source: &dyn Source, expectations: &Expectations) -> Held {
    for uscc in &expectations.unknown {
        let got = source.fetch(uscc).await;
        hold(
            "a subject without a record is not found",
            got == Err(FetchError::NotFound),
            || format!("{uscc:?}: {got:?}"),
        )?;
    }
    Ok(())
}

fn refreshed(source: &dyn Source, steps: &[Scanned]) -> Held {
    let rule = "a refresh of unchanged data changes nothing";
    let refreshed = source.refresh();
    hold(rule, refreshed.is_ok(), || format!("{refreshed:?}"))?;
    let again = scan(source, None)?;
    hold(rule, again == steps, || "the scan differs".to_owned())
}
