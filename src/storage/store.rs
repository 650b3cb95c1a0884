use crate::types::TreeId;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::{Bound, Deref};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// All trees of one partition: keys and values are bytes, ordered by key.
///
/// A tree that does not exist reads as an empty one; writing to it is a bug of the caller.
#[derive(Clone, Default)]
pub struct Store {
    trees: BTreeMap<TreeId, Tree>,
    journal: Vec<Undo>,
    digest: u128,
}

#[derive(Clone, Default)]
struct Tree {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    last_id: u64,
}

#[derive(Clone)]
enum Undo {
    Row { tree: TreeId, key: Vec<u8>, old: Option<Vec<u8>> },
    Id { tree: TreeId, old: u64 },
    Created(TreeId),
    Dropped(TreeId, Box<Tree>),
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

/// Rows of a range in key order; also from the back.
pub struct Scan<'a>(Option<Range<'a, Vec<u8>, Vec<u8>>>);

impl<'a> Iterator for Scan<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next_back().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }
}

fn row_digest(tree: TreeId, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&tree.0.to_le_bytes());
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.digest128()
}

fn id_digest(tree: TreeId, id: u64) -> u128 {
    let mut bytes = [0_u8; 13];
    bytes[0] = b'i';
    bytes[1..5].copy_from_slice(&tree.0.to_le_bytes());
    bytes[5..].copy_from_slice(&id.to_le_bytes());
    xxh3_128(&bytes)
}

impl Store {
    /// A store without trees.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty tree. It must not exist.
    pub fn create_tree(&mut self, tree: TreeId) {
        assert!(self.trees.insert(tree, Tree::default()).is_none(), "a tree is created once");
        self.digest = self.digest.wrapping_add(id_digest(tree, 0));
        self.journal.push(Undo::Created(tree));
    }

    /// Drops a tree with all its rows. Nothing if it does not exist.
    pub fn drop_tree(&mut self, tree: TreeId) {
        if let Some(old) = self.trees.remove(&tree) {
            for (key, value) in &old.rows {
                self.digest = self.digest.wrapping_sub(row_digest(tree, key, value));
            }
            self.digest = self.digest.wrapping_sub(id_digest(tree, old.last_id));
            self.journal.push(Undo::Dropped(tree, Box::new(old)));
        }
    }

    /// Does this tree exist?
    #[must_use]
    pub fn has_tree(&self, tree: TreeId) -> bool {
        self.trees.contains_key(&tree)
    }

    /// All trees, in order.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        self.trees.keys().copied()
    }

    /// Number of rows of a tree.
    #[must_use]
    pub fn len(&self, tree: TreeId) -> usize {
        self.trees.get(&tree).map_or(0, |t| t.rows.len())
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, tree: TreeId, key: &[u8]) -> Option<&[u8]> {
        self.trees.get(&tree)?.rows.get(key).map(Vec::as_slice)
    }

    /// Puts a value under a key; `true` if another was there and is replaced.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> bool {
        let rows = &mut self.trees.get_mut(&tree).expect("only existing trees are written").rows;
        let old = rows.insert(key.to_vec(), value.to_vec());
        self.digest = self.digest.wrapping_add(row_digest(tree, key, value));
        self.replaced(tree, key, old)
    }

    /// Removes a key; `true` if it was there.
    pub fn remove(&mut self, tree: TreeId, key: &[u8]) -> bool {
        let old = self.trees.get_mut(&tree).expect("only existing trees are written").rows.remove(key);
        old.is_some() && self.replaced(tree, key, old)
    }

    fn replaced(&mut self, tree: TreeId, key: &[u8], old: Option<Vec<u8>>) -> bool {
        if let Some(old) = &old {
            self.digest = self.digest.wrapping_sub(row_digest(tree, key, old));
        }
        let was = old.is_some();
        self.journal.push(Undo::Row { tree, key: key.to_vec(), old });
        was
    }

    /// Rows of a range in key order, also from the back.
    #[must_use]
    pub fn scan(&self, tree: TreeId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        let empty = match (from, to) {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
            _ => false,
        };
        let range = if empty { None } else { self.trees.get(&tree).map(|t| t.rows.range::<[u8], _>((from, to))) };
        Scan(range)
    }

    /// The next number of a tree's own counter: 1, 2, … (hidden row ids). Part of the state; undone by a rollback.
    pub fn next_id(&mut self, tree: TreeId) -> u64 {
        let last = &mut self.trees.get_mut(&tree).expect("only existing trees are written").last_id;
        let old = *last;
        *last += 1;
        self.digest = self.digest.wrapping_sub(id_digest(tree, old)).wrapping_add(id_digest(tree, old + 1));
        self.journal.push(Undo::Id { tree, old });
        old + 1
    }

    /// The present place in the journal.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Undoes everything since `mark`: content, counters, trees and digest are exactly as they were.
    pub fn rollback(&mut self, mark: Mark) {
        while self.journal.len() > mark.0 {
            let undo = self.journal.pop();
            let length = self.journal.len();
            match undo {
                Some(Undo::Row { tree, key, old: Some(old) }) => {
                    self.put(tree, &key, &old);
                }
                Some(Undo::Row { tree, key, old: None }) => {
                    self.remove(tree, &key);
                }
                Some(Undo::Id { tree, old }) => {
                    self.digest = self.digest.wrapping_sub(id_digest(tree, old + 1)).wrapping_add(id_digest(tree, old));
                    self.trees.get_mut(&tree).expect("a journal names existing trees").last_id = old;
                }
                Some(Undo::Created(tree)) => self.drop_tree(tree),
                Some(Undo::Dropped(tree, old)) => {
                    for (key, value) in &old.rows {
                        self.digest = self.digest.wrapping_add(row_digest(tree, key, value));
                    }
                    self.digest = self.digest.wrapping_add(id_digest(tree, old.last_id));
                    self.trees.insert(tree, *old);
                }
                None => {}
            }
            self.journal.truncate(length);
        }
    }

    /// Forgets the journal: what has been written stays. All marks are void.
    pub fn commit(&mut self) {
        self.journal.clear();
    }

    /// A frozen picture of the present content.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Self { trees: self.trees.clone(), journal: Vec::new(), digest: self.digest })
    }

    /// Digest of the whole content: equal content (trees, rows, counters) has an equal digest, however it came about.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.digest
    }
}
