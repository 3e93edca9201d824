//! Whatever is wrong with what comes in, it gets its own clear error and changes nothing: every RPC, every
//! signed transaction, every certificate, every file.
//!
//! One consortium serves all calls, another one all files. Each part is a table; all rows are tried, and all
//! that went wrong is said at the end.

#![allow(clippy::unwrap_used, reason = "tests")]

mod calls;
mod certificates;
mod files;
mod gateway;
mod requests;
mod stores;
mod submissions;

use std::time::Duration;

use prost::Message;
use tonic::Status;
use xinqiao_it::{Consortium, Kind, People, people::BUREAUS, raw::reason, transactions::status};
use xinqiao_ledger::{
    outcome::{Event, Outcome},
    wire::{self, ledger_service_client::LedgerServiceClient, tx_body::Action},
};
use xinqiao_rpc::{FaultView, Role, RpcChannel, limited};

/// What went wrong, a line for each.
type Complaints = Vec<String>;

/// Compares what was expected of one row with what came.
fn check(complaints: &mut Complaints, row: &str, expected: &str, got: &str) {
    if expected != got {
        complaints.push(format!("{row}: expected {expected}, got {got}"));
    }
}

/// The reason code of a refusal, with what it lacks to be a clear one: our details on the wire (not only a
/// library's bare status, which clients can guess a reason from), a sentence in each language, a help link
/// to the reason's own paragraph, and the field, where the reason is one of a field.
fn said(status: &Status) -> String {
    let code = reason(status);
    let view = FaultView::from_status(status);
    let of_a_field = [
        "FIELD_",
        "USCC_",
        "ENUM_",
        "TOO_MANY_ITEMS",
        "DUPLICATE_ITEM",
    ]
    .iter()
    .any(|kind| code.starts_with(kind));
    let lacks: Vec<&str> = [
        ("details on the wire", status.details().is_empty()),
        ("a sentence", view.message.is_empty()),
        ("a Chinese sentence", view.chinese.is_none()),
        (
            "its help link",
            view.help != Some(format!("docs/errors.md#{}", code.to_lowercase())),
        ),
        ("the field", of_a_field && view.violations.is_empty()),
    ]
    .into_iter()
    .filter_map(|(what, lacking)| lacking.then_some(what))
    .collect();
    if lacks.is_empty() {
        code
    } else {
        format!("{code} without {}", lacks.join(", "))
    }
}

/// The state that no bad input may change.
struct State {
    node: RpcChannel,
    before: wire::GetStatusResponse,
}

impl State {
    /// As it is once nothing is under way any more.
    async fn of(people: &People) -> Self {
        let node = people.connect((BUREAUS[0], Role::Operator), (BUREAUS[0], Kind::Node));
        let before = settled(&node).await;
        Self { node, before }
    }

    /// Height and state commitment are what they were.
    async fn is_unchanged(&mut self, complaints: &mut Complaints, after: &str) {
        let now = status(&self.node).await;
        if (now.height, &now.state_commitment)
            != (self.before.height, &self.before.state_commitment)
        {
            complaints.push(format!(
                "{after}: the state changed, from height {} to {}",
                self.before.height, now.height
            ));
        }
        self.before = now;
    }

    /// Nothing was recorded but that attempts were refused. Gateways record that beside the answer, so the
    /// last record may still be on its way.
    async fn has_refusals_only(&mut self, complaints: &mut Complaints, after: &str) {
        let now = settled(&self.node).await;
        let mut ledger = limited!(LedgerServiceClient::new(self.node.clone()));
        for height in self.before.height + 1..=now.height {
            let answer = ledger
                .get_block(wire::GetBlockRequest { height })
                .await
                .unwrap()
                .into_inner();
            // The first outcome is the block's own.
            for (encoded, outcome) in answer
                .block
                .unwrap()
                .transactions
                .iter()
                .zip(&answer.outcomes[1..])
            {
                let tx = wire::Transaction::decode(&encoded[..]).unwrap();
                let action = wire::TxBody::decode(&tx.body[..]).unwrap().action.unwrap();
                let (_, outcome) = Outcome::parse(outcome).unwrap();
                let refused = match &outcome {
                    Outcome::Rejected { .. } => true,
                    Outcome::Applied(events) => events
                        .iter()
                        .all(|event| matches!(event, Event::AttemptRefused(_))),
                };
                if !refused || !matches!(action, Action::RecordRefusal(_) | Action::PlaceOrder(_)) {
                    complaints.push(format!("{after}: took effect: {action:?}"));
                }
            }
        }
        self.before = now;
    }
}

/// How often a node has to be found at the same block: a verdict on the last report may take its time
/// on a busy machine.
const QUIET: u32 = 5;

/// Where a node stands when no block came for a while and nothing waits for one.
async fn settled(node: &RpcChannel) -> wire::GetStatusResponse {
    let (mut now, mut quiet) = (status(node).await, 0);
    while quiet < QUIET {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let later = status(node).await;
        let same = later.height == now.height && later.mempool_transactions == 0;
        quiet = if same { quiet + 1 } else { 0 };
        now = later;
    }
    now
}

#[tokio::test]
async fn a_bad_call_gets_its_own_clear_error_and_changes_nothing() {
    let consortium = Consortium::start().await;
    let mut complaints = Complaints::new();
    calls::check_all(&consortium, &mut complaints).await;
    submissions::check_all(&consortium, &mut complaints).await;
    gateway::check_all(&consortium, &mut complaints).await;
    certificates::check_all(&consortium, &mut complaints).await;
    // And after all of that the consortium still answers a good query.
    calls::a_good_query_is_answered(&consortium).await;
    nobody_complains(&complaints);
}

#[tokio::test]
async fn a_broken_file_is_named_with_what_is_wrong_and_changes_nothing() {
    let mut consortium = Consortium::start().await;
    let mut complaints = Complaints::new();
    files::check_all(&consortium, &mut complaints).await;
    calls::a_good_query_is_answered(&consortium).await;
    stores::check_all(&mut consortium, &mut complaints).await;
    nobody_complains(&complaints);
}

fn nobody_complains(complaints: &Complaints) {
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
