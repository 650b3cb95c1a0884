//! Partitions with one replica each, whose consensus agrees with itself at once; or that fail as told.

use crate::consensus::{
    Change, Committed, Consensus, Floor, FollowerStatus, Membership, NotLeader, Payload, ReadState, Ready, Refused,
    Role, Status,
};
use crate::directory::{self, Amendment, Directory};
use crate::partition::global::{GlobalBody, GlobalOutcome, Vote};
use crate::partition::message::{Outcome, Reply, ReplyBody, Request, RequestBody};
use crate::partition::{KeepingConfig, Origin, Replica, ReplicaConfig, StateMachine};
use crate::types::random::SeedableRng;
use crate::types::{
    CatalogVersion, Duration, Era, Incarnation, Instant, LogIndex, NodeId, PartitionId, RequestId, Rng, Sequence,
    SessionId, Timestamp, WorkerId,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What happens to the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It gets lost.
    Drop,
    /// Its answer gets lost.
    DropReply,
    /// Nothing.
    None,
    NotLeader(Option<NodeId>),
    Lost,
    Overloaded,
    /// A participant says that the command was refused, for it is under another catalog.
    Replan,
    /// A participant has not kept what the command came to.
    NotKept,
}

/// A member that needs no others.
struct Alone {
    last: u64,
    ready: VecDeque<Ready>,
    /// The lead is to be lost, and won again.
    unseated: Arc<AtomicBool>,
}

static NOBODY: Membership = Membership::UNKNOWN;

impl Consensus for Alone {
    fn paused(&mut self, _: Instant, _: Duration) {}
    fn peer_gone(&mut self, _: Instant, _: crate::types::NodeId) {}

    fn transfer(&mut self, _: Instant, _: Option<NodeId>) -> Option<NodeId> {
        None
    }

    fn step(&mut self, _: Instant, _: NodeId, _: &[u8]) {}

    fn propose(&mut self, _: Instant, payload: Bytes) -> Result<(), NotLeader> {
        self.last += 1;
        let committed = vec![Committed { index: LogIndex(self.last), payload: Payload::Command(payload) }];
        self.ready.push_back(Ready { committed, ..Ready::default() });
        Ok(())
    }

    fn read_barrier(&mut self, _: Instant, token: u64) -> Result<(), NotLeader> {
        let read_states = vec![ReadState { token, index: LogIndex(self.last) }];
        self.ready.push_back(Ready { read_states, ..Ready::default() });
        Ok(())
    }

    fn next_timeout(&self) -> Instant {
        Instant(u64::MAX)
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn ready(&mut self) -> Option<Ready> {
        if self.unseated.swap(false, Ordering::Relaxed) {
            for role in [Role::Follower, Role::Leader] {
                self.ready.push_back(Ready { role: Some(role), ..Ready::default() });
            }
        }
        self.ready.pop_front()
    }

    fn persisted(&mut self, _: Instant, _: u64) {}

    fn status(&self) -> Status {
        Status {
            role: Role::Leader,
            era: Era(1),
            leader: None,
            last: LogIndex(self.last),
            committed: LogIndex(self.last),
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

    fn compact(&mut self, _: LogIndex) {}

    fn installed(&mut self, _: Instant, _: Floor, _: Option<&Bytes>) -> bool {
        true
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

    fn position(&self, index: LogIndex) -> Option<Floor> {
        Some(Floor { index, era: Era(1) })
    }

    fn inspect(&self, _: LogIndex) -> Option<(Era, u64)> {
        None
    }

    fn awaited(&self) -> Vec<NodeId> {
        Vec::new()
    }
}

struct Member {
    replica: Replica,
    unseated: Arc<AtomicBool>,
}

impl Member {
    fn new(partition: PartitionId) -> Self {
        let unseated = Arc::new(AtomicBool::new(false));
        let lead = Ready { role: Some(Role::Leader), ..Ready::default() };
        let alone = Alone { last: 0, ready: VecDeque::from([lead]), unseated: Arc::clone(&unseated) };
        let keeping = KeepingConfig {
            checkpoint_every: u64::MAX,
            log_keep_entries: 1000,
            chunk_bytes: 1 << 16,
            patience: Duration::from_secs(1),
        };
        let config = ReplicaConfig {
            founders: None,
            statements_in_a_turn: 1_000_000,
            max_pending: 100,
            piece_bytes: 1 << 20,
            digest_every: 1000,
            exchange_every: Duration::from_millis(100),
            token_lifetime: Duration::from_secs(3600),
            in_sync_timeout: Duration::from_secs(5),
            rng: Rng::seed_from_u64(u64::from(partition.0)),
            keeping,
        };
        Self { replica: Replica::new(Box::new(alone), StateMachine::new(partition), config), unseated }
    }
}

pub(super) struct Cluster {
    /// By number; the cluster partition is the first.
    members: Vec<Member>,
    pub(super) faults: VecDeque<Fault>,
    /// Partitions that do nothing, with what has come for them.
    stalled: BTreeSet<PartitionId>,
    waiting: Vec<(PartitionId, Request)>,
    /// Who was asked: the answer comes from there.
    asked: BTreeMap<(RequestId, PartitionId), NodeId>,
    /// Answers that get lost.
    mute: BTreeSet<(RequestId, u32)>,
    answers: Vec<(NodeId, Reply)>,
    definitions: u64,
}

const ORIGIN: Origin = Origin { node: NodeId(1), worker: WorkerId(0) };

impl Cluster {
    pub(super) fn new(partitions: u32) -> Self {
        let mut cluster = Self {
            members: (0..=partitions).map(|number| Member::new(PartitionId(number))).collect(),
            faults: VecDeque::new(),
            stalled: BTreeSet::new(),
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            mute: BTreeSet::new(),
            answers: Vec::new(),
            definitions: 0,
        };
        // Gateways that were there before.
        for number in 1..=6 {
            let id = RequestId { session: SessionId { gateway: 0, counter: 99 }, sequence: Sequence(number) };
            let body =
                RequestBody::RegisterGateway { node: NodeId(9), worker: WorkerId(0), incarnation: Incarnation(number) };
            cluster.replica(PartitionId::CLUSTER).request(Instant(0), Timestamp(0), ORIGIN, ask(id, body));
            cluster.settle(Instant(0), Timestamp(0));
        }
        let nodes = (1..=3).map(|node| (NodeId(node), format!("h{node}:5434"))).collect();
        let form = Amendment { expected: None, change: directory::Change::Form { nodes, partitions } };
        let id = RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(1) };
        let body = RequestBody::Amend(Arc::new(form));
        cluster.replica(PartitionId::CLUSTER).request(Instant(0), Timestamp(0), ORIGIN, ask(id, body));
        cluster.settle(Instant(0), Timestamp(0));
        cluster.answers.clear();
        cluster
    }

    /// Nodes, as the cluster partition has them.
    pub(super) fn directory(&self) -> Arc<Directory> {
        Arc::clone(self.members[0].replica.directory())
    }

    fn replica(&mut self, partition: PartitionId) -> &mut Replica {
        &mut self.members[partition.0 as usize].replica
    }

    /// DDL of another gateway.
    pub(super) fn define(&mut self, now: Instant, wall: Timestamp, text: &str) {
        self.definitions += 1;
        let sequence = Sequence(self.definitions);
        let id = RequestId { session: SessionId { gateway: 99, counter: 1 }, sequence };
        let body = GlobalBody::definition(text.into(), Arc::default(), self.version());
        let participants = (0..self.members.len()).map(|number| PartitionId(number as u32)).collect();
        let order = RequestBody::Order { participants, body: Arc::new(body) };
        self.replica(PartitionId::CLUSTER).request(now, wall, ORIGIN, ask(id, order));
        self.settle(now, wall);
        let answered = std::mem::take(&mut self.answers);
        assert!(answered.iter().all(|(_, reply)| reply.id != id || matches!(reply.body, ReplyBody::Done(_))));
        self.answers = answered.into_iter().filter(|(_, reply)| reply.id != id).collect();
    }

    fn version(&mut self) -> CatalogVersion {
        let body = RequestBody::ReadCatalog { have: CatalogVersion(u64::MAX) };
        let id = RequestId { session: SessionId { gateway: 99, counter: 2 }, sequence: Sequence(1) };
        self.replica(PartitionId::CLUSTER).request(Instant(0), Timestamp(0), ORIGIN, ask(id, body));
        self.settle(Instant(0), Timestamp(0));
        let of_this = self.answers.iter().position(|(_, reply)| reply.id == id).expect("a read is answered");
        match self.answers.remove(of_this).1.body {
            ReplyBody::Done(Outcome::Catalog(Some(catalog))) => catalog.version,
            other => panic!("no catalog: {other:?}"),
        }
    }

    /// A partition does nothing, from now on.
    pub(super) fn stall(&mut self, partition: PartitionId) {
        self.stalled.insert(partition);
    }

    /// It goes on.
    pub(super) fn go_on(&mut self, now: Instant, wall: Timestamp) -> Vec<(NodeId, Reply)> {
        self.stalled.clear();
        for (partition, request) in std::mem::take(&mut self.waiting) {
            self.replica(partition).request(now, wall, ORIGIN, request);
        }
        self.pass(now, wall)
    }

    /// Leaders have changed: their forks are gone.
    pub(super) fn lose_forks(&mut self, now: Instant, wall: Timestamp) -> Vec<(NodeId, Reply)> {
        for member in &self.members[1..] {
            member.unseated.store(true, Ordering::Relaxed);
        }
        // What their logs do not say the new ones ask each other.
        let mut answers = self.pass(now, wall);
        answers.extend(self.pass(now, wall));
        answers
    }

    /// Time has come; what is answered by now.
    pub(super) fn pass(&mut self, now: Instant, wall: Timestamp) -> Vec<(NodeId, Reply)> {
        for number in 0..self.members.len() {
            if !self.stalled.contains(&PartitionId(number as u32)) {
                self.members[number].replica.handle_timeout(now);
            }
        }
        self.settle(now, wall);
        std::mem::take(&mut self.answers)
    }

    /// Deals with a request; what is answered by now.
    pub(super) fn request(
        &mut self,
        now: Instant,
        wall: Timestamp,
        node: NodeId,
        partition: PartitionId,
        request: &Request,
    ) -> Vec<(NodeId, Reply)> {
        let Request { id, attempt, .. } = *request;
        let is_abandon = matches!(request.body, RequestBody::Abandon { .. } | RequestBody::LetGo { .. });
        let fault = if is_abandon { None } else { self.faults.pop_front() };
        let answer = |body| vec![(node, Reply { id, attempt, partition, body })];
        match fault.unwrap_or(Fault::None) {
            Fault::Drop => return Vec::new(),
            Fault::NotLeader(leader) => return answer(ReplyBody::NotLeader { leader }),
            Fault::Lost => return answer(ReplyBody::Lost),
            Fault::Overloaded => return answer(ReplyBody::Overloaded),
            Fault::NotKept => return answer(ReplyBody::Done(Outcome::ResultNotKept)),
            Fault::Replan => {
                let vote = Vote::Replan { version: self.version() };
                let refused = GlobalOutcome { vote, committed: false, results: Vec::new(), defined: None };
                return answer(ReplyBody::Done(Outcome::Global(Box::new(refused))));
            }
            Fault::DropReply => drop(self.mute.insert((id, attempt))),
            Fault::None => {}
        }
        self.asked.insert((id, partition), node);
        if self.stalled.contains(&partition) {
            self.waiting.push((partition, request.clone()));
            return Vec::new();
        }
        self.replica(partition).request(now, wall, ORIGIN, request.clone());
        self.settle(now, wall);
        std::mem::take(&mut self.answers)
    }

    /// Everybody works until there is nothing left to do.
    fn settle(&mut self, now: Instant, wall: Timestamp) {
        let mut worked = true;
        while worked {
            worked = false;
            for number in 0..self.members.len() {
                if self.stalled.contains(&PartitionId(number as u32)) {
                    continue;
                }
                let replica = &mut self.members[number].replica;
                replica.begin_turn();
                while replica.ready(now, wall).is_some() {
                    worked = true;
                }
                let output = replica.take_output();
                for (_, reply) in output.replies {
                    worked = true;
                    if !self.mute.remove(&(reply.id, reply.attempt)) {
                        let node = self.asked.get(&(reply.id, reply.partition)).copied().unwrap_or(NodeId(1));
                        self.answers.push((node, reply));
                    }
                }
                for (to, exchange) in output.exchanges {
                    // Of what is told to a partition that does nothing, nothing arrives.
                    if !self.stalled.contains(&to) {
                        worked = true;
                        self.replica(to).exchange(now, exchange);
                    }
                }
            }
        }
    }
}

fn ask(id: RequestId, body: RequestBody) -> Request {
    Request { id, acked_below: Sequence(0), attempt: 1, body }
}
