//! What a letter says: the key of one body, and which body that is.
//!
//! It is the content of an MLS application message whose authenticated data is
//! `xinqiao_dispatch::envelope::aad` of the part. So it is signed by the node, bound to chain, order, part and
//! body, and all letters are of one length.

use xinqiao_crypto::{ContentKey, Digest};
use xinqiao_dispatch::delivery::ReleasedKey;
use zeroize::Zeroizing;

use crate::error::Error;

const VERSION: u8 = 1;
const LEN: usize = 1 + ContentKey::LEN + Digest::LEN;

/// The content of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The body's key.
    pub key: ContentKey,
    /// SM3 of the body, as the ledger has it.
    pub body: Digest,
}

impl From<&ReleasedKey> for Letter {
    fn from(released: &ReleasedKey) -> Self {
        Self {
            key: released.key().clone(),
            body: released.body(),
        }
    }
}

impl Letter {
    /// Version (1), key (16), digest of the body (32).
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(self.key.expose());
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let fault = || Error::refused("letter", "its content is none of version 1");
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| fault())?;
        let (key, body) = bytes[1..].split_at(ContentKey::LEN);
        if bytes[0] != VERSION {
            return Err(fault());
        }
        Ok(Self {
            key: ContentKey::from_bytes(key.try_into().map_err(|_| fault())?),
            body: Digest::try_from(body).map_err(|_| fault())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sm3;

    #[test]
    fn a_letter_keeps_its_golden_bytes_and_reads_back() {
        let letter = Letter {
            key: ContentKey::from_bytes(&[5; 16]),
            body: sm3(b"body"),
        };
        let bytes = letter.encode();
        assert_eq!(bytes[..17], [&[1][..], &[5; 16]].concat());
        assert_eq!(bytes[17..], sm3(b"body").to_bytes());
        assert_eq!(Letter::parse(&bytes).unwrap(), letter);
        for end in 0..bytes.len() {
            assert!(Letter::parse(&bytes[..end]).is_err(), "{end} bytes");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert!(Letter::parse(&other).is_err(), "another version");
    }
}
