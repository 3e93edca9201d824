//! One pass over the rows of all files, in order, from any place, in constant memory.
//!
//! Not here: duplicates, which need the index that a walk builds.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};

use super::index::{IndexedFile, Place};
use super::lines::{Line, Lines, Splitter};
use crate::error::Error;
use crate::mapping::{Mapping, Origin};
use crate::record::SubjectRecord;
use crate::row::{Fault, Layout};
use crate::source::{Reason, Warning};

/// What a line gives: a record with its warnings, or a fault.
pub(super) type Outcome = Result<(SubjectRecord, Vec<Warning>), Fault>;

/// One row of the walk.
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) outcome: Outcome,
    /// Where the next line begins.
    pub(super) after: Place,
}

/// Where a pass over the rows stands. It does not hold what it walks over, so that its owner can.
pub(super) struct Cursor {
    file: usize,
    lines: Option<Lines<BufReader<File>>>,
    /// Where to begin in the file that is not open yet; `None`: after its header.
    start: Option<Place>,
    splitter: Splitter,
}

impl Cursor {
    pub(super) fn new(from: Option<Place>) -> Self {
        Self {
            file: from.map_or(0, |place| usize::from(place.file)),
            lines: None,
            start: from,
            splitter: Splitter::new(),
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
                None => self
                    .lines
                    .insert(open(mapping, indexed, self.start.take())?),
            };
            let Some(line) = lines.next().map_err(Error::io(path))? else {
                // A file that grew or shrank while it was read is not the one that was indexed.
                if lines.position().0 != indexed.stamp.length {
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
            let place = place(self.file, line.offset, line.number)?;
            let outcome = read_line(mapping, &indexed.layout, &mut self.splitter, &line);
            let (offset, number) = lines.position();
            return Ok(Some(Row {
                place,
                outcome,
                after: self::place(self.file, offset, number)?,
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
    mapping: &Mapping,
    indexed: &IndexedFile,
    start: Option<Place>,
) -> Result<Lines<BufReader<File>>, Error> {
    let path = &indexed.file.path;
    let mut file = indexed.open()?;
    let Origin::Csv { max_line_bytes, .. } = &mapping.origin;
    if let Some(start) = start {
        file.seek(SeekFrom::Start(start.offset))
            .map_err(Error::io(path))?;
        let input = BufReader::with_capacity(BUFFER_BYTES, file);
        let number = u64::from(start.line);
        return Ok(Lines::new(input, *max_line_bytes, start.offset, number));
    }
    let input = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut lines = Lines::new(input, *max_line_bytes, 0, 1);
    // The header was checked when the file was indexed.
    lines.next().map_err(Error::io(path))?;
    Ok(lines)
}

const BUFFER_BYTES: usize = 64 * 1024;

/// Reads one line's record.
pub(super) fn read_line(
    mapping: &Mapping,
    layout: &Layout,
    splitter: &mut Splitter,
    line: &Line<'_>,
) -> Outcome {
    let Origin::Csv {
        max_line_bytes,
        max_cell_bytes,
        ..
    } = &mapping.origin;
    let Some(bytes) = line.bytes else {
        let message = format!("the line is longer than {max_line_bytes} bytes");
        return Err(Fault::new(Reason::LineTooLong, message));
    };
    let cells = splitter.split(bytes, *max_cell_bytes)?;
    if cells.len() != layout.width {
        let message = format!(
            "the row has {} cells, the header has {}",
            cells.len(),
            layout.width
        );
        return Err(Fault::new(Reason::ColumnCount, message));
    }
    layout.read(mapping, &cells)
}
