//! The client side of every call: a channel that carries the trace on and never waits for ever.
//!
//! It is a thin layer over tonic's channel, so that no call can forget either. It adds nothing else: no
//! retries (whether a call may be repeated is the caller's knowledge) and no credentials.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status, TimeoutExpired};
use tower::Service;
use tracing::Instrument;
use tracing::field::Empty;

use crate::fault::{Fault, bare_reason};
use crate::limits::Limits;
use crate::propagation::{self, SpannedBody};
use crate::reason::Reason;

/// A channel to a server of the consortium. Cloning it is cheap and shares the connection.
#[derive(Clone)]
pub struct RpcChannel {
    inner: Channel,
    uri: Arc<str>,
    default_deadline: HeaderValue,
}

impl fmt::Debug for RpcChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcChannel").finish_non_exhaustive()
    }
}

impl RpcChannel {
    pub(crate) fn new(inner: Channel, uri: &str, limits: &Limits) -> Self {
        Self {
            inner,
            uri: uri.into(),
            default_deadline: grpc_timeout(limits.request_timeout),
        }
    }

    /// The same connection with another deadline for calls that name none.
    #[must_use]
    pub fn with_default_deadline(mut self, deadline: Duration) -> Self {
        self.default_deadline = grpc_timeout(deadline);
        self
    }
}

impl Service<Request<Body>> for RpcChannel {
    type Response = Response<SpannedBody>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Service::poll_ready(&mut self.inner, cx).map_err(|error| status_of(&self.uri, error))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = propagation::method_of(request.uri());
        let span = tracing::info_span!(
            "rpc.client",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.method = method,
            rpc.grpc.status_code = Empty,
        );
        propagation::inject(&span, request.headers_mut());
        if !request.headers().contains_key("grpc-timeout") {
            request
                .headers_mut()
                .insert("grpc-timeout", self.default_deadline.clone());
        }
        let answer = Service::call(&mut self.inner, request);
        let (recorded, uri) = (span.clone(), Arc::clone(&self.uri));
        Box::pin(
            async move {
                match answer.await {
                    Ok(response) => Ok(SpannedBody::around(response, recorded)),
                    Err(error) => {
                        let status = status_of(&uri, error);
                        propagation::record_code(&recorded, status.code());
                        Err(status)
                    }
                }
            }
            .instrument(span),
        )
    }
}

/// A call got no answer from that address: whoever reads the status learns which connection failed.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {uri}")]
pub(crate) struct NoAnswer {
    pub(crate) uri: Arc<str>,
    #[source]
    error: tonic::transport::Error,
}

/// The status of a call that got no answer. Which end notices first that the deadline has passed is a
/// race; tonic's client says "cancelled" then, and here it is the same deadline as at the server.
fn status_of(uri: &Arc<str>, error: tonic::transport::Error) -> Status {
    let timed_out =
        std::error::Error::source(&error).is_some_and(|source| source.is::<TimeoutExpired>());
    if timed_out {
        return Fault::new(Reason::Deadline).status();
    }
    let status = Status::from_error(Box::new(NoAnswer {
        uri: Arc::clone(uri),
        error,
    }));
    let unnamed = matches!(status.code(), Code::Cancelled | Code::Unknown);
    if unnamed && bare_reason(&status).is_none() {
        // The connection broke or closed under the call, as when the server refuses a certificate or stops;
        // what that is called depends on which side of the race this end is. Callers must see that the other
        // end is away, and may try again.
        let mut away = Status::unavailable("the connection ended before an answer came");
        away.set_source(Arc::new(status));
        return away;
    }
    status
}

/// The gRPC wire form of a deadline: at most eight digits and a unit (here milliseconds, or seconds when
/// it is longer than a day).
fn grpc_timeout(deadline: Duration) -> HeaderValue {
    let text = match u32::try_from(deadline.as_millis()) {
        Ok(millis) if millis < 100_000_000 => format!("{millis}m"),
        _ => format!("{}S", deadline.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("30S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_fit_the_eight_digits_of_the_wire() {
        for (deadline, expected) in [
            (Duration::from_millis(1), "1m"),
            (Duration::from_secs(30), "30000m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(deadline), expected);
        }
    }
}
