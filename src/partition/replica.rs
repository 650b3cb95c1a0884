//! A replica: a consensus member, the state it feeds, and the requests that wait for either.

mod acknowledge;
mod global;
mod keeping;
mod lag;
mod reading;

pub use acknowledge::InSyncFacts;
pub use keeping::{Keep, KeepingConfig, RecoveryFacts, Wanted};
pub use lag::FollowerFacts;

use crate::catalog::{Asked, Catalog};
use crate::consensus::{Change, Consensus, FollowerStatus, Membership, NotLeader, Ready, Refused, Role, Status};
use crate::directory::{self, Amendment, Directory};
use crate::partition::command::{Command, CommandBody, CommandV1};
use crate::partition::dedup::Seen;
use crate::partition::global::{Cuts, Exchange, Exchanges, Reads, Values};
use crate::partition::message::{Commitment, Outcome, Reply, ReplyBody, Request, RequestBody, Step};
use crate::partition::parcel::{self, Assembler, Whole};
use crate::partition::slice::Slice;
use crate::partition::state_machine::StateMachine;
use crate::partition::transaction::{Forks, Found};
use crate::types::random::RngCore;
use crate::types::{
    CatalogVersion, Duration, Era, GlobalNumber, Instant, LogIndex, NodeId, PartitionId, RequestId, Rng, Timestamp,
    WorkerId,
};
use crate::{planted, sometimes};
use acknowledge::Acknowledging;
use keeping::Keeping;
use lag::Ages;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Digests of the state at the latest multiples of `digest_every` that a replica remembers for comparison.
const REMEMBERED_DIGESTS: usize = 64;

/// Who asked, and so who is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Gateway's node.
    pub node: NodeId,
    /// Gateway's worker.
    pub worker: WorkerId,
}

/// What has piled up for the worker to carry out, besides a [`Ready`].
#[derive(Debug, Default)]
pub struct ReplicaOutput {
    /// Answers.
    pub replies: Vec<(Origin, Reply)>,
    /// The cluster partition has executed a newer catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// The cluster partition's directory of nodes is this.
    pub directory: Option<Arc<Directory>>,
    /// This leader's digest at an index, for its followers to compare.
    pub digests: Vec<(LogIndex, u128)>,
    /// What other partitions are to be told.
    pub exchanges: Vec<(PartitionId, Exchange)>,
    /// Checkpoints and snapshots.
    pub keeping: Keep,
}

/// One copy of a partition.
pub struct Replica {
    partition: PartitionId,
    /// A trait object: the protocol is chosen when the cluster is created, at run time.
    consensus: Box<dyn Consensus>,
    machine: StateMachine,
    /// Committed and not yet executed.
    backlog: VecDeque<Whole>,
    /// Committed pieces of a command whose last one is not committed yet.
    assembler: Assembler,
    piece_bytes: usize,
    /// Decisions on global commands that stand in the committed log ahead of `executed`.
    decisions: BTreeMap<GlobalNumber, (bool, Values)>,
    /// What may still be executed in this turn.
    slice: Slice,
    statements_in_a_turn: u64,
    /// So much of it may be spent on what definitions will need: half, so that the rest goes on meanwhile.
    groundwork: Slice,
    /// Executed in earlier turns.
    statements_before: u64,
    exchanges: Exchanges,
    /// Reads over several partitions, and what may not be said before they are everywhere.
    reads: Reads,
    /// What is frozen for transactions that read at one cut.
    cuts: Cuts,
    /// Cuts below were taken before this replica led.
    cuts_of_this_leader: GlobalNumber,
    exchange_every: Duration,
    led_since: Instant,
    /// Since when the age of tokens lasts, as far as this leader knows.
    age_since: Option<Instant>,
    token_lifetime: Duration,
    /// Proposed here and not yet executed.
    pending: BTreeMap<RequestId, Pending>,
    /// How many of these are orders (cluster partition). While there are any, others wait, and go into the log together.
    ordering: usize,
    orders: VecDeque<(Origin, Request)>,
    max_pending: usize,
    /// Reads that have come since the last barrier was asked for; they share the next one.
    arriving_reads: Vec<(Origin, Request)>,
    /// Reads by the token of the barrier that they wait for.
    barriers: BTreeMap<u64, Vec<(Origin, Request)>>,
    next_token: u64,
    /// Forks of open transactions. This leader's own: no replicated state, and lost with the leadership.
    forks: Forks,
    /// Proved reads that wait until this index is executed.
    proved_reads: BTreeMap<LogIndex, Vec<(Origin, Request)>>,
    digest_every: u64,
    own_digests: BTreeMap<LogIndex, u128>,
    announced_digests: BTreeMap<LogIndex, u128>,
    /// The last index at which a digest was taken.
    digested: LogIndex,
    leads: bool,
    /// While it leads: replies that wait for more than their commit.
    acknowledging: Acknowledging,
    /// While it leads: how old what followers lack is.
    ages: Ages,
    founders: Option<directory::Change>,
    rng: Rng,
    keeping: Keeping,
    output: ReplicaOutput,
}

/// A request that was proposed and not yet executed.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// Who waits.
    origin: Origin,
    /// Number of the latest attempt: the one that is answered.
    attempt: u32,
    /// Era of the proposal. While this member leads in it, the proposal is on its way.
    era: Era,
    /// Catalog under which it was proposed: under another one the retry is another command.
    version: CatalogVersion,
    /// Is it an order?
    orders: bool,
}

/// Limits and dice of a replica.
pub struct ReplicaConfig {
    /// Most requests that may wait for their commit.
    pub max_pending: usize,
    /// Most bytes of a command in one log entry; a longer one stands in several.
    pub piece_bytes: usize,
    /// So much is executed in one turn, in statements.
    pub statements_in_a_turn: u64,
    /// Digests are compared at multiples of this index.
    pub digest_every: u64,
    /// What participants of global commands have not heard of each other is asked again so often.
    pub exchange_every: Duration,
    /// Idempotency tokens are kept for at least so long.
    pub token_lifetime: Duration,
    /// Who lacks something for longer is not in sync.
    pub in_sync_timeout: Duration,
    /// Of the cluster partition: what its directory of nodes begins with.
    pub founders: Option<directory::Change>,
    /// Seeds of entries.
    pub rng: Rng,
    /// Checkpoints and snapshots.
    pub keeping: KeepingConfig,
}

impl Replica {
    /// A replica in this state: its consensus member, which knows of it, hands it the committed log from there on.
    #[must_use]
    pub fn new(consensus: Box<dyn Consensus>, machine: StateMachine, config: ReplicaConfig) -> Self {
        let partition = machine.partition();
        // A state that the member does not acknowledge is none: an older one than the log begins after, for example.
        let machine = if consensus.status().lacks_state { StateMachine::new(partition) } else { machine };
        let mut replica = Self {
            partition,
            consensus,
            keeping: Keeping::new(config.keeping, machine.executed()),
            machine,
            backlog: VecDeque::new(),
            assembler: Assembler::default(),
            piece_bytes: config.piece_bytes,
            decisions: BTreeMap::new(),
            slice: Slice::of(0),
            groundwork: Slice::of(0),
            statements_in_a_turn: config.statements_in_a_turn.max(1),
            statements_before: 0,
            exchanges: Exchanges::default(),
            reads: Reads::default(),
            cuts: Cuts::default(),
            cuts_of_this_leader: GlobalNumber(0),
            exchange_every: config.exchange_every,
            led_since: Instant(0),
            age_since: None,
            token_lifetime: config.token_lifetime,
            pending: BTreeMap::new(),
            ordering: 0,
            orders: VecDeque::new(),
            max_pending: config.max_pending,
            arriving_reads: Vec::new(),
            barriers: BTreeMap::new(),
            next_token: 1,
            forks: Forks::default(),
            proved_reads: BTreeMap::new(),
            digest_every: config.digest_every.max(1),
            own_digests: BTreeMap::new(),
            announced_digests: BTreeMap::new(),
            digested: LogIndex(0),
            leads: false,
            acknowledging: Acknowledging::new(config.in_sync_timeout),
            ages: Ages::default(),
            founders: config.founders,
            rng: config.rng,
            output: ReplicaOutput::default(),
        };
        replica.begin_turn();
        replica.announce_restored();
        replica.forget();
        replica
    }

    /// Takes a consensus message.
    pub fn step(&mut self, now: Instant, from: NodeId, message: &[u8]) {
        self.consensus.step(now, from, message);
    }

    /// This node is to go: if this replica leads, another is to lead in its place. Returns which, when that begins.
    pub fn hand_over(&mut self, now: Instant) -> Option<NodeId> {
        self.consensus.transfer(now, None)
    }

    /// Who is to lead, if it can: see [`Consensus::prefer`].
    pub fn prefer(&mut self, leader: Option<NodeId>) {
        self.consensus.prefer(leader);
    }

    /// Asks for another membership of the group: see [`Consensus::change`].
    ///
    /// # Errors
    /// [`Refused`]: nothing was proposed.
    pub fn change(&mut self, now: Instant, change: Change) -> Result<(), Refused> {
        self.consensus.change(now, change)
    }

    /// Who belongs to the group: see [`Consensus::membership`].
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.consensus.membership()
    }

    /// The followers as this leader sees them.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerStatus> {
        self.consensus.followers()
    }

    /// This node is to lead, if this replica does now. Returns it if that begins.
    pub fn hand_over_to(&mut self, now: Instant, to: NodeId) -> Option<NodeId> {
        self.consensus.transfer(now, Some(to))
    }

    /// When [`Replica::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        if self.has_work() {
            return Instant(0);
        }
        let others =
            self.keeping.next_timeout().into_iter().chain(self.next_exchange()).chain(self.cuts.next_timeout());
        others.fold(self.consensus.next_timeout(), Instant::min)
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.consensus.handle_timeout(now);
        self.keeping_timeout(now);
        self.cuts.expire(now);
        self.exchange_timeout(now);
        self.machine.forget_groundwork(now);
    }

    /// Nobody has listened for so long, up to now.
    pub fn paused(&mut self, now: Instant, length: Duration) {
        self.consensus.paused(now, length);
        self.acknowledging.paused(now, length);
    }

    /// Nobody listens at that node any more, its machine says.
    pub fn peer_gone(&mut self, now: Instant, peer: NodeId) {
        self.consensus.peer_gone(now, peer);
    }

    /// How suspicious the leader's silence is now, in thousandths.
    #[must_use]
    pub fn suspicion(&self, now: Instant) -> Option<u32> {
        self.consensus.suspicion(now)
    }

    /// Is there anything to execute? It comes last of what [`Replica::ready`] has.
    #[must_use]
    pub fn has_to_execute(&self) -> bool {
        self.has_work() || self.consensus.status().committed > self.machine.executed()
    }

    /// What was handed out up to this number is durable.
    pub fn persisted(&mut self, now: Instant, number: u64) {
        self.consensus.persisted(now, number);
    }

    /// Takes a request of a session.
    pub fn request(&mut self, now: Instant, wall: Timestamp, origin: Origin, request: Request) {
        if !self.serves(&request.body) {
            sometimes!("partition.misdirected_request");
            return self.answer(origin, &request, ReplyBody::Stale);
        }
        let leads = self.consensus.status().role == Role::Leader;
        let held = if leads && Self::may_be_held(&request.body) {
            self.let_go_of_held(request.id.session, request.acked_below);
            self.acknowledging.holds()
        } else {
            0
        };
        if leads
            && self.reads.holds() + held >= self.max_pending
            && !matches!(request.body, RequestBody::Abandon { .. } | RequestBody::LetGo { .. })
        {
            sometimes!("partition.overloaded_while_silent");
            return self.answer(origin, &request, ReplyBody::Overloaded);
        }
        match &request.body {
            RequestBody::Query(_) | RequestBody::ReadCatalog { .. } if planted!(46) => {
                self.run_read(wall, origin, &request)
            }
            RequestBody::Query(_)
            | RequestBody::Validate(_)
            | RequestBody::AskToken { .. }
            | RequestBody::ReadCatalog { .. }
                if leads =>
            {
                self.arriving_reads.push((origin, request))
            }
            RequestBody::Abandon { transaction } => self.forks.forget(request.id.session, *transaction),
            RequestBody::Collect { number } if leads => self.collect(origin, &request, *number),
            // A new leader may not have come to the cut yet: then it waits like a read.
            RequestBody::Look { .. } if leads => {
                if !self.look(origin, &request) {
                    self.arriving_reads.push((origin, request));
                }
            }
            RequestBody::LetGo { cut } => {
                if leads {
                    self.cuts.end(*cut);
                }
            }
            RequestBody::Step(_) if leads => self.step_requested(origin, request),
            RequestBody::Commit(commitment) if leads => {
                // Its work is done, and while it is there every leaf that is written has to be copied.
                self.forks.forget(request.id.session, commitment.transaction);
                self.propose(now, wall, origin, request);
            }
            RequestBody::Reserve { sequence, count, .. } if leads && (planted!(125) || planted!(126)) => {
                let reserved = self.machine.reserve_unlogged(*sequence, *count);
                self.answer(origin, &request, ReplyBody::Done(reserved));
                if planted!(126) {
                    self.propose(now, wall, origin, request);
                }
            }
            _ if leads => self.propose(now, wall, origin, request),
            _ => {
                let leader = self.consensus.status().leader;
                self.answer(origin, &request, ReplyBody::NotLeader { leader });
            }
        }
    }

    /// Pumps the consensus member once: executes what is committed, runs proved reads, and returns what the worker has to
    /// persist and send. Call until `None`; then [`Replica::take_output`].
    pub fn ready(&mut self, now: Instant, wall: Timestamp) -> Option<Ready> {
        self.ask_for_barrier(now);
        self.order_together(now, wall);
        self.note_age(now);
        self.keep_in_sync(now);
        self.release_held(now);
        let Some(mut ready) = self.consensus.ready() else {
            // Execution comes last; and it may have something to propose.
            return if self.work(now, wall) { self.ready(now, wall) } else { None };
        };
        self.enqueue(std::mem::take(&mut ready.committed));
        for state in std::mem::take(&mut ready.read_states) {
            let reads = self.barriers.remove(&state.token).unwrap_or_default();
            self.proved_reads.entry(state.index).or_default().extend(reads);
        }
        for token in std::mem::take(&mut ready.reads_dropped) {
            for (origin, request) in self.barriers.remove(&token).unwrap_or_default() {
                self.refuse_read(origin, &request);
            }
        }
        if let Some(role) = ready.role {
            self.role_changed(now, role);
        }
        self.drop_overtaken_download();
        if let Some(fetch) = ready.fetch.take() {
            self.fetch(now, fetch);
        }
        Some(ready)
    }

    /// Takes what has piled up.
    pub fn take_output(&mut self) -> ReplicaOutput {
        self.output.exchanges = self.take_exchanges();
        std::mem::take(&mut self.output)
    }

    /// Takes the leader's digest at an index, executed here or not yet.
    pub fn announced(&mut self, index: LogIndex, digest: u128) {
        if !self.leads {
            self.announced_digests.insert(index, digest);
            trim(&mut self.announced_digests);
        }
    }

    /// Compares this replica's digests with its leader's, as far as both are known.
    ///
    /// # Errors
    /// A sentence naming the first index at which they differ.
    pub fn check_digests(&mut self) -> Result<(), String> {
        // Announced ones are few and are dropped once compared.
        while let Some(first) = self.announced_digests.first_entry() {
            let (index, leaders) = (*first.key(), *first.get());
            if index > self.machine.executed() {
                break;
            }
            first.remove();
            if let Some(own) = self.own_digests.get(&index).filter(|own| **own != leaders) {
                return Err(format!(
                    "partition {} at log index {}: this replica's state has digest {own:032x}, its leader's {leaders:032x}",
                    self.partition.0, index.0
                ));
            }
        }
        Ok(())
    }

    /// Where the consensus member stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.consensus.status()
    }

    /// Era of the last entry of its log.
    #[must_use]
    pub fn last_era(&self) -> Era {
        self.consensus.position(self.consensus.status().last).map_or(Era(0), |last| last.era)
    }

    /// Nodes that it waits for before it can be a member of its group.
    #[must_use]
    pub fn awaited(&self) -> Vec<NodeId> {
        self.consensus.awaited()
    }

    /// Era and payload digest of a log entry held here.
    #[must_use]
    pub fn log_entry(&self, index: LogIndex) -> Option<(Era, u64)> {
        self.consensus.inspect(index)
    }

    /// How many requests wait for their commit, or for what is asked for besides.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len() + self.acknowledging.holds()
    }

    /// Last executed index and the digest of the state there.
    #[must_use]
    pub fn state_digest(&self) -> (LogIndex, u128) {
        (self.machine.executed(), self.machine.digest())
    }

    /// Is this a request for this kind of partition? Anything else comes from a peer that is not ours.
    fn serves(&self, body: &RequestBody) -> bool {
        let for_rows = matches!(
            body,
            RequestBody::Execute(_)
                | RequestBody::Query(_)
                | RequestBody::Step(_)
                | RequestBody::Commit(_)
                | RequestBody::Validate(_)
                | RequestBody::Look { .. }
                | RequestBody::LetGo { .. }
                | RequestBody::Reserve { .. }
                | RequestBody::AskToken { .. }
                | RequestBody::Abandon { .. }
        );
        matches!(body, RequestBody::Collect { .. }) || for_rows != (self.partition == PartitionId::CLUSTER)
    }

    /// Statements of an open transaction. The first ones make its fork, as a read does that has to be proved; what
    /// follows needs no proof: all that the transaction sees is of that moment.
    fn step_requested(&mut self, origin: Origin, request: Request) {
        let RequestBody::Step(step) = &request.body else { return };
        match self.forks.look_up(request.id.session, step) {
            // Planted 140: a fork is taken at once, from whatever is there: undecided, or behind what others have been told.
            Found::Nothing if planted!(140) && step.done == 0 => {
                let body = self.make_fork(&request, step);
                self.answer(origin, &request, body);
            }
            Found::Nothing if step.done == 0 => self.arriving_reads.push((origin, request)),
            Found::Nothing => {
                sometimes!("partition.fork_lost");
                self.answer(origin, &request, ReplyBody::Done(Outcome::ForkLost));
            }
            Found::Next(fork) => {
                let outcome = self.machine.step(fork, step);
                self.answer(origin, &request, ReplyBody::Done(outcome));
            }
            Found::Again(outcome) => {
                sometimes!("partition.step_answered_again");
                self.answer(origin, &request, ReplyBody::Done(outcome));
            }
            Found::Stale => self.answer(origin, &request, ReplyBody::Stale),
        }
    }

    fn make_fork(&mut self, request: &Request, step: &Step) -> ReplyBody {
        match self.forks.look_up(request.id.session, step) {
            // Another attempt was proved before this one.
            Found::Again(outcome) => return ReplyBody::Done(outcome),
            Found::Stale | Found::Next(_) => return ReplyBody::Stale,
            Found::Nothing => {}
        }
        if let Some(version) = self.machine.replan(&request.body) {
            return ReplyBody::Replan { version };
        }
        let mut fork = self.machine.fork(self.rng.next_u64());
        let outcome = self.machine.step(&mut fork, step);
        sometimes!("partition.fork_rebuilt", step.before.is_some());
        self.forks.keep(request.id.session, step.transaction, fork);
        ReplyBody::Done(outcome)
    }

    /// Would all that a transaction was shown be shown again? Executed again is only what has read something that has been written.
    fn validate(&mut self, request: &Request, list: &Commitment) -> ReplyBody {
        if let Some(version) = self.machine.replan(&request.body) {
            return ReplyBody::Replan { version };
        }
        let session = request.id.session;
        if let Some(fork) = self.forks.of(session, list)
            && self.machine.is_unchanged(fork)
        {
            sometimes!("partition.validated_cheaply");
            let name = fork.name;
            // Planted 212: from now on it counts as being of now, and its rows are older.
            if planted!(212) {
                self.machine.backdate(fork);
            }
            let mutated = planted!(210) || planted!(211) || planted!(212) || planted!(213) || planted!(63);
            debug_assert!(
                mutated || self.machine.validate(list, 0).is_ok(),
                "what has read nothing that was written shows the same when it is executed again"
            );
            return ReplyBody::Done(Outcome::Holds { fork: name, unchanged: true });
        }
        match self.machine.validate(list, self.rng.next_u64()) {
            Ok(new) => {
                let name = new.name;
                // Its next statements go on from here.
                let found = self.forks.of(session, list).map(|fork| fork.replace(new));
                sometimes!("partition.fork_replaced", found.is_some());
                ReplyBody::Done(Outcome::Holds { fork: found.map_or(0, |()| name), unchanged: false })
            }
            Err(outcome) => ReplyBody::Done(outcome),
        }
    }

    /// Orders that have waited for an earlier one go into the log together: each costs all groups' members a message less.
    fn order_together(&mut self, now: Instant, wall: Timestamp) {
        if self.ordering > 0 || self.orders.is_empty() {
            return;
        }
        let orders = std::mem::take(&mut self.orders);
        sometimes!("global.ordered_together", orders.len() > 1);
        for (origin, request) in orders {
            self.propose_with(now, wall, origin, request, true);
        }
    }

    fn propose(&mut self, now: Instant, wall: Timestamp, origin: Origin, request: Request) {
        self.propose_with(now, wall, origin, request, false);
    }

    /// Proposes a request; `together`: it is one of several orders that go into the log at once.
    fn propose_with(&mut self, now: Instant, wall: Timestamp, origin: Origin, request: Request, together: bool) {
        match self.machine.look_up(request.id) {
            // What was executed is committed: it can be told again without asking anybody.
            Seen::Executed(outcome) => {
                sometimes!("partition.retry_answered_from_table");
                let asked = self.machine.asked(request.id);
                return self.acknowledge(asked, (origin, request.id, request.attempt), ReplyBody::Done(outcome));
            }
            Seen::Stale => return self.answer(origin, &request, ReplyBody::Stale),
            Seen::New => {}
        }
        if let Some(version) = self.machine.replan(&request.body) {
            sometimes!("partition.replan_before_proposal");
            return self.answer(origin, &request, ReplyBody::Replan { version });
        }
        if let Some(partition) = self.unreachable(now, &request.body) {
            sometimes!("global.participant_unreachable");
            return self.answer(origin, &request, ReplyBody::Unreachable { partition });
        }
        let id = request.id;
        let (era, version) = (self.consensus.status().era, self.machine.catalog().version);
        // A copy more would be found in the table and do no harm but one: where a round of consensus takes longer than an
        // attempt, a log that is filled with copies never becomes shorter.
        let pending = self.pending.get_mut(&id);
        if let Some(pending) = pending.filter(|pending| (pending.era, pending.version) == (era, version)) {
            sometimes!("partition.retry_while_pending");
            (pending.origin, pending.attempt) = (origin, request.attempt);
            return;
        }
        if self.pending.len() + self.orders.len() >= self.max_pending && !self.pending.contains_key(&id) {
            sometimes!("partition.overloaded");
            return self.answer(origin, &request, ReplyBody::Overloaded);
        }
        let orders = matches!(request.body, RequestBody::Order { .. });
        if orders && self.ordering > 0 && !together {
            sometimes!("global.order_waits_for_others");
            self.orders.retain(|(_, waiting)| waiting.id != id);
            return self.orders.push_back((origin, request));
        }
        let Some(body) = command_body(&request.body) else {
            return self.answer(origin, &request, ReplyBody::Stale);
        };
        let command = Command::V1(CommandV1 {
            id: request.id,
            acked_below: request.acked_below,
            timestamp: wall,
            seed: self.rng.next_u64(),
            body,
        });
        match self.log(now, &command) {
            Ok(()) => {
                let pending = Pending { origin, attempt: request.attempt, era, version, orders };
                let before = self.pending.insert(id, pending);
                self.ordering += usize::from(orders && before.is_none_or(|before| !before.orders));
            }
            Err(NotLeader { leader }) => self.answer(origin, &request, ReplyBody::NotLeader { leader }),
        }
    }

    /// Nodes, and where replicas are wanted, as far as this replica of the cluster partition has executed.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        self.machine.directory()
    }

    /// The cluster partition's leader changes the directory of nodes, if nobody else has changed it since `expected`.
    pub fn amend(&mut self, now: Instant, expected: u64, change: directory::Change) {
        let command = Command::Amend(Arc::new(Amendment { expected: Some(expected), change }));
        let _found_again = self.log(now, &command);
    }

    /// A new cluster's directory of nodes is what it was formed of.
    pub(super) fn fill_directory(&mut self, now: Instant) {
        if let Some(founders) = self.founders.as_ref().filter(|_| !self.machine.directory().is_formed()) {
            self.amend(now, 0, founders.clone());
        }
    }

    /// Proposes a command, and before it the decisions that wait for one.
    fn log(&mut self, now: Instant, command: &Command) -> Result<(), NotLeader> {
        self.log_decisions(now);
        self.log_alone(now, command)
    }

    fn log_alone(&mut self, now: Instant, command: &Command) -> Result<(), NotLeader> {
        parcel::propose(&mut *self.consensus, now, command.encode(), self.piece_bytes)
    }

    fn execute(&mut self, now: Instant, wall: Timestamp, Whole { first, last, payload }: Whole) {
        let executed = self.machine.execute_through(wall, first, last, payload, &mut self.slice);
        self.executed(now, executed);
        self.digest_passed();
    }

    /// Takes the digest of the state where that is due.
    fn digest_passed(&mut self) {
        let index = self.machine.executed();
        if index.0.is_multiple_of(self.digest_every) && index > self.digested {
            self.digested = index;
            let digest = self.machine.digest();
            self.own_digests.insert(index, digest);
            trim(&mut self.own_digests);
            if self.leads {
                self.output.digests.push((index, digest));
            }
        }
    }

    fn role_changed(&mut self, now: Instant, role: Role) {
        let led = std::mem::replace(&mut self.leads, role == Role::Leader);
        if led != self.leads {
            self.exchanges_begin(now);
            self.acknowledging_begins();
            self.ages = Ages::default();
        }
        if !led || self.leads {
            return;
        }
        sometimes!("partition.leadership_lost_with_forks", !self.forks.is_empty());
        self.forks = Forks::default();
        self.machine.record_changes(false);
        sometimes!("partition.leadership_lost_with_pending", !self.pending.is_empty());
        self.ordering = 0;
        for (origin, request) in std::mem::take(&mut self.orders) {
            self.refuse_read(origin, &request);
        }
        for (id, Pending { origin, attempt, .. }) in std::mem::take(&mut self.pending) {
            let reply = Reply { id, attempt, partition: self.partition, body: ReplyBody::Lost };
            self.output.replies.push((origin, reply));
        }
        for (origin, request) in std::mem::take(&mut self.arriving_reads) {
            self.refuse_read(origin, &request);
        }
    }

    /// One barrier serves every read that has come since the last.
    fn ask_for_barrier(&mut self, now: Instant) {
        if self.arriving_reads.is_empty() {
            return;
        }
        let reads = std::mem::take(&mut self.arriving_reads);
        let token = self.next_token;
        self.next_token += 1;
        match self.consensus.read_barrier(now, token) {
            Ok(()) => {
                self.barriers.insert(token, reads);
            }
            Err(NotLeader { .. }) => {
                for (origin, request) in reads {
                    self.refuse_read(origin, &request);
                }
            }
        }
    }

    fn run_proved_reads(&mut self, wall: Timestamp) {
        let half_done = planted!(230) && self.machine.is_under_way();
        if self.machine.stands() && !planted!(102) && !half_done {
            return;
        }
        // Planted 102: the command at which it stands counts as executed.
        let executed = if planted!(102) || half_done { self.machine.reached() } else { self.machine.executed() };
        while let Some(first) = self.proved_reads.first_entry() {
            if *first.key() > executed {
                sometimes!("partition.read_waits_for_execution");
                break;
            }
            for (origin, request) in first.remove() {
                self.run_read(wall, origin, &request);
            }
        }
    }

    fn run_read(&mut self, wall: Timestamp, origin: Origin, request: &Request) {
        let body = match &request.body {
            RequestBody::Query(batch) => self.machine.query(wall, batch, &mut self.rng),
            RequestBody::Look { .. } => {
                if self.look(origin, request) {
                    return;
                }
                sometimes!("partition.cut_lost");
                ReplyBody::Done(Outcome::ForkLost)
            }
            RequestBody::Step(step) => self.make_fork(request, step),
            RequestBody::Validate(list) => self.validate(request, list),
            RequestBody::AskToken { key } => {
                let spent = self.machine.spent(key);
                let asked = if spent.is_some() { self.machine.asking().most() } else { Asked::default() };
                let body = ReplyBody::Done(Outcome::Token(spent));
                return self.acknowledge(asked, (origin, request.id, request.attempt), body);
            }
            RequestBody::ReadCatalog { have } => {
                let catalog = self.machine.catalog();
                ReplyBody::Done(Outcome::Catalog((catalog.version != *have).then(|| Arc::clone(catalog))))
            }
            _ => ReplyBody::Stale,
        };
        self.answer(origin, request, body);
    }

    fn refuse_read(&mut self, origin: Origin, request: &Request) {
        let leader = self.consensus.status().leader;
        self.answer(origin, request, ReplyBody::NotLeader { leader });
    }

    fn answer(&mut self, origin: Origin, request: &Request, body: ReplyBody) {
        self.reply(origin, request.id, request.attempt, body);
    }
}

/// The logged form of a request; `None` for reads.
fn command_body(body: &RequestBody) -> Option<CommandBody> {
    Some(match body {
        RequestBody::Execute(batch) => CommandBody::Execute {
            catalog_version: batch.catalog_version,
            statements: batch.statements.clone(),
            settings: batch.settings.clone(),
        },
        RequestBody::RegisterGateway { node, worker, incarnation } => {
            CommandBody::RegisterGateway { node: *node, worker: *worker, incarnation: *incarnation }
        }
        RequestBody::Commit(commitment) => CommandBody::Commit(Arc::clone(commitment)),
        RequestBody::Order { participants, body } => {
            CommandBody::Order { participants: participants.clone(), body: Arc::clone(body) }
        }
        RequestBody::Reserve { catalog_version, sequence, count } => {
            CommandBody::Reserve { catalog_version: *catalog_version, sequence: *sequence, count: *count }
        }
        RequestBody::Amend(amendment) => CommandBody::Amend(Arc::clone(amendment)),
        RequestBody::Query(_)
        | RequestBody::Collect { .. }
        | RequestBody::Validate(_)
        | RequestBody::ReadCatalog { .. }
        | RequestBody::AskToken { .. }
        | RequestBody::Step(_)
        | RequestBody::Look { .. }
        | RequestBody::LetGo { .. }
        | RequestBody::Abandon { .. } => return None,
    })
}

fn trim(digests: &mut BTreeMap<LogIndex, u128>) {
    while digests.len() > REMEMBERED_DIGESTS {
        digests.pop_first();
    }
}
