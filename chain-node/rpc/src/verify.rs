//! Checking a server's certificate: issued by the consortium CA, within its validity, and of the
//! member and role that the caller means to talk to.
//!
//! Members run at arbitrary hosts, so a server's name is not a DNS name but the URI in its certificate,
//! `xinqiao://<org>/<role>` (the way SPIFFE does it). The chain, validity and key usage are checked by
//! webpki exactly as rustls does for any server; only the comparison of the name is ours.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as Rustls, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::peer::{PeerError, PeerIdentity, Role};

/// Whom a client means to talk to. An empty one accepts any process that the consortium CA vouches for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedPeer {
    /// The organisation, or any.
    pub org: Option<String>,
    /// The kind of process, or any.
    pub role: Option<Role>,
}

impl ExpectedPeer {
    /// Any process of the consortium.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Any process of this organisation.
    #[must_use]
    pub fn org(org: impl Into<String>) -> Self {
        Self {
            org: Some(org.into()),
            role: None,
        }
    }

    /// Also of this kind.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    fn check(&self, peer: &PeerIdentity) -> Result<(), WrongPeer> {
        if let Some(org) = &self.org
            && *org != peer.org
        {
            return Err(WrongPeer::Org {
                expected: org.clone(),
                found: peer.org.clone(),
            });
        }
        if let Some(role) = self.role
            && role != peer.role
        {
            return Err(WrongPeer::Role {
                expected: role,
                found: peer.role,
            });
        }
        Ok(())
    }
}

/// The server is a process of the consortium, or at least certified, but not the one expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPeer {
    /// Another organisation answers at this address.
    #[error("the server belongs to {found}, expected was {expected}")]
    Org {
        /// Whom the caller meant.
        expected: String,
        /// Who answered.
        found: String,
    },
    /// Another kind of process answers at this address.
    #[error("the server is a {found}, expected was a {expected}")]
    Role {
        /// What the caller meant.
        expected: Role,
        /// What answered.
        found: Role,
    },
    /// The certificate carries no identity of ours.
    #[error("the server's certificate gives no identity: {0}")]
    Unnamed(#[from] PeerError),
}

#[derive(Debug)]
pub(crate) struct MemberVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    expected: ExpectedPeer,
}

impl MemberVerifier {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        expected: ExpectedPeer,
    ) -> Self {
        Self {
            roots,
            provider,
            expected,
        }
    }
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Rustls> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        PeerIdentity::from_der(end_entity)
            .map_err(WrongPeer::from)
            .and_then(|peer| self.expected.check(&peer))
            .map_err(|wrong| {
                Rustls::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong))))
            })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Rustls> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Rustls> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
