//! The ledger's reasons as answers: a malformed field, and a refusal of the contracts.
//!
//! Both sides use the same words, so this is a look-up and not a translation; the test below holds
//! every word of the ledger to having its entry in the table of reasons.

use xinqiao_ledger::{malformed::Malformed, outcome};

use crate::{fault::Fault, reason::Reason};

/// The answer to a field that is not what the contract says.
pub fn malformed(fault: &Malformed) -> Fault {
    let reason = Reason::from_code(fault.problem.code()).unwrap_or(Reason::Internal);
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
    use super::*;
    use xinqiao_ledger::malformed::Problem;
    use xinqiao_ledger::order::{PartRejection, Verdict};

    #[test]
    fn every_word_of_the_ledger_is_in_the_table_of_reasons() {
        let problems = [
            Problem::Required,
            Problem::Length {
                expected: 1,
                got: 2,
            },
            Problem::TooLong { max: 1, got: 2 },
            Problem::TooMany { max: 1, got: 2 },
            Problem::Range {
                min: 1,
                max: 2,
                got: 3,
            },
            Problem::Format("x"),
            Problem::UnknownEnum(9),
            Problem::NotAscending,
            Problem::NotCanonical,
            Problem::Undecodable(String::new()),
        ];
        let words = (outcome::Reason::ALL.iter().map(|reason| reason.code()))
            .chain(problems.iter().map(Problem::code))
            .chain(PartRejection::ALL.iter().map(|reason| reason.code()))
            .chain(Verdict::ALL.iter().map(|verdict| verdict.code()))
            .filter(|code| !code.is_empty());
        for code in words {
            assert!(Reason::from_code(code).is_some(), "{code}");
        }
    }
}
