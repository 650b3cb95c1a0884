//! Where rows live: from key values to partitions, and what part of the rows one partition has.
//!
//! - **Hash**: placement is VoltDB's. The value's bytes go through MurmurHash3 (x64, 128 bits, seed 0); the upper half of
//!   the first word, as a signed number, is looked up in a ring of evenly spaced tokens. The ring is a function of the
//!   number of partitions, so every node computes the same one.
//! - **Hash without a key** (a hidden row id): all rows of the table are together, in the partition to which its number
//!   hashes. An INSERT then concerns one partition, and nothing depends on who gives the ids.
//! - **Range**: the ranges between the split points are dealt out to the partitions in turn.
//! - **Replicated**: every partition has all rows.
//!
//! # Invariants
//! - A row's place follows from its partition key, the table's definition and the number of partitions: who holds the
//!   definition needs no directory.
//! - Values that are equal in SQL have one place: `char(n)` is hashed without its trailing blanks, `-0` as `0`, integers
//!   by value whatever their width.

use crate::catalog::{Placement, Table};
use crate::types::value::trim_blanks;
use crate::types::{DataType, PartitionId, Value};

/// What part of the rows an executor has: those that belong to one of so many data partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The partition.
    pub own: PartitionId,
    /// Number of data partitions: 1..=`partitions`.
    pub partitions: u32,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Home {
    /// In every partition.
    Everywhere,
    At(PartitionId),
}

impl Share {
    /// Is a row of this table in this share?
    #[must_use]
    pub fn has(self, table: &Table, row: &[Value]) -> bool {
        match home(table, row, self.partitions) {
            Home::Everywhere => true,
            Home::At(partition) => partition == self.own,
        }
    }
}

/// Where a row belongs; only the columns of the partition key are looked at.
pub(super) fn home(table: &Table, row: &[Value], partitions: u32) -> Home {
    match (&table.placement, table.partition_key.as_slice()) {
        (Placement::Replicated, _) => Home::Everywhere,
        (_, []) => Home::At(home_of(table, partitions)),
        (_, [column]) => Home::At(home_of_key(table, std::slice::from_ref(&row[*column]), partitions)),
        (_, columns) => {
            let key: Vec<Value> = columns.iter().map(|column| row[*column].clone()).collect();
            Home::At(home_of_key(table, &key, partitions))
        }
    }
}

/// The one partition of a table without a partition key.
pub(super) fn home_of(table: &Table, partitions: u32) -> PartitionId {
    partition_of(&[Value::Int8(i64::from(table.id.0))], partitions)
}

/// The partition of the rows with these values in the partition key's columns.
pub(super) fn home_of_key(table: &Table, key: &[Value], partitions: u32) -> PartitionId {
    if let (Placement::Range(splits), [value]) = (&table.placement, key) {
        let data_type = table.columns[table.partition_key[0]].data_type;
        let range = splits.partition_point(|split| split.compare_as(value, data_type).is_le());
        return PartitionId(1 + u32::try_from(range).unwrap_or(u32::MAX) % partitions.max(1));
    }
    let is_char = |column: &usize| matches!(table.columns[*column].data_type, DataType::Char(_));
    if !table.partition_key.iter().any(is_char) {
        return partition_of(key, partitions);
    }
    let trimmed = key.iter().zip(&table.partition_key).map(|(value, column)| match value {
        Value::Text(text) if is_char(column) => Value::text(trim_blanks(text)),
        other => other.clone(),
    });
    partition_of(&trimmed.collect::<Vec<_>>(), partitions)
}

/// Do rows of two tables with equal values in their partition keys, column by column, live together?
pub(super) fn alike(a: &Table, b: &Table) -> bool {
    // Types whose values compare without a cast, and are then hashed alike.
    let kind = |table: &Table, column: usize| match table.columns[column].data_type {
        DataType::Int2 | DataType::Int4 | DataType::Int8 => DataType::Int8,
        DataType::Varchar(_) => DataType::Text,
        other => other.base(),
    };
    let keys = a.partition_key.iter().zip(&b.partition_key);
    match (&a.placement, &b.placement) {
        _ if a.id == b.id => true,
        (Placement::Replicated, _) | (_, Placement::Replicated) => false,
        (of_a, of_b) => {
            of_a == of_b
                && !a.partition_key.is_empty()
                && a.partition_key.len() == b.partition_key.len()
                && keys.into_iter().all(|(l, r)| kind(a, *l) == kind(b, *r))
        }
    }
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
        // The order-preserving form: equal numbers of different scale meet.
        Value::Numeric(number) => number.write_key(out),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_meet_as_in_a_real_voltdb() {
        // VoltDB 11.4 with two partitions keeps 0 and 1 together and 2 apart from them.
        let partition = |key: i64| partition_of(&[Value::Int8(key)], 2);
        assert_eq!(partition(0), partition(1));
        assert_ne!(partition(0), partition(2));
        assert_eq!(partition_of(&[Value::Int2(2)], 2), partition_of(&[Value::Int8(2)], 2));
        assert_eq!(partition_of(&[Value::Null], 7), PartitionId(1));
    }

    #[test]
    fn every_partition_gets_its_share() {
        let mut rows = [0_u32; 5];
        for key in 0..5_000 {
            rows[partition_of(&[Value::Int4(key)], 5).0 as usize - 1] += 1;
        }
        assert!(rows.iter().all(|rows| (900..1_100).contains(rows)), "{rows:?}");
    }

    #[test]
    fn murmur_has_the_published_values() {
        assert_eq!(murmur3_x64_128(b""), 0);
        assert_eq!(murmur3_x64_128(b"hello"), 0xcbd8_a7b3_41bd_9b02);
        assert_eq!(murmur3_x64_128(b"The quick brown fox jumps over the lazy dog"), 0xe34b_bc7b_bc07_1b6c);
    }
}
