//! **Throttle**: how fast a worker sends states to replicas that lack theirs, beside its work.
//!
//! A state is pulled, chunk by chunk ([`crate::partition::transfer`]); whoever sends decides when the next chunk is due. The setting is
//! of the whole cluster (`recovery_rate`) and counts for a node; its workers have equal shares.
//!
//! # Invariants
//! - Nothing is saved up: between two chunks lies at least the time that the first one's bytes take at the rate in force.
//! - Who has to wait is told for how long, so that it neither repeats itself nor gives up; and it is told of the present rate, so that
//!   a setting that is raised is felt when the next request comes.
//!
//! # Caveats
//! - What is refilled from a leader's log is not throttled: it is bounded by what logs keep.
//! - A state that is sent is held, and the log behind it is kept, for as long as that takes: see [`crate::partition::transfer`]. When that
//!   has become too much it is sent as fast as it comes.
//! - Of two who wait the one that is nearer asks first, and is served first.

use crate::planted;
use crate::types::{Duration, Instant};

/// Smallest chunk that is sent, whatever the rate.
const LEAST: u64 = 4096;
/// Nobody waits for longer before he asks again.
const LONGEST: Duration = Duration::from_secs(5);

/// What was sent last.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    sent: Option<(Instant, u64)>,
}

impl Throttle {
    /// How long a request must wait. `rate`: bytes a second; 0: as fast as they come.
    pub(super) fn wait(&self, now: Instant, rate: u64) -> Option<Duration> {
        let (at, bytes) = self.sent.filter(|_| rate > 0)?;
        let due = at + Duration::from_nanos(u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).ok()?);
        (now < due).then(|| due.since(now).min(LONGEST))
    }

    /// A chunk was sent.
    pub(super) fn sent(&mut self, now: Instant, bytes: u64) {
        // Planted 189: nobody counts what is sent.
        if bytes > 0 && !planted!(189) {
            self.sent = Some((now, bytes));
        }
    }

    /// Size of a chunk at this rate: an eighth of a second's, so that nobody waits for long.
    pub(super) fn chunk_bytes(rate: u64, most: usize) -> usize {
        if rate == 0 { most } else { usize::try_from((rate / 8).max(LEAST)).unwrap_or(most).min(most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_go_out_at_the_rate_and_nothing_is_saved_up() {
        let mut throttle = Throttle::default();
        let ms = |ms: u64| Instant(ms * 1_000_000);
        assert_eq!(throttle.wait(ms(0), 1000), None);
        throttle.sent(ms(0), 500);
        assert_eq!(throttle.wait(ms(100), 1000), Some(Duration::from_millis(400)));
        assert_eq!(throttle.wait(ms(100), 5000), None, "the rate in force counts");
        assert_eq!(throttle.wait(ms(100), 0), None);
        assert_eq!(throttle.wait(ms(500), 1000), None);
        throttle.sent(ms(60_000), 500);
        assert_eq!(throttle.wait(ms(60_000), 1000), Some(Duration::from_millis(500)), "idle time is no credit");
        assert_eq!(throttle.wait(ms(60_000), 1), Some(LONGEST));
    }

    #[test]
    fn chunks_are_as_small_as_the_rate_wants_them() {
        assert_eq!(Throttle::chunk_bytes(0, 1 << 18), 1 << 18);
        assert_eq!(Throttle::chunk_bytes(1 << 30, 1 << 18), 1 << 18);
        assert_eq!(Throttle::chunk_bytes(1 << 20, 1 << 18), 1 << 17);
        assert_eq!(Throttle::chunk_bytes(10, 1 << 18), 4096);
        assert_eq!(Throttle::chunk_bytes(10, 300), 300);
    }
}
