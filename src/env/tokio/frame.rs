//! What travels between nodes, byte by byte. Pure: bytes in, values out.
//!
//! A connection carries messages one way, from the node that opened it. It begins with a *hello*, answered by a
//! *welcome*; after that come *frames*. All numbers are little-endian.
//!
//! ```text
//! hello, welcome:  "ORRY" | version u16 | length u16 | crc32c u32 | body (length bytes, postcard)
//! frame:           length u32 | crc32c u32 | kind u8 | 0 u8 | 0 u16 | port u32 | payload (length bytes)
//! ```
//!
//! The checksum of a hello covers version, length and body; that of a frame covers everything but itself. `kind` is 1
//! for a partition's port and 2 for a worker's. A frame is longer than [`MAX_FRAME`] only if it is damaged or hostile.
//!
//! A hello names the cluster, both nodes and the *life* of the process that sends it: the receiver keeps one connection
//! of each worker of a peer, and a new one ends the one before, so that nothing of an earlier life arrives after it.

use crate::env::Port;
use crate::types::{NodeId, PartitionId, WorkerId};
use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of this protocol. A node speaks one; the hello is where another would be negotiated.
pub const VERSION: u16 = 1;
/// Longest payload.
pub const MAX_FRAME: usize = 64 << 20;
/// Bytes before the payload.
pub const FRAME_HEADER: usize = 16;
/// Bytes before the body of a hello or welcome.
pub const HELLO_HEADER: usize = 12;

const MAGIC: [u8; 4] = *b"ORRY";
/// Longest body of a hello or welcome.
const MAX_HELLO: usize = 1024;
const KIND_PARTITION: u8 = 1;
const KIND_WORKER: u8 = 2;

/// Bytes that cannot be: the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not our protocol at all.
    #[error("it does not speak Orrery's peer protocol")]
    Magic,
    /// Another version of it.
    #[error("it speaks version {0} of the peer protocol, this node version {VERSION}")]
    Version(u16),
    /// Longer than anything may be.
    #[error("a length of {0} bytes, above the limit")]
    Length(usize),
    /// Damaged.
    #[error("a wrong checksum")]
    Checksum,
    /// Checksum right, content not understood.
    #[error("content that makes no sense: {0}")]
    Content(&'static str),
}

/// Who opens a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Name of the cluster.
    pub cluster: String,
    /// Who opens it.
    pub from: NodeId,
    /// Which worker of it.
    pub worker: WorkerId,
    /// Which life of the process: random.
    pub life: u64,
    /// Who is meant.
    pub to: NodeId,
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on.
    Accepted,
    /// The connection will be closed, and this is why.
    Refused(String),
}

#[derive(Serialize, Deserialize)]
enum HelloBody {
    V1(Hello),
}

#[derive(Serialize, Deserialize)]
enum WelcomeBody {
    V1(Welcome),
}

/// A hello as bytes.
#[must_use]
pub fn encode_hello(hello: &Hello) -> Bytes {
    envelope(&HelloBody::V1(hello.clone()))
}

/// A welcome as bytes. A long reason is cut.
#[must_use]
pub fn encode_welcome(welcome: &Welcome) -> Bytes {
    let cut = match welcome {
        Welcome::Refused(reason) => Welcome::Refused(reason.chars().take(200).collect()),
        Welcome::Accepted => Welcome::Accepted,
    };
    envelope(&WelcomeBody::V1(cut))
}

fn envelope(body: &impl Serialize) -> Bytes {
    let body = postcard::to_stdvec(body).expect("numbers and short texts always encode");
    let mut bytes = BytesMut::with_capacity(HELLO_HEADER + body.len());
    let length = u16::try_from(body.len()).expect("names are checked to be short before a hello is made");
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[4..8]), &body);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes.freeze()
}

/// Looks at the first [`HELLO_HEADER`] bytes of a connection: how long the body is.
///
/// # Errors
/// When it is something else.
pub fn hello_length(header: &[u8; HELLO_HEADER]) -> Result<usize, Malformed> {
    if header[..4] != MAGIC {
        return Err(Malformed::Magic);
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let length = usize::from(u16::from_le_bytes([header[6], header[7]]));
    if length > MAX_HELLO {
        return Err(Malformed::Length(length));
    }
    Ok(length)
}

fn hello_body<'a, T: Deserialize<'a>>(header: &[u8; HELLO_HEADER], body: &'a [u8]) -> Result<T, Malformed> {
    let expected = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    if crc32c::crc32c_append(crc32c::crc32c(&header[4..8]), body) != expected {
        return Err(Malformed::Checksum);
    }
    postcard::from_bytes(body).map_err(|_| Malformed::Content("hello"))
}

/// Reads a hello's body.
///
/// # Errors
/// When it is damaged.
pub fn decode_hello(header: &[u8; HELLO_HEADER], body: &[u8]) -> Result<Hello, Malformed> {
    let HelloBody::V1(hello) = hello_body(header, body)?;
    Ok(hello)
}

/// Reads a welcome's body.
///
/// # Errors
/// When it is damaged.
pub fn decode_welcome(header: &[u8; HELLO_HEADER], body: &[u8]) -> Result<Welcome, Malformed> {
    let WelcomeBody::V1(welcome) = hello_body(header, body)?;
    Ok(welcome)
}

/// The header of a frame with that payload.
///
/// # Panics
/// When the payload is longer than [`MAX_FRAME`]: the sender checks.
#[must_use]
pub fn frame_header(port: Port, payload: &[u8]) -> [u8; FRAME_HEADER] {
    assert!(payload.len() <= MAX_FRAME, "nobody sends a frame that everybody refuses");
    let (kind, number) = match port {
        Port::Partition(partition) => (KIND_PARTITION, partition.0),
        Port::Worker(worker) => (KIND_WORKER, u32::from(worker.0)),
    };
    let mut header = [0; FRAME_HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8] = kind;
    header[12..].copy_from_slice(&number.to_le_bytes());
    let checksum = frame_checksum(&header, payload);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn frame_checksum(header: &[u8], payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..FRAME_HEADER]);
    crc32c::crc32c_append(checksum, payload)
}

/// Takes the next whole frame off the front of `buffer`; `None` while it is not all there.
///
/// # Errors
/// When what is there cannot become one.
pub fn next_frame(buffer: &mut BytesMut) -> Result<Option<(Port, Bytes)>, Malformed> {
    if buffer.len() < FRAME_HEADER {
        return Ok(None);
    }
    let mut header = [0; FRAME_HEADER];
    header.copy_from_slice(&buffer[..FRAME_HEADER]);
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = word(0) as usize;
    if length > MAX_FRAME {
        return Err(Malformed::Length(length));
    }
    if buffer.len() < FRAME_HEADER + length {
        return Ok(None);
    }
    if frame_checksum(&header, &buffer[FRAME_HEADER..FRAME_HEADER + length]) != word(4) {
        return Err(Malformed::Checksum);
    }
    let number = word(12);
    let port = match header[8] {
        KIND_PARTITION => Port::Partition(PartitionId(number)),
        KIND_WORKER => {
            Port::Worker(WorkerId(u16::try_from(number).map_err(|_| Malformed::Content("a worker's number"))?))
        }
        _ => return Err(Malformed::Content("a port of unknown kind")),
    };
    let mut frame = buffer.split_to(FRAME_HEADER + length);
    frame.advance(FRAME_HEADER);
    Ok(Some((port, frame.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello { cluster: "orrery".into(), from: NodeId(2), worker: WorkerId(1), life: 77, to: NodeId(3) }
    }

    fn header(bytes: &[u8]) -> [u8; HELLO_HEADER] {
        bytes[..HELLO_HEADER].try_into().unwrap()
    }

    #[test]
    fn a_hello_has_these_bytes_for_ever() {
        let bytes = encode_hello(&hello());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"4f52525901000c00e48d98fd00066f727265727902014d03");
        assert_eq!(hello_length(&header(&bytes)), Ok(bytes.len() - HELLO_HEADER));
        assert_eq!(decode_hello(&header(&bytes), &bytes[HELLO_HEADER..]), Ok(hello()));
    }

    #[test]
    fn a_frame_has_these_bytes_for_ever() {
        let payload = b"tick";
        let bytes = [&frame_header(Port::Partition(PartitionId(9)), payload)[..], payload].concat();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"04000000de32c2a701000000090000007469636b");
    }

    #[test]
    fn a_long_refusal_still_fits() {
        let bytes = encode_welcome(&Welcome::Refused("é".repeat(5000)));
        assert!(hello_length(&header(&bytes)).is_ok());
    }

    #[test]
    fn what_is_not_ours_is_told_apart() {
        let mut bytes = encode_hello(&hello()).to_vec();
        assert_eq!(hello_length(b"GET / HTTP/1"), Err(Malformed::Magic));
        bytes[4] = 9;
        assert_eq!(hello_length(&header(&bytes)), Err(Malformed::Version(9)));
        let mut buffer = BytesMut::from(&[0xff_u8; 16][..]);
        assert_eq!(next_frame(&mut buffer), Err(Malformed::Length(0xffff_ffff)));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec((any::<bool>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            cut in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            let mut sent = Vec::new();
            for (partition, number, payload) in frames {
                let port = if partition {
                    Port::Partition(PartitionId(u32::from(number) * 7))
                } else {
                    Port::Worker(WorkerId(number))
                };
                wire.extend_from_slice(&frame_header(port, &payload));
                wire.extend_from_slice(&payload);
                sent.push((port, Bytes::from(payload)));
            }
            let mut buffer = BytesMut::new();
            let mut received = Vec::new();
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = next_frame(&mut buffer).unwrap() {
                    received.push(frame);
                }
            }
            prop_assert_eq!(sent, received);
        }

        #[test]
        fn a_flipped_bit_never_passes(payload in prop::collection::vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
            let mut wire = frame_header(Port::Worker(WorkerId(1)), &payload).to_vec();
            wire.extend_from_slice(&payload);
            let bit = bit.index(wire.len() * 8);
            wire[bit / 8] ^= 1 << (bit % 8);
            let mut buffer = BytesMut::from(&wire[..]);
            // A flipped length waits for more or runs into the checksum; nothing else is ever taken for a frame.
            prop_assert!(!matches!(next_frame(&mut buffer), Ok(Some(_))));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if bytes.len() >= HELLO_HEADER {
                let _ = hello_length(&header(&bytes));
                let _ = decode_hello(&header(&bytes), &bytes[HELLO_HEADER..]);
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = next_frame(&mut buffer) {}
        }
    }
}
