//! SM2, SM3 and SM2 encryption against the `openssl` program, in both directions.
//!
//! Needs OpenSSL 3 with SM2, as Debian and Ubuntu have it. Without it these tests fail and say so:
//! a skipped check looks like a passed one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use xinqiao_crypto::{
    DistinguishingId, KnownKey, PublicKey, Seal, SecretKey, Signature, Sm2Sm4Gcm, hmac_sm3, sm3,
    verify_once,
};

const IDS: [&str; 3] = ["1234567812345678", "ALICE123@YAHOO.COM", "x"];

struct Bench {
    directory: TempDir,
    rng: StdRng,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let version = openssl(&["version"]);
        let text = String::from_utf8(version.stdout).unwrap();
        assert!(
            text.starts_with("OpenSSL 3"),
            "these tests need OpenSSL 3 (Debian and Ubuntu: sudo apt-get install openssl), found {text}"
        );
        Self {
            directory: tempfile::tempdir().unwrap(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        text(&path)
    }

    fn message(&mut self) -> Vec<u8> {
        let mut message = vec![0; 1 + (self.rng.next_u32() % 300) as usize];
        self.rng.fill_bytes(&mut message);
        message
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn openssl(arguments: &[&str]) -> Output {
    Command::new("openssl")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "the `openssl` program does not start ({error}): \
             Debian and Ubuntu have it in the package `openssl`"
            )
        })
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> Vec<u8> {
    let output = openssl(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    output.stdout
}

#[test]
fn openssl_verifies_what_we_sign_and_only_that() {
    let mut bench = Bench::new(1);
    for round in 0..8 {
        let secret = SecretKey::generate(&mut bench.rng);
        let public = bench.write("public.pem", secret.public().to_pem());
        for id in IDS {
            let message = bench.message();
            let distid = DistinguishingId::new(id).unwrap();
            let signature = secret.sign(&distid, &message, &mut bench.rng);
            let (signature, message) = (
                bench.write("signature", signature.to_der()),
                bench.write("message", message),
            );
            let other = bench.write("other", b"another message");
            let verify = |id: &str, message: &str| {
                let option = format!("distid:{id}");
                openssl(&[
                    "pkeyutl", "-verify", "-pubin", "-inkey", &public, "-in", message, "-rawin",
                    "-digest", "sm3", "-sigfile", &signature, "-pkeyopt", &option,
                ])
                .status
                .success()
            };
            assert!(verify(id, &message), "round {round}, id {id}");
            assert!(!verify("1234567812345679", &message), "another id");
            assert!(!verify(id, &other), "another message");
        }
    }
}

#[test]
fn we_verify_what_openssl_signs_and_only_that() {
    let mut bench = Bench::new(2);
    for round in 0..8 {
        let path = text(&bench.path("secret.pem"));
        succeeds(&["genpkey", "-algorithm", "SM2", "-out", &path]);
        let secret = SecretKey::from_pem(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let public = succeeds(&["pkey", "-in", &path, "-pubout"]);
        let public = PublicKey::from_pem(&String::from_utf8(public).unwrap()).unwrap();
        assert_eq!(public, *secret.public(), "both halves of OpenSSL's key");
        for id in IDS {
            let message = bench.message();
            let option = format!("distid:{id}");
            let der = succeeds(&[
                "pkeyutl",
                "-sign",
                "-inkey",
                &path,
                "-in",
                &bench.write("message", &message),
                "-rawin",
                "-digest",
                "sm3",
                "-pkeyopt",
                &option,
            ]);
            let signature = Signature::from_der(&der).unwrap();
            assert_eq!(signature.to_der(), der);
            let distid = DistinguishingId::new(id).unwrap();
            let known = KnownKey::new(&public, &distid);
            assert!(
                known.verify(&message, &signature).is_ok(),
                "round {round}, id {id}"
            );
            assert!(verify_once(&public, &distid, &message, &signature).is_ok());
            let other = DistinguishingId::new("1234567812345679").unwrap();
            assert!(
                KnownKey::new(&public, &other)
                    .verify(&message, &signature)
                    .is_err()
            );
            assert!(known.verify(b"another message", &signature).is_err());
        }
    }
}

#[test]
fn openssl_reads_our_keys() {
    let mut bench = Bench::new(3);
    for _ in 0..8 {
        let secret = SecretKey::generate(&mut bench.rng);
        let path = bench.write("secret.pem", secret.to_pem().as_bytes());
        let public = succeeds(&["pkey", "-in", &path, "-pubout"]);
        assert_eq!(String::from_utf8(public).unwrap(), secret.public().to_pem());
        succeeds(&["pkey", "-in", &path, "-check", "-noout"]);
    }
}

#[test]
fn digests_and_hmacs_are_openssls() {
    let mut bench = Bench::new(4);
    for length in [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 70_000] {
        let mut data = vec![0; length];
        bench.rng.fill_bytes(&mut data);
        let mut key = vec![0; 1 + length % 100];
        bench.rng.fill_bytes(&mut key);
        let path = bench.write("data", &data);
        let digest = succeeds(&["dgst", "-sm3", "-binary", &path]);
        assert_eq!(sm3(&data).as_bytes().as_slice(), digest, "{length}");
        let option = format!("hexkey:{}", hex::encode(&key));
        let mac = succeeds(&[
            "dgst", "-sm3", "-mac", "HMAC", "-macopt", &option, "-binary", &path,
        ]);
        assert_eq!(
            hmac_sm3(&key, &[&data]).as_bytes().as_slice(),
            mac,
            "{length}"
        );
    }
}

/// The key inside an envelope is plain GB/T 32918.4: OpenSSL decrypts it, once it is in the DER
/// form of GM/T 0009 §7.2.
#[test]
fn openssl_decrypts_the_key_inside_an_envelope() {
    let mut bench = Bench::new(5);
    for _ in 0..8 {
        let secret = SecretKey::generate(&mut bench.rng);
        let sealed = Sm2Sm4Gcm
            .seal(secret.public(), b"", b"report", &mut bench.rng)
            .unwrap();
        let wrapped = &sealed[39..39 + 113];
        assert_eq!(wrapped[0], 4);
        let integer = |value: &[u8]| {
            let start = value.iter().position(|byte| *byte != 0).unwrap();
            let sign = usize::from(value[start] & 0x80 != 0);
            tagged(2, &[&[0][..sign], &value[start..]].concat())
        };
        let body = [
            integer(&wrapped[1..33]),
            integer(&wrapped[33..65]),
            tagged(4, &wrapped[65..97]),
            tagged(4, &wrapped[97..]),
        ]
        .concat();
        let cipher = bench.write("cipher", tagged(0x30, &body));
        let path = bench.write("secret.pem", secret.to_pem().as_bytes());
        let key = succeeds(&["pkeyutl", "-decrypt", "-inkey", &path, "-in", &cipher]);
        assert_eq!(key.len(), 16);
    }
}

fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match value.len() {
        short @ 0..128 => vec![short as u8],
        long => vec![0x81, u8::try_from(long).unwrap()],
    };
    [&[tag], length.as_slice(), value].concat()
}
