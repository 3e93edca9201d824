//! Why a call brought nothing, by what the caller can do about it. It reads gRPC statuses and decides
//! ([`Error::from_status`]); it calls nobody and retries nothing.
//!
//! Each case carries the same words ([`Detail`]): the stable reason code of docs/errors.md, a sentence in English
//! and one in Chinese. The Python library has the same classes, and a test holds the two against each other.

use std::{collections::BTreeMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Whose reasons are believed: `ErrorInfo.domain`.
const DOMAIN: &str = "xinqiao";

/// How long to wait when the answer does not say.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);

/// Reasons that pass by themselves, whatever their gRPC code.
const PASSING: [&str; 6] = [
    "MEMPOOL_FULL",
    "QUOTA_EXCEEDED",
    "TOO_MANY_WAITING",
    "STATE_FULL",
    "NODE_SYNCING",
    "DELIVERY_NOT_FINAL",
];

/// Why a call brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The answer is no, and the same request gets the same answer until something else changes: consent, a
    /// role, a state. A refused query is on the ledger.
    #[error("{detail}")]
    Refused {
        /// What refused it.
        by: Refusal,
        /// What was said.
        detail: Box<Detail>,
    },
    /// The request breaks a rule: it has to be changed. Nothing was done.
    #[error("{detail}")]
    BadInput {
        /// The fields that break rules; empty if it is the request as a whole.
        fields: Vec<BadField>,
        /// What was said.
        detail: Box<Detail>,
    },
    /// The same request is worth another try after a while. Nothing was done.
    #[error("{detail}")]
    TryLater {
        /// After how long.
        after: Duration,
        /// What was said.
        detail: Box<Detail>,
    },
    /// What came is not what was registered or recorded, or cannot be read. Use nothing of it.
    #[error("{detail}")]
    Broken {
        /// What was said.
        detail: Box<Detail>,
    },
    /// No answer came in time, or something failed on the way. Whether an order was placed is not known: repeat
    /// the request with the same `request_id`, and it is not placed a second time.
    #[error("{detail}")]
    Unavailable {
        /// What was said.
        detail: Box<Detail>,
    },
}

/// What refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no live consent that covers it.
    Consent,
    /// Institution, user, role or purpose may not do it.
    Permission,
    /// What it is about does not exist, or is in a state that does not allow it.
    State,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Its path as in the .proto file: `items[2]`.
    pub field: String,
    /// The rule with its numbers. It does not repeat the value.
    pub rule: String,
}

/// What is known of a failure.
#[derive(Debug, Clone)]
pub struct Detail {
    /// The stable reason code; empty if whoever answered gave none.
    pub reason: String,
    /// What happened, in English.
    pub english: String,
    /// What happened and what to do, in Chinese; empty if nobody said.
    pub chinese: String,
    /// Where the reason is explained, within the source tree: `docs/errors.md#…`; empty without a reason.
    pub help: String,
    /// Named facts for programs, such as `tx_id` of a refusal that is on the ledger, and `trace_id`.
    pub facts: BTreeMap<String, String>,
    /// The status as it came; none if this library found it out by itself.
    pub status: Option<Status>,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => f.write_str(&self.english),
            reason => write!(f, "{reason}: {}", self.english),
        }
    }
}

/// A reason that this library gives by itself, with the words of the product's table.
pub(crate) struct Own {
    pub(crate) code: &'static str,
    pub(crate) english: &'static str,
    pub(crate) chinese: &'static str,
}

/// Every such reason.
pub(crate) mod own {
    use super::Own;

    pub(crate) const FIELD_FORMAT: Own = Own {
        code: "FIELD_FORMAT",
        english: "A field's value has not the form it must have.",
        chinese: "字段的值格式不正确。请按违规说明给出的格式填写。",
    };
    pub(crate) const MESSAGE_TOO_LARGE: Own = Own {
        code: "MESSAGE_TOO_LARGE",
        english: "A message is larger than the transport limit.",
        chinese: "消息超过传输上限。请把内容拆分为多条不超过上限的消息。",
    };
    pub(crate) const MESSAGE_MALFORMED: Own = Own {
        code: "MESSAGE_MALFORMED",
        english: "The message is not a valid protobuf encoding of its type.",
        chinese: "消息不是该类型的有效 protobuf 编码。请用已发布的 .proto 文件生成客户端，并发送其编码结果。",
    };
    pub(crate) const METHOD_UNKNOWN: Own = Own {
        code: "METHOD_UNKNOWN",
        english: "This server has no such method.",
        chinese: "本服务没有这个方法。请检查服务名和方法名，并确认连接的是正确的进程。",
    };
    pub(crate) const DEADLINE: Own = Own {
        code: "DEADLINE",
        english: "The call was not answered within its deadline.",
        chinese: "请求未在时限内完成。请放宽时限后重试；已提交的内容可按标识查询。",
    };
    pub(crate) const UPSTREAM_UNAVAILABLE: Own = Own {
        code: "UPSTREAM_UNAVAILABLE",
        english: "A process that is needed for the answer cannot be reached.",
        chinese: "完成请求所需的进程无法连接。请稍后重试；若持续失败，请运维人员查看日志中失败的地址。",
    };
    pub(crate) const ITEM_MISMATCH: Own = Own {
        code: "ITEM_MISMATCH",
        english: "A delivered item does not lead to the root that the source had registered.",
        chinese: "交付的信息项与数据源登记的根不符。请勿使用该信息项；账本已记录此不一致供监管查看。",
    };

    #[cfg(test)]
    pub(crate) const ALL: [Own; 7] = [
        FIELD_FORMAT,
        MESSAGE_TOO_LARGE,
        MESSAGE_MALFORMED,
        METHOD_UNKNOWN,
        DEADLINE,
        UPSTREAM_UNAVAILABLE,
        ITEM_MISMATCH,
    ];
}

impl Own {
    fn detail(&self, because: &str, status: Option<Status>) -> Box<Detail> {
        let english = match because {
            "" => self.english.to_owned(),
            because => format!("{} ({because})", self.english),
        };
        Box::new(Detail {
            reason: self.code.to_owned(),
            english,
            chinese: self.chinese.to_owned(),
            help: format!("docs/errors.md#{}", self.code.to_ascii_lowercase()),
            facts: BTreeMap::new(),
            status,
        })
    }
}

impl Error {
    /// Reads the status of a failed call.
    #[must_use]
    pub fn from_status(status: Status) -> Self {
        let details = status.get_error_details();
        let ours = (details.error_info()).filter(|info| info.domain == DOMAIN);
        let Some(info) = ours else {
            return Self::from_bare(status);
        };
        let fields = details.bad_request().map_or_else(Vec::new, |bad| {
            (bad.field_violations.iter())
                .map(|violation| BadField {
                    field: violation.field.clone(),
                    rule: violation.description.clone(),
                })
                .collect()
        });
        let after = details.retry_info().and_then(|info| info.retry_delay);
        let detail = Box::new(Detail {
            reason: info.reason.clone(),
            english: status.message().to_owned(),
            chinese: (details.localized_message()).map_or_else(String::new, |m| m.message.clone()),
            help: (details.help().and_then(|help| help.links.first()))
                .map_or_else(String::new, |link| link.url.clone()),
            facts: (info.metadata.iter())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            status: Some(status.clone()),
        });
        match class(status.code(), &info.reason, after.is_some()) {
            Class::Refused(by) => Self::Refused { by, detail },
            Class::BadInput => Self::BadInput { fields, detail },
            Class::TryLater => Self::TryLater {
                after: after.unwrap_or(DEFAULT_DELAY),
                detail,
            },
            Class::Broken => Self::Broken { detail },
            Class::Unavailable => Self::Unavailable { detail },
        }
    }

    /// A status of gRPC itself: no connection, a passed deadline, a message that is too large, another server.
    fn from_bare(status: Status) -> Self {
        let message = status.message();
        let own = match status.code() {
            Code::OutOfRange | Code::ResourceExhausted if message.contains("too large") => {
                own::MESSAGE_TOO_LARGE
            }
            Code::Internal if message.contains("decode Protobuf message") => own::MESSAGE_MALFORMED,
            Code::Unimplemented => own::METHOD_UNKNOWN,
            Code::DeadlineExceeded => own::DEADLINE,
            Code::Cancelled if message.contains("Timeout expired") => own::DEADLINE,
            _ => own::UPSTREAM_UNAVAILABLE,
        };
        let because = std::error::Error::source(&status).map_or(message.to_owned(), innermost);
        let detail = own.detail(&because, Some(status));
        match own.code {
            "MESSAGE_TOO_LARGE" | "METHOD_UNKNOWN" => Self::BadInput {
                fields: Vec::new(),
                detail,
            },
            "MESSAGE_MALFORMED" => Self::Broken { detail },
            _ => Self::Unavailable { detail },
        }
    }

    /// An argument that cannot be sent at all.
    pub(crate) fn argument(field: &str, rule: &str) -> Self {
        Self::BadInput {
            fields: vec![BadField {
                field: field.to_owned(),
                rule: rule.to_owned(),
            }],
            detail: own::FIELD_FORMAT.detail(&format!("{field}: {rule}"), None),
        }
    }

    /// An answer that does not have the form that the contract gives it.
    pub(crate) fn unreadable(what: &str) -> Self {
        Self::Broken {
            detail: own::MESSAGE_MALFORMED.detail(what, None),
        }
    }

    /// An item that does not lead to its root.
    pub(crate) fn mismatch(what: &str) -> Self {
        Self::Broken {
            detail: own::ITEM_MISMATCH.detail(what, None),
        }
    }

    /// No answer within the time that the caller gave.
    pub(crate) fn deadline() -> Self {
        Self::Unavailable {
            detail: own::DEADLINE.detail("", None),
        }
    }

    /// What is known of it, whatever the case.
    #[must_use]
    pub fn detail(&self) -> &Detail {
        match self {
            Self::Refused { detail, .. }
            | Self::BadInput { detail, .. }
            | Self::TryLater { detail, .. }
            | Self::Broken { detail }
            | Self::Unavailable { detail } => detail,
        }
    }

    /// The stable reason code; empty if whoever answered gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.detail().reason
    }

    /// The case in one word, as in docs/integrating.md and in the Python library: `refused_consent`,
    /// `refused_permission`, `refused_state`, `bad_input`, `try_later`, `broken`, `unavailable`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused { by, .. } => match by {
                Refusal::Consent => "refused_consent",
                Refusal::Permission => "refused_permission",
                Refusal::State => "refused_state",
            },
            Self::BadInput { .. } => "bad_input",
            Self::TryLater { .. } => "try_later",
            Self::Broken { .. } => "broken",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Refused(Refusal),
    BadInput,
    TryLater,
    Broken,
    Unavailable,
}

/// What a caller can do about a status that carries a reason of ours. Reasons of a later version are classed by
/// their gRPC code.
fn class(code: Code, reason: &str, has_delay: bool) -> Class {
    if has_delay || PASSING.contains(&reason) {
        return Class::TryLater;
    }
    if reason.starts_with("CONSENT_") {
        return Class::Refused(Refusal::Consent);
    }
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Class::BadInput,
        Code::ResourceExhausted if reason == "MESSAGE_TOO_LARGE" => Class::BadInput,
        Code::PermissionDenied | Code::Unauthenticated => Class::Refused(Refusal::Permission),
        Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::Cancelled => Class::Refused(Refusal::State),
        Code::Aborted => Class::TryLater,
        Code::DataLoss => Class::Broken,
        Code::Ok | Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Unknown => {
            Class::Unavailable
        }
    }
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
    use xinqiao_rpc::{Fault, Reason};

    #[test]
    fn what_this_library_says_by_itself_are_the_words_of_the_table() {
        for own in own::ALL {
            let reason = Reason::from_code(own.code).unwrap();
            let (en, zh) = (reason.english(), reason.chinese());
            assert_eq!(own.english, en.happened, "{reason}");
            let chinese = format!("{}{}", zh.happened, zh.remedy);
            assert_eq!(own.chinese, chinese, "{reason}");
            let help = own.detail("", None).help;
            assert_eq!(help, reason.help_url(), "{reason}");
        }
    }

    #[test]
    fn passing_reasons_exist_and_all_that_pass_are_worth_another_try() {
        for code in PASSING {
            assert!(Reason::from_code(code).is_some(), "{code}");
        }
        for reason in Reason::ALL.iter().filter(|reason| reason.is_transient()) {
            let error = Error::from_status(Fault::new(*reason).status());
            let class = error.class();
            assert!(
                matches!(class, "try_later" | "unavailable"),
                "{reason}: {class}"
            );
        }
    }

    fn check(fault: Fault, class: &str) -> Error {
        let error = Error::from_status(fault.status());
        assert_eq!(error.class(), class, "{error}");
        error
    }

    #[test]
    fn a_fault_is_classed_by_what_can_be_done_and_keeps_its_words() {
        let error = check(
            Fault::new(Reason::ConsentRevoked).with("tx_id", "00ff"),
            "refused_consent",
        );
        assert_eq!(error.reason(), "CONSENT_REVOKED");
        assert_eq!(error.detail().facts["tx_id"], "00ff");
        assert!(error.detail().chinese.contains("撤回"));
        assert_eq!(error.detail().help, "docs/errors.md#consent_revoked");

        check(Fault::new(Reason::ConsentWrongPurpose), "refused_consent");
        check(Fault::new(Reason::RoleDenied), "refused_permission");
        check(Fault::new(Reason::TokenExpired), "refused_permission");
        check(Fault::new(Reason::SubjectUnknown), "refused_state");
        check(Fault::new(Reason::MempoolFull), "try_later");
        check(Fault::new(Reason::ReceiptInvalid), "broken");
        check(Fault::new(Reason::NodeHalted), "unavailable");
        check(Fault::new(Reason::Internal), "unavailable");

        let bad = Fault::field("items[2]", Reason::FieldTooLong, "at most 32");
        let Error::BadInput { fields, .. } = check(bad, "bad_input") else {
            panic!("it is bad input");
        };
        assert_eq!(
            (&*fields[0].field, &*fields[0].rule),
            ("items[2]", "at most 32")
        );

        let delay = Duration::from_millis(1_500);
        let quota = Fault::new(Reason::QuotaExceeded).retry_after(delay);
        let Error::TryLater { after, .. } = check(quota, "try_later") else {
            panic!("it passes");
        };
        assert_eq!(after, delay);
    }

    #[test]
    fn statuses_of_grpc_itself_have_reasons_too() {
        for (status, class, reason) in [
            (
                Status::unavailable("gone"),
                "unavailable",
                "UPSTREAM_UNAVAILABLE",
            ),
            (
                Status::cancelled("Timeout expired"),
                "unavailable",
                "DEADLINE",
            ),
            (Status::deadline_exceeded(""), "unavailable", "DEADLINE"),
            (Status::unimplemented(""), "bad_input", "METHOD_UNKNOWN"),
            (
                Status::out_of_range("Error, decoded message length too large: 1"),
                "bad_input",
                "MESSAGE_TOO_LARGE",
            ),
            (
                Status::internal("failed to decode Protobuf message: x"),
                "broken",
                "MESSAGE_MALFORMED",
            ),
        ] {
            let error = Error::from_status(status);
            assert_eq!((error.class(), error.reason()), (class, reason));
            assert!(!error.detail().chinese.is_empty());
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_classed_by_its_code() {
        let details = tonic_types::ErrorDetails::with_error_info(
            "NEW_REASON",
            DOMAIN,
            std::collections::HashMap::<String, String>::new(),
        );
        let status = Status::with_error_details(Code::PermissionDenied, "no", details);
        let error = Error::from_status(status);
        assert_eq!(
            (error.class(), error.reason()),
            ("refused_permission", "NEW_REASON")
        );
    }
}
