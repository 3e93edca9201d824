//! TLS of the consortium: a process's own identity, mutual TLS for servers, and channels to them.
//!
//! TLS here is standard TLS 1.3 (or 1.2) with ECDSA certificates; SM2 signs what is on the ledger, not
//! the transport (rustls has no SM suites). Plain HTTP/2 exists only on loopback, for a bank's own
//! application beside its agent.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, ServerTlsConfig};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::channel::RpcChannel;
use crate::limits::Limits;
use crate::peer::{PeerError, PeerIdentity};
use crate::verify::{ExpectedPeer, MemberVerifier};

/// The largest PEM file that is read, in bytes.
pub const MAX_PEM_BYTES: u64 = 256 * 1024;

/// The server name sent in every handshake. It says nothing about the member: whom one talks to is
/// checked by the certificate's URI, and addresses may be anything.
const SERVER_NAME: &str = "member.xinqiao.internal";

/// Why an identity, a server or a channel cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A PEM file cannot be read.
    #[error("cannot read the {what} from {path}: {source}")]
    Read {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A PEM file is too large to be one.
    #[error("the {what} file {path} has {bytes} bytes; at most {MAX_PEM_BYTES} are read")]
    TooLarge {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The PEM text does not hold what it should.
    #[error("{origin} holds no usable {what}: {reason}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file, or "the given text".
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The private key is not the certificate's.
    #[error("the private key does not belong to the certificate: {0}")]
    KeyMismatch(rustls::Error),
    /// Our own certificate is past its validity.
    #[error("the certificate in {path} has expired: it was valid until {until}")]
    Expired {
        /// The file.
        path: PathBuf,
        /// The end of its validity.
        until: String,
    },
    /// Our own certificate is before its validity.
    #[error(
        "the certificate in {path} is not valid yet, but from {from}: is this machine's clock right?"
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// The begin of its validity.
        from: String,
    },
    /// Our own certificate gives no identity.
    #[error("our own certificate gives no identity: {0}")]
    OwnIdentity(#[from] PeerError),
    /// The address is not one a channel can be made to.
    #[error("{uri:?} is no usable address: {reason}")]
    Address {
        /// The address.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Plain HTTP/2 was asked for beyond this machine.
    #[error("{0} is not a loopback address: without TLS only loopback is allowed")]
    NotLoopback(String),
    /// The TLS library refused the configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// A process's certificate chain, its private key, and the consortium CA it trusts.
#[derive(Clone)]
pub struct Identity {
    cert_chain_pem: String,
    key_pem: SecretString,
    ca_pem: String,
    own: PeerIdentity,
    roots: Arc<RootCertStore>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("own", &self.own)
            .field("key_pem", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the three PEM files: certificate chain (own certificate first), private key, consortium CA.
    ///
    /// # Errors
    /// [`Error`] naming the file, when one cannot be read or does not hold what it should, when key and
    /// certificate do not belong together, when the certificate gives no identity, or when it has expired or
    /// is not valid yet: every server would refuse it, and a client might only see a closed connection.
    pub fn load(
        cert_chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        ca: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let (cert_chain, key, ca) = (cert_chain.as_ref(), key.as_ref(), ca.as_ref());
        let identity = Self::assemble(
            (
                read(cert_chain, "certificate chain")?,
                cert_chain.display().to_string(),
            ),
            (read(key, "private key")?, key.display().to_string()),
            (read(ca, "CA certificate")?, ca.display().to_string()),
        )?;
        identity.is_valid_now(cert_chain)?;
        Ok(identity)
    }

    /// The same from PEM texts in memory.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn from_pem(
        cert_chain_pem: impl Into<String>,
        key_pem: impl Into<String>,
        ca_pem: impl Into<String>,
    ) -> Result<Self, Error> {
        let given = |what: &str| format!("the given {what}");
        Self::assemble(
            (cert_chain_pem.into(), given("certificate chain")),
            (key_pem.into(), given("private key")),
            (ca_pem.into(), given("CA certificate")),
        )
    }

    fn assemble(
        (cert_chain_pem, cert_origin): (String, String),
        (key_pem, key_origin): (String, String),
        (ca_pem, ca_origin): (String, String),
    ) -> Result<Self, Error> {
        let key_pem = SecretString::from(key_pem);
        let chain = certificates(&cert_chain_pem, "certificate chain", cert_origin)?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.expose_secret().as_bytes()).map_err(|error| {
                Error::Pem {
                    what: "private key",
                    origin: key_origin,
                    reason: error.to_string(),
                }
            })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&ca_pem, "CA certificate", ca_origin.clone())? {
            roots.add(certificate).map_err(|error| Error::Pem {
                what: "CA certificate",
                origin: ca_origin.clone(),
                reason: error.to_string(),
            })?;
        }
        let own = PeerIdentity::from_der(&chain[0])?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(Error::KeyMismatch)?;
        Ok(Self {
            cert_chain_pem,
            key_pem,
            ca_pem,
            own,
            roots: Arc::new(roots),
        })
    }

    fn is_valid_now(&self, file: &Path) -> Result<(), Error> {
        let origin = file.display().to_string();
        let chain = certificates(&self.cert_chain_pem, "certificate chain", origin)?;
        let (_, own) = X509Certificate::from_der(&chain[0]).map_err(|_| PeerError::Malformed)?;
        let (validity, now) = (own.validity(), ASN1Time::now());
        let path = file.to_owned();
        if now > validity.not_after {
            let until = validity.not_after.to_string();
            return Err(Error::Expired { path, until });
        }
        if now < validity.not_before {
            let from = validity.not_before.to_string();
            return Err(Error::NotYetValid { path, from });
        }
        Ok(())
    }

    /// Who we are, by our own certificate.
    #[must_use]
    pub fn own(&self) -> &PeerIdentity {
        &self.own
    }

    /// The consortium CA certificates that we trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    fn tonic_identity(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.cert_chain_pem, self.key_pem.expose_secret())
    }

    /// Mutual TLS for a server: a client without a certificate of the consortium CA gets no connection.
    pub(crate) fn server_config(&self, limits: &Limits) -> ServerTlsConfig {
        provider();
        ServerTlsConfig::new()
            .identity(self.tonic_identity())
            .client_ca_root(Certificate::from_pem(&self.ca_pem))
            .timeout(limits.connect_timeout)
    }
}

/// A channel over mutual TLS to `https://host:port`, to any process of `expected_org` (or of anyone, if
/// `None`). It connects at the first call, and again whenever the connection is lost.
///
/// # Errors
/// [`Error::Address`] when the address is not an `https` one, [`Error::Setup`] when TLS cannot be set up.
pub fn channel(
    uri: &str,
    identity: &Identity,
    expected_org: Option<&str>,
) -> Result<RpcChannel, Error> {
    let expected = expected_org.map_or_else(ExpectedPeer::any, ExpectedPeer::org);
    channel_to(uri, identity, expected, &Limits::default())
}

/// [`channel`] with an expected role as well, and limits of one's own.
///
/// # Errors
/// As [`channel`].
pub fn channel_to(
    uri: &str,
    identity: &Identity,
    expected: ExpectedPeer,
    limits: &Limits,
) -> Result<RpcChannel, Error> {
    let endpoint = endpoint(uri, "https", limits)?;
    let verifier = MemberVerifier::new(identity.roots.clone(), provider(), expected);
    let config = ClientTlsConfig::new()
        .identity(identity.tonic_identity())
        .domain_name(SERVER_NAME)
        .timeout(limits.connect_timeout);
    let endpoint = endpoint
        .tls_config_with_verifier(config, Arc::new(verifier))
        .map_err(|error| Error::Setup(error.to_string()))?;
    Ok(RpcChannel::new(endpoint.connect_lazy(), uri, limits))
}

/// A channel without TLS to `http://<loopback>:port`, for a process on the same machine.
///
/// # Errors
/// [`Error::NotLoopback`] for any other host, [`Error::Address`] when the address is not an `http` one.
pub fn plain_channel(uri: &str, limits: &Limits) -> Result<RpcChannel, Error> {
    let endpoint = endpoint(uri, "http", limits)?;
    let host = endpoint.uri().host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !loopback {
        return Err(Error::NotLoopback(host.to_owned()));
    }
    Ok(RpcChannel::new(endpoint.connect_lazy(), uri, limits))
}

fn endpoint(uri: &str, scheme: &str, limits: &Limits) -> Result<Endpoint, Error> {
    let bad = |reason: String| Error::Address {
        uri: uri.to_owned(),
        reason,
    };
    let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|error| {
        bad(std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string))
    })?;
    let parsed = endpoint.uri();
    if parsed.scheme_str() != Some(scheme) || parsed.host().is_none() {
        return Err(bad(format!("expected is {scheme}://host:port")));
    }
    Ok(limits.on_endpoint(endpoint))
}

/// The cryptography that TLS runs on, chosen once for the process: without it rustls would have to
/// guess as soon as any dependency enables a second one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    if CryptoProvider::get_default().is_none() {
        // Losing this race is fine: another thread has installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

fn read(path: &Path, what: &'static str) -> Result<String, Error> {
    let failed = |source| Error::Read {
        what,
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_PEM_BYTES {
        return Err(Error::TooLarge {
            what,
            path: path.to_owned(),
            bytes,
        });
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn certificates(
    pem: &str,
    what: &'static str,
    origin: String,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |origin: String, reason: String| Error::Pem {
        what,
        origin,
        reason,
    };
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(origin.clone(), error.to_string()))?;
    if found.is_empty() {
        return Err(bad(
            origin,
            "there is no CERTIFICATE block in it".to_owned(),
        ));
    }
    Ok(found)
}
