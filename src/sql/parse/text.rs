//! Places in a text: the tokenizer counts lines and columns, PostgreSQL counts characters.

use crate::types::{SqlError, SqlState};
use sqlparser::tokenizer::{Location, TokenWithSpan};

/// Byte offset of a place; the text's length for a place past its end or for none.
pub(in crate::sql) fn byte_offset(text: &str, location: Location) -> usize {
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

/// Counts the places of a statement's tokens from its first: as if its own text had been read alone.
pub(super) fn count_from_first(tokens: &mut [TokenWithSpan]) {
    let Some(origin) = tokens.first().map(|token| token.span.start) else { return };
    if (origin.line, origin.column) == (1, 1) {
        return;
    }
    let count = |place: &mut Location| {
        if place.line == origin.line {
            place.column = (place.column + 1).saturating_sub(origin.column);
        }
        place.line = (place.line + 1).saturating_sub(origin.line);
    };
    for token in tokens {
        count(&mut token.span.start);
        count(&mut token.span.end);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::tokenizer::{Token, Tokenizer};

    #[test]
    fn a_statement_cut_out_of_a_text_has_the_places_that_it_has_alone() {
        let read = |text: &str| {
            Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("a text of tokens")
        };
        let statements = ["select 1", "update t set a = 'x\ny', b = $$q\n$$\n where c\n= 'é'", "\"Ü\"\n + -- c\n 2"];
        let text = format!("  {} ;{};\n\n  {}", statements[0], statements[1], statements[2]);
        let whole = read(&text);
        let mut found = whole.split(|token| token.token == Token::SemiColon);
        for statement in statements {
            let mut own = found.next().expect("as many as were joined").to_vec();
            while matches!(own.first(), Some(token) if matches!(token.token, Token::Whitespace(_))) {
                own.remove(0);
            }
            while matches!(own.last(), Some(token) if matches!(token.token, Token::Whitespace(_))) {
                own.pop();
            }
            count_from_first(&mut own);
            let alone = read(statement);
            assert_eq!(own.len(), alone.len());
            for (cut, alone) in own.iter().zip(&alone) {
                assert_eq!((&cut.token, cut.span), (&alone.token, alone.span), "in {statement:?}");
            }
        }
    }
}
