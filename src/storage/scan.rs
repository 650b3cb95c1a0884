//! Walking over a range of a tree, from both ends.

use super::node::{Inner, Leaf, Node};
use std::ops::Bound;

/// Deeper than any tree that fits a memory: off the right edge, inner nodes have at least 16 children.
const DEPTH: usize = 12;

/// A row's place: the way down to its leaf, and its number there.
#[derive(Clone)]
struct Cursor<'a> {
    path: [Option<(&'a Inner, u16)>; DEPTH],
    depth: usize,
    leaf: &'a Leaf,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Goes down from `node`, choosing children by `choose`.
    fn descend(&mut self, mut node: &'a Node, mut choose: impl FnMut(&Inner) -> usize) {
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = leaf;
                    return;
                }
                Node::Inner(inner) => {
                    let child = choose(inner);
                    // A node has at most 65 children, so the cast keeps the number.
                    self.path[self.depth] = Some((inner, child as u16));
                    self.depth += 1;
                    node = &inner.children[child];
                }
            }
        }
    }

    fn start(node: &'a Node, empty: &'a Leaf, choose: impl FnMut(&Inner) -> usize) -> Self {
        let mut cursor = Self { path: [None; DEPTH], depth: 0, leaf: empty, at: 0 };
        cursor.descend(node, choose);
        cursor
    }

    /// The first leaf after this one. `false`: there is none.
    fn next_leaf(&mut self) -> bool {
        while self.depth > 0 {
            self.depth -= 1;
            if let Some((inner, child)) = self.path[self.depth]
                && let Some(next) = inner.children.get(usize::from(child) + 1)
            {
                self.path[self.depth] = Some((inner, child + 1));
                self.depth += 1;
                self.descend(next, |_| 0);
                self.at = 0;
                return true;
            }
        }
        false
    }

    /// The last leaf before this one. `false`: there is none.
    fn previous_leaf(&mut self) -> bool {
        while self.depth > 0 {
            self.depth -= 1;
            if let Some((inner, child)) = self.path[self.depth]
                && child > 0
            {
                self.path[self.depth] = Some((inner, child - 1));
                self.depth += 1;
                self.descend(&inner.children[usize::from(child) - 1], |inner| inner.children.len() - 1);
                self.at = self.leaf.keys.len();
                return true;
            }
        }
        false
    }

    /// The first row not below a bound.
    fn first(root: &'a Node, empty: &'a Leaf, from: Bound<&[u8]>) -> Option<Self> {
        let mut cursor = match from {
            Bound::Unbounded => Self::start(root, empty, |_| 0),
            Bound::Included(key) | Bound::Excluded(key) => Self::start(root, empty, |inner| inner.child(key)),
        };
        cursor.at = match from {
            Bound::Unbounded => 0,
            Bound::Included(key) => cursor.leaf.find(key).unwrap_or_else(|at| at),
            Bound::Excluded(key) => cursor.leaf.find(key).map_or_else(|at| at, |at| at + 1),
        };
        while cursor.at >= cursor.leaf.keys.len() {
            if !cursor.next_leaf() {
                return None;
            }
        }
        Some(cursor)
    }

    /// The last row not above a bound.
    fn last(root: &'a Node, empty: &'a Leaf, to: Bound<&[u8]>) -> Option<Self> {
        let mut cursor = match to {
            Bound::Unbounded => Self::start(root, empty, |inner| inner.children.len() - 1),
            Bound::Included(key) | Bound::Excluded(key) => Self::start(root, empty, |inner| inner.child(key)),
        };
        let end = match to {
            Bound::Unbounded => cursor.leaf.keys.len(),
            Bound::Included(key) => cursor.leaf.find(key).map_or_else(|at| at, |at| at + 1),
            Bound::Excluded(key) => cursor.leaf.find(key).unwrap_or_else(|at| at),
        };
        cursor.at = end;
        while cursor.at == 0 {
            if !cursor.previous_leaf() {
                return None;
            }
        }
        cursor.at -= 1;
        Some(cursor)
    }

    fn row(&self) -> (&'a [u8], &'a [u8]) {
        (self.leaf.keys[self.at].as_slice(), self.leaf.values[self.at].as_slice())
    }

    fn is_at(&self, other: &Self) -> bool {
        std::ptr::eq(self.leaf, other.leaf) && self.at == other.at
    }
}

/// Rows of a range in key order; also from the back.
pub struct Scan<'a> {
    /// First and last row that are left.
    ends: Option<Box<Ends<'a>>>,
}

struct Ends<'a> {
    front: Cursor<'a>,
    back: Cursor<'a>,
}

impl<'a> Scan<'a> {
    pub(super) fn empty() -> Self {
        Self { ends: None }
    }

    pub(super) fn new(root: &'a Node, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        static NO_ROWS: Leaf = Leaf { keys: Vec::new(), values: Vec::new() };
        let ends = Cursor::first(root, &NO_ROWS, from)
            .and_then(|front| Some(Ends { front, back: Cursor::last(root, &NO_ROWS, to)? }))
            .filter(|ends| ends.front.row().0 <= ends.back.row().0);
        Self { ends: ends.map(Box::new) }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let ends = self.ends.as_mut()?;
        let row = ends.front.row();
        if ends.front.is_at(&ends.back) {
            self.ends = None;
            return Some(row);
        }
        ends.front.at += 1;
        while ends.front.at >= ends.front.leaf.keys.len() && ends.front.next_leaf() {}
        Some(row)
    }
}

impl DoubleEndedIterator for Scan<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let ends = self.ends.as_mut()?;
        let row = ends.back.row();
        if ends.back.is_at(&ends.front) {
            self.ends = None;
            return Some(row);
        }
        while ends.back.at == 0 && ends.back.previous_leaf() {}
        ends.back.at -= 1;
        Some(row)
    }
}
