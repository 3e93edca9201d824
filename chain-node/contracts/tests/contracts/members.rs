//! Members, keys, certificates and users.

use xinqiao_contracts::{query, testing::*};
use xinqiao_ledger::{
    ids::OrgId,
    member::{KeyRole, MemberKind},
    outcome::Outcome,
    wire::{self, change::Kind, tx_body::Action},
};

use crate::check::{
    Row, at_work, check, close_user, done, enacted, expel, freeze, row, tell, unfreeze, voted_out,
};

fn admit(member: &xinqiao_ledger::member::Member) -> Action {
    Action::AdmitMember(wire::AdmitMember {
        member: Some(member.into()),
    })
}

fn bank() -> xinqiao_ledger::member::Member {
    member("new-bank", MemberKind::Institution, "31", Some("sh-bureau"))
}

fn add_key(name: &str, role: KeyRole) -> Action {
    Action::AddKey(wire::AddKey {
        key: Some(wire::MemberKey {
            public_key: secret(name).public().to_sec1().to_vec(),
            role: role.to_wire(),
        }),
    })
}

fn revoke_key(name: &str) -> Action {
    Action::RevokeKey(wire::RevokeKey {
        key_id: key_id(name).as_bytes().to_vec(),
    })
}

fn add_certificate(name: &str) -> Action {
    let fingerprint = certificate(name).to_vec();
    Action::AddCertificate(wire::AddCertificate { fingerprint })
}

fn revoke_certificate(name: &str) -> Action {
    let fingerprint = certificate(name).to_vec();
    Action::RevokeCertificate(wire::RevokeCertificate { fingerprint })
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a bureau admits a bank",
        |c| c.run("sh-bureau/admin", admit(&bank())),
        &["member new-bank ACTIVE"],
    ),
    row(
        "no regulator admits a regulator alone",
        |c| {
            let nfra = member("nfra", MemberKind::Regulator, "11", None);
            c.run("pboc/admin", admit(&nfra))
        },
        &["rejected VOTE_NEEDED nfra"],
    ),
    row(
        "a bureau makes nobody a regulator",
        |c| {
            let fake = member("fake", MemberKind::Regulator, "31", None);
            c.run("sh-bureau/admin", admit(&fake))
        },
        &["rejected VOTE_NEEDED fake"],
    ),
    row(
        "no bureau admits a bureau alone",
        |c| {
            let other = member("nj-bureau", MemberKind::Bureau, "32", None);
            c.run("sh-bureau/admin", admit(&other))
        },
        &["rejected VOTE_NEEDED nj-bureau"],
    ),
    row(
        "a bureau admits a source unit",
        |c| {
            let unit = member(
                "sh-water-co",
                MemberKind::SourceUnit,
                "31",
                Some("sh-bureau"),
            );
            c.run("sh-bureau/admin", admit(&unit))
        },
        &["member sh-water-co ACTIVE"],
    ),
    row(
        "a bank admits nobody",
        |c| c.run("js-bank/admin", admit(&bank())),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a holder key admits nobody",
        |c| c.run("sh-bureau/holder", admit(&bank())),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "an id is given once",
        |c| {
            let again = member("js-bank", MemberKind::Institution, "32", None);
            c.run("sh-bureau/admin", admit(&again))
        },
        &["rejected MEMBER_EXISTS js-bank"],
    ),
    row(
        "an expelled member's id is not given again",
        |c| {
            voted_out(c, "js-bank");
            let again = member("js-bank", MemberKind::Institution, "32", None);
            c.run("sh-bureau/admin", admit(&again))
        },
        &["rejected MEMBER_EXISTS js-bank"],
    ),
    row(
        "a home must be a member",
        |c| {
            let lost = member("lost", MemberKind::Institution, "31", Some("nowhere"));
            c.run("sh-bureau/admin", admit(&lost))
        },
        &["rejected MEMBER_UNKNOWN nowhere"],
    ),
    row(
        "a home must run a gateway for others",
        |c| {
            let lost = member("lost", MemberKind::Institution, "31", Some("zj-bank"));
            c.run("sh-bureau/admin", admit(&lost))
        },
        &["rejected MEMBER_UNKNOWN zj-bank"],
    ),
    row(
        "a new member brings keys that nobody has",
        |c| {
            let mut thief = bank();
            thief.keys = member("js-bank", MemberKind::Institution, "32", None).keys;
            c.run("sh-bureau/admin", admit(&thief))
        },
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a new member brings certificates that nobody has",
        |c| {
            let mut thief = bank();
            thief.certificates = vec![certificate("js-bank")];
            c.run("sh-bureau/admin", admit(&thief))
        },
        &["rejected CERTIFICATE_EXISTS"],
    ),
    row(
        "only the regulator freezes",
        |c| c.run("sh-bureau/admin", freeze("js-bank")),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "the regulator does not lock itself out",
        |c| c.run("pboc/admin", freeze("pboc")),
        &["rejected ROLE_DENIED pboc"],
    ),
    row(
        "nobody can freeze who is no member",
        |c| c.run("pboc/admin", freeze("nobody")),
        &["rejected MEMBER_UNKNOWN nobody"],
    ),
    row(
        "a frozen member's keys do nothing",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            c.run("js-bank/admin", open_user(2))
        },
        &["rejected MEMBER_FROZEN js-bank"],
    ),
    row(
        "an unfrozen member's keys work again",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            done(c, "pboc/admin", unfreeze("js-bank"));
            c.run("js-bank/admin", open_user(2))
        },
        &["credential js-bank +"],
    ),
    row(
        "an expelled member's keys do nothing",
        |c| {
            voted_out(c, "js-bank");
            c.run("js-bank/admin", open_user(2))
        },
        &["rejected MEMBER_EXPELLED js-bank"],
    ),
    row(
        "a sponsor expels whom it admitted",
        |c| {
            done(c, "sh-bureau/admin", admit(&bank()));
            c.run("sh-bureau/admin", expel("new-bank"))
        },
        &["member new-bank EXPELLED"],
    ),
    row(
        "a bureau expels nobody else's",
        |c| {
            done(c, "sh-bureau/admin", admit(&bank()));
            c.run("js-bureau/admin", expel("new-bank"))
        },
        &["rejected VOTE_NEEDED new-bank"],
    ),
    row(
        "the regulator expels nobody alone",
        |c| c.run("pboc/admin", expel("js-bank")),
        &["rejected VOTE_NEEDED js-bank"],
    ),
    row(
        "a sponsor expels nobody twice",
        |c| {
            done(c, "sh-bureau/admin", admit(&bank()));
            done(c, "sh-bureau/admin", expel("new-bank"));
            c.run("sh-bureau/admin", expel("new-bank"))
        },
        &["rejected MEMBER_STATE_CONFLICT new-bank"],
    ),
    row(
        "who is not frozen is not unfrozen",
        |c| c.run("pboc/admin", unfreeze("js-bank")),
        &["rejected MEMBER_STATE_CONFLICT js-bank"],
    ),
    row(
        "nobody unfreezes but the regulator",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            c.run("js-bureau/admin", unfreeze("js-bank"))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "an admin adds a key",
        |c| c.run("js-bank/admin", add_key("js-bank/agent-2", KeyRole::Agent)),
        &["credential js-bank +"],
    ),
    row(
        "an added key signs",
        |c| {
            done(
                c,
                "js-bank/admin",
                add_key("js-bank/admin-2", KeyRole::Admin),
            );
            c.run("js-bank/admin-2", open_user(2))
        },
        &["credential js-bank +"],
    ),
    row(
        "an agent key adds no key",
        |c| c.run("js-bank/agent", add_key("x", KeyRole::Agent)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "an encryption key signs nothing",
        |c| c.run("js-bank/encryption", open_user(2)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a key has one owner",
        |c| c.run("js-bank/admin", add_key("zj-bank/agent", KeyRole::Agent)),
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a revoked key does not come back",
        |c| {
            done(c, "js-bank/admin", revoke_key("js-bank/agent"));
            c.run("js-bank/admin", add_key("js-bank/agent", KeyRole::Agent))
        },
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a member has sixteen keys at most",
        |c| {
            for number in 0..11 {
                let name = format!("js-bank/extra-{number}");
                done(c, "js-bank/admin", add_key(&name, KeyRole::Agent));
            }
            c.run("js-bank/admin", add_key("js-bank/one-more", KeyRole::Agent))
        },
        &["rejected TOO_MANY_CREDENTIALS js-bank"],
    ),
    row(
        "a revoked key signs no more",
        |c| {
            done(c, "js-bank/admin", revoke_key("js-bank/agent"));
            c.run("js-bank/agent", open_user(2))
        },
        &["rejected SIGNER_UNKNOWN"],
    ),
    row(
        "a revocation binds the next transaction of the same block",
        |c| {
            let revoke = c.sign("js-bank/admin", revoke_key("js-bank/agent"));
            let late = c.sign("js-bank/agent", open_user(2));
            c.block(vec![revoke, late]).outcomes.remove(2)
        },
        &["rejected SIGNER_UNKNOWN"],
    ),
    row(
        "another member's key is not there to be revoked",
        |c| c.run("js-bank/admin", revoke_key("zj-bank/agent")),
        &["rejected KEY_UNKNOWN"],
    ),
    row(
        "the last admin key stays",
        |c| c.run("js-bank/admin", revoke_key("js-bank/admin")),
        &["rejected LAST_ADMIN_KEY"],
    ),
    row(
        "an admin key is rotated",
        |c| {
            done(
                c,
                "js-bank/admin",
                add_key("js-bank/admin-2", KeyRole::Admin),
            );
            c.run("js-bank/admin-2", revoke_key("js-bank/admin"))
        },
        &["credential js-bank -"],
    ),
    row(
        "a certificate is added",
        |c| c.run("js-bank/admin", add_certificate("new")),
        &["credential js-bank +"],
    ),
    row(
        "a certificate has one owner",
        |c| c.run("js-bank/admin", add_certificate("zj-bank")),
        &["rejected CERTIFICATE_EXISTS"],
    ),
    row(
        "a member has 32 certificates at most",
        |c| {
            for number in 0..31 {
                done(
                    c,
                    "js-bank/admin",
                    add_certificate(&format!("extra-{number}")),
                );
            }
            c.run("js-bank/admin", add_certificate("one more"))
        },
        &["rejected TOO_MANY_CREDENTIALS js-bank"],
    ),
    row(
        "a certificate is revoked",
        |c| c.run("js-bank/admin", revoke_certificate("js-bank")),
        &["credential js-bank -"],
    ),
    row(
        "another member's certificate is not there to be revoked",
        |c| c.run("js-bank/admin", revoke_certificate("zj-bank")),
        &["rejected CERTIFICATE_UNKNOWN"],
    ),
    row(
        "a revoked certificate does not come back",
        |c| {
            done(c, "js-bank/admin", revoke_certificate("js-bank"));
            c.run("js-bank/admin", add_certificate("js-bank"))
        },
        &["rejected CERTIFICATE_EXISTS"],
    ),
    row(
        "a user is opened once",
        |c| c.run("js-bank/admin", open_user(1)),
        &["rejected USER_EXISTS"],
    ),
    row(
        "users of two institutions may share a pseudonym",
        |c| c.run("zj-bank/admin", open_user(1)),
        &["credential zj-bank +"],
    ),
    row(
        "a bureau has no users",
        |c| c.run("js-bureau/admin", open_user(2)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a user is closed",
        |c| c.run("js-bank/admin", close_user(1)),
        &["credential js-bank -"],
    ),
    row(
        "a closed user is not there to be closed",
        |c| {
            done(c, "js-bank/admin", close_user(1));
            c.run("js-bank/admin", close_user(1))
        },
        &["rejected USER_UNKNOWN"],
    ),
    row(
        "a closed user is not opened again",
        |c| {
            done(c, "js-bank/admin", close_user(1));
            c.run("js-bank/admin", open_user(1))
        },
        &["rejected USER_EXISTS"],
    ),
    row(
        "nobody closes another institution's user",
        |c| c.run("zj-bank/admin", close_user(1)),
        &["rejected USER_UNKNOWN"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

/// Does something to `js-bank`: a regulator by its own word, the consortium by a vote.
fn turned(chain: &mut Consortium, what: &str) -> Vec<String> {
    let org = || "js-bank".to_owned();
    let change = match what {
        "freeze" => return tell(&chain.run("pboc/admin", freeze("js-bank"))),
        "unfreeze" => return tell(&chain.run("pboc/admin", unfreeze("js-bank"))),
        "suspend" => Kind::SuspendMember(org()),
        "reinstate" => Kind::ReinstateMember(org()),
        _ => Kind::ExpelMember(org()),
    };
    // What cannot be carried out cannot be proposed.
    let proposed = chain
        .clone()
        .run("pboc/admin", propose(vec![change.clone()]));
    match proposed {
        Outcome::Rejected { .. } => tell(&proposed),
        Outcome::Applied(_) => tell(&enacted(chain, vec![change])).split_off(1),
    }
}

#[test]
fn a_member_moves_between_its_states_and_no_others() {
    let conflict = "rejected MEMBER_STATE_CONFLICT js-bank";
    let (active, frozen) = ("member js-bank ACTIVE", "member js-bank FROZEN");
    let expelled = "member js-bank EXPELLED";
    type Nexts = [(&'static str, &'static str); 5];
    #[rustfmt::skip]
    let rows: &[(&[&str], Nexts)] = &[
        (&[], [("freeze", frozen), ("unfreeze", conflict), ("suspend", frozen), ("reinstate", conflict), ("expel", expelled)]),
        (&["freeze"], [("freeze", conflict), ("unfreeze", active), ("suspend", frozen), ("reinstate", conflict), ("expel", expelled)]),
        (&["suspend"], [("freeze", frozen), ("unfreeze", conflict), ("suspend", conflict), ("reinstate", active), ("expel", expelled)]),
        // Frozen by both, it takes both to be free again.
        (&["freeze", "suspend"], [("freeze", conflict), ("unfreeze", frozen), ("suspend", conflict), ("reinstate", frozen), ("expel", expelled)]),
        (&["suspend", "freeze"], [("freeze", conflict), ("unfreeze", frozen), ("suspend", conflict), ("reinstate", frozen), ("expel", expelled)]),
        (&["freeze", "suspend", "unfreeze"], [("freeze", frozen), ("unfreeze", conflict), ("suspend", conflict), ("reinstate", active), ("expel", expelled)]),
        (&["suspend", "freeze", "reinstate"], [("freeze", conflict), ("unfreeze", active), ("suspend", frozen), ("reinstate", conflict), ("expel", expelled)]),
        (&["expel"], [("freeze", conflict), ("unfreeze", conflict), ("suspend", conflict), ("reinstate", conflict), ("expel", conflict)]),
    ];
    for (before, nexts) in rows {
        let mut chain = at_work();
        for what in *before {
            let words = turned(&mut chain, what);
            assert!(words[0].starts_with("member"), "{before:?}: {words:?}");
        }
        for (what, wants) in nexts {
            assert_eq!(
                turned(&mut chain.clone(), what),
                [*wants],
                "{before:?} {what}"
            );
        }
    }
}

#[test]
fn queries_see_valid_keys_and_certificates_only() {
    let mut chain = at_work();
    let org: OrgId = "js-bank".parse().unwrap();
    let before = query::member(&chain.state, &org).unwrap().unwrap();
    assert_eq!(
        before.member,
        member("js-bank", MemberKind::Institution, "32", Some("js-bureau"))
    );
    assert!(before.is_active() && before.sponsor.is_none() && before.admitted_at == 0);

    done(&mut chain, "js-bank/admin", revoke_key("js-bank/agent"));
    done(&mut chain, "js-bank/admin", revoke_certificate("js-bank"));
    let after = query::member(&chain.state, &org).unwrap().unwrap();
    assert_eq!(after.member.keys.len(), 4);
    assert!(after.member.certificates.is_empty());
    let agent = key_id("js-bank/agent");
    assert_eq!(query::member_by_key(&chain.state, &agent).unwrap(), None);
    let print = certificate("js-bank");
    assert_eq!(
        query::member_by_certificate(&chain.state, &print).unwrap(),
        None
    );
    // Revoked ones are kept with the height until which they were valid.
    let key = query::key(&chain.state, &agent).unwrap().unwrap();
    assert_eq!(
        key.state,
        xinqiao_contracts::record::KeyState::Revoked(chain.height - 1)
    );

    let admin = key_id("js-bank/admin");
    assert_eq!(
        query::member_by_key(&chain.state, &admin).unwrap(),
        Some(after.clone())
    );
    let wire = wire::MemberState::from(&after);
    assert_eq!(wire.status(), wire::MemberStatus::Active);
    let all = query::members(&chain.state).unwrap();
    let orgs: Vec<_> = all.iter().map(|it| it.member.org.as_str()).collect();
    assert_eq!(
        orgs,
        [
            "cn-mediation",
            "cz-tax",
            "js-bank",
            "js-bureau",
            "pboc",
            "sh-bureau",
            "zj-bank",
            "zj-bureau"
        ]
    );
}
