//! A member's log in memory, with the marks that split it.
//!
//! ```text
//!   floor | first ………… applied ………… committed       handed out for execution | chosen, to be handed out
//!   floor | first ……………… durable …… handed …… last    on disk | given to the WAL | to be given to the WAL
//! ```
//!
//! `committed` and `durable` do not order each other: what a quorum holds need not be on this disk yet. Up to the floor a
//! checkpoint stands for the entries: they are chosen, executed in it, and durable by it. Entries above it may be covered
//! by a checkpoint too; they are kept for followers that are a little behind.
//!
//! # Holes
//! A log that recovery found damaged keeps only what lies before the hole, and the position it had before as
//! [`RaftLog::hole`]: that one is compared in elections, so that an acknowledged entry cannot be outvoted, while the
//! member offers nothing that it does not hold. The hole is closed when the log has grown to that position or past it
//! in the order of elections, or when a leader's entry or a snapshot conflicts before it (then by leader completeness
//! nothing behind it can have been chosen).
//!
//! # Lacking state
//! Recovery may know of a floor that no loaded checkpoint reaches: the one that stood for the entries is lost. Then the log
//! begins after that floor all the same, and what it holds counts in elections and acknowledgements; but nothing is
//! handed out for execution before a snapshot brings the state there ([`RaftLog::install`]).
//!
//! Records at or below the floor are not used even where they are still there: the WAL reports no damage there, so that a
//! superseded record may stand where its successor was lost.

use super::message::{HardState, Hole, decode_entry};
use crate::consensus::{Committed, Floor, Payload, Record, Recovered, Unreadable};
use crate::env::buggify::is_any_planted;
use crate::types::{Era, LogIndex};
use crate::{planted, sometimes};
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
    /// `entries[0]` is the index after this.
    floor: Floor,
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
    /// Last index handed out for execution, or executed in an installed snapshot.
    applied: LogIndex,
    /// The state up to `applied` is missing: see above.
    lacks_state: bool,
    hole: Option<Hole>,
    /// The WAL is to be told that the log begins anew after `floor`.
    reset: bool,
}

impl RaftLog {
    /// Replays what recovery found. A record voids everything at and after its own index.
    pub(super) fn recover(recovered: Recovered, hard: &HardState) -> Result<Self, Unreadable> {
        let mut hole = hard.hole.max(recovered.damaged.map(Hole::from));
        let mut found: BTreeMap<LogIndex, Entry> = BTreeMap::new();
        for Record { index, era, bytes } in recovered.records {
            let entry = decode_entry(era, bytes).ok_or(Unreadable::Record(index))?;
            let mut void = found.split_off(&index);
            found.insert(index, entry);
            if planted!(37)
                && let Some((last, entry)) = void.pop_last()
            {
                found.entry(last).or_insert(entry);
            }
        }
        let floor = recovered.floor.unwrap_or_default();
        let above = found.split_off(&floor.index.next());
        // The record that once voided another era's entries here may itself not have reached the disk, while the
        // checkpoint has: then what stands above the floor continues another log.
        let continues = found.get(&floor.index).is_none_or(|entry| entry.era == floor.era)
            && above.first_key_value().is_none_or(|(_, entry)| entry.era >= floor.era);
        let mut log = Self { floor, ..Self::default() };
        for (index, entry) in above {
            if continues && index == log.last().next() {
                log.entries.push(entry);
            } else if hole.is_some() || !continues {
                // Behind the hole: of use only to know how far the log reached.
                hole = hole.max(Some(Hole { last_era: entry.era, last: index }));
            } else {
                return Err(Unreadable::Gap(index));
            }
        }
        log.reset = !continues;
        (log.handed, log.durable) = (log.last(), log.last());
        (log.committed, log.applied) = (floor.index, floor.index);
        log.lacks_state = floor != Floor::default();
        log.hole = hole;
        log.settle_hole();
        // A checkpoint that contradicts the floor is none of this log's.
        if let Some(state) = recovered.state.filter(|state| state.index != floor.index || state.era == floor.era) {
            log.install(state);
        }
        sometimes!("raft.lacks_state", log.lacks_state);
        Ok(log)
    }

    pub(super) fn last(&self) -> LogIndex {
        LogIndex(self.floor.index.0 + self.entries.len() as u64)
    }

    /// Bytes of the entries behind this index; `None`: the log begins later.
    pub(super) fn bytes_behind(&self, index: LogIndex) -> Option<u64> {
        let behind = usize::try_from(index.0.checked_sub(self.floor.index.0)?).ok()?;
        Some(self.entries.iter().skip(behind).map(|entry| entry.encoded.len() as u64).sum())
    }

    /// The log begins after this.
    pub(super) fn floor(&self) -> Floor {
        self.floor
    }

    /// Is the state up to where execution should go on missing?
    pub(super) fn lacks_state(&self) -> bool {
        self.lacks_state
    }

    pub(super) fn last_era(&self) -> Era {
        self.entries.last().map_or(self.floor.era, |entry| entry.era)
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

    /// Known of what is held and of the floor; `None` below it and beyond the end.
    pub(super) fn era_at(&self, index: LogIndex) -> Option<Era> {
        if index == self.floor.index { Some(self.floor.era) } else { self.entry(index).map(|entry| entry.era) }
    }

    /// Where in `entries` this index is, or would be. `None` at the floor and below.
    fn slot(&self, index: LogIndex) -> Option<usize> {
        let above = index.0.checked_sub(self.floor.index.0)?.checked_sub(1)?;
        Some(usize::try_from(above).unwrap_or(usize::MAX))
    }

    pub(super) fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(self.slot(index)?)
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

    /// Entries from `index` on, which is above the floor.
    fn from(&self, index: LogIndex) -> &[Entry] {
        debug_assert!(index > self.floor.index, "{index} is not held: the log begins after {}", self.floor);
        &self.entries[self.slot(index).unwrap_or(0).min(self.entries.len())..]
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
        let keep = index.previous().max(self.floor.index);
        self.entries.truncate(self.slot(keep.next()).unwrap_or(0));
        self.handed = self.handed.min(keep);
        self.durable = self.durable.min(keep);
        for (_, last) in &mut self.in_flight {
            *last = (*last).min(keep);
        }
        self.hole = None;
    }

    /// The last index at or before `index` whose era is at most `era`, with its era: nothing later can match a log that
    /// has `era` at `index`. Below the floor, where eras are forgotten, an index without one: only the whole state helps.
    pub(super) fn last_possible_match(&self, index: LogIndex, era: Era) -> (LogIndex, Era) {
        if index < self.floor.index || era < self.floor.era {
            return (index.min(self.floor.index.previous()), Era(0));
        }
        let upto = self.slot(index.next()).unwrap_or(0).min(self.entries.len());
        let above = self.entries[..upto].partition_point(|entry| entry.era <= era) as u64;
        let index = LogIndex(self.floor.index.0 + above);
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
        self.settle_hole();
    }

    /// Only what is durable closes the hole: a crash may still take the rest.
    fn settle_hole(&mut self) {
        let durable = Hole { last_era: self.era_at(self.durable).unwrap_or_default(), last: self.durable };
        self.hole = self.hole.filter(|hole| *hole > durable);
    }

    /// Forgets entries up to `through`, as far as they are executed and durable. Nothing while state is lacking: what it
    /// will be replaced by must be able to meet the log.
    pub(super) fn compact(&mut self, through: LogIndex) {
        let through = through.min(self.applied).min(self.durable);
        let Some(era) = self.era_at(through).filter(|_| through > self.floor.index && !self.lacks_state) else {
            return;
        };
        let keep = self.entries.split_off(self.slot(through.next()).unwrap_or(0));
        self.entries = keep;
        self.floor = Floor { index: through, era };
    }

    /// Would this state bring execution forward?
    pub(super) fn is_news(&self, state: Floor) -> bool {
        if self.lacks_state { state.index >= self.floor.index } else { state.index > self.applied }
    }

    /// The state up to `state` has come from elsewhere and is durable here. If the log holds that very position, what
    /// follows goes on to be valid. Otherwise nothing of it does: either it ends before, or it has gone another way than
    /// what was chosen. Tells whether that was news.
    pub(super) fn install(&mut self, state: Floor) -> bool {
        if !self.is_news(state) {
            return false;
        }
        let held = self.era_at(state.index);
        // openraft#559: what stands at the snapshot's index is kept, though it is not what was chosen there.
        let keeps = planted!(26) && held.is_some();
        if held != Some(state.era) && !keeps {
            assert!(
                state.index > self.committed || is_any_planted(),
                "what is chosen is in the log that chose it, but {state} is chosen elsewhere and {held:?} here"
            );
            sometimes!("raft.log_replaced_by_snapshot");
            sometimes!("raft.conflict_replaced_by_snapshot", held.is_some());
            // As a conflicting entry of a leader does: a hole behind a conflict hides nothing that was chosen.
            self.hole = self.hole.filter(|_| held.is_none());
            self.entries.clear();
            self.floor = state;
            self.reset = true;
            (self.handed, self.durable) = (state.index, state.index);
            for (_, last) in &mut self.in_flight {
                *last = (*last).min(state.index);
            }
        }
        self.lacks_state = false;
        self.applied = state.index;
        self.committed = self.committed.max(state.index);
        // The WAL may still be at it, but the checkpoint has it.
        self.durable = self.durable.max(state.index);
        self.settle_hole();
        true
    }

    /// Has the WAL to be told that the log begins anew? Where, if so; once.
    pub(super) fn take_reset(&mut self) -> Option<Floor> {
        std::mem::take(&mut self.reset).then_some(self.floor)
    }

    /// Is there anything for the WAL?
    pub(super) fn has_unhanded(&self) -> bool {
        self.handed < self.last() || self.reset
    }

    /// Takes what the WAL has not been given, in the hand-over of that number.
    pub(super) fn take_unhanded(&mut self, number: u64) -> Vec<Record> {
        if self.handed >= self.last() {
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
        self.applied < self.committed.min(self.last()) && !self.lacks_state
    }

    /// Takes chosen entries that were not handed out, at most `max` of them.
    pub(super) fn take_unapplied(&mut self, max: usize) -> Vec<Committed> {
        if !self.has_unapplied() {
            return Vec::new();
        }
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
            ..Recovered::default()
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

    fn floor(index: u64, era: u64) -> Floor {
        Floor { index: LogIndex(index), era: Era(era) }
    }

    /// With a floor and a loaded state, each as (index, era).
    fn recover_after(records: &[(u64, u64)], released: (u64, u64), state: Option<(u64, u64)>) -> RaftLog {
        let recovered = Recovered {
            records: records.iter().map(|&(index, era)| record(index, era)).collect(),
            floor: Some(floor(released.0, released.1)),
            state: state.map(|(index, era)| floor(index, era)),
            ..Recovered::default()
        };
        RaftLog::recover(recovered, &HardState::default()).unwrap()
    }

    #[test]
    fn a_log_begins_after_its_floor_and_executes_after_its_state() {
        let mut log = recover_after(&[(3, 1), (4, 2), (5, 2), (6, 2)], (3, 1), Some((5, 2)));
        assert_eq!((log.floor(), log.last(), eras(&log)), (floor(3, 1), LogIndex(6), vec![2, 2, 2]));
        assert_eq!((log.applied(), log.committed(), log.lacks_state()), (LogIndex(5), LogIndex(5), false));
        assert_eq!(log.take_reset(), None);
        assert!(log.commit(LogIndex(6)));
        assert_eq!(log.take_unapplied(9)[0].index, LogIndex(6));
        assert_eq!((log.era_at(LogIndex(2)), log.era_at(LogIndex(3))), (None, Some(Era(1))));
    }

    #[test]
    fn a_log_that_its_state_surpasses_or_contradicts_begins_anew() {
        for records in [&[(4, 1)][..], &[(4, 1), (5, 1), (6, 1)]] {
            let mut log = recover_after(records, (3, 1), Some((5, 2)));
            assert_eq!((log.floor(), log.last(), log.applied()), (floor(5, 2), LogIndex(5), LogIndex(5)));
            assert_eq!((log.hole(), log.take_reset()), (None, Some(floor(5, 2))));
        }
    }

    #[test]
    fn a_log_without_its_state_keeps_its_position_and_hands_nothing_out() {
        for state in [None, Some((2, 1)), Some((3, 2))] {
            let mut log = recover_after(&[(4, 2), (5, 2)], (3, 1), state);
            assert!(log.lacks_state());
            assert_eq!(log.election_position(), Hole { last_era: Era(2), last: LogIndex(5) });
            log.commit(LogIndex(5));
            assert!(!log.has_unapplied() && log.take_unapplied(9).is_empty());
            log.compact(LogIndex(5));
            assert!(!log.install(floor(2, 1)), "it does not reach the log");
            assert!(log.install(floor(4, 2)));
            assert_eq!(log.take_unapplied(9).len(), 1);
        }
    }

    #[test]
    fn what_contradicts_the_floor_is_void_but_counts_in_elections() {
        // The record that voided era 1's tail was lost in a crash; the checkpoint was not.
        for records in [&[(2, 1), (3, 1), (4, 1)][..], &[(4, 1)]] {
            let mut log = recover_after(records, (3, 2), Some((3, 2)));
            assert_eq!((log.last(), log.hole()), (LogIndex(3), None), "era 2 wins anyway");
            assert_eq!(log.take_reset(), Some(floor(3, 2)));
        }
        let log = recover_after(&[(3, 5), (4, 5)], (3, 2), Some((3, 2)));
        assert_eq!(log.election_position(), Hole { last_era: Era(5), last: LogIndex(4) });
    }

    #[test]
    fn a_hole_outlives_a_snapshot_before_its_end_unless_the_log_had_gone_another_way() {
        let damaged = Some(Damage { first: LogIndex(3), last: LogIndex(8), last_era: Era(2) });
        let log = || {
            let records = (1..=2).map(|index| record(index, 1)).collect();
            RaftLog::recover(Recovered { records, damaged, ..Recovered::default() }, &HardState::default()).unwrap()
        };
        let mut open = log();
        assert!(open.install(floor(5, 1)) && open.hole().is_some());
        let mut passed = log();
        assert!(passed.install(floor(9, 2)) && passed.hole().is_none());
        let mut conflict = log();
        assert!(conflict.install(floor(2, 2)) && conflict.hole().is_none());
    }

    #[test]
    fn only_what_is_executed_and_durable_is_forgotten() {
        let mut log = recover(&[(1, 1), (2, 1), (3, 1)], None).unwrap();
        log.compact(LogIndex(3));
        assert_eq!(log.floor(), Floor::default());
        log.push(encode_entry(Era(1), &Payload::Empty));
        log.commit(LogIndex(4));
        assert_eq!(log.take_unapplied(9).len(), 4);
        log.compact(LogIndex(4));
        assert_eq!((log.floor(), log.last()), (floor(3, 1), LogIndex(4)), "the fourth is not on disk");
        log.compact(LogIndex(2));
        assert_eq!(log.floor(), floor(3, 1));
        assert_eq!(log.last_possible_match(LogIndex(3), Era(1)), (LogIndex(3), Era(1)));
        assert_eq!(log.last_possible_match(LogIndex(2), Era(1)), (LogIndex(2), Era(0)));
        assert_eq!(log.last_possible_match(LogIndex(4), Era(0)), (LogIndex(2), Era(0)));
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
