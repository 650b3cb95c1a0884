//! Reading dates and times, by PostgreSQL's rules for DateStyle `ISO, MDY`.
//!
//! A text is split into fields; what each is follows from its shape and from what came before; then they are checked.

use super::{DATE_RANGE, DAY, SECOND, TIMESTAMP_RANGE, TimeContext, TimeZone, civil_from_days, days_from_civil};
use crate::types::error::{SqlError, SqlState};

/// Longest text that is looked at.
const MAX_LENGTH: usize = 128;
/// Zones are at most this far from Greenwich.
const MAX_ZONE_HOURS: i64 = 15;

/// What a word by itself stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Infinity,
    NegInfinity,
    Epoch,
    Now,
    /// Midnight, this many days from today.
    Day(i64),
}

/// What was said of the zone.
enum Zone {
    /// Seconds east of Greenwich.
    Offset(i64),
    Named(TimeZone),
}

/// Fields as read.
#[derive(Default)]
struct Fields {
    date: Option<(i64, i64, i64)>,
    /// Two digits: of this or the last century.
    short_year: bool,
    month: Option<i64>,
    /// Numbers of a date with a month's name, with how many digits each had.
    numbers: Vec<(i64, usize)>,
    /// Microseconds since midnight.
    clock: Option<i64>,
    afternoon: Option<bool>,
    before_christ: Option<bool>,
    zone: Option<Zone>,
    special: Option<Special>,
}

/// Why a text is no date.
enum Fault {
    Syntax,
    Range,
    /// A month or day that another order of fields might explain.
    Order,
    Displacement,
    UnknownZone(String),
}

fn explain(fault: Fault, type_name: &str, text: &str) -> SqlError {
    match fault {
        Fault::Syntax => SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Fault::Range => {
            SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
        }
        Fault::Order => {
            explain(Fault::Range, type_name, text).hint("Perhaps you need a different \"datestyle\" setting.")
        }
        Fault::Displacement => SqlError::new(
            SqlState::INVALID_TIME_ZONE_DISPLACEMENT_VALUE,
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fault::UnknownZone(name) => {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

fn month_of(word: &str) -> Option<i64> {
    let known = |month: &&str| *month == word || month[..3] == *word || (word == "sept" && **month == *"september");
    (1..).zip(MONTHS.iter()).find(|(_, month)| known(month)).map(|(number, _)| number)
}

/// Cuts off the longest beginning of which all characters satisfy `accept`.
fn take<'a>(rest: &mut &'a str, accept: impl Fn(char) -> bool) -> &'a str {
    let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
    let (taken, after) = rest.split_at(end);
    *rest = after;
    taken
}

fn number(digits: &str) -> Result<i64, Fault> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    digits.parse().map_err(|_| Fault::Range)
}

fn read(text: &str) -> Result<Fields, Fault> {
    let lowered = text.to_ascii_lowercase();
    let mut rest = lowered.as_str();
    let mut fields = Fields::default();
    if text.len() > MAX_LENGTH {
        return Err(Fault::Syntax);
    }
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' | ',' => rest = &rest[1..],
            '0'..='9' => read_number(&mut rest, &mut fields)?,
            'a'..='z' => read_word(&mut rest, &mut fields)?,
            '+' | '-' => read_signed(&mut rest, &mut fields)?,
            _ => return Err(Fault::Syntax),
        }
    }
    Ok(fields)
}

/// A field that begins with a digit: a time, a whole date, or a number beside a month's name.
fn read_number(rest: &mut &str, fields: &mut Fields) -> Result<(), Fault> {
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let has_date = fields.date.is_some();
    match rest[digits..].chars().next() {
        Some(':') => set_clock(take(rest, |c| c.is_ascii_digit() || c == ':' || c == '.'), fields),
        Some('-' | '/' | '.') if !has_date && fields.month.is_none() => {
            // `T` between date and time belongs to neither.
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '.'))).unwrap_or(rest.len());
            let mut field = &rest[..end];
            if let Some(at) = field.find('t').filter(|at| {
                field[..*at].ends_with(|c: char| c.is_ascii_digit())
                    && field[at + 1..].starts_with(|c: char| c.is_ascii_digit())
            }) {
                field = &field[..at];
            }
            *rest = &rest[field.len()..];
            set_date(field, fields)
        }
        _ if digits == 8 && !has_date && fields.month.is_none() => {
            let all = take(rest, |c| c.is_ascii_digit());
            fields.date = Some((number(&all[..4])?, number(&all[4..6])?, number(&all[6..])?));
            Ok(())
        }
        _ if digits == 6 && !has_date && fields.month.is_none() => {
            let all = take(rest, |c| c.is_ascii_digit());
            fields.date = Some((number(&all[..2])?, number(&all[2..4])?, number(&all[4..])?));
            fields.short_year = true;
            Ok(())
        }
        _ if (digits == 6 || digits == 4) && has_date && fields.clock.is_none() => {
            let all = take(rest, |c| c.is_ascii_digit() || c == '.');
            let seconds = if digits == 6 { &all[4..] } else { "00" };
            set_clock(&format!("{}:{}:{seconds}", &all[..2], &all[2..4]), fields)
        }
        _ => {
            let all = take(rest, |c| c.is_ascii_digit());
            fields.numbers.push((number(all)?, all.len()));
            // `8-jan-1999` and `jan-8-1999`
            if fields.clock.is_none() {
                *rest = rest.strip_prefix('-').unwrap_or(rest);
            }
            Ok(())
        }
    }
}

/// A date of three parts: year first when it has more than two digits, a month's name anywhere, else month first.
fn set_date(field: &str, fields: &mut Fields) -> Result<(), Fault> {
    let parts: Vec<&str> = field.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return Err(Fault::Syntax) };
    if fields.date.is_some() {
        return Err(Fault::Syntax);
    }
    let named = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    let (year, month, day) = if named(b) {
        let month = month_of(b).ok_or(Fault::Syntax)?;
        if a.len() > 2 { (a, month, c) } else { (c, month, a) }
    } else if a.len() > 2 {
        (a, number(b)?, c)
    } else {
        (c, number(a)?, b)
    };
    fields.short_year = year.len() <= 2;
    fields.date = Some((number(year)?, month, number(day)?));
    Ok(())
}

/// `HH:MM[:SS[.fraction]]`
fn set_clock(field: &str, fields: &mut Fields) -> Result<(), Fault> {
    if fields.clock.is_some() {
        return Err(Fault::Syntax);
    }
    let (whole, fraction) = field.split_once('.').unwrap_or((field, ""));
    let parts: Vec<&str> = whole.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(Fault::Syntax),
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    let mut micros = 0;
    for at in 0..6 {
        micros = micros * 10 + fraction.as_bytes().get(at).map_or(0, |digit| i64::from(digit - b'0'));
    }
    micros += i64::from(fraction.as_bytes().get(6).is_some_and(|digit| *digit >= b'5'));
    let is_end_of_day = hours == 24 && minutes == 0 && seconds == 0 && micros == 0;
    if (hours > 23 && !is_end_of_day) || minutes > 59 || seconds > 60 || (seconds == 60 && micros > 0) {
        return Err(Fault::Range);
    }
    fields.clock = Some((hours * 3600 + minutes * 60 + seconds) * SECOND + micros);
    Ok(())
}

fn read_word(rest: &mut &str, fields: &mut Fields) -> Result<(), Fault> {
    let mut ahead = *rest;
    let word = take(&mut ahead, |c| c.is_ascii_alphabetic());
    let special = match word {
        "infinity" => Some(Special::Infinity),
        "epoch" => Some(Special::Epoch),
        "now" => Some(Special::Now),
        "today" => Some(Special::Day(0)),
        "tomorrow" => Some(Special::Day(1)),
        "yesterday" => Some(Special::Day(-1)),
        _ => None,
    };
    if let Some(month) = month_of(word) {
        *rest = ahead.strip_prefix(['-', '.', '/']).unwrap_or(ahead);
        if fields.month.replace(month).is_some() || fields.date.is_some() {
            return Err(Fault::Syntax);
        }
        return Ok(());
    }
    if let Some(special) = special {
        *rest = ahead;
        return if fields.special.replace(special).is_some() { Err(Fault::Syntax) } else { Ok(()) };
    }
    match word {
        "bc" | "ad" => fields.before_christ = Some(word == "bc"),
        "am" | "pm" => fields.afternoon = Some(word == "pm"),
        "t" if fields.date.is_some() && ahead.starts_with(|c: char| c.is_ascii_digit()) => {}
        "at" | "on" | "allballs" => return Err(Fault::Syntax),
        _ if WEEKDAYS.iter().any(|day| *day == word || day[..3] == *word) => {}
        _ => return read_zone(rest, fields),
    }
    *rest = ahead;
    Ok(())
}

/// A zone by name: `z`, `utc`, `europe/berlin`.
fn read_zone(rest: &mut &str, fields: &mut Fields) -> Result<(), Fault> {
    let mut ahead = *rest;
    let plain = take(&mut ahead, |c| c.is_ascii_alphabetic());
    if matches!(plain, "z" | "utc" | "gmt" | "zulu") && !ahead.starts_with('/') {
        *rest = ahead;
        return set_zone(Zone::Offset(0), fields);
    }
    let name = take(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+'));
    match TimeZone::find(name) {
        Some(zone) => set_zone(Zone::Named(zone), fields),
        None if name.contains('/') => Err(Fault::UnknownZone(name.to_owned())),
        None => Err(Fault::Syntax),
    }
}

fn set_zone(zone: Zone, fields: &mut Fields) -> Result<(), Fault> {
    if fields.zone.replace(zone).is_some() { Err(Fault::Syntax) } else { Ok(()) }
}

/// `+hh[[:]mm[:ss]]`, or an infinity with its sign.
fn read_signed(rest: &mut &str, fields: &mut Fields) -> Result<(), Fault> {
    let negative = rest.starts_with('-');
    *rest = &rest[1..];
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        read_word(rest, fields)?;
        return match fields.special {
            Some(Special::Infinity) => {
                fields.special = Some(if negative { Special::NegInfinity } else { Special::Infinity });
                Ok(())
            }
            _ => Err(Fault::Syntax),
        };
    }
    if fields.date.is_none() && fields.month.is_none() {
        return Err(Fault::Syntax);
    }
    let field = take(rest, |c| c.is_ascii_digit() || c == ':');
    let parts: Vec<&str> = field.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [all] if all.len() <= 2 => (number(all)?, 0, 0),
        [all] if all.len() <= 4 => (number(&all[..all.len() - 2])?, number(&all[all.len() - 2..])?, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(Fault::Syntax),
    };
    if hours > MAX_ZONE_HOURS || minutes > 59 || seconds > 59 {
        return Err(Fault::Displacement);
    }
    let offset = hours * 3600 + minutes * 60 + seconds;
    set_zone(Zone::Offset(if negative { -offset } else { offset }), fields)
}

/// Days since 2000 of the date among the fields.
fn day_of(fields: &Fields) -> Result<i64, Fault> {
    let (mut year, month, day, short) = match (fields.date, fields.month, &fields.numbers[..]) {
        (Some((year, month, day)), None, []) => (year, month, day, fields.short_year),
        (None, Some(month), [(year, digits), (day, _)]) if *digits > 2 => (*year, month, *day, false),
        (None, Some(month), [(day, _), (year, digits)]) => (*year, month, *day, *digits <= 2),
        _ => return Err(Fault::Syntax),
    };
    match fields.before_christ {
        Some(true) if year > 0 => year = 1 - year,
        _ if year == 0 && !short => return Err(Fault::Range),
        Some(true) => return Err(Fault::Range),
        _ if short && fields.before_christ.is_none() => year += if year < 70 { 2000 } else { 1900 },
        _ => {}
    }
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Fault::Order);
    }
    // Far beyond every range, and near enough for the arithmetic below.
    if year.abs() > 10_000_000 {
        return Err(Fault::Range);
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) == (year, month, day) { Ok(days) } else { Err(Fault::Range) }
}

/// Microseconds since midnight of the time among the fields; midnight if there is none.
fn clock_of(fields: &Fields) -> Result<i64, Fault> {
    let clock = fields.clock.unwrap_or(0);
    let noon = DAY / 2;
    match fields.afternoon {
        None => Ok(clock),
        Some(_) if clock >= noon + 3600 * SECOND || fields.clock.is_none() => Err(Fault::Range),
        Some(true) => Ok(if clock < noon { clock + noon } else { clock }),
        Some(false) => Ok(if clock >= noon { clock - noon } else { clock }),
    }
}

/// A date and time as written, with the zone if one was.
enum Moment {
    Special(Special),
    Civil { days: i64, clock: i64, zone: Option<Zone> },
}

fn moment(text: &str) -> Result<Moment, Fault> {
    let fields = read(text)?;
    if let Some(special) = fields.special {
        let alone = fields.date.is_none() && fields.month.is_none() && fields.numbers.is_empty();
        return match special {
            Special::Day(_) if alone && fields.clock.is_some() => Err(Fault::Syntax),
            _ if alone && fields.clock.is_none() => Ok(Moment::Special(special)),
            _ => Err(Fault::Syntax),
        };
    }
    let days = day_of(&fields)?;
    let clock = clock_of(&fields)?;
    Ok(Moment::Civil { days, clock, zone: fields.zone })
}

/// Local time of `now()`.
fn local_now(time: &TimeContext) -> Result<i64, SqlError> {
    super::utc_to_local(time.now.0, &time.zone)
}

/// Reads a `date`.
pub fn parse_date(text: &str, time: &TimeContext) -> Result<i32, SqlError> {
    let days = match moment(text).map_err(|fault| explain(fault, "date", text))? {
        Moment::Special(Special::Infinity) => return Ok(i32::MAX),
        Moment::Special(Special::NegInfinity) => return Ok(i32::MIN),
        Moment::Special(Special::Epoch) => -super::EPOCH_DAYS,
        Moment::Special(Special::Now) => local_now(time)?.div_euclid(DAY),
        Moment::Special(Special::Day(more)) => local_now(time)?.div_euclid(DAY) + more,
        Moment::Civil { days, .. } => days,
    };
    i32::try_from(days)
        .ok()
        .filter(|_| DATE_RANGE.contains(&days))
        .ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\"")))
}

fn timestamp_range(text: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""))
}

fn join(days: i64, clock: i64) -> Option<i64> {
    days.checked_mul(DAY)?.checked_add(clock)
}

/// Reads a `timestamp`; a zone in the text is ignored.
pub fn parse_timestamp(text: &str, time: &TimeContext) -> Result<i64, SqlError> {
    let local = match moment(text).map_err(|fault| explain(fault, "timestamp", text))? {
        Moment::Special(Special::Infinity) => return Ok(i64::MAX),
        Moment::Special(Special::NegInfinity) => return Ok(i64::MIN),
        Moment::Special(Special::Epoch) => Some(-super::EPOCH_DAYS * DAY),
        Moment::Special(Special::Now) => Some(local_now(time)?),
        Moment::Special(Special::Day(more)) => join(local_now(time)?.div_euclid(DAY) + more, 0),
        Moment::Civil { days, clock, .. } => join(days, clock),
    };
    local.filter(|micros| TIMESTAMP_RANGE.contains(micros)).ok_or_else(|| timestamp_range(text))
}

/// Reads a `timestamptz`; without a zone in the text, the session's is meant.
pub fn parse_timestamptz(text: &str, time: &TimeContext) -> Result<i64, SqlError> {
    let in_zone = |local: Option<i64>, zone: &TimeZone| {
        local.and_then(|local| local.checked_sub(zone.offset_of_local(local).checked_mul(SECOND)?))
    };
    let utc = match moment(text).map_err(|fault| explain(fault, "timestamp with time zone", text))? {
        Moment::Special(Special::Infinity) => return Ok(i64::MAX),
        Moment::Special(Special::NegInfinity) => return Ok(i64::MIN),
        Moment::Special(Special::Epoch) => Some(-super::EPOCH_DAYS * DAY),
        Moment::Special(Special::Now) => Some(time.now.0),
        Moment::Special(Special::Day(more)) => in_zone(join(local_now(time)?.div_euclid(DAY) + more, 0), &time.zone),
        Moment::Civil { days, clock, zone } => {
            let local = join(days, clock);
            match zone {
                None => in_zone(local, &time.zone),
                Some(Zone::Named(zone)) => in_zone(local, &zone),
                Some(Zone::Offset(offset)) => local.and_then(|local| local.checked_sub(offset * SECOND)),
            }
        }
    };
    utc.filter(|micros| TIMESTAMP_RANGE.contains(micros)).ok_or_else(|| timestamp_range(text))
}
