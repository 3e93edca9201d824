//! Real company registrations through the CSV adapter: every bad row is reported, none is lost, and
//! queries for the good ones are answered and verified.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use xinqiao_it::{process, root};

/// The rows of the shared files whose codes are none.
const BAD_CODES: usize = 522;

/// How many queries are asked.
const QUERIES: usize = 250;

/// The folder with the registrations: `XINQIAO_DATA`, or the one beside the clone.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("XINQIAO_DATA")
        .map_or_else(|| root().join("../shared/data/enterprises"), PathBuf::from);
    // Bad rows are named by their file, without dots on the way.
    let folder = folder.canonicalize().ok()?;
    folder.join("jiangsu.csv").is_file().then_some(folder)
}

#[tokio::test]
async fn every_bad_row_is_reported_and_every_query_is_verified() {
    let Some(data) = data() else {
        eprintln!("skipped: there are no registrations; XINQIAO_DATA names their folder");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("consortium");
    let queries = QUERIES.to_string();
    let args = ["--data", data.to_str().unwrap(), "--queries", &queries];
    let printed = process::demo(&dir, &args, Duration::from_secs(580)).await;

    let value = |row: &str| -> String {
        let line = printed
            .lines()
            .find(|line| line.contains(row))
            .unwrap_or_else(|| panic!("no figure {row:?}:\n{printed}"));
        let cells: Vec<&str> = line.split(['│', '┆', '|']).map(str::trim).collect();
        cells
            .iter()
            .rev()
            .find(|cell| !cell.is_empty())
            .unwrap()
            .to_string()
    };
    let answered = value("cross-region queries answered, each verified");
    assert_eq!(answered, QUERIES.to_string(), "{printed}");
    let subjects: usize = value("subjects registered").parse().unwrap();
    println!(
        "{subjects} subjects at {}/s; {} queries/s, {}; {} a subject",
        value("subjects/s (digested"),
        value("queries/s ("),
        value("p50 / p99"),
        value("disk per subject"),
    );

    // What the demo shows of them adds up.
    assert_eq!(shown_bad_codes(&printed), BAD_CODES, "{printed}");

    // Every row of every file was registered or is listed as bad, with its line and reason.
    let rows: usize = csv_rows(&data);
    let listed = bad_rows(&dir);
    assert_eq!(
        listed.len(),
        rows - subjects,
        "{rows} rows, {subjects} subjects"
    );
    // The codes that are none are listed with their very places, and no others.
    let bad_codes: BTreeSet<(String, u64)> = listed
        .into_iter()
        .filter(|bad| bad.reason.starts_with("uscc_") && !bad.message.is_empty())
        .map(|bad| (bad.file, bad.line))
        .collect();
    assert_eq!(bad_codes.len(), BAD_CODES);
    assert_eq!(bad_codes, bad_codes_in(&data));
}

/// The counts beside the reasons that codes are bad for, added up.
fn shown_bad_codes(printed: &str) -> usize {
    let words: Vec<&str> = printed.split_whitespace().collect();
    let counts = words.windows(2).filter_map(|pair| {
        pair[0]
            .starts_with("uscc_")
            .then(|| pair[1].parse::<usize>().ok())?
    });
    counts.sum()
}

fn csv_rows(folder: &Path) -> usize {
    xinqiao_it::markers::files(folder)
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "csv"))
        .map(|file| {
            let mut reader = csv::ReaderBuilder::new()
                .flexible(true)
                .from_path(file)
                .unwrap();
            reader.byte_records().count()
        })
        .sum()
}

/// File and line of every row whose code is none, found without the product.
fn bad_codes_in(folder: &Path) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for file in xinqiao_it::markers::files(folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, row) in (1..).zip(text.lines()).skip(1) {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(row.as_bytes());
            let cells = reader.records().next().unwrap().unwrap();
            if !is_code(&cells[1]) {
                found.insert((file.display().to_string(), line));
            }
        }
    }
    found
}

/// GB 32100-2015, 5.1.4: the weighted sum of all 18 characters is a multiple of 31.
fn is_code(code: &str) -> bool {
    const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    let values: Option<Vec<usize>> = code.chars().map(|c| ALPHABET.find(c)).collect();
    let Some(values) = values.filter(|values| values.len() == 18) else {
        return false;
    };
    let mut weight = 1;
    let mut sum = values[17];
    for value in &values[..17] {
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    sum % 31 == 0
}

/// A row as holders list it.
struct BadRow {
    file: String,
    line: u64,
    reason: String,
    message: String,
}

/// What holders list as bad rows in their files.
fn bad_rows(dir: &Path) -> Vec<BadRow> {
    let files = xinqiao_it::markers::files(dir);
    let lists = files
        .iter()
        .filter(|file| file.file_name().unwrap().to_string_lossy().contains("bad"));
    lists
        .flat_map(|file| {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_path(file)
                .unwrap();
            let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
            rows.into_iter().map(|row| BadRow {
                file: row[0].to_owned(),
                line: row[1].parse().unwrap(),
                reason: row[2].to_owned(),
                message: row[3].to_owned(),
            })
        })
        .collect()
}
