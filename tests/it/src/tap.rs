//! A tap on the link between two processes: it stands where the server is expected, ends the mutual TLS of
//! both sides with the certificates of both, passes every byte on and keeps it.
//!
//! So a test sees what the process at either end of a link sees, in the plain. It needs the private keys of
//! both ends, which a test of a consortium on this machine has and nobody else.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The protocol of every link.
const ALPN: &[u8] = b"h2";

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Certificates and keys of everyone, and the authority that they trust.
#[derive(Debug)]
pub struct Wardrobe {
    roots: Arc<RootCertStore>,
    clothes: Vec<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl Wardrobe {
    /// Of the consortium in this folder.
    ///
    /// # Panics
    /// When it has no certificates.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(dir.join("ca/ca.pem")).expect("ca.pem");
        roots.add(ca).expect("an authority");
        let mut clothes = Vec::new();
        for file in crate::markers::files(dir) {
            let in_tls = file.parent().is_some_and(|folder| folder.ends_with("tls"));
            if in_tls && file.extension().is_some_and(|extension| extension == "pem") {
                let certificate = CertificateDer::from_pem_file(&file).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(file.with_extension("key")).expect("a key");
                clothes.push((certificate, key));
            }
        }
        assert!(
            clothes.len() > 10,
            "{} certificates were found",
            clothes.len()
        );
        Self {
            roots: Arc::new(roots),
            clothes,
        }
    }

    /// The server that a certificate makes one look like.
    fn server(&self, certificate: &CertificateDer<'static>) -> ServerConfig {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider().clone())
                .build()
                .expect("a verifier");
        let (certificate, key) = self.find(certificate);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .expect("a certificate with its key");
        config.alpn_protocols.push(ALPN.into());
        config
    }

    /// The client that a certificate makes one look like.
    fn client(&self, certificate: &CertificateDer<'static>) -> ClientConfig {
        let (certificate, key) = self.find(certificate);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(vec![certificate], key)
            .expect("a certificate with its key");
        config.alpn_protocols.push(ALPN.into());
        config
    }

    fn find(
        &self,
        certificate: &CertificateDer<'static>,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let found = self.clothes.iter().find(|(own, _)| own == certificate);
        let (certificate, key) = found.expect("a certificate of the consortium");
        (certificate.clone(), key.clone_key())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What went over one connection.
#[derive(Debug, Default)]
struct Talk {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

/// A tap. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Tap {
    talks: Arc<Mutex<Vec<Arc<Mutex<Talk>>>>>,
    task: JoinHandle<()>,
}

impl Tap {
    /// On a link of mutual TLS: listens in the place of the server whose certificate is in that file, and
    /// passes everything on to where that server really listens.
    ///
    /// # Panics
    /// When the certificate is nobody's here.
    #[must_use]
    pub fn mutual(
        place: TcpListener,
        server: SocketAddr,
        certificate: &Path,
        wardrobe: Arc<Wardrobe>,
    ) -> Self {
        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(wardrobe.server(&certificate)));
        Self::start(place, move |stream, talk| {
            let (acceptor, wardrobe) = (acceptor.clone(), wardrobe.clone());
            async move {
                // Who does not get through the handshake is nobody's client, here as there.
                let Ok(client) = acceptor.accept(stream).await else {
                    return;
                };
                let shown = client.get_ref().1.peer_certificates().unwrap_or_default();
                let config = wardrobe.client(&shown[0].clone().into_owned());
                let connector = TlsConnector::from(Arc::new(config));
                let Ok(stream) = TcpStream::connect(server).await else {
                    return;
                };
                let name = ServerName::try_from("localhost").expect("a name");
                if let Ok(server) = connector.connect(name, stream).await {
                    pass(client, server, talk).await;
                }
            }
        })
    }

    /// The same on a link without TLS.
    #[must_use]
    pub fn plain(place: TcpListener, server: SocketAddr) -> Self {
        Self::start(place, move |client, talk| async move {
            if let Ok(server) = TcpStream::connect(server).await {
                pass(client, server, talk).await;
            }
        })
    }

    fn start<F>(
        place: TcpListener,
        talk_through: impl Fn(TcpStream, Arc<Mutex<Talk>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let talks = Arc::new(Mutex::new(Vec::new()));
        let kept = talks.clone();
        let task = tokio::spawn(async move {
            let mut under_way = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = place.accept().await {
                // Small frames that wait for each other would be another consortium's timing.
                let _ = stream.set_nodelay(true);
                let talk = Arc::new(Mutex::new(Talk::default()));
                kept.lock().expect("no panic before").push(talk.clone());
                under_way.spawn(talk_through(stream, talk));
            }
        });
        Self { talks, task }
    }

    /// Every byte so far: as it went over the connections, both ways, and once more as the bodies of the
    /// calls in them, so that nothing hides across two frames.
    ///
    /// # Panics
    /// When a connection is not HTTP/2.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        for talk in self.talks.lock().expect("no panic before").iter() {
            let talk = talk.lock().expect("no panic before");
            for bytes in [&talk.to_server, &talk.to_client] {
                heard.push(bytes.clone());
                heard.extend(bodies(bytes));
            }
        }
        heard
    }

    /// The messages of all answers so far, of whatever type.
    ///
    /// # Panics
    /// When a connection is not gRPC.
    #[must_use]
    pub fn answers(&self) -> Vec<Vec<Vec<u8>>> {
        let talks = self.talks.lock().expect("no panic before");
        talks
            .iter()
            .flat_map(|talk| bodies(&talk.lock().expect("no panic before").to_client))
            .map(|body| messages(&body))
            .collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes on in both directions until both ends are done, and keeps them.
async fn pass<C, S>(client: C, server: S, talk: Arc<Mutex<Talk>>)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let kept = |bytes: &[u8], choose: fn(&mut Talk) -> &mut Vec<u8>| {
        choose(&mut talk.lock().expect("no panic before")).extend_from_slice(bytes);
    };
    tokio::join!(
        copy(&mut from_client, &mut to_server, |bytes| kept(
            bytes,
            |talk| &mut talk.to_server
        )),
        copy(&mut from_server, &mut to_client, |bytes| kept(
            bytes,
            |talk| &mut talk.to_client
        )),
    );
}

/// One direction. An end that is cut is an end: who listens notices by itself.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    keep: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        keep(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// The contents of the DATA frames of each stream of one direction of an HTTP/2 connection (RFC 9113 §4.1).
fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let (kind, flags) = (head[3], head[4]);
        assert!(kind <= 0x20, "a frame of type {kind}: this is not HTTP/2");
        // The last frame of a connection that was cut may be there in part.
        let Some((payload, after)) = after.split_at_checked(length) else {
            break;
        };
        if kind == 0 {
            assert_eq!(flags & 0x8, 0, "nothing here pads its frames");
            bodies.entry(stream).or_default().extend_from_slice(payload);
        }
        rest = after;
    }
    bodies.into_values().collect()
}

/// The messages of a body: a byte that says whether it is compressed, a length of 4 bytes, the message.
fn messages(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut messages) = (body, Vec::new());
    while let Some((head, after)) = rest.split_at_checked(5) {
        assert_eq!(head[0], 0, "a compressed message cannot be searched");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((message, after)) = after.split_at_checked(length) else {
            break;
        };
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_again_across_frames_and_among_other_streams() {
        let frame = |kind: u8, stream: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
        };
        let talk = [
            PREFACE.to_vec(),
            frame(4, 0, &[]),
            frame(0, 1, b"\0\0\0\0\x06abc"),
            frame(0, 3, b"\0\0\0\0\x01x"),
            frame(1, 5, b"headers"),
            frame(0, 1, b"def\0\0\0\0\x01y"),
            frame(0, 3, b"cut")[..10].to_vec(),
        ]
        .concat();
        let found: Vec<_> = bodies(&talk).iter().map(|body| messages(body)).collect();
        assert_eq!(
            found,
            [vec![b"abcdef".to_vec(), b"y".to_vec()], vec![b"x".to_vec()]]
        );
    }
}
