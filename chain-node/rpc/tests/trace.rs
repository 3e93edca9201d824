//! One trace through two servers, received by a real OTLP receiver.

#![allow(clippy::unwrap_used, reason = "tests")]

mod echo;

use std::time::Duration;

use echo::{Echo, call, call_with, start};
use fake_opentelemetry_collector::{ExportedSpan, FakeCollectorServer};
use tonic::Request;
use tracing::Instrument;
use xinqiao_rpc::propagation::current_trace_id;
use xinqiao_rpc::telemetry::{self, TelemetryConfig};
use xinqiao_rpc::tls::plain_channel;
use xinqiao_rpc::{FaultView, Limits, RpcChannel};

const MARKER: &str = "MARKER-91310000MA1FL0000X";

async fn channel_to(echo: Echo) -> RpcChannel {
    let server = start(echo).await;
    plain_channel(
        &format!("http://{}", server.local_addr()),
        &Limits::default(),
    )
    .unwrap()
}

fn find<'a>(spans: &'a [ExportedSpan], name: &str, kind: &str) -> &'a ExportedSpan {
    let mut found = spans.iter().filter(|s| s.name == name && s.kind == kind);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {kind} {name} in {spans:#?}"));
    assert!(found.next().is_none(), "several {kind} {name}");
    span
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_a_relayed_call_join_up_and_hold_no_payload() {
    let mut collector = FakeCollectorServer::start().await.unwrap();
    let guard = telemetry::init(TelemetryConfig {
        service_name: "trace-test".into(),
        otlp_endpoint: Some(collector.endpoint()),
        filter: Some("trace".into()),
        ..TelemetryConfig::default()
    })
    .unwrap();
    assert!(
        telemetry::init(TelemetryConfig::default()).is_err(),
        "set up twice"
    );

    let last = channel_to(Echo::default()).await;
    let first = channel_to(Echo { next: Some(last) }).await;
    let mut request = Request::new(MARKER.to_owned());
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {MARKER}").parse().unwrap());
    let root = tracing::info_span!("query");
    let trace_id = root
        .in_scope(current_trace_id)
        .expect("a root span has a trace id");
    let said = call_with(first.clone(), "Relay", request)
        .instrument(root)
        .await
        .unwrap();
    assert_eq!(said, MARKER);
    let failing = tracing::info_span!("failing");
    call(first.clone(), "Fail", MARKER.to_owned())
        .instrument(failing)
        .await
        .unwrap_err();
    let panicking = tracing::info_span!("panicking");
    let panicking_trace = panicking.in_scope(current_trace_id).unwrap();
    let status = call(first, "Panic", MARKER.to_owned())
        .instrument(panicking)
        .await
        .unwrap_err();
    let told = FaultView::from_status(&status).metadata;
    assert_eq!(told.get("trace_id"), Some(&panicking_trace));

    guard.flush();
    let spans = collector.exported_spans(11, Duration::from_secs(10)).await;
    let (client, server) = ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER");
    let (relay, say) = ("xinqiao.test.Echo/Relay", "xinqiao.test.Echo/Say");
    let chain = [
        find(&spans, "query", "SPAN_KIND_INTERNAL"),
        find(&spans, relay, client),
        find(&spans, relay, server),
        find(&spans, say, client),
        find(&spans, say, server),
    ];
    for span in chain {
        assert_eq!(span.trace_id, trace_id, "{span:#?}");
    }
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent_span_id, pair[0].span_id, "{pair:#?}");
    }
    for span in &chain[1..] {
        assert_eq!(
            span.attributes
                .get("rpc.grpc.status_code")
                .map(String::as_str),
            Some("Some(AnyValue { value: Some(IntValue(0)) })"),
            "{span:#?}"
        );
    }
    let failed = find(&spans, "xinqiao.test.Echo/Fail", server);
    assert_ne!(failed.trace_id, trace_id);
    assert_eq!(failed.status.as_ref().unwrap().code, "STATUS_CODE_ERROR");

    let everything = format!("{spans:?}");
    assert!(
        !everything.contains(MARKER),
        "a payload or header is in a span"
    );
    assert!(
        spans.iter().all(|s| !s.name.contains("TraceService")),
        "exporting spans must not make spans"
    );
    drop(guard);
}
