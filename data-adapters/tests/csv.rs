//! The CSV adapter against files with every flaw there is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xinqiao_data_adapters::check::{CheckOptions, check};
use xinqiao_data_adapters::conformance::{self, Expectations};
use xinqiao_data_adapters::{
    BadRow, Checkpoint, Error, FetchError, FileSource, Mapping, Reason, Scanned, Source,
};
use xinqiao_ledger::uscc::Uscc;

const MAPPING: &str = r#"[source]
name = "test"
kind = "csv"
paths = ["data.csv"]
subject = "code"
as_of = { column = "day" }
max_line_bytes = 400
max_cell_bytes = 200

[[item]]
code = "registration"
fields = [
  { name = "name", column = "name", type = "text", required = true, max_length = 8 },
  { name = "staff", column = "staff", type = "integer" },
]

[[item]]
code = "capital"
fields = [{ name = "amount", column = "capital", type = "money" }]
"#;

const HEADER: &str = "code,day,name,staff,capital\n";

fn uscc(number: u32) -> Uscc {
    Uscc::from_base17(&format!("91310115MA{number:07}")).expect("digits are in the alphabet")
}

struct Files {
    dir: TempDir,
}

impl Files {
    fn new(data: impl AsRef<[u8]>) -> Self {
        let files = Self {
            dir: tempfile::tempdir().expect("temporary folder"),
        };
        files.write("data.csv", data);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, data: impl AsRef<[u8]>) {
        fs::write(self.path(name), data).expect("written");
    }

    fn mapping(&self) -> Mapping {
        Mapping::parse(MAPPING, &self.path("mapping.toml")).expect("the mapping is good")
    }

    fn open(&self) -> FileSource {
        FileSource::open(self.mapping()).expect("the file opens")
    }
}

fn scan(source: &dyn Source) -> Vec<Scanned> {
    source
        .scan(None)
        .expect("scan starts")
        .collect::<Result<_, _>>()
        .expect("scan ends")
}

fn bad_rows(source: &dyn Source) -> Vec<BadRow> {
    scan(source)
        .into_iter()
        .filter_map(|step| step.row.err())
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime starts")
}

fn fetch(source: &dyn Source, uscc: &Uscc) -> Result<Vec<(String, String)>, FetchError> {
    let record = runtime().block_on(source.fetch(uscc))?;
    Ok(record
        .items
        .into_iter()
        .map(|item| {
            let text = String::from_utf8(item.canonical).expect("canonical JSON is UTF-8");
            (item.code, text)
        })
        .collect())
}

/// One bad row between two good ones: it is reported at its line, and both good ones are there.
#[track_caller]
fn check_bad(row: &[u8], reason: Reason, message: &str) {
    let mut data = format!("{HEADER}{},2026-01-01,a,1,\n", uscc(1).expose()).into_bytes();
    data.extend_from_slice(row);
    data.extend_from_slice(format!("\n{},2026-01-01,b,2,\n", uscc(2).expose()).as_bytes());
    let files = Files::new(data);
    let source = files.open();
    let shown = String::from_utf8_lossy(row);

    let [bad] = bad_rows(&source).try_into().expect("one bad row");
    assert_eq!(
        (bad.file.as_str(), bad.line, bad.reason),
        ("data.csv", 3, reason),
        "{shown}: {bad}"
    );
    assert!(bad.message.contains(message), "{shown}: {bad}");
    assert!(!bad.message.contains("SECRET"), "{shown}: {bad}");
    for number in [1, 2] {
        assert!(fetch(&source, &uscc(number)).is_ok(), "{shown}");
    }
}

#[test]
fn each_bad_row_is_reported_and_stops_no_good_one() {
    let good = uscc(3);
    let good = good.expose();
    let flipped = format!(
        "{}{}",
        &good[..17],
        if good.ends_with('0') { '1' } else { '0' }
    );
    let long_line = format!("{good},2026-01-01,{},1,", "x".repeat(401));
    for (row, reason, message) in [
        (
            "9131011,2026-01-01,a,1,".to_owned(),
            Reason::UsccLength,
            "got 7",
        ),
        (",2026-01-01,a,1,".to_owned(), Reason::UsccLength, "got 0"),
        (
            format!("{}I,2026-01-01,a,1,", &good[..17]),
            Reason::UsccAlphabet,
            "position 18",
        ),
        (
            good.to_lowercase() + ",2026-01-01,a,1,",
            Reason::UsccAlphabet,
            "lower case",
        ),
        (
            flipped + ",2026-01-01,a,1,",
            Reason::UsccCheckCharacter,
            "check character",
        ),
        (
            format!("{},2026-01-01,a,1,", uscc(1).expose()),
            Reason::DuplicateSubject,
            "data.csv:2",
        ),
        (
            format!("{good},SECRET,a,1,"),
            Reason::WrongType,
            "\"day\" wants a date such as 2019-01-02, not before 1970, found XXXXXX",
        ),
        (
            format!("{good},1969-12-31,a,1,"),
            Reason::WrongType,
            "not before 1970",
        ),
        (format!("{good},,a,1,"), Reason::MissingRequired, "\"day\""),
        (
            format!("{good},2026-01-01,a,1.5,"),
            Reason::WrongType,
            "found 9.9",
        ),
        (
            format!("{good},2026-01-01,N/A,1,"),
            Reason::MissingRequired,
            "\"name\"",
        ),
        (
            format!("{good},2026-01-01,SECRETSECRET,1,"),
            Reason::TooLong,
            "12 characters, at most 8",
        ),
        (
            format!("{good},2026-01-01,a,1"),
            Reason::ColumnCount,
            "4 cells, the header has 5",
        ),
        (
            format!("{good},2026-01-01,a,1,,"),
            Reason::ColumnCount,
            "6 cells",
        ),
        (
            format!("{good},2026-01-01,\"SECRET,1,"),
            Reason::UnclosedQuote,
            "line",
        ),
        (
            format!("{good},2026-01-01,a\tSECRET,1,"),
            Reason::ControlCharacter,
            "position 2",
        ),
        (
            format!("{good},2026-01-01,a\u{85},1,"),
            Reason::ControlCharacter,
            "position 2",
        ),
        (
            format!("{good},2026-01-01,a\u{7f},1,"),
            Reason::ControlCharacter,
            "\"name\"",
        ),
        (
            format!("{good},2026-01-01,a\r,1,"),
            Reason::ControlCharacter,
            "\"name\"",
        ),
        (format!("{good},2026-01-01,a\0,1,"), Reason::Nul, "UTF-16"),
        (
            format!("{good},2026-01-01,{},1,", "x".repeat(201)),
            Reason::CellTooLong,
            "201 bytes",
        ),
        (long_line, Reason::LineTooLong, "400 bytes"),
    ] {
        check_bad(row.as_bytes(), reason, message);
    }
    let mut latin = format!("{good},2026-01-01,a").into_bytes();
    latin.extend_from_slice(b"\xc6\xf3,1,");
    check_bad(&latin, Reason::InvalidUtf8, "byte 32");
}

#[test]
fn a_row_without_any_value_is_bad_where_nothing_is_required() {
    let files = Files::new(format!("code,x\n{},N/A\n", uscc(1).expose()));
    let text = MAPPING
        .replace("{ column = \"day\" }", "{ date = \"2026-01-01\" }")
        .replace(
            "\"name\", type = \"text\", required = true",
            "\"x\", type = \"text\"",
        )
        .replace("\"staff\", type", "\"x\", type")
        .replace("\"capital\", type", "\"x\", type");
    let mapping = Mapping::parse(&text, &files.path("m.toml")).expect("good");
    let source = FileSource::open(mapping).expect("opens");
    let reasons: Vec<_> = bad_rows(&source).iter().map(|bad| bad.reason).collect();
    assert_eq!(reasons, [Reason::NoItems]);
}

#[test]
fn items_have_golden_canonical_bytes() {
    let rows = [
        (
            1,
            "2026-01-01, 甲 ,\"1,024\",\"1,000(万元人民币)\"",
            r#"{"name":"甲","staff":1024}"#,
            Some(r#"{"amount":{"amount":"10000000.00","currency":"CNY"}}"#),
        ),
        (
            2,
            "2026/1/1,\"a\"\"\\b\",-,20万美元",
            r#"{"name":"a\"\\b","staff":null}"#,
            Some(r#"{"amount":{"amount":"200000.00","currency":"USD"}}"#),
        ),
        (3, "20260101,丙,0,N/A", r#"{"name":"丙","staff":0}"#, None),
        // Not readable as an amount: the item has nothing left, and a warning says so.
        (
            4,
            "20260101,丁,-3,六十万",
            r#"{"name":"丁","staff":-3}"#,
            None,
        ),
    ];
    let mut data = HEADER.replace('\n', "\r\n");
    for (number, row, ..) in &rows {
        data.push_str(&format!("{},{row}\r\n", uscc(*number).expose()));
    }
    // A byte order mark in front, blank lines between, no line end at the end.
    let data = format!("\u{feff}{}", data.trim_end().replace("\r\n2", "\r\n\r\n2"));
    let source = Files::new(data);
    let source = source.open();
    for (number, _, registration, capital) in &rows {
        let mut wanted = vec![("registration".to_owned(), (*registration).to_owned())];
        wanted.extend(capital.map(|text| ("capital".to_owned(), text.to_owned())));
        assert_eq!(fetch(&source, &uscc(*number)), Ok(wanted), "row {number}");
    }
    let warnings: Vec<_> = scan(&source).into_iter().flat_map(|s| s.warnings).collect();
    let [warning] = warnings.as_slice() else {
        panic!("one warning, got {warnings:?}");
    };
    assert_eq!(
        (
            warning.item.as_str(),
            warning.field.as_str(),
            warning.shape.as_str()
        ),
        ("capital", "amount", "字字字")
    );
}

#[test]
fn a_header_must_hold_the_mapped_columns_once() {
    for (header, message) in [
        ("", "empty"),
        ("\n", "blank"),
        ("code,day,name,staff\n", "no column \"capital\""),
        ("code,day,name,staff,capital,code\n", "more than once"),
        ("code,day,name,\"staff,capital\n", "quoted"),
        ("code\0,day,name,staff,capital\n", "NUL"),
    ] {
        match FileSource::open(Files::new(header).mapping()) {
            Err(Error::Header { message: said, .. }) => {
                assert!(said.contains(message), "{header:?}: {said}");
            }
            Err(Error::Io { .. }) => panic!("{header:?}: the file vanished before it was read"),
            other => panic!("{header:?}: {other:?}"),
        }
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let files = Files::new(HEADER);
    fs::remove_file(files.path("data.csv")).expect("removed");
    assert!(
        matches!(FileSource::open(files.mapping()), Err(Error::Io { path, .. }) if path.ends_with("data.csv"))
    );
    fs::create_dir(files.path("data.csv")).expect("made");
    assert!(matches!(
        FileSource::open(files.mapping()),
        Err(Error::Header { .. })
    ));
}

fn good_rows(numbers: std::ops::Range<u32>) -> String {
    let mut data = HEADER.to_owned();
    for number in numbers {
        let uscc = uscc(number);
        data.push_str(&format!(
            "{},2026-01-01,n{number},{number},\n",
            uscc.expose()
        ));
    }
    data
}

#[test]
fn changed_data_is_refused_until_it_is_read_anew() {
    let files = Files::new(good_rows(0..5));
    let source = files.open();
    let half = scan(&source).swap_remove(2).after;
    assert!(fetch(&source, &uscc(3)).is_ok());

    files.write("data.csv", good_rows(2..9));
    let changed = FetchError::Changed {
        file: "data.csv".to_owned(),
    };
    assert_eq!(fetch(&source, &uscc(3)), Err(changed.clone()));
    assert_eq!(fetch(&source, &uscc(8)), Err(changed));
    assert!(matches!(
        source.scan(Some(&half)),
        Err(Error::Changed { .. })
    ));

    source.refresh().expect("the file is there");
    assert!(fetch(&source, &uscc(8)).is_ok());
    assert_eq!(fetch(&source, &uscc(0)), Err(FetchError::NotFound));
    assert!(matches!(
        source.scan(Some(&half)),
        Err(Error::Checkpoint { .. })
    ));

    // A scan from the start reads anew by itself.
    files.write("data.csv", good_rows(0..3));
    assert_eq!(scan(&source).len(), 3);
    assert!(fetch(&source, &uscc(0)).is_ok());

    fs::remove_file(files.path("data.csv")).expect("removed");
    let gone = fetch(&source, &uscc(0));
    assert!(
        matches!(&gone, Err(FetchError::Unavailable(said)) if said.starts_with("data.csv")),
        "{gone:?}"
    );
}

/// Same length, same time stamp, other rows: the row itself gives it away.
#[test]
fn a_swapped_row_is_never_served_for_another_subject() {
    let files = Files::new(good_rows(0..2));
    let path = files.path("data.csv");
    let before = fs::metadata(&path)
        .and_then(|m| m.modified())
        .expect("stamp");
    let source = files.open();
    files.write("data.csv", good_rows(1..3).replace("n2,2", "n1,1"));
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(before))
        .expect("stamp set");
    let got = fetch(&source, &uscc(0));
    assert!(matches!(got, Err(FetchError::Changed { .. })), "{got:?}");
}

#[test]
fn a_scan_that_sees_its_file_change_ends_with_an_error() {
    let files = Files::new(good_rows(0..2));
    files.write("second.csv", good_rows(2..4));
    let text = MAPPING.replace("[\"data.csv\"]", "[\"data.csv\", \"second.csv\"]");
    let mapping = Mapping::parse(&text, &files.path("m.toml")).expect("good");
    let source = FileSource::open(mapping).expect("opens");
    let mut scan = source.scan(None).expect("starts");
    assert!(scan.next().is_some_and(|step| step.is_ok()));
    files.write("second.csv", good_rows(2..5));
    assert!(scan.next().is_some_and(|step| step.is_ok()));
    assert!(matches!(scan.next(), Some(Err(Error::Changed { .. }))));
    assert!(scan.next().is_none());
}

#[test]
fn checkpoints_from_elsewhere_are_refused() {
    let files = Files::new(good_rows(0..3));
    let source = files.open();
    let good = scan(&source)[0].after.as_str().to_owned();
    let (head, _) = good.rsplit_once(':').expect("it has parts");
    let (head, _) = head.rsplit_once(':').expect("it has parts");
    let (head, _) = head.rsplit_once(':').expect("it has parts");
    let (head, _) = head.rsplit_once(':').expect("it has parts");
    for text in [
        String::from("csv2"),
        String::from("sql1:1:2:3:4:0"),
        format!("{head}:0:9999999:3:0"),
        format!("{head}:7:0:3:0"),
        format!("{head}:0:30:0:0"),
        format!("{head}:0:-1:3:0"),
        format!("{head}:0:30:99999999999:0"),
        format!("{head}:0:30:3:1:0"),
    ] {
        let checkpoint: Checkpoint = text.parse().expect("printable");
        let refused = matches!(
            source.scan(Some(&checkpoint)),
            Err(Error::Checkpoint { .. })
        );
        assert!(refused, "{text}");
    }
    for text in ["a b", "ä", "a\n", &"x".repeat(4097)] {
        assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
    }
}

/// Two files, every kind of flaw, a subject in both files.
fn flawed(files: &Files) -> (Mapping, Expectations) {
    let marker = "MARKER77";
    let both = ["registration".to_owned(), "capital".to_owned()];
    let mut expectations = Expectations {
        unknown: vec![uscc(900), uscc(901)],
        markers: vec![marker.to_owned()],
        warnings: 1,
        ..Expectations::default()
    };
    let mut first = HEADER.to_owned();
    for number in 0..70 {
        let uscc = uscc(number);
        first.push_str(&format!(
            "{},2026-01-01,n{number},{number},{number}万元\n",
            uscc.expose()
        ));
        expectations.subjects.insert(uscc, both.to_vec());
        if number % 7 == 0 {
            first.push_str(&format!("{marker},2026-01-01,a,1,\n"));
        }
        if number % 11 == 0 {
            first.push_str(&format!("{},{marker},a,1,\n", uscc.expose()));
        }
    }
    // Good only in the second file: its bad row in the first must not shadow it.
    first.push_str(&format!(
        "{},2026-01-01,\"{marker},1,\n",
        uscc(100).expose()
    ));
    let mut second = "capital,staff,name,day,code\n".to_owned();
    for number in [5, 6, 100, 100] {
        second.push_str(&format!(
            "{marker},1,n,2026-01-01,{}\n",
            uscc(number).expose()
        ));
    }
    expectations.subjects.insert(uscc(100), both[..1].to_vec());
    expectations.bad_rows = BTreeMap::from([
        (Reason::UsccLength, 10),
        (Reason::WrongType, 7),
        (Reason::UnclosedQuote, 1),
        (Reason::DuplicateSubject, 3),
    ]);
    files.write("data.csv", first);
    files.write("second.csv", second);
    let text = MAPPING.replace("[\"data.csv\"]", "[\"data.csv\", \"second.csv\"]");
    let mapping = Mapping::parse(&text, &files.path("m.toml")).expect("good");
    (mapping, expectations)
}

#[test]
fn flawed_files_conform() {
    let files = Files::new("");
    let (mapping, expectations) = flawed(&files);
    let source = xinqiao_data_adapters::open(mapping).expect("opens");
    runtime()
        .block_on(conformance::run(source.as_ref(), &expectations))
        .expect("the adapter conforms");
}

#[test]
fn a_check_counts_every_row_and_shows_no_value() {
    let files = Files::new("");
    let (mapping, expectations) = flawed(&files);
    let options = CheckOptions {
        bad_rows: 4,
        samples: 2,
        catalogue: None,
    };
    let report = check(mapping, &options).expect("it reads");
    assert_eq!(report.subjects, 71);
    assert_eq!(report.bad, expectations.bad_rows);
    assert_eq!(report.rows, 71 + 21);
    assert_eq!(report.bad_usccs(), 10);
    assert_eq!(report.bad_rows.len(), 4);
    let [registration, capital] = report.items.as_slice() else {
        panic!("two items");
    };
    assert_eq!((registration.subjects, capital.subjects), (71, 70));
    assert_eq!(registration.fields[0].filled, 71);
    assert_eq!(registration.fields[0].samples, ["x9", "x99"]);
    assert_eq!(capital.fields[0].filled, 70);
    assert_eq!(capital.fields[0].unreadable, 1);
    assert_eq!(capital.fields[0].unreadable_samples, ["XXXXXX99"]);
    assert!(!format!("{report:?}").contains("MARKER77"));
}

#[test]
fn the_index_survives_many_readers_at_once() {
    let files = Files::new(good_rows(0..200));
    let source = std::sync::Arc::new(files.open());
    runtime().block_on(async {
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let source = std::sync::Arc::clone(&source);
                tokio::spawn(async move {
                    let record = source.fetch(&uscc(number)).await.expect("found");
                    assert_eq!(record.uscc, uscc(number));
                })
            })
            .collect();
        source.refresh().expect("unchanged");
        for task in tasks {
            task.await.expect("no task fails");
        }
    });
}

#[test]
fn paths_of_the_mapping_are_what_reports_show() {
    let files = Files::new(format!("{HEADER}x,,,,\n"));
    let [bad] = bad_rows(&files.open()).try_into().expect("one");
    assert!(Path::new(&bad.file).is_relative());
    assert!(bad.to_string().starts_with("data.csv:2: uscc_length: "));
}
