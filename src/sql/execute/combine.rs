//! Combine: UNION, INTERSECT, EXCEPT. Rows come in the order of the left input, for UNION then the right.

use super::unique::identity;
use super::{Flow, Row, Run, Sink, run as run_node};
use crate::sql::plan::{Combine, CombineKind};
use crate::types::SqlError;
use crate::types::collections::{HashMap, HashSet};

pub(super) fn run<'a>(node: &Combine, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let identity = |row: &Row| identity(row.iter().zip(node.types.iter().copied()));
    if node.kind == CombineKind::Union {
        let mut seen: HashSet<Vec<u8>> = HashSet::default();
        for input in [&node.left, &node.right] {
            let flow = run_node(input, at, &mut |at, row| {
                if node.all || seen.insert(identity(&row)) { sink(at, row) } else { Ok(Flow::More) }
            })?;
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        return Ok(Flow::More);
    }
    let mut right: HashMap<Vec<u8>, u64> = HashMap::default();
    run_node(&node.right, at, &mut |_, row| {
        *right.entry(identity(&row)).or_insert(0) += 1;
        Ok(Flow::More)
    })?;
    let mut seen: HashSet<Vec<u8>> = HashSet::default();
    run_node(&node.left, at, &mut |at, row| {
        let identity = identity(&row);
        let passes = if node.all {
            // Each right row pairs with one left row.
            let paired = right.get_mut(&identity).is_some_and(|left| {
                let any = *left > 0;
                *left -= u64::from(any);
                any
            });
            paired == (node.kind == CombineKind::Intersect)
        } else {
            right.contains_key(&identity) == (node.kind == CombineKind::Intersect) && seen.insert(identity)
        };
        if passes { sink(at, row) } else { Ok(Flow::More) }
    })
}
