//! Writes to one file that belong together.

use super::file::{ALIGNMENT, Aligned};
use crate::env::{DiskError, DiskOp, DiskOutput, DiskResult, OpId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;

/// Most bytes gathered for one direct write.
const MAX_GATHER: usize = 4 << 20;

/// Consecutive writes to one file, up to and with the last sync of it that follows without anything between.
pub(super) struct Run {
    file: String,
    writes: Vec<(u64, Bytes)>,
    /// In order; `true`: a sync.
    ids: Vec<(OpId, bool)>,
}

impl Run {
    /// Takes from `ops` what belongs to the run that this write begins: all up to the last sync, or without one all
    /// writes.
    pub(super) fn gather(id: OpId, file: String, offset: u64, data: Bytes, ops: &mut VecDeque<(OpId, DiskOp)>) -> Self {
        let belongs =
            |op: &DiskOp| matches!(op, DiskOp::Write { file: f, .. } | DiskOp::Sync { file: f } if *f == file);
        let same = ops.iter().take_while(|(_, op)| belongs(op)).count();
        let synced = ops.iter().take(same).rposition(|(_, op)| matches!(op, DiskOp::Sync { .. }));
        let take = synced.map_or(same, |last| last + 1);
        let mut run = Self { file, writes: vec![(offset, data)], ids: vec![(id, false)] };
        for (id, op) in ops.drain(..take) {
            match op {
                DiskOp::Write { offset, data, .. } => {
                    run.writes.push((offset, data));
                    run.ids.push((id, false));
                }
                _ => run.ids.push((id, true)),
            }
        }
        run
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn writes(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.writes.iter().map(|(offset, data)| (*offset, data))
    }

    /// Does it end in a sync?
    pub(super) fn is_synced(&self) -> bool {
        self.ids.last().is_some_and(|(_, sync)| *sync)
    }

    pub(super) fn syncs(&self) -> usize {
        self.ids.iter().filter(|(_, sync)| *sync).count()
    }

    pub(super) fn ops(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.writes.iter().map(|(_, data)| data.len()).sum()
    }

    /// Where the furthest write ends.
    pub(super) fn end(&self) -> u64 {
        self.writes.iter().map(|(offset, data)| offset + data.len() as u64).max().unwrap_or(0)
    }

    /// May it be written directly?
    pub(super) fn is_aligned(&self) -> bool {
        self.writes.iter().all(|(offset, data)| {
            offset % ALIGNMENT as u64 == 0 && data.len() % ALIGNMENT == 0 && data.len() <= MAX_GATHER
        })
    }

    /// Calls `write` for each stretch of writes that lie one behind the other, gathered in aligned memory.
    pub(super) fn contiguous(
        &self,
        aligned: &mut Aligned,
        mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut rest = &self.writes[..];
        while let Some((start, _)) = rest.first() {
            let (mut count, mut length) = (0, 0);
            for (offset, data) in rest {
                if *offset != start + length as u64 || length + data.len() > MAX_GATHER {
                    break;
                }
                count += 1;
                length += data.len();
            }
            let memory = aligned.take(length);
            let mut at = 0;
            for (_, data) in &rest[..count] {
                memory[at..at + data.len()].copy_from_slice(data);
                at += data.len();
            }
            if length > 0 {
                write(*start, memory)?;
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// One outcome for all of it: after a failure nothing of the run is promised.
    pub(super) fn report(self, outcome: &Result<(), DiskError>, results: &mut Vec<(OpId, DiskResult)>) {
        results.extend(self.ids.into_iter().map(|(id, _)| (id, outcome.clone().map(|()| DiskOutput::Done))));
    }
}
