//! Every RPC of the contract, called with fields that are missing, too long, too short, out of range or
//! malformed, and with bytes that are no message.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use xinqiao_it::{
    Consortium, Kind,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    raw::{self, reason},
};
use xinqiao_ledger::wire;
use xinqiao_rpc::{
    Role, RpcChannel,
    limits::{MAX_MESSAGE_BYTES, MAX_SEALED_MESSAGE_BYTES},
};

use crate::{Complaints, State, check};

const LONG: usize = 33;

/// One bad request and what it is to be answered with.
struct Row {
    method: &'static str,
    what: &'static str,
    message: Vec<u8>,
    expected: &'static str,
}

fn row(
    method: &'static str,
    what: &'static str,
    message: &impl Message,
    expected: &'static str,
) -> Row {
    Row {
        method,
        what,
        message: message.encode_to_vec(),
        expected,
    }
}

/// The rows for every field of every request, one a line. Requests without fields have the general ones
/// alone.
#[rustfmt::skip]
fn rows(uscc: &str, purpose: &str) -> Vec<Row> {
    let short = vec![7; 31];
    let id = vec![7; 32];
    let long = "a".repeat(LONG);
    let text65 = "x".repeat(65);
    let query = wire::QueryReportRequest {
        uscc: uscc.into(),
        purpose: purpose.into(),
        user: "clerk-7".into(),
        ..Default::default()
    };
    let ask = wire::RequestGrantRequest {
        uscc: uscc.into(),
        purposes: vec![purpose.into()],
        items: vec!["tax_payment".into()],
        valid_days: 30,
        max_uses: 1,
        data_life_days: 30,
        lapses_after_days: 7,
    };
    let mut rows = vec![
        row("LedgerService/GetBlock", "height 0", &wire::GetBlockRequest { height: 0 }, "FIELD_RANGE"),
        row("LedgerService/GetBlock", "no such height", &wire::GetBlockRequest { height: u64::MAX }, "BLOCK_NOT_FOUND"),
        row("LedgerService/StreamBlocks", "height 0", &wire::StreamBlocksRequest { from_height: 0 }, "FIELD_RANGE"),
        row("LedgerService/GetReceipt", "no id", &wire::GetReceiptRequest::default(), "FIELD_REQUIRED"),
        row("LedgerService/GetReceipt", "short id", &wire::GetReceiptRequest { tx_id: short.clone(), wait_ms: 0 }, "FIELD_LENGTH"),
        row("LedgerService/GetReceipt", "unknown id", &wire::GetReceiptRequest { tx_id: id.clone(), wait_ms: 0 }, "TX_NOT_FOUND"),
        row("LedgerService/GetReceipt", "long wait", &wire::GetReceiptRequest { tx_id: id.clone(), wait_ms: 60_001 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "height 0", &wire::GetHistoryProofRequest { height: 0, tip_height: 2 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "backwards", &wire::GetHistoryProofRequest { height: 2, tip_height: 1 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "not there yet", &wire::GetHistoryProofRequest { height: 1, tip_height: u64::MAX }, "BLOCK_NOT_FOUND"),
        row("SubmissionService/SubmitTransaction", "no transaction", &wire::SubmitTransactionRequest::default(), "FIELD_REQUIRED"),
        row("SubmissionService/SubmitTransaction", "long wait", &wire::SubmitTransactionRequest { transaction: Some(wire::Transaction::default()), wait_ms: 60_001 }, "FIELD_RANGE"),
        row("SubmissionService/SubmitTransaction", "empty transaction", &wire::SubmitTransactionRequest { transaction: Some(wire::Transaction::default()), wait_ms: 0 }, "FIELD_REQUIRED"),
        row("StateService/GetMember", "not said which", &wire::GetMemberRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetMember", "long id", &member_by(wire::get_member_request::By::Org(long.clone())), "FIELD_TOO_LONG"),
        row("StateService/GetMember", "malformed id", &member_by(wire::get_member_request::By::Org("Not A Slug".into())), "FIELD_FORMAT"),
        row("StateService/GetMember", "unknown id", &member_by(wire::get_member_request::By::Org("nobody".into())), "MEMBER_UNKNOWN"),
        row("StateService/GetMember", "short fingerprint", &member_by(wire::get_member_request::By::Certificate(short.clone())), "FIELD_LENGTH"),
        row("StateService/GetMember", "short key id", &member_by(wire::get_member_request::By::KeyId(short.clone())), "FIELD_LENGTH"),
        row("StateService/GetDigest", "no subject", &wire::GetDigestRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetDigest", "short subject", &wire::GetDigestRequest { subject: short.clone(), source: "a".into() }, "FIELD_LENGTH"),
        row("StateService/GetDigest", "no source", &wire::GetDigestRequest { subject: id.clone(), source: String::new() }, "FIELD_REQUIRED"),
        row("StateService/GetDigest", "long source", &wire::GetDigestRequest { subject: id.clone(), source: long.clone() }, "FIELD_TOO_LONG"),
        row("StateService/GetDigest", "unknown source", &wire::GetDigestRequest { subject: id.clone(), source: "nowhere".into() }, "SOURCE_UNKNOWN"),
        row("StateService/GetGrant", "no id", &wire::GetGrantRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetGrant", "short id", &wire::GetGrantRequest { grant: short.clone() }, "FIELD_LENGTH"),
        row("StateService/GetGrant", "unknown id", &wire::GetGrantRequest { grant: id.clone() }, "CONSENT_NOT_FOUND"),
        row("StateService/ListGrants", "no subject", &wire::ListGrantsRequest::default(), "FIELD_REQUIRED"),
        row("StateService/ListGrants", "long grantee", &wire::ListGrantsRequest { subject: id.clone(), grantee: long.clone() }, "FIELD_TOO_LONG"),
        row("StateService/GetOrder", "short id", &wire::GetOrderRequest { order: short.clone() }, "FIELD_LENGTH"),
        row("StateService/GetOrder", "unknown id", &wire::GetOrderRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("AuditService/ListAccess", "long institution", &wire::ListAccessRequest { institution: long.clone(), ..Default::default() }, "FIELD_TOO_LONG"),
        row("AuditService/ListAccess", "short subject", &wire::ListAccessRequest { subject: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("AuditService/ListAccess", "huge page", &wire::ListAccessRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("AuditService/ListOrders", "huge page", &wire::ListOrdersRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("AuditService/GetEvidence", "no id", &wire::GetEvidenceRequest::default(), "FIELD_REQUIRED"),
        row("AuditService/GetEvidence", "unknown id", &wire::GetEvidenceRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("OrderService/PlaceOrder", "no transaction", &wire::OrderServicePlaceOrderRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/WatchOrder", "short id", &wire::WatchOrderRequest { order: short.clone() }, "FIELD_LENGTH"),
        row("OrderService/WatchOrder", "unknown id", &wire::WatchOrderRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("OrderService/FetchPart", "no id", &wire::FetchPartRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/FetchPart", "no such part", &wire::FetchPartRequest { order: id.clone(), part: 64 }, "FIELD_RANGE"),
        row("OrderService/FetchPart", "unknown id", &wire::FetchPartRequest { order: id.clone(), part: 0 }, "ORDER_NOT_FOUND"),
        row("OrderService/SubmitOrderChange", "no transaction", &wire::SubmitOrderChangeRequest::default(), "FIELD_REQUIRED"),
        row("DeliveryService/RelayPart", "no id", &wire::RelayPartRequest::default(), "FIELD_REQUIRED"),
        row("DeliveryService/RelayPart", "short id", &wire::RelayPartRequest { order: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("DeliveryService/RelayPart", "no such part", &wire::RelayPartRequest { order: id.clone(), part: 64, wait_ms: 0 }, "FIELD_RANGE"),
        row("DeliveryService/RelayPart", "long wait", &wire::RelayPartRequest { order: id.clone(), part: 0, wait_ms: 86_400_001 }, "FIELD_RANGE"),
        row("ConsentService/SubmitConsent", "no transaction", &wire::SubmitConsentRequest::default(), "FIELD_REQUIRED"),
        row("ConsentService/ListConsents", "short subject", &wire::ListConsentsRequest { subject: short.clone() }, "FIELD_LENGTH"),
        row("ReportService/QueryReport", "no purpose", &wire::QueryReportRequest { purpose: String::new(), ..query.clone() }, "FIELD_REQUIRED"),
        row("ReportService/QueryReport", "long purpose", &wire::QueryReportRequest { purpose: long.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "unknown purpose", &wire::QueryReportRequest { purpose: "curiosity".into(), ..query.clone() }, "PURPOSE_DENIED"),
        row("ReportService/QueryReport", "long item", &wire::QueryReportRequest { items: vec![long.clone()], ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "malformed item", &wire::QueryReportRequest { items: vec!["Tax Payment".into()], ..query.clone() }, "FIELD_FORMAT"),
        row("ReportService/QueryReport", "unknown item", &wire::QueryReportRequest { items: vec!["horoscope".into()], ..query.clone() }, "ITEM_UNKNOWN"),
        row("ReportService/QueryReport", "an item twice", &wire::QueryReportRequest { items: vec!["tax_payment".into(); 2], ..query.clone() }, "DUPLICATE_ITEM"),
        row("ReportService/QueryReport", "65 items", &wire::QueryReportRequest { items: vec!["tax_payment".into(); 65], ..query.clone() }, "TOO_MANY_ITEMS"),
        row("ReportService/QueryReport", "short grant", &wire::QueryReportRequest { grant: short.clone(), ..query.clone() }, "FIELD_LENGTH"),
        row("ReportService/QueryReport", "unknown grant", &wire::QueryReportRequest { grant: id.clone(), ..query.clone() }, "CONSENT_NOT_FOUND"),
        row("ReportService/QueryReport", "no user", &wire::QueryReportRequest { user: String::new(), ..query.clone() }, "FIELD_REQUIRED"),
        row("ReportService/QueryReport", "long user", &wire::QueryReportRequest { user: text65.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "long branch", &wire::QueryReportRequest { branch: text65.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "short deadline", &wire::QueryReportRequest { deadline_ms: 99, ..query.clone() }, "FIELD_RANGE"),
        row("ReportService/QueryReport", "long deadline", &wire::QueryReportRequest { deadline_ms: 86_400_001, ..query.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "no purposes", &wire::RequestGrantRequest { purposes: vec![], ..ask.clone() }, "FIELD_REQUIRED"),
        row("ReportService/RequestGrant", "17 purposes", &wire::RequestGrantRequest { purposes: vec![purpose.into(); 17], ..ask.clone() }, "TOO_MANY_ITEMS"),
        row("ReportService/RequestGrant", "no items", &wire::RequestGrantRequest { items: vec![], ..ask.clone() }, "FIELD_REQUIRED"),
        row("ReportService/RequestGrant", "valid for 0 days", &wire::RequestGrantRequest { valid_days: 0, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "no use", &wire::RequestGrantRequest { max_uses: 0, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "kept for ever", &wire::RequestGrantRequest { data_life_days: 3_651, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "lapses at once", &wire::RequestGrantRequest { lapses_after_days: 0, ..ask.clone() }, "FIELD_RANGE"),
    ];
    for (what, code, expected) in bad_codes(uscc) {
        let bad = [
            row("ReportService/QueryReport", what, &wire::QueryReportRequest { uscc: code.clone(), ..query.clone() }, expected),
            row("ReportService/ListGrants", what, &wire::ReportServiceListGrantsRequest { uscc: code.clone() }, expected),
            row("ReportService/RequestGrant", what, &wire::RequestGrantRequest { uscc: code, ..ask.clone() }, expected),
        ];
        rows.extend(bad);
    }
    rows
}

/// Every kind of unified social credit code that is none.
fn bad_codes(good: &str) -> Vec<(&'static str, String, &'static str)> {
    let other = |last: char| format!("{}{last}", &good[..17]);
    vec![
        ("no code", String::new(), "USCC_LENGTH"),
        (
            "a code of 17 characters",
            good[..17].to_owned(),
            "USCC_LENGTH",
        ),
        ("a code of 19 characters", format!("{good}0"), "USCC_LENGTH"),
        (
            "a code as long as a book",
            good.repeat(10_000),
            "USCC_LENGTH",
        ),
        (
            "a code in small letters",
            good.to_lowercase(),
            "USCC_ALPHABET",
        ),
        (
            "a code with an I",
            format!("I{}", &good[1..]),
            "USCC_ALPHABET",
        ),
        (
            "a code with an O for a 0",
            format!("{}O{}", &good[..4], &good[5..]),
            "USCC_ALPHABET",
        ),
        (
            "a wrong check character",
            other(if good.ends_with('0') { '1' } else { '0' }),
            "USCC_CHECK_CHARACTER",
        ),
        (
            "two characters exchanged",
            exchanged(good),
            "USCC_CHECK_CHARACTER",
        ),
    ]
}

/// The first two neighbours that differ, exchanged: the usual typing error.
fn exchanged(code: &str) -> String {
    let mut characters: Vec<char> = code.chars().collect();
    let at = characters
        .windows(2)
        .position(|pair| pair[0] != pair[1])
        .unwrap();
    characters.swap(at, at + 1);
    characters.into_iter().collect()
}

fn member_by(by: wire::get_member_request::By) -> wire::GetMemberRequest {
    wire::GetMemberRequest { by: Some(by) }
}

/// Where a service is called, by whom, and whether a user's token goes along.
struct Door {
    name: String,
    channel: RpcChannel,
    token: bool,
    /// What is refused here is recorded on the ledger.
    refusals: bool,
    /// It may take messages as large as sealed reports.
    sealed: bool,
}

fn doors(consortium: &Consortium, service: &str) -> Vec<Door> {
    let people = consortium.people();
    let door = |who: (&str, Role), whom: (&str, Kind), token: bool| Door {
        name: format!("{}/{}", whom.0, whom.1.as_str()),
        channel: people.connect(who, whom),
        token,
        refusals: token,
        sealed: matches!(service, "DeliveryService" | "OrderService"),
    };
    let node = || {
        door(
            (BUREAUS[0], Role::Operator),
            (BUREAUS[0], Kind::Node),
            false,
        )
    };
    let follower = || door((BUREAUS[2], Role::Gateway), (BUREAUS[2], Kind::Node), false);
    let observer = || {
        door(
            (REGULATOR, Role::Operator),
            (REGULATOR, Kind::Observer),
            false,
        )
    };
    let gateway = || door((BANK, Role::Agent), (HOME, Kind::Gateway), true);
    match service {
        "LedgerService" | "StateService" | "AuditService" => vec![node(), follower(), observer()],
        "SubmissionService" => vec![node(), follower()],
        "OrderService" | "ConsentService" | "DirectoryService" => vec![gateway()],
        "DeliveryService" => vec![
            door((BUREAUS[2], Role::Gateway), (HOME, Kind::Gateway), false),
            door((HOME, Role::Gateway), (HOME, Kind::Holder), false),
        ],
        "ReportService" => vec![Door {
            name: format!("{BANK}/agent"),
            channel: people.agent(),
            token: false,
            refusals: true,
            sealed: true,
        }],
        _ => Vec::new(),
    }
}

/// A method of the contract.
struct Method {
    service: String,
    name: String,
    input: DescriptorProto,
}

fn methods() -> Vec<Method> {
    let set = FileDescriptorSet::decode(xinqiao_proto::FILE_DESCRIPTOR_SET).unwrap();
    let message = |full: &str| {
        let name = full.trim_start_matches(".xinqiao.v1.");
        let mut all = set.file.iter().flat_map(|file| &file.message_type);
        all.find(|message| message.name() == name).unwrap().clone()
    };
    let services = set.file.iter().flat_map(|file| &file.service);
    services
        .flat_map(|service| {
            service.method.iter().map(|method| Method {
                service: service.name().to_owned(),
                name: method.name().to_owned(),
                input: message(method.input_type()),
            })
        })
        .collect()
}

/// A text field of these bytes, as protobuf has it.
fn text_field(number: i32, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let tag = u32::try_from(number).unwrap();
    prost::encoding::encode_key(
        tag,
        prost::encoding::WireType::LengthDelimited,
        &mut message,
    );
    prost::encoding::encode_varint(bytes.len() as u64, &mut message);
    message.extend_from_slice(bytes);
    message
}

/// A whole gRPC frame that says it holds `says` bytes.
fn frame(says: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(says).unwrap().to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

async fn answer(consortium: &Consortium, door: &Door, path: &str, message: Vec<u8>) -> String {
    let user = &consortium.running().user;
    let token = door.token.then(|| consortium.people().token(user));
    match raw::call(&door.channel, path, message, token.as_deref()).await {
        Ok(_) => "an answer".to_owned(),
        Err(status) => reason(&status),
    }
}

/// Tries all rows at all doors, and the general ones at every method.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let running = consortium.running();
    let rows = rows(&running.enterprises[0], &running.purpose);
    let mut left: BTreeSet<&str> = rows.iter().map(|row| row.method).collect();
    let mut state = State::of(&consortium.people()).await;
    for method in methods() {
        let short = format!("{}/{}", method.service, method.name);
        let path = format!("/xinqiao.v1.{short}");
        let own: Vec<&Row> = rows.iter().filter(|row| row.method == short).collect();
        left.remove(short.as_str());
        if own.is_empty() && !method.input.field.is_empty() {
            complaints.push(format!("{short}: has fields, and no row of bad ones"));
        }
        let doors = doors(consortium, &method.service);
        if doors.is_empty() {
            complaints.push(format!(
                "{short}: this test knows no process that serves it"
            ));
        }
        for door in doors {
            let place = format!("{short} at {}", door.name);
            for row in &own {
                let got = answer(consortium, &door, &path, row.message.clone()).await;
                check(
                    complaints,
                    &format!("{place}: {}", row.what),
                    row.expected,
                    &got,
                );
            }
            no_message(consortium, &door, &path, &place, &method.input, complaints).await;
            if door.refusals {
                state.has_refusals_only(complaints, &place).await;
            } else {
                state.is_unchanged(complaints, &place).await;
            }
        }
    }
    for method in left {
        complaints.push(format!("{method}: has rows, and is not in the contract"));
    }
    nobody_writes_through_an_observer(consortium, complaints).await;
    state
        .is_unchanged(complaints, "submissions to the observer")
        .await;
}

/// What is no message of the method's type at all.
async fn no_message(
    consortium: &Consortium,
    door: &Door,
    path: &str,
    place: &str,
    input: &DescriptorProto,
    complaints: &mut Complaints,
) {
    let malformed = text_field(1, b"")[..1]
        .iter()
        .copied()
        .chain([0x7f])
        .collect::<Vec<u8>>();
    let got = answer(consortium, door, path, malformed).await;
    check(
        complaints,
        &format!("{place}: no protobuf"),
        "MESSAGE_MALFORMED",
        &got,
    );

    let limit = if door.sealed {
        MAX_SEALED_MESSAGE_BYTES
    } else {
        MAX_MESSAGE_BYTES
    };
    let large = text_field(1_000, &vec![b'x'; limit + 1]);
    let got = answer(consortium, door, path, large).await;
    check(
        complaints,
        &format!("{place}: oversized"),
        "MESSAGE_TOO_LARGE",
        &got,
    );

    let token = door
        .token
        .then(|| consortium.people().token(&consortium.running().user));
    for (what, body) in [
        ("truncated", frame(100, b"abc")),
        ("no message", Vec::new()),
        ("half a frame's head", vec![0, 0, 0]),
    ] {
        let status = raw::body(door.channel.clone(), path, body, token.as_deref()).await;
        check(
            complaints,
            &format!("{place}: {what}"),
            "MESSAGE_TRUNCATED",
            &reason(&status),
        );
    }
    for field in input
        .field
        .iter()
        .filter(|field| field.r#type() == Type::String)
    {
        let bytes = text_field(field.number(), &[b'a', 0xff, 0xfe]);
        let got = answer(consortium, door, path, bytes).await;
        check(
            complaints,
            &format!("{place}: {} not UTF-8", field.name()),
            "UTF8",
            &got,
        );
    }
    let nothing = answer(consortium, door, &format!("{path}Nothing"), Vec::new()).await;
    check(
        complaints,
        &format!("{place}: no such method"),
        "METHOD_UNKNOWN",
        &nothing,
    );
}

/// An observer does not have the service that takes transactions at all.
async fn nobody_writes_through_an_observer(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let observer = people.connect((REGULATOR, Role::Operator), (REGULATOR, Kind::Observer));
    let path = "/xinqiao.v1.SubmissionService/SubmitTransaction";
    let got = match raw::call(&observer, path, Vec::new(), None).await {
        Ok(_) => "an answer".to_owned(),
        Err(status) => reason(&status),
    };
    check(
        complaints,
        "a transaction to the observer",
        "METHOD_UNKNOWN",
        &got,
    );
}

/// A query that is in order is answered, with sections.
pub(crate) async fn a_good_query_is_answered(consortium: &Consortium) {
    let running = consortium.running();
    let query = wire::QueryReportRequest {
        uscc: running.enterprises[0].clone(),
        purpose: running.purpose.clone(),
        user: running.user.clone(),
        ..Default::default()
    };
    let path = "/xinqiao.v1.ReportService/QueryReport";
    let answers = raw::call(
        &consortium.people().agent(),
        path,
        query.encode_to_vec(),
        None,
    )
    .await
    .unwrap();
    let report = wire::QueryReportResponse::decode(&answers[0][..]).unwrap();
    assert!(!report.sections.is_empty(), "{:?}", report.parts);
}
