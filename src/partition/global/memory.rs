//! What global commands came to, and the bodies of those under way: replicated state in trees, as the deduplication table is.

use super::{Global, Values, Vote};
use crate::storage::{Snapshot, Store};
use crate::types::{GlobalNumber, TreeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;

/// [`Remembered`] by number.
const OUTCOMES: TreeId = TreeId(0);
/// Bodies by number; the cluster partition's only.
const BODIES: TreeId = TreeId(1);

/// What a participant remembers of a decided command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::partition) struct Remembered {
    /// Its own vote.
    pub(in crate::partition) vote: Vote,
    /// What it came to.
    pub(in crate::partition) committed: bool,
    /// What it sent to the others while executing, each with its round.
    pub(in crate::partition) sent: Vec<(u32, Bytes)>,
    /// What the others sent in completed rounds: what a follower needs to come to the same vote.
    pub(in crate::partition) values: Values,
    /// DDL: command tag and notices.
    pub(in crate::partition) defined: Option<(String, Vec<crate::types::SqlError>)>,
}

/// The memory.
#[derive(Clone)]
pub(in crate::partition) struct Memory {
    store: Store,
}

impl Default for Memory {
    fn default() -> Self {
        let mut store = Store::new();
        store.create_tree(OUTCOMES);
        store.create_tree(BODIES);
        store.commit();
        Self { store }
    }
}

impl Memory {
    /// What a command came to.
    pub(in crate::partition) fn outcome(&self, number: GlobalNumber) -> Option<Remembered> {
        let kept = self.store.get(OUTCOMES, &key(number))?;
        Some(postcard::from_bytes(kept).expect("what is remembered is decoded once before it comes into memory"))
    }

    /// Everything that is remembered, in order.
    #[cfg(test)]
    pub(in crate::partition) fn outcomes(&self) -> impl Iterator<Item = (GlobalNumber, Remembered)> + '_ {
        self.store.scan(OUTCOMES, Bound::Unbounded, Bound::Unbounded).map(|(key, value)| {
            let number = GlobalNumber(u64::from_be_bytes(key.try_into().expect("eight bytes")));
            (number, postcard::from_bytes(value).expect("decodes"))
        })
    }

    /// Remembers what a command came to.
    pub(in crate::partition) fn remember(&mut self, number: GlobalNumber, what: &Remembered) {
        let bytes = postcard::to_stdvec(what).expect("what is remembered is plain data, always encodable");
        let twice = self.store.put(OUTCOMES, &key(number), &bytes);
        assert!(!twice, "global command {number} was decided twice");
        self.store.commit();
    }

    /// Forgets what lies below.
    pub(in crate::partition) fn forget_below(&mut self, below: GlobalNumber) {
        let end = key(below);
        let range = self.store.scan(OUTCOMES, Bound::Unbounded, Bound::Excluded(&end));
        let old: Vec<Vec<u8>> = range.map(|(key, _)| key.to_vec()).collect();
        for key in old {
            self.store.remove(OUTCOMES, &key);
        }
        self.store.commit();
    }

    /// Is anything remembered below?
    pub(in crate::partition) fn remembers_below(&self, below: GlobalNumber) -> bool {
        let end = key(below);
        self.store.scan(OUTCOMES, Bound::Unbounded, Bound::Excluded(&end)).next().is_some()
    }

    /// Keeps a body.
    pub(in crate::partition) fn keep_body(&mut self, global: &Global) {
        let bytes = postcard::to_stdvec(global).expect("a command is plain data, always encodable");
        self.store.put(BODIES, &key(global.number), &bytes);
        self.store.commit();
    }

    /// A body, unless all participants have received it.
    pub(in crate::partition) fn body(&self, number: GlobalNumber) -> Option<Arc<Global>> {
        self.store.get(BODIES, &key(number)).map(decoded)
    }

    /// Bodies after this number, in order.
    pub(in crate::partition) fn bodies_after(&self, after: GlobalNumber) -> impl Iterator<Item = Arc<Global>> + '_ {
        let from = key(after.next());
        let all = self.store.scan(BODIES, Bound::Included(&from[..]), Bound::Unbounded);
        all.map(|(_, bytes)| decoded(bytes))
    }

    /// Drops the bodies for which this holds.
    pub(in crate::partition) fn drop_bodies(&mut self, received: impl Fn(&Global) -> bool) {
        let all = self.store.scan(BODIES, Bound::Unbounded, Bound::Unbounded);
        let old: Vec<_> = all.filter(|(_, bytes)| received(&decoded(bytes))).map(|(key, _)| key.to_vec()).collect();
        for key in old {
            self.store.remove(BODIES, &key);
        }
        self.store.commit();
    }

    /// Digest of all that is held.
    pub(in crate::partition) fn digest(&self) -> u128 {
        self.store.digest()
    }

    /// A frozen picture of the trees.
    pub(in crate::partition) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// The memory that stands in these trees.
    ///
    /// # Errors
    /// A sentence, if they hold anything else.
    pub(in crate::partition) fn from_trees(store: Store) -> Result<Self, &'static str> {
        if !store.trees().eq([OUTCOMES, BODIES]) {
            return Err("the memory of global commands has two trees");
        }
        let all = |tree| store.scan(tree, Bound::Unbounded, Bound::Unbounded);
        if all(OUTCOMES).any(|(_, bytes)| postcard::from_bytes::<Remembered>(bytes).is_err()) {
            return Err("the outcome of a global command that does not decode");
        }
        if all(BODIES).any(|(_, bytes)| postcard::from_bytes::<Global>(bytes).is_err()) {
            return Err("a global command that does not decode");
        }
        Ok(Self { store })
    }
}

fn key(number: GlobalNumber) -> [u8; 8] {
    number.0.to_be_bytes()
}

fn decoded(bytes: &[u8]) -> Arc<Global> {
    Arc::new(postcard::from_bytes(bytes).expect("a body is decoded once before it comes into memory"))
}
