//! Every field of every action, and of the transaction around it: what is wrong
//! with it is said under the field's own name, and nothing panics.

use std::collections::BTreeSet;

use prost::Message;
use xinqiao_ledger::{
    tx::{MAX_BODY_BYTES, MAX_TX_BYTES, Tx},
    wire::{self, tx_body::Action as A},
};

use crate::{
    contract::{Field, fields_of, paths, without_places},
    samples::{actions, body, bytes, public, value},
};

/// A transaction around an action, with a signature that could be one.
pub(crate) fn outer(action: A) -> wire::Transaction {
    wire::Transaction {
        body: body(action).encode_to_vec(),
        signer: bytes("signer"),
        signature: [1; 64].to_vec(),
    }
}

struct Row {
    action: &'static str,
    /// Within the action.
    field: &'static str,
    code: &'static str,
    made: A,
}

fn sample(name: &str) -> A {
    let found = actions().into_iter().find(|(known, _)| *known == name);
    found.unwrap().1
}

macro_rules! rows {
    ($($name:literal $variant:ident { $($field:literal $code:literal |$w:ident| $change:expr;)+ })+) => {
        vec![$($({
            let mut made = sample($name);
            let A::$variant($w) = &mut made else { panic!("{} is another variant", $name) };
            $change;
            Row { action: $name, field: $field, code: $code, made }
        }),+),+]
    };
}

pub(crate) const REQUIRED: &str = "FIELD_REQUIRED";

fn rows() -> Vec<Row> {
    fn long(length: usize) -> String {
        "a".repeat(length)
    }
    fn many(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i:05}")).collect()
    }
    fn m(w: &mut wire::AdmitMember) -> &mut wire::Member {
        w.member.as_mut().unwrap()
    }
    fn k(w: &mut wire::Propose, at: usize) -> &mut wire::change::Kind {
        w.changes[at].kind.as_mut().unwrap()
    }
    /// What the sample's changes hold, by their places.
    macro_rules! change {
        ($name:ident, $at:literal, $variant:ident, $type:ty) => {
            fn $name(w: &mut wire::Propose) -> &mut $type {
                match k(w, $at) {
                    wire::change::Kind::$variant(it) => it,
                    other => panic!("{other:?}"),
                }
            }
        };
    }
    change!(b, 0, AdmitMember, wire::Member);
    change!(suspend, 1, SuspendMember, String);
    change!(reinstate, 2, ReinstateMember, String);
    change!(expel, 3, ExpelMember, String);
    change!(v, 4, SetValidator, wire::Validator);
    change!(remove, 5, RemoveValidator, String);
    change!(engine, 6, SetEngine, i32);
    change!(p, 7, SetParameters, wire::Parameters);
    change!(c, 8, PublishCatalogue, wire::Catalogue);
    change!(weight, 9, SetWeight, wire::VotingWeight);
    fn entries(w: &mut wire::Propose) -> &mut wire::ListShape {
        match c(w).items[0].shape.as_mut() {
            Some(wire::catalogue_item::Shape::List(list)) => list,
            other => panic!("{other:?}"),
        }
    }
    fn f(w: &mut wire::Propose, item: usize, at: usize) -> &mut wire::CatalogueField {
        &mut c(w).items[item].fields[at]
    }
    fn set(field: &mut wire::CatalogueField, kind: impl Into<FieldType>) {
        field.r#type = Some(kind.into().0);
    }
    fn g(w: &mut wire::Propose) -> &mut wire::GovernanceRules {
        p(w).governance.as_mut().unwrap()
    }
    fn e(w: &mut wire::ReportEquivocation) -> &mut wire::Equivocation {
        w.evidence.as_mut().unwrap()
    }
    fn first(w: &mut wire::ReportEquivocation) -> &mut wire::SignedStatement {
        e(w).first.as_mut().unwrap()
    }
    fn second(w: &mut wire::ReportEquivocation) -> &mut wire::SignedStatement {
        e(w).second.as_mut().unwrap()
    }
    fn epoch(w: &mut wire::DeliverPart) -> &mut wire::GroupEpoch {
        w.group_epoch.as_mut().unwrap()
    }
    fn s(w: &mut wire::RegisterSource) -> &mut wire::DataSource {
        w.source.as_mut().unwrap()
    }
    fn t(w: &mut wire::GrantConsent) -> &mut wire::ConsentTerms {
        w.terms.as_mut().unwrap()
    }
    #[rustfmt::skip]
    let rows = rows! {
        "admit_member" AdmitMember {
            "member" "FIELD_REQUIRED" |w| w.member = None;
            "member.org" "FIELD_REQUIRED" |w| m(w).org.clear();
            "member.org" "FIELD_TOO_LONG" |w| m(w).org = long(33);
            "member.org" "FIELD_FORMAT" |w| m(w).org = "JS-bank".into();
            "member.kind" "FIELD_REQUIRED" |w| m(w).kind = 0;
            "member.kind" "ENUM_UNKNOWN" |w| m(w).kind = 7;
            "member.kind" "ENUM_UNKNOWN" |w| m(w).kind = -1;
            "member.name" "FIELD_REQUIRED" |w| m(w).name.clear();
            "member.name" "FIELD_TOO_LONG" |w| m(w).name = long(129);
            "member.name" "FIELD_FORMAT" |w| m(w).name = "line\nfeed".into();
            "member.region" "FIELD_FORMAT" |w| m(w).region.clear();
            "member.region" "FIELD_FORMAT" |w| m(w).region = "10".into();
            "member.region" "FIELD_FORMAT" |w| m(w).region = "83".into();
            "member.region" "FIELD_FORMAT" |w| m(w).region = "3 ".into();
            "member.region" "FIELD_FORMAT" |w| m(w).region = "+3".into();
            "member.gateway_endpoint" "FIELD_TOO_LONG" |w| m(w).gateway_endpoint = long(257);
            "member.keys" "FIELD_REQUIRED" |w| m(w).keys.clear();
            "member.keys" "TOO_MANY_ITEMS" |w| m(w).keys = vec![m(w).keys[0].clone(); 17];
            "member.keys" "FIELD_FORMAT" |w| m(w).keys = vec![m(w).keys[0].clone(); 2];
            "member.keys[0].role" "FIELD_REQUIRED" |w| m(w).keys[0].role = 0;
            "member.keys[0].role" "ENUM_UNKNOWN" |w| m(w).keys[0].role = 99;
            "member.keys[0].public_key" "FIELD_REQUIRED" |w| m(w).keys[0].public_key.clear();
            "member.keys[0].public_key" "FIELD_LENGTH" |w| m(w).keys[0].public_key.push(0);
            "member.keys[0].public_key" "FIELD_FORMAT" |w| m(w).keys[0].public_key[0] = 4;
            "member.keys[0].public_key" "FIELD_FORMAT" |w| m(w).keys[0].public_key[1..].fill(0xff);
            "member.keys[1].public_key" "FIELD_LENGTH" |w| m(w).keys[1].public_key = public(1);
            "member.keys[1].public_key" "FIELD_FORMAT" |w| m(w).keys[1].public_key[0] = 2;
            "member.certificates" "TOO_MANY_ITEMS" |w| m(w).certificates = vec![bytes("x"); 33];
            "member.certificates" "DUPLICATE_ITEM" |w| m(w).certificates.reverse();
            "member.certificates" "DUPLICATE_ITEM" |w| m(w).certificates = vec![bytes("x"); 2];
            "member.certificates[1]" "FIELD_LENGTH" |w| m(w).certificates[1].push(0);
            "member.certificates[0]" "FIELD_REQUIRED" |w| m(w).certificates[0].clear();
            "member.home" "FIELD_FORMAT" |w| m(w).home = "-".into();
            "member.home" "FIELD_TOO_LONG" |w| m(w).home = long(33);
        }
        "freeze_member" FreezeMember {
            "org" "FIELD_REQUIRED" |w| w.org.clear();
            "org" "FIELD_FORMAT" |w| w.org = "a_b".into();
            "reason" "FIELD_REQUIRED" |w| w.reason.clear();
            "reason" "FIELD_TOO_LONG" |w| w.reason = long(513);
            "reason" "FIELD_FORMAT" |w| w.reason = "\u{7f}".into();
        }
        "unfreeze_member" UnfreezeMember {
            "org" "FIELD_REQUIRED" |w| w.org.clear();
            "org" "FIELD_TOO_LONG" |w| w.org = long(33);
        }
        "expel_member" ExpelMember {
            "org" "FIELD_FORMAT" |w| w.org = "a/b".into();
            "reason" "FIELD_REQUIRED" |w| w.reason.clear();
            "reason" "FIELD_TOO_LONG" |w| w.reason = long(513);
        }
        "add_key" AddKey {
            "key" "FIELD_REQUIRED" |w| w.key = None;
            "key.role" "FIELD_REQUIRED" |w| w.key.as_mut().unwrap().role = 0;
            "key.role" "ENUM_UNKNOWN" |w| w.key.as_mut().unwrap().role = 7;
            "key.public_key" "FIELD_REQUIRED" |w| w.key.as_mut().unwrap().public_key.clear();
            "key.public_key" "FIELD_LENGTH" |w| w.key.as_mut().unwrap().public_key.truncate(32);
            // Infinity, as SEC 1 writes it, padded.
            "key.public_key" "FIELD_FORMAT" |w| w.key.as_mut().unwrap().public_key = vec![0; 33];
        }
        "revoke_key" RevokeKey {
            "key_id" "FIELD_REQUIRED" |w| w.key_id.clear();
            "key_id" "FIELD_LENGTH" |w| w.key_id.push(0);
        }
        "add_certificate" AddCertificate {
            "fingerprint" "FIELD_REQUIRED" |w| w.fingerprint.clear();
            "fingerprint" "FIELD_LENGTH" |w| w.fingerprint.truncate(20);
        }
        "revoke_certificate" RevokeCertificate {
            "fingerprint" "FIELD_REQUIRED" |w| w.fingerprint.clear();
            "fingerprint" "FIELD_LENGTH" |w| w.fingerprint.truncate(31);
        }
        "open_user" OpenUser {
            "user" "FIELD_REQUIRED" |w| w.user.clear();
            "user" "FIELD_LENGTH" |w| w.user = b"alice".to_vec();
        }
        "close_user" CloseUser {
            "user" "FIELD_REQUIRED" |w| w.user.clear();
            "user" "FIELD_LENGTH" |w| w.user.push(0);
        }
        "set_seal_scheme" SetSealScheme {
            "seal_scheme" "FIELD_REQUIRED" |w| w.seal_scheme = 0;
            "seal_scheme" "ENUM_UNKNOWN" |w| w.seal_scheme = 3;
        }
        "register_source" RegisterSource {
            "source" "FIELD_REQUIRED" |w| w.source = None;
            "source.source" "FIELD_REQUIRED" |w| s(w).source.clear();
            "source.operator" "FIELD_FORMAT" |w| s(w).operator = "上海".into();
            "source.name" "FIELD_REQUIRED" |w| s(w).name.clear();
            "source.name" "FIELD_TOO_LONG" |w| s(w).name = long(129);
            "source.items" "FIELD_REQUIRED" |w| s(w).items.clear();
            "source.items" "TOO_MANY_ITEMS" |w| s(w).items = many("item_", 65);
            "source.items" "DUPLICATE_ITEM" |w| s(w).items.reverse();
            "source.items[0]" "FIELD_FORMAT" |w| s(w).items[0] = "A".into();
        }
        "activate_source" ActivateSource {
            "source" "FIELD_REQUIRED" |w| w.source.clear();
            "source" "FIELD_TOO_LONG" |w| w.source = long(33);
        }
        "suspend_source" SuspendSource {
            "source" "FIELD_FORMAT" |w| w.source = " ".into();
            "reason" "FIELD_REQUIRED" |w| w.reason.clear();
            "reason" "FIELD_TOO_LONG" |w| w.reason = long(513);
        }
        "retire_source" RetireSource {
            "source" "FIELD_REQUIRED" |w| w.source.clear();
            "source" "FIELD_FORMAT" |w| w.source = "a.b".into();
        }
        "register_digests" RegisterDigests {
            "source" "FIELD_REQUIRED" |w| w.source.clear();
            "items" "FIELD_REQUIRED" |w| w.items.clear();
            "items" "TOO_MANY_ITEMS" |w| w.items = many("item_", 65);
            "items" "DUPLICATE_ITEM" |w| w.items[1] = w.items[0].clone();
            "items[1]" "FIELD_TOO_LONG" |w| w.items[1] = long(33);
            "entries" "FIELD_REQUIRED" |w| w.entries.clear();
            "entries" "TOO_MANY_ITEMS" |w| w.entries = vec![w.entries[0].clone(); 2_001];
            "entries" "DUPLICATE_ITEM" |w| w.entries.reverse();
            "entries" "DUPLICATE_ITEM" |w| w.entries[1] = w.entries[0].clone();
            "entries[1].subject" "FIELD_REQUIRED" |w| w.entries[1].subject.clear();
            "entries[1].subject" "FIELD_LENGTH" |w| w.entries[1].subject = b"91350100M000100Y43".to_vec();
            "entries[0].root" "FIELD_REQUIRED" |w| w.entries[0].root.clear();
            "entries[0].root" "FIELD_LENGTH" |w| w.entries[0].root.push(0);
            "entries[0].item_set" "FIELD_REQUIRED" |w| w.entries[0].item_set = 0;
            "entries[0].item_set" "FIELD_RANGE" |w| w.entries[0].item_set = 0b100;
            "entries[0].item_set" "FIELD_RANGE" |w| w.entries[0].item_set = u64::MAX;
        }
        "withdraw_digests" WithdrawDigests {
            "source" "FIELD_REQUIRED" |w| w.source.clear();
            "subjects" "FIELD_REQUIRED" |w| w.subjects.clear();
            "subjects" "TOO_MANY_ITEMS" |w| w.subjects = vec![bytes("x"); 2_001];
            "subjects" "DUPLICATE_ITEM" |w| w.subjects.reverse();
            "subjects[0]" "FIELD_LENGTH" |w| w.subjects[0].push(0);
            "subjects[0]" "FIELD_REQUIRED" |w| w.subjects[0].clear();
        }
        "bind_subject_key" BindSubjectKey {
            "subject" "FIELD_LENGTH" |w| w.subject = b"91350100M000100Y43".to_vec();
            "public_key" "FIELD_REQUIRED" |w| w.public_key.clear();
            "public_key" "FIELD_LENGTH" |w| w.public_key = vec![4; 65];
            "public_key" "FIELD_FORMAT" |w| w.public_key[0] = 5;
        }
        "request_consent" RequestConsent {
            "terms" "FIELD_REQUIRED" |w| w.terms = None;
            "terms.subject" "FIELD_REQUIRED" |w| w.terms.as_mut().unwrap().subject.clear();
        }
        "grant_consent" GrantConsent {
            "request" "FIELD_LENGTH" |w| w.request.push(0);
            "terms" "FIELD_REQUIRED" |w| w.terms = None;
            "terms.subject" "FIELD_REQUIRED" |w| t(w).subject.clear();
            "terms.subject" "FIELD_LENGTH" |w| t(w).subject.push(0);
            "terms.grantee" "FIELD_FORMAT" |w| t(w).grantee = "Bank".into();
            "terms.branch" "FIELD_TOO_LONG" |w| t(w).branch = long(65);
            "terms.branch" "FIELD_FORMAT" |w| t(w).branch = "\0".into();
            "terms.purposes" "FIELD_REQUIRED" |w| t(w).purposes.clear();
            "terms.purposes" "TOO_MANY_ITEMS" |w| t(w).purposes = many("p", 17);
            "terms.purposes" "DUPLICATE_ITEM" |w| t(w).purposes.reverse();
            "terms.purposes[0]" "FIELD_FORMAT" |w| t(w).purposes[0] = "Credit".into();
            "terms.items" "FIELD_REQUIRED" |w| t(w).items.clear();
            "terms.items" "TOO_MANY_ITEMS" |w| t(w).items = many("i", 65);
            "terms.items" "DUPLICATE_ITEM" |w| t(w).items.reverse();
            "terms.items[1]" "FIELD_REQUIRED" |w| t(w).items[1].clear();
            "terms.sources" "TOO_MANY_ITEMS" |w| t(w).sources = many("s", 65);
            "terms.sources" "DUPLICATE_ITEM" |w| t(w).sources.reverse();
            "terms.sources[1]" "FIELD_FORMAT" |w| t(w).sources[1] = "a_b".into();
            "terms.valid_until_ms" "FIELD_RANGE" |w| t(w).valid_until_ms = 1_000;
            "terms.valid_until_ms" "FIELD_RANGE" |w| t(w).valid_from_ms = u64::MAX;
            "terms.max_uses" "FIELD_RANGE" |w| t(w).max_uses = 0;
            "terms.max_uses" "FIELD_RANGE" |w| t(w).max_uses = 1_000_001;
            "terms.period_seconds" "FIELD_FORMAT" |w| t(w).period_seconds = 0;
            "terms.period_seconds" "FIELD_FORMAT" |w| t(w).max_uses_per_period = 0;
            "terms.data_life_days" "FIELD_RANGE" |w| t(w).data_life_days = 0;
            "terms.data_life_days" "FIELD_RANGE" |w| t(w).data_life_days = 3_651;
            "terms.document_digest" "FIELD_REQUIRED" |w| t(w).document_digest.clear();
            "terms.document_digest" "FIELD_LENGTH" |w| t(w).document_digest.push(0);
            "terms.text_digest" "FIELD_REQUIRED" |w| t(w).text_digest.clear();
            "terms.text_digest" "FIELD_LENGTH" |w| t(w).text_digest.push(0);
        }
        "decline_consent" DeclineConsent {
            "grant" "FIELD_REQUIRED" |w| w.grant.clear();
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
        }
        "pause_consent" PauseConsent {
            "grant" "FIELD_REQUIRED" |w| w.grant.clear();
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
        }
        "resume_consent" ResumeConsent {
            "grant" "FIELD_REQUIRED" |w| w.grant.clear();
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
        }
        "revoke_consent" RevokeConsent {
            "grant" "FIELD_REQUIRED" |w| w.grant.clear();
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
        }
        "place_order" PlaceOrder {
            "subject" "FIELD_REQUIRED" |w| w.subject.clear();
            "subject" "FIELD_LENGTH" |w| w.subject = b"91350100M000100Y43".to_vec();
            "grant" "FIELD_REQUIRED" |w| w.grant.clear();
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
            "purpose" "FIELD_REQUIRED" |w| w.purpose.clear();
            "purpose" "FIELD_TOO_LONG" |w| w.purpose = long(33);
            "purpose" "FIELD_FORMAT" |w| w.purpose = "credit approval".into();
            "items" "FIELD_REQUIRED" |w| w.items.clear();
            "items" "TOO_MANY_ITEMS" |w| w.items = many("i", 65);
            "items" "DUPLICATE_ITEM" |w| w.items.reverse();
            "items[1]" "FIELD_FORMAT" |w| w.items[1] = "纳税".into();
            "user" "FIELD_REQUIRED" |w| w.user.clear();
            "user" "FIELD_LENGTH" |w| w.user.push(0);
            "branch" "FIELD_TOO_LONG" |w| w.branch = long(65);
            "branch" "FIELD_FORMAT" |w| w.branch = "\u{1b}[31m".into();
            "deadline_ms" "FIELD_RANGE" |w| w.deadline_ms = 99;
            "deadline_ms" "FIELD_RANGE" |w| w.deadline_ms = 86_400_001;
            "recipient" "FIELD_REQUIRED" |w| w.recipient.clear();
            "recipient" "FIELD_LENGTH" |w| w.recipient.push(0);
        }
        "accept_part" AcceptPart {
            "order" "FIELD_REQUIRED" |w| w.order.clear();
            "part" "FIELD_RANGE" |w| w.part = 64;
            "part" "FIELD_RANGE" |w| w.part = u32::MAX;
        }
        "deliver_part" DeliverPart {
            "order" "FIELD_LENGTH" |w| w.order.push(0);
            "part" "FIELD_RANGE" |w| w.part = 256;
            "ciphertext_digest" "FIELD_REQUIRED" |w| w.ciphertext_digest.clear();
            "ciphertext_digest" "FIELD_LENGTH" |w| w.ciphertext_digest.push(0);
            "ciphertext_length" "FIELD_RANGE" |w| w.ciphertext_length = 0;
            "ciphertext_length" "FIELD_RANGE" |w| w.ciphertext_length = 16_842_753;
            "report_root" "FIELD_REQUIRED" |w| w.report_root.clear();
            "report_root" "FIELD_LENGTH" |w| w.report_root.push(0);
            "items" "FIELD_REQUIRED" |w| w.items.clear();
            "items" "TOO_MANY_ITEMS" |w| w.items = many("i", 65);
            "items" "DUPLICATE_ITEM" |w| w.items.reverse();
            "items[0]" "FIELD_FORMAT" |w| w.items[0] = "-".into();
            "seal_scheme" "FIELD_REQUIRED" |w| w.seal_scheme = 0;
            "seal_scheme" "ENUM_UNKNOWN" |w| w.seal_scheme = 3;
            "group_epoch" "FIELD_REQUIRED" |w| w.group_epoch = None;
            "group_epoch" "FIELD_FORMAT" |w| w.seal_scheme = 1;
            "group_epoch.authenticator" "FIELD_REQUIRED" |w| epoch(w).authenticator.clear();
            "group_epoch.authenticator" "FIELD_LENGTH" |w| epoch(w).authenticator.push(0);
        }
        "reject_part" RejectPart {
            "order" "FIELD_REQUIRED" |w| w.order.clear();
            "part" "FIELD_RANGE" |w| w.part = 64;
            "reason" "FIELD_REQUIRED" |w| w.reason = 0;
            "reason" "ENUM_UNKNOWN" |w| w.reason = 5;
        }
        "confirm_part" ConfirmPart {
            "order" "FIELD_REQUIRED" |w| w.order.clear();
            "part" "FIELD_RANGE" |w| w.part = 64;
            "verdict" "FIELD_REQUIRED" |w| w.verdict = 0;
            "verdict" "ENUM_UNKNOWN" |w| w.verdict = 5;
            "verdict" "ENUM_UNKNOWN" |w| w.verdict = i32::MIN;
        }
        "cancel_order" CancelOrder {
            "order" "FIELD_REQUIRED" |w| w.order.clear();
            "order" "FIELD_LENGTH" |w| w.order.push(0);
        }
        "dispute_order" DisputeOrder {
            "order" "FIELD_REQUIRED" |w| w.order.clear();
            "statement_digest" "FIELD_REQUIRED" |w| w.statement_digest.clear();
            "statement_digest" "FIELD_LENGTH" |w| w.statement_digest.push(0);
        }
        "settle_dispute" SettleDispute {
            "order" "FIELD_LENGTH" |w| w.order.push(0);
            "settlement_digest" "FIELD_REQUIRED" |w| w.settlement_digest.clear();
            "settlement_digest" "FIELD_LENGTH" |w| w.settlement_digest.push(0);
        }
        "record_refusal" RecordRefusal {
            "institution" "FIELD_REQUIRED" |w| w.institution.clear();
            "institution" "FIELD_FORMAT" |w| w.institution = "a b".into();
            "user" "FIELD_LENGTH" |w| w.user.push(0);
            "subject" "FIELD_LENGTH" |w| w.subject = b"91350100M000100Y43".to_vec();
            "purpose" "FIELD_TOO_LONG" |w| w.purpose = long(33);
            "purpose" "FIELD_FORMAT" |w| w.purpose = "\r".into();
            "items" "TOO_MANY_ITEMS" |w| w.items = many("i", 65);
            "items" "DUPLICATE_ITEM" |w| w.items.reverse();
            "items[0]" "FIELD_TOO_LONG" |w| w.items[0] = long(33);
            "grant" "FIELD_LENGTH" |w| w.grant.push(0);
            "reason" "FIELD_REQUIRED" |w| w.reason.clear();
            "reason" "FIELD_TOO_LONG" |w| w.reason = "A".repeat(65);
            "reason" "FIELD_FORMAT" |w| w.reason = "user unknown".into();
        }
        "file_objection" FileObjection {
            "subject" "FIELD_REQUIRED" |w| w.subject.clear();
            "subject" "FIELD_LENGTH" |w| w.subject = b"91350100M000100Y43".to_vec();
            "source" "FIELD_REQUIRED" |w| w.source.clear();
            "source" "FIELD_FORMAT" |w| w.source = "a b".into();
            "items" "FIELD_REQUIRED" |w| w.items.clear();
            "items" "TOO_MANY_ITEMS" |w| w.items = many("item_", 65);
            "items" "DUPLICATE_ITEM" |w| w.items.reverse();
            "items[0]" "FIELD_FORMAT" |w| w.items[0] = "A".into();
            "statement_digest" "FIELD_REQUIRED" |w| w.statement_digest.clear();
            "statement_digest" "FIELD_LENGTH" |w| w.statement_digest.push(0);
        }
        "resolve_objection" ResolveObjection {
            "objection" "FIELD_REQUIRED" |w| w.objection.clear();
            "objection" "FIELD_LENGTH" |w| w.objection.push(0);
            "finding" "FIELD_REQUIRED" |w| w.finding = 0;
            "finding" "ENUM_UNKNOWN" |w| w.finding = 4;
            "answer_digest" "FIELD_REQUIRED" |w| w.answer_digest.clear();
            "answer_digest" "FIELD_LENGTH" |w| w.answer_digest.push(0);
        }
        "withdraw_objection" WithdrawObjection {
            "objection" "FIELD_REQUIRED" |w| w.objection.clear();
            "objection" "FIELD_LENGTH" |w| w.objection.push(0);
        }
        "propose" Propose {
            "changes" "FIELD_REQUIRED" |w| w.changes.clear();
            "changes" "TOO_MANY_ITEMS" |w| w.changes = vec![w.changes[1].clone(); 17];
            "changes[3].kind" "FIELD_REQUIRED" |w| w.changes[3].kind = None;
            "reason" "FIELD_REQUIRED" |w| w.reason.clear();
            "reason" "FIELD_TOO_LONG" |w| w.reason = long(513);
            "changes[0].admit_member.kind" "FIELD_FORMAT" |w| b(w).kind = wire::MemberKind::Institution.into();
            "changes[0].admit_member.kind" "FIELD_FORMAT" |w| b(w).kind = wire::MemberKind::SourceUnit.into();
            "changes[0].admit_member.org" "FIELD_REQUIRED" |w| b(w).org.clear();
            "changes[1].suspend_member" "FIELD_REQUIRED" |w| suspend(w).clear();
            "changes[1].suspend_member" "FIELD_FORMAT" |w| *suspend(w) = "A".into();
            "changes[2].reinstate_member" "FIELD_REQUIRED" |w| reinstate(w).clear();
            "changes[2].reinstate_member" "FIELD_TOO_LONG" |w| *reinstate(w) = long(33);
            "changes[3].expel_member" "FIELD_FORMAT" |w| *expel(w) = "a b".into();
            "changes[4].set_validator.org" "FIELD_REQUIRED" |w| v(w).org.clear();
            "changes[4].set_validator.public_key" "FIELD_REQUIRED" |w| v(w).public_key.clear();
            "changes[4].set_validator.public_key" "FIELD_LENGTH" |w| v(w).public_key.push(0);
            "changes[4].set_validator.public_key" "FIELD_FORMAT" |w| v(w).public_key[0] = 4;
            "changes[4].set_validator.endpoint" "FIELD_REQUIRED" |w| v(w).endpoint.clear();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "http://node.example:7000".into();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "https://node.example".into();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "https://node.example:0".into();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "https://node.example:70000".into();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "https://node.example/x:7000".into();
            "changes[4].set_validator.endpoint" "FIELD_FORMAT" |w| v(w).endpoint = "https://:7000".into();
            "changes[4].set_validator.endpoint" "FIELD_TOO_LONG" |w| v(w).endpoint = long(257);
            "changes[5].remove_validator" "FIELD_REQUIRED" |w| remove(w).clear();
            "changes[6].set_engine" "FIELD_REQUIRED" |w| *engine(w) = 0;
            "changes[6].set_engine" "ENUM_UNKNOWN" |w| *engine(w) = 4;
            "changes[7].set_parameters.max_expiry_window" "FIELD_RANGE" |w| p(w).max_expiry_window = 0;
            "changes[7].set_parameters.max_expiry_window" "FIELD_RANGE" |w| p(w).max_expiry_window = 1_000_001;
            "changes[7].set_parameters.max_consent_days" "FIELD_RANGE" |w| p(w).max_consent_days = 3_651;
            "changes[7].set_parameters.max_deadlines_per_block" "FIELD_RANGE" |w| p(w).max_deadlines_per_block = 10_001;
            "changes[7].set_parameters.checkpoint_interval" "FIELD_RANGE" |w| p(w).checkpoint_interval = 7;
            "changes[7].set_parameters.checkpoint_interval" "FIELD_RANGE" |w| p(w).checkpoint_interval = 1_000_001;
            "changes[7].set_parameters.min_validator_key_blocks" "FIELD_RANGE" |w| p(w).min_validator_key_blocks = 1_000_001;
            "changes[7].set_parameters.governance" "FIELD_REQUIRED" |w| p(w).governance = None;
            "changes[7].set_parameters.governance.participation_percent" "FIELD_RANGE" |w| g(w).participation_percent = 50;
            "changes[7].set_parameters.governance.participation_percent" "FIELD_RANGE" |w| g(w).participation_percent = 101;
            "changes[7].set_parameters.governance.approval_percent" "FIELD_RANGE" |w| g(w).approval_percent = 50;
            "changes[7].set_parameters.governance.approval_percent" "FIELD_RANGE" |w| g(w).approval_percent = 101;
            "changes[7].set_parameters.governance.voting_days" "FIELD_RANGE" |w| g(w).voting_days = 0;
            "changes[7].set_parameters.governance.voting_days" "FIELD_RANGE" |w| g(w).voting_days = 91;
            "changes[8].publish_catalogue.version" "FIELD_RANGE" |w| c(w).version = 0;
            "changes[8].publish_catalogue.groups" "FIELD_REQUIRED" |w| c(w).groups.clear();
            "changes[8].publish_catalogue.groups" "TOO_MANY_ITEMS" |w| c(w).groups = vec![c(w).groups[0].clone(); 33];
            "changes[8].publish_catalogue.groups" "DUPLICATE_ITEM" |w| c(w).groups[1].code = "records".into();
            "changes[8].publish_catalogue.groups[1].code" "FIELD_FORMAT" |w| c(w).groups[1].code = "a-b".into();
            "changes[8].publish_catalogue.groups[1].name_zh" "FIELD_REQUIRED" |w| c(w).groups[1].name_zh.clear();
            "changes[8].publish_catalogue.groups[1].name_en" "FIELD_TOO_LONG" |w| c(w).groups[1].name_en = long(129);
            "changes[8].publish_catalogue.items" "FIELD_REQUIRED" |w| c(w).items.clear();
            "changes[8].publish_catalogue.items" "TOO_MANY_ITEMS" |w| c(w).items = vec![c(w).items[0].clone(); 257];
            "changes[8].publish_catalogue.items" "DUPLICATE_ITEM" |w| c(w).items.reverse();
            "changes[8].publish_catalogue.items" "DUPLICATE_ITEM" |w| c(w).items[1].code = "customs_record".into();
            "changes[8].publish_catalogue.items[1].code" "FIELD_FORMAT" |w| c(w).items[1].code = "a-b".into();
            "changes[8].publish_catalogue.items[1].name_zh" "FIELD_REQUIRED" |w| c(w).items[1].name_zh.clear();
            "changes[8].publish_catalogue.items[1].name_en" "FIELD_TOO_LONG" |w| c(w).items[1].name_en = long(129);
            "changes[8].publish_catalogue.items[1].group" "FIELD_REQUIRED" |w| c(w).items[1].group.clear();
            "changes[8].publish_catalogue.items[1].group" "FIELD_FORMAT" |w| c(w).items[1].group = "nowhere".into();
            "changes[8].publish_catalogue.items[1].place" "FIELD_RANGE" |w| c(w).items[1].place = 10_000;
            "changes[8].publish_catalogue.items[1].shape" "FIELD_REQUIRED" |w| c(w).items[1].shape = None;
            "changes[8].publish_catalogue.items[0].list.max_entries" "FIELD_RANGE" |w| entries(w).max_entries = 0;
            "changes[8].publish_catalogue.items[0].list.max_entries" "FIELD_RANGE" |w| entries(w).max_entries = 2_001;
            "changes[8].publish_catalogue.items[1].fields" "FIELD_REQUIRED" |w| c(w).items[1].fields.clear();
            "changes[8].publish_catalogue.items[1].fields" "TOO_MANY_ITEMS" |w| c(w).items[1].fields = vec![c(w).items[1].fields[0].clone(); 65];
            "changes[8].publish_catalogue.items[1].fields" "DUPLICATE_ITEM" |w| c(w).items[1].fields = vec![c(w).items[1].fields[0].clone(); 2];
            "changes[8].publish_catalogue.items[0].key[0]" "FIELD_FORMAT" |w| c(w).items[0].key = vec!["nothing".into()];
            "changes[8].publish_catalogue.items[0].key" "TOO_MANY_ITEMS" |w| c(w).items[0].key = vec!["number".into(); 5];
            "changes[8].publish_catalogue.items[0].key" "DUPLICATE_ITEM" |w| c(w).items[0].key = vec!["number".into(); 2];
            "changes[8].publish_catalogue.items[1].fresh_days" "FIELD_RANGE" |w| c(w).items[1].fresh_days = 0;
            "changes[8].publish_catalogue.items[1].fresh_days" "FIELD_RANGE" |w| c(w).items[1].fresh_days = 3_651;
            "changes[8].publish_catalogue.items[1].keep_days" "FIELD_RANGE" |w| c(w).items[1].keep_days = 0;
            "changes[8].publish_catalogue.items[1].keep_days" "FIELD_RANGE" |w| c(w).items[1].keep_days = 36_501;
            "changes[8].publish_catalogue.items[1].sensitivity" "FIELD_REQUIRED" |w| c(w).items[1].sensitivity = 0;
            "changes[8].publish_catalogue.items[1].sensitivity" "ENUM_UNKNOWN" |w| c(w).items[1].sensitivity = 4;
            "changes[8].publish_catalogue.items[1].owner" "FIELD_FORMAT" |w| c(w).items[1].owner = "sh-bureau".into();
            "changes[8].publish_catalogue.items[3].owner" "FIELD_FORMAT" |w| c(w).items[3].owner.clear();
            "changes[8].publish_catalogue.items[3].owner" "FIELD_FORMAT" |w| c(w).items[3].owner = "Shanghai".into();
            "changes[8].publish_catalogue.items[2].fields[0].name" "FIELD_REQUIRED" |w| f(w, 2, 0).name.clear();
            "changes[8].publish_catalogue.items[2].fields[0].name" "FIELD_FORMAT" |w| f(w, 2, 0).name = "a.b".into();
            "changes[8].publish_catalogue.items[2].fields[0].name_zh" "FIELD_REQUIRED" |w| f(w, 2, 0).name_zh.clear();
            "changes[8].publish_catalogue.items[2].fields[0].name_en" "USCC_EXPOSED" |w| f(w, 2, 0).name_en = "91350100M000100Y43".into();
            "changes[8].publish_catalogue.items[2].fields[0].type" "FIELD_REQUIRED" |w| f(w, 2, 0).r#type = None;
            "changes[8].publish_catalogue.items[2].fields[0].text.max_chars" "FIELD_RANGE" |w| set(f(w, 2, 0), wire::TextType { max_chars: 0 });
            "changes[8].publish_catalogue.items[2].fields[0].text.max_chars" "FIELD_RANGE" |w| set(f(w, 2, 0), wire::TextType { max_chars: 10_001 });
            "changes[8].publish_catalogue.items[2].fields[2].integer.min" "FIELD_FORMAT" |w| set(f(w, 2, 2), wire::IntegerType { min: -(1 << 53), max: 1, unit: String::new() });
            "changes[8].publish_catalogue.items[2].fields[2].integer.max" "FIELD_FORMAT" |w| set(f(w, 2, 2), wire::IntegerType { min: 1, max: i64::MAX, unit: String::new() });
            "changes[8].publish_catalogue.items[2].fields[2].integer.max" "FIELD_FORMAT" |w| set(f(w, 2, 2), wire::IntegerType { min: 1, max: 0, unit: String::new() });
            "changes[8].publish_catalogue.items[2].fields[2].integer.unit" "FIELD_TOO_LONG" |w| set(f(w, 2, 2), wire::IntegerType { min: 1, max: 1, unit: long(33) });
            "changes[8].publish_catalogue.items[1].fields[0].decimal.unit" "FIELD_TOO_LONG" |w| set(f(w, 1, 0), wire::DecimalType { unit: long(33), min: String::new(), max: String::new() });
            "changes[8].publish_catalogue.items[1].fields[0].decimal.min" "FIELD_FORMAT" |w| set(f(w, 1, 0), wire::DecimalType { unit: String::new(), min: "1.50".into(), max: String::new() });
            "changes[8].publish_catalogue.items[1].fields[0].decimal.max" "FIELD_FORMAT" |w| set(f(w, 1, 0), wire::DecimalType { unit: String::new(), min: "2".into(), max: "1.5".into() });
            "changes[8].publish_catalogue.items[2].fields[1].money.currency" "FIELD_FORMAT" |w| set(f(w, 2, 1), wire::MoneyType { currency: "yuan".into(), min: String::new(), max: String::new() });
            "changes[8].publish_catalogue.items[2].fields[1].money.min" "FIELD_FORMAT" |w| set(f(w, 2, 1), wire::MoneyType { currency: String::new(), min: "1".into(), max: String::new() });
            "changes[8].publish_catalogue.items[2].fields[1].money.max" "FIELD_FORMAT" |w| set(f(w, 2, 1), wire::MoneyType { currency: String::new(), min: "-1.00".into(), max: "-1.50".into() });
            "changes[8].publish_catalogue.items[0].fields[2].code.values" "FIELD_REQUIRED" |w| set(f(w, 0, 2), wire::CodeType { values: vec![] });
            "changes[8].publish_catalogue.items[0].fields[2].code.values" "TOO_MANY_ITEMS" |w| set(f(w, 0, 2), wire::CodeType { values: vec![value("a", "甲", "a"); 65] });
            "changes[8].publish_catalogue.items[0].fields[2].code.values" "DUPLICATE_ITEM" |w| set(f(w, 0, 2), wire::CodeType { values: vec![value("a", "甲", "a"); 2] });
            "changes[8].publish_catalogue.items[0].fields[2].code.values[0].code" "FIELD_REQUIRED" |w| set(f(w, 0, 2), wire::CodeType { values: vec![value("", "甲", "a")] });
            "changes[8].publish_catalogue.items[0].fields[2].code.values[0].name_zh" "FIELD_REQUIRED" |w| set(f(w, 0, 2), wire::CodeType { values: vec![value("a", "", "a")] });
            "changes[8].publish_catalogue.items[0].fields[2].code.values[0].name_en" "FIELD_REQUIRED" |w| set(f(w, 0, 2), wire::CodeType { values: vec![value("a", "甲", "")] });
            "changes[8].publish_catalogue.catalogue" "FIELD_TOO_LONG" |w| {
                // Each within its limits, all together too much: 200 items of 64 fields.
                let mut item = c(w).items[1].clone();
                item.fields = (0..64).map(|at| wire::CatalogueField { name: format!("field_{at}"), ..item.fields[0].clone() }).collect();
                c(w).items = (0..200).map(|at| wire::CatalogueItem { code: format!("item_{at:03}"), ..item.clone() }).collect();
            };
            "changes[8].publish_catalogue.purposes" "FIELD_REQUIRED" |w| c(w).purposes.clear();
            "changes[8].publish_catalogue.purposes" "TOO_MANY_ITEMS" |w| c(w).purposes = vec![c(w).purposes[0].clone(); 65];
            "changes[8].publish_catalogue.purposes" "DUPLICATE_ITEM" |w| c(w).purposes.reverse();
            "changes[8].publish_catalogue.purposes" "DUPLICATE_ITEM" |w| {
                let mut again = c(w).purposes[1].clone();
                again.name_en.push('z');
                c(w).purposes.push(again);
            };
            "changes[8].publish_catalogue.purposes[0].code" "FIELD_REQUIRED" |w| c(w).purposes[0].code.clear();
            "changes[8].publish_catalogue.purposes[0].name_zh" "FIELD_TOO_LONG" |w| c(w).purposes[0].name_zh = long(129);
            "changes[8].publish_catalogue.purposes[0].name_en" "FIELD_FORMAT" |w| c(w).purposes[0].name_en = "\t".into();
            "changes[9].set_weight.org" "FIELD_FORMAT" |w| weight(w).org = "-".into();
            "changes[9].set_weight.weight" "FIELD_RANGE" |w| weight(w).weight = 1_001;
        }
        "vote" Vote {
            "proposal" "FIELD_REQUIRED" |w| w.proposal.clear();
            "proposal" "FIELD_LENGTH" |w| w.proposal.push(0);
            "choice" "FIELD_REQUIRED" |w| w.choice = 0;
            "choice" "ENUM_UNKNOWN" |w| w.choice = 3;
        }
        "withdraw_proposal" WithdrawProposal {
            "proposal" "FIELD_REQUIRED" |w| w.proposal.clear();
            "proposal" "FIELD_LENGTH" |w| w.proposal.truncate(31);
        }
        "rotate_validator" RotateValidator {
            "public_key" "FIELD_REQUIRED" |w| w.public_key.clear();
            "public_key" "FIELD_FORMAT" |w| w.public_key[0] = 4;
            "endpoint" "FIELD_REQUIRED" |w| w.endpoint.clear();
            "endpoint" "FIELD_FORMAT" |w| w.endpoint = "node.example:7000".into();
        }
        "report_equivocation" ReportEquivocation {
            "evidence" "FIELD_REQUIRED" |w| w.evidence = None;
            "evidence.validator" "FIELD_REQUIRED" |w| e(w).validator.clear();
            "evidence.validator" "FIELD_LENGTH" |w| e(w).validator.push(0);
            "evidence.height" "FIELD_RANGE" |w| e(w).height = 0;
            "evidence.first" "FIELD_REQUIRED" |w| e(w).first = None;
            "evidence.second" "FIELD_REQUIRED" |w| e(w).second = None;
            "evidence.second" "DUPLICATE_ITEM" |w| e(w).second = e(w).first.clone();
            "evidence.second" "DUPLICATE_ITEM" |w| { let other = e(w).first.take(); e(w).first = e(w).second.take(); e(w).second = other; };
            "evidence.first.kind" "FIELD_REQUIRED" |w| first(w).kind = 0;
            "evidence.first.kind" "ENUM_UNKNOWN" |w| first(w).kind = 4;
            "evidence.first.header_hash" "FIELD_REQUIRED" |w| first(w).header_hash.clear();
            "evidence.first.header_hash" "FIELD_LENGTH" |w| first(w).header_hash.push(0);
            "evidence.first.after_pol_round" "FIELD_RANGE" |w| first(w).after_pol_round = u64::from(u32::MAX) + 2;
            "evidence.first.signature" "FIELD_LENGTH" |w| first(w).signature.push(0);
            "evidence.first.signature" "FIELD_FORMAT" |w| first(w).signature.fill(0);
            "evidence.second.kind" "FIELD_REQUIRED" |w| second(w).kind = 0;
            "evidence.second.header_hash" "FIELD_LENGTH" |w| second(w).header_hash.truncate(3);
            // A vote names no earlier round.
            "evidence.second.after_pol_round" "FIELD_RANGE" |w| second(w).kind = 2;
            "evidence.second.signature" "FIELD_REQUIRED" |w| second(w).signature.clear();
        }
    };
    rows
}

#[track_caller]
fn check(encoded: &[u8], field: &str, code: &str) {
    let fault = Tx::parse(encoded).expect_err(&format!("{field} {code} was accepted"));
    if let Ok(decoded) = wire::Transaction::decode(encoded)
        && decoded.encode_to_vec() == encoded
    {
        assert_eq!(Tx::from_wire(decoded), Err(fault.clone()));
    }
    assert_eq!((fault.field.as_str(), fault.problem.code()), (field, code));
    // What is wrong is said in words, too, and never by repeating the input's own text.
    assert!(fault.to_string().starts_with(field), "{fault}");
}

#[test]
fn every_action_is_accepted_when_it_is_right() {
    for (name, action) in actions() {
        let encoded = outer(action).encode_to_vec();
        let tx = Tx::parse(&encoded).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let decoded = wire::Transaction::decode(&encoded[..]).unwrap();
        assert_eq!(Tx::from_wire(decoded).as_ref(), Ok(&tx));
        assert_eq!(tx.action_name(), name);
        assert_eq!(tx.encoded(), encoded);
    }
}

#[test]
fn every_wrong_field_of_every_action_is_named_with_its_problem() {
    for row in rows() {
        let field = format!("{}.{}", row.action, row.field);
        check(&outer(row.made).encode_to_vec(), &field, row.code);
    }
}

#[test]
fn no_field_of_an_action_is_without_a_row() {
    // Every value of these means something.
    let any_value = [
        "register_digests.entries.as_of_day",
        "request_consent.lapses_at_ms",
        "grant_consent.terms.valid_from_ms",
        "grant_consent.terms.max_uses_per_period",
        "grant_consent.terms.onward_sharing",
        "propose.effective_height",
        "propose.changes.publish_catalogue.items.list.exhaustive",
        "propose.changes.publish_catalogue.items.fields.required",
        "propose.changes.publish_catalogue.items.fields.sensitive",
        "report_equivocation.evidence.round",
        "deliver_part.group_epoch.generation",
        "deliver_part.group_epoch.epoch",
    ];
    let have: BTreeSet<String> = rows()
        .iter()
        .map(|row| format!("{}.{}", row.action, without_places(row.field)))
        .collect();
    let mut seen = 0;
    for Field { name, kind, .. } in fields_of("TxBody") {
        if ["version", "chain_id", "nonce", "expires_at_height"].contains(&name.as_str()) {
            continue;
        }
        seen += 1;
        // Both have the same terms, which are one type, and so is a member however it is admitted.
        let shared = ["request_consent", "propose"].contains(&name.as_str());
        for (path, _) in paths(&kind, &format!("{name}.")) {
            assert!(
                have.contains(&path)
                    || any_value.contains(&path.as_str())
                    || (shared
                        && [".terms.", ".admit_member."]
                            .iter()
                            .any(|it| path.contains(it))),
                "no row for {path}"
            );
        }
    }
    assert_eq!(seen, actions().len(), "an action has no sample");
}

#[test]
fn what_surrounds_an_action_is_checked_too() {
    let (_, action) = actions().swap_remove(0);
    let with_body = |change: &dyn Fn(&mut wire::TxBody)| {
        let mut made = body(action.clone());
        change(&mut made);
        wire::Transaction {
            body: made.encode_to_vec(),
            ..outer(action.clone())
        }
        .encode_to_vec()
    };
    let with = |change: &dyn Fn(&mut wire::Transaction)| {
        let mut made = outer(action.clone());
        change(&mut made);
        made.encode_to_vec()
    };
    let n =
        hex::decode("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123").unwrap();
    let half = [1_u8; 32].to_vec();
    let zero = [0_u8; 32].to_vec();
    let signature = |r: &[u8], s: &[u8]| {
        let both = [r, s].concat();
        with(&|w| w.signature = both.clone())
    };
    let good = outer(action.clone()).encode_to_vec();
    let plus = |extra: &[u8]| [good.as_slice(), extra].concat();
    #[rustfmt::skip]
    let rows: Vec<(Vec<u8>, &str, &str)> = vec![
        (vec![], "transaction.body", REQUIRED),
        (with(&|w| w.body.clear()), "transaction.body", REQUIRED),
        (with(&|w| w.body = vec![0; MAX_BODY_BYTES + 1]), "transaction.body", "FIELD_TOO_LONG"),
        (vec![0; MAX_TX_BYTES + 1], "transaction", "FIELD_TOO_LONG"),
        (with(&|w| w.signer.clear()), "transaction.signer", REQUIRED),
        (with(&|w| w.signer.push(0)), "transaction.signer", "FIELD_LENGTH"),
        (with(&|w| w.signature.clear()), "transaction.signature", REQUIRED),
        (with(&|w| w.signature.truncate(63)), "transaction.signature", "FIELD_LENGTH"),
        (with(&|w| w.signature.push(0)), "transaction.signature", "FIELD_LENGTH"),
        // r or s that no signature has: 0, n, and beyond.
        (signature(&zero, &zero), "transaction.signature", "FIELD_FORMAT"),
        (signature(&zero, &half), "transaction.signature", "FIELD_FORMAT"),
        (signature(&half, &zero), "transaction.signature", "FIELD_FORMAT"),
        (signature(&n, &half), "transaction.signature", "FIELD_FORMAT"),
        (signature(&half, &n), "transaction.signature", "FIELD_FORMAT"),
        (signature(&[0xff; 32], &half), "transaction.signature", "FIELD_FORMAT"),
        (with_body(&|w| w.version = 0), "body.version", "FIELD_RANGE"),
        (with_body(&|w| w.version = 2), "body.version", "FIELD_RANGE"),
        (with_body(&|w| w.chain_id.clear()), "body.chain_id", REQUIRED),
        (with_body(&|w| w.chain_id.push(0)), "body.chain_id", "FIELD_LENGTH"),
        (with_body(&|w| w.nonce.clear()), "body.nonce", REQUIRED),
        (with_body(&|w| w.nonce.push(0)), "body.nonce", "FIELD_LENGTH"),
        (with_body(&|w| w.action = None), "body.action", REQUIRED),
        // No message at all, and messages that are not written as they must be.
        (good[..good.len() - 1].to_vec(), "transaction", "MESSAGE_MALFORMED"),
        (with(&|w| { w.body.pop(); }), "body", "MESSAGE_MALFORMED"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "transaction", "MESSAGE_MALFORMED"),
        // An unknown field, a field twice, a field left at its default but written.
        (plus(&[0x20, 1]), "transaction", "NOT_CANONICAL"),
        (plus(&[0x12, 1, 7]), "transaction", "NOT_CANONICAL"),
        (with(&|w| w.body.extend([0x08, 1])), "body", "NOT_CANONICAL"),
        (with(&|w| w.body.extend([0x20, 0])), "body", "NOT_CANONICAL"),
        // The version as a varint of two bytes.
        (with(&|w| { w.body.splice(1..2, [0x81, 0x00]); }), "body", "NOT_CANONICAL"),
    ];
    for (encoded, field, code) in rows {
        check(&encoded, field, code);
    }
}

#[test]
fn text_that_is_not_utf_8_is_no_message() {
    let A::FreezeMember(_) = sample("freeze_member") else {
        panic!("another variant")
    };
    let mut made = body(sample("freeze_member")).encode_to_vec();
    let at = made
        .windows(7)
        .position(|window| window == b"js-bank")
        .unwrap();
    made[at] = 0xff;
    let encoded = wire::Transaction {
        body: made,
        ..outer(sample("freeze_member"))
    }
    .encode_to_vec();
    check(&encoded, "body", "MESSAGE_MALFORMED");
}

/// A field's type, from the message of any of them.
struct FieldType(wire::catalogue_field::Type);

macro_rules! field_types {
    ($($message:ident $variant:ident),+) => {
        $(impl From<wire::$message> for FieldType {
            fn from(message: wire::$message) -> Self {
                Self(wire::catalogue_field::Type::$variant(message))
            }
        })+
    };
}
field_types!(TextType Text, IntegerType Integer, DecimalType Decimal, MoneyType Money, CodeType Code);
