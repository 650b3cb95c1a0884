use crate::types::{Instant, Timestamp};

/// Time.
///
/// Failure semantics: `now` never goes back and never jumps; its rate may drift from other nodes' within the bound that
/// leases assume; after a pause of the process it has gone on (on Linux `CLOCK_BOOTTIME`). `wall` may do anything.
pub trait Clock {
    /// Monotonic reading; constant during one event.
    fn now(&self) -> Instant;

    /// Wall clock, for SQL timestamps and nothing else: no decision may rest on it.
    fn wall(&self) -> Timestamp;

    /// Asks for an [`super::Event::Wake`] at `instant` or soon after. Only the latest call counts: it replaces the one
    /// before. An instant that has passed means "as soon as possible".
    fn wake_at(&mut self, instant: Instant);
}
