//! Which partitions a statement touches, as far as can be said before it runs.

use super::context::Context;
use super::define::check_keys;
use super::execute::{Run, fitted, fitted_value};
use super::expr::Expr;
use super::placement::{home_of, home_of_key};
use super::plan::{Node, Scan, Update, Write, scans_in};
use super::sequence::Drawing;
use crate::catalog::Table;
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{DataType, PartitionId, Rng, SqlError, Timestamp, Value};
use std::sync::Arc;

/// Partitions that a statement touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// None: the statement reads no table. It may run anywhere, over an empty store too.
    Constant,
    /// Exactly one.
    One(PartitionId),
    /// Several, ascending.
    Several(Vec<PartitionId>),
}

/// Where a statement over several partitions can be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// In no partition, or in any: see [`Footprint::Constant`].
    Constant,
    /// As a whole in one partition.
    One(PartitionId),
    /// In all of these (ascending), each of which executes its part.
    Several {
        /// The participants.
        partitions: Vec<PartitionId>,
        /// Each part needs rows of the other participants before it can be executed (writes only): first every
        /// participant makes its [`super::Prepared::contribution`], then each runs
        /// [`super::Prepared::execute_gathered`]. Otherwise each runs [`super::Prepared::run_fragment`] alone. Either way
        /// [`super::Prepared::merge`] makes the result of the parts.
        gathers: bool,
    },
}

/// Where a statement's tables are touched, as far as planning can tell.
#[derive(Debug, Default)]
pub(super) struct Placement {
    touches: Vec<Touch>,
    /// A UNIQUE of the written table that several partitions could not keep.
    unkept: Option<SqlError>,
}

/// One table.
#[derive(Debug)]
enum Touch {
    /// In all partitions.
    Everywhere,
    /// In any partition, whichever the rest of the statement touches: a replicated table is read.
    Anywhere,
    /// In the one partition of a table without a partition key.
    Home(Arc<Table>),
    /// Rows whose partition key is one of these combinations: alternatives for each column.
    Pinned(Arc<Table>, Vec<(DataType, Vec<Expr>)>),
    /// A system table: in no partition.
    System(Arc<Table>),
}

impl Placement {
    pub(super) fn of_query(plan: &Node) -> Self {
        let mut touches = Vec::new();
        plan.scans(&mut |scan| touches.push(Touch::of_scan(scan)));
        Self { touches, unkept: None }
    }

    pub(super) fn of_write(write: &Write) -> Self {
        let mut touches = Vec::new();
        let (rows, target, others) = match write {
            // Known only when the data are: all of them belong into one command, so they may go anywhere.
            Write::Copy(copy) => {
                touches.push(Touch::of_all(&copy.target.table));
                (None, &copy.target, Vec::new())
            }
            Write::Truncate(tables) => {
                let touches = tables.iter().map(Touch::of_all).collect();
                return Self { touches, unkept: None };
            }
            Write::Insert(insert) => {
                insert.source.scans(&mut |scan| touches.push(Touch::of_scan(scan)));
                touches.extend(Touch::of_rows(&insert.target.table, insert.keys.as_deref()));
                if insert.meets_elsewhere() {
                    touches.push(Touch::of_all(&insert.target.table));
                }
                let update = insert.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
                let others: Vec<_> = update
                    .flat_map(|(assignments, condition)| assignments.iter().map(|(_, expr)| expr).chain(condition))
                    .collect();
                (None, &insert.target, others)
            }
            Write::Update(update) => {
                touches.extend(Touch::of_moves(update));
                (Some(&update.rows), &update.target, update.assignments.iter().map(|(_, expr)| expr).collect())
            }
            Write::Delete(delete) => (Some(&delete.rows), &delete.target, Vec::new()),
        };
        if target.table.is_replicated() {
            // Each copy is written.
            touches.push(Touch::Everywhere);
        }
        if let Some(rows) = rows {
            rows.scans(&mut |scan| touches.push(Touch::of_scan(scan)));
        }
        let unkept = if matches!(write, Write::Delete(_)) { None } else { check_keys(&target.table, u32::MAX).err() };
        for expr in others.into_iter().chain(target.returning.iter().flatten()) {
            scans_in(expr, &mut |scan| touches.push(Touch::of_scan(scan)));
        }
        Self { touches, unkept }
    }

    /// The system tables that are read.
    pub(super) fn system_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.touches.iter().filter_map(|touch| if let Touch::System(table) = touch { Some(table) } else { None })
    }

    /// No place has both rows of a partition and those of a system table.
    pub(super) fn check(&self) -> Result<(), SqlError> {
        match self.system_tables().next() {
            Some(table) if self.system_tables().count() < self.touches.len() => Err(SqlError::unsupported(format!(
                "a statement cannot read \"system.{}\" together with ordinary tables",
                table.name
            ))
            .hint("Read the system table in a statement of its own.")),
            _ => Ok(()),
        }
    }

    pub(super) fn footprint(
        &self,
        parameters: &[Value],
        drawn: &Drawing,
        partitions: u32,
    ) -> Result<Footprint, SqlError> {
        if self.touches.iter().all(|touch| matches!(touch, Touch::System(_))) {
            return Ok(Footprint::Constant);
        }
        if partitions <= 1 {
            return Ok(Footprint::One(PartitionId(1)));
        }
        if let Some(error) = &self.unkept {
            return Err(error.clone());
        }
        let mut found: Vec<PartitionId> = Vec::new();
        for touch in &self.touches {
            match touch {
                Touch::System(_) => {}
                Touch::Anywhere => {}
                Touch::Everywhere => found.extend((1..=partitions).map(PartitionId)),
                Touch::Home(table) => found.push(home_of(table, partitions)),
                Touch::Pinned(table, columns) => {
                    for key in combinations(columns, parameters, drawn)? {
                        found.push(home_of_key(table, &key, partitions));
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
        }
        Ok(match found.as_slice() {
            // No row can qualify, or every partition has the rows: any can answer.
            [] => Footprint::One(PartitionId(1)),
            [one] => Footprint::One(*one),
            _ => Footprint::Several(found),
        })
    }
}

impl Touch {
    fn of_scan(scan: &Scan) -> Self {
        if scan.table.is_system() {
            return Self::System(Arc::clone(&scan.table));
        }
        if scan.table.is_replicated() {
            return Self::Anywhere;
        }
        let Some(pinned) = &scan.pinned else { return Self::of_all(&scan.table) };
        Self::Pinned(Arc::clone(&scan.table), typed(&scan.table, pinned.iter().cloned()))
    }

    /// All rows of a table, or rows of which nothing is known.
    fn of_all(table: &Arc<Table>) -> Self {
        if table.partition_key.is_empty() && !table.is_replicated() {
            return Self::Home(Arc::clone(table));
        }
        Self::Everywhere
    }

    fn of_rows(table: &Arc<Table>, keys: Option<&[Vec<Expr>]>) -> Vec<Self> {
        let Some(keys) = keys else { return vec![Self::of_all(table)] };
        let pinned = |key: &Vec<Expr>| {
            Self::Pinned(Arc::clone(table), typed(table, key.iter().map(|value| vec![value.clone()])))
        };
        keys.iter().map(pinned).collect()
    }

    /// Where rows go whose partition key changes.
    fn of_moves(update: &Update) -> Option<Self> {
        let table = &update.target.table;
        let new = |column: &usize| update.assignments.iter().find(|(assigned, _)| assigned == column);
        if !table.partition_key.iter().any(|column| new(column).is_some()) {
            return None;
        }
        let known =
            |column| new(column).filter(|(_, value)| value.is_known_before()).map(|(_, value)| vec![value.clone()]);
        let key: Option<Vec<_>> = table.partition_key.iter().map(known).collect();
        Some(key.map_or(Self::Everywhere, |key| Self::Pinned(Arc::clone(table), typed(table, key.into_iter()))))
    }
}

/// Alternatives for the columns of the partition key, with their types.
fn typed(table: &Table, key: impl Iterator<Item = Vec<Expr>>) -> Vec<(DataType, Vec<Expr>)> {
    table.partition_key.iter().map(|column| table.columns[*column].data_type).zip(key).collect()
}

/// All partition keys that the alternatives allow, with their values. NULL can be inserted but not found; both go together.
fn combinations(
    columns: &[(DataType, Vec<Expr>)],
    parameters: &[Value],
    drawn: &Drawing,
) -> Result<Vec<Vec<Value>>, SqlError> {
    let mut keys: Vec<Vec<Value>> = vec![Vec::with_capacity(columns.len())];
    for (data_type, alternatives) in columns {
        let mut longer = Vec::with_capacity(keys.len() * alternatives.len());
        for alternative in alternatives {
            let Some(value) = value_of(alternative, *data_type, parameters, drawn)? else { continue };
            for key in &keys {
                let mut key = key.clone();
                key.push(value.clone());
                longer.push(key);
            }
        }
        keys = longer;
    }
    Ok(keys)
}

pub(super) fn value_of(
    expr: &Expr,
    data_type: DataType,
    parameters: &[Value],
    drawn: &Drawing,
) -> Result<Option<Value>, SqlError> {
    // Nearly always it is a parameter: without the surroundings of a general expression.
    match expr {
        Expr::Constant(value) => return Ok(fitted_value(value.clone(), data_type)),
        Expr::Parameter(number) => {
            if let Some(value) = parameters.get(*number) {
                return Ok(fitted_value(value.clone(), data_type));
            }
        }
        _ => {}
    }
    let store = Store::new();
    let mut context = Context::new(Timestamp(0), Rng::from_seed([0; 32]), "UTC", 0);
    context.drawn = drawn.clone();
    fitted(expr, data_type, &mut Run::new(&store, parameters, &mut context))
}
