//! COPY … FROM STDIN, in PostgreSQL's three generations of syntax.

use super::maintain::Named;
use super::utility::Words;
use crate::types::{SqlError, SqlState};
use sqlparser::tokenizer::Token;

/// COPY … FROM STDIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The table, and the columns listed behind it; none: all.
    pub(in crate::sql) table: Named,
    /// How the data are written.
    pub format: CopyFormat,
}

/// How the data of a COPY are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// CSV; else text.
    pub csv: bool,
    /// Between two fields.
    pub(in crate::sql) delimiter: u8,
    /// What stands for NULL.
    pub(in crate::sql) null: String,
    /// The first line is passed over.
    pub(in crate::sql) header: bool,
    /// CSV: around a field, and before a quote inside one.
    pub(in crate::sql) quote: u8,
    /// See `quote`.
    pub(in crate::sql) escape: u8,
}

/// Options as they are written, before defaults are known.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    header: bool,
    quote: Option<String>,
    escape: Option<String>,
}

impl Words<'_> {
    /// What follows COPY.
    pub(super) fn copy(&mut self) -> Result<Copy, SqlError> {
        let _ = self.accept("binary");
        if self.accept_sign(&Token::LParen) {
            return Err(no_copy_to());
        }
        let table = self.named()?;
        if self.accept("to") {
            return Err(no_copy_to());
        }
        self.expect("from")?;
        if !self.accept("stdin") {
            if self.is_word("program") || self.string().is_some() {
                return Err(SqlError::unsupported("COPY from a file or program of the server is not supported")
                    .hint("Use COPY FROM STDIN; psql's \\copy reads a file of the client's."));
            }
            return Err(self.error());
        }
        let mut options = Options::default();
        let _ = self.accept("with");
        if self.accept_sign(&Token::LParen) {
            loop {
                self.copy_option(&mut options)?;
                if !self.accept_sign(&Token::Comma) {
                    break;
                }
            }
            self.expect_sign(&Token::RParen)?;
        } else {
            while self.old_option(&mut options)? {}
        }
        if self.accept("where") {
            return Err(SqlError::unsupported("COPY … WHERE is not supported"));
        }
        Ok(Copy { table, format: options.resolve()? })
    }

    /// `NAME [value]` in parentheses.
    fn copy_option(&mut self, options: &mut Options) -> Result<(), SqlError> {
        let at = self.here();
        let name = self.name()?;
        match name.as_str() {
            "format" => options.format = Some(self.value()?),
            "delimiter" => options.delimiter = Some(self.value()?),
            "null" => options.null = Some(self.value()?),
            "quote" => options.quote = Some(self.value()?),
            "escape" => options.escape = Some(self.value()?),
            "header" => options.header = self.switch()?,
            // Rows are never frozen, as they have no versions.
            "freeze" => drop(self.switch()?),
            "encoding" => check_encoding(&self.value()?)?,
            "force_quote" | "force_not_null" | "force_null" => {
                return Err(SqlError::unsupported(format!("COPY {} is not supported", name.to_uppercase())));
            }
            _ => {
                let message = format!("option \"{name}\" not recognized");
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at));
            }
        }
        Ok(())
    }

    /// One option as before PostgreSQL 9.0; `false`: there is none.
    fn old_option(&mut self, options: &mut Options) -> Result<bool, SqlError> {
        let text = |words: &mut Self| {
            let _ = words.accept("as");
            words.value()
        };
        if self.accept("binary") {
            options.format = Some("binary".to_owned());
        } else if self.accept("csv") {
            options.format = Some("csv".to_owned());
        } else if self.accept("header") {
            options.header = true;
        } else if self.accept("delimiter") || self.accept("delimiters") {
            options.delimiter = Some(text(self)?);
        } else if self.accept("null") {
            options.null = Some(text(self)?);
        } else if self.accept("quote") {
            options.quote = Some(text(self)?);
        } else if self.accept("escape") {
            options.escape = Some(text(self)?);
        } else if self.accept("encoding") {
            check_encoding(&self.value()?)?;
        } else {
            return Ok(self.accept("freeze"));
        }
        Ok(true)
    }

    pub(super) fn string(&self) -> Option<String> {
        match &self.tokens.get(self.at)?.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn value(&mut self) -> Result<String, SqlError> {
        if let Some(text) = self.string() {
            self.at += 1;
            return Ok(text);
        }
        self.name()
    }

    /// A Boolean that may be left out.
    fn switch(&mut self) -> Result<bool, SqlError> {
        let next = self.tokens.get(self.at).map(|token| &token.token);
        if matches!(next, None | Some(Token::Comma | Token::RParen)) {
            return Ok(true);
        }
        if let Some(Token::Number(number, _)) = next {
            let on = number == "1";
            self.at += 1;
            return Ok(on);
        }
        match self.value()?.to_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            "match" => Err(SqlError::unsupported("COPY HEADER MATCH is not supported")),
            _ => Err(self.error()),
        }
    }
}

impl Options {
    fn resolve(self) -> Result<CopyFormat, SqlError> {
        let csv = match self.format.as_deref() {
            None | Some("text") => false,
            Some("csv") => true,
            Some("binary") => return Err(SqlError::unsupported("COPY in binary format is not supported")),
            Some(other) => return Err(invalid(format!("COPY format \"{other}\" not recognized"))),
        };
        let delimiter = match &self.delimiter {
            None => {
                if csv {
                    b','
                } else {
                    b'\t'
                }
            }
            Some(text) => one_byte("delimiter", text)?,
        };
        if matches!(delimiter, b'\n' | b'\r') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if !csv && (delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit() || matches!(delimiter, b'\\' | b'.')) {
            return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
        }
        if !csv && self.quote.is_some() {
            return Err(SqlError::unsupported("COPY quote available only in CSV mode"));
        }
        if !csv && self.escape.is_some() {
            return Err(SqlError::unsupported("COPY escape available only in CSV mode"));
        }
        let null = self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
        if null.contains(['\n', '\r']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if null.as_bytes().contains(&delimiter) {
            return Err(invalid("COPY delimiter must not appear in the NULL specification"));
        }
        let quote = self.quote.as_deref().map_or(Ok(b'"'), |text| one_byte("quote", text))?;
        let escape = self.escape.as_deref().map_or(Ok(quote), |text| one_byte("escape", text))?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        Ok(CopyFormat { csv, delimiter, null, header: self.header, quote, escape })
    }
}

fn one_byte(what: &str, text: &str) -> Result<u8, SqlError> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(SqlError::unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

fn check_encoding(name: &str) -> Result<(), SqlError> {
    if ["utf8", "utf-8", "unicode"].contains(&name.to_lowercase().as_str()) {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("COPY in encoding \"{name}\" is not supported")).hint("Send UTF-8."))
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn no_copy_to() -> SqlError {
    SqlError::unsupported("COPY TO is not supported yet").hint("Use SELECT, or psql's \\g FILE with \\pset format csv.")
}
