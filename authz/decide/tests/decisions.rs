//! Every decision as a row: what is denied, in which order, and the little that is allowed.

use std::collections::BTreeSet;

use xinqiao_decide::{Action, Caller, Denial, Facts, QuotaState, RoleGrant, Standing, decide};

fn caller() -> Caller {
    Caller {
        org: "bank-sz".into(),
        user_pseudonym: "u7".into(),
        roles: BTreeSet::from(["bank.querier".to_owned()]),
        purposes: BTreeSet::from(["loan.pre".to_owned()]),
    }
}

/// The facts of an order that is allowed; rows change one thing at a time.
fn allowed(caller: &Caller) -> Facts<'_> {
    Facts {
        caller,
        action: Action::PlaceOrder,
        purpose: Some("loan.pre"),
        standing: Standing::Active,
        role_grant: RoleGrant::Granted,
        owner: Some("bank-sz"),
        quota: QuotaState::Within,
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Facts<'_>), expected: Result<(), Denial>) {
    let caller = caller();
    let mut facts = allowed(&caller);
    change(&mut facts);
    let got = decide(&facts);
    match (&got, &expected) {
        (Ok(permit), Ok(())) => {
            assert_eq!(permit.org(), "bank-sz");
            assert_eq!(permit.user_pseudonym(), "u7");
            assert_eq!(permit.action(), facts.action);
            assert_eq!(permit.purpose(), facts.purpose);
        }
        (Err(got), Err(expected)) => assert_eq!(got, expected),
        _ => panic!("got {got:?}, expected {expected:?}"),
    }
}

fn frozen() -> Denial {
    Denial::MemberFrozen("bank-sz".into())
}

fn purpose(action: Action, purpose: &str) -> Denial {
    Denial::Purpose {
        action,
        purpose: purpose.into(),
    }
}

#[test]
fn an_order_with_everything_in_place_is_allowed() {
    check(|_| {}, Ok(()));
}

#[test]
fn each_missing_fact_denies() {
    use Action::{PlaceOrder, ReadOrder};
    check(
        |f| f.standing = Standing::Unknown,
        Err(Denial::MemberUnknown("bank-sz".into())),
    );
    check(|f| f.standing = Standing::Frozen, Err(frozen()));
    check(
        |f| f.standing = Standing::Expelled,
        Err(Denial::MemberExpelled("bank-sz".into())),
    );
    check(
        |f| f.role_grant = RoleGrant::None,
        Err(Denial::Role(PlaceOrder)),
    );
    check(
        |f| f.role_grant = RoleGrant::OtherPurpose,
        Err(purpose(PlaceOrder, "loan.pre")),
    );
    check(
        |f| f.purpose = None,
        Err(Denial::PurposeMissing(PlaceOrder)),
    );
    check(
        |f| f.purpose = Some("marketing"),
        Err(purpose(PlaceOrder, "marketing")),
    );
    check(|f| f.purpose = Some(""), Err(purpose(PlaceOrder, "")));
    check(|f| f.owner = Some("bank-nj"), Err(Denial::NotOwner));
    check(
        |f| {
            f.quota = QuotaState::Exceeded {
                retry_after_ms: 250,
            }
        },
        Err(Denial::Quota {
            retry_after_ms: 250,
        }),
    );
    check(
        |f| (f.action, f.purpose, f.role_grant) = (ReadOrder, None, RoleGrant::OtherPurpose),
        Err(Denial::Role(ReadOrder)),
    );
}

#[test]
fn an_action_without_purpose_needs_none_but_a_stated_one_counts() {
    check(
        |f| (f.action, f.purpose) = (Action::ReadOrder, None),
        Ok(()),
    );
    check(
        |f| (f.action, f.purpose) = (Action::ReadOrder, Some("marketing")),
        Err(purpose(Action::ReadOrder, "marketing")),
    );
}

#[test]
fn a_record_of_nobody_in_particular_needs_no_owner() {
    check(
        |f| (f.action, f.purpose, f.owner) = (Action::ReadCatalogue, None, None),
        Ok(()),
    );
}

#[test]
fn a_frozen_member_can_still_do_what_protects_the_subject_and_nothing_else() {
    for action in Action::ALL {
        let expected = match action {
            Action::EndConsent | Action::FileObjection => Ok(()),
            _ => Err(frozen()),
        };
        check(
            |f| {
                f.standing = Standing::Frozen;
                f.action = *action;
            },
            expected,
        );
    }
}

#[test]
fn an_expelled_or_unknown_member_can_do_nothing_at_all() {
    for action in Action::ALL {
        check(
            |f| (f.standing, f.action) = (Standing::Expelled, *action),
            Err(Denial::MemberExpelled("bank-sz".into())),
        );
        check(
            |f| (f.standing, f.action) = (Standing::Unknown, *action),
            Err(Denial::MemberUnknown("bank-sz".into())),
        );
    }
}

#[test]
fn standing_comes_before_roles_roles_before_owner_owner_before_quota() {
    let all_wrong = |f: &mut Facts<'_>| {
        f.standing = Standing::Frozen;
        f.role_grant = RoleGrant::None;
        f.purpose = Some("marketing");
        f.owner = Some("bank-nj");
        f.quota = QuotaState::Exceeded { retry_after_ms: 1 };
    };
    check(all_wrong, Err(frozen()));
    let but_standing = |f: &mut Facts<'_>| {
        all_wrong(f);
        f.standing = Standing::Active;
    };
    check(but_standing, Err(Denial::Role(Action::PlaceOrder)));
    let but_role = |f: &mut Facts<'_>| {
        but_standing(f);
        f.role_grant = RoleGrant::Granted;
    };
    check(but_role, Err(purpose(Action::PlaceOrder, "marketing")));
    let but_purpose = |f: &mut Facts<'_>| {
        but_role(f);
        f.purpose = Some("loan.pre");
    };
    check(but_purpose, Err(Denial::NotOwner));
    let but_owner = |f: &mut Facts<'_>| {
        but_purpose(f);
        f.owner = None;
    };
    check(but_owner, Err(Denial::Quota { retry_after_ms: 1 }));
}

#[test]
fn without_a_grant_no_combination_of_facts_gives_a_permit() {
    let caller = caller();
    for action in Action::ALL {
        for standing in [
            Standing::Unknown,
            Standing::Active,
            Standing::Frozen,
            Standing::Expelled,
        ] {
            for purpose in [None, Some("loan.pre"), Some("marketing")] {
                for owner in [None, Some("bank-sz"), Some("bank-nj")] {
                    for role_grant in [RoleGrant::None, RoleGrant::OtherPurpose] {
                        let facts = Facts {
                            caller: &caller,
                            action: *action,
                            purpose,
                            standing,
                            role_grant,
                            owner,
                            quota: QuotaState::Within,
                        };
                        assert!(decide(&facts).is_err(), "{facts:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn action_names_are_unique_and_read_back() {
    let names: BTreeSet<_> = Action::ALL.iter().map(|a| a.name()).collect();
    assert_eq!(names.len(), Action::ALL.len());
    for action in Action::ALL {
        assert_eq!(action.name().parse(), Ok(*action));
    }
    assert!("order.delete".parse::<Action>().is_err());
}
