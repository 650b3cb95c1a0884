//! Rows that change their partition because a definition has changed: a table without a primary key, all of whose rows
//! were together, gets one; PARTITION TABLE names another column.
//!
//! Each partition says what it has to give ([`rows_to_move`]) before it installs the new catalog with what it is given
//! ([`install_moved`]). Both depend on its own rows, the two catalogs and what the others say, so all replicas do the same.
//!
//! # Invariants
//! - Every row is in the partition where it belongs before and after; in between it is in what one of them gives.
//! - Rows go as they are stored. Their keys are made where they arrive: a hidden row id is a partition's own.

use super::context::Context;
use super::define::Work;
use super::execute::{delete_row, insert_row, unique_violation};
use super::install::install;
use super::placement::{Home, Share, home};
use crate::catalog::{Catalog, Table};
use crate::storage::Store;
use crate::types::datetime::TimeZone;
use crate::types::{PartitionId, SqlError, SqlState, TableId, Value};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Most bytes of rows that one partition gives to another: they travel in one piece.
const MAX_BYTES: usize = 32 << 20;

/// Rows on their way, by table.
#[derive(Serialize, Deserialize)]
enum Moving {
    V1(Vec<(TableId, Vec<Bytes>)>),
}

/// Tables that are placed otherwise from one catalog to the next: before and after.
fn placed_anew<'c>(old: &'c Catalog, new: &'c Catalog) -> impl Iterator<Item = (&'c Arc<Table>, &'c Arc<Table>)> {
    new.tables.values().filter_map(|after| {
        let before = old.tables.values().find(|before| before.id == after.id)?;
        let same = before.partition_key == after.partition_key && before.placement == after.placement;
        (!same).then_some((before, after))
    })
}

/// Do rows of any table belong elsewhere under the next catalog? With more than one partition, what each has to give
/// must then be exchanged.
#[must_use]
pub fn moves_rows(old: &Catalog, new: &Catalog) -> bool {
    placed_anew(old, new).next().is_some()
}

/// What this partition has to give to others when `new` takes the place of `old`, by receiver in ascending order.
///
/// # Errors
/// When rows are damaged, or more than can be moved at once (54000).
pub fn rows_to_move(
    store: &Store,
    old: &Catalog,
    new: &Catalog,
    share: Share,
) -> Result<Vec<(PartitionId, Bytes)>, SqlError> {
    let mut leaving: BTreeMap<PartitionId, Vec<(TableId, Vec<Bytes>)>> = BTreeMap::new();
    for (before, after) in placed_anew(old, new) {
        if before.is_replicated() {
            // The others have these rows.
            continue;
        }
        let mut by_receiver: BTreeMap<PartitionId, Vec<Bytes>> = BTreeMap::new();
        for (_, bytes) in store.scan(before.tree, Bound::Unbounded, Bound::Unbounded) {
            let values = before.read_row(bytes, &key_columns(after))?;
            let receivers = match home(after, &values, share.partitions) {
                Home::At(partition) => partition.0..=partition.0,
                Home::Everywhere => 1..=share.partitions,
            };
            for receiver in receivers.map(PartitionId).filter(|receiver| *receiver != share.own) {
                by_receiver.entry(receiver).or_default().push(Bytes::copy_from_slice(bytes));
            }
        }
        for (receiver, rows) in by_receiver {
            leaving.entry(receiver).or_default().push((after.id, rows));
        }
    }
    let encode = |(receiver, tables): (PartitionId, Vec<(TableId, Vec<Bytes>)>)| {
        if tables.iter().flat_map(|(_, rows)| rows).map(Bytes::len).sum::<usize>() > MAX_BYTES {
            return Err(too_much());
        }
        let bytes = postcard::to_stdvec(&Moving::V1(tables)).expect("plain data, always encodable");
        Ok((receiver, Bytes::from(bytes)))
    };
    leaving.into_iter().map(encode).collect()
}

/// As [`install()`], for a partition of several: rows that belong elsewhere from now on go, `arrivals` (what the others'
/// [`rows_to_move`] have for this one, in ascending order of partition) come.
///
/// # Errors
/// When rows are damaged, or do not keep what the next catalog asks of them. The caller rolls the store back to its mark.
pub fn install_moved(
    store: &mut Store,
    old: &Catalog,
    new: &Catalog,
    share: Share,
    arrivals: &[Bytes],
    context: &mut Context,
) -> Result<(), SqlError> {
    for (before, after) in placed_anew(old, new) {
        let mut gone: Vec<(Vec<u8>, Vec<Value>)> = Vec::new();
        for (key, bytes) in store.scan(before.tree, Bound::Unbounded, Bound::Unbounded) {
            let values = before.read_row(bytes, &before.every_column())?;
            if !share.has(after, &values) {
                gone.push((key.to_vec(), values));
            }
        }
        for (key, values) in gone {
            delete_row(store, before, &key, &values);
        }
    }
    // What moves rows asks nothing else of them: see `define::alter`.
    install(store, old, new, &Work::default(), context)?;
    let malformed = || SqlError::new(SqlState::DATA_CORRUPTED, "malformed rows of another partition");
    let mut scratch = Vec::new();
    for bytes in arrivals {
        let Moving::V1(tables) = postcard::from_bytes(bytes).map_err(|_| malformed())?;
        for (id, rows) in tables {
            let table = new.tables.values().find(|table| table.id == id).ok_or_else(malformed)?;
            for bytes in rows {
                let values = table.read_row(&bytes, &table.every_column())?;
                if let Some(index) = insert_row(store, table, &values, &mut scratch) {
                    return Err(unique_violation(table, &values, index, &TimeZone::utc()));
                }
            }
        }
    }
    Ok(())
}

fn too_much() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many rows would have to move to other partitions")
        .detail(format!("One partition would have to send more than {} MiB to another.", MAX_BYTES >> 20))
        .hint("Define the key or the placement before the table is filled, or copy the rows to a new table in parts.")
}

fn key_columns(table: &Table) -> Vec<bool> {
    (0..table.columns.len()).map(|column| table.partition_key.contains(&column)).collect()
}
