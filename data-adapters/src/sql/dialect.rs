//! What PostgreSQL and MySQL say differently: the statements, as text.
//!
//! Names come from the mapping, were checked there, and are quoted here; values are always bound. Every cell is
//! turned into text by the server and cut there to one character more than the limit, so that no cell can fill
//! our memory. Not here: connections.

use crate::mapping::TableName;

/// Characters of a code that order rows; a good code has 18.
pub(super) const KEY_CHARACTERS: usize = 24;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

/// A column of a table, as the database declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// PostgreSQL: `pg_type.typname`. MySQL: `DATA_TYPE`.
    pub(super) type_name: String,
    /// PostgreSQL: `pg_type.typcategory`. MySQL: nothing.
    pub(super) category: String,
}

impl Column {
    /// Whether its values have a text that means something to people and to us.
    pub(super) fn is_readable(&self, dialect: Dialect) -> bool {
        match dialect {
            // Strings, numbers, dates, booleans, enumerations, and what casts well (uuid, json, …).
            Dialect::Postgres => {
                self.type_name != "bytea"
                    && ["S", "N", "D", "B", "E", "U", "X"].contains(&self.category.as_str())
            }
            Dialect::MySql => {
                let name = self.type_name.as_str();
                ["blob", "binary"].iter().all(|kind| !name.contains(kind))
                    && !["bit", "geometry", "point", "vector"].contains(&name)
            }
        }
    }

    /// Whether its values hold a time of day.
    pub(super) fn is_moment(&self) -> bool {
        self.type_name.starts_with("timestamp") || self.type_name == "datetime"
    }
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// A checked name, quoted all the same.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    pub(super) fn table(self, table: &TableName) -> String {
        match &table.schema {
            Some(schema) => format!("{}.{}", self.quote(schema), self.quote(&table.table)),
            None => self.quote(&table.table),
        }
    }

    /// A cell as text, cut behind `most` characters and one more. Nothing else is done to it here: what a
    /// database makes of a value that is no date, say, differs, and may be no value at all.
    pub(super) fn cell(self, column: &Column, most: usize) -> String {
        let name = self.quote(&column.name);
        let most = most.saturating_add(1);
        match self {
            Self::Postgres if column.type_name == "money" => {
                format!("left({name}::numeric::text, {most})")
            }
            Self::Postgres => format!("left({name}::text, {most})"),
            Self::MySql => format!("LEFT(CONVERT(CAST({name} AS CHAR) USING utf8mb4), {most})"),
        }
    }

    /// The beginning of a code, by which rows are ordered.
    fn key(self, subject: &str) -> String {
        let name = self.quote(subject);
        match self {
            Self::Postgres => format!("left(coalesce({name}::text, ''), {KEY_CHARACTERS})"),
            Self::MySql => format!(
                "LEFT(COALESCE(CONVERT(CAST({name} AS CHAR) USING utf8mb4), ''), {KEY_CHARACTERS})"
            ),
        }
    }

    /// Ordered as bytes are, whatever the collation.
    fn bytes_of(self, text: &str) -> String {
        match self {
            Self::Postgres => format!("convert_to({text}, 'UTF8')"),
            Self::MySql => format!("CAST({text} AS BINARY)"),
        }
    }

    fn parameter(self) -> &'static str {
        match self {
            Self::Postgres => "$1::text",
            Self::MySql => "CONVERT(? USING utf8mb4)",
        }
    }

    /// All rows in the order of codes, then of all cells; from a code on where one is bound. First comes the key.
    pub(super) fn scan(
        self,
        table: &str,
        subject: &str,
        cells: &[String],
        resumed: bool,
    ) -> String {
        let key = self.key(subject);
        let from = if resumed {
            let (left, right) = (self.bytes_of(&key), self.bytes_of(self.parameter()));
            format!(" WHERE {left} >= {right}")
        } else {
            String::new()
        };
        format!(
            "SELECT {key}, {} FROM {table}{from} ORDER BY {}{}",
            cells.join(", "),
            self.bytes_of(&key),
            order(cells)
        )
    }

    /// The rows about one subject, in the order of all cells. First comes the key.
    pub(super) fn fetch(
        self,
        table: &str,
        subject: &Column,
        cells: &[String],
        most: Option<usize>,
    ) -> String {
        let name = self.quote(&subject.name);
        // The column stands alone on its side, so that its index serves.
        let value = match self {
            Self::Postgres if subject.type_name == "bpchar" => "$1::text::bpchar",
            Self::Postgres => "$1::text",
            Self::MySql => "?",
        };
        let name = match self {
            Self::Postgres
                if !["text", "varchar", "bpchar"].contains(&subject.type_name.as_str()) =>
            {
                format!("{name}::text")
            }
            _ => name,
        };
        let limit = most.map_or_else(String::new, |most| format!(" LIMIT {most}"));
        format!(
            "SELECT {}, {} FROM {table} WHERE {name} = {value} ORDER BY 1{}{limit}",
            self.key(&subject.name),
            cells.join(", "),
            order(cells)
        )
    }
}

/// `, 2, 3, …`: every cell breaks ties, so that equal codes have one order.
fn order(cells: &[String]) -> String {
    (0..cells.len()).map(|i| format!(", {}", i + 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, type_name: &str, category: &str) -> Column {
        Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            category: category.to_owned(),
        }
    }

    #[test]
    fn names_are_quoted_even_those_that_the_mapping_refuses() {
        for (dialect, name, quoted) in [
            (Dialect::Postgres, "企业", "\"企业\""),
            (Dialect::Postgres, "a\" OR \"1", "\"a\"\" OR \"\"1\""),
            (Dialect::MySql, "select", "`select`"),
            (Dialect::MySql, "a` OR `1", "`a`` OR ``1`"),
        ] {
            assert_eq!(dialect.quote(name), quoted);
        }
    }

    #[test]
    fn statements_are_these() {
        let pg = Dialect::Postgres;
        let cells = [
            pg.cell(&column("code", "bpchar", "S"), 9),
            pg.cell(&column("day", "timestamptz", "D"), 9),
        ];
        assert_eq!(
            pg.scan("\"t\"", "code", &cells, true),
            "SELECT left(coalesce(\"code\"::text, ''), 24), left(\"code\"::text, 10), \
             left(\"day\"::text, 10) FROM \"t\" \
             WHERE convert_to(left(coalesce(\"code\"::text, ''), 24), 'UTF8') >= \
             convert_to($1::text, 'UTF8') \
             ORDER BY convert_to(left(coalesce(\"code\"::text, ''), 24), 'UTF8'), 2, 3"
        );
        assert_eq!(
            pg.fetch("\"t\"", &column("code", "bpchar", "S"), &cells, Some(7)),
            "SELECT left(coalesce(\"code\"::text, ''), 24), left(\"code\"::text, 10), \
             left(\"day\"::text, 10) FROM \"t\" WHERE \"code\" = $1::text::bpchar \
             ORDER BY 1, 2, 3 LIMIT 7"
        );
        let my = Dialect::MySql;
        let cells = [my.cell(&column("day", "datetime", ""), 9)];
        assert_eq!(
            my.fetch("`t`", &column("code", "varchar", ""), &cells, None),
            "SELECT LEFT(COALESCE(CONVERT(CAST(`code` AS CHAR) USING utf8mb4), ''), 24), \
             LEFT(CONVERT(CAST(`day` AS CHAR) USING utf8mb4), 10) FROM `t` \
             WHERE `code` = ? ORDER BY 1, 2"
        );
    }

    #[test]
    fn bytes_and_shapes_are_not_readable() {
        for (dialect, name, category, readable) in [
            (Dialect::Postgres, "text", "S", true),
            (Dialect::Postgres, "numeric", "N", true),
            (Dialect::Postgres, "jsonb", "U", true),
            (Dialect::Postgres, "bytea", "U", false),
            (Dialect::Postgres, "_text", "A", false),
            (Dialect::Postgres, "point", "G", false),
            (Dialect::MySql, "varchar", "", true),
            (Dialect::MySql, "decimal", "", true),
            (Dialect::MySql, "longblob", "", false),
            (Dialect::MySql, "varbinary", "", false),
        ] {
            assert_eq!(
                column("c", name, category).is_readable(dialect),
                readable,
                "{name}"
            );
        }
    }
}
