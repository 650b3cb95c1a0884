//! Execution: each operator pushes its rows into a sink, which says when it has enough.
//!
//! Pushing needs no state between rows and no allocation for the operators themselves: a point read is a function call.

mod combine;
mod copy;
mod delete;
mod group;
mod insert;
mod join;
mod limit;
mod lock;
mod scan;
mod series;
mod sort;
mod unique;
mod update;
mod write;

pub(super) use copy::copy;
pub(super) use delete::{delete, delete_gathered, truncate};
pub(super) use insert::{in_the_way, insert, insert_gathered};
pub(super) use limit::count;
pub(super) use scan::{fitted, fitted_value, run as run_scan};
pub(super) use update::{update, update_gathered};
pub(super) use write::{check_row, delete_row, entry_of, insert_row, key_text, row_key, unique_violation, update_row};

use super::context::Context;
use super::expr::{evaluate, is_true};
use super::plan::{Node, Rows};
use super::settings::StatementResult;
use crate::catalog::Table;
use crate::storage::Store;
use crate::types::collections::HashSet;
use crate::types::{SqlError, SqlState, Value};
use bytes::Bytes;
use std::sync::Arc;

/// A row on its way.
pub(super) type Row = Vec<Value>;
/// Result of a subquery that is the same for all rows.
pub(super) type Memo = Arc<Vec<Value>>;

/// Does the receiver of rows want another one?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    Stop,
}

/// One execution's surroundings.
pub(super) struct Run<'a> {
    pub(super) store: &'a Store,
    pub(super) parameters: &'a [Value],
    pub(super) context: &'a mut Context,
    /// Rows of the enclosing queries, innermost last.
    pub(super) outer: Vec<Row>,
    /// Results of uncorrelated subqueries, by slot.
    pub(super) memory: Vec<Option<Memo>>,
    /// What participants have come to, for [`Node::Parts`].
    pub(super) parts: Vec<StatementResult>,
}

/// Where rows go.
pub(super) type Sink<'s, 'a> = dyn FnMut(&mut Run<'a>, Row) -> Result<Flow, SqlError> + 's;

impl<'a> Run<'a> {
    pub(super) const fn new(store: &'a Store, parameters: &'a [Value], context: &'a mut Context) -> Self {
        Self { store, parameters, context, outer: Vec::new(), memory: Vec::new(), parts: Vec::new() }
    }
}

/// Runs an operator: every row goes into the sink until it says stop.
pub(super) fn run<'a>(node: &Node, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    match node {
        Node::Once => sink(at, Row::new()),
        Node::Nothing => Ok(Flow::More),
        Node::Values(rows) => {
            for row in rows {
                let row = evaluate_all(row, &[], at)?;
                if sink(at, row)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::More)
        }
        Node::Series(series) => series::run(series, at, sink),
        Node::Scan(scan) if scan.with_key => scan::run(scan, at, &mut |at, key, mut row| {
            row.push(Value::Bytea(Bytes::copy_from_slice(key)));
            sink(at, row)
        }),
        Node::Scan(scan) => scan::run(scan, at, &mut |at, _, row| sink(at, row)),
        Node::Parts => {
            for row in std::mem::take(&mut at.parts).into_iter().flat_map(|part| part.rows) {
                if sink(at, row)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::More)
        }
        Node::Filter { input, condition } => run(input, at, &mut |at, row| {
            if is_true(condition, &row, at)? { sink(at, row) } else { Ok(Flow::More) }
        }),
        Node::Project { input, columns } => run(input, at, &mut |at, row| {
            let row = evaluate_all(columns, &row, at)?;
            sink(at, row)
        }),
        Node::Join(join) => join::run(join, at, sink),
        Node::Group(group) => group::run(group, at, sink),
        Node::Sort(sort) => sort::run(sort, at, sink),
        Node::Limit(limit) => limit::run(limit, at, sink),
        Node::Lock(lock) => lock::run(lock, at, sink),
        Node::Unique { input, columns } => unique::run(input, columns, at, sink),
        Node::Combine(combine) => combine::run(combine, at, sink),
    }
}

/// The rows that an UPDATE or DELETE changes, each once, with their keys; behind a row's own columns stand those of the
/// first rows of FROM or USING that it met.
fn each<'a>(
    rows: &Rows,
    table: &Table,
    at: &mut Run<'a>,
    sink: &mut scan::KeyedSink<'_, 'a>,
) -> Result<Flow, SqlError> {
    let node = match rows {
        Rows::Scan(scan) => return scan::run(scan, at, sink),
        Rows::Join(node) => node,
    };
    let mut seen: HashSet<Bytes> = HashSet::default();
    run(node, at, &mut |at, row| {
        let Some(Value::Bytea(key)) = row.get(table.columns.len()).cloned() else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, "a row to be written has come without its key"));
        };
        if seen.insert(key.clone()) { sink(at, &key, row) } else { Ok(Flow::More) }
    })
}

/// The values of several expressions over one row.
pub(super) fn evaluate_all(columns: &[super::expr::Expr], row: &[Value], at: &mut Run<'_>) -> Result<Row, SqlError> {
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        values.push(evaluate(column, row, at)?);
    }
    Ok(values)
}

/// The key of a row of partition `number` among rows that were gathered: hidden row ids are each partition's own.
pub(super) fn gathered_key(table: &Table, number: u32, key: &[u8]) -> Vec<u8> {
    if table.primary_key.is_empty() && !table.is_replicated() {
        return [number.to_be_bytes().as_slice(), key].concat();
    }
    key.to_vec()
}

/// The key that a gathered row has in its partition.
fn own_key<'k>(table: &Table, key: &'k [u8]) -> &'k [u8] {
    let prefix = if table.primary_key.is_empty() && !table.is_replicated() { size_of::<u32>() } else { 0 };
    key.get(prefix..).unwrap_or_default()
}
