//! What people see: tables, times, reasons; or JSON for programs.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use xinqiao_ledger::wire;

use crate::client::Rpc;

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

/// How reports are sealed: `envelope` or `mls`.
pub fn seal_scheme(value: i32) -> String {
    match wire::SealScheme::try_from(value) {
        Ok(wire::SealScheme::Sm2Sm4Gcm) => "envelope".to_owned(),
        Ok(wire::SealScheme::MlsSm4Gcm) => "mls".to_owned(),
        Ok(wire::SealScheme::Unspecified) | Err(_) => format!("unknown {value}"),
    }
}

/// Where a consent stands.
pub fn consent_status(value: i32) -> String {
    wire::ConsentStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "CONSENT_STATUS_"),
    )
}

/// Where an objection stands.
pub fn objection_status(value: i32) -> String {
    wire::ObjectionStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "OBJECTION_STATUS_"),
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

/// Where a proposal stands.
pub fn proposal_status(value: i32) -> String {
    wire::ProposalStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "PROPOSAL_STATUS_"),
    )
}

/// How validators agree, from its wire value.
pub fn consensus_engine(value: i32) -> String {
    wire::ConsensusEngine::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |engine| small(engine.as_str_name(), "CONSENSUS_ENGINE_"),
    )
}

/// What a node is.
pub fn node_role(value: i32) -> String {
    wire::NodeRole::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |role| small(role.as_str_name(), "NODE_ROLE_"),
    )
}

/// Where a source stands.
pub fn source_status(value: i32) -> String {
    wire::SourceStatus::try_from(value).map_or_else(
        |_| format!("unknown {value}"),
        |status| small(status.as_str_name(), "SOURCE_STATUS_"),
    )
}

/// The exit code of a command that could not reach whom it needed, or found it too busy.
const TRY_AGAIN: u8 = 5;

/// Prints why a command failed, with what to do about it, and chooses the exit code.
pub fn failure(fault: &anyhow::Error, as_json: bool) -> ExitCode {
    let view = fault
        .chain()
        .find_map(|cause| cause.downcast_ref::<Rpc>())
        .map(|rpc| &*rpc.0);
    let unverified = fault.chain().any(|cause| cause.is::<Unverified>());
    let code = view.and_then(|view| view.reason_code.as_deref());
    let violations = view.map_or(&[][..], |view| &view.violations);
    if as_json {
        let fields: Vec<Value> = violations
            .iter()
            .map(|(field, description)| json!({"field": field, "description": description}))
            .collect();
        eprintln!(
            "{:#}",
            json!({"error": format!("{fault:#}"), "reason": code, "fields": fields})
        );
    } else {
        let head = console::style("error").red().bold();
        match code {
            Some(code) => eprintln!("{head}[{code}]: {fault:#}"),
            None => eprintln!("{head}: {fault:#}"),
        }
        // The sentence names the first field itself.
        for (field, description) in violations.iter().skip(1) {
            eprintln!("  {field}: {description}");
        }
        for line in view
            .iter()
            .flat_map(|view| [&view.chinese, &view.help])
            .flatten()
        {
            eprintln!("  {line}");
        }
    }
    match view {
        _ if unverified => ExitCode::from(4),
        Some(view) if view.is_transient() => ExitCode::from(TRY_AGAIN),
        Some(view) if view.reason_code.is_some() => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

/// Something that was to be verified does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unverified(pub String);

/// How validators agree.
pub fn engine(engine: xinqiao_ledger::validators::Engine) -> &'static str {
    use xinqiao_ledger::validators::Engine;
    match engine {
        Engine::Solo => "solo",
        Engine::Raft => "raft",
        Engine::Bft => "bft",
    }
}
