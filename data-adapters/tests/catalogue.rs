//! What a check says of items that are not what the catalogue says, before they are registered.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::sync::Arc;

use xinqiao_data_adapters::{
    Mapping,
    check::{CheckOptions, Misfit, check},
};

const MAPPING: &str = r#"[source]
name = "register"
kind = "csv"
paths = ["data.csv"]
subject = "code"
as_of = { date = "2026-06-30" }

[[item]]
code = "business_registration"
fields = [
  { name = "name", column = "name", type = "text" },
  { name = "status", column = "status", type = "text" },
]

[[item]]
code = "nobody_knows_it"
fields = [{ name = "note", column = "name", type = "text" }]
"#;

const ROWS: &str = "code,name,status
91350100M000100Y43,甲公司,active
91310115MA1H7F5G41,乙公司,存续
";

#[test]
fn a_check_names_what_does_not_conform_to_the_catalogue_and_shows_no_value() {
    let disk = tempfile::tempdir().unwrap();
    let code = xinqiao_ledger::uscc::Uscc::from_base17("91310115MA1H7F5G4").unwrap();
    let rows = ROWS.replace("91310115MA1H7F5G41", code.expose());
    std::fs::write(disk.path().join("data.csv"), rows).unwrap();
    let mapping = || Mapping::parse(MAPPING, &disk.path().join("mapping.toml")).unwrap();

    let alone = check(mapping(), &CheckOptions::default()).unwrap();
    assert!(alone.items.iter().all(|item| item.conformity.is_none()));

    let options = CheckOptions {
        catalogue: Some(Arc::new(xinqiao_catalogue::first().unwrap())),
        ..CheckOptions::default()
    };
    let report = check(mapping(), &options).unwrap();
    assert_eq!(report.subjects, 2);
    let registration = report.items[0].conformity.as_ref().unwrap();
    assert!(!registration.unknown);
    assert_eq!(registration.subjects, 1, "the other conforms");
    let misfits: Vec<_> = registration.misfits.iter().collect();
    let expected = Misfit {
        count: 1,
        example: "is none of the codes of the schema".into(),
    };
    assert_eq!(misfits, [(&("status".into(), "UNKNOWN_CODE"), &expected)]);
    assert!(report.items[1].conformity.as_ref().unwrap().unknown);
}
