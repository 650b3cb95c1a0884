//! Transactions over lists: a few steps, each an append to a key's list or a read of it.

use std::fmt;
use std::str::FromStr;

/// Most steps of a transaction.
pub const MICROS_MAX: usize = 4;

/// A step of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micro {
    /// Of which list.
    pub key: u32,
    /// Append, or read.
    pub append: bool,
}

/// The steps of a transaction, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros {
    count: u8,
    all: [Micro; MICROS_MAX],
}

impl Micros {
    /// Adds a step, if there is room.
    pub fn push(&mut self, micro: Micro) {
        if let Some(place) = self.all.get_mut(usize::from(self.count)) {
            *place = micro;
            self.count += 1;
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Micro> + '_ {
        self.all[..self.len()].iter().copied()
    }

    /// Does it append anything?
    #[must_use]
    pub fn writes(&self) -> bool {
        self.iter().any(|micro| micro.append)
    }
}

impl FromIterator<Micro> for Micros {
    fn from_iter<I: IntoIterator<Item = Micro>>(steps: I) -> Self {
        let mut micros = Self::default();
        for micro in steps {
            micros.push(micro);
        }
        micros
    }
}

/// `r3 a5`: reads list 3, appends to list 5.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, micro) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}{}", if micro.append { 'a' } else { 'r' }, micro.key)?;
        }
        Ok(())
    }
}

impl FromStr for Micros {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut micros = Self::default();
        for word in text.split_ascii_whitespace() {
            let wrong = || format!("`{word}` in `{text}` is not a step like r3 or a5");
            let (append, key) = match word.split_at_checked(1) {
                Some(("a", key)) => (true, key),
                Some(("r", key)) => (false, key),
                _ => return Err(wrong()),
            };
            if micros.len() == MICROS_MAX {
                return Err(format!("`{text}` has more than {MICROS_MAX} steps"));
            }
            micros.push(Micro { key: key.parse().map_err(|_| wrong())?, append });
        }
        Ok(micros)
    }
}

/// How a transaction over lists is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Script {
    /// One statement: all of it reads, or all of it appends to different lists.
    Statement,
    /// A statement for each step in one query text: an implicit transaction.
    Batch,
    /// BEGIN, then one step after the other, COMMIT.
    Block,
    /// The same, and each read is rolled back to a savepoint: what it showed was shown all the same.
    Savepoint,
    /// BEGIN READ ONLY, then one read after the other, COMMIT.
    ReadOnly,
}

impl Script {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Statement, "statement"),
        (Self::Batch, "batch"),
        (Self::Block, "block"),
        (Self::Savepoint, "savepoint"),
        (Self::ReadOnly, "read_only"),
    ];

    /// As in a plan.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// For a reader.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Statement => "one statement",
            Self::Batch => "statements in one query text",
            Self::Block => "BEGIN … COMMIT",
            Self::Savepoint => "BEGIN … COMMIT, reads rolled back to a savepoint",
            Self::ReadOnly => "BEGIN READ ONLY … COMMIT",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(script, _)| *script)
    }
}
