//! Dates and timestamps: the proleptic Gregorian calendar, ISO text, time zones of the bundled database.
//!
//! Days and microseconds count from 2000-01-01. The extremes of the integer are `infinity` and `-infinity`.
//!
//! # Caveats
//! Zone rules are known for the years -9999..=9999; later years repeat the last 400, earlier ones the first offset.

use super::error::{SqlError, SqlState};
use super::time::Timestamp;
use std::fmt::Write;

mod parse;
pub use parse::{parse_date, parse_timestamp, parse_timestamptz};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
/// Seconds after which weekdays and leap years repeat: 400 years.
const CALENDAR_CYCLE: i64 = 146_097 * 86_400;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
/// First and last day of `date`: 4714-11-24 BC and 5874897-12-31.
const DATE_RANGE: std::ops::RangeInclusive<i64> = -2_451_545..=2_145_031_948;
/// First and last instant of timestamps: 4714-11-24 BC and the end of 294276.
const TIMESTAMP_RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// A time zone of the bundled database, or a fixed offset.
#[derive(Clone, Debug)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

/// What reading a date or time may depend on.
#[derive(Clone, Debug)]
pub struct TimeContext {
    /// The statement's `now()`.
    pub now: Timestamp,
    /// The session's zone.
    pub zone: TimeZone,
}

impl TimeZone {
    /// `UTC`.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }

    /// By name (`Europe/Berlin`, in any case) or POSIX rule; `None`: there is none such.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt") || name.eq_ignore_ascii_case("z") {
            return Some(Self { name: name.to_ascii_uppercase(), zone: jiff::tz::TimeZone::UTC });
        }
        if let Ok(zone) = jiff::tz::db().get(name) {
            let name = zone.iana_name().unwrap_or(name).to_owned();
            return Some(Self { name, zone });
        }
        None
    }

    /// For `SET TimeZone`: 22023 for a name that is none.
    pub fn parse(name: &str) -> Result<Self, SqlError> {
        if let Some(zone) = Self::find(name) {
            return Ok(zone);
        }
        // A number is hours east of Greenwich.
        if let Ok(hours) = name.trim().parse::<f64>()
            && hours.abs() <= 15.0
        {
            let offset = jiff::tz::Offset::from_seconds(libm::rint(hours * 3600.0) as i32);
            if let Ok(offset) = offset {
                return Ok(Self { name: name.trim().to_owned(), zone: jiff::tz::TimeZone::fixed(offset) });
            }
        }
        Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"TimeZone\": \"{name}\""),
        ))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds east of Greenwich at an instant (seconds since 1970).
    fn offset_at(&self, unix: i64) -> i64 {
        // The calendar repeats after 400 years, so a year beyond the last known has the rules of one before it.
        let last = jiff::Timestamp::MAX.as_second();
        let cycles = if unix > last { (unix - last + CALENDAR_CYCLE - 1) / CALENDAR_CYCLE } else { 0 };
        let clamped = (unix - cycles * CALENDAR_CYCLE).max(jiff::Timestamp::MIN.as_second());
        jiff::Timestamp::from_second(clamped).map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()))
    }

    /// Seconds east of Greenwich that hold at a local time (microseconds since 2000). In a gap the offset before it is
    /// taken, in an overlap the one of standard time, as PostgreSQL does.
    fn offset_of_local(&self, local: i64) -> i64 {
        let unix = local.div_euclid(SECOND) + EPOCH_DAYS * 86_400;
        let earlier = self.offset_at(unix - 86_400);
        let later = self.offset_at(unix + 86_400);
        if earlier == later {
            let guess = self.offset_at(unix - earlier);
            if guess == earlier {
                return guess;
            }
        }
        let fits_earlier = self.offset_at(unix - earlier) == earlier;
        let fits_later = self.offset_at(unix - later) == later;
        match (fits_earlier, fits_later) {
            (true, true) => earlier.min(later),
            (false, true) => later,
            // Neither: a gap, read by the offset that was in force before it.
            _ => earlier,
        }
    }
}

impl Default for TimeContext {
    fn default() -> Self {
        Self { now: Timestamp(0), zone: TimeZone::utc() }
    }
}

/// `22008`: beyond the range of the type.
fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// Days since 2000-01-01 of a date of the proleptic Gregorian calendar (year 0 is 1 BC).
#[must_use]
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468 - EPOCH_DAYS
}

/// Year (0 is 1 BC), month and day of a day since 2000-01-01.
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468 + EPOCH_DAYS;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Midnight of a day.
pub fn date_to_timestamp(days: i32) -> Result<i64, SqlError> {
    match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => i64::from(days)
            .checked_mul(DAY)
            .filter(|micros| TIMESTAMP_RANGE.contains(micros))
            .ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    }
}

/// The day in which an instant lies.
#[must_use]
pub fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        _ => i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX),
    }
}

/// The instant at which clocks in `zone` show a local time.
pub fn local_to_utc(local: i64, zone: &TimeZone) -> Result<i64, SqlError> {
    if matches!(local, i64::MAX | i64::MIN) {
        return Ok(local);
    }
    local
        .checked_sub(zone.offset_of_local(local) * SECOND)
        .filter(|micros| TIMESTAMP_RANGE.contains(micros))
        .ok_or_else(|| out_of_range("timestamp"))
}

/// What clocks in `zone` show at an instant.
pub fn utc_to_local(utc: i64, zone: &TimeZone) -> Result<i64, SqlError> {
    if matches!(utc, i64::MAX | i64::MIN) {
        return Ok(utc);
    }
    utc.checked_add(offset_at_utc(utc, zone) * SECOND).ok_or_else(|| out_of_range("timestamp"))
}

/// Seconds east of Greenwich in `zone` at an instant.
#[must_use]
pub fn offset_at_utc(utc: i64, zone: &TimeZone) -> i64 {
    zone.offset_at(utc.div_euclid(SECOND) + EPOCH_DAYS * 86_400)
}

/// A day moved by some days; 22008 beyond the range.
pub fn add_days(days: i32, more: i64) -> Result<i32, SqlError> {
    if matches!(days, i32::MAX | i32::MIN) {
        return Ok(days);
    }
    let sum = i64::from(days).saturating_add(more);
    i32::try_from(sum).ok().filter(|_| DATE_RANGE.contains(&sum)).ok_or_else(|| out_of_range("date"))
}

/// Is it a day that `date` can hold (the infinities included)?
#[must_use]
pub fn is_valid_date(days: i32) -> bool {
    matches!(days, i32::MAX | i32::MIN) || DATE_RANGE.contains(&i64::from(days))
}

/// Is it an instant that timestamps can hold (the infinities included)?
#[must_use]
pub fn is_valid_timestamp(micros: i64) -> bool {
    matches!(micros, i64::MAX | i64::MIN) || TIMESTAMP_RANGE.contains(&micros)
}

/// Appends the calendar day; says whether the year is BC.
fn write_civil(out: &mut String, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    year <= 0
}

/// Appends `HH:MM:SS[.ffffff]`.
fn write_clock(out: &mut String, micros: i64) {
    let (seconds, fraction) = (micros / SECOND, micros % SECOND);
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// Appends a date as ISO text.
pub fn write_date(out: &mut String, days: i32) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        _ => {
            if write_civil(out, i64::from(days)) {
                out.push_str(" BC");
            }
        }
    }
}

/// Appends a local timestamp, then what stands for its zone, then the era.
fn write_moment(out: &mut String, micros: i64, zone: &str) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => {
            let before_christ = write_civil(out, micros.div_euclid(DAY));
            out.push(' ');
            write_clock(out, micros.rem_euclid(DAY));
            out.push_str(zone);
            if before_christ {
                out.push_str(" BC");
            }
        }
    }
}

/// Appends a timestamp without time zone as ISO text.
pub fn write_timestamp(out: &mut String, micros: i64) {
    write_moment(out, micros, "");
}

/// Appends a timestamp with time zone as ISO text, shown in `zone`: `2000-01-01 01:00:00+01`.
pub fn write_timestamptz(out: &mut String, micros: i64, zone: &TimeZone) {
    if matches!(micros, i64::MAX | i64::MIN) {
        return write_moment(out, micros, "");
    }
    let offset = offset_at_utc(micros, zone);
    let local = micros.saturating_add(offset * SECOND);
    let size = offset.abs();
    let mut suffix = format!("{}{:02}", if offset < 0 { '-' } else { '+' }, size / 3600);
    if size % 3600 != 0 {
        let _ = write!(suffix, ":{:02}", size / 60 % 60);
    }
    if size % 60 != 0 {
        let _ = write!(suffix, ":{:02}", size % 60);
    }
    write_moment(out, local, &suffix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> TimeContext {
        TimeContext { now: Timestamp(700_000_000_123_456), zone: TimeZone::find("europe/berlin").unwrap() }
    }

    fn shown(micros: i64) -> String {
        let mut out = String::new();
        write_timestamptz(&mut out, micros, &berlin().zone);
        out
    }

    /// Read off a PostgreSQL 15 server.
    #[test]
    fn instants_of_postgresql() {
        for (text, expected) in [
            ("2004-10-19 10:23:54", "2004-10-19 10:23:54+02"),
            ("2021-03-28 02:30:00", "2021-03-28 03:30:00+02"),
            ("2021-10-31 02:30:00", "2021-10-31 02:30:00+01"),
            ("2004-10-19 10:23:54.1234567-0530", "2004-10-19 17:53:54.123457+02"),
            ("2004-10-19 10:23:54 America/New_York", "2004-10-19 16:23:54+02"),
            ("12000-07-01 00:00", "12000-07-01 00:00:00+02"),
            ("Jan 8 1999 04:05 PM", "1999-01-08 16:05:00+01"),
            ("infinity", "infinity"),
            ("now", "2022-03-07 21:26:40.123456+01"),
            ("today", "2022-03-07 00:00:00+01"),
            ("epoch", "1970-01-01 01:00:00+01"),
        ] {
            assert_eq!(parse_timestamptz(text, &berlin()).map(shown).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            ("x", "22007: invalid input syntax for type timestamp with time zone: \"x\""),
            ("2020-02-30", "22008: date/time field value out of range: \"2020-02-30\""),
            ("2020-01-01 Foo/Bar", "22023: time zone \"foo/bar\" not recognized"),
            ("2020-01-01 10:00+16", "22009: time zone displacement out of range: \"2020-01-01 10:00+16\""),
            ("294278-01-01", "22008: timestamp out of range: \"294278-01-01\""),
        ] {
            assert_eq!(parse_timestamptz(text, &berlin()).unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(TimeZone::parse("Mars/Olympus").unwrap_err().state, SqlState::INVALID_PARAMETER_VALUE);
    }

    proptest! {
        #[test]
        fn text_comes_back(days in -2_451_545..2_145_031_948, micros in TIMESTAMP_RANGE) {
            let mut date = String::new();
            write_date(&mut date, days);
            prop_assert_eq!(parse_date(&date, &berlin()).unwrap(), days);
            let mut local = String::new();
            write_timestamp(&mut local, micros);
            prop_assert_eq!(parse_timestamp(&local, &berlin()).unwrap(), micros);
            prop_assert_eq!(civil_from_days(i64::from(days)), {
                let (year, month, day) = civil_from_days(i64::from(days));
                civil_from_days(days_from_civil(year, month, day))
            });
        }

        #[test]
        fn instants_come_back(micros in -60_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            prop_assert_eq!(parse_timestamptz(&shown(micros), &berlin()).unwrap(), micros);
        }

        #[test]
        fn any_text_is_an_answer(text in "[0-9a-z:+/. -]{0,24}", other in any::<String>(), micros in any::<i64>(), days in any::<i32>()) {
            for text in [&text, &other] {
                let _ = (parse_date(text, &berlin()), parse_timestamp(text, &berlin()), parse_timestamptz(text, &berlin()));
            }
            let mut out = shown(micros);
            write_date(&mut out, days);
            write_timestamp(&mut out, micros);
            let _ = (date_to_timestamp(days), timestamp_to_date(micros), local_to_utc(micros, &berlin().zone));
        }
    }
}
