//! Soft locks, as far as a statement's execution knows of them (rules A8).
//!
//! FOR UPDATE and FOR SHARE ask that others who mean to lock the same rows wait. Nothing hangs on that: whether a transaction
//! may be committed is found out by executing it again. So locks are no replicated state and are not looked at when a log entry is executed;
//! outside of a transaction block, where they would end with their statement, they are not taken at all. Only the execution of a
//! statement on the fork of an open block, at the leader, is told what others have locked ([`Live`]).
//!
//! # Invariants
//! - What is shown must be a function of the rows and of the statement's record, or executing it again could not come to the same.
//!   FOR UPDATE alone changes nothing of what is shown. Of SKIP LOCKED the rows that were let through are recorded, and of NOWAIT that it was
//!   refused ([`Choice`]): executed again a statement takes just those rows, if they still qualify, or is refused again.
//! - Whether a row is locked by others is the same throughout one execution: a row that is visited twice is let through twice, or never.

use super::execute::Row;
use super::plan::{Held, Lock};
use crate::planted;
use crate::types::{SqlError, SqlState, TreeId, Value};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A row: the tree of its table, and its key there.
pub type LockedRow = (TreeId, Bytes);

/// What a statement has come to by looking at locks: data of the transaction's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// SKIP LOCKED: the rows that were not locked by others and came by, ascending.
    Rows(BTreeSet<LockedRow>),
    /// NOWAIT: a row of this relation was locked.
    Refused(String),
}

impl Choice {
    /// Room that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.iter().map(|(_, key)| 24 + key.len()).sum(),
            Self::Refused(relation) => relation.len(),
        }
    }
}

/// What others have locked.
pub trait Locks: fmt::Debug + Send + Sync {
    /// May this row not be locked now?
    fn is_locked(&self, row: &LockedRow, exclusive: bool) -> bool;
}

/// What an execution knows of locks.
#[derive(Clone, Debug, Default)]
pub enum Locking {
    /// Nothing: all rows are let through.
    #[default]
    Off,
    /// For the first time, where locks are taken.
    Live(Live),
    /// Again: this was recorded.
    Again(Arc<Choice>),
}

/// An execution where locks are taken.
#[derive(Clone, Debug)]
pub struct Live {
    /// What others have locked.
    pub others: Arc<dyn Locks>,
    /// Rows that came by and are to be locked; `true`: FOR UPDATE.
    pub rows: BTreeMap<LockedRow, bool>,
    /// One of them is locked by others, and is to be awaited.
    pub awaits: bool,
    /// With SKIP LOCKED: the rows of it that were let through.
    pub chosen: Option<BTreeSet<LockedRow>>,
}

impl Live {
    /// Of what others have locked.
    #[must_use]
    pub fn new(others: Arc<dyn Locks>) -> Self {
        Self { others, rows: BTreeMap::new(), awaits: false, chosen: None }
    }
}

/// `55P03`, as NOWAIT is told it.
#[must_use]
pub fn not_available(relation: &str) -> SqlError {
    SqlError::new(SqlState::LOCK_NOT_AVAILABLE, format!("could not obtain lock on row in relation \"{relation}\""))
}

impl Locking {
    /// The rows of an operator are about to come.
    pub(super) fn begin(&mut self, lock: &Lock) -> bool {
        match self {
            Self::Off => false,
            Self::Live(live) => {
                if lock.of.iter().any(|rows| rows.held == Held::Skip) {
                    live.chosen.get_or_insert_default();
                }
                true
            }
            Self::Again(_) => true,
        }
    }

    /// Is a row let through?
    pub(super) fn passes(&mut self, lock: &Lock, row: &Row) -> Result<bool, SqlError> {
        let keys = lock.of.iter().filter_map(|rows| match row.get(rows.key) {
            Some(Value::Bytea(key)) => Some((rows, (rows.table.tree, key.clone()))),
            _ => None,
        });
        match self {
            Self::Off => {}
            Self::Again(choice) => {
                let Choice::Rows(chosen) = &**choice else { return Ok(true) };
                for (rows, key) in keys {
                    if rows.held == Held::Skip && !chosen.contains(&key) && !planted!(254) {
                        return Ok(false);
                    }
                }
            }
            Self::Live(live) => {
                let keys: Vec<_> = keys.collect();
                for (rows, key) in &keys {
                    if !live.others.is_locked(key, rows.exclusive) {
                        continue;
                    }
                    match rows.held {
                        Held::Skip => return Ok(false),
                        Held::Refuse => return Err(not_available(&rows.table.name)),
                        Held::Await => live.awaits = true,
                    }
                }
                for (rows, key) in keys {
                    if let (Held::Skip, Some(chosen)) = (rows.held, &mut live.chosen) {
                        chosen.insert(key.clone());
                    }
                    *live.rows.entry(key).or_default() |= rows.exclusive;
                }
            }
        }
        Ok(true)
    }
}
