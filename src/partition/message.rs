//! What sessions ask of partitions, and what they are answered.
//!
//! These travel between workers, of one node or of several, inside the node's versioned frame (`node::wire`).

use crate::catalog::Catalog;
use crate::directory::Amendment;
use crate::partition::global::{GlobalBody, GlobalOutcome};
use crate::partition::tokens::Spent;
use crate::sql::Values;
pub use crate::sql::{Settings, StatementResult};
use crate::types::{
    CatalogVersion, DataType, GlobalNumber, Incarnation, NodeId, PartitionId, RequestId, Sequence, SqlError, TableId,
    Timestamp, Value, WorkerId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A request of a session to a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Identity; a retry repeats it (rules A9).
    pub id: RequestId,
    /// All requests of the session below this have been answered: their outcomes may be forgotten.
    pub acked_below: Sequence,
    /// Number of this attempt, echoed in the reply, so that a late answer to an earlier one is recognised.
    pub attempt: u32,
    /// What to do.
    pub body: RequestBody,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RequestBody {
    /// Statements that may write: logged, executed once, atomically (all or, at the first error, none).
    Execute(Batch),
    /// Statements that only read: linearizable, not logged, not deduplicated.
    Query(Batch),
    /// Statements of an open transaction: executed on its private fork, which only this replica knows. Not logged: what
    /// comes of them is nothing until [`RequestBody::Commit`].
    Step(Step),
    /// COMMIT: logged, executed once. Answers [`Outcome::Committed`], or 40001.
    Commit(Arc<Commitment>),
    /// Would all that a transaction was shown here be shown again, by now? Executed like a read. Answers
    /// [`Outcome::Holds`], or 40001.
    Validate(Arc<Commitment>),
    /// An open transaction is over without a COMMIT: its fork may be forgotten. Not answered.
    Abandon {
        /// Its number in its session.
        transaction: u64,
    },
    /// A statement of a transaction that reads at one cut ([`GlobalBody::Cut`]): executed on what was frozen there, by whoever
    /// leads. Answers [`Outcome::ForkLost`] if that is gone.
    Look {
        /// The cut's number in the order.
        cut: GlobalNumber,
        /// The statement, as if it were the first on a fork.
        step: Step,
    },
    /// A transaction that reads at this cut is over. Not answered.
    LetGo {
        /// Which cut.
        cut: GlobalNumber,
    },
    /// A command over several partitions. Cluster partition only; logged, executed once. Answers [`Outcome::Ordered`]; what it
    /// comes to is asked of each participant by [`RequestBody::Collect`].
    Order {
        /// Who takes part, ascending. Of a definition: all partitions, the cluster partition too.
        participants: Vec<PartitionId>,
        /// What.
        body: Arc<GlobalBody>,
    },
    /// What has an ordered command (the request of the same identity) come to here? Answered when it is decided:
    /// [`Outcome::Global`].
    Collect {
        /// Its number.
        number: GlobalNumber,
    },
    /// Values of a sequence, for the asker alone: logged, executed once. Only at the partition that keeps the sequence's
    /// state. Answers [`Outcome::Reserved`].
    Reserve {
        /// Catalog version under which it is wanted.
        catalog_version: CatalogVersion,
        /// Which sequence.
        sequence: TableId,
        /// How many; fewer come where it ends.
        count: u64,
    },
    /// The cluster partition's catalog, linearizable. Answers [`Outcome::Catalog`].
    ReadCatalog {
        /// Version that the asker has: an equal one is not sent again.
        have: CatalogVersion,
    },
    /// Has anything been executed under this idempotency token? Linearizable, of its home only. Answers [`Outcome::Token`].
    AskToken {
        /// The token.
        key: Arc<str>,
    },
    /// Cluster partition only; logged. Answers [`Outcome::Gateway`] with a number never given before.
    RegisterGateway {
        /// Whose gateway.
        node: NodeId,
        /// Which worker's.
        worker: WorkerId,
        /// Which life: a repetition is answered with the same number.
        incarnation: Incarnation,
    },
    /// A change of the directory of nodes. Cluster partition only; logged, executed once. Answers [`Outcome::Amended`].
    Amend(Arc<Amendment>),
}

/// Statements with everything that their execution depends on besides replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Catalog version they were planned under.
    pub catalog_version: CatalogVersion,
    /// In order. More than one: an implicit transaction.
    pub statements: Vec<Statement>,
    /// Settings of the session in force.
    pub settings: Arc<Settings>,
    /// The gateway's wall clock. For a logged batch the leader fixes the real one and the seed in the entry.
    pub wall: Timestamp,
}

/// One statement, as text with its parameters: every replica plans it itself, from the catalog at its position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// SQL text of exactly one statement.
    pub text: Arc<str>,
    /// Types of `$1`, `$2`, … as far as the session has fixed them.
    pub parameter_types: Vec<Option<DataType>>,
    /// Values of `$1`, `$2`, …; behind them what was drawn from sequences for it ([`crate::sql::Drawn`]).
    pub parameters: Vec<Value>,
    /// Most rows to return; 0: all. (A portal executed with a limit.)
    pub max_rows: u32,
}

/// What a transaction does at one partition. Its actions there are an own list, in the transaction's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// A statement.
    Statement(Piece),
    /// A round in which what follows from the last statement is settled with other partitions.
    Settle(Settle),
    /// SAVEPOINT: one more level, from 0.
    Savepoint,
    /// ROLLBACK TO SAVEPOINT. The level stays; those above it go.
    RollbackTo {
        /// Which.
        level: u32,
    },
    /// RELEASE SAVEPOINT: this level and those above it go, and what was done stays.
    Release {
        /// Which.
        level: u32,
    },
    /// What this partition gives the others of the rows that a write reads: the answer is one value, bytes.
    Contribute(Piece),
    /// A write of several partitions over rows that each of them has contributed: this partition's part of it. It comes next
    /// after the same piece's [`Action::Contribute`].
    Gathered {
        /// The statement.
        piece: Piece,
        /// What the others have contributed, ascending. Constants: what they were made of is compared where it is.
        others: Arc<Vec<(PartitionId, Bytes)>>,
    },
}

impl Action {
    /// The statement that is executed; `None`: nothing is shown.
    #[must_use]
    pub const fn piece(&self) -> Option<&Piece> {
        match self {
            Self::Statement(piece) | Self::Contribute(piece) | Self::Gathered { piece, .. } => Some(piece),
            Self::Settle(_) | Self::Savepoint | Self::RollbackTo { .. } | Self::Release { .. } => None,
        }
    }

    /// Bytes of rows that others have contributed to it.
    #[must_use]
    pub fn contributed(&self) -> usize {
        match self {
            Self::Gathered { others, .. } => others.iter().map(|(_, bytes)| bytes.len()).sum(),
            _ => 0,
        }
    }
}

/// A statement of a transaction, as far as it concerns one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The statement.
    pub statement: Statement,
    /// Its number in the whole transaction, from 0: its dice hang on it.
    pub number: u32,
    /// It is executed by several partitions, of so many that there are, and this is one's fragment of it. 0: it is executed
    /// here alone.
    pub partitions: u32,
    /// What follows from it is settled with other partitions ([`Action::Settle`]), of so many that there are. 0: it concerns
    /// nobody else. Otherwise the answer is the result, and behind it what this partition says in the first round.
    pub settles: u32,
}

/// A round of settling what follows from a statement, at one partition. The answer is what it says in the next one, as a value
/// in a row; none: for it there is no next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settle {
    /// The statement, without values.
    pub statement: Statement,
    /// Its number in the whole transaction.
    pub number: u32,
    /// Data partitions.
    pub partitions: u32,
    /// Which round, from 1.
    pub round: u32,
    /// What all have said, ascending.
    pub said: Vec<(PartitionId, Bytes)>,
}

impl Action {
    /// Does something come of it that is compared when it is executed again?
    #[must_use]
    pub const fn shows(&self) -> bool {
        self.piece().is_some() || matches!(self, Self::Settle(_))
    }
}

/// What an open transaction does next at a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The transaction's number in its session.
    pub transaction: u64,
    /// How many of its actions were executed on the fork before these. 0: the fork is to be made.
    pub done: u32,
    /// What the fork must have shown before these, in one number ([`crate::partition::shown_with`]). A late copy of a first step
    /// may have made another fork in the place of one that was lost.
    pub shown: u128,
    /// `now()` of all its statements.
    pub began: Timestamp,
    /// Seed of all its dice.
    pub seed: u64,
    /// Catalog version it was planned under.
    pub catalog_version: CatalogVersion,
    /// Settings of the session in force.
    pub settings: Arc<Settings>,
    /// The actions. The last one is a statement, and its outcome is the answer.
    pub actions: Vec<Action>,
    /// When the fork has been lost: what was executed on it behind `done` other actions, to be executed again. Then there are no
    /// other actions, and the answer is [`Outcome::Committed`] if all of it shows the same again.
    pub before: Option<Arc<Commitment>>,
}

/// All that a transaction did at one partition, to be executed again, with a digest of everything that it was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commitment {
    /// Its number in its session: the fork of it is of no more use.
    pub transaction: u64,
    /// Catalog version it was planned under.
    pub catalog_version: CatalogVersion,
    /// See [`Step::began`].
    pub began: Timestamp,
    /// See [`Step::seed`].
    pub seed: u64,
    /// In order.
    pub parts: Vec<Part>,
}

/// Actions of a transaction under the same settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Settings of the session then.
    pub settings: Arc<Settings>,
    /// In order, each with the digest of what came of it here: [`crate::partition::seen`] of a statement's result,
    /// [`crate::partition::seen_error`] of its error; 0 of what is no statement. What was rolled back and what failed stays.
    pub actions: Vec<(Action, u128)>,
}

/// A definition that is to be ordered soon: each replica may do beforehand what it would have to do with its rows. No request:
/// nothing comes of it but that the definition takes less time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// One DDL statement's text.
    pub text: Arc<str>,
    /// Settings of the session in force.
    pub settings: Arc<Settings>,
    /// Data partitions of the cluster.
    pub partitions: u32,
}

/// The answer to one attempt of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Which request.
    pub id: RequestId,
    /// Which attempt.
    pub attempt: u32,
    /// Who answers.
    pub partition: PartitionId,
    /// The answer.
    pub body: ReplyBody,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReplyBody {
    /// Final. A retry of a logged request would be answered the same.
    Done(Outcome),
    /// This replica does not lead. This attempt was not and will not be executed.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// The partition's catalog is at this version, not at the one the request was planned under. Not executed, and this
    /// attempt never will be; no mark is left. Lower than asked: it will get there; higher: plan again.
    Replan {
        /// Version in force.
        version: CatalogVersion,
    },
    /// Leadership was lost after this attempt was proposed: whether it is executed is not known here. A retry with the
    /// same identity is safe and tells.
    Lost,
    /// Too much is waiting here. Not executed by this attempt.
    Overloaded,
    /// A participant has no leader that is known. Not ordered by this attempt.
    Unreachable {
        /// Which.
        partition: PartitionId,
    },
    /// The session's sequence is below `acked_below`, or otherwise outside its window: a bug of the asker, answered, not executed.
    Stale,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Results of a batch, one for each statement.
    Results(Vec<StatementResult>),
    /// The batch failed and changed nothing.
    Error {
        /// Which statement, from 0.
        statement: u32,
        /// Why.
        error: SqlError,
    },
    /// The transaction is committed: re-executed, it showed what its client saw.
    Committed,
    /// The transaction's fork is not here (any more): its session may send everything again ([`Step::before`]).
    ForkLost,
    /// The command over several partitions has its place.
    Ordered {
        /// This.
        number: GlobalNumber,
        /// `now()` of its statements.
        timestamp: Timestamp,
        /// Seed of their dice: whoever puts the participants' parts together draws from them too.
        seed: u64,
    },
    /// What a command over several partitions came to here.
    Global(Box<GlobalOutcome>),
    /// Executed earlier, once; its result was too large to be kept for a retry.
    ResultNotKept,
    /// The catalog; `None`: the asker's is current.
    Catalog(Option<Arc<Catalog>>),
    /// What was executed under a token.
    Token(Option<Spent>),
    /// The gateway's number.
    Gateway(u64),
    /// Values of a sequence that nobody else was or will be given.
    Reserved(Values),
    /// The directory of nodes is changed.
    Amended {
        /// The node that it is about.
        node: Option<NodeId>,
        /// What whoever has said it should know.
        notice: Option<String>,
    },
    /// What a statement of an open transaction has shown, and on which fork: each that is made has a name of its own.
    Shown {
        /// See [`Outcome::Results`].
        results: Vec<StatementResult>,
        /// 0: of none that could be asked about.
        fork: u64,
    },
    /// All that a transaction was shown here would be shown again.
    Holds {
        /// On this fork; 0: there is none.
        fork: u64,
        /// Nothing that was read on it has been written since it was made: it would have been shown at any moment in between.
        unchanged: bool,
    },
}
