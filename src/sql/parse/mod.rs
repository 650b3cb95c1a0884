//! Text to statements.
//!
//! The grammar is `sqlparser`'s PostgreSQL dialect. What only a session understands (SET, SHOW, BEGIN, …) is read by a
//! small parser of its own ([`utility`]). Depth is bounded twice: nesting by the parser's own limit, and chains such as
//! `1 + 1 + 1 + …`, which the parser loops over but whose tree is as deep as they are long, by counting tokens.

mod administer;
mod copy;
mod database;
mod kind;
mod locks;
mod maintain;
mod sequence;
mod storage;
mod text;
mod utility;

pub(in crate::sql) use administer::{ClusterDefault, cluster_default};
pub use copy::{Copy, CopyFormat};
pub(in crate::sql) use database::{Database, database};
pub use kind::{Constraints, Discard, Kind, Modes, SetScope, SetValue, Transaction};
pub use maintain::Maintain;
pub(in crate::sql) use sequence::{Identity, Options, Sequence, sequence};
pub(in crate::sql) use storage::{Overriding, is_forgiving};
pub(in crate::sql) use text::{byte_offset, character_position};
pub(in crate::sql) use utility::{activation, partition_table};

use crate::types::{SqlError, SqlState};
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use std::sync::Arc;

/// Most levels of nesting.
const MAX_NESTING: usize = 64;
/// Most tokens of one level between two commas: bounds the depth of a chain of operators.
const MAX_CHAIN: usize = 4_000;

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Exactly this statement, without the semicolon. Parsing it alone gives the same statement.
    pub text: Arc<str>,
    /// Characters of the whole text before this statement: to be added to the position of its errors.
    pub offset: u32,
    /// What it is for.
    pub kind: Kind,
    /// OVERRIDING … VALUE of an INSERT, which the tree does not have.
    pub(in crate::sql) overriding: Option<Overriding>,
    /// The tree, where `sql` itself has use for it.
    pub(in crate::sql) statement: Option<Arc<ast::Statement>>,
}

impl Parsed {
    /// Is it a definition that only sessions make, to end the building of an index?
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.kind == Kind::Define && self.statement.is_none() && activation(&self.text).is_ok()
    }
}

/// Splits a text into its statements. Never empty: a text without statements is one of [`Kind::Empty`].
///
/// # Errors
/// 42601 with the position in the whole text; 54001 past the limits; 0A000 for what Orrery does not have.
pub fn parse(text: &str) -> Result<Vec<Parsed>, SqlError> {
    let mut tokens = tokenize(text)?.into_iter();
    let mut statements = Vec::new();
    while tokens.len() > 0 {
        let mut own: Vec<TokenWithSpan> = tokens.by_ref().take_while(|token| token.token != Token::SemiColon).collect();
        let Some((first, last)) = significant(&own) else { continue };
        own.truncate(last + 1);
        own.drain(..first);
        let (from, to) =
            (text::byte_offset(text, own[0].span.start), text::byte_offset(text, own[last - first].span.end));
        let offset = text[..from].chars().count();
        let offset = u32::try_from(offset).map_err(|_| too_complex())?;
        check_chains(&own)?;
        statements.push(parse_one(text, &text[from..to], offset, own)?);
    }
    if statements.is_empty() {
        statements.push(Parsed {
            text: Arc::from(""),
            offset: 0,
            kind: Kind::Empty,
            overriding: None,
            statement: None,
        });
    }
    Ok(statements)
}

fn parse_one(whole: &str, own: &str, offset: u32, mut tokens: Vec<TokenWithSpan>) -> Result<Parsed, SqlError> {
    let parsed = |kind, statement| Parsed { text: Arc::from(own), offset, kind, overriding: None, statement };
    if let Some(kind) = utility::parse(whole, &tokens)? {
        return Ok(parsed(kind, None));
    }
    // What was split need not be read again: only its places are counted anew.
    text::count_from_first(&mut tokens);
    let overriding = storage::overriding(&mut tokens);
    storage::ordered_identities(&mut tokens);
    locks::rewritten(&mut tokens);
    let statement = parse_tree(own, storage::rearranged(own, tokens)).map_err(|mut error| {
        error.position = error.position.map(|position| position + offset);
        error
    })?;
    let kind = kind::classify(&statement)?;
    Ok(Parsed { overriding, ..parsed(kind, Some(Arc::new(statement))) })
}

fn parse_tree(text: &str, tokens: Vec<TokenWithSpan>) -> Result<ast::Statement, SqlError> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| syntax_error(text, &error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(text::error_near(text, rest.span.start));
    }
    Ok(statement)
}

/// Parses an expression that the catalog keeps as text.
pub(in crate::sql) fn parse_expression(text: &str) -> Result<ast::Expr, SqlError> {
    let dialect = PostgreSqlDialect {};
    let tokens = tokenize(text)?;
    check_chains(&tokens)?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
    parser.parse_expr().map_err(|error| syntax_error(text, &error))
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    if text.contains('\0') {
        return Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        let position = character_position(text, error.location);
        let near: String = text.chars().skip(position as usize - 1).collect();
        let what = match near.chars().next() {
            Some('"') => "unterminated quoted identifier",
            _ if error.message.contains("nterminated") => "unterminated quoted string",
            _ => "syntax error",
        };
        SqlError::new(SqlState::SYNTAX_ERROR, format!("{what} at or near \"{near}\"")).at(position)
    })
}

/// First and last token that is not white space or a comment.
fn significant(tokens: &[TokenWithSpan]) -> Option<(usize, usize)> {
    let counts = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    Some((tokens.iter().position(counts)?, tokens.iter().rposition(counts)?))
}

fn check_chains(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut levels = vec![0_usize];
    for token in tokens {
        match token.token {
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab) => {}
            Token::LParen | Token::LBracket => levels.push(0),
            Token::RParen | Token::RBracket if levels.len() > 1 => {
                levels.pop();
            }
            Token::Comma => *levels.last_mut().expect("the outermost level stays") = 0,
            _ => {
                let level = levels.last_mut().expect("the outermost level stays");
                *level += 1;
                if *level > MAX_CHAIN {
                    return Err(too_complex());
                }
            }
        }
    }
    Ok(())
}

/// 54001, worded as PostgreSQL does.
pub(in crate::sql) fn too_complex() -> SqlError {
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        .hint("The statement is nested too deeply, or an expression in it is too long.")
}

fn syntax_error(text: &str, error: &ParserError) -> SqlError {
    match error {
        ParserError::RecursionLimitExceeded => too_complex(),
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => text::location_in(message)
            .map_or_else(
                // Without a place it is the end that was not expected.
                || match message.ends_with("found: EOF") {
                    true => text::error_near(text, Location { line: 0, column: 0 }),
                    false => SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error: {message}")),
                },
                |location| text::error_near(text, location),
            ),
    }
}
