//! Scan: rows of a table along its primary key or an index, the part of it that the access path names.

use super::{Flow, Row, Run};
use crate::sql::expr::{Expr, evaluate, is_true};
use crate::sql::plan::{Path, Scan};
use crate::types::{DataType, SqlError, Value, key};
use std::ops::Bound;

/// Receives each row with its key in the table's tree.
pub(in crate::sql) type KeyedSink<'s, 'a> = dyn FnMut(&mut Run<'a>, &[u8], Row) -> Result<Flow, SqlError> + 's;

/// A value as one of a key column's type can or cannot be.
enum Fit {
    Value(Value),
    /// Smaller, or greater, than any value of the type.
    Below,
    Above,
    /// NULL: nothing compares with it.
    Never,
}

pub(in crate::sql) fn run<'a>(scan: &Scan, at: &mut Run<'a>, sink: &mut KeyedSink<'_, 'a>) -> Result<Flow, SqlError> {
    let access = &scan.access;
    if access.equal.is_empty() && access.lower.is_none() && access.upper.is_none() {
        return range(scan, at, Bound::Unbounded, Bound::Unbounded, sink);
    }
    let mut key = Vec::with_capacity(32);
    prefixes(scan, 0, &mut key, at, sink)
}

/// Goes through all combinations of the values that the first key columns may equal, in key order.
fn prefixes<'a>(
    scan: &Scan,
    column: usize,
    key: &mut Vec<u8>,
    at: &mut Run<'a>,
    sink: &mut KeyedSink<'_, 'a>,
) -> Result<Flow, SqlError> {
    let access = &scan.access;
    let Some(alternatives) = access.equal.get(column) else { return bounded(scan, key, at, sink) };
    let (_, data_type, descending) = access.columns[column];
    let length = key.len();
    if let [one] = alternatives.as_slice() {
        if let Fit::Value(value) = fit(evaluate(one, &[], at)?, data_type) {
            key::encode(key, &value, data_type, descending);
            let flow = prefixes(scan, column + 1, key, at, sink)?;
            key.truncate(length);
            return Ok(flow);
        }
        return Ok(Flow::More);
    }
    let mut encoded = Vec::with_capacity(alternatives.len());
    for alternative in alternatives {
        if let Fit::Value(value) = fit(evaluate(alternative, &[], at)?, data_type) {
            let mut bytes = Vec::new();
            key::encode(&mut bytes, &value, data_type, descending);
            encoded.push(bytes);
        }
    }
    encoded.sort();
    encoded.dedup();
    if access.backwards {
        encoded.reverse();
    }
    for bytes in encoded {
        key.extend_from_slice(&bytes);
        let flow = prefixes(scan, column + 1, key, at, sink)?;
        key.truncate(length);
        if flow == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

/// One prefix: a point if it is a whole key, else the range behind it.
fn bounded<'a>(scan: &Scan, prefix: &[u8], at: &mut Run<'a>, sink: &mut KeyedSink<'_, 'a>) -> Result<Flow, SqlError> {
    let access = &scan.access;
    if access.equal.len() == access.columns.len() && access.path == Path::Primary {
        return match at.store.get(scan.table.tree, prefix) {
            Some(bytes) => emit(scan, at, prefix, bytes, sink),
            None => Ok(Flow::More),
        };
    }
    let end = key::prefix_successor(prefix);
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    if access.lower.is_none() && access.upper.is_none() {
        return range(scan, at, Bound::Included(prefix), end, sink);
    }
    let (_, data_type, descending) = access.columns[access.equal.len()];
    let (mut from, mut to) = (None, None);
    for (bound, is_lower) in [(&access.lower, true), (&access.upper, false)] {
        let Some((expr, inclusive)) = bound else { continue };
        let value = match fit(evaluate(expr, &[], at)?, data_type) {
            Fit::Value(value) => value,
            // Beyond the type on the harmless side: no bound; on the other: nothing qualifies.
            Fit::Below if is_lower => continue,
            Fit::Above if !is_lower => continue,
            _ => return Ok(Flow::More),
        };
        let mut edge = prefix.to_vec();
        key::encode(&mut edge, &value, data_type, descending);
        // A lower bound is where the range begins, unless the column descends.
        let begins = is_lower != descending;
        if begins != *inclusive {
            let Some(successor) = key::prefix_successor(&edge) else { return Ok(Flow::More) };
            edge = successor;
        }
        *(if begins { &mut from } else { &mut to }) = Some(edge);
    }
    // NULL qualifies for no range: it lies behind the values, or before them when the column descends.
    let mut edge = prefix.to_vec();
    edge.push(if descending { 0xff } else { 0x01 });
    let from = from.unwrap_or_else(|| if descending { edge.clone() } else { prefix.to_vec() });
    let to = match (&to, descending) {
        (Some(to), _) => Bound::Excluded(to.as_slice()),
        (None, false) => Bound::Excluded(edge.as_slice()),
        (None, true) => end,
    };
    range(scan, at, Bound::Included(&from), to, sink)
}

fn range<'a>(
    scan: &Scan,
    at: &mut Run<'a>,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    sink: &mut KeyedSink<'_, 'a>,
) -> Result<Flow, SqlError> {
    let store = at.store;
    let (table, access) = (&scan.table, &scan.access);
    let mut each = |key: &[u8], value: &[u8]| match access.path {
        Path::Primary => emit(scan, at, key, value, sink),
        Path::Index(_) => {
            let bytes = store.get(table.tree, value).ok_or_else(|| {
                SqlError::new(crate::types::SqlState::DATA_CORRUPTED, "an index entry without its row")
            })?;
            emit(scan, at, value, bytes, sink)
        }
    };
    let tree = match access.path {
        Path::Primary => table.tree,
        Path::Index(index) => table.indexes[index].tree,
    };
    let mut entries = store.scan(tree, from, to);
    while let Some((key, value)) = if access.backwards { entries.next_back() } else { entries.next() } {
        if each(key, value)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn emit<'a>(
    scan: &Scan,
    at: &mut Run<'a>,
    key: &[u8],
    bytes: &[u8],
    sink: &mut KeyedSink<'_, 'a>,
) -> Result<Flow, SqlError> {
    let row = scan.table.read_row(bytes, &scan.wanted)?;
    match &scan.condition {
        Some(condition) if !is_true(condition, &row, at)? => Ok(Flow::More),
        _ => sink(at, key, row),
    }
}

/// A value compared with a key column, as a value of the column's type. Only integers differ from it in width.
fn fit(value: Value, data_type: DataType) -> Fit {
    let wide = match (&value, data_type) {
        (Value::Null, _) => return Fit::Never,
        (Value::Int2(v), DataType::Int4 | DataType::Int8) => i64::from(*v),
        (Value::Int4(v), DataType::Int2 | DataType::Int8) => i64::from(*v),
        (Value::Int8(v), DataType::Int2 | DataType::Int4) => *v,
        _ => return Fit::Value(value),
    };
    let beyond = if wide < 0 { Fit::Below } else { Fit::Above };
    match data_type {
        DataType::Int2 => i16::try_from(wide).map_or(beyond, |v| Fit::Value(Value::Int2(v))),
        DataType::Int4 => i32::try_from(wide).map_or(beyond, |v| Fit::Value(Value::Int4(v))),
        _ => Fit::Value(Value::Int8(wide)),
    }
}

/// The partition key's value of an expression known before execution, for hashing; `None`: no row can have it.
pub(in crate::sql) fn fitted(expr: &Expr, data_type: DataType, at: &mut Run<'_>) -> Result<Option<Value>, SqlError> {
    Ok(fitted_value(evaluate(expr, &[], at)?, data_type))
}

/// As [`fitted`], of a value.
pub(in crate::sql) fn fitted_value(value: Value, data_type: DataType) -> Option<Value> {
    match fit(value, data_type) {
        Fit::Value(value) => Some(value),
        // A row whose key is NULL has a place too.
        Fit::Never => Some(Value::Null),
        Fit::Below | Fit::Above => None,
    }
}
