//! Rows in one place: what participants send of the tables that a statement reads, and a store made of it.
//!
//! A participant sends the rows that pass those conditions of a scan that it can judge alone, with the columns that the
//! plan looks at. The plan then runs over them as it stands and judges everything again. So what is sent may be too much,
//! never too little: a condition that fails with an error lets its row pass, one with a subquery or dice is left out.

use super::split::{is_local, is_volatile};
use crate::catalog::Table;
use crate::sql::context::Context;
use crate::sql::execute::{Flow, Run, entry_of, gathered_key, run_scan};
use crate::sql::expr::{Expr, is_true};
use crate::sql::plan::{Access, Path, Scan};
use crate::storage::Store;
use crate::types::{SqlError, SqlState, TreeId, Value, row};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Most bytes of rows that one participant sends for one statement.
const MAX_BYTES: usize = 32 << 20;
/// What a row takes on its way besides its key and its values.
const ROW_OVERHEAD: usize = 8;

/// What is wanted of each table.
#[derive(Debug, Default)]
pub(in crate::sql) struct Wants(Vec<Want>);

#[derive(Debug)]
struct Want {
    table: Arc<Table>,
    /// Columns that are sent; the rest is NULL.
    columns: Vec<bool>,
    /// Which rows: those of any of these.
    scans: Vec<Scan>,
    /// Indexes along which the plan will look for them.
    indexes: Vec<usize>,
    /// And those that are in the way of an INSERT.
    conflicts: bool,
}

impl fmt::Display for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (place, want) in self.0.iter().enumerate() {
            let named = want.table.columns.iter().zip(&want.columns).filter(|(_, wanted)| **wanted);
            let columns: Vec<&str> = named.map(|(column, _)| column.name.as_str()).collect();
            let all = want.scans.iter().any(|scan| scan.expressions().is_empty());
            let rows = match (all, want.scans.is_empty()) {
                (true, _) => "all rows",
                (false, false) => "rows that qualify",
                (false, true) => "rows in the way",
            };
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{rows} of {} ({})", want.table.name, columns.join(", "))?;
        }
        Ok(())
    }
}

/// Rows by their keys, and for how many bytes more there is room; `None`: there were too many.
struct Found {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    room: Option<usize>,
}

impl Found {
    /// Adds a row, as long as there is room.
    fn add(&mut self, key: &[u8], bytes: impl FnOnce() -> Vec<u8>) {
        if self.rows.contains_key(key) {
            return;
        }
        let bytes = bytes();
        self.room = self.room.and_then(|room| room.checked_sub(key.len() + bytes.len() + ROW_OVERHEAD));
        if self.room.is_some() {
            self.rows.insert(key.to_vec(), bytes);
        }
    }
}

/// Rows on their way.
#[derive(Serialize, Deserialize)]
enum Contribution {
    V1(Vec<Rows>),
}

#[derive(Serialize, Deserialize)]
struct Rows {
    tree: TreeId,
    /// Keys in the table's tree, and rows.
    rows: Vec<(Bytes, Bytes)>,
}

impl Wants {
    /// Adds what a scan reads.
    pub(super) fn add(&mut self, scan: &Scan) {
        let table = &scan.table;
        if table.is_system() {
            return;
        }
        let want = self.of(table);
        for (column, wanted) in scan.wanted.iter().enumerate() {
            want.columns[column] |= *wanted;
        }
        if let Path::Index(index) = scan.access.path
            && !want.indexes.contains(&index)
        {
            want.indexes.push(index);
            for (column, _) in &table.indexes[index].columns {
                want.columns[*column] = true;
            }
        }
        want.scans.push(alone(scan));
    }

    fn of(&mut self, table: &Arc<Table>) -> &mut Want {
        let place = self.0.iter().position(|want| want.table.tree == table.tree).unwrap_or_else(|| {
            let columns = vec![false; table.columns.len()];
            let (scans, indexes) = (Vec::new(), Vec::new());
            self.0.push(Want { table: Arc::clone(table), columns, scans, indexes, conflicts: false });
            self.0.len() - 1
        });
        &mut self.0[place]
    }

    /// Adds the rows of a table that are in the way of those that are to be inserted.
    pub(super) fn add_conflicts(&mut self, table: &Arc<Table>) {
        let want = self.of(table);
        want.conflicts = true;
        want.columns.fill(true);
        want.indexes = (0..table.indexes.len()).filter(|at| table.indexes[*at].unique).collect();
    }

    /// Whole rows of a table, if any of it are wanted: it is written too, and nobody may take a column for NULL that was
    /// only left out.
    pub(super) fn complete(&mut self, table: &Table) {
        for want in self.0.iter_mut().filter(|want| want.table.tree == table.tree) {
            want.columns.fill(true);
        }
    }

    /// This participant's rows. Rows that every participant has are sent by the `first` only; `in_the_way` are keys of rows that
    /// are in the way of an INSERT.
    pub(super) fn collect(
        &self,
        first: bool,
        in_the_way: &[Vec<u8>],
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<Bytes, SqlError> {
        let mut all = Vec::with_capacity(self.0.len());
        let mut room = Some(MAX_BYTES);
        for want in &self.0 {
            if want.table.is_replicated() && !first {
                continue;
            }
            let mut found = Found { rows: BTreeMap::new(), room };
            want.find(&mut found, store, parameters, context)?;
            for key in in_the_way.iter().filter(|_| want.conflicts) {
                found.add(key, || store.get(want.table.tree, key).unwrap_or_default().to_vec());
            }
            room = found.room;
            if room.is_none() {
                return Err(too_much());
            }
            let rows = found.rows.into_iter().map(|(key, row)| (Bytes::from(key), Bytes::from(row))).collect();
            all.push(Rows { tree: want.table.tree, rows });
        }
        let bytes = postcard::to_stdvec(&Contribution::V1(all));
        Ok(Bytes::from(bytes.expect("plain data, always encodable")))
    }

    /// Creates the trees that [`Self::put`] fills.
    pub(super) fn create_trees(&self, store: &mut Store) {
        for want in &self.0 {
            for tree in
                std::iter::once(want.table.tree).chain(want.indexes.iter().map(|at| want.table.indexes[*at].tree))
            {
                if !store.has_tree(tree) {
                    store.create_tree(tree);
                }
            }
        }
    }

    /// Puts a participant's rows into a store. `number` tells the participants apart.
    pub(super) fn put(&self, store: &mut Store, number: u32, contribution: &[u8]) -> Result<(), SqlError> {
        let malformed = || SqlError::new(SqlState::DATA_CORRUPTED, "malformed rows of another partition");
        let Contribution::V1(all) = postcard::from_bytes(contribution).map_err(|_| malformed())?;
        for rows in all {
            let want = self.0.iter().find(|want| want.table.tree == rows.tree).ok_or_else(malformed)?;
            for (key, bytes) in rows.rows {
                want.put(store, number, &key, &bytes)?;
            }
        }
        Ok(())
    }

    /// Puts this participant's own rows into a store.
    pub(super) fn put_own(
        &self,
        into: &mut Store,
        number: u32,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<(), SqlError> {
        for want in &self.0 {
            // They are not sent: they may be as many as they are.
            let mut found = Found { rows: BTreeMap::new(), room: Some(usize::MAX) };
            want.find(&mut found, store, parameters, context)?;
            for (key, bytes) in found.rows {
                want.put(into, number, &key, &bytes)?;
            }
        }
        Ok(())
    }
}

impl Want {
    /// Adds the rows that are wanted, as long as there is room.
    fn find(
        &self,
        found: &mut Found,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<(), SqlError> {
        for scan in &self.scans {
            if self.find_along(scan, &scan.access, found, store, parameters, context).is_err() {
                // A bound that cannot be computed: whoever runs the plan will say so, or never ask.
                let everything = Access::everything(&self.table);
                self.find_along(scan, &everything, found, store, parameters, context)?;
            }
        }
        match found.room {
            Some(_) => Ok(()),
            None => Err(too_much()),
        }
    }

    fn find_along(
        &self,
        scan: &Scan,
        access: &Access,
        found: &mut Found,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<(), SqlError> {
        let whole = self.columns.iter().all(|wanted| *wanted);
        let all = Scan { access: access.clone(), condition: None, ..scan.clone() };
        run_scan(&all, &mut Run::new(store, parameters, context), &mut |at, key, row| {
            let passes = |condition: &Expr| is_true(condition, &row, at).unwrap_or(true);
            if !scan.condition.as_ref().is_none_or(passes) || found.rows.contains_key(key) {
                return Ok(Flow::More);
            }
            let bytes = store.get(self.table.tree, key).unwrap_or_default();
            let bytes = match whole {
                true => bytes.to_vec(),
                false => row::encode(&self.table.read_row(bytes, &self.columns)?),
            };
            found.add(key, || bytes);
            Ok(if found.room.is_some() { Flow::More } else { Flow::Stop })
        })?;
        Ok(())
    }

    fn put(&self, store: &mut Store, number: u32, key: &[u8], bytes: &[u8]) -> Result<(), SqlError> {
        let key = gathered_key(&self.table, number, key);
        store.put(self.table.tree, &key, bytes);
        if !self.indexes.is_empty() {
            let row = self.table.read_row(bytes, &self.columns)?;
            for index in &self.indexes {
                let index = &self.table.indexes[*index];
                store.put(index.tree, &entry_of(&self.table, index, &row, &key).0, &key);
            }
        }
        Ok(())
    }
}

fn too_much() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "the statement needs too many rows of other partitions")
        .detail(format!("One partition would have to send more than {} MiB.", MAX_BYTES >> 20))
        .hint("Select fewer rows, join on the partition key, or make the smaller table WITH (REPLICATED).")
}

/// The scan as far as a participant can run it alone.
fn alone(scan: &Scan) -> Scan {
    let mut alone = scan.clone();
    let judges = |expr: &Expr| is_local(expr) && !is_volatile(expr) && !is_correlated(expr);
    let condition = alone.condition.take().map(Expr::conjuncts).unwrap_or_default();
    alone.condition = Expr::all(condition.into_iter().filter(|conjunct| judges(conjunct)).collect());
    let equal = alone.access.equal.iter().take_while(|values| values.iter().all(judges)).count();
    let bounded = equal == alone.access.equal.len();
    alone.access.equal.truncate(equal);
    for bound in [&mut alone.access.lower, &mut alone.access.upper] {
        if !bounded || bound.as_ref().is_some_and(|(expr, _)| !judges(expr)) {
            *bound = None;
        }
    }
    alone.access.backwards = false;
    alone.order.clear();
    alone
}

/// Does it look at the row of an enclosing query?
fn is_correlated(expr: &Expr) -> bool {
    let mut correlated = false;
    expr.walk(&mut |expr| match expr {
        Expr::Outer { .. } => correlated = true,
        Expr::Subquery(subquery) => correlated |= subquery.slot.is_none(),
        _ => {}
    });
    correlated
}
