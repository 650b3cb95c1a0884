//! What a leader knows of one follower, and how it paces what it sends.
//!
//! - **Probe**: the leader does not know where the logs meet. One append is under way at a time.
//! - **Replicate**: they meet; appends follow each other without waiting, up to `max_inflight` of them.

use super::lease::Promised;
use crate::types::{Duration, Instant, LogIndex};
use crate::{planted, sometimes};
use std::collections::VecDeque;

/// Mode of sending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// `waiting`: since when an append is under way.
    Probe { waiting: Option<Instant> },
    /// The appends under way, in order.
    Replicate { inflight: VecDeque<Append> },
}

/// An append under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Append {
    last: LogIndex,
    since: Instant,
    bytes: usize,
}

/// Milliseconds more that each megabyte under way is given to travel and to be written. A follower that is alive and busy
/// writing is not helped by the same again.
const MEGABYTE_MS: u64 = 100;

/// One follower.
#[derive(Debug)]
pub(super) struct Progress {
    /// Its log is known to equal ours up to here, durably.
    pub(super) matched: LogIndex,
    /// First index not sent.
    pub(super) next: LogIndex,
    pub(super) pace: Pace,
    /// When it last said anything in this era.
    pub(super) heard: Instant,
    /// Last round of reads' proofs that it has answered.
    pub(super) round: u64,
    /// Its promises to elect nobody else.
    pub(super) promised: Promised,
    /// It recovers, or is not sure yet that it has nothing to recover: what it holds counts for nothing.
    pub(super) recovering: bool,
    /// It belongs to the group no more, and is only told so until then.
    pub(super) leaving: Option<Instant>,
    /// Highest `committed` that it has been told and could use.
    pub(super) told: LogIndex,
}

impl Progress {
    /// At the beginning of a leadership: the logs may well meet at our end.
    pub(super) fn new(now: Instant, next: LogIndex) -> Self {
        Self {
            matched: LogIndex(0),
            next,
            pace: Pace::Probe { waiting: None },
            heard: now,
            round: 0,
            promised: Promised::default(),
            recovering: false,
            leaving: None,
            told: LogIndex(0),
        }
    }

    /// May an append leave now?
    pub(super) fn may_send(&self, max_inflight: usize) -> bool {
        match &self.pace {
            Pace::Probe { waiting } => waiting.is_none(),
            Pace::Replicate { inflight } => inflight.len() < max_inflight,
        }
    }

    /// Is nothing under way that will tell the follower more?
    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.pace, Pace::Replicate { inflight } if inflight.is_empty())
    }

    /// An append up to `last` has left.
    pub(super) fn sent(&mut self, now: Instant, last: LogIndex, bytes: usize) {
        match &mut self.pace {
            // Where to go on is known when the answer is there.
            Pace::Probe { waiting } => *waiting = Some(now),
            Pace::Replicate { inflight } => {
                inflight.push_back(Append { last, since: now, bytes });
                self.next = last.next();
            }
        }
    }

    /// It was told where our log begins: nothing more before it answers, or is asked again.
    pub(super) fn told_to_catch_up(&mut self, now: Instant) {
        self.pace = Pace::Probe { waiting: Some(now) };
    }

    /// The follower holds our log up to `matched`.
    pub(super) fn matched(&mut self, matched: LogIndex) {
        if planted!(20) && matched < self.matched {
            // Truxify#8670: an answer below what is matched is taken for a late one, though `next` was set back to there.
            return;
        }
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        match &mut self.pace {
            Pace::Probe { .. } => {
                self.next = self.matched.next();
                self.pace = Pace::Replicate { inflight: VecDeque::new() };
            }
            Pace::Replicate { inflight } => inflight.retain(|append| append.last > matched),
        }
    }

    /// The follower's log does not meet ours at `previous`; it cannot match behind `possible`.
    ///
    /// A late copy of such an answer is not told from a fresh one: a follower whose disk lost what it had acknowledged
    /// (rules A12) says the same, and must be refilled. Believing a late copy costs one append too many.
    pub(super) fn rejected(&mut self, previous: LogIndex, possible: LogIndex) {
        if matches!(self.pace, Pace::Probe { waiting: Some(_) }) && previous != self.next.previous() {
            // Answers to what was in the pipeline when it broke; the probe's own is still to come.
            return;
        }
        sometimes!("raft.acknowledged_entries_missing", previous <= self.matched);
        let last_match = possible.min(previous.previous());
        if !planted!(20) {
            self.matched = self.matched.min(last_match);
        }
        self.next = last_match.next();
        self.pace = Pace::Probe { waiting: None };
    }

    /// The leader has not listened for so long: what is under way may have been answered.
    pub(super) fn paused(&mut self, now: Instant, length: Duration) {
        let later = |instant: &mut Instant| *instant = (*instant + length).min(now);
        later(&mut self.heard);
        match &mut self.pace {
            Pace::Probe { waiting } => waiting.iter_mut().for_each(later),
            Pace::Replicate { inflight } => inflight.iter_mut().for_each(|append| later(&mut append.since)),
        }
    }

    /// The follower is alive: an append that it should have answered long ago is taken for lost.
    pub(super) fn retry_overdue(&mut self, now: Instant, patience: Duration) {
        match &mut self.pace {
            Pace::Probe { waiting } => {
                if waiting.is_some_and(|since| now.since(since) >= patience) {
                    *waiting = None;
                }
            }
            Pace::Replicate { inflight } => {
                let bytes: usize = inflight.iter().map(|append| append.bytes).sum();
                let patience = patience + Duration::from_millis((bytes >> 20) as u64 * MEGABYTE_MS);
                if inflight.front().is_some_and(|append| now.since(append.since) >= patience) {
                    sometimes!("raft.append_presumed_lost");
                    self.next = self.matched.next();
                    self.pace = Pace::Probe { waiting: None };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant(1_000_000);

    #[test]
    fn a_probe_waits_for_its_answer_then_appends_are_pipelined() {
        let mut progress = Progress::new(AT, LogIndex(8));
        assert!(progress.may_send(2));
        progress.sent(AT, LogIndex(8), 100);
        assert!(!progress.may_send(2));
        progress.rejected(LogIndex(7), LogIndex(4));
        assert_eq!(progress.next, LogIndex(5));
        progress.sent(AT, LogIndex(6), 100);
        progress.rejected(LogIndex(7), LogIndex(4));
        assert!(!progress.may_send(2), "a late answer does not end the wait for the probe's own");
        progress.matched(LogIndex(6));
        assert!(progress.is_idle());
        progress.sent(AT, LogIndex(7), 100);
        progress.sent(AT, LogIndex(8), 100);
        assert!(!progress.may_send(2));
        progress.matched(LogIndex(7));
        assert!(progress.may_send(2));
        assert_eq!((progress.matched, progress.next), (LogIndex(7), LogIndex(9)));
    }

    #[test]
    fn next_stays_behind_matched_whatever_comes_late() {
        let mut progress = Progress::new(AT, LogIndex(3));
        progress.matched(LogIndex(9));
        progress.matched(LogIndex(2));
        assert_eq!((progress.matched, progress.next), (LogIndex(9), LogIndex(10)));
        progress.rejected(LogIndex(2), LogIndex(5));
        assert_eq!((progress.matched, progress.next), (LogIndex(1), LogIndex(2)));
    }

    #[test]
    fn an_overdue_append_is_sent_again() {
        let patience = Duration::from_millis(100);
        let mut progress = Progress::new(AT, LogIndex(1));
        progress.matched(LogIndex(0));
        progress.sent(AT, LogIndex(4), 100);
        progress.retry_overdue(AT + Duration::from_millis(99), patience);
        assert_eq!(progress.next, LogIndex(5));
        progress.retry_overdue(AT + patience, patience);
        assert_eq!(progress.next, LogIndex(1));
        assert!(progress.may_send(1));
    }

    #[test]
    fn a_large_append_is_given_more_time() {
        let patience = Duration::from_millis(100);
        let mut progress = Progress::new(AT, LogIndex(1));
        progress.matched(LogIndex(0));
        progress.sent(AT, LogIndex(4), 3 << 20);
        progress.retry_overdue(AT + Duration::from_millis(399), patience);
        assert_eq!(progress.next, LogIndex(5));
        progress.retry_overdue(AT + Duration::from_millis(400), patience);
        assert_eq!(progress.next, LogIndex(1));
    }
}
