//! The library's storage in memory.

use raft::GetEntriesContext;

use super::*;
use crate::{
    record::Kept,
    testing::{empty, header, set, slot},
};

/// Five entries after the tenth.
fn store() -> Store {
    let mut kept = Kept::begin(1, set().hash());
    kept.point = Point {
        index: 10,
        term: 2,
        height: 6,
        header: Some(header(6)),
    };
    kept.slots = vec![
        slot(2, 7, 7),
        empty(3),
        slot(3, 8, 8),
        empty(4),
        slot(4, 9, 9),
    ];
    Store::new(&kept, vec![1, 2, 3])
}

fn unavailable<T>() -> Result<T> {
    Err(Error::Store(StorageError::Unavailable))
}

fn compacted<T>() -> Result<T> {
    Err(Error::Store(StorageError::Compacted))
}

#[test]
fn terms_are_known_from_the_point_to_the_end() {
    let store = store();
    for (index, expected) in [
        (9, compacted()),
        (10, Ok(2)),
        (11, Ok(2)),
        (12, Ok(3)),
        (15, Ok(4)),
        (16, unavailable()),
    ] {
        assert_eq!(store.term(index), expected, "{index}");
    }
    assert_eq!((store.first_index(), store.last_index()), (Ok(11), Ok(15)));
}

#[test]
fn entries_are_read_within_the_log_and_one_at_least() {
    let store = store();
    let read = |low, high, size| {
        let entries = store.entries(low, high, size, GetEntriesContext::empty(false));
        entries.map(|entries| entries.iter().map(|entry| entry.index).collect::<Vec<_>>())
    };
    for (low, high, size, expected) in [
        (11, 16, None, Ok(vec![11, 12, 13, 14, 15])),
        (12, 14, None, Ok(vec![12, 13])),
        (12, 16, Some(0), Ok(vec![12])),
        (10, 12, None, compacted()),
        (12, 17, None, unavailable()),
    ] {
        assert_eq!(read(low, high, size), expected, "{low}..{high}");
    }
}

#[test]
fn entries_take_the_place_of_those_after_them() {
    let mut store = store();
    store.put(12, &[empty(5), slot(5, 8, 1)]);
    assert_eq!(store.last(), 14);
    assert_eq!((store.term(13), store.term(15)), (Ok(5), unavailable()));
    assert!(store.holds(14, &slot(5, 8, 1)));
    assert!(!store.holds(14, &slot(5, 8, 2)));
    assert!(!store.holds(10, &slot(2, 6, 6)));
    assert_eq!(store.last_block().unwrap().height, 8);
}

#[test]
fn blocks_are_dropped_up_to_a_height_and_never_before_they_are_applied() {
    // Up to which height, how far applied; where the log begins then.
    for (upto, applied, index, height) in [
        (6, 15, 10, 6),
        (7, 15, 11, 7),
        (8, 15, 13, 8),
        (8, 12, 11, 7),
        (8, 10, 10, 6),
        (8, 5, 10, 6),
        (99, 15, 15, 9),
    ] {
        let mut store = store();
        let before = store.point();
        let did = store.compact(upto, applied);
        let after = store.point();
        assert_eq!(
            (after.index, after.height),
            (index, height),
            "{upto} {applied}"
        );
        assert_eq!(did, before != after);
        assert_eq!(store.last(), 15);
        assert_eq!(store.term(index), Ok(after.term));
        assert_eq!(after.header, Some(header(u8::try_from(height).unwrap())));
    }
}

#[test]
fn the_point_is_the_snapshot_and_there_is_none_before_the_first() {
    let mut store = store();
    let snapshot = store.snapshot(0, 1).unwrap();
    assert_eq!(crate::convert::point(&snapshot), Some(store.point()));
    let metadata = snapshot.get_metadata();
    assert_eq!((metadata.index, metadata.term), (10, 2));
    assert_eq!(metadata.get_conf_state().voters, [1, 2, 3]);
    let none = Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
    assert_eq!(store.snapshot(11, 1), none);
    store = Store::new(&Kept::begin(1, set().hash()), vec![1, 2, 3]);
    assert_eq!(store.snapshot(0, 1), none);
}
