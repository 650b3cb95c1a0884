//! Finds batches in what was read, and takes them apart as far as their blocks are good.

use super::Record;
use super::format::{
    BLOCK, BlockHeader, BlockState, Directory, HEADER, PAYLOAD, RECORD_HEADER, judge, read_directories, u32_at, u64_at,
};
use crate::types::{Era, LogIndex, PartitionId};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A segment as read: whole blocks.
pub(super) struct SegmentData {
    /// Its number.
    pub(super) number: u64,
    /// Its content.
    pub(super) data: Bytes,
    states: Vec<BlockState>,
}

impl SegmentData {
    /// Judges every block. A length that is no multiple of a block (a creation that a crash cut) is filled up with zeros.
    pub(super) fn new(number: u64, data: Bytes, log_id: u64) -> Self {
        let data = if data.len().is_multiple_of(BLOCK) {
            data
        } else {
            let mut whole = data.to_vec();
            whole.resize(data.len().next_multiple_of(BLOCK), 0);
            Bytes::from(whole)
        };
        let address = |block: usize| u32::try_from(block).unwrap_or(u32::MAX);
        let states = data
            .chunks_exact(BLOCK)
            .enumerate()
            .map(|(block, bytes)| judge(bytes, log_id, number, address(block)))
            .collect();
        Self { number, data, states }
    }

    /// What became of each block.
    pub(super) fn states(&self) -> &[BlockState] {
        &self.states
    }

    /// Nothing was ever written here.
    pub(super) fn is_unwritten(&self) -> bool {
        self.states.iter().all(|state| *state == BlockState::Unwritten)
    }

    fn payload(&self, block: usize, length: u16) -> &[u8] {
        let at = block * BLOCK + HEADER;
        &self.data[at..at + usize::from(length)]
    }
}

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the segments read (not its number).
    pub(super) segment: usize,
    /// Its first block.
    pub(super) start: u32,
    /// Number of its blocks.
    pub(super) parts: u32,
    life: u64,
}

impl Place {
    /// Block after its last.
    pub(super) fn end(&self) -> u32 {
        self.start + self.parts
    }
}

/// All batches of which at least one header is good. `Err` when two headers contradict each other: then nothing can be
/// said of either.
pub(super) fn places(segments: &[SegmentData]) -> Result<BTreeMap<u64, Place>, String> {
    let mut places = BTreeMap::new();
    for (index, segment) in segments.iter().enumerate() {
        for state in &segment.states {
            let (BlockState::Whole(header) | BlockState::Partial { header, .. }) = state else { continue };
            let place = place(index, header);
            if place.end() as usize > segment.states.len() {
                return Err(format!("batch {} reaches beyond the end of segment {}", header.batch, segment.number));
            }
            if *places.entry(header.batch).or_insert(place) != place {
                return Err(format!("two places for batch {}", header.batch));
            }
        }
    }
    let mut end = (0, 0);
    for (batch, place) in &places {
        if (place.segment, place.start) < end {
            return Err(format!("batch {batch} overlaps the one before it"));
        }
        end = (place.segment, place.end());
    }
    Ok(places)
}

fn place(segment: usize, header: &BlockHeader) -> Place {
    Place { segment, start: header.block - header.part, parts: header.parts, life: header.life }
}

/// Is there something unreadable after this place? `None`: anywhere.
pub(super) fn unreadable_after(segments: &[SegmentData], place: Option<&Place>) -> Option<(u64, usize)> {
    let from = place.map_or((0, 0), |place| (place.segment, place.end() as usize));
    for (index, segment) in segments.iter().enumerate().skip(from.0) {
        let skip = if index == from.0 { from.1 } else { 0 };
        let found = segment.states.iter().skip(skip).position(|state| *state == BlockState::Unreadable);
        if let Some(block) = found {
            return Some((segment.number, skip + block));
        }
    }
    None
}

/// A batch taken apart.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Own directory and that of the batch before, if readable.
    pub(super) directories: Option<(Directory, Directory)>,
    /// Records that are whole, in order.
    pub(super) records: Vec<(PartitionId, Record)>,
    /// Every block is whole.
    pub(super) whole: bool,
    /// All that is missing was never written: the crash came before the batch's sync had ended.
    pub(super) torn: bool,
}

/// What can be read without a break, and where in it the first record begins.
struct Run {
    bytes: Vec<u8>,
    first: usize,
    /// It is the batch's first block's, so it begins with the directories.
    head: bool,
}

/// Takes the batch at a place apart.
pub(super) fn take_apart(segment: &SegmentData, place: &Place) -> Batch {
    let mut batch = Batch { whole: true, torn: true, ..Batch::default() };
    let mut run: Option<Run> = None;
    for part in 0..place.parts as usize {
        let block = place.start as usize + part;
        let (header, good, intact) = match segment.states[block] {
            BlockState::Whole(header) => (header, header.used, true),
            BlockState::Partial { header, good, torn } => {
                batch.torn &= torn;
                (header, good, false)
            }
            state @ (BlockState::Unwritten | BlockState::Unreadable) => {
                batch.torn &= state == BlockState::Unwritten;
                batch.whole = false;
                batch.finish(run.take());
                continue;
            }
        };
        let payload = segment.payload(block, good);
        if let Some(run) = &mut run {
            run.bytes.extend_from_slice(payload);
        } else if part == 0 {
            let mut bytes = Vec::with_capacity(place.parts as usize * PAYLOAD);
            bytes.extend_from_slice(payload);
            let first = u32_at(&bytes, 0).map_or(usize::MAX, |length| length as usize);
            run = Some(Run { bytes, first, head: true });
        } else if let Some(first) = header.first_record {
            run = Some(Run { bytes: payload.to_vec(), first: usize::from(first), head: false });
        }
        if !intact {
            batch.whole = false;
            batch.finish(run.take());
        }
    }
    batch.finish(run.take());
    batch
}

impl Batch {
    fn finish(&mut self, run: Option<Run>) {
        let Some(run) = run else { return };
        let bytes = Bytes::from(run.bytes);
        if run.head {
            self.directories = read_directories(&bytes).map(|(own, previous, _)| (own, previous));
        }
        let mut at = run.first;
        while let Some((group, record, next)) = read_record(&bytes, at) {
            self.records.push((group, record));
            at = next;
        }
    }
}

/// The record at an offset of a run, if all of it is there, and where the next one begins. Shares the run's memory.
fn read_record(run: &Bytes, at: usize) -> Option<(PartitionId, Record, usize)> {
    let header = run.get(at..at.checked_add(RECORD_HEADER)?)?;
    let length = u32_at(header, 0)? as usize;
    let group = PartitionId(u32_at(header, 4)?);
    let index = LogIndex(u64_at(header, 8)?);
    let era = Era(u64_at(header, 16)?);
    let begin = at + RECORD_HEADER;
    let end = begin.checked_add(length).filter(|end| *end <= run.len())?;
    Some((group, Record { index, era, bytes: run.slice(begin..end) }, end))
}
