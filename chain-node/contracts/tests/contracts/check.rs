//! One check for all rows: a story on a chain at work, and the words for what it comes to.

use std::sync::OnceLock;

use xinqiao_contracts::testing::*;
use xinqiao_ledger::{
    ids::TxId,
    outcome::{Event, Outcome},
    wire::{self, change::Kind, tx_body::Action},
};

/// A story and what its last step comes to.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) story: fn(&mut Consortium) -> Outcome,
    pub(crate) wants: &'static [&'static str],
}

/// A row.
pub(crate) const fn row(
    name: &'static str,
    story: fn(&mut Consortium) -> Outcome,
    wants: &'static [&'static str],
) -> Row {
    Row { name, story, wants }
}

/// A chain at work, made once.
pub(crate) fn at_work() -> Consortium {
    static READY: OnceLock<Consortium> = OnceLock::new();
    READY.get_or_init(Consortium::at_work).clone()
}

/// Runs a row; gives the words. What is rejected must change nothing but the ordered ids.
pub(crate) fn check(row: &Row) -> Vec<String> {
    let mut chain = at_work();
    let outcome = (row.story)(&mut chain);
    let words = tell(&outcome);
    assert_eq!(words, row.wants, "{}", row.name);
    assert_rejections_untouched(&chain, row.name);
    words
}

/// If all of the last block was rejected and no deadline fired, it wrote nothing but which
/// transactions were ordered.
pub(crate) fn assert_rejections_untouched(chain: &Consortium, name: &str) {
    let changes = |outcome: &Outcome| matches!(outcome, Outcome::Applied(it) if !it.is_empty());
    if !chain.outcomes.iter().any(changes) {
        let others = chain
            .writes
            .keys()
            .filter(|key| !(0x31..=0x33).contains(&key[0]))
            .count();
        assert_eq!(others, 0, "{name}: a rejected transaction wrote something");
    }
}

/// An outcome in words.
pub(crate) fn tell(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Rejected { reason, subject } => {
            vec![with("rejected", reason.code(), subject)]
        }
        Outcome::Applied(events) => events.iter().map(tell_event).collect(),
    }
}

/// Ids are left out: they would say nothing to a reader.
fn with(word: &str, code: &str, subject: &str) -> String {
    if subject.is_empty() || subject.len() == 64 {
        format!("{word} {code}")
    } else {
        format!("{word} {code} {subject}")
    }
}

fn tell_event(event: &Event) -> String {
    match event {
        Event::MemberChanged(it) => {
            let status = short(it.status().as_str_name(), "MEMBER_STATUS_");
            format!("member {} {status}", it.org)
        }
        Event::CredentialChanged(it) => {
            format!("credential {} {}", it.org, if it.valid { '+' } else { '-' })
        }
        Event::CataloguePublished(it) => format!("catalogue {}", it.version),
        Event::SourceChanged(it) => {
            let status = short(it.status().as_str_name(), "SOURCE_STATUS_");
            format!("source {} {status}", it.source)
        }
        Event::DigestsChanged(it) => format!(
            "digests {} +{} ~{} -{}",
            it.source, it.registered, it.superseded, it.withdrawn
        ),
        Event::ConsentChanged(it) => {
            format!(
                "consent {}",
                short(it.status().as_str_name(), "CONSENT_STATUS_")
            )
        }
        Event::OrderPlaced(it) => {
            let part = |part: &wire::OrderPart| format!("{}:{}", part.source, part.items.join(","));
            let parts: Vec<_> = it.parts.iter().map(part).collect();
            format!(
                "order {} missing {}",
                parts.join(" "),
                it.missing_items.join(",")
            )
        }
        Event::AttemptRefused(it) => with("refused", &it.reason, &it.subject),
        Event::PartChanged(it) => {
            let status = short(it.status().as_str_name(), "PART_STATUS_");
            let words = with(&format!("part {}", it.part), status, &it.reason);
            let marks: Vec<String> = (it.objections.iter())
                .map(|mark| format!("{}{}", mark.item, if mark.unresolved { "!" } else { "" }))
                .collect();
            if marks.is_empty() {
                words
            } else {
                format!("{words} objections {}", marks.join(" "))
            }
        }
        Event::DisputeChanged(it) => (if it.settled { "settled" } else { "disputed" }).into(),
        Event::SubjectKeyBound(_) => "subject key bound".into(),
        Event::ProposalChanged(it) => {
            let status = short(it.status().as_str_name(), "PROPOSAL_STATUS_");
            let words = with("proposal", status, &it.reason);
            with(&words, "", &it.subject)
                .replace("  ", " ")
                .trim_end()
                .into()
        }
        Event::VoteCast(it) => {
            let choice = if it.approve { "for" } else { "against" };
            format!("vote {} {choice}", it.org)
        }
        Event::ValidatorChanged(it) => {
            let sign = if it.key_id.is_empty() { '-' } else { '+' };
            format!("validator {} {sign}", it.org)
        }
        Event::EngineChanged(it) => {
            let engine = short(it.engine().as_str_name(), "CONSENSUS_ENGINE_");
            format!("engine {engine}")
        }
        Event::ParametersChanged(_) => "parameters".into(),
        Event::WeightChanged(it) => format!("weight {} {}", it.org, it.weight),
        Event::MisbehaviourRecorded(it) => {
            format!("misbehaviour {} {} by {}", it.org, it.height, it.reporter)
        }
        Event::ObjectionChanged(it) => {
            let status = short(it.status().as_str_name(), "OBJECTION_STATUS_");
            let overdue = if it.overdue { " overdue" } else { "" };
            format!("objection {} {status}{overdue}", it.source)
        }
        Event::SealSchemeChanged(it) => {
            let scheme = short(it.seal_scheme().as_str_name(), "SEAL_SCHEME_");
            format!("seal {} {scheme}", it.org)
        }
    }
}

fn short<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.trim_start_matches(prefix)
}

/// Runs a step that must apply.
#[track_caller]
pub(crate) fn done(chain: &mut Consortium, by: &str, action: Action) -> TxId {
    let (id, outcome) = chain.run_at(chain.time + 1_000, by, action);
    assert!(matches!(outcome, Outcome::Applied(_)), "{by}: {outcome:?}");
    id
}

/// A witnessed grant on these terms.
#[track_caller]
pub(crate) fn granted(chain: &mut Consortium, terms: wire::ConsentTerms) -> TxId {
    done(chain, "js-bureau/admin", grant(terms))
}

/// An order under a fresh grant: ids of the grant and the order.
#[track_caller]
pub(crate) fn ordered(chain: &mut Consortium) -> (TxId, TxId) {
    ordered_on(chain, terms())
}

/// An order under a fresh grant on these terms.
#[track_caller]
pub(crate) fn ordered_on(chain: &mut Consortium, terms: wire::ConsentTerms) -> (TxId, TxId) {
    let grant = granted(chain, terms);
    (grant, placed(chain, order(&grant)))
}

/// An order that must be placed, not refused.
#[track_caller]
pub(crate) fn placed(chain: &mut Consortium, order: wire::PlaceOrder) -> TxId {
    let (id, outcome) = chain.run_at(chain.time + 1_000, "js-bank/agent", place(order));
    let words = tell(&outcome);
    assert!(
        words.iter().any(|word| word.starts_with("order ")),
        "{words:?}"
    );
    id
}

pub(crate) fn place(order: wire::PlaceOrder) -> Action {
    Action::PlaceOrder(order)
}

pub(crate) fn pause(id: &TxId) -> Action {
    Action::PauseConsent(wire::PauseConsent { grant: id.to_vec() })
}

pub(crate) fn resume(id: &TxId) -> Action {
    Action::ResumeConsent(wire::ResumeConsent { grant: id.to_vec() })
}

pub(crate) fn revoke(id: &TxId) -> Action {
    Action::RevokeConsent(wire::RevokeConsent { grant: id.to_vec() })
}

pub(crate) fn decline(id: &TxId) -> Action {
    Action::DeclineConsent(wire::DeclineConsent { grant: id.to_vec() })
}

pub(crate) fn answer(id: &TxId, terms: wire::ConsentTerms) -> Action {
    Action::GrantConsent(wire::GrantConsent {
        request: id.to_vec(),
        terms: Some(terms),
    })
}

pub(crate) fn request(terms: wire::ConsentTerms, lapses_at_ms: u64) -> Action {
    Action::RequestConsent(wire::RequestConsent {
        terms: Some(terms),
        lapses_at_ms,
    })
}

pub(crate) fn accept(order: &TxId, part: u32) -> Action {
    let order = order.to_vec();
    Action::AcceptPart(wire::AcceptPart { order, part })
}

pub(crate) fn deliver(order: &TxId, part: u32) -> Action {
    Action::DeliverPart(delivery(order, part))
}

pub(crate) fn reject(order: &TxId, part: u32) -> Action {
    Action::RejectPart(wire::RejectPart {
        order: order.to_vec(),
        part,
        reason: wire::PartRejection::SourceUnavailable.into(),
    })
}

pub(crate) fn verdict(order: &TxId, part: u32, verdict: wire::Verdict) -> Action {
    Action::ConfirmPart(wire::ConfirmPart {
        order: order.to_vec(),
        part,
        verdict: verdict.into(),
    })
}

pub(crate) fn confirm(order: &TxId, part: u32) -> Action {
    verdict(order, part, wire::Verdict::Confirmed)
}

pub(crate) fn cancel(order: &TxId) -> Action {
    let order = order.to_vec();
    Action::CancelOrder(wire::CancelOrder { order })
}

pub(crate) fn freeze(org: &str) -> Action {
    Action::FreezeMember(wire::FreezeMember {
        org: org.into(),
        reason: "a test".into(),
    })
}

pub(crate) fn unfreeze(org: &str) -> Action {
    Action::UnfreezeMember(wire::UnfreezeMember { org: org.into() })
}

pub(crate) fn expel(org: &str) -> Action {
    Action::ExpelMember(wire::ExpelMember {
        org: org.into(),
        reason: "a test".into(),
    })
}

/// Carries changes out by a vote; what the block that did it came to by itself.
#[track_caller]
pub(crate) fn enacted(chain: &mut Consortium, changes: Vec<Kind>) -> Outcome {
    let (_, outcome) = chain.enact(changes);
    let words = tell(&outcome);
    assert!(words.contains(&"proposal ENACTED".to_owned()), "{words:?}");
    outcome
}

/// Expels a member by a vote.
#[track_caller]
pub(crate) fn voted_out(chain: &mut Consortium, org: &str) -> Outcome {
    enacted(chain, vec![Kind::ExpelMember(org.into())])
}

pub(crate) fn suspend(source: &str) -> Action {
    Action::SuspendSource(wire::SuspendSource {
        source: source.into(),
        reason: "a test".into(),
    })
}

pub(crate) fn retire(source: &str) -> Action {
    let source = source.into();
    Action::RetireSource(wire::RetireSource { source })
}

pub(crate) fn close_user(number: u64) -> Action {
    let user = user(number).to_vec();
    Action::CloseUser(wire::CloseUser { user })
}

/// A witnessed grant, signed and not yet ordered.
pub(crate) fn grant_by_witness(chain: &mut Consortium) -> xinqiao_ledger::tx::Tx {
    chain.sign("js-bureau/admin", grant(terms()))
}
