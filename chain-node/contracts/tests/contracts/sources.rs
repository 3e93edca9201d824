//! The catalogue and data sources.

use xinqiao_contracts::{query, testing::*};
use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        field::FieldKind,
        item::{ItemSchema, Shape},
    },
    wire::{self, change::Kind, tx_body::Action},
};

use crate::check::{Row, at_work, check, done, enacted, retire, row, suspend, tell};

fn publish(catalogue: &Catalogue) -> Action {
    propose(vec![Kind::PublishCatalogue(catalogue.into())])
}

fn wider() -> Catalogue {
    let mut next = catalogue(2);
    next.items.push(item("water"));
    next
}

/// The next catalogue, with a change to the item `customs`.
fn changed(change: fn(&mut ItemSchema)) -> Catalogue {
    let mut next = catalogue(2);
    change(&mut next.items[0]);
    next
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a vote publishes the next catalogue",
        |c| enacted(c, vec![Kind::PublishCatalogue((&wider()).into())]),
        &["proposal ENACTED", "catalogue 2"],
    ),
    row(
        "nobody publishes one alone",
        |c| c.run("pboc/admin", publish(&wider())),
        &["proposal OPEN"],
    ),
    row(
        "versions follow each other",
        |c| c.run("pboc/admin", publish(&catalogue(3))),
        &["rejected CATALOGUE_VERSION 3"],
    ),
    row(
        "the same version is not published twice",
        |c| c.run("pboc/admin", publish(&catalogue(1))),
        &["rejected CATALOGUE_VERSION 1"],
    ),
    row(
        "an item that was published stays",
        |c| {
            let mut next = catalogue(2);
            next.items.remove(3);
            c.run("pboc/admin", publish(&next))
        },
        &["rejected CATALOGUE_DROPS_CODE tax"],
    ),
    row(
        "a purpose that was published stays",
        |c| {
            let mut next = catalogue(2);
            next.purposes.remove(0);
            c.run("pboc/admin", publish(&next))
        },
        &["rejected CATALOGUE_DROPS_CODE credit_review"],
    ),
    row(
        "a limit of a field is not narrowed",
        |c| {
            let next = changed(|item| item.fields[0].kind = FieldKind::Text { max_chars: 99 });
            c.run("pboc/admin", publish(&next))
        },
        &["rejected CATALOGUE_NARROWS customs.said"],
    ),
    row(
        "a record does not become a list",
        |c| {
            let next = changed(|item| {
                item.shape = Shape::List {
                    max_entries: 9,
                    exhaustive: false,
                };
            });
            c.run("pboc/admin", publish(&next))
        },
        &["rejected CATALOGUE_NARROWS customs"],
    ),
    row(
        "a limit may be widened, and names and freshness changed",
        |c| {
            let next = changed(|item| {
                item.fields[0].kind = FieldKind::Text { max_chars: 101 };
                item.name_en = "Customs records".parse().unwrap();
                item.fresh_days = 30;
            });
            enacted(c, vec![Kind::PublishCatalogue((&next).into())])
        },
        &["proposal ENACTED", "catalogue 2"],
    ),
    row(
        "an extension has a member that answers for it",
        |c| {
            let mut next = catalogue(2);
            let mut own = item("x_parking");
            own.owner = Some("sh-bureau".parse().unwrap());
            next.items.push(own);
            enacted(c, vec![Kind::PublishCatalogue((&next).into())])
        },
        &["proposal ENACTED", "catalogue 2"],
    ),
    row(
        "an extension's owner is a member",
        |c| {
            let mut next = catalogue(2);
            let mut own = item("x_parking");
            own.owner = Some("nobody".parse().unwrap());
            next.items.push(own);
            c.run("pboc/admin", publish(&next))
        },
        &["rejected MEMBER_UNKNOWN nobody"],
    ),
    row(
        "a new item can be declared",
        |c| {
            enacted(c, vec![Kind::PublishCatalogue((&wider()).into())]);
            c.run(
                "sh-bureau/admin",
                register_source("sh-water", "sh-bureau", &["water"]),
            )
        },
        &["source sh-water REGISTERED"],
    ),
    row(
        "an item must be in the catalogue",
        |c| {
            c.run(
                "sh-bureau/admin",
                register_source("sh-water", "sh-bureau", &["water"]),
            )
        },
        &["rejected ITEM_UNKNOWN water"],
    ),
    row(
        "a source unit runs sources",
        |c| c.run("cz-tax/admin", register_source("cz", "cz-tax", &["tax"])),
        &["source cz REGISTERED"],
    ),
    row(
        "a bank runs none",
        |c| {
            c.run(
                "js-bank/admin",
                register_source("js-bank", "js-bank", &["tax"]),
            )
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "nobody registers a source for another member",
        |c| {
            c.run(
                "sh-bureau/admin",
                register_source("js", "js-bureau", &["tax"]),
            )
        },
        &["rejected SOURCE_NOT_OWNED js-bureau"],
    ),
    row(
        "a source's id is given once",
        |c| {
            c.run(
                "zj-bureau/admin",
                register_source("sh-tax", "zj-bureau", &["tax"]),
            )
        },
        &["rejected SOURCE_EXISTS sh-tax"],
    ),
    row(
        "a source must be there to be activated",
        |c| c.run("sh-bureau/admin", activate_source("nothing")),
        &["rejected SOURCE_UNKNOWN nothing"],
    ),
    row(
        "nobody suspends another member's source",
        |c| c.run("zj-bureau/admin", suspend("sh-tax")),
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "the regulator suspends anyone's",
        |c| c.run("pboc/admin", suspend("sh-tax")),
        &["source sh-tax SUSPENDED"],
    ),
    row(
        "what the regulator has suspended its operator does not put back",
        |c| {
            done(c, "pboc/admin", suspend("sh-tax"));
            c.run("sh-bureau/admin", activate_source("sh-tax"))
        },
        &["rejected SOURCE_SUSPENDED_BY_REGULATOR sh-tax"],
    ),
    row(
        "nor does it by suspending first, for the regulator suspends on top of that",
        |c| {
            done(c, "sh-bureau/admin", suspend("sh-tax"));
            done(c, "pboc/admin", suspend("sh-tax"));
            done(c, "sh-bureau/admin", activate_source("sh-tax"));
            c.run("sh-bureau/admin", activate_source("sh-tax"))
        },
        &["rejected SOURCE_SUSPENDED_BY_REGULATOR sh-tax"],
    ),
    row(
        "the regulator lifts its own suspension",
        |c| {
            done(c, "pboc/admin", suspend("sh-tax"));
            c.run("pboc/admin", activate_source("sh-tax"))
        },
        &["source sh-tax ACTIVE"],
    ),
    row(
        "the regulator does not put into service what its operator has suspended",
        |c| {
            done(c, "sh-bureau/admin", suspend("sh-tax"));
            c.run("pboc/admin", activate_source("sh-tax"))
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "another member lifts no regulator's suspension",
        |c| {
            done(c, "pboc/admin", suspend("sh-tax"));
            c.run("zj-bureau/admin", activate_source("sh-tax"))
        },
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "the regulator retires nobody's",
        |c| c.run("pboc/admin", retire("sh-tax")),
        &["rejected SOURCE_NOT_OWNED sh-tax"],
    ),
    row(
        "a holder key suspends nothing",
        |c| c.run("sh-bureau/holder", suspend("sh-tax")),
        &["rejected ROLE_DENIED"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

/// State by action; `-` is SOURCE_STATE_CONFLICT, `?` SOURCE_NOT_OWNED, and `!`
/// SOURCE_SUSPENDED_BY_REGULATOR. The operator activates, suspends and retires, and its holder
/// registers and withdraws digests; the regulator lifts, holds and ends. A source is held by the
/// regulator's suspension, and blocked by both. After a slash: who has suspended it now, operator, regulator or both.
const LIFE: &str = "
    state       activate    suspend     retire   register    withdraw  lift        hold        end
    registered  ACTIVE      -           RETIRED  -           -         ?           -           ?
    active      -           SUSPENDED/o RETIRED  digests     digests   ?           SUSPENDED/r ?
    suspended   ACTIVE      -           RETIRED  -           digests   ?           SUSPENDED/b ?
    held        !           SUSPENDED/b RETIRED  -           digests   ACTIVE      -           ?
    blocked     SUSPENDED/r -           RETIRED  -           digests   SUSPENDED/o -           ?
    retired     -           -           -        -           -         ?           -           ?
";

#[test]
fn a_source_moves_between_its_states_and_no_others() {
    const OPERATOR: &str = "sh-bureau/admin";
    const REGULATOR: &str = "pboc/admin";
    let mut lines = LIFE.trim().lines().map(str::split_whitespace);
    let actions: Vec<&str> = lines.next().unwrap().skip(1).collect();
    for mut line in lines {
        let state = line.next().unwrap();
        for (action, wants) in actions.iter().zip(line) {
            let mut chain = at_work();
            let mut source = "sh-tax";
            match state {
                "registered" => {
                    source = "sh-new";
                    let register = register_source(source, "sh-bureau", &["tax"]);
                    done(&mut chain, OPERATOR, register);
                }
                "suspended" => drop(done(&mut chain, OPERATOR, suspend(source))),
                "held" => drop(done(&mut chain, REGULATOR, suspend(source))),
                "blocked" => {
                    done(&mut chain, OPERATOR, suspend(source));
                    done(&mut chain, REGULATOR, suspend(source));
                }
                "retired" => drop(done(&mut chain, OPERATOR, retire(source))),
                _ => {}
            }
            let (by, action) = match *action {
                "activate" => (OPERATOR, activate_source(source)),
                "suspend" => (OPERATOR, suspend(source)),
                "retire" => (OPERATOR, retire(source)),
                "register" => (
                    "sh-bureau/holder",
                    register_digests(source, &["tax"], &[1], 20_001),
                ),
                "withdraw" => ("sh-bureau/holder", withdraw_digests(source, &[1])),
                "lift" => (REGULATOR, activate_source(source)),
                "hold" => (REGULATOR, suspend(source)),
                _ => (REGULATOR, retire(source)),
            };
            let told = tell(&chain.run(by, action)).join("; ");
            let rejected = |reason: &str| format!("rejected {reason} {source}");
            match wants {
                "-" => assert_eq!(told, rejected("SOURCE_STATE_CONFLICT"), "{state}"),
                "?" => assert_eq!(told, rejected("SOURCE_NOT_OWNED"), "{state}"),
                "!" => assert_eq!(told, rejected("SOURCE_SUSPENDED_BY_REGULATOR"), "{state}"),
                "digests" => assert!(told.starts_with("digests "), "{state}: {told}"),
                _ => {
                    let (status, who) = wants.split_once('/').unwrap_or((wants, ""));
                    assert_eq!(told, format!("source {source} {status}"), "{state}");
                    let by: &[&str] = match who {
                        "o" => &["sh-bureau"],
                        "r" => &["pboc"],
                        "b" => &["sh-bureau", "pboc"],
                        _ => &[],
                    };
                    let record = query::source(&chain.state, &source.parse().unwrap());
                    let shown = wire::SourceState::from(&record.unwrap().unwrap());
                    assert_eq!(shown.suspended_by, by, "{state} {wants}");
                }
            }
        }
    }
}

#[test]
fn queries_list_sources_by_id_and_give_the_catalogue() {
    let mut chain = at_work();
    done(
        &mut chain,
        "cz-tax/admin",
        register_source("cz", "cz-tax", &["tax"]),
    );
    let all = query::sources(&chain.state).unwrap();
    let ids: Vec<_> = all.iter().map(|it| it.source.source.as_str()).collect();
    assert_eq!(ids, ["cz", "sh-tax", "zj-power"]);
    let subjects: Vec<_> = all.iter().map(|it| it.subjects).collect();
    assert_eq!(subjects, [0, 2, 1]);
    let one = query::source(&chain.state, &"zj-power".parse().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(
        wire::SourceState::from(&one).status(),
        wire::SourceStatus::Active
    );
    assert_eq!(
        query::source(&chain.state, &"zz".parse().unwrap()).unwrap(),
        None
    );
    assert_eq!(query::catalogue(&chain.state).unwrap(), catalogue(1));
}
