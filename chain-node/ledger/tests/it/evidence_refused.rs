//! That no changed, shuffled or foreign file passes for evidence, and with what reason it is refused.

use prost::Message;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    block::Header,
    evidence::{self, EvidenceFault, HEADING},
    genesis::Genesis,
    outcome::{Event, Outcome, Reason},
    wire,
};

use crate::{
    evidence::{expiring, verify},
    samples::{bytes, digest},
    world::{BANK_AGENT, Plot, SH_ADMIN, Story, genesis, tell},
};

#[test]
fn a_file_is_told_from_what_is_none() {
    let story = tell(Plot::default());
    let file = evidence::encode(&story.bundle());
    assert_eq!(evidence::decode(&file).unwrap(), story.bundle());
    let with_digest = |contents: &[u8]| {
        let line = format!("{}\n", sm3(contents));
        [HEADING, line.as_bytes(), contents].concat()
    };
    let contents = &file[HEADING.len() + 65..];
    assert_eq!(with_digest(contents), file);
    let unknown_field = [contents, &[0x48, 1]].concat();
    #[rustfmt::skip]
    let rows: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "does not begin with the line"),
        (b"xinqiao evidence v2\n".to_vec(), "does not begin with the line"),
        (b"PK\x03\x04".to_vec(), "does not begin with the line"),
        (HEADING.to_vec(), "ends within its second line"),
        (file[..HEADING.len() + 64].to_vec(), "ends within its second line"),
        (file[..HEADING.len() + 65].to_vec(), "changed or damaged"),
        (file[..file.len() - 1].to_vec(), "changed or damaged"),
        ([&file[..], b"\n"].concat(), "changed or damaged"),
        // The digest's letters are lower case; there is one way to write a file.
        (file.iter().enumerate().map(|(at, byte)| match at {
            20..84 => byte.to_ascii_uppercase(),
            _ => *byte,
        }).collect(), "changed or damaged"),
        (with_digest(&[]), "bundle.version"),
        (with_digest(&[0xff; 20]), "cannot be decoded"),
        (with_digest(&contents[..contents.len() - 1]), "cannot be decoded"),
        (with_digest(&unknown_field), "not canonical"),
        (vec![b'x'; evidence::MAX_FILE_BYTES + 1], "at most 83886080"),
    ];
    for (file, wanted) in rows {
        let fault = evidence::verify(&file, &genesis()).unwrap_err().to_string();
        assert!(fault.contains(wanted), "{fault}: {wanted}");
    }
}

#[test]
fn a_bundle_that_is_not_authentic_is_refused_with_the_reason() {
    type Change = fn(&mut wire::EvidenceBundle, &mut Story);
    #[rustfmt::skip]
    let rows: &[(Change, &str)] = &[
        (|b, _| b.version = 2, "bundle.version"),
        (|b, _| b.chain_id.clear(), "bundle.chain_id: must be given"),
        (|b, _| b.chain_id = bytes("another chain"), "the evidence is of chain"),
        (|b, _| b.order.clear(), "bundle.order: must be given"),
        (|b, _| b.order = bytes("another order"), "has no receipt of order"),
        (|b, s| b.order = s.id("grant").to_vec(), "placed no order: it is a grant_consent"),
        (|b, _| b.receipts.clear(), "has no receipt of order"),
        (|b, _| b.receipts = vec![b.receipts[0].clone(); 1_001], "may have at most 1000"),
        (|b, _| b.receipts.swap(2, 3), "receipt 3 does not come after"),
        (|b, _| b.receipts.reverse(), "receipt 1 does not come after"),
        (|b, _| b.receipts.insert(4, b.receipts[3].clone()), "receipt 4 does not come after"),
        (|b, _| b.receipts[3].receipt = None, "receipt 3 proves nothing: receipt: must be given"),
        (|b, _| b.blocks = vec![b.blocks[0].clone(); 991], "may have at most 1000"),
        (|b, _| b.blocks[0].receipt = None, "block 0 proves nothing: receipt: must be given"),
        (|b, _| b.blocks.push(b.blocks[0].clone()), "block 1 does not come after"),
        (|b, _| b.blocks[0].history_path = None, "block 0: its block at height 10 is not shown"),
        (|b, _| b.blocks[0].history_path = b.receipts[0].history_path.clone(), "block 0: its block"),
        // A transaction's outcome passed off as the block's own, and a block's under another path.
        (|b, _| {
            let other = b.receipts.last().unwrap().receipt.clone().unwrap();
            let block = b.blocks[0].receipt.as_mut().unwrap();
            assert_eq!(block.header, other.header);
            block.outcome = other.outcome;
            block.outcome_path = other.outcome_path;
        }, "block 0 proves nothing: the path does not lead from the block's own outcome"),
        (|b, _| {
            let other = b.receipts.last().unwrap().receipt.clone().unwrap();
            b.blocks[0].receipt.as_mut().unwrap().outcome_path = other.outcome_path;
        }, "block 0 proves nothing: the path does not lead from the block's own outcome"),
        (|b, s| {
            let block = b.blocks[0].receipt.as_mut().unwrap();
            let receipt = s.world.block_receipt(9);
            block.outcome = receipt.outcome;
        }, "block 0 proves nothing: the path does not lead from the block's own outcome"),
        (|b, _| b.tip_header.clear(), "bundle.tip.header"),
        (|b, _| b.tip_certificate = None, "bundle.tip.certificate: must be given"),
        // A path left out, another's path, and one to a shorter history.
        (|b, _| b.receipts[2].history_path = None, "receipt 2: its block at height 2 is not shown"),
        (|b, _| b.receipts[2].history_path = b.receipts[3].history_path.clone(), "receipt 2: its block"),
        (|b, _| b.receipts[2].history_path.as_mut().unwrap().size = 9, "receipt 2: its block"),
        (|b, _| b.receipts[2].history_path.as_mut().unwrap().siblings.push(vec![0; 32]), "receipt 2: its block"),
        (|b, _| b.receipts[2].history_path.as_mut().unwrap().siblings[0] = vec![0; 31], "history_path.siblings[0]"),
        // The newest header cannot be older than what it is to stand for.
        (|b, s| {
            let receipt = s.world.receipt(&s.id("confirm"));
            b.tip_header = receipt.header;
            b.tip_certificate = receipt.certificate;
        }, "is not shown to be part of the history that ends at height 9"),
        // Another transaction's outcome, or another index in the same block.
        (|b, _| {
            let other = b.receipts[0].receipt.clone().unwrap();
            b.receipts[1].receipt.as_mut().unwrap().outcome = other.outcome;
        }, "receipt 1 proves nothing: the path does not lead from this transaction's outcome"),
        (|b, _| {
            let other = b.receipts[0].receipt.clone().unwrap();
            b.receipts[1].receipt.as_mut().unwrap().transaction = other.transaction;
        }, "receipt 1 proves nothing: the path does not lead from the transaction"),
        // Two signatures where three are needed, and a signature of a stranger.
        (|b, _| { b.tip_certificate.as_mut().unwrap().signatures.pop(); }, "the newest header of the evidence is not certified: the certificate has 2 signatures, the quorum is 3"),
        (|b, s| {
            let header = Header::parse(&b.tip_header).unwrap();
            b.tip_certificate = Some((&s.world.certify(&header, &[1, 2, 9])).into());
        }, "is no validator"),
        // A header that says what suits, signed by fewer than a quorum.
        (|b, s| {
            let mut header = Header::parse(&b.tip_header).unwrap();
            header.history_root = digest("a history of my own");
            b.tip_header = header.encode();
            b.tip_certificate = Some((&s.world.certify(&header, &[1, 2])).into());
        }, "the quorum is 3"),
    ];
    for (change, wanted) in rows {
        let mut story = tell(expiring());
        let mut bundle = story.bundle();
        change(&mut bundle, &mut story);
        let fault = verify(&bundle).unwrap_err().to_string();
        assert!(fault.contains(wanted), "{fault}\nwanted: {wanted}");
    }
}

#[test]
fn a_signature_that_a_known_key_did_not_make_is_refused() {
    // The quorum applied a grant whose signature is the bank's over another signer's name.
    let mut story = tell(Plot::default());
    let action = wire::tx_body::Action::PauseConsent(wire::PauseConsent {
        grant: story.id("grant").to_vec(),
    });
    let tx = story.world.sign(BANK_AGENT, action);
    let mut forged = wire::Transaction::decode(tx.encoded()).unwrap();
    forged.signer = crate::samples::secret(SH_ADMIN)
        .public()
        .id()
        .as_bytes()
        .to_vec();
    let forged = xinqiao_ledger::tx::Tx::parse(&forged.encode_to_vec()).unwrap();
    let id = forged.meta().id;
    for (outcome, wanted) in [
        (Outcome::Applied(vec![]), false),
        // That it was rejected for its signature is what a receipt may well show.
        (
            Outcome::Rejected {
                reason: Reason::SignatureInvalid,
                subject: String::new(),
            },
            true,
        ),
    ] {
        let mut story = tell(Plot::default());
        story.world.block(vec![(forged.clone(), outcome)]);
        story.ids.push(("forged", id));
        let found = verify(&story.bundle());
        assert_eq!(found.is_ok(), wanted, "{found:?}");
        if let Err(fault) = found {
            assert_eq!(fault, EvidenceFault::Signature { receipt: 11, id });
        }
    }
}

#[test]
fn an_attempt_that_was_refused_is_no_order() {
    let refused = |reason: Reason| {
        Outcome::Applied(vec![Event::AttemptRefused(wire::AttemptRefused {
            reason: reason.code().into(),
            subject: String::new(),
        })])
    };
    let rejected = Outcome::Rejected {
        reason: Reason::TxExpired,
        subject: String::new(),
    };
    for (outcome, wanted) in [
        (refused(Reason::ConsentRevoked), "refused, CONSENT_REVOKED"),
        (rejected, "rejected, TX_EXPIRED"),
    ] {
        let story = tell(Plot {
            order_outcome: Some(outcome),
            ..Plot::default()
        });
        let fault = verify(&story.bundle()).unwrap_err();
        assert!(fault.to_string().ends_with(wanted), "{fault}");
    }
}

#[test]
fn another_genesis_is_another_chain() {
    type Change = fn(&mut Genesis);
    let changes: &[Change] = &[
        |g| g.name.push('2'),
        |g| g.time += 1,
        |g| {
            g.validators.pop();
        },
        |g| {
            g.members.pop();
        },
        |g| g.catalogue.items[0].name_en = "another".parse().unwrap(),
        |g| g.parameters.max_consent_days += 1,
    ];
    let file = evidence::encode(&tell(Plot::default()).bundle());
    for change in changes {
        let mut other = genesis();
        change(&mut other);
        let fault = evidence::verify(&file, &other).unwrap_err();
        assert!(matches!(fault, EvidenceFault::OtherChain { .. }), "{fault}");
    }
    let mut empty = genesis();
    empty.validators.clear();
    let fault = evidence::verify(&file, &empty).unwrap_err();
    assert!(matches!(fault, EvidenceFault::Genesis(_)), "{fault}");
}
