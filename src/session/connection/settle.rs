//! What follows from a statement of a block for other partitions (`crate::sql`, its `integrity`), settled on their forks.
//!
//! A statement whose constraints concern several partitions is executed on the forks of those that it touches; each answers,
//! besides its result, what it has to say to others. What all have said is one more action for every fork that takes part, and
//! for those that something is addressed to, and so on, round by round, until nobody has anything to say. Only then is the
//! statement over. COMMIT executes all of it again, each partition with what the others said then: since each one's own words are
//! compared, what it was told is what would be said again.
//!
//! # Invariants
//! - Whoever takes part in one round of a statement takes part in all that follow: what is looked at in the end is held until it
//!   is known that no action is left.

use super::Connection;
use super::Job;
use super::block::Block;
use super::calls::Role;
use super::step::StepJob;
use crate::partition::message::{Action, Settle, StatementResult};
use crate::partition::{seen, seen_error};
use crate::session::shared::Turn;
use crate::sql;
use crate::types::{PartitionId, SqlError, SqlState, Value};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How far the settling of a statement has come.
#[derive(Default)]
pub(super) struct Rounds {
    /// Who takes part.
    participants: BTreeSet<PartitionId>,
    /// What was said in the round before, by whom.
    said: Vec<(PartitionId, Bytes)>,
    /// Rounds begun; 0: the statement itself is executed.
    pub(super) begun: u32,
    /// What is said in this one.
    answers: BTreeMap<PartitionId, Result<StatementResult, SqlError>>,
}

impl Rounds {
    /// What a partition has said in this round.
    pub(super) fn words_of(&self, partition: PartitionId) -> Option<&StatementResult> {
        self.answers.get(&partition)?.as_ref().ok()
    }

    /// A partition's words came with its result.
    pub(super) fn heard(&mut self, from: PartitionId, answer: Result<StatementResult, SqlError>) {
        self.participants.insert(from);
        self.answers.insert(from, answer);
    }
}

/// What a partition says, in the form of a result.
fn words(answer: &StatementResult) -> Option<Bytes> {
    match answer.rows.first()?.first()? {
        Value::Bytea(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

impl StepJob {
    /// As the forks are asked it.
    pub(super) fn settle_action(&self, number: u32, partitions: u32) -> Option<Action> {
        let rounds = self.rounds.as_ref()?;
        let mut statement = super::execution::statement(&self.item);
        // The text alone says what hangs together.
        statement.parameters.clear();
        Some(Action::Settle(Settle { statement, number, partitions, round: rounds.begun, said: rounds.said.clone() }))
    }
}

impl Connection {
    /// Everybody has answered: goes on with the next round, or with the result of the statement.
    pub(super) fn settle_on(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>) {
        let partitions = turn.shared.config.partitions;
        let Some(rounds) = &mut job.rounds else { return self.step_settled(turn, job) };
        let answers = std::mem::take(&mut rounds.answers);
        let said = answers.iter().filter_map(|(from, answer)| Some((*from, words(answer.as_ref().ok()?)?)));
        rounds.said = said.collect();
        let addressed = match sql::addressed(&rounds.said, partitions) {
            Ok(addressed) => addressed,
            Err(error) => return self.step_failed(turn, job, error),
        };
        let nothing_follows = rounds.begun == 0 && addressed.is_empty();
        if rounds.said.is_empty() || nothing_follows {
            return self.step_settled(turn, job);
        }
        sometimes!("session.block_settles");
        rounds.begun += 1;
        // Planted 220: what is deferred is not looked up where the block has not been.
        if !(planted!(220) && job.item.plan.due().is_some()) {
            rounds.participants.extend(addressed);
        }
        let participants = rounds.participants.clone();
        let bytes = rounds.said.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        if !open.take_room(bytes.saturating_mul(participants.len())) {
            return self.step_failed(turn, job, super::open::too_large());
        }
        let touched = participants.iter().copied().filter(|partition| open.touch(*partition));
        job.new.extend(touched);
        job.new.sort_unstable();
        open.unsure = true;
        job.waiting = participants.len();
        let bodies: Vec<_> = participants.iter().map(|partition| self.step_body(turn, &job, *partition)).collect();
        self.job = Some(Job::Step(job));
        for (partition, body) in participants.into_iter().zip(bodies) {
            match body {
                Some(body) => self.start_call(turn, Role::Step, partition, body),
                None => return self.broken(turn),
            }
        }
    }

    /// A round has been answered by all who take part.
    pub(super) fn round_done(&mut self, turn: &mut Turn<'_>, job: Box<StepJob>) {
        let Some(rounds) = &job.rounds else { return self.broken(turn) };
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        let number = open.statements.saturating_sub(1);
        let Some(action) = job.settle_action(number, turn.shared.config.partitions) else { return self.broken(turn) };
        for (partition, answer) in &rounds.answers {
            let digest = match answer {
                Ok(words) => seen(words, true),
                Err(error) => seen_error(error),
            };
            if let Some(list) = open.lists.get_mut(partition) {
                list.record(self.settings.travelling(), action.clone(), digest);
            }
        }
        open.unsure = false;
        let errors = || rounds.answers.values().filter_map(|answer| answer.as_ref().err());
        let conflict = |error: &&SqlError| error.state == SqlState::SERIALIZATION_FAILURE;
        if let Some(error) = errors().find(conflict).or_else(|| errors().next()).cloned() {
            return self.step_failed(turn, job, error);
        }
        self.settle_on(turn, job);
    }
}
