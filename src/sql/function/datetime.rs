//! Dates and times. The clock stands still within a statement: `now()` is an argument of execution.

use super::{Body, Case, Function, Volatility};
use crate::sql::context::Context;
use crate::sql::operator::{to_f64, to_i64, to_str, wrong_operand};
use crate::types::datetime::{
    DAY, TimeZone, civil_from_days, date_to_timestamp, days_from_civil, is_valid_timestamp, local_to_utc,
    offset_at_utc, timestamp_to_date, utc_to_local,
};
use crate::types::numeric::Numeric;
use crate::types::{DataType, SqlError, SqlState, Timestamp as Instant, Value};

use DataType::{Date, Float8, Int4, Text, Timestamp, TimestampTz};
const NUMERIC: DataType = DataType::Numeric(None);
const SECOND: i64 = 1_000_000;

const fn entry(
    name: &'static str,
    arguments: &'static [DataType],
    result: DataType,
    volatility: Volatility,
    doc: &'static str,
    body: fn(&mut Context, &[Value]) -> Result<Value, SqlError>,
    cases: &'static [Case],
) -> Function {
    Function {
        name,
        arguments,
        variadic: false,
        result,
        volatility,
        strict: true,
        doc,
        body: Body::InContext(body),
        cases,
    }
}

fn now(context: &mut Context, _: &[Value]) -> Result<Value, SqlError> {
    Ok(Value::TimestampTz(context.time.now.0))
}

use Volatility::{Immutable, Stable};

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[
    entry("now", &[], TimestampTz, Stable, "Start of the transaction", now, &[]),
    entry("current_timestamp", &[], TimestampTz, Stable, "Start of the transaction", now, &[]),
    entry("transaction_timestamp", &[], TimestampTz, Stable, "Start of the transaction", now, &[]),
    entry("statement_timestamp", &[], TimestampTz, Stable, "Start of the statement", now, &[]),
    entry(
        "clock_timestamp",
        &[],
        TimestampTz,
        Volatility::Volatile,
        "The clock, which stands still within a statement",
        now,
        &[],
    ),
    entry(
        "localtimestamp",
        &[],
        Timestamp,
        Stable,
        "Start of the transaction, local",
        |context, _| Ok(Value::Timestamp(utc_to_local(context.time.now.0, &context.time.zone)?)),
        &[],
    ),
    entry(
        "current_date",
        &[],
        Date,
        Stable,
        "Today",
        |context, _| Ok(Value::Date(timestamp_to_date(utc_to_local(context.time.now.0, &context.time.zone)?))),
        &[],
    ),
    entry(
        "date_trunc",
        &[Text, Timestamp],
        Timestamp,
        Immutable,
        "Cut off below a unit",
        date_trunc,
        &[
            (&[Some("hour"), Some("2001-02-16 20:38:40")], Some("2001-02-16 20:00:00")),
            (&[Some("week"), Some("2001-02-16 20:38:40")], Some("2001-02-12 00:00:00")),
            (&[Some("century"), Some("2001-02-16 20:38:40")], Some("2001-01-01 00:00:00")),
        ],
    ),
    entry(
        "date_trunc",
        &[Text, TimestampTz],
        TimestampTz,
        Stable,
        "Cut off below a unit, in the session's zone",
        date_trunc,
        &[(&[Some("month"), Some("2001-02-16 20:38:40+00")], Some("2001-02-01 00:00:00+00"))],
    ),
    entry(
        "date_part",
        &[Text, Timestamp],
        Float8,
        Immutable,
        "A field",
        date_part,
        &[(&[Some("dow"), Some("2001-02-16 20:38:40")], Some("5"))],
    ),
    entry(
        "date_part",
        &[Text, TimestampTz],
        Float8,
        Stable,
        "A field, in the session's zone",
        date_part,
        &[(&[Some("epoch"), Some("1970-01-01 00:00:01.5+00")], Some("1.5"))],
    ),
    entry(
        "date_part",
        &[Text, Date],
        Float8,
        Immutable,
        "A field",
        date_part,
        &[(&[Some("doy"), Some("2001-02-16")], Some("47"))],
    ),
    entry(
        "extract",
        &[Text, Timestamp],
        NUMERIC,
        Immutable,
        "A field",
        extract,
        &[
            (&[Some("second"), Some("2001-02-16 20:38:40.12")], Some("40.120000")),
            (&[Some("week"), Some("2006-01-01 00:00:00")], Some("52")),
            (&[Some("century"), Some("2000-12-16 12:21:13")], Some("20")),
        ],
    ),
    entry(
        "extract",
        &[Text, TimestampTz],
        NUMERIC,
        Stable,
        "A field, in the session's zone",
        extract,
        &[(&[Some("epoch"), Some("2001-02-16 20:38:40.12-08")], Some("982384720.120000"))],
    ),
    entry(
        "extract",
        &[Text, Date],
        NUMERIC,
        Immutable,
        "A field",
        extract,
        &[(&[Some("isoyear"), Some("2006-01-01")], Some("2005"))],
    ),
    entry(
        "timezone",
        &[Text, Timestamp],
        TimestampTz,
        Immutable,
        "AT TIME ZONE: the instant of a local time",
        |_, a| Ok(Value::TimestampTz(local_to_utc(micros(&a[1])?, &zone(&a[0])?)?)),
        &[(&[Some("America/Denver"), Some("2001-02-16 20:38:40")], Some("2001-02-17 03:38:40+00"))],
    ),
    entry(
        "timezone",
        &[Text, TimestampTz],
        Timestamp,
        Immutable,
        "AT TIME ZONE: the local time of an instant",
        |_, a| Ok(Value::Timestamp(utc_to_local(micros(&a[1])?, &zone(&a[0])?)?)),
        &[(&[Some("America/Denver"), Some("2001-02-16 20:38:40-05")], Some("2001-02-16 18:38:40"))],
    ),
    entry(
        "make_date",
        &[Int4, Int4, Int4],
        Date,
        Immutable,
        "From year, month and day",
        make_date,
        &[
            (&[Some("2013"), Some("7"), Some("15")], Some("2013-07-15")),
            (&[Some("-44"), Some("3"), Some("15")], Some("0044-03-15 BC")),
        ],
    ),
    entry(
        "to_timestamp",
        &[Float8],
        TimestampTz,
        Immutable,
        "From seconds since 1970",
        to_timestamp,
        &[(&[Some("1284352323")], Some("2010-09-13 04:32:03+00"))],
    ),
];

fn micros(value: &Value) -> Result<i64, SqlError> {
    match value {
        Value::Timestamp(micros) | Value::TimestampTz(micros) => Ok(*micros),
        other => Err(wrong_operand(other)),
    }
}

fn zone(name: &Value) -> Result<TimeZone, SqlError> {
    let name = to_str(name)?;
    TimeZone::find(name)
        .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")))
}

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, what)
}

fn make_date(_: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
    let (year, month, day) = (to_i64(&arguments[0])?, to_i64(&arguments[1])?, to_i64(&arguments[2])?);
    // There is no year 0: 1 BC is -1.
    let astronomical = if year < 0 { year + 1 } else { year };
    let fail = || out_of_range(&format!("date field value out of range: {year}-{month:02}-{day:02}"));
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || year.abs() > 6_000_000 {
        return Err(fail());
    }
    let days = days_from_civil(astronomical, month, day);
    if civil_from_days(days) != (astronomical, month, day) {
        return Err(fail());
    }
    i32::try_from(days)
        .ok()
        .filter(|days| crate::types::datetime::is_valid_date(*days))
        .map(Value::Date)
        .ok_or_else(|| out_of_range(&format!("date out of range: {year}-{month:02}-{day:02}")))
}

fn to_timestamp(_: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
    let seconds = to_f64(&arguments[0])?;
    if seconds.is_infinite() {
        return Ok(Value::TimestampTz(if seconds > 0.0 { i64::MAX } else { i64::MIN }));
    }
    if seconds.is_nan() {
        return Err(out_of_range("timestamp cannot be NaN"));
    }
    let offset = Instant::UNIX_EPOCH_OFFSET_MICROS / SECOND;
    let shifted = libm::rint((seconds - offset as f64) * 1e6);
    let inside = shifted.abs() < 9.3e18 && is_valid_timestamp(shifted as i64);
    if !inside {
        return Err(out_of_range(&format!(
            "timestamp out of range: \"{}\"",
            crate::types::text::print(&arguments[0], &TimeZone::utc())
        )));
    }
    Ok(Value::TimestampTz(shifted as i64))
}

fn unknown_unit(unit: &str, data_type: DataType) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit \"{unit}\" not recognized for type {}", data_type.base_name()),
    )
}

/// For `date_trunc`: which error PostgreSQL has for a unit that nothing is cut off at.
fn not_truncated(unit: &str, given: &str, data_type: DataType) -> SqlError {
    if matches!(unit, "timezone" | "timezone_hour") {
        unsupported_unit(given, data_type)
    } else {
        unknown_unit(given, data_type)
    }
}

fn unsupported_unit(unit: &str, data_type: DataType) -> SqlError {
    SqlError::unsupported(format!("unit \"{unit}\" not supported for type {}", data_type.base_name()))
}

/// A unit's one name; what is not known is itself.
fn canonical(unit: &str) -> String {
    let unit = unit.to_ascii_lowercase();
    let name = match unit.as_str() {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => "microseconds",
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => "milliseconds",
        "s" | "sec" | "secs" | "second" | "seconds" => "second",
        "m" | "min" | "mins" | "minute" | "minutes" => "minute",
        "h" | "hr" | "hrs" | "hour" | "hours" => "hour",
        "d" | "day" | "days" => "day",
        "w" | "week" | "weeks" => "week",
        "mon" | "mons" | "month" | "months" => "month",
        "qtr" | "quarter" => "quarter",
        "y" | "yr" | "yrs" | "year" | "years" => "year",
        "dec" | "decs" | "decade" | "decades" => "decade",
        "c" | "cent" | "century" | "centuries" => "century",
        "mil" | "mils" | "millennium" | "millennia" => "millennium",
        other => other,
    };
    name.to_owned()
}

/// Monday of the ISO week in which a day lies. 2000-01-01 was a Saturday.
const fn monday(days: i64) -> i64 {
    days - (days + 5).rem_euclid(7)
}

/// ISO year and week of a day.
fn iso_week(days: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let (year, _, _) = civil_from_days(monday(days) + 3);
    (year, (monday(days) - monday(days_from_civil(year, 1, 4))) / 7 + 1)
}

/// First year of the group of `size` years: centuries and millennia begin with year 1, decades with year 0.
const fn first_of(year: i64, size: i64) -> i64 {
    (year - 1).div_euclid(size) * size + 1
}

/// Local time cut off below a unit; `None`: unknown unit.
fn truncate(unit: &str, local: i64) -> Option<i64> {
    let days = local.div_euclid(DAY);
    let (year, month, _) = civil_from_days(days);
    let midnight = |days: i64| days.saturating_mul(DAY);
    Some(match unit {
        "microseconds" => local,
        "milliseconds" => local - local.rem_euclid(1000),
        "second" => local - local.rem_euclid(SECOND),
        "minute" => local - local.rem_euclid(60 * SECOND),
        "hour" => local - local.rem_euclid(3600 * SECOND),
        "day" => midnight(days),
        "week" => midnight(monday(days)),
        "month" => midnight(days_from_civil(year, month, 1)),
        "quarter" => midnight(days_from_civil(year, (month - 1) / 3 * 3 + 1, 1)),
        "year" => midnight(days_from_civil(year, 1, 1)),
        "decade" => midnight(days_from_civil(year.div_euclid(10) * 10, 1, 1)),
        "century" => midnight(days_from_civil(first_of(year, 100), 1, 1)),
        "millennium" => midnight(days_from_civil(first_of(year, 1000), 1, 1)),
        _ => return None,
    })
}

fn date_trunc(context: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
    let given = to_str(&arguments[0])?;
    let unit = canonical(given);
    match &arguments[1] {
        Value::Timestamp(local) | Value::TimestampTz(local) if matches!(*local, i64::MAX | i64::MIN) => {
            Ok(arguments[1].clone())
        }
        Value::Timestamp(local) => {
            truncate(&unit, *local).map(Value::Timestamp).ok_or_else(|| not_truncated(&unit, given, Timestamp))
        }
        Value::TimestampTz(utc) => {
            let zone = &context.time.zone;
            let local = utc_to_local(*utc, zone)?;
            let cut = truncate(&unit, local).ok_or_else(|| not_truncated(&unit, given, TimestampTz))?;
            // Up to the hour the offset stays; from the day on it is that of the new date.
            let within_day = matches!(unit.as_str(), "microseconds" | "milliseconds" | "second" | "minute" | "hour");
            Ok(Value::TimestampTz(if within_day { utc - (local - cut) } else { local_to_utc(cut, zone)? }))
        }
        other => Err(wrong_operand(other)),
    }
}

fn whole(value: i64) -> Value {
    Value::Numeric(Numeric::from(value))
}

fn scaled(micros: i64, scale: u16) -> Value {
    Value::Numeric(Numeric::from_parts(i128::from(micros), scale))
}

/// A field of the calendar; `None`: it is none.
fn calendar_field(unit: &str, days: i64) -> Option<Value> {
    let (year, month, day) = civil_from_days(days);
    // There is no year 0: 1 BC is -1.
    let shown = |year: i64| if year > 0 { year } else { year - 1 };
    let group = |size: i64| if year > 0 { (year + size - 1) / size } else { -((size - 1 - (year - 1)) / size) };
    Some(whole(match unit {
        "day" => day,
        "month" => month,
        "quarter" => (month - 1) / 3 + 1,
        "year" => shown(year),
        "decade" => year.div_euclid(10),
        "century" => group(100),
        "millennium" => group(1000),
        "week" => iso_week(days).1,
        "isoyear" => shown(iso_week(days).0),
        "dow" => (days + 6).rem_euclid(7),
        "isodow" => (days + 5).rem_euclid(7) + 1,
        "doy" => days - days_from_civil(year, 1, 1) + 1,
        "julian" => days + 2_451_545,
        _ => return None,
    }))
}

/// A field of the time of day; `None`: it is none.
fn clock_field(unit: &str, local: i64) -> Option<Value> {
    let clock = local.rem_euclid(DAY);
    Some(match unit {
        "hour" => whole(clock / (3600 * SECOND)),
        "minute" => whole(clock / (60 * SECOND) % 60),
        "second" => scaled(clock % (60 * SECOND), 6),
        "milliseconds" => scaled(clock % (60 * SECOND), 3),
        "microseconds" => whole(clock % (60 * SECOND)),
        _ => return None,
    })
}

/// A field of an infinite date: infinite if it grows with time, else unknown.
fn infinite_field(unit: &str, positive: bool) -> Option<Value> {
    let endless = if positive { Numeric::INFINITY } else { Numeric::NEG_INFINITY };
    match unit {
        "year" | "decade" | "century" | "millennium" | "isoyear" | "julian" | "epoch" => Some(Value::Numeric(endless)),
        "timezone" | "timezone_hour" | "timezone_minute" => Some(Value::Null),
        _ => calendar_field(unit, 0).or_else(|| clock_field(unit, 0)).map(|_| Value::Null),
    }
}

fn extract(context: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
    let given = to_str(&arguments[0])?;
    let unit = canonical(given);
    let is_known = |unit: &str| infinite_field(unit, true).is_some();
    let (found, data_type) = match &arguments[1] {
        Value::Date(days) => {
            let field = match *days {
                i32::MAX | i32::MIN => infinite_field(&unit, *days > 0)
                    .filter(|_| clock_field(&unit, 0).is_none() && !unit.starts_with("timezone")),
                days if unit == "epoch" => Some(whole((i64::from(days) + 10_957) * 86_400)),
                days => calendar_field(&unit, i64::from(days)),
            };
            (field, Date)
        }
        Value::Timestamp(local) => {
            let field = match *local {
                i64::MAX | i64::MIN => infinite_field(&unit, *local > 0),
                local if unit == "epoch" => Some(scaled_epoch(local)),
                local if unit == "julian" => Some(julian(local)?),
                local => calendar_field(&unit, local.div_euclid(DAY)).or_else(|| clock_field(&unit, local)),
            };
            (field, Timestamp)
        }
        Value::TimestampTz(utc) => {
            let zone = &context.time.zone;
            let offset = offset_at_utc(*utc, zone);
            let field = match (*utc, unit.as_str()) {
                (i64::MAX | i64::MIN, _) => infinite_field(&unit, *utc > 0),
                (utc, "epoch") => Some(scaled_epoch(utc)),
                (_, "timezone") => Some(whole(offset)),
                (_, "timezone_hour") => Some(whole(offset / 3600)),
                (_, "timezone_minute") => Some(whole(offset / 60 % 60)),
                _ => {
                    let local = utc_to_local(*utc, zone)?;
                    if unit == "julian" {
                        return julian(local);
                    }
                    calendar_field(&unit, local.div_euclid(DAY)).or_else(|| clock_field(&unit, local))
                }
            };
            (field, TimestampTz)
        }
        other => return Err(wrong_operand(other)),
    };
    found.ok_or_else(
        || {
            if is_known(&unit) { unsupported_unit(given, data_type) } else { unknown_unit(given, data_type) }
        },
    )
}

/// Julian day with its fraction.
fn julian(local: i64) -> Result<Value, SqlError> {
    let fraction = Numeric::from(local.rem_euclid(DAY)).div(&Numeric::from(DAY))?;
    Ok(Value::Numeric(Numeric::from(local.div_euclid(DAY) + 2_451_545).add(&fraction)?))
}

fn scaled_epoch(micros: i64) -> Value {
    Value::Numeric(Numeric::from_parts(i128::from(micros) + i128::from(Instant::UNIX_EPOCH_OFFSET_MICROS), 6))
}

fn date_part(context: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
    let moment = match &arguments[1] {
        Value::Date(days) => Value::Timestamp(date_to_timestamp(*days)?),
        other => other.clone(),
    };
    match extract(context, &[arguments[0].clone(), moment])? {
        Value::Numeric(field) => Ok(Value::Float8(field.to_f64()?)),
        other => Ok(other),
    }
}
