//! Proof that a rare path was reached: `sometimes!("raft.pre_vote_refused")`.
//!
//! A probe counts; it decides nothing and nobody in `src/` reads it. The simulator gathers the counts of each run, and a
//! scenario's `[expect]` can demand them. Counting is per thread (a run has a thread of its own) and is off, at the cost
//! of one thread-local load, unless [`start`] was called on that thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

std::thread_local! {
    static COUNTS: RefCell<Option<BTreeMap<&'static str, u64>>> = const { RefCell::new(None) };
}

/// Starts counting on this thread, from zero.
pub fn start() {
    COUNTS.with(|counts| *counts.borrow_mut() = Some(BTreeMap::new()));
}

/// Ends counting on this thread and returns what was reached, by name.
#[must_use]
pub fn finish() -> BTreeMap<&'static str, u64> {
    COUNTS.with(|counts| counts.borrow_mut().take()).unwrap_or_default()
}

/// Visits of one probe so far: a fault may wait for one (`at = "wal.tail_cut"`). 0 when counting is off.
#[must_use]
pub fn count(name: &str) -> u64 {
    COUNTS.with(|counts| counts.borrow().as_ref().and_then(|counts| counts.get(name).copied()).unwrap_or(0))
}

/// Counts one visit. Use [`sometimes!`](crate::sometimes).
#[inline]
pub fn hit(name: &'static str) {
    COUNTS.with(|counts| {
        if let Some(counts) = counts.borrow_mut().as_mut() {
            *counts.entry(name).or_insert(0) += 1;
        }
    });
}

/// `sometimes!("wal.tail_cut")`: this line was reached. With a condition, `sometimes!("name", condition)`: when it holds.
#[macro_export]
macro_rules! sometimes {
    ($name:literal) => {
        $crate::env::probe::hit($name)
    };
    ($name:literal, $condition:expr) => {
        if $condition {
            $crate::env::probe::hit($name)
        }
    };
}
