//! What evidence proves, what it leaves open, and what it finds contradicted.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    evidence::{self, Claim, EvidenceFault, Findings, Gap, PartEnd, Signer, Standing, Statement},
    ids::TxId,
    wire::{self, ConsentStatus, PartStatus},
};

use crate::{
    samples::{bytes, digest, texts},
    world::{
        BANK_ADMIN, BANK_AGENT, Plot, SH_ADMIN, SH_HOLDER, START, ZJ_ADMIN, genesis, pause, revoke,
        tell,
    },
};

pub(crate) fn verify(bundle: &wire::EvidenceBundle) -> Result<Findings, EvidenceFault> {
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
        Statement::Recipient { .. } => "recipient".into(),
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

/// The second part expires in block 10, on time.
pub(crate) fn expiring() -> Plot {
    Plot {
        expires: Some(START + 10_000),
        ..Plot::default()
    }
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
    let expired = verify(&tell(expiring()).bundle()).unwrap();
    let ended = [expired.claims.first(), expired.claims.last()]
        .into_iter()
        .flatten()
        .map(|claim| expired.sentence(claim, &time));
    for sentence in said.chain(findings.caveats(&time)).chain(ended) {
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
fn an_expired_part_is_proven_by_the_outcome_of_the_block_itself() {
    let story = tell(expiring());
    let findings = check(&story.bundle(), &[]);
    let Statement::Ended { end, at, .. } = &findings.claims.last().unwrap().statement else {
        panic!("the last claim is how the second part ended");
    };
    let deadline = START + 10_000;
    assert_eq!(*end, PartEnd::Expired { deadline });
    let at = at.unwrap();
    assert_eq!((at.height, at.index, at.time), (10, None, deadline));

    let no_end = ("ended 1", not_shown(Gap::NoEnd));
    check(&story.bundle_without(&["blocks"]), &[no_end]);
    for (plot, wanted) in [
        (
            Plot {
                expires: Some(deadline + 1),
                ..Plot::default()
            },
            ("ended 1", contradicted(Gap::Early)),
        ),
        // What only a source, an institution or a subject can bring about, no block records alone.
        (
            Plot {
                ended_by_block: PartStatus::Rejected,
                ..expiring()
            },
            ("ended 1", contradicted(Gap::Unsigned)),
        ),
        (
            Plot {
                ended_by_block: PartStatus::Confirmed,
                ..expiring()
            },
            ("ended 1", contradicted(Gap::Unsigned)),
        ),
        (
            Plot {
                grant_ends: Some(ConsentStatus::Expired),
                ..Plot::default()
            },
            (
                "live at delivery 0",
                contradicted(Gap::Stood(ConsentStatus::Expired)),
            ),
        ),
    ] {
        let mut wanted = vec![wanted];
        if plot.ended_by_block == PartStatus::Confirmed {
            wanted.push(("delivered 1", not_shown(Gap::NoDelivery)));
        }
        check(&tell(plot).bundle(), &wanted);
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
                    index: Some(1),
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
                seal_scheme: wire::SealScheme::MlsSm4Gcm,
                ..Plot::default()
            },
            vec![("delivered 0", contradicted(Gap::Seal))],
        ),
        (
            Plot {
                seal_scheme: wire::SealScheme::MlsSm4Gcm,
                delivered_epoch: crate::samples::delivery().group_epoch,
                ..Plot::default()
            },
            vec![],
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
