//! The one hash map of the project: a fixed seed, so that iteration order is the same in every process.
//!
//! Where the order of iteration can reach a decision, a message or a trace, use `BTreeMap` all the same: a fixed seed
//! makes the order repeatable, not meaningful.

use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::Xxh3Default;

/// xxh3 with its default seed.
#[derive(Clone, Default)]
pub struct FixedHasher(Xxh3Default);

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Hash map with a fixed-seed hasher.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, BuildHasherDefault<FixedHasher>>;
/// Hash set with a fixed-seed hasher.
pub type HashSet<K> = hashbrown::HashSet<K, BuildHasherDefault<FixedHasher>>;
