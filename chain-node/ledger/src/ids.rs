//! Ids, codes and pseudonyms: every name that the ledger knows a thing by.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::Digest;

use crate::{
    malformed::{Malformed, Problem, fixed},
    text::shows_code,
};

/// The most bytes that a slug or a code may have.
pub const MAX_NAME: usize = 32;

/// The most bytes that a reason code may have.
const MAX_REASON: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $max:expr, $form:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
            Serialize, Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Parses a field.
            ///
            /// # Errors
            /// When it is empty, too long, has a character that it may not have, or shows a plain
            /// unified social credit code.
            pub fn parse(field: &str, value: &str) -> Result<Self, Malformed> {
                if value.is_empty() {
                    return Err(Malformed::new(field, Problem::Required));
                }
                if value.len() > $max {
                    return Err(Malformed::new(
                        field,
                        Problem::TooLong { max: $max, got: value.len() },
                    ));
                }
                let valid: fn(&[u8]) -> bool = $valid;
                if !valid(value.as_bytes()) {
                    return Err(Malformed::new(field, Problem::Format($form)));
                }
                if shows_code(value) {
                    return Err(Malformed::new(field, Problem::PlainCode));
                }
                Ok(Self(value.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = Malformed;
            fn from_str(value: &str) -> Result<Self, Malformed> {
                Self::parse(stringify!($type), value)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Malformed;
            fn try_from(value: String) -> Result<Self, Malformed> {
                value.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

fn is_slug(bytes: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    bytes.iter().all(inner) && bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-')
}

fn is_reason(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

fn is_code(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_')
}

name!(
    /// Id of an organisation of the consortium.
    OrgId, MAX_NAME, "1 to 32 characters of a-z, 0-9 and inner hyphens", is_slug
);
name!(
    /// Id of a data source.
    SourceId, MAX_NAME, "1 to 32 characters of a-z, 0-9 and inner hyphens", is_slug
);
name!(
    /// Code of a catalogue item.
    ItemCode, MAX_NAME, "1 to 32 characters of a-z, 0-9 and _", is_code
);
name!(
    /// Code of a group of catalogue items.
    GroupCode, MAX_NAME, "1 to 32 characters of a-z, 0-9 and _", is_code
);
name!(
    /// Name of a field of a catalogue item.
    FieldName, MAX_NAME, "1 to 32 characters of a-z, 0-9 and _", is_code
);
name!(
    /// Code of a catalogue purpose.
    PurposeCode, MAX_NAME, "1 to 32 characters of a-z, 0-9 and _", is_code
);

name!(
    /// A reason code of docs/errors.md.
    ReasonCode, MAX_REASON, "1 to 64 of A-Z, 0-9 and _", is_reason
);

macro_rules! digest_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
        )]
        pub struct $type(pub Digest);

        impl $type {
            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            /// The bytes as a wire field.
            pub fn to_vec(&self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            /// Parses a field of exactly 32 bytes.
            ///
            /// # Errors
            /// When it is empty or has another length.
            pub fn parse(field: &str, bytes: &[u8]) -> Result<Self, Malformed> {
                Ok(Self(Digest::from(fixed::<32>(field, bytes)?)))
            }

            /// Parses a field of 32 bytes that may be left empty.
            ///
            /// # Errors
            /// When it has any other length.
            pub fn parse_optional(field: &str, bytes: &[u8]) -> Result<Option<Self>, Malformed> {
                if bytes.is_empty() { Ok(None) } else { Self::parse(field, bytes).map(Some) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, out)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($type), "({})"), self.0)
            }
        }

        impl FromStr for $type {
            type Err = Malformed;
            fn from_str(hex: &str) -> Result<Self, Malformed> {
                hex.parse().map(Self).map_err(|_| {
                    Malformed::new(stringify!($type), Problem::Format("64 hexadecimal digits"))
                })
            }
        }
    };
}

digest_id!(
    /// Digest of the genesis: which chain this is.
    ChainId
);
digest_id!(
    /// Id of a transaction.
    TxId
);
digest_id!(
    /// Pseudonym of an information subject: HMAC-SM3 under the consortium's pseudonym key.
    Subject
);
digest_id!(
    /// Pseudonym of an institution's user.
    UserId
);
digest_id!(
    /// Id of a consent grant: that of the transaction that requested or granted it.
    GrantId
);
digest_id!(
    /// Id of an order: that of the transaction that placed it.
    OrderId
);
digest_id!(
    /// Id of an objection: that of the transaction that filed it.
    ObjectionId
);
digest_id!(
    /// SHA-256 fingerprint of a TLS certificate's DER encoding.
    Fingerprint
);
digest_id!(
    /// Hash of a block header.
    HeaderHash
);

/// Height of a block, from 1; 0 stands for the genesis.
pub type Height = u64;

/// Milliseconds since 1970-01-01 UTC.
pub type TimeMs = u64;

impl From<TxId> for OrderId {
    fn from(id: TxId) -> Self {
        Self(id.0)
    }
}

impl From<TxId> for ObjectionId {
    fn from(id: TxId) -> Self {
        Self(id.0)
    }
}

impl From<TxId> for GrantId {
    fn from(id: TxId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_their_form_are_refused_with_the_reason() {
        let long = "a".repeat(33);
        for (value, code) in [
            ("", Some("FIELD_REQUIRED")),
            (long.as_str(), Some("FIELD_TOO_LONG")),
            ("-a", Some("FIELD_FORMAT")),
            ("a-", Some("FIELD_FORMAT")),
            ("A", Some("FIELD_FORMAT")),
            ("a b", Some("FIELD_FORMAT")),
            ("上海", Some("FIELD_FORMAT")),
            ("91350100m000100y43", Some("USCC_EXPOSED")),
            ("o-91350100m000100y43", Some("USCC_EXPOSED")),
            ("9135-0100-m000-100y-43", Some("USCC_EXPOSED")),
            ("91350100m000100y44", None),
            ("sh-bureau-1", None),
        ] {
            let got = OrgId::parse("org", value)
                .err()
                .map(|fault| fault.problem.code());
            assert_eq!(got, code, "{value:?}");
        }
        assert!(ItemCode::parse("item", "tax_payment").is_ok());
        assert!(ItemCode::parse("item", "tax-payment").is_err());
    }

    #[test]
    fn ids_have_exactly_32_bytes() {
        assert!(TxId::parse("tx", &[7; 32]).is_ok());
        assert_eq!(
            TxId::parse("tx", &[7; 31]).unwrap_err().problem.code(),
            "FIELD_LENGTH"
        );
        assert_eq!(
            TxId::parse("tx", &[]).unwrap_err().problem.code(),
            "FIELD_REQUIRED"
        );
        assert_eq!(TxId::parse_optional("tx", &[]), Ok(None));
    }
}
