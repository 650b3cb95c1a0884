//! Conditions sink: through joins to the side that they speak of, into the scan of a table.

use crate::sql::bind::shifted;
use crate::sql::expr::Expr;
use crate::sql::plan::{Join, JoinKind, Node};

/// Sinks all conditions of a plan.
pub(super) fn sink(node: Node) -> Node {
    match node {
        Node::Filter { input, condition } => push(sink(*input), condition.conjuncts()),
        Node::Project { input, columns } => Node::Project { input: Box::new(sink(*input)), columns },
        Node::Unique { input, columns } => Node::Unique { input: Box::new(sink(*input)), columns },
        Node::Sort(mut sort) => {
            sort.input = sink(sort.input);
            Node::Sort(sort)
        }
        Node::Limit(mut limit) => {
            limit.input = sink(limit.input);
            Node::Limit(limit)
        }
        Node::Lock(mut lock) => {
            lock.input = sink(lock.input);
            Node::Lock(lock)
        }
        Node::Group(mut group) => {
            group.input = sink(group.input);
            Node::Group(group)
        }
        Node::Join(mut join) => {
            join.left = sink(join.left);
            join.right = sink(join.right);
            Node::Join(join)
        }
        Node::Combine(mut combine) => {
            combine.left = sink(combine.left);
            combine.right = sink(combine.right);
            Node::Combine(combine)
        }
        Node::Once | Node::Nothing | Node::Values(_) | Node::Series(_) | Node::Scan(_) | Node::Parts => node,
    }
}

fn push(node: Node, mut conjuncts: Vec<Expr>) -> Node {
    match node {
        Node::Scan(mut scan) => {
            let mut all = scan.condition.take().map(Expr::conjuncts).unwrap_or_default();
            all.append(&mut conjuncts);
            scan.condition = Expr::all(all);
            Node::Scan(scan)
        }
        Node::Join(join) if matches!(join.kind, JoinKind::Inner | JoinKind::Left) => through(*join, conjuncts),
        Node::Filter { input, condition } => {
            let mut all = condition.conjuncts();
            all.append(&mut conjuncts);
            filter(*input, all)
        }
        other => filter(other, conjuncts),
    }
}

fn filter(input: Node, conjuncts: Vec<Expr>) -> Node {
    match Expr::all(conjuncts) {
        Some(condition) => Node::Filter { input: Box::new(input), condition },
        None => input,
    }
}

fn through(mut join: Join, conjuncts: Vec<Expr>) -> Node {
    let inner = join.kind == JoinKind::Inner;
    let (mut left, mut right, mut both, mut above) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for conjunct in conjuncts {
        let (reads_left, reads_right) = sides(&conjunct, join.left_width);
        match (reads_left, reads_right) {
            // What reads a row's values through a subquery needs the whole joined row.
            _ if has_correlated(&conjunct) => above.push(conjunct),
            (_, false) => left.push(conjunct),
            (false, true) if inner => right.push(shifted(conjunct, join.left_width)),
            _ if inner => both.push(conjunct),
            _ => above.push(conjunct),
        }
    }
    join.left = push(join.left, left);
    join.right = push(join.right, right);
    join.take_keys(both);
    filter(Node::Join(Box::new(join)), above)
}

fn sides(expr: &Expr, left_width: usize) -> (bool, bool) {
    let mut sides = (false, false);
    expr.walk(&mut |expr| match expr {
        Expr::Column(column) if *column < left_width => sides.0 = true,
        Expr::Column(_) => sides.1 = true,
        _ => {}
    });
    sides
}

fn has_correlated(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |expr| found |= matches!(expr, Expr::Subquery(subquery) if subquery.slot.is_none()));
    found
}
