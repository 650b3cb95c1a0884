//! A replica over a consensus that does what the test says: what is refused, retried, executed once, and read when.

use super::command::Command;
use super::global::{Global, GlobalBody};
use super::message::{
    Action, Batch, Commitment, Outcome, Part, Piece, Reply, ReplyBody, Request, RequestBody, Settings, Statement, Step,
};
use super::{KeepingConfig, Origin, Replica, ReplicaConfig, StateMachine, seen, shown_with};
use crate::consensus::{
    Change, Committed, Consensus, Floor, FollowerStatus, Membership, NotLeader, Payload, ReadState, Ready, Refused,
    Role, Status,
};
use crate::partition::Wanted;
use crate::partition::snapshot::Builder;
use crate::partition::transfer::{FileOrder, SnapshotMessage};
use crate::sql::StatementResult;
use crate::types::random::SeedableRng;
use crate::types::{
    CatalogVersion, Duration, Era, GlobalNumber, Incarnation, Instant, LogIndex, NodeId, PartitionId, RequestId, Rng,
    Sequence, SessionId, Timestamp, Value, WorkerId,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

mod acknowledge;
mod validation;

/// What the test holds of the consensus that the replica owns.
#[derive(Default)]
struct Script {
    leads: bool,
    era: u64,
    proposals: Vec<Bytes>,
    barriers: Vec<u64>,
    ready: Vec<Ready>,
    last: u64,
    compacted: Vec<LogIndex>,
    installed: Vec<Floor>,
    followers: Vec<FollowerStatus>,
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
        self.0.lock().unwrap().proposals.push(payload);
        Ok(())
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
        let mut script = self.0.lock().unwrap();
        (!script.ready.is_empty()).then(|| script.ready.remove(0))
    }

    fn persisted(&mut self, _: Instant, _: u64) {}

    fn status(&self) -> Status {
        let script = self.0.lock().unwrap();
        let leads = script.leads;
        Status {
            standing: crate::consensus::Standing::Member,
            successor: None,
            configuration: 1,
            joint: false,
            settled: true,
            voter: true,
            role: if leads { Role::Leader } else { Role::Follower },
            era: Era(script.era),
            leader: Some(NodeId(if leads { 1 } else { 2 })),
            last: LogIndex(script.last),
            committed: LogIndex(0),
            floor: Floor::default(),
            lacks_state: false,
        }
    }

    fn compact(&mut self, through: LogIndex) {
        self.0.lock().unwrap().compacted.push(through);
    }

    fn installed(&mut self, _: Instant, floor: Floor, _: Option<&Bytes>) -> bool {
        let mut script = self.0.lock().unwrap();
        script.last = floor.index.0;
        script.installed.push(floor);
        true
    }

    fn change(&mut self, _: Instant, _: Change) -> Result<(), Refused> {
        Err(Refused::UnderWay)
    }

    fn membership(&self) -> &Membership {
        &NOBODY
    }

    fn followers(&self) -> Vec<FollowerStatus> {
        self.0.lock().unwrap().followers.clone()
    }

    fn position(&self, index: LogIndex) -> Option<Floor> {
        Some(Floor { index, era: Era(1) })
    }

    fn inspect(&self, _: LogIndex) -> Option<(Era, u64)> {
        None
    }
}

struct Bench {
    replica: Replica,
    script: Arc<Mutex<Script>>,
    now: Instant,
}

const ORIGIN: Origin = Origin { node: NodeId(1), worker: WorkerId(0) };

impl Bench {
    fn new(partition: PartitionId) -> Self {
        Self::with_slices(partition, 128)
    }

    fn with_slices(partition: PartitionId, statements_in_a_turn: u64) -> Self {
        let script = Arc::new(Mutex::new(Script { leads: true, ..Script::default() }));
        let keeping = KeepingConfig {
            checkpoint_every: 4,
            log_keep_entries: 1,
            chunk_bytes: 200,
            patience: Duration::from_millis(100),
        };
        let config = ReplicaConfig {
            founders: None,
            statements_in_a_turn,
            max_pending: 2,
            piece_bytes: 1 << 20,
            digest_every: 2,
            exchange_every: Duration::from_millis(100),
            token_lifetime: Duration::from_secs(3600),
            in_sync_timeout: Duration::from_secs(5),
            rng: Rng::seed_from_u64(7),
            keeping,
        };
        let mut bench = Self {
            replica: Replica::new(Box::new(Scripted(Arc::clone(&script))), StateMachine::new(partition), config),
            script,
            now: Instant(0),
        };
        bench.push(Ready { role: Some(Role::Leader), ..Ready::default() });
        bench.pump();
        bench
    }

    /// A data partition with `t (id int primary key, n int, at timestamptz)` at catalog version 1.
    fn with_table() -> Self {
        let mut data = Self::new(PartitionId(1));
        data.define(1, "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz)");
        data
    }

    /// A definition, alone: it is decided by the one participant's vote.
    fn define(&mut self, number: u64, text: &str) {
        let number = GlobalNumber(number);
        let previous = GlobalNumber(number.0 - 1);
        let version = self.replica.machine().catalog().version;
        let body = GlobalBody::definition(text.into(), Arc::default(), version);
        let global = Global {
            number,
            id: RequestId { session: SessionId { gateway: 1, counter: 2 }, sequence: Sequence(number.0) },
            acked_below: Sequence(1),
            timestamp: Timestamp(0),
            seed: 1,
            forget_below: GlobalNumber(0),
            participants: vec![(PartitionId(1), previous)],
            body: Arc::new(body),
        };
        self.script.lock().unwrap().proposals.insert(0, Command::Global(Arc::new(global)).encode());
        self.commit_all(1);
        // That it is decided is said in the log, too, after a moment; here it never gets there.
        self.replica.handle_timeout(Instant(0) + Duration::from_millis(60));
        self.pump();
        let proposals = &mut self.script.lock().unwrap().proposals;
        let before = proposals.len();
        proposals.retain(|bytes| Command::decision(bytes).is_none());
        assert_eq!(before - proposals.len(), 1, "the decision");
    }

    fn push(&mut self, ready: Ready) {
        self.script.lock().unwrap().ready.push(ready);
    }

    fn pump(&mut self) {
        while self.replica.ready(self.now, Timestamp(1_000)).is_some() {}
    }

    fn ask(&mut self, sequence: u64, body: RequestBody) -> Vec<Reply> {
        let id = RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(sequence) };
        let request = Request { id, acked_below: Sequence(1), attempt: 1, body };
        self.replica.request(Instant(0), Timestamp(500), ORIGIN, request);
        self.pump();
        self.replies()
    }

    fn replies(&mut self) -> Vec<Reply> {
        self.replica.take_output().replies.into_iter().map(|(_, reply)| reply).collect()
    }

    /// Commits everything that was proposed and not yet committed, each `copies` times.
    fn commit_all(&mut self, copies: usize) -> Vec<Reply> {
        let proposals = std::mem::take(&mut self.script.lock().unwrap().proposals);
        for payload in proposals {
            for _ in 0..copies {
                let last = {
                    let mut script = self.script.lock().unwrap();
                    script.last += 1;
                    script.last
                };
                let committed = vec![Committed { index: LogIndex(last), payload: Payload::Command(payload.clone()) }];
                self.push(Ready { committed, ..Ready::default() });
            }
        }
        self.pump();
        self.replies()
    }

    fn commit(&mut self, sequence: u64, body: RequestBody) -> ReplyBody {
        assert!(self.ask(sequence, body).is_empty(), "a logged request waits for its commit");
        let mut replies = self.commit_all(1);
        assert_eq!(replies.len(), 1);
        replies.remove(0).body
    }

    fn read(&mut self, sequence: u64, text: &str) -> ReplyBody {
        self.prove(sequence, RequestBody::Query(batch(1, &[text])))
    }

    fn prove(&mut self, sequence: u64, body: RequestBody) -> ReplyBody {
        assert!(self.ask(sequence, body).is_empty(), "a read waits for its proof");
        let (token, index) = {
            let mut script = self.script.lock().unwrap();
            (script.barriers.remove(0), LogIndex(script.last))
        };
        self.push(Ready { read_states: vec![ReadState { token, index }], ..Ready::default() });
        self.pump();
        self.replies().remove(0).body
    }
}

fn batch(version: u64, texts: &[&str]) -> Batch {
    Batch {
        catalog_version: CatalogVersion(version),
        statements: texts
            .iter()
            .map(|text| Statement { text: Arc::from(*text), parameter_types: vec![], parameters: vec![], max_rows: 0 })
            .collect(),
        settings: Arc::new(Settings::default()),
        wall: Timestamp(0),
    }
}

fn write(texts: &[&str]) -> RequestBody {
    RequestBody::Execute(batch(1, texts))
}

fn affected(body: &ReplyBody) -> Vec<u64> {
    match body {
        ReplyBody::Done(Outcome::Results(results)) => results.iter().map(|result| result.affected).collect(),
        other => panic!("not executed: {other:?}"),
    }
}

fn rows(body: &ReplyBody) -> Vec<Vec<Value>> {
    match body {
        ReplyBody::Done(Outcome::Results(results) | Outcome::Shown { results, .. }) => results[0].rows.clone(),
        other => panic!("not answered: {other:?}"),
    }
}

#[test]
fn a_request_committed_twice_is_executed_once() {
    let mut bench = Bench::with_table();
    affected(&bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"])));
    assert!(bench.ask(3, write(&["UPDATE t SET n = n + 1"])).is_empty());
    let replies = bench.commit_all(2);
    assert_eq!(affected(&replies[0].body), [1]);
    assert_eq!(rows(&bench.read(4, "SELECT n FROM t")), [[Value::Int4(11)]]);
    // A retry of it is answered from the table, without a proposal.
    let again = bench.ask(3, write(&["UPDATE t SET n = n + 1"]));
    assert_eq!(affected(&again[0].body), [1]);
    assert!(bench.script.lock().unwrap().proposals.is_empty());
}

#[test]
fn a_batch_is_all_or_nothing() {
    let mut bench = Bench::with_table();
    let failed = bench.commit(2, write(&["INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 2)"]));
    match failed {
        ReplyBody::Done(Outcome::Error { statement: 1, error }) => assert_eq!(error.state.as_str(), "23505"),
        other => panic!("not refused: {other:?}"),
    }
    assert!(rows(&bench.read(3, "SELECT * FROM t")).is_empty());
}

#[test]
fn now_is_the_entrys_and_does_not_go_back() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 1, now())", "INSERT INTO t VALUES (2, 1, now())"]));
    let times = rows(&bench.read(3, "SELECT at FROM t"));
    assert_eq!(times, [[Value::TimestampTz(500)], [Value::TimestampTz(500)]], "the leader's clock at the proposal");
}

#[test]
fn another_catalog_version_means_plan_again_and_leaves_no_mark() {
    let mut bench = Bench::with_table();
    let stale = RequestBody::Execute(batch(0, &["INSERT INTO t VALUES (1, 1)"]));
    assert_eq!(bench.ask(2, stale)[0].body, ReplyBody::Replan { version: CatalogVersion(1) });
    assert_eq!(affected(&bench.commit(2, write(&["INSERT INTO t VALUES (1, 1)"]))), [1], "the same number is free");
}

#[test]
fn a_catalog_that_overtakes_a_proposal_refuses_it_at_execution() {
    let mut bench = Bench::with_table();
    assert!(bench.ask(2, write(&["INSERT INTO t VALUES (1, 1)"])).is_empty());
    let insert = bench.script.lock().unwrap().proposals.remove(0);
    bench.define(2, "CREATE TABLE u (id int PRIMARY KEY)");
    bench.script.lock().unwrap().proposals.push(insert);
    let replies = bench.commit_all(1);
    assert_eq!(replies[0].body, ReplyBody::Replan { version: CatalogVersion(2) });
}

#[test]
fn losing_leadership_leaves_proposals_unknown_and_reads_refused() {
    let mut bench = Bench::with_table();
    assert!(bench.ask(2, write(&["INSERT INTO t VALUES (1, 1)"])).is_empty());
    assert!(bench.ask(3, RequestBody::Query(batch(1, &["SELECT * FROM t"]))).is_empty());
    let token = bench.script.lock().unwrap().barriers[0];
    bench.script.lock().unwrap().leads = false;
    bench.push(Ready { role: Some(Role::Follower), reads_dropped: vec![token], ..Ready::default() });
    bench.pump();
    let bodies: Vec<_> = bench.replies().into_iter().map(|reply| reply.body).collect();
    assert_eq!(bodies, [ReplyBody::NotLeader { leader: Some(NodeId(2)) }, ReplyBody::Lost]);
    let refused = bench.ask(4, write(&["INSERT INTO t VALUES (2, 1)"]));
    assert_eq!(refused[0].body, ReplyBody::NotLeader { leader: Some(NodeId(2)) });
}

#[test]
fn too_many_waiting_is_overload_but_a_retry_finds_its_place() {
    let mut bench = Bench::with_table();
    assert!(bench.ask(2, write(&["INSERT INTO t VALUES (1, 1)"])).is_empty());
    assert!(bench.ask(3, write(&["INSERT INTO t VALUES (2, 1)"])).is_empty());
    assert_eq!(bench.ask(4, write(&["INSERT INTO t VALUES (3, 1)"]))[0].body, ReplyBody::Overloaded);
    assert!(bench.ask(3, write(&["INSERT INTO t VALUES (2, 1)"])).is_empty(), "still on its way");
    assert_eq!(bench.commit_all(1).len(), 2, "one copy of each is in the log");
    assert_eq!(rows(&bench.read(5, "SELECT id FROM t ORDER BY id")), [[Value::Int4(1)], [Value::Int4(2)]]);
}

#[test]
fn a_retry_is_proposed_again_only_when_the_first_copy_may_be_lost() {
    let mut bench = Bench::with_table();
    let insert = || write(&["INSERT INTO t VALUES (1, 1)"]);
    assert!(bench.ask(2, insert()).is_empty());
    assert!(bench.ask(2, insert()).is_empty());
    assert_eq!(bench.script.lock().unwrap().proposals.len(), 1, "under way in the era of this leadership");
    // Lost and won again between two looks at the role: the first copy may be gone without a word.
    bench.script.lock().unwrap().era = 2;
    assert!(bench.ask(2, insert()).is_empty());
    assert_eq!(bench.script.lock().unwrap().proposals.len(), 2);
    assert_eq!(bench.commit_all(1).len(), 1, "of two copies one is answered");
    assert_eq!(rows(&bench.read(3, "SELECT id FROM t")), [[Value::Int4(1)]]);
}

#[test]
fn a_proved_read_waits_until_its_index_is_executed() {
    let mut bench = Bench::with_table();
    assert!(bench.ask(2, write(&["INSERT INTO t VALUES (1, 1)"])).is_empty());
    assert!(bench.ask(3, RequestBody::Query(batch(1, &["SELECT id FROM t"]))).is_empty());
    let token = bench.script.lock().unwrap().barriers.remove(0);
    let index = LogIndex(bench.script.lock().unwrap().last + 1);
    bench.push(Ready { read_states: vec![ReadState { token, index }], ..Ready::default() });
    bench.pump();
    assert!(bench.replies().is_empty(), "what it must see is committed and not yet executed");
    let replies = bench.commit_all(1);
    assert_eq!(rows(&replies[1].body), [[Value::Int4(1)]]);
}

#[test]
fn a_gateways_life_has_one_number_however_often_it_asks() {
    let mut bench = Bench::new(PartitionId::CLUSTER);
    let register = |incarnation| RequestBody::RegisterGateway {
        node: NodeId(1),
        worker: WorkerId(0),
        incarnation: Incarnation(incarnation),
    };
    let id = RequestId { session: SessionId { gateway: 0, counter: 1 }, sequence: Sequence(1) };
    let mut ask = |incarnation| {
        let request = Request { id, acked_below: Sequence(0), attempt: 1, body: register(incarnation) };
        bench.replica.request(Instant(0), Timestamp(0), ORIGIN, request);
        bench.pump();
        bench.commit_all(1).remove(0).body
    };
    let first = ask(1);
    assert_eq!(first, ask(1));
    assert_ne!(first, ask(2), "a new life is a new gateway");
}

#[test]
fn a_follower_that_differs_from_its_leader_is_found() {
    let mut bench = Bench::with_table();
    bench.push(Ready { role: Some(Role::Follower), ..Ready::default() });
    bench.pump();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 1)"]));
    let (index, digest) = bench.replica.state_digest();
    assert_eq!(index, LogIndex(2));
    bench.replica.announced(index, digest);
    assert_eq!(bench.replica.check_digests(), Ok(()));
    bench.replica.announced(index, digest ^ 1);
    assert!(bench.replica.check_digests().unwrap_err().contains("log index 2"));
}

#[test]
fn requests_of_the_other_kind_of_partition_are_refused() {
    let mut bench = Bench::new(PartitionId::CLUSTER);
    assert_eq!(bench.ask(1, write(&["INSERT INTO t VALUES (1, 1)"]))[0].body, ReplyBody::Stale);
}

/// Feeds a replica's checkpoint file until it is finished; yields the chunks.
fn save(replica: &mut Replica) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    loop {
        replica.file_wants(Instant(0));
        match replica.take_keep().files.remove(0) {
            FileOrder::Append(chunk) => chunks.push(chunk),
            FileOrder::Finish => return chunks,
            other => panic!("{other:?} in the middle of a file"),
        }
    }
}

#[test]
fn a_checkpoint_is_made_chunk_by_chunk_while_work_goes_on() {
    let mut bench = Bench::with_table();
    assert!(!bench.replica.checkpoint_is_due());
    for number in 2..=4 {
        bench.commit(number, write(&[&format!("INSERT INTO t VALUES ({number}, 1)")]));
    }
    assert!(bench.replica.checkpoint_is_due(), "every four entries");
    let (index, digest) = bench.replica.state_digest();
    bench.replica.begin_checkpoint();
    assert!(bench.replica.is_saving() && !bench.replica.checkpoint_is_due());
    let FileOrder::Begin(header) = bench.replica.take_keep().files.remove(0) else { panic!("a file is begun first") };
    bench.commit(5, write(&["UPDATE t SET n = 99"]));
    let chunks = save(&mut bench.replica);
    assert_eq!((header.floor.index, header.digest), (index, digest), "the state as it was at the beginning");
    assert!(chunks.len() > 1);
    let mut builder = Builder::new();
    chunks.iter().for_each(|chunk| builder.push(chunk).unwrap());
    assert!(builder.finish(PartitionId(1), index, digest).is_ok());
    bench.script.lock().unwrap().compacted.clear();
    bench.replica.published(Instant(0), header);
    assert_eq!(bench.replica.take_keep().release, Some(header.floor), "the log may go");
    assert_eq!(bench.script.lock().unwrap().compacted, [index.previous()], "but one entry is kept in memory");
    assert_eq!(bench.replica.has_news(), 1);
}

/// What is asked, saved and compared in the middle of a command is of before it, and the end is the same as in one go.
#[test]
fn a_long_command_is_executed_in_slices_and_nobody_sees_between_them() {
    let mut sliced = Bench::with_slices(PartitionId(1), 2);
    let mut whole = Bench::new(PartitionId(1));
    for bench in [&mut sliced, &mut whole] {
        bench.define(1, "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz)");
        affected(&bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"])));
    }
    let long = ["UPDATE t SET n = n + 1"; 9];
    for bench in [&mut sliced, &mut whole] {
        assert!(bench.ask(3, write(&long)).is_empty());
    }
    assert_eq!(affected(&whole.commit_all(1)[0].body), [1; 9]);
    let before = sliced.replica.state_digest();
    sliced.replica.begin_turn();
    assert!(sliced.commit_all(1).is_empty(), "it is under way");
    assert!(sliced.ask(4, RequestBody::Query(batch(1, &["SELECT n FROM t"]))).is_empty());
    let (token, index) = {
        let mut script = sliced.script.lock().unwrap();
        (script.barriers.remove(0), before.0)
    };
    sliced.push(Ready { read_states: vec![ReadState { token, index }], ..Ready::default() });
    let (mut turns, mut replies) = (1, Vec::new());
    while replies.is_empty() {
        assert_eq!(sliced.replica.state_digest(), before);
        assert_eq!(sliced.replica.has_news(), 0, "no checkpoint is made of it");
        assert_eq!(sliced.replica.next_timeout(), Instant(0), "it is gone on with at once");
        turns += 1;
        sliced.replica.begin_turn();
        sliced.pump();
        replies = sliced.replies();
    }
    // One statement's worth is the entry's own.
    assert_eq!(turns, 5);
    assert_eq!(affected(&replies[0].body), [1; 9]);
    assert_eq!(rows(&replies[1].body), [[Value::Int4(19)]], "the read is answered when it has come to its end");
    assert_eq!(sliced.replica.state_digest(), whole.replica.state_digest());
}

/// An error in a later slice takes back what the earlier ones have done; so does a transaction that shows something else.
#[test]
fn what_fails_in_a_later_slice_is_undone_with_the_earlier_ones() {
    let mut bench = Bench::with_slices(PartitionId(1), 2);
    bench.define(1, "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz)");
    bench.ask(
        2,
        write(&["INSERT INTO t VALUES (1, 10)", "INSERT INTO t VALUES (2, 10)", "INSERT INTO t VALUES (2, 20)"]),
    );
    bench.replica.begin_turn();
    let mut replies = bench.commit_all(1);
    while replies.is_empty() {
        bench.replica.begin_turn();
        bench.pump();
        replies = bench.replies();
    }
    assert!(matches!(&replies[0].body, ReplyBody::Done(Outcome::Error { statement: 2, .. })), "{:?}", replies[0].body);
    bench.replica.begin_turn();
    assert_eq!(rows(&bench.read(3, "SELECT count(*) FROM t")), [[Value::Int8(0)]]);
}

#[test]
fn a_replica_that_lacks_a_state_pulls_saves_and_installs_one() {
    let mut source = Bench::with_table();
    for number in 2..=9 {
        source.commit(number, write(&[&format!("INSERT INTO t VALUES ({number}, {number})")]));
    }
    let mut behind = Bench::with_table();
    // A checkpoint of the old state is under way: it gives way.
    behind.commit(2, write(&["INSERT INTO t VALUES (2, 2)"]));
    behind.replica.begin_checkpoint();
    assert_eq!(behind.replica.take_keep().files.len(), 1);
    let fetch = crate::consensus::Fetch { from: NodeId(2), at_least: LogIndex(9) };
    behind.push(Ready { fetch: Some(fetch), ..Ready::default() });
    behind.pump();
    let mut keep = behind.replica.take_keep();
    assert_eq!(keep.files, [FileOrder::Abandon]);
    let mut header = None;
    let mut finished = false;
    while !finished {
        for (to, ask) in keep.snapshots {
            assert_eq!(to, NodeId(2));
            let SnapshotMessage::Fetch { at_least, resume } = ask else { panic!("it only asks") };
            let wanted = Wanted { at_least, resume, wait: None };
            source.replica.snapshot_wanted(Instant(0), NodeId(1), wanted, usize::MAX);
        }
        for (to, answer) in source.replica.take_keep().snapshots {
            assert_eq!(to, NodeId(1));
            behind.replica.snapshot_message(Instant(0), NodeId(2), answer);
        }
        keep = behind.replica.take_keep();
        while !keep.files.is_empty() {
            match keep.files.remove(0) {
                FileOrder::Begin(begun) => header = Some(begun),
                FileOrder::Append(_) => {}
                FileOrder::Finish => finished = true,
                FileOrder::Abandon => panic!("nothing is given up"),
            }
            behind.replica.file_wants(Instant(0));
            let more = behind.replica.take_keep();
            keep.files.extend(more.files);
            keep.snapshots.extend(more.snapshots);
        }
    }
    assert_eq!(behind.replica.state_digest().0, LogIndex(2), "nothing is installed before it is durable");
    behind.replica.published(Instant(0), header.unwrap());
    assert_eq!(behind.replica.state_digest(), source.replica.state_digest());
    assert_eq!(behind.script.lock().unwrap().installed.len(), 1);
    // Deduplication came along: a retry of what the other replica executed is answered, not executed.
    let again = behind.ask(9, write(&["INSERT INTO t VALUES (9, 9)"]));
    assert_eq!(affected(&again[0].body), [1]);
    assert_eq!(affected(&behind.commit(10, write(&["INSERT INTO t VALUES (10, 10)"]))), [1]);
}

/// A transaction as its session sees it: what it has asked and what it was shown.
struct Transaction {
    number: u64,
    statements: Vec<(Action, u128)>,
}

fn piece(number: u32, text: &str) -> Action {
    let statement = batch(1, &[text]).statements.remove(0);
    Action::Statement(Piece { statement, number, partitions: 0, settles: 0 })
}

const BEGAN: Timestamp = Timestamp(77);

impl Transaction {
    const fn new(number: u64) -> Self {
        Self { number, statements: Vec::new() }
    }

    fn step(&self, done: usize, text: &str) -> RequestBody {
        let done = u32::try_from(done).unwrap();
        RequestBody::Step(Step {
            transaction: self.number,
            done,
            shown: self.statements.iter().take(done as usize).fold(0, |shown, (_, digest)| shown_with(shown, *digest)),
            began: BEGAN,
            seed: 5,
            catalog_version: CatalogVersion(1),
            settings: Arc::new(Settings::default()),
            actions: vec![piece(done, text)],
            before: None,
        })
    }

    fn saw(&mut self, text: &str, reply: &ReplyBody) {
        let ReplyBody::Done(Outcome::Results(results) | Outcome::Shown { results, .. }) = reply else {
            panic!("not executed: {reply:?}")
        };
        let action = piece(u32::try_from(self.statements.len()).unwrap(), text);
        self.statements.push((action, seen(&results[0], text.contains("ORDER BY"))));
    }

    fn ask(&mut self, bench: &mut Bench, text: &str) -> ReplyBody {
        let body = self.step(self.statements.len(), text);
        let reply = match self.statements.is_empty() {
            true => bench.prove(9, body),
            false => bench.ask(9, body).remove(0).body,
        };
        self.saw(text, &reply);
        reply
    }

    /// Some of what was done is to be done again.
    fn portion(&self, from: usize, to: usize) -> RequestBody {
        let part = Self { number: self.number, statements: self.statements[from..to].to_vec() };
        let (RequestBody::Commit(before), RequestBody::Step(step)) = (part.commit(), self.step(from, "")) else {
            panic!("a COMMIT is a commitment, and a step is a step");
        };
        RequestBody::Step(Step { before: Some(before), actions: Vec::new(), ..step })
    }

    fn commit(self) -> RequestBody {
        RequestBody::Commit(Arc::new(Commitment {
            transaction: self.number,
            catalog_version: CatalogVersion(1),
            began: BEGAN,
            seed: 5,
            parts: vec![Part { settings: Arc::new(Settings::default()), actions: self.statements }],
        }))
    }
}

fn ids(ids: &[i32]) -> StatementResult {
    let rows: Vec<_> = ids.iter().map(|id| vec![Value::Int4(*id)]).collect();
    StatementResult { affected: rows.len() as u64, rows, ..StatementResult::default() }
}

fn is_conflict(body: &ReplyBody) -> bool {
    matches!(body, ReplyBody::Done(Outcome::Error { error, .. }) if error.state.as_str() == "40001")
}

#[test]
fn a_transaction_is_executed_again_and_commits_if_it_shows_the_same() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10), (2, 20)"]));
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "UPDATE t SET n = n + 1 WHERE id = 1");
    // Its own writes are seen, by nobody else; its clock is its beginning.
    assert_eq!(rows(&one.ask(&mut bench, "SELECT n FROM t WHERE id = 1")), [[Value::Int4(11)]]);
    assert_eq!(rows(&bench.read(3, "SELECT n FROM t WHERE id = 1")), [[Value::Int4(10)]]);
    assert_eq!(rows(&one.ask(&mut bench, "SELECT now()")), [[Value::TimestampTz(BEGAN.0)]]);
    one.ask(&mut bench, "SELECT random(), gen_random_uuid()");
    // Others write beside it what it has not seen.
    bench.commit(3, write(&["UPDATE t SET n = 21 WHERE id = 2"]));
    assert_eq!(bench.commit(4, one.commit()), ReplyBody::Done(Outcome::Committed));
    let sum = rows(&bench.read(5, "SELECT n FROM t ORDER BY id"));
    assert_eq!(sum, [[Value::Int4(11)], [Value::Int4(21)]]);
}

#[test]
fn a_transaction_fails_when_something_seen_has_changed_and_not_when_something_else_has() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let mut counting = Transaction::new(1);
    counting.ask(&mut bench, "UPDATE t SET n = n + 1 WHERE id = 1");
    let mut reading = Transaction::new(2);
    reading.ask(&mut bench, "SELECT n FROM t WHERE id = 1");
    reading.ask(&mut bench, "UPDATE t SET n = 11 WHERE id = 1");
    bench.commit(3, write(&["UPDATE t SET n = 12 WHERE id = 1"]));
    // "UPDATE 1" both times: no update is lost.
    assert_eq!(bench.commit(4, counting.commit()), ReplyBody::Done(Outcome::Committed));
    assert!(is_conflict(&bench.commit(5, reading.commit())), "what was computed from a stale row is not written");
    assert_eq!(rows(&bench.read(6, "SELECT n FROM t")), [[Value::Int4(13)]]);
}

#[test]
fn a_commit_is_executed_once() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "UPDATE t SET n = n + 1 WHERE id = 1");
    let commit = one.commit();
    assert!(bench.ask(3, commit.clone()).is_empty());
    assert_eq!(bench.commit_all(2).remove(0).body, ReplyBody::Done(Outcome::Committed));
    assert_eq!(bench.ask(3, commit).remove(0).body, ReplyBody::Done(Outcome::Committed), "from the table");
    assert_eq!(rows(&bench.read(4, "SELECT n FROM t")), [[Value::Int4(11)]]);
}

#[test]
fn a_step_that_is_asked_again_is_answered_again() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "SELECT count(*) FROM t");
    let text = "UPDATE t SET n = n + 1 RETURNING n";
    let step = one.step(1, text);
    let first = bench.ask(9, step.clone()).remove(0).body;
    assert_eq!(bench.ask(9, step).remove(0).body, first);
    one.saw(text, &first);
    one.ask(&mut bench, "SELECT n FROM t");
    let late = one.step(0, "SELECT count(*) FROM t");
    assert_eq!(bench.ask(9, late).remove(0).body, ReplyBody::Stale, "a copy of long ago is nobody's");
    assert_eq!(bench.commit(3, one.commit()), ReplyBody::Done(Outcome::Committed));
}

#[test]
fn a_fork_is_lost_with_the_leadership_and_with_its_transaction() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "SELECT n FROM t");
    bench.push(Ready { role: Some(Role::Follower), ..Ready::default() });
    bench.push(Ready { role: Some(Role::Leader), ..Ready::default() });
    bench.pump();
    let lost = ReplyBody::Done(Outcome::ForkLost);
    assert_eq!(bench.ask(9, one.step(1, "SELECT n FROM t")).remove(0).body, lost);
    // Of everything before it the fork is made again, a portion at a time, if that shows the same.
    one.saw("SELECT id FROM t", &ReplyBody::Done(Outcome::Results(vec![ids(&[1])])));
    one.number = 3;
    let portion = |done| one.portion(done, done + 1);
    let committed = ReplyBody::Done(Outcome::Committed);
    assert_eq!(bench.ask(9, portion(1)).remove(0).body, lost, "a portion goes on where the one before it ended");
    assert_eq!(bench.prove(9, portion(0)), committed);
    assert_eq!(bench.ask(9, one.step(2, "SELECT n FROM t")).remove(0).body, lost, "the fork has not come so far");
    assert_eq!(bench.prove(9, portion(0)), committed);
    assert_eq!(bench.ask(9, portion(0)).remove(0).body, committed, "a copy");
    assert_eq!(bench.ask(9, portion(1)).remove(0).body, committed);
    assert_eq!(bench.ask(9, portion(1)).remove(0).body, committed, "a copy");
    assert_eq!(bench.ask(9, portion(0)).remove(0).body, ReplyBody::Stale);
    one.ask(&mut bench, "UPDATE t SET n = n + 1");
    one.ask(&mut bench, "SELECT n FROM t");
    bench.commit(3, write(&["UPDATE t SET n = 50"]));
    bench.push(Ready { role: Some(Role::Follower), ..Ready::default() });
    bench.push(Ready { role: Some(Role::Leader), ..Ready::default() });
    bench.pump();
    assert!(is_conflict(&bench.prove(9, one.portion(0, 1))), "what was seen has changed");
    let mut two = Transaction::new(2);
    two.ask(&mut bench, "SELECT n FROM t");
    assert!(bench.ask(9, RequestBody::Abandon { transaction: 2 }).is_empty(), "nobody waits for an answer");
    assert_eq!(bench.ask(9, two.step(1, "SELECT n FROM t")).remove(0).body, lost);
}

#[test]
fn an_error_leaves_the_state_as_it_was_and_forks_are_no_state() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let before = bench.replica.state_digest();
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "INSERT INTO t VALUES (2, 20)");
    let failed = bench.ask(9, one.step(1, "INSERT INTO t VALUES (2, 20)")).remove(0).body;
    let violated = |body: &ReplyBody| matches!(body, ReplyBody::Done(Outcome::Error { error, .. }) if error.state.as_str() == "23505");
    assert!(violated(&failed));
    assert_eq!(bench.replica.state_digest(), before);
}

#[test]
fn a_fork_that_a_late_copy_has_made_is_not_taken_for_the_lost_one() {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10)"]));
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "SELECT n FROM t");
    one.ask(&mut bench, "SELECT id FROM t");
    bench.push(Ready { role: Some(Role::Follower), ..Ready::default() });
    bench.push(Ready { role: Some(Role::Leader), ..Ready::default() });
    bench.pump();
    bench.commit(3, write(&["UPDATE t SET n = 50"]));
    let lost = ReplyBody::Done(Outcome::ForkLost);
    bench.prove(9, one.step(0, "SELECT n FROM t"));
    assert_eq!(bench.ask(9, one.step(2, "SELECT n FROM t")).remove(0).body, lost, "it has not come so far");
    bench.prove(9, one.step(0, "SELECT n FROM t"));
    assert_eq!(bench.ask(9, one.step(1, "SELECT id FROM t")).remove(0).body, lost, "it has shown something else");
}
