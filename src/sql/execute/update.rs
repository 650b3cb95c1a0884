//! Update: finds the rows and computes the new ones first, then writes them in that order.

use super::write::{check_row, unique_violation, update_row};
use super::{Flow, Row, Run, evaluate_all, scan};
use crate::sql::context::Context;
use crate::sql::expr::evaluate;
use crate::sql::plan::Update;
use crate::sql::settings::StatementResult;
use crate::storage::Store;
use crate::types::{SqlError, Value};

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
    scan::run(&node.scan, &mut Run::new(store, parameters, context), &mut |at, key, old| {
        let mut new = old.clone();
        for (column, value) in &node.assignments {
            new[*column] = evaluate(value, &old, at)?;
        }
        if let Some(returning) = &node.target.returning {
            returned.push(evaluate_all(returning, &new, at)?);
        }
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
    }
    Ok(StatementResult { rows: returned, affected, suspended: false })
}
