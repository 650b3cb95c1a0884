//! ALTER TABLE … ADD PRIMARY KEY and ADD UNIQUE.
//!
//! Either begins as a unique index that is being built: every write maintains it, nothing reads it, and every partition
//! says whether its own rows keep it. Only then is it put in use ([`super::finish_building`]). A primary key does more
//! in that moment: the rows, which had hidden ids, move under their keys, and the table's other indexes, whose entries
//! name rows by their keys, are built anew. Writes of other sessions go on all the time, but for the moments in which a
//! partition builds.
//!
//! A table that is placed by PARTITION BY stays so, and the key must contain those columns. Without it all rows were in
//! one partition; once the key is in use its first column places them, and they move ([`crate::sql::rows_to_move`]).

use super::Change;
use super::foreign;
use super::index::joined_columns;
use super::names::Names;
use super::placement;
use super::table::plain_columns;
use crate::catalog::{Index, IndexState, Table};
use crate::sql::bind::{find_table, fold};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, AlterTableOperation, Ident, TableConstraint};

pub(super) fn table(change: &mut Change<'_>, alter: &ast::AlterTable) -> Result<&'static str, SqlError> {
    let table = match find_table(&change.catalog, &alter.name, change.search_path) {
        Ok(table) => table.clone(),
        Err(error) if alter.if_exists && error.state == SqlState::UNDEFINED_TABLE => {
            change.notice(SqlState(*b"00000"), format!("{}, skipping", error.message));
            return Ok("ALTER TABLE");
        }
        Err(error) => return Err(error),
    };
    if let [AlterTableOperation::DropConstraint { if_exists, name, drop_behavior }] = alter.operations.as_slice() {
        let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
        change.drop_constraint(&table, &fold(name), *if_exists, cascade)?;
        return Ok("ALTER TABLE");
    }
    let [AlterTableOperation::AddConstraint { constraint, not_valid: false }] = alter.operations.as_slice() else {
        return Err(SqlError::unsupported("this form of ALTER TABLE is not supported yet")
            .hint("ADD PRIMARY KEY, ADD UNIQUE, ADD FOREIGN KEY and DROP CONSTRAINT are, one at a time."));
    };
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            foreign::refuse_deferrable(key.characteristics.as_ref())?;
            add_key(change, Table::clone(&table), key.name.as_ref(), &plain_columns(&key.columns)?, true)?;
        }
        TableConstraint::Unique(key) => {
            foreign::refuse_deferrable(key.characteristics.as_ref())?;
            add_key(change, Table::clone(&table), key.name.as_ref(), &plain_columns(&key.columns)?, false)?;
        }
        TableConstraint::ForeignKey(key) => change.add_foreign_key(&table, key)?,
        _ => return Err(SqlError::unsupported("this constraint cannot be added to a table yet")),
    }
    Ok("ALTER TABLE")
}

fn add_key(
    change: &mut Change<'_>,
    mut table: Table,
    name: Option<&Ident>,
    columns: &[Ident],
    primary: bool,
) -> Result<(), SqlError> {
    if primary && (table.primary_key_name.is_some() || table.becoming_primary().is_some()) {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name);
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    }
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
    if primary && let Some(missing) = table.partition_key.iter().find(|column| !positions.contains(column)) {
        return Err(placement::lacking("PRIMARY KEY", &table, *missing));
    }
    let mut names = Names { catalog: &change.catalog, schema: &table.schema, given: Vec::new() };
    let name = match name.map(fold) {
        Some(name) if !names.is_free(&name) => {
            let message = format!("relation \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
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
    let tree = change.tree();
    table.indexes.push(Index { name, columns, unique: true, constraint: !primary, tree, state, global: None });
    placement::own_keys(change, &mut table, false);
    placement::check_keys(&table, change.partitions)?;
    change.replace(table);
    Ok(())
}

/// The index holds everywhere: it becomes the primary key.
pub(super) fn promote(change: &mut Change<'_>, table: &mut Table, index: &Index) {
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
