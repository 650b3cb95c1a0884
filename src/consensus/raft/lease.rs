//! **Leases**: reads without a round (thesis §6.4.1, mended after rules A7).
//!
//! Every heartbeat asks for a promise: that its receiver will help nobody else to be elected, itself included, for a length of
//! time that is fixed, and that is told in the answer. While a quorum's promises run nobody can be elected, and the leader answers
//! reads at once. The length is a setting; 0 switches leases off.
//!
//! - A voter counts from the moment at which it *received* the heartbeat, the leader from the one at which it *sent* it, and
//!   ends earlier by twice the error of a clock ([`CLOCK_ERROR`]). So the leader's share of a promise ends before the voter's.
//! - The promise is apart from suspicion: suspicion says when to ask, the promise that the answer is no. Being told that the leader's
//!   process has ended does not end it either: that is a hint.
//! - Who restarts does not know when it last promised: it keeps still for the longest promise that it can have given. How long that
//!   is stands in its hard state, before it is given, so that a changed setting changes nothing of the past.
//! - The only way round is a hand-over. Before a leader calls its successor it gives its lease up for the rest of its era: the call
//!   may arrive at any later time ([`super::transfer`]).
//! - Clocks are **watched**: answers carry the voter's reading, and what lies between sending and receiving bounds how far it can have
//!   run meanwhile. Only the promise of a voter whose clock is *proved* to run as the leader's does counts; one that is proved
//!   not to counts for nothing until it is proved again. Without enough of them the leader proves each read by a round.
//!
//! # Why it is safe
//! Let a quorum's promises, of which the last was asked for at s, cover a read at r, on the leader's clock r − s < L·(1−2ε). A voter among
//! them received after s and keeps still for L of its own clock. If its clock gains less than 2ε on the leader's, L is not over at
//! r. Every later leader needs a voter of that quorum (also while the membership changes: see [`super::recovery`], quorums of
//! memberships that follow each other meet), so that at r there is none, and all that was acknowledged is in the leader's log.
//! A promise is not void by an election that was called: who calls has given its lease up, and older leaders' leases
//! were over when it was elected.
//!
//! # Caveats
//! - It rests on clocks that go on, also while the machine sleeps (`CLOCK_BOOTTIME`). A hypervisor that stops a machine and lets it go on
//!   later stops its clock: such a leader may answer from the past for as long as a lease lasts. This is why leases are off unless
//!   asked for.
//! - A rate that changes all at once is found out when what it has made of the time since outweighs the even time before, of which up to
//!   twenty seconds are looked at: a clock that begins to gain a tenth is trusted for up to five seconds.
//! - A leader that dies leaves promises: nobody takes over before they are over. A node that is alone waits for its own, too, when it
//!   starts: that nobody else has led meanwhile is more than it knows. (Who was alone was once let off. But a group moves from one
//!   node to another by way of a membership that is in force before it is settled.)

use super::core::Core;
use crate::planted;
use crate::sometimes;
use crate::types::{Duration, Instant};

/// ε in parts per thousand: so far may a clock be off. Quartz is off by a twentieth of a thousandth.
pub(super) const CLOCK_ERROR: u32 = 10;
/// A reading serves as the beginning of a measurement for so long, and then once more as long.
const MEASURED: Duration = Duration::from_secs(10);

/// What a leader knows of a follower's promises.
#[derive(Debug, Default)]
pub(super) struct Promised {
    /// On the leader's clock, the errors of both deducted.
    until: Instant,
    clock: Watch,
}

/// An answer to a heartbeat, with clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The leader's clock when the heartbeat was sent, and when the answer came.
    pub(super) sent: Instant,
    pub(super) received: Instant,
    /// The follower's in between.
    pub(super) theirs: Instant,
    /// So long it promises to keep still.
    pub(super) promise: Duration,
}

impl Promised {
    /// Takes an answer.
    pub(super) fn answered(&mut self, answer: Answer) {
        self.clock.look(answer);
        // Planted 47: measured from when the answer came.
        let from = if planted!(47) { answer.received } else { answer.sent };
        let length = if planted!(48) { answer.promise } else { usable(answer.promise) };
        self.until = self.until.max(from + length);
    }

    /// Until when this promise helps the leader.
    pub(super) fn until(&self) -> Instant {
        // Planted 48: whatever the clocks do.
        if self.clock.proved || planted!(48) { self.until } else { Instant(0) }
    }
}

/// What is left of a promise when both clocks may be wrong.
fn usable(promise: Duration) -> Duration {
    promise.saturating_sub(promise * (2 * CLOCK_ERROR) / 1000)
}

/// Compares a follower's clock with the leader's.
#[derive(Debug, Default)]
struct Watch {
    /// Where measurements begin: the older one, if there are two.
    begun: [Option<Answer>; 2],
    last: Option<Answer>,
    /// It runs as it should, as far as is known.
    proved: bool,
}

/// What two readings say.
#[derive(PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Unclear,
}

impl Watch {
    fn look(&mut self, answer: Answer) {
        if self.last.is_some_and(|last| answer.sent <= last.sent) {
            // It was overtaken on its way, or is a copy: that its clock shows less says nothing against it.
            sometimes!("raft.clock_of_a_late_answer");
            return;
        }
        let [older, newer] = self.begun;
        let wrong = |before: &Answer| judge(before, &answer) == Verdict::Wrong;
        if [older, newer, self.last].iter().flatten().any(wrong) {
            sometimes!("raft.clock_out_of_bounds");
            *self = Self { begun: [None, Some(answer)], last: Some(answer), proved: false };
            return;
        }
        if older.or(newer).is_some_and(|before| judge(&before, &answer) == Verdict::Right) {
            self.proved = true;
        }
        if newer.is_none_or(|newer| answer.sent.since(newer.sent) >= MEASURED) {
            self.begun = [newer, Some(answer)];
        }
        self.last = Some(answer);
    }
}

/// Does the follower's clock run as the leader's, within twice the error of one?
fn judge(before: &Answer, after: &Answer) -> Verdict {
    if after.theirs < before.theirs {
        return Verdict::Wrong;
    }
    let theirs = after.theirs.since(before.theirs).as_nanos();
    let most = after.received.since(before.sent).as_nanos();
    let least = after.sent.since(before.received).as_nanos();
    let (low, high) = (u128::from(1000 - 2 * CLOCK_ERROR), u128::from(1000 + 2 * CLOCK_ERROR));
    if theirs * 1000 > most * high || theirs * 1000 < least * low {
        Verdict::Wrong
    } else if theirs * 1000 <= least * high && theirs * 1000 >= most * low {
        Verdict::Right
    } else {
        Verdict::Unclear
    }
}

impl Core {
    /// Time goes on. The first one told is the beginning of this life.
    pub(super) fn tell(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let began = *self.began.get_or_insert_with(|| {
            // Planted 240: the promises of an earlier life are forgotten with it.
            if !planted!(240) {
                self.promised = self.now + self.hard.lease;
            }
            self.now
        });
        if self.hard.lease > self.settings.lease && self.now >= began + self.hard.lease {
            // Whatever was promised under another setting is over.
            self.hard.lease = self.settings.lease;
        }
    }

    /// A leader asks for a promise of this length; what is given.
    pub(super) fn promise(&mut self, asked: Duration) -> Duration {
        let length = asked.min(self.settings.lease);
        let mut until = self.now + length;
        if planted!(242) {
            // Who suspects its leader is bound by nothing.
            until = until.min(self.detector.suspected_at());
        }
        self.promised = self.promised.max(until);
        length
    }

    /// Has it promised not to help anybody to be elected, itself included? Also when it has become the only voter: its promise is what
    /// the leader before it reads by.
    pub(super) fn abstains(&self) -> bool {
        self.now < self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    /// Sent, received, theirs, in milliseconds; a promise of a second.
    fn answer(sent: u64, received: u64, theirs: u64) -> Answer {
        Answer { sent: ms(sent), received: ms(received), theirs: ms(theirs), promise: Duration::from_secs(1) }
    }

    #[test]
    fn a_promise_counts_from_its_sending_and_less_than_it_lasts() {
        let mut promised = Promised::default();
        promised.answered(answer(1000, 1400, 7_001_200));
        assert_eq!(promised.until(), Instant(0), "nothing is known of the clock");
        promised.answered(answer(101_000, 101_400, 7_101_200));
        assert_eq!(promised.until(), ms(101_980), "two per cent less, from the sending");
        promised.answered(answer(100_000, 101_500, 7_101_300));
        assert_eq!(promised.until(), ms(101_980), "a late answer takes nothing back");
    }

    #[test]
    fn a_clock_is_trusted_when_it_is_proved_and_until_it_is_refuted() {
        let mut watch = Watch::default();
        watch.look(answer(1000, 1010, 500));
        watch.look(answer(1050, 1060, 550));
        assert!(!watch.proved, "fifty milliseconds, give or take ten, prove nothing");
        watch.look(answer(2500, 2510, 2000));
        assert!(watch.proved, "a second and a half do");
        watch.look(answer(2550, 2950, 2400));
        assert!(watch.proved, "an answer that took long says little, and nothing against it");
        watch.look(answer(3000, 3010, 2900));
        assert!(!watch.proved, "it has gained four hundred");
        watch.look(answer(3050, 3060, 2950));
        assert!(!watch.proved);
        watch.look(answer(5050, 5060, 4950));
        assert!(watch.proved, "and runs evenly since");
        watch.look(answer(5100, 5110, 4000));
        assert!(!watch.proved, "it goes back: another machine, or the same after a start");
        for (sent, theirs) in [(5150, 4050), (7150, 6050)] {
            watch.look(answer(sent, sent + 10, theirs));
        }
        assert!(watch.proved, "and runs evenly since then");
        watch.look(answer(7100, 7200, 6000));
        assert!(watch.proved, "an answer that was overtaken by a later one says nothing");
    }

    #[test]
    fn a_clock_that_is_off_from_the_beginning_is_never_trusted() {
        for percent in [90, 95, 105, 150] {
            let mut watch = Watch::default();
            for beat in 0..10_000 {
                let at = beat * 50;
                watch.look(answer(at, at + 4, (at + 2) * percent / 100));
                assert!(!watch.proved, "{percent} % after {beat} heartbeats");
            }
        }
        let mut watch = Watch::default();
        for beat in 0..10_000 {
            let at = beat * 50;
            watch.look(answer(at, at + 4, (at + 2) * 1001 / 1000));
        }
        assert!(watch.proved, "a thousandth is nothing");
    }
}
