//! Golden bytes of everything that is hashed or signed: when one of these changes, old signatures,
//! hashes and files stop being valid, so it may only change together with a version.
//!
//! `golden.txt` has one `name = hex` a line. `XINQIAO_BLESS=1` writes it anew; read the difference
//! before committing it.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use prost::Message;
use xinqiao_crypto::{DistinguishingId, Domain, KeyId, Signature, signing_message, sm3};
use xinqiao_ledger::{
    action::Action,
    block::{Certificate, Header, outcome_root, tx_root},
    catalogue::Catalogue,
    checkpoint::{Checkpoint, Cutter},
    consent::ConsentTerms,
    genesis::{Genesis, Parameters},
    governance::Proposal,
    ids::{ChainId, HeaderHash, Subject, TxId},
    item::{DigestedReport, PseudonymKey, SaltKey, leaf},
    member::{Member, MemberKey},
    order::{OrderPart, PlaceOrder},
    outcome::{Event, Outcome, Reason},
    source::DataSource,
    tx::{Tx, id_of},
    uscc::Uscc,
    validators::{Engine, Validator, ValidatorSet},
    vote::{Equivocation, commit_message},
    wire,
};

use crate::samples::{
    actions, body, bytes, catalogue, delivery, digest, digests, equivocation, member, order,
    proposal, public, secret, source, terms,
};

pub(crate) fn header() -> Header {
    Header {
        chain: ChainId(digest("chain")),
        height: 300,
        parent: HeaderHash(digest("parent")),
        time: 1_790_000_000_000,
        tx_count: 2,
        tx_root: digest("transactions"),
        outcome_root: digest("outcomes"),
        state_commitment: digest("state"),
        history_root: digest("history"),
        validator_set: validators().hash(),
        next_validators: validators().hash(),
        checkpoint: None,
        proposer: secret(1).public().id(),
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        height: 300,
        header: header().hash(),
        pairs: 2,
        root: digest("chunks"),
    }
}

pub(crate) fn validators() -> ValidatorSet {
    let keys = (1..=4).map(|number| *secret(number).public());
    ValidatorSet::new(Engine::Bft, keys, DistinguishingId::default()).unwrap()
}

/// Signed by fixed numbers, not by keys: a signature depends on the generator's version.
pub(crate) fn certificate() -> Certificate {
    let mut signers: Vec<KeyId> = (1..=3).map(|number| secret(number).public().id()).collect();
    signers.sort();
    Certificate {
        height: 300,
        round: 0,
        header: header().hash(),
        signatures: signers
            .into_iter()
            .zip(1..)
            .map(|(signer, byte)| (signer, Signature::try_from(&[byte; 64][..]).unwrap()))
            .collect(),
    }
}

pub(crate) fn genesis() -> Genesis {
    let bureau = Member::try_from(&wire::Member {
        org: "sh-bureau".into(),
        kind: wire::MemberKind::Bureau.into(),
        home: String::new(),
        keys: vec![wire::MemberKey {
            public_key: public(31),
            role: wire::KeyRole::Admin.into(),
        }],
        certificates: vec![bytes("certificate 3")],
        ..member()
    })
    .unwrap();
    Genesis {
        name: "长三角征信链（示例）".into(),
        engine: Engine::Solo,
        time: 1_780_000_000_000,
        distinguishing_id: DistinguishingId::default(),
        validators: vec![Validator {
            org: "sh-bureau".parse().unwrap(),
            key: *secret(1).public(),
            endpoint: "https://node.sh.example:7000".parse().unwrap(),
        }],
        members: vec![Member::try_from(&member()).unwrap(), bureau],
        catalogue: Catalogue::try_from(&catalogue()).unwrap(),
        authorities: vec![vec![0x30, 0x03, 1, 2, 3]],
        parameters: Parameters::default(),
    }
}

/// One of every event.
pub(crate) fn events() -> Vec<(&'static str, Event)> {
    #[rustfmt::skip]
    let events = vec![
        ("member_changed", Event::MemberChanged(wire::MemberChanged {
            org: "js-bank".into(),
            status: wire::MemberStatus::Frozen.into(),
        })),
        ("credential_changed", Event::CredentialChanged(wire::CredentialChanged {
            org: "js-bank".into(),
            credential: bytes("key"),
            valid: true,
        })),
        ("catalogue_published", Event::CataloguePublished(wire::CataloguePublished { version: 2 })),
        ("source_changed", Event::SourceChanged(wire::SourceChanged {
            source: "sh-tax".into(),
            status: wire::SourceStatus::Active.into(),
        })),
        ("digests_changed", Event::DigestsChanged(wire::DigestsChanged {
            source: "sh-tax".into(),
            registered: 1,
            superseded: 2,
            withdrawn: 3,
        })),
        ("consent_changed", Event::ConsentChanged(wire::ConsentChanged {
            grant: bytes("grant"),
            status: wire::ConsentStatus::Revoked.into(),
        })),
        ("order_placed", Event::OrderPlaced(wire::OrderPlaced {
            order: bytes("order"),
            parts: vec![(&part()).into()],
            missing_items: vec!["customs_record".into()],
            deadline_ms: 1_790_000_030_000,
            seal_scheme: wire::SealScheme::MlsSm4Gcm.into(),
        })),
        ("attempt_refused", Event::AttemptRefused(wire::AttemptRefused {
            reason: Reason::ConsentRevoked.code().into(),
            subject: "tax_payment".into(),
        })),
        ("part_changed", Event::PartChanged(wire::PartChanged {
            order: bytes("order"),
            part: 1,
            status: wire::PartStatus::Mismatched.into(),
            reason: "ITEM_MISMATCH".into(),
            objections: vec![],
        })),
        ("part_delivered", Event::PartChanged(wire::PartChanged {
            order: bytes("order"),
            part: 1,
            status: wire::PartStatus::Delivered.into(),
            reason: String::new(),
            objections: vec![wire::ObjectionMark {
                item: "tax_payment".into(),
                objection: bytes("objection"),
                filed_at_ms: 1_790_000_000_000,
                unresolved: true,
            }],
        })),
        ("dispute_changed", Event::DisputeChanged(wire::DisputeChanged {
            order: bytes("order"),
            settled: true,
        })),
        ("subject_key_bound", Event::SubjectKeyBound(wire::SubjectKeyBound {
            subject: bytes("subject"),
            key_id: bytes("key"),
        })),
        ("proposal_changed", Event::ProposalChanged(wire::ProposalChanged {
            proposal: bytes("proposal"),
            status: wire::ProposalStatus::Failed.into(),
            effective_height: 1_000,
            reason: Reason::ValidatorCount.code().into(),
            subject: "2".into(),
        })),
        ("vote_cast", Event::VoteCast(wire::VoteCast {
            proposal: bytes("proposal"),
            org: "sh-bureau".into(),
            approve: true,
        })),
        ("validator_changed", Event::ValidatorChanged(wire::ValidatorChanged {
            org: "sh-bureau".into(),
            key_id: bytes("key"),
        })),
        ("engine_changed", Event::EngineChanged(wire::EngineChanged {
            engine: wire::ConsensusEngine::Bft.into(),
        })),
        ("parameters_changed", Event::ParametersChanged(wire::ParametersChanged {})),
        ("weight_changed", Event::WeightChanged(wire::WeightChanged {
            org: "sh-bureau".into(),
            weight: 3,
        })),
        ("misbehaviour_recorded", Event::MisbehaviourRecorded(wire::MisbehaviourRecorded {
            validator: bytes("validator"),
            org: "sh-bureau".into(),
            height: 300,
            reporter: "js-bureau".into(),
        })),
        ("seal_scheme_changed", Event::SealSchemeChanged(wire::SealSchemeChanged {
            org: "js-bank".into(),
            seal_scheme: wire::SealScheme::MlsSm4Gcm.into(),
        })),
        ("objection_changed", Event::ObjectionChanged(wire::ObjectionChanged {
            objection: bytes("objection"),
            status: wire::ObjectionStatus::Filed.into(),
            source: "sh-tax".into(),
            overdue: true,
        })),
    ];
    events
}

fn part() -> OrderPart {
    OrderPart {
        source: "sh-tax".parse().unwrap(),
        items: vec![
            "registration".parse().unwrap(),
            "tax_payment".parse().unwrap(),
        ],
        registered_root: digest("root of subject"),
        digest_version: 2,
        as_of_day: 20_000,
        registered_at: 17,
    }
}

fn report() -> (DigestedReport, Vec<(&'static str, Vec<u8>)>) {
    let key = SaltKey::from([8; 32]);
    let subject = Subject(digest("subject"));
    let registration = "registration".parse().unwrap();
    let tax = "tax_payment".parse().unwrap();
    let (one, two) = (
        br#"{"name":"x"}"#.as_slice(),
        br#"{"year":2025}"#.as_slice(),
    );
    let report = DigestedReport::new(&key, &subject, [(&tax, two), (&registration, one)]).unwrap();
    let salt = key.salt(&subject, &registration, one);
    let parts = vec![
        ("item salt", salt.as_bytes().to_vec()),
        (
            "item leaf",
            leaf(&registration, &salt, one).as_bytes().to_vec(),
        ),
        ("report root", report.root().as_bytes().to_vec()),
    ];
    (report, parts)
}

fn borsh<T: borsh::BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).unwrap()
}

/// Everything hashed or signed, by name.
fn goldens() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, bytes: Vec<u8>| {
        assert!(all.insert(name.to_owned(), bytes).is_none(), "{name} twice");
    };
    let chain = ChainId(digest("chain"));
    let signer = secret(21).public().id();
    let mut txs = vec![];
    for (name, action) in actions() {
        let body = body(action.clone()).encode_to_vec();
        put(&format!("body {name}"), body.clone());
        put(
            &format!("tx id {name}"),
            id_of(&chain, &signer, &body).to_vec(),
        );
        put(
            &format!("action borsh {name}"),
            borsh(&Action::try_from(&action).unwrap()),
        );
        let signed = signing_message(Domain::Transaction, chain.as_bytes(), &body);
        put(&format!("signed {name}"), sm3(&signed).as_bytes().to_vec());
        let encoded = wire::Transaction {
            body,
            signer: signer.as_bytes().to_vec(),
            signature: vec![7; 64],
        }
        .encode_to_vec();
        txs.push(Tx::parse(&encoded).unwrap());
    }
    let naming = Header {
        checkpoint: Some(checkpoint().digest()),
        ..header()
    };
    put("header that names a checkpoint", naming.encode());
    put("checkpoint", checkpoint().digest().as_bytes().to_vec());
    let mut cutter = Cutter::default();
    assert_eq!(cutter.push(b"key", b"value"), None);
    assert_eq!(cutter.push(b"longer key", b""), None);
    put("chunk", cutter.finish().unwrap());
    put("transaction open_user", {
        let at = actions().iter().position(|(name, _)| *name == "open_user");
        txs[at.unwrap()].encoded().to_vec()
    });
    put(
        "tx root of one of every action",
        tx_root(&txs).as_bytes().to_vec(),
    );
    put("tx root of none", tx_root(&[]).as_bytes().to_vec());

    let id = TxId(digest("tx"));
    let mut outcomes = vec![Outcome::Applied(vec![]).encode(None)];
    for (name, event) in events() {
        let encoded = Outcome::Applied(vec![event]).encode(Some(&id));
        put(&format!("outcome {name}"), encoded.clone());
        outcomes.push(encoded);
    }
    for reason in Reason::ALL {
        let outcome = Outcome::Rejected {
            reason: *reason,
            subject: "x".into(),
        };
        put(
            &format!("rejected {}", reason.code()),
            outcome.encode(Some(&id)),
        );
    }
    put(
        "outcome root of one of every event",
        outcome_root(&outcomes).as_bytes().to_vec(),
    );

    let header = header();
    put("header", header.encode());
    put("header hash", header.hash().to_vec());
    put(
        "vote",
        commit_message(&header.chain, header.height, 0, &header.hash()),
    );
    put(
        "validator set hash",
        validators().hash().as_bytes().to_vec(),
    );
    put(
        "certificate",
        wire::Certificate::from(&certificate()).encode_to_vec(),
    );

    let genesis = genesis();
    genesis.check().unwrap();
    put("genesis borsh", borsh(&genesis));
    put("chain id", genesis.chain_id().to_vec());

    let member = Member::try_from(&member()).unwrap();
    put("member borsh", borsh(&member));
    for key in &member.keys {
        put(
            &format!("key id {:?}", key.role()),
            key.id().as_bytes().to_vec(),
        );
    }
    put("catalogue borsh", borsh(&genesis.catalogue));
    put(
        "source borsh",
        borsh(&DataSource::try_from(&source()).unwrap()),
    );
    put(
        "terms borsh",
        borsh(&ConsentTerms::try_from(&terms()).unwrap()),
    );
    put(
        "order borsh",
        borsh(&PlaceOrder::try_from(&order()).unwrap()),
    );
    put("part borsh", borsh(&part()));

    let uscc: Uscc = "91350100M000100Y43".parse().unwrap();
    put(
        "subject",
        PseudonymKey::from([5; 32]).subject(&uscc).to_vec(),
    );
    for (name, bytes) in report().1 {
        put(name, bytes);
    }
    let bundle = wire::EvidenceBundle {
        version: 1,
        chain_id: bytes("chain"),
        order: bytes("order"),
        receipts: vec![],
        tip_header: header.encode(),
        tip_certificate: Some((&certificate()).into()),
        blocks: vec![],
        handovers: vec![],
    };
    put("evidence file", xinqiao_ledger::evidence::encode(&bundle));
    all
}

#[test]
fn everything_hashed_or_signed_keeps_its_golden_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden.txt");
    let mut text = String::new();
    for (name, bytes) in goldens() {
        writeln!(text, "{name} = {}", hex::encode(bytes)).unwrap();
    }
    if std::env::var_os("XINQIAO_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, (now, was)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, was, "line {}", line + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

/// What the golden file says, written out by hand from the contract, for some that matter most.
#[test]
fn golden_bytes_are_those_that_the_contract_describes() {
    let all = goldens();
    let chain = digest("chain");
    // version = 1, chain_id, nonce, expires_at_height = 300, open_user { user }.
    let user = digest("user");
    let wanted =
        format!("08011220{chain}1a10000102030405060708090a0b0c0d0e0f20ac029201220a20{user}");
    assert_eq!(hex::encode(&all["body open_user"]), wanted);

    let signer = secret(21).public().id();
    let tagged = [
        b"xinqiao/tx-id/v1".as_slice(),
        chain.as_bytes(),
        signer.as_bytes(),
        &all["body open_user"],
    ]
    .concat();
    assert_eq!(all["tx id open_user"], sm3(&tagged).as_bytes());

    let signed = [
        b"xinqiao/tx/v1\0\0\0\0\x20".as_slice(),
        chain.as_bytes(),
        &all["body open_user"],
    ]
    .concat();
    assert_eq!(all["signed open_user"], sm3(&signed).as_bytes());

    assert_eq!(all["header hash"], sm3(&all["header"]).as_bytes());
    let vote = [
        b"xinqiao/vote/v1\0\0\x20".as_slice(),
        chain.as_bytes(),
        // A precommit at height 300 in round 0, for a header.
        &[3],
        &300_u64.to_be_bytes(),
        &0_u32.to_be_bytes(),
        &[1],
        &all["header hash"],
    ]
    .concat();
    assert_eq!(all["vote"], vote);

    let tagged = [b"xinqiao/genesis/v1".as_slice(), &all["genesis borsh"]].concat();
    assert_eq!(all["chain id"], sm3(&tagged).as_bytes());

    let canonical = br#"{"name":"x"}"#;
    let leaf = [
        b"\0\x0cregistration".as_slice(),
        &all["item salt"],
        sm3(canonical).as_bytes(),
    ]
    .concat();
    assert_eq!(all["item leaf"], sm3(&leaf).as_bytes());
}

#[test]
fn encodings_are_read_back_as_they_were() {
    assert_eq!(Header::parse(&header().encode()), Ok(header()));
    let naming = Header {
        checkpoint: Some(checkpoint().digest()),
        ..header()
    };
    assert_eq!(Header::parse(&naming.encode()), Ok(naming));
    let wire = wire::Certificate::from(&certificate());
    assert_eq!(Certificate::try_from(&wire), Ok(certificate()));
    let genesis = genesis();
    assert_eq!(
        borsh::from_slice::<Genesis>(&borsh(&genesis)).unwrap(),
        genesis
    );
    for (name, event) in events() {
        let outcome = Outcome::Applied(vec![event]);
        let id = TxId(digest("tx"));
        let back = Outcome::parse(&outcome.encode(Some(&id)));
        assert_eq!(back, Ok((Some(id), outcome)), "{name}");
    }
    for (name, action) in actions() {
        let action = Action::try_from(&action).unwrap();
        let back: Action = borsh::from_slice(&borsh(&action)).unwrap();
        assert_eq!(back, action, "{name}");
    }
    // Domain types that also go out on the wire.
    let member_in = Member::try_from(&member()).unwrap();
    assert_eq!(wire::Member::from(&member_in), member());
    let catalogue_in = Catalogue::try_from(&catalogue()).unwrap();
    assert_eq!(wire::Catalogue::from(&catalogue_in), catalogue());
    let source_in = DataSource::try_from(&source()).unwrap();
    assert_eq!(wire::DataSource::from(&source_in), source());
    let terms_in = ConsentTerms::try_from(&terms()).unwrap();
    assert_eq!(wire::ConsentTerms::from(&terms_in), terms());
    let order_in = PlaceOrder::try_from(&order()).unwrap();
    assert_eq!(wire::PlaceOrder::from(&order_in), order());
    let proposed = Proposal::try_from(&proposal()).unwrap();
    assert_eq!(wire::Propose::from(&proposed), proposal());
    let evidence = Equivocation::try_from(&equivocation()).unwrap();
    assert_eq!(wire::Equivocation::from(&evidence), equivocation());
    let part_out = wire::OrderPart::from(&part());
    assert_eq!(OrderPart::try_from(&part_out), Ok(part()));
    for key in &member_in.keys {
        let back = MemberKey::parse("key", &wire::MemberKey::from(key)).unwrap();
        assert_eq!(back, *key);
    }
    assert_eq!(delivery().items, digests().items);
}

#[test]
fn item_proofs_lead_to_the_report_root_and_no_other_item_does() {
    let (report, _) = report();
    let codes: Vec<_> = report.codes().to_vec();
    for code in &codes {
        let (salt, path) = report.proof(code).unwrap();
        let canonical = match code.as_str() {
            "registration" => br#"{"name":"x"}"#.as_slice(),
            _ => br#"{"year":2025}"#,
        };
        assert!(path.leads(leaf(code, &salt, canonical), report.root()));
        assert!(!path.leads(leaf(code, &salt, b"{}"), report.root()));
        let other = codes.iter().find(|other| *other != code).unwrap();
        assert!(!path.leads(leaf(other, &salt, canonical), report.root()));
    }
    assert_eq!(report.proof(&"customs_record".parse().unwrap()), None);
}
