//! A plan in two: what each participant computes of its own rows, and what becomes of all that.
//!
//! The plan is taken apart from below. As long as the rows of an operator over all partitions are the rows of the same
//! operator over each of them, put together, it belongs to the participants ([`Piece::Union`]): scans, filters,
//! projections, joins with replicated tables, joins, groups and duplicates on the partition key. The first operator for
//! which that is not so is done in part below and completed above ([`Piece::Divided`]): a sort is a merge, a limit is
//! repeated, an aggregate is put together from states. Everything above that one is done above.

use crate::catalog::Table;
use crate::sql::aggregate::Aggregate;
use crate::sql::expr::Expr;
use crate::sql::function::Volatility;
use crate::sql::placement::alike;
use crate::sql::plan::{
    AggregateCall, Combine, CombineKind, Group, Join, JoinKind, Limit, Lock, Node, Scan, Sort, SortKey, Stage, scans_in,
};
use crate::types::DataType;
use std::sync::Arc;

/// A plan for each participant, and one over what they come to ([`Node::Parts`]).
#[derive(Debug)]
pub(in crate::sql) struct Split {
    pub(super) fragment: Node,
    pub(super) merge: Node,
}

/// Part of a plan, seen from the operator above.
enum Piece {
    /// Every participant comes to the same rows: nothing is read that not all of them have.
    Same(Node),
    /// The rows are those of all participants together.
    Union(Union),
    /// Done in part by the participants, completed above.
    Divided(Split),
}

struct Union {
    fragment: Node,
    /// In which columns the partition key of which tables is found.
    placed: Vec<Placed>,
    /// The order in which each participant brings its rows and all of them are wanted.
    order: Vec<SortKey>,
    /// Behind so many columns follow values that only the order needs.
    width: Option<usize>,
}

/// Each row is where this table's row would be that has these columns as its partition key.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) table: Arc<Table>,
    pub(super) columns: Vec<usize>,
}

/// Divides a query; `None`: it cannot be, the participants' rows must be in one place before it is run.
pub(super) fn split(plan: &Node) -> Option<Split> {
    match take(plan)? {
        Piece::Same(_) => None,
        Piece::Union(union) => Some(union.divide()),
        Piece::Divided(split) => Some(split),
    }
}

/// If a plan's rows are those that each participant finds alone: where they are. Used for what writes them.
pub(super) fn placed(plan: &Node) -> Option<Vec<Placed>> {
    match take(plan)? {
        Piece::Union(union) => Some(union.placed),
        _ => None,
    }
}

/// Does a plan read only what every participant has?
pub(in crate::sql) fn is_same(plan: &Node) -> bool {
    let mut same = true;
    plan.scans(&mut |scan| same &= scan.table.is_replicated());
    same
}

/// Can each participant evaluate it alone?
pub(super) fn is_local(expr: &Expr) -> bool {
    let mut local = true;
    scans_in(expr, &mut |scan| local &= scan.table.is_replicated());
    local
}

/// Can it be evaluated where no rows are?
fn is_free(expr: &Expr) -> bool {
    let mut free = true;
    scans_in(expr, &mut |_| free = false);
    free
}

/// Does it roll dice?
pub(in crate::sql) fn is_volatile(expr: &Expr) -> bool {
    let mut volatile = false;
    expr.walk(&mut |expr| match expr {
        Expr::Call(call) => volatile |= call.call.function.volatility == Volatility::Volatile,
        Expr::Subquery(subquery) => volatile |= rolls_dice(&subquery.plan),
        _ => {}
    });
    volatile
}

fn rolls_dice(plan: &Node) -> bool {
    plan.expressions().into_iter().any(is_volatile) || plan.inputs().into_iter().any(rolls_dice)
}

fn all_local(expressions: &[&Expr]) -> bool {
    expressions.iter().all(|expr| is_local(expr))
}

/// With the same outcome wherever it is evaluated.
fn all_same(expressions: &[&Expr]) -> bool {
    expressions.iter().all(|expr| is_local(expr) && !is_volatile(expr))
}

fn all_free(expressions: &[&Expr]) -> bool {
    expressions.iter().all(|expr| is_free(expr))
}

fn take(plan: &Node) -> Option<Piece> {
    match plan {
        Node::Once | Node::Nothing | Node::Values(_) | Node::Series(_) => {
            all_same(&plan.expressions()).then(|| Piece::Same(plan.clone()))
        }
        Node::Parts => None,
        Node::Scan(scan) => take_scan(scan),
        Node::Filter { input, condition } => {
            let over = |input: Node| Node::Filter { input: Box::new(input), condition: condition.clone() };
            match take(input)? {
                Piece::Union(union) if is_local(condition) => {
                    Some(Piece::Union(Union { fragment: over(union.fragment), ..union }))
                }
                other => above(other, &[condition], over),
            }
        }
        Node::Project { input, columns } => take_project(take(input)?, columns),
        Node::Join(join) => take_join(join),
        Node::Group(group) => take_group(group),
        Node::Sort(sort) => take_sort(sort),
        Node::Limit(limit) => take_limit(limit),
        Node::Unique { input, columns } => take_unique(take(input)?, columns),
        Node::Combine(combine) => take_combine(combine),
        Node::Lock(lock) => {
            let over = |input: Node| Node::Lock(Box::new(Lock { input, ..(**lock).clone() }));
            match take(&lock.input)? {
                Piece::Union(union) => Some(Piece::Union(Union { fragment: over(union.fragment), ..union })),
                other => above(other, &[], over),
            }
        }
    }
}

/// An operator over what is the same everywhere, or over what is completed above.
fn above(piece: Piece, expressions: &[&Expr], over: impl FnOnce(Node) -> Node) -> Option<Piece> {
    match piece {
        Piece::Same(node) => all_same(expressions).then(|| Piece::Same(over(node))),
        Piece::Divided(split) => {
            all_free(expressions).then(|| Piece::Divided(Split { fragment: split.fragment, merge: over(split.merge) }))
        }
        Piece::Union(union) => above(Piece::Divided(union.divide()), expressions, over),
    }
}

fn take_scan(scan: &Scan) -> Option<Piece> {
    let node = Node::Scan(Box::new(scan.clone()));
    let expressions = scan.expressions();
    if scan.table.is_system() {
        return None;
    }
    if scan.table.is_replicated() {
        return all_same(&expressions).then_some(Piece::Same(node));
    }
    if !all_local(&expressions) {
        return None;
    }
    let mut scan = scan.clone();
    for key in &scan.order {
        // The tree saw to the order; now somebody looks at the values.
        if let Expr::Column(column) = key.expr {
            scan.wanted[column] = true;
        }
    }
    let placed = vec![Placed { table: Arc::clone(&scan.table), columns: scan.table.partition_key.clone() }];
    let order = scan.order.clone();
    Some(Piece::Union(Union { fragment: Node::Scan(Box::new(scan)), placed, order, width: None }))
}

fn take_project(input: Piece, columns: &[Expr]) -> Option<Piece> {
    let expressions: Vec<&Expr> = columns.iter().collect();
    match input {
        Piece::Union(union) if all_local(&expressions) => {
            let place = |column| columns.iter().position(|expr| *expr == Expr::Column(column));
            let placed = moved(&union.placed, &place);
            // What is sorted by travels behind what is selected.
            let keys = union.order.iter().map(|key| key.expr.clone());
            let fragment = project(union.fragment, columns.iter().cloned().chain(keys).collect());
            let width = (!union.order.is_empty()).then_some(columns.len());
            let behind = |(place, key): (usize, SortKey)| SortKey { expr: Expr::Column(columns.len() + place), ..key };
            let order = union.order.into_iter().enumerate().map(behind).collect();
            Some(Piece::Union(Union { fragment, placed, order, width }))
        }
        other => above(other, &expressions, |input| project(input, columns.to_vec())),
    }
}

fn project(input: Node, columns: Vec<Expr>) -> Node {
    Node::Project { input: Box::new(input), columns }
}

fn take_join(join: &Join) -> Option<Piece> {
    let own = join.keys.iter().flat_map(|(left, right, _)| [left, right]).chain(&join.condition);
    let own: Vec<&Expr> = own.collect();
    let over = |left: Node, right: Node| Node::Join(Box::new(Join { left, right, ..join.clone() }));
    let right_placed = |placed: &[Placed]| moved(placed, &|column| Some(join.left_width + column));
    // Rows of that side may come out filled with NULL.
    let (keeps_left, keeps_right) = match join.kind {
        JoinKind::Inner => (true, true),
        JoinKind::Left => (true, false),
        JoinKind::Right => (false, true),
        JoinKind::Full => (false, false),
    };
    let (fragment, placed) = match (take(&join.left)?.unordered(), take(&join.right)?.unordered()) {
        (Piece::Same(left), Piece::Same(right)) => {
            return all_same(&own).then(|| Piece::Same(over(left, right)));
        }
        // A row of the side that is everywhere would be filled with NULL by each participant that has no partner for it.
        (Piece::Union(left), Piece::Same(right)) if keeps_left => (over(left.fragment, right), left.placed),
        (Piece::Same(left), Piece::Union(right)) if keeps_right => {
            (over(left, right.fragment), right_placed(&right.placed))
        }
        (Piece::Union(left), Piece::Union(right)) if meets(join, &left.placed, &right.placed) => {
            let mut placed = Vec::new();
            if keeps_left {
                placed.extend(left.placed);
            }
            if keeps_right {
                placed.extend(right_placed(&right.placed));
            }
            (over(left.fragment, right.fragment), placed)
        }
        _ => return None,
    };
    all_local(&own).then(|| Piece::Union(Union::unordered(fragment, placed)))
}

/// Are rows that join always in one place?
fn meets(join: &Join, left: &[Placed], right: &[Placed]) -> bool {
    let equal = |l: &usize, r: &usize| {
        join.keys.iter().any(|(left, right, _)| *left == Expr::Column(*l) && *right == Expr::Column(*r))
    };
    left.iter().any(|l| {
        right.iter().any(|r| alike(&l.table, &r.table) && l.columns.iter().zip(&r.columns).all(|(l, r)| equal(l, r)))
    })
}

/// Placements after the columns have moved; those whose columns are gone are not known any more.
fn moved(placed: &[Placed], place: &dyn Fn(usize) -> Option<usize>) -> Vec<Placed> {
    let follow = |known: &Placed| {
        let columns = known.columns.iter().map(|column| place(*column)).collect::<Option<Vec<_>>>()?;
        Some(Placed { table: Arc::clone(&known.table), columns })
    };
    placed.iter().filter_map(follow).collect()
}

fn take_group(group: &Group) -> Option<Piece> {
    let over = |input: Node| Node::Group(Box::new(Group { input, ..group.clone() }));
    let calls = group.aggregates.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
    let own: Vec<&Expr> = group.keys.iter().map(|(key, _)| key).chain(calls).collect();
    let union = match take(&group.input)?.unordered() {
        Piece::Union(union) => union,
        other => return above(other, &own, over),
    };
    if all_local(&own) {
        let place = |column| group.keys.iter().position(|(key, _)| *key == Expr::Column(column));
        let placed = moved(&union.placed, &place);
        if !placed.is_empty() && !group.keys.is_empty() {
            return Some(Piece::Union(Union::unordered(over(union.fragment), placed)));
        }
        if let Some(merge) = completed(group) {
            let mut fragment = Group { input: union.fragment, ..group.clone() };
            for call in &mut fragment.aggregates {
                call.stage = Stage::Partial;
            }
            return Some(Piece::Divided(Split { fragment: Node::Group(Box::new(fragment)), merge }));
        }
        return Some(Piece::Divided(narrowed(group, union.fragment)));
    }
    above(Piece::Union(union), &own, over)
}

/// For aggregates that cannot be put together: participants send what is grouped and aggregated, each value once if it
/// counts once.
fn narrowed(group: &Group, input: Node) -> Split {
    let mut columns: Vec<Expr> = group.keys.iter().map(|(key, _)| key.clone()).collect();
    let mut types: Option<Vec<DataType>> = Some(group.keys.iter().map(|(_, data_type)| *data_type).collect());
    let mut over = Group { input: Node::Parts, ..group.clone() };
    for (place, (key, _)) in over.keys.iter_mut().enumerate() {
        *key = Expr::Column(place);
    }
    for call in &mut over.aggregates {
        types = types.zip(call.distinct.clone()).map(|(types, distinct)| [types, distinct].concat());
        for argument in &mut call.arguments {
            columns.push(std::mem::replace(argument, Expr::Column(columns.len())));
        }
        if let Some(filter) = &mut call.filter {
            columns.push(std::mem::replace(filter, Expr::Column(columns.len())));
            types = types.map(|types| [types, vec![DataType::Bool]].concat());
        }
    }
    let mut fragment = project(input, columns);
    if let Some(types) = types {
        fragment = Node::Unique { input: Box::new(fragment), columns: types.into_iter().enumerate().collect() };
    }
    Split { fragment, merge: Node::Group(Box::new(over)) }
}

/// The groups of all participants put together; `None` if some aggregate does not allow it.
fn completed(group: &Group) -> Option<Node> {
    let mut column = group.keys.len();
    let mut aggregates = Vec::with_capacity(group.aggregates.len());
    for call in &group.aggregates {
        let width = Aggregate::state_width(&call.aggregate).filter(|_| call.distinct.is_none())?;
        let arguments = (column..column + width).map(Expr::Column).collect();
        column += width;
        aggregates.push(AggregateCall { arguments, filter: None, stage: Stage::Final, ..call.clone() });
    }
    let keys = group.keys.iter().enumerate().map(|(place, (_, data_type))| (Expr::Column(place), *data_type));
    Some(Node::Group(Box::new(Group { input: Node::Parts, keys: keys.collect(), aggregates })))
}

fn take_sort(sort: &Sort) -> Option<Piece> {
    let over = |input: Node| Node::Sort(Box::new(Sort { input, keys: sort.keys.clone(), top: sort.top.clone() }));
    let keys: Vec<&Expr> = sort.keys.iter().map(|key| &key.expr).collect();
    let bounds: Vec<&Expr> = sort.top.iter().flat_map(|(limit, offset)| limit.iter().chain(offset)).collect();
    match take(&sort.input)?.unordered() {
        Piece::Union(union) if all_same(&keys) => {
            let top = if all_same(&bounds) { sort.top.clone() } else { None };
            let own = Sort { input: union.fragment, keys: sort.keys.clone(), top };
            let fragment = Node::Sort(Box::new(own));
            Some(Piece::Union(Union { fragment, placed: union.placed, order: sort.keys.clone(), width: None }))
        }
        // By dice: they are rolled once.
        other => above(other, &[keys, bounds].concat(), over),
    }
}

fn take_limit(limit: &Limit) -> Option<Piece> {
    let over = |input: Node| Node::Limit(Box::new(Limit { input, ..limit.clone() }));
    let bounds: Vec<&Expr> = limit.limit.iter().chain(&limit.offset).collect();
    match take(&limit.input)? {
        Piece::Union(mut union) if all_same(&bounds) => {
            let own = Limit { input: union.fragment, partial: true, ..limit.clone() };
            union.fragment = Node::Limit(Box::new(own));
            above(Piece::Union(union), &bounds, over)
        }
        other => above(other, &bounds, over),
    }
}

fn take_unique(input: Piece, columns: &[(usize, DataType)]) -> Option<Piece> {
    let over = |input: Node| Node::Unique { input: Box::new(input), columns: columns.to_vec() };
    match input.unordered() {
        Piece::Union(mut union) => {
            let place = |column| columns.iter().any(|(other, _)| *other == column).then_some(column);
            let local = !moved(&union.placed, &place).is_empty();
            union.fragment = over(union.fragment);
            if local { Some(Piece::Union(union)) } else { above(Piece::Union(union), &[], over) }
        }
        other => above(other, &[], over),
    }
}

fn take_combine(combine: &Combine) -> Option<Piece> {
    let over = |left: Node, right: Node| Node::Combine(Box::new(Combine { left, right, ..combine.clone() }));
    let (left, right) = match (take(&combine.left)?.unordered(), take(&combine.right)?.unordered()) {
        (Piece::Same(left), Piece::Same(right)) => return Some(Piece::Same(over(left, right))),
        (Piece::Union(left), Piece::Union(right)) => (left, right),
        _ => return None,
    };
    let together = |l: &&Placed| right.placed.iter().any(|r| alike(&l.table, &r.table) && l.columns == r.columns);
    let placed: Vec<Placed> = left.placed.iter().filter(together).cloned().collect();
    let local = !placed.is_empty();
    let union = Union::unordered(over(left.fragment, right.fragment), placed);
    match combine.kind {
        _ if local => Some(Piece::Union(union)),
        CombineKind::Union if combine.all => Some(Piece::Union(union)),
        CombineKind::Union => {
            take_unique(Piece::Union(union), &combine.types.iter().copied().enumerate().collect::<Vec<_>>())
        }
        CombineKind::Intersect | CombineKind::Except => None,
    }
}

impl Piece {
    /// For an operator to which the order of its input means nothing.
    fn unordered(self) -> Self {
        match self {
            Self::Union(Union { fragment, placed, width: Some(width), .. }) => {
                let fragment = project(fragment, (0..width).map(Expr::Column).collect());
                Self::Union(Union::unordered(fragment, placed))
            }
            Self::Union(Union { fragment, placed, .. }) => Self::Union(Union::unordered(fragment, placed)),
            other => other,
        }
    }
}

impl Union {
    fn unordered(fragment: Node, placed: Vec<Placed>) -> Self {
        Self { fragment, placed, order: Vec::new(), width: None }
    }

    fn divide(self) -> Split {
        let mut merge = Node::Parts;
        if !self.order.is_empty() {
            merge = Node::Sort(Box::new(Sort { input: merge, keys: self.order, top: None }));
        }
        if let Some(width) = self.width {
            merge = project(merge, (0..width).map(Expr::Column).collect());
        }
        Split { fragment: self.fragment, merge }
    }
}
