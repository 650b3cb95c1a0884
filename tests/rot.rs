//! The whole way from a rotten byte to a client: each byte of a small log and of its checkpoints is changed in turn, and a node
//! started on what is left. It answers with exactly the rows that were committed, or it does not answer: never with a wrong
//! row, never with fewer, never with a panic.
//!
//! A worker knows of its disk what log and checkpoints tell it at the beginning of a life, and nothing else. So the two machines
//! read each changed directory, and a worker is started on one of each kind that they tell apart: all that they say and do is
//! compared, to the byte. That this is enough is not taken for granted: a sample goes through a worker whatever they say.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use bytes::Bytes;
use orrery::checkpoint::{self, CheckpointEvent, Checkpoints};
use orrery::env::{
    Buggify, ClientEvent, Clock, Control, Disk, DiskError, DiskOp, DiskOutput, DiskResult, Endpoint, Entropy, Event,
    Network, OpId, StopReason,
};
use orrery::node::{Worker, WorkerConfig};
use orrery::types::{ConnectionId, Instant, NodeId, Timestamp, WorkerId};
use orrery::wal::{self, Wal, WalEvent};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3Default;

/// Shared until they are written: one is changed in a byte, the others are the same thousands of times.
type Files = BTreeMap<String, Bytes>;

/// Changes a file's content in place, if nobody else has it.
fn edit(files: &mut Files, name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Result<(), DiskError> {
    let content = files.get_mut(name).ok_or(DiskError::NotFound)?;
    let mut bytes = Vec::from(std::mem::take(content));
    edit(&mut bytes);
    *content = bytes.into();
    Ok(())
}

/// Everything around one worker: files in memory, a clock that jumps to the next alarm, one client.
#[derive(Default)]
struct World {
    files: Files,
    now: u64,
    wake: Option<Instant>,
    ops: VecDeque<(OpId, DiskOp)>,
    next_op: u64,
    seeds: u64,
    /// What the client has been sent.
    answer: Vec<u8>,
}

impl World {
    fn execute(&mut self, op: DiskOp) -> DiskResult {
        let file = |files: &mut Files, name: &str| files.remove(name).ok_or(DiskError::NotFound);
        match op {
            DiskOp::List => {
                let files = self.files.iter().map(|(name, content)| (name.clone(), content.len() as u64));
                return Ok(DiskOutput::Files(files.collect()));
            }
            DiskOp::Create { file, length } => {
                if self.files.insert(file, vec![0; length as usize].into()).is_some() {
                    return Err(DiskError::Exists);
                }
            }
            DiskOp::Write { file, offset, data } => {
                edit(&mut self.files, &file, |content| {
                    let end = offset as usize + data.len();
                    content.resize(content.len().max(end), 0);
                    content[offset as usize..end].copy_from_slice(&data);
                })?;
            }
            DiskOp::Read { file, offset, length } => {
                let content = self.files.get(&file).ok_or(DiskError::NotFound)?;
                let end = (offset + length).min(content.len() as u64) as usize;
                return Ok(DiskOutput::Data(content.slice(offset as usize..end)));
            }
            DiskOp::Truncate { file, length } => {
                edit(&mut self.files, &file, |content| content.resize(length as usize, 0))?;
            }
            DiskOp::Rename { from, to } => {
                let content = file(&mut self.files, &from)?;
                self.files.insert(to, content);
            }
            DiskOp::Remove { file: name } => drop(file(&mut self.files, &name)?),
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
        Ok(DiskOutput::Done)
    }
}

impl Clock for World {
    fn now(&self) -> Instant {
        Instant(self.now)
    }
    fn wall(&self) -> Timestamp {
        Timestamp(800_000_000_000_000 + (self.now / 1000) as i64)
    }
    fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(instant);
    }
}

impl Network for World {
    fn send(&mut self, _: Endpoint, _: Bytes) {}
    fn client_send(&mut self, _: ConnectionId, bytes: Bytes) {
        self.answer.extend_from_slice(&bytes);
    }
    fn client_close(&mut self, _: ConnectionId) {}
}

impl Disk for World {
    fn submit(&mut self, op: DiskOp) -> OpId {
        self.next_op += 1;
        self.ops.push_back((OpId(self.next_op), op));
        OpId(self.next_op)
    }
}

impl Entropy for World {
    fn seed(&mut self, _: &'static str) -> [u8; 32] {
        self.seeds += 1;
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.seeds.to_le_bytes());
        seed
    }
}

impl Buggify for World {
    fn buggify(&mut self, _: &'static str) -> bool {
        false
    }
}

struct Node {
    worker: Worker,
    world: World,
    stopped: Option<StopReason>,
}

const SEGMENT_BYTES: u64 = 8 << 10;
const CLIENT: ConnectionId = ConnectionId(1);

impl Node {
    fn start(files: Files) -> Self {
        let config = WorkerConfig {
            wal_segment_bytes: SEGMENT_BYTES,
            checkpoint_every: 12,
            log_keep_entries: 2,
            wal_bytes_before_checkpoint: 16 << 10,
            snapshot_chunk_bytes: 1 << 10,
            digest_every: 4,
            ..WorkerConfig::default()
        };
        let mut node = Self { worker: Worker::new(config), world: World { files, ..World::default() }, stopped: None };
        node.event(Event::Start);
        node
    }

    fn event(&mut self, event: Event) {
        if self.stopped.is_none()
            && let Control::Stop(reason) = self.worker.handle(&mut self.world, event)
        {
            self.stopped = Some(reason);
        }
    }

    /// Goes on until the client has been sent a complete answer, the node has stopped, or that much time has passed.
    fn run(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = self.world.now + limit.as_nanos() as u64;
        while self.stopped.is_none() {
            // ReadyForQuery ends every answer.
            if self.world.answer.ends_with(b"Z\0\0\0\x05I") {
                return Some(std::mem::take(&mut self.world.answer));
            }
            if let Some((op, what)) = self.world.ops.pop_front() {
                let result = self.world.execute(what);
                self.event(Event::Disk { op, result });
                continue;
            }
            let wake = self.world.wake.take()?;
            self.world.now = self.world.now.max(wake.0);
            if self.world.now > deadline {
                return None;
            }
            self.event(Event::Wake);
        }
        None
    }

    /// A client connects.
    fn connect(&mut self) -> Option<Vec<u8>> {
        self.event(Event::Client { connection: CLIENT, event: ClientEvent::Opened { local: true } });
        let parameters = b"\0\x03\0\0user\0orrery\0database\0orrery\0\0";
        let mut startup = (parameters.len() as u32 + 4).to_be_bytes().to_vec();
        startup.extend_from_slice(parameters);
        self.send(startup);
        self.run(Duration::from_secs(5))
    }

    fn query(&mut self, sql: &str) -> Option<Vec<u8>> {
        let mut message = vec![b'Q'];
        message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        self.send(message);
        self.run(Duration::from_secs(5))
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.event(Event::Client { connection: CLIENT, event: ClientEvent::Bytes(bytes.into()) });
    }
}

/// Is it an ErrorResponse?
fn is_error(answer: &[u8]) -> bool {
    answer.first() == Some(&b'E')
}

const QUESTION: &str = "SELECT * FROM planet ORDER BY id";

/// A node that has written some rows, with a checkpoint of each partition and records after them; and the true answer.
fn written() -> (Files, Vec<u8>) {
    let mut node = Node::start(Files::new());
    node.connect().expect("a new node serves");
    let mut statements = vec!["CREATE TABLE planet (id int PRIMARY KEY, name text, moons bigint)".to_owned()];
    for id in 1..=30 {
        statements.push(format!("INSERT INTO planet VALUES ({id}, 'planet number {id}', {})", id * 7));
    }
    statements.push("UPDATE planet SET moons = moons + 1 WHERE id < 20".to_owned());
    statements.push("DELETE FROM planet WHERE id = 5".to_owned());
    for statement in statements {
        let answer = node.query(&statement).expect("answered");
        assert!(!is_error(&answer), "{statement}: {}", String::from_utf8_lossy(&answer));
    }
    let truth = node.query(QUESTION).expect("answered");
    let tag = b"SELECT 29\0";
    assert!(truth.windows(tag.len()).any(|bytes| bytes == tag), "{}", String::from_utf8_lossy(&truth));
    node.run(Duration::from_millis(100));
    (node.world.files, truth)
}

/// What a node says that starts on these files; `None` if it does not serve.
fn answer(files: Files) -> Option<Vec<u8>> {
    let mut node = Node::start(files);
    node.connect()?;
    node.query(QUESTION).filter(|answer| !is_error(answer))
}

/// The identity under which the two machines are run.
const OWNER: (NodeId, WorkerId) = (NodeId(1), WorkerId(0));

/// Everything that the log says of these files at the beginning of a life, and everything that it then does to them, in one
/// number; and its identity, without which nothing follows.
fn log_says(files: Files) -> (u128, Option<u64>) {
    let (mut world, mut said) = (World { files, ..World::default() }, Said::default());
    let (node, worker) = OWNER;
    let mut wal = Wal::new(wal::Config { node, worker, segment_bytes: SEGMENT_BYTES, seed: 7, can_rejoin: false });
    wal.start();
    loop {
        while let Some(event) = wal.poll() {
            said.of_the_log(&event);
        }
        let ops = wal.take_ops();
        if ops.is_empty() {
            return (said.hash.digest128(), wal.log_id());
        }
        for op in ops {
            said.operation(&op);
            wal.completed(world.execute(op));
        }
    }
}

/// The same of the checkpoints.
fn checkpoints_say(files: Files, log_id: u64) -> u128 {
    let (mut world, mut said) = (World { files, ..World::default() }, Said::default());
    let (node, worker) = OWNER;
    let mut checkpoints = Checkpoints::new(checkpoint::Config { node, worker, log_id });
    checkpoints.start();
    loop {
        while let Some(event) = checkpoints.poll() {
            said.of_a_checkpoint(&event);
        }
        let ops = checkpoints.take_ops();
        if ops.is_empty() {
            return said.hash.digest128();
        }
        for op in ops {
            said.operation(&op);
            checkpoints.completed(world.execute(op));
        }
    }
}

#[derive(Default)]
struct Said {
    hash: Xxh3Default,
}

impl Said {
    fn words(&mut self, what: &impl Debug) {
        self.bytes(format!("{what:?}").as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update(&bytes.len().to_le_bytes());
        self.hash.update(bytes);
    }

    fn operation(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Write { file, offset, data } => {
                self.words(&(file, offset));
                self.bytes(data);
            }
            other => self.words(other),
        }
    }

    fn of_the_log(&mut self, event: &WalEvent) {
        let WalEvent::Recovered { groups, incarnation, amnesia, lost } = event else { return self.words(event) };
        self.words(&(incarnation, amnesia, lost));
        for (partition, group) in groups {
            self.words(&(partition, &group.hard_state, group.damaged, group.floor, group.records.len()));
            for record in &group.records {
                self.words(&(record.index, record.era));
                self.bytes(&record.bytes);
            }
        }
    }

    fn of_a_checkpoint(&mut self, event: &CheckpointEvent) {
        match event {
            CheckpointEvent::Chunk { partition, bytes } => {
                self.words(partition);
                self.bytes(bytes);
            }
            other => self.words(other),
        }
    }
}

/// What the two machines say of a directory; no checkpoint is looked at where the log has ended its life.
type Recovery = (u128, Option<u128>);

/// Each machine reads its own files and no others: what it says of those that have not changed is known.
struct Sound {
    log: (u128, Option<u64>),
    checkpoints: u128,
}

impl Sound {
    fn new(files: &Files) -> Self {
        let log = log_says(files.clone());
        Self { log, checkpoints: checkpoints_say(files.clone(), log.1.expect("it is sound")) }
    }

    fn recovery(&self, file: &str, rotten: &Files) -> Recovery {
        if file.starts_with("checkpoint-") {
            return (self.log.0, self.log.1.map(|log_id| checkpoints_say(rotten.clone(), log_id)));
        }
        let (log, log_id) = log_says(rotten.clone());
        let checkpoints = |log_id| {
            if Some(log_id) == self.log.1 { self.checkpoints } else { checkpoints_say(rotten.clone(), log_id) }
        };
        (log, log_id.map(checkpoints))
    }
}

/// What has come of changed files so far.
#[derive(Default)]
struct Seen {
    /// By what the machines said: does a worker serve?
    kinds: BTreeMap<Recovery, bool>,
    changes: u64,
    /// Changes that went through a worker.
    workers: u64,
    served: u64,
}

impl Seen {
    /// Starts a node on files changed so. It serves the truth, or not at all.
    fn judge(&mut self, kind: Recovery, rotten: Files, truth: &[u8], sample: bool, what: impl Fn() -> String) {
        let known = self.kinds.get(&kind).copied();
        let serves = match known {
            Some(serves) if !sample => serves,
            _ => {
                self.workers += 1;
                let answer = answer(rotten);
                if let Some(answer) = &answer {
                    assert!(answer == truth, "{}: {}", what(), String::from_utf8_lossy(answer));
                }
                answer.is_some()
            }
        };
        assert!(known.is_none_or(|known| known == serves), "{}: one recovery, two answers", what());
        self.kinds.insert(kind, serves);
        self.changes += 1;
        self.served += u64::from(serves);
    }
}

/// Changes each byte of which the number leaves this rest, in one of its bits, and those that are not zero in all of
/// them too.
fn change_bytes(files: &Files, truth: &[u8], rest: usize, threads: usize) -> Seen {
    let (mut seen, sound) = (Seen::default(), Sound::new(files));
    for (file, content) in files {
        for at in (rest..content.len()).step_by(threads) {
            let byte = content[at];
            // All that was written, at this density; of the zeros between, a sample.
            let step = if byte == 0 { 199 } else { 7 };
            let flips = [1 << (at / step % 8), 0xff];
            for flip in &flips[..1 + usize::from(byte != 0)] {
                let mut rotten = files.clone();
                edit(&mut rotten, file, |content| content[at] ^= flip).unwrap();
                let kind = sound.recovery(file, &rotten);
                seen.judge(kind, rotten, truth, at % step == 0, || format!("{file} byte {at} ^ {flip:02x}"));
            }
        }
    }
    seen
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "two halves of the bytes on two cores: what comes of each depends on nothing else"
)]
fn a_change_of_any_byte_makes_no_wrong_answer() {
    let (files, truth) = written();
    assert_eq!(answer(files.clone()).as_ref(), Some(&truth), "without a change");
    let checkpoints = files.keys().filter(|file| file.starts_with("checkpoint-")).count();
    assert!(checkpoints >= 2, "{:?}", files.keys());
    let threads = 2;
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let (files, truth) = (&files, &truth);
        let half = |rest| scope.spawn(move || change_bytes(files, truth, rest, threads));
        let halves: Vec<_> = (0..threads).map(half).collect();
        halves.into_iter().map(|half| half.join().unwrap()).collect()
    });
    let sum = |what: fn(&Seen) -> u64| seen.iter().map(what).sum::<u64>();
    let (changes, workers, served) = (sum(|seen| seen.changes), sum(|seen| seen.workers), sum(|seen| seen.served));
    println!("{changes} changes, {workers} went through a worker, {served} served");
    assert!(changes >= files.values().map(|content| content.len() as u64).sum(), "each byte was changed");
    assert!(workers > 1000 && served > 1000 && changes - served > 1000, "{changes}, {workers}, {served}");
}
