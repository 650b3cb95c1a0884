//! A store from one catalog to the next: trees come and go, rows are written anew or looked through, indexes are built.

mod numbers;
mod rows;

pub use numbers::Numbering;

use super::context::Context;
use super::define::Work;
use super::execute::{entry_of, key_text, row_key};
use super::groundwork::Groundwork;
use crate::catalog::{Catalog, Index, IndexState, Table};
use crate::storage::Store;
use crate::types::datetime::TimeZone;
use crate::types::{SqlError, SqlState, TreeId, Value, row};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Creates and drops trees, does what `work` says with the rows that are there, and builds new indexes from them.
///
/// # Errors
/// The first thing that the rows do not keep: NOT NULL, a CHECK, a UNIQUE; or what went wrong in computing new values.
/// The caller rolls the store back to its mark.
pub fn install(
    store: &mut Store,
    old: &Catalog,
    new: &Catalog,
    work: &Work,
    context: &mut Context,
) -> Result<(), SqlError> {
    install_prepared(store, old, new, work, context, &mut Groundwork::default())
}

/// As [`install()`], with what was made of the rows beforehand.
///
/// # Errors
/// As [`install()`].
pub fn install_prepared(
    store: &mut Store,
    old: &Catalog,
    new: &Catalog,
    work: &Work,
    context: &mut Context,
    groundwork: &mut Groundwork,
) -> Result<(), SqlError> {
    let trees =
        |catalog: &Catalog| catalog.tables.values().flat_map(|table| table.trees().collect::<Vec<_>>()).collect();
    let (before, after): (BTreeSet<TreeId>, BTreeSet<TreeId>) = (trees(old), trees(new));
    for tree in after.difference(&before) {
        store.create_tree(*tree);
    }
    let same = |table: &Table| old.tables.values().find(|old| old.id == table.id);
    for table in new.tables.values() {
        match same(table) {
            Some(old) if before.contains(&table.tree) && old.tree != table.tree => move_rows(store, old, table)?,
            // Without work on its rows, a table that has another tree has been emptied.
            Some(old) if old.tree != table.tree => {
                if let Some(work) = work.on(table.id) {
                    rows::rewrite(store, old, table, Some(work), context)?;
                }
            }
            _ => {}
        }
    }
    for tree in before.difference(&after) {
        store.drop_tree(*tree);
    }
    for table in new.tables.values().filter(|table| same(table).is_some()) {
        for index in table.indexes.iter().filter(|index| !before.contains(&index.tree)) {
            match groundwork.index(store, table, index) {
                Some(entries) => store.take_in(index.tree, &entries),
                None => build(store, table, index)?,
            }
        }
        if before.contains(&table.tree)
            && let Some(work) = work.on(table.id)
            && !groundwork.keeps(store, table, work)
        {
            rows::prove(store, table, work, context)?;
        }
    }
    Ok(())
}

/// Puts rows that were gathered for one statement into a store. Of rows with the same primary key the last stays.
pub fn fill(store: &mut Store, table: &Table, rows: impl IntoIterator<Item = Vec<Value>>) {
    store.create_tree(table.tree);
    for values in rows {
        debug_assert!(values.len() == table.columns.len(), "a row of {} has its columns", table.name);
        store.put(table.tree, &row_key(table, &values), &row::encode(&values));
    }
}

/// A table has got a primary key: its rows go from their hidden ids to their keys. That no two have the same key was
/// proved before, and kept true since (see [`crate::catalog::IndexState::BecomingPrimary`]).
fn move_rows(store: &mut Store, old: &Table, new: &Table) -> Result<(), SqlError> {
    let mut wanted = vec![false; new.columns.len()];
    for column in &new.primary_key {
        wanted[*column] = true;
    }
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(store.len(old.tree));
    for (_, bytes) in store.scan(old.tree, Bound::Unbounded, Bound::Unbounded) {
        rows.push((row_key(new, &old.read_row(bytes, &wanted)?), bytes.to_vec()));
    }
    store.clear(new.tree);
    for (key, bytes) in rows {
        store.put(new.tree, &key, &bytes);
    }
    Ok(())
}

fn build(store: &mut Store, table: &Table, index: &Index) -> Result<(), SqlError> {
    let mut wanted = vec![false; table.columns.len()];
    for (column, _) in &index.columns {
        wanted[*column] = true;
    }
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(store.len(table.tree));
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut null = None;
    for (key, bytes) in store.scan(table.tree, Bound::Unbounded, Bound::Unbounded) {
        let row = table.read_row(bytes, &wanted)?;
        if index.state == IndexState::BecomingPrimary {
            null =
                null.or_else(|| index.columns.iter().map(|(column, _)| *column).find(|column| row[*column].is_null()));
        }
        let (entry, unique) = entry_of(table, index, &row, key);
        if unique && !seen.insert(entry.clone()) {
            return Err(duplicate(table, index, &row));
        }
        entries.push((entry, key.to_vec()));
    }
    for (entry, key) in entries {
        store.put(index.tree, &entry, &key);
    }
    null.map_or(Ok(()), |column| Err(contains_nulls(table, column)))
}

fn contains_nulls(table: &Table, column: usize) -> SqlError {
    let column = &table.columns[column].name;
    let message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name);
    let mut error = SqlError::new(SqlState::NOT_NULL_VIOLATION, message);
    error.table = Some(table.name.clone());
    error.column = Some(column.clone());
    error
}

pub(super) fn duplicate(table: &Table, index: &Index, row: &[Value]) -> SqlError {
    let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
    let message = format!("could not create unique index \"{}\"", index.name);
    let detail = format!("Key {} is duplicated.", key_text(table, &columns, row, &TimeZone::utc()));
    let mut error = SqlError::new(SqlState::UNIQUE_VIOLATION, message).detail(detail);
    error.table = Some(table.name.clone());
    error.constraint = Some(index.name.clone());
    error
}
