//! Whose turn it is: each rank once a part, work shared evenly, and takeovers within an order's time.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use xinqiao_crypto::sm3;
use xinqiao_dispatch::turn::{MAX_NODES, NoPost, Post, TAKEOVER_MS, Turn, ranking};
use xinqiao_ledger::{ids::OrderId, order::PartRef};

fn part(number: u32) -> PartRef {
    PartRef {
        order: OrderId(sm3(&number.to_be_bytes())),
        part: u8::try_from(number % 64).unwrap(),
    }
}

/// The turns of all nodes, by rank, for one part that all see at that time.
fn turns(nodes: u8, takeover_ms: u32, seen_at: u64, open_ms: u64) -> Vec<Turn> {
    let of = |node: &u8| {
        let post = Post::new(*node, nodes, takeover_ms).unwrap();
        Turn::begin(post, &part(1), seen_at, open_ms)
    };
    ranking(&part(1), nodes).iter().map(of).collect()
}

#[test]
fn every_node_has_a_rank_of_its_own_for_every_part() {
    for nodes in 1..=MAX_NODES {
        for number in 0..50 {
            let mut ranks: Vec<u8> = (0..nodes)
                .map(|node| Post::new(node, nodes, 300).unwrap().rank(&part(number)))
                .collect();
            ranks.sort_unstable();
            assert_eq!(ranks, (0..nodes).collect::<Vec<_>>());
        }
    }
}

#[test]
fn work_is_shared_and_what_one_leaves_falls_to_all_others() {
    let (nodes, parts) = (4_u8, 4_000);
    let mut first = [0; 4];
    let mut after_the_first_is_gone = [0; 4];
    for number in 0..parts {
        let ranked = ranking(&part(number), nodes);
        first[usize::from(ranked[0])] += 1;
        if ranked[0] == 0 {
            after_the_first_is_gone[usize::from(ranked[1])] += 1;
        }
    }
    for count in first {
        assert!((850..1_150).contains(&count), "{first:?}");
    }
    assert_eq!(after_the_first_is_gone[0], 0);
    for count in &after_the_first_is_gone[1..] {
        assert!((250..420).contains(count), "{after_the_first_is_gone:?}");
    }
}

#[test]
fn the_ranking_is_the_same_everywhere() {
    // Nodes of different builds must agree; a gateway asks in this order, too.
    let ranked = [1, 2, 3, 4].map(|number| ranking(&part(number), 3));
    assert_eq!(ranked, [[2, 0, 1], [0, 1, 2], [1, 0, 2], [2, 0, 1]]);
}

#[test]
fn each_rank_is_due_when_the_table_says() {
    /// Nodes, takeover, open for, whether another took it up after so long; then when each is due.
    type Row = (u8, u32, u64, Option<u64>, &'static [u64]);
    let rows: &[Row] = &[
        (1, TAKEOVER_MS, 30_000, None, &[0]),
        (2, TAKEOVER_MS, 30_000, None, &[0, 300]),
        (3, TAKEOVER_MS, 30_000, None, &[0, 300, 600]),
        (3, 5_000, 30_000, None, &[0, 5_000, 10_000]),
        // Little time: shares of its first half.
        (3, 5_000, 6_000, None, &[0, 1_000, 2_000]),
        (4, 60_000, 800, None, &[0, 100, 200, 300]),
        (2, 300, 0, None, &[0, 0]),
        // Whoever took it up has longer.
        (2, 300, 30_000, Some(500), &[7_875, 7_875]),
        (3, 300, 30_000, Some(600), &[5_500, 5_500, 10_400]),
        (2, 300, 1_000, Some(900), &[925, 925]),
        (2, 300, 1_000, Some(5_000), &[5_000, 5_000]),
    ];
    for (nodes, takeover, open_ms, taken_up, due) in rows {
        let seen_at = 1_000_000;
        for (turn, due) in turns(*nodes, *takeover, seen_at, *open_ms)
            .into_iter()
            .zip(*due)
        {
            let turn = match taken_up {
                Some(after) => turn.taken_up(false, seen_at + after),
                None => turn,
            };
            let row = (nodes, takeover, open_ms, taken_up);
            assert_eq!(turn.due() - seen_at, *due, "{row:?} {turn:?}");
            assert_eq!(turn.is_first(), *due == 0, "{row:?} {turn:?}");
            // What this node took up itself it goes on with at once.
            assert!(turn.taken_up(true, seen_at).is_first());
        }
    }
}

#[test]
fn a_node_that_cannot_serve_speaks_when_the_table_says() {
    for (nodes, takeover, open_ms, last_words) in [
        (2, 300, 30_000, &[22_500, 900][..]),
        (3, 300, 30_000, &[22_500, 22_500, 1_500]),
        // Little time: always with a quarter of it left.
        (2, 5_000, 4_000, &[3_000, 3_000]),
    ] {
        let seen_at = 77;
        for (turn, expected) in turns(nodes, takeover, seen_at, open_ms)
            .into_iter()
            .zip(last_words)
        {
            assert_eq!(turn.last_word() - seen_at, *expected, "{turn:?}");
            let other = turn.taken_up(false, seen_at + 1);
            assert_eq!(other.last_word() - seen_at, open_ms / 4 * 3, "{other:?}");
        }
    }
}

#[test]
fn whatever_the_numbers_a_node_is_due_in_the_first_half_and_speaks_before_the_end() {
    for nodes in 1..=MAX_NODES {
        for takeover in [10, 300, 7_000, 60_000] {
            for open_ms in [0, 1, 7, 999, 30_000, 86_400_000, u64::MAX / 64] {
                for turn in turns(nodes, takeover, 5, open_ms) {
                    assert!(turn.due() - 5 <= open_ms / 2, "{turn:?}");
                    assert!(turn.last_word() - 5 <= open_ms / 4 * 3, "{turn:?}");
                    let late = turn.taken_up(false, 5 + open_ms / 2);
                    assert!(late.due() - 5 <= open_ms / 4 * 3 + 3, "{late:?}");
                }
            }
        }
    }
}

#[test]
fn a_place_that_cannot_be_is_refused() {
    for (node, nodes, takeover, expected) in [
        (0, 0, 300, Some(NoPost::Nodes(0))),
        (0, 17, 300, Some(NoPost::Nodes(17))),
        (2, 2, 300, Some(NoPost::Node { node: 2, nodes: 2 })),
        (0, 1, 9, Some(NoPost::Takeover(9))),
        (0, 1, 60_001, Some(NoPost::Takeover(60_001))),
        (15, 16, 60_000, None),
        (0, 1, 10, None),
    ] {
        assert_eq!(Post::new(node, nodes, takeover).err(), expected);
    }
}
