//! **Parcels**: a long command stands in the log as several entries, its *pieces*, and is executed at the last one.
//!
//! What is long at once is slow at once: an entry of 30 MB takes a link of 1 Gbit/s longer than an election time-out, and
//! until the last byte of it is there a follower has heard nothing of its leader; it would be elected instead, and could
//! be sent the same entry again. Pieces are heard, written and acknowledged one by one, and what has to be sent
//! again is one of them.
//!
//! # Invariants
//! - The pieces of a command stand next to each other: they are proposed in one call. So whatever else follows a piece than
//!   the next one (the first entry of another leader's era) says that the rest was lost with its leader, and the pieces are nothing.
//! - Execution goes from before the first piece to the last in one step: no checkpoint lies between them, so whoever
//!   begins to read the log behind one has all pieces or needs none.
//!
//! # Caveats
//! - Until the last piece is there, all are held in memory, as the command was.

use crate::consensus::{Committed, Consensus, NotLeader, Payload};
use crate::sometimes;
use crate::types::{Instant, LogIndex};
use bytes::{BufMut, Bytes, BytesMut};

/// First byte of a piece; no other command begins with it.
const PIECE: u8 = 0xff;
/// What stands before the bytes of a piece: [`PIECE`], its number, how many there are; both u32, little-endian.
const HEADER: usize = 9;
/// Pieces are not shorter, whatever is configured.
const LEAST: usize = 64;

/// What is executed at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Where it begins in the log.
    pub(super) first: LogIndex,
    /// Where it ends.
    pub(super) last: LogIndex,
    pub(super) payload: Payload,
}

/// Proposes a command, in pieces of at most so many bytes.
pub(super) fn propose(
    consensus: &mut dyn Consensus,
    now: Instant,
    command: Bytes,
    most: usize,
) -> Result<(), NotLeader> {
    for payload in cut(command, most) {
        consensus.propose(now, payload)?;
    }
    Ok(())
}

fn cut(command: Bytes, most: usize) -> Vec<Bytes> {
    let most = most.max(LEAST);
    let of = command.len().div_ceil(most);
    let Some(of) = u32::try_from(of).ok().filter(|of| *of > 1) else { return vec![command] };
    sometimes!("partition.command_cut_into_pieces");
    let piece = |(number, bytes): (u32, &[u8])| {
        let mut piece = BytesMut::with_capacity(HEADER + bytes.len());
        piece.put_u8(PIECE);
        piece.put_u32_le(number);
        piece.put_u32_le(of);
        piece.put_slice(bytes);
        piece.freeze()
    };
    (0..of).zip(command.chunks(most)).map(piece).collect()
}

/// Number of a piece, how many there are, and its bytes; `None`: it is a whole command.
pub(super) fn piece(payload: &Payload) -> Option<(u32, u32, &[u8])> {
    let Payload::Command(bytes) = payload else { return None };
    if bytes.first() != Some(&PIECE) || bytes.len() < HEADER {
        return None;
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some((word(1), word(5), &bytes[HEADER..]))
}

/// Puts pieces together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Pieces 0, 1, … of one command.
    held: Vec<Committed>,
}

impl Assembler {
    /// Takes the next committed entry; what can be executed now is handed to `whole`, in order.
    pub(super) fn push(&mut self, entry: Committed, mut whole: impl FnMut(Whole)) {
        let (number, of) = piece(&entry.payload).map_or((0, 0), |(number, of, _)| (number, of));
        let follows = of > 0
            && number as usize == self.held.len()
            && self.held.first().and_then(|first| piece(&first.payload)).is_none_or(|(_, all, _)| all == of);
        if !follows {
            for Committed { index, .. } in self.held.drain(..) {
                sometimes!("partition.pieces_without_an_end");
                whole(Whole { first: index, last: index, payload: Payload::Empty });
            }
        }
        let Committed { index, payload } = entry;
        if of == 0 {
            return whole(Whole { first: index, last: index, payload });
        }
        if !follows && number > 0 {
            // What was before it is behind a checkpoint, which could not have been there were the command whole.
            return whole(Whole { first: index, last: index, payload: Payload::Empty });
        }
        self.held.push(Committed { index, payload });
        if self.held.len() == of as usize {
            let pieces = std::mem::take(&mut self.held);
            let first = pieces.first().map_or(index, |piece| piece.index);
            let bytes = pieces.iter().filter_map(|held| piece(&held.payload)).fold(BytesMut::new(), |mut all, part| {
                all.put_slice(part.2);
                all
            });
            whole(Whole { first, last: index, payload: Payload::Command(bytes.freeze()) });
        }
    }

    /// A state has been put in the place of what was executed: entries up to there are in it.
    pub(super) fn forget_through(&mut self, executed: LogIndex) {
        if self.held.first().is_some_and(|first| first.index <= executed) {
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assemble(assembler: &mut Assembler, log: &[Bytes], after: u64) -> Vec<Whole> {
        let mut all = Vec::new();
        for (payload, index) in log.iter().zip(after + 1..) {
            let payload = if payload.is_empty() { Payload::Empty } else { Payload::Command(payload.clone()) };
            assembler.push(Committed { index: LogIndex(index), payload }, |whole| all.push(whole));
        }
        all
    }

    #[test]
    fn pieces_without_an_end_are_nothing() {
        let command = Bytes::from(vec![1; 200]);
        let pieces = cut(command.clone(), 64);
        assert_eq!(pieces.len(), 4);
        // A leader dies, the next one begins its era; then the command comes again.
        let log = [&pieces[..2], &[Bytes::new()], &pieces[..]].concat();
        let all = assemble(&mut Assembler::default(), &log, 0);
        let spans: Vec<_> = all.iter().map(|whole| (whole.first.0, whole.last.0)).collect();
        assert_eq!(spans, [(1, 1), (2, 2), (3, 3), (4, 7)]);
        assert!(all[..3].iter().all(|whole| whole.payload == Payload::Empty));
        assert_eq!(all[3].payload, Payload::Command(command));
    }

    #[test]
    fn a_state_that_comes_from_elsewhere_covers_pieces() {
        let pieces = cut(Bytes::from(vec![1; 200]), 64);
        let mut assembler = Assembler::default();
        assert!(assemble(&mut assembler, &pieces[..2], 0).is_empty());
        assembler.forget_through(LogIndex(7));
        assert_eq!(assemble(&mut assembler, &[Bytes::from_static(&[1])], 7).len(), 1);
    }

    proptest! {
        #[test]
        fn commands_come_out_as_they_went_in(
            commands in prop::collection::vec((0_u8..4, 1_usize..600), 1..12), most in 64_usize..300, from in 0_usize..12,
        ) {
            let commands: Vec<Bytes> = commands.into_iter().map(|(byte, length)| vec![byte; length].into()).collect();
            let log: Vec<Bytes> = commands.iter().flat_map(|command| cut(command.clone(), most)).collect();
            let all = assemble(&mut Assembler::default(), &log, 0);
            let payloads: Vec<_> = all.iter().map(|whole| whole.payload.clone()).collect();
            let expected: Vec<_> = commands.into_iter().map(Payload::Command).collect();
            prop_assert_eq!(payloads, expected);
            prop_assert!(all.windows(2).all(|two| two[0].last.next() == two[1].first));
            // Whoever begins to read anywhere covers every place once.
            let from = from.min(log.len() - 1);
            let rest = assemble(&mut Assembler::default(), &log[from..], from as u64);
            prop_assert_eq!(rest.first().map(|whole| whole.first.0), Some(from as u64 + 1));
            prop_assert!(rest.windows(2).all(|two| two[0].last.next() == two[1].first));
        }
    }
}
