//! CREATE DATABASE and DROP DATABASE. The grammar knows their names only; clients say more.

use super::utility::Words;
use crate::types::{SqlError, SqlState};
use sqlparser::tokenizer::Token;

/// A statement about databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Database {
    Create { name: String, if_not_exists: bool },
    Drop { name: String, if_exists: bool },
}

impl Database {
    /// Its command tag.
    pub(in crate::sql) const fn tag(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE DATABASE",
            Self::Drop { .. } => "DROP DATABASE",
        }
    }
}

/// Options that say how things are here anyway, or that nothing hangs on.
const WITHOUT_EFFECT: [&str; 10] = [
    "owner",
    "template",
    "strategy",
    "locale_provider",
    "tablespace",
    "allow_connections",
    "is_template",
    "oid",
    "collation_version",
    "connection",
];

/// The statement of a text that is one of [`Database`]; `None`: it is another.
pub(in crate::sql) fn database(text: &str) -> Result<Option<Database>, SqlError> {
    let tokens = super::tokenize(text)?;
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut words = Words { text, tokens, at: 1 };
    let creates = words.name_at(0).as_deref() == Some("create");
    words.database(creates)
}

impl Words<'_> {
    /// What follows CREATE or DROP in a statement of [`Database`]; `None` if it is another.
    pub(super) fn database(&mut self, creates: bool) -> Result<Option<Database>, SqlError> {
        if !self.accept("database") {
            return Ok(None);
        }
        let condition = self.accept("if");
        if condition {
            if creates {
                self.expect("not")?;
            }
            self.expect("exists")?;
        }
        let name = self.name()?;
        if creates {
            self.accept("with");
            while self.at < self.tokens.len() {
                self.database_option()?;
            }
            return Ok(Some(Database::Create { name, if_not_exists: condition }));
        }
        // Nobody is thrown out: sessions in it find nothing any more.
        self.accept("with");
        if self.accept_sign(&Token::LParen) {
            self.expect("force")?;
            if !self.accept_sign(&Token::RParen) {
                return Err(self.error());
            }
        }
        Ok(Some(Database::Drop { name, if_exists: condition }))
    }

    fn database_option(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let option = self.name()?;
        if option == "connection" {
            self.expect("limit")?;
        }
        self.accept_sign(&Token::Eq);
        let minus = self.accept_sign(&Token::Minus);
        let value = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Number(number, _)) => number.clone(),
            Some(Token::SingleQuotedString(text)) if !minus => text.clone(),
            Some(Token::Word(word)) if !minus => word.value.clone(),
            _ => return Err(self.error()),
        };
        self.at += 1;
        let value = value.to_ascii_lowercase();
        let fits = match option.as_str() {
            "encoding" => ["utf8", "utf-8", "unicode", "default", "6"].contains(&value.as_str()),
            "lc_collate" | "lc_ctype" | "locale" | "icu_locale" | "builtin_locale" => {
                ["c", "posix", "default", "c.utf-8", "c.utf8", "en_us.utf-8", "en_us.utf8"].contains(&value.as_str())
            }
            known => {
                if !WITHOUT_EFFECT.contains(&known) {
                    self.at = start;
                    return Err(self.error());
                }
                true
            }
        };
        if fits {
            return Ok(());
        }
        let message = format!("{} \"{value}\" is not supported", option.to_uppercase());
        Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
            .hint("Texts are UTF-8 and are ordered by their bytes (collation \"C\")."))
    }
}
