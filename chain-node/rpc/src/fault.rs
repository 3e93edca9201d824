//! Building error answers that a program and a person can both use, and reading them back.
//!
//! A [`Fault`] becomes a `tonic::Status` with `google.rpc` details: ErrorInfo (the stable code),
//! BadRequest (which field), RetryInfo (when again), LocalizedMessage (Chinese) and Help (where it is
//! explained). A [`FaultView`] is what a client sees of any status, ours or a library's. What the
//! operator should know and a stranger should not goes to the log, never in here.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation as WireViolation, StatusExt};

use crate::channel::NoAnswer;
use crate::propagation::current_trace_id;
use crate::reason::Reason;
use crate::tls_fault;

/// The `ErrorInfo.domain` of every error of this product.
pub const DOMAIN: &str = "xinqiao";

/// The most field violations that one answer lists; a worse request is told of the first ones.
pub const MAX_VIOLATIONS: usize = 16;

/// What prost says of a text field that holds other bytes.
pub(crate) const NOT_UTF8: &str = "not UTF-8 encoded";

/// One field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field as in the .proto file: `items[2].code`.
    pub field: String,
    /// Which rule it breaks.
    pub reason: Reason,
    /// The rule with its numbers: "at most 64 characters, has 70". Never the value itself.
    pub description: String,
}

/// An error answer under construction.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fault {
    reason: Reason,
    because: Option<String>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    metadata: BTreeMap<String, String>,
}

impl Fault {
    /// A fault with this reason and the reason's own text.
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            because: None,
            violations: Vec::new(),
            retry_after: None,
            metadata: BTreeMap::new(),
        }
    }

    /// A fault about one field; its reason is the field's.
    pub fn field(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        Self::new(reason).and_field(field, reason, description)
    }

    /// One more field that breaks a rule. Beyond [`MAX_VIOLATIONS`] it is not listed.
    pub fn and_field(
        mut self,
        field: impl Into<String>,
        reason: Reason,
        description: impl Into<String>,
    ) -> Self {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(FieldViolation {
                field: field.into(),
                reason,
                description: description.into(),
            });
        }
        self
    }

    /// What exactly happened, added to the reason's sentence. A stranger reads it: no secrets, no
    /// subject codes, no paths of this machine.
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.because = Some(detail.into());
        self
    }

    /// After how long the same call is worth another try.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// A named fact for programs: `limit_bytes` = `8388608`.
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The status that travels to the caller. Inside a trace it carries the `trace_id`.
    #[must_use]
    pub fn status(mut self) -> Status {
        let reason = self.reason;
        // With it, the operator finds in the log what a stranger is not told.
        if let Some(trace_id) = current_trace_id() {
            self.metadata.insert("trace_id".to_owned(), trace_id);
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(
            reason.code(),
            DOMAIN,
            self.metadata
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        );
        if !self.violations.is_empty() {
            let violations: Vec<WireViolation> = self
                .violations
                .iter()
                .map(|violation| {
                    let mut wire =
                        WireViolation::new(violation.field.clone(), violation.description.clone());
                    wire.reason = violation.reason.code().to_owned();
                    wire
                })
                .collect();
            details.set_bad_request(violations);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        details.set_localized_message(
            "zh-CN",
            format!("{}{}", reason.chinese().happened, reason.chinese().remedy),
        );
        details.add_help_link(reason.english().remedy, reason.help_url());

        let mut message = reason.english().happened.to_owned();
        for violation in &self.violations {
            message.push_str(&format!(" {}: {}.", violation.field, violation.description));
        }
        if let Some(because) = &self.because {
            message.push_str(&format!(" ({because})"));
        }
        Status::with_error_details(reason.grpc_code(), message, details)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.status()
    }
}

/// What a client can make of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultView {
    /// The gRPC status code.
    pub grpc_code: Code,
    /// The reason, when the status carries a code that this version knows, or when a library's own
    /// status or a TLS failure can be told for one.
    pub reason: Option<Reason>,
    /// The code as it came, also when this version does not know it.
    pub reason_code: Option<String>,
    /// The sentence for people.
    pub message: String,
    /// Fields that break rules: path, and what rule.
    pub violations: Vec<(String, String)>,
    /// When another try is worth it.
    pub retry_after: Option<Duration>,
    /// Named facts.
    pub metadata: BTreeMap<String, String>,
    /// Where it is explained.
    pub help: Option<String>,
    /// The sentence in Chinese.
    pub chinese: Option<String>,
}

impl FaultView {
    /// Reads a status, ours or a library's.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut view = Self {
            grpc_code: status.code(),
            reason: None,
            reason_code: None,
            message: status.message().to_owned(),
            violations: details.bad_request().map_or_else(Vec::new, |bad| {
                bad.field_violations
                    .iter()
                    .map(|v| (v.field.clone(), v.description.clone()))
                    .collect()
            }),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            metadata: BTreeMap::new(),
            help: details
                .help()
                .and_then(|help| help.links.first())
                .map(|link| link.url.clone()),
            chinese: details.localized_message().map(|m| m.message.clone()),
        };
        match details.error_info().filter(|info| info.domain == DOMAIN) {
            Some(info) => {
                view.reason = Reason::from_code(&info.reason);
                view.reason_code = Some(info.reason.clone());
                view.metadata = info
                    .metadata
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
            }
            None => view.read_bare(status),
        }
        view
    }

    /// A status without our details: the client library's own, a failed connection, or a foreign server.
    fn read_bare(&mut self, status: &Status) {
        let source = std::error::Error::source(status);
        let (reason, message) = if let Some(tls) = source.and_then(tls_fault::find) {
            (Some(tls.reason()), Some(tls.to_string()))
        } else {
            (bare_reason(status), source.map(innermost))
        };
        if let Some(message) = message {
            self.message = match no_answer(status) {
                Some(uri) => format!("no answer from {uri}: {message}"),
                None => message,
            };
        }
        if let Some(reason) = reason {
            self.reason = Some(reason);
            self.reason_code = Some(reason.code().to_owned());
            self.help = Some(reason.help_url());
            let chinese = reason.chinese();
            self.chinese = Some(format!("{}{}", chinese.happened, chinese.remedy));
        }
    }

    /// The status that this was read from, for a caller of our own: with our details as they came, and without
    /// the headers of the call. None when it carries none of ours, so that another process' words stay here.
    #[must_use]
    pub fn relayed(&self, status: &Status) -> Option<Status> {
        let ours = !status.details().is_empty() && self.reason_code.is_some();
        ours.then(|| {
            let details = status.details().to_vec();
            Status::with_details(status.code(), status.message(), details.into())
        })
    }

    /// Whether the same call may succeed later without being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.retry_after.is_some()
            || self.reason.is_some_and(Reason::is_transient)
            || (self.reason.is_none() && self.grpc_code == Code::Unavailable)
    }
}

impl std::fmt::Display for FaultView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason_code {
            Some(code) => write!(f, "{code}: {}", self.message),
            None => write!(f, "{:?}: {}", self.grpc_code, self.message),
        }
    }
}

/// What a status that a gRPC library made by itself means in our terms.
///
/// tonic gives these no details; their texts are its own, and `tests/refused.rs` holds them to what it
/// really sends.
pub(crate) fn bare_reason(status: &Status) -> Option<Reason> {
    let message = status.message();
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted
            if message.contains("message length too large") =>
        {
            Some(Reason::MessageTooLarge)
        }
        Code::Internal if message.contains(NOT_UTF8) => Some(Reason::Utf8),
        Code::Internal if message.starts_with("failed to decode Protobuf message") => {
            Some(Reason::MessageMalformed)
        }
        Code::Internal
            if message.contains("Unexpected EOF decoding stream")
                || message.contains("Missing request message") =>
        {
            Some(Reason::MessageTruncated)
        }
        Code::Cancelled if message.contains("Timeout expired") => Some(Reason::Deadline),
        Code::DeadlineExceeded => Some(Reason::Deadline),
        Code::Unimplemented => Some(Reason::MethodUnknown),
        Code::Unavailable => Some(Reason::UpstreamUnavailable),
        _ => None,
    }
}

/// The address that a call got no answer from, if that is what happened.
fn no_answer(status: &Status) -> Option<&str> {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if let Some(failed) = error.downcast_ref::<NoAnswer>() {
            return Some(&failed.uri);
        }
        next = error.source();
    }
    None
}

/// The innermost error says most: "Connection refused" rather than "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_read_back() {
        let status = Fault::field("uscc", Reason::UsccCheckCharacter, "is X, should be Y")
            .and_field(
                "items[2].code",
                Reason::FieldTooLong,
                "at most 64 characters, has 70",
            )
            .because("two fields")
            .retry_after(Duration::from_millis(1500))
            .with("limit", 64)
            .status();
        let view = FaultView::from_status(&status);
        assert_eq!(view.grpc_code, Code::InvalidArgument);
        assert_eq!(view.reason, Some(Reason::UsccCheckCharacter));
        assert_eq!(view.reason_code.as_deref(), Some("USCC_CHECK_CHARACTER"));
        assert_eq!(
            view.violations,
            [
                ("uscc".to_owned(), "is X, should be Y".to_owned()),
                (
                    "items[2].code".to_owned(),
                    "at most 64 characters, has 70".to_owned()
                ),
            ]
        );
        assert_eq!(view.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(view.metadata["limit"], "64");
        assert_eq!(
            view.help.as_deref(),
            Some("docs/errors.md#uscc_check_character")
        );
        assert!(view.chinese.is_some_and(|text| text.contains("校验码")));
        assert!(view.message.contains("two fields"), "{}", view.message);
    }

    #[test]
    fn every_reason_travels_with_its_code() {
        for reason in Reason::ALL {
            let view = FaultView::from_status(&Fault::new(*reason).status());
            assert_eq!(
                (view.reason, view.grpc_code),
                (Some(*reason), reason.grpc_code())
            );
        }
    }

    #[test]
    fn a_code_of_a_later_version_is_shown_as_it_came() {
        let details = ErrorDetails::with_error_info(
            "NEW_CODE",
            DOMAIN,
            [("a", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let view = FaultView::from_status(&Status::with_error_details(Code::Aborted, "m", details));
        assert_eq!(
            (view.reason, view.reason_code.as_deref()),
            (None, Some("NEW_CODE"))
        );
    }

    #[test]
    fn another_domain_s_codes_are_not_taken_for_ours() {
        let details = ErrorDetails::with_error_info(
            "INTERNAL",
            "example.com",
            std::collections::HashMap::<String, String>::new(),
        );
        let view = FaultView::from_status(&Status::with_error_details(Code::Aborted, "m", details));
        assert_eq!((view.reason, view.reason_code), (None, None));
    }

    #[test]
    fn violations_are_bounded() {
        let mut fault = Fault::new(Reason::FieldTooLong);
        for n in 0..1000 {
            fault = fault.and_field(format!("f{n}"), Reason::FieldTooLong, "too long");
        }
        let view = FaultView::from_status(&fault.status());
        assert_eq!(view.violations.len(), MAX_VIOLATIONS);
    }
}
