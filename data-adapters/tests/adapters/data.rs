//! The same records for every adapter: good ones, and one of each fault.

use std::collections::BTreeMap;

use xinqiao_data_adapters::conformance::{self, Expectations};
use xinqiao_data_adapters::{Reason, Source, SubjectRecord};
use xinqiao_ledger::uscc::Uscc;

/// What stands in bad rows, and may stand in no message.
pub(crate) const MARKER: &str = "MARKER77";

/// The items, in the words of any kind of source.
pub(crate) const ITEMS: &str = r#"
[[item]]
code = "business_registration"
fields = [
  { name = "name", column = "name", type = "text", required = true, max_length = 30 },
  { name = "founded", column = "founded", type = "date" },
  { name = "staff", column = "staff", type = "integer" },
]

[[item]]
code = "registered_capital"
fields = [{ name = "amount", column = "capital", type = "money" }]

[[item]]
code = "shareholders"
list = true
from = "holders"
order_by = ["-paid", "name"]
max_entries = 5
fields = [
  { name = "name", column = "holder", type = "text", required = true },
  { name = "paid", column = "paid", type = "money" },
  { name = "since", column = "since", type = "date" },
]

[[item]]
code = "annual_report"
from = "years"
latest_by = "year"
fields = [
  { name = "year", column = "year", type = "integer", required = true },
  { name = "revenue", column = "revenue", type = "decimal", unit = "万元" },
]
"#;

pub(crate) const MAIN: [&str; 6] = ["code", "updated", "name", "founded", "staff", "capital"];
pub(crate) const HOLDERS: [&str; 4] = ["code", "holder", "paid", "since"];
pub(crate) const YEARS: [&str; 3] = ["code", "year", "revenue"];

pub(crate) fn uscc(number: u32) -> Uscc {
    Uscc::from_base17(&format!("91310115MA{number:07}")).expect("digits are in the alphabet")
}

/// Rows in the order of codes, as an interface gives them; related ones in no order.
pub(crate) struct Data {
    pub(crate) main: Vec<[String; 6]>,
    pub(crate) holders: Vec<[String; 4]>,
    pub(crate) years: Vec<[String; 3]>,
    pub(crate) expectations: Expectations,
}

fn texts<const N: usize>(cells: [&str; N]) -> [String; N] {
    cells.map(str::to_owned)
}

/// `nested`: related rows stand inside their subject, so none can be about an unknown one.
pub(crate) fn data(nested: bool) -> Data {
    let mut main = Vec::new();
    let mut holders = Vec::new();
    let mut years = Vec::new();
    let mut subjects = BTreeMap::new();
    for number in 0..60_u32 {
        let code = uscc(number);
        let mut items = vec!["business_registration".to_owned()];
        let name = match number {
            7 => "=cmd|' /C calc'!A0".to_owned(),
            8 => "  \"甲\", 乙 & <丙>  ".to_owned(),
            _ => format!("企业{number}"),
        };
        let founded = if number % 6 == 0 { "" } else { "2001-02-03" };
        let capital = match number {
            9 => "六十万".to_owned(),
            _ if number % 7 == 0 => String::new(),
            _ => format!("{number}.5万元"),
        };
        if number % 7 != 0 && number != 9 {
            items.push("registered_capital".to_owned());
        }
        main.push([
            code.expose().to_owned(),
            "2026-06-30".to_owned(),
            name,
            founded.to_owned(),
            number.to_string(),
            capital,
        ]);
        let count = if number == 13 { 6 } else { number % 4 };
        for index in 0..count {
            // Neither the order of names nor that of amounts.
            let paid = [10, 9, 100, 10, 7, 8][index as usize];
            holders.push([
                code.expose().to_owned(),
                format!("股东{}", (index * 7 + 3) % 5),
                format!("{paid}.50"),
                if index == 1 {
                    String::new()
                } else {
                    "2019-12-31".to_owned()
                },
            ]);
        }
        if (1..=5).contains(&count) {
            items.push("shareholders".to_owned());
        }
        for index in 0..number % 3 {
            let year = [2019, 2024][index as usize];
            years.push([
                code.expose().to_owned(),
                year.to_string(),
                format!("{number}.{year}"),
            ]);
        }
        if number % 3 > 0 {
            items.push("annual_report".to_owned());
        }
        subjects.insert(code, items);
    }
    // One of each fault.
    main.push(texts([
        uscc(5).expose(),
        "2026-06-30",
        "又一个",
        "",
        "1",
        "1",
    ]));
    main.push(texts([
        uscc(101).expose(),
        "2026-06-30",
        "a",
        "",
        MARKER,
        "",
    ]));
    main.push(texts([
        uscc(102).expose(),
        "2026-06-30",
        "a\tMARKER77",
        "",
        "1",
        "",
    ]));
    main.push(texts([uscc(103).expose(), "2026-06-30", "", "", "1", ""]));
    main.push(texts([MARKER, "2026-06-30", "a", "", "1", ""]));
    main.sort_by(|a, b| a[0].cmp(&b[0]));
    holders.push(texts([uscc(3).expose(), "", "5.00", ""]));
    years.push(texts([uscc(4).expose(), MARKER, "1"]));
    let mut bad_rows = BTreeMap::from([
        (Reason::DuplicateSubject, 1),
        (Reason::WrongType, 2),
        (Reason::ControlCharacter, 1),
        (Reason::MissingRequired, 2),
        (Reason::UsccLength, 1),
        (Reason::TooManyEntries, 1),
    ]);
    if !nested {
        holders.push(texts([uscc(950).expose(), MARKER, "5.00", ""]));
        bad_rows.insert(Reason::UnknownSubject, 1);
    }
    holders.sort_by(|a, b| a[1].cmp(&b[1]));
    years.reverse();
    Data {
        main,
        holders,
        years,
        expectations: Expectations {
            subjects,
            bad_rows,
            warnings: 1,
            unknown: vec![uscc(900), uscc(950)],
            markers: vec![MARKER.to_owned()],
        },
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(future)
}

/// Every good record, by its subject.
pub(crate) fn records(source: &dyn Source) -> BTreeMap<Uscc, SubjectRecord> {
    source
        .scan(None)
        .expect("the scan begins")
        .filter_map(|step| step.expect("the scan goes on").row.ok())
        .map(|record| (record.uscc, record))
        .collect()
}

/// The adapter keeps the contract, and says the same bytes as CSV files do.
#[track_caller]
pub(crate) fn conforms(source: &dyn Source, data: &Data) {
    let kind = source.describe().kind;
    block_on(conformance::run(source, &data.expectations))
        .unwrap_or_else(|violation| panic!("{kind}: {violation}"));
    let found = records(source);
    let wanted = records(crate::csv::files(&data_of_files()).source.as_ref());
    for (uscc, record) in &wanted {
        let got = found.get(uscc).expect("the conformance suite saw it");
        assert_eq!(got.as_of, record.as_of, "{kind}: {uscc:?}");
        for (got, item) in got.items.iter().zip(&record.items) {
            let texts = [got, item].map(|item| String::from_utf8_lossy(&item.canonical));
            assert_eq!(texts[0], texts[1], "{kind}: {uscc:?} {}", item.code);
        }
        assert_eq!(got, record, "{kind}: {uscc:?}");
    }
}

fn data_of_files() -> Data {
    data(false)
}
