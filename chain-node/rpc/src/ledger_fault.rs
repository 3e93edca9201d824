//! The ledger's reasons as answers: a malformed field, and a refusal of the contracts.
//!
//! Both sides use the same words, so this is a look-up and not a translation; the test below holds
//! every word of the ledger to having its entry in the table of reasons.

use xinqiao_ledger::{
    malformed::{Malformed, Problem},
    outcome,
};

use crate::{
    fault::{Fault, NOT_UTF8},
    reason::Reason,
};

/// The answer to a field that is not what the contract says.
pub fn malformed(fault: &Malformed) -> Fault {
    let reason = match &fault.problem {
        // The decoder tells by its text alone; the door's own messages are told apart in the same way.
        Problem::Undecodable(why) if why.contains(NOT_UTF8) => Reason::Utf8,
        problem => Reason::from_code(problem.code()).unwrap_or(Reason::Internal),
    };
    Fault::field(fault.field.clone(), reason, fault.problem.to_string())
}

/// The answer to what the contracts refused. `subject` says which field or object was at fault, and
/// may be empty.
pub fn refused(reason: outcome::Reason, subject: &str) -> Fault {
    coded(reason.code(), subject)
}

/// The same from a reason code as it stands on the ledger.
pub fn coded(code: &str, subject: &str) -> Fault {
    let fault = match Reason::from_code(code) {
        Some(reason) => Fault::new(reason),
        // A later version's word: this one cannot explain it, but passes it on.
        None => Fault::new(Reason::Internal).with("ledger_reason", code),
    };
    if subject.is_empty() {
        fault
    } else {
        fault.because(subject).with("subject", subject)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic::Code;
    use xinqiao_ledger::{
        order::{PartRejection, Verdict},
        wire,
    };

    use super::*;
    use crate::fault::FaultView;

    const PROBLEMS: &[Problem] = &[
        Problem::Required,
        Problem::Length {
            expected: 32,
            got: 31,
        },
        Problem::TooLong { max: 1, got: 2 },
        Problem::TooMany { max: 1, got: 2 },
        Problem::Range {
            min: 1,
            max: 2,
            got: 3,
        },
        Problem::Format("a slug"),
        Problem::PlainCode,
        Problem::UnknownEnum(7),
        Problem::NotAscending,
        Problem::Repeated,
        Problem::NotCanonical,
        Problem::Undecodable(String::new()),
    ];

    #[test]
    fn text_that_is_no_utf8_is_told_from_what_is_no_message() {
        for (bytes, expected) in [
            (&[0x0a, 0x01, 0xff][..], Reason::Utf8),
            (&[0x0a, 0x7f], Reason::MessageMalformed),
        ] {
            let why = wire::Member::decode(bytes).unwrap_err().to_string();
            let fault = Malformed::new("body", Problem::Undecodable(why));
            let view = FaultView::from_status(&malformed(&fault).status());
            assert_eq!(view.reason, Some(expected), "{bytes:?}");
        }
    }

    #[test]
    fn every_word_of_the_ledger_is_in_the_table_of_reasons() {
        let words = (outcome::Reason::ALL.iter().map(|reason| reason.code()))
            .chain(PROBLEMS.iter().map(Problem::code))
            .chain(PartRejection::ALL.iter().map(|reason| reason.code()))
            .chain(Verdict::ALL.iter().map(|verdict| verdict.code()))
            .filter(|code| !code.is_empty());
        for code in words {
            assert!(Reason::from_code(code).is_some(), "{code}");
        }
    }

    #[test]
    fn every_reason_of_the_contracts_travels_under_its_code_and_leads_to_the_page_of_errors() {
        let page = include_str!("../../../docs/errors.md");
        for reason in outcome::Reason::ALL {
            let code = reason.code();
            let status = refused(*reason, "tax_payment").status();
            let view = FaultView::from_status(&status);
            assert_eq!(view.reason_code.as_deref(), Some(code));
            assert_eq!(view.metadata["subject"], "tax_payment", "{code}");
            assert!(
                ![Code::Ok, Code::Internal].contains(&status.code()),
                "{code}"
            );
            let headings = page.lines().filter(|line| *line == format!("## {code}"));
            assert_eq!(headings.count(), 1, "{code}");
        }
    }

    #[test]
    fn every_problem_of_a_field_travels_under_its_code_and_names_the_field() {
        for problem in PROBLEMS {
            let fault = Malformed::new("order.items[2]", problem.clone());
            let view = FaultView::from_status(&malformed(&fault).status());
            assert_eq!(view.reason_code.as_deref(), Some(problem.code()));
            assert_eq!(view.grpc_code, Code::InvalidArgument, "{problem:?}");
            assert_eq!(view.violations[0].0, "order.items[2]");
        }
    }

    #[test]
    fn a_later_version_s_word_is_passed_on() {
        let view = FaultView::from_status(&coded("LATER_WORD", "tax").status());
        assert_eq!(view.reason, Some(Reason::Internal));
        assert_eq!(view.metadata["ledger_reason"], "LATER_WORD");
    }
}
