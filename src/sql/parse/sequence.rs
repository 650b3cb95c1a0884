//! CREATE SEQUENCE, ALTER SEQUENCE, and the forms of ALTER TABLE … ALTER COLUMN that concern identity columns: the
//! grammar has only some of them, and those without the options that matter.

use super::utility::Words;
use crate::types::SqlError;
use sqlparser::tokenizer::Token;

/// A statement about sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Sequence {
    Create {
        if_not_exists: bool,
        name: Vec<String>,
        options: Options,
    },
    Alter {
        if_exists: bool,
        name: Vec<String>,
        options: Options,
    },
    Rename {
        if_exists: bool,
        name: Vec<String>,
        to: String,
    },
    /// ALTER TABLE … ALTER COLUMN ….
    Column {
        if_exists: bool,
        table: Vec<String>,
        column: String,
        identity: Identity,
    },
}

/// What becomes of a column's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Identity {
    Add { always: bool, options: Options },
    Set { always: Option<bool>, options: Options },
    Drop { if_exists: bool },
}

/// Options of a sequence, as far as they are given. Of those that can be, `Some(None)` is NO ….
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sql) struct Options {
    pub(in crate::sql) data_type: Option<String>,
    pub(in crate::sql) increment: Option<i64>,
    pub(in crate::sql) min: Option<Option<i64>>,
    pub(in crate::sql) max: Option<Option<i64>>,
    pub(in crate::sql) start: Option<i64>,
    /// `Some(None)`: at START.
    pub(in crate::sql) restart: Option<Option<i64>>,
    /// `setval`, as sessions tell it: the value, and whether it is called.
    pub(in crate::sql) set: Option<(i64, bool)>,
    pub(in crate::sql) cache: Option<i64>,
    pub(in crate::sql) cycle: Option<bool>,
    pub(in crate::sql) owned_by: Option<Option<Vec<String>>>,
    pub(in crate::sql) name: Option<Vec<String>>,
}

/// The statement of a text that is one of [`Sequence`]; `None`: it is another.
pub(in crate::sql) fn sequence(text: &str) -> Result<Option<Sequence>, SqlError> {
    let tokens = super::tokenize(text)?;
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut words = Words { text, tokens, at: 1 };
    let creates = words.name_at(0).as_deref() == Some("create");
    words.sequence(creates)
}

impl Words<'_> {
    /// What follows CREATE or ALTER in a statement of [`Sequence`]; `None` if it is another.
    pub(super) fn sequence(&mut self, creates: bool) -> Result<Option<Sequence>, SqlError> {
        let start = self.at;
        if creates {
            if self.accept("temporary") || self.accept("temp") || self.accept("unlogged") {
                if self.is_word("sequence") {
                    return Err(SqlError::unsupported("temporary sequences are not supported"));
                }
                self.at = start;
            }
            if !self.accept("sequence") {
                self.at = start;
                return Ok(None);
            }
            let if_not_exists = self.accept("if");
            if if_not_exists {
                self.expect("not")?;
                self.expect("exists")?;
            }
            let name = self.dotted()?;
            let options = self.sequence_options()?;
            return Ok(Some(Sequence::Create { if_not_exists, name, options }));
        }
        if self.accept("sequence") {
            let if_exists = self.if_exists()?;
            let name = self.dotted()?;
            if self.accept("rename") {
                self.expect("to")?;
                return Ok(Some(Sequence::Rename { if_exists, name, to: self.name()? }));
            }
            let options = self.sequence_options()?;
            if options == Options::default() {
                return Err(self.error());
            }
            return Ok(Some(Sequence::Alter { if_exists, name, options }));
        }
        let column = self.identity_of_column();
        if matches!(column, Ok(None)) {
            self.at = start;
        }
        column
    }

    fn identity_of_column(&mut self) -> Result<Option<Sequence>, SqlError> {
        if !self.accept("table") {
            return Ok(None);
        }
        let if_exists = self.if_exists()?;
        self.accept("only");
        let Ok(table) = self.dotted() else { return Ok(None) };
        if !self.accept("alter") {
            return Ok(None);
        }
        self.accept("column");
        let Ok(column) = self.name() else { return Ok(None) };
        let identity = if self.accept("add") {
            self.expect("generated")?;
            let always = self.always()?;
            self.expect("as")?;
            self.expect("identity")?;
            Identity::Add { always, options: self.in_parentheses()? }
        } else if self.accept("drop") {
            if !self.accept("identity") {
                return Ok(None);
            }
            Identity::Drop { if_exists: self.if_exists()? }
        } else if self.is_word("restart") || self.sets_identity() {
            self.identity_changes()?
        } else {
            return Ok(None);
        };
        Ok(Some(Sequence::Column { if_exists, table, column, identity }))
    }

    /// Does SET with something of a sequence follow?
    fn sets_identity(&self) -> bool {
        let options = ["generated", "increment", "minvalue", "maxvalue", "start", "restart", "cache", "cycle", "no"];
        self.is_word("set") && self.name_at(self.at + 1).is_some_and(|word| options.contains(&word.as_str()))
    }

    fn identity_changes(&mut self) -> Result<Identity, SqlError> {
        let (mut always, mut options) = (None, Options::default());
        while self.at < self.tokens.len() {
            let set = self.accept("set");
            if set && self.accept("generated") {
                always = Some(self.always()?);
            } else if !self.sequence_option(&mut options)? {
                return Err(self.error());
            }
        }
        Ok(Identity::Set { always, options })
    }

    fn always(&mut self) -> Result<bool, SqlError> {
        if self.accept("always") {
            return Ok(true);
        }
        self.expect("by")?;
        self.expect("default")?;
        Ok(false)
    }

    fn if_exists(&mut self) -> Result<bool, SqlError> {
        let is = self.accept("if");
        if is {
            self.expect("exists")?;
        }
        Ok(is)
    }

    pub(super) fn dotted(&mut self) -> Result<Vec<String>, SqlError> {
        let mut names = vec![self.name()?];
        while self.accept_sign(&Token::Period) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn in_parentheses(&mut self) -> Result<Options, SqlError> {
        let mut options = Options::default();
        if self.accept_sign(&Token::LParen) {
            while !self.accept_sign(&Token::RParen) {
                if !self.sequence_option(&mut options)? {
                    return Err(self.error());
                }
            }
        }
        Ok(options)
    }

    fn sequence_options(&mut self) -> Result<Options, SqlError> {
        let mut options = Options::default();
        while self.at < self.tokens.len() {
            if !self.sequence_option(&mut options)? {
                return Err(self.error());
            }
        }
        Ok(options)
    }

    /// Takes one option, if one stands here.
    fn sequence_option(&mut self, options: &mut Options) -> Result<bool, SqlError> {
        if self.accept("as") {
            options.data_type = Some(self.name()?);
        } else if self.accept("increment") {
            self.accept("by");
            options.increment = Some(self.number()?);
        } else if self.accept("minvalue") {
            options.min = Some(Some(self.number()?));
        } else if self.accept("maxvalue") {
            options.max = Some(Some(self.number()?));
        } else if self.accept("start") {
            self.accept("with");
            options.start = Some(self.number()?);
        } else if self.accept("restart") {
            let with = self.accept("with");
            options.restart = Some(if with || self.is_number() { Some(self.number()?) } else { None });
        } else if self.accept("setval") {
            let value = self.number()?;
            let called = self.accept("called");
            options.set = Some((value, called));
        } else if self.accept("cache") {
            options.cache = Some(self.number()?);
        } else if self.accept("cycle") {
            options.cycle = Some(true);
        } else if self.accept("owned") {
            self.expect("by")?;
            let names = self.dotted()?;
            let none = names.len() == 1 && names[0] == "none";
            options.owned_by = Some((!none).then_some(names));
        } else if self.is_word("sequence") {
            self.at += 1;
            self.expect("name")?;
            options.name = Some(self.dotted()?);
        } else if self.accept("no") {
            match () {
                () if self.accept("minvalue") => options.min = Some(None),
                () if self.accept("maxvalue") => options.max = Some(None),
                () => {
                    self.expect("cycle")?;
                    options.cycle = Some(false);
                }
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn is_number(&self) -> bool {
        let token = self.tokens.get(self.at).map(|token| &token.token);
        matches!(token, Some(Token::Number(..) | Token::Minus | Token::Plus))
    }

    fn number(&mut self) -> Result<i64, SqlError> {
        let minus = self.accept_sign(&Token::Minus);
        if !minus {
            self.accept_sign(&Token::Plus);
        }
        let number = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Number(number, _)) if minus => format!("-{number}"),
            Some(Token::Number(number, _)) => number.clone(),
            _ => return Err(self.error()),
        };
        let number = number.parse().map_err(|_| self.error())?;
        self.at += 1;
        Ok(number)
    }
}
