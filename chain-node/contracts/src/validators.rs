//! Which validators are in force, and how they agree: what the next block is certified by.
//!
//! Who may run one is governance's business; a member rotates the key of its own. A change takes effect
//! with the block after the one that made it; the header between names both sets. Every key that a
//! validator ever had stays in a table with the heights at which it was in force: it never comes back,
//! nor becomes anybody's key for anything else, and what it signed can be judged for ever.
//!
//! A frozen member's validator goes on: its votes for blocks say nothing but that they are right, and
//! without them a freeze could take the chain down with it. Who is to leave the set is removed from
//! it by a vote.

use xinqiao_crypto::{DistinguishingId, KeyId, PublicKey};
use xinqiao_ledger::{
    genesis::Genesis,
    governance::is_sponsored,
    ids::{Height, OrgId},
    member::KeyRole,
    outcome::{Event, Reason},
    text::Endpoint,
    validators::{Engine, MAX_VALIDATORS, Validator, ValidatorSet},
    wire,
};

use crate::{
    execute::{Call, Step},
    members,
    record::{MemberState, ValidatorEntry, ValidatorKeyRecord},
    rejection::{Stop, ensure, refuse},
    state::{Overlay, StateFault, StateRead, Writes},
    table::{DISTINGUISHING_ID, ENGINE, VALIDATOR_KEYS, VALIDATORS},
};

/// Those of the genesis.
pub(crate) fn begin<S: StateRead>(draft: &mut Overlay<'_, S>, genesis: &Genesis) {
    DISTINGUISHING_ID.put(draft, &(), &genesis.distinguishing_id);
    ENGINE.put(draft, &(), &genesis.engine);
    for Validator { org, key, endpoint } in &genesis.validators {
        let entry = ValidatorEntry {
            key: *key,
            endpoint: endpoint.clone(),
        };
        VALIDATORS.put(draft, org, &entry);
        let record = ValidatorKeyRecord {
            org: org.clone(),
            key: *key,
            from: 1,
            until: None,
        };
        VALIDATOR_KEYS.put(draft, &key.id(), &record);
    }
}

/// Changes the signer's own validator.
pub(crate) fn rotate<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    key: &PublicKey,
    endpoint: &Endpoint,
) -> Result<(), Stop> {
    let org = &call.signer.member(&[KeyRole::Admin])?.org;
    let current = VALIDATORS
        .get(step.draft, org)?
        .ok_or_else(|| refuse(Reason::ValidatorUnknown, org))?;
    if current.key != *key {
        let least = rotates_from(step, &current.key.id())?;
        ensure(step.block.height >= least, Reason::RotationTooSoon, least)?;
    }
    put(step, org, key, endpoint)
}

/// The first height at which a key may be rotated. Whoever could rotate in every block would give
/// everyone a change of validators to follow for each.
fn rotates_from<S: StateRead>(step: &Step<'_, '_, S>, id: &KeyId) -> Result<Height, StateFault> {
    let record = key_record(step, id)?;
    // Those of the genesis replaced none.
    if record.from <= 1 {
        return Ok(0);
    }
    let blocks = step.block.parameters.min_validator_key_blocks;
    Ok((record.from - 1).saturating_add(blocks))
}

fn key_record<S: StateRead>(
    step: &Step<'_, '_, S>,
    id: &KeyId,
) -> Result<ValidatorKeyRecord, StateFault> {
    let record = VALIDATOR_KEYS.get(step.draft, id)?;
    record.ok_or_else(|| StateFault(format!("validator key {id} is not in its table")))
}

/// Adds a member's validator, or changes the one that it has.
pub(crate) fn set<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    Validator { org, key, endpoint }: &Validator,
) -> Result<(), Stop> {
    let entry = members::entry(step.draft, org)?;
    ensure(!is_sponsored(entry.kind), Reason::RoleDenied, org)?;
    let active = entry.state == MemberState::Active;
    ensure(active, Reason::MemberStateConflict, org)?;
    put(step, org, key, endpoint)
}

/// Removes the validator of a member.
pub(crate) fn remove<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId) -> Result<(), Stop> {
    let entry = VALIDATORS
        .get(step.draft, org)?
        .ok_or_else(|| refuse(Reason::ValidatorUnknown, org))?;
    retire(step, &entry.key.id())?;
    VALIDATORS.delete(step.draft, org);
    changed(step, org, None);
    Ok(())
}

/// Chooses how validators agree. Whether there are enough of them is looked at in the end.
pub(crate) fn set_engine<S: StateRead>(step: &mut Step<'_, '_, S>, engine: Engine) {
    ENGINE.put(step.draft, &(), &engine);
    step.events.push(Event::EngineChanged(wire::EngineChanged {
        engine: engine.to_wire(),
    }));
}

/// Whether the engine can work with the validators that there are.
pub(crate) fn check<S: StateRead>(state: &S) -> Result<(), Stop> {
    let engine = engine(state)?;
    let count = VALIDATORS.first(state, MAX_VALIDATORS + 1)?.len();
    let most = match engine {
        Engine::Solo => 1,
        Engine::Raft | Engine::Bft => MAX_VALIDATORS,
    };
    let fits = (engine.least()..=most).contains(&count);
    ensure(fits, Reason::ValidatorCount, count)?;
    Ok(())
}

/// Whether a member runs a validator.
pub(crate) fn runs_one<S: StateRead>(state: &S, org: &OrgId) -> Result<bool, StateFault> {
    VALIDATORS.has(state, org)
}

/// Writes a member's validator; a key that it did not have must be nobody's and never have been.
fn put<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    org: &OrgId,
    key: &PublicKey,
    endpoint: &Endpoint,
) -> Result<(), Stop> {
    let id = key.id();
    let before = VALIDATORS.get(step.draft, org)?.map(|entry| entry.key);
    if before != Some(*key) {
        members::check_new_key(step.draft, &id)?;
        if let Some(before) = before {
            retire(step, &before.id())?;
        }
        let record = ValidatorKeyRecord {
            org: org.clone(),
            key: *key,
            from: step.block.height.saturating_add(1),
            until: None,
        };
        VALIDATOR_KEYS.put(step.draft, &id, &record);
    }
    let entry = ValidatorEntry {
        key: *key,
        endpoint: endpoint.clone(),
    };
    VALIDATORS.put(step.draft, org, &entry);
    changed(step, org, Some(&id));
    Ok(())
}

/// Ends a key's time with this block: it may still certify it.
fn retire<S: StateRead>(step: &mut Step<'_, '_, S>, id: &KeyId) -> Result<(), StateFault> {
    let mut record = key_record(step, id)?;
    record.until = Some(step.block.height);
    VALIDATOR_KEYS.put(step.draft, id, &record);
    Ok(())
}

fn changed<S: StateRead>(step: &mut Step<'_, '_, S>, org: &OrgId, key: Option<&KeyId>) {
    let changed = wire::ValidatorChanged {
        org: org.to_string(),
        key_id: key.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
    };
    step.events.push(Event::ValidatorChanged(changed));
}

/// How validators agree from the next block on.
///
/// # Errors
/// When the store fails.
pub fn engine<S: StateRead>(state: &S) -> Result<Engine, StateFault> {
    (ENGINE.get(state, &())?).ok_or_else(|| StateFault("the state names no engine".into()))
}

/// The validators from the next block on, by ascending member.
///
/// # Errors
/// When the store fails.
pub fn validators<S: StateRead>(state: &S) -> Result<Vec<Validator>, StateFault> {
    let entries = VALIDATORS.first(state, MAX_VALIDATORS + 1)?;
    let validator = |(org, ValidatorEntry { key, endpoint })| Validator { org, key, endpoint };
    Ok(entries.into_iter().map(validator).collect())
}

/// The validators after a block that comes to these writes, if those that certify change.
///
/// # Errors
/// When the store fails, or the state holds what is no set of validators.
pub fn next_validators<S: StateRead>(
    state: &S,
    writes: &Writes,
    id: &DistinguishingId,
) -> Result<Option<ValidatorSet>, StateFault> {
    if !VALIDATORS.is_in(writes) && !ENGINE.is_in(writes) {
        return Ok(None);
    }
    let (before, after) = (
        set_of(state, id)?,
        set_of(&Overlay::over(state, writes.clone()), id)?,
    );
    // Another endpoint makes no other set.
    Ok(Some(after).filter(|after| after.hash() != before.hash()))
}

fn set_of<S: StateRead>(state: &S, id: &DistinguishingId) -> Result<ValidatorSet, StateFault> {
    let keys = validators(state)?.into_iter().map(|one| one.key);
    ValidatorSet::new(engine(state)?, keys, id.clone())
        .map_err(|fault| StateFault(fault.to_string()))
}
