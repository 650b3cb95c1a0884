//! What a definition asks of the rows that are there. It follows from the catalog and the text, as the next catalog does:
//! each partition finds out for itself ([`crate::sql::install()`] does it).

use crate::catalog::Table;
use crate::sql::expr::Expr;
use crate::types::TableId;
use std::sync::Arc;

/// Work on rows, besides creating and dropping trees and building indexes.
#[derive(Clone, Debug, Default)]
pub struct Work(pub(in crate::sql) Vec<TableWork>);

/// Work on the rows of one table. They are written anew if the table's tree is another one in the next catalog.
#[derive(Clone, Debug)]
pub(in crate::sql) struct TableWork {
    pub(in crate::sql) table: TableId,
    /// Columns that get another value, each computed from the row as it was.
    pub(in crate::sql) values: Vec<(usize, Expr)>,
    /// Columns in which no row may have NULL, ascending.
    pub(in crate::sql) not_null: Vec<usize>,
    /// Conditions that all rows must keep, each with its constraint's name.
    pub(in crate::sql) checks: Vec<(String, Expr)>,
    /// Sequences from which the values draw, by stream: see [`crate::sql::Numbering`].
    pub(in crate::sql) streams: Vec<Arc<Table>>,
}

impl Work {
    /// The work on one table.
    pub(in crate::sql) fn on(&self, table: TableId) -> Option<&TableWork> {
        self.0.iter().find(|work| work.table == table)
    }
}
