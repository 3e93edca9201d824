//! Records of as many enterprises as are asked for: what a bureau's database would give, without the database. Items
//! are put into canonical form as they are read, as adapters do it.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use time::{Date, macros::date};
use xinqiao_data_adapters::{
    Checkpoint, Description, Error, FetchError, Fetching, Item, Scan, Scanned, Source,
    SubjectRecord,
};
use xinqiao_ledger::uscc::Uscc;

/// Enterprises of 珠三角征信链 as published.
pub(crate) const PUBLISHED_SUBJECTS: u64 = 5_089_500;

/// Their items.
pub(crate) const PUBLISHED_ITEMS: u64 = 93_259_700;

/// Sets of values that items have.
const SETS: u64 = 512;

/// Codes of the first catalogue's items, ascending.
static CODES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let catalogue = xinqiao_catalogue::first().expect("the shipped catalogue is sound");
    let codes = catalogue.items.iter().map(|item| item.code.to_string());
    codes.collect()
});

/// Enterprises by number, all alike in shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Invented {
    pub(crate) subjects: u64,
    /// One of so many has other values than at first; 0 for none.
    pub(crate) changed_one_of: u64,
}

/// Codes of all items, ascending.
pub(crate) fn codes() -> &'static [String] {
    &CODES
}

/// A number that looks like chance and is the same each time (SplitMix64, Steele et al. 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The values of an item, made up once: what is measured is what becomes of records, not inventing them.
static VALUES: LazyLock<Vec<Map<String, Value>>> = LazyLock::new(|| {
    let values = (0..SETS).map(|set| {
        let value = mixed(set);
        let fields = [
            (
                "amount",
                format!("{}.{:02}", value % 10_000_000, value % 97).into(),
            ),
            ("currency", "CNY".into()),
            ("note", format!("第{}号 {value:016x}", value % 1_000).into()),
            (
                "period",
                format!("20{:02}-{:02}", 20 + value % 6, 1 + value % 12).into(),
            ),
            ("rating", ["A", "B", "C", "M"][(value % 4) as usize].into()),
            ("rows", (value % 40).into()),
        ];
        let fields = fields.map(|(name, value): (&str, Value)| (name.to_owned(), value));
        fields.into_iter().collect()
    });
    values.collect()
});

impl Invented {
    /// The code of an enterprise.
    pub(crate) fn uscc(number: u64) -> Uscc {
        Uscc::from_base17(&format!("91440300MA{number:07}"))
            .expect("seventeen digits and capitals of the alphabet")
    }

    /// How many items an enterprise has: as many as the published ones, on average.
    fn items_of(number: u64) -> u64 {
        let upto = |number: u64| {
            let all = u128::from(number) * u128::from(PUBLISHED_ITEMS);
            (all / u128::from(PUBLISHED_SUBJECTS)) as u64
        };
        upto(number + 1) - upto(number)
    }

    /// What is on record of an enterprise.
    pub(crate) fn record(&self, number: u64) -> SubjectRecord {
        const AS_OF: Date = date!(2026 - 06 - 30);
        const CHANGED: Date = date!(2026 - 07 - 31);
        let changed = self.changed_one_of > 0 && number.is_multiple_of(self.changed_one_of);
        let all = CODES.len() as u64;
        let first = mixed(number) % all;
        let mut held: Vec<u64> = (0..Self::items_of(number))
            .map(|item| (first + item) % all)
            .collect();
        held.sort_unstable();
        let items = held.into_iter().map(|item| {
            let value = mixed(number.wrapping_mul(all) + item + u64::from(changed));
            Item::new(&CODES[item as usize], &VALUES[(value % SETS) as usize])
        });
        SubjectRecord {
            uscc: Self::uscc(number),
            as_of: if changed { CHANGED } else { AS_OF },
            items: items.collect(),
        }
    }
}
impl Source for Invented {
    fn describe(&self) -> Description {
        Description {
            name: "invented".into(),
            kind: "invented",
            subjects: Some(self.subjects),
            bad_rows: None,
            items: Vec::new(),
        }
    }

    fn fetch<'a>(&'a self, uscc: &Uscc) -> Fetching<'a> {
        let number = uscc
            .expose()
            .get(10..17)
            .and_then(|number| number.parse().ok());
        let known = number.filter(|number| *number < self.subjects);
        let record = known.map(|number| self.record(number));
        Box::pin(async move { record.ok_or(FetchError::NotFound) })
    }

    fn scan(&self, from: Option<&Checkpoint>) -> Result<Scan, Error> {
        let first = from
            .and_then(|from| from.as_str().parse().ok())
            .unwrap_or(0);
        let this = *self;
        Ok(Box::new((first..self.subjects).map(move |number| {
            Ok(Scanned {
                row: Ok(this.record(number)),
                warnings: Vec::new(),
                after: (number + 1).to_string().parse()?,
            })
        })))
    }

    fn refresh(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_items_as_were_published_and_each_in_canonical_form() {
        let items: u64 = (0..PUBLISHED_SUBJECTS).map(Invented::items_of).sum();
        assert_eq!(items, PUBLISHED_ITEMS);
        let all = Invented {
            subjects: 50,
            changed_one_of: 10,
        };
        let first = Invented {
            changed_one_of: 0,
            ..all
        };
        for number in 0..all.subjects {
            let record = all.record(number);
            assert_eq!(record.items.len() as u64, Invented::items_of(number));
            assert_eq!(record == first.record(number), !number.is_multiple_of(10));
            assert!(
                record
                    .items
                    .windows(2)
                    .all(|pair| pair[0].code < pair[1].code)
            );
            for item in &record.items {
                let value: Value = serde_json::from_slice(&item.canonical).unwrap();
                let canonical = serde_json_canonicalizer::to_vec(&value).unwrap();
                assert_eq!(canonical, item.canonical);
            }
        }
    }
}
