//! The file `hard-state`: what must never be lost and is too small to search a log for. Two slots, written in turn.

use super::format::{BLOCK, u16_at, u32_at, u64_at};
use crate::types::{NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Name of the file.
pub(super) const FILE: &str = "hard-state";
/// Size of a slot; the file has two.
pub(super) const SLOT: usize = 16 * BLOCK;

const MAGIC: [u8; 3] = *b"OHS";
const VERSION: u8 = b'1';
const HEADER: usize = 64;

/// Content of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HardState {
    /// Identity of the log.
    pub(super) log_id: u64,
    /// Rises with every change; the newer slot has the larger one.
    pub(super) generation: u64,
    /// Number of the life that wrote it.
    pub(super) incarnation: u64,
    /// Whose.
    pub(super) node: NodeId,
    /// Which worker's.
    pub(super) worker: WorkerId,
    /// Number of the log's first segment. Nothing raises it yet, since no segment is ever removed.
    pub(super) first_segment: u64,
    /// Number of the log's first batch; likewise.
    pub(super) first_batch: u64,
    /// Opaque state of each group.
    pub(super) groups: BTreeMap<PartitionId, Bytes>,
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

    /// As bytes, whole blocks. `None` if it does not fit its slot.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut out = vec![0; HEADER];
        for (group, state) in &self.groups {
            out.extend_from_slice(&group.0.to_le_bytes());
            out.extend_from_slice(&u32::try_from(state.len()).ok()?.to_le_bytes());
            out.extend_from_slice(state);
        }
        if out.len() > SLOT {
            return None;
        }
        let length = u32::try_from(out.len()).ok()?;
        out[0..3].copy_from_slice(&MAGIC);
        out[3] = VERSION;
        out[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.incarnation.to_le_bytes());
        out[32..36].copy_from_slice(&self.node.0.to_le_bytes());
        out[36..38].copy_from_slice(&self.worker.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.first_batch.to_le_bytes());
        out[48..52].copy_from_slice(&length.to_le_bytes());
        out[52..56].copy_from_slice(&u32::try_from(self.groups.len()).ok()?.to_le_bytes());
        out[56..64].copy_from_slice(&self.first_segment.to_le_bytes());
        let sum = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        Some(Bytes::from(out))
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        if slot.get(0..3)? != MAGIC || slot[3] != VERSION {
            return None;
        }
        let length = u32_at(slot, 48)? as usize;
        let content = slot.get(..length).filter(|content| content.len() >= HEADER)?;
        if crc32c::crc32c(&content[8..]) != u32_at(slot, 4)? {
            return None;
        }
        let mut groups = BTreeMap::new();
        let mut at = HEADER;
        for _ in 0..u32_at(slot, 52)? {
            let length = u32_at(content, at + 4)? as usize;
            let state = content.get(at + 8..at + 8 + length)?;
            groups.insert(PartitionId(u32_at(content, at)?), Bytes::copy_from_slice(state));
            at += 8 + length;
        }
        Some(Self {
            log_id: u64_at(content, 8)?,
            generation: u64_at(content, 16)?,
            incarnation: u64_at(content, 24)?,
            node: NodeId(u32_at(content, 32)?),
            worker: WorkerId(u16_at(content, 36)?),
            first_segment: u64_at(content, 56)?,
            first_batch: u64_at(content, 40)?,
            groups,
        })
    }
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
