//! All trees of a partition, and the undo journal.

use super::aside::{Aside, Followed, Written};
use super::bytestring::ByteString;
use super::scan::Scan;
use super::tree::Tree;
use super::watch::{Change, Changes, Reads, What};
use crate::planted;
use crate::types::TreeId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, Deref};

/// All trees of one partition: keys and values are bytes, ordered by key.
///
/// A tree that does not exist reads as an empty one; writing to it is a bug of the caller.
#[derive(Clone, Default)]
pub struct Store {
    trees: BTreeMap<TreeId, Tree>,
    journal: Vec<Undo>,
    /// What was read, if that is noted. (Reading is no change: hence the cell.)
    reads: Option<Box<RefCell<Reads>>>,
    /// What was written of late, if that is kept.
    changes: Option<Box<Changes>>,
    /// Changes that were committed while they were kept.
    changed: u64,
    /// Trees of which somebody wants to know what is written.
    followed: Option<Box<Followed>>,
}

/// One change, as what takes it back.
#[derive(Clone)]
pub(super) enum Undo {
    Row { tree: TreeId, key: ByteString, old: Option<ByteString> },
    Id { tree: TreeId, old: u64 },
    Created(TreeId),
    Dropped(TreeId, Box<Tree>),
    Replaced(TreeId, Box<Tree>),
}

/// A place in the undo journal: what [`Store::rollback`] goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// A frozen picture of a [`Store`], taken in O(number of trees); reads like one. Can be sent to another thread.
#[derive(Clone)]
pub struct Snapshot(Store);

impl Deref for Snapshot {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Snapshot {
    /// A store of its own that begins as this picture (a transaction's fork).
    #[must_use]
    pub fn into_store(self) -> Store {
        self.0
    }
}

impl Store {
    /// A store without trees.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes from now on what is read here, for a store that began as a picture of another one.
    pub fn watch(&mut self) {
        self.reads = Some(Box::default());
    }

    /// Keeps from now on what is written here; or no longer.
    pub fn record(&mut self, records: bool) {
        if !records {
            self.changed = self.changes.take().map_or(self.changed, |changes| changes.next());
        } else if self.changes.is_none() {
            // Not from where it ended: between the two something may have been written.
            self.changed += 1;
            self.changes = Some(Box::new(Changes::begin(self.changed)));
        }
    }

    /// Keeps from now on which rows of these trees are written, and of no others.
    pub fn follow(&mut self, trees: impl IntoIterator<Item = TreeId>) {
        let trees: std::collections::BTreeSet<TreeId> = trees.into_iter().collect();
        if trees.is_empty() {
            self.followed = None;
            return;
        }
        let followed = self.followed.get_or_insert_default();
        followed.written.rows.retain(|(tree, _), _| trees.contains(tree));
        followed.written.lost.retain(|tree| trees.contains(tree));
        followed.trees = trees;
    }

    /// How many rows of followed trees have been written since [`Store::take_written`].
    #[must_use]
    pub fn written(&self) -> usize {
        self.followed.as_ref().map_or(0, |followed| followed.written.rows.len() + followed.written.lost.len())
    }

    /// What was written to followed trees since the last call.
    pub fn take_written(&mut self) -> Written {
        self.followed.as_mut().map(|followed| std::mem::take(&mut followed.written)).unwrap_or_default()
    }

    /// How many changes have been recorded: names the present state, while it [`Store::record`]s.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.changes.as_ref().map_or(0, |changes| changes.next())
    }

    /// Would an execution that has read what `fork` has read, which began as the state after `since` changes, read the same of the
    /// present state? `false` if that is not known.
    #[must_use]
    pub fn is_unchanged_for(&self, fork: &Self, since: u64) -> bool {
        match (&self.changes, &fork.reads) {
            // What stands in the journal has been written and is not recorded yet.
            (Some(changes), Some(reads)) => self.journal.is_empty() && changes.spare(since, &reads.borrow()),
            _ => false,
        }
    }

    fn read(&self, note: impl FnOnce(&mut Reads)) {
        if let Some(reads) = &self.reads {
            note(&mut reads.borrow_mut());
        }
    }

    fn tree_mut(&mut self, tree: TreeId) -> &mut Tree {
        self.trees.get_mut(&tree).expect("only existing trees are written: plan and store are of the same catalog")
    }

    /// Creates an empty tree. It must not exist.
    pub fn create_tree(&mut self, tree: TreeId) {
        self.read(|reads| reads.all(tree));
        assert!(self.trees.insert(tree, Tree::new(tree)).is_none(), "a tree is created once");
        self.journal.push(Undo::Created(tree));
    }

    /// Drops a tree with all its rows. Nothing if it does not exist.
    pub fn drop_tree(&mut self, tree: TreeId) {
        self.read(|reads| reads.all(tree));
        if let Some(old) = self.trees.remove(&tree) {
            self.journal.push(Undo::Dropped(tree, Box::new(old)));
        }
    }

    /// Takes all rows out of a tree, at once however many they are. Its counter goes on. Nothing if it does not exist.
    pub fn clear(&mut self, tree: TreeId) {
        self.read(|reads| reads.all(tree));
        if let Some(target) = self.trees.get_mut(&tree) {
            let mut empty = Tree::new(tree);
            empty.last_id = target.last_id;
            let old = std::mem::replace(target, empty);
            self.journal.push(Undo::Replaced(tree, Box::new(old)));
        }
    }

    /// An existing tree gets the content that was made beside, at once however much it is. Its counter goes on.
    pub fn take_in(&mut self, tree: TreeId, content: &Aside) {
        self.read(|reads| reads.all(tree));
        let target = self.tree_mut(tree);
        let mut new = content.as_tree(tree);
        new.last_id = target.last_id;
        let old = std::mem::replace(target, new);
        self.journal.push(Undo::Replaced(tree, Box::new(old)));
    }

    /// Does this tree exist?
    #[must_use]
    pub fn has_tree(&self, tree: TreeId) -> bool {
        self.read(|reads| reads.all(tree));
        self.trees.contains_key(&tree)
    }

    /// All trees, in order.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        self.trees.keys().copied()
    }

    /// Number of rows of a tree.
    #[must_use]
    pub fn len(&self, tree: TreeId) -> usize {
        self.read(|reads| reads.all(tree));
        self.trees.get(&tree).map_or(0, Tree::len)
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, tree: TreeId, key: &[u8]) -> Option<&[u8]> {
        let value = self.trees.get(&tree).and_then(|tree| tree.get(key));
        self.read(|reads| reads.key(tree, key, value.is_some()));
        value
    }

    /// Puts a value under a key; `true` if another was there and is replaced.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> bool {
        let key = ByteString::new(key);
        let old = self.tree_mut(tree).put(key.clone(), ByteString::new(value));
        let replaced = old.is_some();
        self.read(|reads| reads.key(tree, key.as_slice(), replaced));
        self.journal.push(Undo::Row { tree, key, old });
        replaced
    }

    /// Removes a key; `true` if it was there.
    pub fn remove(&mut self, tree: TreeId, key: &[u8]) -> bool {
        let old = self.tree_mut(tree).remove(key);
        let was = old.is_some();
        self.read(|reads| reads.key(tree, key, was));
        if was {
            self.journal.push(Undo::Row { tree, key: ByteString::new(key), old });
        }
        was
    }

    /// Rows of a range in key order, also from the back. A range that ends before it begins is empty.
    #[must_use]
    pub fn scan(&self, tree: TreeId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        self.read(|reads| reads.range(tree, from, to));
        self.trees.get(&tree).map_or_else(Scan::empty, |tree| tree.scan(from, to))
    }

    /// The next number of a tree's own counter: 1, 2, … (hidden row ids). Part of the state; undone by a rollback.
    pub fn next_id(&mut self, tree: TreeId) -> u64 {
        self.read(|reads| reads.counter(tree));
        let target = self.tree_mut(tree);
        let old = target.last_id;
        target.last_id += 1;
        self.journal.push(Undo::Id { tree, old });
        old + 1
    }

    /// A tree's own counter goes on behind `last_id`, that of another tree whose rows it takes. Undone by a rollback.
    pub fn count_on(&mut self, tree: TreeId, last_id: u64) {
        self.read(|reads| reads.counter(tree));
        let old = std::mem::replace(&mut self.tree_mut(tree).last_id, last_id);
        self.journal.push(Undo::Id { tree, old });
    }

    /// The last number of a tree's own counter; 0: none was given, or no such tree.
    #[must_use]
    pub fn last_id(&self, tree: TreeId) -> u64 {
        self.read(|reads| reads.counter(tree));
        self.trees.get(&tree).map_or(0, |tree| tree.last_id)
    }

    /// Creates an empty tree whose counter has come to `last_id`, for a store that is being restored. It must not exist.
    pub fn restore_tree(&mut self, tree: TreeId, last_id: u64) {
        self.create_tree(tree);
        self.tree_mut(tree).last_id = last_id;
    }

    /// The present place in the journal.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Changes that have not been committed.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.journal.len()
    }

    /// Trees of changes that have not been committed, in the order of the changes; a tree may come more than once.
    pub fn touched(&self) -> impl Iterator<Item = TreeId> + '_ {
        let mut last = None;
        let trees = self.journal.iter().map(|undo| match undo {
            Undo::Row { tree, .. } | Undo::Id { tree, .. } => *tree,
            Undo::Created(tree) | Undo::Dropped(tree, _) | Undo::Replaced(tree, _) => *tree,
        });
        trees.filter(move |tree| last.replace(*tree) != Some(*tree))
    }

    /// Undoes everything since `mark`: content, counters, trees and digest are exactly as they were.
    pub fn rollback(&mut self, mark: Mark) {
        assert!(mark.0 <= self.journal.len(), "a mark is void after a commit or a rollback to before it");
        let first_written = self.journal[mark.0..].iter().find_map(|undo| match undo {
            Undo::Row { tree, .. } => Some(*tree),
            _ => None,
        });
        for undo in self.journal.split_off(mark.0).into_iter().rev() {
            match undo {
                // A statement writes a row before its index entries.
                Undo::Row { tree, .. } if planted!(67) && first_written != Some(tree) => {}
                // Planted 145: the journal forgets one tree, the youngest.
                Undo::Row { tree, .. } if planted!(145) && self.trees.keys().next_back() == Some(&tree) => {}
                Undo::Row { tree, key, old: Some(old) } => drop(self.tree_mut(tree).put(key, old)),
                Undo::Row { tree, key, old: None } => drop(self.tree_mut(tree).remove(key.as_slice())),
                Undo::Id { tree, old } => self.tree_mut(tree).last_id = old,
                Undo::Created(tree) => drop(self.trees.remove(&tree)),
                Undo::Dropped(tree, old) | Undo::Replaced(tree, old) => drop(self.trees.insert(tree, *old)),
            }
        }
    }

    /// Forgets the journal: what has been written stays. All marks are void.
    pub fn commit(&mut self) {
        if let Some(followed) = &mut self.followed {
            self.journal.iter().for_each(|undo| followed.note(undo));
        }
        let Some(changes) = &mut self.changes else { return self.journal.clear() };
        for undo in self.journal.drain(..) {
            changes.push(match undo {
                Undo::Row { tree, key, .. } => Change { tree, what: What::Row(key) },
                Undo::Id { tree, .. } => Change { tree, what: What::Counter },
                Undo::Created(tree) | Undo::Dropped(tree, _) | Undo::Replaced(tree, _) => {
                    Change { tree, what: What::All }
                }
            });
        }
    }

    /// For a planted bug: the same, and nobody is to know.
    pub fn commit_unseen(&mut self) {
        self.journal.clear();
    }

    /// A frozen picture of the present content, uncommitted changes included.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Self { trees: self.trees.clone(), ..Self::default() })
    }

    /// The present content, for whoever writes on and wants to see what was there before: what is read of it counts as read here
    /// when it is given back ([`Store::has_seen`]).
    #[must_use]
    pub fn before(&self) -> Self {
        Self { trees: self.trees.clone(), reads: self.reads.as_ref().map(|_| Box::default()), ..Self::default() }
    }

    /// What was read of such a picture was read here.
    pub fn has_seen(&self, before: &Self) {
        if let Some(seen) = &before.reads {
            self.read(|reads| reads.add(&seen.borrow()));
        }
    }

    /// Digest of the whole content: equal content (trees, rows, counters) has an equal digest, however it came about.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.trees.values().fold(0, |sum: u128, tree| sum.wrapping_add(tree.digest()))
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.trees.values().for_each(Tree::check);
    }
}
