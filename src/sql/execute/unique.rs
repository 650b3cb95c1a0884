//! Unique: DISTINCT. The first row of each kind passes, in the order of the input.

use super::{Flow, Row, Run, Sink, run as run_node};
use crate::sql::plan::Node;
use crate::types::collections::HashSet;
use crate::types::{DataType, SqlError, Value, key};

pub(super) fn run<'a>(
    input: &Node,
    columns: &[(usize, DataType)],
    at: &mut Run<'a>,
    sink: &mut Sink<'_, 'a>,
) -> Result<Flow, SqlError> {
    let mut seen: HashSet<Vec<u8>> = HashSet::default();
    run_node(input, at, &mut |at, row: Row| {
        let identity = identity(columns.iter().map(|(column, data_type)| (&row[*column], *data_type)));
        if seen.insert(identity) { sink(at, row) } else { Ok(Flow::More) }
    })
}

/// Bytes that are equal exactly for rows that are not distinct.
pub(super) fn identity<'v>(values: impl Iterator<Item = (&'v Value, DataType)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    for (value, data_type) in values {
        key::encode(&mut bytes, value, data_type, false);
    }
    bytes
}
