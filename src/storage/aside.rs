//! Trees that are made beside a store, of its rows, and what was written to those meanwhile.
//!
//! Whoever makes something of all rows of a tree ([`Aside`]) goes through them little by little, and is told which were
//! written since it last looked, each with what it had been ([`Written`]). What it has made in the end is taken into the
//! store at once ([`super::Store::take_in`]), and shares its nodes until either is written.
//!
//! # Invariants
//! - Neither is part of the content: no digest and no snapshot knows of them.
//! - What was written counts when it stays ([`super::Store::commit`]); what is rolled back never was.

use super::bytestring::ByteString;
use super::store::Undo;
use super::tree::Tree;
use crate::types::TreeId;
use std::collections::{BTreeMap, BTreeSet};

/// Most rows that are told apart: beyond it whoever follows a tree has to begin again.
const MAX_WRITTEN: usize = 1 << 18;

/// A tree of no store. A clone shares all nodes and costs nothing.
#[derive(Clone)]
pub struct Aside(Tree);

impl Default for Aside {
    fn default() -> Self {
        // It gets its number where it is taken in.
        Self(Tree::new(TreeId(0)))
    }
}

impl Aside {
    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key)
    }

    /// Puts a value under a key; `true` if another was there and is replaced.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.0.put(ByteString::new(key), ByteString::new(value)).is_some()
    }

    /// Removes a key; `true` if it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as a store's tree.
    pub(super) fn as_tree(&self, number: TreeId) -> Tree {
        self.0.numbered(number)
    }
}

/// Where a row is: its tree, and its key there.
type Place = (TreeId, Box<[u8]>);

/// What was written to trees that somebody follows.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Rows by tree and key, each with the value that it had before the first of the writes; `None`: it was not there.
    pub rows: BTreeMap<Place, Option<Box<[u8]>>>,
    /// Trees that came, went or were emptied, or too many of whose rows were written: nothing is known of them.
    pub lost: BTreeSet<TreeId>,
}

/// Trees that somebody follows.
#[derive(Clone, Default)]
pub(super) struct Followed {
    pub(super) trees: BTreeSet<TreeId>,
    pub(super) written: Written,
}

impl Followed {
    /// A change stays.
    pub(super) fn note(&mut self, undo: &Undo) {
        match undo {
            Undo::Row { tree, key, old } if self.trees.contains(tree) && !self.written.lost.contains(tree) => {
                if self.written.rows.len() >= MAX_WRITTEN {
                    self.written.rows.clear();
                    self.written.lost.clone_from(&self.trees);
                    return;
                }
                let old = || old.as_ref().map(|old| Box::from(old.as_slice()));
                self.written.rows.entry((*tree, Box::from(key.as_slice()))).or_insert_with(old);
            }
            Undo::Created(tree) | Undo::Dropped(tree, _) | Undo::Replaced(tree, _) if self.trees.contains(tree) => {
                self.written.lost.insert(*tree);
            }
            Undo::Row { .. } | Undo::Id { .. } | Undo::Created(_) | Undo::Dropped(..) | Undo::Replaced(..) => {}
        }
    }
}
