//! What a leader keeps of reads over several partitions (rules A10): which of those that are open are known to be everywhere,
//! what may not be said before, and the rows that they are to be shown. All of it is volatile: a new leader says nothing until
//! it has heard of the open ones again, and a read whose rows it has not is begun anew by its session.

use crate::partition::global::GlobalOutcome;
use crate::partition::message::Reply;
use crate::partition::{Origin, StateMachine};
use crate::storage::Store;
use crate::types::{GlobalNumber, RequestId, Sequence, SessionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Most pictures that wait for whoever asked for them; the oldest goes first.
const MAX_PICTURES: usize = 64;
/// Most answers kept for a retry, and most rows of such an answer.
const KEPT_ANSWERS: usize = 64;
const KEPT_ROWS: usize = 64;

/// The first of all identities.
const FIRST: RequestId = RequestId { session: SessionId { gateway: 0, counter: 0 }, sequence: Sequence(0) };

/// A read at its place: what it is to be shown there.
pub(in crate::partition) struct Showing {
    pub(in crate::partition) global: Arc<super::Global>,
    pub(in crate::partition) vote: super::Vote,
    /// The rows as they were at its place: a pointer for each tree.
    pub(in crate::partition) rows: Store,
    /// And the catalog.
    pub(in crate::partition) catalog: Arc<crate::catalog::Catalog>,
}

/// What a leader keeps.
#[derive(Default)]
pub(in crate::partition) struct Reads {
    /// Open ones that all participants have come to.
    pub(in crate::partition) known: BTreeSet<GlobalNumber>,
    /// Open ones on which this participant has said its vote.
    pub(in crate::partition) told: BTreeSet<GlobalNumber>,
    /// Answers that nobody may see yet, each with the read that has to be known first.
    held: BTreeMap<(GlobalNumber, RequestId), (Origin, Reply)>,
    pictures: VecDeque<Showing>,
    answers: VecDeque<(RequestId, GlobalNumber, GlobalOutcome)>,
}

impl Reads {
    /// Holds an answer back until this read is known. A later attempt's takes the place of an earlier one's.
    pub(in crate::partition) fn hold(&mut self, behind: GlobalNumber, origin: Origin, reply: Reply) {
        self.held.insert((behind, reply.id), (origin, reply));
    }

    /// How many answers are held back.
    pub(in crate::partition) fn holds(&self) -> usize {
        self.held.len()
    }

    /// Answers that are held back for nothing any more: all reads before this one are known; without one, all.
    pub(in crate::partition) fn release(&mut self, unknown: Option<GlobalNumber>) -> Vec<(Origin, Reply)> {
        let still = unknown.map(|first| self.held.split_off(&(first, FIRST))).unwrap_or_default();
        std::mem::replace(&mut self.held, still).into_values().collect()
    }

    /// Keeps what a read is to be shown.
    pub(in crate::partition) fn keep(&mut self, showing: Showing) {
        if self.pictures.len() >= MAX_PICTURES {
            crate::sometimes!("global.too_many_pictures");
            self.pictures.pop_front();
        }
        self.pictures.push_back(showing);
    }

    /// What came of the read that this request is. It is executed when it is first asked for; its rows are then let go.
    pub(in crate::partition) fn answer(
        &mut self,
        machine: &mut StateMachine,
        id: RequestId,
    ) -> Option<(GlobalNumber, GlobalOutcome)> {
        if let Some((_, number, outcome)) = self.answers.iter().find(|(of, ..)| *of == id) {
            return Some((*number, outcome.clone()));
        }
        let at = self.pictures.iter().position(|showing| showing.global.id == id)?;
        let showing = self.pictures.remove(at)?;
        let (number, outcome) = (showing.global.number, machine.show(&showing));
        // A long answer that is lost on its way is asked for by another read.
        if outcome.results.iter().map(|result| result.rows.len()).sum::<usize>() <= KEPT_ROWS {
            if self.answers.len() >= KEPT_ANSWERS {
                self.answers.pop_front();
            }
            self.answers.push_back((id, number, outcome.clone()));
        }
        Some((number, outcome))
    }

    /// What was heard and said about reads that are not open any more is of no more use.
    pub(in crate::partition) fn forget(&mut self, number: GlobalNumber) {
        self.known.remove(&number);
        self.told.remove(&number);
    }

    /// For tests: all of it.
    #[cfg(test)]
    pub(in crate::partition) fn fingerprint(&self) -> String {
        let pictures: Vec<_> = self.pictures.iter().map(|showing| showing.global.number).collect();
        let Self { known, told, held, answers, .. } = self;
        let held: Vec<_> = held.iter().map(|(key, (_, reply))| (key, &reply.body)).collect();
        format!("{known:?} {told:?} {held:?} {pictures:?} {answers:?}")
    }
}
