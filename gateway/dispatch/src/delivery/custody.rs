//! What a data-holding node holds of a report before and after it may leave: bytes that only a proof gets out.
//!
//! Not here: the proof (`FinalDelivery`), and the states that lead to it.

use std::fmt;

use xinqiao_crypto::{ContentKey, Digest, sm3};
use xinqiao_ledger::order::{MAX_SEALED, PartRef, Sealing};

use crate::envelope::{GroupPart, SealedPart};

/// A sealed report that may not leave yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Vec<u8>,
    digest: Digest,
    group: Option<GroupPart>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// The sealed report is empty or longer than a delivery may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed report has 1 to {MAX_SEALED} bytes, not {0}")]
pub struct SealedLength(pub usize);

impl Sealed {
    /// Takes a sealed part into custody.
    ///
    /// # Errors
    /// When it is empty or longer than [`MAX_SEALED`].
    pub fn new(part: SealedPart) -> Result<Self, SealedLength> {
        let SealedPart { bytes, group } = part;
        if bytes.is_empty() || bytes.len() as u64 > MAX_SEALED {
            return Err(SealedLength(bytes.len()));
        }
        let digest = sm3(&bytes);
        Ok(Self {
            bytes,
            digest,
            group,
        })
    }

    /// How it is sealed.
    pub fn sealing(&self) -> Sealing {
        match &self.group {
            None => Sealing::Envelope,
            Some(group) => Sealing::Group(group.mark),
        }
    }

    /// SM3 over the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes and what stays beside them, for the node's own spool and for nothing that leaves the
    /// node: those who answer calls are given a [`super::Releasable`].
    pub fn for_own_spool(&self) -> (&[u8], Option<&GroupPart>) {
        (&self.bytes, self.group.as_ref())
    }

    /// Gives it out, for [`super::Releasable`] alone.
    pub(super) fn released(self, part: PartRef) -> Released {
        let body = self.digest;
        Released {
            ciphertext: self.bytes,
            key: self.group.map(|group| ReleasedKey {
                part,
                body,
                key: group.key,
            }),
        }
    }
}

/// What leaves.
#[derive(Debug)]
pub struct Released {
    /// The sealed report.
    pub ciphertext: Vec<u8>,
    /// Its key, if it is the body of a delivery group.
    pub key: Option<ReleasedKey>,
}

/// The key of a body that is recorded for good: [`super::Releasable::into_released`] alone makes one. It leaves in
/// a message of the delivery group and in no other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedKey {
    part: PartRef,
    body: Digest,
    key: ContentKey,
}

impl ReleasedKey {
    /// Which part it is of.
    pub fn part(&self) -> PartRef {
        self.part
    }

    /// SM3 of the body.
    pub fn body(&self) -> Digest {
        self.body
    }

    /// The key.
    pub fn key(&self) -> &ContentKey {
        &self.key
    }
}
