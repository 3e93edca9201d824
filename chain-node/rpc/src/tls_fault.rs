//! Telling, from a failed connection, which TLS check failed and on which side.
//!
//! rustls errors arrive wrapped several layers deep, some inside `io::Error`; this finds them and says
//! them in a sentence. It decides nothing: the connection is already refused.

use std::error::Error as StdError;
use std::io;

use rustls::{CertificateError, Error as Rustls};

use crate::reason::Reason;
use crate::verify::WrongPeer;

/// A TLS failure as a person or a program can use it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server's certificate is past its validity.
    #[error("the server's certificate has expired")]
    ServerExpired,
    /// The server's certificate is before its validity.
    #[error("the server's certificate is not valid yet")]
    ServerNotYetValid,
    /// The server's certificate comes from another CA.
    #[error("the server's certificate was not issued by the configured consortium CA")]
    ServerUntrusted,
    /// The server is another member or another kind of process than expected, or has no identity.
    #[error("{0}")]
    ServerWrong(WrongPeer),
    /// Another fault of the server's certificate.
    #[error("the server's certificate is not acceptable: {0}")]
    ServerOther(String),
    /// The server says that our certificate has expired or is not valid yet (TLS has one alert for both).
    #[error("the server refused our certificate: it has expired or is not valid yet")]
    OursExpired,
    /// The server says that our certificate comes from another CA.
    #[error("the server refused our certificate: it was not issued by the server's consortium CA")]
    OursUntrusted,
    /// The server demands a client certificate.
    #[error("the server demands a client certificate and got none")]
    OursMissing,
    /// The server closed the handshake with another alert.
    #[error("the server ended the TLS handshake: {0}")]
    Alert(String),
    /// The other end does not speak TLS, or not as we do.
    #[error("the server does not speak TLS as expected: {0}")]
    Protocol(String),
}

impl TlsFault {
    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            TlsFault::ServerExpired | TlsFault::OursExpired => Reason::CertificateExpired,
            TlsFault::ServerNotYetValid => Reason::CertificateNotYetValid,
            TlsFault::ServerUntrusted | TlsFault::ServerOther(_) | TlsFault::OursUntrusted => {
                Reason::CertificateUntrusted
            }
            TlsFault::ServerWrong(_) => Reason::CertificateOrgMismatch,
            TlsFault::OursMissing => Reason::CertificateMissing,
            TlsFault::Alert(_) | TlsFault::Protocol(_) => Reason::UpstreamUnavailable,
        }
    }

    /// From the alert's name in RFC 8446 §6, in rustls's spelling.
    fn from_alert(name: &str) -> Self {
        match name {
            "CertificateExpired" => Self::OursExpired,
            "UnknownCA" | "DecryptError" | "BadCertificate" => Self::OursUntrusted,
            "CertificateRequired" => Self::OursMissing,
            other => Self::Alert(other.to_owned()),
        }
    }

    fn from_rustls(error: &Rustls) -> Self {
        match error {
            Rustls::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::ServerExpired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::ServerNotYetValid
                }
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::ServerUntrusted
                }
                CertificateError::Other(other) => match other.0.downcast_ref::<WrongPeer>() {
                    Some(wrong) => Self::ServerWrong(wrong.clone()),
                    None => Self::ServerOther(other.to_string()),
                },
                other => Self::ServerOther(other.to_string()),
            },
            Rustls::AlertReceived(alert) => Self::from_alert(&format!("{alert:?}")),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// The TLS failure inside a chain of errors, if there is one.
#[must_use]
pub fn find(error: &(dyn StdError + 'static)) -> Option<TlsFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls) = error.downcast_ref::<Rustls>() {
            return Some(TlsFault::from_rustls(rustls));
        }
        // With TLS 1.3 the server's alert comes after the handshake, through h2, which keeps only the
        // text of an error; tests/tls.rs of xinqiao-identity holds it to what really arrives.
        if let Some(text) = error.downcast_ref::<io::Error>().map(ToString::to_string)
            && let Some(alert) = text.strip_prefix("received fatal alert: ")
        {
            return Some(TlsFault::from_alert(alert));
        }
        // io::Error hides what it wraps from `source()`: it answers with its content's source.
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
            && let Some(found) = find(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
