//! Update: finds the rows and computes the new ones first, then writes them in that order.
//!
//! Where a row moves from one partition to another, each of the two does its half, both in the same order of rows: what
//! meets under one key meets in one partition, and finds there what it would have found in a single one.

use super::write::{check_row, delete_row, insert_row, note, unique_violation, update_row};
use super::{Flow, Row, Run, each, evaluate_all, own_key};
use crate::sql::context::Context;
use crate::sql::expr::evaluate;
use crate::sql::integrity::Part;
use crate::sql::placement::Share;
use crate::sql::plan::Update;
use crate::sql::settings::StatementResult;
use crate::storage::Store;
use crate::types::{SqlError, Value};
use std::borrow::Cow;

struct Change {
    key: Vec<u8>,
    old: Row,
    new: Row,
}

pub(in crate::sql) fn update(
    node: &Update,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let table = &node.target.table;
    let mut changes: Vec<Change> = Vec::new();
    let mut returned: Vec<Row> = Vec::new();
    each(&node.rows, table, &mut Run::new(store, parameters, context), &mut |at, key, mut old| {
        let new = changed(node, &old, at)?;
        if let Some(returning) = &node.target.returning {
            returned.push(evaluate_all(returning, &beside(&new, &old), at)?);
        }
        old.truncate(new.len());
        changes.push(Change { key: key.to_vec(), old, new });
        Ok(Flow::More)
    })?;
    let mut scratch = Vec::new();
    let affected = changes.len() as u64;
    for Change { key, old, new } in changes {
        check_row(&node.target, &new, &mut Run::new(store, parameters, context))?;
        if let Some(index) = update_row(store, table, &key, &old, &new, &mut scratch) {
            return Err(unique_violation(table, &new, index, &context.time.zone));
        }
        note(context, &node.target, Some(&old), Some(&new), Part::Whole);
    }
    Ok(StatementResult { rows: returned, affected, suspended: false })
}

/// The new row, of the old one with what was joined to it.
fn changed(node: &Update, old: &[Value], at: &mut Run<'_>) -> Result<Row, SqlError> {
    let mut new = old[..node.target.table.columns.len()].to_vec();
    for (column, value) in &node.assignments {
        new[*column] = evaluate(value, old, at)?;
    }
    Ok(new)
}

/// The new row with what was joined to the old one.
fn beside<'r>(new: &'r [Value], old: &[Value]) -> Cow<'r, [Value]> {
    match old.get(new.len()..) {
        Some(joined) if !joined.is_empty() => Cow::Owned([new, joined].concat()),
        _ => Cow::Borrowed(new),
    }
}

/// A row that leaves this partition, comes to it, or both.
struct Move {
    key: Vec<u8>,
    old: Row,
    new: Row,
    part: Part,
}

/// As [`update`], over rows of all partitions; only what belongs to `share` is written.
pub(in crate::sql) fn update_gathered(
    node: &Update,
    gathered: &Store,
    share: Share,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let table = &node.target.table;
    let mut moves: Vec<Move> = Vec::new();
    let mut result = StatementResult::default();
    let stays = !node.assignments.iter().any(|(column, _)| table.partition_key.contains(column));
    each(&node.rows, table, &mut Run::new(gathered, parameters, context), &mut |at, key, mut old| {
        let leaves = share.has(table, &old);
        if stays && !leaves {
            return Ok(Flow::More);
        }
        let new = changed(node, &old, at)?;
        let comes = share.has(table, &new);
        if comes {
            result.affected += 1;
            if let Some(returning) = &node.target.returning {
                result.rows.push(evaluate_all(returning, &beside(&new, &old), at)?);
            }
        }
        old.truncate(new.len());
        if leaves || comes {
            let key = own_key(table, key).to_vec();
            let part = match (leaves, comes) {
                (true, true) => Part::Whole,
                (true, false) => Part::Leaves,
                (false, _) => Part::Comes,
            };
            moves.push(Move { key, old, new, part });
        }
        Ok(Flow::More)
    })?;
    let mut scratch = Vec::new();
    for Move { key, old, new, part } in moves {
        note(context, &node.target, Some(&old), Some(&new), part);
        if part == Part::Leaves {
            delete_row(store, table, &key, &old);
            continue;
        }
        check_row(&node.target, &new, &mut Run::new(gathered, parameters, context))?;
        let refused = match part {
            Part::Whole => update_row(store, table, &key, &old, &new, &mut scratch),
            _ => insert_row(store, table, &new, &mut scratch),
        };
        if let Some(index) = refused {
            return Err(unique_violation(table, &new, index, &context.time.zone));
        }
    }
    Ok(result)
}
