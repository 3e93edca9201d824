//! Lines of a data file with their offsets, and the cells of one line.
//!
//! A row is one line: a quoted cell may not hold a line break. That is stricter than RFC 4180, and it is
//! what keeps one stray quote from swallowing the good rows after it, lets any row be read alone from its
//! offset, and bounds memory by one line. Not here: what cells mean.

use std::io::{self, BufRead, Read as _};

use csv_core::{ReadRecordResult, Terminator};

use crate::mapping::Encoding;
use crate::row::Fault;
use crate::source::Reason;

/// Most cells in one row.
pub(super) const MAX_CELLS: usize = 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines and knows where each began.
pub(super) struct Lines<R> {
    input: R,
    limit: usize,
    /// Where the next line begins.
    offset: u64,
    /// Number of the next line, from 1.
    number: u64,
    buffer: Vec<u8>,
}

/// One line, without its line end.
pub(super) struct Line<'a> {
    pub(super) offset: u64,
    pub(super) number: u64,
    /// `None`: longer than the limit, and skipped.
    pub(super) bytes: Option<&'a [u8]>,
}

impl<R: BufRead> Lines<R> {
    /// `input` stands at `offset`, where line `number` begins.
    pub(super) fn new(input: R, limit: usize, offset: u64, number: u64) -> Self {
        Self {
            input,
            limit,
            offset,
            number,
            buffer: Vec::new(),
        }
    }

    /// Where the next line begins, and its number.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.offset, self.number)
    }

    /// The next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let (offset, number) = (self.offset, self.number);
        self.buffer.clear();
        // A line of exactly `limit` bytes may end in CR LF.
        let most = self.limit as u64 + 2;
        let read = (&mut self.input)
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.offset += read as u64;
        self.number += 1;
        let whole = self.buffer.last() == Some(&b'\n');
        if !whole && read as u64 == most {
            self.offset += skip_line(&mut self.input)?;
        }
        let mut bytes = self.buffer.as_slice();
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if offset == 0 {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        Ok(Some(Line {
            offset,
            number,
            bytes: (bytes.len() <= self.limit).then_some(bytes),
        }))
    }
}

/// Skips to behind the next line end; how many bytes that was.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let (used, done) = match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(used);
        skipped += used as u64;
        if done {
            return Ok(skipped);
        }
    }
}

/// Splits lines into cells; keeps its buffers between lines.
pub(super) struct Splitter {
    encoding: Encoding,
    core: csv_core::Reader,
    input: Vec<u8>,
    output: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            core: csv_core::ReaderBuilder::new()
                .terminator(Terminator::Any(b'\n'))
                .build(),
            input: Vec::new(),
            output: Vec::new(),
            ends: vec![0; MAX_CELLS],
        }
    }

    /// The cells of one line (without its line end).
    pub(super) fn split(&mut self, line: &[u8], max_cell_bytes: usize) -> Result<Vec<&str>, Fault> {
        if line.contains(&0) {
            let message = "the line holds a NUL byte: is the file UTF-16, or binary?";
            return Err(Fault::new(Reason::Nul, message));
        }
        self.input.clear();
        match self.encoding {
            Encoding::Utf8 => {
                if let Err(e) = std::str::from_utf8(line) {
                    let message = format!(
                        "byte {} of the line is not UTF-8: is the file GBK? (encoding = \"gb18030\")",
                        e.valid_up_to() + 1
                    );
                    return Err(Fault::new(Reason::InvalidUtf8, message));
                }
                self.input.extend_from_slice(line);
            }
            // No byte of a character is a line end, a comma or a quote, so lines are cut before and cells
            // after decoding.
            Encoding::Gb18030 => {
                let decoded =
                    encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(line);
                let Some(text) = decoded else {
                    let message = "the line is not GB 18030: is the file UTF-8?";
                    return Err(Fault::new(Reason::InvalidEncoding, message));
                };
                // The byte order mark of a first line; nowhere else is it at the start of a cell.
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                self.input.extend_from_slice(text.as_bytes());
            }
        }
        self.input.push(b'\n');
        self.output
            .resize(self.input.len().max(self.output.len()), 0);
        let (result, read, _, cells) =
            self.core
                .read_record(&self.input, &mut self.output, &mut self.ends);
        let whole = matches!(result, ReadRecordResult::Record) && read == self.input.len();
        if !whole {
            // Whatever state the fault left behind must not reach the next line.
            self.core.reset();
            return Err(match result {
                ReadRecordResult::OutputEndsFull => Fault::new(
                    Reason::ColumnCount,
                    format!("the row has more than {MAX_CELLS} cells"),
                ),
                _ => Fault::new(
                    Reason::UnclosedQuote,
                    "a quoted cell does not end on its line (cells hold no line breaks)",
                ),
            });
        }
        let mut row = Vec::with_capacity(cells);
        let mut start = 0;
        for (index, end) in self.ends[..cells].iter().enumerate() {
            let cell = &self.output[start..*end];
            if cell.len() > max_cell_bytes {
                let message = format!(
                    "cell {} has {} bytes, at most {max_cell_bytes}",
                    index + 1,
                    cell.len()
                );
                return Err(Fault::new(Reason::CellTooLong, message));
            }
            let Ok(cell) = std::str::from_utf8(cell) else {
                // Quotes and commas are ASCII, so cells of a valid line are valid.
                return Err(Fault::new(Reason::InvalidUtf8, "a cell is not UTF-8"));
            };
            row.push(cell);
            start = *end;
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], limit: usize) -> Vec<(u64, u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(io::BufReader::with_capacity(4, text), limit, 0, 1);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().expect("memory does not fail") {
            seen.push((line.offset, line.number, line.bytes.map(<[u8]>::to_vec)));
        }
        assert_eq!(lines.position(), (text.len() as u64, seen.len() as u64 + 1));
        seen
    }

    #[test]
    fn lines_know_where_they_began() {
        let line = |offset, number, bytes: &[u8]| (offset, number, Some(bytes.to_vec()));
        for (text, limit, wanted) in [
            (&b""[..], 9, vec![]),
            (b"a\nb", 9, vec![line(0, 1, b"a"), line(2, 2, b"b")]),
            (
                b"a\r\n\nb\n",
                9,
                vec![line(0, 1, b"a"), line(3, 2, b""), line(4, 3, b"b")],
            ),
            (
                b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n",
                9,
                vec![line(0, 1, b"a"), line(5, 2, b"\xef\xbb\xbfb")],
            ),
            (
                b"abc\nabcd\nab\n",
                3,
                vec![line(0, 1, b"abc"), (4, 2, None), line(9, 3, b"ab")],
            ),
            (
                b"abc\r\nabcd\r\nab",
                3,
                vec![line(0, 1, b"abc"), (5, 2, None), line(11, 3, b"ab")],
            ),
            (b"0123456789\nab", 3, vec![(0, 1, None), line(11, 2, b"ab")]),
            (b"0123456789", 3, vec![(0, 1, None)]),
            (b"abcde\nab", 3, vec![(0, 1, None), line(6, 2, b"ab")]),
        ] {
            assert_eq!(
                lines(text, limit),
                wanted,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn gb18030_is_read_strictly() {
        let mut splitter = Splitter::new(Encoding::Gb18030);
        for (line, wanted) in [
            (&b"\xc6\xf3\xd2\xb5,x"[..], Ok(vec!["企业", "x"])),
            // Four bytes: beyond GBK. Second bytes that look like ASCII punctuation.
            (b"\x95\x32\x82\x36,\x81\x5c\x81\x7c", Ok(vec!["𠀀", "乗亅"])),
            (b"\x84\x31\x95\x33\xc6\xf3,\"a,b\"", Ok(vec!["企", "a,b"])),
            ("企业".as_bytes(), Ok(vec!["浼佷笟"])),
            (b"a\xff,b", Err(Reason::InvalidEncoding)),
            (b"a,\xc6", Err(Reason::InvalidEncoding)),
        ] {
            let got = splitter.split(line, 99).map_err(|fault| fault.reason);
            assert_eq!(got, wanted, "{line:02x?}");
        }
    }

    #[test]
    fn one_bad_line_leaves_the_next_alone() {
        let mut splitter = Splitter::new(Encoding::Utf8);
        let many = ",".repeat(MAX_CELLS);
        for (line, wanted) in [
            (&b"a,b"[..], Ok(vec!["a", "b"])),
            (b"\"a,\"\"b\"\"\",", Ok(vec!["a,\"b\"", ""])),
            (b"a,\"b", Err(Reason::UnclosedQuote)),
            (b"a,b", Ok(vec!["a", "b"])),
            (b"\"", Err(Reason::UnclosedQuote)),
            (many.as_bytes(), Err(Reason::ColumnCount)),
            ("企业,\"x\"".as_bytes(), Ok(vec!["企业", "x"])),
            (b"a\xff,b", Err(Reason::InvalidUtf8)),
            (b"a\0,b", Err(Reason::Nul)),
            (b"123456789,b", Err(Reason::CellTooLong)),
            (b"a,b\r,c", Ok(vec!["a", "b\r", "c"])),
            (b"x", Ok(vec!["x"])),
        ] {
            let got = splitter.split(line, 8).map_err(|fault| fault.reason);
            assert_eq!(got, wanted, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
