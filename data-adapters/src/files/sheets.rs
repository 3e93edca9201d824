//! Sheets of an Excel workbook, turned into rows that can be read one by one.
//!
//! A workbook is a zip archive of XML: nothing in it can be found without reading it from the start, and a small
//! file can unpack to anything. So it is first unpacked once into nothing, to see what it comes to; then the
//! mapped columns are copied, row by row, into a file that has no name and is gone with the process. Memory
//! holds one row and the workbook's shared strings, which have limits of their own.
//!
//! A spooled row is a line of JSON: `[row number, ["ttext", "e#REF!", null, …]]`.
//!
//! Not here: what cells mean.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use calamine::{DataRef, Reader as _, Xlsx, XlsxError};

use super::index::{Content, IndexedFile, Stamp};
use crate::error::Error;
use crate::mapping::{DataFile, Mapping, Origin, RelatedPlace};
use crate::row::{Fault, Layout};
use crate::source::Reason;

/// Longest spooled row, in bytes.
pub(super) const MAX_SPOOLED_ROW: usize = 64 * 1024 * 1024;
/// Most entries of the archive.
const MAX_PARTS: usize = 10_000;
/// Most bytes of shared strings, and of every other part that is no sheet: those are held in memory.
const MAX_SHARED_BYTES: u64 = 128 * 1024 * 1024;
const MAX_OTHER_BYTES: u64 = 32 * 1024 * 1024;
/// Most shared strings.
const MAX_SHARED_STRINGS: u64 = 4_000_000;
/// Widest sheet that the format knows.
const MAX_COLUMNS: usize = 16_384;

/// Copies all mapped sheets.
pub(super) fn spool(mapping: &Mapping) -> Result<Vec<IndexedFile>, Error> {
    let Origin::Xlsx {
        file,
        sheet,
        max_cell_bytes,
        max_unpacked_bytes,
    } = &mapping.origin
    else {
        return Ok(Vec::new());
    };
    let path = &file.path;
    let opened = File::open(path).map_err(Error::io(path))?;
    let metadata = opened.metadata().map_err(Error::io(path))?;
    let stamp = Stamp::of(&metadata);
    if !metadata.is_file() {
        return Err(header(path, "this is no regular file"));
    }
    let guard = Guard {
        file,
        most: *max_unpacked_bytes,
    };
    guard.unpack(&opened)?;
    let mut book = guard.open(opened)?;
    let related = mapping.related.iter().enumerate().filter_map(|(index, r)| {
        let RelatedPlace::Sheet { sheet, .. } = &r.place else {
            return None;
        };
        Some((Some(index), sheet))
    });
    let mut indexed = Vec::new();
    for (table, sheet) in std::iter::once((None, sheet)).chain(related) {
        let (layout, spool) = guard.copy(&mut book, mapping, table, sheet, *max_cell_bytes)?;
        indexed.push(IndexedFile {
            file: DataFile {
                name: format!("{}[{sheet}]", file.name),
                path: path.clone(),
            },
            table,
            stamp,
            layout,
            content: Content::Spool(Arc::new(spool)),
        });
    }
    let now = std::fs::metadata(path).map_err(Error::io(path))?;
    if Stamp::of(&now) != stamp {
        return Err(Error::Changed { path: path.clone() });
    }
    Ok(indexed)
}

fn header(path: &Path, message: impl Into<String>) -> Error {
    Error::Header {
        path: path.to_owned(),
        message: message.into(),
    }
}

type Book = Xlsx<BufReader<File>>;

/// What stands between a workbook and our memory.
struct Guard<'a> {
    file: &'a DataFile,
    most: u64,
}

impl Guard<'_> {
    fn bomb(&self, message: impl Into<String>) -> Error {
        Error::Bomb {
            place: self.file.name.clone(),
            message: message.into(),
        }
    }

    fn unreadable(&self, what: impl std::fmt::Display) -> Error {
        header(
            &self.file.path,
            format!("this workbook cannot be read: {what}"),
        )
    }

    /// Unpacks every part into nothing, and stops where it comes to too much: what an archive says of its
    /// own size proves nothing.
    fn unpack(&self, file: &File) -> Result<(), Error> {
        let handle = file.try_clone().map_err(Error::io(&self.file.path))?;
        let mut archive =
            zip::ZipArchive::new(BufReader::new(handle)).map_err(|e| self.unreadable(e))?;
        if archive.len() > MAX_PARTS {
            return Err(self.bomb(format!("{} parts, at most {MAX_PARTS}", archive.len())));
        }
        let mut declared: u64 = 0;
        for index in 0..archive.len() {
            let part = archive
                .by_index_raw(index)
                .map_err(|e| self.unreadable(e))?;
            declared = declared.saturating_add(part.size());
        }
        if declared > self.most {
            return Err(self.bomb(format!(
                "it says that it unpacks to {declared} bytes, at most {}",
                self.most
            )));
        }
        let mut left = self.most;
        let mut buffer = vec![0; 64 * 1024];
        for index in 0..archive.len() {
            let mut part = archive.by_index(index).map_err(|e| self.unreadable(e))?;
            let name = part
                .name()
                .map_err(|e| self.unreadable(e))?
                .to_ascii_lowercase();
            let shared = name.ends_with("sharedstrings.xml");
            let most = match () {
                () if shared => MAX_SHARED_BYTES,
                () if name.starts_with("xl/worksheets/") || name.starts_with("xl/media/") => {
                    u64::MAX
                }
                () => MAX_OTHER_BYTES,
            };
            let (mut size, mut strings) = (0, Occurrences::new(b"<si"));
            loop {
                let read = part.read(&mut buffer).map_err(|e| self.unreadable(e))?;
                if read == 0 {
                    break;
                }
                size += read as u64;
                if size > left {
                    let message = format!("it unpacks to more than {} bytes", self.most);
                    return Err(self.bomb(message));
                }
                if size > most {
                    return Err(self.bomb(format!("a part of it has more than {most} bytes")));
                }
                if shared && strings.count(&buffer[..read]) > MAX_SHARED_STRINGS {
                    let message = format!("it has more than {MAX_SHARED_STRINGS} shared strings");
                    return Err(self.bomb(message));
                }
            }
            left -= size;
        }
        Ok(())
    }

    fn open(&self, mut file: File) -> Result<Book, Error> {
        file.rewind().map_err(Error::io(&self.file.path))?;
        self.caught(|| Xlsx::new(BufReader::new(file)))
    }

    /// The library was not written for hostile files: where it panics, the file is bad and we go on.
    fn caught<T>(&self, read: impl FnOnce() -> Result<T, XlsxError>) -> Result<T, Error> {
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(read) => read.map_err(|e| self.unreadable(e)),
            Err(_) => Err(self.unreadable("its parts contradict each other")),
        }
    }

    /// Copies one sheet's mapped columns.
    fn copy(
        &self,
        book: &mut Book,
        mapping: &Mapping,
        table: Option<usize>,
        sheet: &str,
        max_cell_bytes: usize,
    ) -> Result<(Layout, File), Error> {
        let names = book.sheet_names();
        if !names.iter().any(|name| name == sheet) {
            let names = names.join(", ");
            let message = format!("there is no sheet {sheet:?}; the sheets are: {names}");
            return Err(header(&self.file.path, message));
        }
        let mut cells = self.caught(|| book.worksheet_cells_reader(sheet))?;
        let mut copy = Copy {
            guard: self,
            mapping,
            table,
            max_cell_bytes,
            header: Vec::new(),
            columns: None,
            row: None,
            output: BufWriter::new(tempfile::tempfile().map_err(Error::io(&self.file.path))?),
            written: 0,
        };
        loop {
            let next = self.caught(|| {
                let cell = cells.next_cell()?;
                Ok(cell.map(|cell| (cell.get_position(), text(cell.get_value()))))
            })?;
            let Some(((row, column), text)) = next else {
                break;
            };
            copy.cell(row, column as usize, text)?;
        }
        copy.finish()
    }
}

/// Counts a word in bytes that come in pieces.
struct Occurrences {
    word: &'static [u8],
    matched: usize,
    count: u64,
}

impl Occurrences {
    fn new(word: &'static [u8]) -> Self {
        Self {
            word,
            matched: 0,
            count: 0,
        }
    }

    /// No prefix of the word occurs later in it, so one place is enough to remember.
    fn count(&mut self, bytes: &[u8]) -> u64 {
        for byte in bytes {
            if *byte == self.word[self.matched] {
                self.matched += 1;
            } else {
                self.matched = usize::from(*byte == self.word[0]);
            }
            if self.matched == self.word.len() {
                self.count += 1;
                self.matched = 0;
            }
        }
        self.count
    }
}

/// A cell's text with its tag: `t` text, `e` error; `None`: empty.
fn text(value: &DataRef<'_>) -> Option<String> {
    Some(match value {
        DataRef::Empty => return None,
        DataRef::String(text) => format!("t{text}"),
        DataRef::SharedString(text) => format!("t{text}"),
        DataRef::Int(number) => format!("t{number}"),
        // The shortest decimal that is this very number, never with an exponent.
        DataRef::Float(number) if number.is_finite() => format!("t{number}"),
        DataRef::Float(_) => "e#NUM!".to_owned(),
        DataRef::Bool(value) => format!("t{value}"),
        DataRef::DateTime(moment) if moment.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let day = format!("t{year:04}-{month:02}-{day:02}");
            match (hour, minute, second) {
                (0, 0, 0) => day,
                _ => format!("{day} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        DataRef::DateTime(duration) => format!("t{}", duration.as_f64()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => format!("t{text}"),
        DataRef::Error(error) => format!("e{error}"),
    })
}

/// A sheet that is being copied.
struct Copy<'a> {
    guard: &'a Guard<'a>,
    mapping: &'a Mapping,
    table: Option<usize>,
    max_cell_bytes: usize,
    header: Vec<String>,
    /// Once the header is over: by the sheet's column, the places in the spooled row.
    columns: Option<Columns>,
    /// The row that is being read: its number from 1, and its cells.
    row: Option<(u32, Vec<Option<String>>)>,
    output: BufWriter<File>,
    written: u64,
}

struct Columns {
    layout: Layout,
    /// By the sheet's column.
    places: Vec<Option<usize>>,
    /// By place: whether a time of day says nothing there.
    dates: Vec<bool>,
}

impl Copy<'_> {
    fn cell(&mut self, row: u32, column: usize, text: Option<String>) -> Result<(), Error> {
        let number = row.saturating_add(1);
        match &self.row {
            Some((current, _)) if *current == number => {}
            Some((current, _)) if *current > number => {
                return Err(self.guard.unreadable("its rows are out of order"));
            }
            _ => self.begin(number)?,
        }
        if column >= MAX_COLUMNS {
            return Err(self
                .guard
                .unreadable("a row is wider than the format knows"));
        }
        let Some(text) = text else {
            return Ok(());
        };
        match &self.columns {
            None => {
                if self.header.len() <= column {
                    self.header.resize(column + 1, String::new());
                }
                // A header that long names no mapped column.
                self.header[column] = text.chars().skip(1).take(256).collect();
            }
            Some(columns) => {
                let place = columns.places.get(column).copied().flatten();
                if let (Some(place), Some((_, cells))) = (place, &mut self.row) {
                    // What is too long stays too long, and no longer than that.
                    let most = text.floor_char_boundary(self.max_cell_bytes.saturating_add(8));
                    let mut kept = text[..most].to_owned();
                    if columns.dates[place] {
                        kept = without_time(kept);
                    }
                    cells[place] = Some(kept);
                }
            }
        }
        Ok(())
    }

    /// Another row begins: what the last one held is complete.
    fn begin(&mut self, number: u32) -> Result<(), Error> {
        if self.row.is_some() {
            self.end_row()?;
        }
        let width = self.columns.as_ref().map_or(0, |c| c.dates.len());
        self.row = Some((number, vec![None; width]));
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Error> {
        if self.columns.is_none() {
            self.columns = Some(self.columns()?);
            return Ok(());
        }
        let Some((number, cells)) = self.row.take() else {
            return Ok(());
        };
        if cells.iter().all(Option::is_none) {
            return Ok(());
        }
        let failed = |e: io::Error| Error::io(&self.guard.file.path)(e);
        let mut line = serde_json::to_vec(&(number, cells)).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        self.written += line.len() as u64;
        if self.written > self.guard.most.saturating_mul(2) {
            let most = self.guard.most.saturating_mul(2);
            let message = format!("its mapped cells have more than {most} bytes");
            return Err(self.guard.bomb(message));
        }
        self.output.write_all(&line).map_err(failed)
    }

    fn columns(&self) -> Result<Columns, Error> {
        let bad = |message: String| header(&self.guard.file.path, message);
        let names: Vec<&str> = self.header.iter().map(String::as_str).collect();
        // Of the whole header, to find what is missing or there twice.
        Layout::new(self.mapping, self.table, &names).map_err(bad)?;
        let mapped = self.mapping.columns(self.table);
        let layout = Layout::new(self.mapping, self.table, &mapped).map_err(bad)?;
        let places = names
            .iter()
            .map(|name| mapped.iter().position(|column| *column == name.trim()));
        let dates = mapped
            .iter()
            .map(|column| self.mapping.only_dates(self.table, column));
        Ok(Columns {
            layout,
            places: places.collect(),
            dates: dates.collect(),
        })
    }

    fn finish(mut self) -> Result<(Layout, File), Error> {
        if self.row.is_some() {
            self.end_row()?;
        }
        let path = &self.guard.file.path;
        let Some(columns) = self.columns else {
            return Err(header(path, "the sheet is empty; a header is expected"));
        };
        let file = self
            .output
            .into_inner()
            .map_err(|e| Error::io(path)(e.into_error()))?;
        Ok((columns.layout, file))
    }
}

/// `2026-01-02 10:00:00` and `2026-01-02T10:00:00` to `2026-01-02`.
fn without_time(text: String) -> String {
    match text.get(11..12) {
        // One byte more for the tag.
        Some(" " | "T") if text.is_char_boundary(11) => text[..11].to_owned(),
        _ => text,
    }
}

/// A spooled row: its number, and its cells or what is wrong with one.
#[allow(
    clippy::type_complexity,
    reason = "the row's number is known where its cells are bad"
)]
pub(super) fn read_spooled(
    line: &[u8],
    max_cell_bytes: usize,
) -> Result<(u32, Result<Vec<String>, Fault>), Fault> {
    let parsed = serde_json::from_slice::<(u32, Vec<Option<String>>)>(line);
    let Ok((number, cells)) = parsed else {
        // We wrote it ourselves; the disk did not keep it.
        return Err(Fault::new(Reason::CellError, "the copied row is damaged"));
    };
    let cells = cells.into_iter().enumerate().map(|(index, cell)| {
        let Some(cell) = cell else {
            return Ok(String::new());
        };
        match cell.split_at_checked(1) {
            Some(("t", text)) if text.len() > max_cell_bytes => Err(Fault::new(
                Reason::CellTooLong,
                format!(
                    "mapped cell {} has more than {max_cell_bytes} bytes",
                    index + 1
                ),
            )),
            Some(("t", text)) => Ok(text.to_owned()),
            Some((_, error)) => Err(Fault::new(
                Reason::CellError,
                format!("mapped cell {} holds the error {error}", index + 1),
            )),
            None => Ok(String::new()),
        }
    });
    Ok((number, cells.collect()))
}
