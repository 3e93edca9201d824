//! What files are read as, what is refused and where, and that the first catalogue is what it is said to be.

use prost::Message;
use xinqiao_ledger::{
    catalogue::{MAX_BYTES, item::Shape},
    wire,
};

use super::*;

#[test]
fn the_first_catalogue_has_29_items_and_fits_a_transaction_many_times_over() {
    let first = first().unwrap();
    assert_eq!((first.version, first.items.len()), (1, 29));
    let size = wire::Catalogue::from(&first).encoded_len();
    assert!(size * 10 < MAX_BYTES, "{size}");
    let ordered: Vec<_> = first
        .in_order()
        .iter()
        .map(|item| item.code.to_string())
        .collect();
    assert_eq!(ordered[0], "business_registration");
    assert_eq!(ordered[28], "intellectual_property");
    // The order of the file is the order of reports.
    let in_file: Vec<_> = FIRST
        .lines()
        .filter_map(|line| line.strip_prefix("code = \"")?.strip_suffix('"'))
        .collect();
    assert_eq!(ordered, in_file);
    for item in &first.items {
        let list = matches!(item.shape, Shape::List { .. });
        assert!(!list || !item.key.is_empty(), "{} has no key", item.code);
        for name in &item.key {
            assert!(
                item.field(name.as_str()).unwrap().required,
                "{} {name}",
                item.code
            );
        }
    }
}

#[test]
fn what_is_written_is_read_back_alike() {
    let first = first().unwrap();
    let written = text(&first);
    assert_eq!(parse(&written).unwrap(), first);
    assert_eq!(text(&parse(&written).unwrap()), written);
    let nested = format!("other = 1\n{}", tables(&first, "catalogue"));
    let whole: toml::Table = toml::from_str(&nested).unwrap();
    let file: CatalogueFile = whole["catalogue"].clone().try_into().unwrap();
    assert_eq!(file.into_catalogue().unwrap(), first);
}

const SMALL: &str = r#"
version = 2
groups = [{ code = "g", name_zh = "组", name_en = "G" }]
purposes = [{ code = "p", name_zh = "用途", name_en = "P" }]
[[items]]
code = "b"
name_zh = "乙"
name_en = "B"
group = "g"
shape = "record"
fresh_days = 1
keep_days = 1
sensitivity = "public"
fields = [{ name = "f", zh = "字段", en = "F", type = "text" }]
[[items]]
code = "a"
name_zh = "甲"
name_en = "A"
group = "g"
shape = { list = 5, exhaustive = false }
fresh_days = 1
keep_days = 1
sensitivity = "sensitive"
fields = [{ name = "n", zh = "数", en = "N", type = "integer" }]
"#;

#[test]
fn items_stand_in_the_order_of_the_file() {
    let small = parse(SMALL).unwrap();
    let order: Vec<_> = small
        .in_order()
        .iter()
        .map(|item| item.code.to_string())
        .collect();
    assert_eq!(order, ["b", "a"]);
    let placed = SMALL.replace("code = \"a\"\n", "code = \"a\"\nplace = 5\n");
    let placed = parse(&placed).unwrap();
    assert_eq!(placed.in_order()[0].code.as_str(), "a");
}

#[test]
fn a_fault_names_its_line_or_its_item_and_field() {
    for (from, to, said) in [
        ("version = 2", "version = ", "line 2"),
        (
            "version = 2",
            "version = 2\nedition = 3",
            "unknown field `edition`",
        ),
        ("version = 2", "version = 0", "version: must lie between 1"),
        ("shape = \"record\"", "shape = \"heap\"", "line"),
        (
            "sensitivity = \"public\"",
            "sensitivity = \"secret\"",
            "line",
        ),
        ("type = \"text\"", "type = \"float\"", "line"),
        (
            "type = \"text\"",
            "type = \"text\", currency = \"CNY\"",
            "item \"b\", field \"f\": currency",
        ),
        (
            "type = \"text\"",
            "type = \"text\", max_chars = 0",
            "item \"b\", field \"f\": text.max_chars",
        ),
        (
            "type = \"text\"",
            "type = \"code\"",
            "item \"b\", field \"f\": code.values: must be given",
        ),
        (
            "type = \"text\"",
            "type = \"code\", values = [[\"a\", \"甲\"]]",
            "line",
        ),
        (
            "type = \"text\"",
            "type = \"money\", min = 0",
            "item \"b\", field \"f\": min: must be text",
        ),
        (
            "type = \"text\"",
            "type = \"decimal\", min = \"1.0\"",
            "item \"b\", field \"f\": decimal.min",
        ),
        (
            "type = \"integer\"",
            "type = \"integer\", max = \"5\"",
            "item \"a\", field \"n\": max: must be a whole number",
        ),
        (
            "code = \"a\"\n",
            "code = \"b\"\n",
            "items: must be in ascending order, each element once",
        ),
        (
            "group = \"g\"\nshape = \"record\"",
            "group = \"h\"\nshape = \"record\"",
            "item \"b\": group",
        ),
        ("list = 5", "list = 5000", "item \"a\": list.max_entries"),
        ("code = \"b\"\n", "code = \"x_b\"\n", "item \"x_b\": owner"),
        ("code = \"p\"", "code = \"P\"", "purpose \"P\": code"),
        (
            "code = \"g\", name_zh = \"组\"",
            "code = \"g\", name_zh = \"\"",
            "group \"g\": name_zh: must be given",
        ),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let fault = parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(fault.contains(said), "{to}: {fault}");
    }
    let long = " ".repeat(MAX_TEXT + 1);
    assert!(matches!(parse(&long), Err(Error::TooLong(_))));
}
