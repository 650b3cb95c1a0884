//! Rows and index entries, written together: the one place that knows how a table's trees hang together.
//!
//! A row lies under its primary key, or under its hidden row id as eight bytes. An index entry is the indexed columns,
//! with the row's key behind them unless the index is unique and none of them is NULL; its value is the row's key.

use super::Run;
use crate::catalog::{Index, Table};
use crate::planted;
use crate::sql::context::Context;
use crate::sql::expr::evaluate;
use crate::sql::integrity::{Change, Part};
use crate::sql::plan::Target;
use crate::storage::Store;
use crate::types::datetime::TimeZone;
use crate::types::{SqlError, SqlState, Value, key, row, text};

/// Notes a change, if something may follow from it.
pub(super) fn note(context: &mut Context, target: &Target, old: Option<&[Value]>, new: Option<&[Value]>, part: Part) {
    if target.watched {
        let (old, new) = (old.map(<[Value]>::to_vec), new.map(<[Value]>::to_vec));
        context.changes.0.push(Change { table: target.table.id, old, new, part });
    }
}

/// What stands in the way of a row.
pub(super) enum Conflict {
    /// A row with this key in the table's tree has the same primary key, or the same entry in that index.
    Row { key: Vec<u8>, index: Option<usize> },
}

/// The key of a row that has a primary key.
pub(in crate::sql) fn row_key(table: &Table, row: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(table.primary_key.len() * 9);
    for column in &table.primary_key {
        key::encode(&mut bytes, &row[*column], table.columns[*column].data_type, false);
    }
    bytes
}

/// The entry of a row in an index, and whether the entry alone makes the row unique.
pub(in crate::sql) fn entry_of(table: &Table, index: &Index, row: &[Value], row_key: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(index.columns.len() * 9 + row_key.len());
    let mut unique = index.unique;
    for (column, descending) in &index.columns {
        unique &= !row[*column].is_null();
        key::encode(&mut bytes, &row[*column], table.columns[*column].data_type, *descending);
    }
    if !unique {
        bytes.extend_from_slice(row_key);
    }
    (bytes, unique)
}

/// NOT NULL and CHECK, in PostgreSQL's order.
pub(in crate::sql) fn check_row(target: &Target, row: &[Value], at: &mut Run<'_>) -> Result<(), SqlError> {
    let table = &target.table;
    let becoming = table.becoming_primary();
    for (place, (column, value)) in table.columns.iter().zip(row).enumerate() {
        let key = becoming.is_some_and(|index| index.columns.iter().any(|(column, _)| *column == place));
        if (column.not_null || key) && value.is_null() {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name, table.name
            );
            let mut error = SqlError::new(SqlState::NOT_NULL_VIOLATION, message).detail(failing_row(table, row, at));
            error.table = Some(table.name.clone());
            error.column = Some(column.name.clone());
            return Err(error);
        }
    }
    for (name, condition) in &target.checks {
        // Unknown is good enough for a CHECK.
        if evaluate(condition, row, at)?.as_bool() == Some(false) {
            let message = format!("new row for relation \"{}\" violates check constraint \"{name}\"", table.name);
            let mut error = SqlError::new(SqlState::CHECK_VIOLATION, message).detail(failing_row(table, row, at));
            error.table = Some(table.name.clone());
            error.constraint = Some(name.clone());
            return Err(error);
        }
    }
    Ok(())
}

fn failing_row(table: &Table, row: &[Value], at: &Run<'_>) -> String {
    let zone = &at.context.time.zone;
    let shown: Vec<_> = table
        .live_columns()
        .map(|(place, _)| &row[place])
        .map(|value| if value.is_null() { "null".to_owned() } else { shortened(&text::print(value, zone)) })
        .collect();
    format!("Failing row contains ({}).", shown.join(", "))
}

/// Long values are cut to 64 bytes, as PostgreSQL does in messages.
fn shortened(text: &str) -> String {
    if text.len() <= 64 {
        return text.to_owned();
    }
    let end = (0..=64).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// `(a, b)=(1, 2)`
pub(in crate::sql) fn key_text(table: &Table, columns: &[usize], row: &[Value], zone: &TimeZone) -> String {
    let names: Vec<_> = columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
    let values: Vec<_> = columns.iter().map(|column| text::print(&row[*column], zone)).collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// 23505 for a conflict.
pub(in crate::sql) fn unique_violation(
    table: &Table,
    row: &[Value],
    index: Option<usize>,
    zone: &TimeZone,
) -> SqlError {
    let (name, columns) = match index {
        Some(index) => {
            let index = &table.indexes[index];
            (index.name.clone(), index.columns.iter().map(|(column, _)| *column).collect())
        }
        None => (table.primary_key_name.clone().unwrap_or_default(), table.primary_key.clone()),
    };
    let message = format!("duplicate key value violates unique constraint \"{name}\"");
    let detail = format!("Key {} already exists.", key_text(table, &columns, row, zone));
    let mut error = SqlError::new(SqlState::UNIQUE_VIOLATION, message).detail(detail);
    error.table = Some(table.name.clone());
    error.constraint = Some(name);
    error
}

/// What would stand in the way of a new row; nothing is written.
pub(super) fn find_conflict(store: &Store, table: &Table, row: &[Value], own: Option<&[u8]>) -> Option<Conflict> {
    if !table.primary_key.is_empty() {
        let key = row_key(table, row);
        if own != Some(key.as_slice()) && store.get(table.tree, &key).is_some() {
            return Some(Conflict::Row { key, index: None });
        }
    }
    for (number, index) in table.indexes.iter().enumerate().filter(|(_, index)| index.unique) {
        let (entry, unique) = entry_of(table, index, row, &[]);
        if unique
            && let Some(key) = store.get(index.tree, &entry)
            && own != Some(key)
        {
            return Some(Conflict::Row { key: key.to_vec(), index: Some(number) });
        }
    }
    None
}

/// The keys of all rows that stand in the way of a new one.
pub(super) fn all_conflicts(store: &Store, table: &Table, row: &[Value]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if !table.primary_key.is_empty() {
        let key = row_key(table, row);
        if store.get(table.tree, &key).is_some() {
            found.push(key);
        }
    }
    for index in table.indexes.iter().filter(|index| index.unique) {
        let (entry, unique) = entry_of(table, index, row, &[]);
        if unique && let Some(key) = store.get(index.tree, &entry) {
            found.push(key.to_vec());
        }
    }
    found
}

/// Writes a new row with its entries. Returns the index (`Some(None)`: the primary key) that forbids it; then the store
/// may be half written, and the caller fails the statement.
pub(in crate::sql) fn insert_row(
    store: &mut Store,
    table: &Table,
    row: &[Value],
    scratch: &mut Vec<u8>,
) -> Option<Option<usize>> {
    let key = if table.primary_key.is_empty() {
        store.next_id(table.tree).to_be_bytes().to_vec()
    } else {
        row_key(table, row)
    };
    scratch.clear();
    row::encode_into(scratch, row);
    if !table.primary_key.is_empty() && store.get(table.tree, &key).is_some() {
        return Some(None);
    }
    store.put(table.tree, &key, scratch);
    for (number, index) in table.indexes.iter().enumerate() {
        if !add_entry(store, table, index, row, &key) {
            return Some(Some(number));
        }
    }
    None
}

fn add_entry(store: &mut Store, table: &Table, index: &Index, row: &[Value], key: &[u8]) -> bool {
    let (entry, unique) = entry_of(table, index, row, key);
    if unique && store.get(index.tree, &entry).is_some() {
        return false;
    }
    store.put(index.tree, &entry, key);
    true
}

/// Takes a row and its entries away.
pub(in crate::sql) fn delete_row(store: &mut Store, table: &Table, key: &[u8], row: &[Value]) {
    store.remove(table.tree, key);
    for index in &table.indexes {
        remove_entry(store, table, index, row, key);
    }
}

fn remove_entry(store: &mut Store, table: &Table, index: &Index, row: &[Value], key: &[u8]) {
    let (entry, _) = entry_of(table, index, row, key);
    // An index that is still being built may have refused this row's entry: then the one there is another row's.
    if store.get(index.tree, &entry) == Some(key) {
        store.remove(index.tree, &entry);
    }
}

/// Replaces a row; only entries that change are touched. Returns as [`insert_row`] does.
pub(in crate::sql) fn update_row(
    store: &mut Store,
    table: &Table,
    key: &[u8],
    old: &[Value],
    new: &[Value],
    scratch: &mut Vec<u8>,
) -> Option<Option<usize>> {
    let moves = table.primary_key.iter().any(|column| old[*column] != new[*column]);
    scratch.clear();
    row::encode_into(scratch, new);
    if !moves {
        store.put(table.tree, key, scratch);
    }
    let new_key = if moves { row_key(table, new) } else { key.to_vec() };
    if moves {
        store.remove(table.tree, key);
        if store.get(table.tree, &new_key).is_some() {
            return Some(None);
        }
        store.put(table.tree, &new_key, scratch);
    }
    for (number, index) in table.indexes.iter().enumerate() {
        if !moves && index.columns.iter().all(|(column, _)| old[*column] == new[*column]) {
            continue;
        }
        // A planted bug of the family of FaunaDB's 2.5.4: the old entry stays, and the index answers for rows long gone.
        if !planted!(87) {
            remove_entry(store, table, index, old, key);
        }
        if !add_entry(store, table, index, new, &new_key) {
            return Some(Some(number));
        }
    }
    None
}
