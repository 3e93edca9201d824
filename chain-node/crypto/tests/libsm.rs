//! SM2 against `libsm`, an implementation that shares no code with ours: both directions, and the
//! same verdict on altered signatures.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use libsm::sm2::signature::{SigCtx, Signature as LibsmSignature};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use xinqiao_crypto::{DistinguishingId, KnownKey, PublicKey, SecretKey, Signature, sm3};

fn theirs(signature: &Signature) -> LibsmSignature {
    let (r, s) = signature.as_bytes().split_at(32);
    LibsmSignature::new(r, s)
}

#[test]
fn each_verifies_the_others_signatures() {
    let mut rng = StdRng::seed_from_u64(1);
    let libsm = SigCtx::new();
    let id = DistinguishingId::default();
    for _ in 0..10 {
        // libsm draws from the system, so its own key differs from run to run.
        let (point, scalar) = libsm.new_keypair().unwrap();
        let raw = libsm.serialize_seckey(&scalar).unwrap();
        let secret = SecretKey::from_bytes(&raw.try_into().unwrap()).unwrap();
        let public = libsm.serialize_pubkey(&point, true).unwrap();
        assert_eq!(
            PublicKey::try_from(public.as_slice()).unwrap(),
            *secret.public()
        );
        let known = KnownKey::new(secret.public(), &id);
        for _ in 0..20 {
            let mut message = vec![0; (rng.next_u32() % 200) as usize];
            rng.fill_bytes(&mut message);
            let ours = secret.sign(&id, &message, &mut rng);
            assert!(
                libsm.verify(&message, &point, &theirs(&ours)).unwrap(),
                "{message:x?}"
            );

            let made = libsm.sign(&message, &scalar, &point).unwrap();
            let der = made.der_encode();
            let made = Signature::from_der(&der).unwrap();
            assert!(
                known.verify(&message, &made).is_ok(),
                "{made} over {message:x?}"
            );

            let mut altered = ours.to_bytes();
            altered[(rng.next_u32() % 64) as usize] ^= 1 << (rng.next_u32() % 8);
            if let Ok(altered) = Signature::try_from(altered.as_slice()) {
                let verdict = libsm.verify(&message, &point, &theirs(&altered)).unwrap();
                assert_eq!(known.verify(&message, &altered).is_ok(), verdict);
                assert!(!verdict);
            }
        }
    }
}

#[test]
fn digests_are_the_same_at_every_length_around_a_block() {
    for length in 0..200 {
        let data: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
        let theirs = libsm::sm3::hash::Sm3Hash::new(&data).get_hash();
        assert_eq!(sm3(&data).as_bytes(), &theirs, "{length}");
    }
}
