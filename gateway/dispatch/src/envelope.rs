//! What is inside a sealed report, and what ties an envelope to its order.
//!
//! The data-holding node encodes a [`SealedReport`] and seals it with [`aad`]; the institution's agent
//! opens it with the same [`aad`] and parses it. Sealing itself is `xinqiao_crypto::seal`; whether the
//! items lead to the registered root is for [`crate::query`].

use std::fmt;

use prost::Message;
use xinqiao_crypto::{ContentKey, Digest};
use xinqiao_ledger::{
    group::EpochMark,
    ids::{ChainId, ItemCode},
    malformed::{Malformed, Problem},
    order::PartRef,
    receipt::Path,
    wire,
};
use zeroize::Zeroizing;

/// The most items of one sealed report.
pub const MAX_ITEMS: usize = 64;

/// The most bytes of one item's canonical JSON: 4 MiB.
pub const MAX_ITEM_BYTES: usize = 4 << 20;

/// Opens the associated data of every sealed report.
const TAG: &[u8; 24] = b"xinqiao/sealed-report/v1";

/// The associated data of one part's envelope: tag (24) ‖ chain id (32) ‖ order id (32) ‖ part (1).
///
/// The recipient's key id is bound as well: it stands in the envelope's own header, which is
/// associated data too.
pub fn aad(chain: &ChainId, part: &PartRef) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TAG.len() + 65);
    bytes.extend_from_slice(TAG);
    bytes.extend_from_slice(chain.as_bytes());
    bytes.extend_from_slice(part.order.as_bytes());
    bytes.push(part.part);
    bytes
}

/// A sealed part: what is spooled, and what the delivery's transaction says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// The bytes whose digest and length are recorded, and which leave when that is final.
    pub bytes: Vec<u8>,
    /// What stays beside them; none for a digital envelope.
    pub group: Option<GroupPart>,
}

/// What the body of a delivery group has beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPart {
    /// The body's key.
    pub key: ContentKey,
    /// The epoch that it was sealed in; the transaction names it.
    pub mark: EpochMark,
}

impl SealedPart {
    /// A digital envelope, which has its key inside.
    pub fn envelope(bytes: Vec<u8>) -> Self {
        Self { bytes, group: None }
    }
}

/// One item with what proves that its source had registered it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedItem {
    /// The item's code.
    pub code: ItemCode,
    /// The item in canonical JSON (RFC 8785). At most [`MAX_ITEM_BYTES`].
    pub canonical: Vec<u8>,
    /// Its salt.
    pub salt: Digest,
    /// From its leaf to the registered root.
    pub path: Path,
}

impl fmt::Debug for SealedItem {
    /// Without the content and the salt: neither may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedItem")
            .field("code", &self.code)
            .field("bytes", &self.canonical.len())
            .finish_non_exhaustive()
    }
}

/// The plain content of one delivered part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedReport {
    /// The part that it answers.
    pub part: PartRef,
    /// The items, in ascending order of codes. 1 to [`MAX_ITEMS`].
    pub items: Vec<SealedItem>,
}

impl SealedReport {
    /// The bytes that are sealed; they are zeroed when dropped.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let wire = wire::SealedReport {
            version: 1,
            order: self.part.order.to_vec(),
            part: u32::from(self.part.part),
            items: self
                .items
                .iter()
                .map(|item| wire::SealedItem {
                    item: item.code.to_string(),
                    canonical_json: item.canonical.clone(),
                    salt: item.salt.as_bytes().to_vec(),
                    path: Some(wire::MerklePath::from(&item.path)),
                })
                .collect(),
        };
        Zeroizing::new(wire.encode_to_vec())
    }

    /// Parses opened bytes.
    ///
    /// # Errors
    /// When they are no sealed report, break a limit, or hold an item twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire = wire::SealedReport::decode(bytes).map_err(|fault| {
            Malformed::new("sealed_report", Problem::Undecodable(fault.to_string()))
        })?;
        if wire.version != 1 {
            return Err(range("version", u64::from(wire.version), 1, 1));
        }
        let part = PartRef::parse(&wire.order, wire.part)?;
        if wire.items.is_empty() {
            return Err(Malformed::new("items", Problem::Required));
        }
        if wire.items.len() > MAX_ITEMS {
            let problem = Problem::TooMany {
                max: MAX_ITEMS,
                got: wire.items.len(),
            };
            return Err(Malformed::new("items", problem));
        }
        let items: Vec<SealedItem> = wire
            .items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                sealed_item(item).map_err(|fault| fault.within(&format!("items[{index}]")))
            })
            .collect::<Result<_, _>>()?;
        if !items.windows(2).all(|pair| pair[0].code < pair[1].code) {
            return Err(Malformed::new("items", Problem::NotAscending));
        }
        Ok(Self { part, items })
    }
}

fn sealed_item(wire: wire::SealedItem) -> Result<SealedItem, Malformed> {
    if wire.canonical_json.len() > MAX_ITEM_BYTES {
        let problem = Problem::TooLong {
            max: MAX_ITEM_BYTES,
            got: wire.canonical_json.len(),
        };
        return Err(Malformed::new("canonical_json", problem));
    }
    let salt = Digest::try_from(wire.salt.as_slice()).map_err(|_| {
        let problem = Problem::Length {
            expected: Digest::LEN,
            got: wire.salt.len(),
        };
        Malformed::new("salt", problem)
    })?;
    let path = wire
        .path
        .as_ref()
        .ok_or_else(|| Malformed::new("path", Problem::Required))?;
    Ok(SealedItem {
        code: ItemCode::parse("item", &wire.item)?,
        canonical: wire.canonical_json,
        salt,
        path: Path::try_from(path).map_err(|fault| fault.within("path"))?,
    })
}

fn range(field: &str, got: u64, min: u64, max: u64) -> Malformed {
    Malformed::new(field, Problem::Range { min, max, got })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_crypto::sm3;
    use xinqiao_ledger::ids::OrderId;

    fn part() -> PartRef {
        PartRef {
            order: OrderId(sm3(b"order")),
            part: 5,
        }
    }

    fn item(code: &str) -> SealedItem {
        SealedItem {
            code: code.parse().unwrap(),
            canonical: br#"{"a":1}"#.to_vec(),
            salt: sm3(b"salt"),
            path: Path {
                index: 0,
                size: 2,
                siblings: vec![sm3(b"sibling")],
            },
        }
    }

    #[test]
    fn the_associated_data_keeps_its_golden_form() {
        let chain = ChainId(sm3(b"chain"));
        let got = aad(&chain, &part());
        let golden = [
            &b"xinqiao/sealed-report/v1"[..],
            chain.as_bytes(),
            part().order.as_bytes(),
            &[5],
        ]
        .concat();
        assert_eq!(got, golden);
        assert_eq!(got.len(), 89);
    }

    #[test]
    fn a_sealed_report_reads_back_and_keeps_its_golden_bytes() {
        let report = SealedReport {
            part: part(),
            items: vec![item("a_item"), item("b_item")],
        };
        let bytes = report.encode();
        assert_eq!(SealedReport::parse(&bytes), Ok(report));
        assert_eq!(sm3(&bytes).to_string(), GOLDEN);
    }

    const GOLDEN: &str = "eb3fa245a2a1cd3ddb698f05bbc29fd456f09fb3f263439c22d392c6ce222d98";

    fn check(change: impl Fn(&mut wire::SealedReport), field: &str, code: &str) {
        let report = SealedReport {
            part: part(),
            items: vec![item("a_item"), item("b_item")],
        };
        let mut wire = wire::SealedReport::decode(report.encode().as_slice()).unwrap();
        change(&mut wire);
        let fault = SealedReport::parse(&wire.encode_to_vec()).unwrap_err();
        assert_eq!((fault.field.as_str(), fault.problem.code()), (field, code));
    }

    #[test]
    fn what_is_no_report_is_refused_with_the_field() {
        check(|w| w.version = 2, "version", "FIELD_RANGE");
        check(|w| w.order.clear(), "order", "FIELD_REQUIRED");
        check(|w| w.part = 64, "part", "FIELD_RANGE");
        check(|w| w.items.clear(), "items", "FIELD_REQUIRED");
        check(|w| w.items.swap(0, 1), "items", "DUPLICATE_ITEM");
        check(
            |w| w.items = vec![w.items[0].clone(); 65],
            "items",
            "TOO_MANY_ITEMS",
        );
        check(
            |w| w.items[1].item = "B".into(),
            "items[1].item",
            "FIELD_FORMAT",
        );
        check(
            |w| w.items[1].salt = vec![0; 31],
            "items[1].salt",
            "FIELD_LENGTH",
        );
        check(
            |w| w.items[0].path = None,
            "items[0].path",
            "FIELD_REQUIRED",
        );
        check(
            |w| w.items[0].canonical_json = vec![b'1'; MAX_ITEM_BYTES + 1],
            "items[0].canonical_json",
            "FIELD_TOO_LONG",
        );
        assert_eq!(
            SealedReport::parse(b"\xff").unwrap_err().problem.code(),
            "MESSAGE_MALFORMED"
        );
    }
}
