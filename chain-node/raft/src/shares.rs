//! The voters' signatures over agreed headers, for the height under way and the next few.

use std::collections::BTreeMap;

use xinqiao_crypto::{Digest, KeyId, Signature};
use xinqiao_ledger::{
    ids::{HeaderHash, Height},
    vote::{Equivocation, Statement, VoteKind},
};

use crate::message::Share;

/// How far ahead shares are kept. A node that is further behind catches up by blocks.
const HEIGHTS_AHEAD: Height = 2;

/// One share a validator and height.
#[derive(Debug, Default)]
pub(crate) struct Shares(BTreeMap<(Height, KeyId), (HeaderHash, Signature, Digest)>);

impl Shares {
    /// Another height is under way.
    pub(crate) fn begin(&mut self, height: Height) {
        self.0.retain(|(at, _), _| *at >= height);
    }

    /// Keeps a share that was checked against a validator set, if it is near. If its author signed
    /// another header before, says so: nobody does here who only crashes.
    pub(crate) fn keep(
        &mut self,
        height: Height,
        share: &Share,
        validators: Digest,
    ) -> Option<Equivocation> {
        if share.height < height || share.height > height.saturating_add(HEIGHTS_AHEAD) {
            return None;
        }
        let key = (share.height, share.validator);
        let new = (share.header, share.signature, validators);
        let old = *self.0.entry(key).or_insert(new);
        if old.2 != validators {
            // One of the two was checked against a set that was not in force.
            self.0.insert(key, new);
            return None;
        }
        if old.0 == share.header {
            return None;
        }
        let statement = |header| Statement::Vote {
            kind: VoteKind::Precommit,
            header: Some(header),
        };
        Some(Equivocation::new(
            share.validator,
            share.height,
            0,
            (statement(old.0), old.1),
            (statement(share.header), share.signature),
        ))
    }

    /// The signatures over a header by validators of that set, by ascending key id.
    pub(crate) fn over(
        &self,
        height: Height,
        header: &HeaderHash,
        validators: Digest,
    ) -> Vec<(KeyId, Signature)> {
        let all = self.0.iter();
        let of = all.filter(|((at, _), (over, _, set))| {
            *at == height && over == header && *set == validators
        });
        of.map(|((_, who), (_, signature, _))| (*who, *signature))
            .collect()
    }
}
