//! Golden bytes: what nodes must agree on does not change by accident.

use xinqiao_contracts::{Writes, genesis_writes, state_commitment, testing::*};
use xinqiao_crypto::{Digest, sm3};
use xinqiao_ledger::{
    ids::TxId,
    member::MemberKind,
    tx::Tx,
    wire::{self, change::Kind, tx_body::Action},
};

use crate::{
    check::{at_work, deliver, done, enacted, grant_by_witness, place, reject, revoke},
    objections,
};

#[test]
fn the_state_commitment_is_over_these_bytes() {
    let mut writes = Writes::new();
    writes.insert(b"a".to_vec(), Some(b"xy".to_vec()));
    writes.insert(b"b".to_vec(), None);
    let parent = sm3(b"parent");
    let mut bytes = b"xinqiao/state/v1".to_vec();
    bytes.extend_from_slice(parent.as_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 7]);
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2]);
    bytes.extend_from_slice(&[0, 0, 0, 1, b'a', 1, 0, 0, 0, 2, b'x', b'y']);
    bytes.extend_from_slice(&[0, 0, 0, 1, b'b', 0]);
    assert_eq!(state_commitment(&parent, 7, &writes), sm3(&bytes));
    assert_eq!(
        state_commitment(&parent, 7, &writes).to_string(),
        "12e407c1a1ab0b46b6605e2d4b9ccb9c33ae0d8727d1cc6788b0d9316006beab"
    );
}

#[test]
fn each_part_of_the_commitment_counts() {
    let mut writes = Writes::new();
    writes.insert(b"ab".to_vec(), Some(b"c".to_vec()));
    let of = |parent: Digest, height, writes: &Writes| state_commitment(&parent, height, writes);
    let base = of(Digest::ZERO, 1, &writes);
    let mut moved = Writes::new();
    moved.insert(b"a".to_vec(), Some(b"bc".to_vec()));
    let mut deleted = Writes::new();
    deleted.insert(b"ab".to_vec(), None);
    let mut emptied = Writes::new();
    emptied.insert(b"ab".to_vec(), Some(Vec::new()));
    let others = [
        of(sm3(b"other"), 1, &writes),
        of(Digest::ZERO, 2, &writes),
        of(Digest::ZERO, 1, &moved),
        of(Digest::ZERO, 1, &deleted),
        of(Digest::ZERO, 1, &emptied),
        of(Digest::ZERO, 1, &Writes::new()),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, base, "{index}");
        assert!(!others[..index].contains(other), "{index}");
    }
}

#[test]
fn a_genesis_writes_these_bytes() {
    let chain = Consortium::new();
    let writes = genesis_writes(&chain.genesis);
    assert_eq!(
        state_commitment(&chain.chain.0, 0, &writes).to_string(),
        "9d9d214e4c36611fdb23393380b95fe30583f595e78ed8ba413f0144e20f6846"
    );
    assert_eq!(
        chain.commitment,
        state_commitment(&chain.chain.0, 0, &writes)
    );
}

/// A block in which something of everything happens; its outcomes, encoded, one after the other.
fn script() -> (Consortium, Vec<Vec<u8>>) {
    let mut chain = at_work();
    let grant = grant_by_witness(&mut chain);
    let grant_id = grant.meta().id;
    let placed = chain.sign("js-bank/agent", place(order(&grant_id)));
    let order_id: TxId = placed.meta().id;
    let mut wrong = order(&grant_id);
    wrong.purpose = "spying".into();
    let txs: Vec<Tx> = vec![
        grant,
        placed,
        chain.sign("js-bank/agent", place(wrong)),
        chain.sign("subject-1", objections::tax()),
        chain.sign("sh-bureau/holder", deliver(&order_id, 0)),
        chain.sign("subject-1", revoke(&grant_id)),
        chain.sign("zj-bureau/holder", deliver(&order_id, 1)),
        chain.sign("zj-bureau/holder", reject(&order_id, 1)),
        chain.sign(
            "sh-bureau/holder",
            register_digests("sh-tax", &["tax"], &[1, 3], 20_001),
        ),
        chain.sign("js-bank/admin", open_user(2)),
    ];
    let encoded = chain.block(txs).encoded;
    (chain, encoded)
}

#[test]
fn a_scripted_block_comes_to_these_bytes() {
    let (chain, encoded) = script();
    let lines: Vec<String> = encoded.iter().map(hex::encode).collect();
    let golden = include_str!("golden/outcomes.hex");
    assert_eq!(lines.join("\n"), golden.trim(), "outcomes");
    assert_eq!(
        chain.commitment.to_string(),
        "f3a5504c561331b31f937e9aea7a96c236c74be67992f4bc27c1346ed7bb68dc"
    );
}

#[test]
fn a_suspended_source_is_stored_with_who_suspended_it() {
    use xinqiao_contracts::record::{SourceState, SuspendedBy};
    let regulator = || "pboc".parse().unwrap();
    for (state, bytes) in [
        (SourceState::Registered, "00"),
        (SourceState::Active, "01"),
        (SourceState::Suspended(SuspendedBy::Operator), "0200"),
        (
            SourceState::Suspended(SuspendedBy::Regulator(regulator())),
            "02010400000070626f63",
        ),
        (
            SourceState::Suspended(SuspendedBy::Both(regulator())),
            "02020400000070626f63",
        ),
        (SourceState::Retired, "03"),
    ] {
        let encoded = hex::encode(borsh::to_vec(&state).unwrap());
        assert_eq!(encoded, bytes, "{state:?}");
    }
}

/// One of every change, voted for, and one contradiction.
fn vote_on_everything() -> Consortium {
    let mut chain = at_work();
    let bureau = member("nj-bureau", MemberKind::Bureau, "32", None);
    let orgs = ["js-bureau", "pboc", "zj-bureau"];
    let mut changes: Vec<Kind> = orgs
        .map(|org| Kind::SetValidator(validator(org, &format!("{org}/validator"))))
        .to_vec();
    changes.extend([
        Kind::SetEngine(wire::ConsensusEngine::Bft.into()),
        Kind::AdmitMember((&bureau).into()),
        Kind::SuspendMember("zj-bank".into()),
        Kind::ExpelMember("cn-mediation".into()),
        Kind::SetParameters((&chain.parameters()).into()),
        Kind::PublishCatalogue((&catalogue(2)).into()),
        Kind::SetWeight(wire::VotingWeight {
            org: "pboc".into(),
            weight: 2,
        }),
    ]);
    enacted(&mut chain, changes);
    let back = vec![
        Kind::ReinstateMember("zj-bank".into()),
        Kind::RemoveValidator("pboc".into()),
        Kind::SetEngine(wire::ConsensusEngine::Raft.into()),
    ];
    enacted(&mut chain, back);
    let evidence = precommits(&chain.chain, "validator", 3);
    let report = wire::ReportEquivocation {
        evidence: Some((&evidence).into()),
    };
    done(
        &mut chain,
        "js-bank/agent",
        Action::ReportEquivocation(report),
    );
    let refused = done(
        &mut chain,
        "pboc/admin",
        propose(vec![Kind::SuspendMember("js-bank".into())]),
    );
    for org in ["sh-bureau", "js-bureau"] {
        done(&mut chain, &format!("{org}/admin"), vote(&refused, false));
    }
    chain
}

#[test]
fn a_story_of_votes_comes_to_this_state() {
    let chain = vote_on_everything();
    assert_eq!(
        chain.commitment.to_string(),
        "555db6bc3707c3402f219ab9959725de95b56718d55783d4dfb8aff033ae8138"
    );
    assert_eq!(vote_on_everything().state, chain.state);
}

#[test]
fn the_same_blocks_come_to_the_same_bytes() {
    let (first, one) = script();
    let (second, two) = script();
    assert_eq!(one, two);
    assert_eq!(first.commitment, second.commitment);
    assert_eq!(first.state, second.state);
}
