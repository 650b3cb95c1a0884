//! LIKE.

use crate::types::{SqlError, SqlState};

/// One element of a pattern.
#[derive(PartialEq)]
enum Element {
    /// `%`
    Any,
    /// `_`
    One,
    /// A character that stands for itself.
    Literal(char),
}

fn elements(pattern: &str, escape: Option<char>) -> Result<Vec<Element>, SqlError> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        out.push(if Some(c) == escape {
            Element::Literal(rest.next().ok_or_else(|| {
                SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "LIKE pattern must not end with escape character")
            })?)
        } else if c == '%' {
            // One wildcard says as much as several.
            if out.last() == Some(&Element::Any) {
                continue;
            }
            Element::Any
        } else if c == '_' {
            Element::One
        } else {
            Element::Literal(c)
        });
    }
    Ok(out)
}

/// Does `text` match `pattern`? Time is at most the product of their lengths: after a `%` only the last one needs to be
/// tried again.
pub fn like(text: &str, pattern: &str, escape: Option<char>) -> Result<bool, SqlError> {
    let pattern = elements(pattern, escape)?;
    let mut at = 0;
    let mut rest = text.chars();
    // Where to go on if what follows the last `%` does not match here: behind it, one character further.
    let mut again: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        if pattern.get(at) == Some(&Element::Any) {
            at += 1;
            again = Some((at, rest.clone()));
            continue;
        }
        let mut ahead = rest.clone();
        let next = ahead.next();
        let fits = match (pattern.get(at), next) {
            (None, None) => return Ok(true),
            (Some(Element::One), Some(_)) => true,
            (Some(Element::Literal(wanted)), Some(c)) => *wanted == c,
            _ => false,
        };
        if fits {
            at += 1;
            rest = ahead;
            continue;
        }
        let Some((behind, from)) = &mut again else { return Ok(false) };
        if from.next().is_none() {
            return Ok(false);
        }
        at = *behind;
        rest = from.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "_b_", true),
            ("abc", "a", false),
            ("", "%", true),
            ("", "_", false),
            ("aXbXc", "a%X%c", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("äöü", "_ö_", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%a%a%a%a%a%a%b", false),
        ] {
            assert_eq!(like(text, pattern, Some('\\')).unwrap(), expected, "{text} LIKE {pattern}");
        }
        assert_eq!(like("a", "a\\", Some('\\')).unwrap_err().state, SqlState::INVALID_ESCAPE_SEQUENCE);
    }
}
