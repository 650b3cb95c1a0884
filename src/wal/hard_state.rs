//! The file `hard-state`: what must never be lost and is too small to search a log for. Two slots, written in turn.

use super::Floor;
use super::format::{BLOCK, u16_at, u32_at, u64_at};
use crate::planted;
use crate::types::{Era, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Name of the file.
pub(super) const FILE: &str = "hard-state";
/// Size of a slot; the file has two.
pub(super) const SLOT: usize = 16 * BLOCK;

const MAGIC: [u8; 3] = *b"OHS";
const VERSION: u8 = b'2';
/// Before there were floors.
const VERSION_1: u8 = b'1';
const HEADER: usize = 64;
/// Length that says "no hard state".
const ABSENT: u32 = u32::MAX;

/// What a slot holds of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The protocol's own, opaque.
    pub(super) state: Option<Bytes>,
    /// A durable checkpoint covers everything up to here.
    pub(super) floor: Option<Floor>,
    /// What earlier batches hold of the group is void.
    pub(super) begins: u64,
}

/// Content of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HardState {
    /// Identity of the log.
    pub(super) log_id: u64,
    /// Rises with every change; the newer slot has the larger one.
    pub(super) generation: u64,
    /// Number of the life that wrote it.
    pub(super) incarnation: u64,
    /// It took the place of a log that was damaged: what that had promised is not known.
    pub(super) amnesia: bool,
    /// Whose.
    pub(super) node: NodeId,
    /// Which worker's.
    pub(super) worker: WorkerId,
    /// Number of the log's first segment: what lies below is not needed any more.
    pub(super) first_segment: u64,
    /// Number of the log's first batch, which that segment begins with.
    pub(super) first_batch: u64,
    /// By group.
    pub(super) groups: BTreeMap<PartitionId, Group>,
}

impl HardState {
    /// Which slot it belongs in.
    pub(super) fn slot(&self) -> usize {
        (self.generation % 2) as usize
    }

    /// Offset of its slot.
    pub(super) fn offset(&self) -> u64 {
        (self.slot() * SLOT) as u64
    }

    /// The floor of a group.
    pub(super) fn floor(&self, group: PartitionId) -> Option<Floor> {
        self.groups.get(&group)?.floor
    }

    /// As bytes, whole blocks. `None` if it does not fit its slot.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut out = vec![0; HEADER];
        for (number, group) in &self.groups {
            let length = group.state.as_ref().map_or(Ok(ABSENT), |state| u32::try_from(state.len())).ok()?;
            let floor = group.floor.unwrap_or_default();
            out.extend_from_slice(&number.0.to_le_bytes());
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&floor.index.0.to_le_bytes());
            out.extend_from_slice(&floor.era.0.to_le_bytes());
            out.extend_from_slice(&group.begins.to_le_bytes());
            out.extend_from_slice(group.state.as_deref().unwrap_or_default());
        }
        if out.len() > SLOT {
            return None;
        }
        let length = u32::try_from(out.len()).ok()?;
        let (first_segment, first_batch) = if planted!(29) { (1, 1) } else { (self.first_segment, self.first_batch) };
        out[0..3].copy_from_slice(&MAGIC);
        out[3] = VERSION;
        out[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.incarnation.to_le_bytes());
        out[32..36].copy_from_slice(&self.node.0.to_le_bytes());
        out[36..38].copy_from_slice(&self.worker.0.to_le_bytes());
        out[38] = u8::from(self.amnesia);
        out[40..48].copy_from_slice(&first_batch.to_le_bytes());
        out[48..52].copy_from_slice(&length.to_le_bytes());
        out[52..56].copy_from_slice(&u32::try_from(self.groups.len()).ok()?.to_le_bytes());
        out[56..64].copy_from_slice(&first_segment.to_le_bytes());
        let sum = checksum(&out, VERSION);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        Some(Bytes::from(out))
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let version = *slot.get(3)?;
        if slot.get(0..3)? != MAGIC || !(VERSION_1..=VERSION).contains(&version) {
            return None;
        }
        let length = u32_at(slot, 48)? as usize;
        let content = slot.get(..length).filter(|content| content.len() >= HEADER)?;
        if checksum(content, version) != u32_at(slot, 4)? {
            return None;
        }
        let mut groups = BTreeMap::new();
        let mut at = HEADER;
        for _ in 0..u32_at(slot, 52)? {
            let (number, group, next) = read_group(content, at, version)?;
            groups.insert(number, group);
            at = next;
        }
        Some(Self {
            log_id: u64_at(content, 8)?,
            generation: u64_at(content, 16)?,
            incarnation: u64_at(content, 24)?,
            node: NodeId(u32_at(content, 32)?),
            worker: WorkerId(u16_at(content, 36)?),
            amnesia: content.get(38) == Some(&1),
            first_segment: u64_at(content, 56)?,
            first_batch: u64_at(content, 40)?,
            groups,
        })
    }
}

/// Version 1 left magic and version out.
fn checksum(content: &[u8], version: u8) -> u32 {
    let head = if version == VERSION_1 { 0 } else { crc32c::crc32c(&content[..4]) };
    crc32c::crc32c_append(head, &content[8..])
}

/// The group at an offset of a slot, and where the next one begins.
fn read_group(content: &[u8], at: usize, version: u8) -> Option<(PartitionId, Group, usize)> {
    let number = PartitionId(u32_at(content, at)?);
    let length = u32_at(content, at + 4)?;
    let (floor, begins, begin) = if version == VERSION_1 {
        (Floor::default(), 0, at + 8)
    } else {
        let floor = Floor { index: LogIndex(u64_at(content, at + 8)?), era: Era(u64_at(content, at + 16)?) };
        (floor, u64_at(content, at + 24)?, at + 32)
    };
    let end = if length == ABSENT { begin } else { begin.checked_add(length as usize)? };
    let bytes = content.get(begin..end)?;
    let state = (length != ABSENT).then(|| Bytes::copy_from_slice(bytes));
    Some((number, Group { state, floor: (floor != Floor::default()).then_some(floor), begins }, end))
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// The newer good slot. Whether an even newer one is missing only the log can tell (see the essay).
    Found(HardState),
    /// No slot is good.
    Lost,
    /// Written by a newer version.
    Newer,
}

/// Is the slot of that number whole, and in its place?
pub(super) fn slot_is_good(file: &[u8], number: usize) -> bool {
    let slot = file.get(number * SLOT..((number + 1) * SLOT).min(file.len()));
    slot.and_then(HardState::decode).is_some_and(|state| state.slot() == number)
}

/// Reads the file's content.
pub(super) fn read(file: &[u8]) -> Stored {
    let slot = |number: usize| file.get((number * SLOT).min(file.len())..((number + 1) * SLOT).min(file.len()));
    let decode = |number: usize| {
        let state = HardState::decode(slot(number)?)?;
        // A slot in the other's place was written by nobody.
        (state.slot() == number).then_some(state)
    };
    let newest = decode(0).into_iter().chain(decode(1)).max_by_key(|state| state.generation);
    match newest {
        Some(state) => Stored::Found(state),
        None => {
            let newer = (0..2).filter_map(slot).any(|slot| slot.starts_with(&MAGIC) && slot.get(3) > Some(&VERSION));
            if newer { Stored::Newer } else { Stored::Lost }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HardState {
        let groups = [
            (PartitionId(1), Group { state: Some(Bytes::from_static(b"vote")), floor: None, begins: 0 }),
            (PartitionId(2), Group { state: None, floor: Some(Floor { index: LogIndex(7), era: Era(3) }), begins: 12 }),
            (PartitionId(3), Group { state: Some(Bytes::new()), ..Group::default() }),
        ];
        HardState {
            log_id: 5,
            generation: 4,
            incarnation: 2,
            amnesia: false,
            node: NodeId(1),
            worker: WorkerId(0),
            first_segment: 3,
            first_batch: 9,
            groups: groups.into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&sample().encode().expect("fits")), Stored::Found(sample()));
    }

    #[test]
    fn a_slot_of_version_1_is_read_without_floors() {
        let mut slot = vec![0; HEADER];
        slot.extend_from_slice(&[1, 0, 0, 0, 4, 0, 0, 0]);
        slot.extend_from_slice(b"vote");
        slot[0..4].copy_from_slice(b"OHS1");
        slot[8..16].copy_from_slice(&5_u64.to_le_bytes());
        slot[16..24].copy_from_slice(&4_u64.to_le_bytes());
        slot[24..32].copy_from_slice(&2_u64.to_le_bytes());
        slot[32..36].copy_from_slice(&1_u32.to_le_bytes());
        slot[40..48].copy_from_slice(&9_u64.to_le_bytes());
        let length = slot.len() as u32;
        slot[48..52].copy_from_slice(&length.to_le_bytes());
        slot[52..56].copy_from_slice(&1_u32.to_le_bytes());
        slot[56..64].copy_from_slice(&3_u64.to_le_bytes());
        let sum = crc32c::crc32c(&slot[8..]);
        slot[4..8].copy_from_slice(&sum.to_le_bytes());
        let mut expected = sample();
        expected.groups.retain(|number, _| *number == PartitionId(1));
        assert_eq!(read(&slot), Stored::Found(expected));
    }

    #[test]
    fn a_slot_of_a_later_version_is_not_called_damaged() {
        let mut slot = sample().encode().expect("fits").to_vec();
        slot[3] = b'3';
        assert_eq!(read(&slot), Stored::Newer);
    }
}
