//! A register's own codes in the catalogue's: tables of values in mapping files, their faults, and what they make of
//! rows.

use std::fs;
use std::path::Path;

use xinqiao_data_adapters::check::{CheckOptions, CheckReport, check};
use xinqiao_data_adapters::{FileSource, Mapping, MappingError, Reason, Source};
use xinqiao_ledger::uscc::Uscc;

const GOOD: &str = r#"[source]
name = "register"
kind = "csv"
paths = ["main.csv"]
subject = "code"
as_of = { date = "2026-06-30" }

[[related]]
name = "permits"
paths = ["permits.csv"]
subject = "code"

[[item]]
code = "business_registration"
fields = [
  { name = "name", column = "name", type = "text", required = true },
  { name = "status", column = "status", type = "text", max_length = 12 },
  { name = "staff", column = "staff", type = "integer" },
]
[item.values.status]
"存续" = "active"
"在营" = "active"
"注销" = "deregistered"

[[item]]
code = "permits"
list = true
from = "permits"
fields = [
  { name = "kind", column = "kind", type = "text", required = true, unlisted = "keep" },
]
[item.values.kind]
"食品" = "food"
"#;

fn parse(text: &str) -> Result<Mapping, MappingError> {
    Mapping::parse(text, Path::new("/etc/x/map.toml"))
}

#[test]
fn every_fault_of_a_table_is_named_with_line_and_field() {
    for (from, to, line, field, message) in [
        (
            "[item.values.status]",
            "[item.values.state]",
            20,
            "item[1].values.state",
            "names no field",
        ),
        (
            "[item.values.status]",
            "[item.values.staff]",
            20,
            "item[1].values.staff",
            "only values of text",
        ),
        (
            "\"存续\" = ",
            "\"\" = ",
            21,
            "item[1].values.status",
            "1 to 256 bytes",
        ),
        (
            "\"存续\" = ",
            "\" 存续\" = ",
            21,
            "item[1].values.status",
            "no blanks",
        ),
        (
            "\"存续\" = ",
            "\"N/A\" = ",
            21,
            "item[1].values.status",
            "never translated",
        ),
        (
            "\"在营\" = \"active\"",
            "\"在营\" = \"\"",
            22,
            "item[1].values.status",
            "a code has 1 to",
        ),
        (
            "\"deregistered\"",
            "\"deregistered_\"",
            23,
            "item[1].values.status",
            "max_length",
        ),
        ("\"deregistered\"", "7", 23, "7", "invalid type"),
        ("\"在营\"", "\"存续\"", 22, "\"存续\"", "duplicate"),
        (
            "\"食品\" = \"food\"\n",
            "",
            32,
            "item[2].values.kind",
            "1 to 1000 values",
        ),
        (
            "\"keep\"",
            "\"drop\"",
            30,
            "item[2].fields[1].unlisted",
            "refuse or keep",
        ),
        (
            "type = \"integer\"",
            "type = \"integer\", unlisted = \"keep\"",
            18,
            "item[1].fields[3].unlisted",
            "[item.values.staff]",
        ),
    ] {
        assert!(GOOD.contains(from), "the table is out of date: {from}");
        let fault = parse(&GOOD.replacen(from, to, 1)).expect_err(to);
        let said = fault.to_string();
        assert_eq!((fault.line, fault.field.as_str()), (line, field), "{said}");
        assert!(fault.message.contains(message), "{said}");
    }
}

fn uscc(number: u32) -> Uscc {
    Uscc::from_base17(&format!("91310115MA{number:07}")).expect("digits are in the alphabet")
}

/// Four subjects, of which one has a status that no table lists, and permits of two kinds.
fn checked() -> (tempfile::TempDir, CheckReport) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let code = |number| uscc(number).expose().to_owned();
    let main = format!(
        "code,name,status,staff\n{},甲,存续,1\n{},乙,在营,\n{},丙,迁出MARKER77,\n{},丁,-,\n",
        code(1),
        code(2),
        code(3),
        code(4)
    );
    let permits = format!("code,kind\n{},食品\n{},烟草\n", code(1), code(2));
    fs::write(dir.path().join("main.csv"), main).expect("written");
    fs::write(dir.path().join("permits.csv"), permits).expect("written");
    let mapping = Mapping::parse(GOOD, &dir.path().join("map.toml")).expect("it is good");
    let report = check(mapping, &CheckOptions::default()).expect("it can be read");
    (dir, report)
}

#[test]
fn values_are_translated_and_unlisted_ones_are_bad_rows_or_kept() {
    let (dir, report) = checked();
    let mapping = Mapping::parse(GOOD, &dir.path().join("map.toml")).expect("it is good");
    let source = FileSource::open(mapping).expect("it can be read");
    let items = |number| {
        let fetched = futures_block(source.fetch(&uscc(number)));
        fetched.map(|record| {
            (record.items.into_iter())
                .map(|item| String::from_utf8(item.canonical).expect("JSON is text"))
                .collect::<Vec<_>>()
        })
    };
    let first = items(1).expect("it is there");
    assert_eq!(first[0], r#"{"name":"甲","staff":1,"status":"active"}"#);
    assert_eq!(first[1], r#"{"entries":[{"kind":"food"}]}"#);
    let second = items(2).expect("it is there");
    assert_eq!(second[0], r#"{"name":"乙","staff":null,"status":"active"}"#);
    assert_eq!(
        second[1], r#"{"entries":[{"kind":"烟草"}]}"#,
        "kept as it is"
    );
    let fourth = items(4).expect("it is there");
    assert_eq!(fourth, [r#"{"name":"丁","staff":null,"status":null}"#]);

    assert_eq!((report.rows, report.subjects), (4, 3));
    assert_eq!(report.bad[&Reason::UnlistedValue], 1);
    let bad = &report.bad_rows[0];
    assert_eq!((bad.file.as_str(), bad.line), ("main.csv", 4));
    assert!(
        bad.message.contains("\"status\"") && bad.message.contains("none of the 3 values"),
        "{}",
        bad.message
    );
    assert!(bad.message.contains("字字XXXXXX99"), "{}", bad.message);
    assert!(!bad.message.contains("MARKER77"), "{}", bad.message);
}

#[test]
fn a_check_shows_how_often_each_code_came_out() {
    let (_dir, report) = checked();
    let field = |item: usize, field: usize| &report.items[item].fields[field];
    let status = field(0, 1);
    let codes = status.codes.as_ref().expect("they are translated");
    assert_eq!((codes["active"], codes["deregistered"]), (2, 0));
    assert_eq!((status.filled, status.unlisted), (2, 0));
    assert!(
        status.samples.is_empty(),
        "codes are shown instead of shapes"
    );
    let kind = field(1, 0);
    assert_eq!(kind.codes.as_ref().expect("they are translated")["food"], 1);
    assert_eq!((kind.filled, kind.unlisted), (2, 1));
    assert_eq!(kind.samples, ["字字"]);
    assert_eq!(field(0, 0).codes, None);
}

/// Waits for a fetch outside of any runtime.
fn futures_block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
