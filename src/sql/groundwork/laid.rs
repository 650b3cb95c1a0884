//! One thing that is made of all rows of a table, in slices and in step with what is written.

use super::purpose::{Entry, Purpose, nowhere, same_columns};
use crate::catalog::{Catalog, Table};
use crate::sql::Context;
use crate::storage::{Aside, Store, Written};
use crate::types::{Instant, SqlError};
use crate::{planted, sometimes};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Beyond so many rows in the way, all of which must have been written of late, it begins again, and stops at the first.
const MOST_IN_THE_WAY: usize = 64;

/// Keys of rows.
type Rows = BTreeSet<Box<[u8]>>;

pub(super) struct Laid {
    /// As it is in the catalog now.
    defined: Arc<Table>,
    /// As the rows are read: likewise, or with what the definition has added before it comes to this.
    pub(super) table: Arc<Table>,
    purpose: Purpose,
    /// The rows up to this key have been looked at.
    reached: Option<Box<[u8]>>,
    /// How many rows it has looked at in their order.
    seen: usize,
    /// All rows have been.
    complete: bool,
    /// What is made: a tree for each entry of a row.
    made: Vec<Aside>,
    /// Of rows that may be filed under other keys: which row, by its key before.
    origins: Option<Aside>,
    /// Rows that have been looked at and could not be entered.
    in_the_way: Rows,
    /// A definition has taken it over.
    pub(super) used: bool,
    pub(super) wanted_at: Instant,
}

impl Laid {
    pub(super) fn new((defined, table): (Arc<Table>, Arc<Table>), purpose: Purpose, now: Instant) -> Self {
        Self {
            defined,
            table,
            reached: None,
            seen: 0,
            complete: false,
            made: vec![Aside::default(); purpose.trees()],
            origins: purpose.files_anew().then(Aside::default),
            purpose,
            in_the_way: Rows::new(),
            used: false,
            wanted_at: now,
        }
    }

    pub(super) fn is_for(&self, table: &Table, purpose: &Purpose) -> bool {
        self.table.tree == table.tree && self.purpose.is(purpose)
    }

    /// Are there rows to be looked at? Not behind one that stands in the way: the definition is refused for it.
    pub(super) fn goes_on(&self) -> bool {
        !self.complete && self.in_the_way.is_empty()
    }

    /// Does a row stand in the way of the others?
    pub(super) fn is_stopped(&self) -> bool {
        !self.in_the_way.is_empty()
    }

    /// Rows that are still to be looked at: at least one, unless it is done.
    pub(super) fn left(&self, store: &Store) -> u64 {
        let rows = store.len(self.table.tree).saturating_sub(self.seen);
        if self.goes_on() { rows.max(1) as u64 } else { 0 }
    }

    /// Another catalog is in force: does it go on under that?
    pub(super) fn goes_with(&mut self, catalog: &Catalog) -> bool {
        let Some(now) = catalog.table_by_id(self.table.id) else { return false };
        if self.purpose.is_of_whole_rows() {
            // What they will be follows from all that the table is.
            return *now == self.defined;
        }
        let columns = self.purpose.columns(&self.table).into_iter().enumerate();
        let columns = columns.filter(|(_, wanted)| *wanted).map(|(column, _)| column);
        let alike = now.tree == self.table.tree && same_columns(&self.table, now, columns);
        self.defined = Arc::clone(now);
        self.table = Arc::clone(now);
        alike
    }

    /// Looks at the next rows, at most so many, up to the first in the way. Returns how many there were.
    pub(super) fn look_at_next(&mut self, store: &Store, rows: usize) -> usize {
        if !self.goes_on() || rows == 0 {
            return 0;
        }
        let from = self.reached.clone();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut context = nowhere();
        let mut done = 0;
        let mut last = None;
        for row in store.scan(self.table.tree, from, Bound::Unbounded).take(rows) {
            done += 1;
            last = Some(row.0);
            if !self.enter(row, &mut context) {
                sometimes!("groundwork.row_in_the_way");
                break;
            }
        }
        self.seen += done;
        self.complete = done < rows && self.in_the_way.is_empty();
        if let Some(last) = last {
            self.reached = Some(last.into());
        }
        sometimes!("groundwork.laid_in_slices", self.goes_on());
        done
    }

    /// Enters a row; `false`: it stands in the way.
    fn enter(&mut self, (key, bytes): (&[u8], &[u8]), context: &mut Context) -> bool {
        let made = self.purpose.make(&self.table, (key, bytes), context);
        let is_free = |made: &Vec<Entry>| {
            let taken = |(tree, entry): (&Aside, &Entry)| entry.alone && tree.get(&entry.key).is_some();
            !self.made.iter().zip(made).any(taken)
        };
        let Some(made) = made.ok().filter(is_free) else {
            self.in_the_way.insert(key.into());
            return false;
        };
        if let (Some(origins), Some(row)) = (&mut self.origins, made.first()) {
            origins.put(&row.key, key);
        }
        for (tree, entry) in self.made.iter_mut().zip(&made) {
            tree.put(&entry.key, &entry.value);
        }
        true
    }

    /// A row is not what it was. Returns whether that may have made room for another.
    fn leave(&mut self, row: (&[u8], &[u8]), context: &mut Context) -> bool {
        if self.in_the_way.remove(row.0) {
            return false;
        }
        let Ok(made) = self.purpose.make(&self.table, row, context) else { return false };
        // Planted 261: what a row was before stays.
        if planted!(261) {
            return false;
        }
        if let (Some(origins), Some(row)) = (&mut self.origins, made.first()) {
            origins.remove(&row.key);
        }
        // Planted 266: of a row that is written anew its entries in indexes stay.
        let leaves = if planted!(266) { 1 } else { made.len() };
        for (tree, entry) in self.made.iter_mut().zip(&made).take(leaves) {
            if tree.get(&entry.key) == Some(entry.value.as_slice()) {
                tree.remove(&entry.key);
            }
        }
        true
    }

    /// Adds what was written to rows that have been looked at. First all leave: two may have changed places.
    pub(super) fn add(&mut self, store: &Store, written: &Written) {
        let tree = self.table.tree;
        if written.lost.contains(&tree) {
            sometimes!("groundwork.begun_again");
            return self.begin_again();
        }
        let first = (tree, Box::from([]));
        let rows = || {
            let of_tree = written.rows.range(first.clone()..).take_while(|((of, _), _)| *of == tree);
            of_tree.map(|((_, key), old)| (key, old))
        };
        let (complete, reached) = (self.complete, self.reached.clone());
        let behind = |key: &[u8]| complete || reached.as_deref().is_some_and(|reached| key <= reached);
        let mut context = nowhere();
        let mut room = false;
        for (key, old) in rows().filter(|(key, _)| behind(key)) {
            if let Some(old) = old {
                room |= self.leave((key, old), &mut context);
            }
        }
        for (key, _) in rows().filter(|(key, _)| behind(key)) {
            if let Some(bytes) = store.get(tree, key) {
                self.enter((key, bytes), &mut context);
            }
        }
        if room {
            for key in std::mem::take(&mut self.in_the_way) {
                let Some(bytes) = store.get(tree, &key) else {
                    debug_assert!(planted!(264), "a row in the way is there: it leaves with what is written");
                    continue;
                };
                let entered = self.enter((&key, bytes), &mut context);
                sometimes!("groundwork.way_cleared", entered);
            }
        }
        if self.in_the_way.len() > MOST_IN_THE_WAY {
            sometimes!("groundwork.too_many_in_the_way");
            self.begin_again();
        }
    }

    fn begin_again(&mut self) {
        let Self { used, wanted_at, .. } = *self;
        let tables = (Arc::clone(&self.defined), Arc::clone(&self.table));
        *self = Self { used, ..Self::new(tables, self.purpose.clone(), wanted_at) };
    }

    /// All that was made.
    ///
    /// # Errors
    /// What is wrong with the first row in the way, as `purpose` has it: things may be called otherwise by now.
    pub(super) fn made(&self, store: &Store, purpose: &Purpose) -> Result<Vec<Aside>, SqlError> {
        match self.refusal(store, purpose) {
            None => {
                let whole = self.complete && self.in_the_way.is_empty();
                let mutated =
                    [planted!(260), planted!(261), planted!(262), planted!(264), planted!(266)].contains(&true);
                assert!(whole || mutated, "all rows have been entered, or one is refused");
                Ok(self.made.clone())
            }
            Some(error) => {
                sometimes!("groundwork.refused");
                Err(error)
            }
        }
    }

    /// Of the rows with one entry the second is refused, in the order of their keys; of those that are refused the first.
    fn refusal(&self, store: &Store, purpose: &Purpose) -> Option<SqlError> {
        let mut context = nowhere();
        let mut found: BTreeMap<(Box<[u8]>, usize), Option<SqlError>> = BTreeMap::new();
        let mut holders: BTreeMap<(usize, Vec<u8>), Rows> = BTreeMap::new();
        for key in &self.in_the_way {
            let Some(bytes) = store.get(self.table.tree, key) else { continue };
            match purpose.make(&self.table, (key, bytes), &mut context) {
                Err(error) => drop(found.insert((key.clone(), 0), Some(error))),
                Ok(made) => {
                    for (tree, entry) in made.into_iter().enumerate().filter(|(_, entry)| entry.alone) {
                        let other = self.holder(tree, &entry.key).map(Box::from);
                        holders.entry((tree, entry.key)).or_default().extend(other.into_iter().chain([key.clone()]));
                    }
                }
            }
        }
        for ((tree, _), keys) in holders {
            if let Some(second) = keys.into_iter().nth(1) {
                found.entry((second, tree + 1)).or_insert(None);
            }
        }
        let ((key, place), error) = found.into_iter().next()?;
        let tree = place.saturating_sub(1);
        error.or_else(|| Some(purpose.duplicate(&self.table, tree, store.get(self.table.tree, &key)?, &mut context)))
    }

    /// The row that has an entry, by its key.
    fn holder(&self, tree: usize, entry: &[u8]) -> Option<&[u8]> {
        let value = self.made.get(tree)?.get(entry)?;
        match &self.origins {
            Some(origins) => origins.get(if tree == 0 { entry } else { value }),
            // Under what it was filed before, and is now.
            None if self.purpose.is_of_whole_rows() && tree == 0 => None,
            None => Some(value),
        }
    }
}
