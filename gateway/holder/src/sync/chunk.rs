//! Rows of a scan in chunks, and the digests that differ from what the ledger has.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use xinqiao_contracts::{
    record::{DigestEntry, SourceRecord},
    table::DIGESTS,
};
use xinqiao_data_adapters::{BadRow, Checkpoint, SubjectRecord};
use xinqiao_ledger::{item::DigestedReport, wire};
use xinqiao_node::Replica;

use crate::{codes, error::Error, holding::Holding};

/// Rows of one chunk. A batch is made of whole chunks, so one may go over its size by this much.
pub(super) const ROWS: usize = 500;

/// Some rows of a scan, in order.
pub(super) struct Chunk {
    records: Vec<SubjectRecord>,
    bad_rows: Vec<BadRow>,
    warnings: u64,
    after: Checkpoint,
    /// How long it took to read.
    reading: Duration,
}

/// What became of a chunk.
pub(super) struct Digested {
    pub(super) subjects: Vec<codes::Record>,
    pub(super) items: u64,
    pub(super) changed: Vec<wire::DigestEntry>,
    pub(super) unchanged: u64,
    pub(super) older: u64,
    pub(super) bad_rows: Vec<BadRow>,
    pub(super) warnings: u64,
    pub(super) after: Checkpoint,
    pub(super) reading: Duration,
    pub(super) digesting: Duration,
}

/// Reads the source from a checkpoint on and sends its rows in chunks. Blocks.
pub(super) fn scan(
    holding: &Holding,
    from: Option<&Checkpoint>,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), Error> {
    let fault = |fault| Error::Source {
        source_id: holding.id().clone(),
        fault,
    };
    let mut chunk: Option<Chunk> = None;
    let mut begun = Instant::now();
    for step in holding.adapter().scan(from).map_err(fault)? {
        let step = step.map_err(fault)?;
        let mut filling = chunk.take().unwrap_or_else(|| Chunk {
            records: Vec::with_capacity(ROWS),
            bad_rows: Vec::new(),
            warnings: 0,
            after: step.after.clone(),
            reading: Duration::ZERO,
        });
        filling.warnings += step.warnings.len() as u64;
        filling.after = step.after;
        match step.row {
            Ok(record) => filling.records.push(record),
            Err(bad) => filling.bad_rows.push(bad),
        }
        if filling.records.len() + filling.bad_rows.len() < ROWS {
            chunk = Some(filling);
        } else {
            filling.reading = begun.elapsed();
            if chunks.blocking_send(filling).is_err() {
                // The run has ended; its own error says why.
                return Ok(());
            }
            begun = Instant::now();
        }
    }
    if let Some(last) = chunk {
        let _ = chunks.blocking_send(last);
    }
    Ok(())
}

/// Digests a chunk and compares it with the replica. Blocks.
pub(super) fn digest(
    replica: &Replica,
    holding: &Holding,
    source: &SourceRecord,
    chunk: Chunk,
) -> Result<Digested, Error> {
    let begun = Instant::now();
    let mut done = Digested {
        subjects: Vec::with_capacity(chunk.records.len()),
        items: 0,
        changed: Vec::new(),
        unchanged: 0,
        older: 0,
        bad_rows: chunk.bad_rows,
        warnings: chunk.warnings,
        after: chunk.after,
        reading: chunk.reading,
        digesting: Duration::ZERO,
    };
    let state = replica.state();
    let subjects = holding.subjects(chunk.records.iter().map(|record| &record.uscc));
    let codes = holding.codes(&subjects, chunk.records.iter().map(|record| &record.uscc));
    let days: Vec<u32> = chunk.records.iter().map(SubjectRecord::as_of_day).collect();
    let reports = holding.digest(&subjects, chunk.records);
    // The mapping's codes were checked against the source's, so every record has a digest.
    let digested: Vec<(usize, DigestedReport)> = (reports.into_iter().enumerate())
        .filter_map(|(index, record)| Some((index, record?.report)))
        .collect();
    let roots = DigestedReport::roots(digested.iter().map(|(_, report)| report));
    for ((index, report), root) in digested.into_iter().zip(roots) {
        let (subject, as_of_day, seen) = (subjects[index], days[index], codes[index]);
        let item_set = report.codes().iter().fold(0, |set, code| {
            let index = source.source.items.binary_search(code);
            set | index.map_or(0, |index| 1_u64 << index)
        });
        done.subjects.push(seen);
        done.items += report.codes().len() as u64;
        if let Some(DigestEntry::Registered(has)) =
            DIGESTS.get(&state, &(subject, source.number))?
        {
            if (has.root, has.items, has.as_of_day) == (root, item_set, as_of_day) {
                done.unchanged += 1;
                continue;
            }
            if as_of_day < has.as_of_day {
                done.older += 1;
                continue;
            }
        }
        done.changed.push(wire::DigestEntry {
            subject: subject.to_vec(),
            root: root.as_bytes().to_vec(),
            item_set,
            as_of_day,
        });
    }
    done.digesting = begun.elapsed();
    Ok(done)
}
