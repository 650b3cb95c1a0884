//! Exactly-once: what each session's requests came to (RIFL, SOSP 2015; rules A9).
//!
//! A session numbers its requests; the table keeps the outcome of every executed one that the session has not
//! acknowledged (`acked_below`). It is replicated state: filled by execution, the same on all replicas, in the digest.
//!
//! # Invariants
//! - A request is in the table from its execution until its session acknowledges it; then its number is below
//!   `acked_below` and refused as stale. There is no third way out: nothing is evicted by count or time.
//! - Numbers may be executed in any order (a later one overtaking an earlier is no duplicate).

use crate::partition::message::Outcome;
use crate::types::{RequestId, Sequence, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Results larger than this are kept as [`Outcome::ResultNotKept`].
pub const MAX_KEPT_OUTCOME_BYTES: usize = 64 << 10;

/// What the table knows of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Never executed here.
    New,
    /// Executed; this is what came of it.
    Executed(Arc<Outcome>),
    /// Acknowledged by its session: a late copy.
    Stale,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Dedup {
    sessions: BTreeMap<SessionId, Session>,
    digest: u128,
}

#[derive(Clone, Debug, Default)]
struct Session {
    acked_below: Sequence,
    outcomes: BTreeMap<Sequence, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    outcome: Arc<Outcome>,
    digest: u128,
}

impl Dedup {
    /// Was it executed?
    #[must_use]
    pub fn look_up(&self, id: RequestId) -> Seen {
        let Some(session) = self.sessions.get(&id.session) else { return Seen::New };
        if let Some(kept) = session.outcomes.get(&id.sequence) {
            return Seen::Executed(Arc::clone(&kept.outcome));
        }
        if id.sequence < session.acked_below { Seen::Stale } else { Seen::New }
    }

    /// Forgets what the session has acknowledged. Numbers only rise: an older statement of it changes nothing.
    pub fn acknowledge(&mut self, session: SessionId, acked_below: Sequence) {
        let entry = self.sessions.entry(session).or_default();
        if acked_below <= entry.acked_below {
            return;
        }
        entry.acked_below = acked_below;
        while let Some(first) = entry.outcomes.first_entry() {
            if *first.key() >= acked_below {
                break;
            }
            self.digest = self.digest.wrapping_sub(first.remove().digest);
        }
    }

    /// Keeps the outcome of an executed request.
    ///
    /// # Panics
    /// If it was executed before: the caller looks up first.
    pub fn record(&mut self, id: RequestId, outcome: Arc<Outcome>) {
        let bytes = postcard::to_stdvec(&*outcome).expect("an outcome is plain data, always encodable");
        let outcome = if bytes.len() > MAX_KEPT_OUTCOME_BYTES { Arc::new(Outcome::ResultNotKept) } else { outcome };
        let mut identity = [0; 40];
        identity[..8].copy_from_slice(&id.session.gateway.to_le_bytes());
        identity[8..16].copy_from_slice(&id.session.counter.to_le_bytes());
        identity[16..24].copy_from_slice(&id.sequence.0.to_le_bytes());
        identity[24..].copy_from_slice(&xxh3_128(&bytes).to_le_bytes());
        let digest = xxh3_128(&identity);
        self.digest = self.digest.wrapping_add(digest);
        let session = self.sessions.entry(id.session).or_default();
        let before = session.outcomes.insert(id.sequence, Kept { outcome, digest });
        assert!(before.is_none(), "request {id} was executed twice");
    }

    /// Digest of all outcomes held, independent of the order in which they came.
    #[must_use]
    pub const fn digest(&self) -> u128 {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> RequestId {
        RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(sequence) }
    }

    #[test]
    fn a_request_is_known_until_acknowledged_and_stale_ever_after() {
        let mut dedup = Dedup::default();
        let empty = dedup.digest();
        assert_eq!(dedup.look_up(id(5)), Seen::New);
        dedup.record(id(5), Arc::new(Outcome::Gateway(7)));
        assert_eq!(dedup.look_up(id(5)), Seen::Executed(Arc::new(Outcome::Gateway(7))));
        assert_eq!(dedup.look_up(id(4)), Seen::New, "a later request overtaking an earlier one makes it no duplicate");
        dedup.acknowledge(id(5).session, Sequence(6));
        assert_eq!(dedup.look_up(id(5)), Seen::Stale);
        assert_eq!(dedup.look_up(id(6)), Seen::New);
        assert_eq!(dedup.digest(), empty, "what is forgotten leaves the digest");
        dedup.acknowledge(id(5).session, Sequence(3));
        assert_eq!(dedup.look_up(id(4)), Seen::Stale, "acknowledgements do not go back");
    }

    #[test]
    fn a_result_too_large_is_remembered_as_executed() {
        let mut dedup = Dedup::default();
        let notice =
            crate::types::SqlError::new(crate::types::SqlState::DATA_EXCEPTION, "x".repeat(MAX_KEPT_OUTCOME_BYTES));
        dedup.record(id(1), Arc::new(Outcome::Error { statement: 0, error: notice }));
        assert_eq!(dedup.look_up(id(1)), Seen::Executed(Arc::new(Outcome::ResultNotKept)));
    }
}
