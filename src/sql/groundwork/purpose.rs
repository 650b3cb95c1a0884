//! What is made of a row, for one purpose: a function of the row alone.

use crate::catalog::{Index, IndexState, Table};
use crate::planted;
use crate::sql::Context;
use crate::sql::define::TableWork;
use crate::sql::execute::{Run, entry_of, row_key};
use crate::sql::expr::{Expr, evaluate};
use crate::sql::install::{contains_nulls, duplicate, keeps, primary_index};
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{Rng, SqlError, Timestamp, TreeId, Value, row};
use std::sync::Arc;

/// What is made.
#[derive(Clone)]
pub(super) enum Purpose {
    Index(Index),
    /// It is known that the rows keep this.
    Keeps(TableWork),
    /// The rows as they will be, and the entries of all indexes.
    Rows {
        after: Arc<Table>,
        /// `None`: they are filed under other keys, and are what they were.
        work: Option<TableWork>,
    },
}

/// What a row comes to in one of the trees that are made.
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// No other row may have it.
    pub(super) alone: bool,
}

/// No clock, no dice and no setting is needed to make anything.
pub(super) fn nowhere() -> Context {
    Context::new(Timestamp::default(), Rng::seed_from_u64(0), "UTC", 0)
}

/// Are the columns what they are before the definition?
pub(super) fn same_columns(before: &Table, after: &Table, columns: impl IntoIterator<Item = usize>) -> bool {
    columns.into_iter().all(|column| match (before.columns.get(column), after.columns.get(column)) {
        (Some(before), Some(after)) => {
            (before.data_type, &before.missing, before.dropped) == (after.data_type, &after.missing, after.dropped)
        }
        _ => false,
    })
}

pub(super) fn can_index(before: &Table, after: &Table, index: &Index) -> bool {
    same_columns(before, after, index.columns.iter().map(|(column, _)| *column))
}

/// Does it depend on the rows alone?
pub(super) fn is_of_rows_alone(work: &TableWork) -> bool {
    let values = work.values.iter().map(|(_, value)| value);
    let mut needed = values.chain(work.checks.iter().map(|(_, condition)| condition));
    work.streams.is_empty() && needed.all(Expr::is_of_row_alone)
}

/// Conditions that depend on the row alone.
pub(super) fn can_prove(before: &Table, after: &Table, work: &TableWork) -> bool {
    !(work.not_null.is_empty() && work.checks.is_empty())
        && work.values.is_empty()
        && is_of_rows_alone(work)
        && before.columns.len() == after.columns.len()
        && same_columns(before, after, 0..after.columns.len())
}

/// Does what rows will be depend on each alone, and the key under which it is filed? Not if it gets a hidden id.
pub(super) fn can_write(before: &Table, after: &Table, work: Option<&TableWork>) -> bool {
    (before.primary_key.is_empty() || !after.primary_key.is_empty()) && work.is_none_or(is_of_rows_alone)
}

impl Purpose {
    pub(super) fn rows(after: &Arc<Table>, work: Option<&TableWork>) -> Self {
        Self::Rows { after: Arc::clone(after), work: work.cloned() }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Index(one), Self::Index(other)) => {
                one.columns == other.columns
                    && one.unique == other.unique
                    && (one.state == IndexState::BecomingPrimary) == (other.state == IndexState::BecomingPrimary)
            }
            (Self::Keeps(one), Self::Keeps(other)) => same_work(one, other),
            (Self::Rows { after: one, work: of_one }, Self::Rows { after: other, work: of_other }) => {
                let same_values = match (of_one, of_other) {
                    (Some(one), Some(other)) => one.values == other.values && same_work(one, other),
                    (None, None) => true,
                    _ => false,
                };
                same_values && unplaced(one) == unplaced(other)
            }
            _ => false,
        }
    }

    /// Which columns of a row it depends on.
    pub(super) fn columns(&self, table: &Table) -> Vec<bool> {
        match self {
            Self::Index(index) => {
                let has = |column| index.columns.iter().any(|(of, _)| *of == column);
                (0..table.columns.len()).map(has).collect()
            }
            Self::Keeps(_) | Self::Rows { .. } => table.every_column(),
        }
    }

    /// Does it need to know of columns that come?
    pub(super) const fn is_of_whole_rows(&self) -> bool {
        matches!(self, Self::Rows { .. })
    }

    /// How many trees are made.
    pub(super) fn trees(&self) -> usize {
        match self {
            Self::Index(_) => 1,
            Self::Keeps(_) => 0,
            Self::Rows { after, .. } => 1 + after.indexes.len(),
        }
    }

    /// May a row be filed under another key than before?
    pub(super) fn files_anew(&self) -> bool {
        matches!(self, Self::Rows { after, .. } if !after.primary_key.is_empty())
    }

    /// What a row comes to, an entry for each tree.
    pub(super) fn make(
        &self,
        table: &Table,
        (key, bytes): (&[u8], &[u8]),
        context: &mut Context,
    ) -> Result<Vec<Entry>, SqlError> {
        match self {
            Self::Index(index) => {
                let row = table.read_row(bytes, &self.columns(table))?;
                Ok(vec![entry(table, index, &row, key)?])
            }
            Self::Keeps(work) => {
                let row = table.read_row(bytes, &self.columns(table))?;
                let nothing = Store::new();
                keeps(table, work, &row, &mut Run::new(&nothing, &[], context))?;
                Ok(Vec::new())
            }
            Self::Rows { after, work } => {
                let row = self.row(table, bytes, context)?;
                let mut made = Vec::with_capacity(self.trees());
                let key = if after.primary_key.is_empty() { key.to_vec() } else { row_key(after, &row) };
                let value = if work.is_some() { row::encode(&row) } else { bytes.to_vec() };
                let entries: Result<Vec<Entry>, SqlError> =
                    after.indexes.iter().map(|index| entry(after, index, &row, &key)).collect();
                made.push(Entry { key, value, alone: true });
                made.extend(entries?);
                Ok(made)
            }
        }
    }

    /// A row as it will be.
    fn row(&self, table: &Table, bytes: &[u8], context: &mut Context) -> Result<Vec<Value>, SqlError> {
        let before = table.read_row(bytes, &self.columns(table))?;
        let Self::Rows { after, work: Some(work) } = self else { return Ok(before) };
        let nothing = Store::new();
        let mut at = Run::new(&nothing, &[], context);
        let mut row = before.clone();
        row.resize(after.columns.len(), Value::Null);
        for (column, value) in &work.values {
            row[*column] = evaluate(value, &before, &mut at)?;
        }
        for (value, column) in row.iter_mut().zip(&after.columns) {
            if column.dropped {
                *value = Value::Null;
            }
        }
        keeps(after, work, &row, &mut at)?;
        Ok(row)
    }

    /// Two rows have one entry in the tree of this number: what is said of the second.
    pub(super) fn duplicate(&self, table: &Table, tree: usize, bytes: &[u8], context: &mut Context) -> SqlError {
        let row = match self.row(table, bytes, context) {
            Ok(row) => row,
            Err(error) => return error,
        };
        match self {
            Self::Index(index) => duplicate(table, index, &row),
            Self::Rows { after, .. } => match tree.checked_sub(1).and_then(|number| after.indexes.get(number)) {
                Some(index) => duplicate(after, index, &row),
                None => duplicate(after, &primary_index(after), &row),
            },
            Self::Keeps(_) => unreachable!("a condition makes no entries"),
        }
    }
}

fn entry(table: &Table, index: &Index, row: &[Value], key: &[u8]) -> Result<Entry, SqlError> {
    if index.state == IndexState::BecomingPrimary
        && let Some((column, _)) = index.columns.iter().find(|(column, _)| row[*column].is_null())
    {
        return Err(contains_nulls(table, *column));
    }
    let (entry, alone) = entry_of(table, index, row, key);
    // Planted 263: two rows with one entry do not matter.
    Ok(Entry { key: entry, value: key.to_vec(), alone: alone && !planted!(263) })
}

fn same_work(one: &TableWork, other: &TableWork) -> bool {
    let conditions = |work: &TableWork| -> Vec<_> { work.checks.iter().map(|(_, check)| check.clone()).collect() };
    one.not_null == other.not_null && conditions(one) == conditions(other)
}

/// A table without the numbers of its trees: those depend on what else has been defined.
fn unplaced(table: &Table) -> Table {
    let mut table = Table { tree: TreeId(0), ..table.clone() };
    for index in &mut table.indexes {
        index.tree = TreeId(0);
        index.global = None;
    }
    table
}
