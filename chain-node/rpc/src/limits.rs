//! Every limit of the transport, once: sizes, counts and times, for servers and clients alike.
//!
//! Layers with different defaults refuse each other's messages (PITFALLS: 4 and 10 MiB); so nothing
//! outside this file sets a message size, a stream count or a keepalive. What a field may hold is not
//! decided here but where the wire type becomes a domain type.

use std::time::Duration;

use tonic::transport::{Endpoint, Server};

/// The largest message of any ordinary call, in bytes, in both directions (8 MiB). A batch of ledger
/// transactions fits in it.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The largest message of the calls that carry sealed report parts, in bytes (20 MiB).
pub const MAX_SEALED_MESSAGE_BYTES: usize = 20 * 1024 * 1024;

/// The largest header list of one call, in bytes: room for a user token and a trace context.
pub const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// What servers and channels are held to. `Limits::default()` is what the product runs with; tests
/// narrow single fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that may be under way at once on one connection.
    pub concurrent_streams: u32,
    /// Connections that a server keeps at once; further ones wait in the listen backlog.
    pub connections: usize,
    /// How long a TCP connection and its TLS handshake may take to come up.
    pub connect_timeout: Duration,
    /// How long a call may take until its response begins, when the caller names no deadline. Streams
    /// that have begun may last longer.
    pub request_timeout: Duration,
    /// How long a connection may be silent before it is probed with an HTTP/2 ping.
    pub keepalive_interval: Duration,
    /// How long the answer to such a ping may take before the connection is given up.
    pub keepalive_timeout: Duration,
    /// Largest list of headers, in bytes.
    pub header_list_bytes: u32,
    /// HTTP/2 flow-control window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow-control window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// How long a server waits, when told to stop, for calls under way.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_streams: 1024,
            connections: 4096,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            header_list_bytes: MAX_HEADER_LIST_BYTES,
            stream_window_bytes: 1024 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// Sets the limits on a server builder. The request timeout is not among them: the server's own
    /// layer applies it, so that the caller gets a proper reason (see [`crate::refine`]).
    pub(crate) fn on_server(&self, server: Server) -> Server {
        server
            .max_concurrent_streams(self.concurrent_streams)
            .http2_keepalive_interval(Some(self.keepalive_interval))
            .http2_keepalive_timeout(Some(self.keepalive_timeout))
            .http2_max_header_list_size(self.header_list_bytes)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .tcp_nodelay(true)
    }

    /// Sets the limits on a client endpoint.
    pub(crate) fn on_endpoint(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(self.header_list_bytes)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .tcp_nodelay(true)
    }
}

/// Sets the message limits on a generated tonic server or client; both have the same two methods.
///
/// `limited!(OrdersServer::new(service))` allows [`MAX_MESSAGE_BYTES`] both ways;
/// `limited!(sealed: DeliveryClient::new(channel))` allows [`MAX_SEALED_MESSAGE_BYTES`].
#[macro_export]
macro_rules! limited {
    (sealed: $service:expr) => {
        $service
            .max_decoding_message_size($crate::limits::MAX_SEALED_MESSAGE_BYTES)
            .max_encoding_message_size($crate::limits::MAX_SEALED_MESSAGE_BYTES)
    };
    ($service:expr) => {
        $service
            .max_decoding_message_size($crate::limits::MAX_MESSAGE_BYTES)
            .max_encoding_message_size($crate::limits::MAX_MESSAGE_BYTES)
    };
}
