//! Sequences: what the catalog knows of them.
//!
//! A sequence is a relation of one row, as in PostgreSQL: a [`Table`] without a key, and so in one data partition, with a
//! [`Sequence`] beside its columns. The row is its state, changed by nothing but `CommandBody::Reserve`; everybody else can
//! read it. A change of the definition, `setval` among them, raises the generation: values that were reserved under an
//! earlier one are not used any more, because every command says the catalog's version that it was planned under.
//!
//! # Invariants
//! - `min <= start <= max`, all three in the range of the type; `increment` is not 0.
//! - A generation only grows, and the one of the last reset is not above it.

use super::{Catalog, Column, Table};
use crate::types::{DataType, TableId, TreeId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Definition of a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// `smallint`, `integer` or `bigint`.
    pub data_type: DataType,
    /// What RESTART alone goes back to.
    pub start: i64,
    /// From one value to the next; negative: it descends.
    pub increment: i64,
    /// Least value.
    pub min: i64,
    /// Greatest value.
    pub max: i64,
    /// CACHE: the least that a gateway reserves at a time.
    pub cache: i64,
    /// Does it begin again at its end?
    pub cycle: bool,
    /// Raised by every change after which values reserved before must not be used.
    pub generation: u64,
    /// What its state was last set to.
    pub reset: Reset,
}

/// A state that was given to a sequence, by CREATE, RESTART or `setval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The sequence's generation from then on.
    pub generation: u64,
    /// `last_value`
    pub value: i64,
    /// `is_called`: the next value is the one after it.
    pub called: bool,
}

/// Sequences of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSequences {
    /// GENERATED … AS IDENTITY.
    pub identity: Option<Identity>,
    /// Those that go with the column (OWNED BY; SERIAL's and IDENTITY's too).
    pub owned: Vec<TableId>,
}

/// GENERATED … AS IDENTITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// ALWAYS: values are not given by INSERT, unless OVERRIDING says so.
    pub always: bool,
    /// Where values come from.
    pub sequence: TableId,
}

impl Sequence {
    /// Sets the state.
    pub fn reset(&mut self, value: i64, called: bool) {
        self.generation += 1;
        self.reset = Reset { generation: self.generation, value, called };
    }

    /// The relation that the sequence is.
    #[must_use]
    pub fn relation(self, id: TableId, tree: TreeId, schema: String, name: String) -> Table {
        let column = |name: &str, data_type| Column { not_null: true, ..Column::new(name.to_owned(), data_type) };
        Table {
            columns: vec![
                column("last_value", DataType::Int8),
                column("log_cnt", DataType::Int8),
                column("is_called", DataType::Bool),
            ],
            sequence: Some(Box::new(self)),
            ..Table::new(id, tree, schema, name)
        }
    }
}

impl Catalog {
    /// All sequences.
    pub fn sequences(&self) -> impl Iterator<Item = (&Arc<Table>, &Sequence)> {
        self.tables.values().filter_map(|table| Some((table, table.sequence.as_deref()?)))
    }

    /// The column that a sequence goes with.
    #[must_use]
    pub fn owner_of(&self, sequence: TableId) -> Option<(&Arc<Table>, &Column)> {
        self.tables.values().find_map(|table| {
            let column = table.columns.iter().find(|column| column.sequences.owned.contains(&sequence))?;
            Some((table, column))
        })
    }

    /// Panics unless the invariants of sequences hold.
    pub(super) fn check_sequences(&self) {
        for (table, sequence) in self.sequences() {
            let Sequence { start, min, max, increment, .. } = *sequence;
            assert!(min <= start && start <= max && increment != 0, "sequence {} has values", table.name);
            assert!(sequence.reset.generation <= sequence.generation, "a sequence was reset in its past");
            let columns = self.tables.values().flat_map(|table| &table.columns);
            let owners = columns.filter(|column| column.sequences.owned.contains(&table.id)).count();
            assert!(owners <= 1, "sequence {} goes with one column at most", table.name);
        }
    }
}

impl Table {
    /// Is it a sequence's one row?
    #[must_use]
    pub const fn is_sequence(&self) -> bool {
        self.sequence.is_some()
    }
}
