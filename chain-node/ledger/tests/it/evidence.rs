//! What evidence proves, what it leaves open, what it finds contradicted, and that no changed,
//! shuffled or foreign file passes for evidence.

use std::collections::BTreeMap;

use prost::Message;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    block::Header,
    evidence::{
        self, Claim, EvidenceFault, Findings, Gap, HEADING, PartEnd, Signer, Standing, Statement,
    },
    genesis::Genesis,
    ids::TxId,
    outcome::{Event, Outcome, Reason},
    wire::{self, ConsentStatus, PartStatus},
};

use crate::{
    samples::{bytes, digest, texts},
    world::{
        BANK_ADMIN, BANK_AGENT, Plot, SH_ADMIN, SH_HOLDER, START, Story, ZJ_ADMIN, genesis, pause,
        revoke, tell,
    },
};

fn verify(bundle: &wire::EvidenceBundle) -> Result<Findings, EvidenceFault> {
    let file = evidence::encode(bundle);
    let found = evidence::verify(&file, &genesis());
    assert_eq!(evidence::verify_bundle(bundle, &genesis()), found);
    found
}

/// A name for what a claim is about.
fn about(claim: &Claim) -> String {
    match &claim.statement {
        Statement::OneHistory { .. } => "history".into(),
        Statement::Signed { .. } => "signed".into(),
        Statement::Ordered { .. } => "ordered".into(),
        Statement::Recipient(_) => "recipient".into(),
        Statement::Granted { .. } => "granted".into(),
        Statement::Covered(_) => "covered".into(),
        Statement::Live { part: None, .. } => "live at order".into(),
        Statement::Live {
            part: Some((part, _)),
            ..
        } => format!("live at delivery {part}"),
        Statement::Registered { part, .. } => format!("registered {part}"),
        Statement::Delivered { part, .. } => format!("delivered {part}"),
        Statement::Ended { part, .. } => format!("ended {part}"),
        Statement::Dispute { settled, .. } => format!("dispute settled {settled}"),
    }
}

/// Claims that are not proven, by what they are about; nothing may be claimed twice.
fn open(findings: &Findings) -> BTreeMap<String, Standing> {
    let mut names: Vec<_> = findings.claims.iter().map(about).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a claim is made twice");
    findings
        .claims
        .iter()
        .filter(|claim| claim.standing != Standing::Proven)
        .map(|claim| (about(claim), claim.standing.clone()))
        .collect()
}

#[track_caller]
fn check(bundle: &wire::EvidenceBundle, wanted: &[(&str, Standing)]) -> Findings {
    let findings = verify(bundle).unwrap();
    let wanted: BTreeMap<String, Standing> = wanted
        .iter()
        .map(|(name, standing)| ((*name).to_owned(), standing.clone()))
        .collect();
    assert_eq!(open(&findings), wanted);
    let contradicted = wanted
        .values()
        .any(|standing| matches!(standing, Standing::Contradicted(_)));
    assert_eq!(findings.contradicted(), contradicted);
    assert_eq!(findings.all_proven(), wanted.is_empty());
    // Whatever was found can be said, in both languages.
    let time = |time: u64| format!("t{time}");
    for claim in &findings.claims {
        let said = findings.sentence(claim, &time);
        assert_eq!(
            said.en.starts_with("Not shown"),
            matches!(claim.standing, Standing::NotShown(_))
        );
        assert_eq!(
            said.en.starts_with("CONTRADICTED"),
            matches!(claim.standing, Standing::Contradicted(_))
        );
        assert!(
            said.en.ends_with('.') && said.zh.ends_with('。'),
            "{said:?}"
        );
    }
    findings
}

fn not_shown(gap: Gap) -> Standing {
    Standing::NotShown(gap)
}

fn contradicted(gap: Gap) -> Standing {
    Standing::Contradicted(gap)
}

#[test]
fn a_whole_story_is_proven_in_every_claim() {
    let story = tell(Plot::default());
    let findings = check(&story.bundle(), &[]);
    assert_eq!(findings.order, story.order.into());
    assert_eq!(findings.until.height, 11);
    let names: Vec<_> = findings.claims.iter().map(about).collect();
    assert_eq!(
        names,
        [
            "history",
            "signed",
            "ordered",
            "recipient",
            "granted",
            "covered",
            "live at order",
            "registered 0",
            "delivered 0",
            "live at delivery 0",
            "ended 0",
            "registered 1",
            "ended 1",
        ]
    );
    let steps: Vec<_> = findings.steps.iter().map(|step| step.name).collect();
    assert_eq!(
        steps,
        [
            "add_key",
            "bind_subject_key",
            "register_source",
            "register_digests",
            "register_digests",
            "grant_consent",
            "place_order",
            "deliver_part",
            "reject_part",
            "confirm_part",
            "revoke_consent",
        ]
    );
    // Keys that the ledger brought are known as well as those of the genesis.
    let signer = |id: TxId| {
        &findings
            .steps
            .iter()
            .find(|step| step.id == id)
            .unwrap()
            .signer
    };
    assert_eq!(
        signer(story.id("grant")),
        &Signer::Subject(xinqiao_ledger::ids::Subject(digest("subject")))
    );
    assert_eq!(
        signer(story.id("reject")).org().unwrap().as_str(),
        "zj-bureau"
    );
    let ends: Vec<_> = findings
        .claims
        .iter()
        .filter_map(|claim| match &claim.statement {
            Statement::Ended { end, .. } => Some(end.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        ends,
        [
            PartEnd::Confirmed,
            PartEnd::Rejected("SOURCE_UNAVAILABLE".into())
        ]
    );
}

/// The sentences as people read them, kept in a file: `XINQIAO_BLESS=1` writes it anew.
#[test]
fn findings_are_said_in_plain_words_of_both_languages() {
    let story = tell(Plot::default());
    let findings = verify(&story.bundle()).unwrap();
    let time = |time: u64| format!("T+{}s", (time - START) / 1_000);
    let mut text = String::new();
    let said = findings
        .claims
        .iter()
        .map(|claim| findings.sentence(claim, &time));
    for sentence in said.chain(findings.caveats(&time)) {
        text.push_str(&format!("{}\n{}\n", sentence.en, sentence.zh));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/findings.txt");
    if std::env::var_os("XINQIAO_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap());
    // Names, not codes alone; times as the caller writes them.
    for part in [
        "江苏示范银行",
        "上海征信",
        "tax payments",
        "纳税信息",
        "T+6s",
        "height 6",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn what_is_left_out_is_not_shown_and_said_to_be_missing() {
    let story = tell(Plot::default());
    let no_grant = not_shown(Gap::NoGrant);
    let keys = |count| not_shown(Gap::KeysAbsent(count));
    for (left_out, wanted) in [
        (&["source"][..], vec![]),
        (&["revoke"], vec![]),
        (
            &["grant"],
            vec![
                ("granted", no_grant.clone()),
                ("covered", no_grant.clone()),
                ("live at order", no_grant.clone()),
                ("live at delivery 0", no_grant.clone()),
            ],
        ),
        (
            &["digests sh"],
            vec![("registered 0", not_shown(Gap::NoRegistration))],
        ),
        (
            &["digests zj"],
            vec![("registered 1", not_shown(Gap::NoRegistration))],
        ),
        (
            &["deliver"],
            vec![("delivered 0", not_shown(Gap::NoDelivery))],
        ),
        (&["confirm"], vec![("ended 0", not_shown(Gap::NoEnd))]),
        (&["reject"], vec![("ended 1", not_shown(Gap::NoEnd))]),
        // Without the key of Zhejiang's holder, two signatures; without the subject's, two.
        (&["add_key"], vec![("signed", keys(2))]),
        (&["bind"], vec![("signed", keys(2))]),
        (&["add_key", "bind"], vec![("signed", keys(4))]),
    ] {
        let findings = check(&story.bundle_without(left_out), &wanted);
        let unknown = findings
            .steps
            .iter()
            .filter(|step| !step.signer.is_known())
            .count();
        let said = wanted.iter().find_map(|(_, standing)| match standing {
            Standing::NotShown(Gap::KeysAbsent(count)) => Some(*count),
            _ => None,
        });
        assert_eq!(unknown, said.unwrap_or(0), "{left_out:?}");
    }
}

#[test]
fn every_receipt_left_out_leaves_no_more_proven_than_before() {
    let story = tell(Plot::default());
    let whole: Vec<String> = proven(&verify(&story.bundle()).unwrap());
    for (name, _) in &story.ids {
        match verify(&story.bundle_without(&[name])) {
            Err(EvidenceFault::OrderMissing(id)) => {
                assert_eq!((*name, id), ("order", story.order.into()));
            }
            Ok(findings) => {
                let now = proven(&findings);
                assert!(now.iter().all(|claim| whole.contains(claim)), "{name}");
            }
            Err(fault) => panic!("{name}: {fault}"),
        }
    }
}

fn proven(findings: &Findings) -> Vec<String> {
    findings
        .claims
        .iter()
        .filter(|claim| claim.standing == Standing::Proven)
        .map(about)
        .collect()
}

#[test]
fn what_the_quorum_should_not_have_applied_is_contradicted() {
    let terms = |change: &dyn Fn(&mut wire::ConsentTerms)| {
        let mut plot = Plot::default();
        change(&mut plot.terms);
        plot
    };
    let covered = |gap| vec![("covered", contradicted(gap))];
    let validity = |from, until| Gap::Validity { from, until };
    let rows: Vec<(Plot, Vec<(&str, Standing)>)> = vec![
        (
            terms(&|t| t.subject = bytes("another")),
            covered(Gap::OtherSubject),
        ),
        (
            terms(&|t| t.grantee = "zj-bureau".into()),
            covered(Gap::OtherInstitution("zj-bureau".parse().unwrap())),
        ),
        (
            terms(&|t| t.branch = "苏州分行".into()),
            covered(Gap::OtherBranch),
        ),
        (
            terms(&|t| t.purposes = texts(&["post_loan"])),
            covered(Gap::Purpose),
        ),
        (
            terms(&|t| t.items = texts(&["customs_record", "registration"])),
            covered(Gap::Item("tax_payment".parse().unwrap())),
        ),
        (
            terms(&|t| t.sources = texts(&["sh-tax"])),
            covered(Gap::Source("zj-customs".parse().unwrap())),
        ),
        // The order is at +6 s, the delivery at +8 s.
        (
            terms(&|t| t.valid_from_ms = START + 6_001),
            vec![
                (
                    "covered",
                    contradicted(validity(START + 6_001, START + 86_400_000)),
                ),
                (
                    "live at order",
                    contradicted(validity(START + 6_001, START + 86_400_000)),
                ),
            ],
        ),
        (
            terms(&|t| t.valid_until_ms = START + 6_000),
            vec![
                ("covered", contradicted(validity(START, START + 6_000))),
                (
                    "live at order",
                    contradicted(validity(START, START + 6_000)),
                ),
                (
                    "live at delivery 0",
                    contradicted(validity(START, START + 6_000)),
                ),
            ],
        ),
        (
            Plot {
                before_order: Some((pause(), ConsentStatus::Paused)),
                ..Plot::default()
            },
            vec![
                (
                    "live at order",
                    contradicted(Gap::Stood(ConsentStatus::Paused)),
                ),
                (
                    "live at delivery 0",
                    contradicted(Gap::Stood(ConsentStatus::Paused)),
                ),
            ],
        ),
        (
            Plot {
                before_order: Some((pause(), ConsentStatus::Exhausted)),
                ..Plot::default()
            },
            vec![(
                "live at order",
                contradicted(Gap::Stood(ConsentStatus::Exhausted)),
            )],
        ),
        (
            Plot {
                before_delivery: Some((revoke(), ConsentStatus::Revoked)),
                ..Plot::default()
            },
            vec![(
                "live at delivery 0",
                contradicted(Gap::Stood(ConsentStatus::Revoked)),
            )],
        ),
        // What the order reserved may be the last use.
        (
            Plot {
                before_delivery: Some((pause(), ConsentStatus::Exhausted)),
                ..Plot::default()
            },
            vec![],
        ),
        (
            Plot {
                registered_at: 2,
                ..Plot::default()
            },
            vec![(
                "registered 0",
                contradicted(Gap::RegisteredElsewhen(evidence::Moment {
                    height: 3,
                    index: 1,
                    time: START + 3_000,
                })),
            )],
        ),
        (
            Plot {
                missing: texts(&["registration_2"]),
                ..Plot::default()
            },
            vec![("ordered", contradicted(Gap::Items))],
        ),
        (
            Plot {
                delivered_root: digest("another root"),
                ..Plot::default()
            },
            vec![(
                "delivered 0",
                contradicted(Gap::Root(digest("another root"))),
            )],
        ),
        (
            Plot {
                delivered_items: texts(&["customs_record", "registration"]),
                ..Plot::default()
            },
            vec![("delivered 0", contradicted(Gap::Items))],
        ),
        (
            Plot {
                delivery_key: ZJ_ADMIN,
                ..Plot::default()
            },
            vec![(
                "delivered 0",
                contradicted(Gap::SignedBy("zj-bureau".parse().unwrap())),
            )],
        ),
        (
            Plot {
                confirm_key: SH_HOLDER,
                ..Plot::default()
            },
            vec![(
                "ended 0",
                contradicted(Gap::SignedBy("sh-bureau".parse().unwrap())),
            )],
        ),
        (
            Plot {
                confirm_early: true,
                ..Plot::default()
            },
            vec![("ended 0", contradicted(Gap::Sequence))],
        ),
        // A key of the bank, but none that is sealed to.
        (
            Plot {
                recipient: BANK_AGENT,
                ..Plot::default()
            },
            vec![("recipient", contradicted(Gap::RecipientUnknown))],
        ),
        // A key that nobody registered.
        (
            Plot {
                recipient: 99,
                ..Plot::default()
            },
            vec![("recipient", not_shown(Gap::RecipientUnknown))],
        ),
    ];
    for (plot, wanted) in rows {
        check(&tell(plot).bundle(), &wanted);
    }
}

#[test]
fn other_ways_of_the_story_are_told_as_they_were() {
    // A bureau as witness of a paper authorisation.
    let story = tell(Plot {
        grant_key: SH_ADMIN,
        ..Plot::default()
    });
    let findings = check(&story.bundle(), &[]);
    let granted = findings
        .claims
        .iter()
        .find(|claim| about(claim) == "granted")
        .unwrap();
    let said = findings.sentence(granted, &|time| time.to_string());
    assert!(
        said.en
            .contains("witnessed and signed by 上海征信 (sh-bureau)"),
        "{said:?}"
    );

    // Signed by the bank's other key.
    check(
        &tell(Plot {
            order_key: BANK_ADMIN,
            ..Plot::default()
        })
        .bundle(),
        &[],
    );

    // A mismatch that the bank found is proven to have been found.
    let story = tell(Plot {
        verdict: wire::Verdict::ItemMismatch,
        ..Plot::default()
    });
    let findings = check(&story.bundle(), &[]);
    let ended = findings
        .claims
        .iter()
        .find(|claim| about(claim) == "ended 0")
        .unwrap();
    assert!(
        matches!(&ended.statement, Statement::Ended { end: PartEnd::Mismatched(code), .. } if code == "ITEM_MISMATCH")
    );

    // A part without an end says what was last known of it.
    let story = tell(Plot::default());
    let findings = verify(&story.bundle_without(&["confirm"])).unwrap();
    let ended = findings
        .claims
        .iter()
        .find(|claim| about(claim) == "ended 0")
        .unwrap();
    assert!(matches!(
        &ended.statement,
        Statement::Ended {
            end: PartEnd::Open(PartStatus::Delivered),
            ..
        }
    ));
}

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
    let unknown_field = [contents, &[0x38, 1]].concat();
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
        let mut story = tell(Plot::default());
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
