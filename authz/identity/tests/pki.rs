//! What certificates carry, what is not issued, and what identity files are refused for.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, Pem, X509Certificate};
use xinqiao_identity::pki::{Authority, Error, LeafRequest, Validity};
use xinqiao_rpc::{Identity, PeerIdentity, Role};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn authority() -> Authority {
    Authority::create("Consortium CA", Validity::days_from(now(), 3650)).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    Pem::iter_from_buffer(pem.as_bytes())
        .next()
        .unwrap()
        .unwrap()
        .contents
}

#[test]
fn a_leaf_carries_uri_dns_names_usages_and_its_fingerprint() {
    let request = LeafRequest::new("bureau-sh", Role::Gateway, now()).for_this_machine();
    let issued = authority().issue(&request).unwrap();
    let bytes = der(&issued.cert_pem);
    let peer = PeerIdentity::from_der(&bytes).unwrap();
    assert_eq!((peer.org.as_str(), peer.role), ("bureau-sh", Role::Gateway));
    assert_eq!(peer.fingerprint_sha256, issued.fingerprint_sha256);
    assert_eq!(peer.not_after, request.validity.not_after.unix_timestamp());

    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    let names = format!(
        "{:?}",
        certificate
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
    );
    for name in [
        "xinqiao://bureau-sh/gateway",
        "gateway.bureau-sh.xinqiao.internal",
        "localhost",
    ] {
        assert!(names.contains(name), "{names}");
    }
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any);
    assert!(!certificate.is_ca());
    let curve = certificate
        .public_key()
        .algorithm
        .parameters
        .as_ref()
        .unwrap();
    assert_eq!(
        curve.as_oid().unwrap().to_id_string(),
        "1.2.840.10045.3.1.7",
        "P-256"
    );
}

#[test]
fn an_authority_that_was_kept_issues_under_the_same_certificate() {
    let first = authority();
    let again = Authority::from_pem(first.cert_pem(), first.key_pem()).unwrap();
    let issued = again
        .issue(&LeafRequest::new("b", Role::Node, now()))
        .unwrap();
    let (leaf, ca) = (der(&issued.cert_pem), der(first.cert_pem()));
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let (_, ca) = X509Certificate::from_der(&ca).unwrap();
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    assert_eq!(leaf.issuer(), ca.subject());
    assert!(ca.is_ca());
}

#[test]
fn what_makes_no_sense_is_not_issued() {
    let ca = authority();
    for org in [
        "",
        "Bank",
        "a/b",
        "a.b",
        "-a",
        "a-",
        "机构",
        &"a".repeat(64),
    ] {
        let refused = ca.issue(&LeafRequest::new(org, Role::Agent, now()));
        assert!(matches!(refused, Err(Error::Org(_))), "{org:?}");
    }
    let mut request = LeafRequest::new("bank", Role::Agent, now());
    request.validity.not_after = request.validity.not_before;
    assert!(matches!(ca.issue(&request), Err(Error::Validity { .. })));
    let junk = SecretString::from("junk".to_owned());
    assert!(matches!(
        Authority::from_pem(ca.cert_pem(), &junk),
        Err(Error::Authority { what: "key", .. })
    ));
    assert!(matches!(
        Authority::from_pem("junk", ca.key_pem()),
        Err(Error::Authority {
            what: "certificate",
            ..
        })
    ));
    // What such an authority issued, nobody would trust.
    assert!(matches!(
        Authority::from_pem(ca.cert_pem(), authority().key_pem()),
        Err(Error::KeyMismatch)
    ));
}

#[test]
fn neither_identities_nor_issued_certificates_show_their_key() {
    let ca = authority();
    let issued = ca
        .issue(&LeafRequest::new("bank", Role::Agent, now()))
        .unwrap();
    let identity = Identity::from_pem(
        issued.cert_pem.clone(),
        issued.key_pem.expose_secret(),
        ca.cert_pem(),
    )
    .unwrap();
    let secret: String = issued
        .key_pem
        .expose_secret()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    for shown in [
        format!("{identity:?}"),
        format!("{issued:?}"),
        format!("{ca:?}"),
    ] {
        assert!(
            !shown.contains(&secret) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }
}

#[test]
fn a_bad_identity_file_is_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let ca = authority();
    let issued = ca
        .issue(&LeafRequest::new("bank", Role::Agent, now()))
        .unwrap();
    let other = ca
        .issue(&LeafRequest::new("bank", Role::Agent, now()))
        .unwrap();
    fs::write(at("cert.pem"), &issued.cert_pem).unwrap();
    fs::write(at("key.pem"), issued.key_pem.expose_secret()).unwrap();
    fs::write(at("other.pem"), other.key_pem.expose_secret()).unwrap();
    fs::write(at("ca.pem"), ca.cert_pem()).unwrap();
    fs::write(at("empty.pem"), "").unwrap();
    fs::write(at("huge.pem"), vec![b'a'; 300 * 1024]).unwrap();
    fs::write(at("binary.pem"), [0xff, 0xfe]).unwrap();
    fs::write(
        at("broken.pem"),
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();

    assert!(Identity::load(at("cert.pem"), at("key.pem"), at("ca.pem")).is_ok());
    let check = |cert: &str, key: &str, ca: &str, says: &[&str]| {
        let error = Identity::load(at(cert), at(key), at(ca))
            .unwrap_err()
            .to_string();
        for part in says {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    };
    check(
        "none.pem",
        "key.pem",
        "ca.pem",
        &["certificate chain", "none.pem", "No such file"],
    );
    check(
        "cert.pem",
        "none.pem",
        "ca.pem",
        &["private key", "none.pem"],
    );
    check(
        "cert.pem",
        "key.pem",
        "none.pem",
        &["CA certificate", "none.pem"],
    );
    check(
        "empty.pem",
        "key.pem",
        "ca.pem",
        &["empty.pem", "no CERTIFICATE"],
    );
    check(
        "cert.pem",
        "empty.pem",
        "ca.pem",
        &["empty.pem", "private key"],
    );
    check(
        "cert.pem",
        "cert.pem",
        "ca.pem",
        &["cert.pem", "private key"],
    );
    check(
        "cert.pem",
        "key.pem",
        "key.pem",
        &["key.pem", "CA certificate"],
    );
    // Past and early ones, each with its own key.
    for (from, to, says) in [(-10, -1, "has expired"), (1, 10, "is not valid yet")] {
        let mut request = LeafRequest::new("bank", Role::Agent, now());
        request.validity = Validity {
            not_before: now() + Duration::days(from),
            not_after: now() + Duration::days(to),
        };
        let issued = ca.issue(&request).unwrap();
        fs::write(at("untimely.pem"), &issued.cert_pem).unwrap();
        fs::write(at("untimely.key"), issued.key_pem.expose_secret()).unwrap();
        let files = ["untimely.pem", "untimely.key", "ca.pem"];
        check(files[0], files[1], files[2], &["untimely.pem", says]);
    }
    check("broken.pem", "key.pem", "ca.pem", &["broken.pem"]);
    check("huge.pem", "key.pem", "ca.pem", &["huge.pem", "307200"]);
    check("binary.pem", "key.pem", "ca.pem", &["binary.pem", "UTF-8"]);
    check(
        "cert.pem",
        "other.pem",
        "ca.pem",
        &["does not belong to the certificate"],
    );
    check("ca.pem", "key.pem", "ca.pem", &["gives no identity"]);
}
