//! Bad calls over a real socket: each gets its own reason, and the server goes on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod echo;

use std::time::{Duration, Instant};

use echo::{Echo, call, call_with, path, start};
use http::Method;
use tokio::io::AsyncWriteExt;
use tonic::body::Body;
use tonic::{Code, Request, Status};
use tower::Service;
use xinqiao_rpc::limits::MAX_MESSAGE_BYTES;
use xinqiao_rpc::tls::{self, plain_channel};
use xinqiao_rpc::{FaultView, Limits, Reason, RpcChannel, ServerBuilder, serve};

async fn server() -> RpcChannel {
    let running = start(Echo::default()).await;
    plain_channel(
        &format!("http://{}", running.local_addr()),
        &Limits::default(),
    )
    .unwrap()
}

#[track_caller]
fn check(answer: Result<String, Status>, reason: Reason, says: &str) {
    let status = answer.expect_err("the call should have been refused");
    let view = FaultView::from_status(&status);
    assert_eq!(view.reason, Some(reason), "{status:?}");
    assert_eq!(view.grpc_code, reason.grpc_code(), "{status:?}");
    assert!(
        view.message.contains(says),
        "{:?} does not say {says:?}",
        view.message
    );
    assert!(
        view.help
            .is_some_and(|help| help.starts_with("docs/errors.md#"))
    );
}

/// Sends raw bytes as the body of a call, as a client gone wrong would.
async fn raw(mut channel: RpcChannel, method: &str, body: &'static str) -> Result<String, Status> {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(path(method).to_string())
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(body.to_owned()))
        .unwrap();
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    ready.map_err(|error| Status::from_error(Box::new(error)))?;
    let response = channel.call(request).await.unwrap();
    Err(Status::from_header_map(response.headers()).expect("an answer without a message"))
}

#[tokio::test]
async fn a_good_call_is_answered_up_to_the_very_limit() {
    // Field key and length take 5 of the bytes.
    let text = "x".repeat(MAX_MESSAGE_BYTES - 5);
    assert_eq!(
        call(server().await, "Say", text.clone()).await.unwrap(),
        text
    );
}

#[tokio::test]
async fn each_kind_of_bad_message_has_its_own_reason() {
    let channel = server().await;
    let c = || channel.clone();
    let large = "x".repeat(MAX_MESSAGE_BYTES + 1);
    check(
        call(c(), "Say", large).await,
        Reason::MessageTooLarge,
        "limit is: 8388608 bytes",
    );
    check(
        call(c(), "Nothing", String::new()).await,
        Reason::MethodUnknown,
        "no such method",
    );
    check(
        raw(c(), "Say", "\0\0\0\0\x64abc").await,
        Reason::MessageTruncated,
        "middle of a message",
    );
    check(
        raw(c(), "Say", "").await,
        Reason::MessageTruncated,
        "middle of a message",
    );
    check(
        raw(c(), "Say", "\0\0\0\0\x02\x0a\x7f").await,
        Reason::MessageMalformed,
        "protobuf",
    );
    let status = call(c(), "Say", "x".repeat(MAX_MESSAGE_BYTES + 1))
        .await
        .unwrap_err();
    let view = FaultView::from_status(&status);
    assert_eq!(view.metadata["limit_bytes"], MAX_MESSAGE_BYTES.to_string());
    // And after all of that the connection still serves.
    assert_eq!(
        call(c(), "Say", "still here".into()).await.unwrap(),
        "still here"
    );
}

#[tokio::test]
async fn a_connection_that_ends_under_a_call_is_a_server_that_is_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    // It speaks HTTP/2 as far as its settings, and goes.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream
                .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    for _ in 0..20 {
        let channel = plain_channel(&uri, &Limits::default()).unwrap();
        let answer = call(channel, "Say", "anyone?".into()).await;
        check(answer, Reason::UpstreamUnavailable, "");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_told_apart() {
    let channel = server().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Vec<u8>, String>::default();
    let answer = grpc
        .unary(Request::new(vec![0xff, 0xfe]), path("Say"), codec)
        .await;
    check(
        answer.map(tonic::Response::into_inner),
        Reason::Utf8,
        "UTF-8",
    );
}

#[tokio::test]
async fn an_error_at_the_end_of_a_stream_has_its_reason_too() {
    let channel = server().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<String, String>::default();
    let mut texts = grpc
        .server_streaming(Request::new("first".to_owned()), path("Stream"), codec)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(texts.message().await.unwrap().as_deref(), Some("first"));
    check(
        texts.message().await.map(Option::unwrap),
        Reason::MessageTooLarge,
        "encoded message",
    );
}

#[tokio::test]
async fn a_panicking_handler_costs_its_own_call_only() {
    let channel = server().await;
    let (panicked, said) = tokio::join!(
        call(channel.clone(), "Panic", "x".into()),
        call(channel.clone(), "Say", "beside it".into())
    );
    check(panicked, Reason::Internal, "inside the process");
    assert_eq!(said.unwrap(), "beside it");
}

#[tokio::test]
async fn a_handler_s_own_status_is_left_alone() {
    let status = call(server().await, "Fail", "as it is".into())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "as it is")
    );
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_with_the_deadline_as_reason() {
    let channel = server().await;
    let mut request = Request::new(String::new());
    request.set_timeout(Duration::from_millis(200));
    let begin = Instant::now();
    check(
        call_with(channel.clone(), "Slow", request).await,
        Reason::Deadline,
        "",
    );
    assert!(begin.elapsed() < Duration::from_secs(5));

    let hasty = channel.with_default_deadline(Duration::from_millis(200));
    check(
        call(hasty, "Slow", String::new()).await,
        Reason::Deadline,
        "",
    );
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up_at_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let channel = plain_channel(&uri, &Limits::default())
        .unwrap()
        .with_default_deadline(Duration::from_millis(200));
    let begin = Instant::now();
    check(
        call(channel, "Say", String::new()).await,
        Reason::Deadline,
        "within its deadline",
    );
    assert!(begin.elapsed() < Duration::from_secs(5));
    holding.abort();
}

#[tokio::test]
async fn nobody_at_the_address_is_said_so_and_is_worth_another_try() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let channel = plain_channel(&format!("http://{address}"), &Limits::default()).unwrap();
    let status = call(channel, "Say", String::new()).await.unwrap_err();
    let view = FaultView::from_status(&status);
    assert_eq!(view.reason, Some(Reason::UpstreamUnavailable), "{status:?}");
    assert!(view.is_transient());
    assert!(view.message.contains("refused"), "{}", view.message);
}

#[tokio::test]
async fn without_tls_only_loopback_is_served_and_called() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = ServerBuilder::plain_loopback()
            .bind(address.parse().unwrap())
            .await;
        assert!(
            matches!(refused, Err(serve::Error::Tls(tls::Error::NotLoopback(_)))),
            "{address}: {refused:?}"
        );
    }
    for (uri, allowed) in [
        ("http://127.0.0.1:1", true),
        ("http://[::1]:1", true),
        ("http://localhost:1", true),
        ("http://192.0.2.1:1", false),
        ("http://localhost.example:1", false),
        ("http://127.0.0.1.example:1", false),
        ("https://127.0.0.1:1", false),
        ("127.0.0.1:1", false),
        ("", false),
    ] {
        assert_eq!(
            plain_channel(uri, &Limits::default()).is_ok(),
            allowed,
            "{uri}"
        );
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = start(Echo::default()).await;
    let error = ServerBuilder::plain_loopback()
        .bind(running.local_addr())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&running.local_addr().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn more_connections_than_places_wait_for_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = ServerBuilder::plain_loopback()
        .limits(limits)
        .add_service(Echo::default())
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending());
    let uri = format!("http://{}", server.local_addr());
    let first = plain_channel(&uri, &Limits::default()).unwrap();
    let second = plain_channel(&uri, &Limits::default()).unwrap();
    assert_eq!(call(first.clone(), "Say", "1".into()).await.unwrap(), "1");
    let waiting = tokio::spawn(call(second, "Say", "2".into()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        !waiting.is_finished(),
        "a second connection was served beside the only place"
    );
    drop(first);
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn a_stopping_server_finishes_in_its_grace_period_even_with_calls_that_do_not_end() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let limits = Limits {
        shutdown_grace: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = ServerBuilder::plain_loopback()
        .limits(limits)
        .add_service(Echo::default())
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(async move {
            let _ = stopped.await;
        });
    let channel = plain_channel(
        &format!("http://{}", server.local_addr()),
        &Limits::default(),
    )
    .unwrap();
    let unending = tokio::spawn(call(channel, "Slow", String::new()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.stopped())
        .await
        .unwrap()
        .unwrap();
    drop(unending);
}

#[tokio::test]
async fn health_and_both_reflections_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::{v1, v1alpha};

    let server = ServerBuilder::plain_loopback()
        .reflection(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .add_service(Echo::default())
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending());
    let channel = plain_channel(
        &format!("http://{}", server.local_addr()),
        &Limits::default(),
    )
    .unwrap();
    for service in ["", "xinqiao.test.Echo"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = HealthClient::new(channel.clone())
            .check(request)
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service:?}");
    }

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers = v1::server_reflection_client::ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap()
        .into_inner();
    let listed = format!("{:?}", answers.message().await.unwrap());
    assert!(listed.contains("grpc.health.v1.Health"), "{listed}");

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers = v1alpha::server_reflection_client::ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap()
        .into_inner();
    let listed = format!("{:?}", answers.message().await.unwrap());
    assert!(listed.contains("grpc.health.v1.Health"), "{listed}");
}
