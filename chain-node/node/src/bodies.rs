//! Bodies of proposed blocks: what a header's hash stands for before anybody has certified it.

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use xinqiao_contracts::{Candidate, StateFault};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::{Header, MAX_BLOCK_BYTES, MAX_BLOCK_TXS, tx_root},
    ids::{HeaderHash, Height},
    malformed::{Malformed, Problem, list},
    tx::{Tx, Verified},
    wire,
};
use xinqiao_store::Execution;

use crate::{intake::Intake, shared::Shared, upstream::verify_ahead};

/// How far above the next height a body is kept: its proposer may be that much ahead.
const AHEAD: Height = 1;

/// Bodies kept of another validator at most: several rounds' for the next height and the one after. Nobody
/// crowds out another's, nor this validator's own, of which there is one for each round that it leads.
const KEPT: usize = 8;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// This node's own store failed.
    #[error(transparent)]
    Store(#[from] StateFault),
}

/// A body, with its transactions verified as far as this node knows their keys.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) header: Header,
    pub(crate) hash: HeaderHash,
    pub(crate) wire: Arc<wire::ProposedBody>,
    candidates: Vec<Candidate>,
}

impl Body {
    /// What was executed here.
    pub(crate) fn built(execution: &Execution) -> Self {
        let header = execution.header().clone();
        Self {
            hash: header.hash(),
            wire: Arc::new(wire::ProposedBody {
                header: header.encode(),
                transactions: execution.encoded_txs().to_vec(),
            }),
            header,
            candidates: Vec::new(),
        }
    }

    /// A body that came from elsewhere; none if it is of a height that this node does not care about.
    pub(crate) fn check(
        shared: &Shared,
        intake: &Intake,
        wire: wire::ProposedBody,
    ) -> Result<Option<Self>, NotTaken> {
        let header = Header::parse(&wire.header)?;
        let tip = shared.tip.borrow().height;
        if header.height <= tip || header.height > tip + 1 + AHEAD || header.chain != shared.chain {
            return Ok(None);
        }
        Self::parsed(shared, Some(intake), header, wire).map(Some)
    }

    /// A body that the log holds.
    pub(crate) fn recovered(shared: &Shared, record: &[u8]) -> Result<Self, NotTaken> {
        let undecodable = |fault: prost::DecodeError| {
            Malformed::new("body", Problem::Undecodable(fault.to_string()))
        };
        let wire = wire::ProposedBody::decode(record).map_err(undecodable)?;
        let header = Header::parse(&wire.header)?;
        Self::parsed(shared, None, header, wire)
    }

    fn parsed(
        shared: &Shared,
        intake: Option<&Intake>,
        header: Header,
        wire: wire::ProposedBody,
    ) -> Result<Self, NotTaken> {
        let bytes: usize = wire.transactions.iter().map(Vec::len).sum();
        if bytes > MAX_BLOCK_BYTES {
            let problem = Problem::TooLong {
                max: MAX_BLOCK_BYTES,
                got: bytes,
            };
            return Err(Malformed::new("transactions", problem).into());
        }
        // What waits here need not even be parsed again.
        let known: Vec<(&Vec<u8>, Option<Verified<Tx>>)> = {
            let mempool = intake.map(Intake::mempool);
            let known = |encoded: &Vec<u8>| mempool.as_ref()?.verified(encoded);
            let all = wire.transactions.iter();
            all.map(|encoded| (encoded, known(encoded))).collect()
        };
        let candidate = |field: &str, (encoded, known): &(&Vec<u8>, Option<Verified<Tx>>)| {
            if let Some(tx) = known {
                return Ok(Candidate::Verified(tx.clone()));
            }
            let tx = Tx::parse(encoded).map_err(|fault| fault.within(field))?;
            Ok(Candidate::Unverified(tx))
        };
        let mut candidates = list("transactions", &known, 0, MAX_BLOCK_TXS, candidate)?;
        if header.tx_count as usize != candidates.len()
            || header.tx_root != tx_root(candidates.iter().map(Candidate::tx))
        {
            let problem = Problem::Format("the transactions that the header's root is over");
            return Err(Malformed::new("transactions", problem).into());
        }
        verify_ahead(shared, &mut candidates)?;
        Ok(Self {
            hash: header.hash(),
            header,
            wire: Arc::new(wire),
            candidates,
        })
    }

    fn kept(self, from: Option<KeyId>) -> Kept {
        Kept {
            from,
            header: self.header,
            wire: self.wire,
            stage: Stage::Waits(self.candidates),
        }
    }

    /// As the log keeps it.
    pub(crate) fn record(&self) -> Vec<u8> {
        self.wire.encode_to_vec()
    }
}

/// A body that is here, and what has become of it.
pub(crate) struct Kept {
    /// Another validator, that it came from.
    from: Option<KeyId>,
    pub(crate) header: Header,
    pub(crate) wire: Arc<wire::ProposedBody>,
    pub(crate) stage: Stage,
}

/// How far a body has got.
pub(crate) enum Stage {
    /// It can be executed.
    Waits(Vec<Candidate>),
    /// It is being executed.
    Executing,
    /// It was executed, and comes to its header.
    Stands(Box<Execution>),
    /// It was executed or looked at, and cannot be stood for.
    Refused,
}

/// The bodies of the heights under way.
#[derive(Default)]
pub(crate) struct Bodies(HashMap<HeaderHash, Kept>);

impl Bodies {
    /// Keeps a body that came from another validator, if it has room left.
    pub(crate) fn keep(&mut self, from: KeyId, body: Body) {
        let from = Some(from);
        let of_it = self.0.values().filter(|kept| kept.from == from).count();
        if of_it < KEPT {
            self.0.entry(body.hash).or_insert_with(|| body.kept(from));
        }
    }

    /// Keeps a body that the log holds: without it what this validator has signed could not be stood for.
    pub(crate) fn keep_logged(&mut self, body: Body) {
        self.0.insert(body.hash, body.kept(None));
    }

    /// Keeps a body that was formed here, by that execution.
    pub(crate) fn keep_own(&mut self, body: Body, execution: Box<Execution>) {
        let hash = body.hash;
        let kept = Kept {
            stage: Stage::Stands(execution),
            ..body.kept(None)
        };
        self.0.insert(hash, kept);
    }

    pub(crate) fn get(&self, hash: &HeaderHash) -> Option<&Kept> {
        self.0.get(hash)
    }

    /// Moves a body on to another stage, and gives the one before.
    pub(crate) fn advance(&mut self, hash: &HeaderHash, stage: Stage) -> Option<Stage> {
        let kept = self.0.get_mut(hash)?;
        Some(std::mem::replace(&mut kept.stage, stage))
    }

    /// Forgets bodies up to a height.
    pub(crate) fn forget(&mut self, upto: Height) {
        self.0.retain(|_, kept| kept.header.height > upto);
    }
}

#[cfg(test)]
mod tests {
    use xinqiao_contracts::testing::key_id;
    use xinqiao_crypto::sm3;
    use xinqiao_ledger::ids::ChainId;

    use super::*;

    /// An empty body that differs from those of all other numbers.
    fn body(number: u64) -> Body {
        let nothing = sm3(b"");
        let header = Header {
            chain: ChainId(nothing),
            height: 1,
            parent: HeaderHash(nothing),
            time: number,
            tx_count: 0,
            tx_root: nothing,
            outcome_root: nothing,
            state_commitment: nothing,
            history_root: nothing,
            validator_set: nothing,
            next_validators: nothing,
            checkpoint: None,
            proposer: key_id("a"),
        };
        Body {
            hash: header.hash(),
            wire: Arc::new(wire::ProposedBody::default()),
            header,
            candidates: Vec::new(),
        }
    }

    #[test]
    fn nobody_crowds_out_another_s_bodies_nor_this_validator_s_own() {
        let mut bodies = Bodies::default();
        let mut kept = |number, from: Option<&str>| {
            let body = body(number);
            let hash = body.hash;
            match from {
                Some(name) => bodies.keep(key_id(name), body),
                None => bodies.keep_logged(body),
            }
            bodies.get(&hash).is_some()
        };
        for number in 0..20 {
            assert!(kept(number, None), "its own {number}");
        }
        for (number, name) in (20..).zip(["a"; 10]) {
            assert_eq!(kept(number, Some(name)), number < 28, "{number} of {name}");
        }
        assert!(kept(30, Some("b")) && kept(31, None));
    }
}
