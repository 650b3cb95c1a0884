//! Queries and writes: one batch, one request, to its partition; over several partitions, to the one that orders them.

use super::block::Block;
use super::calls::Role;
use super::extended::shifted;
use super::token::{sites_at, with_home};
use super::{Connection, Job, Origin};
use crate::partition::global::{GlobalBody, Placed};
use crate::partition::message::{Batch, Outcome, RequestBody, Statement};
use crate::partition::tokens::Token;
use crate::session::call::{Call, Step};
use crate::session::shared::Turn;
use crate::session::writer::Formats;
use crate::sometimes;
use crate::sql::{Distribution, Kind, Needs, Parsed, Prepared, StatementResult};
use crate::storage::Store;
use crate::types::{DataType, PartitionId, SqlError, SqlState, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One statement of a batch, planned.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) parsed: Parsed,
    pub(super) plan: Arc<Prepared>,
    pub(super) types: Vec<Option<DataType>>,
    pub(super) parameters: Vec<Value>,
    /// How many values its rows take from sequences, as far as is known.
    pub(super) needs: Needs,
    /// In a block: partitions that an earlier attempt, which drew too little, has touched for the first time.
    pub(super) touched: Vec<PartitionId>,
}

impl Item {
    pub(super) fn new(
        parsed: &Parsed,
        plan: Arc<Prepared>,
        types: Vec<Option<DataType>>,
        parameters: Vec<Value>,
    ) -> Self {
        Self { parsed: parsed.clone(), plan, types, parameters, needs: Needs::default(), touched: Vec::new() }
    }

    pub(super) fn plan(&self) -> &Prepared {
        &self.plan
    }
}

/// A batch under way.
pub(super) struct BatchJob {
    pub(super) items: Vec<Item>,
    pub(super) origin: Origin,
}

/// Where statements are executed.
pub(super) enum Route {
    /// They touch no table.
    Nowhere,
    /// In one partition.
    One(PartitionId),
    /// In several; for each statement where.
    Several(Vec<Site>),
}

/// Where one of several statements is executed.
pub(super) struct Site {
    /// Ascending. Of a statement that touches no table one that is there for another statement.
    pub(super) at: Vec<PartitionId>,
    /// See [`Placed::gathers`].
    pub(super) gathers: bool,
    /// Who takes part besides, for the statement's constraints; none: see [`Placed::settles`].
    pub(super) concerned: Vec<PartitionId>,
}

impl Site {
    /// Who takes part.
    fn participants(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.at.iter().chain(&self.concerned).copied()
    }
}

impl BatchJob {
    /// Does it change anything?
    pub(super) fn changes(&self) -> bool {
        self.items.iter().any(|item| !item.plan.is_read_only())
    }
}

impl Connection {
    /// Runs planned statements.
    pub(super) fn execute_batch(&mut self, turn: &mut Turn<'_>, items: Vec<Item>, origin: Origin) {
        if let Some(first) = items.first() {
            self.note_statement(turn, &first.parsed.text);
        }
        self.dispatch(turn, BatchJob { items, origin });
    }

    /// Sends a batch where its statements belong, with what they draw from sequences: to their partition, or nowhere if they
    /// touch no table or only the system's.
    pub(super) fn dispatch(&mut self, turn: &mut Turn<'_>, mut job: BatchJob) {
        let allowed = self.drafts_stand(turn).and_then(|()| self.refuse_changes(&job.items));
        if let Err(error) = allowed.and_then(|()| self.sets_without_token(&job.items)) {
            return self.fail(turn, error);
        }
        if let Some((sequence, missing)) = self.draw(turn, &mut job.items) {
            return self.reserve(turn, job, &sequence, missing);
        }
        if job.items.iter().any(|item| item.plan.system_tables().next().is_some()) {
            return self.observe(turn, job);
        }
        match self.route_in_block(turn, &job.items) {
            Ok(Route::Nowhere) => self.execute_nowhere(turn, job, None),
            Ok(route) if self.in_block() => self.execute_step(turn, job, route),
            Ok(route) => {
                let (partition, body) = self.batch_body(turn, &job.items, &route);
                let changes = job.changes();
                self.job = Some(Job::Batch(job));
                self.start_changing(turn, Role::Work, partition, body, changes);
            }
            Err(error) => self.fail(turn, error),
        }
    }

    fn batch_body(&self, turn: &Turn<'_>, items: &[Item], route: &Route) -> (PartitionId, RequestBody) {
        let batch = self.batch(turn, items);
        let partitions = turn.shared.config.partitions;
        let token = self.token_of_batch(turn, items);
        match route {
            Route::Several(sites) => {
                let reads = items.iter().all(|item| item.plan.is_read_only());
                (PartitionId::CLUSTER, order_of(batch, sites, partitions, reads, token))
            }
            Route::One(partition) if token.is_some() => {
                let order = order_of(batch, &sites_at(*partition, items), partitions, false, token);
                (PartitionId::CLUSTER, order)
            }
            Route::One(partition) if items.iter().any(|item| !item.plan.is_read_only()) => {
                (*partition, RequestBody::Execute(batch))
            }
            Route::One(partition) => (*partition, RequestBody::Query(batch)),
            Route::Nowhere => (PartitionId(1), RequestBody::Query(batch)),
        }
    }

    pub(super) fn batch(&self, turn: &Turn<'_>, items: &[Item]) -> Batch {
        Batch {
            catalog_version: turn.shared.catalog.version,
            statements: items.iter().map(statement).collect(),
            settings: Arc::clone(self.settings.travelling()),
            wall: turn.wall,
        }
    }

    /// Runs statements that touch no table.
    pub(super) fn execute_here(&mut self, turn: &mut Turn<'_>, items: &[Item], origin: Origin) {
        match self.evaluate(turn, items, None) {
            Ok(results) => self.render(turn, items, origin, results),
            Err((at, error)) => self.fail(turn, shifted(error, items.get(at).map_or(0, |item| item.parsed.offset))),
        }
    }

    /// What read-only statements come to over these rows, or over none; or which of them fails, and why.
    pub(super) fn evaluate(
        &self,
        turn: &mut Turn<'_>,
        items: &[Item],
        gathered: Option<&Store>,
    ) -> Result<Vec<StatementResult>, (usize, SqlError)> {
        let mut results = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let mut context = super::utility::context(turn, self.clock(turn), &self.settings, self.process);
            let store = gathered.unwrap_or(&turn.shared.nothing);
            results.push(item.plan.query(store, &item.parameters, &mut context).map_err(|error| (at, error))?);
        }
        Ok(results)
    }

    /// The batch has been answered.
    pub(super) fn batch_done(&mut self, turn: &mut Turn<'_>, job: BatchJob, outcome: Outcome) {
        match outcome {
            Outcome::Results(results) if results.len() == job.items.len() => {
                self.render(turn, &job.items, job.origin, results);
            }
            Outcome::Error { statement, error } => {
                let Some((job, error)) = self.draw_more(turn, job, statement, error) else { return };
                let item = usize::try_from(statement).ok().and_then(|statement| job.items.get(statement));
                self.fail(turn, shifted(error, item.map_or(0, |item| item.parsed.offset)));
            }
            Outcome::ResultNotKept => self.fail(turn, result_lost()),
            _ => self.fail(turn, SqlError::new(SqlState::INTERNAL_ERROR, "a partition's answer fits no statement")),
        }
    }

    /// The partition's catalog is newer than the plans, and so is the one known here now: plans again.
    pub(super) fn replan_batch(&mut self, turn: &mut Turn<'_>, mut job: BatchJob, mut call: Call) {
        let doubtful = call.is_in_doubt();
        if let Err(error) = self.plan_again(turn, &mut job.items) {
            return if doubtful { self.give_up_on(turn, &call) } else { self.fail(turn, error) };
        }
        let Some(job) = (if doubtful { Some(job) } else { self.unless_deferred(turn, job) }) else { return };
        if !doubtful && job.items.iter().any(|item| !item.plan.draws().is_empty()) {
            // Under a catalog in which a sequence was set anew nothing is used that was drawn before.
            return self.dispatch(turn, job);
        }
        let route = match self.route_in_block(turn, &job.items) {
            Ok(Route::Nowhere) if !doubtful => return self.execute_here(turn, &job.items, job.origin),
            Err(error) if !doubtful => return self.fail(turn, error),
            Ok(Route::Nowhere) | Err(_) => return self.give_up_on(turn, &call),
            Ok(route) => route,
        };
        let (partition, body) = self.batch_body(turn, &job.items, &route);
        let changes = job.changes();
        self.job = Some(Job::Batch(job));
        if partition != call.partition() {
            // Bound to its route while in doubt (rules A9).
            if doubtful {
                return self.give_up_on(turn, &call);
            }
            sometimes!("session.route_changed");
            return self.start_changing(turn, Role::Work, partition, body, changes);
        }
        let step = call.resume(body, &mut super::calls::around(turn, &mut self.attempts));
        self.calls.push((Role::Work, call));
        self.follow(turn, self.calls.len() - 1, step);
    }

    /// The batch was ordered and has changed nothing: it is begun again, as another request.
    pub(super) fn execute_again(&mut self, turn: &mut Turn<'_>, mut job: BatchJob) {
        self.defer_in_block(turn);
        if let Err(error) = self.plan_again(turn, &mut job.items) {
            return self.fail(turn, error);
        }
        if let Some(job) = self.unless_deferred(turn, job) {
            self.dispatch(turn, job);
        }
    }

    /// The plans are new. Statements of one text that, as it turns out, may put checks off are executed in a block, at whose end
    /// those are due; `None`: so they are. The pieces of a COPY are one statement.
    fn unless_deferred(&mut self, turn: &mut Turn<'_>, job: BatchJob) -> Option<BatchJob> {
        let together = job.items.len() > 1 && !job.items.iter().any(|item| item.plan.is_copy());
        let defers = together && job.items.iter().any(|item| item.plan.can_defer());
        if !defers || !matches!((&job.origin, &self.block), (Origin::Simple(_), Block::Idle)) {
            return Some(job);
        }
        let Origin::Simple(rest) = job.origin else { return None };
        let all = job.items.into_iter().map(|item| item.parsed).chain(rest).collect();
        self.perform_in_block(turn, all);
        None
    }

    fn plan_again(&self, turn: &mut Turn<'_>, items: &mut [Item]) -> Result<(), SqlError> {
        for item in items {
            let plan = self.plan(turn, &item.parsed, &item.types)?;
            let same = plan.columns() == item.plan.columns() && plan.is_read_only() == item.plan.is_read_only();
            if !same && self.mode == super::Mode::Extended {
                return Err(SqlError::unsupported("cached plan must not change result type"));
            }
            item.plan = plan;
        }
        Ok(())
    }

    pub(super) fn render(
        &mut self,
        turn: &mut Turn<'_>,
        items: &[Item],
        origin: Origin,
        results: Vec<StatementResult>,
    ) {
        if items.iter().any(|item| !item.plan.sets().is_empty()) {
            return self.set_sequences(turn, items.to_vec(), origin, results);
        }
        self.render_results(turn, items, origin, results);
    }

    /// Shows what statements have come to.
    pub(super) fn render_results(
        &mut self,
        turn: &mut Turn<'_>,
        items: &[Item],
        origin: Origin,
        results: Vec<StatementResult>,
    ) {
        if items.first().is_some_and(|item| matches!(item.parsed.kind, Kind::Copy(_))) {
            if self.copy.is_some() {
                return self.copy_goes_on(turn, results.iter().map(|result| result.affected).sum());
            }
            return self.copy_done(turn, origin, results.iter().map(|result| result.affected).sum());
        }
        match &origin {
            Origin::Portal(name, max_rows) => {
                let (Some(item), Some(result)) = (items.first(), results.into_iter().next()) else { return };
                self.fill_portal(turn, name, *max_rows, Arc::clone(&item.plan), result);
            }
            Origin::Simple(_) => {
                for (item, result) in items.iter().zip(results) {
                    self.write_result(turn, &item.plan, &result);
                }
            }
        }
        self.go_on(turn, origin);
    }

    fn write_result(&mut self, turn: &mut Turn<'_>, plan: &Prepared, result: &StatementResult) {
        if plan.returns_rows() {
            let columns = plan.columns().iter().map(|column| (column.name.as_str(), column.data_type));
            let formats = Formats::default();
            self.writer.row_description(columns, &formats);
            for row in &result.rows {
                self.writer.data_row(row, &formats, &self.zone);
                self.hand_over_pieces(turn);
            }
        }
        self.writer.command_complete(&plan.tag(result.affected));
    }

    /// Sends what a call wants sent.
    pub(super) fn follow(&mut self, turn: &mut Turn<'_>, index: usize, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(node, request) => self.send(turn, index, node, request),
            Step::End(end) => self.ended(turn, index, end),
        }
    }
}

/// As it travels.
pub(super) fn statement(item: &Item) -> Statement {
    Statement {
        text: Arc::clone(&item.parsed.text),
        parameter_types: item.types.clone(),
        parameters: item.parameters.clone(),
        max_rows: 0,
    }
}

/// Where the statements are executed.
pub(super) fn route(turn: &Turn<'_>, items: &[Item]) -> Result<Route, SqlError> {
    let partitions = turn.shared.config.partitions;
    let mut sites = Vec::with_capacity(items.len());
    for item in items {
        let distribution = item.plan.distribution(&item.parameters, partitions);
        let (at, gathers) = match distribution.map_err(|error| shifted(error, item.parsed.offset))? {
            Distribution::Constant if item.plan.is_read_only() => (Vec::new(), false),
            Distribution::Constant => (vec![PartitionId(1)], false),
            Distribution::One(partition) => (vec![partition], false),
            Distribution::Several { partitions, gathers } => (partitions, gathers),
        };
        let mut concerned = item
            .plan
            .concerned(&item.parameters, partitions)
            .map_err(|error| shifted(error, item.parsed.offset))?
            .unwrap_or_default();
        if concerned.iter().all(|partition| at == [*partition]) {
            // It has all that matters.
            concerned.clear();
        }
        sites.push(Site { at, gathers, concerned });
    }
    let participants: BTreeSet<_> = sites.iter().flat_map(Site::participants).collect();
    let Some(first) = participants.first().copied() else { return Ok(Route::Nowhere) };
    if participants.len() == 1 {
        return Ok(Route::One(first));
    }
    for site in sites.iter_mut().filter(|site| site.at.is_empty()) {
        site.at.push(first);
    }
    Ok(Route::Several(sites))
}

/// The order for a batch over several partitions.
fn order_of(batch: Batch, sites: &[Site], partitions: u32, reads: bool, token: Option<Token>) -> RequestBody {
    let participants: BTreeSet<_> = sites.iter().flat_map(Site::participants).collect();
    let placed = |(statement, site): (Statement, &Site)| Placed {
        statement,
        at: site.at.clone(),
        gathers: site.gathers,
        settles: !site.concerned.is_empty(),
    };
    let Batch { catalog_version, statements, settings, .. } = batch;
    let statements = statements.into_iter().zip(sites).map(placed).collect();
    let participants = with_home(participants.into_iter().collect(), token.as_ref());
    let body = if reads {
        GlobalBody::Read { catalog_version, partitions, statements, settings }
    } else {
        GlobalBody::Execute { catalog_version, partitions, statements, settings, token }
    };
    RequestBody::Order { participants, body: Arc::new(body) }
}

/// It was executed, and its result is gone.
pub(super) fn result_lost() -> SqlError {
    sometimes!("session.result_not_kept");
    let message = "statement completion known, result lost: it was executed, and its answer was lost";
    SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, message)
        .detail("The result was too large to be kept for the retry.")
        .hint("Do not repeat the statement; read what it has changed.")
}
