//! **SQL**: text in, plans and results out; parse → bind → plan → execute, and DDL as a function from catalog to catalog.
//!
//! A statement is planned wherever it is needed: by the session, to describe it and to find its partition, and by every
//! replica that executes it, from the text in the log entry. Both must come to the same plan, so a plan is a function of
//! the text, the parameter types, the settings and the catalog alone.
//!
//! - [`parse`] splits a text into statements ([`Parsed`]) and says what each is for ([`Kind`]).
//! - [`prepare`] binds and plans a query or a write ([`Prepared`]); [`PlanCache`] remembers plans.
//! - [`Prepared::footprint`] says which partitions a statement touches, [`Prepared::query`] and [`Prepared::execute`]
//!   run it over one partition's [`Store`](crate::storage::Store).
//! - [`Prepared::distribution`] says whether several partitions must take part, and then how: [`Prepared::run_fragment`]
//!   or [`Prepared::contribution`] and [`Prepared::execute_gathered`] at each, [`Prepared::merge`] over what they come to
//!   (`distribute`).
//! - [`define()`] turns DDL into the next catalog, [`install()`] brings a store from one catalog to the next;
//!   what takes long of that is begun before ([`Groundwork`]).
//!
//! # Invariants
//! - Execution depends on the store, the parameters and the [`Context`] alone; it takes steps, not time.
//! - A statement reads a stable view: it never sees rows that it has written itself.
//! - A failed `execute` may leave writes behind; the caller rolls the store back to its mark.
//! - No text, however nested or long, overflows the stack: past a limit it is refused with 54001.
//! - Rows without ORDER BY come in the order of the access path that the plan names; ties of ORDER BY keep that order.
//!
//! # Caveats
//! - UNIQUE is checked row by row, in the order in which the statement changes rows, as in PostgreSQL: `SET id = id + 1`
//!   over adjacent keys fails here when it fails there.
//! - `real`, generated columns, joins of views and the like are refused with 0A000, never ignored.

pub mod aggregate;
mod bind;
pub mod cast;
mod context;
mod copy;
mod define;
mod distribute;
mod execute;
mod expr;
mod footprint;
pub mod function;
mod groundwork;
mod install;
mod integrity;
mod locking;
mod maintain;
pub mod operator;
mod overload;
mod parse;
mod placement;
mod plan;
mod plan_cache;
mod prepared;
mod relocate;
mod sequence;
mod settings;

pub use context::{Context, SessionFacts};
pub use copy::Splitter;
pub use define::{Definition, Surroundings, Work, define, next_to_finish, stands_alone};
pub use footprint::{Distribution, Footprint};
pub use groundwork::{Groundwork, has_groundwork};
pub use install::{Numbering, fill, install, install_prepared};
pub use integrity::{
    Changes, Deferral, Deferred, Due, Named, Proof, Settlement, Waiting, addressed, constraints, proofs,
};
pub use locking::{Choice, Live, LockedRow, Locking, Locks, not_available};
pub use maintain::maintain;
pub use parse::{
    Constraints, Copy, CopyFormat, Discard, Kind, Maintain, Modes, Parsed, SetScope, SetValue, Transaction, parse,
};
pub use placement::{Share, partition_of};
pub use plan_cache::PlanCache;
pub use prepared::{OutputColumn, Prepared, prepare};
pub use relocate::{install_moved, moves_rows, rows_to_move};
pub use sequence::{Drawn, Draws, Drew, Needs, Placed, Set, Values, install_sequences, reserve, sequence_home, wanted};
pub use settings::{Settings, StatementResult};
