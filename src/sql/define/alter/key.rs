//! ADD PRIMARY KEY and ADD UNIQUE.
//!
//! Either begins as a unique index that is being built: every write maintains it, nothing reads it, and every partition
//! says whether its own rows keep it. Only then is it put in use ([`crate::sql::next_to_finish`]). A primary key does more
//! in that moment: the rows, which had hidden ids, move under their keys, and the table's other indexes, whose entries
//! name rows by their keys, are built anew.
//!
//! A table that is placed by PARTITION BY stays so, and the key must contain those columns. Without it all rows were in
//! one partition; once the key is in use its first column places them, and they move ([`crate::sql::rows_to_move`]).

use super::Alteration;
use crate::catalog::{Index, IndexState, Table};
use crate::sql::bind::fold;
use crate::sql::define::index::joined_columns;
use crate::sql::define::{Change, placement};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::Ident;

impl Alteration<'_, '_> {
    pub(super) fn add_key(&mut self, name: Option<String>, columns: &[Ident], primary: bool) -> Result<(), SqlError> {
        let table = &self.table;
        if primary && (table.primary_key_name.is_some() || table.becoming_primary().is_some()) {
            let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name);
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let positions = key_positions(table, columns, primary)?;
        if primary && let Some(missing) = table.partition_key.iter().find(|column| !positions.contains(column)) {
            return Err(placement::lacking("PRIMARY KEY", table, *missing));
        }
        let mut names = self.names();
        let name = match name {
            Some(name) if !names.is_free(&name) => {
                let message = format!("relation \"{name}\" already exists");
                return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
            }
            Some(name) if table.has_constraint(&name) => {
                return Err(super::constraint::taken(table, &name));
            }
            Some(name) => name,
            None if primary => names.choose(&table.name, "", "pkey"),
            None => {
                let columns: Vec<_> = positions.iter().map(|column| table.columns[*column].name.as_str()).collect();
                names.choose(&table.name, &joined_columns(&columns), "key")
            }
        };
        let state = if primary { IndexState::BecomingPrimary } else { IndexState::Building };
        let columns = positions.into_iter().map(|column| (column, false)).collect();
        let tree = self.change.tree();
        self.table.indexes.push(Index { name, columns, unique: true, constraint: !primary, tree, state, global: None });
        Ok(())
    }
}

fn key_positions(table: &Table, columns: &[Ident], primary: bool) -> Result<Vec<usize>, SqlError> {
    let mut positions = Vec::with_capacity(columns.len());
    for ident in columns {
        let name = fold(ident);
        let position = table.column(&name).ok_or_else(|| {
            let message = match primary {
                true => format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
                false => format!("column \"{name}\" named in key does not exist"),
            };
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if positions.contains(&position) {
            let what = if primary { "primary key" } else { "unique" };
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        positions.push(position);
    }
    Ok(positions)
}

/// The index holds everywhere: it becomes the primary key.
pub(in crate::sql::define) fn promote(change: &mut Change<'_>, table: &mut Table, index: &Index) {
    table.indexes.retain(|other| other.tree != index.tree);
    for other in &mut table.indexes {
        other.tree = change.tree();
    }
    table.tree = index.tree;
    table.primary_key = index.columns.iter().map(|(column, _)| *column).collect();
    table.primary_key_name = Some(index.name.clone());
    for column in &table.primary_key {
        table.columns[*column].not_null = true;
    }
    if table.partition_key.is_empty() && !table.is_replicated() {
        table.partition_key = table.primary_key.first().copied().into_iter().collect();
    }
}
