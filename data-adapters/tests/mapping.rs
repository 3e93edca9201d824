//! Faults in mapping files are named with file, line and field.

use std::path::Path;

use xinqiao_data_adapters::mapping::{AsOf, Mapping, Order, Origin, Rows};
use xinqiao_data_adapters::{Error, FieldKind};

const GOOD: &str = r#"[source]
name = "jiangsu-register"
kind = "csv"
paths = ["a.csv", "sub/b.csv"]
encoding = "utf-8"
subject = "统一社会信用代码"
as_of = { date = "2026-06-30" }

[[item]]
code = "business_registration"
fields = [
  { name = "name", column = "企业名称", type = "text", required = true, max_length = 200 },
  { name = "power", column = "用电量", type = "decimal", unit = "kWh" },
]

[[item]]
code = "registered_capital"
fields = [{ name = "amount", column = "注册资金", type = "money", currency = "USD" }]
"#;

fn parse(text: &str) -> Result<Mapping, xinqiao_data_adapters::MappingError> {
    Mapping::parse(text, Path::new("/etc/x/map.toml"))
}

#[test]
fn a_good_mapping_says_what_it_says() {
    let mapping = parse(GOOD).expect("it is good");
    assert_eq!(mapping.name, "jiangsu-register");
    assert_eq!(mapping.absent, ["", "N/A", "-"]);
    assert!(matches!(&mapping.as_of, AsOf::Fixed(date) if date.to_string() == "2026-06-30"));
    let Origin::Csv { files, .. } = &mapping.origin else {
        panic!("it is of CSV files");
    };
    let paths: Vec<_> = files.iter().map(|f| f.path.to_str()).collect();
    assert_eq!(
        paths,
        [Some("/etc/x/a.csv"), Some("/etc/x/sub/b.csv")],
        "relative to the mapping"
    );
    let [first, second] = mapping.items.as_slice() else {
        panic!("two items");
    };
    assert_eq!(first.code, "business_registration");
    assert!(first.fields[0].required);
    assert_eq!(first.fields[0].max_length, Some(200));
    let unit = Some("kWh".to_owned());
    assert_eq!(first.fields[1].kind, FieldKind::Decimal { unit });
    let currency = "USD".to_owned();
    assert_eq!(second.fields[0].kind, FieldKind::Money { currency });
}

/// Replaces `from` in the good mapping by `to`; wants the fault at this line, in this field, saying this.
#[track_caller]
fn check((from, to, line, field, message): (&str, &str, usize, &str, &str)) {
    assert!(GOOD.contains(from), "the table is out of date: {from}");
    let text = GOOD.replacen(from, to, 1);
    let fault = parse(&text).expect_err(to);
    let said = fault.to_string();
    assert!(said.starts_with("/etc/x/map.toml:"), "{said}");
    assert_eq!((fault.line, fault.field.as_str()), (line, field), "{said}");
    assert!(fault.message.contains(message), "{said}");
}

#[test]
fn every_fault_is_named_with_line_and_field() {
    let long_field = format!("{{ name = \"{}\", column", "a".repeat(65));
    for row in [
        // Keys and syntax.
        ("encoding =", "encodign =", 5, "encodign", "unknown field"),
        (
            "required = true",
            "must = true",
            12,
            "must",
            "unknown field",
        ),
        (
            "[[item]]\ncode = \"registered_capital\"",
            "[[item]]\ntitle = \"x\"\ncode = \"registered_capital\"",
            17,
            "title",
            "unknown field",
        ),
        ("[source]", "[sauce]", 1, "sauce", "unknown field"),
        (
            "kind = \"csv\"\n",
            "",
            1,
            "[source]",
            "missing field `kind`",
        ),
        (
            "name = \"jiangsu-register\"",
            "name = 7",
            2,
            "7",
            "invalid type",
        ),
        ("kind = \"csv\"", "kind = \"csv", 3, "file", "string"),
        (
            "kind = \"csv\"",
            "kind = \"csv\"\nkind = \"csv\"",
            4,
            "kind",
            "duplicate",
        ),
        // The source.
        (
            "jiangsu-register",
            "Jiangsu Register",
            2,
            "source.name",
            "lower-case",
        ),
        ("jiangsu-register", "", 2, "source.name", "1 to 32"),
        ("jiangsu-register", "jiangsu-", 2, "source.name", "inner"),
        (
            "jiangsu-register",
            "a-name-longer-than-thirty-two-bytes",
            2,
            "source.name",
            "1 to 32",
        ),
        ("\"csv\"", "\"excel\"", 3, "source.kind", "csv"),
        ("\"utf-8\"", "\"big5\"", 5, "source.encoding", "gb18030"),
        (
            "[\"a.csv\", \"sub/b.csv\"]",
            "[]",
            4,
            "source.paths",
            "1 to 256",
        ),
        ("\"sub/b.csv\"", "\"a.csv\"", 4, "source.paths", "twice"),
        ("\"sub/b.csv\"", "\"\"", 4, "source.paths", "no path"),
        (
            "\"统一社会信用代码\"",
            "\"\"",
            6,
            "source.subject",
            "1 to 256",
        ),
        (
            "\"统一社会信用代码\"",
            "\"a\\tb\"",
            6,
            "source.subject",
            "control",
        ),
        (
            "2026-06-30",
            "2026-06-31",
            7,
            "source.as_of.date",
            "date such as",
        ),
        (
            "{ date = \"2026-06-30\" }",
            "{ }",
            7,
            "source.as_of",
            "either",
        ),
        (
            "{ date = \"2026-06-30\" }",
            "{ date = \"2026-06-30\", column = \"x\" }",
            7,
            "source.as_of",
            "either",
        ),
        (
            "encoding = \"utf-8\"",
            "max_line_bytes = 0",
            5,
            "source.max_line_bytes",
            "between",
        ),
        (
            "encoding = \"utf-8\"",
            "max_cell_bytes = 99999999",
            5,
            "source.max_cell_bytes",
            "between",
        ),
        // Items.
        (
            "\"business_registration\"",
            "\"registered_capital\"",
            17,
            "item[2].code",
            "twice",
        ),
        (
            "\"business_registration\"",
            "\"Business\"",
            10,
            "item[1].code",
            "lower-case",
        ),
        (
            "\"business_registration\"",
            "\"business_registration_of_all_kinds\"",
            10,
            "item[1].code",
            "1 to 32",
        ),
        (
            "\"business_registration\"",
            "\"1st\"",
            10,
            "item[1].code",
            "letter first",
        ),
        (
            "[{ name = \"amount\", column = \"注册资金\", type = \"money\", currency = \"USD\" }]",
            "[]",
            18,
            "item[2].fields",
            "1 to 64",
        ),
        // Fields.
        (
            "name = \"power\"",
            "name = \"name\"",
            13,
            "item[1].fields[2].name",
            "twice",
        ),
        (
            "name = \"power\"",
            "name = \"用电\"",
            13,
            "item[1].fields[2].name",
            "lower-case",
        ),
        (
            "{ name = \"power\", column",
            &long_field,
            13,
            "item[1].fields[2].name",
            "1 to 64",
        ),
        (
            "column = \"用电量\"",
            "column = \"\"",
            13,
            "item[1].fields[2].column",
            "1 to 256",
        ),
        (
            "\"decimal\"",
            "\"float\"",
            13,
            "item[1].fields[2].unit",
            "only decimal",
        ),
        (
            "\"money\", currency = \"USD\"",
            "\"float\"",
            18,
            "item[2].fields[1].type",
            "the types are",
        ),
        ("\"kWh\"", "\"\"", 13, "item[1].fields[2].unit", "1 to 32"),
        (
            "\"money\"",
            "\"integer\"",
            18,
            "item[2].fields[1].currency",
            "only money",
        ),
        (
            "\"USD\"",
            "\"BTC\"",
            18,
            "item[2].fields[1].currency",
            "ISO 4217",
        ),
        (
            "max_length = 200",
            "max_length = 0",
            12,
            "item[1].fields[1].max_length",
            "at least 1",
        ),
        (
            "unit = \"kWh\"",
            "max_length = 5",
            13,
            "item[1].fields[2].max_length",
            "only text",
        ),
    ] {
        check(row);
    }
}

const DATABASE: &str = r#"[source]
name = "register"
kind = "postgres"
table = "registry.enterprise"
subject = "统一社会信用代码"
as_of = { column = "updated" }

[source.database]
url_file = "secrets/url"
max_connections = 4

[[related]]
name = "holders"
table = "holder"
subject = "code"

[[item]]
code = "shareholders"
list = true
from = "holders"
order_by = ["-paid", "name"]
max_entries = 300
fields = [
  { name = "name", column = "名称", type = "text" },
  { name = "paid", column = "paid", type = "money", required = true },
]
"#;

const HTTP: &str = r#"[source]
name = "partner"
kind = "http"
subject = "code"
as_of = { date = "2026-06-30" }

[source.http]
scan_url = "https://a.example/all"
fetch_url = "https://a.example/{subject}"
auth = { bearer_env = "TOKEN" }
paging = { by = "cursor", parameter = "after", next = "/next" }

[[related]]
name = "years"
array = "/years"

[[item]]
code = "annual_report"
from = "years"
latest_by = "year"
fields = [{ name = "year", column = "/at/year", type = "integer", required = true }]
"#;

const XLSX: &str = r#"[source]
name = "book"
kind = "xlsx"
path = "book.xlsx"
sheet = "S"
subject = "code"
as_of = { date = "2026-06-30" }

[[item]]
code = "business_registration"
fields = [{ name = "name", column = "name", type = "text" }]
"#;

#[test]
fn every_kind_of_source_says_what_it_says() {
    let mapping = parse(DATABASE).expect("it is good");
    let Origin::Postgres(database) = &mapping.origin else {
        panic!("it is of PostgreSQL");
    };
    assert_eq!(database.table.to_string(), "registry.enterprise");
    assert_eq!(database.url.to_string(), "/etc/x/secrets/url");
    let order = |field, descending| Order { field, descending };
    assert_eq!(
        mapping.items[0].rows,
        Rows::List {
            related: 0,
            order_by: vec![order(1, true), order(0, false)],
            max_entries: 300
        }
    );
    let mapping = parse(HTTP).expect("it is good");
    assert_eq!(mapping.items[0].rows, Rows::Latest { related: 0, by: 0 });
    assert_eq!(mapping.origin.kind(), "http");
    assert_eq!(parse(XLSX).expect("it is good").origin.kind(), "xlsx");
    let mysql = DATABASE.replace("\"postgres\"", "\"mysql\"");
    assert_eq!(parse(&mysql).expect("it is good").origin.kind(), "mysql");
}

#[rustfmt::skip]
#[test]
fn every_fault_of_every_kind_is_named_with_line_and_field() {
    let mut complaints = Vec::new();
    for (good, from, to, line, field, message) in [
        // Keys of another kind, and missing ones.
        (XLSX, "sheet = \"S\"", "encoding = \"utf-8\"", 5, "source.encoding", "is of csv"),
        (XLSX, "sheet = \"S\"\n", "", 3, "source.sheet", "xlsx needs it"),
        (XLSX, "\"S\"", "\"\"", 5, "source.sheet", "1 to 31"),
        (XLSX, "sheet =", "max_unpacked_bytes = 0\nsheet =", 5, "source.max_unpacked_bytes", "between"),
        (DATABASE, "table = \"registry", "paths = [\"a\"]\ntable = \"registry", 4, "source.paths", "is of csv"),
        (DATABASE, "table = \"registry.enterprise\"\n", "", 3, "source.table", "postgres needs it"),
        // Names in a database.
        (DATABASE, "registry.enterprise", "a.b.c", 4, "source.table", "name in a database"),
        (DATABASE, "registry.enterprise", "enterprise; DROP TABLE x", 4, "source.table", "letters"),
        (DATABASE, "registry.enterprise", "a`b", 4, "source.table", "letters"),
        (DATABASE, "\"名称\"", "\"name\\\" OR 1=1\"", 24, "item[1].fields[1].column", "letters"),
        (DATABASE, "\"名称\"", "\"name--\\u0000\"", 24, "item[1].fields[1].column", "control"),
        (DATABASE, "subject = \"code\"", "subject = \"a b\"", 15, "related[1].subject", "letters"),
        // Secrets.
        (DATABASE, "url_file = \"secrets/url\"\n", "", 8, "source.database", "is a secret"),
        (DATABASE, "url_file", "url_env = \"X\"\nurl_file", 9, "source.database.url_env", "not both"),
        (DATABASE, "url_file = \"secrets/url\"", "url = \"postgres://\"", 9, "url", "unknown field"),
        (DATABASE, "url_file = \"secrets/url\"", "url_env = \"A-B\"", 9, "source.database.url_env", "letters"),
        (DATABASE, "max_connections = 4", "max_connections = 65", 10, "source.database.max_connections", "between"),
        // Related tables.
        (DATABASE, "\"holders\"\ntable", "\"Holders\"\ntable", 13, "related[1].name", "lower-case"),
        (DATABASE, "table = \"holder\"", "sheet = \"holder\"", 12, "related[1]", "has `table`"),
        (DATABASE, "subject = \"code\"\n", "", 12, "related[1]", "wants `subject`"),
        (DATABASE, "from = \"holders\"", "from = \"owners\"", 20, "item[1].from", "no [[related]]"),
        (DATABASE, "from = \"holders\"\n", "", 19, "item[1].list", "goes with `from`"),
        (DATABASE, "list = true\n", "", 19, "item[1].from", "either a list"),
        (DATABASE, "list = true", "list = true\nlatest_by = \"paid\"", 21, "item[1].from", "either a list"),
        (DATABASE, "\"-paid\", \"name\"", "\"-size\"", 21, "item[1].order_by", "no field"),
        (DATABASE, "\"-paid\", \"name\"", "\"-paid\", \"paid\"", 21, "item[1].order_by", "twice"),
        (DATABASE, "max_entries = 300", "max_entries = 2001", 22, "item[1].max_entries", "2000"),
        (DATABASE, "[[item]]", "[[related]]\nname = \"more\"\ntable = \"more\"\nsubject = \"c\"\n[[item]]", 18, "related[2].name", "no item"),
        (HTTP, ", required = true", "", 20, "item[1].latest_by", "required"),
        (HTTP, "latest_by = \"year\"", "latest_by = \"years\"", 20, "item[1].latest_by", "no field"),
        (HTTP, "latest_by = \"year\"", "latest_by = \"year\"\nmax_entries = 2", 21, "item[1].max_entries", "list = true"),
        (HTTP, "array = \"/years\"", "array = \"years\"", 15, "related[1].array", "JSON pointer"),
        (HTTP, "\"/at/year\"", "\"/at~year\"", 21, "item[1].fields[1].column", "JSON pointer"),
        // Addresses.
        (HTTP, "https://a.example/all", "ftp://a.example", 8, "source.http.scan_url", "http:// or https://"),
        (HTTP, "https://a.example/all", "http://a.example/all", 8, "source.http.scan_url", "shows records"),
        (HTTP, "https://a.example/all", "https://u:p@a.example/all", 8, "source.http.scan_url", "no user or password"),
        (HTTP, "https://a.example/all", "nowhere", 8, "source.http.scan_url", "no URL"),
        (HTTP, "/{subject}", "/", 9, "source.http.fetch_url", "{subject} once"),
        (HTTP, "{ bearer_env = \"TOKEN\" }", "{ token = \"x\" }", 10, "token", "unknown field"),
        (HTTP, "{ bearer_env = \"TOKEN\" }", "{ user = \"x\" }", 10, "source.http.auth", "is one of"),
        (HTTP, "{ bearer_env = \"TOKEN\" }", "{ header = \"a b\", key_env = \"K\" }", 10, "source.http.auth.header", "letters"),
        (HTTP, "by = \"cursor\"", "by = \"magic\"", 11, "source.http.paging.by", "page, cursor or link"),
        (HTTP, ", next = \"/next\"", "", 11, "source.http.paging", "wants `next`"),
        (HTTP, "parameter = \"after\", ", "", 11, "source.http.paging", "wants `parameter`"),
    ] {
        if !good.contains(from) {
            complaints.push(format!("the table is out of date: {from}"));
            continue;
        }
        let Err(fault) = parse(&good.replacen(from, to, 1)) else {
            complaints.push(format!("{to}: it is taken"));
            continue;
        };
        if (fault.line, fault.field.as_str()) != (line, field) || !fault.message.contains(message) {
            complaints.push(format!("{to}: line {line}, {field}, {message}: {fault}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The blocks of TOML in the documentation: the first is a whole mapping, the others stand for its source.
#[test]
fn the_documented_mappings_are_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data-sources.md");
    let text = std::fs::read_to_string(path).expect("the page is there");
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block ends"))
        .collect();
    let mapping = parse(blocks[0]).expect("the whole mapping is good");
    assert_eq!((mapping.related.len(), mapping.items.len()), (2, 3));
    let common = "[source]\nname = \"x\"\n";
    let item =
        "[[item]]\ncode = \"a\"\nfields = [{ name = \"a\", column = \"a\", type = \"text\" }]\n";
    let list = "[[item]]\ncode = \"b\"\nfrom = \"holders\"\nlist = true\n\
                fields = [{ name = \"a\", column = \"a\", type = \"text\" }]\n";
    let mut kinds = Vec::new();
    for block in &blocks[1..] {
        let mut text = common.to_owned();
        if !block.contains("subject =") {
            text += "subject = \"code\"\n";
        }
        if !block.contains("as_of =") {
            text += "as_of = { date = \"2026-06-30\" }\n";
        }
        text += block;
        text += item;
        if block.contains("[[related]]") {
            text += list;
        }
        kinds.push(parse(&text).expect(block).origin.kind());
    }
    assert_eq!(kinds, ["xlsx", "postgres", "http"]);
}

#[test]
fn too_many_of_anything_is_refused() {
    let head = GOOD.split("[[item]]").next().expect("it has a head");
    let none = parse(head).expect_err("no items");
    assert_eq!(none.field, "item");
    let mut items = head.to_owned();
    for index in 0..65 {
        items.push_str(&format!(
            "[[item]]\ncode = \"i{index}\"\nfields = [{{ name = \"a\", column = \"b\", type = \"text\" }}]\n"
        ));
    }
    assert!(parse(&items).is_err_and(|e| e.message.contains("at most 64")));
}

#[test]
fn a_mapping_file_has_a_limit_and_must_be_text() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("m.toml");
    assert!(matches!(Mapping::read(&path), Err(Error::Io { .. })));
    std::fs::write(&path, vec![b'#'; 256 * 1024 + 1]).expect("written");
    assert!(matches!(Mapping::read(&path), Err(Error::Limit { .. })));
    std::fs::write(&path, b"# \xff").expect("written");
    assert!(matches!(Mapping::read(&path), Err(Error::Io { .. })));
    std::fs::write(&path, GOOD).expect("written");
    assert!(Mapping::read(&path).is_ok());
}
