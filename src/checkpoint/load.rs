//! Reads one file from its beginning to its end, frame by frame.

use super::format::{self, HEADER, Identity, Kind, Total};
use super::{CheckpointEvent, Header};
use crate::env::DiskOp;
use bytes::Bytes;

/// Read at a time.
const PIECE: u64 = 1 << 20;

/// A file that is being read.
pub(super) struct Loading {
    identity: Identity,
    /// Bytes of the file that have not been asked for.
    next: u64,
    length: u64,
    /// Read and not yet taken: begins at a frame.
    buffer: Vec<u8>,
    frames: u32,
    header: Option<Header>,
    total: Total,
    ended: bool,
}

/// How far one has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to be read.
    More,
    /// The file is whole.
    Whole,
    /// It is not.
    Damaged(&'static str),
}

impl Loading {
    /// Of a file of that length.
    pub(super) fn new(identity: Identity, length: u64) -> Self {
        Self {
            identity,
            next: 0,
            length,
            buffer: Vec::new(),
            frames: 0,
            header: None,
            total: Total::default(),
            ended: false,
        }
    }

    /// Which file.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The next piece to be read.
    pub(super) fn read(&mut self) -> DiskOp {
        let file = format::name(self.identity.partition, self.identity.index);
        let length = (self.length - self.next).min(PIECE);
        let op = DiskOp::Read { file, offset: self.next, length };
        self.next += length;
        op
    }

    /// Takes a piece; tells what is in it.
    pub(super) fn take(&mut self, piece: &[u8], tell: &mut impl FnMut(CheckpointEvent)) -> Progress {
        self.buffer.extend_from_slice(piece);
        let mut at = 0;
        let outcome = loop {
            match self.frame(at, tell) {
                Ok(Some(length)) => at += length,
                Ok(None) => break None,
                Err(reason) => break Some(reason),
            }
        };
        self.buffer.drain(..at);
        match outcome {
            Some(reason) => Progress::Damaged(reason),
            None if self.next < self.length => Progress::More,
            None if self.ended && self.buffer.is_empty() => Progress::Whole,
            None if self.ended => Progress::Damaged("something stands behind its end"),
            None => Progress::Damaged("it is cut off before its end"),
        }
    }

    /// The frame at an offset of the buffer: its length, or `None` if not all of it is there.
    fn frame(&mut self, at: usize, tell: &mut impl FnMut(CheckpointEvent)) -> Result<Option<usize>, &'static str> {
        let Some(bytes) = self.buffer[at..].first_chunk::<HEADER>() else { return Ok(None) };
        if self.ended {
            return Err("something stands behind its end");
        }
        let header = format::read_header(bytes, &self.identity, self.frames)?;
        let unread = self.length - self.next;
        if header.frame() as u64 > (self.buffer.len() - at) as u64 + unread {
            return Err("a frame is cut off");
        }
        let Some(frame) = self.buffer.get(at..at + header.frame()) else { return Ok(None) };
        let payload = header.payload(&frame[HEADER..])?;
        let partition = self.identity.partition;
        match (header.kind, self.header) {
            (Kind::Beginning, None) => {
                let found = format::read_beginning(self.identity.index, header.era, payload);
                let found = found.ok_or("its beginning has another length")?;
                self.header = Some(found);
                tell(CheckpointEvent::Found { partition, header: found });
            }
            (Kind::Chunk, Some(known)) if known.floor.era == header.era => {
                self.total.add(payload);
                tell(CheckpointEvent::Chunk { partition, bytes: Bytes::copy_from_slice(payload) });
            }
            (Kind::End, Some(known)) if known.floor.era == header.era => {
                if payload != self.total.end() {
                    return Err("its end vouches for other chunks");
                }
                self.ended = true;
            }
            _ => return Err("a frame is out of place"),
        }
        self.frames += 1;
        Ok(Some(header.frame()))
    }
}
