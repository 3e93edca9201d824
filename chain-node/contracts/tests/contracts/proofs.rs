//! What nodes that prune must keep.

use xinqiao_contracts::{needed_for_proofs, testing::*};
use xinqiao_ledger::wire::tx_body::Action;

use crate::check::{cancel, done, granted, ordered, revoke};

#[test]
fn what_is_open_or_in_force_is_needed_and_what_ended_before_is_not() {
    let mut chain = Consortium::at_work();
    let long_ago = chain.time;
    let lapsed = granted(&mut chain, terms());
    let (_, ended) = ordered(&mut chain);
    done(&mut chain, "js-bank/agent", cancel(&ended));
    done(&mut chain, "sh-bureau/admin", revoke(&lapsed));
    let (live, open) = ordered(&mut chain);
    // A later registration takes the place of the one of subject 2; subject 1 has the first still.
    let first = chain.height;
    let again = register_digests("sh-tax", &["invoices", "tax"], &[2], 20_001);
    done(&mut chain, "sh-bureau/holder", again);
    let after = chain.time + 1;

    let needed = needed_for_proofs(&chain.state, after).unwrap();
    let has = |tx| needed.txs.contains(tx);
    assert!(has(&open) && has(&live), "what is open, and what lives");
    assert!(
        !has(&ended) && !has(&lapsed),
        "what has ended, and what was revoked"
    );
    assert!(
        needed.places.contains(&(first + 1, 0)),
        "the digest in force"
    );
    assert!(
        needed.blocks.contains(&0),
        "who is a member since the genesis"
    );

    // Asked to go back further, what ended is needed as well, with the grant that it rested on.
    let all = needed_for_proofs(&chain.state, long_ago).unwrap();
    assert!(all.txs.contains(&ended));
    assert!(needed.txs.is_subset(&all.txs) && needed.places.is_subset(&all.places));

    // A digest that is in force no more is needed by open orders alone.
    let before = chain.height;
    done(
        &mut chain,
        "sh-bureau/holder",
        withdraw_digests("sh-tax", &[2]),
    );
    let needed = needed_for_proofs(&chain.state, after).unwrap();
    assert!(!needed.places.contains(&(before, 0)));
}

#[test]
fn the_block_that_brought_a_key_or_a_member_is_needed_as_long_as_it_is_known() {
    let mut chain = Consortium::at_work();
    let key = secret("a new key");
    let before = chain.height;
    let bound: Action = bind_subject_key(7, key.public());
    done(&mut chain, "sh-bureau/admin", bound);
    let needed = needed_for_proofs(&chain.state, u64::MAX).unwrap();
    assert!(needed.blocks.contains(&(before + 1)));
    let id = xinqiao_ledger::ids::TxId(xinqiao_crypto::sm3(b"any"));
    assert!(needed.has(before + 1, 3, &id) && !needed.has(before + 2, 3, &id));
}
