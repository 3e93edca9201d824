//! Reading the state, and overlays of writes above it.
//!
//! Not here: where the state is stored, and what its keys mean (`table`).

use std::{collections::BTreeMap, ops::Bound};

/// Writes in ascending order of keys; `None` deletes.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Keys with their values, in the order asked for.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The store failed, or holds what no contract wrote. The node stops: this is never a rejection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read: {0}")]
pub struct StateFault(pub String);

/// A consistent view of the state.
pub trait StateRead {
    /// The value under a key.
    ///
    /// # Errors
    /// When the store fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault>;

    /// Up to `limit` pairs from `start` on and before `end`, ascending.
    ///
    /// # Errors
    /// When the store fails.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault>;

    /// As [`StateRead::scan`], but the last pairs of the range, descending.
    ///
    /// # Errors
    /// When the store fails.
    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault>;

    /// The values under several keys, in their order. A store that can fetch them together does.
    ///
    /// # Errors
    /// When the store fails.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateFault> {
        keys.iter().map(|key| self.get(key)).collect()
    }
}

impl<S: StateRead + ?Sized> StateRead for &S {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        (**self).get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        (**self).scan(start, end, limit)
    }

    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        (**self).scan_back(start, end, limit)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateFault> {
        (**self).get_many(keys)
    }
}

impl StateRead for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        Ok(within(self, start, end)
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        Ok(within(self, start, end)
            .rev()
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

/// The entries of a half-open range, which may be empty or the wrong way round.
fn within<'a, V>(
    map: &'a BTreeMap<Vec<u8>, V>,
    start: &[u8],
    end: &[u8],
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a V)> {
    let end = end.max(start);
    map.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
}

/// Writes above a state, read as one. Overlays stack: a transaction's lies above its block's, so
/// that rejecting it is dropping its overlay.
#[derive(Debug)]
pub struct Overlay<'a, S> {
    base: &'a S,
    writes: Writes,
}

impl<'a, S: StateRead> Overlay<'a, S> {
    /// No writes yet.
    pub fn new(base: &'a S) -> Self {
        Self {
            base,
            writes: Writes::new(),
        }
    }

    /// Those writes above a state.
    pub(crate) fn over(base: &'a S, writes: Writes) -> Self {
        Self { base, writes }
    }

    /// Writes a value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// Takes over the writes of an overlay that lay above this one.
    pub fn merge(&mut self, writes: Writes) {
        if self.writes.is_empty() {
            self.writes = writes;
        } else {
            self.writes.extend(writes);
        }
    }

    /// The writes.
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    /// Base pairs with the overlay's own laid over them.
    ///
    /// The base was asked for as many more as the overlay deletes in the range, so the first
    /// `limit` of what is left are right even where the base's answer was cut off.
    fn laid_over(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        base: impl FnOnce(usize) -> Result<Pairs, StateFault>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateFault> {
        let deleted = within(&self.writes, start, end)
            .filter(|(_, value)| value.is_none())
            .count();
        let mut merged: BTreeMap<_, _> = base(limit.saturating_add(deleted))?.into_iter().collect();
        for (key, value) in within(&self.writes, start, end) {
            match value {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(merged)
    }
}

impl<S: StateRead> StateRead for Overlay<'_, S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        let merged = self.laid_over(start, end, limit, |n| self.base.scan(start, end, n))?;
        Ok(merged.into_iter().take(limit).collect())
    }

    fn scan_back(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Pairs, StateFault> {
        let merged = self.laid_over(start, end, limit, |n| self.base.scan_back(start, end, n))?;
        Ok(merged.into_iter().rev().take(limit).collect())
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateFault> {
        let below: Vec<Vec<u8>> = keys
            .iter()
            .filter(|key| !self.writes.contains_key(*key))
            .cloned()
            .collect();
        let mut below = self.base.get_many(&below)?.into_iter();
        let missing = || StateFault("a store answered fewer keys than it was asked".into());
        keys.iter()
            .map(|key| match self.writes.get(key) {
                Some(value) => Ok(value.clone()),
                None => below.next().ok_or_else(missing),
            })
            .collect()
    }
}
