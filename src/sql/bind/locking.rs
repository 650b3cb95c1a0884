//! FOR UPDATE and FOR SHARE: which relations' rows, and where they cannot stand.

use super::{Binder, fold};
use crate::sql::plan::{Held, LockedRows};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, LockType, NonBlock, SetExpr, Spanned};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// A clause at the end of a query.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    exclusive: bool,
    /// The relation that it names, and where.
    of: Option<(String, Span)>,
    held: Held,
}

impl Clause {
    const fn words(&self) -> &'static str {
        if self.exclusive { "FOR UPDATE" } else { "FOR SHARE" }
    }

    fn is_of(&self, relation: &str) -> bool {
        self.of.as_ref().is_none_or(|(name, _)| name == relation)
    }
}

impl Binder<'_> {
    /// The clauses of a query.
    pub(super) fn lock_clauses(&mut self, query: &ast::Query) -> Result<Vec<Clause>, SqlError> {
        let mut clauses = Vec::with_capacity(query.locks.len());
        for lock in &query.locks {
            let exclusive = matches!(lock.lock_type, LockType::Update);
            let held = match lock.nonblock {
                None => Held::Await,
                Some(NonBlock::SkipLocked) => Held::Skip,
                Some(NonBlock::Nowait) => Held::Refuse,
            };
            let mut clause = Clause { exclusive, of: None, held };
            if let Some(name) = &lock.of {
                let [ast::ObjectNamePart::Identifier(only)] = name.0.as_slice() else {
                    let message = format!("{} must specify unqualified relation names", clause.words());
                    return self.error(name.span(), SqlState::SYNTAX_ERROR, message);
                };
                clause.of = Some((fold(only), only.span));
            }
            clauses.push(clause);
        }
        let Some(first) = clauses.first().map(Clause::words) else { return Ok(clauses) };
        match query.body.as_ref() {
            SetExpr::Select(_) => {}
            SetExpr::SetOperation { .. } => return Err(not_with(first, "UNION/INTERSECT/EXCEPT")),
            SetExpr::Values(_) => return Err(SqlError::unsupported(format!("{first} cannot be applied to VALUES"))),
            _ => {
                return Err(SqlError::unsupported(format!("{first} behind parentheses is not supported"))
                    .hint("Write it inside of them."));
            }
        }
        let called =
            if clauses.iter().any(|clause| clause.exclusive) { "SELECT FOR UPDATE" } else { "SELECT FOR SHARE" };
        self.locked.get_or_insert(called);
        Ok(clauses)
    }

    /// Are the rows of this relation to be locked?
    pub(super) fn locks(&self, relation: &str) -> bool {
        self.locking.iter().any(|clause| clause.is_of(relation))
    }

    /// The rows that the SELECT whose columns are in sight locks; `has`: what it has that does not go with that.
    pub(super) fn locked_rows(&self, has: &[(bool, &str)]) -> Result<Vec<LockedRows>, SqlError> {
        let Some(first) = self.locking.first() else { return Ok(Vec::new()) };
        if let Some((_, what)) = has.iter().find(|(has, _)| *has) {
            return Err(not_with(first.words(), what));
        }
        let columns = self.scopes.last().map(|scope| scope.columns.as_slice()).unwrap_or_default();
        for clause in &self.locking {
            if let Some((name, span)) = &clause.of
                && !columns.iter().any(|column| column.relation == *name)
            {
                let message = format!("relation \"{name}\" in {} clause not found in FROM clause", clause.words());
                return self.error(*span, SqlState::UNDEFINED_TABLE, message);
            }
        }
        let mut locked = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let Some(key) = &column.locks else { continue };
            let clauses = self.locking.iter().filter(|clause| clause.is_of(&column.relation));
            let (mut exclusive, mut held) = (false, Held::Await);
            for clause in clauses {
                if key.nullable {
                    let message = format!("{} cannot be applied to the nullable side of an outer join", clause.words());
                    return Err(SqlError::unsupported(message));
                }
                exclusive |= clause.exclusive;
                held = held.max(clause.held);
            }
            locked.push(LockedRows { table: Arc::clone(&key.table), key: place, exclusive, held });
        }
        Ok(locked)
    }
}

fn not_with(words: &str, what: &str) -> SqlError {
    SqlError::unsupported(format!("{words} is not allowed with {what}"))
}
