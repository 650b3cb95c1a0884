//! **Trace**: what happened, as typed events and one rolling hash.
//!
//! Every event that the world gives to a worker or a client, and everything that it does to them, is one [`Event`] with
//! its simulated time. All of them go into a rolling xxh3-128; the last ones are kept to be printed. For those who draw
//! or compare runs, all of them are kept, and beside them [`Mark`]s: what an event does not say (when a message was
//! sent, what it says, who is candidate). Marks are not in the hash, so there may be more of them tomorrow.
//!
//! # Invariants
//! - The hash depends on the plan and the product only: it is the same in another process, another thread, a debug and a
//!   release build. No address, no `usize`, no iteration order of a hash map gets in.
//! - Two runs with the same hash have given every worker the same events at the same times.

pub mod diff;
mod event;
mod mark;

pub use event::Event;
pub use mark::{Mark, Recording};

use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

/// The recorder of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u128,
    count: u64,
    keep: usize,
    tail: VecDeque<(u64, Event)>,
    recording: Option<Recording>,
}

impl Trace {
    /// Keeps the last `keep` events.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { hash: 0, count: 0, keep, tail: VecDeque::with_capacity(keep.min(4096)), recording: None }
    }

    /// Keeps everything, marks too.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.recording = Some(Recording::default());
        self
    }

    /// Notes a mark, if they are kept. It is made only then.
    pub fn mark(&mut self, at_ns: u64, mark: impl FnOnce() -> Mark) {
        if let Some(recording) = &mut self.recording {
            recording.marks.push((at_ns, mark()));
        }
    }

    /// Takes what was kept.
    pub fn take_recording(&mut self) -> Option<Recording> {
        self.recording.take()
    }

    /// Records one event.
    pub fn record(&mut self, at_ns: u64, event: Event) {
        let mut bytes = [0; 72];
        bytes[..16].copy_from_slice(&self.hash.to_le_bytes());
        bytes[16..24].copy_from_slice(&at_ns.to_le_bytes());
        for (place, word) in bytes[24..].chunks_exact_mut(8).zip(event.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.hash = xxh3_128(&bytes);
        self.count += 1;
        if let Some(recording) = &mut self.recording {
            recording.events.push((at_ns, event));
        }
        if self.keep > 0 {
            if self.tail.len() == self.keep {
                self.tail.pop_front();
            }
            self.tail.push_back((at_ns, event));
        }
    }

    /// Hash over all events so far.
    #[must_use]
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// Events so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The last events, in words.
    #[must_use]
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().map(|(at, event)| line(*at, event)).collect()
    }
}

/// An event with its time, as it is printed.
#[must_use]
pub fn line(at_ns: u64, event: &Event) -> String {
    format!("{:>5}.{:09} {event}", at_ns / 1_000_000_000, at_ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery::types::{NodeId, WorkerId};

    #[test]
    fn the_hash_sees_time_order_and_content() {
        let wake = |node| Event::Wake { node: NodeId(node), worker: WorkerId(0) };
        let hash = |events: &[(u64, Event)]| {
            let mut trace = Trace::new(1);
            events.iter().for_each(|&(at, event)| trace.record(at, event));
            trace.hash()
        };
        let base = hash(&[(1, wake(1)), (2, wake(2))]);
        assert_eq!(base, hash(&[(1, wake(1)), (2, wake(2))]));
        assert_ne!(base, hash(&[(1, wake(2)), (2, wake(1))]));
        assert_ne!(base, hash(&[(1, wake(1)), (3, wake(2))]));
        // A golden value: the hash may not depend on the build or the machine.
        insta::assert_snapshot!(format!("{base:032x}"), @"de226b77dc641f8abca1a5cdc4905684");
    }

    #[test]
    fn keeping_everything_changes_no_hash() {
        let wake = Event::Wake { node: NodeId(1), worker: WorkerId(0) };
        let (mut plain, mut kept) = (Trace::new(1), Trace::new(1).recorded());
        for trace in [&mut plain, &mut kept] {
            trace.record(1, wake);
            trace.mark(2, || Mark::Role {
                node: NodeId(1),
                partition: 0,
                role: orrery::consensus::Role::Leader,
                era: 1,
                committed: 0,
            });
            trace.record(3, wake);
        }
        assert_eq!(plain.hash(), kept.hash());
        assert!(plain.take_recording().is_none());
        let recording = kept.take_recording().expect("kept");
        assert_eq!((recording.events.len(), recording.marks.len()), (2, 1));
    }

    #[test]
    fn the_tail_keeps_the_last_events() {
        let mut trace = Trace::new(2);
        (1..=5).for_each(|at| trace.record(at, Event::ClientWake { client: 7 }));
        assert_eq!(trace.tail(), ["    0.000000004 client 7 wakes", "    0.000000005 client 7 wakes"]);
        assert_eq!(trace.count(), 5);
    }
}
