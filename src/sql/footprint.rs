//! Where rows live: from key values to partitions.
//!
//! Placement is VoltDB's: the value's bytes go through MurmurHash3 (x64, 128 bits, seed 0); the upper half of the first
//! word, as a signed number, is looked up in a ring of evenly spaced tokens. The ring is a function of the number of
//! partitions, so every node computes the same one.

use crate::types::{PartitionId, Value};

/// Partitions that a statement touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// None: the statement reads no table. It may run anywhere, over an empty store too.
    Constant,
    /// Exactly one.
    One(PartitionId),
    /// Several, ascending.
    Several(Vec<PartitionId>),
}

/// Tokens of the ring; VoltDB has as many.
const TOKENS: u32 = 0x4000;

/// The data partition, of `partitions`, that owns the rows with these values in the partition key's columns.
///
/// NULL alone goes to partition 1. Several columns are hashed one after the other, each with its length before it.
#[must_use]
pub fn partition_of(key: &[Value], partitions: u32) -> PartitionId {
    if partitions <= 1 {
        return PartitionId(1);
    }
    let mut bytes = Vec::with_capacity(16);
    match key {
        [Value::Null] => return PartitionId(1),
        [one] => hash_bytes(one, &mut bytes),
        several => {
            for value in several {
                let start = bytes.len();
                hash_bytes(value, &mut bytes);
                bytes.extend_from_slice(&((bytes.len() - start) as u64).to_le_bytes());
            }
        }
    }
    let hash = (murmur3_x64_128(&bytes) >> 32) as u32 as i32;
    let token = (i64::from(hash) - i64::from(i32::MIN)) as u64 / (u64::from(u32::MAX) / u64::from(TOKENS));
    PartitionId(1 + token.min(u64::from(TOKENS) - 1) as u32 % partitions)
}

/// Integers as eight bytes, little-endian, whatever their width; text as UTF-8; binary as it is.
fn hash_bytes(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.extend_from_slice(&i64::from(*b).to_le_bytes()),
        Value::Int2(i) => out.extend_from_slice(&i64::from(*i).to_le_bytes()),
        Value::Int4(i) | Value::Date(i) => out.extend_from_slice(&i64::from(*i).to_le_bytes()),
        Value::Int8(i) | Value::Timestamp(i) | Value::TimestampTz(i) => out.extend_from_slice(&i.to_le_bytes()),
        // Equal numbers must meet: -0 is 0, and every NaN is one.
        Value::Float8(f) if *f == 0.0 => out.extend_from_slice(&0_u64.to_le_bytes()),
        Value::Float8(f) if f.is_nan() => out.extend_from_slice(&f64::NAN.to_bits().to_le_bytes()),
        Value::Float8(f) => out.extend_from_slice(&f.to_bits().to_le_bytes()),
        Value::Numeric(_) => {}
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytea(bytes) => out.extend_from_slice(bytes),
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
    }
}

/// First word of MurmurHash3 x64_128 with seed 0 (Austin Appleby, public domain description).
fn murmur3_x64_128(data: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let mut blocks = data.chunks_exact(16);
    for block in &mut blocks {
        h1 ^= mix1(word(&block[..8]));
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix2(word(&block[8..]));
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let tail = blocks.remainder();
    h2 ^= mix2(word(tail.get(8..).unwrap_or_default()));
    h1 ^= mix1(word(&tail[..tail.len().min(8)]));
    h1 ^= data.len() as u64;
    h2 ^= data.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    finalise(h1).wrapping_add(finalise(h2))
}

fn finalise(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}
