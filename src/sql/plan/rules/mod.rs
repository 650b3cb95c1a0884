//! Rules that make a plan cheaper without changing its rows: conditions sink towards the tables, tables are read along
//! the tree that serves them best, sorts that the tree makes superfluous go, and columns nobody reads stay undecoded.
//!
//! The choice depends on the statement and the catalog alone (no statistics), so every replica makes the same.

mod choose;
mod sink;
mod wanted;

use super::{Node, Rows, Sort, SortKey};

/// Improves a whole plan.
pub(in crate::sql) fn optimise(node: Node) -> Node {
    let mut node = place(sink::sink(node));
    wanted::mark(&mut node, None);
    node
}

/// Improves what an UPDATE or DELETE runs over; it needs all columns.
pub(in crate::sql) fn optimise_rows(rows: &mut Rows) {
    match rows {
        Rows::Scan(scan) => {
            choose::choose(scan, &[], false);
        }
        Rows::Join(node) => *node = optimise(std::mem::replace(node, Node::Nothing)),
    }
}

/// Chooses access paths, from above: a sort tells the scan below what order it would like.
fn place(node: Node) -> Node {
    match node {
        Node::Scan(mut scan) => {
            choose::choose(&mut scan, &[], false);
            Node::Scan(scan)
        }
        Node::Sort(sort) => {
            let limited = sort.top.is_some();
            place_sort(sort, limited)
        }
        Node::Lock(mut lock) => {
            lock.input = match lock.input {
                // Rows may be skipped above the sort: it does not know how many are wanted.
                Node::Sort(sort) => place_sort(sort, lock.limited),
                other => place(other),
            };
            Node::Lock(lock)
        }
        Node::Filter { input, condition } => Node::Filter { input: Box::new(place(*input)), condition },
        Node::Project { input, columns } => Node::Project { input: Box::new(place(*input)), columns },
        Node::Unique { input, columns } => Node::Unique { input: Box::new(place(*input)), columns },
        Node::Limit(mut limit) => {
            limit.input = place(limit.input);
            Node::Limit(limit)
        }
        Node::Group(mut group) => {
            group.input = place(group.input);
            Node::Group(group)
        }
        Node::Join(mut join) => {
            join.left = place(join.left);
            join.right = place(join.right);
            Node::Join(join)
        }
        Node::Combine(mut combine) => {
            combine.left = place(combine.left);
            combine.right = place(combine.right);
            Node::Combine(combine)
        }
        Node::Once | Node::Nothing | Node::Values(_) | Node::Series(_) | Node::Parts => node,
    }
}

fn place_sort(mut sort: Box<Sort>, limited: bool) -> Node {
    if let Node::Scan(scan) = &mut sort.input {
        if choose::choose(scan, &sort.keys, limited) {
            scan.order = sort.keys;
            return sort.input;
        }
        return Node::Sort(sort);
    }
    sort.input = place(sort.input);
    Node::Sort(sort)
}

/// For `choose`: sort keys as the scan's own columns; `None` if one is not a plain column.
fn plain(keys: &[SortKey]) -> Option<Vec<(usize, &SortKey)>> {
    let column = |key| match key {
        &SortKey { expr: crate::sql::expr::Expr::Column(column), .. } => Some(column),
        _ => None,
    };
    keys.iter().map(|key| Some((column(key)?, key))).collect()
}
