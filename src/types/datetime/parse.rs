//! Reading dates and times.

use super::TimeContext;
use crate::types::error::SqlError;

/// Reads a `date`.
pub fn parse_date(text: &str, time: &TimeContext) -> Result<i32, SqlError> {
    let _ = time;
    Err(SqlError::unsupported(text))
}

/// Reads a `timestamp`; a zone in the text is ignored.
pub fn parse_timestamp(text: &str, time: &TimeContext) -> Result<i64, SqlError> {
    let _ = time;
    Err(SqlError::unsupported(text))
}

/// Reads a `timestamptz`; without a zone in the text, the session's is meant.
pub fn parse_timestamptz(text: &str, time: &TimeContext) -> Result<i64, SqlError> {
    let _ = time;
    Err(SqlError::unsupported(text))
}
