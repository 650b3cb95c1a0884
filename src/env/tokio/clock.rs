//! The machine's clocks.

use crate::types::{Instant, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The boot-time clock: unlike `CLOCK_MONOTONIC` it goes on while the machine is suspended, so that a lease cannot
/// outlive a closed lid.
pub(super) fn boot_time() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec);
    Instant(u64::try_from(nanos).unwrap_or(0))
}

/// The wall clock.
pub(super) fn wall() -> Timestamp {
    let time = clock_gettime(ClockId::Realtime);
    Timestamp::from_unix_micros(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000))
}
