//! One delivery: however many data-holding nodes a source has, one of them delivers a part, and no other
//! lets anything of it leave. A part is refused only where a node of its source cannot read.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    action::Action,
    order::PartRef,
    outcome::{Event, Outcome},
    tx::Tx,
    wire::PartStatus,
};

/// What became of parts.
#[derive(Debug, Default)]
pub struct OneDelivery {
    /// Whether some node cannot read.
    pub may_refuse: bool,
    delivered: BTreeMap<PartRef, u32>,
    released: BTreeMap<PartRef, usize>,
}

impl OneDelivery {
    /// A transaction of an agreed block came to that.
    pub fn came_to(&mut self, tx: &Tx, outcome: &Outcome) -> Result<(), String> {
        let Outcome::Applied(events) = outcome else {
            return Ok(());
        };
        if let Action::RejectPart { part, .. } = tx.action()
            && !self.may_refuse
        {
            return Err(format!(
                "part {} of order {} is refused, and every node can read",
                part.part, part.order
            ));
        }
        for event in events {
            if let Event::PartChanged(changed) = event
                && changed.status() == PartStatus::Delivered
                && let Ok(part) = PartRef::parse(&changed.order, changed.part)
            {
                let times = self.delivered.entry(part).or_default();
                *times += 1;
                if *times > 1 {
                    return Err(format!(
                        "part {} of order {} is delivered twice",
                        part.part, part.order
                    ));
                }
            }
        }
        Ok(())
    }

    /// A holder let a part leave.
    pub fn released(&mut self, holder: usize, part: PartRef) -> Result<(), String> {
        let first = *self.released.entry(part).or_insert(holder);
        if first == holder {
            return Ok(());
        }
        Err(format!(
            "part {} of order {} left holder {holder}, and holder {first} before",
            part.part, part.order
        ))
    }
}
