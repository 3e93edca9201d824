//! Carrying one trace across processes: W3C trace context in the headers, one span per call at each end.
//!
//! A span names the method and the status code and nothing else: no header, no payload, no address.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The longest method path that is put on a span; a stranger chooses it.
const MAX_METHOD: usize = 128;

/// The method of a call: `xinqiao.v1.Orders/Place`.
pub(crate) fn method_of(uri: &Uri) -> &str {
    let path = uri.path().trim_start_matches('/');
    let plain = path.len() <= MAX_METHOD
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'_'));
    if plain { path } else { "(unusual)" }
}

/// Puts the span's trace context into the headers of a call.
pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Headers(headers));
}

/// Makes the caller's span, as the headers name it, the parent of ours.
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Names(headers));
    if parent.span().span_context().is_valid() {
        // It fails only when the span is disabled or tracing has no OpenTelemetry layer: then there is
        // no trace to join.
        let _ = span.set_parent(parent);
    }
}

/// The trace id of the current span, 32 hexadecimal digits; `None` outside of any trace.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    span_context
        .is_valid()
        .then(|| span_context.trace_id().to_string())
}

/// Notes how a call ended.
pub(crate) fn record_code(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", i64::from(i32::from(code)));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

/// A response body that keeps its call's span open until it ends, and notes the status it ends with.
pub struct SpannedBody {
    inner: Body,
    span: Option<Span>,
}

impl std::fmt::Debug for SpannedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpannedBody").finish_non_exhaustive()
    }
}

impl SpannedBody {
    pub(crate) fn around(response: Response<Body>, span: Span) -> Response<Self> {
        // An error answer has no body: its status stands among the headers.
        let ended = Status::from_header_map(response.headers());
        if let Some(status) = &ended {
            record_code(&span, status.code());
        }
        let span = ended.is_none().then_some(span);
        response.map(|inner| Self { inner, span })
    }
}

impl HttpBody for SpannedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            let code = match frame {
                Some(Ok(frame)) => frame
                    .trailers_ref()
                    .and_then(Status::from_header_map)
                    .map(|status| status.code()),
                Some(Err(status)) => Some(status.code()),
                None => None,
            };
            if let (Some(code), Some(span)) = (code, self.span.take_if(|_| code.is_some())) {
                record_code(&span, code);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            self.0.insert(key, value);
        }
    }
}

struct Names<'a>(&'a HeaderMap);

impl Extractor for Names<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
