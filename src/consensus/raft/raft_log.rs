//! A member's log in memory, with the four marks that split it.
//!
//! ```text
//!   1 ………… applied ………… committed          handed out for execution | chosen, to be handed out
//!   1 ……………… durable …… handed …… last       on disk | given to the WAL | to be given to the WAL
//! ```
//!
//! `committed` and `durable` do not order each other: what a quorum holds need not be on this disk yet.
//!
//! A log that recovery found damaged keeps only what lies before the hole, and the position it had before as
//! [`RaftLog::hole`]: that one is compared in elections, so that an acknowledged entry cannot be outvoted, while the
//! member offers nothing that it does not hold. The hole is closed when the log has grown to that position or past it
//! in the order of elections, or when a leader's entry conflicts before it (then by leader completeness nothing
//! behind it can have been chosen).

use super::message::{HardState, Hole, decode_entry};
use crate::consensus::{Committed, Payload, Record, Recovered, Unreadable};
use crate::env::buggify::is_any_planted;
use crate::types::{Era, LogIndex};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// One position of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) era: Era,
    /// A view into `encoded`.
    pub(super) payload: Payload,
    /// As it is written, sent and digested.
    pub(super) encoded: Bytes,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct RaftLog {
    /// `entries[0]` is index 1. The place for compaction is an offset here and `previous` era beside it.
    entries: Vec<Entry>,
    /// Last index given to the WAL.
    handed: LogIndex,
    /// Hand-overs to the WAL that are not reported durable, by number, with the last index each gave. An index goes down
    /// when what it named is cut off.
    in_flight: VecDeque<(u64, LogIndex)>,
    /// Last index reported durable.
    durable: LogIndex,
    /// Last index known to be chosen.
    committed: LogIndex,
    /// Last index handed out for execution.
    applied: LogIndex,
    hole: Option<Hole>,
}

impl RaftLog {
    /// Replays what recovery found. A record voids everything at and after its own index.
    pub(super) fn recover(recovered: Recovered, hard: &HardState) -> Result<Self, Unreadable> {
        let mut hole = hard.hole.max(recovered.damaged.map(Hole::from));
        let mut found: BTreeMap<LogIndex, Entry> = BTreeMap::new();
        for Record { index, era, bytes } in recovered.records {
            let entry = decode_entry(era, bytes).ok_or(Unreadable::Record(index))?;
            found.split_off(&index);
            found.insert(index, entry);
        }
        let mut log = Self::default();
        for (index, entry) in found {
            if index == log.last().next() {
                log.entries.push(entry);
            } else if hole.is_some() {
                // Behind the hole: of use only to know how far the log reached.
                hole = hole.max(Some(Hole { last_era: entry.era, last: index }));
            } else {
                return Err(Unreadable::Gap(index));
            }
        }
        log.handed = log.last();
        log.durable = log.last();
        log.hole = hole.filter(|hole| *hole > log.position());
        Ok(log)
    }

    pub(super) fn last(&self) -> LogIndex {
        LogIndex(self.entries.len() as u64)
    }

    pub(super) fn last_era(&self) -> Era {
        self.entries.last().map_or(Era(0), |entry| entry.era)
    }

    pub(super) fn durable(&self) -> LogIndex {
        self.durable
    }

    pub(super) fn handed(&self) -> LogIndex {
        self.handed
    }

    pub(super) fn committed(&self) -> LogIndex {
        self.committed
    }

    pub(super) fn applied(&self) -> LogIndex {
        self.applied
    }

    pub(super) fn hole(&self) -> Option<Hole> {
        self.hole
    }

    /// Last position that is really there.
    fn position(&self) -> Hole {
        Hole { last_era: self.last_era(), last: self.last() }
    }

    /// The position that counts in elections: the one before the damage, if there was any.
    pub(super) fn election_position(&self) -> Hole {
        self.hole.map_or(self.position(), |hole| hole.max(self.position()))
    }

    /// The position before the log has era 0; `None` beyond the end.
    pub(super) fn era_at(&self, index: LogIndex) -> Option<Era> {
        if index == LogIndex(0) { Some(Era(0)) } else { self.entry(index).map(|entry| entry.era) }
    }

    pub(super) fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.0.checked_sub(1)?).ok()?)
    }

    /// Entries from `next` on: at least one if there is one, then as many as both bounds allow.
    pub(super) fn batch(&self, next: LogIndex, max_entries: usize, max_bytes: usize) -> &[Entry] {
        let rest = self.from(next);
        let mut bytes = 0usize;
        let fitting = rest
            .iter()
            .take(max_entries.max(1))
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.encoded.len();
                first || bytes <= max_bytes
            })
            .count();
        &rest[..fitting]
    }

    fn from(&self, index: LogIndex) -> &[Entry] {
        let start = usize::try_from(index.previous().0).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[start..]
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Voids everything from `index` on. The record written at `index` next does the same on disk.
    pub(super) fn truncate(&mut self, index: LogIndex) {
        assert!(
            index > self.committed || is_any_planted(),
            "a chosen entry is never overwritten, but {index} is to go and {} is chosen",
            self.committed
        );
        let keep = index.previous();
        self.entries.truncate(usize::try_from(keep.0).unwrap_or(usize::MAX));
        self.handed = self.handed.min(keep);
        self.durable = self.durable.min(keep);
        for (_, last) in &mut self.in_flight {
            *last = (*last).min(keep);
        }
        self.hole = None;
    }

    /// The last index at or before `index` whose era is at most `era`, with its era: nothing later can match a log that
    /// has `era` at `index`.
    pub(super) fn last_possible_match(&self, index: LogIndex, era: Era) -> (LogIndex, Era) {
        let upto = usize::try_from(index.0).unwrap_or(usize::MAX).min(self.entries.len());
        let index = LogIndex(self.entries[..upto].partition_point(|entry| entry.era <= era) as u64);
        (index, self.era_at(index).unwrap_or_default())
    }

    /// Moves `committed` up. Never down.
    pub(super) fn commit(&mut self, index: LogIndex) -> bool {
        let index = index.min(self.last());
        let moved = index > self.committed;
        self.committed = self.committed.max(index);
        moved
    }

    /// Hand-overs up to `number` are durable: what they gave counts, unless it has been cut off since.
    pub(super) fn persisted(&mut self, number: u64) {
        while let Some((_, last)) = self.in_flight.pop_front_if(|(given, _)| *given <= number) {
            self.durable = self.durable.max(last);
        }
        self.hole = self.hole.filter(|hole| {
            // Only what is durable closes the hole: a crash may still take the rest.
            Hole { last_era: self.era_at(self.durable).unwrap_or_default(), last: self.durable } < *hole
        });
    }

    pub(super) fn has_unhanded(&self) -> bool {
        self.handed < self.last()
    }

    /// Takes what the WAL has not been given, in the hand-over of that number.
    pub(super) fn take_unhanded(&mut self, number: u64) -> Vec<Record> {
        if !self.has_unhanded() {
            return Vec::new();
        }
        let first = self.handed.next();
        let records = (first.0..)
            .zip(self.from(first))
            .map(|(index, entry)| Record { index: LogIndex(index), era: entry.era, bytes: entry.encoded.clone() })
            .collect();
        self.handed = self.last();
        self.in_flight.push_back((number, self.handed));
        records
    }

    pub(super) fn has_unapplied(&self) -> bool {
        self.applied < self.committed.min(self.last())
    }

    /// Takes chosen entries that were not handed out, at most `max` of them.
    pub(super) fn take_unapplied(&mut self, max: usize) -> Vec<Committed> {
        let upto = self.committed.min(self.last());
        let first = self.applied.next();
        let count = usize::try_from(upto.0.saturating_sub(self.applied.0)).unwrap_or(usize::MAX).min(max);
        let chosen: Vec<_> = (first.0..)
            .zip(self.from(first).iter().take(count))
            .map(|(index, entry)| Committed { index: LogIndex(index), payload: entry.payload.clone() })
            .collect();
        self.applied = LogIndex(self.applied.0 + chosen.len() as u64);
        chosen
    }

    /// Do eras never fall along the log?
    pub(super) fn eras_rise(&self) -> bool {
        // Only the last pair: `check` looks after every transition.
        match self.entries.as_slice() {
            [.., before, last] => before.era <= last.era,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::encode_entry;
    use super::*;
    use crate::consensus::Damage;

    fn record(index: u64, era: u64) -> Record {
        let entry = encode_entry(Era(era), &Payload::Command(Bytes::from(format!("{index}/{era}"))));
        Record { index: LogIndex(index), era: entry.era, bytes: entry.encoded }
    }

    fn recover(records: &[(u64, u64)], damaged: Option<(u64, u64, u64)>) -> Result<RaftLog, Unreadable> {
        let recovered = Recovered {
            records: records.iter().map(|&(index, era)| record(index, era)).collect(),
            hard_state: None,
            damaged: damaged.map(|(first, last, last_era)| Damage {
                first: LogIndex(first),
                last: LogIndex(last),
                last_era: Era(last_era),
            }),
        };
        RaftLog::recover(recovered, &HardState::default())
    }

    fn eras(log: &RaftLog) -> Vec<u64> {
        log.entries.iter().map(|entry| entry.era.0).collect()
    }

    #[test]
    fn a_record_voids_what_it_and_later_positions_held() {
        let log = recover(&[(1, 1), (2, 1), (3, 1), (2, 2)], None).unwrap();
        assert_eq!(eras(&log), [1, 2]);
        assert_eq!(log.durable(), LogIndex(2));
    }

    #[test]
    fn an_unexplained_gap_is_unreadable() {
        assert_eq!(recover(&[(1, 1), (3, 1)], None).unwrap_err(), Unreadable::Gap(LogIndex(3)));
        let mut broken = record(1, 1);
        broken.bytes = Bytes::from_static(&[9, 9]);
        let recovered = Recovered { records: vec![broken], ..Recovered::default() };
        assert_eq!(RaftLog::recover(recovered, &HardState::default()).unwrap_err(), Unreadable::Record(LogIndex(1)));
    }

    #[test]
    fn a_damaged_log_keeps_the_position_it_had_until_it_is_refilled_on_disk() {
        let mut log = recover(&[(1, 1), (4, 2), (5, 2)], Some((2, 3, 1))).unwrap();
        assert_eq!(eras(&log), [1]);
        assert_eq!(log.election_position(), Hole { last_era: Era(2), last: LogIndex(5) });
        for (index, era) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
            log.push(decode_entry(Era(era), record(index, era).bytes).unwrap());
        }
        let last = log.entries.pop().unwrap();
        assert_eq!(log.take_unhanded(1).len(), 3);
        log.push(last);
        assert_eq!(log.take_unhanded(2).len(), 1);
        log.persisted(1);
        assert!(log.hole().is_some());
        log.persisted(2);
        assert_eq!(log.hole(), None);
    }

    #[test]
    fn what_was_cut_off_is_not_made_durable_by_a_late_report() {
        let mut log = recover(&[(1, 1)], None).unwrap();
        log.push(encode_entry(Era(1), &Payload::Empty));
        log.push(encode_entry(Era(1), &Payload::Empty));
        assert_eq!(log.take_unhanded(1).len(), 2);
        log.truncate(LogIndex(2));
        log.push(encode_entry(Era(2), &Payload::Empty));
        assert_eq!(log.take_unhanded(2).len(), 1);
        log.persisted(1);
        assert_eq!(log.durable(), LogIndex(1));
        log.persisted(2);
        assert_eq!(log.durable(), LogIndex(2));
    }

    #[test]
    fn batches_respect_both_bounds_and_always_hold_one() {
        let log = recover(&[(1, 1), (2, 1), (3, 1)], None).unwrap();
        assert_eq!(log.batch(LogIndex(1), 2, 1 << 20).len(), 2);
        assert_eq!(log.batch(LogIndex(1), 9, 1).len(), 1);
        assert_eq!(log.batch(LogIndex(3), 9, 1 << 20).len(), 1);
        assert_eq!(log.batch(LogIndex(4), 9, 1 << 20).len(), 0);
        assert_eq!(log.batch(LogIndex(9), 9, 1 << 20).len(), 0);
    }

    #[test]
    fn hints_skip_whole_eras() {
        let log = recover(&[(1, 1), (2, 1), (3, 4), (4, 4), (5, 6)], None).unwrap();
        assert_eq!(log.last_possible_match(LogIndex(5), Era(3)), (LogIndex(2), Era(1)));
        assert_eq!(log.last_possible_match(LogIndex(9), Era(9)), (LogIndex(5), Era(6)));
        assert_eq!(log.last_possible_match(LogIndex(4), Era(0)), (LogIndex(0), Era(0)));
    }
}
