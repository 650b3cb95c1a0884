//! Nodes of the tree and what changes them. A node is changed in place while nobody else holds it, otherwise copied.

use super::bytestring::ByteString;
use std::cmp::Ordering;
use std::sync::Arc;

/// Most rows of a leaf. Small, because a leaf is what a write after a snapshot copies.
pub(super) const LEAF: usize = 32;
/// Most children of an inner node.
pub(super) const INNER: usize = 64;
/// A node with fewer than this is joined with a neighbour. Far below half, so that a row going to and fro does not join
/// and split each time.
const LEAF_MIN: usize = LEAF / 4;
const INNER_MIN: usize = INNER / 4;

#[derive(Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

/// Rows in key order, as two arrays: a search reads keys only.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    pub(super) keys: Vec<ByteString>,
    pub(super) values: Vec<ByteString>,
}

/// `children[i]` holds the keys from `separators[i - 1]` up to, but without, `separators[i]`.
#[derive(Clone)]
pub(super) struct Inner {
    pub(super) separators: Vec<ByteString>,
    pub(super) children: Vec<Arc<Node>>,
}

/// The right half of a node that was full, and the lowest key it may hold.
pub(super) struct Split {
    separator: ByteString,
    right: Arc<Node>,
}

impl Leaf {
    /// Where the key is, or where it would be.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|probe| probe.as_slice().cmp(key))
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self { keys: Vec::with_capacity(LEAF), values: Vec::with_capacity(LEAF) };
        right.keys.extend(self.keys.drain(at..));
        right.values.extend(self.values.drain(at..));
        right
    }
}

impl Inner {
    /// The child in which a key belongs.
    pub(super) fn child(&self, key: &[u8]) -> usize {
        self.separators.partition_point(|separator| separator.as_slice().cmp(key) != Ordering::Greater)
    }

    fn split_off(&mut self, at: usize) -> (ByteString, Self) {
        let right = Self { children: self.children.split_off(at), separators: self.separators.split_off(at) };
        let separator = self.separators.pop().expect("a full node is split in the middle, so a separator precedes");
        (separator, right)
    }
}

/// Puts a row below `node`. `rightmost`: nothing follows this node in its tree. Returns the value replaced, and the
/// new right neighbour if the node had to be split.
pub(super) fn put(
    node: &mut Arc<Node>,
    key: ByteString,
    value: ByteString,
    rightmost: bool,
) -> (Option<ByteString>, Option<Split>) {
    match Arc::make_mut(node) {
        Node::Leaf(leaf) => put_in_leaf(leaf, key, value, rightmost),
        Node::Inner(inner) => {
            let at = inner.child(key.as_slice());
            let last = at + 1 == inner.children.len();
            let (old, split) = put(&mut inner.children[at], key, value, rightmost && last);
            let Some(Split { separator, right }) = split else { return (old, None) };
            inner.separators.insert(at, separator);
            inner.children.insert(at + 1, right);
            if inner.children.len() <= INNER {
                return (old, None);
            }
            let middle = if rightmost && last { INNER - 1 } else { INNER / 2 };
            let (separator, right) = inner.split_off(middle);
            (old, Some(Split { separator, right: Arc::new(Node::Inner(right)) }))
        }
    }
}

fn put_in_leaf(
    leaf: &mut Leaf,
    key: ByteString,
    value: ByteString,
    rightmost: bool,
) -> (Option<ByteString>, Option<Split>) {
    let at = match leaf.find(key.as_slice()) {
        Ok(at) => return (Some(std::mem::replace(&mut leaf.values[at], value)), None),
        Err(at) => at,
    };
    if leaf.keys.len() < LEAF {
        leaf.keys.insert(at, key);
        leaf.values.insert(at, value);
        return (None, None);
    }
    // Rising keys would leave every leaf half empty: at the very end the left one stays full.
    let middle = if rightmost && at == LEAF { LEAF } else { LEAF / 2 };
    let mut right = leaf.split_off(middle);
    let (half, at) = if at > middle || middle == LEAF { (&mut right, at - middle) } else { (leaf, at) };
    half.keys.insert(at, key);
    half.values.insert(at, value);
    let separator = right.keys[0].clone();
    (None, Some(Split { separator, right: Arc::new(Node::Leaf(right)) }))
}

/// A root above two halves.
pub(super) fn grow(root: &mut Arc<Node>, split: Split) {
    let left = std::mem::replace(root, Arc::clone(&split.right));
    *root = Arc::new(Node::Inner(Inner { separators: vec![split.separator], children: vec![left, split.right] }));
}

/// Removes a row below `node`.
pub(super) fn remove(node: &mut Arc<Node>, key: &[u8]) -> Option<ByteString> {
    match Arc::make_mut(node) {
        Node::Leaf(leaf) => {
            let at = leaf.find(key).ok()?;
            leaf.keys.remove(at);
            Some(leaf.values.remove(at))
        }
        Node::Inner(inner) => {
            let at = inner.child(key);
            let old = remove(&mut inner.children[at], key)?;
            let is_thin = match &*inner.children[at] {
                Node::Leaf(leaf) => leaf.keys.len() < LEAF_MIN,
                Node::Inner(child) => child.children.len() < INNER_MIN,
            };
            if is_thin && inner.children.len() > 1 {
                join(inner, at.min(inner.children.len() - 2));
            }
            Some(old)
        }
    }
}

/// An inner root with one child gives way to it.
pub(super) fn shrink(root: &mut Arc<Node>) {
    while let Node::Inner(inner) = &**root
        && inner.children.len() == 1
    {
        *root = Arc::clone(&inner.children[0]);
    }
}

/// Joins the children at `at` and after it into one, or evens them out when one would be too full.
fn join(inner: &mut Inner, at: usize) {
    let right = inner.children.remove(at + 1);
    let separator = inner.separators.remove(at);
    let split = match (Arc::make_mut(&mut inner.children[at]), Arc::unwrap_or_clone(right)) {
        (Node::Leaf(left), Node::Leaf(right)) => {
            left.keys.extend(right.keys);
            left.values.extend(right.values);
            (left.keys.len() > LEAF).then(|| {
                let right = left.split_off(left.keys.len() / 2);
                Split { separator: right.keys[0].clone(), right: Arc::new(Node::Leaf(right)) }
            })
        }
        (Node::Inner(left), Node::Inner(right)) => {
            left.separators.push(separator);
            left.separators.extend(right.separators);
            left.children.extend(right.children);
            (left.children.len() > INNER).then(|| {
                let (separator, right) = left.split_off(left.children.len() / 2);
                Split { separator, right: Arc::new(Node::Inner(right)) }
            })
        }
        _ => unreachable!("all leaves of a tree are equally deep"),
    };
    if let Some(Split { separator, right }) = split {
        inner.separators.insert(at, separator);
        inner.children.insert(at + 1, right);
    }
}
