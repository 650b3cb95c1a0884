//! Where a statement ends: at a semicolon that stands in no quotes, comment or dollar quotes.

/// Takes lines and gives whole statements.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    text: String,
}

impl Splitter {
    /// Adds a line.
    pub(super) fn line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text += line;
    }

    /// Takes the first whole statement, with its semicolon.
    pub(super) fn take(&mut self) -> Option<String> {
        let end = end_of_statement(&self.text)?;
        let rest = self.text.split_off(end);
        let statement = std::mem::replace(&mut self.text, rest.trim_start().to_owned());
        Some(statement)
    }

    /// Is nothing begun?
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Takes what is there, whole or not.
    pub(super) fn rest(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.text)).filter(|text| !text.trim().is_empty())
    }
}

/// Where the first statement ends; `None`: not yet.
fn end_of_statement(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b';' => return Some(at + 1),
            b'\'' => {
                let escapes =
                    at > 0 && bytes[at - 1].eq_ignore_ascii_case(&b'e') && !is_word(bytes, at.wrapping_sub(2));
                at = end_of_quotes(bytes, at, escapes)?;
            }
            b'"' => at = end_of_quotes(bytes, at, false)?,
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = bytes[at..].iter().position(|byte| *byte == b'\n').map(|length| at + length)?;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = end_of_comment(bytes, at)?,
            b'$' if !is_word(bytes, at.wrapping_sub(1)) => at = end_of_dollar_quotes(text, at)?,
            _ => at += 1,
        }
    }
    None
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
}

fn end_of_quotes(bytes: &[u8], start: usize, escapes: bool) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' && escapes {
            at += 2;
        } else if bytes[at] == bytes[start] {
            // A doubled quote begins another piece, which comes to the same.
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
    None
}

/// Comments nest.
fn end_of_comment(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_u32);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => {
                (at, depth) = (at + 2, depth - 1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// `$tag$ … $tag$`; a dollar that opens no quotes is skipped.
fn end_of_dollar_quotes(text: &str, start: usize) -> Option<usize> {
    let tag = text[start + 1..].find('$').map(|length| &text[start..start + length + 2]);
    let is_tag = |tag: &&str| {
        let name = tag.trim_matches('$');
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match tag.filter(is_tag) {
        None => Some(start + 1),
        Some(tag) => {
            let inside = start + tag.len();
            text[inside..].find(tag).map(|length| inside + length + tag.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = Splitter::default();
        text.lines().for_each(|line| splitter.line(line));
        let mut all: Vec<_> = std::iter::from_fn(|| splitter.take()).collect();
        all.extend(splitter.rest().map(|rest| format!("… {rest}")));
        all
    }

    #[test]
    fn statements_end_at_their_semicolons() {
        assert_eq!(split("SELECT 1; SELECT\n2;"), ["SELECT 1;", "SELECT\n2;"]);
        assert_eq!(
            split("SELECT ';', \"a;\", 'it''s;', E'\\';'; x"),
            ["SELECT ';', \"a;\", 'it''s;', E'\\';';", "… x"]
        );
        assert_eq!(split("SELECT 'a\\'; 1;"), ["SELECT 'a\\';", "1;"]);
        assert_eq!(split("-- no; end\n/* ; /* ; */ ; */ SELECT 1;"), ["-- no; end\n/* ; /* ; */ ; */ SELECT 1;"]);
        assert_eq!(split("DO $x$ a; $$ b; $x$; $1; a$b;"), ["DO $x$ a; $$ b; $x$;", "$1;", "a$b;"]);
        assert_eq!(split("SELECT 'open"), ["… SELECT 'open"]);
        assert_eq!(split("SELECT 1 -- open"), ["… SELECT 1 -- open"]);
        assert_eq!(split("水; '水"), ["水;", "… '水"]);
        assert_eq!(split(" "), [] as [String; 0]);
    }
}
