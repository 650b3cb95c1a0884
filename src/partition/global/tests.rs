//! Groups over a consensus that commits, forgets its tail and changes its leader as a schedule says, with a network between them
//! that loses, doubles and reorders: whatever the schedule, all participants come to the same decisions, in the same order,
//! and no money is lost.

mod explore;

use super::{Exchange, GlobalBody, Placed, Vote};
use crate::consensus::{
    Change, Committed, Consensus, Floor, FollowerStatus, Membership, NotLeader, Payload, Ready, Refused, Role, Status,
};
use crate::partition::message::{Action, Outcome, Piece, ReplyBody, Request, RequestBody, Settings, Statement, Step};
use crate::partition::{KeepingConfig, Origin, Replica, ReplicaConfig, StateMachine};
use crate::sql;
use crate::types::random::{SeedableRng, below};
use crate::types::{
    CatalogVersion, Duration, Era, GlobalNumber, Instant, LogIndex, NodeId, PartitionId, RequestId, Rng, Sequence,
    SessionId, Timestamp, Value, WorkerId,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

const ORIGIN: Origin = Origin { node: NodeId(1), worker: WorkerId(0) };

#[derive(Default)]
struct Script {
    leads: bool,
    /// It leads, and can propose nothing.
    hands_over: bool,
    proposals: Vec<Bytes>,
    barriers: Vec<u64>,
    ready: VecDeque<Ready>,
}

struct Scripted(Arc<Mutex<Script>>);

static NOBODY: Membership = Membership::UNKNOWN;

impl Consensus for Scripted {
    fn paused(&mut self, _: Instant, _: Duration) {}
    fn peer_gone(&mut self, _: Instant, _: crate::types::NodeId) {}
    fn transfer(&mut self, _: Instant, _: Option<NodeId>) -> Option<NodeId> {
        None
    }
    fn awaited(&self) -> Vec<NodeId> {
        Vec::new()
    }
    fn step(&mut self, _: Instant, _: NodeId, _: &[u8]) {}
    fn propose(&mut self, _: Instant, payload: Bytes) -> Result<(), NotLeader> {
        let mut script = self.0.lock().unwrap();
        if script.leads && !script.hands_over {
            script.proposals.push(payload);
            return Ok(());
        }
        Err(NotLeader { leader: None })
    }
    fn read_barrier(&mut self, _: Instant, token: u64) -> Result<(), NotLeader> {
        self.0.lock().unwrap().barriers.push(token);
        Ok(())
    }
    fn next_timeout(&self) -> Instant {
        Instant(u64::MAX)
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn ready(&mut self) -> Option<Ready> {
        self.0.lock().unwrap().ready.pop_front()
    }
    fn persisted(&mut self, _: Instant, _: u64) {}
    fn compact(&mut self, _: LogIndex) {}
    fn installed(&mut self, _: Instant, _: Floor, _: Option<&Bytes>) -> bool {
        false
    }
    fn status(&self) -> Status {
        let role = if self.0.lock().unwrap().leads { Role::Leader } else { Role::Follower };
        Status {
            role,
            era: Era(1),
            leader: None,
            last: LogIndex(0),
            committed: LogIndex(0),
            floor: Floor::default(),
            lacks_state: false,
            standing: crate::consensus::Standing::Member,
            successor: None,
            configuration: 1,
            joint: false,
            settled: true,
            voter: true,
        }
    }
    fn change(&mut self, _: Instant, _: Change) -> Result<(), Refused> {
        Err(Refused::UnderWay)
    }

    fn membership(&self) -> &Membership {
        &NOBODY
    }

    fn followers(&self) -> Vec<FollowerStatus> {
        Vec::new()
    }

    fn position(&self, _: LogIndex) -> Option<Floor> {
        None
    }
    fn inspect(&self, _: LogIndex) -> Option<(Era, u64)> {
        None
    }
}

struct Member {
    replica: Replica,
    script: Arc<Mutex<Script>>,
    /// Entries of the committed log that it has been given.
    fed: usize,
}

struct Group {
    log: Vec<Bytes>,
    tail: Vec<Bytes>,
    members: Vec<Member>,
    leader: usize,
}

struct World {
    partitions: u32,
    groups: Vec<Group>,
    network: Vec<(PartitionId, Exchange)>,
    now: Instant,
    sequence: u64,
    catalog: CatalogVersion,
    /// What each command came to, by whoever was first to say.
    decisions: BTreeMap<GlobalNumber, bool>,
    ordered: BTreeMap<RequestId, GlobalNumber>,
    /// Cuts, what each partition shows of them, and the requests that look at them.
    cuts: BTreeMap<RequestId, BTreeMap<PartitionId, i64>>,
    looks: BTreeMap<RequestId, RequestId>,
    /// More reads and more leaders that die.
    reads_often: bool,
    /// Reads of all partitions: what each has shown; `None`: nothing any more.
    reads: BTreeMap<RequestId, BTreeMap<PartitionId, Option<i64>>>,
    rng: Rng,
}

fn id(sequence: u64) -> RequestId {
    RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(sequence) }
}

impl World {
    fn new(partitions: u32, members: usize, seed: u64) -> Self {
        let group = |partition: u32| {
            let member = |number: usize| {
                let script = Arc::new(Mutex::new(Script { leads: number == 0, ..Script::default() }));
                let keeping = KeepingConfig {
                    checkpoint_every: u64::MAX,
                    log_keep_entries: 1,
                    chunk_bytes: 1000,
                    patience: Duration::from_millis(100),
                };
                let config = ReplicaConfig {
                    founders: None,
                    // So commands of several statements are left in the middle, and gone on with.
                    statements_in_a_turn: 1,
                    max_pending: 1000,
                    // Many commands are cut.
                    piece_bytes: 100,
                    digest_every: 1,
                    exchange_every: Duration::from_millis(100),
                    token_lifetime: Duration::from_secs(3600),
                    in_sync_timeout: Duration::from_secs(5),
                    rng: Rng::seed_from_u64(u64::from(partition)),
                    keeping,
                };
                let machine = StateMachine::new(PartitionId(partition));
                let replica = Replica::new(Box::new(Scripted(Arc::clone(&script))), machine, config);
                if number == 0 {
                    script.lock().unwrap().ready.push_back(Ready { role: Some(Role::Leader), ..Ready::default() });
                }
                Member { replica, script, fed: 0 }
            };
            Group { log: Vec::new(), tail: Vec::new(), members: (0..members).map(member).collect(), leader: 0 }
        };
        let mut world = Self {
            partitions,
            groups: (0..=partitions).map(group).collect(),
            network: Vec::new(),
            now: Instant(1_000_000_000),
            sequence: 0,
            catalog: CatalogVersion(0),
            decisions: BTreeMap::new(),
            ordered: BTreeMap::new(),
            cuts: BTreeMap::new(),
            looks: BTreeMap::new(),
            reads_often: false,
            reads: BTreeMap::new(),
            rng: Rng::seed_from_u64(seed),
        };
        for group in 0..=partitions as usize {
            world.pump(group, 0);
        }
        world.define("CREATE TABLE a (id int PRIMARY KEY, n int CHECK (n >= 0))");
        for account in 0..8 {
            let partition = sql::partition_of(&[Value::Int4(account)], partitions);
            world.order(vec![placed(&format!("INSERT INTO a VALUES ({account}, 3)"), vec![partition])]);
        }
        world.heal();
        world
    }

    /// Orders, as a session does; a retry repeats the number.
    fn request(&mut self, participants: Vec<PartitionId>, body: GlobalBody) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        let body = RequestBody::Order { participants, body: Arc::new(body) };
        self.send(sequence, body);
        sequence
    }

    fn send(&mut self, sequence: u64, body: RequestBody) {
        let request = Request { id: id(sequence), acked_below: Sequence(1), attempt: 1, body };
        let (now, leader) = (self.now, self.groups[0].leader);
        self.groups[0].members[leader].replica.request(now, Timestamp(1), ORIGIN, request);
        self.pump(0, leader);
    }

    fn order(&mut self, statements: Vec<Placed>) -> u64 {
        let mut participants: Vec<PartitionId> = statements.iter().flat_map(|placed| placed.at.clone()).collect();
        participants.sort_unstable();
        participants.dedup();
        let (catalog_version, partitions) = (self.catalog, self.partitions);
        let settings = Arc::new(Settings::default());
        self.request(
            participants,
            GlobalBody::Execute { catalog_version, partitions, statements, settings, token: None },
        )
    }

    fn define(&mut self, text: &str) {
        let participants = (0..=self.partitions).map(PartitionId).collect();
        self.request(participants, GlobalBody::definition(text.into(), Arc::default(), self.catalog));
        self.heal();
        self.catalog = self.groups[0].members[0].replica.machine().catalog().version;
    }

    /// A transfer of 1 between two accounts, wherever they are.
    fn transfer(&mut self, from: i32, to: i32) -> u64 {
        self.statement(&format!(
            "UPDATE a SET n = n + CASE id WHEN {from} THEN -1 ELSE 1 END WHERE id IN ({from}, {to})"
        ))
    }

    /// The same for which each participant needs to know the rows of all others: from the richest to the poorest.
    fn levelling(&mut self) -> u64 {
        self.statement(
            "UPDATE a SET n = n + CASE WHEN id = (SELECT id FROM a ORDER BY n, id LIMIT 1) THEN 1 ELSE -1 END
             WHERE id = (SELECT id FROM a ORDER BY n, id LIMIT 1)
                OR id = (SELECT id FROM a ORDER BY n DESC, id DESC LIMIT 1)",
        )
    }

    /// The same, and then one participant refuses: what the others remember must not depend on what they heard first.
    fn levelling_beyond(&mut self) -> u64 {
        self.statement(
            "UPDATE a SET n = n - CASE WHEN id = (SELECT id FROM a ORDER BY n, id LIMIT 1) THEN 9 ELSE -9 END
             WHERE id = (SELECT id FROM a ORDER BY n, id LIMIT 1)
                OR id = (SELECT id FROM a ORDER BY n DESC, id DESC LIMIT 1)",
        )
    }

    fn statement(&mut self, text: &str) -> u64 {
        let parsed = sql::parse(text).expect("SQL");
        let catalog = Arc::clone(self.groups[0].members[0].replica.machine().catalog());
        let plan = sql::prepare(&catalog, &parsed[0], &Settings::default(), &[]).expect("a plan");
        let (at, gathers) = match plan.distribution(&[], self.partitions).expect("a place") {
            sql::Distribution::Constant => (vec![PartitionId(1)], false),
            sql::Distribution::One(partition) => (vec![partition], false),
            sql::Distribution::Several { partitions, gathers } => (partitions, gathers),
        };
        self.order(vec![Placed { gathers, ..placed(text, at) }])
    }

    /// The money that there is, in all partitions at once.
    fn read(&mut self) -> u64 {
        let at: Vec<_> = (1..=self.partitions).map(PartitionId).collect();
        let statements = vec![placed("SELECT sum(n)::bigint FROM a", at.clone())];
        let (catalog_version, partitions) = (self.catalog, self.partitions);
        let settings = Arc::new(Settings::default());
        let number = self.request(at, GlobalBody::Read { catalog_version, partitions, statements, settings });
        self.reads.insert(id(number), BTreeMap::new());
        number
    }

    /// The same, to be looked at again and again.
    fn cut(&mut self) -> u64 {
        let at = (1..=self.partitions).map(PartitionId).collect();
        let number = self.request(at, GlobalBody::Cut { catalog_version: self.catalog });
        self.cuts.insert(id(number), BTreeMap::new());
        number
    }

    /// A session looks at its cuts in one partition.
    fn look(&mut self, group: usize) {
        let cuts = self.cuts.keys().filter_map(|cut| Some((*cut, *self.ordered.get(cut)?)));
        for (cut, number) in cuts.collect::<Vec<_>>() {
            let piece = Piece {
                statement: placed("SELECT sum(n)::bigint FROM a", vec![]).statement,
                number: 0,
                partitions: 3,
                settles: 0,
            };
            let step = Step {
                transaction: 1,
                done: 0,
                shown: 0,
                began: Timestamp(1),
                seed: 1,
                catalog_version: self.catalog,
                settings: Arc::new(Settings::default()),
                actions: vec![Action::Statement(piece)],
                before: None,
            };
            self.sequence += 1;
            let body = RequestBody::Look { cut: number, step };
            let request = Request { id: id(self.sequence), acked_below: Sequence(1), attempt: 1, body };
            self.looks.insert(id(self.sequence), cut);
            let (now, leader) = (self.now, self.groups[group].leader);
            self.groups[group].members[leader].replica.request(now, Timestamp(1), ORIGIN, request);
            self.pump(group, leader);
        }
    }

    /// A partition has shown what it had at a cut: always the same, and with the others' the money that there is.
    fn looked(&mut self, cut: RequestId, partition: PartitionId, sum: i64) {
        let parts = self.cuts.entry(cut).or_default();
        assert_eq!(*parts.entry(partition).or_insert(sum), sum, "a cut does not change");
        if parts.len() == self.partitions as usize {
            assert_eq!(parts.values().sum::<i64>(), 24, "the cut {} is torn: {parts:?}", self.ordered[&cut]);
        }
    }

    /// A session asks a partition's leader what its reads have come to.
    fn collect_reads(&mut self, group: usize) {
        let partition = PartitionId(group as u32);
        if partition == PartitionId::CLUSTER {
            return;
        }
        let missing = self.reads.iter().filter(|(_, parts)| !parts.contains_key(&partition));
        let missing: Vec<_> = missing.filter_map(|(id, _)| Some((*id, *self.ordered.get(id)?))).collect();
        for (id, number) in missing {
            let body = RequestBody::Collect { number };
            let request = Request { id, acked_below: Sequence(1), attempt: 1, body };
            let (now, leader) = (self.now, self.groups[group].leader);
            self.groups[group].members[leader].replica.request(now, Timestamp(1), ORIGIN, request);
            self.pump(group, leader);
        }
    }

    /// A partition has said what it shows. Of whatever moment the read is, the money is the same.
    fn shown(&mut self, id: RequestId, partition: PartitionId, shown: Option<i64>) {
        let Some(parts) = self.reads.get_mut(&id) else { return };
        let first = *parts.entry(partition).or_insert(shown);
        assert!(
            first == shown || first.is_none() || shown.is_none(),
            "one read is shown two things: {first:?} {shown:?}"
        );
        if parts.len() == self.partitions as usize
            && let Some(parts) = parts.values().copied().collect::<Option<Vec<i64>>>()
        {
            assert_eq!(parts.iter().sum::<i64>(), 24, "{} shows a sum that never was: {parts:?}", self.ordered[&id]);
        }
    }

    fn pump(&mut self, group: usize, member: usize) {
        let at = &mut self.groups[group];
        let leads = at.leader == member;
        let member = &mut at.members[member];
        member.replica.begin_turn();
        while member.replica.ready(self.now, Timestamp(1)).is_some() {}
        while member.replica.next_timeout() == Instant(0) {
            member.replica.begin_turn();
            while member.replica.ready(self.now, Timestamp(1)).is_some() {}
        }
        let output = member.replica.take_output();
        self.network.extend(output.exchanges);
        let (mut shown, mut looked) = (Vec::new(), Vec::new());
        for (_, reply) in output.replies {
            match reply.body {
                ReplyBody::Done(Outcome::Ordered { number, .. }) => {
                    let before = self.ordered.insert(reply.id, number);
                    assert!(before.is_none_or(|before| before == number), "ordered twice");
                }
                ReplyBody::Done(Outcome::Global(outcome)) if self.reads.contains_key(&reply.id) => {
                    assert!(outcome.committed, "a read is refused: {outcome:?}");
                    let sum = match outcome.results[0].rows[0].as_slice() {
                        [Value::Int8(sum), ..] => *sum,
                        [Value::Null, ..] => 0,
                        other => panic!("not expected: {other:?}"),
                    };
                    shown.push((reply.id, reply.partition, Some(sum)));
                }
                ReplyBody::Done(Outcome::Shown { results, .. }) if self.looks.contains_key(&reply.id) => {
                    let sum = if let Value::Int8(sum) = results[0].rows[0][0] { sum } else { 0 };
                    looked.push((self.looks[&reply.id], reply.partition, sum));
                }
                ReplyBody::Done(Outcome::ResultNotKept) => shown.push((reply.id, reply.partition, None)),
                ReplyBody::Done(Outcome::Global(_) | Outcome::Results(_)) | ReplyBody::Overloaded | ReplyBody::Lost => {
                }
                ReplyBody::NotLeader { .. } | ReplyBody::Unreachable { .. } | ReplyBody::Replan { .. } => {}
                other => panic!("not expected: {other:?}"),
            }
        }
        let proposals = std::mem::take(&mut member.script.lock().unwrap().proposals);
        if leads {
            at.tail.extend(proposals);
        }
        for (id, partition, shown) in shown {
            self.shown(id, partition, shown);
        }
        for (cut, partition, sum) in looked {
            self.looked(cut, partition, sum);
        }
        self.check_decisions(group);
    }

    fn check_decisions(&mut self, group: usize) {
        for member in &self.groups[group].members {
            for (number, committed) in member.replica.machine().decisions() {
                let first = *self.decisions.entry(number).or_insert(committed);
                assert_eq!(first, committed, "two decisions on {number}");
            }
        }
    }

    fn commit(&mut self, group: usize) {
        let at = &mut self.groups[group];
        if !at.tail.is_empty() {
            let entry = at.tail.remove(0);
            at.log.push(entry);
        }
    }

    fn feed(&mut self, group: usize, member: usize) -> bool {
        let at = &mut self.groups[group];
        let to = &mut at.members[member];
        let Some(entry) = at.log.get(to.fed) else { return false };
        to.fed += 1;
        let entry = Committed { index: LogIndex(to.fed as u64), payload: Payload::Command(entry.clone()) };
        to.script.lock().unwrap().ready.push_back(Ready { committed: vec![entry], ..Ready::default() });
        self.pump(group, member);
        true
    }

    fn deliver(&mut self, message: usize) {
        let (to, exchange) = self.network.swap_remove(message);
        let group = to.0 as usize;
        let leader = self.groups[group].leader;
        let any = below(&mut self.rng, self.groups[group].members.len() as u64) as usize;
        let passed_on = self.groups[group].members[any].replica.exchange(self.now, exchange);
        self.pump(group, any);
        if let Some(exchange) = passed_on {
            let lost = self.groups[group].members[leader].replica.exchange(self.now, exchange);
            assert!(lost.is_none(), "a leader takes everything");
            self.pump(group, leader);
        }
    }

    fn tick(&mut self, group: usize) {
        self.now = self.now + Duration::from_millis(120);
        let leader = self.groups[group].leader;
        self.groups[group].members[leader].replica.handle_timeout(self.now);
        self.pump(group, leader);
    }

    /// Another member leads. Of what was proposed and not committed a part stays.
    fn change_leader(&mut self, group: usize, to: usize, kept: usize) {
        while self.feed(group, to) {}
        let at = &mut self.groups[group];
        at.tail.truncate(kept);
        let old = std::mem::replace(&mut at.leader, to);
        for (member, role) in [(old, Role::Follower), (to, Role::Leader)] {
            let mut script = at.members[member].script.lock().unwrap();
            script.leads = role == Role::Leader;
            script.proposals.clear();
            script.ready.push_back(Ready { role: Some(role), ..Ready::default() });
        }
        if old == to {
            at.members[to].script.lock().unwrap().leads = true;
        }
        self.pump(group, old);
        self.pump(group, to);
    }

    fn random_step(&mut self) {
        let group = below(&mut self.rng, self.groups.len() as u64) as usize;
        let member = below(&mut self.rng, self.groups[group].members.len() as u64) as usize;
        let message = (!self.network.is_empty()).then(|| below(&mut self.rng, self.network.len() as u64) as usize);
        match (below(&mut self.rng, 100), message) {
            (0..=29, _) => drop(self.feed(group, member)),
            (30..=49, _) => self.commit(group),
            (50..=79, Some(message)) => self.deliver(message),
            (80..=83, Some(message)) => drop(self.network.swap_remove(message)),
            (84..=86, Some(message)) => self.network.push(self.network[message].clone()),
            (87..=88, _) => self.collect_reads(group),
            (89..=90, _) => self.tick(group),
            (91, _) => {
                let kept = below(&mut self.rng, 3) as usize;
                self.change_leader(group, member, kept);
            }
            (92, _) if below(&mut self.rng, 2) == 0 => drop(self.levelling_beyond()),
            (92, _) => drop(self.read()),
            (94, _) if self.reads_often && self.cuts.len() < 5 => drop(self.cut()),
            (95, _) if self.reads_often && below(&mut self.rng, 2) == 0 => drop(self.read()),
            (95, Some(_)) if self.reads_often && group > 0 => self.look(group),
            (96, _) if self.reads_often => {
                let kept = below(&mut self.rng, 3) as usize;
                self.change_leader(group, member, kept);
            }
            (93, _) => drop(self.levelling()),
            (94..=99, _) => {
                let (from, to) = (below(&mut self.rng, 8) as i32, below(&mut self.rng, 8) as i32);
                if from != to {
                    self.transfer(from, to);
                }
            }
            _ => {}
        }
    }

    /// No more faults: everything comes to its end.
    fn heal(&mut self) {
        for _ in 0..60 {
            for group in 0..self.groups.len() {
                while !self.groups[group].tail.is_empty() {
                    self.commit(group);
                }
                for member in 0..self.groups[group].members.len() {
                    while self.feed(group, member) {}
                }
            }
            while !self.network.is_empty() {
                self.deliver(0);
            }
            for group in 0..self.groups.len() {
                self.tick(group);
            }
        }
    }

    /// What is committed is executed, and nothing is said.
    fn feed_all(&mut self) {
        for group in 0..self.groups.len() {
            while !self.groups[group].tail.is_empty() {
                self.commit(group);
            }
            let leader = self.groups[group].leader;
            while self.feed(group, leader) {}
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (number, group) in self.groups.iter().enumerate() {
            for (at, member) in group.members.iter().enumerate() {
                let machine = member.replica.machine();
                let standing = machine.standing().map(|standing| {
                    (standing.global.number, standing.global.participants.clone(), standing.vote.clone())
                });
                let (received, settled) = (machine.received(), machine.settled());
                let leads = group.leader == at;
                text += &format!(
                    "p{number} member {at} leads {leads}: fed {} of {}, received {received}, settled {settled}, {} stands at {standing:?}\n",
                    member.fed,
                    group.log.len(),
                    member.replica.volatile_for_test()
                );
            }
        }
        text
    }

    /// Everything that was ordered is decided everywhere, replicas agree, the money is there.
    fn check(&mut self) {
        self.heal();
        for group in 0..self.groups.len() {
            self.collect_reads(group);
        }
        let unanswered = self
            .reads
            .iter()
            .find(|(id, parts)| self.ordered.contains_key(*id) && parts.len() < self.partitions as usize);
        assert!(unanswered.is_none(), "{unanswered:?} is never answered: {}", self.describe());
        let mut total = 0;
        for group in &self.groups {
            let states: Vec<_> = group.members.iter().map(|member| member.replica.state_digest()).collect();
            assert!(states.iter().all(|state| *state == states[0]), "replicas differ: {states:?}");
            let member = &group.members[0];
            let machine = member.replica.machine();
            assert!(machine.standing().is_none() && machine.open().is_empty(), "{}", self.describe());
            assert_eq!(machine.executed().0 as usize, group.log.len());
            if machine.partition() != PartitionId::CLUSTER {
                total += machine.sum_for_test("SELECT sum(n) FROM a");
            }
            assert_eq!(machine.remembered_for_test(), 0, "{:?} has not forgotten", machine.partition());
        }
        assert_eq!(total, 24);
        assert!(self.ordered.values().all(|number| self.decisions.contains_key(number)));
    }
}

fn placed(text: &str, at: Vec<PartitionId>) -> Placed {
    let statement = Statement { text: text.into(), parameter_types: vec![], parameters: vec![], max_rows: 0 };
    Placed { statement, at, gathers: false, settles: false }
}

#[test]
fn a_transfer_between_partitions_comes_to_its_end() {
    let mut world = World::new(3, 2, 1);
    for account in 0..7 {
        world.transfer(account, account + 1);
    }
    world.check();
    assert_eq!(world.decisions.values().filter(|committed| !**committed).count(), 0);
}

#[test]
fn what_one_participant_refuses_none_does() {
    let mut world = World::new(3, 2, 1);
    let numbers: Vec<u64> = (0..5).map(|_| world.transfer(0, 1)).collect();
    world.check();
    let came_to: Vec<bool> = numbers.iter().map(|number| world.decisions[&world.ordered[&id(*number)]]).collect();
    assert_eq!(came_to, [true, true, true, false, false], "three is all that there is");
}

#[test]
fn schedules_of_loss_and_failover_lose_no_money() {
    for seed in 0..30 {
        let mut world = World::new(3, 2, seed);
        for _ in 0..400 {
            world.random_step();
        }
        world.check();
    }
}

#[test]
fn a_read_is_of_one_moment_and_nobody_stands_for_it() {
    let mut world = World::new(3, 2, 1);
    let first = world.read();
    world.transfer(0, 1);
    world.feed_all();
    assert!(world.groups[1..].iter().all(|group| !group.members[group.leader].replica.machine().stands()));
    world.transfer(1, 2);
    let second = world.read();
    world.check();
    for read in [first, second] {
        let parts = &world.reads[&id(read)];
        assert!(parts.values().all(Option::is_some), "no leader has died: {parts:?}");
    }
}

#[test]
fn what_lies_behind_a_read_is_not_told_before_all_have_come_to_it() {
    let mut world = World::new(2, 1, 1);
    world.read();
    // The first partition comes to it, the second does not.
    world.commit(0);
    world.feed(0, 0);
    let to_first =
        |(to, exchange): &(PartitionId, Exchange)| *to == PartitionId(1) && matches!(exchange, Exchange::Deliver(_));
    let at = world.network.iter().position(to_first).expect("it is delivered");
    world.deliver(at);
    world.commit(1);
    world.feed(1, 0);
    let machine = world.groups[1].members[0].replica.machine();
    assert_eq!((machine.open().len(), machine.stands()), (1, false), "it has gone on");
    let account = (0..).find(|id| sql::partition_of(&[Value::Int4(*id)], 2) == PartitionId(1)).unwrap();
    let answered = |world: &mut World| {
        let statement = Statement {
            text: format!("SELECT n FROM a WHERE id = {account}").into(),
            parameter_types: vec![],
            parameters: vec![],
            max_rows: 0,
        };
        let batch = crate::partition::message::Batch {
            catalog_version: world.catalog,
            statements: vec![statement],
            settings: Arc::new(Settings::default()),
            wall: Timestamp(1),
        };
        let request = Request { id: id(1_000), acked_below: Sequence(1), attempt: 1, body: RequestBody::Query(batch) };
        let replica = &mut world.groups[1].members[0].replica;
        replica.request(world.now, Timestamp(1), ORIGIN, request);
        replica.begin_turn();
        while replica.ready(world.now, Timestamp(1)).is_some() {}
        let mut script = world.groups[1].members[0].script.lock().unwrap();
        let index = LogIndex(world.groups[1].members[0].fed as u64);
        let read_states = std::mem::take(&mut script.barriers)
            .into_iter()
            .map(|token| crate::consensus::ReadState { token, index })
            .collect();
        script.ready.push_back(Ready { read_states, ..Ready::default() });
        drop(script);
        let replica = &mut world.groups[1].members[0].replica;
        replica.begin_turn();
        while replica.ready(world.now, Timestamp(1)).is_some() {}
        let output = replica.take_output();
        world.network.extend(output.exchanges);
        !output.replies.is_empty()
    };
    assert!(!answered(&mut world), "the second partition may not have come to the read");
    world.heal();
    assert!(answered(&mut world));
    world.check();
}

#[test]
fn schedules_of_reads_and_failover_show_no_torn_sum() {
    for seed in 0..40 {
        let mut world = World::new(3, 2, seed);
        world.reads_often = true;
        for _ in 0..300 {
            world.random_step();
        }
        world.check();
        let whole = world.reads.values().filter(|parts| parts.len() == 3 && parts.values().all(Option::is_some));
        assert!(seed > 0 || whole.count() > 0, "some read is answered");
        // Nobody has died since: every replica has every cut still, whoever led when it was taken.
        (1..4).for_each(|group| world.look(group));
        let mut ordered = world.cuts.iter().filter(|(cut, _)| world.ordered.contains_key(*cut));
        assert!(ordered.all(|(_, parts)| parts.len() == 3), "{:?}", world.cuts);
    }
}

#[test]
fn participants_exchange_the_rows_that_a_statement_needs() {
    let mut world = World::new(3, 2, 1);
    world.transfer(0, 1);
    world.transfer(0, 1);
    let number = world.levelling();
    world.check();
    assert!(world.decisions[&world.ordered[&id(number)]]);
    let machines = world.groups.iter().skip(1).map(|group| group.members[0].replica.machine());
    let richest: i64 =
        machines.map(|machine| machine.sum_for_test("SELECT coalesce(max(n), 0)::bigint FROM a")).max().unwrap();
    assert_eq!(richest, 4, "one of five has given to the one of one");
}

#[test]
fn a_primary_key_moves_rows_to_where_they_belong() {
    let mut world = World::new(3, 2, 1);
    world.define("CREATE TABLE h (id int NOT NULL, n bigint)");
    for id in 0..20 {
        world.statement(&format!("INSERT INTO h VALUES ({id}, 1)"));
    }
    world.heal();
    world.define("ALTER TABLE h ADD PRIMARY KEY (id)");
    world.check();
    let counts: Vec<i64> = world.groups[1..]
        .iter()
        .map(|group| group.members[1].replica.machine().sum_for_test("SELECT count(*) FROM h"))
        .collect();
    assert_eq!(counts.iter().sum::<i64>(), 20);
    assert!(counts.iter().all(|count| *count > 0), "rows are spread: {counts:?}");
    world.statement("INSERT INTO h VALUES (7, 1)");
    world.define("CREATE INDEX ON h (n)");
    world.check();
    assert_eq!(world.decisions.values().filter(|committed| !**committed).count(), 1, "7 is there already");
}

#[test]
fn a_leader_that_hands_over_does_not_try_for_ever_to_decide() {
    let mut world = World::new(2, 1, 1);
    let before = world.catalog;
    let participants = (0..=2).map(PartitionId).collect();
    let body =
        GlobalBody::definition("CREATE TABLE h (id int NOT NULL, n bigint)".into(), Arc::default(), world.catalog);
    world.request(participants, body);
    world.commit(0);
    world.feed(0, 0);
    world.groups[0].members[0].script.lock().unwrap().hands_over = true;
    for _ in 0..5 {
        while !world.network.is_empty() {
            world.deliver(0);
        }
        for group in 1..3 {
            world.commit(group);
            world.feed(group, 0);
        }
    }
    assert!(world.groups[0].tail.is_empty(), "nothing is proposed");
    let undecided = world.groups[0].members[0].replica.machine().standing().is_some();
    assert!(undecided, "all votes are known, and the decision is in no log");
    world.groups[0].members[0].script.lock().unwrap().hands_over = false;
    world.heal();
    world.catalog = world.groups[0].members[0].replica.machine().catalog().version;
    assert!(world.catalog > before);
    world.check();
}

/// A definition that waits for rows is long, and events are many: begun anew at each, it had turns of a minute (105717b).
#[test]
fn a_definition_begins_anew_when_all_rows_have_come_and_not_before() {
    let mut world = World::new(3, 1, 1);
    world.define("CREATE TABLE h (id int NOT NULL, n bigint)");
    for id in 0..20 {
        world.statement(&format!("INSERT INTO h VALUES ({id}, 1)"));
    }
    world.heal();
    crate::env::probe::start();
    let participants = (0..=3).map(PartitionId).collect();
    let body = GlobalBody::definition("ALTER TABLE h ADD PRIMARY KEY (id)".into(), Arc::default(), world.catalog);
    world.request(participants, body);
    world.commit(0);
    world.feed(0, 0);
    // It comes to the three partitions one after the other; nothing is said between them yet.
    for group in 1..4 {
        let is_order = |(to, exchange): &(PartitionId, Exchange)| {
            *to == PartitionId(group as u32) && matches!(exchange, Exchange::Deliver(_))
        };
        let order = world.network.iter().position(is_order).expect("it is delivered");
        world.deliver(order);
        world.commit(group);
        world.feed(group, 0);
    }
    let begun = crate::env::probe::count("global.waits_for_rows");
    assert_eq!(begun, 3, "each has begun once, and waits for the others' rows");
    for _ in 0..5 {
        world.tick(1);
    }
    let to_first =
        |(to, exchange): &(PartitionId, Exchange)| *to == PartitionId(1) && matches!(exchange, Exchange::Said { .. });
    let one = world.network.iter().position(to_first).expect("the others have sent rows");
    world.deliver(one);
    assert_eq!(crate::env::probe::count("global.waits_for_rows"), begun, "one partition's rows are still missing");
    assert!(world.groups[1].members[0].replica.machine().standing().is_some_and(|standing| standing.vote.is_none()));
    drop(crate::env::probe::finish());
    world.check();
    let machines = world.groups[1..].iter().map(|group| group.members[0].replica.machine());
    let rows: i64 = machines.map(|machine| machine.sum_for_test("SELECT count(*) FROM h")).sum();
    assert_eq!(rows, 20);
}

#[test]
fn votes_are_ordered_as_the_rules_say() {
    let error = Box::new(crate::types::SqlError::new(crate::types::SqlState::DATA_EXCEPTION, "x"));
    let error_vote = Vote::Error { statement: 0, error: error.clone() };
    let ranks = [Vote::Yes, error_vote, Vote::Mismatch { error }, Vote::Replan { version: CatalogVersion(1) }];
    assert!(ranks.is_sorted_by_key(Vote::rank));
}
