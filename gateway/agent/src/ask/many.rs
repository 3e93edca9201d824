//! Requests about many enterprises. In a job a faulty code is the entry's own matter; in a portfolio to be
//! watched, whoever sent it wants to know before anything is watched.

use std::collections::{HashMap, hash_map::Entry};

use xinqiao_ledger::{
    ids::{GrantId, ItemCode, PurposeCode},
    malformed::{Malformed, Problem},
    order::DEADLINE_MS,
    text::Branch,
    uscc::Uscc,
    wire,
};
use xinqiao_rpc::{Fault, FaultView, Reason};

use super::{Ask, DEFAULT_DEADLINE_MS, MAX_ITEMS, Violations};

/// The most enterprises of one job, or of one portfolio.
const MAX_ENTRIES: usize = 10_000;

/// The most bytes of what an entry has for a code.
const MAX_CODE: usize = 64;

/// A job that is well formed, whatever its entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobAsk {
    pub(crate) job_id: Option<String>,
    pub(crate) user: String,
    items: Vec<ItemCode>,
    purpose: PurposeCode,
    branch: Branch,
    deadline_ms: u32,
}

/// One entry of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryAsk {
    /// It can be asked for.
    Ask(Box<Ask>),
    /// It is faulty.
    Invalid {
        /// What is wrong.
        reason: Reason,
        /// The same for people.
        message: String,
    },
    /// An earlier entry has the same code.
    Duplicate(u32),
}

impl JobAsk {
    pub(crate) fn parse(request: &wire::StartJobRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::default();
        let job_id = wrong.name("job_id", &request.job_id);
        count(&mut wrong, "entries", request.entries.len());
        for (index, entry) in request.entries.iter().enumerate().take(MAX_ENTRIES) {
            if entry.uscc.len() > MAX_CODE {
                let problem = Problem::TooLong {
                    max: MAX_CODE,
                    got: entry.uscc.len(),
                };
                let field = format!("entries[{index}].uscc");
                wrong.malformed::<()>(Err(Malformed::new(&field, problem)));
            }
            wrong.malformed(GrantId::parse_optional(
                &format!("entries[{index}].grant"),
                &entry.grant,
            ));
        }
        let items = wrong.codes("items", &request.items, MAX_ITEMS, ItemCode::parse);
        let purpose = wrong.malformed(PurposeCode::parse("purpose", &request.purpose));
        let user = wrong.user("user", &request.user);
        let branch = wrong.malformed(Branch::parse("branch", &request.branch));
        let deadline_ms = match request.deadline_ms {
            0 => DEFAULT_DEADLINE_MS,
            given => wrong.range("deadline_ms", given, DEADLINE_MS.0, DEADLINE_MS.1),
        };
        match (wrong.0, purpose, branch) {
            (None, Some(purpose), Some(branch)) => Ok(Self {
                job_id,
                user,
                items,
                purpose,
                branch,
                deadline_ms,
            }),
            (fault, ..) => Err(fault.unwrap_or_else(|| Fault::new(Reason::FieldRequired))),
        }
    }

    /// The entries of its request, each by itself.
    pub(crate) fn entries(&self, request: &wire::StartJobRequest) -> Vec<EntryAsk> {
        let mut seen = HashMap::new();
        let entries = request.entries.iter().zip(0_u32..);
        entries
            .map(|(entry, index)| match self.entry(entry) {
                Err(fault) => {
                    let view = FaultView::from_status(&fault.status());
                    let message = view.violations.first().map(|(_, what)| what.clone());
                    EntryAsk::Invalid {
                        reason: view.reason.unwrap_or(Reason::FieldFormat),
                        message: message.unwrap_or(view.message),
                    }
                }
                Ok(ask) => match seen.entry(ask.uscc) {
                    Entry::Occupied(first) => EntryAsk::Duplicate(*first.get()),
                    Entry::Vacant(new) => {
                        new.insert(index);
                        EntryAsk::Ask(Box::new(ask))
                    }
                },
            })
            .collect()
    }

    fn entry(&self, entry: &wire::JobEntry) -> Result<Ask, Fault> {
        let grant = GrantId::parse_optional("grant", &entry.grant);
        Ok(Ask {
            uscc: super::uscc(&entry.uscc)?,
            items: self.items.clone(),
            purpose: self.purpose.clone(),
            grant: grant.map_err(|fault| xinqiao_rpc::ledger_fault::malformed(&fault))?,
            user: self.user.clone(),
            branch: self.branch.clone(),
            deadline_ms: self.deadline_ms,
            with_catalogue: false,
            request_id: None,
        })
    }
}

/// A portfolio to be watched, in the order of the request.
pub(crate) fn portfolio(
    request: &wire::WatchPortfolioRequest,
) -> Result<(Vec<Uscc>, String), Fault> {
    let mut wrong = Violations::default();
    count(&mut wrong, "usccs", request.usccs.len());
    let mut seen = HashMap::new();
    let mut codes = Vec::with_capacity(request.usccs.len());
    for (index, text) in request.usccs.iter().enumerate().take(MAX_ENTRIES) {
        let field = format!("usccs[{index}]");
        codes.extend(wrong.uscc_of(&field, text));
        if let Some(first) = seen.insert(text, index) {
            let again = format!("the same as usccs[{first}]");
            wrong.add(&field, Reason::DuplicateItem, again);
        }
    }
    let user = wrong.user("user", &request.user);
    match wrong.0 {
        None => Ok((codes, user)),
        Some(fault) => Err(fault),
    }
}

fn count(wrong: &mut Violations, field: &str, got: usize) {
    let problem = match got {
        0 => Problem::Required,
        1..=MAX_ENTRIES => return,
        _ => Problem::TooMany {
            max: MAX_ENTRIES,
            got,
        },
    };
    wrong.malformed::<()>(Err(Malformed::new(field, problem)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| {
                let uscc = Uscc::from_base17(&format!("91320500MA1{number:06}")).unwrap();
                uscc.expose().to_owned()
            })
            .collect()
    }

    fn job(usccs: &[String]) -> wire::StartJobRequest {
        wire::StartJobRequest {
            entries: (usccs.iter())
                .map(|uscc| wire::JobEntry {
                    uscc: uscc.clone(),
                    grant: vec![],
                })
                .collect(),
            purpose: "loan".into(),
            user: "clerk".into(),
            ..wire::StartJobRequest::default()
        }
    }

    #[test]
    fn a_faulty_entry_is_said_with_its_place_and_harms_no_other() {
        let mut usccs = codes(3);
        let mistyped = format!("{}I", &usccs[1][..17]);
        usccs.extend([usccs[0].clone(), mistyped.clone(), mistyped, "91".into()]);
        let request = job(&usccs);
        let entries = JobAsk::parse(&request).unwrap().entries(&request);
        assert!(
            entries[..3]
                .iter()
                .all(|entry| matches!(entry, EntryAsk::Ask(_)))
        );
        assert_eq!(entries[3], EntryAsk::Duplicate(0));
        for (entry, expected) in entries[4..].iter().zip([
            Reason::UsccAlphabet,
            Reason::UsccAlphabet,
            Reason::UsccLength,
        ]) {
            let EntryAsk::Invalid { reason, message } = entry else {
                panic!("{entry:?}");
            };
            assert_eq!(*reason, expected);
            assert!(usccs.iter().all(|code| !message.contains(code.as_str())));
        }
    }

    #[test]
    fn a_job_is_held_to_its_limits() {
        use Reason as R;
        let check = |change: fn(&mut wire::StartJobRequest), field: &str, reason| {
            let mut request = job(&codes(2));
            change(&mut request);
            let fault = JobAsk::parse(&request).unwrap_err();
            let view = FaultView::from_status(&fault.status());
            assert_eq!(view.reason, Some(reason), "{field}");
            assert_eq!(view.violations[0].0, field);
        };
        check(|r| r.entries.clear(), "entries", R::FieldRequired);
        check(
            |r| r.entries = vec![r.entries[0].clone(); MAX_ENTRIES + 1],
            "entries",
            R::TooManyItems,
        );
        check(
            |r| r.entries[1].uscc = "9".repeat(65),
            "entries[1].uscc",
            R::FieldTooLong,
        );
        check(
            |r| r.entries[1].grant = vec![1; 31],
            "entries[1].grant",
            R::FieldLength,
        );
        check(|r| r.job_id = "j".repeat(65), "job_id", R::FieldTooLong);
        check(|r| r.job_id = "a job".into(), "job_id", R::FieldFormat);
        check(|r| r.items = vec!["Tax".into()], "items[0]", R::FieldFormat);
        check(|r| r.purpose.clear(), "purpose", R::FieldRequired);
        check(|r| r.user.clear(), "user", R::FieldRequired);
        check(|r| r.branch = "b".repeat(65), "branch", R::FieldTooLong);
        check(|r| r.deadline_ms = 99, "deadline_ms", R::FieldRange);
    }

    #[test]
    fn every_faulty_code_of_a_portfolio_is_named_with_its_place() {
        let mut usccs = codes(2);
        usccs.push(usccs[0].clone());
        usccs.push("91".into());
        let request = wire::WatchPortfolioRequest {
            usccs,
            user: "clerk".into(),
            after_height: 0,
        };
        let fault = portfolio(&request).unwrap_err();
        let view = FaultView::from_status(&fault.status());
        let fields: Vec<&str> = view.violations.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, ["usccs[2]", "usccs[3]"]);
    }
}
