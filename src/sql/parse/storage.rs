//! `WITH (name)` in CREATE TABLE: a parameter without a value is true, as in PostgreSQL. `sqlparser` wants a value.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Gives parameters without a value the value `true`, if this is a CREATE TABLE.
pub(super) fn give_values(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let significant: Vec<usize> =
        (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    let is = |place: usize, keyword: Keyword| {
        let token = significant.get(place).map(|at| &tokens[*at].token);
        matches!(token, Some(Token::Word(word)) if word.keyword == keyword && word.quote_style.is_none())
    };
    if !is(0, Keyword::CREATE) || !(1..4).any(|place| is(place, Keyword::TABLE)) {
        return tokens;
    }
    let token = |place: usize| significant.get(place).map(|at| &tokens[*at].token);
    let mut without = Vec::new();
    let mut depth = 0_usize;
    for (place, at) in significant.iter().enumerate() {
        match token(place) {
            Some(Token::LParen) if depth > 0 => depth += 1,
            Some(Token::LParen) if place > 0 && is(place - 1, Keyword::WITH) => depth = 1,
            Some(Token::RParen) => depth = depth.saturating_sub(1),
            Some(Token::Word(_)) if depth == 1 => {
                let starts = matches!(token(place - 1), Some(Token::LParen | Token::Comma));
                if starts && matches!(token(place + 1), Some(Token::RParen | Token::Comma)) {
                    without.push(*at);
                }
            }
            _ => {}
        }
    }
    if without.is_empty() {
        return tokens;
    }
    let mut given = Vec::with_capacity(tokens.len() + 2 * without.len());
    for (at, token) in tokens.into_iter().enumerate() {
        let span = token.span;
        given.push(token);
        if without.contains(&at) {
            let value = Word { value: "true".to_owned(), quote_style: None, keyword: Keyword::TRUE };
            given.push(TokenWithSpan { token: Token::Eq, span });
            given.push(TokenWithSpan { token: Token::Word(value), span });
        }
    }
    given
}
