//! Exactly-once: what each session's requests came to (RIFL, SOSP 2015; rules A9).
//!
//! A session numbers its requests; the table keeps the outcome of every executed one that the session has not
//! acknowledged (`acked_below`). It is replicated state: filled by execution, the same on all replicas, in the digest and
//! in every snapshot (a replica restored without it would execute a retry a second time).
//!
//! # Invariants
//! - A request is in the table from its execution until its session acknowledges it; then its number is below
//!   `acked_below` and refused as stale. There is no third way out: nothing is evicted by count or time.
//! - Numbers may be executed in any order (a later one overtaking an earlier is no duplicate).
//! - That a request was refused is kept, whatever its size: [`Outcome::ResultNotKept`] means that it was executed. (Once an error with
//!   a very long text was kept as that, and a retry was told that what had failed was executed.)

use crate::catalog::Asked;
use crate::partition::global::{GlobalOutcome, Vote};
use crate::partition::message::Outcome;
use crate::partition::tokens::{self, Spent, Token};
use crate::planted;
use crate::storage::{Snapshot, Store};
use crate::types::{RequestId, Sequence, SessionId, SqlError, TreeId};
use std::ops::Bound;

/// Results larger than this are kept as [`Outcome::ResultNotKept`], and errors cut.
pub const MAX_KEPT_OUTCOME_BYTES: usize = 64 << 10;
/// What is left of the text of an error that is cut.
const MAX_CUT_BYTES: usize = 1 << 10;

/// `acked_below` (u64, little-endian) by session.
const SESSIONS: TreeId = TreeId(0);
/// Outcomes, encoded, by request.
const OUTCOMES: TreeId = TreeId(1);
/// [`Asked`] by request, of those that ask for anything.
const ASKED: TreeId = TreeId(4);

/// What the table knows of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Never executed here.
    New,
    /// Executed; this is what came of it.
    Executed(Outcome),
    /// Acknowledged by its session: a late copy.
    Stale,
}

/// The table. It stands in trees as rows do, so that a snapshot of it costs nothing and travels the same way.
#[derive(Clone)]
pub struct Dedup {
    store: Store,
}

impl Default for Dedup {
    fn default() -> Self {
        let mut store = Store::new();
        store.create_tree(SESSIONS);
        store.create_tree(OUTCOMES);
        store.create_tree(tokens::TOKENS);
        store.create_tree(tokens::AGES);
        store.create_tree(ASKED);
        store.commit();
        Self { store }
    }
}

impl Dedup {
    /// Was it executed?
    #[must_use]
    pub fn look_up(&self, id: RequestId) -> Seen {
        if let Some(kept) = self.store.get(OUTCOMES, &request_key(id)) {
            return Seen::Executed(decode(kept).expect("an outcome is decoded once before it comes into the table"));
        }
        let stale = id.sequence < self.acked_below(&session_key(id.session)) && !planted!(62);
        if stale { Seen::Stale } else { Seen::New }
    }

    fn acked_below(&self, session: &[u8]) -> Sequence {
        let kept = self.store.get(SESSIONS, session).and_then(|kept| kept.try_into().ok());
        Sequence(kept.map_or(0, u64::from_le_bytes))
    }

    /// Forgets what the session has acknowledged. Numbers only rise: an older statement of it changes nothing.
    pub fn acknowledge(&mut self, session: SessionId, acked_below: Sequence) {
        let key = session_key(session);
        if acked_below <= self.acked_below(&key) {
            return;
        }
        self.store.put(SESSIONS, &key, &acked_below.0.to_le_bytes());
        let end = request_key(RequestId { session, sequence: acked_below });
        let forgotten = self.store.scan(OUTCOMES, Bound::Included(&key), Bound::Excluded(&end));
        let forgotten: Vec<Vec<u8>> = forgotten.map(|(key, _)| key.to_vec()).collect();
        for key in forgotten {
            self.store.remove(OUTCOMES, &key);
            self.store.remove(ASKED, &key);
        }
        self.store.commit();
    }

    /// Keeps the outcome of an executed request.
    ///
    /// # Panics
    /// If it was executed before: the caller looks up first.
    pub fn record(&mut self, id: RequestId, outcome: &Outcome) {
        let mut bytes = encode(outcome);
        if bytes.len() > MAX_KEPT_OUTCOME_BYTES {
            bytes = encode(&without_bulk(outcome));
        }
        let twice = self.store.put(OUTCOMES, &request_key(id), &bytes);
        assert!(!twice, "request {id} was executed twice");
        // Planted 143: the table has room for so many, whoever may still ask.
        while planted!(143) && self.store.len(OUTCOMES) > 6 {
            let first =
                self.store.scan(OUTCOMES, Bound::Unbounded, Bound::Unbounded).map(|(key, _)| key.to_vec()).next();
            first.map(|key| self.store.remove(OUTCOMES, &key));
        }
        self.store.commit();
    }

    /// Keeps what the answer to an executed request waits for: that to a retry waits for the same, whoever leads then.
    pub(super) fn ask(&mut self, id: RequestId, asked: Asked) {
        if !asked.is_nothing() {
            let bytes = postcard::to_stdvec(&asked).expect("plain data, always encodable");
            self.store.put(ASKED, &request_key(id), &bytes);
            self.store.commit();
        }
    }

    /// What the answer to an executed request waits for.
    pub(super) fn asked(&self, id: RequestId) -> Asked {
        let kept = self.store.get(ASKED, &request_key(id)).and_then(|kept| postcard::from_bytes(kept).ok());
        kept.unwrap_or_default()
    }

    /// What was executed under this idempotency token.
    #[must_use]
    pub fn spent(&self, key: &str) -> Option<Spent> {
        tokens::look_up(&self.store, key)
    }

    /// Why no other token can be noted.
    pub(super) fn refuses_tokens(&self) -> Option<SqlError> {
        tokens::full(&self.store)
    }

    /// Notes that a token has been used.
    pub(super) fn spend(&mut self, token: &Token, affected: Option<Vec<u64>>) {
        tokens::spend(&mut self.store, token, affected);
    }

    /// The present age of tokens, if there are any.
    pub(super) fn age(&self) -> Option<u64> {
        (self.store.len(tokens::TOKENS) > 0).then(|| tokens::age(&self.store))
    }

    /// That age is over.
    pub(super) fn begin_age(&mut self, over: u64) -> usize {
        tokens::begin_age(&mut self.store, over)
    }

    /// Digest of all that is held, independent of the order in which it came.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.store.digest()
    }

    /// A frozen picture of the trees that the table stands in.
    #[must_use]
    pub(super) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// The table that stands in these trees.
    ///
    /// # Errors
    /// A sentence, if they hold anything that [`Dedup::record`] and [`Dedup::acknowledge`] do not write.
    pub(super) fn from_trees(store: Store) -> Result<Self, &'static str> {
        if !store.trees().eq([SESSIONS, OUTCOMES, tokens::TOKENS, tokens::AGES, ASKED]) {
            return Err("a deduplication table has five trees");
        }
        if let Some(what) = tokens::nonsense(&store) {
            return Err(what);
        }
        let all = |tree| store.scan(tree, Bound::Unbounded, Bound::Unbounded);
        if all(SESSIONS).any(|(key, value)| key.len() < 2 || value.len() != 8) {
            return Err("an acknowledgement that cannot be");
        }
        if all(OUTCOMES).any(|(_, kept)| decode(kept).is_none()) {
            return Err("an outcome that does not decode");
        }
        if all(ASKED).any(|(_, kept)| postcard::from_bytes::<Asked>(kept).is_err()) {
            return Err("what an answer waits for does not decode");
        }
        Ok(Self { store })
    }
}

/// What is kept of an outcome that is too large.
fn without_bulk(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Error { statement, error } => Outcome::Error { statement: *statement, error: cut(error) },
        Outcome::Global(part) if !part.committed => {
            let vote = match &part.vote {
                Vote::Error { statement, error } => Vote::Error { statement: *statement, error: Box::new(cut(error)) },
                Vote::Mismatch { error } => Vote::Mismatch { error: Box::new(cut(error)) },
                other => other.clone(),
            };
            let refused = GlobalOutcome { vote, committed: false, results: Vec::new(), defined: None };
            Outcome::Global(Box::new(refused))
        }
        _ => Outcome::ResultNotKept,
    }
}

/// An error without what may be long.
fn cut(error: &SqlError) -> SqlError {
    let end = (0..=MAX_CUT_BYTES.min(error.message.len())).rev().find(|end| error.message.is_char_boundary(*end));
    let mut cut = SqlError::new(error.state, &error.message[..end.unwrap_or(0)]);
    cut.position = error.position;
    cut
}

fn encode(outcome: &Outcome) -> Vec<u8> {
    postcard::to_stdvec(outcome).expect("an outcome is plain data, always encodable")
}

fn decode(kept: &[u8]) -> Option<Outcome> {
    postcard::from_bytes(kept).ok()
}

/// Numbers as a key: ordered as they are, and short for small ones, so that most keys stand in the tree's node.
fn push(key: &mut Vec<u8>, number: u64) {
    let skipped = number.leading_zeros() as usize / 8;
    key.push((8 - skipped) as u8);
    key.extend_from_slice(&number.to_be_bytes()[skipped..]);
}

fn session_key(session: SessionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(27);
    push(&mut key, session.gateway);
    push(&mut key, session.counter);
    key
}

fn request_key(id: RequestId) -> Vec<u8> {
    let mut key = session_key(id.session);
    push(&mut key, id.sequence.0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::message::StatementResult;
    use crate::types::{SqlState, Value};

    fn id(sequence: u64) -> RequestId {
        RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(sequence) }
    }

    #[test]
    fn a_request_is_known_until_acknowledged_and_stale_ever_after() {
        let mut dedup = Dedup::default();
        dedup.acknowledge(id(5).session, Sequence(5));
        let before = dedup.digest();
        assert_eq!(dedup.look_up(id(5)), Seen::New);
        dedup.record(id(5), &Outcome::Gateway(7));
        assert_eq!(dedup.look_up(id(5)), Seen::Executed(Outcome::Gateway(7)));
        assert_eq!(dedup.look_up(id(6)), Seen::New, "only what was executed is a duplicate");
        dedup.record(id(7), &Outcome::Gateway(8));
        assert_eq!(dedup.look_up(id(6)), Seen::New, "a later request overtaking an earlier one makes it no duplicate");
        dedup.acknowledge(id(5).session, Sequence(6));
        assert_eq!(dedup.look_up(id(5)), Seen::Stale);
        assert_eq!(dedup.look_up(id(6)), Seen::New);
        assert_ne!(dedup.digest(), before, "an acknowledgement is state");
        let mut other = Dedup::default();
        other.acknowledge(id(5).session, Sequence(6));
        other.record(id(7), &Outcome::Gateway(8));
        assert_eq!(dedup.digest(), other.digest(), "what is forgotten leaves the digest");
        dedup.acknowledge(id(5).session, Sequence(3));
        assert_eq!(dedup.look_up(id(4)), Seen::Stale, "acknowledgements do not go back");
    }

    #[test]
    fn a_result_too_large_is_remembered_as_executed() {
        let mut dedup = Dedup::default();
        let row = vec![Value::text("x".repeat(MAX_KEPT_OUTCOME_BYTES))];
        let results = vec![StatementResult { affected: 1, rows: vec![row], suspended: false }];
        dedup.record(id(1), &Outcome::Results(results.clone()));
        assert_eq!(dedup.look_up(id(1)), Seen::Executed(Outcome::ResultNotKept));
        let part = GlobalOutcome { vote: Vote::Yes, committed: true, results, defined: None };
        dedup.record(id(2), &Outcome::Global(Box::new(part)));
        assert_eq!(dedup.look_up(id(2)), Seen::Executed(Outcome::ResultNotKept));
    }

    #[test]
    fn an_error_too_large_is_remembered_as_an_error() {
        let mut dedup = Dedup::default();
        let long = "ü".repeat(MAX_KEPT_OUTCOME_BYTES);
        let error = |text: &str| SqlError::new(SqlState::UNIQUE_VIOLATION, text).at(7);
        let short = error(&long[..MAX_CUT_BYTES]);
        let whole = error(&format!("a{long}")).detail(&long);
        dedup.record(id(1), &Outcome::Error { statement: 3, error: whole.clone() });
        let cut = error(&format!("a{}", &long[..MAX_CUT_BYTES - 2]));
        assert_eq!(dedup.look_up(id(1)), Seen::Executed(Outcome::Error { statement: 3, error: cut }));
        for (number, vote, kept) in [
            (
                2,
                Vote::Error { statement: 1, error: Box::new(error(&long)) },
                Vote::Error { statement: 1, error: Box::new(short.clone()) },
            ),
            (3, Vote::Mismatch { error: Box::new(error(&long)) }, Vote::Mismatch { error: Box::new(short.clone()) }),
        ] {
            let part = |vote| {
                let part = GlobalOutcome { vote, committed: false, results: Vec::new(), defined: None };
                Outcome::Global(Box::new(part))
            };
            dedup.record(id(number), &part(vote));
            assert_eq!(dedup.look_up(id(number)), Seen::Executed(part(kept)), "refused, and known to be");
        }
    }

    #[test]
    fn keys_are_ordered_as_the_numbers_are() {
        let numbers = [0, 1, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for gateway in numbers {
            for sequence in numbers {
                let session = SessionId { gateway, counter: 1 };
                keys.push(request_key(RequestId { session, sequence: Sequence(sequence) }));
            }
        }
        assert!(keys.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn one_sessions_acknowledgement_leaves_the_others_alone() {
        let mut dedup = Dedup::default();
        let of = |counter| RequestId { session: SessionId { gateway: 1, counter }, sequence: Sequence(3) };
        for counter in [1, 2, 256] {
            dedup.record(of(counter), &Outcome::Gateway(counter));
        }
        dedup.acknowledge(of(2).session, Sequence(u64::MAX));
        assert_eq!(dedup.look_up(of(1)), Seen::Executed(Outcome::Gateway(1)));
        assert_eq!(dedup.look_up(of(2)), Seen::Stale);
        assert_eq!(dedup.look_up(of(256)), Seen::Executed(Outcome::Gateway(256)));
    }
}
