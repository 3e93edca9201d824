//! The known-key verifier gives the `sm2` crate's verdict on every input: random, edge and mutated.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sm2::elliptic_curve::Generate;
use sm2::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use sm2::{NonZeroScalar, ProjectivePoint};

use super::*;
use crate::secret::SecretKey;

/// What both verifiers must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Valid,
    Invalid,
    /// Nobody knows beforehand; the two only have to agree.
    Same,
}

#[track_caller]
fn check(known: &KnownKey, prehash: &Digest, signature: &Signature, expect: Expect, case: &str) {
    let fast = known.verify_prehash(prehash, signature);
    let plain = verify_prehash_once(known.public(), prehash, signature);
    assert_eq!(
        fast, plain,
        "{case}: the verifiers differ on {signature} over {prehash}"
    );
    match expect {
        Expect::Valid => assert!(fast.is_ok(), "{case}: refused"),
        Expect::Invalid => assert_eq!(fast, Err(SignatureError::Mismatch), "{case}: accepted"),
        Expect::Same => {}
    }
}

fn known(key: &PublicKey) -> KnownKey {
    KnownKey::new(key, &DistinguishingId::default())
}

fn public(point: ProjectivePoint) -> PublicKey {
    PublicKey::from_point(sm2::PublicKey::from_affine(point.to_affine()).unwrap())
}

fn signature(r: Scalar, s: Scalar) -> Signature {
    let bytes = [r.to_repr().as_slice(), s.to_repr().as_slice()].concat();
    Signature::try_from(bytes.as_slice()).unwrap()
}

fn scalar(rng: &mut StdRng) -> Scalar {
    *NonZeroScalar::generate_from_rng(rng)
}

fn digest(value: Scalar) -> Digest {
    Digest::new(value.to_repr().into())
}

/// Makes (r, s) over `e` verify with a key chosen afterwards: P = [1/t](R - [s]G), t = r + s.
fn key_for(point: ProjectivePoint, r: Scalar, s: Scalar) -> PublicKey {
    let inverse = (r + s).invert().unwrap();
    public((point - ProjectivePoint::GENERATOR * s) * inverse)
}

#[test]
fn random_and_mutated_signatures_get_the_crates_verdict() {
    let mut rng = StdRng::seed_from_u64(0x5352);
    let id = DistinguishingId::default();
    for _ in 0..8 {
        let key = SecretKey::generate(&mut rng);
        let known = known(key.public());
        for _ in 0..60 {
            let mut message = vec![0; (rng.next_u32() % 200) as usize];
            rng.fill_bytes(&mut message);
            let good = key.sign(&id, &message, &mut rng);
            assert!(known.verify(&message, &good).is_ok());
            let prehash = sm3_parts(&[known.z.as_bytes(), &message]);
            check(&known, &prehash, &good, Expect::Valid, "as signed");

            let bit = rng.next_u32() as usize;
            let mut other = prehash.to_bytes();
            other[bit / 8 % 32] ^= 1 << (bit % 8);
            check(
                &known,
                &Digest::new(other),
                &good,
                Expect::Invalid,
                "a bit of the digest",
            );

            let mut bytes = good.to_bytes();
            bytes[bit / 8 % 64] ^= 1 << (bit % 8);
            if let Ok(flipped) = Signature::try_from(bytes.as_slice()) {
                check(
                    &known,
                    &prehash,
                    &flipped,
                    Expect::Invalid,
                    "a bit of the signature",
                );
            }
            let (r, s) = good.inner().split_scalars();
            check(
                &known,
                &prehash,
                &signature(*s, *r),
                Expect::Invalid,
                "r and s exchanged",
            );
            check(
                &known,
                &prehash,
                &signature(*r, -*s),
                Expect::Invalid,
                "n - s: no low-s form",
            );
            check(
                &known,
                &prehash,
                &signature(-*r, *s),
                Expect::Invalid,
                "n - r",
            );
        }
    }
}

/// `XINQIAO_CASES=1000000 cargo test -p xinqiao-crypto -- --ignored` compares a million.
#[test]
#[ignore = "minutes: run with --ignored, and XINQIAO_CASES for how many"]
fn any_number_of_signatures_get_the_crates_verdict() {
    let cases = std::env::var("XINQIAO_CASES").map_or(100_000, |text| text.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(0x4d49);
    let mut known_key = known(&public(ProjectivePoint::GENERATOR));
    let mut d = Scalar::ONE;
    for case in 0..cases {
        if case % 2000 == 0 {
            d = scalar(&mut rng);
            known_key = known(&public(ProjectivePoint::GENERATOR * d));
        }
        let (r, s) = (scalar(&mut rng), scalar(&mut rng));
        let point = ProjectivePoint::GENERATOR * (s + (r + s) * d);
        let e = r - Scalar::reduce(&point.to_affine().x());
        let (e, expect) = match case % 4 {
            0 => (e, Expect::Valid),
            1 => (e + Scalar::ONE, Expect::Invalid),
            2 => (-e, Expect::Same),
            _ => (scalar(&mut rng), Expect::Same),
        };
        check(&known_key, &digest(e), &signature(r, s), expect, "random");
    }
}

#[test]
fn every_pair_of_edge_scalars_gets_the_crates_verdict() {
    let mut rng = StdRng::seed_from_u64(7);
    let small = |value: u64| Scalar::from(value);
    let half = (small(2)).invert().unwrap();
    // Around 0, n and n/2, at window borders, and with the top bits that are folded.
    let mut edges = vec![
        small(1),
        small(2),
        small(255),
        small(256),
        small(257),
        half,
        half - small(1),
    ];
    edges.extend(
        [8, 9, 11, 63, 64, 65, 127, 128, 253, 254, 255]
            .map(|bit| (0..bit).fold(small(1), |power, _| power + power)),
    );
    edges.extend(edges.clone().into_iter().map(|edge| -edge));
    // The generator itself, its opposite and its double are keys for which additions coincide.
    for key in [small(1), -small(1), small(2), half, scalar(&mut rng)] {
        let known = known(&public(ProjectivePoint::GENERATOR * key));
        for r in &edges {
            for s in &edges {
                let case = "edge pair";
                check(
                    &known,
                    &digest(scalar(&mut rng)),
                    &signature(*r, *s),
                    Expect::Same,
                    case,
                );
                // The digest for which this pair is valid, where there is one.
                let t = *r + *s;
                let point = ProjectivePoint::GENERATOR * (*s + t * key);
                if t == Scalar::ZERO || point == ProjectivePoint::IDENTITY {
                    continue;
                }
                let e = *r - Scalar::reduce(&point.to_affine().x());
                check(
                    &known,
                    &digest(e),
                    &signature(*r, *s),
                    Expect::Valid,
                    "valid edge pair",
                );
            }
        }
    }
}

#[test]
fn r_plus_s_equal_to_n_is_refused() {
    let mut rng = StdRng::seed_from_u64(8);
    let known = known(SecretKey::generate(&mut rng).public());
    for _ in 0..20 {
        let s = scalar(&mut rng);
        // With t = 0 the point is [s]G whatever the key: this digest would "verify" for everyone.
        let x = Scalar::reduce(&(ProjectivePoint::GENERATOR * s).to_affine().x());
        check(
            &known,
            &digest(-s - x),
            &signature(-s, s),
            Expect::Invalid,
            "t = 0",
        );
    }
}

#[test]
fn a_result_at_infinity_is_refused() {
    let mut rng = StdRng::seed_from_u64(9);
    for _ in 0..4 {
        let d = scalar(&mut rng);
        let known = known(&public(ProjectivePoint::GENERATOR * d));
        for _ in 0..10 {
            let t = scalar(&mut rng);
            let s = -(t * d);
            let r = t - s;
            // Whatever x a careless verifier reads off infinity: 0, and any.
            check(
                &known,
                &digest(r),
                &signature(r, s),
                Expect::Invalid,
                "infinity, x = 0",
            );
            check(
                &known,
                &digest(r - Scalar::ONE),
                &signature(r, s),
                Expect::Invalid,
                "x = 1",
            );
            check(
                &known,
                &digest(scalar(&mut rng)),
                &signature(r, s),
                Expect::Invalid,
                "any x",
            );
        }
    }
}

#[test]
fn an_x_coordinate_of_at_least_n_is_reduced() {
    let mut rng = StdRng::seed_from_u64(10);
    let n = field(N.into());
    let mut found = 0;
    // n + 0, 1, 2 … and p - 1, p - 2 … where they are on the curve.
    let above = (0..12_u64).map(|i| n + Field::from(i));
    let below = (1..12_u64).map(|i| -Field::from(i));
    for x in above.chain(below) {
        let Some(point) = AffinePoint::decompress(&x.to_repr(), 0.into()).into_option() else {
            continue;
        };
        found += 1;
        let point = ProjectivePoint::from(point);
        let (r, s) = (scalar(&mut rng), scalar(&mut rng));
        let key = known(&key_for(point, r, s));
        let e = r - Scalar::reduce(&x.to_repr());
        check(&key, &digest(e), &signature(r, s), Expect::Valid, "x1 ≥ n");
        check(
            &key,
            &digest(e + Scalar::ONE),
            &signature(r, s),
            Expect::Invalid,
            "x1 ≥ n, other e",
        );
    }
    assert!(found >= 6, "only {found} such points tried");
}

#[test]
fn an_x_coordinate_just_below_p_minus_n_is_not_mistaken() {
    let mut rng = StdRng::seed_from_u64(11);
    let mut found = 0;
    for offset in 0..24_u64 {
        // Both sides of the border where x + n stops being below p.
        let border = field(P_MINUS_N.into()) - Field::from(12_u64);
        let x = border + Field::from(offset);
        let Some(point) = AffinePoint::decompress(&x.to_repr(), 1.into()).into_option() else {
            continue;
        };
        found += 1;
        let (r, s) = (scalar(&mut rng), scalar(&mut rng));
        let key = known(&key_for(ProjectivePoint::from(point), r, s));
        let e = r - Scalar::reduce(&x.to_repr());
        check(
            &key,
            &digest(e),
            &signature(r, s),
            Expect::Valid,
            "x1 at the border",
        );
        // x1 = r - e + n - p: what r - e + n comes to when the addition is allowed to wrap.
        let wrapped = e - Scalar::reduce(&FieldBytes::from(P_MINUS_N));
        check(
            &key,
            &digest(wrapped),
            &signature(r, s),
            Expect::Invalid,
            "x1 wrapped past p",
        );
    }
    assert!(found >= 6, "only {found} such points tried");
}

#[test]
fn digests_of_at_least_n_are_reduced() {
    let mut rng = StdRng::seed_from_u64(12);
    let d = scalar(&mut rng);
    let known = known(&public(ProjectivePoint::GENERATOR * d));
    for bytes in [[0; 32], [0xff; 32], N] {
        let prehash = Digest::new(bytes);
        let e = Scalar::reduce(&FieldBytes::from(bytes));
        let k = scalar(&mut rng);
        let x = Scalar::reduce(&(ProjectivePoint::GENERATOR * k).to_affine().x());
        let r = e + x;
        let s = (d + Scalar::ONE).invert().unwrap() * (k - r * d);
        check(
            &known,
            &prehash,
            &signature(r, s),
            Expect::Valid,
            "e outside 0..n-1",
        );
    }
}

#[test]
fn tables_hold_the_multiples_they_claim() {
    let mut rng = StdRng::seed_from_u64(13);
    let (p, q) = (scalar(&mut rng), scalar(&mut rng));
    let tables = [p, q].map(|k| Table::<9>::new(&(ProjectivePoint::GENERATOR * k).to_affine()));
    for _ in 0..50 {
        let (a, b) = (scalar(&mut rng), scalar(&mut rng));
        let sum = sum_of_products((&tables[0], &a), (&tables[1], &b));
        let expected = (ProjectivePoint::GENERATOR * (a * p + b * q)).to_affine();
        assert!(sum.has_x(&field_of(expected.x())));
        assert!(!sum.has_x(&(field_of(expected.x()) + Field::ONE)));
    }
    let (zero, one) = (Scalar::ZERO, Scalar::ONE);
    assert!(sum_of_products((&tables[0], &zero), (&tables[1], &zero)).is_infinity());
    // Opposite and equal points meet in the sum.
    assert!(sum_of_products((&tables[0], &one), (&tables[0], &-one)).is_infinity());
    let twice = (ProjectivePoint::GENERATOR * (p + p)).to_affine();
    assert!(sum_of_products((&tables[0], &one), (&tables[0], &one)).has_x(&field_of(twice.x())));
}

fn field_of(bytes: FieldBytes) -> Field {
    Field::from_repr(bytes).unwrap()
}

#[test]
fn another_id_or_none_is_refused() {
    let mut rng = StdRng::seed_from_u64(14);
    let key = SecretKey::generate(&mut rng);
    let id = DistinguishingId::default();
    let other = DistinguishingId::new(*b"1234567812345679").unwrap();
    let signed = key.sign(&id, b"body", &mut rng);
    assert!(known(key.public()).verify(b"body", &signed).is_ok());
    assert!(verify_once(key.public(), &id, b"body", &signed).is_ok());
    let refused = Err(SignatureError::Mismatch);
    assert_eq!(
        KnownKey::new(key.public(), &other).verify(b"body", &signed),
        refused
    );
    assert_eq!(verify_once(key.public(), &other, b"body", &signed), refused);

    // CVE-2026-23965: e without Z_A lets a signature be made for any key from nothing. Here e is
    // SM3(body) alone, signed correctly otherwise, and must not pass.
    use sm2::dsa::signature::hazmat::PrehashSigner;
    let signer = sm2::dsa::SigningKey::new("", key.scalar()).unwrap();
    let bare = signer.sign_prehash(crate::sm3(b"body").as_bytes()).unwrap();
    assert_eq!(
        known(key.public()).verify(b"body", &Signature::from_inner(&bare)),
        refused
    );
}

#[test]
fn a_cache_shares_keys_and_stays_within_its_capacity() {
    let mut rng = StdRng::seed_from_u64(15);
    let id = DistinguishingId::default();
    let keys: Vec<_> = (0..4)
        .map(|_| *SecretKey::generate(&mut rng).public())
        .collect();
    let cache = VerifierCache::new(std::num::NonZeroUsize::new(2).unwrap());
    let first = cache.known(&keys[0], &id);
    assert!(
        std::sync::Arc::ptr_eq(&first, &cache.known(&keys[0], &id)),
        "prepared once"
    );
    let other = DistinguishingId::new(*b"another id").unwrap();
    assert!(
        !std::sync::Arc::ptr_eq(&first, &cache.known(&keys[0], &other)),
        "the id is part of it"
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in &keys {
                    assert_eq!(cache.known(key, &id).public(), key);
                    assert!(cache.len() <= 2);
                }
            });
        }
    });
    cache.forget(&keys[3], &id);
    assert!(cache.len() <= 2);
}

#[test]
fn a_key_is_found_by_its_canonical_form_and_what_is_no_key_is_not_kept() {
    let mut rng = StdRng::seed_from_u64(16);
    let id = DistinguishingId::default();
    let key = *SecretKey::generate(&mut rng).public();
    let cache = VerifierCache::new(std::num::NonZeroUsize::new(2).unwrap());
    let first = cache.known_sec1(&key.to_sec1(), &id).unwrap();
    assert_eq!((first.public(), first.id()), (&key, key.id()));
    assert!(std::sync::Arc::ptr_eq(&first, &cache.known(&key, &id)));
    let again = cache.known_sec1(&key.to_sec1(), &id).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again), "prepared once");
    let other = DistinguishingId::new(*b"another id").unwrap();
    let under_other = cache.known_sec1(&key.to_sec1(), &other).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&first, &under_other));
    let off_the_curve = (0..=u8::MAX)
        .map(|last| {
            let mut sec1 = [2; PublicKey::LEN];
            sec1[PublicKey::LEN - 1] = last;
            sec1
        })
        .find(|sec1| PublicKey::try_from(&sec1[..]).is_err())
        .unwrap();
    let held = cache.len();
    for bytes in [[0; PublicKey::LEN], [4; PublicKey::LEN], off_the_curve] {
        assert!(cache.known_sec1(&bytes, &id).is_err());
    }
    assert_eq!(cache.len(), held);
}
