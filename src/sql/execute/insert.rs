//! Insert: rows of a source, checked and written one after the other, with ON CONFLICT.
//!
//! # Invariants
//! - A statement sees the rows as they were before it, in DO UPDATE and RETURNING too: what is read there is read of a picture. (Only
//!   where a conflict is looked for does it see what it has written.)

use super::write::{Conflict, all_conflicts, check_row, find_conflict, insert_row, note, unique_violation, update_row};
use super::{Flow, Row, Run, evaluate_all, run};
use crate::sql::context::Context;
use crate::sql::expr::{evaluate, is_true};
use crate::sql::integrity::{Change, Part};
use crate::sql::placement::Share;
use crate::sql::plan::{ConflictKey, Insert};
use crate::sql::settings::StatementResult;
use crate::storage::Store;
use crate::types::collections::HashSet;
use crate::types::{SqlError, SqlState, Value};
use crate::{planted, sometimes};

pub(in crate::sql) fn insert(
    node: &Insert,
    gathered: Option<&Store>,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    if gathered.is_some() || !node.looks_back() {
        return insert_rows(node, gathered, store, parameters, context);
    }
    let before = store.before();
    let result = insert_rows(node, Some(&before), store, parameters, context);
    store.has_seen(&before);
    result
}

fn insert_rows(
    node: &Insert,
    gathered: Option<&Store>,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let mut rows: Vec<Row> = Vec::new();
    let share = context.share;
    run(&node.source, &mut Run::new(gathered.unwrap_or(store), parameters, context), &mut |_, row| {
        rows.push(row);
        Ok(Flow::More)
    })?;
    // All rows are there: how many values of sequences they take is known before one of them is in another's way.
    context.drawn.check()?;
    let mut result = StatementResult::default();
    let mut scratch = Vec::new();
    let mut updated: HashSet<Vec<u8>> = HashSet::default();
    for (number, row) in rows.into_iter().enumerate() {
        if share.is_some_and(|share| !share.has(&node.target.table, &row)) {
            continue;
        }
        check_row(&node.target, &row, &mut Run::new(store, parameters, context))?;
        let written = match &node.conflict {
            None => {
                write(node, store, &row, &mut scratch, context)?;
                Some(row)
            }
            Some(_) => insert_or_else(node, (gathered, store), row, parameters, context, &mut updated, &mut scratch)?,
        };
        let Some(row) = written else { continue };
        result.affected += 1;
        if let Some(returning) = &node.target.returning {
            let mut at = Run::new(gathered.unwrap_or(store), parameters, context);
            let mut returned = evaluate_all(returning, &row, &mut at)?;
            if share.is_some() {
                // Which of the source's rows it was: the participants' rows are put together in that order.
                returned.insert(0, Value::Int8(i64::try_from(number).unwrap_or(i64::MAX)));
            }
            result.rows.push(returned);
        }
    }
    Ok(result)
}

/// Rows that are here and stand in the way of those that are to be inserted, wherever these belong: their keys.
pub(in crate::sql) fn in_the_way(
    node: &Insert,
    store: &Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let mut keys = Vec::new();
    run(&node.source, &mut Run::new(store, parameters, context), &mut |_, row| {
        // Planted 225: nobody looks.
        if !planted!(225) {
            keys.extend(all_conflicts(store, &node.target.table, &row));
        }
        Ok(Flow::More)
    })?;
    Ok(keys)
}

/// As [`insert`], with ON CONFLICT over a key that does not place the rows. `gathered` has all rows of all partitions that are in
/// the way: so every participant sees who meets whom, and writes what belongs to `share`.
pub(in crate::sql) fn insert_gathered(
    node: &Insert,
    gathered: &Store,
    share: Share,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let table = &node.target.table;
    let mut whole = gathered.snapshot().into_store();
    for tree in table.trees() {
        if !whole.has_tree(tree) {
            whole.create_tree(tree);
        }
    }
    let before = std::mem::take(&mut context.changes);
    let own = context.share.take();
    let played = insert(node, Some(gathered), &mut whole, parameters, context);
    context.share = own;
    let changes = std::mem::replace(&mut context.changes, before);
    let mut rows = played?.rows.into_iter();
    let mut result = StatementResult::default();
    let mut scratch = Vec::new();
    // The table has a key with owners, so each row that is written is noted, in order.
    for (number, Change { old, new, part, .. }) in changes.0.into_iter().enumerate() {
        let returned = rows.next();
        let Some(new) = new.filter(|new| share.has(table, new)) else { continue };
        let refused = match &old {
            None => insert_row(store, table, &new, &mut scratch),
            Some(old) => update_row(store, table, &super::row_key(table, old), old, &new, &mut scratch),
        };
        if let Some(index) = refused {
            return Err(unique_violation(table, &new, index, &context.time.zone));
        }
        sometimes!("sql.conflict_elsewhere_updated", old.is_some());
        note(context, &node.target, old.as_deref(), Some(&new), part);
        result.affected += 1;
        if let Some(mut returned) = returned {
            returned.insert(0, Value::Int8(i64::try_from(number).unwrap_or(i64::MAX)));
            result.rows.push(returned);
        }
    }
    Ok(result)
}

fn write(
    node: &Insert,
    store: &mut Store,
    row: &[Value],
    scratch: &mut Vec<u8>,
    context: &mut Context,
) -> Result<(), SqlError> {
    match insert_row(store, &node.target.table, row, scratch) {
        None => {
            note(context, &node.target, None, Some(row), Part::Whole);
            Ok(())
        }
        Some(index) => Err(unique_violation(&node.target.table, row, index, &context.time.zone)),
    }
}

/// ON CONFLICT. Returns the row that was written, if one was. The first store is what subqueries read, if not the other.
fn insert_or_else(
    node: &Insert,
    (gathered, store): (Option<&Store>, &mut Store),
    proposed: Row,
    parameters: &[Value],
    context: &mut Context,
    updated: &mut HashSet<Vec<u8>>,
    scratch: &mut Vec<u8>,
) -> Result<Option<Row>, SqlError> {
    let Some(conflict) = &node.conflict else { return Ok(None) };
    let table = &node.target.table;
    let Some(Conflict::Row { key, index }) = find_conflict(store, table, &proposed, None) else {
        write(node, store, &proposed, scratch, context)?;
        // A row written by this statement may not be updated by it.
        if conflict.update.is_some() && !table.primary_key.is_empty() {
            updated.insert(super::row_key(table, &proposed));
        }
        return Ok(Some(proposed));
    };
    let found = index.map_or(ConflictKey::Primary, ConflictKey::Index);
    if conflict.key.is_some_and(|wanted| wanted != found) {
        return Err(unique_violation(table, &proposed, index, &context.time.zone));
    }
    let Some((assignments, condition)) = &conflict.update else { return Ok(None) };
    if !updated.insert(key.clone()) {
        let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
        return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message).hint(
            "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
        ));
    }
    let old = table.read_row(store.get(table.tree, &key).unwrap_or_default(), &table.every_column())?;
    let mut both = old.clone();
    both.extend(proposed);
    let mut new = old.clone();
    let mut at = Run::new(gathered.unwrap_or(store), parameters, context);
    if let Some(condition) = condition
        && !is_true(condition, &both, &mut at)?
    {
        return Ok(None);
    }
    for (column, value) in assignments {
        new[*column] = evaluate(value, &both, &mut at)?;
    }
    if table.partition_key.iter().any(|column| old[*column] != new[*column]) {
        return Err(SqlError::unsupported("invalid ON UPDATE specification")
            .detail("The result tuple would appear in a different partition than the original tuple.")
            .hint("Leave the partition key as it is, or use DELETE and INSERT."));
    }
    check_row(&node.target, &new, &mut at)?;
    if let Some(index) = update_row(store, table, &key, &old, &new, scratch) {
        return Err(unique_violation(table, &new, index, &context.time.zone));
    }
    note(context, &node.target, Some(&old), Some(&new), Part::Whole);
    Ok(Some(new))
}
