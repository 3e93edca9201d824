//! Executing a block on the state as it is stored: what every node does with every block, and the
//! one place where a header's roots are computed.

use xinqiao_contracts::{
    BlockContext, Candidate, Executed, VerifyTx, Writes, checkpoint_duty, execute_block,
    next_validators, parameters, state_commitment,
};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::{Header, outcome_root, tx_root},
    ids::{Height, TimeMs, TxId},
    outcome::{Outcome, Reason},
    validators::ValidatorSet,
};

use crate::{error::Error, write::Store};

/// Where and by whom a block is formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// Its proposer.
    pub proposer: KeyId,
}

/// A block that was executed on the tip, and is not committed.
#[derive(Debug)]
pub struct Execution {
    header: Header,
    pub(crate) txs: Vec<Vec<u8>>,
    pub(crate) ids: Vec<TxId>,
    outcomes: Vec<Outcome>,
    pub(crate) encoded: Vec<Vec<u8>>,
    pub(crate) writes: Writes,
    /// The validators from the next height on, if this block changes them.
    pub(crate) next_validators: Option<ValidatorSet>,
    /// Whether a checkpoint of the state is taken after it.
    pub(crate) takes_checkpoint: bool,
}

impl Execution {
    /// The header that this node comes to.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The transactions' ids, in order.
    pub fn ids(&self) -> &[TxId] {
        &self.ids
    }

    /// The transactions as they were signed, in order.
    pub fn encoded_txs(&self) -> &[Vec<u8>] {
        &self.txs
    }

    /// What the block came to: its own outcome, then one for each transaction.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether the transaction at that index came to nothing because of what it is, not of what it
    /// says: a copy, a forgery, or too late.
    pub(crate) fn is_weak(&self, index: usize) -> bool {
        matches!(
            self.outcomes.get(index + 1),
            Some(Outcome::Rejected {
                reason: Reason::ChainIdMismatch
                    | Reason::TxExpired
                    | Reason::TxExpiryTooFar
                    | Reason::TxReplayed
                    | Reason::SignerUnknown
                    | Reason::SignatureInvalid,
                ..
            })
        )
    }
}

impl Store {
    /// Executes a block on the tip. It writes nothing. Where the header has to name a checkpoint, it
    /// waits until that has been digested.
    ///
    /// # Errors
    /// When the store fails, or the slot is not the next one.
    pub fn execute(
        &self,
        slot: Slot,
        candidates: Vec<Candidate>,
        verifier: &impl VerifyTx,
    ) -> Result<Execution, Error> {
        let tip = self.tip();
        if slot.height != tip.height + 1 {
            return Err(Error::NotNext("its height is not the next one"));
        }
        let (txs, ids) = candidates
            .iter()
            .map(|candidate| (candidate.tx().encoded().to_vec(), candidate.tx().meta().id))
            .unzip::<_, _, Vec<Vec<u8>>, Vec<_>>();
        let tx_root = tx_root(candidates.iter().map(Candidate::tx));
        let reader = self.reader();
        let view = reader.view();
        let context = BlockContext {
            chain: self.chain(),
            height: slot.height,
            time: slot.time,
            parameters: parameters(&view)?,
        };
        let Executed {
            outcomes,
            encoded,
            writes,
        } = execute_block(&view, &context, candidates, verifier)?;
        let id = self.validators().distinguishing_id();
        let next_validators = next_validators(&view, &writes, id)?;
        let duty = checkpoint_duty(&view, &context.parameters, slot.height)?;
        let header = Header {
            chain: self.chain(),
            height: slot.height,
            parent: tip.hash,
            time: slot.time,
            tx_count: u32::try_from(txs.len()).expect("a block has at most 10,000 transactions"),
            tx_root,
            outcome_root: outcome_root(&encoded),
            state_commitment: state_commitment(&tip.commitment, slot.height, &writes),
            history_root: self.history_root(),
            validator_set: self.validators().hash(),
            next_validators: (next_validators.as_ref())
                .unwrap_or(self.validators())
                .hash(),
            proposer: slot.proposer,
            checkpoint: (duty.names.map(|height| reader.checkpoints.digest(height))).transpose()?,
        };
        Ok(Execution {
            header,
            txs,
            ids,
            outcomes,
            encoded,
            writes,
            next_validators,
            takes_checkpoint: duty.takes,
        })
    }
}
