//! What an open block holds: a list for each partition that it has touched, its savepoints, and what COMMIT is made of.
//!
//! What is done with it, statement by statement, is `step`'s; how it begins and ends is `block`'s.
//!
//! # Invariants
//! - A list never becomes shorter, and each action in it stands with a digest of what it showed.
//! - A fork that is made again has a number of its own: a late copy of what was asked of an earlier one cannot reach it.

use super::drafts::Draft;
use super::execution::Item;
use super::token::with_home;
use crate::catalog::Catalog;
use crate::partition::MAX_TRANSACTION_BYTES;
use crate::partition::global::GlobalBody;
use crate::partition::message::{Action, Commitment, Part, Piece, RequestBody, Step};
use crate::partition::shown_with;
use crate::partition::tokens::Token;
use crate::session::settings::Settings;
use crate::sometimes;
use crate::sql::{self, Modes};
use crate::types::{CatalogVersion, GlobalNumber, PartitionId, SqlError, SqlState, Timestamp, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Least bytes of a portion of a list that is executed again, if there are as many, and most actions of it: the leader does
/// it in one turn.
const PORTION_BYTES: usize = 128 << 10;
const PORTION_ACTIONS: usize = 256;

/// What was done at one partition.
#[derive(Default)]
pub(super) struct List {
    /// The fork's number. Each that is made has its own: a late copy of what was asked of one cannot reach the next.
    pub(super) number: u64,
    /// Actions executed on the fork.
    pub(super) done: u32,
    /// What they have shown: see [`crate::partition::message::Step::shown`].
    pub(super) shown: u128,
    /// The name that the leader has given the fork; 0: none is known.
    pub(super) fork: u64,
    parts: Vec<Part>,
    /// Savepoints' actions that the next statement takes along.
    pub(super) pending: Vec<Action>,
    /// The fork is not there any more, or not known: the next statement makes another one.
    pub(super) lost: bool,
    /// Then: how many actions are on the new one, and what they have shown again.
    again: u32,
    shown_again: u128,
}

impl List {
    /// The fork is lost: another one, of this number, is to be made.
    pub(super) const fn lose(&mut self, number: u64) {
        self.number = number;
        self.lost = true;
        self.again = 0;
        self.shown_again = 0;
    }

    /// The next portion of what a lost fork has executed. Never empty while the fork is lost.
    fn portion(&self) -> Part {
        let mut skip = self.again as usize;
        for part in &self.parts {
            if skip >= part.actions.len() {
                skip -= part.actions.len();
                continue;
            }
            let mut bytes = 0;
            let fits = |(action, _): &&(Action, u128)| {
                let fits = bytes < PORTION_BYTES;
                bytes += size_of_action(action);
                fits
            };
            let actions = part.actions[skip..].iter().take(PORTION_ACTIONS).take_while(fits).cloned().collect();
            return Part { settings: Arc::clone(&part.settings), actions };
        }
        Part { settings: Arc::default(), actions: Vec::new() }
    }

    /// The portion is on the new fork, and has shown what it showed.
    pub(super) fn went_again(&mut self) {
        for (action, digest) in self.portion().actions {
            self.again += 1;
            if action.shows() {
                self.shown_again = shown_with(self.shown_again, digest);
            }
        }
        self.lost = self.again < self.done;
        sometimes!("session.fork_made_again_in_portions", self.lost);
        debug_assert!(self.lost || self.shown_again == self.shown, "what was recorded is what was executed again");
    }

    /// The fork has executed what was pending, and then this.
    pub(super) fn record(&mut self, settings: &Arc<sql::Settings>, action: Action, digest: u128) {
        if self.parts.last().is_none_or(|part| part.settings != *settings) {
            self.parts.push(Part { settings: Arc::clone(settings), actions: Vec::new() });
        }
        let pending = std::mem::take(&mut self.pending);
        self.done = self.done.saturating_add(u32::try_from(pending.len() + 1).unwrap_or(u32::MAX));
        self.lost = false;
        self.shown = shown_with(self.shown, digest);
        if let Some(part) = self.parts.last_mut() {
            part.actions.extend(pending.into_iter().map(|action| (action, 0)));
            part.actions.push((action, digest));
        }
    }
}

/// A savepoint.
pub(super) struct Savepoint {
    pub(super) name: String,
    /// Settings when it was set.
    pub(super) settings: Settings,
    pub(super) locals: usize,
    pub(super) drafts: usize,
}

/// An open transaction.
pub(super) struct Open {
    /// Its number in the session.
    pub(super) number: u64,
    pub(super) began: Timestamp,
    pub(super) seed: u64,
    pub(super) modes: Modes,
    /// Nobody has said BEGIN (`implicit`).
    pub(super) implicit: bool,
    /// Whether its idempotency token has been used was asked.
    pub(super) asked_token: bool,
    /// Something was asked: it is too late for SET TRANSACTION.
    pub(super) queried: bool,
    pub(super) catalog_version: CatalogVersion,
    /// Statements that touched any partition.
    pub(super) statements: u32,
    /// The partitions that it has touched.
    pub(super) lists: BTreeMap<PartitionId, List>,
    pub(super) savepoints: Vec<Savepoint>,
    /// A statement is out of which nothing has been recorded.
    pub(super) unsure: bool,
    pub(super) bytes: usize,
    pub(super) wrote: bool,
    /// Checks of constraints may wait.
    pub(super) defers: bool,
    /// COMMIT has been said, and what waits is being checked: whatever fails now ends the transaction.
    pub(super) committing: bool,
    /// All that it was shown, in several partitions, was so at one moment: that of the last fork.
    pub(super) of_one_moment: bool,
    /// Where in the order of commands it reads, if it only reads.
    pub(super) cut: Option<GlobalNumber>,
    /// The catalog under which its statements are planned, whatever others define meanwhile: that of its cut, or that on which its
    /// own definitions are based.
    pub(super) catalog: Option<Arc<Catalog>>,
    /// Its definitions, which COMMIT orders.
    pub(super) drafts: Vec<Draft>,
    /// Settings before it, and the values before each SET LOCAL.
    pub(super) settings: Settings,
    pub(super) locals: Vec<(String, String)>,
}

impl List {
    /// A statement has been executed on the fork of this name, or it is known to be the list's. `false`: it is another one than before.
    pub(super) const fn is_on(&mut self, fork: u64) -> bool {
        let same = fork != 0 && (self.fork == fork || self.done == 0);
        self.fork = fork;
        same
    }
}

impl Open {
    /// Nothing has been asked of any partition?
    pub(super) fn is_untouched(&self) -> bool {
        self.statements == 0
    }

    /// Is its first statement to be shown what all partitions have at one moment?
    pub(super) fn wants_cut(&self) -> bool {
        self.modes.read_only == Some(true) && self.cut.is_none() && self.is_untouched()
    }

    /// Can it go back to anywhere but its beginning?
    pub(super) const fn has_savepoints(&self) -> bool {
        !self.savepoints.is_empty()
    }

    /// The block comes to a partition; `true`: for the first time.
    pub(super) fn touch(&mut self, partition: PartitionId) -> bool {
        if self.lists.contains_key(&partition) {
            return false;
        }
        let pending = self.savepoints.iter().map(|_| Action::Savepoint).collect();
        self.lists.insert(partition, List { number: self.number, pending, ..List::default() });
        true
    }

    /// More is to be kept in the lists; `false`: it does not fit.
    pub(super) const fn take_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_TRANSACTION_BYTES
    }

    /// The level of a savepoint: of several with one name the last one's.
    pub(super) fn level(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name)
    }

    /// An action on savepoints concerns all partitions that have been touched.
    pub(super) fn everywhere(&mut self, action: &Action) {
        self.bytes += 64 * (1 + self.lists.len());
        for list in self.lists.values_mut() {
            list.pending.push(action.clone());
        }
    }

    /// What was done at a partition; what is still pending there, too, if it is `whole`.
    pub(super) fn commitment(&self, list: &List, whole: bool) -> Commitment {
        let mut parts = list.parts.clone();
        if whole && let Some(part) = parts.last_mut() {
            part.actions.extend(list.pending.iter().map(|action| (action.clone(), 0)));
        }
        self.commitment_of(list, parts)
    }

    /// What a lost fork is asked next to be made again.
    pub(super) fn step_again(&self, list: &List) -> Step {
        let portion = list.portion();
        Step {
            transaction: list.number,
            done: list.again,
            shown: list.shown_again,
            began: self.began,
            seed: self.seed,
            catalog_version: self.catalog_version,
            settings: Arc::clone(&portion.settings),
            actions: Vec::new(),
            before: Some(Arc::new(self.commitment_of(list, vec![portion]))),
        }
    }

    const fn commitment_of(&self, list: &List, parts: Vec<Part>) -> Commitment {
        Commitment {
            transaction: list.number,
            catalog_version: self.catalog_version,
            began: self.began,
            seed: self.seed,
            parts,
        }
    }

    /// All lists as one command over their partitions.
    pub(super) fn order(&self, only_validate: bool, token: Option<Token>) -> RequestBody {
        let lists = self.lists.iter().map(|(partition, list)| (*partition, self.commitment(list, true))).collect();
        let catalog_version = self.catalog_version;
        RequestBody::Order {
            participants: with_home(self.lists.keys().copied().collect(), token.as_ref()),
            body: Arc::new(GlobalBody::Commit { catalog_version, lists, only_validate, token }),
        }
    }
}

/// Room that a statement takes in the list, about.
pub(super) fn size(item: &Item) -> usize {
    room(&item.parsed.text, &item.parameters)
}

fn size_of_action(action: &Action) -> usize {
    match action {
        Action::Settle(settle) => 64 + settle.said.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(),
        other => {
            let room = |piece: &Piece| room(&piece.statement.text, &piece.statement.parameters);
            other.piece().map_or(64, room) + other.contributed()
        }
    }
}

fn room(text: &str, parameters: &[Value]) -> usize {
    let parameters = parameters.iter().map(|value| match value {
        Value::Bytea(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        _ => 16,
    });
    64 + text.len() + parameters.sum::<usize>()
}

pub(super) fn too_large() -> SqlError {
    sometimes!("session.transaction_too_large");
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "transaction is too large")
        .detail(format!("A transaction holds at most {} MiB.", MAX_TRANSACTION_BYTES >> 20))
        .hint("Make several transactions of it.")
}
