//! Invented data: the same for the same seed, valid, and spread over the regions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use xinqiao_data_adapters::check::{CheckOptions, check};
use xinqiao_data_adapters::generate::{Region, generate};
use xinqiao_data_adapters::{Error, Mapping, open};
use xinqiao_ledger::catalogue::conformity;

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for region in Region::ALL {
        let folder = dir.join(region.code());
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            let name = path.strip_prefix(dir).expect("below").display().to_string();
            files.insert(name, fs::read(path).expect("read"));
        }
    }
    files
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let dirs: Vec<_> = (0..3)
        .map(|_| tempfile::tempdir().expect("folder"))
        .collect();
    let made: Vec<_> = [1, 1, 2]
        .into_iter()
        .zip(&dirs)
        .map(|(seed, dir)| {
            generate(dir.path(), seed, 50)
                .expect("generated")
                .enterprises
        })
        .collect();
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0], made[2]);
    assert_eq!(files(dirs[0].path()), files(dirs[1].path()));
    // Six mappings, six main tables, and a table for each list of each source.
    assert_eq!(files(dirs[0].path()).len(), 12 + 19);
}

#[test]
fn everyone_has_records_in_two_regions_and_nobody_is_everywhere_by_rule() {
    let dir = tempfile::tempdir().expect("folder");
    let generated = generate(dir.path(), 3, 400).expect("generated");
    assert_eq!(generated.enterprises.len(), 400);
    let codes: BTreeSet<_> = generated.enterprises.iter().map(|e| e.uscc).collect();
    assert_eq!(codes.len(), 400);
    let mut spread = BTreeMap::new();
    for enterprise in &generated.enterprises {
        let regions: BTreeSet<_> = enterprise.holdings.iter().map(|h| h.region).collect();
        assert!(regions.len() >= 2, "{:?}", enterprise.uscc);
        *spread.entry(regions.len()).or_insert(0) += 1;
        let area = match enterprise.home {
            Region::Shanghai => "9131",
            Region::Jiangsu => "9132",
            Region::Zhejiang => "9133",
        };
        assert!(enterprise.uscc.expose().starts_with(area));
    }
    assert!(spread.values().all(|count| *count >= 40), "{spread:?}");
    for source in &generated.sources {
        let holders = generated
            .enterprises
            .iter()
            .filter(|e| e.holdings.iter().any(|h| h.source == source.name))
            .count();
        assert!((120..340).contains(&holders), "{}: {holders}", source.name);
    }
}

#[test]
fn generated_files_have_no_bad_rows() {
    let dir = tempfile::tempdir().expect("folder");
    let generated = generate(dir.path(), 4, 200).expect("generated");
    for source in &generated.sources {
        let mapping = Mapping::read(&source.mapping).expect("mapping");
        let report = check(mapping, &CheckOptions::default()).expect("it reads");
        assert_eq!(report.bad, BTreeMap::new(), "{}", source.name);
        for item in &report.items {
            let held = generated
                .enterprises
                .iter()
                .flat_map(|e| &e.holdings)
                .filter(|h| h.source == source.name && h.items.contains(&item.code.as_str()))
                .count();
            assert_eq!(item.subjects, held as u64, "{}", item.code);
            for field in &item.fields {
                assert_eq!(
                    (field.filled, field.unreadable, field.unlisted),
                    (item.entries, 0, 0),
                    "{}",
                    field.name
                );
            }
        }
    }
}

#[test]
fn there_is_a_limit() {
    let dir = tempfile::tempdir().expect("folder");
    assert!(matches!(
        generate(dir.path(), 1, 1_000_001),
        Err(Error::Limit { .. })
    ));
}

#[test]
fn what_is_generated_conforms_to_the_first_catalogue() {
    let dir = tempfile::tempdir().expect("folder");
    let generated = generate(dir.path(), 5, 200).expect("generated");
    let catalogue = xinqiao_catalogue::first().expect("the first catalogue");
    let mut seen = BTreeSet::new();
    for source in &generated.sources {
        let opened = open(Mapping::read(&source.mapping).expect("mapping")).expect("opens");
        for step in opened.scan(None).expect("starts") {
            for item in step.expect("goes on").row.expect("a good row").items {
                let code = item.code.parse().expect("a code");
                let schema = catalogue.item(&code).expect("an item of the catalogue");
                let found = conformity::check(schema, &item.canonical);
                assert!(
                    found.holds(),
                    "{} {}: {:?}",
                    source.name,
                    item.code,
                    found.faults
                );
                seen.insert(item.code);
            }
        }
    }
    let items: BTreeSet<String> = catalogue.codes().map(ToString::to_string).collect();
    assert_eq!(seen, items, "all items of the catalogue are invented");
}

#[test]
fn the_first_enterprise_shows_every_item_and_sources_that_contradict_each_other() {
    let dir = tempfile::tempdir().expect("folder");
    let generated = generate(dir.path(), 7, 20).expect("generated");
    let first = &generated.enterprises[0];
    assert_eq!(first.holdings.len(), generated.sources.len());
    let held: BTreeSet<&str> = first
        .holdings
        .iter()
        .flat_map(|h| h.items.iter().copied())
        .collect();
    assert_eq!(held.len(), 29);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut entries = BTreeMap::new();
    for source in &generated.sources {
        let opened = open(Mapping::read(&source.mapping).expect("mapping")).expect("opens");
        let record = runtime
            .block_on(opened.fetch(&first.uscc))
            .expect("it is held");
        for item in record.items {
            let value: serde_json::Value = serde_json::from_slice(&item.canonical).expect("JSON");
            if let Some(list) = value["entries"].as_array() {
                assert!(!list.is_empty(), "{}", item.code);
                entries.insert((source.name, item.code), list.clone());
            }
        }
    }
    // Everybody is meant to have all shareholders; one register has not heard of the last one yet.
    let of = |source: &'static str| &entries[&(source, "shareholders".to_owned())];
    let (all, fewer) = (of("jiangsu-register"), of("shanghai-register"));
    assert_eq!(all.len(), fewer.len() + 1);
    assert!(
        fewer.iter().all(|entry| all.contains(entry)),
        "{all:?} {fewer:?}"
    );
}
