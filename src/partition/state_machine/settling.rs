//! A participant's part in settling what follows from a statement: rounds of items ([`crate::sql::Prepared::settle`]) among
//! all participants of its command.
//!
//! A round's value is a participant's message to all, like the rows that are gathered for a statement (rules B1): a function of
//! committed logs, told again to whoever asks, and logged with the decision for those who execute later. The number of rounds
//! follows from what all of them say, so all of them come to the same.

use super::StateMachine;
use super::participant::{Standing, round_of};
use crate::partition::command::dice;
use crate::partition::global::Placed;
use crate::partition::message::Settings;
use crate::sometimes;
use crate::sql;
use crate::types::{PartitionId, SqlError};
use bytes::Bytes;

/// How far the settling of the current statement has come.
#[derive(Default)]
pub(super) struct Settling {
    settlement: sql::Settlement,
    /// Rounds that are behind.
    rounds: u32,
}

impl StateMachine {
    /// Settles the statement at which a command is; `false`: messages of others are not there yet.
    pub(super) fn settle_statement(
        &mut self,
        standing: &mut Standing,
        placed: &Placed,
        settings: &Settings,
        share: sql::Share,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<bool, SqlError> {
        let (statement, number) = (&placed.statement, standing.next);
        let plan = self.plans.prepare(&self.catalog, &statement.text, settings, &statement.parameter_types)?;
        let own = u64::from(share.own.0).rotate_left(32);
        let mut settling = standing.settling.take().unwrap_or_default();
        loop {
            let seed = standing.global.seed ^ own ^ u64::from(settling.rounds + 1).rotate_left(48);
            let mut context =
                sql::Context::of(&self.catalog, settings, standing.global.timestamp, dice(seed, number), 0);
            context.at = share.own;
            let round = round_of(number, settling.rounds + 1);
            if settling.rounds == 0 && standing.sent.last().is_none_or(|(last, _)| *last != round) {
                context.changes = std::mem::take(&mut standing.changes);
                let first = plan.begin_settling(&mut self.store, &mut context, share)?;
                context.nothing_waits()?;
                standing.sent.push((round, first));
            }
            let sent = standing.sent.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
            let said = |(from, _): &(PartitionId, _)| {
                let bytes = if *from == share.own { Some(sent.clone()) } else { values(round, *from) };
                bytes.map(|bytes| (*from, bytes))
            };
            let participants = standing.global.participants.iter();
            let Some(said) = participants.map(said).collect::<Option<Vec<_>>>() else {
                standing.settling = Some(settling);
                return Ok(false);
            };
            let next = plan.settle(&mut settling.settlement, &mut self.store, &mut context, share, &said)?;
            context.nothing_waits()?;
            settling.rounds += 1;
            let Some(next) = next else {
                sometimes!("global.settled");
                sometimes!("global.settled_in_rounds", settling.rounds > 1);
                return Ok(true);
            };
            standing.sent.push((round_of(number, settling.rounds + 1), next));
        }
    }
}
