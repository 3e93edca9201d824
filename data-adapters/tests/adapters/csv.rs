//! CSV files in both encodings.

use std::fs;

use tempfile::TempDir;
use xinqiao_data_adapters::{FetchError, Mapping, Source};

use crate::data::{Data, HOLDERS, ITEMS, MAIN, YEARS, block_on, conforms, data, records, uscc};

const HEAD: &str = r#"[source]
name = "register"
kind = "csv"
paths = ["main.csv"]
subject = "code"
as_of = { column = "updated" }

[[related]]
name = "holders"
paths = ["holders.csv"]
subject = "code"

[[related]]
name = "years"
paths = ["years.csv"]
subject = "code"
"#;

pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    dir: TempDir,
}

fn csv<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: Vec<&str>| {
        let quoted: Vec<String> = cells
            .iter()
            .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
            .collect();
        quoted.join(",") + "\n"
    };
    let mut text = line(header.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// Opens the data as files; `encode` makes bytes of their text.
fn open(data: &Data, head: &str, encode: impl Fn(&str) -> Vec<u8>) -> Opened {
    let dir = tempfile::tempdir().expect("temporary folder");
    for (name, text) in [
        ("main.csv", csv(MAIN, &data.main)),
        ("holders.csv", csv(HOLDERS, &data.holders)),
        ("years.csv", csv(YEARS, &data.years)),
    ] {
        fs::write(dir.path().join(name), encode(&text)).expect("written");
    }
    let text = format!("{head}{ITEMS}");
    let mapping = Mapping::parse(&text, &dir.path().join("m.toml")).expect("a good mapping");
    Opened {
        source: xinqiao_data_adapters::open(mapping).expect("it opens"),
        dir,
    }
}

pub(crate) fn files(data: &Data) -> Opened {
    open(data, HEAD, |text| text.as_bytes().to_vec())
}

#[test]
fn csv_files_with_related_ones_conform() {
    let data = data(false);
    conforms(files(&data).source.as_ref(), &data);
}

#[test]
fn files_in_gb18030_conform_and_say_the_same() {
    let data = data(false);
    let head = HEAD.replace(
        "subject = \"code\"\nas_of",
        "encoding = \"gb18030\"\nsubject = \"code\"\nas_of",
    );
    let opened = open(&data, &head, |text| {
        encoding_rs::GB18030.encode(text).0.into_owned()
    });
    conforms(opened.source.as_ref(), &data);
}

#[test]
fn items_of_several_rows_have_golden_bytes() {
    let data = data(false);
    let found = records(files(&data).source.as_ref());
    let items = |number: u32| -> Vec<String> {
        let record = &found[&uscc(number)];
        let text = |item: &xinqiao_data_adapters::Item| {
            format!("{} {}", item.code, String::from_utf8_lossy(&item.canonical))
        };
        record.items.iter().map(text).collect()
    };
    assert_eq!(
        items(11),
        [
            r#"business_registration {"founded":"2001-02-03","name":"企业11","staff":11}"#,
            r#"registered_capital {"amount":{"amount":"115000.00","currency":"CNY"}}"#,
            concat!(
                r#"shareholders {"entries":["#,
                r#"{"name":"股东2","paid":{"amount":"100.50","currency":"CNY"},"since":"2019-12-31"},"#,
                r#"{"name":"股东3","paid":{"amount":"10.50","currency":"CNY"},"since":"2019-12-31"},"#,
                r#"{"name":"股东0","paid":{"amount":"9.50","currency":"CNY"},"since":null}]}"#
            ),
            r#"annual_report {"revenue":{"unit":"万元","value":"11.2024"},"year":2024}"#,
        ]
    );
    assert_eq!(
        items(7)[0],
        r#"business_registration {"founded":"2001-02-03","name":"=cmd|' /C calc'!A0","staff":7}"#,
        "what a record says stays what it says"
    );
}

#[test]
fn a_related_file_that_changed_is_not_served_before_it_was_read_anew() {
    let data = data(false);
    let opened = files(&data);
    let path = opened.dir.path().join("holders.csv");
    let text = fs::read_to_string(&path).expect("it was written");
    fs::write(&path, text + "\n\n").expect("written");
    let fetched = block_on(opened.source.fetch(&uscc(11)));
    assert!(
        matches!(fetched, Err(FetchError::Changed { .. })),
        "{fetched:?}"
    );
    opened.source.refresh().expect("it reads");
    assert!(block_on(opened.source.fetch(&uscc(11))).is_ok());
}
