//! **Groundwork**: what a definition makes of the rows that are there, made before it is ordered.
//!
//! CREATE INDEX, ADD UNIQUE, ADD CHECK and SET NOT NULL go through all rows of a table. A definition is one command in the
//! order, at which every partition stands; if it did that work at its place, the partition and all that share its worker
//! would stand still for as long. So it has two halves. First each replica is told what is to come, goes through the rows
//! in slices between its other work ([`Groundwork::lay`]), and keeps what it makes beside its state, in step with what is
//! written meanwhile. Then the definition is ordered, finds the groundwork laid, and takes it over ([`Groundwork::index`]) as
//! if it had made it at its place: after what was written last has been added.
//!
//! The first half is no command. What an index holds is a function of the rows, so replicas need not agree when they begin,
//! how far they are, or whether they do it at all: who has laid none (it was restarted, it has come from a snapshot, it
//! reads an old log) does the work in the second half, in its turn, and comes to the same bytes. Nothing is in the catalog,
//! in the digest, in a checkpoint or in the log before the definition is decided; so nothing is left behind by a session or a
//! gateway that ends in between. It is dropped when nobody has asked for it for [`KEPT_FOR`].
//!
//! # Invariants
//! - What is taken over is what `install` would have made, entry by entry.
//! - Only decided rows are looked at: not while execution stands.
//! - A write costs what is written down of it; nobody's write is refused for the sake of a constraint that does not exist yet.
//!   Rows that would break it end the groundwork, and the definition finds out itself, in one way on all replicas, what is wrong.
//! - So many are kept ([`MOST`]); what comes beyond is not prepared.
//!
//! # Caveats
//! - Rows that move, a UNIQUE or FOREIGN KEY whose proof concerns other partitions, and columns that are written anew are
//!   not prepared: these definitions take their time at their place.
//! - A table that is written faster than it is read through is not caught up with; whoever waits for it says when that is
//!   enough.

use super::define::{TableWork, Work};
use super::execute::{Run, entry_of};
use super::expr::{Expr, evaluate};
use super::{Context, Definition};
use crate::catalog::{Catalog, Index, IndexState, Table};
use crate::storage::{Aside, Store, Written};
use crate::types::random::SeedableRng;
use crate::types::{Duration, Instant, Rng, SqlError, Timestamp, TreeId, Value};
use crate::{planted, sometimes};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Most that is kept by a replica.
const MOST: usize = 8;
/// What nobody asks for is dropped after this long.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// So many writes are caught up with at once, rather than each by itself.
const CAUGHT_UP_AT: usize = 256;

/// All that a replica makes beforehand.
#[derive(Default)]
pub struct Groundwork {
    works: Vec<Laid>,
}

/// One thing that is made of all rows of a table.
struct Laid {
    /// As it is in the catalog now.
    table: Arc<Table>,
    purpose: Purpose,
    /// The rows up to this key have been looked at.
    reached: Option<Box<[u8]>>,
    /// How many rows it has looked at in their order.
    seen: usize,
    /// All rows have been.
    complete: bool,
    /// Of an index, its entries.
    entries: Aside,
    /// A row stands in the way: the definition has to find out why.
    spoiled: bool,
    /// A definition has taken it over.
    used: bool,
    wanted_at: Instant,
}

/// What is made.
enum Purpose {
    Index(Index),
    /// It is known that the rows keep this.
    Keeps(TableWork),
}

/// Does a definition do anything with rows that are there that can be done beforehand?
#[must_use]
pub fn has_groundwork(old: &Catalog, definition: &Definition) -> bool {
    !wanted(old, &definition.catalog, &definition.work).is_empty()
}

/// What can be made beforehand when `new` takes the place of `old`.
fn wanted(old: &Catalog, new: &Catalog, work: &Work) -> Vec<(Arc<Table>, Purpose)> {
    let mut wanted = Vec::new();
    for after in new.tables.values() {
        let Some(before) = old.table_by_id(after.id).filter(|before| before.tree == after.tree) else { continue };
        let known: BTreeSet<TreeId> = before.trees().collect();
        let fresh =
            after.indexes.iter().filter(|index| !known.contains(&index.tree) && can_index(before, after, index));
        wanted.extend(fresh.map(|index| (Arc::clone(before), Purpose::Index(index.clone()))));
        if let Some(work) = work.on(after.id).filter(|work| can_prove(before, after, work)) {
            wanted.push((Arc::clone(before), Purpose::Keeps(work.clone())));
        }
    }
    wanted
}

/// Are the columns what they are before the definition?
fn same_columns(before: &Table, after: &Table, columns: impl IntoIterator<Item = usize>) -> bool {
    columns.into_iter().all(|column| match (before.columns.get(column), after.columns.get(column)) {
        (Some(before), Some(after)) => {
            (before.data_type, &before.missing, before.dropped) == (after.data_type, &after.missing, after.dropped)
        }
        _ => false,
    })
}

fn can_index(before: &Table, after: &Table, index: &Index) -> bool {
    same_columns(before, after, index.columns.iter().map(|(column, _)| *column))
}

/// Conditions that depend on the row alone.
fn can_prove(before: &Table, after: &Table, work: &TableWork) -> bool {
    let of_rows = work.checks.iter().all(|(_, condition)| condition.is_of_row_alone());
    !(work.not_null.is_empty() && work.checks.is_empty())
        && work.values.is_empty()
        && of_rows
        && before.columns.len() == after.columns.len()
        && same_columns(before, after, 0..after.columns.len())
}

impl Purpose {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Index(one), Self::Index(other)) => {
                one.columns == other.columns
                    && one.unique == other.unique
                    && (one.state == IndexState::BecomingPrimary) == (other.state == IndexState::BecomingPrimary)
            }
            (Self::Keeps(one), Self::Keeps(other)) => same_work(one, other),
            _ => false,
        }
    }

    /// Which columns of a row it depends on.
    fn columns(&self, table: &Table) -> Vec<bool> {
        match self {
            Self::Index(index) => {
                let has = |column| index.columns.iter().any(|(of, _)| *of == column);
                (0..table.columns.len()).map(has).collect()
            }
            Self::Keeps(_) => table.every_column(),
        }
    }
}

fn same_work(one: &TableWork, other: &TableWork) -> bool {
    let conditions = |work: &TableWork| -> Vec<Expr> { work.checks.iter().map(|(_, check)| check.clone()).collect() };
    one.not_null == other.not_null && conditions(one) == conditions(other)
}

impl Groundwork {
    /// What `definition` makes of rows is wanted soon. Returns how many rows are still to be looked at.
    pub fn want(&mut self, store: &mut Store, now: Instant, old: &Catalog, definition: &Definition) -> u64 {
        let mut left = 0;
        for (table, purpose) in wanted(old, &definition.catalog, &definition.work) {
            if let Some(known) = self.works.iter_mut().find(|laid| laid.is_for(&table, &purpose)) {
                known.wanted_at = now;
                left += known.left(store);
                continue;
            }
            if self.works.len() >= MOST || !store.has_tree(table.tree) {
                sometimes!("groundwork.too_much");
                continue;
            }
            sometimes!("groundwork.begun");
            // What is noted for others stays noted: what is in the store may be undecided now. It has reached no row yet, so
            // nothing of that is behind it.
            let laid = Laid::new(table, purpose, now);
            left += laid.left(store);
            self.works.push(laid);
            self.follow(store);
        }
        left
    }

    /// Is there anything to be done?
    #[must_use]
    pub fn has_work(&self, store: &Store) -> bool {
        self.works.iter().any(Laid::goes_on) || store.written() >= CAUGHT_UP_AT
    }

    /// Goes on with about so many rows. Returns how many there were. Not while what is in the store is undecided.
    pub fn lay(&mut self, store: &mut Store, rows: usize) -> usize {
        let mut done = self.catch_up(store);
        for laid in &mut self.works {
            done += laid.look_at_next(store, rows.saturating_sub(done));
        }
        done
    }

    /// The entries of an index that a definition makes; `None`: it has to make them itself. What is not finished is finished now.
    pub(super) fn index(&mut self, store: &mut Store, table: &Table, index: &Index) -> Option<Aside> {
        let entries = self.finish(store, table, &Purpose::Index(index.clone()))?.entries.clone();
        sometimes!("groundwork.index_taken_over");
        Some(entries)
    }

    /// Is it known that the rows keep what a definition asks of them?
    pub(super) fn keeps(&mut self, store: &mut Store, table: &Table, work: &TableWork) -> bool {
        let known = self.finish(store, table, &Purpose::Keeps(work.clone())).is_some();
        sometimes!("groundwork.proof_taken_over", known);
        known
    }

    fn finish(&mut self, store: &mut Store, table: &Table, purpose: &Purpose) -> Option<&Laid> {
        let at = self.works.iter().position(|laid| laid.is_for(table, purpose))?;
        // Planted 260: what was written while it was laid is not looked at again.
        if !planted!(260) {
            self.catch_up(store);
        }
        let laid = &mut self.works[at];
        sometimes!("groundwork.finished_in_its_turn", laid.goes_on());
        // Planted 262: what is not finished counts as finished.
        if !planted!(262) {
            laid.look_at_next(store, usize::MAX);
        }
        laid.used = true;
        sometimes!("groundwork.spoiled", laid.spoiled);
        Some(&*laid).filter(|laid| !laid.spoiled)
    }

    /// A definition is decided: `catalog` is in force from now on.
    pub fn defined(&mut self, store: &mut Store, committed: bool, catalog: &Catalog) {
        if self.works.is_empty() {
            return;
        }
        for laid in &mut self.works {
            laid.used &= committed;
        }
        // Whoever wants again what rows have stood in the way of has mended them, or will be refused again.
        self.works.retain_mut(|laid| !laid.used && !laid.spoiled && laid.goes_with(catalog));
        self.follow(store);
    }

    /// Drops what nobody has asked for.
    pub fn expire(&mut self, store: &mut Store, now: Instant) {
        let before = self.works.len();
        self.works.retain(|laid| now.since(laid.wanted_at) < KEPT_FOR);
        if self.works.len() < before {
            sometimes!("groundwork.forgotten");
            self.follow(store);
        }
    }

    fn follow(&self, store: &mut Store) {
        store.follow(self.works.iter().map(|laid| laid.table.tree));
    }

    /// Adds what has been written. Returns how many rows that were.
    fn catch_up(&mut self, store: &mut Store) -> usize {
        if store.written() == 0 {
            return 0;
        }
        let written = store.take_written();
        sometimes!("groundwork.caught_up");
        for laid in &mut self.works {
            laid.add(store, &written);
        }
        written.rows.len()
    }
}

impl Laid {
    fn new(table: Arc<Table>, purpose: Purpose, now: Instant) -> Self {
        Self {
            table,
            purpose,
            reached: None,
            seen: 0,
            complete: false,
            entries: Aside::default(),
            spoiled: false,
            used: false,
            wanted_at: now,
        }
    }

    fn is_for(&self, table: &Table, purpose: &Purpose) -> bool {
        self.table.tree == table.tree && self.purpose.is(purpose)
    }

    const fn goes_on(&self) -> bool {
        !self.complete && !self.spoiled
    }

    /// Rows that are still to be looked at: at least one, unless it is done.
    fn left(&self, store: &Store) -> u64 {
        let rows = store.len(self.table.tree).saturating_sub(self.seen);
        if self.goes_on() { rows.max(1) as u64 } else { 0 }
    }

    /// Another catalog is in force: does it go on under that?
    fn goes_with(&mut self, catalog: &Catalog) -> bool {
        let Some(now) = catalog.table_by_id(self.table.id) else { return false };
        let columns = self.purpose.columns(&self.table).into_iter().enumerate();
        let columns = columns.filter(|(_, wanted)| *wanted).map(|(column, _)| column);
        let alike = now.tree == self.table.tree && same_columns(&self.table, now, columns);
        self.table = Arc::clone(now);
        alike
    }

    /// Looks at the next rows, at most so many. Returns how many there were.
    fn look_at_next(&mut self, store: &Store, rows: usize) -> usize {
        if !self.goes_on() || rows == 0 {
            return 0;
        }
        let wanted = self.purpose.columns(&self.table);
        let from = self.reached.clone();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut done = 0;
        let mut last = None;
        for (key, bytes) in store.scan(self.table.tree, from, Bound::Unbounded).take(rows) {
            done += 1;
            last = Some(key);
            if !self.enter(key, bytes, &wanted) {
                self.spoil();
                return done;
            }
        }
        self.seen += done;
        self.complete = done < rows;
        if let Some(last) = last {
            self.reached = Some(last.into());
        }
        sometimes!("groundwork.laid_in_slices", !self.complete);
        done
    }

    /// Enters a row; `false`: it stands in the way.
    fn enter(&mut self, key: &[u8], bytes: &[u8], wanted: &[bool]) -> bool {
        let Ok(row) = self.table.read_row(bytes, wanted) else { return false };
        match &self.purpose {
            Purpose::Index(index) => {
                let null = index.columns.iter().any(|(column, _)| row[*column].is_null());
                if null && index.state == IndexState::BecomingPrimary {
                    return false;
                }
                let (entry, _) = entry_of(&self.table, index, &row, key);
                let alone = self.entries.get(&entry).is_none_or(|other| other == key);
                self.entries.put(&entry, key);
                // Planted 263: two rows with one entry do not matter.
                alone || planted!(263)
            }
            Purpose::Keeps(work) => keeps(work, &row).unwrap_or(false),
        }
    }

    /// A row is not what it was.
    fn leave(&mut self, key: &[u8], bytes: &[u8], wanted: &[bool]) {
        let (Purpose::Index(index), Ok(row)) = (&self.purpose, self.table.read_row(bytes, wanted)) else { return };
        let (entry, _) = entry_of(&self.table, index, &row, key);
        // Planted 261: what a row was before stays.
        if self.entries.get(&entry) == Some(key) && !planted!(261) {
            self.entries.remove(&entry);
        }
    }

    /// Adds what was written to rows that have been looked at. First all leave: two may have changed places.
    fn add(&mut self, store: &Store, written: &Written) {
        let tree = self.table.tree;
        if self.spoiled {
            return;
        }
        if written.lost.contains(&tree) {
            sometimes!("groundwork.begun_again");
            *self = Self { spoiled: !store.has_tree(tree), ..self.again() };
            return;
        }
        let wanted = self.purpose.columns(&self.table);
        let first = (tree, Box::from([]));
        let rows = || {
            let of_tree = written.rows.range(first.clone()..).take_while(|((of, _), _)| *of == tree);
            of_tree.map(|((_, key), old)| (key, old))
        };
        let (complete, reached) = (self.complete, self.reached.clone());
        let behind = |key: &[u8]| complete || reached.as_deref().is_some_and(|reached| key <= reached);
        for (key, old) in rows().filter(|(key, _)| behind(key)) {
            if let Some(old) = old {
                self.leave(key, old, &wanted);
            }
        }
        for (key, _) in rows().filter(|(key, _)| behind(key)) {
            if let Some(bytes) = store.get(tree, key)
                && !self.enter(key, bytes, &wanted)
            {
                return self.spoil();
            }
        }
    }

    fn spoil(&mut self) {
        self.spoiled = true;
        self.entries = Aside::default();
    }

    fn again(&mut self) -> Self {
        let purpose = std::mem::replace(&mut self.purpose, Purpose::Keeps(TableWork::none(self.table.id)));
        Self { used: self.used, ..Self::new(Arc::clone(&self.table), purpose, self.wanted_at) }
    }
}

/// Does a row keep what is asked of all? No clock, no dice and no setting is needed to say.
fn keeps(work: &TableWork, row: &[Value]) -> Result<bool, SqlError> {
    if work.not_null.iter().any(|column| row[*column].is_null()) {
        return Ok(false);
    }
    let mut context = Context::new(Timestamp::default(), Rng::seed_from_u64(0), "UTC", 0);
    let nothing = Store::new();
    let mut at = Run::new(&nothing, &[], &mut context);
    for (_, condition) in &work.checks {
        if evaluate(condition, row, &mut at)?.as_bool() == Some(false) {
            return Ok(false);
        }
    }
    Ok(true)
}
