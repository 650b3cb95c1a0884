//! Statements over several partitions: what each participant does, and what becomes of it.
//!
//! A statement is planned once, as for one store. This module divides the plan, from the plan and the catalog alone, so
//! that every participant and the gateway come to the same division without talking:
//!
//! - **Fragments.** Each participant runs a plan over its own rows; a second plan is run over what they come to.
//!   See [`split`].
//! - **Rows gathered for a query.** Where no such division is right (joins on other columns, subqueries over partitioned
//!   tables, INTERSECT, …), each participant's fragment is the rows that the query reads, and the whole plan is run where
//!   they come together. See [`gather`].
//! - **Rows gathered for a write.** Each participant gives the others the rows that the statement reads
//!   ([`Prepared::contribution`]), then runs the whole statement over all of them and writes what belongs to it
//!   ([`Prepared::execute_gathered`]). All see the same rows in the same order, so all see the same rows change.
//!   Of an INSERT with ON CONFLICT over a key that does not place the rows these are, besides, the rows in its way: each participant
//!   evaluates VALUES, finds its own rows that have those keys, and all then see who meets whom.
//! - **Writes that need nobody else.** Each participant evaluates all rows of an INSERT, and writes its own; UPDATE, DELETE
//!   and TRUNCATE act on the rows that are there.
//!
//! # Invariants
//! - The rows, the count and the errors of a statement do not depend on the number of partitions, except where SQL leaves
//!   the choice: rows without ORDER BY, which rows a LIMIT without ORDER BY takes, ties, rounding of sums of floats, which
//!   of several errors is told.
//! - Each row is counted and returned by one participant: where it is found (DELETE), or where it belongs once it is
//!   written (INSERT, UPDATE). Of tables that every partition has, the first participant's word is taken.
//!
//! # Caveats
//! - Where several participants evaluate the same rows they must be given the same dice, else rows with `random()` in
//!   their key are lost or written twice; where each evaluates its own, different ones, else `gen_random_uuid()` gives one
//!   value to several rows. [`Prepared::draws_by_row`] tells the two apart.
//! - Gathered rows are held in memory at once, by the gateway or by every participant.

mod gather;
mod split;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
mod tests;

pub(in crate::sql) use split::is_same;
pub(super) use split::is_volatile;

use self::gather::Wants;
use self::split::Split;
use super::context::Context;
use super::execute::{self, Flow, Run};
use super::footprint::{Distribution, Footprint};
use super::placement::{Share, alike};
use super::plan::{Insert, Node, Rows, Scan, Update, Write, scans_in};
use super::prepared::{Plan, Prepared, run_to_end};
use super::settings::StatementResult;
use crate::catalog::Table;
use crate::storage::Store;
use crate::types::{PartitionId, SqlError, SqlState, Value};
use bytes::Bytes;

/// How a plan is executed by several participants.
#[derive(Debug)]
pub(super) enum Division {
    /// A query in fragments.
    Split(Box<Split>),
    /// A query whose fragments are the rows that it reads.
    Gather(Wants),
    /// A write that needs nobody else.
    Alone,
    /// A write that reads others' rows (`shared`), besides its own.
    Exchange { shared: Wants, own: Wants },
}

impl Division {
    pub(super) fn of(plan: &Plan) -> Self {
        match plan {
            Plan::Query(plan) => match split::split(plan) {
                Some(split) => Self::Split(Box::new(split)),
                None => {
                    let mut wants = Wants::default();
                    plan.scans(&mut |scan| wants.add(scan));
                    Self::Gather(wants)
                }
            },
            Plan::Write(write) if !reads_others(write) => Self::Alone,
            Plan::Write(write) => exchange(write),
            Plan::Explain(_) => Self::Alone,
        }
    }
}

/// Must a participant know rows of others before it can write its own?
fn reads_others(write: &Write) -> bool {
    let (target, mut expressions) = match write {
        Write::Truncate(_) | Write::Copy(_) => return false,
        Write::Insert(insert) => {
            if !source_is_own(insert) || insert.meets_elsewhere() {
                return true;
            }
            let update = insert.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
            let conflict = update.flat_map(|(set, condition)| set.iter().map(|(_, expr)| expr).chain(condition));
            (&insert.target, conflict.collect::<Vec<_>>())
        }
        Write::Update(update) => {
            if moves_rows(update) || !rows_are_own(&update.rows, &update.target.table) {
                return true;
            }
            (&update.target, update.assignments.iter().map(|(_, expr)| expr).collect())
        }
        Write::Delete(delete) => {
            if !rows_are_own(&delete.rows, &delete.target.table) {
                return true;
            }
            (&delete.target, Vec::new())
        }
    };
    expressions.extend(target.returning.iter().flatten());
    !expressions.into_iter().all(split::is_local)
}

/// Has each participant all the source rows that it will write?
fn source_is_own(insert: &Insert) -> bool {
    if split::is_same(&insert.source) {
        return true;
    }
    let table = &insert.target.table;
    let found = split::placed(&insert.source).unwrap_or_default();
    !table.is_replicated()
        && found.iter().any(|placed| alike(&placed.table, table) && placed.columns == table.partition_key)
}

/// Can each participant find those of its rows that are to be written alone?
fn rows_are_own(rows: &Rows, table: &Table) -> bool {
    match rows {
        Rows::Scan(scan) => scan.expressions().into_iter().all(split::is_local),
        Rows::Join(node) if table.is_replicated() => split::is_same(node),
        Rows::Join(node) => {
            let found = split::placed(node).unwrap_or_default();
            found.iter().any(|placed| placed.table.id == table.id && placed.columns == table.partition_key)
        }
    }
}

/// May the new row belong elsewhere?
fn moves_rows(update: &Update) -> bool {
    update.assignments.iter().any(|(column, _)| update.target.table.partition_key.contains(column))
}

fn exchange(write: &Write) -> Division {
    let (mut shared, mut own) = (Wants::default(), Wants::default());
    let mut read_by = |expressions: Vec<&super::expr::Expr>| {
        for expr in expressions {
            scans_in(expr, &mut |scan| shared.add(scan));
        }
    };
    match write {
        Write::Insert(insert) => {
            let update = insert.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
            read_by(update.flat_map(|(set, condition)| set.iter().map(|(_, expr)| expr).chain(condition)).collect());
            read_by(insert.target.returning.iter().flatten().collect());
            insert.source.scans(&mut |scan| shared.add(scan));
            if insert.meets_elsewhere() {
                shared.add_conflicts(&insert.target.table);
            }
        }
        Write::Update(update) => {
            read_by(update.assignments.iter().map(|(_, expr)| expr).collect());
            read_by(update.target.returning.iter().flatten().collect());
            let moves = moves_rows(update);
            wants_of(&update.rows, &update.target.table, &mut shared, if moves { None } else { Some(&mut own) });
        }
        Write::Delete(delete) => {
            read_by(delete.target.returning.iter().flatten().collect());
            wants_of(&delete.rows, &delete.target.table, &mut shared, Some(&mut own));
        }
        Write::Truncate(_) | Write::Copy(_) => {}
    }
    Division::Exchange { shared, own }
}

/// What the rows of an UPDATE or DELETE are found by: the target's own rows each participant has, unless they move.
fn wants_of(rows: &Rows, table: &Table, shared: &mut Wants, mut own: Option<&mut Wants>) {
    let target = match rows {
        Rows::Scan(scan) => Some(scan.as_ref()),
        Rows::Join(node) => scan_of_target(node, table),
    };
    rows.scans(&mut |scan| match &mut own {
        Some(own) if target.is_some_and(|target| std::ptr::eq(target, scan)) => own.add(scan),
        _ => shared.add(scan),
    });
    shared.complete(table);
}

/// The scan by which a join reads the table that is written. Another one may carry keys, too, for FOR UPDATE: that stands below a Lock, or in
/// a subquery. (Once it was taken for the target's, and each participant locked, and wrote, what *it* had found.)
fn scan_of_target<'n>(node: &'n Node, table: &Table) -> Option<&'n Scan> {
    match node {
        Node::Scan(scan) if scan.with_key && scan.table.id == table.id => Some(scan),
        Node::Lock(_) => None,
        other => other.inputs().into_iter().find_map(|input| scan_of_target(input, table)),
    }
}

fn not_divided() -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, "the statement is not executed in this way")
}

impl Prepared {
    /// Where it can be executed with these parameters, of `partitions` data partitions, and how.
    ///
    /// # Errors
    /// When the partition key's value cannot be computed.
    pub fn distribution(&self, parameters: &[Value], partitions: u32) -> Result<Distribution, SqlError> {
        Ok(match self.footprint(parameters, partitions)? {
            Footprint::Constant => Distribution::Constant,
            Footprint::One(partition) => Distribution::One(partition),
            Footprint::Several(partitions) => {
                let gathers = matches!(self.division(), Division::Exchange { .. });
                Distribution::Several { partitions, gathers }
            }
        })
    }

    /// Does each participant roll its dice for rows of its own? Then they must not roll alike. Otherwise several evaluate
    /// the same rows, and must: all rows of an INSERT, rows that move, copies of a replicated table.
    #[must_use]
    pub fn draws_by_row(&self) -> bool {
        match &self.plan {
            Plan::Query(_) => true,
            Plan::Explain(_) => false,
            Plan::Write(write) if write.is_of_replicated() => false,
            Plan::Write(Write::Insert(insert)) => {
                matches!(self.division(), Division::Alone) && !split::is_same(&insert.source)
            }
            Plan::Write(Write::Update(update)) => !moves_rows(update),
            Plan::Write(Write::Delete(_)) => true,
            Plan::Write(Write::Truncate(_) | Write::Copy(_)) => false,
        }
    }

    /// Does each participant evaluate DO UPDATE and RETURNING for rows of its own, whatever the source is evaluated for? Copies of
    /// a replicated table are the same rows, and where a conflict may be in another partition all play the whole statement.
    pub(super) fn draws_for_own(&self) -> bool {
        match &self.plan {
            Plan::Write(write) if write.is_of_replicated() => false,
            Plan::Write(Write::Insert(insert)) => !insert.meets_elsewhere(),
            Plan::Write(_) => true,
            Plan::Query(_) | Plan::Explain(_) => false,
        }
    }

    /// What one participant of a read-only statement computes over its own rows; `context.share` says who it is.
    ///
    /// # Errors
    /// What the values have wrong.
    pub fn query_fragment(
        &self,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        self.check_parameters(parameters)?;
        self.with_drawn(parameters, context, |context| {
            let mut result = StatementResult::default();
            match self.division() {
                Division::Split(split) => {
                    execute::run(&split.fragment, &mut Run::new(store, parameters, context), &mut |_, row| {
                        result.rows.push(row);
                        Ok(Flow::More)
                    })?;
                }
                Division::Gather(wants) => {
                    let first = self.is_first(parameters, context)?;
                    result.rows.push(vec![Value::Bytea(wants.collect(first, &[], store, parameters, context)?)]);
                }
                Division::Alone | Division::Exchange { .. } => return Err(not_divided()),
            }
            Ok(result)
        })
    }

    /// What one participant of a statement over several partitions computes, and writes, of its own rows;
    /// `context.share` says who it is. For all but those of [`Distribution::Several`] that gather. After an error the
    /// caller rolls the store back to its mark.
    ///
    /// # Errors
    /// What the values have wrong, constraints among it.
    pub fn run_fragment(
        &self,
        store: &mut Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        match (&self.plan, self.division()) {
            (Plan::Write(_), Division::Alone) if context.share.is_some() => self.execute(store, parameters, context),
            (Plan::Query(_), _) => self.query_fragment(store, parameters, context),
            _ => Err(not_divided()),
        }
    }

    /// The rows that the other participants need of this one. Only for statements that gather.
    ///
    /// # Errors
    /// When the store's rows are damaged.
    pub fn contribution(&self, store: &Store, parameters: &[Value], context: &mut Context) -> Result<Bytes, SqlError> {
        self.check_parameters(parameters)?;
        let Division::Exchange { shared, .. } = self.division() else { return Err(not_divided()) };
        let first = self.is_first(parameters, context)?;
        let mut in_the_way = Vec::new();
        if let Plan::Write(Write::Insert(insert)) = &self.plan
            && insert.meets_elsewhere()
        {
            self.with_drawn(parameters, context, |context| {
                in_the_way = execute::in_the_way(insert, store, parameters, context)?;
                Ok(StatementResult::default())
            })?;
        }
        shared.collect(first, &in_the_way, store, parameters, context)
    }

    /// Runs a write over the rows that all participants have contributed (this one's own too, in ascending order of
    /// partition), and writes what belongs to `context.share`. After an error the caller rolls the store back to its mark.
    ///
    /// # Errors
    /// What the values have wrong, constraints among it.
    pub fn execute_gathered(
        &self,
        store: &mut Store,
        contributions: &[(PartitionId, Bytes)],
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        self.check_parameters(parameters)?;
        let (Plan::Write(write), Division::Exchange { shared, own }, Some(share)) =
            (&self.plan, self.division(), context.share)
        else {
            return Err(not_divided());
        };
        let mut gathered = Store::new();
        shared.create_trees(&mut gathered);
        own.create_trees(&mut gathered);
        for (partition, contribution) in contributions {
            shared.put(&mut gathered, partition.0, contribution)?;
        }
        own.put_own(&mut gathered, share.own.0, store, parameters, context)?;
        let result = self.with_drawn(parameters, context, |context| match write {
            Write::Insert(insert) if insert.meets_elsewhere() => {
                execute::insert_gathered(insert, &gathered, share, store, parameters, context)
            }
            Write::Insert(insert) => execute::insert(insert, Some(&gathered), store, parameters, context),
            Write::Update(update) => execute::update_gathered(update, &gathered, share, store, parameters, context),
            Write::Delete(delete) => execute::delete_gathered(delete, &gathered, share, store, parameters, context),
            Write::Truncate(_) | Write::Copy(_) => Err(not_divided()),
        })?;
        self.settle_here(store, context)?;
        Ok(result)
    }

    /// The statement's result, of what all participants have come to, in ascending order of partition.
    ///
    /// # Errors
    /// What the values have wrong.
    pub fn merge(
        &self,
        mut parts: Vec<StatementResult>,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        let nowhere = Store::new();
        match self.division() {
            Division::Split(split) => self.with_drawn(parameters, context, |context| {
                let mut at = Run::new(&nowhere, parameters, context);
                at.parts = parts;
                run_to_end(&split.merge, &mut at)
            }),
            Division::Gather(wants) => {
                let mut gathered = Store::new();
                wants.create_trees(&mut gathered);
                for (number, part) in (1..).zip(&parts) {
                    let Some([Value::Bytea(rows)]) = part.rows.first().map(Vec::as_slice) else {
                        return Err(not_divided());
                    };
                    wants.put(&mut gathered, number, rows)?;
                }
                self.query(&gathered, parameters, context)
            }
            Division::Alone | Division::Exchange { .. } => {
                let Plan::Write(write) = &self.plan else { return Err(not_divided()) };
                if write.is_of_replicated() {
                    parts.truncate(1);
                }
                Ok(add_up(write, parts))
            }
        }
    }

    /// Is this the first of the participants?
    fn is_first(&self, parameters: &[Value], context: &Context) -> Result<bool, SqlError> {
        let Some(Share { own, partitions }) = context.share else { return Ok(true) };
        Ok(match self.footprint(parameters, partitions)? {
            Footprint::Several(participants) => participants.first() == Some(&own),
            Footprint::Constant | Footprint::One(_) => true,
        })
    }
}

/// The parts of a write as one result.
fn add_up(write: &Write, parts: Vec<StatementResult>) -> StatementResult {
    let mut whole = StatementResult::default();
    for part in parts {
        whole.affected += part.affected;
        whole.rows.extend(part.rows);
    }
    if matches!(write, Write::Insert(_)) {
        // Each row says in front which of the source's it was: RETURNING keeps the order of VALUES.
        whole.rows.sort_by(|a, b| a.first().cmp(&b.first()));
        for row in &mut whole.rows {
            row.drain(..1.min(row.len()));
        }
    }
    whole
}
