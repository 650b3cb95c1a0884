//! Delete and TRUNCATE: finds the rows first, then takes them away.

use super::write::{delete_row, note};
use super::{Flow, Row, Run, each, evaluate_all, own_key};
use crate::catalog::Table;
use crate::sql::context::Context;
use crate::sql::integrity::Part;
use crate::sql::placement::Share;
use crate::sql::plan::Delete;
use crate::sql::settings::StatementResult;
use crate::storage::Store;
use crate::types::{SqlError, Value};

pub(in crate::sql) fn delete(
    node: &Delete,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let mut doomed: Vec<(Vec<u8>, Row)> = Vec::new();
    let mut returned: Vec<Row> = Vec::new();
    each(&node.rows, &node.target.table, &mut Run::new(store, parameters, context), &mut |at, key, row| {
        if let Some(returning) = &node.target.returning {
            returned.push(evaluate_all(returning, &row, at)?);
        }
        doomed.push((key.to_vec(), row));
        Ok(Flow::More)
    })?;
    for (key, row) in &doomed {
        delete_row(store, &node.target.table, key, row);
        note(context, &node.target, Some(&row[..node.target.table.columns.len()]), None, Part::Whole);
    }
    Ok(StatementResult { rows: returned, affected: doomed.len() as u64, suspended: false })
}

/// As [`delete`], over rows of all partitions; only those that are in `share` are taken away.
pub(in crate::sql) fn delete_gathered(
    node: &Delete,
    gathered: &Store,
    share: Share,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let table = &node.target.table;
    let mut result = StatementResult::default();
    let mut doomed: Vec<(Vec<u8>, Row)> = Vec::new();
    each(&node.rows, table, &mut Run::new(gathered, parameters, context), &mut |at, key, row| {
        if !share.has(table, &row) {
            return Ok(Flow::More);
        }
        result.affected += 1;
        if let Some(returning) = &node.target.returning {
            result.rows.push(evaluate_all(returning, &row, at)?);
        }
        doomed.push((own_key(table, key).to_vec(), row));
        Ok(Flow::More)
    })?;
    for (key, row) in &doomed {
        delete_row(store, table, key, row);
        note(context, &node.target, Some(&row[..table.columns.len()]), None, Part::Whole);
    }
    Ok(result)
}

/// Empties a table. Hidden row ids go on where they were: nothing can tell, and nothing is reused.
pub(in crate::sql) fn truncate(store: &mut Store, table: &Table) {
    for tree in table.trees() {
        store.clear(tree);
    }
}
