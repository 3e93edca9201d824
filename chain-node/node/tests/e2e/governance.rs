//! What nodes and observers show of governance, and that what passed binds them.

use xinqiao_contracts::testing::{precommits, propose, vote};
use xinqiao_ledger::{
    governance::GovernanceRules,
    ids::TxId,
    vote::Equivocation,
    wire::{self, change::Kind, state_service_client::StateServiceClient, tx_body::Action},
};
use xinqiao_rpc::{FaultView, Role as Process, RpcChannel};

use crate::consortium::{Consortium, Running, assert_agree};

/// What changes are voted for and in force after.
pub(crate) async fn passed(
    consortium: &mut Consortium,
    node: &Running,
    changes: Vec<Kind>,
) -> TxId {
    let (id, tx) = consortium.sign("pboc/admin", propose(changes));
    node.commit(tx).await;
    for org in ["js-bureau", "pboc", "sh-bureau"] {
        let (_, tx) = consortium.sign(&format!("{org}/admin"), vote(&id, true));
        node.commit(tx).await;
    }
    id
}

async fn proposal(state: &mut StateServiceClient<RpcChannel>, id: &TxId) -> wire::ProposalState {
    let request = wire::GetProposalRequest {
        proposal: id.to_vec(),
    };
    let answer = state.get_proposal(request).await.unwrap().into_inner();
    answer.proposal.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_shows_votes_validators_limits_and_misbehaviour() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let observer = consortium
        .observer(vec![validator.upstream("sh-bureau")])
        .await;
    let channel = consortium.channel(&observer, "pboc", Process::Observer);
    let mut state = StateServiceClient::new(channel);

    let mut limits = wire::Parameters::from(&consortium.genesis.parameters);
    limits.max_expiry_window = 77;
    let out = vec![
        Kind::SuspendMember("zj-bank".into()),
        Kind::SetParameters(limits),
    ];
    let id = passed(&mut consortium, &validator, out).await;
    let evidence = precommits(&consortium.people.chain, "validator", 1);
    let report = Action::ReportEquivocation(wire::ReportEquivocation {
        evidence: Some((&evidence).into()),
    });
    // Signed with an expiry within the window that is in force by now.
    let expiry = validator.replica().tip().height + 70;
    let tx = consortium
        .people
        .sign_until("js-bank/agent", report, expiry);
    validator.commit(crate::consortium::as_wire(&tx)).await;
    let tip = validator.replica().tip().height;
    observer.reaches(tip).await;
    assert_agree(&validator.replica(), &observer.replica());

    let shown = proposal(&mut state, &id).await;
    assert_eq!(shown.status(), wire::ProposalStatus::Enacted);
    let voted: Vec<_> = shown
        .votes
        .iter()
        .map(|it| (it.org.as_str(), it.weight))
        .collect();
    assert_eq!(voted, [("js-bureau", 1), ("pboc", 1), ("sh-bureau", 1)]);
    assert_eq!((shown.total_weight, shown.approving_weight), (4, 3));
    assert_eq!(shown.rules, Some((&GovernanceRules::default()).into()));
    let page = wire::ListProposalsRequest::default();
    let listed = state.list_proposals(page).await.unwrap().into_inner();
    assert_eq!(
        (listed.proposals, listed.next_before_index),
        (vec![shown], 0)
    );

    let request = wire::GetParametersRequest {};
    let parameters = state.get_parameters(request).await.unwrap().into_inner();
    assert_eq!(parameters.parameters, Some(limits));
    let request = wire::ListValidatorsRequest {};
    let validators = state.list_validators(request).await.unwrap().into_inner();
    assert_eq!(validators.engine(), wire::ConsensusEngine::Solo);
    assert_eq!(
        validators.validators,
        [(&consortium.genesis.validators[0]).into()]
    );
    let request = wire::ListMembersRequest {};
    let members = state
        .list_members(request)
        .await
        .unwrap()
        .into_inner()
        .members;
    let suspended = members.iter().filter(|it| it.suspended);
    let suspended: Vec<_> = suspended
        .map(|it| it.member.as_ref().unwrap().org.as_str())
        .collect();
    assert_eq!(suspended, ["zj-bank"]);

    let request = wire::ListMisbehaviourRequest::default();
    let caught = state.list_misbehaviour(request).await.unwrap().into_inner();
    assert_eq!(caught.entries.len(), 1);
    let entry = &caught.entries[0];
    assert_eq!(
        (entry.org.as_str(), entry.reporter.as_str()),
        ("sh-bureau", "js-bank")
    );
    let shown = Equivocation::try_from(entry.evidence.as_ref().unwrap()).unwrap();
    assert_eq!(shown, evidence);

    for (request, reason) in [
        (vec![9; 32], "PROPOSAL_NOT_FOUND"),
        (vec![9], "FIELD_LENGTH"),
    ] {
        let request = wire::GetProposalRequest { proposal: request };
        let refused = state.get_proposal(request).await.unwrap_err();
        let view = FaultView::from_status(&refused);
        assert_eq!(view.reason_code.as_deref(), Some(reason));
    }
    let request = wire::ListProposalsRequest {
        before_index: 0,
        page_size: 1_001,
    };
    let refused = state.list_proposals(request).await.unwrap_err();
    let view = FaultView::from_status(&refused);
    assert_eq!(view.reason_code.as_deref(), Some("FIELD_RANGE"));
    observer.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_are_listed_in_pages_that_a_message_can_hold() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let channel = consortium.channel(&validator, "pboc", Process::Observer);
    let mut state = StateServiceClient::new(channel);
    let mut ids = Vec::new();
    for number in 0..11_u32 {
        let by = ["pboc", "sh-bureau"][number as usize % 2];
        let change = Kind::SetWeight(wire::VotingWeight {
            org: "cn-mediation".into(),
            weight: number,
        });
        let (id, tx) = consortium.sign(&format!("{by}/admin"), propose(vec![change]));
        validator.commit(tx).await;
        ids.push(id.to_vec());
    }
    ids.reverse();
    for page_size in [1, 3, 10, 11, 12, 1_000] {
        let mut seen = Vec::new();
        let mut before_index = 0;
        loop {
            let request = wire::ListProposalsRequest {
                before_index,
                page_size,
            };
            let page = state.list_proposals(request).await.unwrap().into_inner();
            assert!(page.proposals.len() <= page_size as usize);
            seen.extend(page.proposals.into_iter().map(|it| it.proposal));
            before_index = page.next_before_index;
            if before_index == 0 {
                break;
            }
        }
        assert_eq!(seen, ids, "{page_size} a page");
    }
    validator.stop().await;
}
