//! The state of a partition and the execution of its log.
//!
//! Everything here runs in the same order with the same result on every replica. Three things are this replica's own and
//! marked as such: the plan cache and the groundwork of definitions, which change only how fast an answer comes, and the wall
//! clock that reads are given.

mod groundwork;
mod participant;
mod reading;
mod settling;
mod under_way;

pub(super) use participant::{Position, Standing, values_of};
use under_way::UnderWay;

use crate::catalog::{Asked, Asking, Catalog};
use crate::consensus::Payload;
use crate::directory::{Amendment, Change, Directory};
use crate::partition::command::{Command, CommandBody, CommandV1};
use crate::partition::dedup::{Dedup, Seen};
use crate::partition::global::{Global, Memory, Sequencer, Showing};
use crate::partition::in_sync::InSync;
use crate::partition::message::{
    Batch, Commitment, Outcome, ReplyBody, RequestBody, Settings, Statement, StatementResult, Step,
};
use crate::partition::slice::Slice;
use crate::partition::snapshot::{Head, Snapshot};
use crate::partition::tokens::Spent;
use crate::partition::transaction::Fork;
use crate::sql;
use crate::storage::Store;
use crate::types::{
    CatalogVersion, GlobalNumber, Incarnation, LogIndex, NodeId, PartitionId, RequestId, Rng, SqlError, SqlState,
    TableId, Timestamp, WorkerId,
};
use crate::{planted, sometimes};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Plans that a replica keeps.
const CACHED_PLANS: usize = 1024;

/// State of one partition.
pub struct StateMachine {
    partition: PartitionId,
    executed: LogIndex,
    store: Store,
    catalog: Arc<Catalog>,
    catalog_digest: u128,
    /// What the catalog's tables ask for; derived from it.
    asking: Asking,
    dedup: Dedup,
    /// Global commands: what they came to, and (cluster partition) their bodies.
    memory: Memory,
    globals: Globals,
    /// The order of global commands; the cluster partition's only.
    sequencer: Sequencer,
    /// Tentative, and no part of the state: made again by executing the entry again.
    standing: Option<Standing>,
    /// The same of a command of this partition alone.
    under_way: Option<Box<UnderWay>>,
    /// Numbers given to gateways' lives.
    gateways: BTreeMap<(NodeId, WorkerId), (Incarnation, u64)>,
    gateways_digest: u128,
    next_gateway: u64,
    /// Nodes, and where replicas are wanted; the cluster partition's only.
    directory: Arc<Directory>,
    directory_digest: u128,
    /// Timestamp of the last command: time does not go back within a partition.
    last_timestamp: Timestamp,
    /// Who belongs to the group, as the log last said ([`Payload::Configuration`]); `None`: who has formed it.
    membership: Option<Bytes>,
    /// Whose disks what is acknowledged in sync mode is on.
    in_sync: InSync,
    plans: sql::PlanCache,
    /// What definitions that are to come will make of the rows; this replica's own.
    groundwork: sql::Groundwork,
}

/// How far global commands have come here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Globals {
    /// The last one taken and decided.
    last: GlobalNumber,
    /// Decided, and the decision is not in the log yet.
    undeclared: BTreeSet<GlobalNumber>,
    /// Of these the reads for which execution did not stand.
    open: BTreeMap<GlobalNumber, Arc<Global>>,
    /// Nothing below is remembered.
    forgotten: GlobalNumber,
}

/// What came of an entry.
#[derive(Default)]
pub struct Executed {
    /// Answer for whoever waits for this request.
    pub reply: Option<(RequestId, ReplyBody)>,
    /// What these two wait for.
    pub asked: Asked,
    /// Answer for whoever collects what this request over several partitions came to.
    pub collected: Option<(RequestId, ReplyBody)>,
    /// The cluster partition has given a command its place.
    pub ordered: Option<Arc<Global>>,
    /// The cluster partition has a new catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// The directory of nodes has been changed.
    pub directory: bool,
    /// A read over several partitions has its place here.
    pub(super) read: Option<Box<Showing>>,
    /// The decision on this command has been passed.
    pub(super) declared: Option<GlobalNumber>,
    /// What is frozen for these cuts is of no more use.
    pub(super) let_go: Vec<GlobalNumber>,
}

impl Executed {
    fn answer(id: RequestId, body: ReplyBody) -> Self {
        Self { reply: Some((id, body)), ..Self::default() }
    }
}

impl StateMachine {
    /// Nothing executed, nothing stored.
    #[must_use]
    pub fn new(partition: PartitionId) -> Self {
        let catalog = Arc::new(Catalog::default());
        Self {
            partition,
            executed: LogIndex(0),
            store: Store::new(),
            catalog_digest: digest_of(&*catalog),
            catalog,
            asking: Asking::default(),
            dedup: Dedup::default(),
            memory: Memory::default(),
            globals: Globals::default(),
            sequencer: Sequencer::default(),
            standing: None,
            under_way: None,
            gateways_digest: digest_of(&BTreeMap::<(NodeId, WorkerId), (Incarnation, u64)>::new()),
            gateways: BTreeMap::new(),
            next_gateway: 1,
            directory_digest: digest_of(&Directory::default()),
            directory: Arc::default(),
            last_timestamp: Timestamp::default(),
            membership: None,
            in_sync: InSync::default(),
            plans: sql::PlanCache::new(CACHED_PLANS),
            groundwork: sql::Groundwork::default(),
        }
    }

    /// Whose state.
    #[must_use]
    pub const fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Last executed index.
    #[must_use]
    pub const fn executed(&self) -> LogIndex {
        self.executed
    }

    /// The group's membership as executed, for the consensus member that begins a life with this state.
    #[must_use]
    pub const fn membership(&self) -> Option<&Bytes> {
        self.membership.as_ref()
    }

    /// The catalog in force.
    #[must_use]
    pub const fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Nodes, and where replicas are wanted: of the cluster partition.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Digest of everything replicated, the executed index excepted: replicas are compared at the same one.
    #[must_use]
    pub fn digest(&self) -> u128 {
        if self.stands()
            && let Some(before) = self.digest_before()
        {
            return before;
        }
        self.digest_of_all()
    }

    /// Digest of the state before the command at which it stands.
    fn digest_before(&self) -> Option<u128> {
        let standing = self.standing.as_ref().map(|standing| standing.digest);
        standing.or_else(|| self.under_way.as_ref().map(|under_way| under_way.digest))
    }

    fn digest_of_all(&self) -> u128 {
        let mut digest = self.store.digest().wrapping_add(self.catalog_digest).wrapping_add(self.gateways_digest);
        if !planted!(28) {
            digest = digest.wrapping_add(self.dedup.digest());
        }
        if !(planted!(141) && self.partition != PartitionId::CLUSTER) {
            digest = digest.wrapping_add(self.memory.digest());
        }
        digest = digest.wrapping_add(if planted!(157) {
            digest_of(&self.globals)
        } else {
            digest_of(&(&self.globals, &self.sequencer))
        });
        // Planted 185: nodes and placements are in no checkpoint.
        if !planted!(185) {
            digest = digest.wrapping_add(self.directory_digest);
        }
        let mut scalars = [0; 16];
        scalars[..8].copy_from_slice(&self.next_gateway.to_le_bytes());
        scalars[8..].copy_from_slice(&self.last_timestamp.0.to_le_bytes());
        digest = digest.wrapping_add(xxh3_128(&scalars));
        if let Some(membership) = &self.membership {
            digest = digest.wrapping_add(xxh3_128(membership));
        }
        if self.in_sync.version > 0 {
            digest = digest.wrapping_add(digest_of(&self.in_sync));
        }
        digest
    }

    /// The whole replicated state as it is, frozen: a pointer for each tree. Not while execution stands: what is in the
    /// trees then is undecided.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        debug_assert!(
            !self.stands() || planted!(108) || planted!(144) || planted!(231),
            "a snapshot holds only what is decided, and whole"
        );
        // Every field is named: what is added to the state must be put in here, or be shown not to be replicated.
        let Self {
            partition,
            executed,
            store,
            catalog,
            catalog_digest: _,
            asking: _,
            dedup,
            memory,
            globals,
            sequencer,
            standing,
            under_way,
            gateways,
            gateways_digest: _,
            next_gateway,
            directory,
            directory_digest: _,
            last_timestamp,
            membership,
            in_sync,
            plans: _,
            groundwork: _,
        } = self;
        let head = Head {
            partition: *partition,
            // Planted 144: labelled with what is committed, not with what is executed.
            executed: if planted!(144) { self.reached() } else { *executed },
            next_gateway: *next_gateway,
            last_timestamp: *last_timestamp,
            membership: membership.clone(),
            gateways: gateways
                .iter()
                .map(|((node, worker), (life, number))| (*node, *worker, *life, *number))
                .collect(),
            globals: globals.clone(),
            sequencer: sequencer.clone(),
            catalog: Arc::clone(catalog),
            directory: Arc::clone(directory),
            in_sync: in_sync.clone(),
        };
        let rows = match standing {
            Some(standing) if planted!(144) && self.stands() => standing.undone(store),
            _ => store.snapshot(),
        };
        // Planted 231: the rows as they are in the middle of a command, as if they were from before it.
        let digest = if planted!(231) && under_way.is_some() { self.digest_of_all() } else { self.digest() };
        Snapshot::new(head, rows, dedup.snapshot(), memory.snapshot(), digest)
    }

    /// For a planted bug: the state after a log that left nothing.
    pub(super) fn emptied(partition: PartitionId, executed: LogIndex) -> Self {
        Self { executed, ..Self::new(partition) }
    }

    /// The state that a snapshot's parts make. Its digest is the caller's to compare.
    ///
    /// # Errors
    /// A sentence, if the parts cannot be of any state.
    pub(super) fn restored(head: Head, store: Store, dedup: Store, memory: Store) -> Result<Self, &'static str> {
        let Head {
            partition,
            executed,
            next_gateway,
            last_timestamp,
            membership,
            gateways,
            globals,
            sequencer,
            catalog,
            directory,
            in_sync,
        } = head;
        let directory = if planted!(185) { Arc::default() } else { directory };
        let mut machine = Self {
            partition,
            executed,
            store,
            catalog_digest: digest_of(&*catalog),
            asking: asking(partition, &catalog),
            catalog,
            dedup: if planted!(28) { Dedup::default() } else { Dedup::from_trees(dedup)? },
            // Planted 141: what commands came to is in no checkpoint.
            memory: if planted!(141) && partition != PartitionId::CLUSTER {
                Memory::default()
            } else {
                Memory::from_trees(memory)?
            },
            globals,
            // Planted 157: nor is the order as far as it has been given.
            sequencer: if planted!(157) { Sequencer::default() } else { sequencer },
            standing: None,
            under_way: None,
            gateways: gateways
                .into_iter()
                .map(|(node, worker, life, number)| ((node, worker), (life, number)))
                .collect(),
            gateways_digest: 0,
            next_gateway,
            directory_digest: digest_of(&*directory),
            directory,
            last_timestamp,
            membership,
            in_sync,
            plans: sql::PlanCache::new(CACHED_PLANS),
            groundwork: sql::Groundwork::default(),
        };
        machine.gateways_digest = digest_of(&machine.gateways);
        machine.restore_definition()?;
        Ok(machine)
    }

    /// Was this request executed?
    #[must_use]
    pub fn look_up(&self, id: RequestId) -> Seen {
        if is_gateways(id) { Seen::New } else { self.dedup.look_up(id) }
    }

    /// The version in force, if a request was made for another one and so cannot be executed now.
    #[must_use]
    pub fn replan(&self, body: &RequestBody) -> Option<CatalogVersion> {
        let planned = match body {
            RequestBody::Execute(batch) | RequestBody::Query(batch) => batch.catalog_version,
            RequestBody::Step(step) => step.catalog_version,
            RequestBody::Commit(commitment) | RequestBody::Validate(commitment) => commitment.catalog_version,
            RequestBody::Order { body, .. } => body.catalog_version(),
            RequestBody::Reserve { catalog_version, .. } => *catalog_version,
            _ => return None,
        };
        (planned != self.catalog.version).then_some(self.catalog.version)
    }

    /// What was executed under this idempotency token, of which this partition is the home.
    #[must_use]
    pub(super) fn spent(&self, key: &str) -> Option<Spent> {
        self.dedup.spent(key)
    }

    /// The present age of idempotency tokens, if there are any.
    pub(super) fn age(&self) -> Option<u64> {
        self.dedup.age()
    }

    /// Executes the entry at `index`.
    ///
    /// `own_clock` is this replica's; no entry's execution uses it.
    ///
    /// # Panics
    /// If `index` is not the one after the last: the log has no gaps.
    pub fn execute(&mut self, own_clock: Timestamp, index: LogIndex, payload: Payload) -> Executed {
        self.execute_through(own_clock, index, index, payload, &mut Slice::whole())
    }

    /// Executes a command that stands in the log from `first` to `index`, as far as the slice goes: if that is not to its end,
    /// the machine stands.
    ///
    /// # Panics
    /// If `first` is not the one after the last: the log has no gaps.
    pub(super) fn execute_through(
        &mut self,
        own_clock: Timestamp,
        first: LogIndex,
        index: LogIndex,
        payload: Payload,
        slice: &mut Slice,
    ) -> Executed {
        assert_eq!(first, self.executed.next(), "entries are executed in log order, without gaps");
        assert!(!self.stands(), "nothing is executed behind an undecided command");
        self.executed = index;
        let bytes = match payload {
            Payload::Command(bytes) => bytes,
            Payload::Configuration(membership) => {
                self.membership = Some(membership);
                return Executed::default();
            }
            Payload::Empty => return Executed::default(),
        };
        match Command::decode(&bytes) {
            Ok(Command::V1(command)) => self.execute_command(own_clock, first, index, command, slice),
            Ok(Command::Global(global)) => self.come_to(first, index, bytes.len(), global, slice),
            Ok(Command::Decision { number, committed, .. }) => self.declared(number, committed),
            Ok(Command::Amend(amendment)) => {
                let before = self.directory.version;
                let _overtaken = self.amend(&amendment);
                Executed { directory: self.directory.version != before, ..Executed::default() }
            }
            Ok(Command::Age(over)) => {
                let forgotten = self.dedup.begin_age(over);
                sometimes!("partition.tokens_forgotten", forgotten > 0);
                Executed::default()
            }
            Ok(Command::InSync { expected, members }) => {
                self.in_sync.change(expected, members);
                Executed::default()
            }
            Ok(Command::LetGo(let_go)) => Executed { let_go, ..Executed::default() },
            Ok(Command::Tick { reports, forget_below }) => {
                self.ticked(reports, forget_below);
                Executed::default()
            }
            Err(reason) => {
                // Every replica sees the same bytes, so all pass over it alike.
                tracing::error!(partition = self.partition.0, index = index.0, reason, "log entry not understood");
                Executed::default()
            }
        }
    }

    fn execute_command(
        &mut self,
        own_clock: Timestamp,
        first: LogIndex,
        index: LogIndex,
        mut command: CommandV1,
        slice: &mut Slice,
    ) -> Executed {
        let id = command.id;
        // Before anything is changed.
        let digest = under_way::is_long(&command.body).then(|| self.digest());
        command.timestamp = command.timestamp.max(self.last_timestamp);
        self.last_timestamp = command.timestamp;
        if planted!(64) {
            command.timestamp = own_clock;
        }
        match &command.body {
            CommandBody::RegisterGateway { node, worker, incarnation } => {
                let before = self.directory.version;
                let Some(number) = self.register(*node, *worker, *incarnation) else {
                    sometimes!("partition.stranger_registers");
                    return Executed::answer(id, ReplyBody::Stale);
                };
                let directory = self.directory.version != before;
                return Executed { directory, ..Executed::answer(id, ReplyBody::Done(Outcome::Gateway(number))) };
            }
            CommandBody::Execute { .. }
            | CommandBody::Commit(_)
            | CommandBody::Order { .. }
            | CommandBody::Amend(_)
            | CommandBody::Reserve { .. } => {}
        }
        self.dedup.acknowledge(id.session, command.acked_below);
        match self.dedup.look_up(id) {
            // Planted 105: a retry is ordered a second time.
            Seen::Executed(Outcome::Ordered { .. }) if planted!(105) => {}
            Seen::Executed(outcome) => {
                sometimes!("partition.duplicate_entry");
                let asked = self.dedup.asked(id);
                return Executed { asked, ..Executed::answer(id, ReplyBody::Done(outcome)) };
            }
            Seen::Stale => {
                sometimes!("partition.stale_entry");
                return Executed::answer(id, ReplyBody::Stale);
            }
            Seen::New => {}
        }
        let (before, directory) = (self.catalog.version, self.directory.version);
        let (mut ordered, mut asked) = (None, Asked::default());
        let outcome = match &command.body {
            CommandBody::Execute { catalog_version, .. } if *catalog_version == before => {
                return self.begin(first, index, digest, command, slice);
            }
            CommandBody::Commit(commitment) if commitment.catalog_version == before => {
                return self.begin(first, index, digest, command, slice);
            }
            CommandBody::Reserve { catalog_version, sequence, count } if *catalog_version == before => {
                let outcome;
                (outcome, asked) = self.reserve(*sequence, *count);
                outcome
            }
            CommandBody::Amend(amendment) => self.amend(amendment),
            CommandBody::Order { participants, body } if body.catalog_version() == before => {
                match self.order(&command, participants, body) {
                    Some(global) => {
                        let Global { number, timestamp, seed, .. } = **ordered.insert(global);
                        Outcome::Ordered { number, timestamp, seed }
                    }
                    None => return Executed::answer(id, ReplyBody::Overloaded),
                }
            }
            _ => {
                // The catalog changed between proposal and execution. No mark is left (rules A9).
                sometimes!("partition.replan_at_execution");
                return Executed::answer(id, ReplyBody::Replan { version: before });
            }
        };
        // Under planted 105 it may be there already.
        if !planted!(105) || self.dedup.look_up(id) == Seen::New {
            self.dedup.record(id, &outcome);
            self.dedup.ask(id, asked);
        }
        let directory = self.directory.version != directory;
        Executed { reply: Some((id, ReplyBody::Done(outcome))), asked, ordered, directory, ..Executed::default() }
    }

    /// For planted bugs: what a leader may not do. 125: it is in its rows alone. 126: it is in nobody's yet.
    pub(super) fn reserve_unlogged(&mut self, sequence: TableId, count: u64) -> Outcome {
        let mark = self.store.mark();
        let reserved = sql::reserve(&mut self.store, &self.catalog, sequence, count);
        if planted!(126) {
            self.store.rollback(mark);
        }
        if !self.stands() {
            self.store.commit();
        }
        match reserved {
            Ok(values) => Outcome::Reserved(values),
            Err(error) => Outcome::Error { statement: 0, error },
        }
    }

    fn reserve(&mut self, sequence: TableId, count: u64) -> (Outcome, Asked) {
        let reserved = sql::reserve(&mut self.store, &self.catalog, sequence, count);
        let asked = self.asked_by_written();
        self.store.commit();
        let outcome = match reserved {
            Ok(values) => {
                sometimes!("partition.values_reserved");
                Outcome::Reserved(values)
            }
            Err(error) => Outcome::Error { statement: 0, error },
        };
        (outcome, asked)
    }

    /// What the answer to the command waits for that has written what is not committed yet.
    fn asked_by_written(&self) -> Asked {
        self.asking.by(self.store.touched())
    }

    /// What the answer to an executed request waits for.
    pub(super) fn asked(&self, id: RequestId) -> Asked {
        self.dedup.asked(id)
    }

    /// What its tables ask for.
    pub(super) const fn asking(&self) -> &Asking {
        &self.asking
    }

    /// Who is in sync.
    #[must_use]
    pub const fn in_sync(&self) -> &InSync {
        &self.in_sync
    }

    fn execute_statement(
        &mut self,
        command: &CommandV1,
        number: usize,
        (statement, following): (&Statement, Option<&Statement>),
        settings: &Settings,
        changes: &mut sql::Changes,
    ) -> Result<StatementResult, SqlError> {
        let plan = self.plans.prepare(&self.catalog, &statement.text, settings, &statement.parameter_types)?;
        let mut context =
            sql::Context::of(&self.catalog, settings, command.timestamp, command.dice(number), statement.max_rows);
        context.at = self.partition;
        // The pieces of a COPY are one statement, which ends with the last.
        context.together = plan.is_copy() && following.is_some_and(|next| next.text == statement.text);
        context.changes = std::mem::take(changes);
        let result = plan.execute(&mut self.store, &statement.parameters, &mut context)?;
        context.nothing_waits()?;
        if context.together {
            *changes = context.changes;
        }
        Ok(result)
    }

    /// A private copy of the rows as they are, for an open transaction. From now on what is written is recorded.
    #[must_use]
    pub(super) fn fork(&mut self, name: u64) -> Fork {
        self.store.record(true);
        let rows = self.store.snapshot().into_store();
        Fork::new(self.partition, rows, Arc::clone(&self.catalog)).watching(name, self.store.recorded())
    }

    /// Executes statements of an open transaction on its fork.
    pub(super) fn step(&mut self, fork: &mut Fork, step: &Step) -> Outcome {
        fork.step(&mut self.plans, step)
    }

    /// Executes a statement on a copy of what was frozen at a cut.
    pub(super) fn look(&mut self, rows: Store, catalog: Arc<Catalog>, step: &Step) -> Outcome {
        // Planted 134: each partition shows what it has when it is asked.
        let rows = if planted!(134) { self.store.snapshot().into_store() } else { rows };
        Fork::new(self.partition, rows, catalog).step(&mut self.plans, step)
    }

    /// Would a transaction be shown the same again? If so: on this fork, which is of now.
    pub(super) fn validate(&mut self, list: &Commitment, name: u64) -> Result<Fork, Outcome> {
        let mut fork = self.fork(name);
        match fork.again(&mut self.plans, list) {
            Outcome::Committed => Ok(fork),
            other => Err(other),
        }
    }

    /// Has nothing that was read on a fork been written since it was made?
    pub(super) fn is_unchanged(&self, fork: &Fork) -> bool {
        fork.is_unchanged(&self.store)
    }

    /// For a planted bug: a fork is taken for one of the present state.
    pub(super) fn backdate(&self, fork: &mut Fork) {
        fork.since = self.store.recorded();
    }

    /// What is written is recorded, for forks to be compared with; or no longer: there are none.
    pub(super) fn record_changes(&mut self, records: bool) {
        self.store.record(records);
    }

    /// Runs reads on the state as it is. `own_clock` and `dice` are this replica's own: a read is in no log.
    pub fn query(&mut self, own_clock: Timestamp, batch: &Batch, dice: &mut Rng) -> ReplyBody {
        use crate::types::random::{RngCore, SeedableRng};
        if batch.catalog_version != self.catalog.version {
            return ReplyBody::Replan { version: self.catalog.version };
        }
        let now = own_clock.max(self.last_timestamp);
        let mut results = Vec::with_capacity(batch.statements.len());
        for (number, statement) in batch.statements.iter().enumerate() {
            let result = self
                .plans
                .prepare(&self.catalog, &statement.text, &batch.settings, &statement.parameter_types)
                .and_then(|plan| {
                    let rng = Rng::seed_from_u64(dice.next_u64());
                    let mut context = sql::Context::of(&self.catalog, &batch.settings, now, rng, statement.max_rows);
                    plan.query(&self.store, &statement.parameters, &mut context)
                });
            match result {
                Ok(result) => results.push(result),
                Err(error) => {
                    let statement = u32::try_from(number).unwrap_or(u32::MAX);
                    return ReplyBody::Done(Outcome::Error { statement, error });
                }
            }
        }
        ReplyBody::Done(Outcome::Results(results))
    }

    fn adopt(&mut self, catalog: Arc<Catalog>) {
        self.catalog_digest = digest_of(&*catalog);
        self.asking = asking(self.partition, &catalog);
        self.catalog = catalog;
    }

    fn amend(&mut self, amendment: &Amendment) -> Outcome {
        if let Some(error) = self.breaks_replication(&amendment.change) {
            return Outcome::Error { statement: 0, error };
        }
        let mut directory = Directory::clone(&self.directory);
        match directory.amend(amendment) {
            Ok(applied) => {
                self.install_directory(directory);
                Outcome::Amended { node: applied.node, notice: applied.notice }
            }
            Err(error) => Outcome::Error { statement: 0, error },
        }
    }

    /// Why tables ask for more replicas than such a change leaves, unless it is forced.
    fn breaks_replication(&self, change: &Change) -> Option<SqlError> {
        let Change::Safety { k, force: false } = change else { return None };
        let (backups, table) = self.catalog.most_backups().filter(|(backups, _)| *backups > k.saturating_mul(2))?;
        let whose = table.map_or_else(|| "the cluster".to_owned(), |table| format!("table \"{}\"", table.name));
        let most = k.saturating_mul(2);
        let message = format!("{whose} asks for {backups} backups, and with k_safety = {k} there are {most}");
        sometimes!("partition.replication_kept");
        Some(
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint("Lower its replication first, or add FORCE."),
        )
    }

    fn install_directory(&mut self, directory: Directory) {
        self.directory_digest = digest_of(&directory);
        self.directory = Arc::new(directory);
    }

    /// The number of a gateway's life; `None`: its node does not belong to the cluster.
    fn register(&mut self, node: NodeId, worker: WorkerId, incarnation: Incarnation) -> Option<u64> {
        if self.directory.is_formed() && self.directory.member(node).is_none() {
            return None;
        }
        let mut directory = Directory::clone(&self.directory);
        if directory.heard(node) {
            self.install_directory(directory);
        }
        Some(match self.gateways.get(&(node, worker)) {
            Some((known, number)) if *known == incarnation => *number,
            _ => {
                let number = self.next_gateway;
                self.next_gateway += 1;
                self.gateways.insert((node, worker), (incarnation, number));
                self.gateways_digest = digest_of(&self.gateways);
                number
            }
        })
    }
}

/// A gateway asks for its number before it has one: such requests carry number 0 and are idempotent by themselves.
const fn is_gateways(id: RequestId) -> bool {
    id.session.gateway == 0
}

/// The cluster partition's rows are definitions, and their mode is one.
fn asking(partition: PartitionId, catalog: &Catalog) -> Asking {
    if partition == PartitionId::CLUSTER { Asking::default() } else { Asking::of(catalog) }
}

fn digest_of(data: &impl serde::Serialize) -> u128 {
    xxh3_128(&postcard::to_stdvec(data).expect("plain data, always encodable"))
}
