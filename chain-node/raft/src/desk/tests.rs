//! What waits for the disk, and what need not.

use super::*;
use crate::{record::Event, testing::header};

fn record() -> Record {
    let event = Event::Signed(header(1));
    Record { height: 1, event }
}

fn cut(below: u64) -> Held {
    Held::Do(Effect::Truncate { below })
}

/// What is released now, in its order.
fn released(desk: &mut Desk) -> Vec<String> {
    let released = std::iter::from_fn(|| desk.release());
    released.map(|held| format!("{held:?}")).collect()
}

#[test]
fn what_depends_on_the_log_waits_for_it_in_its_order() {
    let mut desk = Desk::default();
    desk.hold(cut(1));
    assert_eq!(released(&mut desk), [format!("{:?}", cut(1))]);
    desk.append(&record());
    desk.hold(cut(2));
    desk.append(&record());
    desk.hold(cut(3));
    assert_eq!(released(&mut desk), [""; 0]);
    assert_eq!(desk.take().last(), Some(&Effect::Flush { upto: 2 }));
    assert!(!desk.is_durable());
    // More than was asked for is nobody's to say.
    desk.flushed(1);
    assert_eq!(released(&mut desk), [format!("{:?}", cut(2))]);
    desk.append(&record());
    desk.hold(cut(4));
    desk.flushed(2);
    assert_eq!(released(&mut desk), [format!("{:?}", cut(3))]);
    desk.flushed(99);
    assert_eq!(released(&mut desk), [format!("{:?}", cut(4))]);
    assert!(desk.is_durable());
}

#[test]
fn what_is_repeated_while_the_disk_is_slow_is_held_once() {
    let mut desk = Desk::default();
    desk.append(&record());
    for number in 1..=1000 {
        desk.hold(Held::Persisted(number, false));
        desk.hold(cut(2));
    }
    assert_eq!(desk.held.len(), 2);
    desk.append(&record());
    desk.hold(Held::Persisted(1001, true));
    desk.hold(Held::Persisted(1002, false));
    desk.flushed(2);
    let expected = [
        "Persisted(1000, false)",
        &format!("{:?}", cut(2)),
        "Persisted(1002, true)",
    ];
    assert_eq!(released(&mut desk), expected);
}

#[test]
fn one_flush_covers_all_that_one_input_led_to() {
    let mut desk = Desk::default();
    desk.append(&record());
    desk.append(&record());
    // Nobody waits for it.
    assert_eq!(desk.take().len(), 2);
    desk.hold(cut(1));
    assert_eq!(desk.take(), [Effect::Flush { upto: 2 }]);
    desk.hold(cut(2));
    assert_eq!(desk.take(), []);
}
