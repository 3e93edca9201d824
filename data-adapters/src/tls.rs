//! Whose word a server's certificate is taken on, and what is said when a connection under TLS fails.

use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use reqwest::Certificate;

use crate::error::Error;

/// Longest file of certificates, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Certificates of issuers, from a file of PEM.
pub(crate) struct Issuers {
    pem: Vec<u8>,
    certificates: Vec<Certificate>,
}

impl Issuers {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, is too long, or holds no certificate.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut pem = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut pem))
            .map_err(Error::io(path))?;
        let refused =
            |message: String| Error::io(path)(io::Error::new(io::ErrorKind::InvalidData, message));
        if pem.len() as u64 > MAX_BYTES {
            return Err(refused(format!("ca_file has at most {MAX_BYTES} bytes")));
        }
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(refused(
                "ca_file holds certificates in PEM, from -----BEGIN CERTIFICATE----- on".to_owned(),
            ));
        }
        Ok(Self { pem, certificates })
    }

    /// As they were read.
    pub(crate) fn into_pem(self) -> Vec<u8> {
        self.pem
    }

    /// Each by itself.
    pub(crate) fn into_certificates(self) -> Vec<Certificate> {
        self.certificates
    }
}

/// Why TLS could not be agreed on, if that is what an error comes of. A certificate that is not believed is reported as
/// data that makes no sense, beneath whatever the library wraps it in.
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
        {
            // An error in it may hold the next, which `source` would leave out.
            return if io.kind() == io::ErrorKind::InvalidData {
                Some(inner.to_string())
            } else {
                refusal(inner)
            };
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind, inner: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
        io::Error::new(kind, inner)
    }

    #[test]
    fn a_refused_certificate_is_found_however_deep_it_lies() {
        let bad = || io(io::ErrorKind::InvalidData, "UnknownIssuer");
        for error in [bad(), io(io::ErrorKind::Other, bad())] {
            assert_eq!(refusal(&error).as_deref(), Some("UnknownIssuer"));
        }
        for error in [
            io::Error::from(io::ErrorKind::InvalidData),
            io::Error::from(io::ErrorKind::ConnectionReset),
            io(io::ErrorKind::ConnectionRefused, "nobody listens"),
        ] {
            assert_eq!(refusal(&error), None, "{error}");
        }
    }

    #[test]
    fn what_holds_no_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("ca.pem");
        let said = |path: &Path| {
            Issuers::read(path)
                .map(|_| ())
                .expect_err("refused")
                .to_string()
        };
        assert!(said(&path).contains("ca.pem"));
        for text in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&path, text).expect("written");
            assert!(said(&path).contains("certificates in PEM"), "{text}");
        }
        std::fs::write(&path, vec![b' '; (1 << 20) + 1]).expect("written");
        assert!(said(&path).contains("at most 1048576 bytes"));
    }
}
