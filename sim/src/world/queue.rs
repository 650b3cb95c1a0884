//! What is to come, by time. Ties are broken by a hash of the run's seed and the event's own id, so that the order of
//! simultaneous events is arbitrary, repeatable, and not moved by unrelated events.

use crate::env::dice::Stream;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Keys in a heap, contents in a slab: sifting moves 32 bytes.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Key>>,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    ties: Stream,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    tie: u64,
    sequence: u64,
    slot: u32,
}

impl<T> Queue<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            heap: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            ties: Stream::new(seed, "ties"),
            sequence: 0,
        }
    }

    /// Puts something at a time. `id` names it among simultaneous others.
    pub(crate) fn push(&mut self, at: u64, id: u64, what: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            u32::try_from(self.slab.len() - 1).expect("fewer than 2^32 events are pending")
        });
        self.slab[slot as usize] = Some(what);
        self.sequence += 1;
        self.heap.push(Reverse(Key { at, tie: self.ties.at(id).0, sequence: self.sequence, slot }));
    }

    /// Takes the next.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse(key) = self.heap.pop()?;
        self.free.push(key.slot);
        let what = self.slab[key.slot as usize].take().expect("a key's slot is full until it is popped");
        Some((key.at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_rules_and_ties_are_arbitrary_but_repeatable() {
        let order = |seed| {
            let mut queue = Queue::new(seed);
            (0..50).for_each(|id| queue.push(10, id, id));
            queue.push(5, 99, 99);
            std::iter::from_fn(|| queue.pop().map(|(_, id)| id)).collect::<Vec<_>>()
        };
        assert_eq!(order(1)[0], 99);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1)[1..], (0..50).collect::<Vec<_>>()[..]);
    }
}
