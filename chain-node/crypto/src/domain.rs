//! What a signature is for: fixed tags, so that a signature for one purpose is never one for
//! another, on this chain or on a different one.
//!
//! Not a serialiser: the body is the caller's bytes, signed as they are.

/// The purposes for which keys of this system sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// A transaction's body.
    Transaction,
    /// A block header, by its proposer or by a voter that applied it.
    Header,
    /// A consensus vote.
    Vote,
    /// A consent grant, by the information subject or the witness bureau.
    Grant,
    /// Proof that the registrant of a key holds its secret half.
    KeyPossession,
    /// The consortium's genesis file.
    Genesis,
    /// A request to a gateway or holder that is no transaction, such as a key package.
    Request,
    /// A receipt that a node, gateway or holder hands out.
    Receipt,
}

impl Domain {
    /// Every domain, for tests that must cover all of them.
    pub const ALL: [Self; 8] = [
        Self::Transaction,
        Self::Header,
        Self::Vote,
        Self::Grant,
        Self::KeyPossession,
        Self::Genesis,
        Self::Request,
        Self::Receipt,
    ];

    /// The tag that opens every message signed for this purpose: ASCII, padded with zeros to 16 bytes.
    pub const fn tag(self) -> [u8; 16] {
        match self {
            Self::Transaction => *b"xinqiao/tx/v1\0\0\0",
            Self::Header => *b"xinqiao/block/v1",
            Self::Vote => *b"xinqiao/vote/v1\0",
            Self::Grant => *b"xinqiao/grant/v1",
            Self::KeyPossession => *b"xinqiao/pop/v1\0\0",
            Self::Genesis => *b"xinqiao/gen/v1\0\0",
            Self::Request => *b"xinqiao/req/v1\0\0",
            Self::Receipt => *b"xinqiao/rcpt/v1\0",
        }
    }
}

/// The bytes to sign: tag (16) ‖ length of the chain id (2, big endian) ‖ chain id ‖ body.
///
/// # Panics
///
/// When the chain id is longer than 65,535 bytes. Chain ids come from the genesis file, which
/// limits them far below that.
pub fn signing_message(domain: Domain, chain_id: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(chain_id.len()).expect("genesis limits the chain id's length");
    let mut message = Vec::with_capacity(18 + chain_id.len() + body.len());
    message.extend_from_slice(&domain.tag());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(chain_id);
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_bytes_are_golden() {
        for (domain, golden) in [
            (
                Domain::Transaction,
                "78696e7169616f2f74782f763100000000056465766e6574626f6479",
            ),
            (
                Domain::Header,
                "78696e7169616f2f626c6f636b2f763100056465766e6574626f6479",
            ),
            (
                Domain::Vote,
                "78696e7169616f2f766f74652f76310000056465766e6574626f6479",
            ),
            (
                Domain::Grant,
                "78696e7169616f2f6772616e742f763100056465766e6574626f6479",
            ),
            (
                Domain::KeyPossession,
                "78696e7169616f2f706f702f7631000000056465766e6574626f6479",
            ),
            (
                Domain::Genesis,
                "78696e7169616f2f67656e2f7631000000056465766e6574626f6479",
            ),
            (
                Domain::Request,
                "78696e7169616f2f7265712f7631000000056465766e6574626f6479",
            ),
            (
                Domain::Receipt,
                "78696e7169616f2f726370742f76310000056465766e6574626f6479",
            ),
        ] {
            let found = hex::encode(signing_message(domain, b"devne", b"tbody"));
            assert_eq!(found, golden, "{domain:?}");
        }
    }

    #[test]
    fn no_tag_is_a_prefix_of_another_and_all_differ() {
        let mut tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), Domain::ALL.len());
    }

    #[test]
    fn chain_id_and_body_do_not_run_into_each_other() {
        assert_ne!(
            signing_message(Domain::Grant, b"ab", b"c"),
            signing_message(Domain::Grant, b"a", b"bc"),
        );
    }
}
