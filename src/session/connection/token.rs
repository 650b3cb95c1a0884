//! Idempotency tokens ([`crate::partition::tokens`]): `orrery.idempotency_token`, and what is executed under it.
//!
//! A client that has lost its connection, or was told 40003, does not know what has become of what it asked. If it had set a token
//! before, it sets it again, on any node, and asks the same again.
//!
//! # What it is told
//! - Statements of one command (a single one, or a text of nothing but queries and writes) that have not been executed under the token are
//!   executed; if they have been, the tags of the first time are told again, with a notice. If they show rows (RETURNING, a query beside a
//!   write), these are not kept: 55T02.
//! - A transaction (a block, or a text or pipeline that needs one) finds out with its first statement whether it was committed: 55T02. What
//!   it would be shown the second time is not what was committed, so it is not gone on with.
//! - 55T01: under this token something else was executed.
//!
//! Both errors say that the token's command *was* executed, once, and that nothing has happened now.
//!
//! # Invariants
//! - The token stays set until something has been executed under it: after 40003, or an error, the same can be sent again at once.
//! - What only reads is not executed under it, and leaves it as it is. Definitions (and `setval`, which is one) are refused while it is
//!   set (0A000): they would be executed as often as they are asked for.
//! - So is, before anything of it is executed, a text that would commit in its middle: the token is for what is committed first, and the rest
//!   would be executed as often as it is asked for. Of a pipeline that rest is not known beforehand: it is refused when it comes, until Sync.
//! - A command under a token goes through the order of commands over several partitions, with the token's home as a participant, so that the token is
//!   noted where, and when, the command is decided.

use super::block::Block;
use super::calls::Role;
use super::execution::{BatchJob, Item, Site};
use super::{Connection, Job};
use crate::partition::message::{Outcome, RequestBody, StatementResult};
use crate::partition::tokens::{Spent, Token};
use crate::session::settings::Settings;
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sometimes;
use crate::sql::{Kind, Parsed, Transaction};
use crate::types::{PartitionId, SqlError, SqlState};
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

/// `55T01`: the token belongs to another command.
const TOKEN_OF_ANOTHER: SqlState = SqlState(*b"55T01");
/// `55T02`: it was executed, and what it has shown is not kept.
const EXECUTED_BEFORE: SqlState = SqlState(*b"55T02");

impl Connection {
    /// May a text be executed while a token is set?
    ///
    /// # Errors
    /// 0A000 when it is not one transaction, or defines something.
    pub(super) fn allowed_under_token(&self, statements: &VecDeque<Parsed>) -> Result<(), SqlError> {
        if self.settings.idempotency_token().is_none() {
            return Ok(());
        }
        if statements.iter().any(|statement| defines(&statement.kind)) {
            return Err(defines_under_token());
        }
        let Some(last) = statements.len().checked_sub(1) else { return Ok(()) };
        let ends = |statement: &Parsed| {
            matches!(statement.kind, Kind::Transaction(Transaction::Commit { .. } | Transaction::Rollback { .. }))
        };
        if statements.iter().take(last).any(ends) { Err(not_one()) } else { Ok(()) }
    }

    /// May this statement be executed with the token that is set, or behind what was committed under one?
    ///
    /// # Errors
    /// 0A000 when the token would not be for it.
    pub(super) fn covered_by_token(&self, kind: &Kind) -> Result<(), SqlError> {
        if defines(kind) && self.settings.idempotency_token().is_some() {
            return Err(defines_under_token());
        }
        let changes = defines(kind) || matches!(kind, Kind::Write | Kind::Copy(_));
        if changes && self.spent { Err(not_one()) } else { Ok(()) }
    }

    /// `setval` is a definition, whatever it looks like.
    ///
    /// # Errors
    /// 0A000 when a token is set, or something was committed under one.
    pub(super) fn sets_without_token(&self, items: &[Item]) -> Result<(), SqlError> {
        match items.iter().any(|item| !item.plan.sets().is_empty()) {
            true if self.settings.idempotency_token().is_some() => Err(defines_under_token()),
            true if self.spent => Err(not_one()),
            _ => Ok(()),
        }
    }

    /// The token for statements that are one command; `None`: none is set, or they change nothing.
    pub(super) fn token_of_batch(&self, turn: &Turn<'_>, items: &[Item]) -> Option<Token> {
        if items.iter().all(|item| item.plan().is_read_only()) {
            return None;
        }
        let tags = !items.iter().any(|item| item.plan().returns_rows());
        self.token_for(turn, digest(items), tags)
    }

    /// The token for the COMMIT of a transaction.
    pub(super) fn token_of_block(&self, turn: &Turn<'_>) -> Option<Token> {
        self.token_for(turn, of_transaction(), false)
    }

    fn token_for(&self, turn: &Turn<'_>, asked: u128, tags: bool) -> Option<Token> {
        let key = self.settings.idempotency_token()?;
        let home = Token::home_of(key, turn.shared.config.partitions);
        Some(Token { key: key.into(), home, asked, tags })
    }

    /// Something has been executed under the token, now or before.
    pub(super) fn token_is_spent(&mut self) {
        self.spent |= self.settings.forget_token().is_some();
    }

    /// The first statement of a block under a token: was the block committed before? Returns the statement if that is known.
    pub(super) fn ask_for_token(&mut self, turn: &mut Turn<'_>, job: BatchJob) -> Option<BatchJob> {
        let Some(token) = self.token_of_block(turn) else { return Some(job) };
        let Block::Open(open) = &mut self.block else { return Some(job) };
        if !open.is_untouched() || open.modes.read_only == Some(true) || std::mem::replace(&mut open.asked_token, true)
        {
            return Some(job);
        }
        self.job = Some(Job::Token(job));
        self.start_call(turn, Role::Token, token.home, RequestBody::AskToken { key: token.key });
        None
    }

    /// The token's home has answered.
    pub(super) fn token_answered(&mut self, turn: &mut Turn<'_>, outcome: Outcome) {
        let Some(Job::Token(job)) = self.job.take() else { return self.broken(turn) };
        match outcome {
            Outcome::Token(None) => self.execute_again(turn, job),
            Outcome::Token(Some(spent)) => {
                sometimes!("session.block_was_committed_before");
                let settings = match &mut self.block {
                    Block::Open(open) => Some(&mut open.settings),
                    Block::Idle | Block::Failed(_) => None,
                };
                spend(&mut self.settings, settings);
                self.fail(turn, block_spent(&spent));
            }
            _ => self.broken(turn),
        }
    }

    /// The token of a batch has been used before.
    pub(super) fn batch_spent(&mut self, turn: &mut Turn<'_>, job: BatchJob, asked: u128, spent: &Spent) {
        self.token_is_spent();
        if spent.asked != asked {
            return self.fail(turn, of_another());
        }
        let Some(affected) = spent.affected.as_ref().filter(|affected| affected.len() == job.items.len()) else {
            return self.fail(turn, executed_before());
        };
        sometimes!("session.told_again_by_token");
        if self.settings.wants_notices() {
            let notice =
                SqlError::new(SqlState::SUCCESSFUL_COMPLETION, "executed before, under the same idempotency token");
            self.writer.notice(Severity::Notice, &notice);
        }
        let result = |affected: &u64| StatementResult { affected: *affected, ..StatementResult::default() };
        let results = affected.iter().map(result).collect();
        self.render(turn, &job.items, job.origin, results);
    }
}

/// The token that is in force has been used, and after a ROLLBACK to what was in force `before` the block it is set no more. Another
/// that was set before (`SET LOCAL` has hidden it) has not.
pub(super) fn spend(settings: &mut Settings, before: Option<&mut Settings>) {
    let spent = settings.forget_token();
    if let Some(before) = before
        && spent.is_some()
        && before.idempotency_token() == spent.as_deref()
    {
        before.forget_token();
    }
}

/// Is it a command that no token is for?
const fn defines(kind: &Kind) -> bool {
    matches!(kind, Kind::Define | Kind::Administer(_))
}

/// Sites of statements that are all executed in one partition.
pub(super) fn sites_at(partition: PartitionId, items: &[Item]) -> Vec<Site> {
    items.iter().map(|_| Site { at: vec![partition], gathers: false, concerned: Vec::new() }).collect()
}

/// These and the token's home.
pub(super) fn with_home(mut participants: Vec<PartitionId>, token: Option<&Token>) -> Vec<PartitionId> {
    if let Some(token) = token
        && let Err(place) = participants.binary_search(&token.home)
    {
        participants.insert(place, token.home);
    }
    participants
}

/// What the client asks, without what is drawn for it.
fn digest(items: &[Item]) -> u128 {
    let mut bytes = Vec::new();
    for item in items {
        let own = item.plan().parameters().len().min(item.parameters.len());
        let what = (&*item.parsed.text, &item.parameters[..own]);
        bytes = postcard::to_extend(&what, bytes).unwrap_or_default();
    }
    xxh3_128(&bytes)
}

/// Transactions are told apart by their tokens alone: what a client makes of what it reads may be something else each time.
fn of_transaction() -> u128 {
    xxh3_128(b"a transaction")
}

/// Why a transaction is not committed under a token that has been used.
pub(super) fn block_spent(spent: &Spent) -> SqlError {
    if spent.asked == of_transaction() { executed_before() } else { of_another() }
}

/// What is asked under a token commits more than once.
fn not_one() -> SqlError {
    SqlError::unsupported("a text of more than one transaction cannot be executed under an idempotency token")
        .detail("The token would be used for the first of them, and the rest executed each time that it is asked for.")
        .hint("Send each transaction under a token of its own.")
}

/// A definition is asked for while a token is set.
pub(super) fn defines_under_token() -> SqlError {
    SqlError::unsupported("a definition cannot be executed under an idempotency token")
        .detail("It would be executed each time that it is asked for. Nothing was changed.")
        .hint("RESET orrery.idempotency_token first; IF EXISTS and IF NOT EXISTS make many definitions safe to repeat.")
}

fn executed_before() -> SqlError {
    SqlError::new(EXECUTED_BEFORE, "executed before, under the same idempotency token")
        .detail("It took effect once, and what it has shown then is not kept. Nothing was changed now.")
        .hint("Read what it has changed, if that is needed.")
}

fn of_another() -> SqlError {
    sometimes!("session.token_of_another");
    SqlError::new(TOKEN_OF_ANOTHER, "another command was executed under this idempotency token")
        .detail("It took effect once. Nothing was changed now.")
        .hint("A token is for one command, and for its repetitions word for word.")
}
