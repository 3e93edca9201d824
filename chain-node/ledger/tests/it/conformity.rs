//! Whether items conform to their schemas, and what a next catalogue may change.

use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        conformity::{MAX_FAULTS, check},
        item::ItemSchema,
        succession::{self, Unfit},
    },
    wire::{self, catalogue_field::Type, catalogue_item::Shape},
};

use crate::samples::{catalogue, field, value};

fn parsed(wire: &wire::Catalogue) -> Catalogue {
    Catalogue::try_from(wire).unwrap()
}

fn item(at: usize) -> ItemSchema {
    parsed(&catalogue()).items.remove(at)
}

const CUSTOMS: usize = 0;
const REGISTRATION: usize = 1;
const TAX: usize = 2;

/// The faults of an item, as `path CODE`.
fn faults(at: usize, json: &str) -> Vec<String> {
    let found = check(&item(at), json.as_bytes());
    assert!(!found.more);
    let fault = found.faults.iter();
    fault
        .map(|fault| format!("{} {}", fault.path, fault.what.code()))
        .collect()
}

#[test]
fn records_are_held_against_their_schema() {
    #[rustfmt::skip]
    let rows: &[(usize, &str, &[&str])] = &[
        (TAX, r#"{"paid":{"amount":"12.50","currency":"CNY"},"period":"2025","times":3}"#, &[]),
        // What need not be there may be null, empty or left out.
        (TAX, r#"{"paid":null,"period":"2025","times":null}"#, &[]),
        (TAX, r#"{"period":"2025"}"#, &[]),
        (TAX, r"{}", &["period MISSING"]),
        (TAX, r#"{"period":null}"#, &["period MISSING"]),
        (TAX, r#"{"period":""}"#, &["period MISSING"]),
        (TAX, r#"{"period":2025}"#, &["period TYPE"]),
        (TAX, r#"{"period":["2025"]}"#, &["period TYPE"]),
        (TAX, r#"{"period":"二〇二五年一月至十二月全年"}"#, &[]),
        (TAX, r#"{"period":"二〇二五年一月至十二月全年度所有税种"}"#, &["period TOO_LONG"]),
        (TAX, r#"{"period":"20\u001b[2J"}"#, &["period CONTROL_CHARACTER"]),
        (TAX, r#"{"period":"a\nb"}"#, &[]),
        (TAX, r#"{"period":"2025","times":-2}"#, &["times RANGE"]),
        (TAX, r#"{"period":"2025","times":101}"#, &["times RANGE"]),
        (TAX, r#"{"period":"2025","times":1.5}"#, &["times FORM"]),
        (TAX, r#"{"period":"2025","times":9007199254740992}"#, &["times FORM"]),
        (TAX, r#"{"period":"2025","times":"1"}"#, &["times TYPE"]),
        (TAX, r#"{"period":"2025","times":true}"#, &["times TYPE"]),
        (TAX, r#"{"paid":"12.50","period":"2025"}"#, &["paid TYPE"]),
        (TAX, r#"{"paid":{"amount":"12.5","currency":"CNY"},"period":"2025"}"#, &["paid FORM"]),
        (TAX, r#"{"paid":{"amount":12.5,"currency":"CNY"},"period":"2025"}"#, &["paid FORM"]),
        (TAX, r#"{"paid":{"amount":"12.50"},"period":"2025"}"#, &["paid FORM"]),
        (TAX, r#"{"paid":{"amount":"12.50","currency":"CNY","x":1},"period":"2025"}"#, &["paid FORM"]),
        (TAX, r#"{"paid":{"amount":"12.50","currency":"USD"},"period":"2025"}"#, &["paid CURRENCY"]),
        (TAX, r#"{"paid":{"amount":"12.50","currency":"元"},"period":"2025"}"#, &["paid FORM"]),
        (TAX, r#"{"paid":{"amount":"-5.00","currency":"CNY"},"period":"2025"}"#, &[]),
        (TAX, r#"{"paid":{"amount":"-5.01","currency":"CNY"},"period":"2025"}"#, &["paid RANGE"]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":"1000.5"}}"#, &[]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":"1000.51"}}"#, &["used RANGE"]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":"-1"}}"#, &["used RANGE"]),
        (REGISTRATION, r#"{"used":{"unit":"MWh","value":"1"}}"#, &["used UNIT"]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":"1.0"}}"#, &["used FORM"]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":"1e2"}}"#, &["used FORM"]),
        (REGISTRATION, r#"{"used":{"unit":"kWh","value":1}}"#, &["used FORM"]),
        (REGISTRATION, r#"{"used":"1"}"#, &["used TYPE"]),
        // Several at once, in the order of the schema; then what it does not have.
        (TAX, r#"{"paid":1,"secret":"91350100M000100Y43","times":"x"}"#,
            &["period MISSING", "paid TYPE", "times TYPE", "secret UNKNOWN_FIELD"]),
        (TAX, r#"{"<script>":1,"period":"2025"}"#, &["?script? UNKNOWN_FIELD"]),
        // Another shape than was meant.
        (TAX, r#"{"entries":[]}"#, &["period MISSING", "entries UNKNOWN_FIELD"]),
        (TAX, "[]", &[" TYPE"]),
        (TAX, "null", &[" TYPE"]),
        (TAX, "", &[" NOT_CANONICAL"]),
        (TAX, r#"{"period": "2025"}"#, &[" NOT_CANONICAL"]),
        (TAX, r#"{"period":"2025","period":"2026"}"#, &[" NOT_CANONICAL"]),
    ];
    for (at, json, wanted) in rows {
        assert_eq!(faults(*at, json), *wanted, "{json}");
    }
}

#[test]
fn lists_are_held_against_their_schema() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        (r#"{"entries":[]}"#, &[]),
        (r#"{"entries":[{"number":"1","on":"2026-02-28","way":"in"},{"number":"2","on":null,"way":"out"}]}"#, &[]),
        (r"{}", &["entries MISSING"]),
        (r#"{"entries":null}"#, &["entries TYPE"]),
        (r#"{"entries":{}}"#, &["entries TYPE"]),
        ("[]", &[" TYPE"]),
        (r#"{"entries":[],"total":0}"#, &["total UNKNOWN_FIELD"]),
        (r#"{"entries":[null]}"#, &["entries[0] TYPE"]),
        (r#"{"entries":[[]]}"#, &["entries[0] TYPE"]),
        (r#"{"entries":[{"number":"1"},{"on":"2026-02-30"}]}"#, &["entries[1].number MISSING", "entries[1].on FORM"]),
        (r#"{"entries":[{"number":"1","on":"2026-6-1"}]}"#, &["entries[0].on FORM"]),
        (r#"{"entries":[{"number":"1","on":"1799-12-31"}]}"#, &["entries[0].on FORM"]),
        (r#"{"entries":[{"number":"1","on":"2000-02-29"}]}"#, &[]),
        (r#"{"entries":[{"number":"1","on":"1900-02-29"}]}"#, &["entries[0].on FORM"]),
        (r#"{"entries":[{"number":"1","on":"２０２６-01-01"}]}"#, &["entries[0].on FORM"]),
        (r#"{"entries":[{"number":"1","way":"进口"}]}"#, &["entries[0].way UNKNOWN_CODE"]),
        (r#"{"entries":[{"number":"1","way":1}]}"#, &["entries[0].way TYPE"]),
        (r#"{"entries":[{"number":"1","x":[[[[1]]]]}]}"#, &["entries[0].x UNKNOWN_FIELD"]),
        (r#"{"entries":[{"number":"1"},{"number":"2"},{"number":"3"},{"number":"4"}]}"#, &["entries TOO_MANY_ENTRIES"]),
    ];
    for (json, wanted) in rows {
        assert_eq!(faults(CUSTOMS, json), *wanted, "{json}");
    }
}

#[test]
fn hostile_items_cost_no_more_than_their_bytes_and_faults_are_bounded() {
    let bombs = [
        "[".repeat(4 << 20),
        r#"{"entries":"#.repeat(300_000),
        format!(r#"{{"entries":[{}]}}"#, vec!["[]"; 1 << 20].join(",")),
        format!(r#"{{"entries":[{}]}}"#, vec!["{}"; 60_000].join(",")),
        format!(
            "{{{}}}",
            (0..90_000)
                .map(|at| format!("\"{at:06}\":1"))
                .collect::<Vec<_>>()
                .join(",")
        ),
        format!("\"{}\"", "\\u0000".repeat(700_000)),
        "9".repeat(4 << 20),
    ];
    for bomb in &bombs {
        for at in [CUSTOMS, TAX] {
            let found = check(&item(at), bomb.as_bytes());
            assert!((1..=MAX_FAULTS).contains(&found.faults.len()));
            let said = found.faults.iter().map(ToString::to_string);
            assert!(said.map(|text| text.len()).max() < Some(200));
        }
    }
    let many = check(&item(CUSTOMS), bombs[3].as_bytes());
    assert!(many.more && many.faults.len() == MAX_FAULTS);
}

#[test]
fn an_item_goes_stale_the_day_after_it_was_fresh_for_the_last_time() {
    let tax = item(TAX);
    for (as_of, today, stale) in [
        (100, 100, false),
        (100, 190, false),
        (100, 191, true),
        (100, 50, false),
        (u32::MAX, u32::MAX, false),
    ] {
        assert_eq!(tax.is_stale(as_of, today), stale, "{as_of} {today}");
    }
}

#[test]
fn a_next_catalogue_takes_nothing_back_that_conformed() {
    type Row = (&'static str, fn(&mut wire::Catalogue), Option<&'static str>);
    fn put(catalogue: &mut wire::Catalogue, item: usize, at: usize, kind: Type) {
        catalogue.items[item].fields[at].r#type = Some(kind);
    }
    fn text(max_chars: u32) -> Type {
        Type::Text(wire::TextType { max_chars })
    }
    fn money(currency: &str, min: &str, max: &str) -> Type {
        let (currency, min, max) = (currency.into(), min.into(), max.into());
        Type::Money(wire::MoneyType { currency, min, max })
    }
    fn decimal(unit: &str, min: &str, max: &str) -> Type {
        let (unit, min, max) = (unit.into(), min.into(), max.into());
        Type::Decimal(wire::DecimalType { unit, min, max })
    }
    fn integer(min: i64, max: i64) -> Type {
        let unit = "件".into();
        Type::Integer(wire::IntegerType { min, max, unit })
    }
    fn shape(max_entries: u32) -> Option<Shape> {
        let exhaustive = false;
        Some(Shape::List(wire::ListShape {
            max_entries,
            exhaustive,
        }))
    }
    fn codes(codes: &[&str]) -> Type {
        let values = codes.iter().map(|code| value(code, "新", "new")).collect();
        Type::Code(wire::CodeType { values })
    }
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("nothing but the version", |_| {}, None),
        ("the same version", |c| c.version = 1, Some("version 1")),
        ("a version too far", |c| c.version = 3, Some("version 3")),
        ("an item more", |c| { let mut more = c.items[1].clone(); more.code = "z".into(); c.items[3].code = "x_power".into(); c.items.push(more); }, None),
        ("an item less", |c| drop(c.items.remove(0)), Some("item customs_record")),
        ("an extension less", |c| drop(c.items.remove(3)), Some("item x_power")),
        ("a purpose less", |c| drop(c.purposes.remove(1)), Some("purpose post_loan")),
        ("a group less", |c| { c.items[3].group = "records".into(); c.groups.remove(1); }, None),
        ("other words, places and times", |c| {
            let item = &mut c.items[2];
            (item.name_zh, item.place, item.fresh_days, item.keep_days) = ("税".into(), 1, 1, 1);
            (item.sensitivity, item.key) = (3, vec![]);
            item.fields[0].name_en = "term".into();
            item.fields[0].sensitive = true;
            item.fields.reverse();
        }, None),
        ("a field less", |c| drop(c.items[2].fields.remove(1)), Some("tax_payment.paid")),
        ("a field more", |c| c.items[2].fields.push(field("more", text(1))), None),
        ("a field more that must be there", |c| {
            let mut more = field("more", text(1));
            more.required = true;
            c.items[2].fields.push(more);
        }, Some("tax_payment.more")),
        ("no longer required", |c| c.items[2].fields[0].required = false, None),
        ("required from now on", |c| c.items[2].fields[1].required = true, Some("tax_payment.paid")),
        ("longer text", |c| put(c, 2, 0, text(17)), None),
        ("shorter text", |c| put(c, 2, 0, text(15)), Some("tax_payment.period")),
        ("another type", |c| put(c, 2, 0, integer(0, 9_999)), Some("tax_payment.period")),
        ("any currency", |c| put(c, 2, 1, money("", "-5.00", "900000000.00")), None),
        ("another currency", |c| put(c, 2, 1, money("USD", "-5.00", "900000000.00")), Some("tax_payment.paid")),
        ("a lower least amount", |c| put(c, 2, 1, money("CNY", "-5.01", "")), None),
        ("no least amount", |c| put(c, 2, 1, money("CNY", "", "")), None),
        ("a higher least amount", |c| put(c, 2, 1, money("CNY", "-4.99", "900000000.00")), Some("tax_payment.paid")),
        ("a lower greatest amount", |c| put(c, 2, 1, money("CNY", "-5.00", "1000.00")), Some("tax_payment.paid")),
        ("a wider range in another unit of counting", |c| put(c, 2, 2, integer(-2, 101)), None),
        ("a narrower range", |c| put(c, 2, 2, integer(0, 100)), Some("tax_payment.times")),
        ("another unit", |c| put(c, 1, 0, decimal("MWh", "0", "1000.5")), Some("registration.used")),
        ("a wider decimal", |c| put(c, 1, 0, decimal("kWh", "", "1000.51")), None),
        ("a narrower decimal", |c| put(c, 1, 0, decimal("kWh", "0", "1000.49")), Some("registration.used")),
        ("more codes, with other words", |c| put(c, 0, 2, codes(&["both", "in", "out"])), None),
        ("fewer codes", |c| put(c, 0, 2, codes(&["in"])), Some("customs_record.way")),
        ("more entries", |c| c.items[0].shape = shape(4), None),
        ("fewer entries", |c| c.items[0].shape = shape(2), Some("customs_record")),
        ("a list for a record", |c| c.items[1].shape = shape(4), Some("registration")),
        ("a record for a list", |c| c.items[0].shape = Some(Shape::Record(wire::RecordShape {})), Some("customs_record")),
    ];
    let current = parsed(&catalogue());
    for (name, change, wanted) in rows {
        let mut next = catalogue();
        next.version = 2;
        change(&mut next);
        let unfit = succession::check(&current, &parsed(&next)).err();
        let said = unfit.map(|unfit| match unfit {
            Unfit::Version(version) => format!("version {version}"),
            Unfit::DropsItem(code) => format!("item {code}"),
            Unfit::DropsPurpose(code) => format!("purpose {code}"),
            Unfit::Narrows(what) => what,
        });
        assert_eq!(said.as_deref(), *wanted, "{name}");
    }
}
