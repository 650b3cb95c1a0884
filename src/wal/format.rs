//! Blocks, directories and records as bytes (drawn in the module essay).

use crate::types::{Era, LogIndex, PartitionId};
use std::collections::BTreeMap;

/// Size of a block: what a page cache and most devices write at once.
pub(super) const BLOCK: usize = 4096;
/// The grain at which a write may be torn.
pub(super) const SECTOR: usize = 512;
/// Where a block's payload begins.
pub(super) const HEADER: usize = 88;
/// Payload of a block.
pub(super) const PAYLOAD: usize = BLOCK - HEADER;
/// Bytes before a record's own.
pub(super) const RECORD_HEADER: usize = 24;

const SECTORS: usize = BLOCK / SECTOR;
const MAGIC: [u8; 4] = *b"OWL1";
const CHECKSUMS: usize = 56;
const NONE: u16 = u16::MAX;
/// A header that was written has dozens of non-zero bytes (identity, checksums); fewer than this is rot on an empty sector.
const SPARSE: usize = 16;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Who a block is and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHeader {
    /// Identity of the log, drawn at its creation.
    pub(super) log_id: u64,
    /// Incarnation that wrote it.
    pub(super) life: u64,
    /// Address: segment.
    pub(super) segment: u64,
    /// Address: number in the segment.
    pub(super) block: u32,
    /// Batch that it belongs to; numbers are without gaps.
    pub(super) batch: u64,
    /// Number in the batch.
    pub(super) part: u32,
    /// Blocks of the batch.
    pub(super) parts: u32,
    /// Payload bytes in use.
    pub(super) used: u16,
    /// Offset in the payload of the first record that begins here.
    pub(super) first_record: Option<u16>,
}

impl BlockHeader {
    /// Writes header and checksums around a payload that stands in `block` already.
    pub(super) fn seal(&self, block: &mut [u8]) {
        assert_eq!(block.len(), BLOCK, "a block has a fixed size");
        block[0..4].copy_from_slice(&MAGIC);
        block[4..6].copy_from_slice(&self.used.to_le_bytes());
        block[6..8].copy_from_slice(&self.first_record.unwrap_or(NONE).to_le_bytes());
        block[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        block[16..24].copy_from_slice(&self.life.to_le_bytes());
        block[24..32].copy_from_slice(&self.segment.to_le_bytes());
        block[32..40].copy_from_slice(&self.batch.to_le_bytes());
        block[40..44].copy_from_slice(&self.block.to_le_bytes());
        block[44..48].copy_from_slice(&self.part.to_le_bytes());
        block[48..52].copy_from_slice(&self.parts.to_le_bytes());
        block[52..56].fill(0);
        for sector in (0..SECTORS).rev() {
            let sum = sector_checksum(block, sector);
            let at = CHECKSUMS + 4 * sector;
            block[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }

    fn read(block: &[u8]) -> Option<Self> {
        let first = u16_at(block, 6)?;
        Some(Self {
            log_id: u64_at(block, 8)?,
            life: u64_at(block, 16)?,
            segment: u64_at(block, 24)?,
            block: u32_at(block, 40)?,
            batch: u64_at(block, 32)?,
            part: u32_at(block, 44)?,
            parts: u32_at(block, 48)?,
            used: u16_at(block, 4)?,
            first_record: (first != NONE).then_some(first),
        })
    }

    fn is_sane(&self) -> bool {
        usize::from(self.used) <= PAYLOAD
            && self.first_record.is_none_or(|at| at < self.used)
            && self.part < self.parts
            && self.part <= self.block
    }
}

/// Checksum of one sector; the first one's covers the header with all other sectors' checksums, and leaves its own out.
fn sector_checksum(block: &[u8], sector: usize) -> u32 {
    if sector == 0 {
        let sum = crc32c::crc32c(&block[..CHECKSUMS]);
        return crc32c::crc32c_append(sum, &block[CHECKSUMS + 4..SECTOR]);
    }
    crc32c::crc32c(&block[sector * SECTOR..(sector + 1) * SECTOR])
}

/// What became of a block since it was (or was not) written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState {
    /// Whole.
    Whole(BlockHeader),
    /// Header good, `good` payload bytes before the first bad sector. `torn`: all that is bad was never written.
    Partial { header: BlockHeader, good: u16, torn: bool },
    /// Its header sector was never written: empty, or torn.
    Unwritten,
    /// Something stands here that cannot be trusted: rot, or a block of another place or log.
    Unreadable,
}

/// Judges the block found at an address.
pub(super) fn judge(block: &[u8], log_id: u64, segment: u64, number: u32) -> BlockState {
    let head = &block[..SECTOR];
    let stored = |sector: usize| u32_at(block, CHECKSUMS + 4 * sector);
    if block[0..4] != MAGIC && head.iter().filter(|byte| **byte != 0).count() < SPARSE {
        return BlockState::Unwritten;
    }
    let good = block[0..4] == MAGIC && stored(0) == Some(sector_checksum(block, 0));
    let header = match BlockHeader::read(block) {
        Some(header) if good && header.is_sane() => header,
        _ => return BlockState::Unreadable,
    };
    if header.log_id != log_id || header.segment != segment || header.block != number {
        return BlockState::Unreadable;
    }
    let bad = |sector: &usize| stored(*sector) != Some(sector_checksum(block, *sector));
    let Some(first_bad) = (1..SECTORS).find(bad) else {
        return BlockState::Whole(header);
    };
    let torn = (first_bad..SECTORS)
        .filter(bad)
        .all(|sector| block[sector * SECTOR..(sector + 1) * SECTOR].iter().all(|byte| *byte == 0));
    let good = u16::try_from(first_bad * SECTOR - HEADER).unwrap_or(0).min(header.used);
    BlockState::Partial { header, good, torn }
}

/// What a batch holds of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryEntry {
    /// Number of records.
    pub(super) records: u32,
    /// Lowest index.
    pub(super) first: LogIndex,
    /// Highest position, by era, then index.
    pub(super) last: (Era, LogIndex),
}

/// What a batch holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// Generation of the hard state that was durable before the batch was written: how a lost change is noticed.
    pub(super) generation: u64,
    /// By group.
    pub(super) entries: BTreeMap<PartitionId, DirectoryEntry>,
}

const ENTRY: usize = 32;
const DIRECTORY_FIXED: usize = 32;

impl Directory {
    /// Notes a record.
    pub(super) fn add(&mut self, group: PartitionId, index: LogIndex, era: Era) {
        let position = (era, index);
        let entry = self.entries.entry(group).or_insert(DirectoryEntry { records: 0, first: index, last: position });
        entry.records += 1;
        entry.first = entry.first.min(index);
        entry.last = entry.last.max(position);
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (group, entry) in &self.entries {
            out.extend_from_slice(&group.0.to_le_bytes());
            out.extend_from_slice(&entry.records.to_le_bytes());
            out.extend_from_slice(&entry.first.0.to_le_bytes());
            out.extend_from_slice(&entry.last.1.0.to_le_bytes());
            out.extend_from_slice(&entry.last.0.0.to_le_bytes());
        }
    }

    fn read(generation: u64, bytes: &[u8]) -> Option<Self> {
        let mut entries = BTreeMap::new();
        for entry in bytes.chunks_exact(ENTRY) {
            let position = (Era(u64_at(entry, 24)?), LogIndex(u64_at(entry, 16)?));
            let first = LogIndex(u64_at(entry, 8)?);
            entries.insert(
                PartitionId(u32_at(entry, 0)?),
                DirectoryEntry { records: u32_at(entry, 4)?, first, last: position },
            );
        }
        Some(Self { generation, entries })
    }
}

/// Length of the directory section of a batch.
pub(super) fn directories_length(own: &Directory, previous: &Directory) -> usize {
    DIRECTORY_FIXED + ENTRY * (own.entries.len() + previous.entries.len())
}

/// The directory section with which a batch begins: its own, and that of the batch before.
pub(super) fn write_directories(own: &Directory, previous: &Directory, out: &mut Vec<u8>) {
    let count = |directory: &Directory| u32::try_from(directory.entries.len()).unwrap_or(u32::MAX);
    let length = u32::try_from(directories_length(own, previous)).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&count(own).to_le_bytes());
    out.extend_from_slice(&count(previous).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&own.generation.to_le_bytes());
    out.extend_from_slice(&previous.generation.to_le_bytes());
    own.write(out);
    previous.write(out);
}

/// Reads the directory section at the beginning of `stream`: (own, previous, length), if all of it is there.
pub(super) fn read_directories(stream: &[u8]) -> Option<(Directory, Directory, usize)> {
    let length = u32_at(stream, 0)? as usize;
    let own = u32_at(stream, 4)? as usize * ENTRY;
    let previous = u32_at(stream, 8)? as usize * ENTRY;
    if length != DIRECTORY_FIXED + own + previous {
        return None;
    }
    let section = stream.get(..length)?;
    let split = DIRECTORY_FIXED + own;
    let own = Directory::read(u64_at(section, 16)?, &section[DIRECTORY_FIXED..split])?;
    let previous = Directory::read(u64_at(section, 24)?, &section[split..])?;
    Some((own, previous, length))
}

/// Writes a record into a batch's stream.
pub(super) fn write_record(group: PartitionId, index: LogIndex, era: Era, bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("a record is far smaller than 4 GiB: a command is bounded");
    out.reserve(RECORD_HEADER + bytes.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&group.0.to_le_bytes());
    out.extend_from_slice(&index.0.to_le_bytes());
    out.extend_from_slice(&era.0.to_le_bytes());
    out.extend_from_slice(bytes);
}
