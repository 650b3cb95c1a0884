//! The store against `BTreeMap`.

use super::*;
use crate::types::TreeId;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The same as a store, obviously right.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model(BTreeMap<u32, (Rows, u64)>);

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u16, u16),
    Remove(u32, u16),
    Range(u32, u16, u16),
    Drop(u32),
    Clear(u32),
    NextId(u32),
    Mark,
    Rollback,
    Commit,
    Snapshot,
    Scan(u32, Bound<u16>, Bound<u16>, u64),
}

/// Of different lengths, inline and shared, in an order that is not that of the number.
fn key(number: u16) -> Vec<u8> {
    let mut key = number.reverse_bits().to_be_bytes().to_vec();
    key.resize(2 + usize::from(number % 30), b'k');
    key
}

fn value(number: u16) -> Vec<u8> {
    number.to_le_bytes().repeat(usize::from(number % 25))
}

fn bound() -> impl Strategy<Value = Bound<u16>> {
    prop_oneof![
        1 => Just(Bound::Unbounded),
        2 => (0_u16..2000).prop_map(Bound::Included),
        2 => (0_u16..2000).prop_map(Bound::Excluded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tree = || 1_u32..4;
    let number = || 0_u16..2000;
    prop_oneof![
        30 => (tree(), number(), any::<u16>()).prop_map(|(tree, key, value)| Step::Put(tree, key, value)),
        15 => (tree(), number()).prop_map(|(tree, key)| Step::Remove(tree, key)),
        4 => (tree(), number(), 1_u16..300).prop_map(|(tree, from, count)| Step::Range(tree, from, count)),
        1 => tree().prop_map(Step::Drop),
        2 => tree().prop_map(Step::Clear),
        3 => tree().prop_map(Step::NextId),
        3 => Just(Step::Mark),
        2 => Just(Step::Rollback),
        1 => Just(Step::Commit),
        2 => Just(Step::Snapshot),
        8 => (tree(), bound(), bound(), any::<u64>()).prop_map(|(tree, from, to, ends)| Step::Scan(tree, from, to, ends)),
    ]
}

fn as_slices(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn within(key: &[u8], from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let above = match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    above
        && match to {
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
            Bound::Unbounded => true,
        }
}

/// Takes rows from both ends, as the bits of `ends` say.
fn scan_from_both_ends(store: &Store, model: &Model, tree: u32, from: Bound<u16>, to: Bound<u16>, ends: u64) {
    let (from, to) = (from.map(key), to.map(key));
    let (from, to) = (as_slices(&from), as_slices(&to));
    let rows = model.0.get(&tree).map(|(rows, _)| rows.clone()).unwrap_or_default();
    let mut expected = rows.iter().filter(|(key, _)| within(key, from, to));
    let mut scan = store.scan(TreeId(tree), from, to);
    for turn in 0.. {
        let (found, right) = if ends >> (turn % 64) & 1 == 0 {
            (scan.next(), expected.next())
        } else {
            (scan.next_back(), expected.next_back())
        };
        assert_eq!(found, right.map(|(key, value)| (key.as_slice(), value.as_slice())));
        if found.is_none() {
            break;
        }
    }
}

fn compare(store: &Store, model: &Model) {
    let found: BTreeMap<u32, Rows> = store
        .trees()
        .map(|tree| {
            let all = store.scan(tree, Bound::Unbounded, Bound::Unbounded);
            (tree.0, all.map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
        })
        .collect();
    let expected: BTreeMap<u32, Rows> = model.0.iter().map(|(tree, (rows, _))| (*tree, rows.clone())).collect();
    assert!(found == expected, "the content differs");
    for (tree, (rows, _)) in &model.0 {
        assert_eq!(store.len(TreeId(*tree)), rows.len());
        for number in (0..2000).step_by(17) {
            assert_eq!(store.get(TreeId(*tree), &key(number)), rows.get(&key(number)).map(Vec::as_slice));
        }
    }
    store.check();
    assert_eq!(store.digest(), rebuilt(model).digest(), "the digest is a function of the content");
}

/// The same content, put there in another order.
fn rebuilt(model: &Model) -> Store {
    let mut store = Store::new();
    for (tree, (rows, ids)) in model.0.iter().rev() {
        store.create_tree(TreeId(*tree));
        for (key, value) in rows.iter().rev() {
            store.put(TreeId(*tree), key, value);
        }
        (0..*ids).for_each(|_| {
            store.next_id(TreeId(*tree));
        });
    }
    store
}

#[derive(Default)]
struct Run {
    store: Store,
    model: Model,
    marks: Vec<(Mark, Model, u128)>,
    snapshots: Vec<(Snapshot, Model)>,
}

impl Run {
    fn tree(&mut self, tree: u32) -> &mut (Rows, u64) {
        if !self.store.has_tree(TreeId(tree)) {
            self.store.create_tree(TreeId(tree));
        }
        self.model.0.entry(tree).or_default()
    }

    fn put(&mut self, tree: u32, number: u16, content: u16) {
        let replaced = self.tree(tree).0.insert(key(number), value(content)).is_some();
        assert_eq!(self.store.put(TreeId(tree), &key(number), &value(content)), replaced);
    }

    fn remove(&mut self, tree: u32, number: u16) {
        let was = self.tree(tree).0.remove(&key(number)).is_some();
        assert_eq!(self.store.remove(TreeId(tree), &key(number)), was);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(tree, number, content) => self.put(tree, number, content),
            Step::Remove(tree, number) => self.remove(tree, number),
            Step::Range(tree, from, count) if count % 2 == 0 => {
                (from..from + count).for_each(|number| self.put(tree, number, number ^ from));
            }
            Step::Range(tree, from, count) => (from..from + count).for_each(|number| self.remove(tree, number)),
            Step::Clear(tree) => {
                self.store.clear(TreeId(tree));
                if let Some((rows, _)) = self.model.0.get_mut(&tree) {
                    rows.clear();
                }
            }
            Step::Drop(tree) => {
                self.store.drop_tree(TreeId(tree));
                self.model.0.remove(&tree);
            }
            Step::NextId(tree) => {
                let ids = &mut self.tree(tree).1;
                *ids += 1;
                let expected = *ids;
                assert_eq!(self.store.next_id(TreeId(tree)), expected);
            }
            Step::Mark => self.marks.push((self.store.mark(), self.model.clone(), self.store.digest())),
            Step::Rollback => {
                if let Some((mark, model, digest)) = self.marks.pop() {
                    self.store.rollback(mark);
                    assert_eq!(self.store.digest(), digest);
                    self.model = model;
                    compare(&self.store, &self.model);
                }
            }
            Step::Commit => {
                self.store.commit();
                self.marks.clear();
            }
            Step::Snapshot => self.snapshots.push((self.store.snapshot(), self.model.clone())),
            Step::Scan(tree, from, to, ends) => scan_from_both_ends(&self.store, &self.model, tree, from, to, ends),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_like_a_map_and_snapshots_stay_and_rollback_is_exact(steps in prop::collection::vec(step(), 0..400)) {
        let mut run = Run::default();
        for step in steps {
            run.step(step);
        }
        compare(&run.store, &run.model);
        for (snapshot, model) in &run.snapshots {
            compare(snapshot, model);
        }
    }
}

#[test]
fn a_tree_that_does_not_exist_reads_as_empty() {
    let store = Store::new();
    let tree = TreeId(1);
    assert_eq!((store.get(tree, b"a"), store.len(tree)), (None, 0));
    assert_eq!(store.scan(tree, Bound::Unbounded, Bound::Unbounded).count(), 0);
}

#[test]
fn rising_keys_fill_the_leaves_and_removing_all_leaves_nothing() {
    let tree = TreeId(1);
    let mut store = Store::new();
    store.create_tree(tree);
    let empty = store.digest();
    for number in 0..50_000_u32 {
        store.put(tree, &number.to_be_bytes(), b"");
    }
    store.check();
    for number in 0..50_000_u32 {
        assert!(store.remove(tree, &number.to_be_bytes()));
    }
    store.check();
    assert_eq!(store.digest(), empty);
}

#[test]
fn equal_rows_in_different_trees_do_not_cancel_out() {
    let with = |trees: &[u32]| {
        let mut store = Store::new();
        (1..4).for_each(|tree| store.create_tree(TreeId(tree)));
        for tree in trees {
            store.put(TreeId(*tree), b"k", b"v");
        }
        store.digest()
    };
    assert_ne!(with(&[1]), with(&[2]));
    assert_ne!(with(&[1, 2]), with(&[1, 3]));
    assert_ne!(with(&[]), Store::new().digest(), "an empty tree is a tree");
}

#[test]
fn a_fork_and_its_origin_go_their_own_ways() {
    let tree = TreeId(1);
    let mut store = Store::new();
    store.create_tree(tree);
    store.put(tree, b"a", b"1");
    let mut fork = store.snapshot().into_store();
    fork.put(tree, b"a", b"2");
    store.remove(tree, b"a");
    assert_eq!((store.get(tree, b"a"), fork.get(tree, b"a")), (None, Some(&b"2"[..])));
}
