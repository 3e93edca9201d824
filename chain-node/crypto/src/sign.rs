//! The nonce k of a signature.
//!
//! Not here: what is done with it (`crate::secret`).

use rand_core::CryptoRng;
use sm2::elliptic_curve::{Curve, ff::PrimeField};
use sm2::{FieldBytes, Scalar, Sm2, U256};
use sm3::Sm3;
use zeroize::Zeroizing;

/// A nonce in 1..n-1: RFC 6979 with HMAC-SM3 over the secret, the digest and 32 bytes of `rng`.
pub(crate) fn nonce<R: CryptoRng + ?Sized>(
    secret: &Scalar,
    digest: &Scalar,
    rng: &mut R,
) -> Zeroizing<Scalar> {
    let mut fresh = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *fresh);
    let secret = Zeroizing::new(<[u8; 32]>::from(secret.to_repr()));
    let digest = digest.to_repr();
    let mut generator =
        rfc6979::KGenerator::<Sm3, U256>::new(&*secret, &digest, &*fresh, &Sm2::ORDER);
    let mut bytes = Zeroizing::new([0; 32]);
    generator.fill_next_k(&mut *bytes);
    let nonce = Option::from(Scalar::from_repr(FieldBytes::from(*bytes)));
    Zeroizing::new(nonce.expect("the generator gives numbers below n"))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use sm2::elliptic_curve::Generate;

    use super::*;

    #[test]
    fn another_draw_gives_another_nonce_and_so_does_another_digest() {
        let mut rng = StdRng::seed_from_u64(22);
        let secret = Scalar::generate_from_rng(&mut rng);
        let digest = Scalar::generate_from_rng(&mut rng);
        let drawn =
            |seed, digest: &Scalar| *nonce(&secret, digest, &mut StdRng::seed_from_u64(seed));
        let first = drawn(1, &digest);
        assert_eq!(first, drawn(1, &digest));
        assert_ne!(first, drawn(2, &digest));
        assert_ne!(
            first,
            drawn(1, &(digest + Scalar::ONE)),
            "a broken generator is survived"
        );
    }
}
