//! How old what a follower lacks is.
//!
//! A leader notes when its log came how far, now and then. The oldest entry that a follower lacks was appended between the last
//! note that it has and the next one: so its age is known as well as notes lie apart. There are at most [`MAX_NOTES`]; when there
//! are more every second one goes, and from then on they lie twice as far apart. Notes that every follower has are of no more
//! use.
//!
//! # Invariants
//! - Notes are in order, of time and of the log.
//!
//! # Caveats
//! - A new leader knows nothing of the time before: what was appended under another one is as old as its own first note.

use super::Replica;
use crate::consensus::FollowerStatus;
use crate::planted;
use crate::types::{Duration, Instant, LogIndex, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most notes that are kept.
const MAX_NOTES: usize = 512;
/// How far apart notes lie at first.
const SPACING: Duration = Duration::from_millis(2);
/// From so many notes on it is worth asking which of them everybody has.
const MANY_NOTES: usize = 64;

/// When a leader's log came how far.
#[derive(Debug)]
pub(super) struct Ages {
    notes: VecDeque<(LogIndex, Instant)>,
    spacing: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self { notes: VecDeque::new(), spacing: SPACING }
    }
}

impl Ages {
    /// The leader's log has come to `last`.
    pub(super) fn note(&mut self, now: Instant, last: LogIndex) {
        match self.notes.back_mut() {
            Some((index, _)) if *index >= last => return,
            // Too near: one note for both, as of the earlier one.
            Some((index, at)) if now.since(*at) < self.spacing => {
                *index = last;
                return;
            }
            _ => self.notes.push_back((last, now)),
        }
        if self.notes.len() > MAX_NOTES {
            // Of two neighbours one stands for both: it reaches as far as the second and is as old as the first.
            let notes = self.notes.make_contiguous();
            let halved = notes.chunks(2).map(|pair| (pair[pair.len() - 1].0, pair[0].1)).collect();
            self.notes = halved;
            self.spacing = self.spacing.saturating_mul(2);
        }
    }

    /// Are there so many that some may be of no more use?
    pub(super) fn are_many(&self) -> bool {
        self.notes.len() >= MANY_NOTES
    }

    /// Everybody has the log up to here.
    pub(super) fn forget_through(&mut self, everywhere: LogIndex) {
        let known = self.notes.partition_point(|(index, _)| *index <= everywhere);
        self.notes.drain(..known);
        if self.notes.len() < MANY_NOTES {
            self.spacing = SPACING;
        }
    }

    /// For how long there has been something that a follower lacks who has the log up to `matched`.
    pub(super) fn behind(&self, now: Instant, matched: LogIndex) -> Duration {
        // Planted 224: it is asked how old the oldest note is, whoever has what it stands for.
        let lacking = self.notes.partition_point(|(index, _)| *index <= matched && !planted!(224));
        self.notes.get(lacking).map_or(Duration::ZERO, |(_, at)| now.since(*at))
    }
}

/// How far a follower is behind its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerFacts {
    /// Which node.
    pub node: NodeId,
    /// Its log equals the leader's up to here, durably.
    pub matched: LogIndex,
    /// Bytes of what it lacks; `None`: some of it is in checkpoints only.
    pub bytes: Option<u64>,
    /// For how many milliseconds it has lacked something.
    pub behind_ms: u64,
}

impl Replica {
    /// How far its followers are behind this leader, durably.
    #[must_use]
    pub fn lags(&self, now: Instant) -> Vec<FollowerFacts> {
        let fact = |FollowerStatus { node, matched, .. }: FollowerStatus| FollowerFacts {
            node,
            matched,
            bytes: self.consensus.bytes_behind(matched),
            behind_ms: u64::try_from(self.ages.behind(now, matched).as_millis()).unwrap_or(u64::MAX),
        };
        self.consensus.followers().into_iter().map(fact).collect()
    }

    /// Its log may have become longer.
    pub(super) fn note_age(&mut self, now: Instant) {
        if !self.leads {
            return;
        }
        self.ages.note(now, self.consensus.status().last);
        if self.ages.are_many()
            && let Some(everywhere) = self.consensus.followers().iter().map(|follower| follower.matched).min()
        {
            self.ages.forget_through(everywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn behind(ages: &Ages, now: u64, matched: u64) -> u64 {
        ages.behind(ms(now), LogIndex(matched)).as_millis() as u64
    }

    #[test]
    fn what_is_lacking_is_as_old_as_the_oldest_of_it() {
        let mut ages = Ages::default();
        assert_eq!(behind(&ages, 5, 0), 0);
        for (at, last) in [(10, 5), (11, 6), (20, 7), (30, 9)] {
            ages.note(ms(at), LogIndex(last));
        }
        let all: Vec<u64> = (4..=9).map(|matched| behind(&ages, 40, matched)).collect();
        assert_eq!(all, [30, 30, 20, 10, 10, 0]);
        ages.forget_through(LogIndex(7));
        assert_eq!((ages.notes.len(), behind(&ages, 50, 7)), (1, 20));
        ages.forget_through(LogIndex(9));
        assert_eq!((ages.notes.len(), behind(&ages, 60, 9)), (0, 0));
    }

    #[test]
    fn a_long_silence_costs_few_notes_and_loses_no_age() {
        let mut ages = Ages::default();
        for at in 0..100_000 {
            ages.note(ms(at), LogIndex(at + 1));
            assert!(ages.notes.len() <= MAX_NOTES);
        }
        assert!(ages.notes.make_contiguous().is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        for matched in [0, 1, 777, 50_000, 99_000] {
            let (exact, told) = (99_999 - matched, behind(&ages, 99_999, matched));
            let apart = ages.spacing.as_millis() as u64;
            assert!(
                told >= exact && told <= exact + apart + 2,
                "{matched}: {told}, exactly {exact}, notes {apart} apart"
            );
        }
        assert_eq!(behind(&ages, 100_000, 100_000), 0);
    }
}
