//! Which columns of each table are read at all.

use crate::sql::expr::Expr;
use crate::sql::plan::Node;

/// Marks the columns that scans must decode. `required`: those of this operator's output that are read above; `None`: all.
pub(super) fn mark(node: &mut Node, required: Option<Vec<bool>>) {
    let own: Vec<Option<usize>> = reads(&node.expressions());
    match node {
        Node::Scan(scan) => {
            if let Some(mut required) = required {
                required.resize(scan.wanted.len(), false);
                if add(&mut required, &own) {
                    scan.wanted = required;
                }
            }
        }
        Node::Once | Node::Nothing | Node::Values(_) | Node::Series(_) | Node::Parts => {}
        Node::Project { input, .. } => mark(input, only(&own)),
        Node::Group(group) => mark(&mut group.input, only(&own)),
        Node::Filter { input, .. } => mark(input, with(required, &own)),
        Node::Sort(sort) => mark(&mut sort.input, with(required, &own)),
        Node::Limit(limit) => mark(&mut limit.input, required),
        // Keys come with their rows.
        Node::Lock(lock) => mark(&mut lock.input, required),
        Node::Unique { input, .. } => mark(input, None),
        Node::Combine(combine) => {
            mark(&mut combine.left, None);
            mark(&mut combine.right, None);
        }
        Node::Join(join) => {
            let width = join.left_width;
            let right_keys: Vec<&Expr> = join.keys.iter().map(|(_, right, _)| right).collect();
            let others: Vec<&Expr> = join.keys.iter().map(|(left, ..)| left).chain(&join.condition).collect();
            let split = with(required, &reads(&others)).map(|mut required| {
                required.resize(width + join.right_width, false);
                let right = required.split_off(width);
                (required, right)
            });
            let right_reads = reads(&right_keys);
            let (left, right) = split.map_or((None, None), |(left, right)| (Some(left), Some(right)));
            mark(&mut join.left, left);
            mark(&mut join.right, with(right, &right_reads));
        }
    }
}

/// Columns that expressions read; `None` among them: a correlated subquery may read any.
fn reads(expressions: &[&Expr]) -> Vec<Option<usize>> {
    let mut columns = Vec::new();
    for expr in expressions {
        expr.walk(&mut |expr| match expr {
            Expr::Column(column) => columns.push(Some(*column)),
            Expr::Subquery(subquery) if subquery.slot.is_none() => columns.push(None),
            _ => {}
        });
    }
    columns
}

/// Adds columns; `false` if all are wanted.
fn add(required: &mut Vec<bool>, columns: &[Option<usize>]) -> bool {
    for column in columns {
        let Some(column) = column else { return false };
        if required.len() <= *column {
            required.resize(column + 1, false);
        }
        required[*column] = true;
    }
    true
}

fn only(columns: &[Option<usize>]) -> Option<Vec<bool>> {
    with(Some(Vec::new()), columns)
}

fn with(required: Option<Vec<bool>>, columns: &[Option<usize>]) -> Option<Vec<bool>> {
    let mut required = required?;
    add(&mut required, columns).then_some(required)
}
