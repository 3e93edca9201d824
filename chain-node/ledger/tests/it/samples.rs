//! One valid sample of every action and of everything else that is hashed or signed.

use xinqiao_crypto::{Digest, SecretKey, sm3};
use xinqiao_ledger::wire::{self, tx_body::Action as A};

/// A secret key that is the same in every run.
pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

/// The compressed public half of it.
pub(crate) fn public(number: u8) -> Vec<u8> {
    secret(number).public().to_sec1().to_vec()
}

/// 32 bytes that stand for something.
pub(crate) fn digest(name: &str) -> Digest {
    sm3(name.as_bytes())
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    digest(name).as_bytes().to_vec()
}

pub(crate) fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(crate) fn member() -> wire::Member {
    let mut certificates = vec![bytes("certificate 1"), bytes("certificate 2")];
    certificates.sort();
    wire::Member {
        org: "js-bank".into(),
        kind: wire::MemberKind::Institution.into(),
        name: "江苏银行（示例）".into(),
        region: "32".into(),
        gateway_endpoint: "https://gateway.example:7443".into(),
        keys: vec![
            wire::MemberKey {
                public_key: public(21),
                role: wire::KeyRole::Admin.into(),
            },
            wire::MemberKey {
                public_key: std::iter::once(4).chain([9; 64]).collect(),
                role: wire::KeyRole::Token.into(),
            },
        ],
        certificates,
        home: "js-bureau".into(),
    }
}

/// A field that need not be there.
pub(crate) fn field(name: &str, kind: wire::catalogue_field::Type) -> wire::CatalogueField {
    wire::CatalogueField {
        name: name.into(),
        name_zh: format!("字段 {name}"),
        name_en: name.replace('_', " "),
        required: false,
        sensitive: false,
        r#type: Some(kind),
    }
}

/// A code with its names.
pub(crate) fn value(code: &str, zh: &str, en: &str) -> wire::CodeValue {
    wire::CodeValue {
        code: code.into(),
        name_zh: zh.into(),
        name_en: en.into(),
    }
}

/// One field of every type: item 0 is a list, 1 an extension, 2 a record with a key.
pub(crate) fn catalogue() -> wire::Catalogue {
    use wire::{catalogue_field::Type, catalogue_item::Shape};
    let item = |code: &str, zh: &str, en: &str, shape, fields| wire::CatalogueItem {
        code: code.into(),
        name_zh: zh.into(),
        name_en: en.into(),
        group: "records".into(),
        place: 10,
        shape: Some(shape),
        fields,
        key: vec![],
        fresh_days: 90,
        keep_days: 1_825,
        sensitivity: wire::Sensitivity::Commercial.into(),
        owner: String::new(),
    };
    let purpose = |code: &str, zh: &str, en: &str| wire::CataloguePurpose {
        code: code.into(),
        name_zh: zh.into(),
        name_en: en.into(),
    };
    let group = |code: &str, zh: &str, en: &str| wire::CatalogueGroup {
        code: code.into(),
        name_zh: zh.into(),
        name_en: en.into(),
    };
    let required = |field| wire::CatalogueField {
        required: true,
        ..field
    };
    let declarations = vec![
        required(field(
            "number",
            Type::Text(wire::TextType { max_chars: 18 }),
        )),
        field("on", Type::Date(wire::DateType {})),
        field(
            "way",
            Type::Code(wire::CodeType {
                values: vec![
                    value("in", "进口", "import"),
                    value("out", "出口", "export"),
                ],
            }),
        ),
    ];
    let power = Type::Decimal(wire::DecimalType {
        unit: "kWh".into(),
        min: "0".into(),
        max: "1000.5".into(),
    });
    let tax = vec![
        required(field(
            "period",
            Type::Text(wire::TextType { max_chars: 16 }),
        )),
        field(
            "paid",
            Type::Money(wire::MoneyType {
                currency: "CNY".into(),
                min: "-5.00".into(),
                max: "900000000.00".into(),
            }),
        ),
        wire::CatalogueField {
            sensitive: true,
            ..field(
                "times",
                Type::Integer(wire::IntegerType {
                    min: -1,
                    max: 100,
                    unit: "次".into(),
                }),
            )
        },
    ];
    let list = Shape::List(wire::ListShape {
        max_entries: 3,
        exhaustive: true,
    });
    let record = || Shape::Record(wire::RecordShape {});
    wire::Catalogue {
        version: 1,
        groups: vec![
            group("records", "记录", "records"),
            group("others", "其他", "others"),
        ],
        items: vec![
            wire::CatalogueItem {
                key: texts(&["number"]),
                ..item(
                    "customs_record",
                    "海关记录",
                    "customs record",
                    list,
                    declarations,
                )
            },
            item(
                "registration",
                "登记信息",
                "registration",
                record(),
                vec![field("used", power.clone())],
            ),
            wire::CatalogueItem {
                key: texts(&["period"]),
                ..item("tax_payment", "纳税信息", "tax payments", record(), tax)
            },
            wire::CatalogueItem {
                group: "others".into(),
                owner: "sh-bureau".into(),
                ..item(
                    "x_power",
                    "用电",
                    "power",
                    record(),
                    vec![field("used", power)],
                )
            },
        ],
        purposes: vec![
            purpose("credit_approval", "贷前审批", "credit approval"),
            purpose("post_loan", "贷后管理", "post-loan management"),
        ],
    }
}

pub(crate) fn source() -> wire::DataSource {
    wire::DataSource {
        source: "sh-tax".into(),
        operator: "sh-bureau".into(),
        name: "上海税务（示例）".into(),
        items: texts(&["registration", "tax_payment"]),
    }
}

pub(crate) fn terms() -> wire::ConsentTerms {
    wire::ConsentTerms {
        subject: bytes("subject"),
        grantee: "js-bank".into(),
        branch: "苏州分行".into(),
        purposes: texts(&["credit_approval", "post_loan"]),
        items: texts(&["registration", "tax_payment"]),
        sources: texts(&["sh-tax", "zj-customs"]),
        valid_from_ms: 1_000,
        valid_until_ms: 2_000,
        max_uses: 10,
        max_uses_per_period: 2,
        period_seconds: 86_400,
        data_life_days: 365,
        onward_sharing: true,
        document_digest: bytes("document"),
        text_digest: bytes("text"),
    }
}

pub(crate) fn digests() -> wire::RegisterDigests {
    let entry = |name: &str, item_set| wire::DigestEntry {
        subject: bytes(name),
        root: bytes(&format!("root of {name}")),
        item_set,
        as_of_day: 20_000,
    };
    let mut entries = vec![entry("subject", 3), entry("other subject", 1)];
    entries.sort_by(|left, right| left.subject.cmp(&right.subject));
    wire::RegisterDigests {
        source: "sh-tax".into(),
        items: texts(&["registration", "tax_payment"]),
        entries,
    }
}

pub(crate) fn order() -> wire::PlaceOrder {
    wire::PlaceOrder {
        subject: bytes("subject"),
        grant: bytes("grant"),
        purpose: "credit_approval".into(),
        items: texts(&["registration", "tax_payment"]),
        user: bytes("user"),
        branch: "苏州分行".into(),
        deadline_ms: 30_000,
        recipient: bytes("recipient"),
    }
}

pub(crate) fn delivery() -> wire::DeliverPart {
    wire::DeliverPart {
        order: bytes("order"),
        part: 1,
        ciphertext_digest: bytes("ciphertext"),
        ciphertext_length: 4_096,
        report_root: bytes("root of subject"),
        items: texts(&["registration", "tax_payment"]),
        seal_scheme: wire::SealScheme::MlsSm4Gcm.into(),
        group_epoch: Some(wire::GroupEpoch {
            generation: 1_790_000_000_000,
            epoch: 12,
            authenticator: bytes("authenticator"),
        }),
    }
}

/// One of every change, in the order of the contract.
pub(crate) fn proposal() -> wire::Propose {
    use wire::change::Kind;
    let org = || "nj-bureau".to_owned();
    let bureau = wire::Member {
        org: org(),
        kind: wire::MemberKind::Bureau.into(),
        ..member()
    };
    let kinds = vec![
        Kind::AdmitMember(bureau),
        Kind::SuspendMember(org()),
        Kind::ReinstateMember(org()),
        Kind::ExpelMember(org()),
        Kind::SetValidator(wire::Validator {
            org: org(),
            public_key: public(25),
            endpoint: "https://node.nj.example:7000".into(),
        }),
        Kind::RemoveValidator(org()),
        Kind::SetEngine(wire::ConsensusEngine::Bft.into()),
        Kind::SetParameters(wire::Parameters {
            max_expiry_window: 500,
            max_consent_days: 400,
            max_deadlines_per_block: 300,
            checkpoint_interval: 50,
            min_validator_key_blocks: 200,
            governance: Some(wire::GovernanceRules {
                participation_percent: 60,
                approval_percent: 75,
                voting_days: 7,
            }),
        }),
        Kind::PublishCatalogue(catalogue()),
        Kind::SetWeight(wire::VotingWeight {
            org: org(),
            weight: 3,
        }),
    ];
    let change = |kind| wire::Change { kind: Some(kind) };
    wire::Propose {
        changes: kinds.into_iter().map(change).collect(),
        reason: "南京征信加入".into(),
        effective_height: 1_000,
    }
}

/// A proposal and a vote each stand for what two statements can be; these two contradict each other.
pub(crate) fn equivocation() -> wire::Equivocation {
    let said = |header: &str, after_pol_round, byte| wire::SignedStatement {
        kind: wire::StatementKind::Proposal.into(),
        header_hash: bytes(header),
        after_pol_round,
        signature: vec![byte; 64],
    };
    wire::Equivocation {
        validator: bytes("validator"),
        height: 300,
        round: 2,
        first: Some(said("header", 0, 1)),
        second: Some(said("other header", 2, 2)),
    }
}

/// One of every action, valid, under its name in the contract.
pub(crate) fn actions() -> Vec<(&'static str, A)> {
    let org = || "js-bank".to_owned();
    let reason = || "逾期未整改".to_owned();
    let source_id = || "sh-tax".to_owned();
    let grant = || bytes("grant");
    let part = 1;
    let mut subjects = vec![bytes("subject"), bytes("other subject")];
    subjects.sort();
    #[rustfmt::skip]
    let actions = vec![
        ("admit_member", A::AdmitMember(wire::AdmitMember { member: Some(member()) })),
        ("freeze_member", A::FreezeMember(wire::FreezeMember { org: org(), reason: reason() })),
        ("unfreeze_member", A::UnfreezeMember(wire::UnfreezeMember { org: org() })),
        ("expel_member", A::ExpelMember(wire::ExpelMember { org: org(), reason: reason() })),
        ("add_key", A::AddKey(wire::AddKey { key: Some(wire::MemberKey {
            public_key: public(22),
            role: wire::KeyRole::Agent.into(),
        }) })),
        ("revoke_key", A::RevokeKey(wire::RevokeKey { key_id: bytes("key") })),
        ("add_certificate", A::AddCertificate(wire::AddCertificate { fingerprint: bytes("certificate") })),
        ("revoke_certificate", A::RevokeCertificate(wire::RevokeCertificate { fingerprint: bytes("certificate") })),
        ("open_user", A::OpenUser(wire::OpenUser { user: bytes("user") })),
        ("close_user", A::CloseUser(wire::CloseUser { user: bytes("user") })),
        ("set_seal_scheme", A::SetSealScheme(wire::SetSealScheme {
            seal_scheme: wire::SealScheme::MlsSm4Gcm.into(),
        })),
        ("register_source", A::RegisterSource(wire::RegisterSource { source: Some(source()) })),
        ("activate_source", A::ActivateSource(wire::ActivateSource { source: source_id() })),
        ("suspend_source", A::SuspendSource(wire::SuspendSource { source: source_id(), reason: reason() })),
        ("retire_source", A::RetireSource(wire::RetireSource { source: source_id() })),
        ("register_digests", A::RegisterDigests(digests())),
        ("withdraw_digests", A::WithdrawDigests(wire::WithdrawDigests { source: source_id(), subjects })),
        ("bind_subject_key", A::BindSubjectKey(wire::BindSubjectKey {
            subject: bytes("subject"),
            public_key: public(23),
        })),
        ("request_consent", A::RequestConsent(wire::RequestConsent { terms: Some(terms()), lapses_at_ms: 1_500 })),
        ("grant_consent", A::GrantConsent(wire::GrantConsent { request: bytes("request"), terms: Some(terms()) })),
        ("decline_consent", A::DeclineConsent(wire::DeclineConsent { grant: grant() })),
        ("pause_consent", A::PauseConsent(wire::PauseConsent { grant: grant() })),
        ("resume_consent", A::ResumeConsent(wire::ResumeConsent { grant: grant() })),
        ("revoke_consent", A::RevokeConsent(wire::RevokeConsent { grant: grant() })),
        ("place_order", A::PlaceOrder(order())),
        ("accept_part", A::AcceptPart(wire::AcceptPart { order: bytes("order"), part })),
        ("deliver_part", A::DeliverPart(delivery())),
        ("reject_part", A::RejectPart(wire::RejectPart {
            order: bytes("order"),
            part,
            reason: wire::PartRejection::DigestMismatch.into(),
        })),
        ("confirm_part", A::ConfirmPart(wire::ConfirmPart {
            order: bytes("order"),
            part,
            verdict: wire::Verdict::Confirmed.into(),
        })),
        ("cancel_order", A::CancelOrder(wire::CancelOrder { order: bytes("order") })),
        ("dispute_order", A::DisputeOrder(wire::DisputeOrder {
            order: bytes("order"),
            statement_digest: bytes("statement"),
        })),
        ("settle_dispute", A::SettleDispute(wire::SettleDispute {
            order: bytes("order"),
            settlement_digest: bytes("settlement"),
        })),
        ("record_refusal", A::RecordRefusal(wire::RecordRefusal {
            institution: org(),
            user: bytes("user"),
            subject: bytes("subject"),
            purpose: "credit_approval".into(),
            items: texts(&["registration", "tax_payment"]),
            grant: grant(),
            reason: "USER_UNKNOWN".into(),
        })),
        ("file_objection", A::FileObjection(wire::FileObjection {
            subject: bytes("subject"),
            source: source_id(),
            items: texts(&["registration", "tax_payment"]),
            statement_digest: bytes("statement"),
        })),
        ("resolve_objection", A::ResolveObjection(wire::ResolveObjection {
            objection: bytes("objection"),
            finding: wire::ObjectionFinding::Unresolved.into(),
            answer_digest: bytes("answer"),
        })),
        ("withdraw_objection", A::WithdrawObjection(wire::WithdrawObjection { objection: bytes("objection") })),
        ("propose", A::Propose(proposal())),
        ("vote", A::Vote(wire::Vote {
            proposal: bytes("proposal"),
            choice: wire::VoteChoice::Approve.into(),
        })),
        ("withdraw_proposal", A::WithdrawProposal(wire::WithdrawProposal { proposal: bytes("proposal") })),
        ("rotate_validator", A::RotateValidator(wire::RotateValidator {
            public_key: public(24),
            endpoint: "https://node.sh.example:7000".into(),
        })),
        ("report_equivocation", A::ReportEquivocation(wire::ReportEquivocation { evidence: Some(equivocation()) })),
    ];
    actions
}

/// A body around an action, the same in every run.
pub(crate) fn body(action: A) -> wire::TxBody {
    wire::TxBody {
        version: 1,
        chain_id: bytes("chain"),
        nonce: (0..16).collect(),
        expires_at_height: 300,
        action: Some(action),
    }
}
