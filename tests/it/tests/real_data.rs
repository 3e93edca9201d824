//! Real company registrations through the CSV adapter: every bad row is reported, none is lost, and
//! queries for the good ones are answered and verified.

#![cfg(feature = "draft")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::PathBuf, time::Duration};

use xinqiao_it::{process, root};

/// The rows of the shared files whose codes are none.
const BAD_CODES: usize = 522;

/// How many queries are asked.
const QUERIES: usize = 100;

/// The folder with the registrations: `XINQIAO_DATA`, or the one beside the clone.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("XINQIAO_DATA")
        .map_or_else(|| root().join("../shared/data/enterprises"), PathBuf::from);
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
    let output = process::run(
        &[
            "demo",
            "--data",
            data.to_str().unwrap(),
            "--queries",
            &QUERIES.to_string(),
            "--dir",
            dir.to_str().unwrap(),
        ],
        Duration::from_secs(580),
    )
    .await;
    let printed = process::printed(&output);
    assert!(
        output.status.success(),
        "the demo ended with {}:\n{printed}",
        output.status
    );

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
        value("subjects/s"),
        value("queries/s"),
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
    let bad_codes = listed.iter().filter(|line| line.contains("uscc")).count();
    assert_eq!(
        bad_codes,
        BAD_CODES,
        "the first of them: {:?}",
        listed.first()
    );
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

fn csv_rows(folder: &std::path::Path) -> usize {
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

/// The lines of the files in which holders list bad rows.
fn bad_rows(dir: &std::path::Path) -> Vec<String> {
    let files = xinqiao_it::markers::files(dir);
    let lists = files
        .iter()
        .filter(|file| file.file_name().unwrap().to_string_lossy().contains("bad"));
    lists
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
