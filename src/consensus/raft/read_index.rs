//! Linearizable reads without a log entry (thesis §6.4): the leader notes what is chosen, proves by a round of
//! heartbeats that it still leads, and only then lets the read run.
//!
//! - A round has a number; all reads that wait when a round begins share it; one that comes later needs the next one:
//!   an answer to a heartbeat sent before a read arrived proves nothing about the time after.
//! - What a new leader knows to be chosen is too little until an entry of its own era is: until then no read is
//!   answered, and its index is at least that entry's.
//!
//! Leases ([`super::lease`]) spare the round, as long as they last; nothing else here changes.

use crate::consensus::ReadState;
use crate::types::LogIndex;
use std::collections::VecDeque;

/// Reads waiting for their proof, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct ReadIndex {
    /// Number of the last round begun.
    round: u64,
    /// Reads without a round.
    fresh: Vec<ReadState>,
    /// Reads with the round that proves them.
    proving: VecDeque<(u64, ReadState)>,
}

impl ReadIndex {
    pub(super) fn add(&mut self, token: u64, index: LogIndex) {
        self.fresh.push(ReadState { token, index });
    }

    /// Begins a round if any read needs one; tells whether.
    pub(super) fn begin_round(&mut self) -> bool {
        if self.fresh.is_empty() {
            return false;
        }
        self.round += 1;
        let round = self.round;
        self.proving.extend(self.fresh.drain(..).map(|read| (round, read)));
        true
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }

    pub(super) fn is_proving(&self) -> bool {
        !self.proving.is_empty()
    }

    /// A quorum has answered this round, and so every earlier one.
    pub(super) fn proved(&mut self, round: u64, states: &mut Vec<ReadState>) {
        while let Some((_, read)) = self.proving.pop_front_if(|(needs, _)| *needs <= round) {
            states.push(read);
        }
    }

    /// The proof can no longer come: the tokens that waited.
    pub(super) fn abandon(self) -> impl Iterator<Item = u64> {
        self.proving.into_iter().map(|(_, read)| read).chain(self.fresh).map(|read| read.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_proves_only_the_reads_that_it_found_waiting() {
        let mut reads = ReadIndex::default();
        assert!(!reads.begin_round());
        reads.add(1, LogIndex(5));
        reads.add(2, LogIndex(5));
        assert!(reads.begin_round());
        reads.add(3, LogIndex(6));
        let mut proved = Vec::new();
        reads.proved(1, &mut proved);
        assert_eq!(proved.iter().map(|read| read.token).collect::<Vec<_>>(), [1, 2]);
        assert!(reads.begin_round());
        reads.proved(1, &mut proved);
        assert_eq!(proved.len(), 2);
        reads.add(4, LogIndex(7));
        assert_eq!(reads.abandon().collect::<Vec<_>>(), [3, 4]);
    }
}
