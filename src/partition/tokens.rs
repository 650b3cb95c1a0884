//! Idempotency tokens: names that clients give to what they want done, so that they can ask for it again over another connection.
//!
//! A session's number protects its own retries ([`crate::partition::dedup`]); a client that has lost its session has none. A *token* is the
//! client's own: what has been executed under it is not executed again, whoever asks, until the token is so old that it is forgotten.
//!
//! Each token has a *home*: a data partition that follows from its text alone, and so is the same however often rows are re-placed and whatever a
//! repeated transaction touches this time. Home takes part in the command, even if it has none of its rows; there, at the command's place
//! in the log, the token is looked for, and there it is noted if the command is committed. So it is noted exactly when the command takes effect.
//!
//! # Invariants
//! - A token is noted by the entry that decides its command, in the state that is replicated, digested and put into checkpoints.
//! - It is forgotten by age alone: an entry in the log begins the next age ([`Command::Age`](super::command::Command::Age)), and what is
//!   [`KEPT_AGES`] whole ages old goes. Leaders log it when their own monotonic clock says that an age is over since they have come to lead or have
//!   logged the last one, so a change of leaders makes ages longer, never shorter.
//! - Nothing makes room for another token: beyond [`MAX_TOKENS`] new ones are refused (53400).
//!
//! # Caveats
//! - Rows are not kept, only how many each statement has touched.

use crate::planted;
use crate::storage::Store;
use crate::types::{PartitionId, SqlError, SqlState, TreeId};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Whole ages that a token outlives.
pub const KEPT_AGES: u32 = 8;
/// Most tokens of one home.
const MAX_TOKENS: usize = 512 << 10;

/// Tags of a text of more statements are not kept.
const MAX_TAGS: usize = 64;

/// [`Entry`] by token.
pub(super) const TOKENS: TreeId = TreeId(2);
/// Age (u64, big-endian) and token; and, under the empty key, the present age.
pub(super) const AGES: TreeId = TreeId(3);

/// What a command is to be executed under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The client's name for it.
    pub key: Arc<str>,
    /// Where it is noted.
    pub home: PartitionId,
    /// Digest of what is asked: the same token for anything else is a mistake.
    pub asked: u128,
    /// Nothing but tags is shown of it, so that they can be told again.
    pub tags: bool,
}

impl Token {
    /// Where a token is noted.
    #[must_use]
    pub fn home_of(key: &str, partitions: u32) -> PartitionId {
        let partitions = u64::from(partitions.max(1));
        PartitionId(1 + u32::try_from(xxh3_64(key.as_bytes()) % partitions).unwrap_or(0))
    }
}

/// What has been executed under a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// [`Token::asked`] of it.
    pub asked: u128,
    /// Rows that each statement has touched; `None`: it has shown more than that, and that is not kept.
    pub affected: Option<Vec<u64>>,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Entry {
    spent: Spent,
    age: u64,
}

/// What was executed under this token.
pub(super) fn look_up(store: &Store, key: &str) -> Option<Spent> {
    store.get(TOKENS, key.as_bytes()).and_then(decoded).map(|entry| entry.spent)
}

/// Why no other token can be noted.
pub(super) fn full(store: &Store) -> Option<SqlError> {
    (store.len(TOKENS) >= MAX_TOKENS).then(|| {
        SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, "too many idempotency tokens are remembered")
            .hint("Nothing was changed. Tokens are forgotten by age: try again later, or without one.")
    })
}

/// Notes that a token has been used.
pub(super) fn spend(store: &mut Store, token: &Token, affected: Option<Vec<u64>>) {
    let age = age(store);
    let affected = affected.filter(|affected| affected.len() <= MAX_TAGS);
    let entry = Entry { spent: Spent { asked: token.asked, affected }, age };
    let bytes = postcard::to_stdvec(&entry).expect("plain data, always encodable");
    store.put(TOKENS, token.key.as_bytes(), &bytes);
    store.put(AGES, &age_key(age, token.key.as_bytes()), &[]);
    // Planted 252: the table has room for so many, whoever may still ask.
    while planted!(252) && store.len(TOKENS) > 3 {
        let first = store.scan(TOKENS, Bound::Unbounded, Bound::Unbounded).map(|(key, _)| key.to_vec()).next();
        first.map(|key| store.remove(TOKENS, &key));
    }
    store.commit();
}

/// The present age.
pub(super) fn age(store: &Store) -> u64 {
    store.get(AGES, &[]).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The age `over` is over, if it is the present one. Returns how many tokens were forgotten for it.
pub(super) fn begin_age(store: &mut Store, over: u64) -> usize {
    if age(store) != over {
        return 0;
    }
    let now = over.saturating_add(1);
    store.put(AGES, &[], &now.to_le_bytes());
    // One more than is promised: when an age is logged, what is executed behind it may have waited for long.
    let below = age_key(now.saturating_sub(u64::from(KEPT_AGES) + 1), &[]);
    let old: Vec<Vec<u8>> =
        store.scan(AGES, Bound::Excluded(&[]), Bound::Excluded(&below)).map(|(key, _)| key.to_vec()).collect();
    for key in &old {
        store.remove(TOKENS, &key[8..]);
        store.remove(AGES, key);
    }
    store.commit();
    old.len()
}

/// Is anything in the trees that is not written here?
pub(super) fn nonsense(store: &Store) -> Option<&'static str> {
    let all = |tree| store.scan(tree, Bound::Unbounded, Bound::Unbounded);
    if all(TOKENS).any(|(_, bytes)| decoded(bytes).is_none()) {
        return Some("a token that does not decode");
    }
    let strange = |(key, value): (&[u8], &[u8])| if key.is_empty() { value.len() != 8 } else { key.len() < 8 };
    all(AGES).any(strange).then_some("an age that cannot be")
}

fn decoded(bytes: &[u8]) -> Option<Entry> {
    postcard::from_bytes(bytes).ok()
}

fn age_key(age: u64, token: &[u8]) -> Vec<u8> {
    let mut key = age.to_be_bytes().to_vec();
    key.extend_from_slice(token);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let mut store = Store::new();
        store.create_tree(TOKENS);
        store.create_tree(AGES);
        store.commit();
        store
    }

    fn token(key: &str) -> Token {
        Token { key: key.into(), home: PartitionId(1), asked: 7, tags: true }
    }

    #[test]
    fn tokens_are_forgotten_by_age_and_by_nothing_else() {
        let mut store = store();
        spend(&mut store, &token("a"), Some(vec![3]));
        for over in 0..=u64::from(KEPT_AGES) {
            assert_eq!(begin_age(&mut store, over), 0);
            assert_eq!(begin_age(&mut store, over), 0, "an age is over once");
            spend(&mut store, &token(&format!("b{over}")), None);
        }
        assert_eq!(look_up(&store, "a"), Some(Spent { asked: 7, affected: Some(vec![3]) }));
        assert_eq!(begin_age(&mut store, u64::from(KEPT_AGES) + 1), 1);
        assert_eq!(look_up(&store, "a"), None);
        assert_eq!(look_up(&store, "b0"), Some(Spent { asked: 7, affected: None }), "it is younger");
        assert_eq!(nonsense(&store), None);
    }

    #[test]
    fn homes_follow_from_the_text_alone() {
        let homes: std::collections::BTreeSet<_> = (0..100).map(|n| Token::home_of(&n.to_string(), 4)).collect();
        assert_eq!(homes, (1..=4).map(PartitionId).collect());
        assert_eq!(Token::home_of("x", 1), PartitionId(1));
    }
}
