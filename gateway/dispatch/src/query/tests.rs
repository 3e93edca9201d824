//! The machine's transitions as a table: input, effects, and where each part then stands.

use super::*;
use xinqiao_crypto::sm3;

fn placed(sources: &[&str]) -> Placed {
    Placed {
        order: OrderId(sm3(b"order")),
        parts: sources
            .iter()
            .map(|source| OrderPart {
                source: source.parse().unwrap(),
                items: vec!["tax".parse().unwrap()],
                registered_root: sm3(source.as_bytes()),
                digest_version: 1,
                as_of_day: 20_000,
                registered_at: 3,
            })
            .collect(),
        missing: vec![],
        deadline: 1_000,
        height: 5,
        time: 500,
    }
}

fn fetch(part: PartIndex, after_ms: u64) -> Effect {
    Effect::Fetch { part, after_ms }
}

fn stop(part: PartIndex) -> Effect {
    Effect::StopFetching { part }
}

fn confirm(part: PartIndex, verdict: Verdict) -> Effect {
    let order = placed(&[]).order;
    Effect::Confirm {
        part: PartRef { order, part },
        verdict,
    }
}

fn opened(part: PartIndex) -> Input {
    Input::Opened {
        part,
        items: vec![],
        elapsed_us: 7,
    }
}

fn broken(part: PartIndex, verdict: Verdict) -> Input {
    Input::Broken {
        part,
        broken: Broken {
            verdict,
            why: String::new(),
        },
        elapsed_us: 9,
    }
}

fn failed(part: PartIndex) -> Input {
    Input::FetchFailed {
        part,
        reason: "UPSTREAM_UNAVAILABLE".into(),
    }
}

fn seen(part: PartIndex, status: PartStatus, reason: &str) -> Input {
    Input::Seen {
        part,
        status,
        reason: reason.into(),
    }
}

/// Where a part stands in the report: status, reason, microseconds.
type Stands = (PartStatus, &'static str, u64);

/// Feeds a query of as many parts as `stands` has, comparing the effects of each input.
fn check(what: &str, steps: &[(Input, Vec<Effect>)], stands: &[Stands]) {
    let names = ["a-source", "b-source", "c-source"];
    let (mut query, effects) = Query::begin(placed(&names[..stands.len()]));
    let all: Vec<Effect> = (0..stands.len()).map(|n| fetch(part_index(n), 0)).collect();
    assert_eq!(effects, all, "{what}");
    for (input, expected) in steps {
        assert_eq!(&query.apply(input.clone()), expected, "{what}: {input:?}");
    }
    let report = query.into_report();
    let found: Vec<(PartStatus, &str, u64)> = report
        .parts
        .iter()
        .map(|part| (part.status, part.reason.as_str(), part.elapsed_us))
        .collect();
    assert_eq!(found, stands, "{what}");
}

#[test]
fn every_input_of_an_open_part_has_its_effects() {
    use Effect::Answer;
    use PartStatus as S;
    use Verdict as V;
    check(
        "opened",
        &[(opened(0), vec![confirm(0, V::Confirmed), Answer])],
        &[(S::Confirmed, "", 7)],
    );
    for verdict in [V::CiphertextMismatch, V::SealBroken, V::ItemMismatch] {
        check(
            "found wrong",
            &[(broken(0, verdict), vec![confirm(0, verdict), Answer])],
            &[(S::Mismatched, verdict.code(), 9)],
        );
    }
    for status in [S::Rejected, S::Expired, S::Cancelled, S::ConsentRevoked] {
        check(
            "closed on the ledger",
            &[(seen(0, status, "WHY"), vec![stop(0), Answer])],
            &[(status, "WHY", 0)],
        );
    }
    for status in [
        S::Placed,
        S::Accepted,
        S::Delivered,
        S::Confirmed,
        S::Mismatched,
    ] {
        check(
            "still open, whatever the ledger says of it",
            &[
                (seen(0, status, ""), vec![]),
                (Input::DeadlinePassed, vec![stop(0), Answer]),
            ],
            &[(status, "DEADLINE", 0)],
        );
    }
    check(
        "a fetch that failed is tried again, later each time",
        &[
            (failed(0), vec![fetch(0, 20)]),
            (failed(0), vec![fetch(0, 40)]),
            (failed(0), vec![fetch(0, 80)]),
            (failed(0), vec![fetch(0, 160)]),
            (failed(0), vec![fetch(0, 320)]),
            (failed(0), vec![fetch(0, 640)]),
            (failed(0), vec![fetch(0, 1_000)]),
            (failed(0), vec![fetch(0, 1_000)]),
            (Input::DeadlinePassed, vec![stop(0), Answer]),
        ],
        &[(S::Placed, "UPSTREAM_UNAVAILABLE", 0)],
    );
}

#[test]
fn the_answer_waits_for_every_part_and_comes_once() {
    use Effect::Answer;
    use PartStatus as S;
    check(
        "three parts, three ends",
        &[
            (opened(1), vec![confirm(1, Verdict::Confirmed)]),
            (seen(0, S::Delivered, ""), vec![]),
            (seen(2, S::Rejected, "RECORD_NOT_FOUND"), vec![stop(2)]),
            (Input::DeadlinePassed, vec![stop(0), Answer]),
            (Input::DeadlinePassed, vec![]),
        ],
        &[
            (S::Delivered, "DEADLINE", 0),
            (S::Confirmed, "", 7),
            (S::Rejected, "RECORD_NOT_FOUND", 0),
        ],
    );
}

#[test]
fn what_comes_for_a_settled_part_or_for_none_changes_nothing() {
    use PartStatus as S;
    let late = [
        opened(0),
        broken(0, Verdict::ItemMismatch),
        failed(0),
        seen(0, S::Rejected, "LATE"),
        opened(9),
        seen(9, S::Expired, ""),
        failed(9),
        Input::DeadlinePassed,
    ];
    let first = (
        opened(0),
        vec![confirm(0, Verdict::Confirmed), Effect::Answer],
    );
    let steps: Vec<_> = std::iter::once(first)
        .chain(late.into_iter().map(|input| (input, vec![])))
        .collect();
    check("after it was opened", &steps, &[(S::Confirmed, "", 7)]);
}

#[test]
fn an_order_without_parts_is_answered_at_once() {
    let (query, effects) = Query::begin(placed(&[]));
    assert_eq!(effects, [Effect::Answer]);
    assert_eq!(
        query.into_report(),
        Report {
            sections: vec![],
            parts: vec![]
        }
    );
}
