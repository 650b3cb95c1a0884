//! The latest noteworthy events of a worker: what `system.events` shows and the log says.
//!
//! A ring in memory: it remembers nothing of earlier lives, and when it is full the oldest event goes.

use crate::cluster::facts::EventFacts;
use crate::types::{PartitionId, Timestamp};
use std::collections::VecDeque;

/// Most events that are remembered.
const CAPACITY: usize = 512;

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Events {
    ring: VecDeque<EventFacts>,
    last: u64,
}

impl Events {
    pub(super) fn info(&mut self, at: Timestamp, kind: &str, partition: Option<PartitionId>, text: String) {
        self.push(at, false, kind, partition, text);
    }

    pub(super) fn warning(&mut self, at: Timestamp, kind: &str, partition: Option<PartitionId>, text: String) {
        self.push(at, true, kind, partition, text);
    }

    fn push(&mut self, at: Timestamp, warning: bool, kind: &str, partition: Option<PartitionId>, text: String) {
        if self.ring.len() == CAPACITY {
            self.ring.pop_front();
        }
        self.last += 1;
        self.ring.push_back(EventFacts { number: self.last, at, warning, kind: kind.into(), partition, text });
    }

    /// Number of the latest event; 0: there was none.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Those that are remembered and later than this one, in order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &EventFacts> {
        let first = self.last + 1 - self.ring.len() as u64;
        self.ring.iter().skip(usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest() {
        let mut events = Events::default();
        assert_eq!(events.after(0).count(), 0);
        for number in 1..=CAPACITY + 10 {
            events.info(Timestamp(0), "test", None, number.to_string());
        }
        assert_eq!(events.after(0).next().unwrap().number, 11);
        assert_eq!(events.after(0).count(), CAPACITY);
        assert_eq!(events.after(15).next().unwrap().text, "16");
        assert_eq!(events.after(events.last()).count(), 0);
        assert_eq!(events.after(events.last() + 5).count(), 0);
    }
}
