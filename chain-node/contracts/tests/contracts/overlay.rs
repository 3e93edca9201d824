//! An overlay reads as its base with its writes laid over it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xinqiao_contracts::state::{Overlay, StateRead};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn two_overlays_read_as_one_map(
        base in prop::collection::btree_map(keys(), prop::collection::vec(any::<u8>(), 0..2), 0..16),
        lower in prop::collection::vec((keys(), prop::option::of(any::<u8>())), 0..12),
        upper in prop::collection::vec((keys(), prop::option::of(any::<u8>())), 0..12),
        start in keys(),
        end in keys(),
        limit in 0usize..8,
    ) {
        let mut flat: Map = base.clone();
        let mut below = Overlay::new(&base);
        for (key, value) in lower {
            write(&mut below, &mut flat, key, value);
        }
        let mut above = Overlay::new(&below);
        for (key, value) in upper {
            write(&mut above, &mut flat, key, value);
        }
        prop_assert_eq!(above.scan(&start, &end, limit), flat.scan(&start, &end, limit));
        prop_assert_eq!(above.scan_back(&start, &end, limit), flat.scan_back(&start, &end, limit));
        let asked = [start.clone(), end, start];
        prop_assert_eq!(above.get_many(&asked), flat.get_many(&asked));
        let writes = above.into_writes();
        below.merge(writes);
        let all = below.scan(&[], &[9], 100).unwrap();
        prop_assert_eq!(all, flat.into_iter().collect::<Vec<_>>());
    }
}

fn write<S: StateRead>(
    overlay: &mut Overlay<'_, S>,
    flat: &mut Map,
    key: Vec<u8>,
    value: Option<u8>,
) {
    match value {
        Some(value) => {
            flat.insert(key.clone(), vec![value]);
            overlay.put(key, vec![value]);
        }
        None => {
            flat.remove(&key);
            overlay.delete(key);
        }
    }
}
