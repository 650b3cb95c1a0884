//! Places in a text: the tokenizer counts lines and columns, PostgreSQL counts characters.

use crate::types::{SqlError, SqlState};
use sqlparser::tokenizer::Location;

/// Byte offset of a place; the text's length for a place past its end or for none.
pub(super) fn byte_offset(text: &str, location: Location) -> usize {
    if location.line == 0 {
        return text.len();
    }
    let mut start = 0;
    for _ in 1..location.line {
        match text[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
    text[start..].char_indices().nth(column).map_or(text.len(), |(at, _)| start + at)
}

/// 1-based position in characters, as error messages carry it.
pub(in crate::sql) fn character_position(text: &str, location: Location) -> u32 {
    let before = text[..byte_offset(text, location)].chars().count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

/// The place that a message of the parser ends with: ` at Line: 1, Column: 8`.
pub(super) fn location_in(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
}

/// `syntax error at or near "x"`, where x is the word or sign at that place.
pub(super) fn error_near(text: &str, location: Location) -> SqlError {
    let at = byte_offset(text, location);
    let position = u32::try_from(text[..at].chars().count() + 1).unwrap_or(u32::MAX);
    let rest = &text[at..];
    let message = match word(rest) {
        "" => "syntax error at end of input".to_owned(),
        near => format!("syntax error at or near \"{near}\""),
    };
    SqlError::new(SqlState::SYNTAX_ERROR, message).at(position)
}

/// The token that a text begins with, as far as a message needs it.
fn word(text: &str) -> &str {
    let Some(first) = text.chars().next() else { return "" };
    let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let length = match first {
        '\'' | '"' => text[1..].find(first).map_or(text.len(), |end| end + 2),
        c if in_word(c) => text.find(|c| !in_word(c)).unwrap_or(text.len()),
        c => {
            let two = text.get(..2).unwrap_or_default();
            if ["<=", ">=", "<>", "!=", "::", "||"].contains(&two) { 2 } else { c.len_utf8() }
        }
    };
    &text[..length]
}
