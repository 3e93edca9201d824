//! One pass over the rows of all files, in order, from any place, in constant memory.
//!
//! Not here: duplicates and which related rows go with a subject, which need the index that a walk builds.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::index::{At, Content, Index, IndexedFile, Place};
use super::lines::{Line, Lines, Splitter};
use super::sheets;
use crate::assemble::Collected;
use crate::error::Error;
use crate::mapping::{Encoding, Mapping, Origin};
use crate::row::{Fault, MainRow, RelatedRow};
use crate::source::Reason;

/// What a good row says.
pub(super) enum Parsed {
    Main(MainRow),
    /// With the place of its table among the related ones.
    Related(usize, RelatedRow),
}

/// What a line gives.
pub(super) type Outcome = Result<Parsed, Fault>;

/// One row of the walk.
pub(super) struct Row {
    /// As reports show it, and as the index knows it.
    pub(super) place: Place,
    /// Where to begin to read this row again.
    pub(super) start: Place,
    /// Where the next line begins.
    pub(super) after: Place,
    pub(super) outcome: Outcome,
}

/// How long lines and cells may be, and how text is encoded.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) line: usize,
    pub(super) cell: usize,
    pub(super) encoding: Encoding,
}

impl Limits {
    pub(super) fn of(mapping: &Mapping) -> Self {
        match &mapping.origin {
            Origin::Csv {
                max_line_bytes,
                max_cell_bytes,
                encoding,
                ..
            } => Self {
                line: *max_line_bytes,
                cell: *max_cell_bytes,
                encoding: *encoding,
            },
            Origin::Xlsx { max_cell_bytes, .. } => Self {
                line: sheets::MAX_SPOOLED_ROW,
                cell: *max_cell_bytes,
                encoding: Encoding::Utf8,
            },
            // Sources of other kinds are not opened here.
            Origin::Postgres(_) | Origin::MySql(_) | Origin::Http(_) => Self {
                line: 0,
                cell: 0,
                encoding: Encoding::Utf8,
            },
        }
    }
}

/// Where a pass over the rows stands. It does not hold what it walks over, so that its owner can.
pub(super) struct Cursor {
    limits: Limits,
    file: usize,
    lines: Option<Lines<BufReader<At>>>,
    /// Where to begin in the file that is not open yet; `None`: after its header.
    start: Option<Place>,
    splitter: Splitter,
}

impl Cursor {
    pub(super) fn new(mapping: &Mapping, from: Option<Place>) -> Self {
        let limits = Limits::of(mapping);
        Self {
            limits,
            file: from.map_or(0, |place| usize::from(place.file)),
            lines: None,
            start: from,
            splitter: Splitter::new(limits.encoding),
        }
    }

    /// The next row; blank lines are no rows.
    pub(super) fn next(
        &mut self,
        mapping: &Mapping,
        files: &[IndexedFile],
    ) -> Result<Option<Row>, Error> {
        while let Some(indexed) = files.get(self.file) {
            let path = &indexed.file.path;
            let lines = match &mut self.lines {
                Some(lines) => lines,
                None => {
                    let opened = open(self.limits, indexed, self.start.take())?;
                    self.lines.insert(opened)
                }
            };
            let Some(line) = lines.next().map_err(Error::io(path))? else {
                // A file that grew or shrank while it was read is not the one that was indexed.
                let whole = lines.position().0 == indexed.stamp.length;
                if matches!(indexed.content, Content::Csv) && !whole {
                    return Err(Error::Changed { path: path.clone() });
                }
                self.file += 1;
                self.lines = None;
                continue;
            };
            if line
                .bytes
                .is_some_and(|bytes| bytes.trim_ascii().is_empty())
            {
                continue;
            }
            let start = place(self.file, line.offset, line.number)?;
            let (shown, outcome) =
                read_line(mapping, self.limits, indexed, &mut self.splitter, &line);
            let (offset, number) = lines.position();
            return Ok(Some(Row {
                place: Place {
                    line: shown.unwrap_or(start.line),
                    ..start
                },
                start,
                after: place(self.file, offset, number)?,
                outcome,
            }));
        }
        Ok(None)
    }
}

fn place(file: usize, offset: u64, line: u64) -> Result<Place, Error> {
    let limit = |what: &str, limit: u64| Error::Limit {
        what: what.to_owned(),
        limit,
    };
    Ok(Place {
        file: u16::try_from(file).map_err(|_| limit("files", u64::from(u16::MAX)))?,
        line: u32::try_from(line).map_err(|_| limit("lines in a file", u64::from(u32::MAX)))?,
        offset,
    })
}

fn open(
    limits: Limits,
    indexed: &IndexedFile,
    start: Option<Place>,
) -> Result<Lines<BufReader<At>>, Error> {
    let file = indexed.open()?;
    let (offset, number) = start.map_or((0, 1), |place| (place.offset, u64::from(place.line)));
    let input = BufReader::with_capacity(BUFFER_BYTES, At { file, offset });
    let mut lines = Lines::new(input, limits.line, offset, number);
    if start.is_none() && matches!(indexed.content, Content::Csv) {
        // The header was checked when the file was indexed.
        lines.next().map_err(Error::io(&indexed.file.path))?;
    }
    Ok(lines)
}

const BUFFER_BYTES: usize = 64 * 1024;

/// Reads one line; with it the number of the row, where that is not the line's.
fn read_line(
    mapping: &Mapping,
    limits: Limits,
    indexed: &IndexedFile,
    splitter: &mut Splitter,
    line: &Line<'_>,
) -> (Option<u32>, Outcome) {
    let Some(bytes) = line.bytes else {
        let message = format!("the line is longer than {} bytes", limits.line);
        return (None, Err(Fault::new(Reason::LineTooLong, message)));
    };
    match indexed.content {
        Content::Csv => (None, read_cells(mapping, indexed, limits, splitter, bytes)),
        Content::Spool(_) => match sheets::read_spooled(bytes, limits.cell) {
            Ok((row, cells)) => {
                let outcome = cells.and_then(|cells| {
                    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                    read_row(mapping, indexed, &cells)
                });
                (Some(row), outcome)
            }
            Err(fault) => (None, Err(fault)),
        },
    }
}

fn read_cells(
    mapping: &Mapping,
    indexed: &IndexedFile,
    limits: Limits,
    splitter: &mut Splitter,
    bytes: &[u8],
) -> Outcome {
    let cells = splitter.split(bytes, limits.cell)?;
    if cells.len() != indexed.layout.width {
        let message = format!(
            "the row has {} cells, the header has {}",
            cells.len(),
            indexed.layout.width
        );
        return Err(Fault::new(Reason::ColumnCount, message));
    }
    read_row(mapping, indexed, &cells)
}

fn read_row(mapping: &Mapping, indexed: &IndexedFile, cells: &[&str]) -> Outcome {
    match indexed.table {
        None => {
            let main = indexed.layout.read_main(mapping, cells)?;
            if main.items.is_empty() && mapping.related.is_empty() {
                let message = "no mapped column holds a value";
                return Err(Fault::new(Reason::NoItems, message));
            }
            Ok(Parsed::Main(main))
        }
        Some(table) => {
            let row = indexed.layout.read_related(mapping, cells)?;
            Ok(Parsed::Related(table, row))
        }
    }
}

/// Reads single rows, and keeps what it needs for the next one.
pub(super) struct RowReader {
    limits: Limits,
    splitter: Splitter,
    open: Vec<Option<Arc<File>>>,
}

/// Most lines are shorter.
const ROW_BUFFER_BYTES: usize = 4096;

impl RowReader {
    pub(super) fn new(mapping: &Mapping, index: &Index) -> Self {
        let limits = Limits::of(mapping);
        Self {
            limits,
            splitter: Splitter::new(limits.encoding),
            open: vec![None; index.files.len()],
        }
    }

    /// The row at a place that the index knows; one that is bad now has changed.
    pub(super) fn read(
        &mut self,
        mapping: &Mapping,
        index: &Index,
        place: Place,
    ) -> Result<Parsed, Error> {
        let number = usize::from(place.file);
        let indexed = &index.files[number];
        let file = match &self.open[number] {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.open[number].insert(indexed.open()?)),
        };
        let at = At {
            file,
            offset: place.offset,
        };
        let input = BufReader::with_capacity(ROW_BUFFER_BYTES, at);
        let line_number = u64::from(place.line);
        let mut lines = Lines::new(input, self.limits.line, place.offset, line_number);
        let path = &indexed.file.path;
        let outcome = match lines.next().map_err(Error::io(path))? {
            Some(line) => read_line(mapping, self.limits, indexed, &mut self.splitter, &line)
                .1
                .ok(),
            None => None,
        };
        outcome.ok_or_else(|| Error::Changed { path: path.clone() })
    }

    /// All related rows of the subject of a main row.
    pub(super) fn collect(
        &mut self,
        mapping: &Mapping,
        index: &Index,
        main: &MainRow,
    ) -> Result<Collected, Error> {
        let mut collected = Collected::new(mapping);
        for place in index.related(&main.uscc) {
            match self.read(mapping, index, place)? {
                Parsed::Related(_, row) if row.uscc == Some(main.uscc) => {
                    collected.add(mapping, row);
                }
                _ => {
                    let path = index.files[usize::from(place.file)].file.path.clone();
                    return Err(Error::Changed { path });
                }
            }
        }
        Ok(collected)
    }
}
