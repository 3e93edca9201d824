//! An OTLP receiver over gRPC, as a collector has it: it takes spans of real processes and keeps all of
//! them, with the process that each came from.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which process it came from: organisation and service, such as `sh-bureau/xinqiao-node`.
    pub process: String,
    /// Trace, 32 hexadecimal digits.
    pub trace: String,
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// Its parent's id; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Everything else that it says: attributes, events, status.
    pub says: String,
}

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens, `http://host:port`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts one on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let service =
            TraceServiceServer::new(Keeper(spans.clone())).max_decoding_message_size(64 << 20);
        let serving = tokio::spawn(async move {
            let _ = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Self {
            endpoint,
            spans,
            serving,
        }
    }

    /// Everything received so far.
    ///
    /// # Panics
    /// When a thread of the receiver panicked.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Keeper(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().expect("nobody panics with it");
        for resource in request.into_inner().resource_spans {
            let facts = resource
                .resource
                .map(|resource| table(&resource.attributes));
            let facts = facts.unwrap_or_default();
            let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
            let process = format!("{}/{}", fact("xinqiao.org"), fact("service.name"));
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                kept.push(Span {
                    process: process.clone(),
                    trace: hex::encode(&span.trace_id),
                    id: hex::encode(&span.span_id),
                    parent: hex::encode(&span.parent_span_id),
                    name: span.name.clone(),
                    says: format!(
                        "{} {facts:?} {:?} {:?} {:?} {:?}",
                        span.name,
                        table(&span.attributes),
                        span.events,
                        span.links,
                        span.status
                    ),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn table(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .map(|one| (one.key.clone(), text(one.value.as_ref())))
        .collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
