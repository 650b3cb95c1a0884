//! FOR UPDATE and its kin, as `sqlparser` knows them: of one relation at a time, and without KEY.
//!
//! FOR NO KEY UPDATE is read as FOR UPDATE and FOR KEY SHARE as FOR SHARE: foreign keys lock nothing here, so there is nobody for
//! whom the weaker ones would make way. `OF a, b` is read as a clause for each.

use sqlparser::tokenizer::{Token, TokenWithSpan};

fn is(token: Option<&TokenWithSpan>, name: &str) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

/// Where the word UPDATE or SHARE stands, if a clause begins at `at`.
fn strength(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let words = |names: &[&str]| names.iter().zip(at + 1..).all(|(name, place)| is(tokens.get(place), name));
    if !is(tokens.get(at), "for") {
        return None;
    }
    if words(&["update"]) || words(&["share"]) {
        Some(at + 1)
    } else if words(&["key", "share"]) {
        Some(at + 2)
    } else if words(&["no", "key", "update"]) {
        Some(at + 3)
    } else {
        None
    }
}

/// Names behind OF, each as its tokens, and where they end; what is no name is left for the grammar to refuse.
fn names(tokens: &[TokenWithSpan], at: usize) -> (Vec<&[TokenWithSpan]>, usize) {
    let (mut names, mut end) = (Vec::new(), at);
    if !is(tokens.get(at), "of") {
        return (names, end);
    }
    loop {
        let begin = end + 1;
        let mut behind = begin + 1;
        while tokens.get(behind).is_some_and(|token| token.token == Token::Period) {
            behind += 2;
        }
        let Some(name) = tokens.get(begin..behind) else { return (names, end) };
        names.push(name);
        end = behind;
        if tokens.get(end).is_none_or(|token| token.token != Token::Comma) {
            return (names, end);
        }
    }
}

/// Rewrites the clauses of a statement.
pub(super) fn rewritten(tokens: &mut Vec<TokenWithSpan>) {
    if !tokens.iter().any(|token| is(Some(token), "for")) {
        return;
    }
    let mut read = std::mem::take(tokens);
    read.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut at = 0;
    while at < read.len() {
        let Some(word) = strength(&read, at) else {
            tokens.push(read[at].clone());
            at += 1;
            continue;
        };
        let (names, behind) = names(&read, word + 1);
        let wait = match read.get(behind) {
            token if is(token, "nowait") => 1,
            token if is(token, "skip") => 2,
            _ => 0,
        };
        let end = (behind + wait).min(read.len());
        let wait = read.get(behind..end).unwrap_or_default();
        let whole: &[&[TokenWithSpan]] = if names.is_empty() { &[&[]] } else { &names };
        for name in whole {
            tokens.extend([read[at].clone(), read[word].clone()]);
            if !name.is_empty() {
                tokens.push(read[word + 1].clone());
            }
            tokens.extend(name.iter().chain(wait).cloned());
        }
        at = end;
    }
}
