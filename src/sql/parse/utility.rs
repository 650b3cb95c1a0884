//! Statements that only a session understands: settings and transaction control. They are few words each, so a parser of
//! their own is shorter than the translation of a tree would be, and says no at the right word.

use super::kind::{Constraints, Discard, Kind, Modes, SetScope, SetValue, Transaction};
use super::text::error_near;
use crate::types::SqlError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<&'a TokenWithSpan>,
    pub(super) at: usize,
}

/// The kind of a session's statement; `None` if it is none.
pub(super) fn parse(text: &str, tokens: &[TokenWithSpan]) -> Result<Option<Kind>, SqlError> {
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut words = Words { text, tokens, at: 0 };
    let Some(first) = words.name_at(0) else { return Ok(None) };
    words.at = 1;
    let kind = match first.as_str() {
        "begin" => {
            words.optional_work();
            Kind::Transaction(Transaction::Begin(words.modes()?))
        }
        "start" => {
            words.expect("transaction")?;
            Kind::Transaction(Transaction::Start(words.modes()?))
        }
        "commit" | "end" => {
            words.optional_work();
            Kind::Transaction(Transaction::Commit { chain: words.chain()? })
        }
        "rollback" | "abort" => words.rollback()?,
        "savepoint" => Kind::Transaction(Transaction::Savepoint(words.name()?)),
        "release" => {
            words.accept("savepoint");
            Kind::Transaction(Transaction::Release(words.name()?))
        }
        "set" => words.set()?,
        "show" => Kind::Show { name: words.setting()? },
        "reset" => {
            let name = words.setting()?;
            Kind::Reset { name: (name != "all").then_some(name) }
        }
        "discard" => words.discard()?,
        "deallocate" => {
            words.accept("prepare");
            let all = words.is_word("all");
            let name = words.name()?;
            Kind::Deallocate { name: (!all).then_some(name) }
        }
        "alter" if words.cluster_default()?.is_some() => Kind::Define,
        "add" | "alter" | "drain" | "activate" | "remove" | "pause" | "resume"
            if let Some(change) = words.administer(&first)? =>
        {
            Kind::Administer(Box::new(change))
        }
        "alter" if words.activation()?.is_some() => Kind::Define,
        "create" | "alter" if words.sequence(first == "create")?.is_some() => Kind::Define,
        "create" | "drop" if words.database(first == "create")?.is_some() => Kind::Define,
        "partition" => {
            words.partition_table()?;
            Kind::Define
        }
        "vacuum" | "analyze" | "analyse" => Kind::Maintain(words.maintain(first == "vacuum")?),
        "recover" => {
            words.expect("node")?;
            Kind::Recover(words.node()?)
        }
        "copy" => Kind::Copy(Box::new(words.copy()?)),
        _ => return Ok(None),
    };
    if words.at < words.tokens.len() {
        return Err(words.error());
    }
    Ok(Some(kind))
}

/// The name, in its parts, in `ALTER INDEX … SET ACTIVE`, which `sqlparser` does not have.
pub(in crate::sql) fn activation(text: &str) -> Result<Vec<String>, SqlError> {
    let tokens = super::tokenize(text)?;
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut words = Words { text, tokens, at: 1 };
    words.activation()?.ok_or_else(|| words.error())
}

/// Table and column in `PARTITION TABLE … ON COLUMN …`.
pub(in crate::sql) fn partition_table(text: &str) -> Result<(Vec<String>, String), SqlError> {
    let tokens = super::tokenize(text)?;
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    Words { text, tokens, at: 1 }.partition_table()
}

impl Words<'_> {
    fn partition_table(&mut self) -> Result<(Vec<String>, String), SqlError> {
        self.expect("table")?;
        let mut table = vec![self.name()?];
        while self.accept_sign(&Token::Period) {
            table.push(self.name()?);
        }
        self.expect("on")?;
        self.expect("column")?;
        Ok((table, self.name()?))
    }

    /// What follows ALTER in `ALTER INDEX … SET ACTIVE`; `None` if it is something else.
    fn activation(&mut self) -> Result<Option<Vec<String>>, SqlError> {
        let start = self.at;
        if self.accept("index") {
            let mut names = vec![self.name()?];
            while self.accept_sign(&Token::Period) {
                names.push(self.name()?);
            }
            if self.accept("set") && self.accept("active") {
                return Ok(Some(names));
            }
        }
        self.at = start;
        Ok(None)
    }

    pub(super) fn error(&self) -> SqlError {
        let end = Location { line: 0, column: 0 };
        error_near(self.text, self.tokens.get(self.at).map_or(end, |token| token.span.start))
    }

    /// The identifier at a place, folded unless quoted.
    pub(super) fn name_at(&self, at: usize) -> Option<String> {
        match &self.tokens.get(at)?.token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at).map(|token| &token.token),
            Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    pub(super) fn accept(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), SqlError> {
        if self.accept(word) { Ok(()) } else { Err(self.error()) }
    }

    pub(super) fn accept_sign(&mut self, sign: &Token) -> bool {
        let is = self.tokens.get(self.at).is_some_and(|token| token.token == *sign);
        self.at += usize::from(is);
        is
    }

    pub(super) fn name(&mut self) -> Result<String, SqlError> {
        let name = self.name_at(self.at).ok_or_else(|| self.error())?;
        self.at += 1;
        Ok(name)
    }

    fn optional_work(&mut self) {
        let _ = self.accept("work") || self.accept("transaction");
    }

    fn chain(&mut self) -> Result<bool, SqlError> {
        if !self.accept("and") {
            return Ok(false);
        }
        let chain = !self.accept("no");
        self.expect("chain")?;
        Ok(chain)
    }

    fn modes(&mut self) -> Result<Modes, SqlError> {
        let mut modes = Modes::default();
        while self.at < self.tokens.len() {
            if self.accept("isolation") {
                self.expect("level")?;
                let mut level = self.name()?;
                if level == "read" || level == "repeatable" {
                    level = format!("{level} {}", self.name()?);
                }
                if !["serializable", "repeatable read", "read committed", "read uncommitted"].contains(&level.as_str())
                {
                    self.at -= 1;
                    return Err(self.error());
                }
                modes.isolation = Some(level);
            } else if self.accept("read") {
                let only = self.accept("only");
                if !only {
                    self.expect("write")?;
                }
                modes.read_only = Some(only);
            } else {
                let not = self.accept("not");
                self.expect("deferrable")?;
                modes.deferrable = Some(!not);
            }
            self.accept_sign(&Token::Comma);
        }
        Ok(modes)
    }

    fn rollback(&mut self) -> Result<Kind, SqlError> {
        self.optional_work();
        let kind = if self.accept("to") {
            self.accept("savepoint");
            Transaction::RollbackTo(self.name()?)
        } else {
            Transaction::Rollback { chain: self.chain()? }
        };
        Ok(Kind::Transaction(kind))
    }

    fn discard(&mut self) -> Result<Kind, SqlError> {
        let what = match self.name_at(self.at).as_deref() {
            Some("all") => Discard::All,
            Some("plans") => Discard::Plans,
            Some("sequences") => Discard::Sequences,
            Some("temp" | "temporary") => Discard::Temporary,
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(Kind::Discard(what))
    }

    /// Name of a setting, dots included, and the two that have a wording of their own.
    fn setting(&mut self) -> Result<String, SqlError> {
        let mut name = self.name()?.to_lowercase();
        if name == "time" && self.accept("zone") {
            return Ok("timezone".to_owned());
        }
        if name == "transaction" && self.accept("isolation") {
            self.expect("level")?;
            return Ok("transaction_isolation".to_owned());
        }
        if name == "session" && self.accept("authorization") {
            return Ok("session_authorization".to_owned());
        }
        while self.accept_sign(&Token::Period) {
            name = format!("{name}.{}", self.name()?.to_lowercase());
        }
        Ok(name)
    }

    fn set(&mut self) -> Result<Kind, SqlError> {
        let mut scope = SetScope::Session;
        if self.accept("constraints") {
            return self.constraints();
        }
        if self.accept("local") {
            scope = SetScope::Local;
        } else if self.accept("session") && self.accept("characteristics") {
            self.expect("as")?;
            self.expect("transaction")?;
            return Ok(Kind::Transaction(Transaction::SetSessionModes(self.modes()?)));
        }
        if self.accept("transaction") {
            return Ok(Kind::Transaction(Transaction::SetModes(self.modes()?)));
        }
        if self.accept("names") {
            return Ok(Kind::Set { scope, name: "client_encoding".to_owned(), value: self.set_value()? });
        }
        let zone = self.is_word("time");
        let name = self.setting()?;
        if !(zone && name == "timezone" || self.accept("to") || self.accept_sign(&Token::Eq)) {
            return Err(self.error());
        }
        Ok(Kind::Set { scope, name, value: self.set_value()? })
    }

    fn constraints(&mut self) -> Result<Kind, SqlError> {
        let mut names = None;
        if !self.accept("all") {
            let mut given = vec![self.dotted()?];
            while self.accept_sign(&Token::Comma) {
                given.push(self.dotted()?);
            }
            names = Some(given);
        }
        let deferred = self.accept("deferred");
        if !deferred {
            self.expect("immediate")?;
        }
        Ok(Kind::Constraints(Constraints { names, deferred }))
    }

    fn set_value(&mut self) -> Result<SetValue, SqlError> {
        if self.accept("default") {
            return Ok(SetValue::Default);
        }
        let mut values = Vec::new();
        loop {
            let minus = self.accept_sign(&Token::Minus);
            let value = match self.tokens.get(self.at).map(|token| &token.token) {
                Some(Token::Number(number, _)) if minus => format!("-{number}"),
                Some(Token::Number(number, _)) => number.clone(),
                Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) if !minus => text.clone(),
                Some(Token::Word(_)) if !minus => self.name_at(self.at).unwrap_or_default(),
                _ => return Err(self.error()),
            };
            self.at += 1;
            values.push(value);
            if !self.accept_sign(&Token::Comma) {
                return Ok(SetValue::List(values));
            }
        }
    }
}
