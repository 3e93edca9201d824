//! Only the addressee can read: whatever gateways, nodes, observers and the holders' spools keep or pass
//! on, not one byte of a report is in it, in no form.
//!
//! The search knows what the records hold (their CSV files and the reports that the bank received) and
//! first shows that it would find it.

#![cfg(feature = "draft")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use prost::Message;
use xinqiao_crypto::sm3;
use xinqiao_it::{
    Consortium, Kind,
    markers::{Markers, files},
    people::{BUREAUS, HOME, REGULATOR},
    raw,
    transactions::{grant, sign, status, submit},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{
        self, report_service_client::ReportServiceClient, state_service_client::StateServiceClient,
    },
};
use xinqiao_rpc::{Role, limited};

/// How many enterprises are asked for.
const ASKED: usize = 8;

#[tokio::test]
async fn nobody_but_the_bank_holds_or_sees_a_byte_of_a_report() {
    let mut consortium = Consortium::start().await;
    let reports = queries(&consortium).await;
    let records = consortium.dir().join("records");
    let sections = reports.iter().flat_map(|report| &report.sections);
    let delivered = sections.flat_map(|section| leaves(&section.json));
    let markers = Markers::of_records(&records, delivered);

    the_search_finds_what_is_there(&markers, &consortium, &reports);
    sealed_parts_are_opaque_to_the_gateways_that_relay_them(&consortium, &markers, &reports).await;
    blocks_hold_nothing_of_a_report(&consortium, &markers).await;
    what_nodes_and_observers_answer_holds_nothing(&consortium, &markers, &reports).await;

    // Everything is written and closed before it is searched.
    consortium.stop().await;
    disks_and_logs_hold_nothing(&consortium, &markers);
}

/// Consents for some enterprises, and a query for each.
async fn queries(consortium: &Consortium) -> Vec<wire::QueryReportResponse> {
    let (people, running) = (consortium.people(), consortium.running());
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let tip = status(&node).await;
    let chain = ChainId::parse("chain_id", &tip.chain_id).unwrap();
    let admin = people.key(HOME, "admin");
    let catalogue = limited!(StateServiceClient::new(node.clone()))
        .get_catalogue(wire::GetCatalogueRequest {})
        .await
        .unwrap()
        .into_inner()
        .catalogue
        .unwrap();
    let items: Vec<&str> = catalogue
        .items
        .iter()
        .map(|item| item.code.as_str())
        .collect();
    let mut agent = limited!(sealed: ReportServiceClient::new(people.agent()));
    let mut reports = Vec::new();
    for (index, uscc) in running.enterprises.iter().take(ASKED).enumerate() {
        if index > 0 {
            let action = grant(people.subject(uscc), "js-bank", &[&running.purpose], &items);
            let transaction = sign(
                action,
                &chain,
                tip.height + tip.max_expiry_window / 2,
                &admin,
            );
            let taken = submit(&node, transaction, 20_000).await.unwrap();
            assert!(taken.receipt.is_some(), "a grant was not committed");
        }
        let query = wire::QueryReportRequest {
            uscc: uscc.clone(),
            purpose: running.purpose.clone(),
            user: running.user.clone(),
            ..Default::default()
        };
        let report = agent.query_report(query).await.unwrap().into_inner();
        assert!(!report.sections.is_empty(), "{:?}", report.parts);
        reports.push(report);
    }
    reports
}

/// The texts and numbers in a JSON document.
fn leaves(json: &str) -> Vec<String> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|value| walk(value, found))
            }
            serde_json::Value::String(text) => found.push(text.clone()),
            other => found.push(other.to_string()),
        }
    }
    let mut found = Vec::new();
    walk(&serde_json::from_str(json).unwrap(), &mut found);
    found
}

/// A search that finds nothing anywhere would prove nothing.
fn the_search_finds_what_is_there(
    markers: &Markers,
    consortium: &Consortium,
    reports: &[wire::QueryReportResponse],
) {
    for file in files(&consortium.dir().join("records")) {
        if file.extension().is_some_and(|extension| extension == "csv") {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                markers.find(&bytes).is_some(),
                "nothing was found in {}",
                file.display()
            );
        }
    }
    for uscc in &consortium.running().enterprises {
        assert!(
            markers.find(uscc.as_bytes()).is_some(),
            "a code is no marker"
        );
    }
    for report in reports {
        assert!(
            markers.find(&report.encode_to_vec()).is_some(),
            "a whole report has no marker"
        );
    }
    println!("searching for {} markers", markers.count());
}

/// A gateway with a member's real certificate fetches what it may relay, and keeps all of it.
async fn sealed_parts_are_opaque_to_the_gateways_that_relay_them(
    consortium: &Consortium,
    markers: &Markers,
    reports: &[wire::QueryReportResponse],
) {
    let people = consortium.people();
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let mut state = limited!(StateServiceClient::new(node));
    let sources = state
        .list_sources(wire::ListSourcesRequest {})
        .await
        .unwrap()
        .into_inner()
        .sources;
    let operators: BTreeMap<String, String> = sources
        .into_iter()
        .filter_map(|state| state.source)
        .map(|source| (source.source, source.operator))
        .collect();
    let path = "/xinqiao.v1.DeliveryService/RelayPart";
    let (mut relayed, mut refused) = (0, 0);
    for report in reports {
        let order = wire::GetOrderRequest {
            order: report.order.clone(),
        };
        let order = state
            .get_order(order)
            .await
            .unwrap()
            .into_inner()
            .order
            .unwrap();
        for (index, part) in order.parts.iter().enumerate() {
            let operator = &operators[&part.part.as_ref().unwrap().source];
            let ask = wire::RelayPartRequest {
                order: report.order.clone(),
                part: u32::try_from(index).unwrap(),
                wait_ms: 2_000,
            };
            // The bank's own gateway is the one that may relay to it: it sees most.
            for kind in [Kind::Gateway, Kind::Holder] {
                if (kind, operator.as_str()) == (Kind::Gateway, HOME) {
                    continue;
                }
                let peer = people.connect((HOME, Role::Gateway), (operator, kind));
                let pieces = raw::call(&peer, path, ask.encode_to_vec(), None).await;
                let Ok(pieces) = pieces else {
                    refused += 1;
                    continue;
                };
                let mut sealed = Vec::new();
                for piece in &pieces {
                    markers.absent("what a gateway relays", piece);
                    let piece = wire::RelayPartResponse::decode(&piece[..]).unwrap();
                    sealed.extend_from_slice(&piece.chunk);
                }
                // It is the delivery, whole, and not something else without markers.
                assert_eq!(sm3(&sealed).as_bytes()[..], part.ciphertext_digest[..]);
                markers.absent("a sealed part", &sealed);
                relayed += 1;
            }
        }
    }
    println!("{relayed} sealed parts were fetched and searched, {refused} were not given");
    assert!(relayed > 0, "no gateway was given a sealed part");
}

/// Every block, as followers and observers receive them.
async fn blocks_hold_nothing_of_a_report(consortium: &Consortium, markers: &Markers) {
    let people = consortium.people();
    for who in [(REGULATOR, Role::Observer), (BUREAUS[2], Role::Gateway)] {
        let node = people.connect(who, (BUREAUS[0], Kind::Node));
        let height = status(&node).await.height;
        let path = "/xinqiao.v1.LedgerService/StreamBlocks";
        let from = wire::StreamBlocksRequest { from_height: 1 };
        let blocks = raw::call(&node, path, from.encode_to_vec(), None)
            .await
            .unwrap();
        assert!(
            blocks.len() as u64 >= height,
            "{} blocks of {height}",
            blocks.len()
        );
        for block in &blocks {
            markers.absent("a block", block);
        }
    }
}

/// Everything that can be asked for about the orders and the state.
async fn what_nodes_and_observers_answer_holds_nothing(
    consortium: &Consortium,
    markers: &Markers,
    reports: &[wire::QueryReportResponse],
) {
    let people = consortium.people();
    let observer = people.connect((REGULATOR, Role::Operator), (REGULATOR, Kind::Observer));
    let page = wire::ListAccessRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let mut asked = vec![
        ("AuditService/ListAccess", page.encode_to_vec()),
        ("AuditService/ListOrders", Vec::new()),
        ("StateService/ListMembers", Vec::new()),
        ("StateService/ListSources", Vec::new()),
    ];
    for report in reports {
        let order = wire::GetEvidenceRequest {
            order: report.order.clone(),
        };
        asked.push(("AuditService/GetEvidence", order.encode_to_vec()));
    }
    for (method, message) in asked {
        let path = format!("/xinqiao.v1.{method}");
        let answers = raw::call(&observer, &path, message, None).await.unwrap();
        assert!(!answers.is_empty(), "{method} answered nothing");
        answers
            .iter()
            .for_each(|answer| markers.absent(method, answer));
    }
}

/// Everything that the processes wrote, apart from the records themselves.
fn disks_and_logs_hold_nothing(consortium: &Consortium, markers: &Markers) {
    let (mut searched, mut databases, mut entries, mut logs) = (0, 0, 0, 0);
    for folder in std::fs::read_dir(consortium.dir()).unwrap().flatten() {
        let folder = folder.path();
        if !folder.is_dir() || folder.ends_with("records") {
            continue;
        }
        for file in markers.absent_below(&folder) {
            searched += 1;
            logs += usize::from(file.extension().is_some_and(|extension| extension == "log"));
            // The file that makes a folder a RocksDB database.
            if file.file_name().is_some_and(|name| name == "CURRENT") {
                entries += markers.absent_in_database(file.parent().unwrap());
                databases += 1;
            }
        }
    }
    println!("{searched} files, {databases} databases with {entries} entries, {logs} logs");
    // Three nodes, three holders' replicas and the observer; and a log of each process.
    assert!(
        databases >= 7 && entries > 1_000,
        "{databases} databases, {entries} entries"
    );
    assert!(logs >= 11, "only {logs} logs were found");
}
