//! Groups and digital envelopes side by side: which of the two is in force is the ledger's word for each
//! institution, and the delivery machine need not know the difference.
//!
//! An envelope has its key inside, under the institution's SM2 key. A body of a group is sealed alike and has
//! its key apart, which the spool keeps beside it until the part is closed, and which travels in a letter.

use rand_core::CryptoRng;
use xinqiao_crypto::{Open, PublicKey, Seal, SealError, SecretKey, Sm2Sm4Gcm};
use xinqiao_dispatch::envelope::{GroupPart, SealedPart};
use zeroize::Zeroizing;

use crate::{ContentKey, EpochMark, body};

/// How a part is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// A digital envelope to the institution's encryption key.
    Envelope(&'a PublicKey),
    /// A body for the delivery group with the institution, in this epoch.
    Group(EpochMark),
}

impl Scheme<'_> {
    /// Seals one report; `aad` is `xinqiao_dispatch::envelope::aad` of its part.
    ///
    /// # Errors
    /// When the report is too long.
    pub fn seal(
        &self,
        aad: &[u8],
        report: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<SealedPart, SealError> {
        match self {
            Self::Envelope(recipient) => {
                let bytes = Sm2Sm4Gcm.seal(recipient, aad, report, rng)?;
                Ok(SealedPart::envelope(bytes))
            }
            Self::Group(mark) => {
                let (bytes, key) = body::seal(mark, aad, report, rng)?;
                let group = Some(GroupPart { key, mark: *mark });
                Ok(SealedPart { bytes, group })
            }
        }
    }
}

/// What opens a delivered part, whichever way it was sealed (`xinqiao_dispatch::opening::open` takes it).
#[derive(Debug, Clone, Copy)]
pub enum Opener<'a> {
    /// The institution's secret key.
    Envelope(&'a SecretKey),
    /// The key of the part's letter.
    Group(&'a ContentKey),
}

impl Open for Opener<'_> {
    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        match self {
            Self::Envelope(key) => key.open(aad, sealed),
            Self::Group(key) => body::open(key, aad, sealed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use xinqiao_crypto::Digest;

    #[test]
    fn each_way_opens_its_own_and_neither_opens_the_other_s() {
        let mut rng = StdRng::seed_from_u64(1);
        let secret = SecretKey::generate(&mut rng);
        let mark = EpochMark {
            generation: 1,
            epoch: 1,
            authenticator: Digest::ZERO,
        };
        let envelope = Scheme::Envelope(secret.public());
        let envelope = envelope.seal(b"aad", b"report", &mut rng).unwrap();
        let group = Scheme::Group(mark)
            .seal(b"aad", b"report", &mut rng)
            .unwrap();
        assert_eq!(envelope.group, None);
        let key = &group.group.as_ref().unwrap().key;
        for (opener, own, other) in [
            (Opener::Envelope(&secret), &envelope, &group),
            (Opener::Group(key), &group, &envelope),
        ] {
            assert_eq!(**opener.open(b"aad", &own.bytes).unwrap(), *b"report");
            assert_eq!(opener.open(b"aad", &other.bytes), Err(SealError::Format));
        }
    }
}
