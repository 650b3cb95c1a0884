//! Names and frames as bytes (drawn in the module essay).

use super::{Config, Floor, Header};
use crate::types::{Era, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3Default;

/// Frames begin and end at multiples of this: what a page cache and most devices write at once.
pub(super) const BLOCK: usize = 4096;
/// Bytes before a frame's payload.
pub(super) const HEADER: usize = 64;

const MAGIC: [u8; 4] = *b"OCP1";
const PREFIX: &str = "checkpoint-";
const UNFINISHED: &str = ".new";
const DIGEST: usize = 16;
const END: usize = 32;

/// Name of a complete checkpoint.
pub(super) fn name(partition: PartitionId, index: LogIndex) -> String {
    format!("{PREFIX}{:08}-{:016}", partition.0, index.0)
}

/// Name of one that is being written.
pub(super) fn unfinished(partition: PartitionId, index: LogIndex) -> String {
    format!("{}{UNFINISHED}", name(partition, index))
}

/// What the name of a complete checkpoint says.
pub(super) fn parse(file: &str) -> Option<(PartitionId, LogIndex)> {
    let (partition, index) = file.strip_prefix(PREFIX)?.split_once('-')?;
    let (partition, index) = (PartitionId(partition.parse().ok()?), LogIndex(index.parse().ok()?));
    (name(partition, index) == file).then_some((partition, index))
}

/// Is this a checkpoint that a crash left unfinished?
pub(super) fn is_unfinished(file: &str) -> bool {
    file.strip_suffix(UNFINISHED).and_then(parse).is_some()
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first: the state's digest.
    Beginning,
    /// A chunk of the state.
    Chunk,
    /// The last: how many there were.
    End,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::Beginning => 1,
            Self::Chunk => 2,
            Self::End => 3,
        }
    }

    fn read(number: u16) -> Option<Self> {
        [Self::Beginning, Self::Chunk, Self::End].into_iter().find(|kind| kind.number() == number)
    }
}

/// Identity of a file, which all its frames carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) config: Config,
    pub(super) partition: PartitionId,
    pub(super) index: LogIndex,
}

/// A frame's header as read, proven by its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    pub(super) era: Era,
    /// Length of the payload.
    pub(super) length: usize,
    checksum: u32,
}

impl FrameHeader {
    /// Bytes of the whole frame, zeros included.
    pub(super) fn frame(&self) -> usize {
        (HEADER + self.length).next_multiple_of(BLOCK)
    }

    /// Is this the payload, with nothing but zeros behind it? `rest` is the frame without its header.
    pub(super) fn payload<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let (payload, zeros) = rest.split_at_checked(self.length).ok_or("a frame is cut off")?;
        if crc32c::crc32c(payload) != self.checksum || zeros.iter().any(|byte| *byte != 0) {
            return Err("a frame's content has changed");
        }
        Ok(payload)
    }
}

/// Writes a frame.
pub(super) fn frame(identity: &Identity, era: Era, kind: Kind, number: u32, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).expect("a chunk is far smaller than 4 GiB");
    let mut out = Vec::with_capacity((HEADER + payload.len()).next_multiple_of(BLOCK));
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&identity.config.log_id.to_le_bytes());
    out.extend_from_slice(&identity.config.node.0.to_le_bytes());
    out.extend_from_slice(&identity.config.worker.0.to_le_bytes());
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&identity.partition.0.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&identity.index.0.to_le_bytes());
    out.extend_from_slice(&era.0.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.resize(HEADER, 0);
    let sum = header_checksum(&out);
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    Bytes::from(out)
}

fn header_checksum(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..HEADER])
}

/// Reads the header of the frame of that number.
pub(super) fn read_header(bytes: &[u8; HEADER], identity: &Identity, number: u32) -> Result<FrameHeader, &'static str> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    if bytes[0..3] == MAGIC[0..3] && bytes[3] > MAGIC[3] && header_checksum(bytes) == u32_at(4) {
        return Err("it was written by a newer version");
    }
    if bytes[0..4] != MAGIC || header_checksum(bytes) != u32_at(4) {
        return Err("a frame's header has changed");
    }
    let config = Config { log_id: u64_at(8), node: NodeId(u32_at(16)), worker: WorkerId(u16_at(20)) };
    let found = Identity { config, partition: PartitionId(u32_at(24)), index: LogIndex(u64_at(32)) };
    if config != identity.config {
        return Err("it belongs to another log");
    }
    if found != *identity || u32_at(28) != number {
        return Err("a frame belongs elsewhere");
    }
    let kind = Kind::read(u16_at(22)).ok_or("a frame is of no known kind")?;
    Ok(FrameHeader { kind, era: Era(u64_at(40)), length: u32_at(48) as usize, checksum: u32_at(52) })
}

/// Payload of the beginning.
pub(super) fn beginning(header: &Header) -> [u8; DIGEST] {
    header.digest.to_le_bytes()
}

/// What the beginning says.
pub(super) fn read_beginning(index: LogIndex, era: Era, payload: &[u8]) -> Option<Header> {
    let digest = u128::from_le_bytes(payload.try_into().ok()?);
    Some(Header { floor: Floor { index, era }, digest })
}

/// All chunks so far, as the end will vouch for them.
#[derive(Clone, Default)]
pub(super) struct Total {
    chunks: u32,
    bytes: u64,
    hash: Xxh3Default,
}

impl Total {
    /// One more.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.chunks += 1;
        self.bytes += chunk.len() as u64;
        self.hash.update(chunk);
    }

    /// Payload of the end.
    pub(super) fn end(&self) -> [u8; END] {
        let mut out = [0; END];
        out[0..4].copy_from_slice(&self.chunks.to_le_bytes());
        out[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        out[16..32].copy_from_slice(&self.hash.digest128().to_le_bytes());
        out
    }
}
