//! **Failure detection**: when a silent leader is suspected to have failed. Pure: it is told what was heard, and when.
//!
//! A suspicion decides nothing but when a follower *asks* whether it would be elected (pre-vote), and whether it would answer
//! such a question of another with yes. So a wrong one costs messages, and unseats a leader only if a quorum shares it; no
//! safety rests on any of this. One strategy is chosen by a setting, each behind [`Detector`]:
//!
//! - [`Detection::Phi`] (default): N. Hayashibara, X. Défago, R. Yared, T. Katayama, *The φ accrual failure detector* (SRDS
//!   2004). From the intervals between the last heartbeats it takes how improbable the present silence is, as the negative
//!   decimal logarithm φ of the probability that a living leader's next heartbeat comes even later. A leader whose heartbeats
//!   come unevenly is so given more time than one that is punctual.
//! - [`Detection::Fixed`]: a fixed time, whatever was observed.
//! - [`Detection::Progress`]: likewise, and besides a leader is suspected that speaks and gets nothing done: there are entries
//!   that it has sent, and for several time-outs none of them was chosen.
//!
//! # In fixed point
//! Replicas have no floats where anything is decided (rules A7). Times are microseconds, φ is in thousandths, and comes from
//! a table of −log₁₀ of the normal distribution's tail in quarters of a standard deviation, between which it is linear.
//!
//! # Invariants
//! - Nobody is suspected before the shortest patience is over, nor later than [`LONGEST`] times that: a history of bad days
//!   must not make a group deaf.
//! - Time in which nobody listened is no silence ([`Detector::paused`]).
//! - Appends are signs of life and no samples: they come whenever somebody writes, and would make every rest of the writers
//!   look improbable. A heartbeat that comes early (reads ask for them) counts as one that was punctual.
//!
//! # Caveats
//! - What the peer's own machine says (nobody listens there any more) is not here: it needs no patience (`Consensus::peer_gone`).
//! - Progress takes a leader whose entries are slow to be chosen for one that is stuck. It is for whoever prefers an election
//!   to a group that stands still, and waits for long.

use crate::types::{Duration, Instant, LogIndex};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt::Debug;

/// No patience is longer than so many times the shortest.
pub const LONGEST: u32 = 4;
/// A suspicion of so many thousandths is one.
pub const SUSPECTED: u32 = 1000;

/// Which strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detection {
    /// φ accrual.
    #[default]
    Phi,
    /// A fixed time.
    Fixed,
    /// A fixed time, and what is sent is chosen.
    Progress,
}

impl Detection {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("phi", Self::Phi), ("fixed", Self::Fixed), ("progress", Self::Progress)];

    /// As settings have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, detection)| *detection == self).map_or("phi", |(name, _)| name)
    }

    /// The strategy of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, detection)| *detection)
    }

    /// A detector that has heard nothing. `interval`: of heartbeats. `patience`: the shortest.
    #[must_use]
    pub fn build(self, interval: Duration, patience: Duration) -> Box<dyn Detector> {
        match self {
            Self::Phi => Box::new(Phi::new(interval, patience)),
            Self::Fixed => Box::new(Fixed { heard: Instant::default(), patience }),
            Self::Progress => Box::new(Progress {
                fixed: Fixed { heard: Instant::default(), patience },
                chosen: LogIndex(0),
                stuck: None,
            }),
        }
    }
}

/// Watches one leader at a time.
pub trait Detector: Debug + Send {
    /// From now on another one is watched, or the same anew: nothing of before is held against it.
    fn begin(&mut self, now: Instant);

    /// It has been heard. `regular`: by what comes at regular intervals.
    fn alive(&mut self, now: Instant, regular: bool);

    /// This is chosen, and this is the last that it has sent.
    fn got_on(&mut self, _now: Instant, _chosen: LogIndex, _last: LogIndex) {}

    /// Nobody has listened for so long, up to now.
    fn paused(&mut self, now: Instant, length: Duration);

    /// When it will be suspected, if nothing more is heard.
    fn suspected_at(&self) -> Instant;

    /// How suspicious it is, in thousandths of a suspicion: [`SUSPECTED`] from [`Detector::suspected_at`] on.
    fn level(&self, now: Instant) -> u32;
}

/// Thousandths of `whole` that have passed, never a suspicion before it is one.
fn share(passed: Duration, whole: Duration) -> u32 {
    let thousandths = passed.as_micros() * u128::from(SUSPECTED) / whole.as_micros().max(1);
    let level = u32::try_from(thousandths).unwrap_or(u32::MAX).min(10 * SUSPECTED);
    if passed < whole { level.min(SUSPECTED - 1) } else { level.max(SUSPECTED) }
}

#[derive(Debug)]
struct Fixed {
    heard: Instant,
    patience: Duration,
}

impl Detector for Fixed {
    fn begin(&mut self, now: Instant) {
        self.heard = now;
    }

    fn alive(&mut self, now: Instant, _: bool) {
        self.heard = now;
    }

    fn paused(&mut self, now: Instant, length: Duration) {
        self.heard = (self.heard + length).min(now);
    }

    fn suspected_at(&self) -> Instant {
        self.heard + self.patience
    }

    fn level(&self, now: Instant) -> u32 {
        share(now.since(self.heard), self.patience)
    }
}

#[derive(Debug)]
struct Progress {
    fixed: Fixed,
    chosen: LogIndex,
    /// Since when there has been something to be chosen, and nothing was.
    stuck: Option<Instant>,
}

impl Progress {
    fn patience(&self) -> Duration {
        self.fixed.patience * LONGEST
    }
}

impl Detector for Progress {
    fn begin(&mut self, now: Instant) {
        self.fixed.begin(now);
        self.stuck = None;
    }

    fn alive(&mut self, now: Instant, regular: bool) {
        self.fixed.alive(now, regular);
    }

    fn got_on(&mut self, now: Instant, chosen: LogIndex, last: LogIndex) {
        let moved = chosen > self.chosen;
        self.chosen = self.chosen.max(chosen);
        if last <= self.chosen {
            self.stuck = None;
        } else if moved || self.stuck.is_none() {
            self.stuck = Some(now);
        }
    }

    fn paused(&mut self, now: Instant, length: Duration) {
        self.fixed.paused(now, length);
        self.stuck = self.stuck.map(|since| (since + length).min(now));
    }

    fn suspected_at(&self) -> Instant {
        let silent = self.fixed.suspected_at();
        self.stuck.map_or(silent, |since| silent.min(since + self.patience()))
    }

    fn level(&self, now: Instant) -> u32 {
        let stuck = self.stuck.map_or(0, |since| share(now.since(since), self.patience()));
        self.fixed.level(now).max(stuck)
    }
}

/// So many intervals are remembered.
const WINDOW: usize = 32;
/// A suspicion, in thousandths of φ: once in 10⁸ heartbeats, were they as evenly spread as the model has it.
const THRESHOLD: u32 = 8000;
/// Steps of the table to a standard deviation.
const STEPS: u64 = 4;
/// φ in thousandths at 0, ¼, ½, … standard deviations after the mean.
const PHI: [u32; 41] = [
    301, 397, 511, 645, 800, 976, 1175, 1397, 1643, 1913, 2207, 2526, 2870, 3239, 3633, 4053, 4499, 4971, 5469, 5993,
    6543, 7119, 7721, 8350, 9006, 9688, 10396, 11131, 11893, 12681, 13496, 14338, 15206, 16101, 17023, 17972, 18947,
    19950, 20979, 22035, 23118,
];

#[derive(Debug)]
struct Phi {
    /// Microseconds between heartbeats.
    nominal: u64,
    patience: Duration,
    heard: Instant,
    /// When the last heartbeat came, if it was this leader's.
    beat: Option<Instant>,
    /// Intervals in microseconds, their sum, and that of their squares.
    window: VecDeque<u64>,
    sum: u64,
    squares: u128,
}

impl Phi {
    fn new(interval: Duration, patience: Duration) -> Self {
        let nominal = micros(interval).max(1);
        let mut phi = Self {
            nominal,
            patience,
            heard: Instant::default(),
            beat: None,
            window: VecDeque::with_capacity(WINDOW),
            sum: 0,
            squares: 0,
        };
        phi.sample(nominal);
        phi
    }

    fn sample(&mut self, interval: u64) {
        if self.window.len() == WINDOW
            && let Some(oldest) = self.window.pop_front()
        {
            self.sum -= oldest;
            self.squares -= u128::from(oldest) * u128::from(oldest);
        }
        // A long silence that was none of the leader's would spoil the window for long.
        let interval = interval.clamp(self.nominal, micros(self.patience * LONGEST).max(self.nominal));
        self.window.push_back(interval);
        self.sum += interval;
        self.squares += u128::from(interval) * u128::from(interval);
    }

    /// Mean and standard deviation in microseconds; the latter at least a quarter of the interval, for no clock is punctual.
    fn moments(&self) -> (u64, u64) {
        let count = self.window.len().max(1) as u64;
        let mean = self.sum / count;
        let variance = (self.squares / u128::from(count)).saturating_sub(u128::from(mean) * u128::from(mean));
        let deviation = u64::try_from(variance).unwrap_or(u64::MAX).isqrt();
        (mean, deviation.max(self.nominal / 4).max(1))
    }

    /// φ of a silence, in thousandths.
    fn phi(&self, silence: Duration) -> u32 {
        let (mean, deviation) = self.moments();
        let beyond = micros(silence).saturating_sub(mean);
        let steps = beyond.saturating_mul(STEPS) / deviation;
        let Some(place) = usize::try_from(steps).ok().filter(|place| place + 1 < PHI.len()) else {
            return PHI[PHI.len() - 1];
        };
        let rest = beyond.saturating_mul(STEPS) % deviation;
        let rise = u64::from(PHI[place + 1] - PHI[place]) * rest / deviation;
        PHI[place] + u32::try_from(rise).unwrap_or(0)
    }

    /// The silence at which φ reaches the threshold, within the bounds.
    fn limit(&self) -> Duration {
        let (mean, deviation) = self.moments();
        let place = PHI.partition_point(|phi| *phi < THRESHOLD).max(1);
        let (low, high) = (PHI[place - 1], PHI[place.min(PHI.len() - 1)]);
        let part = u64::from(THRESHOLD - low) * deviation / u64::from(high - low).max(1);
        let beyond = ((place as u64 - 1) * deviation + part) / STEPS;
        Duration::from_micros(mean.saturating_add(beyond)).clamp(self.patience, self.patience * LONGEST)
    }
}

impl Detector for Phi {
    fn begin(&mut self, now: Instant) {
        // What was learned of the network stays: the next leader's heartbeats travel over the same.
        (self.heard, self.beat) = (now, None);
    }

    fn alive(&mut self, now: Instant, regular: bool) {
        self.heard = now;
        let before = if regular { self.beat.replace(now) } else { None };
        if let Some(before) = before {
            self.sample(micros(now.since(before)));
        }
    }

    fn paused(&mut self, now: Instant, length: Duration) {
        self.heard = (self.heard + length).min(now);
        // What comes next comes at no interval.
        self.beat = None;
    }

    fn suspected_at(&self) -> Instant {
        self.heard + self.limit()
    }

    fn level(&self, now: Instant) -> u32 {
        let silence = now.since(self.heard);
        let level = self.phi(silence) * SUSPECTED / THRESHOLD;
        if silence < self.limit() { level.min(SUSPECTED - 1) } else { level.max(SUSPECTED) }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant(1_000_000_000 + ms * 1_000_000)
    }

    /// A detector that has heard heartbeats after these intervals, and when the last one came.
    fn heard(intervals: &[u64]) -> (Phi, u64) {
        let mut phi = Phi::new(BEAT, PATIENCE);
        let mut now = 0;
        phi.begin(at(0));
        phi.alive(at(0), true);
        for interval in intervals {
            now += interval;
            phi.alive(at(now), true);
        }
        (phi, now)
    }

    #[test]
    fn who_is_punctual_is_given_less_time_than_who_is_not() {
        let (punctual, end) = heard(&[50; 40]);
        // 50 ms, and 5.61 deviations of 12.5 ms.
        assert_eq!(punctual.suspected_at(), at(end) + Duration::from_micros(120_136));
        let (uneven, end) = heard(&[50, 110, 50, 90, 60, 150, 50, 80, 120, 50]);
        assert!(uneven.suspected_at() > at(end + 220), "{:?}", uneven.limit());
        let (slow, _) = heard(&[2000; 40]);
        assert_eq!(slow.limit(), PATIENCE * LONGEST, "patience has an end");
    }

    #[test]
    fn phi_is_the_logarithm_of_the_tail() {
        let (phi, _) = heard(&[50; 40]);
        assert_eq!(phi.phi(Duration::from_millis(50)), 301, "half of all come later than the mean");
        assert_eq!(phi.phi(Duration::from_micros(75_000)), 1643, "two deviations");
        assert_eq!(phi.phi(Duration::from_secs(9)), 23_118, "the table has an end");
        let levels: Vec<u32> = (0..40).map(|tenth| phi.phi(Duration::from_millis(tenth * 10))).collect();
        assert!(levels.is_sorted(), "{levels:?}");
    }

    #[test]
    fn appends_are_signs_of_life_and_no_samples() {
        let (mut phi, end) = heard(&[50; 10]);
        let before = phi.limit();
        for ms in 1..400 {
            phi.alive(at(end + ms), false);
        }
        assert_eq!(phi.limit(), before);
        assert_eq!(phi.suspected_at(), at(end + 399) + before);
    }

    #[test]
    fn a_pause_is_no_silence_and_no_interval() {
        for (name, detection) in Detection::ALL {
            let mut detector = detection.build(BEAT, PATIENCE);
            detector.begin(at(0));
            detector.alive(at(0), true);
            detector.alive(at(50), true);
            let before = detector.suspected_at();
            detector.paused(at(1000), Duration::from_millis(940));
            assert_eq!(detector.suspected_at(), before + Duration::from_millis(940), "{name}");
            detector.alive(at(1010), true);
            detector.alive(at(1060), true);
            assert_eq!(detector.suspected_at(), before + Duration::from_millis(1010), "{name}");
        }
    }

    #[test]
    fn the_level_reaches_a_suspicion_when_it_is_one() {
        for (name, detection) in Detection::ALL {
            let mut detector = detection.build(BEAT, PATIENCE);
            detector.begin(at(0));
            for beat in 0..20 {
                detector.alive(at(beat * 50), true);
            }
            let end = detector.suspected_at();
            assert!(detector.level(Instant(end.0 - 1_000_000)) < SUSPECTED, "{name}");
            assert!(detector.level(end) >= SUSPECTED, "{name}");
            assert!(detector.level(at(950)) < SUSPECTED, "{name}");
            assert_eq!(Detection::of_name(name), Some(detection));
        }
    }

    #[test]
    fn a_leader_that_speaks_and_gets_nothing_done_is_suspected() {
        let mut detector = Detection::Progress.build(BEAT, PATIENCE);
        detector.begin(at(0));
        for beat in 0..8 {
            detector.alive(at(beat * 50), true);
            detector.got_on(at(beat * 50), LogIndex(5), LogIndex(7));
        }
        assert_eq!(detector.suspected_at(), at(400), "since 0");
        detector.got_on(at(350), LogIndex(6), LogIndex(7));
        assert_eq!(detector.suspected_at(), at(450), "it got on: silence alone counts, and the rest from now");
        detector.got_on(at(360), LogIndex(7), LogIndex(7));
        assert_eq!(detector.suspected_at(), at(450));
    }
}
