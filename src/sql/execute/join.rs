//! Join: for each left row the right rows that match, in the order of both inputs. Equal columns are found by hash.
//!
//! Right rows without a partner (RIGHT, FULL) come last, in their own order.

use super::unique::identity;
use super::{Flow, Row, Run, Sink, run as run_node};
use crate::sql::expr::{Expr, evaluate, is_true};
use crate::sql::plan::{Join, JoinKind};
use crate::types::collections::HashMap;
use crate::types::{SqlError, Value};

pub(super) fn run<'a>(node: &Join, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let mut right: Vec<Row> = Vec::new();
    let mut by_key: HashMap<Vec<u8>, Vec<usize>> = HashMap::default();
    run_node(&node.right, at, &mut |at, row| {
        if !node.keys.is_empty()
            && let Some(identity) = key(node, &row, at, |(_, right, _)| right)?
        {
            by_key.entry(identity).or_default().push(right.len());
        }
        right.push(row);
        Ok(Flow::More)
    })?;
    let everything: Vec<usize> = (0..right.len()).collect();
    let mut partnered = vec![false; right.len()];
    let flow = run_node(&node.left, at, &mut |at, left| {
        let candidates: &[usize] = if node.keys.is_empty() {
            &everything
        } else {
            let identity = key(node, &left, at, |(left, ..)| left)?;
            identity.and_then(|identity| by_key.get(&identity)).map_or(&[], Vec::as_slice)
        };
        let mut matched = false;
        for place in candidates {
            let mut row = left.clone();
            row.extend_from_slice(&right[*place]);
            if let Some(condition) = &node.condition
                && !is_true(condition, &row, at)?
            {
                continue;
            }
            matched = true;
            partnered[*place] = true;
            if sink(at, row)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        if !matched && matches!(node.kind, JoinKind::Left | JoinKind::Full) {
            let mut row = left;
            row.resize(node.left_width + node.right_width, Value::Null);
            return sink(at, row);
        }
        Ok(Flow::More)
    })?;
    if flow == Flow::Stop || matches!(node.kind, JoinKind::Inner | JoinKind::Left) {
        return Ok(flow);
    }
    for (place, row) in right.into_iter().enumerate() {
        if !partnered[place] {
            let mut joined = vec![Value::Null; node.left_width];
            joined.extend(row);
            if sink(at, joined)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }
    Ok(Flow::More)
}

type Keyed = (Expr, Expr, crate::types::DataType);

/// The bytes of one side's key; `None` if a part is NULL, which equals nothing.
fn key(node: &Join, row: &Row, at: &mut Run<'_>, side: impl Fn(&Keyed) -> &Expr) -> Result<Option<Vec<u8>>, SqlError> {
    let mut values = Row::with_capacity(node.keys.len());
    for pair in &node.keys {
        // Integers of different width are equal by value, and must be so by their bytes.
        let value = match evaluate(side(pair), row, at)? {
            Value::Null => return Ok(None),
            Value::Int2(value) => Value::Int8(i64::from(value)),
            Value::Int4(value) => Value::Int8(i64::from(value)),
            other => other,
        };
        values.push(value);
    }
    Ok(Some(identity(values.iter().zip(node.keys.iter().map(|(_, _, data_type)| *data_type)))))
}
