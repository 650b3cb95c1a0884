//! What names mean inside a query: the columns of its FROM.

use crate::catalog::Table;
use crate::types::{DataType, TableId};
use std::sync::Arc;

/// A column that can be named.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    /// The relation's alias, or its name.
    pub(super) relation: String,
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// The table's column that it is.
    pub(super) origin: Option<(TableId, usize)>,
    /// Only by its relation's name: USING has merged it with another.
    pub(super) merged: bool,
    /// Not at all: the column was dropped, and rows have its place; or it is the row's key.
    pub(super) hidden: bool,
    /// It is the key of this table's row, which is to be locked.
    pub(super) locks: Option<RowKey>,
}

/// The key of a row.
#[derive(Clone, Debug)]
pub(super) struct RowKey {
    pub(super) table: Arc<Table>,
    /// There may be no row: an outer join fills its place.
    pub(super) nullable: bool,
}

/// The columns of a FROM, in the order of its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
}

/// What a name has been found to be.
pub(super) enum Found {
    Column(usize),
    Ambiguous,
    NoColumn,
    NoRelation,
}

impl Scope {
    pub(super) fn of_table(table: &Table, alias: &str) -> Self {
        let columns = table.columns.iter().enumerate().map(|(position, column)| ScopeColumn {
            relation: alias.to_owned(),
            name: column.name.clone(),
            data_type: column.data_type,
            origin: Some((table.id, position)),
            merged: false,
            hidden: column.dropped,
            locks: None,
        });
        Self { columns: columns.collect() }
    }

    /// Behind a table's columns comes the key of its row.
    pub(super) fn with_key(&mut self, table: &Arc<Table>, alias: &str) {
        self.columns.push(ScopeColumn {
            relation: alias.to_owned(),
            name: String::new(),
            data_type: DataType::Bytea,
            origin: None,
            merged: true,
            hidden: true,
            locks: Some(RowKey { table: Arc::clone(table), nullable: false }),
        });
    }

    /// Rows of these columns may be missing.
    pub(super) fn outer(&mut self, columns: std::ops::Range<usize>) {
        for key in self.columns[columns].iter_mut().filter_map(|column| column.locks.as_mut()) {
            key.nullable = true;
        }
    }

    pub(super) fn find(&self, relation: Option<&str>, name: &str) -> Found {
        let visible = |column: &&(usize, &ScopeColumn)| match relation {
            Some(relation) => column.1.relation == relation,
            None => !column.1.merged,
        };
        let columns: Vec<_> = self.columns.iter().enumerate().collect();
        let mut matching = columns.iter().filter(visible).filter(|(_, column)| column.name == name && !column.hidden);
        match (matching.next(), matching.next()) {
            (Some((position, _)), None) => Found::Column(*position),
            (Some(_), Some(_)) => Found::Ambiguous,
            (None, _) if relation.is_some() && !columns.iter().any(|column| visible(&column)) => Found::NoRelation,
            (None, _) => Found::NoColumn,
        }
    }
}
