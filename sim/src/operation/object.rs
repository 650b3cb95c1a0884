//! Objects of a schema that come and go while others work with them.

use std::fmt;

/// An object: a table of its own, a column or an index of the common one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// What it is.
    pub sort: Sort,
    /// Number, of its sort.
    pub number: u32,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// A table.
    Table,
    /// A column.
    Column,
    /// An index.
    Index,
    /// Two tables, made in one transaction block that writes a row beside.
    Pair,
}

impl Sort {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Table, "table"), (Self::Column, "column"), (Self::Index, "index"), (Self::Pair, "pair")];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }
}

impl Object {
    /// The object of `create_table` and a number, for the prefix `create_`.
    pub(super) fn after(prefix: &str, verb: &str, number: u64) -> Option<Self> {
        let name = verb.strip_prefix(prefix)?;
        let sort = Sort::NAMES.iter().find(|(_, known)| *known == name).map(|(sort, _)| *sort)?;
        Some(Self { sort, number: u32::try_from(number).ok()? })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sort.name(), self.number)
    }
}
