//! The state machine as a participant of global commands ([`crate::partition::global`]).
//!
//! [`StateMachine::execute`] comes to a global entry and *stands*: its part is executed tentatively, under a mark of the
//! store's undo journal, and `executed` stays before it. [`StateMachine::settle`] ends that, either way. What a
//! standing machine shows of itself ([`StateMachine::digest`], and no snapshot at all) is what was before.
//!
//! The cluster partition never stands. It takes part in definitions only, one at a time, and its part is the catalog: that
//! changes where the decision stands in its log.
//!
//! # Caveats
//! - A decision may stand in a log more than once: leaders that follow one another each log what they know. Only the one on what
//!   is under way may end anything. (Any one once did, and a replica restored from a checkpoint no longer knew of the
//!   definition that the others held to be under way: `regressions/decision_twice`.)

use super::settling::Settling;
use super::{Executed, StateMachine};
use crate::catalog::{Asked, Catalog};
use crate::partition::command::dice;
use crate::partition::dedup::Seen;
use crate::partition::global::{Ddl, Global, GlobalBody, GlobalOutcome, Placed, Remembered, Said, Values, Vote};
use crate::partition::message::{Commitment, Outcome, ReplyBody, Settings, StatementResult};
use crate::partition::slice::Slice;
use crate::partition::tokens::Token;
use crate::partition::transaction::{self, Progress};
use crate::sql;
use crate::storage::{self, Mark, Store};
use crate::types::{GlobalNumber, LogIndex, PartitionId, RequestId, SqlError, SqlState};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::sync::Arc;

/// A command at which the machine stands, or a definition that is not decided (cluster partition).
pub(in crate::partition) struct Standing {
    pub(in crate::partition) global: Arc<Global>,
    /// Where it stands in the log.
    pub(super) index: LogIndex,
    mark: Mark,
    /// Digest of the state before it.
    pub(super) digest: u128,
    results: Vec<StatementResult>,
    /// The next statement.
    pub(super) next: usize,
    /// What came of it, if what follows from it is not settled yet.
    result: Option<StatementResult>,
    pub(super) settling: Option<Settling>,
    /// Changes that are to be settled.
    pub(super) changes: sql::Changes,
    /// What the others need of this partition, each with the number of the statement that it is for.
    pub(in crate::partition) sent: Vec<(u32, Bytes)>,
    /// The slice came to its end before it did; it waits for nobody.
    pub(in crate::partition) paused: bool,
    /// How far its list has been executed again.
    progress: Progress,
    /// Rows that each statement has touched everywhere: for its idempotency token, at that one's home.
    pub(super) affected: Option<Vec<u64>>,
    /// Its vote, once it has come to an end.
    pub(in crate::partition) vote: Option<Vote>,
    /// A definition's.
    definition: Option<Defined>,
    /// The lists that come before definitions have been executed: the rows then.
    listed: Option<Mark>,
}

impl Standing {
    fn new(global: Arc<Global>, index: LogIndex, mark: Mark, digest: u128, vote: Option<Vote>) -> Self {
        Self {
            global,
            index,
            mark,
            digest,
            results: Vec::new(),
            next: 0,
            result: None,
            settling: None,
            changes: sql::Changes::default(),
            sent: Vec::new(),
            paused: false,
            progress: Progress::default(),
            affected: None,
            vote,
            definition: None,
            listed: None,
        }
    }

    /// For a planted bug: the rows as they were before it.
    pub(super) fn undone(&self, store: &Store) -> storage::Snapshot {
        let mut store = store.clone();
        store.rollback(self.mark);
        store.snapshot()
    }

    /// Its vote, as it is told.
    pub(in crate::partition) fn said(&self, vote: &Vote) -> Said {
        Said::Vote { vote: vote.clone(), rounds: self.sent.iter().map(|(round, _)| *round).collect() }
    }
}

/// What a definition comes to if it is committed.
struct Defined {
    catalog: Arc<Catalog>,
    tag: String,
    notices: Vec<SqlError>,
}

/// What the machine has to say to a command.
pub(in crate::partition) enum Position<'a> {
    /// It has not come to it.
    Ahead,
    /// It stands at it.
    Standing(&'a Standing),
    /// It is a read that is open.
    Open,
    /// It is decided.
    Decided(Box<Remembered>),
    /// It is forgotten: settled everywhere.
    Forgotten,
}

impl StateMachine {
    /// The command at which execution stands, or the undecided definition of the cluster partition.
    pub(in crate::partition) const fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// Does execution stand, at an undecided command or in the middle of one? (It never does in the cluster partition.)
    #[must_use]
    pub fn stands(&self) -> bool {
        (self.standing.is_some() && self.partition != PartitionId::CLUSTER) || self.under_way.is_some()
    }

    /// The last global command in this committed log, decided or not.
    pub(in crate::partition) fn received(&self) -> GlobalNumber {
        self.standing.as_ref().map_or(self.globals.last, |standing| standing.global.number)
    }

    /// For planted bugs: the place in the log that it has come to, decided or not.
    pub(in crate::partition) fn reached(&self) -> LogIndex {
        let under_way = self.under_way.as_ref().map(|under_way| under_way.index);
        let standing = self.standing.as_ref().filter(|_| self.stands()).map(|standing| standing.index);
        under_way.or(standing).unwrap_or(self.executed)
    }

    /// The log holds the decisions on all global commands up to here.
    pub(in crate::partition) fn settled(&self) -> GlobalNumber {
        let open = self.globals.undeclared.first().map(|first| GlobalNumber(first.0 - 1));
        open.unwrap_or(self.globals.last)
    }

    /// Decided commands whose decision is not in the log.
    pub(in crate::partition) fn undeclared(&self) -> impl Iterator<Item = (GlobalNumber, bool, Values)> + '_ {
        let outcome = |number: &GlobalNumber| self.memory.outcome(*number).map(|outcome| (*number, outcome));
        let open = self.globals.undeclared.iter().filter_map(outcome);
        open.map(|(number, outcome)| (number, outcome.committed, outcome.values))
    }

    /// The last command that is decided, and the decision not in the log yet.
    pub(in crate::partition) fn last_undeclared(&self) -> Option<GlobalNumber> {
        self.globals.undeclared.last().copied()
    }

    /// Nothing below is remembered.
    pub(in crate::partition) const fn forgotten(&self) -> GlobalNumber {
        self.globals.forgotten
    }

    /// Would it forget anything below?
    pub(in crate::partition) fn remembers_below(&self, below: GlobalNumber) -> bool {
        self.memory.remembers_below(below)
    }

    /// Where it stands with respect to a command.
    pub(in crate::partition) fn position(&self, number: GlobalNumber) -> Position<'_> {
        if let Some(standing) = self.standing.as_ref().filter(|standing| standing.global.number == number) {
            return Position::Standing(standing);
        }
        if self.globals.open.contains_key(&number) {
            return Position::Open;
        }
        // Planted 103: votes are forgotten once the own decision is made.
        if let Some(outcome) = self.memory.outcome(number).filter(|_| !planted!(103)) {
            return Position::Decided(Box::new(outcome));
        }
        if number < self.globals.forgotten || number <= self.globals.last {
            Position::Forgotten
        } else {
            Position::Ahead
        }
    }

    /// What a request over several partitions came to here; `None`: it is not decided.
    pub(in crate::partition) fn collect(&self, id: RequestId, number: GlobalNumber) -> Option<ReplyBody> {
        if self.partition == PartitionId::CLUSTER {
            return match self.position(number) {
                Position::Decided(outcome) => Some(ReplyBody::Done(Outcome::Global(Box::new(told(*outcome))))),
                Position::Forgotten => Some(ReplyBody::Done(Outcome::ResultNotKept)),
                Position::Standing(_) | Position::Open | Position::Ahead => None,
            };
        }
        match self.dedup.look_up(id) {
            Seen::Executed(outcome) => Some(ReplyBody::Done(outcome)),
            Seen::Stale => Some(ReplyBody::Stale),
            // A read's rows were another leader's, or have been let go.
            Seen::New => match self.position(number) {
                Position::Open | Position::Decided(_) | Position::Forgotten => {
                    sometimes!("global.read_lost");
                    Some(ReplyBody::Done(Outcome::ResultNotKept))
                }
                Position::Standing(_) | Position::Ahead => None,
            },
        }
    }

    /// Comes to a global entry of so many bytes. Afterwards it stands, or it was a read that does not wait, or nothing.
    pub(super) fn come_to(
        &mut self,
        first: LogIndex,
        index: LogIndex,
        bytes: usize,
        global: Arc<Global>,
        slice: &mut Slice,
    ) -> Executed {
        let Some(previous) = global.previous(self.partition) else { return Executed::default() };
        let follows = previous == self.globals.last || (planted!(104) && global.number > self.globals.last);
        if !follows {
            sometimes!("global.entry_repeated", global.number <= self.globals.last);
            sometimes!("global.entry_out_of_order", global.number > self.globals.last);
            return Executed::default();
        }
        if self.globals.opens(&global, bytes) {
            return self.open_read(index, global);
        }
        let digest = self.digest();
        self.executed = first.previous();
        let mark = self.store.mark();
        let vote = self.refusal(&global);
        sometimes!("global.replan", matches!(vote, Some(Vote::Replan { .. })));
        sometimes!("global.duplicate", matches!(vote, Some(Vote::Duplicate)));
        self.standing = Some(Standing::new(global, index, mark, digest, vote));
        self.go_on(&|_, _| None, slice);
        Executed::default()
    }

    /// Why a command cannot be executed at all.
    fn refusal(&self, global: &Global) -> Option<Vote> {
        if !global.body.only_reads() && self.dedup.look_up(global.id) != Seen::New && !planted!(105) {
            return Some(Vote::Duplicate);
        }
        let version = self.catalog.version;
        if global.body.catalog_version() != version {
            return Some(Vote::Replan { version });
        }
        let token = global.body.token().filter(|token| token.home == self.partition)?;
        if let Some(spent) = self.dedup.spent(&token.key) {
            sometimes!("global.token_spent");
            return Some(Vote::Spent(Box::new(spent)));
        }
        self.dedup.refuses_tokens().map(|error| Vote::Error { statement: 0, error: Box::new(error) })
    }

    /// Goes on executing the command at which it stands, as far as the others' values are there and the slice goes.
    pub(in crate::partition) fn go_on(
        &mut self,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
        slice: &mut Slice,
    ) {
        let Some(mut standing) = self.standing.take_if(|standing| standing.vote.is_none()) else { return };
        standing.paused = false;
        let global = Arc::clone(&standing.global);
        let vote = match &*global.body {
            GlobalBody::Execute { statements, settings, partitions, token, .. } => {
                let share = sql::Share { own: self.partition, partitions: *partitions };
                let vote = self.execute_placed(&mut standing, statements, settings, share, values, slice);
                match token.as_ref().filter(|token| token.tags && vote.as_ref().is_some_and(Vote::is_yes)) {
                    Some(token) => self.tally(&mut standing, token, statements, settings, values),
                    None => vote,
                }
            }
            GlobalBody::Commit { lists, only_validate, .. } => {
                self.execute_list(&mut standing, lists, *only_validate, slice)
            }
            GlobalBody::Define { definitions, lists, .. } => {
                let before = self.store.pending();
                let vote = match self.execute_before(&mut standing, lists, slice) {
                    Some(Vote::Yes) => self.define_tentatively(&mut standing, definitions, values),
                    other => other,
                };
                // It cannot be cut, and it takes its time all the same.
                let looked_at = self.groundwork.take_rows_in_turn();
                slice.spend_rows(self.store.pending().saturating_sub(before) + looked_at);
                vote
            }
            // It is executed when it is everywhere.
            GlobalBody::Read { .. } | GlobalBody::Cut { .. } => Some(Vote::Yes),
        };
        let keeps = vote.as_ref().is_none_or(Vote::is_yes);
        if !keeps {
            self.store.rollback(standing.mark);
            standing.results.clear();
        }
        sometimes!("global.voted", vote.is_some());
        sometimes!("global.command_cut_into_slices", standing.paused);
        standing.vote = vote;
        self.standing = Some(standing);
    }

    fn execute_placed(
        &mut self,
        standing: &mut Standing,
        statements: &[Placed],
        settings: &Settings,
        share: sql::Share,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
        slice: &mut Slice,
    ) -> Option<Vote> {
        while let Some(placed) = statements.get(standing.next) {
            if slice.is_spent() {
                standing.paused = true;
                return None;
            }
            let before = self.store.pending();
            let following = statements.get(standing.next + 1);
            let result = self.execute_and_settle(standing, placed, following, settings, share, values);
            slice.spend(self.store.pending().saturating_sub(before));
            match result {
                Ok(Some(result)) => standing.results.push(result),
                Ok(None) => {
                    sometimes!("global.waits_for_values");
                    return None;
                }
                Err(error) => {
                    let statement = u32::try_from(standing.next).unwrap_or(u32::MAX);
                    return Some(Vote::Error { statement, error: Box::new(error) });
                }
            }
            standing.next += 1;
        }
        Some(Vote::Yes)
    }

    /// Executes this participant's part of a statement, and of what follows from it; `None`: it needs values that are not
    /// there yet. The pieces of a COPY are one statement, which ends with the last.
    fn execute_and_settle(
        &mut self,
        standing: &mut Standing,
        placed: &Placed,
        following: Option<&Placed>,
        settings: &Settings,
        share: sql::Share,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<Option<StatementResult>, SqlError> {
        let goes_on = match following.filter(|next| next.statement.text == placed.statement.text) {
            Some(Placed { statement, .. }) => {
                let plan = self.plans.prepare(&self.catalog, &statement.text, settings, &statement.parameter_types)?;
                plan.is_copy()
            }
            None => false,
        };
        let result = match standing.result.take() {
            Some(result) => result,
            None if placed.at.binary_search(&self.partition).is_ok() => {
                match self.execute_one(standing, (placed, goes_on), settings, share, values)? {
                    Some(result) => result,
                    None => return Ok(None),
                }
            }
            None => StatementResult::default(),
        };
        if placed.settles && !goes_on && !self.settle_statement(standing, placed, settings, share, values)? {
            standing.result = Some(result);
            return Ok(None);
        }
        Ok(Some(result))
    }

    /// Executes this participant's part of a statement; `None`: it needs values that are not there yet.
    fn execute_one(
        &mut self,
        standing: &mut Standing,
        (placed, goes_on): (&Placed, bool),
        settings: &Settings,
        share: sql::Share,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<Option<StatementResult>, SqlError> {
        let (statement, global, number) = (&placed.statement, &standing.global, standing.next);
        let plan = self.plans.prepare(&self.catalog, &statement.text, settings, &statement.parameter_types)?;
        // Planted 112: each participant takes its own time for the command's.
        let now = if planted!(112) { self.last_timestamp.max(global.timestamp) } else { global.timestamp };
        let several = placed.at.len() > 1;
        // Rows that each draws for itself must not draw alike; what all draw alike must.
        let own = if several && plan.draws_by_row() { u64::from(share.own.0).rotate_left(32) } else { 0 };
        let mut context =
            sql::Context::of(&self.catalog, settings, now, dice(global.seed ^ own, number), statement.max_rows);
        context.at = share.own;
        context.together = placed.settles || goes_on;
        context.changes = std::mem::take(&mut standing.changes);
        if !several {
            let result = plan.execute(&mut self.store, &statement.parameters, &mut context);
            context.nothing_waits()?;
            standing.changes = context.changes;
            return result.map(Some);
        }
        context.share = Some(share);
        if !placed.gathers {
            let result = plan.run_fragment(&mut self.store, &statement.parameters, &mut context);
            standing.changes = context.changes;
            return result.map(Some);
        }
        let round = round_of(number, 0);
        if standing.sent.last().is_none_or(|(last, _)| *last != round) {
            let mut context = context.clone();
            let own = plan.contribution(&self.store, &statement.parameters, &mut context)?;
            standing.sent.push((round, own));
        }
        let own = standing.sent.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let value = |from: &PartitionId| {
            let bytes = if *from == share.own { Some(own.clone()) } else { values(round, *from) };
            bytes.map(|bytes| (*from, bytes))
        };
        let Some(contributions) = placed.at.iter().map(value).collect::<Option<Vec<_>>>() else { return Ok(None) };
        sometimes!("global.gathered");
        let result = plan.execute_gathered(&mut self.store, &contributions, &statement.parameters, &mut context);
        standing.changes = context.changes;
        result.map(Some)
    }

    fn execute_list(
        &mut self,
        standing: &mut Standing,
        lists: &[(PartitionId, Commitment)],
        only_validate: bool,
        slice: &mut Slice,
    ) -> Option<Vote> {
        let Some((_, list)) = lists.iter().find(|(partition, _)| *partition == self.partition) else {
            return Some(Vote::Yes);
        };
        let (store, plans, catalog) = (&mut self.store, &mut self.plans, &self.catalog);
        let progress = &mut standing.progress;
        let outcome = transaction::execute_again(store, self.partition, catalog, plans, list, progress, slice);
        standing.paused = outcome.is_none();
        if only_validate && outcome.is_some() {
            self.store.rollback(standing.mark);
        }
        let outcome = if only_validate { outcome? } else { standing.progress.nothing_waits(outcome?) };
        Some(match outcome {
            Outcome::Error { error, .. } => Vote::Mismatch { error: Box::new(error) },
            _ => Vote::Yes,
        })
    }

    /// Executes what the transaction that defines has done with rows before it defines; `None`: not to its end.
    fn execute_before(
        &mut self,
        standing: &mut Standing,
        lists: &[(PartitionId, Commitment)],
        slice: &mut Slice,
    ) -> Option<Vote> {
        // Planted 229: only the definitions count.
        if standing.listed.is_none() && !planted!(229) {
            let vote = self.execute_list(standing, lists, false, slice)?;
            if !vote.is_yes() {
                return Some(vote);
            }
            standing.listed = Some(self.store.mark());
        }
        Some(Vote::Yes)
    }

    /// Executes definitions on the catalog's copy and on the rows that are here; `None`: rows of others are still to come.
    /// It is begun again when they have.
    fn define_tentatively(
        &mut self,
        standing: &mut Standing,
        definitions: &[Ddl],
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Option<Vote> {
        // It begins anew when all that it waits for has come, not each time that somebody asks: it may be long.
        let (own, global) = (self.partition, Arc::clone(&standing.global));
        let mut data = global.others(own).filter(|other| *other != PartitionId::CLUSTER);
        if let Some((round, _)) = standing.sent.last()
            && data.any(|other| values(*round, other).is_none())
        {
            return None;
        }
        self.store.rollback(standing.listed.unwrap_or(standing.mark));
        let mut round = 0;
        let mut defined = Defined { catalog: Arc::clone(&self.catalog), tag: String::new(), notices: Vec::new() };
        for (number, definition) in definitions.iter().enumerate() {
            match self.defined(standing, &defined.catalog, (number, definition), &mut round, values) {
                Ok(Some(next)) => defined = next,
                Ok(None) => return None,
                Err(error) => {
                    let statement = u32::try_from(number).unwrap_or(u32::MAX);
                    return Some(Vote::Error { statement, error: Box::new(error) });
                }
            }
        }
        standing.definition = Some(defined);
        Some(Vote::Yes)
    }

    /// What a text makes of the catalog; indexes that were to be built are in use in the end. Rows follow step by step.
    fn defined(
        &mut self,
        standing: &mut Standing,
        before: &Arc<Catalog>,
        (number, definition): (usize, &Ddl),
        round: &mut u32,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<Option<Defined>, SqlError> {
        let (text, settings) = (&definition.text, &*definition.settings);
        let data = standing.global.participants.iter().filter(|(partition, _)| *partition != PartitionId::CLUSTER);
        let partitions = u32::try_from(data.count()).unwrap_or(u32::MAX);
        let Global { timestamp, seed, .. } = *standing.global;
        // Of the others' replicas the cluster partition knows, and votes for all.
        let formed = self.partition == PartitionId::CLUSTER && self.directory.is_formed();
        let replicas = formed.then_some(self.directory.voters);
        let surroundings = sql::Surroundings { settings, partitions, now: timestamp, replicas };
        let sql::Definition { mut catalog, tag, notices, mut work } = define(before, text, &surroundings)?;
        let mut context = sql::Context::of(before, settings, timestamp, dice(seed, number), 0);
        let mut before = Arc::clone(before);
        context.share = Some(sql::Share { own: self.partition, partitions });
        loop {
            if !self.bring_rows(standing, (&before, &catalog), &work, &mut context, round, values)? {
                return Ok(None);
            }
            before = Arc::new(catalog);
            let Some(text) = sql::next_to_finish(&before) else { break };
            sql::Definition { catalog, work, .. } = define(&before, &text, &surroundings)?;
        }
        Ok(Some(Defined { catalog: before, tag, notices }))
    }

    /// Brings the rows from one catalog to the next; `false`: those that others give are not there yet.
    fn bring_rows(
        &mut self,
        standing: &mut Standing,
        (old, new): (&Catalog, &Catalog),
        work: &sql::Work,
        context: &mut sql::Context,
        round: &mut u32,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<bool, SqlError> {
        let Some(share) = context.share.filter(|_| self.partition != PartitionId::CLUSTER) else { return Ok(true) };
        if share.partitions <= 1 || !sql::moves_rows(old, new) {
            let mut numbering = work.numbering(old);
            if let Some(numbering) = &mut numbering {
                let claims = |store: &Store| numbering.claims(store, old, share);
                let Some(said) = self.exchanged(standing, share, round, claims, values)? else { return Ok(false) };
                numbering.draw(&self.store, share, &said, context)?;
            }
            // What was made beforehand knows of decided rows only, and nothing of what stands before in the same command.
            let alone = match &*standing.global.body {
                GlobalBody::Define { definitions, lists, .. } => definitions.len() == 1 && lists.is_empty(),
                _ => false,
            };
            let mut nothing = sql::Groundwork::default();
            let groundwork = if alone { &mut self.groundwork } else { &mut nothing };
            sql::install_prepared(&mut self.store, old, new, work, context, groundwork)?;
            sql::install_sequences(&mut self.store, old, new, share);
            if let Some(numbering) = numbering {
                numbering.close(&mut self.store, share);
            }
            return self.prove(standing, (old, new), share, round, values);
        }
        if standing.sent.iter().all(|(sent, _)| sent != round) {
            let leaving = sql::rows_to_move(&self.store, old, new, share)?;
            standing.sent.push((*round, encode_leaving(&leaving)));
        }
        let others = (1..=share.partitions).map(PartitionId).filter(|other| *other != share.own);
        let Some(said) = others.map(|other| values(*round, other)).collect::<Option<Vec<_>>>() else {
            sometimes!("global.waits_for_rows");
            return Ok(false);
        };
        *round += 1;
        let mut arrivals = Vec::new();
        for bytes in said {
            arrivals.extend(arrivals_in(&bytes, share.own)?);
        }
        sometimes!("global.rows_moved", !arrivals.is_empty());
        sql::install_moved(&mut self.store, old, new, share, &arrivals, context)?;
        sql::install_sequences(&mut self.store, old, new, share);
        self.prove(standing, (old, new), share, round, values)
    }

    /// Constraints over rows of several partitions; `false`: what others claim and require is not there yet.
    fn prove(
        &mut self,
        standing: &mut Standing,
        (old, new): (&Catalog, &Catalog),
        share: sql::Share,
        round: &mut u32,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<bool, SqlError> {
        let Some(proof) = sql::proofs(old, new) else { return Ok(true) };
        let claims = |store: &Store| proof.claims(store, new, share);
        let Some(said) = self.exchanged(standing, share, round, claims, values)? else { return Ok(false) };
        sometimes!("global.constraint_proved");
        proof.look_at(&mut self.store, new, share, &said)?;
        Ok(true)
    }

    /// What all data partitions say in a round, in ascending order; `None`: it is not there yet.
    fn exchanged(
        &self,
        standing: &mut Standing,
        share: sql::Share,
        round: &mut u32,
        claims: impl FnOnce(&Store) -> Result<Bytes, SqlError>,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Result<Option<Vec<(PartitionId, Bytes)>>, SqlError> {
        if standing.sent.iter().all(|(sent, _)| sent != round) {
            standing.sent.push((*round, claims(&self.store)?));
        }
        let said = |from: PartitionId| {
            let own = standing.sent.iter().find(|(sent, _)| sent == round).filter(|_| from == share.own);
            let bytes = own.map(|(_, bytes)| bytes.clone()).or_else(|| values(*round, from))?;
            Some((from, bytes))
        };
        let said = (1..=share.partitions).map(PartitionId).map(said).collect::<Option<Vec<_>>>();
        *round += u32::from(said.is_some());
        Ok(said)
    }

    /// Ends standing: what was done is kept or undone, and remembered, with the `values` of others that it took.
    ///
    /// # Panics
    /// If it does not stand, or is told to keep what it could not execute.
    pub(in crate::partition) fn settle(&mut self, committed: bool, values: Values) -> Executed {
        let standing = self.standing.take().expect("what is settled stands");
        if standing.global.body.only_reads() {
            return self.settle_read(standing, committed);
        }
        let vote = standing.vote.unwrap_or(Vote::Unfinished);
        assert!(
            !committed || vote.is_yes() || planted!(101) || planted!(110),
            "global command {} was committed against the vote of partition {}",
            standing.global.number,
            self.partition.0
        );
        if !committed && !planted!(113) {
            self.store.rollback(standing.mark);
        }
        let defines = matches!(*standing.global.body, GlobalBody::Define { .. });
        let mut asked = match vote {
            // What was done under a token is told once more, at its home: which tables that has written, and where, is not known any more.
            _ if !committed && standing.global.body.token().is_some() => self.asking.most(),
            _ if committed && !defines => self.asked_by_written(),
            _ => Asked::default(),
        };
        // Planted 213: what commands over several partitions write is not recorded.
        if planted!(213) {
            self.store.commit_unseen();
        }
        self.store.commit();
        let Global { number, id, acked_below, timestamp, forget_below, .. } = *standing.global;
        sometimes!("global.committed", committed);
        sometimes!("global.aborted", !committed);
        // Planted 253: whoever comes with a token is done, whatever becomes of it.
        let token = standing.global.body.token().filter(|_| committed || planted!(253));
        if let Some(token) =
            token.filter(|token| token.home == self.partition && self.dedup.spent(&token.key).is_none())
        {
            sometimes!("global.token_noted");
            self.dedup.spend(token, standing.affected);
        }
        let before = self.catalog.version;
        let defined = standing.definition.map(|defined| {
            if committed {
                self.adopt(defined.catalog);
            }
            (defined.tag, defined.notices)
        });
        if defines {
            self.groundwork.defined(&mut self.store, committed, &self.catalog);
        }
        if self.partition != PartitionId::CLUSTER {
            self.executed = standing.index;
        }
        self.last_timestamp = self.last_timestamp.max(timestamp);
        self.globals.last = number;
        self.globals.undeclared.insert(number);
        let remembered = Remembered { vote, committed, sent: standing.sent, values, defined };
        self.memory.remember(number, &remembered);
        self.forget(forget_below);
        let mut outcome = told(remembered);
        outcome.results = if committed { standing.results } else { Vec::new() };
        let body = if self.partition == PartitionId::CLUSTER {
            ReplyBody::Done(Outcome::Global(Box::new(outcome)))
        } else {
            self.dedup.acknowledge(id.session, acked_below);
            let outcome = Outcome::Global(Box::new(outcome));
            // Of a duplicate the first execution's outcome stays.
            if self.dedup.look_up(id) == Seen::New {
                self.dedup.record(id, &outcome);
                self.dedup.ask(id, asked);
            } else {
                asked = self.dedup.asked(id);
            }
            ReplyBody::Done(outcome)
        };
        let catalog = (self.catalog.version != before).then(|| Arc::clone(&self.catalog));
        Executed { collected: Some((id, body)), asked, catalog, ..Executed::default() }
    }

    /// Passes the entry of a decision.
    pub(super) fn declared(&mut self, number: GlobalNumber, committed: bool) -> Executed {
        if self.partition == PartitionId::CLUSTER {
            self.sequencer.report(self.partition, number, number);
            // Not by a second copy of the decision on an earlier one.
            self.sequencer.definition.take_if(|under_way| *under_way == number || planted!(161));
        }
        let mut executed = match &self.standing {
            // The cluster partition's catalog changes here.
            Some(standing) if standing.global.number == number => self.settle(committed, Vec::new()),
            _ => Executed::default(),
        };
        if let Some(own) = self.memory.outcome(number) {
            assert_eq!(own.committed, committed, "global command {number} was decided in two ways");
            self.globals.undeclared.remove(&number);
            self.globals.open.remove(&number);
        }
        executed.declared = Some(number);
        executed
    }

    /// Passes a tick.
    pub(super) fn ticked(
        &mut self,
        reports: Vec<(PartitionId, GlobalNumber, GlobalNumber)>,
        forget_below: GlobalNumber,
    ) {
        if self.partition != PartitionId::CLUSTER {
            return self.forget(forget_below);
        }
        for (partition, received, settled) in reports {
            self.sequencer.report(partition, received, settled);
        }
        let sequencer = &self.sequencer;
        self.memory.drop_bodies(|global| {
            let received = |(partition, _): &(PartitionId, _)| sequencer.reported(*partition).0 >= global.number;
            sequencer.definition != Some(global.number) && global.participants.iter().all(received)
        });
        self.forget(self.sequencer.forget_below());
    }

    /// Forgets what is settled everywhere.
    pub(super) fn forget(&mut self, below: GlobalNumber) {
        // Planted 111: forgotten by age, whoever may still ask.
        let below = if planted!(111) { GlobalNumber(self.globals.last.0.saturating_sub(2)) } else { below };
        if below > self.globals.forgotten {
            sometimes!("global.forgotten");
            self.globals.forgotten = below;
            self.memory.forget_below(below);
        }
    }

    /// Gives a command its place (cluster partition). `None`: not now; no mark is left.
    pub(super) fn order(
        &mut self,
        command: &crate::partition::command::CommandV1,
        participants: &[PartitionId],
        body: &Arc<GlobalBody>,
    ) -> Option<Arc<Global>> {
        let defines = matches!(**body, GlobalBody::Define { .. });
        debug_assert!(
            planted!(161) || self.sequencer.definition == self.standing.as_ref().map(|standing| standing.global.number),
            "the order knows of the definition that is under way"
        );
        if (defines && self.sequencer.definition.is_some()) || !self.sequencer.has_room() {
            sometimes!("global.not_ordered");
            return None;
        }
        let (number, participants) = self.sequencer.order(participants);
        let global = Arc::new(Global {
            number,
            id: command.id,
            acked_below: command.acked_below,
            timestamp: command.timestamp,
            seed: command.seed,
            forget_below: self.sequencer.forget_below(),
            participants,
            body: Arc::clone(body),
        });
        self.memory.keep_body(&global);
        if defines {
            self.sequencer.definition = Some(number);
            self.stand_by(Arc::clone(&global));
        }
        Some(global)
    }

    /// The cluster partition's part of a definition.
    fn stand_by(&mut self, global: Arc<Global>) {
        self.sequencer.report(self.partition, global.number, GlobalNumber(0));
        let (index, mark, digest) = (self.executed, self.store.mark(), 0);
        self.standing = Some(Standing::new(global, index, mark, digest, None));
        self.go_on(&|_, _| None, &mut Slice::whole());
    }

    /// A restored state may have a definition under way.
    pub(super) fn restore_definition(&mut self) -> Result<(), &'static str> {
        if let Some(number) = self.sequencer.definition {
            let global = self.memory.body(number).ok_or("the definition under way is missing")?;
            self.stand_by(global);
        }
        Ok(())
    }

    /// Bodies that a group has not reported to have, in order.
    pub(in crate::partition) fn undelivered(
        &self,
        to: PartitionId,
        after: GlobalNumber,
    ) -> impl Iterator<Item = Arc<Global>> + '_ {
        self.memory.bodies_after(after).filter(move |global| global.involves(to))
    }

    /// The order (cluster partition).
    pub(in crate::partition) const fn sequencer(&self) -> &crate::partition::global::Sequencer {
        &self.sequencer
    }
}

impl StateMachine {
    /// The last round of a command under a token: how many rows each has touched, so that the token's home can tell it again. `None`: what
    /// others have to say is not there yet.
    fn tally(
        &mut self,
        standing: &mut Standing,
        token: &Token,
        statements: &[Placed],
        settings: &Settings,
        values: &dyn Fn(u32, PartitionId) -> Option<Bytes>,
    ) -> Option<Vote> {
        let round = round_of(statements.len(), 0);
        if standing.sent.last().is_none_or(|(last, _)| *last != round) {
            let own: Vec<u64> = standing.results.iter().map(|result| result.affected).collect();
            let own = postcard::to_stdvec(&own).expect("plain data, always encodable");
            standing.sent.push((round, own.into()));
        }
        let sent = standing.sent.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        // All wait for all, those too who do not need it: what is remembered of a round is the whole of it.
        let said = |(from, _): &(PartitionId, _)| {
            let bytes = if *from == self.partition { Some(sent.clone()) } else { values(round, *from) };
            bytes.map(|bytes| (*from, bytes))
        };
        let said = standing.global.participants.iter().map(said).collect::<Option<Vec<_>>>()?;
        if token.home != self.partition {
            return Some(Vote::Yes);
        }
        sometimes!("global.tallied", said.len() > 1);
        Some(match self.tallied(standing, &said, statements, settings) {
            Ok(affected) => {
                standing.affected = Some(affected);
                Vote::Yes
            }
            Err(error) => Vote::Error { statement: 0, error: Box::new(error) },
        })
    }

    fn tallied(
        &mut self,
        standing: &Standing,
        said: &[(PartitionId, Bytes)],
        statements: &[Placed],
        settings: &Settings,
    ) -> Result<Vec<u64>, SqlError> {
        let malformed = |_| SqlError::new(SqlState::DATA_CORRUPTED, "malformed numbers of another partition");
        let mut rows: Vec<(PartitionId, Vec<u64>)> = Vec::with_capacity(said.len());
        for (from, bytes) in said {
            rows.push((*from, postcard::from_bytes(bytes).map_err(malformed)?));
        }
        let mut affected = Vec::with_capacity(statements.len());
        for (number, placed) in statements.iter().enumerate() {
            let at = rows.iter().filter(|(from, _)| placed.at.binary_search(from).is_ok());
            let part = |(_, rows): &(PartitionId, Vec<u64>)| StatementResult {
                affected: rows.get(number).copied().unwrap_or_default(),
                ..StatementResult::default()
            };
            let mut parts: Vec<_> = at.map(part).collect();
            if parts.len() == 1 {
                affected.extend(parts.pop().map(|part| part.affected));
                continue;
            }
            let statement = &placed.statement;
            let plan = self.plans.prepare(&self.catalog, &statement.text, settings, &statement.parameter_types)?;
            let dice = dice(standing.global.seed, number);
            let mut context = sql::Context::of(&self.catalog, settings, standing.global.timestamp, dice, 0);
            affected.push(plan.merge(parts, &statement.parameters, &mut context)?.affected);
        }
        Ok(affected)
    }
}

#[cfg(test)]
impl StateMachine {
    pub(in crate::partition) fn decisions(&self) -> Vec<(GlobalNumber, bool)> {
        self.memory.outcomes().map(|(number, outcome)| (number, outcome.committed)).collect()
    }

    pub(in crate::partition) fn remembered_for_test(&self) -> usize {
        self.memory.outcomes().count()
    }

    /// The number that a query shows.
    pub(in crate::partition) fn sum_for_test(&self, text: &str) -> i64 {
        let parsed = sql::parse(text).expect("SQL");
        let plan = sql::prepare(&self.catalog, &parsed[0], &Settings::default(), &[]).expect("a plan");
        let mut context = sql::Context::of(&self.catalog, &Settings::default(), self.last_timestamp, dice(0, 0), 0);
        let result = plan.query(&self.store, &[], &mut context).expect("a result");
        match result.rows[0][0] {
            crate::types::Value::Int8(sum) => sum,
            _ => 0,
        }
    }
}

/// Most rounds of one statement.
const ROUNDS: u32 = 4_096;

/// The number of a round: of the statement's own, from 0. In round 0 rows are gathered, in the others what follows is settled.
pub(super) fn round_of(statement: usize, own: u32) -> u32 {
    u32::try_from(statement).unwrap_or(u32::MAX).saturating_mul(ROUNDS).saturating_add(own.min(ROUNDS - 1))
}

/// What a session is told of it.
fn told(remembered: Remembered) -> GlobalOutcome {
    let Remembered { vote, committed, defined, .. } = remembered;
    GlobalOutcome { vote, committed, results: Vec::new(), defined }
}

pub(super) fn define(
    catalog: &Catalog,
    text: &str,
    surroundings: &sql::Surroundings<'_>,
) -> Result<sql::Definition, SqlError> {
    let parsed = sql::parse(text)?;
    match parsed.as_slice() {
        [one] => sql::define(catalog, one, surroundings),
        _ => Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "one definition at a time")),
    }
}

/// The values that go into a decision's entry: what followers need of the others to execute.
pub(in crate::partition) fn values_of(
    standing: &Standing,
    own: PartitionId,
    value: impl Fn(u32, PartitionId) -> Option<Bytes>,
) -> Values {
    // A round that was not completed has as many values as happened to be heard: none of them counts.
    let completed = standing.sent.len() - usize::from(standing.vote.is_none()).min(standing.sent.len());
    let rounds = standing.sent[..completed].iter().map(|(round, _)| *round);
    rounds
        .flat_map(|round| standing.global.others(own).map(move |other| (round, other)))
        .filter_map(|(round, other)| Some((round, other, value(round, other)?)))
        .collect()
}

/// What a participant of a definition gives to each other one, as it travels.
fn encode_leaving(leaving: &[(PartitionId, Bytes)]) -> Bytes {
    postcard::to_stdvec(leaving).expect("plain data, always encodable").into()
}

/// What of it is for one of them.
fn arrivals_in(bytes: &[u8], own: PartitionId) -> Result<Option<Bytes>, SqlError> {
    let leaving: Vec<(PartitionId, Bytes)> = postcard::from_bytes(bytes)
        .map_err(|_| SqlError::new(SqlState::DATA_CORRUPTED, "malformed rows of another partition"))?;
    Ok(leaving.into_iter().find(|(to, _)| *to == own).map(|(_, rows)| rows))
}
