//! Calls made of raw bytes, as a client gone wrong would make them, and the answers as bytes.

use bytes::{Buf, BufMut, Bytes};
use http::Method;
use tonic::{
    Request, Status,
    body::Body,
    client::GrpcService,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
};
use xinqiao_rpc::{FaultView, RpcChannel};

/// Messages as the bytes they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Calls a method with these bytes as its message, and gives all messages of the answer.
///
/// A stream that goes on is followed until it is silent for a second.
///
/// # Errors
/// With the status that the server gives.
pub async fn call(
    channel: &RpcChannel,
    method: &str,
    message: Vec<u8>,
    token: Option<&str>,
) -> Result<Vec<Vec<u8>>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(64 << 20);
    grpc.ready()
        .await
        .map_err(|fault| Status::from_error(Box::new(fault)))?;
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    let path = method.parse().expect("a method is a path");
    let mut stream = grpc
        .server_streaming(request, path, Raw)
        .await?
        .into_inner();
    let mut messages = Vec::new();
    loop {
        match tokio::time::timeout(std::time::Duration::from_secs(1), stream.message()).await {
            Ok(Ok(Some(message))) => messages.push(message),
            Ok(Ok(None)) | Err(_) => return Ok(messages),
            Ok(Err(status)) => return Err(status),
        }
    }
}

/// Sends bytes as the whole body of a call, framing and all, and gives the status of the answer.
///
/// # Panics
/// When there is no answer at all.
pub async fn body(
    mut channel: RpcChannel,
    method: &str,
    body: Vec<u8>,
    token: Option<&str>,
) -> Status {
    let mut request = http::Request::builder()
        .method(Method::POST)
        .uri(method)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let full = Body::new(http_body_util::Full::new(Bytes::from(body)));
    let request = request.body(full).expect("a request");
    if let Err(fault) = std::future::poll_fn(|cx| channel.poll_ready(cx)).await {
        return fault;
    }
    match GrpcService::call(&mut channel, request).await {
        Err(status) => status,
        Ok(response) => {
            Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok("no status"))
        }
    }
}

/// The stable reason code of a failed call; its gRPC code in words if it has none.
#[must_use]
pub fn reason(status: &Status) -> String {
    let view = FaultView::from_status(status);
    view.reason_code
        .unwrap_or_else(|| format!("{:?} without a reason: {}", view.grpc_code, view.message))
}
