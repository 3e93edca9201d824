//! Excel workbooks: such as Excel writes, and such as nobody should open.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use tempfile::TempDir;
use xinqiao_data_adapters::{Error, FileSource, Mapping, Reason, Source};
use zip::write::SimpleFileOptions;

use crate::data::{HOLDERS, ITEMS, MAIN, YEARS, conforms, data, uscc};

const HEAD: &str = r#"[source]
name = "register"
kind = "xlsx"
path = "book.xlsx"
sheet = "企业"
subject = "code"
as_of = { column = "updated" }

[[related]]
name = "holders"
sheet = "股东"
subject = "code"

[[related]]
name = "years"
sheet = "年报"
subject = "code"
"#;

/// Writes text, and dates and numbers as such where the column holds them.
fn sheet<const N: usize>(book: &mut Workbook, name: &str, header: [&str; N], rows: &[[String; N]]) {
    let day = Format::new().set_num_format("yyyy-mm-dd");
    let moment = Format::new().set_num_format("yyyy-mm-dd hh:mm");
    let sheet = book.add_worksheet();
    sheet.set_name(name).expect("a good name");
    // A column that nobody mapped, in front of all.
    sheet.write(0, 0, "序号").expect("written");
    for (column, name) in (1..).zip(header) {
        sheet.write(0, column, name).expect("written");
    }
    for (line, row) in (1..).zip(rows) {
        sheet.write(line, 0, line).expect("written");
        for ((column, name), cell) in (1..).zip(header).zip(row) {
            match name {
                _ if cell.is_empty() => continue,
                "updated" | "since" => {
                    let date = ExcelDateTime::parse_from_str(cell).expect("a date");
                    sheet.write_with_format(line, column, &date, &day)
                }
                "founded" => {
                    let text = format!("{cell} 11:22:33");
                    let date = ExcelDateTime::parse_from_str(&text).expect("a moment");
                    sheet.write_with_format(line, column, &date, &moment)
                }
                "paid" | "revenue" => {
                    let number: f64 = cell.parse().expect("a number");
                    sheet.write(line, column, number)
                }
                _ => sheet.write(line, column, cell),
            }
            .expect("written");
        }
    }
}

fn mapping(dir: &TempDir, text: &str) -> Mapping {
    Mapping::parse(text, &dir.path().join("m.toml")).expect("a good mapping")
}

#[test]
fn a_workbook_conforms_and_says_the_same() {
    let data = data(false);
    let dir = tempfile::tempdir().expect("temporary folder");
    let mut book = Workbook::new();
    sheet(&mut book, "说明", ["nothing"], &[]);
    sheet(&mut book, "企业", MAIN, &data.main);
    sheet(&mut book, "股东", HOLDERS, &data.holders);
    sheet(&mut book, "年报", YEARS, &data.years);
    book.save(dir.path().join("book.xlsx")).expect("saved");
    let text = format!("{HEAD}{ITEMS}");
    let source = xinqiao_data_adapters::open(mapping(&dir, &text)).expect("it opens");
    conforms(source.as_ref(), &data);
}

const ONE_SHEET: &str = r#"[source]
name = "register"
kind = "xlsx"
path = "book.xlsx"
sheet = "S"
subject = "code"
as_of = { date = "2026-06-30" }
max_unpacked_bytes = 4_000_000
max_cell_bytes = 100

[[item]]
code = "business_registration"
fields = [{ name = "name", column = "name", type = "text" }]
"#;

/// The parts that every workbook has, and these rows.
fn book(dir: &TempDir, rows: &str, shared: &str) -> PathBuf {
    let path = dir.path().join("book.xlsx");
    let mut zip = zip::ZipWriter::new(File::create(&path).expect("created"));
    let head = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006";
    for (name, text) in [
        (
            "[Content_Types].xml",
            format!(r#"<Types xmlns="{package}/content-types"/>"#),
        ),
        (
            "_rels/.rels",
            format!(
                r#"<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/sharedStrings.xml",
            format!(r#"<sst xmlns="{main}">{shared}</sst>"#),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!(r#"<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>"#),
        ),
    ] {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("started");
        zip.write_all(head.as_bytes()).expect("written");
        zip.write_all(text.as_bytes()).expect("written");
    }
    zip.finish().expect("finished");
    path
}

fn row(number: u32, cells: &[&str]) -> String {
    let cells: String = ('A'..)
        .zip(cells)
        .map(|(column, cell)| format!(r#"<c r="{column}{number}" {cell}</c>"#))
        .collect();
    format!(r#"<row r="{number}">{cells}</row>"#)
}

fn text(value: &str) -> String {
    format!(r#"t="inlineStr"><is><t>{value}</t></is>"#)
}

fn opened(dir: &TempDir) -> Result<FileSource, Error> {
    FileSource::open(mapping(dir, ONE_SHEET))
}

#[test]
fn bad_cells_are_named_with_the_row_as_excel_shows_it() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let good = uscc(1);
    let other = uscc(2);
    let rows = [
        row(3, &[&text("code"), &text("name")]),
        row(5, &[&text(good.expose()), &text("a")]),
        // An empty row between, and one that is missing.
        row(6, &[]),
        row(9, &[&text(other.expose()), r##"t="e"><v>#REF!</v>"##]),
        row(10, &[&text(other.expose()), &text(&"x".repeat(101))]),
        row(11, &[&text(other.expose()), &text("a&#10;b")]),
        row(12, &[&text(good.expose()), &text("again")]),
        row(13, &[r#"><v>91350100</v>"#, &text("a number")]),
        row(14, &[&text(uscc(3).expose()), r#"><v>1234567.5</v>"#]),
        row(15, &[&text(uscc(4).expose()), r#"t="b"><v>1</v>"#]),
    ];
    book(&dir, &rows.concat(), "");
    let source = opened(&dir).expect("it opens");
    let steps: Vec<_> = source
        .scan(None)
        .expect("it begins")
        .map(|step| step.expect("it goes on").row)
        .collect();
    let bad: Vec<_> = steps
        .iter()
        .filter_map(|row| row.as_ref().err())
        .map(|bad| (bad.file.as_str(), bad.line, bad.reason))
        .collect();
    assert_eq!(
        bad,
        [
            ("book.xlsx[S]", 9, Reason::CellError),
            ("book.xlsx[S]", 10, Reason::CellTooLong),
            ("book.xlsx[S]", 11, Reason::ControlCharacter),
            ("book.xlsx[S]", 12, Reason::DuplicateSubject),
            ("book.xlsx[S]", 13, Reason::UsccLength),
        ]
    );
    let texts: Vec<_> = steps
        .iter()
        .filter_map(|row| row.as_ref().ok())
        .map(|record| String::from_utf8_lossy(&record.items[0].canonical).into_owned())
        .collect();
    assert_eq!(
        texts,
        [
            r#"{"name":"a"}"#,
            r#"{"name":"1234567.5"}"#,
            r#"{"name":"true"}"#
        ]
    );
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let good = row(1, &[&text("code"), &text("name")]);
    let dir = tempfile::tempdir().expect("temporary folder");
    let refused = |message: &str| match opened(&dir) {
        Err(Error::Bomb {
            place,
            message: said,
        }) => {
            assert_eq!(place, "book.xlsx");
            assert!(said.contains(message), "{said}");
        }
        other => panic!("{message}: {other:?}"),
    };
    book(&dir, &format!("{good}{}", " ".repeat(5_000_000)), "");
    let path = dir.path().join("book.xlsx");
    assert!(
        fs::metadata(&path).expect("it is there").len() < 20_000,
        "it is small"
    );
    refused("it says that it unpacks to");

    // The same, with its size in the archive's directory and in front of the part made small.
    let mut bytes = fs::read(&path).expect("it is there");
    let size = large_size(&bytes);
    let places: Vec<usize> = (0..bytes.len() - 4)
        .filter(|at| bytes[*at..*at + 4] == size)
        .collect();
    assert!(!places.is_empty(), "the size is written somewhere");
    for at in places {
        bytes[at..at + 4].copy_from_slice(&1000_u32.to_le_bytes());
    }
    fs::write(&path, bytes).expect("written");
    match opened(&dir) {
        Err(Error::Bomb { .. } | Error::Header { .. }) => {}
        other => panic!("a size that lies: {other:?}"),
    }

    // A string that is stored once and shown twelve thousand times.
    let shared = format!("<si><t>{}</t></si>", "x".repeat(900));
    let mut rows = good;
    for number in 2..6_000 {
        rows += &format!(
            r#"<row r="{number}"><c r="A{number}" t="s"><v>0</v></c><c r="B{number}" t="s"><v>0</v></c></row>"#
        );
    }
    book(&dir, &rows, &shared);
    let text = ONE_SHEET.replace("max_cell_bytes = 100", "max_cell_bytes = 1000");
    match FileSource::open(mapping(&dir, &text)) {
        Err(Error::Bomb { message, .. }) => assert!(message.contains("mapped cells"), "{message}"),
        other => panic!("{other:?}"),
    }
}

/// The largest unpacked size in the archive's directory (APPNOTE 4.3.12), as it is written.
fn large_size(bytes: &[u8]) -> [u8; 4] {
    let mut largest = 0;
    for at in 0..bytes.len().saturating_sub(46) {
        if bytes[at..at + 4] == *b"PK\x01\x02" {
            let size: [u8; 4] = bytes[at + 24..at + 28].try_into().expect("four bytes");
            largest = largest.max(u32::from_le_bytes(size));
        }
    }
    largest.to_le_bytes()
}

#[test]
fn what_is_no_workbook_is_refused_with_a_clear_word() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("book.xlsx");
    let refused = |wanted: &str| {
        let said = opened(&dir).map(|_| ()).expect_err(wanted).to_string();
        assert!(
            said.contains("book.xlsx") && said.contains(wanted),
            "{wanted}: {said}"
        );
    };
    fs::write(&path, b"code,name\n").expect("written");
    refused("cannot be read");
    fs::write(&path, b"").expect("written");
    refused("cannot be read");
    book(&dir, "", "");
    refused("the sheet is empty");
    book(&dir, &row(1, &[&text("code"), &text("nom")]), "");
    refused("there is no column \"name\"");
    book(
        &dir,
        &row(1, &[&text("name"), &text("code"), &text("name")]),
        "",
    );
    refused("more than once");
    let whole = fs::read(&path).expect("it is there");
    for length in [10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("written");
        refused("cannot be read");
    }
    book(&dir, &row(1, &[&text("code"), &text("name")]), "");
    let other = ONE_SHEET.replace("sheet = \"S\"", "sheet = \"T\"");
    let said = FileSource::open(mapping(&dir, &other))
        .map(|_| ())
        .expect_err("no sheet");
    assert!(
        said.to_string()
            .contains("there is no sheet \"T\"; the sheets are: S"),
        "{said}"
    );
}

#[test]
fn no_flipped_byte_makes_a_workbook_harm_anyone() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let good = uscc(1);
    let rows = [
        row(1, &[&text("code"), &text("name")]),
        row(2, &[&text(good.expose()), r#"t="s"><v>0</v>"#]),
    ];
    let path = book(&dir, &rows.concat(), "<si><t>shared</t></si>");
    let whole = fs::read(&path).expect("it is there");
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).expect("written");
        // Refused, or read; never a panic, and never another subject's record.
        if let Ok(source) = opened(&dir) {
            for step in source.scan(None).expect("it begins") {
                let step = step.expect("it goes on");
                assert!(step.row.is_err() || step.row.is_ok_and(|record| record.uscc == good));
            }
        }
    }
}
