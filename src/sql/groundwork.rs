//! **Groundwork**: what a definition makes of the rows that are there, made before it is ordered.
//!
//! CREATE INDEX, ADD UNIQUE, ADD PRIMARY KEY, ADD CHECK, SET NOT NULL and ALTER COLUMN … TYPE go through all rows of a table.
//! A definition is one command in the order, at which every partition stands; if it did that work at its place, the partition
//! and all that share its worker would stand still for as long. So it has two halves. First each replica is told what is to
//! come, goes through the rows in slices between its other work ([`Groundwork::lay`]), and keeps what it makes beside its
//! state, in step with what is written meanwhile. Then the definition is ordered, finds the groundwork laid, and takes it over
//! ([`Groundwork::index`], [`Groundwork::rows`]) as if it had made it at its place: after what was written last has been added.
//!
//! The first half is no command. What is made is a function of the rows, so replicas need not agree when they begin, how far
//! they are, or whether they do it at all: who has laid none (it was restarted, it has come from a snapshot, it reads an old
//! log) does the same work in the second half, in its turn, and comes to the same bytes. Nothing is in the catalog, in the
//! digest, in a checkpoint or in the log before the definition is decided; so nothing is left behind by a session or a gateway
//! that ends in between. It is dropped when nobody has asked for it for [`KEPT_FOR`].
//!
//! A row that does not keep what is asked **stands in the way**. It is not entered, and nobody looks further: the definition is
//! refused for it without going through the others again, unless it has gone or changed by then.
//!
//! # Invariants
//! - What is taken over is what a definition makes that finds nothing laid, entry by entry; and what it is refused for is the
//!   same, the first row in the order of their keys that stands in the way of itself or of one before it.
//! - Of the rows that have been looked at each is either entered or stands in the way, as it is now.
//! - Only decided rows are looked at: not while execution stands. So a definition that stands behind others in one command, or
//!   behind rows that the same command writes (a transaction block's), takes nothing over.
//! - A write costs what is written down of it; nobody's write is refused for the sake of a constraint that does not exist yet.
//! - So many are kept ([`MOST`]); what comes beyond is not prepared.
//!
//! # Caveats
//! - Rows that move to other partitions, and a UNIQUE or FOREIGN KEY whose proof concerns other partitions, are not prepared.
//!   What such a partition makes is a function of the others' rows too, as they are at their places in the order: none of its
//!   replicas knows those before, and what it was told of them earlier would have to follow every write over there. So this is
//!   exchanged at the definition's place, and takes its time there.
//! - Values that depend on more than their row (dice, the clock, the session's time zone, a sequence), and the hidden ids that
//!   rows get when they lose their primary key, are not prepared either.
//! - A table that is written faster than it is read through is not caught up with; whoever waits for it says when that is
//!   enough.

mod laid;
mod purpose;

use super::Definition;
use super::define::{TableWork, Work};
use super::relocate::moves_rows;
use crate::catalog::{Catalog, Index, Table};
use crate::storage::{Aside, Store};
use crate::types::{Duration, Instant, SqlError, TreeId};
use crate::{planted, sometimes};
use laid::Laid;
use purpose::Purpose;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most that is kept by a replica.
const MOST: usize = 8;
/// What nobody asks for is dropped after this long.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// And after this long when it is not finished, or others need its place: whoever waits asks every few seconds at least.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// So many writes are caught up with at once, rather than each by itself.
const CAUGHT_UP_AT: usize = 256;

/// All that a replica makes beforehand.
#[derive(Default)]
pub struct Groundwork {
    works: Vec<Laid>,
    /// Rows that definitions have looked at in their turn, of late.
    in_its_turn: usize,
}

/// Does a definition do anything with rows that are there that can be done beforehand?
#[must_use]
pub fn has_groundwork(old: &Catalog, definition: &Definition) -> bool {
    !wanted(old, &definition.catalog, &definition.work, 1).is_empty()
}

/// What can be made beforehand when `new` takes the place of `old`.
fn wanted(old: &Catalog, new: &Catalog, work: &Work, partitions: u32) -> Vec<(Arc<Table>, Purpose)> {
    let mut wanted = Vec::new();
    let trees: BTreeSet<TreeId> = old.tables.values().flat_map(|table| table.trees().collect::<Vec<_>>()).collect();
    let moves = partitions > 1 && moves_rows(old, new);
    for after in new.tables.values() {
        let Some(before) = old.table_by_id(after.id) else { continue };
        let asked = work.on(after.id);
        if before.tree != after.tree {
            // Without work, and with a tree that is new, it is emptied.
            let has_rows = asked.is_some() || trees.contains(&after.tree);
            if has_rows && !moves && purpose::can_write(before, after, asked) {
                wanted.push((Arc::clone(before), Purpose::rows(after, asked)));
            }
            continue;
        }
        let fresh = after.indexes.iter().filter(|index| !trees.contains(&index.tree));
        let fresh = fresh.filter(|index| purpose::can_index(before, after, index));
        wanted.extend(fresh.map(|index| (Arc::clone(before), Purpose::Index(index.clone()))));
        if let Some(work) = asked.filter(|work| purpose::can_prove(before, after, work)) {
            wanted.push((Arc::clone(before), Purpose::Keeps(work.clone())));
        }
    }
    wanted
}

/// Can the rows of a table be written anew by [`Groundwork::rows`]?
pub(super) fn can_write(before: &Table, after: &Table, work: Option<&TableWork>) -> bool {
    purpose::can_write(before, after, work)
}

impl Groundwork {
    /// What `definition` makes of rows is wanted soon, in a cluster of so many partitions. It takes the place of `old`, which
    /// comes of the catalog `in_force`. Returns how many rows are still to be looked at.
    pub fn want(
        &mut self,
        store: &mut Store,
        now: Instant,
        (in_force, old): (&Catalog, &Catalog),
        definition: &Definition,
        partitions: u32,
    ) -> u64 {
        let mut left = 0;
        for (table, purpose) in wanted(old, &definition.catalog, &definition.work, partitions) {
            let Some(defined) = in_force.table_by_id(table.id) else { continue };
            if let Some(known) = self.works.iter_mut().find(|laid| laid.is_for(&table, &purpose)) {
                known.wanted_at = now;
                left += known.left(store);
                continue;
            }
            self.make_room(now);
            if self.works.len() >= MOST || !store.has_tree(table.tree) {
                sometimes!("groundwork.too_much");
                continue;
            }
            sometimes!("groundwork.begun");
            // What is noted for others stays noted: what is in the store may be undecided now. It has reached no row yet, so
            // nothing of that is behind it.
            let laid = Laid::new((Arc::clone(defined), table), purpose, now);
            left += laid.left(store);
            self.works.push(laid);
            self.follow(store);
        }
        left
    }

    /// Is there anything to be done?
    #[must_use]
    pub fn has_work(&self, store: &Store) -> bool {
        let written = store.written();
        // A row in the way may be among what was written.
        self.works.iter().any(|laid| laid.goes_on() || (written > 0 && laid.is_stopped())) || written >= CAUGHT_UP_AT
    }

    /// Goes on with about so many rows. Returns how many there were. Not while what is in the store is undecided.
    pub fn lay(&mut self, store: &mut Store, rows: usize) -> usize {
        let mut done = self.catch_up(store);
        // All come nearer: whoever sees nothing come of it for long does not wait.
        let share = rows.saturating_sub(done).div_ceil(self.works.iter().filter(|laid| laid.goes_on()).count().max(1));
        for laid in &mut self.works {
            done += laid.look_at_next(store, share);
        }
        done
    }

    /// How many rows definitions have looked at in their turn since the last call: what was not laid.
    pub fn take_rows_in_turn(&mut self) -> usize {
        std::mem::take(&mut self.in_its_turn)
    }

    /// The entries of an index that a definition makes.
    ///
    /// # Errors
    /// The first row in the way: 23505, 23502.
    pub(super) fn index(&mut self, store: &mut Store, table: &Arc<Table>, index: &Index) -> Result<Aside, SqlError> {
        let (mut made, laid) = self.finish(store, table, Purpose::Index(index.clone()))?;
        sometimes!("groundwork.index_taken_over", laid);
        Ok(made.pop().unwrap_or_default())
    }

    /// Looks whether all rows keep what a definition asks of them. `false`: that depends on more than they are.
    ///
    /// # Errors
    /// The first row that does not.
    pub(super) fn keeps(&mut self, store: &mut Store, table: &Arc<Table>, work: &TableWork) -> Result<bool, SqlError> {
        if !purpose::is_of_rows_alone(work) {
            return Ok(false);
        }
        let (_, laid) = self.finish(store, table, Purpose::Keeps(work.clone()))?;
        sometimes!("groundwork.proof_taken_over", laid);
        Ok(true)
    }

    /// The rows of a table that a definition writes anew, and the entries of all its indexes, in their order.
    ///
    /// # Errors
    /// The first row that cannot be written so.
    pub(super) fn rows(
        &mut self,
        store: &mut Store,
        (before, after): (&Arc<Table>, &Arc<Table>),
        work: Option<&TableWork>,
    ) -> Result<Vec<Aside>, SqlError> {
        let (made, laid) = self.finish(store, before, Purpose::rows(after, work))?;
        sometimes!("groundwork.rows_taken_over", laid);
        Ok(made)
    }

    /// What was made for a purpose, and whether any of it was made beforehand. What is not finished is finished now.
    fn finish(
        &mut self,
        store: &mut Store,
        table: &Arc<Table>,
        purpose: Purpose,
    ) -> Result<(Vec<Aside>, bool), SqlError> {
        let Some(at) = self.works.iter().position(|laid| laid.is_for(table, &purpose)) else {
            let mut laid = Laid::new((Arc::clone(table), Arc::clone(table)), purpose.clone(), Instant(0));
            self.in_its_turn += laid.look_at_next(store, usize::MAX);
            return laid.made(store, &purpose).map(|made| (made, false));
        };
        // Planted 260: what was written while it was laid is not looked at again.
        if !planted!(260) {
            self.in_its_turn += self.catch_up(store);
        }
        let laid = &mut self.works[at];
        sometimes!("groundwork.finished_in_its_turn", laid.goes_on());
        // Planted 262: what is not finished counts as finished.
        if !planted!(262) {
            self.in_its_turn += laid.look_at_next(store, usize::MAX);
        }
        laid.used = true;
        laid.made(store, &purpose).map(|made| (made, true))
    }

    /// A definition is decided: `catalog` is in force from now on.
    pub fn defined(&mut self, store: &mut Store, committed: bool, catalog: &Catalog) {
        if self.works.is_empty() {
            return;
        }
        for laid in &mut self.works {
            laid.used &= committed;
        }
        self.works.retain_mut(|laid| !laid.used && laid.goes_with(catalog));
        self.follow(store);
    }

    /// Drops what nobody has asked for.
    pub fn expire(&mut self, store: &mut Store, now: Instant) {
        let before = self.works.len();
        let kept_for = |laid: &Laid| if laid.goes_on() { WAITED_FOR } else { KEPT_FOR };
        self.works.retain(|laid| now.since(laid.wanted_at) < kept_for(laid));
        if self.works.len() < before {
            sometimes!("groundwork.forgotten");
            self.follow(store);
        }
    }

    /// Of too many the one goes that nobody has asked for for the longest time.
    fn make_room(&mut self, now: Instant) {
        if self.works.len() >= MOST
            && let Some((oldest, laid)) = self.works.iter().enumerate().min_by_key(|(_, laid)| laid.wanted_at)
            && now.since(laid.wanted_at) >= WAITED_FOR
        {
            self.works.swap_remove(oldest);
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
