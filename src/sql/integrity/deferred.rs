//! Checks that wait: of foreign keys that are DEFERRABLE, and deferred, in a transaction block.
//!
//! A statement of a block leaves them to the block's end, or to SET CONSTRAINTS … IMMEDIATE. What waits is no row and no change but the
//! key that was referenced, or went: whether anybody references it, and whether it is there, is looked at when the time has come,
//! on the rows as they are then. So it does not matter how often a row has changed in between.
//!
//! Each partition keeps what waits for its own changes beside the transaction's fork. To check it is a statement of its own, which
//! COMMIT says for the client: without rows, but with rounds ([`super::settle`]) that go wherever a key has to be looked up.
//!
//! # Invariants
//! - A check waits only in a block ([`Deferral`] is among the settings that travel with a statement); outside of one a constraint is
//!   checked at the statement's end, as ever.
//! - What waited at a savepoint waits again when the block goes back to it, checked in the meantime or not.
//! - A list that is executed for a COMMIT leaves nothing that waits. One that is only validated may.
//! - A check is where the row is: a row that comes from another partition brings it along. (Left behind with the key it once had there
//!   it found no row, and an orphan was committed.)
//!
//! # Caveats
//! - As in PostgreSQL, only NO ACTION and the reference itself can wait: RESTRICT, CASCADE, SET NULL and SET DEFAULT are done at once.

use super::settle::{Item, Message, Round, no_parent};
use super::{Web, converted, home_of_parent, home_of_rows, missing, rows_with};
use crate::catalog::{Catalog, ForeignKey, Table};
use crate::sql::bind::qualified_parts;
use crate::sql::parse::Constraints;
use crate::sql::settings::Settings;
use crate::types::{SqlError, SqlState, TableId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which constraints are deferred in a transaction block, as far as SET CONSTRAINTS has said. The others are as they were defined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    all: Option<bool>,
    named: Vec<(TableId, String, bool)>,
}

/// Constraints that SET CONSTRAINTS names; `None`: all.
pub type Named = Option<Vec<(TableId, String)>>;

impl Deferral {
    /// SET CONSTRAINTS.
    pub fn set(&mut self, named: Named, deferred: bool) {
        match named {
            None => *self = Self { all: Some(deferred), named: Vec::new() },
            Some(names) => {
                for (table, name) in names {
                    self.named.retain(|(other, known, _)| (*other, known) != (table, &name));
                    self.named.push((table, name, deferred));
                }
            }
        }
    }

    fn is_deferred(&self, table: TableId, key: &ForeignKey) -> bool {
        let named = self.named.iter().find(|(other, name, _)| *other == table && *name == key.name);
        key.deferrable && named.map(|(_, _, deferred)| *deferred).or(self.all).unwrap_or(key.deferred)
    }
}

/// Are checks of a foreign key left to the block's end?
pub(super) fn is_deferred(settings: &Settings, table: &Table, key: &ForeignKey) -> bool {
    settings.deferral.as_ref().is_some_and(|deferral| deferral.is_deferred(table.id, key))
}

/// The constraints that SET CONSTRAINTS names.
///
/// # Errors
/// 42704 if there is none such, 42809 if it cannot be deferred.
pub fn constraints(catalog: &Catalog, settings: &Settings, told: &Constraints) -> Result<Named, SqlError> {
    let Some(names) = &told.names else { return Ok(None) };
    let mut found = Vec::new();
    for parts in names {
        let (schema, name) = qualified_parts(catalog, settings, parts)?;
        let path = schema.map_or_else(|| settings.search_path.clone(), |schema| vec![schema]);
        let mut tables = path.iter().map(|schema| {
            let within = catalog.tables.values().filter(|table| table.schema == *schema && table.has_constraint(&name));
            within.collect::<Vec<_>>()
        });
        let tables = tables.find(|tables| !tables.is_empty()).ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("constraint \"{name}\" does not exist"))
        })?;
        for table in tables {
            if !table.foreign_keys.iter().any(|key| key.name == name && key.deferrable) {
                if !told.deferred {
                    // It is immediate.
                    continue;
                }
                let message = format!("constraint \"{name}\" is not deferrable");
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            found.push((table.id, name.clone()));
        }
    }
    Ok(Some(found))
}

/// Checks, each once, whatever made it necessary.
#[derive(Clone, Debug, Default)]
pub struct Deferred(BTreeMap<Vec<u8>, Item>);

impl Deferred {
    pub(in crate::sql) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.0.insert(postcard::to_stdvec(&item).expect("plain data, always encodable"), item);
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = Item> {
        self.0.into_values()
    }
}

/// What waits in a block, with what is needed to go back to its savepoints.
#[derive(Debug, Default)]
pub struct Waiting {
    checks: BTreeMap<Vec<u8>, Item>,
    /// What came (`None`) and what was taken out, in order: a savepoint is a place in it.
    journal: Vec<(Vec<u8>, Option<Item>)>,
}

impl Waiting {
    /// Waits nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// More waits.
    pub fn append(&mut self, more: Deferred) {
        for (key, item) in more.0 {
            if self.checks.insert(key.clone(), item).is_none() {
                self.journal.push((key, None));
            }
        }
    }

    /// Takes out what is due now.
    #[must_use]
    pub fn due(&mut self, due: &Due) -> Deferred {
        let is_due = |item: &Item| match (item, &due.0) {
            (_, None) => true,
            (Item::Require { child, foreign_key, .. } | Item::Unreferenced { child, foreign_key, .. }, Some(these)) => {
                these.contains(&(*child, *foreign_key))
            }
            _ => false,
        };
        let (now, later): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.checks).into_iter().partition(|(_, item)| is_due(item));
        self.checks = later;
        self.journal.extend(now.iter().map(|(key, item)| (key.clone(), Some(item.clone()))));
        Deferred(now)
    }

    /// A savepoint.
    #[must_use]
    pub const fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Back to a savepoint: what waited then waits again.
    pub fn rollback(&mut self, mark: usize) {
        while self.journal.len() > mark
            && let Some((key, taken)) = self.journal.pop()
        {
            match taken {
                Some(item) => drop(self.checks.insert(key, item)),
                None => drop(self.checks.remove(&key)),
            }
        }
    }

    /// There is no savepoint to go back to.
    pub fn commit(&mut self) {
        self.journal.clear();
    }
}

/// What SET CONSTRAINTS … IMMEDIATE has checked: these foreign keys; `None`: all.
#[derive(Debug)]
pub struct Due(Option<Vec<(TableId, u32)>>);

impl Due {
    /// Of the constraints that are named.
    pub(in crate::sql) fn of(catalog: &Catalog, named: Named) -> Self {
        Self(named.map(|named| {
            let position = |(table, name): (TableId, String)| {
                let keys = &catalog.table_by_id(table)?.foreign_keys;
                let position = keys.iter().position(|key| key.name == name)?;
                Some((table, u32::try_from(position).ok()?))
            };
            named.into_iter().filter_map(position).collect()
        }))
    }
}

impl Web {
    /// All that hangs together with foreign keys that can be deferred.
    pub(in crate::sql) fn of_deferrable(catalog: &Catalog, settings: &Settings) -> Result<Self, SqlError> {
        let has = |table: &&std::sync::Arc<Table>| table.foreign_keys.iter().any(|key| key.deferrable);
        Self::around(catalog, settings, catalog.tables.values().filter(has).cloned().collect())
    }
}

impl Round<'_> {
    /// A check has waited: what it asks of others by now.
    pub(super) fn emit_due(&self, item: Item, message: &mut Message) -> Result<(), SqlError> {
        match &item {
            Item::Require { child, foreign_key, key, .. } => {
                let (knot, foreign_key, parent) = self.web.foreign_key(*child, *foreign_key as usize)?;
                let table = &knot.target.table;
                if rows_with(self.store, table, &foreign_key.columns, key, true)?.is_empty() {
                    return Ok(());
                }
                let Some(of_parent) = converted(key, parent, &foreign_key.parent_columns) else {
                    return Err(no_parent(table, foreign_key, parent, key, &self.context.time.zone));
                };
                let to = home_of_parent(parent, &foreign_key.parent_columns, &of_parent, self.partitions())?;
                let to = if parent.is_replicated() { self.own() } else { self.address(to) };
                message.push((to, item));
            }
            Item::Unreferenced { child, foreign_key, key, .. } => {
                let (knot, foreign_key, parent) = self.web.foreign_key(*child, *foreign_key as usize)?;
                let home = home_of_rows(&knot.target.table, &foreign_key.columns, key, self.partitions());
                let to = if parent.is_replicated() { self.own() } else { self.address(home) };
                message.push((to, item));
            }
            _ => return Err(missing()),
        }
        Ok(())
    }
}
