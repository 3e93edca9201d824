//! How reports are sealed: who chooses it, from when on, and what a delivery must be.

use xinqiao_contracts::{query, testing::*};
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    ids::{OrderId, TxId},
    wire::{self, SealScheme, tx_body::Action},
};

use crate::check::{Row, at_work, check, confirm, deliver, done, freeze, ordered, row, tell};

const BANK: &str = "js-bank/admin";
const HOLDER: &str = "sh-bureau/holder";

fn choose(scheme: SealScheme) -> Action {
    Action::SetSealScheme(wire::SetSealScheme {
        seal_scheme: scheme.into(),
    })
}

fn epoch() -> wire::GroupEpoch {
    wire::GroupEpoch {
        generation: 7,
        epoch: 3,
        authenticator: sm3(b"authenticator").as_bytes().to_vec(),
    }
}

/// A delivery of part 0 for a delivery group.
fn in_group(order: &TxId) -> Action {
    Action::DeliverPart(wire::DeliverPart {
        seal_scheme: SealScheme::MlsSm4Gcm.into(),
        group_epoch: Some(epoch()),
        ..delivery(order, 0)
    })
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "an institution chooses how its reports are sealed",
        |c| c.run(BANK, choose(SealScheme::MlsSm4Gcm)),
        &["seal js-bank MLS_SM4_GCM"],
    ),
    row(
        "it may choose what is in force",
        |c| c.run(BANK, choose(SealScheme::Sm2Sm4Gcm)),
        &["seal js-bank SM2_SM4_GCM"],
    ),
    row(
        "an agent's key does not choose",
        |c| c.run("js-bank/agent", choose(SealScheme::MlsSm4Gcm)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a bureau receives no reports, and has nothing to choose",
        |c| c.run("sh-bureau/admin", choose(SealScheme::MlsSm4Gcm)),
        &["rejected ROLE_DENIED"],
    ),
    row(
        "a frozen institution chooses nothing",
        |c| {
            done(c, "pboc/admin", freeze("js-bank"));
            c.run(BANK, choose(SealScheme::MlsSm4Gcm))
        },
        &["rejected MEMBER_FROZEN js-bank"],
    ),
    row(
        "before the first choice a report goes in an envelope",
        |c| {
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "and for no group",
        |c| {
            let (_, order) = ordered(c);
            c.run(HOLDER, in_group(&order))
        },
        &["rejected DELIVERY_MISMATCH seal_scheme"],
    ),
    row(
        "after the choice it goes to the group",
        |c| {
            done(c, BANK, choose(SealScheme::MlsSm4Gcm));
            let (_, order) = ordered(c);
            c.run(HOLDER, in_group(&order))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "and in no envelope",
        |c| {
            done(c, BANK, choose(SealScheme::MlsSm4Gcm));
            let (_, order) = ordered(c);
            c.run(HOLDER, deliver(&order, 0))
        },
        &["rejected DELIVERY_MISMATCH seal_scheme"],
    ),
    row(
        "an order keeps what was in force when it was placed",
        |c| {
            let (_, order) = ordered(c);
            done(c, BANK, choose(SealScheme::MlsSm4Gcm));
            c.run(HOLDER, deliver(&order, 0))
        },
        &["part 0 DELIVERED"],
    ),
    row(
        "also on the way back",
        |c| {
            done(c, BANK, choose(SealScheme::MlsSm4Gcm));
            let (_, order) = ordered(c);
            done(c, BANK, choose(SealScheme::Sm2Sm4Gcm));
            c.run(HOLDER, in_group(&order))
        },
        &["part 0 DELIVERED"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn the_ledger_shows_what_was_chosen_ordered_and_delivered() {
    let mut chain = at_work();
    let scheme = |chain: &Consortium| {
        let bank = query::member(&chain.state, &"js-bank".parse().unwrap());
        wire::MemberState::from(&bank.unwrap().unwrap()).seal_scheme()
    };
    assert_eq!(scheme(&chain), SealScheme::Sm2Sm4Gcm);
    done(&mut chain, BANK, choose(SealScheme::MlsSm4Gcm));
    assert_eq!(scheme(&chain), SealScheme::MlsSm4Gcm);
    let (_, order) = ordered(&mut chain);
    done(&mut chain, HOLDER, in_group(&order));
    assert_eq!(
        tell(&chain.run("js-bank/agent", confirm(&order, 0))),
        ["part 0 CONFIRMED"]
    );
    let record = query::order(&chain.state, &OrderId(order.0)).unwrap();
    let state = wire::OrderState::from(&record.unwrap());
    assert_eq!(state.seal_scheme(), SealScheme::MlsSm4Gcm);
    assert_eq!(state.parts[0].group_epoch, Some(epoch()));
    assert_eq!(state.parts[1].group_epoch, None);
}
