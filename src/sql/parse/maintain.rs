//! VACUUM and ANALYZE. Rows have no dead versions and plans need no statistics, so there is nothing to do; but the
//! statement is read as PostgreSQL reads it, and its tables must exist.

use super::text::character_position;
use super::utility::Words;
use crate::types::{SqlError, SqlState};
use sqlparser::tokenizer::Token;

/// VACUUM or ANALYZE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintain {
    /// VACUUM: refused inside a transaction block.
    pub vacuum: bool,
    /// Tables named.
    pub(in crate::sql) tables: Vec<Named>,
}

/// A table as named in a statement, with the columns listed behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Named {
    /// Parts of the name, folded.
    pub(in crate::sql) parts: Vec<String>,
    pub(in crate::sql) columns: Vec<String>,
}

const VACUUM_OPTIONS: [&str; 10] = [
    "full",
    "freeze",
    "verbose",
    "analyze",
    "analyse",
    "disable_page_skipping",
    "skip_locked",
    "index_cleanup",
    "process_toast",
    "truncate",
];
const ANALYZE_OPTIONS: [&str; 2] = ["verbose", "skip_locked"];

impl Words<'_> {
    /// What follows VACUUM or ANALYZE.
    pub(super) fn maintain(&mut self, vacuum: bool) -> Result<Maintain, SqlError> {
        if self.accept_sign(&Token::LParen) {
            loop {
                self.option(vacuum)?;
                if !self.accept_sign(&Token::Comma) {
                    break;
                }
            }
            self.expect_sign(&Token::RParen)?;
        } else {
            let words: &[&str] =
                if vacuum { &["full", "freeze", "verbose", "analyze", "analyse"] } else { &["verbose"] };
            for word in words {
                self.accept(word);
            }
        }
        let mut tables = Vec::new();
        while self.at < self.tokens.len() {
            tables.push(self.named()?);
            if !self.accept_sign(&Token::Comma) {
                break;
            }
        }
        Ok(Maintain { vacuum, tables })
    }

    fn option(&mut self, vacuum: bool) -> Result<(), SqlError> {
        let at = self.here();
        let name = self.name()?;
        let (statement, known): (_, &[&str]) =
            if vacuum { ("VACUUM", &VACUUM_OPTIONS) } else { ("ANALYZE", &ANALYZE_OPTIONS) };
        if !(known.contains(&name.as_str()) || vacuum && name == "parallel") {
            let message = format!("unrecognized {statement} option \"{name}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let ends = |token: &Token| matches!(token, Token::Comma | Token::RParen);
        if self.tokens.get(self.at).is_some_and(|token| !ends(&token.token)) {
            self.at += 1;
        }
        Ok(())
    }

    /// A table's name and the columns listed behind it.
    pub(super) fn named(&mut self) -> Result<Named, SqlError> {
        let mut parts = vec![self.name()?];
        while self.accept_sign(&Token::Period) {
            parts.push(self.name()?);
        }
        let mut columns = Vec::new();
        if self.accept_sign(&Token::LParen) {
            loop {
                columns.push(self.name()?);
                if !self.accept_sign(&Token::Comma) {
                    break;
                }
            }
            self.expect_sign(&Token::RParen)?;
        }
        Ok(Named { parts, columns })
    }

    /// 1-based place, in characters of the whole text, of what comes next.
    pub(super) fn here(&self) -> u32 {
        let at = self.at.min(self.tokens.len().saturating_sub(1));
        self.tokens.get(at).map_or(1, |token| character_position(self.text, token.span.start))
    }

    pub(super) fn expect_sign(&mut self, sign: &Token) -> Result<(), SqlError> {
        if self.accept_sign(sign) { Ok(()) } else { Err(self.error()) }
    }
}
