//! What a statement is for: who has to deal with it.

use super::copy::Copy;
use super::maintain::Maintain;
use crate::directory::Change;
use crate::types::{NodeId, SqlError};
use sqlparser::ast::{self, Statement};

/// What a statement is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing at all: EmptyQueryResponse.
    Empty,
    /// Reads rows: [`super::super::prepare`], then `query`.
    Query,
    /// Writes rows: `prepare`, then `execute`.
    Write,
    /// EXPLAIN: `prepare`, then `query`; touches no row.
    Explain,
    /// DDL: [`super::super::define`].
    Define,
    /// COPY: `prepare`, then `execute` for every piece of its data.
    Copy(Box<Copy>),
    /// ADD NODE, ALTER CLUSTER and the like: a change of the directory of nodes.
    Administer(Box<Change>),
    /// VACUUM, ANALYZE: [`super::super::maintain`].
    Maintain(Maintain),
    /// RECOVER NODE.
    Recover(NodeId),
    /// SET.
    Set {
        /// For how long.
        scope: SetScope,
        /// Folded name (`timezone` for SET TIME ZONE, `client_encoding` for SET NAMES).
        name: String,
        /// To what.
        value: SetValue,
    },
    /// SET CONSTRAINTS.
    Constraints(Constraints),
    /// SHOW; `all` for SHOW ALL.
    Show {
        /// Folded name (`timezone`, `transaction_isolation`).
        name: String,
    },
    /// RESET; `None`: ALL.
    Reset {
        /// Folded name.
        name: Option<String>,
    },
    /// BEGIN, COMMIT and the like.
    Transaction(Transaction),
    /// DISCARD.
    Discard(Discard),
    /// DEALLOCATE; `None`: ALL.
    Deallocate {
        /// Folded name.
        name: Option<String>,
    },
}

/// How long a SET lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    /// Until the session ends (undone with the transaction).
    Session,
    /// Until the transaction ends.
    Local,
}

/// The value of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// DEFAULT.
    Default,
    /// One or more values; words folded, literals as written.
    List(Vec<String>),
}

/// Transaction control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN.
    Begin(Modes),
    /// START TRANSACTION.
    Start(Modes),
    /// SET TRANSACTION.
    SetModes(Modes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetSessionModes(Modes),
    /// COMMIT, END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
}

/// SET CONSTRAINTS: when those that can wait are checked, in this transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraints {
    /// Their names, in parts; `None`: ALL.
    pub names: Option<Vec<Vec<String>>>,
    /// DEFERRED, not IMMEDIATE.
    pub deferred: bool,
}

/// Transaction modes that were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// READ ONLY or READ WRITE.
    pub read_only: Option<bool>,
    /// ISOLATION LEVEL, in lower case.
    pub isolation: Option<String>,
    /// DEFERRABLE or NOT DEFERRABLE.
    pub deferrable: Option<bool>,
}

/// What DISCARD discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// The whole state of the session.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence values.
    Sequences,
    /// Temporary tables.
    Temporary,
}

/// The kind of what the grammar has understood.
pub(super) fn classify(statement: &Statement) -> Result<Kind, SqlError> {
    Ok(match statement {
        Statement::Query(query) => match query.body.as_ref() {
            ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) => {
                return Err(SqlError::unsupported("WITH before INSERT, UPDATE or DELETE is not supported"));
            }
            _ => Kind::Query,
        },
        Statement::Truncate(truncate) if truncate.identity == Some(ast::TruncateIdentityOption::Restart) => {
            Kind::Define
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Truncate(_) => Kind::Write,
        Statement::Explain { .. } => Kind::Explain,
        Statement::CreateTable(_)
        | Statement::CreateIndex(_)
        | Statement::CreateSchema { .. }
        | Statement::AlterTable(_)
        | Statement::AlterIndex { .. }
        | Statement::AlterSchema(_)
        | Statement::Drop { .. } => Kind::Define,
        other => {
            let text = other.to_string();
            let mut words = text.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
            let name = [words.next(), words.next()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let name = if name.is_empty() { "this statement".to_owned() } else { name };
            return Err(SqlError::unsupported(format!("{name} is not supported")));
        }
    })
}
