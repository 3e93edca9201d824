//! The end of a process whose collector is gone: dropping the guard must not hang or panic.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use xinqiao_rpc::telemetry::{self, TelemetryConfig};

/// In a one-thread runtime, whose only thread the drop blocks.
#[tokio::test(flavor = "current_thread")]
async fn a_collector_that_is_gone_does_not_hold_up_the_end() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let guard = telemetry::init(TelemetryConfig {
        service_name: "nobody".into(),
        otlp_endpoint: Some(endpoint),
        ..TelemetryConfig::default()
    })
    .unwrap();
    tracing::info_span!("lost").in_scope(|| tracing::info!("said into the void"));
    let begin = Instant::now();
    drop(guard);
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
}
