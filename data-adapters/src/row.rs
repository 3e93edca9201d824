//! One row of cells to one subject's record, by the mapping.
//!
//! Any adapter whose rows are text cells uses this. Not here: where rows come from, and duplicates.

use serde_json::{Map, Value};
use time::Date;
use xinqiao_ledger::uscc::Uscc;

use crate::mapping::{AsOf, FieldMapping, Mapping};
use crate::mask::mask;
use crate::record::{Item, MAX_ITEM_BYTES, SubjectRecord};
use crate::source::{Reason, Warning};
use crate::value::{FieldKind, parse_as_of};

/// The mapping, with columns resolved to their places in the header.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Cells that every row must have.
    pub(crate) width: usize,
    subject: usize,
    as_of: AsOfCell,
    /// Per item, per field.
    fields: Vec<Vec<usize>>,
}

/// Where a row's as-of date comes from.
#[derive(Debug, Clone)]
enum AsOfCell {
    Fixed(Date),
    Column { name: String, place: usize },
}

/// What is wrong with a row; the adapter adds file and line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl Layout {
    /// Finds every mapped column in the header, exactly once.
    pub(crate) fn new(mapping: &Mapping, header: &[&str]) -> Result<Self, String> {
        let place = |column: &str| {
            let mut places = (0..header.len()).filter(|i| header[*i].trim() == column);
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => Err(format!("column {column:?} occurs more than once")),
                (None, _) => Err(format!(
                    "there is no column {column:?}; the columns are: {}",
                    header
                        .iter()
                        .take(64)
                        .map(|name| name.chars().take(64).filter(|c| !c.is_control()).collect())
                        .collect::<Vec<String>>()
                        .join(", ")
                )),
            }
        };
        Ok(Self {
            width: header.len(),
            subject: place(&mapping.subject)?,
            as_of: match &mapping.as_of {
                AsOf::Fixed(date) => AsOfCell::Fixed(*date),
                AsOf::Column(column) => AsOfCell::Column {
                    name: column.clone(),
                    place: place(column)?,
                },
            },
            fields: mapping
                .items
                .iter()
                .map(|item| item.fields.iter().map(|f| place(&f.column)).collect())
                .collect::<Result<_, _>>()?,
        })
    }

    /// Reads a row of exactly `width` cells.
    pub(crate) fn read(
        &self,
        mapping: &Mapping,
        cells: &[&str],
    ) -> Result<(SubjectRecord, Vec<Warning>), Fault> {
        let uscc = self.subject(mapping, cells)?;
        let as_of = self.as_of(mapping, cells)?;
        let mut warnings = Vec::new();
        let mut items = Vec::new();
        for (item, places) in mapping.items.iter().zip(&self.fields) {
            let mut object = Map::new();
            for (field, place) in item.fields.iter().zip(places) {
                let value = match value(mapping, field, cells[*place])? {
                    Cell::Absent => Value::Null,
                    Cell::Value(value) => value,
                    Cell::Unreadable { shape } => {
                        warnings.push(Warning {
                            item: item.code.clone(),
                            field: field.name.clone(),
                            column: field.column.clone(),
                            shape,
                        });
                        Value::Null
                    }
                };
                object.insert(field.name.clone(), value);
            }
            if object.values().all(Value::is_null) {
                continue;
            }
            let item = Item::new(&item.code, &object);
            if item.canonical.len() > MAX_ITEM_BYTES {
                let message = format!(
                    "item {} has {} bytes, at most {MAX_ITEM_BYTES}",
                    item.code,
                    item.canonical.len()
                );
                return Err(Fault::new(Reason::ItemTooLarge, message));
            }
            items.push(item);
        }
        if items.is_empty() {
            let message = "no mapped column holds a value";
            return Err(Fault::new(Reason::NoItems, message));
        }
        let record = SubjectRecord { uscc, as_of, items };
        Ok((record, warnings))
    }

    fn subject(&self, mapping: &Mapping, cells: &[&str]) -> Result<Uscc, Fault> {
        clean(cells[self.subject], &mapping.subject)?
            .parse()
            .map_err(|e| Fault::new(Reason::from(&e), e.to_string()))
    }

    fn as_of(&self, mapping: &Mapping, cells: &[&str]) -> Result<Date, Fault> {
        let (column, place) = match &self.as_of {
            AsOfCell::Fixed(date) => return Ok(*date),
            AsOfCell::Column { name, place } => (name, *place),
        };
        let cell = clean(cells[place], column)?;
        if is_absent(mapping, cell) {
            let message = format!("column {column:?} is empty, and required");
            return Err(Fault::new(Reason::MissingRequired, message));
        }
        parse_as_of(cell).ok_or_else(|| {
            let wanted = FieldKind::Date.wanted();
            let message = format!(
                "column {column:?} wants {wanted}, not before 1970, found {}",
                mask(cell)
            );
            Fault::new(Reason::WrongType, message)
        })
    }
}

/// What a field's cell holds.
enum Cell {
    Absent,
    Value(Value),
    /// An optional amount in no notation we read.
    Unreadable {
        shape: String,
    },
}

fn value(mapping: &Mapping, field: &FieldMapping, cell: &str) -> Result<Cell, Fault> {
    let column = &field.column;
    let cell = clean(cell, column)?;
    if is_absent(mapping, cell) {
        if field.required {
            let message = format!("column {column:?} is empty, and required");
            return Err(Fault::new(Reason::MissingRequired, message));
        }
        return Ok(Cell::Absent);
    }
    if let Some(most) = field.max_length {
        let length = cell.chars().count();
        if length > most {
            let message = format!("column {column:?} holds {length} characters, at most {most}");
            return Err(Fault::new(Reason::TooLong, message));
        }
    }
    match field.kind.read(cell) {
        Some(value) => Ok(Cell::Value(value)),
        // Registers write amounts as free text; an odd one costs the amount, not the row.
        None if matches!(field.kind, FieldKind::Money { .. }) && !field.required => {
            Ok(Cell::Unreadable { shape: mask(cell) })
        }
        None => {
            let wanted = field.kind.wanted();
            let message = format!("column {column:?} wants {wanted}, found {}", mask(cell));
            Err(Fault::new(Reason::WrongType, message))
        }
    }
}

/// Without blanks at both ends; control characters are refused, even there.
fn clean<'a>(cell: &'a str, column: &str) -> Result<&'a str, Fault> {
    match cell.chars().position(char::is_control) {
        None => Ok(cell.trim()),
        Some(position) => Err(Fault::new(
            Reason::ControlCharacter,
            format!(
                "column {column:?} holds a control character at position {}",
                position + 1
            ),
        )),
    }
}

fn is_absent(mapping: &Mapping, cell: &str) -> bool {
    mapping.absent.iter().any(|word| word == cell)
}
