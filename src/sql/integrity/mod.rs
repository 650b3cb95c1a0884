//! **Integrity**: FOREIGN KEY, and UNIQUE over columns that do not place the rows, over however many partitions.
//!
//! A UNIQUE that contains the partition key is kept by the partition of each row alone. Any other one has, besides the
//! index beside the rows, a **tree of owners**: every key with the partition of the row that has it, in the partition to
//! which the *key* hashes. A foreign key has no tree: the referenced key is looked up where its **authority** is (beside
//! the parent's rows, or in the parent's tree of owners), the referencing rows where they are.
//!
//! A write leaves behind what it has changed ([`Change`]); what follows from that is **settled** (`settle`) when the
//! statement has been executed everywhere: items go to the partitions that they concern, in rounds. Actions on referencing
//! rows (CASCADE, SET NULL, SET DEFAULT) come first, and may have actions as a consequence; when none is left, keys are
//! released and claimed and references are checked, all of them as of the statement's end.
//!
//! `reach` says beforehand which partitions a statement may concern: often only its own (a child that is placed by the
//! key of its parent, a replicated parent, an UPDATE of other columns), and then it stays a command of one partition; or
//! those to which the values in an INSERT hash; or any, and then all take part. Within a command over several partitions
//! the rounds are the exchange of values of rules B1: a function of committed logs, which nothing that others do at the
//! same time can make fail. In an interactive transaction the session carries the messages between the forks, and COMMIT executes
//! all of it again.
//!
//! # Invariants
//! - All rows of the database keep all constraints between any two statements: an item is never lost, since it is settled
//!   in the same command as the change that it follows from, or the command is undone.
//! - Every participant sees the messages of all; so all of them agree how many rounds there are.
//! - The outcome does not depend on the order of items within a round.
//! - A key in a tree of owners has one owner, and that partition has one row with it.
//!
//! # Caveats
//! - A DELETE or UPDATE whose old values decide which partitions it concerns (a UNIQUE of the first kind above, a parent
//!   with children elsewhere) is a command of all partitions.
//! - A reference that a statement makes and one of its own cascades removes again is checked all the same.
//! - Referencing rows are found by an index that begins with the referencing columns, else by looking at all rows, as in
//!   PostgreSQL.

mod deferred;
mod existing;
mod reach;
mod settle;

pub use deferred::{Deferral, Deferred, Due, Named, Waiting, constraints};
pub use existing::{Proof, proofs};
pub(super) use reach::{Reach, reach};
pub use settle::{Settlement, addressed};

use super::bind::Binder;
use super::execute::{entry_of, fitted_value, row_key};
use super::expr::Expr;
use super::placement::{Home, Share, alike, home, home_of, partition_of};
use super::plan::Target;
use super::settings::Settings;
use crate::catalog::{Catalog, ForeignAction, ForeignKey, Index, IndexState, Table};
use crate::storage::Store;
use crate::types::value::trim_blanks;
use crate::types::{DataType, PartitionId, SqlError, SqlState, TableId, TreeId, Value, key};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A row that was written, as it was and as it is.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) table: TableId,
    pub(super) old: Option<Vec<Value>>,
    pub(super) new: Option<Vec<Value>>,
    pub(super) part: Part,
}

/// Changes of rows from which something follows, in order.
#[derive(Clone, Debug, Default)]
pub struct Changes(pub(super) Vec<Change>);

impl Changes {
    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much of a change was made here: a row may have gone from one partition to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// The old row was here.
    Leaves,
    /// The new row is here.
    Comes,
}

/// What hangs together with a table: all that a change of its rows can lead to.
#[derive(Debug)]
pub(super) struct Web {
    knots: BTreeMap<TableId, Knot>,
}

/// One of its tables.
#[derive(Debug)]
pub(super) struct Knot {
    target: Target,
    /// Defaults of the columns, if a foreign key of the table sets them.
    defaults: Vec<Expr>,
    /// The referenced table of each foreign key.
    parents: Vec<Arc<Table>>,
    /// Which foreign keys are checked later.
    deferred: Vec<bool>,
    /// Tables that reference it, each with the position of the foreign key there.
    children: Vec<(TableId, usize)>,
}

/// Where it is known whether a key exists.
pub(super) enum Authority<'a> {
    /// Beside the rows, under the primary key.
    Rows,
    /// Beside the rows, in this index.
    Index(&'a Index),
    /// In this index's tree of owners.
    Owners(&'a Index, TreeId),
}

/// Do changes of a table's rows concern any constraint that is not kept by the row's own partition as it is written?
pub(super) fn is_watched(catalog: &Catalog, table: &Table) -> bool {
    !table.foreign_keys.is_empty()
        || table.indexes.iter().any(|index| index.global.is_some())
        || catalog.references_to(table.id).next().is_some()
}

/// Defaults of the columns that a foreign key can set; of the others nothing, lest they draw from a sequence.
fn defaults_for_keys(binder: &mut Binder<'_>, table: &Arc<Table>) -> Result<Vec<Expr>, SqlError> {
    let mut defaults = binder.defaults(table)?;
    for (column, default) in defaults.iter_mut().enumerate() {
        if table.foreign_keys.iter().any(|key| key.columns.contains(&column)) {
            binder.refuse_draws(default, "the default of a foreign key that is SET DEFAULT")?;
        } else {
            *default = Expr::Constant(Value::Null);
        }
    }
    Ok(defaults)
}

impl Web {
    /// What hangs together with a table; `None`: nothing.
    pub(super) fn of(catalog: &Catalog, settings: &Settings, table: &Arc<Table>) -> Result<Option<Self>, SqlError> {
        if !is_watched(catalog, table) {
            return Ok(None);
        }
        Self::around(catalog, settings, vec![Arc::clone(table)]).map(Some)
    }

    /// What hangs together with these tables.
    fn around(catalog: &Catalog, settings: &Settings, mut open: Vec<Arc<Table>>) -> Result<Self, SqlError> {
        let mut knots = BTreeMap::new();
        while let Some(table) = open.pop() {
            if knots.contains_key(&table.id) {
                continue;
            }
            let mut binder = Binder::new(catalog, settings, "", &[]);
            let target = binder.written(&table)?;
            let sets = |key: &ForeignKey| [key.on_delete, key.on_update].contains(&ForeignAction::SetDefault);
            let sets = table.foreign_keys.iter().any(sets);
            let defaults = if sets { defaults_for_keys(&mut binder, &table)? } else { Vec::new() };
            let parent = |key: &ForeignKey| catalog.table_by_id(key.parent).cloned().ok_or_else(missing);
            let parents = table.foreign_keys.iter().map(parent).collect::<Result<_, _>>()?;
            let mut children = Vec::new();
            for (child, number) in catalog.references_to(table.id) {
                children.push((child.id, number));
                open.push(Arc::clone(child));
            }
            let keys = table.foreign_keys.iter();
            let deferred = keys.map(|key| deferred::is_deferred(settings, &table, key)).collect();
            knots.insert(table.id, Knot { target, defaults, parents, deferred, children });
        }
        Ok(Self { knots })
    }

    /// Its tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.knots.values().flat_map(|knot| std::iter::once(&knot.target.table).chain(&knot.parents))
    }

    /// May any check be left to the block's end?
    pub(super) fn defers(&self) -> bool {
        self.knots.values().any(|knot| knot.deferred.contains(&true))
    }

    /// Would any be in a block, if nobody says SET CONSTRAINTS there?
    pub(super) fn can_defer(&self) -> bool {
        self.knots.values().any(|knot| knot.target.table.foreign_keys.iter().any(|key| key.deferred))
    }

    fn knot(&self, table: TableId) -> Result<&Knot, SqlError> {
        self.knots.get(&table).ok_or_else(missing)
    }

    /// A foreign key with its table's knot.
    fn foreign_key(&self, child: TableId, number: usize) -> Result<(&Knot, &ForeignKey, &Arc<Table>), SqlError> {
        let knot = self.knot(child)?;
        let key = knot.target.table.foreign_keys.get(number).ok_or_else(missing)?;
        Ok((knot, key, knot.parents.get(number).ok_or_else(missing)?))
    }
}

fn missing() -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, "a constraint names what is not in the catalog")
}

/// Can columns of these types reference each other?
pub(super) fn comparable(a: DataType, b: DataType) -> bool {
    let kind = |data_type: DataType| match data_type {
        DataType::Int2 | DataType::Int4 | DataType::Int8 => DataType::Int8,
        DataType::Varchar(_) => DataType::Text,
        other => other.base(),
    };
    kind(a) == kind(b)
}

/// The key of a table whose columns are these, in any order: it can be referenced.
pub(super) fn referenced_key<'t>(parent: &'t Table, columns: &[usize]) -> Option<Authority<'t>> {
    let same = |key: &[usize]| key.len() == columns.len() && key.iter().all(|column| columns.contains(column));
    if same(&parent.primary_key) {
        return Some(Authority::Rows);
    }
    let indexed = |index: &Index| index.columns.iter().map(|(column, _)| *column).collect::<Vec<_>>();
    let fits = |index: &&Index| index.unique && index.state == IndexState::Active && same(&indexed(index));
    let mut found: Vec<&Index> = parent.indexes.iter().filter(fits).collect();
    // What lies beside the rows is looked up with less ado.
    found.sort_by_key(|index| index.global.is_some());
    let index = found.first()?;
    Some(index.global.map_or(Authority::Index(index), |tree| Authority::Owners(index, tree)))
}

/// Are rows of a table and the rows that they reference by a foreign key always in one place?
fn together(child: &Table, key: &ForeignKey, parent: &Table, partitions: u32) -> bool {
    if parent.is_replicated() {
        return true;
    }
    if child.is_replicated() {
        return false;
    }
    if parent.partition_key.is_empty() || child.partition_key.is_empty() {
        return parent.partition_key.is_empty()
            && child.partition_key.is_empty()
            && home_of(parent, partitions) == home_of(child, partitions);
    }
    let paired = |(of_child, of_parent): (&usize, &usize)| {
        key.columns.iter().zip(&key.parent_columns).any(|pair| pair == (of_child, of_parent))
    };
    alike(child, parent)
        && child.partition_key.len() == parent.partition_key.len()
        && child.partition_key.iter().zip(&parent.partition_key).all(paired)
}

/// A row of a table of which only these columns are known.
fn sparse(table: &Table, columns: &[usize], values: &[Value]) -> Vec<Value> {
    let mut row = vec![Value::Null; table.columns.len()];
    for (column, value) in columns.iter().zip(values) {
        row[*column] = value.clone();
    }
    row
}

/// The values of these columns, unless one of them is NULL.
fn values_of(row: &[Value], columns: &[usize]) -> Option<Vec<Value>> {
    columns.iter().map(|column| Some(row[*column].clone()).filter(|value| !value.is_null())).collect()
}

/// Values of one table's columns as those of another's; `None`: there can be none such.
fn converted(values: &[Value], to: &Table, columns: &[usize]) -> Option<Vec<Value>> {
    let convert = |(value, column): (&Value, &usize)| {
        let fitting = fitted_value(value.clone(), to.columns[*column].data_type)?;
        (!fitting.is_null()).then_some(fitting)
    };
    values.iter().zip(columns).map(convert).collect()
}

/// Where the owner of a key is known; `values` in the index's order.
fn home_of_owner(table: &Table, index: &Index, values: &[Value], partitions: u32) -> PartitionId {
    let trimmed =
        values.iter().zip(&index.columns).map(|(value, (column, _))| match (value, table.columns[*column].data_type) {
            (Value::Text(text), DataType::Char(_)) => Value::text(trim_blanks(text)),
            (other, _) => other.clone(),
        });
    partition_of(&trimmed.collect::<Vec<_>>(), partitions)
}

/// The key under which the tree of owners has it.
fn key_of_owner(table: &Table, index: &Index, values: &[Value]) -> Vec<u8> {
    let columns = values.iter().zip(&index.columns);
    key::encode_all(columns.map(|(value, (column, _))| (value, table.columns[*column].data_type, false)))
}

/// Where it is known whether a parent with this key exists; `key` in the parent's types.
fn home_of_parent(parent: &Table, columns: &[usize], key: &[Value], partitions: u32) -> Result<Home, SqlError> {
    let row = sparse(parent, columns, key);
    Ok(match referenced_key(parent, columns).ok_or_else(missing)? {
        Authority::Rows | Authority::Index(_) => home(parent, &row, partitions),
        Authority::Owners(index, _) => {
            let values: Vec<Value> = index.columns.iter().map(|(column, _)| row[*column].clone()).collect();
            Home::At(home_of_owner(parent, index, &values, partitions))
        }
    })
}

/// Is there a parent with this key? Asked where it is known.
fn has_parent(store: &Store, parent: &Table, columns: &[usize], key: &[Value]) -> Result<bool, SqlError> {
    let row = sparse(parent, columns, key);
    Ok(match referenced_key(parent, columns).ok_or_else(missing)? {
        Authority::Rows => store.get(parent.tree, &row_key(parent, &row)).is_some(),
        Authority::Index(index) => store.get(index.tree, &entry_of(parent, index, &row, &[]).0).is_some(),
        Authority::Owners(index, tree) => {
            let values: Vec<Value> = index.columns.iter().map(|(column, _)| row[*column].clone()).collect();
            store.get(tree, &key_of_owner(parent, index, &values)).is_some()
        }
    })
}

/// Where rows can be that have these values in these columns.
fn home_of_rows(table: &Table, columns: &[usize], values: &[Value], partitions: u32) -> Home {
    if table.is_replicated() || !table.partition_key.iter().all(|column| columns.contains(column)) {
        return Home::Everywhere;
    }
    home(table, &sparse(table, columns, values), partitions)
}

/// A row with the key under which it lies.
type Found = (Vec<u8>, Vec<Value>);

/// The rows that are here with these values in these columns, with the keys under which they lie.
fn rows_with(
    store: &Store,
    table: &Table,
    columns: &[usize],
    values: &[Value],
    first: bool,
) -> Result<Vec<Found>, SqlError> {
    let everything = table.every_column();
    let wanted = sparse(table, columns, values);
    let same = |row: &[Value]| {
        columns.iter().all(|column| {
            let data_type = table.columns[*column].data_type;
            !row[*column].is_null() && row[*column].compare_as(&wanted[*column], data_type).is_eq()
        })
    };
    let mut found = Vec::new();
    let (tree, prefix) = path_to(table, columns, &wanted);
    let start = prefix.as_deref().map_or(Bound::Unbounded, Bound::Included);
    for (entry, value) in store.scan(tree, start, Bound::Unbounded) {
        if prefix.as_ref().is_some_and(|prefix| !entry.starts_with(prefix)) || (first && !found.is_empty()) {
            break;
        }
        let (key, bytes) =
            if tree == table.tree { (entry, value) } else { (value, store.get(table.tree, value).unwrap_or_default()) };
        let row = table.read_row(bytes, &everything)?;
        if same(&row) {
            found.push((key.to_vec(), row));
        }
    }
    Ok(found)
}

/// The tree that begins with these columns, and the beginning of the entries; else that of the rows.
fn path_to(table: &Table, columns: &[usize], wanted: &[Value]) -> (TreeId, Option<Vec<u8>>) {
    let begins = |path: &[(usize, bool)]| {
        path.len() >= columns.len() && path[..columns.len()].iter().all(|(column, _)| columns.contains(column))
    };
    let prefix = |path: &[(usize, bool)]| {
        let told = path[..columns.len()].iter();
        key::encode_all(told.map(|(column, down)| (&wanted[*column], table.columns[*column].data_type, *down)))
    };
    let primary: Vec<(usize, bool)> = table.primary_key.iter().map(|column| (*column, false)).collect();
    if !primary.is_empty() && begins(&primary) {
        return (table.tree, Some(prefix(&primary)));
    }
    let usable = |index: &&Index| index.state == IndexState::Active && begins(&index.columns);
    match table.indexes.iter().find(usable) {
        Some(index) => (index.tree, Some(prefix(&index.columns))),
        None => (table.tree, None),
    }
}

/// Is a home the executor's own? Alone it has everything.
fn is_own(home: Home, here: Option<Share>) -> bool {
    match (home, here) {
        (_, None) => true,
        (Home::Everywhere, Some(_)) => false,
        (Home::At(partition), Some(share)) => partition == share.own,
    }
}
