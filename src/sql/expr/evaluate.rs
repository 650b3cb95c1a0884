//! Evaluation: three-valued logic, errors as PostgreSQL raises them. Depth is that of the tree, which binding bounds.

use super::{Case, Compare, Expr, In, Like, Subquery, SubqueryKind};
use crate::sql::execute::{Flow, Memo, Run, run};
use crate::sql::{cast, operator};
use crate::types::{SqlError, SqlState, Value};
use std::sync::Arc;

/// The value of an expression over a row.
pub(in crate::sql) fn evaluate(expr: &Expr, row: &[Value], at: &mut Run<'_>) -> Result<Value, SqlError> {
    match expr {
        Expr::Constant(value) => Ok(value.clone()),
        Expr::Literal { text, to } => cast::cast_literal(at.context, text, *to, cast::CastContext::Explicit),
        Expr::Parameter(number) => at.parameters.get(*number).cloned().ok_or_else(misplanned),
        Expr::Drawn(place, what) => at.context.drawn.placed(*place).map(Value::Int8).ok_or_else(|| {
            let message = format!("{what} not yet defined in this session");
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        }),
        Expr::Column(column) => row.get(*column).cloned().ok_or_else(misplanned),
        Expr::Outer { level, column } => {
            let outer = at.outer.iter().rev().nth(*level).and_then(|row| row.get(*column));
            outer.cloned().ok_or_else(misplanned)
        }
        Expr::Aggregate(_) => Err(misplanned()),
        Expr::Call(call) => {
            let mut arguments = Vec::with_capacity(call.arguments.len());
            for argument in &call.arguments {
                arguments.push(evaluate(argument, row, at)?);
            }
            call.call.eval(at.context, &arguments)
        }
        Expr::Binary(binary) => {
            let left = evaluate(&binary.left, row, at)?;
            let right = evaluate(&binary.right, row, at)?;
            binary.operator.eval(&left, &right)
        }
        Expr::Unary(operator, input) => {
            let value = evaluate(input, row, at)?;
            if value.is_null() { Ok(value) } else { operator.eval(&value) }
        }
        Expr::Like(like) => matches_pattern(like, row, at),
        Expr::Compare(compare) => Ok(compare_values(compare, row, at)?.map_or(Value::Null, Value::Bool)),
        Expr::Distinct(compare) => distinct(compare, row, at).map(Value::Bool),
        Expr::Cast(cast) => {
            let value = evaluate(&cast.input, row, at)?;
            cast::cast(at.context, value, cast.from, cast.to, cast.strength)
        }
        Expr::And(list) => connect(list, row, at, false),
        Expr::Or(list) => connect(list, row, at, true),
        Expr::Not(input) => Ok(truth(&evaluate(input, row, at)?).map_or(Value::Null, |is| Value::Bool(!is))),
        Expr::IsNull(input) => Ok(Value::Bool(evaluate(input, row, at)?.is_null())),
        Expr::Is(input, wanted) => Ok(Value::Bool(truth(&evaluate(input, row, at)?) == Some(*wanted))),
        Expr::In(list) => contains(list, row, at),
        Expr::Case(case) => choose(case, row, at),
        Expr::Coalesce(list) => {
            for expr in list {
                let value = evaluate(expr, row, at)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Ok(Value::Null)
        }
        Expr::Extreme(greatest, list, data_type) => {
            let mut best = Value::Null;
            for expr in list {
                let value = evaluate(expr, row, at)?;
                let order = value.compare_as(&best, *data_type);
                if !value.is_null() && (best.is_null() || if *greatest { order.is_gt() } else { order.is_lt() }) {
                    best = value;
                }
            }
            Ok(best)
        }
        Expr::Subquery(subquery) => subquery_value(subquery, row, at),
    }
}

/// A bug of the planner. An error, not a panic: the statement is in the log, and every replica would panic at it for ever.
fn misplanned() -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, "the plan reads a value that is not there")
}

/// A boolean's truth; `None`: unknown.
const fn truth(value: &Value) -> Option<bool> {
    value.as_bool()
}

/// Is the condition true? Unknown is not.
pub(in crate::sql) fn is_true(expr: &Expr, row: &[Value], at: &mut Run<'_>) -> Result<bool, SqlError> {
    match expr {
        // Conditions are mostly comparisons: without building a value for each.
        Expr::Compare(compare) => Ok(compare_values(compare, row, at)? == Some(true)),
        Expr::And(list) => {
            for expr in list {
                if !is_true(expr, row, at)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        other => Ok(truth(&evaluate(other, row, at)?) == Some(true)),
    }
}

/// A column or constant as it lies, without a copy.
fn peek<'v>(expr: &'v Expr, row: &'v [Value], at: &Run<'v>) -> Option<&'v Value> {
    match expr {
        Expr::Column(column) => row.get(*column),
        Expr::Constant(value) => Some(value),
        Expr::Parameter(number) => at.parameters.get(*number),
        _ => None,
    }
}

fn compare_values(compare: &Compare, row: &[Value], at: &mut Run<'_>) -> Result<Option<bool>, SqlError> {
    let by = |left: &Value, right: &Value| {
        let known = !left.is_null() && !right.is_null();
        known.then(|| compare.comparison.holds(left.compare_as(right, compare.data_type)))
    };
    if let (Some(left), Some(right)) = (peek(&compare.left, row, at), peek(&compare.right, row, at)) {
        return Ok(by(left, right));
    }
    let left = evaluate(&compare.left, row, at)?;
    let right = evaluate(&compare.right, row, at)?;
    Ok(by(&left, &right))
}

fn distinct(compare: &Compare, row: &[Value], at: &mut Run<'_>) -> Result<bool, SqlError> {
    let left = evaluate(&compare.left, row, at)?;
    let right = evaluate(&compare.right, row, at)?;
    Ok(left.compare_as(&right, compare.data_type).is_ne())
}

/// AND, which `false` decides, or OR, which `true` decides.
fn connect(list: &[Expr], row: &[Value], at: &mut Run<'_>, deciding: bool) -> Result<Value, SqlError> {
    let mut unknown = false;
    for expr in list {
        match truth(&evaluate(expr, row, at)?) {
            Some(is) if is == deciding => return Ok(Value::Bool(deciding)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!deciding) })
}

fn contains(list: &In, row: &[Value], at: &mut Run<'_>) -> Result<Value, SqlError> {
    let needle = evaluate(&list.needle, row, at)?;
    if needle.is_null() && !list.list.is_empty() {
        return Ok(Value::Null);
    }
    let mut unknown = false;
    for expr in &list.list {
        let is = match peek(expr, row, at) {
            Some(value) => (!value.is_null()).then(|| needle.compare_as(value, list.data_type).is_eq()),
            None => {
                let value = evaluate(expr, row, at)?;
                (!value.is_null()).then(|| needle.compare_as(&value, list.data_type).is_eq())
            }
        };
        match is {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(false) })
}

fn choose(case: &Case, row: &[Value], at: &mut Run<'_>) -> Result<Value, SqlError> {
    for (condition, result) in &case.branches {
        if is_true(condition, row, at)? {
            return evaluate(result, row, at);
        }
    }
    evaluate(&case.otherwise, row, at)
}

fn matches_pattern(like: &Like, row: &[Value], at: &mut Run<'_>) -> Result<Value, SqlError> {
    let input = evaluate(&like.input, row, at)?;
    let pattern = evaluate(&like.pattern, row, at)?;
    let escape = evaluate(&like.escape, row, at)?;
    let (Some(input), Some(pattern), Some(escape)) = (input.as_str(), pattern.as_str(), escape.as_str()) else {
        return Ok(Value::Null);
    };
    let mut signs = escape.chars();
    let sign = signs.next();
    if signs.next().is_some() {
        return Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    }
    let is = if like.insensitive {
        operator::like(&input.to_lowercase(), &pattern.to_lowercase(), sign)
    } else {
        operator::like(input, pattern, sign)
    };
    is.map(Value::Bool)
}

fn subquery_value(subquery: &Subquery, row: &[Value], at: &mut Run<'_>) -> Result<Value, SqlError> {
    let needle = match &subquery.kind {
        SubqueryKind::Any { needle, .. } | SubqueryKind::All { needle, .. } => evaluate(needle, row, at)?,
        _ => Value::Null,
    };
    let found = subquery_rows(subquery, row, at)?;
    Ok(match &subquery.kind {
        SubqueryKind::Exists => Value::Bool(!found.is_empty()),
        SubqueryKind::Scalar => match found.as_slice() {
            [] => Value::Null,
            [one] => one.clone(),
            _ => {
                let message = "more than one row returned by a subquery used as an expression";
                return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message));
            }
        },
        SubqueryKind::Any { comparison, data_type, .. } => {
            quantified(&needle, &found, true, |value| comparison.holds(needle.compare_as(value, *data_type)))
        }
        SubqueryKind::All { comparison, data_type, .. } => {
            quantified(&needle, &found, false, |value| comparison.holds(needle.compare_as(value, *data_type)))
        }
    })
}

fn quantified(needle: &Value, found: &[Value], deciding: bool, holds: impl Fn(&Value) -> bool) -> Value {
    if found.is_empty() {
        return Value::Bool(!deciding);
    }
    let unknown = needle.is_null() || found.iter().any(Value::is_null);
    if !needle.is_null() && found.iter().any(|value| !value.is_null() && holds(value) == deciding) {
        return Value::Bool(deciding);
    }
    if unknown { Value::Null } else { Value::Bool(!deciding) }
}

/// The first column of a subquery's rows: of at most one row for EXISTS, of at most two for a scalar.
fn subquery_rows(subquery: &Subquery, row: &[Value], at: &mut Run<'_>) -> Result<Memo, SqlError> {
    if let Some(slot) = subquery.slot
        && let Some(Some(memo)) = at.memory.get(slot)
    {
        return Ok(Arc::clone(memo));
    }
    let most = match subquery.kind {
        SubqueryKind::Exists => 1,
        SubqueryKind::Scalar => 2,
        _ => usize::MAX,
    };
    let mut found = Vec::new();
    at.outer.push(row.to_vec());
    let result = run(&subquery.plan, at, &mut |_, row| {
        found.push(row.into_iter().next().unwrap_or(Value::Null));
        Ok(if found.len() >= most { Flow::Stop } else { Flow::More })
    });
    at.outer.pop();
    result?;
    let found: Memo = Arc::new(found);
    if let Some(slot) = subquery.slot {
        if at.memory.len() <= slot {
            at.memory.resize(slot + 1, None);
        }
        at.memory[slot] = Some(Arc::clone(&found));
    }
    Ok(found)
}
