//! A report as plain lines for a terminal, with the labels of the catalogue. What would move a terminal's cursor or
//! turn a line around is replaced: the content is a stranger's.

use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        item::{ENTRIES, ItemSchema},
        json::Json,
    },
    ids::ItemCode,
    wire,
};

use crate::{Lang, show};

/// The most lines of one item.
const MAX_LINES: usize = 40;

/// One item's content, a line a field, or a line an entry.
#[must_use]
pub fn content(
    answer: &wire::QueryReportResponse,
    section: &wire::ReportSection,
    lang: Lang,
) -> Vec<String> {
    let schema = schema(answer, &section.item);
    let json = Json::read(section.json.as_bytes());
    let lines = match (schema, json) {
        (Some(schema), Ok(json)) => match json.member(ENTRIES) {
            Some(Json::List(entries)) if entries.is_empty() => vec!["–".to_owned()],
            Some(Json::List(entries)) => {
                let line = |entry: &Json<'_>| fields(&schema, entry, lang).join("  ");
                entries.iter().map(line).collect()
            }
            _ => fields(&schema, &json, lang),
        },
        _ => vec![section.json.clone()],
    };
    let more = lines.len().saturating_sub(MAX_LINES);
    let mut lines: Vec<String> = lines
        .iter()
        .take(MAX_LINES)
        .map(|line| inert(line))
        .collect();
    if more > 0 {
        lines.push(format!("… {more}"));
    }
    lines
}

/// What sources say differently, a line each.
#[must_use]
pub fn conflicts(answer: &wire::QueryReportResponse, lang: Lang) -> Vec<String> {
    let mut lines = Vec::new();
    for item in &answer.items {
        let schema = schema(answer, &item.item);
        for conflict in &item.conflicts {
            let field = schema
                .as_ref()
                .and_then(|schema| schema.field(&conflict.field));
            let said = |json: &str| match (field, Json::read(json.as_bytes())) {
                _ if json.is_empty() => "–".to_owned(),
                (Some(field), Ok(value)) => show::plain(field, &value, lang),
                _ => json.to_owned(),
            };
            let values: Vec<String> = (conflict.values.iter())
                .filter_map(|value| {
                    let section = answer.sections.get(value.section as usize)?;
                    Some(format!("{} {}", section.source_name, said(&value.json)))
                })
                .collect();
            let label = field.map_or_else(
                || conflict.field.clone(),
                |field| lang.plain(&field.name_zh, &field.name_en),
            );
            let name = lang.plain(&item.name_zh, &item.name_en);
            let words = [name, conflict.about.clone(), label];
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            lines.push(inert(&format!(
                "{}: {}",
                words.join(" "),
                values.join(" | ")
            )));
        }
    }
    lines
}

fn schema(answer: &wire::QueryReportResponse, code: &str) -> Option<ItemSchema> {
    let catalogue = Catalogue::try_from(answer.catalogue.as_ref()?).ok()?;
    catalogue.item(&code.parse::<ItemCode>().ok()?).cloned()
}

fn fields(schema: &ItemSchema, record: &Json<'_>, lang: Lang) -> Vec<String> {
    let Json::Object(members) = record else {
        return vec![record.to_string()];
    };
    let known = schema.fields.iter().filter_map(|field| {
        let value = record.member(field.name.as_str())?;
        let label = lang.plain(&field.name_zh, &field.name_en);
        (!value.is_absent()).then(|| format!("{label}: {}", show::plain(field, value, lang)))
    });
    let unknown = members
        .iter()
        .filter(|(name, _)| schema.field(name).is_none());
    known
        .chain(unknown.map(|(name, value)| format!("{name}: {value}")))
        .collect()
}

/// Without control characters, and without those that change the direction of what follows.
fn inert(text: &str) -> String {
    let replaced = |c: char| match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(replaced).collect()
}
