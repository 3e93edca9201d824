//! Proposals and votes, and what becomes of those that pass.

use xinqiao_contracts::testing::*;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    genesis::Parameters,
    ids::TxId,
    member::MemberKind,
    outcome::Outcome,
    wire::{self, change::Kind, tx_body::Action},
};

use crate::check::{Row, check, done, enacted, freeze, row, voted_out};

pub(crate) fn weight(org: &str, weight: u32) -> Kind {
    let org = org.into();
    Kind::SetWeight(wire::VotingWeight { org, weight })
}

pub(crate) fn set_engine(engine: wire::ConsensusEngine) -> Kind {
    Kind::SetEngine(engine.into())
}

pub(crate) fn rules(participation_percent: u32, approval_percent: u32) -> Kind {
    Kind::SetParameters(wire::Parameters {
        max_expiry_window: 1_000,
        max_consent_days: 1_100,
        max_deadlines_per_block: 1_000,
        checkpoint_interval: 50,
        min_validator_key_blocks: 1_000,
        governance: Some(wire::GovernanceRules {
            participation_percent,
            approval_percent,
            voting_days: 1,
        }),
    })
}

pub(crate) fn withdraw(proposal: &TxId) -> Action {
    let proposal = proposal.to_vec();
    Action::WithdrawProposal(wire::WithdrawProposal { proposal })
}

/// A consortium in which a validator's key stays for so many blocks.
fn keys_stay(blocks: u64) -> Consortium {
    Consortium::with(Parameters {
        min_validator_key_blocks: blocks,
        ..Parameters::default()
    })
}

/// A key is rotated, and so many blocks later again.
fn rotated_twice(c: &mut Consortium, stays: u64, later: u64) -> Outcome {
    *c = keys_stay(stays);
    done(c, "sh-bureau/admin", rotate("validator-2"));
    for _ in 1..later {
        let _ = c.block(vec![]);
    }
    c.run("sh-bureau/admin", rotate("validator-3"))
}

pub(crate) fn rotate(key: &str) -> Action {
    Action::RotateValidator(wire::RotateValidator {
        public_key: secret(key).public().to_sec1().to_vec(),
        endpoint: "https://127.0.0.1:7001".into(),
    })
}

/// A proposal that changes nothing of weight.
pub(crate) fn small() -> Vec<Kind> {
    vec![weight("cn-mediation", 1)]
}

pub(crate) fn proposed(chain: &mut Consortium, changes: Vec<Kind>) -> TxId {
    done(chain, "pboc/admin", propose(changes))
}

/// Three raft validators, where there was one alone.
pub(crate) fn raft() -> Vec<Kind> {
    vec![
        set_engine(wire::ConsensusEngine::Raft),
        Kind::SetValidator(validator("js-bureau", "js-validator")),
        Kind::SetValidator(validator("zj-bureau", "zj-validator")),
    ]
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "changes are put to the vote",
        |c| c.run("sh-bureau/admin", propose(small())),
        &["proposal OPEN"],
    ),
    row(
        "a bank has no vote and proposes nothing",
        |c| c.run("js-bank/admin", propose(small())),
        &["rejected NO_VOTE js-bank"],
    ),
    row(
        "nor does a holder key of a bureau",
        |c| c.run("sh-bureau/holder", propose(small())),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "what could not be carried out is not proposed",
        |c| {
            let changes = vec![Kind::RemoveValidator("sh-bureau".into())];
            c.run("sh-bureau/admin", propose(changes))
        },
        &["rejected VALIDATOR_COUNT 0"],
    ),
    row(
        "changes are looked at together: one undoes what another cannot stand",
        |c| {
            let changes = vec![
                Kind::RemoveValidator("sh-bureau".into()),
                Kind::SetValidator(validator("zj-bureau", "zj-validator")),
            ];
            c.run("sh-bureau/admin", propose(changes))
        },
        &["proposal OPEN"],
    ),
    row(
        "one validator is one, two are none too many for no engine",
        |c| {
            let changes = vec![Kind::SetValidator(validator("zj-bureau", "zj-validator"))];
            c.run("sh-bureau/admin", propose(changes))
        },
        &["rejected VALIDATOR_COUNT 2"],
    ),
    row(
        "bft wants four",
        |c| {
            let mut changes = raft();
            changes.push(set_engine(wire::ConsensusEngine::Bft));
            c.run("sh-bureau/admin", propose(changes))
        },
        &["rejected VALIDATOR_COUNT 3"],
    ),
    row(
        "nothing is in force in the block that proposes it",
        |c| {
            let this = c.height + 1;
            c.run("sh-bureau/admin", propose_at(small(), this))
        },
        &["rejected EFFECTIVE_HEIGHT 9"],
    ),
    row(
        "as far ahead as may be",
        |c| {
            let far = c.height + 1 + 100_000_000;
            c.run("sh-bureau/admin", propose_at(small(), far))
        },
        &["proposal OPEN"],
    ),
    row(
        "a height further",
        |c| {
            let far = c.height + 2 + 100_000_000;
            c.run("sh-bureau/admin", propose_at(small(), far))
        },
        &["rejected EFFECTIVE_HEIGHT 100000010"],
    ),
    row(
        "a member has eight proposals pending at most",
        |c| {
            for _ in 0..8 {
                proposed(c, small());
            }
            c.run("pboc/admin", propose(small()))
        },
        &["rejected TOO_MANY_PROPOSALS pboc"],
    ),
    row(
        "others have their own eight",
        |c| {
            for _ in 0..8 {
                proposed(c, small());
            }
            c.run("sh-bureau/admin", propose(small()))
        },
        &["proposal OPEN"],
    ),
    row(
        "what was decided makes room",
        |c| {
            let first = proposed(c, small());
            for _ in 0..7 {
                proposed(c, small());
            }
            done(c, "pboc/admin", withdraw(&first));
            c.run("pboc/admin", propose(small()))
        },
        &["proposal OPEN"],
    ),
    row(
        "a vote is cast",
        |c| {
            let id = proposed(c, small());
            c.run("sh-bureau/admin", vote(&id, true))
        },
        &["vote sh-bureau for"],
    ),
    row(
        "once",
        |c| {
            let id = proposed(c, small());
            done(c, "sh-bureau/admin", vote(&id, true));
            c.run("sh-bureau/admin", vote(&id, false))
        },
        &["rejected ALREADY_VOTED sh-bureau"],
    ),
    row(
        "on something",
        |c| c.run("sh-bureau/admin", vote(&TxId(sm3(b"nothing")), true)),
        &["rejected PROPOSAL_NOT_FOUND"],
    ),
    row(
        "by someone who has a vote",
        |c| {
            let id = proposed(c, small());
            c.run("js-bank/admin", vote(&id, true))
        },
        &["rejected NO_VOTE js-bank"],
    ),
    row(
        "with an admin key",
        |c| {
            let id = proposed(c, small());
            c.run("sh-bureau/gateway", vote(&id, true))
        },
        &["rejected ROLE_DENIED"],
    ),
    row(
        "not by a member that is frozen",
        |c| {
            let id = proposed(c, small());
            done(c, "pboc/admin", freeze("sh-bureau"));
            c.run("sh-bureau/admin", vote(&id, true))
        },
        &["rejected MEMBER_FROZEN sh-bureau"],
    ),
    row(
        "the third of four decides",
        |c| {
            let id = proposed(c, small());
            done(c, "sh-bureau/admin", vote(&id, true));
            done(c, "js-bureau/admin", vote(&id, true));
            c.run("zj-bureau/admin", vote(&id, true))
        },
        &["vote zj-bureau for", "proposal PASSED"],
    ),
    row(
        "two of four against are enough to end it",
        |c| {
            let id = proposed(c, small());
            done(c, "sh-bureau/admin", vote(&id, false));
            c.run("zj-bureau/admin", vote(&id, false))
        },
        &["vote zj-bureau against", "proposal REJECTED"],
    ),
    row(
        "nobody votes on what is decided",
        |c| {
            let (id, _) = c.enact(small());
            c.run("zj-bureau/admin", vote(&id, true))
        },
        &["rejected PROPOSAL_CLOSED"],
    ),
    row(
        "a proposal is taken back",
        |c| {
            let id = proposed(c, small());
            c.run("pboc/admin", withdraw(&id))
        },
        &["proposal WITHDRAWN"],
    ),
    row(
        "by nobody else",
        |c| {
            let id = proposed(c, small());
            c.run("sh-bureau/admin", withdraw(&id))
        },
        &["rejected PROPOSAL_NOT_OWNED"],
    ),
    row(
        "nor once it is decided",
        |c| {
            let (id, _) = c.enact(small());
            c.run("pboc/admin", withdraw(&id))
        },
        &["rejected PROPOSAL_CLOSED"],
    ),
    row(
        "nobody votes on what was taken back",
        |c| {
            let id = proposed(c, small());
            done(c, "pboc/admin", withdraw(&id));
            c.run("sh-bureau/admin", vote(&id, true))
        },
        &["rejected PROPOSAL_CLOSED"],
    ),
    row(
        "a vote admits a bureau, which has a vote from then on",
        |c| {
            let other = member("nj-bureau", MemberKind::Bureau, "32", None);
            enacted(c, vec![Kind::AdmitMember((&other).into())])
        },
        &[
            "proposal ENACTED",
            "member nj-bureau ACTIVE",
            "weight nj-bureau 1",
        ],
    ),
    row(
        "and a platform, which has none",
        |c| {
            let other = member("gd-platform", MemberKind::Platform, "44", None);
            enacted(c, vec![Kind::AdmitMember((&other).into())])
        },
        &["proposal ENACTED", "member gd-platform ACTIVE"],
    ),
    row(
        "a vote expels a bureau with its vote and its validator",
        |c| {
            enacted(c, raft());
            let mut changes = vec![Kind::ExpelMember("zj-bureau".into())];
            changes.push(Kind::RemoveValidator("js-bureau".into()));
            changes.push(set_engine(wire::ConsensusEngine::Solo));
            enacted(c, changes)
        },
        &[
            "proposal ENACTED",
            "member zj-bureau EXPELLED",
            "weight zj-bureau 0",
            "validator zj-bureau -",
            "validator js-bureau -",
            "engine SOLO",
        ],
    ),
    row(
        "not if too few validators were left",
        |c| {
            enacted(c, raft());
            c.run(
                "pboc/admin",
                propose(vec![Kind::ExpelMember("zj-bureau".into())]),
            )
        },
        &["rejected VALIDATOR_COUNT 2"],
    ),
    row(
        "an institution has no vote to be given",
        |c| c.run("pboc/admin", propose(vec![weight("js-bank", 1)])),
        &["rejected ROLE_DENIED js-bank"],
    ),
    row(
        "who was expelled is given none",
        |c| {
            voted_out(c, "zj-bureau");
            c.run("pboc/admin", propose(vec![weight("zj-bureau", 1)]))
        },
        &["rejected MEMBER_STATE_CONFLICT zj-bureau"],
    ),
    row(
        "somebody keeps a vote",
        |c| {
            let none = VOTERS.map(|org| weight(org, 0)).to_vec();
            c.run("pboc/admin", propose(none))
        },
        &["rejected NO_VOTERS_LEFT"],
    ),
    row(
        "somebody in good standing",
        |c| {
            done(c, "pboc/admin", freeze("sh-bureau"));
            let none = ["js-bureau", "pboc", "zj-bureau"].map(|org| weight(org, 0));
            c.run("pboc/admin", propose(none.to_vec()))
        },
        &["rejected NO_VOTERS_LEFT"],
    ),
    row(
        "128 members have a vote at most",
        |c| {
            let bureau = |number: usize| {
                let name = format!("bureau-{number}");
                let member = member(&name, MemberKind::Bureau, "31", None);
                Kind::AdmitMember((&member).into())
            };
            // The four keep nearly all of the weight, so three of them go on deciding.
            for first in (0..124).step_by(8) {
                let numbers = first..(first + 8).min(124);
                let mut changes: Vec<Kind> = numbers.clone().map(bureau).collect();
                changes.extend(VOTERS.map(|org| weight(org, 1_000)));
                enacted(c, changes);
            }
            c.run("pboc/admin", propose(vec![bureau(124)]))
        },
        &["rejected TOO_MANY_VOTERS bureau-124"],
    ),
    row(
        "a validator is a bureau's or the like, not a bank's",
        |c| {
            let changes = vec![Kind::SetValidator(validator("js-bank", "bank-validator"))];
            c.run("pboc/admin", propose(changes))
        },
        &["rejected ROLE_DENIED js-bank"],
    ),
    row(
        "a frozen member gets none",
        |c| {
            done(c, "pboc/admin", freeze("zj-bureau"));
            let changes = vec![Kind::SetValidator(validator("zj-bureau", "zj-validator"))];
            c.run("pboc/admin", propose(changes))
        },
        &["rejected MEMBER_STATE_CONFLICT zj-bureau"],
    ),
    row(
        "who runs no validator loses none",
        |c| {
            let changes = vec![Kind::RemoveValidator("zj-bureau".into())];
            c.run("pboc/admin", propose(changes))
        },
        &["rejected VALIDATOR_UNKNOWN zj-bureau"],
    ),
    row(
        "a member rotates its own validator's key",
        |c| c.run("sh-bureau/admin", rotate("validator-2")),
        &["validator sh-bureau +"],
    ),
    row(
        "or moves it with the key that it has",
        |c| c.run("sh-bureau/admin", rotate("validator")),
        &["validator sh-bureau +"],
    ),
    row(
        "a key that was rotated in has to stay for a while",
        |c| rotated_twice(c, 4, 3),
        &["rejected ROTATION_TOO_SOON 5"],
    ),
    row(
        "but can be moved meanwhile",
        |c| {
            done(c, "sh-bureau/admin", rotate("validator-2"));
            c.run("sh-bureau/admin", rotate("validator-2"))
        },
        &["validator sh-bureau +"],
    ),
    row(
        "once it has stayed, it is rotated again",
        |c| rotated_twice(c, 4, 4),
        &["validator sh-bureau +"],
    ),
    row(
        "at once, where the consortium sets no time",
        |c| rotated_twice(c, 0, 1),
        &["validator sh-bureau +"],
    ),
    row(
        "who runs none rotates nothing",
        |c| c.run("zj-bureau/admin", rotate("validator-2")),
        &["rejected VALIDATOR_UNKNOWN zj-bureau"],
    ),
    row(
        "with its admin key",
        |c| c.run("sh-bureau/holder", rotate("validator-2")),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a frozen member rotates nothing",
        |c| {
            done(c, "pboc/admin", freeze("sh-bureau"));
            c.run("sh-bureau/admin", rotate("validator-2"))
        },
        &["rejected MEMBER_FROZEN sh-bureau"],
    ),
    row(
        "a key that was rotated away does not come back",
        |c| {
            *c = keys_stay(0);
            done(c, "sh-bureau/admin", rotate("validator-2"));
            c.run("sh-bureau/admin", rotate("validator"))
        },
        &["rejected KEY_EXISTS"],
    ),
    row(
        "nor at another member",
        |c| {
            done(c, "sh-bureau/admin", rotate("validator-2"));
            let stolen = Kind::SetValidator(validator("zj-bureau", "validator"));
            let changes = vec![Kind::RemoveValidator("sh-bureau".into()), stolen];
            c.run("pboc/admin", propose(changes))
        },
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a member's key becomes no validator's",
        |c| c.run("sh-bureau/admin", rotate("sh-bureau/holder")),
        &["rejected KEY_EXISTS"],
    ),
    row(
        "a validator's key becomes no member's",
        |c| {
            let key = wire::MemberKey {
                public_key: secret("validator").public().to_sec1().to_vec(),
                role: wire::KeyRole::Admin.into(),
            };
            c.run(
                "sh-bureau/admin",
                Action::AddKey(wire::AddKey { key: Some(key) }),
            )
        },
        &["rejected KEY_EXISTS"],
    ),
    row(
        "nor a subject's",
        |c| {
            let key = secret("validator");
            c.run("sh-bureau/admin", bind_subject_key(2, key.public()))
        },
        &["rejected KEY_EXISTS"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}
