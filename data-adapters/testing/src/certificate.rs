//! Certificates for servers of tests.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

/// Somebody who issues certificates to servers.
#[derive(Debug)]
pub struct Issuer {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate and key as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS #8.
    pub key: String,
}

impl Issuer {
    /// One that nobody knows yet.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        let issuer = rcgen::Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Its own certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server with that name or address.
    ///
    /// # Panics
    /// When that is neither.
    #[must_use]
    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name or an address");
        let certificate = params.signed_by(&key, &self.issuer);
        Issued {
            certificate: certificate.expect("it is issued").pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Issued {
    /// Writes both into a folder; the paths of certificate and key.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        fs::write(&certificate, &self.certificate).expect("the folder is ours");
        fs::write(&key, &self.key).expect("the folder is ours");
        (certificate, key)
    }
}
