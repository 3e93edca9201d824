//! Fifty thousand real registrations, where they are at hand: nothing lost, every bad code named.
//!
//! The files are looked for in `$XINQIAO_DATA`, else in `../shared/data/enterprises` beside the workspace;
//! without them the test says so and checks nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xinqiao_data_adapters::check::{CheckOptions, check};
use xinqiao_data_adapters::generate::write_enterprise_mapping;
use xinqiao_data_adapters::{FileSource, Mapping, Reason, Source as _};
use xinqiao_ledger::uscc::Uscc;

const PROVINCES: [&str; 5] = ["shanghai", "jiangsu", "zhejiang", "anhui", "guangdong"];

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("XINQIAO_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/enterprises"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED: there are no enterprise files at {} (set XINQIAO_DATA)",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    PROVINCES
        .iter()
        .map(|province| folder.join(format!("{province}.csv")))
        .collect()
}

fn mapping(dir: &Path, files: &[PathBuf]) -> Mapping {
    let path = dir.join("enterprises.toml");
    write_enterprise_mapping(&path, "enterprises", files, "2019-12-31").expect("written");
    Mapping::read(&path).expect("the mapping is good")
}

#[test]
fn every_real_code_is_judged_as_the_register_says() {
    let Some(folder) = data() else { return };
    let (mut good, mut bad) = (0, BTreeMap::new());
    for file in files(&folder) {
        let mut reader = csv::Reader::from_path(&file).expect("opens");
        for row in reader.records() {
            let row = row.expect("a row");
            match row[1].parse::<Uscc>() {
                Ok(code) => {
                    assert_eq!(Uscc::from_base17(&row[1][..17]), Ok(code));
                    good += 1;
                }
                Err(_) => *bad.entry(file.clone()).or_insert(0) += 1,
            }
        }
    }
    let bad: Vec<i32> = files(&folder)
        .iter()
        .map(|file| bad.get(file).copied().unwrap_or(0))
        .collect();
    assert_eq!((good, bad), (49_478, vec![0, 519, 0, 1, 2]));
}

#[test]
fn fifty_thousand_rows_are_accounted_for() {
    let Some(folder) = data() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let options = CheckOptions {
        bad_rows: 1000,
        samples: 3,
        ..CheckOptions::default()
    };
    let report = check(mapping(dir.path(), &files(&folder)), &options).expect("it reads");
    assert_eq!(report.rows, 50_000);
    assert_eq!(report.bad_usccs(), 522);
    // One scope in Guangdong holds a DEL character.
    assert_eq!(report.bad.get(&Reason::ControlCharacter), Some(&1));
    assert_eq!(report.bad.values().sum::<u64>(), 523);
    assert_eq!(report.subjects, 50_000 - 523);

    let named: Vec<_> = report
        .bad_rows
        .iter()
        .filter(|bad| bad.reason.is_bad_uscc())
        .collect();
    assert_eq!(named.len(), 522);
    let places: BTreeSet<_> = named.iter().map(|bad| (&bad.file, bad.line)).collect();
    assert_eq!(places.len(), 522);
    for bad in &named {
        // The line that is named is the line that is bad.
        let text = std::fs::read_to_string(&bad.file).expect("the named file");
        let line = text.lines().nth(bad.line as usize - 1).expect("the line");
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(line.as_bytes());
        let row = reader.records().next().expect("a row").expect("a row");
        assert!(row[1].parse::<Uscc>().is_err(), "{}:{}", bad.file, bad.line);
        assert!(!bad.message.contains(&row[1]));
    }

    let capital = report
        .items
        .iter()
        .find(|item| item.code == "business_registration")
        .expect("it is mapped");
    let amount = capital
        .fields
        .iter()
        .find(|field| field.name == "registered_capital");
    let amount = amount.expect("it is mapped");
    // Three names and one `60(元/万元)` in 50,000 rows are no amounts.
    assert!(
        (1..=4).contains(&amount.unreadable),
        "{}",
        amount.unreadable
    );
    // Whatever the register says of the capital is kept beside it.
    let said = capital
        .fields
        .iter()
        .find(|field| field.name == "capital_as_registered");
    assert_eq!(
        amount.filled + amount.unreadable,
        said.expect("it is mapped").filled
    );
}

#[test]
fn any_real_row_is_fetched_as_it_was_scanned() {
    let Some(folder) = data() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let source = FileSource::open(mapping(dir.path(), &files(&folder))).expect("opens");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .build()
        .expect("a runtime starts");
    let mut fetched = 0;
    for (index, step) in source.scan(None).expect("starts").enumerate() {
        let step = step.expect("goes on");
        let Ok(record) = step.row else { continue };
        if index % 97 == 0 {
            let got = runtime.block_on(source.fetch(&record.uscc));
            assert_eq!(got, Ok(record));
            fetched += 1;
        }
    }
    assert!(fetched > 400, "{fetched}");
}
