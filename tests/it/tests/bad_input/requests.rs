//! What is wrong in the fields of each request of the contract, and what it is to be answered with.

use prost::Message;
use xinqiao_ledger::wire::{self, converse_request::Content};

/// One bad request and what it is to be answered with.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) what: &'static str,
    pub(crate) message: Vec<u8>,
    pub(crate) expected: &'static str,
}

/// Values that no field of their kind may have.
struct Wrong {
    /// For ids, which have 32 bytes.
    bytes: Vec<u8>,
    /// For names and codes, which have at most 32 characters.
    name: String,
    /// For free texts, which have at most 64 bytes.
    text: String,
}

/// All rows. Where a field's length is wrong, it is so by one byte and by far, in both directions.
pub(crate) fn rows(uscc: &str, purpose: &str) -> Vec<Row> {
    let wrong = |bytes: usize, name: usize, text: usize| Wrong {
        bytes: vec![7; bytes],
        name: "a".repeat(name),
        text: "x".repeat(text),
    };
    let mut rows = rows_with(uscc, purpose, &wrong(31, 33, 65));
    for other in [
        wrong(33, 34, 66),
        wrong(1, 100_000, 100_000),
        wrong(100_000, 33, 65),
    ] {
        let lengths = rows_with(uscc, purpose, &other);
        rows.extend(
            lengths
                .into_iter()
                .filter(|row| matches!(row.expected, "FIELD_LENGTH" | "FIELD_TOO_LONG")),
        );
    }
    for (what, code, expected) in bad_codes(uscc) {
        let query = query(&code, purpose);
        let list = wire::ReportServiceListGrantsRequest { uscc: code.clone() };
        rows.extend([
            row("ReportService/QueryReport", what, &query, expected),
            row("ReportService/ListGrants", what, &list, expected),
            row(
                "ReportService/RequestGrant",
                what,
                &ask(&code, purpose),
                expected,
            ),
        ]);
    }
    rows
}

/// A query that is in order, if its code is.
pub(crate) fn query(uscc: &str, purpose: &str) -> wire::QueryReportRequest {
    wire::QueryReportRequest {
        uscc: uscc.into(),
        purpose: purpose.into(),
        user: "clerk-7".into(),
        ..Default::default()
    }
}

/// A request for consent that is in order, if its code is.
fn ask(uscc: &str, purpose: &str) -> wire::RequestGrantRequest {
    wire::RequestGrantRequest {
        uscc: uscc.into(),
        purposes: vec![purpose.into()],
        items: vec!["tax_payment".into()],
        valid_days: 30,
        max_uses: 1,
        data_life_days: 30,
        lapses_after_days: 7,
    }
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
/// alone, and transactions have a table of their own.
/// An agent's question to a delivery group.
fn asks(wish: wire::group_ask::Wish) -> wire::GroupAsk {
    wire::GroupAsk {
        node: "agent-1".into(),
        key_id: vec![7; 32],
        wish: Some(wish),
    }
}

fn joins(key_package: usize, binding: usize) -> wire::GroupAsk {
    asks(wire::group_ask::Wish::Join(wire::GroupJoin {
        key_package: vec![1; key_package],
        binding: vec![1; binding],
    }))
}

fn follows(authenticator: Vec<u8>, proposal: usize) -> wire::GroupAsk {
    let at = wire::GroupEpoch {
        generation: 1,
        epoch: 1,
        authenticator,
    };
    asks(wire::group_ask::Wish::Follow(wire::GroupFollow {
        at: Some(at),
        proposal: vec![1; proposal],
    }))
}

#[rustfmt::skip]
fn rows_with(uscc: &str, purpose: &str, wrong: &Wrong) -> Vec<Row> {
    let id = vec![7; 32];
    let (short, long, text65) = (&wrong.bytes, &wrong.name, &wrong.text);
    let (query, ask) = (query(uscc, purpose), ask(uscc, purpose));
    let asks = joins(1, 1);
    let fetch = wire::FetchPartRequest { order: id.clone(), part: 0, letter: None };
    let letter = |holder: &str, ask| Some(wire::LetterAsk { holder_node: holder.into(), ask });
    let group = wire::AskGroupRequest { order: id.clone(), part: 0, holder_node: "node-1".into(), ask: Some(asks.clone()) };
    let relayed = wire::RelayGroupRequest { order: id.clone(), part: 0, holder_node: "node-1".into(), ask: Some(asks.clone()) };
    let job = wire::StartJobRequest {
        entries: vec![wire::JobEntry { uscc: uscc.into(), grant: vec![] }],
        purpose: purpose.into(),
        user: "clerk-7".into(),
        ..Default::default()
    };
    let portfolio = wire::WatchPortfolioRequest { usccs: vec![uscc.into()], user: "clerk-7".into(), after_height: 0 };
    vec![
        row("LedgerService/GetBlock", "height 0", &wire::GetBlockRequest { height: 0 }, "FIELD_RANGE"),
        row("LedgerService/GetBlock", "no such height", &wire::GetBlockRequest { height: u64::MAX }, "BLOCK_NOT_FOUND"),
        row("LedgerService/StreamBlocks", "height 0", &wire::StreamBlocksRequest { from_height: 0 }, "FIELD_RANGE"),
        row("LedgerService/GetReceipt", "no id", &wire::GetReceiptRequest::default(), "FIELD_REQUIRED"),
        row("LedgerService/GetReceipt", "wrong id", &wire::GetReceiptRequest { tx_id: short.clone(), wait_ms: 0 }, "FIELD_LENGTH"),
        row("LedgerService/GetReceipt", "unknown id", &wire::GetReceiptRequest { tx_id: id.clone(), wait_ms: 0 }, "TX_NOT_FOUND"),
        row("LedgerService/GetReceipt", "long wait", &wire::GetReceiptRequest { tx_id: id.clone(), wait_ms: 60_001 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "height 0", &wire::GetHistoryProofRequest { height: 0, tip_height: 2 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "backwards", &wire::GetHistoryProofRequest { height: 2, tip_height: 1 }, "FIELD_RANGE"),
        row("LedgerService/GetHistoryProof", "not there yet", &wire::GetHistoryProofRequest { height: 1, tip_height: u64::MAX }, "BLOCK_NOT_FOUND"),
        row("LedgerService/GetSnapshotChunk", "height 0", &wire::GetSnapshotChunkRequest { height: 0, index: 0 }, "FIELD_RANGE"),
        row("LedgerService/GetSnapshotChunk", "too many", &wire::GetSnapshotChunkRequest { height: 1, index: 1 << 16 }, "FIELD_RANGE"),
        row("LedgerService/GetSnapshotChunk", "no such snapshot", &wire::GetSnapshotChunkRequest { height: 1, index: 0 }, "SNAPSHOT_NOT_FOUND"),
        row("SubmissionService/SubmitTransaction", "no transaction", &wire::SubmitTransactionRequest::default(), "FIELD_REQUIRED"),
        row("SubmissionService/SubmitTransaction", "long wait", &wire::SubmitTransactionRequest { transaction: Some(wire::Transaction::default()), wait_ms: 60_001 }, "FIELD_RANGE"),
        row("SubmissionService/SubmitTransaction", "empty transaction", &wire::SubmitTransactionRequest { transaction: Some(wire::Transaction::default()), wait_ms: 0 }, "FIELD_REQUIRED"),
        row("SubmissionService/SubmitTransactions", "none", &wire::SubmitTransactionsRequest::default(), "FIELD_REQUIRED"),
        row("SubmissionService/SubmitTransactions", "too many", &wire::SubmitTransactionsRequest { transactions: vec![wire::Transaction::default(); 257] }, "TOO_MANY_ITEMS"),
        row("StateService/GetMember", "not said which", &wire::GetMemberRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetMember", "long id", &member_by(wire::get_member_request::By::Org(long.clone())), "FIELD_TOO_LONG"),
        row("StateService/GetMember", "malformed id", &member_by(wire::get_member_request::By::Org("Not A Slug".into())), "FIELD_FORMAT"),
        row("StateService/GetMember", "unknown id", &member_by(wire::get_member_request::By::Org("nobody".into())), "MEMBER_UNKNOWN"),
        row("StateService/GetMember", "wrong fingerprint", &member_by(wire::get_member_request::By::Certificate(short.clone())), "FIELD_LENGTH"),
        row("StateService/GetMember", "wrong key id", &member_by(wire::get_member_request::By::KeyId(short.clone())), "FIELD_LENGTH"),
        row("StateService/GetDigest", "no subject", &wire::GetDigestRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetDigest", "wrong subject", &wire::GetDigestRequest { subject: short.clone(), source: "a".into() }, "FIELD_LENGTH"),
        row("StateService/GetDigest", "no source", &wire::GetDigestRequest { subject: id.clone(), source: String::new() }, "FIELD_REQUIRED"),
        row("StateService/GetDigest", "long source", &wire::GetDigestRequest { subject: id.clone(), source: long.clone() }, "FIELD_TOO_LONG"),
        row("StateService/GetDigest", "unknown source", &wire::GetDigestRequest { subject: id.clone(), source: "nowhere".into() }, "SOURCE_UNKNOWN"),
        row("StateService/GetGrant", "no id", &wire::GetGrantRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetGrant", "wrong id", &wire::GetGrantRequest { grant: short.clone() }, "FIELD_LENGTH"),
        row("StateService/GetGrant", "unknown id", &wire::GetGrantRequest { grant: id.clone() }, "CONSENT_NOT_FOUND"),
        row("StateService/ListGrants", "no subject", &wire::ListGrantsRequest::default(), "FIELD_REQUIRED"),
        row("StateService/ListGrants", "wrong subject", &wire::ListGrantsRequest { subject: short.clone(), grantee: String::new() }, "FIELD_LENGTH"),
        row("StateService/ListGrants", "malformed grantee", &wire::ListGrantsRequest { subject: id.clone(), grantee: "-bank".into() }, "FIELD_FORMAT"),
        row("StateService/ListGrants", "long grantee", &wire::ListGrantsRequest { subject: id.clone(), grantee: long.clone() }, "FIELD_TOO_LONG"),
        row("StateService/GetOrder", "wrong id", &wire::GetOrderRequest { order: short.clone() }, "FIELD_LENGTH"),
        row("StateService/GetOrder", "no id", &wire::GetOrderRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetOrder", "unknown id", &wire::GetOrderRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("StateService/ListProposals", "huge page", &wire::ListProposalsRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("StateService/GetProposal", "no id", &wire::GetProposalRequest::default(), "FIELD_REQUIRED"),
        row("StateService/GetProposal", "wrong id", &wire::GetProposalRequest { proposal: short.clone() }, "FIELD_LENGTH"),
        row("StateService/GetProposal", "unknown id", &wire::GetProposalRequest { proposal: id.clone() }, "PROPOSAL_NOT_FOUND"),
        row("StateService/ListMisbehaviour", "huge page", &wire::ListMisbehaviourRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("StateService/ListObjections", "wrong subject", &wire::ListObjectionsRequest { subject: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("StateService/ListObjections", "malformed source", &wire::ListObjectionsRequest { source: "-tax".into(), ..Default::default() }, "FIELD_FORMAT"),
        row("StateService/ListObjections", "long source", &wire::ListObjectionsRequest { source: long.clone(), ..Default::default() }, "FIELD_TOO_LONG"),
        row("StateService/ListObjections", "huge page", &wire::ListObjectionsRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("ValidatorService/GetBody", "no hash", &wire::GetBodyRequest::default(), "FIELD_REQUIRED"),
        row("ValidatorService/GetBody", "wrong hash", &wire::GetBodyRequest { header_hash: short.clone() }, "FIELD_LENGTH"),
        row("ValidatorService/GetBody", "unknown hash", &wire::GetBodyRequest { header_hash: id.clone() }, "BLOCK_NOT_FOUND"),
        row("ValidatorService/Converse", "nothing said", &wire::ConverseRequest::default(), "FIELD_REQUIRED"),
        row("ValidatorService/Converse", "no greeting first", &saying(Content::TipHeight(7)), "FIELD_REQUIRED"),
        row("ValidatorService/Converse", "a greeting without a chain", &saying(Content::Greeting(wire::Greeting::default())), "FIELD_REQUIRED"),
        row("ValidatorService/Converse", "a greeting of another length", &saying(Content::Greeting(wire::Greeting { chain_id: short.clone(), validator: id.clone() })), "FIELD_LENGTH"),
        row("ValidatorService/Converse", "a greeting of another chain", &saying(Content::Greeting(wire::Greeting { chain_id: id.clone(), validator: id.clone() })), "CHAIN_ID_MISMATCH"),
        row("AuditService/ListAccess", "long institution", &wire::ListAccessRequest { institution: long.clone(), ..Default::default() }, "FIELD_TOO_LONG"),
        row("AuditService/ListAccess", "malformed institution", &wire::ListAccessRequest { institution: "My Bank".into(), ..Default::default() }, "FIELD_FORMAT"),
        row("AuditService/ListAccess", "wrong subject", &wire::ListAccessRequest { subject: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("AuditService/ListAccess", "huge page", &wire::ListAccessRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("AuditService/ListOrders", "huge page", &wire::ListOrdersRequest { page_size: 1_001, ..Default::default() }, "FIELD_RANGE"),
        row("AuditService/GetEvidence", "no id", &wire::GetEvidenceRequest::default(), "FIELD_REQUIRED"),
        row("AuditService/GetEvidence", "wrong id", &wire::GetEvidenceRequest { order: short.clone() }, "FIELD_LENGTH"),
        row("AuditService/GetEvidence", "unknown id", &wire::GetEvidenceRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("OrderService/PlaceOrder", "no transaction", &wire::OrderServicePlaceOrderRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/WatchOrder", "wrong id", &wire::WatchOrderRequest { order: short.clone() }, "FIELD_LENGTH"),
        row("OrderService/WatchOrder", "no id", &wire::WatchOrderRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/WatchOrder", "unknown id", &wire::WatchOrderRequest { order: id.clone() }, "ORDER_NOT_FOUND"),
        row("OrderService/FetchPart", "no id", &wire::FetchPartRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/FetchPart", "wrong id", &wire::FetchPartRequest { order: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("OrderService/FetchPart", "no such part", &wire::FetchPartRequest { order: id.clone(), part: 64, letter: None }, "FIELD_RANGE"),
        row("OrderService/FetchPart", "unknown id", &fetch, "ORDER_NOT_FOUND"),
        row("OrderService/FetchPart", "no holder of its letter", &wire::FetchPartRequest { letter: letter("", Some(asks.clone())), ..fetch.clone() }, "FIELD_REQUIRED"),
        row("OrderService/FetchPart", "long holder of its letter", &wire::FetchPartRequest { letter: letter(long, Some(asks.clone())), ..fetch.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/FetchPart", "no question for its letter", &wire::FetchPartRequest { letter: letter("node-1", None), ..fetch.clone() }, "FIELD_REQUIRED"),
        row("OrderService/FetchPart", "long proposal for its letter", &wire::FetchPartRequest { letter: letter("node-1", Some(follows(vec![7; 32], 32_769))), ..fetch.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "nothing", &wire::AskGroupRequest::default(), "FIELD_REQUIRED"),
        row("OrderService/AskGroup", "wrong id", &wire::AskGroupRequest { order: short.clone(), ..group.clone() }, "FIELD_LENGTH"),
        row("OrderService/AskGroup", "no such part", &wire::AskGroupRequest { part: 64, ..group.clone() }, "FIELD_RANGE"),
        row("OrderService/AskGroup", "no holder", &wire::AskGroupRequest { holder_node: String::new(), ..group.clone() }, "FIELD_REQUIRED"),
        row("OrderService/AskGroup", "long holder", &wire::AskGroupRequest { holder_node: long.clone(), ..group.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "no question", &wire::AskGroupRequest { ask: None, ..group.clone() }, "FIELD_REQUIRED"),
        row("OrderService/AskGroup", "no wish", &wire::AskGroupRequest { ask: Some(wire::GroupAsk { wish: None, ..asks.clone() }), ..group.clone() }, "FIELD_REQUIRED"),
        row("OrderService/AskGroup", "long name", &wire::AskGroupRequest { ask: Some(wire::GroupAsk { node: long.clone(), ..asks.clone() }), ..group.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "wrong key", &wire::AskGroupRequest { ask: Some(wire::GroupAsk { key_id: short.clone(), ..asks.clone() }), ..group.clone() }, "FIELD_LENGTH"),
        row("OrderService/AskGroup", "long key package", &wire::AskGroupRequest { ask: Some(joins(4_097, 1)), ..group.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "long binding", &wire::AskGroupRequest { ask: Some(joins(1, 513)), ..group.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "long proposal", &wire::AskGroupRequest { ask: Some(follows(vec![7; 32], 32_769)), ..group.clone() }, "FIELD_TOO_LONG"),
        row("OrderService/AskGroup", "wrong authenticator", &wire::AskGroupRequest { ask: Some(follows(short.clone(), 0)), ..group.clone() }, "FIELD_LENGTH"),
        row("OrderService/AskGroup", "unknown id", &group, "ORDER_NOT_FOUND"),
        row("OrderService/SubmitOrderChange", "no transaction", &wire::SubmitOrderChangeRequest::default(), "FIELD_REQUIRED"),
        row("HolderService/SyncSources", "a name that is none", &wire::SyncSourcesRequest { sources: vec!["No Slug".into()], ..Default::default() }, "FIELD_FORMAT"),
        row("HolderService/SyncSources", "long name", &wire::SyncSourcesRequest { sources: vec![long.clone()], ..Default::default() }, "FIELD_TOO_LONG"),
        row("HolderService/SyncSources", "too many", &wire::SyncSourcesRequest { sources: vec!["a".into(); 65], ..Default::default() }, "TOO_MANY_ITEMS"),
        row("HolderService/SyncSources", "another's source", &wire::SyncSourcesRequest { sources: vec!["nobodys".into()], ..Default::default() }, "SOURCE_UNKNOWN"),
        row("DeliveryService/RelayPart", "no id", &wire::RelayPartRequest::default(), "FIELD_REQUIRED"),
        row("DeliveryService/RelayPart", "wrong id", &wire::RelayPartRequest { order: short.clone(), ..Default::default() }, "FIELD_LENGTH"),
        row("DeliveryService/RelayPart", "no such part", &wire::RelayPartRequest { order: id.clone(), part: 64, ..Default::default() }, "FIELD_RANGE"),
        row("DeliveryService/RelayPart", "long wait", &wire::RelayPartRequest { order: id.clone(), wait_ms: 86_400_001, ..Default::default() }, "FIELD_RANGE"),
        row("DeliveryService/RelayPart", "no holder of its letter", &wire::RelayPartRequest { order: id.clone(), letter: letter("", Some(asks.clone())), ..Default::default() }, "FIELD_REQUIRED"),
        row("DeliveryService/RelayPart", "no question for its letter", &wire::RelayPartRequest { order: id.clone(), letter: letter("node-1", None), ..Default::default() }, "FIELD_REQUIRED"),
        row("DeliveryService/RelayGroup", "nothing", &wire::RelayGroupRequest::default(), "FIELD_REQUIRED"),
        row("DeliveryService/RelayGroup", "wrong id", &wire::RelayGroupRequest { order: short.clone(), ..relayed.clone() }, "FIELD_LENGTH"),
        row("DeliveryService/RelayGroup", "no such part", &wire::RelayGroupRequest { part: 64, ..relayed.clone() }, "FIELD_RANGE"),
        row("DeliveryService/RelayGroup", "no holder", &wire::RelayGroupRequest { holder_node: String::new(), ..relayed.clone() }, "FIELD_REQUIRED"),
        row("DeliveryService/RelayGroup", "long holder", &wire::RelayGroupRequest { holder_node: long.clone(), ..relayed.clone() }, "FIELD_TOO_LONG"),
        row("DeliveryService/RelayGroup", "no question", &wire::RelayGroupRequest { ask: None, ..relayed.clone() }, "FIELD_REQUIRED"),
        row("DeliveryService/RelayGroup", "no wish", &wire::RelayGroupRequest { ask: Some(wire::GroupAsk { wish: None, ..asks.clone() }), ..relayed.clone() }, "FIELD_REQUIRED"),
        row("DeliveryService/RelayGroup", "long name", &wire::RelayGroupRequest { ask: Some(wire::GroupAsk { node: long.clone(), ..asks.clone() }), ..relayed.clone() }, "FIELD_TOO_LONG"),
        row("DeliveryService/RelayGroup", "wrong key", &wire::RelayGroupRequest { ask: Some(wire::GroupAsk { key_id: short.clone(), ..asks.clone() }), ..relayed.clone() }, "FIELD_LENGTH"),
        row("DeliveryService/RelayGroup", "long key package", &wire::RelayGroupRequest { ask: Some(joins(4_097, 1)), ..relayed.clone() }, "FIELD_TOO_LONG"),
        row("DeliveryService/RelayGroup", "long binding", &wire::RelayGroupRequest { ask: Some(joins(1, 513)), ..relayed.clone() }, "FIELD_TOO_LONG"),
        row("DeliveryService/RelayGroup", "long proposal", &wire::RelayGroupRequest { ask: Some(follows(vec![7; 32], 32_769)), ..relayed.clone() }, "FIELD_TOO_LONG"),
        row("DeliveryService/RelayGroup", "wrong authenticator", &wire::RelayGroupRequest { ask: Some(follows(short.clone(), 0)), ..relayed.clone() }, "FIELD_LENGTH"),
        row("ConsentService/SubmitConsent", "no transaction", &wire::SubmitConsentRequest::default(), "FIELD_REQUIRED"),
        row("ConsentService/ListConsents", "wrong subject", &wire::ListConsentsRequest { subject: short.clone() }, "FIELD_LENGTH"),
        row("ConsentService/ListConsents", "no subject", &wire::ListConsentsRequest::default(), "FIELD_REQUIRED"),
        row("ReportService/QueryReport", "no purpose", &wire::QueryReportRequest { purpose: String::new(), ..query.clone() }, "FIELD_REQUIRED"),
        row("ReportService/QueryReport", "long purpose", &wire::QueryReportRequest { purpose: long.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "unknown purpose", &wire::QueryReportRequest { purpose: "curiosity".into(), ..query.clone() }, "PURPOSE_DENIED"),
        row("ReportService/QueryReport", "long item", &wire::QueryReportRequest { items: vec![long.clone()], ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "malformed item", &wire::QueryReportRequest { items: vec!["Tax Payment".into()], ..query.clone() }, "FIELD_FORMAT"),
        row("ReportService/QueryReport", "unknown item", &wire::QueryReportRequest { items: vec!["horoscope".into()], ..query.clone() }, "ITEM_UNKNOWN"),
        row("ReportService/QueryReport", "an item twice", &wire::QueryReportRequest { items: vec!["tax_payment".into(); 2], ..query.clone() }, "DUPLICATE_ITEM"),
        row("ReportService/QueryReport", "65 items", &wire::QueryReportRequest { items: vec!["tax_payment".into(); 65], ..query.clone() }, "TOO_MANY_ITEMS"),
        row("ReportService/QueryReport", "wrong grant", &wire::QueryReportRequest { grant: short.clone(), ..query.clone() }, "FIELD_LENGTH"),
        row("ReportService/QueryReport", "unknown grant", &wire::QueryReportRequest { grant: id.clone(), ..query.clone() }, "CONSENT_NOT_FOUND"),
        row("ReportService/QueryReport", "no user", &wire::QueryReportRequest { user: String::new(), ..query.clone() }, "FIELD_REQUIRED"),
        row("ReportService/QueryReport", "long user", &wire::QueryReportRequest { user: text65.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "long branch", &wire::QueryReportRequest { branch: text65.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "long id", &wire::QueryReportRequest { request_id: text65.clone(), ..query.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "malformed id", &wire::QueryReportRequest { request_id: "a b".into(), ..query.clone() }, "FIELD_FORMAT"),
        row("JobService/StartJob", "no entries", &wire::StartJobRequest { entries: vec![], ..job.clone() }, "FIELD_REQUIRED"),
        row("JobService/StartJob", "10,001 entries", &wire::StartJobRequest { entries: vec![wire::JobEntry::default(); 10_001], ..job.clone() }, "TOO_MANY_ITEMS"),
        row("JobService/StartJob", "long code", &wire::StartJobRequest { entries: vec![wire::JobEntry { uscc: text65.clone(), grant: vec![] }], ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "wrong grant", &wire::StartJobRequest { entries: vec![wire::JobEntry { uscc: uscc.into(), grant: short.clone() }], ..job.clone() }, "FIELD_LENGTH"),
        row("JobService/StartJob", "long id", &wire::StartJobRequest { job_id: text65.clone(), ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "malformed id", &wire::StartJobRequest { job_id: "a job".into(), ..job.clone() }, "FIELD_FORMAT"),
        row("JobService/StartJob", "long item", &wire::StartJobRequest { items: vec![long.clone()], ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "65 items", &wire::StartJobRequest { items: vec!["tax_payment".into(); 65], ..job.clone() }, "TOO_MANY_ITEMS"),
        row("JobService/StartJob", "no purpose", &wire::StartJobRequest { purpose: String::new(), ..job.clone() }, "FIELD_REQUIRED"),
        row("JobService/StartJob", "long purpose", &wire::StartJobRequest { purpose: long.clone(), ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "no user", &wire::StartJobRequest { user: String::new(), ..job.clone() }, "FIELD_REQUIRED"),
        row("JobService/StartJob", "long user", &wire::StartJobRequest { user: text65.clone(), ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "long branch", &wire::StartJobRequest { branch: text65.clone(), ..job.clone() }, "FIELD_TOO_LONG"),
        row("JobService/StartJob", "short deadline", &wire::StartJobRequest { deadline_ms: 99, ..job.clone() }, "FIELD_RANGE"),
        row("JobService/FollowJob", "no id", &wire::FollowJobRequest::default(), "FIELD_REQUIRED"),
        row("JobService/FollowJob", "long id", &wire::FollowJobRequest { job_id: text65.clone(), ..Default::default() }, "FIELD_TOO_LONG"),
        row("JobService/FollowJob", "unknown id", &wire::FollowJobRequest { job_id: "none".into(), ..Default::default() }, "JOB_NOT_FOUND"),
        row("JobService/AcknowledgeJob", "no id", &wire::AcknowledgeJobRequest::default(), "FIELD_REQUIRED"),
        row("JobService/AcknowledgeJob", "long id", &wire::AcknowledgeJobRequest { job_id: text65.clone(), through: 1 }, "FIELD_TOO_LONG"),
        row("JobService/AcknowledgeJob", "unknown id", &wire::AcknowledgeJobRequest { job_id: "none".into(), through: 1 }, "JOB_NOT_FOUND"),
        row("JobService/CancelJob", "no id", &wire::CancelJobRequest::default(), "FIELD_REQUIRED"),
        row("JobService/CancelJob", "long id", &wire::CancelJobRequest { job_id: text65.clone() }, "FIELD_TOO_LONG"),
        row("JobService/CancelJob", "unknown id", &wire::CancelJobRequest { job_id: "none".into() }, "JOB_NOT_FOUND"),
        row("JobService/GetJob", "malformed id", &wire::GetJobRequest { job_id: "a job".into() }, "FIELD_FORMAT"),
        row("JobService/GetJob", "long id", &wire::GetJobRequest { job_id: text65.clone() }, "FIELD_TOO_LONG"),
        row("JobService/GetJob", "unknown id", &wire::GetJobRequest { job_id: "none".into() }, "JOB_NOT_FOUND"),
        row("JobService/DropJob", "no id", &wire::DropJobRequest::default(), "FIELD_REQUIRED"),
        row("JobService/DropJob", "long id", &wire::DropJobRequest { job_id: text65.clone() }, "FIELD_TOO_LONG"),
        row("JobService/DropJob", "unknown id", &wire::DropJobRequest { job_id: "none".into() }, "JOB_NOT_FOUND"),
        row("PortfolioService/WatchPortfolio", "no codes", &wire::WatchPortfolioRequest { usccs: vec![], ..portfolio.clone() }, "FIELD_REQUIRED"),
        row("PortfolioService/WatchPortfolio", "10,001 codes", &wire::WatchPortfolioRequest { usccs: vec![uscc.into(); 10_001], ..portfolio.clone() }, "TOO_MANY_ITEMS"),
        row("PortfolioService/WatchPortfolio", "a code that is none", &wire::WatchPortfolioRequest { usccs: vec![uscc.into(), text65.clone()], ..portfolio.clone() }, "USCC_LENGTH"),
        row("PortfolioService/WatchPortfolio", "a code twice", &wire::WatchPortfolioRequest { usccs: vec![uscc.into(); 2], ..portfolio.clone() }, "DUPLICATE_ITEM"),
        row("PortfolioService/WatchPortfolio", "no user", &wire::WatchPortfolioRequest { user: String::new(), ..portfolio.clone() }, "FIELD_REQUIRED"),
        row("PortfolioService/WatchPortfolio", "long user", &wire::WatchPortfolioRequest { user: text65.clone(), ..portfolio.clone() }, "FIELD_TOO_LONG"),
        row("SubjectService/WatchSubjects", "no subjects", &wire::WatchSubjectsRequest::default(), "FIELD_REQUIRED"),
        row("SubjectService/WatchSubjects", "wrong subject", &wire::WatchSubjectsRequest { subjects: vec![id.clone(), short.clone()], after_height: 0 }, "FIELD_LENGTH"),
        row("SubjectService/WatchSubjects", "a subject twice", &wire::WatchSubjectsRequest { subjects: vec![id.clone(); 2], after_height: 0 }, "FIELD_FORMAT"),
        row("SubjectService/WatchSubjects", "10,001 subjects", &wire::WatchSubjectsRequest { subjects: vec![id.clone(); 10_001], after_height: 0 }, "TOO_MANY_ITEMS"),
        row("StateService/ListDigests", "no subjects", &wire::ListDigestsRequest { grantee: "a".into(), ..Default::default() }, "FIELD_REQUIRED"),
        row("StateService/ListDigests", "1,001 subjects", &wire::ListDigestsRequest { subjects: vec![id.clone(); 1_001], grantee: "a".into(), after_height: 0 }, "TOO_MANY_ITEMS"),
        row("StateService/ListDigests", "wrong subject", &wire::ListDigestsRequest { subjects: vec![short.clone()], grantee: "a".into(), after_height: 0 }, "FIELD_LENGTH"),
        row("StateService/ListDigests", "no grantee", &wire::ListDigestsRequest { subjects: vec![id.clone()], ..Default::default() }, "FIELD_REQUIRED"),
        row("StateService/ListDigests", "long grantee", &wire::ListDigestsRequest { subjects: vec![id.clone()], grantee: long.clone(), after_height: 0 }, "FIELD_TOO_LONG"),
        row("ReportService/QueryReport", "short deadline", &wire::QueryReportRequest { deadline_ms: 99, ..query.clone() }, "FIELD_RANGE"),
        row("ReportService/QueryReport", "long deadline", &wire::QueryReportRequest { deadline_ms: 86_400_001, ..query.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "no purposes", &wire::RequestGrantRequest { purposes: vec![], ..ask.clone() }, "FIELD_REQUIRED"),
        row("ReportService/RequestGrant", "17 purposes", &wire::RequestGrantRequest { purposes: vec![purpose.into(); 17], ..ask.clone() }, "TOO_MANY_ITEMS"),
        row("ReportService/RequestGrant", "long purpose", &wire::RequestGrantRequest { purposes: vec![long.clone()], ..ask.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/RequestGrant", "a purpose twice", &wire::RequestGrantRequest { purposes: vec![purpose.into(); 2], ..ask.clone() }, "DUPLICATE_ITEM"),
        row("ReportService/RequestGrant", "no items", &wire::RequestGrantRequest { items: vec![], ..ask.clone() }, "FIELD_REQUIRED"),
        row("ReportService/RequestGrant", "long item", &wire::RequestGrantRequest { items: vec![long.clone()], ..ask.clone() }, "FIELD_TOO_LONG"),
        row("ReportService/RequestGrant", "malformed item", &wire::RequestGrantRequest { items: vec!["Tax Payment".into()], ..ask.clone() }, "FIELD_FORMAT"),
        row("ReportService/RequestGrant", "65 items", &wire::RequestGrantRequest { items: vec!["tax_payment".into(); 65], ..ask.clone() }, "TOO_MANY_ITEMS"),
        row("ReportService/RequestGrant", "valid for 0 days", &wire::RequestGrantRequest { valid_days: 0, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "valid for ever", &wire::RequestGrantRequest { valid_days: 3_651, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "no use", &wire::RequestGrantRequest { max_uses: 0, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "unbounded use", &wire::RequestGrantRequest { max_uses: 1_000_001, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "kept for ever", &wire::RequestGrantRequest { data_life_days: 3_651, ..ask.clone() }, "FIELD_RANGE"),
        row("ReportService/RequestGrant", "lapses at once", &wire::RequestGrantRequest { lapses_after_days: 0, ..ask.clone() }, "FIELD_RANGE"),
    ]
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

fn saying(content: Content) -> wire::ConverseRequest {
    wire::ConverseRequest {
        content: Some(content),
    }
}

fn member_by(by: wire::get_member_request::By) -> wire::GetMemberRequest {
    wire::GetMemberRequest { by: Some(by) }
}
