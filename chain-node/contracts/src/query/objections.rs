//! Objections for nodes to list: those of a subject, against a source, or all whose mark stands, page by page.

use xinqiao_ledger::ids::{ObjectionId, SourceId, Subject};

use super::{MAX_LOOKED_AT, Page};
use crate::{
    objections,
    record::ObjectionRecord,
    state::{StateFault, StateRead},
    table::{OBJECTIONS, OBJECTIONS_BY_INDEX},
};

/// Which objections are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectionFilter {
    /// Only those of this subject.
    pub subject: Option<Subject>,
    /// Only those against this source.
    pub source: Option<SourceId>,
    /// Only those whose mark stands.
    pub standing: bool,
}

impl ObjectionFilter {
    fn matches(&self, record: &ObjectionRecord) -> bool {
        self.subject
            .is_none_or(|subject| subject == record.filed.subject)
            && (self.source.as_ref()).is_none_or(|source| *source == record.filed.source)
            && (!self.standing || record.state.is_standing())
    }
}

/// An objection.
///
/// # Errors
/// When the store fails.
pub fn objection<S: StateRead>(
    state: &S,
    id: &ObjectionId,
) -> Result<Option<ObjectionRecord>, StateFault> {
    OBJECTIONS.get(state, id)
}

/// Objections whose number lies before one (0 for the newest), newest first: those that match among at most
/// [`MAX_LOOKED_AT`].
///
/// # Errors
/// When the store fails.
pub fn objections<S: StateRead>(
    state: &S,
    filter: &ObjectionFilter,
    before_index: u64,
    limit: usize,
) -> Result<Page<ObjectionRecord>, StateFault> {
    let before = if before_index == 0 {
        u64::MAX
    } else {
        before_index
    };
    let mut entries = Vec::new();
    let looked_at = OBJECTIONS_BY_INDEX.before(state, &before, MAX_LOOKED_AT)?;
    let more = looked_at.len() == MAX_LOOKED_AT;
    for (index, id) in &looked_at {
        let record = objections::kept(state, id)?;
        if filter.matches(&record) {
            entries.push(record);
        }
        if entries.len() == limit {
            return Ok(Page {
                entries,
                next_before_index: *index,
            });
        }
    }
    Ok(Page {
        entries,
        next_before_index: match looked_at.last() {
            Some((index, _)) if more => *index,
            _ => 0,
        },
    })
}
