//! Where rows live: from key values to partitions.
//!
//! Placement is VoltDB's: the value's bytes go through MurmurHash3 (x64, 128 bits, seed 0); the upper half of the first
//! word, as a signed number, is looked up in a ring of evenly spaced tokens. The ring is a function of the number of
//! partitions, so every node computes the same one.

use super::context::Context;
use super::execute::{Run, fitted, fitted_value};
use super::expr::Expr;
use super::plan::{Node, Scan, Write, scans_in};
use crate::catalog::Table;
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{DataType, PartitionId, Rng, SqlError, Timestamp, Value};
use std::sync::Arc;

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

/// Where a statement's tables are touched, as far as planning can tell.
#[derive(Debug, Default)]
pub(super) struct Placement(Vec<Touch>);

/// One table.
#[derive(Debug)]
enum Touch {
    /// Anywhere.
    Everywhere,
    /// Rows whose partition key is one of these combinations: alternatives for each column.
    Pinned(Vec<(DataType, Vec<Expr>)>),
    /// A system table: in no partition.
    System(Arc<Table>),
}

impl Placement {
    pub(super) fn of_query(plan: &Node) -> Self {
        let mut touches = Vec::new();
        plan.scans(&mut |scan| touches.push(Touch::of_scan(scan)));
        Self(touches)
    }

    pub(super) fn of_write(write: &Write) -> Self {
        let mut touches = Vec::new();
        let (scan, target, others) = match write {
            // Known only when the data are: all of them belong into one command, so they may go anywhere.
            Write::Copy(_) => return Self(vec![Touch::Everywhere]),
            Write::Truncate(tables) => return Self(tables.iter().map(|_| Touch::Everywhere).collect()),
            Write::Insert(insert) => {
                insert.source.scans(&mut |scan| touches.push(Touch::of_scan(scan)));
                touches.extend(Touch::of_rows(&insert.target.table, insert.keys.as_deref()));
                let update = insert.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
                let others: Vec<_> = update
                    .flat_map(|(assignments, condition)| assignments.iter().map(|(_, expr)| expr).chain(condition))
                    .collect();
                (None, &insert.target, others)
            }
            Write::Update(update) => {
                let moves = |(column, _): &(usize, Expr)| update.target.table.partition_key.contains(column);
                if update.assignments.iter().any(moves) {
                    // The new value may belong elsewhere.
                    touches.push(Touch::Everywhere);
                }
                (Some(&update.scan), &update.target, update.assignments.iter().map(|(_, expr)| expr).collect())
            }
            Write::Delete(delete) => (Some(&delete.scan), &delete.target, Vec::new()),
        };
        if let Some(scan) = scan {
            touches.push(Touch::of_scan(scan));
        }
        let scanned = scan.map(Scan::expressions).unwrap_or_default();
        for expr in others.into_iter().chain(scanned).chain(target.returning.iter().flatten()) {
            scans_in(expr, &mut |scan| touches.push(Touch::of_scan(scan)));
        }
        Self(touches)
    }

    /// The system tables that are read.
    pub(super) fn system_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.0.iter().filter_map(|touch| if let Touch::System(table) = touch { Some(table) } else { None })
    }

    /// No place has both rows of a partition and those of a system table.
    pub(super) fn check(&self) -> Result<(), SqlError> {
        match self.system_tables().next() {
            Some(table) if self.system_tables().count() < self.0.len() => Err(SqlError::unsupported(format!(
                "a statement cannot read \"system.{}\" together with ordinary tables",
                table.name
            ))
            .hint("Read the system table in a statement of its own.")),
            _ => Ok(()),
        }
    }

    pub(super) fn footprint(&self, parameters: &[Value], partitions: u32) -> Result<Footprint, SqlError> {
        if self.0.iter().all(|touch| matches!(touch, Touch::System(_))) {
            return Ok(Footprint::Constant);
        }
        if partitions <= 1 {
            return Ok(Footprint::One(PartitionId(1)));
        }
        let mut found: Vec<PartitionId> = Vec::new();
        for touch in &self.0 {
            match touch {
                Touch::System(_) => {}
                Touch::Everywhere => found.extend((1..=partitions).map(PartitionId)),
                Touch::Pinned(columns) => {
                    for key in combinations(columns, parameters)? {
                        found.push(partition_of(&key, partitions));
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
        }
        Ok(match found.as_slice() {
            // No row can qualify: any partition can say so.
            [] => Footprint::One(PartitionId(1)),
            [one] => Footprint::One(*one),
            _ => Footprint::Several(found),
        })
    }
}

impl Touch {
    fn of_scan(scan: &Scan) -> Self {
        if scan.table.is_system() {
            return Self::System(Arc::clone(&scan.table));
        }
        let Some(pinned) = &scan.pinned else { return Self::Everywhere };
        let types = scan.table.partition_key.iter().map(|column| scan.table.columns[*column].data_type);
        Self::Pinned(types.zip(pinned.iter().cloned()).collect())
    }

    fn of_rows(table: &Table, keys: Option<&[Vec<Expr>]>) -> Vec<Self> {
        let Some(keys) = keys else { return vec![Self::Everywhere] };
        let types = || table.partition_key.iter().map(|column| table.columns[*column].data_type);
        keys.iter()
            .map(|key| Self::Pinned(types().zip(key.iter().map(|value| vec![value.clone()])).collect()))
            .collect()
    }
}

/// All partition keys that the alternatives allow, with their values. NULL can be inserted but not found; both go together.
fn combinations(columns: &[(DataType, Vec<Expr>)], parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
    let mut keys: Vec<Vec<Value>> = vec![Vec::with_capacity(columns.len())];
    for (data_type, alternatives) in columns {
        let mut longer = Vec::with_capacity(keys.len() * alternatives.len());
        for alternative in alternatives {
            let Some(value) = value_of(alternative, *data_type, parameters)? else { continue };
            for key in &keys {
                let mut key = key.clone();
                key.push(value.clone());
                longer.push(key);
            }
        }
        keys = longer;
    }
    Ok(keys)
}

fn value_of(expr: &Expr, data_type: DataType, parameters: &[Value]) -> Result<Option<Value>, SqlError> {
    // Nearly always it is a parameter: without the surroundings of a general expression.
    match expr {
        Expr::Constant(value) => return Ok(fitted_value(value.clone(), data_type)),
        Expr::Parameter(number) => {
            if let Some(value) = parameters.get(*number) {
                return Ok(fitted_value(value.clone(), data_type));
            }
        }
        _ => {}
    }
    let store = Store::new();
    let mut context = Context::new(Timestamp(0), Rng::from_seed([0; 32]), "UTC", 0);
    fitted(expr, data_type, &mut Run::new(&store, parameters, &mut context))
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
