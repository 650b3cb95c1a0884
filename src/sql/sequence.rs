//! Values of sequences: how a statement gets them, and how they are reserved.
//!
//! Execution never asks a sequence for a value: the sequence lives in one partition, the rows mostly in others. Sessions
//! reserve blocks of values ([`reserve`], a command in the log of the sequence's partition) and send each statement with
//! the values that it draws: one more parameter behind its own, [`Drawn`]. So what was drawn is in every log and list,
//! and executing again draws the same (rules A8).
//!
//! - **Placed.** Where planning knows how often a value is drawn (VALUES of an INSERT, a SELECT without FROM), every draw
//!   has a place of its own. Placed values are known before execution like parameters, so that the partition of a row whose key
//!   is drawn can be computed.
//! - **Streams.** Elsewhere (INSERT … SELECT, COPY, UPDATE) rows take values one after the other. If there are too few, the
//!   execution goes on with stand-ins to see how many it needs, and fails with [`wanting`]: nothing is changed, and the
//!   session sends the statement again with more. Where participants draw for rows of their own, each has its own stream.
//!   RETURNING and DO UPDATE are always evaluated for rows of one's own, whoever evaluates the source: their streams are others
//!   than the source's ([`Stream::own`]).
//!
//! Rows that are there when a column is added take values, too: see [`super::Numbering`].
//!
//! # Invariants
//! - A reserved value is reserved once, except by CYCLE or after the sequence was set back.
//! - A statement that has come to its end has seen no stand-in.
//!
//! # Caveats
//! - Values are lost whenever a statement that had drawn them does not use them, or a gateway ends: gaps are allowed.
//! - `currval` beside `nextval` in one statement is what the statement draws last, wherever it stands.
//! - In INSERT … VALUES a value is drawn for every `nextval` that is written, in a branch of CASE that is not taken too.

use super::context::Context;
use super::placement::Share;
use super::settings::StatementResult;
use crate::catalog::{Catalog, Sequence, Table};
use crate::storage::Store;
use crate::types::{PartitionId, SqlError, SqlState, TableId, Value, row};
use crate::{planted, sometimes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most values that one statement draws from a sequence (54000 beyond).
const MAX_DRAWN: u64 = 1 << 30;
/// State of [`wanting`]: told by partitions to sessions, never to clients.
const WANTING: SqlState = SqlState(*b"OR001");
/// 2200H: the sequence has come to its end.
const LIMIT_EXCEEDED: SqlState = SqlState(*b"2200H");
/// The key of the one row of a sequence.
const STATE: [u8; 8] = 1_u64.to_be_bytes();

/// Values of a sequence that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// The first one.
    pub first: i64,
    /// From one to the next.
    pub increment: i64,
    /// How many.
    pub count: u64,
}

impl Values {
    /// The value at a place, from 0.
    #[must_use]
    pub fn get(&self, place: u64) -> Option<i64> {
        let step = i64::try_from(place).ok().filter(|_| place < self.count)?;
        self.first.checked_add(self.increment.checked_mul(step)?)
    }

    /// Takes the first so many away; at most all.
    pub fn split(&mut self, count: u64) -> Self {
        let count = count.min(self.count);
        let taken = Self { count, ..*self };
        self.count -= count;
        if let Some(next) = self.get_unchecked(count) {
            self.first = next;
        }
        taken
    }

    /// The state of a sequence that has given them away.
    #[must_use]
    pub fn end(&self) -> (i64, bool) {
        (self.get(self.count.saturating_sub(1)).unwrap_or(self.first), true)
    }

    fn get_unchecked(&self, place: u64) -> Option<i64> {
        self.first.checked_add(self.increment.checked_mul(i64::try_from(place).ok()?)?)
    }
}

/// What a plan draws.
#[derive(Clone, Debug, Default)]
pub struct Draws {
    /// Each with its place.
    pub placed: Vec<Placed>,
    /// Sequences from which rows draw as they come.
    pub streams: Vec<Stream>,
}

/// A sequence from which rows draw as they come.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Which.
    pub sequence: Arc<Table>,
    /// It is drawn from for rows that were written, by whoever wrote them, even where all participants evaluate a statement's
    /// source alike.
    pub own: bool,
}

/// A value that is known before execution.
#[derive(Clone, Debug)]
pub enum Placed {
    /// `nextval`
    Next(Arc<Table>),
    /// `currval`
    Current(Arc<Table>),
    /// `lastval`
    Last,
}

impl Draws {
    /// Is nothing drawn, and nothing asked of what was?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.streams.is_empty()
    }

    /// Are values taken from sequences?
    #[must_use]
    pub fn takes(&self) -> bool {
        !self.streams.is_empty() || self.placed.iter().any(|placed| matches!(placed, Placed::Next(_)))
    }

    /// The stream of a sequence.
    pub(super) fn stream(&mut self, sequence: &Arc<Table>, own: bool) -> usize {
        let known = self.streams.iter().position(|known| known.sequence.id == sequence.id && known.own == own);
        known.unwrap_or_else(|| {
            self.streams.push(Stream { sequence: Arc::clone(sequence), own });
            self.streams.len() - 1
        })
    }

    /// A place.
    pub(super) fn place(&mut self, what: Placed) -> usize {
        self.placed.push(what);
        self.placed.len() - 1
    }
}

/// What a session has drawn: `currval`, `lastval`.
#[derive(Clone, Debug, Default)]
pub struct Drew {
    current: BTreeMap<TableId, i64>,
    last: Option<i64>,
}

impl Drew {
    /// The session has set the sequence.
    pub fn set(&mut self, set: &Set) {
        if set.called {
            self.current.insert(set.sequence, set.value);
        }
    }

    fn note(&mut self, sequence: &Table, value: i64) {
        self.current.insert(sequence.id, value);
        self.last = Some(value);
    }
}

impl Draws {
    /// How many values are drawn of each sequence, as far as is known; added to what others draw.
    pub fn count<'a>(&'a self, needs: &Needs, counts: &mut BTreeMap<TableId, (&'a Arc<Table>, u64)>) {
        let mut add = |sequence: &'a Arc<Table>, count: u64| {
            let sum = &mut counts.entry(sequence.id).or_insert((sequence, 0)).1;
            *sum = sum.saturating_add(count);
        };
        for placed in &self.placed {
            if let Placed::Next(sequence) = placed {
                add(sequence, 1);
            }
        }
        for (stream, _, count) in needs.iter() {
            if let Some(stream) = self.streams.get(stream as usize) {
                add(&stream.sequence, count);
            }
        }
    }

    /// Draws: `take` gives the next values of a sequence, as many as are wanted.
    pub fn draw(&self, needs: &Needs, drew: &mut Drew, mut take: impl FnMut(&Table, u64) -> Vec<Values>) -> Drawn {
        let mut drawn = Drawn::default();
        for placed in &self.placed {
            let next = if let Placed::Next(sequence) = placed { Some(sequence) } else { None };
            drawn.placed.push(next.and_then(|sequence| {
                let value = take(sequence, 1).first()?.first;
                drew.note(sequence, value);
                Some(value)
            }));
        }
        for (stream, partition, count) in needs.iter() {
            let Some(Stream { sequence, .. }) = self.streams.get(stream as usize) else { continue };
            let values = take(sequence, count);
            if let Some(value) = values.last().and_then(|values| values.get(values.count.saturating_sub(1))) {
                drew.note(sequence, value);
            }
            drawn.streams.push((stream, partition, values));
        }
        // What was drawn last is known now: by this statement, if it draws.
        for (value, placed) in drawn.placed.iter_mut().zip(&self.placed) {
            match placed {
                Placed::Next(_) => {}
                Placed::Current(sequence) => *value = drew.current.get(&sequence.id).copied(),
                Placed::Last => *value = drew.last,
            }
        }
        drawn
    }
}

/// What was drawn for one execution of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// By place; `None`: `currval` of what the session has not drawn from.
    pub placed: Vec<Option<i64>>,
    /// By stream and partition; 0: for all that execute the statement alike.
    pub streams: Vec<(u32, PartitionId, Vec<Values>)>,
}

impl Drawn {
    /// As the parameter behind a statement's own.
    #[must_use]
    pub fn to_parameter(&self) -> Value {
        Value::Bytea(postcard::to_stdvec(self).expect("plain data, always encodable").into())
    }
}

/// Values on their way into an execution.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawing {
    placed: Vec<Option<i64>>,
    streams: Vec<Pool>,
}

/// What is left of a stream.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// For whom; 0: for all that execute the statement alike.
    of: PartitionId,
    values: VecDeque<Values>,
    missing: u64,
}

impl Drawing {
    /// Of the parameter that travels behind a statement's own. Without one, nothing was drawn yet.
    /// `partition` draws, and `own` from streams that are drawn from for rows that were written.
    pub(super) fn of(
        draws: &Draws,
        partition: PartitionId,
        own: PartitionId,
        parameter: Option<&Value>,
    ) -> Result<Self, SqlError> {
        let damaged = || SqlError::new(SqlState::DATA_CORRUPTED, "malformed values of sequences");
        let drawn: Drawn = match parameter {
            None => Drawn::default(),
            Some(Value::Bytea(bytes)) => postcard::from_bytes(bytes).map_err(|_| damaged())?,
            Some(_) => return Err(damaged()),
        };
        let pool = |stream: &Stream| Pool { of: if stream.own { own } else { partition }, ..Pool::default() };
        let mut streams: Vec<Pool> = draws.streams.iter().map(pool).collect();
        for (number, of, values) in drawn.streams {
            let stream = usize::try_from(number).ok().and_then(|number| streams.get_mut(number)).ok_or_else(damaged)?;
            if stream.of == of {
                stream.values.extend(values);
            }
        }
        Ok(Self { placed: drawn.placed, streams })
    }

    /// Of values that are known, by stream.
    pub(super) fn known(streams: impl IntoIterator<Item = Vec<Values>>) -> Self {
        let pool = |values: Vec<Values>| Pool { values: values.into(), ..Pool::default() };
        Self { placed: Vec::new(), streams: streams.into_iter().map(pool).collect() }
    }

    /// How many streams there are to draw from.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The value at a place; `None`: there is none.
    pub(super) fn placed(&self, place: usize) -> Option<i64> {
        self.placed.get(place).copied().flatten()
    }

    /// The next value of a stream, or a stand-in: negative, so that it mostly meets no row that is there.
    pub(super) fn next(&mut self, stream: usize) -> i64 {
        let Some(stream) = self.streams.get_mut(stream) else { return 0 };
        while let Some(values) = stream.values.front_mut() {
            let next = values.split(1);
            if next.count == 1 {
                return next.first;
            }
            stream.values.pop_front();
        }
        stream.missing += 1;
        i64::try_from(stream.missing).map_or(i64::MIN, |missing| -missing)
    }

    /// [`wanting`], if a stand-in was given.
    pub(super) fn check(&self) -> Result<(), SqlError> {
        let streams = (0_u32..).zip(&self.streams).map(|(number, stream)| (number, stream.of, stream.missing));
        let wanted: Vec<_> = streams.filter(|(_, _, missing)| *missing > 0).collect();
        if wanted.is_empty() { Ok(()) } else { Err(wanting(&wanted)) }
    }

    /// What an execution comes to: whatever came of stand-ins is nothing.
    pub(super) fn settle(&self, result: Result<StatementResult, SqlError>) -> Result<StatementResult, SqlError> {
        self.check()?;
        result
    }
}

/// More values of sequences are wanted: by stream and partition, how many are missing at least. The message is always the same, and so is a
/// transaction's digest of it.
fn wanting(streams: &[(u32, PartitionId, u64)]) -> SqlError {
    let list: Vec<_> = streams.iter().map(|(stream, of, count)| format!("{stream}:{}:{count}", of.0)).collect();
    SqlError::new(WANTING, "more values of sequences are wanted").detail(list.join(","))
}

/// What [`wanting`] says: stream, partition, how many more.
#[must_use]
pub fn wanted(error: &SqlError) -> Option<Vec<(u32, PartitionId, u64)>> {
    if error.state != WANTING {
        return None;
    }
    let one = |text: &str| {
        let mut parts = text.split(':');
        let stream = parts.next()?.parse().ok()?;
        Some((stream, PartitionId(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?))
    };
    error.detail.as_deref()?.split(',').map(one).collect()
}

/// How many values of each stream and partition an execution is to be given.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    counts: BTreeMap<(u32, PartitionId), u64>,
}

impl Needs {
    /// So many for each stream, for all that execute the statement alike.
    #[must_use]
    pub fn for_rows(draws: &Draws, rows: u64) -> Self {
        let streams = 0..u32::try_from(draws.streams.len()).unwrap_or(u32::MAX);
        Self { counts: streams.map(|stream| ((stream, PartitionId(0)), rows)).collect() }
    }

    /// What an execution has missed. It may have ended before it had counted all: at least twice as many.
    ///
    /// # Errors
    /// 54000, if they are too many.
    pub fn add(&mut self, wanted: &[(u32, PartitionId, u64)]) -> Result<(), SqlError> {
        for (stream, partition, missing) in wanted {
            let count = self.counts.entry((*stream, *partition)).or_default();
            *count = count.saturating_add((*missing).max(*count));
            if *count > MAX_DRAWN {
                let message = "too many values of a sequence in one statement";
                return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        Ok(())
    }

    /// Stream, partition, how many.
    pub fn iter(&self) -> impl Iterator<Item = (u32, PartitionId, u64)> + '_ {
        self.counts.iter().map(|((stream, partition), count)| (*stream, *partition, *count))
    }
}

/// The state that a sequence's row holds: `last_value` and `is_called`.
pub(super) fn state(store: &Store, table: &Table) -> Result<(i64, bool), SqlError> {
    let damaged = || SqlError::new(SqlState::DATA_CORRUPTED, format!("sequence \"{}\" has no state", table.name));
    let bytes = store.get(table.tree, &STATE).ok_or_else(damaged)?;
    let values = table.read_row(bytes, &table.every_column())?;
    match values.as_slice() {
        [Value::Int8(last), _, Value::Bool(called)] => Ok((*last, *called)),
        _ => Err(damaged()),
    }
}

pub(super) fn put_state(store: &mut Store, table: &Table, last: i64, called: bool) {
    store.put(table.tree, &STATE, &row::encode(&[Value::Int8(last), Value::Int8(0), Value::Bool(called)]));
}

/// Reserves values of a sequence, at least one and at most `count`: part of executing a log.
///
/// # Errors
/// 2200H at its end, 42P01 if there is no such sequence.
pub fn reserve(store: &mut Store, catalog: &Catalog, id: TableId, count: u64) -> Result<Values, SqlError> {
    let missing = || SqlError::new(SqlState::UNDEFINED_TABLE, "the sequence does not exist");
    let table = catalog.table_by_id(id).ok_or_else(missing)?;
    let sequence = table.sequence.as_deref().ok_or_else(missing)?;
    let values = block(table, sequence, state(store, table)?, count)?;
    // Planted 127: the state stays one value behind what was given away.
    let behind = if planted!(127) && values.count > 1 { 2 } else { 1 };
    let (last, _) = (Values { count: values.count - behind + 1, ..values }).end();
    put_state(store, table, last, true);
    Ok(values)
}

/// The next values behind a state, at least one and at most `count`.
///
/// # Errors
/// 2200H at the sequence's end.
pub(super) fn block(
    table: &Table,
    sequence: &Sequence,
    (last, called): (i64, bool),
    count: u64,
) -> Result<Values, SqlError> {
    let next = following(sequence, last, called);
    let (first, wrapped) = match next.filter(|next| (sequence.min..=sequence.max).contains(next)) {
        Some(next) => (next, false),
        None if sequence.cycle => (if sequence.increment > 0 { sequence.min } else { sequence.max }, true),
        None => return Err(exhausted(table, sequence)),
    };
    sometimes!("sequence.cycled", wrapped);
    let bound = if sequence.increment > 0 { sequence.max } else { sequence.min };
    let left = (i128::from(bound) - i128::from(first)) / i128::from(sequence.increment) + 1;
    let count = u64::try_from(left).unwrap_or(u64::MAX).min(count.max(1));
    Ok(Values { first, increment: sequence.increment, count })
}

/// What follows a state. A definition that was changed may have left it outside of the new range: on the side where the
/// sequence begins, it begins there; what was set and never drawn is where it starts.
fn following(sequence: &Sequence, last: i64, called: bool) -> Option<i64> {
    let ascends = sequence.increment > 0;
    if !called {
        return Some(if (sequence.min..=sequence.max).contains(&last) { last } else { sequence.start });
    }
    if ascends && last < sequence.min {
        return Some(sequence.min);
    }
    if !ascends && last > sequence.max {
        return Some(sequence.max);
    }
    last.checked_add(sequence.increment)
}

fn exhausted(table: &Table, sequence: &Sequence) -> SqlError {
    let (what, bound) = if sequence.increment > 0 { ("maximum", sequence.max) } else { ("minimum", sequence.min) };
    SqlError::new(LIMIT_EXCEEDED, format!("nextval: reached {what} value of sequence \"{}\" ({bound})", table.name))
}

/// Gives those sequences of a partition that are new, or were set, their state. After [`super::install()`].
pub fn install_sequences(store: &mut Store, old: &Catalog, new: &Catalog, share: Share) {
    for (table, sequence) in new.sequences().filter(|(table, _)| sequence_home(table, share.partitions) == share.own) {
        let before = old.table_by_id(table.id).and_then(|before| before.sequence.as_deref());
        if before.map(|before| before.reset) != Some(sequence.reset) {
            put_state(store, table, sequence.reset.value, sequence.reset.called);
        }
    }
}

/// The data partition in which a sequence's state lives, of so many.
#[must_use]
pub fn sequence_home(table: &Table, partitions: u32) -> PartitionId {
    super::placement::home_of(table, partitions)
}

/// `nextval` of a stream, evaluated.
pub(super) fn next(context: &mut Context, stream: &Value) -> Value {
    let stream = stream.as_i64().and_then(|stream| usize::try_from(stream).ok()).unwrap_or(usize::MAX);
    Value::Int8(context.drawn.next(stream))
}

/// What a column of `setval` holds until the session has done it: partitions compute it, and the session makes a definition of
/// it, which holds for every partition (its value is what the client is shown).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Which sequence.
    pub sequence: TableId,
    /// `last_value`
    pub value: i64,
    /// `is_called`
    pub called: bool,
}

impl Set {
    /// What a column of `setval` says; `None`: NULL.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        if let Value::Bytea(bytes) = value { postcard::from_bytes(bytes).ok() } else { None }
    }

    /// The definition that does it; `None`: the sequence is gone.
    #[must_use]
    pub fn definition(&self, catalog: &Catalog) -> Option<String> {
        let table = catalog.table_by_id(self.sequence)?;
        let called = if self.called { " CALLED" } else { "" };
        let name = catalog.written_name(&table.schema, &table.name);
        Some(format!("ALTER SEQUENCE {name} SETVAL {}{called}", self.value))
    }
}

/// `setval`, evaluated: nothing is set by that.
pub(super) fn set(arguments: &[Value]) -> Result<Value, SqlError> {
    let number = |at: usize| arguments.get(at).and_then(Value::as_i64);
    let (Some(id), Some(Value::Text(name)), Some(min), Some(max), Some(value), Some(Value::Bool(called))) =
        (number(0), arguments.get(1), number(2), number(3), number(4), arguments.get(5))
    else {
        return Err(SqlError::unsupported("this use of setval is not supported"));
    };
    if !(min..=max).contains(&value) {
        let message = format!("setval: value {value} is out of bounds for sequence \"{name}\" ({min}..{max})");
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    let sequence = TableId(u32::try_from(id).unwrap_or(u32::MAX));
    let set = Set { sequence, value, called: *called };
    Ok(Value::Bytea(postcard::to_stdvec(&set).expect("plain data, always encodable").into()))
}
