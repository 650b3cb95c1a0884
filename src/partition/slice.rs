//! How much of what there is to execute is executed in one turn of the worker.
//!
//! Nobody listens while a worker executes. So work is done in slices, and between them messages are heard: a command of many
//! statements is left in the middle, with `executed` still before it, and gone on with in another turn.
//!
//! # Invariants
//! - Where a slice ends depends on counts alone, never on time, and changes nothing but when the rest is done: replicas with
//!   slices of other lengths come to the same states.
//! - Nothing between two slices is ever seen: a machine that is in the middle *stands*, like one at an undecided command over
//!   several partitions. No read, fork, checkpoint, snapshot or digest is of such a moment.
//!
//! # Caveats
//! - A statement is never cut, however many rows it reads or writes; nor is a definition. Of those most have their long work done
//!   before, in slices of its own ([`crate::sql::Groundwork`], which says what has not).

/// Rows that count like a statement.
pub(super) const ROWS: usize = 8;

/// A slice, in statements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    length: u64,
    spent: u64,
}

impl Slice {
    /// So many statements.
    pub(super) const fn of(statements: u64) -> Self {
        Self { length: statements, spent: 0 }
    }

    /// One that does not end.
    pub(super) const fn whole() -> Self {
        Self::of(u64::MAX)
    }

    /// What has been executed of it.
    pub(super) const fn spent(&self) -> u64 {
        self.spent
    }

    /// What has not been executed of it.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.length.saturating_sub(self.spent)).unwrap_or(usize::MAX)
    }

    /// Has it come to its end?
    pub(super) const fn is_spent(&self) -> bool {
        self.spent >= self.length
    }

    /// A statement, or as much, has been executed, and so many rows have been written.
    pub(super) const fn spend(&mut self, rows: usize) {
        self.spent = self.spent.saturating_add(1 + (rows / ROWS) as u64);
    }

    /// So many rows have been written by what is no statement.
    pub(super) const fn spend_rows(&mut self, rows: usize) {
        self.spent = self.spent.saturating_add((rows / ROWS) as u64);
    }

    /// What could not be cut has been executed in a slice of its own.
    pub(super) const fn add(&mut self, other: &Self) {
        self.spent = self.spent.saturating_add(other.spent);
    }
}
