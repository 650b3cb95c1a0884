//! Aggregates: result types and accumulation. DISTINCT, FILTER and grouping are the executor's.
//!
//! As in PostgreSQL a sum is one size larger than what it sums, so that it does not overflow, and averages of exact
//! numbers are exact. All but `count` ignore NULLs and are NULL of nothing.
//!
//! # Caveats
//! Sums of `double precision` depend on the order of rows; execution feeds rows in key order, the same on every replica.

use super::operator::{float_overflow, to_f64, to_i64, to_numeric, to_str};
use super::overload::{Choice, choose, type_names};
use crate::types::numeric::Numeric;
use crate::types::{DataType, SqlError, SqlState, Value};
use std::cmp::Ordering;

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are SQL's")]
pub enum Kind {
    /// `count(*)`
    CountRows,
    Count,
    Sum,
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    StringAgg,
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
}

/// An aggregate resolved: arguments are to be cast (implicitly) to `arguments` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Which.
    pub kind: Kind,
    /// Types to cast the arguments to.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub result: DataType,
}

/// Names, of which some mean the same.
const NAMES: &[(&str, Kind)] = &[
    ("count", Kind::Count),
    ("sum", Kind::Sum),
    ("avg", Kind::Avg),
    ("min", Kind::Min),
    ("max", Kind::Max),
    ("bool_and", Kind::BoolAnd),
    ("every", Kind::BoolAnd),
    ("bool_or", Kind::BoolOr),
    ("string_agg", Kind::StringAgg),
    ("var_pop", Kind::VarPop),
    ("var_samp", Kind::VarSamp),
    ("variance", Kind::VarSamp),
    ("stddev_pop", Kind::StddevPop),
    ("stddev_samp", Kind::StddevSamp),
    ("stddev", Kind::StddevSamp),
];

const NUMERIC: DataType = DataType::Numeric(None);

/// Signatures: parameter types and result.
fn signatures(kind: Kind) -> Vec<(Vec<DataType>, DataType)> {
    use DataType::{Bool, Bytea, Char, Date, Float8, Int2, Int4, Int8, Text, Timestamp, TimestampTz};
    let one = |list: &[(DataType, DataType)]| list.iter().map(|(from, to)| (vec![*from], *to)).collect();
    match kind {
        Kind::CountRows | Kind::Count => Vec::new(),
        Kind::Sum => one(&[(Int8, NUMERIC), (Int4, Int8), (Int2, Int8), (Float8, Float8), (NUMERIC, NUMERIC)]),
        Kind::Avg | Kind::VarPop | Kind::VarSamp | Kind::StddevPop | Kind::StddevSamp => {
            one(&[(Int8, NUMERIC), (Int4, NUMERIC), (Int2, NUMERIC), (Float8, Float8), (NUMERIC, NUMERIC)])
        }
        Kind::Min | Kind::Max => [Int2, Int4, Int8, Float8, NUMERIC, Text, Char(0), Date, Timestamp, TimestampTz]
            .map(|t| (vec![t], t))
            .to_vec(),
        Kind::BoolAnd | Kind::BoolOr => one(&[(Bool, Bool)]),
        Kind::StringAgg => vec![(vec![Text, Text], Text), (vec![Bytea, Bytea], Bytea)],
    }
}

/// Is that the name of an aggregate?
#[must_use]
pub fn exists(name: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == name)
}

/// `count(*)`
#[must_use]
pub fn count_rows() -> Aggregate {
    Aggregate { kind: Kind::CountRows, arguments: Vec::new(), result: DataType::Int8 }
}

/// Resolves by name (folded) and argument types; `None` is an untyped literal, parameter or NULL.
pub fn resolve(name: &str, arguments: &[Option<DataType>]) -> Result<Aggregate, SqlError> {
    let missing = || {
        SqlError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {name}({}) does not exist", type_names(arguments)),
        )
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    };
    let kind = NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind).ok_or_else(missing)?;
    if kind == Kind::Count {
        return match arguments {
            [] => Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                "count(*) must be used to call a parameterless aggregate function",
            )),
            [one] => Ok(Aggregate { kind, arguments: vec![one.unwrap_or(DataType::Text)], result: DataType::Int8 }),
            _ => Err(missing()),
        };
    }
    let signatures = signatures(kind);
    let types: Vec<Vec<DataType>> = signatures.iter().map(|(types, _)| types.clone()).collect();
    match choose(&types, arguments) {
        Choice::One(at) => Ok(Aggregate { kind, arguments: types[at].clone(), result: signatures[at].1 }),
        Choice::None => Err(missing()),
        Choice::Ambiguous => Err(SqlError::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("function {name}({}) is not unique", type_names(arguments)),
        )
        .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

impl Aggregate {
    /// Number of values of an accumulator's state ([`Accumulator::state`]); `None`: what is aggregated cannot be put
    /// together from parts, since it depends on the order of the rows across them.
    #[must_use]
    pub const fn state_width(&self) -> Option<usize> {
        match self.kind {
            Kind::CountRows | Kind::Count | Kind::Min | Kind::Max | Kind::BoolAnd | Kind::BoolOr => Some(1),
            Kind::Sum if matches!(self.result, DataType::Int8) => Some(1),
            Kind::Sum | Kind::Avg | Kind::VarPop | Kind::VarSamp | Kind::StddevPop | Kind::StddevSamp => Some(3),
            Kind::StringAgg => None,
        }
    }

    /// An accumulator that has seen nothing.
    #[must_use]
    pub fn start(&self) -> Accumulator {
        let float = self.arguments.first() == Some(&DataType::Float8);
        let state = match self.kind {
            Kind::CountRows | Kind::Count => State::Count(0),
            Kind::Sum if self.result == DataType::Int8 => State::SumInt8(None),
            Kind::Sum | Kind::Avg | Kind::VarPop | Kind::VarSamp | Kind::StddevPop | Kind::StddevSamp => {
                if float {
                    State::Float { count: 0.0, sum: 0.0, squares: 0.0 }
                } else {
                    State::Exact { count: 0, sum: Numeric::ZERO, squares: Numeric::ZERO }
                }
            }
            Kind::Min | Kind::Max | Kind::BoolAnd | Kind::BoolOr => State::Best(Value::Null),
            Kind::StringAgg => State::Joined(None),
        };
        Accumulator { kind: self.kind, data_type: self.arguments.first().copied().unwrap_or(DataType::Int8), state }
    }
}

/// One group's running aggregate.
#[derive(Clone, Debug)]
pub struct Accumulator {
    kind: Kind,
    data_type: DataType,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Count(i64),
    SumInt8(Option<i64>),
    /// Sum and sum of squares of exact numbers.
    Exact {
        count: i64,
        sum: Numeric,
        squares: Numeric,
    },
    /// Running sums after Youngs and Cramer: `squares` is the sum of squared deviations from the mean.
    Float {
        count: f64,
        sum: f64,
        squares: f64,
    },
    Best(Value),
    Joined(Option<Vec<u8>>),
}

impl Accumulator {
    /// Takes one row's arguments.
    pub fn add(&mut self, arguments: &[Value]) -> Result<(), SqlError> {
        let (kind, data_type) = (self.kind, self.data_type);
        if let (State::Count(count), Kind::CountRows) = (&mut self.state, kind) {
            *count += 1;
            return Ok(());
        }
        let value = arguments.first().unwrap_or(&Value::Null);
        if value.is_null() {
            return Ok(());
        }
        match &mut self.state {
            State::Count(count) => *count += 1,
            State::SumInt8(sum) => {
                let total = sum
                    .unwrap_or(0)
                    .checked_add(to_i64(value)?)
                    .ok_or_else(|| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"))?;
                *sum = Some(total);
            }
            State::Exact { count, sum, squares } => {
                let number = match value.as_i64() {
                    Some(whole) => Numeric::from(whole),
                    None => to_numeric(value)?.clone(),
                };
                *count += 1;
                *sum = sum.add(&number)?;
                if !matches!(kind, Kind::Sum | Kind::Avg) {
                    *squares = squares.add(&number.mul(&number)?)?;
                }
            }
            State::Float { count, sum, squares } => add_float(count, sum, squares, to_f64(value)?)?,
            State::Best(best) => keep_best(best, value, kind, data_type),
            State::Joined(joined) => join(joined, value, arguments.get(1).unwrap_or(&Value::Null))?,
        }
        Ok(())
    }

    /// What was taken, as values that [`Self::absorb`] understands.
    #[must_use]
    pub fn state(&self) -> Vec<Value> {
        match &self.state {
            State::Count(count) => vec![Value::Int8(*count)],
            State::SumInt8(sum) => vec![sum.map_or(Value::Null, Value::Int8)],
            State::Exact { count, sum, squares } => {
                vec![Value::Int8(*count), Value::Numeric(sum.clone()), Value::Numeric(squares.clone())]
            }
            State::Float { count, sum, squares } => [count, sum, squares].map(|number| Value::Float8(*number)).to_vec(),
            State::Best(best) => vec![best.clone()],
            State::Joined(joined) => {
                vec![joined.as_ref().map_or(Value::Null, |bytes| Value::Bytea(bytes.clone().into()))]
            }
        }
    }

    /// Takes what another accumulator of the same aggregate has taken.
    pub fn absorb(&mut self, other: &[Value]) -> Result<(), SqlError> {
        let (kind, data_type) = (self.kind, self.data_type);
        match (&mut self.state, other) {
            (State::Count(count), [Value::Int8(more)]) => *count = count.saturating_add(*more),
            (State::SumInt8(_), [Value::Null]) | (State::Best(_), [Value::Null]) => {}
            (State::SumInt8(sum), [Value::Int8(more)]) => {
                let total = sum.unwrap_or(0).checked_add(*more);
                *sum = Some(
                    total.ok_or_else(|| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"))?,
                );
            }
            (
                State::Exact { count, sum, squares },
                [Value::Int8(more), Value::Numeric(other_sum), Value::Numeric(other_squares)],
            ) => {
                *count = count.saturating_add(*more);
                *sum = sum.add(other_sum)?;
                *squares = squares.add(other_squares)?;
            }
            (
                State::Float { count, sum, squares },
                [Value::Float8(more), Value::Float8(other_sum), Value::Float8(other_squares)],
            ) => absorb_float((count, sum, squares), (*more, *other_sum, *other_squares))?,
            (State::Best(best), [value]) => keep_best(best, value, kind, data_type),
            _ => return Err(SqlError::new(SqlState::INTERNAL_ERROR, "a part of an aggregate has another shape")),
        }
        Ok(())
    }

    /// The aggregate of what was taken.
    pub fn finish(&self) -> Result<Value, SqlError> {
        match &self.state {
            State::Count(count) => Ok(Value::Int8(*count)),
            State::SumInt8(sum) => Ok(sum.map_or(Value::Null, Value::Int8)),
            State::Exact { count, sum, squares } => finish_exact(self.kind, *count, sum, squares),
            State::Float { count, sum, squares } => Ok(finish_float(self.kind, *count, *sum, *squares)),
            State::Best(best) => Ok(best.clone()),
            State::Joined(None) => Ok(Value::Null),
            State::Joined(Some(bytes)) => Ok(if self.data_type == DataType::Bytea {
                Value::Bytea(bytes.clone().into())
            } else {
                Value::text(String::from_utf8_lossy(bytes))
            }),
        }
    }
}

/// A running update of count, sum and squared deviations that keeps the precision of large numbers of rows.
fn add_float(count: &mut f64, sum: &mut f64, squares: &mut f64, value: f64) -> Result<(), SqlError> {
    let (old_count, old_sum) = (*count, *sum);
    *count += 1.0;
    *sum += value;
    if sum.is_infinite() && old_sum.is_finite() && value.is_finite() {
        return Err(float_overflow());
    }
    if old_count > 0.0 {
        let deviation = value * *count - *sum;
        *squares += deviation * deviation / (*count * old_count);
    } else if !value.is_finite() {
        *squares = f64::NAN;
    }
    Ok(())
}

/// Two sets of rows as one, after Chan, Golub and LeVeque.
fn absorb_float(own: (&mut f64, &mut f64, &mut f64), other: (f64, f64, f64)) -> Result<(), SqlError> {
    let (count, sum, squares) = own;
    if other.0 == 0.0 {
        return Ok(());
    }
    if *count == 0.0 {
        (*count, *sum, *squares) = other;
        return Ok(());
    }
    let (old_count, old_sum) = (*count, *sum);
    *count += other.0;
    *sum += other.1;
    if sum.is_infinite() && old_sum.is_finite() && other.1.is_finite() {
        return Err(float_overflow());
    }
    let deviation = old_sum / old_count - other.1 / other.0;
    *squares += other.2 + old_count * other.0 * deviation * deviation / *count;
    Ok(())
}

fn finish_float(kind: Kind, count: f64, sum: f64, squares: f64) -> Value {
    let least = if matches!(kind, Kind::VarSamp | Kind::StddevSamp) { 2.0 } else { 1.0 };
    if count < least {
        return Value::Null;
    }
    Value::Float8(match kind {
        Kind::Sum => sum,
        Kind::Avg => sum / count,
        Kind::VarPop => squares / count,
        Kind::VarSamp => squares / (count - 1.0),
        Kind::StddevPop => libm::sqrt(squares / count),
        _ => libm::sqrt(squares / (count - 1.0)),
    })
}

fn finish_exact(kind: Kind, count: i64, sum: &Numeric, squares: &Numeric) -> Result<Value, SqlError> {
    let sample = matches!(kind, Kind::VarSamp | Kind::StddevSamp);
    if count < if sample { 2 } else { 1 } {
        return Ok(Value::Null);
    }
    let total = Numeric::from(count);
    let result = match kind {
        Kind::Sum => sum.clone(),
        Kind::Avg => sum.div(&total)?,
        _ if !sum.is_finite() => Numeric::NAN,
        _ => {
            // (n·Σx² - (Σx)²) / (n·(n or n-1))
            let spread = total.mul(squares)?.sub(&sum.mul(sum)?)?;
            if spread.signum() <= 0 {
                Numeric::ZERO
            } else {
                let divisor = total.mul(&Numeric::from(count - i64::from(sample)))?;
                let variance = spread.div(&divisor)?;
                if matches!(kind, Kind::StddevPop | Kind::StddevSamp) { variance.sqrt()? } else { variance }
            }
        }
    };
    Ok(Value::Numeric(result))
}

fn keep_best(best: &mut Value, value: &Value, kind: Kind, data_type: DataType) {
    let better = match kind {
        _ if best.is_null() => true,
        Kind::Min => value.compare_as(best, data_type) == Ordering::Less,
        Kind::Max => value.compare_as(best, data_type) == Ordering::Greater,
        Kind::BoolAnd => value.as_bool() == Some(false),
        _ => value.as_bool() == Some(true),
    };
    if better {
        *best = value.clone();
    }
}

fn join(joined: &mut Option<Vec<u8>>, value: &Value, separator: &Value) -> Result<(), SqlError> {
    fn bytes(value: &Value) -> Result<&[u8], SqlError> {
        match value {
            Value::Null => Ok(&[]),
            Value::Bytea(bytes) => Ok(bytes),
            other => to_str(other).map(str::as_bytes),
        }
    }
    match joined {
        None => *joined = Some(bytes(value)?.to_vec()),
        Some(all) => {
            super::function::check_size(all.len() + bytes(value)?.len() + bytes(separator)?.len())?;
            all.extend_from_slice(bytes(separator)?);
            all.extend_from_slice(bytes(value)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::datetime::TimeContext;
    use crate::types::text;

    fn of(name: &str, data_type: DataType, rows: &[&str]) -> (String, DataType) {
        let time = TimeContext::default();
        let aggregate = resolve(name, &[Some(data_type)]).unwrap();
        let mut state = aggregate.start();
        for row in rows {
            state.add(&[text::parse(row, data_type, &time).unwrap()]).unwrap();
            state.add(&[Value::Null]).unwrap();
        }
        (text::print(&state.finish().unwrap(), &time.zone), aggregate.result)
    }

    /// Read off a PostgreSQL 15 server.
    #[test]
    fn results_of_postgresql() {
        use DataType::{Float8, Int4, Int8};
        for (name, data_type, rows, expected, result) in [
            ("sum", Int4, &["1", "2", "4"][..], "7", Int8),
            ("avg", Int4, &["1", "2", "4"], "2.3333333333333333", NUMERIC),
            ("sum", Int8, &["9223372036854775807", "1"], "9223372036854775808", NUMERIC),
            ("avg", NUMERIC, &["1000000000000000000000", "2"], "500000000000000000001", NUMERIC),
            ("stddev", Int4, &["1", "2", "4"], "1.5275252316519467", NUMERIC),
            ("variance", Float8, &["1.5", "2.5"], "0.5", Float8),
            ("max", Int4, &[], "", Int4),
            ("count", Int4, &["1"], "1", Int8),
        ] {
            assert_eq!(of(name, data_type, rows), (expected.to_owned(), result), "{name}({data_type})");
        }
    }
}
