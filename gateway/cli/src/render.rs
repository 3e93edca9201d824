//! What people see: tables, times, reasons; or JSON for programs.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use xinqiao_ledger::wire;

use crate::client::{Refused, Rpc};

/// A table with these heads.
pub fn table<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(heads);
    if !console::user_attended() {
        table.set_width(140);
    }
    table
}

/// Prints JSON, indented.
pub fn print_json(value: &Value) {
    println!("{value:#}");
}

/// The first 12 digits of an id, which tell it apart for the eye.
pub fn short(id: &[u8]) -> String {
    let digits = hex::encode(id);
    if digits.len() > 12 {
        format!("{}…", &digits[..12])
    } else {
        digits
    }
}

/// A moment in UTC.
pub fn moment(ms: u64) -> String {
    let format =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");
    i64::try_from(ms)
        .ok()
        .and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok())
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}

/// A date from days since 1970-01-01.
pub fn day(days: u32) -> String {
    moment(u64::from(days) * 86_400_000)[..10].to_owned()
}

/// A duration given in microseconds.
pub fn micros(us: u64) -> String {
    let whole = us / 1_000;
    match us {
        0 => "–".into(),
        1..10_000 => format!("{whole}.{:02} ms", us % 1_000 / 10),
        10_000..10_000_000 => format!("{whole} ms"),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// The name of a wire enumeration's value without its prefix, in small letters.
fn small(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix)
        .to_lowercase()
        .replace('_', " ")
}

/// Where a part stands.
pub fn part_status(value: i32) -> String {
    wire::PartStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "PART_STATUS_"),
    )
}

/// Where a consent stands.
pub fn consent_status(value: i32) -> String {
    wire::ConsentStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "CONSENT_STATUS_"),
    )
}

/// Where a member stands.
pub fn member_status(value: i32) -> String {
    wire::MemberStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "MEMBER_STATUS_"),
    )
}

/// What a member is.
pub fn member_kind(value: i32) -> String {
    wire::MemberKind::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |kind| small(kind.as_str_name(), "MEMBER_KIND_"),
    )
}

/// Where a source stands.
pub fn source_status(value: i32) -> String {
    wire::SourceStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "SOURCE_STATUS_"),
    )
}

/// Prints why a command failed, with what to do about it, and chooses the exit code.
pub fn failure(fault: &anyhow::Error, as_json: bool) -> ExitCode {
    let rpc = fault.chain().find_map(|cause| cause.downcast_ref::<Rpc>());
    let refused = fault
        .chain()
        .find_map(|cause| cause.downcast_ref::<Refused>());
    let unverified = fault.chain().any(|cause| cause.is::<Unverified>());
    let code = rpc
        .and_then(|rpc| rpc.0.reason_code.clone())
        .or_else(|| refused.map(|refused| refused.code.clone()));
    let reason = code.as_deref().and_then(xinqiao_rpc::Reason::from_code);
    if as_json {
        let violations: Vec<Value> = rpc
            .map(|rpc| rpc.0.violations.iter())
            .into_iter()
            .flatten()
            .map(|(field, description)| json!({"field": field, "description": description}))
            .collect();
        eprintln!(
            "{:#}",
            json!({"error": format!("{fault:#}"), "reason": code, "fields": violations})
        );
    } else {
        let head = console::style("error").red().bold();
        match &code {
            Some(code) => eprintln!("{head}[{code}]: {fault:#}"),
            None => eprintln!("{head}: {fault:#}"),
        }
        if let Some(rpc) = rpc {
            for (field, description) in &rpc.0.violations {
                eprintln!("  field {field}: {description}");
            }
            if let Some(chinese) = &rpc.0.chinese {
                eprintln!("  {chinese}");
            }
            if let Some(help) = &rpc.0.help {
                eprintln!("  see {help}");
            }
        } else if let Some(reason) = reason {
            eprintln!("  see {}", reason.help_url());
        }
    }
    if unverified {
        ExitCode::from(4)
    } else if code.is_some() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

/// Something that was to be verified does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unverified(pub String);
