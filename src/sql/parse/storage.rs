//! What follows the columns in CREATE TABLE, as `sqlparser` wants it: it knows WITH before PARTITION BY only, where
//! PostgreSQL has them the other way round, and wants a value for every parameter, where one without is true. And ALTER INDEX
//! without the IF EXISTS that it does not know; `define` looks for that in the text. WITH REPLICATION = 2 without parentheses
//! is as operators write it elsewhere.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Is it ALTER INDEX IF EXISTS?
pub(in crate::sql) fn is_forgiving(text: &str) -> bool {
    let words = text.split_whitespace().map(str::to_ascii_lowercase);
    words.take(4).eq(["alter", "index", "if", "exists"])
}

/// Tokens of a statement, rearranged if it is a CREATE TABLE.
pub(super) fn rearranged(text: &str, mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if is_forgiving(text) {
        let mut words = 0;
        tokens.retain(|token| {
            words += usize::from(!matches!(token.token, Token::Whitespace(_)));
            !(3..=4).contains(&words)
        });
        return tokens;
    }
    let is_table = {
        let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        words.next().is_some_and(|first| is(first, Keyword::CREATE))
            && words.take(3).any(|token| is(token, Keyword::TABLE))
    };
    if !is_table || !tokens.iter().any(|token| is(token, Keyword::WITH)) {
        return tokens;
    }
    let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    with_first(with_values(with_parentheses(tokens)))
}

/// `WITH REPLICATION = 2, REPLICATION_MODE = 'async'` as `WITH (…)`.
fn with_parentheses(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let named = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.to_ascii_lowercase().starts_with("replicat"));
    let Some(begin) = tokens.windows(2).position(|pair| is(&pair[0], Keyword::WITH) && named(&pair[1])) else {
        return tokens;
    };
    // Each is a name, or a name with a value.
    let mut end = begin + 1;
    loop {
        end += 1;
        if tokens.get(end).is_some_and(|token| token.token == Token::Eq) {
            end = (end + 2).min(tokens.len());
        }
        if tokens.get(end).is_none_or(|token| token.token != Token::Comma) || tokens.get(end + 1).is_none() {
            break;
        }
        end += 1;
    }
    let sign = |token: Token, at: usize| TokenWithSpan { token, span: tokens[at].span };
    let (open, close) = (sign(Token::LParen, begin), sign(Token::RParen, end - 1));
    tokens.insert(end, close);
    tokens.insert(begin + 1, open);
    tokens
}

/// Options of `AS IDENTITY (…)` in the one order in which `sqlparser` takes them.
pub(super) fn ordered_identities(tokens: &mut Vec<TokenWithSpan>) {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    if !tokens.iter().any(|token| word(token) == "IDENTITY") {
        return;
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut at = 0;
    while at < tokens.len() {
        let opens = word(&tokens[at]) == "IDENTITY" && tokens.get(at + 1).is_some_and(|t| t.token == Token::LParen);
        let end = if opens { closed(tokens, at + 1) } else { None };
        if let Some(end) = end {
            let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
            let mut negated = false;
            for token in tokens.drain(at + 2..end - 1) {
                let name = word(&token);
                let order = ["INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE"];
                let rank = order.iter().position(|known| *known == name);
                match options.last_mut() {
                    // NO stands before the word that it belongs to.
                    Some(last) if negated && rank.is_some() => {
                        last.0 = rank.unwrap_or_default();
                        last.1.push(token);
                    }
                    Some(last) if rank.is_none() && name != "NO" => last.1.push(token),
                    _ => options.push((rank.unwrap_or(order.len()), vec![token])),
                }
                negated = name == "NO";
            }
            options.sort_by_key(|(rank, _)| *rank);
            let sorted: Vec<TokenWithSpan> = options.into_iter().flat_map(|(_, tokens)| tokens).collect();
            tokens.splice(at + 2..at + 2, sorted);
        }
        at += 1;
    }
}

/// Whose values an INSERT writes into identity columns, where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Overriding {
    /// Its own, into GENERATED ALWAYS too.
    System,
    /// Those of the sequence.
    User,
}

/// Takes OVERRIDING … VALUE, which `sqlparser` does not have, out of an INSERT.
pub(super) fn overriding(tokens: &mut Vec<TokenWithSpan>) -> Option<Overriding> {
    if !tokens.first().is_some_and(|first| is(first, Keyword::INSERT)) {
        return None;
    }
    let word = |token: &TokenWithSpan, name: &str| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name));
    let places: Vec<usize> =
        (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    let at = places.windows(3).find(|at| word(&tokens[at[0]], "overriding") && word(&tokens[at[2]], "value"))?;
    let told = match &tokens[at[1]] {
        token if word(token, "system") => Overriding::System,
        token if word(token, "user") => Overriding::User,
        _ => return None,
    };
    tokens.drain(at[0]..=at[2]);
    Some(told)
}

fn is(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword && word.quote_style.is_none())
}

/// Behind the parenthesis that is opened at `at`; `None` if none is.
fn closed(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (place > at).then_some(place + 1);
        }
    }
    None
}

/// `WITH (name)` as `WITH (name = true)`.
fn with_values(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut given: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 2);
    let mut end = 0;
    for (at, token) in tokens.iter().enumerate() {
        given.push(token.clone());
        if is(token, Keyword::WITH) {
            end = closed(&tokens, at + 1).unwrap_or(at);
        }
        let alone = at > 0
            && at + 1 < end
            && matches!(token.token, Token::Word(_))
            && matches!(tokens[at - 1].token, Token::LParen | Token::Comma)
            && matches!(tokens[at + 1].token, Token::RParen | Token::Comma);
        if alone {
            let value = Word { value: "true".to_owned(), quote_style: None, keyword: Keyword::TRUE };
            given.push(TokenWithSpan { token: Token::Eq, span: token.span });
            given.push(TokenWithSpan { token: Token::Word(value), span: token.span });
        }
    }
    given
}

/// `PARTITION BY … (…) WITH (…)` with WITH in front.
fn with_first(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let begin = tokens.windows(2).position(|pair| is(&pair[0], Keyword::PARTITION) && is(&pair[1], Keyword::BY));
    let Some(begin) = begin else { return tokens };
    let Some(middle) = closed(&tokens, begin + 3) else { return tokens };
    if tokens.get(middle).is_some_and(|token| is(token, Keyword::WITH))
        && let Some(end) = closed(&tokens, middle + 1)
    {
        tokens[begin..end].rotate_left(middle - begin);
    }
    tokens
}
