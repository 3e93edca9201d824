//! An HTTP server as a bureau's partner runs one: who asks must say who they are, answers come in pages, and on
//! bad days it is slow, busy or broken. It is the other side of the adapter, over real sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use xinqiao_data_testing::Issued;

use crate::data::{Data, HOLDERS, MAIN, YEARS};

/// How it answers next.
#[derive(Clone, Default)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Good,
    /// With this status so many times, and then as it should.
    Status(u16, u32, Option<&'static str>),
    /// Not for so long.
    Slow(Duration),
    /// With this body.
    Says(Vec<u8>),
    /// With half of its body, and then the connection is gone.
    Breaks,
}

struct Shared {
    subjects: Vec<Value>,
    mood: Mutex<Mood>,
    refusals: AtomicU32,
    asked: AtomicU32,
    running: AtomicU32,
    most: AtomicU32,
}

/// The server; it ends with this value.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

const PAGE: usize = 7;

fn object<const N: usize>(names: [&str; N], cells: &[String; N]) -> Map<String, Value> {
    let value = |(name, cell): (&str, &String)| {
        let number = matches!(name, "paid" | "revenue" | "staff");
        let value = match cell.as_str() {
            "" => Value::Null,
            // As written: a float would be another amount.
            text if number => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            text => json!(text),
        };
        (name.to_owned(), value)
    };
    names.into_iter().zip(cells).map(value).collect()
}

fn subjects(data: &Data) -> Vec<Value> {
    let mut holders: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for row in &data.holders {
        let entry = Value::Object(object(HOLDERS, row));
        holders.entry(&row[0]).or_default().push(entry);
    }
    let mut years: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for row in &data.years {
        let entry = Value::Object(object(YEARS, row));
        years.entry(&row[0]).or_default().push(entry);
    }
    let subject = |row: &[String; 6]| {
        let mut subject = object(MAIN, row);
        let lists =
            json!({ "holders": holders.get(row[0].as_str()), "years": years.get(row[0].as_str()) });
        subject.insert("lists".to_owned(), lists);
        json!({ "subject": subject })["subject"].take()
    };
    data.main.iter().map(subject).collect()
}

/// Connections under TLS, one handshake at a time. Who does not come through is left.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Peer {
    pub(crate) fn start(data: &Data) -> Self {
        Self::serve(data, None)
    }

    /// One that speaks TLS.
    pub(crate) fn start_tls(data: &Data, issued: &Issued) -> Self {
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key)
            .expect("a pair");
        Self::serve(data, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn serve(data: &Data, tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared {
            subjects: subjects(data),
            mood: Mutex::new(Mood::Good),
            refusals: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            running: AtomicU32::new(0),
            most: AtomicU32::new(0),
        });
        let app = Router::new()
            .route("/pages", get(pages))
            .route("/cursor", get(cursor))
            .route("/links", get(links))
            .route("/one/{code}", get(one))
            .with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("loopback has a free port");
                tell.send(listener.local_addr().expect("it is bound"))
                    .expect("somebody waits");
                let served = async {
                    match tls {
                        None => axum::serve(listener, app).await,
                        Some(acceptor) => axum::serve(Tls { listener, acceptor }, app).await,
                    }
                };
                tokio::select! {
                    _ = served => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: told.recv().expect("the server starts"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.shared.refusals.store(0, Ordering::SeqCst);
        self.shared.asked.store(0, Ordering::SeqCst);
        *self.shared.mood.lock().expect("no handler panics") = mood;
    }

    /// Requests since the last mood.
    pub(crate) fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Most requests that ran at once.
    pub(crate) fn most(&self) -> u32 {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Asked = HashMap<String, String>;

/// What comes before any answer; `Ok` when it is to be the real one.
async fn gate(shared: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let known = header("authorization") == Some("Bearer token-1")
        || header("authorization") == Some("Basic dXNlcjpwYXNzOndvcmQ=")
        || header("x-api-key") == Some("key-1");
    if !known {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    let mood = shared.mood.lock().expect("no handler panics").clone();
    match mood {
        Mood::Good => Ok(()),
        Mood::Status(status, times, after) => {
            if shared.refusals.fetch_add(1, Ordering::SeqCst) >= times {
                return Ok(());
            }
            let status = StatusCode::from_u16(status).expect("a status");
            let mut response = status.into_response();
            if let Some(after) = after {
                response
                    .headers_mut()
                    .insert("retry-after", after.parse().expect("a value"));
            }
            Err(response)
        }
        Mood::Slow(time) => {
            let running = shared.running.fetch_add(1, Ordering::SeqCst) + 1;
            shared.most.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(time).await;
            shared.running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
        Mood::Says(body) => Err(body.into_response()),
        Mood::Breaks => {
            let chunks = futures::stream::iter([
                Ok(axum::body::Bytes::from_static(b"{\"data\": [")),
                Err(std::io::Error::other("gone")),
            ]);
            let chunks = chunks.then(|chunk| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                chunk
            });
            Err(Response::new(axum::body::Body::from_stream(chunks)))
        }
    }
}

fn text(value: &Value, headers: Vec<(&'static str, String)>) -> Response {
    let mut response = value.to_string().into_response();
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
    }
    response
}

fn page(shared: &Shared, start: usize) -> (Vec<Value>, Option<usize>) {
    let end = (start + PAGE).min(shared.subjects.len());
    let rows = shared.subjects.get(start..end).unwrap_or_default().to_vec();
    (rows, (end < shared.subjects.len()).then_some(end))
}

async fn pages(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if let Err(response) = gate(&shared, &headers).await {
        return response;
    }
    let number: usize = asked["page"].parse().expect("a number");
    let (rows, _) = page(&shared, (number - 1) * PAGE);
    text(
        &json!({ "data": rows, "kept": asked.get("kept") }),
        Vec::new(),
    )
}

async fn cursor(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if let Err(response) = gate(&shared, &headers).await {
        return response;
    }
    // With everything in it that an address must not hold as it is.
    let start = asked.get("after").map_or(0, |after| {
        after
            .strip_prefix("a b&c=企/")
            .expect("our cursor")
            .parse()
            .expect("a number")
    });
    let (rows, next) = page(&shared, start);
    let next = next.map(|next| format!("a b&c=企/{next}"));
    text(
        &json!({ "data": rows, "meta": { "next": next } }),
        Vec::new(),
    )
}

async fn links(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if let Err(response) = gate(&shared, &headers).await {
        return response;
    }
    let start = asked
        .get("from")
        .map_or(0, |from| from.parse().expect("a number"));
    let (rows, next) = page(&shared, start);
    let link = next.map(|next| {
        (
            "link",
            format!("</links>; rel=\"first\", </links?from={next}>; rel=\"next\""),
        )
    });
    text(&json!({ "data": rows }), link.into_iter().collect())
}

async fn one(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Response {
    if let Err(response) = gate(&shared, &headers).await {
        return response;
    }
    match shared
        .subjects
        .iter()
        .find(|subject| subject["code"] == code.as_str())
    {
        Some(subject) => text(&json!({ "found": { "it": subject } }), Vec::new()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
