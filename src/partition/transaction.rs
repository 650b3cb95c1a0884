//! Interactive transactions of one partition (design §6, rules A8).
//!
//! Between BEGIN and COMMIT a transaction's statements are executed on a **fork**: a private copy-on-write picture of
//! the leader's rows, taken under a read barrier when its first statement comes. Nothing is locked and nothing is
//! logged. The session keeps a list of the statements, each with a digest of what its client saw of it: values, their
//! order under ORDER BY, the number in the command tag. COMMIT sends the list as one command, and every replica executes
//! it again at its place in the log: if every statement shows what it showed then, the transaction is committed as of
//! that place; if one does not, nothing is changed and the client is told 40001.
//!
//! So the transaction fails only when something that its client *saw* has changed. `SET b = b + 1` shows "UPDATE 1" both
//! times: a hundred sessions may do it to one row, and all commit. Applying the fork's writes instead would lose updates.
//!
//! # Invariants
//! - Executing again depends on the command alone: `now()` is the transaction's beginning and its dice are seeded by it,
//!   statement by statement, on the fork as in the log.
//! - A fork is no replicated state: it is in no digest and no snapshot, and it is lost with the leadership. Then the session
//!   sends everything so far, and a new fork is made by executing it again: only a difference surfaces (40001).
//! - Statements reach a fork once and in order: each request says how many came before it; the last one's outcome is kept
//!   for its retry.
//! - What a transaction is told is of one moment, that of its last fork, which shows what earlier ones showed; so a read-only
//!   one is serializable as it stands and needs no validation.
//!
//! # Caveats
//! - Forks are bounded by number ([`MAX_FORKS`]), not by time or bytes: beyond it the one that was idle longest is dropped.
//! - A failed statement ends the transaction, as there are no savepoints; so a list holds no failed ones.

use crate::catalog::Catalog;
use crate::partition::command::dice;
use crate::partition::message::{Commitment, Outcome, Settings, Statement, StatementResult, Step};
use crate::sql::{self, PlanCache};
use crate::storage::Store;
use crate::types::{SessionId, SqlError, SqlState, Timestamp};
use crate::{planted, sometimes};
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Most open transactions of a partition.
const MAX_FORKS: usize = 1024;
/// Most bytes of a transaction's list, COPY data in it.
pub const MAX_TRANSACTION_BYTES: usize = 32 << 20;

/// Digest of what a client saw of a statement. Rows that come in no order asked for may come in another one.
#[must_use]
pub fn seen(result: &StatementResult, ordered: bool) -> u128 {
    let mut buffer = Vec::new();
    let mut rows = 0_u128;
    for (number, row) in result.rows.iter().enumerate() {
        buffer.clear();
        if ordered {
            buffer.extend_from_slice(&(number as u64).to_le_bytes());
        }
        let mut bytes = postcard::to_extend(row, std::mem::take(&mut buffer)).unwrap_or_default();
        rows = rows.wrapping_add(xxh3_128(&bytes));
        std::mem::swap(&mut buffer, &mut bytes);
    }
    let mut whole = [0; 25];
    whole[..16].copy_from_slice(&rows.to_le_bytes());
    whole[16..24].copy_from_slice(&result.affected.to_le_bytes());
    whole[24] = u8::from(result.suspended);
    xxh3_128(&whole)
}

/// The private rows of an open transaction.
pub(super) struct Fork {
    store: Store,
    /// The catalog that goes with them.
    catalog: Arc<Catalog>,
    /// Statements executed.
    done: u32,
    /// The last request: how many statements came before it, and what came of it.
    last: Option<(u32, Outcome)>,
    touched: u64,
}

impl Fork {
    pub(super) const fn new(store: Store, catalog: Arc<Catalog>) -> Self {
        Self { store, catalog, done: 0, last: None, touched: 0 }
    }

    /// Executes statements; after an error the transaction is over, and the fork as it was.
    pub(super) fn step(&mut self, plans: &mut PlanCache, step: &Step) -> Outcome {
        let outcome = self.execute(plans, step);
        self.last = Some((step.done, outcome.clone()));
        self.done = step.done.saturating_add(u32::try_from(step.batch.statements.len()).unwrap_or(u32::MAX));
        outcome
    }

    fn execute(&mut self, plans: &mut PlanCache, step: &Step) -> Outcome {
        if step.batch.catalog_version != self.catalog.version {
            sometimes!("partition.fork_outlived_by_definition");
            let detail = "A definition has changed since the transaction began.";
            return Outcome::Error { statement: 0, error: could_not_serialize(detail) };
        }
        if let Some(before) = step.before.as_ref().filter(|_| self.last.is_none() && self.done == 0) {
            let again = execute_again(&mut self.store, &self.catalog, plans, before);
            if again != Outcome::Committed {
                return again;
            }
        }
        let mark = self.store.mark();
        let mut results = Vec::with_capacity(step.batch.statements.len());
        for (offset, statement) in step.batch.statements.iter().enumerate() {
            let place = Place { began: step.began, seed: step.seed, number: step.done as usize + offset };
            match place.execute(&mut self.store, &self.catalog, plans, statement, &step.batch.settings) {
                Ok((result, _)) => results.push(result),
                Err(error) => {
                    self.store.rollback(mark);
                    let statement = u32::try_from(offset).unwrap_or(u32::MAX);
                    return Outcome::Error { statement, error };
                }
            }
        }
        self.store.commit();
        Outcome::Results(results)
    }
}

/// Which statement of which transaction is executed: all that its clock and dice depend on.
struct Place {
    began: Timestamp,
    seed: u64,
    number: usize,
}

impl Place {
    /// What comes of the statement, and the digest of it.
    fn execute(
        &self,
        store: &mut Store,
        catalog: &Catalog,
        plans: &mut PlanCache,
        statement: &Statement,
        settings: &Settings,
    ) -> Result<(StatementResult, u128), SqlError> {
        let plan = plans.prepare(catalog, &statement.text, settings, &statement.parameter_types)?;
        let dice = dice(self.seed, self.number);
        let mut context = sql::Context::new(self.began, dice, &settings.time_zone, statement.max_rows);
        let result = plan.execute(store, &statement.parameters, &mut context)?;
        let digest = seen(&result, plan.orders_rows());
        Ok((result, digest))
    }
}

/// Executes a transaction again: [`Outcome::Committed`], or an error after which the caller rolls the store back.
pub(super) fn execute_again(
    store: &mut Store,
    catalog: &Catalog,
    plans: &mut PlanCache,
    commitment: &Commitment,
) -> Outcome {
    let mut number = 0;
    for part in &commitment.parts {
        for (statement, digest) in &part.statements {
            let place = Place { began: commitment.began, seed: commitment.seed, number };
            let same = match place.execute(store, catalog, plans, statement, &part.settings) {
                // Planted 63: what was seen is not compared, and what was computed from it is written over what is there.
                Ok((_, again)) => again == *digest || planted!(63),
                Err(_) => false,
            };
            if !same {
                sometimes!("partition.transaction_conflict");
                let detail = format!("Statement {} of the transaction would now show something else.", number + 1);
                let statement = u32::try_from(number).unwrap_or(u32::MAX);
                return Outcome::Error { statement, error: could_not_serialize(detail) };
            }
            number += 1;
        }
    }
    sometimes!("partition.transaction_committed");
    Outcome::Committed
}

/// 40001.
fn could_not_serialize(detail: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .detail(detail)
        .hint("Nothing was changed. The transaction might succeed if retried.")
}

/// A session and the number of its transaction.
type Key = (SessionId, u64);

/// The forks of a leader.
#[derive(Default)]
pub(super) struct Forks {
    forks: BTreeMap<Key, Fork>,
    /// The same by when they were last used.
    order: BTreeMap<u64, Key>,
    clock: u64,
}

/// What is known of a request's transaction.
pub(super) enum Found<'a> {
    /// Nothing.
    Nothing,
    /// Its statements come next.
    Next(&'a mut Fork),
    /// They were executed; this came of them.
    Again(Outcome),
    /// Later ones were.
    Stale,
}

impl Forks {
    /// The fork for a step. Looking uses it.
    pub(super) fn look_up(&mut self, session: SessionId, step: &Step) -> Found<'_> {
        let key = (session, step.transaction);
        let Some(fork) = self.forks.get_mut(&key) else { return Found::Nothing };
        self.order.remove(&fork.touched);
        self.clock += 1;
        fork.touched = self.clock;
        self.order.insert(self.clock, key);
        if let Some((done, outcome)) = &fork.last
            && *done == step.done
        {
            return Found::Again(outcome.clone());
        }
        if fork.done == step.done { Found::Next(fork) } else { Found::Stale }
    }

    /// Keeps a new fork; beyond the limit another one goes.
    pub(super) fn keep(&mut self, session: SessionId, transaction: u64, mut fork: Fork) {
        if self.forks.len() >= MAX_FORKS
            && let Some((_, idle)) = self.order.pop_first()
        {
            sometimes!("partition.too_many_forks");
            self.forks.remove(&idle);
        }
        self.clock += 1;
        fork.touched = self.clock;
        self.order.insert(self.clock, (session, transaction));
        self.forks.insert((session, transaction), fork);
    }

    /// Drops a fork.
    pub(super) fn forget(&mut self, session: SessionId, transaction: u64) {
        if let Some(fork) = self.forks.remove(&(session, transaction)) {
            self.order.remove(&fork.touched);
        }
    }

    /// Is no transaction open?
    pub(super) fn is_empty(&self) -> bool {
        self.forks.is_empty()
    }
}
