//! Segments: names, and the operations that bring one into being.

use super::hard_state;
use crate::env::DiskOp;
use crate::planted;

const PREFIX: &str = "wal-";
/// Ending of files that are still being written; they become real by a rename.
pub(super) const UNFINISHED: &str = ".new";

/// File name of a segment.
pub(super) fn name(segment: u64) -> String {
    format!("{PREFIX}{segment:016}")
}

/// Number of the segment that a file name stands for.
pub(super) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix(PREFIX)?;
    let number = digits.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// Is this a file of the log that a crash left unfinished?
pub(super) fn is_unfinished(file: &str) -> bool {
    file.strip_suffix(UNFINISHED).is_some_and(|file| file == hard_state::FILE || number(file).is_some())
}

/// A segment with room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Which.
    pub(super) segment: u64,
    /// Blocks that it has.
    pub(super) blocks: u32,
    /// First free one.
    pub(super) next: u32,
}

impl Tail {
    /// Blocks left.
    pub(super) fn room(&self) -> u32 {
        self.blocks - self.next
    }
}

/// Creates an empty segment, durable in length and name before anything is written into it: a synced block in a file
/// whose name a crash takes away is lost all the same.
pub(super) fn create(segment: u64, bytes: u64) -> Vec<DiskOp> {
    let file = name(segment);
    let mut ops = vec![DiskOp::Create { file: file.clone(), length: bytes }, DiskOp::Sync { file }];
    if !planted!(39) {
        ops.push(DiskOp::SyncDirectory);
    }
    ops
}
