//! Numbers.

use super::{Body, Function, Volatility};
use crate::sql::operator::{
    float_overflow, float_power, float_underflow, integer_modulo, to_f64, to_i64, to_numeric, wrong_operand,
};
use crate::types::numeric::Numeric;
use crate::types::random::RngCore;
use crate::types::{DataType, SqlError, SqlState, Value};

use DataType::{Float8, Int2, Int4, Int8};
const NUMERIC: DataType = DataType::Numeric(None);

/// A strict, immutable entry.
const fn entry(
    name: &'static str,
    arguments: &'static [DataType],
    result: DataType,
    doc: &'static str,
    body: fn(&[Value]) -> Result<Value, SqlError>,
    cases: &'static [super::Case],
) -> Function {
    Function {
        name,
        arguments,
        variadic: false,
        result,
        volatility: Volatility::Immutable,
        strict: true,
        doc,
        body: Body::Pure(body),
        cases,
    }
}

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[
    entry("abs", &[Int2], Int2, "Absolute value", abs, &[(&[Some("-3")], Some("3"))]),
    entry("abs", &[Int4], Int4, "Absolute value", abs, &[(&[Some("-3")], Some("3"))]),
    entry("abs", &[Int8], Int8, "Absolute value", abs, &[(&[Some("-3")], Some("3"))]),
    entry("abs", &[Float8], Float8, "Absolute value", abs, &[(&[Some("-3.5")], Some("3.5"))]),
    entry("abs", &[NUMERIC], NUMERIC, "Absolute value", abs, &[(&[Some("-3.50")], Some("3.50"))]),
    entry(
        "ceil",
        &[Float8],
        Float8,
        "Nearest whole number not below",
        |a| float1(a, libm::ceil),
        &[(&[Some("-0.5")], Some("-0"))],
    ),
    entry(
        "ceil",
        &[NUMERIC],
        NUMERIC,
        "Nearest whole number not below",
        |a| numeric1(a, Numeric::ceil),
        &[(&[Some("42.2")], Some("43"))],
    ),
    entry(
        "ceiling",
        &[Float8],
        Float8,
        "Nearest whole number not below",
        |a| float1(a, libm::ceil),
        &[(&[Some("1.1")], Some("2"))],
    ),
    entry(
        "ceiling",
        &[NUMERIC],
        NUMERIC,
        "Nearest whole number not below",
        |a| numeric1(a, Numeric::ceil),
        &[(&[Some("-42.8")], Some("-42"))],
    ),
    entry(
        "floor",
        &[Float8],
        Float8,
        "Nearest whole number not above",
        |a| float1(a, libm::floor),
        &[(&[Some("-42.8")], Some("-43"))],
    ),
    entry(
        "floor",
        &[NUMERIC],
        NUMERIC,
        "Nearest whole number not above",
        |a| numeric1(a, Numeric::floor),
        &[(&[Some("-42.8")], Some("-43"))],
    ),
    entry(
        "round",
        &[Float8],
        Float8,
        "Nearest whole number, ties to even",
        |a| float1(a, libm::rint),
        &[(&[Some("2.5")], Some("2"))],
    ),
    entry(
        "round",
        &[NUMERIC],
        NUMERIC,
        "Nearest whole number, ties away from zero",
        |a| numeric1(a, |n| n.round(0)),
        &[(&[Some("2.5")], Some("3"))],
    ),
    entry(
        "round",
        &[NUMERIC, Int4],
        NUMERIC,
        "Rounds to digits after the point",
        |a| numeric_scale(a, Numeric::round),
        &[(&[Some("42.4382"), Some("2")], Some("42.44")), (&[Some("1234.56"), Some("-1")], Some("1230"))],
    ),
    entry(
        "trunc",
        &[Float8],
        Float8,
        "Cuts off the fraction",
        |a| float1(a, libm::trunc),
        &[(&[Some("-42.8")], Some("-42"))],
    ),
    entry(
        "trunc",
        &[NUMERIC],
        NUMERIC,
        "Cuts off the fraction",
        |a| numeric1(a, |n| n.trunc(0)),
        &[(&[Some("-42.8")], Some("-42"))],
    ),
    entry(
        "trunc",
        &[NUMERIC, Int4],
        NUMERIC,
        "Cuts off after digits behind the point",
        |a| numeric_scale(a, Numeric::trunc),
        &[(&[Some("42.4382"), Some("2")], Some("42.43"))],
    ),
    entry("sqrt", &[Float8], Float8, "Square root", sqrt, &[(&[Some("2")], Some("1.4142135623730951"))]),
    entry(
        "sqrt",
        &[NUMERIC],
        NUMERIC,
        "Square root",
        |a| numeric1(a, Numeric::sqrt),
        &[(&[Some("2")], Some("1.414213562373095"))],
    ),
    entry(
        "power",
        &[Float8, Float8],
        Float8,
        "First to the power of the second",
        |a| float_power(&a[0], &a[1]),
        &[(&[Some("9"), Some("3")], Some("729"))],
    ),
    entry(
        "power",
        &[NUMERIC, NUMERIC],
        NUMERIC,
        "First to the power of the second",
        |a| Ok(Value::Numeric(to_numeric(&a[0])?.power(to_numeric(&a[1])?)?)),
        &[(&[Some("9"), Some("3")], Some("729.0000000000000000"))],
    ),
    entry(
        "pow",
        &[Float8, Float8],
        Float8,
        "First to the power of the second",
        |a| float_power(&a[0], &a[1]),
        &[(&[Some("2"), Some("-1")], Some("0.5"))],
    ),
    entry(
        "pow",
        &[NUMERIC, NUMERIC],
        NUMERIC,
        "First to the power of the second",
        |a| Ok(Value::Numeric(to_numeric(&a[0])?.power(to_numeric(&a[1])?)?)),
        &[(&[Some("2"), Some("10")], Some("1024.0000000000000000"))],
    ),
    entry("exp", &[Float8], Float8, "e to a power", exp, &[(&[Some("0")], Some("1"))]),
    entry(
        "exp",
        &[NUMERIC],
        NUMERIC,
        "e to a power",
        |a| numeric1(a, Numeric::exp),
        &[(&[Some("1.0")], Some("2.7182818284590452"))],
    ),
    entry(
        "ln",
        &[Float8],
        Float8,
        "Natural logarithm",
        |a| logarithm(a, libm::log),
        &[(&[Some("2")], Some("0.6931471805599453"))],
    ),
    entry(
        "ln",
        &[NUMERIC],
        NUMERIC,
        "Natural logarithm",
        |a| numeric1(a, Numeric::ln),
        &[(&[Some("2.0")], Some("0.6931471805599453"))],
    ),
    entry(
        "log",
        &[Float8],
        Float8,
        "Logarithm to base 10",
        |a| logarithm(a, libm::log10),
        &[(&[Some("100")], Some("2"))],
    ),
    entry(
        "log",
        &[NUMERIC],
        NUMERIC,
        "Logarithm to base 10",
        |a| numeric1(a, |n| n.log(&Numeric::from(10_i64))),
        &[(&[Some("100")], Some("2.0000000000000000"))],
    ),
    entry(
        "log10",
        &[Float8],
        Float8,
        "Logarithm to base 10",
        |a| logarithm(a, libm::log10),
        &[(&[Some("1000")], Some("3"))],
    ),
    entry(
        "log10",
        &[NUMERIC],
        NUMERIC,
        "Logarithm to base 10",
        |a| numeric1(a, |n| n.log(&Numeric::from(10_i64))),
        &[(&[Some("1000")], Some("3.0000000000000000"))],
    ),
    entry(
        "log",
        &[NUMERIC, NUMERIC],
        NUMERIC,
        "Logarithm of the second to the base of the first",
        |a| Ok(Value::Numeric(to_numeric(&a[1])?.log(to_numeric(&a[0])?)?)),
        &[(&[Some("2.0"), Some("64.0")], Some("6.0000000000000000"))],
    ),
    entry(
        "sign",
        &[Float8],
        Float8,
        "-1, 0 or 1",
        |a| {
            float1(a, |x| {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            })
        },
        &[(&[Some("-8.4")], Some("-1"))],
    ),
    entry(
        "sign",
        &[NUMERIC],
        NUMERIC,
        "-1, 0 or 1",
        |a| numeric1(a, |n| Ok(if n.is_nan() { Numeric::NAN } else { Numeric::from(n.signum()) })),
        &[(&[Some("-8.4")], Some("-1"))],
    ),
    entry(
        "mod",
        &[Int2, Int2],
        Int2,
        "Remainder",
        |a| integer_modulo(&a[0], &a[1]),
        &[(&[Some("9"), Some("4")], Some("1"))],
    ),
    entry(
        "mod",
        &[Int4, Int4],
        Int4,
        "Remainder",
        |a| integer_modulo(&a[0], &a[1]),
        &[(&[Some("-9"), Some("4")], Some("-1"))],
    ),
    entry(
        "mod",
        &[Int8, Int8],
        Int8,
        "Remainder",
        |a| integer_modulo(&a[0], &a[1]),
        &[(&[Some("9"), Some("4")], Some("1"))],
    ),
    entry(
        "mod",
        &[NUMERIC, NUMERIC],
        NUMERIC,
        "Remainder",
        |a| Ok(Value::Numeric(to_numeric(&a[0])?.rem(to_numeric(&a[1])?)?)),
        &[(&[Some("9.5"), Some("4")], Some("1.5"))],
    ),
    entry(
        "div",
        &[NUMERIC, NUMERIC],
        NUMERIC,
        "Whole quotient, truncated",
        |a| Ok(Value::Numeric(to_numeric(&a[0])?.div_trunc(to_numeric(&a[1])?)?)),
        &[(&[Some("-9.5"), Some("4")], Some("-2"))],
    ),
    entry("gcd", &[Int4, Int4], Int4, "Greatest common divisor", gcd, &[(&[Some("1071"), Some("-462")], Some("21"))]),
    entry("gcd", &[Int8, Int8], Int8, "Greatest common divisor", gcd, &[(&[Some("0"), Some("5")], Some("5"))]),
    entry(
        "scale",
        &[NUMERIC],
        Int4,
        "Digits after the point",
        |a| {
            let number = to_numeric(&a[0])?;
            Ok(if number.is_finite() { Value::Int4(i32::from(number.scale())) } else { Value::Null })
        },
        &[(&[Some("8.4100")], Some("4"))],
    ),
    entry("pi", &[], Float8, "π", |_| Ok(Value::Float8(std::f64::consts::PI)), &[(&[], Some("3.141592653589793"))]),
    Function {
        name: "random",
        arguments: &[],
        variadic: false,
        result: Float8,
        volatility: Volatility::Volatile,
        strict: true,
        doc: "A number in 0 ≤ x < 1, from dice fixed before execution",
        body: Body::InContext(|context, _| {
            // The 53 bits that a float holds.
            Ok(Value::Float8((context.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64))
        }),
        cases: &[],
    },
];

fn float1(arguments: &[Value], compute: fn(f64) -> f64) -> Result<Value, SqlError> {
    Ok(Value::Float8(compute(to_f64(&arguments[0])?)))
}

fn numeric1(arguments: &[Value], compute: fn(&Numeric) -> Result<Numeric, SqlError>) -> Result<Value, SqlError> {
    Ok(Value::Numeric(compute(to_numeric(&arguments[0])?)?))
}

fn numeric_scale(
    arguments: &[Value],
    compute: fn(&Numeric, i32) -> Result<Numeric, SqlError>,
) -> Result<Value, SqlError> {
    let scale = i32::try_from(to_i64(&arguments[1])?.clamp(-200_000, 200_000)).unwrap_or(0);
    // PostgreSQL stops at 2000 digits here.
    Ok(Value::Numeric(compute(to_numeric(&arguments[0])?, scale.clamp(-2000, 2000))?))
}

fn abs(arguments: &[Value]) -> Result<Value, SqlError> {
    let fail = |name: &str| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"));
    Ok(match &arguments[0] {
        Value::Int2(value) => Value::Int2(value.checked_abs().ok_or_else(|| fail("smallint"))?),
        Value::Int4(value) => Value::Int4(value.checked_abs().ok_or_else(|| fail("integer"))?),
        Value::Int8(value) => Value::Int8(value.checked_abs().ok_or_else(|| fail("bigint"))?),
        Value::Float8(value) => Value::Float8(value.abs()),
        Value::Numeric(value) => Value::Numeric(value.abs()),
        other => return Err(wrong_operand(other)),
    })
}

fn sqrt(arguments: &[Value]) -> Result<Value, SqlError> {
    let value = to_f64(&arguments[0])?;
    if value < 0.0 {
        return Err(SqlError::new(
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        ));
    }
    Ok(Value::Float8(libm::sqrt(value)))
}

fn exp(arguments: &[Value]) -> Result<Value, SqlError> {
    let value = to_f64(&arguments[0])?;
    let result = libm::exp(value);
    if result.is_infinite() && value.is_finite() {
        return Err(float_overflow());
    }
    if result == 0.0 && value.is_finite() {
        return Err(float_underflow());
    }
    Ok(Value::Float8(result))
}

fn logarithm(arguments: &[Value], compute: fn(f64) -> f64) -> Result<Value, SqlError> {
    let value = to_f64(&arguments[0])?;
    let invalid = |message| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message));
    if value == 0.0 {
        return invalid("cannot take logarithm of zero");
    }
    if value < 0.0 {
        return invalid("cannot take logarithm of a negative number");
    }
    Ok(Value::Float8(compute(value)))
}

fn gcd(arguments: &[Value]) -> Result<Value, SqlError> {
    let (mut a, mut b) = (to_i64(&arguments[0])?.unsigned_abs(), to_i64(&arguments[1])?.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    match &arguments[0] {
        Value::Int4(_) => i32::try_from(a).map(Value::Int4).map_err(|_| "integer"),
        _ => i64::try_from(a).map(Value::Int8).map_err(|_| "bigint"),
    }
    .map_err(|name| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range")))
}
