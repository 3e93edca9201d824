//! Those who use a consortium: its founders put two sources to work, a subject grants and revokes
//! consent, and a bank places orders.

use std::{collections::BTreeMap, rc::Rc};

use xinqiao_contracts::testing::{
    activate_source, bind_subject_key, grant, open_user, order, register_source, secret, subject,
    terms, texts,
};
use xinqiao_dispatch::delivery::Record;
use xinqiao_ledger::{
    ids::{Height, ItemCode},
    item::{DigestedReport, SaltKey},
    wire::{self, tx_body::Action},
};

use crate::{block::Tx, books::Ledger, dice::Dice};

/// Until which height the transactions of a run may be ordered.
pub const EXPIRES: Height = 1_000;

/// The most data-holding nodes that a source of a run has.
pub const MOST_NODES: usize = 3;

/// How long an order's parts may be answered, in milliseconds. What a node left that took a part up and
/// died is taken over in the first half of it, and so within the time that liveness is waited for.
pub const OPEN_MS: u32 = 200_000;

/// A data source, and who operates and holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: &'static str,
    operator: &'static str,
    /// The keys of its data-holding nodes; the first one signs its digests.
    pub holders: [&'static str; MOST_NODES],
    items: &'static [&'static str],
}

/// The sources of a run.
pub const SOURCES: [Source; 2] = [
    Source {
        name: "sh-tax",
        operator: "sh-bureau/admin",
        holders: [
            "sh-bureau/holder",
            "sh-bureau/holder-1",
            "sh-bureau/holder-2",
        ],
        items: &["invoices", "tax"],
    },
    Source {
        name: "zj-power",
        operator: "zj-bureau/admin",
        holders: [
            "zj-bureau/holder",
            "zj-bureau/holder-1",
            "zj-bureau/holder-2",
        ],
        items: &["power"],
    },
];

impl Source {
    /// The record of the subject there is.
    pub fn record(&self) -> Record {
        let items: Vec<(ItemCode, Vec<u8>)> = (self.items.iter())
            .map(|code| (code.parse().expect("a code"), b"{\"a\":1}".to_vec()))
            .collect();
        let key = SaltKey::from([7; 32]);
        let pairs = items.iter().map(|(code, text)| (code, text.as_slice()));
        let report = DigestedReport::new(&key, &subject(1), pairs).expect("codes differ");
        Record { report, items }
    }

    fn digests(&self) -> Action {
        Action::RegisterDigests(wire::RegisterDigests {
            source: self.name.to_owned(),
            items: texts(self.items),
            entries: vec![wire::DigestEntry {
                subject: subject(1).to_vec(),
                root: self.record().report.root().as_bytes().to_vec(),
                item_set: (1 << self.items.len()) - 1,
                as_of_day: 20_000,
            }],
        })
    }
}

/// What is to be handed in before everything else, in this order.
pub fn founding(ledger: &Ledger) -> Vec<Tx> {
    let mut actions = Vec::new();
    for source in &SOURCES {
        let org = source.operator.split('/').next().unwrap_or_default();
        actions.push((
            source.operator,
            register_source(source.name, org, source.items),
        ));
        actions.push((source.operator, activate_source(source.name)));
        actions.push((source.holders[0], source.digests()));
    }
    let key = *secret("subject-1").public();
    actions.push(("js-bank/admin", open_user(1)));
    actions.push(("sh-bureau/admin", bind_subject_key(1, &key)));
    let signed = actions.into_iter();
    signed
        .map(|(by, action)| ledger.sign(by, action, EXPIRES))
        .collect()
}

/// What is handed in within so many microseconds, and when: grants, orders under them, and
/// revocations of some of them. Some grants end by themselves meanwhile. Block time is so many
/// milliseconds at the beginning.
pub fn errands(
    ledger: &Rc<Ledger>,
    chaos_us: u64,
    begin_ms: u64,
    dice: &mut Dice,
) -> BTreeMap<Tx, u64> {
    let mut handed_in = BTreeMap::new();
    for _ in 0..dice.between(2, 4) {
        let mut terms = terms();
        terms.max_uses = dice.between(1, 3) as u32;
        if dice.permille(300) {
            terms.valid_until_ms = begin_ms + dice.below(2 * chaos_us / 1_000);
        }
        let mut at = dice.below(chaos_us / 2);
        let granted = ledger.sign("subject-1", grant(terms), EXPIRES);
        let id = ledger.tx(granted).meta().id;
        handed_in.insert(granted, at);
        for _ in 0..dice.between(1, 3) {
            at += dice.between(300_000, 2_000_000);
            let mut place = order(&id);
            place.deadline_ms = OPEN_MS;
            let ordered = ledger.sign("js-bank/agent", Action::PlaceOrder(place), EXPIRES);
            handed_in.insert(ordered, at);
        }
        if dice.permille(700) {
            // Often while a delivery is under way.
            let after = dice.below(1_500_000);
            let revoke = Action::RevokeConsent(wire::RevokeConsent { grant: id.to_vec() });
            handed_in.insert(ledger.sign("subject-1", revoke, EXPIRES), at + after);
        }
    }
    handed_in
}
