//! Executing a block: deadlines first, then each transaction in its order, then what governance has
//! decided for the next block, and whether a checkpoint of the state is taken.
//!
//! Each transaction is checked for its chain, its time, replay, its signer and its signature, and
//! only then is its action applied, on an overlay of its own. Not here: what actions do (`apply`),
//! and whether the block itself is right, which is the node's to check.

use xinqiao_crypto::{KeyError, KeyId, PublicKey};
use xinqiao_ledger::{
    genesis::Parameters,
    ids::{ChainId, Height, TimeMs, TxId},
    outcome::{Event, Outcome, Reason},
    tx::{Meta, NotSigned, Tx, Verified},
};

use crate::{
    apply, checkpoints, deadline, governance,
    rejection::{Rejection, Stop, ensure},
    replay,
    signer::{self, Signer},
    state::{Overlay, StateFault, StateRead, Writes},
};

/// The block that transactions are executed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockContext {
    /// The chain.
    pub chain: ChainId,
    /// The block's height.
    pub height: Height,
    /// The block's time: the only clock that contracts know.
    pub time: TimeMs,
    /// The limits in force.
    pub parameters: Parameters,
}

/// A transaction of a block.
#[derive(Debug, Clone)]
pub enum Candidate {
    /// Its signature was checked before.
    Verified(Verified<Tx>),
    /// It was not: the verifier is asked once the signer's key is known.
    Unverified(Tx),
}

impl Candidate {
    /// The transaction, verified or not.
    pub fn tx(&self) -> &Tx {
        match self {
            Self::Verified(tx) => tx,
            Self::Unverified(tx) => tx,
        }
    }
}

/// Checks signatures, with whatever tables of known keys the caller keeps.
pub trait VerifyTx {
    /// Checks a transaction's signature under the key that its signer id names, given as the ledger
    /// keeps it: it was found to be a point when it was registered, and whoever has it prepared need
    /// not decompress it for every transaction.
    ///
    /// # Errors
    /// When the key did not sign it, or is none.
    fn verify(&self, tx: Tx, key: &[u8; PublicKey::LEN]) -> Result<Verified<Tx>, NotVerified>;
}

/// Why a transaction is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// The key did not sign it.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// What the ledger keeps is no key: no contract wrote it.
    #[error(transparent)]
    NoKey(#[from] KeyError),
}

impl From<NotVerified> for Stop {
    fn from(fault: NotVerified) -> Self {
        match fault {
            NotVerified::NotSigned(NotSigned) => Reason::SignatureInvalid.into(),
            NotVerified::NoKey(fault) => StateFault::from(fault).into(),
        }
    }
}

impl From<KeyError> for StateFault {
    fn from(fault: KeyError) -> Self {
        Self(format!("a key on the ledger is none: {fault}"))
    }
}

/// What a block came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// The block's own outcome (deadlines that fired, proposals that were carried out), then one for
    /// each transaction.
    pub outcomes: Vec<Outcome>,
    /// Their encodings, which the outcome root is over.
    pub encoded: Vec<Vec<u8>>,
    /// What changes in the state.
    pub writes: Writes,
}

/// Why a transaction is not admitted to the mempool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// It would be rejected.
    #[error("{}", .0.code())]
    Refused(Reason),
    /// The store failed: the node stops.
    #[error(transparent)]
    Fault(#[from] StateFault),
}

/// One step of a block: a transaction, or the deadlines that fire before all transactions.
pub(crate) struct Step<'s, 'd, S> {
    pub(crate) draft: &'s mut Overlay<'d, S>,
    pub(crate) block: &'s BlockContext,
    /// The transaction; none when deadlines fire.
    pub(crate) tx: Option<TxId>,
    pub(crate) events: Vec<Event>,
}

/// A transaction's place and signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) tx: TxId,
    /// The key that signed it.
    pub(crate) key: KeyId,
    /// Index within the block.
    pub(crate) index: u32,
    pub(crate) signer: Signer,
}

/// Executes a block on a state.
///
/// # Errors
/// Only when the store fails; then nothing was written, and the node must stop.
pub fn execute_block<S: StateRead>(
    state: &S,
    block: &BlockContext,
    txs: Vec<Candidate>,
    verifier: &impl VerifyTx,
) -> Result<Executed, StateFault> {
    let mut draft = Overlay::new(state);
    replay::forget(&mut draft, block.height)?;
    let mut own = deadline::fire(&mut draft, block)?;
    // The block's own outcome comes first and is complete last.
    let mut encoded = vec![Vec::new()];
    let mut outcomes = vec![Outcome::Applied(Vec::new())];
    encoded.reserve(txs.len());
    outcomes.reserve(txs.len());
    for (index, candidate) in (0..).zip(txs) {
        let id = candidate.tx().meta().id;
        let outcome = match execute_one(&mut draft, block, index, candidate, verifier) {
            Ok(events) => Outcome::Applied(events),
            Err(Stop::Rejected(Rejection { reason, subject })) => {
                Outcome::Rejected { reason, subject }
            }
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        encoded.push(outcome.encode(Some(&id)));
        outcomes.push(outcome);
    }
    own.extend(governance::carry_out_due(&mut draft, block)?);
    checkpoints::take_note(&mut draft, block)?;
    outcomes[0] = Outcome::Applied(own);
    encoded[0] = outcomes[0].encode(None);
    Ok(Executed {
        outcomes,
        encoded,
        writes: draft.into_writes(),
    })
}

fn execute_one<S: StateRead>(
    state: &mut Overlay<'_, S>,
    block: &BlockContext,
    index: u32,
    candidate: Candidate,
    verifier: &impl VerifyTx,
) -> Result<Vec<Event>, Stop> {
    let meta = *candidate.tx().meta();
    check_envelope(state, block, &meta)?;
    let (key, signer) = signer::resolve(state, &meta.signer)?;
    let tx = match candidate {
        Candidate::Verified(tx) => tx,
        Candidate::Unverified(tx) => verifier.verify(tx, signer::verifying_key(&key)?)?,
    };
    // From here on it is authentic: whatever it comes to, it is not ordered again.
    replay::remember(state, &meta);
    let call = Call {
        tx: meta.id,
        key: meta.signer,
        index,
        signer,
    };
    let mut draft = Overlay::new(state);
    let mut step = Step {
        draft: &mut draft,
        block,
        tx: Some(meta.id),
        events: Vec::new(),
    };
    apply::apply(&mut step, &call, tx.action())?;
    let events = step.events;
    let writes = draft.into_writes();
    state.merge(writes);
    Ok(events)
}

/// What can be judged without the signer.
fn check_envelope<S: StateRead>(state: &S, block: &BlockContext, meta: &Meta) -> Result<(), Stop> {
    ensure(meta.chain == block.chain, Reason::ChainIdMismatch, "")?;
    ensure(block.height <= meta.expires_at, Reason::TxExpired, "")?;
    // The window counts from the tip, which is the block before.
    let tip = block.height.saturating_sub(1);
    let last = tip.saturating_add(block.parameters.max_expiry_window);
    ensure(meta.expires_at <= last, Reason::TxExpiryTooFar, "")?;
    ensure(!replay::was_ordered(state, meta)?, Reason::TxReplayed, "")?;
    Ok(())
}

/// Whether a transaction may wait for a block: a cheap look at what needs no signature and no
/// contract. Gives the key that its signature must be checked with. `block` is the next one.
///
/// # Errors
/// With the reason for which it would be rejected, or when the store fails.
pub fn admit<S: StateRead>(
    state: &S,
    block: &BlockContext,
    tx: &Tx,
) -> Result<[u8; PublicKey::LEN], NotAdmitted> {
    let admitted = || {
        check_envelope(state, block, tx.meta())?;
        let (key, signer) = signer::resolve(state, &tx.meta().signer)?;
        let key = *signer::verifying_key(&key)?;
        signer.check_standing()?;
        Ok(key)
    };
    admitted().map_err(|stop| match stop {
        Stop::Rejected(rejection) => NotAdmitted::Refused(rejection.reason),
        Stop::Fault(fault) => NotAdmitted::Fault(fault),
    })
}
