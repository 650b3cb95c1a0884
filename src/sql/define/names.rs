//! Names that PostgreSQL invents for constraints and indexes.

use crate::catalog::Catalog;
use sqlparser::keywords::ALL_KEYWORDS;

const MAX_NAME: usize = 63;

/// Names taken so far: those of the catalog, and those given earlier in the same statement.
pub(super) struct Names<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) schema: &'a str,
    pub(super) given: Vec<String>,
}

impl Names<'_> {
    /// Is the name free for a relation?
    pub(super) fn is_free(&self, name: &str) -> bool {
        !self.given.iter().any(|given| given == name) && !self.catalog.has_relation(self.schema, name)
    }

    /// `table_columns_label`, with the first number behind it that makes it free.
    pub(super) fn choose(&mut self, table: &str, columns: &str, label: &str) -> String {
        let mut number = 0_u32;
        loop {
            let suffix = if number == 0 { label.to_owned() } else { format!("{label}{number}") };
            let name = joined(table, columns, &suffix);
            if self.is_free(&name) {
                self.given.push(name.clone());
                return name;
            }
            number += 1;
        }
    }
}

/// Joined with underscores; the longer of the two names is cut until all fits.
pub(super) fn joined(table: &str, columns: &str, label: &str) -> String {
    let (mut table, mut columns) = (table.to_owned(), columns.to_owned());
    let signs = if columns.is_empty() { 1 } else { 2 };
    while table.len() + columns.len() + label.len() + signs > MAX_NAME {
        let longer = if table.len() > columns.len() { &mut table } else { &mut columns };
        if longer.pop().is_none() {
            break;
        }
    }
    if columns.is_empty() { format!("{table}_{label}") } else { format!("{table}_{columns}_{label}") }
}

/// An identifier as it is written: in quotes unless it is plain and no word of the language.
pub(in crate::sql) fn quoted(name: &str) -> String {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = starts && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    let word = name.to_ascii_uppercase();
    if plain && ALL_KEYWORDS.binary_search(&word.as_str()).is_err() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
