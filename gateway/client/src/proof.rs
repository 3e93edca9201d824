//! Checking by oneself that an item is what its source had registered: from the item's bytes to its leaf, and
//! along the path to the root. That the root stands on the ledger since that height is for the agent to check,
//! which does it against a certified receipt, or for any node to be asked (`xinqiao order show`).

use xinqiao_crypto::Digest;
use xinqiao_ledger::{ids::ItemCode, item, receipt::Path, wire};

use crate::error::Error;

/// What proves one item of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The item's salt.
    pub salt: Digest,
    /// From the item's leaf to the root.
    pub path: Path,
    /// The root that the source registered.
    pub root: Digest,
    /// Height of the block in which it did.
    pub registered_at_height: u64,
}

impl Proof {
    /// Reads a proof as it travels.
    ///
    /// # Errors
    /// [`Error::Broken`] when a digest has not 32 bytes, or the path is missing or too long.
    pub fn read(wire: &wire::ItemProof) -> Result<Self, Error> {
        let digest = |field: &str, bytes: &[u8]| {
            Digest::try_from(bytes).map_err(|_| Error::unreadable(&format!("{field} of a proof")))
        };
        let path =
            (wire.path.as_ref()).ok_or_else(|| Error::unreadable("a proof without a path"))?;
        Ok(Self {
            salt: digest("salt", &wire.salt)?,
            path: Path::try_from(path)
                .map_err(|fault| Error::unreadable(&format!("path of a proof: {fault}")))?,
            root: digest("root", &wire.root)?,
            registered_at_height: wire.registered_at_height,
        })
    }

    /// Follows the path from an item, given by its code and its canonical JSON as it came, to the root.
    ///
    /// # Errors
    /// [`Error::Broken`] with ITEM_MISMATCH when it does not lead there.
    pub fn check(&self, item: &str, json: &str) -> Result<(), Error> {
        let code: ItemCode = (item.parse()).map_err(|_| Error::unreadable("code of an item"))?;
        let leaf = item::leaf(&code, &self.salt, json.as_bytes());
        if self.path.leads(leaf, self.root) {
            Ok(())
        } else {
            Err(Error::mismatch(item))
        }
    }
}
