//! The server side of every call: its span, its deadline, and an answer that says what went wrong.
//!
//! tonic answers some faults by itself, before or around our handlers: a message too large, truncated or
//! not decodable, a method that does not exist. Here these get our reasons. A handler that panics costs
//! its own call and not the connection with everyone else's calls on it.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::field::Empty;

use crate::fault::{Fault, bare_reason};
use crate::limits::Limits;
use crate::propagation::{self, SpannedBody};
use crate::reason::Reason;

/// The longest deadline a caller may name; a longer one is cut to it.
pub const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// tonic enforces the caller's deadline too, with a bare status; ours comes first by this much.
const HEAD_START: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub(crate) struct RefineLayer {
    request_timeout: Duration,
}

impl RefineLayer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            request_timeout: limits.request_timeout,
        }
    }
}

impl<S> Layer<S> for RefineLayer {
    type Service = Refine<S>;

    fn layer(&self, inner: S) -> Refine<S> {
        Refine {
            inner,
            request_timeout: self.request_timeout,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Refine<S> {
    inner: S,
    request_timeout: Duration,
}

impl<S> Service<Request<Body>> for Refine<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<SpannedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = propagation::method_of(request.uri());
        let span = tracing::info_span!(
            "rpc.server",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.method = method,
            rpc.grpc.status_code = Empty,
        );
        propagation::adopt(&span, request.headers());
        let deadline = deadline_of(request.headers()).unwrap_or(self.request_timeout);
        let answer = self.inner.call(request);
        let recorded = span.clone();
        Box::pin(
            async move {
                let response =
                    match tokio::time::timeout(deadline, AssertUnwindSafe(answer).catch_unwind())
                        .await
                    {
                        Ok(Ok(Ok(response))) => refined(response),
                        Ok(Ok(Err(impossible))) => match impossible {},
                        Ok(Err(_panic)) => {
                            tracing::error!("a handler panicked");
                            Fault::new(Reason::Internal).status().into_http()
                        }
                        Err(_elapsed) => Fault::new(Reason::Deadline)
                            .with("deadline_ms", deadline.as_millis())
                            .status()
                            .into_http(),
                    };
                Ok(SpannedBody::around(response, recorded))
            }
            .instrument(span),
        )
    }
}

/// The caller's deadline from the `grpc-timeout` header: up to eight digits and a unit.
fn deadline_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let asked = match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(asked.min(MAX_DEADLINE).saturating_sub(HEAD_START))
}

fn refined(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) => match refine(&status) {
            Some(better) => better.into_http(),
            None => response,
        },
        None => response.map(|inner| Body::new(RefinedBody { inner })),
    }
}

/// Our status in the place of tonic's own; `None` when the status has details or says enough.
fn refine(status: &Status) -> Option<Status> {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return None;
    }
    let reason = bare_reason(status)?;
    let ours = matches!(
        reason,
        Reason::MessageTooLarge
            | Reason::MessageMalformed
            | Reason::MessageTruncated
            | Reason::MethodUnknown
            | Reason::Utf8
    );
    ours.then(|| {
        let message = status.message();
        let mut fault = Fault::new(reason);
        if !message.is_empty() {
            fault = fault.because(message);
        }
        if let Some(limit) = limit_in(message) {
            fault = fault.with("limit_bytes", limit);
        }
        fault.status()
    })
}

/// The limit that tonic names: "…, the limit is: 8388608 bytes".
fn limit_in(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("the limit is: ")?;
    rest.split(' ').next()?.parse().ok()
}

/// The body of a streamed answer, whose status comes at its end.
struct RefinedBody {
    inner: Body,
}

impl HttpBody for RefinedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                let frame = frame?;
                let better = frame
                    .trailers_ref()
                    .and_then(Status::from_header_map)
                    .and_then(|status| refine(&status));
                match better {
                    Some(status) => {
                        let mut trailers = HeaderMap::new();
                        status.add_header(&mut trailers)?;
                        Ok(Frame::trailers(trailers))
                    }
                    None => Ok(frame),
                }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", header.parse().unwrap());
        assert_eq!(deadline_of(&headers), expected, "{header:?}");
    }

    #[test]
    fn the_caller_s_deadline_is_read_strictly_and_cut() {
        check("100m", Some(Duration::from_millis(95)));
        check("2S", Some(Duration::from_millis(1995)));
        check("1M", Some(Duration::from_millis(59_995)));
        check("99999999H", Some(MAX_DEADLINE - HEAD_START));
        check("7u", Some(Duration::ZERO));
        check("1n", Some(Duration::ZERO));
        for bad in [
            "",
            "S",
            "5",
            "5x",
            "-5S",
            "+5S",
            "123456789S",
            "1.5S",
            " 5S",
        ] {
            check(bad, None);
        }
    }
}
