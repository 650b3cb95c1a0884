//! What stands in a log's files, block by block, for whoever looks at them without being the log: it changes nothing and
//! judges nothing. What the damage costs, only recovery can say.

use super::format::BlockState;
use super::hard_state::{self, Stored};
use super::reader::{SegmentData, places};
use super::segment;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Something in a file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the file.
    pub file: String,
    /// Where in it the block or slot begins.
    pub offset: u64,
    /// Number of the batch that the block belongs to, as far as it can be read.
    pub batch: Option<u64>,
    /// It is as a crash in the middle of a write leaves it: it was never acknowledged.
    pub torn: bool,
    /// In words.
    pub what: &'static str,
}

/// The file of the hard state.
#[must_use]
pub fn is_hard_state(file: &str) -> bool {
    file == hard_state::FILE
}

/// Is this the name of a segment?
#[must_use]
pub fn is_segment(file: &str) -> bool {
    segment::number(file).is_some()
}

/// Looks at the files of a log, by name.
#[must_use]
pub fn inspect(files: &BTreeMap<String, Bytes>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(content) = files.get(hard_state::FILE) else { return findings };
    for (slot, bytes) in content.chunks(hard_state::SLOT).enumerate() {
        let written = bytes.iter().any(|byte| *byte != 0);
        if written && !hard_state::slot_is_good(content, slot) {
            // If a newer one has been lost by this, the batches say so.
            let torn = matches!(hard_state::read(content), Stored::Found(_));
            let what = "a slot of the hard state is damaged, or was being written";
            let (file, offset) = (hard_state::FILE.to_owned(), (slot * hard_state::SLOT) as u64);
            findings.push(Finding { file, offset, batch: None, torn, what });
        }
    }
    let Stored::Found(hard_state) = hard_state::read(content) else { return findings };
    let numbered = |(file, bytes): (&String, &Bytes)| Some((segment::number(file)?, bytes.clone()));
    let segments: Vec<SegmentData> = files
        .iter()
        .filter_map(numbered)
        .filter(|(number, _)| *number >= hard_state.first_segment)
        .map(|(number, bytes)| SegmentData::new(number, bytes, hard_state.log_id))
        .collect();
    blocks(&segments, &mut findings);
    findings
}

fn blocks(segments: &[SegmentData], findings: &mut Vec<Finding>) {
    // Headers that contradict each other: then no batch has a place.
    let places = places(segments).unwrap_or_default();
    let last = places.keys().next_back().copied();
    for (index, data) in segments.iter().enumerate() {
        for (block, state) in data.states().iter().enumerate() {
            if matches!(state, BlockState::Whole(_)) {
                continue;
            }
            let number = u32::try_from(block).unwrap_or(u32::MAX);
            let within = |(_, place): &(&u64, &super::reader::Place)| {
                place.segment == index && (place.start..place.end()).contains(&number)
            };
            let batch = places.iter().find(within).map(|(number, _)| *number);
            let of_last = batch.is_some() && batch == last;
            let (torn, what) = match state {
                BlockState::Whole(_) => continue,
                BlockState::Unwritten if batch.is_none() => continue,
                BlockState::Unwritten => (of_last, "a block is empty that belongs to a batch"),
                BlockState::Partial { torn: true, .. } => (of_last, "a part of a block is empty"),
                BlockState::Partial { .. } => (false, "a part of a block has changed"),
                BlockState::Unreadable => (false, "a block has changed, or belongs elsewhere"),
            };
            let (file, offset) = (segment::name(data.number), (block * super::format::BLOCK) as u64);
            findings.push(Finding { file, offset, batch, torn, what });
        }
    }
}
