//! Putting a server together: listener, TLS, limits, health, reflection, our layer, and a graceful end.
//!
//! Health answers "is this process up", per service name; what the process is fit for (synced, halted)
//! its owner sets through the [`HealthReporter`]. Services themselves come from elsewhere.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::limits::Limits;
use crate::refine::RefineLayer;
use crate::tls::{self, Identity};

/// How long accepting rests after the operating system refused a connection (no file descriptors left):
/// the others go on meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS cannot be set up, or plain HTTP/2 was asked for beyond this machine.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The descriptors for reflection cannot be read.
    #[error("the service descriptors cannot be read: {0}")]
    Descriptors(String),
    /// The server ended with an error.
    #[error("the server stopped: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The server's task was lost.
    #[error("the server's task ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

enum Security {
    Mutual(Box<Identity>),
    PlainLoopback,
}

/// What gRPC health says of a running server: of each service, and of the whole under the empty name.
#[derive(Clone)]
pub struct Fitness {
    health: HealthReporter,
    names: Vec<&'static str>,
}

impl fmt::Debug for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fitness")
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

impl Fitness {
    /// Says whether the server is fit for work.
    pub async fn set(&self, fit: bool) {
        let status = if fit {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in self.names.iter().chain([&""]) {
            self.health.set_service_status(*name, status).await;
        }
    }
}

/// A server under construction.
#[must_use]
pub struct ServerBuilder {
    security: Security,
    limits: Limits,
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    descriptors: Vec<Vec<u8>>,
    health: HealthReporter,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("limits", &self.limits)
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// A server that accepts only clients with a certificate of the consortium CA.
    pub fn mutual_tls(identity: &Identity) -> Self {
        Self::new(Security::Mutual(Box::new(identity.clone())))
    }

    /// A server without TLS, for applications on the same machine: [`bind`](Self::bind) refuses every
    /// address that is not a loopback one.
    pub fn plain_loopback() -> Self {
        Self::new(Security::PlainLoopback)
    }

    fn new(security: Security) -> Self {
        Self {
            security,
            limits: Limits::default(),
            routes: Routes::builder(),
            names: Vec::new(),
            descriptors: Vec::new(),
            health: HealthReporter::new(),
        }
    }

    /// Other limits than the default ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers reflection for the services of this encoded `FileDescriptorSet` (and for health).
    pub fn reflection(mut self, file_descriptor_set: &[u8]) -> Self {
        self.descriptors.push(file_descriptor_set.to_vec());
        self
    }

    /// One more service; wrap it in [`limited!`](crate::limited) for the message limits.
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Sets what the health service answers while the server runs, for all services added so far.
    /// Without it a server is fit for work as long as it runs.
    #[must_use]
    pub fn fitness(&self) -> Fitness {
        Fitness {
            health: self.health.clone(),
            names: self.names.clone(),
        }
    }

    /// Binds the address (port 0: any free one) and makes everything ready. No call is answered before
    /// [`BoundServer::serve`] or [`BoundServer::spawn`].
    ///
    /// # Errors
    /// [`Error`] when the address cannot be bound or is not allowed, or TLS or reflection cannot be set up.
    pub async fn bind(self, address: SocketAddr) -> Result<BoundServer, Error> {
        let mut server = self.limits.on_server(Server::builder());
        match &self.security {
            Security::Mutual(identity) => {
                server = server
                    .tls_config(identity.server_config(&self.limits))
                    .map_err(|error| tls::Error::Setup(error.to_string()))?;
            }
            Security::PlainLoopback if !address.ip().is_loopback() => {
                return Err(tls::Error::NotLoopback(address.to_string()).into());
            }
            Security::PlainLoopback => {}
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error::Bind { address, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| Error::Bind { address, source })?;

        for name in &self.names {
            self.health
                .set_service_status(*name, ServingStatus::Serving)
                .await;
        }
        let mut routes = self.routes;
        routes.add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(self.health),
        ));
        if !self.descriptors.is_empty() {
            add_reflection(&mut routes, &self.descriptors, &self.names)?;
        }
        Ok(BoundServer {
            server,
            routes: routes.routes(),
            listener,
            address,
            limits: self.limits,
        })
    }
}

/// Reflection lists the services that are served here, not all that the descriptors describe.
fn add_reflection(
    routes: &mut RoutesBuilder,
    descriptors: &[Vec<u8>],
    names: &[&'static str],
) -> Result<(), Error> {
    let own = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let configured = || {
        let builder = descriptors.iter().fold(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET),
            |builder, set| builder.register_encoded_file_descriptor_set(set),
        );
        names
            .iter()
            .chain(&own)
            .fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let unreadable = |error: tonic_reflection::server::Error| Error::Descriptors(error.to_string());
    routes.add_service(configured().build_v1().map_err(unreadable)?);
    // Tools of before 2023 only know the older protocol.
    routes.add_service(configured().build_v1alpha().map_err(unreadable)?);
    Ok(())
}

/// A server that has its address and waits to be run.
#[must_use]
pub struct BoundServer {
    server: Server,
    routes: Routes,
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl BoundServer {
    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, then takes no new connections and gives calls under way
    /// [`Limits::shutdown_grace`] to end.
    ///
    /// # Errors
    /// [`Error::Transport`] when the server cannot go on.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let grace = self.limits.shutdown_grace;
        let run = self
            .server
            .layer(RefineLayer::new(&self.limits))
            .serve_with_incoming_shutdown(
                self.routes.prepare(),
                incoming(self.listener, self.limits.connections),
                async move {
                    stop.await;
                    let _ = stopping.send(());
                },
            );
        let give_up = async move {
            // An error means that the server ended by itself; then the other branch answers.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = run => Ok(ended?),
            () = give_up => {
                tracing::warn!(?grace, "calls still under way at the end of the grace period were cut");
                Ok(())
            }
        }
    }

    /// [`serve`](Self::serve) in a task of its own.
    pub fn spawn(self, stop: impl Future<Output = ()> + Send + 'static) -> RunningServer {
        let address = self.address;
        RunningServer {
            address,
            task: tokio::spawn(self.serve(stop)),
        }
    }
}

/// A server that runs in its own task.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

impl RunningServer {
    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// As [`BoundServer::serve`], and [`Error::Task`] when its task was lost.
    pub async fn stopped(self) -> Result<(), Error> {
        self.task.await?
    }
}

/// One accepted connection; its place is free again when it is dropped.
struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// Connections as they come, at most `places` at once. It never ends and never fails: an error of
/// accepting concerns one connection, or passes when others close.
fn incoming(
    listener: TcpListener,
    places: usize,
) -> impl Stream<Item = Result<Connection, io::Error>> {
    let places = Arc::new(Semaphore::new(places));
    futures::stream::unfold((listener, places), |(listener, places)| async move {
        // The semaphore is never closed; were it, no more connections would be taken.
        let place = places.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY could not be set");
                    }
                    let connection = Connection {
                        stream,
                        _place: place,
                    };
                    return Some((Ok(connection), (listener, places)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
