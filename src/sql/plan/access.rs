//! Along which tree a table's rows are found, and which part of it.

use crate::catalog::Table;
use crate::sql::expr::Expr;
use crate::types::DataType;

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Path {
    /// The rows themselves, in order of the primary key (or of the hidden row id).
    Primary,
    /// A secondary index, by position.
    Index(usize),
}

/// Which part of the tree, and in which direction.
#[derive(Clone, Debug)]
pub(in crate::sql) struct Access {
    pub(in crate::sql) path: Path,
    /// Key columns with their types and whether they descend.
    pub(in crate::sql) columns: Vec<(usize, DataType, bool)>,
    /// For each of the first key columns, the values that it may equal.
    pub(in crate::sql) equal: Vec<Vec<Expr>>,
    /// Bounds of the next key column; `true`: inclusive.
    pub(in crate::sql) lower: Option<(Expr, bool)>,
    pub(in crate::sql) upper: Option<(Expr, bool)>,
    pub(in crate::sql) backwards: bool,
}

impl Access {
    /// The whole table in order of its primary key.
    pub(in crate::sql) fn everything(table: &Table) -> Self {
        Self::along(table, Path::Primary)
    }

    /// The whole of one tree.
    pub(in crate::sql) fn along(table: &Table, path: Path) -> Self {
        let column = |column: usize, descending| (column, table.columns[column].data_type, descending);
        let columns = match path {
            Path::Primary => table.primary_key.iter().map(|at| column(*at, false)).collect(),
            Path::Index(index) => table.indexes[index].columns.iter().map(|(at, down)| column(*at, *down)).collect(),
        };
        Self { path, columns, equal: Vec::new(), lower: None, upper: None, backwards: false }
    }

    /// Does it find at most one row per combination of equal values?
    pub(in crate::sql) fn is_point(&self, table: &Table) -> bool {
        !self.columns.is_empty()
            && self.equal.len() == self.columns.len()
            && match self.path {
                Path::Primary => true,
                Path::Index(index) => table.indexes[index].unique,
            }
    }
}
