//! What the RPC surface answers, checked the way a stranger would check it.

use xinqiao_contracts::testing::{self, DAY};
use xinqiao_crypto::{Digest, merkle};
use xinqiao_ledger::{
    block::{Certificate, Header},
    evidence::{self, PartEnd, Standing, Statement},
    ids::TxId,
    member::MemberKind,
    outcome::Outcome,
    receipt::{self, Path},
    wire::{
        self, audit_service_client::AuditServiceClient, change::Kind,
        ledger_service_client::LedgerServiceClient, state_service_client::StateServiceClient,
        submission_service_client::SubmissionServiceClient, tx_body::Action,
    },
};
use xinqiao_rpc::{FaultView, Role, RpcChannel, limited};

use crate::{
    consortium::{Consortium, PATIENCE, Running, channel_as},
    governance::passed,
};

/// What the sources of an order have: more than a validator looks ahead.
const DEADLINE_MS: u32 = 3_000;

/// Submits over the wire.
pub(crate) async fn submit(
    channel: RpcChannel,
    transaction: wire::Transaction,
) -> Result<wire::SubmitTransactionResponse, FaultView> {
    limited!(SubmissionServiceClient::new(channel))
        .submit_transaction(wire::SubmitTransactionRequest {
            transaction: Some(transaction),
            wait_ms: 10_000,
        })
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| FaultView::from_status(&status))
}

async fn status(channel: RpcChannel) -> Result<wire::GetStatusResponse, FaultView> {
    limited!(LedgerServiceClient::new(channel))
        .get_status(wire::GetStatusRequest {})
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| FaultView::from_status(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_where_each_node_stands() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    let observer = consortium
        .observer(vec![validator.upstream("sh-bureau")])
        .await;
    for number in 0..3 {
        let (_, tx) = consortium.any(number);
        observer.reaches(follower.commit(tx).await.height()).await;
    }
    for (node, role) in [
        (&validator, wire::NodeRole::Validator),
        (&follower, wire::NodeRole::Follower),
        (&observer, wire::NodeRole::Observer),
    ] {
        let channel = consortium.channel(node, "js-bureau", Role::Gateway);
        let said = status(channel).await.unwrap();
        let tip = node.replica().tip();
        assert_eq!(
            said,
            wire::GetStatusResponse {
                chain_id: consortium.genesis.chain_id().to_vec(),
                role: role.into(),
                height: 3,
                header_hash: tip.hash.to_vec(),
                state_commitment: tip.commitment.as_bytes().to_vec(),
                time_ms: tip.time,
                mempool_transactions: 0,
                mempool_bytes: 0,
                halted: String::new(),
                max_expiry_window: 1_000,
                first_block: 1,
            }
        );
    }
    for node in [observer, follower, validator] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_the_wire_proves_what_a_transaction_came_to() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    let (id, tx) = consortium.any(1);
    let channel = consortium.channel(&follower, "js-bureau", Role::Gateway);
    let taken = submit(channel.clone(), tx).await.unwrap();
    assert_eq!(taken.tx_id, id.to_vec());
    let replica = follower.replica();
    let check =
        |wire: &wire::Receipt| receipt::check(wire, &replica.epochs(), &replica.chain()).unwrap();
    let proven = check(&taken.receipt.unwrap());
    assert_eq!(proven.id(), id);
    assert!(matches!(proven.outcome(), Outcome::Applied(_)));

    let asked = |tx_id: Vec<u8>, wait_ms| {
        let mut client = limited!(LedgerServiceClient::new(channel.clone()));
        async move {
            client
                .get_receipt(wire::GetReceiptRequest { tx_id, wait_ms })
                .await
                .map(|answer| answer.into_inner().receipt.unwrap())
                .map_err(|status| FaultView::from_status(&status).reason_code.unwrap())
        }
    };
    assert_eq!(check(&asked(id.to_vec(), 0).await.unwrap()), proven);
    for (tx_id, wait_ms, code) in [
        (vec![7; 32], 0, "TX_NOT_FOUND"),
        (vec![7; 32], 20, "TX_NOT_FOUND"),
        (vec![7; 31], 0, "FIELD_LENGTH"),
        (vec![], 0, "FIELD_REQUIRED"),
        (id.to_vec(), 60_001, "FIELD_RANGE"),
    ] {
        assert_eq!(asked(tx_id, wait_ms).await.unwrap_err(), code);
    }
    follower.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_proof_links_any_two_headers() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    for number in 0..9 {
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
    }
    let channel = consortium.channel(&validator, "js-bureau", Role::Gateway);
    let proof = |height, tip_height| {
        let mut client = limited!(LedgerServiceClient::new(channel.clone()));
        async move {
            client
                .get_history_proof(wire::GetHistoryProofRequest { height, tip_height })
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| FaultView::from_status(&status).reason_code.unwrap())
        }
    };
    for tip_height in 2..=9 {
        for height in 1..tip_height {
            let proof = proof(height, tip_height).await.unwrap();
            let earlier = Header::parse(&proof.header).unwrap();
            let tip = Header::parse(&proof.tip_header).unwrap();
            assert_eq!((earlier.height, tip.height), (height, tip_height));
            Certificate::try_from(&proof.tip_certificate.unwrap())
                .unwrap()
                .check(tip.clone(), &validator.replica().validators())
                .unwrap();
            let path = Path::try_from(&proof.inclusion.unwrap()).unwrap();
            assert_eq!((path.index, path.size), (height - 1, tip_height - 1));
            let leaf = merkle::leaf_hash(earlier.hash().as_bytes());
            assert!(
                path.leads(leaf, tip.history_root),
                "{height} in {tip_height}"
            );
            let consistency: Vec<Digest> = proof
                .consistency
                .iter()
                .map(|bytes| Digest::try_from(&bytes[..]).unwrap())
                .collect();
            merkle::verify_consistency(
                height - 1,
                &earlier.history_root,
                tip_height - 1,
                &tip.history_root,
                &consistency,
            )
            .unwrap();
        }
    }
    for (height, tip_height, code) in [
        (0, 3, "FIELD_RANGE"),
        (3, 3, "FIELD_RANGE"),
        (4, 3, "FIELD_RANGE"),
        (3, 10, "BLOCK_NOT_FOUND"),
        (u64::MAX, 3, "FIELD_RANGE"),
    ] {
        let refused = proof(height, tip_height).await.unwrap_err();
        assert_eq!(refused, code, "{height} in {tip_height}");
    }
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_live_members_are_let_in() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let freeze = |org: &str| {
        Action::FreezeMember(wire::FreezeMember {
            org: org.into(),
            reason: "a test".into(),
        })
    };
    let stranger = consortium.issue("js-bank", Role::Agent);
    // Registered for one organisation, and says to be another's.
    let misnamed = consortium.issue("zj-bureau", Role::Agent);
    let add = Action::AddCertificate(wire::AddCertificate {
        fingerprint: misnamed.own().fingerprint_sha256.to_vec(),
    });
    for (by, action) in [("js-bank/admin", add), ("pboc/admin", freeze("zj-bureau"))] {
        let (_, tx) = consortium.sign(by, action);
        let done = validator.commit(tx).await;
        assert!(matches!(done.outcome(), Outcome::Applied(_)), "{done:?}");
    }
    for (identity, code) in [
        (consortium.identity("js-bank", Role::Agent), None),
        (consortium.identity("pboc", Role::Observer), None),
        (stranger, Some("CERTIFICATE_UNKNOWN")),
        (misnamed, Some("CERTIFICATE_ORG_MISMATCH")),
        (
            consortium.identity("zj-bureau", Role::Node),
            Some("MEMBER_FROZEN"),
        ),
    ] {
        let got = status(channel_as(&identity, &validator)).await;
        let got = got.err().and_then(|fault| fault.reason_code);
        assert_eq!(got.as_deref(), code, "{}", identity.own());
    }
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_member_s_stream_ends() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    let (_, tx) = consortium.any(1);
    follower.commit(tx).await;
    let freeze = Action::FreezeMember(wire::FreezeMember {
        org: "js-bureau".into(),
        reason: "a test".into(),
    });
    let (_, tx) = consortium.sign("pboc/admin", freeze);
    let frozen_at = validator.commit(tx).await.height();
    let (_, tx) = consortium.any(2);
    validator.commit(tx).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(follower.replica().tip().height < frozen_at);
    follower.stop().await;
    validator.stop().await;
}

/// Two sources and a grant; an order of a bank sealed to a key that the ledger brought, delivered in part
/// and left to expire for the rest. A bureau has bound the subject's key.
async fn one_order(
    consortium: &mut Consortium,
    node: &Running,
    (bank, bureau): (&str, &str),
) -> TxId {
    let (admin, agent) = (format!("{bank}/admin"), format!("{bank}/agent"));
    let witness = format!("{bureau}/admin");
    let key = wire::MemberKey {
        public_key: testing::secret("a newer key").public().to_sec1().to_vec(),
        role: wire::KeyRole::Encryption.into(),
    };
    let steps = [
        (
            "sh-bureau/admin",
            testing::register_source("sh-tax", "sh-bureau", &["invoices", "tax"]),
        ),
        ("sh-bureau/admin", testing::activate_source("sh-tax")),
        (
            "zj-bureau/admin",
            testing::register_source("zj-power", "zj-bureau", &["power", "tax"]),
        ),
        ("zj-bureau/admin", testing::activate_source("zj-power")),
        (
            "sh-bureau/holder",
            testing::register_digests("sh-tax", &["invoices", "tax"], &[1, 2], 20_000),
        ),
        (
            "zj-bureau/holder",
            testing::register_digests("zj-power", &["power"], &[1], 20_000),
        ),
        (&*admin, testing::open_user(1)),
        (
            &*witness,
            testing::bind_subject_key(1, testing::secret("subject-1").public()),
        ),
        (&*admin, Action::AddKey(wire::AddKey { key: Some(key) })),
    ];
    for (by, action) in steps {
        let (_, tx) = consortium.sign(by, action);
        let done = node.commit(tx).await;
        assert!(matches!(done.outcome(), Outcome::Applied(_)), "{done:?}");
    }
    let now = node.replica().tip().time;
    let mut terms = testing::terms();
    terms.grantee = bank.into();
    terms.valid_from_ms = now - DAY;
    terms.valid_until_ms = now + 30 * DAY;
    let (grant, tx) = consortium.sign("subject-1", testing::grant(terms));
    node.commit(tx).await;
    let order = wire::PlaceOrder {
        recipient: testing::key_id("a newer key").as_bytes().to_vec(),
        deadline_ms: DEADLINE_MS,
        ..testing::order(&grant)
    };
    let (order, tx) = consortium.sign(&agent, Action::PlaceOrder(order));
    let done = node.commit(tx).await;
    assert!(matches!(done.outcome(), Outcome::Applied(_)), "{done:?}");
    let (_, tx) = consortium.sign(
        "sh-bureau/holder",
        Action::DeliverPart(testing::delivery(&order, 0)),
    );
    let done = node.commit(tx).await;
    assert!(matches!(done.outcome(), Outcome::Applied(_)), "{done:?}");
    let confirm = wire::ConfirmPart {
        order: order.to_vec(),
        part: 0,
        verdict: wire::Verdict::Confirmed.into(),
    };
    let (_, tx) = consortium.sign(&agent, Action::ConfirmPart(confirm));
    let confirmed_at = node.commit(tx).await.height();
    // Nobody sends anything any more: the chain makes the block for the deadline by itself.
    let tip = node.reaches(confirmed_at + 1).await;
    assert!(tip.time >= now + u64::from(DEADLINE_MS));
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_verifies_where_a_vote_admitted_the_bureau_and_that_bureau_the_bank() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let bureau = testing::member("nj-bureau", MemberKind::Bureau, "32", None);
    let admitted = vec![Kind::AdmitMember((&bureau).into())];
    passed(&mut consortium, &validator, admitted).await;
    let bank = testing::member("nj-bank", MemberKind::Institution, "32", Some("nj-bureau"));
    let admit = Action::AdmitMember(wire::AdmitMember {
        member: Some((&bank).into()),
    });
    let (_, tx) = consortium.sign("nj-bureau/admin", admit);
    let done = validator.commit(tx).await;
    assert!(matches!(done.outcome(), Outcome::Applied(_)), "{done:?}");
    let order = one_order(&mut consortium, &validator, ("nj-bank", "nj-bureau")).await;
    let (_, tx) = consortium.any(77);
    validator.commit(tx).await;

    let channel = consortium.channel(&validator, "js-bureau", Role::Gateway);
    let request = wire::GetEvidenceRequest {
        order: order.to_vec(),
    };
    let mut audit = limited!(AuditServiceClient::new(channel));
    let answer = audit.get_evidence(request).await.unwrap().into_inner();
    let bundle = answer.bundle.unwrap();
    // As for a bank of the genesis, and the bank's admission, the proposal to admit its bureau, and the
    // block that carried that out.
    assert_eq!((bundle.receipts.len(), bundle.blocks.len()), (10, 2));
    let findings = evidence::verify(&evidence::encode(&bundle), &consortium.genesis).unwrap();
    assert!(findings.steps.iter().all(|step| step.signer.is_known()));
    let open: Vec<_> = (findings.claims.iter())
        .filter(|claim| claim.standing != Standing::Proven)
        .collect();
    assert!(open.is_empty(), "{open:?}");
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_an_order_verifies_against_the_genesis_alone() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let observer = consortium
        .observer(vec![validator.upstream("sh-bureau")])
        .await;
    let order = one_order(&mut consortium, &validator, ("js-bank", "sh-bureau")).await;
    // Something comes after, so that not all of it stands in the tip.
    let (_, tx) = consortium.any(77);
    let tip = validator.commit(tx).await.height();
    observer.reaches(tip).await;

    let channel = consortium.channel(&observer, "js-bureau", Role::Gateway);
    let mut audit = limited!(AuditServiceClient::new(channel.clone()));
    let bundle = audit
        .get_evidence(wire::GetEvidenceRequest {
            order: order.to_vec(),
        })
        .await
        .unwrap()
        .into_inner()
        .bundle
        .unwrap();
    // Grant, order, delivery, verdict, two registrations, the binding of the subject's key and the
    // key that is sealed to; and the block in which the second part expired.
    assert_eq!((bundle.receipts.len(), bundle.blocks.len()), (8, 1));
    let findings = evidence::verify(&evidence::encode(&bundle), &consortium.genesis).unwrap();
    assert_eq!(findings.steps.len(), 8);
    assert!(findings.steps.iter().all(|step| step.signer.is_known()));
    let open: Vec<_> = (findings.claims.iter())
        .filter(|claim| claim.standing != Standing::Proven)
        .collect();
    assert!(open.is_empty(), "{open:?}");
    let last = &findings.claims.last().unwrap().statement;
    match last {
        Statement::Ended {
            end: PartEnd::Expired { deadline },
            at: Some(at),
            ..
        } => assert!(at.index.is_none() && at.time >= *deadline, "{at:?}"),
        other => panic!("{other:?}"),
    }

    let unknown = audit
        .get_evidence(wire::GetEvidenceRequest { order: vec![9; 32] })
        .await
        .unwrap_err();
    assert_eq!(
        FaultView::from_status(&unknown).reason_code.as_deref(),
        Some("ORDER_NOT_FOUND")
    );

    // The rest of what an observer shows about it.
    let listed = audit
        .list_access(wire::ListAccessRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((listed.total, listed.entries.len()), (1, 1));
    assert_eq!(listed.entries[0].tx_id, order.to_vec());
    let orders = audit
        .list_orders(wire::ListOrdersRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(orders.orders.len(), 1);
    let summary = audit
        .get_summary(wire::GetSummaryRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((summary.attempts, summary.orders), (1, 1));
    let mut state = limited!(StateServiceClient::new(channel));
    let found = state
        .get_order(wire::GetOrderRequest {
            order: order.to_vec(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.order.as_ref(), orders.orders.first());
    observer.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_in_one_call_each_has_its_own_answer() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    for node in [&validator, &follower] {
        let bad = wire::Transaction::default();
        let (id, transaction) = consortium.any(1);
        let (other, second) = consortium.any(2);
        let mut forged = consortium.any(3).1;
        forged.signature[40] ^= 1;
        let request = wire::SubmitTransactionsRequest {
            transactions: vec![transaction, bad, second, forged],
        };
        let channel = consortium.channel(node, "js-bureau", Role::Gateway);
        let answer = limited!(SubmissionServiceClient::new(channel))
            .submit_transactions(request)
            .await
            .unwrap();
        let said: Vec<Result<Vec<u8>, String>> = (answer.into_inner().results.into_iter())
            .map(|one| match one.result.unwrap() {
                wire::submission_result::Result::TxId(id) => Ok(id),
                wire::submission_result::Result::Refused(refused) => {
                    let code = i32::try_from(refused.code).unwrap().into();
                    let details = refused.details.into();
                    let status = tonic::Status::with_details(code, refused.message, details);
                    Err(FaultView::from_status(&status).reason_code.unwrap())
                }
            })
            .collect();
        let refused = |reason: &str| Err(reason.to_owned());
        assert_eq!(
            said,
            [
                Ok(id.to_vec()),
                refused("FIELD_REQUIRED"),
                Ok(other.to_vec()),
                refused("SIGNATURE_INVALID"),
            ]
        );
        for id in [id, other] {
            validator.replica().wait_final(&id, PATIENCE).await.unwrap();
        }
    }
    follower.stop().await;
    validator.stop().await;
}
