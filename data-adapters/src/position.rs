//! Positions in scans of live sources, sealed into checkpoints that show nothing.
//!
//! Such a position is the last subject's code or an interface's cursor, and a checkpoint lies in a file: so it
//! is encrypted, with HMAC-SM3 as the only primitive, in the form of a synthetic IV (as RFC 5297 does with
//! AES): `tag = HMAC(k, 0 ‖ context ‖ text)`, keystream block i = `HMAC(k, 1 ‖ i ‖ tag)`. Equal positions give equal
//! checkpoints, and one that was changed, or is of another source or mapping, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xinqiao_crypto::MacKey;

use crate::error::Error;
use crate::source::Checkpoint;

const TAG_BYTES: usize = 16;

/// Seals the positions of one source.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: MacKey,
    /// Adapter, mapping and whatever else must not change between a scan and its resumption.
    context: String,
}

impl Sealer {
    /// `context` is printable ASCII without `:`.
    pub(crate) fn new(key: [u8; 32], context: String) -> Self {
        Self {
            key: MacKey::new(&key),
            context,
        }
    }

    pub(crate) fn seal(&self, position: &[u8]) -> Checkpoint {
        let tag = self.tag(position);
        let mut bytes = tag.to_vec();
        bytes.extend_from_slice(position);
        self.apply_keystream(tag, &mut bytes[TAG_BYTES..]);
        Checkpoint::new(format!(
            "{}:{}",
            self.context,
            URL_SAFE_NO_PAD.encode(bytes)
        ))
    }

    pub(crate) fn open(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
        let refused = |reason: &str| Error::Checkpoint {
            reason: reason.to_owned(),
        };
        let Some((context, text)) = checkpoint.as_str().split_once(':') else {
            return Err(refused("it is not of this kind of source"));
        };
        if context != self.context {
            return Err(refused(
                "it is of another source, or the mapping changed since",
            ));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let Some((tag, sealed)) = bytes.split_first_chunk::<TAG_BYTES>() else {
            return Err(refused("it is damaged"));
        };
        let mut position = sealed.to_vec();
        self.apply_keystream(*tag, &mut position);
        // Nothing is gained by guessing here: whoever keeps checkpoints may read them where they lie.
        if self.tag(&position) != *tag {
            return Err(refused("it was made with another key, or is damaged"));
        }
        Ok(position)
    }

    fn tag(&self, position: &[u8]) -> [u8; TAG_BYTES] {
        let length = (self.context.len() as u64).to_be_bytes();
        let digest = self
            .key
            .mac(&[&[0], &length, self.context.as_bytes(), position]);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest.as_bytes()[..TAG_BYTES]);
        tag
    }

    fn apply_keystream(&self, tag: [u8; TAG_BYTES], bytes: &mut [u8]) {
        for (index, block) in bytes.chunks_mut(32).enumerate() {
            let key = self.key.mac(&[&[1], &(index as u64).to_be_bytes(), &tag]);
            for (byte, key) in block.iter_mut().zip(key.as_bytes()) {
                *byte ^= key;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: u8, context: &str) -> Sealer {
        Sealer::new([key; 32], context.to_owned())
    }

    #[test]
    fn a_position_survives_and_shows_nothing() {
        let one = sealer(1, "pg1-00");
        for text in ["", "91350100M000100Y43", &"x".repeat(2000)] {
            let sealed = one.seal(text.as_bytes());
            assert_eq!(one.open(&sealed).expect("it opens"), text.as_bytes());
            assert!(!sealed.as_str().contains("M000100Y"));
            assert!(sealed.as_str().parse::<Checkpoint>().is_ok());
            assert_eq!(
                one.seal(text.as_bytes()),
                sealed,
                "the same position, the same text"
            );
        }
    }

    #[test]
    fn its_bytes_are_golden() {
        assert_eq!(
            sealer(7, "pg1-0").seal(b"91350100M000100Y43").as_str(),
            "pg1-0:YHwq4Ht_lbzPYV5p_vmHxxrA635nIfEDDWiz5X14QKPjRw"
        );
    }

    #[test]
    fn what_is_of_another_key_source_or_damaged_is_refused() {
        let one = sealer(1, "pg1-00");
        let good = one.seal(b"91350100M000100Y43");
        for other in [
            sealer(2, "pg1-00"),
            sealer(1, "pg1-01"),
            sealer(1, "my1-00"),
        ] {
            assert!(matches!(other.open(&good), Err(Error::Checkpoint { .. })));
        }
        let (_, text) = good.as_str().split_once(':').expect("two parts");
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("it was encoded");
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let text = format!("pg1-00:{}", URL_SAFE_NO_PAD.encode(bytes));
            let damaged: Checkpoint = text.parse().expect("printable");
            assert!(one.open(&damaged).is_err(), "byte {place}");
        }
        for text in ["x", "pg1-00:", "pg1-00:AAAA", "pg1-00:*"] {
            let foreign: Checkpoint = text.parse().expect("printable");
            assert!(one.open(&foreign).is_err(), "{text}");
        }
    }
}
