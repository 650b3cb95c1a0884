//! What was read of a store, and what was written to another one since: whether it would be read the same again.
//!
//! A store that *watches* notes every read: keys, present or absent, ranges (as they were asked for, however far anybody went), counters.
//! A store that *records* keeps the keys that were written, command by command, as far back as its room goes. Both are kept
//! where all reads and writes pass, so that no operator above has to say what it has read, and none can forget to.
//!
//! # Invariants
//! - Whatever an execution has learned of a store is in its [`Reads`]: an execution from a store in which none of it has been
//!   written since does and shows the same.
//! - What is written counts when it stays ([`super::Store::commit`]), under the number of the change; what is rolled back never was.
//! - Who asks about changes that are not remembered any more is told that everything may have changed.
//!
//! # Caveats
//! - A write of what stood there before counts as a change, and the part of a range that nobody looked at as read. Both cost an
//!   execution, and never a wrong answer.

use super::bytestring::ByteString;
use crate::planted;
use crate::types::TreeId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// Most keys and ranges of a tree that are told apart: beyond it all of it counts as read.
const MAX_TOLD_APART: usize = 1024;
/// Most changes that are remembered.
const MAX_CHANGES: usize = 16_384;

/// A range, with its own ends.
type Range = (Bound<Box<[u8]>>, Bound<Box<[u8]>>);

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads(BTreeMap<TreeId, Read>);

/// What was read of a tree.
#[derive(Clone, Debug, Default)]
struct Read {
    keys: BTreeSet<Box<[u8]>>,
    ranges: Vec<Range>,
    counter: bool,
    all: bool,
}

impl Reads {
    /// A key was looked up.
    pub(super) fn key(&mut self, tree: TreeId, key: &[u8], present: bool) {
        // Planted 211: what is not there has not been read.
        if !present && planted!(211) {
            return;
        }
        let read = self.0.entry(tree).or_default();
        if !read.all && !read.keys.contains(key) {
            read.keys.insert(key.into());
            read.bound();
        }
    }

    /// A range was looked at.
    pub(super) fn range(&mut self, tree: TreeId, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        let read = self.0.entry(tree).or_default();
        // Planted 210: only single keys are read.
        if planted!(210) {
            return;
        }
        if (from, to) == (Bound::Unbounded, Bound::Unbounded) {
            return read.become_all();
        }
        if !read.all {
            read.ranges.push((from.map(Box::from), to.map(Box::from)));
            read.bound();
        }
    }

    /// A tree's counter was looked at.
    pub(super) fn counter(&mut self, tree: TreeId) {
        self.0.entry(tree).or_default().counter = true;
    }

    /// All of a tree was looked at.
    pub(super) fn all(&mut self, tree: TreeId) {
        self.0.entry(tree).or_default().become_all();
    }

    /// What somebody else has read counts, too.
    pub(super) fn add(&mut self, other: &Self) {
        for (tree, theirs) in &other.0 {
            let read = self.0.entry(*tree).or_default();
            read.counter |= theirs.counter;
            if theirs.all {
                read.become_all();
            }
            if !read.all {
                read.keys.extend(theirs.keys.iter().cloned());
                read.ranges.extend(theirs.ranges.iter().cloned());
                read.bound();
            }
        }
    }

    fn holds(&self, change: &Change) -> bool {
        let Some(read) = self.0.get(&change.tree) else { return false };
        match &change.what {
            What::Row(key) => read.has(key.as_slice()),
            What::Counter => read.counter,
            What::All => true,
        }
    }
}

impl Read {
    fn bound(&mut self) {
        if self.keys.len() + self.ranges.len() > MAX_TOLD_APART {
            self.become_all();
        }
    }

    fn become_all(&mut self) {
        self.keys.clear();
        self.ranges.clear();
        self.all = true;
    }

    fn has(&self, key: &[u8]) -> bool {
        let within = |(from, to): &Range| {
            let after = match from {
                Bound::Included(from) => key >= &**from,
                Bound::Excluded(from) => key > &**from,
                Bound::Unbounded => true,
            };
            after
                && match to {
                    Bound::Included(to) => key <= &**to,
                    Bound::Excluded(to) => key < &**to,
                    Bound::Unbounded => true,
                }
        };
        self.all || self.keys.contains(key) || self.ranges.iter().any(within)
    }
}

/// What was written.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) tree: TreeId,
    pub(super) what: What,
}

/// Of a tree.
#[derive(Clone)]
pub(super) enum What {
    Row(ByteString),
    Counter,
    /// The tree was created, dropped or emptied.
    All,
}

/// What was written of late.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// Number of the first that is remembered.
    first: u64,
    remembered: VecDeque<Change>,
}

impl Changes {
    /// Remembers nothing, from this number on.
    pub(super) fn begin(first: u64) -> Self {
        Self { first, remembered: VecDeque::new() }
    }

    /// The next number.
    pub(super) fn next(&self) -> u64 {
        self.first + self.remembered.len() as u64
    }

    /// Remembers one more; the oldest may go.
    pub(super) fn push(&mut self, change: Change) {
        if self.remembered.len() >= MAX_CHANGES {
            self.remembered.pop_front();
            self.first += 1;
        }
        self.remembered.push_back(change);
    }

    /// Would all that was read of the state after `since` changes be read the same of the present one?
    pub(super) fn spare(&self, since: u64, reads: &Reads) -> bool {
        let Some(skip) = since.checked_sub(self.first) else { return false };
        // At most as many as are remembered, so the cast keeps the number.
        let mut changes = self.remembered.iter().skip(skip as usize);
        since <= self.next() && !changes.any(|change| reads.holds(change))
    }
}
