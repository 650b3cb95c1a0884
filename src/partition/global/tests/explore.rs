//! Every schedule of a small world: two data partitions and the cluster partition, a few requests, messages that are lost, leaders
//! that die with the tail of their log. The machines are the product's own; stateright walks over the schedules (the models
//! of which these are the continuation are described in the design's protocol rules, E1).
//!
//! A state is the schedule that leads to it, told apart by what it has led to: machines are not cloned but made again, and a
//! leader that dies is followed by one that has executed the committed log from its beginning, as a follower or a
//! recovering node does. Checked in every state: what clients were answered has an order that respects real time; and where
//! nothing more can happen, everybody has been answered.

use super::{Script, Scripted};
use crate::consensus::{Committed, Payload, ReadState, Ready, Role};
use crate::partition::global::{Exchange, GlobalBody, Placed};
use crate::partition::message::{Batch, Outcome, Reply, ReplyBody, Request, RequestBody, Settings, Statement};
use crate::partition::{KeepingConfig, Origin, Replica, ReplicaConfig, StateMachine};
use crate::sql;
use crate::types::random::SeedableRng;
use crate::types::{
    CatalogVersion, Duration, Instant, LogIndex, NodeId, PartitionId, RequestId, Rng, Sequence, SessionId, Timestamp,
    Value, WorkerId,
};
use bytes::Bytes;
use stateright::{Checker, Model, Property};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock};
use xxhash_rust::xxh3::xxh3_128;

const PARTITIONS: u32 = 2;
const ORIGIN: Origin = Origin { node: NodeId(1), worker: WorkerId(0) };
/// Session of the requests that make the table.
const SETUP: u64 = 100;
/// What a request that is begun anew is numbered by.
const AGAIN: u64 = 1000;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// One more in both partitions.
    AddBoth,
    /// The same, refused where the first is not below the limit.
    AddBothBelow(i64),
    /// One more in the first, a command of that partition alone.
    AddFirst,
    /// The same in the second.
    AddSecond,
    /// Both, in one command.
    ReadBoth,
    /// The second, by a read of that partition alone.
    ReadSecond,
}

/// What a client was answered: what it read, or whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
    Read(Option<i64>, Option<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Ask(usize),
    Commit(usize),
    Deliver(usize),
    Drop(usize),
    /// The leader of a group dies; its uncommitted tail is lost.
    Fail(usize),
    /// Time passes where nothing else happens.
    Tick(usize),
}

/// What the clients ask, and how much goes wrong.
struct Scope {
    asks: &'static [Ask],
    drops: usize,
    failures: usize,
}

struct Group {
    log: Vec<Bytes>,
    tail: Vec<Bytes>,
    replica: Replica,
    script: Arc<Mutex<Script>>,
    fed: usize,
}

struct World {
    groups: Vec<Group>,
    network: Vec<(PartitionId, Exchange)>,
    now: Instant,
    catalog: CatalogVersion,
    /// Of each request: the parts that have come, by partition; asked when; answered when and what.
    clients: Vec<Client>,
    /// Clients whose read has to be begun anew.
    lost: Vec<usize>,
    moment: u32,
    drops: usize,
    failures: usize,
}

#[derive(Default)]
struct Client {
    asked: Option<u32>,
    /// How often a read was begun anew: its rows died with a leader.
    again: u64,
    collecting: Option<(crate::types::GlobalNumber, BTreeMap<PartitionId, Outcome>)>,
    answered: Option<(u32, Answer)>,
}

/// The partitions of the two rows, and their keys.
fn keys() -> [(i32, PartitionId); 2] {
    let of = |partition| (0..).find(|key| sql::partition_of(&[Value::Int4(*key)], PARTITIONS) == partition);
    [1, 2].map(|partition| (of(PartitionId(partition)).expect("a key of each"), PartitionId(partition)))
}

fn statement(text: String) -> Statement {
    Statement { text: text.into(), parameter_types: vec![], parameters: vec![], max_rows: 0 }
}

fn placed(text: String, at: PartitionId) -> Placed {
    Placed { statement: statement(text), at: vec![at], gathers: false, settles: false }
}

/// The logs after the table has been made.
fn prepared() -> &'static (Vec<Vec<Bytes>>, CatalogVersion) {
    static PREPARED: OnceLock<(Vec<Vec<Bytes>>, CatalogVersion)> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let mut world = World::over(&vec![Vec::new(); PARTITIONS as usize + 1], CatalogVersion(0), 0);
        let participants: Vec<_> = (0..=PARTITIONS).map(PartitionId).collect();
        let text = "CREATE TABLE t (id int PRIMARY KEY, n bigint CHECK (n < 2))".into();
        let body = Arc::new(GlobalBody::definition(text, Arc::default(), CatalogVersion(0)));
        world.request(0, SETUP, RequestBody::Order { participants, body });
        world.settle(&Scope { asks: &[], drops: 0, failures: 0 });
        world.catalog = world.groups[0].replica.machine().catalog().version;
        for (number, (key, partition)) in (1..).zip(keys()) {
            let text = format!("INSERT INTO t VALUES ({key}, 0)");
            let body = world.batch(&text);
            world.request(partition.0 as usize, SETUP + number, RequestBody::Execute(body));
        }
        world.settle(&Scope { asks: &[], drops: 0, failures: 0 });
        (world.groups.iter().map(|group| group.log.clone()).collect(), world.catalog)
    })
}

impl World {
    fn new(scope: &Scope) -> Self {
        let (logs, catalog) = prepared();
        let mut world = Self::over(logs, *catalog, scope.asks.len());
        (world.drops, world.failures) = (scope.drops, scope.failures);
        world
    }

    fn over(logs: &[Vec<Bytes>], catalog: CatalogVersion, clients: usize) -> Self {
        let groups = (0..).zip(logs).map(|(partition, log)| Group::over(PartitionId(partition), log)).collect();
        let clients = (0..clients).map(|_| Client::default()).collect();
        let now = Instant(1_000_000_000);
        let mut world = Self {
            groups,
            network: Vec::new(),
            now,
            catalog,
            clients,
            lost: Vec::new(),
            moment: 0,
            drops: 0,
            failures: 0,
        };
        for group in 0..world.groups.len() {
            world.feed(group);
        }
        world.network.clear();
        world
    }

    fn batch(&self, text: &str) -> Batch {
        let settings = Arc::new(Settings::default());
        let statements = vec![statement(text.to_owned())];
        Batch { catalog_version: self.catalog, statements, settings, wall: Timestamp(1) }
    }

    /// What a client's request is known by: each new beginning is another request.
    fn session(&self, client: usize) -> u64 {
        client as u64 + AGAIN * self.clients[client].again
    }

    fn request(&mut self, group: usize, session: u64, body: RequestBody) {
        let id = RequestId { session: SessionId { gateway: 1, counter: session }, sequence: Sequence(1) };
        let request = Request { id, acked_below: Sequence(1), attempt: 1, body };
        self.groups[group].replica.request(self.now, Timestamp(1), ORIGIN, request);
        self.pump(group);
    }

    /// A client sends what it wants to know now: at first, and again where a leader has died.
    fn send(&mut self, scope: &Scope, client: usize) {
        let [(first, at_first), (second, at_second)] = keys();
        if let Some((number, parts)) = &self.clients[client].collecting {
            let (number, missing) = (*number, [at_first, at_second].into_iter().filter(|at| !parts.contains_key(at)));
            for at in missing.collect::<Vec<_>>() {
                self.request(at.0 as usize, self.session(client), RequestBody::Collect { number });
            }
            return;
        }
        let add = |key: i32| format!("UPDATE t SET n = n + 1 WHERE id = {key}");
        let read = |key: i32| format!("SELECT n FROM t WHERE id = {key}");
        let statements = match scope.asks[client] {
            Ask::AddBoth => vec![placed(add(first), at_first), placed(add(second), at_second)],
            Ask::AddBothBelow(_) => vec![placed(add(first), at_first), placed(add(second), at_second)],
            Ask::ReadBoth => vec![placed(read(first), at_first), placed(read(second), at_second)],
            Ask::AddFirst => {
                let batch = self.batch(&add(first));
                return self.request(at_first.0 as usize, client as u64, RequestBody::Execute(batch));
            }
            Ask::AddSecond => {
                let batch = self.batch(&add(second));
                return self.request(at_second.0 as usize, client as u64, RequestBody::Execute(batch));
            }
            Ask::ReadSecond => {
                let batch = self.batch(&read(second));
                return self.request(at_second.0 as usize, client as u64, RequestBody::Query(batch));
            }
        };
        let (settings, partitions) = (Arc::new(Settings::default()), PARTITIONS);
        let catalog_version = self.catalog;
        let body = if scope.asks[client] == Ask::ReadBoth {
            GlobalBody::Read { catalog_version, partitions, statements, settings }
        } else {
            GlobalBody::Execute { catalog_version, partitions, statements, settings, token: None }
        };
        let participants = vec![at_first, at_second];
        self.request(0, self.session(client), RequestBody::Order { participants, body: Arc::new(body) });
    }

    fn feed(&mut self, group: usize) {
        let at = &mut self.groups[group];
        while let Some(entry) = at.log.get(at.fed) {
            at.fed += 1;
            let entry = Committed { index: LogIndex(at.fed as u64), payload: Payload::Command(entry.clone()) };
            let ready = Ready { committed: vec![entry], ..Ready::default() };
            at.script.lock().unwrap().ready.push_back(ready);
        }
        self.pump(group);
    }

    fn pump(&mut self, group: usize) {
        let at = &mut self.groups[group];
        at.replica.begin_turn();
        loop {
            while at.replica.ready(self.now, Timestamp(1)).is_some() {}
            let mut script = at.script.lock().unwrap();
            let barriers = std::mem::take(&mut script.barriers);
            if barriers.is_empty() {
                break;
            }
            let index = LogIndex(at.fed as u64);
            let read_states = barriers.into_iter().map(|token| ReadState { token, index }).collect();
            script.ready.push_back(Ready { read_states, ..Ready::default() });
        }
        at.tail.append(&mut at.script.lock().unwrap().proposals);
        let output = at.replica.take_output();
        self.network.extend(output.exchanges);
        for (_, reply) in output.replies {
            self.replied(PartitionId(group as u32), reply);
        }
    }

    fn replied(&mut self, from: PartitionId, reply: Reply) {
        let (number, again) = ((reply.id.session.counter % AGAIN) as usize, reply.id.session.counter / AGAIN);
        let Some(client) = self.clients.get_mut(number).filter(|client| client.answered.is_none()) else { return };
        if client.again != again {
            return;
        }
        self.moment += 1;
        let answer = match reply.body {
            ReplyBody::Done(Outcome::Ordered { number: place, .. }) => {
                if client.collecting.is_none() {
                    client.collecting = Some((place, BTreeMap::new()));
                    for (_, at) in keys() {
                        let session = self.session(number);
                        self.request(at.0 as usize, session, RequestBody::Collect { number: place });
                    }
                }
                return;
            }
            ReplyBody::Done(Outcome::ResultNotKept) => {
                client.again += 1;
                client.collecting = None;
                self.lost.push(number);
                return;
            }
            ReplyBody::Done(outcome @ Outcome::Global(_)) => {
                let Some((_, parts)) = &mut client.collecting else { return };
                parts.insert(from, outcome);
                let [Some(first), Some(second)] = keys().map(|(_, at)| parts.get(&at)) else { return };
                let (Outcome::Global(first), Outcome::Global(second)) = (first, second) else { return };
                assert_eq!(first.committed, second.committed, "two decisions");
                if first.committed {
                    let value = |rows: &[crate::sql::StatementResult], at: usize| number_in(&rows[at]);
                    read_or_done(value(&first.results, 0), value(&second.results, 1))
                } else {
                    Answer::Refused
                }
            }
            ReplyBody::Done(Outcome::Results(results)) => read_or_done(None, number_in(&results[0])),
            ReplyBody::Done(Outcome::Error { .. }) => Answer::Refused,
            _ => return,
        };
        let moment = self.moment;
        self.clients[number].answered = Some((moment, answer));
    }

    fn step(&mut self, scope: &Scope, step: Step) {
        self.moment += 1;
        match step {
            Step::Ask(client) => {
                self.clients[client].asked = Some(self.moment);
                self.send(scope, client);
            }
            Step::Commit(group) => {
                let at = &mut self.groups[group];
                let entry = at.tail.remove(0);
                at.log.push(entry);
                self.feed(group);
            }
            Step::Deliver(message) => {
                let (to, exchange) = self.network.remove(message);
                let group = to.0 as usize;
                let passed_on = self.groups[group].replica.exchange(self.now, exchange);
                assert!(passed_on.is_none(), "a leader takes everything");
                self.pump(group);
            }
            Step::Drop(message) => {
                self.drops -= 1;
                self.network.remove(message);
            }
            Step::Fail(group) => {
                self.failures -= 1;
                let partition = PartitionId(group as u32);
                let log = std::mem::take(&mut self.groups[group].log);
                self.groups[group] = Group::over(partition, &log);
                self.feed(group);
                self.ask_again(scope);
            }
            Step::Tick(group) => {
                self.now = self.now + Duration::from_millis(120);
                self.groups[group].replica.handle_timeout(self.now);
                self.pump(group);
            }
        }
        for client in std::mem::take(&mut self.lost) {
            self.send(scope, client);
        }
        // What is said twice is no more than what is said once.
        let mut said: Vec<_> = std::mem::take(&mut self.network);
        said.retain(|(_, exchange)| !matches!(exchange, Exchange::Progress { .. } | Exchange::Forget { .. }));
        said.sort_by_cached_key(|message| format!("{message:?}"));
        said.dedup();
        self.network = said;
    }

    fn ask_again(&mut self, scope: &Scope) {
        for client in 0..self.clients.len() {
            if self.clients[client].asked.is_some() && self.clients[client].answered.is_none() {
                self.send(scope, client);
            }
        }
    }

    fn steps(&self, scope: &Scope) -> Vec<Step> {
        let mut steps = Vec::new();
        let first = (0..scope.asks.len()).find(|client| self.clients[*client].asked.is_none());
        steps.extend(first.map(Step::Ask));
        let tails = (0..self.groups.len()).filter(|group| !self.groups[*group].tail.is_empty());
        steps.extend(tails.map(Step::Commit));
        steps.extend((0..self.network.len()).map(Step::Deliver));
        let unanswered = self.clients.iter().any(|client| client.asked.is_some() && client.answered.is_none());
        if unanswered {
            if self.drops > 0 {
                steps.extend((0..self.network.len()).map(Step::Drop));
            }
            if self.failures > 0 {
                steps.extend((0..self.groups.len()).map(Step::Fail));
            }
            if steps.iter().all(|step| matches!(step, Step::Fail(_) | Step::Ask(_))) {
                steps.extend((0..self.groups.len()).map(Step::Tick));
            }
        }
        steps
    }

    /// Nothing more goes wrong, and everything that goes on comes to its end.
    fn settle(&mut self, scope: &Scope) {
        for _ in 0..8 {
            self.ask_again(scope);
            for group in 0..self.groups.len() {
                let at = &mut self.groups[group];
                at.log.append(&mut at.tail);
                self.feed(group);
            }
            for (to, exchange) in std::mem::take(&mut self.network) {
                self.groups[to.0 as usize].replica.exchange(self.now, exchange);
                self.pump(to.0 as usize);
            }
            self.now = self.now + Duration::from_millis(120);
            for group in 0..self.groups.len() {
                self.groups[group].replica.handle_timeout(self.now);
                self.pump(group);
            }
        }
    }

    /// Everything that what comes next depends on, and what was answered when (as an order).
    fn fingerprint(&self) -> u128 {
        let mut bytes = format!("{:?} {} {}", self.network, self.drops, self.failures);
        for group in &self.groups {
            let machine = group.replica.machine();
            let standing = machine.standing().map(|standing| (standing.global.number, standing.vote.clone()));
            bytes += &format!(
                "{:?} {:?} {:?} {standing:?} {}",
                group.log,
                group.tail,
                group.replica.state_digest(),
                group.replica.volatile_for_test()
            );
        }
        let mut moments: Vec<u32> = self
            .clients
            .iter()
            .flat_map(|client| client.asked.into_iter().chain(client.answered.map(|a| a.0)))
            .collect();
        moments.sort_unstable();
        let rank = |moment: u32| moments.binary_search(&moment).unwrap_or_default();
        for client in &self.clients {
            let answered = client.answered.map(|(moment, answer)| (rank(moment), answer));
            bytes += &format!("{:?} {:?} {answered:?}", client.asked.map(rank), (client.again, &client.collecting));
        }
        xxh3_128(bytes.as_bytes())
    }

    /// Is there an order of what was asked that gives these answers, and in which nothing that was answered comes after what was
    /// asked later? What is not answered may have been done, or not.
    fn is_serializable(&self, scope: &Scope) -> bool {
        let open: Vec<usize> = (0..self.clients.len()).filter(|client| self.clients[*client].asked.is_some()).collect();
        place(self, scope, &open, (0, 0))
    }
}

/// Tries every client that may be next.
fn place(world: &World, scope: &Scope, left: &[usize], state: (i64, i64)) -> bool {
    if left.iter().all(|client| world.clients[*client].answered.is_none()) {
        return true;
    }
    left.iter().any(|next| {
        let asked = world.clients[*next].asked;
        let overtakes = left.iter().any(|other| {
            let answered = world.clients[*other].answered.map(|(moment, _)| moment);
            other != next && answered.is_some_and(|answered| asked.is_some_and(|asked| answered < asked))
        });
        let (after, answer) = done(scope.asks[*next], state);
        let fits = world.clients[*next].answered.is_none_or(|(_, given)| given == answer);
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != next).collect();
        !overtakes && fits && place(world, scope, &rest, after)
    })
}

/// What a request does to the two numbers, which stay below two.
fn done(ask: Ask, (first, second): (i64, i64)) -> ((i64, i64), Answer) {
    match ask {
        Ask::AddBoth | Ask::AddBothBelow(_) if first >= 1 || second >= 1 => ((first, second), Answer::Refused),
        Ask::AddBoth | Ask::AddBothBelow(_) => ((first + 1, second + 1), Answer::Done),
        Ask::AddSecond if second >= 1 => ((first, second), Answer::Refused),
        Ask::AddSecond => ((first, second + 1), Answer::Done),
        Ask::AddFirst if first >= 1 => ((first, second), Answer::Refused),
        Ask::AddFirst => ((first + 1, second), Answer::Done),
        Ask::ReadBoth => ((first, second), Answer::Read(Some(first), Some(second))),
        Ask::ReadSecond => ((first, second), Answer::Read(None, Some(second))),
    }
}

fn number_in(result: &sql::StatementResult) -> Option<i64> {
    match result.rows.first()?.first()? {
        Value::Int8(number) => Some(*number),
        _ => None,
    }
}

fn read_or_done(first: Option<i64>, second: Option<i64>) -> Answer {
    if first.is_none() && second.is_none() { Answer::Done } else { Answer::Read(first, second) }
}

impl Group {
    /// A leader with this committed log, which it has yet to be fed.
    fn over(partition: PartitionId, log: &[Bytes]) -> Self {
        let script = Arc::new(Mutex::new(Script { leads: true, ..Script::default() }));
        let keeping = KeepingConfig {
            checkpoint_every: u64::MAX,
            log_keep_entries: 1,
            chunk_bytes: 1000,
            patience: Duration::from_millis(100),
        };
        let config = ReplicaConfig {
            founders: None,
            statements_in_a_turn: 128,
            max_pending: 100,
            piece_bytes: 1 << 20,
            digest_every: 1000,
            exchange_every: Duration::from_millis(100),
            token_lifetime: Duration::from_secs(3600),
            in_sync_timeout: Duration::from_secs(5),
            rng: Rng::seed_from_u64(u64::from(partition.0)),
            keeping,
        };
        let replica = Replica::new(Box::new(Scripted(Arc::clone(&script))), StateMachine::new(partition), config);
        // It executes the committed log before it leads, as whoever is elected has.
        for (index, entry) in (1..).zip(log) {
            let entry = Committed { index: LogIndex(index), payload: Payload::Command(entry.clone()) };
            script.lock().unwrap().ready.push_back(Ready { committed: vec![entry], ..Ready::default() });
        }
        script.lock().unwrap().ready.push_back(Ready { role: Some(Role::Leader), ..Ready::default() });
        Self { log: log.to_vec(), tail: Vec::new(), replica, script, fed: log.len() }
    }
}

/// A schedule and what it has led to.
#[derive(Clone, Debug)]
struct State {
    schedule: Vec<Step>,
    fingerprint: u128,
    next: Vec<Step>,
    serializable: bool,
    answered: bool,
    /// Somebody is never answered, though nothing more goes wrong.
    stuck: bool,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

impl Scope {
    fn run(&self, schedule: Vec<Step>) -> State {
        let mut world = World::new(self);
        for step in &schedule {
            world.step(self, *step);
        }
        let (fingerprint, next) = (world.fingerprint(), world.steps(self));
        let answered = world.clients.iter().all(|client| client.answered.is_some());
        let serializable = world.is_serializable(self);
        world.settle(self);
        let asked = |client: &&Client| client.asked.is_some();
        let stuck = world.clients.iter().filter(asked).any(|client| client.answered.is_none());
        let serializable = serializable && world.is_serializable(self);
        State { fingerprint, next, serializable, answered, stuck, schedule }
    }
}

impl Model for Scope {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.run(Vec::new())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.extend(&state.next);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut schedule = state.schedule.clone();
        schedule.push(step);
        Some(self.run(schedule))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("strictly serializable", |_, state: &State| state.serializable),
            Property::always("never stuck", |_, state: &State| !state.stuck),
            Property::sometimes("all answered", |_, state: &State| state.answered),
        ]
    }
}

fn explore(name: &str, scope: Scope) {
    let checker = scope.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} unique, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
    assert!(checker.is_done(), "explored completely");
}

#[test]
fn every_schedule_of_a_write_and_a_failure_has_an_order() {
    explore("a write over both, one leader dies", Scope { asks: &[Ask::AddBoth], drops: 0, failures: 1 });
    explore("a write over both, a message is lost", Scope { asks: &[Ask::AddBoth], drops: 1, failures: 0 });
}

#[test]
fn every_schedule_of_a_write_and_reads_has_an_order() {
    explore(
        "a write over both, a read of one",
        Scope { asks: &[Ask::AddBoth, Ask::ReadSecond], drops: 0, failures: 0 },
    );
    explore("two writes, one refuses", Scope { asks: &[Ask::AddFirst, Ask::AddBothBelow(1)], drops: 0, failures: 0 });
    explore("a write and a read of both", Scope { asks: &[Ask::AddBoth, Ask::ReadBoth], drops: 0, failures: 0 });
}

/// Clients write one partition after the other while somebody reads both: the models r3, r6 and r7.
#[test]
fn every_schedule_of_a_read_that_nobody_stands_for_has_an_order() {
    let (drops, failures) = (0, 0);
    explore(
        "a read of both, a write of each",
        Scope { asks: &[Ask::ReadBoth, Ask::AddFirst, Ask::AddSecond], drops, failures },
    );
    explore(
        "a read of both and one of the second",
        Scope { asks: &[Ask::ReadBoth, Ask::AddBoth, Ask::ReadSecond], drops, failures },
    );
    explore("two reads of both", Scope { asks: &[Ask::ReadBoth, Ask::AddFirst, Ask::ReadBoth], drops, failures });
    explore("a read of both, one leader dies", Scope { asks: &[Ask::ReadBoth, Ask::AddFirst], drops, failures: 1 });
    explore("a read of both, a message is lost", Scope { asks: &[Ask::ReadBoth, Ask::AddFirst], drops: 1, failures });
}
