//! **Admission**: how many requests a gateway has out at a partition that has said it has too much to do.
//!
//! A partition that is asked more than it takes refuses, and whoever is refused asks again: work that does nothing, and the
//! more of it the fuller it is. So a refusal lowers the number of requests that this gateway keeps there (by half), and answers
//! raise it again (by one for as many as there are), as TCP does with what it has in flight; who comes beyond it is told at once,
//! before anything is sent, that nothing was done. What is admitted is answered as quickly as before. As with TCP, too, one
//! burst counts once: what was asked before the limit was lowered says nothing of the lower one.
//!
//! Requests that are not new are not judged here: what has begun shall end.
//!
//! # Invariants
//! - What is counted is let go of when it ends, however it ends: its [`Ticket`] goes with it.
//! - The limit is at least one, so that the partition is found willing again.

use crate::sometimes;
use crate::types::{Duration, Instant};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// No refusal for so long: the partition takes what comes.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// The limit in parts.
const UNIT: u64 = 1000;

/// What a gateway has out at one partition.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Shared with the tickets, of which none leaves its worker.
    out: Arc<AtomicU64>,
    /// In thousandths; `None`: there is none.
    limit: Option<u64>,
    refused: Option<Instant>,
}

impl Admission {
    /// May one more be sent? It is counted if so, as long as the ticket lives.
    pub fn admit(&mut self, now: Instant) -> Option<Ticket> {
        if self.refused.is_some_and(|at| now.since(at) >= FORGOTTEN) {
            (self.limit, self.refused) = (None, None);
        }
        if self.limit.is_some_and(|limit| self.out() * UNIT >= limit) {
            sometimes!("cluster.not_admitted");
            return None;
        }
        Some(self.count())
    }

    /// One that is not judged.
    #[must_use]
    pub fn count(&self) -> Ticket {
        self.out.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(&self.out))
    }

    fn out(&self) -> u64 {
        self.out.load(Ordering::Relaxed)
    }

    /// One was answered.
    pub fn answered(&mut self) {
        if let Some(limit) = &mut self.limit {
            *limit += (UNIT * UNIT / *limit).max(1);
        }
    }

    /// The partition has said of what was sent at `asked` that it has too much to do.
    pub fn refused(&mut self, asked: Instant, now: Instant) {
        let known = self.refused.is_some_and(|at| asked <= at);
        if !known {
            let present = self.limit.unwrap_or(u64::MAX).min(self.out() * UNIT);
            self.limit = Some((present / 2).max(UNIT));
            self.refused = Some(now);
        }
    }
}

/// A request that is counted.
#[derive(Debug)]
pub struct Ticket(Arc<AtomicU64>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[test]
    fn a_refusal_halves_what_may_be_out_and_answers_raise_it() {
        let mut admission = Admission::default();
        let mut out: Vec<Ticket> = (0..100).filter_map(|_| admission.admit(at(0))).collect();
        assert_eq!(out.len(), 100, "nobody has complained");
        admission.refused(at(0), at(10));
        admission.refused(at(10), at(90));
        assert!(admission.admit(at(91)).is_none());
        out.truncate(49);
        out.extend(admission.admit(at(92)));
        assert_eq!(out.len(), 50, "half of a hundred, whenever the others of the burst are refused");
        assert!(admission.admit(at(92)).is_none());
        (0..50).for_each(|_| admission.answered());
        out.extend(admission.admit(at(93)));
        assert_eq!(out.len(), 51, "one more for as many answers");
        assert!(admission.admit(at(93)).is_none());
        admission.refused(at(93), at(100));
        out.truncate(26);
        assert!(admission.admit(at(101)).is_none(), "what was sent under the lower limit lowers it again");
    }

    #[test]
    fn there_is_always_room_for_one_and_a_refusal_is_forgotten() {
        let mut admission = Admission::default();
        for round in 0..20 {
            admission.refused(at(round * 100 + 1), at(round * 100 + 1));
        }
        let one = admission.admit(at(2_000));
        assert!(one.is_some() && admission.admit(at(2_000)).is_none());
        assert!(admission.admit(at(7_000)).is_some(), "long ago");
    }
}
