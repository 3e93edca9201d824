//! Requests of the bank's application, checked field by field. Every field that breaks a rule is named
//! in one answer; what was written in it is not repeated.

mod many;

use std::time::Duration;

pub(crate) use many::{EntryAsk, JobAsk, portfolio};

use tonic::metadata::MetadataMap;
use xinqiao_ledger::{
    consent::{MAX_DAYS, MAX_USES},
    ids::{GrantId, ItemCode, PurposeCode},
    malformed::{Malformed, Problem},
    order::DEADLINE_MS,
    text::Branch,
    uscc::{Uscc, UsccError},
    wire,
};
use xinqiao_rpc::{Fault, Reason};

/// The most item codes of one request.
const MAX_ITEMS: usize = 64;

/// The most purposes of one request.
const MAX_PURPOSES: usize = 16;

/// What sources are given when the application does not say.
const DEFAULT_DEADLINE_MS: u32 = 10_000;

/// The most bytes of a user's name.
const MAX_USER: usize = 64;

/// The most characters of a request's or job's name.
const MAX_NAME: usize = 64;

/// A query that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) uscc: Uscc,
    /// Ascending; empty for all that the grant covers.
    pub(crate) items: Vec<ItemCode>,
    pub(crate) purpose: PurposeCode,
    pub(crate) grant: Option<GrantId>,
    pub(crate) user: String,
    pub(crate) branch: Branch,
    pub(crate) deadline_ms: u32,
    pub(crate) with_catalogue: bool,
    /// Names the request; none if it need not be repeatable.
    pub(crate) request_id: Option<String>,
}

/// A request for consent that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantAsk {
    pub(crate) uscc: Uscc,
    pub(crate) purposes: Vec<PurposeCode>,
    pub(crate) items: Vec<ItemCode>,
    pub(crate) valid_days: u32,
    pub(crate) max_uses: u32,
    pub(crate) data_life_days: u32,
    pub(crate) lapses_after_days: u32,
}

/// Fields that break rules, as they are found.
#[derive(Debug, Default)]
struct Violations(Option<Fault>);

impl Violations {
    fn add(&mut self, field: &str, reason: Reason, description: String) {
        self.0 = Some(match self.0.take() {
            None => Fault::field(field, reason, description),
            Some(fault) => fault.and_field(field, reason, description),
        });
    }

    fn malformed<T>(&mut self, parsed: Result<T, Malformed>) -> Option<T> {
        parsed
            .map_err(|fault| {
                let code = fault.problem.code();
                let reason = Reason::from_code(code).unwrap_or(Reason::FieldFormat);
                self.add(&fault.field, reason, fault.problem.to_string());
            })
            .ok()
    }

    fn uscc(&mut self, text: &str) -> Option<Uscc> {
        self.uscc_of("uscc", text)
    }

    fn uscc_of(&mut self, field: &str, text: &str) -> Option<Uscc> {
        text.parse::<Uscc>()
            .map_err(|error| {
                let reason = match error {
                    UsccError::Length { .. } => Reason::UsccLength,
                    UsccError::Alphabet { .. } => Reason::UsccAlphabet,
                    UsccError::CheckCharacter { .. } => Reason::UsccCheckCharacter,
                };
                self.add(field, reason, error.to_string());
            })
            .ok()
    }

    /// Codes in ascending order, as the ledger wants them; the application may name them in any.
    fn codes<C: Ord>(
        &mut self,
        field: &str,
        codes: &[String],
        max: usize,
        parse: fn(&str, &str) -> Result<C, Malformed>,
    ) -> Vec<C> {
        if codes.len() > max {
            let problem = Problem::TooMany {
                max,
                got: codes.len(),
            };
            self.malformed::<()>(Err(Malformed::new(field, problem)));
            return Vec::new();
        }
        let mut parsed: Vec<C> = codes
            .iter()
            .enumerate()
            .filter_map(|(index, code)| self.malformed(parse(&format!("{field}[{index}]"), code)))
            .collect();
        parsed.sort();
        if parsed.windows(2).any(|pair| pair[0] == pair[1]) {
            self.add(field, Reason::DuplicateItem, "each code once".to_owned());
        }
        parsed
    }

    /// A user's name, which stays with the institution: the ledger has a pseudonym.
    fn user(&mut self, field: &str, value: &str) -> String {
        let problem = if value.is_empty() {
            Problem::Required
        } else if value.len() > MAX_USER {
            Problem::TooLong {
                max: MAX_USER,
                got: value.len(),
            }
        } else if value.chars().any(char::is_control) {
            Problem::Format("text without control characters")
        } else {
            return value.to_owned();
        };
        self.malformed::<()>(Err(Malformed::new(field, problem)));
        String::new()
    }

    /// A name that an application gives to a request or job.
    fn name(&mut self, field: &str, value: &str) -> Option<String> {
        let problem = if value.is_empty() {
            return None;
        } else if value.len() > MAX_NAME {
            Problem::TooLong {
                max: MAX_NAME,
                got: value.len(),
            }
        } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            Problem::Format("visible ASCII characters")
        } else {
            return Some(value.to_owned());
        };
        self.malformed::<()>(Err(Malformed::new(field, problem)));
        None
    }

    fn range(&mut self, field: &str, got: u32, min: u32, max: u32) -> u32 {
        if !(min..=max).contains(&got) {
            let problem = Problem::Range {
                min: min.into(),
                max: max.into(),
                got: got.into(),
            };
            self.malformed::<()>(Err(Malformed::new(field, problem)));
        }
        got
    }
}

impl Ask {
    pub(crate) fn parse(request: &wire::QueryReportRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::default();
        let uscc = wrong.uscc(&request.uscc);
        let items = wrong.codes("items", &request.items, MAX_ITEMS, ItemCode::parse);
        let purpose = wrong.malformed(PurposeCode::parse("purpose", &request.purpose));
        let grant = wrong.malformed(GrantId::parse_optional("grant", &request.grant));
        let user = wrong.user("user", &request.user);
        let branch = wrong.malformed(Branch::parse("branch", &request.branch));
        let deadline_ms = match request.deadline_ms {
            0 => DEFAULT_DEADLINE_MS,
            given => wrong.range("deadline_ms", given, DEADLINE_MS.0, DEADLINE_MS.1),
        };
        let request_id = wrong.name("request_id", &request.request_id);
        match (wrong.0, uscc, purpose, grant, branch) {
            (None, Some(uscc), Some(purpose), Some(grant), Some(branch)) => Ok(Self {
                uscc,
                items,
                purpose,
                grant,
                user,
                branch,
                deadline_ms,
                with_catalogue: request.with_catalogue,
                request_id,
            }),
            (fault, ..) => Err(fault.unwrap_or_else(|| Fault::new(Reason::FieldRequired))),
        }
    }
}

impl GrantAsk {
    pub(crate) fn parse(request: &wire::RequestGrantRequest) -> Result<Self, Fault> {
        let mut wrong = Violations::default();
        let uscc = wrong.uscc(&request.uscc);
        let purposes = &request.purposes;
        let purposes = wrong.codes("purposes", purposes, MAX_PURPOSES, PurposeCode::parse);
        let items = wrong.codes("items", &request.items, MAX_ITEMS, ItemCode::parse);
        for (field, empty) in [
            ("purposes", request.purposes.is_empty()),
            ("items", request.items.is_empty()),
        ] {
            if empty {
                wrong.malformed::<()>(Err(Malformed::new(field, Problem::Required)));
            }
        }
        let days = MAX_DAYS;
        let valid_days = wrong.range("valid_days", request.valid_days, 1, days);
        let max_uses = wrong.range("max_uses", request.max_uses, 1, MAX_USES);
        let data_life_days = wrong.range("data_life_days", request.data_life_days, 1, days);
        let lapses = request.lapses_after_days;
        let lapses_after_days = wrong.range("lapses_after_days", lapses, 1, 365);
        match (wrong.0, uscc) {
            (None, Some(uscc)) => Ok(Self {
                uscc,
                purposes,
                items,
                valid_days,
                max_uses,
                data_life_days,
                lapses_after_days,
            }),
            (fault, _) => Err(fault.unwrap_or_else(|| Fault::new(Reason::FieldRequired))),
        }
    }
}

/// The name of a job that is asked for.
pub(crate) fn job_id(text: &str) -> Result<String, Fault> {
    let mut wrong = Violations::default();
    let name = wrong.name("job_id", text);
    name.ok_or_else(|| {
        let missing = || Fault::field("job_id", Reason::FieldRequired, "must be given");
        wrong.0.unwrap_or_else(missing)
    })
}

/// A code of an enterprise.
pub(crate) fn uscc(text: &str) -> Result<Uscc, Fault> {
    let mut wrong = Violations::default();
    let uscc = wrong.uscc(text);
    uscc.ok_or_else(|| wrong.0.unwrap_or_else(|| Fault::new(Reason::UsccLength)))
}

/// How long the application waits, if it says so.
pub(crate) fn patience(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3_600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_rpc::FaultView;

    fn well_formed() -> wire::QueryReportRequest {
        wire::QueryReportRequest {
            uscc: Uscc::from_base17("91320500MA1ABCDE1")
                .unwrap()
                .expose()
                .to_owned(),
            items: vec!["tax".into(), "court".into()],
            purpose: "loan".into(),
            grant: vec![],
            user: "zhang.wei".into(),
            deadline_ms: 0,
            branch: String::new(),
            with_catalogue: false,
            request_id: String::new(),
        }
    }

    fn check(change: impl Fn(&mut wire::QueryReportRequest), field: &str, reason: Reason) {
        let mut request = well_formed();
        change(&mut request);
        let fault = Ask::parse(&request).unwrap_err();
        let view = FaultView::from_status(&fault.status());
        let fields: Vec<&str> = view.violations.iter().map(|(field, _)| &**field).collect();
        assert_eq!((view.reason, fields), (Some(reason), vec![field]));
    }

    #[test]
    fn a_well_formed_query_is_read_with_its_defaults_and_in_order() {
        let ask = Ask::parse(&well_formed()).unwrap();
        assert_eq!(
            ask.items,
            ["court", "tax"].map(|code| code.parse().unwrap())
        );
        assert_eq!((ask.deadline_ms, ask.grant), (10_000, None));
    }

    #[test]
    fn every_field_that_breaks_its_rule_is_refused_with_its_own_reason() {
        use Reason as R;
        check(|r| r.uscc.push('1'), "uscc", R::UsccLength);
        check(|r| r.uscc.clear(), "uscc", R::UsccLength);
        check(|r| r.uscc.replace_range(3..4, "I"), "uscc", R::UsccAlphabet);
        check(
            |r| {
                let last = if r.uscc.ends_with('0') { "1" } else { "0" };
                r.uscc.replace_range(17.., last);
            },
            "uscc",
            R::UsccCheckCharacter,
        );
        check(|r| r.items[1] = "Tax".into(), "items[1]", R::FieldFormat);
        check(|r| r.items[1] = "a".repeat(33), "items[1]", R::FieldTooLong);
        check(|r| r.items[1] = "tax".into(), "items", R::DuplicateItem);
        check(
            |r| r.items = (0..65).map(|n| format!("i{n}")).collect(),
            "items",
            R::TooManyItems,
        );
        check(|r| r.purpose.clear(), "purpose", R::FieldRequired);
        check(|r| r.purpose = "L".into(), "purpose", R::FieldFormat);
        check(|r| r.grant = vec![1; 31], "grant", R::FieldLength);
        check(|r| r.user.clear(), "user", R::FieldRequired);
        check(|r| r.user = "a\n".into(), "user", R::FieldFormat);
        check(|r| r.user = "u".repeat(65), "user", R::FieldTooLong);
        check(|r| r.branch = "b".repeat(65), "branch", R::FieldTooLong);
        check(|r| r.branch = r.uscc.clone(), "branch", R::UsccExposed);
        check(
            |r| r.request_id = "n".repeat(65),
            "request_id",
            R::FieldTooLong,
        );
        for id in ["a b", "a\n", "编号"] {
            check(|r| r.request_id = id.into(), "request_id", R::FieldFormat);
        }
        check(|r| r.deadline_ms = 99, "deadline_ms", R::FieldRange);
        check(|r| r.deadline_ms = 86_400_001, "deadline_ms", R::FieldRange);
    }

    #[test]
    fn all_wrong_fields_are_named_in_one_answer_and_no_code_is_repeated_in_it() {
        let mut request = well_formed();
        let mistyped = format!("{}I", &request.uscc[..17]);
        request.uscc.clone_from(&mistyped);
        request.purpose.clear();
        request.user.clear();
        let status = Ask::parse(&request).unwrap_err().status();
        let view = FaultView::from_status(&status);
        assert_eq!(view.violations.len(), 3);
        assert!(!format!("{status:?}").contains(&mistyped));
    }

    #[test]
    fn a_request_for_consent_is_held_to_its_limits() {
        let request = wire::RequestGrantRequest {
            uscc: well_formed().uscc,
            purposes: vec!["loan".into()],
            items: vec!["tax".into()],
            valid_days: 30,
            max_uses: 1,
            data_life_days: 30,
            lapses_after_days: 7,
        };
        assert!(GrantAsk::parse(&request).is_ok());
        type Change = fn(&mut wire::RequestGrantRequest);
        let cases: [(Change, &str, Reason); 6] = [
            (|r| r.purposes.clear(), "purposes", Reason::FieldRequired),
            (|r| r.items.clear(), "items", Reason::FieldRequired),
            (|r| r.valid_days = 3_651, "valid_days", Reason::FieldRange),
            (|r| r.max_uses = 0, "max_uses", Reason::FieldRange),
            (
                |r| r.data_life_days = 0,
                "data_life_days",
                Reason::FieldRange,
            ),
            (
                |r| r.lapses_after_days = 366,
                "lapses_after_days",
                Reason::FieldRange,
            ),
        ];
        for (change, field, reason) in cases {
            let mut request = request.clone();
            change(&mut request);
            let fault = GrantAsk::parse(&request).unwrap_err();
            let view = FaultView::from_status(&fault.status());
            assert_eq!(view.reason, Some(reason), "{field}");
            assert_eq!(view.violations[0].0, field);
        }
    }
}
