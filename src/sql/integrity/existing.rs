//! Constraints over rows that are there already: a definition that adds a foreign key or a UNIQUE, or that moves rows,
//! has every participant say what its rows claim and require, and look at what the others' do.

use super::super::placement::{Home, Share};
use super::settle::{Item, Message, decode, encode, mixed, no_parent};
use super::{converted, has_parent, home_of_owner, home_of_parent, key_of_owner, missing, sparse, values_of};
use crate::catalog::{Catalog, ForeignKey, Index, Table};
use crate::storage::Store;
use crate::types::datetime::TimeZone;
use crate::types::{PartitionId, SqlError, SqlState, TreeId, Value, key};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// What is said, by who is told.
type Parts = BTreeMap<u32, Message>;

/// What a definition has to be proved to keep.
#[derive(Debug, Default)]
pub struct Proof {
    /// Tables, each with the positions of the indexes whose owners are to be found, and of new foreign keys.
    tables: Vec<(Arc<Table>, Vec<u32>, Vec<u32>)>,
}

/// What is to be proved when `new` takes the place of `old`; `None`: nothing.
#[must_use]
pub fn proofs(old: &Catalog, new: &Catalog) -> Option<Proof> {
    let before: BTreeSet<TreeId> = old.tables.values().flat_map(|table| table.trees().collect::<Vec<_>>()).collect();
    let mut tables = Vec::new();
    for table in new.tables.values() {
        // A new table has no rows.
        let Some(known) = old.table_by_id(table.id) else { continue };
        let indexes =
            (0..).zip(&table.indexes).filter(|(_, index)| index.global.is_some_and(|tree| !before.contains(&tree)));
        let indexes: Vec<u32> = indexes.map(|(number, _)| number).collect();
        // By what it says, not by its name: under that another one may have been dropped in the same statement. Rows that were
        // written anew are in another tree, and keep nothing.
        let kept = |key: &ForeignKey| {
            let implied = || known.foreign_keys.iter().any(|other| other.valid && implies(other, key));
            known.tree == table.tree && implied()
        };
        let keys = (0..).zip(&table.foreign_keys).filter(|(_, key)| key.valid && !kept(key));
        let keys: Vec<u32> = keys.map(|(number, _)| number).collect();
        if !indexes.is_empty() || !keys.is_empty() {
            tables.push((Arc::clone(table), indexes, keys));
        }
    }
    (!tables.is_empty()).then_some(Proof { tables })
}

/// Do rows that keep the one keep the other?
fn implies(known: &ForeignKey, key: &ForeignKey) -> bool {
    let same = (&known.columns, known.parent, &known.parent_columns) == (&key.columns, key.parent, &key.parent_columns);
    same && (known.full || !key.full)
}

impl Proof {
    /// What the rows that are here claim and require, for all participants.
    ///
    /// # Errors
    /// When a row alone breaks a constraint.
    pub fn claims(&self, store: &Store, new: &Catalog, share: Share) -> Result<Bytes, SqlError> {
        let mut message = Parts::new();
        for (table, indexes, keys) in &self.tables {
            let mut required: BTreeSet<(u32, Vec<u8>)> = BTreeSet::new();
            for (_, bytes) in store.scan(table.tree, Bound::Unbounded, Bound::Unbounded) {
                let row = table.read_row(bytes, &table.every_column())?;
                for number in indexes {
                    let index = &table.indexes[*number as usize];
                    let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
                    if let Some(key) = values_of(&row, &columns) {
                        let to = home_of_owner(table, index, &key, share.partitions).0;
                        let claim = Item::Claim { table: table.id, index: *number, key };
                        message.entry(to).or_default().push((to, claim));
                    }
                }
                for number in keys {
                    require(table, *number, new, &row, share, &mut required, &mut message)?;
                }
            }
        }
        // Each in a piece of its own: nobody need look at what others are told, which is most of it.
        let pieces: Vec<(u32, Bytes)> = message.into_iter().map(|(to, message)| (to, encode(message))).collect();
        Ok(postcard::to_stdvec(&pieces).expect("plain data, always encodable").into())
    }

    /// Looks at what all participants have said (this one's own too), in ascending order of partition, and enters owners.
    ///
    /// # Errors
    /// 23505, 23503. The caller rolls the store back to its mark.
    pub fn look_at(
        &self,
        store: &mut Store,
        new: &Catalog,
        share: Share,
        said: &[(PartitionId, Bytes)],
    ) -> Result<(), SqlError> {
        let mut required = Vec::new();
        let malformed = |_| SqlError::new(SqlState::DATA_CORRUPTED, "malformed claims of another partition");
        for (from, bytes) in said {
            let pieces: Vec<(u32, Bytes)> = postcard::from_bytes(bytes).map_err(malformed)?;
            let own = pieces.into_iter().filter(|(to, _)| *to == share.own.0);
            let own: Vec<Message> = own.map(|(_, bytes)| decode(&bytes)).collect::<Result<_, _>>()?;
            for (_, item) in own.into_iter().flatten() {
                match item {
                    Item::Claim { table, index, key } => {
                        let table = new.table_by_id(table).ok_or_else(missing)?;
                        let index = table.indexes.get(index as usize).ok_or_else(missing)?;
                        let tree = index.global.ok_or_else(missing)?;
                        if store.put(tree, &key_of_owner(table, index, &key), &from.0.to_be_bytes()) {
                            return Err(duplicated(table, index, &key));
                        }
                    }
                    Item::Require { child, foreign_key, key, .. } => required.push((child, foreign_key, key)),
                    _ => return Err(missing()),
                }
            }
        }
        for (child, number, values) in required {
            let table = new.table_by_id(child).ok_or_else(missing)?;
            let key = table.foreign_keys.get(number as usize).ok_or_else(missing)?;
            let parent = new.table_by_id(key.parent).ok_or_else(missing)?;
            let of_parent = converted(&values, parent, &key.parent_columns).ok_or_else(missing)?;
            if !has_parent(store, parent, &key.parent_columns, &of_parent)? {
                return Err(no_parent(table, key, parent, &values, &TimeZone::utc()));
            }
        }
        Ok(())
    }
}

/// A row's reference, each only once.
fn require(
    table: &Arc<Table>,
    number: u32,
    new: &Catalog,
    row: &[Value],
    share: Share,
    required: &mut BTreeSet<(u32, Vec<u8>)>,
    message: &mut Parts,
) -> Result<(), SqlError> {
    let key = &table.foreign_keys[number as usize];
    let parent = new.table_by_id(key.parent).ok_or_else(missing)?;
    let Some(values) = values_of(row, &key.columns) else {
        return match key.full && key.columns.iter().any(|column| !row[*column].is_null()) {
            true => Err(mixed(table, key)),
            false => Ok(()),
        };
    };
    let typed = values.iter().zip(&key.columns).map(|(value, column)| (value, table.columns[*column].data_type, false));
    if !required.insert((number, key::encode_all(typed))) {
        return Ok(());
    }
    let Some(of_parent) = converted(&values, parent, &key.parent_columns) else {
        return Err(no_parent(table, key, parent, &values, &TimeZone::utc()));
    };
    let to = match home_of_parent(parent, &key.parent_columns, &of_parent, share.partitions)? {
        Home::At(partition) => partition.0,
        Home::Everywhere => share.own.0,
    };
    let required = Item::Require { child: table.id, foreign_key: number, key: values, left: false };
    message.entry(to).or_default().push((to, required));
    Ok(())
}

fn duplicated(table: &Table, index: &Index, key: &[Value]) -> SqlError {
    let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
    super::super::install::duplicate(table, index, &sparse(table, &columns, key))
}
