//! Wrong headers, certificates and geneses name the field that is wrong.

use prost::Message;
use xinqiao_ledger::{
    block::{Certificate, Header},
    genesis::Genesis,
    malformed::Malformed,
    member::Member,
    validators::Engine,
    wire,
};

use crate::malformed::REQUIRED;

#[test]
fn wrong_headers_name_the_field() {
    type Change = fn(&mut wire::Header);
    #[rustfmt::skip]
    let rows: &[(Change, &str, &str)] = &[
        (|w| w.version = 0, "header.version", "FIELD_RANGE"),
        (|w| w.version = 2, "header.version", "FIELD_RANGE"),
        (|w| w.chain_id.clear(), "header.chain_id", REQUIRED),
        (|w| w.chain_id.push(0), "header.chain_id", "FIELD_LENGTH"),
        (|w| w.height = 0, "header.height", "FIELD_RANGE"),
        (|w| w.parent.clear(), "header.parent", REQUIRED),
        (|w| w.parent.push(0), "header.parent", "FIELD_LENGTH"),
        (|w| w.tx_count = 10_001, "header.tx_count", "FIELD_RANGE"),
        (|w| w.tx_root.push(0), "header.tx_root", "FIELD_LENGTH"),
        (|w| w.outcome_root.clear(), "header.outcome_root", REQUIRED),
        (|w| w.state_commitment.push(0), "header.state_commitment", "FIELD_LENGTH"),
        (|w| w.history_root.clear(), "header.history_root", REQUIRED),
        (|w| w.validator_set.push(0), "header.validator_set", "FIELD_LENGTH"),
        (|w| w.next_validators.clear(), "header.next_validators", REQUIRED),
        (|w| w.next_validators.push(0), "header.next_validators", "FIELD_LENGTH"),
        (|w| w.proposer.clear(), "header.proposer", REQUIRED),
        (|w| w.proposer.push(0), "header.proposer", "FIELD_LENGTH"),
        (|w| w.checkpoint.push(0), "header.checkpoint", "FIELD_LENGTH"),
        (|w| w.checkpoint = vec![0; 33], "header.checkpoint", "FIELD_LENGTH"),
    ];
    let good = crate::golden::header().encode();
    let decoded = wire::Header::decode(&good[..]).unwrap();
    for (change, field, code) in rows {
        let mut made = decoded.clone();
        change(&mut made);
        let fault = Header::parse(&made.encode_to_vec()).unwrap_err();
        assert_eq!(
            (fault.field.as_str(), fault.problem.code()),
            (*field, *code)
        );
    }
    let unknown_field = [good.as_slice(), &[0x78, 1]].concat();
    for (encoded, code) in [
        (&good[1..], "MESSAGE_MALFORMED"),
        (&unknown_field[..], "NOT_CANONICAL"),
    ] {
        assert_eq!(Header::parse(encoded).unwrap_err().problem.code(), code);
    }
}

#[test]
fn wrong_certificates_name_the_field() {
    type Change = fn(&mut wire::Certificate);
    #[rustfmt::skip]
    let rows: &[(Change, &str, &str)] = &[
        (|w| w.header_hash.clear(), "header_hash", REQUIRED),
        (|w| w.header_hash.push(0), "header_hash", "FIELD_LENGTH"),
        (|w| w.signatures.clear(), "signatures", REQUIRED),
        (|w| w.signatures = vec![w.signatures[0].clone(); 129], "signatures", "TOO_MANY_ITEMS"),
        (|w| w.signatures = vec![w.signatures[0].clone(); 2], "signatures", "DUPLICATE_ITEM"),
        (|w| w.signatures.reverse(), "signatures", "DUPLICATE_ITEM"),
        (|w| w.signatures[1].validator.clear(), "signatures[1].validator", REQUIRED),
        (|w| w.signatures[1].validator.push(0), "signatures[1].validator", "FIELD_LENGTH"),
        (|w| w.signatures[0].signature.clear(), "signatures[0].signature", REQUIRED),
        (|w| w.signatures[0].signature.push(0), "signatures[0].signature", "FIELD_LENGTH"),
        (|w| w.signatures[0].signature.fill(0), "signatures[0].signature", "FIELD_FORMAT"),
        (|w| w.signatures[0].signature.fill(0xff), "signatures[0].signature", "FIELD_FORMAT"),
    ];
    let good = wire::Certificate::from(&crate::golden::certificate());
    for (change, field, code) in rows {
        let mut made = good.clone();
        change(&mut made);
        let fault: Malformed = Certificate::try_from(&made).unwrap_err();
        assert_eq!(
            (fault.field.as_str(), fault.problem.code()),
            (*field, *code)
        );
    }
    assert_eq!(
        Certificate::try_from(&good),
        Ok(crate::golden::certificate())
    );
}

#[test]
fn a_genesis_that_nobody_can_start_from_names_the_field() {
    type Change = fn(&mut Genesis);
    fn bureau(number: usize) -> Member {
        let mut member = Member::try_from(&wire::Member {
            kind: wire::MemberKind::Bureau.into(),
            ..crate::samples::member()
        })
        .unwrap();
        member.org = format!("bureau-{number:03}").parse().unwrap();
        member
    }
    #[rustfmt::skip]
    let rows: &[(Change, &str, &str)] = &[
        (|g| g.name.clear(), "name", REQUIRED),
        (|g| g.validators.clear(), "validators", REQUIRED),
        (|g| g.engine = Engine::Raft, "validators", "FIELD_RANGE"),
        (|g| g.validators[0].org = "nobody".parse().unwrap(), "validators.org", "FIELD_FORMAT"),
        (|g| g.validators[0].org = "js-bank".parse().unwrap(), "validators.org", "FIELD_FORMAT"),
        // The key of `sh-bureau` that administers it.
        (|g| g.validators[0].key = *crate::samples::secret(31).public(), "validators.key", "FIELD_FORMAT"),
        (|g| { g.members.remove(1); g.validators[0].org = "js-bank".parse().unwrap(); }, "validators.org", "FIELD_FORMAT"),
        (|g| g.members.reverse(), "members", "DUPLICATE_ITEM"),
        (|g| g.members.extend((0..128).map(bureau)), "members", "TOO_MANY_ITEMS"),
        (|g| g.members[1].keys = g.members[0].keys.clone(), "members.keys", "FIELD_FORMAT"),
        (|g| g.members[1].certificates = g.members[0].certificates.clone(), "members.certificates", "FIELD_FORMAT"),
        (|g| g.catalogue.version = 2, "catalogue.version", "FIELD_RANGE"),
        (|g| g.authorities.clear(), "authorities", "FIELD_FORMAT"),
        (|g| g.parameters.max_expiry_window = 0, "parameters.max_expiry_window", "FIELD_RANGE"),
        (|g| g.parameters.governance.participation_percent = 50, "parameters.governance.participation_percent", "FIELD_RANGE"),
        (|g| g.parameters.governance.approval_percent = 101, "parameters.governance.approval_percent", "FIELD_RANGE"),
        (|g| g.parameters.governance.voting_days = 0, "parameters.governance.voting_days", "FIELD_RANGE"),
    ];
    for (change, field, code) in rows {
        let mut made = crate::golden::genesis();
        change(&mut made);
        let fault = made.check().unwrap_err();
        assert_eq!(
            (fault.field.as_str(), fault.problem.code()),
            (*field, *code)
        );
    }
}
