//! What an observer shows: records of the contracts with the names that people know things by.

use std::collections::BTreeMap;

use xinqiao_contracts::{
    StateFault, StateRead, query,
    record::{AccessOutcome, AccessRecord, OrderRecord, PartRecord, PartState},
};
use xinqiao_ledger::{
    catalogue::Catalogue,
    ids::{ChainId, ItemCode, OrderId, OrgId, SourceId},
    wire,
};
use xinqiao_node::{Replica, Tip};

use crate::{Summary, error::Error};

/// Where the chain stands, and counts over the whole access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The chain.
    pub chain: ChainId,
    /// The last block that was executed here and found right.
    pub tip: Tip,
    /// Why the observer refuses to go on, if it does.
    pub halted: Option<String>,
    /// Members, whatever their standing.
    pub members: usize,
    /// Data sources, whatever their state.
    pub sources: usize,
    /// Subjects with a registered digest, counted once for each source.
    pub registered: u64,
    /// Counts over the access log.
    pub summary: Summary,
}

/// A code with its names of the catalogue, as far as it has them: a refused attempt may name
/// anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The code as recorded.
    pub code: String,
    /// Chinese name; the code if there is none.
    pub zh: String,
    /// English name; the code if there is none.
    pub en: String,
}

/// One attempt to query, placed or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the institution.
    pub institution: String,
    /// The purpose as asked.
    pub purpose: Label,
    /// The items as asked.
    pub items: Vec<Label>,
    /// What the ledger has of it.
    pub record: AccessRecord,
}

impl Attempt {
    /// The order, if one was placed.
    pub fn order(&self) -> Option<OrderId> {
        match self.record.outcome {
            AccessOutcome::Placed => Some(self.record.tx.into()),
            AccessOutcome::Refused(_) | AccessOutcome::RefusedByGateway { .. } => None,
        }
    }

    /// Why it was refused; empty if an order was placed.
    pub fn refusal(&self) -> &str {
        self.record.outcome.refusal()
    }
}

/// One order and what became of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderTrace {
    /// Name of the institution.
    pub institution: String,
    /// The purpose.
    pub purpose: Label,
    /// Its parts, in ascending order of sources.
    pub parts: Vec<Part>,
    /// Items that no source held.
    pub missing: Vec<Label>,
    /// What the ledger has of it.
    pub record: OrderRecord,
}

/// One part of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The source.
    pub source: SourceId,
    /// Its name.
    pub source_name: String,
    /// The member that runs it.
    pub operator: Option<OrgId>,
    /// Items asked of it.
    pub items: Vec<Label>,
    /// Where it stands.
    pub status: wire::PartStatus,
    /// Reason code where there is one; otherwise empty.
    pub reason: &'static str,
    /// Length of the sealed delivery in bytes, once one was recorded.
    pub delivered_bytes: Option<u64>,
}

impl Overview {
    pub(crate) fn of(replica: &Replica) -> Result<Self, Error> {
        let state = replica.state();
        // Of the same state as everything else here.
        let tip = state.tip().map_err(xinqiao_node::Error::from)?;
        let sources = query::sources(&state)?;
        Ok(Self {
            chain: replica.chain(),
            tip,
            halted: replica.halted(),
            members: query::members(&state)?.len(),
            sources: sources.len(),
            registered: sources.iter().map(|source| source.subjects).sum(),
            summary: query::summary(&state)?,
        })
    }
}

/// Names of one state: the catalogue at once, organisations and sources as they are needed.
pub(crate) struct Names {
    catalogue: Catalogue,
    orgs: BTreeMap<OrgId, String>,
    sources: BTreeMap<SourceId, (String, Option<OrgId>)>,
}

impl Names {
    pub(crate) fn of(state: &impl StateRead) -> Result<Self, StateFault> {
        Ok(Self {
            catalogue: query::catalogue(state)?,
            orgs: BTreeMap::new(),
            sources: BTreeMap::new(),
        })
    }

    pub(crate) fn attempt(
        &mut self,
        state: &impl StateRead,
        record: AccessRecord,
    ) -> Result<Attempt, StateFault> {
        Ok(Attempt {
            institution: self.org(state, &record.institution)?,
            purpose: self.purpose(&record.purpose),
            items: self.items(&record.items),
            record,
        })
    }

    pub(crate) fn order(
        &mut self,
        state: &impl StateRead,
        record: OrderRecord,
    ) -> Result<OrderTrace, StateFault> {
        Ok(OrderTrace {
            institution: self.org(state, &record.institution)?,
            purpose: self.purpose(record.placed.purpose.as_str()),
            parts: record
                .parts
                .iter()
                .map(|part| self.part(state, part))
                .collect::<Result<_, _>>()?,
            missing: self.items(&record.missing_items),
            record,
        })
    }

    fn part(&mut self, state: &impl StateRead, part: &PartRecord) -> Result<Part, StateFault> {
        let source = &part.part.source;
        let (source_name, operator) = self.source(state, source)?;
        let delivery = match &part.state {
            PartState::Delivered(delivery)
            | PartState::Confirmed { delivery, .. }
            | PartState::Mismatched { delivery, .. } => Some(delivery),
            _ => None,
        };
        Ok(Part {
            source: source.clone(),
            source_name,
            operator,
            items: self.items(&part.part.items),
            status: wire::PartStatus::from(&part.state),
            reason: part.state.reason(),
            delivered_bytes: delivery.map(|delivery| delivery.ciphertext_length),
        })
    }

    fn org(&mut self, state: &impl StateRead, id: &OrgId) -> Result<String, StateFault> {
        if let Some(name) = self.orgs.get(id) {
            return Ok(name.clone());
        }
        let member = query::member(state, id)?;
        let name = member.map_or_else(|| id.to_string(), |record| record.member.name.to_string());
        self.orgs.insert(id.clone(), name.clone());
        Ok(name)
    }

    fn source(
        &mut self,
        state: &impl StateRead,
        id: &SourceId,
    ) -> Result<(String, Option<OrgId>), StateFault> {
        if let Some(known) = self.sources.get(id) {
            return Ok(known.clone());
        }
        let found = match query::source(state, id)? {
            Some(record) => (record.source.name.to_string(), Some(record.source.operator)),
            None => (id.to_string(), None),
        };
        self.sources.insert(id.clone(), found.clone());
        Ok(found)
    }

    fn purpose(&self, code: &str) -> Label {
        let mut known = self.catalogue.purposes.iter();
        match known.find(|purpose| purpose.code.as_str() == code) {
            Some(known) => Label {
                code: code.to_owned(),
                zh: known.name_zh.to_string(),
                en: known.name_en.to_string(),
            },
            None => Label::bare(code),
        }
    }

    fn items(&self, codes: &[ItemCode]) -> Vec<Label> {
        let label = |code: &ItemCode| match self.catalogue.item(code) {
            Some(known) => Label {
                code: code.to_string(),
                zh: known.name_zh.to_string(),
                en: known.name_en.to_string(),
            },
            None => Label::bare(code.as_str()),
        };
        codes.iter().map(label).collect()
    }
}

impl Label {
    fn bare(code: &str) -> Self {
        Self {
            code: code.to_owned(),
            zh: code.to_owned(),
            en: code.to_owned(),
        }
    }
}
