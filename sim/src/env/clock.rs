//! A node's clocks as functions of simulated time.
//!
//! The monotonic clock starts at a different reading on each node (so that whoever compares readings of two machines is
//! found out) and runs faster or slower by its drift. It is the machine's, not the process's: it goes on through crashes
//! and pauses. The wall clock runs with it, and is ahead of true time by its skew and its jumps.

use crate::plan;
use orrery::types::{Instant, Timestamp};

/// True time at the start of every run: 2026-01-01 00:00:00 UTC, in microseconds since 1970.
const START_UNIX_MICROS: i64 = 1_767_225_600_000_000;
const MILLION: i128 = 1_000_000;

/// The clocks of one node.
#[derive(Clone, Debug)]
pub struct SimClock {
    /// Simulated time of the last change of rate.
    base_ns: u64,
    /// Reading of the monotonic clock then.
    reading_ns: u64,
    drift_ppm: i32,
    /// Wall clock minus (start of the run + monotonic reading since the run began).
    skew_ns: i64,
    boot_ns: u64,
}

impl SimClock {
    /// Clocks of a node that booted `boot_ns` before the run.
    #[must_use]
    pub fn new(clock: plan::Clock, boot_ns: u64) -> Self {
        Self { base_ns: 0, reading_ns: boot_ns, drift_ppm: clock.drift_ppm, skew_ns: clock.skew_ns, boot_ns }
    }

    /// The monotonic reading at a simulated time.
    #[must_use]
    pub fn monotonic(&self, sim_ns: u64) -> Instant {
        let passed = i128::from(sim_ns.saturating_sub(self.base_ns));
        let local = passed + passed * i128::from(self.drift_ppm) / MILLION;
        Instant(self.reading_ns + u64::try_from(local).unwrap_or(0))
    }

    /// The wall clock at a simulated time.
    #[must_use]
    pub fn wall(&self, sim_ns: u64) -> Timestamp {
        let passed = self.monotonic(sim_ns).0 - self.boot_ns;
        let micros = (i64::try_from(passed).unwrap_or(i64::MAX).saturating_add(self.skew_ns)) / 1_000;
        Timestamp::from_unix_micros(START_UNIX_MICROS + micros)
    }

    /// The first simulated time, `sim_ns` at the earliest, at which the monotonic clock has reached a reading.
    #[must_use]
    pub fn when(&self, reading: Instant, sim_ns: u64) -> u64 {
        if reading.0 <= self.monotonic(sim_ns).0 {
            return sim_ns;
        }
        // "Never", as a machine that waits for nothing says it.
        if reading.0 > u64::MAX / 4 {
            return u64::MAX;
        }
        let local = i128::from(reading.0 - self.reading_ns);
        let passed = local * MILLION / (MILLION + i128::from(self.drift_ppm));
        let mut at = self.base_ns.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)).max(sim_ns);
        while self.monotonic(at).0 < reading.0 {
            at += 1; // rounding: at most a few steps
        }
        at
    }

    /// From now on the clocks run at another rate. The reading does not jump.
    pub fn set_drift(&mut self, sim_ns: u64, drift_ppm: i32) {
        self.reading_ns = self.monotonic(sim_ns).0;
        self.base_ns = sim_ns;
        self.drift_ppm = drift_ppm;
    }

    /// The present rate.
    #[must_use]
    pub const fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    /// The wall clock jumps.
    pub fn jump(&mut self, by_ns: i64) {
        self.skew_ns = self.skew_ns.saturating_add(by_ns);
    }

    /// How far the wall clock is from true time.
    #[must_use]
    pub const fn skew_ns(&self) -> i64 {
        self.skew_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_changes_the_rate_and_not_the_reading() {
        let mut clock = SimClock::new(plan::Clock { skew_ns: 0, drift_ppm: 200 }, 5_000);
        assert_eq!(clock.monotonic(0), Instant(5_000));
        assert_eq!(clock.monotonic(1_000_000), Instant(1_005_200));
        clock.set_drift(1_000_000, -200);
        assert_eq!(clock.monotonic(1_000_000), Instant(1_005_200));
        assert_eq!(clock.monotonic(2_000_000), Instant(2_005_000));
    }

    #[test]
    fn a_wake_comes_when_the_reading_is_reached_and_not_before() {
        for drift_ppm in [-500, -1, 0, 1, 333] {
            let clock = SimClock::new(plan::Clock { skew_ns: 0, drift_ppm }, 1_234_567);
            for wanted in [1_234_600, 2_000_000, 999_999_999_999] {
                let at = clock.when(Instant(wanted), 10);
                assert!(clock.monotonic(at).0 >= wanted);
                assert!(clock.monotonic(at - 2).0 < wanted, "late by more than the rounding");
            }
            assert_eq!(clock.when(Instant(0), 77), 77);
        }
    }

    #[test]
    fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
        let mut clock = SimClock::new(plan::Clock { skew_ns: 3_000_000, drift_ppm: 0 }, 0);
        let (wall, monotonic) = (clock.wall(1_000), clock.monotonic(1_000));
        clock.jump(-1_000_000_000);
        assert_eq!(clock.wall(1_000).0, wall.0 - 1_000_000);
        assert_eq!(clock.monotonic(1_000), monotonic);
    }
}
