//! The consortium's certificate authority and the certificates it issues to members' processes.
//!
//! ECDSA P-256 throughout, since that is what TLS libraries speak. A leaf carries the identity URI
//! `xinqiao://<org>/<role>`, the DNS name `<role>.<org>.xinqiao.internal` for ordinary tools, and may be
//! used for both ends of a connection. Issuing is all that happens here: which certificate counts is
//! for the ledger to say, by its fingerprint.

use std::fmt;
use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, Pem, X509Certificate};
use xinqiao_rpc::peer::{self, Role};

/// How long a leaf is valid when nothing else is asked for: 398 days.
pub const LEAF_DAYS: i64 = 398;

/// How long a CA certificate is valid: ten years.
pub const CA_DAYS: i64 = 3650;

/// Certificates start this long before they are issued, so that clocks may differ a little.
const BACKDATE: Duration = Duration::minutes(5);

/// Why a certificate cannot be issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The organisation id cannot stand in a certificate.
    #[error("{0:?} is no organisation id: 1 to 63 of a-z, 0-9 and '-', with no '-' at either end")]
    Org(String),
    /// The validity ends before it begins.
    #[error("the validity ends ({not_after}) before it begins ({not_before})")]
    Validity {
        /// Begin.
        not_before: OffsetDateTime,
        /// End.
        not_after: OffsetDateTime,
    },
    /// The PEM of the CA cannot be used.
    #[error("the CA's {what} cannot be used: {source}")]
    Authority {
        /// Certificate or key.
        what: &'static str,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// Certificate and key of the CA are not each other's.
    #[error("the CA's key does not belong to its certificate")]
    KeyMismatch,
    /// The library could not make a key or certificate.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Begin.
    pub not_before: OffsetDateTime,
    /// End.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From shortly before `now` for so many days.
    #[must_use]
    pub fn days_from(now: OffsetDateTime, days: i64) -> Self {
        Self {
            not_before: now - BACKDATE,
            not_after: now + Duration::days(days),
        }
    }
}

/// Whom a leaf certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    /// The organisation's id on the ledger.
    pub org: String,
    /// The kind of process.
    pub role: Role,
    /// From when to when it is valid.
    pub validity: Validity,
    /// Further DNS names, for tools that insist on the name they connected to (`localhost`).
    pub dns_names: Vec<String>,
    /// Further IP addresses, for the same.
    pub addresses: Vec<IpAddr>,
}

impl LeafRequest {
    /// A certificate for this process, valid for [`LEAF_DAYS`] from now.
    #[must_use]
    pub fn new(org: impl Into<String>, role: Role, now: OffsetDateTime) -> Self {
        Self {
            org: org.into(),
            role,
            validity: Validity::days_from(now, LEAF_DAYS),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Also usable under `localhost`, `127.0.0.1` and `::1`.
    #[must_use]
    pub fn for_this_machine(mut self) -> Self {
        self.dns_names.push("localhost".into());
        self.addresses.push(IpAddr::from([127, 0, 0, 1]));
        self.addresses.push(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]));
        self
    }
}

/// A certificate and its private key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: SecretString,
    /// SHA-256 over the certificate's DER bytes: what the ledger registers.
    pub fingerprint_sha256: [u8; 32],
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("fingerprint_sha256", &hex::encode(self.fingerprint_sha256))
            .finish_non_exhaustive()
    }
}

/// The consortium's certificate authority, able to issue.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
    key_pem: SecretString,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority of this name, with a new key.
    ///
    /// # Errors
    /// [`Error::Make`] when the system's randomness fails.
    pub fn create(name: &str, validity: Validity) -> Result<Self, Error> {
        check_validity(validity)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name, "XinQiao consortium");
        params.not_before = validity.not_before;
        params.not_after = validity.not_after;
        // It issues leaves only: no further authority below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert_pem = params.self_signed(&key)?.pem();
        let key_pem = SecretString::from(key.serialize_pem());
        Ok(Self {
            issuer: Issuer::new(params, key),
            cert_pem,
            key_pem,
        })
    }

    /// The authority whose certificate and key were kept as PEM.
    ///
    /// # Errors
    /// [`Error::Authority`] naming which of the two cannot be used, [`Error::KeyMismatch`] when they do not
    /// belong together: nobody would trust what was issued.
    pub fn from_pem(cert_pem: &str, key_pem: &SecretString) -> Result<Self, Error> {
        let key =
            KeyPair::from_pem(key_pem.expose_secret()).map_err(|source| Error::Authority {
                what: "key",
                source,
            })?;
        let issuer =
            Issuer::from_ca_cert_pem(cert_pem, key).map_err(|source| Error::Authority {
                what: "certificate",
                source,
            })?;
        if !certifies(cert_pem, &issuer.key().subject_public_key_info()) {
            return Err(Error::KeyMismatch);
        }
        Ok(Self {
            issuer,
            cert_pem: cert_pem.to_owned(),
            key_pem: key_pem.clone(),
        })
    }

    /// The authority's own certificate: what genesis names and every member trusts.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key. Whoever has it can be anyone.
    #[must_use]
    pub fn key_pem(&self) -> &SecretString {
        &self.key_pem
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// [`Error`] when the organisation id, a name or the validity cannot stand in a certificate.
    pub fn issue(&self, request: &LeafRequest) -> Result<Issued, Error> {
        if !peer::is_org_id(&request.org) {
            return Err(Error::Org(request.org.clone()));
        }
        check_validity(request.validity)?;
        let ia5 = |name: String| Ia5String::try_from(name);
        let mut names = vec![
            SanType::URI(ia5(peer::identity_uri(&request.org, request.role))?),
            SanType::DnsName(ia5(peer::identity_dns_name(&request.org, request.role))?),
        ];
        for name in &request.dns_names {
            names.push(SanType::DnsName(ia5(name.clone())?));
        }
        names.extend(request.addresses.iter().copied().map(SanType::IpAddress));

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(request.role.as_str(), &request.org);
        params.not_before = request.validity.not_before;
        params.not_after = request.validity.not_after;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            cert_pem: certificate.pem(),
            key_pem: SecretString::from(key.serialize_pem()),
            fingerprint_sha256: peer::fingerprint(certificate.der()),
        })
    }
}

/// Whether the certificate is for this public key, given as its DER structure (RFC 5280 §4.1.2.7).
fn certifies(cert_pem: &str, public: &[u8]) -> bool {
    Pem::iter_from_buffer(cert_pem.as_bytes())
        .filter_map(Result::ok)
        .next()
        .is_some_and(|pem| {
            X509Certificate::from_der(&pem.contents)
                .is_ok_and(|(_, certificate)| certificate.public_key().raw == public)
        })
}

fn named(common_name: &str, organisation: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, organisation);
    name.push(DnType::CommonName, common_name);
    name
}

fn check_validity(validity: Validity) -> Result<(), Error> {
    let Validity {
        not_before,
        not_after,
    } = validity;
    if not_after <= not_before {
        return Err(Error::Validity {
            not_before,
            not_after,
        });
    }
    Ok(())
}
