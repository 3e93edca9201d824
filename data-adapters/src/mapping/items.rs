//! Items and their fields: the checks that make [`ItemMapping`]s of them.

use std::collections::BTreeSet;

use toml::Spanned;

use super::raw::{Checked, Checker, RawField, RawItem};
use super::{
    DEFAULT_ENTRIES, FieldMapping, ItemMapping, MAX_ENTRIES, MAX_FIELDS, MAX_ITEMS, Order, Related,
    Rows,
};
use crate::number::known_currency;
use crate::value::FieldKind;

/// Most fields that entries are ordered by.
const MAX_ORDER: usize = 8;

impl Checker<'_> {
    pub(super) fn items(
        &self,
        items: &[Spanned<RawItem>],
        related: &[Related],
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
            let fields = self.fields(&at, &item.fields)?;
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
        })
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
