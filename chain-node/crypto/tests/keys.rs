//! What is and what is not a key, an id, a signature, a digest; and how secrets behave.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use rand::SeedableRng;
use rand::rngs::StdRng;
use xinqiao_crypto::{
    Digest, DigestError, DistinguishingId, KeyError, KeyId, KnownKey, PublicKey, SecretKey,
    Signature, SignatureError, verify_once,
};

const N: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";
const N_LESS_1: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122";
const N_LESS_2: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54121";
const N_PLUS_1: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54124";
const P: &str = "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff";
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ONE: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const MAX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const GX: &str = "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7";
const GY: &str = "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";

fn bytes(parts: &[&str]) -> Vec<u8> {
    hex::decode(parts.concat()).unwrap()
}

fn key(seed: u64) -> SecretKey {
    SecretKey::generate(&mut StdRng::seed_from_u64(seed))
}

#[test]
fn only_points_of_the_curve_are_public_keys() {
    let check = |parts: &[&str], expected: Result<(), KeyError>| {
        let found = PublicKey::try_from(bytes(parts).as_slice());
        assert_eq!(found.map(|_| ()), expected, "{parts:?}");
        // Borsh takes the 33-byte form alone, and refuses the same points.
        if parts.concat().len() == 66 {
            let borsh = borsh::from_slice::<PublicKey>(&bytes(parts));
            assert_eq!(borsh.is_ok(), expected.is_ok(), "{parts:?} in Borsh");
        }
    };
    let encoding = Err(KeyError::Encoding);
    let off_curve = Err(KeyError::NotOnCurve);
    check(&["04", GX, GY], Ok(()));
    check(&["02", GX], Ok(()));
    check(&["03", GX], Ok(()));
    // Infinity, in each spelling (CVE-2026-23966).
    check(&["00"], encoding);
    check(&[&"00".repeat(33)], encoding);
    check(&[&"00".repeat(65)], encoding);
    check(&["04", ZERO, ZERO], off_curve);
    // Off the curve, and coordinates that are not reduced.
    check(&["04", GX, GX], off_curve);
    check(&["04", GY, GX], off_curve);
    check(&["04", P, GY], off_curve);
    check(&["04", GX, MAX], off_curve);
    check(&["02", P], off_curve);
    check(&["03", MAX], off_curve);
    // Other forms of SEC 1 and X9.62, and none at all.
    check(&[], encoding);
    check(&["05", GX], encoding);
    check(&["06", GX, GY], encoding);
    check(&["07", GX, GY], encoding);
    check(&["04", GX], encoding);
    check(&["02", GX, GY], encoding);
    check(&[GX, GY], encoding);
    check(&["02", GX, "00"], encoding);
    check(&["04", GX, GY, "00"], encoding);
}

#[test]
fn about_half_of_all_x_are_no_key() {
    let on_curve = (0..200_u8)
        .filter(|x| {
            PublicKey::try_from(bytes(&["02", &ZERO[..62], &format!("{x:02x}")]).as_slice()).is_ok()
        })
        .count();
    assert!((70..130).contains(&on_curve), "{on_curve}");
}

#[test]
fn a_keys_forms_agree_and_its_id_is_golden() {
    let key = PublicKey::try_from(bytes(&["02", GX]).as_slice()).unwrap();
    assert_eq!(
        PublicKey::try_from(key.to_uncompressed().as_slice()),
        Ok(key)
    );
    assert_eq!(PublicKey::try_from(key.to_sec1().as_slice()), Ok(key));
    assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    assert_eq!(borsh::to_vec(&key).unwrap(), key.to_sec1());
    assert_eq!(borsh::from_slice::<PublicKey>(&key.to_sec1()).unwrap(), key);
    assert_eq!(
        key.id().digest(),
        xinqiao_crypto::sm3(&[b"xinqiao/key/v1".as_slice(), &key.to_sec1()].concat()),
    );
    assert_eq!(key.id().to_string(), GOLDEN_ID);
    assert_eq!(GOLDEN_ID.parse::<KeyId>().unwrap(), key.id());
}

const GOLDEN_ID: &str = "fc1a499276b1cf85527f255ca16417723629faedd648c44f620c39c96e0cfa54";

#[test]
fn pem_of_another_kind_is_refused() {
    let secret = key(1);
    let public_pem = secret.public().to_pem();
    let p256 = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsP/pIKr1knxGHF7k5UX6kyR4Hrk2\n\
        xhLgM+IdlAFRqbSDg0vUQRMUbtHhfkyRGXLnUaRyiDItU/AYrS2snCQ7Mg==\n\
        -----END PUBLIC KEY-----\n";
    for pem in [
        "",
        "not PEM",
        &public_pem[..public_pem.len() / 2],
        &secret.to_pem(),
        p256,
    ] {
        assert_eq!(PublicKey::from_pem(pem), Err(KeyError::Pem), "{pem}");
    }
    for pem in ["", &public_pem, &secret.to_pem()[..60]] {
        assert_eq!(SecretKey::from_pem(pem).err(), Some(KeyError::Pem), "{pem}");
    }
    assert_eq!(
        SecretKey::from_pem(&secret.to_pem()).unwrap().public(),
        secret.public()
    );
}

#[test]
fn only_1_to_n_less_2_are_secret_keys() {
    for (scalar, valid) in [
        (ZERO, false),
        (ONE, true),
        (N_LESS_2, true),
        (N_LESS_1, false),
        (N, false),
        (N_PLUS_1, false),
        (MAX, false),
    ] {
        let found = SecretKey::from_bytes(&bytes(&[scalar]).try_into().unwrap());
        assert_eq!(found.is_ok(), valid, "{scalar}");
        if !valid {
            assert_eq!(found.err(), Some(KeyError::SecretRange));
        }
    }
}

#[test]
fn debug_of_a_secret_key_names_only_the_public_half() {
    let secret = SecretKey::from_bytes(&[0x5a; 32]).unwrap();
    let text = format!("{secret:?}");
    assert!(text.contains(&secret.public().id().to_string()), "{text}");
    assert!(!text.to_lowercase().contains("5a5a"), "{text}");
}

#[test]
fn r_and_s_must_lie_between_0_and_n() {
    let check = |r: &str, s: &str, valid: bool| {
        let raw = bytes(&[r, s]);
        let found = Signature::try_from(raw.as_slice()).map(|_| ());
        assert_eq!(
            found,
            if valid {
                Ok(())
            } else {
                Err(SignatureError::Range)
            },
            "{r} {s}"
        );
        assert_eq!(
            borsh::from_slice::<Signature>(&raw).is_ok(),
            valid,
            "{r} {s} in Borsh"
        );
        let integer = |text: &str| {
            let value = bytes(&[text]);
            let start = value.iter().position(|byte| *byte != 0).unwrap_or(31);
            let pad = usize::from(value[start] & 0x80 != 0);
            [
                vec![2, (32 - start + pad) as u8],
                vec![0; pad],
                value[start..].to_vec(),
            ]
            .concat()
        };
        let body = [integer(r), integer(s)].concat();
        let der = [vec![0x30, body.len() as u8], body].concat();
        assert_eq!(Signature::from_der(&der).is_ok(), valid, "{r} {s} in DER");
    };
    check(ONE, ONE, true);
    check(N_LESS_1, N_LESS_1, true);
    for bad in [ZERO, N, N_PLUS_1, P, MAX] {
        check(bad, ONE, false);
        check(ONE, bad, false);
    }
}

#[test]
fn s_plus_n_is_not_another_form_of_the_signature() {
    // CVE-2026-23967: s + n fits 32 bytes for every s below 2^256 - n.
    for s in [
        ONE,
        "0000000000000000000000000000000000000000000000000000000000000007",
    ] {
        let low = u8::from_str_radix(&s[62..], 16).unwrap();
        let mut plus_n = bytes(&[N]);
        plus_n[31] += low;
        let raw = [bytes(&[ONE]), plus_n].concat();
        assert_eq!(
            Signature::try_from(raw.as_slice()),
            Err(SignatureError::Range)
        );
    }
}

#[test]
fn a_signature_has_64_bytes() {
    for length in [0, 1, 63, 65, 70, 72, 128] {
        let found = Signature::try_from(vec![1; length].as_slice());
        assert_eq!(found, Err(SignatureError::Length(length)));
    }
}

#[test]
fn der_has_one_form() {
    let check = |der: &str, valid: bool, case: &str| {
        let der = hex::decode(der).unwrap();
        let found = Signature::from_der(&der);
        assert_eq!(found.is_ok(), valid, "{case}");
        if let Ok(signature) = found {
            assert_eq!(signature.to_der(), der, "{case}");
        }
    };
    check("3006020101020102", true, "r = 1, s = 2");
    check("300702020080020102", true, "r = 128 with its sign byte");
    check("3006020180020102", false, "r negative");
    check("300702020001020102", false, "r with a needless zero");
    check("308106020101020102", false, "length in the long form");
    check("30060201010201", false, "cut short");
    check("300602010102010200", false, "a byte too many");
    check("3009020101020102020103", false, "a third integer");
    check("3003020101", false, "one integer");
    check(
        "3080020101020102 0000".replace(' ', "").as_str(),
        false,
        "indefinite length",
    );
    check("3106020101020102", false, "a set");
    check("3006020100020102", false, "r = 0");
    check("", false, "nothing");
    let over = format!("3026022101{}020101", "00".repeat(32));
    check(&over, false, "r of 33 bytes");
}

#[test]
fn der_and_bytes_say_the_same_of_random_signatures() {
    let (secret, mut rng) = (key(2), StdRng::seed_from_u64(3));
    for number in 0..200_u32 {
        let id = DistinguishingId::default();
        let signature = secret.sign(&id, &number.to_be_bytes(), &mut rng);
        assert_eq!(Signature::from_der(&signature.to_der()), Ok(signature));
        assert_eq!(
            Signature::try_from(signature.as_bytes().as_slice()),
            Ok(signature)
        );
    }
}

#[test]
fn a_broken_generator_does_not_reuse_k() {
    // The same "random" bytes every time. x1 = r - e tells k apart; as e differs, so must k.
    let (secret, id) = (key(4), DistinguishingId::default());
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..50_u32 {
        let message = number.to_be_bytes();
        let signature = secret.sign(&id, &message, &mut StdRng::seed_from_u64(5));
        let e = xinqiao_crypto::sm3_parts(&[id.z(secret.public()).as_bytes(), &message]);
        assert!(
            seen.insert(minus_mod_n(&signature.as_bytes()[..32], e.as_bytes())),
            "k reused"
        );
    }
    // And with a good one the same message gets a new k each time.
    let mut rng = StdRng::seed_from_u64(6);
    assert_ne!(
        secret.sign(&id, b"m", &mut rng),
        secret.sign(&id, b"m", &mut rng)
    );
}

fn minus_mod_n(r: &[u8], e: &[u8; 32]) -> Vec<u8> {
    use sm2::elliptic_curve::ff::PrimeField;
    use sm2::elliptic_curve::ops::Reduce;
    let scalar = |bytes: &[u8]| {
        let array: [u8; 32] = bytes.try_into().unwrap();
        sm2::Scalar::reduce(&sm2::FieldBytes::from(array))
    };
    (scalar(r) - scalar(e)).to_repr().to_vec()
}

#[test]
fn distinguishing_ids_have_1_to_8191_bytes() {
    for (length, valid) in [
        (0, false),
        (1, true),
        (16, true),
        (8191, true),
        (8192, false),
    ] {
        let found = DistinguishingId::new(vec![b'x'; length]);
        assert_eq!(found.is_ok(), valid, "{length}");
        let borsh = borsh::to_vec(&vec![b'x'; length]).unwrap();
        assert_eq!(
            borsh::from_slice::<DistinguishingId>(&borsh).is_ok(),
            valid,
            "{length}"
        );
        if let Ok(id) = found {
            let (secret, mut rng) = (key(7), StdRng::seed_from_u64(8));
            let signature = secret.sign(&id, b"message", &mut rng);
            assert!(
                KnownKey::new(secret.public(), &id)
                    .verify(b"message", &signature)
                    .is_ok()
            );
            assert!(verify_once(secret.public(), &id, b"message", &signature).is_ok());
        }
    }
    assert!(borsh::from_slice::<DistinguishingId>(&u32::MAX.to_le_bytes()).is_err());
}

#[test]
fn a_signature_is_bound_to_key_id_and_message() {
    let mut rng = StdRng::seed_from_u64(9);
    let (one, two) = (key(10), key(11));
    let ids = ["1234567812345678", "1234567812345679", "ALICE123@YAHOO.COM"]
        .map(|id| DistinguishingId::new(id).unwrap());
    for (key_number, secret) in [&one, &two].into_iter().enumerate() {
        for (id_number, id) in ids.iter().enumerate() {
            let signature = secret.sign(id, b"message", &mut rng);
            for (other_key, public) in [one.public(), two.public()].into_iter().enumerate() {
                for (other_id, verify_id) in ids.iter().enumerate() {
                    for message in [b"message".as_slice(), b"Message", b"message\0", b""] {
                        let valid = key_number == other_key
                            && id_number == other_id
                            && message == b"message";
                        let known = KnownKey::new(public, verify_id).verify(message, &signature);
                        let once = verify_once(public, verify_id, message, &signature);
                        assert_eq!(known.is_ok(), valid);
                        assert_eq!(once, known);
                    }
                }
            }
        }
    }
}

#[test]
fn digests_read_back_what_they_write() {
    let digest = xinqiao_crypto::sm3(b"abc");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    assert_eq!(format!("{digest:?}"), digest.to_string());
    assert_eq!(Digest::try_from(digest.as_bytes().as_slice()), Ok(digest));
    assert_eq!(borsh::to_vec(&digest).unwrap(), digest.as_bytes());
    assert_eq!(
        Digest::try_from([0; 31].as_slice()),
        Err(DigestError::Length(31))
    );
    assert_eq!(
        Digest::try_from([0; 33].as_slice()),
        Err(DigestError::Length(33))
    );
    for text in [
        "",
        "66c7",
        &"g".repeat(64),
        &"0".repeat(63),
        &"0".repeat(65),
        &"é".repeat(32),
    ] {
        assert_eq!(text.parse::<Digest>(), Err(DigestError::Hex), "{text}");
    }
}
