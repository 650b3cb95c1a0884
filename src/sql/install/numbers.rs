//! Values of sequences for rows that are there when a column is added (`ADD COLUMN … SERIAL`, `GENERATED … AS IDENTITY`, a DEFAULT
//! that draws).
//!
//! Nobody can reserve them beforehand: how many rows there are is known where the definition stands in the log, and only by all
//! partitions together. So each says how many it has, and what the sequence's state is if that is here; from what all have
//! said each takes its own stretch. The first partition's rows get the first values, in the order of their keys, and
//! there are no gaps.
//!
//! # Invariants
//! - No two rows get one value, except by CYCLE, and the sequence goes on behind the last: its state is set in the same
//!   command.
//! - Copies of a replicated table's rows get the same values everywhere.

use super::super::define::{TableWork, Work};
use super::super::expr::Expr;
use super::super::function;
use super::super::placement::Share;
use super::super::sequence::{Drawing, Values, block, put_state, sequence_home, state};
use crate::catalog::{Catalog, Table};
use crate::sql::context::Context;
use crate::storage::Store;
use crate::types::{PartitionId, SqlError, SqlState};
use crate::{planted, sometimes};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a partition says of itself.
#[derive(Default, Serialize, Deserialize)]
struct Census {
    /// Rows of the table.
    rows: u64,
    /// State of each sequence that is here, by stream.
    states: Vec<Option<(i64, bool)>>,
}

/// What is drawn for the rows of a table.
pub struct Numbering<'w> {
    work: &'w TableWork,
    before: Arc<Table>,
    /// How many values each row takes, by stream.
    each: Vec<u64>,
    /// Where the sequences stand afterwards, if anything was drawn.
    ends: Vec<Option<(i64, bool)>>,
}

impl Work {
    /// What is drawn from sequences for rows that are there; `None`: nothing.
    #[must_use]
    pub fn numbering(&self, old: &Catalog) -> Option<Numbering<'_>> {
        let work = self.0.iter().find(|work| !work.streams.is_empty())?;
        let before = Arc::clone(old.table_by_id(work.table)?);
        let each = (0..work.streams.len()).map(|stream| calls(work, stream)).collect();
        Some(Numbering { work, before, each, ends: vec![None; work.streams.len()] })
    }
}

/// How often the values of a row draw from a stream.
fn calls(work: &TableWork, stream: usize) -> u64 {
    let mut calls = 0;
    for (_, value) in &work.values {
        value.walk(&mut |expr| {
            if let Expr::Call(call) = expr
                && function::is_nextval(&call.call)
                && let Some(Expr::Constant(of)) = call.arguments.first()
                && of.as_i64().and_then(|of| usize::try_from(of).ok()) == Some(stream)
            {
                calls += 1;
            }
        });
    }
    calls
}

impl Numbering<'_> {
    /// What this partition says.
    ///
    /// # Errors
    /// When a sequence's state is damaged.
    pub fn claims(&self, store: &Store, old: &Catalog, share: Share) -> Result<Bytes, SqlError> {
        let state_of = |sequence: &Arc<Table>| match old.table_by_id(sequence.id) {
            Some(before) if sequence_home(before, share.partitions) == share.own => state(store, before).map(Some),
            _ => Ok(None),
        };
        let states = self.work.streams.iter().map(state_of).collect::<Result<_, _>>()?;
        let census = Census { rows: store.len(self.before.tree) as u64, states };
        Ok(postcard::to_stdvec(&census).expect("plain data, always encodable").into())
    }

    /// Gives `context` the values of this partition's rows, of what all have said, in ascending order.
    ///
    /// # Errors
    /// 2200H when a sequence comes to its end.
    pub fn draw(
        &mut self,
        store: &Store,
        share: Share,
        said: &[(PartitionId, Bytes)],
        context: &mut Context,
    ) -> Result<(), SqlError> {
        let damaged = || SqlError::new(SqlState::DATA_CORRUPTED, "malformed count of rows");
        let own = store.len(self.before.tree) as u64;
        let (mut before, mut all) = (0, 0);
        let mut states: Vec<Option<(i64, bool)>> = vec![None; self.each.len()];
        for (partition, bytes) in said {
            let census: Census = postcard::from_bytes(bytes).map_err(|_| damaged())?;
            before += if *partition < share.own { census.rows } else { 0 };
            all += census.rows;
            for (known, state) in states.iter_mut().zip(census.states) {
                *known = state.or(*known);
            }
        }
        if self.before.is_replicated() {
            (before, all) = (0, own);
        }
        // Planted 226: each begins where the sequence stands.
        if planted!(226) {
            before = 0;
        }
        sometimes!("sql.rows_numbered", all > 0);
        sometimes!("sql.rows_numbered_behind_others", before > 0 && own > 0);
        let mut streams = Vec::with_capacity(self.each.len());
        for (number, (sequence, each)) in self.work.streams.iter().zip(&self.each).enumerate() {
            let mut from = states[number];
            let values = stretch(sequence, &mut from, before * each, own * each, all * each)?;
            self.ends[number] = from.filter(|_| all > 0);
            streams.push(values);
        }
        context.drawn = Drawing::known(streams);
        Ok(())
    }

    /// Sets the sequences' states, behind [`crate::sql::install_sequences`].
    pub fn close(&self, store: &mut Store, share: Share) {
        for (sequence, end) in self.work.streams.iter().zip(&self.ends) {
            if let Some((last, called)) = end
                && sequence_home(sequence, share.partitions) == share.own
                && !planted!(227)
            {
                put_state(store, sequence, *last, *called);
            }
        }
    }
}

/// Of `all` next values those behind the first `skip`, `count` of them; `from` becomes the state behind all. It is `None` for a
/// sequence that is new.
fn stretch(
    table: &Table,
    from: &mut Option<(i64, bool)>,
    mut skip: u64,
    mut count: u64,
    all: u64,
) -> Result<Vec<Values>, SqlError> {
    let missing = || SqlError::new(SqlState::INTERNAL_ERROR, "rows are numbered by what is no sequence");
    let sequence = table.sequence.as_deref().ok_or_else(missing)?;
    let mut state = from.unwrap_or((sequence.reset.value, sequence.reset.called));
    let (mut own, mut left) = (Vec::new(), all);
    while left > 0 {
        let mut values = block(table, sequence, state, left)?;
        state = values.end();
        left -= values.count;
        skip -= values.split(skip).count;
        let mine = values.split(count);
        count -= mine.count;
        if mine.count > 0 {
            own.push(mine);
        }
    }
    *from = Some(state);
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Reset, Sequence};
    use crate::types::{DataType, TableId, TreeId};

    fn sequence(max: i64, cycle: bool) -> Table {
        let reset = Reset { generation: 1, value: 5, called: false };
        let (start, increment, min, cache, generation) = (5, 5, 5, 1, 1);
        let data_type = DataType::Int8;
        let sequence = Sequence { data_type, start, increment, min, max, cache, cycle, generation, reset };
        sequence.relation(TableId(7), TreeId(3), "public".to_owned(), "s".to_owned())
    }

    fn shown(values: &[Values]) -> Vec<i64> {
        values.iter().flat_map(|values| (0..values.count).filter_map(|place| values.get(place))).collect()
    }

    #[test]
    fn each_takes_its_own_stretch_and_all_agree_on_the_end() {
        let table = sequence(1_000, false);
        let counts = [3_u64, 0, 2];
        let (mut before, mut all) = (0, Vec::new());
        for count in counts {
            let mut from = None;
            all.extend(shown(&stretch(&table, &mut from, before, count, 5).expect("there are enough")));
            assert_eq!(from, Some((25, true)));
            before += count;
        }
        assert_eq!(all, [5, 10, 15, 20, 25]);
    }

    #[test]
    fn a_sequence_goes_on_where_it_is_and_begins_again_if_it_cycles() {
        let mut from = Some((10, true));
        let values = stretch(&sequence(20, true), &mut from, 1, 3, 5).expect("it begins again");
        assert_eq!(shown(&values), [20, 5, 10]);
        assert_eq!(from, Some((15, true)));
        let error = stretch(&sequence(20, false), &mut Some((10, true)), 0, 3, 3).expect_err("it ends");
        assert_eq!(error.state.as_str(), "2200H");
    }
}
