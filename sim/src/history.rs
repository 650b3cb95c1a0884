//! What clients saw: operations with the time they were invoked, the time they returned, and what came of them.

use crate::operation::Operation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of an operation in a run: client in the upper half, its counter in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationId(pub u64);

impl OperationId {
    /// The `counter`th operation of a client.
    #[must_use]
    pub const fn new(client: u32, counter: u32) -> Self {
        Self((client as u64) << 32 | counter as u64)
    }

    /// Whose.
    #[must_use]
    pub const fn client(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.client(), self.0 & 0xffff_ffff)
    }
}

/// Something that a client noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryEvent {
    /// It is about to send an operation.
    Invoke {
        /// Number.
        id: OperationId,
        /// What.
        operation: Operation,
    },
    /// It knows the outcome, or that it will never know.
    Return {
        /// Number.
        id: OperationId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Done(Seen),
    /// Refused with a definite SQLSTATE: it had and will have no effect.
    Failed(String),
    /// It may take effect at any time from its invocation on, once, or never: connection lost, time-out, 40003.
    Unknown(String),
}

/// What an acknowledged operation showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing but that it was done.
    Nothing,
    /// One value; `None`: no row.
    Value(Option<i64>),
    /// Compare: was it written?
    Written(bool),
    /// Rows as text fields, as sent.
    Rows(Vec<Vec<Option<String>>>),
}
