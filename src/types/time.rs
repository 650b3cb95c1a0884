//! Time as values. Nothing here reads a clock: see [`crate::env::Clock`].

use serde::{Deserialize, Serialize};
use std::{fmt, ops};

pub use core::time::Duration;

/// A reading of a worker's monotonic clock: nanoseconds since an arbitrary start. Comparable only on one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// Time passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// A wall-clock reading as SQL sees it: microseconds since 2000-01-01 00:00:00 UTC (PostgreSQL's epoch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds from the Unix epoch to PostgreSQL's.
    pub const UNIX_EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros.saturating_sub(Self::UNIX_EPOCH_OFFSET_MICROS))
    }
}
