//! Liveness: once the network heals and every honest node runs, every transaction is committed by
//! every honest node within a bounded time, and every order is answered, whatever the liars do.

use std::collections::BTreeSet;

use xinqiao_contracts::query;

use crate::block::{Tip, Tx};

/// Which transactions have to be committed.
#[derive(Debug, Default)]
pub struct Liveness(BTreeSet<Tx>);

impl Liveness {
    /// A client has a transaction.
    pub fn submitted(&mut self, tx: Tx) {
        self.0.insert(tx);
    }

    /// Whether those nodes hold all transactions, and stand at one height.
    pub fn reached<'a>(&self, mut tips: impl Iterator<Item = &'a Tip>) -> Result<(), String> {
        let Some(first) = tips.next() else {
            return Ok(());
        };
        let missing = self.0.difference(&first.done).count();
        if missing > 0 {
            return Err(format!(
                "{missing} of {} transactions are not committed",
                self.0.len()
            ));
        }
        if let Some(books) = &first.books {
            let open = query::open_orders(&books.state, None, 1);
            let (open, _) = open.expect("a map in memory does not fail");
            if let Some(order) = open.first() {
                return Err(format!("order {} is not answered", order.order));
            }
        }
        match tips.find(|tip| tip.height != first.height) {
            None => Ok(()),
            Some(tip) => Err(format!(
                "one node stands at height {}, another at {}",
                first.height, tip.height
            )),
        }
    }
}
