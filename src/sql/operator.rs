//! Operators: which exist, how operand types choose among them, and what they compute.
//!
//! The candidates for a name are one literal list (arithmetic, strings, dates) and, for comparisons, one entry for each
//! comparable pair of types. Everything but AND and OR is strict: NULL in, NULL out.

mod like;

pub use like::like;

use super::overload::{Choice, choose};
use crate::types::datetime;
use crate::types::numeric::Numeric;
use crate::types::{DataType, SqlError, SqlState, Value};
use bytes::Bytes;
use std::cmp::Ordering;

/// Operators with two operands, AND and OR aside (see [`and`], [`or`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Concat,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `~~`, LIKE
    Like,
    /// `!~~`, NOT LIKE
    NotLike,
    /// `~~*`, ILIKE
    ILike,
    /// `!~~*`, NOT ILIKE
    NotILike,
}

/// Operators with one operand, NOT aside (see [`not`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum UnaryOperator {
    Plus,
    Minus,
}

impl BinaryOperator {
    /// As written in messages.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
            Self::Concat => "||",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Like => "~~",
            Self::NotLike => "!~~",
            Self::ILike => "~~*",
            Self::NotILike => "!~~*",
        }
    }

    /// Is it one of `= <> < <= > >=`?
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual)
    }

    /// The comparison that says the same with the operands exchanged.
    #[must_use]
    pub const fn commuted(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            _ => false,
        }
    }
}

type Evaluate = fn(&Value, &Value) -> Result<Value, SqlError>;

#[derive(Clone, Copy)]
enum Body {
    Function(Evaluate),
    /// A comparison by the order of this type; integers of different width compare as they are.
    Compare(BinaryOperator, DataType),
}

/// A binary operator resolved: operands are to be cast (implicitly) to `left` and `right` first.
#[derive(Clone, Copy)]
pub struct Binary {
    /// Which.
    pub operator: BinaryOperator,
    /// Type of the left operand.
    pub left: DataType,
    /// Type of the right operand.
    pub right: DataType,
    /// Type of the result.
    pub result: DataType,
    body: Body,
}

impl Binary {
    /// Computes; NULL if either operand is.
    pub fn eval(&self, left: &Value, right: &Value) -> Result<Value, SqlError> {
        if left.is_null() || right.is_null() {
            return Ok(Value::Null);
        }
        match self.body {
            Body::Function(evaluate) => evaluate(left, right),
            Body::Compare(operator, data_type) => Ok(Value::Bool(operator.holds(left.compare_as(right, data_type)))),
        }
    }
}

impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.left, self.operator.symbol(), self.right)
    }
}

/// A unary operator resolved: the operand is to be cast (implicitly) to `operand` first; the result has that type too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unary {
    /// Which.
    pub operator: UnaryOperator,
    /// Type of operand and result.
    pub operand: DataType,
}

impl Unary {
    /// Computes; NULL of NULL.
    pub fn eval(&self, operand: &Value) -> Result<Value, SqlError> {
        if self.operator == UnaryOperator::Plus {
            return Ok(operand.clone());
        }
        Ok(match operand {
            Value::Int2(value) => Value::Int2(value.checked_neg().ok_or_else(|| out_of_range(DataType::Int2))?),
            Value::Int4(value) => Value::Int4(value.checked_neg().ok_or_else(|| out_of_range(DataType::Int4))?),
            Value::Int8(value) => Value::Int8(value.checked_neg().ok_or_else(|| out_of_range(DataType::Int8))?),
            Value::Float8(value) => Value::Float8(-value),
            Value::Numeric(value) => Value::Numeric(value.neg()),
            other => other.clone(),
        })
    }
}

/// Types that compare with themselves; varchar compares as text.
const COMPARABLE: [DataType; 13] = [
    DataType::Bool,
    DataType::Int2,
    DataType::Int4,
    DataType::Int8,
    DataType::Float8,
    DataType::Numeric(None),
    DataType::Text,
    DataType::Char(0),
    DataType::Bytea,
    DataType::Date,
    DataType::Timestamp,
    DataType::TimestampTz,
    DataType::Uuid,
];
const INTEGERS: [DataType; 3] = [DataType::Int2, DataType::Int4, DataType::Int8];

struct Entry {
    operator: BinaryOperator,
    left: DataType,
    right: DataType,
    result: DataType,
    evaluate: Evaluate,
}

const fn entry(
    operator: BinaryOperator,
    left: DataType,
    right: DataType,
    result: DataType,
    evaluate: Evaluate,
) -> Entry {
    Entry { operator, left, right, result, evaluate }
}

/// Every operator that is neither a comparison nor among integers only (those see [`integer_entries`]).
const ENTRIES: &[Entry] = {
    use BinaryOperator as Op;
    use DataType::{Bool, Bytea, Char, Date, Float8, Int4, Text};
    const NUMERIC: DataType = DataType::Numeric(None);
    &[
        entry(Op::Add, Float8, Float8, Float8, |l, r| float(l, r, |a, b| a + b)),
        entry(Op::Subtract, Float8, Float8, Float8, |l, r| float(l, r, |a, b| a - b)),
        entry(Op::Multiply, Float8, Float8, Float8, float_multiply),
        entry(Op::Divide, Float8, Float8, Float8, float_divide),
        entry(Op::Power, Float8, Float8, Float8, float_power),
        entry(Op::Add, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::add)),
        entry(Op::Subtract, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::sub)),
        entry(Op::Multiply, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::mul)),
        entry(Op::Divide, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::div)),
        entry(Op::Modulo, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::rem)),
        entry(Op::Power, NUMERIC, NUMERIC, NUMERIC, |l, r| numeric(l, r, Numeric::power)),
        entry(Op::Concat, Text, Text, Text, concat),
        entry(Op::Concat, Bytea, Bytea, Bytea, concat),
        entry(Op::Add, Date, Int4, Date, |l, r| date_plus(l, r, 1)),
        entry(Op::Add, Int4, Date, Date, |l, r| date_plus(r, l, 1)),
        entry(Op::Subtract, Date, Int4, Date, |l, r| date_plus(l, r, -1)),
        entry(Op::Subtract, Date, Date, Int4, date_difference),
        entry(Op::Like, Text, Text, Bool, |l, r| like_texts(l, r, false, false)),
        entry(Op::NotLike, Text, Text, Bool, |l, r| like_texts(l, r, false, true)),
        entry(Op::ILike, Text, Text, Bool, |l, r| like_texts(l, r, true, false)),
        entry(Op::NotILike, Text, Text, Bool, |l, r| like_texts(l, r, true, true)),
        entry(Op::Like, Char(0), Text, Bool, |l, r| like_texts(l, r, false, false)),
        entry(Op::NotLike, Char(0), Text, Bool, |l, r| like_texts(l, r, false, true)),
        entry(Op::ILike, Char(0), Text, Bool, |l, r| like_texts(l, r, true, false)),
        entry(Op::NotILike, Char(0), Text, Bool, |l, r| like_texts(l, r, true, true)),
    ]
};

/// Entries among integers: every pair of widths for `+ - * /`, equal ones for `%`; the result is as wide as the wider.
fn integer_entries(operator: BinaryOperator, out: &mut Vec<Binary>) {
    use BinaryOperator as Op;
    let evaluate: Evaluate = match operator {
        Op::Add => |l, r| integer(l, r, i64::checked_add),
        Op::Subtract => |l, r| integer(l, r, i64::checked_sub),
        Op::Multiply => |l, r| integer(l, r, i64::checked_mul),
        Op::Divide => integer_divide,
        Op::Modulo => integer_modulo,
        _ => return,
    };
    for (i, left) in INTEGERS.into_iter().enumerate() {
        for (j, right) in INTEGERS.into_iter().enumerate() {
            if operator != Op::Modulo || i == j {
                let result = if i > j { left } else { right };
                out.push(Binary { operator, left, right, result, body: Body::Function(evaluate) });
            }
        }
    }
}

fn candidates(operator: BinaryOperator) -> Vec<Binary> {
    let mut out = Vec::new();
    if operator.is_comparison() {
        let compare =
            |left, right| Binary { operator, left, right, result: DataType::Bool, body: Body::Compare(operator, left) };
        out.extend(COMPARABLE.into_iter().map(|data_type| compare(data_type, data_type)));
        for left in INTEGERS {
            out.extend(INTEGERS.into_iter().filter(|right| *right != left).map(|right| compare(left, right)));
        }
        return out;
    }
    integer_entries(operator, &mut out);
    out.extend(ENTRIES.iter().filter(|entry| entry.operator == operator).map(|entry| Binary {
        operator,
        left: entry.left,
        right: entry.right,
        result: entry.result,
        body: Body::Function(entry.evaluate),
    }));
    out
}

fn no_such_operator(description: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {description}"))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn ambiguous_operator(description: &str) -> SqlError {
    SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("operator is not unique: {description}"))
        .hint("Could not choose a best candidate operator. You might need to add explicit type casts.")
}

/// Resolves by the operands' types; `None` is an untyped literal, parameter or NULL.
pub fn resolve_binary(
    operator: BinaryOperator,
    left: Option<DataType>,
    right: Option<DataType>,
) -> Result<Binary, SqlError> {
    let (left, right) = (left.map(DataType::base), right.map(DataType::base));
    let candidates = candidates(operator);
    // An unknown beside a known type is first taken to be of that type.
    let assumed = (left.or(right), right.or(left));
    if let (Some(l), Some(r)) = assumed
        && let Some(exact) = candidates.iter().find(|candidate| candidate.left == l && candidate.right == r)
    {
        return Ok(*exact);
    }
    if operator == BinaryOperator::Concat
        && let Some(found) = concat_anything(&candidates, left, right)
    {
        return Ok(found);
    }
    let signatures: Vec<Vec<DataType>> = candidates.iter().map(|c| vec![c.left, c.right]).collect();
    let describe = || {
        let name = |t: Option<DataType>| t.map_or("unknown", DataType::base_name);
        format!("{} {} {}", name(left), operator.symbol(), name(right))
    };
    if wants_interval(operator, left, right) {
        return Err(ambiguous_operator(&describe()));
    }
    match choose(&signatures, &[left, right]) {
        Choice::One(at) => Ok(candidates[at]),
        Choice::None => Err(no_such_operator(&describe())),
        Choice::Ambiguous => Err(ambiguous_operator(&describe())),
    }
}

/// Untyped operands that PostgreSQL could also read as an interval or a time, which Orrery does not have: it calls them
/// ambiguous, and so do we, rather than decide what a later version would have to take back.
fn wants_interval(operator: BinaryOperator, left: Option<DataType>, right: Option<DataType>) -> bool {
    match operator {
        BinaryOperator::Multiply | BinaryOperator::Divide => left.is_none() && right.is_none(),
        BinaryOperator::Add => {
            matches!((left, right), (None, Some(DataType::Date)) | (Some(DataType::Date), None))
        }
        _ => false,
    }
}

/// `text || anything` and `anything || text`: the other operand is turned into text.
fn concat_anything(candidates: &[Binary], left: Option<DataType>, right: Option<DataType>) -> Option<Binary> {
    let text = candidates.iter().find(|candidate| candidate.left == DataType::Text)?;
    let is_string = |t: Option<DataType>| t.is_some_and(DataType::is_string);
    if is_string(left) || is_string(right) {
        return Some(*text);
    }
    // `1 || 'x'`: the literal is text. Two values of other types are not.
    (left.is_none() != right.is_none()).then_some(*text)
}

/// Resolves by the operand's type.
pub fn resolve_unary(operator: UnaryOperator, operand: Option<DataType>) -> Result<Unary, SqlError> {
    let symbol = match operator {
        UnaryOperator::Plus => "+",
        UnaryOperator::Minus => "-",
    };
    let Some(operand) = operand.map(DataType::base) else {
        return Err(ambiguous_operator(&format!("{symbol} unknown")));
    };
    match operand {
        DataType::Int2 | DataType::Int4 | DataType::Int8 | DataType::Float8 | DataType::Numeric(_) => {
            Ok(Unary { operator, operand })
        }
        other => Err(no_such_operator(&format!("{symbol} {}", other.base_name()))),
    }
}

/// The common type of CASE, COALESCE, GREATEST, UNION, VALUES and `IN`; `context` names the construct in messages.
/// All unknown: text.
pub fn common_type(types: &[Option<DataType>], context: &str) -> Result<DataType, SqlError> {
    use super::cast::{CastContext, can_cast};
    let mut known = types.iter().flatten();
    let Some(first) = known.next() else { return Ok(DataType::Text) };
    let mut chosen = *first;
    let mut same = true;
    for next in known {
        if *next == chosen {
            continue;
        }
        same = same && next.base() == chosen.base();
        if next.category() != chosen.category()
            || next.category() == crate::types::data_type::Category::User && next.base() != chosen.base()
        {
            return Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("{context} types {} and {} cannot be matched", chosen.base_name(), next.base_name()),
            ));
        }
        let reach = |from: DataType, to: DataType| can_cast(from, to, CastContext::Implicit);
        if !chosen.is_preferred() && reach(chosen, *next) && !reach(*next, chosen)
            || next.is_preferred() && !chosen.is_preferred()
        {
            chosen = *next;
        }
    }
    // Different modifiers of one type: the type without any.
    let all_equal = types.iter().flatten().all(|t| t == first) && types.iter().all(Option::is_some);
    Ok(if all_equal { *first } else { chosen.base() })
}

/// AND of three-valued logic.
#[must_use]
pub fn and(left: &Value, right: &Value) -> Value {
    match (left.as_bool(), right.as_bool()) {
        (Some(false), _) | (_, Some(false)) => Value::Bool(false),
        (Some(true), Some(true)) => Value::Bool(true),
        _ => Value::Null,
    }
}

/// OR of three-valued logic.
#[must_use]
pub fn or(left: &Value, right: &Value) -> Value {
    match (left.as_bool(), right.as_bool()) {
        (Some(true), _) | (_, Some(true)) => Value::Bool(true),
        (Some(false), Some(false)) => Value::Bool(false),
        _ => Value::Null,
    }
}

/// NOT of three-valued logic.
#[must_use]
pub fn not(operand: &Value) -> Value {
    operand.as_bool().map_or(Value::Null, |value| Value::Bool(!value))
}

fn out_of_range(data_type: DataType) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", data_type.base_name()))
}

/// `22012`
pub(super) fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// A value of a type that the resolution has excluded: a bug of the binder, told rather than hidden.
pub(super) fn wrong_operand(value: &Value) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, format!("unexpected operand {value:?}"))
}

pub(super) fn to_i64(value: &Value) -> Result<i64, SqlError> {
    value.as_i64().ok_or_else(|| wrong_operand(value))
}

pub(super) fn to_f64(value: &Value) -> Result<f64, SqlError> {
    match value {
        Value::Float8(value) => Ok(*value),
        other => Err(wrong_operand(other)),
    }
}

pub(super) fn to_numeric(value: &Value) -> Result<&Numeric, SqlError> {
    match value {
        Value::Numeric(value) => Ok(value),
        other => Err(wrong_operand(other)),
    }
}

pub(super) fn to_str(value: &Value) -> Result<&str, SqlError> {
    value.as_str().ok_or_else(|| wrong_operand(value))
}

fn wider(left: &Value, right: &Value) -> DataType {
    match (left, right) {
        (Value::Int8(_), _) | (_, Value::Int8(_)) => DataType::Int8,
        (Value::Int4(_), _) | (_, Value::Int4(_)) => DataType::Int4,
        _ => DataType::Int2,
    }
}

fn narrow(value: Option<i64>, to: DataType) -> Result<Value, SqlError> {
    let value = value.ok_or_else(|| out_of_range(to))?;
    match to {
        DataType::Int2 => i16::try_from(value).map(Value::Int2).map_err(|_| out_of_range(to)),
        DataType::Int4 => i32::try_from(value).map(Value::Int4).map_err(|_| out_of_range(to)),
        _ => Ok(Value::Int8(value)),
    }
}

fn integer(left: &Value, right: &Value, compute: fn(i64, i64) -> Option<i64>) -> Result<Value, SqlError> {
    narrow(compute(to_i64(left)?, to_i64(right)?), wider(left, right))
}

pub(super) fn integer_divide(left: &Value, right: &Value) -> Result<Value, SqlError> {
    if to_i64(right)? == 0 {
        return Err(division_by_zero());
    }
    integer(left, right, i64::checked_div)
}

pub(super) fn integer_modulo(left: &Value, right: &Value) -> Result<Value, SqlError> {
    if to_i64(right)? == 0 {
        return Err(division_by_zero());
    }
    // The least number modulo -1 is 0, not an overflow.
    integer(left, right, |a, b| Some(a.checked_rem(b).unwrap_or(0)))
}

fn numeric(
    left: &Value,
    right: &Value,
    compute: fn(&Numeric, &Numeric) -> Result<Numeric, SqlError>,
) -> Result<Value, SqlError> {
    Ok(Value::Numeric(compute(to_numeric(left)?, to_numeric(right)?)?))
}

/// `22003`: a float beyond the largest.
pub(super) fn float_overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

/// `22003`: a float below the smallest.
pub(super) fn float_underflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

fn float(left: &Value, right: &Value, compute: fn(f64, f64) -> f64) -> Result<Value, SqlError> {
    let (a, b) = (to_f64(left)?, to_f64(right)?);
    let result = compute(a, b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(float_overflow());
    }
    Ok(Value::Float8(result))
}

fn float_multiply(left: &Value, right: &Value) -> Result<Value, SqlError> {
    let result = float(left, right, |a, b| a * b)?;
    if to_f64(&result)? == 0.0 && to_f64(left)? != 0.0 && to_f64(right)? != 0.0 {
        return Err(float_underflow());
    }
    Ok(result)
}

fn float_divide(left: &Value, right: &Value) -> Result<Value, SqlError> {
    let (a, b) = (to_f64(left)?, to_f64(right)?);
    if b == 0.0 && !a.is_nan() {
        return Err(division_by_zero());
    }
    let result = float(left, right, |a, b| a / b)?;
    if to_f64(&result)? == 0.0 && a != 0.0 && b.is_finite() {
        return Err(float_underflow());
    }
    Ok(result)
}

pub(super) fn float_power(left: &Value, right: &Value) -> Result<Value, SqlError> {
    let (a, b) = (to_f64(left)?, to_f64(right)?);
    let invalid = |message| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    if a == 0.0 && b < 0.0 {
        return invalid("zero raised to a negative power is undefined");
    }
    if a < 0.0 && b.is_finite() && libm::floor(b) != b {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let result = libm::pow(a, b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(float_overflow());
    }
    if result == 0.0 && a != 0.0 && a.is_finite() && b.is_finite() {
        return Err(float_underflow());
    }
    Ok(Value::Float8(result))
}

fn concat(left: &Value, right: &Value) -> Result<Value, SqlError> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => {
            super::function::check_size(a.len().saturating_add(b.len()))?;
            Ok(Value::text(format!("{a}{b}")))
        }
        (Value::Bytea(a), Value::Bytea(b)) => {
            super::function::check_size(a.len().saturating_add(b.len()))?;
            Ok(Value::Bytea(Bytes::from([&a[..], &b[..]].concat())))
        }
        _ => Err(wrong_operand(left)),
    }
}

fn date_plus(date: &Value, days: &Value, sign: i64) -> Result<Value, SqlError> {
    match date {
        Value::Date(date) => Ok(Value::Date(datetime::add_days(*date, sign * to_i64(days)?)?)),
        other => Err(wrong_operand(other)),
    }
}

fn date_difference(left: &Value, right: &Value) -> Result<Value, SqlError> {
    match (left, right) {
        (Value::Date(a), Value::Date(b)) => {
            if [*a, *b].iter().any(|day| matches!(*day, i32::MAX | i32::MIN)) {
                let message = "cannot subtract infinite dates";
                return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
            }
            narrow(Some(i64::from(*a) - i64::from(*b)), DataType::Int4)
        }
        _ => Err(wrong_operand(left)),
    }
}

fn like_texts(text: &Value, pattern: &Value, fold: bool, negate: bool) -> Result<Value, SqlError> {
    let (text, pattern) = (to_str(text)?, to_str(pattern)?);
    let matches = if fold {
        like(&text.to_ascii_lowercase(), &pattern.to_ascii_lowercase(), Some('\\'))?
    } else {
        like(text, pattern, Some('\\'))?
    };
    Ok(Value::Bool(matches != negate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(operator: BinaryOperator, left: Option<DataType>, right: Option<DataType>) -> String {
        match resolve_binary(operator, left, right) {
            Ok(found) => format!("{} , {} -> {}", found.left, found.right, found.result),
            Err(error) => error.message,
        }
    }

    /// Read off a PostgreSQL 15 server.
    #[test]
    fn operators_are_resolved_as_in_postgresql() {
        use BinaryOperator::{Add, Concat, Equal, Less, Like, Multiply};
        use DataType::{Char, Date, Float8, Int2, Int4, Int8, Numeric, Text, TimestampTz, Varchar};
        for (operator, left, right, expected) in [
            (Add, Some(Int2), Some(Int8), "smallint , bigint -> bigint"),
            (Add, Some(Int4), Some(Numeric(None)), "numeric , numeric -> numeric"),
            (Add, Some(Float8), Some(Numeric(None)), "double precision , double precision -> double precision"),
            (Add, Some(Int4), None, "integer , integer -> integer"),
            (Add, Some(Date), Some(Int4), "date , integer -> date"),
            (Add, Some(Int4), Some(Text), "operator does not exist: integer + text"),
            (Add, None, None, "operator is not unique: unknown + unknown"),
            (Multiply, None, None, "operator is not unique: unknown * unknown"),
            (Equal, Some(Varchar(Some(3))), Some(Char(3)), "character , character -> boolean"),
            (Equal, Some(Text), Some(Char(3)), "text , text -> boolean"),
            (Equal, Some(Char(3)), None, "character , character -> boolean"),
            (Equal, None, None, "text , text -> boolean"),
            (Less, Some(Date), Some(TimestampTz), "timestamp with time zone , timestamp with time zone -> boolean"),
            (Equal, Some(Int4), Some(Text), "operator does not exist: integer = text"),
            (Concat, Some(Int4), None, "text , text -> text"),
            (Concat, Some(Int4), Some(Int4), "operator does not exist: integer || integer"),
            (Like, Some(Varchar(None)), None, "text , text -> boolean"),
        ] {
            assert_eq!(result(operator, left, right), expected, "{left:?} {} {right:?}", operator.symbol());
        }
    }

    #[test]
    fn arithmetic_errors() {
        let eval = |operator, left: Value, right: Value, data_type| {
            resolve_binary(operator, Some(data_type), Some(data_type)).unwrap().eval(&left, &right)
        };
        use BinaryOperator::{Add, Divide, Modulo};
        let message = |result: Result<Value, SqlError>| result.unwrap_err().to_string();
        let int4 = |l, r, operator| eval(operator, Value::Int4(l), Value::Int4(r), DataType::Int4);
        assert_eq!(message(int4(i32::MAX, 1, Add)), "22003: integer out of range");
        assert_eq!(message(int4(i32::MIN, -1, Divide)), "22003: integer out of range");
        assert_eq!(message(int4(1, 0, Divide)), "22012: division by zero");
        assert_eq!(int4(i32::MIN, -1, Modulo).unwrap(), Value::Int4(0));
        let int8 = eval(Modulo, Value::Int8(i64::MIN), Value::Int8(-1), DataType::Int8);
        assert_eq!(int8.unwrap(), Value::Int8(0));
        assert_eq!(eval(Add, Value::Null, Value::Int4(1), DataType::Int4).unwrap(), Value::Null);
        let minus = resolve_unary(UnaryOperator::Minus, Some(DataType::Int2)).unwrap();
        assert_eq!(message(minus.eval(&Value::Int2(i16::MIN))), "22003: smallint out of range");
    }

    #[test]
    fn three_valued_logic() {
        let (yes, no, null) = (Value::Bool(true), Value::Bool(false), Value::Null);
        assert_eq!(and(&null, &no), no);
        assert_eq!(and(&null, &yes), null);
        assert_eq!(or(&null, &yes), yes);
        assert_eq!(or(&null, &no), null);
        assert_eq!(not(&null), null);
    }

    #[test]
    fn common_types() {
        let of = |types: &[Option<DataType>]| common_type(types, "CASE").map_err(|error| error.message);
        assert_eq!(of(&[Some(DataType::Int4), None, Some(DataType::Numeric(None))]), Ok(DataType::Numeric(None)));
        assert_eq!(of(&[Some(DataType::Int8), Some(DataType::Int4)]), Ok(DataType::Int8));
        assert_eq!(of(&[None, None]), Ok(DataType::Text));
        assert_eq!(of(&[Some(DataType::Varchar(Some(3))), Some(DataType::Text)]), Ok(DataType::Text));
        assert_eq!(
            of(&[Some(DataType::Int4), Some(DataType::Text)]),
            Err("CASE types integer and text cannot be matched".to_owned())
        );
    }
}
