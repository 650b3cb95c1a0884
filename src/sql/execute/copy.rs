//! COPY: lines of text or CSV to rows, checked and written one after the other.

use super::write::{check_row, insert_row, note, unique_violation};
use super::{Row, Run, evaluate_all};
use crate::catalog::Table;
use crate::sql::cast::{self, CastContext};
use crate::sql::context::Context;
use crate::sql::copy::LineEnds;
use crate::sql::integrity::Part;
use crate::sql::parse::CopyFormat;
use crate::sql::plan::Copy;
use crate::sql::settings::StatementResult;
use crate::storage::Store;
use crate::types::{SqlError, SqlState, Value};

/// Most characters of the data that an error shows.
const SHOWN: usize = 100;

/// `missing data for column`, `extra data after last expected column` and their like.
const BAD_COPY_FILE_FORMAT: SqlState = SqlState(*b"22P04");

pub(in crate::sql) fn copy(
    node: &Copy,
    store: &mut Store,
    parameters: &[Value],
    context: &mut Context,
) -> Result<StatementResult, SqlError> {
    let (Some(Value::Bytea(data)), Some(first)) = (parameters.first(), parameters.get(1).and_then(Value::as_i64))
    else {
        return Err(SqlError::new(SqlState::INTERNAL_ERROR, "a COPY came without its data"));
    };
    let mut result = StatementResult::default();
    let mut scratch = Vec::new();
    let mut lines = Lines { format: &node.format, rest: data, line: first };
    let mut fields = Fields::default();
    while let Some((line, number)) = lines.next() {
        if node.format.header && number == 1 {
            continue;
        }
        let mut place = Place { table: &node.target.table, number, line, column: None };
        let row = row_of(node, store, context, &mut fields, &mut place).map_err(|error| place.tell(error))?;
        if context.share.is_some_and(|share| !share.has(&node.target.table, &row)) {
            continue;
        }
        check_row(&node.target, &row, &mut Run::new(store, &[], context)).map_err(|error| place.tell(error))?;
        if let Some(index) = insert_row(store, &node.target.table, &row, &mut scratch) {
            let error = unique_violation(&node.target.table, &row, index, &context.time.zone);
            return Err(error.context(format!("COPY {}, line {number}", node.target.table.name)));
        }
        note(context, &node.target, None, Some(&row), Part::Whole);
        result.affected += 1;
    }
    Ok(result)
}

/// The row of a line.
fn row_of<'a>(
    node: &Copy,
    store: &Store,
    context: &mut Context,
    fields: &mut Fields,
    place: &mut Place<'a>,
) -> Result<Row, SqlError> {
    let line = std::str::from_utf8(place.line).map_err(|error| {
        let byte = place.line[error.valid_up_to()];
        let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
        SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    })?;
    fields.read(&node.format, line)?;
    let table = &node.target.table;
    if let Some(column) = node.columns.get(fields.count) {
        let message = format!("missing data for column \"{}\"", table.columns[*column].name);
        return Err(SqlError::new(BAD_COPY_FILE_FORMAT, message));
    }
    if fields.count > node.columns.len() {
        return Err(SqlError::new(BAD_COPY_FILE_FORMAT, "extra data after last expected column"));
    }
    let mut row = if node.columns.len() == table.columns.len() {
        vec![Value::Null; table.columns.len()]
    } else {
        evaluate_all(&node.defaults, &[], &mut Run::new(store, &[], context))?
    };
    for (field, column) in fields.all().zip(&node.columns) {
        row[*column] = Value::Null;
        if let Some(text) = field {
            let definition = &table.columns[*column];
            let value = cast::cast_literal(context, text, definition.data_type, CastContext::Assignment);
            row[*column] = value.inspect_err(|_| place.column = Some((definition.name.clone(), text.to_owned())))?;
        }
    }
    Ok(row)
}

/// Where in the data something went wrong.
struct Place<'a> {
    table: &'a Table,
    number: i64,
    line: &'a [u8],
    column: Option<(String, String)>,
}

impl Place<'_> {
    fn tell(&self, error: SqlError) -> SqlError {
        let shown = |text: &str| match text.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text.to_owned(),
        };
        let (table, number) = (&self.table.name, self.number);
        error.context(match &self.column {
            Some((column, value)) => format!("COPY {table}, line {number}, column {column}: \"{}\"", shown(value)),
            None => format!("COPY {table}, line {number}: \"{}\"", shown(&String::from_utf8_lossy(self.line))),
        })
    }
}

/// Lines of the data, without their ends, and their numbers.
struct Lines<'a> {
    format: &'a CopyFormat,
    rest: &'a [u8],
    line: i64,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(&'a [u8], i64)> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut ends, mut breaks) = (LineEnds::default(), 0);
        let mut end = self.rest.len();
        for (at, byte) in self.rest.iter().enumerate() {
            let ends = ends.step(self.format, *byte);
            breaks += i64::from(*byte == b'\n');
            if ends {
                end = at + 1;
                break;
            }
        }
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        let number = self.line;
        self.line += breaks.max(1);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some((line.strip_suffix(b"\r").unwrap_or(line), number))
    }
}

/// Fields of a line: their texts in one buffer, used again for the next line.
#[derive(Default)]
struct Fields {
    text: String,
    /// Where each ends; `None`: NULL.
    ends: Vec<(usize, bool)>,
    count: usize,
}

impl Fields {
    fn read(&mut self, format: &CopyFormat, line: &str) -> Result<(), SqlError> {
        self.text.clear();
        self.ends.clear();
        if format.csv {
            self.read_csv(format, line)?
        } else {
            self.read_text(format, line)?
        }
        self.count = self.ends.len();
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = Option<&str>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, null))| (!null).then(|| &self.text[start..*end]))
    }

    fn read_text(&mut self, format: &CopyFormat, line: &str) -> Result<(), SqlError> {
        let delimiter = char::from(format.delimiter);
        let mut rest = line;
        loop {
            let (raw, more) = split_text(rest, delimiter);
            let null = raw == format.null;
            if !null && raw.contains('\\') {
                let mut bytes = Vec::with_capacity(raw.len());
                unescape(raw.as_bytes(), &mut bytes);
                match std::str::from_utf8(&bytes) {
                    Ok(text) => self.text.push_str(text),
                    Err(error) => {
                        let message = format!(
                            "invalid byte sequence for encoding \"UTF8\": 0x{:02x}",
                            bytes[error.valid_up_to()]
                        );
                        return Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message));
                    }
                }
            } else if !null {
                self.text.push_str(raw);
            }
            self.ends.push((self.text.len(), null));
            match more {
                Some(more) => rest = more,
                None => return Ok(()),
            }
        }
    }

    fn read_csv(&mut self, format: &CopyFormat, line: &str) -> Result<(), SqlError> {
        let (delimiter, quote, escape) =
            (char::from(format.delimiter), char::from(format.quote), char::from(format.escape));
        let mut rest = line.chars().peekable();
        loop {
            let start = self.text.len();
            let (mut quoted, mut inside, mut more) = (false, false, false);
            while let Some(c) = rest.next() {
                if inside && c == escape && rest.peek().is_some_and(|next| *next == quote || *next == escape) {
                    self.text.extend(rest.next());
                } else if c == quote {
                    inside = !inside;
                    quoted = true;
                } else if c == delimiter && !inside {
                    more = true;
                    break;
                } else {
                    self.text.push(c);
                }
            }
            if inside {
                return Err(SqlError::new(BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
            }
            let null = !quoted && self.text[start..] == format.null;
            if null {
                self.text.truncate(start);
            }
            self.ends.push((self.text.len(), null));
            if !more {
                return Ok(());
            }
        }
    }
}

/// A field as it stands, and what follows its delimiter.
fn split_text(line: &str, delimiter: char) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c == delimiter && !escaped {
            return (&line[..at], Some(&line[at + c.len_utf8()..]));
        }
        escaped = c == '\\' && !escaped;
    }
    (line, None)
}

/// Backslash sequences of the text format: `\t` and its kin, `\ooo`, `\xhh`; any other character stands for itself.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' || at + 1 == raw.len() {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let radix = |from: usize, most: usize, radix: u32| {
            let digits = raw[from..].iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
            let value = raw[from..from + digits]
                .iter()
                .fold(0, |value, byte| value * radix + char::from(*byte).to_digit(radix).unwrap_or(0));
            (digits, value as u8)
        };
        at += 1;
        let (length, byte) = match raw[at] {
            b'b' => (1, 8),
            b'f' => (1, 12),
            b'n' => (1, b'\n'),
            b'r' => (1, b'\r'),
            b't' => (1, b'\t'),
            b'v' => (1, 11),
            b'0'..=b'7' => radix(at, 3, 8),
            b'x' => match radix(at + 1, 2, 16) {
                (0, _) => (1, b'x'),
                (digits, value) => (digits + 1, value),
            },
            other => (1, other),
        };
        out.push(byte);
        at += length;
    }
}
