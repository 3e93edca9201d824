//! Governance as the members do it: a proposal, and votes until it is decided on.

use xinqiao_ledger::{
    ids::ChainId,
    wire::{
        self, change::Kind as Change, state_service_client::StateServiceClient, tx_body::Action,
    },
};
use xinqiao_rpc::{RpcChannel, limited};

use crate::{
    People,
    people::{BUREAUS, REGULATOR},
    transactions::{sign, submit, try_status},
};

/// Proposes changes, and lets the bureaus and the regulator vote for them until they are in force.
///
/// # Panics
/// When they do not come into force.
pub async fn decide(people: &People, node: &RpcChannel, changes: Vec<Change>) {
    let status = try_status(node).await.expect("the node answers");
    let chain = ChainId::parse("chain_id", &status.chain_id).expect("a chain id");
    let expires = status.height + status.max_expiry_window / 2;
    let signed = |org: &str, action| sign(action, &chain, expires, &people.key(org, "admin"));
    let proposed = Action::Propose(wire::Propose {
        changes: changes
            .into_iter()
            .map(|kind| wire::Change { kind: Some(kind) })
            .collect(),
        reason: "a test".into(),
        effective_height: 0,
    });
    let answer = submit(node, signed(BUREAUS[0], proposed), 20_000).await;
    let proposal = answer.expect("the proposal is taken").tx_id;
    for org in BUREAUS.into_iter().chain([REGULATOR]) {
        let vote = Action::Vote(wire::Vote {
            proposal: proposal.clone(),
            choice: wire::VoteChoice::Approve.into(),
        });
        let voted = submit(node, signed(org, vote), 20_000).await;
        let voted = voted.expect("the vote is taken");
        assert!(voted.receipt.is_some(), "{org}'s vote was not committed");
        let mut state = limited!(StateServiceClient::new(node.clone()));
        let request = wire::GetProposalRequest {
            proposal: proposal.clone(),
        };
        let found = state.get_proposal(request).await.expect("it is there");
        let found = found.into_inner().proposal.expect("an answer has it");
        if found.status() == wire::ProposalStatus::Enacted {
            return;
        }
        assert_eq!(found.status(), wire::ProposalStatus::Open, "{found:?}");
    }
    panic!("everybody voted, and nothing was decided");
}
