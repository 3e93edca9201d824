//! An observer cannot write: it has no key to be given, no service to call, and nobody takes
//! anything from it.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use xinqiao_contracts::testing::open_user;
use xinqiao_ledger::wire::{
    self, submission_service_client::SubmissionServiceClient, tx_body::Action,
};
use xinqiao_observer::{Error, Observer};
use xinqiao_rpc::{FaultView, Role, RpcChannel};

use crate::consortium::Consortium;

/// Services that only read.
const READING: [&str; 3] = [
    "xinqiao.v1.AuditService",
    "xinqiao.v1.LedgerService",
    "xinqiao.v1.StateService",
];

/// Every method of the contract: its service, and its own name.
fn methods() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(xinqiao_proto::FILE_DESCRIPTOR_SET).unwrap();
    set.file
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file, service)))
        .flat_map(|(file, service)| {
            let name = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter();
            methods.map(move |method| (name.clone(), method.name().to_owned()))
        })
        .collect()
}

/// Calls a method with an empty message.
async fn call(channel: RpcChannel, service: &str, method: &str) -> Result<(), tonic::Status> {
    let mut client = Grpc::new(channel);
    let ready = client.ready().await;
    assert!(ready.is_ok(), "no connection for {service}/{method}");
    let path: PathAndQuery = format!("/{service}/{method}").parse().unwrap();
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    client.unary(Request::new(()), path, codec).await.map(drop)
}

async fn listed(channel: RpcChannel) -> BTreeSet<String> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    list.service
        .into_iter()
        .map(|service| service.name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_surface_has_no_call_that_writes() {
    let consortium = Consortium::new();
    let validator = consortium.validator().await;
    let watching = consortium.observer(&validator).await;
    let channel = |org, role| consortium.channel(&watching.uri(), org, role);

    let wanted: BTreeSet<String> = READING
        .iter()
        .chain(&[
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ])
        .map(ToString::to_string)
        .collect();
    let mut found = listed(channel("pboc", Role::Observer)).await;
    found.remove("grpc.reflection.v1alpha.ServerReflection");
    assert_eq!(found, wanted);
    // The validator's list has what the observer's lacks, so the list says something.
    let on_validator = consortium.channel(&validator.uri(), "js-bureau", Role::Gateway);
    assert!(
        listed(on_validator)
            .await
            .contains("xinqiao.v1.SubmissionService")
    );

    let mut seen = BTreeSet::new();
    for (service, method) in methods() {
        seen.insert(service.clone());
        let reading = READING.contains(&service.as_str());
        for (org, role) in [
            ("js-bureau", Role::Gateway),
            ("pboc", Role::Observer),
            ("js-bank", Role::Agent),
        ] {
            let code = call(channel(org, role), &service, &method)
                .await
                .err()
                .map(|s| s.code());
            let missing = code == Some(Code::Unimplemented);
            assert_eq!(missing, !reading, "{service}/{method}: {code:?}");
        }
        let verb = ["Get", "List", "Stream"]
            .iter()
            .any(|verb| method.starts_with(verb));
        assert!(
            !reading || verb,
            "{service}/{method} does not sound like reading"
        );
    }
    for service in READING
        .iter()
        .chain(&["xinqiao.v1.SubmissionService", "xinqiao.v1.OrderService"])
    {
        assert!(seen.contains(*service), "the contract has no {service}");
    }
    watching.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_a_transaction_from_it() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    // A good transaction of someone else, through an observer's certificate.
    let (_, good) = consortium.sign("js-bank/admin", open_user(1));
    // One that a key of nobody signed: whatever an observer may make up itself.
    let (_, own) = consortium.sign("a key that an observer made up", open_user(2));
    let submit = async |org, role, transaction: wire::Transaction| {
        let channel = consortium.channel(&validator.uri(), org, role);
        let sent = SubmissionServiceClient::new(channel)
            .submit_transaction(wire::SubmitTransactionRequest {
                transaction: Some(transaction),
                wait_ms: 0,
            })
            .await;
        let status = sent.expect_err("it was taken");
        FaultView::from_status(&status)
            .reason_code
            .unwrap_or_default()
    };
    assert_eq!(
        submit("pboc", Role::Observer, good.clone()).await,
        "ROLE_DENIED"
    );
    assert_eq!(
        submit("pboc", Role::Observer, own.clone()).await,
        "ROLE_DENIED"
    );
    // Nor when it finds someone to carry it.
    assert_eq!(
        submit("js-bureau", Role::Gateway, own).await,
        "SIGNER_UNKNOWN"
    );
    assert_eq!(validator.height(), 0);
    // The regulator's admin key is the regulator's, and never the observer's: it is a person's.
    let freeze = Action::FreezeMember(wire::FreezeMember {
        org: "js-bank".into(),
        reason: "逾期未整改".into(),
    });
    let frozen = consortium.commit(&validator, "pboc/admin", freeze).await;
    assert_eq!(frozen.height(), 1);
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_observers_certificate_makes_one() {
    let consortium = Consortium::new();
    let validator = consortium.validator().await;
    for (org, role) in [("sh-bureau", Role::Node), ("js-bureau", Role::Gateway)] {
        let mut config = consortium.observer_config(&validator);
        config.identity = consortium.identity(org, role);
        let refused = Observer::start(config, std::future::pending())
            .await
            .unwrap_err();
        let wanted = format!("this one is for xinqiao://{org}/{role}");
        assert!(matches!(refused, Error::NotObserver { .. }));
        assert!(refused.to_string().ends_with(&wanted), "{refused}");
    }
    let mut config = consortium.observer_config(&validator);
    config.upstreams.clear();
    let refused = Observer::start(config, std::future::pending())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("at least one upstream"),
        "{refused}"
    );
    // What it is told does not show its TLS key either.
    let shown = format!("{:?}", consortium.observer_config(&validator));
    assert!(
        shown.contains("redacted") && !shown.contains("PRIVATE"),
        "{shown}"
    );
    validator.stop().await;
}
