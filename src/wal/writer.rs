//! Gathers records and lays them out as a batch of blocks.

use super::Record;
use super::format::{
    BLOCK, BlockHeader, Directory, HEADER, PAYLOAD, directories_length, u32_at, write_directories, write_record,
};
use super::retention::Span;
use crate::types::PartitionId;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What waits for the next batch. Its buffers are reused.
pub(super) struct Writer {
    log_id: u64,
    life: u64,
    batch: u64,
    records: Vec<u8>,
    starts: Vec<usize>,
    spans: BTreeMap<PartitionId, Span>,
    directory: Directory,
    previous: Directory,
}

impl Writer {
    /// Continues a log: `batch` is the number of the next batch, `previous` the directory of the one before.
    pub(super) fn new(log_id: u64, life: u64, batch: u64, previous: Directory) -> Self {
        Self {
            log_id,
            life,
            batch,
            records: Vec::new(),
            starts: Vec::new(),
            spans: BTreeMap::new(),
            directory: Directory::default(),
            previous,
        }
    }

    /// Adds a record to the next batch.
    pub(super) fn add(&mut self, group: PartitionId, record: &Record) {
        self.starts.push(self.records.len());
        self.directory.add(group, record.index, record.era);
        Span::add(&mut self.spans, group, record.index);
        write_record(group, record.index, record.era, &record.bytes, &mut self.records);
    }

    /// Drops what waits of a group.
    pub(super) fn forget(&mut self, group: PartitionId) {
        if self.spans.remove(&group).is_none() {
            return;
        }
        self.directory.entries.remove(&group);
        let mut ends = self.starts.iter().skip(1).copied().chain([self.records.len()]);
        let mut kept = Vec::with_capacity(self.records.len());
        let mut starts = Vec::with_capacity(self.starts.len());
        for start in &self.starts {
            let record = &self.records[*start..ends.next().unwrap_or(*start)];
            if u32_at(record, 4) != Some(group.0) {
                starts.push(kept.len());
                kept.extend_from_slice(record);
            }
        }
        (self.records, self.starts) = (kept, starts);
    }

    /// Number of the next batch.
    pub(super) fn batch(&self) -> u64 {
        self.batch
    }

    /// What the next batch holds of each group, taken just before it is sealed.
    pub(super) fn take_spans(&mut self) -> BTreeMap<PartitionId, Span> {
        std::mem::take(&mut self.spans)
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Blocks that the next batch needs as it stands.
    pub(super) fn blocks(&self) -> u32 {
        let bytes = directories_length(&self.directory, &self.previous) + self.records.len();
        u32::try_from(bytes.div_ceil(PAYLOAD)).expect("a batch is far smaller than 16 TiB")
    }

    /// The batch of all that waits, for this place. The next one begins empty.
    pub(super) fn seal(&mut self, segment: u64, first_block: u32, generation: u64) -> Bytes {
        self.directory.generation = generation;
        let parts = self.blocks();
        let mut stream = Vec::with_capacity(directories_length(&self.directory, &self.previous));
        write_directories(&self.directory, &self.previous, &mut stream);
        let section = stream.len();
        let total = section + self.records.len();
        let mut out = vec![0; parts as usize * BLOCK];
        let mut starts = self.starts.iter().map(|start| section + start).peekable();
        for (part, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            let begin = part * PAYLOAD;
            let end = (begin + PAYLOAD).min(total);
            copy_range(&stream, &self.records, begin, &mut block[HEADER..HEADER + (end - begin)]);
            while starts.next_if(|start| *start < begin).is_some() {}
            let first_record =
                starts.peek().filter(|start| **start < end).and_then(|start| u16::try_from(start - begin).ok());
            let part = u32::try_from(part).expect("counted as u32 above");
            let header = BlockHeader {
                log_id: self.log_id,
                life: self.life,
                segment,
                block: first_block + part,
                batch: self.batch,
                part,
                parts,
                used: u16::try_from(end - begin).expect("a payload is smaller than 4 KiB"),
                first_record,
            };
            header.seal(block);
        }
        self.batch += 1;
        self.records.clear();
        self.starts.clear();
        self.previous = std::mem::take(&mut self.directory);
        Bytes::from(out)
    }
}

/// Copies `target.len()` bytes from position `begin` of `head` followed by `tail`.
fn copy_range(head: &[u8], tail: &[u8], begin: usize, target: &mut [u8]) {
    let from_head = head.len().saturating_sub(begin).min(target.len());
    if from_head > 0 {
        target[..from_head].copy_from_slice(&head[begin..begin + from_head]);
    }
    let rest = target.len() - from_head;
    let at = (begin + from_head).saturating_sub(head.len());
    target[from_head..].copy_from_slice(&tail[at..at + rest]);
}
