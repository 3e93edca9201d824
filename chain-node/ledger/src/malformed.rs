//! What can be wrong with a field that came from outside, and where.

use std::fmt;

use xinqiao_crypto::Signature;

use crate::text::bytes_show_code;

/// A field that is not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Malformed {
    /// Path of the field, such as `place_order.items[2]`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It must be given.
    Required,
    /// It has the wrong number of bytes.
    Length {
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        got: usize,
    },
    /// It is longer than it may be.
    TooLong {
        /// The most bytes it may have.
        max: usize,
        /// Bytes it has.
        got: usize,
    },
    /// It has more elements than it may.
    TooMany {
        /// The most elements it may have.
        max: usize,
        /// Elements it has.
        got: usize,
    },
    /// It is outside its range.
    Range {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
        /// The value it has.
        got: u64,
    },
    /// It does not have the form it must have.
    Format(&'static str),
    /// It shows a plain unified social credit code; see [`crate::text`].
    PlainCode,
    /// An enumeration has a value that nobody defined.
    UnknownEnum(i32),
    /// Elements must be ascending, each once.
    NotAscending,
    /// No two elements may be alike.
    Repeated,
    /// The bytes are not the canonical encoding of what they say.
    NotCanonical,
    /// The bytes are no message at all.
    Undecodable(String),
}

impl Problem {
    /// The stable reason code of docs/errors.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Required => "FIELD_REQUIRED",
            Self::Length { .. } => "FIELD_LENGTH",
            Self::TooLong { .. } => "FIELD_TOO_LONG",
            Self::TooMany { .. } => "TOO_MANY_ITEMS",
            Self::Range { .. } => "FIELD_RANGE",
            Self::Format(_) => "FIELD_FORMAT",
            Self::PlainCode => "USCC_EXPOSED",
            Self::UnknownEnum(_) => "ENUM_UNKNOWN",
            Self::NotAscending | Self::Repeated => "DUPLICATE_ITEM",
            Self::NotCanonical => "NOT_CANONICAL",
            Self::Undecodable(_) => "MESSAGE_MALFORMED",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => write!(out, "must be given"),
            Self::Length { expected, got } => write!(out, "must have {expected} bytes, has {got}"),
            Self::TooLong { max, got } => write!(out, "may have at most {max} bytes, has {got}"),
            Self::TooMany { max, got } => write!(out, "may have at most {max} elements, has {got}"),
            Self::Range { min, max, got } => {
                write!(out, "must lie between {min} and {max}, is {got}")
            }
            Self::Format(form) => write!(out, "must be {form}"),
            Self::PlainCode => write!(
                out,
                "shows what reads as a plain unified social credit code, which the ledger never holds"
            ),
            Self::UnknownEnum(value) => write!(out, "has the undefined value {value}"),
            Self::NotAscending => write!(out, "must be in ascending order, each element once"),
            Self::Repeated => write!(out, "must have each element once"),
            Self::NotCanonical => write!(
                out,
                "is not canonical: fields must be known, in the order of their numbers, each once"
            ),
            Self::Undecodable(why) => write!(out, "cannot be decoded: {why}"),
        }
    }
}

impl Malformed {
    /// A fault of one field.
    pub fn new(field: impl Into<String>, problem: Problem) -> Self {
        Self {
            field: field.into(),
            problem,
        }
    }

    /// The same fault, seen from the message that holds the field.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Exactly `N` bytes, which are not a plain code that was filled up to that length.
pub fn fixed<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::new(field, Problem::Required));
    }
    let fixed = <[u8; N]>::try_from(bytes).map_err(|_| {
        Malformed::new(
            field,
            Problem::Length {
                expected: N,
                got: bytes.len(),
            },
        )
    })?;
    if bytes_show_code(&fixed) {
        return Err(Malformed::new(field, Problem::PlainCode));
    }
    Ok(fixed)
}

/// A signature whose two numbers lie where a signature's can.
pub(crate) fn signature(field: &str, bytes: &[u8]) -> Result<Signature, Malformed> {
    let bytes = fixed::<{ Signature::LEN }>(field, bytes)?;
    Signature::try_from(&bytes[..]).map_err(|_| {
        Malformed::new(
            field,
            Problem::Format("two numbers from 1 to the group's order less 1"),
        )
    })
}

/// A number within bounds.
pub(crate) fn ranged<N: Into<u64> + Copy>(
    field: &str,
    value: N,
    min: u64,
    max: u64,
) -> Result<N, Malformed> {
    let got = value.into();
    if (min..=max).contains(&got) {
        Ok(value)
    } else {
        Err(Malformed::new(field, Problem::Range { min, max, got }))
    }
}

/// A message that must be there.
///
/// # Errors
/// When it is not.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, Problem::Required))
}

/// A list whose elements are ascending, each once, `min..=max` of them.
pub(crate) fn ascending<W, T: Ord>(
    field: &str,
    wire: &[W],
    min: usize,
    max: usize,
    parse: impl Fn(&str, &W) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let elements = list(field, wire, min, max, parse)?;
    if elements.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(elements)
    } else {
        Err(Malformed::new(field, Problem::NotAscending))
    }
}

/// A list of `min..=max` elements.
pub fn list<W, T>(
    field: &str,
    wire: &[W],
    min: usize,
    max: usize,
    parse: impl Fn(&str, &W) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    if wire.len() < min {
        return Err(Malformed::new(field, Problem::Required));
    }
    if wire.len() > max {
        return Err(Malformed::new(
            field,
            Problem::TooMany {
                max,
                got: wire.len(),
            },
        ));
    }
    wire.iter()
        .enumerate()
        .map(|(index, element)| parse(&format!("{field}[{index}]"), element))
        .collect()
}
