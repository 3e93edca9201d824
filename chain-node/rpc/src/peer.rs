//! Who is at the other end of a connection, as the TLS certificate says it.
//!
//! Every certificate of the consortium carries one URI name, `xinqiao://<org>/<role>`, and that name
//! is the identity; both sides of a connection read it with [`PeerIdentity::from_der`]. Whether the
//! ledger knows the certificate, and whether the organisation is a member in good standing, is
//! decided elsewhere (authz): here is only what the certificate itself claims and its CA vouches for.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use lru::LruCache;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tonic::Status;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fault::Fault;
use crate::reason::Reason;

/// The URI scheme of a certificate's identity.
pub const URI_SCHEME: &str = "xinqiao";

/// The longest organisation id, in characters: one DNS label (RFC 1035 §2.3.4).
pub const MAX_ORG_ID: usize = 63;

/// Certificates of callers that are remembered as they were read: about a kilobyte each.
const KNOWN_CERTIFICATES: NonZeroUsize = NonZeroUsize::new(1_024).expect("1,024 is not zero");

/// The kind of process a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A ledger node, validator or follower.
    Node,
    /// A bureau's gateway.
    Gateway,
    /// A data-holding node.
    Holder,
    /// An institution's agent.
    Agent,
    /// An observer: reads only.
    Observer,
    /// A person at a command line, for administration.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 6] = [
        Role::Node,
        Role::Gateway,
        Role::Holder,
        Role::Agent,
        Role::Observer,
        Role::Operator,
    ];

    /// The role as it is written in certificates.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Gateway => "gateway",
            Role::Holder => "holder",
            Role::Agent => "agent",
            Role::Observer => "observer",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| PeerError::Role(clip(text)))
    }
}

/// Why a certificate gives no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The bytes are no X.509 certificate.
    #[error("the certificate cannot be parsed as X.509")]
    Malformed,
    /// No URI of ours among the subject alternative names.
    #[error("the certificate has no xinqiao:// name")]
    NoName,
    /// More than one URI of ours: which one counts would be a guess.
    #[error("the certificate has more than one xinqiao:// name")]
    SeveralNames,
    /// The URI is not `xinqiao://<org>/<role>`.
    #[error("the certificate's name {0:?} is not xinqiao://<org>/<role>")]
    Form(String),
    /// The organisation id breaks the rules of [`is_org_id`].
    #[error("{0:?} is no organisation id: 1 to 63 of a-z, 0-9 and '-', with no '-' at either end")]
    Org(String),
    /// The role is none of [`Role`].
    #[error("{0:?} is no role: node, gateway, holder, agent, observer or operator")]
    Role(String),
}

/// Whether the text can be an organisation id: 1 to 63 of `a-z`, `0-9` and `-`, no `-` at either end.
/// It is one DNS label, so that it can also stand in a certificate's DNS name.
#[must_use]
pub fn is_org_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ORG_ID
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The identity URI of a process: `xinqiao://<org>/<role>`.
#[must_use]
pub fn identity_uri(org: &str, role: Role) -> String {
    format!("{URI_SCHEME}://{org}/{role}")
}

/// The DNS name that certificates carry beside the URI, for ordinary tools that only know DNS names:
/// `<role>.<org>.xinqiao.internal`.
#[must_use]
pub fn identity_dns_name(org: &str, role: Role) -> String {
    format!("{role}.{org}.xinqiao.internal")
}

/// Reads `xinqiao://<org>/<role>`.
///
/// # Errors
/// [`PeerError::Form`], [`PeerError::Org`] or [`PeerError::Role`].
pub fn parse_identity_uri(uri: &str) -> Result<(String, Role), PeerError> {
    let rest = uri
        .strip_prefix("xinqiao://")
        .ok_or_else(|| PeerError::Form(clip(uri)))?;
    let (org, role) = rest
        .split_once('/')
        .ok_or_else(|| PeerError::Form(clip(uri)))?;
    if !is_org_id(org) {
        return Err(PeerError::Org(clip(org)));
    }
    Ok((org.to_owned(), role.parse()?))
}

/// The identity that a peer's certificate carries. The TLS layer has checked the certificate against
/// the consortium CA and the clock before one of these exists for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The organisation's id on the ledger.
    pub org: String,
    /// The kind of process.
    pub role: Role,
    /// SHA-256 over the certificate's DER bytes: what the ledger registers, and what tokens are bound to.
    pub fingerprint_sha256: [u8; 32],
    /// End of the certificate's validity, in seconds since 1970-01-01 UTC.
    pub not_after: i64,
}

impl PeerIdentity {
    /// Reads the identity out of one DER-encoded certificate. It checks neither CA nor clock.
    ///
    /// # Errors
    /// [`PeerError`] when the certificate has not exactly one well-formed name of ours.
    pub fn from_der(der: &[u8]) -> Result<Self, PeerError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| PeerError::Malformed)?;
        if !rest.is_empty() {
            return Err(PeerError::Malformed);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PeerError::Malformed)?
            .ok_or(PeerError::NoName)?;
        let mut ours = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) if uri.starts_with("xinqiao:") => Some(*uri),
                _ => None,
            });
        let uri = ours.next().ok_or(PeerError::NoName)?;
        if ours.next().is_some() {
            return Err(PeerError::SeveralNames);
        }
        let (org, role) = parse_identity_uri(uri)?;
        Ok(Self {
            org,
            role,
            fingerprint_sha256: fingerprint(der),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// The identity of the client that sent this request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with [`Reason::CertificateMissing`] when the connection has no client
    /// certificate, and with [`Reason::CertificateUnknown`] when the certificate gives no identity.
    pub fn of_request<T>(request: &tonic::Request<T>) -> Result<Self, Box<Status>> {
        Self::of_certificates(request.peer_certs().as_deref().map(Vec::as_slice))
    }

    /// The same from the certificates of a connection, the peer's own first.
    ///
    /// # Errors
    /// As [`PeerIdentity::of_request`].
    pub fn of_certificates(
        certificates: Option<&[CertificateDer<'static>]>,
    ) -> Result<Self, Box<Status>> {
        let Some(own) = certificates.and_then(<[_]>::first) else {
            return Err(Box::new(Fault::new(Reason::CertificateMissing).status()));
        };
        Self::known(own).map_err(|error| {
            Box::new(
                Fault::new(Reason::CertificateUnknown)
                    .because(error.to_string())
                    .status(),
            )
        })
    }

    /// As [`Self::from_der`], remembered for the calls to come: a connection sends the same certificate
    /// with each of them, and parsing it takes longer than many a call. What it says never changes; whether
    /// the ledger still knows it is asked at every call.
    fn known(der: &[u8]) -> Result<Self, PeerError> {
        static KNOWN: LazyLock<Mutex<LruCache<Vec<u8>, PeerIdentity>>> =
            LazyLock::new(|| Mutex::new(LruCache::new(KNOWN_CERTIFICATES)));
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known().get(der) {
            return Ok(identity.clone());
        }
        let identity = Self::from_der(der)?;
        known().put(der.to_vec(), identity.clone());
        Ok(identity)
    }

    /// The fingerprint in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint_sha256
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&identity_uri(&self.org, self.role))
    }
}

/// SHA-256 over a certificate's DER bytes.
#[must_use]
pub fn fingerprint(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// What a stranger wrote goes into messages only up to a length and without control characters.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: Result<(&str, Role), PeerError>) {
        let got = parse_identity_uri(uri);
        assert_eq!(
            got.as_ref().map(|(org, role)| (org.as_str(), *role)),
            expected.as_ref().map(|(org, role)| (*org, *role)),
            "{uri}"
        );
    }

    #[test]
    fn identity_uris_are_read_strictly() {
        let form = |s: &str| Err(PeerError::Form(s.into()));
        let org = |s: &str| Err(PeerError::Org(s.into()));
        let role = |s: &str| Err(PeerError::Role(s.into()));
        check("xinqiao://bank-sz/agent", Ok(("bank-sz", Role::Agent)));
        check("xinqiao://b1/node", Ok(("b1", Role::Node)));
        check("https://bank-sz/agent", form("https://bank-sz/agent"));
        check("xinqiao:bank-sz/agent", form("xinqiao:bank-sz/agent"));
        check("xinqiao://bank-sz", form("xinqiao://bank-sz"));
        check("xinqiao:///agent", org(""));
        check("xinqiao://Bank/agent", org("Bank"));
        check("xinqiao://-bank/agent", org("-bank"));
        check("xinqiao://bank-/agent", org("bank-"));
        check("xinqiao://ba_nk/agent", org("ba_nk"));
        check("xinqiao://user@bank/agent", org("user@bank"));
        check("xinqiao://bank:443/agent", org("bank:443"));
        check("xinqiao://bank/", role(""));
        check("xinqiao://bank/root", role("root"));
        check("xinqiao://bank/agent/", role("agent/"));
        check("xinqiao://bank/agent?x=1", role("agent?x=1"));
        check("xinqiao://bank/Agent", role("Agent"));
    }

    #[test]
    fn an_org_id_has_at_most_63_characters() {
        assert!(is_org_id(&"a".repeat(63)));
        assert!(!is_org_id(&"a".repeat(64)));
    }

    #[test]
    fn every_role_reads_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            check(&identity_uri("org", role), Ok(("org", role)));
        }
    }

    #[test]
    fn a_certificate_is_read_alike_at_every_call() {
        let named = |org: &str| {
            let mut params = rcgen::CertificateParams::default();
            let uri = identity_uri(org, Role::Agent).try_into().unwrap();
            params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().clone()
        };
        let of = |der: &CertificateDer<'static>| {
            PeerIdentity::of_certificates(Some(std::slice::from_ref(der)))
        };
        let (one, other) = (named("bank-sz"), named("bank-sz"));
        for der in [&one, &other, &one, &other] {
            assert_eq!(of(der).unwrap(), PeerIdentity::from_der(der).unwrap());
        }
        assert_ne!(
            of(&one).unwrap(),
            of(&other).unwrap(),
            "another certificate of the same name is another one"
        );
        let none = named("Not an id");
        for _ in 0..2 {
            assert!(of(&none).is_err());
        }
    }

    #[test]
    fn what_is_no_certificate_gives_no_identity() {
        for bytes in [
            &b""[..],
            b"\x30\x03\x02\x01\x05",
            b"-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(PeerIdentity::from_der(bytes), Err(PeerError::Malformed));
        }
    }
}
