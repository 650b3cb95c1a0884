//! Sort: all rows of the input, ordered; ties stay in the order in which they came. With a limit above it keeps only the
//! rows that can still be wanted.

use super::{Flow, Row, Run, Sink, count, run as run_node};
use crate::sql::expr::evaluate;
use crate::sql::plan::{Sort, SortKey};
use crate::types::{SqlError, Value};
use std::cmp::Ordering;

struct Item {
    key: Vec<Value>,
    row: Row,
}

pub(super) fn run<'a>(node: &Sort, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let top = match &node.top {
        None => usize::MAX,
        Some((limit, offset)) => {
            let offset = count(offset.as_ref(), false, at)?.unwrap_or(0);
            let limit = count(limit.as_ref(), true, at)?.unwrap_or(u64::MAX);
            usize::try_from(limit.saturating_add(offset)).unwrap_or(usize::MAX)
        }
    };
    let mut items: Vec<Item> = Vec::new();
    run_node(&node.input, at, &mut |at, row| {
        let mut key = Vec::with_capacity(node.keys.len());
        for part in &node.keys {
            key.push(evaluate(&part.expr, &row, at)?);
        }
        items.push(Item { key, row });
        // Sorting twice as many as wanted every so often costs less than a heap, and keeps ties stable.
        if top < usize::MAX / 2 && items.len() >= 2 * top + 16 {
            items.sort_by(|a, b| compare(&node.keys, &a.key, &b.key));
            items.truncate(top);
        }
        Ok(Flow::More)
    })?;
    items.sort_by(|a, b| compare(&node.keys, &a.key, &b.key));
    items.truncate(top);
    for item in items {
        if sink(at, item.row)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn compare(keys: &[SortKey], a: &[Value], b: &[Value]) -> Ordering {
    for ((key, a), b) in keys.iter().zip(a).zip(b) {
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if key.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let order = a.compare_as(b, key.data_type);
                if key.descending { order.reverse() } else { order }
            }
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
