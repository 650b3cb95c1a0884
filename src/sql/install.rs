//! A store from one catalog to the next: trees come and go, rows are written anew or looked through, indexes are built.

mod numbers;
mod rows;

pub use numbers::Numbering;
pub(super) use rows::{keeps, primary_index};

use super::context::Context;
use super::define::{TableWork, Work};
use super::execute::{key_text, row_key};
use super::groundwork::{Groundwork, can_write};
use crate::catalog::{Catalog, Index, Table};
use crate::storage::{Aside, Store};
use crate::types::datetime::TimeZone;
use crate::types::{SqlError, SqlState, TreeId, Value, row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    let mut entries = BTreeMap::new();
    for table in new.tables.values() {
        let Some(old) = same(table).filter(|old| old.tree != table.tree) else { continue };
        // A table that is filed under what was an index has got a primary key. Without work on its rows any other one that has
        // another tree has been emptied.
        let work = work.on(table.id);
        if work.is_some() || before.contains(&table.tree) {
            write_anew(store, (old, table), work, context, groundwork, &mut entries)?;
        }
    }
    for tree in before.difference(&after) {
        store.drop_tree(*tree);
    }
    for table in new.tables.values().filter(|table| same(table).is_some()) {
        for index in table.indexes.iter().filter(|index| !before.contains(&index.tree)) {
            let made = match entries.remove(&index.tree) {
                Some(made) => made,
                None => groundwork.index(store, table, index)?,
            };
            store.take_in(index.tree, &made);
        }
        if before.contains(&table.tree)
            && let Some(work) = work.on(table.id)
            && !groundwork.keeps(store, table, work)?
        {
            rows::prove(store, table, work, context)?;
        }
    }
    Ok(())
}

/// The rows of a table go to another tree, and the entries of its indexes, if they are made with them, to `entries`.
fn write_anew(
    store: &mut Store,
    (old, new): (&Arc<Table>, &Arc<Table>),
    work: Option<&TableWork>,
    context: &mut Context,
    groundwork: &mut Groundwork,
    entries: &mut BTreeMap<TreeId, Aside>,
) -> Result<(), SqlError> {
    if !can_write(old, new, work) {
        return rows::rewrite(store, old, new, work, context);
    }
    let mut made = groundwork.rows(store, (old, new), work)?.into_iter();
    store.take_in(new.tree, &made.next().unwrap_or_default());
    entries.extend(new.indexes.iter().map(|index| index.tree).zip(made));
    if new.primary_key.is_empty() {
        // They keep their hidden ids.
        store.count_on(new.tree, store.last_id(old.tree));
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

pub(super) fn contains_nulls(table: &Table, column: usize) -> SqlError {
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
