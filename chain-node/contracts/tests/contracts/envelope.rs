//! What every transaction must be before its action counts: of this chain, in time, new, signed.

use xinqiao_contracts::{
    BlockContext, Candidate, NotAdmitted, StateFault, StateRead, admit, execute_block,
    state::Pairs, testing::*,
};
use xinqiao_ledger::{
    ids::ChainId,
    member::MemberKey,
    outcome::Reason,
    tx::Tx,
    wire::{self, tx_body::Action},
};

use crate::check::{Row, assert_rejections_untouched, at_work, check, done, freeze, row, tell};

fn other_chain() -> ChainId {
    ChainId(xinqiao_crypto::sm3(b"another chain"))
}

/// The same transaction with another signature of the right form.
fn forged(tx: &Tx) -> Tx {
    let mut encoded = tx.encoded().to_vec();
    *encoded.last_mut().unwrap() ^= 1;
    Tx::parse(&encoded).unwrap()
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a transaction for another chain",
        |c| {
            let tx = c.sign_for(&other_chain(), "js-bank/admin", open_user(2), 100);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["rejected CHAIN_ID_MISMATCH"],
    ),
    row(
        "a signer that nobody knows",
        |c| c.run("stranger", open_user(2)),
        &["rejected SIGNER_UNKNOWN"],
    ),
    row(
        "a signature that is not the signer's",
        |c| {
            let tx = c.sign("js-bank/admin", open_user(2));
            c.block(vec![forged(&tx)]).outcomes.remove(1)
        },
        &["rejected SIGNATURE_INVALID"],
    ),
    row(
        "the last height at which it may be ordered",
        |c| {
            let tx = c.sign_until("js-bank/admin", open_user(2), c.height + 1);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["credential js-bank +"],
    ),
    row(
        "a height later",
        |c| {
            let tx = c.sign_until("js-bank/admin", open_user(2), c.height);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["rejected TX_EXPIRED"],
    ),
    row(
        "as far ahead as it may expire",
        |c| {
            let tx = c.sign_until("js-bank/admin", open_user(2), c.height + 1_000);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["credential js-bank +"],
    ),
    row(
        "further ahead",
        |c| {
            let tx = c.sign_until("js-bank/admin", open_user(2), c.height + 1_001);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["rejected TX_EXPIRY_TOO_FAR"],
    ),
    row(
        "the same transaction in a later block",
        |c| {
            let tx = c.sign("js-bank/admin", open_user(2));
            let _ = c.block(vec![tx.clone()]);
            c.block(vec![tx]).outcomes.remove(1)
        },
        &["rejected TX_REPLAYED"],
    ),
    row(
        "the same transaction twice in a block",
        |c| {
            let tx = c.sign("js-bank/admin", open_user(2));
            c.block(vec![tx.clone(), tx]).outcomes.remove(2)
        },
        &["rejected TX_REPLAYED"],
    ),
    row(
        "a rejected transaction, when it would no longer be rejected",
        |c| {
            let early = c.sign("sh-bureau/admin", activate_source("sh-new"));
            let _ = c.block(vec![early.clone()]);
            let new = register_source("sh-new", "sh-bureau", &["tax"]);
            done(c, "sh-bureau/admin", new);
            c.block(vec![early]).outcomes.remove(1)
        },
        &["rejected TX_REPLAYED"],
    ),
    row(
        "a forged copy does not keep the true transaction out",
        |c| {
            let tx = c.sign("js-bank/admin", open_user(2));
            c.block(vec![forged(&tx), tx]).outcomes.remove(2)
        },
        &["credential js-bank +"],
    ),
    row(
        "two equal wishes are two transactions",
        |c| {
            let first = c.sign("js-bank/admin", open_user(2));
            let second = c.sign("js-bank/admin", open_user(2));
            c.block(vec![first, second]).outcomes.remove(2)
        },
        &["rejected USER_EXISTS"],
    ),
];

#[test]
fn each_row_comes_to_what_it_says() {
    for row in ROWS {
        check(row);
    }
}

#[test]
fn ids_are_forgotten_once_expiry_refuses_them() {
    let mut chain = at_work();
    let tx = chain.sign_until("js-bank/admin", open_user(2), chain.height + 3);
    let before = ordered_ids(&chain);
    let _ = chain.block(vec![tx.clone()]);
    assert_eq!(ordered_ids(&chain), before + 1);
    for _ in 0..2 {
        let outcome = chain.block(vec![tx.clone()]).outcomes.remove(1);
        assert_eq!(tell(&outcome), ["rejected TX_REPLAYED"]);
    }
    let outcome = chain.block(vec![tx]).outcomes.remove(1);
    assert_eq!(tell(&outcome), ["rejected TX_EXPIRED"]);
    assert_eq!(ordered_ids(&chain), before);
}

fn ordered_ids(chain: &Consortium) -> usize {
    chain.state.keys().filter(|key| key[0] == 0x31).count()
}

#[test]
fn a_forgery_leaves_nothing_behind() {
    let mut chain = at_work();
    let tx = chain.sign("js-bank/admin", open_user(2));
    let ids = ordered_ids(&chain);
    // Too soon after the block before to note where deadlines are looked for from.
    let _ = chain.block_at(chain.time + 1, vec![forged(&tx)]);
    assert!(chain.writes.is_empty());
    assert_eq!(ordered_ids(&chain), ids);
}

#[test]
fn the_mempool_hears_what_the_contract_would_say() {
    let mut chain = at_work();
    done(&mut chain, "pboc/admin", freeze("zj-bank"));
    let good = chain.sign("js-bank/admin", open_user(2));
    let foreign = chain.sign_for(&other_chain(), "js-bank/admin", open_user(2), 100);
    let stranger = chain.sign("stranger", open_user(2));
    let late = chain.sign_until("js-bank/admin", open_user(2), 1);
    let far = chain.sign_until("js-bank/admin", open_user(2), 1_000_000);
    let frozen = chain.sign("zj-bank/admin", open_user(2));
    let ordered = chain.sign("js-bank/admin", open_user(3));
    let _ = chain.block(vec![ordered.clone()]);
    let admitted = |tx: &Tx| admit(&chain.state, &chain.next(), tx);
    assert_eq!(
        admitted(&good),
        Ok(secret("js-bank/admin").public().to_sec1())
    );
    for (tx, reason) in [
        (&foreign, Reason::ChainIdMismatch),
        (&stranger, Reason::SignerUnknown),
        (&late, Reason::TxExpired),
        (&far, Reason::TxExpiryTooFar),
        (&frozen, Reason::MemberFrozen),
        (&ordered, Reason::TxReplayed),
    ] {
        assert_eq!(admitted(tx), Err(NotAdmitted::Refused(reason)));
    }
    // A signature is not looked at here: the caller checks it with the key that it is given.
    assert!(admitted(&forged(&good)).is_ok());
}

#[test]
fn a_token_key_signs_nothing() {
    // No SM2 key has the id of a token key, so one cannot even name it; the rule holds for a
    // transaction that does.
    let mut chain = at_work();
    let mut point = [7; 65];
    point[0] = 4;
    let token = MemberKey::Token(point);
    let key = Action::AddKey(wire::AddKey {
        key: Some((&token).into()),
    });
    done(&mut chain, "js-bank/admin", key);
    let tx = chain.sign("js-bank/admin", open_user(2));
    let mut encoded = tx.encoded().to_vec();
    let signer = key_id("js-bank/admin");
    let at = encoded
        .windows(32)
        .position(|window| window == signer.as_bytes())
        .unwrap();
    encoded[at..at + 32].copy_from_slice(token.id().as_bytes());
    let tx = Tx::parse(&encoded).unwrap();
    let outcome = chain.block(vec![tx]).outcomes.remove(1);
    assert_eq!(tell(&outcome), ["rejected ROLE_DENIED"]);
    assert_rejections_untouched(&chain, "token key");
}

/// A store that fails.
struct Broken;

impl StateRead for Broken {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Err(StateFault("disk".into()))
    }
    fn scan(&self, _: &[u8], _: &[u8], _: usize) -> Result<Pairs, StateFault> {
        Err(StateFault("disk".into()))
    }
    fn scan_back(&self, _: &[u8], _: &[u8], _: usize) -> Result<Pairs, StateFault> {
        Err(StateFault("disk".into()))
    }
}

#[test]
fn a_failing_store_stops_the_node_and_is_no_rejection() {
    let mut chain = at_work();
    let tx = chain.sign("js-bank/admin", open_user(2));
    let context = chain.next();
    let fault = StateFault("disk".into());
    assert_eq!(
        admit(&Broken, &context, &tx),
        Err(NotAdmitted::Fault(fault.clone()))
    );
    let verifier = PlainVerifier::default();
    let txs = vec![Candidate::Unverified(tx)];
    assert_eq!(execute_block(&Broken, &context, txs, &verifier), Err(fault));
}

#[test]
fn a_state_that_no_contract_wrote_stops_the_node() {
    let mut chain = at_work();
    let tx = chain.sign("js-bank/admin", open_user(2));
    let context: BlockContext = chain.next();
    for value in chain.state.values_mut() {
        value.push(0);
    }
    let txs = vec![Candidate::Unverified(tx)];
    assert!(execute_block(&chain.state, &context, txs, &PlainVerifier::default()).is_err());
}

#[test]
fn a_proof_of_verification_is_not_asked_for_twice() {
    let mut chain = at_work();
    let tx = chain.sign("js-bank/admin", open_user(2));
    let key = *secret("js-bank/admin").public();
    let verified = tx
        .verify_once(&key, &chain.genesis.distinguishing_id)
        .unwrap();
    // A verifier under another distinguishing id would refuse it.
    let other = PlainVerifier(xinqiao_crypto::DistinguishingId::new(*b"another").unwrap());
    let txs = vec![Candidate::Verified(verified)];
    let executed = execute_block(&chain.state, &chain.next(), txs, &other).unwrap();
    assert_eq!(tell(&executed.outcomes[1]), ["credential js-bank +"]);
}
