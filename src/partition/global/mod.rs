//! **Global commands**: what touches several partitions, strictly serializable (design §6; rules A3–A6, B1, B2).
//!
//! 1. The cluster partition *orders* a command: its [`Sequencer`] gives it a number and writes into it, for every participant,
//!    the number of the previous command that involved it. Orders that come while one is under way go into the log together behind it.
//! 2. Every participant's leader appends it to its own log. At its committed place it is taken only if it follows the last
//!    one taken: duplicates, gaps and reordering are harmless, and no two partitions disagree on an order.
//! 3. The participant executes its part *tentatively* and stands still: nothing behind it is executed or read. Its leader sends
//!    its [`Vote`] to the other participants.
//! 4. The decision is a function of all votes, so of committed logs: nobody coordinates, and nobody's death blocks. Whoever
//!    knows all votes goes on; an entry `Decision` tells followers and whoever reads the log later. It goes into the log with
//!    the next entry, or after a moment: alone it would cost as much as the command.
//!
//! At the instant at which the last participant comes to stand still, all of them do: that is the command's place in real time.
//! The smallest undecided number waits for nobody, so there is no deadlock.
//!
//! # Parts
//! - [`Sequencer`]: the order, replicated state of the cluster partition. It never waits.
//! - [`Memory`]: what global commands came to, and the bodies of those under way; replicated state.
//! - `participant`: the state machine's side. `exchange`: the leader's side, volatile.
//!
//! # Invariants
//! - A vote is cast only on a committed entry with its whole prefix (rules A2), and is the same whenever it is computed again.
//! - `executed` does not pass an undecided command, on any replica, in this life or the next (rules A3): checkpoints,
//!   snapshots, digests and reads speak of what is decided.
//! - What a command came to is remembered by every participant until *all* participants have their decision in a committed log
//!   (`forget_below`, stamped by the sequencer into later entries, so that all replicas forget at the same place; rules A4).
//! - Whether a participant that needs values of others can finish, and so its vote and all that it remembers, depends on what they
//!   have sent at all, not on what was heard first: a follower, told the decision and the values, comes to the same bytes.
//! - A *read* over several partitions ([`GlobalBody::Read`]) is ordered like a write, and nobody stands still for it (rules A10). At
//!   its place each participant freezes its rows for it, votes, and goes on executing. What it keeps instead is *silence*: until all
//!   votes are known, nobody is told anything of what lies behind that place: no replies, no answers to other reads, no votes
//!   on later commands ([`Reads`]). All participants are silent at one common instant, and that is the read's place in real
//!   time; without the silence somebody could see a write behind it here, and then write before it there.
//! - Which reads are *open* (taken, and without their `Decision` in the log) is replicated state: who comes to lead is silent until it
//!   has heard of them anew. A follower says nothing, so it goes on past them, and so does whoever executes the log again.
//! - Votes on reads are Yes or Replan, and of all participants the same: where definitions stand in the order is the same for all.
//! - A body is kept by the sequencer until all its participants have it in a committed log.
//! - Timestamp and seed are the sequencer's; all participants use them as they are (rules B5).
//!
//! # Caveats
//! - What is said must go to who leads, not to who is believed to lead: a guess that was moved on because a partition was slow made it
//!   slower (`scenarios/regressions/guesses_mislead_votes.toml`).
//! - A leader that hands over leads and can log nothing: one that took its attempt at a decision for the decision tried again at once,
//!   until its stack was at its end (`retries_fill_the_log.toml`, seed 0x2, with leaders that are handed over while they work).
//! - A group without a quorum stops every partition that shares an undecided command with it; nothing new is ordered for a
//!   group whose leader has not been heard for [`HEARD_WITHIN`] (rules B2).

mod cuts;
mod exchange;
mod memory;
mod reads;
mod sequencer;
#[cfg(test)]
mod tests;

pub(super) use cuts::Cuts;
pub(super) use exchange::{DELIVERED_AT_ONCE, Exchanges, HELD, Heard, Report};
pub use exchange::{Exchange, HEARD_WITHIN, Said};
pub(super) use memory::{Memory, Remembered};
pub(super) use reads::{Reads, Showing};
pub(super) use sequencer::Sequencer;

use crate::partition::message::{Commitment, Settings, Statement, StatementResult};
use crate::partition::tokens::{Spent, Token};
use crate::types::{CatalogVersion, GlobalNumber, PartitionId, RequestId, Sequence, SqlError, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most commands that are ordered and not yet settled everywhere (rules A4).
pub const GLOBAL_WINDOW: u64 = 10_000;

/// A command over several partitions, in its place in the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Global {
    /// Its place.
    pub number: GlobalNumber,
    /// Whose request.
    pub id: RequestId,
    /// What the session no longer waits for.
    pub acked_below: Sequence,
    /// `now()` of its statements.
    pub timestamp: Timestamp,
    /// Seed of their dice.
    pub seed: u64,
    /// Everything below is settled everywhere and may be forgotten.
    pub forget_below: GlobalNumber,
    /// Who takes part, ascending, each with the previous command that involved it.
    pub participants: Vec<(PartitionId, GlobalNumber)>,
    /// What to do.
    pub body: Arc<GlobalBody>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GlobalBody {
    /// Statements, executed together or not at all.
    Execute {
        /// Catalog version they were planned under.
        catalog_version: CatalogVersion,
        /// Data partitions of the cluster: where rows belong depends on it.
        partitions: u32,
        /// In order.
        statements: Vec<Placed>,
        /// Settings of the session in force.
        settings: Arc<Settings>,
        /// The client's name for it; its home takes part.
        token: Option<Token>,
    },
    /// COMMIT of a transaction of several partitions: for each its own list. All of it is executed again, or none.
    Commit {
        /// Catalog version it was planned under.
        catalog_version: CatalogVersion,
        /// The list of each participant.
        lists: Vec<(PartitionId, Commitment)>,
        /// Nothing is to be changed: whether all is as it was seen is what is asked.
        only_validate: bool,
        /// The client's name for it; its home takes part.
        token: Option<Token>,
    },
    /// DDL. All partitions take part, the cluster partition too.
    Define {
        /// One after the other; none of them, if one cannot be.
        definitions: Vec<Ddl>,
        /// COMMIT of a transaction that has done something with rows, too: the lists of those that it has touched, executed again
        /// before anything is defined.
        lists: Vec<(PartitionId, Commitment)>,
        /// Version under which it was checked.
        catalog_version: CatalogVersion,
    },
    /// Queries. They change nothing, so nobody stands still for them.
    Read {
        /// Catalog version they were planned under.
        catalog_version: CatalogVersion,
        /// Data partitions of the cluster.
        partitions: u32,
        /// In order.
        statements: Vec<Placed>,
        /// Settings of the session in force.
        settings: Arc<Settings>,
    },
    /// What all participants have is frozen, for a transaction that only reads.
    Cut {
        /// Catalog version its first statement was planned under.
        catalog_version: CatalogVersion,
    },
}

/// A definition, as it travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ddl {
    /// One DDL statement's text.
    pub text: Arc<str>,
    /// Settings of the session in force.
    pub settings: Arc<Settings>,
}

impl GlobalBody {
    /// One definition, for itself.
    #[must_use]
    pub fn definition(text: Arc<str>, settings: Arc<Settings>, catalog_version: CatalogVersion) -> Self {
        Self::Define { definitions: vec![Ddl { text, settings }], lists: Vec::new(), catalog_version }
    }

    /// Does it change nothing, whatever comes of it?
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Cut { .. })
    }

    /// The idempotency token under which it is to be executed.
    #[must_use]
    pub const fn token(&self) -> Option<&Token> {
        match self {
            Self::Execute { token, .. } | Self::Commit { token, .. } => token.as_ref(),
            Self::Define { .. } | Self::Read { .. } | Self::Cut { .. } => None,
        }
    }

    /// Catalog version it was planned under.
    #[must_use]
    pub const fn catalog_version(&self) -> CatalogVersion {
        match self {
            Self::Execute { catalog_version, .. }
            | Self::Commit { catalog_version, .. }
            | Self::Define { catalog_version, .. }
            | Self::Read { catalog_version, .. }
            | Self::Cut { catalog_version } => *catalog_version,
        }
    }
}

/// A statement and who executes it: alone, or each its fragment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The statement.
    pub statement: Statement,
    /// Partitions that it touches, ascending; participants of the command all of them.
    pub at: Vec<PartitionId>,
    /// Each needs rows of the others to execute it: they are exchanged first (rules B1).
    pub gathers: bool,
    /// What follows from it concerns other participants: all of them settle it together, in rounds.
    pub settles: bool,
}

/// What a participant has to say to a command. They are ordered: the decision is made by the greatest of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Vote {
    /// It could not come to an end, because another one refused before.
    Unfinished,
    /// As far as this partition is concerned it is executed.
    Yes,
    /// A statement failed here.
    Error {
        /// Which, from 0.
        statement: u32,
        /// Why.
        error: Box<SqlError>,
    },
    /// A transaction's statement would now show something else.
    Mismatch {
        /// 40001.
        error: Box<SqlError>,
    },
    /// Its idempotency token has been used: this was executed under it.
    Spent(Box<Spent>),
    /// The catalog is another one than that under which it was planned.
    Replan {
        /// Version in force.
        version: CatalogVersion,
    },
    /// The request was executed before, under another number or by another route.
    Duplicate,
}

impl Vote {
    /// Rank in the order of votes (rules A8: Mismatch outranks Error, since an error may rest on what has changed).
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Unfinished => 0,
            Self::Yes => 1,
            Self::Error { .. } => 2,
            Self::Mismatch { .. } => 3,
            Self::Spent(_) => 4,
            Self::Replan { .. } => 5,
            Self::Duplicate => 6,
        }
    }

    /// Does it let the command be committed?
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// What a global command came to at one participant: what its session is told by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalOutcome {
    /// This participant's vote.
    pub vote: Vote,
    /// What all of them came to.
    pub committed: bool,
    /// This participant's part of the results, one for each statement; empty if it is not committed.
    pub results: Vec<StatementResult>,
    /// DDL: command tag and notices.
    pub defined: Option<(String, Vec<SqlError>)>,
}

/// Values that participants have sent each other while executing, for who executes again: by round (the number of the
/// statement that they are for) and sender.
pub type Values = Vec<(u32, PartitionId, Bytes)>;

impl Global {
    /// Does this partition take part?
    #[must_use]
    pub fn involves(&self, partition: PartitionId) -> bool {
        self.previous(partition).is_some()
    }

    /// The previous command that involved this participant; `None`: it is none.
    #[must_use]
    pub fn previous(&self, partition: PartitionId) -> Option<GlobalNumber> {
        let at = self.participants.binary_search_by_key(&partition, |(partition, _)| *partition).ok()?;
        Some(self.participants[at].1)
    }

    /// The other participants.
    pub fn others(&self, partition: PartitionId) -> impl Iterator<Item = PartitionId> + '_ {
        self.participants.iter().map(|(partition, _)| *partition).filter(move |other| *other != partition)
    }
}
