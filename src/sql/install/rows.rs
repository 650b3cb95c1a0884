//! What ALTER TABLE does with the rows that are there at its place in the order, since more than each row is needed for it
//! ([`crate::sql::Groundwork`] does the rest): writes them anew, or looks whether they keep what is asked of them.
//!
//! # Invariants
//! - New values are computed from the row as it was, all of them; dice are rolled for the rows in the order of their keys, other
//!   ones in each partition, but the same for a table that every partition has.
//! - A hidden id is a row's for good: it keeps it.
//! - Rows that are written anew have all columns of their table: none is read from the catalog.

use super::{contains_nulls, duplicate};
use crate::catalog::{Index, IndexState, Table};
use crate::sql::context::Context;
use crate::sql::define::TableWork;
use crate::sql::execute::{Run, row_key};
use crate::sql::expr::evaluate;
use crate::storage::Store;
use crate::types::random::{RngCore, SeedableRng};
use crate::types::{Rng, SqlError, SqlState, Value, row};
use std::ops::Bound;

/// Writes all rows of a table into its new tree, with new values and, if that has changed, under other keys.
pub(super) fn rewrite(
    store: &mut Store,
    old: &Table,
    new: &Table,
    work: Option<&TableWork>,
    context: &mut Context,
) -> Result<(), SqlError> {
    if work.is_some_and(|work| work.streams.len() != context.drawn.streams()) {
        return Err(SqlError::new(SqlState::INTERNAL_ERROR, "rows are numbered that nobody has counted"));
    }
    let seed = context.rng.next_u64();
    let own = context.share.filter(|_| !new.is_replicated()).map_or(0, |share| u64::from(share.own.0));
    context.rng = Rng::seed_from_u64(seed ^ own.rotate_left(32));
    let hidden = old.primary_key.is_empty() && new.primary_key.is_empty();
    let mut rows: Vec<(Vec<u8>, Vec<Value>)> = Vec::with_capacity(store.len(old.tree));
    for (key, bytes) in store.scan(old.tree, Bound::Unbounded, Bound::Unbounded) {
        let before = old.read_row(bytes, &old.every_column())?;
        let mut at = Run::new(store, &[], context);
        let mut row = before.clone();
        row.resize(new.columns.len(), Value::Null);
        for (column, value) in work.iter().flat_map(|work| &work.values) {
            row[*column] = evaluate(value, &before, &mut at)?;
        }
        for (value, column) in row.iter_mut().zip(&new.columns) {
            if column.dropped {
                *value = Value::Null;
            }
        }
        if let Some(work) = work {
            keeps(new, work, &row, &mut at)?;
        }
        rows.push((key.to_vec(), row));
    }
    if hidden {
        store.count_on(new.tree, store.last_id(old.tree));
    }
    context.drawn.check()?;
    let mut bytes = Vec::new();
    for (key, row) in rows {
        let key = match new.primary_key.is_empty() {
            true if hidden => key,
            true => store.next_id(new.tree).to_be_bytes().to_vec(),
            false => row_key(new, &row),
        };
        bytes.clear();
        row::encode_into(&mut bytes, &row);
        if store.put(new.tree, &key, &bytes) {
            return Err(duplicate(new, &primary_index(new), &row));
        }
    }
    Ok(())
}

/// Looks whether all rows of a table keep what is asked of them.
pub(super) fn prove(store: &Store, table: &Table, work: &TableWork, context: &mut Context) -> Result<(), SqlError> {
    if work.not_null.is_empty() && work.checks.is_empty() {
        return Ok(());
    }
    for (_, bytes) in store.scan(table.tree, Bound::Unbounded, Bound::Unbounded) {
        let row = table.read_row(bytes, &table.every_column())?;
        keeps(table, work, &row, &mut Run::new(store, &[], context))?;
    }
    Ok(())
}

/// Looks whether a row keeps what is asked of all.
pub(in crate::sql) fn keeps(table: &Table, work: &TableWork, row: &[Value], at: &mut Run<'_>) -> Result<(), SqlError> {
    if let Some(column) = work.not_null.iter().find(|column| row[**column].is_null()) {
        return Err(contains_nulls(table, *column));
    }
    for (name, condition) in &work.checks {
        if evaluate(condition, row, at)?.as_bool() == Some(false) {
            let message = format!("check constraint \"{name}\" of relation \"{}\" is violated by some row", table.name);
            let mut error = SqlError::new(SqlState::CHECK_VIOLATION, message);
            error.table = Some(table.name.clone());
            error.constraint = Some(name.clone());
            return Err(error);
        }
    }
    Ok(())
}

/// The primary key as the index that it would be.
pub(in crate::sql) fn primary_index(table: &Table) -> Index {
    Index {
        name: table.primary_key_name.clone().unwrap_or_default(),
        columns: table.primary_key.iter().map(|column| (*column, false)).collect(),
        unique: true,
        constraint: true,
        tree: table.tree,
        state: IndexState::Active,
        global: None,
    }
}
