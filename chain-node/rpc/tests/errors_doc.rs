//! docs/errors.md is the table of reasons, written out. `UPDATE_DOCS=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::path::Path;

use xinqiao_rpc::Reason;

const HEAD: &str = "\
# Errors / 错误

Every error answer of XinQiao is a `google.rpc.Status`. Its `ErrorInfo.reason` (domain `xinqiao`) is one
of the codes below; a code never changes its meaning. `BadRequest` names the fields, `RetryInfo` says when
another try is worth it, `LocalizedMessage` is in Chinese, and `Help` links here.

信桥的每个错误应答都是 `google.rpc.Status`，其中 `ErrorInfo.reason`（域 `xinqiao`）为下列代码之一，代码的含义不会改变。

This page is written from the table in `chain-node/rpc/src/reason.rs`; change it there.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for reason in Reason::ALL {
        let (en, zh) = (reason.english(), reason.chinese());
        let again = if reason.is_transient() {
            " · worth another try / 可重试"
        } else {
            ""
        };
        write!(
            page,
            "\n## {}\n\ngRPC `{}`{again}\n\n{} {}\n\n{}{}\n",
            reason.code(),
            grpc_name(*reason),
            en.happened,
            en.remedy,
            zh.happened,
            zh.remedy
        )
        .unwrap();
    }
    page
}

/// The name as gRPC writes it: `INVALID_ARGUMENT` for `InvalidArgument`.
fn grpc_name(reason: Reason) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", reason.grpc_code()).chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_page_of_errors_is_the_table_of_reasons() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let expected = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/errors.md is not what the table says; write it anew with \
         UPDATE_DOCS=1 cargo test -p xinqiao-rpc --test errors_doc"
    );
}

#[test]
fn every_help_link_leads_to_a_heading_of_the_page() {
    let page = page();
    for reason in Reason::ALL {
        let link = reason.help_url();
        let anchor = link.strip_prefix("docs/errors.md#").unwrap();
        let headings = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .filter(|heading| heading.to_ascii_lowercase() == anchor)
            .count();
        assert_eq!(headings, 1, "{link}");
    }
}
