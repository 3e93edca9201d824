//! A catalogue as text that [`crate::parse`] reads back: items in the order of a report, one line a field.

use std::fmt::Write as _;

use toml::Value;
use xinqiao_ledger::catalogue::{
    Catalogue,
    field::{Field, FieldKind, MAX_INTEGER},
    item::{ItemSchema, Sensitivity, Shape},
};

use crate::file::DEFAULT_CHARS;

/// A catalogue as a file of its own.
#[must_use]
pub fn text(catalogue: &Catalogue) -> String {
    format!(
        "# The item catalogue, version {}.\n\n{}",
        catalogue.version,
        body(catalogue, "")
    )
}

/// A catalogue as the table of that name in a larger file, whose last it must be.
#[must_use]
pub fn tables(catalogue: &Catalogue, name: &str) -> String {
    format!("[{name}]\n{}", body(catalogue, &format!("{name}.")))
}

/// Writing to a `String` cannot fail, here and below.
fn body(catalogue: &Catalogue, prefix: &str) -> String {
    let mut out = format!("version = {}\n", catalogue.version);
    let named = |code: &str, zh: &str, en: &str| {
        let (code, zh, en) = (quoted(code), quoted(zh), quoted(en));
        format!("  {{ code = {code}, name_zh = {zh}, name_en = {en} }},\n")
    };
    out.push_str("\ngroups = [\n");
    for group in &catalogue.groups {
        out.push_str(&named(group.code.as_str(), &group.name_zh, &group.name_en));
    }
    out.push_str("]\n\npurposes = [\n");
    for purpose in &catalogue.purposes {
        out.push_str(&named(
            purpose.code.as_str(),
            &purpose.name_zh,
            &purpose.name_en,
        ));
    }
    out.push_str("]\n");
    for item in catalogue.in_order() {
        let _ = writeln!(out, "\n[[{prefix}items]]");
        out.push_str(&item_text(item));
    }
    out
}

fn item_text(item: &ItemSchema) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name} = {value}");
    };
    line("code", &quoted(item.code.as_str()));
    line("name_zh", &quoted(&item.name_zh));
    line("name_en", &quoted(&item.name_en));
    line("group", &quoted(item.group.as_str()));
    line("place", &item.place.to_string());
    match item.shape {
        Shape::Record => line("shape", "\"record\""),
        Shape::List {
            max_entries,
            exhaustive,
        } => line(
            "shape",
            &format!("{{ list = {max_entries}, exhaustive = {exhaustive} }}"),
        ),
    }
    if !item.key.is_empty() {
        let names: Vec<String> = item.key.iter().map(|name| quoted(name.as_str())).collect();
        line("key", &format!("[{}]", names.join(", ")));
    }
    line("fresh_days", &item.fresh_days.to_string());
    line("keep_days", &item.keep_days.to_string());
    let sensitivity = match item.sensitivity {
        Sensitivity::Public => "public",
        Sensitivity::Commercial => "commercial",
        Sensitivity::Sensitive => "sensitive",
    };
    line("sensitivity", &quoted(sensitivity));
    if let Some(owner) = &item.owner {
        line("owner", &quoted(owner.as_str()));
    }
    out.push_str("fields = [\n");
    for field in &item.fields {
        let _ = writeln!(out, "  {{ {} }},", field_text(field));
    }
    out.push_str("]\n");
    out
}

fn field_text(field: &Field) -> String {
    let mut parts = vec![
        format!("name = {}", quoted(field.name.as_str())),
        format!("zh = {}", quoted(&field.name_zh)),
        format!("en = {}", quoted(&field.name_en)),
        format!("type = {}", quoted(field.kind.name())),
    ];
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{name} = {value}")));
    };
    let text = |value: &str| (!value.is_empty()).then(|| quoted(value));
    match &field.kind {
        FieldKind::Text { max_chars } => {
            let given = (*max_chars != DEFAULT_CHARS).then(|| max_chars.to_string());
            add("max_chars", given);
        }
        FieldKind::Integer { min, max, unit } => {
            add("unit", text(unit));
            add("min", (*min != 0).then(|| min.to_string()));
            add("max", (*max != MAX_INTEGER).then(|| max.to_string()));
        }
        FieldKind::Decimal { unit, min, max } => {
            add("unit", text(unit));
            add("min", min.as_ref().map(|min| quoted(min.as_str())));
            add("max", max.as_ref().map(|max| quoted(max.as_str())));
        }
        FieldKind::Money { currency, min, max } => {
            add("currency", currency.map(|code| quoted(code.as_str())));
            add("min", min.as_ref().map(|min| quoted(min.as_str())));
            add("max", max.as_ref().map(|max| quoted(max.as_str())));
        }
        FieldKind::Date => {}
        FieldKind::Code(codes) => {
            let value = |code: &str, zh: &str, en: &str| {
                format!("[{}, {}, {}]", quoted(code), quoted(zh), quoted(en))
            };
            let values: Vec<String> = (codes.iter())
                .map(|one| value(one.code.as_str(), &one.name_zh, &one.name_en))
                .collect();
            add("values", Some(format!("[{}]", values.join(", "))));
        }
    }
    if field.required {
        parts.push("required = true".into());
    }
    if field.sensitive {
        parts.push("sensitive = true".into());
    }
    parts.join(", ")
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
