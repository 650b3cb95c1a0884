//! `generate_series`: whole numbers, one by one.

use super::{Flow, Run, Sink};
use crate::sql::expr::evaluate;
use crate::sql::plan::Series;
use crate::types::{DataType, SqlError, SqlState, Value};

/// Most rows: a slip of the pen must not keep a worker busy for days.
const MAX_ROWS: u64 = 10_000_000;

pub(super) fn run<'a>(series: &Series, at: &mut Run<'a>, sink: &mut Sink<'_, 'a>) -> Result<Flow, SqlError> {
    let mut bound = |expr| Ok::<_, SqlError>(evaluate(expr, &[], at)?.as_i64());
    let step = match &series.step {
        None => Some(1),
        Some(step) => bound(step)?,
    };
    let (Some(mut next), Some(to), Some(step)) = (bound(&series.from)?, bound(&series.to)?, step) else {
        return Ok(Flow::More);
    };
    if step == 0 {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
    }
    let mut rows = 0;
    while if step > 0 { next <= to } else { next >= to } {
        rows += 1;
        if rows > MAX_ROWS {
            let message = format!("generate_series would return more than {MAX_ROWS} rows");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let value = match (series.data_type, i32::try_from(next)) {
            (DataType::Int4, Ok(next)) => Value::Int4(next),
            _ => Value::Int8(next),
        };
        if sink(at, vec![value])? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let Some(following) = next.checked_add(step) else { break };
        next = following;
    }
    Ok(Flow::More)
}
