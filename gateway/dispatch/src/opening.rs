//! Opening one delivered part: from a receipt and an envelope to items that are proven to be what the
//! source had registered before the query (DESIGN promise 5).
//!
//! Each step takes the proof of the one before, so none can be skipped: receipt checked
//! (`ledger::receipt::Proven`), delivery recorded ([`Recorded`]), item verified ([`VerifiedItem`]).

use xinqiao_crypto::{Digest, Open, sm3};
use xinqiao_ledger::{
    action::{Action, Delivery},
    ids::{ChainId, ItemCode},
    item::leaf,
    order::{OrderPart, PartRef, Verdict},
    outcome::{Event, Outcome},
    receipt::{Path, Proven},
    wire,
};

use crate::envelope::{SealedItem, SealedReport, aad};

/// A delivery that is recorded on the ledger as delivered, with the objections that the ledger says stood against
/// its items then: [`recorded`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    delivery: Delivery,
    objections: Vec<wire::ObjectionMark>,
}

impl Recorded {
    /// What was recorded.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }
}

/// A receipt is not that of the delivery asked for. Nothing is opened then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    /// It is of another transaction.
    #[error("the receipt is not that of this part's delivery")]
    OtherTransaction,
    /// The ledger did not record the part as delivered.
    #[error("the ledger did not record the part as delivered")]
    NotDelivered,
}

/// The delivery of `part` that this receipt proves.
///
/// # Errors
/// When the transaction is another one, or did not come to a delivery (consent was gone by then).
pub fn recorded(proven: &Proven, part: PartRef) -> Result<Recorded, NotRecorded> {
    let Action::DeliverPart(delivery) = proven.tx().action() else {
        return Err(NotRecorded::OtherTransaction);
    };
    if delivery.part != part {
        return Err(NotRecorded::OtherTransaction);
    }
    let Outcome::Applied(events) = proven.outcome() else {
        return Err(NotRecorded::NotDelivered);
    };
    let delivered = events.iter().find_map(|event| match event {
        Event::PartChanged(change)
            if change.order == part.order.as_bytes()
                && change.part == u32::from(part.part)
                && change.status() == wire::PartStatus::Delivered =>
        {
            Some(change)
        }
        _ => None,
    });
    let change = delivered.ok_or(NotRecorded::NotDelivered)?;
    Ok(Recorded {
        delivery: delivery.clone(),
        objections: change.objections.clone(),
    })
}

/// An item whose path was followed to the registered root: [`open`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedItem {
    code: ItemCode,
    json: String,
    salt: Digest,
    path: Path,
    objections: Vec<wire::ObjectionMark>,
}

impl VerifiedItem {
    /// The item's code.
    pub fn code(&self) -> &ItemCode {
        &self.code
    }

    /// The item in canonical JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Its salt.
    pub fn salt(&self) -> &Digest {
        &self.salt
    }

    /// From its leaf to the registered root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Objections that stood against it when its delivery was recorded, as the ledger says.
    pub fn objections(&self) -> &[wire::ObjectionMark] {
        &self.objections
    }
}

/// What was delivered is not what was recorded or registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Broken {
    /// The verdict to record. Never [`Verdict::Confirmed`].
    pub verdict: Verdict,
    /// What is wrong; it names no content.
    pub why: String,
}

fn broken(verdict: Verdict, why: impl Into<String>) -> Broken {
    Broken {
        verdict,
        why: why.into(),
    }
}

/// Opens an envelope and follows every item to the root that the order fixed.
///
/// # Errors
/// With the first thing that is wrong, and the verdict that it comes to.
pub fn open(
    key: &impl Open,
    chain: &ChainId,
    fixed: &OrderPart,
    recorded: &Recorded,
    sealed: &[u8],
) -> Result<Vec<VerifiedItem>, Broken> {
    let Recorded {
        delivery,
        objections,
    } = recorded;
    if sealed.len() as u64 != delivery.ciphertext_length
        || sm3(sealed) != delivery.ciphertext_digest
    {
        let why = "the envelope is not the one whose digest was recorded";
        return Err(broken(Verdict::CiphertextMismatch, why));
    }
    let seal_broken = |why: String| broken(Verdict::SealBroken, why);
    let opened = key
        .open(&aad(chain, &delivery.part), sealed)
        .map_err(|error| seal_broken(error.to_string()))?;
    let report = SealedReport::parse(&opened).map_err(|error| seal_broken(error.to_string()))?;
    if report.part != delivery.part {
        return Err(seal_broken("the report answers another part".into()));
    }
    if !report
        .items
        .iter()
        .map(|item| &item.code)
        .eq(&delivery.items)
    {
        return Err(broken(
            Verdict::ItemMismatch,
            "the report has other items than were recorded",
        ));
    }
    report
        .items
        .into_iter()
        .map(|item| verified(item, fixed, objections))
        .collect()
}

fn verified(
    item: SealedItem,
    fixed: &OrderPart,
    objections: &[wire::ObjectionMark],
) -> Result<VerifiedItem, Broken> {
    let mismatch = |why: &str| broken(Verdict::ItemMismatch, format!("{}: {why}", item.code));
    if fixed.items.binary_search(&item.code).is_err() {
        return Err(mismatch("was not asked for"));
    }
    let leaf = leaf(&item.code, &item.salt, &item.canonical);
    if !item.path.leads(leaf, fixed.registered_root) {
        return Err(mismatch("does not lead to the registered root"));
    }
    let json = match std::str::from_utf8(&item.canonical) {
        Ok(text) => text.to_owned(),
        Err(_) => return Err(mismatch("is not UTF-8")),
    };
    let touching = (objections.iter()).filter(|mark| mark.item == item.code.as_str());
    Ok(VerifiedItem {
        objections: touching.cloned().collect(),
        code: item.code,
        json,
        salt: item.salt,
        path: item.path,
    })
}
