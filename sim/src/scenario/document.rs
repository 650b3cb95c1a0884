//! A scenario's TOML as a tree in which every value knows the file and line it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File, or `--set`.
    pub file: Rc<str>,
    /// Line, from 1; 0 where there are no lines.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// A mistake in a scenario: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Mistake {}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// A number, as written.
    Number(String),
    /// Anything that scenarios have no use for, by name.
    Other(&'static str),
    /// A list.
    List(Vec<Item>),
    /// A table; each entry with the place of its key.
    Table(BTreeMap<String, (Place, Item)>),
}

impl Item {
    /// Parses a file's text.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistake> {
        let file: Rc<str> = file.into();
        let reader = Reader { file: Rc::clone(&file), text };
        match DeTable::parse(text) {
            Ok(table) => Ok(reader.table(table.span().start, table.get_ref())),
            Err(error) => Err(Mistake {
                place: reader.place(error.span().map_or(0, |span| span.start)),
                message: error.message().to_owned(),
            }),
        }
    }

    /// A mistake at this place.
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { place: self.place.clone(), message: message.into() }
    }

    /// The value in words.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("\"{text}\""),
            Value::Number(text) => text.clone(),
            Value::Other(what) => (*what).to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// Lays `over` on top: tables are joined entry by entry, everything else is replaced.
    pub fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, (place, item)) in above {
                    match below.get_mut(&key) {
                        Some((old_place, old)) => {
                            *old_place = place;
                            old.overlay(item);
                        }
                        None => {
                            below.insert(key, (place, item));
                        }
                    }
                }
            }
            (below, above) => {
                *below = above;
                self.place = over.place;
            }
        }
    }

    /// Sets `a.b.c = value`, as `--set` does.
    ///
    /// # Errors
    /// When the text has no `=`.
    pub fn set(&mut self, assignment: &str) -> Result<(), Mistake> {
        let place = Place { file: format!("--set {assignment}").into(), line: 0 };
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(Mistake { place, message: "expected section.key=value".to_owned() });
        };
        let mut item = Self { place: place.clone(), value: Value::Text(value.trim().to_owned()) };
        for key in path.trim().rsplit('.') {
            let table = BTreeMap::from([(key.trim().to_owned(), (place.clone(), item))]);
            item = Self { place: place.clone(), value: Value::Table(table) };
        }
        self.overlay(item);
        Ok(())
    }
}

struct Reader<'t> {
    file: Rc<str>,
    text: &'t str,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        Place { file: Rc::clone(&self.file), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn table(&self, offset: usize, table: &DeTable<'_>) -> Item {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            (key.get_ref().to_string(), (self.place(key.span().start), self.item(value)))
        };
        Item { place: self.place(offset), value: Value::Table(table.iter().map(entry).collect()) }
    }

    fn item(&self, value: &Spanned<DeValue<'_>>) -> Item {
        let offset = value.span().start;
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => Value::Number(number.to_string()),
            DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
            DeValue::Boolean(_) => Value::Other("a boolean"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.item(item)).collect()),
            DeValue::Table(table) => return self.table(offset, table),
        };
        Item { place: self.place(offset), value }
    }
}

/// The known name that `unknown` was most likely meant to be, if any is near.
#[must_use]
pub fn nearest<'n>(unknown: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    known
        .into_iter()
        .map(|name| (distance(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(unknown.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits that turn one name into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// "unknown X `y`; did you mean `z`?", or the list of what there is.
#[must_use]
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`; there are: {}", known.join(", ")),
    }
}
