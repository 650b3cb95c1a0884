//! Limit: skips OFFSET rows, passes LIMIT rows on, then stops its input.

use super::{Flow, Run, Sink, run as run_node};
use crate::sql::expr::{Expr, evaluate};
use crate::sql::plan::Limit;
use crate::types::{SqlError, SqlState};

pub(super) fn run<'a>(node: &Limit, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let mut skip = count(node.offset.as_ref(), false, at)?.unwrap_or(0);
    let mut left = count(node.limit.as_ref(), true, at)?.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(Flow::More);
    }
    if node.partial {
        left = left.saturating_add(skip);
        skip = 0;
    }
    let mut enough = false;
    let flow = run_node(&node.input, at, &mut |at, row| {
        if skip > 0 {
            skip -= 1;
            return Ok(Flow::More);
        }
        left -= 1;
        let flow = sink(at, row)?;
        enough = left == 0 && flow == Flow::More;
        Ok(if left == 0 { Flow::Stop } else { flow })
    })?;
    // The input was stopped by this operator, not by the one above: whoever comes next may go on.
    Ok(if enough { Flow::More } else { flow })
}

/// The number of LIMIT (`true`) or OFFSET; NULL is none.
pub(in crate::sql) fn count(expr: Option<&Expr>, limit: bool, at: &mut Run<'_>) -> Result<Option<u64>, SqlError> {
    let Some(expr) = expr else { return Ok(None) };
    let Some(number) = evaluate(expr, &[], at)?.as_i64() else { return Ok(None) };
    u64::try_from(number).map(Some).map_err(|_| {
        if limit {
            SqlError::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, "LIMIT must not be negative")
        } else {
            SqlError::new(SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE, "OFFSET must not be negative")
        }
    })
}
