//! What the authentic transactions of a bundle say together about one order.
//!
//! The contracts decided all of this when the quorum applied it. Here it is looked at again from
//! the outside: what the file shows is proven, what it lacks is not shown, and what the certified
//! record says against itself is contradicted, which only a quorum that broke its rules can cause.

use super::{
    EvidenceFault,
    authentic::{Authentic, Fired, Keys, Moment, Signer, Step},
    findings::{Claim, Findings, Gap, PartEnd, Standing, Statement},
};
use crate::{
    action::{Action, Delivery},
    consent::ConsentTerms,
    genesis::Genesis,
    ids::{ItemCode, OrderId, OrgId, SourceId, TimeMs},
    malformed::{Malformed, Problem},
    member::KeyRole,
    order::{OrderPart, PartIndex, PlaceOrder, SealScheme},
    outcome::{Event, Outcome},
    wire::{ConsentStatus, PartStatus},
};

/// Draws all claims.
pub(super) fn find(
    authentic: Authentic,
    id: OrderId,
    genesis: &Genesis,
) -> Result<Findings, EvidenceFault> {
    let Authentic {
        tip,
        tip_signatures,
        steps,
        fired,
        keys,
    } = authentic;
    let trace = Trace::of(&steps, &fired, &keys, id)?;
    let unknown = steps.iter().filter(|step| !step.signer.is_known()).count();
    let mut claims = vec![
        Claim {
            statement: Statement::OneHistory {
                transactions: steps.len(),
                blocks: fired.len(),
                signatures: tip_signatures,
                validators: genesis.validators.len(),
            },
            standing: Standing::Proven,
        },
        Claim {
            statement: Statement::Signed {
                checked: steps.len() - unknown,
                of: steps.len(),
            },
            standing: if unknown == 0 {
                Standing::Proven
            } else {
                Standing::NotShown(Gap::KeysAbsent(unknown))
            },
        },
    ];
    claims.extend(trace.order_claims());
    for part in 0..trace.parts.len() {
        claims.extend(trace.part_claims(part));
    }
    claims.extend(trace.disputes());
    Ok(Findings {
        consortium: genesis.name.clone(),
        chain: tip.chain,
        order: id,
        tip: tip.hash(),
        until: Moment {
            height: tip.height,
            index: Some(u64::from(tip.tx_count)),
            time: tip.time,
        },
        claims,
        steps,
        fired,
        names: keys.into_names(),
        catalogue: genesis.catalogue.clone(),
    })
}

/// What a transaction or a block itself changed.
#[derive(Clone, Copy)]
struct Change<'a> {
    at: Moment,
    events: &'a [Event],
    /// The transaction; none if the block did it itself.
    step: Option<&'a Step>,
}

/// An order among the transactions that it rests on.
struct Trace<'a> {
    steps: &'a [Step],
    /// What the steps and the blocks themselves changed, in the order of the ledger.
    changes: Vec<Change<'a>>,
    keys: &'a Keys,
    id: OrderId,
    /// The step that placed it.
    placed: &'a Step,
    order: &'a PlaceOrder,
    parts: Vec<OrderPart>,
    missing: Vec<ItemCode>,
    deadline: TimeMs,
    seal_scheme: SealScheme,
    /// The grant before the order, if the file has it.
    grant: Option<(&'a Step, &'a ConsentTerms)>,
}

impl<'a> Trace<'a> {
    fn of(
        steps: &'a [Step],
        fired: &'a [Fired],
        keys: &'a Keys,
        id: OrderId,
    ) -> Result<Self, EvidenceFault> {
        let placed = steps
            .iter()
            .find(|step| OrderId::from(step.id) == id)
            .ok_or(EvidenceFault::OrderMissing(id))?;
        let none = |why: String| EvidenceFault::NoOrder { id, why };
        let Action::PlaceOrder(order) = &placed.action else {
            return Err(none(format!("it is a {}", placed.name)));
        };
        if let Outcome::Rejected { reason, .. } = &placed.outcome {
            return Err(none(format!("it was rejected, {}", reason.code())));
        }
        let events = placed.events();
        let Some(made) = events.iter().find_map(|event| match event {
            Event::OrderPlaced(made) if made.order == id.as_bytes() => Some(made),
            _ => None,
        }) else {
            let refusal = events.iter().find_map(|event| match event {
                Event::AttemptRefused(refused) => Some(refused.reason.as_str()),
                _ => None,
            });
            return Err(none(format!(
                "the attempt was refused, {}",
                refusal.unwrap_or("for no reason given")
            )));
        };
        let event = |fault: Malformed| EvidenceFault::from(fault.within("order_placed"));
        if made.parts.len() > crate::order::MAX_PARTS {
            let problem = Problem::TooMany {
                max: crate::order::MAX_PARTS,
                got: made.parts.len(),
            };
            return Err(event(Malformed::new("parts", problem)));
        }
        let parts = made
            .parts
            .iter()
            .map(OrderPart::try_from)
            .collect::<Result<_, _>>()
            .map_err(event)?;
        let missing = made
            .missing_items
            .iter()
            .map(|code| ItemCode::parse("missing_items", code))
            .collect::<Result<_, _>>()
            .map_err(event)?;
        let seal_scheme = SealScheme::parse("seal_scheme", made.seal_scheme).map_err(event)?;
        let grant = steps
            .iter()
            .filter(|step| step.at < placed.at && step.is_applied())
            .find_map(|step| match &step.action {
                Action::GrantConsent { request, terms } => {
                    let grant = request.unwrap_or_else(|| step.id.into());
                    (grant == order.grant).then_some((step, terms))
                }
                _ => None,
            });
        let by_transactions = steps.iter().map(|step| Change {
            at: step.at,
            events: step.events(),
            step: Some(step),
        });
        let by_blocks = fired.iter().map(|block| Change {
            at: block.at,
            events: &block.events,
            step: None,
        });
        let mut changes: Vec<_> = by_transactions.chain(by_blocks).collect();
        changes.sort_by_key(|change| change.at);
        Ok(Self {
            steps,
            changes,
            keys,
            id,
            placed,
            order,
            parts,
            missing,
            deadline: made.deadline_ms,
            seal_scheme,
            grant,
        })
    }

    /// The institution: whose key signed the order, or else the grant's grantee.
    fn institution(&self) -> Option<&OrgId> {
        self.placed
            .signer
            .org()
            .or_else(|| self.grant.map(|(_, terms)| &terms.grantee))
    }

    fn order_claims(&self) -> Vec<Claim> {
        let grant = self.order.grant;
        vec![
            Claim {
                statement: Statement::Ordered {
                    at: self.placed.at,
                    institution: self.institution().cloned(),
                    order: self.order.clone(),
                    parts: self.parts.len(),
                    missing: self.missing.clone(),
                },
                standing: self.made_of_the_order(),
            },
            Claim {
                statement: Statement::Recipient {
                    key: self.order.recipient,
                    scheme: self.seal_scheme,
                },
                standing: self.recipient(),
            },
            Claim {
                statement: Statement::Granted {
                    grant,
                    given: self.grant.map(|(step, _)| (step.at, step.signer.clone())),
                },
                standing: match self.grant {
                    Some(_) => Standing::Proven,
                    None => Standing::NotShown(Gap::NoGrant),
                },
            },
            Claim {
                statement: Statement::Covered(grant),
                standing: match self.grant {
                    None => Standing::NotShown(Gap::NoGrant),
                    Some((_, terms)) => standing(self.covered(terms)),
                },
            },
            Claim {
                statement: Statement::Live { grant, part: None },
                standing: self.live(&self.placed.at, false),
            },
        ]
    }

    /// The parts and the missing items together are the items ordered.
    fn made_of_the_order(&self) -> Standing {
        let mut items: Vec<&ItemCode> = self
            .parts
            .iter()
            .flat_map(|part| &part.items)
            .chain(&self.missing)
            .collect();
        // Several sources may hold the same item.
        items.sort();
        items.dedup();
        if items.into_iter().eq(&self.order.items) {
            Standing::Proven
        } else {
            Standing::Contradicted(Gap::Items)
        }
    }

    fn recipient(&self) -> Standing {
        match (self.keys.owner(&self.order.recipient), self.institution()) {
            (
                Signer::Member {
                    org,
                    role: KeyRole::Encryption,
                    ..
                },
                Some(institution),
            ) if org == *institution => Standing::Proven,
            (Signer::Unknown(_), _) | (_, None) => Standing::NotShown(Gap::RecipientUnknown),
            _ => Standing::Contradicted(Gap::RecipientUnknown),
        }
    }

    fn covered(&self, terms: &ConsentTerms) -> Result<(), Gap> {
        let order = self.order;
        if terms.subject != order.subject {
            return Err(Gap::OtherSubject);
        }
        match self.placed.signer.org() {
            Some(org) if *org != terms.grantee => {
                return Err(Gap::OtherInstitution(terms.grantee.clone()));
            }
            _ => {}
        }
        if !terms.branch.is_empty() && terms.branch != order.branch {
            return Err(Gap::OtherBranch);
        }
        if !terms.purposes.contains(&order.purpose) {
            return Err(Gap::Purpose);
        }
        if let Some(item) = order.items.iter().find(|item| !terms.items.contains(item)) {
            return Err(Gap::Item(item.clone()));
        }
        let allowed = |source| terms.sources.is_empty() || terms.sources.contains(source);
        if let Some(part) = self.parts.iter().find(|part| !allowed(&part.source)) {
            return Err(Gap::Source(part.source.clone()));
        }
        valid(terms, self.placed.at.time)
    }

    /// Whether the grant's changes in the file leave it in force just before that moment. Spent uses
    /// do not end what an order had reserved, so a delivery may find it exhausted.
    fn live(&self, at: &Moment, reserved: bool) -> Standing {
        let Some((_, terms)) = self.grant else {
            return Standing::NotShown(Gap::NoGrant);
        };
        let last = self
            .changes
            .iter()
            .take_while(|change| change.at < *at)
            .flat_map(|change| change.events)
            .filter_map(|event| match event {
                Event::ConsentChanged(changed) if changed.grant == self.order.grant.as_bytes() => {
                    Some(changed.status())
                }
                _ => None,
            })
            .last();
        match last {
            Some(ConsentStatus::Active) => standing(valid(terms, at.time)),
            Some(ConsentStatus::Exhausted) if reserved => standing(valid(terms, at.time)),
            Some(status) => Standing::Contradicted(Gap::Stood(status)),
            None => Standing::NotShown(Gap::NoGrant),
        }
    }

    fn part_claims(&self, index: usize) -> Vec<Claim> {
        let part = PartIndex::try_from(index).expect("an order has at most 64 parts");
        let fixed = &self.parts[index];
        let mut claims = vec![self.registered(part, fixed)];
        let (end, ended) = self.end(part);
        let delivery = self.delivery(part);
        if delivery.is_some() || matches!(end, PartEnd::Confirmed | PartEnd::Mismatched(_)) {
            claims.push(Claim {
                statement: Statement::Delivered {
                    part,
                    source: fixed.source.clone(),
                    record: delivery
                        .map(|(step, record)| (step.at, step.signer.clone(), record.clone())),
                },
                standing: match delivery {
                    None => Standing::NotShown(Gap::NoDelivery),
                    Some((step, record)) => standing(self.delivered(fixed, step, record)),
                },
            });
        }
        if let Some((step, _)) = delivery {
            claims.push(Claim {
                statement: Statement::Live {
                    grant: self.order.grant,
                    part: Some((part, fixed.source.clone())),
                },
                standing: self.live(&step.at, true),
            });
        }
        claims.push(Claim {
            standing: match ended {
                None => Standing::NotShown(Gap::NoEnd),
                Some(change) => standing(self.ended(&end, change, delivery.map(|(step, _)| step))),
            },
            statement: Statement::Ended {
                part,
                source: fixed.source.clone(),
                end,
                at: ended.map(|change| change.at),
            },
        });
        claims
    }

    /// The source registered that root for the subject, before the order and where the order says.
    fn registered(&self, part: PartIndex, fixed: &OrderPart) -> Claim {
        let mut same_root = self
            .steps
            .iter()
            .filter(|step| step.is_applied())
            .filter_map(|step| match &step.action {
                Action::RegisterDigests(batch) if batch.source == fixed.source => {
                    let entry = batch.entries.iter().find(|entry| {
                        entry.subject == self.order.subject && entry.root == fixed.registered_root
                    })?;
                    let held = |item: &ItemCode| {
                        batch
                            .items
                            .binary_search(item)
                            .is_ok_and(|bit| entry.item_set >> bit & 1 == 1)
                    };
                    let items = fixed.items.iter().all(held) && entry.as_of_day == fixed.as_of_day;
                    Some((step, items))
                }
                _ => None,
            });
        // A source may have registered the same root more than once; the order names the height.
        let first = same_root.clone().next();
        let found = same_root
            .find(|(step, _)| step.at.height == fixed.registered_at)
            .or(first);
        let standing = match found {
            None => Standing::NotShown(Gap::NoRegistration),
            Some((step, _))
                if step.at >= self.placed.at || step.at.height != fixed.registered_at =>
            {
                Standing::Contradicted(Gap::RegisteredElsewhen(step.at))
            }
            Some((_, false)) => Standing::Contradicted(Gap::Items),
            Some((step, true)) => standing(self.operated(&fixed.source, step)),
        };
        Claim {
            statement: Statement::Registered {
                part,
                fixed: fixed.clone(),
                at: found.map(|(step, _)| step.at),
            },
            standing,
        }
    }

    /// The step that recorded the part's delivery: its outcome says that it did.
    fn delivery(&self, part: PartIndex) -> Option<(&'a Step, &'a Delivery)> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::DeliverPart(record)
                if record.part.order == self.id
                    && record.part.part == part
                    && self
                        .changed(step.events(), part)
                        .any(|(status, _)| status == PartStatus::Delivered) =>
            {
                Some((step, record))
            }
            _ => None,
        })
    }

    /// What events made of a part.
    fn changed(
        &self,
        events: &'a [Event],
        part: PartIndex,
    ) -> impl Iterator<Item = (PartStatus, &'a str)> {
        let id = self.id;
        events.iter().filter_map(move |event| match event {
            Event::PartChanged(changed)
                if changed.order == id.as_bytes() && changed.part == u32::from(part) =>
            {
                Some((changed.status(), changed.reason.as_str()))
            }
            _ => None,
        })
    }

    fn delivered(&self, fixed: &OrderPart, step: &Step, record: &Delivery) -> Result<(), Gap> {
        if step.at <= self.placed.at {
            return Err(Gap::Sequence);
        }
        if record.report_root != fixed.registered_root {
            return Err(Gap::Root(record.report_root));
        }
        // A source may deliver less than the part has, and says so by its list; never more.
        if !record.items.iter().all(|item| fixed.items.contains(item)) {
            return Err(Gap::Items);
        }
        if record.sealing.scheme() != self.seal_scheme {
            return Err(Gap::Seal);
        }
        self.operated(&fixed.source, step)
    }

    /// A source's transactions are signed by its operator, where the file says who that is.
    fn operated(&self, source: &SourceId, step: &Step) -> Result<(), Gap> {
        let operator = self.steps.iter().find_map(|other| match &other.action {
            Action::RegisterSource(registered)
                if other.is_applied() && registered.source == *source =>
            {
                Some(&registered.operator)
            }
            // Without it: whoever registered the source's digests, if another did.
            Action::RegisterDigests(batch) if other.is_applied() && batch.source == *source => {
                other.signer.org()
            }
            _ => None,
        });
        match (operator, step.signer.org()) {
            (Some(operator), Some(org)) if operator != org => Err(Gap::SignedBy(org.clone())),
            _ => Ok(()),
        }
    }

    /// How a part ended, and the change that ended it.
    fn end(&self, part: PartIndex) -> (PartEnd, Option<Change<'a>>) {
        let mut last = PartStatus::Placed;
        for change in &self.changes {
            for (status, reason) in self.changed(change.events, part) {
                last = status;
                let end = match status {
                    PartStatus::Confirmed => PartEnd::Confirmed,
                    PartStatus::Mismatched => PartEnd::Mismatched(reason.to_owned()),
                    PartStatus::Rejected => PartEnd::Rejected(reason.to_owned()),
                    PartStatus::Expired => PartEnd::Expired {
                        deadline: self.deadline,
                    },
                    PartStatus::Cancelled => PartEnd::Cancelled,
                    PartStatus::ConsentRevoked => PartEnd::ConsentRevoked,
                    PartStatus::Unspecified
                    | PartStatus::Placed
                    | PartStatus::Accepted
                    | PartStatus::Delivered => continue,
                };
                return (end, Some(*change));
            }
        }
        (PartEnd::Open(last), None)
    }

    fn ended(&self, end: &PartEnd, by: Change<'_>, delivery: Option<&Step>) -> Result<(), Gap> {
        if by.at <= self.placed.at {
            return Err(Gap::Sequence);
        }
        match (end, by.step) {
            // A deadline needs nobody's word, but it must have passed.
            (PartEnd::Expired { deadline }, _) if by.at.time < *deadline => Err(Gap::Early),
            (PartEnd::Expired { .. }, _) if delivery.is_some() => Err(Gap::Sequence),
            (PartEnd::Expired { .. }, _) => Ok(()),
            (_, None) => Err(Gap::Unsigned),
            // The institution's own word: by it, and on something delivered before.
            (PartEnd::Confirmed | PartEnd::Mismatched(_), Some(step)) => {
                if delivery.is_some_and(|delivery| delivery.at >= step.at) {
                    return Err(Gap::Sequence);
                }
                match (self.institution(), step.signer.org()) {
                    (Some(institution), Some(org)) if institution != org => {
                        Err(Gap::SignedBy(org.clone()))
                    }
                    _ => Ok(()),
                }
            }
            // These end a part that was not delivered.
            _ if delivery.is_some() => Err(Gap::Sequence),
            _ => Ok(()),
        }
    }

    fn disputes(&self) -> impl Iterator<Item = Claim> {
        let id = self.id;
        self.steps.iter().flat_map(move |step| {
            step.events().iter().filter_map(move |event| match event {
                Event::DisputeChanged(changed) if changed.order == id.as_bytes() => Some(Claim {
                    statement: Statement::Dispute {
                        at: step.at,
                        settled: changed.settled,
                    },
                    standing: Standing::Proven,
                }),
                _ => None,
            })
        })
    }
}

fn valid(terms: &ConsentTerms, time: TimeMs) -> Result<(), Gap> {
    if (terms.valid_from..terms.valid_until).contains(&time) {
        Ok(())
    } else {
        Err(Gap::Validity {
            from: terms.valid_from,
            until: terms.valid_until,
        })
    }
}

fn standing(found: Result<(), Gap>) -> Standing {
    match found {
        Ok(()) => Standing::Proven,
        Err(gap) => Standing::Contradicted(gap),
    }
}
