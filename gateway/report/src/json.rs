//! A report as JSON, for programs and for files. The layout is `xinqiao.report/1`; what is in it keeps its name
//! and meaning, and more may come beside it.
//!
//! ```text
//! { layout, uscc, purpose, user, institution, order, grant, asked_at_ms, placed_at_height, elapsed_us,
//!   catalogue_version,
//!   items: [ { item, name_zh, name_en, group, status,            complete | partial | failed | not_held
//!              versions: [ { source, source_name, as_of, verified, stale, objections, content, canonical,
//!                            faults: [ { path, code, message } ], more_faults,
//!                            proof: { salt, root, index, size, path: [hex], registered_at_height } } ],
//!              conflicts: [ { about, field, values: [ { source, value } ] } ], more_conflicts,
//!              failed: [ { source, source_name, status, reason } ] } ],
//!   parts: [ { part, source, source_name, items, status, reason, elapsed_us } ],
//!   missing_items: [ item ] }
//! ```
//!
//! `content` is the item's JSON as a value, and `canonical` the text that the proof is about. Days are
//! `2026-06-30`, digests are hexadecimal.

use serde_json::{Value, json};
use xinqiao_ledger::wire::{self, ItemStatus, PartStatus};

use crate::{
    Occasion,
    show::{day, hex},
};

/// The layout's name.
pub const LAYOUT: &str = "xinqiao.report/1";

/// A report as JSON.
#[must_use]
pub fn report(answer: &wire::QueryReportResponse, occasion: &Occasion) -> Value {
    let items: Vec<Value> = answer.items.iter().map(|one| item(answer, one)).collect();
    let parts: Vec<Value> = answer
        .parts
        .iter()
        .map(|part| {
            json!({
                "part": part.part, "source": part.source, "source_name": part.source_name,
                "items": part.items, "status": part_status(part.status()),
                "reason": part.reason, "elapsed_us": part.elapsed_us,
            })
        })
        .collect();
    json!({
        "layout": LAYOUT,
        "uscc": occasion.uscc, "purpose": occasion.purpose, "user": occasion.user,
        "institution": answer.institution,
        "order": hex(&answer.order), "grant": hex(&answer.grant),
        "asked_at_ms": answer.asked_at_ms, "placed_at_height": answer.placed_at_height,
        "elapsed_us": answer.elapsed_us, "catalogue_version": answer.catalogue_version,
        "items": items, "parts": parts, "missing_items": answer.missing_items,
    })
}

/// JSON of a source, as a value; text that is none stays text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn item(answer: &wire::QueryReportResponse, item: &wire::ReportItem) -> Value {
    let section = |at: u32| answer.sections.get(at as usize);
    let versions: Vec<Value> = (item.sections.iter())
        .filter_map(|at| section(*at))
        .map(version)
        .collect();
    let conflicts: Vec<Value> = (item.conflicts.iter())
        .map(|conflict| {
            let values: Vec<Value> = (conflict.values.iter())
                .map(|said| {
                    let source = section(said.section).map_or("", |section| &section.source);
                    let said = (!said.json.is_empty()).then(|| value(&said.json));
                    json!({"source": source, "value": said})
                })
                .collect();
            let about = (!conflict.about.is_empty()).then(|| value(&conflict.about));
            json!({"about": about, "field": conflict.field, "values": values})
        })
        .collect();
    let failed: Vec<Value> = (item.failed_parts.iter())
        .filter_map(|at| answer.parts.get(*at as usize))
        .map(|part| {
            json!({
                "source": part.source, "source_name": part.source_name,
                "status": part_status(part.status()), "reason": part.reason,
            })
        })
        .collect();
    json!({
        "item": item.item, "name_zh": item.name_zh, "name_en": item.name_en, "group": item.group,
        "status": item_status(item.status()), "versions": versions,
        "conflicts": conflicts, "more_conflicts": item.more_conflicts, "failed": failed,
    })
}

fn version(section: &wire::ReportSection) -> Value {
    let faults: Vec<Value> = (section.faults.iter())
        .map(|fault| json!({"path": fault.path, "code": fault.code, "message": fault.message}))
        .collect();
    let objections: Vec<Value> = (section.objections.iter())
        .map(|mark| {
            json!({
                "objection": hex(&mark.objection), "filed_at_ms": mark.filed_at_ms,
                "unresolved": mark.unresolved,
            })
        })
        .collect();
    let proof = section.proof.as_ref().map(|proof| {
        let path = proof.path.clone().unwrap_or_default();
        let hashes: Vec<String> = path.siblings.iter().map(|hash| hex(hash)).collect();
        json!({
            "salt": hex(&proof.salt), "root": hex(&proof.root),
            "index": path.index, "size": path.size, "path": hashes,
            "registered_at_height": proof.registered_at_height,
        })
    });
    json!({
        "source": section.source, "source_name": section.source_name,
        "as_of": day(section.as_of_day.into()), "verified": section.proof.is_some(),
        "stale": section.stale, "objections": objections,
        "content": value(&section.json), "canonical": section.json,
        "faults": faults, "more_faults": section.more_faults, "proof": proof,
    })
}

/// How much of an item came, in a word.
#[must_use]
pub fn item_status(status: ItemStatus) -> &'static str {
    match status {
        ItemStatus::Complete => "complete",
        ItemStatus::Partial => "partial",
        ItemStatus::Failed => "failed",
        ItemStatus::NotHeld => "not_held",
        ItemStatus::Unspecified => "unspecified",
    }
}

fn part_status(status: PartStatus) -> String {
    let name = status.as_str_name();
    (name.strip_prefix("PART_STATUS_").unwrap_or(name)).to_ascii_lowercase()
}
