//! The default role policy as a table, and policies that are refused.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use xinqiao_identity::decide::{Action, Caller, Denial, QuotaState, RoleGrant, Standing};
use xinqiao_identity::policy::{Circumstances, DEFAULT_POLICY, Error, Policy};
use xinqiao_identity::{denial_fault, denial_reason};
use xinqiao_rpc::Reason;

const FREE: Circumstances<'_> = Circumstances {
    standing: Standing::Active,
    owner: None,
    quota: QuotaState::Within,
};

fn caller(roles: &[&str], purposes: &[&str]) -> Caller {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    Caller {
        org: "bank-sz".into(),
        user_pseudonym: "u7".into(),
        roles: set(roles),
        purposes: set(purposes),
    }
}

/// What each role may do, all of it: whatever is not listed must be denied.
const TABLE: &[(&str, &[Action])] = {
    use Action::*;
    &[
        (
            "bank.querier",
            &[
                PlaceOrder,
                ReadOrder,
                CancelOrder,
                FetchDelivery,
                ConfirmDelivery,
                RegisterConsent,
                ReadConsent,
                WatchSubjects,
                ReadCatalogue,
            ],
        ),
        (
            "bank.loan_officer",
            &[
                PlaceOrder,
                ReadOrder,
                CancelOrder,
                FetchDelivery,
                ConfirmDelivery,
                RegisterConsent,
                ReadConsent,
                WatchSubjects,
                ReadCatalogue,
                ReportOutcome,
            ],
        ),
        (
            "bank.auditor",
            &[
                ReadOrder,
                ReadConsent,
                ReadAccessLog,
                ExportProof,
                ReadCatalogue,
            ],
        ),
        (
            "bank.administrator",
            &[ManageUsers, PublishKey, ReadAccessLog, ReadCatalogue],
        ),
        (
            "bureau.operator",
            &[RegisterDigests, ManageSource, ReadCatalogue, ReadAccessLog],
        ),
        (
            "bureau.witness",
            &[RegisterConsent, ReadConsent, EndConsent, FileObjection],
        ),
        (
            "bureau.administrator",
            &[
                ManageUsers,
                PublishKey,
                Govern,
                RegisterDigests,
                ManageSource,
                ReadCatalogue,
                ReadAccessLog,
            ],
        ),
        (
            "subject.self",
            &[
                RegisterConsent,
                ReadConsent,
                EndConsent,
                FileObjection,
                ReadAccessLog,
            ],
        ),
        (
            "regulator.inspector",
            &[InspectAccessLog, ExportProof, ReadCatalogue],
        ),
        (
            "regulator.officer",
            &[
                FreezeMember,
                Govern,
                InspectAccessLog,
                ExportProof,
                ReadCatalogue,
            ],
        ),
        ("no.such_role", &[]),
        ("", &[]),
        ("*", &[]),
    ]
};

#[tokio::test]
async fn each_role_may_do_exactly_what_the_table_says() {
    let policy = Policy::standard().await.unwrap();
    for (role, allowed) in TABLE {
        for action in Action::ALL {
            let purpose = action.needs_purpose().then_some("loan.pre");
            let decided = policy.decide(&caller(&[role], &["loan.pre"]), *action, purpose, FREE);
            match decided {
                Ok(permit) => {
                    assert!(allowed.contains(action), "{role} may do {action}");
                    assert_eq!((permit.action(), permit.purpose()), (*action, purpose));
                }
                Err(denial) => {
                    assert!(
                        !allowed.contains(action),
                        "{role} may not do {action}: {denial}"
                    );
                    assert_eq!(denial, Denial::Role(*action));
                }
            }
        }
    }
}

#[tokio::test]
async fn every_action_is_some_role_s_and_every_role_of_the_policy_is_in_the_table() {
    for action in Action::ALL {
        assert!(
            TABLE.iter().any(|(_, allowed)| allowed.contains(action)),
            "{action}"
        );
    }
    let lines = DEFAULT_POLICY
        .lines()
        .filter(|line| line.starts_with("p,") || line.starts_with("g,"));
    for line in lines {
        let role = line.split(", ").nth(1).unwrap();
        assert!(TABLE.iter().any(|(name, _)| *name == role), "{role}");
    }
}

#[tokio::test]
async fn without_roles_nothing_is_allowed_and_with_several_the_sum_is() {
    let policy = Policy::standard().await.unwrap();
    for action in Action::ALL {
        let none = policy.role_grant(&caller(&[], &["loan.pre"]), *action, Some("loan.pre"));
        assert_eq!(none, RoleGrant::None);
    }
    let both = caller(&["bank.auditor", "bank.administrator"], &[]);
    for (action, expected) in [
        (Action::ExportProof, RoleGrant::Granted),
        (Action::ManageUsers, RoleGrant::Granted),
        (Action::PlaceOrder, RoleGrant::None),
    ] {
        assert_eq!(policy.role_grant(&both, action, None), expected, "{action}");
    }
}

#[tokio::test]
async fn a_policy_may_bind_a_role_to_purposes() {
    let policy = Policy::from_csv(
        "# a narrow one\n p, teller, order.place, loan.pre \n\ng, chief, teller\np, chief, order.place, loan.post",
    )
    .await
    .unwrap();
    let all = &["loan.pre", "loan.post", "marketing"];
    for (role, purpose, expected) in [
        ("teller", "loan.pre", RoleGrant::Granted),
        ("teller", "loan.post", RoleGrant::OtherPurpose),
        ("chief", "loan.pre", RoleGrant::Granted),
        ("chief", "loan.post", RoleGrant::Granted),
        ("chief", "marketing", RoleGrant::OtherPurpose),
        ("chief", "", RoleGrant::OtherPurpose),
        ("chief", "*", RoleGrant::OtherPurpose),
        ("guest", "loan.pre", RoleGrant::None),
    ] {
        let caller = caller(&[role], all);
        // Twice: the second answer comes from the cache.
        for _ in 0..2 {
            let grant = policy.role_grant(&caller, Action::PlaceOrder, Some(purpose));
            assert_eq!(grant, expected, "{role} {purpose}");
        }
    }
    let denied = policy
        .decide(
            &caller(&["teller"], all),
            Action::PlaceOrder,
            Some("loan.post"),
            FREE,
        )
        .unwrap_err();
    assert_eq!(denial_reason(&denied), Reason::PurposeDenied);
}

#[tokio::test]
async fn a_policy_that_would_not_do_what_it_seems_to_is_refused() {
    for (text, says) in [
        ("p, a, order.plaice, *", "order.plaice"),
        ("p, a, order.place", "p, a, order.place"),
        ("p, a, order.place, *, deny", "deny"),
        ("p, , order.place, *", "p, , order.place"),
        ("p, a, order.place,", "p, a, order.place,"),
        ("q, a, order.place, *", "q, a"),
        ("g, a", "g, a"),
        ("allow everyone", "allow everyone"),
    ] {
        let error = Policy::from_csv(text).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let long = "p, a, order.place, *\n".repeat(1001);
    assert!(matches!(
        Policy::from_csv(&long).await,
        Err(Error::TooLong(1001))
    ));
}

#[test]
fn every_denial_has_a_reason_of_the_same_name() {
    for denial in [
        Denial::MemberUnknown("a".into()),
        Denial::MemberFrozen("a".into()),
        Denial::MemberExpelled("a".into()),
        Denial::Role(Action::PlaceOrder),
        Denial::PurposeMissing(Action::PlaceOrder),
        Denial::Purpose {
            action: Action::PlaceOrder,
            purpose: "p".into(),
        },
        Denial::NotOwner,
        Denial::Quota { retry_after_ms: 5 },
    ] {
        let reason = denial_reason(&denial);
        assert_eq!(reason.code(), denial.code());
        assert_eq!(denial_fault(&denial).reason(), reason);
    }
}
