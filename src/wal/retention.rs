//! Which segments are still needed: what each holds of every group, against the groups' floors.
//!
//! As elsewhere in the log, an append voids what stands at its index and after (the hole's rule, see the essay): so a
//! segment whose records were all written again later pins nothing.

use super::Floor;
use crate::types::{LogIndex, PartitionId};
use std::collections::BTreeMap;

/// What a batch holds of a group: its lowest index, and the index at which the group's log ended behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Lowest index.
    pub(super) first: LogIndex,
    /// End of the log.
    pub(super) end: LogIndex,
}

impl Span {
    /// Notes a record written behind the others.
    pub(super) fn add(spans: &mut BTreeMap<PartitionId, Self>, group: PartitionId, index: LogIndex) {
        let span = spans.entry(group).or_insert(Self { first: index, end: index });
        span.first = span.first.min(index);
        span.end = index;
    }
}

/// Segments in use and what they hold.
#[derive(Debug, Default)]
pub(super) struct Retention {
    segments: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    first_batch: u64,
    bytes: u64,
    /// Highest index of each group that counts.
    ends: BTreeMap<PartitionId, LogIndex>,
}

/// Where the log may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// First segment needed.
    pub(super) segment: u64,
    /// First batch in it.
    pub(super) batch: u64,
}

impl Retention {
    /// A batch is durable in a segment of that length. Batches come in order.
    pub(super) fn batch(
        &mut self,
        segment: u64,
        bytes: u64,
        batch: u64,
        spans: impl IntoIterator<Item = (PartitionId, Span)>,
    ) {
        self.segments.entry(segment).or_insert(Held { first_batch: batch, bytes, ends: BTreeMap::new() }).bytes = bytes;
        for (group, span) in spans {
            for held in self.segments.values_mut() {
                if let Some(end) = held.ends.get_mut(&group) {
                    *end = (*end).min(span.first.previous());
                }
            }
            if let Some(held) = self.segments.get_mut(&segment) {
                held.ends.insert(group, span.end);
            }
        }
    }

    /// Nothing that is held of a group counts any more.
    pub(super) fn void(&mut self, group: PartitionId) {
        for held in self.segments.values_mut() {
            held.ends.remove(&group);
        }
    }

    /// Where the log may begin under these floors. The last segment is always needed.
    pub(super) fn beginning(&self, floor: impl Fn(PartitionId) -> Option<Floor>) -> Option<Beginning> {
        let last = *self.segments.last_key_value()?.0;
        let (segment, held) =
            self.segments.iter().find(|(segment, held)| **segment == last || held.pins(&floor).is_some())?;
        Some(Beginning { segment: *segment, batch: held.first_batch })
    }

    /// The group that keeps the oldest segment, if it is not the last one.
    pub(super) fn pinned_by(&self, floor: impl Fn(PartitionId) -> Option<Floor>) -> Option<PartitionId> {
        let (last, _) = self.segments.last_key_value()?;
        let (oldest, held) = self.segments.first_key_value()?;
        if oldest == last { None } else { held.pins(&floor) }
    }

    /// Segments below this one have been given up.
    pub(super) fn forget_below(&mut self, segment: u64) {
        self.segments = self.segments.split_off(&segment);
    }

    /// Size of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|held| held.bytes).sum()
    }
}

impl Held {
    fn pins(&self, floor: &impl Fn(PartitionId) -> Option<Floor>) -> Option<PartitionId> {
        let covered = |group: PartitionId| floor(group).unwrap_or_default().index;
        self.ends.iter().find(|(group, end)| **end > covered(**group)).map(|(group, _)| *group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Era;

    const A: PartitionId = PartitionId(1);
    const B: PartitionId = PartitionId(2);

    fn span(first: u64, end: u64) -> Span {
        Span { first: LogIndex(first), end: LogIndex(end) }
    }

    fn begins(retention: &Retention, a: u64, b: u64) -> Option<u64> {
        let floor = |group| Some(Floor { index: LogIndex(if group == A { a } else { b }), era: Era(1) });
        retention.beginning(floor).map(|beginning| beginning.segment)
    }

    #[test]
    fn a_segment_goes_when_every_group_covers_it() {
        let mut retention = Retention::default();
        assert_eq!(begins(&retention, 9, 9), None);
        retention.batch(1, 4096, 1, [(A, span(1, 3)), (B, span(1, 1))]);
        retention.batch(2, 4096, 2, [(A, span(4, 6))]);
        retention.batch(3, 8192, 3, [(A, span(7, 9))]);
        assert_eq!(retention.bytes(), 16384);
        assert_eq!([begins(&retention, 9, 0), begins(&retention, 2, 1), begins(&retention, 3, 1)], [1, 1, 2].map(Some));
        assert_eq!(begins(&retention, 99, 99), Some(3), "the last is always needed");
        assert_eq!(retention.pinned_by(|_| None), Some(A));
        retention.forget_below(3);
        assert_eq!(retention.pinned_by(|_| None), None);
    }

    #[test]
    fn what_was_written_again_or_voided_pins_nothing() {
        let mut retention = Retention::default();
        retention.batch(1, 4096, 1, [(A, span(5, 7))]);
        retention.batch(2, 4096, 2, [(B, span(1, 1))]);
        retention.batch(3, 4096, 3, [(A, span(4, 4))]);
        assert_eq!([begins(&retention, 3, 1), begins(&retention, 2, 1)], [3, 1].map(Some));
        retention.void(A);
        assert_eq!(begins(&retention, 0, 0), Some(2));
    }
}
