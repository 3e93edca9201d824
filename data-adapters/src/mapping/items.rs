//! Items and their fields: the checks that make [`ItemMapping`]s of them.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::raw::{Checked, Checker, RawField, RawItem, RawValues};
use super::{
    DEFAULT_ENTRIES, FieldMapping, ItemMapping, MAX_ENTRIES, MAX_FIELDS, MAX_ITEMS, MAX_VALUES,
    Order, Related, Rows, ValueTable,
};
use crate::number::known_currency;
use crate::value::FieldKind;

/// Most fields that entries are ordered by.
const MAX_ORDER: usize = 8;

/// Longest value or code of a table of values, in bytes.
const MOST_VALUE_BYTES: usize = 256;

impl Checker<'_> {
    pub(super) fn items(
        &self,
        items: &[Spanned<RawItem>],
        related: &[Related],
        absent: &[String],
    ) -> Checked<Vec<ItemMapping>> {
        if items.is_empty() {
            let message = "there is no item: a source without one gives nothing";
            return Err(self.fault("item", self.text.len(), message));
        }
        if let Some(item) = items.get(MAX_ITEMS) {
            return self.refuse("item", item, format!("at most {MAX_ITEMS} items"));
        }
        let mut codes = BTreeSet::new();
        let mut checked = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("item[{}]", index + 1);
            let item = item.get_ref();
            let code_at = format!("{at}.code");
            let code = self.snake(&code_at, &item.code, 32)?;
            if !codes.insert(code.clone()) {
                return self.refuse(&code_at, &item.code, "this item is mapped twice");
            }
            let mut fields = self.fields(&at, &item.fields)?;
            self.values(&at, item, &mut fields, absent)?;
            let rows = self.rows(&at, item, &fields, related)?;
            checked.push(ItemMapping { code, rows, fields });
        }
        Ok(checked)
    }

    fn rows(
        &self,
        at: &str,
        item: &RawItem,
        fields: &[FieldMapping],
        related: &[Related],
    ) -> Checked<Rows> {
        let from = item.from.as_ref();
        let Some(from) = from else {
            let stray = [
                ("list", item.list.as_ref().map(|list| list.span().start)),
                (
                    "latest_by",
                    item.latest_by.as_ref().map(|by| by.span().start),
                ),
                ("order_by", item.order_by.as_ref().map(|by| by.span().start)),
                (
                    "max_entries",
                    item.max_entries.as_ref().map(|most| most.span().start),
                ),
            ];
            for (key, place) in stray {
                if let Some(place) = place {
                    let message = "goes with `from`, which names a [[related]] table";
                    return Err(self.fault(&format!("{at}.{key}"), place, message));
                }
            }
            return Ok(Rows::Main);
        };
        let Some(index) = related.iter().position(|r| r.name == *from.get_ref()) else {
            let message = "there is no [[related]] of this name";
            return self.refuse(&format!("{at}.from"), from, message);
        };
        let is_list = item.list.as_ref().is_some_and(|list| *list.get_ref());
        match (is_list, &item.latest_by) {
            (true, None) => Ok(Rows::List {
                related: index,
                order_by: self.order(at, item, fields)?,
                max_entries: self.entries(at, item)?,
            }),
            (false, Some(by)) => {
                for (key, place) in [
                    ("order_by", item.order_by.as_ref().map(|o| o.span().start)),
                    (
                        "max_entries",
                        item.max_entries.as_ref().map(|m| m.span().start),
                    ),
                ] {
                    if let Some(place) = place {
                        let message = "goes with `list = true`";
                        return Err(self.fault(&format!("{at}.{key}"), place, message));
                    }
                }
                let key = format!("{at}.latest_by");
                let place = self.field_named(&key, by, by.get_ref(), fields)?;
                if !fields[place].required {
                    let message = "this field must be `required`: a row without it has no place";
                    return self.refuse(&key, by, message);
                }
                Ok(Rows::Latest {
                    related: index,
                    by: place,
                })
            }
            _ => {
                let message = "rows of a [[related]] table are either a list (`list = true`) or a \
                               record of one (`latest_by = \"<field>\"`)";
                self.refuse(&format!("{at}.from"), from, message)
            }
        }
    }

    fn order(&self, at: &str, item: &RawItem, fields: &[FieldMapping]) -> Checked<Vec<Order>> {
        let Some(order_by) = &item.order_by else {
            return Ok(Vec::new());
        };
        let key = format!("{at}.order_by");
        if order_by.get_ref().len() > MAX_ORDER {
            return self.refuse(&key, order_by, format!("names at most {MAX_ORDER} fields"));
        }
        let mut order: Vec<Order> = Vec::new();
        for word in order_by.get_ref() {
            let text = word.get_ref();
            let (name, descending) = match text.strip_prefix('-') {
                Some(name) => (name, true),
                None => (text.as_str(), false),
            };
            let field = self.field_named(&key, word, name, fields)?;
            if order.iter().any(|step| step.field == field) {
                return self.refuse(&key, word, "this field is named twice");
            }
            order.push(Order { field, descending });
        }
        Ok(order)
    }

    fn field_named<T>(
        &self,
        key: &str,
        at: &Spanned<T>,
        name: &str,
        fields: &[FieldMapping],
    ) -> Checked<usize> {
        match fields.iter().position(|field| field.name == name) {
            Some(place) => Ok(place),
            None => self.refuse(key, at, "names no field of this item"),
        }
    }

    fn entries(&self, at: &str, item: &RawItem) -> Checked<usize> {
        match &item.max_entries {
            None => Ok(DEFAULT_ENTRIES),
            Some(most) if (1..=MAX_ENTRIES).contains(most.get_ref()) => Ok(*most.get_ref()),
            Some(most) => {
                let message = format!("is between 1 and {MAX_ENTRIES}");
                self.refuse(&format!("{at}.max_entries"), most, message)
            }
        }
    }

    fn fields(
        &self,
        item: &str,
        fields: &Spanned<Vec<Spanned<RawField>>>,
    ) -> Checked<Vec<FieldMapping>> {
        let list = fields.get_ref();
        if !(1..=MAX_FIELDS).contains(&list.len()) {
            let message = format!("an item has 1 to {MAX_FIELDS} fields");
            return self.refuse(&format!("{item}.fields"), fields, message);
        }
        let mut names = BTreeSet::new();
        let mut checked = Vec::new();
        for (index, field) in list.iter().enumerate() {
            let at = format!("{item}.fields[{}]", index + 1);
            let field = self.field(&at, field.get_ref())?;
            if !names.insert(field.name.clone()) {
                let name = &list[index].get_ref().name;
                return self.refuse(&format!("{at}.name"), name, "this field is named twice");
            }
            checked.push(field);
        }
        Ok(checked)
    }

    fn field(&self, at: &str, field: &RawField) -> Checked<FieldMapping> {
        let kind = self.kind(at, field)?;
        if let Some(length) = &field.max_length {
            let at = format!("{at}.max_length");
            if kind != FieldKind::Text {
                return self.refuse(&at, length, "only text has a max_length");
            }
            if *length.get_ref() == 0 {
                return self.refuse(&at, length, "is at least 1");
            }
        }
        Ok(FieldMapping {
            name: self.snake(&format!("{at}.name"), &field.name, 64)?,
            column: self.column(&format!("{at}.column"), &field.column)?,
            kind,
            required: field.required,
            max_length: field.max_length.as_ref().map(|length| *length.get_ref()),
            values: None,
        })
    }

    /// Gives fields the tables that translate their values.
    fn values(
        &self,
        item: &str,
        raw: &RawItem,
        fields: &mut [FieldMapping],
        absent: &[String],
    ) -> Checked<()> {
        for (name, table) in &raw.values {
            let at = format!("{item}.values.{}", name.get_ref());
            let place = self.field_named(&at, name, name.get_ref(), fields)?;
            let field = &mut fields[place];
            if field.kind != FieldKind::Text {
                return self.refuse(&at, name, "only values of text are translated");
            }
            let codes = self.value_table(&at, table, field.max_length, absent)?;
            field.values = Some(ValueTable {
                codes,
                keep_unlisted: false,
            });
        }
        for (index, (field, raw)) in fields.iter_mut().zip(raw.fields.get_ref()).enumerate() {
            let Some(unlisted) = &raw.get_ref().unlisted else {
                continue;
            };
            let at = format!("{item}.fields[{}].unlisted", index + 1);
            let Some(values) = &mut field.values else {
                let message = format!("goes with a table of values, [item.values.{}]", field.name);
                return self.refuse(&at, unlisted, message);
            };
            values.keep_unlisted = match unlisted.get_ref().as_str() {
                "refuse" => false,
                "keep" => true,
                _ => return self.refuse(&at, unlisted, "is refuse or keep"),
            };
        }
        Ok(())
    }

    fn value_table(
        &self,
        at: &str,
        table: &Spanned<RawValues>,
        max_length: Option<usize>,
        absent: &[String],
    ) -> Checked<BTreeMap<String, String>> {
        if !(1..=MAX_VALUES).contains(&table.get_ref().len()) {
            let message = format!("translates 1 to {MAX_VALUES} values");
            return self.refuse(at, table, message);
        }
        let mut codes = BTreeMap::new();
        for (from, to) in table.get_ref() {
            for (which, text) in [("value", from), ("code", to)] {
                let (text, place) = (text.get_ref(), text);
                let fits = (1..=MOST_VALUE_BYTES).contains(&text.len())
                    && text.trim() == text
                    && !text.chars().any(char::is_control);
                if !fits {
                    let message = format!(
                        "a {which} has 1 to {MOST_VALUE_BYTES} bytes, no blanks at its ends and no control characters"
                    );
                    return self.refuse(at, place, message);
                }
            }
            if absent.contains(from.get_ref()) {
                let message =
                    "this value means that there is none (`absent`), and is never translated";
                return self.refuse(at, from, message);
            }
            let length = to.get_ref().chars().count();
            if max_length.is_some_and(|most| length > most) {
                return self.refuse(at, to, "is longer than the field's max_length");
            }
            codes.insert(from.get_ref().clone(), to.get_ref().clone());
        }
        Ok(codes)
    }

    fn kind(&self, at: &str, field: &RawField) -> Checked<FieldKind> {
        let name = field.r#type.get_ref().as_str();
        if let Some(unit) = &field.unit {
            let at = format!("{at}.unit");
            if name != "decimal" {
                return self.refuse(&at, unit, "only decimal has a unit");
            }
            if !(1..=32).contains(&unit.get_ref().len()) {
                return self.refuse(&at, unit, "a unit has 1 to 32 bytes");
            }
        }
        if let Some(currency) = &field.currency {
            let at = format!("{at}.currency");
            if name != "money" {
                return self.refuse(&at, currency, "only money has a currency");
            }
            if !known_currency(currency.get_ref()) {
                let message = "is an ISO 4217 code such as CNY";
                return self.refuse(&at, currency, message);
            }
        }
        Ok(match name {
            "text" => FieldKind::Text,
            "integer" => FieldKind::Integer,
            "decimal" => FieldKind::Decimal {
                unit: field.unit.as_ref().map(|unit| unit.get_ref().clone()),
            },
            "date" => FieldKind::Date,
            "money" => FieldKind::Money {
                currency: field
                    .currency
                    .as_ref()
                    .map_or("CNY", |currency| currency.get_ref())
                    .to_owned(),
            },
            _ => {
                return self.refuse(
                    &format!("{at}.type"),
                    &field.r#type,
                    "the types are: text, integer, decimal, date, money",
                );
            }
        })
    }

    /// `snake_case` ASCII that starts with a letter.
    pub(super) fn snake(
        &self,
        field: &str,
        name: &Spanned<String>,
        most: usize,
    ) -> Checked<String> {
        let text = name.get_ref();
        let fits = (1..=most).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits {
            let message =
                format!("has 1 to {most} lower-case letters, digits and '_', a letter first");
            return self.refuse(field, name, message);
        }
        Ok(text.clone())
    }
}
