//! A small service for tests, over the real transport: it echoes, fails, relays and overflows on demand.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test's own service; not every test uses all of it"
)]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;
use xinqiao_rpc::limits::MAX_MESSAGE_BYTES;
use xinqiao_rpc::{RpcChannel, RunningServer, ServerBuilder};

type Codec = ProstCodec<String, String>;
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

#[derive(Clone, Default)]
pub struct Echo {
    /// Where `Relay` passes the text on to.
    pub next: Option<RpcChannel>,
}

impl NamedService for Echo {
    const NAME: &'static str = "xinqiao.test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let next = self.next.clone();
        let mut grpc = tonic::server::Grpc::new(Codec::default())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            Ok(match method.as_str() {
                "Say" => grpc.unary(tower::service_fn(say), request).await,
                "Fail" => grpc.unary(tower::service_fn(fail), request).await,
                "Panic" => grpc.unary(tower::service_fn(panics), request).await,
                "Slow" => grpc.unary(tower::service_fn(slow), request).await,
                "Stream" => {
                    grpc.server_streaming(tower::service_fn(stream), request)
                        .await
                }
                "Relay" => {
                    let relay = move |request: Request<String>| {
                        let next = next.clone().unwrap();
                        async move {
                            call(next, "Say", request.into_inner())
                                .await
                                .map(Response::new)
                        }
                    };
                    grpc.unary(tower::service_fn(relay), request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

async fn say(request: Request<String>) -> Result<Response<String>, Status> {
    Ok(Response::new(request.into_inner()))
}

async fn fail(request: Request<String>) -> Result<Response<String>, Status> {
    Err(Status::failed_precondition(request.into_inner()))
}

async fn panics(request: Request<String>) -> Result<Response<String>, Status> {
    panic!("asked to, with {} bytes", request.into_inner().len())
}

async fn slow(request: Request<String>) -> Result<Response<String>, Status> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(Response::new(request.into_inner()))
}

type Texts = Pin<Box<dyn tokio_stream::Stream<Item = Result<String, Status>> + Send>>;

/// One small message, and a little later one larger than the server may send. (At once, tonic would drop
/// the small one, which it has not sent yet.)
async fn stream(request: Request<String>) -> Result<Response<Texts>, Status> {
    let first = std::future::ready(Ok(request.into_inner()));
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok("x".repeat(MAX_MESSAGE_BYTES + 1))
    };
    let texts = futures::stream::once(first).chain(futures::stream::once(second));
    Ok(Response::new(Box::pin(texts)))
}

/// Calls one method of [`Echo`].
pub async fn call(channel: RpcChannel, method: &str, text: String) -> Result<String, Status> {
    call_with(channel, method, Request::new(text)).await
}

/// The same with a request that carries metadata.
pub async fn call_with(
    channel: RpcChannel,
    method: &str,
    request: Request<String>,
) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    grpc.unary(request, path(method), Codec::default())
        .await
        .map(Response::into_inner)
}

pub fn path(method: &str) -> PathAndQuery {
    format!("/xinqiao.test.Echo/{method}").parse().unwrap()
}

/// An echo server without TLS on a free port; it runs until the test ends.
pub async fn start(echo: Echo) -> RunningServer {
    ServerBuilder::plain_loopback()
        .add_service(echo)
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending())
}
