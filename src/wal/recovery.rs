//! Judges what a life finds on disk (rules A12): what is kept, what is cut, and what is known of what is lost.

use super::format::{BLOCK, Directory};
use super::hard_state::{self, HardState, Stored};
use super::reader::{Batch, Place, SegmentData, places, take_apart, unreadable_after};
use super::retention::{Retention, Span};
use super::{Config, Damage, Floor, Record, RecoveredGroup};
use crate::types::{Era, LogIndex, PartitionId};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Files as read.
#[derive(Default)]
pub(super) struct Files {
    /// The hard-state file, if there is one.
    pub(super) hard_state: Option<Bytes>,
    /// Segments by number.
    pub(super) segments: BTreeMap<u64, Bytes>,
}

/// What a life may begin with.
pub(super) enum Verdict {
    /// No log yet.
    Fresh,
    /// A log, perhaps with known damage.
    Good(Box<Analysis>),
    /// Something unknown is lost.
    Corrupt(String),
    /// Not this worker's, or not this version's.
    Unusable(String),
}

/// A log as it goes on.
pub(super) struct Analysis {
    /// What is told to the worker.
    pub(super) groups: BTreeMap<PartitionId, RecoveredGroup>,
    /// As stored: still the earlier life's.
    pub(super) hard_state: HardState,
    /// Segment in which the log ends.
    pub(super) segment: u64,
    /// Its blocks that are kept.
    pub(super) kept: Bytes,
    /// Number of the next batch.
    pub(super) batch: u64,
    /// Directory of the batch before.
    pub(super) previous: Directory,
    /// What the segments hold.
    pub(super) retention: Retention,
}

/// Judges.
pub(super) fn analyse(config: &Config, files: &Files) -> Verdict {
    let Some(content) = &files.hard_state else {
        return without_hard_state(files);
    };
    let hard_state = match hard_state::read(content) {
        Stored::Found(hard_state) => hard_state,
        Stored::Lost => return Verdict::Corrupt("both slots of the hard state are damaged".to_owned()),
        Stored::Newer => {
            return Verdict::Unusable("the log was written by a newer version of orrery: start that one".to_owned());
        }
    };
    if (hard_state.node, hard_state.worker) != (config.node, config.worker) {
        return Verdict::Unusable(format!(
            "the data directory belongs to node {} worker {}, this is node {} worker {}: \
             give each its own data directory",
            hard_state.node.0, hard_state.worker.0, config.node.0, config.worker.0
        ));
    }
    let segments: Vec<SegmentData> = files
        .segments
        .range(hard_state.first_segment..) // what lies below was given up, and a crash has spared its file
        .map(|(number, data)| SegmentData::new(*number, data.clone(), hard_state.log_id))
        .collect();
    match walk(&segments, &hard_state) {
        Ok(walked) => Verdict::Good(Box::new(walked.analysis(&segments, hard_state))),
        Err(reason) => Verdict::Corrupt(reason),
    }
}

/// The hard state is the last file that a creation makes durable, so a log without it is either none yet or has lost it.
fn without_hard_state(files: &Files) -> Verdict {
    let empty =
        |(number, data): (&u64, &Bytes)| *number == 1 && SegmentData::new(*number, data.clone(), 0).is_unwritten();
    if files.segments.iter().all(empty) {
        Verdict::Fresh
    } else {
        Verdict::Corrupt("the log has segments but the file of the hard state is gone".to_owned())
    }
}

/// The log as far as the walk over its batches has come.
struct Walked {
    logs: BTreeMap<PartitionId, GroupLog>,
    batch: u64,
    previous: Directory,
    generation: u64,
    end: Option<Place>,
    /// What counts of the batch taken last.
    spans: BTreeMap<PartitionId, Span>,
    retention: Retention,
}

/// Walks over all batches in order of their numbers.
fn walk(segments: &[SegmentData], hard_state: &HardState) -> Result<Walked, String> {
    if segments.is_empty() {
        return Err("the hard state is there but all segments are gone".to_owned());
    }
    for (expected, segment) in (hard_state.first_segment..).zip(segments) {
        if segment.number != expected {
            return Err(format!("segment {expected} is gone"));
        }
    }
    let places = places(segments)?;
    let last = places.last_key_value();
    if let Some((segment, block)) = unreadable_after(segments, last.map(|(_, place)| place))
        && !planted!(35)
    {
        return Err(format!("segment {segment} block {block}: damaged, and nothing tells what it held"));
    }
    let mut walked = Walked {
        logs: hard_state.groups.iter().map(|(group, known)| (*group, GroupLog::new(known))).collect(),
        batch: hard_state.first_batch,
        previous: Directory::default(),
        generation: 0,
        end: None,
        spans: BTreeMap::new(),
        retention: Retention::default(),
    };
    let newest = last.map_or(0, |(number, _)| *number);
    let read = |number: u64| places.get(&number).map(|place| take_apart(&segments[place.segment], place));
    let mut next = read(walked.batch);
    while walked.batch <= newest {
        let current = next.take();
        next = read(walked.batch + 1);
        let place = places.get(&walked.batch);
        let (number, before) = (walked.batch, walked.end);
        if !walked.take(current.unwrap_or_default(), place, next.as_ref(), number < newest)? {
            break;
        }
        let segment = &segments[place.or(before.as_ref()).map_or(0, |place| place.segment)];
        walked.retention.batch(segment.number, segment.data.len() as u64, number, std::mem::take(&mut walked.spans));
    }
    if walked.generation > hard_state.generation {
        return Err(format!(
            "hard state {} was durable, only {} is readable: a vote may be forgotten",
            walked.generation, hard_state.generation
        ));
    }
    Ok(walked)
}

impl Walked {
    /// Takes the batch that comes next. `false`: the log ends before it.
    fn take(
        &mut self,
        batch: Batch,
        place: Option<&Place>,
        next: Option<&Batch>,
        has_successor: bool,
    ) -> Result<bool, String> {
        let number = self.batch;
        if !has_successor && !batch.whole && batch.torn {
            sometimes!("wal.torn_batch_cut");
            return Ok(false);
        }
        if has_successor && !batch.whole && planted!(35) {
            return Ok(false);
        }
        let repeated = next.and_then(|next| next.directories.as_ref()).map(|(_, previous)| previous);
        let own = batch.directories.as_ref().map(|(own, _)| own);
        let Some(directory) = own.or(repeated).cloned() else {
            return Err(format!("batch {number} is damaged, and nothing tells whose records it held"));
        };
        if own.is_some() && repeated.is_some_and(|repeated| *repeated != directory) {
            return Err(format!("batch {} does not follow batch {number}", number + 1));
        }
        if !batch.whole {
            sometimes!("wal.damaged_batch_known");
            sometimes!("wal.damaged_last_batch_known", !has_successor);
        }
        self.records(batch.records, &directory);
        self.generation = self.generation.max(directory.generation);
        self.previous = directory;
        self.batch += 1;
        self.end = place.copied().or(self.end);
        Ok(true)
    }

    /// Groups of which every record is there keep them, the others lose the whole batch.
    fn records(&mut self, records: Vec<(PartitionId, Record)>, directory: &Directory) {
        let mut counts: BTreeMap<PartitionId, u32> = BTreeMap::new();
        for (group, _) in &records {
            *counts.entry(*group).or_default() += 1;
        }
        let complete = |group: &PartitionId| {
            directory.entries.get(group).is_some_and(|entry| counts.get(group) == Some(&entry.records))
        };
        let number = self.batch;
        for (group, entry) in &directory.entries {
            let log = self.logs.entry(*group).or_default();
            if !complete(group) && log.begins <= number {
                log.lose(entry.first, entry.last);
                self.spans.insert(*group, Span { first: entry.first, end: entry.last.1 });
            }
        }
        for (group, record) in records {
            let log = self.logs.entry(group).or_default();
            if complete(&group) && log.begins <= number {
                Span::add(&mut self.spans, group, record.index);
                log.keep(record);
            }
        }
    }

    fn analysis(self, segments: &[SegmentData], hard_state: HardState) -> Analysis {
        let (segment, blocks) = self.end.map_or((0, 0), |place| (place.segment, place.end() as usize));
        Analysis {
            groups: self.logs.into_iter().map(|(group, log)| (group, log.finish())).collect(),
            retention: self.retention,
            hard_state,
            segment: segments[segment].number,
            kept: segments[segment].data.slice(..blocks * BLOCK),
            batch: self.batch,
            previous: self.previous,
        }
    }
}

/// A group's records above its floor, and the hole that is still open in them.
#[derive(Default)]
struct GroupLog {
    records: Vec<Record>,
    hard_state: Option<Bytes>,
    floor: Option<Floor>,
    /// Earlier batches hold nothing of it.
    begins: u64,
    hole: Option<Hole>,
}

/// From `next` on nothing of the log can be relied on; it reached `last` at least.
struct Hole {
    next: LogIndex,
    last: (Era, LogIndex),
}

impl GroupLog {
    fn new(known: &hard_state::Group) -> Self {
        Self { hard_state: known.state.clone(), floor: known.floor, begins: known.begins, ..Self::default() }
    }

    /// Last index for which no record is needed.
    fn covered(&self) -> LogIndex {
        self.floor.unwrap_or_default().index
    }

    /// A record was written after everything before it. It narrows a hole from below, as a leader's refilling does; one that
    /// lies beyond the hole is kept but narrows nothing, since the refilling will write it again.
    fn keep(&mut self, record: Record) {
        let covered = self.covered();
        if let Some(hole) = &mut self.hole {
            hole.last = hole.last.max((record.era, record.index));
            if record.index <= hole.next {
                hole.next = record.index.max(covered).next();
            }
            if hole.next > hole.last.1 {
                sometimes!("wal.hole_was_refilled");
                self.hole = None;
            }
        }
        // At or below the floor a record is only of use to void what stands above it.
        if record.index > covered || !self.records.is_empty() {
            self.records.push(record);
        }
    }

    /// A batch with records from `first` on is lost. What was written before at those indices may have been replaced by it:
    /// it is not handed out, for it may be wrong. Of what lies at or below the floor, nothing is missed.
    fn lose(&mut self, first: LogIndex, last: (Era, LogIndex)) {
        self.records.retain(|record| record.index < first);
        let first = first.max(self.covered().next());
        let hole = self.hole.get_or_insert(Hole { next: first, last });
        hole.next = hole.next.min(first);
        hole.last = hole.last.max(last);
        if hole.next > hole.last.1 {
            sometimes!("wal.hole_below_the_floor");
            self.hole = None;
        }
    }

    fn finish(self) -> RecoveredGroup {
        let damaged = self.hole.map(|hole| Damage { first: hole.next, last: hole.last.1, last_era: hole.last.0 });
        RecoveredGroup { records: self.records, hard_state: self.hard_state, damaged, floor: self.floor }
    }
}
