//! **Workloads**: who asks for what. Each is a file with one entry in [`WORKLOADS`]: what its tables are, what its
//! clients do, in which SQL, and which checkers judge it.
//!
//! Clients are those of an ordinary application: they speak the PostgreSQL protocol over the byte stream of
//! [`crate::client`], know nothing of leaders, and go to the next node when a connection fails ([`driver`]). What they
//! write is unique, so that whoever reads it knows who wrote it.
//!
//! # Invariants
//! - No operation is sent twice: a repetition has another value, and another number in the history. Only what has an idempotency token is
//!   sent again as it is, until its client knows what has become of it ([`Kind::repeats`]): it is one operation.
//! - A checker sees what clients saw and nothing else.

mod append;
mod bank;
mod claims;
pub mod driver;
mod families;
mod indexes;
mod insert;
mod last_seen;
mod nodes;
mod observer;
mod registers;
mod schema;
mod sequences;
mod tpcb;
pub mod wire;

pub use bank::OPENING_BALANCE;
pub use families::KIN;
pub use indexes::{BATCH_ROWS, BATCH_STRIDE, FIRST_REFUSED, WAYS};
pub(crate) use last_seen::LastSeen;
pub use schema::last_of_pair;
pub use sequences::{STRETCH, issued_rows, jumps_in_block};

use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use wire::{Answer, Exchange};

/// A kind of workload.
pub trait Kind: Sync {
    /// Its name in scenarios.
    fn name(&self) -> &'static str;

    /// Checkers that fit it.
    fn checkers(&self) -> &'static [&'static str];

    /// Statements that make its tables and first rows, in order. Each is repeated until it works; a repetition of one
    /// that has worked ends in 23505, which is as good.
    fn setup(&self, place: Place) -> Vec<String>;

    /// A query that shows a row when the setup is complete.
    fn ready(&self, place: Place) -> String;

    /// Draws an operation. `unique` is unique in the run; `earlier` is what the client has planned before.
    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, earlier: &[Operation]) -> Operation;

    /// What a client does after the healing, each until it works: writes first, then (the workload's first two clients)
    /// reads of everything.
    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation>;

    /// Is the operation executed once however often it is sent?
    fn repeats(&self, _operation: Operation) -> bool {
        false
    }

    /// What to send.
    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange;

    /// What to send after `answered` exchanges of an operation were answered, the last one with `answer` and without an
    /// error; `None`: the operation is done.
    fn next(&self, _place: Place, _operation: Operation, _answered: u32, _answer: &Answer) -> Option<Exchange> {
        None
    }

    /// What an answer without an error shows: the results of all exchanges of an operation, in order.
    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen;
}

/// Where a workload's tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of the workload in the plan: suffix of the tables' names.
    pub workload: u32,
    /// Rows.
    pub keys: u32,
}

/// How a client speaks; the same for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Simple queries.
    Simple,
    /// Prepared statements, binary.
    Prepared,
    /// Unnamed statements with parameters, text.
    Unnamed,
}

impl Style {
    /// Clients take turns.
    #[must_use]
    pub const fn of(client: u32) -> Self {
        match client % 3 {
            0 => Self::Simple,
            1 => Self::Prepared,
            _ => Self::Unnamed,
        }
    }

    /// An exchange of one statement with parameters in this style.
    #[must_use]
    pub fn exchange(self, name: &'static str, text: &str, parameters: &[i64]) -> Exchange {
        let parameters = parameters.to_vec();
        match self {
            Self::Simple => {
                let mut text = text.to_owned();
                // From the last, so that $1 does not match in $10.
                for (index, value) in parameters.iter().enumerate().rev() {
                    text = text.replace(&format!("${}", index + 1), &value.to_string());
                }
                Exchange::Simple(text)
            }
            Self::Prepared => Exchange::Extended { name: Some(name), text: text.to_owned(), parameters, binary: true },
            Self::Unnamed => Exchange::Extended { name: None, text: text.to_owned(), parameters, binary: false },
        }
    }
}

/// All workloads.
pub const WORKLOADS: &[&dyn Kind] = &[
    &registers::Registers,
    &registers::Watched,
    &bank::BANK,
    &insert::INSERT,
    &insert::SYNC_INSERT,
    &indexes::INDEXES,
    &indexes::REBUILT,
    &append::APPEND,
    &append::WRITE_SKEW,
    &append::LONG_FORK,
    &append::MOMENTS,
    &bank::BRANCH_BANK,
    &bank::TOKEN_BANK,
    &tpcb::Tpcb,
    &claims::CLAIMS,
    &claims::OWNERS,
    &families::Families,
    &schema::Schema,
    &observer::Observer,
    &sequences::Sequences,
    &nodes::Nodes,
    &nodes::Priorities,
    &nodes::Recoveries,
    &nodes::Spares,
];

/// Checkers that fit any workload.
pub const GENERAL_CHECKERS: &[&str] = &["no-internal-errors"];

/// The workload of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    WORKLOADS.iter().copied().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests;
