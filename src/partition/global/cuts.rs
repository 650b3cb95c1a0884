//! What every replica keeps for transactions that read at one cut (BEGIN READ ONLY; rules A8, A10): its rows and its catalog as they
//! were at the cut's place in the order, frozen. No replicated state, but every replica that has come to the place has
//! it: a change of leaders takes nothing from the transaction.
//!
//! # Invariants
//! - A cut is known by its number in the order: another one, however late it is asked for, cannot be taken for it.
//! - Nobody writes to what is frozen: each statement runs on a copy of its own, so it may be asked any number of times.
//! - What is frozen is let go when the transaction's session says so (to the leader, which logs it for the others), after
//!   [`LIVES`] in any case, and beyond [`MAX_CUTS`] the oldest goes. Who comes then is told that it is gone.
//!
//! # Caveats
//! - What is written beside a cut exists twice, on every replica, until it is let go.

use super::Showing;
use crate::catalog::Catalog;
use crate::storage::Store;
use crate::types::{Duration, GlobalNumber, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most cuts that a replica holds.
const MAX_CUTS: usize = 256;
/// A cut is let go after this time, whatever its session does.
const LIVES: Duration = Duration::from_secs(600);

/// What is frozen at a cut.
struct Frozen {
    since: Instant,
    rows: Store,
    catalog: Arc<Catalog>,
}

/// The cuts of a replica.
#[derive(Default)]
pub(in crate::partition) struct Cuts {
    frozen: BTreeMap<GlobalNumber, Frozen>,
    /// The leader's: ended, and the others have not been told.
    pub(in crate::partition) ended: Vec<GlobalNumber>,
}

impl Cuts {
    /// Keeps what has been frozen.
    pub(in crate::partition) fn keep(&mut self, now: Instant, showing: &Showing) {
        if self.frozen.len() >= MAX_CUTS {
            crate::sometimes!("global.too_many_cuts");
            self.frozen.pop_first();
        }
        let (rows, catalog) = (showing.rows.snapshot().into_store(), Arc::clone(&showing.catalog));
        self.frozen.insert(showing.global.number, Frozen { since: now, rows, catalog });
    }

    /// Is it there?
    pub(in crate::partition) fn holds(&self, number: GlobalNumber) -> bool {
        self.frozen.contains_key(&number)
    }

    /// A copy of what is frozen, and its catalog.
    pub(in crate::partition) fn copy(&self, number: GlobalNumber) -> Option<(Store, Arc<Catalog>)> {
        let frozen = self.frozen.get(&number)?;
        Some((frozen.rows.snapshot().into_store(), Arc::clone(&frozen.catalog)))
    }

    /// Lets one go.
    pub(in crate::partition) fn let_go(&mut self, number: GlobalNumber) {
        self.frozen.remove(&number);
    }

    /// A session is done with one.
    pub(in crate::partition) fn end(&mut self, number: GlobalNumber) {
        if self.frozen.remove(&number).is_some() {
            self.ended.push(number);
        }
    }

    /// When [`Cuts::expire`] wants to be called.
    pub(in crate::partition) fn next_timeout(&self) -> Option<Instant> {
        self.frozen.values().map(|frozen| frozen.since + LIVES).min()
    }

    /// Lets go what is too old.
    pub(in crate::partition) fn expire(&mut self, now: Instant) {
        let before = self.frozen.len();
        self.frozen.retain(|_, frozen| frozen.since + LIVES > now);
        crate::sometimes!("global.cut_expired", self.frozen.len() < before);
    }
}
