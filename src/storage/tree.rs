//! One tree: a root, and what is counted along.

use super::bytestring::ByteString;
use super::node::{self, Leaf, Node};
use super::scan::Scan;
use crate::types::TreeId;
use std::ops::Bound;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// A tree. A clone shares all nodes and costs nothing.
#[derive(Clone)]
pub(super) struct Tree {
    id: TreeId,
    root: Arc<Node>,
    rows: usize,
    /// Wrapping sum over all rows of [`row_digest`].
    digest: u128,
    /// Last number given out.
    pub(super) last_id: u64,
}

/// Digest of a row: depends on key and value in full, and on the order of nothing. The tree's number comes in with the sum
/// ([`Tree::digest`]), so that rows that were put together beside the store need not be looked at again.
fn row_digest(key: &[u8], value: &[u8]) -> u128 {
    let key = xxh3_128(key);
    // The low half as the seed binds the value to the key; the sum keeps the high half.
    xxh3_128_with_seed(value, key as u64).wrapping_add(key)
}

impl Tree {
    pub(super) fn new(id: TreeId) -> Self {
        Self { id, root: Arc::new(Node::Leaf(Leaf::default())), rows: 0, digest: 0, last_id: 0 }
    }

    /// The same rows under another number, which have given no ids yet.
    pub(super) fn numbered(&self, id: TreeId) -> Self {
        Self { id, last_id: 0, ..self.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Digest of rows and counter. An existing tree without either differs from none.
    pub(super) fn digest(&self) -> u128 {
        let mut bytes = [0_u8; 28];
        bytes[..4].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.last_id.to_le_bytes());
        bytes[12..].copy_from_slice(&self.digest.to_le_bytes());
        xxh3_128(&bytes)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.child(key)],
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|at| leaf.values[at].as_slice()),
            }
        }
    }

    pub(super) fn put(&mut self, key: ByteString, value: ByteString) -> Option<ByteString> {
        self.digest = self.digest.wrapping_add(row_digest(key.as_slice(), value.as_slice()));
        let key_digest = key.clone();
        let (old, split) = node::put(&mut self.root, key, value, true);
        if let Some(split) = split {
            node::grow(&mut self.root, split);
        }
        match &old {
            Some(old) => {
                let gone = row_digest(key_digest.as_slice(), old.as_slice());
                self.digest = self.digest.wrapping_sub(gone);
            }
            None => self.rows += 1,
        }
        old
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<ByteString> {
        // Asked first, so that nothing shared is copied in vain.
        self.get(key)?;
        let old = node::remove(&mut self.root, key)?;
        node::shrink(&mut self.root);
        self.rows -= 1;
        self.digest = self.digest.wrapping_sub(row_digest(key, old.as_slice()));
        Some(old)
    }

    pub(super) fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        Scan::new(&self.root, from, to)
    }

    /// Order, bounds and depth of all nodes, and the counts (tests).
    #[cfg(test)]
    pub(super) fn check(&self) {
        fn depth(node: &Node, low: Option<&[u8]>, high: Option<&[u8]>) -> usize {
            match node {
                Node::Leaf(leaf) => {
                    assert_eq!(leaf.keys.len(), leaf.values.len());
                    assert!(leaf.keys.len() <= node::LEAF);
                    assert!(leaf.keys.is_sorted_by(|a, b| a.as_slice() < b.as_slice()), "keys rise");
                    for key in &leaf.keys {
                        assert!(
                            low.is_none_or(|low| low <= key.as_slice())
                                && high.is_none_or(|high| key.as_slice() < high)
                        );
                    }
                    1
                }
                Node::Inner(inner) => {
                    assert_eq!(inner.children.len(), inner.separators.len() + 1);
                    assert!((2..=node::INNER).contains(&inner.children.len()), "{} children", inner.children.len());
                    let bound = |at: usize| inner.separators.get(at).map(ByteString::as_slice);
                    let depths: Vec<usize> = (0..inner.children.len())
                        .map(|at| {
                            let low = if at == 0 { low } else { bound(at - 1) };
                            depth(&inner.children[at], low, bound(at).or(high))
                        })
                        .collect();
                    assert!(depths.iter().all(|depth| *depth == depths[0]), "all leaves are equally deep");
                    depths[0] + 1
                }
            }
        }
        depth(&self.root, None, None);
        assert_eq!(self.scan(Bound::Unbounded, Bound::Unbounded).count(), self.rows);
        let sum = self
            .scan(Bound::Unbounded, Bound::Unbounded)
            .fold(0_u128, |sum, (key, value)| sum.wrapping_add(row_digest(key, value)));
        assert_eq!(sum, self.digest, "the digest is that of the rows");
    }
}
