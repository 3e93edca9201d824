//! One row of cells to what it says, by the mapping.
//!
//! Every adapter gives its rows as text cells and uses this. Not here: where rows come from, duplicates, and
//! how related rows become items (`assemble`).

use serde_json::{Map, Value};
use time::Date;
use xinqiao_ledger::uscc::Uscc;

use crate::mapping::{AsOf, FieldMapping, Mapping};
use crate::mask::mask;
use crate::record::{Item, MAX_ITEM_BYTES};
use crate::source::{Reason, Warning};
use crate::value::{FieldKind, parse_as_of};

/// The mapping of one table, with columns resolved to their places in its header.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Cells that every row must have.
    pub(crate) width: usize,
    /// `None`: rows stand inside their subject.
    subject: Option<usize>,
    subject_column: String,
    as_of: AsOfCell,
    /// Items read from this table: place among the mapping's items, and of each field's cell.
    items: Vec<(usize, Vec<usize>)>,
}

/// Where a row's as-of date comes from.
#[derive(Debug, Clone)]
enum AsOfCell {
    /// Related rows: the main row says.
    None,
    Fixed(Date),
    Column {
        name: String,
        place: usize,
    },
}

/// What a main row says by itself.
#[derive(Debug)]
pub(crate) struct MainRow {
    pub(crate) uscc: Uscc,
    pub(crate) as_of: Date,
    /// Place among the mapping's items, ascending, and the item.
    pub(crate) items: Vec<(usize, Item)>,
    pub(crate) warnings: Vec<Warning>,
}

/// What a related row says.
#[derive(Debug)]
pub(crate) struct RelatedRow {
    /// `None` where rows stand inside their subject.
    pub(crate) uscc: Option<Uscc>,
    /// Place among the mapping's items, and the entry's fields; never empty.
    pub(crate) entries: Vec<(usize, Map<String, Value>)>,
    pub(crate) warnings: Vec<Warning>,
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
    /// Finds every column that is mapped from the main table (`None`) or a related one, exactly once.
    pub(crate) fn new(
        mapping: &Mapping,
        related: Option<usize>,
        header: &[&str],
    ) -> Result<Self, String> {
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
        let subject = match related {
            None => Some(mapping.subject.as_str()),
            Some(index) => mapping.related[index].subject(),
        };
        let mut items = Vec::new();
        for (index, item) in mapping.items.iter().enumerate() {
            if item.rows.related() == related {
                let places = item.fields.iter().map(|f| place(&f.column));
                items.push((index, places.collect::<Result<_, _>>()?));
            }
        }
        Ok(Self {
            width: header.len(),
            subject: subject.map(place).transpose()?,
            subject_column: subject.unwrap_or_default().to_owned(),
            as_of: match &mapping.as_of {
                _ if related.is_some() => AsOfCell::None,
                AsOf::Fixed(date) => AsOfCell::Fixed(*date),
                AsOf::Column(column) => AsOfCell::Column {
                    name: column.clone(),
                    place: place(column)?,
                },
            },
            items,
        })
    }

    /// Reads a row of exactly `width` cells of the main table. It may have no items: related rows may bring
    /// some.
    pub(crate) fn read_main(&self, mapping: &Mapping, cells: &[&str]) -> Result<MainRow, Fault> {
        let uscc = self.subject(cells)?;
        let as_of = self.as_of(mapping, cells)?;
        let (fields, warnings) = self.fields(mapping, cells)?;
        let mut items = Vec::with_capacity(fields.len());
        for (index, fields) in fields {
            let item = Item::new(&mapping.items[index].code, &fields);
            check_size(&item)?;
            items.push((index, item));
        }
        Ok(MainRow {
            uscc,
            as_of,
            items,
            warnings,
        })
    }

    /// Reads a row of exactly `width` cells of a related table.
    pub(crate) fn read_related(
        &self,
        mapping: &Mapping,
        cells: &[&str],
    ) -> Result<RelatedRow, Fault> {
        let uscc = self.subject.map(|_| self.subject(cells)).transpose()?;
        let (entries, warnings) = self.fields(mapping, cells)?;
        if entries.is_empty() {
            let message = "no mapped column holds a value";
            return Err(Fault::new(Reason::NoItems, message));
        }
        Ok(RelatedRow {
            uscc,
            entries,
            warnings,
        })
    }

    /// The fields of each item that has any value.
    #[allow(
        clippy::type_complexity,
        reason = "two lists that are taken apart at once"
    )]
    fn fields(
        &self,
        mapping: &Mapping,
        cells: &[&str],
    ) -> Result<(Vec<(usize, Map<String, Value>)>, Vec<Warning>), Fault> {
        let mut warnings = Vec::new();
        let mut items = Vec::with_capacity(self.items.len());
        for (index, places) in &self.items {
            let item = &mapping.items[*index];
            let in_main = self.is_main();
            // An item whose rows are of several kinds in one table: a row without any of its values is
            // of another kind, and what is required of the item is not required of that row.
            if !in_main && places.iter().all(|p| is_absent(mapping, cells[*p].trim())) {
                continue;
            }
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
            if !object.values().all(Value::is_null) {
                items.push((*index, object));
            }
        }
        Ok((items, warnings))
    }

    fn is_main(&self) -> bool {
        !matches!(self.as_of, AsOfCell::None)
    }

    fn subject(&self, cells: &[&str]) -> Result<Uscc, Fault> {
        let cell = self.subject.map_or("", |place| cells[place]);
        clean(cell, &self.subject_column)?
            .parse()
            .map_err(|e| Fault::new(Reason::from(&e), e.to_string()))
    }

    fn as_of(&self, mapping: &Mapping, cells: &[&str]) -> Result<Date, Fault> {
        let (column, place) = match &self.as_of {
            AsOfCell::Fixed(date) => return Ok(*date),
            // Only the main table's layout is asked.
            AsOfCell::None => return Ok(Date::MIN),
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
    let cell = match translated(field, cell)? {
        Some(code) => return Ok(Cell::Value(Value::from(code))),
        None => cell,
    };
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

/// The catalogue's code for what a cell says; none where the cell itself is the value.
fn translated<'m>(field: &'m FieldMapping, cell: &str) -> Result<Option<&'m str>, Fault> {
    let Some(values) = &field.values else {
        return Ok(None);
    };
    match values.codes.get(cell) {
        Some(code) => Ok(Some(code)),
        None if values.keep_unlisted => Ok(None),
        None => {
            let message = format!(
                "column {:?} holds {}, which is none of the {} values that the mapping lists for {:?}",
                field.column,
                mask(cell),
                values.codes.len(),
                field.name
            );
            Err(Fault::new(Reason::UnlistedValue, message))
        }
    }
}

/// Whether an item keeps its limit.
pub(crate) fn check_size(item: &Item) -> Result<(), Fault> {
    let bytes = item.canonical.len();
    if bytes <= MAX_ITEM_BYTES {
        return Ok(());
    }
    let message = format!(
        "item {} has {bytes} bytes, at most {MAX_ITEM_BYTES}",
        item.code
    );
    Err(Fault::new(Reason::ItemTooLarge, message))
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
