//! Plans: a tree of operators, each named in EXPLAIN and run by one file of `execute`.

mod access;
mod explain;
mod rules;

pub(super) use access::{Access, Path};
pub(super) use explain::{explain, explain_write};
pub(super) use rules::{optimise, optimise_rows};

use super::aggregate::Aggregate;
use super::expr::Expr;
use super::parse::CopyFormat;
use crate::catalog::Table;
use crate::types::DataType;
use std::sync::Arc;

/// An operator with its inputs.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One row without columns: SELECT without FROM.
    Once,
    /// No row at all.
    Nothing,
    Values(Vec<Vec<Expr>>),
    /// `generate_series`.
    Series(Box<Series>),
    Scan(Box<Scan>),
    /// What the participants of a statement over several partitions have come to, one after the other. Once in a plan.
    Parts,
    Filter {
        input: Box<Self>,
        condition: Expr,
    },
    Project {
        input: Box<Self>,
        columns: Vec<Expr>,
    },
    Join(Box<Join>),
    Group(Box<Group>),
    Sort(Box<Sort>),
    Limit(Box<Limit>),
    /// Rows that differ in the first `columns` columns: the first of each kind.
    Unique {
        input: Box<Self>,
        columns: Vec<(usize, DataType)>,
    },
    /// UNION, INTERSECT, EXCEPT.
    Combine(Box<Combine>),
    /// FOR UPDATE and its kin.
    Lock(Box<Lock>),
}

/// Whole numbers from one to another; no row if a bound is NULL.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Name that the query gives it.
    pub(super) alias: String,
    pub(super) from: Expr,
    pub(super) to: Expr,
    pub(super) step: Option<Expr>,
    /// `int4` or `int8`.
    pub(super) data_type: DataType,
}

/// Rows of a table along one of its trees.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) table: Arc<Table>,
    /// Name that the query gives it.
    pub(super) alias: String,
    /// Columns that somebody above looks at; the rest stays undecoded.
    pub(super) wanted: Vec<bool>,
    pub(super) access: Access,
    /// What the access path does not see to.
    pub(super) condition: Option<Expr>,
    /// For each column of the partition key the values that it may equal; `None`: not known before execution.
    pub(super) pinned: Option<Vec<Vec<Expr>>>,
    /// The order that was asked for and comes by itself: there is no sort for it.
    pub(super) order: Vec<SortKey>,
    /// Behind the columns comes the key under which the row lies, as bytes: somebody is to write it.
    pub(super) with_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// Left rows first, then right ones; by hash where equal columns are asked for.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) kind: JoinKind,
    pub(super) left: Node,
    pub(super) right: Node,
    pub(super) left_width: usize,
    pub(super) right_width: usize,
    /// Pairs that must be equal, over the left and the right row, and their type.
    pub(super) keys: Vec<(Expr, Expr, DataType)>,
    /// The rest of the condition, over the joined row.
    pub(super) condition: Option<Expr>,
}

/// Groups in order of their first row; without keys exactly one.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) input: Node,
    pub(super) keys: Vec<(Expr, DataType)>,
    pub(super) aggregates: Vec<AggregateCall>,
}

#[derive(Clone, Debug)]
pub(super) struct AggregateCall {
    pub(super) aggregate: Aggregate,
    pub(super) name: String,
    pub(super) arguments: Vec<Expr>,
    /// DISTINCT, with the types of the arguments.
    pub(super) distinct: Option<Vec<DataType>>,
    pub(super) filter: Option<Expr>,
    pub(super) stage: Stage,
}

/// How much of an aggregation is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// From rows to the result.
    Whole,
    /// From rows to the state of an accumulator, as columns.
    Partial,
    /// From such states, which are the arguments, to the result.
    Final,
}

#[derive(Clone, Debug)]
pub(super) struct SortKey {
    pub(super) expr: Expr,
    pub(super) data_type: DataType,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// Rows on which soft locks are taken, where anybody takes them ([`super::locking`]): below a limit, so that it is those that come out.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) input: Node,
    pub(super) of: Vec<LockedRows>,
    /// A limit stands above: only the first few rows are wanted.
    pub(super) limited: bool,
}

/// Of one relation.
#[derive(Clone, Debug)]
pub(super) struct LockedRows {
    pub(super) table: Arc<Table>,
    /// Where the key of its row is found, as bytes.
    pub(super) key: usize,
    /// FOR UPDATE; not FOR SHARE.
    pub(super) exclusive: bool,
    pub(super) held: Held,
}

/// What is done about a row that somebody else has locked. Of several clauses the last in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Await,
    /// SKIP LOCKED
    Skip,
    /// NOWAIT
    Refuse,
}

/// Stable: ties keep the order of the input.
#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) input: Node,
    pub(super) keys: Vec<SortKey>,
    /// Only so many rows are wanted (LIMIT, OFFSET): the rest need not be kept.
    pub(super) top: Option<(Option<Expr>, Option<Expr>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) input: Node,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
    /// Of one participant's rows: those of OFFSET are passed on too, since others may come before them.
    pub(super) partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CombineKind {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug)]
pub(super) struct Combine {
    pub(super) kind: CombineKind,
    pub(super) all: bool,
    pub(super) left: Node,
    pub(super) right: Node,
    pub(super) types: Vec<DataType>,
}

/// What writes.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Truncate(Vec<Arc<Table>>),
    Copy(Box<Copy>),
}

/// A table with what its rows must satisfy, compiled.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) table: Arc<Table>,
    pub(super) checks: Vec<(String, Expr)>,
    /// Something may follow from changes of its rows: they are noted.
    pub(super) watched: bool,
    pub(super) returning: Option<Vec<Expr>>,
}

#[derive(Clone, Debug)]
pub(super) struct Insert {
    pub(super) target: Target,
    /// Rows of the table's width, of its types.
    pub(super) source: Node,
    pub(super) conflict: Option<Conflict>,
    /// For VALUES: the partition key of each row, if it is known before execution.
    pub(super) keys: Option<Vec<Vec<Expr>>>,
}

impl Insert {
    /// Do DO UPDATE or RETURNING read rows? They are shown them as they were before the statement.
    pub(super) fn looks_back(&self) -> bool {
        let update = self.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
        let update = update.flat_map(|(set, condition)| set.iter().map(|(_, expr)| expr).chain(condition));
        let mut reads = false;
        for expr in update.chain(self.target.returning.iter().flatten()) {
            scans_in(expr, &mut |_| reads = true);
        }
        reads
    }

    /// Has it ON CONFLICT over a key by which rows are not placed?
    pub(super) fn meets_elsewhere(&self) -> bool {
        self.conflict.as_ref().is_some_and(|conflict| conflict.elsewhere)
    }
}

/// Rows out of a piece of COPY data: the first parameter; the second is the number of its first line.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) target: Target,
    /// The column of each field.
    pub(super) columns: Vec<usize>,
    /// A row of defaults, for the columns that the data do not have.
    pub(super) defaults: Vec<Expr>,
    pub(super) format: CopyFormat,
}

#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// Which key: `None` any (DO NOTHING only).
    pub(super) key: Option<ConflictKey>,
    /// DO UPDATE: new values and condition over the existing row followed by the proposed one.
    pub(super) update: Option<ConflictUpdate>,
    /// The row in the way may be in another partition: the key does not place the rows.
    pub(super) elsewhere: bool,
}

/// Assignments and the condition under which they are made.
type ConflictUpdate = (Vec<(usize, Expr)>, Option<Expr>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConflictKey {
    Primary,
    Index(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) target: Target,
    pub(super) rows: Rows,
    pub(super) assignments: Vec<(usize, Expr)>,
}

#[derive(Clone, Debug)]
pub(super) struct Delete {
    pub(super) target: Target,
    pub(super) rows: Rows,
}

/// Which rows of its target an UPDATE or DELETE changes.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    Scan(Box<Scan>),
    /// FROM, USING: the target's columns, its row's key as bytes, then the columns of the others.
    Join(Node),
}

impl Rows {
    /// Calls `visit` for every scan, that of the target among them; those of subqueries too.
    pub(super) fn scans<'n>(&'n self, visit: &mut dyn FnMut(&'n Scan)) {
        match self {
            Self::Join(node) => node.scans(visit),
            Self::Scan(scan) => {
                visit(scan);
                for expr in scan.expressions() {
                    scans_in(expr, visit);
                }
            }
        }
    }
}

impl Node {
    /// The operators directly below.
    pub(super) fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Once | Self::Nothing | Self::Values(_) | Self::Series(_) | Self::Scan(_) | Self::Parts => Vec::new(),
            Self::Filter { input, .. } | Self::Project { input, .. } | Self::Unique { input, .. } => vec![input],
            Self::Join(join) => vec![&join.left, &join.right],
            Self::Group(group) => vec![&group.input],
            Self::Sort(sort) => vec![&sort.input],
            Self::Limit(limit) => vec![&limit.input],
            Self::Combine(combine) => vec![&combine.left, &combine.right],
            Self::Lock(lock) => vec![&lock.input],
        }
    }

    /// The expressions of this operator itself.
    pub(super) fn expressions(&self) -> Vec<&Expr> {
        match self {
            Self::Once | Self::Nothing | Self::Parts | Self::Unique { .. } | Self::Combine(_) | Self::Lock(_) => {
                Vec::new()
            }
            Self::Values(rows) => rows.iter().flatten().collect(),
            Self::Series(series) => [&series.from, &series.to].into_iter().chain(&series.step).collect(),
            Self::Scan(scan) => scan.expressions(),
            Self::Filter { condition, .. } => vec![condition],
            Self::Project { columns, .. } => columns.iter().collect(),
            Self::Join(join) => {
                join.keys.iter().flat_map(|(left, right, _)| [left, right]).chain(&join.condition).collect()
            }
            Self::Group(group) => {
                let calls = group.aggregates.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
                group.keys.iter().map(|(key, _)| key).chain(calls).collect()
            }
            Self::Sort(sort) => sort.keys.iter().map(|key| &key.expr).collect(),
            Self::Limit(limit) => limit.limit.iter().chain(&limit.offset).collect(),
        }
    }

    /// Calls `visit` for every scan of the plan, those of subqueries too.
    pub(super) fn scans<'n>(&'n self, visit: &mut dyn FnMut(&'n Scan)) {
        if let Self::Scan(scan) = self {
            visit(scan);
        }
        for expr in self.expressions() {
            scans_in(expr, visit);
        }
        for input in self.inputs() {
            input.scans(visit);
        }
    }
}

impl Write {
    /// Calls `visit` for every table that is written or read.
    pub(super) fn tables<'n>(&'n self, visit: &mut dyn FnMut(&'n Arc<Table>)) {
        let mut expressions: Vec<&Expr> = Vec::new();
        let target = match self {
            Self::Truncate(tables) => return tables.iter().for_each(visit),
            Self::Copy(copy) => &copy.target,
            Self::Insert(insert) => {
                insert.source.scans(&mut |scan| visit(&scan.table));
                let update = insert.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
                expressions
                    .extend(update.flat_map(|(set, condition)| set.iter().map(|(_, expr)| expr).chain(condition)));
                &insert.target
            }
            Self::Update(update) => {
                update.rows.scans(&mut |scan| visit(&scan.table));
                expressions.extend(update.assignments.iter().map(|(_, expr)| expr));
                &update.target
            }
            Self::Delete(delete) => {
                delete.rows.scans(&mut |scan| visit(&scan.table));
                &delete.target
            }
        };
        visit(&target.table);
        for expr in expressions.into_iter().chain(target.returning.iter().flatten()) {
            scans_in(expr, &mut |scan| visit(&scan.table));
        }
    }

    /// Is it all copies of a table that are written?
    pub(super) fn is_of_replicated(&self) -> bool {
        match self {
            Self::Insert(insert) => insert.target.table.is_replicated(),
            Self::Update(update) => update.target.table.is_replicated(),
            Self::Delete(delete) => delete.target.table.is_replicated(),
            Self::Copy(copy) => copy.target.table.is_replicated(),
            Self::Truncate(_) => false,
        }
    }
}

impl Scan {
    pub(super) fn expressions(&self) -> Vec<&Expr> {
        let bounds = [&self.access.lower, &self.access.upper].into_iter().flatten().map(|(expr, _)| expr);
        self.access.equal.iter().flatten().chain(bounds).chain(&self.condition).collect()
    }
}

/// Calls `visit` for every scan in the subqueries of an expression.
pub(super) fn scans_in<'n>(expr: &'n Expr, visit: &mut dyn FnMut(&'n Scan)) {
    expr.walk(&mut |expr| {
        if let Expr::Subquery(subquery) = expr {
            subquery.plan.scans(visit);
        }
    });
}
