//! A command of this partition alone that is executed in slices ([`crate::partition::slice`]): a batch of statements, or the
//! list of a transaction.
//!
//! While it is under way the machine stands: `executed` and the digest are those from before it. It depends on nobody, so it is
//! gone on with turn after turn.

use super::{Executed, StateMachine};
use crate::catalog::Asked;
use crate::partition::command::{CommandBody, CommandV1};
use crate::partition::message::{Outcome, ReplyBody, Statement, StatementResult};
use crate::partition::slice::Slice;
use crate::partition::transaction::{self, Progress};
use crate::sometimes;
use crate::sql;
use crate::storage::Mark;
use crate::types::LogIndex;

/// A command in the middle.
pub(super) struct UnderWay {
    command: CommandV1,
    /// Where it ends in the log.
    pub(super) index: LogIndex,
    mark: Mark,
    /// Digest of the state before it.
    pub(super) digest: u128,
    /// Of a batch: what its statements have come to so far.
    results: Vec<StatementResult>,
    /// Of a list.
    progress: Progress,
    /// Of the pieces of a COPY: what they have changed, until the last one.
    changes: sql::Changes,
}

/// May it be cut? A single statement may not.
pub(super) fn is_long(body: &CommandBody) -> bool {
    match body {
        CommandBody::Execute { statements, .. } => statements.len() > 1,
        CommandBody::Commit(list) => list.parts.iter().map(|part| part.actions.len()).sum::<usize>() > 1,
        _ => false,
    }
}

impl StateMachine {
    /// Is a command under way that the next slice goes on with?
    #[must_use]
    pub(in crate::partition) fn goes_on(&self) -> bool {
        self.under_way.is_some() || self.standing.as_ref().is_some_and(|standing| standing.paused)
    }

    /// Is it one of this partition alone?
    #[must_use]
    pub(in crate::partition) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Executes a command that ends at `index`, as far as the slice goes; `digest`: of the state before it, if it may be cut.
    pub(super) fn begin(
        &mut self,
        first: LogIndex,
        index: LogIndex,
        digest: Option<u128>,
        command: CommandV1,
        slice: &mut Slice,
    ) -> Executed {
        let mut under_way = UnderWay {
            command,
            index,
            mark: self.store.mark(),
            digest: digest.unwrap_or_default(),
            results: Vec::new(),
            progress: Progress::default(),
            changes: sql::Changes::default(),
        };
        let mut whole = Slice::whole();
        let outcome = self.as_far_as(&mut under_way, if digest.is_some() { slice } else { &mut whole });
        slice.add(&whole);
        match outcome {
            Some((outcome, asked)) => self.done(under_way.command.id, outcome, asked),
            None => {
                sometimes!("partition.command_cut_into_slices");
                self.executed = first.previous();
                self.under_way = Some(Box::new(under_way));
                Executed::default()
            }
        }
    }

    /// Goes on with the command that is under way; `None`: it still is, or none was.
    pub(in crate::partition) fn go_on_alone(&mut self, slice: &mut Slice) -> Option<Executed> {
        let mut under_way = self.under_way.take()?;
        let Some((outcome, asked)) = self.as_far_as(&mut under_way, slice) else {
            self.under_way = Some(under_way);
            return None;
        };
        self.executed = under_way.index;
        Some(self.done(under_way.command.id, outcome, asked))
    }

    fn as_far_as(&mut self, under_way: &mut UnderWay, slice: &mut Slice) -> Option<(Outcome, Asked)> {
        let UnderWay { command, mark, results, progress, changes, .. } = under_way;
        let (outcome, keeps) = match &command.body {
            CommandBody::Execute { statements, settings, .. } => {
                let outcome = self.statements(command, (statements, settings), (results, changes), slice)?;
                let keeps = matches!(outcome, Outcome::Results(_));
                (outcome, keeps)
            }
            CommandBody::Commit(list) => {
                let (store, plans, catalog) = (&mut self.store, &mut self.plans, &self.catalog);
                let outcome = transaction::execute_again(store, self.partition, catalog, plans, list, progress, slice)?;
                let outcome = progress.nothing_waits(outcome);
                let keeps = outcome == Outcome::Committed;
                (outcome, keeps)
            }
            _ => unreachable!("what has no statements is not begun"),
        };
        if !keeps {
            self.store.rollback(*mark);
        }
        let asked = self.asked_by_written();
        self.store.commit();
        Some((outcome, asked))
    }

    fn statements(
        &mut self,
        command: &CommandV1,
        (statements, settings): (&[Statement], &crate::partition::message::Settings),
        (results, changes): (&mut Vec<StatementResult>, &mut sql::Changes),
        slice: &mut Slice,
    ) -> Option<Outcome> {
        while let Some(statement) = statements.get(results.len()) {
            if slice.is_spent() {
                return None;
            }
            let (number, before) = (results.len(), self.store.pending());
            let pieces = (statement, statements.get(number + 1));
            let result = self.execute_statement(command, number, pieces, settings, changes);
            slice.spend(self.store.pending().saturating_sub(before));
            match result {
                Ok(result) => results.push(result),
                Err(error) => {
                    return Some(Outcome::Error { statement: u32::try_from(number).unwrap_or(u32::MAX), error });
                }
            }
        }
        Some(Outcome::Results(std::mem::take(results)))
    }

    /// Notes what a request has come to.
    fn done(&mut self, id: crate::types::RequestId, outcome: Outcome, asked: Asked) -> Executed {
        self.dedup.record(id, &outcome);
        self.dedup.ask(id, asked);
        Executed { asked, ..Executed::answer(id, ReplyBody::Done(outcome)) }
    }
}
